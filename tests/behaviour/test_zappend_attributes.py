"""Attributes as a user of zappend configures them: of the cube, of its variables, and computed by expressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kit.xcubes import GIVEN, assert_holds, day, days, given, joined, read

import zapz
from zapz.errors import ConfigError, ZapzError

either_way = pytest.mark.parametrize("how", GIVEN)

# -- attributes --------------------------------------------------------------------------------------------------------

FIRST_ATTRS = {"Conventions": "CF-1.8", "title": "first"}
MORE = {"a": 12, "b": True, "list": [1, 2], "text": "no expression }}"}


@either_way
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("keep", {**FIRST_ATTRS, **MORE}),
        ("replace", {"title": "second", **MORE}),
        ("update", {"Conventions": "CF-1.8", "title": "second", **MORE}),
        ("ignore", MORE),
    ],
    ids=["keep", "replace", "update", "ignore"],
)
def test_attrs_update_mode(mode: str, expected: dict[str, Any], how: str, tmp_path: Path) -> None:
    """The first slice's attributes meet those of the second; what is configured wins over both."""
    target = tmp_path / "target.zarr"
    slices = given(how, [day(0, attrs=FIRST_ATTRS), day(1, attrs={"title": "second"})], tmp_path)
    zapz.append(target, slices[:1], attrs=MORE, attrs_update_mode=mode)
    assert read(target).attrs == ({} if mode == "ignore" else FIRST_ATTRS) | MORE
    zapz.append(target, slices[1:], attrs=MORE, attrs_update_mode=mode)
    assert read(target).attrs == expected


@either_way
def test_attributes_of_variables_join_those_of_the_first_slice(how: str, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    slices = days(0, 1)
    slices[0].chl.attrs |= {"units": "mg/m^3", "note": "of the slice"}
    variables = {
        "*": {"attrs": {"project": "sea"}},
        "chl": {"attrs": {"note": "of the configuration", "valid": [0, 9]}},
    }
    zapz.append(target, given(how, slices, tmp_path), variables=variables)
    found = read(target)
    assert found.chl.attrs == {"units": "mg/m^3", "note": "of the configuration", "valid": [0, 9], "project": "sea"}
    assert found.tsm.attrs == {"project": "sea"}
    assert_holds(target, joined(slices))


@pytest.mark.parametrize("key", ["scale_factor", "add_offset", "_FillValue"])
def test_encoding_among_configured_attributes_changes_no_value(key: str, tmp_path: Path) -> None:
    """zappend takes it for encoding; taken for an attribute it would silently change what readers see."""
    target = tmp_path / "target.zarr"
    try:
        zapz.append(target, days(0), variables={"chl": {"attrs": {key: 10}}})
    except ConfigError as error:
        assert key in str(error)
        assert not target.exists()
    else:
        chl = day(0).chl
        assert_holds(target, day(0).assign(chl=chl.where(chl != 10) if key == "_FillValue" else chl))


# -- expressions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ ds.time[0] }}", "2024-01-01T00:00:00"),
        ("{{ ds.time[-1] }}", "2024-01-03T00:00:00"),
        ("{{ lower_bound(ds.time) }}", "2024-01-01T00:00:00"),
        ("{{ upper_bound(ds.time) }}", "2024-01-04T00:00:00"),
        ("{{ lower_bound(ds.time, ref='center') }}", "2023-12-31T12:00:00"),
        ("{{ upper_bound(ds.time, ref='center') }}", "2024-01-03T12:00:00"),
        ("{{ lower_bound(ds.time, ref='upper') }}", "2023-12-31T00:00:00"),
        ("{{ upper_bound(ds.time, ref='upper') }}", "2024-01-03T00:00:00"),
        ("{{ lower_bound(ds.x, ref='lower') }}", 0.0),
        ("{{ upper_bound(ds.x, ref='lower') }}", 1.2),
        ("{{ ds.x[0] }}", 0.0),
        ("{{ ds.x[-1] }}", 1.0),
        ("{{ ds.attrs['title'] }}", "from 0"),
        (" {{ ds.x[0] }} ", " 0.0 "),
        ("from {{ ds.time[0] }} to {{ ds.time[-1] }}", "from 2024-01-01T00:00:00 to 2024-01-03T00:00:00"),
        ("{{ds.x[-1]}}{{ds.x[-1]}}", "1.01.0"),
        ("{{ ds.x[0:2] }}", [0.0, 0.2]),
        ("Chlorophyll A", "Chlorophyll A"),
        ("Chlorophyll A}}", "Chlorophyll A}}"),
        (11, 11),
    ],
    ids=str,
)
@either_way
def test_an_expression_is_evaluated_on_the_whole_cube(text: Any, expected: Any, how: str, tmp_path: Path) -> None:
    """After every append anew."""
    target = tmp_path / "target.zarr"
    zapz.append(target, given(how, days(0, 1, 2), tmp_path), attrs={"value": text}, permit_eval=True)
    value = read(target).attrs["value"]
    assert value == (pytest.approx(expected) if isinstance(expected, float | list) else expected)


def test_an_expression_follows_the_append(tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    attrs = {"first": "{{ ds.time[0] }}", "last": "{{ ds.time[-1] }}"}
    for start, last in ((0, "2024-01-01T00:00:00"), (1, "2024-01-02T00:00:00")):
        zapz.append(target, days(start), attrs=attrs, permit_eval=True)
        assert read(target).attrs["first"] == "2024-01-01T00:00:00"
        assert read(target).attrs["last"] == last


def test_an_expression_needs_no_permission(tmp_path: Path) -> None:
    """It can do nothing that would need one; zappend leaves it as text."""
    zapz.append(tmp_path / "target.zarr", days(0), attrs={"last": "{{ ds.time[-1] }}"})
    assert read(tmp_path / "target.zarr").attrs["last"] == "2024-01-01T00:00:00"


def test_falling_labels_have_the_same_bounds(tmp_path: Path) -> None:
    attrs = {"from": "{{ lower_bound(ds.time) }}", "to": "{{ upper_bound(ds.time) }}"}
    zapz.append(tmp_path / "target.zarr", days(2, 1, 0), append_step="-1D", attrs=attrs, permit_eval=True)
    found = read(tmp_path / "target.zarr").attrs
    assert (found["from"], found["to"]) == ("2024-01-01T00:00:00", "2024-01-04T00:00:00")


@pytest.mark.parametrize(
    "text",
    ["{{ ds.x[0] - ds.x[1] }}", "{{ lower_bound(3) }}", "{{ lower_bound(ds.chl) }}", "{{ N }}", "Chlorophyll {{A"],
)
def test_what_no_expression_can_say_is_refused_before_anything_is_made(text: str, tmp_path: Path) -> None:
    """zappend computes with Python, and leaves what has no end; this language has no arithmetic, and says so."""
    with pytest.raises(ZapzError, match="value"):
        zapz.append(tmp_path / "target.zarr", days(0), attrs={"value": text}, permit_eval=True)
    assert not (tmp_path / "target.zarr").exists()
