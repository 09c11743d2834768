"""The microphone against a PortAudio that the test plays: this needs no sound card, and can unplug one."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamer.audio.chunks import Chunk, Gap
from streamer.audio.formats import encode_pcm
from streamer.audio.sources import InputDevice, MicrophoneSource, list_devices, split_channels
from streamer.audio.sources.microphone import POLL_S, RETRY_S, STALL_S
from streamer.errors import ConfigurationError, MicrophoneUnavailable, MissingDependency


class FakePortAudio:
    """As much of the module sounddevice as is used; devices come into sight only when it is initialised anew."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        self.plugged: list[tuple[str, int, float]] = [
            ("HDMI out", 0, 48_000.0),
            ("USB Mic: Audio (hw:1,0)", 2, 44_100.0),
        ]
        self.streams: list[FakeStream] = []
        self.opened = asyncio.Event()
        self.while_opening: Callable[[], None] = lambda: None
        self._initialize()

    def _initialize(self) -> None:
        self._devices = [
            {"index": index, "name": name, "max_input_channels": channels, "default_samplerate": rate}
            for index, (name, channels, rate) in enumerate(self.plugged)
        ]

    def _terminate(self) -> None:
        assert not any(stream.active for stream in self.streams), "this would end a stream that is in use"

    def query_devices(self, device: int | str | None = None, kind: str | None = None) -> Any:
        if device is None and kind is None:
            return self._devices
        inputs = [info for info in self._devices if info["max_input_channels"] > 0]
        if isinstance(device, str):
            found = [info for info in inputs if device.lower() in info["name"].lower()]
            if len(found) != 1:
                raise ValueError(f"{'Multiple' if found else 'No'} input devices found for {device!r}")
            return found[0]
        if device is None and inputs:
            return inputs[0]
        if device is None or not 0 <= device < len(self._devices):
            raise self.PortAudioError(f"Error querying device {-1 if device is None else device}")
        if self._devices[device]["max_input_channels"] == 0:
            raise ValueError(f"Not an input device: {device}")
        return self._devices[device]

    def InputStream(self, **settings: Any) -> FakeStream:
        return FakeStream(self, **settings)


class FakeStream:
    def __init__(
        self, pa: FakePortAudio, device: int, samplerate: int, channels: int, dtype: str, callback: Any
    ) -> None:
        if device >= len(pa.plugged) or pa.plugged[device][0] != pa._devices[device]["name"]:
            raise pa.PortAudioError("Error opening InputStream: Device unavailable")
        if samplerate % 100:
            raise pa.PortAudioError("Error opening InputStream: Invalid sample rate")
        assert dtype == "float32"
        self.pa, self.rate, self.channels = pa, samplerate, channels
        self.active, self.closed = False, False
        self._callback = callback
        self._adc = 50.0

    def start(self) -> None:
        self.active = True
        self.pa.streams.append(self)
        self.pa.while_opening()
        self.pa.opened.set()

    def close(self, ignore_errors: bool = True) -> None:
        self.active, self.closed = False, True

    def play(self, block: np.ndarray, lost_s: float | None = None, timed: bool = True) -> None:
        """Call back as PortAudio does: from a thread of its own, with memory that it uses again."""
        self._adc += lost_s or 0.0
        times = SimpleNamespace(inputBufferAdcTime=self._adc if timed else 0.0)
        self._adc += len(block) / self.rate
        memory = block.copy()

        def call() -> None:
            self._callback(memory, len(block), times, SimpleNamespace(input_overflow=lost_s is not None))
            memory[:] = np.nan

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()


def block(value: float, frames: int, channels: int = 2) -> np.ndarray:
    return np.full((frames, channels), value, np.float32)


@pytest.fixture
def pa():
    return FakePortAudio()


