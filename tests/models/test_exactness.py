"""What is promised in float32 is computed in float32, and the caller's settings are the caller's again."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from streamer.engine.incremental import IncrementalModel
from streamer.errors import ConfigurationError
from streamer.models import exactness
from streamer.models.exactness import products

#: What a program may have said before, as it is said: each in a process of its own, since torch keeps what was said.
SAID = [
    "pass",
    "torch.set_float32_matmul_precision('medium')",
    "torch.set_float32_matmul_precision('high')",
    "torch.backends.cudnn.allow_tf32 = False",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "torch.backends.fp32_precision = 'tf32'",
]
PROGRAM = """
import torch
from streamer.models import exactness
from streamer.models.exactness import products
{said}
exactness._cuda = lambda: True  # its settings are there without it, too

def settings():
    found = [kind.fp32_precision for kind in exactness._kinds()]
    for older in (lambda: torch.backends.cudnn.allow_tf32, lambda: torch.backends.cuda.matmul.allow_tf32,
                  torch.get_float32_matmul_precision):
        try:
            found.append(older())
        except RuntimeError:
            found.append("not to be asked")
    return found

before = settings()
with products("exact"):
    assert set(settings()[:5]) <= {{"none", "ieee"}}, settings()
assert settings() == before, (before, settings())
with products("tf32"):
    assert settings()[0] == settings()[2] == "tf32" and set(settings()[3:5]) <= {{"none", "ieee"}}, settings()
    with products("exact"):
        assert set(settings()[:5]) <= {{"none", "ieee"}}, settings()
assert settings() == before, (before, settings())
"""


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="this torch has the older settings alone")
@pytest.mark.parametrize("said", SAID)
def test_products_are_exact_inside_and_as_the_caller_said_afterwards(said):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(said=said)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_settings_are_put_back_when_the_last_of_several_threads_has_ended():
    inside, leave = threading.Event(), threading.Event()

    def compute() -> None:
        with products("exact"):
            inside.set()
            leave.wait(60)

    other = threading.Thread(target=compute)
    with products("exact"):
        other.start()
        assert inside.wait(60)
    assert exactness._running["exact"] == 1
    leave.set()
    other.join(60)
    assert exactness._running["exact"] == 0 and exactness._in_force is None


def test_a_failed_computation_leaves_nothing_changed():
    with pytest.raises(ZeroDivisionError), products("exact"):
        _ = 1 / 0
    assert exactness._running == {"exact": 0, "tf32": 0}


def test_tf32_is_refused_where_there_is_none(local_model):
    with pytest.raises(ConfigurationError, match="is for CUDA devices"):
        IncrementalModel(local_model, precision="tf32")
