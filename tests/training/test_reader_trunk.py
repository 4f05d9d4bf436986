"""The reader's trunk: spans that recur become questions, names change everywhere alike, parts are taken once, a run goes on."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from ragmesh_models.reading_features import POSITION_FEATURES, SENTENCE_FEATURES
from ragmesh_models.reading_text import PIECES, RESERVED, STATIC

from training import reader_trunk
from training.progress import Run
from training.reader_batches import Taken, collate, draw
from training.reader_data import Group, Window
from training.reader_fit import loss_of
from training.reader_model import JointReader, Sizes
from training.reader_names import ALIKE, Names
from training.reader_trunk import PEAK, SETTLE_PEAK, SETTLES, Parts, fit, rate_of, round_of
from training.synthetic import Text
from training.trunk_questions import recurring

BUILT = "The stone bridge over the river was built by Ada Miller after the flood."
PAID = "The town paid for the stone bridge, which the mason Ada Miller planned after a flood, with a toll."
OTHER = "Grain was sold on the market every week, and wool was sold in autumn, whatever the weather was like there."


def questions(*paragraphs: str) -> list[tuple[str, str, str]]:
    found = recurring(Text("wiki", "Riverton", [("", text) for text in paragraphs]), random.Random(3))
    return [(one.question, one.passage, one.passage[slice(*one.answers[0])]) for one in found]


def test_a_name_of_two_paragraphs_is_asked_of_the_one_over_the_other() -> None:
    found = questions(f"{BUILT} {OTHER}", f"{OTHER} {PAID}")
    assert [answer for _, _, answer in found] == ["Ada Miller"]
    question, passage, _ = found[0]
    assert "miller" not in question.lower()
    asked = BUILT if passage.endswith(PAID) else PAID
    assert passage == (f"{OTHER} {PAID}" if asked == BUILT else f"{BUILT} {OTHER}")


def test_the_sentence_that_is_asked_leaves_its_paragraph() -> None:
    found = questions(f"{BUILT} {OTHER} {PAID}")
    assert len(found) == 1
    assert (BUILT in found[0][1]) != (PAID in found[0][1])


@pytest.mark.parametrize(
    "other",
    [
        BUILT,
        "Ada Miller, https://example.org/bridge-over-the-river, stone and flood, was built and accessed on a day in May.",
        "In spring the road to the hills was paved with gravel, as the widow Ada Miller had asked of the council.",
    ],
    ids=["the same sentence", "a footnote", "nothing else shared"],
)
def test_what_teaches_nothing_is_not_asked(other: str) -> None:
    assert questions(f"{BUILT} {OTHER}", other) == []


ROWS = 3 * (ALIKE + 6)


def window(rows: list[int], capital: bool = True) -> Window:
    features = np.zeros((len(rows), POSITION_FEATURES), dtype=np.uint8)
    features[:, STATIC.index("capital")] = 255 * capital
    features[0, -3] = features[1:, -1] = 255  # the question is one word long
    pieces = np.repeat(np.array(rows, dtype=np.int16)[:, None], PIECES, axis=1)
    described = np.zeros((1, len(SENTENCE_FEATURES)), dtype=np.float16)
    return Window(np.array(rows, dtype=np.int16), pieces, features, np.zeros(len(rows), dtype=np.int8), described, [1], [1], [0])


def group(source: str, windows: list[Window]) -> Group:
    return Group(source, 0, windows, True, True)


def names() -> Names:
    vectors = torch.from_numpy(np.random.default_rng(1).standard_normal((ROWS, 8)).astype(np.float32))
    named, plain = list(range(RESERVED, ROWS - 10)), list(range(ROWS - 10, ROWS))
    return Names(vectors, [group("squad", [window(named), window(plain, capital=False)])] * 3, often=ROWS)


def test_a_name_changes_everywhere_alike_and_nothing_else_does() -> None:
    known, common = names(), ROWS - 1
    given = [window([5, common, 6]), window([7, 5, common])]
    changed = 0
    for seed in range(30):
        first, second = known.rename(given, random.Random(seed))
        assert first.rows[0] == second.rows[1]
        assert first.rows[1] == second.rows[2] == common
        assert len({int(first.rows[0]), int(first.rows[2]), int(second.rows[0])}) == 3
        assert (first.pieces[:, 0] == first.rows).all()
        assert first.features is given[0].features
        changed += int(first.rows[0] != 5)
    assert 10 < changed < 30
    assert given[0].rows.tolist() == [5, common, 6]


def write(folder: Path, number: int, *sources: str) -> None:
    parts = [group(source, [window([5, 6, 7])]) for source in sources]
    (folder / f"part-{number:03d}.pickle").write_bytes(pickle.dumps(parts))


def test_what_is_written_meanwhile_comes_before_what_was_seen(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    assert parts.take(2) == []
    write(tmp_path, 0, "a", "b")
    assert [one.source for one in parts.take(1)] == ["a"]
    write(tmp_path, 1, "c")
    assert [one.source for one in parts.take(4)] == ["b", "c", "a", "b"]


def test_a_run_that_goes_on_skips_what_it_saw(tmp_path: Path) -> None:
    write(tmp_path, 0, "a", "b")
    write(tmp_path, 1, "c")
    parts = Parts(tmp_path)
    parts.skip(2)
    assert [one.source for one in parts.take(1)] == ["c"]


def test_a_round_renames_real_lists_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_trunk, "RENAMED", 1.0)
    wide = [group("wide", [window([5, 6, 7])])]
    real = {"squad20_wiki32": [group("squad20_wiki32", [window([5, 6, 7])])] * 40}
    taken = round_of(real, wide * 40, names(), random.Random(1))
    rows = {source: {tuple(one.windows[0].rows) for one in taken if one.group.source == source} for source in ("wide", *real)}
    assert rows["wide"] == {(5, 6, 7)}
    assert len(rows["squad20_wiki32"]) > 10


def test_no_more_wrong_passages_than_were_asked_for() -> None:
    listed = group("wide", [window([n, n]) for n in range(RESERVED, RESERVED + 8)])
    rng = random.Random(1)
    assert {len(draw(listed, rng, 3).windows) for _ in range(200)} == {1, 2, 3, 4}


def test_the_rate_falls_twice() -> None:
    rates = [rate_of(share * 3_600, 3_600) for share in (0.02, 0.4, SETTLES - 0.01, SETTLES + 0.01, 0.9, 1.0)]
    assert rates[0] == pytest.approx(PEAK, rel=0.01)
    assert rates[0] > rates[1] > rates[2] < rates[3]
    assert rates[3] == pytest.approx(SETTLE_PEAK, rel=0.02)
    assert rates[3] > rates[4] > rates[5] < 0.02 * SETTLE_PEAK


def test_the_averaged_weights_learn_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    write(tmp_path, 0, *["wide"] * 4)
    lists = {"squad20_wiki32": [group("squad20_wiki32", [window([5, 6, 7, 8]), window([9, 10, 11])])] * 4}

    def fresh() -> JointReader:
        return JointReader(Sizes(stems=ROWS, pieces=ROWS, width=16, blocks=1, heads=2, inner=16)).eval()

    def loss(model: JointReader) -> float:
        every = [Taken(one, one.windows, True) for one in lists["squad20_wiki32"]]
        with torch.no_grad():
            return loss_of(model, collate(every, "cpu")).item()

    run = Run("trunk", tmp_path)
    fit(fresh(), lists, Parts(tmp_path), names(), {}, {}, run, minutes=1e3, most_steps=10, peak=0.1)
    begun = fresh()
    before = loss(begun)
    again = Run("trunk", tmp_path)
    after = fit(begun, lists, Parts(tmp_path), names(), {}, {}, again, minutes=1e3, most_steps=20, peak=0.1)
    assert [step for step, _ in again.curves["loss"]] == [20]
    assert loss(after) < 0.8 * before
