"""Processes a whole recording with the engine that serves the live streams; it counts as one stream.

It shares their batches, so it uses no more of the engine than one stream, and its results are those of a session.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import numpy as np

from streamer.audio.chunks import SAMPLE_RATE, AudioEvent, Gap, Samples
from streamer.audio.sources.file import FileSource
from streamer.engine.engine import Engine
from streamer.engine.window import Step
from streamer.errors import AudioTooLong, SpeechTooShort
from streamer.protocol import Refusal, Settings
from streamer.server.admission import RETRY_AFTER_S, Admission
from streamer.server.config import ServerConfig
from streamer.server.metrics import Metrics
from streamer.server.offload import Offload
from streamer.server.people import People
from streamer.sinks.recording import Tapped
from streamer.speakers.candidates import Candidates
from streamer.speakers.enrolment import Coach, Verdict
from streamer.speakers.events import Event
from streamer.speakers.guests import Guests
from streamer.speakers.profiles import Vector
from streamer.speakers.recording import QUIETEST_DB
from streamer.speakers.scoring import log_softmax
from streamer.speakers.steps import Embed, HeardStep, Pool, frame_speech
from streamer.speakers.timeline import Timeline
from streamer.speakers.tracker import Tracker

#: With less speech, no speaker is named; see `streamer.verification`.
LEAST_SPEECH_S = 1.0
#: The most candidates that are returned.
CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enrolled speaker whom a voice may belong to. probability: among all possible speakers, strangers included."""

    name: str
    probability: float
    similarity: float


@dataclass(slots=True)
class HeardRecording:
    """The contents of a recording. samples: its length at 16 kHz. pool: all speech in it."""

    samples: int = 0
    pool: Pool = field(default_factory=Pool)

    @property
    def duration_s(self) -> float:
        return self.samples / SAMPLE_RATE

    def voice(self, embed: Embed | None) -> Vector:
        """The embedding of all speech in it. Raises SpeechTooShort."""
        found = self.pool.embedding(embed)
        if found is None or self.pool.speech_s < LEAST_SPEECH_S:
            heard = self.pool.speech_s
            message = f"{heard:.1f} s of speech were heard; {LEAST_SPEECH_S:g} s are needed."
            raise SpeechTooShort(message, (heard,), LEAST_SPEECH_S)
        return found[0]


