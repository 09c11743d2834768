"""Compares two recordings: are they of the same speaker? There is a verdict only if both have enough speech."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE, Samples
from streamer.audio.decode import file_name
from streamer.audio.files import AudioInput, is_file, read_audio
from streamer.audio.stream_file import MonoFile
from streamer.engine.incremental import IncrementalModel
from streamer.errors import ConfigurationError, SpeechTooShort
from streamer.inference import Inference
from streamer.models.model import Model
from streamer.speakers.steps import frame_speech

#: Less speech says nothing about a voice; enrolment refuses it too.
LEAST_SPEECH_S = 1.0
#: Without a speech detector, all sound above this level (dB below full scale) counts as speech.
QUIETEST_DB = -60.0
#: For a model that computes each window anew, few windows are used: only their speech is needed.
DURATION_S, STEP_S = 3.0, 1.0


@dataclass(frozen=True, slots=True)
class Verification:
    """similarity: cosine, -1 to 1. threshold: the least similarity of the same speaker; None if neither the model nor
    the caller has one. speech_s: seconds of speech in each recording."""

    similarity: float
    threshold: float | None
    speech_s: tuple[float, float]

    @property
    def same(self) -> bool | None:
        return None if self.threshold is None else self.similarity >= self.threshold


def verify(
    model: Model,
    first: AudioInput,
    second: AudioInput,
    threshold: float | None = None,
    least_speech_s: float = LEAST_SPEECH_S,
) -> Verification:
    """Compare two recordings by an embedding of each.

    threshold: the least cosine similarity of the same speaker; default: that of the model. least_speech_s: the speech
    that each needs. Raises SpeechTooShort, with the amount of speech, if there is less: silence and noise
    have embeddings too, which mean nothing. Raises AudioError for a file that cannot be read.
    """
    if not (np.isfinite(least_speech_s) and least_speech_s >= 0):
        raise ConfigurationError(f"least_speech_s={least_speech_s} must be a number of seconds, 0 or more.")
    inference = Inference(model, window="whole")
    engine = IncrementalModel(model)
    vectors, names, heard = [], [], []
    for file in (first, second):
        vectors.append(np.asarray(inference(file))[0])
        names.append(_name(file))
        heard.append(speech_s(engine, file))
    if min(heard) < least_speech_s:
        said = ", ".join(f"{name!r} has {seconds:.1f} s of speech" for name, seconds in zip(names, heard, strict=True))
        raise SpeechTooShort(
            f"{said}; a verdict needs {least_speech_s:g} s in each. Record more, closer to the microphone.",
            (heard[0], heard[1]),
            least_speech_s,
        )
    limit = model.card.threshold if threshold is None else threshold
    return Verification(cosine(*vectors), limit, (heard[0], heard[1]))


def speech_s(engine: IncrementalModel, file: AudioInput) -> float:
    """Seconds of speech in a recording, by the engine's detector."""
    stream = engine.open((DURATION_S,), STEP_S)
    steps = []
    for samples in _samples(file):
        steps += stream.push(samples)
    frames = [frame_speech(step, QUIETEST_DB).sum() for step in [*steps, *stream.finish()]]
    return float(np.sum(frames)) * engine.model.grid.stride / SAMPLE_RATE


def cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Cosine similarity, in -1 to 1; 0 if a vector is zero."""
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.clip(np.dot(first, second) / norm, -1, 1)) if norm > 0 else 0.0


def _samples(file: AudioInput) -> Iterator[Samples]:
    if is_file(file):
        with MonoFile(file) as mono:
            yield from mono
    else:
        yield read_audio(file).mono_16k()


def _name(file: AudioInput) -> str:
    return str(file.get("uri", "audio")) if isinstance(file, Mapping) else file_name(file)
