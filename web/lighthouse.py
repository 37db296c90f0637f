"""Measures the site with Lighthouse on a simulated phone. Fails if a score is below our minimum.

Start a service with `darkroom up`, then `.venv/bin/python -m web.lighthouse [PAGE ...]`. The first page is measured
five times, because some scores vary, and the medians count. Other pages are measured once, for the scores that do not
vary.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from darkroom.client import Client
from web.browser import find_chromium, node
from web.build import npm

LIGHTHOUSE = "lighthouse@13.5.0"  # downloaded when needed, because it is large and nothing else uses it
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
METRICS = ("first-contentful-paint", "largest-contentful-paint", "total-blocking-time", "cumulative-layout-shift")
AT_LEAST = {"performance": 0.85, "accessibility": 1.0, "best-practices": 1.0}
LAYOUT_SHIFT = 0.05


def measure(url: str, folder: Path) -> dict[str, float]:
    """One run: the scores of the categories, and the metrics in milliseconds (the layout shift has no unit)."""
    report = folder / "report.json"
    found = node()
    command = [
        *npm(found),
        "exec",
        "--yes",
        LIGHTHOUSE,
        "--",
        url,
        "--quiet",
        "--output=json",
        f"--output-path={report}",
    ]
    chrome = "--chrome-flags=--headless=new --no-sandbox --disable-dev-shm-usage"
    environment = {**os.environ, "CHROME_PATH": find_chromium(), "PATH": f"{found.parent}:{os.environ['PATH']}"}
    subprocess.run([*map(str, command), chrome], env=environment, check=True, cwd=folder, timeout=240)
    told: dict[str, Any] = json.loads(report.read_text())
    for name in CATEGORIES[1:3]:
        for reference in told["categories"][name]["auditRefs"]:
            audit = told["audits"][reference["id"]]
            if reference["weight"] and audit["score"] not in (1, None):
                print(f"  {name}: {audit['title']} ({reference['id']})")  # noqa: T201 - it is a command
    scores = {name: told["categories"][name]["score"] for name in CATEGORIES}
    return scores | {name: told["audits"][name]["numericValue"] for name in METRICS}


def failures(middle: dict[str, float]) -> list[str]:
    low = [f"{name} {middle[name]:.2f} < {least}" for name, least in AT_LEAST.items() if middle[name] < least]
    shift = middle["cumulative-layout-shift"]
    return low + ([f"layout shift {shift:.3f} > {LAYOUT_SHIFT}"] if shift > LAYOUT_SHIFT else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", default=["/"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--url", help="the service's address (default: DARKROOM_URL, otherwise the local service)")
    parser.add_argument("--data", default=".darkroom", help="the data folder of the local `darkroom up`")
    arguments = parser.parse_args()
    with Client(arguments.url, arguments.data) as client, tempfile.TemporaryDirectory() as folder:
        wrong = []
        for page in arguments.pages:
            count = arguments.runs if page == "/" else 1
            runs = [measure(client.url + page, Path(folder)) for _ in range(count)]
            middle = {name: median(run[name] for run in runs) for name in (*CATEGORIES, *METRICS)}
            print(page, ", ".join(f"{name} {value:.2f}" for name, value in middle.items()))  # noqa: T201
            wrong += [f"{page}: {failure}" for failure in failures(middle)]
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
