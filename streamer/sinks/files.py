"""The files that a session can write, by their names on the command line and in a meeting's configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from streamer.output import PathLike, check_outputs, replacing
from streamer.sinks.audacity import AudacityLabels
from streamer.sinks.base import Sink
from streamer.sinks.rttm import Rttm
from streamer.sinks.subrip import SubRip
from streamer.sinks.turnfile import TurnFile
from streamer.sinks.webvtt import WebVtt
from streamer.speakers.timeline import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFiles:
    """A path for each kind of file to write.

    jsonl: events as JSON lines. rttm, vtt, srt, audacity: turns. minutes: one HTML page, at the end.
    """

    jsonl: Path | None = None
    rttm: Path | None = None
    vtt: Path | None = None
    srt: Path | None = None
    audacity: Path | None = None
    minutes: Path | None = None

    def given(self) -> dict[str, Path]:
        """The given paths, by their names."""
        paths = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: path for name, path in paths.items() if path is not None}

    def check(
        self,
        read: Iterable[PathLike | None],
        others: Mapping[str, PathLike | None] | None = None,
        spelled: Callable[[str], str] = "--{}".format,
    ) -> None:
        """Raises the errors of `check_outputs`.

        read: the command's inputs. others: its other outputs, by the names that the user gave them. spelled: turns a
        field's name into the user's name for it.
        """
        outputs: dict[str, PathLike | None] = {spelled(name): path for name, path in self.given().items()}
        check_outputs(outputs | dict(others or {}), read)

    def sinks(self, title: str, recording: str) -> list[Sink]:
        """A sink for each file. title: of the minutes. recording: the name of the recording in RTTM.

        Raises OSError if a file cannot be written.
        """
        from streamer.sinks.jsonl import JsonLines
        from streamer.sinks.minutes import Minutes

        made: list[Sink] = [] if self.jsonl is None else [JsonLines(self.jsonl)]
        made += self._turn_files(recording)
        return made if self.minutes is None else [*made, Minutes(self.minutes, title)]

    def write(
        self, spans: Sequence[Span], end_sample: int, title: str, recording: str, channels: Sequence[str] = ()
    ) -> None:
        """Write complete turns, each file at once; `jsonl` holds events, not turns, and is not written.

        end_sample: the end of the audio. channels: the names of a room's microphones. Raises OSError, and leaves that
        file unchanged.
        """
        from streamer.sinks.minutes import minutes

        for file in self._turn_files(recording):
            with replacing(file.path) as new:
                new.write_text(file.text(spans, end_sample), encoding="utf-8")
        if self.minutes is not None:
            with replacing(self.minutes) as new:
                new.write_text(minutes(spans, end_sample, title, None, channels), encoding="utf-8")

    def written(self) -> str:
        """The files that were written, as text for people; empty if none."""
        return ", ".join(str(path) for path in self.given().values() if path.exists())

    def _turn_files(self, recording: str) -> Iterator[TurnFile]:
        if self.rttm is not None:
            yield Rttm(self.rttm, recording)
        for kind, path in ((WebVtt, self.vtt), (SubRip, self.srt), (AudacityLabels, self.audacity)):
            if path is not None:
                yield kind(path)
