"""The protocol of a turn log: what the hub and the readers ask of it. Implementations: `sqlite_log.py`.

A log is appended to by one owner at a time, who holds a lease; anyone with the rights reads it. What is appended is stored before
anybody sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ragmesh.gateway.v1.gateway_service_pb2 import Conversation
from ragmesh.gateway.v1.turn_pb2 import Rating, TurnEvent
from ragmesh.identity.v1.principal_pb2 import Principal


class LeaseLostError(Exception):
    """Somebody else owns the turn, or has ended it."""


@dataclass(frozen=True, slots=True)
class TurnRow:
    """What the log knows of a turn beside its events. Times are seconds since the epoch."""

    name: str
    conversation: str
    live: bool
    last_seq: int
    create_time: float
    finish_time: float | None
    stop_requested: bool
    last_read_time: float


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn to begin, with what makes asking for it safe to repeat."""

    assistant: str
    question: str
    """Not stored before the guard has said what may be kept of it."""
    conversation: str
    """`conversations/{c}`; empty begins a new one."""
    request_id: str
    """Empty: not repeated."""
    body_sha256: str
    resume_expire_time: float
    """Until when the turn can be resumed event by event, at least."""


@dataclass(frozen=True, slots=True)
class BegunTurn:
    """The turn that a question began, or had begun before."""

    row: TurnRow
    started: TurnEvent | None
    """The first event of a turn that was made now; None where it was there before."""


class TurnLog(Protocol):
    """Stores conversations, turns and their events. Every method checks that the principal owns what it names."""

    async def begin(self, principal: Principal, new: NewTurn, owner: str, lease: float) -> BegunTurn:
        """Begin a turn with its `started` event, as yet without the question, or find the one that the same request began.

        Raises:
            MeshError: CONVERSATION_NOT_FOUND, CONVERSATION_FULL, TURN_IN_PROGRESS, REQUEST_ID_REUSED.
        """
        ...

    async def append(
        self, turn: str, owner: str, expected_seq: int, events: Sequence[TurnEvent], question: str | None = None
    ) -> None:
        """Append events after `expected_seq`. A retraction blanks the stored text; `finished` ends the turn.

        Args:
            question: what may be kept of the question, now that it is known: for `started`, and the title of a new conversation.

        Raises:
            LeaseLostError: the turn is not the owner's, or its log ends elsewhere.
        """
        ...

    async def read(self, turn: str, after_seq: int, limit: int) -> tuple[TurnRow, list[TurnEvent]]:
        """Events after `after_seq`, at most `limit`, and the state of the turn.

        Raises:
            MeshError: TURN_NOT_FOUND.
        """
        ...

    async def find(self, principal: Principal, turn: str) -> TurnRow:
        """The turn, if it is the principal's.

        Raises:
            MeshError: TURN_NOT_FOUND.
        """
        ...

    async def renew(self, turn: str, owner: str, lease: float) -> TurnRow:
        """Keep the lease for `lease` seconds more.

        Raises:
            LeaseLostError: the turn is not the owner's any more.
        """
        ...

    async def touch(self, turn: str) -> None:
        """Note that somebody reads the turn."""
        ...

    async def request_stop(self, turn: str) -> None:
        """Ask the owner of the turn to stop it."""
        ...

    async def take_over(self, owner: str, lease: float) -> list[TurnRow]:
        """Live turns whose lease ran out, now the new owner's."""
        ...

    async def history(self, conversation: str, before_turn: str, limit: int) -> list[list[TurnEvent]]:
        """Logs of the last `limit` finished turns of a conversation before a turn, oldest first."""
        ...

    async def conversation(self, principal: Principal, name: str) -> Conversation:
        """A conversation.

        Raises:
            MeshError: CONVERSATION_NOT_FOUND.
        """
        ...

    async def conversations(
        self, principal: Principal, after: tuple[float, str] | None, limit: int
    ) -> list[tuple[float, Conversation]]:
        """Conversations, the last used first, each with the time that it is sorted by."""
        ...

    async def turns(self, principal: Principal, conversation: str, after: float, limit: int) -> list[TurnRow]:
        """Turns of a conversation begun after a time, oldest first.

        Raises:
            MeshError: CONVERSATION_NOT_FOUND.
        """
        ...

    async def delete_conversation(self, principal: Principal, name: str) -> int:
        """Delete a conversation for good; number of turns deleted.

        Raises:
            MeshError: CONVERSATION_NOT_FOUND.
        """
        ...

    async def rate(self, turn: str, rating: Rating) -> None:
        """Keep what the reader says of a turn."""
        ...

    async def rating(self, turn: str) -> Rating | None:
        """What the reader said of a turn."""
        ...

    async def tidy(self) -> None:
        """Take passages out of turns whose resume window is over; delete what nobody used for long."""
        ...

    async def close(self) -> None:
        """Close the store."""
        ...
