"""Export a training state as the weights that are shipped: `python -m streamer.training.export RECIPE FILE`.

The file has the averaged weights, a cohort of training speakers, and a calibration of scores, measured on speakers
that training left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from streamer.engine.incremental import IncrementalModel
from streamer.evaluation.calibration import LinearCalibration, cllr
from streamer.evaluation.metrics import Bool, det_curve, eer, equal_error
from streamer.evaluation.scoring import Float, cosine
from streamer.evaluation.verification import embed_items, embedder
from streamer.models.checkpoint import save
from streamer.models.model import Model, ModelCard
from streamer.models.xvector import XVectorSincNet, sincnet_of
from streamer.speakers.backend import Cohort
from streamer.training.augmentation import Chances
from streamer.training.backend import held_out_windows, make_cohort
from streamer.training.calibration import calibrate
from streamer.training.data import Corpus, Int64
from streamer.training.development import Development, pooled_threshold
from streamer.training.network import approach
from streamer.training.prepare import prepared
from streamer.training.recipe import Recipe
from streamer.training.rehearsal import rehearse
from streamer.training.teachers import teacher_of

LICENCE = "MIT"
DURATIONS_S = (1.0, 2.0, 3.0, 5.0)
#: Conversations of each group to calibrate on. The tracker's settings are chosen on others.
CONVERSATIONS, SEED = 24, 40_000
Scores = dict[str, dict[str, float]]


def averaged(recipe: Recipe) -> tuple[XVectorSincNet, dict[str, float]]:
    """The averaged network of a recipe's run, and how long it was trained (steps, hours), including before the run.

    The weights are averaged over the last steps of the run, and then with the start, as the recipe says. So are the
    statistics of the norms.
    """
    state = torch.load(Path(recipe.folder).expanduser() / "state.pt", map_location="cpu", weights_only=True)
    network = XVectorSincNet(recipe.architecture)
    network.load_state_dict(state["average"])
    beginning = recipe.beginning()
    if beginning:
        start = sincnet_of(beginning.network)
        approach(start, network, 1 - recipe.start_share)
        network = start
    before = beginning.card.details.get("trained", {}) if beginning else {}
    steps, hours = state["step"] + before.get("steps", 0), state["seconds"] / 3600 + before.get("hours", 0.0)
    return network.eval().requires_grad_(False), {"steps": steps, "hours": round(hours, 2)}


def describe_scores(network: XVectorSincNet, corpus: Corpus, held_out: Int64) -> Scores:
    """The meaning of cosines by window length: their distributions, threshold and calibration.

    Measured on undisturbed speech. The network was not trained on these voices, but on other voices of their corpora.
    """
    found: Scores = {}
    for duration_s in DURATIONS_S:
        windows = held_out_windows(corpus, held_out, duration_s)
        if (trials := windows.trials()) is None:
            continue
        scores = cosine(embed_items(windows.items, embedder(network)), trials.left, trials.right)
        found[f"{duration_s:.1f}"] = described(scores, trials.same)
    return found


def described(scores: Float, is_same: Bool) -> dict[str, float]:
    """Statistics of the cosines of trials (trials,): distributions, threshold at the equal error rate, calibration."""
    same, different = scores[is_same], scores[~is_same]
    line = LinearCalibration.fit(scores, is_same)
    return {
        "same_mean": float(same.mean()),
        "same_std": float(same.std()),
        "different_mean": float(different.mean()),
        "different_std": float(different.std()),
        "threshold": equal_error(det_curve(scores, is_same))[1],
        "eer": eer(scores, is_same),
        "slope": line.slope,
        "offset": line.offset,
        "cllr": cllr(line(scores), is_same),
    }


def card(recipe: Recipe, scores: Scores, threshold: float, trained: dict[str, float], text: str) -> ModelCard:
    """The model card of the weights."""
    details: dict[str, Any] = {
        "recipe": text,
        "trained": trained,
        "teacher": f"{teacher_of(recipe.data.teacher).description}, with within-class covariance normalisation",
        "speech_teacher": "silero-vad (MIT)",
        "scores": scores,
    }
    if "3.0" in scores:
        details["calibration"] = {"slope": scores["3.0"]["slope"], "offset": scores["3.0"]["offset"]}
    return ModelCard(recipe.name, threshold, LICENCE, details)


def export(
    recipe: Annotated[Path, typer.Argument(help="The recipe of a run.", dir_okay=False)],
    path: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
) -> None:
    """Write the averaged weights of a run as float16, with their threshold (EER of all development sets, 3 s)."""
    plan = Recipe.load(recipe)
    sampler, augment = prepared(plan)
    network, trained = averaged(plan)
    # Strangers may be in any room, even if this run was trained with few rooms.
    cohort = make_cohort(network, sampler, replace(augment, chances=Chances()))
    manifest = Path(plan.data.manifest).expanduser()
    development = Development.from_manifest(manifest, Path(plan.data.cache).expanduser() / "dev.npz")
    found = development.scores(embedder(network))
    described = card(
        plan,
        describe_scores(network, sampler.corpus, sampler.unheard),
        pooled_threshold(found),
        trained,
        recipe.read_text(encoding="utf-8"),
    )
    model = Model(network, described, cohort)
    rehearsed = rehearse(IncrementalModel(model), plan.data, CONVERSATIONS, SEED)
    worth = calibrate(rehearsed, model, dict.fromkeys(rehearsed, Cohort(cohort)))
    described.details.update(tracking=worth.enrolled.to_dict(), guests=worth.guests.to_dict())
    save(path, model, torch.float16)
    path.chmod(0o644)
    for name, (scores, same) in found.items():
        typer.echo(f"{name}: {100 * eer(scores, same):.2f} %")


if __name__ == "__main__":
    typer.run(export)
