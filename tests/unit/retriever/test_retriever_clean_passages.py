"""Which passages the guard let pass: known by passage and rules, in a table that has an end."""

from __future__ import annotations

import hashlib

from services.retriever.clean_passages import CleanPassages


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def test_a_passage_is_clean_by_the_rules_that_judged_it_alone() -> None:
    known = CleanPassages()
    known.add("rules", digest(1))
    assert known.holds("rules", digest(1))
    assert not known.holds("others", digest(1))
    assert not known.holds("rules", digest(2))


def test_the_newest_of_a_row_push_out_the_oldest() -> None:
    known = CleanPassages(rows=1)
    for number in (1, 2, 3, 4, 4, 3, 5):
        known.add("rules", digest(number))
    assert [known.holds("rules", digest(number)) for number in (1, 2, 3, 4, 5)] == [False, True, True, True, True]


def test_of_many_passages_most_have_a_place() -> None:
    known = CleanPassages(rows=1024)
    for number in range(1500):
        known.add("rules", digest(number))
    assert sum(known.holds("rules", digest(number)) for number in range(1500)) > 1450
