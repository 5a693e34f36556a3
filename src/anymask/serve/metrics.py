"""Numbers for Prometheus, in a registry of the application's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anymask.optional import optional

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """What is counted.

    Args:
        measured: Functions that give a number now, by name; their sentences, too.
    """

    def __init__(self, measured: dict[str, tuple[str, Callable[[], float]]]) -> None:
        prometheus = optional("prometheus_client", extra="serve")
        self._prometheus: Any = prometheus
        self._registry = prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "anymask_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = prometheus.Histogram(
            "anymask_request_seconds",
            "Time from a request's first byte to the last one of its answer, by route.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = prometheus.Histogram(
            "anymask_predict_batch",
            "Requests that one call of the decoder answered.",
            buckets=_BATCHES,
            registry=self._registry,
        )
        for name, (text, read) in measured.items():
            gauge = prometheus.Gauge(f"anymask_{name}", text, registry=self._registry)
            gauge.set_function(read)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batched(self, requests: int) -> None:
        """Count what one call of the decoder answered."""
        self._batches.observe(requests)

    def text(self) -> tuple[bytes, str]:
        """Give everything in Prometheus's form, and what that form is called."""
        data: bytes = self._prometheus.generate_latest(self._registry)
        return data, str(self._prometheus.CONTENT_TYPE_LATEST)
