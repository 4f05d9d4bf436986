"""The turn log in SQLite: for any number of gateway processes of one host.

WAL with synchronous=NORMAL: a killed process loses nothing that was appended, a power cut may lose the last moments.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from ragmesh.gateway.v1.gateway_service_pb2 import Conversation
from ragmesh.gateway.v1.turn_pb2 import Rating, TurnEvent, TurnStarted
from ragmesh.identity.v1.principal_pb2 import Principal

from services.gateway import forgetting
from services.gateway.turn_log import BegunTurn, LeaseLostError, NewTurn, TurnRow
from services.mesh.errors import MeshError
from services.mesh.sqlite import Database

_SCHEMA = Path(__file__).with_name("schema.sql")
_TITLE_CHARACTERS = 80
_REQUEST_SECONDS = 24 * 3600.0
_TIDY_BATCH = 100


def timestamp(seconds: float) -> Timestamp:
    """Seconds since the epoch as a protobuf Timestamp."""
    made = Timestamp()
    made.FromNanoseconds(int(seconds * 1_000_000) * 1000)
    return made


def _row(row: sqlite3.Row) -> TurnRow:
    return TurnRow(
        name=row["name"],
        conversation=row["conversation"],
        live=row["finish_time"] is None,
        last_seq=row["last_seq"],
        create_time=row["create_time"],
        finish_time=row["finish_time"],
        stop_requested=bool(row["stop_requested"]),
        last_read_time=row["last_read"],
    )


def _keep_question(connection: sqlite3.Connection, turn: str, question: str) -> None:
    """The question of a turn, and the title of its conversation where none before gave it one."""
    stored = connection.execute("SELECT event FROM events WHERE turn = ? AND seq = 1", (turn,)).fetchone()
    started = TurnEvent.FromString(stored["event"])
    started.started.question = question
    connection.execute("UPDATE events SET event = ? WHERE turn = ? AND seq = 1", (started.SerializeToString(), turn))
    connection.execute(
        "UPDATE conversations SET title = ? WHERE name = ? AND title = ''",
        (" ".join(question.split())[:_TITLE_CHARACTERS], started.started.conversation),
    )


def _conversation_missing(name: str) -> MeshError:
    return MeshError("CONVERSATION_NOT_FOUND", "there is no such conversation", metadata={"conversation": name})


class SqliteTurnLog:
    """`TurnLog` over one database file.

    Args:
        resume_seconds: how long finished turns keep their passages.
        retention_days: after how many days unused conversations of anonymous visitors go.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_turns: int,
        max_conversations: int,
        resume_seconds: float,
        retention_days: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._database = Database(path, "turns", synchronous="NORMAL")
        self._database.setup(lambda connection: connection.executescript(_SCHEMA.read_text()))
        self._max_turns = max_turns
        self._max_conversations = max_conversations
        self._resume_seconds = resume_seconds
        self._retention_seconds = retention_days * 86_400.0

    async def begin(self, principal: Principal, new: NewTurn, owner: str, lease: float) -> BegunTurn:
        """As `TurnLog` has it."""
        return await self._database.write(lambda connection: self._begin(connection, principal, new, owner, lease))

    def _begin(self, connection: sqlite3.Connection, principal: Principal, new: NewTurn, owner: str, lease: float) -> BegunTurn:
        now = self._clock()
        known = self._known_request(connection, principal, new, now)
        if known is not None:
            return BegunTurn(known, started=None)
        conversation = new.conversation
        if conversation:
            self._check_room(connection, principal, conversation)
            connection.execute("UPDATE conversations SET update_time = ? WHERE name = ?", (now, conversation))
        else:
            conversation = self._add_conversation(connection, principal, new, now)
        name = f"{conversation}/turns/{secrets.token_hex(16)}"
        connection.execute(
            "INSERT INTO turns (name, conversation, create_time, last_seq, owner, lease_expire, last_read)"
            " VALUES (?, ?, ?, 1, ?, ?, ?)",
            (name, conversation, now, owner, now + lease, now),
        )
        started = TurnStarted(
            conversation=conversation,
            assistant=new.assistant,
            resume_expire_time=timestamp(new.resume_expire_time),
        )
        event = TurnEvent(turn=name, seq=1, create_time=timestamp(now), started=started)
        connection.execute("INSERT INTO events VALUES (?, 1, ?)", (name, event.SerializeToString()))
        if new.request_id:
            connection.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)",
                (principal.tenant, principal.subject, new.request_id, new.body_sha256, name, now),
            )
        return BegunTurn(_row(connection.execute("SELECT * FROM turns WHERE name = ?", (name,)).fetchone()), started=event)

    @staticmethod
    def _known_request(connection: sqlite3.Connection, principal: Principal, new: NewTurn, now: float) -> TurnRow | None:
        if not new.request_id:
            return None
        connection.execute("DELETE FROM requests WHERE create_time < ?", (now - _REQUEST_SECONDS,))
        found = connection.execute(
            "SELECT turns.*, body_sha256 FROM requests JOIN turns ON turns.name = requests.turn"
            " WHERE tenant = ? AND subject = ? AND request_id = ?",
            (principal.tenant, principal.subject, new.request_id),
        ).fetchone()
        if found is None:
            return None
        if found["body_sha256"] != new.body_sha256:
            text = "this request_id came with another question before"
            raise MeshError("REQUEST_ID_REUSED", text, metadata={"request_id": new.request_id})
        return _row(found)

    def _check_room(self, connection: sqlite3.Connection, principal: Principal, conversation: str) -> None:
        self._own(connection, principal, conversation)
        turns = connection.execute(
            "SELECT name, finish_time FROM turns WHERE conversation = ? ORDER BY create_time DESC", (conversation,)
        ).fetchall()
        if turns and turns[0]["finish_time"] is None:
            text = "the last question of this conversation is still being answered: stop it, or wait for its end"
            raise MeshError("TURN_IN_PROGRESS", text, metadata={"turn": turns[0]["name"]})
        if len(turns) >= self._max_turns:
            limit = str(self._max_turns)
            raise MeshError("CONVERSATION_FULL", "this conversation is full: begin a new one", metadata={"limit_turns": limit})

    def _add_conversation(self, connection: sqlite3.Connection, principal: Principal, new: NewTurn, now: float) -> str:
        name = f"conversations/{secrets.token_hex(16)}"
        connection.execute(
            "INSERT INTO conversations VALUES (?, ?, ?, ?, '', ?, ?)",
            (name, principal.tenant, principal.subject, new.assistant, now, now),
        )
        connection.execute(
            "DELETE FROM conversations WHERE name IN (SELECT name FROM conversations WHERE tenant = ? AND subject = ?"
            " ORDER BY update_time DESC LIMIT -1 OFFSET ?)",
            (principal.tenant, principal.subject, self._max_conversations),
        )
        return name

    @staticmethod
    def _own(connection: sqlite3.Connection, principal: Principal, name: str) -> sqlite3.Row:
        found: sqlite3.Row | None = connection.execute(
            "SELECT * FROM conversations WHERE name = ? AND tenant = ? AND subject = ?",
            (name, principal.tenant, principal.subject),
        ).fetchone()
        if found is None:
            raise _conversation_missing(name)
        return found

    async def append(
        self, turn: str, owner: str, expected_seq: int, events: Sequence[TurnEvent], question: str | None = None
    ) -> None:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> None:
            finish = self._clock() if events[-1].HasField("finished") else None
            changed = connection.execute(
                "UPDATE turns SET last_seq = ?, finish_time = ?"
                " WHERE name = ? AND owner = ? AND last_seq = ? AND finish_time IS NULL",
                (expected_seq + len(events), finish, turn, owner, expected_seq),
            ).rowcount
            if changed != 1:
                raise LeaseLostError(turn)
            connection.executemany(
                "INSERT INTO events VALUES (?, ?, ?)", [(turn, event.seq, event.SerializeToString()) for event in events]
            )
            if question is not None:
                _keep_question(connection, turn, question)
            for event in events:
                if event.HasField("retracted"):
                    forgetting.blank_retracted(connection, turn, event)

        await self._database.write(work)

    async def read(self, turn: str, after_seq: int, limit: int) -> tuple[TurnRow, list[TurnEvent]]:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> tuple[TurnRow, list[TurnEvent]]:
            found = connection.execute("SELECT * FROM turns WHERE name = ?", (turn,)).fetchone()
            if found is None:
                raise MeshError("TURN_NOT_FOUND", "there is no such turn", metadata={"turn": turn})
            rows = connection.execute(
                "SELECT event FROM events WHERE turn = ? AND seq > ? ORDER BY seq LIMIT ?", (turn, after_seq, limit)
            )
            return _row(found), [TurnEvent.FromString(row["event"]) for row in rows]

        return await self._database.read(work)

    async def find(self, principal: Principal, turn: str) -> TurnRow:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> TurnRow:
            found = connection.execute(
                "SELECT turns.* FROM turns JOIN conversations ON conversations.name = turns.conversation"
                " WHERE turns.name = ? AND tenant = ? AND subject = ?",
                (turn, principal.tenant, principal.subject),
            ).fetchone()
            if found is None:
                raise MeshError("TURN_NOT_FOUND", "there is no such turn", metadata={"turn": turn})
            return _row(found)

        return await self._database.read(work)

    async def renew(self, turn: str, owner: str, lease: float) -> TurnRow:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> TurnRow:
            found = connection.execute(
                "UPDATE turns SET lease_expire = ? WHERE name = ? AND owner = ? AND finish_time IS NULL RETURNING *",
                (self._clock() + lease, turn, owner),
            ).fetchone()
            if found is None:
                raise LeaseLostError(turn)
            return _row(found)

        return await self._database.write(work)

    async def touch(self, turn: str) -> None:
        """As `TurnLog` has it."""
        await self._set(turn, "last_read = ?", self._clock())

    async def request_stop(self, turn: str) -> None:
        """As `TurnLog` has it."""
        await self._set(turn, "stop_requested = ?", 1)

    async def rate(self, turn: str, rating: Rating) -> None:
        """As `TurnLog` has it."""
        await self._set(turn, "rating = ?", rating.SerializeToString())

    async def _set(self, turn: str, assignment: str, value: float | bytes) -> None:
        statement = f"UPDATE turns SET {assignment} WHERE name = ?"
        await self._database.write(lambda connection: connection.execute(statement, (value, turn)))

    async def rating(self, turn: str) -> Rating | None:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> Rating | None:
            found = connection.execute("SELECT rating FROM turns WHERE name = ?", (turn,)).fetchone()
            return Rating.FromString(found["rating"]) if found is not None and found["rating"] is not None else None

        return await self._database.read(work)

    async def take_over(self, owner: str, lease: float) -> list[TurnRow]:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> list[TurnRow]:
            now = self._clock()
            rows = connection.execute(
                "UPDATE turns SET owner = ?, lease_expire = ? WHERE finish_time IS NULL AND lease_expire < ? RETURNING *",
                (owner, now + lease, now),
            ).fetchall()
            return [_row(row) for row in rows]

        return await self._database.write(work)

    async def history(self, conversation: str, before_turn: str, limit: int) -> list[list[TurnEvent]]:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> list[list[TurnEvent]]:
            names = connection.execute(
                "SELECT name FROM turns WHERE conversation = ? AND name <> ? AND finish_time IS NOT NULL"
                " ORDER BY create_time DESC LIMIT ?",
                (conversation, before_turn, limit),
            ).fetchall()
            logs = []
            for row in reversed(names):
                events = connection.execute("SELECT event FROM events WHERE turn = ? ORDER BY seq", (row["name"],))
                logs.append([TurnEvent.FromString(event["event"]) for event in events])
            return logs

        return await self._database.read(work)

    async def conversation(self, principal: Principal, name: str) -> Conversation:
        """As `TurnLog` has it."""
        return await self._database.read(lambda connection: _conversation(connection, self._own(connection, principal, name)))

    async def conversations(
        self, principal: Principal, after: tuple[float, str] | None, limit: int
    ) -> list[tuple[float, Conversation]]:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> list[tuple[float, Conversation]]:
            last_time, last_name = after or (float("inf"), "")
            rows = connection.execute(
                "SELECT * FROM conversations WHERE tenant = ? AND subject = ? AND (update_time, name) < (?, ?)"
                " ORDER BY update_time DESC, name DESC LIMIT ?",
                (principal.tenant, principal.subject, last_time, last_name, limit),
            ).fetchall()
            return [(row["update_time"], _conversation(connection, row)) for row in rows]

        return await self._database.read(work)

    async def turns(self, principal: Principal, conversation: str, after: float, limit: int) -> list[TurnRow]:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> list[TurnRow]:
            self._own(connection, principal, conversation)
            rows = connection.execute(
                "SELECT * FROM turns WHERE conversation = ? AND create_time > ? ORDER BY create_time LIMIT ?",
                (conversation, after, limit),
            )
            return [_row(row) for row in rows]

        return await self._database.read(work)

    async def delete_conversation(self, principal: Principal, name: str) -> int:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> int:
            self._own(connection, principal, name)
            count = connection.execute("SELECT count(*) FROM turns WHERE conversation = ?", (name,)).fetchone()[0]
            connection.execute("DELETE FROM conversations WHERE name = ?", (name,))
            return int(count)

        count = await self._database.write(work)
        await self._forget_old_pages()
        return count

    async def _forget_old_pages(self) -> None:
        # Deleted and blanked text is gone from the database file once it is written back, and from the log of writes only when that
        # is cut. A busy reader of another process may prevent it; the next tidying does it then.
        await self._database.read(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())

    async def tidy(self) -> None:
        """As `TurnLog` has it."""

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock()
            connection.execute(
                "DELETE FROM conversations WHERE subject LIKE 'sessions/%' AND update_time < ?", (now - self._retention_seconds,)
            )
            over = connection.execute(
                "SELECT name FROM turns WHERE finish_time IS NOT NULL AND tidied = 0 AND finish_time < ? LIMIT ?",
                (now - self._resume_seconds, _TIDY_BATCH),
            ).fetchall()
            for row in over:
                forgetting.drop_passages(connection, row["name"])

        await self._database.write(work)
        await self._forget_old_pages()

    async def close(self) -> None:
        """As `TurnLog` has it."""
        await self._database.close()


def _conversation(connection: sqlite3.Connection, row: sqlite3.Row) -> Conversation:
    counted = connection.execute(
        "SELECT count(*) AS turns, max(CASE WHEN finish_time IS NULL THEN name END) AS live FROM turns WHERE conversation = ?",
        (row["name"],),
    ).fetchone()
    return Conversation(
        name=row["name"],
        title=row["title"],
        assistant=row["assistant"],
        create_time=timestamp(row["create_time"]),
        update_time=timestamp(row["update_time"]),
        turn_count=counted["turns"],
        live_turn=counted["live"] or "",
    )
