"""`streamer embed`: files in, one embedding a file or a window out."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from streamer.cli.common import DeviceOption, LateProgress, ModelOption, RevisionOption, TokenOption, load_model
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from streamer.inference import Inference
    from streamer.models.model import Model

app = typer.Typer()


class Window(StrEnum):
    whole = "whole"
    sliding = "sliding"


@dataclass(slots=True)
class Table:
    """One row an embedding: where it comes from, in seconds of which file, and (dimension,) float32 of it."""

    files: list[str] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, file: str, start: float, end: float, embedding: NDArray[np.float32]) -> None:
        self.files.append(file)
        self.starts.append(start)
        self.ends.append(end)
        self.embeddings.append(embedding)

    def rows(self) -> Iterator[tuple[str, float, float, NDArray[np.float32]]]:
        return zip(self.files, self.starts, self.ends, self.embeddings, strict=True)

    def matrix(self) -> NDArray[np.float32]:
        """(rows, dimension) float32."""
        return np.stack(self.embeddings)


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
    if output is not None and output.suffix not in WRITERS:
        raise ConfigurationError(f"--output {str(output)!r}: use one of the endings {', '.join(WRITERS)}.")
    if window is Window.whole and (duration is not None or step is not None):
        raise ConfigurationError("--duration and --step are for --window sliding; give that too.")
    from streamer.inference import Inference

    loaded = load_model(model, device, token, revision)
    inference = Inference(loaded, window=window.value, duration=duration, step=step, batch_size=batch_size)
    table = Table()
    with LateProgress("Embedding", total=len(files)) as progress:
        for index, path in enumerate(files):
            _embed_file(inference, path, table, index, progress)
    if output is None:
        write_json(table, loaded, sys.stdout)
    else:
        WRITERS[output.suffix](table, loaded, output)


def _embed_file(inference: Inference, path: Path, table: Table, index: int, progress: LateProgress) -> None:
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


def _about(model: Model) -> dict[str, Any]:
    return {"name": model.card.name, "fingerprint": model.fingerprint, "dimension": model.dimension}


def write_npz(table: Table, model: Model, path: Path) -> None:
    np.savez(
        path,
        path=np.array(table.files),
        start=np.array(table.starts),
        end=np.array(table.ends),
        embedding=table.matrix(),
        model=np.array(model.card.name),
        fingerprint=np.array(model.fingerprint),
    )


def write_npy(table: Table, model: Model, path: Path) -> None:
    np.save(path, table.matrix())


def write_json(table: Table, model: Model, file: Any) -> None:
    rows = [
        {"path": name, "start": start, "end": end, "embedding": [round(float(value), 7) for value in embedding]}
        for name, start, end, embedding in table.rows()
    ]
    json.dump({"model": _about(model), "embeddings": rows}, file)
    file.write("\n")


def write_json_file(table: Table, model: Model, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        write_json(table, model, file)


def write_csv(table: Table, model: Model, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "start", "end", *(f"e{index}" for index in range(model.dimension))])
        for name, start, end, embedding in table.rows():
            writer.writerow([name, start, end, *(f"{value:.9g}" for value in embedding)])


WRITERS = {".npz": write_npz, ".npy": write_npy, ".json": write_json_file, ".csv": write_csv}
