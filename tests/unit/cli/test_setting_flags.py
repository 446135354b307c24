"""``--set NAME=VALUE`` on every command, and hints in the shell's words that work when they are followed to the letter."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tomli
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from kit.cubes import quiet
from typer.main import get_command
from typer.testing import CliRunner

import zapz
from zapz.cli.app import app
from zapz.cli.hints import flag_of
from zapz.config.assignments import assigned, nested
from zapz.config.files import resolve
from zapz.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("static=0.01", {"static": 0.01}),
        ("label_order=any", {"label_order": "any"}),
        ("label-order=any", {"label_order": "any"}),
        ("append_step=12h", {"append_step": "12h"}),
        ("workers=4", {"workers": 4}),
        ("verify=true", {"verify": True}),
        ('label_order="any"', {"label_order": "any"}),
        ("attrs.title=a = b", {"attrs": {"title": "a = b"}}),
        ("attrs.day=2024-01-01", {"attrs": {"day": "2024-01-01"}}),
        ("variables.sst.encoding.dtype=int16", {"variables": {"sst": {"encoding": {"dtype": "int16"}}}}),
        ("variables.*.encoding.chunks=[1, 2]", {"variables": {"*": {"encoding": {"chunks": [1, 2]}}}}),
        ('variables."a.b".encoding.dtype=i2', {"variables": {"a.b": {"encoding": {"dtype": "i2"}}}}),
        ("slice_source=xarray:open_dataset", {"slice_source": "xarray:open_dataset"}),
        ("attrs.empty=", {"attrs": {"empty": ""}}),
    ],
)
def test_what_is_assigned(text: str, expected: dict[str, Any]) -> None:
    assert assigned(text).settings == expected


@pytest.mark.parametrize("text", ["static", "=1", "a..b=1", '"a=1', "excluded_variables=[a"])
def test_what_is_no_setting(text: str) -> None:
    with pytest.raises(ConfigError):
        assigned(text)


VALUES = st.one_of(
    st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.lists(st.text(max_size=5))
)


@given(st.sampled_from(["workers", "variables.sst.encoding.fill_value", "excluded_variables"]), VALUES)
def test_flags_say_what_they_are_made_of(name: str, value: Any) -> None:
    """What a hint shows in the shell is read back as the remedy that it stands for."""
    if name == "workers":
        name = "resume_budget"
    *words, text = shlex.split(flag_of(name, value))
    assert words == ["--set"]
    assert assigned(text).settings == nested(name.split("."), value)


def test_an_unknown_setting_is_named_as_it_was_given() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve([assigned("statik=1")], {})
    assert caught.value.where == "--set statik"
    assert "'static'" in caught.value.hint


def test_files_then_set_then_flags(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('label_order = "any"\nworkers = 1\nlock_wait = 1')
    made = resolve([tmp_path / "a.toml", assigned("workers=2"), assigned("lock_wait=2")], {"lock_wait": 3})
    assert (made.label_order, made.workers, made.lock_wait) == ("any", 2, 3)


def test_set_trusts_a_file_as_the_flag_does(tmp_path: Path) -> None:
    (tmp_path / "theirs.toml").write_text("workers = 2")
    theirs = f"simplecache::file://{tmp_path}/theirs.toml"
    with pytest.raises(ConfigError, match="a configuration file from a URI may not set"):
        resolve([theirs], {})
    assert resolve([theirs, assigned("trust_config=true")], {}).workers == 2
    with pytest.raises(ConfigError, match="a configuration file from a URI may not set"):
        resolve([theirs, assigned("trust_config=true")], {"trust_config": False})


TARGETED = [name for name in ("recover", "unlock", "vacuum", "info", "check") if name in get_command(app).commands]  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", TARGETED)
def test_every_command_takes_files_and_settings(command: str, tmp_path: Path) -> None:
    """A target whose journal lies beside it: other commands need to know, and a file says so once."""
    with quiet():
        xr.Dataset({"a": ("time", [1.0])}, {"time": [0]}).to_zarr(tmp_path / "s")
    zapz.append(tmp_path / "t", tmp_path / "s", journal="beside", register=True)
    (tmp_path / "z.toml").write_text('journal = "beside"')
    for words in (["-c", str(tmp_path / "z.toml")], ["--set", "journal=beside"]):
        done = CliRunner().invoke(app, [command, str(tmp_path / "t"), "--json", *words])
        assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, [command, str(tmp_path / "t"), "--set", "journal=there"])
    assert done.exit_code == 2
    assert "--set journal" in done.output


def test_set_is_on_every_command_that_has_a_target() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        arguments = {p.name for p in command.params if isinstance(p, click.Argument) or p.param_type_name == "argument"}
        if "target" in arguments or name == "append":
            flags = {flag for p in command.params for flag in p.opts}
            assert {"-c", "--config", "-s", "--set", "--no-config", "--json"} <= flags, name


# -- hints --------------------------------------------------------------------------------------------------------------


def _slices(tmp_path: Path, *datasets: xr.Dataset, **options: Any) -> list[str]:
    paths = []
    for i, dataset in enumerate(datasets):
        paths.append(str(tmp_path / f"{i}.zarr"))
        with quiet():
            dataset.to_zarr(paths[-1], **options)
    return paths


def _day(i: int, values: Any = None, **coords: Any) -> xr.Dataset:
    values = np.full((1, 4), float(i)) if values is None else values
    return xr.Dataset({"sst": (("time", "x"), values)}, {"time": [i], "x": np.arange(4.0), **coords})


def _flags(output: str) -> list[str]:
    """Return what stands between backticks in a message as words of a shell."""
    return [word for line in re.findall(r"`([^`]*)`", output) for word in shlex.split(line) if line.startswith("-")]


CASES: dict[str, tuple[list[xr.Dataset], dict[str, Any]]] = {
    "rounded coordinate": ([_day(0), _day(1, x=np.arange(4.0) + 1e-9)], {}),
    "wider data type": ([_day(0, np.zeros((1, 4), "f4")), _day(1)], {}),
    "complex numbers": ([_day(0, np.zeros((1, 4), "f4")), _day(1, np.full((1, 4), 1 + 2j))], {}),
    "marker": (
        [_day(0), _day(1, np.array([[1.0, np.nan, 2.0, 3.0]]))],
        {"encoding": {"sst": {"dtype": "int16", "scale_factor": 0.5, "_FillValue": None}}},
    ),
    "units": (
        [
            _day(0).assign_coords(time=("time", [1], {"units": "days since 2023-12-31"})),
            _day(1).assign_coords(time=("time", [6], {"units": "hours since 2024-01-01"})),
        ],
        {},
    ),
    "another dimension": ([_day(0).rename(time="step"), _day(1).rename(time="step")], {}),
}


@pytest.mark.parametrize("case", CASES)
def test_hints_work_in_the_shell_as_they_stand(case: str, tmp_path: Path) -> None:
    """The same command with the flags that the hint names appends both slices, and the data are those of the slices."""
    datasets, options = CASES[case]
    paths = [*_slices(tmp_path, datasets[0], **options), str(tmp_path / "1.zarr")]
    with quiet():
        datasets[1].to_zarr(paths[1])
    target = str(tmp_path / "cube.zarr")
    refused = CliRunner().invoke(app, ["append", target, *paths])
    assert refused.exit_code == 3, refused.output
    flags = _flags(refused.stderr)
    assert flags, refused.stderr
    done = CliRunner().invoke(app, ["append", target, *paths, *flags])
    assert done.exit_code == 0, done.output
    expected = np.concatenate([d["sst"].values for d in datasets])
    with xr.open_zarr(target, decode_times=True) as found:
        np.testing.assert_allclose(found["sst"].values, expected, rtol=1e-6)
        if case == "units":
            hours = (found.time.values - np.datetime64("2024-01-01")) / np.timedelta64(1, "h")
            assert hours.tolist() == [0, 6]


def test_json_has_the_hint_in_the_shells_words_and_the_remedies(tmp_path: Path) -> None:
    paths = _slices(tmp_path, _day(0), _day(1, x=np.arange(4.0) + 1e-9))
    done = CliRunner().invoke(app, ["append", str(tmp_path / "cube.zarr"), *paths, "--json"])
    error = json.loads(done.stdout)["error"]
    assert error["remedies"].keys() == {"static"}
    assert f"`--set static={error['remedies']['static']}`" in error["hint"]


def test_hints_for_variables_are_also_toml(tmp_path: Path) -> None:
    """The line for a configuration file is TOML, and does the same."""
    datasets, _ = CASES["wider data type"]
    paths = _slices(tmp_path, *datasets)
    done = CliRunner().invoke(app, ["append", str(tmp_path / "cube.zarr"), *paths])
    line = re.search(r"in a file: `([^`]*)`", done.stderr)
    assert line is not None, done.stderr
    assert tomli.loads(line[1]) == {"variables": {"sst": {"encoding": {"dtype": "float32"}}}}


REORDERED = {
    "the other way": lambda n: np.arange(n)[::-1],
    "another order": lambda n: np.roll(np.arange(n), 1),
}


@pytest.mark.parametrize("case", REORDERED)
def test_nothing_is_offered_that_appends_data_upside_down(case: str, tmp_path: Path) -> None:
    """Following the hint in xarray gives what a person would want: each value at its own coordinate."""
    order = REORDERED[case](4)
    right = _day(1, np.array([[1.0, 2.0, 3.0, 4.0]]))
    wrong = right.isel(x=order)
    (first,) = _slices(tmp_path, _day(0))
    with quiet():
        wrong.to_zarr(tmp_path / "w.zarr")
    zapz.append(tmp_path / "t", first)
    with pytest.raises(zapz.VariableError) as caught:
        zapz.append(tmp_path / "t", tmp_path / "w.zarr")
    assert not caught.value.remedies
    assert "ignore" not in caught.value.hint
    code = re.search(r"\(in xarray: (ds\.\w+\(.*\))\)\.", caught.value.hint)
    assert code is not None
    with quiet():
        eval(code[1], {"ds": wrong}).to_zarr(tmp_path / "later.zarr")
    zapz.append(tmp_path / "t", tmp_path / "later.zarr")
    with xr.open_zarr(tmp_path / "t") as found:
        xr.testing.assert_equal(found.sst.isel(time=1), right.sst.isel(time=0))


@pytest.mark.parametrize("centred", [True, False])
def test_longitudes_from_another_meridian(centred: bool, tmp_path: Path) -> None:
    """Following the hint in xarray turns the data too; nothing is offered that appends them half a globe off."""
    centred_, east = np.array([-135.0, -45.0, 45.0, 135.0]), np.array([45.0, 135.0, 225.0, 315.0])
    lon, theirs = (centred_, east) if centred else (east, centred_)
    first, right = (
        _day(n, np.array([[1.0, 2.0, 3.0, 4.0]]) + n).rename(x="lon").assign_coords(lon=lon) for n in (0, 1)
    )
    wrong = right.assign_coords(lon=(right.lon + 180) % 360 - 180 if not centred else right.lon % 360).sortby("lon")
    assert wrong.lon.values.tolist() == theirs.tolist()
    zapz.append(tmp_path / "t", first)
    with pytest.raises(zapz.VariableError, match="the same longitudes in another range") as caught:
        zapz.append(tmp_path / "t", wrong)
    assert not caught.value.remedies
    code = re.search(r"\(in xarray: (ds\.\w+\(.*\))\)\.", caught.value.hint)
    assert code is not None
    zapz.append(tmp_path / "t", eval(code[1], {"ds": wrong}))
    with xr.open_zarr(tmp_path / "t") as found:
        xr.testing.assert_equal(found.sst.isel(time=1), right.sst.isel(time=0))


@pytest.mark.parametrize("x", [[3.0, 4.0, 5.0, 6.0], ["t0", "t1", "t2", "t3"]])
def test_coordinates_of_other_places_are_not_ignored(x: list[Any], tmp_path: Path) -> None:
    named = ["s0", "s1", "s2", "s3"] if isinstance(x[0], str) else np.arange(4.0)
    zapz.append(tmp_path / "t", _day(0).assign_coords(x=named))
    with pytest.raises(zapz.VariableError, match="other coordinates") as caught:
        zapz.append(tmp_path / "t", _day(1).assign_coords(x=x))
    assert not caught.value.remedies
    assert "static" not in caught.value.hint
    zapz.append(tmp_path / "u", _day(0).assign_coords(mask=("x", [0, 0, 1, 1])))
    with pytest.raises(zapz.VariableError, match="same grid") as caught:
        zapz.append(tmp_path / "u", _day(1).assign_coords(mask=("x", [0, 1, 1, 1])))
    assert caught.value.remedies == {"static": "ignore"}


@pytest.mark.parametrize("other", ["SST", "temperature"])
def test_a_variable_under_another_name_is_not_filled(other: str, tmp_path: Path) -> None:
    first, second = _slices(tmp_path, _day(0), _day(1).rename(sst=other))
    zapz.append(tmp_path / "t", first)
    with pytest.raises(zapz.VariableError) as caught:
        zapz.append(tmp_path / "t", second)
    assert other in caught.value.found
    code = re.search(r"\(in xarray: (ds\.rename\(.*\))\)\.", caught.value.hint)
    assert code is not None
    with quiet():
        eval(code[1], {"ds": xr.open_zarr(second)}).to_zarr(tmp_path / "later.zarr")
    assert zapz.append(tmp_path / "t", tmp_path / "later.zarr").length == 2


def test_another_variable_may_be_left_out(tmp_path: Path) -> None:
    """It is alike by dimensions and data type only; under the same name in other case it is the same one."""
    first, other, same = _slices(tmp_path, _day(0), _day(1).rename(sst="temperature"), _day(1).rename(sst="SST"))
    zapz.append(tmp_path / "t", first)
    with pytest.raises(zapz.VariableError) as caught:
        zapz.append(tmp_path / "t", same)
    assert not caught.value.remedies
    with pytest.raises(zapz.VariableError, match="If it is another variable") as caught:
        zapz.append(tmp_path / "t", other)
    assert zapz.append(tmp_path / "t", other, **caught.value.remedies).length == 2
    with quiet():
        assert np.isnan(xr.open_zarr(tmp_path / "t")["sst"].values[-1]).all()


def test_order_is_checked_before_units(tmp_path: Path) -> None:
    """A label that neither follows nor fits is refused for its order: finer units would only lead to the next refusal."""
    days = [
        xr.Dataset({"a": ("time", [1.0, 2.0])}, {"time": ("time", [0, 2], {"units": "days since 2024-01-01"})}),
        xr.Dataset({"a": ("time", [1.0])}, {"time": ("time", [36], {"units": "hours since 2024-01-01"})}),
    ]
    paths = _slices(tmp_path, *days)
    zapz.append(tmp_path / "t", paths[0])
    with pytest.raises(zapz.LabelError, match="does not follow") as caught:
        zapz.append(tmp_path / "t", paths[1])
    assert "2024-01-02T12:00" in caught.value.found


@pytest.mark.parametrize(
    ("times", "good"), [([1, 10, 2], False), ([1, 2, 10], True), ([10, 2, 1], True), ([3, 1, 2], False)]
)
def test_a_target_whose_labels_are_in_no_order_is_not_guessed_from_its_last_two(
    times: list[int], good: bool, tmp_path: Path
) -> None:
    slices = [_day(i) for i in times]
    zapz.append(tmp_path / "t", slices, label_order="any")
    follows = 11 if times[0] < times[-1] else 0
    if good:
        assert zapz.append(tmp_path / "t", _day(follows)).length == 4
        return
    with pytest.raises(zapz.LabelError, match="labels are not in order"):
        zapz.append(tmp_path / "t", _day(follows))
    assert zapz.append(tmp_path / "t", _day(follows), label_order="any").length == 4


def test_what_was_not_compared_is_said(tmp_path: Path) -> None:
    """A variable that the slice lacks is no part of what is equal."""
    first, without = _slices(tmp_path, _day(0), _day(0).assign(v=lambda d: d.sst).drop_vars("sst"))
    zapz.append(tmp_path / "t", [first])
    report = zapz.append(tmp_path / "t", without, on_missing="fill", on_extra="ignore")
    assert (report.already, report.slices[0].notes[0]) == (1, "sst: not compared, the slice lacks it")


def _dated(path: Path, days: list[int], **attrs: Any) -> str:
    values = np.arange(len(days) * 4.0).reshape(-1, 4)
    with quiet():
        xr.Dataset(
            {"sst": (("time", "x"), values)}, {"time": ("time", days, {"units": "days since 2024-01-01"})}, attrs
        ).to_zarr(path)
    return str(path)


OTHERWISE: dict[str, tuple[list[str], list[str]]] = {
    "append_step": (["--set", "append_step=1D"], ["--set", "append_step=+"]),
    "append_step in months": (["--set", "append_step=P1M"], ["--set", "append_step=+"]),
    "another encoding": (["--set", "variables.sst.encoding.dtype=float32"], ["--force-new"]),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_what_is_offered_has_the_shells_words_and_works(case: str, tmp_path: Path) -> None:
    given, offered = OTHERWISE[case]
    target = str(tmp_path / "t")
    zapz.append(target, _dated(tmp_path / "0", [30]))
    words = ["append", target, _dated(tmp_path / "1", [32]), *given]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code in {2, 3}, refused.output
    assert _flags(refused.stderr) == offered
    done = CliRunner().invoke(app, [*words, *offered])
    assert done.exit_code == 0, done.output


def test_a_number_among_times_is_read_as_the_hint_says(tmp_path: Path) -> None:
    target = str(tmp_path / "t")
    zapz.append(target, _dated(tmp_path / "0", [0, 1]))
    with quiet():
        xr.Dataset({"sst": ("x", np.zeros(4))}, {"x": range(4)}).to_zarr(tmp_path / "1")
    words = ["append", target, str(tmp_path / "1"), "--label", "value:7"]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 3, refused.output
    units = re.search(r"such as `(--set [^`]*)`", refused.stderr)
    assert units is not None, refused.stderr
    done = CliRunner().invoke(app, [*words, *shlex.split(units[1])])
    assert done.exit_code == 0, done.output
    assert zapz.info(target).labels["time"][1] == "2024-01-08T00:00:00"


def test_a_finding_names_a_flag_of_the_check(tmp_path: Path) -> None:
    path = _dated(tmp_path / "t", [0, 2, 3, 1])
    found = CliRunner().invoke(app, ["check", path])
    assert found.exit_code != 0
    flags = _flags(found.output)
    assert flags == ["--set", "label_order=any"]
    assert CliRunner().invoke(app, ["check", path, *flags]).exit_code == 0
    (finding,) = zapz.check(path).findings
    assert finding.remedies == {"label_order": "any"}
    assert "label_order='any'" in str(finding)


def test_what_a_tolerance_passes_over_is_said_each_time(tmp_path: Path) -> None:
    slices = _slices(tmp_path, _day(0), *(_day(n, x=np.arange(4.0) + n * 1e-9) for n in (1, 2)))
    zapz.append(tmp_path / "t", slices[0])
    for dry in (True, False):
        reports = zapz.append(tmp_path / "t", slices[1:], static=1e-6, dry_run=dry).slices
        said = [
            f"x: differs from the target by at most {gap}; the target's values are kept (static: 1e-06)"
            for gap in ("1e-09", "2e-09")
        ]
        assert [each.notes[0] for each in reports] == said
    assert zapz.append(tmp_path / "t", _day(3), static=1e-6).slices[0].notes == ()


def test_what_is_rounded_is_said_each_time(tmp_path: Path) -> None:
    narrow, *wide = (_day(n, np.full((1, 4), 0.1)) for n in range(3))
    zapz.append(tmp_path / "t", narrow.astype("f4"))
    setting = {"sst": {"encoding": {"dtype": "float32"}}}
    reports = zapz.append(tmp_path / "t", wide, variables=setting).slices
    assert ["sst: rounded to float32" in each.notes for each in reports] == [True, True]
    assert zapz.append(tmp_path / "t", _day(3).astype("f4"), variables=setting).slices[0].notes == ()
