"""Twilio's messages in the protocol's words, without a socket: what they become, and that none of them can do harm."""

from __future__ import annotations

import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telephone import CHUNK, STREAM, media, start, stop

from streamer import protocol
from streamer.audio.chunks import InputGap
from streamer.protocol import Refusal, Settings
from streamer.protocol.framing import HEADER, Framing, Payload
from streamer.server.tracks import Lost
from streamer.server.twilio import END, Translator, sign

BOTH = ("inbound", "outbound")
AUDIO = bytes(range(CHUNK))
ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1.5,
        2**70,
        1e308,
        "",
        "-1",
        "²",
        "9" * 30,
        "x" * 300,
        "\ud800",
        [],
        {},
        [[]],
        "outbound",
        STREAM,
    ]
)


def told(translator: Translator, *messages: dict) -> list:
    return [item for message in messages for item in translator.receive(json.dumps(message))]


def test_a_call_becomes_frames_that_the_framing_takes_as_they_are():
    translator = Translator()
    frames = told(translator, start(), *(media(number, AUDIO) for number in range(1, 6)), stop())
    assert frames.pop() == END
    assert translator.call is not None
    framing = Framing(Settings.of(translator.call.settings))
    assert [item for frame in frames for item in framing.receive(frame)] == [Payload(AUDIO, CHUNK)] * 5


def test_the_signature_is_that_of_twilios_own_example():
    # A form's fields would follow the URL, in order; a handshake has none.
    fields = "CallSidCA1234567890ABCDECaller+14158675309Digits1234From+14158675309To+18005551212"
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert sign(url + fields, "12345") == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_the_settings_are_a_start_of_the_protocol():
    translator = Translator()
    told(translator, start(BOTH, roster=" Ada, Bob ,", step="0.25", duration="2", name="x"))
    call = translator.call
    assert call is not None
    protocol.check(call.settings, "client")
    settings = Settings.of(call.settings)
    assert (settings.roster, settings.step, settings.duration) == (("Ada", "Bob"), 0.25, 2.0)
    assert (settings.encoding, settings.sample_rate, settings.streams) == ("mulaw", 8_000, 2)
    assert call.parameters == {"name": "x"}


@pytest.mark.parametrize(
    ("sent", "wanted", "tracks", "streams"),
    [
        (BOTH, None, BOTH, 2),
        (("outbound", "inbound"), "split", BOTH, 2),
        (BOTH, "mixed", BOTH, 1),
        (BOTH, "outbound", ("outbound",), 1),
        (("outbound",), "mixed", ("outbound",), 1),
    ],
)
def test_tracks_become_channels_in_one_order(sent, wanted, tracks, streams):
    translator = Translator()
    told(translator, start(sent, **({} if wanted is None else {"tracks": wanted})))
    call = translator.call
    assert call is not None
    assert (call.tracks, Settings.of(call.settings).streams) == (tracks, streams)


def test_numbers_may_be_texts_or_numbers():
    translator = Translator()
    message = media(3, AUDIO, at_ms=5)
    message["media"] |= {"chunk": 3, "timestamp": 5}
    [frame] = told(translator, start(), message)
    assert HEADER.unpack_from(frame)[1] == 0
    assert frame[HEADER.size :] == 40 * b"\xff" + AUDIO


def test_what_has_no_meaning_here_is_passed_over():
    translator = Translator()
    strange = [{"event": "mark"}, {"event": "dtmf", "dtmf": {"digit": "1"}}, {"event": "news from 2030"}]
    assert told(translator, {"event": "connected"}, start(), *strange) == []
    assert told(translator, stop(), stop(), media(1, AUDIO)) == [END]


@given(st.data())
def test_no_message_does_anything_but_be_taken_or_refused(data):
    """A call in which any field of any message may be anything, or missing; what comes out is good all the same."""
    translator = Translator()
    messages = [{"event": "connected"}, start(BOTH), *(media(n, AUDIO, track=BOTH[n % 2]) for n in range(1, 8)), stop()]
    out: list = []
    refused = []
    for message in copy.deepcopy(messages):
        for _ in range(data.draw(st.integers(0, 2))):
            inner = data.draw(
                st.sampled_from([message, *(part for part in message.values() if isinstance(part, dict))])
            )
            if inner:
                inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(ODD)
        text = json.dumps(message)
        try:
            out += translator.receive(
                text[: data.draw(st.integers(0, len(text)))] if data.draw(st.booleans()) else text
            )
        except Refusal as refusal:
            refused.append((refusal, translator.call is None))
    assert all(refusal.message and refusal.change and refusal.fatal == early for refusal, early in refused)
    out += translator.finish()
    assert out.count(END) == 1
    assert out[-1] == END
    if translator.call is None:
        return
    framing = Framing(Settings.of(translator.call.settings))
    with contextlib.suppress(Leap):
        for item in out[:-1]:
            if isinstance(item, Lost):
                assert 0 <= item.start_sample < item.end_sample
            else:
                assert all(isinstance(part, Payload | InputGap) for part in taken(framing, item))
    assert framing.duplicates == 0


class Leap(Exception):
    """The session ends, because time went on by more than an hour."""


def taken(framing: Framing, frame: bytes) -> list[Payload | InputGap]:
    try:
        return framing.receive(frame)
    except Refusal as refusal:
        if refusal.code != "gap_too_long":
            raise
        raise Leap from None
