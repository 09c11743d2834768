"""`streamer relabel`: correct a wrong name in events and in files made from them, and learn from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.beforehand import check_files, check_model, check_recordings, check_store
from streamer.cli.common import (
    OUTPUT_PANEL,
    SOUND_PANEL,
    DeviceOption,
    ModelOption,
    interactive,
    open_speakers,
    read_by,
)
from streamer.cli.options import (
    AsJsonOption,
    AudacityOption,
    MinutesOption,
    RttmOption,
    SrtOption,
    StoreOption,
    VttOption,
)
from streamer.errors import ConfigurationError
from streamer.speakers.names import clean_name

if TYPE_CHECKING:
    from streamer.audio.chunks import Samples
    from streamer.sinks.files import OutputFiles
    from streamer.speakers.relabel import Transcript
    from streamer.speakers.timeline import Span

app = typer.Typer()


@app.command()
def relabel(
    events: Annotated[Path, typer.Argument(help="A file of events, as --json or --jsonl writes it.")],
    time: Annotated[str | None, typer.Argument(help="A time with the wrong name: 0:54, 54.5, 1:02:03.")] = None,
    name: Annotated[str | None, typer.Argument(help="The name of the person who speaks then.")] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="Correct all turns of that voice, not only the one at TIME.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the events here, and keep EVENTS unchanged.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = None,
    rttm: RttmOption = None,
    vtt: VttOption = None,
    srt: SrtOption = None,
    audacity: AudacityOption = None,
    minutes: MinutesOption = None,
    audio: Annotated[
        Path | None, typer.Option(help="The recording, to learn from the correction.", rich_help_panel=SOUND_PANEL)
    ] = None,
    learn: Annotated[
        bool | None,
        typer.Option(
            "--learn/--no-learn",
            help="Enrol NAME from these turns of --audio. Default: ask on a terminal.",
            show_default=False,
            rich_help_panel=SOUND_PANEL,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Enrol even if the check advises against it.")] = False,
    as_json: AsJsonOption = False,
    store: StoreOption = None,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
) -> None:
    """Correct a wrong name in a file of events: the person who speaks at TIME is NAME.

    Without TIME and NAME it lists the turns; a question mark stands for an uncertain name. NAME may be "unknown",
    or a guest. The events are rewritten, and the requested files are made from them.
    """
    from streamer.sinks.files import OutputFiles
    from streamer.speakers.relabel import position_of, read, relabelled

    files = OutputFiles(rttm=rttm, vtt=vtt, srt=srt, audacity=audacity, minutes=minutes)
    check_files(file_of_events=events)
    files.check([events, audio, *read_by(model, store)], {"--output": output})
    before = read(events)
    if time is None or name is None:
        if time is not None:
            raise ConfigurationError(f"who speaks at {time}? Give a NAME after it.")
        if everywhere or output is not None or audio is not None or learn:
            raise ConfigurationError("a correction needs TIME and NAME; give both.")
        _list(before, as_json=as_json)
        _write(files, before, events)
        return
    turn = before.at(position_of(time))
    turns = before.called(turn.speaker) if everywhere else [turn]
    sound = _sound(turns, name, audio, learn, (store, model, device))
    after = relabelled(before, turns, name)
    _rewrite(output or events, after)
    _say(before, turns, name, output or events, as_json=as_json)
    _write(files, after, events)
    if sound:
        _learn(clean_name(name), sound, learn, force, (store, model, device))
    elif interactive() and not as_json and audio is None and learn is None:
        typer.echo("To learn from it, give the recording: --audio FILE", err=True)


def _list(transcript: Transcript, *, as_json: bool) -> None:
    from streamer.sinks.lines import how_sure
    from streamer.speakers.timeline import clock

    if as_json:
        return _print_json([_row(transcript, span) for span in transcript.turns])
    for span in transcript.turns:
        end = transcript.end_sample if span.end_sample is None else span.end_sample
        sure = how_sure(span.confidence)
        typer.echo(f"{clock(span.start_sample):>8} - {clock(end):>8}  {span.speaker} ({sure})")
    if not transcript.turns:
        typer.echo("nobody spoke")


def _row(transcript: Transcript, span: Span) -> dict[str, object]:
    from streamer.audio.chunks import SAMPLE_RATE

    end = transcript.end_sample if span.end_sample is None else span.end_sample
    times = {"start": span.start_sample / SAMPLE_RATE, "end": end / SAMPLE_RATE}
    return times | {"speaker": span.speaker, "confidence": span.confidence}


def _say(before: Transcript, turns: Sequence[Span], name: str, path: Path, *, as_json: bool) -> None:
    from streamer.speakers.timeline import clock

    if as_json:
        return _print_json([_row(before, span) | {"previous": span.speaker, "speaker": name} for span in turns])
    for span in turns:
        typer.echo(f"{clock(span.start_sample):>8}  it is {name}, not {span.speaker}; written to {path}")


def _print_json(value: object) -> None:
    from streamer.sinks.text import carries_unicode

    typer.echo(json.dumps(value, ensure_ascii=not carries_unicode(sys.stdout), indent=1))


def _rewrite(path: Path, transcript: Transcript) -> None:
    from streamer.output import replacing

    with replacing(path) as new:
        lines = (json.dumps(message, ensure_ascii=False) + "\n" for message in transcript.messages)
        new.write_text("".join(lines), encoding="utf-8")


def _write(files: OutputFiles, transcript: Transcript, events: Path) -> None:
    files.write(transcript.turns, transcript.end_sample, events.stem, events.stem)
    if files.given():
        typer.echo(f"written: {files.written()}", err=True)


def _sound(
    turns: Sequence[Span],
    name: str,
    audio: Path | None,
    learn: bool | None,
    people: tuple[str | None, str, str],
) -> list[Samples]:
    """The corrected turns as sound to learn from; nothing if learning is not wanted. Errors that would prevent learning
    are raised here, before anything is written."""
    if audio is None:
        if learn:
            raise ConfigurationError("--learn needs the recording; give it with --audio.")
        return []
    check_recordings([audio])
    if learn is False:
        return []
    store, model, device = people
    clean_name(name)
    check_model(model, device)
    check_store(store)
    from streamer.audio.files import read_audio
    from streamer.speakers.timeline import clock

    heard = read_audio(audio).mono_16k()
    last = max(span.start_sample for span in turns)
    if last >= len(heard):
        raise ConfigurationError(
            f"{str(audio)!r} ends at {clock(len(heard))}, and a turn to learn from begins at {clock(last)}: "
            "these events are of another recording."
        )
    return [heard[span.start_sample : span.end_sample] for span in turns]


def _learn(
    name: str, sound: Sequence[Samples], learn: bool | None, force: bool, people: tuple[str | None, str, str]
) -> None:
    from streamer.audio.chunks import SAMPLE_RATE

    seconds = sum(map(len, sound)) / SAMPLE_RATE
    if learn is None:
        if not interactive():
            typer.echo(f"To enrol these {seconds:.1f} s as {name}, give --learn.", err=True)
            return
        if not typer.confirm(f"Enrol these {seconds:.1f} s as {name}?", err=True):
            return
    store, model, device = people
    with open_speakers(model, store, device) as speakers:
        speakers.enroll(name, *sound, force=force)
        total = speakers.profile(name).speech_s
    typer.echo(f"{name}: learned from {seconds:.1f} s, {total:.1f} s of speech in all.")
