"""A slice source as users name it: find the function, turn a slice item into its arguments, call it."""

from __future__ import annotations

import difflib
import importlib
import inspect
import reprlib
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from zapz.errors import ConfigError
from zapz.storage.uris import redact

_SETTING = "slice_source"
_FORMS = "'module:name', 'module.name', or a callable"
_CONTEXT = "ctx"
"""Name of the parameter by which a slice source asks for the context."""


def resolve(spec: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, class or other callable that ``slice_source`` names.

    In ``module:name`` all before the colon is the module; in ``module.name`` it is the longest part
    that can be imported, without the last name. Either way ``name`` may lead into a class:
    ``module:Class.method``.

    Modules are looked for where Python looks, so a program must make its own importable; the
    command line calls ``import_from_here`` first.

    Args:
        spec: The setting: text, or the callable itself.

    Raises:
        ConfigError: There is no such module or name, or what is found is not callable; or the
            module fails to import, and its own error is the cause.
    """
    found = _find(spec) if isinstance(spec, str) else spec
    if callable(found):
        return found
    hint = f"Name the function in it: '{found.__name__}:NAME'." if isinstance(found, ModuleType) else ""
    raise ConfigError("not callable", where=_place(spec), expected=_FORMS, found=f"a {type(found).__name__}", hint=hint)


def import_from_here() -> None:
    """Let modules of the current folder be imported, for the rest of the process, as ``python -m`` does.

    A console script has the folder of the script on its path instead. This is for the command line
    alone, once a ``slice_source`` is given as text: a module here hides an installed one of the
    same name. ``python -P`` and ``PYTHONSAFEPATH`` forbid it.
    """
    if sys.flags.safe_path:
        return
    try:
        here = str(Path.cwd())
    except FileNotFoundError:  # the current folder has been removed
        return
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _place(spec: object) -> str:
    return f"{_SETTING} {spec!r}" if isinstance(spec, str) else _SETTING


def _find(spec: str) -> Any:
    tried = []
    for module, names in _readings(spec):
        imported = _imported(module, spec)
        if imported is not None:
            return _attribute(imported, names, spec)
        tried.append(repr(module))
    raise ConfigError(
        "no such module",
        where=_place(spec),
        expected=_FORMS,
        found=f"no module {' or '.join(tried)}",
        hint="Its folder must be one in which Python looks: run the command in that folder, or set PYTHONPATH.",
    )


def _readings(spec: str) -> list[tuple[str, list[str]]]:
    """Return what the text may mean, as modules and names in them, in the order in which it is tried."""
    module, colon, path = spec.partition(":")
    parts = module.split(".")
    if all(parts) and colon and all(path.split(".")):
        return [(module, path.split("."))]
    if all(parts) and not colon and len(parts) > 1:
        return [(".".join(parts[:i]), parts[i:]) for i in range(len(parts) - 1, 0, -1)]
    raise ConfigError("not the name of a callable", where=_SETTING, expected=_FORMS, found=repr(spec))


def _imported(module: str, spec: str) -> ModuleType | None:
    """Import a module; None if there is none of that name."""
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent is not None and f"{module}.".startswith(f"{absent}."):
            return None
        raise ConfigError(
            f"module {module!r} cannot be imported",
            where=_place(spec),
            found=f"{type(error).__name__}: {error}",
            hint="Correct the module; `--traceback` shows where it failed.",
        ) from error


def _attribute(module: ModuleType, names: list[str], spec: str) -> Any:
    found: Any = module
    for i, name in enumerate(names):
        if not hasattr(found, name):
            place = f"{module.__name__}:{'.'.join(names[:i])}".rstrip(":")
            near = difflib.get_close_matches(name, [n for n in dir(found) if not n.startswith("_")], n=1)
            whole = f"{module.__name__}:{'.'.join([*names[:i], *near, *names[i + 1 :]])}"
            raise ConfigError(
                f"no {name!r} in {place!r}",
                where=_place(spec),
                found=f"module {module.__name__!r} from {getattr(module, '__file__', None) or 'Python itself'}",
                hint=f"Did you mean {whole!r}?" if near else "Is it another module of the same name?",
            )
        found = getattr(found, name)
    return found


def arguments_of(item: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a slice item as positional and keyword arguments.

    A tuple is exactly ``(args, kwargs)``, a list is args, a dict is kwargs, anything else is one
    argument; so are other mappings, since a dataset is one.

    Raises:
        ConfigError: A tuple is something else, or a keyword is not text.
    """
    args: Any = ()
    kwargs: Any = {}
    match item:
        case tuple():
            args, kwargs = _pair(item)
        case list():
            args = item
        case dict():
            kwargs = item
        case _:
            args = (item,)
    for key in kwargs:
        if not isinstance(key, str):
            raise ConfigError(
                "a keyword argument has no name", where="slices", expected="keys that are text", found=repr(key)
            )
    return tuple(args), dict(kwargs)


def _pair(item: tuple[Any, ...]) -> tuple[Any, Any]:
    match item:
        case (tuple() | list() as args, dict() as kwargs):
            return args, kwargs
    raise ConfigError(
        "a tuple among the slices is not (args, kwargs)",
        where="slices",
        expected="a tuple or list, and a dict",
        found=f"({', '.join(type(part).__name__ for part in item)})",
        hint="Give positional arguments as a list.",
    )


def invoke(function: Callable[..., Any], item: Any, kwargs: Mapping[str, Any], context: Any) -> Any:
    """Call a slice source with a slice item as its arguments.

    A parameter named ``ctx`` receives the context, wherever it stands: at its own place among the
        positional arguments where
    these reach so far, by name otherwise. An argument of that name that the user gives wins.

    Args:
        function: What ``resolve`` found.
        item: The slice item; see ``arguments_of``.
        kwargs: Keyword arguments for every item; the item's own win.
        context: What a parameter ``ctx`` receives.

    Returns:
        What the function returns.

    Raises:
        ConfigError: The item cannot be taken for arguments.
        Exception: What the function raises, with a note that names it and the item.
    """
    args, own = arguments_of(item)
    keywords = {**kwargs, **own}
    if _CONTEXT not in keywords:
        place = _place_of_context(function)
        if place is not None and place <= len(args):
            args = (*args[:place], context, *args[place:])
        elif place is not None:
            keywords[_CONTEXT] = context
    with Naming(function, item):
        return function(*args, **keywords)


class SourceNote(str):
    """What is noted on an error to say in which slice source, and for which slice item, it was raised."""

    __slots__ = ()


class Naming:
    """Adds a note that names the slice source and the item to an error inside; for what ``invoke`` returns and is entered later, too."""

    def __init__(self, function: Callable[..., Any], item: Any) -> None:
        self._function = function
        self._item = item

    def __enter__(self) -> None:
        """Nothing is to be done before there is an error."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            note = SourceNote(f"In the slice source {_name(self._function)}, for the slice item {_shown(self._item)}.")
            if note not in getattr(error, "__notes__", ()):
                with suppress(AttributeError):  # a frozen error takes no notes
                    error.add_note(note)


def _place_of_context(function: Callable[..., Any]) -> int | None:
    """Return where a callable takes ``ctx``: an index, one beyond all others where only the name will do, None if nowhere."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some that are written in C do not tell
        return None
    taken = parameters.get(_CONTEXT)
    if taken is None or taken.kind in {taken.VAR_POSITIONAL, taken.VAR_KEYWORD}:
        return None
    return sys.maxsize if taken.kind is taken.KEYWORD_ONLY else list(parameters).index(_CONTEXT)


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", None)
    return f"{getattr(function, '__module__', '')}:{name}" if isinstance(name, str) else _short.repr(function)


def _shown(item: Any) -> str:
    return repr(redact(item)) if isinstance(item, str) else " ".join(_short.repr(item).split())


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
