"""Ranking of passages without Triton: taking apart, features, aspects, blending, parity with what torch gave."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ragmesh_models.aspects import NAMES as ASPECTS
from ragmesh_models.aspects import AspectTable, aspect_of
from ragmesh_models.lexical import IdfTable
from ragmesh_models.passage_features import NAMES, PassageFeatures
from ragmesh_models.passages import CUES, MAX_WORDS, PassageReader, read_passage
from ragmesh_models.questions import KINDS, read_question
from ragmesh_models.ranking import Ranker, blend, read_asked, with_fusion

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "triton" / "model_repository" / "reranker" / "1"
BRIDGE = "The bridge was finished in 1742. Salt was white because it was washed. A toll of 3 mg was paid by Élodie Müller."
UNKNOWN = (float("nan"),) * 3


@pytest.fixture(scope="module")
def table() -> AspectTable:
    return AspectTable.load(FOLDER / "aspects.bin")


@pytest.fixture(scope="module")
def idf() -> IdfTable:
    return IdfTable.load(FOLDER / "idf.bin")


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return Ranker(FOLDER)


@pytest.fixture(scope="module")
def parity() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "parity.json").read_text(encoding="utf-8"))
    return found


def matrix_of(
    question: str, passages: list[tuple[str, str]], idf: IdfTable, table: AspectTable, scores: Any = None
) -> NDArray[np.float32]:
    read = [read_passage(title, text, table) for title, text in passages]
    retrieval = np.array([UNKNOWN] * len(read) if scores is None else scores, dtype=np.float32).reshape(-1, 3)
    return PassageFeatures(read_question(question, idf), read, retrieval).matrix()


def column(matrix: NDArray[np.float32], name: str) -> list[float]:
    return [float(value) for value in matrix[:, NAMES.index(name)]]


def test_a_passage_is_taken_apart(table: AspectTable) -> None:
    read = read_passage("Rivers > The Stone Bridge", BRIDGE, table)
    assert [read.stems[at] for at in read.places["bridg"]] == ["bridg"]
    assert read.sentence_of[0] == 0
    assert read.sentence_of[-1] == 2
    marked = [{cue for bit, cue in enumerate(CUES) if cues & 1 << bit} for cues in read.cues]
    assert {"number", "date", "defines"} <= marked[0]
    assert "reason" in marked[1]
    assert {"number", "unit"} <= marked[2]
    assert {read.stems[at] for at in read.capitals} == {"élodi", "müller"}
    assert set(read.title) == {"river", "ston", "bridg"}
    assert read.parts == ({"river"}, {"ston", "bridg"})


def test_a_passage_without_end_is_read_up_to_its_limit(table: AspectTable) -> None:
    read = read_passage("", "word " * (MAX_WORDS + 50), table)
    assert len(read.stems) == len(read.sentence_of) == MAX_WORDS


def test_a_reader_remembers_the_last_passages_only(table: AspectTable) -> None:
    reader = PassageReader(table, remembered=2)
    first = reader("", "one")
    assert reader("", "one") is first
    assert reader("Title", "one") is not first
    reader("", "one")
    reader("", "two")
    assert len(reader) == 2
    assert reader("", "one") is first, "what was used last stays"
    assert reader("Title", "one").title


def test_features_are_finite_and_named(idf: IdfTable, table: AspectTable) -> None:
    passages = [("A > B", "The bridge (1742) stands. It is old.\n\n- bullet\n| a | b |"), ("", ""), ("…", "\ud800 x" * 9)]
    for question in ("", "???", "who", "What are the symptoms of the Küßnacht bridge of 1742?", "x " * 3_000):
        for scores in (None, [(0.5, 3.0, 1.0), UNKNOWN, (float("nan"), 0.0, 0.0)]):
            matrix = matrix_of(question, passages, idf, table, scores)
            assert matrix.shape == (3, len(NAMES))
            assert np.isfinite(matrix).all()
            assert np.abs(matrix).max() <= 3
    assert matrix_of("x", [], idf, table).shape == (0, len(NAMES))


def test_words_side_by_side_count_more_than_words_apart(idf: IdfTable, table: AspectTable) -> None:
    near = "The stone bridge was finished in the spring."
    apart = "The bridge by the mill was, as far as the guild that kept the books of those years knew, of stone and finished."
    matrix = matrix_of("When was the stone bridge finished?", [("", near), ("", apart)], idf, table)
    assert column(matrix, "overlap") == pytest.approx([1.0, 1.0])
    for name in ("run", "run_idf", "bigrams", "window_narrow"):
        first, second = column(matrix, name)
        assert first > second, name


def test_the_title_is_matched_apart_from_the_text(idf: IdfTable, table: AspectTable) -> None:
    passages = [("Stone bridge", "It was finished in 1742."), ("", "It was finished in 1742."), ("Stone mill", "Salt was white.")]
    matrix = matrix_of("When was the stone bridge finished?", passages, idf, table)
    assert column(matrix, "title_is_asked") == [1.0, 0.0, 0.0]
    assert column(matrix, "title_covered") == pytest.approx([1.0, 0.0, 0.5])
    assert column(matrix, "overlap")[0] == column(matrix, "overlap")[1] < column(matrix, "overlap_both")[0] == pytest.approx(1.0)


def test_a_leg_that_did_not_bring_a_passage_is_told_from_a_low_score(idf: IdfTable, table: AspectTable) -> None:
    scores = [(0.6, 8.0, 1.0), (float("nan"), 2.0, 0.1), (0.2, float("nan"), 0.05)]
    matrix = matrix_of("bridge", [("", BRIDGE)] * 3, idf, table, scores)
    assert column(matrix, "sparse_missing") == [0.0, 0.0, 1.0]
    assert column(matrix, "sparse_vs_best") == [1.0, 0.25, 0.0]
    assert column(matrix, "sparse_place") == [1.0, 0.0, 0.0]
    assert column(matrix, "sparse_rank") == [1.0, 0.5, 0.0]
    assert column(matrix, "dense_known") == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("question", "aspect"),
    [
        ("What are the symptoms of gout?", "symptoms"),
        ("how is gout treated", "treatment"),
        ("What causes gout?", "causes"),
        ("Is gout inherited?", "inheritance"),
        ("What are the genetic changes related to gout?", "genetic changes"),
        ("How many people are affected by gout?", "frequency"),
        ("How can I prevent gout?", "prevention"),
        ("What is gout?", "information"),
        ("Where was the treaty signed?", None),
    ],
)
def test_the_aspect_that_a_question_asks_for(question: str, aspect: str | None) -> None:
    assert aspect_of(question) == (ASPECTS.index(aspect) if aspect else -1)


def test_the_aspect_that_a_passage_is_about(table: AspectTable) -> None:
    texts = {
        "symptoms": "The signs include a swollen toe, pain, redness and fever. Symptoms usually start at night.",
        "treatment": "Doctors treat attacks with medicines and rest. Treatment may include surgery and therapy.",
        "inheritance": "This condition is inherited in an autosomal recessive pattern: both copies of the gene have mutations.",
    }
    for aspect, text in texts.items():
        found = read_passage("", text, table).aspects
        assert ASPECTS[int(found.argmax())] == aspect
        assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-4)


def test_a_table_is_kept_to_a_byte(tmp_path: Path) -> None:
    weights = np.linspace(-1.27, 1.27, 2 * len(ASPECTS), dtype=np.float32).reshape(2, -1)
    bias = np.arange(len(ASPECTS), dtype=np.float32) / 10
    AspectTable(["größ", "b"], weights, bias).dump(tmp_path / "t.bin")
    again = AspectTable.load(tmp_path / "t.bin")
    for stems in ([], ["größ"], ["b", "größ", "other"]):
        np.testing.assert_allclose(again(stems), AspectTable(["größ", "b"], weights, bias)(stems), atol=0.02)


def test_the_fusion_has_its_share() -> None:
    scores = np.array([1.0, 1.0, 1.0], dtype=np.float32)
    fused = np.array([0.1, np.nan, 0.5], dtype=np.float32)
    np.testing.assert_allclose(with_fusion(scores, fused, 0.5), [1.0, 1.0, 1.5])
    assert with_fusion(scores, fused, 0.0) is scores
    nothing = np.full(3, np.nan, dtype=np.float32)
    assert with_fusion(scores, nothing, 0.5) is scores


def test_what_was_not_read_stays_behind_in_its_order() -> None:
    lexical = np.array([2.0, 9.0, 1.0, 5.0], dtype=np.float32)
    scores = blend(lexical, np.array([1, 3]), np.array([-3.0, 4.0], dtype=np.float32), 2.0)
    np.testing.assert_allclose(scores[[1, 3]], [3.0, 13.0])
    assert np.argsort(-scores).tolist() == [3, 1, 0, 2]
    np.testing.assert_array_equal(blend(lexical, np.array([], dtype=np.int64), np.zeros(0, np.float32), 2.0), lexical)


class _Backwards:
    """Reads as a cross-encoder does, and prefers what was given last."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def passage_scores(self, question: str, passages: Any, titles: Any) -> NDArray[np.float32]:
        assert len(passages) == len(titles)
        self.asked = list(passages)
        return np.arange(len(passages), dtype=np.float32) * 1_000


