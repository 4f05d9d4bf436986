"""Our own evaluation files: places of answers, impossible questions, swaps; the same halves for ever. Without data or torch."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from training import claim_sets, dev_sets
from training.splits import held_out


def test_every_place_of_an_answer_is_found_as_whole_words_in_any_case() -> None:
    text = "Oak trees. The oak grew; oaks fell, OAK (c. 1742) stayed."
    assert [(row["text"], row["answer_start"]) for row in dev_sets.occurrences(text, ["oak"])] == [
        ("Oak", 0),
        ("oak", 15),
        ("OAK", 36),
    ]
    assert dev_sets.occurrences(text, ["(c. 1742)"]) == [{"text": "(c. 1742)", "answer_start": 40}]
    assert dev_sets.occurrences(text, ["", "  ", "elm"]) == []


def test_users_questions_fall_into_two_fixed_halves() -> None:
    # Fixed for ever: other halves would let a question that was tuned on count as unseen.
    assert [dev_sets.is_tune(f"question {n}") for n in range(8)] == [True, True, False, True, False, True, True, True]


def test_a_question_from_elsewhere_is_put_to_the_paragraph_that_matches_it_best() -> None:
    articles = [
        {
            "title": "Bridges",
            "paragraphs": [
                {
                    "context": "Salt is white.",
                    "qas": [{"id": "1", "question": "Which?", "answers": [{"text": "Salt", "answer_start": 0}]}],
                },
                {"context": "The bridge is long.", "qas": [{"id": "2", "question": "?", "answers": [], "is_impossible": True}]},
            ],
        }
    ]
    found = dev_sets.off_corpus(articles, ["who built the longest bridge", "one too many"])
    first, second = found["data"][0]["paragraphs"]
    assert [qa["id"] for qa in first["qas"]] == ["1"]
    assert [(qa["question"], qa["is_impossible"]) for qa in second["qas"]] == [("who built the longest bridge", True)]


@pytest.mark.parametrize(
    ("claim", "wrong"),
    [
        ("The bridge was not open in 1742.", "The bridge was open in 1742."),
        ("The bridge was open in 1742.", "The bridge was not open in 1742."),
    ],
)
def test_a_negation_is_taken_away_or_put_in(claim: str, wrong: str) -> None:
    assert claim_sets._negated(claim) == wrong
    assert claim_sets._negated("Salt and oil.") is None


def test_a_role_swap_exchanges_who_and_whom() -> None:
    assert (
        claim_sets._reversed("Ada Moss was painted by Karl Haber, her friend.") == "Karl Haber was painted by Ada Moss, her friend."
    )
    assert claim_sets._reversed("It was painted by hand.") is None


def test_a_swap_puts_another_of_its_sort_in_place() -> None:
    rng = random.Random(1)
    claim = "The bridge opened in 1742 over the Moss River."
    assert claim_sets._swap(claim, claim_sets._NUMBER, ["1742", "1911"], rng) == "The bridge opened in 1911 over the Moss River."
    assert claim_sets._swap(claim, claim_sets._NUMBER, ["1742"], rng) is None
    assert claim_sets._swap(claim, claim_sets._NAME, ["Aare"], rng) == "The bridge opened in 1742 over the Aare."


def test_what_is_written_is_read_back_and_counted(tmp_path: Path) -> None:
    document = {"version": "1.1", "data": [{"title": "Ä", "paragraphs": [{"context": "c", "qas": [{"id": "1"}, {"id": "2"}]}]}]}
    rows = [{"id": "a", "text": "é\u2028e"}]
    assert dev_sets.write({"squad.json": document, "rows.jsonl": rows}, tmp_path / "new" / "dev") == {
        "squad.json": 2,
        "rows.jsonl": 1,
    }
    assert json.loads((tmp_path / "new" / "dev" / "squad.json").read_text(encoding="utf-8")) == document
    (line,) = (tmp_path / "new" / "dev" / "rows.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert json.loads(line) == rows[0]


def test_held_out_articles_of_squad_are_these() -> None:
    titles = ("Nikola_Tesla", "Scottish_Parliament", "Warsaw", "Normans", "Oxygen")
    assert [held_out(title) for title in titles] == [held_out(title.replace("_", " ").upper()) for title in titles]
    assert held_out("Nikola_Tesla")
    assert not held_out("Warsaw")
