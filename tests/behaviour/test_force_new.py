"""``force_new``: a new target takes the old one's place in one step; whatever happens on the way, the old one stays whole.

Crashes and failing storage are in ``test_force_new_crashes``.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from kit import cubes
from kit.crash_states import look, outcome, tree_of
from kit.replaced_cubes import ALONE, NEW, NEXT, OLD, Place
from kit.scenarios import bad_slice
from kit.trees import differ, tree

import zapz
from zapz.errors import AbilityError, ConfigError, ConflictError
from zapz.storage.local import exchange

# -- places ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give a target of four steps, of format 2, and two slices of format 3 with other dimensions, chunks and variables."""
    return Place(tmp_path)


@contextmanager
def refusing(number: int, at: int) -> Iterator[list[int]]:
    """Let the ``at``-th exchange, and all after it, be refused; count them."""
    real, calls = exchange.swap, [0]

    def swap(a: str, b: str) -> None:
        calls[0] += 1
        if calls[0] >= at:
            raise OSError(number, os.strerror(number))
        real(a, b)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "swap", swap)
        yield calls


# -- it is replaced ----------------------------------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    "2-to-3": {},
    "3-to-2": {"old": {**OLD, "zarr_format": 3}, "zarr_format": 2},
    "nested": {"old": {**OLD, "nested": True, "static": True}, "nested": False},
    "sharded": {"old": {**OLD, "zarr_format": 3, "chunks": (1, 1), "shards": (2, 2)}},
    "same": {"old": {**NEW, "static": True}},
    "slashes": {"old": {**OLD, "separator": "/"}, "chunks": (2, 1, 1)},
    "scalars": {"old": {**OLD, "static": True}, "static": True},
}


@pytest.mark.parametrize("apart", [False, True], ids=["places", "generator"])
@pytest.mark.parametrize("kind", KINDS)
def test_new_target_is_as_if_nothing_had_been_there(kind: str, apart: bool, tmp_path: Path) -> None:
    place = Place(tmp_path, **KINDS[kind])
    expected = place.fresh(2)
    slices = (path for path in place.slices) if apart else place.slices
    report = zapz.append(place.target, slices, force_new=True, **ALONE)
    assert (report.appended, report.length, report.notes, report.target) == (2, 4, (), str(place.target))
    assert differ(tree_of(look(place.around)), expected) == ""
    nested = KINDS[kind].get("nested", True)
    cubes.same(cubes.read(place.target, consolidated=True), cubes.joined(place.values, cubes.axes_of(nested=nested)))
    assert zapz.recover(place.target).clean


def test_without_an_old_target_it_is_an_ordinary_append(tmp_path: Path) -> None:
    place = Place(tmp_path, old=None)
    expected = place.fresh(2)
    with refusing(errno.EINVAL, 1) as calls:
        assert place.renew().appended == 2
    assert (calls[0], differ(tree_of(look(place.around)), expected)) == (0, "")


def test_lazy_slice_of_the_target_itself(place: Place) -> None:
    """A target can be made anew from itself: it is read while the new one is built."""
    data = zarr.open_array(str(place.target / "data"), mode="r")
    values = data[...]
    zapz.append(place.target, [{"data": (("time", "y"), data)}], force_new=True, zarr_format=3)
    np.testing.assert_array_equal(cubes.read(place.target)["data"], values)
    assert place.names() == ["cube.zarr"]


def test_register_begins_anew(tmp_path: Path) -> None:
    """A slice without labels that the old target held is not taken for a repetition, and the new register knows it."""
    slices = [tmp_path / "a.zarr", tmp_path / "b.zarr"]
    for number, path in enumerate(slices):
        cubes.write_group(path, zarr_format=3)
        cubes.write_array(path, "data", np.arange(3) + number, zarr_format=3, dims=["time"])
    target, settings = tmp_path / "cube.zarr", {"register": True}
    zapz.append(target, slices, **settings)
    assert zapz.append(target, slices[::-1], force_new=True, **settings).appended == 2
    assert cubes.read(target)["data"].tolist() == [1, 2, 3, 0, 1, 2]
    assert zapz.append(target, slices[::-1], **settings).already == 2
    assert sorted(os.listdir(target / ".zapz")) == ["register"]
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr", "cube.zarr"]


