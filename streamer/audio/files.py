"""Audio for the offline API: converts any input of the user to one array and its rate.

Semantics are those of pyannote.audio 4 where it defines them (`pyannote/audio/core/io.py`): channels are mixed by their
mean; a segment is cut at the audio's original rate and resampled afterwards. pyannote.audio resamples with torchaudio,
so both agree to the bit at 16 kHz, and closely at other rates.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any, TypeGuard

import numpy as np
import soxr

from streamer.audio.chunks import SAMPLE_RATE, InputGap, Samples
from streamer.audio.decode import Decoder, file_name, open_decoder
from streamer.audio.downmix import downmix
from streamer.audio.parts.raw import Block
from streamer.audio.resample import check_rate
from streamer.errors import AudioEmpty, AudioNotFinite, ConfigurationError, SegmentOutOfRange

#: A path, a binary file object, a mapping with "waveform" and "sample_rate" or with "audio", or an array.
AudioInput = str | os.PathLike[str] | IO[bytes] | Mapping[str, Any] | np.ndarray[Any, Any]

READ_FRAMES = 1 << 16

logger = logging.getLogger("streamer.audio")


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio in memory, checked: it has samples, and all of them are finite.

    waveform: (channels, samples) float32, full scale at 1. sample_rate: in Hz. name: for messages.
    """

    waveform: Block
    sample_rate: int
    name: str

    @property
    def num_samples(self) -> int:
        return int(self.waveform.shape[1])

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_samples / self.sample_rate

    def mono_16k(self) -> Samples:
        """The mean of the channels at 16 kHz: (round(num_samples * 16000 / sample_rate),) float32, halves rounded up.

        If channels cancel each other, one of them is used alone, and the log of "streamer.audio" says so. Resampled by
        soxr HQ, linear phase: sample k of the result is at k / 16000 s.
        """
        mono, found = downmix(self.waveform, self.sample_rate)
        if found is not None:
            logger.warning("%r: %s.", self.name, found.message(len(self.waveform)))
        if self.sample_rate == SAMPLE_RATE:
            return mono
        resampled: Samples = soxr.resample(np.ascontiguousarray(mono), self.sample_rate, SAMPLE_RATE)
        return resampled


def read_audio(file: AudioInput, sample_rate: int | None = None) -> Audio:
    """Read a whole recording.

    file: a path; a binary file object (read from its start and rewound after); {"audio": path or file object};
        {"waveform": (channel, time) array or tensor, "sample_rate": int}; or an array (time,) or (channel, time) with
        `sample_rate`. A mapping may also have "channel" (the index of the channel to use) and "uri" (its name).
        Floating point arrays are used unchanged; integer PCM (int16, int32, uint8) is scaled to full scale 1.

    Raises AudioNotFound, AudioUnreadable, AudioEmpty, AudioNotFinite; MissingDependency for a format that needs PyAV;
    ConfigurationError for an input that is none of these.
    """
    if isinstance(file, Mapping):
        return _from_mapping(file, sample_rate)
    if _is_array(file):
        if sample_rate is None:
            raise ConfigurationError("an array has no sample rate: give sample_rate=.")
        return _from_array(file, sample_rate, "waveform")
    if sample_rate is not None:
        raise ConfigurationError(f"sample_rate={sample_rate} is for arrays; {file_name(file)!r} has its own rate.")
    return _from_file(file)


def crop(audio: Audio, start_s: float, end_s: float) -> Audio:
    """The samples [round(start_s * rate), round(end_s * rate)) of the audio, at its rate.

    An end up to one sample after the audio's is taken as the audio's end: durations are often rounded up.
    Raises SegmentOutOfRange for a segment that is empty, reversed, not finite, or not inside the audio.
    """
    where = f"segment {start_s:.3f} s to {end_s:.3f} s of {audio.name!r} ({audio.duration:.3f} s long)"
    if not (np.isfinite(start_s) and np.isfinite(end_s)):
        raise SegmentOutOfRange(f"{where}: start and end must be finite numbers of seconds.")
    start, end = round(float(start_s) * audio.sample_rate), round(float(end_s) * audio.sample_rate)
    if start < 0:
        raise SegmentOutOfRange(f"{where} begins before 0; start it at 0 s or later.")
    if end > audio.num_samples + 1:
        raise SegmentOutOfRange(f"{where} ends after the audio; end it at {audio.duration:.3f} s or earlier.")
    end = min(end, audio.num_samples)
    if end <= start:
        raise SegmentOutOfRange(f"{where} has no samples; its end must be after its start.")
    return replace(audio, waveform=audio.waveform[:, start:end])


