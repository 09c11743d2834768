"""Audio from an address: RTSP, RTP by an SDP file (AES67, L16 and L24), HTTP, or anything else that FFmpeg opens.

FFmpeg (through PyAV, the extra `speaker-streamer[media]`) reads in a separate thread. Audio that is
missing by the time stamps is a gap. A connection that ends or stalls is opened again, and the time in between is a gap
too.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from streamer.audio.chunks import InputGap
from streamer.audio.condition import Channel
from streamer.audio.formats import check_channels
from streamer.audio.sources.base import BaseSource, InputFormat, Item
from streamer.errors import ConfigurationError, MissingDependency, SourceUnreachable

#: Accepted schemes, and what FFmpeg may open for each: nothing that the address did not name.
PROTOCOLS = {
    "rtsp": "rtp,udp,tcp,rtsp",
    "rtsps": "rtp,udp,tcp,tls,rtsp,rtsps",
    "rtp": "rtp,udp",
    "udp": "udp",
    "tcp": "tcp",
    "srt": "srt",
    "rtmp": "rtmp,tcp",
    "http": "http,tcp,crypto",
    "https": "https,http,tcp,tls,crypto",
    "sdp": "file,rtp,udp",
}
#: A smaller difference between two packets' time stamps is rounding, a larger one a loss; beyond the last, a new clock.
TOLERANCE_S = 0.002
LONGEST_LOSS_S = 10.0


class UrlSource(BaseSource):
    """A live address, until the source is closed.

    url: rtsp://, rtp://, udp://, tcp://, srt://, rtmp://, http(s)://, or the path of an SDP file (.sdp).
    channels: their number, if it must be known before opening. channel: "downmix" or the index of one.
    stall_s: time without a packet after which the connection counts as lost. retry_s: time between two attempts.
    reconnect: if False, or if the first connection cannot be made within patience_s, SourceUnreachable is raised.
    buffer_s: how much audio waits for a slow reader; after that FFmpeg waits too, and the time stamps show what the
        network drops meanwhile. ended: whether the end of the stream is the end of the source (a file on a web server)
        and not a lost connection. options: for FFmpeg, such as {"rtsp_transport": "tcp"}.

    >>> async with UrlSource("rtsp://camera.local/stream") as source:                 # doctest: +SKIP
    ...     async for event in source: ...
    """

    def __init__(
        self,
        url: str,
        *,
        channels: int | None = None,
        channel: Channel = "downmix",
        stall_s: float = 5.0,
        retry_s: float = 1.0,
        patience_s: float = 10.0,
        reconnect: bool = True,
        ended: bool = False,
        buffer_s: float = 10.0,
        options: dict[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(channel)
        if min(stall_s, retry_s, patience_s, buffer_s) <= 0:
            raise ConfigurationError("stall_s, retry_s, patience_s and buffer_s must be more than 0 seconds.")
        self.url = url
        self.name = without_password(url)
        self._protocols = _protocols(url)
        self._channels = None if channels is None else check_channels(channels)
        self._stall_s, self._retry_s, self._patience_s = stall_s, retry_s, patience_s
        self._reconnect, self._ended_is_end, self._buffer_s = reconnect, ended, buffer_s
        self._options = options or {}
        self._clock = clock
        self._items: deque[Item | Exception | None] = deque()
        self._frames = 0
        self._changed = threading.Condition()
        self._arrived: asyncio.Event | None = None
        self._left = threading.Event()
        self._given: InputFormat | None = None
        self.reconnects = 0

    @property
    def num_channels(self) -> int | None:
        return self._channels

    # The reader's side

    async def open_input(self) -> InputFormat:
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise MissingDependency(f"'{self.name}' needs PyAV: pip install 'speaker-streamer[media]'.") from error
        loop, self._arrived = asyncio.get_running_loop(), asyncio.Event()
        self._left.clear()
        self._wake: Callable[[], object] = lambda: loop.call_soon_threadsafe(self._set)
        threading.Thread(target=self._run, name="streamer-url", daemon=True).start()
        try:
            while self._given is None:
                await self._arrived.wait()
                if self._given is None and isinstance(failure := await self._next(), Exception):
                    raise failure
        except BaseException:
            await self.close_input()
            raise
        return self._given

    async def next_item(self) -> Item | None:
        item = await self._next()
        if isinstance(item, Exception):
            raise item
        return item

    async def close_input(self) -> None:
        # The thread may hang in FFmpeg for up to stall_s; it then uses no state of this object, and closes its
        # container.
        self._left.set()
        with self._changed:
            self._items.clear()
            self._frames = 0
            self._changed.notify_all()

    async def _next(self) -> Item | Exception | None:
        assert self._arrived is not None
        while True:
            with self._changed:
                if self._items:
                    item = self._items.popleft()
                    if isinstance(item, np.ndarray):
                        self._frames -= item.shape[1]
                    self._changed.notify_all()
                    return item
                self._arrived.clear()
            await self._arrived.wait()

    def _set(self) -> None:
        if self._arrived is not None:
            self._arrived.set()

    # FFmpeg's side: a thread

    def _offer(self, item: Item | Exception | None) -> None:
        with self._changed:
            frames = item.shape[1] if isinstance(item, np.ndarray) else 0
            limit = self._buffer_s * (self._given.rate if self._given is not None else 1)
            self._changed.wait_for(lambda: self._left.is_set() or self._frames + frames <= max(limit, frames))
            if self._left.is_set():
                return
            self._items.append(item)
            self._frames += frames
        self._tell()

    def _tell(self) -> None:
        try:
            self._wake()
        except RuntimeError:  # the event loop is closed: nobody listens
            self._left.set()

    def _run(self) -> None:
        """Connect, read to the end, and connect again, until the source is closed."""
        began = heard_at = self._clock()
        lost_at: float | None = None
        while not self._left.is_set():
            problem = "it ended"
            try:
                container = self._open()
                with container:
                    for block, lost in self._blocks(container):
                        heard_at = self._clock()
                        if lost_at is not None:
                            self._mark(lost_at)
                            lost_at = None
                        if lost:
                            self._offer(InputGap(lost, "packet loss"))
                        self._offer(block)
                        if self._left.is_set():
                            return
                if self._ended_is_end:
                    return self._offer(None)
            except Exception as error:  # any error of FFmpeg; the reader gets it if it matters
                if isinstance(error, ConfigurationError):
                    return self._offer(error)
                # Not its whole text, which contains the address with its password.
                problem = getattr(error, "strerror", None) or type(error).__name__
            now = self._clock()
            if self._given is None and now - began >= self._patience_s:
                return self._offer(SourceUnreachable(f"'{self.name}' cannot be opened: {problem}."))
            if self._given is not None:
                if not self._reconnect:
                    return self._offer(SourceUnreachable(f"'{self.name}' was lost: {problem}."))
                if lost_at is None:
                    # A stall began long before it was noticed.
                    lost_at, self.reconnects = heard_at, self.reconnects + 1
                else:
                    # The clock advances for the meeting, while there is no audio.
                    self._mark(lost_at)
                    lost_at = now
            self._left.wait(self._retry_s)

    def _mark(self, since: float) -> None:
        assert self._given is not None
        frames = round((self._clock() - since) * self._given.rate)
        if frames > 0:
            self._offer(InputGap(frames, "reconnect"))

    def _open(self) -> Any:
        import av

        return av.open(
            self.url,
            options={"protocol_whitelist": self._protocols, **self._options},
            timeout=(min(self._patience_s, self._stall_s), self._stall_s),
        )

    def _blocks(self, container: Any) -> Any:
        """Blocks (channels, n) float32, each with the number of frames that are missing before it."""
        import av

        if not container.streams.audio:
            raise ConfigurationError(f"'{self.name}' has no audio stream.")
        stream = container.streams.audio[0]
        resampler: Any = None
        due: float | None = None
        for frame in container.decode(stream):
            if resampler is None:
                given = InputFormat(frame.sample_rate, frame.layout.nb_channels, None, self.name)
                self._take(given)
                resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=frame.sample_rate)
            lost = 0
            if frame.pts is not None:
                start = float(frame.pts * frame.time_base)
                if due is not None and TOLERANCE_S < start - due <= LONGEST_LOSS_S:
                    lost = round((start - due) * frame.sample_rate)
                due = start + frame.samples / frame.sample_rate
            for converted in resampler.resample(frame):
                yield converted.to_ndarray().astype(np.float32, copy=False), lost
                lost = 0

    def _take(self, given: InputFormat) -> None:
        if self._given is None:
            if self._channels is not None and given.channels != self._channels:
                raise ConfigurationError(f"'{self.name}' has {given.channels} channels, not {self._channels}.")
            self._given = given
            self._tell()
        elif (given.rate, given.channels) != (self._given.rate, self._given.channels):
            raise ConfigurationError(
                f"'{self.name}' came back with {given.channels} channels at {given.rate} Hz; it had "
                f"{self._given.channels} at {self._given.rate} Hz. Start anew."
            )


def without_password(url: str) -> str:
    """An address for messages: without the parts before the @ and after the ?, which may be secret."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _protocols(url: str) -> str:
    scheme = urlsplit(url).scheme.lower() if "://" in url else ("sdp" if url.lower().endswith(".sdp") else "")
    if scheme not in PROTOCOLS or (scheme == "sdp" and "://" in url):
        known = ", ".join(f"{name}://" for name in PROTOCOLS if name != "sdp")
        raise ConfigurationError(f"'{without_password(url)}': an address begins with {known}, or is an .sdp file.")
    return PROTOCOLS[scheme]
