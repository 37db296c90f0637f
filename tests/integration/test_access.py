"""Who may call the service, from where and how often, and what browsers may do."""

import httpx
import pytest
from fastapi.testclient import TestClient

from jobs.settings import Settings
from tests.integration.conftest import calling, submit
from tests.integration.test_api import finish

ADMIN_KEY = "the admin key of these tests, 32+"
SITE = "https://photos.example"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def locked(settings: Settings) -> Settings:
    """Settings of a service with keys."""
    return settings.model_copy(update={"auth": "on", "admin_key": Settings(admin_key=ADMIN_KEY).admin_key})


@pytest.fixture
def stranger(locked, apps):
    return apps(locked, base_url="https://darkroom.example", client=("203.0.113.7", 50_000))


@pytest.fixture
def make_key(stranger):
    def make(*scopes: str, tenant: str = "acme") -> str:
        wanted = {"tenant": tenant, "scopes": scopes or ["submit", "read"]}
        answer = stranger.post("/v1/admin/keys", json=wanted, headers=bearer(ADMIN_KEY))
        assert answer.status_code == 201, answer.text
        return answer.json()["key"]

    return make


def is_problem(answer: httpx.Response, status: int) -> bool:
    return (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("headers", [{}, bearer("dk_nonsense"), bearer(""), {"Authorization": "Basic YTpi"}])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/events", "/v1/models", "/v1/queue", "/metrics", "/v1/admin/keys"])
def test_without_a_valid_key_nothing_is_told(stranger, path, headers):
    answer = stranger.get(path, headers=headers)
    assert is_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "ratelimit" not in answer.headers


def test_health_is_told_to_anybody(stranger):
    assert [stranger.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]


def test_a_key_opens_what_its_scopes_say_and_no_more(stranger, make_key, jpeg):
    def tried(key: str) -> list[int]:
        headers = bearer(key)
        return [
            stranger.get("/v1/jobs", headers=headers).status_code,
            stranger.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x"}, headers=headers).status_code,
            stranger.get("/v1/admin/keys", headers=headers).status_code,
        ]

    assert tried(make_key("read")) == [200, 403, 403]
    assert tried(make_key("submit")) == [403, 202, 403]
    assert tried(make_key("admin")) == [403, 403, 200]
    assert tried(ADMIN_KEY) == [200, 202, 200]


def test_a_key_is_shown_once_listed_and_revoked(stranger, make_key):
    key = make_key(tenant="acme")
    listed = stranger.get("/v1/admin/keys", headers=bearer(ADMIN_KEY))
    (told,) = listed.json()["data"]
    assert (told["tenant"], told["scopes"]) == ("acme", ["read", "submit"])
    assert key.split("_")[2] not in listed.text
    path = f"/v1/admin/keys/{told['id']}"
    assert stranger.get("/v1/jobs", headers=bearer(key)).status_code == 200
    assert stranger.delete(path, headers=bearer(ADMIN_KEY)).status_code == 204
    assert stranger.get("/v1/jobs", headers=bearer(key)).status_code == 401
    assert is_problem(stranger.delete(path, headers=bearer(ADMIN_KEY)), 404)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"tenant": "a:b"}, "tenant"),
        ({"tenant": "../b"}, "tenant"),
        ({"tenant": "acme\n"}, "tenant"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["all"]}, "scopes"),
        ({"name": "a" * 101}, "name"),
        ({"expires": 1}, "expires"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused_by_field(stranger, wanted, field):
    answer = stranger.post("/v1/admin/keys", json=wanted, headers=bearer(ADMIN_KEY))
    assert is_problem(answer, 422)
    assert field in answer.text


def test_tenants_share_nothing(stranger, make_key, jpeg):
    mine, theirs = make_key(tenant="acme"), make_key(tenant="umbrella")
    once = {"Idempotency-Key": "the same"}

    def post(key: str, files: dict, data: dict) -> dict:
        return stranger.post("/v1/jobs", files=files, data=data, headers=bearer(key) | once).json()

    jobs = [post(key, {"image": jpeg}, {"prompt": "make it sepia"}) for key in (mine, theirs, mine)]
    assert jobs[0]["id"] == jobs[2]["id"] != jobs[1]["id"], "each tenant has idempotency keys of its own"
    listed = [stranger.get("/v1/jobs", headers=bearer(key)).json()["data"] for key in (mine, theirs)]
    assert [[job["id"] for job in page] for page in listed] == [[jobs[0]["id"]], [jobs[1]["id"]]]
    edit = {"image": f"job:{jobs[0]['id']}", "prompt": "make it blue"}
    assert is_problem(stranger.post("/v1/jobs", json=edit, headers=bearer(theirs)), 404)


def test_two_keys_of_one_tenant_see_the_same_jobs(stranger, make_key, jpeg):
    stranger.headers.update(bearer(make_key()))
    job = submit(stranger, jpeg)
    assert stranger.get(job["urls"]["self"], headers=bearer(make_key("read"))).json()["id"] == job["id"]


# ---- browsers


def test_a_key_is_traded_for_a_cookie_that_scripts_and_other_sites_cannot_use(stranger, make_key):
    key = make_key("read", "submit")
    signed_in = stranger.post("/v1/session", headers=bearer(key))
    assert (signed_in.status_code, signed_in.json()["tenant"]) == (201, "acme")
    cookie = signed_in.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "secure", "max-age=43200", "path=/"))
    assert key not in cookie
    assert stranger.get("/v1/session").json() == {"tenant": "acme", "scopes": ["read", "submit"], "keys_needed": True}
    assert stranger.get("/v1/jobs").status_code == 200
    left = stranger.delete("/v1/session", headers={"Origin": "https://darkroom.example"})
    assert left.status_code == 204
    assert is_problem(stranger.get("/v1/jobs", headers={"Cookie": cookie.split(";")[0]}), 401)
    assert is_problem(stranger.post("/v1/session"), 401)


