"""Prints the result of a run, as JSON or as a table, and returns its exit status."""

import json
from typing import Any


def finish(report: dict[str, Any], *, as_json: bool) -> int:
    """Print a report; 0 if nothing in it is wrong, else 1."""
    report = {**report, "holds": not report["wrong"]}
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        for name, value in report.items():
            print(f"{name.replace('_', ' '):32} {told(value)}")
    return 0 if report["holds"] else 1


def told(value: Any) -> str:
    """A value as readable text."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "nothing"
    return str(value)
