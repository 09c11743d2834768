"""The options that `streamer run`, `live` and `speakers` share; importing them is cheap, so that help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[
    str | None, typer.Option("--store", help="Speaker store: a file or a SQLAlchemy URL. Default: the user's own.")
]
MicrophoneOption = Annotated[
    str | None,
    typer.Option("--device", "-d", help="Microphone: a number or part of a name; see --list-devices of live."),
]
RosterOption = Annotated[
    list[str] | None, typer.Option("--roster", help="Listen for this speaker only; may be given several times.")
]
StepOption = Annotated[float, typer.Option(help="Seconds between two decisions.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")]
JsonlOption = Annotated[Path | None, typer.Option("--jsonl", help="Write events to this file of JSON lines.")]
RttmOption = Annotated[Path | None, typer.Option(help="Write the turns to this RTTM file.")]
VttOption = Annotated[Path | None, typer.Option(help="Write the turns to this WebVTT file, with voice tags.")]
SrtOption = Annotated[Path | None, typer.Option(help="Write the turns to this SubRip file.")]
AudacityOption = Annotated[Path | None, typer.Option(help="Write the turns to this file of Audacity's labels.")]
MinutesOption = Annotated[Path | None, typer.Option(help="Write the minutes to this HTML file, at the end.")]
RecordOption = Annotated[Path | None, typer.Option(help="Keep the audio in this WAV or FLAC file.")]
GuestsOption = Annotated[
    bool,
    typer.Option(
        "--keep-guests/--forget-guests", help="Keep voices nobody enrolled for a day, to be named (no audio)."
    ),
]
