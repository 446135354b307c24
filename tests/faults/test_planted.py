"""Journals that somebody planted, that are another data set's, or that damage made sense of: believed as far as documents explain them.

What is refused is refused with exit code 9 and nothing touched, and the remedy that the message names works.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import shutil
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from kit.command_line import cli
from kit.limits import within
from kit.objects import World, read_line, write_line
from kit.trees import Tree, differ, tree, without_ours

import zapz
from zapz.errors import JournalError
from zapz.format.metadata import ChunkKeys
from zapz.storage.layout import FRESH
from zapz.storage.local.store import LocalStore
from zapz.storage.waiting import Wait
from zapz.txn import journal, records
from zapz.txn import session as sessions
from zapz.txn.extents import Extent
from zapz.txn.journal import Document, Intent
from zapz.txn.local.inventory import Inventory
from zapz.txn.objects import head as heads
from zapz.txn.objects import settling
from zapz.txn.objects.head import Dirty, Head
from zapz.txn.register import Commit

SETTINGS: dict[str, Any] = {"workers": 1, "label_chunk": "keep"}
DOTS, SLASHES = ChunkKeys(style="v2", separator="."), ChunkKeys(style="v2", separator="/")
HUGE = 10**12


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def extent(path: str, *spans: tuple[int, int], keys: ChunkKeys = DOTS) -> Extent:
    return Extent(path=path, keys=keys, spans=spans)


@dataclass(frozen=True)
class Lie:
    """What a journal may say: changes to what an honest one says of five steps in chunks of four."""

    base: dict[str, str | None] | None = None
    """None: what is really there."""
    documents: tuple[Document, ...] = ()
    extents: tuple[Extent, ...] = (extent("x", (1, 3)),)
    existing: tuple[str, ...] = ("x/1",)
    folders: tuple[str, ...] = ("x",)
    foreign: tuple[str, ...] = ()
    staged: dict[str, bytes] = field(default_factory=dict)


LIES = {
    "empty base, live chunks": Lie(base={}, extents=(extent("x", (0, 2)),), existing=()),
    "empty base, chunks beyond": Lie(base={}, extents=(extent("x", (2, 4)),), existing=()),
    "no document at all": Lie(base={}, extents=(extent("y", (0, 2)),), existing=(), folders=()),
    "live chunks": Lie(extents=(extent("x", (0, 2)),), existing=()),
    "live chunks among very many": Lie(extents=(extent("x", (0, HUGE)),), existing=()),
    "chunks that begin too late": Lie(extents=(extent("x", (2, 3)),), existing=()),
    "another separator": Lie(extents=(extent("x", (1, 3), keys=SLASHES),)),
    "another style": Lie(extents=(extent("x", (1, 3), keys=ChunkKeys(style="default", separator="/")),), existing=()),
    "another number of axes": Lie(extents=(extent("x", (1, 3), (0, 1)),), existing=()),
    "no axes": Lie(extents=(extent("x"),), existing=()),
    "a group's chunks": Lie(base={".zgroup": None}, extents=(extent("", (0, 2)),), existing=()),
    "the other format's document": Lie(base={"x/zarr.json": None}, extents=(extent("x", (0, 2)),), existing=()),
    "an array within an array": Lie(base={"x/y/.zarray": None}, extents=(extent("x/y", (0, 2)),), existing=()),
    "an array twice": Lie(extents=(extent("x", (1, 3)), extent("x", (1, 3)))),
    "a chunk outside": Lie(existing=("x/0",)),
    "a chunk twice": Lie(existing=("x/1", "x/1")),
    "a document as chunk": Lie(existing=("x/.zarray",)),
    "our own folder as chunk": Lie(existing=(".zapz/head",)),
    "another's chunk outside": Lie(foreign=("x/0",)),
    "a chunk as document": Lie(base={"x/0": None}, documents=(Document(key="x/0", digest="0"),), extents=(), existing=()),
    "our own folder as document": Lie(
        base={".zapz/.zarray": None}, documents=(Document(key=".zapz/.zarray", digest="0"),), extents=(), existing=()
    ),
    "a document that is not in the base": Lie(documents=(Document(key="y/.zarray", digest="0"),)),
    "a document within an array": Lie(
        base={"x/y/.zarray": None}, documents=(Document(key="x/y/.zarray", digest="0"),), extents=(), existing=()
    ),
}  # fmt: skip
COMMITTED = {
    "other bytes": Lie(documents=(Document(key="x/.zattrs", digest=sha(b"{}")),), staged={"000001": b"[]"}),
    "a link": Lie(documents=(Document(key="x/.zattrs", digest=sha(b"{}")),), staged={"000001": b"-> x/0"}),
    "a linked chunk": Lie(staged={"000001": b"-> x/0"}),
}


class Planted:
    """A target of five steps in chunks of four, a slice that may follow, and room for a journal."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "cube.zarr"
        self.slice = write_line(folder / "slice.zarr", range(5, 11))
        zapz.append(self.target, write_line(folder / "start.zarr", range(5)), **SETTINGS)
        self.folder = self.target / ".zapz/txn/planted"

    def base(self) -> dict[str, str | None]:
        """Return what the documents really are."""
        names = (".zgroup", "x/.zarray", "x/.zattrs", ".zmetadata")
        return {name: sha((self.target / name).read_bytes()) for name in names}

    def plant(self, lie: Lie, outcome: journal.Outcome | None = None) -> None:
        """Put a journal there."""
        base = lie.base if lie.base is not None else self.base()
        intent = Intent(
            id="planted", made_root=False, base=base, documents=lie.documents, extents=lie.extents,
            existing=lie.existing, folders=lie.folders,
        )  # fmt: skip
        self.folder.mkdir(parents=True)
        (self.folder / "journal").write_bytes(
            b"".join([*journal.write(intent), *(journal.foreign(key) for key in lie.foreign)])
        )
        for name, data in lie.staged.items():
            if data.startswith(b"-> "):
                (self.folder / name).symlink_to(self.target / data[3:].decode())
            else:
                (self.folder / name).write_bytes(data)
        if outcome is not None:
            (self.folder / "decision").write_bytes(journal.decision("planted", outcome))

    def refuses(self) -> None:
        """See that it is refused, that nothing is touched, and that the remedy works."""
        was = untouched(self.target)
        for command in (["recover", self.target], ["append", self.target, self.slice]):
            said = cli(*command)
            assert said.code == 9, said
            assert "Traceback" not in said.err
            assert untouched(self.target) == was, differ(untouched(self.target), was)
        said = cli("info", self.target)
        assert said.code == 0
        assert "planted" in said.out
        assert "does not match the target's documents" in said.out
        assert f"remove {self.folder}" in cli("recover", self.target).err
        shutil.rmtree(self.folder)
        zapz.append(self.target, self.slice, **SETTINGS)
        assert values(self.target) == tuple(range(11))


