"""The synchronous core of the engine: many streams stepped together, without asyncio, threads, or a clock.

>>> engine = IncrementalModel(model)                                               # doctest: +SKIP
>>> stream = engine.open(durations=[3.0], step=1.0)                                # doctest: +SKIP
>>> for step in stream.push(samples):                                              # doctest: +SKIP
...     print(step.end_sample, step.windows)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from streamer.audio.chunks import Samples
from streamer.engine.choices import check_precision, choose_mode, choose_speech, detector_of
from streamer.engine.families import streaming_of
from streamer.engine.heard import Block, HeardBatch, not_finite, skipping_back
from streamer.engine.layers import Precision
from streamer.engine.settings import Mode, WindowSettings
from streamer.engine.snapshot import StreamSnapshot
from streamer.engine.stepper import StreamState
from streamer.engine.window import Step
from streamer.errors import (
    ConfigurationError,
    StateMismatch,
    StreamClosed,
    StreamerError,
)
from streamer.models.exactness import products
from streamer.models.model import Model, resolve_device
from streamer.speech.detector import SpeechChoice


class IncrementalModel:
    """A model prepared for stepping: one copy of the weights for any number of streams.

    mode: "exact" (window statistics, equal to `Inference`) or "cached" (each frame computed once). None chooses cached
        for models whose frames depend only on their receptive field, for which both are equal, and exact for all
        others. "cached" for a model with window norms is an approximation that must be requested explicitly: it
        normalises by the statistics of the trailing audio.
    precision: "float32"; "bfloat16" if the processor supports it in hardware; "int8" for the TDNN layers, four times as
        fast on a processor with VNNI; or "tf32" on CUDA: float32 with 10-bit mantissas in products. Only float32 is
        exact, regardless of torch's own settings.
    speech: the source of the frames' speech weights; see `SpeechChoice`.
    compiled: True runs everything outside the network as compiled passes, which is best for many streams on a CPU and
        takes seconds to compile, once per machine. False uses tensor operations, which give the same up to rounding.
        None chooses by device.
    """

    def __init__(
        self,
        model: Model,
        mode: Mode | None = None,
        *,
        precision: Precision = "float32",
        speech: SpeechChoice = "auto",
        device: str | torch.device | None = None,
        compiled: bool | None = None,
    ) -> None:
        if device is not None:
            model.to(resolve_device(device))
        check_precision(precision, model)
        self.model = model
        self.mode: Mode = choose_mode(mode, model)
        self.precision = precision
        self.speech = choose_speech(speech, model)
        self._detector = detector_of(self.speech)
        self._stepper = streaming_of(model).stepper(model, self.mode, precision, self.speech == "head", compiled)

    @property
    def owner(self) -> str:
        """Identifies the engine that a stream's state belongs to."""
        return f"{self.model.fingerprint}/{self.mode}/{self.precision}/{self.speech}"

    def open(self, durations: Sequence[float] = (3.0,), step: float = 1.0) -> IncrementalStream:
        """A new stream, at sample 0. Raises ConfigurationError for invalid durations or steps."""
        settings = WindowSettings.of(self.model, durations, step, self._stepper.step_unit)
        speech = self._detector.new_state() if self._detector else None
        return IncrementalStream(self, self._stepper.new(settings, speech), settings)

    def restore(self, data: bytes) -> IncrementalStream:
        """Restore a stream from `IncrementalStream.snapshot`. Raises StateMismatch if it is from another engine."""
        snapshot = StreamSnapshot.from_bytes(data)
        if snapshot.owner != self.owner:
            raise StateMismatch(f"the snapshot belongs to {snapshot.owner!r}, this engine is {self.owner!r}.")
        speech = self._detector.new_state() if self._detector else None
        stream = IncrementalStream(self, self._stepper.new(snapshot.settings, speech), snapshot.settings)
        stream.restore(snapshot)
        return stream

    def step(self, blocks: Sequence[Block]) -> list[Step | StreamerError | None]:
        """Step many streams at once, each at most once. A stream that fails returns an error; the others continue.

        Returns, for each block, the step that it completes, if any.
        """
        outcomes: list[Step | StreamerError | None] = [None] * len(blocks)
        places, heard = list(range(len(blocks))), HeardBatch.of(blocks, self._stepper.device)
        refused = heard.refused(self._stepper.positions(heard.states), _steps(blocks))
        if refused:
            for place, error in refused.items():
                outcomes[place] = error
            places = [place for place in places if place not in refused]
            heard = HeardBatch.of([blocks[place] for place in places], self._stepper.device)
        if places:
            if self._detector:
                self._detector.hear([state.speech for state in heard.states], heard.samples)
            with products("tf32" if self.precision == "tf32" else "exact"):
                stepped = self._stepper.step(heard, self.speech != "off")
            for place, outcome in zip(places, stepped, strict=True):
                outcomes[place] = outcome
        return outcomes