def microphone(pa: FakePortAudio, fake_time: Any, device: int | str | None = None, **options: Any) -> MicrophoneSource:
    return MicrophoneSource(device, portaudio=pa, clock=fake_time.clock, sleep=fake_time.sleep, **options)


async def read_to(source: Any, end_sample: int) -> list[Chunk | Gap]:
    """Events up to `end_sample`, which one of them must reach exactly."""
    events: list[Chunk | Gap] = []
    while not events or events[-1].end_sample < end_sample:
        events.append(await anext(source))
    assert events[-1].end_sample == end_sample
    return events


async def test_the_samples_of_the_callback_arrive_downmixed(pa, fake_time):
    async with microphone(pa, fake_time, rate=16_000) as source:
        stereo = np.stack([np.linspace(0, 1, 320), np.linspace(1, 0, 320)], axis=1).astype(np.float32)
        pa.streams[0].play(stereo)
        pa.streams[0].play(block(0.25, 80))
        events = await read_to(source, 400)
        samples = np.concatenate([event.samples for event in events if isinstance(event, Chunk)])
        np.testing.assert_allclose(samples, [0.5] * 320 + [0.25] * 80, atol=1e-6)
    assert pa.streams[0].closed


async def test_the_devices_own_rate_is_taken_and_time_stays_exact(pa, fake_time):
    async with microphone(pa, fake_time, "usb mic") as source:
        assert pa.streams[0].rate == 44_100
        for _ in range(100):
            pa.streams[0].play(block(0.5, 441))
        event = await anext(source)
        assert isinstance(event, Chunk)
        assert event.start_sample == 0
        # soxr holds back less than 0.1 s.
        assert 14_400 < event.end_sample <= 16_000
        np.testing.assert_allclose(event.samples[1000:], 0.5, atol=1e-4)


async def test_a_channel_can_be_chosen_and_all_be_split(pa, fake_time):
    stereo = np.stack([np.full(160, 0.1), np.full(160, 0.7)], axis=1).astype(np.float32)
    async with microphone(pa, fake_time, rate=16_000, channel=1) as source:
        pa.streams[0].play(stereo)
        assert np.unique((await anext(source)).samples) == np.float32(0.7)
    left, right = split_channels(microphone(pa, fake_time, rate=16_000), 2)
    async with left, right:
        pa.streams[1].play(stereo)
        assert np.unique((await anext(right)).samples) == np.float32(0.7)
        assert np.unique((await anext(left)).samples) == np.float32(0.1)
    assert len(pa.streams) == 2
    assert pa.streams[1].closed


@pytest.mark.parametrize(
    ("lost_s", "timed", "expected"), [(0.5, True, 8000), (0.5, False, 160), (0.0, True, 160), (60.0, True, 160)]
)
async def test_an_overflow_of_the_system_is_a_gap_as_long_as_the_time_stamps_say(
    pa, fake_time, lost_s, timed, expected
):
    async with microphone(pa, fake_time, rate=16_000) as source:
        pa.streams[0].play(block(0.1, 160), timed=timed)
        pa.streams[0].play(block(0.2, 160), lost_s=lost_s, timed=timed)
        events = await read_to(source, 320 + expected)
        assert events[1] == Gap(160, 160 + expected, "input overflow")


async def test_a_reader_that_is_late_loses_the_oldest_and_is_told(pa, fake_time):
    async with microphone(pa, fake_time, rate=16_000, buffer_s=0.1) as source:
        for value in range(15):
            pa.streams[0].play(block(value / 100, 160))
        events = await read_to(source, 2400)
        assert events[0] == Gap(0, 800, "overflow")
        assert source.statistics.dropped == 800
        assert isinstance(events[1], Chunk)
        assert events[1].samples[0] == np.float32(0.05)


