"""The turns of a room, from the turns of its microphones: one voice is one turn, however many microphones pick it up.

A room's turn belongs to the microphone with the most energy of the voice. It ends when it has ended on all microphones,
or, with several of them, not before a pause of `bridge_s`: a person who turns to another microphone stays in one
turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

from streamer.audio.chunks import SAMPLE_RATE
from streamer.speakers.events import Ambiguous, Correction, Event, Renamed, Speaker, TurnEnd, Unknown
from streamer.speakers.names import is_stranger

#: A turn on a microphone: the channel, and the turn's number there.
Key = tuple[int, int]
Naming = Speaker | Unknown


@dataclass(slots=True)
class Member:
    """One microphone's part of a turn. energy: of the voice, power times seconds of speech."""

    start_sample: int
    end_sample: int | None = None
    energy: float = 0.0


@dataclass(slots=True)
class RoomTurn:
    number: int
    speaker: str
    confidence: float
    final: bool
    reason: str = ""
    members: dict[Key, Member] = field(default_factory=dict)

    @property
    def best(self) -> Key:
        """The microphone with the most energy; of equal ones, the first to hear the turn."""
        return max(self.members, key=lambda key: (self.members[key].energy, -self.members[key].start_sample, -key[0]))

    @property
    def channel(self) -> int:
        return self.best[0]

    @property
    def start_sample(self) -> int:
        return min(member.start_sample for member in self.members.values())

    def followed_by(self, key: Key) -> bool:
        """Whether the turn had ended at all other microphones when it began at this one."""
        start = self.members[key].start_sample
        ends = [member.end_sample for other, member in self.members.items() if other != key]
        return bool(ends) and all(end is not None and end <= start for end in ends)

    @property
    def end_sample(self) -> int | None:
        """None while the turn goes on at any microphone."""
        ends = [member.end_sample for member in self.members.values()]
        return None if None in ends else max(end for end in ends if end is not None)


