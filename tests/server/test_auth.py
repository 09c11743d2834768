"""Who may do what: tokens, scopes, origins, and where a token must not stand."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import shutil
import ssl
import subprocess

import pytest
from talking import PATIENCE_S, talking
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamer.errors import ConfigurationError
from streamer.server import auth, origins, tls
from streamer.server.auth import Tokens, new_token, presented
from streamer.server.config import ServerConfig


@pytest.fixture
def tokens(tmp_path):
    """A token file, and a token for each set of scopes."""
    made = {
        scopes: new_token(scopes.replace(",", "-"), scopes.split(","))
        for scopes in ("stream", "enroll", "stream,admin")
    }
    path = tmp_path / "tokens"
    path.write_text("# rooms\n\n" + "\n".join(line for _, line in made.values()) + "\n")
    return path, {scopes: token for scopes, (token, _) in made.items()}


def test_a_token_file_holds_no_token(tokens):
    path, made = tokens
    for token in made.values():
        assert token not in path.read_text()
        assert hashlib.sha256(token.encode()).hexdigest() in path.read_text()


def test_a_token_has_its_scopes_and_another_none(tokens):
    path, made = tokens
    loaded = Tokens.load(path)
    assert loaded.find(made["stream,admin"]).scopes == {"stream", "admin"}
    for wrong in (None, "", "x", made["stream"][:-1], made["stream"] + "x", "\udcff", "\ud800"):
        assert loaded.find(wrong) is None


def test_every_entry_is_compared_in_constant_time(tokens, monkeypatch):
    path, made = tokens
    compared = []
    genuine = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return genuine(one, other)

    monkeypatch.setattr(auth.hmac, "compare_digest", compare)
    Tokens.load(path).find(made["stream"])
    assert len(compared) == 3


@pytest.mark.parametrize(
    "line",
    [
        "kitchen stream",
        "kitchen stream sha256:12",
        "kitchen fly sha256:" + "0" * 64,
        "ki/tchen stream sha256:" + "0" * 64,
        "#",
    ],
    ids=["no-hash", "short-hash", "unknown-scope", "odd-name", "nothing"],
)
def test_a_token_file_that_is_not_right_is_refused_by_its_line(tmp_path, line):
    (tmp_path / "tokens").write_text(line + "\n")
    with pytest.raises(ConfigurationError, match="token"):
        Tokens.load(tmp_path / "tokens")


@pytest.mark.parametrize(
    ("header", "subprotocols", "token"),
    [
        ("Bearer abc", [], "abc"),
        ("bearer  abc ", ["streamer.bearer.other"], "abc"),
        ("Basic abc", ["streamer.bearer.other"], None),
        (None, ["streamer.v1", "streamer.bearer.abc"], "abc"),
        (None, ["streamer.v1"], None),
    ],
)
def test_a_token_comes_as_a_header_or_a_subprotocol(header, subprotocols, token):
    assert presented(header, subprotocols) == token


@pytest.mark.parametrize(
    ("origin", "host", "loopback", "may"),
    [
        (None, "x", True, True),
        ("http://localhost:8765", "localhost:8765", True, True),
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True, True),
        ("http://[::1]:8765", "[::1]:8765", True, True),
        ("http://127.0.0.1:8080", "127.0.0.1:8765", True, False),
        ("https://evil.example", "127.0.0.1:8765", True, False),
        ("http://evil.example:8765", "evil.example:8765", True, False),  # its name points here: DNS rebinding
        ("https://rooms.example", "rooms.example", False, True),
        ("https://rooms.example.evil", "rooms.example", False, False),
        ("null", "rooms.example", False, False),
        ("https://friend.example", "rooms.example", False, True),
        ("file://", "rooms.example", False, False),
        ("http://[::1", "[::1", True, False),
    ],
)
def test_pages_may_connect_from_here_and_from_friends(origin, host, loopback, may):
    assert origins.allowed(origin, host, ["https://friend.example/"], loopback=loopback) is may


@pytest.mark.parametrize("way", ["header", "subprotocol", "start"])
async def test_a_token_is_taken_by_every_way_but_the_url(serving, tokens, way):
    path, made = tokens
    options, start = {}, {}
    if way == "header":
        options["additional_headers"] = {"Authorization": f"Bearer {made['stream']}"}
    elif way == "subprotocol":
        options["subprotocols"] = ["streamer.v1", f"streamer.bearer.{made['stream']}"]
    else:
        start["token"] = made["stream"]
    async with serving(token_file=str(path)) as server, talking(server, **options) as talk:
        ready = await talk.start(**start)
        assert (ready["type"], ready["scopes"]) == ("ready", ["stream"])
        assert talk.socket.subprotocol == "streamer.v1"
        await talk.say(type="enroll", action="start", name="Ada")
        assert (await talk.until("error"))["code"] == "forbidden"


async def test_without_a_right_token_nothing_begins(serving, tokens, caplog):
    path, made = tokens
    caplog.set_level(logging.DEBUG)
    async with serving(token_file=str(path)) as server:
        for start, code in (
            ({}, "unauthorized"),
            ({"token": "guess"}, "unauthorized"),
            ({"token": made["enroll"]}, "forbidden"),
        ):
            async with talking(server) as talk:
                assert (await talk.start(**start))["code"] == code
                with pytest.raises(ConnectionClosed):
                    await talk.next()
        with pytest.raises(InvalidStatus) as rejected:
            async with talking(server, additional_headers={"Authorization": "Bearer guess"}):
                pass
        assert rejected.value.response.status_code == 401
        with pytest.raises(InvalidStatus) as rejected:
            async with talking(server, path="?token=" + made["stream"]):
                pass
        assert rejected.value.response.status_code == 400
        async with talking(server) as talk:
            await talk.start(token=made["stream"])
            await talk.say(type="end")
            await talk.until("goodbye")
    logged = "\n".join(
        json.dumps(record.__dict__, default=str) for record in caplog.records if record.name.startswith("streamer")
    )
    assert "session" in logged
    assert not any(token in logged for token in made.values())


async def test_nobody_resumes_the_session_of_another(serving, tokens):
    path, made = tokens
    async with serving(token_file=str(path)) as server, talking(server) as owner, talking(server) as thief:
        ready = await owner.start(token=made["stream"])
        stolen = await thief.start(token=made["stream,admin"], resume=ready["resume"])
        assert stolen["code"] == "unknown_session"


async def test_tokens_are_read_again_and_bad_ones_leave_the_old(serving, tokens):
    path, made = tokens
    async with serving(token_file=str(path)) as server:
        token, line = new_token("late", ["stream"])
        path.write_text(line)
        server.reload()
        assert server.identify(token).name == "late"
        assert server.identify(made["stream"]) is None
        path.write_text("nonsense")
        server.reload()
        assert server.identify(token).name == "late"


async def test_a_page_of_another_origin_is_refused(server):
    with pytest.raises(InvalidStatus) as rejected:
        async with talking(server, origin="https://evil.example"):
            pass
    assert rejected.value.response.status_code == 403


@pytest.fixture
def certificate(tmp_path):
    """Makes a certificate of this name, and a key: `certificate("first")`."""

    def make(name: str) -> None:
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        subprocess.run([*command, "-days", "1", *subject, *files], check=True, capture_output=True)
        shutil.copy(tmp_path / "cert.pem", tmp_path / f"{name}.pem")

    make("first")
    return make


@pytest.fixture
def encrypted(certificate, tmp_path):
    """Settings of a server that shows the certificate."""
    return {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}


async def name_shown(server, trusted) -> str:
    """The name that the server's certificate has, where it is the trusted one."""
    async with talking(server, ssl=ssl.create_default_context(cafile=trusted)) as talk:
        assert (await talk.start())["type"] == "ready"
        peer = talk.socket.transport.get_extra_info("peercert")
        return dict(pair for part in peer["subject"] for pair in part)["commonName"]


