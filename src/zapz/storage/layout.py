"""The names of everything that zapz puts beside the data of a target: made and parsed here only. Pure.

::

    .zapz/                            in the target, or beside it (then its own name ends so)
      head                            local: who holds the lock; a folder of turns where the file
          system has no locks
      head                            object stores: whose turn it is, what is under way, what
          earlier runs left, the last commits
      lock                            object stores without conditional replacement: who holds the
          lock
      register                        the last commits, where they are kept on their own
      txn/TRANSACTION/journal         what a transaction is going to do
      txn/TRANSACTION/000001 ...      what replaces something, staged
      txn/TRANSACTION/commit, abort   a decision before it is made
      txn/TRANSACTION/decision        the decision
      kept/TRANSACTION/...            a committed transaction that another tool wrote over
      fresh                           in a folder that was made to take a target's place: what is going to happen
      doomed                          in a folder that will not, or was a target: what it consists of
      probe-TIME-RANDOM               an object on which it is tried what a service honours
    .TRANSACTION.000001               beside its destination: a staged file on its way there

    head/turn/TOKEN/owner             a turn: who has it
    head/turn/TOKEN/txn/...           its transactions, as above
    head/turn/TOKEN/way/...           files on their way out to their places, or back
    head/ended-NUMBER-RANDOM-TOKEN/   a turn that is over, the how many-th that was
    head/wait-TOKEN/TOKEN/...         a turn that has not begun

``docs/format-on-disk.md`` says what is in them.
"""

from __future__ import annotations

from typing import Literal

from zapz.format.metadata import join, parent

OURS = ".zapz"
"""Folder of the lock and the journal."""
HEAD = f"{OURS}/head"
"""The lock; on object stores the head."""
LOCK = f"{OURS}/lock"
"""A lock that is an object, where a lease would not be safe."""
REGISTER = f"{OURS}/register"
"""The last commits, where they are kept on their own."""
KEPT = f"{OURS}/kept"
"""Where a committed transaction goes that another tool wrote over."""
FRESH = f"{OURS}/fresh"
"""Says that a folder was made to take a target's place."""
DOOMED = f"{OURS}/doomed"
"""In a folder that will not: what it consists of."""
TRANSACTIONS = f"{OURS}/txn"
"""Folder of the transactions that are under way."""
WAY = f"{OURS}/way"
"""Folder of files that have not got their places yet, where everything must go through one
(``storage.local.turn``)."""

TURN, OWNER, TURN_TRANSACTIONS, TURN_WAY = "turn", "owner", "txn", "way"
"""Names below the lock, if that is a folder; the last three in the folder of one turn."""
_ENDED, _WAITING, _PROBE = "ended-", "wait-", "probe-"


def is_ours(key: str) -> bool:
    """Return whether a key is not the data's."""
    return key.partition("/")[0] == OURS


# -- transactions ------------------------------------------------------------------------------------------------------


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
    """Return where a decision is written before it is cast."""
    return join(folder_of(transaction), outcome)


def decision_key(transaction: str) -> str:
    """Return the key of a transaction's decision."""
    return join(folder_of(transaction), "decision")


def aside_of(staged: str, key: str) -> str:
    """Return the name that a staged file gets beside its destination, before it replaces that."""
    *_, transaction, number = staged.split("/")
    return join(parent(key), f".{transaction}.{number}")


# -- turns -------------------------------------------------------------------------------------------------------------


def waiting_name(token: str) -> str:
    """Return the name of a turn that has not begun."""
    return f"{_WAITING}{token}"


def waiting_token(name: str) -> str | None:
    """Return the turn that has that name until it begins; None if the name is another one's."""
    return name.removeprefix(_WAITING) if name.startswith(_WAITING) else None


def ended_name(number: int, chance: str, token: str) -> str:
    """Return the name of a turn that is over.

    Args:
        number: The how many-th that was.
        chance: Random letters: two may end the same one.
        token: The turn.
    """
    return f"{_ENDED}{number}-{chance}-{token}"


def is_ended(name: str) -> bool:
    """Return whether a name is that of a turn that is over."""
    return name.startswith(_ENDED)


def ended_number(name: str) -> int:
    """Return the how many-th turn it was that ended; 0 if the name does not say."""
    number = name.removeprefix(_ENDED).partition("-")[0] if is_ended(name) else ""
    return int(number) if number.isascii() and number.isdecimal() else 0


# -- probes ------------------------------------------------------------------------------------------------------------


def probe_name(now: float, chance: str) -> str:
    """Return a name for an object on which something is tried, which tells when that was."""
    return f"{_PROBE}{int(now):x}-{chance}"


def probed_at(name: str) -> float | None:
    """Return when an object of that name was made to try something; None if the name is another one's."""
    if not name.startswith(_PROBE):
        return None
    try:
        return float(int(name.removeprefix(_PROBE).partition("-")[0], 16))
    except ValueError:
        return None
