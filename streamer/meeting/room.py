"""One room with several microphones: it takes the steps of all channels, and returns who speaks and where.

    channel 0 ─► ┐          ┌ tracker ┐
    channel 1 ─► ├ aligner ─┤ tracker ├─► turns ─► events, each with the channel that hears it best
    channel 2 ─► ┘ crosstalk└ tracker ┘

No I/O, no clock, no randomness: the same results give the same events, in whatever order the channels are fed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamer.audio.chunks import SAMPLE_RATE, Gap
from streamer.engine.window import Step
from streamer.errors import ConfigurationError
from streamer.meeting.aligner import Aligner, Slot
from streamer.meeting.crosstalk import CrossTalk, CrossTalkSettings, speech_seconds
from streamer.meeting.turns import RoomTurns
from streamer.speakers.backend import Backend
from streamer.speakers.events import Event, GapEvent, Overload, SpeechEnd, SpeechStart
from streamer.speakers.profiles import Roster
from streamer.speakers.tracker import Tracker


class RoomTracker:
    """Decides who speaks in a room.

    trackers: one for each microphone, which share the same people, guests included.
    step_samples: of the engine's steps. backend: see `Backend.of`.
    gains_db: one for each channel, see CrossTalk. hold_s: how long to wait for a microphone that is behind the others,
        in seconds of their audio; None waits without limit.

    >>> room = RoomTracker(trackers, 8_000, backend)                                     # doctest: +SKIP
    >>> events = room.hear(2, step)                                                   # doctest: +SKIP
    """

    def __init__(
        self,
        trackers: Sequence[Tracker],
        step_samples: int,
        backend: Backend,
        *,
        crosstalk: CrossTalkSettings | None = None,
        gains_db: Sequence[float] | None = None,
        hold_s: float | None = None,
    ) -> None:
        channels = len(trackers)
        if channels < 1:
            raise ConfigurationError("a room has at least one microphone, and a tracker for each.")
        self.trackers = list(trackers)
        self.aligner = Aligner(channels, step_samples, None if hold_s is None else round(hold_s * SAMPLE_RATE))
        self.heard_sample = 0
        self._crosstalk = CrossTalk(channels, backend, crosstalk, None if gains_db is None else tuple(gains_db))
        self._turns = RoomTurns(channels)
        self._speaking: dict[int, int] = {}
        self._speech_start = 0
        #: The energy of each channel's current turn.
        self._energy = [0.0] * channels

    def hear(self, channel: int, result: Step | Gap) -> list[Event]:
        """Process one result of one channel, and return the events that it completes."""
        self.aligner.put(channel, result)
        return self._advance()

    def end(self, channel: int) -> list[Event]:
        """This channel has ended. After all of them, call `finish`."""
        self.aligner.end(channel)
        return self._advance()

    def finish(self) -> list[Event]:
        """End the meeting."""
        for channel in range(len(self.trackers)):
            self.aligner.end(channel)
        events = self._advance()
        for channel, tracker in enumerate(self.trackers):
            events += self._heard(channel, tracker.finish())
        return [*events, *self._turns.close(self.heard_sample, everything=True)]

    def set_roster(self, roster: Roster) -> list[Event]:
        """Change the roster from now on, on all channels."""
        events: list[Event] = []
        for channel, tracker in enumerate(self.trackers):
            events += self._heard(channel, tracker.set_roster(roster))
        return events

    def _advance(self) -> list[Event]:
        events: list[Event] = []
        for slot in self.aligner.ready():
            events += self._take(slot)
        return events

    def _take(self, slot: Slot) -> list[Event]:
        last = {
            channel: step
            for channel, results in slot.items()
            for step in results  # if there are several, around a gap, the last one
            if isinstance(step, Step)
        }
        overheard = self._crosstalk.overheard(last)
        events: list[Event] = []
        for channel, results in sorted(slot.items()):
            tracker = self.trackers[channel]
            for result in results:
                self.heard_sample = max(self.heard_sample, result.end_sample)
                if isinstance(result, Gap):
                    events += self._heard(channel, tracker.gap(result))
                else:
                    events += self._step(channel, muted(result) if channel in overheard else result)
        return [*events, *self._turns.close(self.heard_sample)]

    def _step(self, channel: int, step: Step) -> list[Event]:
        tracker = self.trackers[channel]
        before = tracker.turn
        found = tracker.update(step)
        energy = 10 ** (step.level_db / 10) * speech_seconds(step) if math.isfinite(step.level_db) else 0.0
        if before is not None:
            self._turns.add_energy(channel, before.number, energy)
        self._energy[channel] = energy + (self._energy[channel] if tracker.turn is before else 0.0)
        return self._heard(channel, found)

    def _heard(self, channel: int, found: Sequence[Event]) -> list[Event]:
        events: list[Event] = []
        for event in found:
            if isinstance(event, SpeechStart | SpeechEnd):
                events += self._speech(channel, event)
            elif isinstance(event, GapEvent | Overload):
                events.append(replace(event, channel=channel))
            else:
                events += self._turns.hear(channel, event, self._energy[channel])
        return events

    def _speech(self, channel: int, event: SpeechStart | SpeechEnd) -> list[Event]:
        """Speech in the room lasts from the first microphone's start to the last one's end."""
        if isinstance(event, SpeechStart):
            began = not self._speaking
            self._speaking[channel] = event.sample
            self._speech_start = event.sample if began else self._speech_start
            return [replace(event, channel=channel)] if began else []
        self._speaking.pop(channel, None)
        if self._speaking:
            return []
        return [replace(event, start_sample=min(self._speech_start, event.start_sample), channel=channel)]


def muted(step: Step) -> Step:
    """A step without any speech in it."""
    return replace(step, windows=(), speech=np.zeros(step.num_frames, np.float32), block=None)
