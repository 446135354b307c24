"""Settings that nobody named: a file in the folder or above it, and variables of the environment; what is read is said first."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from kit.stub_service import install
from typer.main import get_command
from typer.testing import CliRunner

import zapz
from zapz.cli.app import app
from zapz.cli.commands import configured
from zapz.cli.demo import write_slice
from zapz.config.assignments import assigned_by_variable
from zapz.config.files import load, resolve
from zapz.config.settings import Config
from zapz.errors import ConfigError

PROJECT = (
    '[project]\nname = "x$y"\n\n[tool.other]\npattern = "^a$"\n\n[tool.zapz]\nstatic = "ignore"\nattrs.price = "$$5"\n'
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own, in which the command runs, far from home."""
    (tmp_path / "home").mkdir()
    folder = tmp_path / "work" / "june"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(folder)
    return folder


def made(*named: str, **given: Any) -> Config:
    return configured(named, None, {}, **given)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("above", ["", "../"])
def test_a_file_in_the_folder_or_above_it_is_read_and_said(
    above: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / above / "zapz.toml").write_text('static = "ignore"\nlabel_order = "any"\n')
    found = made()
    assert (found.static, found.label_order) == ("ignore", "any")
    assert said(capsys) == f"settings: {above}zapz.toml (static, label_order)\n"


def test_a_table_in_a_project_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dollar signs elsewhere in that file are its own."""
    (here / "pyproject.toml").write_text(PROJECT)
    found = made()
    assert (found.static, found.attrs) == ("ignore", {"price": "$5"})
    assert said(capsys) == "settings: pyproject.toml [tool.zapz] (static, attrs)\n"


def test_the_nearest_file_alone_and_our_own_first(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A project file without our table is passed over."""
    (here / "pyproject.toml").write_text('[project]\nname = "zapz"\n')
    (here.parent / "zapz.toml").write_text("verify = true")
    (here.parent / "pyproject.toml").write_text(PROJECT)
    assert made().verify
    assert said(capsys) == "settings: ../zapz.toml (verify)\n"
    (here / "zapz.toml").write_text("# nothing yet\n")
    assert made() == Config()
    assert said(capsys) == "settings: zapz.toml (none)\n"


