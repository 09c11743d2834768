"""Sample rates: the accepted range, the number of resampled samples, and resampling of a stream."""

from __future__ import annotations

import numpy as np
import soxr

from streamer.audio.chunks import SAMPLE_RATE, Samples
from streamer.errors import ConfigurationError

LOWEST_RATE = 1_000
HIGHEST_RATE = 768_000


def check_rate(rate: object, name: str = "sample_rate") -> int:
    """`rate` as an integer number of Hz. Raises ConfigurationError unless it is whole and 1,000 to 768,000."""
    try:
        whole = int(rate)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != rate or isinstance(rate, bool) or not LOWEST_RATE <= whole <= HIGHEST_RATE:
        raise ConfigurationError(
            f"{name}: {rate!r} Hz is not a usable sample rate; give a whole number, {LOWEST_RATE} to {HIGHEST_RATE}."
        )
    return int(whole)


def resampled_length(num_samples: int, rate: int) -> int:
    """The number of samples at 16 kHz for `num_samples` samples at `rate` Hz: rounded to nearest, halves up.

    >>> resampled_length(44_100, 44_100), resampled_length(3, 32_000), resampled_length(1, 48_000)
    (16000, 2, 0)
    """
    return (2 * num_samples * SAMPLE_RATE + rate) // (2 * rate)


class StreamResampler:
    """Resamples one channel from `rate` to 16 kHz chunk by chunk; the result is the same to the bit for any chunks.

    soxr HQ, linear phase. soxr holds samples back (for its filter and its block size: up to 0.04 s of 48 kHz, 0.12 s
    of 8 kHz) but does not shift them: output sample k is at k / 16000 s, and after `finish` there are
    `resampled_length` of them.
    """

    def __init__(self, rate: int) -> None:
        self.rate = check_rate(rate)
        self._stream = None if rate == SAMPLE_RATE else soxr.ResampleStream(self.rate, SAMPLE_RATE, 1, dtype="float32")

    def push(self, samples: Samples) -> Samples:
        """Resample `samples` (n,): (m,) float32 at 16 kHz, m may be 0."""
        return self._resample(samples, last=False)

    def finish(self) -> Samples:
        """The samples that were held back. Do not push afterwards."""
        return self._resample(np.zeros(0, np.float32), last=True)

    def _resample(self, samples: Samples, last: bool) -> Samples:
        if self._stream is None:
            return samples
        resampled: Samples = self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32), last=last)
        return resampled
