"""Targets from a teacher's frames: thousands of targets in an utterance, where its embedding is one.

Layers below a teacher's pooling guide a student as its output does (FitNets, Romero et al., 2015). This helps with
speakers outside the training data: a network can memorise the embedding of a voice, but less easily each frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.evaluation.manifest import Float32
from streamer.training.data import Int64
from streamer.training.teachers import Teacher

COMPONENTS = 128


@dataclass(frozen=True, slots=True)
class FrameTargets:
    """The teacher's targets at the student's frames, where they exist.

    values: (batch, frames, components). known: (batch, frames) bool.
    """

    values: Tensor
    known: Tensor

    def to(self, device: torch.device) -> FrameTargets:
        return FrameTargets(self.values.to(device), self.known.to(device))


@dataclass(frozen=True, slots=True)
class TeacherFrames:
    """The teacher's frames of the first partials of a corpus.

    values: (partials, frames, components) float16, see `principal`.
    """

    teacher: type[Teacher]
    values: NDArray[np.float16]

    @property
    def components(self) -> int:
        return int(self.values.shape[2])

    def at(self, first: Int64, count: Int64, samples: Int64) -> FrameTargets:
        """The frames nearest to given samples of rows, (rows, samples).

        first, count: the rows' partials, (rows,). After the end of the last partial, nothing is known.
        """
        grid = self.teacher.frame_grid
        assert grid is not None
        partial = np.minimum(samples // self.teacher.hop, count[:, None] - 1)
        inside = samples - partial * self.teacher.hop
        partial += first[:, None]
        frame = np.clip(np.rint((inside - grid.receptive_field // 2) / grid.stride), 0, self.values.shape[1] - 1)
        known = (inside < self.teacher.partial) & (partial < len(self.values))
        found = np.zeros((*samples.shape, self.components), np.float32)
        found[known] = self.values[partial[known], frame[known].astype(int)]
        return FrameTargets(torch.from_numpy(found), torch.from_numpy(known))


def principal(frames: Float32) -> tuple[Float32, Float32]:
    """The mean of frames (items, frames, channels) and their principal components (channels, at most 128), scaled so
    that the variances of these sum to 1."""
    flat = frames.reshape(-1, frames.shape[-1])
    values, vectors = np.linalg.eigh(np.cov(flat, rowvar=False))
    basis = vectors[:, ::-1][:, :COMPONENTS] / np.sqrt(values[::-1][:COMPONENTS].sum())
    return flat.mean(0), np.asarray(basis, np.float32)
