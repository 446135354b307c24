"""A random differential search: decoded truths, cut and stored by other tools in many forms of one meaning, appended, and judged by zarr-python.

A scenario is made from one integer. It has a truth (exact numbers, instants, texts, and what is missing), cut along the append dimension
into slices, each written in forms of its own. Whether a slice must be appended, must be refused or may be is worked out from its own
documents and the target's by ``doubts``; whatever becomes of it, the target holds the truth of what was appended, and nothing else changes.
"""

from __future__ import annotations

import base64
import random
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import zapz
from kit.cubes import quiet
from kit.differential_judge import Stored, judge, read_all, said
from kit.differential_meaning import (
    DAY,
    NS,
    NUMPY_UNITS,
    SAME_LINE,
    UNIX,
    Cells,
    Doc,
    Either,
    WrongError,
    day_number,
    decode,
    epoch,
    explicit,
    first_difference,
    implicit,
    is_chars,
)
from kit.trees import tree

CHANCE_OF_A_BAD_SLICE = 0.3
LEFT_OUT: set[str] = set()
"""What a search that looks for other faults leaves out: "nested", "bool", "zero", "chars", "cells", "packed type"."""
MICROSECOND = Fraction(1000)


# -- the truth -----------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Variable:
    """A variable of the truth: what its cells mean, and in which forms they may be stored."""

    path: str
    kind: str
    family: str
    dims: tuple[str, ...]
    truth: Cells
    label: bool = False
    bounds_of: str = ""
    attrs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def axis(self) -> int:
        """The append dimension's place, or -1."""
        return self.dims.index("time") if "time" in self.dims else -1

    def cut(self, start: int, stop: int) -> Cells:
        """Return the truth of some steps; all of it if it has none."""
        if self.axis < 0:
            return self.truth
        return self.truth[(slice(None),) * self.axis + (slice(start, stop),)]


@dataclass(kw_only=True)
class Form:
    """How the cells of a variable are stored in one place."""

    dtype: str
    fill: Any = "default"
    attrs: dict[str, Any] = field(default_factory=dict)
    missing: list[Any] = field(default_factory=list)
    """Stored values, each of which means that a cell is missing."""
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    chars: bool = False
    layout: dict[str, Any] = field(default_factory=dict)
    tool: str = "zarr-python"


@dataclass(kw_only=True)
class Slice:
    """Some steps of the truth, in forms of their own."""

    number: int
    start: int
    stop: int
    zarr_format: int = 2
    tool: str = "zarr-python"
    given: str = "path"
    variables: list[Variable] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    bad: str = ""
    """Why it must be refused, whatever its forms."""
    path: Path = Path()
    truth: dict[str, Cells] = field(default_factory=dict)
    docs: dict[str, Doc] | None = None
    """None for a slice in memory."""
    natural: dict[str, Any] = field(default_factory=dict)
    """Data types of a slice in memory."""
    value: Any = None
    """What zapz is given."""


@dataclass(kw_only=True)
class Scenario:
    """All of it."""

    seed: int
    variables: list[Variable]
    slices: list[Slice]
    settings: dict[str, Any]
    made: str = ""
    """How the target was made before: "" (zapz makes it), "empty", "first", "shrunk"."""
    mode: str = "one call"
    words: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.mode}, target {self.made or 'made by zapz'}, settings {self.settings}"]
        lines += [f"  {v.path} {v.dims} {v.kind}/{v.family} {'label ' * v.label}{v.options}" for v in self.variables]
        for s in self.slices:
            lines.append(
                f"  slice {s.number} [{s.start}:{s.stop}] v{s.zarr_format} {s.tool} as {s.given} {s.bad and 'BAD: ' + s.bad}"
            )
            lines += [f"    {word}" for word in s.words]
        return "\n".join([*lines, *self.words])


def filled(shape: Sequence[int], make: Callable[[], Any]) -> Cells:
    """Return an array of objects, each made anew."""
    cells = np.empty(shape, object)
    for index in np.ndindex(*shape):
        cells[index] = make()
    return cells


KINDS = ("int", "int", "float", "float", "packed", "packed", "bool", "text", "time", "duration", "complex", "wide", "unsigned")  # fmt: skip
"""Kinds of variables, the common ones twice."""
BEYOND = 2
"""Steps of the truth after those that are appended, for slices that must be refused."""


