"""What Prometheus reads from the web tier is right, whatever happens to Redis and S3, and whichever process answers."""

import re
import socket

import httpx
from prometheus_client.parser import text_string_to_metric_families

from jobs.metrics import PHASE_BOUNDS
from tests.conftest import ROOT
from tests.integration.conftest import calling, submit
from tests.waiting import until
from tests.web_tier import web_tier

SAMPLES = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> SAMPLES:
    """Every sample by its name and sorted labels. Raises if the text is not in Prometheus' format."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_jobs_are_seen_by_model_and_priority_and_in_histograms(settings, jpeg, store, pictures):
    with calling(settings) as client:
        done, waiting = submit(client, jpeg), submit(client, jpeg, priority="high")
        job = store.claim("w", lease_seconds=30, token="t", slots=100)
        assert job.id == waiting["id"]
        client.get("/metrics")
        store.finish(job, pictures.put_result(job, jpeg, "image/jpeg", (96, 64)), {"run_ms": 700}, {})
        seen = samples(client.get("/metrics").text)
        assert client.get(done["urls"]["self"]).json()["status"] == "queued"
    assert seen["darkroom_jobs_queued", (("model", "pix2pix-full"), ("priority", "normal"))] == 1
    assert seen["darkroom_jobs_running", (("model", "pix2pix-full"), ("priority", "high"))] == 0
    assert seen["darkroom_jobs_ended_total", (("model", "pix2pix-full"), ("status", "succeeded"))] == 1
    assert seen["darkroom_job_seconds_bucket", (("le", "1.0"), ("phase", "run"))] == 1
    assert seen["darkroom_job_seconds_bucket", (("le", "0.5"), ("phase", "run"))] == 0
    assert seen["darkroom_job_seconds_sum", (("phase", "run"),)] == 0.7
    assert seen["darkroom_redis_up", ()] == 1
    puts = seen["darkroom_storage_seconds_count", (("operation", "PutObject"), ("outcome", "ok"))]
    assert puts == 2, "two pictures, each with its job as metadata"


def test_the_bounds_are_those_that_lua_counts_by():
    lua = (ROOT / "jobs" / "lua" / "counts.lua").read_text()
    found = re.search(r"BOUNDS = \{(.*?)\}", lua)
    assert found
    assert tuple(map(float, found[1].split(","))) == PHASE_BOUNDS


def test_without_redis_and_s3_the_rest_is_still_told(settings):
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0", "s3_endpoint_url": "http://127.0.0.1:1"})
    with calling(away) as client:
        assert client.get("/readyz").status_code == 503
        seen = samples(client.get("/metrics").text)
    assert seen["darkroom_redis_up", ()] == 0
    assert not [name for name, _ in seen if name.startswith("darkroom_jobs")]
    assert [
        value for (name, labels), value in seen.items() if name.endswith("_count") and ("outcome", "error") in labels
    ]
    assert seen["darkroom_http_requests_total", (("method", "GET"), ("route", "/readyz"), ("status", "503"))] == 1


def test_an_upload_that_its_client_breaks_off_is_no_error_of_ours(settings, tmp_path):
    with web_tier(settings, tmp_path) as tier, httpx.Client(base_url=tier.url, trust_env=False, timeout=20) as http:
        with socket.create_connection(("127.0.0.1", int(tier.url.rpartition(":")[2]))) as line:
            head = "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
            line.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x".encode())
        left = ("darkroom_http_requests_total", (("method", "POST"), ("route", "/v1/jobs"), ("status", "499")))
        until(lambda: samples(http.get("/metrics").text).get(left) == 1, 10)


def test_whichever_process_is_asked_answers_for_all_of_them(settings, tmp_path, monkeypatch):
    processes = 2
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "counts"))
    each_its_own = httpx.Limits(max_keepalive_connections=0)  # connection, so that either process may take it
    with (
        web_tier(settings, tmp_path, processes=processes) as tier,
        httpx.Client(base_url=tier.url, limits=each_its_own, trust_env=False, timeout=20) as http,
    ):
        asked = 0
        while asked < 30 or (asked < 3000 and len(list((tmp_path / "counts").glob("counter_*.db"))) < processes):
            assert http.get("/healthz").status_code == 200
            asked += 1
        answers = [samples(http.get("/metrics").text) for _ in range(8)]
    healthy = ("darkroom_http_requests_total", (("method", "GET"), ("route", "/healthz"), ("status", "200")))
    assert {seen[healthy] for seen in answers} == {asked}
    assert len(list((tmp_path / "counts").glob("counter_*.db"))) == processes
    assert {seen["darkroom_http_requests_under_way", ()] for seen in answers} == {1}
