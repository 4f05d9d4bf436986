"""What the reranker does when the answerer, which reads for it, answers, refuses, or never answers again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from ragmesh_models import reader_call
from ragmesh_models.reader_call import BorrowedReader, ReaderUnavailableError

REFERENCE = json.dumps({"runtime": "ONNXRUNTIME", "precision": "int8"}).encode()
Answers = Callable[[str, list[Any], list[str]], Iterator[dict[str, Any]]]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answers], BorrowedReader]]:
    """A reader whose calls end in a function: tensors exist inside Triton only."""
    made: list[BorrowedReader] = []

    def make(answers: Answers) -> BorrowedReader:
        monkeypatch.setattr(reader_call, "ask_model", answers)
        made.append(BorrowedReader())
        return made[-1]

    for name in ("bytes_rows", "tensor"):
        monkeypatch.setattr(reader_call, name, lambda name, values: (name, values))
    yield make
    for reader in made:
        reader.close()


def _read(_: str, inputs: list[Any], outputs: list[str]) -> Iterator[dict[str, Any]]:
    passages = dict(inputs)["passages"]
    yield {"odds": np.arange(len(passages), dtype=np.float32), "model_ref": np.array([REFERENCE], dtype=np.object_)}
    yield {}


def test_odds_and_what_runs_the_graph(answered: Callable[[Answers], BorrowedReader]) -> None:
    reader = answered(_read)
    assert reader.running().precision == "int8"
    assert reader.passage_scores("q", ["a", "b"], ["", ""]).tolist() == [0.0, 1.0]


def _refuses(*_: Any) -> Iterator[dict[str, Any]]:
    raise RuntimeError("no reader is installed")
    yield {}


def _short(*_: Any) -> Iterator[dict[str, Any]]:
    yield {"odds": np.zeros(1, dtype=np.float32), "model_ref": np.array([REFERENCE], dtype=np.object_)}


@pytest.mark.parametrize(
    ("answers", "said"),
    [(_refuses, "no reader is installed"), (_short, "read 1 of 2 passages"), (lambda *_: iter(()), "said nothing")],
)
def test_what_goes_wrong_is_said(answers: Answers, said: str, answered: Callable[[Answers], BorrowedReader]) -> None:
    reader = answered(answers)
    for _ in range(2):
        with pytest.raises(ReaderUnavailableError, match=said):
            reader.passage_scores("q", ["a", "b"], ["", ""])


def test_a_dead_answerer_holds_up_one_call_and_no_more(
    monkeypatch: pytest.MonkeyPatch, answered: Callable[[Answers], BorrowedReader]
) -> None:
    back = threading.Event()
    monkeypatch.setattr(reader_call, "_SECONDS", 0.05)

    def hangs(name: str, inputs: list[Any], outputs: list[str]) -> Iterator[dict[str, Any]]:
        back.wait(30)
        yield from _read(name, inputs, outputs)

    reader = answered(hangs)
    with pytest.raises(ReaderUnavailableError, match="was silent for"):
        reader.passage_scores("q", ["a"], [""])
    with pytest.raises(ReaderUnavailableError, match="still silent"):
        reader.passage_scores("q", ["a"], [""])
    back.set()
