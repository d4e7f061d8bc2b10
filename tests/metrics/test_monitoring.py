"""The rules and the dashboard: promtool takes them, and they ask for metrics, labels and outcomes that there are."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from asgi_wsguard.integrations.metrics import ACCEPTED, METRICS, translated
from asgi_wsguard.integrations.prometheus import PrometheusMetrics
from asgi_wsguard.report import Outcome
from harness.environments import program
from harness.reports import CRASHED

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "monitoring"
RULES = yaml.safe_load((FOLDER / "asgi-wsguard.rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTS = yaml.safe_load((FOLDER / "asgi-wsguard.rules.test.yml").read_text(encoding="utf-8"))["tests"]
DASHBOARD = json.loads((FOLDER / "asgi-wsguard.dashboard.json").read_text(encoding="utf-8"))

# What Grafana puts in before it asks.
VARIABLES = {"$__rate_interval": "5m", "$__range": "6h", "$job": ".*", "$route": ".*"}


def shown() -> list[str]:
    """Return what the dashboard asks for."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def promtool(*arguments: str) -> None:
    command = [program("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules() -> None:
    promtool("check", "rules", "--lint-fatal", str(FOLDER / "asgi-wsguard.rules.yml"))


def test_alerts_come_when_they_should() -> None:
    promtool("test", "rules", str(FOLDER / "asgi-wsguard.rules.test.yml"))


def test_promtool_takes_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    rules = []
    for number, expression in enumerate(shown()):
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        rules.append({"record": f"panel:{number}", "expr": expression})
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_it_is(name: str) -> None:
    assert ALERTS[name]["labels"]["severity"] in ("critical", "warning")
    assert set(ALERTS[name]["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_seen_to_come_and_to_stay_away(name: str) -> None:
    expected = [case["exp_alerts"] for test in TESTS for case in test["alert_rule_test"] if case["alertname"] == name]
    assert {bool(alerts) for alerts in expected} == {True, False}


def test_every_alert_is_on_the_page() -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (critical|warning) \|", page, re.MULTILINE)
    assert dict(rows) == {name: alert["labels"]["severity"] for name, alert in ALERTS.items()}


@pytest.fixture(scope="module")
def samples() -> set[str]:
    """Return the names that a scrape has."""
    registry = CollectorRegistry()
    observer = PrometheusMetrics(registry)
    observer.opened("")
    observer.outlive("", 1)
    observer(CRASHED)
    return {sample.name for family in registry.collect() for sample in family.samples}


LABELS = {translated(label) for metric in METRICS for label in metric.labels} | {"job", "le"}
OUTCOMES = {ACCEPTED, *(outcome.value for outcome in Outcome)}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
SELECTOR = re.compile(r"\{[^}]*\}")
GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in RULES), *shown()])
def test_what_is_asked_for_is_there(expression: str, samples: set[str]) -> None:
    matchers = re.findall(r'(\w+)[!=][=~]?"([^"]*)"', expression)
    names = re.findall(r"[\w:]*wsguard[\w:]*", GROUPING.sub("", SELECTOR.sub("", expression)))
    assert names
    assert set(names) <= samples | RECORDED
    grouped = {label for labels in GROUPING.findall(expression) for label in labels.split(", ")}
    assert grouped | {label for label, _ in matchers} <= LABELS
    asked = {word for label, value in matchers if label == "wsguard_outcome" for word in value.split("|")}
    assert asked <= OUTCOMES


def test_the_page_has_the_names_of_a_scrape(samples: set[str]) -> None:
    table = runpy.run_path(str(DOCS / "tables.py"))["metric_table"]()
    scraped = {re.sub("_(bucket|count|sum)$", "", name) for name in samples if not name.endswith("_created")}
    assert set(re.findall(r"`(wsguard_\w+)`", table)) == scraped


def test_every_metric_is_on_the_dashboard() -> None:
    everything = " ".join(shown())
    assert [metric.name for metric in METRICS if translated(metric.name) not in everything] == []


def test_the_dashboard_can_be_imported_beside_any_other() -> None:
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {"${datasource}"}
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "job", "route"]
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    assert "id" not in DASHBOARD
