"""Commands with a terminal for their streams."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

RUN = "import sys; from streamer.cli import main; sys.exit(main(sys.argv[1:]))"


def on_a_terminal(
    arguments: Sequence[str], folder: Path, code: str = RUN, typed: str = "", **environment: str
) -> tuple[int, str]:
    """The exit code of a command, and what its terminal shows. typed: what somebody answers it."""
    reader, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "XDG_DATA_HOME": str(folder)} | environment,
    )
    os.close(terminal)
    os.write(reader, typed.encode())
    said = b""
    with open(reader, "rb", buffering=0) as file:
        try:
            while block := file.read(1 << 16):
                said += block
        except OSError:  # the terminal's other end is closed
            pass
    return process.wait(), said.decode()
