"""Options shared by several commands; importing them is cheap, so that help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamer.cli.common import OUTPUT_PANEL, PEOPLE_PANEL, SOUND_PANEL

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Speaker store: a file or a SQLAlchemy URL. Default: your own store.",
        rich_help_panel=PEOPLE_PANEL,
    ),
]
MicrophoneOption = Annotated[
    str | None,
    typer.Option(
        "--microphone",
        help="A number or part of a name; see `streamer live --list-microphones`.",
        rich_help_panel=SOUND_PANEL,
    ),
]
RosterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--roster", help="Listen for this speaker only; may be given several times.", rich_help_panel=PEOPLE_PANEL
    ),
]
StepOption = Annotated[float, typer.Option(help="Seconds between two decisions.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print events as JSON lines.", rich_help_panel=OUTPUT_PANEL)]
GuestsOption = Annotated[
    bool,
    typer.Option(
        "--keep-guests/--forget-guests",
        help="Keep voice prints of guests for a day, so that they can be named (no audio).",
        rich_help_panel=PEOPLE_PANEL,
    ),
]
# A port to serve on

HostOption = Annotated[
    str | None, typer.Option(help="Address to listen on; any but a loopback one needs --token-file.")
]
TokenFileOption = Annotated[
    str | None, typer.Option(help="File of hashed bearer tokens; see `streamer serve --new-token`.")
]
CertOption = Annotated[str | None, typer.Option(help="TLS certificate chain (PEM).")]
KeyOption = Annotated[str | None, typer.Option(help="TLS private key (PEM).")]
OriginOption = Annotated[list[str] | None, typer.Option(help="A web page's origin that may connect; may be repeated.")]

AsJsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# Files to write


JsonlOption = Annotated[
    Path | None,
    typer.Option("--jsonl", help="Write events to this file of JSON lines.", rich_help_panel=OUTPUT_PANEL),
]
RttmOption = Annotated[
    Path | None, typer.Option(help="Write the turns to this RTTM file.", rich_help_panel=OUTPUT_PANEL)
]
VttOption = Annotated[
    Path | None,
    typer.Option(help="Write the turns to this WebVTT file, with voice tags.", rich_help_panel=OUTPUT_PANEL),
]
SrtOption = Annotated[
    Path | None, typer.Option(help="Write the turns to this SubRip file.", rich_help_panel=OUTPUT_PANEL)
]
AudacityOption = Annotated[
    Path | None, typer.Option(help="Write the turns to this Audacity label file.", rich_help_panel=OUTPUT_PANEL)
]
MinutesOption = Annotated[
    Path | None, typer.Option(help="Write the minutes to this HTML file, at the end.", rich_help_panel=OUTPUT_PANEL)
]
SinkOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sink",
        metavar="NAME[=ARGUMENT]",
        help="Send events to a sink by name: audacity, jsonl, minutes, srt, vtt, webhook, or one of an installed "
        "package. May be given several times.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
RecordOption = Annotated[
    Path | None, typer.Option(help="Save the audio in this WAV or FLAC file.", rich_help_panel=OUTPUT_PANEL)
]
