"""The `streamer` command: a table of subcommands, each imported when it is called.

To add one: write `streamer/cli/NAME.py` with `app = typer.Typer(...)` in it, and add a line to `COMMANDS` below.
An `app` with one command and no callback becomes `streamer NAME` itself (see `embed.py`); one with several becomes a
group, `streamer NAME SUB ...` (see `model.py`). A subcommand's module may import anything: `streamer --help` never
imports it. Raise a StreamerError for errors that a user can act on: it becomes one line on stderr and exit code 2. Exit
with another code by `raise typer.Exit(code)`. Shared code (options, progress bar) is in `common.py` and `options.py`;
checks that need no torch are in `beforehand.py`; the messages during slow work are in `waiting.py`; the examples of the
help are in `examples.py`.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Literal

import typer
from typer.exceptions import TyperException

from streamer.cli.common import EXIT_ERROR, one_line
from streamer.cli.configuration import defaults
from streamer.cli.examples import epilog
from streamer.errors import ConfigurationError, StreamerError
from streamer.output import named
from streamer.sinks.text import replace_unprintable

#: Name of the subcommand -> (its module, its line in `streamer --help`), in the order of the help.
COMMANDS: dict[str, tuple[str, str]] = {
    "live": ("streamer.cli.live", "Show who speaks into the microphone."),
    "run": ("streamer.cli.run", "Say who speaks in a file."),
    "speakers": ("streamer.cli.speakers", "Enrol and manage speakers."),
    "embed": ("streamer.cli.embed", "Turn audio files into speaker embeddings."),
    "verify": ("streamer.cli.verify", "Say whether two audio files are of the same speaker."),
    "evaluate": ("streamer.cli.evaluate", "Measure a model on labelled audio."),
    "serve": ("streamer.cli.serve", "Serve speaker events to WebSocket clients, and a web page."),
    "cluster": ("streamer.cli.cluster", "Serve from many machines, with Ray."),
    "stream": ("streamer.cli.stream", "Send a file or the microphone to a server, and print who speaks."),
    "meeting": ("streamer.cli.meeting", "Say who speaks in a room with several microphones."),
    "align": ("streamer.cli.align", "Assign the words of a transcript to speakers."),
    "relabel": ("streamer.cli.relabel", "Correct a wrong name in a file of events, and learn from it."),
    "doctor": ("streamer.cli.doctor", "Check the installation, and say what to do about problems."),
    "train": ("streamer.cli.train", "Adapt a model to your people, from a folder for each."),
    "export": ("streamer.cli.export", "Write a model as an ONNX file, checked against torch."),
    "model": ("streamer.cli.model", "Inspect a model, or convert it to this project's format."),
}

#: How a command gets its store, if not with `--store`.
STORE_OPTIONS = {"serve": "the setting `store`", "meeting": "`store` in its configuration"}
#: Former names of options, which are still accepted but not listed in the help.
OLD_SPELLINGS: dict[str, dict[str, str]] = {
    "live": {"--compute": "--device", "-d": "--microphone", "--list-devices": "--list-microphones"},
    "speakers": {"-d": "--microphone"},
    "serve": {"--speakers": "--store"},
    "stream": {"--input-device": "--microphone"},
}
HELP = {"help_option_names": ["-h", "--help"]}
#: The exit code of a command ended by SIGINT or SIGPIPE, as shells report it.
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `streamer` with `arguments` (default: the process's) and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    open_standard_streams()
    replace_unprintable()
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in options
    if debug:
        # Removed here, so that it may come before or after the subcommand.
        arguments.remove("--debug")
    try:
        # Typer returns the code of an explicit exit, and None if the command ran to its end.
        command = typer.main.get_command(build(_subcommand(arguments), rich=_is_drawn()))
        words = present_spelling(arguments)
        asks = {"-h", "--help"} & set(options)
        given = {} if asks else defaults(command, words, os.environ, list(COMMANDS))
        code = command(words, prog_name="streamer", standalone_mode=False, default_map=given)
        with named("standard output"):
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        # The reader (head, less) has exited. Python would report it again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except SystemExit as error:
        # This is how Typer handles a broken pipe; its exit code 1 means "different speakers" here.
        if isinstance(error.__context__, BrokenPipeError):
            return EXIT_BROKEN_PIPE
        raise
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except (StreamerError, TyperException, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            # Errors of files carry their name; `typer.echo` writes to standard output, which has none.
            error.filename = "standard output"
        print(f"streamer: {_with_option(one_line(error), _subcommand(arguments))}", file=sys.stderr)
        return EXIT_ERROR
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(
            f"streamer: unexpected {type(error).__name__}: {one_line(error)} (--debug shows the traceback)",
            file=sys.stderr,
        )
        return EXIT_ERROR


def open_standard_streams() -> None:
    """Open a closed standard output or error (`>&-`) as the null device, so that messages never go into a file that
    gets its number."""
    for name, mode in (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is not None:
            continue
        # The lowest free number belongs to this stream, because those before it are open by now.
        opened = os.open(os.devnull, mode)
        if name != "stdin":
            setattr(sys, name, os.fdopen(opened, "w", encoding="utf-8"))
        if name == "stdout" and sys.stderr is not None:
            print("streamer: standard output is closed; nothing is printed to it.", file=sys.stderr)


def present_spelling(arguments: Sequence[str]) -> list[str]:
    """The arguments with current names in place of former ones, up to a `--`."""
    names = OLD_SPELLINGS.get(_subcommand(arguments) or "", {})
    end = arguments.index("--") if "--" in arguments else len(arguments)
    new = []
    for argument in arguments[:end]:
        option, equals, value = argument.partition("=")
        new.append(names.get(option, option) + equals + value)
    return [*new, *arguments[end:]]


def _is_drawn() -> bool:
    """Whether help goes to a terminal that can be drawn on; pipes and TERM=dumb get plain lines."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def build(name: str | None, *, rich: bool = False) -> typer.Typer:
    """The application with the subcommand `name` imported; of the others, only the lines of help are present.

    rich: help in panels, for a terminal.
    """
    mode: Literal["rich"] | None = "rich" if rich else None
    app = typer.Typer(name="streamer", add_completion=False, rich_markup_mode=mode, context_settings=HELP)
    app.callback(invoke_without_command=True)(_root)
    for command, (module, line) in COMMANDS.items():
        if command == name:
            _mount(app, command, import_module(module).app, line, rich=rich)
        else:
            app.command(command, help=line)(_unreached)
    return app


def _mount(parent: typer.Typer, name: str, app: typer.Typer, line: str, *, rich: bool) -> None:
    single = len(app.registered_commands) == 1 and not app.registered_groups and app.registered_callback is None
    if not single:
        for command in app.registered_commands:
            inner = command.name or getattr(command.callback, "__name__", "")
            command.epilog = epilog(f"{name} {inner}", rich=rich)
        parent.add_typer(app, name=name, short_help=line)
        return
    callback = app.registered_commands[0].callback
    if callback is None:
        raise ConfigurationError(f"the subcommand {name!r} has no function.")
    parent.command(name, short_help=line, epilog=epilog(name, rich=rich))(callback)


def _subcommand(arguments: Sequence[str]) -> str | None:
    """The first word that is not an option: options before a subcommand take no values."""
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Real-time streaming speaker embeddings: live audio in, who is speaking out."""
    if version:
        from streamer import __version__

        typer.echo(f"streamer {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def _with_option(message: str, command: str | None) -> str:
    """Add this command's option for the store to the advice in a message of the store."""
    option = STORE_OPTIONS.get(command or "", "--store")
    return message.replace("choose another store", f"choose another store with {option}")


def _unreached() -> None:
    raise AssertionError("a subcommand is imported before it is called")
