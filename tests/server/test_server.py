"""A stream over a real socket, from `start` to `goodbye`."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from talking import pcm, talking
from websockets.exceptions import ConnectionClosed

from streamer.engine.incremental import IncrementalModel


async def test_audio_goes_in_and_windows_come_out_as_the_engine_computes_them(server, local_model):
    audio = pcm(5.3)
    async with talking(server) as talk:
        ready = await talk.start(windows=True, embeddings=True, step=1.0)
        assert ready["model"]["fingerprint"] == local_model.fingerprint
        for start in range(0, len(audio), 4_001):
            await talk.socket.send(audio[start : start + 4_001])
        await talk.say(type="end")
        goodbye = await talk.until("goodbye")
        assert goodbye["reason"] == "ended"
        with pytest.raises(ConnectionClosed):
            await talk.next()
        assert talk.socket.close_code == 1000
    stream = IncrementalModel(local_model).open((1.0, 3.0), 1.0)
    samples = np.frombuffer(audio, "<i2").astype(np.float32) / 32768
    windows = [window for step in [*stream.push(samples), *stream.finish()] for window in step.windows]
    heard = [event for event in talk.events if event["type"] == "window"]
    assert [(event["start_sample"], event["end_sample"], event["duration"]) for event in heard] == [
        (window.start_sample, window.end_sample, window.duration_s) for window in windows
    ]
    for event, window in zip(heard, windows, strict=True):
        embedding = np.frombuffer(base64.b64decode(event["embedding"]), "<f4")
        np.testing.assert_allclose(embedding, window.embedding, atol=1e-5)
    assert [event["id"] for event in talk.events] == list(range(1, len(talk.events) + 1))
