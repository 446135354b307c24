"""The house: which room may look into which, purity, sizes, public names, and what importing costs.

Each law is a function from the house to what breaks it, so that it can be shown to see a violation that was put there.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

import zapz

SOURCE = Path(zapz.__file__).parent
LAYERS = {
    "pictures": "",
    "reports": "pictures",
    "errors": "",
    "interrupts": "",
    "diagnostics": "errors",
    "cf": "errors",
    "format": "errors cf",
    "expressions": "errors cf",
    "storage": "errors interrupts format",
    "config": "errors cf format expressions storage.uris storage.references.locations",
    "planning": "errors reports config expressions cf format pictures",
    "sources": "errors config planning.selection storage format cf",
    "txn": "errors reports interrupts planning storage format",
    "execution": "errors planning storage format cf",
    "checks": "errors reports execution sources txn.register config planning storage format cf expressions",
    "operations": "errors checks reports execution sources txn config planning storage format cf expressions pictures",
    "api": "errors operations reports diagnostics config planning sources storage txn",
    "zappend": "api config sources.opener sources.xarray_files",
    "server": "errors api reports operations checks execution sources config planning storage format cf expressions pictures",
    "cli": "errors interrupts api reports server operations.describe operations.info_words operations.info_page operations.check operations.forgotten_target config sources.slice_source sources.xarray_files diagnostics format pictures",
    "testing": "storage txn",
    "__main__": "cli interrupts",
    "__init__": "errors api reports operations.describe operations.check operations.map_settings config planning sources txn",
}
"""What each package, or module at the top, may import besides itself; a name stands for all that is in it. Those below come first."""
PURE = ("pictures", "reports", "errors", "cf", "format", "expressions", "config", "planning")
"""Packages that do no input or output, not even indirectly."""
PURE_PARTS = {
    f"server.{name}"
    for name in [
        "access",
        "content",
        "datasets",
        "failures",
        "generation",
        "listing",
        "messages",
        "pages",
        "ranges",
        "resolving",
        "served",
        "views",
    ]
}
"""Modules of other packages that do no input or output either."""
IMPURE_BY_NATURE = {"config.files", "storage.uris"}
"""Modules that are known to do some, and whom they may reach."""
IMPURE = {"os", "io", "time", "uuid", "random", "threading", "fcntl", "fsspec", "zarr"}
NAMES = [
    "AbilityError", "AppendLabelDict", "CancelledError", "Checked", "ChunkError", "Config", "ConfigError", "ConfigLike", "ConflictError", "DTypeError", "DimensionError", "EncodingDict", "EncodingError", "Finding", "FormatError", "Info", "JournalError", "LabelError", "LevelsDict", "LockedError", "MapSettingsDict", "MetadataError", "NotFoundError", "Plan", "Progress", "Recovery", "Report", "SettingsDict", "SliceError", "SliceLike", "SliceReport", "SlicesLike", "Source", "StoreError", "TargetLike", "UnsupportedError", "Vacuumed", "VariableDict", "VariableError", "ZapzError", "append", "append_map", "check", "execute", "info", "plan", "recover", "unlock", "vacuum",
]  # fmt: skip


# -- the house as data -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class House:
    """Texts of modules by their names, without ``zapz.``; packages by the text of their ``__init__``."""

    texts: Mapping[str, str]

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        """Each module, parsed."""
        return {name: parsed(text) for name, text in self.texts.items()}

    @cached_property
    def written(self) -> dict[str, set[str]]:
        """What each module imports, at any depth, as it is written there."""
        return {name: set(self._imports(tree)) for name, tree in self.trees.items()}

    def _imports(self, tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                own = [name for name in names if name.removeprefix("zapz.") in self.texts]
                yield from own
                if len(own) < len(names):
                    yield node.module

    @cached_property
    def own(self) -> dict[str, set[str]]:
        """What each module imports of the house."""
        found = {name: {i.removeprefix("zapz.") for i in imports} for name, imports in self.written.items()}
        return {name: {i for i in imports if i in self.texts and i != name} for name, imports in found.items()}


@cache
def parsed(text: str) -> ast.Module:
    """Return a module's tree; most modules are the same in all houses."""
    return ast.parse(text)


