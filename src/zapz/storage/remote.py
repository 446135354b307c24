"""Every store that fsspec knows: object stores, HTTP, archives, memory.

Reading works everywhere. Writing needs exclusive creation, which fsspec offers on the backends named in ``_EXCLUSIVE``; the lock is an
object created exclusively. What a power failure leaves is the service's business: an acknowledged object is durable.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from zapz.errors import AbilityError, LockedError, MetadataError, NotFoundError, StoreError
from zapz.storage.flock import alone, describe_me, holder_of, is_dead
from zapz.storage.store import Abilities, Children, Holder, Parts, joined

_EXCLUSIVE = frozenset(("memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"))
_UNLISTABLE = frozenset(("http", "https"))
_POLL = 0.2
_memory_guard = threading.Lock()


class RemoteStore:
    """A folder of any fsspec file system."""

    def __init__(self, uri: str, options: Mapping[str, Any] | None = None) -> None:
        import fsspec  # imported where used: local appends do without it

        try:
            self._fs, self._root = fsspec.core.url_to_fs(uri, **{"use_listings_cache": False, **(options or {})})
        except ImportError as error:
            raise AbilityError(
                "support for this kind of storage is not installed",
                where=uri,
                found=str(error),
                hint="Install the extra: zapz[s3], zapz[gcs], zapz[azure] or zapz[http].",
            ) from error
        except Exception as error:  # every backend has errors of its own
            kind = MetadataError if type(error).__name__ == "BadZipFile" else StoreError
            raise kind("cannot open storage", where=_public(uri), found=f"{type(error).__name__}: {error}") from error
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        self._root = self._root.rstrip("/")
        self._memory = "memory" in protocols
        self._archive = "zip" in protocols  # where a missing member is a KeyError
        self.uri = _public(uri)
        exclusive = bool(protocols & _EXCLUSIVE)
        self.abilities = Abilities(
            writable=exclusive, exclusive=exclusive, durable=False, listable=not protocols & _UNLISTABLE
        )

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``Store``."""
        path = self._path(key)
        end = None if length is None else offset + length
        data: bytes = self._call("cannot read", key, lambda: self._fs.cat_file(path, start=offset or None, end=end))
        return data

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``Store``. All requests are under way at once where the backend can."""
        wanted = list(keys)
        found: dict[str, bytes] = {}
        if not wanted:
            return found
        if not getattr(self._fs, "async_impl", False):
            for key in wanted:
                with contextlib.suppress(NotFoundError):
                    found[key] = self.read(key)
            return found
        paths = [self._path(key) for key in wanted]
        whole = [None] * len(paths)
        answers = self._call("cannot read", "", lambda: self._fs.cat_ranges(paths, whole, whole, on_error="return"))
        for key, answer in zip(wanted, answers, strict=True):
            if not isinstance(answer, BaseException):
                found[key] = answer
            elif not isinstance(answer, FileNotFoundError):
                raise self._failure(answer, "cannot read", key)
        return found

    def stray(self, key: str) -> str | None:  # noqa: ARG002 - there are no links
        """See ``Store``."""
        return None

    def size(self, key: str) -> int | None:
        """See ``Store``."""
        try:
            info = self._call("cannot look at", key, lambda: self._fs.info(self._path(key)))
        except NotFoundError:
            return None
        return None if info.get("type") == "directory" else int(info["size"])

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """See ``Store``."""
        return (key for key in keys if self.size(key) is not None)

    def children(self, key: str) -> Children:
        """See ``Store``."""
        entries = self._call("cannot list", key, lambda: self._fs.ls(self._path(key), detail=True))
        names = [(e["name"].rstrip("/").rpartition("/")[2], e["type"]) for e in entries]
        return Children(
            folders=tuple(sorted(n for n, t in names if t == "directory")),
            files=tuple(sorted(n for n, t in names if t != "directory" and n)),
        )

    def make_root(self) -> bool:
        """See ``Store``. Object stores have no folders."""
        return False

    def folder_exists(self, key: str) -> bool:
        """See ``Store``."""
        return bool(self._memory and self._fs.isdir(self._path(key)))

    def create(self, key: str, parts: Parts) -> int | None:
        """See ``Store``."""
        self._require_writable()
        data = joined(parts)
        guard = _memory_guard if self._memory else contextlib.nullcontext()
        try:
            with guard:  # fsspec's memory file system tests, then creates
                self._fs.pipe_file(self._path(key), data, mode="create")
        except FileExistsError:
            return None
        except Exception as error:  # every backend has errors of its own
            if _is_precondition(error):
                return None
            raise self._failure(error, "cannot create", key) from error
        return len(data)

    def write(self, key: str, parts: Parts) -> None:
        """See ``Store``."""
        self._require_writable()
        data = joined(parts)
        self._call("cannot write", key, lambda: self._fs.pipe_file(self._path(key), data))

    def publish(self, staged: str, key: str) -> bool:
        """See ``Store``."""
        return self.create(key, [self.read(staged)]) is not None

    def reserve(self, staged: str, key: str) -> bool:  # noqa: ARG002 - nothing can be reserved on an object store
        """See ``Store``."""
        return True

    def linked(self, key: str) -> bool:  # noqa: ARG002 - there are no links
        """See ``Store``."""
        return False

    def require_parent(self) -> None:
        """See ``Store``. Object stores have no folders."""

    def install(self, staged: str, key: str) -> None:
        """See ``Store``."""
        self.write(key, [self.read(staged)])

    def remove(self, key: str) -> None:
        """See ``Store``."""
        with contextlib.suppress(NotFoundError):
            self._call("cannot remove", key, lambda: self._fs.rm_file(self._path(key)))

    def remove_folder(self, key: str) -> None:
        """See ``Store``. Object stores have none; the memory file system does."""
        if self._memory:
            with contextlib.suppress(OSError, KeyError):
                self._fs.rmdir(self._path(key))

    def sync(self, keys: Iterable[str], naming: Iterable[str] = ()) -> None:
        """See ``Store``."""

    def sync_folders(self, keys: Iterable[str]) -> None:
        """See ``Store``."""

    @contextlib.contextmanager
    def hold(self, key: str, wait: float) -> Iterator[None]:
        """See ``Store``: an object created exclusively."""
        self._require_writable()
        mine = json.dumps({**describe_me(), "token": uuid.uuid4().hex}).encode()
        deadline = time.monotonic() + wait
        while self.create(key, [mine]) is None:
            if self._break_dead(key):
                continue
            if time.monotonic() >= deadline:
                holder = self.holder(key)
                who = f"process {holder.process} on {holder.host} since {holder.since}" if holder else "another process"
                raise LockedError(
                    "the target is locked",
                    where=self.uri,
                    found=f"held by {who}",
                    hint=f"Wait for it, or give --lock-wait SECONDS; if that machine is gone for good, remove {key}.",
                )
            time.sleep(_POLL)
        try:
            yield
        finally:
            with contextlib.suppress(StoreError):  # what was appended stays appended
                if self.read(key) == mine:
                    self.remove(key)
            self.remove_folder(key.rpartition("/")[0])

    def _break_dead(self, key: str) -> bool:
        """Remove the lock of a process of this machine that is dead; of others it cannot be known."""
        with contextlib.suppress(NotFoundError):
            content = self.read(key)
            if is_dead(holder_of(content)):
                with alone(f"{self.uri}/{key}"):
                    if self.read(key) == content:
                        self.remove(key)
                return True
        return False

    def holder(self, key: str) -> Holder | None:
        """See ``Store``."""
        try:
            return holder_of(self.read(key))
        except NotFoundError:
            return None

    def _require_writable(self) -> None:
        if not self.abilities.exclusive:
            raise AbilityError(
                "this storage cannot create an object only if it is absent, so an append on it would not be safe",
                where=self.uri,
                hint="Append to a local copy, or to s3://, gs:// or az://.",
            )

    def _call(self, what: str, key: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # every backend has errors of its own
            raise self._failure(error, what, key) from error

    def _failure(self, error: BaseException, what: str, key: str) -> StoreError:
        if isinstance(error, StoreError):
            return error
        absent = isinstance(error, FileNotFoundError) or (self._archive and isinstance(error, KeyError))
        kind = NotFoundError if absent else StoreError
        return kind(what, where=f"{self.uri.rstrip('/')}/{key}", found=f"{type(error).__name__}: {error}"[:300])


def _is_precondition(error: BaseException | None) -> bool:
    """Whether an error means "it exists": HTTP 409 or 412 somewhere in its causes."""
    while error is not None:
        response = getattr(error, "response", None)
        status = (
            response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(response, dict)
            else getattr(error, "status", getattr(error, "status_code", None))
        )
        if status in {409, 412} or type(error).__name__ in {"ResourceExistsError", "ResourceModifiedError"}:
            return True
        error = error.__cause__ or error.__context__
    return False


def _public(uri: str) -> str:
    """The URI without user names and passwords."""
    scheme, mark, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}" if mark else uri
