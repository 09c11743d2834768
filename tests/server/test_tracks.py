"""Two tracks on one clock: nothing shifts, whatever order they come in, and what is missing is said."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.protocol.framing import HEADER
from streamer.server.tracks import JITTER, LEAD, PATIENCE, SILENCE, Lost, Tracks

CHUNK = 160
INBOUND, OUTBOUND = 0, 1


def audio(channel: int, samples: int, seed: int = 0) -> bytes:
    """Never silence, and told apart by its channel."""
    values = np.random.default_rng(seed + channel).integers(0, 100, samples) + 100 * channel
    return values.astype(np.uint8).tobytes()


def laid(frames: list[bytes | Lost], count: int) -> tuple[list[bytes], list[tuple[int, int]]]:
    """Each track as the frames have it, zeros in gaps, and the gaps of all tracks."""
    position, tracks, gaps = 0, [b""] * count, []
    for frame in frames:
        if isinstance(frame, Lost):
            continue
        _, start = HEADER.unpack_from(frame)
        body = frame[HEADER.size :]
        assert start >= position
        if start > position:
            gaps.append((position, start))
            tracks = [track + bytes(start - position) for track in tracks]
        tracks = [track + body[channel::count] for channel, track in enumerate(tracks)]
        position = start + len(body) // count
    return tracks, gaps


def sequences(frames: list[bytes | Lost]) -> list[int]:
    return [HEADER.unpack_from(frame)[0] for frame in frames if isinstance(frame, bytes)]


def lost(frames: list[bytes | Lost]) -> list[Lost]:
    return [frame for frame in frames if isinstance(frame, Lost)]


def one(tracks: Tracks, channel: int, numbers: range, **shift: int) -> list[bytes | Lost]:
    """Chunks of 20 ms by their numbers, from 1 on."""
    out: list[bytes | Lost] = []
    for number in numbers:
        start = (number - 1) * CHUNK + shift.get("by", 0)
        out += tracks.add(channel, number, start, audio(channel, CHUNK, number))
    return out


def said(channel: int, numbers: range) -> bytes:
    return b"".join(audio(channel, CHUNK, number) for number in numbers)


@given(
    st.lists(st.booleans(), min_size=2, max_size=60),
    st.lists(st.integers(-JITTER // 2, JITTER // 2), min_size=60, max_size=60),
)
def test_any_order_and_any_tremor_of_the_time_stamps_give_each_track_as_it_was_said(order, tremor):
    """Neither track is ever so far ahead that the other is not waited for."""
    tracks, out, sent = Tracks(2), [], [0, 0]
    for inbound in order:
        channel = INBOUND if inbound else OUTBOUND
        if sent[channel] - sent[1 - channel] >= PATIENCE // CHUNK - 2:
            channel = 1 - channel
        sent[channel] += 1
        start = max(0, (sent[channel] - 1) * CHUNK + (tremor[sent[channel]] if sent[channel] > 1 else 0))
        out += tracks.add(channel, sent[channel], start, audio(channel, CHUNK, sent[channel]))
    out += tracks.finish()
    heard, gaps = laid(out, 2)
    for channel in (INBOUND, OUTBOUND):
        assert heard[channel].rstrip(SILENCE) == said(channel, range(1, sent[channel] + 1))
    assert (gaps, lost(out)) == ([], [])


@given(
    st.lists(st.sampled_from(["sent", "lost", "quiet"]), min_size=1, max_size=50),
    st.lists(st.sampled_from(["sent", "lost", "quiet"]), min_size=1, max_size=50),
)
def test_every_sample_stands_at_its_time_or_is_missing_in_so_many_words(inbound, outbound):
    """lost: the chunk had a number and did not come. quiet: 20 ms in which nothing was sent."""
    tracks, out, sent = Tracks(2), [], [set(), set()]
    numbers = [0, 0]
    for slot in range(max(len(inbound), len(outbound))):
        for channel, fate in ((INBOUND, inbound[slot : slot + 1]), (OUTBOUND, outbound[slot : slot + 1])):
            numbers[channel] += fate in (["sent"], ["lost"])
            if fate == ["sent"]:
                sent[channel].add(slot)
                out += tracks.add(channel, numbers[channel], slot * CHUNK, audio(channel, CHUNK, slot + 1))
    out += tracks.finish()
    heard, _ = laid(out, 2)
    for channel in (INBOUND, OUTBOUND):
        for slot in sent[channel]:
            said_then = audio(channel, CHUNK, slot + 1)
            # Without a missing number two chunks are within the tremor: so much too early a chunk may stand.
            places = [max(0, slot * CHUNK - early) for early in (0, CHUNK, 2 * CHUNK)]
            assert said_then in [heard[channel][place : place + CHUNK] for place in places]
    for gap in lost(out):
        assert gap.start_sample < gap.end_sample
        assert set(heard[gap.channel][gap.start_sample : gap.end_sample]) <= set(SILENCE + b"\0")
        assert gap.reason == "not sent" or (gap.reason == "packet loss" and "lost" in (inbound, outbound)[gap.channel])


def test_a_chunk_lost_on_the_only_track_is_a_gap_that_the_session_calls_packet_loss():
    tracks = Tracks(1)
    out = one(tracks, INBOUND, range(1, 5)) + one(tracks, INBOUND, range(6, 9))
    heard, gaps = laid(out, 1)
    assert gaps == [(4 * CHUNK, 5 * CHUNK)]
    assert heard[0] == said(0, range(1, 5)) + bytes(CHUNK) + said(0, range(6, 9))
    assert [b - a for a, b in pairwise(sequences(out))] == [1, 1, 1, 2, 1, 1]
    assert lost(out) == []


def test_time_that_passed_without_a_chunk_is_a_gap_that_nobody_lost():
    tracks = Tracks(1)
    out = one(tracks, INBOUND, range(1, 5))
    out += tracks.add(INBOUND, 5, 4 * CHUNK + 4_000, audio(0, CHUNK, 5))
    assert laid(out, 1)[1] == [(4 * CHUNK, 4 * CHUNK + 4_000)]
    assert {b - a for a, b in pairwise(sequences(out))} == {1}


def test_what_one_track_alone_has_lost_is_silence_and_is_told_while_the_other_is_heard():
    tracks, out = Tracks(2), []
    for number in range(1, 41):
        out += one(tracks, INBOUND, range(number, number + 1))
        if not 11 <= number <= 30:
            out += one(tracks, OUTBOUND, range(number, number + 1))
    out += tracks.finish()
    heard, gaps = laid(out, 2)
    assert heard[INBOUND] == said(INBOUND, range(1, 41))
    assert heard[OUTBOUND] == (said(OUTBOUND, range(1, 11)) + 20 * CHUNK * SILENCE + said(OUTBOUND, range(31, 41)))
    assert gaps == []
    assert lost(out) == [Lost(OUTBOUND, 10 * CHUNK, 30 * CHUNK, "packet loss")]


def test_a_track_that_has_not_begun_holds_the_other_up_for_a_fifth_of_a_second_only():
    tracks = Tracks(2)
    out = one(tracks, INBOUND, range(1, 51))
    assert tracks.position == 50 * CHUNK - PATIENCE
    out += one(tracks, OUTBOUND, range(1, 11), by=50 * CHUNK) + tracks.finish()
    heard, gaps = laid(out, 2)
    assert heard[INBOUND].rstrip(SILENCE) == said(INBOUND, range(1, 51))
    assert heard[OUTBOUND].lstrip(SILENCE) == said(OUTBOUND, range(1, 11))
    # It had not begun: nothing of it is missing.
    assert (gaps, lost(out)) == ([], [])


def test_what_comes_too_late_for_the_others_is_left_out_and_told():
    tracks = Tracks(2)
    out = one(tracks, OUTBOUND, range(1, 2)) + one(tracks, INBOUND, range(1, 51))
    out += one(tracks, OUTBOUND, range(5, 6)) + tracks.finish()
    assert lost(out) == [
        Lost(OUTBOUND, CHUNK, 4 * CHUNK, "not sent"),
        Lost(OUTBOUND, 4 * CHUNK, 5 * CHUNK, "late"),
    ]
    assert laid(out, 2)[0][INBOUND] == said(INBOUND, range(1, 51))


def test_what_comes_a_second_time_is_dropped_and_counted():
    tracks = Tracks(1)
    out = one(tracks, INBOUND, range(1, 4)) + one(tracks, INBOUND, range(2, 4)) + one(tracks, INBOUND, range(4, 5))
    assert laid(out, 1) == ([said(0, range(1, 5))], [])
    assert tracks.duplicates == 2


def test_the_milliseconds_before_the_first_chunk_are_nobodys_loss():
    tracks = Tracks(1)
    out = tracks.add(INBOUND, 1, 40, audio(0, CHUNK))
    assert laid(out, 1) == ([40 * SILENCE + audio(0, CHUNK)], [])
    late = Tracks(1)
    assert laid(late.add(INBOUND, 1, LEAD + 1, audio(0, CHUNK)), 1)[1] == [(0, LEAD + 1)]
