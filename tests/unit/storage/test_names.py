"""Names that are not UTF-8: slices and targets that have them work like any others, and what is said about them can be read."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from kit import cubes
from kit.command_line import run_encoded
from kit.trees import tree

import zapz
from zapz.cli.demo import write_slice
from zapz.storage.local import flock
from zapz.testing import Died, failing_files, file_operations

SHOWN = "\\udce9"
"""How the one byte that is not UTF-8 is written."""


def latin(name: str) -> str:
    """Return a name of Latin-1 bytes as Python spells it."""
    return os.fsdecode(name.encode("latin-1"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a folder whose file system takes any bytes for a name."""
    try:
        (tmp_path / latin("été")).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    return tmp_path / latin("été")


@pytest.fixture
def days(place: Path) -> list[Path]:
    paths = [place / latin(f"é{day}.zarr") for day in range(3)]
    for day, path in enumerate(paths):
        write_slice(path, day)
    return paths


@pytest.mark.parametrize("encoding", ["utf-8", "iso8859-15"])
def test_every_command_speaks_of_such_names(place: Path, days: list[Path], encoding: str) -> None:
    target = place / latin("cube-é.zarr")
    for words, says in (
        (("append", target, *days[:2]), f"cube-{SHOWN}.zarr\n"),
        (("append", target, *days[:2]), "2 slices: already there"),
        (("append", "--dry-run", target, days[2]), "nothing written"),
        (("info", target), f"cube-{SHOWN}.zarr"),
        (("check", "--chunks", target), f"cube-{SHOWN}.zarr"),
        (("recover", target), "Nothing to recover"),
        (("unlock", target), "No process holds a lock"),
        (("vacuum", target), "Removed 0"),
        (("demo", place / latin("demo-é")), f"demo-{SHOWN}"),
    ):
        code, out, err = run_encoded(*words, encoding=encoding)
        assert (code, err) == (0, ""), words
        assert says in out
    code, out, err = run_encoded("append", target, place / latin("nix-é.zarr"), encoding=encoding)
    assert (code, out) == (6, "")
    assert f"nix-{SHOWN}.zarr" in err or latin("nix-é.zarr") in err
    assert zarr.open(target, mode="r")["sst"].shape[0] == 2


def test_json_has_such_names(place: Path, days: list[Path]) -> None:
    target = place / latin("cube-é.zarr")
    report = json.loads(run_encoded("append", "--json", target, days[0])[1])
    assert (report["target"], report["slices"][0]["slice"]) == (str(target), str(days[0]))
    assert json.loads(run_encoded("info", "--json", target)[1])["uri"] == str(target)
    assert json.loads(run_encoded("check", "--json", target)[1])["uri"] == str(target)
    code, out, _ = run_encoded("append", "--json", target, place / latin("nix-é.zarr"))
    assert (code, json.loads(out)["error"]["where"]) == (6, str(place / latin("nix-é.zarr")))


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_such_names_in_a_process(place: Path, days: list[Path], locale: str) -> None:
    """Strict standard output is what most locales have; not these two, which every system has."""
    environment = {**os.environ, "LC_ALL": locale, "PYTHONIOENCODING": "utf-8:strict"}
    words = [os.fsencode(word) for word in (sys.executable, "-m", "zapz", "append", place / "cube.zarr", days[0])]
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{SHOWN}0.zarr: appended 1 step".encode() in done.stdout


def test_a_slice_without_labels_is_recognised(place: Path) -> None:
    source = place / latin("part-é.zarr")
    cubes.write_group(source, zarr_format=3)
    cubes.write_array(source, "v", np.arange(3.0), dims=["time"], zarr_format=3)
    for journal in ("inside", "beside"):
        target = place / latin(f"cube-é-{journal}.zarr")
        settings = {"journal": journal, "register": True}
        assert zapz.append(target, source, **settings).appended == 1
        assert zapz.append(target, source, **settings).already == 1


def test_plans_name_such_places(place: Path, days: list[Path]) -> None:
    target = place / latin("cube-é.zarr")
    zapz.append(target, days[0])
    text = zapz.plan(target, days[1]).to_json()
    (place / "plan.json").write_text(text, encoding="utf-8")
    plan = zapz.Plan.from_json((place / "plan.json").read_text(encoding="utf-8"))
    assert zapz.execute(plan).appended == 1


