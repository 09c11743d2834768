"""silero-vad for many streams at once.

Each chunk of 512 samples passes a feed-forward encoder, which takes the chunks of all streams and times in one
batch; only the small recurrent decoder runs chunk by chunk, for all streams at once.
https://github.com/snakers4/silero-vad
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from streamer.audio.chunks import Samples

CHUNK = 512
#: Samples before a chunk that its encoder also sees.
CONTEXT = 64
#: Length of the decoder's hidden and cell state.
HIDDEN = 128
#: Length of the spectrum's window; it moves by a half.
WINDOW = 256
#: Strides of the encoder's convolutions, which see three places each.
STRIDES = (1, 2, 2, 1)
#: Chunks that are encoded at once, so that their data stays in the cache.
ENCODED_AT_ONCE = 256
#: How many past chunks keep their probability; the engine asks for frames up to a step and 0.3 s old, and a
#: step is one minute at most.
REMEMBERED = 2048
#: Chunks of whole recordings in one batch, so that their data stays in the cache.
AT_ONCE = 1024


class SileroState:
    """One stream: `start` is the first sample of chunk 0, `heard` the number of decoded chunks."""

    def __init__(self) -> None:
        self.start = 0
        self.heard = 0
        self.rest = np.zeros(CONTEXT, np.float32)
        self.hidden = np.zeros((2, HIDDEN), np.float32)
        self.probabilities = np.zeros(REMEMBERED, np.float32)

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        # The newest frames' centres may be in an incomplete chunk: the last known probability is used for them.
        chunks = np.clip((samples - self.start) // CHUNK, 0, max(self.heard - 1, 0))
        return self.probabilities[chunks % REMEMBERED]

    def skip(self, to_sample: int) -> None:
        self.__init__()  # type: ignore[misc]
        self.start = to_sample

    @property
    def nbytes(self) -> int:
        return self.rest.nbytes + self.hidden.nbytes + self.probabilities.nbytes

    def snapshot(self) -> Mapping[str, Any]:
        clock = np.array([self.start, self.heard], np.int64)
        return {"clock": clock, "rest": self.rest, "hidden": self.hidden, "probabilities": self.probabilities}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.start, self.heard = (int(value) for value in snapshot["clock"])
        self.rest, self.hidden = snapshot["rest"].copy(), snapshot["hidden"].copy()
        self.probabilities = snapshot["probabilities"].copy()


class SileroDetector:
    """Speech probability for each 32 ms, at a sixth of the cost of a SincNet x-vector."""

    def __init__(self) -> None:
        _network()  # A missing file is reported here, and not by the thread that steps the streams.

    def new_state(self) -> SileroState:
        return SileroState()

    @torch.inference_mode()
    def hear(self, states: Sequence[SileroState], blocks: Sequence[Samples]) -> None:
        counts = []
        for state, block in zip(states, blocks, strict=True):
            state.rest = np.concatenate([state.rest, block])
            counts.append((len(state.rest) - CONTEXT) // CHUNK)
        longest = max(counts, default=0)
        if longest == 0:
            return
        # Streams are sorted by their number of chunks, so that those with chunks left come first.
        order = sorted(range(len(states)), key=lambda index: -counts[index])
        chunks = torch.zeros(longest, len(states), CONTEXT + CHUNK)
        for row, index in enumerate(order):
            if counts[index]:
                chunks[: counts[index], row] = torch.from_numpy(states[index].rest).unfold(0, CONTEXT + CHUNK, CHUNK)
        hidden = torch.from_numpy(np.stack([states[index].hidden for index in order], axis=1))
        self._decode([states[index] for index in order], [counts[index] for index in order], chunks, hidden)

    def _decode(self, states: list[SileroState], counts: list[int], chunks: Tensor, hidden: Tensor) -> None:
        network = _network()
        longest, streams, samples = chunks.shape
        encoded = network.encode(chunks.view(-1, samples)).view(longest, streams, HIDDEN)
        probabilities = np.zeros((longest, streams), np.float32)
        start, active = 0, streams
        while start < longest:
            while counts[active - 1] <= start:
                active -= 1
            end = counts[active - 1]
            found, hidden[:, :active] = network.decode(encoded[start:end, :active], hidden[:, :active])
            probabilities[start:end, :active] = found.numpy()
            start = end
        for row, (state, count) in enumerate(zip(states, counts, strict=True)):
            places = (state.heard + np.arange(count)) % REMEMBERED
            state.probabilities[places] = probabilities[:count, row]
            state.heard += count
            state.rest = state.rest[count * CHUNK :].copy()
            state.hidden = hidden[:, row].numpy().copy()


def speech_probabilities(recordings: Sequence[Samples]) -> list[NDArray[np.float32]]:
    """Whole recordings at 16 kHz, (samples,) each -> the probability of every 512 samples, (ceil(samples / 512),) each.

    Each starts from a fresh state; the last of its chunks is padded with silence.
    """
    detector = SileroDetector()
    states = [detector.new_state() for _ in recordings]
    filled = [np.pad(samples, (0, -len(samples) % CHUNK)) for samples in recordings]
    found: list[list[NDArray[np.float32]]] = [[] for _ in recordings]
    step = max(1, AT_ONCE // max(1, len(recordings))) * CHUNK
    for start in range(0, max(map(len, filled), default=0), step):
        detector.hear(states, [samples[start : start + step] for samples in filled])
        for state, samples, heard in zip(states, filled, found, strict=True):
            heard.append(state.at(np.arange(start, min(start + step, len(samples)), CHUNK)))
    return [np.concatenate([np.zeros(0, np.float32), *heard]) for heard in found]


class _Network:
    """The 16 kHz network of silero-vad's package, without its state for a single stream.

    The spectrum and the encoder's convolutions are matrix products, no phase is computed, and the decoder takes all
    chunks in one call. The results equal those of the package, except for rounding.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._basis = tensors["stft.forward_basis_buffer"].squeeze(1).t().contiguous()
        self._encoder = []
        for layer, stride in enumerate(STRIDES):
            weight, bias = (tensors[f"encoder.{layer}.reparam_conv.{name}"] for name in ("weight", "bias"))
            self._encoder.append((weight.permute(2, 1, 0).flatten(0, 1).contiguous(), bias, stride))
        self._decoder = [tensors[f"decoder.rnn.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        self._weight = tensors["decoder.decoder.2.weight"].flatten()
        self._bias = tensors["decoder.decoder.2.bias"]

    def encode(self, chunks: Tensor) -> Tensor:
        """(chunks, 576) -> (chunks, 128)."""
        return torch.cat([self._encoded(some) for some in torch.split(chunks, ENCODED_AT_ONCE)])

    def _encoded(self, chunks: Tensor) -> Tensor:
        padded = F.pad(chunks, (0, WINDOW // 4), mode="reflect")
        # As rows: a product of non-contiguous data would be computed chunk by chunk.
        parts = padded.unfold(1, WINDOW, WINDOW // 2).reshape(-1, WINDOW) @ self._basis
        real, imaginary = torch.split(parts, WINDOW // 2 + 1, 1)
        block = real.square().add_(imaginary.square()).sqrt_().view(len(chunks), -1, WINDOW // 2 + 1)
        for weight, bias, stride in self._encoder:
            # (chunks, time, channels); each place sees three of them.
            around = F.pad(block, (0, 0, 1, 1))
            places, channels = (block.shape[1] - 1) // stride + 1, block.shape[2]
            size, strides = (len(block), places, 3 * channels), (around.stride(0), stride * channels, 1)
            seen = around.as_strided(size, strides).reshape(-1, 3 * channels)
            block = torch.addmm(bias, seen, weight).relu_().view(len(block), places, -1)
        return block.squeeze(1)

    def decode(self, encoded: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(time, streams, 128), and the hidden and cell state (2, streams, 128) before -> (time, streams), and
        after."""
        before = (hidden[:1].contiguous(), hidden[1:].contiguous())
        output, *after = torch.lstm(encoded, before, self._decoder, True, 1, 0.0, False, False, False)
        return (output.relu() @ self._weight + self._bias).sigmoid_(), torch.cat(after)


@cache
def _network() -> _Network:
    with warnings.catch_warnings():
        # It is shipped as TorchScript, which this version of torch calls deprecated.
        warnings.simplefilter("ignore")
        from silero_vad import load_silero_vad

        return _Network(load_silero_vad()._model.state_dict())
