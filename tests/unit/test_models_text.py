"""The text analysis that models and training share: case folding, byte offsets, stems, sentences."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ragmesh_models.casing import ESCAPE, TITLE, UPPER, fold, unfold
from ragmesh_models.lexical import IdfTable, stem, words_of
from ragmesh_models.sentences import MAX_SENTENCES, SentenceKind, split
from ragmesh_models.tokens import TextTokenizer, byte_positions

ROOT = Path(__file__).resolve().parents[2]
SEED = 20260721


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(ROOT / "deploy" / "triton" / "model_repository" / "tokenizer" / "1" / "tokenizer.json")


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("The cat", f"{TITLE}the cat"),
        ("see The NASA iPhone", f"see{TITLE} the{UPPER} nasa iPhone"),
        ("A", f"{TITLE}a"),
        ("İstanbul ẞ", "İstanbul ẞ"),
        (f"x{TITLE}y", f"x{ESCAPE}{TITLE}y"),
        ("", ""),
    ],
)
def test_capitals_become_markers(text: str, folded: str) -> None:
    assert fold(text)[0] == folded
    assert unfold(folded) == text


def test_any_text_comes_back(tokenizer: TextTokenizer) -> None:
    rng = random.Random(SEED)
    alphabet = "aAbBzZ éÉßẞİıŁłДд你好😀\u200d\n\t .,'’-0123²Ⅷǅ\ue000\ue001\ue002\u0301\ufeff\x00⟦pad⟧"
    for _ in range(400):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 40)))
        folded, starts, ends = fold(text)
        assert len(folded) == len(starts) == len(ends)
        assert unfold(folded) == text, f"seed {SEED}"
        encoded = tokenizer.encode(text)
        assert tokenizer.decode(encoded.ids.tolist()) == text, f"seed {SEED}"
        assert encoded.offsets.shape == (len(encoded.ids), 2)


def test_text_cannot_spell_a_control_token(tokenizer: TextTokenizer) -> None:
    assert min(tokenizer.encode("⟦pad⟧⟦eos⟧⟦user⟧").ids) >= 12


def test_case_does_not_change_uncased_ids(tokenizer: TextTokenizer) -> None:
    assert tokenizer.uncased_ids("CANNABIDIOL and The Liver") == tokenizer.uncased_ids("cannabidiol and the liver")


@pytest.mark.parametrize("text", ["", "plain", "Küßnacht – 你好 😀!"])
def test_byte_positions_are_those_of_utf8(text: str) -> None:
    assert byte_positions(text).tolist() == [len(text[:n].encode()) for n in range(len(text) + 1)]


@pytest.mark.parametrize(
    "forms", [("create", "created", "creating", "creates"), ("study", "studies", "studied"), ("dose", "doses", "dosed")]
)
def test_regular_forms_share_a_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


def test_words_carry_their_places() -> None:
    words = words_of("Élodie’s café, est. 1911")
    assert words.surface == ["Élodie’s", "café", "est", "1911"]
    assert [words.starts[1], words.ends[1]] == [9, 13]


def test_the_idf_table_survives_its_file(tmp_path: Path) -> None:
    table = IdfTable({"liver": 6.0, "the": 0.1, "küßnacht": 11.9})
    table.dump(tmp_path / "idf.bin")
    again = IdfTable.load(tmp_path / "idf.bin")
    assert len(again) == 3
    assert again("liver") == pytest.approx(6.0, abs=0.03)
    assert again("never seen") == pytest.approx(11.9, abs=0.03)


def pieces(text: str) -> list[tuple[str, SentenceKind]]:
    return [(text[s.start : s.end], s.kind) for s in split(text)]


def test_abbreviations_and_initials_do_not_end_a_sentence() -> None:
    text = "Dr. J. Smith of the U.S. Navy wrote it, e.g. in 1911. It cost 3.50 dollars! Did it? “Yes.” Then he left."
    assert [body for body, _ in pieces(text)] == [
        "Dr. J. Smith of the U.S. Navy wrote it, e.g. in 1911.",
        "It cost 3.50 dollars!",
        "Did it?",
        "“Yes.”",
        "Then he left.",
    ]


def test_a_name_or_a_quotation_ends_no_sentence_and_nothing_ends_in_brackets() -> None:
    text = (
        "Yahoo! is a company. “Is it closed?” she asked. He was born on 3 May [O.S. 22 April] 1711. It is (see page 4. "
        "Nobody closed this. The end (at 4 p.m. They left.) came! Then? No."
    )
    assert [body for body, _ in pieces(text)] == [
        "Yahoo! is a company.",
        "“Is it closed?” she asked.",
        "He was born on 3 May [O.S. 22 April] 1711.",
        "It is (see page 4.",
        "Nobody closed this.",
        "The end (at 4 p.m. They left.) came!",
        "Then?",
        "No.",
    ]
    assert [body for body, _ in pieces("is it open? yes! go in.")] == ["is it open?", "yes!", "go in."]


def test_lines_have_kinds() -> None:
    text = (
        "# Title\n\nProse that goes\nover two lines. More.\n\n- a bullet\n- It is a sentence.\n\n"
        "| a | b |\n|---|---|\n\nShort heading\n\nThe end."
    )
    assert pieces(text) == [
        ("# Title", SentenceKind.HEADING),
        ("Prose that goes\nover two lines.", SentenceKind.PROSE),
        ("More.", SentenceKind.PROSE),
        ("a bullet", SentenceKind.BULLET),
        ("It is a sentence.", SentenceKind.BULLET),
        ("| a | b |", SentenceKind.TABLE),
        ("|---|---|", SentenceKind.TABLE),
        ("Short heading", SentenceKind.HEADING),
        ("The end.", SentenceKind.PROSE),
    ]


def test_ranges_are_trimmed_in_order_and_bounded() -> None:
    rng = random.Random(SEED)
    for _ in range(300):
        text = "".join(rng.choice("ab. A!?\n-#|\t é“”1") for _ in range(rng.randint(0, 200)))
        end = 0
        for sentence in split(text):
            assert end <= sentence.start < sentence.end <= len(text), f"seed {SEED}"
            assert text[sentence.start : sentence.end].strip() == text[sentence.start : sentence.end]
            end = sentence.end
    assert len(split("A. B! " * 5_000)) == MAX_SENTENCES
