"""The `verifier` model in Triton behind one typed function: claims beside texts to three probabilities each.

Knows the model's tensors and limits (deploy/triton/model_repository/verifier); not what follows from an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ragmesh.evidence.v1.model_pb2 import ModelRef

from services.mesh.errors import MeshError
from services.mesh.inference import InferenceClient

MODEL = "verifier"
LANGUAGE = "en"
"""The one language that it was trained on."""
MAX_PAIRS = 256
MAX_CLAIM_BYTES = 8 * 1024
MAX_EVIDENCE_BYTES = 64 * 1024
MAX_BYTES = 1024 * 1024
_OUTPUTS = ("probabilities", "missing")
_PROBE = "Water is wet."


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What the model says of one claim beside one text."""

    supported: float
    contradicted: float
    unknown: float
    missing: bool
    """Whether the claim has a number, date, unit or name that the text does not give."""


def _tensors(pairs: Sequence[tuple[str, str]]) -> dict[str, NDArray[Any]]:
    return {
        "claims": np.array([claim.encode() for claim, _ in pairs], dtype=np.object_),
        "evidence": np.array([text.encode() for _, text in pairs], dtype=np.object_),
    }


def admitted(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the model takes these pairs in one call."""
    sizes = [(len(claim.encode()), len(text.encode())) for claim, text in pairs]
    return (
        0 < len(pairs) <= MAX_PAIRS
        and all(claim.strip() and text.strip() for claim, text in pairs)
        and all(claim <= MAX_CLAIM_BYTES and text <= MAX_EVIDENCE_BYTES for claim, text in sizes)
        and sum(map(sum, sizes)) <= MAX_BYTES
    )


class VerifierModel:
    """Asks the model.

    Args:
        probe_seconds: longest wait of a probe.
    """

    def __init__(self, client: InferenceClient, *, probe_seconds: float) -> None:
        self._client = client
        self._probe_seconds = probe_seconds
        self._lost = ""
        self.ref: ModelRef | None = None
        """What the model said it is, when it was last probed."""

    async def probe(self) -> bool:
        """Whether the model answers. While it does not, `ask` refuses at once."""
        try:
            self.ref = await self._client.model_ref(MODEL, _tensors([(_PROBE, _PROBE)]), timeout=self._probe_seconds)
            self._lost = ""
        except MeshError as failure:
            self.ref, self._lost = None, failure.reason
        return not self._lost

    async def ask(self, pairs: Sequence[tuple[str, str]], *, seconds: float) -> list[Probabilities]:
        """What the model says of each (claim, text), in order; one call, one batch.

        Raises:
            MeshError: DEADLINE_EXCEEDED, MODEL_UNAVAILABLE; REQUEST_TOO_LARGE where the model would not take the pairs.
        """
        if not pairs:
            return []
        if self._lost:
            raise MeshError(self._lost, f"the model {MODEL} does not answer", metadata={"model": MODEL})
        if not admitted(pairs):
            raise MeshError("REQUEST_TOO_LARGE", "more than the verifier reads at once", metadata={"limit_pairs": str(MAX_PAIRS)})
        answer = await self._client.infer(MODEL, _tensors(pairs), _OUTPUTS, timeout=seconds)
        try:
            found, missing = answer["probabilities"], answer["missing"].reshape(-1)
            if found.shape != (len(pairs), 3) or missing.shape != (len(pairs),) or not np.isfinite(found).all():
                raise ValueError("not three probabilities a claim")
        except (KeyError, ValueError):
            text = f"the model {MODEL} answered with something else than it should"
            raise MeshError("MODEL_UNAVAILABLE", text, metadata={"model": MODEL}) from None
        rows = zip(found.tolist(), missing.tolist(), strict=True)
        return [Probabilities(float(s), float(c), float(u), bool(lacks)) for (s, c, u), lacks in rows]
