"""What a cluster is told, and how many replicas it wants; what needs no Ray to run."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from streamer.cluster.app import ReplicaPolicy
from streamer.cluster.config import read
from streamer.cluster.replica import Hosted
from streamer.engine.engine import Engine
from streamer.errors import ConfigurationError
from streamer.server.config import ServerConfig
from streamer.speakers.store import SpeakerStore

SERVER = '[server]\nstate_store = "sqlite:///state.db"\n'


def test_the_file_of_a_cluster_gives_its_settings_and_those_of_every_server(tmp_path):
    (tmp_path / "cluster.toml").write_text("[cluster]\nreplicas = 3\nlag_s = 2\n" + SERVER + "max_streams = 7\n")
    config = read(tmp_path / "cluster.toml")
    assert (config.replicas, config.lag_s, config.server.max_streams) == (3, 2, 7)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[cluster]\nreplica = 3\n" + SERVER, "has no 'replica'"),
        ("[cluster]\nreplicas = 0\n" + SERVER, "at least 1"),
        ("[cluster]\nreplicas = '3'\n" + SERVER, "is a int, not '3'"),
        ("[cluster]\nreplicas = true\n" + SERVER, "is a int, not True"),
        ("[cluster]\nreplicas = 3\nmax_replicas = 2\n" + SERVER, "below replicas"),
        ("[clusters]\n" + SERVER, "only the tables"),
        ("[cluster]\n", "state_store is not set"),
        ("[cluster]\nhost = '0.0.0.0'\n" + SERVER, "token_file is needed"),
        (SERVER + "speed = 3\n", "there is no setting 'speed'"),
    ],
)
def test_what_cannot_be_is_said_with_the_way_out(tmp_path, text, why):
    (tmp_path / "cluster.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=why):
        read(tmp_path / "cluster.toml")


def test_replicas_come_with_streams_and_with_lag_and_go_only_where_there_is_room_to_spare():
    wanted = ReplicaPolicy(streams=50, lag_s=1.0)
    assert wanted.replicas(streams=0, lag_s=0.0, now=1) == 1
    assert wanted.replicas(streams=51, lag_s=0.0, now=1) == 2
    assert wanted.replicas(streams=240, lag_s=0.0, now=2) == 5
    assert wanted.replicas(streams=10, lag_s=1.5, now=2) == 3, "however few they are, they are late"
    assert wanted.replicas(streams=49, lag_s=0.0, now=2) == 2, "one alone would be full"
    assert wanted.replicas(streams=40, lag_s=0.0, now=2) == 1


def test_nothing_but_a_cluster_imports_ray():
    code = "import sys, streamer, streamer.cluster, streamer.cluster.app, streamer.cli; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_plain_http_is_answered_without_a_socket(local_model, tmp_path):
    sent: list[dict[str, Any]] = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/healthz",
        "raw_path": b"/healthz",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 80),
    }
    with SpeakerStore(tmp_path / "speakers.db") as store:
        async with Engine(local_model) as engine, Hosted(ServerConfig(max_streams=4), engine, store) as server:
            await server.answer(scope, receive, send)

    assert sent[0]["status"] == 200
    assert b"".join(message.get("body", b"") for message in sent) == b"ok\n"
