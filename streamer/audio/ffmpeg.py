"""Decoding through FFmpeg (PyAV), with gaps from the time stamps of the container.

A recorder that paused, or a codec that sent nothing while nobody spoke (Opus DTX), leaves no samples; only the time
stamps of the next samples show the pause. Where they run ahead of the samples, the difference is missing.
"""

from __future__ import annotations

from collections import deque
from typing import IO, Any

import numpy as np

from streamer.audio.chunks import InputGap
from streamer.audio.parts.raw import Block, rewind
from streamer.audio.resample import check_rate
from streamer.errors import AudioUnreadable

#: Time stamps are rounded, to a millisecond in Matroska, and jitter. A larger difference counts as missing.
TOLERANCE_S = 0.05
#: Time stamps that fall behind the samples by more than this have restarted: time continues from there.
RESTART_S = 0.5
#: A longer pause is taken for a change of the clock.
LONGEST_PAUSE_S = 12 * 3600.0


class FFmpegDecoder:
    """An open file, or a part of one (see `streamer.audio.decode.Decoder`).

    av: the module. source: a path or a binary file object. Raises AudioUnreadable for a file without audio, and the
    error of PyAV for a file that it cannot open.
    """

    def __init__(self, av: Any, source: str | IO[bytes], name: str) -> None:
        self.name = name
        self._av = av
        self._file = open(source, "rb") if isinstance(source, str) else source  # noqa: SIM115
        self._owned = isinstance(source, str)
        self._file.seek(0)
        try:
            # A playlist may name files and addresses: FFmpeg gets only the content, and cannot open anything else.
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
        if getattr(stream, "rate", None) is None:  # FFmpeg lacks the codec, or its description is damaged
            self._container.close()
            raise AudioUnreadable(f"{name!r} has audio that FFmpeg cannot decode here, or its description is damaged.")
        self.sample_rate = check_rate(stream.rate, name)
        self.channels = int(stream.layout.nb_channels)
        self._resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        self._frames = self._container.decode(stream)
        self._done = 0
        #: The stamp of the first sample, in samples: the beginning of the container, if another stream starts earlier.
        self._zero: float | None = self._beginning()
        self._held: deque[Block | InputGap] = deque()
        self._fetch()  # a damaged file fails here, where it is opened

    def _beginning(self) -> float | None:
        start = self._container.start_time
        if start is None or len(self._container.streams) == 1:
            return None
        return float(start) / float(self._av.time_base) * self.sample_rate

    def read(self, num_frames: int) -> Block | InputGap:
        blocks: list[Block] = []
        count = 0
        while count < num_frames:
            if not self._held:
                try:
                    self._fetch()
                except (self._av.error.FFmpegError, ValueError) as error:
                    raise AudioUnreadable(
                        f"{self.name!r} is damaged or cut short after {self._done / self.sample_rate:.2f} s: {error}"
                    ) from error
            if not self._held or (isinstance(self._held[0], InputGap) and blocks):
                break
            item = self._held.popleft()
            if isinstance(item, InputGap):
                return item
            blocks.append(item)
            count += item.shape[1]
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((self.channels, 0), np.float32)

    def close(self) -> None:
        self._container.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._owned:
            self._file.close()
        else:
            rewind(self._file)

    def _fetch(self) -> None:
        """Decode the next frames of the file, up to the first one with samples; nothing at the end."""
        while self._resampler is not None and not self._held:
            frame = next(self._frames, None)
            missing = 0 if frame is None else self._missing_before(frame)
            converted = self._resampler.resample(frame)
            if frame is None:
                self._resampler = None
            blocks = [part.to_ndarray() for part in converted if part is not None and part.samples]
            if missing and blocks:
                self._held.append(InputGap(missing, "time stamps"))
                self._done += missing
            self._held.extend(blocks)
            self._done += sum(block.shape[1] for block in blocks)

    def _missing_before(self, frame: Any) -> int:
        """The number of samples missing before this frame, by its time stamp."""
        if frame.pts is None or frame.time_base is None:
            return 0
        stamp = float(frame.pts * frame.time_base) * self.sample_rate
        if self._zero is None:
            self._zero = stamp
        ahead = stamp - self._zero - self._done
        if ahead < -RESTART_S * self.sample_rate:
            self._zero = stamp - self._done
            return 0
        if ahead <= TOLERANCE_S * self.sample_rate:
            return 0
        if ahead > LONGEST_PAUSE_S * self.sample_rate:
            raise AudioUnreadable(
                f"{self.name!r}: its time stamps jump by {ahead / self.sample_rate:.0f} s after "
                f"{self._done / self.sample_rate:.2f} s, and no pause is longer than {LONGEST_PAUSE_S:.0f} s; write it "
                "anew with FFmpeg (ffmpeg -i FILE FILE.wav), or split it there."
            )
        return round(ahead)


def _lenient(av: Any) -> dict[str, str]:
    """The option that keeps a title that is not UTF-8 from being an error; from PyAV 19 on, it is no error anyway."""
    return {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
