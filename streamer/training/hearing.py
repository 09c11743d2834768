"""A teacher's outputs for a corpus: computed once, since they cost several times as much as a student's step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from streamer.errors import ConfigurationError
from streamer.evaluation.manifest import Float32
from streamer.training.data import Corpus, Int64
from streamer.training.frames import TeacherFrames, principal
from streamer.training.teachers import Teacher

BATCH = 8  # Small, so that a layer's output is still in the cache when the next layer reads it.
PARTIALS = 640  # for the principal components


@dataclass(frozen=True, slots=True)
class HeardCorpus:
    """A teacher's outputs for a corpus, see `hear_corpus`.

    embeddings: of every partial of every row, (partials, dimension). Partial k of a row covers its samples
        [k * hop, k * hop + partial); a shorter row is repeated. Rows follow each other, with `Teacher.counts`
        partials each.
    frames: of the first partials, if requested.
    """

    teacher: type[Teacher]
    embeddings: Float32
    frames: TeacherFrames | None = None


def hear_corpus(kind: type[Teacher], corpus: Corpus, folder: Path, frame_voices: int = 0) -> HeardCorpus:
    """The teacher's outputs for a corpus, saved in `folder` in half precision, or loaded from it.

    frame_voices: the number of the corpus' voices, from the first, for which frames are computed too. They are mapped.

    Raises ConfigurationError if frames are requested from a teacher without frames.
    """
    if frame_voices and kind.frame_grid is None:
        raise ConfigurationError(f"{kind.description} gives no frames; leave `frame_voices` at 0.")
    embeddings, frames = folder / f"{kind.name}.npy", folder / f"{kind.name}-frames.npy"
    framed = int(kind.counts(corpus.samples[: len(corpus) // corpus.voices * frame_voices]).sum())
    if not embeddings.exists() or _stored(frames) < framed:
        _listen(kind, corpus, framed, embeddings, frames)
    return HeardCorpus(
        kind,
        np.load(embeddings).astype(np.float32),
        TeacherFrames(kind, np.load(frames, mmap_mode="r")[:framed]) if framed else None,
    )


def _stored(frames: Path) -> int:
    """The number of partials whose frames a file holds."""
    return len(np.load(frames, mmap_mode="r")) if frames.exists() else 0


def _listen(kind: type[Teacher], corpus: Corpus, framed: int, embeddings: Path, frames: Path) -> None:
    """Write the embeddings of all partials, and the frames of the first `framed`."""
    from rich.progress import track

    teacher, total = kind(), int(kind.counts(corpus.samples).sum())

    def hear(numbers: Int64) -> tuple[Float32, Float32]:
        with torch.inference_mode():
            found, pooled = teacher.hear(kind.partials_of(corpus, numbers))
        return found.numpy(), pooled.numpy()

    result, kept = np.empty((total, kind.dimension), np.float16), None
    if framed:
        chosen = np.random.default_rng(0).permutation(framed)[:PARTIALS]
        kept = _FrameFile(frames, np.concatenate([hear(numbers)[1] for numbers in _batches(chosen)]), framed)
    for numbers in track(_batches(np.arange(total)), description=kind.name):
        result[numbers], pooled = hear(numbers)
        if kept:
            kept.write(numbers, pooled)
    if kept:
        kept.finish()
    np.save(embeddings, result)


class _FrameFile:
    """A file with the frames of the first partials of a corpus, as principal components.

    sample: frames of some partials, (partials, frames, channels), from which the components are computed.
    """

    def __init__(self, path: Path, sample: Float32, partials: int) -> None:
        self.path, self.part = path, path.with_suffix(".part")
        self.mean, self.basis = principal(sample)
        shape = (partials, sample.shape[1], self.basis.shape[1])
        self.values = np.lib.format.open_memmap(self.part, "w+", np.float16, shape)

    def write(self, numbers: Int64, frames: Float32) -> None:
        """Write frames of partials by their numbers; those without a place in the file are left out."""
        kept = numbers < len(self.values)
        self.values[numbers[kept]] = (frames[kept] - self.mean) @ self.basis

    def finish(self) -> None:
        self.values.flush()
        self.part.replace(self.path)


def _batches(numbers: Int64) -> list[Int64]:
    return np.split(numbers, range(BATCH, len(numbers), BATCH))
