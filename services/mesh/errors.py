"""Typed errors: one `google.rpc.ErrorInfo` each, from whoever raises to whoever reads.

`MeshError` is what servicers raise and clients get; the status code follows from the reason. Never a driver's text, never a stack
trace. Knows nothing of where an error is raised: the error boundary interceptor sends it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from ragmesh.errors.v1 import reason_pb2

DOMAIN = "ragmesh"
_PREFIX = "ERROR_REASON_"
_DETAILS_KEY = "grpc-status-details-bin"
# A message travels twice in the trailers, and clients take 8 KiB of them: what is longer would arrive as a bare status.
_MAX_MESSAGE_BYTES = 1024
_Code = grpc.StatusCode

# The status code of each reason, as `proto/ragmesh/errors/v1/reason.proto` says in words; a test compares the two.
CODES: Mapping[str, grpc.StatusCode] = {
    "INVALID_REQUEST": _Code.INVALID_ARGUMENT,
    "MALFORMED_REQUEST": _Code.INVALID_ARGUMENT,
    "REQUEST_TOO_LARGE": _Code.RESOURCE_EXHAUSTED,
    "REQUEST_ID_REUSED": _Code.ALREADY_EXISTS,
    "PAGE_TOKEN_INVALID": _Code.INVALID_ARGUMENT,
    "UNAUTHENTICATED": _Code.UNAUTHENTICATED,
    "PERMISSION_DENIED": _Code.PERMISSION_DENIED,
    "PEER_NOT_ALLOWED": _Code.PERMISSION_DENIED,
    "CONVERSATION_NOT_FOUND": _Code.NOT_FOUND,
    "TURN_NOT_FOUND": _Code.NOT_FOUND,
    "EVIDENCE_NOT_FOUND": _Code.NOT_FOUND,
    "DOCUMENT_NOT_FOUND": _Code.NOT_FOUND,
    "COLLECTION_NOT_FOUND": _Code.NOT_FOUND,
    "ASSISTANT_NOT_FOUND": _Code.NOT_FOUND,
    "PASSAGE_GONE": _Code.NOT_FOUND,
    "RESUME_WINDOW_PASSED": _Code.FAILED_PRECONDITION,
    "SOURCE_NOT_FOUND": _Code.NOT_FOUND,
    "TURN_IN_PROGRESS": _Code.ABORTED,
    "TURN_INTERRUPTED": _Code.UNAVAILABLE,
    "TURN_NOT_FINISHED": _Code.FAILED_PRECONDITION,
    "CONVERSATION_FULL": _Code.FAILED_PRECONDITION,
    "TURN_TOO_LARGE": _Code.RESOURCE_EXHAUSTED,
    "DEADLINE_EXCEEDED": _Code.DEADLINE_EXCEEDED,
    "DEADLINE_REQUIRED": _Code.INVALID_ARGUMENT,
    "OVERLOADED": _Code.RESOURCE_EXHAUSTED,
    "RATE_LIMITED": _Code.RESOURCE_EXHAUSTED,
    "SERVICE_UNAVAILABLE": _Code.UNAVAILABLE,
    "MODEL_UNAVAILABLE": _Code.UNAVAILABLE,
    "DRAINING": _Code.UNAVAILABLE,
    "CANCELLED": _Code.CANCELLED,
    "INTERNAL": _Code.INTERNAL,
    "STORE_UNAVAILABLE": _Code.UNAVAILABLE,
    "METHOD_NOT_FOUND": _Code.UNIMPLEMENTED,
    "DOCUMENT_EMPTY": _Code.INVALID_ARGUMENT,
    "DOCUMENT_TOO_LARGE": _Code.INVALID_ARGUMENT,
    "MEDIA_TYPE_UNSUPPORTED": _Code.INVALID_ARGUMENT,
    "CHECKSUM_MISMATCH": _Code.INVALID_ARGUMENT,
    "DOCUMENT_UNREADABLE": _Code.INVALID_ARGUMENT,
    "DOCUMENT_QUARANTINED": _Code.FAILED_PRECONDITION,
    "IMPORT_OUT_OF_ORDER": _Code.INVALID_ARGUMENT,
    "EMBEDDER_CHANGED": _Code.FAILED_PRECONDITION,
    "DOCUMENT_ENCRYPTED": _Code.INVALID_ARGUMENT,
    "DOCUMENT_WITHOUT_TEXT": _Code.INVALID_ARGUMENT,
    "SIGNATURE_INVALID": _Code.UNAUTHENTICATED,
    "REFRESH_IN_PROGRESS": _Code.ABORTED,
    "SOURCE_UNREACHABLE": _Code.FAILED_PRECONDITION,
    "ADDRESS_NOT_ALLOWED": _Code.FAILED_PRECONDITION,
    "SOURCE_EMPTY": _Code.FAILED_PRECONDITION,
}

# Reasons that ask the caller to come back, with the wait in seconds where the raiser names none.
_RETRY_AFTER: Mapping[str, float] = {
    "OVERLOADED": 1.0,
    "RATE_LIMITED": 5.0,
    "SERVICE_UNAVAILABLE": 1.0,
    "MODEL_UNAVAILABLE": 1.0,
    "DRAINING": 1.0,
    "TURN_INTERRUPTED": 1.0,
    "STORE_UNAVAILABLE": 5.0,
}


class MeshError(Exception):
    """An error with a reason of `ragmesh.errors.v1.ErrorReason`.

    Args:
        reason: name of the reason without its prefix, for example `DOCUMENT_NOT_FOUND`.
        message: for a person: what is wrong and what to do. Cut at 1 KiB.
        metadata: what the reason's comment shows as its example.
        retry_after: seconds after which it is worth trying again.
        violations: (field path, description) pairs of a broken request.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        violations: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"{reason}: {message}")
        reason_pb2.ErrorReason.Value(_PREFIX + reason)  # raises ValueError for a reason that the contract does not have
        self.reason = reason
        self.message = message.encode()[:_MAX_MESSAGE_BYTES].decode(errors="ignore")
        self.metadata = dict(metadata or {})
        self.retry_after = _RETRY_AFTER.get(reason) if retry_after is None else retry_after
        self.violations = tuple(violations)

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status code of the reason."""
        return CODES[self.reason]

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return self.retry_after is not None

    def to_status(self) -> status_pb2.Status:
        """The error as it travels: `google.rpc.Status` with exactly one ErrorInfo."""
        details: list[any_pb2.Any] = []
        info = error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata)
        details.append(_pack(info))
        if self.violations:
            bad = error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=field, description=text) for field, text in self.violations
                ]
            )
            details.append(_pack(bad))
        if self.retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(int(self.retry_after * 1000))
            details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
        code: int = self.code.value[0]
        return status_pb2.Status(code=code, message=self.message, details=details)

    def to_grpc(self) -> grpc.Status:
        """The error as `context.abort_with_status` takes it."""
        status: grpc.Status = rpc_status.to_status(self.to_status())
        return status

    def to_rpc_error(self) -> grpc.aio.AioRpcError:
        """The error as a call ends with it; `from_rpc_error` reads it again."""
        trailing = grpc.aio.Metadata((_DETAILS_KEY, self.to_status().SerializeToString()))
        return grpc.aio.AioRpcError(self.code, grpc.aio.Metadata(), trailing, self.message)


def _pack(
    message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def from_status(status: status_pb2.Status) -> MeshError | None:
    """The typed error inside `status`, or None where it holds no ErrorInfo of this domain."""
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    found = False
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
            found = info.domain == DOMAIN and info.reason in CODES
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            detail.Unpack(retry)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            detail.Unpack(bad)
    if not found:
        return None
    wait = retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None
    violations = [(violation.field, violation.description) for violation in bad.field_violations]
    return MeshError(info.reason, status.message, metadata=info.metadata, retry_after=wait, violations=violations)


def from_rpc_error(error: grpc.aio.AioRpcError, *, service: str) -> MeshError:
    """The typed error that a call to `service` failed with; a bare status becomes the reason that its code stands for."""
    details = dict(error.trailing_metadata() or ()).get(_DETAILS_KEY)
    if isinstance(details, bytes):
        with contextlib.suppress(DecodeError):  # not ours then: the code says what it can
            typed = from_status(status_pb2.Status.FromString(details))
            if typed is not None:
                return typed
    code = error.code()
    if code is _Code.DEADLINE_EXCEEDED:
        return MeshError("DEADLINE_EXCEEDED", f"{service} did not answer in time", metadata={"service": service})
    if code is _Code.CANCELLED:
        return MeshError("CANCELLED", f"the call to {service} was cancelled", metadata={"service": service})
    if code is _Code.UNIMPLEMENTED:
        return MeshError("METHOD_NOT_FOUND", f"{service} does not serve this method", metadata={"service": service})
    if code is _Code.RESOURCE_EXHAUSTED:
        return MeshError("OVERLOADED", f"{service} has too much to do", metadata={"service": service})
    if code is _Code.UNAVAILABLE:
        return MeshError("SERVICE_UNAVAILABLE", f"{service} does not answer", metadata={"service": service})
    if code is _Code.INTERNAL:
        # A service of ours types its own defects. A bare INTERNAL is gRPC's word that the call broke off: so it calls the status of
        # a call that the other side ended while this side was writing to it.
        return MeshError("SERVICE_UNAVAILABLE", f"the call to {service} broke off", metadata={"service": service})
    return MeshError("INTERNAL", f"{service} failed", metadata={"service": service})
