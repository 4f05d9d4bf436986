"""`ragmesh eval reader` through a real Triton of its own: SQuAD 1.1 and 2.0 rows, the baseline rows, what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CliError
from cli.evaluation.reader import run_reader
from cli.evaluation.run import keep
from cli.evaluation.served import require
from tests.service.triton_fixture import RunningTriton, triton_server

__all__ = ["triton_server"]

PARLIAMENT = (
    "The Scottish Parliament is the national legislature of Scotland. It meets in the Holyrood area of Edinburgh. "
    "The Parliament has 129 members, who are elected for five years. Its building was designed by Enric Miralles."
)
CAFE = "The café of Zürich opened in 1911 – under another name. Élodie Müller founded it. Today it has 42 seats."
ASKED = [
    (PARLIAMENT, "How many members does the Scottish Parliament have?", "129"),
    (PARLIAMENT, "Who designed the building of the Parliament?", "Enric Miralles"),
    (PARLIAMENT, "Where does the Scottish Parliament meet?", "Holyrood area of Edinburgh"),
    (PARLIAMENT, "For how long are members of the Parliament elected?", "five years"),
    (CAFE, "When did the café of Zürich open?", "1911"),
    (CAFE, "How many seats does the café have today?", "42"),
    (CAFE, "Who founded the café?", "Élodie Müller"),
]
NOWHERE = [(CAFE, "Who won the World Cup in 1998?"), (PARLIAMENT, "How do I reset the password of my home router?")]


def squad(path: Path, *, impossible: bool) -> Path:
    paragraphs: dict[str, list[dict[str, Any]]] = {PARLIAMENT: [], CAFE: []}
    for text, question, answer in ASKED:
        answers = [{"text": answer, "answer_start": text.index(answer)}]
        paragraphs[text].append({"id": question, "question": question, "answers": answers})
    for text, question in NOWHERE if impossible else ():
        paragraphs[text].append({"id": question, "question": question, "answers": [], "is_impossible": True})
    article = {"title": "Places", "paragraphs": [{"context": text, "qas": qas} for text, qas in paragraphs.items()]}
    path.write_text(json.dumps({"version": "v2.0" if impossible else "1.1", "data": [article]}), encoding="utf8")
    return path


@pytest.mark.timeout(240)
async def test_a_file_of_the_first_kind(tmp_path: Path) -> None:
    run = await run_reader(squad(tmp_path / "squad.json", impossible=False), "lexical")
    path = keep(run, tmp_path / "run.json", tmp_path)
    found = json.loads(path.read_text())
    assert found["n"] == len(ASKED)
    assert found["shown_sentence"] > 70
    assert found["shown_2"] >= found["shown_sentence"] >= found["shown_sentence_strict"] > 0
    assert found["f1"] >= found["em"] > 28
    assert found["has_ans_f1"] is found["no_ans_f1"] is found["abstain_auroc"] is None
    assert "at_threshold" not in found, "nothing is left unanswered"
    assert found["baselines"]["feature_scorer"] == {name: found[name] for name in found["baselines"]["feature_scorer"]}
    assert found["baselines"]["first_sentence"]["shown_sentence"] == pytest.approx(100 / 7, abs=1e-3)
    assert found["baselines"]["idf_overlap"]["shown_sentence"] > found["baselines"]["first_sentence"]["shown_sentence"]
    assert {model["name"] for model in found["run"]["models"]} >= {"answerer", "tokenizer"}
    assert all(len(model["weights_sha256"]) == 64 for model in found["run"]["models"])
    items = [json.loads(line) for line in (tmp_path / "run.items.jsonl").read_text().splitlines()]
    seats = next(item for item in items if item["id"].startswith("How many seats"))
    assert seats["seen"]["sentence"] == "Today it has 42 seats."
    assert seats["marks"]["system"]["shown_sentence_strict"] == 1


@pytest.mark.timeout(240)
async def test_a_file_of_the_second_kind(tmp_path: Path) -> None:
    run = await run_reader(squad(tmp_path / "squad.json", impossible=True), "lexical")
    found = run.table()["system"]
    assert found["n"] == len(ASKED) + len(NOWHERE)
    assert found["abstain_auroc"] == 1
    assert found["no_ans_f1"] == 100
    assert 0 < (found["has_ans_f1"] or 0) < 100
    silence = run.at_threshold()["system"]
    assert silence["unanswerable_answered"] == 0
    assert 0 < (silence["answered"] or 0) <= 100
    assert run.table()["first_sentence"]["no_ans_f1"] == 0, "who always answers is never right about nothing"
    assert run.table()["first_sentence"]["abstain_auroc"] == 0.5


async def test_a_model_that_is_not_installed_is_named(triton_server: RunningTriton) -> None:
    await require(triton_server.grpc, "answerer")
    with pytest.raises(CliError, match="The model `oracle` is not in the model repository") as caught:
        await require(triton_server.grpc, "oracle")
    assert "make train" in caught.value.remedy
