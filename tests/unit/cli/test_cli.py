"""The command line: the two parsers agree, output is for people or for programs, exit codes tell what to do."""

import json
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.command_line import run
from kit.trees import tree
from typer.testing import CliRunner

import zapz
from zapz.cli import app, commands
from zapz.cli.demo import write_slice
from zapz.cli.fast_path import APPEND, AppendOptions, parse
from zapz.format.grid import ceil_div


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"day{day}.zarr" for day in range(3)]
    for day, path in enumerate(paths):
        write_slice(path, day)
    return paths


values = st.sampled_from(["a", "b.zarr", "3", "0.5", "k=v", "x y", "-", "1e3"])


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    words: list[str] = []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            words.append(draw(values))
            continue
        option = APPEND[draw(st.sampled_from(sorted(APPEND)))]
        flag = draw(st.sampled_from(option.flags))
        if option.kind == "flag":
            words.append(flag)
        elif flag.startswith("--") and draw(st.booleans()):
            words.append(f"{flag}={draw(values)}")
        else:
            words += [flag, draw(values)]
    return words


@given(command_lines())
def test_the_quick_parser_says_what_typer_says(words: list[str]) -> None:
    """Whatever the quick parser understands, Typer understands in the same way."""
    quick = parse(words)
    if quick is None:
        return
    seen: list[AppendOptions] = []
    with mock.patch.object(commands, "append_slices", seen.append):
        done = CliRunner().invoke(app.app, ["append", *words])
    assert done.exit_code == 0, done.output
    (typed,) = seen
    nothing = ([], None, ())
    assert {k: None if v in nothing else list(v) if isinstance(v, tuple) else v for k, v in typed.items()} == {
        k: None if v in nothing else v for k, v in quick.items()
    }


def test_every_option_has_a_field() -> None:
    assert set(AppendOptions.__annotations__) == {"arguments", *APPEND}


def test_the_quick_parser_understands_the_everyday_line() -> None:
    quick = parse(["cube.zarr", "a.zarr", "b.zarr", "-d", "t", "--workers=2", "-q", "-c", "x.toml", "-c", "y.toml"])
    assert quick is not None
    assert (quick["arguments"], quick["append_dim"], quick["workers"]) == (["cube.zarr", "a.zarr", "b.zarr"], "t", 2)
    assert (quick["quiet"], quick["config"]) == (True, ["x.toml", "y.toml"])


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["x", "--nonsense"],
        ["x", "--workers", "many"],
        ["-qv", "x"],
        [],
        ["x", "-d"],
        ["x", "--dry-run=yes"],
    ],
)
def test_the_quick_parser_leaves_the_rest_to_typer(words: list[str]) -> None:
    assert parse(words) is None


def test_append_talks_to_people(days: list[Path], tmp_path: Path) -> None:
    code, out, err = run("append", tmp_path / "cube.zarr", *days)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 6
    assert lines[0] == f"created {tmp_path / 'cube.zarr'}"
    assert sum("appended 1 step" in line for line in lines) == 3
    assert "time is stored in seconds" in lines[2]
    assert lines[5].startswith("3 slices: 3 appended · 2024-06-03 is the last · 147.0 kB in ")
    code, out, _ = run("append", tmp_path / "cube.zarr", *days, "-q")
    assert (code, out) == (0, "")


def test_json_is_alone_on_standard_output(days: list[Path], tmp_path: Path) -> None:
    code, out, err = run("append", tmp_path / "cube.zarr", *days, "--json")
    report = json.loads(out)
    assert (code, err, report["appended"], report["length"]) == (0, "", 3, 3)
    assert [s["outcome"] for s in report["slices"]] == ["appended"] * 3
    code, out, _ = run("info", tmp_path / "cube.zarr", "--json")
    assert json.loads(out)["dims"]["time"] == 3
    code, out, _ = run("recover", tmp_path / "cube.zarr", "--json")
    assert json.loads(out) == {"rolled_forward": [], "rolled_back": [], "made_root": False, "notes": [], "appends": []}
    code, out, err = run("append", tmp_path / "cube.zarr", tmp_path / "none.zarr", "--json")
    error = json.loads(out)["error"]
    assert (code, error["exit_code"], error["code"]) == (6, 6, "not_found")
    assert "none.zarr" in err


