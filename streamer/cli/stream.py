"""`streamer stream`: send a file or the microphone to a server, and print who speaks."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamer.cli.beforehand import check_microphone, check_recordings
from streamer.cli.beforehand import microphone as named_microphone
from streamer.cli.common import file_source, is_typed
from streamer.cli.options import MicrophoneOption
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from streamer.audio.chunks import Source

app = typer.Typer()


@app.command()
def stream(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="The server, like ws://127.0.0.1:8765.", show_default=False)],
    file: Annotated[Path | None, typer.Argument(help="Audio file, or - for standard input.")] = None,
    mic: Annotated[
        bool, typer.Option("--mic", help="Send the microphone instead of a file; --microphone selects it.")
    ] = False,
    microphone: MicrophoneOption = None,
    speed: Annotated[float, typer.Option(help="Times real time; 0: as fast as the server takes it.")] = 1.0,
    roster: Annotated[list[str] | None, typer.Option(help="Listen only for this speaker; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every message as a line of JSON.")] = False,
    token: Annotated[
        str | None, typer.Option(help="Bearer token; better in STREAMER_TOKEN, which no process list shows.")
    ] = None,
) -> None:
    """Send a file or the microphone to a server, and print who speaks.

    Standard input (-) may be an audio file, a WAV that is still being written, or raw PCM: s16le at 16 kHz, one
    channel.

    A lost connection is resumed: audio that did not arrive is sent again, or marked as a gap.
    """
    mic = mic or is_typed(context, "microphone")
    if mic == (file is not None):
        raise ConfigurationError("give either a FILE or --mic.")
    if mic:
        check_microphone(microphone)
    elif file is not None:
        check_recordings([file])
    settings: dict[str, Any] = {"roster": roster or None, "policy": "latest" if mic else "every"}
    source = _source(file, microphone, speed)
    asyncio.run(_run(url, source, token or os.environ.get("STREAMER_TOKEN"), settings, as_json))


def _source(file: Path | None, device: str | None, speed: float) -> Source:
    from streamer.audio.sources import MicrophoneSource

    if file is None:
        return MicrophoneSource(named_microphone(device))
    return file_source(file, speed or None)


async def _run(url: str, source: Source, token: str | None, settings: dict[str, Any], as_json: bool) -> None:
    from streamer.client import Client
    from streamer.output import named
    from streamer.sinks.jsonl import json_line

    async with Client(url, token=token, **settings) as client:
        client.feed(source)
        async for message in client:
            line = json_line(message, sys.stdout).rstrip("\n") if as_json else _line(message)
            if line:
                with named("standard output"):
                    typer.echo(line)


def _line(message: dict[str, Any]) -> str:
    """The line for people for a message; empty for most messages."""
    from streamer.sinks.lines import how_sure

    kind, time = message["type"], message.get("time", 0.0)
    match kind:
        case "speaker" | "unknown":
            what = f"{message['speaker']}  ({how_sure(message['confidence'])})"
        case "correction":
            what = f"{message['speaker']}, not {message['previous']}  ({how_sure(message['confidence'])})"
        case "renamed":
            what = f"{message['previous']} is {message['speaker']}"
        case "ambiguous":
            what = f"one of {', '.join(message['candidates'])}"
        case "gap":
            what = f"{(message['end_sample'] - message['sample']) / 16_000:.1f} s are missing ({message['reason']})"
        case "notice":
            what = message["message"]
        case "overload":
            what = f"the server fell behind and left out {message['skipped']} steps"
        case "restart":
            what = f"the session was lost and starts anew ({message['reason']}); guests are counted from 1 again"
            if (lost := message["sample"] - message["lost_from_sample"]) > 0:
                what += f"; {lost / 16_000:.1f} s are lost"
        case "error":
            return f"{message['message']} {message['change']}"
        case _:
            return ""
    return f"{time:9.2f} s  {what}"
