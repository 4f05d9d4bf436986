"""Which passages the guard let pass: known by passage and rules, in a table that has an end."""

from __future__ import annotations

import hashlib
from pathlib import Path

from services.retriever.clean_passages import CleanPassages


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def test_a_passage_is_clean_by_the_rules_that_judged_it_alone(tmp_path: Path) -> None:
    known = CleanPassages(tmp_path / "table")
    known.add("rules", digest(1))
    assert known.holds("rules", digest(1))
    assert not known.holds("others", digest(1))
    assert not known.holds("rules", digest(2))


def test_the_newest_of_a_row_push_out_the_oldest(tmp_path: Path) -> None:
    known = CleanPassages(tmp_path / "table", rows=1)
    for number in (1, 2, 3, 4, 4, 3, 5):
        known.add("rules", digest(number))
    assert [known.holds("rules", digest(number)) for number in (1, 2, 3, 4, 5)] == [False, True, True, True, True]


def test_of_many_passages_most_have_a_place(tmp_path: Path) -> None:
    known = CleanPassages(tmp_path / "table", rows=1024)
    for number in range(1500):
        known.add("rules", digest(number))
    assert sum(known.holds("rules", digest(number)) for number in range(1500)) > 1450


def test_what_was_judged_is_known_after_a_restart_and_not_in_a_table_of_another_size(tmp_path: Path) -> None:
    known = CleanPassages(tmp_path / "table", rows=8)
    known.add("rules", digest(1))
    # Nothing of an orderly end.
    assert CleanPassages(tmp_path / "table", rows=8).holds("rules", digest(1))
    assert not CleanPassages(tmp_path / "table", rows=16).holds("rules", digest(1))
    assert (tmp_path / "table").stat().st_mode & 0o777 == 0o600
