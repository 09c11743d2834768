"""Resemblyzer's GE2E speaker encoder (Wan et al., 2018; Apache-2.0).

Its weights lie inside the PyPI package `resemblyzer`, which is read and not imported, so its dependencies
(webrtcvad, a fixed librosa) are not needed. The preprocessing is Resemblyzer's: level to -30 dBFS, 40 mel bands of
power (25 ms windows, 10 ms hop), partials of 160 frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from streamer.audio.chunks import SAMPLE_RATE
from streamer.training.data import STORED_DBFS
from streamer.training.teachers.base import Teacher, packaged

DBFS = -30.0


class Resemblyzer(Teacher):
    """Waveforms (batch, samples) at 16 kHz -> embeddings (batch, 256) of norm 1, none of them negative."""

    name: ClassVar[str] = "resemblyzer"
    description: ClassVar[str] = "Resemblyzer 0.1.4 (GE2E, Apache-2.0)"
    partial: ClassVar[int] = 25_600
    hop: ClassVar[int] = 12_800
    dimension: ClassVar[int] = 256
    window: Tensor
    mel: Tensor

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        import librosa

        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, self.dimension)
        path = weights or packaged("resemblyzer", "pretrained.pt")
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        own = self.state_dict()
        self.load_state_dict({key: state[key] for key in own})
        self.register_buffer("window", torch.hann_window(400))
        self.register_buffer("mel", torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=400, n_mels=40)))
        self.eval().requires_grad_(False)

    def mels(self, waves: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 1 + samples // 160, 40): power, not its logarithm."""
        spectrum = torch.stft(waves, 400, 160, window=self.window, pad_mode="constant", return_complex=True)
        return (self.mel @ spectrum.abs().square()).transpose(1, 2)

    def embed_mels(self, mels: Tensor) -> Tensor:
        """(batch, 160, 40) -> (batch, 256)."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    def hear(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        # Rows are stored at one level, so one constant factor sets the level of each.
        embeddings = self.embed_mels(self.mels(waves * 10 ** ((DBFS - STORED_DBFS) / 20))[:, :160])
        return embeddings, embeddings.new_empty(len(waves), 0, 0)

    def forward(self, waves: Tensor, rate: float = 1.3, min_coverage: float = 0.75) -> Tensor:
        """Embed whole waveforms of one length as Resemblyzer's `embed_utterance` does: the mean over partials."""
        rms = waves.square().mean(1, keepdim=True).sqrt().clamp_min(1e-9)
        waves = waves * (10 ** (DBFS / 20) / rms).clamp_min(1.0)  # Resemblyzer only ever raises the level.
        frames, step = -(-(waves.shape[1] + 1) // 160), round(SAMPLE_RATE / rate / 160)
        starts = list(range(0, max(1, frames - 160 + step + 1), step))
        if (waves.shape[1] - starts[-1] * 160) / self.partial < min_coverage and len(starts) > 1:
            starts.pop()
        missing = (starts[-1] + 160) * 160 - waves.shape[1]
        mels = self.mels(nn.functional.pad(waves, (0, max(0, missing))))
        batch = torch.stack([mels[:, start : start + 160] for start in starts], dim=1)
        partials = self.embed_mels(batch.flatten(0, 1)).view(*batch.shape[:2], self.dimension)
        return nn.functional.normalize(partials.mean(1), dim=1)
