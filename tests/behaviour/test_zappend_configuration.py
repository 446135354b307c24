"""Configuration files, the command line, and the settings that change no value, as a user of zappend knows them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from kit import xcubes
from kit.xcubes import assert_holds, day, days, given, joined, read, store, stored, tree, zapz_says

import zapz
from zapz.errors import ConfigError, NotFoundError, ZapzError


@pytest.fixture(autouse=True)
def _empty_memory() -> Iterator[None]:
    yield
    xcubes.forget_memory()


# -- files -------------------------------------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {
    "version": 1,
    "zarr_version": 2,
    "fixed_dims": {"y": 4, "x": 6},
    "append_dim": "time",
    "append_step": "1D",
    "excluded_variables": ["tsm"],
    "variables": {"chl": {"dims": ["time", "y", "x"], "encoding": {"chunks": [1, 2, None]}}},
    "attrs": {"title": "the sea"},
}


def written(settings: dict[str, Any], where: Path | str) -> str:
    """Write settings to a file, in the language of its suffix."""
    text = json.dumps(settings) if str(where).endswith("json") else yaml.safe_dump(settings)
    with fsspec.open(str(where), "wt") as file:
        file.write(text)
    return str(where)


def assert_made(target: Path) -> None:
    found = read(target)
    assert (found.attrs["title"], set(found.data_vars)) == ("the sea", {"chl"})
    assert found.chl.encoding["chunks"] == (1, 2, 6)
    assert_holds(target, joined(days(0, 1)).drop_vars("tsm"))


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml", "YAML"])
def test_a_file(suffix: str, tmp_path: Path) -> None:
    zapz.append(tmp_path / "target.zarr", days(0, 1), written(SETTINGS, tmp_path / f"config.{suffix}"))
    assert_made(tmp_path / "target.zarr")


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_file_that_lies_elsewhere(suffix: str, tmp_path: Path) -> None:
    zapz.append(tmp_path / "target.zarr", days(0, 1), written(SETTINGS, f"memory://config.{suffix}"))
    assert_made(tmp_path / "target.zarr")


def test_a_mapping(tmp_path: Path) -> None:
    zapz.append(tmp_path / "target.zarr", days(0, 1), SETTINGS)
    assert_made(tmp_path / "target.zarr")


def test_several_are_merged_and_keywords_win(tmp_path: Path) -> None:
    """Tables are joined at every depth, lists are replaced, the later one wins."""
    base: dict[str, Any] = {
        **SETTINGS,
        "excluded_variables": ["chl", "tsm"],
        "fixed_dims": {"x": 6},
        "attrs": {"title": "overwritten"},
        "variables": {"chl": {"dims": ["time", "y", "x"], "encoding": {"chunks": [9, 9, 9], "fill_value": -9}}},
    }
    more = {
        "excluded_variables": ["tsm"],
        "fixed_dims": {"y": 4},
        "variables": {"chl": {"encoding": {"chunks": [1, 2, None]}}, "tsm": {}},
    }
    config = [written(base, tmp_path / "base.json"), more, written({"append_step": "+"}, tmp_path / "more.yaml")]
    zapz.append(tmp_path / "target.zarr", days(0, 1), config, attrs={"title": "the sea"})
    assert stored(tmp_path / "target.zarr").chl.attrs["_FillValue"] == -9
    assert_made(tmp_path / "target.zarr")


def test_null_takes_a_setting_back(tmp_path: Path) -> None:
    config = [{"append_step": "2D"}, {"append_step": None}]
    zapz.append(tmp_path / "target.zarr", days(0, 1), config)
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))


@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize("text", ["${CUBE_TITLE}", "$CUBE_TITLE"])
def test_variables_of_the_environment(text: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBE_TITLE", "the sea")
    config = written({**SETTINGS, "attrs": {"title": text}}, tmp_path / f"config.{suffix}")
    zapz.append(tmp_path / "target.zarr", days(0, 1), config)
    assert_made(tmp_path / "target.zarr")


def test_a_variable_of_the_environment_may_become_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put in before the file is read."""
    monkeypatch.setenv("CUBE_YEAR", "2024")
    config = written({"attrs": {"year": "$CUBE_YEAR"}}, tmp_path / "config.yaml")
    zapz.append(tmp_path / "target.zarr", days(0), config)
    assert read(tmp_path / "target.zarr").attrs["year"] == 2024


