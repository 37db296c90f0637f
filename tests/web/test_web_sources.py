"""What the site shows of the rest of the project is as the rest of the project is now."""

from web import networks


def test_the_networks_are_shown_as_the_code_builds_them():
    assert networks.FILE.read_text() == networks.document(), "run: .venv/bin/python web/networks.py"
