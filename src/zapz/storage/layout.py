"""The names of all that zapz writes beside the data of a target: built and parsed here only. Pure.

::

    .zapz/                            in the target, or beside it (then its name ends in .zapz)
      head                            local: the lock, with its holder; a folder of turns where the
          file system has no locks
      head                            object stores: the owner of the turn, the transaction in
          progress, extents of aborted runs, the last commits
      lock                            object stores without conditional replacement: the lock, with
          its holder
      register                        the last commits, where they have a file of their own
      txn/TRANSACTION/journal         intent of a transaction
      txn/TRANSACTION/000001 ...      staged replacements
      txn/TRANSACTION/commit, abort   a decision before it is published
      txn/TRANSACTION/decision        the decision
      kept/TRANSACTION/...            a committed transaction that another program overwrote
      fresh                           mark of a replacement: what will happen to the two folders
      doomed                          mark of a folder to be removed: its documents and chunks
      probe-TIME-RANDOM               an object that tests what a service honours
    .TRANSACTION.000001               temporary name of a staged file, in its destination's folder

    head/turn/TOKEN/owner             a turn: its owner
    head/turn/TOKEN/txn/...           its transactions, as above
    head/turn/TOKEN/way/...           files on their way to their final paths, and removed files
    head/ended-NUMBER-RANDOM-TOKEN/   an ended turn, with its sequence number
    head/wait-TOKEN/TOKEN/...         a turn that has not begun

``docs/format-on-disk.md`` describes their contents.
"""

from __future__ import annotations

from typing import Literal

from zapz.format.metadata import join, parent

OURS = ".zapz"
"""Folder of lock and journal, zapz's own folder."""
HEAD = f"{OURS}/head"
"""The lock; on object stores, the head."""
LOCK = f"{OURS}/lock"
"""The lock object, on object stores where a lease would not be safe."""
REGISTER = f"{OURS}/register"
"""The last commits, where they have a file of their own."""
KEPT = f"{OURS}/kept"
"""Folder of committed transactions that another program overwrote."""
FRESH = f"{OURS}/fresh"
"""Mark of a folder that was created to replace a target."""
DOOMED = f"{OURS}/doomed"
"""Mark of a folder that will not replace the target: what it contains."""
TRANSACTIONS = f"{OURS}/txn"
"""Folder of the transactions in progress."""
WAY = f"{OURS}/way"
"""Folder of files that are not yet at their final paths, where all changes pass through a turn
(``storage.local.turn``)."""

TURN, OWNER, TURN_TRANSACTIONS, TURN_WAY = "turn", "owner", "txn", "way"
"""Names below the lock, if it is a folder. The last three are in the folder of one turn."""
_ENDED, _WAITING, _PROBE = "ended-", "wait-", "probe-"


def is_ours(key: str) -> bool:
    """Return whether a key belongs to zapz, not to the data."""
    return key.partition("/")[0] == OURS


# -- transactions --------------------------------------------------------------------------------


def folder_of(transaction: str) -> str:
    """Return the folder of a transaction."""
    return f"{TRANSACTIONS}/{transaction}"


def stage_key(transaction: str, name: str) -> str:
    """Return the key of a staged file."""
    return f"{TRANSACTIONS}/{transaction}/{name}"


def journal_key(transaction: str) -> str:
    """Return the key of a transaction's journal."""
    return join(folder_of(transaction), "journal")


def ballot_key(transaction: str, outcome: Literal["commit", "abort"]) -> str:
    """Return the key of a decision before it is published."""
    return join(folder_of(transaction), outcome)


def decision_key(transaction: str) -> str:
    """Return the key of a transaction's decision."""
    return join(folder_of(transaction), "decision")


def aside_of(staged: str, key: str) -> str:
    """Return the temporary key of a staged file in its destination's folder."""
    *_, transaction, number = staged.split("/")
    return join(parent(key), f".{transaction}.{number}")


# -- turns ---------------------------------------------------------------------------------------


def waiting_name(token: str) -> str:
    """Return the name of a turn that has not begun."""
    return f"{_WAITING}{token}"


def waiting_token(name: str) -> str | None:
    """Return the token in the name of a turn that has not begun; None for another name."""
    return name.removeprefix(_WAITING) if name.startswith(_WAITING) else None


def ended_name(number: int, chance: str, token: str) -> str:
    """Return the name of an ended turn.

    Args:
        number: Its sequence number: 1 for the first turn that ended.
        chance: Random letters, because two processes may end the same turn.
        token: The turn's token.
    """
    return f"{_ENDED}{number}-{chance}-{token}"


def is_ended(name: str) -> bool:
    """Return whether a name is that of an ended turn."""
    return name.startswith(_ENDED)


def ended_number(name: str) -> int:
    """Return the sequence number in the name of an ended turn; 0 if there is none."""
    number = name.removeprefix(_ENDED).partition("-")[0] if is_ended(name) else ""
    return int(number) if number.isascii() and number.isdecimal() else 0


# -- probes --------------------------------------------------------------------------------------


def probe_name(now: float, chance: str) -> str:
    """Return the name of a probe object.

    Args:
        now: Time of its creation, in seconds since 1970.
        chance: Random letters.
    """
    return f"{_PROBE}{int(now):x}-{chance}"


def probed_at(name: str) -> float | None:
    """Return when a probe object was created, in seconds since 1970; None for another name."""
    if not name.startswith(_PROBE):
        return None
    try:
        return float(int(name.removeprefix(_PROBE).partition("-")[0], 16))
    except ValueError:
        return None
