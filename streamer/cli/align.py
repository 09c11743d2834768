"""`streamer align`: assign the words of a transcript to speakers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from streamer.cli.beforehand import check_files
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
    near: Annotated[float, typer.Option(help="Words outside all turns go to a turn this near, in seconds.")] = 1.0,
) -> None:
    """Assign the words of a transcript to speakers."""
    check_files(transcript=transcript, file_of_turns=events)
    from streamer.meeting.align import assign, read_turns, read_words, write
    from streamer.output import check_outputs, replacing
    from streamer.sinks.text import carries_unicode

    check_outputs({"--output": output}, [transcript, events])
    kind = kind or (output.suffix.removeprefix(".").lower() if output is not None else "txt")
    if kind not in KINDS:
        raise ConfigurationError(f"format {kind!r} is not known; use one of {', '.join(KINDS)}.")

    def left_out(file: Path) -> Callable[[int], None]:
        return lambda lines: typer.echo(f"{file.name}: {lines} lines before its beginning were skipped.", err=True)

    words = assign(read_words(transcript, left_out(transcript)), read_turns(events, left_out(events)), near)
    text = write(words, kind)
    if output is None:
        if kind == "json" and not carries_unicode(sys.stdout):
            text = json.dumps(json.loads(text), indent=1) + "\n"
        typer.echo(text, nl=False)
    else:
        with replacing(output) as new:
            new.write_text(text, encoding="utf-8")
        placed = sum(word.speaker is not None for word in words)
        typer.echo(f"{placed} of {len(words)} words or lines have a speaker, written to {output}.")
