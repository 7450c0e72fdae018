"""What the injector measures, for Prometheus. No pod and no participant has a name here: reviews are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)

from sagamesh_operator.injection.review import ReviewResult

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside every series, which nobody asks for


class InjectorMetrics:
    """`expiry`: when the certificate that is served ends, in seconds since 1970; 0: none is served yet."""

    def __init__(self, *, expiry: Callable[[], float] = lambda: 0.0) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "sagamesh_injector_requests_total",
            "Reviews of pods. result: injected; unchanged, nothing was to be done; refused; unreadable, no review.",
            ["result"],
            registry=self.registry,
        )
        for result in get_args(ReviewResult):
            self._requests.labels(result)
        Gauge(
            "sagamesh_injector_certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends, in seconds since 1970; 0: there is none yet.",
            registry=self.registry,
        ).set_function(expiry)

    def answered(self, result: ReviewResult) -> None:
        self._requests.labels(result).inc()

    def exposition(self) -> tuple[bytes, str]:
        """Body and content type of `/metrics`."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
