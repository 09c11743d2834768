"""A verdict on two voices, and none where there is no voice."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from streamer import Model
from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.cli import main
from streamer.demo import ENROLMENT
from streamer.errors import AudioError, ConfigurationError, SpeechTooShort
from streamer.verification import cosine, verify


@pytest.fixture(scope="module")
def default():
    return Model.from_pretrained("default")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """No speech in four ways, and one word."""
    folder, draw = tmp_path_factory.mktemp("sounds"), np.random.default_rng(1)
    times = np.arange(5 * RATE) / RATE
    voice, rate = soundfile.read(ENROLMENT["angus"])
    contents = {
        "silence": np.zeros(5 * RATE),
        "noise": draw.normal(0, 0.01, 5 * RATE),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * times),
        "clicks": (draw.random(5 * RATE) < 1e-4) * 0.9,
        "word": np.concatenate([voice[rate : rate + rate // 2], np.zeros(4 * rate)]),
    }
    for name, samples in contents.items():
        soundfile.write(folder / f"{name}.wav", samples, rate if name == "word" else RATE)
    return {name: folder / f"{name}.wav" for name in contents}


@pytest.mark.parametrize("name", ["silence", "noise", "tone", "clicks", "word"])
@pytest.mark.parametrize("order", [0, 1], ids=["first", "second"])
def test_without_enough_speech_there_is_no_verdict(default, sounds, name, order):
    files = [sounds[name], ENROLMENT["angus"]]
    with pytest.raises(SpeechTooShort, match=rf"{name}\.wav' has \d\.\d s of speech.*a verdict needs 1 s") as caught:
        verify(default, files[order], files[1 - order])
    assert isinstance(caught.value, AudioError)
    assert caught.value.needed_s == 1.0
    assert caught.value.heard_s[order] < 1.0 < caught.value.heard_s[1 - order]


def test_the_command_says_what_it_heard_and_exits_with_2(sounds, capsys):
    assert main(["verify", str(sounds["silence"]), str(sounds["noise"])]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "silence.wav' has 0.0 s of speech" in said.err
    assert "noise.wav' has" in said.err
    assert main(["verify", str(sounds["silence"]), str(sounds["noise"]), "--least-speech", "0"]) in (0, 1)


def test_voices_are_told_apart(default):
    voices = list(ENROLMENT.values())
    assert verify(default, voices[0], voices[0]).same is True
    apart = verify(default, voices[0], voices[2])
    assert apart.same is False
    assert min(apart.speech_s) > 5
    assert verify(default, voices[0], voices[2], threshold=-1.0).same is True


def test_a_limit_that_cannot_be_is_refused(default):
    with pytest.raises(ConfigurationError, match="least_speech_s=-1"):
        verify(default, "a.wav", "b.wav", least_speech_s=-1)


def test_cosine_is_within_its_bounds_and_defined_for_zero():
    vector = np.full(7, 0.1, np.float32)
    assert cosine(vector, vector) <= 1
    assert cosine(vector, -vector) == pytest.approx(-1)
    assert cosine(vector, np.zeros(7, np.float32)) == 0
