"""The Grafana dashboard of an installation: alarms, sagas, steps, and what they stand on.

It asks for the metrics of sidecars, operator and injector, as Prometheus has them where each bears the namespace of its
pod, and those of sidecars also `pod`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

NAMESPACE = 'namespace=~"$namespace"'
SAGA = f'{NAMESPACE}, saga=~"$saga"'
BY_SAGA = "namespace, saga"
BY_STEP = f"{BY_SAGA}, step, kind"
NAMED = "{{namespace}}/{{saga}}"
STEP = NAMED + " {{step}} {{kind}}"
WIDTH = 24
"""Columns of Grafana's grid, by its data model."""


class Query(NamedTuple):
    expression: str
    legend: str = ""


class Panel(NamedTuple):
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"


class PanelRow(NamedTuple):
    """`abreast`: panels side by side. `height` in Grafana's grid."""

    title: str
    abreast: int
    height: int
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str, more: str = "") -> str:
    """A second, of a sidecar's counter."""
    return f"sum by ({by}) (rate(sagamesh_{metric}{{{SAGA}{more}}}[$__rate_interval]))"


def _quantile(quantile: float, metric: str, by: str) -> str:
    return f"histogram_quantile({quantile}, {_rate(f'{metric}_bucket', f'le, {by}')})"


def _alarm(title: str, description: str, expression: str) -> Panel:
    """A number that should be zero."""
    return Panel(title, description, "none", (Query(expression),), "stat")


def _graph(title: str, description: str, unit: str, expression: str, legend: str) -> Panel:
    return Panel(title, description, unit, (Query(expression, legend),))


def _ended(title: str, description: str, outcome: str) -> Panel:
    finished = _rate("sagas_finished_total", BY_SAGA, f', outcome="{outcome}"')
    return _graph(title, description, "cps", finished, NAMED)


def _duration(title: str, quantile: float) -> Panel:
    expression = _quantile(quantile, "saga_duration_seconds", f"{BY_SAGA}, outcome")
    return _graph(title, "From the start of an instance to its end.", "s", expression, NAMED + " {{outcome}}")


PARKED = f"sagamesh_sagas_parked{{{SAGA}}}"
CONNECTED = f"sagamesh_nats_connected{{{NAMESPACE}}} or sagamesh_operator_nats_connected"
REFUSED = f"sum(sagamesh_nats_refused{{{NAMESPACE}}})"
NOT_READY = f'1 - min by ({BY_SAGA}) (sagamesh_operator_saga_condition{{{SAGA}, type="Ready"}})'
UNREADABLE = " or ".join(
    f"increase(sagamesh_{kind}_registers_total{{{NAMESPACE}}}[5m])" for kind in ("unreadable", "implausible")
)

ALARMS = (
    _alarm("Parked sagas", "Instances that cannot go on without help.", f"sum({PARKED})"),
    _alarm("Apps away", "Sidecars that cannot reach their app.", f"sum(1 - sagamesh_app_up{{{NAMESPACE}}})"),
    _alarm("NATS away", "Sidecars and operators that cannot reach NATS.", f"sum(1 - ({CONNECTED}))"),
    _alarm("Refused by NATS", "Sidecars that lack rights in NATS.", REFUSED),
    _alarm("Sagas not ready", "Sagas whose rules are not with every sidecar.", f"sum({NOT_READY})"),
    _alarm(
        "Bad registers", "Deliveries in five minutes that cannot be read, or that contradict.", f"sum({UNREADABLE})"
    ),
)

SAGAS = (
    _graph("Started", "Instances started.", "cps", _rate("sagas_started_total", BY_SAGA), NAMED),
    _ended("Completed", "Instances that went all the way forward.", "committed"),
    _ended("Compensated", "Instances that went all the way back.", "aborted"),
    _graph("Parked", "Instances that cannot go on without help.", "none", f"sum by ({BY_SAGA}) ({PARKED})", NAMED),
    _duration("Duration, median", 0.5),
    _duration("Duration, 95 of 100 are faster", 0.95),
)

STEPS = (
    _graph("Calls", "Calls to the apps.", "cps", _rate("calls_total", BY_STEP), STEP),
    _graph(
        "Calls that were not done",
        "Calls to the apps that were not answered 2xx, by their answer.",
        "cps",
        _rate("calls_total", f"{BY_STEP}, answer", ', answer!~"2.."'),
        STEP + ": {{answer}}",
    ),
    _graph(
        "Latency, 95 of 100 are faster",
        "Time until the app's answer.",
        "s",
        _quantile(0.95, "call_duration_seconds", BY_STEP),
        STEP,
    ),
)

