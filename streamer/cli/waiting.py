"""A sign of life while a command gets ready: what it waits for, on standard error.

On a terminal it is a spinner, which is gone when the command has something to say; on one that cannot be drawn on
(TERM=dumb) a line for each; in a pipe or a log nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from streamer.engine.incremental import IncrementalModel

TORCH = "loading torch"
MODEL = "loading the model"
KERNELS = "compiling kernels (once)"

#: As much faint noise fills the longest window, and a step more.
REHEARSED_S = 3.5

Say = Callable[[str], None]


class _Sign:
    """What is waited for, drawn or said, until it is put away."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        from streamer.sinks.text import draws

        self.console, self.said = console, ""
        self._live: Live | None = None
        if draws(console):
            self._spinner = Spinner("dots")
            # The streams stay what they are: a log or a sink may hold them for longer than this lasts.
            self._live = Live(
                self._spinner, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
            )

    def say(self, what: str) -> None:
        if what == self.said or (what == TORCH and "torch" in sys.modules):
            return
        self.said = what
        if self._live is not None:
            self._spinner.update(text=f"{what} ...")
            if not self._live.is_started:
                self._live.start(refresh=True)
        elif self.console.is_terminal:
            self.console.print(f"{what} ...")

    def put_away(self) -> None:
        if self._live is not None and self._live.is_started:
            self._live.stop()


#: The sign that is up; a second one within would be drawn over it.
_up: list[_Sign] = []


@contextmanager
def waiting(what: str, console: Console | None = None) -> Iterator[Say]:
    """Say what is waited for until this is left; the function that is given changes what is said. One within another
    goes on with the other's sign. console: where; standard error without."""
    if _up:
        _up[-1].say(what)
        yield _up[-1].say
        return
    from streamer.sinks.text import plain_console

    sign = _Sign(console or plain_console(stderr=True))
    _up.append(sign)
    try:
        sign.say(what)
        yield sign.say
    finally:
        _up.remove(sign)
        sign.put_away()


def import_torch() -> None:
    """Import it now, and say so: whatever imports it afterwards is quick."""
    with waiting(TORCH):
        import torch  # noqa: F401


@contextmanager
def compiling(say: Say) -> Iterator[None]:
    """Say so whenever something is compiled within, and not where it lies ready from an earlier run."""
    from numba.core import event

    class CompileListener(event.Listener):
        def on_start(self, _: Any) -> None:
            say(KERNELS)

        def on_end(self, _: Any) -> None: ...

    with event.install_listener("numba:compile", CompileListener()):
        yield


def rehearse(engine: IncrementalModel, say: Say) -> None:
    """Let an engine compute a little noise, so that what is compiled once is compiled before there is anything to hear:
    a microphone would run over meanwhile."""
    import numpy as np

    from streamer.audio.chunks import SAMPLE_RATE
    from streamer.speakers.settings import DURATIONS, STEP_S

    noise = np.random.default_rng(0).normal(0, 1e-3, round(REHEARSED_S * SAMPLE_RATE)).astype(np.float32)
    with compiling(say):
        engine.open(DURATIONS, STEP_S).push(noise)
