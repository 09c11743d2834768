"""A hostile client: one case is one connection, made from a seed.

The suite runs a few hundred; ten thousand are run with

    python tests/server/support/fuzzing.py 10000
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import struct
from collections.abc import Awaitable, Callable

from talking import pcm, talking
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from streamer import protocol
from streamer.server.app import Server

#: Nothing that the server does with one case takes longer; a case that does is a server that hangs.
CASE_S = 20.0
NAMES = sorted(protocol.message_types("client"))
FIELDS = sorted({name for body in protocol.schema()["$defs"].values() for name in body.get("properties", {})})
EXAMPLES = [example for name in NAMES for example in protocol.schema()["$defs"][name]["examples"]]


async def case(server: Server, seed: int) -> None:
    """One connection with ill will. Raises if the server hangs, or says what the protocol doesn't have."""
    generator = random.Random(seed)
    kinds: list[Callable[[Server, random.Random], Awaitable[None]]] = [
        noise, http, requests, upgrade, frames, beginnings, sessions, sessions, sessions, leaving,
    ]  # fmt: skip
    async with asyncio.timeout(CASE_S):
        with contextlib.suppress(ConnectionError, ConnectionClosed, InvalidHandshake, EOFError):
            await generator.choice(kinds)(server, generator)


async def noise(server: Server, generator: random.Random) -> None:
    """Bytes that are no HTTP at all."""
    async with raw(server) as (reader, writer):
        writer.write(generator.randbytes(generator.choice([1, 100, 9_000, 70_000])))
        if generator.random() < 0.5:
            writer.write_eof()
            await reader.read()


