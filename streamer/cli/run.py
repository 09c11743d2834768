"""`streamer run`: who speaks in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamer.cli.beforehand import STANDARD_INPUT, check_model, check_recordings, check_step, check_store
from streamer.cli.common import DeviceOption, ModelOption, file_source, named_sinks, read_by, sink_files
from streamer.cli.options import (
    AudacityOption,
    GuestsOption,
    JsonlOption,
    JsonOption,
    MinutesOption,
    RosterOption,
    RttmOption,
    SinkOption,
    SrtOption,
    StepOption,
    StoreOption,
    VttOption,
)
from streamer.cli.said import SaidSink
from streamer.cli.waiting import TORCH, waiting
from streamer.speakers.settings import STEP_S

app = typer.Typer()


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="An audio file, or - for standard input.")],
    speed: Annotated[
        float | None, typer.Option(help="Process it at this many times real time, in the live view.")
    ] = None,
    roster: RosterOption = None,
    json: JsonOption = False,
    jsonl: JsonlOption = None,
    rttm: RttmOption = None,
    vtt: VttOption = None,
    srt: SrtOption = None,
    audacity: AudacityOption = None,
    minutes: MinutesOption = None,
    sink: SinkOption = None,
    words: Annotated[
        Path | None,
        typer.Option(help="A transcript with times (JSON as Whisper writes it, SRT, VTT): print who says what."),
    ] = None,
    store: StoreOption = None,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    step: StepOption = STEP_S,
    keep_guests: GuestsOption = False,
) -> None:
    """Say who speaks in a file, with the results of a live stream: as fast as possible, or paced.

    With --words, the words are printed at the end with their speakers, and --vtt and --srt hold them too.

    Standard input (-) may be an audio file, a WAV that is still being written, or raw PCM: s16le at 16 kHz, one
    channel.
    """
    from streamer.sinks.files import OutputFiles

    source = file_source(file, speed)
    check_recordings([file])
    check_step(step)
    check_model(model, device)
    said = None if words is None else SaidSink(words, {"vtt": vtt, "srt": srt}, show=not json)
    captions = {"vtt": vtt, "srt": srt} if said is None else {}
    files = OutputFiles(jsonl=jsonl, rttm=rttm, audacity=audacity, minutes=minutes, **captions)
    read: list[Path | str] = [file, *read_by(model, store), *([] if words is None else [words])]
    files.check(read, {**sink_files(sink), **({} if said is None else said.outputs)})
    check_store(store, roster, model)
    with waiting(TORCH):
        from streamer.cli.listening import Listening

    Listening(
        title="standard input" if str(file) == STANDARD_INPUT else file.name,
        store=store,
        model=model,
        device=device,
        roster=roster,
        step_s=step,
        json=json,
        files=files,
        more=[*([] if said is None else [said]), *named_sinks(sink)],
        keep_guests=keep_guests,
        live_view=speed is not None,
    ).listen(source)
