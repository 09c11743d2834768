"""Decoders: audio files, block by block, through libsndfile (soundfile) and FFmpeg (PyAV).

libsndfile reads WAV, FLAC, OGG, Opus, MP3 and more; PyAV, an optional dependency, reads the other formats (m4a, mp4,
webm, ...). `streamer.audio.parts` finds the audio beyond a file's first header.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import soundfile

from streamer.audio.chunks import InputGap
from streamer.audio.parts import Bytes, Part, Spliced, parts_of
from streamer.audio.parts.raw import Block, rewind
from streamer.audio.parts.riff import PLACEHOLDER_BYTES
from streamer.audio.resample import check_rate
from streamer.errors import AudioError, AudioNotFound, AudioUnreadable, ConfigurationError, MissingDependency

PathOrFile = str | os.PathLike[str] | IO[bytes]

#: libsndfile reports at least this number of frames if the length is unknown.
UNKNOWN_FRAMES = 1 << 60

_MISFIT = re.compile(r"^data\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)


class Decoder(Protocol):
    """An open audio file.

    sample_rate: in Hz. channels: number of channels. name: of the file, for messages.
    """

    sample_rate: int
    channels: int
    name: str

    def read(self, num_frames: int) -> Block | InputGap:
        """The next samples (channels, n): n is 0 at the end, and may otherwise be less or more than `num_frames`. Or an
        `InputGap`, if the file's time stamps show that samples are missing before them."""
        ...

    def close(self) -> None: ...


def open_decoder(file: PathOrFile) -> Decoder:
    """Open an audio file, given by its path or as a binary file object, which is read from its start.

    A pipe, or a file object that cannot seek, is read into memory as a whole. Only this file is opened, whatever
    files or addresses it refers to. Raises AudioNotFound, AudioUnreadable (a directory, not audio, no permission, cut
    short) or MissingDependency (a format that needs PyAV, which is not installed).
    """
    name = file_name(file)
    source = _from_path(file) if isinstance(file, str | os.PathLike) else _seekable(file, name)
    opened = open(source, "rb") if isinstance(source, str) else source  # noqa: SIM115
    try:
        parts = parts_of(data := Bytes(opened), name)
        if parts is None and not isinstance(source, str):
            parts = [Part.of(data, 0, len(data))]
        if parts is not None:
            return _PartsDecoder(data, parts, name, owned=isinstance(source, str))
    except BaseException:
        if isinstance(source, str):
            opened.close()
        raise
    # libsndfile reads a file faster than a file object.
    opened.close()
    return _open_one(source, name)


def file_name(file: object) -> str:
    """The name of a file in messages: its path, the path of an opened file, or "audio stream"."""
    if isinstance(file, str | os.PathLike):
        return os.fspath(file)
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "audio stream"


def _from_path(file: str | os.PathLike[str]) -> str | IO[bytes]:
    path = check_path(file)
    if path.is_fifo():  # libsndfile must seek
        return io.BytesIO(path.read_bytes())
    return os.fspath(path)


def check_path(file: str | os.PathLike[str]) -> Path:
    """Raises AudioNotFound or AudioUnreadable for a path that does not exist, is a directory, or may not be read."""
    path, name = Path(file), os.fspath(file)
    if path.is_dir():
        raise AudioUnreadable(f"{name!r} is a directory; give the path of one audio file.")
    if not path.exists():
        raise AudioNotFound(f"{name!r}: no such file; check the path (working directory: {os.getcwd()}).")
    if not os.access(path, os.R_OK):
        raise AudioUnreadable(f"{name!r}: no permission to read the file.")
    return path


def _seekable(file: IO[bytes], name: str) -> IO[bytes]:
    if not hasattr(file, "read") or isinstance(file, io.TextIOBase):
        raise ConfigurationError(f"{name!r}: a file object must be binary (open it with 'rb'), not text.")
    if not hasattr(file, "seekable") or not file.seekable():
        return io.BytesIO(file.read())
    file.seek(0)
    return file


