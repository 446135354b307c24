"""The cases in which chunks are encoded anew, and those that take the peak memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cases import NAMES, WORKERS, XARRAY, Bound, Case, Job, Maker, Scale, aligned, growth, recipe, shell, tiny
from cases import xarray as xarray_jobs
from cases import zapz as zapz_settings

# What zapz may take beside its chunks.
MEMORY_SLACK = 64_000_000
FLOAT32 = 4
# How many slices each of the cases appends.
COUNTS = {"codec": 4, "chunks": 2, "steps": 10, "shards": 4}


def encode(data: Path, scale: Scale, title: str, source: dict[str, Any], target: dict[str, Any]) -> Case:
    """Return a case that appends slices to a target of other encoding.

    Args:
        data: The folder of the data.
        scale: How large the slices are.
        title: What the table says.
        source: How the slices differ from the usual recipe.
        target: How the target differs from the usual recipe.
    """
    name = title.partition(":")[0]
    side, count = scale.side // 2, COUNTS[name]
    slices = tuple(data / name / f"{number}.zarr" for number in range(count))
    usual: dict[str, Any] = {"shape": (1, side, side), "chunks": (1, 256, 256), "coordinates": True}
    mine = usual | source
    steps = mine["shape"][0]
    made = [
        recipe(path, **mine | {"seed": number, "start": 1_000_010 + steps * number})
        for number, path in enumerate(slices)
    ]
    base = data / name / "target.zarr"
    made.append(recipe(base, **usual | {"shape": (10, side, side), "seed": 99, "label_chunk": 1024} | target))
    jobs = (
        Job(
            name="zapz, process",
            environment="zapz",
            action="zapz",
            slices=slices,
            base=base,
            settings=zapz_settings("process"),
        ),
        Job(
            name="tensorstore",
            environment="peers",
            action="tensorstore",
            slices=slices,
            base=base,
            settings={"arrays": (*NAMES, "time")},
            consolidated=False,
        ),
        *xarray_jobs(slices, base),
    )
    bounds = (
        Bound(job="zapz, process", references=XARRAY, limit=1, text="faster"),
        Bound(job="zapz, process", references=("tensorstore",), limit=1.2, text="at most 1.2 x"),
    )
    full_title = f"re-encoding, {title.partition(': ')[2]}; slices: {count} of 4 x {steps}x{side}x{side} float32"
    return Case(name=name, title=full_title, recipes=tuple(made), jobs=jobs, bounds=bounds)


def codec(data: Path, scale: Scale) -> Case:
    """Zlib into Zstandard, equal chunks."""
    title = "codec: zlib slices into a zstd target"
    return encode(data, scale, title, {"codec": "zlib"}, {"codec": "zstd"})


def chunks(data: Path, scale: Scale) -> Case:
    """Chunks of one step into chunks of ten, a slice being as long as two of those."""
    title = "chunks: chunks of 1 into chunks of 10, slices as long as a chunk"
    half = scale.side // 2
    return encode(data, scale, title, {"shape": (10, half, half)}, {"chunks": (10, 256, 256)})


def steps(data: Path, scale: Scale) -> Case:
    """Chunks of one step into chunks of ten, each slice being one step."""
    title = "steps: chunks of 1 into chunks of 10, slices of one step"
    return encode(data, scale, title, {}, {"chunks": (10, 256, 256)})


def shards(data: Path, scale: Scale) -> Case:
    """Chunks into shards."""
    title = "shards: unsharded into sharded"
    source = {"zarr_format": 3, "codec": "zstd"}
    return encode(data, scale, title, source, source | {"shards": (1, scale.side // 4, scale.side // 4)})


def memory(data: Path, scale: Scale) -> Case:
    """The peak memory for large chunks, same and different."""
    height, width = scale.memory_side, 2 * scale.memory_side
    # For 10,000 rows: chunks of 4 MB and of 80 MB, in two shapes each.
    tenth, fifth, half = height // 10, height // 5, height // 2
    small, small_other = (1, tenth, tenth), (1, tenth // 2, 2 * tenth)
    large, large_other = (1, fifth, height), (1, tenth, width)
    v2: dict[str, Any] = {"variables": NAMES[:1], "shape": (1, height, width)}
    v3 = v2 | {"zarr_format": 3, "codec": "zstd"}
    slices = {
        "small": recipe(data / "memory" / "small.zarr", **v2, chunks=small),
        "large": recipe(data / "memory" / "large.zarr", **v2, chunks=large),
        "v3": recipe(data / "memory" / "v3.zarr", **v3, chunks=small),
    }
    # The targets have one step whose chunks do not exist, which costs nothing to make and to copy.
    kinds: list[tuple[str, str, dict[str, Any], int]] = [
        ("small chunks, same", "small", v2 | {"chunks": small}, cells(small)),
        ("small chunks, different", "small", v2 | {"chunks": small_other}, cells(small)),
        ("small chunks into large", "small", v2 | {"chunks": large}, cells(large)),
        ("large chunks, same", "large", v2 | {"chunks": large}, cells(large)),
        ("large chunks, different", "large", v2 | {"chunks": large_other}, cells(large)),
        ("small chunks into shards", "v3", v3 | {"chunks": small, "shards": (1, fifth, height)}, cells(small)),
        (
            "small chunks into other shards",
            "v3",
            v3 | {"chunks": (1, tenth, half), "shards": (1, fifth, height)},
            cells((1, tenth, half)),
        ),
    ]
    targets: list[dict[str, Any]] = []
    jobs: list[Job] = []
    bounds: list[Bound] = []
    for number, (name, source, changes, chunk) in enumerate(kinds):
        base = data / "memory" / f"target-{number}.zarr"
        targets.append(recipe(base, **changes | {"start": 1, "files": 0, "label_chunk": 1024}))
        jobs.append(
            Job(
                name=f"zapz, {name}",
                environment="zapz",
                action="zapz",
                slices=(Path(slices[source]["path"]),),
                base=base,
                settings=zapz_settings("process"),
            )
        )
        limit = 4 * WORKERS * chunk * FLOAT32 + MEMORY_SLACK
        text = f"4 x {WORKERS} x {chunk * FLOAT32 / 1e6:.3g} MB + 64 MB"
        bounds.append(Bound(job=f"zapz, {name}", limit=limit, text=text, quantity="peak"))
    size = height * width * FLOAT32 / 1e6
    title = f"peak memory beyond start-up, a slice of {size:.0f} MB"
    recipes = (*slices.values(), *targets)
    return Case(name="memory", title=title, recipes=recipes, jobs=tuple(jobs), bounds=tuple(bounds), repeat=3)


def cells(shape: tuple[int, int, int]) -> int:
    """Return how many cells a chunk has."""
    return shape[0] * shape[1] * shape[2]


CASES: dict[str, Maker] = {
    "aligned": aligned,
    "tiny": tiny,
    "growth": growth,
    "shell": shell,
    "codec": codec,
    "chunks": chunks,
    "steps": steps,
    "shards": shards,
    "memory": memory,
}
