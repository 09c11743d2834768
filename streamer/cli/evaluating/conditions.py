"""The command `streamer evaluate conditions`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from streamer.cli.beforehand import check_files, check_model
from streamer.cli.common import DeviceOption, LateProgress, ModelOption, load_model
from streamer.cli.evaluating.verify import Cutting, cut_sets
from streamer.cli.waiting import import_torch
from streamer.errors import ConfigurationError
from streamer.evaluation.markdown import table

if TYPE_CHECKING:
    from streamer.evaluation.manifest import Float32
    from streamer.evaluation.trials import Trials
    from streamer.evaluation.verification import Embed


@dataclass(frozen=True, slots=True)
class Row:
    """The effect of a condition on one set.

    cosine_min, cosine_median: between the embeddings of the same speech before and after. eer: clean against the
    condition, with the limits of its 95 % interval; eer_both: both sides under it.
    """

    cosine_min: float
    cosine_median: float
    eer: float
    eer_low: float
    eer_high: float
    eer_both: float


def conditions(
    manifest: Annotated[Path | None, typer.Option(help="Speech of speakers, as a CSV (path, speaker).")] = None,
    split: Annotated[str | None, typer.Option(help="Use only this split of the manifest.")] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Only this corpus and language group; may be repeated.")
    ] = None,
    condition: Annotated[list[str] | None, typer.Option(help="Only this; may be repeated. Default: all.")] = None,
    duration: Annotated[float, typer.Option(help="Seconds of an item.", min=0.3)] = 3.0,
    limit: Annotated[int, typer.Option(help="Most items of a speaker.", min=2)] = 8,
    rounds: Annotated[int, typer.Option(help="Bootstrap resamplings for the intervals; 0 for none.", min=0)] = 200,
    show: Annotated[bool, typer.Option("--list", help="Only list the conditions; --json too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output_format: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")] = "table",
    model: ModelOption = "default",
    device: DeviceOption = "cpu",
) -> None:
    """Measure the effect of codecs, low-passes and telephones on a model: cosines of the same speech before and after,
    and error rates of clean speech against altered speech."""
    from streamer.evaluation.conditions import CHANNELS, known_conditions, parse_condition

    output_format = "json" if as_json else output_format
    if show and output_format == "json":
        typer.echo(json.dumps({"known": known_conditions().split(", "), "measured": list(CHANNELS)}, indent=1))
        return
    if show:
        typer.echo(f"known: {known_conditions()}\nmeasured: {', '.join(CHANNELS)}")
        return
    if manifest is None:
        raise ConfigurationError("give --manifest, or --list.")
    check_files(manifest=manifest)
    check_model(model, device)
    import_torch()
    from streamer.evaluation.verification import embedder

    names = ["clean", *(condition or CHANNELS)]
    for name in names:
        parse_condition(name)
    sets = cut_sets(manifest, split, Cutting(duration, limit), group)
    embed = embedder(load_model(model, device).network)
    found: dict[str, dict[str, Row]] = {name: {} for name in names}
    with LateProgress("conditions", len(names) * sum(len(items) for items, _ in sets.values())) as progress:
        done = 0
        for title, (items, trials) in sets.items():
            clean: Float32 | None = None
            for name in names:
                clean, found[name][title] = _row(items, trials, name, clean, embed, rounds)
                progress.update(done := done + len(items))
    if output_format == "json":
        plain = {name: {title: asdict(row) for title, row in rows.items()} for name, rows in found.items()}
        typer.echo(json.dumps(plain, indent=1))
        return
    for title in sets:
        typer.echo(f"{title or 'all'}:\n")
        head = ["condition", "cosine min", "median", "EER % clean against it", "EER % both"]
        typer.echo("\n".join(table(head, [_cells(name, rows[title]) for name, rows in found.items()])) + "\n")


def _row(
    items: list[Float32], trials: Trials, name: str, clean: Float32 | None, embed: Embed, rounds: int
) -> tuple[Float32, Row]:
    """The clean items' embeddings, which the first call computes, and the row."""
    from streamer.evaluation.conditions import disturbed, parse_condition
    from streamer.evaluation.metrics import eer
    from streamer.evaluation.scoring import cosine
    from streamer.evaluation.trials import across
    from streamer.evaluation.verification import embed_items, evaluate

    after = np.asarray(embed_items(disturbed(items, parse_condition(name)), embed), np.float32)
    clean = after if clean is None else clean
    both = np.concatenate([after, clean])
    same = cosine(both, np.arange(len(items)), np.arange(len(items)) + len(items))
    crossed = evaluate(both, across(trials, both_ways=True), rounds=rounds).metrics["eer"]
    alike = eer(cosine(after, trials.left, trials.right), trials.same)
    values = (float(same.min()), float(np.median(same)), crossed.value, crossed.low, crossed.high, float(alike))
    return clean, Row(*values)


def _cells(name: str, row: Row) -> list[str]:
    interval = f"{100 * row.eer:.2f} [{100 * row.eer_low:.2f}, {100 * row.eer_high:.2f}]"
    return [name, f"{row.cosine_min:.3f}", f"{row.cosine_median:.3f}", interval, f"{100 * row.eer_both:.2f}"]
