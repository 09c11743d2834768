"""Evaluation of speech detection: frame by frame, against a reference of who speaks when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.incremental import IncrementalModel
from streamer.evaluation.identification import STEP
from streamer.evaluation.recordings import Recording
from streamer.evaluation.stream import steps_of
from streamer.models.grid import FrameGrid
from streamer.speakers.boundaries import SpeechBoundaries
from streamer.speakers.settings import STEP_S, TrackerSettings
from streamer.speakers.steps import HeardStep, frame_speech


@dataclass(frozen=True, slots=True)
class DetectedRecording:
    """The output of a detector for one recording.

    probabilities, samples: (frames,), of the frames from `first_frame` on, and the first sample of each.
    grid: of the frames. spoken: for each step of 10 ms, whether anybody speaks.
    """

    probabilities: NDArray[np.float32]
    samples: NDArray[np.int64]
    first_frame: int
    grid: FrameGrid
    spoken: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Detection:
    """auc: of the frames' probabilities. missed, false_alarm: of the detected stretches of speech, as shares of the
    speech in the reference. seconds: of that speech."""

    auc: float
    missed: float
    false_alarm: float
    seconds: float


def listen(engine: IncrementalModel, recordings: Sequence[Recording]) -> tuple[list[DetectedRecording], float]:
    """The probabilities of an engine's detector for each frame; and the seconds of computing for a second of audio,
    network included."""
    heard, audio_s, began = [], 0.0, time.process_time()
    for one in recordings:
        spoken = np.zeros(len(one.samples) // STEP + 1, bool)
        for start, end, _ in one.turns:
            spoken[round(start / STEP) : round(end / STEP)] = True
        probabilities, samples, first = [], [], None
        for step in steps_of(engine, one.samples, STEP_S):
            speech = frame_speech(step, TrackerSettings().silence_db)
            kept = HeardStep.of(step, speech)
            first = step.first_frame if first is None else first
            probabilities.append(speech)
            samples.append(np.linspace(kept.start_sample, kept.end_sample, len(speech), endpoint=False, dtype=int))
        heard.append(
            DetectedRecording(
                np.concatenate(probabilities), np.concatenate(samples), first or 0, engine.model.grid, spoken
            )
        )
        audio_s += len(one.samples) / SAMPLE_RATE
    return heard, (time.process_time() - began) / max(audio_s, 1e-9)


def detect(heard: Sequence[DetectedRecording], settings: TrackerSettings) -> Detection:
    """The accuracy of the detector, with the thresholds of these settings."""
    missed = false_alarm = total = 0
    for one in heard:
        found = np.zeros_like(one.spoken)
        boundaries = SpeechBoundaries(
            settings.speech_onset, settings.speech_offset, settings.min_speech_s, settings.min_silence_s
        )
        since = 0
        for boundary in boundaries.update(one.grid, one.first_frame, one.probabilities):
            if not boundary.starts:
                found[since // STEP : boundary.sample // STEP] = True
            since = boundary.sample
        if boundaries.speaking:
            found[since // STEP :] = True
        missed += int((one.spoken & ~found).sum())
        false_alarm += int((found & ~one.spoken).sum())
        total += int(one.spoken.sum())
    places = [one.spoken[np.minimum(one.samples // STEP, len(one.spoken) - 1)] for one in heard]
    rank = auc(np.concatenate([one.probabilities for one in heard]), np.concatenate(places))
    return Detection(rank, missed / max(1, total), false_alarm / max(1, total), total * STEP / SAMPLE_RATE)


def auc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """The share of pairs of a positive and a negative in which the positive has the higher score; ties count half."""
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
