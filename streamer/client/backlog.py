"""The client's outgoing audio: samples to send, and recent samples that may have to be sent again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SentChunk:
    """`num_samples` samples per channel from `position` on."""

    position: int
    num_samples: int
    data: bytes

    @property
    def end(self) -> int:
        return self.position + self.num_samples


class Backlog:
    """Chunks in the order of their positions, with a mark between those sent and those not.

    keep: samples to keep after they were sent. The samples that wait are not limited here: callers check `unsent`
    before they add.

    >>> backlog = Backlog(keep=160)
    >>> backlog.add(b"..", 1)
    >>> backlog.take().position
    0
    """

    def __init__(self, keep: int) -> None:
        self.end = 0
        self._audio_end = 0
        self._keep = keep
        self._sent: deque[SentChunk] = deque()
        self._waiting: deque[SentChunk] = deque()

    @property
    def unsent(self) -> int:
        """Samples from the first that waits to the last that was added."""
        return self.end - self._waiting[0].position if self._waiting else 0

    @property
    def next_position(self) -> int:
        """The first sample that is still to be sent."""
        return self._waiting[0].position if self._waiting else self.end

    @property
    def earliest(self) -> int:
        """The first sample that can still be sent."""
        for chunks in (self._sent, self._waiting):
            if chunks:
                return chunks[0].position
        return self.end

    @property
    def trails(self) -> bool:
        """Whether the last samples are missing: after all chunks, something was skipped."""
        return self.end > self._audio_end

    def add(self, data: bytes, num_samples: int) -> None:
        """Add the next samples."""
        if num_samples:
            self._waiting.append(SentChunk(self.end, num_samples, data))
            self.end += num_samples
            self._audio_end = self.end

    def skip(self, num_samples: int) -> None:
        """Mark the next samples as missing."""
        self.end += num_samples

    def take(self) -> SentChunk | None:
        """The next chunk to send, which then counts as sent; None if nothing waits."""
        if not self._waiting:
            return None
        chunk = self._waiting.popleft()
        self._sent.append(chunk)
        while self._sent and self._sent[0].end <= chunk.end - self._keep:
            self._sent.popleft()
        return chunk

    def rewind(self, position: int) -> None:
        """Send again from `position` on, or from the earliest sample that is kept; drop what ends before it."""
        while self._sent and self._sent[-1].end > position:
            self._waiting.appendleft(self._sent.pop())
        while self._waiting and self._waiting[0].end <= position:
            self._sent.append(self._waiting.popleft())
