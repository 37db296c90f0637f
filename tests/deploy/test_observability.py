"""The dashboard and the alerts use only metrics that our processes have."""

import re

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from jobs import redis_keys
from tests.conftest import ROOT
from tests.deploy.compose import services
from tests.deploy.questions import alerts, panels
from tests.integration.conftest import submit
from worker.editors.editor import Device
from worker.engine_metrics import EngineMetrics
from worker.metrics import KeeperMetrics, registry_of

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
OF_PROMETHEUS = {"up"}
LISTENERS = {
    "api": "API",
    "keeper": "KEEPER",
    "worker": "WORKER",
    "worker-gpu": "WORKER",
}  #: whose metrics each service has


def series(text: str) -> set[str]:
    """The names of the series in an exporter's text."""
    families = text_string_to_metric_families(text)
    return {family.name + suffix for family in families for suffix in SUFFIXES.get(family.type, ("",))}


@pytest.fixture
def told(client, jpeg, store, pictures) -> set[str]:
    """The metrics of web tier, worker and keeper after two jobs."""
    store.renew("w", {"slots": 4, "checkpoint": {}}, [], lease_seconds=30)
    store.redis.hset(redis_keys.STATS, "interval_ms", 700)  # as measured once jobs have waited for each other
    for token in "ab":
        submit(client, jpeg)
        job = store.claim("w", lease_seconds=30, token=token, slots=4)
        store.finish(job, pictures.put_result(job, jpeg, "image/jpeg", (96, 64)), {"run_ms": 700}, {})
    submit(client, jpeg)
    worker, keeper = registry_of("worker", pictures), registry_of("keeper", pictures)
    EngineMetrics(worker, lambda: Device("cpu", 2**30, 2**31), lambda: 1)
    KeeperMetrics(keeper)
    texts = [client.get("/metrics").text, *(generate_latest(registry).decode() for registry in (worker, keeper))]
    return set().union(*map(series, texts))


def test_every_metric_of_the_dashboard_and_the_alerts_exists(told):
    shown = {f"{title}: {legend}": query for title, each in panels().items() for legend, query in each.items()}
    for name, query in {**shown, **alerts()}.items():
        asked = set(re.findall(r"\b(?:darkroom_\w+|up)\b", query))
        assert asked, name
        assert asked <= told | OF_PROMETHEUS, f"{name}: {sorted(asked - told)}"


def test_prometheus_asks_for_all_replicas_where_compose_has_them_listen_and_holds_no_key():
    """Each DNS answer has every replica; a fixed target would be any one of them."""
    scraped = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert not [job for job in scraped if "static_configs" in job or "authorization" in job]
    asked = {(name, one["port"]) for job in scraped for one in job["dns_sd_configs"] for name in one["names"]}
    described = services({})
    told = {
        (name, int(described[name]["environment"][f"{process}_METRICS_PORT"])) for name, process in LISTENERS.items()
    }
    assert asked == told
    assert "environment" not in described["prometheus"]