def test_the_best_by_features_are_read_and_the_others_are_not(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "1")
    (folder / "reranker.json").write_text('{"fusion": 6.0, "reader": 1.0}', encoding="utf-8")
    reader = _Backwards()
    ranker = Ranker(folder, reader)
    passages = ["Salt was white.", BRIDGE, "The stone bridge was finished in 1742 by the guild."]
    question, scores = "When was the stone bridge finished?", np.full((3, 3), np.nan, dtype=np.float32)
    alone = ranker(question, passages, [""] * 3, scores, 0)
    assert reader.asked == []
    assert not alone.read.any()
    np.testing.assert_array_equal(alone.scores, alone.lexical)
    assert np.argsort(-alone.scores).tolist() == [2, 1, 0]
    both = ranker(question, passages, [""] * 3, scores, 2)
    assert reader.asked == [passages[2], passages[1]]
    assert both.read.tolist() == [False, True, True]
    assert np.argsort(-both.scores).tolist() == [1, 2, 0]
    np.testing.assert_array_equal(both.lexical, alone.lexical)


def test_without_a_share_the_joint_reader_is_not_even_loaded(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "reranker" / "1")
    joint = tmp_path / "answerer" / "1"
    joint.mkdir(parents=True)
    (joint / "reader.onnx").write_bytes(b"not a graph")
    (folder / "reranker.json").write_text('{"fusion": 6.0, "reader": 0.0}', encoding="utf-8")
    ranker = Ranker.open(folder)
    own = {"passages.onnx", "reranker.json", "idf.bin", "aspects.bin", "definitions.json"}
    assert {path.name for path in Ranker.files(folder)} == own
    assert not ranker("bridge?", [BRIDGE], [""], np.zeros((1, 3), np.float32), 20).read.any()
    (folder / "reranker.json").write_text('{"fusion": 6.0, "reader": 0.5}', encoding="utf-8")
    assert joint / "reader.onnx" in Ranker.files(folder)


