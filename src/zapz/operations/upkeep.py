"""What is done to a target without appending to it: recover it, remove a lock, remove what aborted runs left."""

from __future__ import annotations

import os

from zapz.config.settings import Config
from zapz.operations.target import open_target
from zapz.reports import Recovery
from zapz.storage.open import require_folder
from zapz.storage.store import Store
from zapz.txn import session
from zapz.txn.vacuumed import Vacuumed
from zapz.waiting import Wait

__all__ = ["Recovery", "Vacuumed", "recover", "unlock", "vacuum"]


def _existing(target: object, config: Config) -> Store:
    store = open_target(target, config)
    require_folder(store)
    return store


def recover(target: object, config: Config) -> Recovery:
    """Finish or undo what a crashed run left in a target; raises as ``session.recover_left`` does."""
    return session.recover_left(_existing(target, config), Wait(config.lock_wait))


def unlock(target: object, config: Config) -> bool:
    """Remove a lock whose holder is gone; raises as ``session.unlock`` does."""
    return session.unlock(_existing(target, config))


def vacuum(target: object, config: Config) -> Vacuumed:
    """Remove what aborted runs left; raises as ``session.vacuum`` does."""
    return session.vacuum(_existing(target, config), Wait(config.lock_wait), os.urandom(8).hex())
