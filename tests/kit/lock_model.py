"""A model of how writers take turns where the file system keeps no lock, and a search through every order in which things may happen.

It states the protocol by itself and shares no code with zapz. ``Writer`` says what a process asks of the file system, ``act`` what becomes
of that, and ``World`` goes through all that may happen to two writers, or through some of what may happen to more. ``Rules`` are the
conditions that the protocol rests on. Each can be left out, to see what goes wrong then.

The file system is harsher than common ones:

- An operation takes two steps. The first finds the folders that its paths lie in, the second acts on them, whatever they are called by then.
  Only a folder that was removed meanwhile is not acted on. Others may do anything in between.
- If names are remembered, as a client of NFS does for a while, a writer finds what is in its own folder until that is removed, although it
  has got another name since. Otherwise it looks it up for every operation.
- Any turn may be ended at any time, and any writer may stop for ever.

What it takes for granted: each step is done or not done, a file is whole as soon as it is there, and a process does one thing after another.
"""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Generator, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

# -- the file system -------------------------------------------------------------------------------------------------

ENOENT, EEXIST, ENOTEMPTY, DONE = "ENOENT", "EEXIST", "ENOTEMPTY", "done"
ROOT = "/"
"""The dataset's folder, which is never removed."""
GONE = "gone"
"""A folder that was found, and removed since."""

STALE = "stale"
"""What a chunk holds that was there before anybody came."""

Doc = tuple[str, ...]
Answer = Any


class File(NamedTuple):
    """A file. Two names that lead to equal ones lead to the same one."""

    made: str
    """The path where it was made."""
    content: Any


class Op(NamedTuple):
    """One operation. Its paths begin in the dataset's folder."""

    kind: str
    path: str
    other: str = ""
    content: Any = None

    def __str__(self) -> str:
        return " ".join(word for word in (self.kind, self.path, self.other) if word)


Entries = tuple[tuple[str, str | File], ...]
"""What is in a folder, in the order of the names: files, and folders by the path where they were made."""


class Disk:
    """All folders, each known by the path where it was made. It is never changed."""

    __slots__ = ("_hash", "_key", "folders")

    def __init__(self, folders: dict[str, Entries]) -> None:
        self.folders = folders
        self._key = frozenset(folders.items())
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Disk) and self._hash == other._hash and self._key == other._key)

    def get(self, folder: str, name: str) -> str | File | None:
        """Return the file or folder of that name in a folder."""
        for each, found in self.folders[folder]:
            if each == name:
                return found
        return None

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder."""
        return tuple(name for name, _ in self.folders[folder])

    def folder(self, path: str, start: str = ROOT) -> str | None:
        """Return the folder that a path leads to, from another one."""
        for name in path.split("/") if path else ():
            found = self.get(start, name)
            if not isinstance(found, str):
                return None
            start = found
        return start

    def read(self, name: str) -> Any:
        """Return what a file in the dataset's folder holds; None if there is none."""
        found = self.get(ROOT, name)
        return found.content if isinstance(found, File) else None

    def having(self, folder: str, name: str, found: str | File | None) -> Disk:
        """Return what it becomes if a name leads to something else, or to nothing."""
        entries = [entry for entry in self.folders[folder] if entry[0] != name]
        if found is not None:
            entries.append((name, found))
            entries.sort(key=_first)
        return Disk({**self.folders, folder: tuple(entries)})

    def having_folder(self, folder: str, name: str, made: str) -> Disk:
        """Return what it becomes with a new folder."""
        return Disk({**self.having(folder, name, made).folders, made: ()})

    def without(self, folders: tuple[str, ...]) -> Disk:
        """Return what it becomes without some folders that have no names any more."""
        return Disk({each: entries for each, entries in self.folders.items() if each not in folders})

    def below(self, folder: str) -> tuple[str, ...]:
        """Return a folder and all that are in it."""
        inside = (each for _, found in self.folders[folder] if isinstance(found, str) for each in self.below(found))
        return (folder, *inside)


def _first(item: tuple[str, Any]) -> str:
    return item[0]


def holding(**files: Any) -> Disk:
    """Return a dataset with some files."""
    return Disk({ROOT: tuple(sorted(((name, File(name, content)) for name, content in files.items()), key=_first))})


