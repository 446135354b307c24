"""What is synced, and when: the order that a power failure must find."""

import os
from pathlib import Path

import numpy as np
import pytest
from kit import cubes
from kit.sync_log import Log

import zapz
from zapz.cli.demo import write_slice
from zapz.storage.local import durability
from zapz.storage.local.durability import Syncer

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="names of descriptors are read from /proc")


def test_everything_is_durable_before_the_decision(
    one_by_one: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new target: chunks, staged files, and every folder on the way, its own name included."""
    write_slice(tmp_path / "day.zarr", 0)
    log = Log(monkeypatch, tmp_path / "cube.zarr")
    zapz.append(tmp_path / "cube.zarr", tmp_path / "day.zarr")
    decision = log.at("link", "/decision")
    synced = log.synced_before(decision)
    assert {".", "..", ".zapz", ".zapz/txn", "sst", "time", "lat", "lon"} <= synced
    chunks = {
        str(p.relative_to(tmp_path / "cube.zarr"))
        for p in (tmp_path / "cube.zarr" / "sst").iterdir()
        if p.name[0] != "."
    }
    assert chunks <= synced
    staged = {path for path in synced if path.startswith(".zapz/txn/") and path.count("/") == 3}
    assert len(staged) >= 10
    following = log.lines[decision + 1]
    assert following[0] == "sync"
    assert following[1].startswith(".zapz/txn/")
    assert log.at("replace", ".zmetadata") > decision


def test_journal_is_durable_before_the_first_chunk(
    one_by_one: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_slice(tmp_path / "day.zarr", 0)
    log = Log(monkeypatch, tmp_path / "cube.zarr")
    first: list[int] = []
    honest = os.open

    def watched(path: str, flags: int, *rest: int, **options: int) -> int:
        if not first and "cube.zarr/sst/0" in str(path) and flags & os.O_CREAT:
            first.append(len(log.lines))
        return honest(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", watched)
    zapz.append(tmp_path / "cube.zarr", tmp_path / "day.zarr")
    assert first
    journal = log.at("sync", "/journal")
    assert journal < first[0]
    assert {".zapz/txn", ".zapz", "."} <= log.synced_before(first[0])


def test_folders_of_documents_without_chunks_are_durable_before_the_decision(
    one_by_one: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A static scalar whose only chunk is missing has a folder all the same, and its document is renamed into it."""
    source = tmp_path / "s.zarr"
    cubes.write_group(source, zarr_format=2)
    cubes.write_array(source, "time", np.arange(2), zarr_format=2, dims=["time"])
    cubes.write_array(source, "crs", cubes.values_of((), "i4"), zarr_format=2, dims=[])
    (source / "crs" / "0").unlink()
    log = Log(monkeypatch, tmp_path / "cube.zarr")
    zapz.append(tmp_path / "cube.zarr", source)
    assert "crs" in log.synced_before(log.at("link", "/decision"))


def test_renames_are_durable_before_staged_names_go(
    one_by_one: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(2):
        write_slice(tmp_path / f"{day}.zarr", day)
    zapz.append(tmp_path / "cube.zarr", tmp_path / "0.zarr")
    log = Log(monkeypatch, tmp_path / "cube.zarr")
    removed: list[int] = []
    honest = os.unlink

    def watched(path: str, **options: object) -> None:
        if str(path).endswith("/journal"):
            removed.append(len(log.lines))
        honest(path, **options)

    monkeypatch.setattr(os, "unlink", watched)
    zapz.append(tmp_path / "cube.zarr", tmp_path / "1.zarr")
    last = max(i for i, (kind, _) in enumerate(log.lines) if kind == "replace")
    after = {path for kind, path in log.lines[last : removed[0]] if kind == "sync"}
    assert {".", "sst", "time"} <= after


def test_process_durability_never_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_slice(tmp_path / "day.zarr", 0)
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("synced"))
    monkeypatch.setattr(durability, "_syncfs", lambda: pytest.fail("synced"))
    assert zapz.append(tmp_path / "cube.zarr", tmp_path / "day.zarr", durability="process").appended == 1


def test_syncfs_reports_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    calls: list[int] = []

    def failing(descriptor: int) -> int:
        calls.append(descriptor)
        return -1

    monkeypatch.setattr(durability, "_syncfs", lambda: failing)
    monkeypatch.setattr(durability, "file_system", lambda _: "ext4")
    monkeypatch.setattr(durability, "_waiting", lambda: 0)
    syncer = Syncer(str(tmp_path), durable=True, whole=True)
    syncer.start()
    try:
        with pytest.raises(zapz.StoreError, match="cannot sync"):
            syncer.files(["a", "b"])
    finally:
        syncer.stop()
    assert calls


@pytest.mark.parametrize("kind", ["fuse.sshfs", "cifs", "overlay", "nfs4", ""])
def test_syncfs_is_trusted_on_local_file_systems_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "a").write_text("a")
    monkeypatch.setattr(durability, "_syncfs", lambda: lambda _: pytest.fail("syncfs"))
    monkeypatch.setattr(durability, "file_system", lambda _: kind)
    monkeypatch.setattr(
        durability, "_waiting", lambda: 0
    )  # otherwise other processes decide whether it would be called
    seen: list[int] = []
    honest = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (seen.append(descriptor), honest(descriptor))[1])
    syncer = Syncer(str(tmp_path), durable=True, whole=True)
    syncer.start()
    syncer.files(["a"])
    syncer.stop()
    assert len(seen) == 2
