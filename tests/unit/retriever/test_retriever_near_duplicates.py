"""Near-duplicates: what is alike is told from what is not, in any order; repeated passages are left out, but numbers count."""

from __future__ import annotations

import random

import numpy as np

from services.retriever.near_duplicates import BANDS, SIMILAR, bands, signature, similarity, without_repeats

WORDS = [f"word{number}" for number in range(400)]


def text(seed: int, length: int = 1_000) -> list[str]:
    return random.Random(seed).choices(WORDS, k=length)


def jaccard(one: list[str], other: list[str]) -> float:
    def stretches(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}

    return len(stretches(one) & stretches(other)) / len(stretches(one) | stretches(other))


def test_the_estimate_is_near_the_truth() -> None:
    errors = []
    for seed, changed in enumerate((0, 2, 5, 10, 20, 40, 80, 1000)):
        one = text(seed)
        other = list(one)
        for at in random.Random(seed).sample(range(len(one)), changed):
            other[at] = "another"
        errors.append(similarity(signature(" ".join(one)), signature(" ".join(other))) - jaccard(one, other))
    # The standard error of one estimate is at most .044 (sqrt(.25 / 128)).
    assert max(abs(error) for error in errors) < 0.14
    assert abs(float(np.mean(errors))) < 0.05


def test_a_signature_is_the_same_in_every_process() -> None:
    assert signature("The same words, in the same order.") == signature("the SAME words in the same order")
    # Signatures are stored: another value here means that no document would meet those of before.
    assert signature("one two three")[:16] == "1a2638c07fcf19b5"
    assert signature(" ... ") == ""
    assert bands("") == []
    assert similarity("", "") == 0.0


def test_what_is_linked_meets_in_a_band() -> None:
    met = 0
    for seed in range(40):
        one = text(seed)
        other = [*one[:500], "inserted", *one[500:]]
        first, second = signature(" ".join(one)), signature(" ".join(other))
        assert similarity(first, second) >= SIMILAR
        met += any(mine == theirs for mine, theirs in zip(bands(first), bands(second), strict=True))
    assert met == 40
    assert len(bands(signature("some words"))) == BANDS


def test_a_passage_that_repeats_another_of_its_cluster_is_left_out() -> None:
    passage = "The dose is 5 mg once a day with a meal, for adults and for children above twelve years of age."
    found = [
        ("a", 1, 10, passage),
        ("b", 1, 11, passage.replace("meal", "Meal")),  # the same, of a linked document
        ("c", 1, 11, passage.replace("5 mg", "50 mg")),  # another number
        ("d", 1, 10, passage),  # of the same document: nothing is repeated by being there twice
        ("e", 0, 12, passage),  # of a document that is linked to none
        ("f", 2, 13, passage),  # of another cluster
        ("g", 1, 14, "Quite another thing is said here."),
    ]
    kept = without_repeats(found, lambda one: one[1], lambda one: one[2], lambda one: one[3])
    assert [one[0] for one in kept] == ["a", "c", "d", "e", "f", "g"]
