"""Models from the hub: a server on this machine speaks as much of its protocol as a download needs."""

from __future__ import annotations

import hashlib
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import huggingface_hub.constants
import pytest

from streamer import Model
from streamer.errors import (
    CheckpointError,
    ConfigurationError,
    GatedModel,
    HubUnreachable,
    ModelNotFound,
    RevisionNotFound,
)
from streamer.models import checkpoint
from streamer.models.checkpoint import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_good"


class Hub(ThreadingHTTPServer):
    """Repositories by id: the files of each. "gated/..." wants TOKEN, "private/..." exists only with it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.requests: list[str] = []
        self.broken = False

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        parts = self.path.lstrip("/").split("/")
        repository, revision, name = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        authorization = self.headers.get("authorization")
        signed_in = authorization == f"Bearer {TOKEN}"
        if self.server.broken:
            return self.fail(500, "")
        if repository.startswith("gated/") and not signed_in:
            return self.fail(403 if authorization else 401, "GatedRepo")
        if repository not in self.server.files or (repository.startswith("private/") and not signed_in):
            return self.fail(404 if authorization else 401, "RepoNotFound")
        if revision not in ("main", "v1", COMMIT):
            return self.fail(404, "RevisionNotFound")
        if name not in self.server.files[repository]:
            return self.fail(404, "EntryNotFound")
        content = self.server.files[repository][name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def fail(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Hub()
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    use_endpoint(monkeypatch, server.endpoint)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """huggingface_hub asks five times again, with pauses in between that double."""
    clock = SimpleNamespace(**{name: getattr(time, name) for name in ("time", "monotonic", "perf_counter")})
    clock.sleep = lambda seconds: None
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)


def use_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """What the variable HF_ENDPOINT does when huggingface_hub is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture(scope="session")
def ours(local_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("hub") / "model.safetensors"
    checkpoint.save(path, local_model)
    return path.read_bytes()


def test_a_model_of_either_format_is_fetched(server, write_checkpoint, ours, local_model, tmp_path):
    server.files["some/pyannote"] = {"pytorch_model.bin": write_checkpoint()}
    server.files["some/ours"] = {"model.safetensors": ours}
    model = Model.from_pretrained("some/pyannote", cache_dir=tmp_path)
    assert model.card.name == "some/pyannote"
    assert model.architecture.norm == "instance"
    assert Model.from_pretrained("some/ours", cache_dir=tmp_path).fingerprint == local_model.fingerprint


def test_what_is_in_the_cache_is_not_fetched_again(server, ours, tmp_path):
    server.files["some/ours"] = {"pytorch_model.bin": ours}
    for _ in range(2):
        Model.from_pretrained("some/ours", cache_dir=tmp_path)
    assert sum(request.startswith("GET") for request in server.requests) == 1


@pytest.mark.parametrize("argument", ["token", "use_auth_token"])
def test_a_token_opens_a_gated_model(server, ours, tmp_path, argument):
    server.files["gated/model"] = {"pytorch_model.bin": ours}
    assert Model.from_pretrained("gated/model", cache_dir=tmp_path, **{argument: TOKEN})  # type: ignore[arg-type]


def test_a_subfolder_and_a_revision_are_followed(server, ours, tmp_path):
    server.files["some/ours"] = {"deep/pytorch_model.bin": ours}
    Model.from_pretrained("some/ours", cache_dir=tmp_path, subfolder="deep", revision="v1")
    assert server.requests[0] == "HEAD /some/ours/resolve/v1/deep/pytorch_model.bin"


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        ("gated/model", {}, GatedModel, r"no token was given: accept its conditions at https://\S+/gated/model"),
        ("gated/model", {"token": "hf_other"}, GatedModel, r"your token has no access: accept its conditions"),
        ("some/ours", {"token": True}, GatedModel, r"this machine has no Hugging Face token"),
        ("no/such", {}, ModelNotFound, r"no model 'no/such' on the hub.*it needs token="),
        ("private/model", {"token": "hf_other"}, ModelNotFound, r"your token has no access"),
        ("some/ours", {"revision": "v9"}, RevisionNotFound, r"no revision 'v9'; see https://\S+/commits/main"),
        ("some/pipeline", {}, ModelNotFound, r"neither pytorch_model.bin nor model.safetensors"),
        ("some/ours", {"subfolder": "deep"}, ModelNotFound, r"its folder 'deep' has neither"),
        ("some/ours@v1", {}, ConfigurationError, r"revision='v1'"),
        ("some/ours--x", {}, ModelNotFound, r"not a valid Hugging Face id"),
    ],
    ids=str,
)
def test_each_failure_says_what_to_do_next(server, ours, tmp_path, source, options, error, words):
    server.files |= {name: {"pytorch_model.bin": ours} for name in ("gated/model", "private/model", "some/ours")} | {
        "some/pipeline": {"config.yaml": b""}
    }
    with pytest.raises(error, match=words):
        Model.from_pretrained(source, cache_dir=tmp_path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", hub.FILE_NAMES)
def test_without_the_network_the_cache_will_do(server, ours, local_model, tmp_path, monkeypatch, name):
    server.files["some/ours"] = {name: ours}
    Model.from_pretrained("some/ours", cache_dir=tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    server.requests.clear()
    assert Model.from_pretrained("some/ours", cache_dir=tmp_path).fingerprint == local_model.fingerprint
    assert server.requests == []


def test_offline_and_not_in_the_cache_says_so(server, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable, match=r"not in the cache.*HF_HUB_OFFLINE"):
        Model.from_pretrained("some/ours", cache_dir=tmp_path)
    assert server.requests == []


def test_a_hub_that_does_not_answer_is_named(server, tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        use_endpoint(monkeypatch, f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(HubUnreachable, match="check the network"):
            Model.from_pretrained("some/ours", cache_dir=tmp_path)


def test_a_broken_hub_is_named(server, tmp_path):
    server.broken = True
    with pytest.raises(HubUnreachable, match="HTTP 500"):
        Model.from_pretrained("some/ours", cache_dir=tmp_path)


def test_a_broken_hub_leaves_the_cache_usable(server, ours, local_model, tmp_path):
    server.files["some/ours"] = {"pytorch_model.bin": ours}
    Model.from_pretrained("some/ours", cache_dir=tmp_path)
    server.broken = True
    assert Model.from_pretrained("some/ours", cache_dir=tmp_path).fingerprint == local_model.fingerprint


def test_what_the_hub_gives_is_read_as_carefully_as_a_file(server, tmp_path):
    server.files["some/ours"] = {"pytorch_model.bin": b"<html>sign in to the hotel's network</html>"}
    with pytest.raises(CheckpointError, match="web page"):
        Model.from_pretrained("some/ours", cache_dir=tmp_path)
