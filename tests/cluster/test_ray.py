"""Rooms on a real Ray cluster of two nodes and three replicas, of which parts are killed while people speak."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
from pathlib import Path

import pytest
from fleet import RATE, check, free_port, talk

from streamer.audio.files import read_audio
from streamer.cluster.config import of
from streamer.demo import CONVERSATION

pytest.importorskip("ray", reason="Ray is not installed: pip install 'speaker-streamer[ray]'")
pytestmark = [
    # Two nodes and three replicas take minutes on two cores, and Ray gives up on a node that starts slowly.
    pytest.mark.skipif(not os.environ.get("STREAMER_TEST_RAY"), reason="only with STREAMER_TEST_RAY=1"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own are not ours to mend
]

SECONDS = 16.0
#: Sixty are a matter of minutes: `STREAMER_TEST_RAY_SESSIONS=60`.
SESSIONS = int(os.environ.get("STREAMER_TEST_RAY_SESSIONS", "6"))
REPLICAS = 3


class Two:
    """The cluster. url: the way in."""

    def __init__(self, cluster, worker, url):
        self.cluster, self.worker, self.url = cluster, worker, url

    def processes(self, name):
        """The processes of this cluster whose title begins so."""
        nodes = [self.cluster.head_node, self.worker]
        raylets = {node.all_processes["raylet"][0].process.pid for node in nodes if node.all_processes.get("raylet")}
        found = []
        for path in Path("/proc").iterdir():
            try:
                title = (path / "cmdline").read_text() if path.name.isdigit() else ""
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1]) if title else 0
            except OSError:  # processes come and go
                continue
            if title.startswith(f"ray::{name}") and parent in raylets:
                found.append(int(path.name))
        return found


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    from streamer.cluster import app

    folder = tmp_path_factory.mktemp("cluster")
    small = {"object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, **small})
    try:
        worker = cluster.add_node(num_cpus=2, **small)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        port = free_port()
        server = {
            "store": str(folder / "speakers.db"),
            "state_dir": str(folder / "state"),
            "model": "sincnet",
            "max_streams": 100,
            "max_streams_per_address": 100,
            "snapshot_s": 1.0,
        }
        app.start(of({"port": port, "replicas": REPLICAS, "cpus": 0.5}, server, "the test"))
        yield Two(cluster, worker, f"ws://127.0.0.1:{port}")
        app.stop()
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def conversation():
    return read_audio(CONVERSATION).mono_16k()[: int(SECONDS * RATE)]


@pytest.mark.parametrize("lost", ["two of three replicas", "a proxy", "a node"])
async def test_no_session_is_lost_and_every_event_comes_once(two, conversation, lost):
    clean = await talk(two.url, conversation, speed=None)
    begun = asyncio.Semaphore(0)
    talking = [
        asyncio.create_task(talk(two.url, conversation, 1.0, 3.0 * n / SESSIONS, begun)) for n in range(SESSIONS)
    ]
    for _ in talking:
        await begun.acquire()
    await asyncio.sleep(SECONDS / 4)  # speech has a clock of its own; by then, every session has been saved
    if lost == "a node":
        two.cluster.remove_node(two.worker, allow_graceful=False)
    else:
        processes = two.processes("ServeReplica" if lost == "two of three replicas" else "ProxyActor")
        assert len(processes) == (REPLICAS if lost == "two of three replicas" else 2)
        for process in processes[: len(processes) - 1]:
            os.kill(process, signal.SIGKILL)
    talks = await asyncio.gather(*talking)
    check(talks, clean)
    # Which of the proxies and replicas had how many is Ray's choice.
    assert lost != "two of three replicas" or sum(one.reconnects for one in talks) > 0
    back = [one.longest_silence_s for one in talks if one.reconnects]
    print(f"{lost}: {len(back)} of {SESSIONS} lost their server, back after", sorted(round(each, 1) for each in back))
    print("median", round(statistics.median(back), 2) if back else None)
