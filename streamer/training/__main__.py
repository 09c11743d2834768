"""Train weights by a recipe: `python -m streamer.training RECIPE`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from streamer.training.prepare import prepared
from streamer.training.recipe import Recipe
from streamer.training.run import run
from streamer.training.team import run_team


def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file; see streamer/training/recipes/sincnet.", dir_okay=False)],
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, ...")] = "cpu",
    threads: Annotated[int, typer.Option(help="Threads of each process on a CPU; 0: torch decides.")] = 0,
    processes: Annotated[int, typer.Option(help="Processes that share each batch.", min=1)] = 1,
    pid_file: Annotated[Path | None, typer.Option(help="Where to write the process id.")] = None,
) -> None:
    """Train to the end of the recipe's schedule; resume if its folder has a saved state.

    On a CPU, several processes of one thread each are faster than one of several threads.
    """
    plan = Recipe.load(recipe)
    if pid_file is not None:
        pid_file.write_text(str(os.getpid()), encoding="utf-8")
    prepared(plan)  # Once, before every process needs it.
    run_team(processes, partial(run, plan, device, threads))


if __name__ == "__main__":
    typer.run(train)
