"""Runs the site in a real browser: Playwright's own runner, with the system's Chromium.

The headless shell is preferred. It is the same browser without windows, and takes a third less processor time.
"""

import os
import shutil
import subprocess
from pathlib import Path

from web.build import WEB, SiteError, find_node, install

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def find_chromium() -> str:
    """The browser that CHROME_PATH names, or one that is found.

    Raises:
        SiteError: there is none; the text says how to get one.
    """
    found = os.environ.get("CHROME_PATH") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found and MAC.exists():
        found = str(MAC)
    if not found:
        raise SiteError("There is no Chromium here: apt install chromium-headless-shell, or name one with CHROME_PATH.")
    return found


def node() -> Path:
    """A Node with the site's packages installed.

    Raises:
        SiteError: there is none, or the packages cannot be fetched.
    """
    found = find_node()
    if found is None:
        raise SiteError("There is no Node here that is new enough: ./dev test installs one.")
    install(found)
    return found


def playwright(url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Playwright's tests against the service at `url`; `arguments` choose which."""
    command = [str(node()), "node_modules/@playwright/test/cli.js", "test", *arguments]
    variables = {**os.environ, "DARKROOM": url, "CHROME_PATH": find_chromium(), **environment}
    return subprocess.run(command, cwd=WEB, env=variables, capture_output=True, text=True, check=False)