def untouched(target: Path) -> Tree:
    return {key: data for key, data in tree(target).items() if key != ".zapz/head"}


def values(target: Path) -> tuple[int, ...] | None:
    objects = {f"t/{key}": data for key, data in tree(target).items() if isinstance(data, bytes)}
    return read_line(objects, "t")


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("outcome", [None, "commit", "abort"])
def test_lies(lie: str, outcome: journal.Outcome | None, planted: Planted) -> None:
    planted.plant(LIES[lie], outcome)
    planted.refuses()


def test_boundary_chunk_as_its_own(planted: Planted) -> None:
    """An undecided append removes what it made; what holds old values, it has not made."""
    planted.plant(Lie(existing=()))
    planted.refuses()


def test_journal_beside_the_target(planted: Planted) -> None:
    """The remedy names the folder that is there."""
    planted.folder = planted.target.with_name("cube.zarr.zapz") / "txn/planted"
    planted.plant(LIES["empty base, live chunks"])
    with pytest.raises(JournalError) as caught:
        zapz.recover(planted.target, journal="beside")
    assert f"remove {planted.folder};" in str(caught.value)
    shutil.rmtree(planted.folder)
    zapz.append(planted.target, planted.slice, journal="beside", **SETTINGS)
    assert values(planted.target) == tuple(range(11))


@pytest.mark.parametrize("lie", COMMITTED)
def test_lies_about_what_is_staged(lie: str, planted: Planted) -> None:
    """A decision puts nothing in place but files that are what the intent names."""
    planted.plant(COMMITTED[lie], "commit")
    planted.refuses()


@pytest.mark.parametrize("outcome", [None, "commit"])
def test_truth(outcome: journal.Outcome | None, planted: Planted) -> None:
    """The honest journal that the lies are made from is undone, or finished."""
    planted.plant(Lie(), outcome)
    before = without_ours(tree(planted.target))
    assert cli("recover", planted.target).code == 0
    assert without_ours(tree(planted.target)) == before


def test_chunk_of_an_array_around_others(planted: Planted) -> None:
    """The root as an array that is not there yet has chunks ``0/0``, and so has an array named ``0``."""
    (planted.target / "x").rename(planted.target / "0")
    (planted.target / ".zmetadata").unlink()
    planted.plant(
        Lie(base={".zarray": None}, extents=(extent("", (0, 1), (0, 2), keys=SLASHES),), existing=(), folders=())
    )
    was = untouched(planted.target)
    assert cli("recover", planted.target).code == 9
    assert untouched(planted.target) == was


