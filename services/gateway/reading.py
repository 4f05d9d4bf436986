"""Reading turns that exist: their state, their fold, the passages behind their citations. Always under the caller's rights."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from ragmesh.gateway.v1.turn_pb2 import Turn
from ragmesh.retriever.v1 import retriever_service_pb2 as retriever_pb2

from services.gateway.automaton import MAX_EVENTS
from services.gateway.fold import fold
from services.gateway.peers import Peers
from services.gateway.turn_log import TurnLog, TurnRow
from services.mesh import context
from services.mesh.errors import MeshError, from_rpc_error

_PASSAGE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads the log for the caller of the current RPC."""

    log: TurnLog
    peers: Peers

    async def turn(self, name: str) -> TurnRow:
        """The turn, if it is the caller's.

        Raises:
            MeshError: TURN_NOT_FOUND.
        """
        return await self.log.find(context.principal(), name)

    async def fold(self, name: str) -> Turn:
        """The fold of a turn that is known to be the caller's, with its rating."""
        _, events = await self.log.read(name, 0, MAX_EVENTS)
        turn = fold(events)
        rating = await self.log.rating(name)
        if rating is not None:
            turn.rating.CopyFrom(rating)
        return turn

    async def passage(self, turn: str, evidence: str, neighbours: int | None) -> retriever_pb2.Passage:
        """The passage that evidence of a turn came from.

        Raises:
            MeshError: TURN_NOT_FOUND, EVIDENCE_NOT_FOUND, PASSAGE_GONE.
        """
        await self.turn(turn)
        _, events = await self.log.read(turn, 0, MAX_EVENTS)
        chunks = {item.name: item.chunk for event in events for item in event.evidence.evidence}
        if evidence not in chunks:
            raise MeshError("EVIDENCE_NOT_FOUND", "this answer has no such evidence", metadata={"evidence": evidence})
        request = retriever_pb2.GetPassageRequest(chunk=chunks[evidence], neighbours=neighbours)
        try:
            answer = await self.peers.retriever.GetPassage(request, timeout=context.budget().share(1.0, cap=_PASSAGE_SECONDS))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, service="retriever") from None
        return answer.passage
