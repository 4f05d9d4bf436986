"""How a turn ends, from what happened in it."""

from __future__ import annotations

import pytest
from ragmesh.errors.v1.reason_pb2 import ErrorReason
from ragmesh.evidence.v1 import evidence_pb2 as e
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2
from ragmesh.guard.v1 import guard_service_pb2 as guard_pb2

from services.gateway import outcome
from services.mesh.errors import MeshError
from tests.unit.gateway import turn_events as ev

VERIFIED, UNVERIFIED = e.CLAIM_VERDICT_VERIFIED, e.CLAIM_VERDICT_UNVERIFIED


def _decision(kind: generator_pb2.DecisionKind.ValueType, answerability: float | None = None) -> generator_pb2.Decision:
    return generator_pb2.Decision(kind=kind, answerability=answerability)


def _released(text: str, *verdicts: e.ClaimVerdict.ValueType, start: int = 0) -> guard_pb2.Released:
    claims = [ev.claim(start, start + len(text), verdict=verdict) for verdict in verdicts]
    return guard_pb2.Released(draft_range=ev.span(0, len(text)), start=start, text=text, claims=claims)


def _withheld(category: guard_pb2.Category.ValueType = guard_pb2.CATEGORY_UNSUPPORTED) -> guard_pb2.Withheld:
    verdict = guard_pb2.Verdict(action=guard_pb2.ACTION_BLOCK, category=category)
    return guard_pb2.Withheld(draft_range=ev.span(0, 5), verdict=verdict)


def _answering(*released: guard_pb2.Released) -> outcome.Tally:
    tally = outcome.Tally()
    tally.add_decision(_decision(generator_pb2.DECISION_KIND_ANSWER, answerability=0.0))
    for one in released:
        tally.add_released(one)
    return tally


_SHOWN = {
    "OVERRIDE": t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    "ROLE": t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    "JAILBREAK": t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    "PROMPT_EXTRACTION": t.BLOCK_REASON_PROMPT_EXTRACTION,
    "PROMPT_LEAK": t.BLOCK_REASON_PROMPT_EXTRACTION,
    "ENCODING": t.BLOCK_REASON_UNSAFE_CONTENT,
    "CODE_INJECTION": t.BLOCK_REASON_UNSAFE_CONTENT,
    "MARKUP": t.BLOCK_REASON_UNSAFE_CONTENT,
    "MALFORMED": t.BLOCK_REASON_UNREADABLE,
    "TOO_LONG": t.BLOCK_REASON_TOO_LONG,
    "GARBAGE": t.BLOCK_REASON_UNSUPPORTED,
    "UNSUPPORTED": t.BLOCK_REASON_UNSUPPORTED,
    "CITATION_MISMATCH": t.BLOCK_REASON_UNSUPPORTED,
    "INDIRECT": t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    "OPTIMISED_SUFFIX": t.BLOCK_REASON_INSTRUCTION_OVERRIDE,
    "CONTRADICTION": t.BLOCK_REASON_UNSUPPORTED,
    "NON_ANSWER": t.BLOCK_REASON_UNSUPPORTED,
    "PII": t.BLOCK_REASON_PERSONAL_DATA,
    "SECRET": t.BLOCK_REASON_PERSONAL_DATA,
    "OFF_TOPIC": t.BLOCK_REASON_OFF_TOPIC,
    "LANGUAGE": t.BLOCK_REASON_LANGUAGE,
    "UNSPECIFIED": t.BLOCK_REASON_UNSAFE_CONTENT,
}


def test_every_category_of_the_contract_is_listed_here() -> None:
    assert {f"CATEGORY_{name}" for name in _SHOWN} == set(guard_pb2.Category.keys())


@pytest.mark.parametrize(("name", "reason"), _SHOWN.items())
def test_each_category_has_its_words(name: str, reason: t.BlockReason.ValueType) -> None:
    category = guard_pb2.Category.Value(f"CATEGORY_{name}")
    assert outcome.block_reason(category) == reason
    made = outcome.blocked(outcome.Tally(), category)
    assert (made.outcome, made.block_reason) == (t.OUTCOME_BLOCKED, reason)


def test_a_category_of_a_later_guard_still_has_words() -> None:
    assert outcome.block_reason(77) == t.BLOCK_REASON_UNSAFE_CONTENT  # type: ignore[arg-type]


def test_answered() -> None:
    made = outcome.finished(_answering(_released("Yes.", VERIFIED)))
    assert made.outcome == t.OUTCOME_ANSWERED
    assert made.verdict == t.OVERALL_VERDICT_VERIFIED
    assert made.HasField("confidence") and made.confidence == 0.0, "0 is a value"
    assert not made.HasField("failure") and not made.HasField("abstention")


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        ((), t.OVERALL_VERDICT_UNSPECIFIED),
        ((VERIFIED, VERIFIED), t.OVERALL_VERDICT_VERIFIED),
        ((VERIFIED, UNVERIFIED), t.OVERALL_VERDICT_PARTLY),
        ((VERIFIED, e.CLAIM_VERDICT_CONTRADICTED), t.OVERALL_VERDICT_PARTLY),
        ((UNVERIFIED,), t.OVERALL_VERDICT_UNVERIFIED),
    ],
)
def test_the_overall_verdict(verdicts: tuple[e.ClaimVerdict.ValueType, ...], overall: t.OverallVerdict.ValueType) -> None:
    made = outcome.finished(_answering(_released("Yes.", *verdicts)))
    assert (made.outcome, made.verdict) == (t.OUTCOME_ANSWERED, overall)
    assert made.HasField("confidence")


