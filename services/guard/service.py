"""GuardService: hands requests to the checks, and their results back. Decides nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceServicer

from services.guard import security_log
from services.guard.judge import Judge, Sighting
from services.guard.output.check import MAX_RELEASED_BYTES, OutputCheck
from services.guard.output.quotes import Passages, QuoteError
from services.guard.output.segments import SegmentCheck
from services.guard.question import QuestionCheck
from services.guard.settings import GuardSettings
from services.guard.understanding.intent_model import IntentModel, Understood
from services.mesh.assistant import Assistant
from services.mesh.errors import MeshError

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Guard(GuardServiceServicer):
    """Serves `ragmesh.guard.v1.GuardService`."""

    judge: Judge
    questions: QuestionCheck
    intents: IntentModel
    assistants: Mapping[str, Assistant]
    workers: Executor
    """Where passages of documents are judged, so that an import does not hold up questions."""
    settings: GuardSettings

    async def CheckInput(self, request: pb.CheckInputRequest, _: Context) -> pb.CheckInputResponse:
        """Judge a question."""
        self._assistant(request.assistant)
        found = self.questions.check(request.text)
        security_log.record("question", found.verdict, found.seen, with_text=self.settings.guard_log_text)
        security_log.count([found.verdict])
        # What is refused is for nothing, and no model needs to read it.
        refused = found.verdict.action == pb.ACTION_BLOCK
        understood = Understood(found.intent) if refused else await self.intents.understand(found.normalised, found.intent)
        return pb.CheckInputResponse(
            verdict=found.verdict,
            normalised=found.normalised,
            intent=understood.intent,
            language=found.language,
            degraded=[pb.CheckDegradation(part=pb.CHECK_PART_INTENT, reason=understood.degraded)] if understood.degraded else [],
            models=[understood.model] if understood.model is not None else [],
        )

    async def CheckDocument(self, request: pb.CheckDocumentRequest, _: Context) -> pb.CheckDocumentResponse:
        """Judge passages of a document."""
        loop = asyncio.get_running_loop()
        verdicts = []
        for passage in request.passages:
            # One at a time: a call that is cancelled leaves at most one passage behind.
            judged: tuple[pb.Verdict, list[Sighting]] = await loop.run_in_executor(self.workers, self.judge.passage, passage)
            verdict, seen = judged
            security_log.record("passage", verdict, seen, with_text=self.settings.guard_log_text, subject=request.document)
            verdicts.append(verdict)
        security_log.count(verdicts)
        return pb.CheckDocumentResponse(verdicts=verdicts)

    async def CheckOutput(
        self, request_iterator: AsyncIterator[pb.CheckOutputRequest], _: Context
    ) -> AsyncIterator[pb.CheckOutputResponse]:
        """Judge a draft as it grows."""
        check: OutputCheck | None = None
        async for request in request_iterator:
            step = request.WhichOneof("step")
            if (step == "start") != (check is None):
                violation = ("step", "start comes first, and once")
                raise MeshError("INVALID_REQUEST", "the steps of a draft came out of order", violations=[violation])
            if check is None:
                check = self._begin(request.start)
            elif step == "text":
                check.text(request.text.text)
            elif step == "segment_end":
                yield check.segment(request.segment_end)
        if check is None:
            raise MeshError("INVALID_REQUEST", "a draft must begin", violations=[("step", "start is missing")])
        for answer in check.finish():
            if answer.HasField("finished"):
                security_log.record("draft", answer.finished.verdict)
                security_log.count([answer.finished.verdict])
            yield answer

    def _begin(self, start: pb.CheckOutputStart) -> OutputCheck:
        assistant = self._assistant(start.assistant)
        try:
            passages = Passages(start.evidence)
        except QuoteError as error:
            raise MeshError("INVALID_REQUEST", str(error), violations=[("start.evidence", str(error))]) from None
        released = start.budgets.max_released_bytes if start.budgets.HasField("max_released_bytes") else MAX_RELEASED_BYTES
        segments = SegmentCheck(self.judge, passages, assistant, release_unverified=self.settings.guard_release_unverified)
        return OutputCheck(segments, max_released_bytes=released)

    def _assistant(self, name: str) -> Assistant:
        found = self.assistants.get(name)
        if found is None:
            raise MeshError("ASSISTANT_NOT_FOUND", "there is no such assistant", metadata={"assistant": name})
        return found
