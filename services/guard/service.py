"""GuardService: hands requests to the checks, and their results back. Decides nothing itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from ragmesh.evidence.v1 import text_pb2
from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceServicer

from services.guard import counting, explain
from services.guard.answer_privacy import AnswerPrivacy
from services.guard.checks import Checks
from services.guard.documents import DocumentCheck
from services.guard.output.begin import ClaimChecks, begin
from services.guard.output.check import OutputCheck
from services.guard.policy import PolicyStore
from services.guard.security_log import SecurityLog
from services.guard.understanding.intent_model import IntentModel, Understood
from services.mesh.assistant import Assistant
from services.mesh.errors import MeshError

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Guard(GuardServiceServicer):
    """Serves `ragmesh.guard.v1.GuardService`."""

    policies: PolicyStore[Checks]
    documents: DocumentCheck
    intents: IntentModel
    assistants: Mapping[str, Assistant]
    log: SecurityLog
    claims: ClaimChecks
    """What judges composed claims."""

    async def CheckInput(self, request: pb.CheckInputRequest, _: Context) -> pb.CheckInputResponse:
        """Judge a question."""
        began = time.perf_counter()
        checks = self._checks(request.assistant)
        said = [utterance.text for utterance in request.history if utterance.role != text_pb2.ROLE_ASSISTANT]
        found = checks.questions.check(request.text, said)
        # What is refused is for nothing, and no model needs to read it.
        understood = Understood(found.intent) if found.refused else await self.intents.understand(found.normalised, found.intent)
        found = checks.questions.place(found, understood.intent, said)
        self.log.record("question", found.verdict, checks.policy, seen=found.seen, text=request.text)
        counting.count("question", [found.verdict])
        counting.took("question", began)
        response = pb.CheckInputResponse(
            verdict=found.verdict,
            normalised=found.normalised,
            intent=found.intent,
            language=found.language,
            pii=found.pii,
            kept=found.kept,
            degraded=[pb.CheckDegradation(part=pb.CHECK_PART_INTENT, reason=understood.degraded)] if understood.degraded else [],
            models=[understood.model] if understood.model is not None else [],
        )
        if request.explain:
            explained = explain.explanation(
                checks.judge, checks.policy, request.text, found.verdict, found.seen, (understood.guess, found.guess)
            )
            response.explanation.CopyFrom(explained)
        return response

    async def CheckDocument(self, request: pb.CheckDocumentRequest, _: Context) -> pb.CheckDocumentResponse:
        """Judge passages of a document, or of several."""
        if request.assistant:
            self._checks(request.assistant)
        if request.names and len(request.names) != len(request.passages):
            violation = ("names", "must be as many as passages, or none")
            raise MeshError(
                "INVALID_REQUEST", "passages and their names do not agree", metadata={"violations": "1"}, violations=[violation]
            )
        began = time.perf_counter()
        found, digest = await self.documents.check(request)
        counting.took("passage", began)
        for place, item in enumerate(found):
            if not item.remembered:
                subject = request.names[place] if request.names else request.document
                passage = request.passages[place]
                self.log.record("passage", item.verdict, item.policy, seen=item.seen, text=passage, subject=subject)
        verdicts = [item.verdict for item in found]
        counting.count("passage", verdicts)
        return pb.CheckDocumentResponse(verdicts=verdicts, digest=digest)

    async def CheckOutput(
        self, request_iterator: AsyncIterator[pb.CheckOutputRequest], _: Context
    ) -> AsyncIterator[pb.CheckOutputResponse]:
        """Judge a draft as it grows."""
        check: OutputCheck | None = None
        try:
            async for request in request_iterator:
                step = request.WhichOneof("step")
                if (step == "start") != (check is None):
                    violation = ("step", "start comes first, and once")
                    raise MeshError("INVALID_REQUEST", "the steps of a draft came out of order", violations=[violation])
                if check is None:
                    checks = self._checks(request.start.assistant)
                    policy, assistant = checks.policy, self.assistants[request.start.assistant]
                    check = begin(request.start, judge=checks.judge, policy=policy, assistant=assistant, claims=self.claims)
                    privacy = AnswerPrivacy(policy, self.log.finder, request.start, assistant)
                elif step == "text":
                    check.text(request.text.text)
                elif step == "segment_end":
                    for answer in await check.segment(request.segment_end):
                        yield privacy.applied(answer)
            if check is None:
                raise MeshError("INVALID_REQUEST", "a draft must begin", violations=[("step", "start is missing")])
            for answer in map(privacy.applied, await check.finish()):
                if answer.HasField("finished"):
                    verdict = answer.finished.verdict
                    verdict.policy_digest = policy.digest
                    self.log.record("draft", verdict, policy)
                    counting.count("draft", [verdict])
                yield answer
        finally:
            if check is not None:
                check.close()

    def _checks(self, name: str) -> Checks:
        try:
            return self.policies.built(name)
        except KeyError:
            raise MeshError("ASSISTANT_NOT_FOUND", "there is no such assistant", metadata={"assistant": name}) from None
