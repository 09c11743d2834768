"""The command `streamer evaluate stream`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamer.cli.beforehand import check_files, check_model, check_recordings, check_step
from streamer.cli.common import DeviceOption, LateProgress, ModelOption, load_model
from streamer.cli.waiting import import_torch
from streamer.errors import ConfigurationError
from streamer.evaluation.manifest import by_group, read_audio, read_manifest
from streamer.speakers.settings import STEP_S

if TYPE_CHECKING:
    from rich.table import Table

    from streamer.engine.incremental import IncrementalModel
    from streamer.evaluation.conversations import Conversation, Plan, Voices
    from streamer.evaluation.stream import StreamReport

SHARES = (
    "error", "wrong", "missed", "false_name", "false_alarm", "rejected", "shown_error", "never", "der"
)  # fmt: skip


def stream(
    files: Annotated[list[Path] | None, typer.Argument(help="Recordings with a reference; nobody is enrolled.")] = None,
    rttm: Annotated[Path | None, typer.Option(help="The reference of the recordings, by their names.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Simulate conversations of the speakers in this CSV.")] = None,
    split: Annotated[str, typer.Option(help="Use this split of the manifest.")] = "dev",
    noise_split: Annotated[str, typer.Option(help="Split with noise recordings; without it, white noise.")] = "noise",
    count: Annotated[int, typer.Option(help="Conversations of each group of the manifest.", min=1)] = 20,
    seconds: Annotated[float, typer.Option(help="Length of a conversation.", min=10)] = 90.0,
    seed: Annotated[int, typer.Option(help="Seed of the first conversation; the next ones follow.")] = 0,
    nobody_enrolled: Annotated[
        bool, typer.Option("--nobody-enrolled", help="Make all speakers of the simulated conversations guests.")
    ] = False,
    channel: Annotated[
        Literal["own", "shared"],
        typer.Option(help="own: a separate room for each voice. shared: one room, microphone and codec for all."),
    ] = "own",
    condition: Annotated[
        str | None, typer.Option(help="The condition of a shared channel; default: drawn for each.")
    ] = None,
    enrol_condition: Annotated[
        str | None, typer.Option(help="The condition of enrolments over another channel; default: drawn.")
    ] = None,
    step: Annotated[float, typer.Option(help="Seconds between two decisions.")] = STEP_S,
    output_format: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    model: ModelOption = "default",
    device: DeviceOption = "cpu",
) -> None:
    """Measure names in live streams: names by time, delay to the right name, name changes, diarisation error.

    Simulated conversations have 2 to 6 speakers of one group of the manifest, some of them enrolled from other
    utterances, in a simulated room, with noise and overlaps. With --nobody-enrolled, and in recordings with an RTTM
    reference, every voice is a guest, and the diarisation error is the measure.

    With --channel shared, the voices of a conversation share a room, a microphone and a condition,
    and the same conversations are reported twice: with enrolments over the same channel, and over another one.
    """
    output_format = "json" if as_json else output_format
    if bool(files) == (manifest is not None) or bool(files) != (rttm is not None):
        raise ConfigurationError("give either --manifest, or recordings with --rttm.")
    if channel == "own" and (condition or enrol_condition):
        raise ConfigurationError("--condition and --enrol-condition are for --channel shared.")
    check_files(manifest=manifest, reference=rttm)
    check_recordings(files or [])
    check_step(step)
    check_model(model, device)
    import_torch()
    from streamer.engine.incremental import IncrementalModel
    from streamer.evaluation.conversations import Plan
    from streamer.evaluation.stream import evaluate

    engine = IncrementalModel(load_model(model, device))
    if manifest is None:
        reports = {"recordings": _recordings(engine, files or [], rttm or Path(), step)}
    else:
        reports = {}
        plans = {"": Plan(seconds=seconds)}
        if channel == "shared":
            rooms = Plan.of_rooms(seconds, condition=condition, enrol_condition=enrol_condition)
            kinds: tuple[Literal["same", "other"], ...] = ("same",) if nobody_enrolled else ("same", "other")
            plans = {kind: replace(rooms, enrolled_over=kind) for kind in kinds}
        for group, voices in _groups(manifest, split, noise_split).items():
            for kind, plan in plans.items():
                title = f"{group}, {kind} channel" if len(plans) > 1 else group
                with LateProgress(title, count) as progress:
                    drawn = _drawn(voices, plan, seed, count, progress)
                    if nobody_enrolled:
                        drawn = (replace(one, enrolment={}) for one in drawn)
                    reports[title] = evaluate(engine, drawn, step)
    if output_format == "json":
        typer.echo(json.dumps({name: _values(report) for name, report in reports.items()}, indent=1))
    else:
        from rich.console import Console

        Console(highlight=False).print(_table(reports))


def _groups(manifest: Path, split: str, noise_split: str) -> dict[str, Voices]:
    from streamer.evaluation.conversations import Voices
    from streamer.evaluation.stream import read_noise

    utterances = read_manifest(manifest)
    noise = read_noise(manifest.parent / item.path for item in utterances if item.split == noise_split)
    groups = by_group(item for item in utterances if item.split == split)
    if not groups:
        raise ConfigurationError(f"{manifest} has no utterances of split {split!r}.")
    return {name: Voices.of(manifest.parent, group, noise) for name, group in groups.items()}


def _drawn(voices: Voices, plan: Plan, seed: int, count: int, progress: LateProgress) -> Iterator[Conversation]:
    from streamer.evaluation.conversations import converse

    for number in range(count):
        yield converse(voices, plan, seed + number)
        progress.update(number + 1)


def _recordings(engine: IncrementalModel, files: list[Path], rttm: Path, step: float) -> StreamReport:
    from streamer.evaluation.stream import follow, judge, steps_of, together
    from streamer.rttm import read_rttm
    from streamer.speakers.backend import Backend
    from streamer.speakers.profiles import Roster
    from streamer.speakers.tracker import Tracker

    backend = Backend.of(engine.model)
    followed = []
    for path in files:
        turns = read_rttm(rttm, path.stem)
        tracker = Tracker(Roster.empty(engine.model.dimension), backend, engine.model.embed)
        events = follow(tracker, steps_of(engine, read_audio(path), step))
        followed.append(judge(path.stem, events, turns, turns, ()))
    return together(followed)


def _values(report: StreamReport) -> dict[str, float]:
    plain = replace(report, each=())
    return {item.name: getattr(plain, item.name) for item in fields(plain) if item.name != "each"}


def _table(reports: dict[str, StreamReport]) -> Table:
    from rich.table import Table

    from streamer.evaluation.stream import StreamReport

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in reports:
        table.add_column(name, justify="right")
    for field in fields(StreamReport):
        if field.name != "each":
            values = (getattr(report, field.name) for report in reports.values())
            form = "{:.1%}" if field.name in SHARES else "{:.0f}" if field.name == "recordings" else "{:.2f}"
            table.add_row(field.name.replace("_", " "), *(form.format(value) for value in values))
    return table