def test_empty_first_slice_replaces_nothing(place: Place, tmp_path: Path) -> None:
    empty = tmp_path / "empty.zarr"
    cubes.make_slice(empty, steps=0, **NEW)
    report = place.renew(empty)
    assert (report.skipped, report.length, place.untouched()) == (1, 4, "")
    assert place.renew(empty, *place.slices).length == 4
    cubes.same(cubes.read(place.target), cubes.joined(place.values, cubes.axes_of(nested=True)))


def test_no_slices_replace_nothing(place: Place) -> None:
    assert zapz.append(place.target, [], force_new=True).length == 4
    assert place.untouched() == ""


def test_folder_keeps_its_mode(place: Place) -> None:
    os.chmod(place.target, 0o2770)
    place.renew()
    assert stat.S_IMODE(place.target.stat().st_mode) == 0o2770


def test_linked_target(place: Place, tmp_path: Path) -> None:
    """The link stays a link; the folder it leads to is replaced where it is."""
    expected = place.fresh(2)
    (tmp_path / "else").mkdir()
    link = tmp_path / "else" / "linked.zarr"
    link.symlink_to(place.target)
    zapz.append(link, place.slices, force_new=True, **ALONE)
    assert link.is_symlink()
    assert os.listdir(tmp_path / "else") == ["linked.zarr"]
    assert differ(tree_of(look(place.around)), expected) == ""


def test_dry_run_plans_a_new_target(place: Place) -> None:
    """Nothing of the old one is read for it, not even where an expression asks for the first label."""
    report = place.renew(dry_run=True, attrs={"begins": "{{ ds.time[0] }}"})
    assert [s.outcome for s in report.slices] == ["planned", "planned"]
    assert place.renew(place.slices[0], dry_run=True).length == 2
    assert zapz.plan(place.target, place.slices[0], force_new=True).creates
    assert place.untouched() == ""


# -- what is not the old target's stays --------------------------------------------------------------------------------


