"""Resuming: the same command, run again after any failure, continues at the slice that failed and appends nothing twice.

Slices with labels are recognised by them; slices without by the register (``register = true``), which tells what was appended, survives
crashes, and is never believed against what the target itself shows.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import cubes
from kit.command_line import cli
from kit.faulty_runs import Server
from kit.trees import differ, tree, without_ours

import zapz

FAST: dict[str, Any] = {"durability": "process", "workers": 1}
REGISTER: dict[str, Any] = {**FAST, "register": True}
SHAPES: dict[str, Any] = {"shape": (10, 8), "chunks": (3, 5, 8), "time_chunk": 3}
STEPS = 2
"""Length of every slice: their ends fall into chunks."""

# -- slices with and without labels, and what becomes of them ------------------------------------------------------------


@pytest.fixture(scope="module")
def slice_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Give a copy of a slice with (``labels``) or without labels; ``number`` chooses labels and values."""
    stock = tmp_path_factory.mktemp("stock")

    def get(place: Path, number: int, *, labels: bool = True, zarr_format: int = 2) -> Path:
        made = stock / f"{number}-{labels}-{zarr_format}.zarr"
        if not made.exists():
            cubes.make_slice(made, start=number * STEPS, steps=STEPS, zarr_format=zarr_format, **SHAPES)
            if not labels:
                shutil.rmtree(made / "time")
        path = place / f"s{number}.zarr"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(made, path)
        return path

    return get


def outcomes(report: zapz.Report) -> str:
    """Return what became of each slice, by first letters."""
    return "".join(r.outcome[0] if r.outcome != "already" else "=" for r in report.slices)


def expect(target: Path, parts: Sequence[Path], reference: Path) -> None:
    """Assert that a target is, byte for byte, what appending these slices one by one gives (its register aside)."""
    shutil.rmtree(reference, ignore_errors=True)
    for part in parts:
        zapz.append(reference, part, **FAST, label_order="any", on_existing="refuse")
    found = without_ours(tree(target))
    assert found == tree(reference), differ(found, tree(reference))
    data = cubes.read(target, consolidated=True)["data"]
    np.testing.assert_array_equal(data, np.concatenate([cubes.read(part)["data"] for part in parts]))


def wrong_shape(place: Path) -> None:
    shutil.rmtree(place / "data")
    cubes.write_array(place, "data", np.ones((STEPS, 9, 8), "f4"), zarr_format=2, dims=["time", "y", "x"])


def damaged_chunk(place: Path) -> None:
    (place / "data/0.1.0").write_bytes(b"short")


def damaged_document(place: Path) -> None:
    (place / "data/.zarray").write_bytes(b"{")


FAILURES: dict[str, tuple[Callable[[Path], Any], int]] = {
    "refused": (wrong_shape, 3),
    "damaged-document": (damaged_document, 4),
    "damaged-chunk": (damaged_chunk, 5),
    "not-there": (shutil.rmtree, 6),
}
"""What may be wrong with a slice, and the exit code."""

