"""silero-vad for many streams at once.

Its chunks of 512 samples each pass a feed-forward encoder, which takes the chunks of all streams and times in one
batch; only the small recurrent decoder goes chunk by chunk, all streams side by side.
https://github.com/snakers4/silero-vad
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.audio.chunks import Samples

CHUNK = 512
#: Samples before a chunk that its encoder also sees.
CONTEXT = 64
#: Length of the decoder's hidden and cell state.
HIDDEN = 128
#: How many chunks back a probability can be asked for; the engine asks for frames up to a step and 0.3 s old, and a
#: step is one minute at most.
REMEMBERED = 2048
#: How many chunks of whole recordings are heard in one batch: what it needs stays in the cache.
AT_ONCE = 1024


class SileroState:
    """One stream: `start` is the sample at which chunk 0 begins, `heard` how many chunks have been decoded."""

    def __init__(self) -> None:
        self.start = 0
        self.heard = 0
        self.rest = np.zeros(CONTEXT, np.float32)
        self.hidden = np.zeros((2, HIDDEN), np.float32)
        self.probabilities = np.zeros(REMEMBERED, np.float32)

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        # The newest frames' centres may lie in a chunk that is not complete: the last known probability stands in.
        chunks = np.clip((samples - self.start) // CHUNK, 0, max(self.heard - 1, 0))
        return self.probabilities[chunks % REMEMBERED]

    def skip(self, to_sample: int) -> None:
        self.__init__()  # type: ignore[misc]
        self.start = to_sample

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        clock = np.array([self.start, self.heard], np.int64)
        return {"clock": clock, "rest": self.rest, "hidden": self.hidden, "probabilities": self.probabilities}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.start, self.heard = (int(value) for value in arrays["clock"])
        self.rest, self.hidden = arrays["rest"].copy(), arrays["hidden"].copy()
        self.probabilities = arrays["probabilities"].copy()


class SileroDetector:
    """Speech probability for each 32 ms, at about the cost of the embedding."""

    def __init__(self) -> None:
        _network()  # What is missing is said here, and not by the thread that steps the streams.

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
        # Row r of time t is chunk t of the r-th stream with most chunks, so that those still going on come first.
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
        encoded = network.encoder(network.run_extractors(chunks.view(-1, samples)))
        encoded = encoded.view(longest, streams, *encoded.shape[1:])
        probabilities = np.zeros((longest, streams), np.float32)
        active = streams
        for time in range(longest):
            while counts[active - 1] <= time:
                active -= 1
            output, after = network.decoder(encoded[time, :active], hidden[:, :active])
            hidden[:, :active] = after
            probabilities[time, :active] = output.mean(dim=(1, 2)).numpy()
        for row, (state, count) in enumerate(zip(states, counts, strict=True)):
            places = (state.heard + np.arange(count)) % REMEMBERED
            state.probabilities[places] = probabilities[:count, row]
            state.heard += count
            state.rest = state.rest[count * CHUNK :].copy()
            state.hidden = hidden[:, row].numpy().copy()


def speech_probabilities(recordings: Sequence[Samples]) -> list[NDArray[np.float32]]:
    """Whole recordings at 16 kHz, (samples,) each -> the probability of every 512 samples, (ceil(samples / 512),) each.

    Each is heard from a fresh state, the last of its chunks filled up with silence.
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


@cache
def _network() -> Any:
    """The 16 kHz network inside silero-vad's package, without its own one-stream state keeping."""
    with warnings.catch_warnings():
        # It is shipped as TorchScript, which this torch calls deprecated.
        warnings.simplefilter("ignore")
        from silero_vad import load_silero_vad

        return load_silero_vad()._model
