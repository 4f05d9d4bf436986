"""Typed errors on their way: what goes in comes out, and what is not ours becomes ours."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata

from services.mesh.errors import CODES, DOMAIN, MeshError, from_rpc_error, from_status


def _rpc_error(code: grpc.StatusCode, status: status_pb2.Status | None = None) -> AioRpcError:
    trailing = Metadata(("grpc-status-details-bin", status.SerializeToString())) if status else Metadata()
    return AioRpcError(code, Metadata(), trailing, "a driver's own words")


@pytest.mark.parametrize("reason", sorted(CODES))
def test_every_reason_goes_round(reason: str) -> None:
    sent = MeshError(reason, "what to do", metadata={"a": "b"}, violations=[("texts[1]", "too long")])
    got = from_rpc_error(_rpc_error(sent.code, sent.to_status()), service="guard")
    assert (got.reason, got.message, got.metadata) == (reason, "what to do", {"a": "b"})
    assert got.violations == (("texts[1]", "too long"),)
    assert got.retry_after == sent.retry_after
    assert got.code is sent.code is CODES[reason]


def test_a_status_has_one_info_and_only_the_details_it_needs() -> None:
    plain = MeshError("DOCUMENT_NOT_FOUND", "x").to_status()
    assert [detail.TypeName() for detail in plain.details] == ["google.rpc.ErrorInfo"]
    info = error_details_pb2.ErrorInfo()
    plain.details[0].Unpack(info)
    assert (info.domain, info.reason) == (DOMAIN, "DOCUMENT_NOT_FOUND")
    loaded = MeshError("OVERLOADED", "x", retry_after=1.25, violations=[("a", "b")]).to_status()
    assert [detail.TypeName() for detail in loaded.details] == [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.RetryInfo",
    ]


def test_a_reason_that_the_contract_does_not_have() -> None:
    with pytest.raises(ValueError, match="NO_SUCH_REASON"):
        MeshError("NO_SUCH_REASON", "x")


def test_a_wait_of_nothing_is_a_wait() -> None:
    assert MeshError("OVERLOADED", "x", retry_after=0).retryable
    assert not MeshError("INTERNAL", "x").retryable


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
        (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
        (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_FOUND"),
        (grpc.StatusCode.INTERNAL, "SERVICE_UNAVAILABLE"),
        (grpc.StatusCode.UNKNOWN, "INTERNAL"),
        (grpc.StatusCode.DATA_LOSS, "INTERNAL"),
    ],
)
def test_a_bare_status_becomes_typed(code: grpc.StatusCode, reason: str) -> None:
    error = from_rpc_error(_rpc_error(code), service="guard")
    assert (error.reason, error.metadata) == (reason, {"service": "guard"})
    assert "driver" not in error.message


def test_an_error_of_another_domain_is_not_ours() -> None:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="INTERNAL", domain="example.com"))
    status = status_pb2.Status(code=14, message="x", details=[packed])
    assert from_status(status) is None
    assert from_rpc_error(_rpc_error(grpc.StatusCode.UNAVAILABLE, status), service="guard").reason == "SERVICE_UNAVAILABLE"


def test_a_reason_of_a_newer_release_is_read_by_its_code() -> None:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="INVENTED_LATER", domain=DOMAIN))
    status = status_pb2.Status(code=14, message="x", details=[packed])
    assert from_rpc_error(_rpc_error(grpc.StatusCode.UNAVAILABLE, status), service="guard").reason == "SERVICE_UNAVAILABLE"


def test_details_that_cannot_be_read_are_passed_over() -> None:
    error = AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(("grpc-status-details-bin", b"\xff\xff")), "x")
    assert from_rpc_error(error, service="guard").reason == "SERVICE_UNAVAILABLE"


def test_an_endless_message_is_cut_so_that_the_trailers_fit() -> None:
    status = MeshError("INVALID_REQUEST", "ä" * 100_000).to_status()
    assert len(status.message.encode()) <= 1024
    assert status.message
