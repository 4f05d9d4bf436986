"""`ragmesh eval pii` and `ragmesh eval intents` count what they say they count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.commands.eval import app
from cli.errors import CliError
from cli.evaluation.intents import IntentRow, run_intents
from cli.evaluation.pii import PiiRow, run_pii
from services.guard.understanding.classifier import IntentClassifier
from services.guard.understanding.words import WordVectors


def test_ranges_are_counted_by_kind() -> None:
    rows = [
        {"text": "mail a@example.org or b@example.org", "spans": [{"kind": "EMAIL", "start": 5, "end": 18}]},
        {
            "full_text": "I am Ann, 4111-1111-1111-1111",
            "spans": [{"entity_type": "PERSON", "start_position": 5, "end_position": 8}],
        },
        {"text": "x", "spans": [{"entity_type": "CREDIT_CARD", "start_position": 0, "end_position": 1}]},
    ]
    run = run_pii([PiiRow.model_validate(row) for row in rows])
    kinds = {kind.kind: kind for kind in run.kinds}
    email, card, together = kinds["EMAIL"], kinds["CARD"], kinds["all"]
    assert (email.wanted, email.found, email.right, email.exact, email.precision, email.recall) == (1, 2, 1, 1, 0.5, 1.0)
    assert (card.wanted, card.found, card.right, card.precision, card.recall) == (1, 1, 0, 0.0, 0.0)
    assert (together.wanted, together.found, together.right, together.recalled) == (2, 3, 1, 1)
    assert kinds["checksummed"].found == 1
    assert run.not_measured == {"PERSON": 1}


def test_pii_writes_its_figures(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a@example.org", "spans": [{"kind": "EMAIL", "start": 0, "end": 13}]}\n')
    done = CliRunner().invoke(app, ["pii", "--rows", str(tmp_path / "rows.jsonl"), "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["n"] == 1
    assert {"us_p50", "us_p99", "kinds", "not_measured"} <= set(figures)
    assert [kind["recall"] for kind in figures["kinds"] if kind["kind"] == "EMAIL"] == [1.0]


def examples() -> list[IntentRow]:
    said = {
        "hours": ["when do you open", "opening hours please", "are you open on sunday", "what time do you close"],
        "parcel": ["where is my parcel", "track my package", "has my parcel been shipped", "my package is late"],
    }
    return [IntentRow(text=text, intent=intent) for intent, texts in said.items() for text in texts]


def test_intents_are_learnt_measured_and_kept(tmp_path: Path) -> None:
    rows = [
        IntentRow(text="when do you open on sunday", intent="hours"),
        IntentRow(text="where is my package", intent="parcel"),
        IntentRow(text="where is my package", intent="hours"),
        IntentRow(text="zzz qqq", intent="oos"),
    ]
    run = run_intents(examples(), rows, tmp_path / "kept.npz")
    assert (run.intents, run.in_scope.n, run.in_scope.right, run.in_scope_unrefused.right) == (2, 3, 2, 2)
    assert (run.out_of_scope.n, run.out_of_scope.right, run.auroc) == (1, 1, 1.0)
    assert {name: share.right for name, share in run.by_intent.items()} == {"hours": 1, "parcel": 1}
    kept = IntentClassifier.load(tmp_path / "kept.npz", WordVectors.load())
    assert kept.understand("track my parcel").intent == "parcel"


def test_one_intent_cannot_be_measured() -> None:
    with pytest.raises(CliError, match="cannot be learnt"):
        run_intents([IntentRow(text="hello", intent="greeting")], [])
