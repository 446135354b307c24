"""Stories for ``test_power_loss``: what is done to a small target on a recorded disk, and what may be found on it afterwards."""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import zapz
from kit import cubes
from kit.power import BARRIERS, Disk, Image, Op, recording, sample, unwatched
from zapz.errors import ConflictError, ZapzError

TARGET = "cube.zarr"

Tree = dict[str, bytes | None]


# -- a place where disks are made --------------------------------------------------------------------------------------


class Bench:
    """A folder in which one disk after another is made, out of files that are written once and linked."""

    def __init__(self, place: Path) -> None:
        self.disk = str(place / "disk")
        self.target = f"{self.disk}/{TARGET}"
        self._pool = str(place / "pool")
        self._paths: dict[tuple[int, bytes], str] = {}
        self._contents: dict[int, bytes] = {}
        self._link = os.link  # also where zapz may not link
        os.mkdir(self._pool)
        os.mkdir(self.disk)

    def make(self, image: Image) -> None:
        """Put an image on the disk, which is empty."""
        for path, what in image.items():
            name = f"{self.disk}/{path}"
            if what is None:
                os.mkdir(name)
            elif path.endswith("/head"):  # the lock is the only file that is written in place
                Path(name).write_bytes(what[1])
            else:
                self._link(self._pooled(what), name)

    def _pooled(self, what: tuple[int, bytes]) -> str:
        path = self._paths.get(what)
        if path is None:
            path = self._paths[what] = f"{self._pool}/{len(self._paths)}"
            Path(path).write_bytes(what[1])
            self._contents[os.stat(path).st_ino] = what[1]
        return path

    def look(self) -> Tree:
        """Return what is on the disk."""
        found: Tree = {}
        folders = [""]
        while folders:
            prefix = folders.pop()
            with os.scandir(f"{self.disk}/{prefix}") as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        found[name] = None
                        folders.append(f"{name}/")
                    else:
                        content = self._contents.get(entry.inode())
                        found[name] = Path(entry.path).read_bytes() if content is None else content
        return found

    def clear(self) -> None:
        """Make the disk empty."""
        for name, content in sorted(self.look().items(), reverse=True):
            (os.rmdir if content is None else os.unlink)(f"{self.disk}/{name}")

    def finish(self) -> None:
        """Throw the files away, and assert that none was written in place: that would have changed disks made later."""
        for (number, content), path in self._paths.items():
            assert Path(path).read_bytes() == content, f"inode {number} was written in place"
            os.unlink(path)
        self._paths.clear()
        self._contents.clear()


def contents(image: Image) -> Tree:
    """Return an image as a tree without inodes."""
    return {path: None if what is None else what[1] for path, what in image.items()}


def image_of(place: Path) -> Image:
    """Return what is in a folder."""
    entries = sorted(place.rglob("*"))
    return {
        p.relative_to(place).as_posix(): (p.stat().st_ino, p.read_bytes()) if p.is_file() else None for p in entries
    }


# -- stories -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Story:
    """What was done to a disk, and what may be found on it."""

    name: str
    base: Image
    """The disk before, everything durable."""
    ops: list[Op]
    start: int
    """First operation after which the power may fail."""
    versions: list[Tree]
    """Trees that may be found; which of them at what point, is told in the log."""
    final: Tree | None
    """What running the append again must give; None if it is not to be run."""
    slices: list[str]
    settings: dict[str, Any]
    refuse_links: int | None
    may_raise: tuple[type[Exception], ...] = ()
    """What a recovery may say, once."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a story is made."""

    slices: dict[str, Any] = field(default_factory=dict)
    """Options of ``cubes.make_slice`` for all slices."""
    steps: int = 2
    had: int = 1
    """Number of slices that the target holds before; 0: it is new."""
    calls: tuple[int, ...] = (1,)
    """Number of slices in each call of ``append``."""
    stale: tuple[str, ...] = ()
    """Keys beyond the shape at which garbage lies."""
    label_chunk: int | str = "keep"
    record: dict[str, Any] = field(default_factory=dict)
    """Options of ``recording``."""
    folder: bool = False
    """Whether somebody makes the folder of the new target just before, without syncing."""
    damaged: bool = False
    """Whether the last chunk of the last slice is cut short, so that the append is refused and rolled back."""
    bare: bool = False
    """Whether there is a group whose only array has no chunk: folders that are made for documents alone."""
    foreign: str = ""
    """Chunk that another tool creates during the append, which is then given up."""


