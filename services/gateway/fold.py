"""The fold of a turn's log: events in, `Turn` out. The only way from one to the other, for every RPC and every test."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence

from ragmesh.evidence.v1.evidence_pb2 import Claim
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.gateway.v1.turn_pb2 import Turn, TurnEvent


def blank(text: bytes, part: TextRange, offset: int = 0) -> bytes:
    """`text`, which begins at `offset`, with what lies in `part` replaced by as many spaces.

    A range that cuts a character takes all of it: what is taken back is never left standing for the sake of its edge.
    """
    start = min(max(part.start - offset, 0), len(text))
    end = min(max(part.end - offset, start), len(text))
    while start < end and _inside_character(text, start):
        start -= 1
    while start < end and _inside_character(text, end):
        end += 1
    return text[:start] + b" " * (end - start) + text[end:]


def _inside_character(text: bytes, at: int) -> bool:
    return 0 < at < len(text) and text[at] & 0xC0 == 0x80


def put_claim(claims: MutableSequence[Claim], claim: Claim) -> None:
    """Add `claim`, or put it in the place of an earlier one of the same range: what was said of that was said too early."""
    for place, earlier in enumerate(claims):
        if earlier.range == claim.range:
            claims[place].CopyFrom(claim)
            return
    claims.append(claim)


def fold(events: Iterable[TurnEvent]) -> Turn:
    """The turn that `events` tell of, as far as they go."""
    turn = Turn()
    text = b""
    for event in events:
        kind = event.WhichOneof("event")
        turn.last_seq = event.seq
        match kind:
            case "started":
                turn.name = event.turn
                turn.question = event.started.question
                turn.create_time.CopyFrom(event.create_time)
                turn.resume_expire_time.CopyFrom(event.started.resume_expire_time)
            case "understood":
                turn.understood.CopyFrom(event.understood)
            case "stage":
                turn.stage.CopyFrom(event.stage)
            case "evidence":
                turn.evidence.extend(event.evidence.evidence)
            case "delta":
                text += event.delta.text.encode()
            case "claim":
                put_claim(turn.claims, event.claim.claim)
            case "retracted":
                turn.retractions.append(event.retracted)
                text = blank(text, event.retracted.range)
            case "degraded":
                turn.degradations.append(event.degraded)
            case "finished":
                turn.finished.CopyFrom(event.finished)
            case _:
                # An event of a later version: it has a place in the log, and nothing more to say here.
                pass
    turn.text = text.decode()
    return turn
