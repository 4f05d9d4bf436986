"""One turn from question to answer: the only place that knows the order.

check the question -> search -> read and write, sentence by sentence, through the guard -> finish. Everything that happens is an
event; how it ends is the return value. Knows neither readers nor leases: that is the hub's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from ragmesh.evidence.v1 import evidence_pb2, search_pb2, text_pb2
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2
from ragmesh.guard.v1 import guard_service_pb2 as guard_pb2
from ragmesh.retriever.v1 import retriever_service_pb2 as retriever_pb2

from services.gateway import outcome
from services.gateway.peers import Peers
from services.gateway.token_budget import allocate, estimate
from services.gateway.writer import TurnWriter
from services.mesh import telemetry
from services.mesh.assistant import CLARIFY, Assistant, in_language
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError, from_rpc_error

_MAX_UNREVIEWED_BYTES = 16 * 1024
_CHECK_SECONDS = 3.0
_SEARCH_SECONDS = 10.0
_SECOND_SEARCH_SECONDS = 3.0  # must be left for a second search to begin
_MAX_QUESTION_BYTES = 8192  # what the generator takes
_DECISION = "SUFFICIENCY_DECISION_"
_SKIPPED = {retriever_pb2.SEARCH_LEG_RERANK: "reranking", retriever_pb2.SEARCH_LEG_COMPRESSION: "compression"}
# What a later guard may say that is not known here lets nothing pass, and is searched for like a question.
_PASSES = (guard_pb2.ACTION_ALLOW, guard_pb2.ACTION_FLAG, guard_pb2.ACTION_SANITISE)
_SMALL_TALK = (
    text_pb2.INTENT_GREETING,
    text_pb2.INTENT_THANKS,
    text_pb2.INTENT_GOODBYE,
    text_pb2.INTENT_IDENTITY,
    text_pb2.INTENT_CAPABILITIES,
    text_pb2.INTENT_WELLBEING,
)


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Question:
    """What a turn is about."""

    text: str
    assistant: Assistant
    history: Sequence[text_pb2.Utterance]
    passages: int
    max_segments: int
    documents: int | None
    """Documents of the collection, as last counted."""
    window_tokens: int
    """Of everything that an engine reads and writes."""
    answer_tokens: int
    search_again: bool
    """Whether a search that falls short is made once more."""


@dataclass(frozen=True, slots=True)
class Material:
    """What an answer is written from."""

    question: str
    """The question as it was searched in the end: completed from the conversation, and spelt rightly."""
    evidence: Sequence[evidence_pb2.Evidence] = ()
    ask_back: bool = False
    """The question says too little to be answered."""


class TurnRun:
    """The work of one turn."""

    def __init__(self, writer: TurnWriter, peers: Peers, question: Question, budget: Budget) -> None:
        self._writer = writer
        self._peers = peers
        self._question = question
        self._budget = budget
        self.tally = outcome.Tally()
        """What is known of the turn so far; the hub finishes an interrupted turn from it."""
        self._stage: t.Stage.ValueType = t.STAGE_UNSPECIFIED
        self._stage_began = time.monotonic()
        # Positions in the draft, in bytes: sent to the guard; end of the last whole segment of it; decided by the guard.
        self._sent = 0
        self._segmented = 0
        self._reviewed = 0
        self._review_moved = asyncio.Event()
        self._drafted = False
        self._draft_error: Exception | None = None
        self._noted: list[t.TurnEvent] = []
        self._private = False

    async def run(self) -> t.TurnFinished:
        """Do the work.

        Raises:
            MeshError: whatever ends the turn as failed.
        """
        async with self._staged():
            checked = await self._check()
            passes = checked.verdict.action in _PASSES
            if passes:
                text = checked.normalised or self._question.text
                material = Material(text)
                if checked.intent not in _SMALL_TALK:
                    material = await self._search(text, checked.language)
                await self._write(text, checked, material)
        return outcome.finished(self.tally) if passes else outcome.blocked(self.tally, checked.verdict.category)

    @contextlib.asynccontextmanager
    async def _staged(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._leave_stage()
        await self._append()

    def _note(self, event: t.TurnEvent) -> None:
        """Let an event go with the next append: for what another event follows at once."""
        self._noted.append(event)

    async def _append(self, *events: t.TurnEvent) -> None:
        noted, self._noted = self._noted, []
        if noted or events:
            await self._writer.append(*noted, *events)

    async def _append_during(self, call: grpc.aio.UnaryUnaryCall[Any, Answer]) -> Answer:
        """What `call` answers. It is under way while the events that led to it are stored: neither waits for the other."""
        try:
            await self._append()
            return await call
        finally:
            call.cancel()

    def _note_stage(self, stage: t.Stage.ValueType, count: int | None = None) -> None:
        self._leave_stage()
        self._stage, self._stage_began = stage, time.monotonic()
        self._note(t.TurnEvent(stage=t.StageEntered(stage=stage, count=count)))

    def _leave_stage(self) -> None:
        if self._stage != t.STAGE_UNSPECIFIED:
            self.tally.add_timing(self._stage, time.monotonic() - self._stage_began)
            self._stage = t.STAGE_UNSPECIFIED

    async def _check(self) -> guard_pb2.CheckInputResponse:
        self._note_stage(t.STAGE_CHECKING)
        request = guard_pb2.CheckInputRequest(
            text=self._question.text, history=self._question.history, assistant=self._question.assistant.name
        )
        with telemetry.span("turn.check"):
            try:
                call = self._peers.guard.CheckInput(request, timeout=self._budget.share(0.5, cap=_CHECK_SECONDS))
                checked = await self._append_during(call)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, service="guard") from None
        self._writer.keep_question(checked.kept if checked.HasField("kept") else self._question.text)
        # What services may see and nobody may keep: nothing that repeats words of the question is stored then.
        self._private = checked.HasField("kept") and checked.kept != checked.normalised
        understood = t.Understood(intent=checked.intent, language=checked.language)
        self._note(t.TurnEvent(understood=understood))
        for skipped in checked.degraded:
            degraded = t.Degraded(stage=t.STAGE_CHECKING, skipped="small talk model", reason=skipped.reason)
            self._note(t.TurnEvent(degraded=degraded))
        return checked

    async def _search(self, text: str, language: str) -> Material:
        """Evidence, searched for once more where the first search fell short and there is time."""
        found = await self._find(text, language)
        judged = found.sufficiency
        if judged.decision == search_pb2.SUFFICIENCY_DECISION_ABSTAIN and self._may_search_again():
            try:
                again = await self._find(text, language, reformulate=True)
            except MeshError as error:
                # The turn has what it had: a second search is a help, no condition.
                degraded = t.Degraded(stage=t.STAGE_SEARCHING, skipped="second search", reason=error.reason)
                self._note(t.TurnEvent(degraded=degraded))
            else:
                found = again if again.sufficiency.probability > judged.probability else found
        judged = found.sufficiency
        self.tally.add_sufficiency(judged)
        ask_back = judged.decision == search_pb2.SUFFICIENCY_DECISION_ASK_BACK
        if ask_back:
            asks = in_language(self._question.assistant.sample_questions, language)
            self.tally.add_question_back(asks, spoken=CLARIFY in self._question.assistant.templates)
        enough = judged.decision not in (search_pb2.SUFFICIENCY_DECISION_ABSTAIN, search_pb2.SUFFICIENCY_DECISION_ASK_BACK)
        asked = found.searched.text
        fits = 0 < len(asked.encode()) <= _MAX_QUESTION_BYTES
        return Material(asked if fits else text, found.evidence if enough else (), ask_back)

    def _may_search_again(self) -> bool:
        return self._question.search_again and self._budget.remaining() > _SECOND_SEARCH_SECONDS

    async def _find(self, text: str, language: str, *, reformulate: bool = False) -> retriever_pb2.SearchResponse:
        self._note_stage(t.STAGE_SEARCHING, self._question.documents)
        assistant = self._question.assistant
        request = retriever_pb2.SearchRequest(
            collection=assistant.collection,
            query=text,
            history=self._question.history,
            language=language,
            limit=self._question.passages,
            subject=in_language(assistant.subject, language) if assistant.subject else "",
            max_tokens=self._evidence_tokens(text, language),
            reformulate=reformulate,
        )
        with telemetry.span("turn.search", ragmesh__reformulated=reformulate) as span:
            try:
                call = self._peers.retriever.Search(request, timeout=self._budget.share(0.5, cap=_SEARCH_SECONDS))
                found = await self._append_during(call)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, service="retriever") from None
            if found.HasField("sufficiency"):
                if self._private:
                    found.sufficiency.ClearField("missing")
                name = search_pb2.SufficiencyDecision.Name(found.sufficiency.decision)
                span.set_attribute("ragmesh.sufficiency_decision", name.removeprefix(_DECISION).lower())
                span.set_attribute("ragmesh.sufficiency", found.sufficiency.probability)
        for skipped in found.degraded:
            leg = retriever_pb2.SearchLeg.Name(skipped.leg).removeprefix("SEARCH_LEG_").lower()
            degraded = t.Degraded(
                stage=t.STAGE_SEARCHING, skipped=_SKIPPED.get(skipped.leg, f"{leg} search"), reason=skipped.reason
            )
            self._note(t.TurnEvent(degraded=degraded))
        evidence = t.EvidenceFound(
            evidence=found.evidence,
            documents_searched=found.documents_searched,
            searched=found.searched if found.HasField("searched") and not self._private else None,
            sufficiency=found.sufficiency if found.HasField("sufficiency") else None,
        )
        self.tally.add_evidence(evidence)
        self._note(t.TurnEvent(evidence=evidence))
        return found

    def _evidence_tokens(self, text: str, language: str) -> int:
        """The evidence's share of the window."""
        question = self._question
        return allocate(
            question.window_tokens,
            system=estimate(in_language(question.assistant.persona, language)),
            question=estimate(text),
            history=sum(estimate(said.text) for said in question.history),
            answer=question.answer_tokens,
        ).evidence

    async def _write(self, text: str, checked: guard_pb2.CheckInputResponse, material: Material) -> None:
        evidence = material.evidence
        if evidence:
            self._note_stage(t.STAGE_READING, len(evidence))
        assistant = self._question.assistant.name
        request = generator_pb2.StreamGenerateRequest(
            question=material.question,
            intent=checked.intent,
            history=self._question.history,
            evidence=evidence,
            ask_back=material.ask_back,
            language=checked.language,
            assistant=assistant,
            max_segments=self._question.max_segments,
        )
        said = text_pb2.Utterance(role=text_pb2.ROLE_USER, text=text)
        start = guard_pb2.CheckOutputStart(
            evidence=evidence, history=[*self._question.history, said], assistant=assistant, language=checked.language
        )
        concluded = False
        seconds = self._budget.share(1.0)
        with telemetry.span("turn.write"):
            generation = self._peers.generator.StreamGenerate(request, timeout=seconds)
            checking = self._peers.guard.CheckOutput(self._drafts(start, generation), timeout=seconds)
            try:
                await self._append()
                async for decision in checking:
                    concluded = decision.HasField("finished")
                    await self._decided(decision)
            except grpc.aio.AioRpcError as error:
                raise self._draft_error or from_rpc_error(error, service="guard") from None
            finally:
                generation.cancel()
                checking.cancel()
        if self._draft_error is not None:
            raise self._draft_error
        if not (self._drafted and concluded):
            service = "guard" if self._drafted else "generator"
            raise MeshError("INTERNAL", f"{service} ended before it was done", metadata={"service": service})

    async def _drafts(
        self,
        start: guard_pb2.CheckOutputStart,
        generation: grpc.aio.UnaryStreamCall[generator_pb2.StreamGenerateRequest, generator_pb2.StreamGenerateResponse],
    ) -> AsyncIterator[guard_pb2.CheckOutputRequest]:
        """The draft as the guard reads it. The generator waits while too much of it is unreviewed."""
        yield guard_pb2.CheckOutputRequest(start=start)
        try:
            async for step in generation:
                match step.WhichOneof("step"):
                    case "decision":
                        self.tally.add_decision(step.decision)
                    case "text":
                        if self._stage != t.STAGE_WRITING:
                            self._note_stage(t.STAGE_WRITING)  # with the first decision, which follows at once
                        await self._admit(len(step.text.text.encode()))
                        yield guard_pb2.CheckOutputRequest(text=guard_pb2.DraftText(text=step.text.text))
                    case "segment_end":
                        self._segmented = step.segment_end.range.end
                        yield guard_pb2.CheckOutputRequest(segment_end=step.segment_end)
                    case "finished":
                        self._drafted = True
                        self.tally.add_generation(step.finished)
                    case _:
                        pass  # a step of a later generator
        # Raising here would end the guard's call with a bare CANCELLED: half-close, and tell the cause afterwards.
        except grpc.aio.AioRpcError as error:
            self._draft_error = from_rpc_error(error, service="generator")
        except Exception as error:
            self._draft_error = error

    async def _admit(self, size: int) -> None:
        """Wait until `size` more bytes may be unreviewed."""
        if self._sent + size - self._segmented > _MAX_UNREVIEWED_BYTES:
            # Only whole segments are reviewed: waiting for this one to be would never end.
            limit = str(_MAX_UNREVIEWED_BYTES)
            raise MeshError("TURN_TOO_LARGE", "a sentence of the draft has no end", metadata={"limit_bytes": limit})
        while self._sent + size - self._reviewed > _MAX_UNREVIEWED_BYTES:
            self._review_moved.clear()
            await self._review_moved.wait()
        self._sent += size

    def _review(self, part: text_pb2.TextRange) -> None:
        self._reviewed = max(self._reviewed, part.end)
        self._review_moved.set()

    async def _decided(self, decision: guard_pb2.CheckOutputResponse) -> None:
        match decision.WhichOneof("decision"):
            case "released":
                released = decision.released
                self._review(released.draft_range)
                self.tally.add_released(released)
                claims = [t.TurnEvent(claim=t.ClaimMade(claim=claim)) for claim in released.claims]
                delta = t.TurnEvent(delta=t.Delta(start=released.start, text=released.text))
                await self._append(delta, *claims)
            case "retracted":
                reason = outcome.block_reason(decision.retracted.category)
                self.tally.add_retracted(decision.retracted.range, reason)
                retracted = t.Retracted(range=decision.retracted.range, reason=reason)
                await self._append(t.TurnEvent(retracted=retracted))
            case "annotated":
                judged = self.tally.add_annotated(decision.annotated)
                if judged:
                    await self._append(*(t.TurnEvent(claim=t.ClaimMade(claim=claim)) for claim in judged))
            case "withheld":
                self._review(decision.withheld.draft_range)
                self.tally.add_withheld(decision.withheld)
            case _:
                pass  # `finished` says nothing that was not said; a decision of a later guard has no meaning here
