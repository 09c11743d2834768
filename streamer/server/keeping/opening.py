"""Opens the session store of the settings."""

from __future__ import annotations

from pathlib import Path

from streamer.server.config import ServerConfig
from streamer.server.keeping.sessionsnapshot import RESTART_S
from streamer.server.keeping.sessionstore import SessionStore


def open_session_store(config: ServerConfig) -> SessionStore | None:
    """The session store of the settings, if there is one. Raises ConfigurationError or a StoreError if it can't
    be used."""
    keep_s = config.resume_s + RESTART_S
    if config.state_store:
        from streamer.server.keeping.database import Database

        return Database(config.state_store, keep_s)
    if config.state_dir:
        from streamer.server.keeping.folder import Folder

        return Folder(Path(config.state_dir), keep_s)
    return None
