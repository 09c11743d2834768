"""The enrolment coach: listens to a person who enrols, reports progress, and finds problems that would spoil the
profile.

No I/O: it takes samples and the engine's steps, and returns findings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import Samples
from streamer.engine.window import Step
from streamer.speakers.backend import Backend
from streamer.speakers.profiles import Exemplar, Profile, Roster, Vector, centroid, unit
from streamer.speakers.recording import EnrolmentRecording
from streamer.speakers.scoring import effective_seconds
from streamer.speakers.steps import Embed, Pool

Code = Literal["too_short", "too_quiet", "clipped", "noisy", "two_voices", "inconsistent_with_profile", "same_as_other"]

ADVICE: dict[Code, str] = {
    "too_short": "speak on for a while",
    "too_quiet": "come closer to the microphone, or raise its level",
    "clipped": "lower the microphone's level, or step back from it",
    "noisy": "find a quieter place, or come closer to the microphone",
    "two_voices": "let only one person speak",
    "inconsistent_with_profile": "check that this is the same person; if so, enrol again with --force",
    "same_as_other": "check the name; if it is the same person, use that name, or merge the two afterwards",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentSettings:
    """Thresholds of the coach.

    wanted_s: seconds of speech for a good profile. minimum_s: less is refused, unless forced.
    least_s: less is refused in any case, because it is too little for any voice.

    quiet_db: speech below this level (dB below full scale) is refused. clipped: the share of the speech's samples at
    full scale above which it is refused. snr_db: the signal-to-noise ratio below which it is refused.
    exemplar_s: approximate seconds of speech in one exemplar.
    stretch_s: seconds of speech that are enough to tell voices apart within an enrolment.
    sure: log-likelihood ratio (nats) above which two voices are the same, or, negated, below which they are different.
    """

    wanted_s: float = 10.0
    minimum_s: float = 4.0
    least_s: float = 1.0
    quiet_db: float = -60.0
    clipped: float = 0.005
    snr_db: float = 3.0
    exemplar_s: float = 8.0
    stretch_s: float = 2.0
    sure: float = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with this enrolment: a code, the measured value, its limit, and a message for people.

    value, limit: for the similarity of voices, log-likelihood ratios (nats); for the sound, in the message's units.
    """

    code: Code
    value: float
    limit: float
    message: str

    @property
    def advice(self) -> str:
        return ADVICE[self.code]


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an enrolment. share: of the wanted speech, 0 to 1. level_db: of the last step."""

    speech_s: float
    share: float
    level_db: float
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of an enrolment: its problems, and the exemplars to keep."""

    findings: tuple[Finding, ...]
    exemplars: tuple[Exemplar, ...]
    speech_s: float
    snr_db: float

    @property
    def accepted(self) -> bool:
        return not self.findings


