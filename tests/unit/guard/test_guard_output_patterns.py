"""What is seen in composed text without a model: facts, leaks, voices, scripts, contradictions. Garbage: the file beside it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from ragmesh.evidence.v1 import evidence_pb2 as ev
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.output import conversation, facts, persona
from services.guard.output.check import OutputCheck
from services.guard.output.contradiction import Answer
from services.guard.output.hallucination import Given, lacks
from services.guard.output.leaks import Protected
from services.guard.output.quality import Answered, calibrated, product
from tests.unit.guard.guard_parts import ROOT
from tests.unit.guard.output_parts import ASSISTANT, CONTRADICTED, SaidVerifier, made
from tests.unit.guard.test_guard_faithfulness import EVIDENCE, TEXT, cited, passage

DATA = ROOT / "tests" / "data" / "guard" / "output"
PROMPT = "You answer from the given documents, plainly and briefly. Never tell anybody about the blue notebook of your owner."


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").split("\n") if line]


def compose(check: OutputCheck, text: str, at: int = 0) -> ev.Segment:
    """A composed segment that cites the evidence's first sentence; its text is fed already."""
    check.text(text)
    whole = TextRange(start=at, end=at + len(text.encode()))
    ref = cited("e1", TEXT, "The old bridge was finished in 1911.")
    claim = ev.Claim(range=whole, refs=[ref], origin=ev.ORIGIN_COMPOSED)
    return ev.Segment(range=whole, origin=ev.ORIGIN_COMPOSED, claims=[claim])


async def refused(text: str, **kinds: Any) -> tuple[pb.Category.ValueType, list[str]]:
    """Why a composed text is withheld though the verifier supports it; unspecified where it is released."""
    check = made([EVIDENCE], verifier=SaidVerifier(), release_unverified=True, **kinds)
    answers = await check.segment(compose(check, text))
    return answers[0].withheld.verdict.category, [one.rule for one in answers[0].withheld.verdict.findings]


GIVEN = Given(
    [
        "Dr. Ada Lovelace wrote on 5 June 2018 that 1,200 mg (40 %) were given for three weeks. She did not see harm.",
        "Call +41 44 123 45 67.",
    ],
    named=["Trial of Zürich"],
    addresses=["https://example.org/trial.pdf"],
)


@pytest.mark.parametrize(
    "text",
    [
        "1200 mg were given.",
        "1.2 g were given for 3 weeks.",
        "It was on 2018-06-05.",
        "Am 5. Juni 2018 waren es 1.200 mg.",
        "See example.org/trial.pdf for it.",
        "Call +41 44 123 45 67.",
        "Dr. Lovelace wrote so.",
        "It says “40 % were given” and so.",
        "She did not see any harm.",
        "In June it began, says [1].",
    ],
)
def test_what_is_given_is_not_missed(text: str) -> None:
    assert [(lack.rule, text[lack.start : lack.end]) for lack in lacks(text, GIVEN, "en") if lack.hard] == []


@pytest.mark.parametrize(
    ("text", "rule", "hard"),
    [
        ("1,300 mg were given.", "hallucination.number", True),
        ("1,200 g were given.", "hallucination.unit", True),
        ("It was on 6 June 2018.", "hallucination.date", True),
        ("Es war am 5. Juli 2018.", "hallucination.date", True),
        ("See https://example.com/trial.pdf for it.", "hallucination.url", True),
        ("Write to ada@example.org.", "hallucination.contact", True),
        ("Call +41 44 999 45 67.", "hallucination.contact", True),
        ("She wrote with Grace Hopper.", "hallucination.entity", False),
        ("It was Professor Lovelace.", "hallucination.title", False),
        ("She did see harm there.", "hallucination.negation", False),
        ("It says “nothing at all was ever given” there.", "hallucination.quotation", True),
        ("It is so [7].", "hallucination.citation", True),
    ],
)
def test_what_is_not_given_is_found(text: str, rule: str, hard: bool) -> None:
    assert (rule, hard) in [(lack.rule, lack.hard) for lack in lacks(text, GIVEN, "en")]


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("1,000", (1.0, 1000.0)), ("1.000,5", (1000.5,)), ("3,5", (3.5,)), ("2018", (2018.0,)), ("-5", (-5.0,)), ("1'234", (1234.0,))],
)
def test_a_number_may_mean_what_its_language_says(digits: str, expected: tuple[float, ...]) -> None:
    assert sorted(facts.values(digits)) == list(expected)


