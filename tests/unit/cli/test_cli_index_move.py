"""Where an index moves to is one line of the settings, and what is in its way is said before anything begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import CliError
from cli.parts import run_state
from cli.parts.index_move import NODES, settings_for, to_kind, write_down
from cli.settings import read_settings


@pytest.mark.parametrize(
    ("to", "own_server", "said", "wanted"),
    [
        ("weaviate", False, {}, {"RAGMESH_STORE": "weaviate"}),
        ("weaviate", True, {NODES: "[]"}, {"RAGMESH_RETRIEVER_INDEX": "weaviate"}),
        ("embedded", False, {"RAGMESH_STORE": "weaviate"}, {"RAGMESH_STORE": "embedded"}),
        (
            "embedded",
            True,
            {NODES: "[]", "RAGMESH_RETRIEVER_INDEX": "weaviate"},
            {"RAGMESH_STORE": "embedded", "RAGMESH_RETRIEVER_INDEX": "edge"},
        ),
    ],
)
def test_lines_that_make_the_next_start_take_the_store(
    to: str, own_server: bool, said: dict[str, str], wanted: dict[str, str]
) -> None:
    assert settings_for(to, own_server=own_server, said=said) == wanted


def test_the_line_is_replaced_and_the_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAGMESH_STORE", raising=False)
    folders = run_state.layout(tmp_path)
    file = tmp_path / "ragmesh.env"
    file.write_text("# mine\nRAGMESH_STORE=embedded\nRAGMESH_LOG_LEVEL=debug\n")
    write_down(folders, {"RAGMESH_STORE": "weaviate"})
    assert file.read_text() == "# mine\nRAGMESH_STORE=weaviate\nRAGMESH_LOG_LEVEL=debug\n"
    assert read_settings(tmp_path).store == "weaviate"


def stored(var: Path) -> None:
    folder = var / "data" / "retriever"
    folder.mkdir(parents=True)
    (folder / "truth.db").touch()


def test_nothing_stored_is_nothing_to_move(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="Nothing is stored"):
        to_kind(tmp_path, "weaviate", 8, 0.9)


def test_an_environment_that_would_win_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path)
    monkeypatch.setenv("RAGMESH_STORE", "embedded")
    with pytest.raises(CliError, match="RAGMESH_STORE=embedded"):
        to_kind(tmp_path, "weaviate", 8, 0.9)
    assert not (tmp_path / "ragmesh.env").exists()


def test_a_mesh_that_runs_keeps_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path)
    monkeypatch.delenv("RAGMESH_STORE", raising=False)
    folders = run_state.layout(tmp_path)
    folders.make()
    with run_state.held_lock(folders), pytest.raises(CliError, match="runs in"):
        to_kind(tmp_path, "weaviate", 8, 0.9)
    assert not (tmp_path / "ragmesh.env").exists()