async def lose_and_find(pa: FakePortAudio, fake_time: Any, source: Any, unplug: Any) -> list[Chunk | Gap]:
    """One second of audio, 10 s without the device, which then is back in another place, and 0.1 s more."""
    pa.streams[0].play(block(0.1, 16_000))
    events = await read_to(source, 16_000)
    await fake_time.advance(POLL_S)  # 1 s of audio is heard now
    unplug()
    began = fake_time.now
    pa.opened.clear()
    while fake_time.now < began + 9.8:
        await fake_time.advance(await fake_time.asleep())
    pa.plugged = [("USB Mic: Audio (hw:0,0)", 2, 44_100.0), ("HDMI out", 0, 48_000.0)]
    pa.while_opening = lambda: setattr(fake_time, "now", fake_time.now + 0.3)
    await fake_time.pass_until(pa.opened)
    away = fake_time.now - began
    fake_time.now += 0.1
    pa.streams[1].play(block(0.2, 1600))
    events += await read_to(source, 16_000 + round(away * 16_000) + 1600)
    return events


@pytest.mark.parametrize("device", [None, 1, "usb"], ids=["default", "index", "name"])
@pytest.mark.parametrize("silently", [False, True], ids=["says so", "goes silent"])
async def test_a_device_that_vanishes_and_comes_back_leaves_a_gap_as_long_as_it_was_away(
    pa, fake_time, device, silently
):
    def unplug() -> None:
        pa.plugged = pa.plugged[:1]
        pa.streams[0].active = silently

    async with microphone(pa, fake_time, device, rate=16_000) as source:
        events = await lose_and_find(pa, fake_time, source, unplug)
    position = 0
    for event in events:
        assert event.start_sample == position
        position = event.end_sample
    gaps = [event for event in events if isinstance(event, Gap)]
    assert {gap.reason for gap in gaps} == {"device lost"}
    assert gaps[0].start_sample == 16_000
    # The clock runs on while the device is away, not only when it is back.
    assert len(gaps) > 4
    assert max(gap.end_sample - gap.start_sample for gap in gaps) <= (STALL_S + POLL_S + RETRY_S) * 16_000
    last = events[-1]
    assert isinstance(last, Chunk)
    assert np.unique(last.samples) == np.float32(0.2)
    assert all(stream.closed for stream in pa.streams)


async def test_without_reconnect_a_lost_device_is_an_error_after_its_samples(pa, fake_time):
    async with microphone(pa, fake_time, rate=16_000, reconnect=False) as source:
        pa.streams[0].play(block(0.1, 160))
        pa.streams[0].active = False
        await fake_time.advance(POLL_S)
        assert (await anext(source)).end_sample == 160
        with pytest.raises(MicrophoneUnavailable, match=r"USB Mic.*was lost"):
            await anext(source)


async def test_other_streams_are_not_ended_to_look_for_a_lost_device(pa, fake_time):
    async with microphone(pa, fake_time, rate=16_000), microphone(pa, fake_time, rate=48_000):
        pa.streams[1].active = False  # but the device is there: it is found without initialising PortAudio
        pa.opened.clear()
        await fake_time.pass_until(pa.opened)
        # Had PortAudio been ended for it, the fake would have refused: the other stream is in use.
        assert len(pa.streams) > 2


async def test_cancelling_a_read_loses_nothing(pa, fake_time):
    async with microphone(pa, fake_time, rate=16_000) as source:
        for turn in range(5):
            coming = asyncio.ensure_future(anext(source))
            await asyncio.sleep(0)
            coming.cancel()
            await asyncio.wait([coming])
            pa.streams[0].play(block(0.1, 160))
            assert (await anext(source)).start_sample == turn * 160


async def test_leaving_while_a_device_is_sought_leaves_nothing_open(pa, fake_time):
    async with microphone(pa, fake_time, rate=16_000):
        pa.plugged = []
        pa.streams[0].active = False
        await fake_time.advance(POLL_S)
        await fake_time.asleep()  # before the next try
    assert all(stream.closed for stream in pa.streams)


