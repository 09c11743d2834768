"""`streamer live`: show who speaks into the microphone."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps as to_json
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.beforehand import check_microphone, check_model, check_step, check_store
from streamer.cli.beforehand import microphone as named
from streamer.cli.common import SOUND_PANEL, DeviceOption, ModelOption, named_sinks, open_speakers, read_by, sink_files
from streamer.cli.options import (
    AudacityOption,
    GuestsOption,
    JsonlOption,
    JsonOption,
    MicrophoneOption,
    MinutesOption,
    RecordOption,
    RosterOption,
    RttmOption,
    SinkOption,
    SrtOption,
    StepOption,
    StoreOption,
    VttOption,
)
from streamer.cli.waiting import TORCH, waiting
from streamer.demo import ENROLMENT
from streamer.errors import ConfigurationError
from streamer.speakers.glance import check_roster
from streamer.speakers.settings import STEP_S

if TYPE_CHECKING:
    from streamer.cli.listening import Listening

app = typer.Typer()


@app.command()
def live(
    microphone: MicrophoneOption = None,
    list_microphones: Annotated[
        bool,
        typer.Option("--list-microphones", help="List the microphones; --json too.", rich_help_panel=SOUND_PANEL),
    ] = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="No microphone: enrol and play the bundled conversation.")
    ] = False,
    speed: Annotated[float, typer.Option(help="With --simulate: this many times as fast as real time.")] = 1.0,
    roster: RosterOption = None,
    json: JsonOption = False,
    jsonl: JsonlOption = None,
    rttm: RttmOption = None,
    vtt: VttOption = None,
    srt: SrtOption = None,
    audacity: AudacityOption = None,
    minutes: MinutesOption = None,
    sink: SinkOption = None,
    record: RecordOption = None,
    store: StoreOption = None,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    step: StepOption = STEP_S,
    keep_guests: GuestsOption = True,
) -> None:
    """Show who speaks into the microphone. Ctrl-C ends with a summary."""
    if list_microphones:
        return _list_microphones(as_json=json)
    from streamer.audio.sources import MicrophoneSource
    from streamer.sinks.files import OutputFiles

    if record is not None and record.suffix.lower() not in (".wav", ".flac"):
        raise ConfigurationError(f"--record {record}: the name must end in .wav or .flac.")
    check_step(step)
    check_model(model, device)
    files = OutputFiles(jsonl=jsonl, rttm=rttm, vtt=vtt, srt=srt, audacity=audacity, minutes=minutes)
    files.check(read_by(model, store), {"--record": record, **sink_files(sink)})
    if not simulate:
        check_store(store, roster, model)
        check_microphone(microphone)
    elif roster:
        check_roster(roster, list(ENROLMENT))
    with waiting(TORCH):
        from streamer.cli.listening import Listening

    options = Listening(
        title="bundled conversation" if simulate else "microphone",
        store=store,
        model=model,
        device=device,
        roster=roster,
        step_s=step,
        json=json,
        files=files,
        more=named_sinks(sink),
        record=record,
        keep_guests=keep_guests and not simulate,
        policy="every" if simulate else "latest",
    )
    if simulate:
        _simulate(options, speed)
    else:
        options.listen(MicrophoneSource(named(microphone)))


def _list_microphones(*, as_json: bool) -> None:
    from streamer.audio.sources import list_devices

    found = list_devices()
    if as_json:
        typer.echo(to_json([asdict(one) for one in found], indent=1))
        return
    for one in found:
        mark = "  (default)" if one.default else ""
        typer.echo(f"{one.index:3}  {one.name}: {one.channels} channels, {one.rate} Hz{mark}")
    if not found:
        typer.echo("There is no microphone: connect one, or process a file with `streamer run FILE`.")


def _simulate(options: Listening, speed: float) -> None:
    """Enrol the bundled voices in a separate store, process the bundled conversation, and print the accuracy."""
    from streamer.audio.sources import FileSource
    from streamer.demo import CONVERSATION, REFERENCE
    from streamer.evaluation.identification import identify
    from streamer.rttm import read_rttm
    from streamer.sinks.text import plain_console

    quiet = plain_console(stderr=True)
    with open_speakers(options.model, "sqlite://", options.device) as speakers:
        for name, path in ENROLMENT.items():
            verdict = speakers.enroll(name, path, force=True)
            quiet.print(f"enrolled {name}: {verdict.speech_s:.1f} s of speech", style="dim")
        session = options.listen(FileSource(CONVERSATION, speed=speed), speakers)
    spans = [(span.start_sample, span.end_sample or 0, span.speaker) for span in session.timeline.everything()]
    result = identify(read_rttm(REFERENCE), spans, enrolled=set(ENROLMENT))
    quiet.print(
        f"{result.right:.1%} of {result.speech_s:.0f} s of speech labelled right, by the reference "
        f"(wrong name {result.wrong:.1%}, missed {result.missed:.1%}, stranger given a name {result.false_name:.1%})"
    )