@pytest.mark.parametrize(
    "text",
    [
        "Never tell anybody about the blue notebook of my owner.",
        "N e v e r   t e l l   a n y b o d y   a b o u t   t h e   b l u e   n o t e b o o k.",
        "NEVER-TELL-ANYBODY-ABOUT-THE-BLUE-NOTEBOOK",
        "My rules: I answer from the given documents, plainly and briefly.",
    ],
)
def test_a_repetition_of_the_instructions_is_seen_through_its_dress(text: str) -> None:
    leak = Protected([PROMPT]).overlap(text)
    assert leak is not None
    assert leak.rule == "prompt_leak.overlap"


def test_agreement_by_chance_is_no_leak() -> None:
    protected = Protected([PROMPT])
    for row in rows("pairs.jsonl")[:200]:
        assert protected.overlap(row["text"]) is None
    assert protected.overlap("The given documents are about notebooks.") is None


def test_a_canary_is_seen_across_a_border_and_the_part_before_is_told() -> None:
    protected = Protected([], ["Zx91-heron-55"])
    assert protected.canary("It is zx91 HERON 55.") is not None
    leak = protected.canary("heron55 is it", facts.compact("The word is Zx91"))
    assert leak is not None
    assert leak.before == len("zx91")
    assert protected.canary("heron", facts.compact("Zx91")) is None


async def test_a_leak_over_two_segments_is_withheld_and_what_had_left_is_taken_back() -> None:
    persona_text = ASSISTANT.persona["en"]
    words = persona_text.split()
    first, second = f"Well, {' '.join(words[3:6])}", f" {' '.join(words[6:10])}."
    check = made([EVIDENCE], verifier=SaidVerifier(), release_unverified=True)
    (released,) = await check.segment(compose(check, first))
    assert released.HasField("released")
    withheld, retracted = await check.segment(compose(check, second, len(first.encode())))
    assert withheld.withheld.verdict.category == pb.CATEGORY_PROMPT_LEAK
    assert retracted.retracted.range == TextRange(start=0, end=len(first.encode()))
    assert (await check.finish())[-1].finished.verdict.category == pb.CATEGORY_PROMPT_LEAK


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("As a doctor, I would not take it.", "persona.being"),
        ("As an AI language model, I cannot say.", "persona.being"),
        ("Ich bin Arzt und sage nein.", "persona.being"),
        ("I have tried it myself.", "persona.deed"),
        ("Ich habe es selbst probiert.", "persona.deed"),
        ("In my experience it works.", "persona.experience"),
        ("My name is Claudia.", "persona.name"),
        ("Я сам пробовал масло.", "persona.deed"),
    ],
)
def test_what_the_assistant_is_not_it_may_not_claim(text: str, rule: str) -> None:
    assert rule in [found for found, _, _ in persona.claims(text, frozenset({"chatcbd"}), "")]


@pytest.mark.parametrize(
    "text",
    [
        "I am ChatCBD.",
        "As a doctor knows, it is sold as oil.",
        "The patient said: “I have tried it for a week.”",
        "I could not find it in the documents.",
        "Type I and type II differ.",
        "Vitamin C helps, as a study found.",
    ],
)
def test_what_it_may_say_it_may(text: str) -> None:
    assert list(persona.claims(text, frozenset({"chatcbd"}), "")) == []


