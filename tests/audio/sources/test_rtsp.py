"""RTSP as cameras and conference bridges speak it: every sample in its place, losses and lost connections as gaps."""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np
import pytest
from listening import heard
from rtsp import rtsp

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.audio.chunks import Chunk, Gap
from streamer.audio.files import read_audio
from streamer.audio.sources import UrlSource, split_channels
from streamer.demo import CONVERSATION
from streamer.errors import SourceUnreachable

PATIENCE_S = 30.0
hear = partial(heard, patience_s=PATIENCE_S)
TCP = {"rtsp_transport": "tcp"}


@pytest.fixture(scope="module")
def talk():
    """(1, n) int16 at 16 kHz: 6 s of the bundled conversation."""
    return np.rint(read_audio(CONVERSATION).mono_16k()[None, : 6 * RATE] * 32767).astype(np.int16)


def laid_out(events):
    """The samples where the events have them, nothing in the gaps."""
    out = np.full(events[-1].end_sample, np.nan, np.float32)
    for event in events:
        if isinstance(event, Chunk):
            out[event.start_sample : event.end_sample] = event.samples
    return out


def gaps(events):
    return [event for event in events if isinstance(event, Gap)]


async def test_the_samples_are_those_of_the_file(talk):
    async with rtsp(talk, RATE) as server:
        events = await hear(UrlSource(server.url, options=TCP), 4.0)
    assert server.asked[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert gaps(events) == []
    sound = laid_out(events)[: 4 * RATE]
    # 16 bit in, 16 bit out, the same rate: equal to the last bit.
    np.testing.assert_array_equal(sound, talk[0, : len(sound)] / np.float32(32768))


async def test_each_channel_of_a_stream_is_a_microphone(talk):
    two = np.stack([talk[0], talk[0][::-1]])
    async with rtsp(two, RATE) as server:
        taps = split_channels(UrlSource(server.url, channels=2, options=TCP), 2)
        both = await asyncio.gather(*(hear(tap, 1.0) for tap in taps))
    for channel, events in zip(two, both, strict=True):
        np.testing.assert_array_equal(laid_out(events)[:RATE], channel[:RATE] / np.float32(32768))


async def test_packets_that_were_lost_are_a_gap_in_their_place(talk):
    async with rtsp(talk, RATE, lost=range(50, 60)) as server:
        events = await hear(UrlSource(server.url, options=TCP), 2.0)
    assert [(gap.start_sample, gap.end_sample, gap.reason) for gap in gaps(events)] == [
        (50 * 320, 60 * 320, "packet loss")
    ]
    sound = laid_out(events)[: 2 * RATE]
    there = ~np.isnan(sound)
    np.testing.assert_array_equal(sound[there], talk[0, : len(sound)][there] / np.float32(32768))


async def test_a_connection_that_is_cut_is_made_again_and_the_time_without_it_is_a_gap(talk):
    async with rtsp(talk, RATE) as server:
        source = UrlSource(server.url, options=TCP, retry_s=0.05)
        events, cut = [], False
        async with asyncio.timeout(PATIENCE_S), source:
            async for event in source:
                events.append(event)
                if not cut and event.end_sample >= RATE:
                    cut = True
                    server.cut()
                if gaps(events) and event.end_sample >= gaps(events)[-1].end_sample + RATE:
                    break
    assert server.played == 2
    assert source.reconnects == 1
    (gap,) = gaps(events)
    assert gap.reason == "reconnect"
    # What came after it is the stream from its beginning, as this server has it.
    sound = laid_out(events)[gap.end_sample :][:RATE]
    np.testing.assert_array_equal(sound, talk[0, :RATE] / np.float32(32768))


async def test_a_server_that_is_away_for_a_while_is_found_again_and_every_second_of_it_is_marked(talk):
    async with rtsp(talk, RATE) as server:
        source = UrlSource(server.url, options=TCP, retry_s=0.05)
        loop, events, gone_at, back_at = asyncio.get_running_loop(), [], 0.0, 0.0
        async with asyncio.timeout(PATIENCE_S), source:
            async for event in source:
                events.append(event)
                if not gone_at and event.end_sample >= RATE:
                    gone_at = loop.time()
                    await server.close()
                elif gone_at and not back_at and loop.time() - gone_at > 0.5:
                    back_at = loop.time()
                    await server.open()
                elif back_at and server.played == 2 and isinstance(event, Chunk):
                    break
    marked = sum(gap.end_sample - gap.start_sample for gap in gaps(events)) / RATE
    assert {gap.reason for gap in gaps(events)} == {"reconnect"}
    # The stream ran ahead of time by what was on its way when it was cut; the clock never runs behind.
    assert marked >= back_at - gone_at - 0.1
    assert source.reconnects == 1


async def test_a_connection_on_which_nothing_comes_any_more_counts_as_lost(talk):
    async with rtsp(talk, RATE) as server:
        source = UrlSource(server.url, options=TCP, stall_s=0.4, retry_s=0.05)
        events = []
        async with asyncio.timeout(PATIENCE_S), source:
            async for event in source:
                events.append(event)
                server.silenced = max(server.silenced, int(event.end_sample >= RATE))
                if server.played == 2 and isinstance(event, Chunk):
                    break
    (gap,) = gaps(events)
    assert gap.reason == "reconnect"
    # It begins when the last packet came, not when that was noticed.
    assert gap.end_sample - gap.start_sample >= 0.35 * RATE
    assert source.reconnects == 1


async def test_packets_by_udp_are_heard_and_lost_ones_are_a_gap(talk):
    async with rtsp(talk, RATE, udp=True, lost=range(70, 75)) as server:
        events = await hear(UrlSource(server.url), 2.0)
    assert server.asked.count("SETUP") == 1
    # Whether the very first packet comes before the client listens is nobody's promise.
    sound = laid_out(events)
    first = talk[0] / np.float32(32768)
    begin = next(number for number in range(5) if np.array_equal(sound[:320], first[number * 320 :][:320])) * 320
    assert [(begin + gap.start_sample, begin + gap.end_sample) for gap in gaps(events)] == [(70 * 320, 75 * 320)]
    there = ~np.isnan(sound)
    np.testing.assert_array_equal(sound[there], first[begin:][: len(sound)][there])


async def test_a_server_that_does_not_send_by_udp_is_asked_again(talk):
    async with rtsp(talk, RATE) as server:
        events = await hear(UrlSource(server.url), 1.0)
    assert server.asked.count("SETUP") == 2
    np.testing.assert_array_equal(laid_out(events)[:RATE], talk[0, :RATE] / np.float32(32768))


async def test_a_path_that_is_none_is_an_error_that_says_so():
    async def refuse(reader, writer):
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        sequence = request.lower().partition("cseq:")[2].split()[0]
        writer.write(f"RTSP/1.0 404 Not Found\r\nCSeq: {sequence}\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"rtsp://ada:hunter2@127.0.0.1:{server.sockets[0].getsockname()[1]}/nothing"
    async with server:
        with pytest.raises(SourceUnreachable, match=r"/nothing' cannot be opened") as caught:
            await hear(UrlSource(url, options=TCP, patience_s=0.2, retry_s=0.05), 1.0)
    assert "hunter2" not in str(caught.value)