class RoomTurns:
    """Takes the events of all channels' trackers and returns those of the room."""

    def __init__(self, channels: int, bridge_s: float = 0.5) -> None:
        self._bridge = round(bridge_s * SAMPLE_RATE) if channels > 1 else 0
        self._open: dict[int, RoomTurn] = {}
        self._of: dict[Key, RoomTurn] = {}
        self._numbers: dict[Key, int] = {}
        self._given = 0

    @property
    def open(self) -> list[RoomTurn]:
        """Turns that are open, or have just ended."""
        return list(self._open.values())

    def add_energy(self, channel: int, turn: int, energy: float) -> None:
        """Add energy of a turn's voice on a channel."""
        if (room_turn := self._of.get((channel, turn))) is not None:
            room_turn.members[channel, turn].energy += energy

    def hear(self, channel: int, event: Event, energy: float = 0.0) -> Iterator[Event]:
        """Process an event of a turn on a channel; `energy` is the turn's energy there so far."""
        if isinstance(event, Correction) and (channel, event.turn) in self._of:
            yield from self._correct(channel, event)
        elif isinstance(event, Naming):
            yield from self._name(channel, event, energy)
        elif isinstance(event, Ambiguous):
            yield from self._ambiguous(channel, event)
        elif isinstance(event, TurnEnd):
            self._end(channel, event)
            if not self._bridge:
                yield from self.close(event.decided_sample)
        elif isinstance(event, Renamed):
            for turn in self._open.values():
                turn.speaker = event.speaker if turn.speaker == event.previous else turn.speaker
            yield event
        else:
            yield replace(event, channel=channel)

    def close(self, heard_sample: int, *, everything: bool = False) -> Iterator[Event]:
        """End the turns that ended everywhere, long enough ago. heard_sample: the end of the processed audio."""
        over = [
            turn
            for turn in self._open.values()
            if turn.end_sample is not None and (everything or heard_sample >= turn.end_sample + self._bridge)
        ]
        for turn in sorted(over, key=lambda turn: (turn.end_sample or 0, turn.number)):
            yield from self._close(turn, heard_sample)

    def _name(self, channel: int, event: Naming, energy: float) -> Iterator[Event]:
        key = (channel, event.turn)
        turn = self._of.get(key)
        if turn is None and (turn := self._same(channel, event.speaker, event.sample)) is not None:
            turn.members[key] = Member(event.sample, energy=energy)
            self._of[key] = turn
        elif turn is None:
            turn = RoomTurn(self._number(key), event.speaker, event.confidence, event.final)
            turn.members[key] = Member(event.sample, energy=energy)
            self._of[key] = self._open[turn.number] = turn
            yield replace(event, turn=turn.number, channel=channel)
        elif turn.best == key and not (turn.final and turn.speaker == event.speaker):
            turn.confidence, turn.final = event.confidence, event.final
            yield replace(event, turn=turn.number, channel=channel)

    def _same(self, channel: int, speaker: str, sample: int) -> RoomTurn | None:
        """The turn of this speaker on another channel that is open, or ended a moment ago."""
        for turn in self._open.values():
            ends = [member.end_sample for key, member in turn.members.items() if key[0] != channel]
            if turn.speaker == speaker and any(end is None or sample <= end + self._bridge for end in ends):
                return turn
        return None

    def _correct(self, channel: int, event: Correction) -> Iterator[Event]:
        key = (channel, event.turn)
        turn = self._of[key]
        if event.speaker != turn.speaker and turn.followed_by(key):
            yield from self._part(key, event)
            return
        if turn.best != key:
            return  # another microphone, where the voice is louder, decides
        previous, known = turn.speaker, self._same(channel, event.speaker, event.sample)
        turn.speaker, turn.confidence, turn.final = event.speaker, event.confidence, event.final
        if previous != event.speaker:
            yield replace(event, turn=turn.number, previous=previous, channel=channel)
        if known is not None and known is not turn:
            yield from self._join(turn, known, event.decided_sample)

    def _part(self, key: Key, event: Correction) -> Iterator[Event]:
        """A turn seemed to go on at another microphone, but somebody else speaks there: name them as any other."""
        member = self._of.pop(key).members.pop(key)
        naming = Unknown if is_stranger(event.speaker) else Speaker
        values = {item.name: getattr(event, item.name) for item in fields(naming)}
        yield from self._name(key[0], naming(**values), member.energy)

    def _join(self, turn: RoomTurn, known: RoomTurn, heard_sample: int) -> Iterator[Event]:
        """A turn turns out to be part of another one: it ends empty."""
        for key, member in turn.members.items():
            known.members[key] = member
            self._of[key] = known
        del self._open[turn.number]
        yield TurnEnd(
            sample=turn.start_sample,
            start_sample=turn.start_sample,
            decided_sample=heard_sample,
            turn=turn.number,
            speaker=turn.speaker,
            confidence=turn.confidence,
            reason=f"the same voice as turn {known.number}",
            channel=turn.channel,
        )

    def _ambiguous(self, channel: int, event: Ambiguous) -> Iterator[Event]:
        if any(turn.speaker in event.candidates and turn.channel != channel for turn in self._open.values()):
            return  # one of the candidates is known to speak, at another microphone
        yield replace(event, turn=self._number((channel, event.turn)), channel=channel)

    def _end(self, channel: int, event: TurnEnd) -> None:
        key = (channel, event.turn)
        if (turn := self._of.get(key)) is None:
            return
        member = turn.members[key]
        member.start_sample, member.end_sample = event.start_sample, event.sample
        if turn.best == key:
            turn.speaker, turn.confidence, turn.reason = event.speaker, event.confidence, event.reason

    def _close(self, turn: RoomTurn, heard_sample: int) -> Iterator[Event]:
        del self._open[turn.number]
        for key in turn.members:
            del self._of[key]
            self._numbers.pop(key, None)
        assert turn.end_sample is not None
        yield TurnEnd(
            sample=turn.end_sample,
            start_sample=turn.start_sample,
            decided_sample=heard_sample,
            turn=turn.number,
            speaker=turn.speaker,
            confidence=turn.confidence,
            reason=turn.reason,
            channel=turn.channel,
        )

    def _number(self, key: Key) -> int:
        if key not in self._numbers:
            self._given += 1
            self._numbers[key] = self._given
        return self._numbers[key]
