"""The `streamer` command; `streamer.cli.app` says how a subcommand is added."""

from __future__ import annotations

from streamer.cli.app import main

__all__ = ["main"]
