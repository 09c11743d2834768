"""The server's certificate."""

from __future__ import annotations

import ssl
from typing import NoReturn

from streamer.errors import ConfigurationError
from streamer.server.config import ServerConfig


def context(config: ServerConfig) -> ssl.SSLContext | None:
    """The TLS context; None without a certificate. Raises ConfigurationError for an invalid one."""
    if not config.cert:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(made, config)
    return made


def reload(live: ssl.SSLContext, config: ServerConfig) -> None:
    """Read the certificate again, for new connections.

    Raises ConfigurationError for an invalid one; `live` then stays unchanged.
    """
    # `load_cert_chain` installs a certificate before it checks the key, so both are tested separately first.
    context(config)
    _load(live, config)


def _load(into: ssl.SSLContext, config: ServerConfig) -> None:
    def no_password() -> NoReturn:
        # By default OpenSSL asks on the terminal, where nobody may be, and waits for an answer.
        raise ConfigurationError(
            f"key: {config.key} is encrypted, and there is nobody to ask for the passphrase; write it without one: "
            "openssl pkey -in KEY -out PLAIN."
        )

    try:
        into.load_cert_chain(config.cert, config.key, no_password)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"cert, key: {config.cert}, {config.key} can't be used ({error}).") from error
