"""A stream's window lengths and step, in samples, validated once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from streamer.models.model import Model

Mode = Literal["exact", "cached"]

#: The maximum for a step and a window.
MAXIMUM_SECONDS = 60.0
#: The minimum for a step.
MINIMUM_SAMPLES = 10


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """The step in samples, and the window lengths in steps, ascending."""

    step_samples: int
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        step, counts = self.step_samples, self.counts
        integers = all(type(number) is int and number > 0 for number in (step, *counts))
        if not integers or step < MINIMUM_SAMPLES or not counts or list(counts) != sorted(set(counts)):
            raise ConfigurationError(f"steps of {step!r} samples and windows of {counts!r} steps make no stream.")
        if step * counts[-1] > MAXIMUM_SECONDS * SAMPLE_RATE + 1:
            raise ConfigurationError(f"windows of {counts[-1]} steps of {step} samples exceed {MAXIMUM_SECONDS:g} s.")

    @property
    def duration_samples(self) -> tuple[int, ...]:
        return tuple(count * self.step_samples for count in self.counts)

    @property
    def durations_s(self) -> tuple[float, ...]:
        return tuple(samples / SAMPLE_RATE for samples in self.duration_samples)

    @classmethod
    def of(cls, model: Model, durations: Sequence[float], step: float, unit: int = 1) -> WindowSettings:
        """From durations and a step in seconds. Raises ConfigurationError if they do not work with this model.

        unit: the step must be a multiple of this number of samples, see `Stepper.step_unit`.
        """
        step_samples = step_of(step, unit)
        if not durations:
            raise ConfigurationError("durations is empty: ask for one window length at least, for example 3.0.")
        # The frame grid may shorten a window at its start by up to one stride.
        shortest = model.minimum_samples + model.grid.stride - 1
        counts = []
        for duration in sorted(set(durations)):
            samples = duration * SAMPLE_RATE
            if not shortest <= samples <= MAXIMUM_SECONDS * SAMPLE_RATE:
                raise ConfigurationError(
                    f"duration={duration} s is out of range: {shortest / SAMPLE_RATE:.3f} to {MAXIMUM_SECONDS:g} s."
                )
            counts.append(steps_in(duration, step, unit))
        return cls(step_samples, tuple(counts))


def step_of(step: float, unit: int = 1) -> int:
    """Convert a step from seconds to samples. Raises ConfigurationError if it is invalid."""
    step_samples = round(step * SAMPLE_RATE) if 0 < step <= MAXIMUM_SECONDS else 0
    if step_samples < MINIMUM_SAMPLES or step_samples % unit:
        raise ConfigurationError(
            f"step={step} s is {step * SAMPLE_RATE:g} samples; it must be at least {MINIMUM_SAMPLES} samples"
            + (f", a multiple of {unit} of them in exact mode," if unit > 1 else "")
            + f" and at most {MAXIMUM_SECONDS:g} s."
        )
    return step_samples


def steps_in(duration: float, step: float, unit: int = 1) -> int:
    """The number of steps in a window, given both in seconds. Raises ConfigurationError if it is not a whole number."""
    step_samples, samples = step_of(step, unit), duration * SAMPLE_RATE
    count = round(samples / step_samples)
    if abs(count * step_samples - samples) > 1:
        raise ConfigurationError(
            f"duration={duration} s is not a multiple of step={step} s; "
            f"{count * step_samples / SAMPLE_RATE:g} s would be."
        )
    return count
