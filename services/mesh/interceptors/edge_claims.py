"""Fifth link, `edge_claims`: who stands behind a call that came in through the edge."""

from __future__ import annotations

from typing import Any, ClassVar

from services.mesh import context
from services.mesh.errors import MeshError
from services.mesh.identity import CLAIMS_KEY, LISTENER_KEY, LOCAL, local_principal, principal_from_claims
from services.mesh.interceptors.call import Call, Link, Proceed


class EdgeClaimsLink(Link):
    """Turns what the edge verified into a principal, and refuses a call without one.

    Args:
        anonymous: methods that need none.
    """

    name: ClassVar[str] = "edge_claims"

    def __init__(self, anonymous: frozenset[str]) -> None:
        self._anonymous = anonymous

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """The edge strips these entries from what clients send, so they are its own word."""
        if context.principal_or_none() is None and call.peer in (LOCAL, "envoy"):
            listener = call.metadata.get(LISTENER_KEY)
            claims = call.metadata.get(CLAIMS_KEY)
            if listener == "local":
                context.set_principal(local_principal())
            elif isinstance(claims, str) and claims:
                context.set_principal(principal_from_claims(claims))
        if context.principal_or_none() is None and call.method not in self._anonymous:
            raise MeshError("UNAUTHENTICATED", "this call needs a session or a login", metadata={"scheme": "bearer"})
        return await proceed(call)
