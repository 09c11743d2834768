"""`streamer cluster`: a server on a Ray cluster."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def cluster() -> None:
    """Serve rooms from many machines, with Ray Serve."""


@app.command()
def up(config: Annotated[Path, typer.Option(help="TOML file with the tables cluster and server.")]) -> None:
    """Deploy replicas of the server, and run until Ctrl-C, which takes them down; sessions stay in their store.

    On a running cluster (`address` in the file), `serve run streamer.cluster.app:build config=FILE` deploys the same
    replicas and leaves them running.
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
