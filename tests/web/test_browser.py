"""The site as people use it: Playwright's specs in web/e2e, in Chromium, on the real service."""

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

pytestmark = [pytest.mark.timeout(300)]


def holds(url: str, spec: Path, **environment: str) -> None:
    done = playwright(url, str(spec.relative_to(WEB)), **environment)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize("spec", sorted(E2E.glob("*.spec.ts")), ids=lambda spec: spec.name)
def test_the_site_does_what_its_spec_says(up: Up, chromium: str, spec: Path):
    holds(up.url, spec)


@pytest.mark.parametrize("spec", sorted(E2E.glob("with-keys/*.spec.ts")), ids=lambda spec: spec.name)
def test_and_where_keys_are_asked_for_too(settings: Settings, chromium: str, spec: Path, tmp_path: Path):
    locked = settings.model_copy(update={"auth": "on", "admin_key": SecretStr(KEY)})
    with web_tier(locked, tmp_path) as tier:
        holds(tier.url, spec, KEY=KEY)