@pytest.mark.parametrize("device", [7, 0, "bluetooth", "u"], ids=["no such index", "an output", "no such name", "many"])
async def test_a_device_that_is_not_there_is_an_error_that_lists_those_that_are(pa, fake_time, device):
    pa.plugged.append(("Built-in Audio", 1, 48_000.0))
    pa._initialize()
    with pytest.raises(MicrophoneUnavailable, match=rf"no input device {device!r}.*1 'USB Mic.*2 'Built-in Audio'"):
        await microphone(pa, fake_time, device).__aenter__()


async def test_a_machine_without_a_microphone_says_so(pa, fake_time):
    pa.plugged = []
    pa._initialize()
    assert list_devices(pa) == []
    with pytest.raises(MicrophoneUnavailable, match=r"no default input device.*Input devices: none"):
        await microphone(pa, fake_time).__aenter__()


async def test_a_rate_the_device_does_not_offer_is_an_error_that_names_its_own(pa, fake_time):
    with pytest.raises(MicrophoneUnavailable, match=r"at 11025 Hz.*offers 44100 Hz"):
        await microphone(pa, fake_time, rate=11_025).__aenter__()


def test_devices_are_listed(pa):
    assert list_devices(pa) == [InputDevice(1, "USB Mic: Audio (hw:1,0)", 2, 44_100, default=True)]


@pytest.mark.parametrize(
    ("error", "message"),
    [(OSError("PortAudio library not found"), "libportaudio2"), (ImportError("no"), "pip install sounddevice")],
)
async def test_what_is_not_installed_is_named_at_the_first_use(monkeypatch, error, message):
    def refuse(name: str) -> None:
        raise error

    source = MicrophoneSource()
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingDependency, match=message):
        await source.__aenter__()
    with pytest.raises(MissingDependency, match=message):
        list_devices()


ALSA = Path("/usr/share/alsa/alsa.conf")


@pytest.mark.skipif(find_library("portaudio") is None or not ALSA.exists(), reason="needs PortAudio and ALSA")
def test_the_real_portaudio_plays_a_file_as_a_microphone(tmp_path):
    """ALSA's file plugin stands in for the sound card; all else is real, down to the thread that calls back.

    The signal is constant, because a card that is not there keeps no time: ALSA leaves out parts of the file, and what
    a busy machine does not fetch at once is a gap.
    """
    (tmp_path / "level.raw").write_bytes(encode_pcm(np.stack([np.full(16_000, 0.25), np.full(16_000, 0.75)]), "s16le"))
    (tmp_path / "asound.conf").write_text(
        "pcm.nothing { type null }\n"
        f'pcm.level {{ type file slave.pcm nothing file /dev/null infile "{tmp_path}/level.raw" format raw }}\n'
        "pcm.!default { type plug slave { pcm level format S16_LE rate 16000 channels 2 } }\n"
    )
    code = (
        "import asyncio, numpy as np\n"
        "from streamer.audio.chunks import Gap\n"
        "from streamer.audio.sources import MicrophoneSource\n"
        "async def main():\n"
        "    async with MicrophoneSource('default', rate=16000, channels=2) as source:\n"
        "        expected = 0\n"
        "        async for event in source:\n"
        "            assert event.start_sample == expected\n"
        "            if not isinstance(event, Gap):\n"
        "                break\n"
        "            expected = event.end_sample\n"
        "        print(np.unique(event.samples))\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"ALSA_CONFIG_PATH": f"{ALSA}:{tmp_path}/asound.conf"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[0.5]\n", done.stderr


def test_importing_the_sources_does_not_load_portaudio():
    code = "import sys, streamer.audio.sources; sys.exit('sounddevice' in sys.modules or 'av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("options", [{"buffer_s": 0}, {"rate": 5}, {"channels": 0}])
def test_a_setting_that_cannot_be_is_refused(options):
    with pytest.raises(ConfigurationError):
        MicrophoneSource(**options)
