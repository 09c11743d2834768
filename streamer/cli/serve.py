"""`streamer serve`: many rooms, one engine, one port."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from streamer.cli.beforehand import check_model, check_port, check_store, port_taken
from streamer.cli.common import load_model
from streamer.cli.options import CertOption, HostOption, KeyOption, OriginOption, StoreOption, TokenFileOption
from streamer.cli.waiting import TORCH, rehearse, waiting
from streamer.errors import EngineFailed
from streamer.server.config import ServerConfig, load

# How long a thread may keep the interpreter from other threads, in seconds.
SWITCH_S = 0.0005

app = typer.Typer()


@app.command()
def serve(
    config: Annotated[Path | None, typer.Option(help="TOML file of settings; see --print-config.")] = None,
    host: HostOption = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (8765).")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A model: campplus-live (the default), sincnet, campplus, a file, or a Hugging Face id."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="The processor: auto, cpu, cuda, cuda:N or mps.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32; sincnet and its like also bfloat16 or int8; on CUDA tf32.")
    ] = None,
    store: StoreOption = None,
    token_file: TokenFileOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    origin: OriginOption = None,
    max_streams: Annotated[int | None, typer.Option(help="Streams at once (default: measured).")] = None,
    max_streams_per_address: Annotated[
        int | None, typer.Option(help="Streams at once of one client address (16).")
    ] = None,
    state_dir: Annotated[
        str | None, typer.Option(help="Folder that keeps running sessions across a restart or a crash.")
    ] = None,
    state_store: Annotated[
        str | None, typer.Option(help="Database that keeps them for several servers: an SQLAlchemy URL.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the settings as TOML and exit.")] = False,
    new_token: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a token and its line for the token file.")
    ] = None,
    scopes: Annotated[
        str, typer.Option(help="Scopes of the new token, separated by commas: stream, enroll, admin, watch.")
    ] = "stream",
) -> None:
    """Serve speaker events to WebSocket clients, and a web page, on one port.

    Every setting can also be in the TOML file, or in the environment as STREAMER_SERVER_NAME; --print-config lists
    all of them. SIGTERM ends the server with a goodbye to every client; SIGHUP reads tokens and certificate again.
    """
    if new_token is not None:
        return _make_token(new_token, scopes)
    flags: dict[str, Any] = {
        "host": host,
        "port": port,
        "model": model,
        "device": device,
        "precision": precision,
        "store": store,
        "token_file": token_file,
        "cert": cert,
        "key": key,
        "origins": origin or None,
        "max_streams": max_streams,
        "max_streams_per_address": max_streams_per_address,
        "state_dir": state_dir,
        "state_store": state_store,
        "log_level": log_level,
    }
    settings = load(config, os.environ, flags)
    if print_config:
        return typer.echo(settings.to_toml(), nl=False)
    _check(settings)
    asyncio.run(_run(settings))


def _check(config: ServerConfig) -> None:
    """The checks that need no torch."""
    from streamer.server import tls
    from streamer.server.auth import Tokens
    from streamer.server.secret import read_secret

    check_port(config.host, config.port)
    check_model(config.model, config.device)
    if config.token_file:
        Tokens.load(Path(config.token_file))
    tls.context(config)
    read_secret("twilio_secret_file", config.twilio_secret_file)
    read_secret("twilio_auth_token_file", config.twilio_auth_token_file)
    check_store(config.store or None)


def _make_token(name: str, scopes: str) -> None:
    from streamer.server.auth import new_token

    token, line = new_token(name, [scope.strip() for scope in scopes.split(",") if scope.strip()])
    typer.echo("# Give this to the client; it is shown only now:", err=True)
    typer.echo(token)
    typer.echo("# Append this to the token file:", err=True)
    typer.echo(line, err=True)


async def _run(config: ServerConfig) -> None:
    # The trackers' small products run on the event loop: numpy's own threads would only spin beside the engine, and
    # cost a core. numpy reads this when it is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # The engine's thread releases the interpreter in each of some hundred products of a step. It would then wait each
    # time as long as another thread may keep it, 5 ms: 100 streams among 20,000 people waited for seconds.
    sys.setswitchinterval(SWITCH_S)
    with waiting(TORCH) as say:
        from streamer.engine.engine import Engine
        from streamer.engine.layers import Precision
        from streamer.server import log
        from streamer.server.app import Server
        from streamer.server.signals import end_process
        from streamer.speakers.store import SpeakerStore

        log.configure(config.log_level, sys.stderr)
        threads = config.threads or max(1, (os.cpu_count() or 2) - 1)
        precision = cast(Precision, config.precision)
        model = load_model(config.model)
        engine = Engine(model, device=config.device, precision=precision, threads=threads)
        rehearse(engine.incremental, say)
    with SpeakerStore(config.store or None) as store:
        async with engine:
            try:
                async with Server(config, engine, store) as server:
                    await server.run(lambda: typer.echo(f"Listening on {server.url}"), force=end_process)
            except EngineFailed as error:
                # Its thread may hang for ever: do not wait for it.
                print(f"streamer: {error}", file=sys.stderr, flush=True)
                end_process()
            except OSError as error:
                raise port_taken(config.host, config.port, error) from error
