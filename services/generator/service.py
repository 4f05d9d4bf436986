"""GeneratorService: decides how a question is met, and streams the draft."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import grpc
from ragmesh.evidence.v1 import text_pb2
from ragmesh.evidence.v1.evidence_pb2 import Evidence
from ragmesh.generator.v1 import generator_service_pb2 as pb
from ragmesh.generator.v1.generator_service_pb2_grpc import GeneratorServiceServicer

from services.generator.drafting import Draft, OutsideEvidenceError
from services.generator.models import ANSWERER, Models, Picked
from services.generator.settings import GeneratorSettings
from services.mesh import context
from services.mesh.assistant import CLARIFY, Assistant
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.mesh.quoting import without_quoted

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

_log = get_logger(__name__)

_TEMPLATES = {
    text_pb2.INTENT_GREETING: "greeting",
    text_pb2.INTENT_THANKS: "thanks",
    text_pb2.INTENT_GOODBYE: "goodbye",
    text_pb2.INTENT_IDENTITY: "identity",
    text_pb2.INTENT_CAPABILITIES: "capabilities",
    text_pb2.INTENT_WELLBEING: "wellbeing",
}
_ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True)
class Generator(GeneratorServiceServicer):
    """Serves `ragmesh.generator.v1.GeneratorService`."""

    models: Models
    assistants: Mapping[str, Assistant]
    settings: GeneratorSettings

    async def StreamGenerate(self, request: pb.StreamGenerateRequest, _: Context) -> AsyncIterator[pb.StreamGenerateResponse]:
        """Draft an answer."""
        assistant = self.assistants.get(request.assistant)
        if assistant is None:
            metadata = {"assistant": request.assistant}
            raise MeshError("ASSISTANT_NOT_FOUND", "there is no such assistant", metadata=metadata)
        draft = Draft()
        # Beside the answerer, so that the first sentence does not share the machine with it.
        counting = asyncio.create_task(self._count([request.question, *(item.text for item in request.evidence)]))
        try:
            async with aclosing(self._drafted(request, assistant, draft)) as steps:
                async for step in steps:
                    yield step
            yield await self._finished(request, draft, counting)
        finally:
            counting.cancel()

    async def _drafted(
        self, request: pb.StreamGenerateRequest, assistant: Assistant, draft: Draft
    ) -> AsyncGenerator[pb.StreamGenerateResponse, None]:
        """The steps of the draft; all but the last one of the stream."""
        # What is only quoted of the evidence is for readers: it is neither followed nor answered with.
        evidence = [item for item in without_quoted(request.evidence) if item.text.strip() or not item.quoted]
        template = _TEMPLATES.get(request.intent)
        if template is not None:
            yield _decision(pb.DECISION_KIND_TEMPLATE)
        elif request.ask_back and CLARIFY in assistant.templates:
            yield _decision(pb.DECISION_KIND_TEMPLATE)
            template = CLARIFY
        elif request.ask_back or not evidence:
            yield _decision(pb.DECISION_KIND_ABSTAIN)
            template = _ABSTAIN
        else:
            answered = False
            async with aclosing(self._answer(request, evidence, draft)) as steps:
                async for step in steps:
                    answered = answered or step.WhichOneof("step") == "text"
                    yield step
            template = None if answered else _ABSTAIN
        if template is not None:
            for step in draft.template(template, assistant.template(template, request.language)):
                yield step

    async def _answer(
        self, request: pb.StreamGenerateRequest, evidence: Sequence[Evidence], draft: Draft
    ) -> AsyncGenerator[pb.StreamGenerateResponse, None]:
        """A decision, and the sentences if there are any to show."""
        limit = request.max_segments if request.HasField("max_segments") else self.settings.max_segments
        picking = self.models.pick(request.question, evidence, limit, timeout=context.budget().share(1.0))
        async with aclosing(picking) as stream:
            decided = False
            async for picked in stream:
                if not decided:
                    decided = True
                    picked = replace(picked, threshold=max(picked.threshold, self.settings.generator_least_answerability))
                    yield self._decide(picked)
                    if picked.score < picked.threshold:
                        return
                    continue
                if not picked.shown:
                    return  # what comes from here on is for evaluations
                try:
                    steps = list(draft.copied(evidence, picked))
                except (OutsideEvidenceError, UnicodeDecodeError) as error:
                    _log.error("answerer.range", error=str(error))
                    text = "the answerer named words that are not in the evidence"
                    raise MeshError("MODEL_UNAVAILABLE", text, metadata={"model": ANSWERER}) from None
                for step in steps:
                    yield step
        if not decided:
            raise MeshError("MODEL_UNAVAILABLE", "the answerer said nothing", metadata={"model": ANSWERER})

    def _decide(self, picked: Picked) -> pb.StreamGenerateResponse:
        if picked.kind != "decision":
            raise MeshError("MODEL_UNAVAILABLE", "the answerer did not decide first", metadata={"model": ANSWERER})
        abstains = picked.score < picked.threshold
        step = _decision(pb.DECISION_KIND_ABSTAIN if abstains else pb.DECISION_KIND_ANSWER)
        step.decision.answerability = picked.score
        step.decision.threshold = picked.threshold
        model = self.models.known(ANSWERER)
        if model is not None:
            step.decision.model.CopyFrom(model)
        return step

    async def _finished(
        self, request: pb.StreamGenerateRequest, draft: Draft, counting: asyncio.Task[list[int] | None]
    ) -> pb.StreamGenerateResponse:
        usage = pb.GenerationUsage()
        read, written = await counting, await self._count(draft.parts)
        if read is not None and written is not None:
            usage.input_tokens, usage.output_tokens = sum(read), sum(written)
        used = [model for model in (self.models.known(ANSWERER),) if model is not None and request.evidence]
        return pb.StreamGenerateResponse(finished=pb.GenerationFinished(usage=usage, models=used))

    async def _count(self, texts: Sequence[str]) -> list[int] | None:
        """Tokens of each text; None where the tokenizer is late or gone, which no draft waits for."""
        if not texts:
            return []
        try:
            return await self.models.count(texts, timeout=context.budget().share(0.5, cap=self.settings.count_seconds))
        except MeshError as error:
            _log.warning("usage.uncounted", reason=error.reason)
            return None

    async def CountTokens(self, request: pb.CountTokensRequest, _: Context) -> pb.CountTokensResponse:
        """Count tokens."""
        counts = await self.models.count(request.texts, timeout=context.budget().share(1.0))
        return pb.CountTokensResponse(counts=counts, model=(await self.models.refs())[1])

    async def GetModel(self, request: pb.GetModelRequest, _: Context) -> pb.GetModelResponse:
        """Name the models."""
        return pb.GetModelResponse(models=await self.models.refs())


def _decision(kind: pb.DecisionKind.ValueType) -> pb.StreamGenerateResponse:
    return pb.StreamGenerateResponse(decision=pb.Decision(kind=kind))
