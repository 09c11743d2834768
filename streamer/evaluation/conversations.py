"""Simulated conversations from recordings of single speakers, with a reference of who speaks when.

Speech is detected in the recordings before they are mixed and disturbed. Each speaker has a place in a room (an
impulse response of decaying noise behind the direct sound) and a level. Turns, pauses and overlaps are drawn, and
noise is added to the mixture. All random numbers come from one seed.

There are two kinds. With separate rooms, speakers have little in common except their voices. With a shared channel
(`Plan.of_rooms`), all are recorded in one room, by one microphone, through one codec, as people who meet; enrolments
are recorded over the same channel, or over another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError
from streamer.evaluation.manifest import Utterance, read_audio
from streamer.evaluation.rooms import AcousticChannel
from streamer.evaluation.spoken import SampleRange, speech_stretches, without_short_pauses
from streamer.rttm import LabelledTurn

Wave = NDArray[np.float32]


class Excerpt(Protocol):
    """A recording that is not a separate file."""

    def read(self) -> Wave: ...


SPEECH_RMS = 0.05
#: The length of short turns, in seconds.
SHORT_S = (0.4, 1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The distribution of conversations; ranges are uniform.

    enrolled: the share of the speakers who are enrolled. absent: the number of enrolled people who do not speak.
    overlap: the largest share of the speech in which two speak at once.
    snr_db: noise relative to the average speaker. reverberation_s: RT60 of the room. level_db: between speakers.
    shared: whether all voices share a channel. short: the share of turns that last no longer than a word or two.
    condition: of the shared channel, by name; None draws one.
    enrolled_over: whether enrolments are recorded over the channel of the conversation, or over another one, with
        `enrol_condition`.
    """

    seconds: float = 90.0
    speakers: tuple[int, int] = (2, 6)
    enrolled: float = 0.65
    absent: int = 2
    enrolment_s: float = 12.0
    turn_s: tuple[float, float] = (1.0, 15.0)
    pause_s: tuple[float, float] = (0.1, 2.0)
    overlap: float = 0.15
    snr_db: tuple[float, float] = (5.0, 30.0)
    reverberation_s: tuple[float, float] = (0.15, 0.6)
    level_db: float = 5.0
    shared: bool = False
    short: float = 0.0
    condition: str | None = None
    enrolled_over: Literal["same", "other"] = "same"
    enrol_condition: str | None = None

    @classmethod
    def of_rooms(cls, seconds: float = 90.0, **changes: object) -> Plan:
        """Conversations whose voices share a channel, with as many short turns as in meetings."""
        return replace(cls(seconds=seconds, shared=True, short=0.3), **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Conversation:
    """samples: (n,). turns: whose turn it is; speech: the same without the pauses inside turns.
    enrolment: samples to enrol each enrolled speaker from, who may be absent. snr_db: of the noise.
    channel, enrolled_over: the conditions of the shared channel and of the enrolments; "" without a shared channel.
    """

    name: str
    samples: Wave
    turns: tuple[LabelledTurn, ...]
    speech: tuple[LabelledTurn, ...]
    enrolment: dict[str, Wave]
    snr_db: float
    channel: str = ""
    enrolled_over: str = ""


@dataclass(frozen=True, slots=True)
class Voices:
    """Recordings to draw from: enough utterances for each speaker. noise: samples to add, any length."""

    speakers: Mapping[str, Sequence[Path | Excerpt]]
    noise: Wave
    #: Speech in each recording: recordings are drawn many times, and detection costs more than decoding.
    _spoken: dict[Path | Excerpt, list[SampleRange]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, root: Path, utterances: Sequence[Utterance], noise: Wave, least: int = 5) -> Voices:
        """Speakers with at least `least` utterances. Raises ConfigurationError if there are fewer than three."""
        speakers: dict[str, list[Path]] = {}
        for utterance in utterances:
            speakers.setdefault(utterance.speaker, []).append(root / utterance.path)
        enough = {name: sorted(paths) for name, paths in sorted(speakers.items()) if len(paths) >= least}
        if len(enough) < 3:
            raise ConfigurationError(
                f"{len(enough)} speakers have {least} utterances or more; conversations need at least 3 such speakers."
            )
        return cls(enough, noise)

    def utter(self, path: Path | Excerpt) -> tuple[Wave, list[SampleRange]]:
        """A recording at a common level, without the silence before and after its speech; and its stretches of
        speech."""
        wave = read_audio(path) if isinstance(path, Path) else path.read()
        if path not in self._spoken:
            self._spoken[path] = speech_stretches(wave)
        stretches = self._spoken[path]
        first, last = stretches[0][0], stretches[-1][1]
        wave = wave[first:last]
        levelled = wave * (SPEECH_RMS / max(float(np.sqrt(np.mean(wave**2))), 1e-6))
        return np.asarray(levelled, np.float32), [(start - first, end - first) for start, end in stretches]


def converse(voices: Voices, plan: Plan, seed: int) -> Conversation:
    """One conversation."""
    rng = np.random.default_rng(seed)
    names = list(voices.speakers)
    count = min(int(rng.integers(plan.speakers[0], plan.speakers[1] + 1)), len(names) - 1)
    chosen = [names[i] for i in rng.permutation(len(names))]
    present, rest = chosen[:count], chosen[count:]
    # At least one speaker is enrolled; the others are by chance.
    known = [name for place, name in enumerate(present) if place == 0 or rng.random() < plan.enrolled]
    enrolment: dict[str, Wave] = {}
    lines: dict[str, list[Path | Excerpt]] = {}
    for name in known + rest[: plan.absent]:
        enrolment[name], lines[name] = _enrolment(voices, name, plan.enrolment_s, rng)
    for name in present:
        lines.setdefault(name, list(voices.speakers[name]))
    # A separate generator for channels keeps the draws of conversations without a shared channel unchanged.
    over = np.random.default_rng([seed, 1])
    channel = AcousticChannel.drawn(over, plan.reverberation_s, plan.condition) if plan.shared else None
    mix, turns, speech = _floor(voices, lines, present, plan, rng, channel)
    snr_db = float(rng.uniform(*plan.snr_db))
    mix += _noise(voices.noise, len(mix), rng) * np.float32(SPEECH_RMS * 10 ** (-snr_db / 20))
    loudest = float(np.abs(mix).max())
    made = Conversation(f"conversation-{seed}", mix / max(1.0, loudest), tuple(turns), tuple(speech), enrolment, snr_db)
    return made if channel is None else _over(made, channel, voices, plan, over)


def _over(
    made: Conversation, channel: AcousticChannel, voices: Voices, plan: Plan, rng: np.random.Generator
) -> Conversation:
    """A conversation as recorded over a channel, with its enrolments over the same channel or another."""
    other = channel
    if plan.enrolled_over == "other":
        other = AcousticChannel.drawn(rng, plan.reverberation_s, plan.enrol_condition)
    quiet_db = float(rng.uniform(*plan.snr_db)) if plan.enrolled_over == "other" else made.snr_db
    enrolment = {}
    for name, dry in made.enrolment.items():
        wet = oaconvolve(dry, other.place(rng))[: len(dry)].astype(np.float32)
        wet += _noise(voices.noise, len(wet), rng) * np.float32(SPEECH_RMS * 10 ** (-quiet_db / 20))
        enrolment[name] = other.hear(wet, rng)
    return replace(
        made,
        samples=channel.hear(made.samples, rng),
        enrolment=enrolment,
        channel=channel.condition,
        enrolled_over=other.condition,
    )


def _enrolment(
    voices: Voices, name: str, seconds: float, rng: np.random.Generator
) -> tuple[Wave, list[Path | Excerpt]]:
    """Enough speech to enrol a speaker, and the utterances that are left for the conversation."""
    paths = voices.speakers[name]
    order = [paths[i] for i in rng.permutation(len(paths))]
    pieces: list[Wave] = []
    while order and sum(map(len, pieces)) < seconds * SAMPLE_RATE and len(order) > len(paths) // 3:
        pieces.append(voices.utter(order.pop())[0])
    return np.concatenate(pieces), order


def _floor(
    voices: Voices,
    lines: dict[str, list[Path | Excerpt]],
    present: list[str],
    plan: Plan,
    rng: np.random.Generator,
    channel: AcousticChannel | None,
) -> tuple[Wave, list[LabelledTurn], list[LabelledTurn]]:
    rooms = {
        name: channel.place(rng) if channel else _room(rng.uniform(*plan.reverberation_s), rng) for name in present
    }
    levels = {name: 10 ** (rng.uniform(-plan.level_db, plan.level_db) / 20) for name in present}
    end = round(plan.seconds * SAMPLE_RATE)
    mix = np.zeros(end + 2 * SAMPLE_RATE, np.float32)
    turns: list[LabelledTurn] = []
    speech: list[LabelledTurn] = []
    position, before, overlapped, spoken = SAMPLE_RATE // 2, "", 0, 0
    while position < end - SAMPLE_RATE:
        others = [name for name in present if name != before] or present
        name = others[int(rng.integers(len(others)))]
        short = plan.short > 0 and rng.random() < plan.short
        length = min(rng.uniform(*(SHORT_S if short else plan.turn_s)) * SAMPLE_RATE, end - position)
        dry, stretches = _speak(voices, lines[name], round(length), rng)
        start = position
        # A turn may start early, until the share of overlap is reached.
        early = round(min(rng.uniform(0.2, 1.5) * SAMPLE_RATE, len(dry) / 2))
        if turns and rng.random() < plan.overlap * 2 and overlapped + early < plan.overlap * spoken:
            start = max(turns[-1][0], turns[-1][1] - early)
            overlapped += turns[-1][1] - start
        wet = oaconvolve(dry, rooms[name])[: len(mix) - start].astype(np.float32) * np.float32(levels[name])
        mix[start : start + len(wet)] += wet
        turns.append((start, start + len(dry), name))
        speech += [(start + a, start + b, name) for a, b in stretches]
        spoken += len(dry)
        position = max(position, start + len(dry)) + round(rng.uniform(*plan.pause_s) * SAMPLE_RATE)
        before = name
    return mix, turns, speech


def _speak(
    voices: Voices, paths: list[Path | Excerpt], samples: int, rng: np.random.Generator
) -> tuple[Wave, list[SampleRange]]:
    """This many samples of one speaker's utterances, in order, the last one cut; and the stretches of speech in
    them."""
    pieces: list[Wave] = []
    stretches: list[SampleRange] = []
    length = 0
    while length < samples:
        wave, spoken = voices.utter(paths[int(rng.integers(len(paths)))])
        gap = np.zeros(round(rng.uniform(0.05, 0.25) * SAMPLE_RATE), np.float32)
        stretches += [(length + start, min(length + end, samples)) for start, end in spoken if length + start < samples]
        pieces += [wave, gap]
        length += len(wave) + len(gap)
    return np.concatenate(pieces)[:samples], without_short_pauses(stretches)


def _room(rt60_s: float, rng: np.random.Generator) -> Wave:
    """The direct sound, and a decaying tail 3 to 12 dB below it, from 3 ms on."""
    time = np.arange(1, round(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / rt60_s) * (time > 0.003)
    tail *= 10 ** (-rng.uniform(3, 12) / 20) / np.sqrt(np.sum(tail**2))
    return np.concatenate([[1.0], tail]).astype(np.float32)


def _noise(noise: Wave, samples: int, rng: np.random.Generator) -> Wave:
    """This many samples of the noise at an RMS of one, from a random place and repeated; white noise without any."""
    if not len(noise):
        return rng.standard_normal(samples).astype(np.float32)
    looped = np.resize(np.roll(noise, -int(rng.integers(len(noise)))), samples)
    return np.asarray(looped / max(float(np.sqrt(np.mean(looped**2))), 1e-9), np.float32)
