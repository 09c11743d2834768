"""Addresses: RTP written by hand and by FFmpeg, packets lost, a server that goes and comes back. Loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import socket
import struct
import threading
from functools import partial

import av
import numpy as np
import pytest
import soundfile
from listening import heard

from streamer.audio.chunks import Chunk, Gap
from streamer.audio.sources import UrlSource, split_channels
from streamer.audio.sources.url import without_password
from streamer.errors import ConfigurationError, SourceUnreachable

PATIENCE_S = 20.0
hear = partial(heard, patience_s=PATIENCE_S)
RATE = 48_000
#: A millisecond, as AES67 has it.
PACKET = 48


def free_port():
    """An even one, as RTP wants it."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            if probe.getsockname()[1] % 2 == 0:
                return probe.getsockname()[1]


def sdp(tmp_path, port, encoding, channels):
    path = tmp_path / "room.sdp"
    path.write_text(
        "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=Room\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=audio {port} RTP/AVP 96\na=rtpmap:96 {encoding}/{RATE}/{channels}\na=ptime:1\n"
    )
    return str(path)


def tone(channels, seconds):
    """(channels, n): another frequency on each channel."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.stack([0.4 * np.sin(2 * np.pi * 300 * (channel + 1) * time) for channel in range(channels)])


def payload(frames, encoding):
    """Big-endian, interleaved."""
    if encoding == "L16":
        return np.rint(frames.T * 32767).astype(">i2").tobytes()
    wide = np.ascontiguousarray(np.rint(frames.T * 8388607), ">i4")
    return wide.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()


@contextlib.asynccontextmanager
async def sending(port, sound, encoding, lost=()):
    """Send RTP (RFC 3550, 3190) over and over, a millisecond a packet; the packets numbered in `lost` never leave."""

    async def send():
        number = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while True:
                for _ in range(10):
                    place = number * PACKET % (sound.shape[1] - PACKET)
                    header = struct.pack(">BBHII", 0x80, 96, number & 0xFFFF, number * PACKET, 0xABCD)
                    if number not in lost:
                        out.sendto(header + payload(sound[:, place : place + PACKET], encoding), ("127.0.0.1", port))
                    number += 1
                await asyncio.sleep(0.002)

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def samples(events):
    return np.concatenate([event.samples for event in events if isinstance(event, Chunk)])


def pitch(sound):
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return np.argmax(spectrum) * 16_000 / len(sound)


@pytest.mark.parametrize("encoding", ["L16", "L24"])
async def test_raw_rtp_is_heard_channel_by_channel(tmp_path, encoding):
    port = free_port()
    url = sdp(tmp_path, port, encoding, 2)
    async with sending(port, tone(2, 1.0), encoding):
        taps = split_channels(UrlSource(url, channels=2), 2)
        first, second = await asyncio.gather(*(hear(tap, 0.5) for tap in taps))
    assert pitch(samples(first)) == pytest.approx(300, abs=8)
    assert pitch(samples(second)) == pytest.approx(600, abs=8)
    assert np.abs(samples(first)).max() == pytest.approx(0.4, abs=0.02)


async def test_lost_packets_are_a_gap_as_long_as_what_was_lost(tmp_path):
    port, lost = free_port(), range(700, 760)
    async with sending(port, tone(1, 1.0), "L16", lost):
        events = await hear(UrlSource(sdp(tmp_path, port, "L16", 1)), 1.5)
    gaps = [event for event in events if isinstance(event, Gap)]
    assert {gap.reason for gap in gaps} == {"packet loss"}
    # 60 ms, give or take the packets around it that FFmpeg's reordering queue gave up.
    assert sum(gap.end_sample - gap.start_sample for gap in gaps) / 16 == pytest.approx(60, abs=2)


async def test_rtp_as_ffmpeg_sends_it_is_heard(tmp_path):
    port = free_port()
    stop = threading.Event()
    sender = threading.Thread(target=_send_by_ffmpeg, args=(port, tone(1, 4.0)[0], stop))
    path = tmp_path / "opus.sdp"
    path.write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=audio {port} RTP/AVP 97\na=rtpmap:97 L16/16000/1\n"
    )
    sender.start()
    try:
        events = await hear(UrlSource(str(path)), 0.5)
    finally:
        stop.set()
        sender.join()
    assert pitch(samples(events)) == pytest.approx(300, abs=8)


def _send_by_ffmpeg(port, sound, stop):
    """PCM over RTP by FFmpeg's own muxer, about as fast as time goes."""
    with av.open(f"rtp://127.0.0.1:{port}?pkt_size=700", "w", format="rtp") as out:
        stream = out.add_stream("pcm_s16be", rate=16_000, layout="mono")
        pcm = np.rint(sound[::3] * 32767).astype(np.int16)
        number = 0
        while not stop.wait(0.01):
            frame = av.AudioFrame.from_ndarray(pcm[None, number % 100 * 160 :][:, :160], "s16", "mono")
            frame.rate, frame.pts = 16_000, number * 160
            for packet in stream.encode(frame):
                out.mux(packet)
            number += 1


