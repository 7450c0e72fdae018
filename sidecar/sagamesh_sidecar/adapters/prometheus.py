"""Metrics as Prometheus series. Children are resolved once per label set; labels never hold instance ids."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from sagamesh.log.registers import Name
from sagamesh.protocol.answers import Answer, Answered, Away
from sagamesh.protocol.attempt import WriteRefused
from sagamesh.rules.compiled import Rules

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside every series, which nobody asks for

CALL_BUCKETS = (0.005, 0.025, 0.1, 0.5, 2.0, 10.0)
SAGA_BUCKETS = (0.05, 0.25, 1.0, 5.0, 30.0, 300.0, 3600.0, 86400.0)
"""Seconds: of a call, from one on this machine to twice the default `timeout`; of a saga, from some calls to a day.
Few, since a scrape pauses the loop in proportion to the number of series."""
LABEL_SETS = 4096
"""Children that are kept at hand: those of a hundred steps with all of their answers. Others are looked up again."""


class PrometheusMetrics:
    """Implements `metrics.Metrics`. `app_up`, `connected`, `refused` and `in_flight` are asked at each scrape."""

    def __init__(
        self,
        *,
        app_up: Callable[[], bool],
        connected: Callable[[], bool],
        refused: Callable[[], bool] = lambda: False,
        in_flight: Callable[[], int] = int,
    ) -> None:
        registry = self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sagamesh_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"sagamesh_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"sagamesh_{name}", text, labels, buckets=buckets, registry=registry)

        self._started = counter("sagas_started", "Instances started through this sidecar's API.", "saga")
        self._finished = counter(
            "sagas_finished",
            "Instances whose last register this sidecar wrote. outcome: committed or aborted.",
            "saga",
            "outcome",
        )
        self._duration = histogram(
            "saga_duration_seconds",
            "From the start of an instance to its last register, where this sidecar wrote that, by the server's time.",
            SAGA_BUCKETS,
            "saga",
            "outcome",
        )
        self._parked = gauge(
            "sagas_parked",
            "Instances in which a step of this participant fails, or waits for help, for longer than parkAfter.",
            "saga",
        )
        self._calls = counter(
            "calls",
            "Calls to the app. kind: action or compensation. answer: the class of its status, such as 2xx; alone stand "
            "202, 409, 429 and 503; away: nobody took the connection; none: no answer that can be used.",
            "saga",
            "step",
            "kind",
            "answer",
        )
        self._call_duration = histogram(
            "call_duration_seconds",
            "Time until the app's answer, or until it was not waited for any longer.",
            CALL_BUCKETS,
            "saga",
            "step",
            "kind",
        )
        self._deliveries = counter(
            "deliveries",
            "Deliveries that were handled. result: ack, it is settled; nak, it comes again.",
            "saga",
            "result",
        )
        self._unevaluable = counter(
            "expressions_failed",
            "Expressions that could not be evaluated on an instance's data, which the saga's author must mend. "
            "place: the field, such as action.body.",
            "saga",
            "step",
            "place",
        )
        self._writes = counter(
            "writes",
            "Writes of registers. result: stored; exists, it was there; guard, what it asks for does not hold; "
            "unknown, the log did not answer, and it is written again.",
            "register",
            "result",
        )
        self._rules = gauge(
            "rules_info", "1 for each revision of a saga whose rules this sidecar holds.", "saga", "revision"
        )
        self._unreadable = counter(
            "unreadable_registers", "Deliveries that this version cannot read; each comes again once a minute."
        )
        self._implausible = counter(
            "implausible_registers",
            "Deliveries held because a register contradicts those that it has to follow.",
            "register",
        )
        self._consumers = gauge("consumer_up", "1 while deliveries of the saga can be asked for, 0 while not.", "saga")
        gauge("in_flight", "Deliveries in hand just now.").set_function(in_flight)
        gauge("app_up", "1 while the app can be reached, 0 while nobody listens there.").set_function(app_up)
        gauge("nats_connected", "1 while NATS answers, 0 while not.").set_function(connected)
        gauge(
            "nats_refused", "1 while NATS has lately refused something for want of rights, 0 while not."
        ).set_function(refused)
        self._child = lru_cache(maxsize=LABEL_SETS)(lambda metric, *labels: metric.labels(*labels))

    def holds(self, rules: Rules) -> None:
        self._rules.labels(rules.local.saga, rules.local.revision).set(1)
        self._parked.labels(rules.local.saga)

    def forgets(self, saga: str) -> None:
        for gauge in (self._rules, self._parked, self._consumers):
            gauge.remove_by_labels({"saga": saga})
        self._child.cache_clear()

    def listens(self, saga: str, up: Callable[[], bool]) -> None:
        """The deliveries of a saga are asked for from now on. `up` is asked at each scrape."""
        self._consumers.labels(saga).set_function(up)

    def started(self, saga: str) -> None:
        self._child(self._started, saga).inc()

    def finished(self, saga: str, outcome: str, seconds: float) -> None:
        self._child(self._finished, saga, outcome).inc()
        self._child(self._duration, saga, outcome).observe(seconds)

    def parked(self, saga: str, sagas: int) -> None:
        self._child(self._parked, saga).set(sagas)

    def called(self, saga: str, step: str, kind: str, answer: Answer, seconds: float) -> None:
        self._child(self._calls, saga, step, kind, _answer(answer)).inc()
        self._child(self._call_duration, saga, step, kind).observe(seconds)

    def unevaluable(self, saga: str, step: str, place: str) -> None:
        self._child(self._unevaluable, saga, step, place).inc()

    def delivered(self, saga: str, result: str) -> None:
        self._child(self._deliveries, saga, result).inc()

    def wrote(self, name: Name, result: int | WriteRefused) -> None:
        register = name.register.partition(".")[0]
        self._child(self._writes, register, result.name.lower() if isinstance(result, WriteRefused) else "stored").inc()

    def unreadable(self) -> None:
        self._unreadable.inc()

    def implausible(self, register: str) -> None:
        self._child(self._implausible, register).inc()

    def exposition(self) -> tuple[bytes, str]:
        """What a scrape gets, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


def _answer(answer: Answer) -> str:
    """The class of a status, or how there was none."""
    match answer:
        case Answered(status=status):
            return f"{status // 100}xx" if status not in (202, 409, 429, 503) else str(status)
        case Away():
            return "away"
        case _:
            return "none"
