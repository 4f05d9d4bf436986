"""The `reranker` model: scores of candidate passages for a question. Each request is a list of its own."""

import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from ragmesh_models import identity, ranking, triton_io
from ragmesh_models.ranking import READER_FOLDER, Ranker, Ranking, reader_share
from ragmesh_models.reader_call import BorrowedReader, socket_path
from ragmesh_models.tracing import Tracer


def _depth(request: object) -> int:
    depth = pb_utils.get_input_tensor_by_name(request, "depth").as_numpy().reshape(-1)
    if len(depth) != 1 or not 0 <= int(depth[0]) <= ranking.MAX_PASSAGES:
        raise triton_io.RequestError(f"depth must be one number from 0 to {ranking.MAX_PASSAGES}")
    return int(depth[0])


def _response(ranked: Ranking, reference: bytes | None) -> object:
    tensors = [
        triton_io.tensor("scores", ranked.scores),
        triton_io.tensor("lexical", ranked.lexical),
        triton_io.tensor("read", ranked.read),
    ]
    if reference is not None:
        tensors.append(triton_io.bytes_tensor(triton_io.MODEL_REF, reference))
    return triton_io.response(tensors)


class TritonPythonModel:
    """Loaded once by Triton."""

    def initialize(self, args: dict) -> None:
        folder = triton_io.model_folder(args)
        repository = Path(args["model_repository"]).parent
        reads = reader_share(folder) > 0 and (repository / READER_FOLDER / "reader.onnx").is_file()
        # The answerer reads the same passages a moment later: one reader serves both, and reads them once.
        self._reader = BorrowedReader(socket_path()) if reads else None
        self._ranker = Ranker(folder, self._reader)
        self._files = Ranker.files(folder)
        self._folder, self._version = repository, args["model_version"]
        self._reference: bytes = b""
        self._tracer = Tracer("reranker")

    def _model_ref(self) -> bytes:
        """Known once the answerer has read for the first time: what runs its graph is part of it."""
        if not self._reference:
            graphs = [*self._ranker.graphs, *([self._reader.running()] if self._reader else [])]
            self._reference = identity.model_ref(self._folder, "reranker", self._version, self._files, graphs)
        return self._reference

    def execute(self, requests: list) -> list:
        return [self._serve(request) for request in requests]

    def _serve(self, request: object) -> object:
        began, error, attributes = time.time_ns(), "", {"ragmesh.batch_size": 1}
        if request.is_cancelled():  # its caller gave up while it waited here: those behind it still wait
            return triton_io.unavailable("nobody waits for this any more")
        try:
            asked = triton_io.listed(request, ranking.MAX_PASSAGES, ranking.MAX_TEXT_BYTES, ranking.MAX_QUESTION_BYTES)
            ranked = self._ranker(asked.question, asked.passages, asked.titles, asked.scores, _depth(request))
            attributes |= {
                "ragmesh.passage_count": len(asked.passages),
                "ragmesh.passages_read": int(np.count_nonzero(ranked.read)),
            }
            answer = _response(ranked, self._model_ref() if triton_io.wants_model_ref(request) else None)
        except triton_io.RequestError as refused:
            error = str(refused)
            answer = triton_io.failure(error)
        except Exception as broken:  # one request's defect is not the other requests'
            error = f"the reranker failed: {type(broken).__name__}"
            answer = triton_io.internal_failure(error)
        if self._tracer.enabled:
            self._tracer.record(request.parameters(), began, attributes, error)
        return answer

    def finalize(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._tracer.close()
