"""Drafts: coordinates of passage, document and draft over multi-byte text; the order of steps; templates."""

from __future__ import annotations

import random

import protovalidate
import pytest
from ragmesh.evidence.v1 import evidence_pb2 as ev
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.generator.v1 import generator_service_pb2 as pb

from services.generator.drafting import Draft, OutsideEvidenceError, canonical_ranges
from services.generator.models import Picked

DOCUMENT = "collections/default/documents/sample"
PARTS = ("Das Café — das älteste in Zürich — öffnete 1911. ", "🥐 Croissants kosten 3 €. ", "Heute hat es 42 Plätze.")


def passage(name: str, *parts: str, begins: int = 100, hole: int = 10) -> ev.Evidence:
    """A passage whose parts stand `hole` bytes apart in the document."""
    spans = []
    place = begins
    for part in parts:
        spans.append(TextRange(start=place, end=place + len(part.encode())))
        place += len(part.encode()) + hole
    return ev.Evidence(
        name=name,
        chunk=f"{DOCUMENT}/versions/1/chunks/{name}",
        document=DOCUMENT,
        document_version=f"{DOCUMENT}/versions/1",
        text="".join(parts),
        spans=spans,
    )


def bytes_of(text: str, words: str) -> tuple[int, int]:
    start = text.encode().index(words.encode())
    return start, start + len(words.encode())


def picked(evidence: ev.Evidence, words: str, short: str = "", index: int = 0) -> Picked:
    span = bytes_of(evidence.text, short) if short else None
    return Picked("sentence", 0.9, 0.5, index, bytes_of(evidence.text, words), span)


def test_a_range_inside_one_span_is_one_quote() -> None:
    evidence = passage("e", *PARTS)
    begin, end = bytes_of(evidence.text, "🥐 Croissants")
    assert canonical_ranges(evidence, begin, end) == [
        TextRange(start=100 + begin + 10, end=100 + end + 10),
    ]


def test_a_range_over_spans_is_a_quote_in_each() -> None:
    evidence = passage("e", *PARTS)
    ranges = canonical_ranges(evidence, 0, len(evidence.text.encode()))
    assert ranges == list(evidence.spans)


def test_canonical_ranges_are_the_inverse_of_the_spans() -> None:
    seed = 20
    rng = random.Random(seed)
    document = "".join(rng.choice("aé€🥐 .") for _ in range(400)).encode()
    for _ in range(300):
        cuts = sorted(rng.sample(range(len(document) + 1), 6))
        spans = [TextRange(start=cuts[i], end=cuts[i + 1]) for i in (0, 2, 4)]
        data = b"".join(document[span.start : span.end] for span in spans)
        evidence = ev.Evidence(text=" " * len(data), spans=spans)  # bytes count, not letters
        begin = rng.randrange(len(data))
        end = rng.randrange(begin + 1, len(data) + 1)
        ranges = canonical_ranges(evidence, begin, end)
        assert b"".join(document[item.start : item.end] for item in ranges) == data[begin:end], f"seed {seed}"


@pytest.mark.parametrize(("begin", "end"), [(0, 7), (-1, 3), (3, 3), (5, 2), (6, 7)])
def test_a_range_outside_of_the_passage_is_refused(begin: int, end: int) -> None:
    evidence = ev.Evidence(text="sample", spans=[TextRange(start=0, end=6)])
    with pytest.raises(OutsideEvidenceError):
        canonical_ranges(evidence, begin, end)


def collect(steps: list[pb.StreamGenerateResponse]) -> tuple[bytes, list[ev.Segment]]:
    """The draft's text and its segments; each step is a valid message and no segment ends past the text."""
    text = b""
    segments = []
    for step in steps:
        protovalidate.validate(step)
        if step.HasField("text"):
            text += step.text.text.encode()
        else:
            assert step.segment_end.range.end == len(text)
            segments.append(step.segment_end)
    return text, segments


def test_copied_sentences_join_by_a_space_that_no_claim_covers() -> None:
    evidence = [passage("a", PARTS[0], PARTS[1]), passage("b", PARTS[2], begins=7)]
    draft = Draft()
    steps = [
        *draft.copied(evidence, picked(evidence[0], PARTS[0].strip(), "1911")),
        *draft.copied(evidence, picked(evidence[1], PARTS[2], "42", index=1)),
        *draft.copied(evidence, picked(evidence[0], PARTS[1].strip())),
    ]
    text, segments = collect(steps)
    assert text.decode() == f"{PARTS[0].strip()} {PARTS[2]} {PARTS[1].strip()}"
    assert [segment.range.start for segment in segments[1:]] == [segment.range.end for segment in segments[:-1]]
    for segment, words, short in zip(segments, (PARTS[0].strip(), PARTS[2], PARTS[1].strip()), ("1911", "42", ""), strict=True):
        (claim,) = segment.claims
        assert text[claim.range.start : claim.range.end].decode() == words
        assert claim.HasField("highlight") is bool(short)
        if short:
            assert text[claim.highlight.start : claim.highlight.end].decode() == short
        assert segment.origin == claim.origin == ev.ORIGIN_COPIED
        assert claim.verdict == ev.CLAIM_VERDICT_UNSPECIFIED
    assert [segment.claims[0].refs[0].evidence for segment in segments] == ["a", "b", "a"]
    assert segments[1].claims[0].refs[0].quotes == [TextRange(start=7, end=7 + len(PARTS[2].encode()))]


def test_a_short_answer_outside_of_its_sentence_is_left_out() -> None:
    evidence = passage("a", *PARTS)
    draft = Draft()
    wrong = Picked("sentence", 0.9, 0.5, 0, bytes_of(evidence.text, PARTS[0].strip()), bytes_of(evidence.text, "42"))
    _, (segment,) = collect(list(draft.copied([evidence], wrong)))
    assert not segment.claims[0].HasField("highlight")


@pytest.mark.parametrize("index", [-1, 1, 99])
def test_a_passage_that_is_not_there_is_refused(index: int) -> None:
    draft = Draft()
    with pytest.raises(OutsideEvidenceError):
        list(draft.copied([passage("a", *PARTS)], Picked("sentence", 0.9, 0.5, index, (0, 3), None)))
    assert draft.parts == []


def test_a_range_that_splits_a_code_point_adds_nothing() -> None:
    evidence = passage("a", PARTS[1])
    draft = Draft()
    with pytest.raises(UnicodeDecodeError):
        list(draft.copied([evidence], Picked("sentence", 0.9, 0.5, 0, (1, 10), None)))
    assert draft.parts == []


def test_a_template_is_one_segment_without_claims() -> None:
    text, (segment,) = collect(list(Draft().template("abstain", "Dazu weiß ich nichts.")))
    assert text.decode() == "Dazu weiß ich nichts."
    assert (segment.origin, segment.template_id, list(segment.claims)) == (ev.ORIGIN_TEMPLATE, "abstain", [])
    assert segment.range == TextRange(start=0, end=len(text))