class Maker:
    """Makes a scenario from a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.lengths = [self.rng.choice([1, 1, 2, 3, 4, 5, 7]) for _ in range(self.rng.randint(2, 6))]
        for place in range(1, len(self.lengths)):
            if self.chance(0.04):
                self.lengths[place] = 0
        self.total = sum(self.lengths) + BEYOND
        self.sizes = {"y": self.rng.randint(1, 5), "x": self.rng.randint(1, 6), "nv": 2}
        self.calendar = "noleap" if self.chance(0.08) else "360_day" if self.chance(0.04) else "standard"
        self.step = self.rng.choice([DAY, DAY, 6 * NS["hours"], NS["hours"], NS["minutes"], NS["seconds"], 10**6])
        self.zero = day_number(self.calendar, self.rng.randint(1972, 2060), self.rng.randint(1, 12), self.rng.randint(1, 28)) * DAY  # fmt: skip
        self.descending = self.chance(0.1)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, *choices: Any) -> Any:
        return self.rng.choice(choices)

    # -- variables

    def shape(self, dims: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.total if dim == "time" else self.sizes[dim] for dim in dims)

    def instants(self) -> list[int]:
        """Return the labels, in nanoseconds on the line of their calendar."""
        place, labels = self.zero, []
        for _ in range(self.total):
            labels.append(place)
            place += self.step * self.pick(1, 1, 1, 2, 5)
        return labels[::-1] if self.descending else labels

    def labels(self) -> Variable:
        family = self.pick("cf", "cf", "cf", "cf", "numpy", "plain")
        if family == "numpy" and self.calendar != "standard":
            family = "cf"
        if family == "plain":
            first, run = self.pick(0, 0, 5, -3) if "zero" not in LEFT_OUT else 5, []
            for _ in range(self.total):
                run.append(first)
                first += self.pick(1, 1, 3)
            cells = np.array(run[::-1] if self.descending else run, object)
            return Variable(path="time", kind="number", family="int", dims=("time",), truth=cells, label=True, options={"wide": "i8", "narrow": ["i4", "i8", "i2"]})  # fmt: skip
        cells = np.array(self.instants(), object)
        return Variable(path="time", kind="time", family=family, dims=("time",), truth=cells, label=True, attrs={"standard_name": "time"})  # fmt: skip

    def variable(self, path: str, dims: Sequence[str]) -> Variable:
        """Return a variable of a random kind."""
        kind = self.pick(*(kind for kind in KINDS if kind not in LEFT_OUT))
        dims = tuple(dims)
        found: Variable = getattr(self, f"make_{kind}")(path, dims)
        found.options["chunks"] = {dim: self.rng.randint(1, 4) for dim in dims}
        return found

    def gaps(self, variable: Variable) -> Variable:
        """Let some cells be missing, and whole blocks be missing or alike."""
        cells, options = variable.truth, variable.options
        if options.get("gaps", self.chance(0.4)):
            options["gaps"] = True
            for index in np.ndindex(cells.shape):
                if self.chance(0.15):
                    cells[index] = None
        options.setdefault("gaps", False)
        for _ in range(self.rng.randint(0, 2) if cells.ndim else 0):
            axis = self.rng.randrange(cells.ndim)
            if cells.shape[axis] > 1:
                low = self.rng.randrange(cells.shape[axis])
                high = self.rng.randint(low, cells.shape[axis])
                alike = None if options["gaps"] and self.chance(0.6) else options.get("alike")
                if alike is not None or options["gaps"]:
                    block = cells[(slice(None),) * axis + (slice(low, high),)]
                    block[...] = alike
        return variable

    def make_int(self, path: str, dims: tuple[str, ...]) -> Variable:
        wide = self.pick("i2", "i4", "i8", "u1", "u2", "f8", "i1")
        narrow = [t for t in ("i1", "u1", "i2", "u2", "i4", "i8", "f4", "f8") if np.can_cast(t, wide)]
        cells = filled(self.shape(dims), lambda: self.rng.randint(1, 100))
        options = {"wide": wide, "narrow": narrow, "alike": 7, "marker": self.pick("max", "max", "min", 0, 101)}
        return self.gaps(Variable(path=path, kind="number", family="int", dims=dims, truth=cells, options=options))

    def make_wide(self, path: str, dims: tuple[str, ...]) -> Variable:
        """Integers that no float64 holds."""
        wide, low = self.pick(("i8", 2**53), ("u8", 2**63))
        cells = filled(self.shape(dims), lambda: low + self.rng.randint(1, 1000))
        options = {"wide": wide, "narrow": [wide], "alike": low + 1, "marker": "max", "huge": True}
        return self.gaps(Variable(path=path, kind="number", family="int", dims=dims, truth=cells, options=options))

    def make_unsigned(self, path: str, dims: tuple[str, ...]) -> Variable:
        cells = filled(self.shape(dims), lambda: self.rng.randint(0, 255))
        options = {"alike": 200, "mixed": self.chance(0.3), "gaps": False}
        return self.gaps(Variable(path=path, kind="number", family="unsigned", dims=dims, truth=cells, options=options))

    def make_float(self, path: str, dims: tuple[str, ...]) -> Variable:
        wide = self.pick("f4", "f8", "f8", "f2")
        narrow = [t for t in ("f2", "f4", "f8") if np.can_cast(t, wide)]
        cells = filled(self.shape(dims), lambda: Fraction(self.rng.randint(1, 400) * self.pick(-1, 1), 8))
        if self.chance(0.1):
            cells.flat[0] = float("inf")
        options = {"wide": wide, "narrow": narrow, "alike": Fraction(1, 2), "marker": self.pick("nan", "nan", -9999.0, 1e4)}  # fmt: skip
        return self.gaps(Variable(path=path, kind="number", family="float", dims=dims, truth=cells, options=options))

    def make_complex(self, path: str, dims: tuple[str, ...]) -> Variable:
        wide = self.pick("c8", "c16")
        cells = filled(self.shape(dims), lambda: complex(self.rng.randint(1, 9), self.rng.randint(0, 9)))
        options = {"wide": wide, "narrow": ["c8"] if wide == "c8" else ["c8", "c16"], "gaps": False, "alike": 1 + 1j}
        return self.gaps(Variable(path=path, kind="number", family="complex", dims=dims, truth=cells, options=options))

    def make_packed(self, path: str, dims: tuple[str, ...]) -> Variable:
        quantum = self.pick(Fraction(1, 2), Fraction(1, 4), Fraction(1, 100), Fraction(1, 10), Fraction(2))
        cells = filled(self.shape(dims), lambda: quantum * self.rng.randint(-300, 300))
        options = {"quantum": quantum, "alike": quantum * 4, "tolerance": quantum / 1000}
        return self.gaps(Variable(path=path, kind="number", family="packed", dims=dims, truth=cells, options=options))

    def make_bool(self, path: str, dims: tuple[str, ...]) -> Variable:
        cells = filled(self.shape(dims), lambda: self.chance(0.5))
        options = {"alike": self.chance(0.5), "gaps": False, "mixed": self.chance(0.5)}
        return self.gaps(Variable(path=path, kind="bool", family="bool", dims=dims, truth=cells, options=options))

    def make_text(self, path: str, dims: tuple[str, ...]) -> Variable:
        family = self.pick("U", "text", "S", "S")
        letters = "abcxyz 09" + ("éß€" if family != "S" else "")

        def word() -> str:
            return "".join(self.pick(*letters) for _ in range(self.rng.randint(0, 6))).rstrip() or "q"

        options = {"alike": "", "gaps": False, "size": 6, "mixed": self.chance(0.4)}
        return self.gaps(Variable(path=path, kind="text", family=family, dims=dims, truth=filled(self.shape(dims), word), options=options))  # fmt: skip

    def make_time(self, path: str, dims: tuple[str, ...]) -> Variable:
        family = "numpy" if self.calendar == "standard" and self.chance(0.25) else "cf"
        cells = filled(self.shape(dims), lambda: self.zero + self.step * self.rng.randint(1, 50))
        return self.gaps(Variable(path=path, kind="time", family=family, dims=dims, truth=cells, options={"alike": self.zero + self.step * 3}))  # fmt: skip

    def make_duration(self, path: str, dims: tuple[str, ...]) -> Variable:
        cells = filled(self.shape(dims), lambda: self.step * self.rng.randint(1, 50))
        return self.gaps(Variable(path=path, kind="duration", family=self.pick("cf", "numpy"), dims=dims, truth=cells, options={"alike": self.step * 2}))  # fmt: skip

    def bounds(self, label: Variable) -> Variable:
        """Return the bounds of the labels: a step on either side, with units of their own or inherited ones."""
        cells = np.empty((self.total, 2), object)
        for index, middle in enumerate(label.truth):
            cells[index] = [middle, middle + self.step]
        label.attrs["bounds"] = "time_bnds"
        return Variable(path="time_bnds", kind="time", family=label.family, dims=("time", "nv"), truth=cells, bounds_of="time", options={"gaps": False})  # fmt: skip

    def variables(self) -> list[Variable]:
        found = []
        if self.chance(0.92):
            label = self.labels()
            found.append(label)
            if label.kind == "time" and self.chance(0.35):
                found.append(self.bounds(label))
        for dim in ("y", "x"):
            if self.chance(0.6):
                first = "zero" in LEFT_OUT
                cells = np.array([Fraction(n * 5, 2) for n in range(first, first + self.sizes[dim])], object)
                found.append(Variable(path=dim, kind="number", family="float", dims=(dim,), truth=cells, label=True, options={"wide": "f8", "narrow": ["f8"], "gaps": False, "marker": "nan"}))  # fmt: skip
        places = [("time", "y", "x"), ("time", "y", "x"), ("time", "x"), ("y", "time", "x")]
        for n in range(self.rng.randint(1, 3)):
            found.append(self.variable(f"v{n}", self.pick(*places)))
        if self.chance(0.4):
            found.append(self.variable("per_step", ("time",)))
        if self.chance(0.4):
            found.append(self.variable("fixed", self.pick(("y", "x"), ("x",), ())))
        if self.chance(0.3):
            found.append(self.variable("sub/v", self.pick(*places)))
            if self.chance(0.4):
                found.append(self.variable("sub/deep/w", ("time", "x")))
        return found

    # -- forms

    def form(self, variable: Variable, cells: Cells, zarr_format: int, *, first: bool) -> Form:
        """Return a form that holds these cells; the first one is to hold all cells."""
        holds = variable.truth if first else cells
        found: Form = getattr(self, f"form_{variable.kind}")(variable, holds, zarr_format, first=first)
        found.layout = self.layout(variable, cells.shape, zarr_format, found)
        if np.dtype(found.dtype).kind in "biufc" and self.chance(0.15):
            found.tool = "tensorstore"
        return found

    def marker(self, variable: Variable, dtype: np.dtype[Any]) -> Any:
        wanted = variable.options.get("marker", "max")
        if dtype.kind == "f":
            return float("nan") if wanted in ("nan", "max", "min") else float(dtype.type(wanted))
        wanted = "max" if wanted == "nan" else wanted
        if wanted in ("max", "min"):
            info = np.iinfo(dtype)
            return int(info.max) if wanted == "max" or dtype.kind == "u" else int(info.min)
        return int(wanted)

    def marked(self, form: Form, variable: Variable, zarr_format: int, *, first: bool, gaps: bool) -> Form:
        """Add a fill value and a marker to a form of numbers."""
        dtype = np.dtype(form.dtype)
        marker = self.marker(variable, dtype)
        attribute = marker
        nan = dtype.kind == "f"
        form.missing = [marker, float("nan")] if nan else [marker]
        plain = not gaps or (nan and self.chance(0.3))
        if variable.label or (plain and not (first and variable.options.get("gaps")) and self.chance(0.6)):
            form.missing = [float("nan")] if nan else []
            form.fill = self.pick("default", "default", marker) if "zero" not in LEFT_OUT else marker
            if zarr_format == 2 and self.chance(0.5):
                form.fill = None
            if not variable.label and variable.family in ("int", "float") and self.chance(0.3) and zarr_format == 3:
                form.fill = self.stored(variable.options["alike"], form)
            if not variable.label and variable.options.get("zeros") and self.chance(0.3):
                form.fill = self.stored(variable.options["alike"], form)
            return form
        name = self.pick("_FillValue", "_FillValue", "_FillValue", "missing_value")
        if zarr_format == 3 and dtype.kind == "f" and name == "_FillValue" and self.chance(0.4):
            attribute = base64.standard_b64encode(struct.pack("<d", marker)).decode()  # as xarray does
        if zarr_format == 3:
            form.attrs[name] = attribute
            form.fill = self.pick("default", marker, marker)
            return form
        style = self.pick("both", "both", "attribute", "fill") if not plain else self.pick("both", "differing")
        form.attrs |= {} if style == "fill" else {name: attribute}
        form.fill = {"both": marker, "attribute": None, "fill": marker, "differing": 103}[style]
        if style == "differing":  # to xarray the fill value is the marker, to others the attribute
            form.missing = [float("nan")]
        return form

    def stored(self, value: Any, form: Form) -> Any:
        """Return a fill value that is a value."""
        number = (Fraction(value) - form.offset) / form.scale
        return float(number) if np.dtype(form.dtype).kind == "f" else int(number)

    def endian(self, dtype: str) -> str:
        return np.dtype(dtype).newbyteorder(">" if self.chance(0.2) else "<").str

    def form_number(self, variable: Variable, cells: Cells, zarr_format: int, *, first: bool) -> Form:
        gaps = any(cell is None for cell in cells.ravel())
        options = variable.options
        if variable.family == "packed":
            return self.form_packed(variable, cells, zarr_format, first=first)
        if variable.family == "unsigned":
            attrs = {"_Unsigned": "true"} if first or not options["mixed"] or self.chance(0.5) else {}
            return Form(dtype="i1" if attrs else "u1", attrs=attrs, fill=0 if zarr_format == 3 else None)
        dtype = options["wide"] if first or self.chance(0.5) else self.pick(*options["narrow"])
        if dtype == "i2" and variable.label and max(cells, default=0) > 30_000:
            dtype = "i4"
        form = Form(dtype=self.endian(dtype))
        if variable.family == "complex":
            form.fill = self.pick("default", None) if zarr_format == 2 else "default"
            return form
        return self.marked(form, variable, zarr_format, first=first, gaps=gaps)

    def form_packed(self, variable: Variable, cells: Cells, zarr_format: int, *, first: bool) -> Form:
        gaps = any(cell is None for cell in cells.ravel())
        quantum = variable.options["quantum"]
        whole = [cell / quantum for cell in cells.ravel() if cell is not None]
        if not first and self.chance(0.12):
            form = Form(dtype=self.endian("f8" if quantum.denominator in (10, 100) else self.pick("f4", "f8")))
        else:
            factor = self.pick(Fraction(1), Fraction(1), Fraction(1, 2)) if first or any(n % 2 for n in whole) else self.pick(Fraction(1), Fraction(2))  # fmt: skip
            form = Form(dtype=self.endian("i2" if "packed type" in LEFT_OUT else self.pick("i2", "i2", "i4")), scale=quantum * factor, offset=quantum * factor * self.pick(0, 0, 1, -50, 1000, 7))  # fmt: skip
            if form.offset or self.chance(0.7):
                form.attrs["add_offset"] = float(form.offset)
            if self.chance(0.2) and form.scale.denominator == 1:
                form.attrs["scale_factor"] = int(form.scale)
            else:
                form.attrs["scale_factor"] = float(np.float32(form.scale)) if self.chance(0.1) else float(form.scale)
        marked = replace(variable, options={**variable.options, "marker": self.pick("max", "min")})
        return self.marked(form, marked, zarr_format, first=first, gaps=gaps)

    def form_bool(self, variable: Variable, cells: Cells, zarr_format: int, *, first: bool) -> Form:
        if variable.options["mixed"] and self.chance(0.5):
            return Form(dtype="i1", attrs={"dtype": "bool"}, fill=0 if zarr_format == 3 else None)
        return Form(dtype="bool", fill=self.pick(True, False, *([None] if zarr_format == 2 else [])))

    def form_text(self, variable: Variable, cells: Cells, zarr_format: int, *, first: bool) -> Form:
        size = variable.options["size"]
        if variable.family == "text":
            return Form(
                dtype="O", fill=self.pick("default", "") if zarr_format == 3 else self.pick("default", "", None)
            )
        if variable.family == "U":
            longest = max((len(cell) for cell in cells.ravel()), default=1)
            if not first and self.chance(0.05):
                return Form(dtype="O")
            return Form(dtype=f"{self.pick('<', '>')}U{size if first else self.rng.randint(max(1, longest), size)}")
        chars = variable.options["mixed"] and self.chance(0.5) and "chars" not in LEFT_OUT
        return Form(dtype="S1" if chars else f"S{size}", chars=bool(chars))

    def form_time(self, variable: Variable, cells: Cells, zarr_format: int, *, first: bool) -> Form:
        gaps = any(cell is None for cell in cells.ravel())
        there = [cell for cell in cells.ravel() if cell is not None]
        if variable.family == "numpy":
            fine = [u for u, ns in NUMPY_UNITS.items() if all((c - UNIX) % ns == 0 for c in there)]
            unit = self.pick(*fine) if not first or self.chance(0.5) else "ns"
            return Form(dtype=f"{self.pick('<', '<', '>')}M8[{unit}]", fill=np.datetime64("NaT", unit), missing=[np.datetime64("NaT", unit)])  # fmt: skip
        names = {"standard": ["standard", "gregorian", "proleptic_gregorian", None], "noleap": ["noleap", "365_day"]}
        calendar = self.pick(*names.get(self.calendar, [self.calendar]))
        known = calendar or "standard"
        for _ in range(40):
            unit = self.pick(*(u for u in NS if u != "nanoseconds"))
            since = self.pick("1970-01-01", "2000-01-01 00:00:00", "1950-01-01T06:00:00", "1582-10-04", "1-1-1", "1900-1-1 0:0:0", "own")  # fmt: skip
            if since == "own" and there and self.calendar == "standard":
                day = np.datetime64((min(there) - UNIX) // DAY, "D") if self.calendar == "standard" else "2001-01-01"
                since = f"{day} 00:00:00"
            elif since == "own":
                since = "2001-03-01"
            units = f"{unit if self.chance(0.9) else unit[:-1]} since {since}"
            unit_ns, zero = epoch(units, known)
            numbers = [Fraction(c - zero, unit_ns) for c in there]
            dtype = self.pick("i8", "i8", "i8", "i4", "f8")
            if dtype == "f8":
                moved = max((abs(Fraction(float(n)) - n) * unit_ns for n in numbers), default=Fraction(0))
                if moved > (0 if first or self.chance(0.7) else MICROSECOND / 3):
                    continue
            elif any(n.denominator != 1 for n in numbers) or any(abs(n) >= 2 ** (31 if dtype == "i4" else 62) for n in numbers):  # fmt: skip
                continue
            break
        else:
            dtype, units = "i8", "microseconds since 1970-01-01"
        if variable.bounds_of:
            calendar = known  # a reader inherits it otherwise
        form = Form(dtype=self.endian(dtype), attrs={"units": units} | ({"calendar": calendar} if calendar else {}))
        return self.marked(form, variable, zarr_format, first=first, gaps=gaps)

    def form_duration(self, variable: Variable, cells: Cells, zarr_format: int, *, first: bool) -> Form:
        gaps = any(cell is None for cell in cells.ravel())
        there = [cell for cell in cells.ravel() if cell is not None]
        if variable.family == "numpy":
            fine = [u for u, ns in NUMPY_UNITS.items() if all(c % ns == 0 for c in there)]
            unit = "ns" if first else self.pick(*fine)
            return Form(dtype=f"<m8[{unit}]", fill=np.timedelta64("NaT", unit), missing=[np.timedelta64("NaT", unit)])
        fine = [u for u, ns in NS.items() if all(c % ns == 0 for c in there)]
        unit = self.pick(*fine)
        attrs = {"units": unit} | ({"dtype": "timedelta64[ns]"} if variable.options.setdefault("said", self.chance(0.7)) else {})  # fmt: skip
        if variable.options.setdefault("unit", unit) in fine and self.chance(0.6):
            attrs["units"] = variable.options["unit"]
        return self.marked(Form(dtype="i8", attrs=attrs), variable, zarr_format, first=first, gaps=gaps)

    def layout(self, variable: Variable, shape: tuple[int, ...], zarr_format: int, form: Form) -> dict[str, Any]:
        """Return chunks, shards, codecs, order, keys."""
        again = variable.options.get(f"layout {zarr_format} {form.dtype} {len(shape)}")
        if again is not None and self.chance(0.25):
            return dict(again)  # chunks can be copied, whatever else differs
        found = self.new_layout(variable, shape, zarr_format, form)
        variable.options[f"layout {zarr_format} {form.dtype} {len(shape)}"] = dict(found)
        return found

    def new_layout(self, variable: Variable, shape: tuple[int, ...], zarr_format: int, form: Form) -> dict[str, Any]:
        """Return a layout that need not be like another."""
        alike, common = self.chance(0.55), variable.options.get("chunks", {})
        chunks = [common.get(dim, 2) if alike else self.rng.randint(1, max(1, n)) for dim, n in zip(variable.dims, shape, strict=True)]  # fmt: skip
        dtype, found = np.dtype(form.dtype), {"chunks": chunks, "write_empty": self.chance(0.4)}
        found["order"] = "C" if dtype.kind == "O" else self.pick("C", "C", "F")  # zarr-python takes texts for C order
        if zarr_format == 3:
            found["separator"] = self.pick("/", "/", ".")
            found["keys"] = self.pick("default", "default", "v2")
            found["compressors"] = self.pick(None, "zstd", "zstd", "gzip", "blosc", "crc32c")
            if self.chance(0.35) and chunks:
                found["shards"] = [c * self.rng.randint(1, 3) for c in chunks]
                found["index"] = self.pick("end", "end", "start")
            return found
        found["separator"] = self.pick(".", ".", "/")
        found["compressors"] = self.pick(None, "zlib", "blosc", "zstd", "gzip", "lz4", "bz2")
        if dtype.kind in "iu" and chunks and self.chance(0.15):
            found["filters"] = "delta"
        elif dtype.kind in "iuf" and self.chance(0.1):
            found["filters"] = "shuffle"
        return found

    # -- slices

    def scenario(self) -> Scenario:
        variables = self.variables()
        settings: dict[str, Any] = {"durability": "process"}
        if self.descending:
            settings["label_order"] = self.pick("decreasing", "any")
        if self.chance(0.3):
            settings["label_chunk"] = self.pick("keep", 3, 8)
        for name, probability, choices in (
            ("workers", 0.3, (1, 2)), ("verify", 0.15, (True,)), ("recompress", 0.1, (True,)),
            ("journal", 0.1, ("beside",)), ("memory_limit", 0.1, (2000,)), ("prefetch", 0.1, (1, 2)),
        ):  # fmt: skip
            if self.chance(probability):
                settings[name] = self.pick(*choices)
        made = self.pick("", "", "", "empty", "first", "first", "shrunk")
        zarr_format = self.pick(2, 3)
        if not made and self.chance(0.25):
            settings["zarr_format"] = self.pick(2, 3)
        groups = any("/" in v.path for v in variables)
        slices = []
        start = 0
        for number, length in enumerate(self.lengths):
            one = Slice(number=number, start=start, stop=start + length, variables=variables)
            one.zarr_format = zarr_format if self.chance(0.7) else self.pick(2, 3)
            roll = self.rng.random()
            first_of_target = number == 0 and made in ("", "first", "shrunk")
            memory = not groups and length > 0 and self.calendar == "standard" and not (first_of_target and made)
            plain = not any(v.family in ("complex", "unsigned") or "huge" in v.options for v in variables)
            if memory and plain and roll < 0.1:
                one.tool = one.given = self.pick("mapping", "xarray in memory")
            elif memory and plain and roll < 0.25:
                one.tool = "xarray"
            if one.tool in ("zarr-python", "xarray"):
                one.given = self.pick(
                    "path", "path", "path", "text", "group", "store", "zip", "read", "cells", "mapper"
                )
            if number and self.chance(0.1):
                one.variables = [v for v in variables if v.axis >= 0]
                one.words.append("without static variables")
            if "cells" in LEFT_OUT and one.given == "cells":
                one.given = "read"
            slices.append(one)
            start += length
        if settings.get("label_order") == "any":
            later = slices[1:]
            self.rng.shuffle(later)
            slices[1:] = later
        found = Scenario(seed=self.seed, variables=variables, slices=slices, settings=settings, made=made)
        if not made and self.chance(0.25):
            settings["variables"] = self.configured(variables)
        if self.chance(0.1):
            self.let_lack(found)
        found.mode = self.pick("one call", "one call", "a call each", "a call each", "dry run before", "plans")
        if self.chance(CHANCE_OF_A_BAD_SLICE):
            self.spoil(found)
        return found

    def configured(self, variables: Sequence[Variable]) -> dict[str, Any]:
        """Return how a new target's variables are to be stored, where it differs from the first slice."""
        found: dict[str, Any] = {}
        for variable in variables:
            encoding: dict[str, Any] = {}
            if self.chance(0.4):
                encoding["compressor"] = self.pick({"id": "zlib", "level": 1}, {"id": "zstd", "level": 1}, None)
            if variable.axis >= 0 and self.chance(0.4):
                encoding |= {"chunks": {dim: self.rng.randint(1, 4) for dim in variable.dims}, "shards": None}
            if variable.family == "packed" and variable.axis >= 0 and self.chance(0.5):
                quantum = variable.options["quantum"] * self.pick(Fraction(1), Fraction(1, 2))
                packing = {"scale_factor": float(quantum), "add_offset": float(quantum * self.pick(0, 3, -100))}
                encoding |= {"dtype": "int16", "fill_value": -32768, **packing}
            if (
                variable.kind == "time"
                and variable.family == "cf"
                and self.calendar == "standard"
                and not variable.bounds_of
            ):
                encoding |= self.pick({}, {"units": "milliseconds since 1990-01-01", "dtype": "int64"})
            if encoding:
                found[variable.path] = {"encoding": encoding}
        return found

    def let_lack(self, scenario: Scenario) -> None:
        """Let a later slice lack a variable, whose cells are missing then."""
        may = [v for v in scenario.variables if v.axis >= 0 and not v.label and not v.bounds_of and "/" not in v.path]
        later = [one for one in scenario.slices[1:] if one.stop > one.start]
        if not later or len(may) < 2:
            return
        lacking, one = self.pick(*may), self.pick(*later)
        scenario.settings["on_missing"] = "fill"
        one.variables = [v for v in one.variables if v.path != lacking.path]
        one.words.append(f"without {lacking.path}")

    def spoil(self, scenario: Scenario) -> None:
        """Add a slice that must be refused, whatever its forms."""
        variables, last = scenario.variables, next(s for s in reversed(scenario.slices) if s.stop > s.start)
        bad = Slice(
            number=len(scenario.slices), start=self.total - BEYOND, stop=self.total, zarr_format=self.pick(2, 3)
        )
        labelled = any(v.label and v.path == "time" for v in variables)
        numbers = [v for v in variables if v.kind == "number" and not v.label and v.axis >= 0 and v.family in ("int", "float", "packed")]  # fmt: skip
        static = [v for v in variables if v.axis < 0 and v.kind == "number" and v.truth.size and v.family == "float"]
        along = [v for v in variables if v.axis >= 0 and not v.label and not v.bounds_of]
        bad.variables = list(variables)

        def other(variable: Variable, **changes: Any) -> None:
            bad.variables[bad.variables.index(variable)] = replace(variable, **changes)

        kind = self.pick("altered", "altered", "earlier", "lacks", "size", "static", "units", "extra")
        if kind == "altered" and labelled and numbers and scenario.settings.get("label_order") != "any":
            variable = self.pick(*numbers)
            truth = variable.truth.copy()
            cut = replace(variable, truth=truth).cut(last.start, last.stop)
            index = self.pick(*np.ndindex(cut.shape)) if cut.size else None
            if index is None:
                return
            now = cut[index]
            values = [c for c in variable.truth.ravel() if c is not None and c != now]
            if not values:
                return
            cut[index] = self.pick(*values)
            other(variable, truth=truth)
            bad.start, bad.stop = last.start, last.stop
            bad.bad = f"repeated, but {variable.path} differs at {index}"
        elif kind == "earlier" and labelled and scenario.settings.get("label_order") != "any":
            label = next(v for v in variables if v.path == "time")
            shift = max(label.truth) - min(label.truth) + (self.step if label.kind == "time" else 1)
            moved = label.truth + shift if self.descending else label.truth - shift
            if label.kind == "time" and label.family == "numpy":
                return
            other(label, truth=moved)
            bad.bad = "labels before the last"
        elif kind == "extra" and along:
            variable = self.pick(*along)
            bad.variables.append(replace(variable, path="surplus"))
            bad.bad = "a variable that the target lacks"
        elif kind == "lacks" and along and "on_missing" not in scenario.settings:
            bad.variables.remove(self.pick(*along))
            bad.bad = "lacks a variable"
        elif kind == "size" and any("x" in v.dims for v in along):
            for variable in variables:
                if "x" in variable.dims:
                    longer = np.concatenate([variable.truth, variable.truth.take([-1], axis=variable.dims.index("x"))], axis=variable.dims.index("x"))  # fmt: skip
                    other(variable, truth=longer)
            bad.bad = "another size of x"
        elif kind == "static" and static:
            variable = self.pick(*static)
            truth = variable.truth.copy()
            truth.flat[0] = Fraction(777, 8)
            other(variable, truth=truth)
            bad.bad = f"static {variable.path} differs"
        elif kind == "units" and numbers:
            variable = self.pick(*numbers)
            for one in variables:
                if one is variable:
                    one.attrs["units"] = "K"
            other(variable, attrs={"units": "degC"})
            bad.bad = f"other units of {variable.path}"
        else:
            return
        scenario.slices.append(bad)


