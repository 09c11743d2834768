"""`streamer speakers`: enrol people, and look after those who are enrolled."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamer.cli.beforehand import check_files, check_microphone, check_model, check_recordings, check_store
from streamer.cli.common import (
    EXIT_ERROR,
    DeviceOption,
    ModelOption,
    interactive,
    is_typed,
    load_model,
    open_speakers,
    read_by,
    recordings,
)
from streamer.cli.options import AsJsonOption, MicrophoneOption, StoreOption
from streamer.cli.waiting import TORCH, waiting
from streamer.errors import ConfigurationError
from streamer.models.places import called
from streamer.sinks.text import carries_unicode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from streamer.speakers.profiles import Profile
    from streamer.speakers.store import SpeakerStore

app = typer.Typer(no_args_is_help=True, help="Enrol speakers, and look after those who are enrolled.")

NameArgument = Annotated[str, typer.Argument(help="A speaker's name.")]


@app.command()
def enroll(
    context: typer.Context,
    name: NameArgument,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Recordings of this person alone, or - for standard input.")
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Enrol from the microphone; --microphone says which.")] = False,
    microphone: MicrophoneOption = None,
    force: Annotated[bool, typer.Option("--force", help="Enrol in spite of what the coach says.")] = False,
    store: StoreOption = None,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
) -> None:
    """Enrol a speaker, or refine the profile there is, from recordings or by voice."""
    from streamer.sinks.text import plain_console
    from streamer.speakers.names import clean_name

    name = clean_name(name)
    mic = mic or is_typed(context, "microphone")
    if mic == bool(files):
        raise ConfigurationError("give recordings to enrol from, or --mic, and not both.")
    check_model(model, device)
    check_store(store)
    if mic:
        check_microphone(microphone)
    check_recordings(files or [])
    console = plain_console(stderr=True)
    with open_speakers(model, store, device, live=mic) as speakers:
        before = sum(profile.speech_s for profile in speakers.profiles() if profile.name == name)
        if mic:
            from streamer.cli.microphone import enrol_by_voice

            verdict = enrol_by_voice(speakers, name, microphone, console, force=force)
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
def list_(store: StoreOption = None, as_json: AsJsonOption = False) -> None:
    """Who is enrolled, and which guests can be named."""
    with _open(store) as opened:
        profiles, names = opened.profiles(), opened.names()
        guests = opened.guests()
    if as_json:
        heard = [{"guest": label, "speech_s": speech_s, "heard": when} for _, label, speech_s, when in guests]
        return _print_json({"speakers": [_described(profile) for profile in profiles], "guests": heard})
    table = _table("name", "speech", "exemplars", "enrolled", "model")
    for profile in profiles:
        last = max(exemplar.created for exemplar in profile.exemplars)
        table.add_row(
            profile.name,
            f"{profile.speech_s:.1f} s",
            str(len(profile.exemplars)),
            _day(last),
            called(profile.fingerprint),
        )
    _print(table if names else "nobody is enrolled; streamer speakers enroll NAME FILE")
    for _, label, speech_s, created in guests:
        typer.echo(f"{label} ({speech_s:.1f} s, {_day(created)}) can be named: streamer speakers name {label} NAME")


@app.command()
def show(name: NameArgument, store: StoreOption = None, as_json: AsJsonOption = False) -> None:
    """One speaker's exemplars."""
    with _open(store) as opened:
        profiles = opened.profiles(names=[name])
        if not profiles:
            opened.require(name)
    if as_json:
        return _print_json([_described(profile) | {"exemplars": _exemplars(profile)} for profile in profiles])
    table = _table("speech", "signal to noise", "enrolled", "from", "model")
    for profile in profiles:
        for exemplar in profile.exemplars:
            when, quality = _day(exemplar.created), f"{exemplar.quality:.0f} dB"
            table.add_row(f"{exemplar.speech_s:.1f} s", quality, when, exemplar.source, called(profile.fingerprint))
    _print(table)


@app.command()
def rename(
    name: NameArgument, to: Annotated[str, typer.Argument(help="The new name.")], store: StoreOption = None
) -> None:
    """Give a speaker another name."""
    with _open(store) as opened:
        opened.rename(name, to)
    typer.echo(f"{name} is called {to} now, in {opened.where}.")


@app.command()
def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = None,
) -> None:
    """Delete a speaker, beyond recovery; exit code 2 where that could not be done yet (see `erase`).

    Asks first, unless --yes is given; where nobody can be asked, --yes is needed.
    """
    with _open(store) as opened:
        opened.require(name)
        if not yes:
            _confirm(f"Delete {name} from {opened.where}, beyond recovery?", f"{name} was not deleted")
        opened.remove(name)
    typer.echo(f"{name} is deleted from {opened.where}.")


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
    typer.echo(f"{name} and {into} are one person now: {into}, in {opened.where}.")


@app.command()
def name(
    guest: Annotated[str, typer.Argument(help="What the guest was called, such as guest-1.")],
    name: NameArgument,
    store: StoreOption = None,
) -> None:
    """Enrol a guest that was heard within the last day under a name."""
    with _open(store) as opened:
        opened.name_guest(guest, name)
    typer.echo(f"{guest} is enrolled as {name}, in {opened.where}.")


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
def check(store: StoreOption = None, model: ModelOption = "default", as_json: AsJsonOption = False) -> None:
    """How well those enrolled can be told apart."""
    check_model(model)
    _require(store)
    check_store(store)
    with waiting(TORCH):
        from streamer.speakers.enrolment import ADVICE
        from streamer.speakers.library import Speakers

    with Speakers(load_model(model), store) as speakers:
        speakers.tell_of_others()
        found = speakers.check()
        count = len(speakers.profiles())
        minimum = speakers.settings.wanted_s
        thin = [profile.name for profile in speakers.profiles() if profile.speech_s < minimum]
    if as_json:
        return _print_json(
            {
                "speakers": count,
                "within": [round(float(score), 4) for score in found.within],
                "between": [round(float(score), 4) for score in found.between],
                "threshold": found.threshold,
                "measured": found.measured,
                "too_short": thin,
                "overlaps": [asdict(overlap) for overlap in found.overlaps],
            }
        )
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


def _confirm(question: str, otherwise: str) -> None:
    """Raises ConfigurationError where nobody can be asked, and Abort where the answer is no."""
    if not interactive():
        raise ConfigurationError(f"{otherwise}: nobody can be asked here; give --yes to do it without.")
    if not typer.confirm(question, err=True):
        typer.echo(f"{otherwise}.", err=True)
        raise typer.Exit(EXIT_ERROR)


def _described(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "speech_s": profile.speech_s,
        "exemplars": len(profile.exemplars),
        "enrolled": max(exemplar.created for exemplar in profile.exemplars),
        "model": profile.fingerprint,
    }


def _exemplars(profile: Profile) -> list[dict[str, Any]]:
    return [
        {"speech_s": one.speech_s, "quality_db": one.quality, "enrolled": one.created, "source": one.source}
        for one in profile.exemplars
    ]


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=not carries_unicode(sys.stdout), indent=1))


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
