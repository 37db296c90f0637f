"""`darkroom keys` against a real web tier that asks for keys."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from darkroom.cli.app import app
from darkroom.client import ADDRESS_FILE, KEY_FILE, Client
from darkroom.errors import DarkroomError, NotAllowed
from darkroom.local.stack import greeting
from tests.integration.test_access import ADMIN_KEY, locked  # noqa: F401 - a fixture
from tests.integration.test_events import serving

PHOTO = Path(__file__).parents[2] / "examples" / "mountains.jpg"


@pytest.fixture
def url(locked):  # noqa: F811
    with serving(locked) as http:
        yield str(http.base_url).rstrip("/")


@pytest.fixture
def data(tmp_path: Path, url: str) -> Path:
    """What `darkroom up --auth` leaves in its data folder."""
    (tmp_path / ADDRESS_FILE).write_text(url + "\n")
    (tmp_path / KEY_FILE).write_text(ADMIN_KEY)
    return tmp_path


def keys(*words: str, data: Path) -> Result:
    return CliRunner(env={"DARKROOM_URL": "", "DARKROOM_KEY": ""}).invoke(app, ["keys", *words, "--data", str(data)])


def test_a_key_is_made_used_listed_and_revoked(url, data):
    made = json.loads(keys("create", "laptop", "--tenant", "acme", "--scope", "read", "--json", data=data).output)
    assert (made["tenant"], made["scopes"], made["name"]) == ("acme", ["read"], "laptop")
    with Client(url, key=made["key"]) as client:
        assert client.jobs.list().data == []
        with pytest.raises(DarkroomError, match="submit"):
            client.jobs.create(b"x", "make it sepia")
        listing = keys("list", data=data).output
        assert all(word in listing for word in (made["id"], "acme", "read", "laptop"))
        assert made["key"] not in listing
        assert keys("revoke", made["id"], data=data).exit_code == 0
        assert keys("revoke", made["id"], data=data).exit_code == 4
        with pytest.raises(DarkroomError, match="key"):
            client.jobs.list()


def test_a_key_that_may_submit_only_cancels_and_sends_again(url, data):
    key = keys("create", "--scope", "submit", data=data).output.strip()
    with Client(url, key=key) as client:
        job = client.jobs.create(PHOTO, "make it sepia")
        assert client.jobs.cancel(job.id).status == "canceled"
        again = client.jobs.retry(job.id)
        assert again.id != job.id
        again.cancel()
        client.jobs.delete(again.id)
        with pytest.raises(NotAllowed, match="read"):
            client.jobs.get(job.id)


def test_a_key_without_wishes_submits_and_reads_for_the_default_tenant(url, data):
    key = keys("create", data=data).output.strip()
    assert key.startswith("dk_")
    with Client(url, data) as client:
        (told,) = client.keys.list()
    assert (told.tenant, told.scopes) == ("default", ["read", "submit"])


def test_the_key_of_a_data_folder_goes_to_its_own_service_only(url, data):
    (data / ADDRESS_FILE).write_text("http://127.0.0.1:1\n")
    with Client(url, data) as client, pytest.raises(DarkroomError, match="key"):
        client.jobs.list()


def test_the_environment_names_a_key(url, monkeypatch):
    monkeypatch.setenv("DARKROOM_KEY", ADMIN_KEY)
    with Client(url) as client:
        assert client.jobs.list().data == []


def test_a_client_that_asks_too_often_waits_as_it_is_told(locked):  # noqa: F811
    few = locked.model_copy(update={"reads_per_minute": 60})
    with serving(few) as http, Client(str(http.base_url), key=ADMIN_KEY) as client:
        started = time.monotonic()
        for _ in range(62):
            client.jobs.list()
        assert 0.5 < time.monotonic() - started < 10


def test_the_first_words_of_a_service_with_keys_name_the_key(tmp_path):
    assert f"-H \"Authorization: Bearer $(cat '{tmp_path}/admin_key')\"" in greeting("http://x", tmp_path / KEY_FILE)
    assert "Authorization" not in greeting("http://x")
