"""Claims that the verifier learns from: edits keep a claim true, swaps do not, and held-out groups share nothing with the rest."""

from __future__ import annotations

import random

import pytest

from training.claim_sets import groups
from training.verifier_swaps import (
    CONTRADICTED,
    claim_of,
    negate,
    other_answer,
    paraphrases,
    swap_name,
    swap_number,
    swap_roles,
    wrong_claims,
)

SENTENCE = "In 1911, Élodie Müller founded the café (the oldest of Zürich), which has 42 seats."


@pytest.mark.parametrize("seed", range(20))
def test_a_paraphrase_brings_no_new_number_or_name(seed: int) -> None:
    found = paraphrases(SENTENCE, random.Random(seed))
    assert found[0] == SENTENCE
    assert any("the oldest" not in text for text in found)
    for text in found:
        assert {word for word in text.replace(",", " ").replace(".", " ").split() if word[0].isdigit()} <= {"1911", "42"}


@pytest.mark.parametrize("seed", range(20))
def test_each_wrong_claim_differs_and_stands_nowhere_in_the_evidence(seed: int) -> None:
    far = "Ada Moss sold 17 bridges in Basel in 1850."
    for claim in wrong_claims(SENTENCE, SENTENCE, far, random.Random(seed)):
        assert claim.label == CONTRADICTED
        assert claim.text != SENTENCE
        assert claim.text not in SENTENCE


def test_swaps_take_what_is_of_the_same_sort() -> None:
    rng = random.Random(1)
    changed = swap_number("It has 129 members.", "It has 129 members and 5 rooms.", "It was built in 1842.", rng)
    assert changed is not None
    assert "129" not in changed
    name = swap_name("It was built by Ada Moss.", "It was built by Ada Moss.", "Then came Élodie Müller.", rng)
    assert name in (None, "It was built by Élodie Müller.", "It was built by Élodie Moss.", "It was built by Ada Müller.")
    assert negate("It was not opened.", rng) == "It was opened."
    assert {negate("It can match.", random.Random(n)) for n in range(30)} - {None} == {
        "It can not match.",
        "It can never match.",
        "It can no longer match.",
    }
    assert swap_roles("Rome was sacked by Gaul.", random.Random(0)) in ("Gaul was sacked by Rome.", None)


@pytest.mark.parametrize(
    ("question", "answer", "claim"),
    [
        ("When was the bridge finished?", "1742", "The bridge was finished in 1742."),
        ("Where was Ada born?", "in Basel", "Ada was born in Basel."),
        ("Who founded the café?", "Élodie Müller", "Élodie Müller founded the café."),
        ("What is the capital of Mongolia?", "Ulaanbaatar", "The capital of Mongolia is Ulaanbaatar."),
        ("How many members are elected?", "129", "129 members are elected."),
        ("Why?", "because", None),
    ],
)
def test_a_question_and_its_answer_become_a_claim(question: str, answer: str, claim: str | None) -> None:
    assert claim_of(question, answer) == claim


def test_another_answer_has_the_same_form() -> None:
    assert other_answer("1742", ["Ada", "1911", "a long walk by the river"], random.Random(0)) == "1911"
    assert other_answer("1742", ["1742"], random.Random(0)) is None


def test_rows_that_share_evidence_or_a_claim_are_one_group() -> None:
    a, b, c = "The bridge was finished in 1742 .", "The bridge crosses the river Moss .", "The parliament meets in Edinburgh town ."
    found = groups([(f"{a} {b}", "one"), (b, "two"), (c, "two"), ("Nothing of it is like the others .", "three")])
    assert found[0] == found[1] == found[2]
    assert found[3] != found[0]
    assert groups([(b, "two"), (f"{a} {b}", "one")])[0] == groups([(f"{a} {b}", "one"), (b, "two")])[1]
