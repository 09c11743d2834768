"""Whatever is lost, repeated, reordered or cut on the way, every sample's position stays right."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.chunks import InputGap
from streamer.audio.opus import opus_duration
from streamer.protocol import Refusal, Settings
from streamer.protocol.framing import HEADER, MAX_GAP_S, Framing, Payload


def mono(**kwargs) -> Framing:
    return Framing(Settings(**kwargs))


def numbered(first: int, last: int) -> bytes:
    """Samples whose value is their position, so that a shift shows."""
    return struct.pack(f"<{last - first}i", *range(first, last))


def heard(items: list[Payload | InputGap]) -> list[int | None]:
    """The stream sample by sample; None where one is missing."""
    out: list[int | None] = []
    for item in items:
        if isinstance(item, Payload):
            out += struct.unpack(f"<{item.num_samples}i", item.data)
        else:
            out += [None] * item.num_samples
    return out


@given(st.lists(st.integers(0, 60), max_size=20))
def test_plain_frames_may_be_cut_anywhere(cuts):
    audio = numbered(0, 50)
    framing = mono(encoding="s32le")
    edges = sorted({0, *(4 * cut % len(audio) + cut % 4 for cut in cuts), len(audio)})
    items = [item for a, b in itertools.pairwise(edges) for item in framing.receive(audio[a:b])]
    assert heard(items) == list(range(50))
    assert framing.position == 50


frames = st.lists(st.integers(0, 9), min_size=1, max_size=12)


@given(frames, st.integers(0, 2**32 - 1), st.data())
def test_lost_repeated_and_late_frames_never_shift_the_clock(lengths, first_sequence, data):
    """What is heard at a position is the sample of that position, or a gap; nothing is heard twice."""
    sent, position = [], 0
    for index, length in enumerate(lengths):
        sequence = (first_sequence + index) % 2**32
        sent.append(HEADER.pack(sequence, position) + numbered(position, position + length))
        position += length
    # A network that drops, repeats and delays: any sequence of the frames, some of them several times.
    order = data.draw(st.lists(st.sampled_from(range(len(sent))), max_size=2 * len(sent)))
    framing = mono(encoding="s32le", framing="sequenced")
    out = heard([item for index in order for item in framing.receive(sent[index])])
    assert all(value is None or value == place for place, value in enumerate(out))
    assert framing.position == len(out)
    arrived_in_order = set()
    latest = -1
    for index in order:
        if index > latest:
            arrived_in_order.add(index)
            latest = index
    # The first frame of all sets where counting begins, so a later one of a lower number is late.
    for index in arrived_in_order:
        start = sum(lengths[:index])
        assert out[start : start + lengths[index]] == list(range(start, start + lengths[index]))


def test_a_clean_run_across_the_wrap_has_no_gap():
    framing = mono(encoding="s16le", framing="sequenced")
    items = []
    for index in range(4):
        items += framing.receive(HEADER.pack((2**32 - 2 + index) % 2**32, index * 10) + bytes(20))
    assert [type(item) for item in items] == [Payload] * 4
    assert framing.duplicates == 0


def test_an_overlapping_frame_gives_only_its_new_samples():
    framing = mono(encoding="s32le", framing="sequenced")
    framing.receive(HEADER.pack(0, 0) + numbered(0, 10))
    assert heard(framing.receive(HEADER.pack(1, 6) + numbered(6, 14))) == [10, 11, 12, 13]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"short", "bad_audio"),
        (HEADER.pack(0, 0) + b"odd", "bad_audio"),
        (HEADER.pack(0, MAX_GAP_S * 16_000 + 1) + b"ok", "gap_too_long"),
        (HEADER.pack(0, 2**64 - 1) + b"ok", "gap_too_long"),
    ],
    ids=["no-header", "half-a-sample", "just-too-far", "the-end-of-time"],
)
def test_a_refused_frame_changes_nothing(frame, code):
    framing = mono(framing="sequenced")
    with pytest.raises(Refusal) as refusal:
        framing.receive(frame)
    assert refusal.value.code == code
    assert framing.position == 0
    assert framing.receive(HEADER.pack(5, 0) + b"ok") == [Payload(b"ok", 1)]


def test_after_a_reconnect_the_gap_is_what_the_client_can_no_longer_send():
    framing = mono()
    framing.receive(bytes(2 * 16_000) + b"x")
    assert framing.rejoin(12_000, away_s=9.0) == []  # it kept enough: audio goes on from `position`
    assert framing.rejoin(20_000, away_s=9.0) == [InputGap(4_000, "reconnect")]
    assert framing.rejoin(None, away_s=0.5) == [InputGap(8_000, "reconnect")]
    assert framing.position == 28_000
    assert framing.receive(b"ab") == [Payload(b"ab", 1)]  # half a sample from before does not linger


@pytest.mark.parametrize(
    ("packet", "samples"),
    [(b"\x00", 480), (b"\x98", 960), (b"\x99..", 1920), (b"\x1b\x02..", 5760), (b"\xe0", 120), (b"\x83\x01.", 120)],
)
def test_an_opus_packet_tells_its_length(packet, samples):
    assert opus_duration(packet) == samples


@pytest.mark.parametrize("packet", [b"", b"\x03", b"\x03\x00", b"\x1b\x03."], ids=["empty", "cut", "none", "180ms"])
def test_no_opus_packet_has_no_length(packet):
    with pytest.raises(ValueError, match="Opus"):
        opus_duration(packet)
    with pytest.raises(Refusal):
        mono(encoding="opus").receive(packet)
