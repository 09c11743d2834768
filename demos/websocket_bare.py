"""Who is speaking, from a WAV file: the protocol streamer.v1 in plain `websockets`, nothing of ours.

python demos/websocket_bare.py talk.wav [ws://127.0.0.1:8765/v1/stream]
"""

import asyncio
import json
import os
import sys
import wave

from websockets.asyncio.client import connect


async def main(path: str, url: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("STREAMER_TOKEN")) else None
    # Compression would only cost time. While the server slows us down, its pongs are late: they wait behind the audio.
    options = {"subprotocols": ["streamer.v1"], "compression": None, "ping_timeout": None}
    async with connect(url, additional_headers=headers, **options) as socket:
        with wave.open(path) as file:
            encoding = {1: None, 2: "s16le", 3: "s24le", 4: "s32le"}[file.getsampwidth()]
            if encoding is None:
                sys.exit(f"{path}: 8-bit WAV is unsigned, which the protocol doesn't have; convert it first.")
            start = {
                "type": "start",
                "sample_rate": file.getframerate(),
                "encoding": encoding,
                "channels": file.getnchannels(),
            }
            await socket.send(json.dumps(start))
            answer = json.loads(await socket.recv())
            if answer["type"] != "ready":
                sys.exit(f"{answer['message']} {answer['change']}")
            await asyncio.gather(send(file, socket), receive(socket))


async def send(file: wave.Wave_read, socket) -> None:
    # As fast as the server takes it: its back-pressure arrives here as a send that waits.
    while audio := file.readframes(4_800):
        await socket.send(audio)
    await socket.send(json.dumps({"type": "end"}))


async def receive(socket) -> None:
    async for text in socket:
        message = json.loads(text)
        if message["type"] in ("speaker", "unknown", "correction"):
            print(f"{message['time']:8.2f} s  {message['speaker']}  ({message['confidence']:.0%})")
        elif message["type"] == "turn_end":
            print(f"{message['time']:8.2f} s  {message['speaker']} has spoken")
        elif message["type"] == "error":
            sys.exit(f"{message['message']} {message['change']}")
        if "id" in message and message["id"] % 20 == 0:
            await socket.send(json.dumps({"type": "ack", "event": message["id"]}))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "ws://127.0.0.1:8765/v1/stream"))
