"""Composed claims beside their evidence: what the verifier says decides, what it cannot say is UNVERIFIED, and time has an end."""

from __future__ import annotations

import asyncio

import pytest
from ragmesh.evidence.v1 import evidence_pb2 as ev
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.output.check import OutputCheck
from services.guard.output.claims import MAX_PARTS, parts
from services.guard.output.faithfulness import MAX_FAILURES, WINDOWS, concluded
from services.guard.output.thresholds import shipped
from services.guard.output.verifier import MAX_PAIRS, Probabilities, VerifierModel, admitted
from services.guard.output.windows import MAX_CHARACTERS, Windows, windows
from services.mesh.errors import MeshError
from tests.unit.guard.output_parts import CONTRADICTED, REF, SUPPORTED, UNKNOWN, SaidVerifier, made

TEXT = "The old bridge was finished in 1911. It is 42 metres long. Nobody knows who paid for it."
CLAIM = "The bridge has been standing since 1911."


def passage(name: str, text: str, title: str = "Bridges") -> ev.Evidence:
    span = TextRange(start=100, end=100 + len(text.encode()))
    return ev.Evidence(name=name, text=text, spans=[span], title_path=[title])


def cited(name: str, text: str, quote: str) -> ev.EvidenceRef:
    start = 100 + text.encode().index(quote.encode())
    return ev.EvidenceRef(evidence=name, quotes=[TextRange(start=start, end=start + len(quote.encode()))])


EVIDENCE = passage("e1", TEXT)
REFS = [cited("e1", TEXT, "The old bridge was finished in 1911.")]


async def said(check: OutputCheck, *texts: str) -> list[pb.CheckOutputResponse]:
    """The answers to composed segments, one claim each, that cite the first sentence."""
    answers, at = [], 0
    for text in texts:
        piece = text if not at else f" {text}"
        start = at + len(piece.encode()) - len(text.encode())
        at += len(piece.encode())
        check.text(piece)
        claim = ev.Claim(range=TextRange(start=start, end=at), refs=REFS, origin=ev.ORIGIN_COMPOSED)
        whole = TextRange(start=at - len(piece.encode()), end=at)
        answers += await check.segment(ev.Segment(range=whole, origin=ev.ORIGIN_COMPOSED, claims=[claim]))
    return [*answers, *await check.finish()]


def verdicts(answers: list[pb.CheckOutputResponse]) -> list[ev.ClaimVerdict.ValueType]:
    return [claim.verdict for answer in answers for claim in answer.released.claims]


async def test_a_supported_claim_is_released_verified_and_the_model_is_named() -> None:
    verifier = SaidVerifier()
    answers = await said(made([EVIDENCE], verifier=verifier), CLAIM)
    assert answers[0].released.text == CLAIM
    (claim,) = answers[0].released.claims
    assert (claim.verdict, claim.support, claim.origin) == (ev.CLAIM_VERDICT_VERIFIED, ev.SUPPORT_FULL, ev.ORIGIN_COMPOSED)
    assert list(answers[-1].finished.models) == [REF]
    assert verifier.asked == [[(CLAIM, f"Bridges. {TEXT}")]]


async def test_a_contradicted_claim_is_withheld_by_the_model_that_said_so() -> None:
    verifier = SaidVerifier(lambda claim, evidence: CONTRADICTED)
    answers = await said(made([EVIDENCE], verifier=verifier, release_unverified=True), CLAIM)
    verdict = answers[0].withheld.verdict
    assert (verdict.action, verdict.category) == (pb.ACTION_BLOCK, pb.CATEGORY_UNSUPPORTED)
    found = verdict.findings[0]
    assert (found.rule, found.model, found.digest) == ("faithfulness.contradicted", REF, REF.weights_sha256)
    assert found.score == pytest.approx(CONTRADICTED[1])
    assert found.threshold == pytest.approx(shipped().contradicted)
    assert CLAIM not in str(answers)


async def test_what_nothing_is_known_about_is_unverified() -> None:
    verifier = SaidVerifier(lambda claim, evidence: UNKNOWN)
    answers = await said(made([EVIDENCE], verifier=verifier, release_unverified=True), CLAIM)
    assert verdicts(answers) == [ev.CLAIM_VERDICT_UNVERIFIED]
    assert answers[-1].finished.verdict.action == pb.ACTION_FLAG
    (copied, _) = await said(made([EVIDENCE], verifier=verifier), CLAIM)
    assert copied.released.text == "The old bridge was finished in 1911."


async def test_a_whole_sentence_of_the_evidence_needs_no_model() -> None:
    verifier = SaidVerifier(lambda claim, evidence: CONTRADICTED)
    answers = await said(made([EVIDENCE], verifier=verifier), "It is 42 metres long.")
    assert verdicts(answers) == [ev.CLAIM_VERDICT_VERIFIED]
    assert not verifier.asked


