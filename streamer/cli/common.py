"""Shared by the subcommands: options, and a progress bar that does not flicker for quick work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from streamer import plugins
from streamer.cli.beforehand import STANDARD_INPUT
from streamer.cli.waiting import MODEL, TORCH, rehearse, waiting
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from streamer.audio.chunks import Source
    from streamer.models.model import Model
    from streamer.sinks.base import Sink
    from streamer.speakers.library import Speakers

#: Panels of the help: the model, and outputs.
MODEL_PANEL = "Model"
OUTPUT_PANEL = "Outputs"
PEOPLE_PANEL = "People"
SOUND_PANEL = "Sound"

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help='"campplus-live" (the default), "sincnet", "campplus", a file, a directory, or a Hugging Face id.',
        rich_help_panel=MODEL_PANEL,
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="The processor: auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL_PANEL)
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        help="Hugging Face token, for gated models. HF_TOKEN and `hf auth login` work too.",
        rich_help_panel=MODEL_PANEL,
    ),
]
RevisionOption = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a Hugging Face model.", rich_help_panel=MODEL_PANEL)
]

#: The exit code of an error that the user can act on.
EXIT_ERROR = 2
#: Work that is done sooner shows no bar.
PATIENCE_S = 2.0


def interactive() -> bool:
    """Whether the user can be asked: standard input and the output of the question are terminals."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether an option was typed, and does not come from a configuration or its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def load_model(source: str, device: str = "cpu", token: str | None = None, revision: str | None = None) -> Model:
    """The model for the options above, with a message while it loads."""
    with waiting(TORCH) as say:
        from streamer.models.model import Model

        say(MODEL)
        return Model.from_pretrained(source, token=token, revision=revision, device=device)


def open_speakers(model: str, store: str | None, device: str = "cpu", *, live: bool = False) -> Speakers:
    """The store for the options above with their model, ready to enrol. live: from a microphone."""
    with waiting(TORCH) as say:
        from streamer.sinks.text import draws, plain_console
        from streamer.speakers.library import Speakers

        speakers = Speakers(load_model(model, device), store)
        try:
            # A bar or a microphone comes next: a message would disturb the bar, and a microphone would overflow
            # meanwhile.
            if live or draws(plain_console(stderr=True)):
                rehearse(speakers.engine, say)
        except BaseException:
            speakers.close()
            raise
        return speakers


def recordings(files: Sequence[Path]) -> Iterator[tuple[str, Path | IO[bytes]]]:
    """For a command that reads whole recordings: each one's name in messages, and its path or file; `-` is standard
    input.

    Raises ConfigurationError if `-` is given twice, because it can be read once, and the errors of
    `read_standard_input`.
    """
    from streamer.audio.sources.stdin import NAME, read_standard_input

    if sum(str(file) == STANDARD_INPUT for file in files) > 1:
        raise ConfigurationError("- stands for standard input, which can be read once; give it once.")
    for file in files:
        yield (NAME, read_standard_input()) if str(file) == STANDARD_INPUT else (str(file), file)


def file_source(file: Path, speed: float | None) -> Source:
    """A recording as a source; `-` is standard input, NAME:REST a source NAME of an installed plugin."""
    if (brought := plugins.source_of(file)) is not None:
        source: Source = plugins.made("sources", *brought)
        return source
    from streamer.audio.sources import FileSource, StandardInputSource

    return StandardInputSource(speed=speed) if str(file) == STANDARD_INPUT else FileSource(file, speed=speed)


def named_sinks(given: Sequence[str] | None) -> list[Sink]:
    """The sinks of `--sink NAME=ARGUMENT`. Raises the errors of `streamer.sinks.byname.make`."""
    from streamer.sinks import byname

    return [byname.make(each) for each in given or ()]


def sink_files(given: Sequence[str] | None) -> dict[str, str]:
    """The files that these sinks write, by the names that the user gave them."""
    from streamer.sinks import byname

    return byname.files(given or ())


def read_by(model: str, store: str | None = None) -> list[str]:
    """The files that a command reads beside its recordings: the model and the speaker store, if they are files."""
    from streamer.speakers.glance import default_path

    return [model, str(default_path()) if store is None else store.removeprefix("sqlite:///")]


def one_line(error: BaseException) -> str:
    """The text for an error: its message, or its type if it has none; for a file's error, the file first."""
    message = error.format_message() if isinstance(error, TyperException) else str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        message = f"{str(error.filename)!r}: {error.strerror}"  # without the errno
    return " ".join(message.split()) or type(error).__name__


class LateProgress:
    """A bar on stderr, shown from two seconds after the start, if stderr is a terminal.

    label: the task. total: its amount of work, in the unit of `update`.
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
        """Set how much has been done in total."""
        if self._bar is None and self._clock() - self._start > PATIENCE_S:
            self._show()
        if self._bar is not None:
            self._bar.update(self._task, completed=completed)

    def _show(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        from streamer.sinks.text import draws, plain_console

        self._console = self._console or plain_console(stderr=True)
        if draws(self._console):
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
            self._task = self._bar.add_task(self.label, total=self.total)
            self._bar.start()
