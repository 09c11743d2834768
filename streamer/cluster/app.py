"""The application for Ray Serve: replicas that speak `streamer.v1`, each with its own engine.

serve run streamer.cluster.app:build config=cluster.toml

Serve keeps a WebSocket at the replica that took it, chooses the less busy of two for a new one, and starts another
replica for one that died. Sessions are saved in the store that the replicas share, so they can continue at any of them.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from streamer.cluster.config import ClusterConfig, read
from streamer.cluster.library import ray_or_why
from streamer.errors import ConfigurationError

#: A replica that is taken down is not waited for: its sessions are in the store, and their clients resume at once.
DRAIN_S = 2.0
HEALTH_S = 2.0


class ReplicaPolicy:
    """The number of replicas: an autoscaling policy of Serve.

    streams: most streams of one replica. lag_s: above this lag, one more replica starts, whatever the streams.
    """

    def __init__(self, streams: int, lag_s: float) -> None:
        self._streams = streams
        self._lag_s = lag_s

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        metrics = context.aggregated_metrics or {}
        streams = sum(metrics.get("streams", {}).values())
        lag_s = max(metrics.get("lag_s", {}).values(), default=0.0)
        return self.replicas(streams, lag_s, context.target_num_replicas), {}

    def replicas(self, streams: float, lag_s: float, now: int) -> int:
        """Scale down only if a fifth of each remaining replica stays free, because every change moves sessions."""
        if lag_s > self._lag_s:
            return max(now + 1, math.ceil(streams / self._streams))
        needed = max(1, math.ceil(streams / self._streams))
        spacious = max(1, math.ceil(streams / (0.8 * self._streams)))
        return needed if needed > now else min(now, spacious)


def application(config: ClusterConfig) -> Any:
    """The Serve application. Raises MissingDependency without Ray."""
    ray_or_why()
    from ray import serve

    settings = config.server

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for moment in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{moment}.complete"})
            return
        await serve.get_replica_context().servable_object.asgi(scope, receive, send)

    def door() -> Any:
        return streams  # Serve calls this function: its result is the application

    class RoomsReplica:
        async def __init__(self) -> None:  # type: ignore[misc] # Serve awaits it
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            import sys

            from streamer.cluster.replica import Replica
            from streamer.server import log

            log.configure(settings.log_level, sys.stderr)
            self._replica = Replica(settings)
            await self._replica.__aenter__()

        async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
            await self._replica.server.answer(scope, receive, send)

        def check_health(self) -> None:
            self._replica.check()

        def record_autoscaling_stats(self) -> dict[str, float]:
            return self._replica.load()

        async def __del__(self) -> None:
            await self._replica.__aexit__()

    options: dict[str, Any] = {
        "name": "rooms",
        # A session is one request for its whole life; the replica itself answers `busy` beyond its capacity.
        "max_ongoing_requests": 100_000,
        "graceful_shutdown_timeout_s": DRAIN_S,
        "graceful_shutdown_wait_loop_s": DRAIN_S / 4,
        "health_check_period_s": HEALTH_S,
        "health_check_timeout_s": 30.0,
        "ray_actor_options": {"num_cpus": config.cpus, "num_gpus": config.gpus},
    }
    if config.max_replicas > config.replicas:
        options["autoscaling_config"] = {
            "min_replicas": config.replicas,
            "max_replicas": config.max_replicas,
            "target_ongoing_requests": config.streams_per_replica,
            "policy": {
                "policy_function": ReplicaPolicy,
                "policy_kwargs": {"streams": config.streams_per_replica, "lag_s": config.lag_s},
            },
        }
    else:
        options["num_replicas"] = config.replicas
    return serve.deployment(**options)(serve.ingress(door)(RoomsReplica)).bind()


def build(args: dict[str, str]) -> Any:
    """For `serve run streamer.cluster.app:build config=FILE`. Raises ConfigurationError."""
    if set(args) != {"config"}:
        raise ConfigurationError("give one argument, the file of settings: config=cluster.toml")
    return application(read(Path(args["config"])))


def start(config: ClusterConfig) -> None:
    """Join the Ray cluster of the settings, or start one here, and deploy. Returns when all replicas serve."""
    ray = ray_or_why()
    from ray import serve

    if not ray.is_initialized():
        where = {"address": config.address} if config.address else {"include_dashboard": False}
        ray.init(log_to_driver=False, logging_level="warning", **where)
    # A proxy on every node: clients can use any of them, and a failed proxy ends no session.
    serve.start(proxy_location="EveryNode", http_options={"host": config.host, "port": config.port})
    serve.run(application(config), name="streamer", route_prefix="/")


def stop() -> None:
    """Remove the rooms from the cluster; their sessions stay in the store."""
    ray_or_why()
    from ray import serve

    serve.shutdown()