@cache
def _parts(op: Op) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths of the folders that an operation acts on, and the names in them."""
    if op.kind == "list":
        return (op.path,), ("",)
    folder, _, name = op.path.rpartition("/")
    if not op.other:
        return (folder,), (name,)
    second, _, last = op.other.rpartition("/")
    return (folder, second), (name, last)


Effect = tuple[Disk, Answer, tuple[str, ...]]
"""What the disk becomes, the answer, and the folders that were removed."""


def act(disk: Disk, op: Op, folders: tuple[str, ...]) -> Effect:
    """Do an operation in the folders that were found for it."""
    if GONE in folders:
        return disk, ENOENT, ()
    if op.kind == "list":
        return disk, disk.names(folders[0]), ()
    names = _parts(op)[1]
    folder, name = folders[0], names[0]
    found = disk.get(folder, name)
    if op.kind == "exists":
        return disk, found is not None, ()
    if op.kind in {"create", "mkdir", "plant"}:
        return (disk, EEXIST, ()) if found is not None else (_made(disk, op, folder, name), DONE, ())
    if found is None:
        return disk, ENOENT, ()
    if len(folders) > 1:
        there = disk.get(folders[1], names[1])
        return _linked(disk, op, found, there, folders, names)
    if isinstance(found, File):
        if op.kind == "read":
            return disk, found.content, ()
        assert op.kind == "unlink"
        return disk.having(folder, name, None), DONE, ()
    assert op.kind in {"rmdir", "fell"}
    if op.kind == "rmdir" and disk.folders[found]:
        return disk, ENOTEMPTY, ()
    removed = disk.below(found)
    return disk.having(folder, name, None).without(removed), DONE, removed


def _made(disk: Disk, op: Op, folder: str, name: str) -> Disk:
    """Make a file, a folder, or one with something in it."""
    if op.kind == "create":
        return disk.having(folder, name, File(op.path, op.content))
    disk = disk.having_folder(folder, name, op.path)
    for each in op.content or ():
        above, _, last = f"{op.path}/{each}".rpartition("/")
        path = f"{above}/{last}"
        disk = disk.having(above, last, File(path, last)) if last == "owner" else disk.having_folder(above, last, path)
    return disk


def _linked(
    disk: Disk,
    op: Op,
    found: str | File,
    there: str | File | None,
    folders: tuple[str, ...],
    names: tuple[str, ...],
) -> Effect:
    """Do an operation on two names."""
    if op.kind == "link":
        return (disk, EEXIST, ()) if there is not None else (disk.having(folders[1], names[1], found), DONE, ())
    if there == found:
        return disk, DONE, ()  # POSIX: nothing happens to two names of one file
    removed: tuple[str, ...] = ()
    if isinstance(there, str):
        assert isinstance(found, str)
        if disk.folders[there] and op.kind != "replace":
            return disk, ENOTEMPTY, ()
        removed = disk.below(there)
    after = disk.having(folders[0], names[0], None).having(folders[1], names[1], found)
    return after.without(removed), DONE, removed


# -- the protocol ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """The conditions; with all of them it is the protocol."""

    enters_empty_only: bool = True
    """A turn begins only where there is none, or an empty folder."""
    ends_by_its_name: bool = True
    """Ending renames the turn's own folder, not the one that they all have one after another."""
    empties_first: bool = True
    """The folder of a turn that is over is emptied and removed before the next one does anything else; otherwise when that leaves."""
    newest_first: bool = True
    """Of the turns that are over, the last one is taken over first: until then it may be taking over the others."""
    way_first: bool = True
    """``way`` is removed before anything is taken from the transactions: who still has the others would misunderstand what he sees."""
    moves_files: bool = True
    """Transactions are moved file by file; otherwise their folders are renamed."""
    unlinks_moved: bool = True
    """Only a file that has got its second name loses its first one."""
    repeats: bool = True
    """If something has landed in a folder that was to be removed, it is emptied again; otherwise it is left as it is."""
    applies_from_way: bool = True
    """What replaces a file is renamed out of ``way``; otherwise from beside its place, where everybody uses a name of his own."""
    creates_in_way: bool = True
    """A new file is made in ``way``, and linked to its place; otherwise it is made there."""
    removes_into_way: bool = True
    """What is removed is renamed into ``way`` and removed there; otherwise at its place."""
    cleans_into_way: bool = True
    """What is removed from a transaction goes through ``way``, too."""
    doubts: bool = True
    """If what is to be removed is not found, its place is looked at: it may be ``way`` that was not found."""
    decides_inside: bool = True
    """The decision is made at a name in the turn's folder; otherwise beside it, where all turns find it."""
    decides_from_way: bool = True
    """The decision is linked out of ``way``: who finds nothing to recover, because it is being taken over, cannot decide any more."""
    decides_once: bool = True
    """The decision does not replace another one."""
    journal_first: bool = True
    """Of the files of a transaction that has ended, the journal goes first; otherwise last."""
    undo_reads_doc: bool = True
    """Nothing is undone if the document is no longer what the transaction built on."""
    checks_doc: bool = True
    """The document is looked at before the decision."""
    doc_last: bool = True
    """The document is put in place after the chunk; otherwise before it."""
    looks: bool = True
    """The owner looks whether it still is the owner, before it changes what others see."""


