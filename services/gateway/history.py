"""What was said before in a conversation, as the other services read it: at most 20 utterances and 16 KiB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ragmesh.evidence.v1.text_pb2 import ROLE_ASSISTANT, ROLE_USER, Utterance
from ragmesh.gateway.v1.turn_pb2 import OUTCOME_BLOCKED, TurnEvent

from services.gateway.fold import fold

MAX_UTTERANCES = 20
MAX_BYTES = 16 * 1024
MAX_TURNS = MAX_UTTERANCES // 2


def utterances(logs: Iterable[Sequence[TurnEvent]]) -> list[Utterance]:
    """Question and answer of each turn, oldest first, the newest kept. A question that was refused, or not judged, is left out."""
    said: list[Utterance] = []
    for events in logs:
        turn = fold(events)
        if turn.finished.outcome == OUTCOME_BLOCKED or not turn.question:  # refused, or ended before it was judged
            continue
        said.append(Utterance(role=ROLE_USER, text=turn.question, create_time=turn.create_time))
        if answer := turn.text.strip():
            said.append(Utterance(role=ROLE_ASSISTANT, text=answer, create_time=events[-1].create_time))
    kept: list[Utterance] = []
    size = 0
    for utterance in reversed(said[-MAX_UTTERANCES:]):
        size += len(utterance.text.encode())
        if size > MAX_BYTES:
            break
        kept.append(utterance)
    return kept[::-1]
