"""A server with another model than before: whom it does not know is said, and what another began is begun anew."""

from __future__ import annotations

import asyncio
import json
import logging

import numpy as np
import pytest
from talking import talking

from streamer.engine.engine import Engine
from streamer.models.places import FINGERPRINTS
from streamer.server import log
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore


async def test_people_of_another_model_are_counted_in_the_log_and_named_to_who_asks_for_them(serving, tmp_path, caplog):
    with SpeakerStore(tmp_path / "speakers.db") as store:
        store.add("Ada", FINGERPRINTS["sincnet"], [Exemplar(np.ones(256, np.float32), 10.0)])
    caplog.set_level(logging.WARNING, logger=log.logger.name)
    async with serving() as server:
        [said] = [record for record in caplog.records if record.message == "enrolled under another model"]
        assert said.about["people"] == 1
        assert "`--model sincnet`" in said.about["advice"]
        assert "Ada" not in caplog.text + json.dumps(said.about)
        async with talking(server) as talk:
            refused = await talk.start(roster=["Bob", "ada"])
            assert refused["code"] == "unknown_speaker"
            assert "not enrolled: Bob, ada. Enrolled under another model only: Ada." in refused["message"]


@pytest.mark.parametrize(("before", "after"), [("sincnet", "campplus-live"), ("campplus-live", "sincnet")])
async def test_a_session_that_another_model_began_is_refused_and_a_new_one_taken(serving, tmp_path, before, after):
    state = str(tmp_path / "state")
    async with serving(Engine(before, device="cpu", threads=1), state_dir=state) as server, talking(server) as talk:
        ready = await talk.start(stats_interval=0)
        await talk.socket.send(bytes(2 * 32_000))
        await talk.say(type="flush")
        await talk.until("flushed")
        draining = asyncio.create_task(server.drain())
        goodbye = await talk.until("goodbye")
        await draining
        assert goodbye["resume"]
    async with serving(Engine(after, device="cpu", threads=1), state_dir=state) as server:
        async with talking(server) as talk:
            refused = await talk.start(resume=ready["resume"])
            assert (refused["code"], refused["fatal"]) == ("unknown_session", True)
        assert server.admission.streams == 0
        async with talking(server) as talk:
            assert (await talk.start())["model"]["name"] == after