SHARDS = {"zarr_format": 3, "shards": (4, 8, 8), "chunks": (1, 8, 4)}
V3 = {"zarr_format": 3}
KINDS = {
    "new-v2": Kind(had=0),
    "new-v3": Kind(had=0, slices=V3),
    "new-nested": Kind(had=0, slices={**V3, "nested": True, "static": True}),
    "new-in-fresh-folder": Kind(had=0, folder=True),
    "new-bare": Kind(had=0, bare=True),
    "aligned-v2": Kind(),
    "aligned-v3": Kind(slices=V3),
    "misaligned-v2": Kind(steps=1),
    "misaligned-v3": Kind(steps=1, slices={**V3, "static": True}, label_chunk=1000),
    "sharded": Kind(slices=SHARDS),
    "stale": Kind(stale=("data/1.0.0", "data/1.1.0")),
    "nested": Kind(slices={"nested": True}, steps=3),
    "three-slices": Kind(calls=(3,), steps=1),
    "new-three-slices": Kind(had=0, calls=(3,), steps=1),
    "two-calls": Kind(calls=(1, 1)),
    "no-links": Kind(steps=1, record={"refuse_links": errno.EPERM}),
    "new-no-links": Kind(had=0, record={"refuse_links": errno.EPERM}),
    "syncfs": Kind(steps=1, record={"syncfs": True}),
    "new-syncfs": Kind(had=0, record={"syncfs": True}),
    "refused": Kind(damaged=True),
    "new-refused": Kind(had=0, damaged=True),
    "foreign": Kind(foreign="data/1.1.0"),
}
RECOVERED = (
    "new-v2",
    "new-bare",
    "aligned-v2",
    "misaligned-v3",
    "sharded",
    "stale",
    "three-slices",
    "no-links",
    "new-refused",
)
"""Stories of which the recovery is cut too."""


def make_slices(place: Path, kind: Kind) -> list[Path]:
    """Write the slices that a story needs."""
    options: dict[str, Any] = {"shape": (8, 8), "chunks": (2, 4, 8), "time_chunk": 2, "static": False, **kind.slices}
    paths = [place / f"s{number}.zarr" for number in range(kind.had + sum(kind.calls))]
    for number, path in enumerate(paths):
        cubes.make_slice(path, start=number * kind.steps, steps=kind.steps, **options)
        if kind.bare:
            cubes.write_array(path, "side/flag", cubes.values_of((), "i4"), zarr_format=2, dims=[])
            (path / "side/flag/0").unlink()
        cubes.consolidate(path, zarr_format=options.get("zarr_format", 2))
    return paths


def cut_short(slice_: Path) -> None:
    """Damage the last chunk of a slice."""
    chunk = max(p for p in slice_.rglob("data/*") if p.name[0].isdigit())
    chunk.write_bytes(chunk.read_bytes()[:-1])


def start_disk(bench: Bench, kind: Kind, before: list[Path], settings: dict[str, Any]) -> None:
    """Make the target that a story begins with."""
    with unwatched():
        for path in before:
            zapz.append(bench.target, path, **settings)
    for key in kind.stale:
        Path(bench.target, key).write_bytes(b"stale" * 30)


def tell(ops: list[Op], version: int, last: int) -> None:
    """Note in a log that somebody was told: it is this version, or a later one."""
    ops.append(Op("told", offset=version, handle=last))


def record_calls(bench: Bench, name: str, slices: list[Path], settings: dict[str, Any]) -> tuple[list[Op], list[Tree]]:
    """Run the calls of a story; return the log and the trees of before and after every slice."""
    kind = KINDS[name]
    versions = [bench.look()]

    def note_foreign(op: Op) -> None:
        if kind.foreign and op.kind == "create" and "/data/" in op.path and len(versions) == 1:
            descriptor = os.open(f"{bench.target}/{kind.foreign}", os.O_WRONLY | os.O_CREAT)
            os.write(descriptor, b"theirs")
            os.fsync(descriptor)
            os.close(descriptor)
            versions.append({**versions[0], f"{TARGET}/{kind.foreign}": b"theirs"})

    hook = note_foreign if kind.foreign else None
    with recording(bench.disk, seed=name, hook=hook, **kind.record) as ops:

        def told(_: Any) -> None:
            versions.append({k: v for k, v in bench.look().items() if not k.startswith(f"{TARGET}/.zapz")})
            tell(ops, len(versions) - 1, last)

        if kind.folder:
            os.mkdir(bench.target)
            versions.append(bench.look())
        last = len(versions) - 1 + sum(kind.calls)
        at = 0
        for number in kind.calls:
            try:
                zapz.append(bench.target, [str(s) for s in slices[at : at + number]], on_slice=told, **settings)
            except ZapzError as error:
                assert error.exit_code == (8 if kind.foreign else 5 if kind.damaged else None), error
                tell(ops, len(versions) - 1, len(versions) - 1)
            at += number
    return ops, versions


