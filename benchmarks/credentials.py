"""Measures what content credentials cost for an output: `./dev bench credentials [--quick] [--json]`.

An example photo is encoded as the worker encodes outputs, and signed with a certificate made for this run. Each format
is signed as the first edit of a photo without credentials, and as the third edit in a row, whose manifest contains the
two before it. `ms` is the median time of signing alone, `bytes` the growth of the file. `read_ms` is the median time of
reading and validating the credentials, as the check does.
"""

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import c2pa
from PIL import Image
from pydantic import SecretStr

from api.inspector import keep
from benchmarks._machine import describe
from darkroom.local.authority import Authority
from jobs.provenance import CONTEXT, InputCredentials
from jobs.settings import Settings
from worker.credentials import Edit, OutputSigner
from worker.encoding import encode

PHOTO = Path(__file__).parents[1] / "examples" / "mountains.jpg"
FORMATS = ("png", "jpeg", "webp", "avif")
MOST_MS, MOST_BYTES = 25, 20_000  #: the most that a first edit of 512 pixels may cost


def signer() -> OutputSigner:
    """A signer with its own certificate."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        authority.prepare()
        given: dict[str, Any] = {
            "credentials_cert": authority.certificate.read_text(encoding="ascii"),
            "credentials_key": SecretStr(authority.key.read_text(encoding="ascii")),
        }
        return OutputSigner(Settings(_env_file=None, **given))


def encoded(picture: Image.Image, kind: str) -> tuple[bytes, str]:
    """Encode as the worker does."""
    if kind != "avif":
        return encode(picture, kind)
    data = io.BytesIO()
    picture.save(data, "AVIF")
    return data.getvalue(), "image/avif"


def an_edit(photo: bytes, credentials: InputCredentials | None = None) -> Edit:
    return Edit("0" * 26, "pix2pix-full", "micro 7", 7, "make it sunset", photo, "image/jpeg", "0" * 64, credentials)


def after_two(signer: OutputSigner, photo: bytes) -> InputCredentials | None:
    """The credentials of a photo that was edited twice."""
    credentials = None
    for _ in range(2):
        signed = signer.sign(photo, "image/jpeg", an_edit(photo, credentials))
        credentials = keep(signed, "image/jpeg")
    return credentials


def median_ms(call: Callable[[], object], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        spent.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(spent), 2)


def measured(side: int, rounds: int) -> Iterator[dict[str, Any]]:
    picture = Image.open(PHOTO).convert("RGB").resize((side, side))
    photo, _ = encode(picture, "jpeg")
    sign, context = signer(), c2pa.Context.from_dict(CONTEXT)
    for history, credentials in (("first", None), ("third", after_two(sign, photo))):
        edit = an_edit(photo, credentials)
        for kind in FORMATS:
            data, content_type = encoded(picture, kind)
            signed = sign.sign(data, content_type, edit)

            def read(signed: bytes = signed, content_type: str = content_type) -> object:
                return c2pa.Reader(content_type, io.BytesIO(signed), context=context).get_validation_state()

            yield {
                "edit": history,
                "format": kind,
                "side": side,
                "file_bytes": len(data),
                "bytes": len(signed) - len(data),
                "ms": median_ms(lambda: sign.sign(data, content_type, edit), rounds),  # noqa: B023 - called at once
                "read_ms": median_ms(read, rounds),
            }


def show(entry: dict[str, Any]) -> None:
    grows = f"{entry['file_bytes']:9} bytes + {entry['bytes']:6}"
    print(f"{entry['edit']:6} {entry['format']:5} {entry['side']:5} px {grows}   {entry['ms']:7.2f} ms", end="   ")
    print(f"read {entry['read_ms']:7.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds of a small picture")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sides, rounds = ((256,), 2) if arguments.quick else ((512, 1024), 50)
    entries = [entry for side in sides for entry in measured(side, rounds)]
    if arguments.json:
        print(json.dumps({"machine": describe(), "entries": entries}, indent=1))
        return
    for entry in entries:
        show(entry)
    dear = [one for one in entries if one["edit"] == "first" and one["side"] <= 512]
    within = all(one["ms"] <= MOST_MS and one["bytes"] <= MOST_BYTES for one in dear)
    print(
        f"A first edit up to 512 px costs {'at most' if within else 'MORE than'} {MOST_MS} ms and {MOST_BYTES} bytes."
    )
    print(describe())


if __name__ == "__main__":
    main()