@pytest.mark.parametrize("name", ["zapz.toml", "pyproject.toml"])
def test_only_what_is_harmless_unless_the_file_is_named(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The remedies of the message work: naming the file, which is then read once and not spoken of; and doing without it."""
    head = "[tool.zapz]\n" if name == "pyproject.toml" else ""
    (here / name).write_text(f"{head}workers = 1\n")
    line = 2 if head else 1
    with pytest.raises(ConfigError) as caught:
        made()
    assert f"may not set, {name}, line {line}, workers: found workers" in str(caught.value)
    assert f"`-c {name}`" in caught.value.hint
    assert "`--no-config`" in caught.value.hint
    assert said(capsys).startswith("settings: ")
    assert made(name).workers == 1
    assert made(str(here / name)).workers == 1
    assert made(no_config=True).workers is None
    assert said(capsys) == ""


def test_no_variables_of_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "sesame")
    for name, head in (("zapz.toml", ""), ("pyproject.toml", "[tool.zapz]\n")):
        (here / name).write_text(f'{head}attrs.title = "$PLACE"\n')
        with pytest.raises(
            ConfigError, match="an unnamed configuration file may not use environment variables"
        ) as caught:
            made()
        assert caught.value.found == "$PLACE"
        assert f"{name}, line {2 if head else 1}" in caught.value.where
        assert (
            f"`-c {'FILE' if head else name}`" in caught.value.hint
        )  # what a pyproject.toml may not do it may not do if it is named
        if not head:
            assert made(name).attrs == {"title": "sesame"}
        else:
            with pytest.raises(
                ConfigError, match=r"pyproject.toml may not use environment variables, .* a separate configuration file"
            ):
                made(name)
        (here / name).unlink()


def test_no_file_trusts_itself_even_where_all_are_trusted(here: Path) -> None:
    (here / "zapz.toml").write_text("workers = 2")
    with pytest.raises(ConfigError, match="an unnamed configuration file may not set"):
        configured(None, None, {"trust_config": True})


UNREAD = {
    "above the repository": "it is above the repository",
    "in the home folder": "it is in the home folder",
    "above the home folder": "it is above the home folder",
    "of another user": "it is in a folder that belongs to another user",
    "writable folder": "it is in a folder that is writable by all users",
    "writable file": "it is writable by all users",
    "above a writable folder": "it is above a folder that is writable by all users",
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_file_that_is_not_read_is_said_to_be_there(
    case: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds does not matter; naming it reads it."""
    file = here.parent / "zapz.toml"
    file.write_text("workers = 1")
    if case == "above the repository":
        (here / ".git").write_text("gitdir: elsewhere")
    elif case == "in the home folder":
        monkeypatch.setenv("HOME", str(here.parent))
    elif case == "above the home folder":
        monkeypatch.setenv("HOME", str(here.parent / "somebody"))
    elif case == "of another user":
        file = here / "zapz.toml"
        file.write_text("workers = 1")
        monkeypatch.setattr(os, "geteuid", lambda: here.stat().st_uid + 1)
    else:
        {"writable folder": here.parent, "writable file": file, "above a writable folder": here}[case].chmod(0o777)
    shown = os.path.relpath(file)
    assert made(quiet=True) == Config()
    assert said(capsys) == f"settings: {shown} is not read, because {UNREAD[case]} (-c {shown} reads it)\n"
    assert made(shown).workers == 1
    assert said(capsys) == ""


def test_the_root_of_a_repository_is_the_last_that_is_looked_into(here: Path) -> None:
    (here.parent / ".git").mkdir()
    (here.parent / "zapz.toml").write_text("verify = true")
    assert made().verify


def test_a_folder_that_is_gone(here: Path) -> None:
    shutil.rmtree(here)
    assert made() == Config()


def test_a_project_file_that_is_named_without_a_table(here: Path) -> None:
    (here / "pyproject.toml").write_text('[project]\nname = "x"\n')
    with pytest.raises(ConfigError, match=r"expected a table \[tool.zapz\], found no table"):
        made("pyproject.toml")
    (here / "pyproject.toml").write_text("tool.zapz = 1\n")
    with pytest.raises(ConfigError, match="found int"):
        load("pyproject.toml")


# -- variables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("STATIC", "0.01", {"static": 0.01}),
        ("static", "ignore", {"static": "ignore"}),
        ("EXCLUDED_VARIABLES", '["a"]', {"excluded_variables": ["a"]}),
        ("VARIABLES__SST__ENCODING__DTYPE", "int16", {"variables": {"SST": {"encoding": {"dtype": "int16"}}}}),
        ("VARIABLES__sst__ENCODING__FILL_VALUE", "-1", {"variables": {"sst": {"encoding": {"fill_value": -1}}}}),
        ("variables__a__encoding___FILLVALUE", "0", {"variables": {"a": {"encoding": {"_FillValue": 0}}}}),
        ("SLICE_POLLING__TIMEOUT", "3", {"slice_polling": {"timeout": 3}}),
        ("ATTRS__Title", "A cube", {"attrs": {"Title": "A cube"}}),
        ("TARGET_STORAGE_OPTIONS__anon", "true", {"target_storage_options": {"anon": True}}),
    ],
)
def test_variables_are_settings(name: str, text: str, expected: dict[str, Any]) -> None:
    """Names that zapz knows are found in any case; others stand as they are written."""
    assert assigned_by_variable(f"ZAPZ_SET_{name}", text).settings == expected


def test_variables_that_are_no_settings() -> None:
    with pytest.raises(ConfigError, match="invalid name of a setting, ZAPZ_SET_: expected ZAPZ_SET_NAME"):
        assigned_by_variable("ZAPZ_SET_", "1")
    with pytest.raises(ConfigError, match=r"unknown setting, ZAPZ_SET_STATIK, statik: .*'static'"):
        resolve([assigned_by_variable("ZAPZ_SET_STATIK", "1")], {})
    with pytest.raises(ConfigError) as caught:
        assigned_by_variable("ZAPZ_SET_TARGET_STORAGE_OPTIONS", "{secret = sesame")
    assert "sesame" not in str(caught.value)


