"""Runs the compose file's processes on a machine without Docker: one edit from outside, then many slow clients.

`./dev bench compose [--quick] [--json]` starts what docker-compose.yml describes, with the same commands, environment
and files (see `tests/deploy/compose.py`), in production mode with keys. It needs nginx. It submits a job through the
proxy, follows its events and downloads the picture by its presigned link. Then 500 clients send headers slowly, 500
send bodies slowly and 200 read slowly, while normal requests continue at a fixed rate. Their error rate must be 0.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any

from benchmarks._compose import HASTY, composed
from benchmarks._machine import describe
from benchmarks._stack import more_files
from tests.deploy.outside import Size, slow_clients

FULL, QUICK = Size(500, 500, 200, 60.0), Size(10, 10, 5, 1.5)


def measure(size: Size, variables: Mapping[str, str]) -> dict[str, Any]:
    with composed(variables) as outside:
        containers = outside.stack.containers
        healthy = {name: each.is_healthy() for name, each in containers.items() if each.health}
        edit = outside.edit()
        slow = asyncio.run(slow_clients(outside, size))
    return {"machine": describe(), "healthy": healthy, "edit": edit, "slow_clients": slow}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="25 slow clients, two seconds, no engine")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    size, variables = (QUICK, HASTY) if arguments.quick else (FULL, {})
    if more_files() < 2 * (size.heads + size.bodies + size.reads) + 500:
        raise SystemExit("This needs more open files: see `ulimit -Hn`.")
    report = measure(size, variables)
    print(json.dumps(report, indent=1) if arguments.json else _shown(report))
    failed = report["slow_clients"]["beside"]["failed"]
    if failed:
        raise SystemExit(f"{failed} normal requests failed during the slow clients.")


def _shown(report: dict[str, Any]) -> str:
    return "\n".join(
        f"{part}\n" + "\n".join(f"  {name:22} {value}" for name, value in about.items())
        for part, about in report.items()
    )


if __name__ == "__main__":
    main()
