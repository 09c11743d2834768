"""Aligns the results of several microphones on one clock, however unevenly they arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamer.audio.chunks import Gap
from streamer.engine.window import Step

Slot = dict[int, list[Step | Gap]]


@dataclass(slots=True)
class _Channel:
    waiting: deque[Step | Gap] = field(default_factory=deque)
    end_sample: int = 0
    ended: bool = False


class Aligner:
    """Puts the results of all channels into slots of one step each.

    A slot is complete when every channel that has not ended is past it. hold_samples: a microphone that is this far
    behind the others is no longer waited for, and its results come late; None waits without limit.
    """

    def __init__(self, channels: int, step_samples: int, hold_samples: int | None = None) -> None:
        self._channels = [_Channel() for _ in range(channels)]
        self._step_samples = step_samples
        self._hold_samples = hold_samples

    def put(self, channel: int, result: Step | Gap) -> None:
        state = self._channels[channel]
        state.waiting.append(result)
        state.end_sample = max(state.end_sample, result.end_sample)

    def end(self, channel: int) -> None:
        """This channel has ended."""
        self._channels[channel].ended = True

    def ahead(self, channel: int) -> int:
        """The number of samples that this channel is ahead of the slowest one."""
        return self._channels[channel].end_sample - self._horizon(patient=True)

    def ready(self) -> Iterator[Slot]:
        """The slots that are complete now, each once: the results of each channel that has any, in order."""
        while (slot := self._next()) is not None:
            yield slot

    def _horizon(self, *, patient: bool) -> int:
        """The sample up to which all channels are complete."""
        going = [state.end_sample for state in self._channels if not state.ended]
        furthest = max(state.end_sample for state in self._channels)
        if not going:
            return furthest + self._step_samples
        if self._hold_samples is None or patient:
            return min(going)
        return max(min(going), furthest - self._hold_samples)

    def _next(self) -> Slot | None:
        heads = [state.waiting[0].end_sample for state in self._channels if state.waiting]
        if not heads:
            return None
        step = self._step_samples
        slot_end = -(-min(heads) // step) * step
        if slot_end > self._horizon(patient=False):
            return None
        slot: Slot = {}
        for number, state in enumerate(self._channels):
            while state.waiting and state.waiting[0].end_sample <= slot_end:
                slot.setdefault(number, []).append(state.waiting.popleft())
        return slot
