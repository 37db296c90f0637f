"""A certificate authority and a certificate for tests, and pictures signed by others."""

import io
from pathlib import Path
from typing import Any

import c2pa
from PIL import Image

from darkroom.local.authority import Authority
from jobs.provenance import CONTEXT

SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def authority_in(folder: Path) -> Authority:
    authority = Authority(folder)
    authority.prepare()
    return authority


def picture(kind: str, size: tuple[int, int] = (96, 64), **options: Any) -> bytes:
    """A small photo-like picture."""
    data = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(data, kind, **options)
    return data.getvalue()


def read(data: bytes, content_type: str, trusted: Authority | None = None) -> c2pa.Reader:
    """The public reader, which trusts only this authority."""
    trust = {"trust_anchors": trusted.root.read_text()} if trusted else {}
    return c2pa.Reader(content_type, io.BytesIO(data), context=c2pa.Context.from_dict({**CONTEXT, "trust": trust}))


def camera_photo(camera: Authority) -> bytes:
    """A JPEG as a camera signs it: with a thumbnail, the place and the camera's number in its manifest."""
    exif = {"@context": {"exif": "http://ns.adobe.com/exif/1.0/"}}
    manifest = {
        "claim_generator_info": [{"name": "A camera", "version": "1"}],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [CREATED]}},
            {"label": "stds.exif", "kind": "Json", "data": {**exif, "exif:GPSLatitude": "48,GPS-IN-EXIF"}},
            {"label": "c2pa.metadata", "kind": "Json", "data": {**exif, "exif:BodySerialNumber": "SERIAL-IN-METADATA"}},
            {"label": "com.camera.place", "data": {"place": "GPS-OF-VENDOR"}},
        ],
    }
    key, certificate = camera.key.read_bytes(), camera.certificate.read_bytes()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", certificate, key, None))
    context = c2pa.Context(c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": True}}}), signer)
    signed = io.BytesIO()
    c2pa.Builder(manifest, context=context).sign("image/jpeg", io.BytesIO(photo_with_exif()), signed)
    return signed.getvalue()


CREATED = {"action": "c2pa.created", "digitalSourceType": SOURCES + "digitalCapture"}


def photo_with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "MAKER-IN-EXIF"
    exif.get_ifd(0x8825)[29] = "GPS-DATE-IN-EXIF"
    exif.get_ifd(0x8769)[0xA431] = "SERIAL-IN-EXIF"
    return picture("JPEG", exif=exif.tobytes(), comment="COMMENT-IN-JPEG")


def elsewhere(camera: Authority, address: str) -> bytes:
    """A JPEG that says that its manifest is at this address."""
    key, certificate = camera.key.read_bytes(), camera.certificate.read_bytes()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", certificate, key, None))
    builder = c2pa.Builder({"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [CREATED]}}]})
    builder.set_no_embed()
    builder.set_remote_url(address)
    signed = io.BytesIO()
    builder.sign(signer, "image/jpeg", io.BytesIO(picture("JPEG")), signed)
    return signed.getvalue()
