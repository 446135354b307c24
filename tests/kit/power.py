"""A disk that loses power: what was asked of the operating system, and which disks a failure may leave behind.

``recording`` writes down every operation on ``os`` below a folder. ``Disk`` replays such a log and knows, at every moment, what
has been synced and what has not; ``Disk.pending`` gives every thing that may be one way or the other after a power failure,
``Disk.after`` the disk that follows from a choice among them.

The model is harsher than common file systems:

- A file's content is durable by ``fsync`` of the file alone. Without it, the disk may hold what was synced last, anything written
  since, a prefix of it, zeros of its length, or single pages of it that are zeros.
- A name is durable by ``fsync`` of its folder alone. Every name in a folder is on its own: it may be what was synced last or
  anything since. A rename may thus lose both names or keep both, a folder may be lost with all that was synced in it, and a
  removed file or folder may come back.
- Nothing is in order except by a sync, and ``syncfs`` makes everything durable.

What it takes for granted: an operation on one name is done or not done (no name that is half written), what was once synced and
not touched since stays, and inodes do not get mixed up.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from zapz.storage.local import durability

PAGE = 4096

Image = dict[str, tuple[int, bytes] | None]
"""A tree: number of the inode and content of every file, None for a folder; a folder comes before what is in it."""


class Op(NamedTuple):
    """One operation on the disk."""

    kind: str
    path: str = ""
    other: str = ""
    handle: int = 0
    data: bytes = b""
    offset: int = 0

    def __str__(self) -> str:
        """Say it in a line."""
        words = [self.kind, self.path, self.other, f"#{self.handle}" if self.handle else ""]
        return " ".join(word for word in words if word)


BARRIERS = frozenset(("sync", "syncfs", "told"))
"""Operations before which most is pending: what may be on disk only grows from one of them to the next."""


# -- recording -------------------------------------------------------------------------------------------------------


class _Recorder:
    """What stands in for ``os`` below a folder: it notes what was done once it has been done."""

    def __init__(self, base: str, refuse_links: int | None, hook: Callable[[Op], None] | None) -> None:
        self.ops: list[Op] = []
        self._base = base + os.sep
        self._handles: dict[int, int] = {}
        self._count = 0
        self._refuse_links = refuse_links
        self._hook = hook
        self._real = {name: getattr(os, name) for name in dir(self) if name in dir(os)}

    def _inside(self, path: Any) -> str | None:
        name = os.fspath(path) + os.sep
        return name[len(self._base) : -1] if name.startswith(self._base) else None

    def _note(self, op: Op) -> None:
        self.ops.append(op)
        if self._hook is not None:
            hook, self._hook = self._hook, None  # it may change things itself
            hook(op)
            self._hook = hook

    def open(self, path: Any, flags: int, *rest: Any, **options: Any) -> int:
        descriptor: int = self._real["open"](path, flags, *rest, **options)
        inside = self._inside(path)
        if inside is None:
            self._handles.pop(descriptor, None)
            return descriptor
        self._count += 1
        self._handles[descriptor] = self._count
        self._note(Op("create" if flags & os.O_CREAT else "open", inside, handle=self._count))
        if flags & os.O_TRUNC:
            self._note(Op("truncate", handle=self._count))
        return descriptor

    def close(self, descriptor: int) -> None:
        self._handles.pop(descriptor, None)
        self._real["close"](descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        offset = os.lseek(descriptor, 0, os.SEEK_CUR) if descriptor in self._handles else 0
        written: int = self._real["write"](descriptor, data)
        self._written(descriptor, data, written, offset)
        return written

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        written: int = self._real["pwrite"](descriptor, data, offset)
        self._written(descriptor, data, written, offset)
        return written

    def _written(self, descriptor: int, data: Any, written: int, offset: int) -> None:
        if descriptor in self._handles:
            content = bytes(memoryview(data).cast("B")[:written])
            self._note(Op("write", handle=self._handles[descriptor], data=content, offset=offset))

    def ftruncate(self, descriptor: int, length: int) -> None:
        self._real["ftruncate"](descriptor, length)
        if descriptor in self._handles:
            self._note(Op("truncate", handle=self._handles[descriptor], offset=length))

    def fsync(self, descriptor: int) -> None:
        if descriptor in self._handles:
            self._note(Op("sync", handle=self._handles[descriptor]))

    fdatasync = fsync

    def syncfs(self, descriptor: int) -> int:
        self._note(Op("syncfs"))
        return 0

    def link(self, source: Any, destination: Any, **options: Any) -> None:
        if self._refuse_links is not None:
            raise OSError(self._refuse_links, os.strerror(self._refuse_links))
        self._real["link"](source, destination, **options)
        self._two("link", source, destination)

    def replace(self, source: Any, destination: Any, **options: Any) -> None:
        self._real["replace"](source, destination, **options)
        self._two("replace", source, destination)

    rename = replace

    def _two(self, kind: str, source: Any, destination: Any) -> None:
        here, there = self._inside(source), self._inside(destination)
        assert (here is None) == (there is None), f"{kind} into or out of the disk: {source} {destination}"
        if here is not None and there is not None:
            self._note(Op(kind, here, there))

    def _one(self, name: str, path: Any, *rest: Any, **options: Any) -> None:
        self._real[name](path, *rest, **options)
        inside = self._inside(path)
        if inside is not None:
            self._note(Op(name, inside))

    def unlink(self, path: Any, **options: Any) -> None:
        self._one("unlink", path, **options)

    remove = unlink

    def mkdir(self, path: Any, *rest: Any, **options: Any) -> None:
        self._one("mkdir", path, *rest, **options)

    def rmdir(self, path: Any, **options: Any) -> None:
        self._one("rmdir", path, **options)


_PATCHED = (
    *("open", "close", "write", "pwrite", "ftruncate", "fsync", "fdatasync", "link", "replace", "rename"),
    *("unlink", "remove", "mkdir", "rmdir"),
)


@contextmanager
def recording(
    base: str,
    *,
    seed: str,
    refuse_links: int | None = None,
    syncfs: bool = False,
    hook: Callable[[Op], None] | None = None,
) -> Iterator[list[Op]]:
    """Record what is done below ``base``, without waiting for any disk.

    Args:
        base: A folder.
        seed: Of the names that zapz makes up, so that a log is the same another time.
        refuse_links: Error number that every ``link`` fails with.
        syncfs: Whether the file system may be synced as a whole, and always is.
        hook: Called after each operation.
    """
    recorder = _Recorder(base, refuse_links, hook)
    with pytest.MonkeyPatch.context() as patch:
        for name in _PATCHED:
            if hasattr(os, name):
                patch.setattr(os, name, getattr(recorder, name))
        patch.setattr(os, "urandom", random.Random(seed).randbytes)
        patch.setattr(durability, "_FULL_SYNC", None)
        patch.setattr(durability, "_syncfs", lambda: recorder.syncfs if syncfs else None)
        patch.setattr(durability, "file_system", lambda _: "ext4")
        patch.setattr(durability, "_waiting", lambda: 0)
        yield recorder.ops


@contextmanager
def unwatched(refuse_links: int | None = None) -> Iterator[None]:
    """Let zapz run without recording and without waiting for any disk."""

    def refused(*_: Any, **__: Any) -> None:
        assert refuse_links is not None
        raise OSError(refuse_links, os.strerror(refuse_links))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(durability, "_FULL_SYNC", None)
        patch.setattr(durability, "_syncfs", lambda: None)
        if refuse_links is not None:
            patch.setattr(os, "link", refused)
        yield


# -- the disk --------------------------------------------------------------------------------------------------------


class File:
    """An inode with content: what was synced last, and what it was since."""

    def __init__(self, number: int, content: bytes = b"") -> None:
        self.number = number
        self.durable = self.live = content
        self.since: list[bytes] = []
        self._options: list[Any] = []

    def put(self, content: bytes) -> None:
        """Change the content."""
        self.since.append(content)
        self.live = content
        self._options.clear()

    def sync(self) -> None:
        """Make it durable."""
        self.durable = self.live
        self.since.clear()
        self._options.clear()

    def options(self) -> list[Any]:
        """Return what a power failure may leave, the last synced content first and the live one second."""
        if not self._options:
            torn = _torn(self.live) if self.since else ()
            self._options = list(dict.fromkeys([self.durable, self.live, *self.since, *torn]))
        return self._options


def _torn(content: bytes) -> Iterator[bytes]:
    """Yield what may be there of something that was written and not synced, beside all and nothing."""
    length = len(content)
    half = length // 2
    yield from (content[:1], content[:half], content[:-1], bytes(length), content[:half] + bytes(length - half))
    if length > PAGE:
        for start in sorted({0, half // PAGE * PAGE, (length - 1) // PAGE * PAGE}):
            yield content[:start] + bytes(min(PAGE, length - start)) + content[start + PAGE :]
            yield content[:start]


class Folder:
    """An inode with names: what is there, and for every name that has changed what was synced last and what it was since."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.live: dict[str, File | Folder] = {}
        self.changed: dict[str, list[File | Folder | None]] = {}

    def put(self, name: str, node: File | Folder | None) -> None:
        """Change what a name means."""
        self.changed.setdefault(name, [self.live.get(name)]).append(node)
        if node is None:
            del self.live[name]
        else:
            self.live[name] = node

    def sync(self) -> None:
        """Make all names durable."""
        self.changed.clear()

    def options(self, name: str) -> list[Any]:
        """Return what a power failure may leave at a name, what was synced last first and what is there second."""
        values = self.changed[name]
        return list(dict.fromkeys([values[0], values[-1], *values]))


