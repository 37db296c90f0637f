"""The certificate that signs outputs, and what makes its signatures: a key or a command of the operator."""

import logging
import shlex
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

log = logging.getLogger(__name__)

COMMAND_SECONDS = 10.0  #: time limit of CREDENTIALS_COMMAND for one signature
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
LEAST_RSA_BITS = 2048


class CredentialsError(Exception):
    """The settings do not name a working signer. The text is one sentence that names the setting to change."""


class Certificate:
    """A certificate and the chain behind it, from the text of CREDENTIALS_CERT.

    Raises:
        CredentialsError: it cannot be read, is not valid today, is signed by itself, or has a key unknown to C2PA.
    """

    def __init__(self, text: str) -> None:
        try:
            self._chain = x509.load_pem_x509_certificates(_pem_of(text, "CREDENTIALS_CERT"))
        except ValueError as error:
            raise CredentialsError("CREDENTIALS_CERT has no certificate in PEM.") from error
        self.leaf = self._chain[0]
        self.expires = self.leaf.not_valid_after_utc
        self.algorithm = _algorithm(self.leaf)
        if self.leaf.issuer == self.leaf.subject:
            raise CredentialsError(
                "CREDENTIALS_CERT is signed by itself, which C2PA does not allow: an authority has to."
            )
        now = datetime.now(UTC)
        if now > self.expires:
            raise CredentialsError(f"CREDENTIALS_CERT has expired on {self.expires:%Y-%m-%d}: renew it.")
        if now < self.leaf.not_valid_before_utc:
            raise CredentialsError(f"CREDENTIALS_CERT is not valid before {self.leaf.not_valid_before_utc:%Y-%m-%d}.")

    @property
    def issuer(self) -> str:
        """The organization that the certificate names, otherwise its common name."""
        for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
            for attribute in self.leaf.subject.get_attributes_for_oid(kind):
                return str(attribute.value)
        return "unknown"

    @property
    def pem(self) -> str:
        """The whole chain in PEM, with the signing certificate first."""
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in self._chain)

    def key(self, text: str) -> bytes:
        """Its private key, from the text of CREDENTIALS_KEY, as PKCS 8.

        Raises:
            CredentialsError: it cannot be read, or is another certificate's.
        """
        try:
            key = load_pem_private_key(_pem_of(text, "CREDENTIALS_KEY"), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CredentialsError("CREDENTIALS_KEY has no private key in PEM, without a passphrase.") from error
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if key.public_key().public_bytes(*form) != self.leaf.public_key().public_bytes(*form):
            raise CredentialsError("CREDENTIALS_KEY is not the key of CREDENTIALS_CERT.")
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def asking(self, command: str) -> Callable[[bytes], bytes]:
        """Make a function that signs with a command: bytes to its input, the signature from its output."""

        def sign(data: bytes) -> bytes:
            asked = subprocess.run(shlex.split(command), input=data, capture_output=True, timeout=COMMAND_SECONDS)
            if asked.returncode or not asked.stdout:
                said = asked.stderr.decode(errors="replace")[-500:]
                raise OSError(f"CREDENTIALS_COMMAND ended with status {asked.returncode}: {said}")
            return self._plain(asked.stdout)

        return sign

    def _plain(self, signature: bytes) -> bytes:
        """Convert a signature from DER, which openssl and clouds use, to C2PA's form: the two numbers side by side."""
        key = self.leaf.public_key()
        size = (key.curve.key_size + 7) // 8 if isinstance(key, ec.EllipticCurvePublicKey) else 0
        if not size or len(signature) == 2 * size:
            return signature
        return b"".join(number.to_bytes(size, "big") for number in utils.decode_dss_signature(signature))


def _algorithm(leaf: x509.Certificate) -> str:
    """C2PA's name of the algorithm that goes with the certificate's key."""
    key = leaf.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS:
        return "PS256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ED25519"
    known = "P-256, P-384, P-521, Ed25519, or RSA of 2048 bits"
    raise CredentialsError(f"CREDENTIALS_CERT has a key that C2PA does not know: take {known}.")


def _pem_of(text: str, setting: str) -> bytes:
    """The PEM text of a setting, which is that text or names a file."""
    if text.lstrip().startswith("-----BEGIN"):
        return text.encode()
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise CredentialsError(f"{setting} names a file that cannot be read: {error.strerror}.") from error
