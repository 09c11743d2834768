"""A telephone network on the loopback interface: calls as Twilio sends them, and a server that gets the events."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import scipy.signal
from numpy.typing import NDArray
from talking import PATIENCE_S
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streamer.audio.files import read_audio
from streamer.audio.formats import encode_pcm
from streamer.demo import CONVERSATION
from streamer.server import twilio
from streamer.server.app import Server
from streamer.sinks.webhook import SIGNATURE

CHUNK = 160  # samples, 20 ms
STREAM, CALL = "MZ18ad3ab5a668481ce02b83e7395059f0", "CA9ab1c2d3e4f5061728394a5b6c7d8e9f"


def mulaw(seconds: float, seed: int = 0) -> bytes:
    """8 kHz: noise with the ups and downs of speech."""
    samples = int(seconds * 8_000)
    noise = np.random.default_rng(seed).normal(0, 0.1, samples) * np.abs(np.sin(np.arange(samples) / 1500))
    return encode_pcm(noise.astype(np.float32), "mulaw")


def telephoned(samples: NDArray[np.float32]) -> bytes:
    """Samples at 16 kHz as they come over a telephone: 8 kHz, mu-law."""
    return encode_pcm(scipy.signal.resample_poly(samples, 1, 2).astype(np.float32), "mulaw")


def voices(first_s: float, last_s: float) -> bytes:
    """A part of the bundled conversation, over the telephone."""
    return telephoned(read_audio(CONVERSATION).mono_16k()[int(first_s * 16_000) : int(last_s * 16_000)])


def start(sent: tuple[str, ...] = ("inbound",), **parameters: str) -> dict[str, Any]:
    """Twilio's `start`, with these custom parameters."""
    return {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": "ACcafe",
            "streamSid": STREAM,
            "callSid": CALL,
            "tracks": list(sent),
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        },
        "streamSid": STREAM,
    }


def media(chunk: int, payload: bytes, *, track: str = "inbound", at_ms: int | None = None) -> dict[str, Any]:
    """Chunk number `chunk`, from 1 on; where it stands if all before it were 20 ms, unless said."""
    timestamp = 20 * (chunk - 1) if at_ms is None else at_ms
    body = {
        "track": track,
        "chunk": str(chunk),
        "timestamp": str(timestamp),
        "payload": base64.b64encode(payload).decode(),
    }
    return {"event": "media", "sequenceNumber": str(chunk + 1), "media": body, "streamSid": STREAM}


def stop() -> dict[str, Any]:
    return {"event": "stop", "sequenceNumber": "5", "stop": {"accountSid": "ACcafe", "callSid": CALL}}


def chunks(audio: bytes) -> list[bytes]:
    return [audio[at : at + CHUNK] for at in range(0, len(audio), CHUNK)]


class Caller:
    """Twilio's end of a connection: it sends, and reads nothing but the end."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, message: dict[str, Any]) -> None:
        await self.socket.send(json.dumps(message))

    async def dial(self, *tracks: str, **parameters: str) -> None:
        await self.say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.say(start(tracks or ("inbound",), **parameters))

    async def speak(self, audio: bytes, *, track: str = "inbound", first: int = 1) -> None:
        for number, payload in enumerate(chunks(audio), start=first):
            await self.say(media(number, payload, track=track))

    async def closed(self) -> tuple[int | None, str | None]:
        """Code and reason, once the server has closed; what it says before that is not for Twilio."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    await self.socket.recv()
        return self.socket.close_code, self.socket.close_reason


@contextlib.asynccontextmanager
async def calling(server: Server, signature: str | None = None) -> AsyncIterator[Caller]:
    """Connect as Twilio does: no subprotocol, no header of ours."""
    headers = {} if signature is None else {twilio.SIGNATURE.lower(): signature}
    url = f"ws://127.0.0.1:{server.port}{twilio.PATH}"
    async with connect(url, proxy=None, additional_headers=headers) as socket:
        yield Caller(socket)


class Office:
    """Somebody's server: takes batches of events. signatures: of each batch, with its body."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.signatures: list[tuple[str, bytes]] = []
        self.url = ""
        self._came = asyncio.Condition()

    async def until(self, type_: str, call: str = CALL) -> dict[str, Any]:
        """The first event of this type about this call."""

        def found() -> list[dict[str, Any]]:
            return [event for event in self.events if (event["type"], event["call"]) == (type_, call)]

        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(found)
            return found()[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["Content-Length"]))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()
        async with self._came:
            self.signatures.append((headers.get(SIGNATURE, ""), body))
            self.events += json.loads(body)["events"]
            self._came.notify_all()


@contextlib.asynccontextmanager
async def working() -> AsyncIterator[Office]:
    office = Office()
    server = await asyncio.start_server(office.serve, "127.0.0.1", 0)
    office.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/calls"
    async with server:
        yield office
