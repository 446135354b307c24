"""Places as a program has them open: fsspec's mappers and zarr-python's stores of every kind, each with a view of its bytes."""

from __future__ import annotations

import asyncio
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.reference import ReferenceFileSystem
from zarr.buffer import cpu
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath, WrapperStore, ZipStore

from kit import cubes
from zapz.testing import Died

Files = dict[str, bytes]


class Custom(WrapperStore[Any]):
    """A store of somebody's own: it waits, it notes who calls what, and it may refuse."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.calls: list[tuple[str, str]] = []
        self.callers: set[tuple[int, Any]] = set()
        self.under_way = self.most = 0
        self.fault: Callable[[str, str], None] = lambda verb, key: None

    def with_read_only(self, read_only: bool = False) -> Custom:
        other = type(self)(self._store.with_read_only(read_only))
        other.calls = self.calls
        return other

    async def _noted(self, verb: str, key: str) -> None:
        self.calls.append((verb, key))
        self.callers.add((threading.get_ident(), asyncio.get_running_loop()))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        self.fault(verb, key)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        await self._noted("get", key)
        return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Any) -> None:
        await self._noted("set", key)
        await super().set(key, value)


class Slow(MemoryStore):
    """Memory that lets others run between a look and a write."""

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        found = await super().get(*args, **kwargs)
        await asyncio.sleep(0)
        return found


@dataclass(frozen=True)
class Place:
    """Somewhere, as a program has it open."""

    thing: Any
    content: MutableMapping[str, bytes]
    """Its objects."""

    def files(self) -> Files:
        """Return the objects, without those of zapz's own folder."""
        return {key: data for key, data in self.content.items() if not key.startswith(".zapz/")}


class Memory(MutableMapping[str, bytes]):
    """What lies in a folder of a zarr memory, as bytes."""

    def __init__(self, memory: dict[str, Any], path: str = "") -> None:
        self.memory, self.start = memory, f"{path}/" if path else ""

    def __getitem__(self, key: str) -> bytes:
        return bytes(self.memory[self.start + key].to_bytes())

    def __setitem__(self, key: str, data: bytes) -> None:
        self.memory[self.start + key] = cpu.Buffer.from_bytes(data)

    def __delitem__(self, key: str) -> None:
        del self.memory[self.start + key]

    def __iter__(self) -> Iterator[str]:
        return (key[len(self.start) :] for key in list(self.memory) if key.startswith(self.start))

    def __len__(self) -> int:
        return len(list(iter(self)))


def mapped(root: str, **options: Any) -> fsspec.FSMap:
    return fsspec.get_mapper(root, **{"use_listings_cache": False, **options})


def on_fs(root: str, wrap: Callable[[fsspec.FSMap], Any], **options: Any) -> Place:
    content = mapped(root, **options)
    return Place(wrap(mapped(root, **options)), content)


def in_memory(path: str = "", kind: type[MemoryStore] = MemoryStore, wrap: Callable[[Any], Any] = lambda s: s) -> Place:
    memory: dict[str, Any] = {}
    store = kind(memory)
    return Place(StorePath(store, path) if path else wrap(store), Memory(memory, path))


def with_dirs(mapper: fsspec.FSMap) -> Any:
    parent, _, name = mapper.root.rpartition("/")
    inner = AsyncFileSystemWrapper(mapper.fs, asynchronous=True)
    return FsspecStore(DirFileSystem(path=parent, fs=inner, asynchronous=True), path=name)


def local(folder: Path, wrap: Callable[[Path], Any]) -> Place:
    folder.mkdir()
    return Place(wrap(folder), mapped(f"file://{folder}"))


def shared(wrap: Callable[[fsspec.FSMap], Any]) -> Callable[[Path], Place]:
    return lambda folder: on_fs(f"memory://{uuid.uuid4().hex}/{folder.name}", wrap)


