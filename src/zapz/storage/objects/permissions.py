"""What an object service refuses, and which rights it would have to grant, by the names that it gives them."""

from __future__ import annotations

import errno

from zapz.errors import AbilityError, NotFoundError, StoreError
from zapz.storage.objects import errors
from zapz.storage.uris import clean

_S3 = {"list": "s3:ListBucket", "read": "s3:GetObject", "write": "s3:PutObject", "delete": "s3:DeleteObject"}
_GOOGLE = {
    "list": "storage.objects.list",
    "read": "storage.objects.get",
    "write": "storage.objects.create and storage.objects.delete (to replace)",
    "delete": "storage.objects.delete",
}
_NAMES = {"s3": _S3, "s3a": _S3, "gs": _GOOGLE, "gcs": _GOOGLE}
_VERBS = {
    "cannot list": "list",
    "cannot read": "read",
    "cannot look at": "read",
    "cannot write": "write",
    "cannot remove": "delete",
    "cannot find out what this storage can do": "write",
}


def name_of(uri: str, verb: str) -> str:
    """Return what a right is called: to "list", "read", "write" or "delete"."""
    return _NAMES.get(uri.partition("://")[0], {}).get(verb, f"the right to {verb}")


def needed(uri: str, what: str) -> str:
    """Return which right is missing, and what else is needed there.

    Args:
        uri: The dataset.
        what: What could not be done, as the error says it.
    """
    verb = _VERBS.get(what)
    if verb is None:
        return ""
    names = {each: name_of(uri, each) for each in _S3}
    there = f"for {uri.rstrip('/')}/*"
    target = f"A target needs {names['list']}, {names['read']} and {names['write']} there."
    if verb == "read":
        other = f"Without {names['list']}, some services answer the same for an object that is missing: grant it to tell the two apart."
        return f"Needed: {names['read']} {there}. {other}"
    if verb == "delete":
        return f"Needed: {names['delete']} {there}."
    return f"Needed: {names[verb]} {there}. {target}"


def failure(error: BaseException, what: str, uri: str, key: str) -> StoreError:
    """Return zapz's error for one of a service's.

    Args:
        error: The service's.
        what: What could not be done.
        uri: The dataset.
        key: The object concerned.
    """
    kind = NotFoundError if errors.meaning(error) == "absent" else StoreError
    denied = kind is StoreError and errors.is_denied(error)
    text = clean(str(error)).rstrip(".") if error.args not in ((), (None,)) else ""
    result = kind(
        what,
        where=f"{uri.rstrip('/')}/{key}",
        found=": ".join(part for part in (type(error).__name__, text) if part)[:300],
        hint=needed(uri, what) if denied else errors.advice(error),
    )
    if denied:
        result.errno = errno.EACCES
    return result


def undeletable(uri: str, folder: str) -> AbilityError:
    """Return the refusal of a service where a lock that is an object could not be removed again."""
    return AbilityError(
        "objects may not be deleted here, but the lock is an object that must be deleted afterwards",
        where=uri,
        expected=f"{name_of(uri, 'delete')} for {uri}/{folder}/*",
        hint="Grant that right. Where objects can be replaced on conditions (S3, Azure) it is not needed.",
    )