class Hearing:
    """Processes recordings for one server. Methods raise AudioError for data that is not audio, or is
    too long or too short."""

    def __init__(
        self, engine: Engine, people: People, admission: Admission, config: ServerConfig, metrics: Metrics
    ) -> None:
        self.model = {"name": engine.model.card.name, "fingerprint": engine.model.fingerprint}
        self._engine = engine
        # In `exact` mode, steps have no moments to pool from.
        self._embed: Embed | None = engine.model.embed if engine.incremental.mode == "cached" else None
        self._people = people
        self._admission = admission
        self._config = config
        self._metrics = metrics
        self._offload = Offload()
        self._uploads = 0

    @contextmanager
    def taking(self, address: str) -> Iterator[None]:
        """Take a stream's place for one recording, from its first byte on. Raises Refusal("busy")."""
        if self._uploads >= self._config.max_uploads:
            message = f"{self._uploads} of {self._config.max_uploads} recordings are being processed."
            raise Refusal("busy", message, "Try again in a moment.", retry_after=RETRY_AFTER_S)
        cost = Settings().cost
        self._admission.take(address, cost)
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1
            self._admission.give_back(address, cost)

    async def embed(self, data: bytes) -> tuple[HeardRecording, Vector]:
        """The embedding (dimension,) of all speech in a recording."""
        heard = HeardRecording()
        async with self._steps(data, heard) as steps:
            async for _ in steps:
                pass
        return heard, heard.voice(self._embed)

    async def identify(self, data: bytes) -> tuple[HeardRecording, Timeline, list[Candidate]]:
        """The turns of a recording, and the enrolled speakers whom its voice may belong to, if it is one voice."""
        heard, timeline = HeardRecording(), Timeline()
        roster = self._people.everybody
        tracker = await self._offload.run(len(roster), lambda: Tracker(roster, self._people.backend, self._embed))
        async with self._steps(data, heard) as steps:
            async for item in steps:
                events = await self._offload.run(len(roster), lambda item=item: _track(tracker, item))  # type: ignore[misc]
                for event in events:
                    timeline.hear(event)
                timeline.advance(item.end_sample)
        for event in await self._offload.run(len(roster), tracker.finish):
            timeline.hear(event)
        voice = heard.voice(self._embed)
        return heard, timeline, await self._offload.run(len(roster), lambda: self._candidates(voice, heard))

    async def enroll(self, name: str, data: bytes, *, force: bool) -> tuple[HeardRecording, Verdict, bool]:
        """Add a recording to a profile, unless the check advises against it; returns whether it was added."""
        heard = HeardRecording()
        others = self._people.everybody
        profile = await self._people.profile(name)
        coach = Coach(self._people.backend, self._embed, others, profile, source="/v1/speakers")
        async with self._steps(data, heard, coach.hear) as steps:
            async for item in steps:
                if isinstance(item, Step):
                    coach.step(item)
        verdict = await asyncio.to_thread(coach.verdict)
        accepted = bool(verdict.exemplars) and (force or not verdict.findings)
        if accepted:
            await self._people.add(name, verdict.exemplars)
        return heard, verdict, accepted

    def close(self) -> None:
        self._offload.close()

    @asynccontextmanager
    async def _steps(
        self, data: bytes, heard: HeardRecording, listen: Callable[[Samples], None] = lambda samples: None
    ) -> AsyncIterator[AsyncIterator[Step | Gap]]:
        """The engine's steps for a recording; `heard` and `listen` get its audio."""
        settings = Settings()
        file = io.BytesIO(data)
        file.name = "the recording"
        limit_s = self._config.max_upload_s

        def hear(event: AudioEvent) -> None:
            if event.end_sample > limit_s * SAMPLE_RATE:
                raise AudioTooLong(f"The recording is longer than {limit_s:g} s, the limit of this server.")
            heard.samples = event.end_sample
            if isinstance(event, Gap):
                listen(np.zeros(event.end_sample - event.start_sample, np.float32))
            else:
                listen(event.samples)

        source = Tapped(FileSource(file), hear)
        async with (
            self._engine.stream(source, settings.durations, settings.step) as stream,
            aclosing(self._noted(stream.steps(), heard)) as steps,
        ):
            yield steps
        self._metrics.audio.inc(heard.duration_s)

    async def _noted(self, steps: AsyncIterator[Step | Gap], heard: HeardRecording) -> AsyncGenerator[Step | Gap]:
        async for item in steps:
            if isinstance(item, Step):
                heard.pool.add(HeardStep.of(item, frame_speech(item, QUIETEST_DB)), 0)
                self._metrics.windows.inc(len(item.windows))
            yield item

    def _candidates(self, voice: Vector, heard: HeardRecording) -> list[Candidate]:
        roster, backend = self._people.everybody, self._people.backend
        candidates = Candidates(roster, Guests(0, len(voice)), backend, backend.settings.unknown_prior)
        scores, llr = candidates.evidence(voice[None], np.array([heard.pool.speech_s]))
        posterior = np.exp(log_softmax(candidates.log_prior() + llr[0]))
        best = np.argsort(-posterior[:-1], kind="stable")[:CANDIDATES]
        return [Candidate(roster.names[i], float(posterior[i]), float(scores[0, i])) for i in best]


def _track(tracker: Tracker, item: Step | Gap) -> list[Event]:
    return tracker.gap(item) if isinstance(item, Gap) else tracker.update(item)
