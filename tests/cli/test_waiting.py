"""A sign of life: what is waited for is said at once, where somebody looks; nothing is compiled or loaded in vain."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from importlib import import_module

import numba
import pytest
from processor import cheap
from rich.console import Console
from terminal import on_a_terminal

from streamer.cli.waiting import KERNELS, MODEL, TORCH, compiling, waiting
from streamer.demo import CONVERSATION, ENROLMENT

VOICE = str(ENROLMENT["angus"])
#: Runs a command up to where it imports torch, and says what processor time it had taken by then.
UP_TO_TORCH = """
import sys, time

class Torch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch is imported after", time.process_time(), "s", flush=True)
            raise KeyboardInterrupt

sys.meta_path.insert(0, Torch())
from streamer.cli import main
sys.exit(main(sys.argv[1:]))
"""


COMMANDS = {
    "run": ["run", str(CONVERSATION)],
    "live": ["live", "--simulate"],
    "enroll": ["speakers", "enroll", "Ada", VOICE],
    "check": ["speakers", "check"],
    "embed": ["embed", VOICE],
    "verify": ["verify", VOICE, VOICE],
    "serve": ["serve", "--port", "0"],
    "info": ["model", "info"],
    "convert": ["model", "convert", "default", "out.safetensors"],
    "drift": ["model", "drift", "default", VOICE],
    "meeting": ["meeting", "--config", "room.toml"],
    "evaluate speech": ["evaluate", "speech", "."],
    "evaluate recordings": ["evaluate", "recordings", "."],
    "evaluate verify": ["evaluate", "verify", "trials"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("waiting")
    (path / "room.toml").write_text(f'[[input]]\nfile = "{CONVERSATION}"\n')
    (path / "trials").write_text(f"1 {VOICE} {VOICE}\n")
    return path


@pytest.mark.skipif(os.name != "posix", reason="a terminal is a pair of files")
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=list(COMMANDS))
def test_a_terminal_is_told_soon_and_before_torch_is_imported(arguments, folder):
    def measured() -> tuple[tuple[str, str], float]:
        _, said = on_a_terminal(arguments, folder, UP_TO_TORCH)
        before, mark, after = said.partition("torch is imported after ")
        assert mark, said
        return (before, after), float(after.split()[0])

    before, after = cheap(measured, times=4.0)
    assert f"{TORCH} ..." in before
    # The line is taken away again, and the cursor is back.
    assert "\x1b[?25h" in after
    assert "\x1b[2K" in after


@pytest.mark.skipif(os.name != "posix", reason="a terminal is a pair of files")
def test_a_terminal_that_cannot_be_drawn_on_gets_lines(folder):
    _, said = on_a_terminal(["embed", VOICE], folder, UP_TO_TORCH, TERM="dumb")
    assert said.startswith(f"{TORCH} ...\r\n")
    assert "\x1b" not in said


def test_a_pipe_gets_nothing(folder):
    done = subprocess.run(
        [sys.executable, "-c", UP_TO_TORCH, "embed", VOICE], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("torch is imported after")
    assert done.stderr == ""


@pytest.fixture
def dumb():
    return Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})


def test_one_wait_within_another_is_said_on_the_same_sign_and_once(dumb):
    with waiting("this", dumb), waiting(MODEL), waiting(MODEL) as say:
        say(MODEL)
    with waiting("this", dumb):
        pass
    assert dumb.file.getvalue().splitlines() == ["this ...", f"{MODEL} ...", "this ..."]  # type: ignore[attr-defined]


def test_what_is_there_already_is_not_waited_for(dumb):
    assert "torch" in sys.modules
    with waiting(TORCH, dumb) as say:
        say(TORCH)
    assert dumb.file.getvalue() == ""  # type: ignore[attr-defined]


def test_the_sign_goes_when_what_is_waited_for_fails():
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"})
    with pytest.raises(ZeroDivisionError), waiting("this", console):
        raise ZeroDivisionError
    assert console.file.getvalue().endswith("\x1b[2K")  # type: ignore[attr-defined]
    with waiting(MODEL, console):
        assert f"{MODEL} ..." in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_is_compiled_is_said_and_what_lies_ready_is_not():
    said: list[str] = []
    add = numba.njit(lambda x: x + 1)
    with compiling(said.append):
        add(1)
        assert said == [KERNELS]
        add(2)
    add(1.5)
    assert said == [KERNELS]


def test_after_the_rehearsal_nothing_is_left_to_compile(tmp_path):
    code = (
        "from streamer import Model, read_audio\n"
        "from streamer.cli.waiting import compiling, rehearse\n"
        "from streamer.engine.incremental import IncrementalModel\n"
        "from streamer.speakers.settings import DURATIONS, STEP_S\n"
        "engine, said = IncrementalModel(Model.from_pretrained('default')), []\n"
        "rehearse(engine, said.append)\n"
        "stream = engine.open(DURATIONS, STEP_S)\n"
        "with compiling(lambda what: said.append('too late')):\n"
        f"    stream.push(read_audio({VOICE!r}).mono_16k())\n"
        "    stream.finish()\n"
        "import json; print(json.dumps(said))\n"
    )
    for expected in ({KERNELS}, set()):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        )
        # The second time it lies ready.
        assert set(json.loads(done.stdout)) == expected


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("streamer.engine.layers", ["quantise", "dequantise"]),
        ("streamer.engine.pieces", []),
        ("streamer.engine.sliding", []),
        ("streamer.models.sinc", []),
    ],
)
def test_every_compiled_loop_is_kept_on_disk(module, names):
    loops = {name: value for name, value in vars(import_module(module)).items() if hasattr(value, "py_func")}
    assert loops
    assert set(names) <= set(loops)
    assert all(type(loop._cache).__name__ == "FunctionCache" for loop in loops.values())


@pytest.mark.parametrize(
    "arguments",
    [["speakers", "list"], ["speakers", "erase"], ["live", "--list-devices"], ["serve", "--print-config"]],
    ids=" ".join,
)
def test_a_command_that_computes_nothing_loads_neither_torch_nor_numba(arguments, tmp_path):
    code = "import sys; from streamer.cli import main; main(sys.argv[1:])"
    code += "; print('torch' in sys.modules, 'numba' in sys.modules)"
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "False False"
