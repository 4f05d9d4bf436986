"""Lists that the joint reader learns from: which passages stand as wrong, how long ones are cut, what nothing answers."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from training.reader_batches import MOST_NEGATIVES, batches_of, list_epoch
from training.reader_data import Example, Group, Window
from training.reader_fit import list_scores
from training.reader_lists import MOST_CHARS, Pool, changed, crop
from training.reader_listwise import LEAST, rate_at

BRIDGE = "The stone bridge was finished in 1742."


def example(question: str = "When was the stone bridge finished?", source: str = "squad", passage: str = BRIDGE) -> Example:
    at = passage.find("1742")
    return Example(source, "Stone bridge", question, passage, ((at, at + 4),) if at >= 0 else (), True)


def long_text() -> str:
    return " ".join(f"Sentence number {n} speaks of the river and of nothing else at all." for n in range(60))


def test_a_short_passage_is_not_cut() -> None:
    assert crop(BRIDGE, (33, 37), "When?", random.Random(1)) == (BRIDGE, 0)


@pytest.mark.parametrize("seed", range(8))
def test_a_long_passage_is_cut_to_whole_sentences_around_the_answer(seed: int) -> None:
    text = long_text()
    at = text.index("number 41")
    cut, begin = crop(text, (at, at + 9), "", random.Random(seed))
    assert text[begin : begin + len(cut)] == cut
    assert begin <= at
    assert at + 9 <= begin + len(cut)
    assert MOST_CHARS / 2 < len(cut) <= MOST_CHARS
    assert cut.startswith("Sentence")
    assert cut.endswith(".")


def test_a_wrong_passage_is_cut_to_what_is_most_like_the_question() -> None:
    text = f"{long_text()} The stone bridge was finished in the spring. {long_text()}"
    cut, _ = crop(text, None, "When was the stone bridge finished?", random.Random(2))
    assert "stone bridge was finished" in cut
    assert len(cut) <= MOST_CHARS


def test_what_holds_the_answer_is_no_negative_and_the_nearest_come_first() -> None:
    near = "The stone bridge was never finished."
    also = "Finished in 1742, the stone bridge stands."
    other = "Salt was dear."
    pool = Pool([("Stone bridge", BRIDGE), ("Mill", near), ("Toll", also), ("Salt", other)])
    found = pool.negatives(example(), lambda _: True, random.Random(3))
    assert found[0] == ("Mill", near)
    assert {text for _, text in found} <= {near, other}
    assert not any(text == near for _, text in pool.negatives(example(), lambda passage: passage[0] != "Mill", random.Random(3)))


def test_a_changed_question_asks_for_what_its_passage_does_not_have() -> None:
    rows = [
        example("When did Miller build the stone bridge?", passage="Miller built the stone bridge in 1742."),
        example("Whom did Baker pay for salt?"),
    ]
    found = changed(rows, random.Random(4))
    assert {one.question for one in found} == {"When did Baker build the stone bridge?", "Whom did Miller pay for salt?"}
    assert all(one.source == "changed" and not one.answers for one in found)


def window(length: int, gold: bool) -> Window:
    rows = np.zeros(length, dtype=np.int16)
    empty = np.zeros((length, 1), dtype=np.uint8)
    found = Window(rows, rows[:, None], empty, rows.astype(np.int8), np.zeros((2, 1), dtype=np.float16))
    if gold:
        found.gold_sentences = [0]
    return found


def group(answerable: bool, negatives: int, source: str = "squad") -> Group:
    own = window(20, answerable)
    return Group(source, 0, [own, *(window(10 + n, False) for n in range(negatives))], answerable, answerable)


def test_an_epoch_draws_right_passages_first_or_leaves_them_out() -> None:
    rng = random.Random(5)
    known = {"squad": [group(True, 6) for _ in range(400)], "changed": [group(False, 6, "changed") for _ in range(100)]}
    taken = list_epoch(known, rng)
    assert len(taken) == 500
    for one in taken:
        own = one.windows[0] is one.group.windows[0]
        assert one.answerable == (one.group.answerable and own)
        assert 1 <= len(one.windows) <= 1 + MOST_NEGATIVES
    kinds = [(one.group.answerable, one.answerable, len(one.windows) > 1) for one in taken]
    assert {(True, True, True), (True, True, False), (True, False, True), (False, False, True), (False, False, False)} <= set(kinds)


def test_a_batch_holds_groups_of_one_size_within_its_positions() -> None:
    rng = random.Random(6)
    taken = list_epoch({"squad": [group(True, 6) for _ in range(200)]}, rng)
    batches = batches_of(taken, rng, 600)
    assert sum(map(len, batches)) == len(taken)
    for batch in batches:
        sizes = {len(one.windows) for one in batch}
        assert len(sizes) == 1
        longest = max(len(w.rows) for one in batch for w in one.windows)
        assert len(batch) == 1 or len(batch) * sizes.pop() * longest <= 600


def test_a_window_is_scored_by_all_its_sentences_and_its_own_level() -> None:
    sentence = torch.tensor([[0.0, 0.0], [1.0, -1e4]])
    passage = torch.tensor([2.0, -1.0])
    assert list_scores(sentence, passage).tolist() == pytest.approx([2.0 + np.log(2), 0.0], abs=1e-5)


def test_the_rate_follows_the_time() -> None:
    rates = [rate_at(spent, 1_000, 100, 1.0) for spent in (0, 50, 100, 550, 1_000, 2_000)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[2] == pytest.approx(1.0)
    assert rates[3] == pytest.approx(0.5 * (1 + LEAST), abs=0.01)
    assert rates[4] == rates[5] == pytest.approx(LEAST)
