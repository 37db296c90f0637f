"""Takes screenshots of every page, light, dark and on a phone, and of a running edit, for review.

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
    parser.add_argument("--url", help="the service's address (default: DARKROOM_URL, otherwise the local service)")
    parser.add_argument("--data", default=".darkroom", help="the data folder of the local `darkroom up`")
    parser.add_argument("--only", default="", help="only titles with these words, such as `phone` or `/math`")
    arguments = parser.parse_args()
    with Client(arguments.url, arguments.data) as client:
        url = client.url
    done = playwright(url, "e2e/shots", "--grep", arguments.only, OUT=str(arguments.folder.absolute()))
    print(done.stdout, done.stderr)  # noqa: T201 - it is a command
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