def room(module: str) -> str:
    """Return the package, or the module at the top, to which a module belongs."""
    return module.partition(".")[0]


def is_in(module: str, packages: str) -> bool:
    """Return whether a module is one of the named ones, or in one of them."""
    return any(f"{module}.".startswith(f"{each}.") for each in packages.split())


def load() -> House:
    """Return the house as it is."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return House(found)


HOUSE = load()


# -- laws --------------------------------------------------------------------------------------------------------------


def forbidden_imports(house: House) -> list[str]:
    """A room imports what its row names, or from itself."""
    return [
        f"{name} -> {other}"
        for name, others in house.own.items()
        for other in sorted(others)
        if not is_in(other, f"{room(name)} {LAYERS.get(room(name), '')}")
    ]


def strangers(house: House) -> list[str]:
    """Every room has a row."""
    return sorted({room(name) for name in house.texts if name} - set(LAYERS))


def circles(house: House) -> list[str]:
    """Neither modules nor rooms import one another in a circle."""
    modules = {name: others for name, others in house.own.items() if name != "__init__"}
    rooms: dict[str, set[str]] = {}
    for name, others in modules.items():
        rooms.setdefault(room(name), set()).update(room(other) for other in others if room(other) != room(name))
    return [*_circle(modules), *_circle(rooms)]


def _circle(graph: Mapping[str, set[str]]) -> list[str]:
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> list[str]:
        if name in trail:
            return [" -> ".join((*trail, name))]
        if name in done:
            return []
        found = [circle for other in sorted(graph.get(name, ())) for circle in visit(other, (*trail, name))]
        done.add(name)
        return found

    return [circle for name in graph for circle in visit(name, ())]


def impurities(house: House) -> list[str]:
    """What is pure imports nothing that does input or output, by whatever way."""
    tainted = {
        name: {each.partition(".")[0] for each in imports} & IMPURE
        for name, imports in house.written.items()
        if name not in IMPURE_BY_NATURE
    }
    found = []
    for name in house.texts:
        if (room(name) not in PURE and name not in PURE_PARTS) or name in IMPURE_BY_NATURE:
            continue
        seen, waiting = {name}, [name]
        while waiting:
            here = waiting.pop()
            if tainted.get(here):
                found.append(f"{name} reaches {sorted(tainted[here])} by {here}")
            new = house.own[here] - seen if here not in IMPURE_BY_NATURE else set()
            seen |= new
            waiting += sorted(new)
    return found


def system_in_transactions(house: House) -> list[str]:
    """Transactions know no operating system."""
    forbidden = {"os", "fcntl", "fsspec", "zarr"}
    return [
        f"{name}: {imported}"
        for name, imports in house.written.items()
        if room(name) == "txn"
        for imported in sorted({each.partition(".")[0] for each in imports} & forbidden)
    ]


def _docstring(node: ast.FunctionDef) -> int:
    """Return the number of lines of a function's docstring."""
    first = node.body[0]
    said = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return (first.end_lineno or 0) - first.lineno + 1 if said else 0


def too_long(house: House) -> list[str]:
    """A module has one duty, and so has a class, and a function (its docstring aside); none needs much of the house."""
    found = [f"module {name}" for name, text in house.texts.items() if text.count("\n") > MOST_LINES]
    found += [f"imports of {name}" for name, others in house.own.items() if len(others) > MOST_IMPORTS]
    for name, tree in house.trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                most = MOST_OF_A_CLASS if isinstance(node, ast.ClassDef) else MOST_OF_A_FUNCTION + _docstring(node)
                if (node.end_lineno or 0) - node.lineno >= most:
                    found.append(f"{name}.{node.name}")
    return found


