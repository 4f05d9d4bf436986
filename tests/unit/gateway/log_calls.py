"""Calls of a turn log, as short as they can be said."""

from __future__ import annotations

from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.identity.v1.principal_pb2 import Principal

from services.gateway.sqlite_log import SqliteTurnLog
from services.gateway.turn_log import BegunTurn, NewTurn
from tests.unit.gateway import turn_events as ev

LEASE, DAY = 6.0, 86_400.0
ANNA, BERT = ev.visitor("anna"), ev.visitor("bert")
OWNER = Principal(tenant="default", subject="users/local", roles=["visitor"])


def new_turn(question: str = "How is oil stored?", conversation: str = "", request_id: str = "", body: str = "b") -> NewTurn:
    """A turn to begin."""
    return NewTurn("assistants/default", question, conversation, request_id, body, resume_expire_time=2_000_000_000.0)


async def begin(log: SqliteTurnLog, who: Principal = ANNA, owner: str = "p1", **new: str) -> BegunTurn:
    """Begin it."""
    return await log.begin(who, new_turn(**new), owner, LEASE)


async def append(
    log: SqliteTurnLog, turn: str, *events: t.TurnEvent, after: int = 1, owner: str = "p1", question: str | None = None
) -> None:
    """Append events after `after`; `question` is what may be kept of it."""
    await log.append(turn, owner, after, ev.numbered(events, after + 1, turn), question)


async def finish(log: SqliteTurnLog, turn: str, after: int = 1, question: str | None = None) -> None:
    """End a turn."""
    await append(log, turn, ev.finished(), after=after, question=question)


async def whole(log: SqliteTurnLog, question: str = "How is oil stored?", conversation: str = "") -> str:
    """Begin a turn and end it; its name."""
    begun = await begin(log, question=question, conversation=conversation)
    await finish(log, begun.row.name, question=question)
    return begun.row.name
