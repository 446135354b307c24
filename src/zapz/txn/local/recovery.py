"""Recovery: finish a committed transaction, roll back any other.

It runs whenever a target is opened, and in ``zapz recover``. Both directions can be repeated:
recovering twice, or recovering from a crash in recovery, ends in the same bytes.
"""

from __future__ import annotations

import contextlib
from typing import Literal

from zapz.errors import ConflictError, JournalError, NotFoundError, StoreError, ZapzError
from zapz.format.metadata import folders_above, join, parent
from zapz.reports import RecoveredAppend, Recovery
from zapz.storage.hierarchy import digest
from zapz.storage.layout import (
    KEPT,
    OURS,
    REGISTER,
    TRANSACTIONS,
    aside_of,
    ballot_key,
    decision_key,
    folder_of,
    journal_key,
    stage_key,
)
from zapz.storage.local.store import LocalStore
from zapz.storage.presence import candidates
from zapz.storage.requirements import Requirements
from zapz.storage.store import read_optional
from zapz.txn import journal, records
from zapz.txn.chunk_set import ChunkSet
from zapz.txn.journal import Intent


def pending(store: LocalStore) -> list[str]:
    """Return the transactions that left files behind.

    Raises:
        JournalError: A folder of the journal is a link, which zapz never creates.
    """
    for folder in (OURS, TRANSACTIONS):
        refuse_link(store, folder)
    try:
        names = sorted(store.children(TRANSACTIONS).folders)
    except NotFoundError:
        return []
    for name in names:
        refuse_link(store, folder_of(name))
    return names


def refuse_link(store: LocalStore, folder: str) -> None:
    """Refuse a folder of zapz that is a link, which zapz never creates.

    Raises:
        JournalError: It is one.
    """
    if store.linked(folder):
        raise JournalError(
            "a folder of the journal is a link",
            where=f"{store.uri}/{folder}",
            hint="Nothing was changed. Remove the link.",
        )


def read_intent(store: LocalStore, transaction: str) -> Intent | None:
    """Read a transaction's intent; None if it was never complete, or the transaction has ended.

    Raises:
        JournalError: It is damaged, or belongs to another transaction.
    """
    key = journal_key(transaction)
    where = f"{store.uri}/{key}"
    data = read_optional(store, key)
    if data is None:
        return None
    intent = journal.read(data, where)
    if intent is None and store.children(folder_of(transaction)).files != ("journal",):
        raise records.damaged(where, "no complete intent, although work had begun")
    if intent is not None and intent.id != transaction:
        raise records.damaged(where, f"the journal of transaction {intent.id}")
    return intent


def read_decision(store: LocalStore, transaction: str) -> journal.Outcome | None:
    """Read a transaction's decision; None if it is undecided.

    Raises:
        JournalError: It is damaged, or belongs to another transaction.
    """
    key = decision_key(transaction)
    data = read_optional(store, key)
    return None if data is None else journal.read_decision(data, transaction, f"{store.uri}/{key}")


def recover(store: LocalStore) -> Recovery:
    """Finish or roll back every transaction that was left behind. The lock must be held.

    Raises:
        ConflictError: Another program overwrote a crashed transaction. Nothing was removed from the
            target.
        JournalError: A journal is damaged or newer, or does not match the documents; nothing was
            touched.
    """
    done: list[RecoveredAppend] = []
    conflict: ConflictError | None = None
    made_root = False
    found = [(name, *_read_checked(store, name)) for name in pending(store)]
    for name, intent, decision in found:
        try:
            if intent is None:
                clean(store, name)
            elif decision == "commit":
                finish(store, intent)
                done.append(_recovered(store, intent, "finished"))
            else:
                undo(store, intent)
                done.append(_recovered(store, intent, "removed"))
                made_root = made_root or intent.made_root
        except ConflictError as error:
            conflict = error
    store.remove_folder(TRANSACTIONS)
    if conflict is not None:
        raise conflict
    return Recovery(
        rolled_forward=tuple(each.id for each in done if each.outcome == "finished"),
        rolled_back=tuple(each.id for each in done if each.outcome == "removed"),
        made_root=made_root,
        appends=tuple(done),
    )


