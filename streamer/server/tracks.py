"""Aligns the two sides of a telephone call on one clock: it takes time-stamped chunks, and returns frames of all
tracks.

Each track arrives on its own; here they are put side by side, at 8 kHz, in mu-law (G.711). The
frames are the protocol's sequenced ones, so that audio missing on every track becomes a gap as in any session. If
only one track is missing, it counts as silence, the other one is heard, and the loss is reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamer.protocol.framing import HEADER

RATE = 8_000
SILENCE = b"\xff"

# How long other tracks wait for a track that sends nothing: chunks of both sides are sent within milliseconds.
PATIENCE = RATE // 5
# Time stamps have jitter. A chunk that is late by up to this follows the previous one. If a number is missing, a chunk
# was lost, and the limit is 10 ms, half a chunk.
JITTER = 40 * RATE // 1000
JITTER_AFTER_LOSS = 10 * RATE // 1000
# A track begins some milliseconds after the stream, which is not a loss.
LEAD = RATE


@dataclass(frozen=True, slots=True)
class Lost:
    """On this track alone, [start_sample, end_sample) at 8 kHz is missing or came too late; it counts as silence."""

    channel: int
    start_sample: int
    end_sample: int
    reason: str


@dataclass(slots=True)
class _ChunkRun:
    start: int
    data: bytes
    lost: bool  # chunks before it are missing by their numbers

    @property
    def end(self) -> int:
        return self.start + len(self.data)


def _start(run: _ChunkRun) -> int:
    return run.start


@dataclass(slots=True)
class _Track:
    """end: the end of the received audio, None before any. chunk: the number of the last one. heard: part of it went
    into a frame. missing: the part that did not, while others were heard, and is not yet reported."""

    runs: deque[_ChunkRun] = field(default_factory=deque)
    end: int | None = None
    chunk: int = 0
    heard: bool = False
    missing: tuple[int, int] | None = None


class Tracks:
    """Puts `count` tracks side by side. Pure: chunks in, frames out.

    duplicates: chunks that had arrived before.
    """

    def __init__(self, count: int) -> None:
        self.position = 0
        self.duplicates = 0
        self._tracks = [_Track() for _ in range(count)]
        self._sequence = 0

    def add(self, channel: int, chunk: int, start: int, data: bytes) -> list[bytes | Lost]:
        """Add chunk number `chunk` of a track; its first sample is at `start` by its time stamp."""
        track = self._tracks[channel]
        if not data or (track.end is not None and chunk <= track.chunk):
            self.duplicates += bool(data)
            return []
        run = _ChunkRun(start, data, lost=track.end is not None and chunk > track.chunk + 1)
        if track.end is not None:
            slack = JITTER_AFTER_LOSS if run.lost else JITTER
            run.start = start if start > track.end + slack else track.end
        elif all(other.end is None for other in self._tracks) and start <= LEAD:
            run.start, run.data = 0, SILENCE * start + data
        track.end, track.chunk = run.end, chunk
        late = self._too_late(channel, run)
        if run.data:
            track.runs.append(run)
        return late + list(self._emit(self._ready()))

    def finish(self) -> list[bytes | Lost]:
        """Emit the rest, which waited for another track."""
        return list(self._emit(max((track.end or 0) for track in self._tracks)))

    def _too_late(self, channel: int, run: _ChunkRun) -> list[bytes | Lost]:
        """Cut off the part that the others did not wait for."""
        late = min(self.position, run.end) - run.start
        if late <= 0:
            return []
        track, end = self._tracks[channel], run.start + late
        told: list[bytes | Lost] = []
        if track.missing is not None:
            start, stop = track.missing
            if start < run.start:
                told.append(Lost(channel, start, min(stop, run.start), "not sent"))
            track.missing = (end, stop) if end < stop else None
        told.append(Lost(channel, run.start, end, "late"))
        run.start, run.data = end, run.data[late:]
        return told

    def _ready(self) -> int:
        ends = [track.end or 0 for track in self._tracks]
        return max(min(ends), max(ends) - (PATIENCE if len(ends) > 1 else 0))

    def _emit(self, ready: int) -> Iterator[bytes | Lost]:
        """Frames up to `ready`, one for each stretch in which a track has audio."""
        while True:
            first = min(
                (track.runs[0] for track in self._tracks if track.runs), key=lambda run: run.start, default=None
            )
            if first is None or (start := max(self.position, first.start)) >= ready:
                break
            yield from self._frame(start, min(first.end, ready))
        self.position = max(self.position, ready)

    def _frame(self, start: int, end: int) -> Iterator[bytes | Lost]:
        count = len(self._tracks)
        block = bytearray(SILENCE * ((end - start) * count))
        lost = False
        for channel, track in enumerate(self._tracks):
            covered = start
            while track.runs and track.runs[0].start < end:
                run = track.runs[0]
                begin, stop = max(start, run.start), min(end, run.end)
                yield from self._missed(channel, covered, begin, then=run)
                lost, run.lost = lost or run.lost, False
                block[(begin - start) * count + channel : (stop - start) * count : count] = run.data[
                    begin - run.start : stop - run.start
                ]
                covered, track.heard = stop, True
                if run.end > end:
                    break
                track.runs.popleft()
            yield from self._missed(channel, covered, end, then=None)
        # A skipped number tells the session that the audio before this frame was lost, not omitted by the sender.
        self._sequence += 1 + lost
        self.position = end
        yield HEADER.pack(self._sequence % 2**32, start) + block

    def _missed(self, channel: int, start: int, end: int, then: _ChunkRun | None) -> Iterator[Lost]:
        """[start, end) of a track is missing, while another one was heard; reported once the track is back."""
        track = self._tracks[channel]
        if start < end and track.heard:
            track.missing = (start if track.missing is None else track.missing[0], end)
        if then is not None:
            yield from self._tell(channel, "packet loss" if then.lost else "not sent")

    def _tell(self, channel: int, reason: str) -> Iterator[Lost]:
        missing, self._tracks[channel].missing = self._tracks[channel].missing, None
        if missing is not None:
            yield Lost(channel, *missing, reason)
