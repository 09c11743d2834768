"""One member's part of a training run, from the recipe to the end of its schedule."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from streamer.evaluation.verification import embedder
from streamer.models.xvector import XVectorSincNet
from streamer.training.development import Development
from streamer.training.loop import Report, Trainer
from streamer.training.prepare import prepared
from streamer.training.recipe import Recipe
from streamer.training.team import Team


def run(plan: Recipe, device: str, threads: int, team: Team) -> None:
    """Train; resume if the recipe's folder has a saved state.

    threads: of this process on a CPU; 0: torch decides.
    """
    if threads:
        torch.set_num_threads(threads)
    sampler, augment = prepared(plan)
    trainer = Trainer(plan, sampler, augment, device, team)
    manifest = Path(plan.data.manifest).expanduser()
    development = cache(lambda: Development.from_manifest(manifest, Path(plan.data.cache).expanduser() / "dev.npz"))

    def evaluate(network: XVectorSincNet) -> Report:
        return development().evaluate(embedder(network))

    if trainer.resume() and team.leads:
        print(f"resuming at step {trainer.step}, {trainer.progress:.0%} of the run")
    trainer.run(evaluate)
