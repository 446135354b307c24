"""Values and their annotations: whatever a value shows is looked at, down to the last number."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

EXACT = (str, bytes, bool, int)
"""Kinds of which nothing else will do: a NumPy scalar is no number to JSON, and a truth value is none to a reader."""


class Lies:
    """What is not as it says, by the place of the annotation."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.looked_at: dict[int, Any] = {}

    def look(self, value: Any) -> None:
        """Look at what an object of the house shows: fields and properties."""
        if id(value) in self.looked_at:
            return
        self.looked_at[id(value)] = value  # kept, so that no other object has its number
        for base in type(value).__mro__:
            if not base.__module__.startswith("zapz"):
                continue
            known = vars(sys.modules[base.__module__])
            hints = get_type_hints(base)
            for name, member in vars(base).items():
                if isinstance(member, property):
                    hints[name] = get_type_hints(member.fget, known)["return"]
            for name, hint in hints.items():
                if not name.startswith("_"):
                    self.compare(getattr(value, name), hint, f"{base.__name__}.{name}")

    def compare(self, value: Any, hint: Any, where: str) -> None:
        """Compare a value with what it is said to be."""
        if not any(self._is(value, part, where) for part in _parts(hint) if _may_be(value, part)):
            self.found.setdefault(where, f"{type(value).__name__} {value!r:.80}, not {hint}")

    def _is(self, value: Any, hint: Any, where: str) -> bool:
        args = get_args(hint)
        if is_typeddict(hint):
            hints = get_type_hints(hint)
            for key, inner in value.items():
                self.compare(inner, hints.get(key, NoneType), f"{hint.__name__}[{key!r}]")
            return set(hint.__required_keys__) <= set(value)
        if isinstance(value, Mapping) and args:
            for key, inner in value.items():
                self.compare(key, args[0], f"{where}, a key")
                self.compare(inner, args[1], f"{where}[...]")
        elif isinstance(value, tuple) and args and args[-1] is not ...:
            for inner, part in zip(value, args, strict=True):
                self.compare(inner, part, f"{where}[...]")
        elif isinstance(value, tuple | list) and args:
            for inner in value:
                self.compare(inner, args[0], f"{where}[...]")
        elif type(value).__module__.startswith("zapz"):
            self.look(value)
        return True


def _parts(hint: Any) -> Iterator[Any]:
    if get_origin(hint) in {Union, UnionType}:
        for part in get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def _may_be(value: Any, hint: Any) -> bool:
    origin = get_origin(hint) or hint
    if origin in {Any, object} or isinstance(origin, ForwardRef):
        return True
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in get_args(hint))
    if origin is None or origin is NoneType:
        return value is None
    if is_typeddict(origin):
        return isinstance(value, dict)
    if origin is float:
        return type(value) in {int, float}
    if origin is Sequence:
        return isinstance(value, list | tuple)
    return type(value) is origin if origin in EXACT else isinstance(value, origin)
