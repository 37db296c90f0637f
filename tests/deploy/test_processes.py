"""What docker-compose.yml describes, run without Docker: the same commands, environment and configuration files."""

import asyncio
import shutil

import httpx
import pytest

from benchmarks._compose import Compose, production
from benchmarks.compose import SERVICES, Outside, Size, slow_clients

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not shutil.which("nginx", path="/usr/sbin:/usr/bin"), reason="needs nginx (apt: nginx-light)"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compose")
    hasty = production(folder) | {"WORKER_GRACE_SECONDS": "2"}  # what it holds at the end is nobody's
    with Compose(folder / "stack", hasty, SERVICES) as stack:
        yield stack


@pytest.fixture(scope="module")
def outside(stack) -> Outside:
    return Outside(stack)


def test_every_health_check_passes(stack, outside):
    checked = {name: container.is_healthy() for name, container in stack.containers.items() if container.health}
    assert checked == {"api": True, "keeper": True, "worker": True}


def test_an_edit_from_outside_is_streamed_live_and_fetched_by_its_link(outside):
    edit = outside.edit()
    assert edit["events"][-1] == "done"
    assert edit["events"].count("progress") >= 2, "they came in one piece"
    assert edit["first_event_ms"] < 1000 * edit["seconds"] / 2
    assert edit["picture"].startswith("200 image/png")
    assert edit["forged_link"] == 403
    assert f":{outside.stack.ports['proxy', 8081]}/" in edit["link"]


def test_without_a_key_there_is_nothing_and_metrics_are_not_for_the_outside(stack, outside):
    assert httpx.get(f"{stack.url}/v1/jobs", trust_env=False).status_code == 401
    assert outside.http.get("/metrics").status_code == 404
    records = {"headers": {"Authorization": f"Bearer {outside.key}"}, "trust_env": False}
    assert "darkroom_redis_up 1" in httpx.get(f"http://127.0.0.1:{stack.ports['api', 8000]}/metrics", **records).text


def test_the_proxy_says_what_is_too_large_and_the_request_has_one_name_all_the_way(outside):
    answer = outside.http.post("/v1/jobs", content=bytes(30 * 2**20), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    log = outside.stack.containers["proxy"].log
    outside.http.get("/v1/queue", headers={"X-Request-Id": "named-by-the-client"})
    assert '"request_id":"named-by-the-client"' in log.read_text()


def test_slow_clients_are_waited_for_at_the_proxy_and_nobody_else_notices(outside):
    report = asyncio.run(slow_clients(outside, Size(heads=30, bodies=30, reads=15, seconds=6)))
    assert report["beside"]["failed"] == 0, report
    assert report["beside"]["requests"] == 60
    assert report["slow_clients_at_first"] >= 70
