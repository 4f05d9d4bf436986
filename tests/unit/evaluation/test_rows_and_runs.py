"""Row files with their errors by line; runs kept, read back and compared; claims judged by their words; curves as PNG."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.errors import CliError
from cli.evaluation import rows as rows_module
from cli.evaluation.chart import Curve, draw
from cli.evaluation.claims import by_threshold, claim_only, fold_of
from cli.evaluation.compare import differences, unpaired
from cli.evaluation.retrieval import collapse
from cli.evaluation.retrieval import mark as mark_ranking
from cli.evaluation.rows import CorpusRow, PairRow, QueryRow, QuestionRow, read_rows
from cli.evaluation.run import SYSTEM, EvalRun, Item, StoredRun, keep, read_run
from cli.evaluation.verifier import overlaps, verdicts


def write(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n", encoding="utf8")
    return path


def test_rows_are_read_with_numbers_as_ids_and_more_fields_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"id": 7, "text": " salt ", "more": 1}, "", {"id": "b", "title": "B", "text": "oil"})
    assert read_rows(path, CorpusRow) == [CorpusRow(id="7", text="salt"), CorpusRow(id="b", title="B", text="oil")]
    path = write(tmp_path / "q.jsonl", {"id": "q", "text": "?", "relevant": [7, "b"]})
    assert read_rows(path, QueryRow)[0].relevant == ("7", "b")


@pytest.mark.parametrize(
    ("kind", "lines", "words"),
    [
        (CorpusRow, ('{"id": "a", "text": "x"}', "{"), "c.jsonl:2: Invalid JSON"),
        (CorpusRow, ('{"id": "a", "text": ""}',), "c.jsonl:1: text: String should have at least 1 character"),
        (CorpusRow, ('{"id": "a", "text": "x"}', "", '{"id": "a", "text": "y"}'), "c.jsonl:3: the id 'a' stands in line 1 already"),
        (QueryRow, ('{"id": "a", "text": "x", "relevant": []}',), "c.jsonl:1: relevant: Tuple should have at least 1 item"),
        (QuestionRow, ('{"id": "a"}',), "c.jsonl:1: question: Field required"),
        (PairRow, ('{"claim": "a", "evidence": "b", "label": "SUPPORTS"}',), "c.jsonl:1: label: Input should be 'supported'"),
        (PairRow, ("",), "c.jsonl holds no rows"),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path: Path, kind: Any, lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(CliError) as caught:
        read_rows(write(tmp_path / "c.jsonl", *lines), kind)
    assert words in caught.value.message
    assert caught.value.exit_code == 2


def test_files_rows_and_lines_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "c.jsonl", *({"id": str(n), "text": "x" * 50} for n in range(4)))
    monkeypatch.setattr(rows_module, "MAX_ROWS", 3)
    with pytest.raises(CliError, match=r":4: there are more than 3 rows"):
        read_rows(path, CorpusRow)
    monkeypatch.setattr(rows_module, "MAX_LINE_BYTES", 40)
    with pytest.raises(CliError, match=r":1: the line is longer than 40 bytes"):
        read_rows(path, CorpusRow)
    monkeypatch.setattr(rows_module, "MAX_FILE_BYTES", 100)
    with pytest.raises(CliError, match="at most 100 are read"):
        read_rows(path, CorpusRow)
    with pytest.raises(CliError, match="cannot be read"):
        read_rows(tmp_path / "none.jsonl", CorpusRow)


def test_chunks_of_one_document_are_one_result() -> None:
    ids = {"d/1": "a", "d/2": "b"}
    assert collapse(["d/2", "d/1", "d/2", "d/9", "d/1"], ids) == ["b", "a"]
    marks = mark_ranking(["b", "c", "a"], ["a", "z"], 7.0)
    assert (marks["r1"], marks["r5"], marks["mrr10"], marks["ms"]) == (0, 1, 1 / 3, 7)
    assert marks["ndcg10"] == pytest.approx(0.5 / (1 + 0.6309298), abs=1e-6)


def test_two_way_verdicts_stand_supported_against_the_rest() -> None:
    probabilities = np.array([[0.6, 0.1, 0.3], [0.45, 0.15, 0.4], [0.1, 0.7, 0.2]])
    chosen, sure, score = verdicts(probabilities, (0, 1))
    assert chosen.tolist() == [0, 1, 1], "not supported, though supported is likelier than contradicted"
    assert sure.tolist() == [0.6, 0.55, 0.9]
    assert score.tolist() == [0.6, 0.45, 0.1]
    chosen, sure, _ = verdicts(probabilities, (0, 1, 2))
    assert chosen.tolist() == [0, 0, 1]
    assert sure.tolist() == [0.6, 0.45, 0.7]
    chosen, sure, _ = verdicts(probabilities, (1, 2))
    assert chosen.tolist() == [2, 2, 1]
    assert sure == pytest.approx([0.75, 0.4 / 0.55, 0.7 / 0.9])


def pairs(*claims: str) -> list[PairRow]:
    return [PairRow(claim=claim, evidence="The bridge is long. Salt is white.", label="supported") for claim in claims]


def test_a_claim_alone_gives_away_what_its_wording_does() -> None:
    nouns, others = ("bridge", "river", "town", "king", "road", "tower"), ("cat", "dog", "cow", "hen")
    said = [f"The {noun} was {word}a {other}." for word in ("", "not ") for noun in nouns for other in others]
    claims = pairs(*said)
    labels = np.array([int("not" in row.claim) for row in claims], dtype=np.int64)
    assert (claim_only(claims, labels, 3) == labels).mean() > 0.95
    coin = np.array([fold_of(row.claim + "x") % 2 for row in claims], dtype=np.int64)
    assert (claim_only(claims, coin, 3) == coin).mean() < 0.8, "nothing of a claim's own fold is learnt from"


def test_a_threshold_is_chosen_on_other_claims() -> None:
    claims = pairs(*(f"claim {n}" for n in range(40)))
    scores = np.linspace(0, 1, 40)
    labels = np.where(scores > 0.5, 0, 1)
    assert (by_threshold(claims, scores, labels, 0) == labels).mean() >= 0.95
    upside_down = np.where(scores > 0.5, 1, 0)
    assert (by_threshold(claims, scores, upside_down, 0) == 1).mean() > 0.4, "a score that says nothing supports at most some"


def test_overlap_of_a_claim_with_its_evidence() -> None:
    first, whole = overlaps(pairs("The bridge is long.", "Salt is white.", "Cows give milk."))
    assert first.tolist() == [1, 0, 0]
    assert whole.tolist() == [1, 1, 0]


def run_of(*marks: float, kind: str = "reader") -> EvalRun:
    items = [Item(str(n), {SYSTEM: {"em": mark, "f1": mark, "answerable": 1.0}}, {}) for n, mark in enumerate(marks)]
    return EvalRun(kind, (SYSTEM,), {"data": "x"}, [{"name": "answerer"}], items, 1.5)


def test_a_run_is_kept_and_read_back(tmp_path: Path) -> None:
    path = keep(run_of(1, 0, float("nan")), tmp_path / "new" / "run.json", tmp_path)
    kept = json.loads(path.read_text())
    assert (kept["em"], kept["n"], kept["has_ans_f1"]) == (50, 2, None)
    assert kept["baselines"] == {"first_sentence": None, "idf_overlap": None, "feature_scorer": None}
    assert (kept["run"]["kind"], kept["run"]["items"], kept["run"]["count"]) == ("reader", "run.items.jsonl", 3)
    found = read_run(path)
    assert (found.kind, found.rows, found.models) == ("reader", (SYSTEM,), [{"name": "answerer"}])
    assert found.marks[SYSTEM]["2"]["em"] is None
    assert keep(run_of(1), None, tmp_path).parent == tmp_path / "evals"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"is no run of `ragmesh eval`"):
        read_run(write(tmp_path / "x.json", {"em": 1}))
    path = keep(run_of(1, 0), tmp_path / "run.json", tmp_path)
    write(tmp_path / "run.items.jsonl", {"id": "0", "marks": {}}, "nonsense")
    with pytest.raises(CliError, match=r"run.items.jsonl:2 is no item"):
        read_run(path)
    (tmp_path / "run.items.jsonl").unlink()
    with pytest.raises(CliError, match="cannot be read"):
        read_run(path)


def stored(values: list[float], kind: str = "reader") -> StoredRun:
    marks = {str(n): {"em": value, "answerability": value, "answerable": float(n % 2)} for n, value in enumerate(values)}
    return StoredRun(kind, (SYSTEM,), [], {SYSTEM: marks})


def test_a_paired_difference_has_an_interval_and_a_drop_is_told() -> None:
    generator = np.random.default_rng(3)
    before = (generator.random(400) < 0.7).astype(float)
    after = before.copy()
    after[:40] = 0
    found = {one.figure: one for one in differences(stored(before.tolist()), stored(after.tolist()), 2_000)}
    em = found["em"]
    assert em.b - em.a == pytest.approx(100 * (after.mean() - before.mean()))
    # The standard error of a mean of paired differences, by the textbook.
    width = 100 * 1.96 * (after - before).std(ddof=1) / np.sqrt(400)
    assert (em.low, em.high) == pytest.approx((em.b - em.a - width, em.b - em.a + width), abs=0.5)
    assert em.is_drop
    assert not {one.figure: one for one in differences(stored(after.tolist()), stored(before.tolist()), 2_000)}["em"].is_drop
    assert found["abstain_auroc"].low <= found["abstain_auroc"].b - found["abstain_auroc"].a <= found["abstain_auroc"].high


def test_the_same_run_differs_by_nothing() -> None:
    run = stored([1.0, 0.0, 0.3])
    assert all((one.low, one.high, one.is_drop) == (0, 0, False) for one in differences(run, run, 100))
    assert unpaired(run, stored([1.0])) == 2


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(CliError, match="One run is of `reader`, the other of `answers`"):
        differences(stored([1.0]), stored([1.0], "answers"), 10)
    with pytest.raises(CliError, match="no items in common"):
        differences(stored([1.0]), StoredRun("reader", (SYSTEM,), [], {SYSTEM: {"other": {}}}), 10)


def test_a_chart_is_a_png_with_a_line_in_it() -> None:
    image = draw([Curve("as served", [0.1, 1.0], [0.0, 0.4]), Curve("first sentence", [1.0], [0.5])], "coverage", "risk")
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, {}
    while at < len(image):
        size, kind = struct.unpack(">I4s", image[at : at + 8])
        data = image[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + data) == struct.unpack(">I", image[at + 8 + size : at + 12 + size])[0]
        found[kind], at = data, at + 12 + size
    width, height = struct.unpack(">II", found[b"IHDR"][:8])
    pixels = (
        np.frombuffer(zlib.decompress(found[b"IDAT"]), dtype=np.uint8)
        .reshape(height, 1 + 3 * width)[:, 1:]
        .reshape(height, width, 3)
    )
    assert (pixels == (11, 92, 173)).all(2).sum() > 500
    empty = draw([], "coverage", "risk")
    assert len(empty) < len(image)
