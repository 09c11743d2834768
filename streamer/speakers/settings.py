"""The settings of the tracker, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from streamer.errors import ConfigurationError

#: The windows that enrolment and tracking look at, and how often, in seconds.
DURATIONS = (1.0, 3.0)
STEP_S = 0.5

PROBABILITIES = (
    *("speech_onset", "speech_offset", "overlap_onset", "overlap_offset", "overlap_sure", "overlap_unknown"),
    *("unknown_prior", "resume", "commit", "relabel", "settle", "switch"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """The defaults were chosen on simulated conversations of speakers whom the training of `sincnet` left out
    (`python -m streamer.training.tracking`). A model may bring others: see `Backend.of`.

    speech_onset, speech_offset: speech probability from which speech starts, and under which it ends.
    min_speech_s, min_silence_s: shorter bursts are not speech, and shorter pauses do not end it.
    silence_db: without a speech detector, sound above this level (dB below full scale) counts as speech.
    overlap_onset, overlap_offset: probability that more than one speaks, averaged over `overlap_smooth_s`, from which
        they do, and under which they no longer do. overlap_s: the shortest overlap.
    overlap_near_s: who speaks within this time of it may be the other of the two.
    overlap_sure: the probability from which the other may be somebody whose turn does not meet it. overlap_unknown: the
        probability from which the other has a turn though nobody knows who it is.
    overlap_settle_s: how long after its end it is final who they were.
    evidence_s: seconds of speech in a turn before it is given a name.
    unknown_prior: how probable it is, before anything was heard, that nobody enrolled speaks.
    resume: how probable it is that the speaker before a pause goes on after it; fades over `pause_s`.
    commit: posterior from which a turn is named. relabel: the same for a name that replaces another.
    settle, settle_s: posterior and seconds of speech from which a name is final.
    naming_weight: what the turn's log-likelihood ratio counts for (1: as calibrated).
    short_rate, long_rate: what a second of speech counts for in the filter that looks for a change of speaker, by
        the short and by the long window. The windows overlap, so each second is heard in several of them.
    seed_s: up to this many seconds of speech, the filter follows the posterior of the whole turn.
    stay_s: how long people speak on, on average. switch: posterior of another from which the speaker has changed.
    min_turn_s: a change so early in a turn corrects its name instead.
    ambiguous_s: seconds of speech after which a turn without a name is reported as ambiguous.
    guest_speech_s: seconds of speech that make an unknown voice a guest.
    max_guests, guest_forget_s: how many guests are kept, and for how long after they were last heard.
    guest_merge: log-likelihood ratio (nats) from which a guest is the same as another or as somebody enrolled:
        what was said before is renamed for good.
    guest_merge_s: seconds of speech that two guests need, each, to be found the same.
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
    overlap_sure: float = 0.6
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
    """Raises ConfigurationError for a setting whose value is wrong whatever the others are."""
    for name, value in values.items():
        if name in PROBABILITIES and not 0 < value < 1:
            raise ConfigurationError(f"{name}={value} is not a probability between 0 and 1.")
        if name.endswith(("_s", "_rate", "_weight")) and not value >= 0:
            raise ConfigurationError(f"{name}={value} must not be negative.")
