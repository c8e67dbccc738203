"""What Prometheus is told: /metrics."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)


class Metrics:
    """Of one process: behind `--workers N` each answers for itself."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def name(text: str) -> str:
            return f"affectkit_{text}"

        def histogram(text: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name(text), help_text, labels, buckets=buckets, registry=registry)

        self.requests = Counter(name("requests"), "Requests by status", ("route", "status"), registry=registry)
        self.latency = histogram("request_seconds", "From first byte to answer", _SECONDS, "route")
        self.queue_wait = histogram("queue_wait_seconds", "Rows: from queue to batch", _SECONDS, "model")
        self.batch_size = histogram("batch_rows", "Rows answered at once", _SIZES, "model")
        self.padding = histogram("batch_padding_share", "Share of a batch that is padding", _SHARES, "model")
        self.audio = Counter(name("audio_seconds"), "Seconds of audio answered", ("model",), registry=registry)
        self.decoding = histogram("decode_seconds", "Decoding of one upload", _SECONDS)
        self.inference = histogram("inference_seconds", "Inference of one batch", _SECONDS, "model")
        self.answers = Counter(
            name("answers"), "Answers by class, for drift", ("model", "target", "answer"), registry=registry
        )
        self.refused = Counter(name("refused"), "Requests over capacity", ("limit",), registry=registry)
        self.restarts = Counter(name("decoder_restarts"), "Lost decoding processes replaced", registry=registry)
        self.waiting = Gauge(name("waiting_rows"), "Rows admitted and not answered", registry=registry)
        self.ready = Gauge(name("ready"), "1 where the service takes work", registry=registry)

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