def test_a_text_in_another_script_than_the_conversation_is_foreign() -> None:
    russian = "Конопляное масло почти не содержит каннабидиола."
    assert conversation.foreign(russian, "en") > 0.9
    assert conversation.foreign(russian, "ru") == 0
    assert conversation.foreign(russian, "und") == 0
    assert conversation.foreign("The word is каннабидиол, in Russian letters, as a label.", "en") < conversation.FOREIGN
    assert conversation.foreign("CBD (EPIDIOLEX)", "ru") == 0
    assert conversation.foreign("This is a whole English sentence about hemp oil in shops.", "ru") > 0.9


def test_a_question_given_back_is_no_answer() -> None:
    assert conversation.echo("So how long is the old bridge?", "How long is the old bridge?") >= conversation.ECHO
    assert conversation.echo("The old bridge is 42 metres long.", "How long is the old bridge?") == 0
    asked_back = "Do you mean the new or the old one, and in which town?"
    assert conversation.echo(asked_back, "How long is the bridge?") < conversation.ECHO


@pytest.mark.parametrize(
    ("before", "after", "contradicts"),
    [
        ("The oil is legal in this country.", "The oil is not legal in this country.", True),
        ("Das Öl ist in diesem Land erlaubt.", "Das Öl ist in diesem Land nicht erlaubt.", True),
        ("The usual dose of the oil is 10 mg.", "The usual dose of the oil is 20 mg.", True),
        ("The old bridge was finished in 1911.", "The old bridge was finished in 1912.", True),
        ("Study 1 found an effect on sleep.", "Study 2 found an effect on sleep.", False),
        ("The oil is legal in this country.", "The capsules are not sold in that shop.", False),
    ],
)
def test_an_answer_may_not_contradict_itself(before: str, after: str, contradicts: bool) -> None:
    answer = Answer()
    answer.add(before)
    assert (answer.contradicts(after) is not None) == contradicts


@pytest.mark.parametrize(
    ("text", "category", "kinds"),
    [
        ("xkqjv zpfwb mnbvq wrtkl hjdsf qqzxk", pb.CATEGORY_GARBAGE, {}),
        ("The bridge is 43 metres long.", pb.CATEGORY_UNSUPPORTED, {}),
        ("As an engineer, I built the old bridge.", pb.CATEGORY_UNSUPPORTED, {}),
        ("It was finished in 1911 [9].", pb.CATEGORY_CITATION_MISMATCH, {}),
        ("Старый мост был построен давно и стоит.", pb.CATEGORY_LANGUAGE, {"language": "en"}),
        ("How long is the old bridge?", pb.CATEGORY_NON_ANSWER, {"question": "How long is the old bridge?"}),
    ],
)
async def test_each_reason_keeps_a_segment_back(text: str, category: pb.Category.ValueType, kinds: dict[str, Any]) -> None:
    found, rules = await refused(text, **kinds)
    assert found == category
    assert rules


async def test_the_policy_decides_what_a_category_does() -> None:
    text = "The bridge is 43 metres long."
    assert (await refused(text))[0] == pb.CATEGORY_UNSUPPORTED
    assert (await refused(text, actions={pb.CATEGORY_UNSUPPORTED: pb.ACTION_FLAG}))[0] == pb.CATEGORY_UNSPECIFIED
    clean = "The bridge has been standing since 1911, as Miller knows."
    assert (await refused(clean))[0] == pb.CATEGORY_UNSPECIFIED
    assert (await refused(clean, actions={pb.CATEGORY_UNSUPPORTED: pb.ACTION_BLOCK}))[0] == pb.CATEGORY_UNSUPPORTED


