"""`streamer verify`: are two recordings of the same speaker?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from streamer.cli.beforehand import check_model, check_recordings
from streamer.cli.common import DeviceOption, ModelOption, RevisionOption, TokenOption, load_model, recordings
from streamer.cli.waiting import TORCH, compiling, waiting
from streamer.errors import ConfigurationError

app = typer.Typer()

EXIT_DIFFERENT = 1


@app.command()
def verify(
    first: Annotated[Path, typer.Argument(help="An audio file.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another one.", show_default=False)],
    threshold: Annotated[
        float | None,
        typer.Option(help="Cosine similarity that counts as the same speaker. Default: the model's.", min=-1, max=1),
    ] = None,
    least_speech: Annotated[
        float, typer.Option(help="Seconds of speech that each file needs for a verdict; 0: any sound.", min=0)
    ] = 1.0,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Say whether two audio files are of the same speaker. One of them may be standard input (-).

    Exit code 0 for the same, 1 for different speakers, 2 for an error, or if there is too little speech for a verdict.
    """
    if threshold is not None and not math.isfinite(threshold):
        raise ConfigurationError(f"--threshold {threshold} is not a number from -1 to 1.")
    check_recordings([first, second])
    check_model(model, device, revision)
    (_, one), (_, other) = recordings([first, second])
    with waiting(TORCH) as say:
        from streamer.verification import verify as compare

        loaded = load_model(model, device, token, revision)
        with compiling(say):
            say("comparing")
            found = compare(loaded, one, other, threshold, least_speech)
    similarity, limit, same = found.similarity, found.threshold, found.same
    if as_json:
        values: dict[str, Any] = {
            "similarity": similarity,
            "distance": 1 - similarity,
            "threshold": limit,
            "same": same,
        }
        values |= {"speech_s": list(found.speech_s)}
        typer.echo(json.dumps(values | {"model": loaded.card.name, "fingerprint": loaded.fingerprint}))
    else:
        typer.echo(f"distance    {1 - similarity:.4f}\nsimilarity  {similarity:.4f}")
    if limit is None:
        raise ConfigurationError(
            f"the model {loaded.card.name!r} records no decision threshold; give a cosine similarity "
            f"with --threshold, measured on speech like yours."
        )
    if not as_json:
        sign = ">=" if same else "<"
        typer.echo(f"{'same' if same else 'different'} speaker{'' if same else 's'} (similarity {sign} {limit:.4f})")
    if not same:
        raise typer.Exit(EXIT_DIFFERENT)
