"""Chunks: exact bytes, whole sentences, one path of headings, even lengths, the same ids every time."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import numpy as np
import pytest

from services.retriever import chunking
from services.retriever.canonical import CanonicalText, DocumentRejected
from services.retriever.chunking import Chunk, ChunkSizes, Offsets, pack, sections, spans
from services.retriever.parsing import parse
from services.retriever.sentences import MAX_SENTENCE_CHARS

SIZES = ChunkSizes(target=20, maximum=30)


def offsets_of(text: str) -> Offsets:
    """Words as tokens, in bytes; a long word is cut every 5 bytes, even inside a code point, as byte-level tokens are."""
    found: list[tuple[int, int]] = []
    for match in re.finditer(rb"\S+", text.encode()):
        found += (
            [(at, min(at + 5, match.end())) for at in range(match.start(), match.end(), 5)]
            if len(match.group()) > 40
            else [match.span()]
        )
    return np.array(found, dtype=np.int32).reshape(-1, 2)


def chunks_of(document: CanonicalText, sizes: ChunkSizes = SIZES) -> list[Chunk]:
    planned = sections(document, document.title or "Untitled")
    return pack(document, planned, [offsets_of(document.slice(*span)) for span in spans(planned)], sizes)


def markdown(text: str) -> CanonicalText:
    return parse(text.encode(), "text/markdown")


def sentence(words: int, number: int = 0) -> str:
    return " ".join([f"Wörter{number}", *["über"] * (words - 2), "ende."])


def test_a_chunk_is_the_bytes_at_its_range() -> None:
    document = markdown("# Grüße\n\nΑλφα βήτα γάμμα. Привет, мир! 日本語の文です。次の文。\n\n## Zwei\n\n- naïve café\n- größer\n")
    for chunk in chunks_of(document):
        assert document.text[chunk.start : chunk.end] == chunk.text.encode()
        assert chunk.text == chunk.text.strip()


def test_headings_open_chunks_and_make_paths() -> None:
    document = markdown("# Title\n\nIntro.\n\n## A\n\nText a.\n\n### B\n\nText b.\n\n## C\n\nText c.\n")
    assert [(chunk.title_path, chunk.text) for chunk in chunks_of(document)] == [
        (("Title",), "Intro."),
        (("Title", "A"), "Text a."),
        (("Title", "A", "B"), "Text b."),
        (("Title", "C"), "Text c."),
    ]


def test_the_path_begins_with_the_title_of_the_document() -> None:
    document = markdown("---\ntitle: Given\n---\n# Head\n\nText.\n")
    assert chunks_of(document)[0].title_path == ("Given", "Head")


def test_a_path_is_bounded() -> None:
    document = markdown("\n".join(f"{'#' * min(level, 6)} H{level}\n" for level in range(1, 7)) + "\nText.\n")
    assert len(chunks_of(document)[0].title_path) <= chunking.MAX_PATH


def test_short_paragraphs_share_a_chunk() -> None:
    document = markdown("Some words here.\n\nAnd some more.\n\nThen an end.\n")
    assert [chunk.text for chunk in chunks_of(document)] == ["Some words here.\n\nAnd some more.\n\nThen an end."]


def test_lengths_are_even_and_below_the_maximum() -> None:
    document = markdown("\n\n".join(sentence(7, number) for number in range(12)))
    counts = [chunk.tokens for chunk in chunks_of(document)]
    assert sum(counts) == 84
    assert max(counts) <= SIZES.maximum
    assert min(counts) >= 14


def test_no_sentence_is_cut() -> None:
    source = [sentence(9, number) for number in range(11)]
    document = markdown(" ".join(source))
    chunks = chunks_of(document)
    assert len(chunks) > 3
    for wanted in source:
        assert sum(wanted in chunk.text for chunk in chunks) == 1


def test_a_sentence_that_is_too_long_is_cut_at_white_space() -> None:
    document = markdown(sentence(100))
    chunks = chunks_of(document)
    assert all(chunk.tokens <= SIZES.maximum for chunk in chunks)
    assert " ".join(chunk.text for chunk in chunks) == sentence(100)


def test_a_word_that_is_too_long_is_cut_between_code_points() -> None:
    word = "日本語テキスト" * 200
    chunks = chunks_of(markdown(word))
    assert "".join(chunk.text for chunk in chunks) == word
    assert all(chunk.tokens <= SIZES.maximum for chunk in chunks)


def test_text_without_any_white_space_is_bounded() -> None:
    document = markdown("x" * (MAX_SENTENCE_CHARS * 5))
    assert all(len(chunk.text.encode()) <= chunking.MAX_CHUNK_BYTES for chunk in chunks_of(document, ChunkSizes(1000, 1000)))


def test_a_document_of_headings_alone_is_found_by_them() -> None:
    chunks = chunks_of(markdown("# One\n\n## Two\n"))
    assert [chunk.text for chunk in chunks] == ["One\n\nTwo"]


def test_too_many_chunks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "MAX_CHUNKS", 3)
    with pytest.raises(DocumentRejected) as caught:
        chunks_of(markdown("\n".join(f"# H{number}\n\nText.\n" for number in range(5))))
    assert caught.value.reason == "DOCUMENT_TOO_LARGE"


def test_ids_are_the_same_every_time_and_never_twice() -> None:
    text = "# A\n\nSame.\n\n## B\n\nSame.\n\n## B\n\nSame.\n"
    first, second = chunks_of(markdown(text)), chunks_of(markdown(text))
    assert [chunk.uid for chunk in first] == [chunk.uid for chunk in second]
    assert len({chunk.uid for chunk in first}) == 3
    assert [chunk.ordinal for chunk in first] == [0, 1, 2]


def test_nothing_but_white_space_and_headings_is_lost_in_any_document() -> None:
    seed = 20260721
    rng = random.Random(seed)
    alphabet = [
        "word",
        "größer",
        "Привет",
        "日本",
        "e.g.",
        "Dr.",
        "3.5",
        "end.",
        "what?",
        "\n\n",
        "\n",
        "- item",
        "x" * 300,
        "「引用。」",
    ]
    for _ in range(150):
        document = parse(" ".join(rng.choice(alphabet) for _ in range(rng.randint(1, 120))).encode(), "text/plain")
        chunks = chunks_of(document)
        body = [document.slice(block.start, block.end) for block in document.blocks if block.kind != "heading"] or [
            document.text.decode()
        ]
        kept = "".join("".join(chunk.text.split()) for chunk in chunks)
        assert kept == "".join("".join(text.split()) for text in body), f"seed {seed}: {document.text!r}"
        for before, after in pairwise(chunks):
            assert before.end <= after.start
        for chunk in chunks:
            assert chunk.tokens <= SIZES.maximum, f"seed {seed}: {chunk}"


def test_a_list_stays_with_the_sentence_that_leads_to_it() -> None:
    text = f"{sentence(12)}\n\nTake these with you:\n\n- a map\n- a lamp\n- some bread\n\n{sentence(12, 1)}\n"
    texts = [chunk.text for chunk in chunks_of(markdown(text))]
    assert "Take these with you:\n\n- a map\n- a lamp\n- some bread" in "\x00".join(texts)


def test_a_list_longer_than_the_target_stays_whole_up_to_the_maximum() -> None:
    items = "\n".join(f"- item {number} of it" for number in range(5))  # 25 words; the target is 20, the maximum 30
    texts = [chunk.text for chunk in chunks_of(markdown(f"{sentence(15)}\n\n{items}\n"))]
    assert items in texts


def test_a_table_that_is_too_long_is_cut_between_rows_and_each_part_says_its_columns() -> None:
    rows = "\n".join(f"| drug {number} | {number} mg a day |" for number in range(12))
    document = markdown(f"# Doses\n\n| Drug | Dose |\n|---|---|\n{rows}\n")
    chunks = chunks_of(document)
    assert len(chunks) > 2
    assert chunks[0].title_path == ("Doses",)
    assert {chunk.title_path for chunk in chunks[1:]} == {("Doses", "| Drug | Dose |")}
    lines = [line for chunk in chunks for line in chunk.text.split("\n")]
    assert lines == document.text.decode().split("\n")[2:]


def test_code_that_fits_stays_whole() -> None:
    code = "\n".join(f"call_{number}(one. two. three. four)" for number in range(7))  # 28 words
    texts = [chunk.text for chunk in chunks_of(markdown(f"{sentence(9)}\n\n```\n{code}\n```\n\n{sentence(9)}\n"))]
    assert code in texts
