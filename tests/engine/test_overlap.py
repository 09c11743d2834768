"""Whether more than one speaks, frame by frame, as a stream is told of it."""

import numpy as np
import pytest
import seeded
import torch

from streamer.engine.incremental import IncrementalModel


def told(steps) -> dict[int, float]:
    """The probability of each frame, by its number."""
    return {
        step.first_frame + place: value
        for step in steps
        if step.overlap is not None
        for place, value in enumerate(step.overlap.tolist())
    }


@pytest.mark.parametrize("chunk", [700, 16_000, 48_000])
def test_each_frame_is_told_once_and_as_the_network_has_it(campplus_past, chunk):
    samples = seeded.seeded_audio(4 * 16_000)[0]
    expected = campplus_past.network.frames(torch.from_numpy(samples)[None, None]).overlap

    stream = IncrementalModel(campplus_past, speech="off").open(step=0.5)
    steps = [step for start in range(0, len(samples), chunk) for step in stream.push(samples[start : start + chunk])]
    found = told(steps + stream.finish())

    assert list(found) == list(range(expected.shape[1]))
    assert np.array(list(found.values())) == pytest.approx(expected[0].numpy(), abs=1e-4)


def test_frames_that_a_short_gap_took_have_no_overlap(campplus_past):
    samples = seeded.seeded_audio(4 * 16_000)[0]
    stream = IncrementalModel(campplus_past).open(step=1.0)

    steps = stream.push(samples[:20_000]) + stream.gap(26_000) + stream.push(samples[26_000:]) + stream.finish()

    for step in steps:
        assert step.speech is not None
        assert step.overlap is not None
        assert len(step.overlap) == len(step.speech)
    assert 0.0 in told(steps).values()


def test_a_network_that_does_not_tell_says_nothing(local_model):
    stream = IncrementalModel(local_model).open()
    assert all(step.overlap is None for step in stream.push(seeded.seeded_audio(48_000)[0]))


def test_what_several_say_counts_less_in_the_pooling(campplus_past):
    block = torch.randn(50, 1, 512)
    alone, mixed = torch.zeros(50, 1), torch.cat([torch.zeros(25, 1), torch.ones(25, 1)])

    attention = campplus_past.network.attention_of(block, alone)[0]
    weighed = campplus_past.network.attention_of(block, mixed)[0]

    assert torch.equal(weighed[:25], attention[:25])
    assert (weighed[25:] < 0.03 * attention[25:]).all()
    assert (weighed > 0).all()
