"""The `tokenizer` model: ids and UTF-8 byte offsets of each text of a request.

Row i of the request has the tokens row_splits[i] to row_splits[i + 1]; its offsets count from the start of that row's text.
"""

import time
from pathlib import Path

import numpy as np
from ragmesh_models import identity, triton_io
from ragmesh_models.tokens import TextTokenizer
from ragmesh_models.tracing import Tracer

MAX_TEXTS = 4_096
MAX_REQUEST_BYTES = 4 * 1024 * 1024


class TritonPythonModel:
    """Loaded once by Triton; one request at a time."""

    def initialize(self, args: dict) -> None:
        weights = triton_io.model_folder(args) / "tokenizer.json"
        self._tokenizer = TextTokenizer(weights)
        self._reference = identity.model_ref(Path(args["model_repository"]).parent, "tokenizer", args["model_version"], [weights])
        self._tracer = Tracer("tokenizer")

    def _answer(self, request: object) -> tuple[list, int]:
        rows = triton_io.raw_rows(request, "text")
        if len(rows) > MAX_TEXTS:
            raise triton_io.RequestError(f"text has {len(rows)} rows, at most {MAX_TEXTS} are allowed")
        if sum(map(len, rows)) > MAX_REQUEST_BYTES:
            raise triton_io.RequestError(f"text is longer than {MAX_REQUEST_BYTES} bytes in all")
        encoded = [self._tokenizer.encode(triton_io.text_of(raw, "text", MAX_REQUEST_BYTES)) for raw in rows]
        splits = np.cumsum([0] + [len(one.ids) for one in encoded], dtype=np.int32)
        ids = np.concatenate([one.ids for one in encoded]) if encoded else np.zeros(0, np.int32)
        offsets = np.concatenate([one.offsets for one in encoded]) if encoded else np.zeros((0, 2), np.int32)
        tensors = [
            triton_io.tensor("ids", ids.astype(np.int32)),
            triton_io.tensor("offsets", offsets.astype(np.int32)),
            triton_io.tensor("row_splits", splits),
        ]
        if triton_io.wants_model_ref(request):
            tensors.append(triton_io.bytes_tensor(triton_io.MODEL_REF, self._reference))
        return tensors, len(rows)

    def execute(self, requests: list) -> list:
        responses = []
        for request in requests:
            began, count, error = time.time_ns(), 0, ""
            try:
                tensors, count = self._answer(request)
                responses.append(triton_io.response(tensors))
            except triton_io.RequestError as refused:
                error = str(refused)
                responses.append(triton_io.failure(error))
            if self._tracer.enabled:
                self._tracer.record(request.parameters(), began, {"ragmesh.batch_size": count}, error)
        return responses

    def finalize(self) -> None:
        self._tracer.close()
