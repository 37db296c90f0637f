"""Writes the pages of docs/reference/ from the code: `python docs/reference.py`; `--check` compares them instead."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import licenses
from tables import table

from api.main import create_app
from darkroom.calls import Sync
from darkroom.cli.app import app as commands
from darkroom.client import Client, Job
from darkroom.errors import DarkroomError
from jobs.metrics import BACKLOGS, COUNTERS, OF_MODELS, OF_STATUS
from jobs.settings import Settings
from pipeline.catalogue import MODELS

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
WRITTEN = "*This page is written by `python docs/reference.py`.*\n"
METRICS = {"Counter", "Gauge", "Histogram", "CounterMetricFamily", "GaugeMetricFamily", "HistogramMetricFamily"}
METRIC_TIERS = {"api": "the web tier", "jobs": "the web tier", "worker": "workers and keeper"}

FIRST_GROUPS = ("jobs", "pictures", "events", "webhooks", "models", "queue", "batches", "files", "uploads")

Schema = Mapping[str, Any]


# --- the HTTP API ----------------------------------------------------------------------------------------------------


def http_page() -> str:
    """Every operation, object, problem and message of the OpenAPI document."""
    document = create_app(Settings(_env_file=None)).openapi()
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(method.upper(), path, operation))
    sections = [
        f"## {name[0].upper()}{name[1:]}\n\n" + "\n".join(told) for name, told in sorted(groups.items(), key=_rank)
    ]
    messages = [_operation("POST", name, way["post"]) for name, way in document.get("webhooks", {}).items()]
    objects = [_object(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return "\n".join(
        [
            "# HTTP API\n",
            "Every operation, with its parameters, fields and answers. [The guide](../api.md) shows how to use them,",
            "[the page to try](/docs/try/) sends them, and `/openapi.json` is this page for programs.\n",
            WRITTEN,
            *sections,
            "## Messages to webhooks\n",
            "What the service posts to the address that a job, a batch or an endpoint names.\n",
            *messages,
            "## Objects\n",
            *objects,
            "## Problems\n",
            "Every error is a [Problem](#problem). Its `type` is `urn:darkroom:problem:` and one of these names:\n",
            table(("type", "status", "title"), _problems(document["paths"])),
        ]
    )


def _rank(group: tuple[str, Any]) -> tuple[int, str]:
    """The groups that most readers look for come first."""
    return (FIRST_GROUPS.index(group[0]) if group[0] in FIRST_GROUPS else len(FIRST_GROUPS)), group[0]


def _operation(method: str, path: str, operation: Schema) -> str:
    lines = [f"### {method} {path}\n", f"**{operation['summary']}.** {_plain(operation.get('description', ''))}\n"]
    if given := operation.get("parameters"):
        rows = [
            (f"`{one['name']}`", one["in"], _kind(one["schema"]), _plain(one.get("description", ""))) for one in given
        ]
        lines.append(table(("parameter", "in", "type", "what"), rows))
    bodies = operation.get("requestBody", {}).get("content", {})
    for place, (media, content) in enumerate(bodies.items()):
        if place == 0:
            lines += [f"Body, `{media}`:\n", _fields_or_link(content["schema"])]
        else:
            lines += [f"Body, `{media}`: the same, but for these. Null is the same as a field that is not sent.\n"]
            first, *_ = bodies.values()
            lines.append(table(("field", "type", "what"), _differing(content["schema"], first["schema"])))
    answers, refused = [], []
    for status, answer in operation["responses"].items():
        if status >= "400":
            refused += _names(answer)
            continue
        kinds = [_kind(content["schema"]) for content in answer.get("content", {}).values() if "schema" in content]
        description = answer["description"].replace("Successful Response", "")
        answers.append((status, ", ".join(kinds), _plain(description)))
    lines.append(table(("status", "answer", "when"), answers))
    if refused:
        lines.append(f"Problems: {', '.join(f'`{name}`' for name in sorted(set(refused)))}.\n")
    return "\n".join(lines)


def _names(answer: Schema) -> list[str]:
    return list(answer["content"]["application/problem+json"]["examples"])


def _problems(paths: Schema) -> list[tuple[str, str, str]]:
    found = set()
    for operations in paths.values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    examples = answer["content"]["application/problem+json"]["examples"]
                    found |= {(f"`{name}`", status, one["value"]["title"]) for name, one in examples.items()}
    return sorted(found)


def _object(name: str, schema: Schema) -> str:
    about = _plain(schema.get("description", ""))
    if "properties" in schema:
        return f"### {_title(name)}\n\n{about}\n\n{_fields_or_link(schema)}"
    return f"### {_title(name)}\n\n{about}\n\n{_kind(schema)}\n"


def _fields_or_link(schema: Schema) -> str:
    return table(("field", "type", "what"), _fields(schema)) if "properties" in schema else f"{_kind(schema)}\n"


def _fields(schema: Schema) -> list[tuple[str, str, str]]:
    needed = schema.get("required", ())
    return [
        (f"`{name}`" + ("" if name in needed or "const" in field else " (optional)"), _kind(field), _about(field))
        for name, field in schema["properties"].items()
    ]


def _differing(schema: Schema, from_schema: Schema) -> list[tuple[str, str, str]]:
    """The fields that differ between two objects. A field that may be null in one of them counts as the same."""
    known = _fields(from_schema)
    fields = [(name, kind.removesuffix(" or null"), about) for name, kind, about in _fields(schema)]
    return [field for field in fields if field not in known]


def _about(field: Schema) -> str:
    """A field's description, which is inside the schema if the field may be null, and its default."""
    inside = next((kind for kind in field.get("anyOf", ()) if kind.get("description")), field)
    default = field.get("default", inside.get("default"))
    told = [_plain(field.get("description") or inside.get("description", ""))]
    if default not in (None, "", [], {}) and "const" not in field:
        told.append(f"Default: `{str(default).lower() if isinstance(default, bool) else default}`.")
    return " ".join(filter(None, told))