KINDS: dict[str, Callable[[Path], Place]] = {
    "LocalStore": lambda folder: local(folder, LocalStore),
    "LocalStore and path": lambda folder: local(folder, lambda f: StorePath(LocalStore(f.parent), f.name)),
    "mapper of a folder": lambda folder: local(folder, lambda f: mapped(str(f))),
    "FsspecStore of a folder": lambda folder: local(folder, lambda f: FsspecStore.from_url(f"file://{f}")),
    "mapper of memory": shared(lambda mapper: mapper),
    "FsspecStore of memory": shared(FsspecStore.from_mapper),
    "FsspecStore of folders of memory": shared(with_dirs),
    "MemoryStore": lambda folder: in_memory(),
    "MemoryStore that waits": lambda folder: in_memory(kind=Slow),
    "MemoryStore and path": lambda folder: in_memory("a/b"),
    "custom store": lambda folder: in_memory(wrap=Custom),
}
"""Kinds of places that can be written to, empty, by name."""


def copied(path: Path, place: Place) -> Any:
    """Put a folder's files there."""
    for key, data in cubes.files(path).items():
        place.content[key] = data
    return place.thing


def values(thing: Any) -> dict[str, cubes.Values]:
    """Read something as zarr does, and check that xarray reads the same."""
    with cubes.quiet():
        group = zarr.open_group(thing, mode="r", use_consolidated=True)
        found = {name: np.asarray(array[...]) for name, array in group.arrays()}
        if not isinstance(thing, StorePath):
            with xr.open_zarr(thing, consolidated=True, decode_times=False, mask_and_scale=False) as dataset:
                cubes.same({name: variable.values for name, variable in dataset.variables.items()}, found)
        return found


def zipped(path: Path, mode: str, *, closed: bool) -> ZipStore:
    """Make a zip store of a folder, as zarr makes it, and hand it over in this mode."""
    archive = path.with_suffix(f".{mode}{closed:d}.zip")
    if mode == "r":
        shutil.make_archive(str(archive.with_suffix("")), "zip", path)
        store = ZipStore(archive, mode="r")
    else:
        store = ZipStore(archive, mode="w")
        zarr.core.sync.sync(StorePath.open(store, ""))
        for key, data in cubes.files(path).items():
            zarr.core.sync.sync(store.set(key, cpu.Buffer.from_bytes(data)))
        if closed:
            store.close()
    return store


def in_fsspec_memory(path: Path) -> str:
    root = f"/{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe({f"{root}/{key}": data for key, data in cubes.files(path).items()})
    return root


def references(path: Path, *, asynchronous: bool) -> ReferenceFileSystem:
    """Refer to a folder's files, each of which lies twice: as it is, and in memory between others."""
    name = uuid.uuid4().hex
    fo: dict[str, Any] = {}
    for number, (key, data) in enumerate(cubes.files(path).items()):
        fsspec.filesystem("memory").pipe_file(f"/{name}/{number}", b"before" + data + b"after")
        fo[key] = [f"memory://{name}/{number}", 6, len(data)]
    inner: Any = fsspec.filesystem("memory")
    options = (
        {"fs": AsyncFileSystemWrapper(inner, asynchronous=True)} if asynchronous else {"remote_protocol": "memory"}
    )
    return ReferenceFileSystem(fo=fo, asynchronous=asynchronous, **options)


READERS: dict[str, Callable[[Path], Any]] = {
    "zip": lambda path: zipped(path, "r", closed=False),
    "zip, written and closed": lambda path: zipped(path, "w", closed=True),
    "zip, still open for writing": lambda path: zipped(path, "w", closed=False),
    "mapper of a zip": lambda path: mapped(f"zip://::file://{zipped(path, 'w', closed=True).path}"),
    "mapper of a cache": lambda path: mapped(
        f"simplecache::file://{path}", simplecache={"cache_storage": f"{path}.cache"}
    ),
    "FsspecStore of a cache": lambda path: FsspecStore.from_mapper(
        mapped(f"simplecache::memory:/{in_fsspec_memory(path)}", simplecache={"cache_storage": f"{path}.cache"})
    ),
    "mapper of references": lambda path: fsspec.FSMap("", references(path, asynchronous=False)),
    "FsspecStore of references": lambda path: FsspecStore(references(path, asynchronous=True), path=""),
}
"""Kinds of places that can only be read, made of a folder."""


class Dying(MemoryStore):
    """Memory in which, from some change on, no change has any effect: its process is dead."""

    left = 10**9

    def _count(self) -> None:
        type(self).left -= 1
        if type(self).left < 0:
            raise Died

    async def set(self, *args: Any, **kwargs: Any) -> None:
        self._count()
        await super().set(*args, **kwargs)

    async def delete(self, key: str) -> None:
        self._count()
        await super().delete(key)
