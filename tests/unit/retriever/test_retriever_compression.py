"""Compression: what stays within a budget, byte for byte of the text, and what the header says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from services.retriever.compression.compressing import Compressing, fitting
from services.retriever.compression.header import context_header
from services.retriever.compression.selecting import MAX_SPANS, Kept, Passage, Sentence, select, sentence_ranges
from services.retriever.query import Query
from services.retriever.records import DocumentKey, FoundChunk
from services.retriever.results import Result
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.rewriting.plan import Plan

TEXT = (
    "Cannabidiol was isolated in 1940. Roger Adams did it in Illinois.\nThe plant grows fast. Its fibre is strong. "
    "Öl is pressed from the seeds. The price rose. Epidiolex was approved in 2018. It contains sesame oil."
)


def passage(text: str, header: int = 2) -> Passage:
    sentences = [Sentence(start, end, len(text.encode()[start:end].split())) for start, end in sentence_ranges(text)]
    return Passage(text, sentences, header)


def kept_text(one: Kept, passages: Sequence[Passage]) -> str:
    data = passages[one.passage].text.encode()
    return b"".join(data[start:end] for start, end in one.spans).decode()


def chosen(asked: dict[str, float], passages: Sequence[Passage], budget: int) -> list[Kept]:
    return select(passages, asked, lambda _: 1.0, budget, "en")


@pytest.mark.parametrize("text", [TEXT, "One line only", "  \n\n ", "Ä. B. Ü!\n\n\nÖ?  "])
def test_sentences_are_the_whole_text(text: str) -> None:
    ranges = sentence_ranges(text)
    data = text.encode()
    assert b"".join(data[start:end] for start, end in ranges) == data
    assert all(data[start:end].decode() is not None for start, end in ranges)


def test_what_fits_stays_whole() -> None:
    passages = [passage(TEXT), passage("Short.")]
    assert chosen({"oil": 1.0}, passages, 1000) == [
        Kept(0, ((0, len(TEXT.encode())),), passages[0].tokens),
        Kept(1, ((0, 6),), 3),
    ]


def test_the_sentence_that_answers_stays_with_its_neighbour() -> None:
    passages = [passage(TEXT)]
    (one,) = chosen({"epidiolex": 1.0, "approv": 1.0}, passages, 13)
    text = kept_text(one, passages)
    assert "Epidiolex was approved in 2018." in text
    assert text.startswith("The price rose. ") or text.endswith(" It contains sesame oil.")
    assert one.tokens <= 13
    assert not text.endswith(" ")


def test_spans_that_touch_are_one() -> None:
    passages = [passage(TEXT)]
    (one,) = chosen({"epidiolex": 1.0, "sesam": 1.0, "approv": 1.0}, passages, 14)
    assert len(one.spans) == 1


def test_a_passage_without_room_is_dropped_and_the_first_counts_most() -> None:
    passages = [passage("The oil is pressed today."), passage("The oil is pressed today.")]
    assert [one.passage for one in chosen({"oil": 1.0}, passages, 8)] == [0]
    assert chosen({"oil": 1.0}, passages, 1) == []


def test_budgets_are_kept_whatever_comes() -> None:
    chance = random.Random(7)
    words = ["oil", "plant", "Öl", "seed.", "dose!", "2018", "the"]
    for _ in range(200):
        passages = [
            passage(" ".join(chance.choice(words) for _ in range(chance.randrange(1, 300))), chance.randrange(0, 9))
            for _ in range(chance.randrange(1, 6))
        ]
        budget = chance.randrange(0, 400)
        found = chosen({"oil": 1.0, "dose": 0.5}, passages, budget)
        assert sum(one.tokens for one in found) <= budget
        for one in found:
            assert len(one.spans) <= MAX_SPANS
            assert all(start < end for start, end in one.spans)
            assert all(first[1] < second[0] for first, second in zip(one.spans, one.spans[1:], strict=False))
            kept_text(one, passages)  # cuts no character in two


def result(number: int, text: str, start: int = 0) -> Result:
    key = DocumentKey("t", "c", f"d{number}")
    time = 1_700_000_000_000_000_000
    chunk = FoundChunk(
        number, f"k{number}", number, key, "v", time, ("CBD", "Oils"), text, start, start + len(text.encode()), "a.md"
    )
    return Result(chunk, 0.5, 1.0, 1.0)


def test_headers_say_source_section_and_date() -> None:
    assert context_header(result(1, "x").chunk) == "[CBD > Oils | a.md | 2023-11-14]"


class WordModels:
    """A token is a word."""

    async def tokenize(self, texts: Sequence[str]) -> list[Any]:
        return [np.zeros((len(text.split()), 2), dtype=np.int32) for text in texts]


async def test_evidence_is_cut_byte_for_byte() -> None:
    results = [result(1, TEXT, start=100), result(2, "Nothing about that at all here. Really nothing.")]
    plan = Plan("epidiolex", (Query("epidiolex", (("epidiolex", 1.0),)),))
    lexicon = Lexicon(chunks=4, words={"epidiolex": 1})
    left, dropped, told = await Compressing(WordModels()).compress(results, plan, lexicon, 20)  # type: ignore[arg-type]
    assert told.tokens_after <= 20 < told.tokens_before
    assert len(left) + len(dropped) == 2
    assert "Epidiolex was approved" in left[0].text
    data = b"\0" * 100 + TEXT.encode()
    assert b"".join(data[start:end] for start, end in left[0].kept).decode() == left[0].text
    assert told.results[0].header == "[CBD > Oils | a.md | 2023-11-14]"


def test_whole_passages_stay_where_nobody_counts() -> None:
    results = [result(1, "x" * 40), result(2, "y" * 40), result(3, "z")]
    left, rest = fitting(results, 80)
    assert ([one.chunk.id for one in left], [one.chunk.id for one in rest]) == ([1, 2], [3])
