"""Every notebook runs from top to bottom in a kernel of its own, and shows what it speaks of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "demos" / "notebooks").glob("*.ipynb"))


def shown(notebook: Any) -> list[dict[str, str]]:
    return [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]


@pytest.mark.filterwarnings("default")  # of Jupyter's own
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
async def test_a_notebook_runs_and_shows_a_picture(path):
    notebook = nbformat.read(path, 4)  # type: ignore[no-untyped-call]
    assert all(not cell.get("outputs") for cell in notebook.cells), "outputs are not kept: they hold voices"
    await NotebookClient(notebook, timeout=240).async_execute()  # type: ignore[no-untyped-call]
    assert any("image/png" in data for data in shown(notebook))


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3
