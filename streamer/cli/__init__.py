"""The `streamer` command; `streamer.cli.app` explains how to add a subcommand."""

from __future__ import annotations

from streamer.cli.app import main

__all__ = ["main"]
