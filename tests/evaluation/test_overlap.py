"""Overlap that is told beside overlap that is there."""

import math

import pytest

from streamer.audio.chunks import SAMPLE_RATE as SECOND
from streamer.evaluation.overlap import Found


def at(*seconds: float) -> tuple[int, ...]:
    return tuple(round(second * SECOND) for second in seconds)


def test_precision_and_recall_are_by_time():
    reference = [(*at(0, 5), "ada"), (*at(4, 8), "bob"), (*at(7, 9), "cy")]

    found = Found.of(reference, [at(4.5, 5.5)])

    assert found.recall == pytest.approx(0.25)
    assert found.precision == pytest.approx(0.5)


def test_a_speaker_beside_themselves_is_one():
    found = Found.of([(*at(0, 5), "ada"), (*at(4, 8), "ada")], [])

    assert found.there == 0
    assert math.isnan(found.recall)
    assert math.isnan(found.precision)


def test_recordings_are_added_up():
    one, other = Found(told=10, there=20, right=5), Found(told=30, there=20, right=15)

    assert Found.total([one, other]) == Found(told=40, there=40, right=20)
