"""Processes that are killed with SIGKILL at random moments of an import, and what is there afterwards.

A round starts what was killed, looks whether every document is as it was acked, imports on, and kills again. Judges by the
retriever's own answers: its list of documents and its searches. Knows nothing of how its figures are shown.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import math
import os
import random
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import grpc
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as documents_pb
from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub

from cli.parts.child import Child
from cli.parts.weaviate import NodePorts, is_ready, launch_spec
from services.mesh import context
from services.mesh.channel import open_channel
from services.retriever.settings import RetrieverSettings
from services.retriever.weaviate_settings import WeaviateSettings

if TYPE_CHECKING:
    from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceAsyncStub
    from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceAsyncStub

Victim = Literal["retriever", "weaviate"]

PARTS = 4
COLLECTION = "collections/default"
_EDITOR = Principal(tenant="default", subject="users/editor", roles=["visitor", "editor"])
_START_SECONDS = 90.0
_CALL_SECONDS = 30.0
_PER_ROUND = 60
_STREAMS = 2
_UNACKED = 4
"""Documents of a stream that are sent and not acked."""
_FRESH, _OTHERS = 16, 6
"""Documents of a round, and of those before it, that are searched for after it."""
_VERSIONS = 100_000
_LAST_MOMENT_SECONDS = 0.8
_POLL_SECONDS = 0.02


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


class WeaviateServer:
    """A Weaviate that may be killed and started again over the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = NodePorts.choose()
        self._child: Child | None = None

    @property
    def settings(self) -> WeaviateSettings:
        """Where it is."""
        node = {"http_port": self._ports.http, "grpc_port": self._ports.grpc}
        return WeaviateSettings.model_validate({"nodes": [node]})

    async def start(self) -> None:
        """Starts it and waits until it serves."""
        spec = launch_spec(self._folder, self._ports)
        self._child = await Child.start("weaviate", spec, self._folder / "weaviate.log", orphan_signal=signal.SIGTERM)
        async with asyncio.timeout(_START_SECONDS):
            while True:
                if await is_ready(self._ports):
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def kill(self) -> None:
        """Kills it where it runs."""
        if self._child is not None:
            self._child.kill_group()
            await self._child.wait()


def environment(settings: RetrieverSettings) -> dict[str, str]:
    """Environment of a retriever process with these settings."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "RAGMESH_RUN_DIR": str(settings.run_dir),
        "RAGMESH_DATA_DIR": str(settings.data_dir),
        "RAGMESH_TRITON": settings.triton,
        "RAGMESH_LOG_LEVEL": "warning",
        "RAGMESH_RETRIEVER_INDEX": settings.retriever_index,
        "RAGMESH_RETRIEVER_WEAVIATE__NODES": json.dumps([node.model_dump() for node in settings.retriever_weaviate.nodes]),
    }


async def launch(settings: RetrieverSettings, *arguments: str) -> asyncio.subprocess.Process:
    """A process of the retriever; what it says is in its standard error."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.retriever",
        *arguments,
        env=environment(settings),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )


@asynccontextmanager
async def retriever_process(settings: RetrieverSettings) -> AsyncIterator[tuple[asyncio.subprocess.Process, grpc.aio.Channel]]:
    """A retriever process that answers, and a channel to it; killed at the end where it still runs."""
    socket = settings.run_dir / "retriever.sock"
    socket.unlink(missing_ok=True)
    process = await launch(settings)
    said = asyncio.create_task(process.stderr.read() if process.stderr else asyncio.sleep(0, b""))
    channel = open_channel(settings, "retriever")
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not socket.exists():
                if process.returncode is not None:
                    raise RuntimeError(f"the retriever ended: {(await said).decode(errors='replace')[-2000:]}")
                await asyncio.sleep(_POLL_SECONDS)
            await channel.channel_ready()
        yield process, channel
    finally:
        await channel.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
        await said


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


async def import_documents(channel: grpc.aio.Channel, documents: Iterable[tuple[int, int]], ledger: Ledger) -> None:
    """Imports documents, number and version, over one stream, some at a time; notes each as sent, then as acked, in that order."""
    stub: DocumentServiceAsyncStub = DocumentServiceStub(channel)
    sent: deque[tuple[int, int]] = deque()
    with context.as_principal(_EDITOR):
        stream = stub.ImportDocuments()

        async def take() -> None:
            response = await stream.read()
            if not isinstance(response, documents_pb.ImportDocumentsResponse):
                raise ConnectionResetError("the stream ended")
            if not response.HasField("acked"):
                raise RuntimeError(f"a document was refused: {response.rejected}")
            number, version = sent.popleft()
            ledger.acked[number] = version
            ledger.acks += 1

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
        finally:
            stream.cancel()


