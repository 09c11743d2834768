"""The table that `streamer embed` makes, and its file formats."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from streamer.models.model import Model


@dataclass(slots=True)
class Table:
    """One row for each embedding: the file, the range in seconds, and (dimension,) float32."""

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


def _about(model: Model) -> dict[str, Any]:
    return {"name": model.card.name, "fingerprint": model.fingerprint, "dimension": model.dimension}


def write_npz(table: Table, model: Model, path: Path) -> None:
    with path.open("wb") as file:
        _write_arrays(table, model, file)


def _write_arrays(table: Table, model: Model, file: Any) -> None:
    np.savez(
        file,
        path=np.array(table.files),
        start=np.array(table.starts),
        end=np.array(table.ends),
        embedding=table.matrix(),
        model=np.array(model.card.name),
        fingerprint=np.array(model.fingerprint),
    )


def write_npy(table: Table, model: Model, path: Path) -> None:
    with path.open("wb") as file:  # given a path, numpy adds a suffix to it
        np.save(file, table.matrix())


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
