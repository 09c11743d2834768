"""The user's defaults: a TOML file, overridden by the environment. Options on the command line override both.

    store = "~/team/people.db"          # for every command that has the option
    model = "sincnet"

    [run]                               # for one command: any of its options, by its long name
    keep-guests = true

    [speakers.enroll]
    microphone = "USB"

The file is `config.toml` in the user's configuration folder, or the file that STREAMER_CONFIG names. `streamer serve`
and `streamer meeting` have separate configuration files, and do not read this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamer.errors import ConfigurationError
from streamer.tomlfile import read_toml

#: Options that apply to every command, at the top of the file or in the environment: STREAMER_STORE, ...
GENERAL = ("store", "model", "device", "microphone")
PREFIX = "STREAMER_"
#: Commands with a separate configuration.
APART = ("serve", "meeting")


def path_of(environment: Mapping[str, str]) -> Path:
    """The path of the file, which need not exist."""
    if given := environment.get(f"{PREFIX}CONFIG"):
        return Path(given)
    from platformdirs import user_config_path

    return user_config_path("streamer", appauthor=False) / "config.toml"


def defaults(
    command: Any, words: Sequence[str], environment: Mapping[str, str], known: Sequence[str]
) -> dict[str, Any]:
    """Default values of the called command's options, as the tree that Click takes.

    command: the whole application, with the called command in it. words: the arguments. known: the names of all
    commands. Raises ConfigurationError for a file that cannot be read, or has a setting that no command has.
    """
    names: list[str] = []
    for word in words:
        inner = getattr(command, "commands", {}).get(word)
        if inner is None:
            break
        command = inner
        names.append(word)
    if not names or hasattr(command, "commands") or names[0] in APART:
        return {}
    path = path_of(environment)
    file = _read(path, named=f"{PREFIX}CONFIG" in environment)
    _check_top(file, path, known)
    options = {name.lstrip("-"): parameter.name for parameter in command.params for name in _all(parameter)}
    values: dict[str, Any] = {}
    for name in GENERAL:
        if name not in options:
            continue
        if given := environment.get(PREFIX + name.upper()):
            values[options[name]] = given
        elif name in file:
            values[options[name]] = _placed(name, file[name], path)
    for name, value in _section(file, names, path).items():
        if name.replace("_", "-") not in options:
            raise ConfigurationError(
                f"{path}: [{'.'.join(names)}] {name} is no option of `streamer {' '.join(names)}`; it has "
                f"{', '.join(sorted(option for option in options if len(option) > 1 and option != 'help'))}."
            )
        values[options[name.replace("_", "-")]] = _placed(name, value, path)
    for name in reversed(names):
        values = {name: values}
    return values


def _all(parameter: Any) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


def _read(path: Path, *, named: bool) -> dict[str, Any]:
    return read_toml(path) if named or path.exists() else {}


def _check_top(file: Mapping[str, Any], path: Path, known: Sequence[str]) -> None:
    for name, value in file.items():
        if isinstance(value, dict):
            if name not in known or name in APART:
                other = "has a separate file" if name in APART else "is not a command"
                raise ConfigurationError(f"{path}: [{name}] {other}; sections are commands: {', '.join(known)}.")
        elif name not in GENERAL:
            raise ConfigurationError(f"{path}: {name} is not known at the top; there are {', '.join(GENERAL)}.")
        elif not isinstance(value, str):
            raise ConfigurationError(f"{path}: {name} = {value!r} must be a text.")


def _section(file: Mapping[str, Any], names: Sequence[str], path: Path) -> dict[str, Any]:
    section: Any = file
    for name in names:
        section = section.get(name, {})
        if not isinstance(section, dict):
            raise ConfigurationError(f"{path}: {name} must be a section: [{'.'.join(names)}].")
    return dict(section)


def _placed(name: str, value: Any, path: Path) -> Any:
    """A path in the configuration: relative to its folder, and `~` is the home folder."""
    if name != "store" or not isinstance(value, str) or "://" in value:
        return value
    return str(path.absolute().parent / Path(value).expanduser())