def _recovered(store: LocalStore, intent: Intent, outcome: Literal["finished", "removed"]) -> RecoveredAppend:
    return RecoveredAppend(
        id=intent.id,
        slice=intent.slice,
        target=store.uri,
        outcome=outcome,
        process=intent.process,
        host=intent.host,
        since=intent.since,
    )


def _read_checked(store: LocalStore, transaction: str) -> tuple[Intent | None, journal.Outcome | None]:
    """Return a transaction's intent and decision, after checking them against the documents.

    Raises:
        JournalError: They do not match, or something is damaged.
    """
    intent, decision = read_intent(store, transaction), read_decision(store, transaction)
    if intent is not None:
        from zapz.txn import bounds  # imported where used: mostly there is nothing to recover

        bounds.check(store, intent, decision, folder_of(transaction), {REGISTER})
    return intent, decision


def changed_documents(store: LocalStore, intent: Intent) -> list[str]:
    """Return the documents that no longer have the transaction's base digests."""
    return Requirements(intent.base).violations(store.read_many(intent.base))


def finish(store: LocalStore, intent: Intent, *, checked: bool = False) -> None:
    """Apply a committed transaction: chunks, then documents, consolidated ones last; clean up.

    Nodes whose documents another program has changed are not touched.

    Args:
        store: The target.
        intent: The transaction's intent.
        checked: Whether the documents were checked just now, and the decision was synced since.

    Raises:
        ConflictError: A document is neither the base version nor the new version.
    """
    if not checked:
        # The decision was read, perhaps only from memory: it must be durable before it is used.
        store.sync_folders([decision_key(intent.id)])
    ours = {d.key: d.digest for d in intent.documents}
    here = {} if checked else store.read_many(intent.base)
    wanted = {} if checked else intent.base
    foreign = Requirements(wanted).violations(here, becoming=ours)
    theirs = {parent(key) for key in foreign}
    begun = any(digest(here.get(key)) == made != wanted.get(key) for key, made in ours.items())
    applied = []
    for name, path, key in intent.staged_by_node():
        staged = stage_key(intent.id, name)
        # Skip a node that another program changed, and a root, which would describe that node. If
        # nothing of this transaction is visible yet, skip all of it.
        if path in theirs or (theirs and (not path or not begun)):
            store.remove(aside_of(staged, key))
            continue
        if not checked and store.size(staged) is None:
            continue  # its clean-up was interrupted
        store.check_lock()
        store.install(staged, key)
        applied.append(key)
    store.sync_folders(applied)
    store.check_lock()
    if not foreign:
        clean(store, intent.id)
        return
    _keep(store, intent)
    raise ConflictError(
        "another program changed the target before a committed append was visible",
        where=f"{store.uri}/{foreign[0]}",
        hint=f"Its changes were kept. The files of this append are kept in {join(KEPT, intent.id)}. "
        "Check whether the slice is in the target, and append it again if it is not.",
    )


def _keep(store: LocalStore, intent: Intent) -> None:
    """Move a transaction's files aside: they block no other append, and nothing is lost."""
    folder = folder_of(intent.id)
    store.enclose(join(KEPT, intent.id), [folder])
    for name in store.children(folder).files:
        store.write(join(KEPT, intent.id, name), [store.read(join(folder, name))], like=join(folder, name))
    store.sync([join(KEPT, intent.id, name) for name in store.children(folder).files])
    clean(store, intent.id)


def write_ballot(store: LocalStore, intent: Intent, outcome: journal.Outcome) -> str:
    """Write a decision to a file of its own, to be synced and then published; return its key."""
    key = ballot_key(intent.id, outcome)
    if store.create(key, [journal.decision(intent.id, outcome)]) is None:  # left by an earlier recovery, perhaps torn
        store.write(key, [journal.decision(intent.id, outcome)])
    return key


