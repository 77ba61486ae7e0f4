"""GET /metrics: what the server does and how long it takes, for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pericia.jobs import Job, Ledger
from pericia.types import Usage

__all__ = ["CONTENT_TYPE_LATEST", "Meter"]

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Meter:
    """The counters of one server; `num_waiting` is asked when they are read."""

    def __init__(self, ledger: Ledger, num_waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._ledger = ledger
        self._num_waiting = num_waiting
        self._requests = Counter(
            "pericia_requests", "Requests", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "pericia_request_seconds",
            "Time until the end of an answer",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._first_token = Histogram(
            "pericia_first_token_seconds",
            "Time until the first token",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "pericia_tokens", "Tokens read and written", ("kind",), registry=self._registry
        )
        self._registry.register(self)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the path with its ids left as names."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def answer(self, usage: Usage) -> None:
        """Count the tokens of an answer."""
        self._tokens.labels("in").inc(usage.tokens_in)
        self._tokens.labels("out").inc(usage.tokens_out)
        if usage.first_token_ms is not None:
            self._first_token.observe(usage.first_token_ms / 1000)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what is counted when it is read (prometheus_client calls this)."""
        waiting = GaugeMetricFamily("pericia_requests_in_house", "Answers at work or waiting")
        waiting.add_metric([], self._num_waiting())
        yield waiting
        jobs = GaugeMetricFamily("pericia_jobs", "Fine-tuning jobs", labels=["status"])
        for status, number in self._ledger.count(Job, "status").items():
            jobs.add_metric([status], number)
        yield jobs

    def text(self) -> bytes:
        """Return everything in Prometheus's format."""
        return generate_latest(self._registry)
