"""One reader for two models of the same Triton: the answerer's process reads for the reranker's, over a socket between the two.

Not by Triton's own call from model to model (BLS): under load the process that called so was seen to die of a segmentation fault,
and with it all reranking until Triton was started again.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Read = Callable[[str, Sequence[str], Sequence[str]], NDArray[np.float32]]
"""Question, passages and titles to (passages,) log odds that a passage holds an answer."""

_SECONDS = 5.0  # more than any caller waits
_MAX_BYTES = 2 * 1024 * 1024  # a question and its passages as JSON: at most 264 KiB of text, each byte of it six at worst
_MAX_CALLERS = 4


class ReaderUnavailableError(RuntimeError):
    """The answerer does not read; the message says why."""


@dataclass(frozen=True)
class RunningReader:
    """What runs the reader's graph, for the identity of a model that borrows it."""

    runtime: str
    precision: str
    engine_sha256: str


def socket_path() -> Path:
    """Of the Triton whose model this process is; in a folder that nobody but this user may enter.

    Raises:
        RuntimeError: the folder belongs to somebody else, or others may enter it.
    """
    folder = Path(tempfile.gettempdir()) / f"ragmesh-reader-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    is_like = folder.lstat()
    if is_like.st_uid != os.getuid() or is_like.st_mode & 0o077:
        raise RuntimeError(f"{folder} must belong to this user and be closed to others")
    return folder / str(os.getppid())


class LentReader:
    """Reads for who asks at the socket, in the process that loaded the reader.

    Args:
        read: called from threads of this class, one at a time for each caller.
    """

    def __init__(self, path: Path, read: Read, running: RunningReader) -> None:
        self._path, self._read, self._running = path, read, running
        self._callers = threading.Semaphore(_MAX_CALLERS)
        path.unlink(missing_ok=True)  # of the process that this one was started in place of
        self._listener = Listener(str(path), "AF_UNIX", backlog=_MAX_CALLERS)
        threading.Thread(target=self._accept, name="reader-lent", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                caller = self._listener.accept()
            except OSError:
                return  # closed
            if self._callers.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(caller,), name="reader-caller", daemon=True).start()
            else:
                caller.close()

    def _serve(self, caller: Connection) -> None:
        try:
            with caller, suppress(EOFError, OSError):
                while True:
                    caller.send_bytes(json.dumps(self._answer(caller.recv_bytes(_MAX_BYTES))).encode())
        finally:
            self._callers.release()

    def _answer(self, asked: bytes) -> dict[str, Any]:
        try:
            question, passages, titles = json.loads(asked)
            return {"odds": self._read(question, passages, titles).tolist(), "running": asdict(self._running)}
        except Exception as broken:  # the caller must hear of it, and the next one be served
            return {"error": f"the answerer failed: {type(broken).__name__}"}

    def close(self) -> None:
        self._listener.close()
        self._path.unlink(missing_ok=True)


class BorrowedReader:
    """The joint reader, in the process of the answerer. One that is stopped never answers, hence the thread that waits for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._calling = ThreadPoolExecutor(1, thread_name_prefix="reader-call")
        self._last: Future[dict[str, Any]] | None = None
        self._connection: Connection | None = None
        self._running: RunningReader | None = None

    def passage_scores(self, question: str, passages: Sequence[str], titles: Sequence[str]) -> NDArray[np.float32]:
        """(passages,) log odds that a passage holds an answer.

        Raises:
            ReaderUnavailableError: the answerer failed, is away, or is silent.
        """
        if self._last is not None and not self._last.done():
            raise ReaderUnavailableError("the answerer is still silent")
        self._last = self._calling.submit(self._ask, json.dumps([question, list(passages), list(titles)]).encode())
        try:
            answer = self._last.result(_SECONDS)
        except TimeoutError:
            raise ReaderUnavailableError(f"the answerer was silent for {_SECONDS:.0f} s") from None
        except (OSError, EOFError):
            raise ReaderUnavailableError("the answerer is away") from None
        if "error" in answer:
            raise ReaderUnavailableError(answer["error"])
        odds = np.array(answer["odds"], dtype=np.float32)
        if odds.shape != (len(passages),):
            raise ReaderUnavailableError(f"the answerer read {len(odds)} of {len(passages)} passages")
        self._running = RunningReader(**answer["running"])
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

    def _ask(self, asked: bytes) -> dict[str, Any]:
        if self._connection is not None:
            with suppress(OSError, EOFError):  # the answerer may have been started again since
                return _exchange(self._connection, asked)
            self._connection.close()
            self._connection = None
        self._connection = Client(str(self._path), "AF_UNIX")
        try:
            return _exchange(self._connection, asked)
        except (OSError, EOFError):
            self._connection.close()
            self._connection = None
            raise

    def close(self) -> None:
        self._calling.shutdown(wait=False, cancel_futures=True)
        if self._connection is not None:
            self._connection.close()


def _exchange(connection: Connection, asked: bytes) -> dict[str, Any]:
    connection.send_bytes(asked)
    answer: dict[str, Any] = json.loads(connection.recv_bytes(_MAX_BYTES))
    return answer
