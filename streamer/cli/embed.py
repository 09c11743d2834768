"""`streamer embed`: files in, one embedding a file or a window out."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.common import DeviceOption, LateProgress, ModelOption, RevisionOption, TokenOption, load_model
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from streamer.cli.tables import Table
    from streamer.inference import Inference

app = typer.Typer()


class Window(StrEnum):
    whole = "whole"
    sliding = "sliding"


@app.command()
def embed(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Audio files.", show_default=False)],
    window: Annotated[Window, typer.Option(help="One embedding a file, or one each step.")] = Window.whole,
    duration: Annotated[float | None, typer.Option(help="Seconds in a sliding window.")] = None,
    step: Annotated[float | None, typer.Option(help="Seconds from a sliding window to the next.")] = None,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to: .npz, .npy, .json or .csv. Default: JSON to stdout."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Windows that go through the network at once.")] = 32,
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Turn audio files into speaker embeddings.

    .npz holds the arrays path, start, end (seconds), embedding (rows, dimension) and the model's fingerprint; .npy the
    embeddings alone; .json and .csv the same as .npz, as text.
    """
    from streamer.cli import tables
    from streamer.inference import Inference

    if output is not None and output.suffix not in tables.WRITERS:
        raise ConfigurationError(f"--output {str(output)!r}: use one of the endings {', '.join(tables.WRITERS)}.")
    if output is not None and not output.parent.is_dir():
        # Said now rather than after the work.
        raise ConfigurationError(f"--output {str(output)!r}: there is no directory {str(output.parent)!r}.")
    if window is Window.whole and (duration is not None or step is not None):
        raise ConfigurationError("--duration and --step are for --window sliding; give that too.")
    loaded = load_model(model, device, token, revision)
    inference = Inference(loaded, window=window.value, duration=duration, step=step, batch_size=batch_size)
    table = tables.Table()
    with LateProgress("Embedding", total=len(files)) as progress:
        for index, path in enumerate(files):
            _embed_file(inference, path, table, index, progress)
    if output is None:
        tables.write_json(table, loaded, sys.stdout)
    else:
        tables.WRITERS[output.suffix](table, loaded, output)


def _embed_file(inference: Inference, path: Path, table: Table, index: int, progress: LateProgress) -> None:
    import numpy as np

    from streamer.audio.files import read_audio

    audio = read_audio(path)
    file = {"waveform": audio.waveform, "sample_rate": audio.sample_rate, "uri": audio.name}

    def hook(completed: int, total: int) -> None:
        progress.update(index + completed / total)

    embeddings = inference(file, hook=hook)
    if isinstance(embeddings, np.ndarray):
        table.add(str(path), 0.0, audio.duration, embeddings[0])
        return
    for segment, embedding in embeddings:
        # The last window is filled up with zeros, which are no part of the file.
        table.add(str(path), segment.start, min(segment.end, audio.duration), embedding)
