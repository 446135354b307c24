"""Read the bytes that reference sets name, after checking each location.

fsspec's own reference file system reads whatever a set names, and requests the bytes of several
objects at once. So zapz uses only its parquet reader. The bytes come from fsspec file systems, or
from the operating system for local files.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from zapz.errors import AbilityError, ChunkError, StoreError, UnsupportedError, ZapzError
from zapz.storage.filesystems import behind_caches, not_installed, ours, protocols_of
from zapz.storage.local.posix import READ, failure, read_rest
from zapz.storage.objects.errors import causes, meaning
from zapz.storage.references.locations import Location
from zapz.storage.references.sets import Allowed, Reference, References, is_chunk
from zapz.storage.uris import redact, told

_WEB = frozenset(("http", "https"))
_OPEN = READ | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
Answer = tuple[bytes, str | None]


class FileSystems:
    """The file systems for the files of a set, one per scheme."""

    def __init__(
        self, given: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]], home: tuple[Location, Any] | None
    ) -> None:
        """Set the given file systems and options.

        Args:
            given: File systems by scheme.
            options: Options of other file systems by scheme; those of "" apply to all.
            home: The folder of the set, and the file system from which the set itself was read.
        """
        self._given = dict(given)
        self._options = options
        self._home = home
        self._made: dict[str, Any] = {}
        self._guard = threading.Lock()

    def of(self, location: Location) -> Any:
        """Return the file system for a location."""
        scheme = location.scheme
        with self._guard:
            if scheme in self._made:
                return self._made[scheme]
            if scheme in self._given:
                made = faithful(self._given[scheme])
            elif self._home is not None and not self._options and location.is_below(self._home[0]):
                return self._home[1]  # it has the credentials of the set: only for the set's own folder
            else:
                made = _file_system(scheme, self._options.get(scheme, self._options.get("", {})))
            self._made[scheme] = made
            return made


def _file_system(scheme: str, options: Mapping[str, Any]) -> Any:
    import fsspec  # imported where used: local appends do without it

    try:
        return ours(fsspec.filesystem(scheme, **(unredirected(options) if scheme in _WEB else options)))
    except ImportError as error:
        raise not_installed(f"{scheme}://", error) from error
    except Exception as error:  # every backend has errors of its own
        raise StoreError("cannot open storage", where=f"{scheme}://", found=told(error)[:200]) from error


def faithful(fs: Any) -> Any:
    """Return a file system that any thread can call, without caches and without redirects."""
    fs, _ = behind_caches(fs, "")
    if not protocols_of(fs) & _WEB:
        return ours(fs)
    options = {key: value for key, value in fs.storage_options.items() if key not in {"asynchronous", "loop"}}
    return type(fs)(*fs.storage_args, **unredirected(options))


def unredirected(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of fsspec's HTTP file system that make a redirect an error."""
    import aiohttp

    async def refuse(_: Any, __: Any, params: Any) -> None:
        raise UnsupportedError(
            "a redirect is not followed",
            where=redact(str(params.url)),
            expected="the file itself",
            found=f"a redirect to {redact(params.response.headers.get('Location', '?'))}"[:200],
            hint="Put that address into the references, and allow it by slice_references.",
        )

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    client = dict(options.get("client_kwargs") or {})
    client["trace_configs"] = [*client.get("trace_configs", ()), trace]
    return {**options, "client_kwargs": client, "skip_instance_cache": True, "use_listings_cache": False}


def redirect_in(error: BaseException) -> UnsupportedError | None:
    """Return the refused redirect among an error's causes; None if there is none."""
    return next((cause for cause in causes(error) if isinstance(cause, UnsupportedError)), None)