@dataclass
class Coach:
    """One enrolment.

    backend: see `Backend.of`. embed: `Model.embed`; None in `exact` mode. others: all enrolled speakers, with or
    without this one. profile: the existing profile of this speaker, or None.
    """

    backend: Backend
    embed: Embed | None
    others: Roster
    profile: Profile | None = None
    settings: EnrolmentSettings = field(default_factory=EnrolmentSettings)
    source: str = ""

    def __post_init__(self) -> None:
        self._recordings: list[EnrolmentRecording] = []
        self.begin_recording()

    @property
    def speech_s(self) -> float:
        return sum(step.speech_s for recording in self._recordings for step in recording.steps)

    def begin_recording(self) -> None:
        """Another recording follows: positions count from 0 again."""
        self._recordings.append(EnrolmentRecording())

    def hear(self, samples: Samples) -> None:
        """Process the samples, in order, in chunks of any size, to measure level, noise and clipping."""
        self._recordings[-1].hear(samples)

    def step(self, step: Step) -> Progress:
        """Process the engine's results for these samples."""
        self._recordings[-1].step(step)
        speech_s = self.speech_s
        return Progress(
            speech_s, min(1.0, speech_s / self.settings.wanted_s), step.level_db, tuple(self._sound_findings())
        )

    def verdict(self) -> Verdict:
        """Finish the enrolment: the exemplars to keep, and the problems found."""
        findings = self._sound_findings()
        speech_s = self.speech_s
        if speech_s < self.settings.minimum_s:
            message = f"{speech_s:.1f} s of speech; a profile needs at least {self.settings.minimum_s:g} s"
            findings.insert(0, Finding("too_short", speech_s, self.settings.minimum_s, message))
        snr_db = self._levels()[1]
        enough = speech_s >= self.settings.least_s
        exemplars = [
            Exemplar(embedding, seconds, round(snr_db, 1), 0.0, self.source)
            for embedding, seconds in (self._embeddings(self.settings.exemplar_s) if enough else ())
        ]
        if exemplars:
            findings += self._two_voices() + self._against_profiles(exemplars)
        return Verdict(tuple(findings), tuple(exemplars), speech_s, snr_db)

    # Problems with the sound

    def _levels(self) -> tuple[float, float]:
        """The level of the speech (dB below full scale), and its ratio to the noise between words (dB)."""
        energy, speech = (
            np.concatenate(values) for values in zip(*(r.levels() for r in self._recordings), strict=True)
        )
        spoken, silent = energy[speech >= 0.5], energy[speech < 0.2]
        if not len(spoken):
            return -120.0, 0.0
        # If there are hardly any pauses, use the quietest tenth as the noise.
        noise = float(np.median(silent)) if len(silent) >= 10 else float(np.quantile(energy, 0.1))
        loud = float(np.mean(spoken))
        ratio = max(loud - noise, 1e-12) / max(noise, 1e-12)
        return float(10 * np.log10(max(loud, 1e-12))), float(10 * np.log10(ratio))

    def _sound_findings(self) -> list[Finding]:
        settings = self.settings
        if self.speech_s < 1.0:
            return []
        found = []
        level, snr = self._levels()
        clipped = sum(r.clipped for r in self._recordings) / max(1, sum(r.samples for r in self._recordings))
        if level < settings.quiet_db:
            message = f"speech at {level:.0f} dB below full scale; at least {settings.quiet_db:g} is needed"
            found.append(Finding("too_quiet", level, settings.quiet_db, message))
        if clipped > settings.clipped:
            message = f"{clipped:.1%} of the samples are at full scale; at most {settings.clipped:.1%} may be"
            found.append(Finding("clipped", clipped, settings.clipped, message))
        if snr < settings.snr_db:
            message = f"{snr:.0f} dB between speech and noise; at least {settings.snr_db:g} are needed"
            found.append(Finding("noisy", snr, settings.snr_db, message))
        return found

    # Problems with the voice

    def _embeddings(self, least_s: float) -> list[tuple[Vector, float]]:
        """Embeddings of consecutive stretches, each with about `least_s` seconds of speech."""
        pooled = [
            Pool.of(steps, steps[0].start_sample).embedding(self.embed)
            for recording in self._recordings
            for steps in recording.stretches(least_s)
        ]
        return [found for found in pooled if found is not None]

    def _two_voices(self) -> list[Finding]:
        """Check whether the enrolment splits into two parts that do not sound like one speaker.

        The parts are the best split of its stretches by 2-means on directions, each with at least two stretches. They
        are judged by the mean evidence between a stretch of one part and a stretch of the other. The centroids of the
        parts would look too far apart, because the split was chosen to separate them.
        """
        stretches = self._embeddings(self.settings.stretch_s)
        if len(stretches) < 4:
            return []
        directions = unit(np.stack([embedding for embedding, _ in stretches]))
        seconds = np.array([s for _, s in stretches])
        scores, llr = self.backend.compare(directions, seconds, directions, seconds)
        first, second = np.unravel_index(int(np.argmin(scores)), scores.shape)
        side = scores[first] >= scores[second]
        for _ in range(10):
            if min(side.sum(), (~side).sum()) < 2:
                return []
            one, other = (unit((directions[part] * seconds[part, None]).sum(0)) for part in (side, ~side))
            side = directions @ one >= directions @ other
        if min(side.sum(), (~side).sum()) < 2:
            return []
        evidence = float(llr[np.ix_(side, ~side)].mean())
        if evidence > -self.settings.sure:
            return []
        parts = sorted([float(seconds[side].sum()), float(seconds[~side].sum())])
        message = f"{parts[0]:.0f} s and {parts[1]:.0f} s of this sound like two different people"
        return [Finding("two_voices", evidence, -self.settings.sure, message)]

    def _against_profiles(self, exemplars: list[Exemplar]) -> list[Finding]:
        found = []
        voice, speech_s = centroid(exemplars)[None], np.array([sum(exemplar.speech_s for exemplar in exemplars)])
        if self.profile is not None and self.profile.exemplars:
            known_s = np.array([self.profile.speech_s])
            (score,), (llr,) = (
                v[0] for v in self.backend.compare(voice, speech_s, self.profile.centroid[None], known_s)
            )
            if llr < 0:
                message = f"this does not sound like {self.profile.name} so far (similarity {score:.2f})"
                found.append(Finding("inconsistent_with_profile", float(llr), 0.0, message))
        mine = None if self.profile is None else self.others.index(self.profile.name)
        count = len(self.others) - (mine is not None)
        if count:
            scores, llr = self._others(voice, speech_s)
            if mine is not None:
                llr[mine] = -np.inf
            closest = int(np.argmax(llr))
            # Among many other speakers, one is fairly close by chance.
            sure = self.settings.sure + float(np.log(count))
            if llr[closest] > sure:
                score, name = scores[closest], self.others.names[closest]
                message = f"this sounds like {name}, who is enrolled (similarity {score:.2f})"
                found.append(Finding("same_as_other", float(llr[closest]), sure, message))
        return found

    def _others(self, voice: Vector, speech_s: NDArray[np.floating]) -> tuple[Vector, Vector]:
        """Scores and log-likelihood ratios of a voice (1, dimension) against all enrolled speakers: (others,) each."""
        scores, cohort = self.others.scores(voice), self.backend.cohort
        mine = theirs = None
        if cohort is not None:
            mine, theirs = cohort.norms(voice)[:, None], self.others.norms(cohort)
        llr = self.backend.llr(scores, effective_seconds(speech_s[:, None], self.others.speech_s), mine, theirs)
        return scores[0], llr[0]
