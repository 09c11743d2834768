"""A small RTSP server (RFC 2326): one track of 16 bit PCM (L16), as RTP (RFC 3550, 3551).

RTP goes interleaved in the connection, or by UDP where that is offered. The sound is sent over and over, in packets of
20 ms, faster than time goes; packets can be lost, connections be cut, or last and say nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

Send = Callable[[bytes], Awaitable[None]]

PAYLOAD_TYPE = 96
TELLS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"


class RtspServer:
    """samples: (channels, n) int16. udp: whether who asks for UDP gets it. lost: numbers of packets of each connection
    that never leave. silenced: nothing is sent any more to those who came first, so many of them.

    played: how many clients came to PLAY. asked: the methods of all of them, in order.
    """

    def __init__(
        self, samples: NDArray[np.int16], rate: int, *, udp: bool = False, lost: range = range(0), speed: float = 4.0
    ) -> None:
        self.samples, self.rate, self.lost, self.speed = samples, rate, lost, speed
        self.udp = udp
        self.played = 0
        self.silenced = 0
        self.asked: list[str] = []
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/room"

    async def open(self) -> None:
        """Listen; again on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, and cut every connection without a word."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        sending: asyncio.Task[None] | None = None
        send: Send = _interleaved(writer)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.bind(("127.0.0.1", 0))
                while (request := await _request(reader)) is not None:
                    method, url, headers = request
                    self.asked.append(method)
                    status, (answer, body) = "200 OK", self._answer(method, url)
                    if method == "SETUP" and "RTP/AVP/TCP" not in headers["transport"]:
                        port = int(headers["transport"].partition("client_port=")[2].partition("-")[0])
                        mine = out.getsockname()[1]
                        way = f"RTP/AVP;unicast;client_port={port}-{port + 1};server_port={mine}-{mine + 1}"
                        # Where there is no UDP a client is told so, and asks for the other way.
                        status, answer = (status, {"Transport": way}) if self.udp else ("461 Unsupported Transport", {})
                        send = _by_udp(out, port) if self.udp else send
                    answer = {"CSeq": headers.get("cseq", "0"), "Session": "1;timeout=60", **answer}
                    lines = [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in answer.items()), "", ""]
                    writer.write("\r\n".join(lines).encode() + body)
                    if method == "PLAY":
                        self.played += 1
                        sending = asyncio.create_task(self._send(send, self.played))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            self._writers.discard(writer)
            writer.transport.abort()

    def _answer(self, method: str, url: str) -> tuple[dict[str, str], bytes]:
        if method == "OPTIONS":
            return {"Public": TELLS}, b""
        if method == "DESCRIBE":
            body = (
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=Room\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n"
                f"m=audio 0 RTP/AVP {PAYLOAD_TYPE}\r\n"
                f"a=rtpmap:{PAYLOAD_TYPE} L16/{self.rate}/{len(self.samples)}\r\na=control:track1\r\n"
            ).encode()
            about = {"Content-Type": "application/sdp", "Content-Base": f"{url}/", "Content-Length": str(len(body))}
            return about, body
        if method == "SETUP":
            return {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}, b""
        return {}, b""

    async def _send(self, send: Send, who: int) -> None:
        step = self.rate // 50
        interleaved = self.samples.T.astype(">i2")
        with contextlib.suppress(OSError):
            for number in range(1 << 16):
                if who <= self.silenced:
                    return
                place = number * step % (len(interleaved) - step + 1)
                header = struct.pack(">BBHII", 0x80, PAYLOAD_TYPE, number, number * step, 0xABCD)
                if number not in self.lost:
                    await send(header + interleaved[place : place + step].tobytes())
                await asyncio.sleep(0.02 / self.speed)


def _interleaved(writer: asyncio.StreamWriter) -> Send:
    async def send(packet: bytes) -> None:
        writer.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
        await writer.drain()

    return send


def _by_udp(out: socket.socket, port: int) -> Send:
    async def send(packet: bytes) -> None:
        out.sendto(packet, ("127.0.0.1", port))

    return send


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]] | None:
    """Method, URL and headers; what the client sends as RTCP between the requests is passed over."""
    while (first := await reader.read(1)) == b"$":
        _, length = struct.unpack(">BH", await reader.readexactly(3))
        await reader.readexactly(length)
    if not first:
        return None
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, url, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    await reader.readexactly(int(headers.get("content-length", 0)))
    return method, url, headers


@contextlib.asynccontextmanager
async def rtsp(samples: NDArray[np.int16], rate: int, **options: object) -> AsyncIterator[RtspServer]:
    server = RtspServer(samples, rate, **options)  # type: ignore[arg-type]
    await server.open()
    try:
        yield server
    finally:
        await server.close()
