"""Train weights by a recipe: `python -m streamer.training RECIPE`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated

import torch
import typer

from streamer.models.xvector import XVectorSincNet
from streamer.training.curves import plot_curves
from streamer.training.development import Development, embedder
from streamer.training.loop import Report, Trainer
from streamer.training.prepare import prepared
from streamer.training.recipe import Recipe


def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file; see streamer/training/recipes.", dir_okay=False)],
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, ...")] = "cpu",
    threads: Annotated[int, typer.Option(help="Threads on a CPU; 0 leaves it to torch.")] = 0,
    pid_file: Annotated[Path | None, typer.Option(help="Where to write the process id.")] = None,
) -> None:
    """Train to the end of the recipe's schedule, resuming where its folder has a state to resume from."""
    plan = Recipe.load(recipe)
    if threads:
        torch.set_num_threads(threads)
    if pid_file is not None:
        pid_file.write_text(str(os.getpid()), encoding="utf-8")
    sampler, augment = prepared(plan)
    trainer = Trainer(plan, sampler, augment, device)
    manifest = Path(plan.data.manifest).expanduser()
    development = cache(lambda: Development.from_manifest(manifest, Path(plan.data.cache).expanduser() / "dev.npz"))

    def evaluate(network: XVectorSincNet) -> Report:
        found = development().evaluate(embedder(network))
        plot_curves(trainer.folder)
        return found

    if trainer.resume():
        typer.echo(f"resuming at step {trainer.step}, {trainer.progress:.0%} of the run")
    trainer.run(evaluate)


if __name__ == "__main__":
    typer.run(train)
