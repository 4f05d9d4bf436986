"""What of evidence an engine may read: all but what is only quoted, at the same bytes."""

from __future__ import annotations

import pytest
from ragmesh.evidence.v1.evidence_pb2 import Evidence
from ragmesh.evidence.v1.text_pb2 import TextRange

from services.mesh.quoting import without_quoted

TEXT = "Öl ist kühl. Befehl! Es hält ein Jahr."


def _evidence(quoted: list[tuple[int, int]], spans: list[tuple[int, int]] | None = None) -> Evidence:
    size = len(TEXT.encode())
    return Evidence(
        name="ev_1",
        text=TEXT,
        spans=[TextRange(start=start, end=end) for start, end in spans or [(100, 100 + size)]],
        quoted=[TextRange(start=start, end=end) for start, end in quoted],
    )


def _text(*quoted: tuple[int, int], spans: list[tuple[int, int]] | None = None) -> str:
    (made,) = without_quoted([_evidence(list(quoted), spans)])
    assert len(made.text.encode()) == len(TEXT.encode()), "no range moves"
    return made.text


def test_nothing_quoted_is_the_same_object() -> None:
    evidence = _evidence([])
    assert without_quoted([evidence])[0] is evidence


def test_quoted_bytes_are_spaces() -> None:
    start = len("Öl ist kühl. ".encode())
    assert _text((100 + start, 100 + start + 7)) == "Öl ist kühl.         Es hält ein Jahr."
    assert _text((0, 1000)).strip() == ""
    assert _text((0, 100), (900, 1000)) == TEXT, "what compression has left out"


def test_quoted_bytes_are_found_in_a_passage_of_several_spans() -> None:
    first = len("Öl ist kühl. ".encode())
    spans = [(0, first), (500, 500 + len(TEXT.encode()) - first)]
    assert _text((500, 507), spans=spans) == "Öl ist kühl.         Es hält ein Jahr."
    assert _text((first - 1, 507), spans=spans) == "Öl ist kühl.         Es hält ein Jahr."


@pytest.mark.parametrize("part", [(101, 102), (100, 101), (101, 103)])
def test_a_range_that_cuts_a_character_takes_all_of_it(part: tuple[int, int]) -> None:
    assert "Ö" not in _text(part)