class Journal(NamedTuple):
    """What a transaction is going to do."""

    base: Doc
    existed: bool
    """Whether there were stale bytes where its chunk belongs."""


def _number(name: str) -> int:
    """Return the how many-th turn it was that ended; -1 if it is something else."""
    kind, _, rest = name.partition("-")
    return int(rest.partition("-")[0]) if kind == "ended" else -1


class LostError(Exception):
    """The turn is over."""


Steps = Generator[Op, Answer, Any]
COMMIT, ABORT = "commit", "abort"
OK, FAILED, UNKNOWN, LOCKED = "ok", "failed", "not known", "locked"
HEAD, TURN = "head", "head/turn"


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that takes a turn, recovers, appends one value, and leaves."""

    token: str
    """Its name, and the value."""
    rules: Rules = Rules()
    appends: bool = True
    """Whether it appends anything."""
    spoiled: bool = False
    """Whether it finds, when its chunk is written, that it cannot append after all, and undoes that."""
    tidies: bool = False
    """Whether it removes, before it leaves, the folders of all who wait: they may be dead. Who lives makes them again."""
    ends: int = 1
    """So many turns of others it ends."""

    @property
    def folder(self) -> str:
        """Where its turn is."""
        return f"{TURN}/{self.token}"

    @property
    def waiting(self) -> str:
        """Where its turn is before it begins."""
        return f"{HEAD}/wait-{self.token}"

    def _way(self, name: str) -> str:
        return f"{self.folder}/way/{name}"

    def _own(self, transaction: str, name: str = "") -> str:
        return f"{self.folder}/txn/{transaction}" + (f"/{name}" if name else "")

    def run(self) -> Steps:
        """Do everything; return what it is told."""
        outcome = LOCKED
        entered = yield from self._enter()
        if entered:
            try:
                yield from self._inherit()
                yield from self._recover()
                outcome = (yield from self._append()) if self.appends else OK
            except LostError:
                outcome = UNKNOWN
            yield from self._leave()
        else:
            yield Op("fell", self.waiting)
        yield Op("rmdir", TURN)
        yield Op("rmdir", HEAD)
        return outcome

    # -- turns -----------------------------------------------------------------------------------------------------------

    def _enter(self) -> Steps:
        """Begin a turn; return False if that is given up."""
        yield from self._prepare()
        kind = "rename" if self.rules.enters_empty_only else "replace"
        ends = self.ends
        while True:
            answer = yield Op(kind, self.waiting, TURN)
            if answer == DONE:
                break
            if answer == ENOENT:
                yield from self._prepare()
                continue
            names = yield Op("list", TURN)
            if names in {ENOENT, ()}:
                continue
            if not ends:
                return False
            ends -= 1
            old = f"{TURN}/{names[0]}" if self.rules.ends_by_its_name else TURN
            number = 1 + max((_number(each) for each in (yield from self._names(HEAD))), default=0)
            yield Op("rename", old, f"{HEAD}/ended-{number}-{names[0]}")
            names, old, number = None, "", 0
        if self.tidies and (yield Op("exists", f"{self.folder}/owner")) is not True:
            yield Op("rename", self.folder, f"{HEAD}/ended-0-{self.token}")
            return False
        return True

    def _prepare(self) -> Steps:
        """Make the folder that is going to be the turn."""
        inside = (self.token, f"{self.token}/txn", f"{self.token}/way", f"{self.token}/owner")
        while True:
            yield Op("mkdir", HEAD)
            if not self.tidies:  # then nobody else looks into it before it is renamed
                answer = yield Op("plant", self.waiting, "", inside)
            else:
                answer = yield Op("mkdir", self.waiting)
                for each in inside:
                    if answer != ENOENT:
                        answer = yield Op("create" if each.endswith("owner") else "mkdir", f"{self.waiting}/{each}")
            if answer != ENOENT:
                return

    def _names(self, folder: str) -> Steps:
        """Return the names in a folder; none if it is gone."""
        names = yield Op("list", folder)
        return () if names == ENOENT else names

    def _ended(self) -> Steps:
        """Return the folders of turns that are over."""
        names = yield from self._names(HEAD)
        names = sorted((name for name in names if _number(name) >= 0), key=_number, reverse=self.rules.newest_first)
        folders = tuple(f"{HEAD}/{name}" for name in names)
        if self.rules.ends_by_its_name:
            return folders
        names = None
        found: tuple[str, ...] = ()
        for folder in folders:
            inside = yield from self._names(folder)
            found += tuple(f"{folder}/{each}" for each in inside)
            yield Op("rmdir", folder)
        return found

    def _inherit(self) -> Steps:
        """Take over what turns held that are over."""
        folders = yield from self._ended()
        for folder in folders:
            while True:
                gone = yield from self._take_over(folder)
                if gone or not self.rules.repeats:
                    break

    def _take_over(self, folder: str) -> Steps:
        """Move what a turn held, and remove its folder; return whether it is gone."""
        if not self.rules.empties_first:
            yield from self._move(folder)
            return True
        if self.rules.way_first and not (yield from self._closed(folder)):
            return False
        yield from self._move(folder)
        return (yield from self._removed(folder))

    def _closed(self, folder: str) -> Steps:
        """Remove a turn's ``way``; return whether it is gone."""
        yield Op("unlink", f"{folder}/owner")
        names = yield from self._names(f"{folder}/way")
        for name in names:
            yield Op("unlink", f"{folder}/way/{name}")
        return (yield Op("rmdir", f"{folder}/way")) != ENOTEMPTY

    def _move(self, folder: str) -> Steps:
        """Move transactions."""
        transactions = yield from self._names(f"{folder}/txn")
        for transaction in transactions:
            old, new = f"{folder}/txn/{transaction}", self._own(transaction)
            if not self.rules.moves_files:
                yield Op("rename", old, new)
                continue
            yield from self._must("mkdir", new)
            files = yield from self._names(old)
            moved: tuple[str, ...] = ()
            for name in files:
                answer = yield Op("link", f"{old}/{name}", f"{new}/{name}")
                if answer != ENOENT or not self.rules.unlinks_moved:
                    moved += (name,)
                answer = None
            for name in moved:
                yield Op("unlink", f"{old}/{name}")
            yield Op("rmdir", old)

    def _removed(self, folder: str) -> Steps:
        """Remove a turn's folder, but for transactions; return whether it is gone."""
        if not (yield from self._closed(folder)):
            return False
        for each in (f"{folder}/txn", folder):
            if (yield Op("rmdir", each)) == ENOTEMPTY:
                return False
        if not self.rules.ends_by_its_name:
            yield Op("rmdir", folder.rpartition("/")[0])
        return True

    def _leave(self) -> Steps:
        """End the own turn."""
        if self.tidies:
            names = yield from self._names(HEAD)
            for name in names:
                if name.startswith("wait-"):
                    yield from self._removed(f"{HEAD}/{name}/{name.removeprefix('wait-')}")
                    yield Op("rmdir", f"{HEAD}/{name}")
            names = name = None
        if not self.rules.empties_first:
            folders = yield from self._ended()
            for each in folders:
                yield from self._removed(each)
            folders = each = None
        ended = f"{HEAD}/ended-0-{self.token}"
        if (yield Op("rename", self.folder if self.rules.ends_by_its_name else TURN, ended)) == DONE:
            yield from self._removed(ended if self.rules.ends_by_its_name else f"{ended}/{self.token}")

    def _look(self) -> Steps:
        """Give up if the turn is over, as far as can be seen."""
        if self.rules.looks and (yield Op("exists", f"{self.folder}/owner")) is not True:
            raise LostError

    def _must(self, kind: str, path: str, other: str = "", content: Any = None) -> Steps:
        """Do something that succeeds unless the turn is over, or something is there already; return whether it has succeeded."""
        answer = yield Op(kind, path, other, content)
        if answer == ENOENT:
            raise LostError
        return answer == DONE

    # -- transactions ----------------------------------------------------------------------------------------------------

    def _append(self) -> Steps:
        """Append; return what the writer is told."""
        transaction = value = self.token
        doc: Doc = yield Op("read", "doc")
        place = f"c{len(doc)}"
        journal = Journal(doc, (yield Op("exists", place)))
        yield from self._must("mkdir", self._own(transaction))
        yield from self._must("create", self._own(transaction, "journal"), "", journal)
        created = True
        if journal.existed:
            yield from self._must("create", self._own(transaction, "chunk"), "", value)
        elif self.rules.creates_in_way:
            yield from self._must("create", self._way("new"), "", value)
            created = yield from self._must("link", self._way("new"), place)
            yield Op("unlink", self._way("new"))
        else:
            created = yield from self._must("create", place, "", value)
        if not created or self.spoiled:
            yield from self._undo(transaction, journal, created=created)
            return FAILED
        yield from self._must("create", self._own(transaction, "doc"), "", (*doc, value))
        yield from self._must("create", self._own(transaction, COMMIT), "", COMMIT)
        if self.rules.checks_doc and (yield Op("read", "doc")) != doc:
            yield from self._undo(transaction, journal, created=True)
            return FAILED
        yield from self._look()
        decided = yield from self._decide(transaction, COMMIT)
        if not decided:
            yield from self._undo(transaction, journal, created=True)
            return FAILED
        yield from self._apply(transaction, journal, ours=True)
        with contextlib.suppress(LostError):  # somebody else cleans up
            yield from self._clean(transaction)
        return OK

    def _recover(self) -> Steps:
        """Finish or undo what others left."""
        transactions = yield Op("list", f"{self.folder}/txn")
        if transactions == ENOENT:
            raise LostError
        for transaction in transactions:
            journal = yield Op("read", self._own(transaction, "journal"))
            if journal == ENOENT:
                yield from self._clean(transaction)
            elif (yield Op("read", self._decision(transaction))) == COMMIT:
                yield from self._apply(transaction, journal, ours=False)
                yield from self._clean(transaction)
            else:
                yield from self._undo(transaction, journal, created=True)
            journal = None

    def _decision(self, transaction: str) -> str:
        return self._own(transaction, "decision") if self.rules.decides_inside else f"{HEAD}/decision-{transaction}"

    def _decide(self, transaction: str, outcome: str) -> Steps:
        """Decide; return False if that was done already."""
        decision, ballot = self._decision(transaction), self._own(transaction, outcome)
        if not self.rules.decides_inside:
            return (yield from self._must("create", decision, "", outcome))
        kind = "link" if self.rules.decides_once else "rename"
        if not self.rules.decides_from_way:
            return (yield from self._must(kind, ballot, decision))
        aside = self._way(f"{transaction}-{outcome}")
        yield from self._must("create", aside, "", outcome)
        decided = yield from self._must(kind, aside, decision)
        yield Op("unlink", aside)
        return decided

    def _undo(self, transaction: str, journal: Journal, *, created: bool) -> Steps:
        """Decide against a transaction and remove the chunk that it has created; finish it if the decision was for it."""
        yield from self._must("create", self._own(transaction, ABORT), "", ABORT)
        decided = yield from self._decide(transaction, ABORT)
        if not decided and (yield Op("read", self._decision(transaction))) == COMMIT:
            yield from self._apply(transaction, journal, ours=False)
        else:
            doc = (yield Op("read", "doc")) if self.rules.undo_reads_doc else journal.base
            if doc == journal.base and created and not journal.existed:
                yield from self._remove(f"c{len(journal.base)}", transaction)
            doc = None
        yield from self._clean(transaction)

    def _remove(self, place: str, transaction: str) -> Steps:
        """Remove a file, if it is there."""
        yield from self._look()
        if not self.rules.removes_into_way:
            yield Op("unlink", place)
            return
        aside = self._way(f"old-{transaction}")
        if (yield Op("rename", place, aside)) == DONE:
            yield from self._look()
            yield Op("unlink", aside)
        elif self.rules.doubts and (yield Op("exists", place)) is True:
            raise LostError

    def _apply(self, transaction: str, journal: Journal, *, ours: bool) -> Steps:
        """Put everything in place."""
        places = ((("chunk", f"c{len(journal.base)}"),) if journal.existed else ()) + (("doc", "doc"),)
        for name, place in places if self.rules.doc_last else places[::-1]:
            yield from self._look()
            aside = (
                self._way(f"{transaction}-{name}")
                if self.rules.applies_from_way
                else f".{self.token}-{transaction}-{name}"
            )
            if not ours and (yield Op("exists", self._own(transaction, name))) is not True:
                continue  # its owner was about to clean up
            yield from self._must("link", self._own(transaction, name), aside)
            yield from self._must("rename", aside, place)
            if not self.rules.applies_from_way:  # it is still there if the place had it already
                yield Op("unlink", aside)

    def _clean(self, transaction: str) -> Steps:
        """Remove a transaction that has ended."""
        if not self.rules.decides_inside:
            yield Op("unlink", self._decision(transaction))
        if self.rules.journal_first:
            yield from self._drop(transaction, "journal")
        names = yield from self._names(self._own(transaction))
        for name in names:
            if name != "journal":
                yield from self._drop(transaction, name)
        names = name = None
        if not self.rules.journal_first:
            yield from self._drop(transaction, "journal")
        yield Op("rmdir", self._own(transaction))

    def _drop(self, transaction: str, name: str) -> Steps:
        """Remove a file of a transaction, if it is there."""
        path = self._own(transaction, name)
        if not self.rules.cleans_into_way:
            yield Op("unlink", path)
            return
        aside = self._way(f"{transaction}-{name}-old")
        if (yield Op("rename", path, aside)) == DONE:
            yield Op("unlink", aside)
        elif (yield Op("exists", path)) is True:
            raise LostError


