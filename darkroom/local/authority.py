"""The certificate authority of one installation, for operators who have no certificate from another authority."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT_DAYS = 3650
LEAF_DAYS = 730
RENEWED_DAYS = 365  #: `darkroom up` makes a new certificate from the same authority after this many days
EARLIER = dt.timedelta(hours=1)  #: the certificate is valid this much earlier, for clocks that are behind ours


@dataclass(frozen=True)
class Authority:
    """The certificates of an installation, in a folder; only their owner can read the two keys."""

    folder: Path

    @property
    def root(self) -> Path:
        """The authority's certificate: give it to whoever should trust our pictures."""
        return self.folder / "ca.pem"

    @property
    def root_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def certificate(self) -> Path:
        """The certificate that signs pictures."""
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        return self.folder / "cert.key"

    @property
    def settings(self) -> dict[str, str]:
        """The settings that tell the service where the certificates are."""
        return {
            "CREDENTIALS_CERT": str(self.certificate.absolute()),
            "CREDENTIALS_KEY": str(self.key.absolute()),
            "CREDENTIALS_TRUST": str(self.root.absolute()),
        }

    def prepare(self) -> None:
        """Make what is missing, and a new certificate when the old one is a year old."""
        files = (self.root, self.certificate, self.key)
        whole = all(file.exists() for file in files)
        if not whole or time.time() - self.certificate.stat().st_mtime > RENEWED_DAYS * 86_400:
            self.renew()

    def renew(self) -> None:
        """Make a new certificate and its key, and first the authority if there is none."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.root.exists() and self.root_key.exists()):
            self._found()
        root = x509.load_pem_x509_certificate(self.root.read_bytes())
        root_key = cast(ec.EllipticCurvePrivateKey, load_pem_private_key(self.root_key.read_bytes(), None))
        key = ec.generate_private_key(ec.SECP256R1())
        signing = (
            _begun(_named(root, "Content credentials"), root.subject, key, LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
                ),
                critical=False,
            )
            .sign(root_key, hashes.SHA256())
        )
        _write(self.key, _pem(key), 0o600)
        _write(self.certificate, signing.public_bytes(Encoding.PEM), 0o644)

    def _found(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Darkroom {secrets.token_hex(4)}"),
                x509.NameAttribute(NameOID.COMMON_NAME, "Self-made authority"),
            ]
        )
        root = (
            _begun(name, name, key, ROOT_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write(self.root_key, _pem(key), 0o600)
        _write(self.root, root.public_bytes(Encoding.PEM), 0o644)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(root: x509.Certificate, name: str) -> x509.Name:
    """The authority's organization under another common name."""
    (organization,) = root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    ).split()
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(file: Path, data: bytes, mode: int) -> None:
    """Replace the file in one step, so that a crash leaves the old one, or none."""
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as written:
        written.write(data)
    part.replace(file)