def cast(store: LocalStore, intent: Intent, outcome: journal.Outcome) -> bool:
    """Publish a synced ballot as the decision; return False if there is a decision already.

    This is the single point of truth.
    """
    return store.publish(ballot_key(intent.id, outcome), decision_key(intent.id))


def undo(store: LocalStore, intent: Intent, created: ChunkSet | None = None) -> None:
    """Roll back an undecided transaction: remove what it created, and nothing that existed before.

    Args:
        store: The target.
        intent: The transaction's intent.
        created: The chunks that it has created, if they are known; otherwise all planned chunks
            that did not exist before count as its own.

    Raises:
        ConflictError: The documents that govern the planned keys have changed, or another process
            may hold the lock. The keys may then belong to another append, and all stay.
    """
    store.check_lock()
    with contextlib.suppress(StoreError):  # a full disk may have no space; the lock excludes other decisions
        store.sync([journal_key(intent.id)])  # nothing else of the transaction may outlive it
        store.sync([write_ballot(store, intent, "abort")])
        cast(store, intent, "abort")
    if read_decision(store, intent.id) == "commit":
        finish(store, intent)
        return
    for name, key in intent.staged():
        store.remove(aside_of(stage_key(intent.id, name), key))
    changed = changed_documents(store, intent)
    if changed and created is None and _all_ours(store, intent):
        clean(store, intent.id)  # it had ended; a power failure restored its journal without the decision
        return
    if changed:
        clean(store, intent.id)
        raise ConflictError(
            "another program changed the target during an append",
            where=f"{store.uri}/{changed[0]}",
            hint="Its changes were kept, and the append was aborted. Run the append again.",
        )
    folders = _remove_chunks(store, intent, created)
    for document in intent.documents:
        folders.update(folders_above(parent(document.key)))
    for folder in sorted(folders - set(intent.folders), key=len, reverse=True):
        store.remove_folder(folder)
    store.sync_folders([join(folder, ".") for folder in ("", *sorted(folders)) if store.folder_exists(folder)])
    clean(store, intent.id)


def _all_ours(store: LocalStore, intent: Intent) -> bool:
    written = Requirements({d.key: d.digest for d in intent.documents})
    return bool(intent.documents) and not written.violations(store.read_many(written.digests))


def _remove_chunks(store: LocalStore, intent: Intent, created: ChunkSet | None) -> set[str]:
    """Remove the chunks that a transaction created; return all folders above planned chunks."""
    kept = {*intent.existing, *intent.foreign}
    folders: set[str] = set()
    last = None
    for extent in intent.extents:
        seen: dict[str, bool] = {}
        for index in candidates(store, extent.path, extent.keys, extent.spans, seen, links=False):
            key = join(extent.path, extent.keys.key(index))
            folder = parent(key)
            if folder != last:
                above = set(folders_above(folder))
                if any(store.linked(f) for f in above - folders):
                    continue  # it has become a link since: the transaction did not create what is behind it
                folders |= above
                last = folder
            if key not in kept and (created is None or created.holds(extent.path, index)):
                store.check_lock()
                store.remove(key)
        folders.update(seen)
    return folders


def clean(store: LocalStore, transaction: str) -> None:
    """Remove a transaction's own files, the journal first: without it nothing is recovered."""
    folder = folder_of(transaction)
    store.remove(journal_key(transaction))
    try:
        names = store.children(folder).files
    except NotFoundError:
        return
    for name in names:
        store.remove(join(folder, name))
    store.remove_folder(folder)


def describe_left(store: LocalStore) -> list[str]:
    """Return what recovery would do, one line per transaction; change nothing."""
    lines = []
    for name in pending(store):
        try:
            intent, decision = _read_checked(store, name)
            state = (
                "committed, not yet visible"
                if decision == "commit"
                else "not committed"
                if intent is not None
                else "never begun"
            )
        except ZapzError as error:
            state = str(error)
        lines.append(f"{name}: {state}")
    return lines
