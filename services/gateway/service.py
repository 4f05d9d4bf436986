"""GatewayService: each method checks whose it is, then asks the hub or the log. The order of a turn is in `run.py`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceServicer
from ragmesh.gateway.v1.turn_pb2 import TurnEvent

from services.gateway.admission import QuestionLimit
from services.gateway.asking import Asking
from services.gateway.fold import fold
from services.gateway.hub import Hub
from services.gateway.reading import Reading
from services.gateway.sessions import SessionIssuer
from services.gateway.sqlite_log import timestamp
from services.gateway.turn_log import NewTurn
from services.mesh import context
from services.mesh.errors import MeshError
from services.mesh.paging import Pager, page_size

_CONVERSATIONS_PAGE = (50, 200)
_TURNS_PAGE = (50, 200)
# Turns come with their passages: a page ends early rather than at the 4 MiB that a gRPC client takes by default.
_TURNS_PAGE_BYTES = 2 * 1024 * 1024
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Gateway(GatewayServiceServicer):
    """Serves `ragmesh.gateway.v1.GatewayService`."""

    asking: Asking
    reading: Reading
    hub: Hub
    sessions: SessionIssuer
    limit: QuestionLimit
    pager: Pager

    async def CreateSession(self, request: g.CreateSessionRequest, _: Context) -> g.CreateSessionResponse:
        """A signed, anonymous session."""
        made = self.sessions.issue()
        return g.CreateSessionResponse(token=made.token, subject=made.subject, expire_time=timestamp(made.expire_time))

    async def StreamAnswer(self, request: g.StreamAnswerRequest, _: Context) -> AsyncIterator[g.StreamAnswerResponse]:
        """Ask, and follow the turn."""
        turn = await self._ask(request)
        async with aclosing(self.hub.tail.events(turn, 0)) as events:
            async for event in events:
                yield g.StreamAnswerResponse(event=_as_asked(event, request.question))

    async def Answer(self, request: g.AnswerRequest, _: Context) -> g.AnswerResponse:
        """Ask, and fold the turn once it is over."""
        turn = await self._ask(request)
        events = [
            _as_asked(event, request.question) async for event in self.hub.tail.events(turn, 0) if not event.HasField("heartbeat")
        ]
        return g.AnswerResponse(turn=fold(events))

    async def _ask(self, request: g.StreamAnswerRequest | g.AnswerRequest) -> str:
        principal = context.principal()
        self.limit.admit(principal)
        body = hashlib.sha256()
        for part in (request.question, request.conversation, request.assistant):
            body.update(len(part).to_bytes(4, "big") + part.encode())
        new = NewTurn(
            assistant=self.asking.assistant(request.assistant).name,
            question=request.question,
            conversation=request.conversation,
            request_id=request.request_id.lower(),
            body_sha256=body.hexdigest(),
            resume_expire_time=time.time() + self.asking.resume_seconds,
        )
        return await self.asking.ask(principal, new)

    async def ResumeAnswer(self, request: g.ResumeAnswerRequest, _: Context) -> AsyncIterator[g.ResumeAnswerResponse]:
        """Follow a turn again."""
        row = await self.reading.turn(request.turn)
        if row.finish_time is not None and time.time() - row.finish_time > self.asking.resume_seconds:
            text = "this answer can no longer be followed event by event; read it as a whole"
            raise MeshError("RESUME_WINDOW_PASSED", text, metadata={"turn": request.turn})
        async with aclosing(self.hub.tail.events(request.turn, request.after_seq)) as events:
            async for event in events:
                yield g.ResumeAnswerResponse(event=event)

    async def StopAnswer(self, request: g.StopAnswerRequest, _: Context) -> g.StopAnswerResponse:
        """End a live turn."""
        row = await self.reading.turn(request.turn)
        if row.live:
            await self.hub.stop(request.turn)
        return g.StopAnswerResponse(turn=await self.reading.fold(request.turn))

    async def GetPassage(self, request: g.GetPassageRequest, _: Context) -> g.GetPassageResponse:
        """The passage behind a citation."""
        neighbours = request.neighbours if request.HasField("neighbours") else None
        return g.GetPassageResponse(passage=await self.reading.passage(request.turn, request.evidence, neighbours))

    async def GetConversation(self, request: g.GetConversationRequest, _: Context) -> g.GetConversationResponse:
        """What is known about a conversation."""
        found = await self.reading.log.conversation(context.principal(), request.name)
        return g.GetConversationResponse(conversation=found)

    async def ListConversations(self, request: g.ListConversationsRequest, _: Context) -> g.ListConversationsResponse:
        """The caller's conversations."""
        principal = context.principal()
        position = self.pager.position("conversations", principal, request.page_token)
        after = (float(position[0]), str(position[1])) if position else None
        size = page_size(request.page_size, default=_CONVERSATIONS_PAGE[0], most=_CONVERSATIONS_PAGE[1])
        found = await self.reading.log.conversations(principal, after, size + 1)
        token = ""
        if len(found) > size:
            found = found[:size]
            last_time, last = found[-1]
            token = self.pager.token("conversations", principal, [repr(last_time), last.name])
        return g.ListConversationsResponse(conversations=[entry for _, entry in found], next_page_token=token)

    async def ListTurns(self, request: g.ListTurnsRequest, _: Context) -> g.ListTurnsResponse:
        """The turns of a conversation."""
        principal = context.principal()
        position = self.pager.position(request.parent, principal, request.page_token)
        size = page_size(request.page_size, default=_TURNS_PAGE[0], most=_TURNS_PAGE[1])
        rows = await self.reading.log.turns(principal, request.parent, float(position[0]) if position else 0.0, size + 1)
        answer = g.ListTurnsResponse()
        used = 0
        for row in rows[:size]:
            turn = await self.reading.fold(row.name)
            used += turn.ByteSize()
            if answer.turns and used > _TURNS_PAGE_BYTES:
                break
            answer.turns.append(turn)
        if len(answer.turns) < len(rows):
            last = rows[len(answer.turns) - 1]
            answer.next_page_token = self.pager.token(request.parent, principal, [repr(last.create_time)])
        return answer

    async def GetTurn(self, request: g.GetTurnRequest, _: Context) -> g.GetTurnResponse:
        """The fold of a turn."""
        await self.reading.turn(request.name)
        return g.GetTurnResponse(turn=await self.reading.fold(request.name))

    async def DeleteConversation(self, request: g.DeleteConversationRequest, _: Context) -> g.DeleteConversationResponse:
        """Delete a conversation for good."""
        principal = context.principal()
        found = await self.reading.log.conversation(principal, request.name)
        if found.live_turn:
            await self.hub.stop(found.live_turn)
        return g.DeleteConversationResponse(turn_count=await self.reading.log.delete_conversation(principal, request.name))

    async def RateAnswer(self, request: g.RateAnswerRequest, _: Context) -> g.RateAnswerResponse:
        """Keep what the reader says."""
        row = await self.reading.turn(request.turn)
        if row.live:
            raise MeshError("TURN_NOT_FINISHED", "the answer is not complete yet", metadata={"turn": request.turn})
        await self.reading.log.rate(request.turn, request.rating)
        return g.RateAnswerResponse(rating=request.rating)

    async def GetAssistant(self, request: g.GetAssistantRequest, _: Context) -> g.GetAssistantResponse:
        """Who answers here."""
        return g.GetAssistantResponse(assistant=await self.asking.introduce(request.name))


def _as_asked(event: TurnEvent, question: str) -> TurnEvent:
    """`event` for whoever asks: `started` with the question as it was asked, whatever of it is kept."""
    if not event.HasField("started"):
        return event
    started = TurnEvent()
    started.CopyFrom(event)
    started.started.question = question
    return started
