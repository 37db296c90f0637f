"""The packages that we tell people to install are those that we test with. PyPI's `darkroom` is another project."""

import re
import subprocess

from tests.conftest import ROOT

INSTALLS = re.compile(r"(?:pip|uv) (?:install|add|tool install)((?: +(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s`'\"|;&)]+))+)")
TESTED = {"torch", *re.findall(r"^(\S+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)}
WITH_A_VALUE = {"-c", "-r", "-p", "--extra", "--group", "--python"}


def places() -> list[str]:
    """All text files that people read, and code that prints instructions."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    kinds = (".md", ".py", ".ts", ".tsx", ".html", ".yml", ".yaml", ".toml", ".cff", "dev", "Dockerfile")
    return [name for name in listed.stdout.splitlines() if name.endswith(kinds) and not name.startswith("tests/")]


def named(text: str) -> list[str]:
    """The packages that a text installs from an index by name, without files, folders or variables."""
    found = []
    for arguments in INSTALLS.findall(text):
        words = iter(arguments.replace("'", "").replace('"', "").split())
        for word in words:
            if word in WITH_A_VALUE:
                next(words, None)
            elif re.match(r"[a-zA-Z]", word) and not word.endswith(".whl") and "/" not in word:
                found.append(re.split(r"[\[=<>~!;,.:]", word)[0].lower())
    return found


def test_what_is_named_is_found():
    assert named("`pip install 'darkroom[local]'` or uv pip install -q -c constraints.txt fastapi==1") == [
        "darkroom",
        "fastapi",
    ]
    assert named("pip install . && pip install -e '.[server]' dist/it-1-py3-none-any.whl") == []


def test_every_package_that_is_named_is_one_that_we_test_with():
    """Our own is not among them until it is published, because its name belongs to nobody or to a stranger."""
    strangers = {name: found for name in places() if (found := set(named((ROOT / name).read_text("utf-8"))) - TESTED)}
    assert strangers == {}