def test_an_unset_variable_of_the_environment_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zappend leaves the text as it is."""
    monkeypatch.delenv("CUBE_TITLE", raising=False)
    with pytest.raises(ConfigError, match="CUBE_TITLE"):
        zapz.append(
            tmp_path / "target.zarr", days(0), written({"attrs": {"title": "$CUBE_TITLE"}}, tmp_path / "c.json")
        )
    assert not (tmp_path / "target.zarr").exists()


@pytest.mark.parametrize("text", ["what?", "- 1\n- 2\n", "'", "a: [1\n"])
def test_a_file_that_holds_no_settings(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        zapz.append(tmp_path / "target.zarr", days(0), tmp_path / "config.yaml")
    assert not (tmp_path / "target.zarr").exists()


@pytest.mark.parametrize("config", [42, True, b""])
def test_what_is_no_configuration(config: Any, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, TypeError)):
        zapz.append(tmp_path / "target.zarr", days(0), config)
    assert not (tmp_path / "target.zarr").exists()


@pytest.mark.parametrize(
    ("settings", "naming"),
    [
        ({"zarr_version": 1}, "zarr_(version|format)"),
        ({"version": 2}, "version"),
        ({"append_dim": 3}, "append_dim"),
        ({"fixed_dims": {"x": "6"}}, "fixed_dims.x"),
        ({"included_variables": "chl"}, "included_variables"),
        ({"attrs_update_mode": "merge"}, "attrs_update_mode"),
        ({"slice_polling": {"interval": 0, "timeout": 1}}, "slice_polling"),
        ({"profiling": {"keys": ["colour"]}}, "profiling.keys"),
        ({"logging": "LOUD"}, "logging"),
        ({"persist_mem_slice": True}, "persist_mem_slices"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], naming: str, tmp_path: Path) -> None:
    """The last one is how zappend's guide spells it."""
    with pytest.raises(ConfigError, match=naming):
        zapz.append(tmp_path / "target.zarr", days(0), settings)
    assert not (tmp_path / "target.zarr").exists()


# -- settings that change no value -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("slice_engine", "zarr"),
        ("disable_rollback", True),
        ("temp_dir", "memory://temp"),
        ("temp_storage_options", {"anon": True}),
        ("permit_eval", True),
    ],
    ids=str,
)
def test_a_setting_without_a_purpose_here_is_answered_once(setting: str, value: Any, tmp_path: Path) -> None:
    """One line says what happens instead, and the cube is made."""
    slices = given("as Zarr", days(0, 1), tmp_path)
    config = written({setting: value}, tmp_path / "config.json")
    code, said = zapz_says("append", tmp_path / "target.zarr", *slices, "-c", config)
    assert (code, len([line for line in said.splitlines() if setting in line])) == (0, 1), said
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))


@pytest.mark.parametrize(
    "setting", [{"persist_mem_slices": True}, {"extra": {"a": 1}}, {"disable_rollback": True}], ids=str
)
def test_a_setting_that_leaves_the_cube_alone(setting: dict[str, Any], tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    zapz.append(tmp_path / "target.zarr", [cube.chunk(x=3) for cube in days(0, 1)], temp_dir=str(scratch), **setting)
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))
    assert tree(scratch) == {}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(True, id="true"),
        pytest.param("DEBUG", id="a level"),
        pytest.param(
            {
                "version": 1,
                "handlers": {"console": {"class": "logging.StreamHandler"}},
                "loggers": {
                    "zapz": {"level": "INFO", "handlers": ["console"]},
                    "zappend": {"level": "INFO", "handlers": ["console"]},
                },
            },
            id="a table",
        ),
    ],
)
def test_logging(value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zapz.append(tmp_path / "target.zarr", days(0), logging=value)
    assert "target.zarr" in capsys.readouterr().err
    for name in ("zapz", "zappend"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.setLevel(logging.NOTSET)


def test_no_logging(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zapz.append(tmp_path / "target.zarr", days(0), logging=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("value", "written_to"),
    [
        (None, None),
        (False, None),
        ({"enabled": False, "path": "prof.out"}, None),
        ({"log_level": "NOTSET"}, None),
        ("prof.out", "prof.out"),
        ({"path": "prof.out", "log_level": "DEBUG"}, "prof.out"),
        ({"path": "prof.out", "keys": ["tottime", "time", "ncalls"], "restrictions": [5]}, "prof.out"),
    ],
    ids=str,
)
def test_profiling(value: Any, written_to: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    zapz.append("target.zarr", days(0), **({} if value is None else {"profiling": value}))
    assert_holds("target.zarr", day(0))
    assert (tmp_path / "prof.out").exists() == (written_to is not None)
    if written_to:
        assert "function calls" in (tmp_path / written_to).read_text()


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def slices(tmp_path: Path) -> list[str]:
    return given("as Zarr", days(0, 1, 2), tmp_path)


def test_command_target_and_slices(slices: list[str], tmp_path: Path) -> None:
    assert zapz_says("append", "-t", tmp_path / "target.zarr", *slices)[0] == 0
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1, 2)))


def test_command_target_from_the_configuration(slices: list[str], tmp_path: Path) -> None:
    config = written({"target_dir": str(tmp_path / "target.zarr")}, tmp_path / "config.json")
    assert zapz_says("append", "-c", config, "-", *slices)[0] == 0
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1, 2)))