# -- storing -------------------------------------------------------------------------------------------------------------


def encoded(cells: Cells, form: Form, kind: str, rng: random.Random) -> Any:
    """Return cells as a form stores them."""
    dtype = np.dtype(form.dtype)
    if kind == "text":
        if form.chars:
            width = 6
            words = [cell.encode().ljust(width, b"\0") for cell in cells.ravel()]
            return np.frombuffer(b"".join(words), "S1").reshape((*cells.shape, width)) if words else np.empty((*cells.shape, width), "S1")  # fmt: skip
        words = [cell.encode() if dtype.kind == "S" else cell for cell in cells.ravel()]
        return np.array(words, object).astype(dtype).reshape(cells.shape)
    units = form.attrs.get("units", "")
    scale, offset = form.scale, form.offset
    if kind == "time" and dtype.kind != "M":
        scale, offset = map(Fraction, epoch(units, form.attrs.get("calendar", "standard")))
    elif kind == "duration" and dtype.kind != "m":
        scale = Fraction(NS[units])
    elif dtype.kind in "mM":
        scale, offset = Fraction(NUMPY_UNITS[np.datetime_data(dtype)[0]]), Fraction(UNIX if dtype.kind == "M" else 0)
    raw = np.empty(cells.shape, "i8" if dtype.kind in "mM" else dtype.newbyteorder("="))
    for index in np.ndindex(cells.shape):
        cell = cells[index]
        if cell is None:
            raw[index] = np.asarray(rng.choice(form.missing)).astype(dtype).astype(raw.dtype) if dtype.kind not in "mM" else np.iinfo("i8").min  # fmt: skip
        elif kind == "bool" or isinstance(cell, complex | float):
            raw[index] = cell
        else:
            number = (Fraction(cell) - offset) / scale
            if dtype.kind != "f" and number.denominator != 1:
                raise WrongError(f"the generator stores {cell} in {form}")
            number = float(number) if dtype.kind == "f" else int(number)
            raw[index] = number - 256 if "_Unsigned" in form.attrs and number > 127 else number
    return raw.view(dtype.newbyteorder("=")).astype(dtype) if dtype.kind in "mM" else raw.astype(dtype)


