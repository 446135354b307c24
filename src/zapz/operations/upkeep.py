"""Operations on a target other than appending: recover, unlock, vacuum."""

from __future__ import annotations

import os

from zapz.config.settings import Config
from zapz.operations.target import open_target
from zapz.reports import Recovery
from zapz.storage.open import require_folder
from zapz.storage.store import Store
from zapz.storage.waiting import Wait
from zapz.txn import session
from zapz.txn.vacuumed import Vacuumed

__all__ = ["Recovery", "Vacuumed", "recover", "unlock", "vacuum"]


def _existing(target: object, config: Config) -> Store:
    store = open_target(target, config)
    require_folder(store)
    return store


def recover(target: object, config: Config) -> Recovery:
    """Finish or undo what a crashed run left in a target.

    Raises:
        ZapzError: As ``session.recover_left``; ``NotFoundError`` if the target does not exist.
    """
    return session.recover_left(_existing(target, config), Wait(config.lock_wait))


def unlock(target: object, config: Config) -> bool:
    """Remove a lock whose holder has ended; return whether there was such a lock.

    Raises:
        ZapzError: As ``session.unlock``; ``NotFoundError`` if the target does not exist.
    """
    return session.unlock(_existing(target, config))


def vacuum(target: object, config: Config) -> Vacuumed:
    """Remove what aborted runs left.

    Raises:
        ZapzError: As ``session.vacuum``; ``NotFoundError`` if the target does not exist.
    """
    return session.vacuum(_existing(target, config), Wait(config.lock_wait), os.urandom(8).hex())
