"""Locations that references name: parsed strictly, joined to a folder, compared by segments.

Only text is inspected here. Links in a local path are resolved when the file is opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

LOCAL = "file"
"""Scheme of local files."""
_SAME = {"local": LOCAL, "s3a": "s3", "gcs": "gs", "abfss": "abfs"}
_WHOLE = frozenset((LOCAL, "memory"))
"""Schemes without a host or bucket."""
_WEB = frozenset(("http", "https"))
_NAMED = frozenset(("abfs",))
"""Schemes where the name before the @ is a container, not a user."""
_PORTS = {"http": ":80", "https": ":443"}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+")
_ENCODINGS = 8
"""Maximum number of layers of percent-encoding that are decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A file, an object, or a folder of them."""

    scheme: str
    """Its scheme; the same one for all aliases."""
    authority: str
    """Host or bucket; empty where there is none."""
    path: str
    """Its path: empty, or beginning with a slash."""
    url: str
    """Its full URL, as given."""

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine."""
        return self.scheme == LOCAL

    @property
    def folder(self) -> Location:
        """The folder that contains it; for a bucket, the bucket itself."""
        path = self.path.rpartition("/")[0] + "/"
        prefix = self.url.partition("://")[0]
        return Location(
            scheme=self.scheme, authority=self.authority, path=path, url=f"{prefix}://{self.authority}{path}"
        )

    def is_below(self, other: Location) -> bool:
        """Return whether it is a folder, or is inside that folder.

        Scheme and host must be the same, and its path must continue the folder's path.
        """
        same = (self.scheme, self.authority) == (other.scheme, other.authority)
        return same and (self.path == other.path or self.path.startswith(f"{other.path.rstrip('/')}/"))


def location_of(text: str, home: Location | None = None) -> Location:
    """Return the location that a text names.

    Args:
        text: A URL, or a path: absolute, or relative to a folder.
        home: The folder of relative paths.

    Raises:
        ValueError: It is not a location, or it could lead elsewhere. The error states why.
    """
    if not text:
        raise ValueError("an empty name")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):  # noqa: PLR2004 - ASCII
        raise ValueError("a control character in a name")
    if "::" in text:
        raise ValueError("a chain of URIs (`::`)")
    scheme, mark, rest = text.partition("://")
    if mark:
        return _parsed(text, scheme, rest)
    if text.startswith("/"):
        return Location(scheme=LOCAL, authority="", path=text, url=f"{LOCAL}://{text}")
    if home is None:
        raise ValueError("a relative name, but no base folder")
    path = f"{home.path.rstrip('/')}/{text}"
    return _checked(
        Location(scheme=home.scheme, authority=home.authority, path=path, url=f"{home.url.rstrip('/')}/{text}")
    )


def _parsed(text: str, scheme: str, rest: str) -> Location:
    if not _SCHEME.fullmatch(scheme):
        raise ValueError("not a scheme (schemes are written in lower case)")
    scheme = _SAME.get(scheme, scheme)
    if scheme == LOCAL and not rest.startswith("/"):
        raise ValueError("a file: URL whose path is not absolute")
    if scheme in _WHOLE:
        return _checked(Location(scheme=scheme, authority="", path=f"/{rest.lstrip('/')}", url=text))
    authority, slash, path = rest.partition("/")
    user, at, _ = authority.rpartition("@")
    if at and (scheme not in _NAMED or ":" in user):
        raise ValueError("a user name or password in a URL")
    if scheme in _WEB:
        authority = authority.lower().removesuffix(_PORTS[scheme])
    if not authority or _climbs(authority):
        raise ValueError("a URL without a host or bucket")
    return _checked(Location(scheme=scheme, authority=authority, path=f"{slash}{path}", url=text))


def _checked(found: Location) -> Location:
    if found.is_local:  # there, links decide what `..` means
        return found
    if found.scheme in _WEB and ("?" in found.path or "#" in found.path):
        raise ValueError("a query or fragment in a URL")
    if _climbs(found.path):
        raise ValueError("`.` or `..` in a path")
    return found


def _climbs(path: str) -> bool:
    """Return whether a server could read a part of a path as `.` or `..`, in any encoding."""
    for _ in range(_ENCODINGS):
        if any(part.partition(";")[0].strip() in {".", ".."} for part in re.split(r"[/\\]", path)):
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return True


def reference_place(given: str) -> str:
    """Check a location to which references may lead, and return it unchanged.

    Raises:
        ValueError: It is not a location.
    """
    if "://" in given or "::" in given:
        location_of(given)
    return given
