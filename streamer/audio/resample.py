"""Sample rates: what is accepted, and how many samples come out."""

from __future__ import annotations

from streamer.audio.chunks import SAMPLE_RATE
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
    """How many samples at 16 kHz `num_samples` samples at `rate` Hz become: the nearest number, halves up.

    >>> resampled_length(44_100, 44_100), resampled_length(3, 32_000), resampled_length(1, 48_000)
    (16000, 2, 0)
    """
    return (2 * num_samples * SAMPLE_RATE + rate) // (2 * rate)
