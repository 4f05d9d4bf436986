"""Adapted weights lie over the release's: what is linked, what is refused, and the way back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.commands import train
from cli.errors import CliError
from cli.main import app
from cli.parts import run_state
from cli.parts.model_overlay import Overlays


@pytest.fixture
def overlays(tmp_path: Path) -> Overlays:
    release = tmp_path / "triton" / "model_repository"
    for name, files in {"embedder": ["embedder.onnx", "model.py", "parity.json"], "tokenizer": ["model.py"]}.items():
        (release / name / "1").mkdir(parents=True)
        (release / name / "config.pbtxt").write_text(f'name: "{name}"', encoding="utf-8")
        for file in files:
            (release / name / "1" / file).write_text(f"{name} {file}", encoding="utf-8")
    (tmp_path / "triton" / "lib").mkdir()
    return Overlays(tmp_path / "var", release)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def adapted(overlays: Overlays, name: str, weights: str = "better", over: str = "embedder embedder.onnx") -> None:
    folder = overlays.folder / name / "embedder" / "1"
    folder.mkdir(parents=True)
    (folder / "embedder.onnx").write_text(weights, encoding="utf-8")
    row = {"documents": 7, "files": {"embedder/1/embedder.onnx": {"sha256": sha256(weights), "over": sha256(over)}}}
    (overlays.folder / name / "adapted.json").write_text(json.dumps(row), encoding="utf-8")


def test_the_release_is_served_where_nothing_was_adapted(overlays: Overlays) -> None:
    assert overlays.served() == overlays.repository
    assert overlays.names() == []
    adapted(overlays, "first")
    assert overlays.served() == overlays.repository


def test_an_active_set_lies_over_the_release(overlays: Overlays) -> None:
    adapted(overlays, "first")
    overlays.activate("first")
    served = overlays.served()
    assert served != overlays.repository
    assert (served / "embedder" / "1" / "embedder.onnx").read_text(encoding="utf-8") == "better"
    assert (served / "embedder" / "1" / "model.py").read_text(encoding="utf-8") == "embedder model.py"
    assert (served / "tokenizer" / "1" / "model.py").read_text(encoding="utf-8") == "tokenizer model.py"
    assert (served / "embedder" / "config.pbtxt").is_file()
    # It was computed from the release's weights, and would lie about these.
    assert not (served / "embedder" / "1" / "parity.json").exists()
    assert (served.parent / "lib").resolve() == overlays.repository.parent / "lib"
    assert overlays.served() == served


def test_the_way_back(overlays: Overlays) -> None:
    adapted(overlays, "first")
    overlays.activate("first")
    overlays.discard("first")
    assert overlays.active() is None
    assert overlays.served() == overlays.repository
    assert not (overlays.folder / "first").exists()
    with pytest.raises(CliError, match="no adapted models called first"):
        overlays.discard("first")


def test_weights_of_another_release_or_altered_ones_are_not_served(overlays: Overlays) -> None:
    adapted(overlays, "old", over="the weights of the last release")
    adapted(overlays, "first")
    overlays.activate("old")
    with pytest.raises(CliError, match="another release"):
        overlays.served()
    (overlays.folder / "first" / "embedder" / "1" / "embedder.onnx").write_text("altered", encoding="utf-8")
    assert overlays.unfit("first") == "embedder/1/embedder.onnx was altered"


def test_what_changes_between_two_sets_is_known(overlays: Overlays) -> None:
    adapted(overlays, "first")
    adapted(overlays, "second", weights="better")
    assert overlays.changes(None, "first", "embedder/1/embedder.onnx")
    assert not overlays.changes("first", "second", "embedder/1/embedder.onnx")
    assert not overlays.changes(None, "first", "embedder/1/model.py")


def run(overlays: Overlays, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(train, "MODEL_REPOSITORY", overlays.repository)
    done = CliRunner().invoke(app, ["train", *arguments, "--var", str(overlays.root)])
    if isinstance(done.exception, CliError):
        return done.exception.exit_code, f"{done.exception.message} {done.exception.remedy}"
    return done.exit_code, done.output


def test_sets_are_listed_used_and_discarded_by_command(overlays: Overlays, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no adapted models" in run(overlays, monkeypatch, "--list")[1]
    adapted(overlays, "first")
    adapted(overlays, "old", over="something else")
    assert run(overlays, monkeypatch, "--use", "first")[0] == 0
    status, listed = run(overlays, monkeypatch, "--list")
    assert status == 0
    assert "served" in listed
    assert "another release" in listed
    assert "do not fit" in run(overlays, monkeypatch, "--use", "old")[1]
    assert overlays.active() == "first"
    assert run(overlays, monkeypatch, "--discard", "first")[0] == 0
    assert overlays.active() is None
    assert run(overlays, monkeypatch, "--use", "shipped")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Say one of"),
        (["--list", "--use", "first"], "Say one of"),
        (["--use", "nothing"], "no adapted models called nothing"),
        (["--documents", "nowhere"], "is not there"),
        (["--documents", ".", "--name", "Not/a name"], "cannot be called"),
        (["--documents", ".", "--questions", "nowhere.jsonl"], "is not there"),
    ],
)
def test_what_means_nothing_is_said(overlays: Overlays, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str) -> None:
    status, words = run(overlays, monkeypatch, *arguments)
    assert status == 2
    assert said in words


def test_without_the_training_environment_it_says_what_to_do(
    overlays: Overlays, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(train, "TRAINING_PYTHON", tmp_path / "python")
    status, words = run(overlays, monkeypatch, "--documents", str(tmp_path))
    assert status == 3
    assert "make setup-train" in words


def test_a_set_is_not_changed_under_a_mesh_that_runs(overlays: Overlays, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted(overlays, "first")
    folders = run_state.layout(overlays.root)
    folders.make()
    with run_state.held_lock(folders):
        status, words = run(overlays, monkeypatch, "--use", "first")
    assert status == 3
    assert "runs" in words
    assert overlays.active() is None
