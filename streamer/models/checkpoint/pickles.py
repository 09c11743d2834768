"""Reads a pickle as data: an interpreter of its opcodes that cannot call, import or look up anything.

A pickle is a program for a stack machine, with instructions for "import this" and "call that". Here these two build
an inert `Foreign` record instead, so that a pickle can describe foreign objects (omegaconf's nodes,
pyannote's Specifications) and never create one. Instructions: the standard library's pickletools.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamer.errors import CheckpointUnreadable

#: Real checkpoints have some 20 to 200 kB; each instruction takes about a microsecond.
MAX_PICKLE_BYTES = 8 * 2**20
MAX_INSTRUCTIONS = 1_000_000

_SCALARS = (str, int, float, bytes, bool, type(None))


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle would import. It stays a name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Foreign:
    """An object that the pickle would create: its class and arguments, unused.

    cls: what would have been called. args: with what. state: what would have been set on it. pairs, items: what would
    have been put into it as into a dictionary or a list.
    """

    cls: Any
    args: Any = ()
    state: Any = None
    pairs: dict[Any, Any] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Persistent:
    """A reference to something outside the pickle: in torch, "the storage in that file"."""

    id: Any


def read_pickle(data: bytes, name: str) -> Any:
    """The content of a pickle, as plain containers, `Foreign`, `Global` and `Persistent`.

    Raises CheckpointUnreadable for a damaged or oversized pickle; `name` is that of the checkpoint, for messages.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise CheckpointUnreadable(
            f"{name!r}: its pickle has {len(data):,} bytes, more than the {MAX_PICKLE_BYTES:,} allowed."
        )
    try:
        return _Machine().run(data)
    except CheckpointUnreadable as error:
        raise CheckpointUnreadable(f"{name!r}: {error}") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, UnicodeError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise CheckpointUnreadable(f"{name!r}: its pickle is damaged ({reason}).") from error


