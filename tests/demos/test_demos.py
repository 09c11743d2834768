"""Each demo runs from end to end, on bundled audio and as fast as it goes."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from rich.console import Console

from streamer.audio.files import read_audio
from streamer.demo import CONVERSATION

DEMOS = Path(__file__).parents[2] / "demos"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The first 8 s of the bundled conversation, as a WAV file."""
    path = tmp_path_factory.mktemp("clip") / "talk.wav"
    soundfile.write(path, read_audio(CONVERSATION).mono_16k()[: 8 * 16_000], 16_000)
    return path


def test_the_live_demo_enrols_three_voices_and_finds_them_in_the_conversation(demo):
    console = Console(file=io.StringIO(), width=100)
    session = demo("live_microphone").main(["--simulate", "--speed", "0"], console)
    assert {"angus", "brian", "carol"} <= set(session.timeline.talk_time())
    said = console.file.getvalue()
    assert said.count("enrolled ") == 4  # once for each, and in the view
    assert "talk time" in said


def test_the_live_demo_is_short_enough_to_be_read():
    assert len((DEMOS / "live_microphone.py").read_text().splitlines()) < 120


def test_the_live_demo_asks_who_is_there(demo):
    with pytest.raises(SystemExit, match="Say who is there"):
        demo("live_microphone").main([])


async def test_the_client_demo_prints_who_speaks(demo, server, clip):
    client, lines = demo("websocket_client"), []
    args = client.options([str(clip), "--fast", "--url", f"ws://127.0.0.1:{server.port}"])
    await client.run(args, lines.append)
    assert any("has spoken" in line for line in lines)


async def test_the_bare_client_needs_nothing_of_ours_and_prints_the_same(server, clip):
    source = (DEMOS / "websocket_bare.py").read_text()
    assert "import streamer" not in source
    assert "from streamer" not in source
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        DEMOS / "websocket_bare.py",
        clip,
        f"ws://127.0.0.1:{server.port}/v1/stream",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert b"has spoken" in out


def test_an_unreachable_server_is_one_line(demo, clip, monkeypatch):
    client = demo("websocket_client")
    monkeypatch.setattr(client, "Client", lambda url, **options: _client(url, patience_s=0.0, **options))
    with pytest.raises(SystemExit, match=r"127\.0\.0\.1:9"):
        client.main([str(clip), "--fast", "--url", "ws://127.0.0.1:9"])


def _client(url, **options):
    from streamer.client import Client

    return Client(url, **options)


def test_the_room_demo_finds_each_voice_at_its_seat_and_writes_the_minutes(demo, tmp_path, monkeypatch):
    room, everything = demo("meeting_room"), demo("meeting_room").seats()
    monkeypatch.setattr(room, "seats", lambda: everything[:, : 20 * 16_000])
    console = Console(file=io.StringIO(), width=100)
    meeting = room.main(["--simulate", "--minutes", str(tmp_path / "minutes.html")], console)
    spans = [(span.speaker, meeting.channels[span.channel]) for span in meeting.timeline.spans]
    assert spans == [(name, f"seat of {name}") for name in ("carol", "angus", "brian", "angus")]
    assert "carol" in (tmp_path / "minutes.html").read_text()


def test_the_pictures_are_of_the_demos_and_phone_nobody(demo, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DEMOS))
    pictures = demo("make_pictures")
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    pictures.save("meeting_room", "a room", "carol at her seat")
    drawn = (tmp_path / "meeting_room.svg").read_text()
    for text in (drawn, *(path.read_text() for path in (DEMOS / "pictures").glob("*.svg"))):
        assert "carol" in text
        assert "url(http" not in text
        assert "@font-face" not in text
