"""Checks the options of an engine against its model, once."""

from __future__ import annotations

from typing import Any, get_args

from streamer.engine.families import streaming_of
from streamer.engine.layers import Precision
from streamer.engine.settings import Mode
from streamer.errors import ConfigurationError
from streamer.models.model import Model
from streamer.speech.detector import SpeechChoice, SpeechDetector


def check_known(name: str, value: object, kind: Any) -> None:
    """Raises ConfigurationError unless `value` is one of a Literal's values."""
    if value not in get_args(kind):
        raise ConfigurationError(f"{name}={value!r} is not known; use one of {', '.join(get_args(kind))}.")


def choose_mode(mode: Mode | None, model: Model) -> Mode:
    """The requested mode, or the model's exact one by default. Raises ConfigurationError if the model does not support
    it."""
    if mode is not None:
        check_known("mode", mode, Mode)
    return streaming_of(model).choose_mode(mode, model)


def check_precision(precision: Precision, model: Model) -> None:
    """Raises ConfigurationError if a precision is unknown, or not available on the model's device."""
    check_known("precision", precision, Precision)
    if precision == "int8" and model.device.type != "cpu":
        raise ConfigurationError(f"precision='int8' is for CPUs, and the model is on {model.device}; use bfloat16.")
    if precision == "tf32" and model.device.type != "cuda":
        raise ConfigurationError(
            f"precision='tf32' is for CUDA devices, and the model is on {model.device}; use float32."
        )


def choose_speech(speech: SpeechChoice, model: Model) -> SpeechChoice:
    """The source of speech probabilities. Raises ConfigurationError if the model lacks the requested head."""
    check_known("speech", speech, SpeechChoice)
    # A model with window norms recomputes its frames for each window, so a head on them cannot describe a stream.
    head = model.architecture.speech_head and model.architecture.frame_local
    if speech == "head" and not head:
        raise ConfigurationError("speech='head': this model has no speech head for streams; use silero, off, or auto.")
    if speech == "auto":
        return "head" if head else "silero"
    return speech


def detector_of(speech: SpeechChoice) -> SpeechDetector | None:
    """The detector that processes the samples besides the network, if this choice needs one."""
    if speech != "silero":
        return None
    from streamer.speech.silero import SileroDetector

    return SileroDetector()