def kinds_of_storage(house: House) -> list[str]:
    """Which kind of storage a store is, only storage and ``txn.session`` ask."""
    asks = set()
    for name, tree in house.trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                kinds = {each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name)}
                if kinds & {"LocalStore", "ObjectStore", "SourceStore"}:
                    asks.add(name)
    return sorted(name for name in asks if room(name) != "storage" and name != "txn.session")


def formats_named(house: House) -> list[str]:
    """What the formats of Zarr differ in, only ``format`` knows: others ask ``documents.Format``."""
    found = []
    for name, tree in house.trees.items():
        if room(name) == "format":
            continue
        found += [f"{name} -> {other}" for other in house.own[name] if other in {"format.v2", "format.v3"}]
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and _last_name(node.left) == "zarr_format":
                found += [
                    f"{name}:{node.lineno}"
                    for each in node.comparators
                    if isinstance(each, ast.Constant) and each.value is not None
                ]
    return found


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def text_sniffers(house: House) -> list[str]:
    """What an error says is for people: nothing is decided by its text."""
    found = []
    for name, tree in house.trees.items():
        for node in ast.walk(tree):
            looked_at: list[ast.expr] = []
            if isinstance(node, ast.Compare):
                looked_at = [node.left, *node.comparators]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOKS:
                looked_at = [node.func.value]
            if any(_is_text_of_error(each) for each in looked_at):
                found.append(f"{name}:{node.lineno}")
    return found


def _is_text_of_error(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str" and node.args:
        node = ast.Attribute(node.args[0], "what")
    return (
        isinstance(node, ast.Attribute)
        and node.attr in {"what", "expected", "found", "hint"}
        and isinstance(node.value, ast.Name)
        and node.value.id in {"error", "failure", "note"}
    )


def names_twice(house: House) -> list[str]:
    """A public class has a name of its own in the house, a public function in its package. Formats implement one protocol."""
    where: dict[tuple[str, str], list[str]] = {}
    for name, tree in house.trees.items():
        package = name.rpartition(".")[0]
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(("", node.name), []).append(name)
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and name not in FORMATS:
                where.setdefault((package, node.name), []).append(name)
    return [f"{name}: {modules}" for (_, name), modules in where.items() if len(modules) > 1]


def hidden_functions(house: House) -> list[str]:
    """No module at the top is named like a public function: importing it would replace the function."""
    return sorted({room(name) for name in house.texts} & {name for name in NAMES if name.islower()})


FORMATS = {"format.v2", "format.v3"}
LOOKS = {"startswith", "endswith", "replace", "removeprefix", "removesuffix", "find", "partition", "split", "index"}
"""Methods of text by which something can be decided."""
MOST_LINES = 360
MOST_OF_A_CLASS = 250
MOST_OF_A_FUNCTION = 60
MOST_IMPORTS = 15
MOST_FLOORS = 13
MOST_ROOMS = 23

LAWS: dict[Callable[[House], list[str]], dict[str, str]] = {
    forbidden_imports: {"format.grid": "def f():\n    from zapz.storage.uris import public\n"},
    strangers: {"helpers": ""},
    circles: {"storage.a": "from zapz.storage.b import b", "storage.b": "def f():\n    from zapz.storage import a"},
    impurities: {"cf.a": "from zapz.cf.b import b", "cf.b": "import os.path"},
    system_in_transactions: {"txn.a": "from os import path"},
    too_long: {"format.a": "def f():\n" + "    x = 1\n" * MOST_OF_A_FUNCTION},
    kinds_of_storage: {"checks.a": "def f(s):\n    return isinstance(s, (LocalStore, int))"},
    formats_named: {"checks.a": "def f(dataset):\n    return dataset.zarr_format == 2"},
    text_sniffers: {"sources.a": "def f(error, name):\n    return name in str(error)"},
    names_twice: {"planning.a": "class Plan:\n    pass"},
    hidden_functions: {"append": ""},
}
"""Each law, and modules that break it."""


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[House], list[str]]) -> None:
    assert law(HOUSE) == []


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_law_sees_what_breaks_it(law: Callable[[House], list[str]]) -> None:
    assert law(House({**HOUSE.texts, **LAWS[law]}))


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * (MOST_LINES + 1),
        "class C:\n" + "    x = 1\n" * MOST_OF_A_CLASS,
        "\n".join(f"import zapz.{name}" for name in sorted(HOUSE.texts)[2 : 3 + MOST_IMPORTS]),
    ],
)
def test_each_size_is_looked_at(text: str) -> None:
    assert too_long(House({**HOUSE.texts, "planning.a": text}))


