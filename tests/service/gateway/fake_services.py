"""Guard, retriever and generator that do what a test tells them: real servers on real sockets, with scripts behind them.

They record what came, and which calls were cancelled. Without a script they make a turn that is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import grpc
from ragmesh.evidence.v1 import evidence_pb2 as e
from ragmesh.evidence.v1.text_pb2 import INTENT_QUESTION, Intent
from ragmesh.generator.v1 import generator_service_pb2 as gen
from ragmesh.generator.v1.generator_service_pb2_grpc import GeneratorServiceServicer, add_GeneratorServiceServicer_to_server
from ragmesh.guard.v1 import guard_service_pb2 as guard
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceServicer, add_GuardServiceServicer_to_server
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import retriever_service_pb2 as ret
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceServicer, add_RetrieverServiceServicer_to_server

from services.mesh import context
from services.mesh.server import RunningServer, ServiceSpec, start
from services.mesh.settings import MeshSettings
from tests.unit.gateway import turn_events as ev

Steps = AsyncIterator[gen.StreamGenerateResponse]
Decisions = AsyncIterator[guard.CheckOutputResponse]
SENTENCES = ("Öl wird kühl gelagert.", " It is kept in the dark.")


def allow(intent: Intent.ValueType = INTENT_QUESTION, text: str = "") -> guard.CheckInputResponse:
    """The question may be asked."""
    verdict = guard.Verdict(action=guard.ACTION_ALLOW)
    return guard.CheckInputResponse(verdict=verdict, normalised=text, intent=intent, language="en")


def refuse(category: guard.Category.ValueType) -> guard.CheckInputResponse:
    """The question may not be asked."""
    return guard.CheckInputResponse(verdict=guard.Verdict(action=guard.ACTION_BLOCK, category=category), language="und")


def decided(
    kind: gen.DecisionKind.ValueType = gen.DECISION_KIND_ANSWER, answerability: float | None = 0.9
) -> gen.StreamGenerateResponse:
    """What the generator does."""
    return gen.StreamGenerateResponse(decision=gen.Decision(kind=kind, answerability=answerability))


def wrote(text: str) -> gen.StreamGenerateResponse:
    """The draft grows."""
    return gen.StreamGenerateResponse(text=gen.GeneratedText(text=text))


def segment(start: int, text: str, *claims: e.Claim, origin: e.Origin.ValueType = e.ORIGIN_COPIED) -> gen.StreamGenerateResponse:
    """A segment of the draft ends."""
    made = e.Segment(range=ev.span(start, start + len(text.encode())), origin=origin, claims=claims)
    return gen.StreamGenerateResponse(segment_end=made)


def done() -> gen.StreamGenerateResponse:
    """The draft is complete."""
    usage = gen.GenerationUsage(input_tokens=40, output_tokens=12)
    return gen.StreamGenerateResponse(finished=gen.GenerationFinished(usage=usage))


async def sentences(*texts: str, cites: str | None = "ev_1", start: int = 0) -> Steps:
    """Each text as a segment with one claim."""
    for text in texts:
        end = start + len(text.encode())
        yield wrote(text)
        yield segment(start, text, ev.claim(start, end, cites, verdict=e.CLAIM_VERDICT_UNSPECIFIED))
        start = end


async def answer(_: gen.StreamGenerateRequest) -> Steps:
    """The default script."""
    yield decided()
    async for step in sentences(*SENTENCES):
        yield step
    yield done()


async def hang(_: object) -> NoReturn:
    """Never answers."""
    while True:
        await asyncio.Event().wait()


class Recorder:
    """Calls of a method: what came, how many run, how many were cancelled."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.principals: list[Principal | None] = []
        self.live = 0
        self.cancelled = 0

    @asynccontextmanager
    async def call(self, request: Any) -> AsyncIterator[None]:
        """Around a call."""
        self.requests.append(request)
        self.principals.append(context.principal_or_none())
        self.live += 1
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.live -= 1


class FakeGuard(GuardServiceServicer):
    """Lets pass what it is not told to refuse, and releases each segment as it is."""

    def __init__(self) -> None:
        self.input = Recorder()
        self.output = Recorder()
        self.reviewed: list[guard.CheckOutputRequest] = []
        self.check: Callable[[guard.CheckInputRequest], Awaitable[guard.CheckInputResponse]] = self._allow
        self.decide: Callable[[FakeGuard, AsyncIterator[guard.CheckOutputRequest]], Decisions] = release_all

    @staticmethod
    async def _allow(request: guard.CheckInputRequest) -> guard.CheckInputResponse:
        return allow(text=request.text.strip())

    async def CheckDocument(self, request: guard.CheckDocumentRequest, _: Any) -> guard.CheckDocumentResponse:
        """Nothing of the gateway's."""
        raise AssertionError("the gateway stores no documents")

    async def CheckInput(self, request: guard.CheckInputRequest, _: Any) -> guard.CheckInputResponse:
        """Judge a question."""
        async with self.input.call(request):
            return await self.check(request)

    async def CheckOutput(self, requests: AsyncIterator[guard.CheckOutputRequest], _: Any) -> Decisions:
        """Judge a draft."""
        async with self.output.call(None):
            async for decision in self.decide(self, self._recorded(requests)):
                yield decision

    async def _recorded(self, requests: AsyncIterator[guard.CheckOutputRequest]) -> AsyncIterator[guard.CheckOutputRequest]:
        async for request in requests:
            self.reviewed.append(request)
            yield request


