"""Who holds a lock, and whether that process certainly lives, or is certainly dead."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from zapz.errors import LockedError
from zapz.storage.store import Holder
from zapz.waiting import Wait

_UNKNOWN = "-"
_STARTED = 19
"""Field of ``/proc/PID/stat`` (proc(5): number 22, starttime), counted from the one behind the name
of the program."""


def target_locked(where: str, holder: Holder | None, wait: Wait, more: str = "") -> LockedError:
    """Return the error that says who holds a target.

    Args:
        where: The target.
        holder: Who holds it; None if that is not known.
        wait: How long it was waited for.
        more: What to do if that process is gone, beginning with ";" or ".".
    """
    way = (
        "Wait until that process ends, or end it" if wait.fixed else "{lock_wait} waits for it, at most so many seconds"
    )
    return LockedError(
        "the target is locked",
        where=where,
        found=str(holder or "another process"),
        hint=f"{way}{more or '.'}",
        remedies={} if wait.fixed else {"lock_wait": 600},
    )


def describe_me(*, judged: bool = True) -> dict[str, Any]:
    """Describe this process as a holder of a lock.

    Args:
        judged: Whether others may have to find out from this whether it lives; not where the system
            itself ends the lock.
    """
    return {
        "host": os.uname().nodename,
        "boot": _boot(),
        "process": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        **({"started": started(os.getpid()) or _UNKNOWN} if judged else {}),
    }


def me() -> Holder:
    """Return this process as a holder of a lock."""
    return holder_of(json.dumps(describe_me()).encode())


def holder_of(data: bytes) -> Holder:
    """Read who holds a lock from the lock's content."""
    try:
        fields = json.loads(data)
        return Holder(
            host=str(fields["host"]),
            boot=str(fields["boot"]),
            process=int(fields["process"]),
            started=str(fields.get("started", _UNKNOWN)),
            since=str(fields["since"]),
        )
    except (ValueError, KeyError, TypeError):
        return Holder(host="unknown", boot="", process=0, since="unknown")


def _told(read: Callable[[], str]) -> str:
    try:
        return read().strip().replace(" ", "") or _UNKNOWN
    except OSError:
        return _UNKNOWN


@lru_cache(maxsize=1)
def _boot() -> str:
    """Return machine, start of the machine, and space of process numbers; "-" for what cannot be told."""
    machine = _told(lambda: Path("/etc/machine-id").read_text(encoding="ascii"))
    start = _told(lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    return f"{machine} {start} {_told(lambda: os.readlink('/proc/self/ns/pid'))}"


@lru_cache(maxsize=1)
def _clock() -> str:
    """Return which clock this process has; "-" where all have one."""
    return _told(lambda: os.readlink("/proc/self/ns/time"))


def started(process: int) -> str | None:
    """Return when a process began, in ticks of a clock since the machine's start, and which clock; None if there is no such process.

    Containers may have clocks of their own (time_namespaces(7)). "-" if it cannot be told.
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except (OSError, OverflowError):
        pass
    try:
        told = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return _UNKNOWN
    fields = told.rpartition(b")")[2].split()  # the name may hold anything, parentheses too
    return f"{fields[_STARTED].decode('ascii')} {_clock()}" if len(fields) > _STARTED else _UNKNOWN


def _runs_here(held: Holder) -> bool:
    """Return whether a holder's process number means the same to us: one start of one machine, and one space of process numbers.

    Host name and machine id prove nothing: clones of one image have both in common.
    """
    theirs, ours = held.boot.split()[1:], _boot().split()[1:]
    return theirs == ours and _UNKNOWN not in ours and held.process > 0


def is_dead(held: Holder) -> bool:
    """Return whether a holder certainly lives no more: it ran here, and its number is nobody's now, or a later process's."""
    if not _runs_here(held):
        return False
    if (found := started(held.process)) is None:
        return True
    ticks, _, clock = found.partition(" ")
    theirs, _, their_clock = held.started.partition(" ")
    return clock == their_clock and ticks != theirs  # without a clock nothing is known


def is_alive(held: Holder) -> bool:
    """Return whether a holder certainly lives: it runs here."""
    return _runs_here(held) and not is_dead(held)
