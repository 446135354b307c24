"""After an error in a run of many slices: what stands, and what to do; for people, for programs, and as JSON."""

from __future__ import annotations

import json
import os
import pickle
import signal
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from kit.command_line import run
from kit.cubes import quiet, read, write_array, write_group
from kit.small_days import day, days, spoil

import zapz
from zapz.cli.demo import write_slice
from zapz.cli.standing import standing
from zapz.operations.append_slice import SliceAppender
from zapz.reports import SliceReport


def last(err: str) -> str:
    return err.splitlines()[-1]


def test_what_stands_is_said(tmp_path: Path) -> None:
    target, (a, b, c, d) = tmp_path / "cube.zarr", days(tmp_path, 4)
    spoil(c)
    code, _, err = run("append", target, a, b, c, d)
    assert (code, len(err.splitlines())) == (5, 2)
    assert (
        last(err) == "2 of 4 slices are in the target. Stopped at day2.zarr. Correct it and run the same command again."
    )
    code, out, err = run("append", target, a, b, a, c, "-q")
    assert (code, out) == (5, "")
    assert last(err) == "3 of 4 slices are in the target (3 were already there). Stopped at day2.zarr. Correct it and run the same command again."  # fmt: skip
    late = tmp_path / "late.zarr"
    write_slice(late, 1, change=0.5)
    code, _, err = run("append", target, a, late, d)
    assert (code, last(err)) == (3, "1 of 3 slices are in the target (1 was already there). Stopped at late.zarr. Slices that are in the target are not appended again.")  # fmt: skip
    code, _, err = run("append", target, a, d, late, "--dry-run")
    assert last(err).startswith("2 of 3 slices would be in the target (1 was already there). Stopped at late.zarr.")


def test_of_one_slice_and_of_the_target_nothing_is_said(tmp_path: Path) -> None:
    target, (a, b) = tmp_path / "cube.zarr", days(tmp_path, 2)
    assert len(run("append", target, tmp_path / "none.zarr")[2].splitlines()) == 1
    assert len(run("append", tmp_path / "no" / "cube.zarr", a, b)[2].splitlines()) == 1
    assert len(run("append", target, a, b, "--workers", "0")[2].splitlines()) == 1


