"""Makes the bundled speech: `python -m streamer.demo.make_audio`, with Debian's `flite` installed.

All random numbers come from one seed. Four voices take turns at different distances from the microphone, in a small
room with background noise; the reference says who speaks when.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.demo import CONVERSATION, ENROLMENT, REFERENCE

Wave = NDArray[np.float64]

#: flite's voice, and its playback speed: two are made deeper and higher, so that there are four different people.
VOICES = {"angus": ("awb", 1.0), "brian": ("rms", 0.86), "carol": ("slt", 1.0), "dave": ("kal16", 1.15)}

ENROL = {
    "angus": "The north wind and the sun were arguing one day about which of them was the stronger, when a traveller "
    "came along the road, wrapped in a warm cloak. They agreed that whoever first made him take it off would win.",
    "brian": "My morning starts with a short walk to the harbour, where the fishing boats come in with the tide. I buy "
    "bread at the corner, read the paper on a bench, and then I cycle to work along the old canal.",
    "carol": "When we moved into this house, the garden was nothing but stones and tall grass. We planted two apple "
    "trees and a row of beans, and by the second summer the whole street came over to pick cherries.",
}

#: (who, what, pause after it in seconds); a negative pause is an interruption.
SCRIPT: list[tuple[str, str, float]] = [
    ("carol", "Good morning everybody. Shall we begin? Angus, how did the measurements go last week?", 0.8),
    (
        "angus",
        "Quite well, thank you. We recorded nine hours in the large hall, and the noise was lower than I feared.",
        0.4,
    ),
    ("brian", "Did you use the new microphones? I still have two of them in my office.", 0.3),
    ("angus", "Yes. Four on the ceiling and one on the table.", 1.6),
    (
        "carol",
        "Then we should have the first results by Thursday. Brian, can you look at the delay between the channels?",
        0.5,
    ),
    ("brian", "I can. It will take me a day or two, because the clocks of the two recorders drift apart.", 0.9),
    ("dave", "Excuse me, is this the budget meeting? They told me it was in the room at the end of the corridor.", 0.5),
    ("carol", "No, the budget meeting is one floor up.", 0.3),
    ("dave", "Oh, I am sorry. I will leave you to it then. Have a good day.", 2.5),
    (
        "brian",
        "Where were we? Oh yes, the clocks. I would like to send a short tone at the beginning of each session.",
        0.2,
    ),
    ("angus", "That is a fine idea. We can do it on Monday.", 1.0),
    ("carol", "Good. I will write it down, and send everybody a summary this afternoon. Thank you all.", 1.0),
]
LEVEL_DB = {"angus": -24.0, "brian": -29.0, "carol": -26.0, "dave": -32.0}
NOISE_DB = -55.0


def say(who: str, text: str) -> Wave:
    """Speech at 16 kHz, without the silence around it, at an RMS of 1."""
    voice, speed = VOICES[who]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        wave, rate = soundfile.read(path)
    wave = soxr.resample(wave, rate * speed, RATE)
    loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    wave = wave[loud[0] : loud[-1]]
    return np.asarray(wave / np.sqrt(np.mean(wave**2)))


def room(wave: Wave, rng: np.random.Generator, seconds: float = 0.25) -> Wave:
    """The sound in a small room: the direct sound and a decaying, noise-like tail 14 dB below it."""
    time = np.arange(round(seconds * RATE)) / RATE
    tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / seconds) * (time > 0.004)
    tail *= 10 ** (-14 / 20) / np.sqrt(np.sum(tail**2))
    response = np.concatenate([[1.0], tail])
    return np.asarray(np.convolve(wave, response)[: len(wave) + len(tail)])


def background(samples: int, rng: np.random.Generator) -> Wave:
    """Noise whose power falls as 1 / f above 50 Hz, at an RMS of 1."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 50)
    noise = np.fft.irfft(spectrum / np.sqrt(frequency), samples)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def write(path: Path, wave: Wave) -> None:
    soundfile.write(path, wave.astype(np.float32), RATE, format="OGG", subtype="OPUS")


def main() -> None:
    rng = np.random.default_rng(20)
    for name, path in ENROLMENT.items():
        speech = room(say(name, ENROL[name]) * 10 ** (LEVEL_DB[name] / 20), rng)
        write(path, speech + background(len(speech), rng) * 10 ** (NOISE_DB / 20))
    position, turns = RATE, []
    for who, text, pause_s in SCRIPT:
        speech = say(who, text) * 10 ** (LEVEL_DB[who] / 20)
        turns.append((who, position, speech))
        position += len(speech) + round(pause_s * RATE)
    mix = np.zeros(position + RATE)
    lines = []
    for who, start, speech in turns:
        heard = room(speech, rng)
        mix[start : start + len(heard)] += heard
        times = f"{start / RATE:.3f} {len(speech) / RATE:.3f}"
        lines.append(f"SPEAKER conversation 1 {times} <NA> <NA> {who} <NA> <NA>\n")
    write(CONVERSATION, mix + background(len(mix), rng) * 10 ** (NOISE_DB / 20))
    REFERENCE.write_text("".join(lines))


if __name__ == "__main__":
    main()
