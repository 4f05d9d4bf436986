"""How a turn ended: from what happened in it to one `TurnFinished`. Pure; it knows no service and no log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration
from ragmesh.evidence.v1 import evidence_pb2, search_pb2
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2
from ragmesh.guard.v1 import guard_service_pb2 as guard_pb2

from services.mesh import telemetry
from services.mesh.errors import MeshError

_NEAREST = 3
_MAX_MODELS = 16
_MAX_SUGGESTIONS = 8
_SEARCH_WEIGHT, _ANSWERER_WEIGHT, _BIAS = 0.46, 0.69, 0.0
_LEAST = 0.005

_BLOCK_REASONS = {
    guard_pb2.CATEGORY_OVERRIDE: t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    guard_pb2.CATEGORY_ROLE: t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    guard_pb2.CATEGORY_JAILBREAK: t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    guard_pb2.CATEGORY_PROMPT_EXTRACTION: t.BLOCK_REASON_PROMPT_EXTRACTION,
    guard_pb2.CATEGORY_ENCODING: t.BLOCK_REASON_UNSAFE_CONTENT,
    guard_pb2.CATEGORY_CODE_INJECTION: t.BLOCK_REASON_UNSAFE_CONTENT,
    guard_pb2.CATEGORY_MARKUP: t.BLOCK_REASON_UNSAFE_CONTENT,
    guard_pb2.CATEGORY_MALFORMED: t.BLOCK_REASON_UNREADABLE,
    guard_pb2.CATEGORY_TOO_LONG: t.BLOCK_REASON_TOO_LONG,
    guard_pb2.CATEGORY_GARBAGE: t.BLOCK_REASON_UNSUPPORTED,
    guard_pb2.CATEGORY_UNSUPPORTED: t.BLOCK_REASON_UNSUPPORTED,
    guard_pb2.CATEGORY_PROMPT_LEAK: t.BLOCK_REASON_PROMPT_EXTRACTION,
    guard_pb2.CATEGORY_CITATION_MISMATCH: t.BLOCK_REASON_UNSUPPORTED,
    guard_pb2.CATEGORY_INDIRECT: t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    guard_pb2.CATEGORY_OPTIMISED_SUFFIX: t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    guard_pb2.CATEGORY_CONTRADICTION: t.BLOCK_REASON_UNSUPPORTED,
    guard_pb2.CATEGORY_NON_ANSWER: t.BLOCK_REASON_UNSUPPORTED,
    # What the owner's policy decides.
    guard_pb2.CATEGORY_PII: t.BLOCK_REASON_PERSONAL_DATA,
    guard_pb2.CATEGORY_SECRET: t.BLOCK_REASON_PERSONAL_DATA,
    guard_pb2.CATEGORY_OFF_TOPIC: t.BLOCK_REASON_OFF_TOPIC,
    guard_pb2.CATEGORY_LANGUAGE: t.BLOCK_REASON_LANGUAGE,
}


_SUPPORTS = {
    evidence_pb2.CLAIM_VERDICT_VERIFIED: evidence_pb2.SUPPORT_FULL,
    evidence_pb2.CLAIM_VERDICT_CONTRADICTED: evidence_pb2.SUPPORT_NONE,
}


def block_reason(category: guard_pb2.Category.ValueType) -> t.BlockReason.ValueType:
    """The guard's category in words that may be shown."""
    return _BLOCK_REASONS.get(category, t.BLOCK_REASON_UNSAFE_CONTENT)


