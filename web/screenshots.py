"""Pictures of every page, light, dark and on a phone, and of an edit on its way: to be looked at.

Start a service with `darkroom up`, then `.venv/bin/python -m web.screenshots [FOLDER]`.
"""

import argparse
import sys
from pathlib import Path

from darkroom.client import Client
from web.browser import playwright


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("screenshots"))
    parser.add_argument("--url", help="the service's address; else DARKROOM_URL, else the local one's")
    parser.add_argument("--data", default=".darkroom", help="the data folder of the local `darkroom up`")
    parser.add_argument("--only", default="", help="words of the titles of those wanted: `phone`, `/math`")
    arguments = parser.parse_args()
    with Client(arguments.url, arguments.data) as client:
        url = client.url
    done = playwright(url, "e2e/shots", "--grep", arguments.only, OUT=str(arguments.folder.absolute()))
    print(done.stdout, done.stderr)  # noqa: T201 - it is a command
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
