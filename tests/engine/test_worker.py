"""The thread of the engine: how long an incomplete batch waits for more."""

from __future__ import annotations

import pytest
import torch

from streamer.engine.engine import Engine
from streamer.engine.worker import Load, Pace


def worked(load: Load, *, every_s: float, busy_s: float, times: int = 100, at: float = 0.0) -> float:
    for number in range(times):
        load.note(at + number * every_s, at + number * every_s + busy_s)
    return at + times * every_s


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_the_load_is_the_share_of_the_time_that_is_spent_working(share):
    load = Load()
    worked(load, every_s=0.1, busy_s=share * 0.1)
    assert load.share == pytest.approx(share, abs=1e-3)


def test_who_did_nothing_yet_has_no_load_and_its_first_work_is_none():
    load = Load()
    assert load.share == 0.0
    load.note(5.0, 9.0)
    assert load.share == 0.0


def test_a_long_silence_counts_as_one_piece_of_work_of_little_share():
    load = Load()
    end = worked(load, every_s=0.1, busy_s=0.1)
    worked(load, every_s=0.1, busy_s=0.001, times=50, at=end + 3600)
    assert load.share < 0.02


def test_how_many_wait_for_each_other_is_chosen_by_the_device_or_by_the_user(local_model):
    on_cpu, elsewhere = Pace.of(torch.device("cpu")), Pace.of(torch.device("meta"))

    assert elsewhere.max_batch > on_cpu.max_batch == 64
    assert elsewhere.max_wait_s < on_cpu.max_wait_s == 0.05
    worker = Engine(local_model, speech="off")._worker
    assert (worker.max_batch, worker.max_wait_s) == (64, 0.05)
    chosen = Engine(local_model, speech="off", max_batch=3, max_wait_s=0.0)._worker
    assert (chosen.max_batch, chosen.max_wait_s) == (3, 0.0)
