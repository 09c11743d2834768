"""The tables of the model card: `python -m streamer.training.tables MANIFEST`, student and teachers in one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from streamer.evaluation.conditions import disturbed, parse_condition
from streamer.evaluation.manifest import Float32, by_group, by_speaker, read_manifest
from streamer.evaluation.markdown import Table, table
from streamer.evaluation.metrics import bootstrap, det_curve, eer
from streamer.evaluation.scoring import AdaptiveNorm, Scorer, cosine
from streamer.evaluation.trials import windows
from streamer.evaluation.verification import Embed, Estimate, embed_items, embedder
from streamer.models.model import Model
from streamer.models.xvector import sincnet_of
from streamer.speakers.backend import Cohort
from streamer.speech.silero import CHUNK, speech_probabilities
from streamer.training.card import fill, score_statistics
from streamer.training.teachers import teacher_of

#: Rows of the table of error rates: label, seconds of a window (0: whole utterances), condition.
ROWS = [
    ("3 s", 3.0, "clean"),
    ("1 s", 1.0, "clean"),
    ("2 s", 2.0, "clean"),
    ("5 s", 5.0, "clean"),
    ("whole utterances", 0.0, "clean"),
    ("3 s, telephone band and mu-law", 3.0, "telephone"),
    ("3 s, -40 dB", 3.0, "gain=-40"),
    ("3 s, +10 dB", 3.0, "gain=10"),
    ("3 s, noise at 20 dB", 3.0, "noise=20"),
    ("3 s, noise at 10 dB", 3.0, "noise=10"),
    ("3 s, noise at 5 dB", 3.0, "noise=5"),
    ("3 s, reverberation of 0.5 s", 3.0, "reverb=0.5"),
]
Speakers = dict[str, list[list[Float32]]]


def error_rates(
    sets: Speakers, embed: Embed, duration_s: float, condition: str, rounds: int = 200, scorer: Scorer = cosine
) -> dict[str, Estimate]:
    """The EER of each set under a condition."""
    found = {}
    for name, speakers in sets.items():
        items, trials = windows(speakers, duration_s)
        embeddings = embed_items(disturbed(items, parse_condition(condition)), embed, batch=16)
        scores = scorer(embeddings, trials.left, trials.right)
        value = eer(scores, trials.same)
        limits = bootstrap(eer, scores, trials.same, trials.speakers, rounds=rounds) if rounds else (value, value)
        found[name] = Estimate(value, *limits)
    return found


def operating_points(sets: Speakers, embed: Embed, duration_s: float = 3.0) -> Table:
    """A table of thresholds: the shares of trials that are wrongly accepted and rejected at each."""
    pooled = []
    for speakers in sets.values():
        items, trials = windows(speakers, duration_s)
        pooled.append((cosine(embed_items(items, embed), trials.left, trials.right), trials.same))
    rows = []
    for threshold in np.arange(0.3, 0.85, 0.05):
        cells = []
        for scores, same in pooled:
            accepted, rejected = (scores[~same] >= threshold).mean(), (scores[same] < threshold).mean()
            cells.append(f"{100 * accepted:.2f} / {100 * rejected:.2f}")
        rows.append([f"{threshold:.2f}", *cells])
    return table(["threshold", *(f"{name}: false accept / reject, %" for name in sets)], rows)


def speech_head(sets: Speakers, model: Model, conditions: Sequence[str]) -> Table:
    """How well the speech head agrees with silero-vad on the clean audio (a probability over a half).

    Over each speaker's first 24 s, with half a second of silence after each utterance.
    """
    pause = np.zeros(8_000, np.float32)
    joined = [
        np.concatenate([np.concatenate([wave, pause]) for wave in speaker])[: 24 * 16_000]
        for speakers in sets.values()
        for speaker in speakers
    ]
    waves = [wave for wave in joined if len(wave) == 24 * 16_000]
    reference = np.stack(speech_probabilities(waves))
    network = sincnet_of(model.network)
    places = model.grid.centres(0, model.grid.num_frames(24 * 16_000)) // CHUNK
    truth = reference[:, places] > 0.5
    rows = []
    for condition in conditions:
        heard = torch.from_numpy(np.stack(disturbed(waves, parse_condition(condition))))
        with torch.inference_mode():
            frames = [network.frames(part.unsqueeze(1)).speech for part in torch.split(heard, 8)]
        scores = torch.cat([part for part in frames if part is not None]).numpy()
        curve = det_curve(scores.ravel(), truth.ravel())
        area = -np.trapezoid(1 - curve.false_reject, curve.false_accept)
        agreement = ((scores > 0) == truth).mean()
        rate = eer(scores.ravel(), truth.ravel())
        rows.append([condition, f"{area:.4f}", f"{100 * rate:.2f}", f"{100 * agreement:.2f}"])
    return table(["condition", "area under the ROC", "equal error rate, %", "agreement at a half, %"], rows)


def rates(sets: Speakers, model: Model, teachers: Sequence[str], rounds: int = 200) -> Table:
    """The table of error rates: `ROWS`, and further rows for the model, with the teachers' rates beside the model's."""
    embed, beside = embedder(model.network), [teacher_of(name)() for name in teachers]
    rows = []

    def row(label: str, ours: dict[str, Estimate], theirs: Sequence[dict[str, Estimate]] = ()) -> None:
        cells = []
        for name in sets:
            others = [f"{100 * found[name].value:.2f}" for found in theirs] or [""] * len(beside)
            cells += [ours[name].percent(), *others]
        rows.append([label, *cells])

    for label, duration_s, condition in ROWS:
        theirs = [error_rates(sets, teacher, duration_s, condition, 0) for teacher in beside]
        row(label, error_rates(sets, embed, duration_s, condition, rounds), theirs)
    row("3 s, bfloat16", error_rates(sets, embedder(model.network, torch.bfloat16), 3.0, "clean", rounds))
    if model.cohort is not None:
        row("3 s, AS-norm", error_rates(sets, embed, 3.0, "clean", rounds, AdaptiveNorm(Cohort(model.cohort))))
    return table(["EER, % [95 % interval]", *(cell for name in sets for cell in (name, *teachers))], rows)


def tables(
    manifest: Annotated[Path, typer.Argument(help="The manifest of the audio.")],
    split: Annotated[str, typer.Option(help="The split to evaluate on.")] = "dev",
    corpus: Annotated[str | None, typer.Option(help="Only this corpus, and only the error rates.")] = None,
    model: Annotated[str, typer.Option(help="The model: a SincNet x-vector.")] = "sincnet",
    rounds: Annotated[int, typer.Option(help="Bootstrap resamplings for the intervals.")] = 200,
    teachers: Annotated[list[str], typer.Option("--teacher", help="Teachers to measure too.")] = [],  # noqa: B006
    card: Annotated[Path | None, typer.Option(help="A model card whose tables with these heads are replaced.")] = None,
) -> None:
    """Print the tables as Markdown, and write them into a model card, if one is given."""
    utterances = [item for item in read_manifest(manifest, split) if corpus in (None, item.corpus)]
    sets = {name: by_speaker(manifest.parent, group) for name, group in by_group(utterances).items()}
    loaded = Model.from_pretrained(model)
    found = [rates(sets, loaded, teachers, rounds)]
    if corpus is None:
        conditions = ["clean", "noise=20", "noise=10", "noise=5", "gain=-40"]
        found += [operating_points(sets, embedder(loaded.network)), speech_head(sets, loaded, conditions)]
        found += [score_statistics(loaded.card)]
    typer.echo("\n\n".join("\n".join(lines) for lines in found))
    if card is not None:
        card.write_text(fill(card.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    typer.run(tables)