def test_command_several_configurations(slices: list[str], tmp_path: Path) -> None:
    base = written({**SETTINGS, "append_step": "2D"}, tmp_path / "base.yaml")
    more = written({"append_step": "1D"}, tmp_path / "more.json")
    assert zapz_says("append", "-t", tmp_path / "target.zarr", "-c", base, "--config", more, *slices[:2])[0] == 0
    assert_made(tmp_path / "target.zarr")


def test_command_with_two_targets(slices: list[str], tmp_path: Path) -> None:
    """zappend's ``--target`` overrides the file; here two different targets are refused, and the message shows what to do."""
    config = written({"target_dir": str(tmp_path / "other.zarr")}, tmp_path / "config.json")
    code, said = zapz_says("append", "-t", tmp_path / "target.zarr", "-c", config, *slices)
    assert (code, "other.zarr" in said) == (2, True)
    assert not (tmp_path / "target.zarr").exists()
    assert not (tmp_path / "other.zarr").exists()


def test_command_without_a_target(slices: list[str], tmp_path: Path) -> None:
    before = tree(tmp_path)
    code, said = zapz_says("append", "-", *slices)
    assert (code, "target_dir" in said or "TARGET" in said) == (2, True)
    assert tree(tmp_path) == before


def test_command_without_slices(tmp_path: Path) -> None:
    code, said = zapz_says("append", "-t", tmp_path / "target.zarr")
    assert (code, "slice" in said.lower()) == (0, True), said
    assert tree(tmp_path) == {}


def test_command_dry_run(slices: list[str], tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert zapz_says("append", "-t", tmp_path / "target.zarr", "--dry-run", *slices[:1])[0] == 0
    assert tree(tmp_path) == before


def test_command_force_new(slices: list[str], tmp_path: Path) -> None:
    store(day(9), tmp_path / "target.zarr")
    assert zapz_says("append", "-t", tmp_path / "target.zarr", "--force-new", *slices)[0] == 0
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1, 2)))


def test_command_traceback_on_request(tmp_path: Path) -> None:
    words = ("append", tmp_path / "target.zarr", tmp_path / "nothing.zarr")
    code, said = zapz_says(*words)
    assert (code != 0, "nothing.zarr" in said, "Traceback" in said) == (True, True, False)
    code, said = zapz_says(*words, "--traceback")
    assert (code != 0, "Traceback" in said) == (True, True)


def test_command_says_its_version_and_its_settings() -> None:
    assert zapz_says("--version")[1].strip().endswith(getattr(zapz, "__version__", ""))
    assert '"target_dir"' in zapz_says("config", "--format", "json")[1]
    assert "target_dir" in zapz_says("config", "--format", "md")[1]


def test_a_slice_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing\.zarr"):
        zapz.append(tmp_path / "target.zarr", [str(tmp_path / "nothing.zarr")])
    assert tree(tmp_path) == {}


def test_a_slice_that_never_comes_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ZapzError, match=r"nothing\.zarr"):
        zapz.append(
            tmp_path / "target.zarr", [str(tmp_path / "nothing.zarr")], slice_polling={"interval": 0.02, "timeout": 0.1}
        )
    assert tree(tmp_path) == {}
