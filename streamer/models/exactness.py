"""Exact float32: while one of this package's networks computes, no product is rounded to fewer bits.

By default, torch lets cuDNN's convolutions run in TF32 (ten bits of each factor), and a program may have
allowed the same, or bfloat16, for matrix products on any device. These settings belong to the process, not to a thread:
they are changed when the first computation begins, and restored when the last one has ended.
https://docs.pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch

#: "exact": as above. "tf32": products in TF32, where the device has it.
Products = Literal["exact", "tf32"]


def _kinds() -> list[Any]:
    """The parts with a separate precision in torch's newer settings: cuDNN's convolutions and recurrences and CUDA's
    matrix products, if there is CUDA, and the same of a CPU."""
    backends: Any = torch.backends  # whose types do not know them yet
    if not hasattr(backends.cudnn, "conv"):  # before torch 2.9
        return []
    on_cuda = [backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul] if _cuda() else []
    return [*on_cuda, backends.mkldnn.matmul, backends.mkldnn.conv]


@cache
def _cuda() -> bool:
    return torch.cuda.is_available()


def _as_wanted(kinds: list[str], wanted: Products) -> bool:
    if wanted == "exact":
        return bool(kinds) and all(precision in ("none", "ieee") for precision in kinds)
    return False


@dataclass(frozen=True, slots=True)
class _Settings:
    """The present settings of torch.

    convolutions: whether cuDNN's may be in TF32, matrices: of matrix products; None where somebody has used the newer
    settings, so that the older ones cannot be asked. kinds: the newer ones.
    """

    convolutions: bool | None
    matrices: str | None
    kinds: list[str]

    @classmethod
    def now(cls) -> _Settings:
        convolutions = matrices = None
        with suppress(RuntimeError):
            convolutions = torch.backends.cudnn.allow_tf32
        with suppress(RuntimeError):
            assert torch.backends.cuda.matmul.allow_tf32 in (True, False)
            matrices = torch.get_float32_matmul_precision()
        return cls(convolutions, matrices, [kind.fp32_precision for kind in _kinds()])

    def changed_to(self, wanted: Products) -> None:
        """Change from these settings to the wanted ones."""
        tf32 = wanted == "tf32"
        # With the older settings, if possible: after a change by the newer ones, other code could not read the older.
        if self.convolutions is not None and self.convolutions != tf32:
            torch.backends.cudnn.allow_tf32 = tf32
        if self.matrices is not None and (self.matrices != "highest" or tf32):
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
        kinds = _kinds()
        for place, kind in enumerate(kinds):
            # A CPU's products, the last two, are exact in both cases.
            suits = ("tf32",) if tf32 and place < len(kinds) - 2 else ("ieee", "none")
            if kind.fp32_precision not in suits:
                kind.fp32_precision = suits[0]

    def put_back(self) -> None:
        if self.convolutions is not None:
            torch.backends.cudnn.allow_tf32 = self.convolutions
        if self.matrices is not None and torch.get_float32_matmul_precision() != self.matrices:
            torch.set_float32_matmul_precision(self.matrices)
        for kind, precision in zip(_kinds(), self.kinds, strict=True):
            if kind.fp32_precision != precision:
                kind.fp32_precision = precision


_lock = threading.Lock()
#: Number of running computations of each kind, and the caller's settings to restore.
_running: dict[Products, int] = {"exact": 0, "tf32": 0}
_callers: _Settings | None = None
_in_force: Products | None = None


@contextmanager
def products(wanted: Products = "exact") -> Iterator[None]:
    """Compute with this precision inside. If two threads want both at once, both are exact, as is everything without
    CUDA."""
    if not _cuda():
        wanted = "exact"
    _change(wanted, 1)
    try:
        yield
    finally:
        _change(wanted, -1)


def _change(wanted: Products, by: int) -> None:
    global _in_force, _callers
    with _lock:
        _running[wanted] += by
        needed: Products | None = "exact" if _running["exact"] else "tf32" if _running["tf32"] else None
        if needed == _in_force:
            return
        if _callers is not None:
            _callers.put_back()
            _callers = None
        if needed is not None and not _as_wanted([kind.fp32_precision for kind in _kinds()], needed):
            _callers = _Settings.now()
            _callers.changed_to(needed)
        _in_force = needed
