"""What a user of zappend configures, setting by setting: the same keys and slices, and the cube that xarray reads afterwards.

Every scenario of zappend's guide, reference and tests that has to do with a setting is stated here in our own words. Where zappend 0.8.0
goes wrong, see ``test_zappend_failures.py``; how slices may be given, ``test_zappend_slices.py``. NetCDF slices and pyramid levels are
not here: zapz does not have them yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit import xcubes
from kit.xcubes import DAY, FIRST, GIVEN, HOUR, assert_holds, day, days, given, joined, read, stored, tree

import zapz
from zapz.errors import ConfigError, DimensionError, LabelError, NotFoundError, SliceError, VariableError, ZapzError


@pytest.fixture(autouse=True)
def _empty_memory() -> Iterator[None]:
    yield
    xcubes.forget_memory()


@dataclass(frozen=True, kw_only=True)
class Case:
    """Slices appended under settings: the cube that must come out, or why the last slice is refused."""

    says: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    slices: Callable[[], Sequence[xr.Dataset]] = lambda: days(0, 1)
    cube: Callable[[Sequence[xr.Dataset]], xr.Dataset] = joined
    refused: type[ZapzError] | None = None
    naming: str = "."
    """What the refusal must name."""

    def play(self, how: str, folder: Path) -> None:
        slices, target = self.slices(), folder / "target.zarr"
        items = given(how, slices, folder)
        if self.refused is None:
            report = zapz.append(target, items, **self.settings)
            assert report.appended == len(slices)
            assert_holds(target, self.cube(slices))
            return
        with pytest.raises(self.refused, match=self.naming):
            zapz.append(target, items, **self.settings)
        if len(slices) > 1 and how == "in memory":
            assert_holds(target, self.cube(slices[:-1]))
        else:  # files are looked at before the first is written
            assert not target.exists()


def cases(*table: Case) -> Callable[..., Any]:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.says) for case in table])


either_way = pytest.mark.parametrize("how", GIVEN)

# -- append_dim, append_step -------------------------------------------------------------------------------------------


def numbered(*labels: float, every: float = 1) -> list[xr.Dataset]:
    return [day(at, labels=[label]) for at, label in enumerate(labels)]


def unlabelled() -> list[xr.Dataset]:
    return [cube.drop_vars("time") for cube in days(0, 1, steps=3)]


def gap() -> xr.Dataset:
    return day(0, labels=[FIRST, FIRST + DAY, FIRST + 3 * DAY])


@either_way
@cases(
    Case(says="days rise by 1D", settings={"append_step": "1D"}, slices=lambda: days(0, 1, 2)),
    Case(says="days within a slice rise by 1D", settings={"append_step": "1D"}, slices=lambda: [day(0, 5), day(5, 2)]),
    Case(says="days fall by -1D", settings={"append_step": "-1D"}, slices=lambda: days(2, 1, 0)),
    Case(
        says="half days rise by 12h",
        settings={"append_step": "12h"},
        slices=lambda: [day(0, 2, every=12 * HOUR), day(2, 2, every=12 * HOUR)],
    ),
    Case(says="24h is a day", settings={"append_step": "24h"}, slices=lambda: days(0, 1)),
    Case(says="a unit alone is one of it", settings={"append_step": "D"}, slices=lambda: days(0, 1)),
    Case(says="7D is a week", settings={"append_step": "7D"}, slices=lambda: days(0, 1, every=7 * DAY)),
    Case(says="1W is seven days", settings={"append_step": "1W"}, slices=lambda: days(0, 7)),
    Case(says="any rise passes +", settings={"append_step": "+"}, slices=lambda: days(0, 1, 5)),
    Case(says="any fall passes -", settings={"append_step": "-"}, slices=lambda: days(5, 1, 0)),
    Case(says="a number for numbers", settings={"append_step": 2}, slices=lambda: numbered(3, 5, 7)),
    Case(says="a negative number", settings={"append_step": -2}, slices=lambda: numbered(7, 5, 3)),
    Case(says="no label variable, no check", settings={"append_step": 1}, slices=unlabelled),
    Case(says="null is no check of steps", settings={"append_step": None}, slices=lambda: days(0, 1, 5)),
    Case(says="a day is not 2D", settings={"append_step": "2D"}, refused=LabelError, naming="append_step|step"),
    Case(
        says="a wrong step within the first slice",
        settings={"append_step": "2D"},
        slices=lambda: [day(0, 3)],
        refused=LabelError,
        naming="step",
    ),
    Case(says="a gap within a slice", settings={"append_step": "1D"}, slices=lambda: [gap()], refused=LabelError),
    Case(says="a fall is no +", settings={"append_step": "+"}, slices=lambda: days(1, 0), refused=LabelError),
    Case(says="a rise is no -", settings={"append_step": "-"}, slices=lambda: days(0, 1), refused=LabelError),
    Case(
        says="labels that fall within a slice are no +",
        settings={"append_step": "+"},
        slices=lambda: [day(0, labels=[FIRST + DAY, FIRST])],
        refused=LabelError,
    ),
    Case(says="a number is none", settings={"append_step": 2}, slices=lambda: numbered(3, 6), refused=LabelError),
    Case(says="a step of zero", settings={"append_step": 0}, slices=lambda: days(0), refused=ConfigError),
    Case(says="a step of nothing", settings={"append_step": ""}, slices=lambda: days(0), refused=ConfigError),
)
def test_append_step(case: Case, how: str, tmp_path: Path) -> None:
    case.play(how, tmp_path)


@either_way
def test_a_number_for_times_counts_in_the_units_that_the_target_stores(how: str, tmp_path: Path) -> None:
    """One is a day here; zappend takes it for seconds, which its guide does not say. Its 86400 is refused, and both sides are named."""
    target = tmp_path / "target.zarr"
    zapz.append(target, given(how, days(0, 1), tmp_path), append_step=1)
    assert_holds(target, joined(days(0, 1)))
    with pytest.raises(LabelError, match="86400 s"):
        zapz.append(target, given(how, days(2), tmp_path), append_step=24 * 60 * 60)


@either_way
@cases(
    Case(
        says="another append dimension",
        settings={"append_dim": "depth"},
        slices=lambda: [day(at, labels=[10.0 * at], dim="depth") for at in range(3)],
        cube=lambda slices: joined(slices, "depth"),
    ),
    Case(
        says="an append dimension that the slice lacks",
        settings={"append_dim": "z"},
        slices=lambda: days(0),
        refused=DimensionError,
        naming="'?z'?",
    ),
)
def test_append_dim(case: Case, how: str, tmp_path: Path) -> None:
    case.play(how, tmp_path)


# -- fixed_dims, included and excluded variables, dims ------------------------------------------------------------------


def with_crs(at: int) -> xr.Dataset:
    """A slice with a variable that only carries attributes."""
    return day(at).assign(spatial_ref=((), 0, {"grid_mapping_name": "latitude_longitude"}))


def without(*names: str) -> Callable[[Sequence[xr.Dataset]], xr.Dataset]:
    return lambda slices: joined([cube.drop_vars(names) for cube in slices])


def flat(at: int) -> xr.Dataset:
    """A slice whose chl has lost its x."""
    cube = day(at)
    return cube.assign(chl=cube.chl.isel(x=0, drop=True))


@either_way
@cases(
    Case(says="fixed_dims as they are", settings={"fixed_dims": {"y": 4, "x": 6}}),
    Case(
        says="fixed_dims of another size",
        settings={"fixed_dims": {"y": 4, "x": 5}},
        slices=lambda: days(0),
        refused=DimensionError,
        naming="x.*5.*6",
    ),
    Case(
        says="fixed_dims that the slice lacks",
        settings={"fixed_dims": {"z": 4}},
        slices=lambda: days(0),
        refused=DimensionError,
        naming="z",
    ),
    Case(
        says="fixed_dims with the append dimension",
        settings={"fixed_dims": {"time": 1}},
        slices=lambda: days(0),
        refused=ConfigError,
        naming="time",
    ),
    Case(
        says="included_variables with their coordinates",
        settings={"included_variables": ["time", "y", "x", "chl"]},
        cube=without("tsm"),
    ),
    Case(
        says="included_variables keep the coordinates they need",
        settings={"included_variables": ["chl"]},
        cube=without("tsm"),
    ),
    Case(
        says="included_variables that nobody has",
        settings={"included_variables": ["chl", "oxygen"]},
        slices=lambda: days(0),
        refused=ZapzError,
        naming="oxygen",
    ),
    Case(says="excluded_variables", settings={"excluded_variables": ["tsm"]}, cube=without("tsm")),
    Case(
        says="included but excluded",
        settings={"included_variables": ["time", "y", "x", "chl", "tsm"], "excluded_variables": ["tsm"]},
        cube=without("tsm"),
    ),
    Case(says="dims as they are", settings={"variables": {"chl": {"dims": ["time", "y", "x"]}}}),
    Case(
        says="dims that the variable does not have",
        settings={"variables": {"chl": {"dims": ["z", "y", "x"]}}},
        slices=lambda: days(0),
        refused=DimensionError,
        naming="chl",
    ),
    Case(
        says="a later slice without a dimension", slices=lambda: [day(0), flat(1)], refused=DimensionError, naming="chl"
    ),
    Case(
        says="a later slice of another size",
        slices=lambda: [day(0), day(1, shape=(5, 6))],
        refused=DimensionError,
        naming="y|4.*5",
    ),
    Case(
        says="a configured variable without dims",
        settings={"variables": {"oxygen": {}}},
        slices=lambda: days(0),
        refused=ZapzError,
        naming="oxygen",
    ),
    Case(
        says="a configured variable with a dimension that nobody has",
        settings={"variables": {"oxygen": {"dims": ["time", "Y", "x"], "encoding": {"dtype": "int16"}}}},
        slices=lambda: days(0),
        refused=ZapzError,
        naming="oxygen",
    ),
    Case(
        says="a configured variable without a type",
        settings={"variables": {"oxygen": {"dims": ["time", "y", "x"]}}},
        slices=lambda: days(0),
        refused=ZapzError,
        naming="oxygen",
    ),
)
def test_outline(case: Case, how: str, tmp_path: Path) -> None:
    case.play(how, tmp_path)


OXYGEN = {"dims": ["time", "y", "x"], "encoding": {"dtype": "int16", "fill_value": -1}, "attrs": {"units": "mg/l"}}


@either_way
def test_a_configured_variable_that_the_slices_lack_is_made_on_request(how: str, tmp_path: Path) -> None:
    """zappend makes it unasked; here it takes ``on_missing``, and without it a refusal says so."""
    target = tmp_path / "target.zarr"
    slices = given(how, days(0, 1), tmp_path)
    with pytest.raises(SliceError, match="oxygen"):
        zapz.append(target, slices, variables={"oxygen": OXYGEN})
    assert not target.exists()
    zapz.append(target, slices, variables={"oxygen": OXYGEN}, on_missing="fill")
    found = read(target)
    assert stored(target).oxygen.dtype == np.int16
    assert found.oxygen.shape == (2, 4, 6)
    assert bool(found.oxygen.isnull().all())
    assert found.oxygen.attrs["units"] == "mg/l"
    assert_holds(target, joined(days(0, 1)).assign(oxygen=found.oxygen))


@either_way
def test_a_variable_that_a_later_slice_lacks_is_missing_there(how: str, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    slices = given(how, [day(0), day(1).drop_vars("tsm")], tmp_path)
    with pytest.raises(VariableError, match="tsm"):
        zapz.append(target, slices)
    zapz.append(target, slices, on_missing="fill")
    found = read(target)
    xr.testing.assert_equal(found.tsm[0], day(0).tsm[0])
    assert bool(found.tsm[1].isnull().all())
    xr.testing.assert_equal(found.chl, joined(days(0, 1)).chl)


@either_way
def test_a_variable_that_only_a_later_slice_has(how: str, tmp_path: Path) -> None:
    """zappend drops it in silence."""
    target = tmp_path / "target.zarr"
    slices = given(how, [day(0), day(1, names=("chl", "tsm", "oxygen"))], tmp_path)
    with pytest.raises(VariableError, match=r"oxygen.*on_extra"):
        zapz.append(target, slices)
    zapz.append(target, slices, on_extra="ignore")
    assert_holds(target, joined(days(0, 1)))


@either_way
def test_the_same_day_twice(how: str, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    report = zapz.append(target, given(how, days(0, 0), tmp_path))
    assert (report.appended, report.already) == (1, 1)
    assert_holds(target, day(0))


# -- target_dir, force_new, dry_run ------------------------------------------------------------------------------------


def test_no_slices_make_no_target(tmp_path: Path) -> None:
    assert zapz.append(tmp_path / "target.zarr", []).appended == 0
    assert not (tmp_path / "target.zarr").exists()


def test_a_target_in_memory(tmp_path: Path) -> None:
    slices = [xcubes.store(cube, f"memory://slice-{at}.zarr") for at, cube in enumerate(days(0, 1, 2, steps=1))]
    assert zapz.append("memory://target.zarr", slices).appended == 3
    assert_holds("memory://target.zarr", joined(days(0, 1, 2)))


def test_the_target_may_be_configured(tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    zapz.append(target, days(0, 1), {"target_dir": str(target), "target_storage_options": {}})
    assert_holds(target, joined(days(0, 1)))


def test_a_target_whose_parent_folder_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="elsewhere"):
        zapz.append(tmp_path / "elsewhere" / "target.zarr", days(0))
    assert tree(tmp_path) == {}


@either_way
def test_force_new(how: str, tmp_path: Path) -> None:
    """No matter if there is a target: afterwards it holds these slices alone, with their outline."""
    target = tmp_path / "target.zarr"
    slices = given(how, [day(0), day(7, 2, names=("oxygen",), shape=(2, 3))], tmp_path)
    zapz.append(target, slices[:1], force_new=True)
    assert_holds(target, day(0))
    zapz.append(target, slices[1:], force_new=True)
    assert_holds(target, day(7, 2, names=("oxygen",), shape=(2, 3)))


def test_force_new_of_several_slices_starts_once(tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    zapz.append(target, days(9))
    zapz.append(target, days(0, 1, 2), force_new=True)
    assert_holds(target, joined(days(0, 1, 2)))


def test_force_new_with_dry_run_leaves_the_target(tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    zapz.append(target, days(0))
    before = tree(tmp_path)
    zapz.append(target, days(5), force_new=True, dry_run=True)
    assert tree(tmp_path) == before


@either_way
def test_dry_run_touches_nothing(how: str, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    slices = given(how, days(0, 1), tmp_path)
    before = tree(tmp_path)
    zapz.append(target, slices[:1], dry_run=True)
    assert tree(tmp_path) == before
    zapz.append(target, slices[:1])
    before = tree(tmp_path)
    zapz.append(target, slices[1:], dry_run=True)
    assert tree(tmp_path) == before
