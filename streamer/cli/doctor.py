"""`streamer doctor`: check the installation, and say what to do about problems."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from streamer.cli.common import EXIT_ERROR, DeviceOption, ModelOption
from streamer.cli.configuration import path_of
from streamer.cli.options import AsJsonOption, StoreOption
from streamer.cli.waiting import waiting
from streamer.diagnosis import Diagnosis, examine
from streamer.sinks.text import carries_unicode, plain_console

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()

STYLES = {"ok": "green", "missing": "yellow", "broken": "bold red"}


@app.command()
def doctor(
    as_json: AsJsonOption = False,
    store: StoreOption = None,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
) -> None:
    """Check the installation: versions, processor, microphones, FFmpeg, the model and the speaker store.

    "missing" is something that only some commands need; "broken" is something that everything needs, and gives exit
    code 2. Nothing is changed, and nothing leaves this machine.
    """
    with waiting("checking this machine"):
        found = [_configuration(), *examine(model, device, store)]
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], ensure_ascii=not carries_unicode(sys.stdout), indent=1))
    else:
        console = plain_console(soft_wrap=True)
        for one in found:
            _print(console, one)
    if any(one.state == "broken" for one in found):
        raise typer.Exit(EXIT_ERROR)


def _configuration() -> Diagnosis:
    """The file was read before this function, so it is valid if it exists."""
    path = path_of(os.environ)
    return Diagnosis("configuration", "ok", f"{path}{'' if path.exists() else ': none, and none is needed'}")


def _print(console: Console, one: Diagnosis) -> None:
    from rich.text import Text

    console.print(Text.assemble((f"{one.state:<8}", STYLES[one.state]), f"{one.name:<15}", one.said))
    if one.advice:
        console.print(Text.assemble(" " * 23, (f"-> {one.advice}", "bold")))
