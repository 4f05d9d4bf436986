"""From a question to a running turn: who answers, with which history, in how much time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import grpc
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import retriever_service_pb2 as retriever_pb2

from services.gateway import history
from services.gateway.hub import Hub
from services.gateway.peers import Peers
from services.gateway.run import Question, TurnRun
from services.gateway.settings import GatewaySettings
from services.gateway.turn_log import NewTurn, TurnLog
from services.gateway.writer import TurnWriter
from services.mesh import context
from services.mesh.assistant import FALLBACK_LANGUAGE, Assistant, in_language
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.mesh.identity import DEFAULT_TENANT

_COUNT_SECONDS = 0.5


class Asking:
    """Begins turns."""

    def __init__(
        self, log: TurnLog, hub: Hub, peers: Peers, assistants: Mapping[str, Assistant], settings: GatewaySettings
    ) -> None:
        self._log = log
        self._hub = hub
        self._peers = peers
        self._assistants = assistants
        self._settings = settings
        self._documents: dict[str, int] = {}
        self._beginning: set[asyncio.Task[str]] = set()
        self.resume_seconds = settings.resume_seconds

    def assistant(self, name: str) -> Assistant:
        """The assistant `name`; the default one for an empty name.

        Raises:
            MeshError: ASSISTANT_NOT_FOUND.
        """
        wanted = name or self._settings.default_assistant
        found = self._assistants.get(wanted)
        if found is None:
            raise MeshError("ASSISTANT_NOT_FOUND", "there is no such assistant", metadata={"assistant": wanted})
        return found

    async def ask(self, principal: Principal, new: NewTurn) -> str:
        """Begin the turn, or find the one that the same request began; its name.

        Raises:
            MeshError: what `TurnLog.begin` raises, and DEADLINE_EXCEEDED where there is no time for a turn.
        """
        assistant = self.assistant(new.assistant)
        # Seen through even where the caller leaves meanwhile: else the log would hold a turn that nobody works on.
        beginning = asyncio.create_task(self._begin(principal, new, assistant, self._budget()), name="begin")
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)
        return await asyncio.shield(beginning)

    async def _begin(self, principal: Principal, new: NewTurn, assistant: Assistant, budget: Budget) -> str:
        begun = await self._log.begin(principal, new, self._hub.owner, self._settings.lease_seconds)
        if begun.started is not None:
            logs = await self._log.history(new.conversation, begun.row.name, history.MAX_TURNS) if new.conversation else []
            question = Question(
                text=new.question,
                assistant=assistant,
                history=history.utterances(logs),
                passages=self._settings.passages,
                window_tokens=self._settings.window_tokens,
                answer_tokens=self._settings.answer_tokens,
                search_again=self._settings.search_again,
                max_segments=self._settings.max_segments,
                documents=self._documents.get(assistant.collection),
            )

            def make(writer: TurnWriter, time_left: Budget) -> TurnRun:
                return TurnRun(writer, self._peers, question, time_left)

            self._hub.launch(begun.started, budget, make)
        return begun.row.name

    async def close(self) -> None:
        """Return once all turns that are being begun have begun."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _budget(self) -> Budget:
        seconds = min(context.remaining(), self._settings.turn_cap_seconds) - self._settings.turn_reserve_seconds
        if seconds <= 0:
            raise MeshError("DEADLINE_EXCEEDED", "the deadline leaves no time for an answer")
        return Budget(seconds)

    async def introduce(self, name: str) -> g.Assistant:
        """Who answers, for the first screen of a client."""
        found = self.assistant(name)
        made = g.Assistant(
            name=found.name,
            display_name=found.display_name,
            introduction=in_language(found.introduction, FALLBACK_LANGUAGE),
            sample_questions=in_language(found.sample_questions, FALLBACK_LANGUAGE),
            disclaimer=in_language(found.disclaimer, FALLBACK_LANGUAGE),
        )
        count = await self._count(found)
        if count is not None:
            made.document_count = count
        return made

    async def _count(self, assistant: Assistant) -> int | None:
        # Asked by whoever may not have an identity yet: the count is what any visitor of the assistant may know.
        visitor = Principal(tenant=DEFAULT_TENANT, subject=assistant.name, roles=["visitor"])
        request = retriever_pb2.GetCollectionRequest(name=assistant.collection)
        try:
            with context.as_principal(visitor):
                answer = await self._peers.retriever.GetCollection(request, timeout=_COUNT_SECONDS)
        except grpc.aio.AioRpcError:
            return None
        self._documents[assistant.collection] = answer.collection.document_count
        return answer.collection.document_count
