"""CAM++, as published and as a streaming network: waveforms to speaker embeddings.

Wang et al. (2023), "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking",
https://arxiv.org/abs/2303.00332: Kaldi's filter bank, convolutions over rows and bands, three dense blocks whose layers
are gated by their context, mean and standard deviation, one linear layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.errors import ConfigurationError
from streamer.models.campplus.architecture import CamPlusPlusArchitecture
from streamer.models.campplus.layers import FrameLayers
from streamer.models.campplus.overlap import OverlapHead, overlap_of
from streamer.models.campplus.surroundings import Past, WholeWindow
from streamer.models.carry import Carry
from streamer.models.fbank import GRID as BAND_GRID
from streamer.models.fbank import KaldiFilterBank
from streamer.models.head import LinearHead
from streamer.models.network import Frames, Network
from streamer.models.pooling import Moments, at_frame_rate

#: Frames of a long recording that are computed at once: 20 s.
AT_ONCE = 1000
#: The least weight of a frame with overlap, relative to one with a single speaker.
MIXED = 0.02
#: Added to the pooled variance, so that its root has a slope for a silent channel.
EPSILON = 1e-5


class CamPlusPlus(nn.Module):
    """Waveforms (batch, 1, samples) float32 at 16 kHz, in [-1, 1] -> embeddings (batch, dimension)."""

    def __init__(self, architecture: CamPlusPlusArchitecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or CamPlusPlusArchitecture()
        self.bank = KaldiFilterBank(subtract_mean=False)
        self.layers = FrameLayers(self.architecture)
        self.embedding = nn.Linear(2 * self.layers.channels, self.architecture.dimension)
        if self.architecture.attention:
            self.attention = nn.Linear(self.layers.channels, 1)
        if self.architecture.overlap:
            self.overlap = OverlapHead()

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    @property
    def epsilon(self) -> float:
        return EPSILON if self.architecture.context == "past" else 0.0

    @property
    def head(self) -> LinearHead:
        return LinearHead.of(self.embedding, epsilon=self.epsilon)

    def frames(self, waveforms: Tensor) -> Frames:
        """Features (batch, 512, frames), and the attention of each frame, if the network has it."""
        waves = waveforms.squeeze(1)
        if self.architecture.context == "window":
            block, _ = self.layers(self.bank(waves).transpose(0, 1), WholeWindow())
            return self.frames_of(block)
        return self._streamed(waves)

    def frames_of(self, block: Tensor, overlap: Tensor | None = None) -> Frames:
        """The same for a block (frames, batch, 512) of the layers, and its overlap (frames, batch), if known."""
        attention = self.attention_of(block, overlap)
        return Frames(block.permute(1, 2, 0), attention, None, None if overlap is None else overlap.t())

    def attention_of(self, block: Tensor, overlap: Tensor | None = None) -> Tensor | None:
        """(batch, frames) in (0, 1) for a block (frames, batch, 512) and its overlap; None if frames weigh the same.

        Overlapping speech is not one voice: its frame is weighted by the probability of a single speaker (Coria et al.,
        2021, "Overlap-aware low-latency online speaker diarization", https://arxiv.org/abs/2109.06483), with a small
        minimum, so that every window has some weight.
        """
        weights: Tensor | None = None
        if self.architecture.attention:
            weights = self.attention(block).squeeze(2).sigmoid().t()
        if overlap is not None:
            alone = (1 - overlap.t()).clamp(min=MIXED)
            weights = alone if weights is None else weights * alone
        return weights

    def _streamed(self, waves: Tensor) -> Frames:
        """A recording as a stream from its first sample on, computed block by block."""
        grid, lag = self.architecture.grid, self.lag
        frames = grid.num_frames(waves.shape[1])
        # A hop reads two rows; the very first row of a stream has only the silence before it.
        waves = F.pad(waves, (BAND_GRID.stride, 0))
        rows = self.new_carry()[None].repeat(len(waves), 1)
        blocks, overlaps, end = [], [], frames + lag
        for first in range(0, end, AT_ONCE):
            hops = min(AT_ONCE, end - first)
            carry = Carry(rows, torch.full((len(waves),), hops, device=waves.device), hops)
            block, overlap = self.advance(waves[:, first * grid.stride :], hops, carry)
            blocks.append(block)
            overlaps += [] if overlap is None else [overlap]
            rows = carry.next_rows()
        return self.frames_of(torch.cat(blocks)[lag:], torch.cat(overlaps)[lag:] if overlaps else None)

    @property
    def lag(self) -> int:
        """The number of hops of two rows from a frame to the hop that completes it."""
        return self.architecture.row_lag // 2

    def advance(self, waves: Tensor, hops: int, carry: Carry) -> tuple[Tensor, Tensor | None]:
        """One frame for each hop, (hops, streams, 512), and its overlap (hops, streams), for streams that continue from
        a carry; None if the network has no overlap head.

        waves (streams, samples): a hop reads two rows of the filter bank from them, and advances by two rows.
        """
        rows = self.bank(waves[:, : BAND_GRID.num_samples(2 * hops)])
        block, early = self.layers(rows.transpose(0, 1), Past(carry))
        return block, self.overlap_of(early, carry)

    def overlap_of(self, early: Tensor, carry: Carry) -> Tensor | None:
        """(frames, streams), from the output of the first dense block; None if the network has no overlap head."""
        return overlap_of(self.overlap(early, carry)) if self.architecture.overlap else None

    def new_carry(self) -> Tensor:
        """The carry of a stream's layers at its beginning, (size,) float32, before any audio."""
        if self._carry_size is None:
            probe = _Probe()
            silence = torch.zeros(1, BAND_GRID.num_samples(2), device=self.device)
            with torch.inference_mode():
                self.advance(silence, 1, probe)
            self._carry_size = probe.offset
        return torch.zeros(self._carry_size, device=self.device)

    _carry_size: int | None = None

    def pool(self, frames: Frames, weights: Tensor | None = None) -> Tensor:
        """Embeddings (batch, dimension), or (batch, speakers, dimension) for weights by speaker."""
        features = frames.features.transpose(1, 2)
        by_speaker = features.new_ones(len(features), 1, features.shape[1])
        if weights is not None:
            by_speaker = at_frame_rate(weights.unsqueeze(1) if weights.dim() == 2 else weights, features.shape[1])
        if frames.attention is not None:
            by_speaker = by_speaker * frames.attention.unsqueeze(1)
        moments = Moments.of(features.unsqueeze(1), by_speaker.unsqueeze(-1))
        embeddings: Tensor = self.embedding(torch.cat(moments.statistics(self.epsilon), dim=-1))
        return embeddings if weights is not None and weights.dim() == 3 else embeddings.squeeze(1)

    def forward(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        """Embed waveforms, with an optional weight for each frame: (batch, n) or (batch, speakers, n).

        Weights at another rate are resampled to the frame rate by nearest interpolation.
        """
        return self.pool(self.frames(waveforms), weights)


def campplus_of(network: Network) -> CamPlusPlus:
    """A network that must be a CAM++. Raises ConfigurationError for any other."""
    if not isinstance(network, CamPlusPlus):
        raise ConfigurationError(f"this is for CAM++, and the model's family is {network.architecture.family!r}.")
    return network


class _Probe(Carry):
    """Measures the size of a stream's carry with an empty hop."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(1, 0), torch.ones(1, dtype=torch.int64), 1)

    def take(self, context: int, channels: int) -> Tensor:
        self.offset += context * channels
        return torch.zeros(context, 1, channels)
