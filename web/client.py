"""Writes web/openapi.json, from which the site's client is generated: `.venv/bin/python web/client.py`.

With `--check` it writes nothing, and fails if the file is out of date.
"""

import json
import sys
from pathlib import Path
from typing import Any

from api.main import create_app
from jobs.settings import Settings

FILE = Path(__file__).with_name("openapi.json")


def document() -> str:
    """Our OpenAPI document for the client's generator, without examples and problems."""
    spec = create_app(Settings(_env_file=None)).openapi()
    for operations in spec["paths"].values():
        for operation in operations.values():
            answers = operation["responses"]
            operation["responses"] = {status: answer for status, answer in answers.items() if status < "400"}
    return json.dumps(_without_examples(spec), indent=1, sort_keys=True) + "\n"


def _without_examples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_examples(v) for key, v in value.items() if key not in ("example", "examples")}
    return [_without_examples(v) for v in value] if isinstance(value, list) else value


if __name__ == "__main__":
    if sys.argv[1:] != ["--check"]:
        FILE.write_text(document(), encoding="utf-8")
    elif document() != FILE.read_text(encoding="utf-8"):
        sys.exit("web/openapi.json is out of date: run .venv/bin/python web/client.py")
