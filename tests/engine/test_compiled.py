"""What is compiled for the engine: as little as will do, since a first command waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

#: Compiles all that the bundled networks need, and prints which of numba's own functions that took.
COMPILE = """
import numpy as np
from numba.core import event
from streamer.engine.incremental import IncrementalModel
from streamer.models.model import Model

class Heard(event.Listener):
    def on_start(self, started):
        print(started.data["dispatcher"].py_func.__module__)
    def on_end(self, ended): ...

noise = np.random.default_rng(0).normal(0, 1e-2, 56_000).astype(np.float32)
with event.install_listener("numba:compile", Heard()):
    for name in ("campplus-live", "sincnet"):
        engine = IncrementalModel(Model.from_pretrained(name, device="cpu"))
        engine.open((1.0, 3.0), 1.0).push(noise)
"""


def test_no_kernel_needs_text_compiled(tmp_path: Path):
    """Copying one array over another with a slice does: numba compiles the message of an error of shapes, for 2 s."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=True)
    modules = set(ran.stdout.split())
    assert {"streamer.engine.sliding", "streamer.engine.slots.sound", "streamer.engine.campplus.tiles"} <= modules
    assert "streamer.engine.sincnet.sinc" in modules
    assert not {module for module in modules if "unicode" in module}
