"""Several servers behind nginx, as docs/deployment.md has it: what a crash, a rolling restart and a proxy cost.

python benchmarks/cluster.py kill --servers 3 --sessions 60
python benchmarks/cluster.py rolling --servers 2 --sessions 40
python benchmarks/cluster.py throughput --core-each
python benchmarks/cluster.py snapshots

Needs PostgreSQL, and nginx for all but the last. Servers, clients and database share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "server" / "support"))

from fleet import RATE, Talked, bare, fleet, talk  # type: ignore[import-not-found]
from postgres import running  # type: ignore[import-not-found]

from streamer.audio.files import read_audio
from streamer.demo import CONVERSATION


def speech(seconds: float) -> Any:
    return read_audio(CONVERSATION).mono_16k()[: int(seconds * RATE)]


def report(talks: list[Talked], clean: Talked) -> None:
    back = [one.longest_silence_s for one in talks if one.reconnects]
    same = sum(bare(one.events) == bare(clean.events) for one in talks)
    numbers = sum([event["id"] for event in one.events] == list(range(1, len(one.events) + 1)) for one in talks)
    print(f"{len(talks)} sessions: {same} with the events of an undisturbed run, {numbers} with every number once,")
    for one in talks:
        for message in one.messages:
            if message["type"] == "restart":
                print("  begun anew:", message)
    print(f"  {sum(one.restarts for one in talks)} begun anew, {len(back)} that went on at another server")
    if back:
        worst = max(back)
        print(f"  longest silence of those: median {statistics.median(back):.2f} s, worst {worst:.2f} s")


async def disturbed(how: str, url: str, servers: int, sessions: int, seconds: float, folder: Path) -> None:
    samples = speech(seconds)
    async with fleet(folder, servers, state_store=url, store=url) as made:
        clean = await talk(made.url, samples, speed=None)
        begun = asyncio.Semaphore(0)
        talking = [
            asyncio.create_task(talk(made.url, samples, 1.0, 5.0 * n / sessions, begun)) for n in range(sessions)
        ]
        for _ in talking:
            await begun.acquire()
        await asyncio.sleep(seconds / 4)
        if how == "kill":
            await made.members[0].end(signal.SIGKILL)
        else:
            for member in made.members:
                await member.end(signal.SIGTERM)
                await member.start()
        report(await asyncio.gather(*talking), clean)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pinned(pid: int, core: int) -> None:
    """Keep every thread of a process on one core, as a replica that is given one core is kept."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})


async def throughput(url: str, folder: Path, sessions: int, seconds: float, core_each: bool) -> None:
    """As fast as they take it: audio a second by one server, by two, and what nginx takes of the processor.

    core_each: every server has one core. Without it a server uses more than one, and two servers share what there is.
    """
    samples = speech(seconds)
    rates = []
    for count in (1, 2):
        options = {"state_store": url, "store": url, "max_rate": 1000.0, "burst_s": 3600.0, "snapshot_s": 3.0}
        (folder / str(count)).mkdir()
        async with fleet(folder / str(count), count, **options) as made:
            pids = [member.process.pid for member in made.members if member.process is not None]
            for core, pid in enumerate(pids):
                if core_each:
                    pinned(pid, core)
            for member in made.members:  # the first session of a process compiles and allocates
                await talk(f"ws://127.0.0.1:{member.port}", samples, speed=None)
            proxy = int((folder / str(count) / "nginx.pid").read_text())
            before = [cpu_s(pid) for pid in (*pids, proxy)]
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for _ in range(sessions):
                    group.create_task(talk(made.url, samples, speed=None, windows=False))
            took = time.monotonic() - began
            *servers, nginx = [cpu_s(pid) - was for pid, was in zip((*pids, proxy), before, strict=True)]
        rates.append(sessions * seconds / took)
        print(f"{count} server(s): {rates[-1]:.0f} s of audio a second; CPU of servers {sum(servers):.1f} s, ", end="")
        print(f"of nginx {nginx:.2f} s ({nginx / sum(servers):.1%})")
    print(f"2 servers give {rates[1] / rates[0]:.2f} times what 1 gives")


def snapshots(url: str) -> None:
    """How many sessions a second a database takes, by one writer."""
    from streamer.server.keeping.database import Database
    from streamer.server.keeping.sessionstore import Item

    session_store = Database(url, 90.0)
    for size in (75_000, 150_000, 300_000):
        data = os.urandom(size)
        items = [Item(f"{size:032}{n:032}", 1, "bench", data) for n in range(320)]
        times = []
        for _ in range(3):
            began = time.monotonic()
            for start in range(0, len(items), 32):
                session_store.put(items[start : start + 32])
            times.append(time.monotonic() - began)
        rate = len(items) / min(times)
        print(f"{size / 1000:.0f} kB: {rate:.0f} sessions a second, {rate * size / 1e6:.0f} MB a second")
    session_store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kill", "rolling", "throughput", "snapshots"])
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=24.0, help="of speech in each session, up to 60")
    parser.add_argument("--core-each", action="store_true", help="throughput: one core for each server")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "postgres").mkdir()
        with running(folder / "postgres", folder.parent) as (url, _):
            if args.what == "snapshots":
                snapshots(url)
            elif args.what == "throughput":
                asyncio.run(throughput(url, folder, args.sessions, args.seconds, args.core_each))
            else:
                asyncio.run(disturbed(args.what, url, args.servers, args.sessions, args.seconds, folder))


if __name__ == "__main__":
    main()