def test_nothing_to_rank(ranker: Ranker) -> None:
    found = ranker("What is it?", [], [], np.zeros((0, 3), np.float32), 5)
    assert found.scores.shape == found.lexical.shape == found.read.shape == (0,)


def test_the_exported_graph_gives_what_torch_gave(
    parity: dict[str, Any], ranker: Ranker, idf: IdfTable, table: AspectTable
) -> None:
    retrieval = np.array(parity["retrieval"], dtype=np.float32)
    matrix = matrix_of(parity["question"], list(zip(parity["titles"], parity["passages"], strict=True)), idf, table, retrieval)
    # Other features than those at export mean that the text analysis changed: train the reranker again.
    np.testing.assert_allclose(matrix, np.asarray(parity["features"]), atol=1e-5)
    found = ranker.graph.run({"features": matrix, "kind": np.array([parity["kind"]], dtype=np.int64)})["scores"]
    np.testing.assert_allclose(found, np.asarray(parity["scores"]), atol=parity["tolerance"])
    ranked = ranker(parity["question"], parity["passages"], parity["titles"], retrieval, 0)
    np.testing.assert_allclose(ranked.lexical, np.asarray(parity["lexical"]), atol=parity["tolerance"])


def test_a_question_before_counts_half_and_does_not_say_what_is_asked(idf: IdfTable) -> None:
    asked = read_asked("Who found the stone bridge?\nWhen was the bridge finished?", idf)
    assert KINDS[asked.kind] == "when"
    assert asked.weights["ston"] == pytest.approx(0.5 * idf("ston"))
    assert asked.weights["bridg"] == pytest.approx(idf("bridg"))
    assert asked.total == pytest.approx(sum(asked.weights.values()))
    alone = read_asked("When was the bridge finished?", idf)
    assert alone == read_question("When was the bridge finished?", idf)
