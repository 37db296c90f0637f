"""The whole service as users start it, for a browser."""

import os
from collections.abc import Iterator

import pytest

from tests.local_stack import Up
from web.browser import find_chromium
from web.build import SiteError


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("site") / "stack") as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser. Without one, tests that need it fail in CI; elsewhere they are skipped, with a message."""
    try:
        return find_chromium()
    except SiteError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
