"""What a service learns of the model that it calls: the runtime and the engine included; and that it is logged once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import structlog
from ragmesh.evidence.v1.model_pb2 import ModelRef, Runtime
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor

from services.mesh.triton import TritonClient

SHA = "e" * 64
SERVED = {
    "name": "embedder",
    "version": "1",
    "weights_sha256": "a" * 64,
    "tokenizer_sha256": "b" * 64,
    "runtime": "ONNXRUNTIME",
    "precision": "int8",
}


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers every inference with what `told` says of the model."""

    def __init__(self) -> None:
        self.told: dict[str, str] = dict(SERVED)

    async def ModelInfer(self, request: Any, _context: Any) -> Any:
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        response.outputs.add(name="model_ref", datatype="BYTES", shape=[1])
        raw = serialize_byte_tensor(np.array([json.dumps(self.told).encode()], dtype=object)).item()
        response.raw_output_contents.append(raw)
        return response


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, TritonClient]]:
    servicer, transport = Server(), grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, transport)
    port = transport.add_insecure_port("127.0.0.1:0")
    await transport.start()
    client = TritonClient(f"127.0.0.1:{port}")
    yield servicer, client
    await client.close()
    await transport.stop(None)


async def ask(client: TritonClient) -> ModelRef:
    return await client.model_ref("embedder", {"text": np.array([[b"x"]], dtype=np.object_)}, timeout=10)


async def test_an_engine_is_named_and_its_change_is_logged(server: tuple[Server, TritonClient]) -> None:
    servicer, client = server
    with structlog.testing.capture_logs() as entries:
        first = await ask(client)
        await ask(client)
        servicer.told |= {"runtime": "TENSORRT", "precision": "fp16", "engine_sha256": SHA}
        second = await ask(client)
    assert (first.runtime, first.precision, first.engine_sha256) == (Runtime.RUNTIME_ONNXRUNTIME, "int8", "")
    assert (second.runtime, second.precision, second.engine_sha256) == (Runtime.RUNTIME_TENSORRT, "fp16", SHA)
    said = [(entry["model"], entry["runtime"], entry["precision"]) for entry in entries if entry["event"] == "model"]
    assert said == [("embedder", "ONNXRUNTIME", "int8"), ("embedder", "TENSORRT", "fp16")]
