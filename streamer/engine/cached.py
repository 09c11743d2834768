"""`cached` mode: each frame of a stream is computed once, then pooled into as many windows as ask for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.audio.chunks import Samples
from streamer.engine.batching import groups, padded_hops
from streamer.engine.frames import HOP, Carry, FrameBlock, FrameLayers
from streamer.engine.layers import to_device
from streamer.engine.pieces import piece_records
from streamer.engine.settings import WindowSettings
from streamer.engine.sinc import POSITION_FIELD, POSITION_STRIDE
from streamer.engine.sliding import FRAMES, SPEECH, CellPooling, Record, empty_record, merge_into, moments_of
from streamer.engine.state import Arrays
from streamer.engine.stepper import FRAME_CENTRE, NewFrames, reportable, seconds_of_frames
from streamer.engine.window import Window
from streamer.models.architecture import FRAME_GRID
from streamer.models.model import MINIMUM_FRAMES, Model
from streamer.speech.detector import SpeechState

#: Frames of the SincNet that one pooled frame sees, less one: by so many a pooled frame lags the hop that completes it.
FRAME_LAG = 14
#: What a hop sees begins so many samples after it: the positions before are carried over.
HOP_START = 16 * POSITION_STRIDE
#: With h hops done, the samples up to h * 270 + HOP_END have been used.
HOP_END = HOP_START + POSITION_FIELD - POSITION_STRIDE
#: Hops of zeros before the first sample, which give the layers something to carry. Their frames do not count.
WARM_UP_HOPS = 2


@dataclass(slots=True)
class CachedStream:
    """One stream's state.

    position: samples heard or skipped. tail: samples [tail_start, position) that the next hop needs, float32.
    next_hop: the first SincNet frame not computed yet. valid_from: the first frame since the last restart.
    carry: (size,) what the layers keep. runs: [first, end) of the frames there are, oldest first.
    """

    settings: WindowSettings
    carry: Tensor
    pooling: CellPooling
    speech: SpeechState | None
    position: int = 0
    tail: Samples = field(default_factory=lambda: np.zeros(0, np.float32))
    tail_start: int = 0
    next_hop: int = 0
    valid_from: int = 0
    runs: list[list[int]] = field(default_factory=list)

    @classmethod
    def new(cls, settings: WindowSettings, layers: FrameLayers, speech: SpeechState | None) -> CachedStream:
        # The last frames that begin in a step end so many steps later.
        delay = math.ceil(FRAME_GRID.receptive_field / settings.step_samples)
        carry = torch.zeros(layers.carry_size, device=layers.device)
        stream = cls(settings, carry, CellPooling(settings.counts, delay, layers.channels), speech)
        stream.restart(0)
        return stream

    def restart(self, sample: int) -> None:
        """Begin anew at `sample`, with nothing carried over from before."""
        self.position = sample
        self.valid_from = FRAME_GRID.first_frame(sample)
        self.next_hop = self.valid_from - WARM_UP_HOPS
        self.tail_start = self.next_hop * HOP + HOP_START
        if self.speech:
            self.speech.skip(sample)
        # Before the restart come zeros; where the grid begins later than the restart, samples are passed over.
        self.tail = np.zeros(max(0, sample - self.tail_start), np.float32)
        self.carry.zero_()

    def hear(self, samples: Samples) -> None:
        passed_over = min(max(0, self.tail_start - self.position), len(samples))
        self.tail = np.concatenate([self.tail, samples[passed_over:]])
        self.position += len(samples)

    @property
    def ready_hops(self) -> int:
        return max(0, (self.position - HOP_END) // HOP - self.next_hop)

    @property
    def next_output(self) -> int:
        """The frame that the next hop completes; those before `valid_from` are no frames."""
        return self.next_hop - FRAME_LAG

    @property
    def next_frame(self) -> int:
        return max(self.next_output, self.valid_from)

    def cell(self, frame: Any) -> Any:
        """The cell of a frame, or of an array of them: the step in which it begins."""
        return frame * HOP // self.settings.step_samples

    def consume(self, hops: int) -> None:
        self.next_hop += hops
        self.tail_start += hops * HOP
        self.tail = self.tail[hops * HOP :].copy()

    def add_run(self, first: int, end: int) -> None:
        if first < end:
            if self.runs and self.runs[-1][1] == first:
                self.runs[-1][1] = end
            else:
                self.runs.append([first, end])

    def first_used(self, frame: int) -> int:
        """The first frame there is at or after `frame`."""
        return next((max(first, frame) for first, end in self.runs if end > frame), frame)

    @property
    def last_used(self) -> int:
        """One past the last frame there is."""
        return self.runs[-1][1]

    def forget(self, before_frame: int) -> None:
        while self.runs and self.runs[0][1] <= before_frame:
            self.runs.pop(0)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays().values())

    def values(self) -> dict[str, Any]:
        names = ("position", "tail_start", "next_hop", "valid_from", "runs")
        return {name: getattr(self, name) for name in names} | {"pooling": self.pooling.values()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        own = {"tail": self.tail, "carry": self.carry.cpu().numpy(), **self.pooling.arrays()}
        heard = self.speech.arrays() if self.speech else {}
        return own | {f"speech.{name}": array for name, array in heard.items()}

    def restore(self, values: Mapping[str, Any], arrays: Arrays) -> None:
        for name in ("position", "tail_start", "next_hop", "valid_from", "runs"):
            setattr(self, name, values[name])
        self.tail = arrays["tail"]
        follows = self.tail_start == self.next_hop * HOP + HOP_START
        if not follows or len(self.tail) != max(0, self.position - self.tail_start):
            raise ValueError("its samples do not fit its clock")
        self.carry.copy_(torch.from_numpy(arrays["carry"]))
        self.pooling.restore(values["pooling"], arrays)
        if self.speech:
            self.speech.restore({name.removeprefix("speech."): array for name, array in arrays.items()})


class CachedStepper:
    """Computes the new frames of many streams at once and pools them."""

    def __init__(self, model: Model, layers: FrameLayers, use_head: bool) -> None:
        self.model = model
        self.layers = layers
        self.use_head = use_head
        self.device = layers.device
        self.channels = layers.channels

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> CachedStream:
        return CachedStream.new(settings, self.layers, speech)

    def advance(self, streams: Sequence[CachedStream]) -> list[NewFrames]:
        """Compute all frames that the streams' samples complete, and merge them into their cells."""
        gained = [NewFrames(stream.next_frame, _NO_FRAMES, None) for stream in streams]
        hops = np.array([stream.ready_hops for stream in streams])
        for group in groups(hops, self.device):
            records, speech = self._compute([streams[place] for place in group], hops[group])
            for row, place in enumerate(group):
                gained[place] = self._merge(streams[place], int(hops[place]), records[row], speech[row])
        return gained

    def _compute(
        self, streams: Sequence[CachedStream], hops: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Records (streams, pieces, record) and speech probabilities (streams, frames) of the new frames.

        hops: of each stream, in ascending order. A piece is what a stream's new frames have in one cell; -1 marks what
        is no frame.
        """
        longest = padded_hops(int(hops[-1]), streams[-1].settings.step_samples)
        waves = np.zeros((len(streams), longest * HOP + HOP_END - HOP_START), np.float32)
        frames, pieces = _places(streams, hops, longest)
        known_speech = np.ones(frames.shape, np.float32)
        for row, (stream, count) in enumerate(zip(streams, hops, strict=True)):
            used = count * HOP + HOP_END - HOP_START
            waves[row, :used] = stream.tail[:used]
            if stream.speech is not None:
                known_speech[row, :count] = stream.speech.at(frames[row, :count] * HOP + FRAME_CENTRE)
        with torch.inference_mode():
            carries = [stream.carry for stream in streams]
            common = int(hops[0]) if hops[0] == hops[-1] else None
            carry = Carry(torch.stack(carries), to_device(hops, self.device), common)
            block = self._frames(streams, to_device(waves, self.device), carry)
            torch._foreach_copy_(carries, list(carry.next_rows().unbind()))
            speech = to_device(known_speech, self.device)
            if self.use_head and block.speech is not None:
                speech = speech * block.speech.t()
            weights = speech if block.attention is None else speech * block.attention.t()
            records = piece_records(block.features, weights, speech, pieces, self.layers.last_norm)
        return records, speech.cpu().numpy()

    def _frames(self, streams: Sequence[CachedStream], waves: Tensor, carry: Carry) -> FrameBlock:
        layers = self.layers
        return layers.tdnn(layers.front(layers.first(waves), carry, layers.norms), carry)

    def _merge(
        self, stream: CachedStream, hops: int, records: NDArray[np.float32], speech: NDArray[np.float32]
    ) -> NewFrames:
        """Take a stream's share of what was computed into its state."""
        first = stream.next_frame
        skipped = first - stream.next_output
        stream.consume(hops)
        block = empty_record(self.channels)
        for cell, record in enumerate(records, start=stream.cell(first)):
            if record[FRAMES] > 0:
                stream.pooling.merge(cell, record)
                merge_into(block, record)
        stream.add_run(first, stream.next_output)
        return NewFrames(first, speech[skipped:hops], block)

    def windows(self, streams: Sequence[CachedStream]) -> list[list[Window]]:
        """The windows of each stream that end where it stands, but for those that hold too little."""
        found: list[tuple[int, Window]] = []
        records: list[Record] = []
        for place, stream in enumerate(streams):
            for window, record in self._pooled(stream):
                found.append((place, window))
                records.append(record)
        result: list[list[Window]] = [[] for _ in streams]
        if records:
            embeddings = self.model.embed_batch(moments_of(np.stack(records)))
            for (place, window), embedding in zip(found, embeddings, strict=True):
                result[place].append(replace(window, embedding=embedding))
        return result

    def _pooled(self, stream: CachedStream) -> Iterator[tuple[Window, Record]]:
        settings, pooling = stream.settings, stream.pooling
        steps = -(-stream.position // settings.step_samples)
        pooling.close(steps - pooling.delay)
        end = FRAME_GRID.end_frame(stream.position)
        stream.forget(FRAME_GRID.first_frame((steps - settings.counts[-1]) * settings.step_samples))
        for count, duration_s, record in zip(settings.counts, settings.durations_s, pooling.windows(), strict=True):
            nominal = FRAME_GRID.first_frame((steps - count) * settings.step_samples)
            frames = int(record[FRAMES])
            if frames < MINIMUM_FRAMES:
                continue
            partial = stream.position % settings.step_samples != 0 or nominal < 0 or frames < end - nominal
            speech_s = float(record[SPEECH] / record[FRAMES]) * seconds_of_frames(frames)
            if reportable(partial, speech_s, duration_s):
                start_sample = stream.first_used(nominal) * HOP
                end_sample = (stream.last_used - 1) * HOP + FRAME_GRID.receptive_field
                yield Window(start_sample, end_sample, duration_s, _UNKNOWN, speech_s, partial), record


def _places(
    streams: Sequence[CachedStream], hops: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number and the piece of each frame that is computed, (streams, frames) each; -1 for what is no frame."""
    outputs, valid, steps = np.array(
        [(stream.next_output, stream.valid_from, stream.settings.step_samples) for stream in streams]
    ).T[:, :, None]
    order = np.arange(longest)
    frames = outputs + order
    pieces = frames * HOP // steps - np.maximum(outputs, valid) * HOP // steps
    pieces[(frames < valid) | (order >= hops[:, None])] = -1
    return frames, pieces


_NO_FRAMES = np.zeros(0, np.float32)
#: Stands for an embedding until the batch's are computed.
_UNKNOWN = np.zeros(0, np.float32)
