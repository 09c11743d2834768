"""What `make docs` adds to the pages: the command line's reference, made from the commands, and the protocol's schema.

Pages whose file is not there yet are left out of the navigation rather than breaking it.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File, Files

from streamer.cli import app as cli
from streamer.cli.examples import EXAMPLES
from streamer.evaluation.markdown import table

GENERATED = ("cli.md", "changelog.md")
SCHEMA = "protocol.schema.json"
BEYOND = f"](../streamer/server/{SCHEMA})"


def on_config(config: Any) -> None:
    """Leave out of the navigation what is not written yet."""
    folder = Path(config.docs_dir)
    for section in config.nav:
        for title, pages in section.items():
            section[title] = [page for page in pages if _path(page) in GENERATED or (folder / _path(page)).exists()]


def _path(page: str | dict[str, str]) -> str:
    return page if isinstance(page, str) else next(iter(page.values()))


def on_files(found: Files, config: Any) -> Files:
    found.append(File.generated(config, "cli.md", content=reference()))
    changes = (Path(config.docs_dir).parent / "CHANGELOG.md").read_text(encoding="utf-8")
    found.append(File.generated(config, "changelog.md", content=changes))
    schema = files("streamer.protocol").joinpath(SCHEMA).read_text(encoding="utf-8")
    found.append(File.generated(config, SCHEMA, content=schema))
    icon = Path(str(files("streamer.server").joinpath("page/icon.svg")))
    found.append(File.generated(config, "images/icon.svg", content=icon.read_bytes()))
    return found


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The protocol's page is read in the repository too, where its schema lies elsewhere."""
    return markdown.replace(BEYOND, f"]({SCHEMA})")


def reference() -> str:
    """The page on the command line, from the commands themselves."""
    parts = [
        "# The command line",
        "Every command has `--help`. An error is one line on standard error that says what to change, and exit code 2;",
        "`--debug`, before or after the command, shows the traceback. `streamer --version` prints the version.",
        "",
    ]
    for name, (_, line) in cli.COMMANDS.items():
        group: Any = typer.main.get_command(cli.build(name)).commands[name]  # type: ignore[attr-defined]
        parts += [f"## streamer {name}", ""]
        if hasattr(group, "commands"):
            parts += [line, ""]
        for path, command in _leaves(f"streamer {name}", group):
            parts += _command(path, command, heading=path != f"streamer {name}")
    return "\n".join(parts)


def _leaves(path: str, command: Any) -> list[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(path, command)]
    return [leaf for name, child in inner.items() for leaf in _leaves(f"{path} {name}", child)]


def _command(path: str, command: Any, heading: bool) -> list[str]:
    context = typer.Context(command, info_name=path)
    usage = command.get_usage(context).removeprefix("Usage: ").replace("{", "").replace("}", "")
    lines = [f"### {path}", ""] if heading else []
    lines += ["```text", usage, "```", "", (command.help or "").split("\f")[0].strip(), ""]
    records = [parameter.get_help_record(context) for parameter in command.params if parameter.name != "help"]
    rows = []
    for names, about in records:
        about = about.replace("  [required]", "").replace("|", "\\|")
        about = re.sub(r"  \[default: (.*)\]$", r" Default: `\1`.", about)
        rows.append((f"`{names.replace('|', ' or ')}`", about))
    if rows:
        lines += table(["option", "what it does"], rows)
    if examples := EXAMPLES.get(path.removeprefix("streamer ")):
        lines += ["", "```sh", *examples, "```"]
    return [*lines, ""]
