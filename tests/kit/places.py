"""Where targets of the state machine lie: in a folder, or on an object service (the double in ``objects``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import zarr
from zarr.core.buffer import Buffer, cpu

from kit.objects import World
from kit.trees import Tree, tree
from zapz.testing import Died, Request
from zapz.txn.objects import head as heads

DOCUMENTS = {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"}
KEPT = ".zapz/kept"


@dataclass
class Crash:
    """Whether the process was killed."""

    happened: bool = False


class Place(Protocol):
    """Where targets lie, one at a time."""

    exact: bool
    """Whether an append that was rolled back leaves the very bytes of before."""
    settings: dict[str, Any]
    """Settings that every append takes."""
    changes: int
    """How many changes an append of a slice takes, more or less."""

    @property
    def target(self) -> Any:
        """The target, as zapz takes it."""

    def renew(self) -> None:
        """Leave this target alone, and give the name of one that does not exist."""

    def close(self) -> None:
        """Give back what this place took."""

    def snapshot(self) -> Tree:
        """Return everything that the target holds, by key."""

    def left(self, found: Tree) -> list[str]:
        """Return what has no place in a target at peace, by its name."""

    def crash_after(self, operations: int, *, torn: bool) -> AbstractContextManager[Crash]:
        """Let the process die at its k-th change of the target: that change, or half of it, and all later ones fail."""

    def put(self, key: str, data: bytes) -> None:
        """Write a file that is none of zapz's."""

    def zarr_store(self) -> Any:
        """Return the target as zarr-python and xarray take it."""


class LocalPlace:
    """Targets in a folder of a local file system."""

    exact = True
    settings: dict[str, Any] = {}  # noqa: RUF012 - constants
    changes = 45
    names = ("write", "pwrite", "replace", "link", "unlink", "mkdir", "rmdir", "ftruncate")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self.renew()

    @property
    def target(self) -> str:
        return str(self._folder / f"target{self._number}.zarr")

    def renew(self) -> None:
        self._number += 1

    def close(self) -> None:
        pass

    def snapshot(self) -> Tree:
        return {key: value for key, value in tree(self.target).items() if key != "."}

    def left(self, found: Tree) -> list[str]:
        kept = any(key.startswith(KEPT) for key in found)
        ours = [key for key in found if key.startswith(".zapz") and not (kept and f"{KEPT}/".startswith(f"{key}/"))]
        return [key for key in ours if not key.startswith(f"{KEPT}/")]

    def put(self, key: str, data: bytes) -> None:
        path = Path(self.target, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def zarr_store(self) -> Any:
        return self.target

    @contextmanager
    def crash_after(self, operations: int, *, torn: bool) -> Iterator[Crash]:
        crash, done, mine, root = Crash(), [0], set[int](), self.target
        real = {name: getattr(os, name) for name in (*self.names, "open")}

        def ours(what: Any) -> bool:
            return what in mine if isinstance(what, int) else os.fspath(what).startswith(root)

        def step(name: str, arguments: Sequence[Any]) -> None:
            done[0] += 1
            if done[0] == operations and torn and name in {"write", "pwrite"}:
                half = memoryview(arguments[1]).cast("B")
                real[name](arguments[0], half[: len(half) // 2], *arguments[2:])
            if done[0] >= operations:
                crash.happened = True
                raise Died

        def mortal(name: str) -> Callable[..., Any]:
            def change(*arguments: Any, **options: Any) -> Any:
                if ours(arguments[0]):
                    step(name, arguments)
                return real[name](*arguments, **options)

            return change

        def mortal_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            if ours(path) and flags & os.O_CREAT:
                step("create", (path,))
            descriptor: int = real["open"](path, flags, *arguments, **options)
            (mine.add if ours(path) else mine.discard)(descriptor)
            return descriptor

        with pytest.MonkeyPatch.context() as patch:
            for name in self.names:
                patch.setattr(os, name, mortal(name))
            patch.setattr(os, "open", mortal_open)
            try:
                yield crash
            except Died:
                return
        assert not crash.happened, "the process was killed, and went on"


class Objects(MutableMapping[str, Buffer]):
    """Objects of a target as zarr-python's store in memory takes them; no request is made."""

    def __init__(self, world: World, root: str) -> None:
        self._service, self._root = world.service, f"{root}/"

    def __getitem__(self, key: str) -> Buffer:
        return cpu.Buffer.from_bytes(self._service.objects[self._root + key])

    def __setitem__(self, key: str, value: Buffer) -> None:
        self._service.overwrite(self._root + key, value.to_bytes())

    def __delitem__(self, key: str) -> None:
        del self._service.objects[self._root + key]

    def __iter__(self) -> Iterator[str]:
        return (path[len(self._root) :] for path in list(self._service.objects) if path.startswith(self._root))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ObjectPlace:
    """Targets on an object service. Whoever has died is found out when its lease has run out, which takes no time here."""

    exact = False
    settings: dict[str, Any] = {"lock_wait": 1000.0}  # noqa: RUF012 - constants
    changes = 13

    def __init__(self, folder: Path) -> None:
        self._patch = pytest.MonkeyPatch()
        self._world = World(
            self._patch
        )  # with tags that are digests, another tool's write of equal bytes cannot be noticed
        self._number = 0

    @property
    def _root(self) -> str:
        return f"bucket/cube{self._number}"

    @property
    def target(self) -> Any:
        return self._world.store(self._root)

    def renew(self) -> None:
        self._number += 1
        self._world.service.restore({})

    def close(self) -> None:
        self._patch.undo()

    def snapshot(self) -> Tree:
        start = len(self._root) + 1
        return {path[start:]: data for path, data in self._world.service.objects.items()}

    def left(self, found: Tree) -> list[str]:
        """A head that is free, and decisions against appends, may stay; the latter until `zapz vacuum`."""
        head = found.get(".zapz/head")
        if head is not None and heads.decode(head, "head").intent is not None:
            return [".zapz/head"]
        ours = [key for key in found if key.startswith(".zapz/") and key != ".zapz/head"]
        return [key for key in ours if not key.endswith("/decision")]

    def put(self, key: str, data: bytes) -> None:
        self._world.service.overwrite(f"{self._root}/{key}", data)

    def zarr_store(self) -> Any:
        return zarr.storage.MemoryStore(Objects(self._world, self._root))

    @contextmanager
    def crash_after(self, operations: int, *, torn: bool) -> Iterator[Crash]:
        """Objects are written whole or not at all, so nothing is torn."""
        crash, changes = Crash(), [0]

        def before(request: Request) -> None:
            changes[0] += request.changes
            if crash.happened or changes[0] >= operations:
                crash.happened = True
                raise Died

        service = self._world.service
        service.before = before
        try:
            yield crash
        except Died:
            return
        finally:
            service.before = lambda request: None
        assert not crash.happened, "the process was killed, and went on"
