"""The intent of a transaction: determined before any change, and written into its journal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from zapz.format.metadata import join, parent
from zapz.planning.plan import Plan
from zapz.storage.hierarchy import digest
from zapz.storage.holder import describe_me
from zapz.storage.layout import is_ours
from zapz.storage.local.store import LocalStore
from zapz.storage.presence import MANY, present
from zapz.txn.extents import Extent
from zapz.txn.journal import Document, Intent


def intend(
    store: LocalStore,
    plan: Plan,
    transaction: str,
    documents: Mapping[str, bytes],
    *,
    made_root: bool,
    name: str = "",
) -> Intent:
    """Find the planned keys that exist already, and return the intent. Changes nothing.

    Args:
        store: The target.
        plan: What will be written.
        transaction: Name of the transaction.
        documents: Documents to write, by key.
        made_root: Whether the target's folder was created for it.
        name: The slice's name for display.
    """
    owner = describe_me(judged=False)
    extents = tuple(Extent(path=a.path, keys=a.target.keys, spans=a.spans) for a in plan.arrays.values())
    existing: list[str] = []
    folders: dict[str, bool] = {}
    for extent in extents:
        if extent.count > MANY:
            there = present(store, extent.path, extent.keys, extent.spans, folders, strict=True)
            existing += (join(extent.path, extent.keys.key(index)) for index in there)
            continue
        existing += store.existing(extent.all())
        last = None
        for key in extent.all():
            if (folder := parent(key)) != last:
                last = folder
                while folder and folder not in folders:
                    folders[folder] = store.folder_exists(folder)
                    folder = parent(folder)
    return Intent(
        id=transaction,
        made_root=made_root,
        base=plan.base,
        documents=tuple(Document(key=key, digest=digest(data) or "") for key, data in documents.items()),
        extents=extents,
        existing=tuple(existing),
        folders=tuple(folder for folder, there in folders.items() if there),
        slice=name,
        process=owner["process"],
        host=owner["host"],
        since=owner["since"],
    )


def folders_of(intent: Intent) -> set[str]:
    """Return all folders with files that a transaction describes or stages."""
    folders: set[str] = {""}
    for key in chain(intent.base, (key for _, key in intent.staged())):
        folder = parent(key)
        while folder not in folders:
            folders.add(folder)
            folder = parent(folder)
    return {folder for folder in folders if not is_ours(folder)}
