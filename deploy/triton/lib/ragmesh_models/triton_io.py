"""Reading requests and writing answers in Triton's Python backend. The one module of this package that knows Triton."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import triton_python_backend_utils as pb_utils  # exists inside Triton's stub only
except ImportError:  # pragma: no cover - the pure parts are tested outside Triton
    pb_utils = None

MODEL_REF = "model_ref"


class RequestError(ValueError):
    """What the caller did wrong, in words for the caller."""


def model_folder(args: dict[str, str]) -> Path:
    """The version folder of the model that is being loaded."""
    return Path(args["model_repository"]) / args["model_version"]


def raw_rows(request: Any, name: str) -> list[bytes]:
    """The elements of a BYTES input, flattened."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        raise RequestError(f"the input {name} is missing")
    return [bytes(value) for value in tensor.as_numpy().reshape(-1)]


def numbers(request: Any, name: str) -> NDArray[Any]:
    """A numeric input, in its shape."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        raise RequestError(f"the input {name} is missing")
    values: NDArray[Any] = tensor.as_numpy()
    return values


def text_of(raw: bytes, name: str, most_bytes: int) -> str:
    """One UTF-8 text within its limit."""
    if len(raw) > most_bytes:
        raise RequestError(f"{name} has {len(raw)} bytes, at most {most_bytes} are allowed")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{name} is not valid UTF-8 at byte {error.start}") from None


@dataclass(frozen=True)
class Listed:
    """A question with passages, as two models are asked about them."""

    question: str
    passages: list[str]
    titles: list[str]
    scores: NDArray[np.float32]  # (passages, 3) dense, sparse, fused; NaN where a leg did not bring it


def listed(request: Any, most_passages: int, most_text_bytes: int, most_question_bytes: int) -> Listed:
    """The inputs question, passages, titles and retrieval_scores within their limits.

    Raises:
        RequestError: they do not fit each other, or are too much.
    """
    question = raw_rows(request, "question")
    if len(question) != 1:
        raise RequestError("question must hold one text")
    passages, titles = raw_rows(request, "passages"), raw_rows(request, "titles")
    if len(passages) > most_passages:
        raise RequestError(f"{len(passages)} passages, at most {most_passages} are allowed")
    if len(titles) != len(passages):
        raise RequestError(f"{len(passages)} passages but {len(titles)} titles")
    if sum(map(len, passages)) + sum(map(len, titles)) > most_text_bytes:
        raise RequestError(f"passages and titles exceed {most_text_bytes} bytes in all")
    scores = numbers(request, "retrieval_scores")
    if scores.shape != (len(passages), 3):
        raise RequestError(f"retrieval_scores must be {len(passages)} x 3, not {list(scores.shape)}")
    return Listed(
        text_of(question[0], "question", most_question_bytes),
        [text_of(raw, "passages", most_text_bytes) for raw in passages],
        [text_of(raw, "titles", most_text_bytes) for raw in titles],
        scores,
    )


def tensor(name: str, values: Any) -> Any:
    return pb_utils.Tensor(name, values)


def bytes_tensor(name: str, value: bytes) -> Any:
    return pb_utils.Tensor(name, np.array([value], dtype=np.object_))


def response(tensors: list[Any]) -> Any:
    return pb_utils.InferenceResponse(output_tensors=tensors)


def failure(message: str) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))


def internal_failure(message: str) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))


def unavailable(message: str) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(message, pb_utils.TritonError.UNAVAILABLE))


def wants_model_ref(request: Any) -> bool:
    return MODEL_REF in request.requested_output_names()
