"""Open reference sets: from a URI, or from an open fsspec file system."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

from zapz.errors import MetadataError, NotFoundError, StoreError, UnsupportedError, ZapzError
from zapz.storage.filesystems import behind_caches, leads_to_references, not_installed, protocols_of
from zapz.storage.objects.errors import meaning
from zapz.storage.references.backend import FileSystems, ReferenceBackend, faithful, redirect_in, unredirected
from zapz.storage.references.locations import LOCAL, Location, location_of
from zapz.storage.references.sets import MAX_BYTES, Allowed, References, entries_of, parsed
from zapz.storage.store import Options
from zapz.storage.uris import redact, told

_SCHEME = "reference"
_WEB = frozenset(("http", "https"))
_CACHES = frozenset(("simplecache", "filecache", "blockcache", "cached"))
_FOLDERS = (".parq", "parquet", "/")
"""Endings of the names of parquet sets, as fsspec recognises them."""


def at_uri(uri: str, options: Options | None, places: Sequence[str] | None) -> tuple[ReferenceBackend, str, str]:
    """Return the backend of the set that a URI names, the folder in it, and its name for messages.

    Args:
        uri: ``reference://``, with ``fo`` among the options or chained to the file. Caches before
            it are not used.
        options: fsspec storage options; for a chain, by protocol.
        places: Where references may lead; None for the set's own folder.

    Raises:
        UnsupportedError: The URI leads into a reference set, or the set is not supported.
        StoreError: It cannot be read.
        FormatError: It is not a reference set.
    """
    head, *rest = parts = uri.split("::")
    given = dict(options or {})
    given.pop("use_listings_cache", None)
    while head.partition("://")[0] in _CACHES and rest:
        given = {name: value for name, value in given.items() if isinstance(value, Mapping)}
        head, *rest = rest
    scheme, _, root = head.partition("://")
    if scheme != _SCHEME or leads_to_references("::".join(rest)) or leads_to_references(given.get("fo")):
        raise within(redact(uri), parts)
    inner = {part.partition("://")[0]: given.pop(part.partition("://")[0], {}) for part in rest}
    arguments = {**given.pop(_SCHEME, {}), **given}
    if rest:
        fo = "::".join(rest)
        arguments["fo"] = fo
        options_of_file = inner if len(rest) > 1 else inner[rest[0].partition("://")[0]]
        arguments["target_options"] = {**options_of_file, **(arguments.get("target_options") or {})}
    if "fo" not in arguments:
        raise StoreError(
            "the file of a reference set is not named",
            where=redact(uri),
            expected="the option `fo`, or reference://::URI-OF-THE-FILE",
            found="neither",
        )
    named = os.fspath(arguments["fo"]) if isinstance(arguments["fo"], str | os.PathLike) else ""
    name = f"{_SCHEME}://{root}{'::' if named else ''}{redact(named)}"
    return _opened(arguments, None, name, places), root.strip("/"), name


def within(uri: str, parts: Sequence[str] = ()) -> UnsupportedError:
    """Return the refusal of data inside a reference set, which could be any file the set names."""
    return UnsupportedError(
        "data inside or behind a reference set is not supported",
        where=uri,
        expected="reference:// itself, or a mapper or FsspecStore of it",
        found=" of ".join(part.partition("://")[0] for part in parts),
        hint="Use the reference set itself. Name its file by the option `fo`, or as reference://::URI.",
    )


def of_file_system(fs: Any, name: str, places: Sequence[str] | None) -> ReferenceBackend:
    """Return the backend of an open reference file system.

    Raises:
        UnsupportedError: Its class is not fsspec's, or the set is not supported.
        StoreError: The set cannot be read.
        FormatError: Its file is not a reference set.
    """
    from fsspec.implementations.reference import ReferenceFileSystem

    if not isinstance(fs, ReferenceFileSystem):
        raise UnsupportedError(
            "unknown type of reference file system",
            where=name,
            expected="fsspec's ReferenceFileSystem",
            found=type(fs).__name__,
        )
    names = list(inspect.signature(ReferenceFileSystem.__init__).parameters)[1:]
    arguments = {**dict(zip(names, fs.storage_args, strict=False)), **fs.storage_options}
    return _opened(arguments, fs.references, name, places)


def _opened(
    arguments: Mapping[str, Any], live: Mapping[str, Any] | None, name: str, places: Sequence[str] | None
) -> ReferenceBackend:
    """Return the backend of a set.

    Args:
        arguments: Arguments of fsspec's ReferenceFileSystem.
        live: Its entries, if they are open already; otherwise they are read.
        name: Its name for messages.
        places: Where references may lead.
    """
    fo, overrides = arguments.get("fo"), arguments.get("template_overrides")
    home: tuple[Location, Any] | None = None
    if hasattr(fo, "open_refs") or hasattr(type(fo), "setup"):  # fsspec's parquet reader itself
        home, live = _home_of(fo.fs, fo.root), live if live is not None else fo  # type: ignore[union-attr]
    elif isinstance(fo, str | os.PathLike):
        try:
            home, entries = _read(os.fspath(fo), arguments, name, overrides, live)
        except (ZapzError, ImportError):
            raise
        except Exception as error:  # every backend has errors of its own
            if (refused := redirect_in(error)) is not None:
                raise refused from None
            absent = meaning(error) == "absent"
            raise (NotFoundError if absent else StoreError)(
                "no such reference file" if absent else "cannot read a reference file",
                where=name,
                found="" if absent else told(error)[:200],
                hint="Check the path." if absent else "",
            ) from error
        live = live if live is not None else entries
    else:
        entries = entries_of(fo, name, overrides)
        live = live if live is not None else entries
    if live is None:
        raise MetadataError("not a reference set", where=name)
    given, bare, options = _file_systems(arguments)
    references = References(live, name, arguments.get("target"))
    allowed = Allowed(places, home[0] if home is not None else None, bare)
    return ReferenceBackend(references, allowed, FileSystems(given, options, home))


def _read(
    fo: str, arguments: Mapping[str, Any], name: str, overrides: Any, live: Any
) -> tuple[tuple[Location, Any] | None, Mapping[str, Any]]:
    """Return the folder and the entries of a set; parquet files are read only when needed."""
    import fsspec  # imported where used: local appends do without it
    from fsspec.implementations.reference import LazyReferenceMapper

    options = dict(arguments.get("ref_storage_args") or arguments.get("target_options") or {})
    compression = options.pop("compression", None)
    protocol = arguments.get("target_protocol")
    try:
        for part in fo.split("::"):
            scheme = part.partition("://")[0] if "://" in part else protocol
            if scheme in _WEB and "::" in fo:
                options[scheme] = unredirected(options.get(scheme) or {})
            elif scheme in _WEB:
                options = unredirected(options)
        if protocol is not None:
            options["protocol"] = protocol
        fs, path = fsspec.core.url_to_fs(fo, **options)
    except ImportError as error:
        raise not_installed(name, error, protocol) from error
    if leads_to_references(fs):
        raise within(name)
    fs, path = behind_caches(fs, path)
    home = _home_of(fs, path)
    if ".json" not in path and (fo.endswith(_FOLDERS) or fs.isdir(path)):
        if live is not None and not protocols_of(fs) & _WEB:
            return home, live
        return home, LazyReferenceMapper(path, fs=fs, cache_size=arguments.get("cache_size", 128))
    with fsspec.core.OpenFile(fs, path, mode="rb", compression=compression) as file:
        data = file.read(MAX_BYTES + 1)
    return home, entries_of(parsed(data, name), name, overrides)


def _home_of(fs: Any, path: str) -> tuple[Location, Any] | None:
    """Return the folder that contains a file, and its file system; None if it has no URI."""
    fs, path = behind_caches(fs, path)
    path = path.rstrip("/")
    if protocols_of(fs) & {LOCAL, "local"}:
        return location_of(os.path.abspath(path)).folder, fs
    if "fo" in fs.storage_options:  # in an archive
        return None
    url = path if "://" in path else str(fs.unstrip_protocol(path))
    if protocols_of(fs) & _WEB:
        url = url.partition("#")[0].partition("?")[0]
    try:
        return location_of(url).folder, faithful(fs)
    except ValueError:
        return None


def _file_systems(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str | None, dict[str, Mapping[str, Any]]]:
    """Return given file systems by scheme, the prefix of bare names, and options by scheme."""
    from fsspec import AbstractFileSystem

    given: dict[str, Any] = {}
    options: dict[str, Mapping[str, Any]] = {}
    remote, fs = arguments.get("remote_protocol"), arguments.get("fs")
    bare = remote if remote not in {None, LOCAL, "local"} | _WEB else None
    if isinstance(fs, AbstractFileSystem):
        inner, root = behind_caches(fs, "")
        scheme = _scheme_of(inner)
        given[scheme] = inner
        bare = None if scheme == LOCAL and not root else f"{scheme}://{root.rstrip('/')}{'/' if root else ''}"
        return given, bare, options
    if isinstance(fs, Mapping):
        for key, value in fs.items():
            if isinstance(value, Mapping):
                options[_same(str(key).split(":", 1)[0])] = value
            elif key is not None:
                given[_same(str(key))] = value
        return given, None, options
    held = arguments.get("remote_options") or {}
    if held or remote is not None:
        options["" if remote is None else _same(remote)] = held
    return given, f"{bare}://" if bare is not None else None, options


def _scheme_of(fs: Any) -> str:
    protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
    return _same(protocol)


def _same(protocol: str) -> str:
    """Return the scheme that locations use for a protocol."""
    return location_of(f"{protocol}:///x" if protocol in {LOCAL, "local", "memory"} else f"{protocol}://x/x").scheme
