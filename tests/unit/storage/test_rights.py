"""Mode, owner, group, access control lists and extended attributes: what replaces a file keeps them, at every moment and after every crash.

Who could not read a dataset's file, its journal, or a file on its way into it, cannot read it while it is replaced, or afterwards.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import cubes
from kit.crash_states import LOST, Case, Failing, State, become, look, recorded, tree_of
from kit.faulty_runs import ROOT, Server
from kit.trees import modes

import zapz
from zapz.errors import ConflictError, StoreError
from zapz.storage.local import rights
from zapz.storage.local.rights import ACCESS, Rights, least
from zapz.storage.local.store import LocalStore
from zapz.testing import CHANGES, LOOKS, watched_files
from zapz.txn.local import transaction

SETTINGS: dict[str, Any] = {"workers": 1, "label_chunk": "keep"}
OWNER, GROUP, OTHER_GROUP = 41001, 41002, 41003
needs_root = pytest.mark.skipif(not ROOT, reason="only root can give files to other users and groups")


def acl(*named: tuple[int, int], group: int = 4, mask: int = 6, other: int = 0) -> bytes:
    """Return a list as Linux stores it: the owner may read and write, these users what they may."""
    entries = [(0x01, 6, -1), *((0x02, perm, who) for who, perm in named), (0x04, group, -1), (0x10, mask, -1)]
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, perm, who & 0xFFFFFFFF) for tag, perm, who in [*entries, (0x20, other, -1)]
    )


def extra_of(path: Path) -> dict[str, bytes]:
    """Return a file's extended attributes but those of the system's own policy."""
    names = os.listxattr(path, follow_symlinks=False) if hasattr(os, "listxattr") else []
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names if not name.startswith("security.")}


def set_extra(path: Path, name: str, value: bytes) -> None:
    """Set an extended attribute, or skip the test."""
    if not hasattr(os, "setxattr"):
        pytest.skip("Python sets extended attributes on Linux only")
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EPERM}:
            raise
        pytest.skip(f"the file system of the temporary folder takes no {name}: {error.strerror}")


class Cube:
    """A target whose boundary chunks, documents and register the next slice replaces."""

    def __init__(self, folder: Path, zarr_format: int = 2, **settings: Any) -> None:
        self.target = folder / "cube.zarr"
        self.zarr_format = zarr_format
        self.settings = {**SETTINGS, **settings}
        self.slices = [folder / f"s{n}.zarr" for n in range(3)]
        options: dict[str, Any] = {"zarr_format": zarr_format, "shape": (2,), "static": False, "time_chunk": 3}
        for number, path in enumerate(self.slices):
            cubes.make_slice(path, start=2 * number, steps=2, chunks=(3, 2), **options)
        self.append(0)

    @property
    def chunk(self) -> str:
        """The boundary chunk of the labels."""
        return "time/0" if self.zarr_format == 2 else "time/c/0"

    def append(self, *numbers: int, **settings: Any) -> zapz.Report:
        """Append slices."""
        return zapz.append(self.target, [self.slices[n] for n in numbers], **{**self.settings, **settings})

    def files(self) -> list[Path]:
        """Return all its files."""
        return sorted(path for path in self.target.rglob("*") if path.is_file())

    def hide(self, mode: int = 0o600) -> None:
        """Let only the owner read its files."""
        for path in self.files():
            path.chmod(mode)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(params=[2, 3])
def cube(request: pytest.FixtureRequest, tmp_path: Path) -> Cube:
    return Cube(tmp_path, request.param)


@pytest.fixture
def hidden(tmp_path: Path) -> Cube:
    """Give a target whose files only the owner may read, in a folder that everybody may look into."""
    made = Cube(tmp_path, register=True)
    made.hide()
    return made


def no_links(*_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "no links")


def replaced(cube: Cube, *numbers: int, **settings: Any) -> list[Path]:
    """Append slices, and return what was replaced."""
    before = {path: path.read_bytes() for path in cube.files()}
    cube.append(*numbers, **settings)
    return [path for path, data in before.items() if path.read_bytes() != data]


# -- what is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664, 0o604, 0o755])
def test_mode_is_kept(cube: Cube, mode: int, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By chunks, documents and consolidated metadata; new chunks are ordinary files."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    cube.hide(mode)
    before = set(cube.files())
    assert len(replaced(cube, 1)) >= 4
    assert {mode_of(path) for path in before} == {mode}
    umask = os.umask(0)
    os.umask(umask)
    assert {mode_of(path) for path in set(cube.files()) - before} == {0o666 & ~umask}


def test_register_is_kept(hidden: Cube) -> None:
    assert hidden.target / ".zapz/register" in replaced(hidden, 1)
    assert {mode_of(path) for path in hidden.files() if path.name in {".zmetadata", "register", "0"}} == {0o600}


@needs_root
@pytest.mark.parametrize("links", [True, False])
def test_owner_and_group_are_kept(cube: Cube, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    for path in cube.files():
        os.chown(path, OWNER, GROUP)
        path.chmod(0o640)
    for path in replaced(cube, 1):
        found = path.stat()
        assert (found.st_uid, found.st_gid, mode_of(path)) == (OWNER, GROUP, 0o640)


def test_extended_attributes_and_lists_are_kept(cube: Cube) -> None:
    for number, path in enumerate(cube.files()):
        set_extra(path, "user.note", b"%d" % number)
        set_extra(path, ACCESS, acl((OWNER, 4), (GROUP, 0), group=4, mask=4))
    before = {path: (mode_of(path), extra_of(path)) for path in cube.files()}
    assert all(len(extra) == 2 for _, extra in before.values())
    assert len(replaced(cube, 1)) >= 4
    assert {path: (mode_of(path), extra_of(path)) for path in before} == before


@needs_root
def test_privileges_are_not_kept(cube: Cube) -> None:
    """They were given to the old content; a label that says who may read is kept."""
    path = cube.target / cube.chunk
    path.chmod(0o6755)
    set_extra(path, "security.SMACK64", b"label")
    set_extra(path, "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    cube.append(1)
    assert mode_of(path) == 0o755
    names = os.listxattr(path)
    assert "security.SMACK64" in names
    assert "security.capability" not in names


def test_link_is_replaced_by_an_ordinary_file(cube: Cube, tmp_path: Path) -> None:
    """Whatever the rights of what it leads to, which stays as it is."""
    path, outside = cube.target / cube.chunk, tmp_path / "outside"
    ordinary = mode_of(path)
    shutil.move(path, outside)
    outside.chmod(0o600)
    path.symlink_to(outside)
    cube.append(1)
    assert (path.is_symlink(), mode_of(path), mode_of(outside)) == (False, ordinary, 0o600)


def test_rights_that_change_after_the_decision_count(hidden: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash, then somebody hides the dataset, then recovery; durably, before anything is put in place."""
    hidden.hide(0o644)
    states = recorded(hidden.target, lambda: hidden.append(1))
    decided = next(state for state in states if any(key.endswith("/decision") for key in state))
    become(hidden.target, {})
    become(hidden.target, decided)
    for path in hidden.files():
        if ".zapz/txn" not in str(path):
            path.chmod(0o600)
    synced: dict[int, int] = {}
    monkeypatch.setattr("zapz.storage.local.durability._syncfs", lambda: None)
    monkeypatch.setattr(os, "fsync", lambda fd: synced.update({os.fstat(fd).st_ino: os.fstat(fd).st_mode & 0o777}))
    before = {path: path.read_bytes() for path in hidden.files()}
    assert zapz.recover(hidden.target).rolled_forward
    assert {mode_of(path) for path in hidden.files()} == {0o600}
    found = [path for path in hidden.files() if path.read_bytes() != before[path]]
    assert len(found) >= 4
    assert {synced.get(path.stat().st_ino) for path in found} == {0o600}


