"""The training audio: every file decoded once, in every voice, into one flat, memory-mapped int16 array.

To decode Opus and to change the voice for each crop would cost more than the network's step on a small machine, so
both are done beforehand. A speaker in another voice counts as another speaker, as is usual for x-vectors.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError
from streamer.evaluation.manifest import Float32, Utterance
from streamer.training.voices import Voice, voices_of

STORED_DBFS = -26.0  # Corpora differ by 40 dB; at a common level, quantisation to int16 does not matter.

Int16 = npt.NDArray[np.int16]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Decoded utterances in one array.

    Row i (an utterance in one voice) is `audio[start[i] : start[i] + samples[i]]`. Rows are grouped by voice:
    row = voice * number of utterances + utterance; voice 0 is the speaker's real voice. `speaker` and `corpus` index
    `speakers` and `corpora`.

    Shapes: audio (total samples,) int16; start, samples, speaker, corpus, voice (rows,) int64.
    """

    audio: Int16
    start: Int64
    samples: Int64
    speaker: Int64
    corpus: Int64
    voice: Int64
    speakers: list[str]
    corpora: list[str]
    voices: int
    paths: list[str]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def classes(self) -> int:
        """Number of classes: pairs of a speaker and a voice."""
        return len(self.speakers) * self.voices

    def label(self, rows: Int64) -> Int64:
        """The class of each row: a speaker in another voice is another class."""
        return np.asarray(self.voice[rows] * len(self.speakers) + self.speaker[rows])

    def wave(self, row: int, start: int = 0, stop: int | None = None) -> Int16:
        """A part of one row's samples (a view of the map); it ends with the row if `stop` is beyond it."""
        begin, end = int(self.start[row]), int(self.start[row] + self.samples[row])
        return self.audio[begin + start : end if stop is None else min(begin + stop, end)]

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        """Map the files that `prepare` wrote."""
        names = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        with np.load(folder / "corpus.npz") as index:
            columns = {key: index[key] for key in ("start", "samples", "speaker", "corpus", "voice")}
        total = int(columns["start"][-1] + columns["samples"][-1])
        audio = np.memmap(folder / "audio.i16", np.int16, "r", shape=(total,))
        return cls(audio=audio, **columns, **names)


def _decoded_length(path: Path) -> int:
    import soundfile

    info = soundfile.info(path)
    if info.samplerate != SAMPLE_RATE or info.channels != 1:
        raise ValueError(f"{path}: {info.samplerate} Hz x {info.channels}; the corpus must be {SAMPLE_RATE} Hz mono")
    return int(info.frames)


def level(wave: Float32, dbfs: float) -> Float32:
    """Scale to an RMS level in dBFS, or less if the peak would clip."""
    rms, peak = float(np.sqrt(np.mean(np.square(wave)))), float(np.abs(wave).max(initial=0.0))
    if rms == 0.0:
        return wave
    return wave * np.float32(min(10 ** (dbfs / 20) / rms, 0.99 / peak))


def _decode(job: tuple[Path, Path, int, list[tuple[Voice, int, int]]]) -> None:
    """Write one utterance in every voice to its place in the array."""
    import soundfile

    path, target, total, places = job
    wave, _ = soundfile.read(path, dtype="float32")
    audio = np.memmap(target, np.int16, "r+", shape=(total,))
    for voice, start, samples in places:
        changed = voice.of(wave)
        fitted = np.zeros(samples, np.float32)  # The resampler may give a sample more or less than the ratio predicts.
        fitted[: min(samples, len(changed))] = changed[:samples]
        audio[start : start + samples] = np.round(level(fitted, STORED_DBFS) * 32767).astype(np.int16)


def prepare(
    root: Path,
    utterances: list[Utterance],
    speeds: list[float],
    folder: Path,
    drawn: int = 0,
    seed: int = 3,
    workers: int = 2,
) -> Corpus:
    """Decode the utterances in every voice into `folder`; if it is complete, only map it.

    Paths of utterances are relative to `root`. The files are 16 kHz mono, of any format that libsndfile reads.
    For `speeds`, which must begin with 1, `drawn` and `seed` see `voices_of`. Raises ConfigurationError if the
    folder has another number of voices.
    """
    voices, count = len(speeds) + drawn, len(utterances)
    if (folder / "corpus.npz").exists():
        finished = Corpus.load(folder)
        if finished.voices != voices:
            raise ConfigurationError(
                f"{folder} has {finished.voices} voices of each speaker, but {voices} are requested; "
                "give another folder as `cache`, or remove this one."
            )
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    speakers = sorted({row.speaker for row in utterances})
    corpora = sorted({row.corpus for row in utterances})
    speaker = np.array([speakers.index(u.speaker) for u in utterances])
    corpus = np.array([corpora.index(u.corpus) for u in utterances])
    of_speaker = [voices_of(number, speeds, drawn, seed) for number in range(len(speakers))]
    with ProcessPoolExecutor(workers) as pool:
        base = np.array(list(pool.map(_decoded_length, [root / u.path for u in utterances], chunksize=64)))
        speed = np.array([[voice.speed for voice in of_speaker[number]] for number in speaker])
        samples = np.floor(base[:, None] / speed).astype(np.int64).T.reshape(-1)
        start = np.concatenate([[0], np.cumsum(samples)[:-1]])
        total = int(samples.sum())
        np.memmap(folder / "audio.i16", np.int16, "w+", shape=(total,)).flush()
        jobs = []
        for i, utterance in enumerate(utterances):
            places = list(
                zip(of_speaker[speaker[i]], start[i::count].tolist(), samples[i::count].tolist(), strict=True)
            )
            jobs.append((root / utterance.path, folder / "audio.i16", total, places))
        for _ in pool.map(_decode, jobs, chunksize=32):
            pass
    names = {"speakers": speakers, "corpora": corpora, "voices": voices, "paths": [u.path for u in utterances]}
    (folder / "corpus.json").write_text(json.dumps(names), encoding="utf-8")
    np.savez(
        folder / "corpus.npz",
        start=start,
        samples=samples,
        speaker=np.tile(speaker, voices),
        corpus=np.tile(corpus, voices),
        voice=np.repeat(np.arange(voices), count),
    )
    return Corpus.load(folder)
