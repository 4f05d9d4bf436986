"""Settings in, service out: the one place that puts the generator together."""

from __future__ import annotations

import grpc
from ragmesh.generator.v1.generator_service_pb2_grpc import add_GeneratorServiceServicer_to_server

from services.generator.models import Models
from services.generator.service import Generator
from services.generator.settings import GeneratorSettings
from services.mesh.assistant import load_assistants
from services.mesh.errors import MeshError
from services.mesh.server import ServiceSpec
from services.mesh.triton import TritonClient

NAME = "ragmesh.generator.v1.GeneratorService"


async def build(settings: GeneratorSettings) -> ServiceSpec:
    """The generator, ready to serve.

    Raises:
        AssistantError: a file of an assistant cannot be used.
    """
    triton = TritonClient(settings.triton)
    times = {"idle_seconds": settings.idle_seconds, "probe_seconds": settings.probe_seconds}
    models = Models(triton, **times, engine=settings.generator_engine)
    generator = Generator(models=models, assistants=load_assistants(settings.assistant_dir), settings=settings)

    async def readiness() -> dict[str, bool]:
        try:
            await models.probe()
        except MeshError:
            return {"models": False}
        return {"models": True}

    def register(server: grpc.aio.Server) -> None:
        add_GeneratorServiceServicer_to_server(generator, server)

    return ServiceSpec(
        name="generator",
        grpc_services=(NAME,),
        register=register,
        readiness=readiness,
        close=triton.close,
        peers={NAME: frozenset({"gateway"})},
    )
