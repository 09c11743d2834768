"""The server's certificate."""

from __future__ import annotations

import ssl

from streamer.errors import ConfigurationError
from streamer.server.config import ServerConfig


def context(config: ServerConfig) -> ssl.SSLContext | None:
    """None where there is no certificate. Raises ConfigurationError for one that can't be used."""
    if not config.cert:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    load(made, config)
    return made


def load(context: ssl.SSLContext, config: ServerConfig) -> None:
    """Read the certificate, perhaps again. Raises ConfigurationError."""
    try:
        context.load_cert_chain(config.cert, config.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"cert, key: {config.cert}, {config.key} can't be used ({error}).") from error
