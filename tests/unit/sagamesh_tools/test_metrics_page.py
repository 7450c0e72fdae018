"""docs/metrics.md holds what a scrape of each component gives, and whoever names a metric finds it there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sagamesh.language.cel.expressions import Place
from sagamesh.log.registers import OUTCOME, SagaKey
from sagamesh.protocol.answers import Answer, Away, Unanswered
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_operator.injection.metrics import InjectorMetrics
from sagamesh_operator.injection.review import ReviewResult
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_tools import metrics_page
from support.builders import attempts, shapes

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
STATUSES = (200, 202, 302, 409, 422, 429, 500, 503)
ANSWERS: list[Answer] = [*map(attempts.no, STATUSES), Away(), Unanswered("")]


def rows(section: str) -> Iterator[list[str]]:
    """Name, type, labels, unit and meaning of each."""
    text = re.split(rf"^## {section}$", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]
    for row in re.findall(r"^\| `.*", text, re.MULTILINE):
        yield [cell.strip() for cell in row.split("|")[1:-1]]


def sidecar() -> PrometheusMetrics:
    """One to which everything has happened."""
    metrics = PrometheusMetrics(app_up=lambda: True, connected=lambda: True)
    metrics.holds(attempts.rules_for(shapes.straight(1), "s0"))
    metrics.listens("s", lambda: True)
    metrics.started("s")
    for outcome in ("committed", "aborted"):
        metrics.finished("s", outcome, 1.0)
    for answer in ANSWERS:
        metrics.called("s", "a", "action", answer, 1.0)
    metrics.called("s", "a", "compensation", ANSWERS[0], 1.0)
    metrics.unevaluable("s", "a", Place.BODY.field)
    for result in ("ack", "nak"):
        metrics.delivered("s", result)
    for written in (1, *WriteRefused):
        metrics.wrote(OUTCOME, written)
    metrics.implausible("end")
    return metrics


def operator() -> OperatorMetrics:
    metrics, key = OperatorMetrics(), SagaKey("shop", "checkout")
    metrics.saga(key, {"conditions": [{"type": "Ready", "status": "True"}], "participants": []})
    metrics.retiring(key, 1)
    for result in ("done", "again"):
        metrics.reconciled(0.1, result)
    return metrics


def injector() -> InjectorMetrics:
    metrics = InjectorMetrics()
    for result in get_args(ReviewResult):
        metrics.answered(result)
    return metrics


SCRAPED = {"Sidecar": sidecar, "Operator": operator, "Injector": injector}


@pytest.mark.parametrize("component", SCRAPED)
def test_every_metric_with_its_type_and_its_labels(component: str) -> None:
    page = {name.strip("`"): (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels, *_ in rows(component)}
    scraped = {name: (kind, {label for label, _ in labels}) for name, kind, labels in families(component)}
    assert page == scraped


OF_THE_SAGA = {"namespace", "saga", "step", "revision", "register", "type"}
"""Labels whose values are not ours to list."""
LIKE_2XX = {"3xx", "4xx", "5xx"}


@pytest.mark.parametrize("component", SCRAPED)
def test_every_value_of_a_label_is_told(component: str) -> None:
    """Where the metric's own row does not, that of another with the same label does."""
    page = {name.strip("`"): row[-1] for name, *row in rows(component)}
    for name, _, labels in families(component):
        for label, value in labels:
            if label not in OF_THE_SAGA and value not in LIKE_2XX:
                own = [page[name]] if f"`{label}`: " in page[name] else page.values()
                assert any(re.search(rf"`{label}`: .*\b{re.escape(value)}\b", text) for text in own), (
                    name,
                    label,
                    value,
                )


def families(component: str) -> Iterator[tuple[str, str, set[tuple[str, str]]]]:
    """Name, type, and each label with each value that it has."""
    for family in text_string_to_metric_families(SCRAPED[component]().exposition()[0].decode()):
        labels = {pair for sample in family.samples for pair in sample.labels.items() if pair[0] != "le"}
        yield f"{family.name}_total" if family.type == "counter" else family.name, family.type, labels


@pytest.mark.parametrize("component", SCRAPED)
def test_each_has_a_unit_and_a_sentence(component: str) -> None:
    for name, _, _, unit, meaning in rows(component):
        assert unit in ("number", "seconds", "seconds since 1970", "0 or 1", "1")
        assert ("seconds" in unit) == ("_seconds" in name)
        assert len(meaning.split()) > 3
        assert meaning.endswith(".")


def test_the_page_is_what_the_definitions_say() -> None:
    assert metrics_page.page() == PAGE


def series() -> set[str]:
    named = {name.strip("`"): kind for component in SCRAPED for name, kind, *_ in rows(component)}
    parts = {
        f"{name}_{part}" for name, kind in named.items() if kind == "histogram" for part in ("bucket", "sum", "count")
    }
    return named.keys() | parts


@pytest.mark.parametrize(
    "path",
    [path for folder in ("docs", "charts/sagamesh") for path in (ROOT / folder).rglob("*.*")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_whoever_names_a_metric_finds_it_there(path: Path) -> None:
    """Dashboard, alerts, runbooks, and every page. Packages begin like metrics."""
    packages = {package.name for package in ROOT.glob("*/sagamesh_*")}
    named = re.findall(r"\bsagamesh_\w+", path.read_text()) if path.suffix in (".md", ".json", ".yaml") else []
    assert set(named) - packages <= series()


@pytest.mark.parametrize("module", ["sagamesh_operator.metrics", "sagamesh_operator.injection.metrics"])
def test_nobody_has_a_series_that_says_when_another_was_made(module: str) -> None:
    name = "OperatorMetrics" if module == "sagamesh_operator.metrics" else "InjectorMetrics"
    made = f"from {module} import {name}; print({name}().exposition()[0].decode())"
    scraped = subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=True).stdout
    assert "# TYPE" in scraped
    assert "_created" not in scraped
