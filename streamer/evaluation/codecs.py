"""Real codecs, as conditions of evaluation: the libraries behind browsers, telephones and files, not imitations.

FFmpeg (PyAV, the extra `media`) codes MP3 (LAME), AAC, Opus (libopus), AMR narrow band (OpenCORE), G.722 and G.726;
libsndfile codes mu-law, A-law and GSM 06.10. The output has the length of the input, without the codec's delay.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import soundfile
import soxr
from scipy.signal import correlate

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import MissingDependency
from streamer.evaluation.manifest import Float32

#: The largest codec delay that is searched for.
MOST_DELAY_S = 0.25
PROBE_S = 2.0


@dataclass(frozen=True)
class Codec:
    """A codec of FFmpeg, in a container that its decoder can read.

    encoder: FFmpeg's name. container: FFmpeg's format. rate: Hz of the input. bit_rate: bits a second; 0 if the codec
    has only one. options: of the encoder.
    """

    encoder: str
    container: str
    rate: int = SAMPLE_RATE
    bit_rate: int = 0
    options: tuple[tuple[str, str], ...] = field(default=())

    def __call__(self, wave: Float32) -> Float32:
        """Encode samples at `rate` and decode them, at `rate` again."""
        av = self._pyav()
        file = io.BytesIO()
        with av.open(file, "w", format=self.container) as output:
            stream = output.add_stream(self.encoder, rate=self.rate, layout="mono", options=dict(self.options))
            if self.bit_rate:
                stream.bit_rate = self.bit_rate
            frame = av.AudioFrame.from_ndarray(_int16(wave)[None], format="s16", layout="mono")
            frame.sample_rate = self.rate
            resampler = av.AudioResampler(format=stream.format, layout="mono", rate=self.rate)
            for ready in [*resampler.resample(frame), *resampler.resample(None)]:
                output.mux(stream.encode(ready))
            output.mux(stream.encode(None))
        file.seek(0)
        with av.open(file, format=self.container) as coded:
            heard = coded.streams.audio[0]
            to_float = av.AudioResampler(format="fltp", layout="mono", rate=heard.rate)
            frames = [part for frame in coded.decode(heard) for part in to_float.resample(frame)]
            rate = heard.rate
        samples = np.concatenate([part.to_ndarray()[0] for part in [*frames, *to_float.resample(None)]])
        return resampled(samples, rate, self.rate)

    def _pyav(self) -> Any:
        try:
            import av
        except ImportError as error:
            raise MissingDependency(
                f"the codec {self.encoder!r} needs PyAV: pip install 'speaker-streamer[media]'."
            ) from error
        return av


def companded(subtype: str, container: str = "WAV") -> Callable[[Float32], Float32]:
    """A codec of libsndfile, such as ULAW, ALAW or GSM610."""

    def apply(wave: Float32) -> Float32:
        file = io.BytesIO()
        soundfile.write(file, np.clip(wave, -1, 1), SAMPLE_RATE // 2, subtype, format=container)
        file.seek(0)
        return np.asarray(soundfile.read(file, dtype="float32")[0], np.float32)

    return apply


def resampled(wave: Float32, rate: int, wanted: int) -> Float32:
    """Resample by soxr, linear phase, without a shift in time."""
    return wave if rate == wanted else np.asarray(soxr.resample(wave, rate, wanted), np.float32)


@dataclass(frozen=True)
class InTime:
    """A codec without its delay: the delay is measured once on a known signal and removed, and extra samples at the end
    are cut off.

    coder: samples -> samples at `rate`. rate: Hz.
    """

    coder: Callable[[Float32], Float32]
    rate: int = SAMPLE_RATE

    def __call__(self, wave: Float32) -> Float32:
        given = resampled(wave, SAMPLE_RATE, self.rate)
        # A codec holds back an incomplete frame: silence pushes it out.
        pad = round(MOST_DELAY_S * self.rate)
        coded = self.coder(np.concatenate([given, np.zeros(pad, np.float32)]))
        back = resampled(fitted(shifted(coded, _delay(self)), len(given)), self.rate, SAMPLE_RATE)
        return fitted(back, len(wave))


def shifted(wave: Float32, delay: int) -> Float32:
    """Shift a wave earlier by `delay` samples."""
    return wave[delay:] if delay >= 0 else np.concatenate([np.zeros(-delay, np.float32), wave])


def fitted(wave: Float32, samples: int) -> Float32:
    """Cut or zero-pad a wave to this number of samples."""
    return np.asarray(np.pad(wave[:samples], (0, max(0, samples - len(wave)))), np.float32)


@cache
def _delay(codec: InTime) -> int:
    """A codec's delay in samples: where its output for bursts of speech-band noise correlates best with the input."""
    rng = np.random.default_rng(0)
    samples = round(PROBE_S * codec.rate)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / codec.rate)
    spectrum[(hertz < 300) | (hertz > 3_000)] = 0
    bursts = np.repeat(rng.uniform(0, 1, 40) ** 2, samples // 40)
    probe = np.fft.irfft(spectrum, samples)[: len(bursts)] * bursts
    probe = np.asarray(0.2 * probe / np.abs(probe).max(), np.float32)
    most = round(MOST_DELAY_S * codec.rate)
    coded = fitted(codec.coder(np.concatenate([probe, np.zeros(most, np.float32)])), len(probe) + most)
    found = correlate(coded, probe, "full")[len(probe) - 1 - most : len(probe) + most]
    return int(np.argmax(found)) - most


def _int16(wave: Float32) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.asarray(np.round(np.clip(wave, -1, 1) * 32767), np.int16)
