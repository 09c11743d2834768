"""The command `streamer evaluate recordings`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamer.cli.beforehand import check_files, check_model
from streamer.cli.common import DeviceOption, LateProgress, ModelOption, load_model
from streamer.cli.waiting import import_torch
from streamer.errors import ConfigurationError
from streamer.evaluation.markdown import table

if TYPE_CHECKING:
    from streamer.evaluation.recordings import Report, Scored

HEAD = (
    "recordings", "DER %", "missed", "false alarm", "confusion", "one voice at a time: DER %", "overlap: precision %",
    "recall %", "guests / speakers", "delay s", "never %",
    "strangers named %", "known: wrong %", "unnamed %",
)  # fmt: skip


def recordings(
    folders: Annotated[list[Path], typer.Argument(help="Folders of recordings, a reference.rttm in each.")],
    condition: Annotated[
        list[str] | None, typer.Option(help="Also apply this condition; may be repeated. clean: unchanged.")
    ] = None,
    halves: Annotated[bool, typer.Option(help="Enrol from one half, score the other.")] = True,
    hypothesis: Annotated[
        list[Path] | None, typer.Option(help="Score the RTTM of another system as well; may be repeated.")
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="A line for each recording too.")] = False,
    speech: Annotated[Literal["auto", "head", "silero"], typer.Option(help="The speech detector.")] = "auto",
    output_format: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    model: ModelOption = "default",
    device: DeviceOption = "cpu",
) -> None:
    """Measure a model on real recordings: diarisation error, guests, delays, strangers under enrolled names.

    First every voice is a guest. Then, half by half, speakers are enrolled from the reference turns of one half and
    the other half is scored; each speaker is the stranger once. No collar, overlaps scored.
    """
    check_files(**{f"folder_{number}": folder for number, folder in enumerate(folders, 1)})
    check_model(model, device)
    import_torch()
    from streamer.engine.incremental import IncrementalModel
    from streamer.evaluation.recordings import (
        half_and_half,
        read_recordings,
        score,
        through,
        together,
        with_nobody,
    )

    engine = IncrementalModel(load_model(model, device), speech=speech)
    conditions = condition or ["clean", "telephone-mulaw"]
    sets = {folder.name: read_recordings(folder) for folder in folders}
    if len(sets) < len(folders):
        raise ConfigurationError("the folders must have different names, because the results are named after them.")
    reports: dict[str, Report] = {}
    lines: dict[str, list[Scored]] = {}
    total = len(conditions) * sum(map(len, sets.values()))
    with LateProgress("recordings", total) as progress:
        done = 0
        for name, all_of_it in sets.items():
            for kind in conditions:
                scored, heard = [], []
                for one in all_of_it:
                    changed = through(one, kind)
                    scored.append(with_nobody(engine, changed))
                    heard += list(half_and_half(engine, changed)) if halves else []
                    progress.update(done := done + 1)
                title = name if kind == "clean" else f"{name}, {kind}"
                reports[title], lines[title] = together(scored, heard), scored
            for path in hypothesis or []:
                turns = _of_others(path, {one.name for one in all_of_it})
                scored = [score(one, turns.get(one.name, [])) for one in all_of_it]
                title = f"{name}, {path.stem}"
                reports[title], lines[title] = together(scored), scored
    if as_json or output_format == "json":
        found = {name: {**_plain(asdict(report)), "each": _each(lines[name])} for name, report in reports.items()}
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo("\n".join(table(("", *HEAD), [[name, *_cells(report)] for name, report in reports.items()])))
    if each:
        head = ("recording", "seconds", "DER %", "missed", "false alarm", "confusion", "guests / speakers")
        for name, scored in lines.items():
            typer.echo("\n".join(["", f"{name}:", "", *table(head, [_line(one) for one in scored])]))


def _of_others(path: Path, names: set[str]) -> dict[str, list[tuple[int, int, str]]]:
    from streamer.rttm import read_rttm

    return {name: read_rttm(path, name) for name in names}


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }


def _each(scored: list[Scored]) -> list[dict[str, object]]:
    return [
        {"name": one.name, **asdict(one.errors), "der": one.errors.der, "speakers": one.speakers, "guests": one.guests}
        for one in scored
    ]


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def _cells(report: Report) -> list[str]:
    delay = "" if math.isnan(report.delay_s) else "none" if math.isinf(report.delay_s) else f"{report.delay_s:.2f}"
    return [
        str(report.recordings),
        *map(_percent, (report.der, report.missed, report.false_alarm, report.confusion)),
        *map(_percent, (report.single_der, report.overlap_precision, report.overlap_recall)),
        f"{report.guests} / {report.speakers} = {report.guests_per_speaker:.2f}",
        delay,
        _percent(report.never),
        f"{_percent(report.strangers_named)} of {report.strangers_s:.0f} s" if report.strangers_s > 0 else "",
        _percent(report.known_wrong),
        _percent(report.known_unnamed),
    ]


def _line(one: Scored) -> list[str]:
    parts = (one.errors.missed, one.errors.false_alarm, one.errors.confusion)
    return [
        one.name,
        f"{one.errors.seconds:.1f}",
        _percent(one.errors.der),
        *(_percent(part / one.errors.seconds) for part in parts),
        f"{one.guests} / {one.speakers}",
    ]