@dataclass(slots=True)
class Tally:
    """What has happened in a turn, as far as its end depends on it."""

    decision: generator_pb2.Decision | None = None
    evidence: list[evidence_pb2.Evidence] = field(default_factory=list)
    documents_searched: int = 0
    released_bytes: int = 0
    withheld: list[guard_pb2.Withheld] = field(default_factory=list)
    retracted: list[tuple[TextRange, t.BlockReason.ValueType]] = field(default_factory=list)
    claims: list[evidence_pb2.Claim] = field(default_factory=list)
    usage: t.Usage = field(default_factory=t.Usage)
    timings: list[t.StageTiming] = field(default_factory=list)
    models: dict[tuple[str, str], ModelRef] = field(default_factory=dict)
    sufficiency: search_pb2.Sufficiency | None = None
    question_back: tuple[str, ...] | None = None
    """Questions that the asker could mean, where the assistant asks back."""

    def add_timing(self, stage: t.Stage.ValueType, seconds: float) -> None:
        """A stage took so long."""
        elapsed = Duration()
        elapsed.FromMicroseconds(int(seconds * 1_000_000))
        self.timings.append(t.StageTiming(stage=stage, elapsed=elapsed))

    def add_evidence(self, found: t.EvidenceFound) -> None:
        """Passages were found."""
        self.evidence.extend(found.evidence)
        self.documents_searched = max(self.documents_searched, found.documents_searched)
        self.usage.passages = len(self.evidence)
        for evidence in found.evidence:
            self._add_models(*evidence.models)

    def add_sufficiency(self, judged: search_pb2.Sufficiency) -> None:
        """The evidence that the answer is written from was judged."""
        self.sufficiency = judged

    def add_question_back(self, asks: Sequence[str], *, spoken: bool) -> None:
        """The question says too little; `spoken`: the assistant has words for asking back."""
        self.question_back = tuple(asks)[:_MAX_SUGGESTIONS] if spoken else None

    def add_decision(self, decision: generator_pb2.Decision) -> None:
        """The generator decided how to meet the question."""
        self.decision = decision
        if decision.HasField("model"):
            self._add_models(decision.model)

    def add_generation(self, finished: generator_pb2.GenerationFinished) -> None:
        """The draft is complete."""
        self.usage.input_tokens = finished.usage.input_tokens
        self.usage.output_tokens = finished.usage.output_tokens
        self._add_models(*finished.models)

    def add_released(self, released: guard_pb2.Released) -> None:
        """Text was released."""
        self.released_bytes += len(released.text.encode())
        self.claims.extend(released.claims)

    def add_annotated(self, annotated: guard_pb2.Annotated) -> list[evidence_pb2.Claim]:
        """Claims of this range are judged anew; they are returned as they stand now. None where the range is no claim's."""
        changed = [claim for claim in self.claims if claim.range == annotated.range and claim.verdict != annotated.verdict]
        if annotated.verdict == evidence_pb2.CLAIM_VERDICT_UNSPECIFIED:
            return []
        for claim in changed:
            claim.verdict = annotated.verdict
            claim.support = _SUPPORTS.get(annotated.verdict, claim.support)
        return changed

    def add_withheld(self, withheld: guard_pb2.Withheld) -> None:
        """A segment was withheld."""
        self.withheld.append(withheld)

    def add_retracted(self, part: TextRange, reason: t.BlockReason.ValueType) -> None:
        """Released text was taken back."""
        self.retracted.append((part, reason))

    def standing_bytes(self) -> int:
        """Bytes that were released and not taken back."""
        gone, reached = 0, 0
        for start, end in sorted((part.start, part.end) for part, _ in self.retracted):
            gone += max(0, end - max(start, reached))
            reached = max(reached, end)
        return self.released_bytes - gone

    def _add_models(self, *models: ModelRef) -> None:
        for model in models:
            if len(self.models) < _MAX_MODELS:
                self.models.setdefault((model.name, model.weights_sha256), model)


def _base(tally: Tally, ended: t.Outcome.ValueType) -> t.TurnFinished:
    made = t.TurnFinished(
        outcome=ended,
        verdict=_verdict(tally),
        usage=tally.usage,
        timings=tally.timings,
        models=list(tally.models.values()),
        trace_id=telemetry.current_trace_id(),
    )
    if tally.decision is not None and tally.decision.HasField("answerability"):
        made.confidence = confidence(tally.decision.answerability, tally.sufficiency)
    return made


