"""The server's settings: from a TOML file, overridden by the environment, overridden by the command line.

streamer serve --print-config > server.toml         # all settings, their values, and what they mean
STREAMER_SERVER_PORT=9000 streamer serve --config server.toml --max-streams 64
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from streamer.errors import ConfigurationError
from streamer.server.origins import is_loopback
from streamer.tomlfile import read_toml

ENVIRONMENT_PREFIX = "STREAMER_SERVER_"
#: Former names of settings, which are still accepted.
OLD_NAMES = {"speakers": "store"}


def _setting(default: Any, about: str, low: float | None = None, high: float | None = None) -> Any:
    metadata = {"about": about, "low": low, "high": high}
    if isinstance(default, tuple):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The server's settings. Raises ConfigurationError for one that is out of its range or contradicts another."""

    host: str = _setting("127.0.0.1", "Address to listen on. Any but a loopback one needs token_file.")
    port: int = _setting(8765, "Port to listen on; 0 picks a free one.", 0, 65535)
    model: str = _setting("default", "Model: default (campplus-live), sincnet, campplus, a file, or a Hugging Face id.")
    device: str = _setting("auto", "auto, cpu, cuda or mps.")
    precision: str = _setting(
        "float32", "float32; bfloat16 or int8 where processor and model (sincnet) have them; tf32 on CUDA."
    )
    threads: int = _setting(0, "Threads of the engine; 0 leaves one core to everything else.", 0, 1024)
    store: str = _setting("", "Speaker store: a file or an SQLAlchemy URL; empty: your own store.")
    token_file: str = _setting("", "File of hashed tokens, see --new-token; read again on SIGHUP.")
    cert: str = _setting("", "TLS certificate chain (PEM); read again on SIGHUP.")
    key: str = _setting("", "TLS private key (PEM).")
    origins: tuple[str, ...] = _setting((), "Web pages of other origins that may connect, like https://example.org.")
    public_metrics: bool = _setting(False, "Show /metrics to everybody, not only to the scope admin.")
    max_streams: int = _setting(0, "Streams at once; 0 measures at start-up what this machine can do.", 0, 100_000)
    max_streams_per_address: int = _setting(16, "Streams at once of one client address.", 1, 100_000)
    max_watchers: int = _setting(100, "Viewers at once of one room that is shared.", 0, 100_000)
    max_connections: int = _setting(1_024, "Open sockets of any kind; one address may hold a quarter.", 8, 1_000_000)
    max_message_bytes: int = _setting(1 << 20, "Largest WebSocket message.", 1 << 10, 1 << 26)
    max_uploads: int = _setting(4, "Recordings over HTTP that are heard at once, each as a stream.", 0, 10_000)
    max_upload_bytes: int = _setting(32 << 20, "Largest recording over HTTP.", 1 << 10, 1 << 32)
    max_upload_s: float = _setting(600.0, "Longest recording over HTTP.", 1.0, 86400)
    max_rate: float = _setting(2.0, "Seconds of audio a second that a client may send, after a burst.", 1.0, 1e6)
    burst_s: float = _setting(10.0, "Seconds of audio that may come at once.", 1.0, 3600)
    max_messages_per_s: float = _setting(50.0, "JSON messages a second that a client may send.", 1.0, 1e6)
    hello_timeout_s: float = _setting(10.0, "Time to finish the handshake, and again to send start.", 0.1, 3600)
    http_timeout_s: float = _setting(60.0, "Time for a request over HTTP: its body, and its answer.", 1.0, 3600)
    idle_timeout_s: float = _setting(60.0, "Time without audio after which a session ends.", 1.0, 86400)
    ping_interval_s: float = _setting(
        15.0, "Between two keep-alive pings; two unanswered ones mean a lost connection.", 0.5, 3600
    )
    send_timeout_s: float = _setting(10.0, "How long one message may wait for a client that does not read.", 0.1, 3600)
    send_queue_bytes: int = _setting(1 << 20, "What may wait for a client that does not read.", 1 << 12, 1 << 28)
    resume_s: float = _setting(30.0, "How long a session waits for its client to come back.", 0.0, 3600)
    engine_timeout_s: float = _setting(
        20.0, "How long the engine may compute one batch; after that it counts as hung, and the server ends.", 1.0, 3600
    )
    grace_s: float = _setting(10.0, "Time to stop in, after SIGTERM; then the process ends by force.", 0.1, 3600)
    state_dir: str = _setting(
        "", "Folder that keeps running sessions across a restart or a crash, for one machine; empty: none are kept."
    )
    state_store: str = _setting(
        "", "Database (SQLAlchemy URL) that keeps running sessions for several servers, which can take them over."
    )
    snapshot_s: float = _setting(3.0, "How often a running session is saved there.", 0.1, 600)
    twilio_webhook: str = _setting(
        "", "Take Twilio's Media Streams on /v1/twilio, and POST their events to this URL; empty: not taken."
    )
    twilio_secret_file: str = _setting("", "File of the secret that signs the events of calls; empty: not signed.")
    twilio_url: str = _setting("", "Address of /v1/twilio as it stands in TwiML, wss://...: what Twilio signs.")
    twilio_auth_token_file: str = _setting(
        "", "File of the Twilio account's auth token: take only calls that are signed with it; empty: not asked."
    )
    log_level: str = _setting("info", "debug, info, warning or error.")

    def __post_init__(self) -> None:
        for item in fields(self):
            low, high, value = item.metadata["low"], item.metadata["high"], getattr(self, item.name)
            if low is not None and not (math.isfinite(value) and low <= value <= high):
                raise ConfigurationError(f"{item.name}: {value!r} is out of range; {low:g} to {high:g} are allowed.")
        if bool(self.cert) != bool(self.key):
            raise ConfigurationError("cert and key belong together; give both or neither.")
        if not self.local and not self.token_file:
            raise ConfigurationError(
                f"host: {self.host!r} can be reached from other machines, so token_file is needed; make a token with "
                "`streamer serve --new-token NAME`, or listen on 127.0.0.1."
            )
        if self.state_dir and self.state_store:
            raise ConfigurationError("state_dir and state_store both say where sessions are kept; give one of them.")
        if self.twilio_secret_file and not self.twilio_webhook:
            raise ConfigurationError("twilio_secret_file signs what goes to twilio_webhook, which is not set.")
        if bool(self.twilio_url) != bool(self.twilio_auth_token_file):
            raise ConfigurationError("twilio_url and twilio_auth_token_file belong together; give both or neither.")
        if self.twilio_url and not self.twilio_webhook:
            raise ConfigurationError("twilio_url is where calls come in, but without twilio_webhook none are taken.")
        if self.twilio_url and not self.twilio_url.startswith("wss://"):
            raise ConfigurationError(f"twilio_url: {self.twilio_url!r} is not valid: Twilio takes wss:// only.")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise ConfigurationError(f"log_level: {self.log_level!r} is not known; use debug, info, warning, error.")
        if self.precision not in ("float32", "bfloat16", "int8", "tf32"):
            raise ConfigurationError(f"precision: {self.precision!r} is not known; use float32, bfloat16, int8, tf32.")

    @property
    def local(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def to_toml(self) -> str:
        """All settings with their descriptions, as a file that `load` reads."""
        lines = []
        for item in fields(self):
            value = getattr(self, item.name)
            low, high = item.metadata["low"], item.metadata["high"]
            span = "" if low is None else f" {low:g} to {high:g}."
            lines += [f"# {item.metadata['about']}{span}", f"{item.name} = {_toml(value)}", ""]
        return "\n".join(lines)


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> ServerConfig:
    """The settings from a TOML file, the environment (STREAMER_SERVER_PORT) and flags; each overrides the previous
    ones.

    flags: None for those not given. Raises ConfigurationError if the file can't be read, or a name or a value is wrong;
    the message says where it came from.
    """
    values: dict[str, Any] = {}
    if file is not None:
        for given, value in read_toml(file).items():
            name = OLD_NAMES.get(given, given)
            values[name] = _typed(name, value, str(file))
    for variable, text in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            given = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            name = OLD_NAMES.get(given, given)
            values[name] = _typed(name, _from_text(name, text, variable), variable)
    for name, value in flags.items():
        if value is not None:
            values[name] = _typed(name, value, f"--{name.replace('_', '-')}")
    return ServerConfig(**values)


def _kind(name: str, where: str) -> Any:
    kinds = get_type_hints(ServerConfig)
    known = [item.name for item in fields(ServerConfig)]
    if name not in known:
        raise ConfigurationError(f"{where}: there is no setting {name!r}; there are {', '.join(known)}.")
    return kinds[name]


def _from_text(name: str, text: str, where: str) -> Any:
    """The value for the text of an environment variable."""
    kind = _kind(name, where)
    try:
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if kind in (int, float):
            return kind(text)
    except (KeyError, ValueError):
        raise ConfigurationError(f"{where}: {text!r} is not a valid {kind.__name__}.") from None
    return tuple(part.strip() for part in text.split(",") if part.strip()) if get_args(kind) else text


def _typed(name: str, value: Any, where: str) -> Any:
    kind = _kind(name, where)
    if get_args(kind):
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif type(value) is kind:
        return value
    wanted = "list of strings" if get_args(kind) else kind.__name__
    raise ConfigurationError(f"{where}: {name} is a {wanted}, not {value!r}.")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # A TOML basic string has the same escapes as JSON.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def defaults() -> dict[str, Any]:
    """The default value of every setting, by name."""
    return {item.name: item.default if item.default is not MISSING else () for item in fields(ServerConfig)}
