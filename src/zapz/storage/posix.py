"""The few things that zapz asks of the operating system, with errors that say what to do."""

from __future__ import annotations

import errno
import os

from zapz.errors import NotFoundError, StoreError
from zapz.format.compressors import octets
from zapz.storage.store import Parts, Placed

READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)


ABSENT = frozenset((errno.ENOENT, errno.ENOTDIR))


def read_rest(descriptor: int, length: int, offset: int) -> bytes:
    parts = []
    while length > 0 and (part := os.pread(descriptor, length, offset)):
        parts.append(part)
        length -= len(part)
        offset += len(part)
    return b"".join(parts)


def write_all(descriptor: int, parts: Parts) -> int:
    total = 0
    if isinstance(parts, Placed):
        for offset, part in parts.parts:
            view = octets(part)
            total = max(total, offset + view.nbytes)
            while view.nbytes:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written  # noqa: PLW2901 - the rest
        return total
    for part in parts:
        view = octets(part)
        total += view.nbytes
        while view.nbytes:
            view = view[os.write(descriptor, view) :]
    return total


def link(source: str, destination: str) -> None:
    os.link(source, destination, follow_symlinks=False)


_HINTS = {
    errno.ENOSPC: "Free some space and run again.",
    errno.EDQUOT: "Free some of your quota and run again.",
    errno.EACCES: "Check the permissions.",
    errno.EPERM: "Check the permissions.",
    errno.EROFS: "The file system is read-only.",
    errno.ENOENT: "Check the path; parent folders are not made.",
}


def failure(error: OSError, what: str, path: str) -> StoreError:
    kind = NotFoundError if error.errno in ABSENT else StoreError
    reason = error.strerror or type(error).__name__
    result = kind(what, where=path, found=reason[:1].lower() + reason[1:], hint=_HINTS.get(error.errno or 0, ""))
    result.errno = error.errno
    return result
