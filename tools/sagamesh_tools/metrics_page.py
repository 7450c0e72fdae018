"""`docs/metrics.md`, made of the metrics' definitions: labels, unit, and the help text, which says what it means."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics import MetricWrapperBase

from sagamesh_operator.injection.metrics import InjectorMetrics
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_tools.reference_page import table

PAGE = """\
<!-- Made by `make manifests` of the metrics' definitions: adapters/prometheus.py of the sidecar, metrics.py of the
operator and of its injection. What a metric means is its help text. -->

# Metrics

Every metric of every component, as Prometheus gets them at `/metrics`. Labels name sagas, steps and fields, never
instances. Your Prometheus adds the `namespace` and the `pod` that a series comes from; the operator's own label
`namespace` is that of the saga. A histogram has the series `_bucket`, `_sum` and `_count`.

[The dashboard and the alerts](operator.md#dashboard-and-alerts) ask for these.

## Sidecar

Port 3651 of each pod that takes part.

{sidecar}
## Operator

Port 8080.

{operator}
## Injector

Port 8080.

{injector}"""


def page() -> str:
    sidecar = PrometheusMetrics(app_up=lambda: True, connected=lambda: True)
    return PAGE.format(
        sidecar=_table(sidecar.registry),
        operator=_table(OperatorMetrics().registry),
        injector=_table(InjectorMetrics().registry),
    )


def _table(registry: CollectorRegistry) -> str:
    return table(("metric", "type", "labels", "unit", "meaning"), map(_row, _metrics(registry)))


def _metrics(registry: CollectorRegistry) -> Iterator[MetricWrapperBase]:
    """In the order in which they were defined. The library has no other way to ask for labels than its own fields."""
    for metric in registry._collector_to_names:
        assert isinstance(metric, MetricWrapperBase)
        yield metric


def _row(metric: MetricWrapperBase) -> tuple[str, ...]:
    [family] = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"`{name}`", family.type, labels, _unit(name, family.documentation), _meaning(metric, family.documentation)


def _unit(name: str, meaning: str) -> str:
    """What its values are: the name says it, as Prometheus wants it, or the meaning does."""
    if name.endswith("_timestamp_seconds"):
        return "seconds since 1970"
    if name.endswith("_seconds"):
        return "seconds"
    if name.endswith("_info"):
        return "1"
    return "0 or 1" if meaning.startswith("1 ") else "number"


def _meaning(metric: MetricWrapperBase, text: str) -> str:
    """A label whose values are told stands as code, as in `kind: action or compensation`."""
    for label in metric._labelnames:
        text = text.replace(f"{label}: ", f"`{label}`: ")
    if isinstance(metric, Histogram):
        text += f" Buckets up to {', '.join(f'{bound:g}' for bound in metric._upper_bounds[:-1])}."
    return text
