"""What users of models need of a client of Triton, so that a test may answer in its place. `mesh.triton` is the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray
from ragmesh.evidence.v1.model_pb2 import ModelRef


class InferenceClient(Protocol):
    """Asks models for one answer at a time."""

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], *, timeout: float
    ) -> dict[str, NDArray[Any]]:
        """One inference: tensors in, the named tensors out.

        Raises:
            MeshError: DEADLINE_EXCEEDED, MODEL_UNAVAILABLE.
        """
        ...

    async def model_ref(self, model: str, inputs: Mapping[str, NDArray[Any]], *, timeout: float) -> ModelRef:
        """What a model says it is.

        Raises:
            MeshError: DEADLINE_EXCEEDED, MODEL_UNAVAILABLE.
        """
        ...