def codecs(layout: Mapping[str, Any], dtype: np.dtype[Any], zarr_format: int) -> dict[str, Any]:
    import numcodecs
    from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

    name = layout["compressors"]
    if zarr_format == 2:
        made = {"zlib": numcodecs.Zlib(1), "blosc": numcodecs.Blosc("lz4"), "zstd": numcodecs.Zstd(1), "gzip": numcodecs.GZip(1), "lz4": numcodecs.LZ4(), "bz2": numcodecs.BZ2(1)}.get(name)  # fmt: skip
        filters: Any = {
            "delta": lambda: [numcodecs.Delta(dtype.str)],
            "shuffle": lambda: [numcodecs.Shuffle(dtype.itemsize)],
        }
        found = {"compressors": made, "order": layout["order"]}
        if "filters" in layout:
            found["filters"] = filters[layout["filters"]]()
        found["chunk_key_encoding"] = {"name": "v2", "separator": layout["separator"]}
        return found
    made = {"zstd": ZstdCodec(level=1), "gzip": GzipCodec(level=1), "blosc": BloscCodec(typesize=max(1, min(255, dtype.itemsize))), "crc32c": Crc32cCodec()}.get(name)  # fmt: skip
    found = {"compressors": made, "chunk_key_encoding": {"name": layout["keys"], "separator": layout["separator"]}}
    if dtype.kind in "iufcmM" and dtype.itemsize > 1:
        found["serializer"] = BytesCodec(endian="big" if dtype.byteorder == ">" else "little")
    if layout["order"] == "F" and len(layout["chunks"]) > 1:
        found["filters"] = [TransposeCodec(order=tuple(range(len(layout["chunks"])))[::-1])]
    if "shards" in layout:
        found["shards"] = {"shape": tuple(layout["shards"]), "index_location": layout["index"]}
    return found