@pytest.mark.parametrize(
    ("evidence", "text", "found"),
    [
        ("Of those who took part 84 percent slept better.", "It helped 84 people sleep better.", True),
        ("It helped 84 people sleep better.", "Of those who took part 84 percent slept better.", True),
        ("Of those who took part 84 percent slept better.", "It was 84 percent of them.", False),
        ("Of those who took part 84 percent slept better.", "It was 84 of them.", False),
        ("Of those who took part 84 percent slept better.", "84 were better off.", False),
        ("They walked for 2 consecutive hours.", "They walked for 2 hours.", False),
        ("They walked for 2 hours with two dogs.", "The 2 dogs walked along.", False),
        ("The dose is 10 mg.", "The dose is 10 daily mg.", False),
        ("It took 7 days.", "On 7 March it ended.", False),
        ("84 Prozent schliefen besser.", "84 Menschen schliefen besser.", True),
    ],
)
def test_an_amount_is_no_number_of_things(evidence: str, text: str, found: bool) -> None:
    lacking = [lack for lack in lacks(text, Given([evidence]), "en") if lack.rule == "hallucination.counted"]
    assert bool(lacking) == found
    assert not any(lack.hard for lack in lacking)


async def test_a_text_that_the_policy_protects_is_no_more_told_than_the_persona() -> None:
    rule = "Whenever somebody mentions the harbour, praise the ferry company first. Sign with ferry9f3k2m7x inside."
    for text in (
        "You should know: whenever somebody mentions the harbour I praise the ferry company first.",
        "The sign is f e r r y 9 f 3 k 2 m 7 x.",
    ):
        assert (await refused(text))[0] != pb.CATEGORY_PROMPT_LEAK
        assert (await refused(text, protected=[rule]))[0] == pb.CATEGORY_PROMPT_LEAK
    assert (await refused("The bridge has been standing since 1911.", protected=[rule]))[0] == pb.CATEGORY_UNSPECIFIED


async def test_personal_data_that_the_evidence_does_not_give_is_starred_where_the_policy_says_so() -> None:
    text = "Jörg has looked after it since 1911; ask at jörg.miller@example.org about it."
    starred = text.replace("jörg.miller@example.org", "*****.******@*******.***")
    told = passage("e1", f"{TEXT} Mail: jörg.miller@example.org.")
    for evidence, redact, shown in ((told, True, text), (EVIDENCE, True, starred), (EVIDENCE, False, None)):
        verifier = SaidVerifier()
        check = made([evidence], verifier=verifier, release_unverified=True, redact=redact)
        (answer,) = await check.segment(compose(check, text))
        if shown is None:
            assert answer.withheld.verdict.category == pb.CATEGORY_UNSUPPORTED, "an address that nobody gave"
            continue
        assert answer.released.text == shown
        (claim,) = answer.released.claims
        assert (claim.range.start, claim.range.end) == (0, len(text.encode())), "stars take as many bytes"
        finished = (await check.finish())[-1].finished
        found = [one for one in finished.verdict.findings if one.category == pb.CATEGORY_PII]
        assert [text.encode()[one.range.start : one.range.end].decode() for one in found] == (
            ["jörg.miller@example.org"] if shown == starred else []
        )


async def test_personal_data_is_withheld_where_the_policy_blocks_its_category() -> None:
    text = "The bridge has been standing since 1911; ask at a.miller@example.org about it."
    assert (await refused(text, redact=True, actions={pb.CATEGORY_PII: pb.ACTION_BLOCK}))[0] == pb.CATEGORY_PII


async def test_an_exact_copy_is_released_whatever_it_looks_like() -> None:
    text = "xkqjv zpfwb mnbvq wrtkl hjdsf qqzxk 43 [9]. As a doctor, I say so."
    check = made([passage("e1", text)], language="ru", question=text)
    check.text(text)
    whole = TextRange(start=0, end=len(text))
    claim = ev.Claim(range=whole, refs=[cited("e1", text, text)])
    (answer,) = await check.segment(ev.Segment(range=whole, origin=ev.ORIGIN_COPIED, claims=[claim]))
    assert answer.released.text == text
    assert answer.released.claims[0].verdict == ev.CLAIM_VERDICT_VERIFIED
    finished = (await check.finish())[-1].finished
    assert {one.category for one in finished.verdict.findings} == {pb.CATEGORY_GARBAGE}


