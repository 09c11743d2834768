"""Which module imports which: nothing goes in a circle, and the map in docs/architecture.md is the one of the code.

An import counts wherever it stands: at the top, in a function, or for the type checker alone.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root: Path, package: str) -> dict[str, set[str]]:
    """The modules of a package in `root`, each with those of the same package that it imports."""
    files = {module_name(path, root): path for path in (root / package).rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        targets = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} has a relative import"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    targets.add(inner if inner in files else str(node.module))
        found[name] = {target for target in targets if target in files} - {name}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of imports, and an empty list where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def parts(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same between the parts of the package: its folders, and the files beside them."""
    between: dict[str, set[str]] = defaultdict(set)
    for module, targets in graph.items():
        for target in targets:
            one, other = (name.split(".")[1] if "." in name else "" for name in (module, target))
            # What the package gives at its top level is imported when it is asked for.
            if one and other and one != other:
                between[one].add(other)
    return between


@pytest.fixture(scope="module")
def graph():
    return imports(ROOT, "streamer")


def test_no_module_imports_one_that_imports_it(graph):
    assert circle(graph) == []


def test_no_part_imports_one_that_imports_it(graph):
    assert circle(parts(graph)) == []


def layers() -> list[list[str]]:
    """The map of the page: parts by line, the topmost first."""
    found = re.search(r"^```text\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found
    return [line.split() for line in found[1].splitlines()]


def test_the_map_has_every_part_once(graph):
    there = {name.split(".")[1] for name in graph if "." in name}
    mapped = [part for line in layers() for part in line]
    assert sorted(mapped) == sorted(there)


def test_every_import_goes_down_the_map(graph):
    height = {part: -number for number, line in enumerate(layers()) for part in line}
    wrong = [(one, other) for one, targets in parts(graph).items() for other in targets if height[one] <= height[other]]
    assert wrong == []


@pytest.mark.parametrize(
    "text", ["import a.two", "def later():\n    from a import two", "if 0:\n    from a.two import x"]
)
def test_a_circle_is_found_wherever_the_import_stands(text, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "__init__.py").touch()
    (tmp_path / "a" / "one.py").write_text(text)
    (tmp_path / "a" / "two.py").write_text("from a.one import y\n")
    assert set(circle(imports(tmp_path, "a"))) == {"a.one", "a.two"}


#: What docs/architecture.md calls the core: values in, values out.
CORE = [
    "speakers/tracker.py", "speakers/floor.py", "speakers/turn.py", "speakers/guests.py",
    "speakers/candidates.py", "speakers/overlap.py", "meeting/room.py", "meeting/turns.py",
    "server/session.py", "engine/incremental.py", "engine/stepper.py", "engine/cached.py",
    "engine/recompute.py", "engine/slots/store.py", "engine/slots/work.py",
]  # fmt: skip


@pytest.mark.parametrize("file", CORE)
def test_the_core_imports_no_loop_clock_thread_or_socket(file):
    tree = ast.parse((ROOT / "streamer" / file).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} & {"asyncio", "time", "datetime", "threading", "socket"} == set()
