"""The parts of the project that the site shows are up to date."""

from web import networks


def test_the_networks_are_shown_as_the_code_builds_them():
    assert networks.FILE.read_text() == networks.document(), "run: .venv/bin/python web/networks.py"
