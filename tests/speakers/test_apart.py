"""Large arrays in memory of their own."""

import gc

import numpy as np

from streamer.speakers import apart

SHAPE = (64, 20_000)


def address(array):
    return array.__array_interface__["data"][0]


def test_what_an_array_leaves_is_used_by_the_next_of_about_its_size():
    first = apart.empty(SHAPE)
    place = address(first)
    del first
    assert address(apart.empty((SHAPE[0], SHAPE[1] + 5))) == place


def test_nobodys_memory_is_taken_while_a_view_of_it_is_left():
    first = apart.empty(SHAPE)
    first[:] = 7.0
    view = first.T[3:5]
    del first
    gc.collect()
    others = [apart.empty(SHAPE) for _ in range(5)]
    for other in others:
        other[:] = 1.0
    assert (view == 7.0).all()
    assert len({address(other) for other in others}) == len(others)


def test_a_much_smaller_array_does_not_hold_on_to_a_large_ones_memory():
    first = apart.empty((64, 200_000))
    place = address(first)
    del first
    assert address(apart.empty(SHAPE)) != place


def test_small_arrays_are_like_any_other():
    array = apart.empty((3, 4))
    array[:] = np.arange(4)
    assert array.sum() == 18
    assert apart.empty((256, 0)).shape == (256, 0)
