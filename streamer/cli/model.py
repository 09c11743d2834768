"""`streamer model`: inspect a model, or convert it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamer.cli.beforehand import check_model, check_recordings
from streamer.cli.common import RevisionOption, TokenOption, load_model, recordings
from streamer.cli.waiting import TORCH, waiting
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from streamer.models.model import Model

app = typer.Typer()

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help='"campplus-live" (the default), "sincnet", "campplus", a file, a directory, or a Hugging Face id.',
    ),
]


class Precision(StrEnum):
    float32 = "float32"
    float16 = "float16"


@app.command()
def info(
    model: SourceArgument = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Show a model's architecture, origin and details."""
    check_model(model, revision=revision)
    facts = describe(load_model(model, token=token, revision=revision))
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for line in outline(facts):
        typer.echo(line)


def outline(facts: Mapping[str, Any]) -> Iterator[str]:
    """Facts as lines; the parts of a fact are indented below it."""
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield name
            yield from (f"  {line}".rstrip() for line in outline(value))
        elif isinstance(value, str) and "\n" in value:
            yield name
            yield from (f"  {line}".rstrip() for line in value.splitlines())
        else:
            yield f"{name:<{width}}{_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return "not recorded" if value is None or value == {} else str(value)


@app.command()
def convert(
    source: SourceArgument,
    output: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The file to write.")],
    dtype: Annotated[Precision, typer.Option(help="Precision of the large tensors; float16 halves the file.")] = (
        Precision.float32
    ),
    threshold: Annotated[
        float | None, typer.Option(help="Decision threshold to record (cosine similarity).", min=-1, max=1)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name to record.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", "--license", help="Licence to record.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing OUT.safetensors.")] = False,
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Write a model in this project's format: one safetensors file with everything needed to use it."""
    from streamer.output import check_outputs, replacing

    check_outputs({"OUT": output}, [source])
    if output.suffix != ".safetensors":
        raise ConfigurationError(f"{str(output)!r} must end in .safetensors.")
    if output.exists() and not force:
        raise ConfigurationError(f"{str(output)!r} exists already; --force replaces it.")
    check_model(source, revision=revision)
    with waiting(TORCH):
        import torch

        from streamer.models import checkpoint
        from streamer.models.model import Model

        model = load_model(source, token=token, revision=revision)
    card = model.card
    model.card = replace(
        card,
        name=card.name if name is None else name,
        threshold=card.threshold if threshold is None else threshold,
        licence=card.licence if licence is None else licence,
    )
    with replacing(output) as new:
        checkpoint.save(new, model, torch.float32 if dtype is Precision.float32 else torch.float16)
    written = Model.from_pretrained(output)
    typer.echo(f"{output}: {written.card.name}, fingerprint {written.fingerprint}, {output.stat().st_size:,} bytes")


@app.command()
def drift(
    source: SourceArgument,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Typical audio of your use, or - for standard input.")
    ],
    duration: Annotated[float, typer.Option(help="Window length in seconds.")] = 3.0,
    step: Annotated[float, typer.Option(help="Step between windows in seconds.")] = 1.0,
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Measure how far the fast approximation of a model with window norms deviates from its exact mode."""
    import numpy as np

    from streamer.audio.files import read_audio

    check_model(source, revision=revision)
    check_recordings(files)
    with waiting(TORCH):
        from streamer.engine.drift import measure_drift

        model = load_model(source, token=token, revision=revision)
    typer.echo(f"{'file':<32}{'windows':>8}{'cosine: median':>16}{'lowest':>9}{'times as fast':>15}")
    for name, file in recordings(files):
        found = measure_drift(model, read_audio(file).mono_16k(), name, duration, step)
        median, lowest = float(np.median(found.cosines)), float(found.cosines.min())
        typer.echo(f"{name[-31:]:<32}{len(found.cosines):>8}{median:>16.4f}{lowest:>9.4f}{found.speedup:>14.1f}x")


def describe(model: Model) -> dict[str, Any]:
    """The values that `streamer model info` shows."""
    architecture = model.architecture
    anew = "window statistics (exact mode)" if architecture.family == "sincnet" else "each window is computed anew"
    return {
        "name": model.card.name,
        "fingerprint": model.fingerprint,
        "dimension": model.dimension,
        "family": architecture.family,
        # An ONNX file is one tensor without parameters.
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()) or None,
        "sample_rate": model.sample_rate,
        "minimum_s": model.minimum_samples / model.sample_rate,
        "frame_step_s": model.grid.stride / model.sample_rate,
        "receptive_field_s": model.grid.receptive_field / model.sample_rate,
        "streaming": "each frame is computed once" if architecture.frame_local else anew,
        "threshold": model.card.threshold,
        "licence": model.card.licence,
        "architecture": architecture.to_dict(),
        "details": model.card.details,
    }
