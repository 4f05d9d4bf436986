"""A certificate authority for one mesh, and a SPIFFE certificate for each service and the edge.

P-256 keys, mode 0600. The authority's key is thrown away once it has signed: new certificates come with a new authority. Knows
nothing of who may call whom.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.errors import CliError
from cli.parts.files import write_atomically
from services.mesh.identity import SPIFFE_PREFIX
from services.mesh.settings import SERVICES

NAMES = (*SERVICES, "envoy")
_CLOCK_SKEW = dt.timedelta(minutes=5)


def issue(folder: Path, days: int) -> tuple[str, ...]:
    """Writes `ca.pem` and, for each of NAMES, `{name}.pem` and `{name}.key` into `folder`; returns NAMES.

    Raises:
        CliError: the folder cannot be written.
    """
    now = dt.datetime.now(dt.UTC)
    until = now + dt.timedelta(days=days)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key, now - _CLOCK_SKEW, until)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        for name in NAMES:
            key = ec.generate_private_key(ec.SECP256R1())
            leaf = _leaf(name, key, ca, ca_key, now - _CLOCK_SKEW, until)
            write_atomically(folder / f"{name}.key", _private(key))
            write_atomically(folder / f"{name}.pem", leaf.public_bytes(serialization.Encoding.PEM), mode=0o644)
        write_atomically(folder / "ca.pem", ca.public_bytes(serialization.Encoding.PEM), mode=0o644)
    except OSError as error:
        raise CliError(
            f"The certificates cannot be written to {folder}: {error.strerror}.", "Choose another with --dir."
        ) from error
    return NAMES


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _builder(subject: str, public: ec.EllipticCurvePublicKey, since: dt.datetime, until: dt.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(key: ec.EllipticCurvePrivateKey, since: dt.datetime, until: dt.datetime) -> x509.Certificate:
    builder = _builder("ragmesh CA", key.public_key(), since, until)
    builder = builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ragmesh CA")]))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_usage(authority=True), critical=True).sign(key, hashes.SHA256())


def _leaf(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    since: dt.datetime,
    until: dt.datetime,
) -> x509.Certificate:
    # gRPC compares a DNS name too (the target name override); SPIFFE asks for exactly one URI, and allows DNS names beside it.
    names = [x509.UniformResourceIdentifier(SPIFFE_PREFIX + name), x509.DNSName(name)]
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(name, key.public_key(), since, until).issuer_name(ca.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return builder.add_extension(issuer, critical=False).sign(ca_key, hashes.SHA256())