def _steps(blocks: Sequence[Block]) -> NDArray[np.int64]:
    return np.array([block.stream.settings.step_samples for block in blocks], np.int64)


class IncrementalStream:
    """One stream: its clock, the audio of its current step, and the engine's state."""

    def __init__(self, engine: IncrementalModel, state: StreamState, settings: WindowSettings) -> None:
        self.engine = engine
        self.state = state
        self.settings = settings
        self.received = 0
        self._pending: list[Samples] = []
        self._finished = False

    @property
    def position(self) -> int:
        """The number of samples that were computed or skipped."""
        return self.state.position

    @property
    def boundary(self) -> int:
        """The end of the current step, counted from what has been received."""
        return (self.received // self.settings.step_samples + 1) * self.settings.step_samples

    @property
    def nbytes(self) -> int:
        """The memory that the state of this stream uses, in bytes."""
        return self.state.nbytes + sum(block.nbytes for block in self._pending)

    def cut(self, samples: Samples) -> list[Block]:
        """Receive samples, and return the blocks that they complete, to be stepped in this order. The rest waits for
        more."""
        self._check_open()
        blocks, start = [], 0
        while len(samples) - start >= (missing := self.boundary - self.received):
            self._pending.append(samples[start : start + missing])
            start += missing
            self.received += missing
            blocks.append(Block(self, self._taken()))
        if start < len(samples):
            # A copy: the caller may reuse its buffer.
            self._pending.append(samples[start:].copy())
            self.received += len(samples) - start
        return blocks

    def rest(self) -> list[Block]:
        """End the audio: returns the rest of an incomplete step as the last block, if there is any."""
        nothing = self._finished or self.received % self.settings.step_samples == 0
        self._finished = True
        return [] if nothing else [Block(self, self._taken(), ends=True)]

    def skip(self, to_sample: int) -> list[Block]:
        """Samples are lost: continue at `to_sample`. A gap that goes beyond the current step ends it."""
        self._check_open()
        if to_sample < self.received:
            raise skipping_back(self.received, to_sample)
        block = Block(self, self._taken(), ends=to_sample >= self.boundary, skip_to=to_sample)
        self.received = to_sample
        return [block]

    def push(self, samples: Samples) -> list[Step]:
        """Process samples (n,), float32 mono at 16 kHz, and return the steps that they complete.

        Raises ConfigurationError for samples of another shape; AudioNotFinite if any is NaN or infinite, in which case
        none of them are processed; StreamClosed after `finish`; StreamFailed if the stream is permanently broken.
        """
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise ConfigurationError(f"samples of shape {samples.shape} are not mono: push one row of them, (n,).")
        if (error := not_finite(samples, self.received)) is not None:
            raise error
        return self._run(self.cut(samples))

    def gap(self, to_sample: int) -> list[Step]:
        """Continue at `to_sample`: the samples before it are lost. Raises ConfigurationError if that position is
        past."""
        return self._run(self.skip(to_sample))

    def finish(self) -> list[Step]:
        """End the audio and the stream. Returns the last, incomplete step."""
        return self._run(self.rest())

    def snapshot(self) -> bytes:
        """The whole state, for `IncrementalModel.restore`. Continue at `received` afterwards.

        Blocks that were cut but not stepped are not included, nor the samples after them: `received` lies before them.
        """
        pending = np.concatenate([_NO_SAMPLES, *self._pending])
        if self.received - len(pending) != self.position:
            pending = _NO_SAMPLES
        return StreamSnapshot(self.engine.owner, self.settings, self.state.snapshot(), pending).to_bytes()

    def restore(self, snapshot: StreamSnapshot) -> None:
        """Raises StateMismatch if the snapshot is not from a stream of this engine."""
        try:
            self.state.restore(snapshot.state)
            self._pending = [snapshot.pending] if snapshot.pending.size else []
            self.received = self.position + len(snapshot.pending)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError, RuntimeError) as error:
            raise StateMismatch(f"the snapshot does not fit a stream of this engine: {error!r}.") from error

    def _run(self, blocks: list[Block]) -> list[Step]:
        steps = []
        for block in blocks:
            (outcome,) = self.engine.step([block])
            if isinstance(outcome, StreamerError):
                raise outcome
            if outcome is not None:
                steps.append(outcome)
        return steps

    def _check_open(self) -> None:
        if self._finished:
            raise StreamClosed("the stream was finished; open another one for what follows.")

    def _taken(self) -> Samples:
        samples = self._pending[0] if len(self._pending) == 1 else np.concatenate([_NO_SAMPLES, *self._pending])
        self._pending.clear()
        return samples


_NO_SAMPLES = np.zeros(0, np.float32)
