"""The files that people expect in a public repository exist, and agree with each other."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from darkroom.version import __version__
from jobs.version import version
from tests.conftest import ROOT

CHECK = str(Path(sys.executable).with_name("check-jsonschema"))


@pytest.mark.parametrize(
    ("schema", "name"),
    [("vendor.github-workflows", ".github/workflows/ci.yml"), ("vendor.dependabot", ".github/dependabot.yml")],
)
def test_what_github_reads_is_valid_by_its_schema(schema, name):
    done = subprocess.run([CHECK, "--builtin-schema", schema, ROOT / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_python_that_we_say_is_tested():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    tested = jobs["check"]["strategy"]["matrix"]["python"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert [f"Programming Language :: Python :: {one}" in project for one in tested] == [True] * 4
    assert {"run": ".ci/run", "env": {"PYTHON": "python"}} in jobs["check"]["steps"]


def test_the_version_is_the_same_everywhere():
    assert version() == __version__
    deployed = yaml.safe_load((ROOT / "deploy/base/kustomization.yaml").read_text(encoding="utf-8"))["images"]
    assert {image["newTag"] for image in deployed} == {__version__}
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {__version__} - " in changelog
    assert changelog.index("## Unreleased") < changelog.index(f"## {__version__} - ")