class Item(NamedTuple):
    """One thing that a power failure may leave in several ways: [0] is lost; [kept] is as if nothing had happened."""

    node: File | Folder
    name: str
    options: list[Any]
    kept: int
    where: str

    @property
    def key(self) -> tuple[int, str]:
        """What identifies it among the choices."""
        return self.node.number, self.name


Choice = dict[tuple[int, str], int]
"""Which option is taken for every item; those left out are kept."""


@dataclass
class Disk:
    """A disk with its unsynced changes."""

    root: Folder = field(default_factory=lambda: Folder(0))
    told: tuple[int, int] | None = None
    """The earliest and the latest version that may be found, as far as somebody has been told."""
    _count: int = 0
    _handles: dict[int, File | Folder] = field(default_factory=dict)
    _nodes: dict[int, tuple[str, File | Folder]] = field(default_factory=dict)

    @classmethod
    def of(cls, image: Image) -> Disk:
        """Make a disk on which all of this is durable."""
        disk = cls()
        files: dict[int, File] = {}
        for path, what in image.items():
            folder, name = disk._place(path)
            if what is not None and what[0] in files:
                folder.live[name] = files[what[0]]
                continue
            node = disk._new(path, File if what is not None else Folder)
            if what is not None and isinstance(node, File):
                files[what[0]] = node
                node.durable = node.live = what[1]
            folder.live[name] = node
        return disk

    def _new(self, path: str, kind: type[File | Folder]) -> File | Folder:
        self._count += 1
        self._nodes[self._count] = path, kind(self._count)
        return self._nodes[self._count][1]

    def _find(self, path: str) -> File | Folder | None:
        node: File | Folder | None = self.root
        for part in path.split("/") if path else ():
            node = node.live.get(part) if isinstance(node, Folder) else None
        return node

    def _place(self, path: str) -> tuple[Folder, str]:
        folder, _, name = path.rpartition("/")
        node = self._find(folder)
        assert isinstance(node, Folder), path
        return node, name

    def do(self, op: Op) -> None:
        """Do one operation."""
        if op.kind == "told":
            self.told = op.offset, op.handle
        elif op.kind == "syncfs":
            for _, node in self._nodes.values():
                node.sync()
            self.root.sync()
        elif op.handle:
            self._by_handle(op)
        else:
            self._by_name(op)

    def _by_handle(self, op: Op) -> None:
        if op.kind in {"open", "create"}:
            node = self._find(op.path)
            if node is None:
                node = self._new(op.path, File)
                folder, name = self._place(op.path)
                folder.put(name, node)
            self._handles[op.handle] = node
            return
        node = self._handles[op.handle]
        if op.kind == "sync":
            node.sync()
            return
        assert isinstance(node, File)
        if op.kind == "truncate":
            node.put(node.live[: op.offset].ljust(op.offset, b"\0"))
        else:
            before = node.live[: op.offset].ljust(op.offset, b"\0")
            node.put(before + op.data + node.live[op.offset + len(op.data) :])

    def _by_name(self, op: Op) -> None:
        folder, name = self._place(op.path)
        if op.kind == "mkdir":
            folder.put(name, self._new(op.path, Folder))
        elif op.kind in {"unlink", "rmdir"}:
            folder.put(name, None)
        else:
            node = folder.live[name]
            there, other = self._place(op.other)
            if op.kind == "replace" and there.live.get(other) is node:
                return  # two names of one file: POSIX leaves both
            there.put(other, node)
            if op.kind == "replace":
                folder.put(name, None)

    def pending(self) -> list[Item]:
        """Return everything that a power failure may leave in more than one way."""
        items: list[Item] = []
        for path, node in [("", self.root), *self._nodes.values()]:
            if isinstance(node, Folder):
                for name in node.changed:
                    options = node.options(name)
                    kept = options.index(node.live.get(name))
                    items.append(Item(node, name, options, kept, f"name {path}/{name}"))
            else:
                options = node.options()
                items.append(Item(node, "", options, options.index(node.live), f"content {path}"))
        return [item for item in items if len(item.options) > 1]

    def after(self, items: Sequence[Item], choice: Choice) -> Image:
        """Return what is on disk after a power failure that chose so."""
        taken = {item.key: item.options[choice.get(item.key, item.kept)] for item in items}
        image: Image = {}

        def walk(path: str, folder: Folder) -> None:
            names: dict[str, File | Folder | None] = dict(folder.live)
            for name in folder.changed:
                names[name] = taken.get((folder.number, name), folder.live.get(name))
            for name in sorted(names):
                node = names[name]
                if isinstance(node, File):
                    image[path + name] = node.number, taken.get((node.number, ""), node.live)
                elif node is not None:
                    image[path + name] = None
                    walk(f"{path}{name}/", node)

        walk("", self.root)
        return image


