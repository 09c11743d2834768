"""`streamer export`: a model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamer.cli.beforehand import check_model
from streamer.cli.common import RevisionOption, TokenOption, load_model
from streamer.cli.waiting import TORCH, waiting
from streamer.errors import ConfigurationError

app = typer.Typer()


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help='"default", a file, or a Hugging Face id.')],
    onnx: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    force: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Write a SincNet x-vector or a CAM++ as an ONNX file, and see that it gives torch's embeddings.

    It takes waveforms (batch, 1, samples) at 16 kHz, of any length, and gives embeddings (batch, dimension). Of the
    model, it has the network alone: neither threshold, calibration nor cohort.
    """
    from streamer.output import check_outputs, replacing

    check_outputs({"--onnx": onnx}, [model])
    if onnx.suffix != ".onnx":
        raise ConfigurationError(f"{str(onnx)!r} must end in .onnx.")
    if onnx.exists() and not force:
        raise ConfigurationError(f"{str(onnx)!r} is there already; --force replaces it.")
    check_model(model, revision=revision)
    with waiting(TORCH) as say:
        from streamer.models.to_onnx import to_onnx

        loaded = load_model(model, token=token, revision=revision)
        say("exporting")
        data, difference = to_onnx(loaded)
    with replacing(onnx) as new:
        new.write_bytes(data)
    typer.echo(f"{onnx}: {len(data):,} bytes; its embeddings are torch's (1 less the cosine: {difference:.1g})")
