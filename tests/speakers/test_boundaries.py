import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.models.grid import FrameGrid
from streamer.speakers.boundaries import Boundary, SpeechBoundaries

GRID = FrameGrid(270, 4_771)
FRAME_S = GRID.stride / 16_000
frame_sample = GRID.sound_start


def boundaries():
    return SpeechBoundaries(0.5, 0.3, min_speech_s=3 * FRAME_S, min_silence_s=4 * FRAME_S)


def heard(probabilities):
    return [(boundary.sample, boundary.starts) for boundary in boundaries().update(GRID, 0, np.array(probabilities))]


def test_speech_starts_and_ends_where_its_runs_begin():
    assert heard([0, 0, 1, 1, 1, 1, 0, 0, 0, 0]) == [(frame_sample(2), True), (frame_sample(6), False)]


def test_a_short_burst_is_no_speech():
    assert heard([0, 1, 1, 0, 0, 1, 0, 0]) == []


def test_a_short_pause_does_not_end_speech():
    assert heard([1, 1, 1, 0, 0, 0, 1, 1]) == [(frame_sample(0), True)]


def test_a_run_may_dip_between_the_thresholds_but_not_start_there():
    assert heard([0.4, 0.4, 0.6, 0.4, 0.4]) == [(frame_sample(2), True)]
    assert heard([1, 1, 1, 0.4, 0.4, 0.4, 0.4, 0.4]) == [(frame_sample(0), True)]


def test_least_durations_are_counted_in_the_frames_that_come():
    fine = FrameGrid(90, 400)
    found = boundaries().update(fine, 0, np.repeat([0.0, 1.0, 0.0], [5, 9, 12]))
    assert found == [Boundary(fine.sound_start(5), True), Boundary(fine.sound_start(14), False)]
    assert boundaries().update(fine, 0, np.repeat([0.0, 1.0, 0.0], [5, 8, 12])) == []


@given(st.lists(st.floats(0, 1), max_size=80), st.data())
def test_any_cutting_of_the_frames_gives_the_same_boundaries(probabilities, data):
    whole = boundaries().update(GRID, 0, np.array(probabilities))
    cuts, found, position = boundaries(), [], 0
    while position < len(probabilities):
        size = data.draw(st.integers(1, len(probabilities) - position))
        found += cuts.update(GRID, position, np.array(probabilities[position : position + size]))
        restored = boundaries()
        restored.restore(cuts.snapshot())
        cuts, position = restored, position + size
    assert found == whole


@given(st.lists(st.floats(0, 1), max_size=200))
def test_starts_and_ends_alternate_in_time(probabilities):
    found = boundaries().update(GRID, 0, np.array(probabilities))
    assert [boundary.starts for boundary in found] == [i % 2 == 0 for i in range(len(found))]
    samples = [boundary.sample for boundary in found]
    assert samples == sorted(set(samples))


def test_a_hole_cuts_speech_short_and_starts_in_silence():
    listener = boundaries()
    listener.update(GRID, 0, np.ones(5))
    assert listener.interrupt() is True
    assert listener.interrupt() is False
    assert listener.update(GRID, 100, np.ones(3)) == [Boundary(frame_sample(100), True)]