def test_a_withheld_segment_makes_it_partial_and_all_of_them_blocked() -> None:
    tally = _answering(_released("Yes.", VERIFIED))
    tally.add_withheld(_withheld())
    assert outcome.finished(tally).outcome == t.OUTCOME_PARTIAL
    nothing = _answering()
    nothing.add_withheld(_withheld(guard_pb2.CATEGORY_PROMPT_LEAK))
    nothing.add_withheld(_withheld())
    made = outcome.finished(nothing)
    assert (made.outcome, made.block_reason) == (t.OUTCOME_BLOCKED, t.BLOCK_REASON_PROMPT_EXTRACTION)


def test_what_was_taken_back_does_not_count() -> None:
    tally = _answering(_released("Yes.", VERIFIED), _released("No.", UNVERIFIED, start=4))
    tally.add_retracted(ev.span(4, 7), t.BLOCK_REASON_UNSUPPORTED)
    made = outcome.finished(tally)
    assert (made.outcome, made.verdict) == (t.OUTCOME_PARTIAL, t.OVERALL_VERDICT_VERIFIED)


def test_an_answer_that_was_taken_back_as_a_whole_is_blocked() -> None:
    tally = _answering(_released("Yes.", VERIFIED), _released("No.", VERIFIED, start=4))
    tally.add_retracted(ev.span(2, 7), t.BLOCK_REASON_PROMPT_EXTRACTION)
    assert outcome.finished(tally).outcome == t.OUTCOME_PARTIAL
    tally.add_retracted(ev.span(0, 3), t.BLOCK_REASON_UNSUPPORTED)
    made = outcome.finished(tally)
    assert (made.outcome, made.block_reason) == (t.OUTCOME_BLOCKED, t.BLOCK_REASON_PROMPT_EXTRACTION)
    assert made.verdict == t.OVERALL_VERDICT_UNSPECIFIED


def test_standing_bytes_count_overlaps_once() -> None:
    tally = _answering(_released("x" * 100))
    for start, end in [(10, 20), (15, 30), (10, 30), (90, 100), (50, 50)]:
        tally.add_retracted(ev.span(start, end), t.BLOCK_REASON_UNSUPPORTED)
    assert tally.standing_bytes() == 70


def test_no_answer_without_a_reason_is_a_failure() -> None:
    made = outcome.finished(_answering())
    assert (made.outcome, made.failure.reason) == (t.OUTCOME_FAILED, "INTERNAL")


def test_abstained_says_what_was_searched_and_the_nearest_three_documents() -> None:
    tally = outcome.Tally()
    documents = ["a", "b", "a", "c", "d"]
    passages = [ev.evidence(f"ev_{n}", document=f"collections/default/documents/{d}") for n, d in enumerate(documents)]
    tally.add_evidence(t.EvidenceFound(evidence=passages, documents_searched=63))
    tally.add_decision(_decision(generator_pb2.DECISION_KIND_ABSTAIN))
    tally.add_released(_released("I could not find it."))
    made = outcome.finished(tally)
    assert made.outcome == t.OUTCOME_ABSTAINED
    assert made.abstention.documents_searched == 63
    assert [(item.title, item.evidence) for item in made.abstention.nearest] == [
        ("Title of a", "ev_0"),
        ("Title of b", "ev_1"),
        ("Title of c", "ev_3"),
    ]
    assert not made.HasField("confidence"), "unset is not 0"
    assert made.usage.passages == 5


def test_a_template_is_an_answer_without_a_verdict() -> None:
    tally = outcome.Tally()
    tally.add_decision(_decision(generator_pb2.DECISION_KIND_TEMPLATE))
    tally.add_released(_released("Hello!"))
    made = outcome.finished(tally)
    assert (made.outcome, made.verdict) == (t.OUTCOME_ANSWERED, t.OVERALL_VERDICT_UNSPECIFIED)


def test_stopped_keeps_what_is_known() -> None:
    tally = _answering(_released("Yes.", VERIFIED))
    tally.add_timing(t.STAGE_CHECKING, 0.0125)
    made = outcome.stopped(tally)
    assert made.outcome == t.OUTCOME_STOPPED
    assert made.timings[0].elapsed.ToMicroseconds() == 12_500


@pytest.mark.parametrize("reason", [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:]])
def test_every_reason_makes_a_failure_that_says_whether_to_ask_again(reason: str) -> None:
    made = outcome.failed(MeshError(reason, "what happened"), outcome.Tally())
    assert (made.outcome, made.failure.reason, made.failure.message) == (t.OUTCOME_FAILED, reason, "what happened")
    transient = {"OVERLOADED", "RATE_LIMITED", "SERVICE_UNAVAILABLE", "MODEL_UNAVAILABLE", "DRAINING", "STORE_UNAVAILABLE"}
    assert made.failure.retryable == (reason in transient | {"TURN_INTERRUPTED", "DEADLINE_EXCEEDED"})


def test_models_are_named_once_and_bounded() -> None:
    tally = outcome.Tally()
    passage = ev.evidence()
    passage.models.extend([ModelRef(name="embedder"), ModelRef(name="embedder")])
    tally.add_evidence(t.EvidenceFound(evidence=[passage]))
    tally.add_decision(generator_pb2.Decision(kind=generator_pb2.DECISION_KIND_ANSWER, model=ModelRef(name="answerer")))
    finished = generator_pb2.GenerationFinished(
        usage=generator_pb2.GenerationUsage(input_tokens=7, output_tokens=3), models=[ModelRef(name="answerer")]
    )
    tally.add_generation(finished)
    made = outcome.stopped(tally)
    assert [model.name for model in made.models] == ["embedder", "answerer"]
    assert (made.usage.input_tokens, made.usage.output_tokens, made.usage.passages) == (7, 3, 1)
    tally.add_generation(generator_pb2.GenerationFinished(models=[ModelRef(name=f"m{n}") for n in range(30)]))
    assert len(outcome.stopped(tally).models) == 16
