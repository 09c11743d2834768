"""Sources, sinks and networks of other packages, found by name as entry points.

    [project.entry-points."streamer.sources"]     # streamer run NAME:REST  ->  factory(REST), a Source
    tone = "my_package:tone"
    [project.entry-points."streamer.sinks"]       # streamer run ... --sink NAME=REST  ->  factory(REST), a Sink
    count = "my_package:Counter"
    [project.entry-points."streamer.networks"]    # --model NAME  ->  factory(), a Model
    mine = "my_package:model"

A package is imported only when its name is used. https://packaging.python.org/specifications/entry-points/
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from streamer.errors import ConfigurationError, StreamerError

Kind = Literal["sources", "sinks", "networks"]


def names(kind: Kind) -> list[str]:
    """The available names, sorted."""
    return sorted({point.name for point in _points(kind)})


def has(kind: Kind, name: str) -> bool:
    return any(point.name == name for point in _points(kind))


def made(kind: Kind, name: str, *arguments: str) -> Any:
    """The object that the factory with this name makes.

    Raises ConfigurationError for a name that no package has, for one that several have, and for a package that fails.
    """
    found = [point for point in _points(kind) if point.name == name]
    if not found:
        there = ", ".join(names(kind)) or "none"
        raise ConfigurationError(f"no package that is installed has {name!r} among its {kind}; there are: {there}.")
    if len(found) > 1:
        packages = ", ".join(sorted(point.dist.name if point.dist else point.value for point in found))
        raise ConfigurationError(f"several packages have {name!r} among their {kind}: {packages}. Uninstall one.")
    try:
        return found[0].load()(*arguments)
    except StreamerError:
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"{kind[:-1]} {name!r} ({found[0].value}) failed: {problem}.") from error


def source_of(file: Path | str) -> tuple[str, str] | None:
    """NAME and REST of NAME:REST, if a plugin has a source of that name and no file has this path."""
    name, colon, rest = str(file).partition(":")
    return (name, rest) if colon and has("sources", name) and not Path(file).exists() else None


def _points(kind: Kind) -> list[EntryPoint]:
    # A package that is found twice on the path counts once.
    return list({(point.name, point.value): point for point in entry_points(group=f"streamer.{kind}")}.values())
