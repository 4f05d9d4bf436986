"""The client of the model server: one inference, or a stream of them, with budgets and traces.

Wraps Triton's own asyncio client. Knows tensors and errors; not what any model means.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
import orjson
from numpy.typing import NDArray
from opentelemetry.trace import SpanKind
from ragmesh.evidence.v1.model_pb2 import ModelRef, Runtime
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from services.mesh import telemetry
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.mesh.triton_stream import ResponseStream

Tensors = Mapping[str, NDArray[Any]]

_READY_SECONDS = 2.0
_STOP_SECONDS = 1.0  # for models that were told to stop, before the connection is closed
_log = get_logger(__name__)


def _failure(model: str, error: InferenceServerException) -> MeshError:
    if "DEADLINE_EXCEEDED" in str(error.status()):
        return _late(model)
    return _gone(model)


def _late(model: str) -> MeshError:
    return MeshError("DEADLINE_EXCEEDED", f"the model {model} did not answer in time", metadata={"model": model})


def _gone(model: str) -> MeshError:
    return MeshError("MODEL_UNAVAILABLE", f"the model {model} does not answer", metadata={"model": model})


def _inputs(tensors: Tensors) -> list[InferInput]:
    made = []
    for name, value in tensors.items():
        tensor = InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
        tensor.set_data_from_numpy(value)
        made.append(tensor)
    return made


def _outputs(names: Sequence[str]) -> list[InferRequestedOutput]:
    return [InferRequestedOutput(name) for name in names]


def _arrays(result: InferResult, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    found = {name: result.as_numpy(name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


class TritonClient:
    """Calls models of one Triton server.

    Args:
        target: `host:port` of its gRPC port. Nothing connects before the first call, and a lost connection is made again.
    """

    def __init__(self, target: str) -> None:
        self._client = InferenceServerClient(target)
        self._told: dict[str, ModelRef] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    async def infer(self, model: str, inputs: Tensors, outputs: Sequence[str], *, timeout: float) -> dict[str, NDArray[Any]]:
        """One inference: tensors in, the named tensors out. BYTES are object arrays of `bytes`.

        Raises:
            MeshError: DEADLINE_EXCEEDED, MODEL_UNAVAILABLE.
        """
        with telemetry.span(f"triton {model}", SpanKind.CLIENT, gen_ai__request__model=model):
            try:
                result = await self._client.infer(
                    model,
                    _inputs(inputs),
                    outputs=_outputs(outputs),
                    client_timeout=timeout,
                    parameters=telemetry.inject() or None,
                )
            except InferenceServerException as error:
                raise _failure(model, error) from None
        return _arrays(result, outputs)

    async def stream(
        self, model: str, inputs: Tensors, outputs: Sequence[str], *, idle_timeout: float, timeout: float
    ) -> AsyncIterator[dict[str, NDArray[Any]]]:
        """Responses of a decoupled model, as they come. Closing the iterator cancels the work in Triton.

        A model process that dies leaves its stream open and silent: `idle_timeout` bounds the wait for each response.

        Raises:
            MeshError: DEADLINE_EXCEEDED, MODEL_UNAVAILABLE.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        with telemetry.unattached_span(f"triton {model}", SpanKind.CLIENT, gen_ai__request__model=model) as carrier:
            responses = ResponseStream(self._client, model, _inputs(inputs), _outputs(outputs), carrier or None, timeout=timeout)
            try:
                while True:
                    async with asyncio.timeout_at(min(ends, loop.time() + idle_timeout)):
                        result = await responses.next()
                    if result is None:
                        return
                    yield _arrays(result, outputs)
            except TimeoutError:
                if loop.time() >= ends:
                    raise _late(model) from None
                text = f"the model {model} fell silent"
                raise MeshError("MODEL_UNAVAILABLE", text, metadata={"model": model}) from None
            except InferenceServerException as error:
                raise _failure(model, error) from None
            except grpc.aio.AioRpcError:
                raise _gone(model) from None
            finally:
                if not responses.ended:
                    self._stop(responses)

    def _stop(self, responses: ResponseStream) -> None:
        task = asyncio.create_task(responses.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def model_ref(self, model: str, inputs: Tensors, *, timeout: float) -> ModelRef:
        """What `model` says it is, by a real inference on `inputs`. Works for decoupled models too.

        Raises:
            MeshError: DEADLINE_EXCEEDED, MODEL_UNAVAILABLE.
        """
        answer: dict[str, NDArray[Any]] = {}
        if model in self._decoupled:
            async for response in self.stream(model, inputs, ["model_ref"], idle_timeout=timeout, timeout=timeout):
                answer = answer or response
        else:
            answer = await self.infer(model, inputs, ["model_ref"], timeout=timeout)
        if "model_ref" not in answer:
            raise MeshError("MODEL_UNAVAILABLE", f"the model {model} does not say what it is", metadata={"model": model})
        told = orjson.loads(answer["model_ref"].reshape(-1)[0])
        found = ModelRef(
            name=told["name"],
            version=str(told["version"]),
            weights_sha256=told["weights_sha256"],
            tokenizer_sha256=told["tokenizer_sha256"],
            runtime=Runtime.Value(f"RUNTIME_{told['runtime']}"),
            precision=told["precision"],
            engine_sha256=told.get("engine_sha256", ""),
        )
        if self._told.get(model) != found:
            # Asked again with each look at health: said once, and when it changes.
            self._told[model] = found
            _log.info("model", model=model, runtime=told["runtime"], precision=found.precision, weights=found.weights_sha256[:12])
        return found

    _decoupled = frozenset({"answerer"})

    async def ready(self) -> bool:
        """Whether the server answers and all its models are loaded. A dead model process is not seen here: infer to know."""
        try:
            return bool(await self._client.is_server_ready(client_timeout=_READY_SECONDS))
        except InferenceServerException:
            return False

    async def close(self) -> None:
        """Close the connection."""
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=_STOP_SECONDS)
        for task in self._stopping:
            task.cancel()
        await self._client.close()
