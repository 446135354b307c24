"""What is measured: the data of each case, its contenders, and the bounds of the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

WORKERS = 2
NAMES = ("a", "b", "c", "d")

Quantity = Literal["seconds", "opens", "peak"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large the cases are."""

    name: str
    """Part of the data folder's name."""
    side: int
    """Height and width of the large variables, in cells."""
    big_slices: int
    """Slices of the aligned append."""
    tiny_slices: int
    """Slices of the long series."""
    zappend_slices: int
    """How many of them zappend appends; its figure is seconds for each."""
    memory_side: int
    """Rows of the slice of which the peak memory is taken; it has twice as many columns."""
    files: int
    """Chunk files in the large target that tiny slices are appended to."""
    labels: int
    """Labels in that target."""


QUICK = Scale(
    name="quick",
    side=1024,
    big_slices=3,
    tiny_slices=100,
    zappend_slices=10,
    memory_side=2000,
    files=1_000,
    labels=10_000,
)
NORMAL = Scale(
    name="normal",
    side=4096,
    big_slices=6,
    tiny_slices=1_000,
    zappend_slices=100,
    memory_side=10_000,
    files=10_000,
    labels=100_000,
)
FULL = Scale(
    name="full",
    side=4096,
    big_slices=6,
    tiny_slices=1_000,
    zappend_slices=1_000,
    memory_side=10_000,
    files=1_000_000,
    labels=340_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One contender of a case."""

    name: str
    """What the table calls it; unique within its case."""
    environment: Literal["zapz", "zappend", "peers"]
    """Where it runs."""
    action: str
    """The name of its function in worker.py."""
    slices: tuple[Path, ...]
    """What it appends."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else its function is given."""
    base: Path | None = None
    """The target to start from, copied before each run; None if there is none yet."""
    in_place: Path | None = None
    """A target too large to copy: run after run appends to it, taking the next `per_run` of
    `slices`."""
    per_run: int = 0
    """Slices of a run in place."""
    in_place_length: int = 0
    """Labels of that target before the first run."""
    check: Literal["append", "tree", "none"] = "append"
    """How verify.py looks at the result."""
    consolidated: bool | None = None
    """False if the contender does not write consolidated metadata."""
    warm: bool = True
    """Whether a small append comes first, outside the measurement."""
    count_opens: bool = False
    """Whether to count the files that are opened."""
    rounds: int | None = None
    """Run no more often than this; for slow contenders."""
    divide: int = 1
    """The seconds are divided by this, to give seconds for each slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a contender is held against."""

    job: str
    """The contender."""
    references: tuple[str, ...] = ()
    """Other contenders, of which the best counts; none if the limit is absolute."""
    limit: float | None
    """At most this many times the reference, or at most this; None if the ratio is only shown."""
    text: str = ""
    """The bound in words."""
    quantity: Quantity = "seconds"
    """What is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row of the requirements: data, contenders that take turns, bounds."""

    name: str
    """What `--only` calls it."""
    title: str
    """What the table says about it."""
    recipes: tuple[dict[str, Any], ...]
    """The data, for prepare.py."""
    jobs: tuple[Job, ...]
    """The contenders, in the order of each round."""
    bounds: tuple[Bound, ...]
    """What must hold."""
    repeat: int | None = None
    """How many rounds if not as many as the command line says."""


def recipe(path: Path, **changes: Any) -> dict[str, Any]:
    """Return the recipe of a small slice in format 2, with changes."""
    usual = {
        "path": str(path),
        "zarr_format": 2,
        "variables": NAMES,
        "shape": (1, 16, 16),
        "chunks": (1, 16, 16),
        "shards": None,
        "codec": "blosc",
        "start": 1_000_000,
        "label_chunk": 1,
        "seed": 0,
        "coordinates": False,
        "files": None,
    }
    return usual | changes


def warm_recipes(data: Path) -> tuple[dict[str, Any], ...]:
    """Return the recipes of the slices that contenders append before they are measured."""
    return tuple(recipe(path, start=number + 1) for number, path in enumerate(warm_slices(data)))


def warm_slices(data: Path) -> tuple[Path, ...]:
    """Return where those slices are."""
    return (data / "warm" / "0.zarr", data / "warm" / "1.zarr")


def aligned(data: Path, scale: Scale) -> Case:
    """Large slices that can be copied unchanged, appended in one call to a new target."""
    slices = tuple(data / "aligned" / f"{number}.zarr" for number in range(scale.big_slices))
    shape = (1, scale.side, scale.side)
    recipes = tuple(
        recipe(path, shape=shape, chunks=(1, 256, 256), start=1_000_000 + number, seed=number, coordinates=True)
        for number, path in enumerate(slices)
    )
    copy: dict[str, Any] = {"environment": "peers", "slices": slices, "check": "tree", "warm": False}
    jobs = (
        Job(name="cp -r", action="cp", settings={"sync": False}, **copy),
        Job(name="zapz, process", environment="zapz", action="zapz", slices=slices, settings=zapz("process")),
        Job(name="cp -r + sync", action="cp", settings={"sync": True}, **copy),
        Job(name="zapz, full", environment="zapz", action="zapz", slices=slices, settings=zapz("full")),
        Job(name="two-thread copier", action="copier", settings={"workers": 2, "sync": False}, **copy),
        Job(name="two-thread copier + sync", action="copier", settings={"workers": 2, "sync": True}, **copy),
        Job(name="zappend", environment="zappend", action="zappend", slices=slices, rounds=3),
        *xarray(slices, None, rounds=3),
    )
    bounds = (
        Bound(job="zapz, process", references=("cp -r",), limit=1.2, text="at most 1.2 x"),
        Bound(job="zapz, process", references=("zappend",), limit=1 / 8, text="8 x faster"),
        Bound(job="zapz, process", references=XARRAY, limit=1 / 10, text="10 x faster"),
        Bound(job="zapz, full", references=("cp -r + sync",), limit=1.5, text="at most 1.5 x"),
        # How far the peers are from a plain copy tells what this machine lets anybody reach.
        *(Bound(job=name, references=("cp -r",), limit=None) for name in ("two-thread copier", "zappend", *XARRAY)),
        Bound(job="two-thread copier + sync", references=("cp -r + sync",), limit=None),
    )
    title = f"aligned append, equal codecs: {scale.big_slices} slices of 4 x 1x{scale.side}x{scale.side} float32"
    return Case(name="aligned", title=title, recipes=recipes, jobs=jobs, bounds=bounds)


def tiny_recipes(data: Path, scale: Scale) -> tuple[dict[str, Any], ...]:
    """Return the recipes of the long series of tiny slices."""
    return tuple(
        recipe(path, variables=NAMES[:3], start=1_000_000 + number, seed=number)
        for number, path in enumerate(tiny_slices(data, scale))
    )


def tiny_slices(data: Path, scale: Scale) -> tuple[Path, ...]:
    """Return where those slices are."""
    return tuple(data / "tiny" / f"{number:04}.zarr" for number in range(scale.tiny_slices))


def tiny(data: Path, scale: Scale) -> Case:
    """Many tiny slices in one call."""
    slices = tiny_slices(data, scale)
    few = slices[: scale.zappend_slices]
    jobs = (
        Job(
            name="zapz, full",
            environment="zapz",
            action="zapz",
            slices=slices,
            settings=zapz("full"),
            divide=len(slices),
        ),
        Job(name="zappend", environment="zappend", action="zappend", slices=few, divide=len(few), rounds=3),
    )
    bounds = (Bound(job="zapz, full", references=("zappend",), limit=1 / 8, text="at most 1/8, for each"),)
    title = f"tiny slices: {len(slices)} appends in one call, seconds for each (zappend: {len(few)} appends)"
    return Case(name="tiny", title=title, recipes=tiny_recipes(data, scale), jobs=jobs, bounds=bounds)


def growth(data: Path, scale: Scale) -> Case:
    """Ten tiny slices appended to a short, a long and a very long target."""
    slices = tiny_slices(data, scale)
    count = 10
    early = recipe(data / "growth" / "early.zarr", shape=(5, 16, 16))
    late = recipe(data / "growth" / "late.zarr", shape=(len(slices) - count, 16, 16))
    large = recipe(data / "growth" / "large.zarr", shape=(scale.labels, 16, 16), start=1, files=scale.files)
    targets = tuple(target | {"variables": NAMES[:3], "label_chunk": 1024} for target in (early, late, large))
    usual: dict[str, Any] = {
        "environment": "zapz",
        "action": "zapz",
        "settings": zapz("full"),
        "count_opens": True,
        "divide": count,
    }
    first, last = "zapz, append 10", f"zapz, append {len(slices)}"
    behind = f"zapz, after {scale.files} chunks and {scale.labels} labels"
    jobs = (
        Job(name=first, slices=slices[5 : 5 + count], base=Path(early["path"]), **usual),
        Job(name=last, slices=slices[-count:], base=Path(late["path"]), **usual),
        Job(
            name=behind,
            slices=slices,
            in_place=Path(large["path"]),
            per_run=count,
            in_place_length=scale.labels,
            **usual,
        ),
    )
    bounds = (
        Bound(job=last, references=(first,), limit=1.2, text="at most 1.2 x"),
        Bound(job=last, references=(first,), limit=1, text="no more opens", quantity="opens"),
        Bound(job=behind, references=(first,), limit=1.2, text="at most 1.2 x"),
        Bound(job=behind, references=(first,), limit=1, text="no more opens", quantity="opens"),
    )
    return Case(
        name="growth",
        title="tiny slices: 10 appends in one call, full durability, seconds for each",
        recipes=(*tiny_recipes(data, scale), *targets),
        jobs=jobs,
        bounds=bounds,
        repeat=9,
    )


def shell(data: Path, scale: Scale) -> Case:
    """One append of a tiny slice as a command of its own."""
    slices = tiny_slices(data, scale)[5:6]
    target = recipe(data / "shell" / "target.zarr", variables=NAMES[:3], shape=(5, 16, 16), label_chunk=1024)
    usual: dict[str, Any] = {"environment": "zapz", "action": "command", "slices": slices, "warm": False}
    command = ["{bin}/zapz", "append", "{target}", "{slice}"]
    imports = ["{bin}/python", "-c", "import numpy, numcodecs, typer"]
    jobs = (
        Job(name="zapz append", settings={"command": command}, base=Path(target["path"]), **usual),
        Job(name="python -c imports", settings={"command": imports}, check="none", **usual),
    )
    bounds = (Bound(job="zapz append", references=("python -c imports",), limit=1.4, text="at most 1.4 x"),)
    return Case(
        name="shell",
        title="one `zapz append` of a tiny slice from the shell, whole process",
        recipes=(*tiny_recipes(data, scale), target),
        jobs=jobs,
        bounds=bounds,
        repeat=21,
    )


def zapz(durability: str) -> dict[str, Any]:
    """Return the settings of zapz."""
    return {"durability": durability, "workers": WORKERS}


XARRAY = ("xarray", "xarray, dask")


def xarray(slices: tuple[Path, ...], base: Path | None, rounds: int | None = None) -> tuple[Job, Job]:
    """Return both ways to append with xarray: without dask and with it."""
    usual: dict[str, Any] = {
        "environment": "peers",
        "action": "xarray",
        "slices": slices,
        "base": base,
        "rounds": rounds,
    }
    without, with_dask = XARRAY
    return Job(name=without, settings={"dask": False}, **usual), Job(name=with_dask, settings={"dask": True}, **usual)


Maker = Callable[[Path, Scale], Case]
