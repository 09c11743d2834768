"""`streamer speakers`: enrol people, and look after those who are enrolled."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.beforehand import check_files, check_microphone, check_model, check_recordings, check_store
from streamer.cli.common import ModelOption, load_model, open_speakers, read_by, recordings
from streamer.cli.options import StoreOption
from streamer.cli.waiting import TORCH, waiting
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from streamer.speakers.store import SpeakerStore

app = typer.Typer(no_args_is_help=True, help="Enrol speakers, and look after those who are enrolled.")

NameArgument = Annotated[str, typer.Argument(help="A speaker's name.")]


@app.command()
def enroll(
    name: NameArgument,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Recordings of this person alone, or - for standard input.")
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Enrol from the microphone.")] = False,
    device: Annotated[
        str | None, typer.Option("--device", "-d", help="Microphone: a number or part of a name.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Enrol in spite of what the coach says.")] = False,
    store: StoreOption = None,
    model: ModelOption = "default",
) -> None:
    """Enrol a speaker, or refine the profile there is, from recordings or by voice."""
    from streamer.sinks.text import plain_console
    from streamer.speakers.names import clean_name

    name = clean_name(name)
    if mic == bool(files):
        raise ConfigurationError("give recordings to enrol from, or --mic, and not both.")
    check_model(model)
    check_store(store)
    if mic:
        check_microphone(device)
    check_recordings(files or [])
    console = plain_console(stderr=True)
    with open_speakers(model, store) as speakers:
        before = sum(profile.speech_s for profile in speakers.profiles() if profile.name == name)
        if mic:
            from streamer.cli.microphone import enrol_by_voice

            verdict = enrol_by_voice(speakers, name, device, console, force=force)
        else:
            with _bar(console) as bar:
                task = bar.add_task(f"speech of {name}", total=speakers.settings.wanted_s)
                verdict = speakers.enroll(
                    name,
                    *(file for _, file in recordings(files or [])),
                    force=force,
                    progress=lambda heard: bar.update(task, completed=min(heard.speech_s, speakers.settings.wanted_s)),
                )
        for finding in verdict.findings:
            console.print(f"kept in spite of {finding.code}: {finding.message}", style="yellow")
        total = speakers.profile(name).speech_s
        if added := total - before:
            typer.echo(f"{name}: {added:.1f} s of speech added, {total:.1f} s in all.")
        else:
            typer.echo(f"{name}: nothing new: this is in the profile already, which has {total:.1f} s of speech.")
        if total < speakers.settings.wanted_s:
            typer.echo(f"With {math.ceil(speakers.settings.wanted_s - total)} s more the profile would be better.")


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn

    from streamer.sinks.text import draws

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.1f} of {task.total:g} s"),
    )
    return Progress(*columns, console=console, transient=True, disable=not draws(console))


@app.command("list")
def list_(store: StoreOption = None) -> None:
    """Who is enrolled."""
    with _open(store) as opened:
        profiles, names = opened.profiles(), opened.names()
        guests = opened.guests()
    table = _table("name", "speech", "exemplars", "enrolled", "model")
    for profile in profiles:
        last = max(exemplar.created for exemplar in profile.exemplars)
        table.add_row(
            profile.name, f"{profile.speech_s:.1f} s", str(len(profile.exemplars)), _day(last), profile.fingerprint
        )
    _print(table if names else "nobody is enrolled; streamer speakers enroll NAME FILE")
    for _, label, speech_s, created in guests:
        typer.echo(f"{label} ({speech_s:.1f} s, {_day(created)}) can be named: streamer speakers name {label} NAME")


@app.command()
def show(name: NameArgument, store: StoreOption = None) -> None:
    """One speaker's exemplars."""
    with _open(store) as opened:
        profiles = opened.profiles(names=[name])
        if not profiles:
            opened.require(name)
    table = _table("speech", "signal to noise", "enrolled", "from", "model")
    for profile in profiles:
        for exemplar in profile.exemplars:
            when, quality = _day(exemplar.created), f"{exemplar.quality:.0f} dB"
            table.add_row(f"{exemplar.speech_s:.1f} s", quality, when, exemplar.source, profile.fingerprint)
    _print(table)