async def test_a_part_of_a_sentence_does() -> None:
    verifier = SaidVerifier(lambda claim, evidence: CONTRADICTED)
    answers = await said(made([EVIDENCE], verifier=verifier), "who paid for it.")
    assert answers[0].HasField("withheld")
    assert len(verifier.asked) == 1


@pytest.mark.parametrize(
    ("language", "claim"),
    [("de", "Die Brücke steht seit 1911."), ("und", "Die Brücke ist seit 1911 fertig und steht noch."), ("de-AT", CLAIM)],
)
async def test_another_language_than_the_models_is_unverified_unasked(language: str, claim: str) -> None:
    verifier = SaidVerifier()
    answers = await said(made([EVIDENCE], verifier=verifier, release_unverified=True, language=language), claim)
    assert verdicts(answers) == [ev.CLAIM_VERDICT_UNVERIFIED]
    assert not verifier.asked
    (degraded,) = answers[-1].finished.degraded
    assert (degraded.part, degraded.reason) == (pb.CHECK_PART_VERIFIER, "LANGUAGE_NOT_SUPPORTED")


@pytest.mark.parametrize("reason", ["MODEL_UNAVAILABLE", "DEADLINE_EXCEEDED"])
async def test_without_an_answer_a_claim_is_unverified_and_after_a_few_nobody_asks(reason: str) -> None:
    verifier = SaidVerifier(fails=reason)
    claims = [f"The bridge number {word} has been standing since 1911." for word in ("one", "two", "three", "four", "five")]
    answers = await said(made([EVIDENCE], verifier=verifier, release_unverified=True), *claims)
    assert set(verdicts(answers)) == {ev.CLAIM_VERDICT_UNVERIFIED}
    assert len(verifier.asked) == MAX_FAILURES
    assert answers[-1].finished.degraded[0].reason == reason
    assert not answers[-1].finished.models


async def test_without_a_model_nothing_is_verified_but_copies() -> None:
    answers = await said(made([EVIDENCE], release_unverified=True), CLAIM, "It is 42 metres long.")
    assert verdicts(answers) == [ev.CLAIM_VERDICT_UNVERIFIED, ev.CLAIM_VERDICT_VERIFIED]


@pytest.mark.parametrize(
    ("says", "decision"),
    [(SUPPORTED, "annotated"), (CONTRADICTED, "retracted"), (UNKNOWN, "finished")],
)
async def test_an_answer_that_comes_too_late_is_told_at_the_end(says: tuple[float, float, float], decision: str) -> None:
    verifier = SaidVerifier(lambda claim, evidence: says, hold=asyncio.Event())
    check = made([EVIDENCE], verifier=verifier, release_unverified=True, seconds=0.01)
    check.text(CLAIM)
    whole = TextRange(start=0, end=len(CLAIM))
    claim = ev.Claim(range=whole, refs=REFS, origin=ev.ORIGIN_COMPOSED)
    (released,) = await check.segment(ev.Segment(range=whole, origin=ev.ORIGIN_COMPOSED, claims=[claim]))
    assert released.released.claims[0].verdict == ev.CLAIM_VERDICT_UNVERIFIED
    assert verifier.hold is not None
    verifier.hold.set()
    answers = await check.finish()
    assert answers[0].WhichOneof("decision") == decision
    if decision == "annotated":
        assert (answers[0].annotated.range, answers[0].annotated.verdict) == (whole, ev.CLAIM_VERDICT_VERIFIED)
    if decision == "retracted":
        assert (answers[0].retracted.range, answers[0].retracted.category) == (whole, pb.CATEGORY_UNSUPPORTED)
        assert answers[-1].finished.verdict.category == pb.CATEGORY_UNSUPPORTED


async def test_a_check_that_is_closed_waits_for_nothing() -> None:
    verifier = SaidVerifier(hold=asyncio.Event())
    check = made([EVIDENCE], verifier=verifier, release_unverified=True, seconds=0.01)
    check.text(CLAIM)
    claim = ev.Claim(range=TextRange(start=0, end=len(CLAIM)), refs=REFS)
    await check.segment(ev.Segment(range=claim.range, origin=ev.ORIGIN_COMPOSED, claims=[claim]))
    check.close()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.cancelling()]