def mapping_of(value: Any) -> Mapping[Any, Any]:
    """The pairs of a dictionary, or of a foreign object that would be one; empty for anything else."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Foreign):
        if isinstance(value.state, dict) and isinstance(value.state.get("_content"), dict):
            content: dict[Any, Any] = value.state["_content"]  # omegaconf's DictConfig
            return content
        return value.pairs or (value.state if isinstance(value.state, dict) else {})
    return {}


def scalar_of(value: Any) -> str | int | float | bool | None:
    """A plain value, unwrapped from a foreign object if necessary; None for anything else."""
    if isinstance(value, Foreign):
        if isinstance(value.state, dict) and "_val" in value.state:
            value = value.state["_val"]  # omegaconf's nodes
        elif isinstance(value.args, tuple) and len(value.args) == 1:
            value = value.args[0]  # a subclass of str or int, such as torch's TorchVersion
    return value if isinstance(value, (str, int, float, bool)) else None


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > MAX_INSTRUCTIONS:
                raise CheckpointUnreadable(f"its pickle has more than {MAX_INSTRUCTIONS:,} instructions.")
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _PUSHED:
                self.stack.append(argument)
                continue
            step = _STEPS.get(opcode.name)
            if step is None:
                raise CheckpointUnreadable(f"its pickle uses the instruction {opcode.name}, which no checkpoint needs.")
            step(self, argument)
        raise CheckpointUnreadable("its pickle has no end.")

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def mark(self, _: Any) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        _extend(self.stack[-1], [item])

    def appends(self, _: Any) -> None:
        items = self.pop_mark()
        _extend(self.stack[-1], items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _update(self.stack[-1], [key, value])

    def set_items(self, _: Any) -> None:
        flat = self.pop_mark()
        _update(self.stack[-1], flat)

    def make(self, _: Any) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        self.stack.append(_make(cls, arguments))

    def make_with_keywords(self, _: Any) -> None:
        keywords, arguments, cls = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(Foreign(cls, arguments, pairs=keywords if isinstance(keywords, dict) else {}))

    def make_marked(self, _: Any) -> None:
        cls, *arguments = self.pop_mark()
        self.stack.append(_make(cls, tuple(arguments)))

    def make_named(self, argument: str) -> None:
        arguments = self.pop_mark()
        self.stack.append(_make(_global(argument), tuple(arguments)))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        # An OrderedDict of weights also has a state (its `_metadata`), which is not needed.
        if isinstance(self.stack[-1], Foreign):
            self.stack[-1].state = state

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Global(str(module)[:200], str(name)[:200]))

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_marked(self, make: Callable[[list[Any]], Any]) -> None:
        items = self.pop_mark()
        self.stack.append(make(items))

    def push_tuple(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))


def _make(cls: Any, arguments: Any) -> Any:
    """Containers that a pickle makes by calling their class are made; all else is only recorded."""
    if isinstance(cls, Global) and isinstance(arguments, tuple):
        match (cls.module, cls.name):
            case ("collections", "OrderedDict" | "defaultdict" | "Counter"):
                return _pairs(arguments[0]) if arguments and isinstance(arguments[0], list) else {}
            case ("builtins" | "__builtin__", "set" | "frozenset") if arguments and isinstance(arguments[0], list):
                return set(map(_key, arguments[0]))
            case ("builtins" | "__builtin__", "dict" | "list" | "bytes") if not arguments:
                return {"dict": {}, "list": [], "bytes": b""}[cls.name]
            case ("_codecs", "encode") if len(arguments) == 2 and isinstance(arguments[0], str):
                return arguments[0].encode("latin1")  # the bytes of the old protocols
            case ("torch", "Size") if arguments and isinstance(arguments[0], tuple):
                return arguments[0]
    return Foreign(cls, arguments)


def _pairs(items: list[Any]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, value in items:
        result[_key(key)] = value
    return result


def _extend(target: Any, items: list[Any]) -> None:
    if isinstance(target, set):
        target.update(map(_key, items))
    elif isinstance(target, list):
        target.extend(items)
    elif isinstance(target, Foreign):
        target.items.extend(items)
    else:
        raise TypeError(f"items put into a {type(target).__name__}")


def _update(target: Any, flat: list[Any]) -> None:
    pairs = target.pairs if isinstance(target, Foreign) else target
    if not isinstance(pairs, dict):
        raise TypeError(f"pairs put into a {type(target).__name__}")
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        pairs[_key(key)] = value


def _key(value: Any) -> Any:
    """Only flat values are hashed: the hash of a deeply nested tuple would overflow the interpreter's C stack."""
    if isinstance(value, _SCALARS) or (isinstance(value, tuple) and all(isinstance(part, _SCALARS) for part in value)):
        return value
    return Foreign(type(value).__name__, ())


def _global(argument: str) -> Global:
    module, _, name = argument.partition(" ")
    return Global(module[:200], name[:200])


def _dict(items: list[Any]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    _update(result, items)
    return result


def _set(items: Iterable[Any]) -> set[Any]:
    return set(map(_key, items))


#: Instructions that push their argument, as decoded by pickletools.
# fmt: off
_PUSHED = frozenset({
    "INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})
# fmt: on

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": lambda machine, _: (machine.pop_mark(), None)[1],
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "LIST": lambda machine, _: machine.push_marked(list),
    "TUPLE": lambda machine, _: machine.push_marked(tuple),
    "DICT": lambda machine, _: machine.push_marked(_dict),
    "FROZENSET": lambda machine, _: machine.push_marked(_set),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "GET": lambda machine, index: machine.push(machine.memo[index]),
    "BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "GLOBAL": lambda machine, argument: machine.push(_global(argument)),
    "STACK_GLOBAL": _Machine.stack_global,
    "INST": _Machine.make_named,
    "OBJ": _Machine.make_marked,
    "NEWOBJ": _Machine.make,
    "NEWOBJ_EX": _Machine.make_with_keywords,
    "REDUCE": _Machine.make,
    "BUILD": _Machine.build,
    "PERSID": lambda machine, argument: machine.push(Persistent(argument)),
    "BINPERSID": lambda machine, _: machine.push(Persistent(machine.stack.pop())),
}
