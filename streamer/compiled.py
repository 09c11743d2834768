"""Loops over samples and frames: compiled, kept on disk where that is possible, and run beside other threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    return _compiled(function, {"contract", "nsz"})


def summing(function: F) -> F:
    """For loops that add up numbers, in whatever order is fastest."""
    return _compiled(function, {"contract", "nsz", "reassoc"})


def _compiled(function: F, fastmath: set[str]) -> F:
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath}
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError:
        # Nowhere to keep what was compiled: the package is read-only and the user has no home, as a service may be.
        return cast(F, numba.njit(**options)(function))
