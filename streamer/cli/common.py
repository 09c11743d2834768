"""What the subcommands share: options, and a progress bar that does not flicker for quick work."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from streamer.models.model import Model

ModelOption = Annotated[
    str,
    typer.Option(
        "--model", "-m", help='A model: "default", "sincnet", "campplus", a file, a directory, or a Hugging Face id.'
    ),
]
DeviceOption = Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, cuda:N or mps.")]
TokenOption = Annotated[
    str | None, typer.Option(help="Hugging Face token, for gated models. HF_TOKEN and `hf auth login` count too.")
]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face model.")]

#: Work that is done sooner shows no bar.
PATIENCE_S = 2.0


def load_model(source: str, device: str = "cpu", token: str | None = None, revision: str | None = None) -> Model:
    """The model of the options above."""
    from streamer.models.model import Model

    return Model.from_pretrained(source, token=token, revision=revision, device=device)


class LateProgress:
    """A bar on stderr, from two seconds after the start on, where stderr is a terminal.

    label: what is being done. total: how much there is to do, in the unit of `update`.
    """

    def __init__(
        self,
        label: str,
        total: float,
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label, self.total = label, total
        self._clock = clock
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID

    def __enter__(self) -> LateProgress:
        self._start = self._clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, completed: float) -> None:
        """Say how much has been done in all."""
        if self._bar is None and self._clock() - self._start > PATIENCE_S:
            self._show()
        if self._bar is not None:
            self._bar.update(self._task, completed=completed)

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._console = self._console or Console(stderr=True)
        if self._console.is_terminal:
            self._bar = Progress(console=self._console, transient=True)
            self._task = self._bar.add_task(self.label, total=self.total)
            self._bar.start()
