"""What the reranker gets from the answerer's process, over a real socket, where that answers, fails, is away, silent or new."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ragmesh_models import reader_call
from ragmesh_models.reader_call import BorrowedReader, LentReader, ReaderUnavailableError, RunningReader, socket_path

RUNNING = RunningReader("ONNXRUNTIME", "int8", "")


def lengths(question: str, passages: Sequence[str], titles: Sequence[str]) -> NDArray[np.float32]:
    return np.array([len(question) + len(text) / 3 for text in passages], dtype=np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "1"


@pytest.fixture
def borrowed(path: Path) -> Iterator[BorrowedReader]:
    reader = BorrowedReader(path)
    yield reader
    reader.close()


def test_odds_are_the_same_numbers_and_what_runs_the_graph_is_known(path: Path, borrowed: BorrowedReader) -> None:
    lent = LentReader(path, lengths, RUNNING)
    texts = ["a", "ü" * 50, "\ud7ff\n\"'", ""]
    for _ in range(3):
        found = borrowed.passage_scores("why?", texts, [""] * 4)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, lengths("why?", texts, []))
    assert borrowed.running() == RUNNING
    lent.close()


def test_a_reader_that_fails_is_named_and_reads_on(path: Path, borrowed: BorrowedReader) -> None:
    def fails_at_first(question: str, passages: Sequence[str], titles: Sequence[str]) -> NDArray[np.float32]:
        if question == "bad":
            raise ValueError
        return lengths(question, passages, titles)

    lent = LentReader(path, fails_at_first, RUNNING)
    with pytest.raises(ReaderUnavailableError, match="failed: ValueError"):
        borrowed.passage_scores("bad", ["a"], [""])
    assert borrowed.passage_scores("good", ["a"], [""]).shape == (1,)
    lent.close()


def test_numbers_for_other_passages_are_refused(path: Path, borrowed: BorrowedReader) -> None:
    lent = LentReader(path, lambda *_: np.zeros(1, dtype=np.float32), RUNNING)
    with pytest.raises(ReaderUnavailableError, match="read 1 of 2 passages"):
        borrowed.passage_scores("q", ["a", "b"], ["", ""])
    lent.close()


def test_an_answerer_that_is_away_is_said_and_its_successor_found(path: Path, borrowed: BorrowedReader) -> None:
    with pytest.raises(ReaderUnavailableError, match="away"):
        borrowed.passage_scores("q", ["a"], [""])
    first = LentReader(path, lengths, RUNNING)
    assert borrowed.passage_scores("q", ["a"], [""]).shape == (1,)
    first.close()
    assert borrowed._connection is not None
    borrowed._connection.close()  # as the end of that process closes it
    second = LentReader(path, lengths, RUNNING)
    assert borrowed.passage_scores("q", ["a"], [""]).shape == (1,)
    second.close()


def test_what_a_killed_answerer_left_in_its_place_is_no_hindrance(path: Path, borrowed: BorrowedReader) -> None:
    path.write_bytes(b"")
    lent = LentReader(path, lengths, RUNNING)
    assert borrowed.passage_scores("q", ["a"], [""]).shape == (1,)
    lent.close()


def test_a_silent_answerer_holds_up_one_call_and_no_more(
    monkeypatch: pytest.MonkeyPatch, path: Path, borrowed: BorrowedReader
) -> None:
    back = threading.Event()

    def hangs(question: str, passages: Sequence[str], titles: Sequence[str]) -> NDArray[np.float32]:
        back.wait(30)
        return lengths(question, passages, titles)

    lent = LentReader(path, hangs, RUNNING)
    monkeypatch.setattr(reader_call, "_SECONDS", 0.05)
    with pytest.raises(ReaderUnavailableError, match="was silent for"):
        borrowed.passage_scores("q", ["a"], [""])
    with pytest.raises(ReaderUnavailableError, match="still silent"):
        borrowed.passage_scores("q", ["a"], [""])
    back.set()
    assert borrowed._last is not None
    borrowed._last.result(30)
    monkeypatch.setattr(reader_call, "_SECONDS", 30)
    assert borrowed.passage_scores("q", ["a"], [""]).shape == (1,)
    lent.close()


def test_the_socket_lies_where_nobody_else_may_enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = socket_path().parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    with pytest.raises(RuntimeError, match="closed to others"):
        socket_path()