def store_array(root: Path, variable: Variable, raw: Cells, form: Form, zarr_format: int, *, nczarr: bool) -> None:
    """Write an array by zarr-python, its chunks perhaps by tensorstore."""
    import zarr

    dims, layout = list(variable.dims), dict(form.layout)
    if form.chars:
        dims, layout["chunks"] = [*dims, "string6"], [*layout["chunks"], 6]
        layout["shards"] = [*layout["shards"], 6] if "shards" in layout else None
        layout = {key: value for key, value in layout.items() if value is not None}
        layout.setdefault("compressors", None)
    attrs = {**variable.attrs, **form.attrs}
    if attrs.pop("inherits", False):
        attrs = {key: value for key, value in attrs.items() if key not in ("units", "calendar")}
    options = codecs(layout, raw.dtype, zarr_format)
    if zarr_format == 3:
        options["dimension_names"] = dims
    elif nczarr:
        attrs["_nczarr_array"] = {"dimension_references": [f"/{dim}" for dim in dims], "storage": "chunked"}
    else:
        attrs["_ARRAY_DIMENSIONS"] = dims
    if not (isinstance(form.fill, str) and form.fill == "default"):
        options["fill_value"] = form.fill
    text = raw.dtype == object
    dtype: Any = ("string" if zarr_format == 3 else str) if text else raw.dtype
    array = zarr.create_array(
        str(root / variable.path), shape=raw.shape, dtype=dtype, chunks=tuple(layout["chunks"]), zarr_format=zarr_format,
        attributes=attrs, config={"write_empty_chunks": layout["write_empty"]}, overwrite=True, **options,
    )  # fmt: skip
    if form.tool == "tensorstore" and raw.size:
        import tensorstore as ts

        spec = {"driver": "zarr" if zarr_format == 2 else "zarr3", "kvstore": {"driver": "file", "path": str(root / variable.path)}}  # fmt: skip
        try:
            opened = ts.open(spec, open=True).result()
        except ValueError:  # a codec that it does not know
            form.tool = "zarr-python"
        else:
            opened.write(raw).result()
            return
    array[...] = raw


def store_groups(root: Path, variables: Sequence[Variable], zarr_format: int, attrs: Mapping[str, Any]) -> None:
    import zarr

    zarr.open_group(root, mode="w", zarr_format=zarr_format, attributes=dict(attrs))
    for group in sorted({str(parent) for v in variables for parent in Path(v.path).parents if str(parent) != "."}):
        zarr.open_group(root / group, mode="a", zarr_format=zarr_format)


def consolidate(root: Path, rng: random.Random, zarr_format: int) -> str:
    """Consolidate the root, a nested group, both, or neither."""
    import zarr

    nested = (root / "sub").is_dir() and rng.random() < 0.4 and "nested" not in LEFT_OUT
    whole = rng.random() < 0.6
    if nested:
        zarr.consolidate_metadata(str(root), path="sub", zarr_format=zarr_format)
    if whole:
        zarr.consolidate_metadata(str(root), zarr_format=zarr_format)
    return f"consolidated: {'root ' * whole}{'sub' * nested}"


