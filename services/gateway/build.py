"""Settings in, service out: the one place that puts the gateway together."""

from __future__ import annotations

import grpc
from ragmesh.gateway.v1.gateway_service_pb2_grpc import add_GatewayServiceServicer_to_server

# Reflection on the edge lists what the edge routes; importing the stubs puts its descriptors into the pool.
from ragmesh.retriever.v1 import document_service_pb2_grpc as _document_service  # noqa: F401

from services.gateway.admission import QuestionLimit
from services.gateway.asking import Asking
from services.gateway.hub import Hub
from services.gateway.peers import Peers
from services.gateway.reading import Reading
from services.gateway.service import Gateway
from services.gateway.sessions import SessionIssuer
from services.gateway.settings import GatewaySettings
from services.gateway.sqlite_log import SqliteTurnLog
from services.mesh.assistant import load_assistants
from services.mesh.paging import Pager, load_key
from services.mesh.server import ServiceSpec

NAME = "ragmesh.gateway.v1.GatewayService"


async def build(settings: GatewaySettings) -> ServiceSpec:
    """The gateway, ready to serve.

    Raises:
        AssistantError: a file of an assistant cannot be used.
    """
    log = SqliteTurnLog(
        settings.data_dir / "turns.db",
        max_turns=settings.max_turns,
        max_conversations=settings.max_conversations,
        resume_seconds=settings.resume_seconds,
        retention_days=settings.retention_days,
    )
    peers = Peers(settings)
    hub = Hub(log, settings)
    sessions = SessionIssuer(settings.data_dir / "keys" / "session.pem", settings.session_days)
    asking = Asking(log, hub, peers, load_assistants(settings.assistant_dir), settings)
    gateway = Gateway(
        asking=asking,
        reading=Reading(log, peers),
        hub=hub,
        sessions=sessions,
        limit=QuestionLimit(settings.questions_per_minute),
        pager=Pager(load_key(settings.data_dir / "keys" / "gateway-pages.key")),
    )

    hub.start()

    async def readiness() -> dict[str, bool]:
        return {**await peers.serving(), "keys": sessions.ready()}

    async def close() -> None:
        await asking.close()
        await hub.close()
        await peers.close()
        await log.close()

    def register(server: grpc.aio.Server) -> None:
        add_GatewayServiceServicer_to_server(gateway, server)

    return ServiceSpec(
        name="gateway",
        grpc_services=(NAME,),
        register=register,
        readiness=readiness,
        close=close,
        drain=hub.drain,
        peers={NAME: frozenset({"envoy"})},
        anonymous=frozenset({f"/{NAME}/CreateSession", f"/{NAME}/GetAssistant"}),
        default_deadline=settings.turn_seconds,
        max_deadline=settings.turn_cap_seconds,
        edge_reflection=(NAME, "ragmesh.retriever.v1.DocumentService"),
    )
