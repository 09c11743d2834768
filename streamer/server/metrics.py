"""The metrics of /metrics, in the format of Prometheus. Each server has its own registry, so that two do not mix."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LAG = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The server's counters. Labels come from fixed lists only: a client must not be able to invent new series."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.streams = Gauge("streamer_streams", "Streams that hold a slot.", registry=registry)
        self.capacity = Gauge("streamer_streams_capacity", "Streams that may run at once.", registry=registry)
        self.connections = Gauge("streamer_connections", "Open sockets.", registry=registry)
        self.detached = Gauge("streamer_sessions_detached", "Sessions that wait for their client.", registry=registry)
        self.lag = Histogram(
            "streamer_lag_seconds",
            "From the arrival of a step's last sample to its events.",
            buckets=_LAG,
            registry=registry,
        )
        self.sessions = Counter("streamer_sessions", "Sessions begun.", registry=registry)
        self.resumes = Counter("streamer_resumes", "Sessions that went on after a lost connection.", registry=registry)
        self.windows = Counter("streamer_windows", "Windows embedded.", registry=registry)
        self.events = Counter("streamer_events", "Events decided.", registry=registry)
        self.audio = Counter("streamer_audio_seconds", "Audio received.", registry=registry)
        self.skipped = Counter("streamer_steps_skipped", "Steps left out.", registry=registry)
        self.gap_seconds = Counter("streamer_gap_seconds", "Audio that was missing.", registry=registry)
        self.errors = Counter("streamer_errors", "Errors told to clients.", ["code"], registry=registry)
        self.refused = Counter("streamer_connections_refused", "Sockets over the limit.", registry=registry)
        self.batch = Gauge("streamer_batch_size", "Blocks in an average batch.", registry=registry)
        self.device = Counter("streamer_device_seconds", "Time that the device worked.", registry=registry)
        self.webhook = Gauge(
            "streamer_webhook_events", "Events of calls by what became of them.", ["result"], registry=registry
        )
        self.snapshots = Counter(
            "streamer_snapshots", "States of sessions by what became of them.", ["result"], registry=registry
        )
        self.kept = Gauge("streamer_sessions_kept", "1 while running sessions can be written down.", registry=registry)
        self.kept_age = Gauge(
            "streamer_sessions_kept_age_seconds",
            "Of the running session whose kept state is the oldest.",
            registry=registry,
        )
        self._device_seen = 0.0
        self._refresh: Callable[[], Mapping[str, float]] = dict
        self._webhook: Callable[[], Mapping[str, int]] = dict
        self._keeping: tuple[Callable[[], float], Callable[[], bool]] = (lambda: 0.0, lambda: False)

    def watch(self, refresh: Callable[[], Mapping[str, float]]) -> None:
        """Call `refresh` at each scrape: streams, connections, detached, batch_size, device_s."""
        self._refresh = refresh

    def watch_webhook(self, statistics: Callable[[], Mapping[str, int]]) -> None:
        """Call `statistics` at each scrape: sent, dropped, refused, retries."""
        self._webhook = statistics

    def watch_keeping(self, age_s: Callable[[], float], works: Callable[[], bool]) -> None:
        """Call these at each scrape."""
        self._keeping = age_s, works

    def text(self) -> bytes:
        """All metrics with their present values."""
        now = self._refresh()
        gauges = {"streams": self.streams, "connections": self.connections, "detached": self.detached}
        for name, gauge in {**gauges, "batch_size": self.batch}.items():
            gauge.set(now.get(name, 0.0))
        for result, count in self._webhook().items():
            self.webhook.labels(result).set(count)
        age_s, works = self._keeping
        self.kept_age.set(age_s())
        self.kept.set(works())
        device = now.get("device_s", 0.0)
        self.device.inc(max(0.0, device - self._device_seen))
        self._device_seen = device
        return generate_latest(self.registry)
