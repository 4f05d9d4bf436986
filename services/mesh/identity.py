"""Who calls: SPIFFE ids of services, principals of people, and the metadata that carries them.

Knows the wire names and how a certificate names a service; not who may call what (that is in each service's `peers`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping

import grpc
import orjson
import protovalidate
from google.protobuf.message import DecodeError
from ragmesh.identity.v1.principal_pb2 import Principal

from services.mesh.errors import MeshError
from services.mesh.settings import MeshSettings

PRINCIPAL_KEY = "x-ragmesh-principal-bin"
LISTENER_KEY = "x-ragmesh-listener"
CLAIMS_KEY = "x-ragmesh-claims"
SPIFFE_PREFIX = "spiffe://ragmesh/"
LOCAL = "local"
"""Name of a peer on a Unix socket: whoever may open the 0700 folder is one of us."""

DEFAULT_TENANT = "default"


def local_principal() -> Principal:
    """Who calls on the local listener: the owner of the machine."""
    return Principal(tenant=DEFAULT_TENANT, subject="users/local", roles=["visitor", "editor", "operator"])


def principal_metadata(principal: Principal) -> tuple[str, bytes]:
    """The metadata entry that carries `principal` between services."""
    return PRINCIPAL_KEY, principal.SerializeToString()


def _checked(found: Principal) -> Principal:
    try:
        protovalidate.validate(found)
    except protovalidate.ValidationError:
        raise MeshError("UNAUTHENTICATED", "the identity of the call breaks its rules", metadata={"scheme": "principal"}) from None
    return found


def principal_from_metadata(value: bytes) -> Principal:
    """The principal in a metadata entry.

    Raises:
        MeshError: UNAUTHENTICATED where it cannot be read or breaks a rule of its proto.
    """
    try:
        return _checked(Principal.FromString(value))
    except DecodeError:
        raise MeshError("UNAUTHENTICATED", "the identity of the call cannot be read", metadata={"scheme": "principal"}) from None


def principal_from_claims(payload: str) -> Principal:
    """The visitor behind the claims that the edge verified: base64url of the JWT's payload.

    Raises:
        MeshError: UNAUTHENTICATED where they cannot be read.
    """
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        subject = str(claims["sub"])
    except (binascii.Error, orjson.JSONDecodeError, KeyError, TypeError):
        raise MeshError("UNAUTHENTICATED", "the session cannot be read", metadata={"scheme": "bearer"}) from None
    return _checked(Principal(tenant=DEFAULT_TENANT, subject=subject, roles=["visitor"]))


def peer_name(peer: str, auth_context: Mapping[str, Iterable[bytes]]) -> str | None:
    """Name of the calling service: from its SPIFFE id, `local` on a Unix socket, None where it cannot be told."""
    for entry in auth_context.get("peer_spiffe_id", ()):
        text = entry.decode("ascii", "replace")
        if text.startswith(SPIFFE_PREFIX):
            return text.removeprefix(SPIFFE_PREFIX)
    if peer.startswith("unix:"):
        return LOCAL
    return None


def _read(settings: MeshSettings, name: str) -> tuple[bytes, bytes, bytes]:
    if settings.tls_dir is None:
        raise ValueError("tls_dir is not set")
    folder = settings.tls_dir
    return (
        (folder / f"{name}.key").read_bytes(),
        (folder / f"{name}.pem").read_bytes(),
        (folder / "ca.pem").read_bytes(),
    )


def server_credentials(settings: MeshSettings, service: str) -> grpc.ServerCredentials:
    """mTLS credentials of `service`, read again on each handshake so that new certificates need no restart."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        key, chain, ca = _read(settings, service)
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=ca)

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration, require_client_authentication=True)


def channel_credentials(settings: MeshSettings, service: str) -> grpc.ChannelCredentials:
    """mTLS credentials with which `service` calls others."""
    key, chain, ca = _read(settings, service)
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=chain)
