"""The `embedder` model: one unit vector a text. All requests that Triton hands over at once run as one batch."""

import time
from pathlib import Path

import numpy as np
from ragmesh_models import identity, triton_io
from ragmesh_models.embedding import KINDS, Embedder
from ragmesh_models.tokens import TextTokenizer
from ragmesh_models.tracing import Tracer

MAX_TEXT_BYTES = 64 * 1024


class TritonPythonModel:
    """Loaded once by Triton."""

    def initialize(self, args: dict) -> None:
        weights = triton_io.model_folder(args) / "embedder.onnx"
        repository = Path(args["model_repository"]).parent
        self._embedder = Embedder(weights, TextTokenizer(repository / identity.TOKENIZER_FILE))
        self._reference = identity.model_ref(repository, "embedder", args["model_version"], [weights], [self._embedder.graph])
        self._tracer = Tracer("embedder")

    def _read(self, request: object) -> tuple[list[str], list[str]]:
        texts = [triton_io.text_of(raw, "text", MAX_TEXT_BYTES) for raw in triton_io.raw_rows(request, "text")]
        kinds = [triton_io.text_of(raw, "kind", 16) for raw in triton_io.raw_rows(request, "kind")]
        if len(texts) != len(kinds):
            raise triton_io.RequestError(f"text has {len(texts)} rows and kind has {len(kinds)}")
        for kind in kinds:
            if kind not in KINDS:
                raise triton_io.RequestError(f"kind must be one of {', '.join(KINDS)}")
        return texts, kinds

    def execute(self, requests: list) -> list:
        began = time.time_ns()
        texts: list[str] = []
        kinds: list[str] = []
        found: list[tuple[int, int, str]] = []  # first row, end, error
        for request in requests:
            first, error = len(texts), ""
            try:
                more_texts, more_kinds = self._read(request)
                texts += more_texts
                kinds += more_kinds
            except triton_io.RequestError as refused:
                error = str(refused)
            found.append((first, len(texts), error))
        vectors = self._embedder(texts, kinds) if texts else np.zeros((0, 256), np.float32)
        responses = []
        for request, (first, end, error) in zip(requests, found, strict=True):
            if error:
                responses.append(triton_io.failure(error))
            else:
                tensors = [triton_io.tensor("embedding", vectors[first:end])]
                if triton_io.wants_model_ref(request):
                    reference = np.array([[self._reference]] * (end - first), dtype=np.object_)
                    tensors.append(triton_io.tensor(triton_io.MODEL_REF, reference))
                responses.append(triton_io.response(tensors))
            if self._tracer.enabled:
                sizes = {"ragmesh.batch_size": end - first, "ragmesh.dynamic_batch_size": len(texts)}
                self._tracer.record(request.parameters(), began, sizes, error)
        return responses

    def finalize(self) -> None:
        self._tracer.close()
