"""`streamer meeting`: who speaks in a room with several microphones, and at which one."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.beforehand import (
    check_files,
    check_microphone,
    check_model,
    check_recordings,
    check_step,
    check_store,
    microphone,
)
from streamer.cli.common import load_model
from streamer.cli.options import CertOption, HostOption, KeyOption, OriginOption, TokenFileOption
from streamer.cli.page import page_settings, shown
from streamer.cli.waiting import MODEL, TORCH, rehearse, waiting

if TYPE_CHECKING:
    from streamer.audio.sources import BaseSource
    from streamer.meeting.config import Input, MeetingConfig
    from streamer.meeting.meeting import Meeting
    from streamer.server.config import ServerConfig
    from streamer.sinks.base import Sink
    from streamer.sinks.files import OutputFiles

app = typer.Typer()


@app.command()
def meeting(
    config: Annotated[Path, typer.Option("--config", "-c", help="The room, as TOML; docs/meeting.md says how.")],
    json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
    page: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=0, max=65535, help="Show who speaks on a web page on this port, to look at only."
        ),
    ] = None,
    host: HostOption = None,
    token_file: TokenFileOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    origin: OriginOption = None,
) -> None:
    """Listen to a room until its recordings end, or Ctrl-C; then the minutes are written.

    With --page, a browser on this machine shows who speaks, and at which microphone, while the meeting lasts. The
    options after --page are those of `streamer serve`; other machines need --host, and tokens with the scope watch.
    """
    from streamer.meeting.config import load

    check_files(configuration=config)
    loaded = load(config)
    settings = page_settings(page, host=host, token_file=token_file, cert=cert, key=key, origins=origin)
    _check(loaded)
    with waiting(TORCH):
        import streamer.meeting.meeting  # noqa: F401
    held = asyncio.run(_hold(loaded, settings, json=json))
    for channel, error in held.failures.items():
        typer.echo(f"{held.channels[channel]} was left out: {error}", err=True)


async def _hold(config: MeetingConfig, page: ServerConfig | None, *, json: bool) -> Meeting:
    from streamer.cli.listening import interrupted
    from streamer.engine.engine import Engine
    from streamer.meeting.meeting import Meeting
    from streamer.sinks.terminal import TerminalView, summary
    from streamer.sinks.text import plain_console
    from streamer.speakers.library import Speakers

    sources, names, gains = _inputs(config)
    console = plain_console(stderr=json)
    live = any(given.live for given in config.inputs)
    async with AsyncExitStack() as stack:
        sinks = _sinks(config, json=json, console=console)
        with waiting(MODEL) as say:
            engine = Engine(load_model(config.model), device=config.device)
            speakers = stack.enter_context(Speakers(engine.model, config.store_location))
            if live or any(isinstance(sink, TerminalView) for sink in sinks):
                rehearse(engine.incremental, say)
        speakers.tell_of_others()  # before a view is drawn over it, and before the microphones open
        if page is not None:
            screen = await stack.enter_async_context(shown(page, config.title, names))
            sinks.append(screen.sink(live=live))
        for sink in sinks:
            if isinstance(sink, TerminalView):
                stack.enter_context(sink)
        held = Meeting(
            speakers,
            names,
            live=live,
            roster=config.roster or None,
            settings=replace(speakers.backend.settings, **config.tracker),
            crosstalk=config.crosstalk,
            gains_db=gains,
            keep_guests=config.keep_guests,
            sinks=sinks,
            step_s=config.step_s,
        )
        for source in sources:
            source.on_notice = held.note
        with interrupted() as stop:
            async with engine:
                await held.run_room(engine, sources, stop)
        _report(sinks, console)
    if not json:
        console.print(summary(held.view) if held.timeline.talk_time() else "nobody spoke")
        if written := _files(config).written():
            console.print(f"written: {written}", soft_wrap=True)
    return held


def _check(config: MeetingConfig) -> None:
    """Check what needs no torch; an output file must not be an input file."""
    from streamer.cli.common import read_by

    read = [config.path(given.file or given.url) for given in config.inputs if given.file or "://" not in given.url]
    store = None if config.store_location is None else str(config.store_location)
    _files(config).check([config.file, *read, *read_by(config.model, store)], spelled="[sinks] {}".format)
    check_recordings([config.path(given.file) for given in config.inputs if given.file])
    for given in config.inputs:
        if given.microphone:
            check_microphone(_microphone(given))
    check_step(config.step_s)
    check_model(config.model, config.device)
    check_store(config.store_location, config.roster, config.model)


def _files(config: MeetingConfig) -> OutputFiles:
    from streamer.sinks.files import OutputFiles

    given = {item.name: getattr(config.sinks, item.name) for item in fields(OutputFiles)}
    return OutputFiles(**{name: config.path(path) if path else None for name, path in given.items()})


def _inputs(config: MeetingConfig) -> tuple[list[BaseSource], list[str], list[float]]:
    """A source, a name and a gain for each microphone."""
    from streamer.audio.sources import split_channels

    sources: list[BaseSource] = []
    names: list[str] = []
    gains: list[float] = []
    for given in config.inputs:
        one = _source(config, given)
        several = list(given.channels) or [Path(given.place).stem or given.place]
        taken = split_channels(one, len(several)) if len(several) > 1 else [one]
        if len(taken) != len(several):
            from streamer.errors import ConfigurationError

            raise ConfigurationError(f"{given.place} has {len(taken)} channels; {len(several)} are named.")
        sources += taken
        names += several
        gains += [given.gain_db] * len(several)
    return sources, names, gains


def _source(config: MeetingConfig, given: Input) -> BaseSource:
    from streamer.audio.sources import FileSource, MicrophoneSource, UrlSource

    if given.file:
        return FileSource(config.path(given.file))
    if given.url:
        # The path of an SDP file is relative to the configuration, like any other file in it.
        return UrlSource(given.url if "://" in given.url else str(config.path(given.url)))
    channels = len(given.channels) or None
    return MicrophoneSource(_microphone(given), channels=channels, rate=given.rate or None)


def _microphone(given: Input) -> int | str | None:
    return microphone(None if given.microphone == "default" else given.microphone)


def _sinks(config: MeetingConfig, *, json: bool, console: object) -> list[Sink]:
    from rich.console import Console

    from streamer.sinks.jsonl import JsonLines
    from streamer.sinks.lines import Lines
    from streamer.sinks.terminal import TerminalView
    from streamer.sinks.text import draws
    from streamer.sinks.webhook import Webhook

    sinks: list[Sink] = []
    assert isinstance(console, Console)
    if json:
        sinks.append(JsonLines(sys.stdout))
    elif draws(console):
        sinks.append(TerminalView(console, config.title))
    else:
        sinks.append(Lines(sys.stdout))
    sinks += _files(config).sinks(config.title, config.title)
    if (hook := config.sinks.webhook) is not None:
        sinks.append(
            Webhook(hook.url, secret=hook.secret, batch=hook.batch, every_s=hook.every_s, capacity=hook.capacity)
        )
    return sinks


def _report(sinks: list[Sink], console: object) -> None:
    """Report the events that the webhook could not deliver."""
    from streamer.sinks.webhook import Webhook

    for sink in sinks:
        if isinstance(sink, Webhook) and (lost := sink.statistics["dropped"] + sink.statistics["refused"]):
            typer.echo(f"the webhook did not take {lost} events: {sink.problem}", err=True)
