"""What the operator measures, for Prometheus. Labels name sagas, never instances. The injector has its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from sagamesh.log.registers import SagaKey

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside every series, which nobody asks for

SAGA = ("namespace", "saga")


class OperatorMetrics:
    """`connected`: whether NATS answers. `behind`: seconds for which the watch owes something."""

    def __init__(
        self, *, connected: Callable[[], bool] = lambda: True, behind: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.registry = CollectorRegistry()
        self._conditions = self._gauge(
            "saga_condition",
            "1 where a condition of the Saga is true, 0 where not. type: the condition.",
            *SAGA,
            "type",
        )
        self._sidecars = self._gauge(
            "saga_sidecars",
            "Live sidecars of the saga. state: synced, they hold the revision; behind, not yet.",
            *SAGA,
            "state",
        )
        self._retiring = self._gauge("saga_retiring_instances", "Instances of a deleted saga that still run.", *SAGA)
        self._waiting = self._gauge("queue_length", "Sagas that wait for their turn, or have it.")
        self._reconciles = Counter(
            "sagamesh_operator_reconciles_total",
            "Turns, each of which looks at one Saga. result: done; again, where something is left to do.",
            ["result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sagamesh_operator_reconcile_duration_seconds", "Time that one turn took.", registry=self.registry
        )
        self._gauge("nats_connected", "1 while NATS answers, 0 while not.").set_function(lambda: float(connected()))
        self._gauge(
            "watch_behind_seconds", "How long the watch on Sagas has owed what a list showed; 0: nothing."
        ).set_function(behind)

    def _gauge(self, name: str, help_: str, *labels: str) -> Gauge:
        return Gauge(f"sagamesh_operator_{name}", help_, labels, registry=self.registry)

    def saga(self, key: SagaKey, status: Mapping[str, Any]) -> None:
        """What is said of a saga."""
        for condition in status["conditions"]:
            self._conditions.labels(*key, condition["type"]).set(condition["status"] == "True")
        synced = sum(each["synced"] for each in status["participants"])
        every = sum(each["sidecars"] for each in status["participants"])
        self._sidecars.labels(*key, "synced").set(synced)
        self._sidecars.labels(*key, "behind").set(every - synced)

    def forget(self, key: SagaKey) -> None:
        """A saga was deleted."""
        for gauge in (self._conditions, self._sidecars):
            gauge.remove_by_labels(dict(zip(SAGA, key, strict=True)))

    def retiring(self, key: SagaKey, running: int | None) -> None:
        """How many instances of a deleted saga still run; None: it is gone."""
        if running is None:
            self._retiring.remove_by_labels(dict(zip(SAGA, key, strict=True)))
        else:
            self._retiring.labels(*key).set(running)

    def queue(self, length: Callable[[], int]) -> None:
        """How many sagas wait for their turn, or have it: asked at each scrape."""
        self._waiting.set_function(length)

    def reconciled(self, seconds: float, result: str) -> None:
        self._seconds.observe(seconds)
        self._reconciles.labels(result).inc()

    def exposition(self) -> tuple[bytes, str]:
        """Body and content type of `/metrics`."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
