"""The `verifier` model: whether each claim is supported, contradicted or left open by its evidence."""

import time
from pathlib import Path

from ragmesh_models import identity, triton_io, verifying
from ragmesh_models.tracing import Tracer
from ragmesh_models.verifying import Verifier


class TritonPythonModel:
    """Loaded once by Triton."""

    def initialize(self, args: dict) -> None:
        folder = triton_io.model_folder(args)
        self._verifier = Verifier(folder)
        repository = Path(args["model_repository"]).parent
        files = Verifier.files(folder)
        self._reference = identity.model_ref(repository, "verifier", args["model_version"], files, [self._verifier.graph])
        self._tracer = Tracer("verifier")

    def _texts(self, request: object, name: str, most_bytes: int) -> list[str]:
        texts = [triton_io.text_of(raw, name, most_bytes) for raw in triton_io.raw_rows(request, name)]
        for number, text in enumerate(texts):
            if not text.strip():
                raise triton_io.RequestError(f"{name} {number} is empty")
        return texts

    def _read(self, request: object) -> tuple[list[str], list[str]]:
        claims = self._texts(request, "claims", verifying.MAX_CLAIM_BYTES)
        evidence = self._texts(request, "evidence", verifying.MAX_EVIDENCE_BYTES)
        if len(claims) != len(evidence):
            raise triton_io.RequestError(f"there are {len(claims)} claims but {len(evidence)} evidence texts")
        if not claims:
            raise triton_io.RequestError("there is no claim")
        if len(claims) > verifying.MAX_PAIRS:
            raise triton_io.RequestError(f"there are {len(claims)} claims, at most {verifying.MAX_PAIRS} are allowed")
        size = sum(len(text.encode()) for text in [*claims, *evidence])
        if size > verifying.MAX_BYTES:
            raise triton_io.RequestError(f"claims and evidence exceed {verifying.MAX_BYTES} bytes")
        return claims, evidence

    def _answer(self, request: object) -> tuple[object, int, str]:
        """The response, the number of claims, and what was wrong with the request."""
        try:
            claims, evidence = self._read(request)
        except triton_io.RequestError as refused:
            return triton_io.failure(str(refused)), 0, str(refused)
        verdicts = self._verifier(claims, evidence)
        tensors = [triton_io.tensor("probabilities", verdicts.probabilities), triton_io.tensor("missing", verdicts.missing)]
        if triton_io.wants_model_ref(request):
            tensors.append(triton_io.bytes_tensor(triton_io.MODEL_REF, self._reference))
        return triton_io.response(tensors), len(claims), ""

    def execute(self, requests: list) -> list:
        responses = []
        for request in requests:
            began = time.time_ns()
            response, count, error = self._answer(request)
            responses.append(response)
            if self._tracer.enabled:
                self._tracer.record(request.parameters(), began, {"ragmesh.batch_size": count}, error)
        return responses

    def finalize(self) -> None:
        self._tracer.close()