def _kind(schema: Schema) -> str:
    """A schema's type in words, with its limits; an object is a link."""
    if "$ref" in schema:
        name = _title(schema["$ref"].rpartition("/")[2])
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(kind) for kind in schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        items = schema.get("items") or {}
        return f"list of {_kind(items)}{_limits(schema)}" if items else f"list{_limits(schema)}"
    return {"date-time": "time", "binary": "file"}.get(schema.get("format", ""), kind) + _limits(schema)


def _limits(schema: Schema) -> str:
    low = next((schema[key] for key in ("minimum", "minLength", "minItems") if key in schema), None)
    high = next((schema[key] for key in ("maximum", "maxLength", "maxItems") if key in schema), None)
    unit = " characters" if "minLength" in schema or "maxLength" in schema else ""
    if low is None and high is None:
        return ""
    if low is None or high is None:
        return f", at least {low}{unit}" if high is None else f", at most {high}{unit}"
    return f", {low} to {high}{unit}"


def _title(name: str) -> str:
    return name.removesuffix("View") or name


# --- the client library ----------------------------------------------------------------------------------------------


def client_page() -> str:
    """Every public name of the client library, with its signature and its docstring."""
    lines = [
        "# Python client\n",
        "`from darkroom import Client, AsyncClient`. `AsyncClient` has the same methods, to be awaited.\n",
        WRITTEN,
    ]
    rooms = {name: type(part) for name, part in vars(Client("http://127.0.0.1:1")).items() if _is_ours(part)}
    for name, kind in (("Client", Client), *((f"client.{name}", kind) for name, kind in rooms.items()), ("Job", Job)):
        lines += [f"## {name}\n", _docstring(kind), ""]
        if name == "Client":
            lines += [_signature("Client", Client), ""]
        for method, function in _public(kind):
            call = f"{'job' if kind is Job else name.lower() if kind is Client else name}.{method}"
            signature = [_signature(call, function), ""] if callable(function) else []
            lines += [f"### {call}\n", *signature, _docstring(function), ""]
    return "\n".join([*lines, "## Errors\n", table(("class", "meaning"), _errors(DarkroomError))])


def _is_ours(part: Any) -> bool:
    return isinstance(part, Sync)


