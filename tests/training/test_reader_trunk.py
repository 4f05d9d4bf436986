"""The reader's trunk: spans that recur are asked, names change alike, parts come once, words are hidden, a run goes on."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from ragmesh_models.reading_features import POSITION_FEATURES, SENTENCE_FEATURES
from ragmesh_models.reading_text import PIECES, RESERVED, STATIC, UNKNOWN

from training import reader_settle, reader_stage, reader_trunk
from training.progress import Run
from training.reader_batches import Taken, collate, draw
from training.reader_data import Group, Window
from training.reader_fit import loss_of
from training.reader_model import JointReader, Sizes
from training.reader_names import ALIKE, Names
from training.reader_settle import RealQuestions
from training.reader_stage import HiddenWords, Stage, Stop, fit
from training.reader_trunk import OpenText, Parts, single
from training.splits import gram_set
from training.synthetic import Text
from training.trunk_questions import ALONE_CHARS, alone, recurring

BUILT = "The stone bridge over the river was built by Ada Miller after the flood."
PAID = "The town paid for the stone bridge, which the mason Ada Miller planned after a flood, with a toll."
QUARRY = "A quarry north of the town gave the stone for a bridge and for most of the houses that stood along the river."
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


def test_parts_go_on_where_they_were(tmp_path: Path) -> None:
    write(tmp_path, 0, "a", "b")
    write(tmp_path, 1, "c", "d", "e")
    parts = Parts(tmp_path)
    parts.take(3)
    again = Parts(tmp_path)
    again.go_on(parts.place)
    assert [one.source for one in again.take(3)] == ["d", "e", "a"]


def test_passages_that_stand_alone_are_short_and_hold_their_answers() -> None:
    known = gram_set(["nothing of this stands in what is evaluated on , which is some other text than the one that is learnt"])
    far = " ".join([OTHER] * 12)
    document = Text("wiki", "Riverton", [("", f"{far} {BUILT} {far}"), ("", f"{OTHER} {PAID}"), ("", " ".join([QUARRY] * 12))])
    found = [one for seed in range(8) for one in alone([document], known, random.Random(seed))]
    recurs = [one for one in found if one.source == "recurring"]
    assert recurs
    assert {one.passage[slice(*one.answers[0])] for one in recurs} == {"Ada Miller"}
    assert all(len(text) <= ALONE_CHARS for one in found for text in (one.passage, *(text for _, text in one.negatives)))
    beside = [text for one in recurs for _, text in one.negatives]
    assert beside
    assert not any("Ada Miller" in text for text in beside)


def test_a_single_passage_is_read_alone_beside_a_wrong_one_or_not_at_all() -> None:
    listed = group("squad20_wiki32", [window([n, n]) for n in (5, 6, 7)])
    rng = random.Random(1)
    assert len(single(listed, rng, 0.0, 0.5).windows) == 1
    both, without = single(listed, rng, 1.0, 0.0), single(listed, rng, 1.0, 1.0)
    assert (len(both.windows), both.answerable) == (2, True)
    assert both.windows[0] is listed.windows[0]
    assert (len(without.windows), without.answerable) == (1, False)
    assert without.windows[0] is not listed.windows[0]


def test_only_words_of_a_passage_that_answer_nothing_are_hidden() -> None:
    taken = [Taken(one, one.windows, True) for one in [group("wide", [window([5, 6, 7, 8, 9])])] * 200]
    batch = collate(taken, "cpu")
    hidden = HiddenWords(tiny()).hide(batch, torch.Generator().manual_seed(1))
    assert (hidden[:, :2] == 0).all()  # the question, and the answer
    there = hidden > 0
    assert 20 < there.sum() < 100
    assert (batch["rows"][there] == UNKNOWN).all()
    assert (batch["pieces"][there] == 0).all()
    assert (hidden[there] == torch.tensor([5, 6, 7, 8, 9]).expand(200, 5)[there]).all()


def test_real_questions_settle_in_single_passages_and_then_in_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_settle, "RENAMED", 1.0)
    (tmp_path / "part-000.pickle").write_bytes(pickle.dumps([group("wide", [window([5, 6, 7])])] * 40))
    monkeypatch.setattr(reader_settle, "WIDE", 3)
    windows = [window([n, n + 1]) for n in range(5, 12)]
    material = RealQuestions({"selqa": [group("selqa", windows)] * 60}, Parts(tmp_path), names(), 100.0)
    early, late = (material.round(random.Random(1), spent) for spent in (0.0, 60.0))
    for taken in (early, late):
        wide = [one for one in taken if one.group.source == "wide"]
        assert len(wide) == 3
        assert not any(one.group.spans for one in wide)
        assert {tuple(one.windows[0].rows) for one in wide} == {(5, 6, 7)}
        assert len({tuple(one.windows[0].rows) for one in taken if one.group.source == "selqa"}) > 10
    assert max(len(one.windows) for one in early) == 2
    assert max(len(one.windows) for one in late) == 6
    material.single = 1.0
    assert max(len(one.windows) for one in material.round(random.Random(1), 60.0)) == 2


def test_no_more_wrong_passages_than_were_asked_for() -> None:
    listed = group("wide", [window([n, n]) for n in range(RESERVED, RESERVED + 8)])
    rng = random.Random(1)
    assert {len(draw(listed, rng, 3).windows) for _ in range(200)} == {1, 2, 3, 4}


def tiny() -> JointReader:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    return JointReader(Sizes(stems=ROWS, pieces=ROWS, width=16, blocks=1, heads=2, inner=16))


def test_the_averaged_weights_learn_and_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_stage, "SAID", 10)
    write(tmp_path, 0, *["wide"] * 4)
    lists = [group("wide", [window([5, 6, 7, 8]), window([9, 10, 11])])] * 4

    def stage(steps: int) -> Stage:
        return Stage(1e6, lambda _step, _spent: 0.05, 0.2, steps)

    def loss(model: JointReader) -> float:
        with torch.no_grad():
            return loss_of(model.eval(), collate([Taken(one, one.windows, True) for one in lists], "cpu")).item()

    def material() -> OpenText:
        (tmp_path / "alone-000.pickle").write_bytes(pickle.dumps(lists))
        return OpenText(Parts(tmp_path, "alone-*.pickle"), Parts(tmp_path), names())

    before = loss(tiny())
    fit(tiny(), material(), stage(10), Run("run", tmp_path), Stop(), lambda _model, _step: None)
    again = Run("run", tmp_path)
    after = fit(tiny(), material(), stage(30), again, Stop(), lambda _model, _step: None)
    assert [step for step, _ in again.curves["loss"]] == [10, 20, 30]
    assert loss(after) < 0.8 * before
    stopped = fit(tiny(), material(), stage(60), Run("run", tmp_path), Stop(asked=True), lambda _model, _step: None)
    assert loss(stopped) == pytest.approx(loss(after))


def test_a_run_without_parts_says_so(tmp_path: Path) -> None:
    material = OpenText(Parts(tmp_path, "alone-*.pickle"), Parts(tmp_path), names())
    with pytest.raises(FileNotFoundError):
        fit(tiny(), material, Stage(1e6, reader_trunk.steady), Run("run", tmp_path), Stop(), lambda _model, _step: None)
