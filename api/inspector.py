"""Reads the content credentials of uploads in processes of their own, because native code parses them.

The program is similar to `jobs.decoder`: its children have the same limits, and open no connections, so nothing that a
manifest points to is fetched. It is started for the first picture with credentials.

A call is a line of JSON (`limits`, `task`, `content_type`, `trust`), then the picture. Back comes one line of JSON.
"""

import io
import json
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import c2pa
from PIL import Image

from jobs.decoder import UNREADABLE, Limits, Refused, kind_of, open_picture, refuse_from, run
from jobs.provenance import AI_SOURCES, CONTEXT, PARAMETER_PREFIX, InputCredentials, pixels_sha256

MOST_BYTES = 2**20  #: of the credentials that are kept for an input
MOST_REDACTIONS = 100
MOST_MANIFESTS = 32  #: manifests in a report, the newest first
MOST_ACTIONS = 32  #: actions of each manifest
LONGEST_TEXT = 200

#: The parts of an input's credentials that are kept: who did what to it, and what ties this to the picture. All other
#: parts are removed (metadata, thumbnails, data of cameras), because they may tell where, by whom and with what device
#: a photo was taken.
KEPT = ("c2pa.actions", "c2pa.hash.", "c2pa.ingredient", "c2pa.soft-binding", "c2pa.training-mining", "cawg.training-")


def keep(data: bytes, content_type: str) -> InputCredentials | None:
    """The part of a picture's credentials that its edit will carry. None: there is none that can be carried."""
    context = c2pa.Context.from_dict(CONTEXT)
    with c2pa.Reader(content_type, io.BytesIO(data), context=context) as reader:
        manifests = json.loads(reader.detailed_json())["manifests"]
    redactions = tuple(
        f"self#jumbf=/c2pa/{manifest}/c2pa.assertions/{assertion}"
        for manifest, told in manifests.items()
        for assertion in told["assertion_store"]
        if not assertion.startswith(KEPT)
    )
    archive = io.BytesIO()
    with c2pa.Builder({}, context=context) as builder:
        builder.add_ingredient({"relationship": "parentOf", "label": "input"}, content_type, io.BytesIO(data))
        builder.write_ingredient_archive("input", archive)
    if len(archive.getvalue()) > MOST_BYTES or len(redactions) > MOST_REDACTIONS:
        return None
    return InputCredentials(archive.getvalue(), redactions)


def check(data: bytes, content_type: str, trust: dict[str, str], limits: Limits) -> dict[str, Any]:
    """A report of a picture's credentials: what they say, whether they are valid, and whether they are trusted."""
    report: dict[str, Any] = {"state": "none", "problems": [], "manifests": [], "pixels_sha256": _pixels(data, limits)}
    try:
        context = c2pa.Context.from_dict({**CONTEXT, "trust": trust})
        with c2pa.Reader(content_type, io.BytesIO(data), context=context) as reader:
            said, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError as error:
        if not isinstance(error, c2pa.C2paError.ManifestNotFound):
            report |= {"state": "invalid", "problems": [{"code": "unreadable", "text": str(error)[:LONGEST_TEXT]}]}
        return report
    report["state"] = str(state).lower()
    report["problems"] = list(_problems(said.get("validation_results") or {}))[:MOST_ACTIONS]
    report["manifests"] = list(_history(said))
    return report


def _pixels(data: bytes, limits: Limits) -> str | None:
    """The digest of the pixels; None if the picture's format or size is not accepted."""
    refuse_from(limits.pixels)
    try:
        with open_picture(data, kind_of(data)) as image:
            return pixels_sha256(image) if image.width * image.height <= limits.pixels else None
    except (Refused, Image.DecompressionBombError, OverflowError, MemoryError, *UNREADABLE):
        return None


def _problems(results: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The problems of the newest manifest, and new problems of older ones."""
    found = [*(results.get("activeManifest") or {}).get("failure", [])]
    for delta in results.get("ingredientDeltas") or []:
        found += delta["validationDeltas"]["failure"]
    for one in found:
        yield {"code": _short(one["code"]), "text": _short(one.get("explanation"))}


def _history(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The manifests: the newest, then those of the pictures from which it was made."""
    label, seen = said.get("active_manifest"), set[Any]()
    while label in said["manifests"] and label not in seen and len(seen) < MOST_MANIFESTS:
        seen.add(label)
        manifest = said["manifests"][label]
        yield _manifest(manifest)
        parents = [one for one in manifest.get("ingredients", []) if one.get("relationship") == "parentOf"]
        label = parents[0].get("active_manifest") if parents else None


def _manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    signature = manifest.get("signature_info") or {}
    generators = manifest.get("claim_generator_info") or [{}]
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"].get("actions", [])
    ]
    ours: dict[str, str] = {}
    for action in actions:
        given = action.get("parameters") or {}
        ours |= {
            name.removeprefix(PARAMETER_PREFIX): _short(given[name])
            for name in given
            if name.startswith(PARAMETER_PREFIX)
        }
    return {
        "issuer": _short(signature.get("issuer")),
        "common_name": _short(signature.get("common_name")),
        "signed_at": signature.get("time"),
        "generator": _short(" ".join(str(generators[0].get(part) or "") for part in ("name", "version")).strip()),
        "actions": [_action(action) for action in actions[:MOST_ACTIONS]],
        "details": {name: ours[name] for name in sorted(ours)[:MOST_ACTIONS]},
    }


def _action(action: dict[str, Any]) -> dict[str, Any]:
    agent, source = action.get("softwareAgent"), str(action.get("digitalSourceType") or "")
    return {
        "action": _short(action.get("action")),
        "agent": _short(agent.get("name") if isinstance(agent, dict) else agent),
        "by_ai": source.rsplit("/", 1)[-1] in AI_SOURCES,
    }


def _short(text: Any) -> str:
    return "" if text is None else str(text)[:LONGEST_TEXT]


# ---- the program


def answer(call: socket.socket, *, others: socket.socket) -> int:
    """Read the credentials of the picture of one call. Returns the exit status."""
    others.close()
    with call.makefile("rb") as asked:
        head = json.loads(asked.readline())
        limits = Limits(**head["limits"])
        limits.impose()
        data = asked.read()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # no more files or connections can be opened
    report: dict[str, Any] = {}
    try:
        if head["task"] == "check":
            report = check(data, head["content_type"], head["trust"], limits)
        elif kept := keep(data, head["content_type"]):
            report = {"kept": kept.to_bytes().decode()}
    except (c2pa.C2paError, MemoryError, ValueError, LookupError, TypeError, AttributeError) as error:
        report = {"refused": f"cannot be read: {error}"[:LONGEST_TEXT]}
    signal.setitimer(signal.ITIMER_PROF, 0)  # the time limit must not interrupt the answer
    call.sendall(json.dumps(report).encode())
    return 0


def main(children: int) -> None:
    """Keep this many children running until the web tier exits."""
    Image.init()  # loads modules that Pillow would read from files, which a child may not open
    run(children, answer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
