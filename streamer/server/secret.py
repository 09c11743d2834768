"""Secrets that settings name by file, so that neither a command line nor `ps` shows them."""

from __future__ import annotations

from pathlib import Path

from streamer.errors import ConfigurationError


def read_file(setting: str, file: Path) -> str:
    """The text of a file. Raises ConfigurationError, which names the setting, if it can't be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{setting}: {file} can't be read ({error}).") from error


def read_secret(setting: str, file: str) -> str | None:
    """The text of a file without surrounding white space; None if `file` is empty.

    Raises ConfigurationError, which names the setting, for a file that can't be read or is empty.
    """
    if not file:
        return None
    secret = read_file(setting, Path(file)).strip()
    if not secret:
        raise ConfigurationError(f"{setting}: {file} is empty; write the secret into it.")
    return secret
