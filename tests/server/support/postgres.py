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
def database(tmp_path_factory):
    """The address of a server, and its process."""
    if _programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    base = tmp_path_factory.mktemp("postgres")
    with running(base, tmp_path_factory.getbasetemp().parents[1]) as server:
        yield server


class Postgres:
    """A server of its own in `base`, which is below `root`: it can be gone for a while, and is then the same again."""

    def __init__(self, base: Path, root: Path) -> None:
        programs = _programs()
        assert programs is not None
        self._programs = programs
        # The server refuses to run as root; Debian's package makes a user for it.
        self._user: dict[str, str] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        self._folder = base / "data"
        self._folder.mkdir()
        if self._user:
            # pytest's folders are root's alone, one level deeper where tests run side by side.
            for parent in (base, *base.parents):
                if parent.is_relative_to(root):
                    parent.chmod(parent.stat().st_mode | 0o011)
            shutil.chown(self._folder, "postgres", "postgres")
        initdb = [programs / "initdb", "-D", self._folder, "-U", "streamer", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/", **self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql+psycopg://streamer@127.0.0.1:{self._port}/postgres"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, and wait until it answers."""
        options = ["-h", "127.0.0.1", "-p", str(self._port), "-k", "", "-F"]
        self.process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._folder, *options],
            stderr=subprocess.DEVNULL,
            cwd="/",
            **self._user,
        )
        end = time.monotonic() + PATIENCE_S
        ready = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port), "-t", "1"]
        while subprocess.run(ready, check=False).returncode:
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server did not start"

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End: SIGINT in order, whoever is connected; SIGQUIT as in a crash."""
        # Told politely, it waits for those who are connected, such as one who gave up on it while it stood still.
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def running(base: Path, root: Path) -> Iterator[tuple[str, int]]:
    """A server in `base`, which is below `root`; where it is reached, and its process."""
    server = Postgres(base, root)
    try:
        server.start()
        assert server.process is not None
        yield server.url, server.process.pid
    finally:
        server.stop()


@pytest.fixture(scope="module")
def url(database):
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