def test_rooms_do_not_import_one_another_in_a_circle() -> None:
    assert circles(
        House(
            {
                "txn.a": "from zapz.planning import a",
                "planning.a": "",
                "planning.b": "from zapz.txn import c",
                "txn.c": "",
            }
        )
    )


def test_height_of_the_house() -> None:
    """Floors: a room stands above all that its row names."""
    rooms = {name: {room(each) for each in row.split()} for name, row in LAYERS.items()}
    floors: dict[str, int] = {}
    for name, below in rooms.items():
        assert below <= set(floors), f"{name} names what comes later"
        floors[name] = 1 + max((floors[each] for each in below), default=0)
    assert max(floors.values()) <= MOST_FLOORS
    assert len(rooms) <= MOST_ROOMS


# -- what is public, and what importing costs --------------------------------------------------------------------------


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
    code = (
        "import zapz, pathlib; from zapz.cli.demo import write_slices\n"
        f"folder = pathlib.Path({str(tmp_path / 'demo')!r})\n"
        "*days, late = write_slices(folder)\n"
        "zapz.append(folder / 'cube.zarr', days)\n"
        "assert zapz.info(folder / 'cube.zarr').dims['time'] == 5\n"
        "assert zapz.append(folder / 'cube.zarr', late, on_existing='skip').skipped == 1"
    )
    assert not loaded(code) & {"zarr", "fsspec", "rich", "asyncio", "typer", "zapz.storage.no_dataset"}


def test_an_append_draws_nothing(tmp_path: Path) -> None:
    """Neither on the command line, nor from Python: pictures are loaded by what shows something. Numbers as text draw nothing."""
    zapz_at = f"import zapz.api; from pathlib import Path; from zapz.cli.demo import write_slices; folder = Path({str(tmp_path / 'demo')!r})\n"
    append = "sys.argv = ['zapz', 'append', str(folder / 'cube.zarr'), *map(str, days)]\nfrom zapz.__main__ import main\nmain()\n"
    for code in ("import zapz.api", f"{zapz_at}import sys\n*days, late = write_slices(folder)\n{append}"):
        assert {name for name in loaded(code) if name.startswith("zapz.pictures.")} <= {"zapz.pictures.numbers"}
    assert "zapz.pictures.look" in loaded(
        f"import sys\nsys.argv = ['zapz', 'info', {str(tmp_path / 'demo' / 'cube.zarr')!r}]\nfrom zapz.__main__ import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    )


def test_pictures_need_little() -> None:
    """Of what is not zapz's own, NumPy and some modules of the standard library that do no input or output."""
    allowed = {
        "__future__",
        "base64",
        "collections",
        "dataclasses",
        "html",
        "itertools",
        "numpy",
        "re",
        "struct",
        "typing",
        "unicodedata",
        "zlib",
    }
    found = {
        each.partition(".")[0]
        for name, imports in HOUSE.written.items()
        if room(name) == "pictures"
        for each in imports
    }
    assert found - {"zapz"} <= allowed


def test_submodules_do_not_hide_functions() -> None:
    """Not even once all is imported."""
    code = (
        "import pkgutil, importlib, zapz\n"
        "for each in pkgutil.walk_packages(zapz.__path__, 'zapz.'):\n"
        "    if each.name != 'zapz.__main__':\n"
        "        importlib.import_module(each.name)\n"
        f"assert all(callable(getattr(zapz, name)) for name in {[name for name in NAMES if name.islower()]})"
    )
    assert loaded(code)
