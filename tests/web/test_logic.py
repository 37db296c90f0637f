"""The site's own unit tests, and its type check."""

import pytest

from web.browser import node
from web.build import SiteError, generate_client, run

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module", autouse=True)
def client() -> None:
    """The generated typed client, which the whole site uses."""
    generate_client(node())


def holds(*command: str) -> None:
    try:
        run(node(), *command)
    except SiteError as error:
        pytest.fail(str(error))


def test_vitest_passes():
    holds("node_modules/vitest/vitest.mjs", "run")


def test_types_hold():
    holds("node_modules/typescript/bin/tsc", "--noEmit")


def test_rules_of_hooks_hold_and_imports_point_one_way():
    holds("node_modules/@biomejs/biome/bin/biome", "lint", "--error-on-warnings")
