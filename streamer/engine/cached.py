"""`cached` mode: computes each frame of a stream once, then pools it into every window that contains it.

The state of all streams in a batch is held in arrays, so a step is a few operations, however many streams there are.
Only two things are done for each stream: gathering its samples, and returning its results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from streamer.engine.backbone import Backbone, Batch, Memory
from streamer.engine.batching import groups, hops_at_once, padded_hops
from streamer.engine.heard import HeardBatch
from streamer.engine.layers import to_device
from streamer.engine.pieces import PIECES, piece_records
from streamer.engine.settings import WindowSettings
from streamer.engine.sliding import HEADER
from streamer.engine.slots.carried import StoredCarry
from streamer.engine.slots.embedding import Embedding
from streamer.engine.slots.moments import joined, whole_records
from streamer.engine.slots.results import BatchResults, handed_out
from streamer.engine.slots.sound import BatchSamples
from streamer.engine.slots.store import Store
from streamer.engine.slots.stream import CachedStream
from streamer.engine.slots.table import Numbers
from streamer.engine.slots.transfer import fetched, sent
from streamer.engine.slots.work import Work
from streamer.engine.window import Step
from streamer.errors import StreamerError
from streamer.models.model import Model
from streamer.speech.detector import SpeechState


class CachedStepper:
    """Computes the new frames of many streams at once and pools them.

    use_head: whether the network's own speech head weights the frames. compiled: whether everything outside the network
    runs as compiled passes over host memory, instead of tensor operations; None chooses by device.
    """

    step_unit = 1

    def __init__(self, model: Model, backbone: Backbone, use_head: bool, compiled: bool | None = None) -> None:
        self.backbone = backbone
        self.hops = backbone.hops
        self.at_once = hops_at_once(backbone.device, backbone.hops.at_once)
        self.use_head = use_head
        self.device = backbone.device
        self.compiled = self.device.type == "cpu" if compiled is None else compiled
        self.store = Store(backbone)
        self.embedding = Embedding(model, self.device, on_host=self.compiled)

    def new(self, settings: WindowSettings, speech: SpeechState | None) -> CachedStream:
        return CachedStream(self.store, settings, speech)

    def positions(self, states: Sequence[CachedStream]) -> Numbers:
        self.store.settle(states)
        slots, _, _ = self.store.rows(states)
        return self.store.streams.on_host("position")[slots]

    @torch.inference_mode()
    def step(self, heard: HeardBatch, detected: bool) -> list[Step | StreamerError | None]:
        work = Work.of(self.store, heard)
        sound = BatchSamples(sent(heard.flat, self.device), work.rows(self.hops, self.device))
        silent = int(np.count_nonzero(work.hops == 0))
        record = HEADER + 2 * self.backbone.channels
        pieces = [torch.zeros(silent, PIECES, record, device=self.device)] if silent else []
        heads: list[Tensor] = []
        sizes = [len(group) for group in groups(work.hops, self.device, self.at_once)]
        for group in _slices(silent, sizes):
            found, said = self._frames(work, sound, group, heard.states)
            pieces.append(found)
            heads.append(said)
        sound.keep(self.store.streams["tail"], self.compiled)
        all_pieces = self._with_begun(work, heard, torch.cat(pieces) if len(pieces) > 1 else pieces[0])
        computed = self._windows(work, all_pieces, heads if detected or "overlap" in self.backbone.heads else [])
        outcomes = handed_out(self.store, work, heard, computed, self.embedding, detected)
        restarted = work.restart(self.store, heard)
        if len(restarted):
            self.store.streams.reset(work.slots[restarted], ("tail", "carry"))
            for kind, own in work.by_kind(restarted):
                cells = self.store.cells(kind)
                cells.slots.reset(work.places[own], tuple(cells.memory))
        return outcomes

    def _frames(
        self, work: Work, sound: BatchSamples, group: slice, states: Sequence[CachedStream]
    ) -> tuple[Tensor, Tensor]:
        """Compute the new frames of a group of streams: the records (streams, 2, record) of their pieces, and the
        outputs of the heads (streams, frames, K).
        """
        hops, rows = work.hops[group], sound.rows
        if len(hops) < len(work.order):
            rows = {name: row[group] for name, row in rows.items()}
        longest, common = int(hops[-1]), int(hops[0]) if hops[0] == hops[-1] else None
        if self.device.type == "cpu":
            longest = padded_hops(longest, int(work.steps[group][-1]), self.hops.stride)
        length = (longest - 1) * self.hops.stride + self.hops.reads
        tails, carries = self.store.streams["tail"], self.store.streams["carry"]
        carry = StoredCarry(carries, rows["slots"], rows["hops"], common, self.compiled)
        memories = self._memories(work, group)
        waves = sound.waves(tails, rows, length, self.compiled)
        block = self.backbone.advance(waves, Batch(carry, rows["silent"], [memory for _, memory in memories]))
        carry.put_back()
        for kind, memory in memories:
            places = to_device(work.places[group][work.kinds[group] == kind], self.device)
            for name, kept in memory.kept.items():
                self.store.cells(kind).slots[name].index_copy_(0, places, kept)

        heads = self._heads(work, group, block.heads, longest, states)
        speech = heads[:, :, 0]
        weights = speech if block.attention is None else speech * block.attention
        spans = [rows[name] for name in ("begins", "splits", "ends")]
        records = piece_records(block.features, weights, speech, spans, self.backbone.norm, self.compiled)
        return records, heads.transpose(0, 1)

    def _heads(
        self, work: Work, group: slice, own: Tensor | None, frames: int, states: Sequence[CachedStream]
    ) -> Tensor:
        """The probabilities of each frame, (frames, streams, K): speech first, from the network, a detector, or all
        ones; then overlap, if the network has that output.
        """
        speaks = "speech" in self.backbone.heads
        if own is not None and speaks and self.use_head:
            return own
        speech = self._speech(work, group, frames, states)
        return speech if own is None else torch.cat([speech, own[..., 1 if speaks else 0 :]], 2)

    def _speech(self, work: Work, group: slice, frames: int, states: Sequence[CachedStream]) -> Tensor:
        """The detector's speech probability of each frame, (frames, streams, 1); ones without a detector."""
        streams = [states[place] for place in work.order[group].tolist()]
        if streams[0].speech is None:
            return torch.ones(frames, len(streams), 1, device=self.device)
        known = np.zeros((frames, len(streams), 1), np.float32)
        centres = (work.outputs[group] + np.arange(frames)[:, None]) * self.hops.stride + self.hops.grid.centre
        for place, (stream, count) in enumerate(zip(streams, work.hops[group].tolist(), strict=True)):
            assert stream.speech is not None
            known[:count, place, 0] = stream.speech.at(centres[:count, place])
        return to_device(known, self.device)

    def _memories(self, work: Work, group: slice) -> list[tuple[int, Memory]]:
        found: list[tuple[int, Memory]] = []
        if not self.store.remembers:
            return found
        for kind in np.unique(work.kinds[group]).tolist():
            cells = self.store.cells(kind)
            own = np.flatnonzero(work.kinds[group] == kind)
            at = to_device(work.places[group][own], self.device)
            kept = {name: cells.slots[name].index_select(0, at) for name in cells.memory}
            found.append((kind, Memory(to_device(own, self.device), kept)))
        return found

    def _with_begun(self, work: Work, heard: HeardBatch, pieces: Tensor) -> Tensor:
        """Merge in the pieces that the same step collected before a gap inside it."""
        begun = work.among(self.store.begun)
        earlier = [(row, heard.states[work.order[row]].pieces) for row in begun.tolist()]
        earlier = [(row, kept) for row, kept in earlier if kept is not None]
        if earlier:
            rows = to_device(np.array([row for row, _ in earlier]), self.device)
            before = to_device(np.stack([kept for _, kept in earlier]), self.device)
            pieces.index_copy_(0, rows, joined(before, pieces.index_select(0, rows)))
        return pieces

    def _windows(self, work: Work, pieces: Tensor, heads: list[Tensor]) -> BatchResults:
        """Pool the windows of streams whose step is complete, and copy the results of all streams to the host."""
        records, kinds = [], []
        for kind, own in work.by_kind(np.flatnonzero(work.complete)):
            cells = self.store.cells(kind)
            closing = cells.closing(work.places[own], work.positions[own])
            records.append(cells.pool(pieces, own, work.places[own], closing, self.compiled))
            kinds.append((kind, own))
        kept = np.flatnonzero(~work.complete & work.gained)
        blocks = whole_records(pieces, self.compiled)
        unfinished = pieces.index_select(0, to_device(kept, self.device)) if len(kept) else pieces[:0]
        back = fetched([*self.embedding.of(records), blocks, unfinished, *heads], not self.compiled)
        return BatchResults.of(kinds, back, kept, len(heads))


def _slices(first: int, sizes: list[int]) -> Iterator[slice]:
    for size in sizes:
        yield slice(first, first + size)
        first += size
