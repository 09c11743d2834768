"""Shows on standard error what a command is waiting for while it starts.

On a terminal it is a spinner, which is removed when the command prints something; on one that cannot be drawn on
(TERM=dumb) it is a line for each message; in a pipe or a log, nothing.
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

#: Seconds of faint noise: the longest window and a step more.
REHEARSED_S = 3.5

Say = Callable[[str], None]


class _Sign:
    """The message on display, until it is removed."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        from streamer.sinks.text import draws

        self.console, self.said = console, ""
        self._live: Live | None = None
        if draws(console):
            self._spinner = Spinner("dots")
            # The streams are not replaced: a log or a sink may hold them for longer than this lasts.
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


#: The message on display; a second one would be drawn over it.
_up: list[_Sign] = []


@contextmanager
def waiting(what: str, console: Console | None = None) -> Iterator[Say]:
    """Show a message until the context is left; the yielded function changes the message. A nested call uses the outer
    display. console: the output; default: standard error."""
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
    """Import torch now, with a message, so that later imports are quick."""
    with waiting(TORCH):
        import torch  # noqa: F401


@contextmanager
def compiling(say: Say) -> Iterator[None]:
    """Show a message whenever something is compiled inside, and none if it is cached from an earlier run."""
    from numba.core import event

    class CompileListener(event.Listener):
        def on_start(self, _: Any) -> None:
            say(KERNELS)

        def on_end(self, _: Any) -> None: ...

    with event.install_listener("numba:compile", CompileListener()):
        yield


def rehearse(engine: IncrementalModel, say: Say) -> None:
    """Let an engine compute a little noise, so that everything is compiled before any audio arrives: a microphone would
    overflow meanwhile."""
    import numpy as np

    from streamer.audio.chunks import SAMPLE_RATE
    from streamer.speakers.settings import DURATIONS, STEP_S

    noise = np.random.default_rng(0).normal(0, 1e-3, round(REHEARSED_S * SAMPLE_RATE)).astype(np.float32)
    with compiling(say):
        engine.open(DURATIONS, STEP_S).push(noise)
