"""A real PostgreSQL for tests: Debian's, on the loopback interface, with a data directory of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 20.0


def _programs() -> Path | None:
    """Where Debian keeps initdb and postgres, or where the path says."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    there = str(found[-1]) if found else shutil.which("initdb")
    return Path(there).parent if there else None


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of a server, and its process."""
    if _programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    base = tmp_path_factory.mktemp("postgres")
    with running(base, tmp_path_factory.getbasetemp().parents[1]) as server:
        yield server


@contextlib.contextmanager
def running(base: Path, root: Path) -> Iterator[tuple[str, int]]:
    """A server in `base`, which is below `root`; where it is reached, and its process."""
    programs = _programs()
    assert programs is not None
    # The server refuses to run as root; Debian's package makes a user for it.
    user = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    folder = base / "data"
    folder.mkdir()
    if user:
        # pytest's folders are root's alone, one level deeper where tests run side by side.
        for parent in (base, *base.parents):
            if parent.is_relative_to(root):
                parent.chmod(parent.stat().st_mode | 0o011)
        shutil.chown(folder, "postgres", "postgres")
    initdb = [programs / "initdb", "-D", folder, "-U", "streamer", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, cwd="/", **user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", "", "-F"]
    server = subprocess.Popen(
        [programs / "postgres", "-D", folder, *options], stderr=subprocess.DEVNULL, cwd="/", **user
    )
    try:
        end = time.monotonic() + PATIENCE_S
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
        while subprocess.run(ready, check=False).returncode:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server did not start"
        yield f"postgresql+psycopg://streamer@127.0.0.1:{port}/postgres", server.pid
    finally:
        # Told politely, it waits for those who are connected, such as one who gave up on it while it stood still.
        server.send_signal(signal.SIGINT)
        server.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def url(database: tuple[str, int]) -> str:
    return database[0]


@contextlib.contextmanager
def frozen(database: tuple[str, int]) -> Iterator[None]:
    """All of the server stands still: what is sent to it arrives, and is not answered."""
    pid = database[1]
    parents = {int(path.name): path / "stat" for path in Path("/proc").iterdir() if path.name.isdigit()}
    children = []
    for number, stat in parents.items():
        with contextlib.suppress(OSError):  # processes come and go
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                children.append(number)
    for number in (pid, *children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        for number in (pid, *children):
            with contextlib.suppress(ProcessLookupError):  # its background processes come and go
                os.kill(number, signal.SIGCONT)
