"""What is there to deploy with is what its programs understand, and names settings that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from fleet import NGINX, WRAPPED

from streamer.server.config import ENVIRONMENT_PREFIX, ServerConfig

DEPLOY = Path(__file__).parents[2] / "deploy"
SETTINGS = {item.name for item in fields(ServerConfig)}


@pytest.mark.parametrize("file", ["Dockerfile", "compose.yaml"])
def test_every_setting_that_is_named_exists(file):
    named = re.findall(rf"{ENVIRONMENT_PREFIX}(\w+)", (DEPLOY / file).read_text())
    assert named
    assert {name.lower() for name in named} <= SETTINGS


def test_compose_mounts_files_that_are_there_and_gives_both_servers_one_database():
    yaml = pytest.importorskip("yaml")
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    assert services["first"] == services["second"]
    assert (DEPLOY / compose["configs"]["nginx"]["file"]).exists()
    assert (DEPLOY / services["first"]["build"]["context"] / services["first"]["build"]["dockerfile"]).exists()
    settings = services["first"]["environment"]
    assert settings["STREAMER_SERVER_STORE"] == settings["STREAMER_SERVER_STATE_STORE"]
    assert int(services["first"]["stop_grace_period"].removesuffix("s")) > ServerConfig().grace_s


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker's client is not installed")
def test_compose_is_understood_by_docker():
    command = ["docker", "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(
        command,
        env={"POSTGRES_PASSWORD": "x", "PATH": "/usr/local/bin:/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )
    if "is not a docker command" in done.stderr or "unknown shorthand" in done.stderr:
        pytest.skip("docker compose is not installed")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
@pytest.mark.parametrize("file", ["nginx.conf", "nginx.compose.conf"])
def test_nginx_understands_its_configuration(tmp_path, file):
    text = (DEPLOY / file).read_text()
    # The names are those of containers, which this machine does not know.
    text = re.sub(r"server (first|second):", "server 127.0.0.1:", text)
    (tmp_path / "nginx.conf").write_text(WRAPPED.format(folder=tmp_path, configuration=text))
    command = [NGINX, "-t", "-q", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
