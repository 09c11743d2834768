"""Who asks, for Home Assistant and other voice assistants: a Wyoming service that hears a request and says a name.

    pip install wyoming
    streamer serve                                   # where people are enrolled
    python demos/wyoming_service.py --uri tcp://127.0.0.1:10700

To an assistant it is a service for speech to text whose "transcript" is a name: empty for somebody who is not enrolled,
or where it is not sure. https://github.com/OHF-Voice/wyoming
"""

from __future__ import annotations

import argparse
import asyncio
import io
import wave
from functools import partial

import httpx2
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioChunkConverter, AudioStart, AudioStop
from wyoming.event import Event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.server import AsyncEventHandler, AsyncServer

#: From so probable on a name is said.
SURE = 0.8
#: A request is short; what goes on for longer is cut.
LONGEST_S = 60

OURS = Attribution("streamer", "https://pypi.org/project/speaker-streamer/")
INFO = Info(
    asr=[
        AsrProgram(
            "streamer", OURS, True, "Says who speaks, by name", None,
            [AsrModel("speaker", OURS, True, "The enrolled speaker's name", None, ["*"])],
        )
    ]
)  # fmt: skip


class Handler(AsyncEventHandler):
    """One connection: audio in, a name out."""

    def __init__(self, server: str, token: str | None, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._server = httpx2.AsyncClient(base_url=server, headers=headers, trust_env=False, timeout=30)
        self._convert = AudioChunkConverter(rate=16_000, width=2, channels=1)
        self._heard = bytearray()

    async def handle_event(self, event: Event) -> bool:
        if Describe.is_type(event.type):
            await self.write_event(INFO.event())
        elif AudioStart.is_type(event.type):
            self._heard.clear()
        elif AudioChunk.is_type(event.type) and len(self._heard) < LONGEST_S * 32_000:
            self._heard += self._convert.convert(AudioChunk.from_event(event)).audio
        elif AudioStop.is_type(event.type):
            await self.write_event(Transcript(await self._who()).event())
        return True

    async def disconnect(self) -> None:
        await self._server.aclose()

    async def _who(self) -> str:
        """The most probable of the enrolled, or nothing."""
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setparams((1, 2, 16_000, 0, "NONE", ""))
            wav.writeframes(bytes(self._heard))
        answer = await self._server.post("/v1/identify", content=file.getvalue())
        if answer.status_code == 422:  # too little speech to say
            return ""
        best = next(iter(answer.raise_for_status().json()["candidates"]), None)
        return best["name"] if best is not None and best["probability"] >= SURE else ""


async def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A Wyoming service that says who speaks.")
    parser.add_argument("--uri", default="tcp://127.0.0.1:10700", help="where assistants connect")
    parser.add_argument("--server", default="http://127.0.0.1:8765", help="a running `streamer serve`")
    parser.add_argument("--token", help="a token of its, with the scope stream")
    given = parser.parse_args(arguments)
    await AsyncServer.from_uri(given.uri).run(partial(Handler, given.server, given.token))


if __name__ == "__main__":
    asyncio.run(main())
