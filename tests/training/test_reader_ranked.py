"""The third stage of the joint reader: which passages stand in a list as the scorer ranks them, what its scores do to the loss."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from training import reader_fit
from training.reader_batches import list_epoch
from training.reader_data import Example, RankedGroup, Window
from training.reader_ranked import HARDEST, Ranked, list_of

BRIDGE = "The stone bridge was finished in 1742."


def example() -> Example:
    return Example("squad", "Stone bridge", "When was the stone bridge finished?", BRIDGE, ((33, 37),), True)


def ranked(*more: tuple[str, str, float]) -> list[Ranked]:
    wrong = [("Mill", f"The mill number {n} turns.", float(n)) for n in range(HARDEST)]
    return [((title, text, text), score) for title, text, score in [*wrong, *more]]


def test_the_scorers_best_wrong_passages_stand_first_with_their_scores() -> None:
    found = list_of(example(), "when was it finished", ranked(("Stone bridge", BRIDGE, 3.5), ("Toll", "A bridge.", 40.0)))
    assert found is not None
    listed, scores = found
    assert listed.question == "when was it finished"
    assert [text for _, text in listed.negatives] == ["A bridge.", *(f"The mill number {n} turns." for n in range(6, 0, -1))]
    assert scores == (3.5, 40.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
    assert listed.passage[slice(*listed.answers[0])] == "1742"


def test_what_also_holds_the_answer_is_not_wrong() -> None:
    found = list_of(example(), "when", ranked(("Toll", "Finished in 1742, the bridge stands.", 40.0)))
    assert found is not None
    assert all("1742" not in text for _, text in found[0].negatives)


def test_a_passage_that_the_search_missed_scores_as_the_worst() -> None:
    found = list_of(example(), "when", ranked())
    assert found is not None
    assert found[1][0] == 0.0


def test_too_few_wrong_passages_make_no_list() -> None:
    assert list_of(example(), "when", ranked()[1:]) is None


def test_scores_go_with_the_windows_that_are_drawn() -> None:
    def window() -> Window:
        rows = np.zeros(5, dtype=np.int16)
        return Window(
            rows, rows[:, None], np.zeros((5, 1), dtype=np.uint8), rows.astype(np.int8), np.zeros((1, 1), dtype=np.float16)
        )

    group = RankedGroup("ranked", 0, [window() for _ in range(8)], True, True, lexical=tuple(map(float, range(8))))
    taken = list_epoch({"ranked": [group] * 200}, random.Random(1), {})
    for one in taken:
        places = [next(n for n, w in enumerate(group.windows) if w is chosen) for chosen in one.windows]
        assert one.answerable == (places[0] == 0)
        if one.answerable:
            assert one.lexical == tuple(map(float, places))
            assert places[1:] == sorted(places[1:])
    assert {one.answerable for one in taken} == {True, False}


def test_what_the_scorer_knows_already_teaches_less(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(lexical: list[float]) -> float:
        blank = torch.zeros(2, 3)
        monkeypatch.setattr(
            reader_fit, "run_model", lambda *_: (blank, blank, torch.zeros(2, 1), torch.zeros(2), torch.zeros(2, 3))
        )
        batch = {
            "answerable": torch.ones(1), "weight": torch.ones(1), "spans": torch.zeros(1), "starts": blank, "ends": blank,
            "gold_sentence": torch.tensor([[1.0], [0.0]]), "said": torch.zeros(1, dtype=torch.int64),
            "lexical": torch.tensor([lexical]),
        }  # fmt: skip
        return reader_fit.loss_of(None, batch).item()  # type: ignore[arg-type]

    assert loss([6.0, 0.0]) < loss([0.0, 0.0]) < loss([0.0, 6.0])
