"""Errors of object services, with the missing rights under the names that the services use."""

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
    "cannot stat": "read",
    "cannot write": "write",
    "cannot remove": "delete",
    "cannot probe this storage": "write",
}


def name_of(uri: str, verb: str) -> str:
    """Return a service's name for the right to "list", "read", "write" or "delete"."""
    return _NAMES.get(uri.partition("://")[0], {}).get(verb, f"the right to {verb}")


def needed(uri: str, what: str) -> str:
    """Return a hint about the missing right, and the other rights that are needed there.

    Args:
        uri: The dataset.
        what: The failed operation, as the error names it.
    """
    verb = _VERBS.get(what)
    if verb is None:
        return ""
    names = {each: name_of(uri, each) for each in _S3}
    there = f"for {uri.rstrip('/')}/*"
    target = f"A target needs {names['list']}, {names['read']} and {names['write']} there."
    if verb == "read":
        other = f"Without {names['list']}, some services give the same answer for a missing object. Grant it to distinguish the two."
        return f"Needed: {names['read']} {there}. {other}"
    if verb == "delete":
        return f"Needed: {names['delete']} {there}."
    return f"Needed: {names[verb]} {there}. {target}"


def failure(error: BaseException, what: str, uri: str, key: str) -> StoreError:
    """Return zapz's error for a service's error.

    Args:
        error: The service's error.
        what: The failed operation.
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
    """Return the refusal of a service on which the lock object could not be removed."""
    return AbilityError(
        "the lock is an object that must be deleted after the append, but objects may not be deleted here",
        where=uri,
        expected=f"{name_of(uri, 'delete')} for {uri}/{folder}/*",
        hint="Grant that right. It is not needed on services with conditional replacement (S3, Azure).",
    )
