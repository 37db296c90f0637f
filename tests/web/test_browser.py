"""The site as people use it: Playwright's tests in web/e2e, in Chromium, against the real service."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from jobs.settings import Settings
from tests.local_stack import Up
from tests.web_tier import web_tier
from web.browser import playwright
from web.build import WEB

E2E = WEB / "e2e"
KEY = "the admin key of these tests, 32+"

SPECS, SPECS_WITH_KEYS = sorted(E2E.glob("*.spec.ts")), sorted(E2E.glob("with-keys/*.spec.ts"))

pytestmark = pytest.mark.timeout(600)


def hold(url: str, specs: list[Path], **environment: str) -> None:
    """All tests in one run, because each start of Playwright and of a browser takes seconds."""
    assert specs
    done = playwright(url, *(str(spec.relative_to(WEB)) for spec in specs), **environment)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_site_does_what_its_specs_say(up: Up, chromium: str) -> None:
    hold(up.url, SPECS)


def test_and_where_keys_are_asked_for_too(settings: Settings, chromium: str, tmp_path: Path) -> None:
    locked = settings.model_copy(update={"auth": "on", "admin_key": SecretStr(KEY)})
    with web_tier(locked, tmp_path) as tier:
        hold(tier.url, SPECS_WITH_KEYS, KEY=KEY)


@pytest.mark.slow  # 24 edits, one after the other
def test_what_people_type_gets_a_true_answer(up: Up, chromium: str) -> None:
    hold(up.url, sorted(E2E.glob("slow/*.spec.ts")))