class ReferenceBackend:
    """A reference set as a read-only ``Backend``."""

    conditional = False
    exclusive = False
    listable = True
    probed = True
    quoted = False
    largest: int | None = None

    def __init__(self, references: References, allowed: Allowed, file_systems: FileSystems) -> None:
        self._references = references
        self._allowed = allowed
        self._file_systems = file_systems
        self._folders: set[str] = set()
        self._objects: dict[str, list[str]] | None = None
        self.scope = references.name

    def get(self, path: str, start: int | None, end: int | None) -> Answer:
        """See ``Backend``."""
        found = self._entry(path)
        if isinstance(found, bytes):
            return found[start:end], None
        location = self._located(path, found)
        begin, stop = _span(found, start, end)
        if location.is_local:
            return _local(location.path, begin, stop, f"{self._references.name}, {path}"), None
        if begin is not None and begin == stop:
            return b"", None
        try:
            data = self._file_systems.of(location).cat_file(location.url, start=begin, end=stop)
        except Exception as error:
            raise self._sorted(error, path, location) from error
        return self._checked(data, path, location, begin, stop, found), None

    def _entry(self, path: str) -> bytes | Reference:
        found = self._references.entry(path.strip("/"))
        if found is None:
            raise FileNotFoundError(path)
        return found

    def _located(self, path: str, found: Reference) -> Location:
        return self._allowed.located(found.where, f"{self._references.name}, {path}")

    def _sorted(self, error: BaseException, path: str, location: Location) -> BaseException:
        """Return the error for a failed read.

        A missing file is an error, not a missing chunk: the set states that the chunk exists.
        """
        if isinstance(error, ZapzError):
            return error
        refused = redirect_in(error)
        if refused is not None:
            return refused
        if meaning(error) == "absent":
            return _gone(f"{self._references.name}, {path}", redact(location.url))
        return error

    def _checked(
        self, data: bytes, path: str, location: Location, begin: int | None, stop: int | None, found: Reference
    ) -> bytes:
        if found.size is not None and stop is not None and len(data) != stop - (begin or 0):
            raise _cut(f"{self._references.name}, {path}", redact(location.url), stop - (begin or 0), len(data))
        return data

    def get_many(self, paths: Sequence[str]) -> Sequence[Answer | BaseException]:
        """See ``Backend``. Objects on one service are requested together."""
        answers: list[Answer | BaseException | None] = [None] * len(paths)
        together: dict[int, tuple[Any, list[tuple[int, Location, Reference]]]] = {}
        for number, path in enumerate(paths):
            try:
                found = self._entry(path)
                if isinstance(found, bytes):
                    answers[number] = found, None
                    continue
                location = self._located(path, found)
                fs = None if location.is_local else self._file_systems.of(location)
                if fs is None or not getattr(fs, "async_impl", False) or found.size == 0:
                    answers[number] = self.get(path, None, None)
                else:
                    together.setdefault(id(fs), (fs, []))[1].append((number, location, found))
            except Exception as error:  # noqa: BLE001 - handed on as a value
                answers[number] = error
        for fs, wanted in together.values():
            for number, answer in self._ranges(fs, paths, wanted):
                answers[number] = answer
        return [answer if answer is not None else FileNotFoundError() for answer in answers]

    def _ranges(
        self, fs: Any, paths: Sequence[str], wanted: Sequence[tuple[int, Location, Reference]]
    ) -> Iterator[tuple[int, Answer | BaseException]]:
        spans = [_span(found, None, None) for _, _, found in wanted]
        begins, stops = [begin for begin, _ in spans], [stop for _, stop in spans]
        got = fs.cat_ranges([location.url for _, location, _ in wanted], begins, stops, on_error="return")
        for (number, location, found), (begin, stop), data in zip(wanted, spans, got, strict=True):
            path = paths[number]
            if isinstance(data, BaseException):
                yield number, self._sorted(data, path, location)
                continue
            try:
                yield number, (self._checked(data, path, location, begin, stop, found), None)
            except ChunkError as error:
                yield number, error

    def look(self, path: str) -> tuple[int, str | None]:
        """See ``Backend``."""
        found = self._entry(path)
        if isinstance(found, bytes):
            return len(found), None
        location = self._located(path, found)
        if found.size is not None:
            return found.size, None
        if location.is_local:
            return _size(location.path, f"{self._references.name}, {path}"), None
        try:
            size = self._file_systems.of(location).info(location.url).get("size")
        except Exception as error:
            raise self._sorted(error, path, location) from error
        return (len(self.get(path, None, None)[0]) if size is None else int(size)), None

    def list(self, path: str) -> tuple[list[str], list[str]]:
        """See ``Backend``. Objects with the name of a chunk are left out."""
        if self._objects is None:
            self._objects = {}
            for key in self._references.keys():  # noqa: SIM118 - it is not a mapping
                folder, _, name = key.rpartition("/")
                self._folders.add(folder)
                if not is_chunk(key):
                    self._objects.setdefault(folder, []).append(name)
        here = path.strip("/")
        prefix = f"{here}/" if here else ""
        folders = {rest.partition("/")[0] for f in self._folders if f.startswith(prefix) and (rest := f[len(prefix) :])}
        objects = self._objects.get(here, [])
        if not folders and not objects:
            raise FileNotFoundError(path)
        return sorted(folders), sorted(objects)

    # -- writing, which is refused ----------------------------------------------------------------

    def _read_only(self) -> NoReturn:
        raise AbilityError(
            "a reference set is read-only",
            where=self._references.name,
            expected="a folder, an object service, or memory",
            hint="Use another target. As a slice, it is accepted unchanged.",
        )

    def put(self, path: str, data: bytes) -> str | None:  # noqa: ARG002 - nothing can be written
        """See ``Backend``."""
        self._read_only()

    def put_new(self, path: str, data: bytes) -> str | None:  # noqa: ARG002 - the same
        """See ``Backend``."""
        self._read_only()

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:  # noqa: ARG002 - the same
        """See ``Backend``."""
        self._read_only()

    def delete(self, path: str) -> None:  # noqa: ARG002 - the same
        """See ``Backend``."""
        self._read_only()