# -- what a writer does next, as a table -----------------------------------------------------------------------------


def _position(steps: Steps) -> Hashable:
    """Return where a generator stands, and all that it knows."""
    where: list[Hashable] = []
    inner: Any = steps
    while inner is not None:
        frame = inner.gi_frame
        where.append((frame.f_code.co_name, frame.f_lasti, tuple(sorted(frame.f_locals.items(), key=_first))))
        inner = inner.gi_yieldfrom
    return tuple(where)


class Table:
    """All states of a writer, numbered: what it asks for in each, and which one follows each answer. It is made as it is needed."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.asks: list[Op | None] = []
        """What it asks for in each state; None if it has ended."""
        self.told: list[str] = []
        """What it is told in each state, if it has ended."""
        self._answers: list[tuple[Answer, ...]] = []
        self._numbers: dict[Hashable, int] = {}
        self._next: dict[tuple[int, Answer], int] = {}
        self._visit(())

    def _visit(self, answers: tuple[Answer, ...]) -> int:
        """Return the state after some answers."""
        steps = self.writer.run()
        op: Op | None = None
        told = ""
        try:
            op = next(steps)
            for answer in answers:
                op = steps.send(answer)
            position = _position(steps)
        except StopIteration as end:
            op, told = None, end.value
            position = told
        number = self._numbers.setdefault(position, len(self.asks))
        if number == len(self.asks):
            self.asks.append(op)
            self.told.append(told)
            self._answers.append(answers)
        elif self.asks[number] != op:
            raise AssertionError(f"two states are taken for one: {op} and {self.asks[number]}")
        return number

    def after(self, number: int, answer: Answer) -> int:
        """Return the state that follows an answer."""
        found = self._next.get((number, answer))
        if found is None:
            found = self._next[number, answer] = self._visit((*self._answers[number], answer))
        return found


@cache
def table_of(writer: Writer) -> Table:
    """Return the table of a writer."""
    return Table(writer)


# -- all that may happen ---------------------------------------------------------------------------------------------

Standing = tuple[int, tuple[str, ...]]
"""A writer's state, and the folders that were found for what it asks for; none if it has not looked for them yet."""
State = tuple[Disk, tuple[Standing, ...]]
_MOST = 300_000
"""So many results are remembered."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found."""

    states: int
    """How many states it has seen; in a walk, how many steps it has taken."""
    problem: str = ""
    schedule: tuple[str, ...] = ()
    """How the problem comes about."""
    told: frozenset[tuple[str, ...]] = frozenset()
    """What the writers may be told, together."""

    def __str__(self) -> str:
        return "\n".join((f"{self.states} states: {self.problem or 'all is well'}", *self.schedule))


