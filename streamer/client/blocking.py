"""The client without asyncio: an ordinary generator of messages."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Generator
from typing import Any

from streamer.audio.chunks import Source
from streamer.client.client import Client
from streamer.client.exchange import Message

# Most messages that wait between the two threads; the client waits when there are more.
UNREAD = 100


def listen(url: str, source: Source, **options: Any) -> Generator[Message, None, None]:
    """Send a source to a server and yield its messages. Options are those of `Client`. Closing the generator
    disconnects.

    Raises the errors of `Client`, and those of the source.

    >>> for message in listen("ws://127.0.0.1:8765", FileSource("talk.wav")):         # doctest: +SKIP
    ...     print(message)
    """
    messages: queue.Queue[Message | BaseException | None] = queue.Queue(UNREAD)
    leave = _Leave()

    async def talk() -> None:
        leave.attach()
        async with Client(url, **options) as client:
            client.feed(source)
            async for message in client:
                await asyncio.to_thread(messages.put, message)

    def run() -> None:
        try:
            asyncio.run(talk())
        except BaseException as error:
            messages.put(error)
        else:
            messages.put(None)

    thread = threading.Thread(target=run, name="streamer-client", daemon=True)
    thread.start()
    try:
        while (message := messages.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            yield message
    finally:
        leave()
        while thread.is_alive():  # it may be waiting for space to put its last message
            with contextlib.suppress(queue.Empty):
                messages.get(timeout=0.05)


class _Leave:
    """Cancels a task of another thread's loop, now or as soon as the task exists."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = False
        self._cancel: Callable[[], object] | None = None

    def attach(self) -> None:
        """Called by the task itself."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._left:
                task.cancel()

    def __call__(self) -> None:
        with self._lock:
            self._left = True
            if self._cancel is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: the task has ended
                    self._cancel()
