"""What is sent again after a rewind is what lay there, however often and wherever the connection was lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamer.client.backlog import Backlog

KEEP = 20


class Restless(RuleBasedStateMachine):
    """Against a plain list of every sample there ever was (None where one was skipped)."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(KEEP)
        self.audio: list[int | None] = []
        self.sent = 0

    @rule(length=st.integers(0, 15))
    def add(self, length):
        new = [(len(self.audio) + offset) % 256 for offset in range(length)]
        self.backlog.add(bytes(new), length)
        self.audio += new

    @rule(length=st.integers(0, 5))
    def skip(self, length):
        self.backlog.skip(length)
        self.audio += [None] * length

    @rule()
    def take(self):
        chunk = self.backlog.take()
        if chunk is None:
            return
        assert list(chunk.data) == self.audio[chunk.position : chunk.end]
        # What lies between the last chunk and this one was skipped.
        assert all(sample is None for sample in self.audio[self.sent : chunk.position])
        self.sent = max(self.sent, chunk.end)

    @rule(back=st.integers(0, 40))
    def rewind(self, back):
        position = max(self.backlog.earliest, self.sent - back)
        self.backlog.rewind(position)
        self.sent = min(self.sent, position)

    @invariant()
    def what_was_sent_of_late_is_kept(self):
        assert self.backlog.end == len(self.audio)
        assert 0 <= self.backlog.unsent <= len(self.audio)


TestRestless = Restless.TestCase


@given(st.lists(st.integers(1, 9), max_size=40))
def test_no_more_is_kept_than_was_asked_for(lengths):
    backlog = Backlog(KEEP)
    for length in lengths:
        backlog.add(bytes(length), length)
        backlog.take()
        assert backlog.end - backlog.earliest < KEEP + 9