def released(part: bytes, draft_start: int, start: int, claims: Sequence[e.Claim] = ()) -> guard.CheckOutputResponse:
    """A part of the draft may be shown from `start` on."""
    moved = []
    for claim in claims:
        copy = e.Claim()
        copy.CopyFrom(claim)
        copy.verdict = e.CLAIM_VERDICT_VERIFIED
        copy.range.start += start - draft_start
        copy.range.end += start - draft_start
        moved.append(copy)
    made = guard.Released(draft_range=ev.span(draft_start, draft_start + len(part)), start=start, text=part.decode(), claims=moved)
    return guard.CheckOutputResponse(released=made)


def withheld(start: int, end: int, category: guard.Category.ValueType = guard.CATEGORY_UNSUPPORTED) -> guard.CheckOutputResponse:
    """A segment is not shown."""
    verdict = guard.Verdict(action=guard.ACTION_BLOCK, category=category)
    return guard.CheckOutputResponse(withheld=guard.Withheld(draft_range=ev.span(start, end), verdict=verdict))


def taken_back(start: int, end: int) -> guard.CheckOutputResponse:
    """Released text is taken back."""
    made = guard.OutputRetracted(range=ev.span(start, end), category=guard.CATEGORY_UNSUPPORTED)
    return guard.CheckOutputResponse(retracted=made)


def concluded() -> guard.CheckOutputResponse:
    """The end of a check."""
    return guard.CheckOutputResponse(finished=guard.OutputFinished(verdict=guard.Verdict(action=guard.ACTION_ALLOW)))


async def release_all(_: FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> Decisions:
    """Each segment as it is."""
    draft, shown = b"", 0
    async for request in requests:
        draft += request.text.text.encode()
        if request.HasField("segment_end"):
            part = request.segment_end.range
            text = draft[part.start : part.end]
            yield released(text, part.start, shown, request.segment_end.claims)
            shown += len(text)
    yield concluded()


class FakeRetriever(RetrieverServiceServicer):
    """Finds one passage."""

    def __init__(self) -> None:
        self.searches = Recorder()
        self.passages = Recorder()
        self.found = ret.SearchResponse(evidence=[ev.evidence()], documents_searched=63)
        self.search: Callable[[ret.SearchRequest], Awaitable[ret.SearchResponse]] = self._found
        self.failure: Exception | None = None

    async def _found(self, _: ret.SearchRequest) -> ret.SearchResponse:
        return self.found

    async def Search(self, request: ret.SearchRequest, _: Any) -> ret.SearchResponse:
        """Find passages."""
        async with self.searches.call(request):
            return await self.search(request)

    async def Explain(self, request: ret.ExplainRequest, _: Any) -> ret.ExplainResponse:
        """Nothing of the gateway's."""
        raise AssertionError("the gateway asks for no reasons")

    async def GetPassage(self, request: ret.GetPassageRequest, _: Any) -> ret.GetPassageResponse:
        """Read a passage."""
        async with self.passages.call(request):
            if self.failure is not None:
                raise self.failure
            return ret.GetPassageResponse(passage=ret.Passage(text=f"around {request.chunk}", range=ev.span(0, 9)))

    async def GetCollection(self, request: ret.GetCollectionRequest, _: Any) -> ret.GetCollectionResponse:
        """Count documents."""
        return ret.GetCollectionResponse(collection=ret.Collection(name=request.name, document_count=63))


class FakeGenerator(GeneratorServiceServicer):
    """Drafts what its script says."""

    def __init__(self) -> None:
        self.drafts = Recorder()
        self.sent_bytes = 0
        self.script: Callable[[gen.StreamGenerateRequest], Steps] = answer

    async def CountTokens(self, request: gen.CountTokensRequest, _: Any) -> gen.CountTokensResponse:
        """Nothing of the gateway's."""
        raise AssertionError("the gateway counts no tokens")

    async def GetModel(self, request: gen.GetModelRequest, _: Any) -> gen.GetModelResponse:
        """Nothing of the gateway's."""
        raise AssertionError("the gateway asks for no models")

    async def StreamGenerate(self, request: gen.StreamGenerateRequest, _: Any) -> Steps:
        """Draft."""
        async with self.drafts.call(request):
            async for step in self.script(request):
                yield step
                self.sent_bytes += len(step.text.text.encode())


class FakeServices:
    """The three, on the sockets where the gateway looks for them."""

    def __init__(self, settings: MeshSettings) -> None:
        self._settings = settings
        self._running: dict[str, RunningServer] = {}
        self.guard = FakeGuard()
        self.retriever = FakeRetriever()
        self.generator = FakeGenerator()

    async def start(self, *names: str) -> None:
        """Start the named ones; all where none is named."""
        for name in names or ("guard", "retriever", "generator"):
            self._running[name] = await start(self._settings, self._spec(name))

    async def stop(self, *names: str) -> None:
        """Stop the named ones; all where none is named."""
        for name in names or tuple(self._running):
            await self._running.pop(name).stop()

    def _spec(self, name: str) -> ServiceSpec:
        def register(server: grpc.aio.Server) -> None:
            match name:
                case "guard":
                    add_GuardServiceServicer_to_server(self.guard, server)
                case "retriever":
                    add_RetrieverServiceServicer_to_server(self.retriever, server)
                case "generator":
                    add_GeneratorServiceServicer_to_server(self.generator, server)

        async def readiness() -> dict[str, bool]:
            return {}

        async def close() -> None:
            pass

        return ServiceSpec(
            name=name,
            grpc_services=(f"ragmesh.{name}.v1.{name.capitalize()}Service",),
            register=register,
            readiness=readiness,
            close=close,
            peers={},
        )
