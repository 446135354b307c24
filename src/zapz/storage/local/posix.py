"""The few calls of the operating system that zapz needs, with errors that state what to do."""

from __future__ import annotations

import errno
import os
import stat

from zapz.errors import NotFoundError, StoreError
from zapz.format.buffers import octets
from zapz.storage.store import Parts, PlacedParts

READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)


ABSENT = frozenset((errno.ENOENT, errno.ENOTDIR))


def read_file(path: str, offset: int = 0, length: int | None = None) -> bytes:
    """Return at most ``length`` bytes of a file, from ``offset``; None for all.

    Raises:
        OSError: It failed.
    """
    descriptor = os.open(path, READ)
    try:
        if length is None:
            length = max(0, os.fstat(descriptor).st_size - offset)
        if not offset:
            data = os.read(descriptor, length)
            return data if len(data) == length else data + read_rest(descriptor, length - len(data), len(data))
        return read_rest(descriptor, length, offset)
    finally:
        os.close(descriptor)


def read_rest(descriptor: int, length: int, offset: int) -> bytes:
    """Return ``length`` bytes from ``offset``; fewer only at the end of the file."""
    parts = []
    while length > 0 and (part := os.pread(descriptor, length, offset)):
        parts.append(part)
        length -= len(part)
        offset += len(part)
    return b"".join(parts)


def write_all(descriptor: int, parts: Parts) -> int:
    """Write all parts; return the length of the file in bytes."""
    total = 0
    if isinstance(parts, PlacedParts):
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


def mode_of(path: str) -> int | None:
    """Return the mode of a path, links followed; None if it does not exist.

    Raises:
        StoreError: It cannot be inspected.
    """
    try:
        return os.stat(path).st_mode
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise failure(error, "cannot stat", path) from error


def is_folder(path: str) -> bool:
    """Return whether a path is a folder."""
    mode = mode_of(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: str) -> bool:
    """Return whether a path is a file."""
    mode = mode_of(path)
    return mode is not None and stat.S_ISREG(mode)


def entries(path: str, most: int) -> list[tuple[str, str]] | None:
    """Return names and types of a folder's entries; none if it does not exist.

    Types are "folder", "link" and "file".

    Args:
        path: The folder.
        most: Maximum number of entries. If there are more, reading stops, and the result is None.

    Raises:
        StoreError: It cannot be listed.
    """
    found: list[tuple[str, str]] = []
    try:
        inside = os.scandir(path)
    except OSError as error:
        if error.errno in ABSENT:
            return []
        raise failure(error, "cannot list", path) from error
    try:
        with inside:
            for entry in inside:
                if len(found) >= most:
                    return None
                kind = "link" if entry.is_symlink() else "folder" if entry.is_dir(follow_symlinks=False) else "file"
                found.append((entry.name, kind))
    except OSError as error:
        raise failure(error, "cannot list", path) from error
    return found


def link(source: str, destination: str) -> None:
    """Give a file a second name."""
    os.link(source, destination, follow_symlinks=False)


NO_LINK = frozenset((errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES))
"""Errors of a file system that cannot create a link here."""


def second_name(path: str, second: str) -> bool:
    """Give a file a second name; return False if no link is possible, or a copy has that name.

    Raises:
        StoreError: It failed.
    """
    for _ in range(2):
        try:
            link(path, second)
        except FileExistsError:
            if _same_file(path, second):
                return True
            if same_content(path, second):
                return False
            os.unlink(second)  # an incomplete earlier copy
        except OSError as error:
            if error.errno not in NO_LINK:
                raise failure(error, "cannot prepare", second) from error
            return False
        else:
            return True
    return False


def _same_file(a: str, b: str) -> bool:
    try:
        here, there = os.lstat(a), os.lstat(b)
    except OSError as error:
        raise failure(error, "cannot stat", b) from error
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def same_content(a: str, b: str) -> bool:
    """Return whether two files contain the same bytes; False if one is absent.

    Raises:
        StoreError: They cannot be compared.
    """
    try:
        return os.stat(a).st_size == os.stat(b).st_size and read_file(a) == read_file(b)
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise failure(error, "cannot compare", b) from error


_HINTS = {
    errno.ENOSPC: "Free some space and run again.",
    errno.EDQUOT: "Free some of your quota and run again.",
    errno.EACCES: "Check the permissions.",
    errno.EPERM: "Check the permissions.",
    errno.EROFS: "The file system is read-only.",
    errno.ENOENT: "Check the path. zapz does not create parent folders.",
}


def failure(error: OSError, what: str, path: str) -> StoreError:
    """Return zapz's error for an error of the operating system, with a hint.

    Raises:
        StoreError: The error already is zapz's own, which is more specific (``StoreError`` is also
            an ``OSError``).
    """
    if isinstance(error, StoreError):
        raise error
    kind = NotFoundError if error.errno in ABSENT else StoreError
    reason = error.strerror or type(error).__name__
    result = kind(what, where=path, found=reason[:1].lower() + reason[1:], hint=_HINTS.get(error.errno or 0, ""))
    result.errno = error.errno
    return result