def confidence(answerability: float, judged: search_pb2.Sufficiency | None) -> float:
    """Probability that the sentence shown first is right: what the search was worth and what the answerer read, weighed by logistic
    regression. Fitted on the tuning half of SQuAD's held-out articles, over 20,000 paragraphs; docs/search.md has the figures.
    """
    if judged is None or not judged.HasField("probability"):
        return answerability
    score = _SEARCH_WEIGHT * _logit(judged.probability) + _ANSWERER_WEIGHT * _logit(answerability) + _BIAS
    return 1 / (1 + math.exp(-score))


def _logit(probability: float) -> float:
    inside = min(max(probability, _LEAST), 1 - _LEAST)
    return math.log(inside / (1 - inside))


def _verdict(tally: Tally) -> t.OverallVerdict.ValueType:
    def gone(claim: evidence_pb2.Claim) -> bool:
        return any(claim.range.start < part.end and part.start < claim.range.end for part, _ in tally.retracted)

    verdicts = [claim.verdict for claim in tally.claims if not gone(claim)]
    if not verdicts:
        return t.OVERALL_VERDICT_UNSPECIFIED
    verified = sum(verdict == evidence_pb2.CLAIM_VERDICT_VERIFIED for verdict in verdicts)
    if verified == len(verdicts):
        return t.OVERALL_VERDICT_VERIFIED
    return t.OVERALL_VERDICT_PARTLY if verified else t.OVERALL_VERDICT_UNVERIFIED


def finished(tally: Tally) -> t.TurnFinished:
    """The end of a turn whose work is done."""
    if tally.question_back is not None and tally.standing_bytes():
        made = _base(tally, t.OUTCOME_CLARIFICATION)
        made.suggestions.extend(tally.question_back)
        return made
    if tally.decision is not None and tally.decision.kind == generator_pb2.DECISION_KIND_ABSTAIN:
        made = _base(tally, t.OUTCOME_ABSTAINED)
        made.abstention.CopyFrom(_abstention(tally))
        return made
    if not tally.standing_bytes():
        if tally.withheld:
            return blocked(tally, tally.withheld[0].verdict.category)
        if tally.retracted:
            return _blocked(tally, tally.retracted[0][1])
        return failed(MeshError("INTERNAL", "no answer came, and no reason why"), tally)
    judged = tally.sufficiency
    gap = judged is not None and judged.decision == search_pb2.SUFFICIENCY_DECISION_ANSWER_WITH_GAP
    made = _base(tally, t.OUTCOME_PARTIAL if gap or tally.withheld or tally.retracted else t.OUTCOME_ANSWERED)
    if gap and judged is not None:
        made.gaps.extend(judged.missing)  # in the question's words; none where they may not be kept
    return made


def _abstention(tally: Tally) -> t.Abstention:
    nearest: dict[str, t.NearestDocument] = {}
    for evidence in tally.evidence:
        title = evidence.title_path[0] if evidence.title_path else evidence.source_uri
        nearest.setdefault(evidence.document, t.NearestDocument(document=evidence.document, title=title, evidence=evidence.name))
    return t.Abstention(documents_searched=tally.documents_searched, nearest=list(nearest.values())[:_NEAREST])


def blocked(tally: Tally, category: guard_pb2.Category.ValueType) -> t.TurnFinished:
    """The end of a turn that the guard refused."""
    return _blocked(tally, block_reason(category))


def _blocked(tally: Tally, reason: t.BlockReason.ValueType) -> t.TurnFinished:
    made = _base(tally, t.OUTCOME_BLOCKED)
    made.block_reason = reason
    return made


def stopped(tally: Tally) -> t.TurnFinished:
    """The end of a turn that was stopped."""
    return _base(tally, t.OUTCOME_STOPPED)


def failed(error: MeshError, tally: Tally | None = None) -> t.TurnFinished:
    """The end of a turn that failed."""
    made = _base(tally, t.OUTCOME_FAILED) if tally is not None else t.TurnFinished(outcome=t.OUTCOME_FAILED)
    # A caller whose own time is up is not told to come back; an asker may, with a new turn's time.
    retryable = error.retryable or error.reason == "DEADLINE_EXCEEDED"
    failure = t.Failure(reason=error.reason, message=error.message, retryable=retryable)
    made.failure.CopyFrom(failure)
    return made
