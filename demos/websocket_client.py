"""Stream a file or the microphone to a server, and print who speaks; a lost connection is taken up again.

streamer serve                                                  # in another terminal
python demos/websocket_client.py talk.wav
python demos/websocket_client.py --microphone --url wss://example.org --roster Ada --roster Bob

The token, where the server wants one, comes from STREAMER_TOKEN. `websocket_bare.py` beside this file does the same
without this package, to be read by those who write a client in another language.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

from streamer import FileSource, MicrophoneSource
from streamer.client import Client
from streamer.errors import StreamerError


def options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Stream a file or the microphone to a server, and print who speaks.")
    parser.add_argument("file", nargs="?", help="an audio file; it is sent in real time")
    parser.add_argument("--microphone", action="store_true")
    parser.add_argument("--url", default="ws://127.0.0.1:8765")
    parser.add_argument("--roster", action="append", help="listen for this speaker only; may be repeated")
    parser.add_argument("--fast", action="store_true", help="send the file as fast as the server takes it")
    args = parser.parse_args(arguments)
    if args.microphone == bool(args.file):
        parser.error("give a file, or --microphone")
    return args


async def run(args: argparse.Namespace, say: Callable[[str], None]) -> None:
    source = MicrophoneSource() if args.microphone else FileSource(args.file, realtime=not args.fast)
    # A live client wants to hear of now; a recording wants every step.
    policy = "latest" if args.microphone else "every"
    async with Client(args.url, token=os.environ.get("STREAMER_TOKEN"), roster=args.roster, policy=policy) as client:
        client.feed(source)
        async for message in client:
            if (line := shown(message)) is not None:
                say(line)


def shown(message: dict[str, Any]) -> str | None:
    """A line for what a person wants to know of; None for the rest."""
    match message["type"]:
        case "speaker" | "unknown":
            said = f"{message['speaker']}  ({message['confidence']:.0%})"
        case "correction":
            said = f"{message['speaker']}, not {message['previous']}"
        case "turn_end":
            said = f"{message['speaker']} has spoken"
        case "gap":
            said = f"nothing was heard: {message['reason']}"
        case "error":
            return f"{message['message']} {message['change']}"
        case _:
            return None
    return f"{message['time']:8.2f} s  {said}"


def main(arguments: list[str] | None = None) -> None:
    try:
        asyncio.run(run(options(arguments), print))
    except StreamerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