# -- choices ---------------------------------------------------------------------------------------------------------


def every(items: Sequence[Item]) -> int:
    """Return how many choices there are."""
    product = 1
    for item in items:
        product *= len(item.options)
    return product


def combinations(items: Sequence[Item]) -> Iterator[Choice]:
    """Yield every choice."""
    for number in range(every(items)):
        choice: Choice = {}
        rest = number
        for item in items:
            rest, choice[item.key] = divmod(rest, len(item.options))
        yield choice


def singles(items: Sequence[Item]) -> Iterator[Choice]:
    """Yield every choice in which one item differs from all the others: they are kept and it is not, or they are lost and it is not."""
    lost: Choice = {item.key: 0 for item in items}
    for item in items:
        for option in range(len(item.options)):
            if option != item.kept:
                yield {item.key: option}
            if option:
                yield {**lost, item.key: option}


def sample(items: Sequence[Item], rng: random.Random) -> Choice:
    """Return some choice: most of it lost, most of it kept, or anything."""
    kept, lost = rng.choice(((0.9, 0.5), (0.6, 0.5), (0.3, 0.5), (0.5, 0.9), (0.1, 0.9)))
    choice: Choice = {}
    for item in items:
        if rng.random() >= kept:
            choice[item.key] = 0 if rng.random() < lost else rng.randrange(len(item.options))
    return choice
