"""What a hostile slice, or a hostile place, could try: paths that leave, links, bombs, modes of files."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from kit.trees import tree

import zapz
from zapz.cli.demo import write_slice
from zapz.errors import ZapzError
from zapz.storage.layout import journal_key
from zapz.txn import records

LIMIT = 600 << 20
"""Bytes of address space that a run may have beyond start-up."""


@pytest.fixture
def day(tmp_path: Path) -> Path:
    write_slice(tmp_path / "day.zarr", 0)
    return tmp_path / "day.zarr"


@pytest.fixture
def cube(tmp_path: Path, day: Path) -> Path:
    zapz.append(tmp_path / "cube.zarr", day)
    write_slice(tmp_path / "next.zarr", 1)
    return tmp_path / "cube.zarr"


# -- modes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
)
def test_modes_follow_the_umask(mask: int, file: int, folder: int, day: Path, tmp_path: Path) -> None:
    """Created and replaced files and folders have the modes that the user's umask gives to new ones; none is executable."""
    write_slice(tmp_path / "next.zarr", 1)
    before = os.umask(mask)
    try:
        zapz.append(tmp_path / "cube.zarr", [day, tmp_path / "next.zarr"], journal="beside", register=True)
    finally:
        os.umask(before)
    entries = [p for root in ("cube.zarr", "cube.zarr.zapz") for p in [tmp_path / root, *(tmp_path / root).rglob("*")]]
    found = {str(p.relative_to(tmp_path)): stat.S_IMODE(p.stat().st_mode) for p in entries}
    assert {
        name: mode for name, mode in found.items() if mode != (folder if (tmp_path / name).is_dir() else file)
    } == {}


# -- links -----------------------------------------------------------------------------------------------------------------


def test_a_linked_chunk_is_replaced_and_never_written_through(cube: Path, tmp_path: Path) -> None:
    """The boundary chunk of the labels is a link out of the target: what it leads to stays as it is."""
    outside = tmp_path / "outside"
    shutil.move(cube / "time" / "0", outside)
    (cube / "time" / "0").symlink_to(outside)
    before = outside.read_bytes()
    zapz.append(cube, tmp_path / "next.zarr")
    assert outside.read_bytes() == before
    assert not (cube / "time" / "0").is_symlink()
    assert zapz.info(cube).dims["time"] == 2


@pytest.mark.parametrize("what", ["sst", ".zapz", ".zapz/txn"])
def test_a_linked_folder_is_refused(what: str, cube: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    if (cube / what).exists():
        shutil.rmtree(outside)
        shutil.move(cube / what, outside)
    (cube / what).parent.mkdir(exist_ok=True)
    (cube / what).symlink_to(outside)
    before = tree(outside)
    with pytest.raises(ZapzError, match="link"):
        zapz.append(cube, tmp_path / "next.zarr")
    assert tree(outside) == before


@pytest.mark.parametrize("name", ["journal", "decision", "000001"])
def test_links_in_a_journal_lead_nowhere(name: str, cube: Path, tmp_path: Path) -> None:
    """Somebody puts links where a transaction's files would be: nothing behind them changes, and nothing is lost."""
    outside = tmp_path / "precious"
    outside.write_bytes(b"precious")
    folder = cube / ".zapz" / "txn" / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(outside)
    try:
        zapz.append(cube, tmp_path / "next.zarr")
    except ZapzError as error:
        assert error.exit_code in {4, 9}
    assert outside.read_bytes() == b"precious"


# -- paths that leave --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\..\\evil", "evil\0"])
def test_journals_name_nothing_outside(name: str, cube: Path, tmp_path: Path) -> None:
    outside = tmp_path / "evil"
    outside.write_bytes(b"keep")
    identity = "0123456789abcdef"
    record = {
        "type": "begin", "id": identity, "made_root": False, "base": {}, "documents": [[name, "0"]],
        "extents": [[name, "v2", ".", [[0, 1]]]],
    }  # fmt: skip
    place = cube / journal_key(identity)
    place.parent.mkdir(parents=True)
    place.write_bytes(records.MAGIC + records.frame(record) + records.frame({"type": "ready", "existing": 0}))
    with pytest.raises(zapz.JournalError):
        zapz.recover(cube)
    assert outside.read_bytes() == b"keep"
    assert place.exists()


# -- bombs -------------------------------------------------------------------------------------------------------------------


def run_limited(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code that has little memory to spare, and prints what became of it."""
    program = f"""
        import resource, sys
        import numpy, numcodecs, zapz, zapz.api, zapz.operations.append
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
        resource.setrlimit(resource.RLIMIT_AS, (used + {LIMIT}, used + {LIMIT}))
        try:
            {code}
            print("done")
        except zapz.ZapzError as error:
            print("refused", error.exit_code)
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )


BOMBS = {
    "deep": "[" * 200_000 + "]" * 200_000,
    "deep attributes": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "many dimensions": json.dumps({"zarr_format": 2, "shape": [1] * 300_000, "chunks": [1] * 300_000}),
    "long number": '{"shape": [' + "9" * 2_000_000 + "]}",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("document", [".zarray", ".zattrs", ".zmetadata"])
def test_bombs_in_metadata_are_refused(name: str, document: str, day: Path, tmp_path: Path) -> None:
    place = day / document if document == ".zmetadata" else day / "sst" / document
    place.write_text(BOMBS[name])
    done = run_limited(f"zapz.append({str(tmp_path / 'cube.zarr')!r}, {str(day)!r})")
    harmless = name == "many dimensions" and document != ".zarray"  # nothing that anybody reads
    assert done.stdout.split() in (["refused", "4"], *([["done"]] if harmless else [])), done.stderr[-600:]


@pytest.mark.parametrize("chunks", [[1 << 40, 1, 1], [1, 1 << 31, 1 << 31]])
def test_chunks_that_claim_too_much_are_refused(chunks: list[int], day: Path, tmp_path: Path) -> None:
    """The document says that a chunk is enormous; the chunk is a few bytes."""
    place = day / "sst" / ".zarray"
    document = json.loads(place.read_text()) | {"chunks": chunks}
    place.write_text(json.dumps(document))
    for path in (day / "sst").glob("*.*.*"):
        path.unlink()
    (day / "sst" / "0.0.0").write_bytes(b"\x02\x01\x21\x02" + b"\xff\xff\xff\x7f" * 3 + b"\0" * 16)
    (day / ".zmetadata").unlink()
    done = run_limited(f"zapz.append({str(tmp_path / 'cube.zarr')!r}, {str(day)!r})")
    assert done.stdout.split()[:1] == ["refused"], done.stdout + done.stderr[-600:]
    assert done.stdout.split()[1] in {"4", "5"}
