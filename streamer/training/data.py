"""The training audio: every file decoded once, at every speed, into one flat int16 array that is mapped from disk.

Decoding Opus and resampling for each crop would cost more than the network's own step on a small machine, so both
are done beforehand. Speed perturbation (Ko et al., 2015) changes pitch and formants together, so a speaker at
another speed counts as another speaker, as is usual for x-vectors.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.evaluation.manifest import SAMPLE_RATE, Utterance

STORED_DBFS = -26.0  # Corpora differ by 40 dB; a common level keeps the quantisation to int16 out of the picture.

Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Decoded utterances in one array.

    Row i (an utterance at one speed) is `audio[start[i] : start[i] + samples[i]]`. Rows are grouped by speed:
    row = speed_index * number of utterances + utterance. `speaker` and `corpus` index `speakers` and `corpora`.

    Shapes: audio (total samples,) int16; start, samples, speaker, corpus, speed (rows,) int64.
    """

    audio: Int16
    start: Int64
    samples: Int64
    speaker: Int64
    corpus: Int64
    speed: Int64
    speakers: list[str]
    corpora: list[str]
    speeds: list[float]
    paths: list[str]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def classes(self) -> int:
        """Number of speaker-at-a-speed classes."""
        return len(self.speakers) * len(self.speeds)

    def label(self, rows: Int64) -> Int64:
        """The class of each row: a speaker at another speed is another speaker."""
        return np.asarray(self.speed[rows] * len(self.speakers) + self.speaker[rows])

    def wave(self, row: int, start: int = 0, stop: int | None = None) -> Int16:
        """A stretch of one row's samples (a view of the map); stop may lie beyond the end, which cuts it."""
        begin, end = int(self.start[row]), int(self.start[row] + self.samples[row])
        return self.audio[begin + start : end if stop is None else min(begin + stop, end)]

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        """Map what `prepare` wrote."""
        names = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        with np.load(folder / "corpus.npz") as index:
            columns = {key: index[key] for key in ("start", "samples", "speaker", "corpus", "speed")}
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
    """Scale to an RMS level in dBFS, less where the peak would clip."""
    rms, peak = float(np.sqrt(np.mean(np.square(wave)))), float(np.abs(wave).max(initial=0.0))
    if rms == 0.0:
        return wave
    return wave * np.float32(min(10 ** (dbfs / 20) / rms, 0.99 / peak))


def _decode(job: tuple[Path, Path, int, list[tuple[float, int, int]]]) -> None:
    """Write one utterance at every speed to its place in the map."""
    import soundfile
    import soxr

    path, target, total, places = job
    wave, _ = soundfile.read(path, dtype="float32")
    audio = np.memmap(target, np.int16, "r+", shape=(total,))
    for speed, start, samples in places:
        faster = wave if speed == 1.0 else soxr.resample(wave, SAMPLE_RATE * speed, SAMPLE_RATE)
        fitted = np.zeros(samples, np.float32)  # The resampler may give a sample more or less than the ratio says.
        fitted[: min(samples, len(faster))] = faster[:samples]
        audio[start : start + samples] = np.round(level(fitted, STORED_DBFS) * 32767).astype(np.int16)


def prepare(root: Path, utterances: list[Utterance], speeds: list[float], folder: Path, workers: int = 2) -> Corpus:
    """Decode the utterances at every speed into `folder`; a finished folder is only mapped.

    `root` is what the utterances' paths are relative to. 16 kHz mono files of any format libsndfile reads.
    """
    if (folder / "corpus.npz").exists():
        return Corpus.load(folder)
    folder.mkdir(parents=True, exist_ok=True)
    speakers = sorted({row.speaker for row in utterances})
    corpora = sorted({row.corpus for row in utterances})
    with ProcessPoolExecutor(workers) as pool:
        base = np.array(list(pool.map(_decoded_length, [root / u.path for u in utterances], chunksize=64)))
        samples = np.concatenate([np.floor(base / speed).astype(np.int64) for speed in speeds])
        start = np.concatenate([[0], np.cumsum(samples)[:-1]])
        total, count = int(samples.sum()), len(utterances)
        np.memmap(folder / "audio.i16", np.int16, "w+", shape=(total,)).flush()
        jobs = []
        for i, utterance in enumerate(utterances):
            rows = [i + k * count for k in range(len(speeds))]
            places = [(speed, int(start[row]), int(samples[row])) for speed, row in zip(speeds, rows, strict=True)]
            jobs.append((root / utterance.path, folder / "audio.i16", total, places))
        for _ in pool.map(_decode, jobs, chunksize=32):
            pass
    names = {"speakers": speakers, "corpora": corpora, "speeds": speeds, "paths": [u.path for u in utterances]}
    (folder / "corpus.json").write_text(json.dumps(names), encoding="utf-8")
    speaker = np.array([speakers.index(u.speaker) for u in utterances])
    corpus = np.array([corpora.index(u.corpus) for u in utterances])
    np.savez(
        folder / "corpus.npz",
        start=start,
        samples=samples,
        speaker=np.tile(speaker, len(speeds)),
        corpus=np.tile(corpus, len(speeds)),
        speed=np.repeat(np.arange(len(speeds)), count),
    )
    return Corpus.load(folder)
