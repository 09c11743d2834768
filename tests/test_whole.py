"""A whole recording as one embedding: the network's own of all of it, at the same memory however long it is."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer import Inference
from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.whole import BLOCK_S, WholePool


@pytest.fixture(scope="module")
def long(local_model):
    """70 s of something, and its embedding by the network at once."""
    draw = np.random.default_rng(3)
    samples = (draw.normal(0, 0.1, 70 * RATE) * np.linspace(0.1, 1, 70 * RATE)).astype(np.float32)
    return samples, local_model(torch.from_numpy(samples)[None, None]).numpy()


@settings(max_examples=5)
@given(st.lists(st.integers(0, 70 * RATE), max_size=6))
def test_any_cut_gives_the_embedding_of_all_at_once(local_model, long, cuts):
    samples, expected = long
    pool = WholePool(local_model)
    for chunk in np.split(samples, sorted(cuts)):
        pool.push(chunk)
    np.testing.assert_allclose(pool.finish(), expected, atol=1e-4)


@pytest.mark.parametrize("extra", [-1, 0, 1, 269, 270, 5_040, 5_041])
def test_the_end_of_a_block_loses_no_frame(local_model, extra):
    count = round(BLOCK_S * RATE) + extra
    samples = np.random.default_rng(4).normal(0, 0.1, count).astype(np.float32)
    expected = local_model(torch.from_numpy(samples)[None, None]).numpy()
    pool = WholePool(local_model)
    pool.push(samples)
    np.testing.assert_allclose(pool.finish(), expected, atol=1e-4)


def test_a_network_that_remembers_is_not_begun_anew_with_a_block(campplus_past):
    samples = np.random.default_rng(6).normal(0, 0.1, 33 * RATE).astype(np.float32)
    expected = campplus_past(torch.from_numpy(samples)[None, None]).numpy()
    pool = WholePool(campplus_past)
    pool.push(samples)
    np.testing.assert_allclose(pool.finish(), expected, atol=1e-4)


def test_a_file_and_its_samples_have_one_embedding(local_model, long, tmp_path):
    samples, expected = long
    path = tmp_path / "long.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    inference = Inference(local_model, window="whole")
    embedding, seconds = inference.timed(path)
    np.testing.assert_allclose(embedding, expected, atol=1e-4)
    assert seconds == 70.0
    np.testing.assert_allclose(inference({"waveform": samples[None], "sample_rate": RATE}), expected, atol=1e-4)


MEMORY = """
import resource, sys, numpy, torch
torch.set_num_threads(1)
from streamer import Inference, Model
inference = Inference(Model.from_pretrained("default"), window="whole")
inference(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
inference(sys.argv[2])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is another")
def test_more_audio_takes_no_more_memory(tmp_path):
    assert resource.RUSAGE_SELF is not None
    minute = np.random.default_rng(5).normal(0, 0.1, 60 * RATE).astype(np.float32)
    for name, times in (("one", 1), ("four", 4)):
        soundfile.write(tmp_path / f"{name}.wav", np.tile(minute, times), RATE)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "one.wav"), str(tmp_path / "four.wav")]
    grown_mb = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # The whole network at once took 88 MB for each minute, which would be 264 MB here.
    assert grown_mb < 60
