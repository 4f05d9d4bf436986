"""Asks the guard which passages carry instructions to the assistant: those of a document at ingest, those of a search at use.

A passage that was stored before a rule existed is judged again the first time that it is found. What was judged is remembered as
long as the guard judges by the same rules. Passages that their owner released are not asked about. Calls that belong to no turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import grpc
from ragmesh.guard.v1.guard_service_pb2 import Action, Category, CheckDocumentRequest, CheckDocumentResponse, Verdict
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceStub

from services.mesh import context
from services.mesh.errors import MeshError, from_rpc_error
from services.retriever.chunking import Chunk
from services.retriever.clean_passages import CleanPassages
from services.retriever.giving_way import GivingWay
from services.retriever.quarantine_book import Held, QuarantineBook, digest_of, passage_text

_MAX_PASSAGES = 16
"""Of one call of an import: 20 ms of the guard."""
_CALLS = 2
"""Of imports, at a time: the guard judges passages on one thread."""
_MAX_BATCH_BYTES = 1024 * 1024
_MAX_REMEMBERED = 16_384
"""Verdicts about passages that are not clean, with what they found."""
_CLEAN = Verdict(action=Action.ACTION_ALLOW)
_MAX_COLLECTIONS = 1024
_SAME_RULES_SECONDS = 5.0
"""How long the guard is trusted to judge by the same rules without being asked: a new rule counts after that at the latest."""
_ROUNDS = 3


Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored passage that a search has found."""

    name: str
    """Of its chunk."""
    document: str
    title_path: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Screened:
    """What the guard says of the passages of a search."""

    held: frozenset[int]
    """Places of those that must not be handed to anybody."""
    quoted: Mapping[int, Ranges]
    """Place -> the bytes of its text that give orders to an assistant, of those that may be handed out all the same."""