def story_of(name: str, place: Path) -> Story:
    """Make a story by recording it."""
    kind = KINDS[name]
    place.mkdir()
    bench = Bench(place)
    settings = {"workers": 1, "label_chunk": kind.label_chunk}
    slices = make_slices(place, kind)
    if kind.damaged:
        cut_short(slices[-1])
    start_disk(bench, kind, slices[: kind.had], settings)
    base = image_of(Path(bench.disk))
    ops, versions = record_calls(bench, name, slices[kind.had :], settings)
    disk = Disk.of(base)
    for op in ops:
        disk.do(op)
    assert contents(disk.after([], {})) == bench.look(), "an operation was not recorded"
    final = versions[-1]
    if kind.foreign:
        with unwatched():
            zapz.append(bench.target, slices[kind.had :], **settings)
        final = bench.look()
    start = 0
    if kind.foreign:  # what the other tool wrote is durable from here on; zapz may not have noticed it yet
        start = 3 + next(i for i, op in enumerate(ops) if op.kind == "create" and op.path.endswith(kind.foreign))
    return Story(
        name=name,
        base=base,
        ops=ops,
        start=start,
        versions=versions,
        final=None if kind.damaged else final,
        slices=[str(s) for s in slices[kind.had :]],
        settings=settings,
        refuse_links=kind.record.get("refuse_links"),
    )


def recovery_of(story: Story, rng: random.Random, bench: Bench, killed: int | None = None) -> Story:
    """Make the story of a recovery, after the process was killed at some moment (or that one), or after the power had failed."""
    barriers = [i for i in range(story.start, len(story.ops)) if story.ops[i].kind in BARRIERS]
    image: Image = {}
    while TARGET not in image:
        some = rng.choice((rng.choice(barriers), rng.randrange(story.start, len(story.ops) + 1)))
        cut = some if killed is None else killed
        disk = Disk.of(story.base)
        for op in story.ops[:cut]:
            disk.do(op)
        items = disk.pending()
        failed = killed is None and rng.random() < 0.5
        image = disk.after(items, sample(items, rng) if failed else {})
    bench.make(image)
    with recording(bench.disk, seed=f"{story.name} {cut}", refuse_links=story.refuse_links) as ops:
        zapz.recover(bench.target)
    found = bench.look()
    bench.clear()
    # What a recovery has left stays, even if it had nothing to do; whether a killed process had told anybody is known.
    version = story.versions.index(found) if found in story.versions else 0
    tell(ops, version, version)
    if failed:
        ops.insert(0, Op("told", offset=disk.told[0], handle=disk.told[1]) if disk.told else Op("syncfs"))
    name = f"{story.name}, {'power failed' if failed else 'killed'} after operation {cut}, recovered"
    before = [] if failed else story.ops[:cut]
    return replace(story, name=name, base=image if failed else story.base, ops=[*before, *ops], start=len(before))


def overwritten_story(story: Story, bench: Bench) -> Story:
    """Make the story of a recovery that finds a document of a committed append overwritten, and keeps the append's files aside."""
    decided = next(i for i, op in enumerate(story.ops) if op.kind == "link" and op.other.endswith("/decision"))
    disk = Disk.of(story.base)
    for op in story.ops[: decided + 1]:
        disk.do(op)
    image = disk.after([], {})
    document = image[f"{TARGET}/data/.zarray"]
    assert document is not None
    image[f"{TARGET}/data/.zarray"] = (1 << 30, document[1] + b" ")
    staged = {path.rpartition("/")[2] for path in image if "/.zapz/txn/" in path and path[-6:].isdigit()}
    bench.make(image)
    with recording(bench.disk, seed="kept") as ops, pytest.raises(ConflictError):
        zapz.recover(bench.target)
    found = bench.look()
    bench.clear()
    kept = {path.rpartition("/")[2] for path in found if "/.zapz/kept/" in path}
    assert staged <= kept
    changes: dict[str, Any] = {"base": image, "ops": ops, "versions": [found], "final": None}
    return replace(story, name="overwritten", start=0, may_raise=(ConflictError,), **changes)
