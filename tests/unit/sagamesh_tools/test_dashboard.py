"""The dashboard, the alerts and their runbooks: what can be said of them without a Prometheus."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from sagamesh_operator.injection.metrics import InjectorMetrics
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_tools.dashboard import SOURCE, WIDTH, dashboard

ROOT = Path(__file__).parents[3]
FILES = ROOT / "charts" / "sagamesh" / "files"
RUNBOOKS = ROOT / "docs" / "runbooks"
PANELS = dashboard()["panels"]
TARGETS = [target for panel in PANELS for target in panel.get("targets", ())]
[GROUP] = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for rule in GROUP["rules"]}
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def described(exposition: str) -> set[str]:
    """The names of all series that may come, also of metrics that have none yet."""
    families = re.findall(r"^# TYPE (\w+) (\w+)$", exposition, re.MULTILINE)
    return {f"{name}_bucket" if kind == "histogram" else name for name, kind in families}


def exposed() -> set[str]:
    sidecar = PrometheusMetrics(app_up=lambda: True, connected=lambda: True)
    return {
        name
        for each in (sidecar, OperatorMetrics(), InjectorMetrics())
        for name in described(each.exposition()[0].decode())
    }


def names(expression: str) -> set[str]:
    return set(re.findall(r"\bsagamesh_\w+", expression))


def test_the_dashboard_is_what_the_code_says() -> None:
    assert json.loads((FILES / "dashboards" / "overview.json").read_text()) == dashboard()


def test_no_two_panels_share_an_id_or_a_place() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        assert one["x"] + one["w"] <= WIDTH
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


def test_every_query_takes_the_chosen_source_and_only_variables_that_there_are() -> None:
    known = {variable["name"] for variable in dashboard()["templating"]["list"]} | {"__rate_interval"}
    for target in TARGETS:
        assert target["datasource"] == SOURCE
        assert set(re.findall(r"\$(\w+)", target["expr"])) <= known
    assert set(re.findall(r"\w+", SOURCE["uid"])) <= known


def test_every_panel_says_what_it_shows() -> None:
    assert all(panel["description"].endswith(".") for panel in PANELS if panel["type"] != "row")


@pytest.mark.parametrize("expression", [t["expr"] for t in TARGETS] + [rule["expr"] for rule in ALERTS.values()])
def test_only_metrics_that_there_are_are_asked_for(expression: str) -> None:
    assert names(expression)
    assert names(expression) <= exposed()


def test_there_is_one_runbook_for_each_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_all_that_its_reader_needs(name: str) -> None:
    rule: dict[str, Any] = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert "{{" not in rule["annotations"]["summary"], "alerts are grouped by it"
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{name}.md")


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_has_its_sections_in_order_and_no_dead_links(name: str) -> None:
    page = (RUNBOOKS / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS
    for link in re.findall(r"\]\(([^)#]+)", page):
        assert (RUNBOOKS / link).exists(), link
    assert names(page) - {"sagamesh_operator"} <= exposed()
