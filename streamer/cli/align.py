"""`streamer align`: give the words of a transcript their speakers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamer.errors import ConfigurationError

app = typer.Typer()

KINDS = ("json", "srt", "vtt", "txt")


@app.command()
def align(
    transcript: Annotated[Path, typer.Argument(help="Words with times: JSON (as Whisper writes it), SRT or VTT.")],
    events: Annotated[Path, typer.Argument(help="Who speaks when: JSON lines, RTTM or VTT of streamer.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .json, .srt, .vtt or .txt file; default: text on stdout.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--format", help="json, srt, vtt or txt; default: by the name.")] = None,
    near: Annotated[float, typer.Option(help="Words outside of all turns go to one this near, in seconds.")] = 1.0,
) -> None:
    """Give the words of a transcript their speakers."""
    from streamer.meeting.align import assign, read_turns, read_words, write

    kind = kind or (output.suffix.removeprefix(".").lower() if output is not None else "txt")
    if kind not in KINDS:
        raise ConfigurationError(f"format {kind!r} is none; use one of {', '.join(KINDS)}.")
    text = write(assign(read_words(transcript), read_turns(events), near), kind)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