async def http(server: Server, generator: random.Random) -> None:
    """Requests of every kind, most of them wrong."""
    async with raw(server) as (reader, writer):
        method = generator.choice(["GET", "POST", "HEAD", "G" * 9_000, ""])
        path = generator.choice(["/", "/healthz", "/../../etc/passwd", "/%00", "/v1/stream", "/x" * 5_000, "*"])
        headers = [
            f"X-{n}: {generator.choice(['', 'a' * 20, 'é', 'b' * 9_000])}" for n in range(generator.choice([0, 3, 300]))
        ]
        text = "\r\n".join([f"{method} {path} HTTP/{generator.choice(['1.1', '1.0', '9'])}", *headers, "", ""])
        data = text.encode()
        writer.write(data[: generator.choice([len(data), len(data) // 2])])
        writer.write_eof()
        await reader.read()


async def requests(server: Server, generator: random.Random) -> None:
    """Recordings that are none, in bodies that are not as long as they say, to where recordings are taken."""
    async with raw(server) as (reader, writer):
        body = generator.choice([b"", generator.randbytes(5_000), b"RIFF" + generator.randbytes(60), pcm(0.5)])
        kind = generator.choice(["audio/wav", "multipart/form-data; boundary=x", "multipart/form-data", "é"])
        length = generator.choice([len(body), len(body) + 9, 0, 10**12, -1, "x"])
        size = generator.choice([f"Content-Length: {length}", "Transfer-Encoding: chunked", "Expect: 100-continue"])
        path = generator.choice(["/v1/embed", "/v1/identify", "/v1/speakers/%00", "/v1/speakers/guest-1?force=x", "/"])
        method = generator.choice(["POST", "POST", "PUT", "PATCH", "DELETE"])
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{size}\r\n\r\n"
        writer.write(head.encode() + body)
        if generator.random() < 0.7:
            writer.write_eof()
        else:
            writer.transport.abort()
        await reader.read()


async def upgrade(server: Server, generator: random.Random) -> None:
    """Handshakes with a field missing, doubled or wrong; sometimes one byte at a time, and never finished."""
    async with raw(server) as (reader, writer):
        lines = handshake(generator).decode().split("\r\n")
        place = generator.randrange(1, len(lines) - 2)
        lines[place : place + 1] = generator.choice([[], [lines[place]] * 2, [lines[place].upper()], ["Host: evil"]])
        data = "\r\n".join(lines).encode()
        for byte in data[: generator.randrange(len(data))]:
            writer.write(bytes([byte]))
        await writer.drain()
        if generator.random() < 0.5:
            writer.write_eof()
            await reader.read()


async def frames(server: Server, generator: random.Random) -> None:
    """A true handshake, then frames that are not: reserved bits, wrong opcodes, no mask, lengths that never come."""
    async with raw(server) as (reader, writer):
        writer.write(handshake(generator))
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(generator.randrange(1, 12)):
            # Opcode 0x40 is the compression bit: an inflating bomb would begin so.
            head = generator.choice(
                [0x81, 0x82, 0x01, 0x80, 0xC1, 0xF2, 0x83, 0x88, 0x89, 0x8A, 0x09, generator.randrange(256)]
            )
            payload = generator.randbytes(generator.choice([0, 1, 5, 125, 300]))
            length = generator.choice([len(payload), 127, 126, 2**16, 2**31, 2**63 - 1])
            size = bytes([0x80 | min(length, 125)]) if length < 126 else b"\xff" + struct.pack(">Q", length)
            mask = generator.randbytes(4)
            writer.write(bytes([head]) + size + mask + payload)
        if generator.random() < 0.7:
            writer.write_eof()
            await reader.read()


async def beginnings(server: Server, generator: random.Random) -> None:
    """A first message that is no `start`, or one with something wrong in it."""
    async with talking(server, max_size=None) as talk:
        await talk.socket.send(message(generator))
        await listen(talk, 0.3)


async def sessions(server: Server, generator: random.Random) -> None:
    """A session that begins well, and goes on with whatever comes to mind."""
    async with talking(server) as talk:
        sequenced = generator.random() < 0.5
        encoding = generator.choice(["s16le", "s24le", "f32le", "mulaw", "opus"])
        answer = await talk.start(
            encoding=encoding,
            framing="sequenced" if sequenced else "plain",
            sample_rate=generator.choice([8_000, 16_000, 44_100, 192_000]),
            channels=generator.choice([1, 1, 2]),
            channel_mode=generator.choice(["downmix", "split"]),
            windows=generator.random() < 0.5,
        )
        if answer["type"] != "ready":
            return
        position = 0
        for _ in range(generator.randrange(1, 25)):
            if generator.random() < 0.5:
                data = generator.choice([b"", b"\0", generator.randbytes(generator.randrange(4_000)), pcm(0.2)])
                if sequenced and generator.random() < 0.9:
                    position += generator.choice([0, 1, 300, 10**6, -500, 10**15])
                    header = struct.pack("<IQ", generator.randrange(2**32), position % 2**64)
                    data = (header if generator.random() < 0.5 else struct.pack("<IQ", 1, 0)) + data
                await talk.socket.send(data)
            else:
                await talk.socket.send(message(generator))
        if generator.random() < 0.3:
            await talk.say(type="end")
        await listen(talk, 0.2)
        if generator.random() < 0.3:
            talk.socket.transport.abort()  # half open for the server, until it looks


async def leaving(server: Server, generator: random.Random) -> None:
    """Connect and go, at every stage."""
    async with raw(server) as (reader, writer):
        if generator.random() < 0.7:
            writer.write(handshake(generator))
        if generator.random() < 0.5:
            await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()


def message(generator: random.Random) -> str | bytes:
    """A text or binary message, from nearly right to nonsense."""
    kind = generator.randrange(5)
    if kind == 0:
        return generator.choice(["", "{", "[]", "null", '"start"', "\x00", "[" * 50_000, "1e999", '{"type":NaN}'])
    if kind == 1:
        return "é\ud7ff" * generator.randrange(200) if generator.random() < 0.5 else generator.randbytes(40)
    body = dict(generator.choice(EXAMPLES))
    for _ in range(generator.randrange(3)):
        body[generator.choice(FIELDS)] = generator.choice(
            [None, True, -1, 0, 1e308, 2**70, "", "x" * 3_000, [], [[]], {}, {"type": "end"}, "\ud800", "guest-1", 3.0]
        )
    text = json.dumps(body)
    return text if kind < 4 else text[: generator.randrange(len(text) + 1)]


async def listen(talk: object, seconds: float) -> None:
    """Read what comes, each message valid by the schema, for so long or to the end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await talk.next()  # type: ignore[attr-defined]


def handshake(generator: random.Random) -> bytes:
    key = base64.b64encode(generator.randbytes(16)).decode()
    return (
        f"GET {protocol.PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    ).encode()


@contextlib.asynccontextmanager
async def raw(server: Server):  # type: ignore[no-untyped-def]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def storm(server: Server, first_seed: int, count: int, together: int) -> None:
    """So many cases, so many of them at once."""
    seeds = iter(range(first_seed, first_seed + count))

    async def worker() -> None:
        for seed in seeds:
            try:
                await case(server, seed)
            except Exception as error:
                raise AssertionError(f"case {seed} failed: {error!r}") from error

    await asyncio.gather(*(worker() for _ in range(together)))


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    import sys
    from pathlib import Path

    import pytest

    os.environ["STREAMER_FUZZ_CASES"] = sys.argv[1] if len(sys.argv) > 1 else "10000"
    sys.exit(pytest.main([str(Path(__file__).parents[1] / "test_fuzz.py"), "-s"]))
