"""Replace a target by a new one, in one step; after a crash, finish that or roll it back.

The new target is built beside the old one, under the old one's lock. A mark in its own folder
identifies it, and lists what the old one contains. Then the two folders exchange their names, and
the mark moves with its folder. So the position of the mark is the whole state::

    mark at target  beside the target     meaning                       action
    --------------  --------------------  ----------------------------  ----------------------------
    no              nothing               no replacement in progress    none
    no              a folder with a mark  new target, not in place      remove it: the old one stays
    yes             a folder              old target, already replaced  remove it, then the mark
    no              anything else         zapz did not create it        none; refuse ``force_new``

What is removed is named by integer ranges and documents, never by a listing. What remains after
that does not belong to zapz, and is kept.
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
"""Maximum number of kept files that a note names."""


def _read(store: LocalStore, key: str) -> Inventory | None:
    data = read_optional(store, key)
    return None if data is None else Inventory.decode(data, f"{store.root}/{key}")


def successor_of(store: LocalStore) -> Successor:
    """Return the store in which a target's replacement is built; nothing is created.

    Raises:
        ConfigError: The target's journal is beside it.
    """
    if store.beside:
        raise ConfigError(
            'force_new cannot be combined with journal = "beside"',
            where="force_new",
            expected='journal = "inside"',
            found='journal = "beside": the mark of the new folder must be in the folder itself',
            hint="Remove the old target yourself, or append to another path.",
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
        """Create the folder for the new target and its mark, durably.

        Raises:
            AbilityError: The folder cannot replace the target.
        """
        if self._target.takes_turns:
            raise AbilityError(
                "force_new needs a file system with locks (flock)",
                where=self._target.uri,
                hint="Remove the old target yourself, or append to another path.",
            )
        self._target.remove(FRESH)  # from a target that was copied during its replacement
        self.store.make(self._old.documents)
        self.store.record(FRESH, [Inventory.of(self._old, self._name).encode()], self._old.documents)
        self.store.sync([FRESH])

    def take_place(self) -> tuple[str, ...]:
        """Replace the old target by the new one, and remove the old one; return notes.

        Raises:
            ConflictError: Another program changed the old target meanwhile. It stays.
            StoreError: It failed; the hint states whether the new target is in place nevertheless.
        """
        try:
            here = documents_of(self._target)
        except (FormatError, NotFoundError):
            here = None
        if here != dict(self._old.documents):
            raise ConflictError(
                "another program changed the target while its replacement was built",
                where=self._target.uri,
                hint="The target was kept, with these changes. Run the append again.",
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
            hint = "The new target is in place, but it may not be durable, and parts of the old one may remain: run `zapz recover`."
            error.hint = f"{error.hint} {hint}".strip()
            raise


@contextlib.contextmanager
def renewing(target: LocalStore, old: Dataset, name: str) -> Iterator[FolderReplacement]:
    """Let the body build a new target and put it in place; else the old one stays.

    The lock must be held.

    Args:
        target: The target.
        old: The dataset that it contains.
        name: A name that was never used before.

    Raises:
        AbilityError: The file system cannot exchange folders, or has no locks.
        ConflictError: The path for the replacement is occupied.
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
                f"Removing the new target failed too ({failure}). The next run, or `zapz recover`, removes it."
            )
        raise
    settle(target)


def settle(store: LocalStore) -> Recovery:
    """Finish or roll back an interrupted replacement. The lock must be held.

    Raises:
        AbilityError: There is one, and the file system has no locks.
        LockedError: Another process is writing in the folder beside the target.
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
            "an earlier run was interrupted while it replaced the target",
            where=str(other.root),
            expected="a file system with locks (flock)",
            hint="Run `zapz recover` on the machine where the target is on a local disk.",
        )
    if (holder := other.holder(HEAD)) is not None:
        raise LockedError(
            "the replacement of the target is locked",
            where=str(other.root),
            found=str(holder),
            hint="Wait until that process ends.",
        )
    if mark is not None:
        done = RecoveredAppend(id=mark.id, slice="", target=store.uri, outcome="replaced")
        return Recovery(rolled_forward=(mark.id,), notes=_finish(store, other, mark), appends=(done,))
    assert own is not None  # noqa: S101 - for the type checker
    done = RecoveredAppend(id=own.id, slice="", target=store.uri, outcome="not replaced")
    return Recovery(rolled_back=(own.id,), notes=_abandon(other, own.id), appends=(done,))


def describe_replacement(store: LocalStore) -> list[str]:
    """Return what ``settle`` would do; change nothing."""
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
    """Return the mark of a folder beside a target; None if there is none.

    A mark whose writing was interrupted is removed.
    """
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
    """Remove the old target, which has been replaced."""
    other.settle_names()  # the exchange may be only in memory: nothing is removed before it is durable
    clear(other, mark, f"{store.root}/{FRESH}")
    _clear_ours(other)
    other.remove_folder(OURS)
    notes = _kept(other.keep(mark.id))
    other.sync_folders([OURS])
    store.remove(FRESH)
    store.sync_folders([FRESH])
    other.remove_folder("")  # last: recovery checks this folder for an interrupted replacement
    return notes


def _abandon(other: Successor, name: str) -> tuple[str, ...]:
    """Remove a new target that did not replace the old one."""
    doomed = None
    with contextlib.suppress(JournalError):  # torn: then nothing has been removed yet
        doomed = _read(other, DOOMED)
    if doomed is None:
        with contextlib.suppress(ConflictError):  # another program wrote into it: its files are kept
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
    """Return a note about the files that are kept, and where."""
    if store is None:
        return ()
    names = list(islice(_names(store, ""), _NAMED + 1))
    more = ", …" if len(names) > _NAMED else ""
    return (f"files that zapz did not write are kept in {store.root}: {', '.join(names[:_NAMED])}{more}",)


def _names(store: LocalStore, folder: str) -> Iterator[str]:
    """Yield the files below a folder, and its empty folders."""
    here = store.children(folder)
    if folder and not (here.files or here.folders):
        yield f"{folder}/"
    yield from (join(folder, name) for name in here.files)
    for name in here.folders:
        inner = join(folder, name)
        yield from [inner] if store.linked(inner) else _names(store, inner)
