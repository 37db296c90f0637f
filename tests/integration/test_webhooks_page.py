"""docs/webhooks.md is right: its commands run, and its lines distinguish genuine messages from forged ones."""

import json
import os
import re
import subprocess

import pytest
from cryptography.exceptions import InvalidSignature
from standardwebhooks import Webhook

from jobs.settings import Settings
from tests.conftest import ROOT
from tests.integration.test_events import serving
from tests.integration.test_webhooks import keeper
from tests.receivers import receiving
from tests.waiting import until

PAGE = (ROOT / "docs" / "webhooks.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def run(script: str, **environment: str) -> list[dict]:
    """The JSON answers to the commands of a script."""
    script = script.replace("\\\n", " ").replace("\ncurl", "\necho\ncurl")
    done = subprocess.run(["bash", "-ec", script], env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line]


def test_a_consumer_can_follow_the_page(hooks, monkeypatch, store, tmp_path, jpeg):
    (tmp_path / "photo.jpg").write_bytes(jpeg)
    monkeypatch.chdir(tmp_path)
    _, ask, secret, care = blocks("sh")
    check, receiver_in_flask, check_public = blocks("python")
    assert len([line for line in check.splitlines() if line]) <= 12
    with receiving() as receiver:
        settings = hooks(receiver)
        with serving(settings) as http, keeper(settings):
            base = str(http.base_url).rstrip("/")
            job, endpoint = run(ask.replace("https://you.example", receiver.url), DARKROOM=base)
            store.cancel(job["id"], "default")
            until(lambda: len(receiver.requests) == 2)
            (own,) = run(secret, DARKROOM=base)
            listed, tested, told, rotated, *_ = run(care, DARKROOM=base, ID=endpoint["id"])
            keys = http.get("/.well-known/jwks.json").json()["keys"]
    assert [one["id"] for one in listed["data"]] == [endpoint["id"]]
    assert tested["id"] in {one["id"] for one in told["data"]}
    assert rotated["secret"] != endpoint["secret"]
    secrets = {"default": own["secret"], endpoint["id"]: endpoint["secret"]}
    page: dict = {"__name__": "receiver"}
    exec(check + check_public + receiver_in_flask, page)  # noqa: S102 - the page's own lines
    flask = page["app"].test_client()
    for request in receiver.requests[:2]:
        which = request.headers["webhook-id"].rpartition("_")[2]
        monkeypatch.setenv("WEBHOOK_SECRET", secrets[which])
        assert page["verify"](request.headers, request.body)
        assert not page["verify"](request.headers, request.body + b" ")
        assert not page["verify"]({**request.headers, "webhook-timestamp": "1"}, request.body)
        page["verify_public"](request.headers, request.body, keys)
        with pytest.raises(InvalidSignature):
            page["verify_public"](request.headers, request.body + b" ", keys)
        assert flask.post("/darkroom", headers=request.headers, data=request.body).status_code == 204
        assert flask.post("/darkroom", headers=request.headers, data=request.body + b" ").status_code == 400
        message = Webhook(secrets[which]).verify(request.body, dict(request.headers))
        assert message["data"]["id"] == job["id"]


def test_the_schedule_on_the_page_is_the_default():
    said = re.search(r"tried again after (.*?), each", PAGE, re.DOTALL)
    assert said is not None
    units = {"s": 1, "min": 60, "h": 3600}
    delays = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", said[1])]
    assert delays == list(Settings(_env_file=None).webhook_delays)
