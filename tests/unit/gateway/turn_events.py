"""Events, evidence and claims for tests of the gateway, as short as they can be said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ragmesh.evidence.v1 import evidence_pb2 as e
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.identity.v1.principal_pb2 import Principal

TURN = "conversations/c/turns/t"
DOCUMENT = "collections/default/documents/d"
SENTENCE = "Kühl lagern. "


def visitor(name: str) -> Principal:
    """A visitor without a login."""
    return Principal(tenant="default", subject=f"sessions/{name}", roles=["visitor"])


def span(start: int, end: int) -> TextRange:
    """Bytes from `start` to `end`."""
    return TextRange(start=start, end=end)


def evidence(name: str = "ev_1", text: str = "Oil is stored in a cool, dark place.", document: str = DOCUMENT) -> e.Evidence:
    """A passage that stands at byte 100 of its document."""
    return e.Evidence(
        name=name,
        chunk=f"{document}/versions/v/chunks/{name}",
        document=document,
        document_version=f"{document}/versions/v",
        title_path=[f"Title of {document.rpartition('/')[2]}"],
        text=text,
        spans=[span(100, 100 + len(text.encode()))],
    )


def claim(start: int, end: int, cites: str | None = "ev_1", quote: tuple[int, int] = (100, 110), **more: Any) -> e.Claim:
    """A verified claim of released text."""
    made = e.Claim(range=span(start, end), verdict=more.pop("verdict", e.CLAIM_VERDICT_VERIFIED), **more)
    if cites is not None:
        made.refs.append(e.EvidenceRef(evidence=cites, quotes=[span(*quote)]))
    return made


def started(question: str = "How is oil stored?") -> t.TurnEvent:
    """The first event of a turn."""
    return t.TurnEvent(started=t.TurnStarted(conversation="conversations/c", question=question, assistant="assistants/default"))


def found(*passages: e.Evidence) -> t.TurnEvent:
    """Evidence was found."""
    return t.TurnEvent(evidence=t.EvidenceFound(evidence=passages, documents_searched=63))


def delta(start: int, text: str) -> t.TurnEvent:
    """Text was released."""
    return t.TurnEvent(delta=t.Delta(start=start, text=text))


def claimed(made: e.Claim) -> t.TurnEvent:
    """Released text claims something."""
    return t.TurnEvent(claim=t.ClaimMade(claim=made))


def retracted(start: int, end: int) -> t.TurnEvent:
    """Released text was taken back."""
    return t.TurnEvent(retracted=t.Retracted(range=span(start, end), reason=t.BLOCK_REASON_UNSUPPORTED))


def stage(which: t.Stage.ValueType = t.STAGE_SEARCHING) -> t.TurnEvent:
    """Work entered a stage."""
    return t.TurnEvent(stage=t.StageEntered(stage=which))


def understood() -> t.TurnEvent:
    """The question was understood."""
    return t.TurnEvent(understood=t.Understood(language="en"))


def degraded() -> t.TurnEvent:
    """Something was skipped."""
    return t.TurnEvent(degraded=t.Degraded(stage=t.STAGE_SEARCHING, skipped="dense search", reason="MODEL_UNAVAILABLE"))


def finished(outcome: t.Outcome.ValueType = t.OUTCOME_ANSWERED) -> t.TurnEvent:
    """The turn is over."""
    return t.TurnEvent(finished=t.TurnFinished(outcome=outcome))


def numbered(events: Iterable[t.TurnEvent], first: int = 1, turn: str = TURN) -> list[t.TurnEvent]:
    """The events with turn and seq."""
    made = []
    for seq, event in enumerate(events, first):
        event.turn = turn
        event.seq = seq
        made.append(event)
    return made
