"""Fourth link, `peer_identity`: which service calls, and whether it may call this method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from services.mesh import context
from services.mesh.errors import MeshError
from services.mesh.identity import LOCAL, PRINCIPAL_KEY, SPIFFE_PREFIX, peer_name, principal_from_metadata
from services.mesh.interceptors.call import Call, Link, Proceed


class PeerIdentityLink(Link):
    """Checks the caller against the allow list and takes the principal that it carries.

    Args:
        peers: full name of a service or a method -> names of the services that may call it.
    """

    name: ClassVar[str] = "peer_identity"

    def __init__(self, peers: Mapping[str, frozenset[str]]) -> None:
        self._peers = peers

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Refuse an unknown peer; a principal from one that may not carry it is as if it were not there."""
        call.peer = peer_name(call.context.peer(), call.context.auth_context())
        allowed = self._peers.get(call.method) or self._peers.get(call.service, frozenset())
        if call.peer != LOCAL and call.peer not in allowed:
            shown = f"{SPIFFE_PREFIX}{call.peer}" if call.peer else "unknown"
            raise MeshError("PEER_NOT_ALLOWED", "this service may not call this method", metadata={"peer": shown})
        carried = call.metadata.get(PRINCIPAL_KEY)
        # The edge speaks for visitors by claims, never by a ready-made principal.
        if isinstance(carried, bytes) and call.peer != "envoy":
            context.set_principal(principal_from_metadata(carried))
        return await proceed(call)