def test_before_the_first_slice_is_in_the_one_that_it_is_about_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (a,) = days(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    err = run("append", tmp_path / "cube.zarr", "none.zarr", a)[2]
    assert last(err) == "Stopped at none.zarr. Solve this and run the same command again."


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (zapz.ConfigError("x"), " Correct the setting and run the same command again."),
        (zapz.DimensionError("x"), " Correct it and run the same command again."),
        (zapz.MetadataError("x"), " Correct it and run the same command again."),
        (zapz.ChunkError("x"), " Correct it and run the same command again."),
        (zapz.StoreError("x"), " Solve this and run the same command again."),
        (zapz.LockedError("x"), " Run the same command again when the other run has ended."),
        (zapz.ConflictError("x"), " Run the same command again."),
        (zapz.CancelledError("x"), " Run the same command again."),
        (zapz.JournalError("x"), ""),
        (
            zapz.LabelError("x", remedies={"label_order": "any"}),
            " Slices that are in the target are not appended again.",
        ),
        (zapz.EncodingError("x", remedies={"force_new": True, "static": "ignore"}), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_advice_is_that_of_the_exit_code(error: zapz.ZapzError, advice: str) -> None:
    done = [SliceReport(slice="a", outcome=outcome, steps=1) for outcome in ("appended", "empty")]
    said = standing(error, ["a", "b", "s3://me:secret@in/c.zarr?key", "d"], done)
    assert said == f"1 of 4 slices are in the target (1 was empty). Stopped at c.zarr.{advice}"


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(10)

    paths = days(tmp_path, 3)
    real = SliceAppender.append
    with mock.patch.object(SliceAppender, "append", lambda self, source, *a: interrupt() if "day2" in source.uri else real(self, source, *a)):  # fmt: skip
        code, _, err = run("append", tmp_path / "cube.zarr", *paths)
    assert code == 130
    assert err == "Interrupted; uncommitted changes have been rolled back. 2 of 3 slices are in the target. Run the same command again to continue.\n"  # fmt: skip


def test_an_error_of_the_library_knows_what_was_done(tmp_path: Path) -> None:
    target, paths = tmp_path / "cube.zarr", days(tmp_path, 2)
    with pytest.raises(zapz.NotFoundError) as caught:
        zapz.append(target, iter([*paths, tmp_path / "none.zarr"]))
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        report = error.report
        assert (report.appended, report.length, report.last, report.created) == (2, 2, "2024-06-02T00:00:00", True)
        assert [Path(r.slice).name for r in report.slices] == ["day0.zarr", "day1.zarr"]
    with pytest.raises(zapz.NotFoundError) as caught:
        zapz.append(target, iter([paths[0], tmp_path / "none.zarr"]), permit_eval=True, dry_run=True)
    assert (caught.value.report.already, caught.value.report.appended) == (1, 0)
    assert "permit_eval" in caught.value.report.notes[0]
    assert zapz.ZapzError("x").report is None
    with pytest.raises(zapz.ConfigError) as wrong:
        zapz.append(target, [], workers=0)
    assert wrong.value.report is None


def test_an_error_of_on_slice_does_not_hide_its_slice(tmp_path: Path) -> None:
    def refuse(_: SliceReport) -> None:
        raise zapz.SliceError("enough")

    with pytest.raises(zapz.SliceError) as caught:
        zapz.append(tmp_path / "cube.zarr", [day(0), day(1)], on_slice=refuse)
    assert (caught.value.report.appended, caught.value.report.length) == (1, 1)


def test_json_has_the_report_and_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a slice source that fails, too; the error alone, if nothing could begin."""
    target, (*paths, bad) = tmp_path / "cube.zarr", days(tmp_path, 3)
    spoil(bad)
    code, out, err = run("append", target, *paths, bad, "--json")
    found = json.loads(out)
    assert (code, set(found)) == (5, {"report", "error"})
    assert (found["report"]["appended"], found["error"]["code"], found["error"]["exit_code"]) == (2, "chunk", 5)
    assert last(err).startswith("2 of 3 slices are in the target.")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fails_late.py").write_text("def made(path):\n    return {}['x'] if 'day1' in path else path\n")
    (tmp_path / "c.toml").write_text('slice_source = "fails_late:made"\n')
    code, out, err = run("append", "-c", tmp_path / "c.toml", target, *paths, "--json")
    found = json.loads(out)
    assert (code, found["report"]["already"], found["report"]["length"], found["error"]["code"]) == (3, 1, 2, "slice")
    assert last(err).startswith("1 of 2 slices are in the target (1 was already there). Stopped at day1.zarr.")
    assert set(json.loads(run("append", target, *paths, "--json", "--workers", "0")[1])) == {"error"}
    assert set(json.loads(run("info", tmp_path / "none.zarr", "--json")[1])) == {"error"}


def test_slices_without_labels_are_not_given_again(tmp_path: Path) -> None:
    """Those that are in would be appended once more: a note says so, and the advice after an error is another."""
    paths, target = [], tmp_path / "cube.zarr"
    for number in range(3):
        paths.append(tmp_path / f"n{number}.zarr")
        write_group(paths[-1], zarr_format=3)
        with quiet():
            write_array(paths[-1], "v", np.full((1, 4), float(number)), dims=["time", "x"], zarr_format=3)
    chunk = next(path for path in (paths[2] / "v").rglob("*") if path.is_file() and path.name != "zarr.json")
    whole = chunk.read_bytes()
    chunk.write_bytes(b"junk")
    code, out, err = run("append", target, *paths)
    assert code == 5
    assert (
        out.count("note: the slice has no time labels. If you give it again, it is appended again (--set register=true")
        == 1
    )
    assert last(err) == (
        "2 of 3 slices are in the target. Stopped at n2.zarr. "
        "The slices have no labels, so zapz cannot recognise those that are in the target. "
        "Do not give them again: continue with n2.zarr."
    )
    chunk.write_bytes(whole)
    assert run("append", target, paths[2])[0] == 0
    assert read(target)["v"][:, 0].tolist() == [0, 1, 2]
    kept = tmp_path / "kept.zarr"
    chunk.write_bytes(b"junk")
    code, out, err = run("append", "--set", "register=true", kept, *paths)
    assert (code, "no labels" in out) == (5, False)
    assert (
        last(err) == "2 of 3 slices are in the target. Stopped at n2.zarr. Correct it and run the same command again."
    )
    chunk.write_bytes(whole)
    assert run("append", "--set", "register=true", kept, *paths)[0] == 0
    assert read(kept)["v"][:, 0].tolist() == [0, 1, 2]


def test_an_error_before_the_first_slice_says_that_nothing_was_written() -> None:
    slices = ["a.zarr", "b.zarr"]
    said = standing(zapz.SliceError("no", where="b.zarr"), slices, [])
    assert said == "Nothing was written. Stopped at b.zarr. Correct it and run the same command again."
    offered = zapz.SliceError("no", where="b.zarr", hint="{static}", remedies={"static": "ignore"})
    assert standing(offered, slices, []) == "Nothing was written. Stopped at b.zarr."
    assert "Nothing" not in standing(zapz.StoreError("no", where="a.zarr"), slices, [])
