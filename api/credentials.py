"""Reads content credentials for the web tier, in processes that a picture may crash (`inspector.py`)."""

import importlib.util
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from api.photos import limits_of, refuse_larger
from jobs.decoder import Refused, kind_of
from jobs.decoders import decoders
from jobs.errors import FieldError, InvalidPicture, Unavailable
from jobs.settings import Settings

log = logging.getLogger(__name__)

MARKS = (b"c2pa", b"C2PA")  #: every file with credentials has one of these
KINDS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF")  #: formats whose credentials are read
KINDS_IN_WORDS = "a JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF file"
ORGANIZATION, COMMON = NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME


class Credentials:
    """Reads the credentials of pictures, a few at a time."""

    def __init__(self, settings: Settings) -> None:
        self._limits = limits_of(settings)
        self._max_bytes = settings.max_upload_bytes
        self._off = settings.credentials == "off"
        self._trust = {"trust_anchors": settings.credentials_trust, "allowed_list": settings.credentials_cert}
        self._decoders = decoders(settings.decoders, "api.inspector")

    def keep(self, data: bytes) -> bytes | None:
        """The part of an upload's credentials that is stored for its edit. None: there is nothing to store."""
        if self._off or not any(mark in data for mark in MARKS) or not can_read():
            return None
        try:
            answer = self._ask("keep", data)
        except (Unavailable, InvalidPicture) as error:
            log.warning("an input's credentials are not kept: %s", error)
            return None
        if "refused" in answer:
            log.info("an input's credentials are not kept: they %s", answer["refused"])
        return answer["kept"].encode() if "kept" in answer else None

    def check(self, data: bytes) -> dict[str, Any]:
        """What a picture's credentials say (see `inspector.check`).

        Raises:
            PictureTooLarge: more bytes than `MAX_UPLOAD_BYTES`.
            InvalidPicture: none of `KINDS`, or too much work.
            Unavailable: too many pictures are being read, or this installation cannot read credentials.
        """
        refuse_larger(data, self._max_bytes, "image")
        if not can_read():
            raise Unavailable("This service is installed without c2pa-python, which reads credentials.")
        answer = self._ask("check", data)
        if "refused" in answer:
            raise InvalidPicture(f"The picture {answer['refused']}.", FieldError("image", answer["refused"]))
        return answer

    def are_ours(self, manifest: dict[str, Any]) -> bool:
        """Whether a trusted manifest has the same signer as our own certificate."""
        text = pem(self._trust["allowed_list"])
        if not text:
            return False
        subject = x509.load_pem_x509_certificate(text.encode()).subject
        names = {kind: [one.value for one in subject.get_attributes_for_oid(kind)] for kind in (ORGANIZATION, COMMON)}
        return manifest["issuer"] in names[ORGANIZATION] and manifest["common_name"] in names[COMMON]

    def _ask(self, task: str, data: bytes) -> dict[str, Any]:
        head = {"limits": asdict(self._limits), "task": task, "content_type": content_type_of(data)}
        head["trust"] = {name: text for name, value in self._trust.items() if (text := pem(value))}
        return self._decoders.ask(head, data)[0]


def can_read() -> bool:
    """Whether the library that reads credentials is installed. It is not loaded here."""
    return importlib.util.find_spec("c2pa") is not None


def content_type_of(data: bytes) -> str:
    """
    Raises:
        InvalidPicture: a format whose credentials we do not read.
    """
    try:
        kind = kind_of(data)
    except Refused:
        kind = ""
    if kind not in KINDS:
        wanted = f"must be {KINDS_IN_WORDS}"
        raise InvalidPicture(f"The picture {wanted}.", FieldError("image", wanted))
    return f"image/{kind.lower()}"


def pem(value: str) -> str:
    """A setting in PEM, or the file that it names. It is read anew each time, because certificates are renewed."""
    return value if not value or value.lstrip().startswith("-----BEGIN") else Path(value).read_text(encoding="ascii")
