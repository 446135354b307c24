"""A random differential search: whatever form the slices have, zarr-python reads the truth from the target, or they are refused for a reason.

``ZAPZ_SEED=7 pytest tests/behaviour/test_differential.py -k seed`` carries one scenario out. With ``ZAPZ_VOLUME=long`` new seeds are drawn for ten
minutes, or for ``ZAPZ_SECONDS``.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import differential
from kit.differential import FoundError, run
from kit.volumes import VOLUME, volume

import zapz
from zapz.cf.conversion import Conversion, Encoding
from zapz.checks.static import StaticVariables
from zapz.execution.chunk_builder import ChunkBuilder
from zapz.planning.steps import ArrayPlan
from zapz.storage.chunk_reader import ChunkReader

FEW, MANY = 24, 200
"""Scenarios of the plain run, and of the one with faults by the thousand."""
APART = 25
"""Scenarios in one test of the latter, so that two processes share them."""
SECONDS = float(os.environ.get("ZAPZ_SECONDS", "600"))


def search(seeds: Iterable[int], folder: Path) -> Counter[str]:
    """Carry scenarios out, and return what became of their slices."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += run(seed, folder / f"{seed}").counts
    return counts


def looked_at_enough(counts: Counter[str]) -> None:
    """A search in which nearly everything is refused, or could be, finds nothing."""
    slices = sum(counts.values())
    certain = counts["appended"] + counts["refused"] + counts["repeated"] + counts["empty"]
    taken = counts["appended"] + counts["doubtful, appended"] + counts["repeated"]
    assert taken >= 0.6 * slices, f"most slices are refused: {counts}"
    assert certain >= 0.5 * slices, f"most verdicts are open: {counts}"
    assert counts["refused"] >= 0.02 * slices, f"nothing is refused: {counts}"


