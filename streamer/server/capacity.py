"""The number of streams that this machine can serve, measured at the start with the engine that will serve them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import numpy as np
import torch

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.engine import Engine
from streamer.engine.stream import Stream
from streamer.protocol import USUAL_STEP_S

# On a CPU, this many streams show the gain of batching; more would only take longer to measure. Other devices gain from
# many streams, and the event loop's capacity is measured with them then.
STREAMS, STREAMS_ELSEWHERE = 16, 512
STEPS = 6
# The rest is for peaks, the trackers and the network.
SHARE = 0.5


def streams_to_measure(device: torch.device) -> int:
    return STREAMS if device.type == "cpu" else STREAMS_ELSEWHERE


async def measure(engine: Engine) -> int:
    """Streams that may run at once: half of those that the engine can keep up with on its device, at least one. It
    takes a second."""
    count = streams_to_measure(engine.model.device)
    generator = np.random.default_rng(0)
    second = generator.normal(0, 0.05, SAMPLE_RATE).astype(np.float32)
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(engine.open((1.0, 3.0), USUAL_STEP_S)) for _ in range(count)]
        # The first seconds allocate buffers and threads that later streams reuse.
        await asyncio.gather(*(_run(stream, second) for stream in streams))
        started = time.monotonic()
        await asyncio.gather(*(_run(stream, np.tile(second, STEPS // 2)) for stream in streams))
        took = time.monotonic() - started
    return max(1, int(SHARE * count * (STEPS // 2) / took))


async def _run(stream: Stream, samples: np.ndarray) -> None:
    """Write samples and wait for their last whole step."""
    await stream.write(samples)
    end = stream.position // (SAMPLE_RATE // 2) * (SAMPLE_RATE // 2)
    async for item in stream.steps():
        if item.end_sample >= end:
            return
