"""Rights that are not needed are not asked for, and those that are needed are named before anything is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zarr
from kit import cubes
from kit.faulty_runs import WARM
from kit.objects import World, read_line, write_line

import zapz
from zapz.errors import AbilityError, StoreError
from zapz.storage.layout import HEAD
from zapz.storage.objects import store
from zapz.storage.objects.errors import is_denied
from zapz.storage.objects.permissions import needed
from zapz.testing import AnswerError, ObjectService

ROWS, MORE, LAST = (1, 2, 3, 4, 5), (6, 7, 8), (9,)
SETTINGS = {"workers": 1, "label_chunk": "keep"}


def put(service: ObjectService, folder: Path, root: str) -> str:
    """Copy a folder to the service, and return its URI."""
    for path in folder.rglob("*"):
        if path.is_file():
            service.overwrite(f"{root}/{path.relative_to(folder)}", path.read_bytes())
    return f"testing://{root}"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Give a service on which slices can be named too."""
    world = World(monkeypatch)

    def opened(uri: str | os.PathLike[str], *args: object, **kwargs: object) -> object:
        text = os.fspath(uri)
        return (
            world.store(text.removeprefix("testing://"))
            if text.startswith("testing://")
            else original(text, *args, **kwargs)
        )  # type: ignore[arg-type]

    from zapz.sources import open_slice

    original = open_slice.open_store
    monkeypatch.setattr(open_slice, "open_store", opened)
    return world


def line(folder: Path, zarr_format: int) -> Path:
    """Write a slice with consolidated metadata, its array in a group."""
    path = folder / f"line-{zarr_format}.zarr"
    if zarr_format == 2:
        return write_line(path, ROWS)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array("deep/x", shape=(5,), chunks=(4,), dtype="<i4", fill_value=-1, dimension_names=("time",))
    array[:] = ROWS
    cubes.consolidate(path, zarr_format=3)
    return path


# -- slices on object services ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("listable", [True, False], ids=["a bucket", "a web server"])
def test_a_slice_that_may_not_be_listed(zarr_format: int, listable: bool, world: World, tmp_path: Path) -> None:
    """Only what its consolidated metadata name is asked for, besides the two documents in which these can be."""
    path = line(tmp_path, zarr_format)
    zapz.append(tmp_path / "expected.zarr", path, append_dim="time")
    uri = put(world.service, path, "bucket/slice")
    world.service.denied = {"list"}
    world.service.listable = listable
    zapz.append(tmp_path / "cube.zarr", uri, append_dim="time")
    cube, expected = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (tmp_path / "cube.zarr", tmp_path / "expected.zarr"))  # fmt: skip
    assert cube == expected
    asked = {r.path.removeprefix("bucket/slice/") for r in world.service.log}
    assert asked <= {".zmetadata", "zarr.json", *(str(p.relative_to(path)) for p in path.rglob("*"))}


def test_a_slice_that_is_neither_listed_nor_consolidated(world: World, tmp_path: Path) -> None:
    path = line(tmp_path, 2)
    (path / ".zmetadata").unlink()
    uri = put(world.service, path, "bucket/slice")
    zapz.append(tmp_path / "control.zarr", uri)
    world.service.denied = {"list"}
    with pytest.raises(StoreError, match="needs consolidated metadata") as caught:
        zapz.append(tmp_path / "cube.zarr", uri)
    assert caught.value.exit_code == 6
    assert "the right to list" in caught.value.hint
    assert "testing://bucket/slice/*" in caught.value.hint
    assert not (tmp_path / "cube.zarr").exists()


def test_a_missing_chunk_that_may_be_a_forbidden_one(world: World, tmp_path: Path) -> None:
    """Where the bucket can be listed, a missing chunk is fill; where it cannot, nobody knows, and nothing is appended."""
    uri = put(world.service, line(tmp_path, 2), "bucket/slice")
    del world.service.objects["bucket/slice/x/0"]
    zapz.append(tmp_path / "control.zarr", uri)
    assert zarr.open_group(tmp_path / "control.zarr")["x"][:].tolist() == [-1, -1, -1, -1, 5]
    world.service.denied = {"list"}
    with pytest.raises(StoreError, match=r"x/0") as caught:
        zapz.append(tmp_path / "cube.zarr", uri)
    assert caught.value.code == "store"
    assert "the right to read" in caught.value.hint
    assert "Without the right to list" in caught.value.hint
    assert not (tmp_path / "cube.zarr").exists()


