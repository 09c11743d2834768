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
    force: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Write a SincNet x-vector or a CAM++ as an ONNX file, and check that its embeddings are those of torch.

    The file takes waveforms (batch, 1, samples) at 16 kHz, of any length, and returns embeddings (batch, dimension). It
    holds the network alone, without threshold, calibration or cohort.
    """
    from streamer.output import check_outputs, replacing

    check_outputs({"--onnx": onnx}, [model])
    if onnx.suffix != ".onnx":
        raise ConfigurationError(f"{str(onnx)!r} must end in .onnx.")
    if onnx.exists() and not force:
        raise ConfigurationError(f"{str(onnx)!r} exists already; --force replaces it.")
    check_model(model, revision=revision)
    with waiting(TORCH) as say:
        from streamer.models.to_onnx import to_onnx

        loaded = load_model(model, token=token, revision=revision)
        say("exporting")
        data, difference = to_onnx(loaded)
    with replacing(onnx) as new:
        new.write_bytes(data)
    typer.echo(f"{onnx}: {len(data):,} bytes; its embeddings equal torch's (1 minus the cosine: {difference:.1g})")
