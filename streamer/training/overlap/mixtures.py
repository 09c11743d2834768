"""Conversations to learn overlap from: voices in one room on one channel, and the number of speakers at each frame.

silero-vad finds the speech of each voice before mixing; random draws decide whose turn it is. Some conversations also
pass through a real codec.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.models.grid import FrameGrid
from streamer.speech.silero import CHUNK, speech_probabilities
from streamer.training.campplus.disturbance import Disturbance, rms, through_codecs
from streamer.training.campplus.pieces import Pieces
from streamer.training.overlap.floor import FloorPlan

#: Positions a second at which turns are drawn; a voice fades in or out within one of them.
RATE = 100
#: Half of the largest level difference between two voices.
LEVEL_DB = 6.0
SPOKEN = 0.5
#: The share of conversations that pass through a codec, a telephone line or a resampler.
CODED = 0.3
#: Silences of up to this many chunks of silero-vad count as speech, as in references of real conversations: 0.29 s.
PAUSE = 9


@dataclass(slots=True)
class Mixtures:
    """Draws conversations. generator, rng: for random numbers on the device, and for turns and codecs."""

    pieces: Pieces
    disturbance: Disturbance
    grid: FrameGrid
    generator: torch.Generator
    rng: np.random.Generator
    floor: FloorPlan = field(default_factory=FloorPlan)
    coded: float = CODED

    @torch.no_grad()
    def draw(self, count: int, seconds: float) -> tuple[Tensor, Tensor]:
        """Waves (count, samples) float32, and the number of speakers at each frame of the grid, (count, frames)
        int64."""
        voices, samples = self.floor.voices, round(seconds * SAMPLE_RATE)
        waves = self.pieces.take(count * voices, samples, self.generator)
        floors = np.stack([self.floor.draw(seconds, RATE, self.rng) for _ in range(count)])
        held = torch.from_numpy(floors).to(waves.device).flatten(0, 1)
        spoken = self._spoken(waves, held)
        waves = waves * _ramped(held, samples)
        level = rms(waves * spoken) * (spoken.mean(1, keepdim=True).sqrt().reciprocal().clamp(max=1e3))
        loudness = 2 * torch.rand(len(waves), 1, generator=self.generator, device=waves.device) - 1
        waves = waves / level.clamp(min=1e-3) * 10 ** (LEVEL_DB * loudness / 20)
        mixed = through_codecs(self.disturbance(waves.view(count, voices, samples)), self.coded, self.rng)
        centres = torch.arange(self.grid.num_frames(samples), device=waves.device) * self.grid.stride + self.grid.centre
        return mixed, spoken[:, centres].view(count, voices, -1).sum(1).long()

    def _spoken(self, waves: Tensor, held: Tensor) -> Tensor:
        """Where each voice has speech and its turn: (voices, samples) of 0 and 1."""
        heard = torch.from_numpy(np.stack(speech_probabilities(list(waves.cpu().numpy())))).to(waves.device)
        # Morphological closing: it fills short pauses and keeps the ends.
        wider = F.max_pool1d((heard > SPOKEN).float(), PAUSE, 1, PAUSE // 2)
        speech = -F.max_pool1d(-F.pad(wider, (PAUSE // 2, PAUSE // 2), value=1.0), PAUSE, 1)
        speech = speech.repeat_interleave(CHUNK, 1)[:, : waves.shape[1]]
        return speech * held.repeat_interleave(SAMPLE_RATE // RATE, 1)


def _ramped(held: Tensor, samples: int) -> Tensor:
    """Turns as a gain for each sample, without clicks at their ends."""
    gain = F.interpolate(held.float()[:, None], samples, mode="linear", align_corners=False)
    return gain[:, 0]