def test_a_document_that_consolidated_metadata_name_and_that_is_denied(world: World, tmp_path: Path) -> None:
    uri = put(world.service, line(tmp_path, 2), "bucket/slice")
    del world.service.objects["bucket/slice/x/.zattrs"]
    world.service.denied = {"list"}
    with pytest.raises(StoreError, match=r"x/.zattrs"):
        zapz.append(tmp_path / "cube.zarr", uri)
    world.service.listable = False
    world.service.denied = {"get"}
    with pytest.raises(StoreError, match="Needed: the right to read"):
        zapz.append(tmp_path / "cube.zarr", uri)


# -- targets on object services ---------------------------------------------------------------------------------------------


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PROBED", {})


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("probed", [True, False])
def test_a_target_has_to_be_listed(exists: bool, probed: bool, world: World, unprobed: None, tmp_path: Path) -> None:
    """That is said before anything is written, the probing of the service included."""
    if exists:
        zapz.append(world.store(), write_line(tmp_path / "a.zarr", ROWS), **SETTINGS)
    before = world.service.snapshot()
    world.service.denied = {"list"}
    world.service.probed = probed
    world.service.log.clear()
    with pytest.raises(StoreError, match=r"the right to list") as caught:
        zapz.append(world.store(), write_line(tmp_path / "b.zarr", MORE), **SETTINGS)
    assert "the right to write" in caught.value.hint or "the right to read" in caught.value.hint
    assert "testing://bucket/cube/*" in caught.value.hint
    assert not [r for r in world.service.log if r.changes]
    assert world.service.objects == before


@pytest.mark.parametrize("probed", [True, False])
def test_nothing_has_to_be_deleted(probed: bool, world: World, unprobed: None, tmp_path: Path) -> None:
    """What is left lies in our own folder, and is no data."""
    world.service.denied = {"delete"}
    world.service.probed = probed
    for name, rows in (("a", ROWS), ("b", MORE), ("c", LAST)):
        zapz.append(world.store(), write_line(tmp_path / f"{name}.zarr", rows), **SETTINGS)
    assert read_line(world.service.objects) == ROWS + MORE + LAST
    left = {path for path in world.service.objects if path.startswith("bucket/cube/.zapz/")}
    assert {p.split("/")[3].partition("-")[0] for p in left} <= {"head", "txn", "probe"}
    assert zapz.recover(world.store()).clean


@pytest.mark.parametrize("command", ["recover", "vacuum"])
def test_what_a_killed_probe_left(command: str, world: World, tmp_path: Path) -> None:
    """It is removed once nobody can be at it any more; where it may not be, that is no reason to fail."""
    zapz.append(world.store(), write_line(tmp_path / "a.zarr", ROWS), **SETTINGS)
    now = int(world.clock.time())
    old, young = (f"bucket/cube/.zapz/probe-{then:x}-abc" for then in (now - 10_000, now - 10))
    for path in (old, young, "bucket/cube/.zapz/probe-mine"):
        world.service.overwrite(path, b"1")
    world.service.denied = {"delete"}
    assert zapz.recover(world.store()).clean
    assert old in world.service.objects
    world.service.denied = set()
    getattr(zapz, command)(world.store())
    left = {path for path in world.service.objects if "probe" in path}
    assert left == {young, "bucket/cube/.zapz/probe-mine"}


def test_vacuum_names_the_right_to_delete(world: World, tmp_path: Path) -> None:
    for name, rows in (("a", ROWS), ("b", MORE)):
        world.service.denied = {"delete"}
        zapz.append(world.store(), write_line(tmp_path / f"{name}.zarr", rows), **SETTINGS)
    world.clock.now += 7200
    with pytest.raises(StoreError, match=r"Needed: the right to delete for testing://bucket/cube/\*"):
        zapz.vacuum(world.store())
    world.service.denied = set()
    assert zapz.vacuum(world.store()).removed >= 1
    assert read_line(world.service.objects) == ROWS + MORE


def test_a_lock_that_is_an_object_has_to_be_deleted(world: World, unprobed: None, tmp_path: Path) -> None:
    world.service.conditional = False
    world.service.probed = False
    world.service.denied = {"delete"}
    with pytest.raises(AbilityError, match="the right to delete"):
        zapz.append(world.store(), write_line(tmp_path / "a.zarr", ROWS), **SETTINGS)
    assert f"bucket/cube/{HEAD}" not in world.service.objects
    assert not [path for path in world.service.objects if "probe" not in path]
    world.service.denied = set()
    store._PROBED.clear()
    zapz.append(world.store(), tmp_path / "a.zarr", **SETTINGS)
    assert read_line(world.service.objects) == ROWS


