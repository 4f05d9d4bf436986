"""`ragmesh eval retrieval` and `answers` on real throw-away meshes: a small corpus, every figure, what is kept; and `compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.commands import eval as command
from cli.evaluation.answers import run_answers
from cli.evaluation.retrieval import run_retrieval
from cli.evaluation.run import keep

CORPUS = [
    ("bridge", "Kestrel Bridge", "The Kestrel Bridge crosses the Moss River. It was finished in 1742 by the guild of masons."),
    ("café", "Café Müller", "The Café Müller is in Zürich. It opened in 1911 and has 42 seats. Élodie Müller founded it."),
    ("parliament", "Parliament", "The Scottish Parliament has 129 members. It meets in the Holyrood area of Edinburgh."),
    ("plants", "Photosynthesis", "Plants turn light into sugar in their chloroplasts. The process is called photosynthesis."),
    ("bells/1", "Bells", "The harbour bell of Sandholm was cast by Ulla Berg. It weighs two tonnes and rings at noon."),
    ("7", "", "Juggling needs three balls at least. Most people learn it within a few weeks of practice."),
    ("salt", "Salt", "Salt was carried over the pass by mules. A load took nine days to reach the coast."),
    ("owls", "Owls", "Barn owls hunt voles at night. Their faces are shaped like a heart and guide sound to the ears."),
]
ASKED: list[tuple[str, list[str], str]] = [
    ("When was the Kestrel Bridge finished?", ["1742"], "bridge"),
    ("How many seats does the Café Müller have?", ["42"], "café"),
    ("How many members does the Scottish Parliament have?", ["129"], "parliament"),
    ("Who cast the harbour bell of Sandholm?", ["Ulla Berg"], "bells/1"),
    ("How many balls does juggling need?", ["three"], "7"),
    ("What do barn owls hunt?", ["voles"], "owls"),
]
NOWHERE = ["Who won the World Cup in 1998?", "What is the capital of Mongolia?"]


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return lines(tmp_path / "corpus.jsonl", [{"id": name, "title": title, "text": text} for name, title, text in CORPUS])


@pytest.mark.timeout(300)
async def test_retrieval_ranks_corpus_ids_in_four_ways(tmp_path: Path, corpus: Path) -> None:
    asked = [{"id": str(n), "text": question, "relevant": [where]} for n, (question, _, where) in enumerate(ASKED)]
    run = await run_retrieval(corpus, lines(tmp_path / "queries.jsonl", asked))
    found = json.loads(keep(run, tmp_path / "run.json", tmp_path).read_text())
    for way in ("bm25", "hybrid", "reranked"):
        assert (found[way]["r5"], found[way]["r50"]) == (100, 100), way
        assert found[way]["mrr10"] > 0.9
        assert 0 < found[way]["p50_ms"] <= found[way]["p95_ms"]
    assert found["dense"]["r50"] == 100
    assert found["baselines"]["idf_overlap"]["r5"] == 100
    assert found["baselines"]["first_sentence"]["r1"] <= found["baselines"]["idf_overlap"]["r1"]
    assert (found["run"]["config"]["rows"], found["run"]["config"]["refused"]) == (len(CORPUS), {})
    assert {"embedder", "tokenizer"} <= {model["name"] for model in found["run"]["models"]}


@pytest.mark.timeout(300)
async def test_answers_are_graded_as_a_visitor_sees_them(tmp_path: Path, corpus: Path) -> None:
    asked: list[dict[str, Any]] = [
        {"id": f"a{n}", "question": question, "answers": answers, "relevant": [where], "answerable": True}
        for n, (question, answers, where) in enumerate(ASKED)
    ]
    asked += [{"id": f"n{n}", "question": question, "answerable": False} for n, question in enumerate(NOWHERE)]
    run = await run_answers(corpus, lines(tmp_path / "questions.jsonl", asked), "lexical")
    path = keep(run, tmp_path / "run.json", tmp_path)
    found = json.loads(path.read_text())
    assert found["n"] == len(asked)
    assert found["shown_sentence"] >= 400 / 6
    assert found["shown_2"] >= found["shown_sentence"] >= found["shown_sentence_strict"]
    silence = found["at_threshold"]["system"]
    assert found["shown_sentence"] >= silence["shown_sentence"] > 0
    assert silence["answered"] * silence["answered_right"] == pytest.approx(100 * silence["shown_sentence"], rel=1e-4)
    assert found["run"]["config"]["degraded"] == 0
    assert 0 < found["citation_precision"] <= 100
    assert found["citation_recall"] >= 400 / 6
    assert found["abstain_auroc"] > 0.8
    assert 0 < found["ttft_p50_ms"] <= found["ttft_p95_ms"]
    assert found["baselines"]["feature_scorer"]["shown_sentence"] == found["shown_sentence"]
    assert found["baselines"]["first_sentence"]["ttft_p50_ms"] is None
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    items = {item["id"]: item for item in map(json.loads, (tmp_path / "run.items.jsonl").read_text().splitlines())}
    assert items["n0"]["seen"]["outcome"] == "ABSTAINED"
    assert items["a2"]["seen"]["cited"][0] == "parliament"

    runner = CliRunner()
    same = runner.invoke(command.app, ["compare", str(path), str(path), "--fail-on-drop"])
    assert same.exit_code == 0, same.output
    for item in items.values():
        item["marks"]["system"]["em"] = item["marks"]["system"]["shown_2"] = 0.0
    lines(tmp_path / "worse.items.jsonl", list(items.values()))
    found["run"]["items"] = "worse.items.jsonl"
    (tmp_path / "worse.json").write_text(json.dumps(found))
    worse = runner.invoke(command.app, ["compare", str(path), str(tmp_path / "worse.json"), "--fail-on-drop"])
    assert worse.exit_code == 1
    assert runner.invoke(command.app, ["compare", str(path), str(tmp_path / "worse.json")]).exit_code == 0