@app.command()
def rename(
    name: NameArgument, to: Annotated[str, typer.Argument(help="The new name.")], store: StoreOption = None
) -> None:
    """Give a speaker another name."""
    with _open(store) as opened:
        opened.rename(name, to)


@app.command()
def remove(name: NameArgument, store: StoreOption = None) -> None:
    """Delete a speaker, beyond recovery; exit code 2 where that could not be done yet (see `erase`)."""
    with _open(store) as opened:
        opened.remove(name)


@app.command()
def erase(store: StoreOption = None) -> None:
    """Make sure that what was deleted has left the store's files."""
    from streamer.errors import StoreNotErased

    with _open(store) as opened:
        if not opened.finish_erasing():
            raise StoreNotErased(
                f"{opened.where}-wal still holds what was deleted: another process reads an older state of the store; "
                "end it, then try again."
            )
        typer.echo(f"Nothing that was deleted is left in {opened.where}.")


@app.command()
def merge(
    name: NameArgument, into: Annotated[str, typer.Argument(help="The name to keep.")], store: StoreOption = None
) -> None:
    """Make one of two names that are the same person."""
    with _open(store) as opened:
        opened.merge(name, into)


@app.command()
def name(
    guest: Annotated[str, typer.Argument(help="What the guest was called, such as guest-1.")],
    name: NameArgument,
    store: StoreOption = None,
) -> None:
    """Enrol a guest that was heard within the last day under a name."""
    with _open(store) as opened:
        opened.name_guest(guest, name)


@app.command("export")
def export(file: Path, store: StoreOption = None) -> None:
    """Write all profiles to a JSON file (voice prints, no audio)."""
    from streamer.output import check_outputs
    from streamer.speakers.transfer import export_speakers

    check_outputs({"FILE": file}, read_by("default", store))
    with _open(store) as opened:
        typer.echo(f"{export_speakers(opened, file)} speakers written to {file}.")


@app.command("import")
def import_(file: Path, store: StoreOption = None) -> None:
    """Add the profiles of an exported file."""
    check_files(exported_file=file)
    from streamer.speakers.transfer import import_speakers

    with _open(store, make=True) as opened:
        typer.echo(f"{import_speakers(opened, file)} speakers read from {file}.")


@app.command()
def check(store: StoreOption = None, model: ModelOption = "default") -> None:
    """How well those enrolled can be told apart."""
    check_model(model)
    _require(store)
    check_store(store)
    with waiting(TORCH):
        from streamer.speakers.enrolment import ADVICE
        from streamer.speakers.library import Speakers

    with Speakers(load_model(model), store) as speakers:
        found = speakers.check()
        count = len(speakers.profiles())
        minimum = speakers.settings.wanted_s
        thin = [profile.name for profile in speakers.profiles() if profile.speech_s < minimum]
    typer.echo(f"{count} speakers.")
    for kind, scores in (("one person with themselves", found.within), ("different people", found.between)):
        if len(scores):
            low, high = scores.min(), scores.max()
            typer.echo(f"similarity of {kind}: {scores.mean():.2f} on average ({low:.2f} to {high:.2f})")
    origin = "from these enrolments" if found.measured else "the model's own; enrol more to measure it"
    typer.echo(f"suggested threshold: {found.threshold:.2f} ({origin})")
    for name in thin:
        typer.echo(f"{name} has less than {minimum:g} s of speech: {ADVICE['too_short']} to enrol more.")
    for overlap in found.overlaps:
        typer.echo(
            f"WARNING: {overlap.one} and {overlap.other} sound alike (similarity {overlap.score:.2f}) and may be "
            "mistaken for each other; enrol more speech of both, or merge them if they are one person."
        )
    if not found.overlaps and count > 1:
        typer.echo("no two profiles overlap.")


def _open(store: str | None, *, make: bool = False) -> SpeakerStore:
    """make: whether a store that is not there yet is made."""
    if not make:
        _require(store)
    from streamer.speakers.store import SpeakerStore

    return SpeakerStore(store)


def _require(store: str | None) -> None:
    """A mistyped store would be made, and found empty."""
    from streamer.speakers import glance

    glance.require(store)


def _print(what: Table | str) -> None:
    from streamer.sinks.text import plain_console

    plain_console().print(what)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _day(created: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(created))
