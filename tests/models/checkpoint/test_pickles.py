"""A pickle is read as data: what it holds comes out, and nothing it asks for is done."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
import sys
from collections import OrderedDict, defaultdict
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import CheckpointUnreadable
from streamer.models.checkpoint import pickles
from streamer.models.checkpoint.pickles import Foreign, Global, mapping_of, read_pickle, scalar_of

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary())
plain = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(), inner, max_size=4),
        st.sets(st.integers(), max_size=4),
    ),
    max_leaves=12,
)


class Call:
    """Pickled, it calls `function` when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


def by_hand(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def text(value: str) -> bytes:
    data = value.encode()
    return b"\x8c" + struct.pack("<B", len(data)) + data


def hostile(canary: Path) -> dict[str, bytes]:
    """Pickles that make the file `canary` when Python loads them."""
    shell = f"touch {canary}"
    python = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system": pickle.dumps(Call(os.system, shell)),
        "os.system, protocol 0": pickle.dumps(Call(os.system, shell), protocol=0),
        "inside of a container": pickle.dumps({"state_dict": [1, {"a": (Call(os.system, shell),)}]}),
        "reduce in a reduce": pickle.dumps(Call(list, Call(tuple, Call(map, os.system, [shell])))),
        "a call's result is called": by_hand(
            b"cbuiltins\ngetattr\n", b"cbuiltins\n__import__\n", text("os"), b"\x85R", text("system"), b"\x86R",
            text(shell), b"\x85R",
        ),
        "eval by stack": by_hand(text("builtins"), text("exec"), b"\x93", text(python), b"\x85R"),
        "a dotted name": by_hand(text("os"), text("path.os.system"), b"\x93", text(shell), b"\x85R"),
        "inst": by_hand(b"(", text(shell), b"ios\nsystem\n"),
        "obj": by_hand(b"(", b"cos\nsystem\n", text(shell), b"o"),
        "a key": by_hand(b"}", text("os"), text("system"), b"\x93", text(shell), b"\x85R", b"K\x01s"),
        "state set on a class": by_hand(
            text("types"), text("SimpleNamespace"), b"\x93", b")\x81", b"}", text("a"),
            text("os"), text("system"), b"\x93", text(shell), b"\x85R", b"sb",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile(Path("x")))
def test_no_call_is_made(tmp_path, name):
    canary = tmp_path / "canary"
    data = hostile(canary)[name]
    pickle.loads(data)
    assert canary.exists(), "this pickle does nothing; the test would prove nothing"
    canary.unlink()
    read_pickle(data, "hostile")
    assert not canary.exists()


def test_nothing_is_imported():
    module = "xml.dom.expatbuilder"
    assert module not in sys.modules
    assert read_pickle(by_hand(f"c{module}\nparse\n".encode()), "hostile") == Global(module, "parse")
    assert module not in sys.modules


def test_foreign_objects_are_written_down():
    value = read_pickle(pickle.dumps(timedelta(days=2)), "foreign")
    assert isinstance(value, Foreign)
    assert value.cls == Global("datetime", "timedelta")
    assert value.args == (2, 0, 0)


@given(plain, st.sampled_from(PROTOCOLS))
def test_plain_values_come_back(value, protocol):
    assert read_pickle(pickle.dumps(value, protocol), "plain") == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_dictionaries_of_all_kinds_come_back_as_dictionaries(protocol):
    weights: OrderedDict[str, int] = OrderedDict(a=1, b=2)
    weights._metadata = {"version": 1}  # type: ignore[attr-defined]
    values = [weights, defaultdict(list, a=1)]
    assert read_pickle(pickle.dumps(values, protocol), "dictionaries") == [{"a": 1, "b": 2}, {"a": 1}]


def test_an_object_that_holds_itself_is_read():
    loop: list[Any] = []
    loop.append(loop)
    value = read_pickle(pickle.dumps(loop), "loop")
    assert value[0] is value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    try:
        read_pickle(data, "noise")
    except CheckpointUnreadable:
        return
    assert b"." in data


# The standard library's disassembler warns of strange text in an opcode's argument.
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@given(plain, st.data())
def test_a_damaged_pickle_is_read_or_refused(value, data):
    damaged = bytearray(pickle.dumps(value, 2))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    # Any other exception than the one for unreadable checkpoints is a failure.
    with suppress(CheckpointUnreadable):
        read_pickle(bytes(damaged), "damaged")


@pytest.mark.parametrize(
    "data",
    {
        "nested very deep and hashed": by_hand(b"}", b")", b"\x85" * 300_000, b"K\x01s"),
        "a memo index of four thousand million": by_hand(b"K\x01r\xff\xff\xff\xff"),
        "a string of 16 exabytes": by_hand(b"\x8d" + b"\xff" * 8),
        "an extension": by_hand(b"\x82\x01"),
        "an empty stack": by_hand(b"R"),
        "no mark": by_hand(b"t"),
        "no end": b"\x80\x04K\x01",
        "nothing": b"",
        "a number of 100,000 digits": by_hand(b"I" + b"9" * 100_000 + b"\n"),
    }.items(),
    ids=lambda item: item[0],
)
def test_bombs_are_defused(data):
    name, pickled = data
    if name in ("nested very deep and hashed", "a memo index of four thousand million"):
        read_pickle(pickled, "bomb")  # Harmless as data: nothing is hashed that deep, and the memo is a dictionary.
        return
    with pytest.raises(CheckpointUnreadable, match="bomb"):
        read_pickle(pickled, "bomb")


def test_a_pickle_that_is_too_large_is_refused(monkeypatch):
    with pytest.raises(CheckpointUnreadable, match=f"{pickles.MAX_PICKLE_BYTES:,}"):
        read_pickle(bytes(pickles.MAX_PICKLE_BYTES + 1), "large")
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 1_000)
    with pytest.raises(CheckpointUnreadable, match="1,000 instructions"):
        read_pickle(by_hand(b"K\x010" * 1_000, b"N"), "long")


def test_every_instruction_of_pickle_has_an_answer():
    known = set(pickles._STEPS) | pickles._PUSHED | {"STOP"}
    refused = {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
    assert {opcode.name for opcode in pickletools.opcodes} == known | refused


def test_wrapped_values_are_unwrapped():
    assert scalar_of(Foreign(Global("omegaconf.nodes", "AnyNode"), state={"_val": 16_000})) == 16_000
    assert scalar_of(Foreign(Global("torch.torch_version", "TorchVersion"), ("1.10.0",))) == "1.10.0"
    assert scalar_of([1]) is None
    assert mapping_of(Foreign(Global("omegaconf", "DictConfig"), state={"_content": {"a": 1}})) == {"a": 1}
    assert mapping_of(Foreign(Global("lightning", "AttributeDict"), pairs={"a": 1})) == {"a": 1}
    assert mapping_of("text") == {}
