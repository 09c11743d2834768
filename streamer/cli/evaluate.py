"""`streamer evaluate`: measure a model on labelled audio."""

from __future__ import annotations

import typer

from streamer.cli.evaluating.conditions import conditions
from streamer.cli.evaluating.recordings import recordings
from streamer.cli.evaluating.speech import speech
from streamer.cli.evaluating.stream import stream
from streamer.cli.evaluating.verify import verify

app = typer.Typer(help="Measure a model on labelled audio.", no_args_is_help=True)
app.command()(verify)
app.command()(stream)
app.command()(recordings)
app.command()(conditions)
app.command()(speech)
app.callback()(lambda: None)
