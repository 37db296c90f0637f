"""Every answer names the id under which its request is logged."""

import json

import httpx
import pytest

from tests.integration.conftest import submit
from tests.web_tier import web_tier


def test_a_fair_name_is_kept_and_any_other_gets_a_new_one(client):
    assert client.get("/v1/queue", headers={"X-Request-Id": "shop-17.a_b"}).headers["X-Request-Id"] == "shop-17.a_b"
    fresh = [client.get("/v1/queue").headers["X-Request-Id"] for _ in range(2)]
    assert len(set(fresh)) == 2
    for unfair in ("two words", "x" * 65, "a;b", ""):
        named = client.get("/v1/queue", headers={"X-Request-Id": unfair}).headers["X-Request-Id"]
        assert named != unfair
        assert named.isalnum()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/jobs/nothing", 404),
        ("PUT", "/v1/jobs", 405),
        ("GET", "/v1/jobs?limit=0", 422),
        ("GET", "/v1/no/such/route", 404),
    ],
)
def test_problems_have_one_too(client, method, path, status):
    answer = client.request(method, path, headers={"X-Request-Id": "mine"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (status, "mine")


def test_a_job_remembers_the_request_that_made_it(client, jpeg, store):
    job = submit(client, jpeg)
    again = client.post(f"/v1/jobs/{job['id']}/cancel", headers={"X-Request-Id": "another"})
    assert again.status_code == 202
    made = client.post(f"/v1/jobs/{job['id']}/retry", headers={"X-Request-Id": "one-more"}).json()
    assert len(store.get(job["id"], "default").request_id) == 32
    assert store.get(made["id"], "default").request_id == "one-more"


def test_the_log_names_request_job_and_tenant_and_no_secret(settings, jpeg, tmp_path):
    secret, prompt = "a secret of the admin's, 32 or more", "make it look like the last day of summer"
    locked = settings.model_copy(update={"log_format": "json", "auth": "on", "admin_key": secret})
    with web_tier(locked, tmp_path) as tier, httpx.Client(base_url=tier.url, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {secret}", "X-Request-Id": "found-again"}
        key = http.post("/v1/admin/keys", headers=headers, json={"tenant": "acme"}).json()["key"]
        headers["Authorization"] = f"Bearer {key}"
        job = http.post("/v1/jobs", headers=headers, files={"image": jpeg}, data={"prompt": prompt}).json()
        http.get(f"/v1/jobs/{job['id']}/input?key={key}", headers=headers)
        http.get("/healthz")
    told = tier.log.read_text()  # whole once it has stopped: a request is logged after it is answered
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    (submitted,) = [line for line in lines if line.get("path") == "/v1/jobs"]
    assert (submitted["request_id"], submitted["job_id"], submitted["tenant"]) == ("found-again", job["id"], "acme")
    assert (submitted["status"], submitted["logger"]) == (202, "api.access")
    assert [line["status"] for line in lines if line.get("path") == f"/v1/jobs/{job['id']}/input"] == [200]
    assert not [line for line in lines if line.get("path") == "/healthz"]
    for hidden in (secret, key, prompt, "X-Amz-Signature"):
        assert hidden not in told
