"""Writes docs/reference/licenses.md: what Darkroom ships, by whom it is, and under which license."""

import json
from collections.abc import Iterator
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from tables import table

ROOT = Path(__file__).parent.parent
PACKAGE = "darkroom-client"
SHIPPED = ("server", "worker", "credentials", "tracing", "diffusion", "local")

HEAD = """# Licenses and bill of materials

Darkroom is under the [Apache License 2.0](../../LICENSE). Operators make a bill of materials of an image as
they built it, in CycloneDX' format and with Debian's packages, by [the command in Operating](../operating.md).

- **The wheel `darkroom-client`** holds the client and the command line. It brings no other code along.
- **The image `darkroom-api`** is made of Debian bookworm and Python (`python:3.11-slim`), the packages of the
  extras `server`, `worker`, `credentials` and `tracing`, and the site.
- **The images `darkroom-worker-cpu` and `-cuda`** have the same packages, those of the extra `diffusion`, a C
  compiler, and the micro checkpoint.
- **`checkpoints/micro`** holds weights that were trained on pictures under free licenses, some of them CC
  BY-SA. [`ATTRIBUTION.md`](../../checkpoints/micro/ATTRIBUTION.md) names each picture, its author and its
  license.
- **`examples/`** holds photos with [their own credits](../../examples/CREDITS.md).

*This page is written by `python docs/reference.py`, from the packages that are installed and from
`web/package-lock.json`.*
"""


def page() -> str:
    """The page's text."""
    python = sorted(_python_packages(), key=lambda row: row[0].lower())
    return "\n".join(
        [
            HEAD,
            "## Python packages\n",
            table(("package", "license", "in the extras"), python),
            "## Packages in the site\n",
            table(("package", "version", "license"), sorted(_site_packages())),
        ]
    )


def _python_packages() -> Iterator[tuple[str, str, str]]:
    found: dict[str, set[str]] = {}
    for extra in SHIPPED:
        for name in _needed(PACKAGE, extra, set()):
            found.setdefault(name, set()).add(extra)
    for name, extras in found.items():
        yield name, license_of(name), ", ".join(sorted(extras))


def _needed(package: str, extra: str, seen: set[tuple[str, str]]) -> Iterator[str]:
    """The packages that an extra of a package brings along on this system, and theirs."""
    for requirement in map(Requirement, requires(package) or ()):
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for wanted in requirement.extras or {""}:
            if (requirement.name, wanted) not in seen:
                seen.add((requirement.name, wanted))
                if requirement.name != PACKAGE:
                    yield distribution(requirement.name).metadata["Name"]
                yield from _needed(requirement.name, wanted, seen)


def license_of(package: str) -> str:
    """A package's license by its own word: its expression, the classifiers of old, or the first line of the field."""
    about: Any = distribution(package).metadata
    if about["License-Expression"]:
        return str(about["License-Expression"])
    told = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or () if one.startswith("License ::")]
    return ", ".join(told) or str(about["License"] or "see the package").splitlines()[0][:60]


def _site_packages() -> Iterator[tuple[str, str, str]]:
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text(encoding="utf-8"))
    for path, package in lock["packages"].items():
        if path and not package.get("dev"):
            yield path.rpartition("node_modules/")[2], package["version"], package.get("license", "see the package")