def test_a_file_that_is_written_anew_keeps_its_rights(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for name, mode in (("a", 0o640), ("b", 0o600)):
        (tmp_path / name).write_bytes(b"old")
        (tmp_path / name).chmod(mode)
    seen: set[int] = set()
    watching(
        tmp_path,
        lambda: [store.write("a", [b"new"]), store.write("c", [b"new"], like="b")],
        lambda: seen.update(mode_of(path) for path in tmp_path.iterdir()),
    )
    assert [(mode_of(tmp_path / name), (tmp_path / name).read_bytes()) for name in "ac"] == [
        (0o640, b"new"),
        (0o600, b"new"),
    ]
    assert seen == {0o640, 0o600}


@needs_root
def test_nobody_gets_access_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for the instant between the new group and the new mode."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    os.chown(path, OWNER, GROUP)
    path.chmod(0o640)
    seen: list[int] = []
    real = os.fchown

    def fchown(descriptor: int, owner: int, group: int) -> None:
        real(descriptor, owner, group)
        seen.append(mode_of(path))

    monkeypatch.setattr(os, "fchown", fchown)
    assert rights.give(str(path), Rights(mode=0o604, owner=OWNER, group=OTHER_GROUP))
    assert (seen, mode_of(path), path.stat().st_gid) == ([0o600], 0o604, OTHER_GROUP)
    assert not rights.give(str(path), Rights(mode=0o604, owner=OWNER, group=OTHER_GROUP))


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "link"
    (tmp_path / "file").write_bytes(b"content")
    before = mode_of(tmp_path / "file")
    path.symlink_to(tmp_path / "file")
    assert rights.rights_of(str(path)) is None
    with pytest.raises(StoreError, match="cannot keep mode and owner"):
        rights.give(str(path), Rights(mode=0o600, owner=None, group=0))
    assert mode_of(tmp_path / "file") == before


# -- what is new -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_documents_follow_the_umask(tmp_path: Path, mask: int, expected: int) -> None:
    before = os.umask(mask)
    try:
        made = Cube(tmp_path, 2, consolidated=False)
        made.append(1, consolidated=True, register=True)
    finally:
        os.umask(before)
    assert {mode_of(path) for path in made.files()} == {expected}


@pytest.mark.parametrize("mask", [0o022, 0o002])
def test_new_documents_tell_nobody_what_others_hide(tmp_path: Path, mask: int) -> None:
    """Consolidated metadata and the register, where there were none, tell of documents that only the owner may read."""
    before = os.umask(mask)
    try:
        made = Cube(tmp_path, 2, consolidated=False)
        made.hide()
        made.append(1, consolidated=True, register=True)
    finally:
        os.umask(before)
    assert [mode_of(made.target / name) for name in (".zmetadata", ".zapz/register")] == [0o600, 0o600]


@needs_root
def test_new_documents_have_the_group_of_their_folder(tmp_path: Path) -> None:
    """Although they are staged in a folder of another group, beside the target."""
    made = Cube(tmp_path, 2, consolidated=False, journal="beside")
    for path in (made.target, *made.target.rglob("*")):
        os.chown(path, -1, GROUP)
    made.target.chmod(0o2775)
    made.append(1, consolidated=True)
    found = (made.target / ".zmetadata").stat()
    assert (found.st_gid, found.st_mode & 0o777) == (GROUP, mode_of(made.target / ".zgroup"))


def test_new_documents_have_the_default_list_of_their_folder(tmp_path: Path) -> None:
    made = Cube(tmp_path, 2, consolidated=False, journal="beside")
    for path in (made.target, *made.target.rglob("*")):
        set_extra(path, ACCESS, acl((OWNER, 4), group=4, mask=6, other=4))
    set_extra(made.target, "system.posix_acl_default", acl((OWNER, 4), group=4, mask=6, other=4))
    trial = made.target / "trial"
    trial.touch()
    expected = mode_of(trial), extra_of(trial)
    trial.unlink()
    made.append(1, consolidated=True)
    assert (mode_of(made.target / ".zmetadata"), extra_of(made.target / ".zmetadata")) == expected


# -- at every moment ---------------------------------------------------------------------------------------------------


def watching(target: Path, run: Callable[[], Any], see: Callable[[], None]) -> int:
    """Run something, and look after each change; return how often."""
    count = 0

    def act(name: str, do: Callable[[], Any]) -> Any:
        nonlocal count
        answer = do()
        if name in CHANGES:
            count += 1
            see()
        return answer

    with watched_files(target, act):
        run()
    return count


@pytest.mark.parametrize("links", [True, False])
def test_nothing_hidden_is_shown_for_an_instant(hidden: Cube, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what is on its way nor what tells of it: staged files, the journal, the register, names beside the destination."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    old = set(hidden.files())
    shown: set[str] = set()
    seen: set[str] = set()

    def see() -> None:
        for path in hidden.files():
            name = path.relative_to(hidden.target).as_posix()
            if name.startswith(".zapz/") and path.name in {"head", "commit", "decision"}:
                continue
            temporary = path.name.startswith(".decision.")  # without links: a decision
            if (path in old or name.startswith(".zapz/") or path.name.count(".") == 2) and not temporary:
                seen.add(path.name)
                if mode_of(path) & 0o077 and path.stat().st_size:
                    shown.add(f"{name}: {mode_of(path):o}")

    assert watching(hidden.target, lambda: hidden.append(1), see) > 50
    assert not shown
    assert {"journal", "000001", "register", ".zmetadata"} <= seen


def test_files_of_a_hidden_folder_are_not_staged_in_an_open_one(cube: Cube) -> None:
    (cube.target / "data").chmod(0o700)
    found: set[int] = set()

    def see() -> None:
        for path in cube.target.glob(".zapz/txn/*/*"):
            found.add(mode_of(path.parent))

    watching(cube.target, lambda: cube.append(1), see)
    assert found == {0o700}
    (cube.target / "data").chmod(0o755)
    found.clear()
    watching(cube.target, lambda: cube.append(2), see)
    umask = os.umask(0)
    os.umask(umask)
    assert found == {0o777 & ~umask}


def test_journal_beside_a_hidden_target_is_hidden(tmp_path: Path) -> None:
    made = Cube(tmp_path, 2, journal="beside", register=True)
    made.target.chmod(0o700)
    made.append(1)
    assert mode_of(tmp_path / "cube.zarr.zapz") == 0o700


def test_a_hidden_array_in_a_folder_without_write_permission(cube: Cube) -> None:
    """Its folder is no model for one that must be written into."""
    labels = cube.target / "static"
    cubes.write_array(cube.target, "static", cubes.values_of((2,), "<f4"), dims=["y"], zarr_format=cube.zarr_format)
    labels.chmod(0o500)
    try:
        seen: set[int] = set()
        watching(
            cube.target,
            lambda: cube.append(1),
            lambda: seen.update(mode_of(path) for path in cube.target.glob(".zapz/txn/*")),
        )
    finally:
        labels.chmod(0o755)
    assert 0o700 in seen
    assert 0o500 not in seen


def test_rights_are_durable_before_the_decision(hidden: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: dict[int, int] = {}
    monkeypatch.setattr("zapz.storage.local.durability._syncfs", lambda: None)
    monkeypatch.setattr(os, "fsync", lambda fd: synced.update({os.fstat(fd).st_ino: os.fstat(fd).st_ctime_ns}))
    at: dict[str, int] = {}
    real = os.link

    def link(source: str, destination: str, **options: Any) -> None:
        if destination.endswith("/decision"):
            folder = Path(destination).parent
            at.update({path.name: path.stat().st_ctime_ns - synced[path.stat().st_ino] for path in folder.glob("0*")})
        real(source, destination, **options)

    monkeypatch.setattr(os, "link", link)
    hidden.append(1)
    assert len(at) >= 6
    assert set(at.values()) == {0}


# -- crashes and failures ----------------------------------------------------------------------------------------------

Whole = tuple[State, dict[str, int]]
"""A folder with modes."""


def whole(target: Path) -> Whole:
    return look(target), modes(target)


def put_back(target: Path, state: Whole) -> None:
    """Make a folder what it was, modes included."""
    become(target, {})
    become(target, state[0])
    for name, mode in state[1].items():
        (target / name).chmod(mode)


def same(one: Whole, other: Whole) -> bool:
    return tree_of(one[0]) == tree_of(other[0]) and one[1] == other[1]


@pytest.fixture
def story(hidden: Cube) -> tuple[Case, Path, Whole, Whole]:
    """Give an append, and its target before and after, files of an unusual mode in it."""
    hidden.hide(0o640)
    (hidden.target / ".zapz/register").unlink()  # one document is new
    (hidden.target / ".zapz").rmdir()
    before = whole(hidden.target)
    hidden.append(1)
    after = whole(hidden.target)
    assert sum(mode == 0o640 for mode in after[1].values()) == sum(mode == 0o640 for mode in before[1].values()) + 1 > 6
    put_back(hidden.target, before)
    return Case((hidden.slices[1],), {**SETTINGS, "register": True}, (), {}, 2), hidden.target, before, after


@pytest.mark.parametrize("links", [True, False])
def test_crash_after_every_change(
    story: tuple[Case, Path, Whole, Whole], links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovered, also after a crash in recovery, it is as before or as after, modes included."""
    case, target, before, after = story
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    states: list[Whole] = []

    def see() -> None:
        if not states or not same(state := whole(target), states[-1]):
            states.append(state if states else whole(target))

    watching(target, lambda: case.append(target), see)
    assert len(states) > 40
    found = []
    for number, state in enumerate(states):
        put_back(target, state)
        again: list[Whole] = []
        if number % 8:
            zapz.recover(target)
        else:
            watching(target, lambda: zapz.recover(target), lambda again=again: again.append(whole(target)))  # type: ignore[misc]
        end = whole(target)
        found.append((same(end, before), same(end, after)))
        assert any(found[-1]), f"after change {number}: {sorted(end[1].items() ^ after[1].items())}"
        for cut in again[::4]:
            put_back(target, cut)
            assert case.append(target)[0] == 0
            assert same(whole(target), after), f"after change {number}, and a crash in recovery"
    assert {(True, False), (False, True)} == set(found)


@pytest.mark.parametrize("there", [0o644, None])
def test_a_copy_that_was_cut_short_gets_its_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: int | None
) -> None:
    """A recovery died when the copy beside the destination was complete and not yet what it was to be."""
    monkeypatch.setattr(os, "link", no_links)
    store = LocalStore(tmp_path)
    store.create("txn/id/000001", [b"new"])
    (tmp_path / "txn/id/000001").chmod(0o640)
    store.create(".id.000001", [b"new"], 0o600)
    if there is not None:
        store.create("file", [b"old"])
        (tmp_path / "file").chmod(there)
    store.install("txn/id/000001", "file")
    assert ((tmp_path / "file").read_bytes(), mode_of(tmp_path / "file")) == (b"new", there or 0o640)


@pytest.mark.parametrize("how", ["EIO", LOST])
def test_every_operation_fails(story: tuple[Case, Path, Whole, Whole], how: str) -> None:
    """The target is as before or as after, modes included; once it is told that it is committed, as after."""
    case, target, before, after = story
    counting = Failing(0, "EIO")
    with watched_files(target, counting):
        case.append(target)
    assert {"fchmod", "lstat"} <= set(counting.names)
    for at, name in enumerate(counting.names, 1):
        if how == LOST and name in LOOKS:
            continue  # an answer that is only looked at is not lost, but failed
        put_back(target, before)
        with watched_files(target, Failing(at, how)):
            code, message = case.append(target)
        assert code in {0, 6}, f"{name}, {at}: {message}"
        zapz.recover(target)
        end = whole(target)
        wanted = (after,) if code == 0 or "committed" in message else (before, after)
        assert any(same(end, state) for state in wanted), f"{name}, {at}: {sorted(end[1].items() ^ after[1].items())}"


def test_what_is_kept_of_a_conflict_is_hidden(hidden: Cube) -> None:
    """Another tool changes a document between decision and recovery: what was to be there is put aside."""
    states = recorded(hidden.target, lambda: hidden.append(1))
    decided = next(n for n, state in enumerate(states) if any(key.endswith("/decision") for key in state))
    become(hidden.target, {})
    become(hidden.target, states[decided])
    for path in hidden.files():
        path.chmod(0o600)
    (hidden.target / "data/.zattrs").write_text("{}")
    with pytest.raises(ConflictError, match="kept"):
        zapz.recover(hidden.target)
    kept = [path for path in hidden.files() if ".zapz/kept/" in path.as_posix()]
    assert len(kept) > 4
    assert {mode_of(path) for path in kept} == {0o600}


# -- what is not permitted, or does not exist --------------------------------------------------------------------------


def refuse(number: int, *calls: tuple[str, Callable[..., bool]]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what lets calls of the operating system fail where the arguments are such."""

    def install(patch: pytest.MonkeyPatch) -> None:
        for name, such in calls:
            real = getattr(os, name)

            def run(*args: Any, real: Any = real, such: Any = such, **options: Any) -> Any:
                if such(*args):
                    raise OSError(number, os.strerror(number))
                return real(*args, **options)

            patch.setattr(os, name, run)

    return install


def always(*_: Any) -> bool:
    return True


@needs_root
@pytest.mark.parametrize(
    ("mode", "expected"), [(0o664, 0o644), (0o660, 0o600), (0o640, 0o600), (0o604, 0o600), (0o666, 0o666)]
)
def test_group_that_cannot_be_kept(cube: Cube, monkeypatch: pytest.MonkeyPatch, mode: int, expected: int) -> None:
    """The other group gets no more than everybody had, and everybody no more than the group had."""
    refuse(errno.EPERM, ("fchown", always))(monkeypatch)
    for path in cube.files():
        os.chown(path, OWNER, GROUP)
        path.chmod(mode)
    found = replaced(cube, 1)
    assert len(found) >= 4
    assert {(mode_of(path), path.stat().st_gid) for path in found} == {(expected, os.getegid())}


@needs_root
def test_owner_alone_that_cannot_be_kept(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(errno.EPERM, ("fchown", lambda _, owner, __: owner != -1))(monkeypatch)
    for path in cube.files():
        os.chown(path, OWNER, GROUP)
        path.chmod(0o660)
    for path in replaced(cube, 1):
        assert (path.stat().st_uid, path.stat().st_gid, mode_of(path)) == (os.geteuid(), GROUP, 0o660)


@needs_root
def test_list_in_a_group_that_cannot_be_kept(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cube.target / cube.chunk
    os.chown(path, -1, GROUP)
    set_extra(path, ACCESS, acl((OWNER, 6), group=6, mask=6, other=4))
    refuse(errno.EPERM, ("fchown", always))(monkeypatch)
    cube.append(1)
    assert extra_of(path) == {ACCESS: acl((OWNER, 6), group=4, mask=6, other=4)}


def test_list_that_cannot_be_kept(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody was let in, and somebody kept out: without the list both are kept out."""
    path = cube.target / cube.chunk
    set_extra(path, ACCESS, acl((OWNER, 6), (GROUP, 0), group=4, mask=6, other=4))
    refuse(errno.ENOTSUP, ("setxattr", lambda _, name, __: name == ACCESS))(monkeypatch)
    cube.append(1)
    assert (mode_of(path), extra_of(path)) == (0o600, {})


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EPERM, errno.ENOSYS])
def test_file_system_without_modes_and_attributes(cube: Cube, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    for path in cube.files():
        set_extra(path, "user.note", b"1")
    refuse(number, *((name, always) for name in ("fchmod", "fchown", "listxattr", "getxattr", "setxattr")))(monkeypatch)
    assert cube.append(1).appended == 1
    assert zapz.info(cube.target).dims["time"] == 4


def test_system_without_extended_attributes(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python on macOS."""
    for name in ("listxattr", "getxattr", "setxattr", "removexattr"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(rights, "_HAS_EXTRA", False)
    cube.hide()
    assert {mode_of(path) for path in replaced(cube, 1)} == {0o600}


# -- several users -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shared() -> Iterator[Path]:
    """Give a folder that belongs to a group, whose files do too."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="zapz-test-") as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "shared").mkdir()
        os.chown(place / "shared", 0, GROUP)
        (place / "shared").chmod(0o2770)
        yield place


ALICE: dict[str, Any] = {"uid": 42001, "groups": [GROUP], "umask": 0o002}
BOB: dict[str, Any] = {"uid": 42002, "groups": [GROUP], "umask": 0o002}
EVE: dict[str, Any] = {"uid": 42003, "groups": [], "umask": 0o002}


def slices_in(place: Path) -> list[Path]:
    made = [place / f"s{n}.zarr" for n in range(3)]
    for number, path in enumerate(made):
        cubes.make_slice(path, start=2 * number, steps=2, shape=(2,), chunks=(3, 2), static=False, time_chunk=3)
    for path in place.rglob("s?.zarr/**/*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return made


@needs_root
def test_users_who_share_a_group_take_turns(shared: Path, server: Server) -> None:
    slices, target = slices_in(shared), shared / "shared/cube.zarr"
    order: dict[str, Any] = {"settings": {**SETTINGS, "register": True}}
    for who, part in zip((ALICE, BOB, ALICE), slices, strict=True):
        reply = server.run("append", target, part, **order, **who)
        assert reply["code"] == 0, reply["message"]
    for path in (target, *target.rglob("*")):
        found = path.stat()
        assert (found.st_gid, mode_of(path)) == (GROUP, 0o2775 if path.is_dir() else 0o664), path
    assert {path.stat().st_uid for path in target.rglob("*")} == {ALICE["uid"], BOB["uid"]}
    assert server.run("append", target, slices[0], **order, **EVE)["code"] == 6


@needs_root
@pytest.mark.parametrize("private", [False, True])
def test_another_user_of_the_group_recovers(shared: Path, server: Server, private: bool) -> None:
    """Whenever the first one died: before, at and after the decision; also where nobody but the group may look."""
    slices, first = slices_in(shared), shared / "shared/first.zarr"
    assert server.run("append", first, slices[0], settings=SETTINGS, **ALICE)["code"] == 0
    for path in first.rglob("*") if private else ():
        path.chmod(0o2770 if path.is_dir() else 0o660)
    count = server.run("append", fresh(first, "count"), slices[1], settings=SETTINGS, **ALICE)["ops"]
    lengths = set()
    for point in range(1, count + 1, 3):
        target = fresh(first, f"t{point}")
        server.run("append", target, slices[1], settings=SETTINGS, kill=point, torn=True, **ALICE)
        reply = server.run("recover", target, **BOB)
        assert reply["code"] == 0, f"{point} of {count}: {reply['message']}"
        lengths.add(zapz.info(target).dims["time"])
        for path in target.rglob("*"):
            expected = (0o2770, 0o660) if private and path.name not in {"1", "1.0"} else (0o2775, 0o664)
            assert mode_of(path) == expected[path.is_file()], f"{point}: {path}"
            assert path.stat().st_gid == GROUP
    assert lengths == {2, 4}


def fresh(source: Path, name: str) -> Path:
    """Copy a target with owners and modes."""
    target = source.parent / name
    shutil.copytree(source, target)
    for path in (source, *source.rglob("*")):
        there, found = target / path.relative_to(source), path.stat()
        os.chown(there, found.st_uid, found.st_gid)
        there.chmod(stat.S_IMODE(found.st_mode))
    return target


@needs_root
def test_folder_without_write_permission(shared: Path, server: Server) -> None:
    slices, target = slices_in(shared), shared / "shared/cube.zarr"
    assert server.run("append", target, slices[0], settings=SETTINGS, **ALICE)["code"] == 0
    (target / "data").chmod(0o2555)
    before = whole(target)
    reply = server.run("append", target, slices[1], settings=SETTINGS, **ALICE)
    assert reply["code"] == 6
    assert f"{target}/data/" in reply["message"]
    assert "Check the permissions" in reply["message"]
    assert same(whole(target), before)


@needs_root
def test_stale_chunk_that_may_not_be_read(shared: Path, server: Server) -> None:
    """It is replaced all the same; its owner may read what replaces it, or zapz could not put it in place."""
    slices, target = slices_in(shared), shared / "shared/cube.zarr"
    assert server.run("append", target, slices[0], settings=SETTINGS, **ALICE)["code"] == 0
    stale = target / "data/1.0"
    stale.write_bytes(b"stale")
    os.chown(stale, ALICE["uid"], GROUP)
    stale.chmod(0)
    reply = server.run("append", target, slices[1], settings=SETTINGS, **ALICE)
    assert reply["code"] == 0, reply["message"]
    assert mode_of(stale) == 0o400


# -- a target that is replaced as a whole ------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_new_target_in_place_of_a_hidden_one(hidden: Cube, zarr_format: int) -> None:
    """Folders and documents keep their rights; documents of the other format are as hidden as the old ones."""
    hidden.target.chmod(0o2751)
    (hidden.target / "data").chmod(0o700)
    set_extra(hidden.target, "user.note", b"old")
    shown: set[str] = set()

    def see() -> None:
        for folder in hidden.target.parent.glob("*cube.zarr*"):
            for path in folder.rglob("*"):
                if path.name in {"fresh", "doomed", ".zarray", ".zattrs", ".zgroup", "zarr.json", ".zmetadata"}:
                    shown.update(
                        [f"{path}: {mode_of(path):o}"] if path.stat().st_size and mode_of(path) & 0o077 else []
                    )

    watching(
        hidden.target.parent, lambda: hidden.append(1, 2, force_new=True, zarr_format=zarr_format, register=True), see
    )
    assert not shown
    assert mode_of(hidden.target) == 0o2751
    assert stat.S_IMODE((hidden.target / "data").stat().st_mode) & 0o777 == 0o700
    assert extra_of(hidden.target) == {"user.note": b"old"}
    documents = [p for p in hidden.files() if p.name.startswith((".z", "zarr", "register"))]
    assert len(documents) > 3
    assert {mode_of(path) for path in documents} == {0o600}
    assert sorted(path.name for path in hidden.target.parent.glob("*cube.zarr*")) == ["cube.zarr"]


def test_new_target_keeps_the_rights_of_each_document(hidden: Cube) -> None:
    names = [".zgroup", "data/.zarray", "time/.zarray", ".zmetadata"]
    for number, name in enumerate(names):
        (hidden.target / name).chmod(0o600 | number)
    hidden.append(1, force_new=True)
    assert [mode_of(hidden.target / name) & 7 for name in names] == [0, 1, 2, 3]


@needs_root
def test_new_target_keeps_owner_and_lists(hidden: Cube) -> None:
    os.chown(hidden.target, OWNER, GROUP)
    set_extra(hidden.target, ACCESS, acl((OTHER_GROUP, 7), group=5, mask=7, other=5))
    set_extra(hidden.target, "system.posix_acl_default", acl((OTHER_GROUP, 4), group=4, mask=6))
    before = hidden.target.stat(), extra_of(hidden.target)
    hidden.append(1, force_new=True)
    found = hidden.target.stat()
    assert (found.st_uid, found.st_gid, found.st_mode) == (OWNER, GROUP, before[0].st_mode)
    assert extra_of(hidden.target) == before[1]


# -- the arithmetic ----------------------------------------------------------------------------------------------------

PEOPLE = [(owner, group) for owner in (1, 2, 3) for group in (10, 20, 30)]
"""Users with the one group that they are in; 1 and 10 are a file's owner and group, or not."""


def may(who: tuple[int, int], found: Rights) -> int:
    """Return what somebody may do with a file: as POSIX says."""
    if who[0] == found.owner:
        return found.mode >> 6 & 7
    if found.acl is None:
        return found.mode >> 3 & 7 if who[1] == found.group else found.mode & 7
    entries = [(tag, perm, user) for tag, perm, user in struct.iter_unpack("<HHI", found.acl[4:])]
    mask = next(perm for tag, perm, _ in entries if tag == 0x10)
    for tag, perm, user in entries:
        if tag == 0x02 and user == who[0]:
            return int(perm & mask)
    if who[1] == found.group:
        return int(next(perm & mask for tag, perm, _ in entries if tag == 0x04))
    return int(next(perm for tag, perm, _ in entries if tag == 0x20))


def listed(group: int, mask: int, other: int, named: int, gid: int = 10) -> Rights:
    mode = 0o600 | mask << 3 | other
    return Rights(mode=mode, owner=1, group=gid, extra={ACCESS: acl((2, named), group=group, mask=mask, other=other)})


PLAIN = [Rights(mode=0o600 | g << 3 | o, owner=1, group=10) for g in (0, 4, 6) for o in (0, 4, 6)]
LISTED = [listed(*bits) for bits in itertools.product((0, 4, 6), repeat=4)]


@pytest.mark.parametrize("group", [20, 30])
def test_another_group_lets_nobody_in(group: int) -> None:
    for old in (*PLAIN, *LISTED):
        new = old.in_another_group(group)
        assert new.group == group
        for who in PEOPLE:
            assert may(who, new) & ~may(who, old) == 0, (who, old, new)


def test_dropping_the_list_lets_nobody_in() -> None:
    for old in LISTED:
        new = old.without_list()
        assert new.acl is None
        for who in PEOPLE:
            assert may(who, new) & ~may(who, old) == 0, (who, old, new)


def test_least_is_within_all() -> None:
    others = [Rights(mode=0o600 | g << 3 | o, owner=1, group=20) for g in (0, 4, 6) for o in (0, 4, 6)]
    some = [*PLAIN, *others, *LISTED[::7]]
    for one, two in itertools.product(some, repeat=2):
        new = least([one, two])
        for who in PEOPLE:
            assert may(who, new) & ~(may(who, one) & may(who, two)) == 0, (who, one, two, new)
        if one == two:
            assert (new.mode, new.group, new.acl) == (one.mode, one.group, one.acl)


def test_within() -> None:
    others = [Rights(mode=0o600 | g << 3 | o, owner=1, group=20) for g in (0, 4, 6) for o in (0, 4, 6)]
    held = [(a, b) for a, b in itertools.product([*PLAIN, *others, *LISTED], repeat=2) if a.within(b)]
    assert len(held) > len(PLAIN) + len(LISTED)
    for one, two in held:
        for who in PEOPLE:
            assert may(who, one) & ~may(who, two) == 0, (who, one, two)


def test_transactions_use_all_this() -> None:
    """What a new document is likened to: its neighbours; at the root, all."""
    known = [".zgroup", "a/.zarray", "b/.zarray", "b/c/.zarray"]
    assert transaction.neighbours("a/.zattrs", known) == ["a/.zarray"]
    assert transaction.neighbours("b/c/d/.zarray", known) == ["b/c/.zarray"]
    assert transaction.neighbours(".zmetadata", known) == known
    assert transaction.neighbours(".zapz/register", known) == known