def test_archives_with_such_names(place: Path, days: list[Path]) -> None:
    archive = shutil.make_archive(str(place / latin("day-é")), "zip", days[0])
    assert zapz.append(place / latin("cube-é.zarr"), archive).appended == 1


def test_other_files_in_a_target_that_is_replaced(place: Path, days: list[Path]) -> None:
    target = place / latin("cube-é.zarr")
    zapz.append(target, days[:2])
    (target / latin("note-é.txt")).write_text("mine")
    code, out, err = run_encoded("append", "--force-new", target, days[2])
    assert (code, err) == (0, "")
    assert SHOWN in out
    kept = [path for path in place.rglob(latin("note-é.txt")) if path.is_file()]
    assert [path.read_text() for path in kept] == ["mine"]


def test_a_killed_append_is_recovered(place: Path, days: list[Path]) -> None:
    """Wherever the process died: what is there then is the old cube or the new one."""
    target = place / latin("cube-é.zarr")
    zapz.append(target, days[0])
    before = place / "before"
    shutil.copytree(target, before)
    operations = file_operations(target, lambda: zapz.append(target, days[1]))
    outcomes = set()
    for number in range(5, operations, 31):
        shutil.rmtree(target)
        shutil.copytree(before, target)
        with failing_files(target, number, "died"), contextlib.suppress(Died):
            zapz.append(target, days[1])
        code, _, err = run_encoded("recover", target)
        assert (code, err.count("Traceback")) == (0, 0)
        length = zapz.info(target).dims["time"]
        outcomes.add(length)
        assert length == 2 or tree(target) == tree(before)
    assert outcomes == {1, 2}


@pytest.fixture
def log_restored() -> Iterator[None]:
    log = logging.getLogger("zapz")
    level, handlers = log.level, list(log.handlers)
    yield
    for handler in set(log.handlers) - set(handlers):
        handler.close()
    log.handlers[:] = handlers
    log.setLevel(level)


@pytest.mark.usefixtures("log_restored")
def test_logs_have_such_names(place: Path, days: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The handler's own complaint about what it cannot encode would go to standard error."""
    log = place / "log.txt"
    handler = {"class": "logging.FileHandler", "filename": str(log), "encoding": "utf-8"}
    loggers = {"zapz": {"level": "DEBUG", "handlers": ["file"]}}
    table = {"version": 1, "handlers": {"file": handler}, "loggers": loggers}
    target = place / latin("cube-é.zarr")
    with failing_files(target, 150, "died"), contextlib.suppress(Died):
        zapz.append(target, days[0])
    zapz.append(target, days[0], logging=table)
    assert capsys.readouterr().err == ""
    text = log.read_text(encoding="utf-8")
    assert "recovered" in text
    assert f"{SHOWN}0.zarr: 1 steps" in text


def test_profiles_have_such_names(place: Path, days: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    profile = place / latin("profile-é.txt")
    caplog.set_level("INFO", "zapz")
    zapz.append(place / "cube.zarr", days[0], profiling=str(profile))
    assert profile.read_text(encoding="utf-8").startswith("# zapz profile")
    assert f"profile-{SHOWN}.txt" in caplog.text


def test_text_that_utf_8_cannot_hold_is_refused(tmp_path: Path) -> None:
    cubes.make_slice(tmp_path / "s", dtype="S3", data=cubes.values_of((3, 4, 6), "S3"))
    encoding = {"data": {"encoding": {"fill_value": "\udce9"}}}
    with pytest.raises(zapz.ConfigError, match="fill value"):
        zapz.append(tmp_path / "cube", tmp_path / "s", variables=encoding)
    (tmp_path / "refs.json").write_text(json.dumps({"version": 1, "refs": {".zgroup": "\udce9"}}))
    with pytest.raises(zapz.FormatError):
        zapz.append(tmp_path / "cube", f"reference://::file://{tmp_path}/refs.json")


def test_a_lock_of_such_a_name() -> None:
    """Where a lock is an object whose holder has died, processes of one machine take turns to break it."""
    with flock.alone(f"file-{latin('é')}://bucket/cube"):
        pass
