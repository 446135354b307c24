"""What is public says what it is: every annotation can be looked up, and none is `Any` but where the value is the user's own."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import xarray as xr
from kit.conforming import Lies

import zapz
from zapz import zappend
from zapz.config.files import resolve

PUBLIC = {name: getattr(zapz, name) for name in zapz.__all__}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
ANY = {
    "ZapzError.remedies": "they are given on as keyword arguments, `**error.remedies`, some with dotted names",
    "Finding.remedies": "the same",
    "Config.extra": "the user's own settings",
    "ArrayEncoding.given": "keyword arguments of the same class",
}
"""Where values are of any type."""


def ours(value: Any) -> bool:
    return inspect.isclass(value) and value.__module__.startswith("zapz")


def classes_in(hint: Any) -> Iterator[Any]:
    """Take a type apart; of NumPy's, whose own types are of any kind, nothing inside."""
    yield hint
    if get_origin(hint) not in {Literal, np.ndarray, np.dtype} and hint not in {np.ndarray, np.dtype}:
        for part in get_args(hint):
            for each in part if isinstance(part, list) else [part]:
                yield from classes_in(each)


def hints_of(value: Any) -> dict[str, Any]:
    """Each class of a hierarchy has the names of its own module."""
    return get_type_hints(value, None if isinstance(value, type) else vars(sys.modules[value.__module__]))


def told_by(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what a class gives: fields, properties, what methods return."""
    for base in kind.__mro__:
        if not ours(base):
            continue
        own = {name: hint for name, hint in hints_of(base).items() if not name.startswith("_")}
        yield from ((f"{base.__name__}.{name}", hint) for name, hint in own.items())
        for name, member in vars(base).items():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if inspect.isfunction(function) and not name.startswith("_"):
                yield f"{base.__name__}.{name}", hints_of(function)["return"]


def reached() -> dict[type, str]:
    """Return every class of the house that a public name leads to, and from where."""
    waiting = [(value, name) for name, value in PUBLIC.items() if ours(value)]
    waiting += [
        (each, name)
        for name, function in FUNCTIONS.items()
        for each in classes_in(hints_of(function)["return"])
        if ours(each)
    ]
    found: dict[type, str] = {}
    while waiting:
        kind, where = waiting.pop()
        if kind not in found:
            found[kind] = where
            waiting += [(each, name) for name, hint in told_by(kind) for each in classes_in(hint) if ours(each)]
    return found


REACHED = reached()


@pytest.mark.parametrize("name", [*FUNCTIONS, "zappend"])
def test_a_function_has_types_that_can_be_looked_up(name: str) -> None:
    """By programs that read annotations, too, although importing zapz loads none of those types."""
    function = FUNCTIONS.get(name, zappend.zappend)
    hints = hints_of(function)
    assert set(hints) == {*inspect.signature(function).parameters, "return"}
    assert Any not in {each for hint in hints.values() for each in classes_in(hint)}


def test_what_comes_back_is_found() -> None:
    """Errors carry reports, plans show datasets, and so on down."""
    names = {kind.__name__ for kind in REACHED}
    assert names > {
        "Report",
        "SliceReport",
        "PlanSummary",
        "Recovery",
        "Array",
        "Codec",
        "Conversion",
        "StepInfo",
        "Holder",
        "ChunkCounts",
    }


@pytest.mark.parametrize("kind", REACHED, ids=lambda kind: kind.__name__)
def test_nothing_that_comes_back_is_of_any_type(kind: type) -> None:
    assert [name for name, hint in told_by(kind) if name not in ANY and Any in classes_in(hint)] == []


def test_the_exceptions_are_some() -> None:
    told = {name: hint for kind in REACHED for name, hint in told_by(kind)}
    errors = inspect.getsource(zapz.ZapzError)
    assert "self.remedies: Mapping[str, Any]" in errors
    assert all(Any in classes_in(told[name]) for name in ANY if name != "ZapzError.remedies")


# -- values -----------------------------------------------------------------------------------------------------------


def days(first: int) -> xr.Dataset:
    time = np.array(["2024-06-01", "2024-06-02"], "M8[ns]") + np.timedelta64(first, "D")
    variables = {
        "sst": (("time", "x"), np.arange(6, dtype="i2").reshape(2, 3), {"valid_range": np.array([0, 9], "i2")}),
        "name": ("x", ["a", "b", "c"]),
        "wave": ("time", np.array([1 + 2j, 3])),
    }
    return xr.Dataset(variables, {"time": time}, {"title": "Two days", "version": np.float32(1)})


def shown(folder: Path, zarr_format: int) -> Iterator[Any]:
    """Everything that the API tells of a target, from its first slice to a refusal."""
    target, encoding = folder / "cube", {"dtype": "int8", "fill_value": -1, "chunks": {"time": np.int64(1)}}
    sharded = {"shards": {"time": 2}} if zarr_format == 3 else {}
    settings: dict[str, Any] = {"variables": {"sst": {"encoding": encoding | sharded}}, "lock_wait": np.int16(1)}
    phases: list[zapz.Progress] = []
    yield zapz.append(target, days(0), zarr_format=zarr_format, label_chunk=1, dry_run=True, **settings)
    yield zapz.append(target, days(0), zarr_format=zarr_format, explain=True, on_phase=phases.append, **settings)
    yield from phases
    plan = zapz.plan(target, days(5), **settings)
    yield from (plan, zapz.Plan.from_json(plan.to_json()), *plan.steps())
    yield zapz.execute(plan, slice=days(5))
    yield zapz.append(target, days(5), explain=True, **settings)
    yield zapz.append(target, days(2).isel(time=0, drop=True), append_label={"from": "value:2024-06-20"}, **settings)
    yield from (zapz.info(target), zapz.check(target, chunks=True), zapz.recover(target), zapz.vacuum(target))
    with pytest.raises(zapz.ZapzError) as caught:
        zapz.append(target, [days(30), days(1)], **settings)
    yield caught.value.report
    settings["attrs"] = {"counts": np.arange(3), "part": np.float32(0.5)}
    yield resolve(None, {**settings, "static": np.float32(0.5), "memory_limit": "1GB", "workers": np.int32(2)})


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_values_are_what_they_say(zarr_format: int, tmp_path: Path) -> None:
    """Down to the last number: what came in as a NumPy scalar is one no more."""
    lies = Lies()
    for value in shown(tmp_path, zarr_format):
        lies.look(value)
        if isinstance(value, zapz.Plan):
            lies.compare(value.summary(), get_type_hints(zapz.Plan.summary)["return"], "summary")
    assert lies.found == {}
    seen = {type(value).__name__ for value in lies.looked_at.values()}
    assert seen >= {
        "Report",
        "Plan",
        "Config",
        "Info",
        "Checked",
        "Progress",
        "RegularGrid",
        "Codec",
        "Conversion",
        "StepInfo",
    }


def test_lies_are_seen() -> None:
    lies = Lies()
    lies.look(zapz.Recovery(rolled_back=("a", 1), made_root=np.bool_(True)))  # type: ignore[arg-type]
    lies.look(zapz.Config(workers=np.int64(1), on_existing="skp", fixed_dims={"x": "1"}))  # type: ignore[arg-type]
    where = {
        "Recovery.rolled_back[...]",
        "Recovery.made_root",
        "Config.workers",
        "Config.on_existing",
        "Config.fixed_dims[...]",
    }
    assert set(lies.found) == where
