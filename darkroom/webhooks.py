"""For receivers of webhooks: check that a message comes from the service (Standard Webhooks).

event = verify(request.body, request.headers, secret="whsec_...")
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from darkroom.errors import DarkroomError

TOLERANCE_SECONDS = 300


class InvalidSignature(DarkroomError):
    """The message does not come from the service, or is too old: answer 400 and ignore it."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    *,
    secret: str | None = None,
    jwks: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> dict[str, Any]:
    """The message in a webhook's body, signed by `secret` (`v1`), or by a key of `jwks` (`v1a`).

    `jwks` is what `/.well-known/jwks.json` answers. Messages older or younger than `tolerance` seconds do not count.

    Raises:
        InvalidSignature: no signature holds, or the time is off.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message, timestamp = given["webhook-id"], int(given["webhook-timestamp"])
        signatures = [part.partition(",") for part in given["webhook-signature"].split()]
    except (KeyError, ValueError):
        raise InvalidSignature("The headers webhook-id, webhook-timestamp and webhook-signature are needed.") from None
    if abs((time.time() if now is None else now) - timestamp) > tolerance:
        raise InvalidSignature(f"The message is not of the last {tolerance:g} seconds.")
    content = f"{message}.{timestamp}.".encode() + body
    ours = _holds(secret, content, [value for version, _, value in signatures if version == "v1"]) if secret else False
    if not ours and not _holds_public(jwks, content, [value for version, _, value in signatures if version == "v1a"]):
        raise InvalidSignature("No signature holds: another secret, or another body.")
    read: dict[str, Any] = json.loads(body)
    return read


def _holds(secret: str, content: bytes, signatures: Iterable[str]) -> bool:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256))
    return any(hmac.compare_digest(expected, signature.encode()) for signature in signatures)


def _holds_public(jwks: Mapping[str, Any] | None, content: bytes, signatures: Iterable[str]) -> bool:
    from cryptography import exceptions  # needed only for checks by public key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for jwk in (jwks or {}).get("keys", ()):
        if jwk.get("crv") != "Ed25519":
            continue
        key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "=="))
        for signature in signatures:
            try:
                key.verify(base64.b64decode(signature), content)
            except (exceptions.InvalidSignature, ValueError):  # it does not hold, or is not base64
                continue
            return True
    return False
