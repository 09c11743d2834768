"""How many streams a server takes is measured on the device that it has."""

from __future__ import annotations

import torch

from streamer.engine.engine import Engine
from streamer.server.capacity import STEPS, measure, streams_to_measure


async def test_it_is_measured_on_the_engine_that_serves(local_model):
    async with Engine(local_model, device="cpu", speech="off") as engine:
        capacity = await measure(engine)
        statistics = engine.statistics

    assert capacity >= 1
    assert statistics.blocks == streams_to_measure(engine.model.device) * (2 + STEPS)


def test_a_device_that_takes_many_at_once_is_measured_with_many():
    assert streams_to_measure(torch.device("meta")) >= 8 * streams_to_measure(torch.device("cpu"))