def test_dry_run_says_what_would_happen(days: list[Path], tmp_path: Path) -> None:
    zapz.append(tmp_path / "cube.zarr", days[0])
    before = tree(tmp_path / "cube.zarr")
    code, out, _ = run("append", "--dry-run", tmp_path / "cube.zarr", *days[1:])
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"{tmp_path / 'cube.zarr'} has 1 step and would have 3, to 2024-06-03. Nothing is written."
    assert lines[2:5] == [
        "slice      label       sst       time",
        "day1.zarr  2024-06-02  ■■■■■■■■  ◧",
        "day2.zarr  2024-06-03  ■■■■■■■■  ◧",
    ]
    assert "■ copied byte for byte   ◧ boundary chunk, rewritten" in lines
    assert lines.count("lat, lon: equal to the target's") == 1
    assert any(line.startswith("16 chunks copied · 2 re-encoded · ") for line in lines)
    assert "at most 32.8 kB of memory per worker" in out
    assert "nothing written" in out
    assert tree(tmp_path / "cube.zarr") == before


def test_nothing_to_do(tmp_path: Path) -> None:
    assert run("append", "-t", tmp_path / "cube.zarr", "x", "--dry-run")[0] == 6
    report = zapz.append(tmp_path / "cube.zarr", [])
    assert (report.appended, report.length) == (0, 0)
    assert not (tmp_path / "cube.zarr").exists()


def test_target_from_the_configuration(days: list[Path], tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'target_dir = "{tmp_path / "cube.zarr"}"\n')
    assert run("append", "-c", config, "-", *days[:1])[0] == 0
    assert run("append", "-c", config, "-t", tmp_path / "cube.zarr", *days[1:2])[0] == 0
    code, _, err = run("append", "-c", config, *days[1:])
    assert code == 2
    assert f"zapz append {tmp_path / 'cube.zarr'}" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('append_dmi = "time"', "append_dim"),
        ('durability = "ful"', '"full" or "process"'),
        ("workers = 0", "from 1"),
        ("x = [", "TOML"),
        ("static = true", "static"),
    ],
)
def test_mistakes_in_a_configuration_file(days: list[Path], tmp_path: Path, text: str, says: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text)
    code, _, err = run("append", "-c", config, tmp_path / "cube.zarr", days[0])
    assert code == 2
    assert says in err
    assert "c.toml" in err
    assert not (tmp_path / "cube.zarr").exists()


def test_traceback_only_when_asked(days: list[Path], tmp_path: Path) -> None:
    words = ["append", str(tmp_path / "cube.zarr"), str(tmp_path / "none.zarr")]
    plain = subprocess.run([sys.executable, "-m", "zapz", *words], capture_output=True, text=True, check=False)
    asked = subprocess.run(
        [sys.executable, "-m", "zapz", *words, "--traceback"], capture_output=True, text=True, check=False
    )
    assert plain.returncode == 6
    assert "Traceback" not in plain.stderr
    assert "Traceback" in asked.stderr


def test_config_prints_every_setting() -> None:
    for style, mark in (("md", "| `append_dim` |"), ("toml", "# append_dim = "), ("json", '"append_dim"')):
        code, out, _ = run("config", "--format", style)
        assert code == 0
        assert mark in out
    schema = json.loads(run("config", "--format", "json")[1])
    assert set(schema["properties"]) == {*zapz.Config.__dataclass_fields__, "zarr_version"}
    assert run("config", "--format", "xml")[0] == 2


def test_demo_runs_once(tmp_path: Path) -> None:
    """What it shows under each command is what that command prints."""
    code, out, err = run("demo", tmp_path / "demo")
    assert (code, err) == (0, "")
    place = tmp_path / "demo"
    assert zapz.info(place / "cube.zarr").dims["time"] == 5
    shown = {part.partition("\n")[0]: part.partition("\n")[2] for part in out.split("$ zapz ")[1:]}
    assert [line.partition("     #")[0] for line in shown] == [
        f"append {place}/cube.zarr {place}/2024-06-*.zarr",
        f"info {place}/cube.zarr",
        f"append {place}/cube.zarr {place}/2024-06-05.zarr",
        f"append {place}/cube.zarr {place}/late.zarr",
    ]
    for line, printed in shown.items():
        if "*" in line:
            assert "5 slices: 5 appended" in printed
            continue
        words = line.partition("     #")[0].split()
        again = run(*words)
        assert re.sub(r"[\d.]+ s", "", printed).startswith(re.sub(r"[\d.]+ s", "", again[1] + again[2]))
        assert (again[0] != 0) is ("late" in line)
    assert run("demo", place)[0] == 6


def test_an_error_of_our_own_is_no_error_of_the_slice_source() -> None:
    """Whatever module of zapz raised it: exit code 1 and a traceback say that it is a bug."""

    def theirs() -> None:
        raise ZeroDivisionError

    with pytest.raises(zapz.SliceError, match="the slice source failed"), commands.slice_source_errors(show=False):
        theirs()
    with pytest.raises(ZeroDivisionError), commands.slice_source_errors(show=False):
        ceil_div(1, 0)