def test_the_right_to_write_is_named(world: World, unprobed: None, tmp_path: Path) -> None:
    path = write_line(tmp_path / "a.zarr", ROWS)
    for probed in (True, False):
        world.service.denied = {"put", "put_new", "put_over"}
        world.service.probed = probed
        with pytest.raises(StoreError, match=r"Needed: the right to write for testing://bucket/cube/\*"):
            zapz.append(world.store(), path, **SETTINGS)
        assert world.service.objects == {}


def test_rights_by_their_names() -> None:
    said = needed("s3://bucket/cube.zarr", "cannot list")
    assert said.startswith("Needed: s3:ListBucket for s3://bucket/cube.zarr/*.")
    assert "s3:GetObject and s3:PutObject" in said
    assert "s3:GetObject" in needed("s3://bucket/day.zarr", "cannot stat")
    assert "storage.objects.delete" in needed("gs://bucket/cube.zarr", "cannot write")
    assert needed("s3://bucket/cube.zarr", "cannot open storage") == ""


def test_what_is_a_missing_right() -> None:
    botocore = pytest.importorskip("botocore.exceptions", reason="s3fs is not installed")
    translate = pytest.importorskip("s3fs.errors", reason="s3fs is not installed").translate_boto_error

    def answer(status: int, code: str) -> BaseException:
        error = botocore.ClientError(
            {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject"
        )
        translated: BaseException = translate(error)
        translated.__cause__ = error
        return translated

    assert is_denied(answer(403, "AccessDenied"))
    assert is_denied(answer(403, "403"))
    assert is_denied(AnswerError(403))
    assert not is_denied(answer(403, "InvalidAccessKeyId"))
    assert not is_denied(answer(403, "SignatureDoesNotMatch"))
    assert not is_denied(answer(404, "NoSuchKey"))
    assert not is_denied(AnswerError(500))


# -- local files ------------------------------------------------------------------------------------------------------------

OTHER = 54321
"""A user that nobody is: root is not asked for rights."""


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="zapz-rights-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


def permit(path: Path, bits: int, inner: int | None = None) -> None:
    """Give owner, group and others the same rights: to a folder, and to all that lies in it (files without `x`)."""
    if inner is not None:
        for below in sorted(path.rglob("*"), reverse=True):
            below.chmod((inner if below.is_dir() else inner & 6) * 0o111)
    path.chmod(bits * 0o111)


CHILD = """
import contextlib, io, json, os, sys, traceback, zapz
for line in sys.stdin:
    process = os.fork()
    if process:
        os.waitpid(process, 0)
        continue
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(OTHER)
        os.setuid(OTHER)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            exec(json.loads(line))
        done = [said.getvalue(), None]
    except BaseException:  # noqa: BLE001 - what Python does
        done = ["", traceback.format_exc()]
    os.write(1, json.dumps(done).encode() + bytes([10]))
    os._exit(0)
"""
Run = Callable[[str], str]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Give what runs code as somebody who has no special rights, and returns what it prints."""
    command = [sys.executable, "-c", WARM + CHILD.replace("OTHER", str(OTHER))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def ask(code: str) -> str:
            print(json.dumps(textwrap.dedent(code)), file=child.stdin, flush=True)
            said, failure = json.loads(child.stdout.readline())  # type: ignore[union-attr]
            assert failure is None, failure
            found: str = said.strip()
            return found

        yield ask
        child.stdin.close()


def appended(run: Run, target: Path, item: Path, first: str = "") -> None:
    assert run(f"{first}\nprint(zapz.append({str(target)!r}, {str(item)!r}, append_dim='time').appended)") == "1"


def refusal(run: Run, target: Path, item: Path) -> dict[str, str]:
    code = f"""
    try:
        zapz.append({str(target)!r}, {str(item)!r}, append_dim='time')
    except zapz.ZapzError as error:
        print(json.dumps(dict(code=error.code, exit=error.exit_code, text=str(error))))
    """
    found: dict[str, str] = json.loads(run(code))
    return found


def values(target: Path) -> list[int]:
    group = zarr.open_group(target, mode="r")
    found: list[int] = group["x" if "x" in group else "deep/x"][:].tolist()
    return found


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("bits", "inner"), [(1, 5), (1, 4), (5, 5)], ids=["not listable", "files alone", "read-only"])
def test_a_local_slice_that_may_only_be_read(
    zarr_format: int, bits: int, inner: int, run: Run, place: Path, tmp_path: Path
) -> None:
    """Not even listed, where consolidated metadata say what there is; in ``files alone`` folders can be passed but not listed."""
    path = line(place, zarr_format)
    permit(path, bits, inner)
    if inner == 4:
        for folder in path.rglob("*/"):
            if folder.is_dir():
                folder.chmod(0o111)
        path.chmod(0o111)
    (place / "out").mkdir()
    permit(place / "out", 7)
    appended(run, place / "out" / "cube.zarr", path)
    assert values(place / "out" / "cube.zarr") == list(ROWS)


def test_a_local_slice_that_is_neither_listed_nor_consolidated(run: Run, place: Path) -> None:
    path = line(place, 2)
    (path / ".zmetadata").unlink()
    permit(path, 1, 5)
    (place / "out").mkdir()
    permit(place / "out", 7)
    said = refusal(run, place / "out" / "cube.zarr", path)
    assert (said["code"], said["exit"]) == ("store", 6)
    assert "needs consolidated metadata" in said["text"]
    assert not (place / "out" / "cube.zarr").exists()


def test_half_a_local_slice_that_may_not_be_listed(run: Run, place: Path) -> None:
    path = line(place, 2)
    (path / "x" / ".zattrs").unlink()
    permit(path, 1, 5)
    (place / "out").mkdir()
    permit(place / "out", 7)
    said = refusal(run, place / "out" / "cube.zarr", path)
    assert said["code"] == "metadata"
    assert "x/.zattrs" in said["text"]


PARENTS: dict[str, Callable[[Path], None]] = {
    "not readable": lambda parent: permit(parent, 1),
    "not writable": lambda parent: permit(parent, 5),
    "not readable, nor the one above": lambda parent: (permit(parent, 1), permit(parent.parent, 1))[0],
}


@pytest.mark.parametrize("parent", PARENTS)
@pytest.mark.parametrize("exists", ["a cube", "an empty folder"])
def test_a_target_asks_nothing_of_its_parent(parent: str, exists: str, run: Run, place: Path) -> None:
    """Not even for durability: the name of its folder is synced with everything, where the parent cannot be opened."""
    home = place / "above" / "parent"
    home.mkdir(parents=True)
    slices = place / "slices"
    target = home / "cube.zarr"
    if exists == "a cube":
        zapz.append(target, write_line(slices / "a.zarr", ROWS), **SETTINGS)
    else:
        target.mkdir()
    path = write_line(slices / "b.zarr", MORE)
    permit(slices, 5, 5)
    permit(target, 7, 7)
    PARENTS[parent](home)
    for_itself = "zapz.storage.local.durability._TRUSTED = frozenset()"  # each folder is synced for itself
    appended(run, target, path, for_itself)
    home.parent.chmod(0o755)
    home.chmod(0o755)
    assert values(target) == [*(ROWS if exists == "a cube" else ()), *MORE]
    assert not (target / ".zapz").exists()


def test_a_parent_that_is_needed_is_named(run: Run, place: Path) -> None:
    """A new target is made in it; it need not be readable."""
    path = write_line(place / "a.zarr", ROWS)
    permit(path, 5, 5)
    (place / "parent").mkdir()
    permit(place / "parent", 5)
    said = refusal(run, place / "parent" / "cube.zarr", path)
    assert (said["code"], said["exit"]) == ("store", 6)
    assert f"{place}/parent/cube.zarr" in said["text"]
    assert "permission" in said["text"].lower()
    permit(place / "parent", 3)
    appended(run, place / "parent" / "cube.zarr", path)
    assert values(place / "parent" / "cube.zarr") == list(ROWS)


def test_looking_needs_no_right_to_write(run: Run, place: Path) -> None:
    target = place / "cube.zarr"
    zapz.append(target, write_line(place / "a.zarr", ROWS), **SETTINGS)
    path = write_line(place / "b.zarr", MORE)
    for folder in (target, path):
        permit(folder, 5, 5)
    assert run(f"print(zapz.info({str(target)!r}).dims['time'])") == "5"
    assert run(f"print(zapz.append({str(target)!r}, {str(path)!r}, dry_run=True).appended)") == "0"
    said = refusal(run, target, path)
    assert (said["code"], said["exit"]) == ("store", 6)
