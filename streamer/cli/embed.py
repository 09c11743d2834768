"""`streamer embed`: files in, one embedding for each file or window out."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.beforehand import check_model, check_recordings
from streamer.cli.common import (
    EXIT_ERROR,
    DeviceOption,
    LateProgress,
    ModelOption,
    RevisionOption,
    TokenOption,
    load_model,
    one_line,
    recordings,
)
from streamer.cli.waiting import TORCH, waiting
from streamer.errors import AudioError, AudioUnreadable, ConfigurationError

if TYPE_CHECKING:
    from streamer.audio.files import AudioInput
    from streamer.cli.tables import Table
    from streamer.inference import Inference

app = typer.Typer()


class WindowChoice(StrEnum):
    whole = "whole"
    sliding = "sliding"


@app.command()
def embed(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Audio files, or - for standard input.", show_default=False)
    ],
    window: Annotated[
        WindowChoice, typer.Option(help="One embedding for each file, or for each step.")
    ] = WindowChoice.whole,
    duration: Annotated[float | None, typer.Option(help="Seconds in a sliding window.")] = None,
    step: Annotated[float | None, typer.Option(help="Seconds from one sliding window to the next.")] = None,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .npz, .npy, .json or .csv file. Default: JSON to stdout."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Windows in one batch of the network.")] = 32,
    ray: Annotated[
        bool, typer.Option("--ray", help="Use all workers of a Ray cluster; --output is then a folder of Parquet.")
    ] = False,
    workers: Annotated[int, typer.Option(help="With --ray: processes, each with its own model.", min=1)] = 1,
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Turn audio files into speaker embeddings.

    .npz holds the arrays path, start, end (seconds), embedding (rows, dimension) and the model's fingerprint; .npy the
    embeddings alone; .json and .csv the same as .npz, as text. A file that cannot be read is reported, and the others
    are still embedded; the exit code is then 2. One file may be standard input (-). --ray embeds whole files only, and
    skips files that are already in the folder, so a run that was stopped can be continued.
    """
    if ray:
        return _on_ray(files, output, window, model, device, workers)
    from streamer.cli import tables
    from streamer.output import check_outputs, named, replacing

    if output is not None and output.suffix not in tables.WRITERS:
        raise ConfigurationError(f"--output {str(output)!r}: use one of the endings {', '.join(tables.WRITERS)}.")
    # Checked now rather than after the work.
    check_outputs({"--output": output}, [*files, model])
    if window is WindowChoice.whole and (duration is not None or step is not None):
        raise ConfigurationError("--duration and --step are for --window sliding; give it too.")
    check_model(model, device, revision)
    check_readable(files)
    with waiting(TORCH):
        from streamer.inference import Inference

        loaded = load_model(model, device, token, revision)
    inference = Inference(loaded, window=window.value, duration=duration, step=step, batch_size=batch_size)
    table = tables.Table()
    failed = 0
    with LateProgress("Embedding", total=len(files)) as progress:
        for index, (name, file) in enumerate(recordings(files)):
            try:
                _embed_file(inference, name, file, table, index, progress)
            except (AudioError, OSError, MemoryError) as error:
                if len(files) == 1:
                    raise
                failed += 1
                typer.echo(f"streamer: {one_line(error)}", err=True)
    if table.files and output is None:
        with named("standard output"):
            tables.write_json(table, loaded, sys.stdout)
    elif table.files and output is not None:
        with replacing(output) as new:
            tables.WRITERS[output.suffix](table, loaded, new)
        typer.echo(f"{len(table.files)} embeddings of {loaded.dimension} numbers written to {output}.")
    if failed:
        typer.echo(f"streamer: {failed} of {len(files)} files could not be embedded; the others were.", err=True)
        raise typer.Exit(EXIT_ERROR)


def _on_ray(
    files: list[Path], output: Path | None, window: WindowChoice, model: str, device: str, workers: int
) -> None:
    if output is None or output.suffix:
        raise ConfigurationError(f"--output {str(output or '')!r}: with --ray it is a folder, for Parquet files.")
    if window is not WindowChoice.whole:
        raise ConfigurationError("--window sliding cannot be used with --ray, which embeds whole files.")
    check_model(model, device, None)
    from streamer.cluster.corpus import embed

    made = embed(files, output, model=model, device="cpu" if device == "auto" else device, workers=workers)
    typer.echo(f"{made.new} files embedded into {output}, {made.before} were there before.")
    if made.failed:
        typer.echo(f"streamer: {made.failed} files could not be embedded; the column `problem` says why.", err=True)
        raise typer.Exit(EXIT_ERROR)


def check_readable(files: list[Path]) -> None:
    """Raises the error of a file that is given alone; of several files, one readable file is enough."""
    problems = []
    for file in files:
        try:
            check_recordings([file])
            return
        except (AudioError, OSError) as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    for problem in problems:
        typer.echo(f"streamer: {one_line(problem)}", err=True)
    raise AudioUnreadable(f"none of {len(files)} files could be embedded.")


def _embed_file(
    inference: Inference, name: str, file: AudioInput, table: Table, index: int, progress: LateProgress
) -> None:
    import numpy as np

    def hook(completed: int, total: int) -> None:
        progress.update(index + completed / total)

    embeddings, duration_s = inference.timed(file, hook=hook)
    if isinstance(embeddings, np.ndarray):
        table.add(name, 0.0, duration_s, embeddings[0])
        return
    for segment, embedding in embeddings:
        # The last window is padded with zeros, which are not part of the file.
        table.add(name, segment.start, min(segment.end, duration_s), embedding)
