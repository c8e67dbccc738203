"""What Prometheus is told: /metrics."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)


class Metrics:
    """Of one process: behind `--workers N` each answers for itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        how: dict[str, Any] = {"namespace": "affectkit", "registry": self.registry}
        seconds, by_model = {"buckets": _SECONDS, **how}, ("model",)
        self.requests = Counter("requests", "Requests by status", ("route", "status"), **how)
        self.latency = Histogram("request_seconds", "From first byte to answer", ("route",), **seconds)
        self.queue_wait = Histogram("queue_wait_seconds", "Rows: from queue to batch", by_model, **seconds)
        self.batch_size = Histogram("batch_rows", "Rows answered at once", by_model, buckets=_SIZES, **how)
        self.padding = Histogram("batch_padding_share", "Of a batch, padding", by_model, buckets=_SHARES, **how)
        self.audio = Counter("audio_seconds", "Seconds of audio answered", by_model, **how)
        self.decoding = Histogram("decode_seconds", "Decoding of one upload", **seconds)
        self.inference = Histogram("inference_seconds", "Inference of one batch", by_model, **seconds)
        self.answers = Counter("answers", "Answers by class, for drift", ("model", "target", "answer"), **how)
        self.refused = Counter("refused", "Requests over capacity", ("limit",), **how)
        self.restarts = Counter("decoder_restarts", "Lost decoding processes replaced", **how)
        self.waiting = Gauge("waiting_rows", "Rows admitted and not answered", **how)
        self.ready = Gauge("ready", "1 where the service takes work", **how)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class Timings(dict[str, float]):
    """Milliseconds of one request, by name."""

    def __init__(self) -> None:
        super().__init__()
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """What passed since the lap before, or since the first moment."""
        now = time.perf_counter()
        self[name], self._last = round((now - self._last) * 1000, 3), now
