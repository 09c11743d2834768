"""Who says what in a recording: the words of a transcript, with the speakers of the turns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streamer.cli.beforehand import check_files
from streamer.meeting.align import assign, read_words, turns_of, write
from streamer.output import replacing
from streamer.sinks.base import SessionView, Sink

if TYPE_CHECKING:
    from streamer.speakers.events import Event


class SaidSink(Sink):
    """Prints who says what at the end of the recording, and writes it to files.

    words: the transcript. outputs: files by their kind ("vtt", "srt"), or None. show: print it. Raises
    TranscriptUnreadable, and the errors of `check_files`, at once.
    """

    def __init__(self, words: Path, outputs: Mapping[str, Path | None], *, show: bool) -> None:
        check_files(words=words)
        self._words = read_words(words, lambda lines: typer.echo(f"{words.name}: {lines} lines left out.", err=True))
        self._outputs = {kind: path for kind, path in outputs.items() if path is not None}
        self._show = show
        self._events: list[dict[str, Any]] = []

    @property
    def outputs(self) -> dict[str, Path]:
        """The files that it writes, by the names that the user gave them."""
        return {f"--{kind}": path for kind, path in self._outputs.items()}

    def event(self, event: Event, session: SessionView) -> None:
        if event.type in ("turn_end", "renamed"):
            self._events.append(event.to_dict())

    def close(self, session: SessionView) -> None:
        words = assign(self._words, turns_of(self._events))
        for kind, path in self._outputs.items():
            with replacing(path) as new:
                new.write_text(write(words, kind), encoding="utf-8")
        if self._show:
            typer.echo(write(words, "txt"), nl=False)
