"""The file of a profile's report: a new one, or one that zapz wrote; no other file is ever overwritten, and no link followed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from zapz.errors import ConfigError

FIRST_LINE = "# zapz profile; the next run overwrites this file"
"""What zapz knows its own reports by."""

_MARK = f"{FIRST_LINE}\n".encode()
_WHAT = {errno.ELOOP: "a link", errno.EISDIR: "a folder", errno.EEXIST: "a file that zapz did not write"}


def check_place(path: Path) -> None:
    """Refuse a place where something else than a report of zapz lies.

    Raises:
        ConfigError: There is something else, or it cannot be written.
    """
    try:
        os.close(_opened(path))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(
            "the profile would overwrite something else" if error.errno in _WHAT else "the profile cannot be written",
            where="profiling.path",
            expected="a new file, or a report that zapz wrote",
            found=f"{path}, {_WHAT.get(error.errno or 0, error.strerror)}",
            hint="Name another file, or remove this one.",
        ) from error


def write(path: Path, report: str) -> None:
    """Write a report to a new file, or over one that zapz wrote.

    Raises:
        OSError: It cannot be written, or something else has come to lie there.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        file = _opened(path)
    with os.fdopen(file, "wb") as stream:  # the file that has been looked at, wherever its name leads meanwhile
        stream.write(_MARK + report.encode(errors="backslashreplace"))
        stream.truncate()


def _opened(path: Path) -> int:
    """Open a report of zapz, to be read and written; FileExistsError if it is something else."""
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode) or os.pread(file, len(_MARK), 0) != _MARK:
            raise FileExistsError(errno.EEXIST, _WHAT[errno.EEXIST], str(path))
    except BaseException:
        os.close(file)
        raise
    return file