GROUND = (
    _graph(
        "Apps away",
        "1 where a sidecar cannot reach its app.",
        "none",
        f"max by (namespace, pod) (1 - sagamesh_app_up{{{NAMESPACE}}})",
        "{{namespace}}/{{pod}}",
    ),
    Panel(
        "NATS",
        "Sidecars and operators that reach NATS, and that do not; sidecars that lack rights there; consumers of sagas "
        "that hand out nothing.",
        "none",
        (
            Query(f"sum({CONNECTED})", "connected"),
            Query(f"sum(1 - ({CONNECTED}))", "away"),
            Query(REFUSED, "refused"),
            Query(f"sum(1 - sagamesh_consumer_up{{{SAGA}}})", "consumers down"),
        ),
    ),
    _graph(
        "Deliveries",
        "How sidecars settled what the log handed them: `nak` comes again.",
        "cps",
        _rate("deliveries_total", f"{BY_SAGA}, result"),
        NAMED + " {{result}}",
    ),
    _graph(
        "Rules",
        "Live sidecars that hold a saga's rules (`synced`), or not yet (`behind`).",
        "none",
        f"max by ({BY_SAGA}, state) (sagamesh_operator_saga_sidecars{{{SAGA}}})",
        NAMED + " {{state}}",
    ),
    _graph("Sagas not ready", "1 where a saga's rules are not with every sidecar.", "none", NOT_READY, NAMED),
    _graph(
        "Turns of the operator",
        "How often it looked at a saga: `again` where something was left to do.",
        "cps",
        "sum by (result) (rate(sagamesh_operator_reconciles_total[$__rate_interval]))",
        "{{result}}",
    ),
)

INJECTOR = (
    _graph(
        "Pods that ask for a sidecar",
        "How often the injector was asked about a pod, by what came of it.",
        "cps",
        "sum by (result) (rate(sagamesh_injector_requests_total[$__rate_interval]))",
        "{{result}}",
    ),
    _graph(
        "Certificate",
        "How long the webhook's certificate still lasts: it is renewed in time by itself.",
        "s",
        "min(sagamesh_injector_certificate_expiry_timestamp_seconds) - time()",
        "left",
    ),
)

ROWS = (
    PanelRow("Alarms: all of it should be zero", 6, 4, ALARMS),
    PanelRow("Sagas", 3, 8, SAGAS),
    PanelRow("Steps", 3, 8, STEPS),
    PanelRow("Apps, NATS, rules", 3, 8, GROUND),
    PanelRow("Injector", 2, 8, INJECTOR),
)

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RED_FROM_ONE = {
    "mode": "absolute",
    "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}],
}
LOOKS: Mapping[str, Mapping[str, Any]] = {
    "stat": {
        "fieldConfig": {"defaults": {"color": {"mode": "thresholds"}, "decimals": 0, "thresholds": RED_FROM_ONE}},
        "options": {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
    },
    "timeseries": {
        "fieldConfig": {"defaults": {"color": {"mode": "palette-classic"}, "min": 0, "custom": {"fillOpacity": 10}}},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    },
}


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    return {
        "uid": "sagamesh-overview",
        "title": "Sagamesh: overview",
        "tags": ["sagamesh"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": [panel | {"id": number} for number, panel in enumerate(_panels(), 1)],
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        _variable("namespace", "Namespace", "label_values(sagamesh_rules_info, namespace)"),
        _variable("saga", "Saga", f"label_values(sagamesh_rules_info{{{NAMESPACE}}}, saga)"),
    ]


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    """Values of a label; all of them at first."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # whenever the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panels() -> Iterator[dict[str, Any]]:
    """Every row with its panels, from the top to the bottom."""
    top = 0
    for row in ROWS:
        yield {"type": "row", "title": row.title, "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}, "panels": []}
        top += 1
        wide = WIDTH // row.abreast
        for number, panel in enumerate(row.panels):
            line, column = divmod(number, row.abreast)
            place = {"x": column * wide, "y": top + line * row.height, "w": wide, "h": row.height}
            yield _panel(panel, place)
        top += -(-len(row.panels) // row.abreast) * row.height


def _panel(panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    look = LOOKS[panel.kind]
    defaults = look["fieldConfig"]["defaults"] | {"unit": panel.unit}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": look["options"],
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for number, query in enumerate(panel.queries)
        ],
    }
