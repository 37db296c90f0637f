"""Content credentials (C2PA), as far as both tiers share them. Nothing here loads the native library."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Self

from PIL import Image

PARAMETER_PREFIX = "org.darkroom."  #: what the names of our own parameters of an action begin with
#: Of the names that IPTC has for where a picture comes from, those in which a trained model had a hand.
AI_SOURCES = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")
AI_EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

#: Of c2pa's contexts: nothing is fetched, no picture goes into a manifest, nobody's identity is looked up.
CONTEXT: dict[str, Any] = {
    "version": 1,
    "builder": {"thumbnail": {"enabled": False}},
    "core": {"decode_identity_assertions": False, "allowed_network_hosts": []},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
}


@dataclass(frozen=True)
class InputCredentials:
    """The credentials that an upload came with: c2pa's archive of them, and what of them may not be passed on.

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