def _from_mapping(file: Mapping[str, Any], sample_rate: int | None) -> Audio:
    if "waveform" in file:
        rate = file.get("sample_rate", sample_rate)
        if rate is None:
            raise ConfigurationError("{'waveform': ...} must come with its 'sample_rate'.")
        audio = _from_array(file["waveform"], rate, str(file.get("uri", "waveform")))
    elif "audio" in file:
        audio = _from_file(file["audio"])
    else:
        raise ConfigurationError(f"a mapping needs 'waveform' and 'sample_rate', or 'audio'; this has {list(file)}.")
    channel = file.get("channel")
    if channel is None:
        return audio
    if not 0 <= channel < len(audio.waveform):
        raise ConfigurationError(f"channel={channel}: {audio.name!r} has channels 0 to {len(audio.waveform) - 1}.")
    return replace(audio, waveform=audio.waveform[channel : channel + 1])


def is_file(file: object) -> TypeGuard[str | os.PathLike[str] | IO[bytes]]:
    """Whether this is a path or a file object, not a mapping or an array."""
    return isinstance(file, str | os.PathLike) or hasattr(file, "read")


def _from_file(file: Any) -> Audio:
    if not is_file(file):
        raise ConfigurationError(
            f"cannot read audio from {type(file).__name__}: give a path, a binary file object, a mapping with "
            "'waveform' and 'sample_rate', or an array with sample_rate=."
        )
    decoder = open_decoder(file)
    try:
        blocks = list(_blocks(decoder))
    finally:
        decoder.close()
    if not blocks:
        raise AudioEmpty(f"{decoder.name!r} has no samples (0.00 s of audio).")
    return checked(Audio(np.concatenate(blocks, axis=1), decoder.sample_rate, decoder.name))


def _blocks(decoder: Decoder) -> Iterator[Block]:
    """All blocks of an open file; samples that are missing by its time stamps are zeros."""
    while isinstance(block := decoder.read(READ_FRAMES), InputGap) or block.shape[1]:
        yield np.zeros((decoder.channels, block.num_samples), np.float32) if isinstance(block, InputGap) else block


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "detach") and hasattr(value, "cpu"))


def _from_array(value: Any, sample_rate: Any, name: str) -> Audio:
    rate = check_rate(sample_rate)
    if hasattr(value, "detach"):  # a torch tensor, recognised without importing torch
        value = value.detach().cpu()
        # numpy has no bfloat16.
        value = value.float() if value.is_floating_point() else value
    waveform = full_scale(np.asarray(value), name)
    if waveform.ndim == 1:
        waveform = waveform[None]
    if waveform.ndim != 2:
        raise ConfigurationError(f"{name!r} has shape {waveform.shape}; it must be (channel, time) or (time,).")
    if waveform.size == 0:
        raise AudioEmpty(f"{name!r} has no samples (shape {waveform.shape}).")
    if waveform.shape[0] > waveform.shape[1]:
        raise ConfigurationError(
            f"{name!r} has shape {waveform.shape}, more channels than samples; transpose it to (channel, time)."
        )
    return checked(Audio(waveform, rate, name))


def full_scale(values: np.ndarray[Any, Any], name: str) -> Block:
    """Samples as float32 with full scale at 1. Raises ConfigurationError for a dtype that is not audio."""
    if values.dtype.kind == "f":
        return np.asarray(values, np.float32)
    if values.dtype == np.uint8:
        return np.asarray((values.astype(np.float32) - 128) / 128, np.float32)
    if values.dtype in (np.int16, np.int32):
        return (values / -float(np.iinfo(values.dtype).min)).astype(np.float32)
    raise ConfigurationError(f"{name!r} has dtype {values.dtype}; use float32, or PCM as int16, int32 or uint8.")


def checked(audio: Audio, offset: int = 0) -> Audio:
    """The audio itself. Raises AudioNotFinite at its first NaN or infinite sample, counted from `offset`."""
    finite = np.isfinite(audio.waveform)
    if not finite.all():
        sample = int(np.argmin(finite.all(axis=0)))
        channel = int(np.argmin(finite[:, sample]))
        value = audio.waveform[channel, sample]
        raise AudioNotFinite(
            f"{audio.name!r} has {value} at sample {offset + sample} "
            f"({(offset + sample) / audio.sample_rate:.3f} s, channel {channel}); "
            "all samples must be finite."
        )
    return audio
