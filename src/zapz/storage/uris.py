"""Paths and URIs as users write them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from zapz.errors import ConfigError
from zapz.storage.layout import OURS


def is_local(uri: str) -> bool:
    """Return whether ``uri`` names a local path."""
    return ("://" not in uri and "::" not in uri) or uri.startswith(("file://", "local://"))


def local_path(uri: str) -> Path:
    """Return a local URI as an absolute path: ``~`` expanded, no trailing slashes, links kept."""
    text = uri.removeprefix("file://").removeprefix("local://")
    return Path(os.path.abspath(os.path.expanduser(text)))


def redact(uri: str) -> str:
    """Return a URI without user names, passwords and queries, in each part of a chained URI."""
    if "::" in uri:
        return "::".join(redact(part) for part in uri.split("::"))
    scheme, mark, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}" if mark else uri


def clean(text: str) -> str:
    """Remove from a service's message what may be secret.

    These are queries of URLs, and user names with passwords before a host or bucket.
    """
    without_users = re.sub(r"[^\s\"'/]*:[^\s\"'/]*@|(?<=://)[^\s\"'/]*@", "", text)
    return re.sub(r"\?[^\s'\")]+", "", without_users)


def told(error: Exception) -> str:
    """Return a library's error as text for messages; for a system error, only its reason."""
    reason = error.strerror if isinstance(error, OSError) else None
    if reason:
        return reason[:1].lower() + reason[1:]
    return f"{type(error).__name__}: {clean(str(error))}" if str(error) else type(error).__name__


_CACHES = ("simplecache", "filecache", "blockcache")
"""Protocols in a chain that do not change where it leads."""


def canonical_uri(uri: str) -> str:
    """Return where a URI leads: links resolved if it is local, else one spelling for aliases."""
    while uri.partition("::")[0] in _CACHES:
        uri = uri.partition("::")[2]
    if is_local(uri):
        return os.path.realpath(local_path(uri))
    scheme, mark, rest = uri.partition("://")
    same = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
    return f"{same.get(scheme, scheme)}{mark}{rest.strip('/')}"


def inside(uri: str, folder: str) -> str:
    """Return the URI of a folder inside another; of a chained URI (archive), in its first part."""
    first, mark, rest = uri.partition("::")
    return f"{first.rstrip('/') if not first.endswith('://') else first}{'' if first.endswith('://') else '/'}{folder}{mark}{rest}"


def beside_of(root: str) -> str:
    """Return the folder of lock and journal beside a folder of a bucket.

    Raises:
        ConfigError: The folder is the bucket itself.
    """
    if "/" not in root.strip("/"):
        raise ConfigError(
            'journal = "beside" needs a prefix below the bucket',
            where="journal",
            expected='"inside", or a target in a folder of the bucket',
            found="beside",
        )
    return f"{root}{OURS}"