def test_a_base_that_is_not_there(planted: Planted) -> None:
    """Whoever says that a live array is absent is told that it has changed; its chunks stay."""
    planted.plant(Lie(base={"x/.zarray": None}, extents=(extent("x", (0, 2)),), existing=()))
    before = without_ours(tree(planted.target))
    assert cli("recover", planted.target).code == 8
    assert without_ours(tree(planted.target)) == before


def test_very_many_chunks_of_an_array_that_is_not_there(planted: Planted) -> None:
    """Those that exist are removed, whatever could exist; names that are no keys of it stay."""
    before = without_ours(tree(planted.target))
    for number, keys in enumerate((DOTS, SLASHES, ChunkKeys(style="default", separator="/"))):
        path = f"new{number}"
        for index in ((0, 5), (7, HUGE - 1), (HUGE // 2, 3)):
            file = planted.target / path / keys.key(index)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"made")
        (planted.target / path / "readme").write_bytes(b"precious")
        before |= {path: None, f"{path}/readme": b"precious"}
    news = tuple(extent(f"new{n}", (0, HUGE), (0, HUGE), keys=k) for n, k in enumerate(
        (DOTS, SLASHES, ChunkKeys(style="default", separator="/"))))  # fmt: skip
    planted.plant(
        Lie(base={f"new{n}/.zarray": None for n in range(3)}, extents=news, existing=(), folders=("new0", "new1"))
    )
    with within(30):
        assert cli("recover", planted.target).code == 0
    assert without_ours(tree(planted.target)) == before


def test_very_many_records() -> None:
    """A journal with a record for each key is read in a time that grows with its length, not with its square."""
    intent = Intent(id="t", made_root=False, base={}, documents=(), extents=())
    begin = next(itertools.islice(journal.write(intent), 1, None))

    def seconds(number: int) -> float:
        gc.collect()
        return min(once(number) for _ in range(3))

    def once(number: int) -> float:
        names = b"".join(records.frame({"type": "existing", "keys": [f"a/{n}"]}) for n in range(number))
        data = records.MAGIC + begin + names + records.frame({"type": "ready", "existing": number})
        began = time.process_time()
        found = journal.read(data, "j")
        assert found is not None
        assert len(found.existing) == number
        return time.process_time() - began

    assert seconds(80_000) < 16 * max(seconds(10_000), 0.02)


def test_deeply_nested_record() -> None:
    """No error of Python's own."""
    payload = b"[" * 100_000
    with pytest.raises(JournalError):
        journal.read(records.MAGIC + records._head(len(payload), zlib.crc32(payload)) + payload, "j")


# -- what remains of a target that was replaced ------------------------------------------------------------------------

REMAINS: dict[str, Callable[[Inventory], Inventory]] = {
    "no documents": lambda r: replace(r, documents={}),
    "another range": lambda r: replace(r, extents=(extent("x", (0, 1)),)),
    "very many": lambda r: replace(r, extents=(extent("x", (0, HUGE)),)),
    "other keys": lambda r: replace(r, extents=(extent("x", (0, 2), keys=SLASHES),)),
    "a group's chunks": lambda r: replace(r, extents=(extent("", (0, 2)),)),
    "a file that is no document": lambda r: replace(r, documents={**r.documents, "x/0": sha(b"")}),
}


@pytest.mark.parametrize("lie", REMAINS)
def test_lies_about_what_remains(lie: str, planted: Planted) -> None:
    """A mark that says that a folder beside the target is to be removed names what that folder's documents say, or nothing goes."""
    old = planted.target.with_name(".cube.zarr.zapz-new")
    shutil.copytree(planted.target, old)
    (old / "x/0").write_bytes(b"")
    told = Inventory.of(zapz.storage.hierarchy.open_dataset(LocalStore(old)), "planted")  # type: ignore[attr-defined]
    (planted.target / ".zapz").mkdir()
    (planted.target / FRESH).write_bytes(REMAINS[lie](told).encode())
    was = tree(old), untouched(planted.target)
    said = cli("recover", planted.target)
    assert said.code == 9, said
    assert (tree(old), untouched(planted.target)) == was
    (planted.target / FRESH).write_bytes(told.encode())
    assert cli("recover", planted.target).code == 0
    assert not old.exists()


@pytest.mark.parametrize("change", [{"documents": []}, {"documents": {"x/.zarray": 3}}, {"id": "a/b"}, {"id": 3}])
def test_marks_without_sense(change: dict[str, Any]) -> None:
    """Damaged, never another error."""
    whole = records.single(Inventory(id="one", documents={"x/.zarray": "0"}).encode())
    with pytest.raises(JournalError):
        Inventory.decode(records.frame({**whole, **change}), "mark")


# -- object services ---------------------------------------------------------------------------------------------------


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    world = World(monkeypatch)
    zapz.append(world.store(), write_line(tmp_path / "start.zarr", range(5)), **SETTINGS)
    return world


def plant_head(world: World, head: Head) -> None:
    world.service.overwrite("bucket/cube/.zapz/head", heads.encode(head))


def active(base: dict[str, str | None], documents: tuple[Document, ...]) -> Head:
    """Return a head whose owner has given up."""
    from zapz.storage.holder import me

    intent = Intent(id="planted", made_root=False, base=base, documents=documents, extents=())
    return Head().active(intent, Commit(fingerprint="", offset=0, length=0), me(), 60.0, 0.0).leave()


@pytest.mark.parametrize("lie", ["others", "more", "none", "no document"])
def test_decision_about_other_documents(lie: str, world: World) -> None:
    """What a decision makes visible is what its intent names."""
    before = world.service.objects["bucket/cube/x/.zattrs"]
    planned = {"x/0" if lie == "no document" else "x/.zattrs": b"{}"}
    base = {key: sha(world.service.objects[f"bucket/cube/{key}"]) for key in planned}
    documents = tuple(Document(key=key, digest=sha(data)) for key, data in planned.items())
    plant_head(world, active(dict(base), documents))
    decided = {"others": {"x/.zattrs": b"[]"}, "more": {**planned, ".zgroup": b""}, "none": {}}.get(lie, planned)
    world.service.overwrite(
        "bucket/cube/.zapz/txn/planted/decision", journal.decision("planted", "commit", decided, time.time())
    )
    was = world.service.snapshot()
    with pytest.raises(JournalError, match="does not match the target's documents"):
        zapz.recover(world.store())
    assert world.service.snapshot() == was
    world.service.overwrite(
        "bucket/cube/.zapz/txn/planted/decision", journal.decision("planted", "commit", planned, time.time())
    )
    if lie != "no document":
        assert zapz.recover(world.store()).rolled_forward == ("planted",)
        assert world.service.objects["bucket/cube/x/.zattrs"] != before


def test_vacuum_of_very_many_keys(world: World) -> None:
    """What exists of them is removed where it lies beyond the shape; it costs what exists."""
    for path, keys in (("x", DOTS), ("gone", DOTS), ("deep", SLASHES)):
        for i in (2, HUGE - 1, HUGE):
            world.service.overwrite(f"bucket/cube/{path}/{keys.key((i,) if path != 'deep' else (i, 7))}", b"left")
    world.service.overwrite("bucket/cube/x/02", b"precious")
    dirty = [extent("x", (0, HUGE)), extent("gone", (0, HUGE)), extent("deep", (0, HUGE), (0, HUGE), keys=SLASHES)]
    plant_head(world, Head(dirty=tuple(Dirty(extent=e, since=0.0, rest=0.0) for e in dirty)))
    with within(30):
        assert sessions.vacuum(world.store(), Wait(), "v").removed == 6
    assert read_line(world.service.objects) == tuple(range(5))
    left = {key for key in world.service.objects if world.service.objects[key] in (b"left", b"precious")}
    assert left == {f"bucket/cube/{k}" for k in (f"x/{HUGE}", f"gone/{HUGE}", f"deep/{HUGE}/7", "x/02")}


def test_target_with_very_many_dirty_keys_at_its_root(world: World) -> None:
    """What aborted runs may have left is asked, not listed."""
    dirty = tuple(
        Dirty(extent=each, since=0.0, rest=0.0)
        for each in (
            extent("", (0, HUGE), (3, 9)),
            extent("a/b", (0, HUGE)),
            extent("", (5, HUGE), (0, 1), keys=SLASHES),
        )
    )
    names = heads.top_names(Head(dirty=dirty))
    assert all(name in names for name in ("0.3", f"{HUGE - 1}.8", "a", "5", f"{HUGE - 1}"))
    assert not any(
        name in names for name in ("0.9", f"{HUGE}.3", "00.3", "b", "x", "4", f"{HUGE}", "05", "", ".zgroup")
    )


@pytest.mark.parametrize("seconds", [1e9, float("inf"), float("nan"), -1.0])
@pytest.mark.parametrize("what", ["lease", "rest"])
def test_head_that_would_make_everybody_wait(what: str, seconds: float, world: World, tmp_path: Path) -> None:
    """Refused at once."""
    head = replace(active({}, ()), lease=seconds, left=False)
    if what == "rest":
        head = Head(dirty=(Dirty(extent=extent("x", (0, 9)), since=time.time(), rest=seconds),))
    plant_head(world, head)
    was = world.service.snapshot()
    for call in (
        lambda: zapz.recover(world.store()),
        lambda: zapz.append(world.store(), write_line(tmp_path / "late.zarr", range(5, 7)), **SETTINGS),
        lambda: settling.read_head(world.store()),
    ):
        with pytest.raises(JournalError):
            call()
    assert world.service.snapshot() == was
