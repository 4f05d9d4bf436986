"""The `answerer` model: a decision, then the chosen sentences, streamed. `deploy/triton/README.md` says what each field means.

Requests run on one asyncio loop in a thread of their own; between two passages each yields to the others and looks whether its
caller is gone; decisions are made one at a time on a second thread. Nothing is raised out of `execute`: an error goes through the
sender, with the final flag.

A caller who wants no more says so by a request that holds `cancel` alone, the id of the request to stop: Triton's server does not
survive it for long that callers cut their streams.

The reranker has passages read here too, over a socket (`ragmesh_models.reader_call`). What the reader read for it is kept, so that
the answer to the same question comes from what was read already.
"""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from ragmesh_models import answering, identity, triton_io
from ragmesh_models.answering import Answerer, Chosen, Decision
from ragmesh_models.engine import Reading
from ragmesh_models.reader_call import LentReader, RunningReader, socket_path
from ragmesh_models.tracing import Tracer

MAX_REQUESTS = 64  # in flight; more are refused at once


@dataclass(frozen=True)
class Asked:
    """One request."""

    listed: triton_io.Listed
    reranked: np.ndarray  # (passages,)
    most: int
    engine: str


def _engine(request: object) -> str:
    tensor = pb_utils.get_input_tensor_by_name(request, "engine")
    if tensor is None:
        return answering.ENGINES[0]
    named = [bytes(value) for value in tensor.as_numpy().reshape(-1)]
    if len(named) != 1 or named[0].decode("utf-8", "replace") not in answering.ENGINES:
        raise triton_io.RequestError(f"engine must be one of {', '.join(answering.ENGINES)}")
    return named[0].decode()


def _read(request: object) -> Asked:
    listed = triton_io.listed(request, answering.MAX_PASSAGES, answering.MAX_TEXT_BYTES, answering.MAX_QUESTION_BYTES)
    reranked = pb_utils.get_input_tensor_by_name(request, "rerank_scores")
    ranks = np.full(len(listed.passages), np.nan, dtype=np.float32) if reranked is None else reranked.as_numpy()
    if ranks.shape != (len(listed.passages),):
        raise triton_io.RequestError(f"rerank_scores must be {len(listed.passages)} numbers, not {list(ranks.shape)}")
    most = triton_io.numbers(request, "max_sentences").reshape(-1)
    if len(most) != 1 or not 1 <= int(most[0]) <= answering.MAX_SENTENCES:
        raise triton_io.RequestError(f"max_sentences must be one number from 1 to {answering.MAX_SENTENCES}")
    return Asked(listed, ranks, int(most[0]), _engine(request))


def _message(kind: str, decision: Decision, picked: Decision | Chosen, sentence: tuple, shown: bool) -> list:
    return [
        triton_io.bytes_tensor("kind", kind.encode()),
        triton_io.tensor("score", np.array([picked.score], dtype=np.float32)),
        triton_io.tensor("threshold", np.array([decision.threshold], dtype=np.float32)),
        triton_io.tensor("passage", np.array([picked.passage], dtype=np.int32)),
        triton_io.tensor("sentence", np.array(sentence, dtype=np.int32)),
        triton_io.tensor("span", np.array(picked.span, dtype=np.int32)),
        triton_io.tensor("span_score", np.array([picked.span_score], dtype=np.float32)),
        triton_io.tensor("span_threshold", np.array([decision.span_threshold], dtype=np.float32)),
        triton_io.tensor("shown", np.array([shown], dtype=np.bool_)),
    ]