async def test_all_parts_and_windows_of_a_segment_are_one_batch() -> None:
    long = " ".join(f"The bridge number {n} was finished in {1900 + n} and it is {n} metres long." for n in range(60))
    evidence = passage("e1", f"{TEXT} {long}")
    verifier = SaidVerifier(
        lambda claim, text: SUPPORTED if claim in ("The bridge is old", "it was finished in 1911.") else UNKNOWN
    )
    claim = "The bridge is old, and it was finished in 1911."
    answers = await said(made([evidence], verifier=verifier), claim)
    (asked,) = verifier.asked
    assert len(asked) == 2 * WINDOWS
    assert {part for part, _ in asked} == set(parts(claim))
    assert all(len(text) <= MAX_CHARACTERS + 100 for _, text in asked)
    assert verdicts(answers) == [ev.CLAIM_VERDICT_VERIFIED]


async def test_words_outside_of_the_claims_are_judged_too() -> None:
    verifier = SaidVerifier(lambda claim, evidence: CONTRADICTED if "painted" in claim else SUPPORTED)
    check = made([EVIDENCE], verifier=verifier, release_unverified=True)
    text = f"{CLAIM} It was never painted."
    check.text(text)
    claim = ev.Claim(range=TextRange(start=0, end=len(CLAIM)), refs=REFS)
    whole = TextRange(start=0, end=len(text))
    (answer,) = await check.segment(ev.Segment(range=whole, origin=ev.ORIGIN_COMPOSED, claims=[claim]))
    assert answer.withheld.verdict.category == pb.CATEGORY_UNSUPPORTED


def test_best_support_wins_and_contradiction_needs_that_no_window_supports() -> None:
    def row(supported: float, contradicted: float) -> Probabilities:
        return Probabilities(supported, contradicted, 1 - supported - contradicted, False)

    def verdict(*found: list[Probabilities]) -> ev.ClaimVerdict.ValueType:
        return concluded(found, 0.5, 0.8).verdict

    assert verdict([row(0.05, 0.9), row(0.6, 0.1)]) == ev.CLAIM_VERDICT_VERIFIED
    assert verdict([row(0.05, 0.9), row(0.4, 0.1)]) == ev.CLAIM_VERDICT_CONTRADICTED
    assert verdict([row(0.9, 0.0)], [row(0.1, 0.2)]) == ev.CLAIM_VERDICT_UNVERIFIED
    assert verdict([row(0.9, 0.0)], [row(0.1, 0.85)]) == ev.CLAIM_VERDICT_CONTRADICTED
    half = concluded([[row(0.9, 0.0)], [row(0.1, 0.2)]], 0.5, 0.8)
    assert (half.support, half.supported, half.contradicted) == (ev.SUPPORT_PARTIAL, 0.1, 0.2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CBD is legal. It is sold as oil.", ["CBD is legal.", "It is sold as oil."]),
        ("CBD reduces anxiety, and it improves sleep.", ["CBD reduces anxiety", "it improves sleep."]),
        ("The oil is green; the capsules are white.", ["The oil is green", "the capsules are white."]),
        ("Apples, pears, and plums are fruit.", ["Apples, pears, and plums are fruit."]),
        ("Dr. Smith et al. found 3.5 mg in 2019.", ["Dr. Smith et al. found 3.5 mg in 2019."]),
        ("- It is 10 % strong.\n- It is green.", ["It is 10 % strong.", "It is green."]),
        ("Am 12. Mai 2018 wurde es zugelassen.", ["Am 12. Mai 2018 wurde es zugelassen."]),
        ("...", []),
    ],
)
def test_claims_are_cut_where_both_sides_stand_alone(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


def test_a_claim_has_a_bounded_number_of_parts_and_loses_no_words() -> None:
    text = " ".join(f"Sentence number {n} is here." for n in range(30))
    found = parts(text)
    assert len(found) == MAX_PARTS
    assert " ".join(found) == text


def test_windows_cover_a_long_passage_and_the_nearest_comes_first() -> None:
    sentences = [f"Bridge {n} crosses the river called {chr(97 + n % 26) * 6}." for n in range(200)]
    found = windows(" ".join(sentences))
    assert len(found) > 3
    assert all(any(sentence in window.text for window in found) for sentence in sentences)
    assert "Bridge 137 " in Windows(found).nearest("Bridge 137 crosses a river.", 1)[0].text
    assert windows("  ") == []


async def test_an_answer_that_is_none_is_a_failure_of_the_model() -> None:
    verifier = SaidVerifier(lambda claim, evidence: (float("nan"), 0.0, 0.0))
    with pytest.raises(MeshError, match="something else") as refused:
        await VerifierModel(verifier, probe_seconds=1).ask([("a", "b")], seconds=1)
    assert refused.value.reason == "MODEL_UNAVAILABLE"


def test_the_models_limits_are_kept() -> None:
    assert admitted([("a", "b")] * MAX_PAIRS)
    assert not admitted([("a", "b")] * (MAX_PAIRS + 1))
    assert not admitted([("a", " ")])
    assert not admitted([("a" * 9_000, "b")])
    assert not admitted([("a", "b" * 60_000)] * 20)