def _open_one(source: str | IO[bytes], name: str) -> Decoder:
    try:
        return _SoundFileDecoder(source, name)
    except soundfile.LibsndfileError as error:
        return _open_with_pyav(source, name, error)


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its beginning to its end.

    After each read, soundfile seeks to the present position. In an MP3 that is not exact, and its decoder restarts: a
    tenth of a second after every block was silence. Other formats need the seek: a FLAC with bytes behind it fails
    without it.
    """

    def seekable(self) -> bool:
        return self.format not in ("MP3", "MPEG") and bool(super().seekable())


class _SoundFileDecoder:
    def __init__(self, source: str | IO[bytes], name: str) -> None:
        self.name = name
        try:
            self._file = _Sequential(source)
        except TypeError as error:  # soundfile takes the suffix .raw for headerless PCM, and needs its rate
            raise AudioUnreadable(
                f"{name!r}: raw PCM has no known rate and format; read it with PipeSource, or wrap it as WAV."
            ) from error
        self._rewind = source if not isinstance(source, str) else None
        self.sample_rate = check_rate(self._file.samplerate, name)
        self.channels = int(self._file.channels)
        self._refuse_cut_header()
        # The length of an MP3 without a table of contents is guessed from the bit rate.
        guessed = self._file.format in ("MP3", "MPEG") or self._file.frames >= UNKNOWN_FRAMES
        self._expected = 0 if guessed else int(self._file.frames)
        self._done = 0

    def read(self, num_frames: int) -> Block:
        try:
            block = self._file.read(num_frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioUnreadable(
                f"{self.name!r} is damaged or cut short after {self._done / self.sample_rate:.2f} s: {error}"
            ) from error
        self._done += len(block)
        if len(block) == 0 and self._done < self._expected:
            raise AudioUnreadable(
                f"{self.name!r} is cut short: {self._done} of the {self._expected} samples it announces are there."
            )
        return np.ascontiguousarray(block.T)

    def close(self) -> None:
        self._file.close()
        rewind(self._rewind)

    def _refuse_cut_header(self) -> None:
        """libsndfile silently corrects a chunk size that reaches beyond the end of the file; only its log says so."""
        for announced, present in _MISFIT.findall(self._file.extra_info):
            if int(present) < int(announced) < PLACEHOLDER_BYTES:
                self._file.close()
                raise AudioUnreadable(
                    f"{self.name!r} is cut short: {present} of the {announced} bytes of audio it announces are there."
                )


class _PartsDecoder:
    """The parts of a file, in order, as one stream. They must have the same rate and number of channels.

    owned: whether this decoder closes the file.
    """

    def __init__(self, data: Bytes, parts: list[Part], name: str, *, owned: bool) -> None:
        self.name = name
        self._data, self._parts, self._owned = data, parts, owned
        self._number = 0
        self._gap = 0
        self._current = self._open()
        self.sample_rate, self.channels = self._current.sample_rate, self._current.channels

    def read(self, num_frames: int) -> Block | InputGap:
        while True:
            if self._gap:
                missing, self._gap = InputGap(self._gap, "time stamps"), 0
                return missing
            block = self._current.read(num_frames)
            if isinstance(block, InputGap) or block.shape[1]:
                return block
            part = self._parts[self._number]
            if part.lost is not None:
                raise AudioUnreadable(f"{self.name!r} is cut short: {part.lost}.")
            if self._number + 1 == len(self._parts):
                return block
            self._current.close()
            self._number += 1
            self._current = self._open()

    def close(self) -> None:
        self._current.close()
        if self._owned:
            self._data.file.close()
        else:
            rewind(self._data.file)

    def _open(self) -> Decoder:
        part = self._parts[self._number]
        try:
            decoder = _open_one(Spliced(self._data, part.splices), self.name)  # type: ignore[arg-type]
        except AudioError as error:
            if self._number == 0:
                raise
            raise AudioUnreadable(
                f"{self.name!r} holds {len(self._parts)} recordings, and the one at byte {part.start} cannot be read: "
                f"{error}"
            ) from error
        self._gap = round(part.gap_s * decoder.sample_rate)
        if self._number == 0:
            return decoder
        given = (decoder.sample_rate, decoder.channels)
        if given != (self.sample_rate, self.channels):
            decoder.close()
            raise AudioUnreadable(
                f"{self.name!r} is joined of recordings that differ: {self.channels} channel(s) at "
                f"{self.sample_rate} Hz, and from byte {part.start} on {given[1]} at {given[0]} Hz; split it there."
            )
        return decoder


def _open_with_pyav(source: str | IO[bytes], name: str, cause: Exception) -> Decoder:
    try:
        import av

        from streamer.audio.ffmpeg import FFmpegDecoder
    except ImportError as error:
        raise MissingDependency(
            f"{name!r} is not a format that libsndfile reads (WAV, FLAC, OGG, Opus, MP3, ...): {cause} "
            "For m4a, mp4, webm and others install PyAV: pip install 'speaker-streamer[media]'."
        ) from error
    try:
        return FFmpegDecoder(av, source, name)
    except av.error.FFmpegError as error:
        raise AudioUnreadable(
            f"{name!r} is not audio that can be read here, or is damaged. libsndfile: {cause} FFmpeg: {error}"
        ) from error
