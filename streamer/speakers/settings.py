"""The settings of the tracker, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from streamer.errors import ConfigurationError

#: The window lengths of enrolment and tracking, and the step, in seconds.
DURATIONS = (1.0, 3.0)
STEP_S = 0.5

PROBABILITIES = (
    *("speech_onset", "speech_offset", "overlap_onset", "overlap_offset", "overlap_sure", "overlap_unknown"),
    *("unknown_prior", "resume", "commit", "relabel", "settle", "switch"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """Settings of the tracker.

    The defaults were chosen on simulated conversations of speakers who were left out of the training of `sincnet`
    (`python -m streamer.training.tracking`). A model may include others: see `Backend.of`.

    speech_onset, speech_offset: the speech probability at which speech starts, and below which it ends.
    min_speech_s, min_silence_s: shorter bursts are not speech, and shorter pauses do not end it.
    silence_db: without a speech detector, sound above this level (dB below full scale) counts as speech.
    overlap_onset, overlap_offset: the probability that more than one speaks, averaged over `overlap_smooth_s`, at which
        an overlap starts, and below which it ends. overlap_s: the shortest overlap.
    overlap_near_s: a person who speaks within this time of an overlap may be the other voice in it.
    overlap_sure: the probability above which the other voice may be a person whose turn does not meet the overlap.
        overlap_unknown: the probability above which an unknown other voice gets a turn.
    overlap_settle_s: the time after its end at which the voices of an overlap become final.
    evidence_s: seconds of speech in a turn before it is named.
    unknown_prior: the prior probability that the speaker is not enrolled.
    resume: the probability that the speaker before a pause continues after it; fades over `pause_s`.
    commit: the posterior that names a turn. relabel: the same for a name that replaces another.
    settle, settle_s: the posterior and the seconds of speech that make a name final.
    naming_weight: the weight of the turn's log-likelihood ratio (1: as calibrated).
    short_rate, long_rate: the weight of a second of speech in the filter that detects a change of speaker, for the
        short and the long window. The windows overlap, so each second is in several of them.
    seed_s: up to this many seconds of speech, the filter follows the posterior of the whole turn.
    stay_s: the mean time that a person keeps speaking. switch: the posterior of another speaker that means a change.
    min_turn_s: a change this early in a turn corrects its name instead.
    ambiguous_s: seconds of speech after which a turn without a name is reported as ambiguous.
    guest_speech_s: seconds of speech that make an unknown voice a guest.
    max_guests, guest_forget_s: how many guests are kept, and for how long after they were last heard.
    guest_merge: the log-likelihood ratio (nats) at which a guest is the same as another guest or an enrolled speaker;
        earlier events are then renamed for good.
    guest_merge_s: seconds of speech that two guests each need before they can be merged.
    kept_steps: how many steps back a change of speaker can be placed.
    """

    speech_onset: float = 0.5
    speech_offset: float = 0.35
    min_speech_s: float = 0.2
    min_silence_s: float = 0.8
    silence_db: float = -60.0
    overlap_onset: float = 0.4
    overlap_offset: float = 0.3
    overlap_s: float = 0.02
    overlap_smooth_s: float = 0.4
    overlap_near_s: float = 15.0
    overlap_sure: float = 0.8
    overlap_unknown: float = 0.8
    overlap_settle_s: float = 2.0
    evidence_s: float = 0.3
    unknown_prior: float = 0.2
    resume: float = 0.2
    pause_s: float = 3.0
    commit: float = 0.55
    relabel: float = 0.6
    settle: float = 0.95
    settle_s: float = 3.0
    naming_weight: float = 1.6
    short_rate: float = 1.4
    long_rate: float = 0.3
    seed_s: float = 1.5
    stay_s: float = 12.0
    switch: float = 0.7
    min_turn_s: float = 1.0
    ambiguous_s: float = 2.5
    guest_speech_s: float = 1.5
    max_guests: int = 16
    guest_forget_s: float = 1800.0
    guest_merge: float = 1.0
    guest_merge_s: float = 2.5
    kept_steps: int = 12

    def __post_init__(self) -> None:
        check(asdict(self))
        if self.speech_offset > self.speech_onset:
            raise ConfigurationError(
                f"speech_offset={self.speech_offset} is above speech_onset={self.speech_onset}; it must not be."
            )
        if self.overlap_offset > self.overlap_onset:
            raise ConfigurationError(
                f"overlap_offset={self.overlap_offset} is above overlap_onset={self.overlap_onset}; it must not be."
            )
        if self.max_guests < 1 or self.kept_steps < 2:
            raise ConfigurationError("max_guests must be 1 or more, and kept_steps 2 or more.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check(values: Mapping[str, Any]) -> None:
    """Raises ConfigurationError if a setting is invalid regardless of the others."""
    for name, value in values.items():
        if name in PROBABILITIES and not 0 < value < 1:
            raise ConfigurationError(f"{name}={value} is not a probability between 0 and 1.")
        if name.endswith(("_s", "_rate", "_weight")) and not value >= 0:
            raise ConfigurationError(f"{name}={value} must not be negative.")