# -- run the same command again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "register"])
@pytest.mark.parametrize("kind", FAILURES)
def test_failure_at_a_slice(kind: str, labels: bool, slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """What metadata tell is told before anything is written. Else slices before it stay; corrected, the same command passes over those.

    Once more, it does nothing.
    """
    spoil, code = FAILURES[kind]
    late = kind == "damaged-chunk"
    settings = FAST if labels else REGISTER
    for bad in (0, 2):
        target = tmp_path / f"cube{bad}.zarr"
        parts = [slice_of(tmp_path, n, labels=labels) for n in range(3)]
        spoil(parts[bad])
        for _ in range(2):
            with pytest.raises(zapz.ZapzError) as caught:
                zapz.append(target, parts, **settings)
            assert caught.value.exit_code == code
            assert target.exists() == (late and bad > 0)
            if late and bad:
                expect(target, parts[:bad], tmp_path / "reference.zarr")
        slice_of(tmp_path, bad, labels=labels)
        there = bad if late else 0
        assert outcomes(zapz.append(target, parts, **settings)) == "=" * there + "a" * (3 - there)
        expect(target, parts, tmp_path / "reference.zarr")
        before = tree(target)
        assert outcomes(zapz.append(target, parts, **settings)) == "==="
        assert without_ours(tree(target)) == without_ours(before)


@pytest.mark.parametrize(
    ("kind", "place"),
    [("labels", "inside"), ("register", "inside"), ("register-v3", "beside"), ("any-order", "beside")],
)
def test_killed_anywhere(kind: str, place: str, slice_of: Callable[..., Path], server: Server, tmp_path: Path) -> None:
    """Killed at any operation, between commit and report too: the same command gives every slice once, in order."""
    order = [2, 0, 1] if kind == "any-order" else [0, 1, 2]
    labels, zarr_format = not kind.startswith("register"), 3 if kind.endswith("v3") else 2
    parts = [slice_of(tmp_path, n, labels=labels, zarr_format=zarr_format) for n in order]
    settings = {"workers": 1, "register": kind != "labels", "journal": place}
    if kind == "any-order":
        settings["label_order"] = "any"
    first = server.run("append", tmp_path / "whole.zarr", *parts, settings=settings)
    assert first["appended"] == 3, first
    expect(tmp_path / "whole.zarr", parts, tmp_path / "reference.zarr")
    new = without_ours(tree(tmp_path / "whole.zarr"))
    ends = [n for n, line in enumerate(first["log"], 1) if line.endswith("/decision")]  # made, and removed
    points = sorted({1, 9, first["ops"], *ends, *(n + 1 for n in ends), *range(ends[1] - 6, ends[1], 2)})
    problems = []
    for point in points:
        target = tmp_path / f"{point}.zarr"
        reply = server.run("append", target, *parts, settings=settings, kill=point)
        assert reply["signal"] == signal.SIGKILL
        again = server.run("append", target, *parts, settings=settings)
        found = without_ours(tree(target))
        if again["code"] or again["appended"] + again["already"] != 3 or found != new:
            problems.append(
                f"{point} {first['log'][point - 1]}: {again['message']} {again['appended']} appended; {differ(found, new)}"
            )
        once_more = server.run("append", target, *parts, settings=settings) if point in ends else {"already": 3}
        if once_more.get("already") != 3 or without_ours(tree(target)) != new:
            problems.append(f"{point}: once more: {once_more.get('message')}, {once_more.get('appended')} appended")
        shutil.rmtree(target)
        shutil.rmtree(f"{target}.zapz", ignore_errors=True)
    assert not problems, "\n".join(problems[:4])


def test_any_order(slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """``label_order = "any"`` does not look at labels: the register recognises what is there, whatever the order."""
    target = tmp_path / "cube.zarr"
    parts = [slice_of(tmp_path, n) for n in (4, 0, 2)]
    settings = {**REGISTER, "label_order": "any"}
    assert outcomes(zapz.append(target, parts, **settings)) == "aaa"
    before = without_ours(tree(target))
    assert outcomes(zapz.append(target, [parts[1], parts[2], parts[0]], **settings)) == "==="
    assert without_ours(tree(target)) == before
    assert outcomes(zapz.append(target, [*parts, slice_of(tmp_path, 1)], **settings)) == "===a"


def test_twice_in_one_command(slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """A slice without labels named twice is appended twice; the same command again recognises both."""
    target, part = tmp_path / "cube.zarr", slice_of(tmp_path, 0, labels=False)
    assert outcomes(zapz.append(target, [part, part], **REGISTER)) == "aa"
    assert outcomes(zapz.append(target, [part, part], **REGISTER)) == "=="
    assert outcomes(zapz.append(target, [part] * 3, **REGISTER)) == "==a"


# -- the register ------------------------------------------------------------------------------------------------------


def test_without_register(slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """Without labels and register nothing is recognised, and nothing is kept."""
    target, part = tmp_path / "cube.zarr", slice_of(tmp_path, 0, labels=False)
    for _ in range(2):
        assert outcomes(zapz.append(target, part, **FAST)) == "a"
    assert ".zapz" not in tree(target)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_register(zarr_format: int, slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """The same slice is recognised by later calls; other values at its place, or its values at another place, are not."""
    target = tmp_path / "cube.zarr"

    def part(number: int) -> Path:
        return slice_of(tmp_path, number, labels=False, zarr_format=zarr_format)

    first = part(0)
    assert outcomes(zapz.append(target, first, **REGISTER)) == "a"
    assert outcomes(zapz.append(target, first, **REGISTER)) == "="
    assert cli("append", target, first, "-c", config(tmp_path, "register = true")).code == 0
    assert zapz.info(target).dims["time"] == STEPS
    shutil.copytree(first, tmp_path / "copy.zarr")
    assert outcomes(zapz.append(target, tmp_path / "copy.zarr", **REGISTER)) == "a"
    assert outcomes(zapz.append(target, [first, tmp_path / "copy.zarr"], **REGISTER)) == "=="
    values = cubes.read(target)["data"]
    shutil.rmtree(first)
    part(7).rename(first)
    assert outcomes(zapz.append(target, first, **REGISTER)) == "a"
    found = cubes.read(target, consolidated=True)["data"]
    np.testing.assert_array_equal(found, np.concatenate([values, cubes.read(first)["data"]]))


def config(place: Path, text: str) -> Path:
    """Write a configuration file."""
    (place / "zapz.toml").write_text(text + "\n")
    return place / "zapz.toml"


@pytest.mark.parametrize("chunk", ["0.0.0", "0.1.0"])
def test_other_values_in_one_chunk(chunk: str, slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """Rewritten in place with other values and the same documents and sizes: another slice."""
    target, part = tmp_path / "cube.zarr", slice_of(tmp_path, 0, labels=False)
    zapz.append(target, part, **REGISTER)
    data = (part / "data" / chunk).read_bytes()
    (part / "data" / chunk).write_bytes(data[::-1])
    assert outcomes(zapz.append(target, part, **REGISTER)) == "a"


@pytest.mark.parametrize(("choice", "code", "outcome"), [("refuse", 3, ""), ("skip", 0, "s"), ("resume", 0, "=")])
def test_on_existing(choice: str, code: int, outcome: str, slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """A slice that the register knows is treated as one whose labels are there."""
    target, part = tmp_path / "cube.zarr", slice_of(tmp_path, 0, labels=False)
    zapz.append(target, part, **REGISTER)
    before = without_ours(tree(target))
    if code:
        with pytest.raises(zapz.SliceError) as caught:
            zapz.append(target, part, on_existing=choice, **REGISTER)
        assert caught.value.exit_code == code
        assert str(part) in str(caught.value)
    else:
        assert outcomes(zapz.append(target, part, on_existing=choice, **REGISTER)) == outcome
    assert without_ours(tree(target)) == before


def kept_by(folder: Path) -> Path:
    """Return the one file in which the register is kept."""
    (found,) = (path for path in folder.rglob("*") if path.is_file())
    return found


@pytest.mark.parametrize("place", ["inside", "beside"])
@pytest.mark.parametrize("damage", ["half", "flip", "more", "garbage", "list"])
def test_damaged_register(damage: str, place: str, slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """Exit code 9, and nothing is touched, whether the slice is new or not; ``zapz info`` still works or says 9."""
    target, parts = tmp_path / "cube.zarr", [slice_of(tmp_path, n, labels=False) for n in range(2)]
    zapz.append(target, parts[0], journal=place, **REGISTER)
    head = kept_by(target / ".zapz" if place == "inside" else tmp_path / "cube.zarr.zapz")
    data = head.read_bytes()
    middle = len(data) // 2
    spoiled = {
        "half": data[:middle],
        "flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "more": data + b"x",
        "garbage": b"\xff" * len(data),
        "list": b"[]",
    }
    head.write_bytes(spoiled[damage])
    before = tree(tmp_path)
    for part in parts:
        with pytest.raises(zapz.ZapzError) as caught:
            zapz.append(target, part, journal=place, **REGISTER)
        assert caught.value.exit_code == 9, caught.value
        assert tree(tmp_path) == before
    assert cli("info", target, "--journal", place).code in {0, 9}


def test_damage_that_passes_is_found_at_every_byte(slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """No flipped bit of the register makes it recognise another slice, or forget one without a word."""
    target, part = tmp_path / "cube.zarr", slice_of(tmp_path, 0, labels=False)
    zapz.append(target, part, **REGISTER)
    head = kept_by(target / ".zapz")
    data = head.read_bytes()
    before = without_ours(tree(target))
    for position in range(0, len(data), max(1, len(data) // 40)):
        head.write_bytes(data[:position] + bytes([data[position] ^ (1 << position % 8)]) + data[position + 1 :])
        with contextlib.suppress(zapz.JournalError):
            assert outcomes(zapz.append(target, part, **REGISTER)) == "=", position
        assert without_ours(tree(target)) == before, position


def test_more_slices_than_a_hundred(tmp_path: Path) -> None:
    """One command with many slices fails late: run again, it continues there; later calls recognise them all."""
    model = tmp_path / "model.zarr"
    cubes.write_group(model, zarr_format=2)
    cubes.write_array(model, "v", np.full((1, 4), 1, "u1"), zarr_format=2, dims=["time", "x"])
    parts = [tmp_path / f"{n}.zarr" for n in range(140)]
    for number, part in enumerate(parts):
        shutil.copytree(model, part)
        (part / "v/0.0").write_bytes(bytes([number + 1] * 4))
    parts[120].rename(tmp_path / "later")
    target = tmp_path / "cube.zarr"
    with pytest.raises(zapz.StoreError):
        zapz.append(target, iter(parts), **REGISTER)  # what an iterator gives is not known before
    (tmp_path / "later").rename(parts[120])
    assert outcomes(zapz.append(target, parts, **REGISTER)) == "=" * 120 + "a" * 20
    assert cubes.read(target)["v"][:, 0].tolist() == list(range(1, 141))
    for some in (parts[-50:], parts[:3], parts):
        assert outcomes(zapz.append(target, some, **REGISTER)) == "=" * len(some)


def test_register_given_up(slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """``register = false`` after ``true``: it appends as ever; and a later ``true`` tells no lies."""
    target, parts = tmp_path / "cube.zarr", [slice_of(tmp_path, n, labels=False) for n in range(3)]
    zapz.append(target, parts[:2], **REGISTER)
    assert outcomes(zapz.append(target, parts[2], **FAST)) == "a"
    expect(target, parts, tmp_path / "reference.zarr")
    report = zapz.append(target, parts[2], **REGISTER)
    again = zapz.append(target, parts[2], **REGISTER)
    assert outcomes(again) == "="
    assert again.length == (3 + report.appended) * STEPS == zapz.info(target).dims["time"]


@pytest.mark.parametrize("place", ["inside", "beside"])
@pytest.mark.parametrize("event", ["removed", "older-copy", "made-by-another"])
def test_register_of_another_target(event: str, place: str, slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """The target was removed, put back from an older copy, or written anew: what is no longer there is appended."""
    target, parts = tmp_path / "cube.zarr", [slice_of(tmp_path, n, labels=False) for n in range(2)]
    settings = {**REGISTER, "journal": place}
    zapz.append(target, parts[0], **settings)
    shutil.copytree(target, tmp_path / "older", ignore=shutil.ignore_patterns(".zapz"))
    zapz.append(target, parts[1], **settings)
    kept = target / ".zapz"
    if event == "removed":
        shutil.rmtree(target)
    else:
        if kept.exists():
            kept.rename(tmp_path / "kept")
        shutil.rmtree(target)
        shutil.copytree(tmp_path / "older" if event == "older-copy" else slice_of(tmp_path, 5, labels=False), target)
        if (tmp_path / "kept").exists():
            (tmp_path / "kept").rename(kept)
    report = zapz.append(target, parts[1], **settings)
    assert outcomes(report) == "a"
    assert report.length == STEPS * (1 if event == "removed" else 2)
    np.testing.assert_array_equal(cubes.read(target)["data"][-STEPS:], cubes.read(parts[1])["data"])


def test_dry_run_with_register(slice_of: Callable[..., Path], tmp_path: Path) -> None:
    """It recognises what is there, says so, and touches nothing."""
    target, parts = tmp_path / "cube.zarr", [slice_of(tmp_path, n, labels=False) for n in range(2)]
    zapz.append(target, parts[0], **REGISTER)
    before = tree(tmp_path)
    assert outcomes(zapz.append(target, parts, dry_run=True, **REGISTER)) == "=p"
    assert tree(tmp_path) == before
