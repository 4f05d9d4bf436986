"""Ends of sentences: in doubt none."""

from __future__ import annotations

import pytest
from ragmesh_models.sentences import split

from services.retriever.canonical import Block, BlockKind, CanonicalText
from services.retriever.sentences import sentences


def cut(text: str, kind: BlockKind = BlockKind.PARAGRAPH, before: str = "") -> list[str]:
    start = len(before.encode())
    block = Block(kind, start, start + len(text.encode()))
    document = CanonicalText((before + text).encode(), (block,))
    return [document.slice(*span) for span in sentences(document, block)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith met J. Doe at 5 p.m. yesterday. It rained.", ["Dr. Smith met J. Doe at 5 p.m. yesterday.", "It rained."]),
        ("It costs 3.5 mg. e.g. that. Then more.", ["It costs 3.5 mg. e.g. that.", "Then more."]),
        ('He said "Stop." Then left.', ['He said "Stop."', "Then left."]),
        ("Siehe z.B. Abs. 3. Das gilt.", ["Siehe z.B. Abs. 3.", "Das gilt."]),
        ("これは文です。次の文。", ["これは文です。", "次の文。"]),
        ("Привет. Как дела? Хорошо.", ["Привет.", "Как дела?", "Хорошо."]),
        ("Wait... what? Yes.", ["Wait... what?", "Yes."]),
        ("No end here", ["No end here"]),
        ("So do I. And you.", ["So do I.", "And you."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert cut(text) == expected
    assert cut(text, before="Ünïcode before. ") == expected


@pytest.mark.parametrize(
    "expected",
    [
        ["Yahoo! is a company of California.", "It was founded in 1994."],
        ["Help! is the fifth album.", "It came out in 1965."],
        ['"Is it closed?" she asked.', "Nobody knew."],
        ["He was born on 9 July [O.S. 28 June] 1706.", "He died old."],
        ["The house (built c. 1455. It burnt twice.) stands.", "It is empty."],
        ["An open bracket (is no reason.", "This is another (closed) one."],
        ["is it closed?", "nobody knows!", "we asked."],
        ["What's the Worst That Could Happen? in 2001 was next.", "It failed."],
        ["It opened c. 1937 in Egypt.", "It closed."],
    ],
)
def test_names_questions_and_brackets_end_where_the_models_end_them(expected: list[str]) -> None:
    text = " ".join(expected)
    assert cut(text) == expected
    assert [text[one.start : one.end] for one in split(text)] == expected


def test_a_short_line_is_one_and_a_long_one_is_cut() -> None:
    assert cut("- One. Two.", BlockKind.LINE) == ["- One. Two."]
    long = "- " + " ".join(f"Sentence number {number}." for number in range(60))
    assert len(cut(long, BlockKind.LINE)) == 60


def test_a_long_piece_of_code_is_cut_at_lines() -> None:
    lines = [f"value_{number} = compute(number={number})" for number in range(60)]
    assert cut("\n".join(lines), BlockKind.LINE) == lines


def test_a_sentence_without_end_is_bounded() -> None:
    text = "слово " * 4000
    pieces = cut(text.strip())
    assert max(map(len, pieces)) <= 4096
    assert " ".join(pieces) == text.strip()
