"""Slice sources by name: what is found and what is said if not; how an item becomes arguments; where ``ctx`` goes; what an error carries."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dask.array
import numpy as np
import pytest

import zapz
from zapz.errors import ConfigError
from zapz.format.grid import Box
from zapz.sources.arrays import Options, source_of
from zapz.sources.slice_source import Naming, arguments_of, import_from_here, invoke, resolve

MODULES = {
    "quubes/__init__.py": "from quubes.daily import day as daily_day\ndef top(item): return 'top'\n",
    "quubes/daily.py": """
class Reader:
    @staticmethod
    def fixed(item): return "fixed"
    @classmethod
    def made(cls, item): return cls.__name__
    class Inner:
        def __init__(self, item): pass
def day(item): return "day"
opened = 1
""",
    "quubes/monthly.py": "def month(item): return 'month'\n",
    "broken/__init__.py": "",
    "broken/lacking.py": "import not_installed_anywhere\n",
    "broken/failing.py": "1 / 0\n",
    "broken/leaving.py": "raise SystemExit(0)\n",
    "broken/syntax.py": "def f(:\n",
    "my-slices.py": "def day(item): return 'dashed'\n",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [n for n in sys.modules if n.partition(".")[0] in {"quubes", "broken", "my-slices"}]:
        del sys.modules[name]


FOUND = {
    "quubes:top": "top",
    "quubes.top": "top",
    "quubes:daily_day": "day",
    "quubes.daily:day": "day",
    "quubes.daily.day": "day",
    "quubes.monthly.month": "month",
    "quubes:daily.day": "day",
    "quubes.daily:Reader.fixed": "fixed",
    "quubes.daily.Reader.fixed": "fixed",
    "quubes.daily:Reader.made": "Reader",
    "my-slices:day": "dashed",
}


@pytest.mark.parametrize("spec", FOUND)
def test_a_name_leads_to_its_callable(modules: Path, spec: str) -> None:
    assert resolve(spec)("item") == FOUND[spec]


def test_a_class_is_found_and_a_callable_is_taken_as_it_is(modules: Path) -> None:
    inner = resolve("quubes.daily:Reader.Inner")
    assert inner.__qualname__ == "Reader.Inner"
    for given in (inner, len, functools.partial(print, "x"), lambda item: item):
        assert resolve(given) is given


REFUSED = {  # what is said, besides the text itself
    "day": ["invalid name of a callable", "'module:name'"],
    "": ["invalid name of a callable"],
    ":day": ["invalid name of a callable"],
    "quubes:": ["invalid name of a callable"],
    "quubes..day": ["invalid name of a callable"],
    ".quubes:day": ["invalid name of a callable"],
    "quubes:daily:day": ["no 'daily:day' in 'quubes'"],
    "nowhere:day": ["no module 'nowhere'", "PYTHONPATH"],
    "nowhere.deep.day": ["no module 'nowhere.deep' or 'nowhere'", "PYTHONPATH"],
    "quubes.nowhere:day": ["no module 'quubes.nowhere'"],
    "quubes.daily:dya": ["no 'dya' in 'quubes.daily'", "daily.py", "Did you mean 'quubes.daily:day'?"],
    "quubes.daily.dya": ["no 'dya' in 'quubes.daily'", "Did you mean 'quubes.daily:day'?"],
    "quubes.daily:Raeder.fixed": ["no 'Raeder'", "Did you mean 'quubes.daily:Reader.fixed'?"],
    "quubes.daily:Reader.fixd": ["no 'fixd' in 'quubes.daily:Reader'", "Did you mean 'quubes.daily:Reader.fixed'?"],
    "quubes.daily:zzz": ["no 'zzz'", "another module of the same name"],
    "quubes.daily:opened": ["not callable", "a int"],
    "quubes.daily": ["not callable", "a module", "'quubes.daily:NAME'"],
}


@pytest.mark.parametrize("spec", REFUSED)
def test_a_name_that_leads_nowhere_is_refused_with_what_was_tried(modules: Path, spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(spec)
    assert caught.value.where.startswith("slice_source")
    for text in [repr(spec), *REFUSED[spec]]:
        assert text in str(caught.value)


@pytest.mark.parametrize("given", [3, None, ["quubes:top"]])
def test_what_is_no_callable_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=f"a {type(given).__name__}"):
        resolve(given)


@pytest.mark.parametrize(
    ("module", "cause"),
    [
        ("lacking", ModuleNotFoundError),
        ("failing", ZeroDivisionError),
        ("leaving", SystemExit),
        ("syntax", SyntaxError),
    ],
)
@pytest.mark.parametrize("mark", [":", "."])
def test_a_module_that_fails_to_import_shows_its_own_error(modules: Path, module: str, cause: type, mark: str) -> None:
    with pytest.raises(ConfigError, match=f"'broken.{module}' cannot be imported") as caught:
        resolve(f"broken.{module}{mark}day")
    assert isinstance(caught.value.__cause__, cause)
    assert cause.__name__ in caught.value.found
    assert str(caught.value.__cause__) in caught.value.found


@pytest.mark.parametrize(
    ("flags", "calls", "found"), [([], True, True), ([], False, False), (["-P"], True, False)], ids=str
)
def test_the_command_line_finds_modules_of_the_current_folder(
    modules: Path, tmp_path_factory: pytest.TempPathFactory, flags: list[str], calls: bool, found: bool
) -> None:
    """As ``python -m`` does, and unless ``-P`` forbids it; a program that does not ask for it is left alone."""
    script = tmp_path_factory.mktemp("bin") / "tool"
    script.write_text(
        f"import sys; sys.path.insert(1, {str(Path(zapz.__file__).parents[1])!r})\n"
        "from zapz.sources.slice_source import import_from_here, resolve\n"
        f"if {calls}: import_from_here(); import_from_here()\n"
        "import os; assert sys.path.count(os.getcwd()) <= 1\n"
        "print(resolve('quubes:top')(1))\n"
    )
    done = subprocess.run(
        [sys.executable, *flags, str(script)], cwd=modules, capture_output=True, text=True, check=False
    )
    assert done.stdout == ("top\n" if found else "")
    assert ("ConfigError: no such module" in done.stderr) is not found


def test_a_current_folder_that_is_gone_is_no_place_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    before = list(sys.path)
    import_from_here()
    assert sys.path == before


Pair = namedtuple("Pair", "first second")  # noqa: PYI024 - the untyped kind, as old code has it

ARGUMENTS = [
    ("a.zarr", ("a.zarr",), {}),
    (None, (None,), {}),
    ({"ab"}, ({"ab"},), {}),
    (b"ab", (b"ab",), {}),
    (["a", "b"], ("a", "b"), {}),
    ([], (), {}),
    ([("a",)], (("a",),), {}),
    ({"path": "a"}, (), {"path": "a"}),
    ({}, (), {}),
    ((["a"], {"x": 1}), ("a",), {"x": 1}),
    ((("a", "b"), {}), ("a", "b"), {}),
    (((), {}), (), {}),
    (MappingProxyType({"x": 1}), (MappingProxyType({"x": 1}),), {}),
]


@pytest.mark.parametrize(("item", "args", "kwargs"), ARGUMENTS, ids=lambda value: repr(value)[:30])
def test_an_item_becomes_arguments(item: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert arguments_of(item) == (args, kwargs)
    if isinstance(item, dict):
        assert arguments_of(item)[1] is not item  # what the user handed over is not changed later


@pytest.mark.parametrize(
    "item",
    [(), ("a",), ("a", "b"), ("a", {}), (["a"], ["b"]), (["a"], {}, {}), (["a"], None), ({}, []), Pair(1, 2), {1: "a"}, (["a"], {None: 1})],
    ids=repr,
)  # fmt: skip
def test_an_item_that_cannot_be_arguments_is_refused(item: Any) -> None:
    with pytest.raises(ConfigError, match="slices: expected"):
        arguments_of(item)


class Takes:
    def __init__(self, ctx: Any, path: Any) -> None:
        self.got = (ctx, path)

    def __call__(self, path: Any, *, ctx: Any) -> Any:
        return (ctx, path)


@contextmanager
def managed(ctx: Any, path: Any) -> Iterator[Any]:
    yield (ctx, path)


# Each returns (what it got for ctx, what it got for path); the item is "p" in some form.
TAKERS: dict[str, tuple[Callable[..., Any], Any]] = {
    "first": (lambda ctx, path: (ctx, path), "p"),
    "first, with a default": (lambda ctx=0, path=0: (ctx, path), "p"),
    "first, by keyword": (lambda ctx, path: (ctx, path), {"path": "p"}),
    "first, positional-only": (lambda ctx, /, path: (ctx, path), "p"),
    "first, then any": (lambda ctx, *paths: (ctx, *paths), "p"),
    "second": (lambda path, ctx: (ctx, path), "p"),
    "second, all by keyword": (lambda path, ctx: (ctx, path), {"path": "p"}),
    "second, positional-only": (lambda path, ctx, /: (ctx, path), ["p"]),
    "second of three": (lambda path, ctx, more: (ctx, path) if more == 1 else None, ["p", 1]),
    "last, with defaults before": (lambda path, a=1, b=2, ctx=None: (ctx, path), "p"),
    "keyword-only": (lambda path, *, ctx: (ctx, path), "p"),
    "keyword-only, with a default": (lambda path, *, ctx=None: (ctx, path), "p"),
    "after any number": (lambda *paths, ctx: (ctx, *paths), ["p"]),
    "a callable object": (Takes(0, 0), "p"),
    "a bound method": (Takes(0, 0).__call__, "p"),
    "part of a function": (functools.partial(lambda more, ctx, path: (ctx, path), 1), "p"),
}


@pytest.mark.parametrize("name", TAKERS)
def test_the_context_goes_to_the_parameter_named_ctx(name: str) -> None:
    function, item = TAKERS[name]
    assert invoke(function, item, {}, "context") == ("context", "p")


def test_the_context_goes_to_classes_and_context_managers() -> None:
    assert invoke(Takes, "p", {}, "context").got == ("context", "p")
    with invoke(managed, "p", {}, "context") as got:
        assert got == ("context", "p")


@pytest.mark.parametrize(
    ("function", "item", "expected"),
    [
        (lambda path: path, "p", "p"),
        (lambda *ctx: ctx, "p", ("p",)),
        (lambda path, **ctx: (path, ctx), "p", ("p", {})),
        (lambda path, **others: (path, others), "p", ("p", {})),
        (str.upper, "p", "P"),
        (dict, {"x": 1}, {"x": 1}),  # does not tell its parameters
    ],
)
def test_the_context_is_not_forced_on_others(function: Callable[..., Any], item: Any, expected: Any) -> None:
    assert invoke(function, item, {}, "context") == expected


def test_keywords_of_the_item_win_over_those_for_all() -> None:
    for_all = MappingProxyType({"a": 1, "b": 2, "ctx": "theirs"})
    seen = invoke(lambda *args, **kwargs: (args, kwargs), (["p"], {"b": 3, "c": 4}), for_all, "context")
    assert seen == (("p",), {"a": 1, "b": 3, "c": 4, "ctx": "theirs"})
    assert invoke(lambda path, ctx=None: ctx, {"path": "p", "ctx": "mine"}, {}, "context") == "mine"


def failing(path: Any, error: BaseException) -> None:
    raise error


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    number: int


ITEMS = [("s3://user:secret@bucket/a.zarr", "'s3://bucket/a.zarr'"), ((["a.zarr"], {}), "(['a.zarr'], {})")]


@pytest.mark.parametrize(("item", "shown"), ITEMS, ids=["text", "pair"])
def test_an_error_of_the_function_travels_with_a_note(item: Any, shown: str) -> None:
    error = KeyError("chl")
    with pytest.raises(KeyError) as caught:
        invoke(failing, item, {"error": error}, None)
    assert caught.value is error
    assert error.args == ("chl",)
    assert error.__notes__ == [f"In the slice source {__name__}:failing, for the slice item {shown}."]


def test_a_call_that_does_not_fit_is_named_too() -> None:
    with pytest.raises(TypeError, match="missing 1 required") as caught:
        invoke(failing, "p", {}, None)
    assert "test_callables:failing" in caught.value.__notes__[0]


def test_what_is_no_error_of_the_function_gets_no_note() -> None:
    for error in (KeyboardInterrupt(), SystemExit(3), GeneratorExit()):
        with pytest.raises(type(error)) as caught:
            invoke(failing, "p", {"error": error}, None)
        assert caught.value is error
        assert not hasattr(error, "__notes__")


def test_an_error_that_takes_no_notes_travels_all_the_same() -> None:
    with pytest.raises(FrozenError) as caught:
        invoke(failing, "p", {"error": FrozenError(3)}, None)
    assert caught.value.number == 3


def test_the_note_is_added_once_where_what_was_made_is_entered_later() -> None:
    error = ValueError("late")
    with pytest.raises(ValueError, match="late"), Naming(failing, "p"):
        invoke(failing, "p", {"error": error}, None)
    assert len(error.__notes__) == 1


def test_a_note_is_short_and_in_one_line_whatever_the_item() -> None:
    class Wide:
        def __repr__(self) -> str:
            return "wide\n" * 10_000

    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no name")

    for item in (Wide(), Mute(), ["x" * 10_000] * 100):
        error = ValueError()
        with pytest.raises(ValueError), Naming(failing, item):
            raise error
        assert len(error.__notes__[0]) < 2_000
        assert "\n" not in error.__notes__[0]


class Grumpy(zapz.Source):
    """A source that fails where it is told to, once it has been opened."""

    def __init__(self, where: str) -> None:
        self.inner = source_of(
            {"time": ("time", np.arange(1)), "v": (("time", "x"), np.ones((1, 3)))}, "inner", Options()
        )
        self.where, self.asked = where, 0

    def documents(self) -> Mapping[str, bytes]:
        self.asked += 1
        if self.where == "documents" and self.asked > 1:
            raise ValueError("documents are gone")
        return self.inner.documents()

    def cells(self, path: str, box: Box) -> Any:
        if self.where == "cells" and path == "v":
            raise ValueError("no cells")
        return self.inner.cells(path, box)


def grumpy(where: str) -> Any:
    """Return a slice of which something fails when it is used, not when it is made."""
    if where != "dask":
        return Grumpy(where)

    def fail(block: Any) -> Any:
        raise ValueError(f"no block {block.shape}")

    values = dask.array.from_array(np.ones((1, 3)), chunks=-1).map_blocks(fail, meta=np.empty((0, 0)))
    return {"time": ("time", np.arange(1)), "v": (("time", "x"), values)}


@pytest.mark.parametrize("where", ["dask", "cells", "documents"])
def test_an_error_of_what_the_function_made_travels_with_a_note(where: str, tmp_path: Path) -> None:
    """While it is computed, read or looked at again."""
    with pytest.raises(ValueError, match=r"no block|no cells|documents are gone") as caught:
        zapz.append(tmp_path / "c", [where], slice_source=grumpy)
    assert caught.value.__notes__[:1] == [f"In the slice source {__name__}:grumpy, for the slice item {where!r}."]
    assert not (tmp_path / "c").exists()
    with pytest.raises(ValueError, match=r"no block|no cells|documents are gone") as caught:
        zapz.append(tmp_path / "c", [grumpy(where)])  # no slice source, no note
    assert not hasattr(caught.value, "__notes__")
