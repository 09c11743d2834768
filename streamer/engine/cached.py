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

from streamer.audio.chunks import SAMPLE_RATE, Samples
from streamer.engine.backbone import Backbone, Batch, Hops
from streamer.engine.batching import groups, padded_hops
from streamer.engine.layers import to_device
from streamer.engine.pieces import piece_records
from streamer.engine.settings import WindowSettings
from streamer.engine.sliding import FRAMES, SPEECH, CellPooling, Record, empty_record, merge_into, moments_of
from streamer.engine.state import Arrays
from streamer.engine.stepper import NewFrames, reportable
from streamer.engine.window import Window
from streamer.models.carry import Carry
from streamer.models.model import Model
from streamer.speech.detector import SpeechState


@dataclass(slots=True)
class CachedStream:
    """One stream's state.

    position: samples heard or skipped. tail: samples [tail_start, position) that the next hop needs, float32.
    next_hop: the first hop not computed yet. valid_from: the first frame since the last restart.
    carry: (size,) what the layers keep. memory: what they keep beside it. runs: [first, end) of the frames there are,
    oldest first.
    """

    settings: WindowSettings
    backbone: Backbone
    hops: Hops
    carry: Tensor
    memory: Mapping[str, Tensor]
    pooling: CellPooling
    speech: SpeechState | None
    position: int = 0
    tail: Samples = field(default_factory=lambda: np.zeros(0, np.float32))
    tail_start: int = 0
    next_hop: int = 0
    valid_from: int = 0
    runs: list[list[int]] = field(default_factory=list)

    @classmethod
    def new(cls, settings: WindowSettings, backbone: Backbone, speech: SpeechState | None) -> CachedStream:
        # The last frames that begin in a step end so many steps later.
        delay = math.ceil(backbone.hops.grid.receptive_field / settings.step_samples)
        pooling = CellPooling(settings.counts, delay, backbone.channels)
        memory = backbone.new_memory(settings)
        stream = cls(settings, backbone, backbone.hops, backbone.new_carry(), memory, pooling, speech)
        stream.restart(0)
        return stream

    def restart(self, sample: int) -> None:
        """Begin anew at `sample`, with nothing carried over from before."""
        hops = self.hops
        self.position = sample
        self.valid_from = hops.grid.first_frame(sample)
        self.next_hop = self.valid_from - hops.warm_up
        self.tail_start = self.next_hop * hops.stride + hops.start
        if self.speech:
            self.speech.skip(sample)
        # Before the restart come zeros; where the grid begins later than the restart, samples are passed over.
        self.tail = np.zeros(max(0, sample - self.tail_start), np.float32)
        self.carry.copy_(self.backbone.new_carry())
        for kept in self.memory.values():
            kept.zero_()

    def hear(self, samples: Samples) -> None:
        passed_over = min(max(0, self.tail_start - self.position), len(samples))
        self.tail = np.concatenate([self.tail, samples[passed_over:]])
        self.position += len(samples)

    @property
    def ready_hops(self) -> int:
        return max(0, (self.position - self.hops.end) // self.hops.stride - self.next_hop)

    @property
    def next_output(self) -> int:
        """The frame that the next hop completes; those before `valid_from` are no frames."""
        return self.next_hop - self.hops.lag

    @property
    def next_frame(self) -> int:
        return max(self.next_output, self.valid_from)

    def cell(self, frame: int) -> int:
        """The cell of a frame: the step in which it begins."""
        return frame * self.hops.stride // self.settings.step_samples

    def consume(self, hops: int) -> None:
        self.next_hop += hops
        self.tail_start += hops * self.hops.stride
        self.tail = self.tail[hops * self.hops.stride :].copy()

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
        own |= {name: kept.cpu().numpy() for name, kept in self.memory.items()}
        heard = self.speech.arrays() if self.speech else {}
        return own | {f"speech.{name}": array for name, array in heard.items()}

    def restore(self, values: Mapping[str, Any], arrays: Arrays) -> None:
        for name in ("position", "tail_start", "next_hop", "valid_from", "runs"):
            setattr(self, name, values[name])
        self.tail = arrays["tail"]
        follows = self.tail_start == self.next_hop * self.hops.stride + self.hops.start
        if not follows or len(self.tail) != max(0, self.position - self.tail_start):
            raise ValueError("its samples do not fit its clock")
        self.carry.copy_(torch.from_numpy(arrays["carry"]))
        for name, kept in self.memory.items():
            kept.copy_(torch.from_numpy(arrays[name]))
        self.pooling.restore(values["pooling"], arrays)
        if self.speech:
            self.speech.restore({name.removeprefix("speech."): array for name, array in arrays.items()})


class CachedStepper:
    """Computes the new frames of many streams at once and pools them.

    use_head: whether the network's own speech head weighs the frames.
    """

    step_unit = 1

    def __init__(self, model: Model, backbone: Backbone, use_head: bool) -> None:
        self.model = model
        self.minimum_frames = model.architecture.minimum_frames
        self.backbone = backbone
        self.hops = backbone.hops
        self.grid = backbone.hops.grid
        self.use_head = use_head
        self.device = backbone.device

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> CachedStream:
        return CachedStream.new(settings, self.backbone, speech)

    def advance(self, streams: Sequence[CachedStream]) -> list[NewFrames]:
        """Compute all frames that the streams' samples complete, and merge them into their cells."""
        gained = [NewFrames(stream.next_frame, _NO_FRAMES, None) for stream in streams]
        hops = np.array([stream.ready_hops for stream in streams])
        for group in groups(hops, self.device, self.hops.at_once):
            records, speech, overlap = self._compute([streams[place] for place in group], hops[group])
            for row, place in enumerate(group):
                two = None if overlap is None else overlap[row]
                gained[place] = self._merge(streams[place], int(hops[place]), records[row], speech[row], two)
        return gained

    def _compute(
        self, streams: Sequence[CachedStream], hops: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None]:
        """Records (streams, pieces, record), and (streams, frames) each, speech and overlap of the new frames.

        hops: of each stream, in ascending order. A piece is what a stream's new frames have in one cell; -1 marks what
        is no frame.
        """
        stride, reads, centre = self.hops.stride, self.hops.reads, self.grid.centre
        longest = padded_hops(int(hops[-1]), streams[-1].settings.step_samples, stride)
        waves = np.zeros((len(streams), (longest - 1) * stride + reads), np.float32)
        frames, pieces, first = self._places(streams, hops, longest)
        known_speech = np.ones(frames.shape, np.float32)
        for row, (stream, count) in enumerate(zip(streams, hops, strict=True)):
            used = (count - 1) * stride + reads
            waves[row, :used] = stream.tail[:used]
            if stream.speech is not None:
                known_speech[row, :count] = stream.speech.at(frames[row, :count] * stride + centre)
        with torch.inference_mode():
            carries = [stream.carry for stream in streams]
            common = int(hops[0]) if hops[0] == hops[-1] else None
            carry = Carry(torch.stack(carries), to_device(hops, self.device), common)
            batch = Batch(carry, first, [stream.memory for stream in streams])
            block = self.backbone.advance(to_device(waves, self.device), batch)
            torch._foreach_copy_(carries, list(carry.next_rows().unbind()))
            speech = to_device(known_speech, self.device)
            if self.use_head and block.speech is not None:
                speech = speech * block.speech.t()
            weights = speech if block.attention is None else speech * block.attention.t()
            records = piece_records(block.features, weights, speech, pieces, self.backbone.norm)
            overlap = None if block.overlap is None else block.overlap.t().cpu().numpy()
        return records, speech.cpu().numpy(), overlap

    def _places(
        self, streams: Sequence[CachedStream], hops: NDArray[np.int64], longest: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The number and the piece of each frame that is computed, (streams, frames) each, -1 for what is no frame; and
        the first hop (streams,) of each stream's own sound."""
        outputs, valid, steps = np.array(
            [(stream.next_output, stream.valid_from, stream.settings.step_samples) for stream in streams]
        ).T[:, :, None]
        stride = self.hops.stride
        order = np.arange(longest)
        frames = outputs + order
        pieces = frames * stride // steps - np.maximum(outputs, valid) * stride // steps
        pieces[(frames < valid) | (order >= hops[:, None])] = -1
        return frames, pieces, np.maximum(valid - outputs - self.hops.lag, 0)[:, 0]

    def _merge(
        self,
        stream: CachedStream,
        hops: int,
        records: NDArray[np.float32],
        speech: NDArray[np.float32],
        overlap: NDArray[np.float32] | None,
    ) -> NewFrames:
        """Take a stream's share of what was computed into its state."""
        first = stream.next_frame
        skipped = first - stream.next_output
        stream.consume(hops)
        block = empty_record(self.backbone.channels)
        for cell, record in enumerate(records, start=stream.cell(first)):
            if record[FRAMES] > 0:
                stream.pooling.merge(cell, record)
                merge_into(block, record)
        stream.add_run(first, stream.next_output)
        return NewFrames(first, speech[skipped:hops], block, None if overlap is None else overlap[skipped:hops])

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
        settings, pooling, grid = stream.settings, stream.pooling, self.grid
        steps = -(-stream.position // settings.step_samples)
        pooling.close(steps - pooling.delay)
        end = grid.end_frame(stream.position)
        stream.forget(grid.first_frame((steps - settings.counts[-1]) * settings.step_samples))
        for count, duration_s, record in zip(settings.counts, settings.durations_s, pooling.windows(), strict=True):
            nominal = grid.first_frame((steps - count) * settings.step_samples)
            frames = int(record[FRAMES])
            if frames < self.minimum_frames:
                continue
            partial = stream.position % settings.step_samples != 0 or nominal < 0 or frames < end - nominal
            speech_s = float(record[SPEECH] / record[FRAMES]) * grid.num_samples(frames) / SAMPLE_RATE
            if reportable(partial, speech_s, duration_s):
                start_sample = stream.first_used(nominal) * grid.stride
                end_sample = (stream.last_used - 1) * grid.stride + grid.receptive_field
                yield Window(start_sample, end_sample, duration_s, _UNKNOWN, speech_s, partial), record


_NO_FRAMES = np.zeros(0, np.float32)
#: Stands for an embedding until the batch's are computed.
_UNKNOWN = np.zeros(0, np.float32)
