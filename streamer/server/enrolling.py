"""Enrolment over the protocol: checks one channel of a session, and reports findings as messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from streamer.audio.chunks import SAMPLE_RATE, AudioEvent, Chunk
from streamer.engine.window import Step
from streamer.models.grid import FrameGrid
from streamer.server.people import People
from streamer.speakers.backend import Backend
from streamer.speakers.enrolment import Coach, Finding
from streamer.speakers.steps import Embed

# An enrolment that is never committed must not fill the memory: it takes no more audio than this.
MAX_SECONDS = 120.0


class Enrolling:
    """One enrolment of a session. Methods that report return the body of an `enrolment` message.

    position: its start on the channel's clock. The clock of the enrolment starts at 0 there, on the model's grid, so
        earlier speech is left out.
    """

    def __init__(
        self,
        name: str,
        channel: int,
        position: int,
        people: People,
        backend: Backend,
        embed: Embed | None,
        grid: FrameGrid,
    ) -> None:
        self.name = name
        self.channel = channel
        self._people = people
        self._start_frame = grid.first_frame(position)
        self._position = self._start_sample = self._start_frame * grid.stride
        self._end = self._position + round(MAX_SECONDS * SAMPLE_RATE)
        # Other speakers are looked up only when needed.
        self._coach = Coach(backend, embed, people.everybody, source="streamer.v1")
        self._held: list[AudioEvent | Step] | None = None

    def hear(self, event: AudioEvent) -> None:
        """Take the channel's audio, as it arrives. Gaps become silence, because the clock must continue."""
        if self._held is not None:
            return self._held.append(event)
        start, end = max(event.start_sample, self._position), min(event.end_sample, self._end)
        if start >= end:
            return
        if isinstance(event, Chunk):
            samples = event.samples[start - event.start_sample : end - event.start_sample]
        else:
            samples = np.zeros(end - start, np.float32)
        self._position = end
        self._coach.hear(samples)

    def step(self, step: Step) -> dict[str, Any] | None:
        """Take a step of the engine; returns None before this enrolment's first frame, and during a commit."""
        if self._held is not None:
            self._held.append(step)
            return None
        if step.first_frame < self._start_frame or step.end_sample > self._end:
            return None
        shifted = replace(
            step,
            start_sample=step.start_sample - self._start_sample,
            end_sample=step.end_sample - self._start_sample,
            first_frame=step.first_frame - self._start_frame,
        )
        return self._report("listening", self._coach.step(shifted).findings)

    def listening(self) -> dict[str, Any]:
        return self._report("listening", ())

    def cancelled(self) -> dict[str, Any]:
        return self._report("cancelled", ())

    async def commit(self, *, force: bool) -> dict[str, Any]:
        """Store the profile, unless the check advises against it. Raises Refusal if the store fails.

        Audio that arrives in the meantime waits: the check runs in a thread, and the enrolment then continues with it.
        """
        self._held = []
        try:
            self._coach.profile = await self._people.profile(self.name)
            self._coach.others = self._people.everybody
            verdict = await asyncio.to_thread(self._coach.verdict)
            if not verdict.exemplars or (verdict.findings and not force):
                return self._report("refused", verdict.findings)
            await self._people.add(self.name, verdict.exemplars)
            return self._report("committed", verdict.findings)
        finally:
            held, self._held = self._held, None
            for item in held:
                if isinstance(item, Step):
                    self.step(item)
                else:
                    self.hear(item)

    def _report(self, state: str, findings: Sequence[Finding]) -> dict[str, Any]:
        wanted = self._coach.settings.wanted_s
        speech_s = self._coach.speech_s
        return {
            "state": state,
            "name": self.name,
            "progress": round(min(1.0, speech_s / wanted), 3),
            "speech": round(speech_s, 2),
            "needed": wanted,
            "advice": [
                {"code": finding.code, "message": f"{finding.message}: {finding.advice}."} for finding in findings
            ],
        }
