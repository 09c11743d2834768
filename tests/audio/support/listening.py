"""Hearing a source for a while."""

from __future__ import annotations

import asyncio

from streamer.audio.chunks import SAMPLE_RATE as RATE


async def heard(source, seconds, patience_s):
    """Events of so many seconds, contiguous as every source's."""
    events, end = [], 0
    async with asyncio.timeout(patience_s), source:
        async for event in source:
            assert event.start_sample == end
            end = event.end_sample
            events.append(event)
            if end >= seconds * RATE:
                break
    return events
