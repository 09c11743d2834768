"""Compiles loops over samples and frames, caches them on disk if possible, and lets them run beside other threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    return _compiled(function, {"contract", "nsz"})


def summing(function: F) -> F:
    """Compile loops that sum numbers, with the fastest order of summation."""
    return _compiled(function, {"contract", "nsz", "reassoc"})


def _compiled(function: F, fastmath: set[str]) -> F:
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath}
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError:
        # There is no writable folder for the cache: the package is read-only and a service may have no home folder.
        return cast(F, numba.njit(**options)(function))
