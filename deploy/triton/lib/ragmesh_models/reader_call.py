"""Asks the answerer's process to read for another model of the same Triton: one reader is loaded, and nothing is read twice.

Knows what is asked of the answerer and how long to wait; not what is done with the numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.triton_io import MODEL_REF, ask_model, bytes_rows, tensor

ANSWERER = "answerer"
ONLY_READ, ODDS = "only_read", "odds"
_SECONDS = 5.0  # more than any caller waits


class ReaderUnavailableError(RuntimeError):
    """The answerer does not read; the message says why."""


@dataclass(frozen=True)
class RunningReader:
    """What runs the reader's graph, for the identity of a model that borrows it."""

    runtime: str
    precision: str
    engine_sha256: str


class BorrowedReader:
    """The joint reader, in the process of the answerer. A process that died never answers, hence the thread that waits for it."""

    def __init__(self) -> None:
        self._calling = ThreadPoolExecutor(1, thread_name_prefix="reader-call")
        self._last: Future[tuple[NDArray[np.float32], RunningReader]] | None = None
        self._running: RunningReader | None = None

    def passage_scores(self, question: str, passages: Sequence[str], titles: Sequence[str]) -> NDArray[np.float32]:
        """(passages,) log odds that a passage holds an answer.

        Raises:
            ReaderUnavailableError: the answerer failed, or is silent.
        """
        if self._last is not None and not self._last.done():
            raise ReaderUnavailableError("the answerer is still silent")
        self._last = self._calling.submit(_ask, question, passages, titles)
        try:
            odds, self._running = self._last.result(_SECONDS)
        except TimeoutError:
            raise ReaderUnavailableError(f"the answerer was silent for {_SECONDS:.0f} s") from None
        except RuntimeError as error:
            raise ReaderUnavailableError(str(error)) from None
        if odds.shape != (len(passages),):
            raise ReaderUnavailableError(f"the answerer read {len(odds)} of {len(passages)} passages")
        return odds

    def running(self) -> RunningReader:
        """What runs the graph.

        Raises:
            ReaderUnavailableError: nothing was read yet, and the answerer does not read.
        """
        if self._running is None:
            self.passage_scores("ready?", ["Ready."], [""])
        if self._running is None:
            raise ReaderUnavailableError("the answerer does not say what it runs")
        return self._running

    def close(self) -> None:
        self._calling.shutdown(wait=False, cancel_futures=True)


def _ask(question: str, passages: Sequence[str], titles: Sequence[str]) -> tuple[NDArray[np.float32], RunningReader]:
    inputs = [
        bytes_rows("question", [question]),
        bytes_rows("passages", passages),
        bytes_rows("titles", titles),
        tensor("retrieval_scores", np.full((len(passages), 3), np.nan, dtype=np.float32)),
        tensor(ONLY_READ, np.array([True])),
    ]
    found: tuple[NDArray[np.float32], RunningReader] | None = None
    for outputs in ask_model(ANSWERER, inputs, [ODDS, MODEL_REF]):
        if ODDS in outputs:
            found = outputs[ODDS].astype(np.float32), _running(json.loads(bytes(outputs[MODEL_REF].reshape(-1)[0])))
    if found is None:
        raise ReaderUnavailableError("the answerer said nothing")
    return found


def _running(reference: Mapping[str, Any]) -> RunningReader:
    return RunningReader(reference["runtime"], reference["precision"], reference.get("engine_sha256", ""))