def endless(round_number: int, stream: int) -> Iterator[tuple[int, int]]:
    """Documents of one stream: every other one is new, the rest replace those of earlier rounds. Streams share none."""
    for step in itertools.count():
        number = step % _PER_ROUND
        name = number if number % 2 else round_number * _PER_ROUND + number
        yield _STREAMS * name + stream, round_number * _VERSIONS + step


async def import_until_lost(channel: grpc.aio.Channel, round_number: int, ledger: Ledger) -> None:
    """Imports over several streams until the process is gone."""
    async with asyncio.TaskGroup() as group:
        for stream in range(_STREAMS):
            group.create_task(import_documents(channel, endless(round_number, stream), ledger))


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


async def _kill_soon(rng: random.Random, kill: asyncio.subprocess.Process | WeaviateServer) -> None:
    await asyncio.sleep(rng.uniform(0.0, _LAST_MOMENT_SECONDS))
    if isinstance(kill, WeaviateServer):
        await kill.kill()
    else:
        kill.kill()
        await kill.wait()


async def _first_ack(ledger: Ledger, importing: asyncio.Task[None]) -> None:
    before = ledger.acks
    async with asyncio.timeout(_START_SECONDS):
        while True:
            if ledger.acks > before or importing.done():
                return
            await asyncio.sleep(_POLL_SECONDS / 10)


async def kill_retriever(settings: RetrieverSettings, rounds: int, seed: int, seconds: float = math.inf) -> Figures:
    """Kills the retriever `rounds` times, or as often as there is time for.

    Raises:
        RuntimeError: it does not start, or refuses a document.
    """
    rng = random.Random(seed)  # chooses moments, hides nothing
    figures = Figures(settings.retriever_index, "retriever", seed)
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


async def kill_weaviate(
    settings: RetrieverSettings, server: WeaviateServer, rounds: int, seed: int, seconds: float = math.inf
) -> Figures:
    """Kills the Weaviate server `rounds` times, or as often as there is time for, while a retriever imports on.

    Raises:
        RuntimeError: the retriever does not start, ends, or refuses a document.
    """
    rng = random.Random(seed)  # chooses moments, hides nothing
    figures = Figures(settings.retriever_index, "weaviate", seed)
    ledger = Ledger()
    back: list[float] = []
    ends = time.monotonic() + seconds
    async with retriever_process(settings) as (_, channel):
        for round_number in range(1, rounds + 1):
            importing = asyncio.create_task(import_until_lost(channel, round_number, ledger))
            await _first_ack(ledger, importing)
            await _kill_soon(rng, server)
            await _first_ack(ledger, importing)  # what comes while it is away is acked all the same
            figures.rounds += 1
            figures.cut += not importing.done()
            begun = time.monotonic()
            await server.start()
            importing.cancel()
            await _ended(importing)
            await _until_the_index_answers(channel)
            back.append(time.monotonic() - begun)
            await count(channel, ledger, figures)
            last = round_number == rounds or time.monotonic() > ends
            await look(channel, ledger, _chosen(rng, ledger, round_number, every=last), figures)
            if last:
                break
    return _summed(figures, ledger, back)


async def _ended(importing: asyncio.Task[None]) -> None:
    try:
        await importing
    except* (grpc.aio.AioRpcError, asyncio.InvalidStateError, ConnectionResetError, asyncio.CancelledError):
        pass


async def _until_the_index_answers(channel: grpc.aio.Channel) -> None:
    stub: RetrieverServiceAsyncStub = RetrieverServiceStub(channel)
    async with asyncio.timeout(_START_SECONDS):
        while True:
            request = pb.SearchRequest(collection=COLLECTION, query="zebra1", dense_weight=0.0, rerank_depth=0)
            with context.as_principal(_EDITOR):
                found = await stub.Search(request, timeout=_CALL_SECONDS)
            if not any(one.leg == pb.SEARCH_LEG_INDEX for one in found.degraded):
                return
            await asyncio.sleep(_POLL_SECONDS)


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
