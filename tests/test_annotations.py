"""Tests and fixtures have no annotations: pytest calls them, and finds their arguments by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def called_by_pytest(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            fixture = any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
            if fixture or node.name.startswith("test_"):
                yield node


def annotated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return node.returns is not None or any(one.annotation is not None for one in arguments)


def test_no_test_and_no_fixture_is_annotated():
    found = {path: list(called_by_pytest(path)) for path in sorted(TESTS.rglob("*.py"))}
    assert sum(map(len, found.values())) > 1_000
    assert [f"{path.name}: {one.name}" for path, each in found.items() for one in each if annotated(one)] == []
