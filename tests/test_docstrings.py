"""Docstrings of the package have one form: `name: description`, without sections."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "streamer"
#: The sections of Google's and of NumPy's style.
SECTION = re.compile(
    r"^\s*(?:Args|Arguments|Parameters|Attributes|Returns|Yields|Raises|Examples?):?\s*$", re.MULTILINE
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)) is not None:
            yield text


def test_no_docstring_has_sections():
    texts = {path: list(docstrings(path)) for path in sorted(PACKAGE.rglob("*.py"))}
    assert sum(map(len, texts.values())) > 1_000
    assert [path.name for path, found in texts.items() if any(map(SECTION.search, found))] == []