async def test_the_connection_can_be_encrypted_and_the_certificate_replaced(serving, certificate, encrypted, tmp_path):
    async with serving(**encrypted) as server:
        assert await name_shown(server, tmp_path / "first.pem") == "first"
        certificate("second")
        server.reload()
        assert await name_shown(server, tmp_path / "second.pem") == "second"


@pytest.mark.parametrize("key", ["of another", "damaged", "encrypted"])
async def test_a_certificate_that_is_no_good_leaves_the_old_one_in_use(serving, certificate, encrypted, tmp_path, key):
    async with serving(**encrypted) as server:
        old = (tmp_path / "key.pem").read_bytes()
        certificate("second")
        if key == "of another":
            (tmp_path / "key.pem").write_bytes(old)
        elif key == "damaged":
            (tmp_path / "key.pem").write_text("nonsense")
        else:
            encrypt(tmp_path / "key.pem")
        server.reload()
        assert await name_shown(server, tmp_path / "first.pem") == "first"


async def test_a_certificate_that_is_no_good_leaves_the_old_tokens_too(serving, encrypted, tokens, tmp_path):
    """Half of a change is none: what is said to have failed has not been done."""
    path, made = tokens
    token = made["stream"]
    async with serving(token_file=str(path), **encrypted) as server:
        path.write_text(new_token("another", ["stream"])[1] + "\n")
        good = (tmp_path / "key.pem").read_bytes()
        (tmp_path / "key.pem").write_text("nonsense")
        server.reload()
        assert server.identify(token) is not None
        (tmp_path / "key.pem").write_bytes(good)
        server.reload()
        assert server.identify(token) is None


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(encrypted, tmp_path):
    encrypt(tmp_path / "key.pem")
    with pytest.raises(ConfigurationError, match="nobody to ask"):
        tls.context(ServerConfig(**encrypted))


def encrypt(key) -> None:
    """Put a passphrase on a key."""
    locked = key.with_suffix(".locked")
    command = ["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    locked.replace(key)


async def test_who_never_greets_an_encrypted_server_is_left(serving, encrypted):
    async with serving(hello_timeout_s=0.2, **encrypted) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
