"""The page of `streamer meeting`: checks its options, serves the page and prints its address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streamer.cli.beforehand import check_port, port_taken
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from streamer.server.config import ServerConfig
    from streamer.server.secondscreen import SecondScreen

#: The options that choose another address.
OPTIONS = "--page or --host"


def page_settings(port: int | None, **options: Any) -> ServerConfig | None:
    """The settings of the page for these options, checked without loading torch; None if no page is wanted.

    options: `host`, `token_file`, `cert`, `key` and `origins`, None where they were not given.
    Raises ConfigurationError for options that cannot work.
    """
    given = {name: value for name, value in options.items() if value}
    if port is None:
        if given:
            name = next(iter(given)).replace("_", "-").replace("origins", "origin")
            raise ConfigurationError(f"--{name} is about the page, and there is no page: give --page PORT too.")
        return None
    from streamer.server import tls
    from streamer.server.config import ServerConfig
    from streamer.server.origins import is_loopback

    host = given.get("host", "")
    if host and not is_loopback(host) and "token_file" not in given:
        raise ConfigurationError(
            f"--host {host}: other machines can reach it, so --token-file is needed; make a token with `streamer serve "
            "--new-token NAME --scopes watch`, or leave --host out."
        )
    config = ServerConfig(port=port, **{**given, "origins": tuple(given.get("origins", ()))})
    _check_tokens(config)
    tls.context(config)
    check_port(config.host, config.port, OPTIONS)
    return config


def _check_tokens(config: ServerConfig) -> None:
    from streamer.server.auth import Tokens

    if config.token_file and Tokens.load(Path(config.token_file)).scopes.isdisjoint({"watch", "admin"}):
        raise ConfigurationError(
            f"--token-file {config.token_file}: no token in it may watch, so nobody could see the page; make one with "
            "`streamer serve --new-token NAME --scopes watch`."
        )


@asynccontextmanager
async def shown(config: ServerConfig, title: str, channels: Sequence[str]) -> AsyncIterator[SecondScreen]:
    """Serve the page inside the context. Its addresses are printed on standard error.

    Raises ConfigurationError if the port was taken in the meantime.
    """
    from streamer.server.secondscreen import SecondScreen

    screen = SecondScreen(config, title, channels)
    try:
        await screen.__aenter__()
    except OSError as error:
        raise port_taken(config.host, config.port, error, OPTIONS) from error
    try:
        typer.echo(f"The page:    {screen.page_url}", err=True)
        typer.echo(f"The overlay: {screen.overlay_url}", err=True)
        if not config.local and not config.cert:
            typer.echo("The page is not encrypted: give --cert and --key, or put a TLS proxy in front.", err=True)
        yield screen
    finally:
        await screen.__aexit__()