class Writer:
    """Writes slices and targets of a scenario below a folder."""

    def __init__(self, maker: Maker, scenario: Scenario, folder: Path) -> None:
        self.maker, self.rng, self.scenario, self.folder = maker, maker.rng, scenario, folder

    def store(self, root: Path, one: Slice, *, first: bool, extra: int = 0) -> None:
        """Write a slice by zarr-python, with ``extra`` steps of rubbish after its own."""
        store_groups(root, one.variables, one.zarr_format, {"title": "a scenario"})
        nczarr = one.zarr_format == 2 and not first and self.rng.random() < 0.05
        if nczarr:
            one.words.append("dimensions as NCZarr names them")
        forms: dict[str, Form] = {}
        for variable in one.variables:
            cells = variable.cut(one.start, one.stop)
            if extra and variable.axis >= 0:
                rubbish = variable.truth.take([i % self.maker.total for i in range(one.stop, one.stop + extra)], axis=variable.axis)  # fmt: skip
                cells = np.concatenate([cells, rubbish], axis=variable.axis)
            form = self.maker.form(variable, cells, one.zarr_format, first=first)
            if variable.bounds_of:
                form = self.bounds(form, forms[variable.bounds_of], cells)
            forms[variable.path] = form
            raw = encoded(cells, form, variable.kind, self.rng)
            store_array(root, variable, raw, form, one.zarr_format, nczarr=nczarr)
            shown = {k: v for k, v in form.layout.items() if v is not None}
            one.words.append(f"{variable.path}: {form.dtype} fill {form.fill!r} {form.attrs} {form.tool} {shown}")
        one.words.append(consolidate(root, self.rng, one.zarr_format))

    def bounds(self, form: Form, labels: Form, cells: Cells) -> Form:
        """Let bounds inherit the labels' units, if they fit."""
        if "units" not in labels.attrs or self.rng.random() < 0.4:
            return form
        unit_ns, zero = epoch(labels.attrs["units"], labels.attrs.get("calendar", "standard"))
        whole = all((cell - zero) % unit_ns == 0 for cell in cells.ravel())
        dtype = "i8" if whole else "f8"
        if not whole and any(abs(Fraction(float(Fraction(c - zero, unit_ns))) * unit_ns + zero - c) > MICROSECOND / 3 for c in cells.ravel()):  # fmt: skip
            return form
        kept = {k: v for k, v in labels.attrs.items() if k in ("units", "calendar")}
        return Form(dtype=dtype, fill=None if form.fill is None else "default", attrs={**kept, "inherits": True}, layout=form.layout)  # fmt: skip

    def natural(self, one: Slice) -> dict[str, Any]:
        """Return a slice as programs hold it in memory: name -> (dims, array, attrs, encoding)."""
        found, names = {}, {v.path for v in one.variables}
        for v in one.variables:
            cells, encoding = v.cut(one.start, one.stop), {}
            gaps = any(cell is None for cell in cells.ravel())
            if v.kind in {"time", "duration"}:
                numbers = [np.iinfo("i8").min if c is None else c - (UNIX if v.kind == "time" else 0) for c in cells.ravel()]  # fmt: skip
                values = np.array(numbers, "i8").reshape(cells.shape).view("M8[ns]" if v.kind == "time" else "m8[ns]")
                if v.kind == "time" and (
                    one.number == 0
                    or gaps
                    or "time_bnds" in names
                    or self.maker.step < 10**9
                    or self.rng.random() < 0.5
                ):
                    encoding = {"units": "milliseconds since 2000-01-01", "dtype": "int64"}
                if v.kind == "duration" and (one.number == 0 or gaps):
                    encoding = {"units": "milliseconds", "dtype": "int64"}
                if gaps and encoding:
                    encoding["_FillValue"] = np.iinfo("i8").min
            elif v.kind == "bool":
                values = cells.astype(bool)
            elif v.kind == "text":
                values = cells if v.family == "text" else np.array([c.encode() if v.family == "S" else c for c in cells.ravel()], object).reshape(cells.shape).astype(f"{v.family}6")  # fmt: skip
            elif v.family == "int":
                number = np.array([1 if c is None else int(c) for c in cells.ravel()], v.options["wide"]).reshape(cells.shape)  # fmt: skip
                mask = np.array([c is None for c in cells.ravel()], bool).reshape(cells.shape)
                values = np.ma.masked_array(number, mask) if one.tool == "mapping" and gaps else number
                if one.tool != "mapping" and gaps:
                    values = np.where(mask, np.nan, number.astype("f8"))
                    marker = (
                        101 if number.dtype.itemsize == 8 else self.maker.marker(v, number.dtype)
                    )  # xarray goes by floats
                    encoding = {"dtype": v.options["wide"], "_FillValue": marker}
            else:
                dtype = v.options.get("wide", "f8")
                values = np.array([np.nan if c is None else float(c) for c in cells.ravel()], dtype).reshape(cells.shape)  # fmt: skip
                if v.family == "packed" and self.rng.random() < 0.6:
                    q = v.options["quantum"]
                    encoding = {"dtype": "int16", "scale_factor": float(q), "add_offset": float(q * 8), "_FillValue": -32768}  # fmt: skip
            if isinstance(values, np.ndarray) and one.tool != "mapping" and isinstance(values, np.ma.MaskedArray):
                values = values.filled()
            found[v.path] = (v.dims, values, dict(v.attrs), encoding)
            one.natural[v.path] = values.dtype
            one.words.append(f"{v.path}: {values.dtype} {encoding}")
        return found

    def dataset(self, one: Slice) -> Any:
        import xarray as xr

        made = {}
        for name, (dims, values, attrs, encoding) in self.natural(one).items():
            made[name] = xr.Variable(dims, values, attrs, encoding)
        coords = {n: v for n, v in made.items() if n in ("time", "y", "x")}
        return xr.Dataset({n: v for n, v in made.items() if n not in coords}, coords)

    def write(self, one: Slice, *, first: bool) -> None:
        """Write a slice, or make it in memory, and work out what its cells mean."""
        one.path = self.folder / f"slice-{one.number}.zarr"
        one.truth = {v.path: v.cut(one.start, one.stop).copy() for v in one.variables}
        if one.tool == "mapping":
            one.value = self.natural(one)
            return
        if one.tool == "xarray in memory":
            one.value = self.dataset(one)
            return
        if one.tool == "xarray":
            self.dataset(one).to_zarr(one.path, zarr_format=one.zarr_format, consolidated=self.rng.random() < 0.6)
        else:
            self.store(one.path, one, first=first)
        stored = read_all(one.path, one.variables)
        one.docs = {path: each.doc for path, each in stored.items()}
        self.check(one, stored)
        one.value = given(one)

    def check(self, one: Slice, stored: Mapping[str, Stored]) -> None:
        """Prove that zarr-python reads the truth from a slice, and mark what could be read in two ways."""
        for variable in one.variables:
            wanted, each = one.truth[variable.path], stored[variable.path]
            found = decode(variable.kind, each.raw, each.doc, label=variable.label)
            for index in np.ndindex(found.shape):
                if isinstance(found[index], Either) and wanted[index] is not None:
                    wanted[index] = Either(wanted[index])
            wrong = first_difference(wanted, found, tolerance(variable, each.doc, each.doc))
            if wrong:
                raise RuntimeError(f"the generator is wrong, slice {one.number}, {variable.path}: {wrong}")


class Reading(zapz.Source):
    """A slice on disk, behind the interface for sources of one's own."""

    def __init__(self, path: Path, *, cells: bool) -> None:
        self.uri = f"reading {path.name}"
        self.path, self.by_cells = path, cells

    def documents(self) -> dict[str, bytes]:
        names = {"zarr.json", ".zgroup", ".zarray", ".zattrs"}
        return {str(p.relative_to(self.path)): p.read_bytes() for p in self.path.rglob("*") if p.name in names}

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        if self.by_cells or not (self.path / key).is_file():
            raise KeyError(key)
        return (self.path / key).read_bytes()[offset : None if length is None else offset + length]

    def cells(self, path: str, box: Any) -> Any:
        if not self.by_cells:
            return None
        import zarr

        with quiet():
            array = zarr.open_array(str(self.path / path), mode="r")
            return np.asarray(array[tuple(slice(low, high) for low, high in box)])


def given(one: Slice) -> Any:
    """Return what zapz is given for a slice on disk."""
    import zarr

    if one.given == "group":
        return zarr.open_group(str(one.path), mode="r", use_consolidated=False)
    if one.given == "store":
        return zarr.storage.LocalStore(one.path, read_only=True)
    if one.given == "mapper":
        import fsspec

        return fsspec.get_mapper(str(one.path))
    if one.given == "zip":
        packed = one.path.with_suffix(".zip")
        with zipfile.ZipFile(packed, "w") as archive:
            for each in sorted(p for p in one.path.rglob("*") if p.is_file()):
                archive.write(each, each.relative_to(one.path))
        return packed
    if one.given in ("read", "cells"):
        return Reading(one.path, cells=one.given == "cells")
    return str(one.path) if one.given == "text" else one.path


# -- what may be refused -------------------------------------------------------------------------------------------------


@dataclass
class Doubts:
    """Why a slice must be refused, and why it may be."""

    must: list[str] = field(default_factory=list)
    may: list[str] = field(default_factory=list)


def tolerance(variable: Variable, source: Doc | None, target: Doc) -> Fraction:
    """Return by how much a value may differ: 1 microsecond where floats count time; less than a quantum where decimals were packed."""
    if variable.kind == "time" and any(doc is not None and doc.dtype.kind == "f" for doc in (source, target)):
        return MICROSECOND
    return variable.options.get("tolerance", Fraction(0)) if variable.kind == "number" else Fraction(0)


def doubts(one: Slice, target: Mapping[str, Doc]) -> Doubts:
    """Return what stands against appending a slice to a target with these documents."""
    found = Doubts([one.bad] if one.bad else [])
    for variable in one.variables:
        if variable.path in target:
            doc = (one.docs or {}).get(variable.path)
            about = Doubts()
            DOUBTS[variable.kind](variable, one, doc, target[variable.path], about)
            if variable.axis < 0:  # static: values decide, whatever their form; the target's stay
                about = Doubts([], about.must + about.may)
                rounded = tolerance(variable, doc, target[variable.path]) > 0
                if rounded or any(cell is None for cell in one.truth[variable.path].ravel()):
                    about.may.append("static cells that are missing or rounded, perhaps in other forms")
            found.must += [f"{variable.path}: {why}" for why in about.must]
            found.may += [f"{variable.path}: {why}" for why in about.may]
    return found


def values(cells: Cells) -> list[Any]:
    """Return what is not missing."""
    return [c.value if isinstance(c, Either) else c for c in cells.ravel() if c is not None]


def doubt_markers(one: Slice, variable: Variable, doc: Doc | None, target: Doc, stored: Callable[[Any], Any], found: Doubts) -> None:  # fmt: skip
    """Look at missing cells, and at values that the target takes for missing."""
    cells = one.truth[variable.path]
    gaps = any(cell is None for cell in cells.ravel())
    said_by, only_fill = explicit(target), implicit(target)
    conflict = bool(said_by and only_fill) and not any(bool(m == only_fill[0]) or m != m for m in said_by)  # noqa: PLR0124
    if gaps and target.dtype.kind != "f" and not said_by and not only_fill:
        times = variable.kind in ("time", "duration") and target.dtype == np.dtype(
            "i8"
        )  # NumPy's NaT is missing to xarray
        (found.may if times else found.must).append("missing cells, and the target has no marker")
    if gaps and conflict:
        found.may.append("the target has two markers")
    for value in values(cells):
        kept = stored(value)
        if any(kept == marker for marker in said_by):
            found.must.append(f"{value} is the target's marker")
        elif any(kept == marker for marker in only_fill):
            found.may.append(f"{value} is the target's fill value")
    if doc is not None and implicit(doc) and doc.fill == doc.fill:
        unclear = any(isinstance(cell, Either) for cell in cells.ravel()) or (gaps and not explicit(doc))
        meaning = [
            [d.attr(name) for name in ("units", "calendar", "scale_factor", "add_offset")] for d in (doc, target)
        ]
        alike = target.zarr_format == 2 and explicit(doc) == said_by and bool(target.fill == doc.fill) and doc.dtype == target.dtype  # fmt: skip
        if unclear and not (alike and meaning[0] == meaning[1]):
            found.may.append("cells that equal the fill value, which no attribute explains")


