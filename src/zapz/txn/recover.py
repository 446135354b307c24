"""Recovery: finish what was decided, undo what was not. Opening a target does it; so does ``zapz recover``.

Both directions can be repeated at will: recovering twice, or recovering from a crash in recovery, ends in the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zapz.errors import ConflictError, NotFoundError, ZapzError
from zapz.format.metadata import join, parent
from zapz.storage.dataset import OURS, digest
from zapz.storage.local import aside_of
from zapz.storage.store import Store, read_optional
from zapz.txn import journal
from zapz.txn.journal import Intent

HEAD = f"{OURS}/head"
TRANSACTIONS = f"{OURS}/txn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What recovery did."""

    rolled_forward: tuple[str, ...] = ()
    """Transactions that had been committed and are visible now."""
    rolled_back: tuple[str, ...] = ()
    """Transactions that had not, and of which nothing remains."""
    abandoned: tuple[str, ...] = ()
    """Transactions over which another tool wrote: nothing of the target was removed."""
    made_root: bool = False
    """Whether the target's folder had been made by a transaction that was rolled back."""

    @property
    def clean(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.rolled_forward or self.rolled_back or self.abandoned)


def folder_of(transaction: str) -> str:
    """Return the folder of a transaction."""
    return join(TRANSACTIONS, transaction)


def stage_key(transaction: str, name: str) -> str:
    """Return the key of a staged file."""
    return join(folder_of(transaction), name)


def decision_key(transaction: str) -> str:
    """Return the key of a transaction's decision."""
    return join(folder_of(transaction), "decision")


def journal_key(transaction: str) -> str:
    """Return the key of a transaction's journal."""
    return join(folder_of(transaction), "journal")


def pending(store: Store) -> list[str]:
    """Return the transactions that left something behind."""
    try:
        return sorted(store.children(TRANSACTIONS).folders)
    except NotFoundError:
        return []


def read_intent(store: Store, transaction: str) -> Intent | None:
    """Read a transaction's intent; None if it never became complete, or has ended."""
    key = journal_key(transaction)
    data = read_optional(store, key)
    return None if data is None else journal.read(data, f"{store.uri}/{key}")


def read_decision(store: Store, transaction: str) -> journal.Outcome | None:
    """Read a transaction's decision; None if there is none yet."""
    key = decision_key(transaction)
    data = read_optional(store, key)
    return None if data is None else journal.read_decision(data, transaction, f"{store.uri}/{key}")


def recover(store: Store) -> Recovery:
    """Finish or undo every transaction that was left behind. The lock must be held.

    Raises:
        ConflictError: Another tool wrote over a crashed transaction. Nothing of the target was removed.
        JournalError: A journal is damaged or newer; nothing was touched.
    """
    forward: list[str] = []
    back: list[str] = []
    conflict: ConflictError | None = None
    made_root = False
    names = pending(store)
    intents = {name: read_intent(store, name) for name in names}
    decisions = {name: read_decision(store, name) for name in names}
    for name in names:
        intent = intents[name]
        if intent is None:
            clean(store, name)
        elif decisions[name] == "commit" or (decisions[name] is None and _all_ours(store, intent)):
            finish(store, intent)
            forward.append(name)
        else:
            try:
                undo(store, intent)
                back.append(name)
                made_root = made_root or intent.made_root
            except ConflictError as error:
                conflict = error
    store.remove_folder(TRANSACTIONS)
    if conflict is not None:
        raise conflict
    return Recovery(rolled_forward=tuple(forward), rolled_back=tuple(back), made_root=made_root)


def _all_ours(store: Store, intent: Intent) -> bool:
    """Whether the transaction had ended, and only its clean-up was cut short."""
    return bool(intent.documents) and all(digest(read_optional(store, d.key)) == d.digest for d in intent.documents)


def changed_documents(store: Store, intent: Intent) -> list[str]:
    """Return the documents that are no longer what the transaction builds on."""
    here = store.read_many(intent.base)
    return [key for key, expected in intent.base.items() if digest(here.get(key)) != expected]


