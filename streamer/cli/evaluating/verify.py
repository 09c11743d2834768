"""The command `streamer evaluate verify`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from streamer.cli.beforehand import check_files, check_model
from streamer.cli.common import DeviceOption, LateProgress, ModelOption, RevisionOption, TokenOption, load_model
from streamer.cli.waiting import import_torch
from streamer.errors import ConfigurationError
from streamer.evaluation.manifest import Float32, by_group, by_speaker, read_audio, read_manifest
from streamer.evaluation.markdown import table
from streamer.evaluation.scoring import AdaptiveNorm, Scorer, cosine, speaker_means
from streamer.evaluation.trials import Trials, across, parse_list, windows
from streamer.speakers.backend import Cohort

if TYPE_CHECKING:
    from streamer.evaluation.verification import Embed, Result

Sets = dict[str, tuple[list[Float32], Trials]]


@dataclass(frozen=True, slots=True)
class Cutting:
    """How speakers' audio is cut into items: seconds of an item (0: whole utterances), most items of a speaker."""

    duration_s: float
    limit: int


def verify(
    trials: Annotated[Path | None, typer.Argument(help="A trial list, with lines like '1 a.wav b.wav'.")] = None,
    root: Annotated[Path, typer.Option(help="The folder that paths in the trial list are relative to.")] = Path(),
    manifest: Annotated[Path | None, typer.Option(help="Build trials from this CSV (path, speaker) instead.")] = None,
    split: Annotated[str | None, typer.Option(help="Use only this split of the manifest.")] = None,
    duration: Annotated[float, typer.Option(help="Seconds of an item; 0 takes whole files.", min=0)] = 3.0,
    limit: Annotated[int, typer.Option(help="Most items of a speaker.", min=2)] = 8,
    window: Annotated[float, typer.Option(help="Average windows of this many seconds; 0: no windows.", min=0)] = 0.0,
    condition: Annotated[
        str, typer.Option(help="clean, noise=SNR_DB, mp3-32k, ...: see `streamer evaluate conditions --list`.")
    ] = "clean",
    enrol_condition: Annotated[
        str | None, typer.Option(help="The condition of each trial's first side; default: the same as the other's.")
    ] = None,
    scoring: Annotated[str, typer.Option(help="cosine, as-norm or plda.")] = "cosine",
    backend_manifest: Annotated[
        Path | None, typer.Option(help="Other people's speech: for plda, or for as-norm.")
    ] = None,
    backend_split: Annotated[str, typer.Option(help="Split of the backend's manifest.")] = "train",
    rounds: Annotated[int, typer.Option(help="Bootstrap resamplings for the intervals; 0 for none.", min=0)] = 200,
    plots: Annotated[Path | None, typer.Option(help="Folder for det.png and scores.png.")] = None,
    output_format: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")] = "table",
    batch: Annotated[int, typer.Option(help="Items embedded at once.", min=1)] = 32,
    precision: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Precision of the network.")] = "float32",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    model: ModelOption = "default",
    device: DeviceOption = "cpu",
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Measure EER and minDCF of a model, on a trial list or on all pairs of windows of a manifest's speakers.

    From a manifest, each speaker's files are joined in the order of their names and cut into consecutive items of
    --duration; all pairs are trials, except neighbouring items of one speaker. Each corpus and language group is
    a separate set. With a trial list, files are embedded whole, unless --window is given.

    With --enrol-condition, the sides of a trial have different conditions; trials from a manifest are then
    scored both ways round.
    """
    output_format = "json" if as_json else output_format
    if (trials is None) == (manifest is None):
        raise ConfigurationError("give either a trial list or --manifest.")
    check_files(trial_list=trials, manifest=manifest, manifest_of_others=backend_manifest)
    check_model(model, device, revision)
    import_torch()
    import torch

    from streamer.evaluation.conditions import disturbed, parse_condition
    from streamer.evaluation.verification import embed_items, embedder, evaluate

    sets = listed(trials, root) if trials is not None else cut_sets(_some(manifest), split, Cutting(duration, limit))
    loaded = load_model(model, device, token, revision)
    embed = embedder(loaded.network, getattr(torch, precision))
    sides = [parse_condition(condition)]
    if enrol_condition is not None:
        sides.append(parse_condition(enrol_condition))
    if scoring == "as-norm" and backend_manifest is None and loaded.cohort is not None:
        scorer: Scorer = AdaptiveNorm(Cohort(loaded.cohort))
    else:
        scorer = backend(scoring, backend_manifest, backend_split, Cutting(duration or 3.0, limit), embed, batch)
    results: dict[str, Result] = {}
    with LateProgress("embedding", len(sides) * sum(len(items) for items, _ in sets.values())) as progress:
        before = 0
        for name, (items, pairs) in sets.items():
            found = []
            for change in sides:
                start = before
                found.append(
                    embed_items(
                        disturbed(items, change),
                        embed,
                        batch=batch,
                        window_s=window,
                        progress=lambda done, start=start: progress.update(start + done),  # type: ignore[misc]
                    )
                )
                before += len(items)
            if len(sides) > 1:
                pairs = across(pairs, both_ways=trials is None)
            results[name] = evaluate(np.concatenate(found), pairs, scorer, rounds)
    if plots is not None:
        from streamer.evaluation.plots import plot_det, plot_scores

        plots.mkdir(parents=True, exist_ok=True)
        plot_det(results, plots / "det.png")
        plot_scores(results, plots / "scores.png")
    if output_format == "json":
        typer.echo(json.dumps({name: result.summary() for name, result in results.items()}, indent=2))
    else:
        typer.echo(report(results))


def _some(path: Path | None) -> Path:
    if path is None:
        raise ConfigurationError("a manifest is needed.")
    return path


def listed(path: Path, root: Path) -> Sets:
    """The one set of a trial list."""
    trials, paths = parse_list(path.read_text(encoding="utf-8"))
    return {"": ([read_audio(root / name) for name in paths], trials)}


def cut_sets(manifest: Path, split: str | None, cutting: Cutting, only: list[str] | None = None) -> Sets:
    """One set for each corpus and language group of a manifest, or for some of them."""
    groups = by_group(read_manifest(manifest, split))
    if not groups:
        raise ConfigurationError(f"{manifest} has no row with split {split!r}.")
    if missing := set(only or ()) - set(groups):
        raise ConfigurationError(f"{manifest} has no group {sorted(missing)} in that split; it has {sorted(groups)}.")
    return {
        name: windows(by_speaker(manifest.parent, group), cutting.duration_s, cutting.limit)
        for name, group in groups.items()
        if not only or name in only
    }


def backend(scoring: str, manifest: Path | None, split: str, cutting: Cutting, embed: Embed, batch: int) -> Scorer:
    """The scorer by its name, fitted to the speech of the backend's manifest if it needs any."""
    from streamer.evaluation.plda import Plda
    from streamer.evaluation.verification import embed_items

    if scoring == "cosine":
        return cosine
    if scoring not in ("as-norm", "plda"):
        raise ConfigurationError(f"scoring {scoring!r} is not known; use cosine, as-norm or plda.")
    if manifest is None:
        raise ConfigurationError(
            f"{scoring} needs other people's speech, and this model has none: give --backend-manifest."
        )
    speakers = by_speaker(manifest.parent, read_manifest(manifest, split))
    items, trials = windows(speakers, cutting.duration_s, cutting.limit)
    embeddings = embed_items(items, embed, batch=batch)
    if scoring == "plda":
        return Plda.fit(embeddings, trials.speaker)
    return AdaptiveNorm(Cohort(speaker_means(embeddings, trials.speaker)))


def report(results: dict[str, Result]) -> str:
    """The results as a Markdown table."""
    head = ["set", "trials", "same", "EER %, 95 % interval", "minDCF 0.01", "minDCF 0.05", "threshold"]
    rows = [
        [
            name or "all",
            f"{len(result.same):,}",
            f"{int(result.same.sum()):,}",
            result.metrics["eer"].percent(),
            *(f"{result.metrics[key].value:.3f}" for key in ("min_dcf_0.01", "min_dcf_0.05")),
            f"{result.threshold:.3f}",
        ]
        for name, result in results.items()
    ]
    return "\n".join(table(head, rows))
