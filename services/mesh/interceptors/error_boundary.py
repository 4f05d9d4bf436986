"""Second link, `error_boundary`: whatever is raised below leaves as one typed `google.rpc.Status`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, ClassVar

import grpc

from services.mesh import context
from services.mesh.errors import MeshError, from_rpc_error
from services.mesh.interceptors.call import Call, Link, Proceed
from services.mesh.log import get_logger

_log = get_logger(__name__)

_WRITING_SECONDS = 0.5


class ErrorBoundaryLink(Link):
    """Turns errors into statuses, and defects into INTERNAL with a log entry."""

    name: ClassVar[str] = "error_boundary"

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Catch, type, send. A cancelled call is left to gRPC: there is nobody to tell."""
        try:
            return await proceed(call)
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        except MeshError as error:
            call.error = error
        except grpc.aio.AioRpcError as error:
            call.error = from_rpc_error(error, service="a service behind this one")
        except TimeoutError:
            call.error = MeshError("DEADLINE_EXCEEDED", "the call took too long", metadata={"method": call.method})
        except Exception:
            _log.error("rpc.defect", method=call.method, request=context.request_id(), exc_info=True)
            call.error = MeshError(
                "INTERNAL",
                "something went wrong here; the log has the cause",
                metadata={"request": context.request_id()},
            )
        await _let_finish(call)
        await call.context.abort_with_status(call.error.to_grpc())
        return None  # `abort_with_status` raises


async def _let_finish(call: Call) -> None:
    """Let the caller finish writing: a gRPC asyncio client that still writes when the call ends never learns why it ended."""
    if call.requests is None:
        return
    with contextlib.suppress(Exception):  # whatever is wrong with what still comes, the error that counts is known
        async with asyncio.timeout(_WRITING_SECONDS):
            async for _ in call.requests:
                pass
