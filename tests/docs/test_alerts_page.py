"""Operating tells what to do for each alert that Prometheus can send."""

import re

import yaml

from tests.conftest import ROOT


def test_each_alert_is_told_of_with_its_severity():
    groups = yaml.safe_load((ROOT / "docker" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    alerts = [(rule["alert"], rule["labels"]["severity"]) for group in groups for rule in group["rules"]]
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(Darkroom\w+)` \| (\w+) \|", page, re.MULTILINE) == alerts
