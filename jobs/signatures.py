"""Signatures of webhooks, by Standard Webhooks: `v1` (HMAC-SHA256, a shared secret) and `v1a` (Ed25519, a public key).

The signed text is `id.timestamp.body`, so that an old message or another body cannot be mistaken for this one.
"""

import base64
import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "whsec_"


def new_secret() -> str:
    """A new secret to share with one receiver: 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """The `v1` signature of one attempt."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed_content(message, timestamp, body), hashlib.sha256)).decode()


def signed_content(message: str, timestamp: int, body: bytes) -> bytes:
    """The text that both signatures sign."""
    return f"{message}.{timestamp}.".encode() + body


class SigningKey:
    """The key pair of the service. Anybody may fetch its public half."""

    def __init__(self, seed: bytes) -> None:
        """`seed`: 32 bytes, to be kept secret."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @staticmethod
    def new_seed() -> bytes:
        return secrets.token_bytes(32)

    def sign(self, message: str, timestamp: int, body: bytes) -> str:
        """The `v1a` signature of one attempt."""
        return "v1a," + base64.b64encode(self._key.sign(signed_content(message, timestamp, body))).decode()

    def jwk(self) -> dict[str, str]:
        """The public half as a JSON Web Key (RFC 8037); its id is its thumbprint (RFC 7638)."""
        x = _url_safe(self._key.public_key().public_bytes_raw())
        thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
        return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": _url_safe(thumbprint), "use": "sig", "alg": "EdDSA"}


def _url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
