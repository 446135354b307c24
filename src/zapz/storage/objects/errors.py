"""The meaning of a service's error: the errors of all backends in a few classes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Literal

Answer = Literal["absent", "refused", "again", "failed"]
"""No such object; a condition did not hold; try again, because the outcome is unknown; any other
error."""

_REFUSED_TYPES = frozenset(("FileExistsError", "ResourceExistsError", "ResourceModifiedError"))
_AGAIN_TYPES = frozenset(
    (
        "ClientConnectionError",
        "ClientOSError",
        "ClientPayloadError",
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "HTTPClientError",
        "HttpError",
        "IncompleteRead",
        "IncompleteReadError",
        "ReadTimeoutError",
        "ResponseParserError",
        "ResponseStreamingError",
        "ServerDisconnectedError",
        "ServerTimeoutError",
        "ServiceRequestError",
        "ServiceResponseError",
    )
)
_REFUSED_STATUS = 412
_DENIED_STATUS = 403
_WRONG_KEYS = frozenset(
    (
        *("AuthenticationFailed", "ExpiredToken", "InvalidAccessKeyId", "InvalidAuthenticationInfo", "InvalidToken"),
        *("RequestTimeTooSkewed", "SignatureDoesNotMatch"),
    )
)
"""Error codes for invalid credentials, not for missing rights."""
_NO_KEYS = frozenset(
    ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "DefaultCredentialsError")
)
_NO_PLACE = frozenset(("NoSuchBucket", "ContainerNotFound"))
_NO_SERVER = frozenset(("EndpointConnectionError", "ClientConnectorError", "ClientConnectorDNSError"))
_ABSENT_STATUS = 404
_AGAIN_STATUS = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
_AGAIN_ERRNO = frozenset(
    getattr(errno, name, None) for name in ("EBUSY", "ETIMEDOUT", "EREMOTEIO", "ECONNRESET", "ECONNREFUSED", "EPIPE")
)
_EXISTS_CODES = frozenset(("BlobAlreadyExists", "ConditionNotMet", "PreconditionFailed"))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def status_of(error: BaseException) -> tuple[int | None, str]:
    """Return HTTP status and service code of an error or of the first cause that has them."""
    for cause in causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):  # botocore
            meta, details = response.get("ResponseMetadata", {}), response.get("Error", {})
            if "HTTPStatusCode" in meta:
                return int(meta["HTTPStatusCode"]), str(details.get("Code", ""))
        for name in ("status_code", "status", "code"):  # azure, aiohttp, gcsfs
            value = getattr(cause, name, None)
            if isinstance(value, int | str) and str(value).isdigit():
                return int(value), str(getattr(cause, "error_code", "") or "")
    return None, ""


def is_denied(error: BaseException) -> bool:
    """Return whether a service accepts the credentials, but denies the request.

    S3 also denies requests for absent objects, if the caller may not list them.
    """
    status, code = status_of(error)
    if code in _WRONG_KEYS:
        return False
    return status == _DENIED_STATUS or any(isinstance(cause, PermissionError) for cause in causes(error))


def advice(error: BaseException) -> str:
    """Return the hint for an error that does not concern a single object; else an empty text."""
    _, code = status_of(error)
    names = {type(cause).__name__ for cause in causes(error)}
    if code in _WRONG_KEYS or names & _NO_KEYS:
        return "Check the credentials: key and secret among the storage options, or in the environment."
    if code in _NO_PLACE:
        return "Check the name of the bucket (container), or create it first."
    if names & _NO_SERVER:
        return "Check the address of the service (endpoint_url), and whether the service runs."
    return ""


def meaning(error: BaseException) -> Answer:
    """Return what an error of a backend means.

    A 409 decides nothing: services return it while another conditional request for the same key is
    in progress.
    """
    status, code = status_of(error)
    names = {type(cause).__name__ for cause in causes(error)}
    if code in _EXISTS_CODES or status == _REFUSED_STATUS or names & _REFUSED_TYPES:
        return "refused"
    not_found = isinstance(error, FileNotFoundError) or "ResourceNotFoundError" in names
    if status == _ABSENT_STATUS or (not_found and status is None):  # libraries raise it for other answers, too
        return "absent"
    if status is not None:
        return "again" if status in _AGAIN_STATUS else "failed"
    transient = isinstance(error, TimeoutError | ConnectionError) or names & _AGAIN_TYPES
    return "again" if transient or (isinstance(error, OSError) and error.errno in _AGAIN_ERRNO) else "failed"
