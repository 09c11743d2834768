"""Loops over samples and frames: compiled, kept on disk where that is possible, and run beside other threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz"}}
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError:
        # Nowhere to keep what was compiled: the package is read-only and the user has no home, as a service may be.
        return cast(F, numba.njit(**options)(function))
