"""Errors as replies: a status, and JSON without paths of the server's storage. Pure.

Every Zarr client reads 404 as "all cells have the fill value". So whatever should be there and
cannot be sent is 5xx; then clients raise an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from zapz.errors import (
    AbilityError,
    ConflictError,
    LockedError,
    StoreError,
    UnsupportedError,
    ZapzError,
)
from zapz.server.content import Headers
from zapz.server.messages import HttpReply, HttpRequest

RETRY = ("Retry-After", "1")
"""Header field of replies to requests that may succeed a second later."""


def json_reply(request: HttpRequest, status: int, value: object, headers: Headers | None = None) -> HttpReply:
    """Return a JSON reply."""
    body = json.dumps(value, ensure_ascii=False, indent=2, default=str).encode("utf-8", "backslashreplace")
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *(headers or [])]
    return HttpReply(status=status, headers=fields, body=b"" if request.method == "HEAD" else body)


def refusal(
    request: HttpRequest, status: int, code: str, message: str, headers: Headers | None = None, **facts: str
) -> HttpReply:
    """Return an error as a JSON reply.

    Args:
        request: The request.
        status: HTTP status code.
        code: The kind of error, in one word.
        message: What is wrong.
        headers: Further header fields.
        facts: Further members, such as a hint.
    """
    told: Mapping[str, str] = {name: text for name, text in facts.items() if text}
    fields: Headers = [("Cache-Control", "no-store"), *(headers or [])]
    return json_reply(request, status, {"error": {"status": status, "code": code, "message": message, **told}}, fields)


def failure_reply(request: HttpRequest, error: ZapzError, dataset: str) -> HttpReply:
    """Return an error of a dataset as a reply: what, expected and found, but not where.

    Args:
        request: The request.
        error: The error.
        dataset: Name of the dataset.
    """
    status = status_of(error)
    headers = [RETRY] if status == 503 else []  # noqa: PLR2004 - an HTTP status
    return refusal(
        request,
        status,
        error.code,
        error.what,
        headers,
        expected=_plain(error.expected),
        found=_plain(error.found),
        dataset=dataset,
    )


def _plain(text: str) -> str:
    """Return a fact without paths: they are known to the server's user alone."""
    return "" if "/" in text or "\\" in text else text


def status_of(error: ZapzError) -> int:
    """Return the status for an error: 503 where another attempt may succeed, else 5xx."""
    if isinstance(error, LockedError | ConflictError):
        return 503
    if isinstance(error, UnsupportedError):
        return 501
    if isinstance(error, StoreError) and not isinstance(error, AbilityError):
        return 502
    return 500
