"""The settings of a cluster: a TOML file with the tables `[cluster]` and `[server]`.

[cluster]
host = "127.0.0.1"
port = 8000
replicas = 3

[server]                       # as for `streamer serve`, for every replica
state_store = "postgresql+psycopg://streamer@db.example/rooms"
store = "postgresql+psycopg://streamer@db.example/rooms"
token_file = "/etc/streamer/tokens"
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from streamer.errors import ConfigurationError
from streamer.server.config import ServerConfig, load
from streamer.tomlfile import read_toml


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Raises ConfigurationError for invalid settings.

    host, port: address of every node's proxy. address: of a running Ray cluster; empty: start one here. replicas: their
    number; with max_replicas, the least number, and more start with more streams. max_replicas: 0 for the same as
    `replicas`. streams_per_replica: beyond it another replica starts, up to the maximum. lag_s: above this lag, another
    one starts too. cpus, gpus: of each replica, as Ray counts them. server: the settings of `streamer serve` for each
    replica; their host and port are not used.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    address: str = ""
    replicas: int = 1
    max_replicas: int = 0
    streams_per_replica: int = 50
    lag_s: float = 1.0
    cpus: float = 1.0
    gpus: float = 0.0
    server: ServerConfig

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise ConfigurationError(f"replicas={self.replicas}: at least 1 is needed.")
        if self.max_replicas and self.max_replicas < self.replicas:
            raise ConfigurationError(f"max_replicas={self.max_replicas} is below replicas={self.replicas}.")
        if self.streams_per_replica < 1:
            raise ConfigurationError(f"streams_per_replica={self.streams_per_replica}: at least 1 is needed.")
        if not 0 <= self.port <= 65535:
            raise ConfigurationError(f"port={self.port} is out of range; 0 to 65535 are allowed.")
        if not self.server.state_store and not self.server.state_dir:
            raise ConfigurationError(
                "state_store is not set in [server]: replicas need a database that keeps their sessions, such as "
                "postgresql+psycopg://streamer@db.example/rooms."
            )


def read(file: Path) -> ClusterConfig:
    """Raises ConfigurationError, with the file, for an unknown name or an invalid value."""
    tables = read_toml(file)
    if strange := sorted(set(tables) - {"cluster", "server"}):
        raise ConfigurationError(f"{file}: {', '.join(strange)}: only the tables [cluster] and [server] belong here.")
    return of(tables.get("cluster", {}), tables.get("server", {}), str(file))


def of(cluster: dict[str, Any], server: dict[str, Any], where: str) -> ClusterConfig:
    """The settings of two tables. where: their name in messages."""
    known = {item.name: type(item.default) for item in fields(ClusterConfig) if item.name != "server"}
    for name, value in cluster.items():
        if name not in known:
            raise ConfigurationError(f"{where}: [cluster] has no {name!r}; it has {', '.join(known)}.")
        good = int | float if known[name] is float else known[name]
        if isinstance(value, bool) or not isinstance(value, good):
            raise ConfigurationError(f"{where}: {name} is a {known[name].__name__}, not {value!r}.")
    flags = {"host": cluster.get("host", ClusterConfig.host), **server}
    return ClusterConfig(**cluster, server=load(None, {}, flags))