@contextlib.contextmanager
def web(sound, port=0):
    """A web server with a WAV file; yields its port and closes at once."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(sound)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(sound)

        def log_message(self, *arguments):
            pass

    http.server.ThreadingHTTPServer.allow_reuse_address = True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "talk.wav"
    soundfile.write(path, tone(1, 0.5)[0], RATE)
    return path.read_bytes()


async def test_a_file_on_a_web_server_ends_where_it_ends(wav):
    with web(wav) as port:
        events = await hear(UrlSource(f"http://127.0.0.1:{port}/talk.wav", ended=True), 60)
    assert not [event for event in events if isinstance(event, Gap)]
    assert len(samples(events)) == 8_000
    assert pitch(samples(events)) == pytest.approx(300, abs=8)


async def test_a_connection_that_ends_is_made_again_and_the_time_between_is_a_gap(wav):
    with web(wav) as port:
        source = UrlSource(f"http://127.0.0.1:{port}/live.wav", retry_s=0.1)
        events = await hear(source, 1.3)
    gaps = [event for event in events if isinstance(event, Gap)]
    assert gaps
    assert {gap.reason for gap in gaps} == {"reconnect"}
    assert source.reconnects >= 1
    assert len(samples(events)) > 8_000, "what came after the reconnect was heard"


async def test_without_reconnect_a_lost_connection_is_an_error(wav):
    with web(wav) as port, pytest.raises(SourceUnreachable, match="was lost"):
        await hear(UrlSource(f"http://127.0.0.1:{port}/live.wav", reconnect=False), 60)


async def test_an_address_where_nobody_is_says_so_without_its_password():
    source = UrlSource("http://ada:hunter2@127.0.0.1:9/x?key=1", patience_s=0.3, retry_s=0.05)
    with pytest.raises(SourceUnreachable, match=r"'http://127\.0\.0\.1:9/x' cannot be opened") as caught:
        await hear(source, 1)
    assert "hunter2" not in str(caught.value)


async def test_other_channels_than_promised_are_an_error(wav):
    with web(wav) as port, pytest.raises(ConfigurationError, match="1 channels, not 2"):
        await hear(UrlSource(f"http://127.0.0.1:{port}/talk.wav", channels=2), 1)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "concat:a|b", "talk.wav", "sdp://x", "ftp://x/y"])
def test_what_is_no_address_of_a_stream_is_an_error(url):
    with pytest.raises(ConfigurationError, match="an address begins with"):
        UrlSource(url)


def test_messages_have_no_passwords():
    assert without_password("rtsp://ada:x@cam/a?token=1") == "rtsp://cam/a"
    assert without_password("room.sdp") == "room.sdp"


async def test_a_source_can_be_left_while_nothing_comes(tmp_path):
    port = free_port()
    source = UrlSource(sdp(tmp_path, port, "L16", 1), stall_s=1.0, patience_s=60.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await hear(source, 1)