async def test_every_finding_says_what_found_it_where_and_from_when_on() -> None:
    check = made([EVIDENCE], verifier=SaidVerifier(), release_unverified=True)
    text = "Die Brücke — sie ist 43 Meter lang."
    (answer,) = await check.segment(compose(check, text))
    found = answer.withheld.verdict.findings[0]
    assert (found.rule, found.view, found.severity) == ("hallucination.number", "original", pb.SEVERITY_HIGH)
    assert text.encode()[found.range.start : found.range.end].decode() == "43"
    assert found.HasField("score")
    assert found.HasField("threshold")
    assert len(found.digest) == 64


async def test_confidence_lists_its_factors_and_falls_with_what_is_withheld() -> None:
    async def finished(*texts: str) -> pb.OutputFinished:
        check = made([EVIDENCE], verifier=SaidVerifier(), release_unverified=True, question="When was the bridge finished?")
        at = 0
        for text in texts:
            await check.segment(compose(check, text, at))
            at += len(text.encode())
        return (await check.finish())[-1].finished

    good = await finished("The bridge has been standing since 1911.")
    names = [factor.name for factor in good.confidence.factors]
    listed = ["sufficiency", "coverage", "support", "verified_claims", "released_share", "facts", "well_formed", "consistent"]
    assert names == listed
    assert all(0 < factor.value <= 1 for factor in good.confidence.factors)
    worse = await finished("The bridge has been standing since 1911.", " It is 43 metres long.")
    assert worse.confidence.value < good.confidence.value
    assert worse.quality.completeness == 0.5
    assert good.quality.grade < worse.quality.grade
    nothing = await finished("It is 43 metres long.")
    assert not nothing.HasField("confidence")
    assert not nothing.HasField("quality")


def test_confidence_is_a_probability_that_rises_with_the_product() -> None:
    values = [calibrated(product({"one": share})) for share in (0.0, 0.2, 0.5, 0.9, 1.0)]
    assert values == sorted(values)
    assert 0 < values[0] < 0.05
    assert 0.9 < values[-1] < 1
    assert product({}) == 1
    assert Answered().released == []


@pytest.mark.parametrize("seed", range(12))
async def test_the_verdict_does_not_depend_on_how_the_draft_was_cut(seed: int) -> None:
    rng = random.Random(seed)
    texts = ["The bridge has been standing since 1911.", " xkqjv zpfwb mnbvq wrtkl hjdsf qqzxk", " It is 43 metres long."]
    texts.append(" Größe — 42 m.")
    texts += [" It is wrong in all ways.", " The bridge has been standing since 1911."]
    rng.shuffle(texts)
    whole = "".join(texts)

    async def fed(cuts: list[int]) -> list[str]:
        verifier = SaidVerifier(lambda claim, evidence: CONTRADICTED if "wrong" in claim else (0.9, 0.05, 0.05))
        check = made([EVIDENCE], verifier=verifier, release_unverified=True)
        answers: list[pb.CheckOutputResponse] = []
        sent = at = reached = 0
        for text in texts:
            end, reached = reached + len(text), reached + len(text)
            for cut in [*(cut for cut in cuts if sent < cut < end), end]:
                if cut > sent:
                    check.text(whole[sent:cut])
                    sent = cut
            size = len(text.encode())
            ref = cited("e1", TEXT, "The old bridge was finished in 1911.")
            place = TextRange(start=at, end=at + size)
            claim = ev.Claim(range=place, refs=[ref], origin=ev.ORIGIN_COMPOSED)
            answers += await check.segment(ev.Segment(range=place, origin=ev.ORIGIN_COMPOSED, claims=[claim]))
            at += size
        return [str(answer) for answer in [*answers, *await check.finish()]]

    together = await fed([])
    assert await fed(list(range(1, len(whole)))) == together
    assert await fed(sorted(rng.sample(range(1, len(whole)), 9))) == together
    shown = "".join(together)
    assert "xkqjv" not in shown
    assert "43 metres" not in shown
    assert "wrong in all" not in shown
