"""Who is speaking: takes the steps of one stream, and returns decisions. No I/O, no clock, no randomness.

Frame probabilities show when there is speech (`boundaries`). The tracker names the person who then has the floor
(`floor`), and the second speaker in an overlap (`overlap`). A name is provisional until the turn settles. Until then it
may be corrected; afterwards it stays for the rest of the turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamer.audio.chunks import SAMPLE_RATE, Gap
from streamer.engine.window import Step
from streamer.errors import StateMismatch
from streamer.snapshot import pack, unpack
from streamer.speakers.asking import answered
from streamer.speakers.backend import Backend
from streamer.speakers.boundaries import SpeechBoundaries
from streamer.speakers.candidates import Asking, Candidates
from streamer.speakers.events import Event, GapEvent, Overload, SpeechEnd, SpeechStart
from streamer.speakers.floor import Floor
from streamer.speakers.guests import Guests
from streamer.speakers.overlap import Overlaps
from streamer.speakers.profiles import Roster
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.steps import Embed, HeardStep, frame_speech
from streamer.speakers.turn import Turn

#: The version of snapshots. The previous version can be read as well.
VERSION = 5


class Tracker:
    """The tracker of one stream.

    roster: whom to listen for. backend: what a score is worth, and what settings go with it; see `Backend.of`.
    embed: `Model.embed`, to pool a turn from the steps' blocks; not needed in `exact` mode, whose steps have none.
    peers: trackers of other microphones in the same room, with the same roster, whose guests are this one's too.

    >>> tracker = Tracker(roster, Backend.of(model), model.embed)                     # doctest: +SKIP
    >>> for step in steps:                                                            # doctest: +SKIP
    ...     events = tracker.update(step)
    >>> events = tracker.finish()                                                     # doctest: +SKIP
    """

    def __init__(
        self,
        roster: Roster,
        backend: Backend,
        embed: Embed | None = None,
        settings: TrackerSettings | None = None,
        peers: Sequence[Tracker] = (),
    ) -> None:
        self.settings = settings = settings or backend.settings
        self._boundaries = SpeechBoundaries(
            settings.speech_onset, settings.speech_offset, settings.min_speech_s, settings.min_silence_s
        )
        self._speech_start = 0
        self._floor: Floor = Floor(roster, backend, embed, settings, [peer._floor for peer in peers])
        self._overlaps = Overlaps(settings)

    @property
    def heard_sample(self) -> int:
        """How far the stream was heard."""
        return self._floor.heard_sample

    @property
    def speaking(self) -> bool:
        """Whether anybody is speaking."""
        return self._boundaries.speaking

    @property
    def turn(self) -> Turn | None:
        """The current turn."""
        return self._floor.turn

    @property
    def candidates(self) -> Candidates:
        return self._floor.candidates

    @property
    def roster(self) -> Roster:
        return self._floor.roster

    @property
    def guests(self) -> Guests:
        return self._floor.guests

    # Hearing

    def update(self, step: Step) -> list[Event]:
        """Process one step. Returns the resulting events, in order."""
        return answered(self.hearing(step))

    def hearing(self, step: Step) -> Asking[list[Event]]:
        """`update`, pausing at each question; see `asking`."""
        self._floor.advance(step.end_sample)
        events: list[Event] = []
        if step.skipped:
            events.append(
                Overload(
                    sample=step.start_sample,
                    decided_sample=step.end_sample,
                    skipped=step.skipped,
                    reason="the engine fell behind",
                )
            )
        speech = frame_speech(step, self.settings.silence_db)
        heard = HeardStep.of(step, speech)
        self._floor.hear(heard)
        for boundary in self._boundaries.update(step.grid, step.first_frame, speech):
            if boundary.starts:
                events.append(SpeechStart(sample=boundary.sample, decided_sample=self.heard_sample))
                self._speech_start = boundary.sample
                self._floor.begin(boundary.sample)
            else:
                events += yield from self._end_speech(boundary.sample, "silence")
        events += yield from self._floor.judge(heard)
        self._floor.forget_silent()
        self._overlaps.hear(step)
        self._overlaps.note(events)
        return events + self._overlaps.tell(self._floor)

    def gap(self, gap: Gap) -> list[Event]:
        """Samples are missing. If the gap is longer than a pause, it ends the current turn."""
        return answered(self.missing(gap))

    def missing(self, gap: Gap) -> Asking[list[Event]]:
        """`gap`, pausing at each question."""
        self._floor.advance(gap.end_sample)
        events: list[Event] = []
        if gap.end_sample - gap.start_sample >= self.settings.min_silence_s * SAMPLE_RATE:
            events += yield from self._interrupt(gap.start_sample, "gap")
        event = GapEvent(
            sample=gap.start_sample, end_sample=gap.end_sample, decided_sample=gap.end_sample, reason=gap.reason
        )
        return [*events, event]

    def finish(self) -> list[Event]:
        """End the stream."""
        return answered(self.finishing())

    def finishing(self) -> Asking[list[Event]]:
        """`finish`, pausing at each question."""
        events = yield from self._interrupt(self.heard_sample, "end of stream")
        return events + self._overlaps.tell(self._floor, everything=True)

    def _end_speech(self, sample: int, reason: str) -> Asking[list[Event]]:
        events = yield from self._floor.end(sample, reason)
        ended = SpeechEnd(
            sample=sample, start_sample=self._speech_start, decided_sample=self.heard_sample, reason=reason
        )
        return [*events, ended]

    def _interrupt(self, sample: int, reason: str) -> Asking[list[Event]]:
        events = (yield from self._end_speech(sample, reason)) if self._boundaries.interrupt() else []
        self._overlaps.interrupt(sample)
        self._overlaps.note(events)
        self._floor.interrupt()
        return events

    def set_roster(self, roster: Roster) -> list[Event]:
        """Replace the roster. Guests who turn out to be in it take their enrolled names."""
        if roster == self.roster:
            return []
        events = self._floor.set_roster(roster)
        self._overlaps.note(events)
        return events

    # State

    def snapshot(self) -> bytes:
        """The state of the stream; see `restore`."""
        return pack(
            {
                "version": VERSION,
                "settings": self.settings.to_dict(),
                "dimension": self.roster.dimension,
                "boundaries": self._boundaries.snapshot(),
                "speech_start": self._speech_start,
                "overlaps": self._overlaps.snapshot(),
                **self._floor.snapshot(),
            }
        )

    def restore(self, data: bytes) -> None:
        """Continue from the state of another tracker with the same settings. Speakers in this roster keep their state.

        Raises StateMismatch for damaged bytes, other settings or another embedding dimension.
        """
        snapshot = unpack(data)
        try:
            snapshot = _of_this_version(snapshot)
            self._check(snapshot)
            self._floor.restore(snapshot)
            self._boundaries.restore(snapshot["boundaries"])
            self._speech_start = snapshot["speech_start"]
            self._overlaps.restore(snapshot["overlaps"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise StateMismatch(f"this tracker's snapshot is not whole, or of another release ({error!r}).") from error

    def _check(self, snapshot: dict[str, Any]) -> None:
        settings = self.settings.to_dict()
        if snapshot["settings"] != settings:
            differing = [name for name, value in settings.items() if snapshot["settings"].get(name) != value]
            raise StateMismatch(f"the snapshot was taken with other settings: {', '.join(differing)}.")
        if snapshot["dimension"] != self.roster.dimension:
            raise StateMismatch(
                f"the snapshot has embeddings of {snapshot['dimension']} dimensions, this tracker "
                f"{self.roster.dimension}: it was taken with another model."
            )


def _of_this_version(snapshot: Any) -> dict[str, Any]:
    version = snapshot.get("version") if isinstance(snapshot, dict) else None
    if version == 4:
        # The previous version had other names for the steps of a turn.
        settings, turn = dict(snapshot["settings"]), snapshot["turn"]
        settings["kept_steps"] = settings.pop("kept_pieces")
        if turn is not None:
            turn["steps"] = turn.pop("pieces")
        return {**snapshot, "settings": settings}
    if version != VERSION:
        raise StateMismatch(f"this is not a tracker's snapshot of version {VERSION}.")
    return dict(snapshot)
