"""`streamer cluster`: rooms on a Ray cluster."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def cluster() -> None:
    """Serve rooms from many machines, by Ray Serve."""


@app.command()
def up(config: Annotated[Path, typer.Option(help="TOML file with the tables cluster and server.")]) -> None:
    """Deploy replicas of the server, and stay until Ctrl-C; then they are taken down, and sessions lie in their store.

    On a cluster that runs (`address` in the file) they may as well be deployed by
    `serve run streamer.cluster.app:build config=FILE`, and stay.
    """
    from streamer.cluster.config import read

    settings = read(config)
    from streamer.cluster import app as deployed

    deployed.start(settings)
    typer.echo(f"Serving on http://{settings.host}:{settings.port}/ with {settings.replicas} replicas")
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        deployed.stop()
