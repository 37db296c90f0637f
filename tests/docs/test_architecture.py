"""The map of the code names what is there: every path that it names exists, and every package has a line."""

import re

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PATHS = set(re.findall(r"`([\w./-]+/[\w./-]*)`", PAGE))


def test_every_path_on_the_page_exists():
    folders = [ROOT, ROOT / "jobs", ROOT / "tests"]
    assert not [path for path in PATHS if not any((folder / path).exists() for folder in folders)]


def test_every_package_has_a_line():
    roots = ("api", "jobs", "worker", "pipeline", "darkroom", "training")
    packages = {str(file.parent.relative_to(ROOT)) for root in roots for file in (ROOT / root).rglob("__init__.py")}
    of_dialects = {package for package in packages if package.startswith("api/dialects/")}
    assert not [package for package in packages - of_dialects if f"| `{package}/` |" not in PAGE]
