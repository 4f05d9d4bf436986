"""Certificates for tests: one authority, and a certificate with a SPIFFE id for each name."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs for one trust domain."""

    def __init__(self, domain: str = "ragmesh") -> None:
        self._domain = domain
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = (
            self._builder("authority", self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(self, name: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("authority"))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
        )

    def write(self, folder: Path, *names: str) -> Path:
        """`ca.pem`, and `{name}.pem` and `{name}.key` for each of `names`."""
        folder.mkdir(exist_ok=True)
        pem = serialization.Encoding.PEM
        (folder / "ca.pem").write_bytes(self._certificate.public_bytes(pem))
        for name in names:
            key = ec.generate_private_key(ec.SECP256R1())
            names_of = [x509.UniformResourceIdentifier(f"spiffe://{self._domain}/{name}"), x509.DNSName(name)]
            certificate = (
                self._builder(name, key.public_key())
                .add_extension(x509.SubjectAlternativeName(names_of), critical=False)
                .sign(self._key, hashes.SHA256())
            )
            (folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
            private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            (folder / f"{name}.key").write_bytes(private)
        return folder
