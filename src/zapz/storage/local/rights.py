"""Who may do what with a file: what replaces one takes over its mode, owner, group, access control list and extended attributes.

As far as that is permitted; and where something is not, nobody gets access who had none. Links are
never followed. What is not taken over:

- setuid and setgid of files, ``security.capability``: privileges were given to the old content, not
    to the new one;
- ``security.ima`` and ``security.evm``: signatures of the old content;
- what overlay file systems note about where a file comes from.

The owner may read in any case: zapz must, before a file has its place, and an owner could allow it
    anyway.
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
"""Extended attribute that holds the access control list of a file (Linux)."""
DEFAULT = "system.posix_acl_default"
"""Extended attribute that holds the list that a folder gives to what is made in it (Linux)."""
_LISTS = frozenset((ACCESS, DEFAULT))
_EXACT = frozenset((*_LISTS, "system.nfs4_acl", "security.selinux", "security.SMACK64"))
_KEPT = ("user.", "trusted.", "btrfs.")
_INTERNAL = ("user.overlay.", "trusted.overlay.")
_UNABLE = frozenset(
    (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.E2BIG)
)
"""What is answered where something is not permitted, or does not exist."""
_NO_DATA = frozenset((getattr(errno, "ENODATA", errno.ENOENT), getattr(errno, "ENOATTR", errno.ENOENT)))
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | getattr(os, "O_CLOEXEC", 0)
_HAS_EXTRA = hasattr(os, "listxattr")
"""Python knows extended attributes on Linux only."""
_GROUP_OBJ, _MASK, _OTHER = 0x04, 0x10, 0x20
_NAMED = frozenset((0x02, 0x08))
PRIVATE = 0o600
"""Mode of a file whose rights are not yet known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Who may do what with a file or a folder, and what else the file system keeps about it."""

    mode: int
    """Permission bits; of folders also setgid and sticky."""
    folder: bool = False
    """Whether it is a folder."""
    owner: int | None
    """Number of the owner; None for whoever writes."""
    group: int
    """Number of the group."""
    extra: Mapping[str, bytes] = field(default_factory=dict)
    """Extended attributes, access control lists among them."""

    @property
    def acl(self) -> bytes | None:
        """The access control list."""
        return self.extra.get(ACCESS)

    def without_list(self) -> Rights:
        """Return what is right where no list can be kept: group and others may do what the list lets everybody do."""
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
        """Return what is right where the group cannot be kept: neither group may do more than both could."""
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
        """Return whether nobody may do with this what they may not do with another."""
        if self.acl is not None or other.acl is not None:
            return (self.acl, self.mode, self.group) == (other.acl, other.mode, other.group)
        group, rest = other.mode >> 3 & 7, other.mode & 7
        if self.group != other.group:
            group = rest = group & rest
        return not (self.mode >> 3 & 7 & ~group or self.mode & 7 & ~rest)


def _entries(acl: bytes) -> Iterable[tuple[Any, ...]]:
    """Yield tag, permission and number of the entries of a list."""
    return struct.iter_unpack("<HHI", acl[4 : len(acl) - (len(acl) - 4) % 8])


def rights_of(path: str) -> Rights | None:
    """Return the rights of a file or folder; None if there is nothing, or something else, such as a link."""
    try:
        found = os.lstat(path)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            return None
        return _rights(found, path)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise failure(error, "cannot look at", path) from error


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
    """Return the extended attributes of a path or descriptor that are taken over."""
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
    """Return the rights of another folder that gives the same to what is made in it; None if it gives neither its group nor a list."""
    found = rights_of(folder) or rights_of(os.path.realpath(folder))
    if found is None or not (found.mode & stat.S_ISGID or DEFAULT in found.extra):
        return None
    return replace(found, owner=None, mode=found.mode | stat.S_IRWXU)


def born(path: str) -> Rights:
    """Return the rights of a new file in a folder: the umask, the folder's group and its default list decide. ``path`` names a trial."""
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
    """Give a file or folder these rights, as far as permitted; return whether anything was changed.

    On the way, nobody but the owner may do anything with it.

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
    """Give a file an owner and a group, or the group alone; return whether either was changed."""
    owner = -1 if wanted.owner in {None, found.owner} else wanted.owner
    group = -1 if wanted.group == found.group else wanted.group
    owners = dict.fromkeys(((owner, group), (-1, group)))
    return any(_permitted(os.fchown, descriptor, *pair) for pair in owners if pair != (-1, -1))


def _permitted(do: Callable[..., object], *args: object) -> bool:
    """Do it; return False where it is not permitted or does not exist."""
    try:
        do(*args)
    except OSError as error:
        if error.errno not in _UNABLE | _NO_DATA:
            raise
        return False
    return True


def is_ours(rights: Rights) -> bool:
    """Return whether this process may change them."""
    return os.geteuid() in {0, rights.owner}


def least(several: Sequence[Rights]) -> Rights:
    """Return rights with which nobody may do what they may not do with all of these: of files that tell of several others.

    Where all of these are alike, that is what they are.
    """
    chosen = min(several, key=lambda r: (r.mode & 7, r.mode >> 3 & 7))
    owner = chosen.owner if all(r.owner == chosen.owner for r in several) else None
    extra = {} if chosen.acl is None else {ACCESS: chosen.acl}
    if all((r.mode, r.group, r.acl) == (chosen.mode, chosen.group, chosen.acl) for r in several):
        return replace(chosen, owner=owner, extra=extra)
    group, rest = 7, 7
    for each in (r.without_list() for r in several):
        each = each if each.group == chosen.group else each.in_another_group(chosen.group)  # noqa: PLW2901 - as it is there
        group &= each.mode >> 3
        rest &= each.mode
    mode = chosen.mode & ~0o077 | group << 3 | rest
    return Rights(mode=mode, folder=chosen.folder, owner=owner, group=chosen.group)


def neighbours(key: str, documents: Iterable[str]) -> list[str]:
    """Return the documents that a new one is likened to: those in its folder or the nearest one above; at the root, all.

    What lies at the root tells of the whole target, consolidated metadata above all.
    """
    known = list(documents)
    folder = parent(key)
    while folder:
        if found := [document for document in known if parent(document) == folder]:
            return found
        folder = parent(folder)
    return known
