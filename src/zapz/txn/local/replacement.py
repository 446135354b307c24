"""A new target in the place of an old one, in one step; and what finishes that, or undoes it, after a crash.

The new one is built beside the old one, under the old one's lock, and says what it is by a mark in
its own folder, which also tells what the old one consists of. Then the two folders change places,
and the mark with them. So where the mark lies is the whole state::

    mark at the target  beside it             what it means                    what is done about it
    ------------------  --------------------  -------------------------------  ------------------------------------
    no                  nothing               nothing is under way             nothing
    no                  a folder with a mark  the new one, not yet in place    it is removed: the old one stays
    yes                 a folder              the old one, no longer in place  it is removed, then the mark
    no                  anything else         somebody else's                  nothing; another ``force_new`` is refused

What is removed is named by integer ranges and documents, never by a listing. What remains then is
nobody's to remove, and is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice

from zapz.errors import (
    AbilityError,
    ConfigError,
    ConflictError,
    FormatError,
    JournalError,
    LockedError,
    NotFoundError,
    StoreError,
    ZapzError,
)
from zapz.format.metadata import Dataset, join
from zapz.reports import RecoveredAppend, Recovery
from zapz.storage.hierarchy import documents_of, open_dataset
from zapz.storage.layout import DOOMED, FRESH, HEAD, OURS, REGISTER, TRANSACTIONS
from zapz.storage.local.exchange import Successor
from zapz.storage.local.store import LocalStore
from zapz.storage.store import read_optional
from zapz.txn import records
from zapz.txn.local.inventory import Inventory, clear
from zapz.txn.local.recovery import recover

_NAMED = 3
"""So many of the files that are kept are named."""


def _read(store: LocalStore, key: str) -> Inventory | None:
    data = read_optional(store, key)
    return None if data is None else Inventory.decode(data, f"{store.root}/{key}")


def successor_of(store: LocalStore) -> Successor:
    """Return the place where a target's replacement is built; nothing is made.

    Raises:
        ConfigError: The target's journal lies beside it.
    """
    if store.beside:
        raise ConfigError(
            'force_new and journal = "beside" exclude one another',
            where="force_new",
            expected='journal = "inside"',
            found='journal = "beside": what says which folder is the new one must lie in the folder itself',
            hint="Remove the old target yourself, or append to a new place.",
        )
    return Successor(store)


class FolderReplacement:
    """A target that is being replaced."""

    def __init__(self, target: LocalStore, old: Dataset, name: str) -> None:
        self.store = successor_of(target)
        self._target = target
        self._old = old
        self._name = name

    def begin(self) -> None:
        """Make the folder for the new target, and mark it, durably.

        Raises:
            AbilityError: It cannot take the target's place.
        """
        if self._target.takes_turns:
            raise AbilityError(
                "force_new needs a file system that keeps locks (flock)",
                where=self._target.uri,
                hint="Remove the old target yourself, or append to a new place.",
            )
        self._target.remove(FRESH)  # the target was copied while it was being replaced
        self.store.make(self._old.documents)
        self.store.record(FRESH, [Inventory.of(self._old, self._name).encode()], self._old.documents)
        self.store.sync([FRESH])

    def take_place(self) -> tuple[str, ...]:
        """Put the new target in the place of the old one, and remove that; return what is worth knowing.

        Raises:
            ConflictError: Another tool changed the old one meanwhile. It stays.
            StoreError: It failed; the message says if the new one is in place all the same.
        """
        try:
            here = documents_of(self._target)
        except (FormatError, NotFoundError):
            here = None
        if here != dict(self._old.documents):
            raise ConflictError(
                "another tool changed the target while its successor was built",
                where=self._target.uri,
                hint="It was left as it is, and not replaced. Run the append again.",
            )
        self._target.check_lock()
        try:
            self.store.take_place()
        except StoreError:
            if self._target.size(FRESH) is None:
                raise
        try:
            self.store.settle_names()
            return settle(self._target).notes
        except ZapzError as error:
            hint = "The new target is in place, but perhaps not durably, nor is all of the old one removed: run `zapz recover`."
            error.hint = f"{error.hint} {hint}".strip()
            raise


@contextlib.contextmanager
def renewing(target: LocalStore, old: Dataset, name: str) -> Iterator[FolderReplacement]:
    """Let the body build a new target, and put it in place; if it does not, the old one stays. The lock must be held.

    Args:
        target: The target.
        old: What it is.
        name: A name that was never used before.

    Raises:
        AbilityError: The file system cannot exchange folders.
        ConflictError: Something that is not zapz's lies where the new target would be built.
    """
    renewal = FolderReplacement(target, old, name)
    try:
        renewal.begin()
        yield renewal
    except BaseException as error:
        try:
            if target.size(FRESH) is None or not isinstance(error, StoreError):
                settle(target)
        except ZapzError as failure:
            error.add_note(
                f"Removing what was built failed too ({failure}); the next run, or `zapz recover`, will do it."
            )
        raise
    settle(target)


def settle(store: LocalStore) -> Recovery:
    """Finish or undo a renewal that was cut short. The lock must be held.

    Raises:
        LockedError: Somebody is at work in the folder beside the target.
        JournalError: The mark is damaged, or a newer zapz wrote it; nothing was touched.
    """
    if not store.has_successor():
        return Recovery()
    other = Successor(store)
    if other.linked("") or not other.folder_exists("") or other.linked(OURS):
        return Recovery()
    other.end_trial()
    mark, own = _read(store, FRESH), None
    if mark is None and (own := _own_mark(other)) is None:
        other.remove_folder(OURS)
        other.remove_folder("")
        return Recovery()
    if store.takes_turns:
        raise AbilityError(
            "a run that was replacing the target was cut short",
            where=str(other.root),
            expected="a file system that keeps locks (flock)",
            hint="Run `zapz recover` on the machine where the target lies on a local disk.",
        )
    if (holder := other.holder(HEAD)) is not None:
        raise LockedError(
            "what replaces the target is locked", where=str(other.root), found=str(holder), hint="Wait for it."
        )
    if mark is not None:
        done = RecoveredAppend(id=mark.id, slice="", target=store.uri, outcome="replaced")
        return Recovery(rolled_forward=(mark.id,), notes=_finish(store, other, mark), appends=(done,))
    assert own is not None  # noqa: S101 - for the type checker
    done = RecoveredAppend(id=own.id, slice="", target=store.uri, outcome="not replaced")
    return Recovery(rolled_back=(own.id,), notes=_abandon(other, own.id), appends=(done,))


def describe_replacement(store: LocalStore) -> list[str]:
    """Say, without changing anything, what ``settle`` would do."""
    if not store.has_successor():
        return []
    other = Successor(store)
    try:
        if (mark := _read(store, FRESH)) is not None:
            return [f"{mark.id}: in place, the old target not yet removed"]
        data = read_optional(other, FRESH)
        if data is None:
            return []
        if _is_torn(data) and _has_only_the_mark(other):
            return ["a new target, never begun"]
        return [f"{Inventory.decode(data, f'{other.root}/{FRESH}').id}: a new target, not yet in place"]
    except JournalError as error:
        return [str(error)]


def _own_mark(other: Successor) -> Inventory | None:
    """Return the mark of a folder beside a target; None if it has none, or if that was being written when the run was cut short."""
    data = read_optional(other, FRESH)
    if data is None:
        return None
    if _is_torn(data) and _has_only_the_mark(other):
        other.remove(FRESH)
        return None
    return Inventory.decode(data, f"{other.root}/{FRESH}")


def _has_only_the_mark(other: Successor) -> bool:
    here, ours = other.children(""), other.children(OURS)
    return not here.files and here.folders == (OURS,) and not ours.folders and len(ours.files) == 1


def _is_torn(data: bytes) -> bool:
    try:
        records.single(data)
    except records.Unreadable:
        return True
    return False


def _finish(store: LocalStore, other: Successor, mark: Inventory) -> tuple[str, ...]:
    """Remove the old target, which no longer has its place."""
    other.settle_names()  # the exchange, perhaps seen only in memory: nothing is removed before
    clear(other, mark, f"{store.root}/{FRESH}")
    _clear_ours(other)
    other.remove_folder(OURS)
    notes = _kept(other.keep(mark.id))
    other.sync_folders([OURS])
    store.remove(FRESH)
    store.sync_folders([FRESH])
    other.remove_folder("")  # last: whoever looks for what was cut short looks here
    return notes


def _abandon(other: Successor, name: str) -> tuple[str, ...]:
    """Remove a new target that did not get its place."""
    doomed = None
    with contextlib.suppress(JournalError):  # torn: then nothing has been removed yet
        doomed = _read(other, DOOMED)
    if doomed is None:
        with contextlib.suppress(ConflictError):  # another tool wrote into it: that is kept
            recover(other)
        try:
            doomed = Inventory.of(open_dataset(other), name)
        except (FormatError, NotFoundError):
            doomed = Inventory(id=name, documents={})
        other.remove(DOOMED)
        other.record(DOOMED, [doomed.encode()], doomed.documents)
        other.sync([DOOMED])
    clear(other, doomed, f"{other.root}/{DOOMED}")
    other.sync_folders([OURS])
    _clear_ours(other)
    other.sync_folders([FRESH])
    kept = None if _has_only_the_mark(other) else other.keep(name)
    marked = kept or other
    marked.remove(FRESH)
    marked.remove_folder(OURS)
    other.remove_folder("")
    return _kept(kept)


def _clear_ours(other: Successor) -> None:
    for key in (HEAD, REGISTER, DOOMED):
        other.remove(key)
    other.remove_folder(TRANSACTIONS)


def _kept(store: LocalStore | None) -> tuple[str, ...]:
    """Say what is kept, and where."""
    if store is None:
        return ()
    names = list(islice(_names(store, ""), _NAMED + 1))
    more = ", …" if len(names) > _NAMED else ""
    return (f"what was not zapz's to remove is kept in {store.root}: {', '.join(names[:_NAMED])}{more}",)


def _names(store: LocalStore, folder: str) -> Iterator[str]:
    """Yield the files below a folder, and the folders that hold none."""
    here = store.children(folder)
    if folder and not (here.files or here.folders):
        yield f"{folder}/"
    yield from (join(folder, name) for name in here.files)
    for name in here.folders:
        inner = join(folder, name)
        yield from [inner] if store.linked(inner) else _names(store, inner)