class Screening:
    """The guard, as imports and searches see it.

    Args:
        book: what is held back, and what was released.
        passed: what the guard found clean.
        way: whom imports wait for.
        seconds: how long one batch of an import may take.
        use_seconds: how long the passages of a search may take.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        book: QuarantineBook,
        passed: CleanPassages,
        way: GivingWay,
        *,
        seconds: float,
        use_seconds: float,
    ) -> None:
        self._guard = GuardServiceStub(channel)
        self._book = book
        self._way = way
        self._importing = asyncio.Semaphore(_CALLS)
        self._seconds = seconds
        self._use_seconds = use_seconds
        # Collection -> digest of the rules that its passages are judged by, and when that was heard.
        self._rules: dict[str, tuple[str, float]] = {}
        self._passed = passed
        # Digest of a passage that is not clean -> digest of the rules it was judged by, and what they said.
        self._remembered: OrderedDict[bytes, tuple[str, Verdict]] = OrderedDict()

    async def held_back(self, document: str, chunks: Sequence[Chunk]) -> frozenset[int]:
        """Ordinals of the chunks that must not be indexed.

        Args:
            document: `collections/{c}/documents/{d}`.

        Raises:
            MeshError: SERVICE_UNAVAILABLE, DEADLINE_EXCEEDED and what else the guard answers with.
        """
        tenant = _tenant()
        digests = {chunk.ordinal: digest_of(chunk.title_path, chunk.text) for chunk in chunks}
        released = await self._book.released(tenant, list(digests.values()))
        held: list[tuple[Chunk, Verdict]] = []
        asked = [chunk for chunk in chunks if digests[chunk.ordinal] not in released]
        for batch in _batches(asked, lambda: self._way.portion(_MAX_PASSAGES)):
            passages = [passage_text(chunk.title_path, chunk.text) for chunk in batch]
            async with self._importing:
                await self._way.turn()
                response = await self._ask(CheckDocumentRequest(document=document, passages=passages), self._seconds)
            for chunk, verdict in zip(batch, response.verdicts, strict=True):
                self._remember(digests[chunk.ordinal], response.digest, verdict)
                if not _passes(verdict):
                    held.append((chunk, verdict))
        # Of a document that is held back whole nothing is stored: its text is kept here, so that its owner can judge it.
        whole = len(held) == len(chunks)
        noted = [_held(digests[chunk.ordinal], document, verdict, chunk.text if whole else "") for chunk, verdict in held]
        await self._book.note(tenant, noted)
        return frozenset(chunk.ordinal for chunk, _ in held)

    async def at_use(self, tenant: str, collection: str, passages: Sequence[Passage]) -> Screened:
        """What the guard says of `passages` by the rules of now.

        Args:
            tenant: whose releases count.
            collection: `collections/{c}`, which all of them are of.
            passages: what a search has found.

        Raises:
            MeshError: the guard does not answer in time. What nobody judged is not handed out.
        """
        digests = [digest_of(passage.title_path, passage.text) for passage in passages]
        for _ in range(_ROUNDS):
            unknown = [place for place, digest in enumerate(digests) if self._known(collection, digest) is None]
            if passages and not unknown and time.monotonic() - self._rules[collection][1] > _SAME_RULES_SECONDS:
                unknown = [0]  # only to hear by which rules the guard judges
            if not unknown:
                break
            await self._judge(collection, [(passages[place], digests[place]) for place in unknown])
        judged = {place: self._known(collection, digest) for place, digest in enumerate(digests)}
        found = {place: verdict for place, verdict in judged.items() if verdict is None or not _clean(verdict)}
        if not found:
            return Screened(frozenset(), {})
        released = await self._book.released(tenant, [digests[place] for place in found])
        standing = {place: verdict for place, verdict in found.items() if digests[place] not in released}
        held = {place: verdict for place, verdict in standing.items() if verdict is None or not _passes(verdict)}
        noted = [
            _held(digests[place], passages[place].document, verdict, "") for place, verdict in held.items() if verdict is not None
        ]
        await self._book.note(tenant, noted)
        quoted = {
            place: _quoted(passages[place], item) for place, item in standing.items() if item is not None and place not in held
        }
        return Screened(frozenset(held), quoted)

    async def _judge(self, collection: str, asked: Sequence[tuple[Passage, bytes]]) -> None:
        request = CheckDocumentRequest(
            document=f"{collection}/documents/-",
            passages=[passage_text(passage.title_path, passage.text) for passage, _ in asked],
            names=[passage.name for passage, _ in asked],
        )
        response = await self._ask(request, context.budget().share(0.5, cap=self._use_seconds))
        for (_, digest), verdict in zip(asked, response.verdicts, strict=True):
            self._remember(digest, response.digest, verdict)

    async def _ask(self, request: CheckDocumentRequest, seconds: float) -> CheckDocumentResponse:
        try:
            response: CheckDocumentResponse = await self._guard.CheckDocument(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, service="guard") from None
        if len(response.verdicts) != len(request.passages):
            raise MeshError("SERVICE_UNAVAILABLE", "the guard did not judge every passage", metadata={"service": "guard"})
        if len(self._rules) >= _MAX_COLLECTIONS:
            self._rules.clear()
        self._rules[request.document.partition("/documents/")[0]] = (response.digest, time.monotonic())
        return response

    def _known(self, collection: str, digest: bytes) -> Verdict | None:
        if collection not in self._rules:
            return None
        now = self._rules[collection][0]
        rules, verdict = self._remembered.get(digest, ("", None))
        if verdict is not None and rules == now:
            return verdict
        return _CLEAN if self._passed.holds(now, digest) else None

    def _remember(self, digest: bytes, rules: str, verdict: Verdict) -> None:
        if _clean(verdict):
            self._passed.add(rules, digest)
            self._remembered.pop(digest, None)
            return
        # Why it passed is of no interest here, and findings are large.
        kept = Verdict(action=verdict.action, category=verdict.category) if _passes(verdict) else verdict
        if _passes(verdict):
            kept.sanitised = ""
            kept.quoted.extend(verdict.quoted)
        self._remembered[digest] = (rules, kept)
        self._remembered.move_to_end(digest)
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)


def _passes(verdict: Verdict) -> bool:
    """Whether a passage may be stored and found. One that is to be replaced may only where the guard says by what."""
    if verdict.action == Action.ACTION_SANITISE:
        return verdict.HasField("sanitised")
    return _clean(verdict)


def _clean(verdict: Verdict) -> bool:
    """Whether a passage may be found, and all of it be answered with."""
    return verdict.action in (Action.ACTION_ALLOW, Action.ACTION_FLAG)


def _quoted(passage: Passage, verdict: Verdict) -> Ranges:
    """The bytes of the passage's text that give orders; all of it where they stand in its headings, or the guard does not say."""
    before, size = len(passage_text(passage.title_path, "").encode()), len(passage.text.encode())
    ranges = tuple((part.start - before, part.end - before) for part in verdict.quoted)
    inside = ranges and all(0 <= start < end <= size for start, end in ranges)
    return ranges if inside else ((0, size),)


def _held(digest: bytes, document: str, verdict: Verdict, text: str) -> Held:
    rules = [finding.rule or finding.model.name for finding in verdict.findings]
    return Held(digest, document, Category.Name(verdict.category), tuple(dict.fromkeys(filter(None, rules)))[:8], text)


def _tenant() -> str:
    found = context.principal_or_none()
    return found.tenant if found is not None else ""


def _batches(chunks: Sequence[Chunk], most: Callable[[], int]) -> Iterator[list[Chunk]]:
    batch: list[Chunk] = []
    size = 0
    for chunk in chunks:
        length = len(passage_text(chunk.title_path, chunk.text).encode())
        if batch and (len(batch) >= most() or size + length > _MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(chunk)
        size += length
    if batch:
        yield batch
