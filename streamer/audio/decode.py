"""Decoders: audio files, block by block, through libsndfile (soundfile) and FFmpeg (PyAV).

libsndfile reads WAV, FLAC, OGG, Opus, MP3 and more; what it does not know is offered to PyAV (m4a, mp4, webm, ...),
an optional dependency.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamer.audio.resample import check_rate
from streamer.errors import AudioNotFound, AudioUnreadable, ConfigurationError, MissingDependency

Block = NDArray[np.float32]
PathOrFile = str | os.PathLike[str] | IO[bytes]

#: Sizes from here on stand for "not known yet" in the header of a WAV that was written to a pipe.
PLACEHOLDER_BYTES = 0x7FFF_0000

_MISFIT = re.compile(r"^data\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)


class Decoder(Protocol):
    """An open audio file.

    sample_rate: in Hz. channels: their number. name: what messages call the file.
    """

    sample_rate: int
    channels: int
    name: str

    def read(self, num_frames: int) -> Block:
        """The next samples (channels, n): n is 0 at the end, and otherwise may be less or more than `num_frames`."""
        ...

    def close(self) -> None: ...


def open_decoder(file: PathOrFile) -> Decoder:
    """Open an audio file, given by its path or as a binary file object, which is read from its start.

    A pipe, or a file object that cannot seek, is read into memory whole. Nothing but this file is opened, whatever it
    refers to. Raises AudioNotFound, AudioUnreadable (a directory, not audio, no permission, cut short) or
    MissingDependency (a format that needs PyAV, which is not installed).
    """
    name = file_name(file)
    source = _from_path(file, name) if isinstance(file, str | os.PathLike) else _seekable(file, name)
    try:
        return _SoundFileDecoder(source, name)
    except soundfile.LibsndfileError as error:
        return _open_with_pyav(source, name, error)


def file_name(file: object) -> str:
    """What messages call a file: its path, the path of an opened file, or "audio stream"."""
    if isinstance(file, str | os.PathLike):
        return os.fspath(file)
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "audio stream"


def _from_path(file: str | os.PathLike[str], name: str) -> str | IO[bytes]:
    path = Path(file)
    if path.is_dir():
        raise AudioUnreadable(f"{name!r} is a directory; give the path of one audio file.")
    if not path.exists():
        raise AudioNotFound(f"{name!r}: no such file; check the path (working directory: {os.getcwd()}).")
    if not os.access(path, os.R_OK):
        raise AudioUnreadable(f"{name!r}: no permission to read the file.")
    if path.is_fifo():  # libsndfile must seek
        return io.BytesIO(path.read_bytes())
    return os.fspath(path)


def _seekable(file: IO[bytes], name: str) -> IO[bytes]:
    if not hasattr(file, "read") or isinstance(file, io.TextIOBase):
        raise ConfigurationError(f"{name!r}: a file object must be binary (open it with 'rb'), not text.")
    if not hasattr(file, "seekable") or not file.seekable():
        return io.BytesIO(file.read())
    file.seek(0)
    return file


class _SoundFileDecoder:
    def __init__(self, source: str | IO[bytes], name: str) -> None:
        self.name = name
        try:
            self._file = soundfile.SoundFile(source)
        except TypeError as error:  # soundfile takes the suffix .raw for headerless PCM, and asks for its rate
            raise AudioUnreadable(
                f"{name!r}: raw PCM does not say its rate and format; read it with PipeSource, or wrap it as WAV."
            ) from error
        self._rewind = source if not isinstance(source, str) else None
        self.sample_rate = check_rate(self._file.samplerate, name)
        self.channels = int(self._file.channels)
        self._refuse_cut_header()
        # An MP3 without a table of contents has its length guessed from the bit rate.
        self._expected = int(self._file.frames) if self._file.format not in ("MP3", "MPEG") else 0
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
        _rewind(self._rewind)

    def _refuse_cut_header(self) -> None:
        """libsndfile quietly corrects a chunk size that reaches beyond the end of the file; its log tells."""
        for announced, present in _MISFIT.findall(self._file.extra_info):
            if int(present) < int(announced) < PLACEHOLDER_BYTES:
                self._file.close()
                raise AudioUnreadable(
                    f"{self.name!r} is cut short: {present} of the {announced} bytes of audio it announces are there."
                )


def _open_with_pyav(source: str | IO[bytes], name: str, cause: Exception) -> Decoder:
    try:
        import av
    except ImportError as error:
        raise MissingDependency(
            f"{name!r} is not a format that libsndfile reads (WAV, FLAC, OGG, Opus, MP3, ...): {cause} "
            "For m4a, mp4, webm and others install PyAV: pip install 'speaker-streamer[media]'."
        ) from error
    try:
        return _PyAVDecoder(av, source, name)
    except av.error.FFmpegError as error:
        raise AudioUnreadable(
            f"{name!r} is not audio that can be read here, or is damaged. libsndfile: {cause} FFmpeg: {error}"
        ) from error


class _PyAVDecoder:
    def __init__(self, av: Any, source: str | IO[bytes], name: str) -> None:
        self.name = name
        self._av = av
        self._file = open(source, "rb") if isinstance(source, str) else source  # noqa: SIM115
        self._owned = isinstance(source, str)
        self._file.seek(0)
        try:
            # A playlist may name files and addresses: FFmpeg is given the content, and no way to open anything else.
            self._container = av.open(self._file, options={"protocol_whitelist": "data"}, **_lenient(av))
            self._start(av)
        except BaseException:
            self._let_go()
            raise

    def _start(self, av: Any) -> None:
        name = self.name
        if not self._container.streams.audio:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
            self._container.close()
            raise AudioUnreadable(f"{name!r} has no audio in it (only {kinds}).")
        stream = self._container.streams.audio[0]
        self.sample_rate = check_rate(stream.rate, name)
        self.channels = int(stream.layout.nb_channels)
        self._resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        self._frames = self._container.decode(stream)
        self._done = 0
        self._held: list[Block] = self._next_frames()  # a damaged file fails here, where it is opened

    def read(self, num_frames: int) -> Block:
        blocks, count = self._held, sum(block.shape[1] for block in self._held)
        self._held = []
        while count < num_frames:
            try:
                more = self._next_frames()
            except (self._av.error.FFmpegError, ValueError) as error:
                raise AudioUnreadable(
                    f"{self.name!r} is damaged or cut short after {self._done / self.sample_rate:.2f} s: {error}"
                ) from error
            if not more:
                break
            blocks += more
            count += sum(block.shape[1] for block in more)
        self._done += count
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((self.channels, 0), np.float32)

    def close(self) -> None:
        self._container.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._owned:
            self._file.close()
        else:
            _rewind(self._file)

    def _next_frames(self) -> list[Block]:
        """What the next frame of the file decodes to; empty at the end."""
        while self._resampler is not None:
            frame = next(self._frames, None)
            converted = self._resampler.resample(frame)
            if frame is None:
                self._resampler = None
            blocks = [part.to_ndarray() for part in converted if part is not None and part.samples]
            if blocks:
                return blocks
        return []


def _lenient(av: Any) -> dict[str, str]:
    """What keeps a title that is not UTF-8 from being an error; from PyAV 19 on it is none."""
    return {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}


def _rewind(file: IO[bytes] | None) -> None:
    """Leave a caller's file object as it was found, so that it can be read again."""
    if file is not None:
        with suppress(ValueError, OSError):  # closed meanwhile
            file.seek(0)
