"""Taking text out of turns that are stored: what was retracted, and passages once the resume window is over.

Works inside the transaction of `sqlite_log.py`; knows only the table of events.
"""

from __future__ import annotations

import sqlite3

from ragmesh.gateway.v1.turn_pb2 import TurnEvent

from services.gateway.fold import blank


def _store(connection: sqlite3.Connection, turn: str, event: TurnEvent) -> None:
    statement = "UPDATE events SET event = ? WHERE turn = ? AND seq = ?"
    connection.execute(statement, (event.SerializeToString(), turn, event.seq))


def _events(connection: sqlite3.Connection, turn: str) -> list[TurnEvent]:
    rows = connection.execute("SELECT event FROM events WHERE turn = ? ORDER BY seq", (turn,)).fetchall()
    return [TurnEvent.FromString(row["event"]) for row in rows]


def blank_retracted(connection: sqlite3.Connection, turn: str, retraction: TurnEvent) -> None:
    """Take retracted text out of the stored deltas of a turn."""
    for event in _events(connection, turn):
        if event.HasField("delta"):
            text = event.delta.text.encode()
            blanked = blank(text, retraction.retracted.range, event.delta.start)
            if blanked != text:
                event.delta.text = blanked.decode()
                _store(connection, turn, event)


def drop_passages(connection: sqlite3.Connection, turn: str) -> None:
    """Take the text of passages out of a turn; what is cited stays named."""
    for event in _events(connection, turn):
        if event.HasField("evidence"):
            for evidence in event.evidence.evidence:
                evidence.text = ""
            _store(connection, turn, event)
    connection.execute("UPDATE turns SET tidied = 1 WHERE name = ?", (turn,))
