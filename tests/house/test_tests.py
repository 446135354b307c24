"""The house of the tests: where they lie, and what they share."""

from __future__ import annotations

import ast
from pathlib import Path

from kit import TESTS
from kit.mutations import MUTATIONS

import zapz

SOURCE = Path(zapz.__file__).parent
FOLDERS = {"behaviour", "faults", "house", "judges", "kit", "unit"}
MODULES = sorted(TESTS.rglob("*.py"))
PACKAGES = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}


def _imported(path: Path) -> set[str]:
    """Return the modules that a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module or ''}.{alias.name}" for alias in node.names} | {node.module or ""}
    return found


def test_no_test_module_imports_another() -> None:
    """What several need lies in the kit, which imports none of them either."""
    tests = {path.stem for path in MODULES if path.stem.startswith("test_")} | (FOLDERS - {"kit"}) | {"conftest"}
    for path in MODULES:
        assert not {name for name in _imported(path) if tests & set(name.split("."))} - {"zapz.testing"}, path


def test_every_module_of_tests_has_its_folder() -> None:
    assert {path.relative_to(TESTS).parts[0] for path in MODULES} == FOLDERS | {"conftest.py"}
    for path in MODULES:
        folder = path.relative_to(TESTS).parts[0]
        assert path.stem.startswith("test_") == (folder in FOLDERS - {"kit"}), path
    assert {path.name for path in (TESTS / "unit").iterdir() if path.is_dir()} - {"__pycache__"} <= PACKAGES


def test_names_of_test_modules_differ() -> None:
    """A test is found by the name of its module."""
    names = [path.stem for path in MODULES if path.stem.startswith("test_")]
    assert len(names) == len(set(names))


def test_mutations_name_what_is_there() -> None:
    """The whole table runs only now and then: what it says about modules and tests is looked up each time."""
    for mutation in MUTATIONS:
        assert (SOURCE / mutation.file).read_text(encoding="utf-8").count(mutation.text) == 1, mutation
        file, _, test = mutation.found_by.partition("::")
        assert f"def {test.partition('[')[0]}(" in (TESTS / file).read_text(encoding="utf-8"), mutation
