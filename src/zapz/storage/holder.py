"""Who holds a lock, and whether that process is certainly alive or certainly dead."""

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
from zapz.storage.waiting import Wait

_UNKNOWN = "-"
_STARTED = 19
"""Index of ``starttime`` (field 22 in proc(5)) among the fields of ``/proc/PID/stat`` that follow
the program name."""


def target_locked(where: str, holder: Holder | None, wait: Wait, more: str = "") -> LockedError:
    """Return the error for a target that another process holds.

    Args:
        where: The target.
        holder: That process; None if it is not known.
        wait: The wait that is over.
        more: What to do if that process no longer exists, beginning with ".".
    """
    way = (
        "Wait until that process ends, or end it"
        if wait.fixed
        else "{lock_wait} waits for it, up to that number of seconds"
    )
    return LockedError(
        "the target is locked",
        where=where,
        found=str(holder or "another process"),
        hint=f"{way}{more or '.'}",
        remedies={} if wait.fixed else {"lock_wait": 600},
    )


def describe_me(*, judged: bool = True) -> dict[str, Any]:
    """Describe this process as the holder of a lock, as JSON fields.

    Args:
        judged: Whether other processes may have to determine from this whether it is alive; False
            where the operating system itself ends the lock.
    """
    return {
        "host": os.uname().nodename,
        "boot": _boot(),
        "process": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        **({"started": started(os.getpid()) or _UNKNOWN} if judged else {}),
    }


def me() -> Holder:
    """Return this process as the holder of a lock."""
    return holder_of(json.dumps(describe_me()).encode())


def holder_of(data: bytes) -> Holder:
    """Read the holder from a lock's content; an unknown one if the content is damaged."""
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


def _known(read: Callable[[], str]) -> str:
    try:
        return read().strip().replace(" ", "") or _UNKNOWN
    except OSError:
        return _UNKNOWN


@lru_cache(maxsize=1)
def _boot() -> str:
    """Return machine id, boot id and PID namespace; "-" for each that is not known."""
    machine = _known(lambda: Path("/etc/machine-id").read_text(encoding="ascii"))
    start = _known(lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    return f"{machine} {start} {_known(lambda: os.readlink('/proc/self/ns/pid'))}"


@lru_cache(maxsize=1)
def _clock() -> str:
    """Return this process's time namespace; "-" where all processes share one clock."""
    return _known(lambda: os.readlink("/proc/self/ns/time"))


def started(process: int) -> str | None:
    """Return when a process started, and by which clock; None if there is no such process.

    The time is in clock ticks since the boot of the machine. Containers may have clocks of their
    own (time_namespaces(7)). "-" if it is not known.
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except (OSError, OverflowError):
        pass
    try:
        status = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return _UNKNOWN
    fields = status.rpartition(b")")[2].split()  # the program name may contain anything, parentheses too
    return f"{fields[_STARTED].decode('ascii')} {_clock()}" if len(fields) > _STARTED else _UNKNOWN


def _runs_here(held: Holder) -> bool:
    """Return whether a holder's process number is valid here: same boot and same PID namespace.

    Host name and machine id prove nothing: clones of one image share both.
    """
    theirs, ours = held.boot.split()[1:], _boot().split()[1:]
    return theirs == ours and _UNKNOWN not in ours and held.process > 0


def is_dead(held: Holder) -> bool:
    """Return whether a holder is certainly dead.

    It ran on this machine, and its process number is now unused or belongs to a later process.
    """
    if not _runs_here(held):
        return False
    if (found := started(held.process)) is None:
        return True
    ticks, _, clock = found.partition(" ")
    theirs, _, their_clock = held.started.partition(" ")
    return clock == their_clock and ticks != theirs  # times of different clocks cannot be compared


def is_alive(held: Holder) -> bool:
    """Return whether a holder is certainly alive: it runs on this machine."""
    return _runs_here(held) and not is_dead(held)
