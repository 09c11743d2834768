"""The teacher: Resemblyzer's GE2E speaker encoder (Wan et al., 2018; Apache-2.0), run in bulk.

Its weights lie inside the PyPI package `resemblyzer`, which is only read here, not imported: its own dependencies
(webrtcvad, a fixed librosa) are not needed. The preprocessing is Resemblyzer's: level to -30 dBFS, 40 mel bands of
power (25 ms windows, 10 ms hop), partials of 160 frames.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from streamer.evaluation.manifest import SAMPLE_RATE
from streamer.training.data import Corpus, Float32, Int64

PARTIAL = 25_600  # samples: 1.6 s
HOP = 12_800  # samples between the partials of a corpus
DBFS = -30.0
DIMENSION = 256


def weights_path() -> Path:
    """Where the installed package keeps its weights."""
    spec = find_spec("resemblyzer")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the teacher is missing: pip install --no-deps resemblyzer")
    return Path(spec.origin).parent / "pretrained.pt"


class Teacher(nn.Module):
    """Waveforms (batch, samples) at 16 kHz -> embeddings (batch, 256) of norm 1, none of them negative."""

    window: Tensor
    mel: Tensor

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        import librosa

        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, DIMENSION)
        state = torch.load(weights or weights_path(), map_location="cpu", weights_only=True)["model_state"]
        own = self.state_dict()
        self.load_state_dict({key: state[key] for key in own})
        self.register_buffer("window", torch.hann_window(400))
        self.register_buffer("mel", torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=400, n_mels=40)))
        self.eval().requires_grad_(False)

    def mels(self, waves: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 1 + samples // 160, 40): power, not its logarithm."""
        spectrum = torch.stft(waves, 400, 160, window=self.window, pad_mode="constant", return_complex=True)
        return (self.mel @ spectrum.abs().square()).transpose(1, 2)

    def partials(self, mels: Tensor) -> Tensor:
        """(batch, 160, 40) -> (batch, 256)."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    def forward(self, waves: Tensor, rate: float = 1.3, min_coverage: float = 0.75) -> Tensor:
        """Embed whole waveforms of one length as Resemblyzer's `embed_utterance` does: the mean over partials."""
        rms = waves.square().mean(1, keepdim=True).sqrt().clamp_min(1e-9)
        waves = waves * (10 ** (DBFS / 20) / rms).clamp_min(1.0)  # Resemblyzer only ever raises the level.
        frames, step = -(-(waves.shape[1] + 1) // 160), round(SAMPLE_RATE / rate / 160)
        starts = list(range(0, max(1, frames - 160 + step + 1), step))
        if (waves.shape[1] - starts[-1] * 160) / PARTIAL < min_coverage and len(starts) > 1:
            starts.pop()
        missing = (starts[-1] + 160) * 160 - waves.shape[1]
        mels = self.mels(nn.functional.pad(waves, (0, max(0, missing))))
        batch = torch.stack([mels[:, start : start + 160] for start in starts], dim=1)
        partials = self.partials(batch.flatten(0, 1)).view(*batch.shape[:2], DIMENSION)
        return nn.functional.normalize(partials.mean(1), dim=1)


def partial_counts(samples: Int64) -> Int64:
    """How many partials a row of so many samples has: those that lie inside it, and at least one (zero-padded)."""
    return np.maximum(1, (samples - PARTIAL) // HOP + 1)


def embed_corpus(corpus: Corpus, path: Path, batch: int = 256) -> Float32:
    """The teacher's embedding of every partial of every row, saved as float16.

    Partial k of a row covers its samples [k * HOP, k * HOP + PARTIAL). Rows follow each other; see `partial_counts`.
    """
    counts = partial_counts(corpus.samples)
    if path.exists():
        done: Float32 = np.load(path).astype(np.float32)
        return done
    from rich.progress import track

    teacher = Teacher()
    result = np.empty((int(counts.sum()), DIMENSION), np.float16)
    rows = np.repeat(np.arange(len(corpus)), counts)
    first = np.cumsum(counts) - counts
    index = np.arange(len(rows)) - first[rows]
    for begin in track(range(0, len(rows), batch), description="teacher"):
        waves = np.zeros((min(batch, len(rows) - begin), PARTIAL), np.float32)
        for i in range(len(waves)):
            row, start = int(rows[begin + i]), int(index[begin + i]) * HOP
            piece = corpus.wave(row, start, start + PARTIAL)
            waves[i, : len(piece)] = piece
        # Rows are stored at one level, so scaling each of them as a whole needs a constant only.
        tensor = torch.from_numpy(waves) * (10 ** ((DBFS + 26.0) / 20) / 32767)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=False):
            result[begin : begin + len(waves)] = teacher.partials(teacher.mels(tensor)[:, :160]).half().numpy()
    np.save(path, result)
    return result.astype(np.float32)


def class_sums(vectors: Float32, label: Int64, classes: int) -> Float32:
    """Sums (classes, dimension) of the vectors (items, dimension) of each class."""
    places = (np.ones(len(label), np.float32), (label, np.arange(len(label))))
    return np.asarray(csr_array(places, shape=(classes, len(label))) @ vectors)


def compensation(embeddings: Float32, speaker: Int64, shrinkage: float) -> tuple[Float32, Float32]:
    """What turns down, in embeddings, that which varies within a speaker: (mean, matrix) for (e - mean) @ matrix.

    Within-class covariance normalisation (Hatch, Kajarekar & Stolcke, 2006) around the mean. The entries of the
    teacher's embeddings are never negative, so they share a large common part; without it cosines spread out. With
    the labels of the training speakers and a shrinkage of 1, the teacher's own EER on the development sets falls from
    1.4 / 5.8 / 9.1 % to 1.1 / 4.3 / 7.7 % (Librispeech, adults and children of speechocean762; 3 s).

    Args:
        embeddings: (items, 256); speaker: (items,), -1 where an item is not to be counted.
        shrinkage: how much of the identity, in units of the covariance's mean eigenvalue, is added.
    """
    counted = speaker >= 0
    heard, number = embeddings[counted], speaker[counted]
    size = np.bincount(number)
    sums = class_sums(heard, number, len(size))
    deviation = heard - (sums / np.maximum(size, 1)[:, None])[number]
    within = deviation.T @ deviation / len(deviation)
    within += shrinkage * np.trace(within) / DIMENSION * np.eye(DIMENSION)
    values, vectors = np.linalg.eigh(within)
    whitening = (vectors / np.sqrt(values)) @ vectors.T
    return np.asarray(heard.mean(0), np.float32), np.asarray(whitening, np.float32)