def test_the_order_of_all_that_can_say_something(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found file, ZAPZ_CONFIG, -c, ZAPZ_SET, --set, flags: each wins over those before it."""
    keys = "abcdef"
    (here / "zapz.toml").write_text("".join(f'attrs.{key} = "found"\n' for key in keys))
    (here / "first.toml").write_text('attrs.b = "first"')
    (here / "named.toml").write_text("".join(f'attrs.{key} = "named"\n' for key in keys[2:]))
    (here / "second.toml").write_text("".join(f'attrs.{key} = "second"\n' for key in keys[1:]))
    environment = {"ZAPZ_CONFIG": "first.toml:second.toml"}
    environment |= {f"ZAPZ_SET_ATTRS__{key}": "variable" for key in keys[3:]}
    with pytest.MonkeyPatch.context() as patch:
        for name, text in environment.items():
            patch.setenv(name, text)
        found = configured(["named.toml"], ["attrs.e=set", "attrs.f=set"], {"attrs": {"f": "flag"}})
        assert found.attrs == dict(zip(keys, ["found", "second", "named", "variable", "set", "flag"], strict=True))
        names = ", ".join(f"ZAPZ_SET_ATTRS__{key}" for key in "def")
        assert said(capsys) == f"settings: zapz.toml (attrs), ZAPZ_CONFIG, {names}\n"
        assert made("named.toml", no_config=True).attrs == dict.fromkeys("cdef", "named")
        (here / "zapz.toml").unlink()
        assert said(capsys) == ""
        assert made(quiet=True).attrs["d"] == "variable"
        assert said(capsys) == ""


def test_a_file_that_a_variable_names_is_not_read_twice(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may set what a file may that is named."""
    (here / "zapz.toml").write_text("workers = 3")
    monkeypatch.setenv("ZAPZ_CONFIG", str(here / "zapz.toml"))
    assert made().workers == 3
    assert said(capsys) == "settings: ZAPZ_CONFIG\n"


def test_colons_in_uris_separate_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from zapz.cli.discovery import with_unnamed

    files = ["a.toml", "s3://b/c.toml", "https://h:8080/d.toml", "zip://e.toml::file:///a/f.zip", "2024/g.toml"]
    monkeypatch.setenv("ZAPZ_CONFIG", ":".join(["", *files, ""]))
    assert with_unnamed(["h.toml"], quiet=True) == [*files, "h.toml"]


def test_variables_that_are_empty_say_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAPZ_CONFIG", "")
    monkeypatch.setenv("ZAPZ_SET_STATIC", "")
    assert made() == Config()
    assert said(capsys) == ""


# -- commands ----------------------------------------------------------------------------------------------------------


def words_of(command: str, target: Path, day: Path) -> list[str]:
    slices = {"append": [str(day)], "zappend": ["-t", str(target), str(day)]}.get(command, [])
    return [command, *([] if command == "zappend" else [str(target)]), *slices]


COMMANDS = [name for name in get_command(app).commands if name not in {"config", "demo", "help"}]  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_reads_them(command: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line says so; --json is alone on standard output."""
    write_slice(here / "day.zarr", 0)
    target = here / "cube.zarr"
    zapz.append(target, here / "day.zarr")
    (here / "zapz.toml").write_text('version = 1\nzarr_format = 2\nstatic = "equal"\n')
    monkeypatch.setenv("ZAPZ_SET_VERIFY", "true")
    install(monkeypatch)
    as_json = [] if command in {"serve", "zappend"} else ["--json"]
    words = words_of(command, target, here / "day.zarr")
    done = CliRunner().invoke(app, [*words, *as_json])
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[0] == "settings: zapz.toml (version, zarr_format, static), ZAPZ_SET_VERIFY"
    assert done.output.splitlines()[0] == done.stderr.splitlines()[0]
    if as_json:
        json.loads(done.stdout)
    monkeypatch.setenv("ZAPZ_SET_VERIFY", "perhaps")
    (here / "zapz.toml").write_text("workers = 0")
    assert CliRunner().invoke(app, words).exit_code == 2
    done = CliRunner().invoke(app, [*words, "--no-config"])
    assert (done.exit_code, done.stderr) == (0, ""), done.output


def test_python_reads_none_of_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_slice(here / "day.zarr", 0)
    (here / "zapz.toml").write_text("no_such_setting = 1")
    monkeypatch.setenv("ZAPZ_CONFIG", "none.toml")
    monkeypatch.setenv("ZAPZ_SET_NO_SUCH_SETTING", "1")
    assert zapz.append("cube.zarr", "day.zarr").appended == 1
    assert zapz.info("cube.zarr").dims["time"] == 1
    zapz.recover("cube.zarr")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("static = ", "zapz.toml"),
        ("statik = 1", "zapz.toml"),
        ('static = "never"', "zapz.toml"),
        ('[tool.zapz]\nworkers = "x"', "pyproject.toml"),
    ],
)
def test_an_error_of_a_file_that_nobody_named_says_so(text: str, name: str, here: Path) -> None:
    (here / name).write_text(text)
    words = ["append", "cube", "none.zarr"]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "The command line does not name this file" in refused.stderr
    assert "--no-config" in refused.stderr
    assert CliRunner().invoke(app, [*words, "--no-config"]).exit_code == 6
    if name == "zapz.toml":
        named = CliRunner().invoke(app, [*words, "-c", name])
        assert (named.exit_code, "does not name this file" in named.stderr) == (2, False)
