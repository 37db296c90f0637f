"""What both tiers share of content credentials (C2PA). Nothing here loads the native library."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Self

from PIL import Image

PARAMETER_PREFIX = "org.darkroom."  #: the prefix of our own parameters of an action
#: IPTC's digital source types of pictures that a trained model had a part in.
AI_SOURCES = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")
AI_EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

#: Settings of c2pa: fetch nothing, put no thumbnail into a manifest, look up no identity.
CONTEXT: dict[str, Any] = {
    "version": 1,
    "builder": {"thumbnail": {"enabled": False}},
    "core": {"decode_identity_assertions": False, "allowed_network_hosts": []},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
}


@dataclass(frozen=True)
class InputCredentials:
    """An upload's credentials: c2pa's archive of them, and the assertions that must not be passed on.

    `redactions` are the addresses (JUMBF URIs) of assertions with private data, which go when an output is signed.
    """

    archive: bytes
    redactions: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """As it is stored beside the input."""
        said = {"redactions": self.redactions, "archive": base64.b64encode(self.archive).decode()}
        return json.dumps(said).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What was stored so.

        Raises:
            ValueError, KeyError, TypeError: it was not.
        """
        said = json.loads(data)
        return cls(base64.b64decode(said["archive"]), tuple(said["redactions"]))


def pixels_sha256(picture: Image.Image) -> str:
    """SHA-256 of a picture's pixels: their red, green and blue bytes, row by row."""
    return hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()