def _public(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in inspect.getmembers(kind):
        if not name.startswith(("_", "send", "kind")) and (callable(member) or isinstance(member, property)):
            yield name, member


def _docstring(of: Any) -> str:
    """A docstring as Markdown. Sections such as `Args:` and `Raises:` become lists."""
    lines, listed = [], False
    for line in (inspect.getdoc(of) or "").splitlines():
        if re.fullmatch(r"(Args|Raises|Returns|Yields):", line):
            lines.append(f"{line}\n")
            listed = True
        elif listed and re.match(r"    \S", line):
            lines.append(f"- {line.strip()}")
        else:
            lines.append(line.strip() and f"  {line.strip()}" if listed else line)
    return "\n".join(lines)


def _signature(name: str, function: Any) -> str:
    given = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    text, star = [], False
    for one in given:
        if one.kind is one.KEYWORD_ONLY and not star:
            text.append("*")
            star = True
        kind = getattr(one.annotation, "__forward_arg__", one.annotation)
        told = f": {kind}" if kind is not inspect.Parameter.empty else ""
        text.append(f"{one.name}{told}" + ("" if one.default is one.empty else f" = {one.default!r}"))
    whole = f"{name}({', '.join(text)})"
    if len(whole) > 100:
        whole = f"{name}(\n    " + ",\n    ".join(text) + ",\n)"
    return f"```python\n{whole}\n```"


def _errors(kind: type) -> Iterator[tuple[str, str]]:
    yield f"`{kind.__name__}`", _plain(inspect.getdoc(kind) or "")
    for one in sorted(kind.__subclasses__(), key=lambda each: each.__name__):
        yield from _errors(one)


# --- the command line ------------------------------------------------------------------------------------------------


def command_page() -> str:
    """Every command with its arguments and options."""
    lines = ["# Command line\n", "[Ten sessions](../cli.md) show the commands at work.\n", WRITTEN]
    for name, command in _commands(commands, "darkroom"):
        context = click.Context(command, info_name=name)
        pieces = " ".join(command.collect_usage_pieces(context))
        lines += [f"## {name}\n", f"`{name} {pieces}`\n", _plain(command.help or ""), ""]
        options = [one.get_help_record(context) for one in command.get_params(context)]
        if rows := [(f"`{record[0]}`", _plain(record[1])) for record in options if record]:
            lines.append(table(("option", "what"), rows))
    return "\n".join(lines)


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for word, one in sorted(command.commands.items()):
            yield from _commands(one, f"{name} {word}")
    elif not command.hidden:
        yield name, command


# --- metrics and models ----------------------------------------------------------------------------------------------


def metrics_page() -> str:
    """All metrics, by the process that serves them."""
    lines = [
        "# Metrics\n",
        "The web tier has them at `/metrics`, workers at `WORKER_METRICS_PORT`, the keeper at `KEEPER_METRICS_PORT`.",
        "Prometheus adds `_total` to the name of a counter, `_bucket`, `_sum` and `_count` to that of a histogram.\n",
        WRITTEN,
    ]
    for tier in dict.fromkeys(METRIC_TIERS.values()):
        folders = [folder for folder, of in METRIC_TIERS.items() if of == tier]
        rows = [row for folder in folders for file in (ROOT / folder).rglob("*.py") for row in _metrics(file)]
        rows = sorted(rows + (list(_counted()) if "jobs" in folders else []))
        lines += [f"## {tier[0].upper()}{tier[1:]}\n", table(("metric", "kind", "what"), dict.fromkeys(rows))]
    return "\n".join(lines)


def _metrics(file: Path) -> Iterator[tuple[str, str, str]]:
    """The metrics that a source file makes by a call with a name and a sentence."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in METRICS:
            texts = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
            if len(texts) == 2:
                yield f"`{texts[0]}`", node.func.id.removesuffix("MetricFamily").lower(), texts[1]


def _counted() -> Iterator[tuple[str, str, str]]:
    """The metrics that jobs/metrics.py makes from its tables."""
    yield from ((f"`darkroom_jobs_{name}`", "gauge", text) for name, text in OF_STATUS.items())
    yield from ((f"`darkroom_model_{name}`", "gauge", text) for name, text in OF_MODELS.items())
    yield from ((f"`darkroom_{name}`", "gauge", text) for name, text in BACKLOGS.items())
    yield from ((f"`{name}`", "counter", text) for name, text, _ in COUNTERS.values())


def models_page() -> str:
    """The parameters of the six models that come with the project."""
    lines = [
        "# Models and their parameters\n",
        "The models that a worker serves unless it is told otherwise. `GET /v1/models` has those that are served now,",
        "each with its parameters as JSON Schema. [Models](../models.md) tells how to add one.\n",
        WRITTEN,
    ]
    for name, model in MODELS.items():
        lines += [f"## {name}\n", model.summary, ""]
        rows = [
            (f"`{one.name}`", _range(one), "" if one.default in (None, "") else f"`{one.default}`", one.summary)
            for one in model.parameters
        ]
        lines.append(table(("parameter", "values", "default", "what"), rows))
    return "\n".join(lines)


def _range(parameter: Any) -> str:
    if parameter.choices:
        return " or ".join(f"`{choice}`" for choice in parameter.choices)
    unit = " characters" if parameter.kind == "string" else ""
    return f"{parameter.minimum} to {parameter.maximum}{unit}" if parameter.maximum is not None else parameter.kind


# --- all of them -----------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """A docstring on one line, for the cell of a table."""
    return " ".join(textwrap.dedent(text).split()).replace("|", "\\|")


PAGES = {
    "http.md": http_page,
    "client.md": client_page,
    "command-line.md": command_page,
    "metrics.md": metrics_page,
    "models.md": models_page,
    "licenses.md": licenses.page,
}


def main() -> None:
    stale = []
    for name, page in PAGES.items():
        file, text = FOLDER / name, page().rstrip() + "\n"
        if sys.argv[1:] != ["--check"]:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif name == "licenses.md" and sys.version_info[:2] != (3, 11):
            continue  # other versions of Python need other packages
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        sys.exit(f"docs/reference: {', '.join(stale)} is stale: run .venv/bin/python docs/reference.py")


if __name__ == "__main__":
    main()