def doubt_number(variable: Variable, one: Slice, doc: Doc | None, target: Doc, found: Doubts) -> None:
    dtype = doc.dtype if doc is not None else np.dtype(one.natural[variable.path])
    cells = one.truth[variable.path]
    unsigned = [d.attrs.get("_Unsigned") for d in (doc, target) if d is not None]
    if len(set(unsigned)) > 1:
        found.may.append("_Unsigned on one side")
        return
    packed = target.packed or (doc is not None and doc.packed)
    scale, offset = (Fraction(target.attrs.get("scale_factor", 1)), Fraction(target.attrs.get("add_offset", 0)))
    integers = target.dtype.kind in "iu"

    def stored(value: Any) -> Any:
        return value if not isinstance(value, int | Fraction) or not (packed and integers) else round((Fraction(value) - offset) / scale)  # fmt: skip

    if packed and integers:
        info = np.iinfo(target.dtype)
        if any(not isinstance(v, int | Fraction) or not info.min <= stored(v) <= info.max for v in values(cells)):
            found.must.append("outside of the packed range")
        if not target.packed:
            found.may.append("packed into whole numbers")
    elif packed and target.dtype.itemsize < 8:
        found.may.append("packed numbers into small floats")
    elif not packed and not np.can_cast(dtype, target.dtype):
        (found.may if doc is None else found.must).append(f"{dtype} into {target.dtype} is not safe")
    if dtype.kind in "iu" and dtype.itemsize == 8 and target.dtype.kind == "f" and any(abs(v) > 2**53 for v in values(cells)):  # fmt: skip
        found.may.append("numbers that no float holds")
    if not variable.label and dtype.kind != "c":
        doubt_markers(one, variable, doc, target, stored, found)


def doubt_time(variable: Variable, one: Slice, doc: Doc | None, target: Doc, found: Doubts) -> None:
    cells = one.truth[variable.path]
    if target.dtype.kind == "M":
        unit = NUMPY_UNITS[np.datetime_data(target.dtype)[0]]
        if doc is not None and doc.dtype.kind != "M":
            found.may.append("CF time into datetime64")
        if any((v - UNIX) % unit for v in values(cells)):
            found.must.append("instants that the target's unit does not hold")
        elif doc is not None and not np.can_cast(doc.dtype, target.dtype):
            found.may.append("datetime64 into a coarser unit")
        return
    if doc is not None and doc.dtype.kind == "M":
        found.may.append("datetime64 into CF time")
    mine, yours = (d.attr("calendar", "standard") if d is not None else "standard" for d in (doc, target))
    if SAME_LINE.get(mine) != SAME_LINE.get(yours):
        found.may.append("other calendars")
        return
    unit_ns, zero = epoch(target.attr("units"), yours)
    numbers = [Fraction(v - zero) / unit_ns for v in values(cells)]
    doubt_numbers(numbers, unit_ns, doc, target, found)
    if not variable.label:
        doubt_markers(one, variable, doc, target, lambda v: Fraction(v - zero) / unit_ns, found)


def doubt_numbers(numbers: list[Fraction], unit_ns: int, doc: Doc | None, target: Doc, found: Doubts) -> None:
    """Look whether a target holds these numbers of its unit."""
    if target.dtype.kind == "f":
        moved = max((abs(Fraction(float(n)) - n) * unit_ns for n in numbers), default=Fraction(0))
        if moved > MICROSECOND / 2:
            (found.must if moved > 2 * MICROSECOND else found.may).append("instants that floats of the target's unit do not hold")  # fmt: skip
    elif doc is not None and doc.dtype.kind == "f":
        if any(Fraction(float(n)) != n or n.denominator != 1 for n in numbers) or True:
            found.may.append("time in floats into integers")
    elif any(n.denominator != 1 for n in numbers):
        found.must.append("instants between those of the target's unit")
    info = np.iinfo(target.dtype) if target.dtype.kind in "iu" else None
    if info is not None and any(not info.min <= n <= info.max for n in numbers):
        found.must.append("instants beyond the target's type")


def doubt_duration(variable: Variable, one: Slice, doc: Doc | None, target: Doc, found: Doubts) -> None:
    cells = one.truth[variable.path]
    if target.dtype.kind == "m" or (doc is not None and doc.dtype.kind == "m"):
        unit = NUMPY_UNITS[np.datetime_data(target.dtype)[0]] if target.dtype.kind == "m" else 1
        if any(v % unit for v in values(cells)):
            found.must.append("durations that the target's unit does not hold")
        if doc is None or doc.dtype != target.dtype:
            found.may.append("timedelta64 in another form")
        return
    unit_ns = NS[target.attrs["units"]]
    if doc is None and "dtype" not in target.attrs:
        found.may.append("timedelta64 into numbers with a unit")
    if doc is not None and doc.attrs["units"] != target.attrs["units"]:
        found.may.append("durations in other units")
    doubt_numbers([Fraction(v, unit_ns) for v in values(cells)], unit_ns, doc, target, found)
    doubt_markers(one, variable, doc, target, lambda v: Fraction(v, unit_ns), found)


def doubt_text(variable: Variable, one: Slice, doc: Doc | None, target: Doc, found: Doubts) -> None:
    dtype = doc.dtype if doc is not None else np.dtype(one.natural[variable.path])
    chars = {d.dtype.kind == "S" for d in (doc, target) if d is not None} == {True} and (is_chars(target) or (doc is not None and is_chars(doc)))  # fmt: skip
    if chars:
        return
    if dtype.kind != target.dtype.kind:
        found.may.append("other kinds of text")
    elif dtype.kind in "US" and dtype.itemsize > target.dtype.itemsize:
        found.must.append("longer text")


def doubt_bool(variable: Variable, one: Slice, doc: Doc | None, target: Doc, found: Doubts) -> None:
    """A bool in any form may follow one in any other."""


DOUBTS = {
    "number": doubt_number,
    "time": doubt_time,
    "duration": doubt_duration,
    "text": doubt_text,
    "bool": doubt_bool,
}


# -- running -------------------------------------------------------------------------------------------------------------


class FoundError(AssertionError):
    """Something is wrong; the message says what, and the scenario."""


def require(condition: object, message: str) -> None:
    if not condition:
        raise FoundError(message)