def finish(store: Store, intent: Intent, *, checked: bool = False) -> None:
    """Apply a committed transaction: chunks, then documents, the consolidated ones last; then clean up.

    Args:
        store: The target.
        intent: The transaction's.
        checked: Whether the documents were looked at a moment ago, before the decision.

    Raises:
        ConflictError: A document is neither what the transaction built on nor what it writes.
    """
    ours = {d.key: d.digest for d in intent.documents}
    here = {} if checked else store.read_many(intent.base)
    for key, expected in () if checked else intent.base.items():
        if digest(here.get(key)) not in {expected, ours.get(key, expected)}:
            raise ConflictError(
                "another tool changed the target while a committed append was not yet visible",
                where=f"{store.uri}/{key}",
                hint=f"Nothing was touched; both are kept. The append's data are in {folder_of(intent.id)}. Ask the zapz developers.",
            )
    applied = []
    for name, key in intent.staged():
        staged = stage_key(intent.id, name)
        if store.size(staged) is None:
            continue  # a transaction whose clean-up was cut short
        store.install(staged, key)
        applied.append(key)
    store.sync_folders(applied)
    clean(store, intent.id)


def ballot_key(transaction: str, outcome: journal.Outcome) -> str:
    """Return where a decision is written before it is cast."""
    return stage_key(transaction, outcome)


def write_ballot(store: Store, intent: Intent, outcome: journal.Outcome) -> str:
    """Write a decision aside, to be synced and then published; return its key."""
    key = ballot_key(intent.id, outcome)
    if store.create(key, [journal.decision(intent.id, outcome)]) is None:  # left by an earlier recovery, perhaps torn
        store.write(key, [journal.decision(intent.id, outcome)])
    return key


def cast(store: Store, intent: Intent, outcome: journal.Outcome) -> bool:
    """Make a synced ballot the decision; return False if there is one already. This is the single point of truth."""
    return store.publish(ballot_key(intent.id, outcome), decision_key(intent.id))


def decide(store: Store, intent: Intent, outcome: journal.Outcome) -> None:
    """Decide a transaction unless that has been done."""
    store.sync([write_ballot(store, intent, outcome)])
    cast(store, intent, outcome)


def undo(store: Store, intent: Intent) -> None:
    """Remove what an undecided transaction created; nothing that was there before is touched.

    Raises:
        ConflictError: The documents that govern the planned keys have changed: then the keys may be somebody else's, and all stay.
    """
    decide(store, intent, "abort")
    for name, key in intent.staged():
        store.remove(aside_of(stage_key(intent.id, name), key))
    changed = changed_documents(store, intent)
    if changed:
        clean(store, intent.id)
        raise ConflictError(
            "another tool changed the target during an append",
            where=f"{store.uri}/{changed[0]}",
            hint="Nothing of the target was removed, and the append was given up. Run it again.",
        )
    kept = {*intent.existing, *intent.foreign}
    folders: set[str] = set()
    last = None
    for extent in intent.extents:
        for key in extent.all():
            folder = parent(key)
            if folder != last:
                folders.update(_above(folder))
                last = folder
            if key not in kept:
                store.remove(key)
    for document in intent.documents:
        folders.update(_above(parent(document.key)))
    for folder in sorted(folders - set(intent.folders), key=len, reverse=True):
        store.remove_folder(folder)
    clean(store, intent.id)


def _above(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = parent(folder)


def clean(store: Store, transaction: str) -> None:
    """Remove a transaction's own files: the journal first, because without it there is nothing to recover."""
    folder = folder_of(transaction)
    store.remove(journal_key(transaction))
    try:
        names = store.children(folder).files
    except NotFoundError:
        return
    for name in names:
        store.remove(join(folder, name))
    store.remove_folder(folder)


def describe(store: Store) -> list[str]:
    """Say, without changing anything, what recovery would do."""
    lines = []
    for name in pending(store):
        try:
            intent = read_intent(store, name)
            state = (
                "committed, not yet visible"
                if read_decision(store, name) == "commit"
                else "not committed"
                if intent is not None
                else "never begun"
            )
        except ZapzError as error:
            state = str(error)
        lines.append(f"{name}: {state}")
    return lines
