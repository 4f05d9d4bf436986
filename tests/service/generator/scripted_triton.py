"""A model server that does as it is told, to inject faults that a real one cannot be made to have at a chosen moment.

It speaks Triton's own protocol from Triton's own stubs; what it answers to a stream is a script of steps.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor

Step = Callable[["ScriptedTriton", str], Any]
"""Gets the server and the request's id; returns a response to send, or an awaitable that ends in one or in None."""

TOKENIZER_SHA256 = "b" * 64


def _ref(model: str, tokenizer: str) -> bytes:
    told = {
        "name": model,
        "version": "1",
        "weights_sha256": "a" * 64,
        "tokenizer_sha256": tokenizer,
        "runtime": "ONNXRUNTIME",
        "precision": "fp32",
    }
    return json.dumps(told).encode()


def _add(response: Any, name: str, value: np.ndarray[Any, Any], datatype: str) -> None:
    response.outputs.add(name=name, datatype=datatype, shape=list(value.shape))
    raw = serialize_byte_tensor(value).item() if datatype == "BYTES" else value.tobytes()
    response.raw_output_contents.append(raw)


def picked(
    kind: str,
    score: float = 0.9,
    passage: int = 0,
    sentence: tuple[int, int] = (0, 5),
    *,
    span_score: float = 0.0,
    shown: bool = True,
) -> Step:
    """A response of the answerer; the short answer is the first byte of its sentence, the threshold of it 0.5."""

    def make(server: ScriptedTriton, request_id: str) -> Any:
        response = service_pb2.ModelInferResponse(model_name="answerer", id=request_id)
        if kind:
            _add(response, "kind", np.array([kind.encode()], dtype=object), "BYTES")
            _add(response, "score", np.array([score], dtype=np.float32), "FP32")
            _add(response, "threshold", np.array([0.5], dtype=np.float32), "FP32")
            _add(response, "passage", np.array([passage], dtype=np.int32), "INT32")
            _add(response, "sentence", np.array(sentence, dtype=np.int32), "INT32")
            _add(response, "span", np.array([sentence[0], sentence[0] + 1], dtype=np.int32), "INT32")
            _add(response, "span_score", np.array([span_score], dtype=np.float32), "FP32")
            _add(response, "span_threshold", np.array([0.5], dtype=np.float32), "FP32")
            _add(response, "shown", np.array([shown]), "BOOL")
            _add(response, "model_ref", np.array([_ref("answerer", server.answerer_tokenizer)], dtype=object), "BYTES")
        return service_pb2.ModelStreamInferResponse(infer_response=response)

    return make


async def _nothing(_: ScriptedTriton, __: str) -> None:
    return


END = _nothing
"""The stream ends after it: nobody asked for the empty last response that Triton can send."""

NONSENSE = picked("")
"""A response without a tensor."""


def error(message: str) -> Step:
    """An error inside the stream: the status of the call stays OK."""

    def make(_: ScriptedTriton, __: str) -> Any:
        return service_pb2.ModelStreamInferResponse(error_message=message)

    return make


async def silence(server: ScriptedTriton, _: str) -> None:
    """Say nothing, as a stream whose model process has died, until the caller goes away."""
    server.silent.set()
    await asyncio.Event().wait()


async def death(server: ScriptedTriton, _: str) -> None:
    """The whole server is gone, this stream with it."""
    server.dying = asyncio.ensure_future(server.kill())
    await asyncio.Event().wait()


PROBE = (picked("decision"), END)


@dataclass
class ScriptedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers each stream by `script`, probes of the models as a sound server would."""

    script: Sequence[Step] = PROBE
    answerer_tokenizer: str = TOKENIZER_SHA256
    infer_fails: bool = False
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a script fell silent."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a caller told the model to stop a request whose stream was still open."""
    open_requests: set[str] = field(default_factory=set)
    cut: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a caller cut a stream, which Triton does not survive for long."""
    target: str = ""
    dying: asyncio.Future[None] | None = None

    def __post_init__(self) -> None:
        self._server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)

    async def kill(self) -> None:
        await self._server.stop(None)

    async def open(self) -> None:
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=True)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        """The tokenizer: three tokens for every text."""
        if self.infer_fails:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the stub is dead")
        rows = request.inputs[0].shape[0]
        response = service_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
        wanted = {output.name for output in request.outputs}
        if "row_splits" in wanted:
            _add(response, "row_splits", np.arange(0, 3 * rows + 1, 3, dtype=np.int32), "INT32")
        if "model_ref" in wanted:
            _add(response, "model_ref", np.array([_ref("tokenizer", TOKENIZER_SHA256)], dtype=object), "BYTES")
        return response

    async def ModelStreamInfer(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            async for request in request_iterator:
                if request.inputs and request.inputs[0].name == "cancel":
                    if _named(request) in self.open_requests:
                        self.cancelled.set()
                    continue
                self.open_requests.add(request.id)
                asks_for_name = any(output.name == "model_ref" for output in request.outputs)
                for step in PROBE if asks_for_name else self.script:
                    made = step(self, request.id)
                    response = await made if asyncio.iscoroutine(made) else made
                    if response is not None:
                        yield response
                self.open_requests.discard(request.id)
        except (asyncio.CancelledError, GeneratorExit):
            self.cut.set()
            raise


def _named(request: Any) -> str:
    """The one text of a request's one BYTES input: its length in four bytes, then its bytes."""
    return bytes(request.raw_input_contents[0][4:]).decode()


@asynccontextmanager
async def scripted_triton(*script: Step, **more: Any) -> AsyncIterator[ScriptedTriton]:
    server = ScriptedTriton(script=script or PROBE, **more)
    await server.open()
    try:
        yield server
    finally:
        await server.kill()
