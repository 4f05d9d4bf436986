"""The order of a turn's events, written down as an automaton. Nothing reaches the log that it does not accept.

    started  (understood | stage | evidence | delta | claim | retracted | degraded)*  finished

with: `understood` at most once; a delta continues where the last one ended; a claim is judged, lies inside released text and cites
evidence of this turn, by ranges inside that evidence; a retraction lies inside released text; nothing after `finished`.
It knows no service.
"""

from __future__ import annotations

import copy

from ragmesh.evidence.v1.evidence_pb2 import CLAIM_VERDICT_UNSPECIFIED, Claim, Evidence
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.gateway.v1.turn_pb2 import TurnEvent

from services.mesh.errors import MeshError

MAX_TEXT_BYTES = 64 * 1024
MAX_EVENTS = 2000


class OutOfOrderError(ValueError):
    """An event came that may not come now: a defect of whoever made it."""


class TurnAutomaton:
    """Accepts the events of one turn, in order."""

    def __init__(self) -> None:
        self.last_seq = 0
        self.released_bytes = 0
        self.finished = False
        self._understood = False
        self._evidence: dict[str, Evidence] = {}

    def fork(self) -> TurnAutomaton:
        """Another automaton in the same state, to try events on."""
        made = copy.copy(self)
        made._evidence = dict(self._evidence)
        return made

    @property
    def started(self) -> bool:
        """Whether the turn has begun."""
        return self.last_seq > 0

    def accept(self, event: TurnEvent) -> None:
        """Take the next event, or refuse it.

        Raises:
            OutOfOrderError: it may not come now.
            MeshError: TURN_TOO_LARGE; only `finished` still fits.
        """
        kind = event.WhichOneof("event")
        if event.seq != self.last_seq + 1:
            raise OutOfOrderError(f"seq {event.seq} after {self.last_seq}")
        if self.finished:
            raise OutOfOrderError(f"{kind} after finished")
        if (kind == "started") != (not self.started):
            raise OutOfOrderError(f"{kind} as event {event.seq}")
        if kind != "finished" and self.last_seq >= MAX_EVENTS - 1:
            raise MeshError("TURN_TOO_LARGE", "the turn has too many events", metadata={"limit_events": str(MAX_EVENTS)})
        check = getattr(self, f"_on_{kind}", None)
        if check is not None:
            check(event)
        self.last_seq = event.seq

    def _on_understood(self, _: TurnEvent) -> None:
        if self._understood:
            raise OutOfOrderError("understood twice")
        self._understood = True

    def _on_evidence(self, event: TurnEvent) -> None:
        for evidence in event.evidence.evidence:
            if evidence.name in self._evidence:
                raise OutOfOrderError(f"evidence {evidence.name} twice")
            self._evidence[evidence.name] = evidence

    def _on_delta(self, event: TurnEvent) -> None:
        if event.delta.start != self.released_bytes:
            raise OutOfOrderError(f"delta at {event.delta.start}, released {self.released_bytes}")
        length = len(event.delta.text.encode())
        if self.released_bytes + length > MAX_TEXT_BYTES:
            raise MeshError("TURN_TOO_LARGE", "the answer is too long", metadata={"limit_bytes": str(MAX_TEXT_BYTES)})
        self.released_bytes += length

    def _on_claim(self, event: TurnEvent) -> None:
        claim: Claim = event.claim.claim
        if claim.verdict == CLAIM_VERDICT_UNSPECIFIED:
            raise OutOfOrderError("a claim that nobody judged")
        self._inside_released(claim.range)
        if claim.HasField("highlight") and not _within(claim.highlight, claim.range):
            raise OutOfOrderError("highlight outside of its claim")
        for ref in claim.refs:
            evidence = self._evidence.get(ref.evidence)
            if evidence is None:
                raise OutOfOrderError(f"claim cites {ref.evidence}, which the turn does not hold")
            for quote in ref.quotes:
                if not any(_within(quote, span) for span in evidence.spans):
                    raise OutOfOrderError(f"quote outside of evidence {ref.evidence}")

    def _on_retracted(self, event: TurnEvent) -> None:
        self._inside_released(event.retracted.range)

    def _on_heartbeat(self, _: TurnEvent) -> None:
        raise OutOfOrderError("heartbeats are not stored")

    def _on_finished(self, _: TurnEvent) -> None:
        self.finished = True

    def _inside_released(self, part: TextRange) -> None:
        if part.start > part.end or part.end > self.released_bytes:
            raise OutOfOrderError(f"range {part.start}-{part.end}, released {self.released_bytes}")


def _within(inner: TextRange, outer: TextRange) -> bool:
    return outer.start <= inner.start <= inner.end <= outer.end
