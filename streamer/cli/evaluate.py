"""`streamer evaluate`: how good a model is on labelled audio."""

from __future__ import annotations

import typer

from streamer.evaluation.command import verify
from streamer.evaluation.conditions_command import conditions
from streamer.evaluation.recordings_command import recordings
from streamer.evaluation.speech_command import speech
from streamer.evaluation.stream_command import stream

app = typer.Typer(help="Measure a model on labelled audio.", no_args_is_help=True)
app.command()(verify)
app.command()(stream)
app.command()(recordings)
app.command()(conditions)
app.command()(speech)
app.callback()(lambda: None)