def test_foreign_files_are_kept_and_named(place: Place, tmp_path: Path) -> None:
    """A stale chunk beyond the shape, what lies behind a link, and files of others are none of the old target's keys."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "0").write_text("precious")
    foreign = {"readme.txt": b"r", "data/9.0": b"stale", "data/notes/a": b"n", ".zapz/kept/1/000001": b"k"}
    for key, content in foreign.items():
        (place.target / key).parent.mkdir(parents=True, exist_ok=True)
        (place.target / key).write_bytes(content)
    (place.target / "time" / "0").unlink()
    (place.target / "time" / "0").symlink_to(precious / "0")
    (place.target / "linked").symlink_to(precious)
    report = place.renew()
    kept = next(place.around.glob("cube.zarr.kept-*"))
    assert {k: v for k, v in tree(kept).items() if v is not None} == {**foreign, "linked": f"-> {precious}"}
    assert len(report.notes) == 1
    assert all(word in report.notes[0] for word in (str(kept), "readme.txt", "…"))
    assert (precious / "0").read_text() == "precious"
    assert place.names() == ["cube.zarr", kept.name]
    assert zapz.append(place.target, place.slices, force_new=True).notes == ()


def test_linked_array_is_not_emptied(tmp_path: Path) -> None:
    """With ``follow_links`` an array may lie elsewhere: what lies there stays."""
    place = Place(tmp_path)
    os.rename(place.target / "data", tmp_path / "data")
    (place.target / "data").symlink_to(tmp_path / "data")
    elsewhere = tree(tmp_path / "data")
    report = place.renew(follow_links=True)
    assert tree(tmp_path / "data") == elsewhere
    assert "data" in report.notes[0]
    cubes.same(cubes.read(place.target), cubes.joined(place.values, cubes.axes_of(nested=True)))


def test_what_may_not_be_removed_is_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.unlink

    def unlink(path: Any, **options: Any) -> None:
        if str(path).endswith("data/0.0") and NEXT in str(path):
            raise PermissionError(errno.EACCES, "denied")
        real(path, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    assert "data/0.0" in place.renew().notes[0]
    assert NEXT not in place.names()


@pytest.mark.parametrize("content", ["a file in a folder", "a file", "a link"])
def test_what_lies_where_it_would_be_built(content: str, place: Place, tmp_path: Path) -> None:
    """Appends do not mind it, and leave it alone; ``force_new`` is refused."""
    there = place.around / NEXT
    if content == "a link":
        there.symlink_to(tmp_path)
    elif content == "a file":
        there.write_text("theirs")
    else:
        there.mkdir()
        (there / "theirs").write_text("theirs")
    was = tree(place.around)
    with pytest.raises(ConflictError, match="zapz-new"):
        place.renew()
    assert zapz.recover(place.target).clean
    assert differ(tree(place.around), was) == ""


# -- it is not replaced ------------------------------------------------------------------------------------------------


def damaged_target(target: Path) -> None:
    (target / ".zattrs").write_bytes(b"{")


def not_zarr(target: Path) -> None:
    for path in (".zgroup", ".zattrs", ".zmetadata", "data/.zarray", "time/.zarray"):
        (target / path).unlink()


def inside_another(target: Path) -> None:
    (target.parent / ".zgroup").write_text('{"zarr_format": 2}')


@pytest.mark.parametrize("harm", [damaged_target, not_zarr, inside_another])
def test_what_is_no_good_target_is_not_replaced_either(harm: Callable[[Path], None], place: Place) -> None:
    harm(place.target)
    was = tree(place.around)
    code, message = outcome(place.renew)
    assert (code, differ(tree(place.around), was)) == (4, ""), message


@pytest.mark.parametrize("kind", ["truncated", "label", "not zarr", "missing"])
def test_refused_first_slice(kind: str, place: Place, tmp_path: Path) -> None:
    if kind == "truncated":  # found out in the middle of writing
        chunk = max((place.slices[0] / "data").rglob("c/*/*/*"))
        chunk.write_bytes(chunk.read_bytes()[:-1])
    elif kind == "label":
        cubes.write_array(place.slices[0], "odd", np.zeros((9,)), zarr_format=3, dims=["time"])
    elif kind == "not zarr":
        place.slices[0] = tmp_path
    else:
        place.slices[0] = tmp_path / "nothing.zarr"
    code, message = outcome(place.renew)
    assert code in {3, 4, 5, 6}, message
    assert ".zapz-new" not in message
    assert place.untouched() == ""


def test_refused_second_slice_does_not_bring_the_old_one_back(place: Place, tmp_path: Path) -> None:
    """One whose metadata tell that it does not fit is seen before: the old one stays."""
    code, _ = outcome(lambda: place.renew(place.slices[0], bad_slice(tmp_path / "other", "shape")))
    assert (code, place.untouched()) == (3, "")
    expected = place.fresh(1)
    cut = Path(shutil.copytree(place.slices[1], tmp_path / "cut"))
    largest = max(
        (path for path in cut.rglob("*") if path.is_file() and path.suffix != ".json"),
        key=lambda path: path.stat().st_size,
    )
    largest.write_bytes(largest.read_bytes()[:-5])
    code, _ = outcome(lambda: place.renew(place.slices[0], cut))
    assert (code, differ(tree_of(look(place.around)), expected)) == (5, "")


def test_slice_in_the_old_target(place: Place) -> None:
    assert outcome(lambda: place.renew(place.target))[0] == 3
    assert place.untouched() == ""


@pytest.mark.parametrize("number", ["EINVAL", "ENOSYS", "EOPNOTSUPP", "EXDEV", "EBUSY"])
@pytest.mark.parametrize("at", [1, 2])
def test_file_system_that_cannot_exchange_folders(number: str, at: int, place: Place) -> None:
    """Found out before any work where a trial tells; the message says what to do; nothing is left."""
    with refusing(getattr(errno, number), at), pytest.raises(AbilityError, match="append to another path"):
        place.renew()
    assert place.untouched() == ""


def test_file_system_without_links(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(exchange, "link", refuse)
    with pytest.raises(AbilityError, match="links"):
        place.renew()
    assert place.untouched() == ""


def test_mount_point(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(place.target))
    with pytest.raises(AbilityError, match="mount point"):
        place.renew()
    assert place.untouched() == ""


@pytest.mark.parametrize("dry_run", [False, True])
def test_journal_beside(dry_run: bool, place: Place) -> None:
    with pytest.raises(ConfigError, match="must be in the folder itself"):
        place.renew(journal="beside", dry_run=dry_run)
    assert place.untouched() == ""


def test_object_store(place: Place) -> None:
    zapz.append("memory://force/cube.zarr", place.slices[0])
    with pytest.raises(AbilityError, match="object stores"):
        zapz.append("memory://force/cube.zarr", place.slices[0], force_new=True)
