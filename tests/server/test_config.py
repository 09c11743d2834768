"""Settings come from a file, the environment and flags, in rising order, and a wrong one is named with its place."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from streamer.errors import ConfigurationError
from streamer.server.config import ServerConfig, load


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(text)
    return path


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    file = write(tmp_path, 'port = 1\nmax_streams = 2\nresume_s = 3\norigins = ["https://a"]')
    environment = {"STREAMER_SERVER_MAX_STREAMS": "4", "STREAMER_SERVER_RESUME_S": "5", "OTHER": "x"}
    found = load(file, environment, {"resume_s": 6.0, "port": None})
    assert (found.port, found.max_streams, found.resume_s, found.origins) == (1, 4, 6.0, ("https://a",))


def test_what_is_printed_can_be_read_again(tmp_path):
    config = ServerConfig(port=9, origins=("https://a", "https://b"), public_metrics=True, model='we"ird\\name')
    assert load(write(tmp_path, config.to_toml()), {}, {}) == config


def test_every_setting_can_stand_in_the_environment():
    values = {name: value for name, value in asdict(ServerConfig()).items()}
    text = {
        f"STREAMER_SERVER_{name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
    }
    assert load(None, text, {}) == ServerConfig()


@pytest.mark.parametrize(
    ("file", "environment", "says"),
    [
        ("prot = 1", {}, "there is no setting 'prot'"),
        ("port = 'x'", {}, "server.toml: port is a int"),
        ("port = true", {}, "port is a int"),
        ("port = 70000", {}, "0 to 65535"),
        ("[", {}, "not TOML"),
        ("", {"STREAMER_SERVER_PORT": "many"}, "STREAMER_SERVER_PORT: 'many' is not a valid int"),
        ("", {"STREAMER_SERVER_PUBLIC_METRICS": "maybe"}, "is not a valid bool"),
        ("resume_s = nan", {}, "out of range"),
        ('host = "0.0.0.0"', {}, "token_file is needed"),
        ('host = "192.168.1.5"', {}, "token_file is needed"),
        ('cert = "a"', {}, "belong together"),
        ('precision = "float64"', {}, "float64"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, file, environment, says):
    with pytest.raises(ConfigurationError) as error:
        load(write(tmp_path, file), environment, {})
    assert says in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "localhost"])
def test_a_loopback_address_needs_no_token(host):
    assert ServerConfig(host=host).local


def streamer(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamer.cli", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def test_the_command_prints_its_settings_and_makes_tokens():
    printed = streamer("--print-config", "--port", "9000")
    assert "port = 9000" in printed.stdout
    made = streamer("--new-token", "kitchen", "--scopes", "stream,enroll")
    assert len(made.stdout.strip()) == 43
    assert "kitchen  stream,enroll  sha256:" in made.stderr
    assert made.stdout.strip() not in made.stderr
    refused = streamer("--host", "0.0.0.0")
    assert refused.returncode == 2
    assert "token_file" in refused.stderr


def test_the_command_serves_until_it_is_told_to_stop(tmp_path):
    options = ["--port", "0", "--max-streams", "1", "--speakers", str(tmp_path / "speakers.db")]
    command = [sys.executable, "-m", "streamer.cli", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("Listening on http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert '"event": "draining"' in errors
