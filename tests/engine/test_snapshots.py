"""A stream goes on elsewhere from its snapshot as if nothing had been, or is told that it cannot."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steps import RATE, assert_same, noise

from streamer.engine.incremental import IncrementalModel
from streamer.engine.state import Snapshot
from streamer.engine.window import Step
from streamer.errors import ConfigurationError, StateMismatch
from streamer.models.model import Model

#: Float32 sums in another order; `exact` normalises by statistics summed in another order besides.
TOLERANCE = {"cached": 1e-5, "exact": 1e-4}


@settings(max_examples=6, deadline=None)
@given(cut=st.integers(0, 36_000))
def test_snapshot_and_restore_anywhere_changes_nothing(engine: IncrementalModel, cut: int) -> None:
    samples = noise(36_000 / RATE)
    whole = engine.open((0.5, 1.0), 0.5)
    expected = whole.push(samples) + whole.finish()

    first = engine.open((0.5, 1.0), 0.5)
    found = first.push(samples[:cut])
    second = engine.restore(first.snapshot())
    found += second.push(samples[cut:]) + second.finish()

    assert_same(found, expected)


def test_a_snapshot_between_the_steps_of_one_chunk_goes_on_from_what_was_stepped(engine: IncrementalModel) -> None:
    samples = noise(36_800 / RATE)
    expected = engine.open((0.5, 1.0), 0.5).push(samples)
    stream = engine.open((0.5, 1.0), 0.5)
    first, *waiting = stream.cut(samples)
    (step,) = engine.step([first])

    restored = engine.restore(stream.snapshot())

    assert waiting and isinstance(step, Step)
    assert restored.received == restored.position == 8000
    assert_same([step, *restored.push(samples[restored.received :])], expected)


def test_a_snapshot_that_cannot_be_is_refused(local_model: Model) -> None:
    engine = IncrementalModel(local_model, speech="off")
    stream = engine.open((1.0,), 0.5)
    stream.push(noise(1.3))
    data = stream.snapshot()
    whole = Snapshot.from_bytes(data)
    clock = whole.values["clock"]
    shifted = replace(whole, values={**whole.values, "clock": {**clock, "next_hop": clock["next_hop"] + 1}})
    beyond = replace(whole, arrays={**whole.arrays, "index": whole.arrays["index"] + 9})

    for header in (rb"\"counts\": [0]", rb"\"counts\": [9999999]", rb"\"counts\": [\"2\"]"):
        with pytest.raises(StateMismatch):
            engine.restore(with_header(data, rb"\"counts\": [2]", header))
    with pytest.raises(StateMismatch, match="clock"):
        engine.restore(shifted.to_bytes())
    with pytest.raises(StateMismatch, match="cells do not fit"):
        engine.restore(beyond.to_bytes())


def with_header(data: bytes, old: bytes, new: bytes) -> bytes:
    """A snapshot's bytes with something else in their header."""
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].rstrip(b" ")
    assert old in header
    header = header.replace(old, new)
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def test_a_snapshot_fits_its_own_model_and_mode_alone(local_model: Model, pyannote_model: Model) -> None:
    data = IncrementalModel(pyannote_model, speech="off").open().snapshot()

    for other in (
        IncrementalModel(local_model, speech="off"),
        IncrementalModel(pyannote_model, "cached", speech="off"),
        IncrementalModel(pyannote_model, precision="bfloat16", speech="off"),
        IncrementalModel(pyannote_model, speech="silero"),
    ):
        with pytest.raises(StateMismatch, match="belongs to"):
            other.restore(data)


@settings(max_examples=30, deadline=None)
@given(damage=st.data())
def test_a_damaged_snapshot_is_refused_or_still_whole(local_model: Model, damage: st.DataObject) -> None:
    engine = IncrementalModel(local_model, speech="off")
    stream = engine.open((1.0,), 0.5)
    stream.push(noise(1.3))
    data = bytearray(stream.snapshot())
    if damage.draw(st.booleans()):
        del data[damage.draw(st.integers(0, len(data) - 1)) :]
    else:
        # The header alone: a changed number in an array is another state, not a damaged one.
        header = 8 + int.from_bytes(data[:8], "little")
        data[damage.draw(st.integers(0, header - 1))] ^= damage.draw(st.integers(1, 255))

    with contextlib.suppress(StateMismatch, ConfigurationError):
        engine.restore(bytes(data)).push(noise(0.5))
