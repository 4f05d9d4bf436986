"""Names of peers and the metadata of principals; the rest is seen on real calls in tests/service/mesh."""

from __future__ import annotations

import pytest
from ragmesh.identity.v1.principal_pb2 import Principal

from services.mesh import context
from services.mesh.errors import MeshError
from services.mesh.identity import LOCAL, PRINCIPAL_KEY, local_principal, peer_name, principal_from_metadata, principal_metadata


@pytest.mark.parametrize(
    ("peer", "auth", "name"),
    [
        ("unix:", {}, LOCAL),
        ("unix:/somewhere", {}, LOCAL),
        ("ipv4:127.0.0.1:5000", {}, None),
        ("ipv4:127.0.0.1:5000", {"peer_spiffe_id": [b"spiffe://ragmesh/guard"]}, "guard"),
        ("ipv4:127.0.0.1:5000", {"peer_spiffe_id": [b"spiffe://elsewhere/guard"]}, None),
        ("ipv4:127.0.0.1:5000", {"peer_spiffe_id": [b"\xff"]}, None),
        ("ipv4:127.0.0.1:5000", {"x509_common_name": [b"guard"]}, None),
    ],
)
def test_who_calls(peer: str, auth: dict[str, list[bytes]], name: str | None) -> None:
    assert peer_name(peer, auth) == name


def test_a_principal_goes_round() -> None:
    principal = Principal(tenant="acme", subject="users/ada", roles=["editor"], labels=["legal"])
    key, value = principal_metadata(principal)
    assert key == PRINCIPAL_KEY
    assert key.endswith("-bin"), "gRPC carries bytes only under such a name"
    assert principal_from_metadata(value) == principal


def test_the_context_gives_back_what_was_there() -> None:
    with context.as_principal(local_principal()):
        assert context.principal().subject == "users/local"
        with context.as_principal(Principal(tenant="t", subject="s")):
            assert context.principal().subject == "s"
        assert context.require_role("editor").subject == "users/local"
    with pytest.raises(MeshError) as caught:
        context.principal()
    assert caught.value.reason == "UNAUTHENTICATED"


def test_outside_of_a_call_there_is_time_and_no_id() -> None:
    assert context.remaining() == float("inf")
    assert context.request_id() == ""
