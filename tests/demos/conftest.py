"""The demos as modules, and the server's fixtures for those that talk to one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from serving import server, serving

DEMOS = Path(__file__).parents[2] / "demos"

__all__ = ["server", "serving"]


@pytest.fixture
def demo():
    """A demo by its name, as `python demos/NAME.py` would load it."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"demo_{name}", DEMOS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