@pytest.mark.parametrize("part", range(4))
def test_a_few_scenarios(part: int, tmp_path: Path) -> None:
    search(range(part * FEW // 4, (part + 1) * FEW // 4), tmp_path)


@volume
@pytest.mark.parametrize("part", range(MANY // APART))
def test_many_scenarios(part: int, tmp_path: Path) -> None:
    looked_at_enough(search(range(part * APART, (part + 1) * APART), tmp_path))


@volume
@pytest.mark.skipif(VOLUME != "long", reason="takes ten minutes: ZAPZ_VOLUME is not long")
def test_new_scenarios_for_ten_minutes(tmp_path: Path) -> None:
    start, counts, seed = time.monotonic(), Counter[str](), random.SystemRandom().randrange(10**6, 10**9)
    sys.stdout.write(f"seeds from {seed}\n")
    while time.monotonic() - start < SECONDS:
        counts += search([seed], tmp_path)
        seed += 1
    sys.stdout.write(f"to {seed}: {counts}\n")
    looked_at_enough(counts)


@pytest.mark.skipif("ZAPZ_SEED" not in os.environ, reason="ZAPZ_SEED does not name a scenario")
def test_the_scenario_of_a_seed(tmp_path: Path) -> None:
    found = run(int(os.environ["ZAPZ_SEED"]), tmp_path / "scenario")
    sys.stdout.write(f"{found.scenario}\n{found.counts}\n" + "\n".join(found.refusals))


# -- faults that are planted, to be found ------------------------------------------------------------------------------


def skipped_conversion(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Conversion, "apply", lambda self, values: np.asarray(values).astype(self.target.dtype))


def shifted_offset(patch: pytest.MonkeyPatch) -> None:
    right = Encoding.packing.fget
    patch.setattr(Encoding, "packing", property(lambda self: (right(self)[0], right(self)[1] * (1 + 1e-3))))


def zeros_for_missing_chunks(patch: pytest.MonkeyPatch) -> None:
    right = ChunkBuilder._missing_value
    patch.setattr(ChunkBuilder, "_missing_value", lambda self: (np.zeros_like(right(self)[0]), False))


def cells_one_place_off(patch: pytest.MonkeyPatch) -> None:
    right = ChunkReader.part

    def part(self: Any, unit: Any, take: Any, out: Any = None) -> Any:
        cells = right(self, unit, take, out)
        if cells is not None and cells.ndim > 1:
            cells = cells if out is not None else cells.copy()
            cells[...] = np.roll(cells, 1, axis=-1)
        return cells

    patch.setattr(ChunkReader, "part", part)


def boundary_cells_forgotten(patch: pytest.MonkeyPatch) -> None:
    right = ArrayPlan._pieces
    patch.setattr(ArrayPlan, "_pieces", lambda self, unit: tuple(p for p in right(self, unit) if p.origin == "slice"))


def chunks_copied_whatever_their_codecs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("zapz.planning.steps.same_bytes", lambda a, b: True)


def static_variables_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StaticVariables, "check", lambda *_: None)


def around_append(patch: pytest.MonkeyPatch, before: Callable[[Path], Any], after: Callable[[Path, Any, bool], None]) -> None:  # fmt: skip
    """Do something after every append that was no dry run: with what was found before, and whether it succeeded."""
    right = zapz.append

    def append(target: Path, slices: Any, **settings: Any) -> Any:
        found, good = before(target), False
        try:
            report = right(target, slices, **settings)
            good = True
        finally:
            if not settings.get("dry_run"):
                after(target, found, good)
        return report

    patch.setattr(differential.zapz, "append", append)


def consolidated_not_refreshed(patch: pytest.MonkeyPatch) -> None:
    def before(target: Path) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in target.rglob(".zmetadata")} if target.exists() else {}

    def after(target: Path, found: dict[Path, bytes], good: bool) -> None:
        for path, data in found.items():
            path.write_bytes(data)

    around_append(patch, before, after)


def refusal_leaves_a_trace(patch: pytest.MonkeyPatch) -> None:
    def after(target: Path, found: Any, good: bool) -> None:
        if not good and target.is_dir():
            (target / "time").mkdir(exist_ok=True)
            (target / "time" / "left").write_bytes(b"")

    around_append(patch, lambda _: None, after)


def everything_is_refused(patch: pytest.MonkeyPatch) -> None:
    def append(target: Path, slices: Any, **settings: Any) -> Any:
        raise zapz.SliceError("no")

    patch.setattr(differential.zapz, "append", append)


PLANTED = [
    skipped_conversion,
    shifted_offset,
    zeros_for_missing_chunks,
    cells_one_place_off,
    boundary_cells_forgotten,
    chunks_copied_whatever_their_codecs,
    static_variables_not_compared,
    consolidated_not_refreshed,
    refusal_leaves_a_trace,
    everything_is_refused,
]


def finds(plant: Callable[[pytest.MonkeyPatch], None], seeds: Iterable[int], folder: Path) -> int:
    """Return the first seed whose scenario fails with a fault that is planted, and passes without it."""
    for seed in seeds:
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            try:
                run(seed, folder / f"with-{seed}")
            except FoundError:
                pass
            else:
                continue
        run(seed, folder / f"without-{seed}")
        return seed
    raise AssertionError(f"{plant.__name__} is not found")


@volume
@pytest.mark.parametrize("plant", PLANTED)
def test_planted_faults_are_found(plant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path) -> None:
    sys.stdout.write(f"found by seed {finds(plant, range(MANY), tmp_path)}\n")


def test_a_planted_fault_is_found_soon(tmp_path: Path) -> None:
    assert finds(skipped_conversion, range(MANY), tmp_path) < FEW


@pytest.mark.parametrize(
    "counts",
    [
        {"appended": 2, "doubtful, refused": 8},
        {"appended": 2, "refused": 8},
        {"doubtful, appended": 9, "appended": 1, "refused": 1},
        {"appended": 100},
    ],
)
def test_searches_that_look_at_too_little_fail(counts: dict[str, int]) -> None:
    with pytest.raises(AssertionError, match=r"refused|open"):
        looked_at_enough(Counter(counts))
