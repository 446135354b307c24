"""The house: floors, purity, sizes, public names, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import zapz

SOURCE = Path(zapz.__file__).parent
FLOORS = [
    {"errors"},
    {"format"},
    {
        "config",
        "kinds",
        "tables",
        "variables",
        "setting_tables",
        "expressions",
        "expression_syntax",
        "durations",
        "steps",
        "planning",
        "compat",
        "labels",
        "create",
        "tailoring",
        "selection",
        "agreement",
        "additions",
    },
    {"storage", "sources"},
    {"txn", "chunks"},
    {
        "checks",
        "existing",
        "array_task",
        "execution",
        "waiting",
        "targets",
        "slicing",
        "after",
        "diagnostics",
        "deciding",
    },
    {"reports", "running", "appender", "description", "config_files", "api", "config_texts", "toml_lines"},
    {"demo", "talk", "reference", "console", "quick", "cli", "__main__", "__init__"},
]
PURE = {
    "errors",
    "format",
    "config",
    "steps",
    "planning",
    "compat",
    "labels",
    "create",
    "txn.journal",
    "txn.head",
    "tailoring",
    "selection",
    "agreement",
    "additions",
    "expressions",
    "expression_syntax",
    "durations",
    "kinds",
    "tables",
    "variables",
    "setting_tables",
}
IMPURE_MODULES = {"os", "io", "time", "uuid", "random", "threading", "fcntl", "fsspec", "zarr"}
NAMES = [
    "CancelledError", "ChunkError", "Config", "ConfigError", "ConflictError", "FormatError", "Info", "JournalError", "LockedError", "Plan", "Recovery",
    "Report", "SliceError", "SliceReport", "Source", "StoreError", "Vacuumed", "ZapzError", "append", "append_map", "execute", "info", "plan", "recover",
    "unlock", "vacuum",
]  # fmt: skip


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path
    return found


def imports(path: Path) -> set[str]:
    """Every module named in an import, at any depth, as written."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {
                f"{node.module}.{alias.name}"
                for alias in node.names
                if f"{node.module}.{alias.name}".removeprefix("zapz.") in modules()
            }
    return found


def own_imports(path: Path) -> set[str]:
    names = {
        name.removeprefix("zapz.") for name in imports(path) if name.startswith("zapz.") and name != "zapz.__init__"
    }
    return {name for name in names if name in modules()}


def floor(module: str) -> int:
    room = module.partition(".")[0]
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


@pytest.mark.parametrize("module", modules())
def test_no_upward_import(module: str) -> None:
    if module == "__init__":
        return
    upward = {name for name in own_imports(modules()[module]) if floor(name) > floor(module)}
    assert not upward


def test_no_circle() -> None:
    graph = {name: own_imports(path) - {name} for name, path in modules().items() if name != "__init__"}
    packages = {name for name in graph if any(other.startswith(f"{name}.") for other in graph)}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name in done or name not in graph:
            return
        for other in graph[name] - packages:
            visit(other, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("module", [m for m in modules() if m in PURE or m.partition(".")[0] in PURE])
def test_pure_modules_do_no_io(module: str) -> None:
    assert not {name.partition(".")[0] for name in imports(modules()[module])} & IMPURE_MODULES


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith("txn")])
def test_transactions_know_no_operating_system(module: str) -> None:
    assert not {name.partition(".")[0] for name in imports(modules()[module])} & {"os", "fcntl", "fsspec", "zarr"}


def test_the_floors_are_checked_for_real(tmp_path: Path) -> None:
    """The walk sees an upward import if there is one."""
    path = tmp_path / "bad.py"
    path.write_text("def f():\n    from zapz.cli import main\n    import os\n    return main, os\n")
    assert "cli" in own_imports(path)
    assert "os" in imports(path)


@pytest.mark.parametrize("module", modules())
def test_module_has_one_duty(module: str) -> None:
    lines = modules()[module].read_text().count("\n")
    assert lines <= 400, f"{lines} lines: give a part of it a room of its own"


def test_public_names() -> None:
    assert sorted(zapz.__all__) == NAMES
    for name in NAMES:
        assert getattr(zapz, name) is not None


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_import_is_lazy() -> None:
    assert not loaded("import zapz") & {"numpy", "zarr", "fsspec", "numcodecs", "typer"}


def test_local_append_does_without_zarr_and_fsspec(tmp_path: Path) -> None:
    code = f"import zapz, pathlib; from zapz.demo import run; run(pathlib.Path({str(tmp_path / 'demo')!r}), print)"
    assert not loaded(code) & {"zarr", "fsspec", "rich", "asyncio", "typer"}


def test_submodules_do_not_hide_functions() -> None:
    """No module is named like a public function: importing it would replace the function."""
    code = "import zapz, zapz.api, zapz.planning, zapz.execution, zapz.description\nassert callable(zapz.append) and callable(zapz.plan) and callable(zapz.info)"
    assert loaded(code)
    assert not set(modules()) & {"append", "plan", "execute", "recover", "info", "unlock", "vacuum"}
