"""The report file of a profile: new, or a report that zapz wrote before.

No other file is ever overwritten, and no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from zapz.errors import ConfigError

FIRST_LINE = "# zapz profile; the next run overwrites this file"
"""First line of a report, by which zapz recognises it."""

_MARK = f"{FIRST_LINE}\n".encode()
_WHAT = {errno.ELOOP: "a link", errno.EISDIR: "a folder", errno.EEXIST: "a file that zapz did not write"}


def check_place(path: Path) -> None:
    """Check that a report can be written to a path.

    Raises:
        ConfigError: The path is occupied by something else, or cannot be written.
    """
    try:
        os.close(_opened(path))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(
            "the profile would overwrite another file" if error.errno in _WHAT else "the profile cannot be written",
            where="profiling.path",
            expected="a new file, or a report that zapz wrote",
            found=f"{path}, {_WHAT.get(error.errno or 0, error.strerror)}",
            hint="Set another path.",
        ) from error


def write(path: Path, report: str) -> None:
    """Write a report to a new file, or over an earlier report.

    Raises:
        OSError: The report cannot be written, or the path is occupied by something else.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        file = _opened(path)
    with os.fdopen(file, "wb") as stream:  # the checked file, even if its name changed since
        stream.write(_MARK + report.encode(errors="backslashreplace"))
        stream.truncate()


def _opened(path: Path) -> int:
    """Open a report of zapz for reading and writing; FileExistsError for any other file."""
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode) or os.pread(file, len(_MARK), 0) != _MARK:
            raise FileExistsError(errno.EEXIST, _WHAT[errno.EEXIST], str(path))
    except BaseException:
        os.close(file)
        raise
    return file
