"""Writes docs/configuration.md from jobs/settings.py and .env.example: `python docs/configuration.py`."""

import re
from pathlib import Path
from typing import Any

from jobs.settings import Settings

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / ".env.example"
PAGE = ROOT / "docs" / "configuration.md"

HEAD = """# Configuration

Every setting of the service is an environment variable, or a line of a `.env` file in the folder where a process
starts; the environment takes precedence. All processes read the same settings; an empty value means the default. An
invalid value stops the process with an error that names it. [Operating](operating.md) explains the most important
settings, and [`.env.example`](../.env.example) is a file to start from.

*This page is written by `python docs/configuration.py`.*
"""
OTHERS = """
## Variables of libraries and tools

| variable | read by | what |
| --- | --- | --- |
| `PROMETHEUS_MULTIPROC_DIR` | the web tier | a folder in which several processes on one port share their metrics |
| `FORWARDED_ALLOW_IPS` | the web tier (uvicorn) | proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted |
| `OTEL_EXPORTER_OTLP_ENDPOINT` | all | the receiver of traces, OTLP over HTTP (extra `tracing`) |
| `DARKROOM_URL`, `DARKROOM_KEY` | the command line and the client | the address of the service, and a key |
| `CHROME_PATH` | the tests of the site | the browser |
| `PYTHON`, `TORCH` | `./dev` | the Python of a new `.venv`; `cuda` or `cpu`, PyTorch's build |
"""


def sections(text: str) -> list[tuple[str, list[str]]]:
    """The sections of an example file, each with the names that it sets."""
    found: list[tuple[str, list[str]]] = [("the mode", [])]
    for line in text.splitlines():
        if line.startswith("# --- "):
            found.append((line.removeprefix("# --- "), []))
        elif name := re.match(r"(?:# )?([A-Z0-9_]+)=", line):
            found[-1][1].append(name[1])
    return found


def values(schema: dict[str, Any]) -> str:
    """The possible values of a setting, in words."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    kind = kinds[0]
    if "enum" in kind:
        return " or ".join(f"`{value}`" for value in kind["enum"])
    if kind.get("format") == "password":
        least = kind.get("minLength")
        return f"a secret of {least} characters or more" if least else "a secret"
    words = {"integer": "a whole number", "number": "a number", "boolean": "`true` or `false`", "string": "text"}[
        kind["type"]
    ]
    limits = {"exclusiveMinimum": "above {}", "minimum": "at least {}", "maximum": "at most {}"}
    told = [text.format(f"{kind[limit]:,g}") for limit, text in limits.items() if limit in kind]
    return f"{words}, {', '.join(told)}" if told else words


def default_of(name: str) -> str:
    value = Settings.model_fields[name].get_default()
    plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    return "" if plain in (None, "") else f"`{plain}`"


def composed(text: str) -> list[str]:
    """Rows for the variables that only docker compose reads: each comment with the variables below it."""
    rows, said = [], ""
    for line in text.splitlines()[1:]:
        if line.startswith("# "):
            said = line.removeprefix("# ")
        elif "=" in line:
            name, _, value = line.partition("=")
            rows.append(f"| `{name}` | {f'`{value}`' if value else ''} | {said} |")
    return rows


def page() -> str:
    """The text of the page."""
    own, alone = EXAMPLE.read_text(encoding="utf-8").split("# --- only docker compose")
    schema = Settings.model_json_schema()["properties"]
    lines = [HEAD]
    for title, names in sections(own):
        lines += [
            f"## {title[0].upper()}{title[1:]}",
            "",
            "| variable | default | values | what |",
            "| --- | --- | --- | --- |",
        ]
        for name in names:
            about = schema[name.lower()]
            told = about["description"][0].upper() + about["description"][1:]
            lines.append(f"| `{name}` | {default_of(name.lower())} | {values(about)} | {told} |")
        lines.append("")
    lines += ["## Docker compose only", "", "| variable | default | what |", "| --- | --- | --- |", *composed(alone)]
    return "\n".join(lines) + "\n" + OTHERS


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