class Verdict(NamedTuple):
    """What remains of a disk at the end."""

    problem: str
    doc: Doc = ()
    waiting: tuple[str, ...] = ()
    """The folders of those who wait: who has died waiting leaves that."""


class World:
    """Some writers at a dataset."""

    def __init__(self, writers: tuple[Writer, ...], start: Disk, *, remembered: bool = False) -> None:
        """Let them begin.

        Args:
            writers: The writers.
            start: The dataset.
            remembered: Whether a writer finds its own folder whatever it is called by now.
        """
        self._tables = tuple(table_of(writer) for writer in writers)
        self._next_one = table_of(replace(writers[0], token="Z", appends=False, ends=9))
        self._start = start
        self._remembered = remembered
        self._effects: dict[tuple[Disk, Op, tuple[str, ...]], tuple[Effect, str]] = {}
        self._settled: dict[tuple[Disk, int], Disk | str] = {}
        self._verdicts: dict[Disk, Verdict] = {}

    def begin(self) -> State:
        """Return the state in which nothing has happened yet."""
        return self._start, tuple((0, ()) for _ in self._tables)

    def asks(self, state: State, i: int) -> Op | None:
        """Return what a writer is about to do; None if it has ended."""
        return self._tables[i].asks[state[1][i][0]]

    def told(self, state: State) -> tuple[str, ...]:
        """Return what the writers have been told."""
        return tuple(table.told[number] for table, (number, _) in zip(self._tables, state[1], strict=True))

    def _find(self, writer: Writer, disk: Disk, op: Op) -> tuple[tuple[str, ...], bool]:
        """Find the folders that an operation acts on; return them, none if one is missing, and whether others can change that."""
        found: list[str] = []
        takes = False
        for path in _parts(op)[0]:
            if self._remembered and f"{path}/".startswith(f"{writer.folder}/"):
                own = f"{writer.waiting}/{writer.token}"
                folder = disk.folder(path[len(writer.folder) + 1 :], own) if own in disk.folders else None
            else:
                folder = disk.folder(path)
                takes = takes or bool(path)
            if folder is None:
                return (), takes
            found.append(folder)
        return tuple(found), takes

    def _act(self, disk: Disk, op: Op, folders: tuple[str, ...]) -> tuple[Effect, str]:
        """Do an operation; return what is wrong then, too."""
        asked = (disk, op, folders)
        effect = self._effects.get(asked)
        if effect is None:
            if len(self._effects) > _MOST:
                self._effects.clear()
            done = act(disk, op, folders)
            effect = self._effects[asked] = done, _wrong(disk, done[0], op)
        return effect

    def step(self, state: State, i: int) -> tuple[State, str]:
        """Let a writer take a step; return what is wrong then, too."""
        disk, standings = state
        number, folders = standings[i]
        table = self._tables[i]
        op = table.asks[number]
        assert op is not None
        if not folders:
            folders, takes = self._find(table.writer, disk, op)
            if not folders or takes:
                standing = (number if folders else table.after(number, ENOENT), folders)
                return (disk, (*standings[:i], standing, *standings[i + 1 :])), ""
        (disk, answer, removed), problem = self._act(disk, op, folders)
        if removed:
            standings = tuple((n, tuple(GONE if each in removed else each for each in had)) for n, had in standings)
        standing = (table.after(number, answer), ())
        if table.told[standing[0]] == OK and table.writer.appends and table.writer.token not in disk.read("doc"):
            problem = problem or f"{table.writer.token} is told {OK}, and is not in the document"
        return (disk, (*standings[:i], standing, *standings[i + 1 :])), problem

    def _left(self, disk: Disk) -> Disk | str:
        """Return what one more process leaves that recovers while nobody else does anything any more, or what is wrong then."""
        number = 0
        passed: dict[tuple[Disk, int], None] = {}
        while (known := self._settled.get((disk, number))) is None:
            if (disk, number) in passed:
                known = "the next one does not come to an end"
                break
            passed[disk, number] = None
            op = self._next_one.asks[number]
            if op is None:
                told = self._next_one.told[number]
                known = disk if told == OK else f"the next one is told {told}"
                break
            folders, _ = self._find(self._next_one.writer, disk, op)
            (disk, answer, _), problem = self._act(disk, op, folders or (GONE,))
            if problem:
                known = f"the next one makes it worse: {problem}"
                break
            number = self._next_one.after(number, answer)
        if len(self._settled) > _MOST:
            self._settled.clear()
        self._settled.update(dict.fromkeys(passed, known))
        return known

    def _verdict(self, disk: Disk) -> Verdict:
        """Say what is wrong if nobody does anything any more, but for one more process that recovers, whatever was told."""
        left = self._left(disk)
        if isinstance(left, str):
            return Verdict(left)
        doc: Doc = left.read("doc")
        for transaction in _decided(disk):
            if transaction not in doc:
                return Verdict(f"{transaction} was decided, and is lost")
        writer = self._next_one.writer
        for name in left.names(ROOT):
            if name in {"doc", HEAD, *(f"c{i}" for i in range(len(doc)))} or left.read(name) == STALE:
                continue
            if writer.rules.applies_from_way or not name.startswith(
                "."
            ):  # else these are no surprise, and others shall be found
                return Verdict(f"{name} is left")
        head = left.folder(HEAD)
        waiting = () if head is None else left.names(head)
        if head is not None and (writer.tidies or not waiting or not all(name.startswith("wait-") for name in waiting)):
            return Verdict(f"{HEAD} is left: {waiting}")
        return Verdict("", doc, waiting)

    def judge(self, state: State) -> str:
        """Say what is wrong if nobody does anything any more, but for one more process that recovers."""
        verdict = self._verdicts.get(state[0])
        if verdict is None:
            if len(self._verdicts) > _MOST:
                self._verdicts.clear()
            verdict = self._verdicts[state[0]] = self._verdict(state[0])
        if verdict.problem:
            return verdict.problem
        for table, (number, _) in zip(self._tables, state[1], strict=True):
            writer, told = table.writer, table.told[number]
            if told == OK and writer.appends and writer.token not in verdict.doc:
                return f"{writer.token} was told {OK}, and is lost"
            if told and f"wait-{writer.token}" in verdict.waiting:
                return f"{HEAD}/wait-{writer.token} is left, though {writer.token} has not died"
        return ""

    def search(self, most: int = 10**9) -> Found:
        """Go through all that may happen, from what takes few steps to what takes many, until something is wrong.

        Every state is judged as if all who have not ended had died in it.

        Args:
            most: The number of states after which it stops.
        """
        first = self.begin()
        came: dict[State, tuple[State, int] | None] = {first: None}
        told: set[tuple[str, ...]] = set()
        queue = deque([first])
        while queue and len(came) < most:
            state = queue.popleft()
            if problem := self.judge(state):
                return Found(len(came), problem, self._schedule(came, state))
            moving = [i for i in range(len(self._tables)) if self.asks(state, i) is not None]
            if not moving:
                told.add(self.told(state))
            for i in moving:
                after, problem = self.step(state, i)
                if after not in came:
                    came[after] = (state, i)
                    queue.append(after)
                    if problem:
                        return Found(len(came), problem, self._schedule(came, after))
        return Found(len(came), told=frozenset(told))

    def _schedule(self, came: dict[State, tuple[State, int] | None], state: State) -> tuple[str, ...]:
        lines: list[str] = []
        while (before := came[state]) is not None:
            lines.append(self._line(before[0], before[1], state))
            state = before[0]
        return tuple(reversed(lines))

    def _line(self, before: State, i: int, after: State) -> str:
        verb = "finds the folders for" if after[1][i][1] else "does"
        return f"{self._tables[i].writer.token} {verb}: {self.asks(before, i)}"

    def walk(self, chance: random.Random) -> Found:
        """Go through one thing that may happen."""
        state = self.begin()
        lives = [chance.randrange(300) if chance.random() < 0.4 else 10**9 for _ in self._tables]
        lines: list[str] = []
        while moving := [i for i, life in enumerate(lives) if life > 0 and self.asks(state, i) is not None]:
            i = chance.choice(moving)
            for _ in range(min(chance.choice((1, 1, 2, 5, 20, 60)), lives[i])):
                if self.asks(state, i) is None:
                    break
                before = state
                state, problem = self.step(before, i)
                lives[i] -= 1
                lines.append(self._line(before, i, state))
                if problem:
                    return Found(len(lines), problem, tuple(lines))
        return Found(len(lines), self.judge(state), tuple(lines), frozenset((self.told(state),)))


