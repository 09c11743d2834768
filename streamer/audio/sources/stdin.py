"""Standard input of any kind: an audio file, a WAV that is still being written, or raw PCM. The first bytes decide."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from streamer.audio.condition import Channel
from streamer.audio.formats import Encoding
from streamer.audio.parts.raw import Bytes
from streamer.audio.parts.riff import PLACEHOLDER_BYTES
from streamer.audio.parts.sniff import kind_of, other_kind
from streamer.audio.sources.base import BaseSource, InputFormat, Item
from streamer.audio.sources.file import FileSource
from streamer.audio.sources.pipe import PipeSource
from streamer.errors import AudioEmpty, AudioUnreadable

NAME = "standard input"
#: Bytes needed to detect the kind: enough for the second of two frames of MPEG.
HEAD_BYTES = 4096
#: No WAV header is longer.
LONGEST_HEADER = 1 << 20
#: The part of a file that is kept in memory; more goes to a temporary file.
IN_MEMORY = 64 << 20
BLOCK = 1 << 16
WAY_OUT = "FFmpeg converts most formats to WAV: ffmpeg -i FILE -f wav - | streamer ..."

Streamed = tuple[int, int, Encoding, int]


def read_standard_input(file: IO[bytes] | None = None) -> IO[bytes]:
    """All of standard input (or of `file`), as a file that can be read several times.

    Raises AudioUnreadable if it is not an audio file: raw PCM has no rate, and is not guessed here.
    """
    read = _Read(file)
    head = _head(read)
    _refuse_others(head)
    if kind_of(head) is None:
        raise AudioUnreadable(
            f"{NAME} does not begin like any known audio file. Raw PCM needs a description: "
            "ffmpeg -f s16le -ar 16000 -ac 1 -i FILE -f wav - | streamer ..."
        )
    return _spooled(head, read)


class StandardInputSource(BaseSource):
    """Standard input as a source.

    An audio file of a known format is read to its end first. A WAV whose header has no length (as FFmpeg, SoX and
    arecord write to a pipe) is processed as it arrives. Anything that does not begin like a file is taken for raw PCM
    (s16le at 16 kHz, one channel). Text, a picture or an archive is refused.

    speed: for a file, as for FileSource. channel: see there. file: a binary file object in place of standard input.
    """

    def __init__(
        self, *, speed: float | None = None, channel: Channel = "downmix", file: IO[bytes] | None = None
    ) -> None:
        super().__init__(channel)
        self._speed, self._file = speed, file
        self._inner: BaseSource | None = None
        #: The detected kind, after opening.
        self.taken_for = ""

    async def open_input(self) -> InputFormat:
        # A daemon thread reads: one that waits for standard input must not keep the process alive.
        self._inner = await _in_daemon(self._begin)
        return await self._inner.open_input()

    async def next_item(self) -> Item | None:
        assert self._inner is not None
        return await self._inner.next_item()

    async def close_input(self) -> None:
        if self._inner is not None:
            await self._inner.close_input()

    async def pace(self, event: object) -> None:
        if self._inner is not None:
            await self._inner.pace(event)  # type: ignore[arg-type]

    def _begin(self) -> BaseSource:
        read = _Read(self._file)
        head = _head(read)
        _refuse_others(head)
        kind = kind_of(head)
        if kind is None:
            self.taken_for = "raw PCM, s16le at 16000 Hz, one channel"
            return PipeSource(_Replayed(head, read), channel=self._channel)  # type: ignore[arg-type]
        self.taken_for = f"an audio file ({kind})"
        if kind == "wav":
            while (streamed := _streamed_wav(head)) is None and len(head) < LONGEST_HEADER and (more := read(BLOCK)):
                head += more
            if streamed is not None and streamed[3]:
                rate, channels, encoding, start = streamed
                return PipeSource(
                    _Replayed(head[start:], read),  # type: ignore[arg-type]
                    encoding=encoding,
                    rate=rate,
                    channels=channels,
                    channel=self._channel,
                )
        return FileSource(_spooled(head, read), speed=self._speed, channel=self._channel)


class _Replayed:
    """The bytes that were already read, and then the rest as it arrives."""

    name = NAME

    def __init__(self, head: bytes, read: _Read) -> None:
        self._head, self._rest = head, read

    def read(self, size: int) -> bytes:
        if self._head:
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        return self._rest(size)


class _Read:
    """Reads the available bytes, at most `size`, and waits only for the first of them; empty at the end."""

    def __init__(self, file: IO[bytes] | None) -> None:
        if file is None and sys.stdin is None:
            raise AudioUnreadable(f"{NAME} is closed; give the path of a file, or pipe one into it.")
        self._file = file

    def __call__(self, size: int) -> bytes:
        if self._file is None:
            # Not through sys.stdin.buffer: a thread that waits inside its lock makes the interpreter abort at exit.
            return os.read(sys.stdin.fileno(), size)
        return bytes(getattr(self._file, "read1", self._file.read)(size))


def _head(read: _Read) -> bytes:
    head = b""
    while len(head) < HEAD_BYTES and (more := read(HEAD_BYTES - len(head))):
        head += more
    if not head:
        raise AudioEmpty(f"{NAME} is empty (0 bytes); pipe audio into it, or give the path of a file.")
    return head


def _refuse_others(head: bytes) -> None:
    if (other := other_kind(head)) is not None:
        raise AudioUnreadable(f"{NAME} is {other}, not audio. {WAY_OUT}")


def _spooled(head: bytes, read: _Read) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
    file.write(head)
    while more := read(BLOCK):
        file.write(more)
    file.seek(0)
    return _Named(file)  # type: ignore[return-value]


class _Named(io.RawIOBase):
    """A temporary file with a name for messages."""

    name = NAME

    def __init__(self, file: IO[bytes]) -> None:
        self._of = file

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._of.seek(offset, whence)
        return self._of.tell()

    def tell(self) -> int:
        return self._of.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        taken = self._of.read(len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        self._of.close()
        super().close()


#: Format tag and bits of PCM in a WAV -> encoding.
CODINGS: dict[tuple[int, int], Encoding] = {
    (1, 16): "s16le",
    (1, 24): "s24le",
    (1, 32): "s32le",
    (3, 32): "f32le",
    (6, 8): "alaw",
    (7, 8): "mulaw",
}
EXTENSIBLE = 0xFFFE


def _streamed_wav(head: bytes) -> Streamed | None:
    """Rate, channels and encoding of a WAV, and the position of its audio: 0 if the file must be read as a whole,
    because it has a length or another coding. None if the header is incomplete."""
    whole: Streamed = (0, 0, "s16le", 0)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64"):
        return whole
    data, place, form = Bytes(io.BytesIO(head)), 12, b""
    while place + 8 <= len(data):
        name, size = struct.unpack("<4sI", data.at(place, 8))
        if name == b"fmt ":
            form = data.at(place + 8, size)
        elif name == b"data":
            if len(form) < 16 or 0 < size < PLACEHOLDER_BYTES or head[:4] != b"RIFF":
                return whole
            tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
            if tag == EXTENSIBLE and len(form) >= 26:
                tag = int.from_bytes(form[24:26], "little")
            encoding = CODINGS.get((tag, bits))
            return (rate, channels, encoding, place + 8) if encoding is not None else whole
        place += 8 + size + size % 2
    return None


async def _in_daemon(work: Callable[[], BaseSource]) -> BaseSource:
    """Run `work` in a thread that does not keep the process alive, and wait for its result."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[BaseSource] = loop.create_future()

    def settle(result: BaseSource | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        elif result is not None:
            answer.set_result(result)

    def run() -> None:
        result, problem = None, None
        try:
            result = work()
        except Exception as error:
            problem = error
        with suppress(RuntimeError):  # the loop was closed in the meantime
            loop.call_soon_threadsafe(settle, result, problem)

    threading.Thread(target=run, name="streamer-stdin", daemon=True).start()
    return await answer
