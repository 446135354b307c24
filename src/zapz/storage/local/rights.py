"""Rights of files: a new version keeps mode, owner, group, access control list and attributes.

They are kept as far as the system permits. Where it does not, no user gains access. Links are never
followed. Not kept are:

- setuid and setgid of files, ``security.capability``: these privileges were given to the old
  content, not to the new one;
- ``security.ima`` and ``security.evm``: signatures of the old content;
- notes of overlay file systems about the origin of a file.

The owner can always read: zapz must read a file before it is at its final path, and the owner could
grant that right anyway.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zapz.format.metadata import parent
from zapz.storage.local.posix import ABSENT, READ, failure

ACCESS = "system.posix_acl_access"
"""Extended attribute with the access control list of a file (Linux)."""
DEFAULT = "system.posix_acl_default"
"""Extended attribute with the list that a folder passes on to new entries (Linux)."""
_LISTS = frozenset((ACCESS, DEFAULT))
_EXACT = frozenset((*_LISTS, "system.nfs4_acl", "security.selinux", "security.SMACK64"))
_KEPT = ("user.", "trusted.", "btrfs.")
_INTERNAL = ("user.overlay.", "trusted.overlay.")
_UNABLE = frozenset(
    (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.E2BIG)
)
"""Errors of operations that are not permitted or not supported."""
_NO_DATA = frozenset((getattr(errno, "ENODATA", errno.ENOENT), getattr(errno, "ENOATTR", errno.ENOENT)))
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | getattr(os, "O_CLOEXEC", 0)
_HAS_EXTRA = hasattr(os, "listxattr")
"""Python supports extended attributes on Linux only."""
_GROUP_OBJ, _MASK, _OTHER = 0x04, 0x10, 0x20
_NAMED = frozenset((0x02, 0x08))
PRIVATE = 0o600
"""Mode of a file until its rights are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Access rights of a file or a folder, and its extended attributes."""

    mode: int
    """Permission bits; for folders also setgid and sticky."""
    folder: bool = False
    """Whether it is a folder."""
    owner: int | None
    """User id of the owner; None for the user of the writing process."""
    group: int
    """Group id."""
    extra: Mapping[str, bytes] = field(default_factory=dict)
    """Extended attributes, including access control lists."""

    @property
    def acl(self) -> bytes | None:
        """The access control list."""
        return self.extra.get(ACCESS)

    def without_list(self) -> Rights:
        """Return the rights to use where the access control list cannot be kept.

        Group and others may do only what the list allows to the group and to all named entries.
        """
        if self.acl is None:
            return self
        entries = list(_entries(self.acl))
        mask = next((perm for tag, perm, _ in entries if tag == _MASK), 7)
        group = 7
        for tag, perm, _ in entries:
            if tag == _GROUP_OBJ or tag in _NAMED:
                group &= perm & mask
        mode = self.mode & ~0o077 | group << 3 | self.mode & group
        return replace(self, mode=mode, extra={n: v for n, v in self.extra.items() if n != ACCESS})

    def in_another_group(self, group: int) -> Rights:
        """Return the rights to use where the group cannot be kept.

        Its new group and others may do only what both its old group and others could do.
        """
        extra = dict(self.extra)
        if self.acl is None:
            both = self.mode >> 3 & self.mode & 7
            return replace(self, mode=self.mode & ~0o077 | both << 3 | both, group=group)
        entries = list(_entries(self.acl))
        both = 7
        for tag, perm, _ in entries:
            both &= perm if tag in {_GROUP_OBJ, _MASK, _OTHER} else 7
        changed = ((t, both if t in {_GROUP_OBJ, _OTHER} else perm, who) for t, perm, who in entries)
        extra[ACCESS] = self.acl[:4] + b"".join(struct.pack("<HHI", *entry) for entry in changed)
        return replace(self, mode=self.mode & ~0o007 | both, group=group, extra=extra)

    def within(self, other: Rights) -> bool:
        """Return whether these rights allow no user anything that ``other`` does not allow."""
        if self.acl is not None or other.acl is not None:
            return (self.acl, self.mode, self.group) == (other.acl, other.mode, other.group)
        group, rest = other.mode >> 3 & 7, other.mode & 7
        if self.group != other.group:
            group = rest = group & rest
        return not (self.mode >> 3 & 7 & ~group or self.mode & 7 & ~rest)


def _entries(acl: bytes) -> Iterable[tuple[Any, ...]]:
    """Yield tag, permissions and id of the entries of an access control list."""
    return struct.iter_unpack("<HHI", acl[4 : len(acl) - (len(acl) - 4) % 8])


def rights_of(path: str) -> Rights | None:
    """Return the rights of a file or folder; None if it is absent or another type, as a link.

    Raises:
        StoreError: It cannot be inspected.
    """
    try:
        found = os.lstat(path)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            return None
        return _rights(found, path)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise failure(error, "cannot stat", path) from error


def _rights(found: os.stat_result, what: str | int) -> Rights:
    folder = stat.S_ISDIR(found.st_mode)
    return Rights(
        mode=found.st_mode & (0o7777 if folder else 0o777) | stat.S_IRUSR,
        folder=folder,
        owner=found.st_uid,
        group=found.st_gid,
        extra=_extra_of(what),
    )


def _extra_of(what: str | int) -> dict[str, bytes]:
    """Return the extended attributes of a path or descriptor that a new version keeps."""
    if not _HAS_EXTRA:
        return {}
    follow = {"follow_symlinks": False} if isinstance(what, str) else {}
    extra: dict[str, bytes] = {}
    try:
        names = os.listxattr(what, **follow)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        return {}
    for name in names:
        if name in _EXACT or (name.startswith(_KEPT) and not name.startswith(_INTERNAL)):
            try:
                extra[name] = os.getxattr(what, name, **follow)
            except OSError as error:
                if error.errno not in _UNABLE | _NO_DATA:
                    raise
    return extra


def heritage(folder: str) -> Rights | None:
    """Return rights for another folder, so that it passes on the same to its new entries.

    None if the folder passes on neither its group nor an access control list.
    """
    found = rights_of(folder) or rights_of(os.path.realpath(folder))
    if found is None or not (found.mode & stat.S_ISGID or DEFAULT in found.extra):
        return None
    return replace(found, owner=None, mode=found.mode | stat.S_IRWXU)


def born(path: str) -> Rights:
    """Return the rights of new files in a folder, by creating and removing the file ``path``.

    They depend on the umask, the folder's group and its default list.

    Raises:
        StoreError: The file cannot be created.
    """
    try:
        descriptor = os.open(path, _NEW, 0o666)
        try:
            return _rights(os.fstat(descriptor), descriptor)
        finally:
            os.close(descriptor)
            os.unlink(path)
    except OSError as error:
        raise failure(error, "cannot create", path) from error


def give(path: str, wanted: Rights) -> bool:
    """Give a file or folder these rights, as far as permitted; return whether anything changed.

    Meanwhile, only its owner has access.

    Raises:
        StoreError: It failed.
    """
    try:
        descriptor = os.open(path, READ | _NO_FOLLOW)
        try:
            return _give(descriptor, wanted)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise failure(error, "cannot keep mode and owner", path) from error


def _give(descriptor: int, wanted: Rights) -> bool:
    status = os.fstat(descriptor)
    found = _rights(status, descriptor)
    changed = False
    if (found.group != wanted.group or found.acl != wanted.acl) and status.st_mode & 0o077:
        changed = _permitted(os.fchmod, descriptor, stat.S_IMODE(status.st_mode) & ~0o077)
    changed |= _give_owner(descriptor, found, wanted)
    if found.group != wanted.group and (group := os.fstat(descriptor).st_gid) != wanted.group:
        wanted = wanted.in_another_group(group)
    for name in found.extra.keys() - wanted.extra.keys():
        if name in _LISTS or name.startswith("user."):
            changed |= _permitted(os.removexattr, descriptor, name)
    for name, value in sorted(wanted.extra.items(), key=lambda item: item[0] != ACCESS):
        if found.extra.get(name) != value and not _permitted(os.setxattr, descriptor, name, value):
            wanted = wanted.without_list() if name == ACCESS else wanted
        else:
            changed |= found.extra.get(name) != value
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != wanted.mode:
        changed |= _permitted(os.fchmod, descriptor, wanted.mode)
    return changed


def _give_owner(descriptor: int, found: Rights, wanted: Rights) -> bool:
    """Give a file an owner and a group, or only the group; return whether either changed."""
    owner = -1 if wanted.owner in {None, found.owner} else wanted.owner
    group = -1 if wanted.group == found.group else wanted.group
    owners = dict.fromkeys(((owner, group), (-1, group)))
    return any(_permitted(os.fchown, descriptor, *pair) for pair in owners if pair != (-1, -1))


def _permitted(do: Callable[..., object], *args: object) -> bool:
    """Call a function; return False if the operation is not permitted or not supported."""
    try:
        do(*args)
    except OSError as error:
        if error.errno not in _UNABLE | _NO_DATA:
            raise
        return False
    return True


def is_ours(rights: Rights) -> bool:
    """Return whether this process may change the rights."""
    return os.geteuid() in {0, rights.owner}


def least(several: Sequence[Rights]) -> Rights:
    """Return rights that allow a user only what all of ``several`` allow.

    They are for a file that describes several others. If all of these have equal rights, so has it.
    """
    chosen = min(several, key=lambda r: (r.mode & 7, r.mode >> 3 & 7))
    owner = chosen.owner if all(r.owner == chosen.owner for r in several) else None
    extra = {} if chosen.acl is None else {ACCESS: chosen.acl}
    if all((r.mode, r.group, r.acl) == (chosen.mode, chosen.group, chosen.acl) for r in several):
        return replace(chosen, owner=owner, extra=extra)
    group, rest = 7, 7
    for each in (r.without_list() for r in several):
        each = each if each.group == chosen.group else each.in_another_group(chosen.group)  # noqa: PLW2901 - with the chosen group
        group &= each.mode >> 3
        rest &= each.mode
    mode = chosen.mode & ~0o077 | group << 3 | rest
    return Rights(mode=mode, folder=chosen.folder, owner=owner, group=chosen.group)


def neighbours(key: str, documents: Iterable[str]) -> list[str]:
    """Return the documents that are models for the rights of a new one.

    They are those in its folder or in the nearest folder above that has any. At the root they are
    all documents: documents there describe the whole target, above all consolidated metadata.
    """
    known = list(documents)
    folder = parent(key)
    while folder:
        if found := [document for document in known if parent(document) == folder]:
            return found
        folder = parent(folder)
    return known
