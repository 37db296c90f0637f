"""The queries of our dashboard and alerts."""

import json

import yaml

from tests.deploy.compose import ROOT

DASHBOARD = ROOT / "docker" / "grafana" / "dashboards" / "darkroom.json"
ALERTS = ROOT / "docker" / "prometheus" / "alerts.yml"


def panels() -> dict[str, dict[str, str]]:
    """Each panel's queries by the name that they have in its legend."""
    return {
        panel["title"]: {target["legendFormat"]: target["expr"] for target in panel["targets"]}
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        if panel.get("targets")
    }


def alerts() -> dict[str, str]:
    """Each alert's condition."""
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}