class Run:
    """One scenario, carried out and judged."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.maker = Maker(seed)
        self.scenario = self.maker.scenario()
        self.folder = folder
        self.target = folder / "target.zarr"
        self.writer = Writer(self.maker, self.scenario, folder)
        self.accepted: list[Slice] = []
        self.counts: Counter[str] = Counter()
        self.refusals: list[str] = []

    def state(self) -> dict[str, bytes | None]:
        """Return the target as bytes, without the lock."""
        found = tree(self.target) if self.target.is_dir() else {}
        return {path: data for path, data in found.items() if path.partition("/")[0] != ".zapz"}

    def docs(self) -> dict[str, Doc]:
        return {path: each.doc for path, each in read_all(self.target, self.scenario.variables).items()}

    def carry_out(self) -> None:
        """Make everything, append, judge."""
        with quiet():
            self.make()
            before = {one.number: tree(one.path) for one in self.scenario.slices if one.path.is_dir()}
            for group in self.calls():
                self.call(group)
            self.repeat()
            for one in self.scenario.slices:
                if one.number in before:
                    require(tree(one.path) == before[one.number], f"slice {one.number} was changed")
            self.judge()

    def make(self) -> None:
        scenario = self.scenario
        for one in scenario.slices:
            self.writer.write(one, first=one.number == 0 and not scenario.made)
        first = scenario.slices[0]
        if scenario.made:
            stop = first.start if scenario.made == "empty" else first.stop
            cube = Slice(number=-1, start=first.start, stop=stop, zarr_format=self.maker.pick(2, 3), variables=scenario.variables)  # fmt: skip
            extra = self.maker.rng.randint(1, 4) if scenario.made == "shrunk" else 0
            self.writer.store(self.target, cube, first=True, extra=extra)
            if extra:
                self.shrink(cube)
            cube.truth = {v.path: v.cut(cube.start, cube.stop).copy() for v in cube.variables}
            cube.docs = self.docs()
            self.writer.check(cube, read_all(self.target, cube.variables))
            scenario.words += ["  target before:", *(f"    {word}" for word in cube.words)]
            self.accepted.append(cube)

    def shrink(self, cube: Slice) -> None:
        """Let the target's arrays say less than there is: chunks beyond their shape stay."""
        import json

        import zarr

        for variable in cube.variables:
            if variable.axis >= 0:
                place = self.target / variable.path
                document = place / (".zarray" if cube.zarr_format == 2 else "zarr.json")
                meta = json.loads(document.read_text())
                meta["shape"][variable.axis] = cube.stop - cube.start
                document.write_text(json.dumps(meta))
        nested = b"consolidated_metadata" in b"".join(path.read_bytes() for path in self.target.glob("sub/zarr.json"))
        if nested or (self.target / "sub" / ".zmetadata").exists():
            zarr.consolidate_metadata(str(self.target), path="sub", zarr_format=cube.zarr_format)
        zarr.consolidate_metadata(str(self.target), zarr_format=cube.zarr_format)

    def calls(self) -> list[list[Slice]]:
        rest = self.scenario.slices[0 if self.scenario.made in ("", "empty") else 1 :]
        return [rest] if self.scenario.mode == "one call" else [[one] for one in rest]

    def call(self, group: list[Slice]) -> None:
        """Append some slices, and go on after those that are refused."""
        while group:
            refused = self.attempt(group)
            if refused is None:
                return
            group = group[group.index(refused) + 1 :]

    def attempt(self, group: list[Slice]) -> Slice | None:
        """Append slices until one is refused; return it."""
        states = [self.state()]
        done: list[Slice] = []
        willing: bool | None = None
        if self.scenario.mode == "dry run before":
            willing = self.dry_run(group)

        def on_slice(report: Any) -> None:
            done.append(group[len(done)])
            states.append(self.state())

        try:
            self.append(group, on_slice)
        except zapz.ZapzError as error:
            one, refusal = group[len(done)], error
        else:
            one, refusal = None, None
            require(len(done) == len(group), f"{len(done)} reports for {len(group)} slices")
        self.nothing_is_left()
        require(self.state() == states[-1], f"the target is not as it was before the refusal: {refusal}")
        for each in done:
            self.accept(each)
        if willing is False:
            require(one is not None, "what a dry run refused was appended")
        if one is not None:
            self.refuse(one, refusal)
        return one

    def append(self, group: list[Slice], on_slice: Callable[[Any], None]) -> None:
        given = [one.value for one in group]
        settings = self.scenario.settings
        planned = self.scenario.mode == "plans" and group[0].given in ("path", "text") and self.target.exists()
        if planned and group[0].stop > group[0].start and "label_order" not in settings and not group[0].bad:
            names = {k: v for k, v in settings.items() if k != "prefetch"}
            plan = zapz.plan(self.target, given[0], **names)
            again = zapz.Plan.from_json(plan.to_json())
            zapz.execute(again, **{k: v for k, v in names.items() if k in ("durability", "workers", "journal")})
            on_slice(None)
            return
        told, before = [], self.state()

        def tell(report: Any) -> None:
            told.append(report)
            on_slice(report)

        try:
            zapz.append(self.target, given, on_slice=tell, **settings)
        except zapz.ZapzError as refusal:
            if told or len(given) == 1:
                raise
            # Refused as a whole, perhaps: one after another shows which of them may not follow.
            require(self.state() == before, f"the target is not as it was before the refusal: {refusal}")
            zapz.append(self.target, iter(given), on_slice=on_slice, **settings)
            raise FoundError(f"slices were refused as a whole, and none of them alone: {refusal}") from refusal

    def dry_run(self, group: list[Slice]) -> bool:
        before = tree(self.folder)
        try:
            zapz.append(self.target, [one.value for one in group], dry_run=True, **self.scenario.settings)
        except zapz.ZapzError:
            willing = False
        else:
            willing = True
        require(tree(self.folder) == before, "a dry run changed something")
        return willing

    def accept(self, one: Slice) -> None:
        if one.stop == one.start:
            self.counts["empty"] += 1
            return
        found = self.doubts(one, self.docs())
        self.accepted.append(one)
        require(not found.must, f"slice {one.number} was appended, and must be refused: {'; '.join(found.must[:3])}")
        self.counts["doubtful, appended" if found.may else "appended"] += 1

    def refuse(self, one: Slice, error: zapz.ZapzError | None) -> None:
        found = self.doubts(one, self.docs() if self.target.exists() else {})
        if not self.target.exists():
            found.may += self.unclear_under_other_units(one)
        if one.stop == one.start:
            found.may.append("it is empty")
        require(found.must or found.may, f"slice {one.number} was refused wrongly: {type(error).__name__}: {error}")
        self.counts["refused" if found.must else "doubtful, refused"] += 1
        self.refusals.append(f"{'must' if found.must else 'may'}: {(found.must or found.may)[0]} | {error}")

    def doubts(self, one: Slice, target: Mapping[str, Doc]) -> Doubts:
        """Return what stands against a slice; one that repeats a slice which was refused is a new one."""
        found = doubts(one, target)
        if one.bad.startswith("repeated") and all(other.start != one.start for other in self.accepted):
            found.may.append(found.must.pop(0))
        return found

    def unclear_under_other_units(self, one: Slice) -> list[str]:
        """Return the variables of a new target whose cells equal a v2 fill value, and would be changed to other units."""
        found: list[str] = []
        for path, settings in self.scenario.settings.get("variables", {}).items():
            doc = (one.docs or {}).get(path)
            if doc is not None and "units" in settings["encoding"] and implicit(doc) and not explicit(doc):
                cells = one.truth[path].ravel()
                if any(cell is None or isinstance(cell, Either) for cell in cells):
                    found.append(f"{path}: cells that equal the fill value, which no attribute explains")
        return found

    def repeat(self) -> None:
        """Append a slice again: nothing changes."""
        labelled = any(v.path == "time" for v in self.scenario.variables)
        last = self.accepted[-1] if self.accepted else None
        if not labelled or last is None or last.number < 0 or not self.maker.chance(0.4) or self.scenario.settings.get("label_order") == "any":  # fmt: skip
            return
        target = self.docs()
        if doubts(last, target).may or any(tolerance(v, (last.docs or {}).get(v.path), target[v.path]) for v in last.variables):  # fmt: skip
            return
        before = self.state()
        try:
            report = zapz.append(self.target, [last.value], **self.scenario.settings)
        except zapz.ZapzError as error:
            raise FoundError(f"slice {last.number}, given again, is refused: {error}") from error
        require(report.already == 1, f"slice {last.number}, given again, is not recognised: {report}")
        require(self.state() == before, f"slice {last.number}, given again, changed the target")
        self.counts["repeated"] += 1

    def lacked(self, variable: Variable, one: Slice, target: Mapping[str, Doc]) -> Cells:
        """Return what the cells of a variable are that a slice lacks: missing, or the fill value where there is no marker."""
        doc, shape = target[variable.path], variable.cut(one.start, one.stop).shape
        if variable.kind in {"number", "time", "duration"} and (explicit(doc) or implicit(doc)):
            return np.full(shape, None, object)
        says = variable.kind == "time" or (variable.kind == "duration" and "dtype" in doc.attrs)
        says = says and doc.dtype.newbyteorder("=") == np.dtype("i8")  # only its least number is NaT
        if (
            doc.dtype.kind in "mMfc" or says
        ):  # NaN and NaT need no marker; a unit alone makes numbers no durations to a reader
            return np.full(shape, None, object)
        empty = {"S": b"", "U": "", "O": "", "b": False}.get(doc.dtype.kind, 0)
        raw = np.full(shape + ((6,) if is_chars(doc) else ()), empty if doc.fill is None else doc.fill, doc.dtype.newbyteorder("="))  # fmt: skip
        return decode(variable.kind, raw, doc, label=True)

    def nothing_is_left(self) -> None:
        require(not (self.target / ".zapz").exists(), "something of .zapz remains")
        beside = [p.name for p in self.folder.iterdir() if p.name != "target.zarr" and not p.name.startswith("slice-")]  # fmt: skip
        require(not beside, f"beside the target there is {beside}")

    def judge(self) -> None:
        """Read the target, and compare every cell with the truth."""
        if not self.accepted:
            require(not self.target.exists(), "a refused first slice left a target")
            return
        wanted: dict[str, Cells] = {}
        bounds: dict[str, list[Fraction]] = {}
        target = self.docs()
        for variable in self.scenario.variables:
            parts = [one.truth[variable.path] if variable.path in one.truth else self.lacked(variable, one, target) for one in self.accepted if variable.path in one.truth or variable.axis >= 0]  # fmt: skip
            wanted[variable.path] = parts[0] if variable.axis < 0 else np.concatenate(parts, axis=variable.axis)
            bounds[variable.path] = [tolerance(variable, (one.docs or {}).get(variable.path), target[variable.path]) for one in self.accepted]  # fmt: skip
        before = sum(one.stop - one.start for one in self.accepted if one.number < 0)
        judge(self.target, self.scenario.variables, wanted, {path: max(each) for path, each in bounds.items()}, before)


def run(seed: int, folder: Path) -> Run:
    """Carry a scenario out; what is wrong is raised with the seed, the scenario in words, and how to run it again."""
    folder.mkdir(parents=True)
    made = Run(seed, folder)
    try:
        made.carry_out()
    except Exception as error:
        kind = "wrong" if isinstance(error, AssertionError) else f"{type(error).__name__}"
        again = f"ZAPZ_SEED={seed} pytest tests/behaviour/test_differential.py -k seed"
        raise FoundError(f"{kind}: {error}\n{made.scenario}\nrun it again: {again}") from error
    return made


__all__ = ["FoundError", "Run", "run", "said"]
