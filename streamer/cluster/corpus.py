"""Embeds a corpus of recordings with Ray Data, as Parquet; a run that was stopped continues where it was."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.cluster.library import ray_or_why
from streamer.errors import AudioError, ConfigurationError

#: Most recordings in a Parquet file; if a worker dies, this many are repeated.
PART = 32


@dataclass(frozen=True, slots=True)
class Embedded:
    """The result for a corpus. new: embedded by this call. before: by earlier ones. failed: could not be read."""

    new: int
    before: int
    failed: int


def embed(
    recordings: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    model: str = "default",
    device: str = "cpu",
    workers: int = 1,
    cpus: float = 1.0,
    gpus: float = 0.0,
) -> Embedded:
    """Embed whole recordings, each file one row, into a folder of Parquet.

    Columns: path; start and end (seconds); fingerprint of the model; embedding (dimension) float32; problem, if a
    file could not be read: it has no embedding then. A second call with the same folder embeds the missing recordings,
    and retries those that could not be read. It uses the cluster that Ray is connected to, or else starts one here.

    workers: processes, each with its own model. cpus, gpus: of each, as Ray counts them.
    Raises ConfigurationError for invalid numbers, MissingDependency without Ray.
    """
    if workers < 1 or cpus < 0 or gpus < 0:
        raise ConfigurationError(f"workers={workers}, cpus={cpus}, gpus={gpus}: at least 1, 0 and 0 are needed.")
    ray = ray_or_why()
    from ray import data as ray_data

    from streamer.models.model import Model

    folder = Path(output).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys(os.path.abspath(path) for path in recordings))
    fingerprint = Model.from_pretrained(model).fingerprint
    done = _done(folder, fingerprint)
    left = [{"path": path} for path in paths if path not in done]
    before = len(paths) - len(left)
    if not left:
        return Embedded(0, before, 0)
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="warning")
    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False
    parts = max(1, -(-len(left) // PART))
    found = ray_data.from_items(left, override_num_blocks=parts).map_batches(
        _Worker,
        fn_constructor_kwargs={"model": model, "device": device},
        batch_size=PART,
        concurrency=workers,
        num_cpus=cpus,
        num_gpus=gpus,
    )
    found.write_parquet(str(folder), min_rows_per_file=1)
    written = _done(folder, fingerprint)
    failed = sum(row["path"] not in written for row in left)
    return Embedded(len(left) - failed, before, failed)


def _done(folder: Path, fingerprint: str) -> set[str]:
    """The recordings with an embedding of this model. Incomplete files of a killed writer are deleted."""
    import pyarrow
    import pyarrow.parquet

    done: set[str] = set()
    for file in sorted(folder.glob("*.parquet")):
        try:
            table = pyarrow.parquet.read_table(file, columns=["path", "fingerprint", "problem"])
        except (pyarrow.ArrowInvalid, pyarrow.ArrowException):
            file.unlink()
            continue
        rows = zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
        done.update(path for path, of, problem in rows if of == fingerprint and problem is None)
    return done


class _Worker:
    """One process's model; Ray Data creates it once and passes it parts of the corpus."""

    def __init__(self, model: str, device: str) -> None:
        import torch

        from streamer.inference import Inference
        from streamer.models.model import Model

        torch.set_num_threads(1)
        loaded = Model.from_pretrained(model)
        loaded.to(torch.device(device))
        self._inference = Inference(loaded, window="whole")
        self._fingerprint = loaded.fingerprint

    def __call__(self, batch: dict[str, Any]) -> Any:
        """Embed a part of the paths into a table of rows."""
        import pyarrow

        schema = pyarrow.schema(
            [
                ("path", pyarrow.string()),
                ("start", pyarrow.float64()),
                ("end", pyarrow.float64()),
                ("fingerprint", pyarrow.string()),
                ("embedding", pyarrow.list_(pyarrow.float32())),
                ("problem", pyarrow.string()),
            ]
        )
        rows = [self._row(str(path)) for path in batch["path"]]
        return pyarrow.Table.from_pylist(rows, schema=schema)

    def _row(self, path: str) -> dict[str, Any]:
        row: dict[str, Any] = {"path": path, "fingerprint": self._fingerprint}
        try:
            embedding, duration_s = self._inference.timed(path)
        except (AudioError, OSError, MemoryError) as error:
            return {**row, "problem": str(error)[:500] or type(error).__name__}
        return {
            **row,
            "start": 0.0,
            "end": duration_s,
            "embedding": np.asarray(embedding, np.float32)[0].tolist(),
        }
