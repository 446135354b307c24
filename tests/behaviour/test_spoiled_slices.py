"""What xarray changes without a word when it writes: zapz keeps the values, or refuses the slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit.cubes import quiet
from kit.slices_kit import KINDS, appended, days, reading, written
from kit.trees import tree

import zapz

both_formats = pytest.mark.parametrize("zarr_format", [2, 3])
NOON = np.array(["2024-01-01T12:00"], "M8[ns]")
SPOILED: dict[str, tuple[Any, dict[str, Any]]] = {
    "NaN without a marker": (np.array([1.0, np.nan]), {"dtype": "int16"}),
    "beyond the type": (np.array([1.0, 300.0]), {"dtype": "uint8"}),
    "below the type": (np.array([1.0, -1.0]), {"dtype": "uint8"}),
    "infinite": (np.array([1.0, np.inf]), {"dtype": "int16", "_FillValue": -1}),
    "beyond the packed range": (np.array([1.0, 1e5]), {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -1}),
    "beyond single precision": (np.array([1.0, 1e300]), {"dtype": "float32"}),
    "integer beyond the integers": (np.array([1, 300]), {"dtype": "int8"}),
    "imaginary": (np.array([1.0, 1j]), {"dtype": "float64"}),
    "the marker as a value": (np.array([1, -1]), {"_FillValue": -1}),
    "a marker that does not fit": (np.array([1.0, 2.0]), {"dtype": "uint8", "_FillValue": 300}),
    "two markers": (np.array([1.0, np.nan]), {"dtype": "int16", "_FillValue": -9, "missing_value": -8}),
    "text cut off": (np.array(["abc", "b"]), {"dtype": "U2"}),
    "noon in days": (NOON.repeat(2), {"units": "days since 2024-01-01", "dtype": "int64"}),
    "seconds beyond the type": (NOON.repeat(2), {"units": "seconds since 1970-01-01", "dtype": "int16"}),
    "moment beyond the float": (NOON.repeat(2) + np.timedelta64(1, "s"), {"units": "days since 1970-01-01", "dtype": "float32"}),
    "no moment, no marker": (np.array(["2024-01-01", "NaT"], "M8[ns]"), {"units": "days since 2024-01-01", "dtype": "int32"}),
    "span as another type": (np.array([36, 12], "m8[h]").astype("m8[ns]"), {"dtype": "timedelta64[s]"}),
    "objects of all sorts": (np.array([1, "a"], object), {}),
    "objects without a type": (np.array([{}, {}], object), {}),
}  # fmt: skip


@both_formats
@pytest.mark.parametrize("case", SPOILED)
def test_a_new_target_holds_the_values_or_is_not_made(case: str, zarr_format: int, tmp_path: Path) -> None:
    values, encoding = SPOILED[case]
    item: dict[str, Any] = {"time": ("time", days(0, 2)), "spoiled": ("time", values, {}, encoding)}
    target = tmp_path / "target.zarr"
    try:
        found = appended(target, item, zarr_format=zarr_format)
    except (zapz.SliceError, zapz.ConfigError) as refusal:
        assert "spoiled" in str(refusal)
        assert not target.exists()
    else:
        plain = xr.Dataset(item | {"spoiled": ("time", values)})
        expected = reading(written(plain, tmp_path / "reference.zarr", zarr_format=zarr_format))
        np.testing.assert_array_equal(found["spoiled"], expected["spoiled"])


SPOILED_LATER: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "NaN without a marker": ([1.0], {"dtype": "int16", "scale_factor": 0.5}, [np.nan]),
    "beyond the packed range": ([1.0], {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -1}, [1e5]),
    "infinite": ([1.0], {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -1}, [np.inf]),
    "between two steps": ([1.0], {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -1, "add_offset": 0.0}, [-0.5]),
    "floats into integers": ([1], {}, [1.5]),
    "double into single": ([np.float32(1)], {}, [1e300]),
    "integer beyond the integers": ([np.int8(1)], {}, [300]),
    "the marker as a value": ([1], {"_FillValue": -1}, [-1]),
    "longer text": (["ab"], {}, ["abc"]),
    "noon in days": (NOON.astype("M8[D]"), {"units": "days since 2024-01-01", "dtype": "int64"}, NOON),
    "no moment, no marker": (NOON, {"units": "hours since 2024-01-01", "dtype": "int32"}, np.array(["NaT"], "M8[ns]")),
    "a time where numbers are": ([1], {}, NOON),
    "a number where times are": (NOON, {}, [1]),
    "a time of another calendar": (NOON, {}, KINDS["calendar"](0, 1)[0, :1]),
}  # fmt: skip
"""Name -> a target's value, its encoding, and what may not follow ("between two steps" packs into the marker)."""


@both_formats
@pytest.mark.parametrize("case", SPOILED_LATER)
def test_what_would_change_a_value_later_is_refused(case: str, zarr_format: int, tmp_path: Path) -> None:
    first, encoding, later = SPOILED_LATER[case]
    target = tmp_path / "target.zarr"
    dataset = xr.Dataset({"time": ("time", days(0, 1)), "spoiled": ("time", np.array(first), {}, encoding)})
    with quiet():
        written(dataset, target, zarr_format=zarr_format)
    before = tree(target)
    with pytest.raises(zapz.SliceError) as refusal:
        zapz.append(target, [{"time": ("time", days(1, 1)), "spoiled": ("time", np.array(later))}])
    assert "spoiled" in str(refusal.value)
    assert tree(target) == before