@pytest.mark.parametrize(
    "origin", [None, "null", SITE, "http://darkroom.example", "https://darkroom.example.evil.example"]
)
def test_a_cookie_changes_nothing_unless_our_own_page_asks(stranger, make_key, jpeg, origin):
    stranger.post("/v1/session", headers=bearer(make_key()))
    headers = {"Origin": origin} if origin else {}
    refused = stranger.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x"}, headers=headers)
    assert is_problem(refused, 403)
    assert is_problem(stranger.delete("/v1/session", headers=headers), 403)
    assert stranger.get("/v1/jobs").json()["data"] == []
    stranger.headers["Origin"] = "https://darkroom.example"
    submit(stranger, jpeg)


def test_a_session_ends_with_its_key(stranger, make_key):
    stranger.post("/v1/session", headers=bearer(make_key()))
    (key,) = stranger.get("/v1/admin/keys", headers=bearer(ADMIN_KEY)).json()["data"]
    stranger.delete(f"/v1/admin/keys/{key['id']}", headers=bearer(ADMIN_KEY))
    assert is_problem(stranger.get("/v1/jobs"), 401)


def test_other_sites_may_call_when_they_are_named(locked, apps, make_key):
    asked = {"Origin": SITE, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    assert "access-control-allow-origin" not in apps(locked).options("/v1/jobs", headers=asked).headers
    client = apps(locked.model_copy(update={"cors_origins": f"https://a.example {SITE}"}))
    allowed = client.options("/v1/jobs", headers=asked)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, SITE)
    assert "access-control-allow-credentials" not in allowed.headers
    answer = client.get("/v1/jobs", headers={"Origin": SITE} | bearer(make_key()))
    assert answer.headers["access-control-allow-origin"] == SITE
    assert "RateLimit" in answer.headers["access-control-expose-headers"]
    other = client.options("/v1/jobs", headers=asked | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/7", "/v1/nothing", "/healthz", "/v1/models", "/openapi.json"])
def test_every_answer_tells_a_browser_to_keep_its_hands_off(client, stranger, path):
    for caller in (client, stranger):
        headers = caller.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
        assert ("strict-transport-security" in headers) == (caller is stranger), "only behind https"


def test_an_answer_to_what_nobody_expected_has_them_too(client, store, jpeg, caplog):
    job = submit(client, jpeg)
    store.redis.hset(f"dk:job:{job['id']}", "status", "nonsense")
    answer = client.get(job["urls"]["self"])
    assert is_problem(answer, 500)
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "nonsense" not in answer.text
    assert "nonsense" in caplog.text


def test_a_key_that_only_submits_reads_no_webhooks_secret(stranger, make_key):
    def tried(*scopes: str) -> list[int]:
        headers, path = bearer(make_key(*scopes)), "/v1/webhooks/default"
        return [
            stranger.request(*ask, headers=headers).status_code
            for ask in (("GET", f"{path}/secret"), ("POST", f"{path}/rotate"))
        ]

    assert (tried("submit"), tried("read"), tried("submit", "read")) == ([403] * 2, [403] * 2, [200] * 2)


def test_a_key_that_only_reads_is_told_its_own_tenants_metrics(stranger, make_key, jpeg):
    owner, other = (bearer(make_key(tenant=tenant)) for tenant in ("acme", "umbrella"))
    answer = stranger.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x"}, headers=owner)
    assert answer.status_code == 202
    mine, others = (stranger.get("/metrics", headers=headers).text for headers in (owner, other))
    assert 'darkroom_tenant_jobs{status="queued"} 1.0' in mine
    assert 'darkroom_tenant_jobs{status="queued"} 0.0' in others
    assert "darkroom_jobs_submitted" not in mine + others
    operator = bearer(make_key("read", "admin"))
    assert "darkroom_jobs_submitted_total" in stranger.get("/metrics", headers=operator).text


# ---- without keys


def test_without_keys_only_this_machine_is_served(settings, apps):
    def status(client: str | None = "127.0.0.1", host: str = "localhost:8000", **changes: object) -> int:
        address = (client, 50_000) if client else None
        options = {"client": address, "base_url": f"http://{host}"}
        answer = apps(settings.model_copy(update=changes), **options).get("/v1/jobs")
        if answer.status_code == 403:
            assert "AUTH=off" in answer.json()["detail"]
            assert answer.headers["content-security-policy"]
        return answer.status_code

    assert [status(client) for client in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")] == [200] * 4
    assert [status(client) for client in ("203.0.113.7", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1")] == [403] * 4
    assert [status(host=host) for host in ("127.0.0.1", "[::1]:8000", "LOCALHOST")] == [200] * 3
    assert [status(host=host) for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example")] == [
        403
    ] * 3
    trusted = {"open_to_network": True, "allowed_hosts": "darkroom.example print.example"}
    hosts = ("darkroom.example", "PRINT.example:8000", "192.0.2.7:8000", "[2001:db8::1]", "localhost")
    assert [status("203.0.113.7", host, **trusted) for host in hosts] == [200] * 5
    others = ("evil.example", "darkroom.example.evil.example", "192.0.2.7.evil.example")
    assert [status(host=host, **trusted) for host in others] == [403] * 3


def test_without_keys_another_sites_page_changes_nothing(settings, apps, client, jpeg):
    def post(client: TestClient, **headers: str) -> int:
        return client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x"}, headers=headers).status_code

    assert [post(client), post(client, origin="http://localhost")] == [202, 202]
    assert [post(client, origin=SITE), post(client, origin="null")] == [403, 403]
    assert post(apps(settings.model_copy(update={"cors_origins": SITE})), origin=SITE) == 202


def test_without_keys_nobody_makes_any(client):
    assert is_problem(client.post("/v1/admin/keys", json={}), 403)
    assert is_problem(client.post("/v1/session"), 409)
    assert client.get("/v1/session").json()["keys_needed"] is False


# ---- how often


def test_every_answer_tells_what_is_left_and_a_refusal_when_to_come_back(locked, make_key, jpeg):
    key = make_key()
    few = locked.model_copy(update={"reads_per_minute": 3, "writes_per_minute": 1})
    with calling(few, headers=bearer(key)) as client:
        answers = [
            client.get("/v1/jobs", params={"status": status}) for status in ("queued", "none", "failed", "queued")
        ]
        assert [answer.status_code for answer in answers] == [200, 422, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"reads";q=3;w=60'
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
        assert is_problem(answers[-1], 429)
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
        submit(client, jpeg)
        refused = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x"})
        assert is_problem(refused, 429)
        assert refused.headers["ratelimit"].startswith('"writes";r=0;t=')
        assert client.get("/v1/jobs", headers=bearer(make_key())).status_code == 200, "the allowance is the key's"


def test_a_redirect_tells_what_is_left_too(stranger, make_key, jpeg, store, pictures):
    stranger.headers.update(bearer(make_key()))
    job = submit(stranger, jpeg)
    finish(store, pictures, job["id"])
    link = stranger.get(f"{job['urls']['self']}/output")
    assert (link.status_code, "ratelimit" in link.headers) == (307, True)


def test_a_tenant_with_too_many_waiting_jobs_is_asked_to_come_back(settings, jpeg, pictures):
    with calling(settings.model_copy(update={"max_queued_jobs": 1})) as client:
        job = submit(client, jpeg)
        refused = client.post("/v1/jobs", files={"image": jpeg}, data={"prompt": "x"})
        assert is_problem(refused, 429)
        assert int(refused.headers["retry-after"]) > 0
        client.post(job["urls"]["cancel"])
        submit(client, jpeg)
