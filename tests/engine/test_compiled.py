"""What is compiled for the engine: as little as will do, since a first command waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

#: Enrols somebody, and prints what was compiled for it.
ENROL = """
from numba.core import event
from streamer import Model, Speakers
from streamer.demo import ENROLMENT

class Heard(event.Listener):
    def on_start(self, started):
        print(started.data["dispatcher"].py_func.__module__)
    def on_end(self, ended): ...

with event.install_listener("numba:compile", Heard()):
    with Speakers(Model.from_pretrained("default", device="cpu"), "sqlite://") as people:
        people.enroll("angus", ENROLMENT["angus"])
"""

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


def compiled_by(code: str, cache: Path) -> set[str]:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_an_enrolment_waits_for_no_kernel_but_the_one_that_measures_its_sound(tmp_path):
    assert {module for module in compiled_by(ENROL, tmp_path) if module.startswith("streamer.")} == {
        "streamer.engine.slots.sound"
    }


def test_no_kernel_needs_text_compiled(tmp_path):
    """Copying one array over another with a slice does: numba compiles the message of an error of shapes, for 2 s."""
    modules = compiled_by(COMPILE, tmp_path)
    assert {"streamer.engine.sliding", "streamer.engine.slots.sound", "streamer.engine.campplus.tiles"} <= modules
    assert "streamer.models.sinc" in modules
    assert not {module for module in modules if "unicode" in module}