def _decided(disk: Disk) -> Iterator[str]:
    """Yield the transactions that somebody has decided for, as far as that is still to be seen."""
    for entries in disk.folders.values():
        for name, found in entries:
            if name == "decision" and isinstance(found, File) and found.content == COMMIT:
                *_, folder, made = found.made.split("/")
                yield made.partition("-")[0] if folder == "way" else folder


def _wrong(before: Disk, after: Disk, op: Op) -> str:
    """Say what is wrong with what an operation has made, at that moment."""
    if before is after:
        return ""
    turn = after.folder(TURN)
    if turn is not None and len(after.names(turn)) > 1:
        return f"two turns at once: {after.names(turn)}"
    if op.other.startswith(
        f"{HEAD}/ended-"
    ):  # a turn is only ended by who has seen it, because that takes a whole lease
        seen = op.other.rpartition("-")[2]
        ended = after.folder(op.other)
        for each in after.below(ended) if ended is not None else ():
            if each.count("/") == 2 and each != f"{HEAD}/wait-{seen}/{seen}":
                return f"{each.rpartition('/')[2]} was ended instead of {seen}"
    if before.folders[ROOT] is after.folders[ROOT]:
        return ""
    old, new = before.read("doc"), after.read("doc")
    if new is None or (new != old and (new[:-1] != old or new[-1] in old)):
        return f"the document held {old}, and now holds {new}"
    for i, value in enumerate(new):
        if after.read(f"c{i}") != value:
            return f"c{i} should hold {value}, and holds {after.read(f'c{i}')}"
    return ""


def alone(writer: Writer, start: Disk) -> Iterator[tuple[Disk, Op]]:
    """Let a writer do everything, with nobody else; yield, before each step, the disk and what it is about to do."""
    world = World((writer,), start)
    state = world.begin()
    while (op := world.asks(state, 0)) is not None:
        yield state[0], op
        state, problem = world.step(state, 0)
        assert not problem, problem
