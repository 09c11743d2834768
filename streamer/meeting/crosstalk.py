"""Crosstalk: tells a microphone's own speaker from the speech that it picks up from another seat.

Two kinds of evidence say that microphone c picks up what d hears better, and their log-likelihood ratios add up:

- Level. People at their own microphones are about equally loud there; speech from another seat arrives weaker.
- Voice. The same windows of both channels hold one voice or two, by the calibrated score of their embeddings.

The evidence of the previous step counts half, so that one syllable does not change the decision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from streamer.engine.window import Step, Window
    from streamer.speakers.backend import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossTalkSettings:
    """own_db: standard deviation of the level difference between two people at their own microphones.

    leak_db, leak_spread_db: how much weaker speech arrives at other seats: the mean and its standard deviation.
    stay_db: how much louder another microphone must be to take over a voice that both pick up.
    carry: the weight of the previous step's evidence. speech_s: steps with less speech are ignored.
    """

    own_db: float = 8.0
    leak_db: float = 12.0
    leak_spread_db: float = 6.0
    stay_db: float = 3.0
    carry: float = 0.5
    speech_s: float = 0.05

    def __post_init__(self) -> None:
        if min(self.own_db, self.leak_db, self.leak_spread_db) <= 0:
            raise ConfigurationError("own_db, leak_db and leak_spread_db must be more than 0 dB.")
        if not 0 <= self.carry < 1:
            raise ConfigurationError(f"carry={self.carry} must be 0 or more and less than 1.")

    def level_evidence(self, louder_db: float) -> float:
        """Log-likelihood ratio (nats) of crosstalk, if the other microphone is louder by this much."""
        # A larger loss than usual is no weaker evidence than the usual loss.
        short = max(0.0, self.leak_db - louder_db) / self.leak_spread_db
        own = louder_db / self.own_db
        return own**2 / 2 - short**2 / 2 + math.log(self.own_db / self.leak_spread_db)


class CrossTalk:
    """The decisions of one room, step by step.

    gains_db: added to each channel's level before levels are compared, for microphones that differ in gain.
    """

    def __init__(
        self,
        channels: int,
        backend: Backend,
        settings: CrossTalkSettings | None = None,
        gains_db: tuple[float, ...] | None = None,
    ) -> None:
        self.settings = settings or CrossTalkSettings()
        self._backend = backend
        self._gains_db = gains_db or (0.0,) * channels
        if len(self._gains_db) != channels:
            raise ConfigurationError(f"{len(self._gains_db)} gains for {channels} channels; give one for each.")
        #: (channel, other) -> the previous step's evidence that the channel picks up the other's speech.
        self._evidence: dict[tuple[int, int], float] = {}
        self._own: set[int] = set()

    def overheard(self, steps: Mapping[int, Step]) -> dict[int, int]:
        """Among channels with a step each for the same time: which only pick up crosstalk, and from which channel."""
        speaking = [
            number for number, step in steps.items() if speech_seconds(step) >= self.settings.speech_s
        ]  # in silence, all microphones pick up the same noise
        loudness = {number: self._loudness(number, steps[number]) for number in speaking}
        # The microphone that had a voice keeps it against one that is only a little louder.
        bonus = {number: self.settings.stay_db * (number in self._own) for number in speaking}
        order = sorted(speaking, key=lambda number: (-loudness[number] - bonus[number], number))
        own: list[int] = []
        leaks: dict[int, int] = {}
        evidence: dict[tuple[int, int], float] = {}
        for number in order:
            for other in own:
                found = self._weigh(number, other, steps, loudness[other] - loudness[number])
                evidence[number, other] = found
            source = max(own, key=lambda other: evidence[number, other], default=None)
            if source is not None and evidence[number, source] > 0:
                leaks[number] = source
            else:
                own.append(number)
        self._evidence, self._own = evidence, set(own)
        return leaks

    def _weigh(self, number: int, other: int, steps: Mapping[int, Step], louder_db: float) -> float:
        before = self._evidence.get((number, other), 0.0)
        voice = self._one_voice(steps[number], steps[other])
        return self.settings.level_evidence(louder_db) + voice + self.settings.carry * float(np.clip(before, -4, 4))

    def _one_voice(self, one: Step, other: Step) -> float:
        """Log-likelihood ratio that the shortest windows of two channels hold one voice; 0 if one of them is
        missing."""
        if not one.windows or not other.windows:
            return 0.0
        return one_voice(one.windows[0], other.windows[0], self._backend)

    def _loudness(self, number: int, step: Step) -> float:
        # Digital silence would make the difference infinite.
        return max(step.level_db, -120.0) + self._gains_db[number]


def one_voice(one: Window, other: Window, backend: Backend) -> float:
    """Log-likelihood ratio (nats) that two windows hold the same voice."""
    _, llr = backend.compare(
        one.embedding[None], np.array([one.speech_s]), other.embedding[None], np.array([other.speech_s])
    )
    return float(llr[0, 0])


def speech_seconds(step: Step) -> float:
    """Seconds of speech in a step's new frames; without a detector, all of their time."""
    if step.speech_s is not None:
        return step.speech_s
    return step.grid.seconds(step.num_frames)
