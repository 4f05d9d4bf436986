"""Processes that are killed with SIGKILL at random moments of an import, and what is there afterwards.

A round starts what was killed, looks whether every document is as it was acked, imports on, and kills again. Judges by the
retriever's own answers: its list of documents and its searches. Knows nothing of how its figures are shown.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
import random
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

import grpc
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as documents_pb
from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub

from bench.victims import POLL_SECONDS, START_SECONDS, KillableServer, Victim, retriever_process
from services.mesh import context
from services.retriever.settings import RetrieverSettings

if TYPE_CHECKING:
    from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceAsyncStub
    from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceAsyncStub

PARTS = 4
COLLECTION = "collections/default"
_EDITOR = Principal(tenant="default", subject="users/editor", roles=["visitor", "editor"])
_CALL_SECONDS = 30.0
_PER_ROUND = 60
_STREAMS = 2
_UNACKED = 4
"""Documents of a stream that are sent and not acked."""
_FRESH, _OTHERS = 16, 6
"""Documents of a round, and of those before it, that are searched for after it."""
_VERSIONS = 100_000
_MARKERS = 1_000_000_000
"""Numbers of the documents that are imported after a server is back."""
_AWAY = "STORE_UNAVAILABLE"
_LAST_MOMENT_SECONDS = 0.8


def document(number: int, version: int) -> str:
    """A document of PARTS passages, each of which says which version it is from."""
    sections = (f"## Part {part}\n\nZebra{number} of version{version} in part {part}.\n" for part in range(PARTS))
    return f"# Document {number}\n\n" + "\n".join(sections)


@dataclass
class Ledger:
    """What was sent and what was acked: number of a document -> version. Versions of a document only grow."""

    tried: dict[int, int] = field(default_factory=dict)
    acked: dict[int, int] = field(default_factory=dict)
    acks: int = 0

    def in_flight(self) -> int:
        """Documents whose last version was sent and not acked."""
        return sum(self.acked.get(number) != version for number, version in self.tried.items())


@dataclass
class Figures:
    """What a run found. Documents are counted once for each look at them."""

    store: str
    victim: Victim
    seed: int
    rounds: int = 0
    cut: int = 0
    """Rounds whose kill left a document that was sent and not acked."""
    acks: int = 0
    documents: int = 0
    looks: int = 0
    lost: int = 0
    half: int = 0
    duplicates: int = 0
    stood_in: int = 0
    """Searches that the index itself did not answer after the restart."""
    back_p50_s: float = 0.0
    """From the start of what was killed until it answers again."""
    back_max_s: float = 0.0

    def clean(self) -> bool:
        """Whether nothing was lost, halved or doubled."""
        return not (self.lost or self.half or self.duplicates or self.stood_in)

    def as_json(self) -> dict[str, object]:
        """For results.json."""
        return asdict(self)


def judge(passages: Sequence[str], acked: int | None, tried: int) -> set[Literal["lost", "half", "duplicates"]]:
    """What is wrong with the passages that a search found of one document.

    Args:
        acked: version that was acked last; None where none was.
        tried: version that was sent last.
    """
    if not passages:
        return set() if acked is None else {"lost"}
    found: set[Literal["lost", "half", "duplicates"]] = set()
    if max(Counter(passages).values()) > 1:
        found.add("duplicates")
    versions = {int(text.rpartition("version")[2].split()[0]) for text in passages}
    if len(versions) > 1 or len(set(passages)) < PARTS:
        found.add("half")
    if not all((acked or 0) <= version <= tried for version in versions):
        found.add("lost")
    return found


def _messages(number: int, version: int) -> Iterator[documents_pb.ImportDocumentsRequest]:
    data = document(number, version).encode()
    yield documents_pb.ImportDocumentsRequest(
        begin=documents_pb.ImportBegin(
            document=f"{COLLECTION}/documents/d{number}",
            media_type="text/markdown",
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
    )
    yield documents_pb.ImportDocumentsRequest(data=documents_pb.ImportData(data=data))
    yield documents_pb.ImportDocumentsRequest(commit=documents_pb.ImportCommit())


async def import_documents(
    channel: grpc.aio.Channel, documents: Iterable[tuple[int, int]], ledger: Ledger, *, refusable: bool = False
) -> None:
    """Imports documents, number and version, over one stream, some at a time; notes each as sent, then as acked, in that order.

    Args:
        refusable: whether the store may be away: a document that is refused for that is one that was sent and not acked.
    """
    stub: DocumentServiceAsyncStub = DocumentServiceStub(channel)
    sent: deque[tuple[int, int]] = deque()
    with context.as_principal(_EDITOR):
        stream = stub.ImportDocuments()

        async def take() -> None:
            response = await stream.read()
            if not isinstance(response, documents_pb.ImportDocumentsResponse):
                raise ConnectionResetError("the stream ended")
            number, version = sent.popleft()
            if response.HasField("acked"):
                ledger.acked[number] = version
                ledger.acks += 1
            elif not refusable or response.rejected.reason != _AWAY:
                raise RuntimeError(f"a document was refused: {response.rejected}")

        try:
            for number, version in documents:
                ledger.tried[number] = version
                sent.append((number, version))
                for message in _messages(number, version):
                    await stream.write(message)
                if len(sent) == _UNACKED:
                    await take()
            await stream.done_writing()
            while sent:
                await take()
            await stream.read()  # its end comes when the index is settled
        finally:
            stream.cancel()


def endless(round_number: int, stream: int) -> Iterator[tuple[int, int]]:
    """Documents of one stream: every other one is new, the rest replace those of earlier rounds. Streams share none."""
    for step in itertools.count():
        number = step % _PER_ROUND
        name = number if number % 2 else round_number * _PER_ROUND + number
        yield _STREAMS * name + stream, round_number * _VERSIONS + step


async def import_until_lost(channel: grpc.aio.Channel, round_number: int, ledger: Ledger, *, refusable: bool = False) -> None:
    """Imports over several streams until the process is gone."""
    async with asyncio.TaskGroup() as group:
        for stream in range(_STREAMS):
            group.create_task(import_documents(channel, endless(round_number, stream), ledger, refusable=refusable))


async def look(channel: grpc.aio.Channel, ledger: Ledger, numbers: Sequence[int], figures: Figures) -> None:
    """Searches for these documents and notes what is wrong."""
    stub: RetrieverServiceAsyncStub = RetrieverServiceStub(channel)
    for number in numbers:
        request = pb.SearchRequest(collection=COLLECTION, query=f"zebra{number}", limit=16, dense_weight=0.0, rerank_depth=0)
        with context.as_principal(_EDITOR):
            found = await stub.Search(request, timeout=_CALL_SECONDS)
        passages = [one.text for one in found.evidence if one.document.endswith(f"/d{number}")]
        wrong = judge(passages, ledger.acked.get(number), ledger.tried[number])
        figures.looks += 1
        figures.lost += "lost" in wrong
        figures.half += "half" in wrong
        figures.duplicates += "duplicates" in wrong
        figures.stood_in += any(one.leg == pb.SEARCH_LEG_INDEX for one in found.degraded)


async def count(channel: grpc.aio.Channel, ledger: Ledger, figures: Figures) -> None:
    """Reads the list of all documents: each acked one once, by the bytes that were sent, with all of its passages."""
    if not ledger.acked:
        return
    stub: DocumentServiceAsyncStub = DocumentServiceStub(channel)
    listed: list[documents_pb.Document] = []
    token = ""
    while True:
        request = documents_pb.ListDocumentsRequest(parent=COLLECTION, page_size=500, page_token=token)
        with context.as_principal(_EDITOR):
            page = await stub.ListDocuments(request, timeout=_CALL_SECONDS)
        listed += page.documents
        token = page.next_page_token
        if not token:
            break
    names = Counter(one.name.rpartition("/d")[2] for one in listed)
    figures.duplicates += sum(times - 1 for times in names.values())
    figures.lost += sum(str(number) not in names for number in ledger.acked)
    figures.half += sum(one.chunk_count != PARTS for one in listed)
    figures.documents = len(listed)


async def _kill_soon(rng: random.Random, kill: asyncio.subprocess.Process | KillableServer) -> None:
    await asyncio.sleep(rng.uniform(0.0, _LAST_MOMENT_SECONDS))
    if isinstance(kill, asyncio.subprocess.Process):
        kill.kill()
        await kill.wait()
    else:
        await kill.kill()


async def _first_ack(ledger: Ledger, importing: asyncio.Task[None]) -> None:
    before = ledger.acks
    async with asyncio.timeout(START_SECONDS):
        while True:
            if ledger.acks > before or importing.done():
                return
            await asyncio.sleep(POLL_SECONDS / 10)


async def kill_retriever(settings: RetrieverSettings, rounds: int, seed: int, seconds: float = math.inf) -> Figures:
    """Kills the retriever `rounds` times, or as often as there is time for.

    Raises:
        RuntimeError: it does not start, or refuses a document.
    """
    rng = random.Random(seed)  # chooses moments, hides nothing
    figures = Figures(store_name(settings), "retriever", seed)
    ledger = Ledger()
    back: list[float] = []
    ends = time.monotonic() + seconds
    for round_number in range(1, rounds + 2):
        begun = time.monotonic()
        async with retriever_process(settings) as (process, channel):
            back.append(time.monotonic() - begun)
            last = round_number == rounds + 1 or time.monotonic() > ends
            await count(channel, ledger, figures)
            await look(channel, ledger, _chosen(rng, ledger, round_number - 1, every=last), figures)
            if last:
                break
            importing = asyncio.create_task(import_until_lost(channel, round_number, ledger))
            await _first_ack(ledger, importing)
            await _kill_soon(rng, process)
            await _ended(importing)
            figures.rounds += 1
            figures.cut += ledger.in_flight() > 0
    return _summed(figures, ledger, back[1:])


async def kill_server(
    settings: RetrieverSettings, server: KillableServer, rounds: int, seed: int, seconds: float = math.inf
) -> Figures:
    """Kills the server under the retriever `rounds` times, or as often as there is time for, while the retriever imports on.

    Without its index the retriever takes documents all the same; without its store of truth it refuses them until that is back.

    Raises:
        RuntimeError: the retriever does not start, ends, or refuses a document for another reason.
    """
    rng = random.Random(seed)  # chooses moments, hides nothing
    truth = settings.retriever_truth == "postgresql"
    figures = Figures(store_name(settings), "postgresql" if truth else "weaviate", seed)
    ledger = Ledger()
    back: list[float] = []
    ends = time.monotonic() + seconds
    async with retriever_process(settings) as (_, channel):
        for round_number in range(1, rounds + 1):
            importing = asyncio.create_task(import_until_lost(channel, round_number, ledger, refusable=truth))
            await _first_ack(ledger, importing)
            await _kill_soon(rng, server)
            figures.rounds += 1
            if truth:
                figures.cut += ledger.in_flight() > 0
            else:
                await _first_ack(ledger, importing)  # what comes while it is away is acked all the same
                figures.cut += not importing.done()
            begun = time.monotonic()
            await server.start()
            if truth:
                await _first_ack(ledger, importing)
            importing.cancel()
            await _ended(importing)
            if truth:
                await _until_all_is_followed(channel, round_number, ledger)
            await _until_the_index_answers(channel)
            back.append(time.monotonic() - begun)
            await count(channel, ledger, figures)
            last = round_number == rounds or time.monotonic() > ends
            await look(channel, ledger, _chosen(rng, ledger, round_number, every=last), figures)
            if last:
                break
    return _summed(figures, ledger, back)


def store_name(settings: RetrieverSettings) -> str:
    """What a run calls the store: the index where the documents are in SQLite."""
    return "postgresql" if settings.retriever_truth == "postgresql" else settings.retriever_index


async def _until_all_is_followed(channel: grpc.aio.Channel, round_number: int, ledger: Ledger) -> None:
    """Imports one more document. When that stream has ended, the index knows also what was committed without an answer."""
    marker = _MARKERS + round_number
    async with asyncio.timeout(START_SECONDS):
        while marker not in ledger.acked:
            wanted = [(marker, (round_number + 1) * _VERSIONS - 1)]
            await _ended(asyncio.create_task(import_documents(channel, wanted, ledger, refusable=True)))


async def _ended(importing: asyncio.Task[None]) -> None:
    try:
        await importing
    except* (grpc.aio.AioRpcError, asyncio.InvalidStateError, ConnectionResetError, asyncio.CancelledError):
        pass


async def _until_the_index_answers(channel: grpc.aio.Channel) -> None:
    stub: RetrieverServiceAsyncStub = RetrieverServiceStub(channel)
    async with asyncio.timeout(START_SECONDS):
        while True:
            request = pb.SearchRequest(collection=COLLECTION, query="zebra1", dense_weight=0.0, rerank_depth=0)
            with context.as_principal(_EDITOR):
                found = await stub.Search(request, timeout=_CALL_SECONDS)
            if not any(one.leg == pb.SEARCH_LEG_INDEX for one in found.degraded):
                return
            await asyncio.sleep(POLL_SECONDS)


def _chosen(rng: random.Random, ledger: Ledger, round_number: int, *, every: bool) -> list[int]:
    """Some documents of a round, those that were sent last among them, and some of the others; or every one."""
    if every:
        return list(ledger.tried)
    fresh = [number for number, version in ledger.tried.items() if version // _VERSIONS == round_number]
    others = [number for number in ledger.tried if number not in set(fresh)]
    last = sorted(fresh, key=lambda number: ledger.tried[number])[-_FRESH // 2 :]
    rest = sorted(set(fresh) - set(last))
    return last + rng.sample(rest, min(_FRESH // 2, len(rest))) + rng.sample(others, min(_OTHERS, len(others)))


def _summed(figures: Figures, ledger: Ledger, back: list[float]) -> Figures:
    figures.acks = ledger.acks
    ordered = sorted(back)
    figures.back_p50_s = round(ordered[len(ordered) // 2], 2)
    figures.back_max_s = round(ordered[-1], 2)
    return figures
