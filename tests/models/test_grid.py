"""Which samples a frame sees, against the plain definition and against the network itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.models.architecture import Architecture
from streamer.models.grid import FrameGrid

FRAME_GRID = Architecture().grid

layers = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=4)


def seen_by_frames(num_samples: int, stack: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """The first and last sample behind each output, followed through every layer."""
    seen = [(index, index) for index in range(num_samples)]
    for kernel, stride, dilation in stack:
        last = dilation * (kernel - 1)
        seen = [(seen[start][0], seen[start + last][1]) for start in range(0, len(seen) - last, stride)]
    return seen


@given(layers, st.integers(0, 150))
def test_frames_see_what_the_layers_let_through(stack, num_samples):
    grid = FrameGrid()
    for kernel, stride, dilation in stack:
        grid = grid.conv(kernel, stride, dilation)
    seen = seen_by_frames(num_samples, stack)
    assert grid.num_frames(num_samples) == len(seen)
    for index, (first, last) in enumerate(seen):
        assert (first, last) == (index * grid.stride, index * grid.stride + grid.receptive_field - 1)


@given(st.integers(1, 50), st.integers(1, 200), st.integers(0, 1_000), st.integers(0, 1_000))
def test_a_window_holds_the_frames_that_lie_inside_it(stride, field, start, length):
    grid = FrameGrid(stride, field)
    inside = [i for i in range(2_500) if i * stride >= start and i * stride + field <= start + length]
    frames = range(grid.first_frame(start), grid.end_frame(start + length))
    assert list(frames) == inside


@given(st.integers(0, 10_000))
def test_samples_and_frames_agree(num_frames):
    samples = FRAME_GRID.num_samples(num_frames)
    assert FRAME_GRID.num_frames(samples) == num_frames
    if num_frames:
        assert FRAME_GRID.num_frames(samples - 1) == num_frames - 1


@given(st.integers(1, 300), st.integers(1, 6_000))
def test_a_frame_stands_for_one_stride_of_sound_around_the_middle_of_what_it_sees(stride, field):
    grid = FrameGrid(stride, field)
    assert grid.sound_start(0) + stride / 2 == pytest.approx(field / 2, abs=1)
    assert grid.sound_start(8) == grid.sound_start(7) + stride
    assert list(grid.centres(3, 6)) == [frame * stride + field // 2 for frame in (3, 4, 5)]


def test_a_frame_that_remembers_stands_for_sound_near_the_end_of_what_it_waits_for():
    grid = FrameGrid(160, 400, look_ahead=99)
    assert grid.centre == 300
    assert grid.conv(5).receptive_field - 1 - grid.conv(5).centre == 99 + 2 * 160


def test_the_network_has_the_documented_grid():
    assert (FRAME_GRID.stride, FRAME_GRID.receptive_field) == (270, 4_771)
    assert FRAME_GRID.num_frames(48_000) == 161


@settings(max_examples=8, deadline=None)
@given(num_samples=st.integers(5_041, 12_000))
def test_the_network_gives_as_many_frames_as_the_grid_says(any_model, num_samples):
    features = any_model.network.frames(torch.randn(1, 1, num_samples)).features
    assert features.shape == (1, 1_500, FRAME_GRID.num_frames(num_samples))


@pytest.mark.parametrize("frame", [0, 7, 20])
def test_a_local_frame_depends_on_its_receptive_field_alone(local_model, frame):
    samples = torch.randn(1, 1, FRAME_GRID.num_samples(21), generator=torch.Generator().manual_seed(1))
    first, end = frame * FRAME_GRID.stride, frame * FRAME_GRID.stride + FRAME_GRID.receptive_field
    other = torch.randn(samples.shape, generator=torch.Generator().manual_seed(2))
    other[..., first:end] = samples[..., first:end]
    before, after = (local_model.network.frames(waveform).features[..., frame] for waveform in (samples, other))
    torch.testing.assert_close(after, before)
    for edge in (first, end - 1):
        touched = samples.clone()
        # The window of the sinc filters leaves 8 % at their ends, so that one sample has to be loud to be heard.
        touched[..., edge] += 100
        changed = local_model.network.frames(touched).features[..., frame]
        assert not torch.allclose(changed, before, rtol=1e-4, atol=1e-5)
