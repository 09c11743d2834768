"""A session keeps its word whatever the client says and however often the connection is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer import protocol
from streamer.audio.chunks import InputGap
from streamer.protocol import Refusal, Settings
from streamer.protocol.framing import Payload
from streamer.server.commands import Close, Directory, Enroll, Finish, Flush, Send, Share, Show
from streamer.server.replay import Keep
from streamer.server.session import MAX_ERRORS, SessionState

ALL = frozenset({"stream", "enroll", "admin"})
MODEL = {"name": "test", "fingerprint": "f00d"}
EVENT = {"type": "speech_start", "time": 1.0, "sample": 16000, "decided_sample": 16000, "reason": ""}


def session(scopes=ALL, keep=None, **settings) -> SessionState:
    made = SessionState("room", "secret", Settings(**settings), MODEL, keep)
    made.attach({"type": "start"}, scopes, now=0.0)
    return made


def said(commands) -> list[dict]:
    """The messages among the commands, each valid by the schema."""
    return [protocol.read(command.text, "server") for command in commands if isinstance(command, Send)]


def tell(room: SessionState, /, **message):
    return room.receive(json.dumps(message))


def test_the_first_answer_is_ready_with_what_was_agreed():
    fresh = SessionState("room", "secret", Settings(sample_rate=48_000), MODEL)
    [ready] = said(fresh.attach({"type": "start"}, frozenset({"stream"}), now=0.0))
    assert ready["type"] == "ready"
    assert ready["settings"]["sample_rate"] == 48_000
    assert (ready["resume"], ready["resumed"], ready["position"]) == ("secret", False, 0)
    assert ready["scopes"] == ["stream"]


def test_a_fault_of_the_servers_is_not_put_down_to_the_client():
    for code, close in (("internal", 1011), ("gap_too_long", 1008)):
        [_, command] = session().refuse(Refusal(code, "", "", fatal=True))
        assert command == Close(close, code)


def test_audio_flush_and_end_come_out_in_their_order():
    room = session()
    commands = [*room.receive(b"abcd"), *tell(room, type="flush", request=4), *tell(room, type="end")]
    assert commands == [Payload(b"abcd", 2), Flush(4), Finish()]
    [flushed] = said(room.flushed(4, 2))
    assert flushed == {"type": "flushed", "request": 4, "sample": 2}
    *_, goodbye, close = room.drained()
    assert json.loads(goodbye.text)["reason"] == "ended"
    assert close == Close(1000, "ended")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "start"}, "wrong_order"),
        ({"type": "watch", "room": "studio"}, "wrong_order"),
        ({"type": "share", "room": "no room"}, "invalid_message"),
        ({"type": "ack", "event": 1}, "invalid_message"),
        ({"type": "enroll", "action": "commit"}, "wrong_order"),
        ({"type": "enroll", "action": "start"}, "invalid_message"),
        ({"type": "enroll", "action": "start", "name": "Ada", "channel": 1}, "invalid_message"),
        ({"type": "speakers", "action": "rename", "speaker": "Ada"}, "invalid_message"),
        ({"type": "nonsense"}, "invalid_message"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_a_mistake_is_answered_and_the_session_goes_on(message, code):
    room = session()
    [error] = said(tell(room, **message))
    assert (error["type"], error["code"], error["fatal"]) == ("error", code, False)
    assert room.receive(b"ab") == [Payload(b"ab", 1)]


def test_too_many_mistakes_end_the_connection():
    room = session()
    for _ in range(MAX_ERRORS - 1):
        assert not any(isinstance(command, Close) for command in room.receive("{"))
    assert room.receive("{")[-1] == Close(1008, "invalid_message")


def test_after_end_only_ping_and_ack_are_taken():
    room = session()
    tell(room, type="end")
    assert said(room.receive(b"ab"))[0]["code"] == "wrong_order"
    assert said(tell(room, type="flush"))[0]["code"] == "wrong_order"
    assert said(tell(room, type="ping", request=1)) == [{"type": "pong", "request": 1}]


@pytest.mark.parametrize(
    ("message", "scope"),
    [
        ({"type": "enroll", "action": "start", "name": "Ada"}, "enroll"),
        ({"type": "speakers", "action": "name", "speaker": "guest-1", "to": "Ada"}, "enroll"),
        ({"type": "speakers", "action": "rename", "speaker": "Ada", "to": "Eve"}, "admin"),
        ({"type": "speakers", "action": "remove", "speaker": "Ada"}, "admin"),
        ({"type": "speakers", "action": "list"}, "stream"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value['type']}-{value['action']}",
)
def test_each_right_needs_its_scope(message, scope):
    assert said(tell(session(scopes=ALL - {scope}), **message))[0]["code"] == "forbidden"
    [command] = tell(session(scopes=frozenset({scope})), **message)
    assert isinstance(command, Enroll | Directory)


def test_one_enrolment_at_a_time():
    room = session()
    assert tell(room, type="enroll", action="start", name="Ada") == [Enroll("start", "Ada", 0, False)]
    assert said(tell(room, type="enroll", action="start", name="Bob"))[0]["code"] == "conflict"
    assert tell(room, type="enroll", action="commit", force=True) == [Enroll("commit", "Ada", 0, True)]
    report = {"state": "refused", "name": "Ada", "progress": 0.5, "speech": 5.0, "needed": 10.0, "advice": []}
    said(room.enrolment(report))
    assert tell(room, type="enroll", action="cancel") == [Enroll("cancel", "Ada", 0, False)]
    said(room.enrolment({**report, "state": "cancelled"}))
    assert tell(room, type="enroll", action="start", name="Bob") == [Enroll("start", "Bob", 0, False)]


def test_a_late_return_starts_after_the_events_that_arrived_and_marks_the_gap():
    room = session(sample_rate=8_000)
    room.receive(bytes(16_000))
    room.emit(0, [EVENT] * 5)
    room.detach(now=10.0)
    room.emit(0, [EVENT])
    commands = room.attach({"type": "start", "resume": "secret", "last_event": 3}, ALL, now=12.0)
    assert commands[0] == InputGap(16_000, "reconnect")
    ready, *events = said(commands)
    assert (ready["resumed"], ready["position"], ready["lost_events"]) == (True, 24_000, 0)
    assert [event["id"] for event in events] == [4, 5, 6]


def test_what_no_longer_fits_is_counted_as_lost():
    room = session(keep=Keep(events=3))
    room.detach(now=0.0)
    room.emit(0, [EVENT] * 10)
    ready, *events = said(room.attach({"type": "start", "resume": "secret", "last_event": 2}, ALL, now=1.0))
    assert ready["lost_events"] == 5
    assert [event["id"] for event in events] == [8, 9, 10]


@given(st.integers(0, 400), st.integers(1, 300))
def test_what_is_kept_never_exceeds_its_bounds(count, size):
    keep = Keep(events=50, size=size * 100)
    room = session(keep=keep)
    room.emit(0, [EVENT] * count)
    pending = room.replay.pending
    assert len(pending) <= keep.events
    assert sum(map(len, pending)) <= keep.size
    assert room.replay.lost + len(pending) == count


def test_an_end_that_was_reached_while_nobody_was_there_is_told_on_return():
    room = session()
    tell(room, type="end")
    room.detach(now=1.0)
    room.emit(0, [EVENT])
    assert room.drained() == []
    commands = room.attach({"type": "start", "resume": "secret"}, ALL, now=2.0)
    assert [message["type"] for message in said(commands)] == ["ready", "speech_start", "goodbye"]
    assert commands[-1] == Close(1000, "ended")


def test_an_end_that_came_before_a_restart_is_not_forgotten():
    room = session()
    tell(room, type="end")
    room.detach(now=1.0)
    restored = SessionState.restored(room.snapshot(), now=1.0)
    commands = restored.attach({"type": "start", "resume": "secret"}, ALL, now=2.0)
    assert [message["type"] for message in said(commands)] == ["ready"]
    assert commands[-1] == Finish()
    restored.detach(now=3.0)
    assert Finish() not in restored.attach({"type": "start", "resume": "secret"}, ALL, now=4.0)


def test_a_session_expires_when_nobody_returns():
    room = session(keep=Keep(seconds=30))
    assert not room.expired(1e9)
    room.detach(now=100.0)
    assert not room.expired(130.0)
    assert room.expired(130.1)


def test_nothing_is_sent_to_a_client_that_is_gone():
    room = session()
    room.detach(now=0.0)
    assert room.emit(0, [EVENT]) == []
    assert room.stats(0.0, 0.0, 0, None) == []
    assert room.refuse(Refusal("internal", "", "")) == []
    assert room.dismiss("idle", "", resume=False, code=1000) == []


class Restless(RuleBasedStateMachine):
    """A client on a bad network: it sends, loses frames of both directions, returns, and the server restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.room = session(encoding="mulaw", keep=Keep(events=1000))
        self.now = 0.0
        self.sent = 0
        self.taken = 0
        self.seen: list[int] = []
        self.emitted = 0

    def read(self, commands) -> None:
        for command in commands:
            if isinstance(command, Payload | InputGap):
                self.taken += command.num_samples
        for message in said(commands):
            if "id" in message:
                self.seen.append(message["id"])

    @precondition(lambda self: self.room.attached)
    @rule(length=st.integers(0, 50), arrives=st.booleans())
    def speak(self, length, arrives):
        self.sent += length
        if arrives:
            self.read(self.room.receive(bytes(length)))
        else:
            self.lose()

    @rule(count=st.integers(0, 3), arrives=st.booleans())
    def decide(self, count, arrives):
        attached = self.room.attached
        commands = self.room.emit(0, [EVENT] * count)
        self.emitted += count
        if arrives:
            self.read(commands)
        elif attached:
            self.lose()

    @precondition(lambda self: self.room.attached)
    @rule(share=st.floats(0, 1))
    def acknowledge(self, share):
        assert tell(self.room, type="ack", event=int(share * len(self.seen))) == []

    def lose(self):
        self.room.detach(self.now)

    @precondition(lambda self: not self.room.attached)
    @rule(seconds=st.floats(0, 20), restart=st.booleans(), kept=st.booleans())
    def come_back(self, seconds, restart, kept):
        if restart:
            self.room = SessionState.restored(
                json.loads(json.dumps(self.room.snapshot())), self.now, self.room.replay.keep
            )
        self.now += seconds
        start = {"type": "start", "resume": "secret", "last_event": len(self.seen)}
        start["position"] = self.room.framing.position if kept else self.sent
        commands = self.room.attach(start, ALL, self.now)
        self.read(commands)
        self.sent = self.room.framing.position
        assert said(commands)[0]["lost_events"] == 0

    @invariant()
    def every_event_is_seen_once_and_in_order(self):
        assert self.seen == list(range(1, len(self.seen) + 1))
        if self.room.attached:
            assert len(self.seen) == self.emitted

    @invariant()
    def the_clock_is_what_arrived_and_what_is_marked_as_missing(self):
        assert self.taken == self.room.framing.position
        if self.room.attached:
            assert self.taken == self.sent


TestRestless = Restless.TestCase


def test_a_snapshot_of_an_unknown_shape_is_not_taken():
    with pytest.raises(KeyError):
        SessionState.restored({"name": "room"}, now=0.0)


def test_what_is_shared_is_shown_to_those_who_watch_also_while_its_client_is_away():
    room = session()
    assert tell(room, type="share", room="studio", request=2) == [Share("studio", 2)]
    assert not any(isinstance(command, Show) for command in room.emit(0, [EVENT]))
    assert said(room.shared("studio", 3, 2)) == [{"type": "shared", "room": "studio", "watchers": 3, "request": 2}]
    show, send = room.emit(0, [EVENT])
    assert show == Show(send.text, keep=True)
    room.detach(now=1.0)
    [show] = room.emit(0, [EVENT])
    assert show.keep
    room.attach({"type": "start", "last_event": 3}, ALL, now=2.0)
    show, send = room.stats(0.1, 0.2, 0, None)
    assert show == Show(send.text, keep=False)  # how it does now is of no use to those who come later
