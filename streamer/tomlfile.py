"""Reads TOML files of settings, with a message for a file that cannot be read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from streamer.errors import ConfigurationError


def read_toml(path: Path) -> dict[str, Any]:
    """Raises ConfigurationError, with the path, for a file that cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read ({error}).") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}.") from error
