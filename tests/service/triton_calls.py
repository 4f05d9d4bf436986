"""Typed calls to the three models, for tests: numpy in, plain Python out."""

from __future__ import annotations

import json
import queue
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as triton

ANSWERER_OUTPUTS = (
    "kind", "score", "threshold", "passage", "sentence", "span", "span_score", "span_threshold", "shown", "model_ref",
)  # fmt: skip


def bytes_input(name: str, values: list[str | bytes], shape: list[int]) -> Any:
    rows = [value.encode() if isinstance(value, str) else value for value in values]
    tensor = triton.InferInput(name, shape, "BYTES")
    tensor.set_data_from_numpy(np.array(rows, dtype=np.object_).reshape(shape))
    return tensor


def tokenize(client: Any, texts: list[str | bytes], **extra: Any) -> dict[str, Any]:
    names = ("ids", "offsets", "row_splits", "model_ref")
    outputs = [triton.InferRequestedOutput(name) for name in names]
    result = client.infer("tokenizer", [bytes_input("text", texts, [len(texts)])], outputs=outputs, **extra)
    return {name: result.as_numpy(name) for name in names}


def embedder_inputs(texts: list[str | bytes], kind: str) -> list[Any]:
    shape = [len(texts), 1]
    return [bytes_input("text", texts, shape), bytes_input("kind", [kind] * len(texts), shape)]


def embed(client: Any, texts: list[str | bytes], kind: str = "passage", **extra: Any) -> Any:
    outputs = [triton.InferRequestedOutput("embedding")]
    return client.infer("embedder", embedder_inputs(texts, kind), outputs=outputs, **extra).as_numpy("embedding")


def model_ref(client: Any, model: str, inputs: list[Any]) -> dict[str, str]:
    """For the models that are not decoupled."""
    result = client.infer(model, inputs, outputs=[triton.InferRequestedOutput("model_ref")])
    reference: dict[str, str] = json.loads(result.as_numpy("model_ref").reshape(-1)[0])
    return reference


@dataclass(frozen=True)
class Message:
    """One response of the answerer."""

    kind: str
    score: float
    threshold: float
    passage: int
    sentence: tuple[int, int]
    span: tuple[int, int]
    span_score: float
    span_threshold: float
    shown: bool
    model_ref: dict[str, str] | None


def answerer_inputs(
    question: str | bytes,
    passages: list[str | bytes],
    titles: list[str] | None = None,
    most: int = 3,
    scores: Any = None,
    engine: str | bytes | None = None,
) -> list[Any]:
    count = len(passages)
    names = titles if titles is not None else [""] * count
    table = np.full((count, 3), np.nan, dtype=np.float32) if scores is None else np.asarray(scores, dtype=np.float32)
    retrieval = triton.InferInput("retrieval_scores", list(table.shape), "FP32")
    retrieval.set_data_from_numpy(table)
    bound = triton.InferInput("max_sentences", [1], "INT32")
    bound.set_data_from_numpy(np.array([most], dtype=np.int32))
    return [
        bytes_input("question", [question], [1]),
        bytes_input("passages", list(passages), [count]),
        bytes_input("titles", list(names), [len(names)]),
        retrieval,
        bound,
        *([] if engine is None else [bytes_input("engine", [engine], [1])]),
    ]


def read_message(result: Any) -> Message:
    reference = result.as_numpy("model_ref")
    return Message(
        kind=result.as_numpy("kind")[0].decode(),
        score=float(result.as_numpy("score")[0]),
        threshold=float(result.as_numpy("threshold")[0]),
        passage=int(result.as_numpy("passage")[0]),
        sentence=tuple(result.as_numpy("sentence").tolist()),
        span=tuple(result.as_numpy("span").tolist()),
        span_score=float(result.as_numpy("span_score")[0]),
        span_threshold=float(result.as_numpy("span_threshold")[0]),
        shown=bool(result.as_numpy("shown")[0]),
        model_ref=json.loads(reference[0]) if reference is not None and len(reference) else None,
    )


def answer(address: str, inputs: list[Any], wait_s: float = 20.0, **extra: Any) -> tuple[list[Message], str]:
    """Every message up to the final flag, and the error, if one came."""
    found: queue.Queue[tuple[Any, Any]] = queue.Queue()
    outputs = [triton.InferRequestedOutput(name) for name in ANSWERER_OUTPUTS]
    messages: list[Message] = []
    with triton.InferenceServerClient(address) as client:
        client.start_stream(callback=lambda result, error: found.put((result, error)))
        client.async_stream_infer("answerer", inputs, outputs=outputs, enable_empty_final_response=True, **extra)
        while True:
            result, error = found.get(timeout=wait_s)
            if error is not None:
                return messages, str(error)
            response = result.get_response()
            if response.outputs:
                messages.append(read_message(result))
            if response.parameters["triton_final_response"].bool_param:
                return messages, ""