def _span(found: Reference, start: int | None, end: int | None) -> tuple[int | None, int | None]:
    """Return the byte range of an object's part in its file; None for the file's start or end."""
    if found.size is None:
        return start, end
    stop = found.size if end is None else min(end, found.size)
    begin = min(start or 0, stop)
    return found.offset + begin, found.offset + stop


def _gone(place: str, file: str) -> StoreError:
    return StoreError(
        "the file that a reference names does not exist",
        where=place,
        expected=file,
        found="none",
        hint="Restore the file, or create the references again.",
    )


def _cut(place: str, file: str, expected: int, found: int) -> ChunkError:
    short = found < expected
    return ChunkError(
        "a reference reaches beyond the end of its file"
        if short
        else "the service sent more bytes than the reference names",
        where=place,
        expected=f"{expected} bytes of {file}",
        found=f"{found}",
        hint="The file is truncated or has changed. Create the references again."
        if short
        else "The service may not support range requests. Copy the file to storage that does.",
    )


def _opened(path: str, place: str) -> tuple[int, int]:
    """Open a local file whose links are resolved; return its descriptor and its length in bytes."""
    try:
        descriptor = os.open(path, _OPEN)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise _gone(place, path) from None
        raise failure(error, "cannot read", path) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise UnsupportedError("a reference leads to something that is not a file", where=place, found=path)
    return descriptor, found.st_size


def _size(path: str, place: str) -> int:
    descriptor, size = _opened(path, place)
    os.close(descriptor)
    return size


def _local(path: str, begin: int | None, stop: int | None, place: str) -> bytes:
    descriptor, size = _opened(path, place)
    try:
        if stop is not None and begin is not None and stop > size and stop > begin:
            raise _cut(place, path, stop - begin, max(0, size - begin))
        begin = begin or 0
        return read_rest(descriptor, max(0, (size if stop is None else min(stop, size)) - begin), begin)
    except OSError as error:
        raise failure(error, "cannot read", path) from error
    finally:
        os.close(descriptor)
