"""A stream goes on elsewhere from its snapshot as if nothing had been, or is told that it cannot."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from steps import RATE, assert_same, noise

from streamer.engine.incremental import IncrementalModel, IncrementalStream
from streamer.engine.window import Step
from streamer.errors import ConfigurationError, StateMismatch
from streamer.snapshot import pack, unpack

#: Float32 sums in another order; `exact` normalises by statistics summed in another order besides.
TOLERANCE = {"cached": 1e-5, "exact": 1e-4}


@settings(max_examples=6, deadline=None)
@given(cut=st.integers(0, 36_000))
def test_snapshot_and_restore_anywhere_changes_nothing(engine, cut):
    samples = noise(36_000 / RATE)
    whole = engine.open((0.5, 1.0), 0.5)
    expected = whole.push(samples) + whole.finish()

    first = engine.open((0.5, 1.0), 0.5)
    found = first.push(samples[:cut])
    second = engine.restore(first.snapshot())
    found += second.push(samples[cut:]) + second.finish()

    assert_same(found, expected)


def test_a_snapshot_between_the_steps_of_one_chunk_goes_on_from_what_was_stepped(engine):
    samples = noise(36_800 / RATE)
    expected = engine.open((0.5, 1.0), 0.5).push(samples)
    stream = engine.open((0.5, 1.0), 0.5)
    first, *waiting = stream.cut(samples)
    (step,) = engine.step([first])

    restored = engine.restore(stream.snapshot())

    assert waiting and isinstance(step, Step)
    assert restored.received == restored.position == 8000
    assert_same([step, *restored.push(samples[restored.received :])], expected)


def test_a_snapshot_that_cannot_be_is_refused(local_model):
    engine = IncrementalModel(local_model, speech="off")
    stream = engine.open((1.0,), 0.5)
    stream.push(noise(1.3))
    whole = unpack(stream.snapshot())
    state = whole["state"]
    shifted = {**state["clock"], "next_hop": state["clock"]["next_hop"] + 1}
    beyond = {**state["row"], "index": state["row"]["index"] + 9}

    for counts in ([0], [9999999], ["2"], None):
        with pytest.raises(StateMismatch):
            engine.restore(pack({**whole, "counts": counts}))
    with pytest.raises(StateMismatch, match="clock"):
        engine.restore(pack({**whole, "state": {**state, "clock": shifted}}))
    with pytest.raises(StateMismatch, match="cells do not fit"):
        engine.restore(pack({**whole, "state": {**state, "row": beyond}}))
    with pytest.raises(StateMismatch, match="this version reads"):
        engine.restore(pack({**whole, "format": "streamer-stream-9"}))
    for other in ({}, [], {"state": state}, {**whole, "state": None}, {**whole, "pending": None}):
        with pytest.raises(StateMismatch):
            engine.restore(pack(other))


def as_before(data: bytes) -> bytes:
    """A snapshot as the version before wrote it: what is plain in the header, all arrays side by side."""
    saved = unpack(data)
    state, arrays = saved.pop("state"), {"pending": saved.pop("pending")}
    heads = (state["begun"] if "clock" in state else state["tally"]) or {}
    if heads.get("heads") is not None:
        arrays["tally.heads"] = heads.pop("heads")
    arrays |= {f"speech.{name}": array for name, array in (state.pop("speech") or {}).items()}
    if "clock" in state:
        arrays |= state.pop("row")
        if state["pieces"] is not None:
            arrays["pieces"] = state["pieces"]
        state["begun"], state["pooled"] = state["begun"] is not None, state.pop("pieces") is not None
    arrays |= {name: state.pop(name) for name in list(state) if isinstance(state[name], np.ndarray)}
    header = {**saved, "format": "streamer-stream-2", "values": state}
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"stream": json.dumps(header)})


@pytest.mark.parametrize("cut", [0, 7, 12_345, 20_000], ids=str)
@pytest.mark.parametrize("speech", ["off", "silero"])
def test_a_snapshot_of_the_version_before_goes_on(engine, speech, cut):
    if speech == "silero":
        engine = IncrementalModel(engine.model, engine.mode, speech="silero")
    samples = noise(36_000 / RATE)

    def half() -> IncrementalStream:
        stream = engine.open((0.5, 1.0), 0.5)
        stream.push(samples[:cut])
        # Within a step, so that frames of before it are kept for after it.
        stream.gap(cut + 1_000)
        return stream

    expected, first = half(), half()
    second = engine.restore(as_before(first.snapshot()))

    assert second.received == cut + 1_000
    assert_same(second.push(samples[cut:]) + second.finish(), expected.push(samples[cut:]) + expected.finish())


def test_a_snapshot_fits_its_own_model_and_mode_alone(local_model, pyannote_model):
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
def test_a_damaged_snapshot_is_refused_or_still_whole(local_model, damage):
    engine = IncrementalModel(local_model, speech="off")
    stream = engine.open((1.0,), 0.5)
    stream.push(noise(1.3))
    data = bytearray(stream.snapshot())
    if damage.draw(st.booleans()):
        del data[damage.draw(st.integers(0, len(data) - 1)) :]
    else:
        # What is plain alone: a changed number in an array is another state, not a damaged one.
        header = 8 + int.from_bytes(data[:8], "little")
        tree = data.index(b'{"format"')
        place = damage.draw(st.integers(0, header - 1) | st.integers(tree, len(data) - 1))
        data[place] ^= damage.draw(st.integers(1, 255))

    with contextlib.suppress(StateMismatch, ConfigurationError):
        engine.restore(bytes(data)).push(noise(0.5))
