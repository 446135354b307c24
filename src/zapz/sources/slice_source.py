"""Slice sources: find the function, turn a slice item into arguments, and call the function."""

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
"""Name of the parameter for the context."""


def resolve(spec: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, class or other callable that ``slice_source`` names.

    In ``module:name``, the part before the colon is the module. In ``module.name``, it is the
    longest importable part without the last name. In both forms, ``name`` may lead into a class:
    ``module:Class.method``.

    Modules are searched on Python's path, so a program must make its own modules importable. The
    command line calls ``import_from_here`` first.

    Args:
        spec: The setting: text, or the callable itself.

    Raises:
        ConfigError: There is no such module or name, the result is not callable, or the module
            cannot be imported; then its error is the cause.
    """
    found = _find(spec) if isinstance(spec, str) else spec
    if callable(found):
        return found
    hint = f"Name the function in it: '{found.__name__}:NAME'." if isinstance(found, ModuleType) else ""
    raise ConfigError("not callable", where=_place(spec), expected=_FORMS, found=f"a {type(found).__name__}", hint=hint)


def import_from_here() -> None:
    """Make modules of the current folder importable for this process, as ``python -m`` does.

    A console script has the script's folder on its path instead. Only the command line calls this,
    once a ``slice_source`` is set as text: a module in the current folder hides an installed one of
    the same name. ``python -P`` and ``PYTHONSAFEPATH`` disable it.
    """
    if sys.flags.safe_path:
        return
    try:
        here = str(Path.cwd())
    except FileNotFoundError:  # the current folder does not exist any more
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
        hint="Python must find the module: run the command in its folder, or set PYTHONPATH.",
    )


def _readings(spec: str) -> list[tuple[str, list[str]]]:
    """Return the possible meanings of the text, as modules and names in them, in order."""
    module, colon, path = spec.partition(":")
    parts = module.split(".")
    if all(parts) and colon and all(path.split(".")):
        return [(module, path.split("."))]
    if all(parts) and not colon and len(parts) > 1:
        return [(".".join(parts[:i]), parts[i:]) for i in range(len(parts) - 1, 0, -1)]
    raise ConfigError("invalid name of a callable", where=_SETTING, expected=_FORMS, found=repr(spec))


def _imported(module: str, spec: str) -> ModuleType | None:
    """Import a module; None if there is no module of that name."""
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
                hint=f"Did you mean {whole!r}?" if near else "Check whether this is another module of the same name.",
            )
        found = getattr(found, name)
    return found


def arguments_of(item: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a slice item as positional and keyword arguments.

    A tuple must be ``(args, kwargs)``, a list is args, and a dict is kwargs. Anything else is one
    argument, also other mappings: a dataset is one.

    Raises:
        ConfigError: A tuple has another form, or a keyword is not text.
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
            raise ConfigError("keywords must be strings", where="slices", expected="a string", found=repr(key))
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
        hint="Pass positional arguments as a list.",
    )


def invoke(function: Callable[..., Any], item: Any, kwargs: Mapping[str, Any], context: Any) -> Any:
    """Call a slice source with a slice item as its arguments.

    A parameter named ``ctx`` receives the context: by position if the positional arguments reach
    it, else by name. An argument of this name from the user is not
    replaced.

    Args:
        function: The result of ``resolve``.
        item: The slice item; see ``arguments_of``.
        kwargs: Keyword arguments for every item; those of the item override them.
        context: Value for the parameter ``ctx``.

    Returns:
        The return value of the function.

    Raises:
        ConfigError: The item cannot be used as arguments.
        Exception: The error of the function, with a note that names the function and the item.
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
    """Note on an error that names the slice source and the slice item."""

    __slots__ = ()


class Naming:
    """Adds a note with slice source and item to errors raised inside the context.

    It is also used for contexts that ``invoke`` returns and that are entered later.
    """

    def __init__(self, function: Callable[..., Any], item: Any) -> None:
        self._function = function
        self._item = item

    def __enter__(self) -> None:
        """Do nothing before there is an error."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            note = SourceNote(f"In the slice source {_name(self._function)}, for the slice item {_shown(self._item)}.")
            if note not in getattr(error, "__notes__", ()):
                with suppress(AttributeError):  # a frozen error accepts no notes
                    error.add_note(note)


def _place_of_context(function: Callable[..., Any]) -> int | None:
    """Return the position of the parameter ``ctx``; a very large one for keyword-only, or None."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some callables written in C have no signature
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
