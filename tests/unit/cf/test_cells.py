"""What an attribute says of one stored value: what xarray decodes it to."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit.expression_values import Cube, Values, value

from zapz.cf.encoding import encoding_of
from zapz.errors import ConfigError
from zapz.expressions.evaluator import Time, cell_of

STORED: list[tuple[str, Any, dict[str, Any]]] = [
    ("integer", np.int16(-3), {}),
    ("large", np.uint64(2**64 - 1), {}),
    ("float", np.float32(0.1), {}),
    ("nan", np.float64("nan"), {}),
    ("marked", np.int16(-1), {"_FillValue": -1}),
    ("also missing", np.int16(-2), {"missing_value": -2}),
    ("marked float", np.float32(9), {"_FillValue": 9.0}),
    ("packed", np.int16(215), {"scale_factor": 0.1, "add_offset": 250.0}),
    ("moved", np.int16(5), {"add_offset": 0.5}),
    ("packed marked", np.int16(-1), {"scale_factor": 0.1, "_FillValue": -1}),
    ("unsigned", np.int8(-1), {"_Unsigned": "true"}),
    ("bool", np.bool_(True), {}),
    ("text", np.str_("é"), {}),
    ("days", np.int32(45), {"units": "days since 2024-01-01"}),
    ("minutes", np.int64(1), {"units": "minutes since 2024-01-01 12:00:30"}),
    ("half seconds", np.int64(1500), {"units": "milliseconds since 2024-01-01"}),
    ("float hours", np.float64(0.75), {"units": "hours since 2024-01-01"}),
    ("360 days", np.int32(59), {"units": "days since 2024-01-01", "calendar": "360_day"}),
    ("noleap", np.int32(59), {"units": "days since 2024-01-01", "calendar": "noleap"}),
    ("julian", np.int32(0), {"units": "days since 1000-02-29", "calendar": "julian"}),
    ("missing time", np.int32(-1), {"units": "days since 2024-01-01", "_FillValue": -1}),
    ("before year 1000", np.int32(0), {"units": "days since 0001-01-01", "calendar": "proleptic_gregorian"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "stored", "attributes"), STORED, ids=[case[0] for case in STORED])
def test_a_stored_value_means_what_xarray_reads(name: str, stored: Any, attributes: dict[str, Any]) -> None:
    raw = xr.Dataset({"v": xr.Variable((), np.asarray(stored), dict(attributes))})
    decoded = xr.decode_cf(
        raw, decode_times=xr.coders.CFDatetimeCoder(time_unit="ns" if name != "before year 1000" else "s")
    )["v"]
    cell = cell_of(encoding_of(np.asarray(stored).dtype, attributes, attributes.get("_FillValue")), stored)
    read = decoded.values[()]
    found = value("{{ ds.v }}", Cube({"v": Values((), lambda _: cell)}))
    if isinstance(cell, Time) and decoded.dtype == object:
        assert found == read.isoformat()
    elif isinstance(cell, Time):
        assert np.isnat(read) if found == "NaT" else np.datetime64(found) == read
    else:
        assert found == read or (found == "NaN" and np.isnan(read))


@pytest.mark.parametrize(
    ("dtype", "stored", "expected"),
    [
        ("datetime64[ns]", 1, "1970-01-01T00:00:00.000000001"),
        ("datetime64[s]", -1, "1969-12-31T23:59:59"),
        ("datetime64[D]", "NaT", "NaT"),
        ("timedelta64[h]", 30, "P1DT6H"),
        ("S4", b"abc", "abc"),
        ("O", "text", "text"),
        ("O", b"bytes", "bytes"),
    ],
)  # fmt: skip
def test_values_of_other_types(dtype: str, stored: Any, expected: str) -> None:
    value_ = (
        stored
        if dtype == "O"
        else np.asarray(stored, "i8").view(dtype)[()]
        if isinstance(stored, int)
        else np.asarray(stored, dtype)[()]
    )
    cell = cell_of(encoding_of(np.dtype(dtype), {}, None), value_)
    assert value("{{ ds.v }}", Cube({"v": Values((), lambda _: cell)})) == expected


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize(
    ("units", "scale"),
    [("days since 1850-01-01", 1), ("days since 2100-01-01", 1), ("seconds since 2100-01-01", 1), ("days since 1850-01-01", -365.0)],
)  # fmt: skip
def test_times_in_floating_point_are_the_shortest_that_is_stored_so(dtype: str, units: str, scale: float) -> None:
    """Every hour of a day is written without the rounding of its number, and leads back to that number."""
    encoding = encoding_of(np.dtype(dtype), {"units": units, "scale_factor": scale}, None)
    origin, unit = units.split(" since ")[1], {"d": 86400, "h": 3600, "s": 1}[units[0]]

    def stored(time: str) -> Any:
        nanoseconds = int((np.datetime64(time, "ns") - np.datetime64(origin, "ns")).astype("i8"))
        return np.dtype(dtype).type(float(Fraction(nanoseconds, 10**9) / unit / Fraction(scale)))

    for hour in range(24):
        time = f"2024-03-05T{hour:02}:20:00"
        cell = cell_of(encoding, stored(time))
        assert isinstance(cell, Time)
        assert cell.iso() == time or dtype == "f4"
        assert stored(cell.iso()) == stored(time)


@pytest.mark.parametrize(
    ("dtype", "stored", "attributes", "found"),
    [
        ("i4", 1, {"units": "months since 2000-01-01"}, "months"),
        ("M8[M]", np.datetime64("2024-01"), {}, "datetime64"),
        ("f8", np.inf, {"units": "days since 2000-01-01"}, "inf"),
        ("c16", 1j, {}, "complex"),
        ("S1", b"\xff", {}, "UTF-8"),
        ("O", [1], {}, "list"),
        ([("a", "i4")], np.zeros((), [("a", "i4")])[()], {}, "a"),
    ],
)  # fmt: skip
def test_what_no_attribute_can_hold_is_refused(dtype: Any, stored: Any, attributes: dict[str, Any], found: str) -> None:
    encoding = encoding_of(np.dtype(dtype), attributes, None)
    v = Values((1,), lambda _: cell_of(encoding, stored))
    with pytest.raises(ConfigError) as caught:
        value("{{ ds.v[0] }}", Cube({"v": v}))
    assert found in caught.value.found
    assert caught.value.where == "attrs.a = '{{ ds.v[0] }}'"
