"""The `intent` model: probabilities of small talk by kind, and of a question. Requests that come together run as one batch."""

import time
from pathlib import Path

import numpy as np
from ragmesh_models import identity, triton_io
from ragmesh_models.intents import LABELS, IntentReader
from ragmesh_models.tracing import Tracer

MAX_TEXT_BYTES = 64 * 1024


class TritonPythonModel:
    """Loaded once by Triton."""

    def initialize(self, args: dict) -> None:
        folder = triton_io.model_folder(args)
        self._reader = IntentReader(folder)
        files = [folder / "intent.onnx", folder / "intent.json"]
        repository = Path(args["model_repository"]).parent
        self._reference = identity.model_ref(repository, "intent", args["model_version"], files, [self._reader.graph])
        self._labels = np.array([label.encode() for label in LABELS], dtype=np.object_)
        self._tracer = Tracer("intent")

    def execute(self, requests: list) -> list:
        began = time.time_ns()
        texts: list[str] = []
        found: list[tuple[int, int, str]] = []  # first row, end, error
        for request in requests:
            first, error = len(texts), ""
            try:
                texts += [triton_io.text_of(raw, "text", MAX_TEXT_BYTES) for raw in triton_io.raw_rows(request, "text")]
            except triton_io.RequestError as refused:
                error = str(refused)
            found.append((first, len(texts), error))
        probabilities = self._reader(texts)
        responses = []
        for request, (first, end, error) in zip(requests, found, strict=True):
            if error:
                responses.append(triton_io.failure(error))
            else:
                rows = end - first
                tensors = [
                    triton_io.tensor("probabilities", probabilities[first:end]),
                    triton_io.tensor("labels", np.tile(self._labels, (rows, 1))),
                    triton_io.tensor("threshold", np.full((rows, 1), self._reader.threshold, dtype=np.float32)),
                ]
                if triton_io.wants_model_ref(request):
                    reference = np.array([[self._reference]] * rows, dtype=np.object_)
                    tensors.append(triton_io.tensor(triton_io.MODEL_REF, reference))
                responses.append(triton_io.response(tensors))
            if self._tracer.enabled:
                sizes = {"ragmesh.batch_size": end - first, "ragmesh.dynamic_batch_size": len(texts)}
                self._tracer.record(request.parameters(), began, sizes, error)
        return responses

    def finalize(self) -> None:
        self._tracer.close()
