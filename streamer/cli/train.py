"""`streamer train`: adapt a model to your people, from a folder with a folder for each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamer.cli.beforehand import check_model
from streamer.cli.common import LateProgress, ModelOption, load_model
from streamer.cli.waiting import TORCH, compiling, waiting
from streamer.errors import ConfigurationError

app = typer.Typer()

EXIT_NO_BETTER = 1


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="A folder with a folder for each person, with their name.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The model to write: a .safetensors file.")],
    model: ModelOption = "default",
    name: Annotated[str | None, typer.Option(help="Name of the model; default: the file's name.")] = None,
    force: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
) -> None:
    """Adapt a model to your people, their microphones and rooms, in minutes on a processor.

    It needs at least three people with at least three recordings each; twenty each are better, made in the conditions
    of use. A third of every person's recordings is held out: the errors on these are shown, before and after, and a
    model that is no better is not written (exit code 1). Enrol people again under the new model.
    """
    from streamer.output import check_outputs, replacing

    check_outputs({"OUT": output}, [model])
    if output.suffix != ".safetensors":
        raise ConfigurationError(f"{str(output)!r} must end in .safetensors.")
    if output.exists() and not force:
        raise ConfigurationError(f"{str(output)!r} exists already; --force replaces it.")
    check_model(model)
    with waiting(TORCH) as say:
        from streamer.models import checkpoint
        from streamer.models.model import Model
        from streamer.training import adapting

        files = adapting.folders(folder)
        loaded = load_model(model)
        adapting.check_adaptable(loaded)
        with compiling(say):
            say("embedding the recordings")
    done = 0
    with LateProgress("embedding the recordings", sum(map(len, files.values()))) as bar:

        def hear(path: Path, problem: str) -> None:
            nonlocal done
            done += 1
            bar.update(done)
            if problem:
                typer.echo(f"left out: {path.parent.name}/{path.name}: {problem}", err=True)

        people = adapting.heard(loaded, files, hear)
    found = adapting.tried(loaded, people)
    typer.echo(f"{found.people} people, {found.learnt} recordings to learn from, {found.held_out} held out")
    typer.echo(f"{'on ' + str(found.before.windows) + ' held-out windows of 3 s':<34}{'before':>9}{'after':>9}")
    for label, before, after in (
        ("enrolled, not named rightly", found.before.missed, found.after.missed),
        ("strangers, named", found.before.strangers, found.after.strangers),
        ("the mean of both", found.before.mean, found.after.mean),
        ("equal error rate", found.before.eer, found.after.eer),
    ):
        typer.echo(f"{label:<34}{before:>9.1%}{after:>9.1%}")
    if not found.after.better_than(found.before):
        typer.echo("No better, so nothing is written. More recordings, made on other days, may change that.", err=True)
        raise typer.Exit(EXIT_NO_BETTER)
    made = adapting.put_in(loaded, found, people, name or output.stem)
    with replacing(output) as new:
        checkpoint.save(new, made)
    written = Model.from_pretrained(output)
    typer.echo(f"{output}: {written.card.name}, fingerprint {written.fingerprint}; enrol your people under it:")
    typer.echo(f"  streamer speakers enroll NAME FILE... --model {output}")
