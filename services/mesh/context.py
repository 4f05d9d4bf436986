"""What a servicer may ask about the call it serves: on whose behalf, until when, under which id.

Set by the interceptors in the task of the call; never reset, because each call has a task, and so a context, of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ragmesh.identity.v1.principal_pb2 import Principal

from services.mesh.deadline import Budget
from services.mesh.errors import MeshError

_principal: ContextVar[Principal | None] = ContextVar("principal", default=None)
_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)
_request_id: ContextVar[str] = ContextVar("request_id", default="")


def principal() -> Principal:
    """On whose behalf the call is made.

    Raises:
        MeshError: UNAUTHENTICATED where the call carries no identity.
    """
    found = _principal.get()
    if found is None:
        raise MeshError("UNAUTHENTICATED", "this call needs a session or a login", metadata={"scheme": "bearer"})
    return found


def principal_or_none() -> Principal | None:
    """On whose behalf the call is made, where that is known."""
    return _principal.get()


def require_role(role: str) -> Principal:
    """The principal, if it has `role`.

    Raises:
        MeshError: UNAUTHENTICATED or PERMISSION_DENIED.
    """
    found = principal()
    if role not in found.roles:
        raise MeshError("PERMISSION_DENIED", f"this needs the role {role}", metadata={"role": role})
    return found


def budget() -> Budget:
    """The budget of the call; one without end outside of a call."""
    return _budget.get() or Budget(math.inf)


def remaining() -> float:
    """Seconds until the deadline of the call; infinite where it has none."""
    return budget().remaining()


def request_id() -> str:
    """Id of the call, as the log has it; empty outside of a call."""
    return _request_id.get()


def set_principal(value: Principal | None) -> None:
    """Set by the identity interceptors, and by tasks that outlive the call that began them."""
    _principal.set(value)


def set_budget(value: Budget) -> None:
    """Set by the deadline interceptor."""
    _budget.set(value)


def set_request_id(value: str) -> None:
    """Set by the request context interceptor."""
    _request_id.set(value)


@contextmanager
def as_principal(value: Principal) -> Iterator[None]:
    """Calls inside the block are made on behalf of `value`."""
    token = _principal.set(value)
    try:
        yield
    finally:
        _principal.reset(token)