class TritonPythonModel:
    """Loaded once by Triton."""

    def initialize(self, args: dict) -> None:
        folder = triton_io.model_folder(args)
        self._answerer = Answerer(folder)
        self._reference = identity.model_ref(
            Path(args["model_repository"]).parent,
            "answerer",
            args["model_version"],
            Answerer.files(folder),
            self._answerer.graphs,
        )
        self._tracer = Tracer("answerer")
        self._running = 0
        self._known: dict[str, bool] = {}
        """Ids of the requests under way, and whether each was cancelled."""
        self._tasks: set[asyncio.Task] = set()
        # One decision at a time, beside the loop: reading a long request must not hold up the others' first words.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="answerer-decides")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="answerer-loop", daemon=True)
        self._thread.start()
        self._lent = self._lend()

    def _lend(self) -> LentReader | None:
        reader = self._answerer.reader
        if reader is None:
            return None
        graph = reader.graph
        running = RunningReader(graph.runtime, graph.precision, graph.engine_sha256)
        return LentReader(socket_path(), lambda *asked: self._worker.submit(reader.passage_scores, *asked).result(), running)

    def execute(self, requests: list) -> None:
        for request in requests:
            sender = request.get_response_sender()
            named = pb_utils.get_input_tensor_by_name(request, "cancel")
            if named is None:
                self._loop.call_soon_threadsafe(self._begin, request, sender)
            else:
                name = bytes(named.as_numpy().reshape(-1)[0]).decode("utf-8", "replace")
                self._loop.call_soon_threadsafe(self._cancel, name, sender)

    def _begin(self, request: object, sender: object) -> None:
        if request.request_id():
            self._known[request.request_id()] = False
        task = self._loop.create_task(self._serve(request, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel(self, name: str, sender: object) -> None:
        if name in self._known:
            self._known[name] = True
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _is_cancelled(self, request: object, sender: object) -> bool:
        return self._known.get(request.request_id(), False) or sender.is_cancelled()

    async def _serve(self, request: object, sender: object) -> None:
        """One request from its first byte to its final flag; never raises."""
        final = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        began, error, attributes = time.time_ns(), "", {"ragmesh.batch_size": 1}
        if self._running >= MAX_REQUESTS:
            self._known.pop(request.request_id(), None)
            sender.send(triton_io.unavailable(f"{MAX_REQUESTS} requests are being answered already"), flags=final)
            return
        self._running += 1
        try:
            attributes |= await self._answer(request, sender)
            sender.send(flags=final)
        except triton_io.RequestError as refused:
            error = str(refused)
            sender.send(triton_io.failure(error), flags=final)
        except Exception as broken:  # the caller must hear of it, and the stub must live
            error = f"the answerer failed: {type(broken).__name__}"
            sender.send(triton_io.internal_failure(error), flags=final)
        finally:
            self._running -= 1
            self._known.pop(request.request_id(), None)
        if self._tracer.enabled:
            self._tracer.record(request.parameters(), began, attributes, error)

    async def _answer(self, request: object, sender: object) -> dict:
        asked = _read(request)
        listed = asked.listed
        attributes = {"ragmesh.passage_count": len(listed.passages), "ragmesh.cancelled": False}
        reading = self._answerer.start(listed.question)
        for text, title, scores, reranked in zip(listed.passages, listed.titles, listed.scores, asked.reranked, strict=True):
            await asyncio.sleep(0)
            if self._is_cancelled(request, sender):
                return {**attributes, "ragmesh.cancelled": True, "ragmesh.passages_read": len(reading.passages)}
            reading.add(text, title, tuple(scores.tolist()), float(reranked))
        # Nothing of Triton's is touched on the deciding thread: its senders are used from the loop alone.
        decision = await asyncio.get_running_loop().run_in_executor(
            self._worker, self._decide, request.request_id(), reading, asked.most, asked.engine
        )
        if decision is None:
            return {**attributes, "ragmesh.cancelled": True, "ragmesh.passages_read": len(reading.passages)}
        first = _message("decision", decision, decision, answering.NO_RANGE, decision.score >= decision.threshold)
        if triton_io.wants_model_ref(request):
            first.append(triton_io.bytes_tensor(triton_io.MODEL_REF, self._reference))
        sender.send(triton_io.response(first))
        for chosen in decision.sentences:
            if self._is_cancelled(request, sender):
                break
            row = _message("lead" if chosen.leads else "sentence", decision, chosen, chosen.sentence, chosen.shown)
            sender.send(triton_io.response(row))
        shown = sum(chosen.shown for chosen in decision.sentences)
        return {**attributes, "ragmesh.answerability": decision.score, "ragmesh.sentence_count": shown}

    def _decide(self, name: str, reading: Reading, most: int, engine: str) -> Decision | None:
        """On the deciding thread. None: nobody waits any more, which may be known only when its turn comes."""
        return None if self._known.get(name) else self._answerer.decide(reading, most, engine)

    def finalize(self) -> None:
        if self._lent is not None:
            self._lent.close()
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._tracer.close()
