"""One request to a decoupled model: its responses, and what becomes of it when nobody waits for them any more.

Triton's gRPC server dies of a segmentation fault, sooner or later, where the cancellation or the deadline of a stream meets a
response that is being written. So a stream is never cut from this side: it is read to its end by a task of its own, and a model is
told in words to stop, by a request whose one input, `cancel`, is the id of the one to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import grpc
import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

LINGER_SECONDS = 30.0
"""How long a stream that nobody reads may stay open, before it is cut after all: its model is dead or hangs."""

_Item: TypeAlias = InferResult | InferenceServerException | grpc.aio.AioRpcError | None


class ResponseStream:
    """A request on its way. Iterate to read its responses; call `stop` to end it early.

    Args:
        model: a decoupled model that knows the input `cancel`.
        timeout: seconds that the work may take; the stream itself outlives it by `LINGER_SECONDS`.
    """

    def __init__(
        self,
        client: InferenceServerClient,
        model: str,
        inputs: list[InferInput],
        outputs: list[InferRequestedOutput],
        parameters: Mapping[str, str] | None,
        *,
        timeout: float,
    ) -> None:
        self._client = client
        self._model = model
        self.request_id = uuid.uuid4().hex
        self.ended = False
        # A model bounds its responses by its limits, so this queue has a bound.
        self._came: asyncio.Queue[_Item] = asyncio.Queue()
        request = {
            "model_name": model,
            "inputs": inputs,
            "outputs": outputs,
            "request_id": self.request_id,
            "parameters": parameters,
        }
        self.reading = asyncio.create_task(self._read(_call(client, request, timeout + LINGER_SECONDS)))

    async def _read(self, responses: Any) -> None:
        try:
            async for result, error in responses:
                self._came.put_nowait(error or result)
        except grpc.aio.AioRpcError as error:  # while streaming, the client lets bare gRPC errors through
            self._came.put_nowait(error)
        # Ours is the only request of this stream and it is half-closed: Triton ends it after the last response.
        self._came.put_nowait(None)

    async def next(self) -> InferResult | None:
        """The next response; None after the last.

        Raises:
            InferenceServerException: the model refused or failed.
            grpc.aio.AioRpcError: the server is gone.
        """
        item = await self._came.get()
        self.ended = not isinstance(item, InferResult)
        if isinstance(item, Exception):
            raise item
        return item

    async def stop(self) -> None:
        """Tells the model that nobody waits, and reads what it still sends."""
        named = InferInput("cancel", [1], "BYTES")
        named.set_data_from_numpy(np.array([self.request_id.encode()], dtype=np.object_))
        request = {"model_name": self._model, "inputs": [named], "outputs": []}
        with contextlib.suppress(grpc.aio.AioRpcError):  # a server that is gone works for nobody
            async for _ in _call(self._client, request, LINGER_SECONDS):
                pass
        await self.reading


def _call(client: InferenceServerClient, request: dict[str, Any], timeout: float) -> AsyncIterator[Any]:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        yield request

    responses: AsyncIterator[Any] = client.stream_infer(requests(), stream_timeout=timeout)
    return responses
