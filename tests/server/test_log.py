"""The log is JSON, one object a line, whoever speaks; and nobody can fill the disk with it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
import warnings

import pytest

from streamer.server import log
from streamer.server.log import Seldom


@pytest.fixture
def lines():
    """What is logged, as it was configured for a server."""
    root, hook = logging.getLogger(), threading.excepthook
    before = root.handlers[:], log.logger.handlers[:], log.logger.level, log.logger.propagate
    out = io.StringIO()
    log.configure("info", out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    root.handlers[:], log.logger.handlers[:], level, log.logger.propagate = before
    log.logger.setLevel(level)
    logging.captureWarnings(False)
    threading.excepthook = hook


async def test_what_asyncio_says_is_json_too(lines):
    loop = asyncio.get_running_loop()
    loop.call_exception_handler(
        {"message": "socket.accept() out of system resource", "exception": OSError(24, "files")}
    )
    [line] = lines()
    assert (line["event"], line["level"]) == ("asyncio", "error")
    assert "out of system resource" in line["message"]
    assert "OSError" in line["error"]


def test_warnings_and_threads_that_fail_are_json_too(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("py.warnings").warning("deprecated")
    hook = threading.excepthook
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        hook(threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread())))
    said = lines()
    assert [line["event"] for line in said] == ["py.warnings", "thread failed"]
    assert "broken" in said[1]["error"]


def test_the_same_message_passes_seldom_and_says_how_often_it_did_not():
    now = [0.0]
    seldom = Seldom(10.0, lambda: now[0])

    def passes() -> logging.LogRecord | None:
        record = logging.LogRecord("asyncio", logging.ERROR, "", 0, "accept() failed", (), None)
        return record if seldom.filter(record) else None

    assert passes() is not None
    assert [passes() for _ in range(354)] == [None] * 354
    now[0] = 11.0
    again = passes()
    assert again is not None
    assert again.about == {"repeated": 354}
