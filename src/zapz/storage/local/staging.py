"""Replace files of a local target, atomically and durably, and keep their rights.

The rights of the old file (``storage.local.rights``) are copied before the decision, and checked
again when the new file is put in place. So at any moment, even if the process dies, a reader that
opens the path finds new content only with rights that are no wider than the old ones.
"""

from __future__ import annotations

import abc
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from zapz.errors import StoreError
from zapz.format.buffers import Buffer
from zapz.format.metadata import join, name, parent
from zapz.storage.layout import WAY, aside_of
from zapz.storage.local import rights
from zapz.storage.local.durability import Syncer
from zapz.storage.local.files import LocalFiles
from zapz.storage.local.posix import NO_LINK, failure, link, same_content, second_name
from zapz.storage.local.rights import PRIVATE, Rights
from zapz.storage.store import Parts

if TYPE_CHECKING:
    from zapz.storage.local.turn import Turn

_READABLE = 0o044


class Replacing(LocalFiles, abc.ABC):
    """The part of a local store that replaces files."""

    _syncer: Syncer
    _turn: Turn | None
    _linking: set[str]
    _heirs: dict[str, Rights | None]

    @abc.abstractmethod
    def _passage(self, key: str) -> Turn | None: ...

    @abc.abstractmethod
    def _folder_of(self, key: str) -> None: ...

    @abc.abstractmethod
    def create(self, key: str, parts: Parts, mode: int = 0o666) -> int | None:
        """See ``Store``."""

    @abc.abstractmethod
    def remove(self, key: str) -> None:
        """See ``Store``."""

    # -- putting in place -------------------------------------------------------------------------

    def write(self, key: str, parts: Parts, like: str | None = None) -> None:
        """See ``Store``. The rights are those of the old file, or of ``like``."""
        temporary = self._temporary(key, parts, like)
        self._syncer.files([temporary])
        self._rename(temporary, key)

    def publish(self, staged: str, key: str) -> bool:
        """Create ``key`` with the content of ``staged`` (synced); return False if it exists.

        The creation is atomic and durable. A link is the only way that is both exclusive and
        complete.

        Raises:
            StoreError: It failed.
        """
        path = self._at(key)
        try:
            if (turn := self._turn) is None:
                link(self._at(staged), path)
            elif not self._publish_through(turn, staged, key):
                return False
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINK:
                raise failure(error, "cannot create", path) from error
            if self._lstat(key) is not None:  # without links, the held lock makes it exclusive
                return False
            temporary = self._temporary(key, [self.read(staged)])
            self._syncer.files([temporary])
            self._rename(temporary, key)
        self._syncer.folders([key])
        return True

    def _publish_through(self, turn: Turn, staged: str, key: str) -> bool:
        """Publish a copy through ``way``.

        While another process takes over this turn, this one may find nothing to recover. It must
        not decide any more, and without ``way`` it cannot.
        """
        aside = join(WAY, turn.name())
        self._copy_aside(staged, aside, key)
        try:
            return turn.put(self._at(aside), self._at(key))
        finally:
            self.remove(aside)

    def _rename(self, temporary: str, key: str) -> None:
        try:
            self._replace(temporary, key)
        except OSError as error:
            self.remove(temporary)
            raise failure(error, "cannot write", self._at(key)) from error

    def _replace(self, aside: str, key: str) -> None:
        if (turn := self._passage(key)) is not None:
            turn.replace(self._at(aside), self._at(key))
        else:
            os.replace(self._at(aside), self._at(key))

    def _aside(self, staged: str, key: str) -> str:
        """Return the temporary key of a staged file: beside its destination, or in the turn."""
        aside = aside_of(staged, key)
        return aside if self._passage(key) is None else join(WAY, name(aside))

    def _temporary(self, key: str, parts: Parts, like: str | None = None) -> str:
        temporary = f".{name(key)}.{os.urandom(6).hex()}"
        temporary = join(parent(key) if self._passage(key) is None else WAY, temporary)
        if self._passage(key) is not None:
            self._folder_of(key)
        old = rights.rights_of(self._at(like or key))
        try:
            if self.create(temporary, parts, PRIVATE if old else 0o666) is None:
                raise StoreError("cannot write", where=self._at(key), found="the temporary file exists")
            if old:
                rights.give(self._at(temporary), old)
        except StoreError:
            self.remove(temporary)
            raise
        return temporary

    def reserve(self, staged: str, key: str) -> bool:
        """Make sure that ``install`` will have the space that it needs.

        If the file cannot be linked into the destination's folder, a copy is written there now.

        Returns:
            Whether no file of this folder needs space, because links are possible.
        """
        self._folder_of(key)
        folder = parent(key)
        if folder in self._linking:
            return True
        if (turn := self._passage(key)) is not None:
            turn.require_same_disk(os.path.dirname(self._at(key)))
        aside = self._aside(staged, key)
        if second_name(self._at(staged), self._at(aside)):
            self.remove(aside)
            self._linking.add(folder)
            return True
        self._copy_aside(staged, aside, key)
        return False

    def install(self, staged: str, key: str) -> None:
        """Replace ``key`` by the content of ``staged``, atomically; ``staged`` stays.

        It can be repeated.

        Raises:
            StoreError: It failed.
        """
        self._folder_of(key)
        aside = self._aside(staged, key)
        linked = second_name(self._at(staged), self._at(aside))
        if not linked and not same_content(self._at(staged), self._at(aside)):
            self._copy_aside(staged, aside, key)
        # Again: the rights may have changed since, and an interrupted copy may not have got them.
        wanted = self._rights_of(key) or (None if linked else rights.rights_of(self._at(staged)))
        if wanted is not None and (found := rights.rights_of(self._at(aside))) is not None and found != wanted:
            if linked and not rights.is_ours(found) and not found.within(wanted):
                self._copy_aside(staged, aside, key)
            elif rights.give(self._at(aside), wanted):
                self._syncer.files([aside])
        try:
            self._replace(aside, key)
        except OSError as error:
            raise failure(error, "cannot replace", self._at(key)) from error
        # Renaming a file over another of its own names does nothing (POSIX):
        # then the name aside is still there.
        self.remove(aside)

    def _copy_aside(self, staged: str, aside: str, key: str) -> None:
        self.remove(aside)
        self.create(aside, [self.read(staged)], PRIVATE)
        if wanted := self._rights_of(key) or rights.rights_of(self._at(staged)):
            rights.give(self._at(aside), wanted)
        self._syncer.files([aside])

    # -- rights -----------------------------------------------------------------------------------

    def _rights_of(self, key: str) -> Rights | None:
        """Return the rights of the file to replace at ``key``; None if there is none, or a link."""
        return rights.rights_of(self._at(key))

    def _models(self, keys: Iterable[str]) -> list[Rights]:
        """Return the rights of those keys that exist, links followed."""
        paths = [self._at(key) for key in keys]
        found = (rights.rights_of(path) or rights.rights_of(os.path.realpath(path)) for path in paths)
        return [each for each in found if each is not None]

    def take_over(self, staged: str, key: str, models: Iterable[str], born: dict[str, Rights]) -> None:
        """Give a staged file the rights of the file that it will replace.

        If there is none, it gets the rights of a new file there, but no more than its models have.

        Args:
            staged: Key of the staged file.
            key: Key of its destination.
            models: Keys whose rights limit those of a new file.
            born: Rights of new files by folder, as far as they are known; missing ones are added.
        """
        self._folder_of(key)
        wanted = self._rights_of(key)
        if wanted is None:
            if (folder := parent(key)) not in born:
                turn = self._passage(key)
                trial = self._at(aside_of(staged, key))
                born[folder] = rights.born(trial) if turn is None else turn.born(self._at(folder))
            wanted = born[folder]
            if (found := self._models(models)) and not wanted.within(most := rights.least(found)):
                wanted = most
        rights.give(self._at(staged), wanted)

    def _inherit(self, turn: Turn, aside: str, folder: str) -> None:
        """Give a file created elsewhere the group and the list that a folder passes on."""
        if folder not in self._heirs:
            self._heirs[folder] = turn.born(self._at(folder)) if rights.heritage(self._at(folder)) else None
        if (wanted := self._heirs[folder]) is not None:
            rights.give(self._at(aside), wanted)

    def record(self, key: str, parts: Parts, models: Iterable[str]) -> int | None:
        """Create a file of zapz that only readers of all models may read: it describes them.

        Returns:
            Its length in bytes; None if it exists.
        """
        found = self._models(models)
        if not found:
            return self.create(key, parts)
        most = rights.least(found)
        mode = most.without_list().in_another_group(most.group).mode & 0o666
        if mode & _READABLE == _READABLE:
            return self.create(key, parts, mode)

        def narrowed() -> Iterator[Buffer]:
            rights.give(self._at(key), most)  # before it has any content
            yield from parts

        return self.create(key, narrowed(), PRIVATE)

    def enclose(self, key: str, models: Iterable[str]) -> None:
        """Create a folder of zapz that only users with access to all models may enter."""
        self._folder_of(f"{key}/")
        self._narrow(key, models)

    def _narrow(self, key: str, models: Iterable[str]) -> None:
        """Remove a folder's rights that not all models grant; its owner can still write there."""
        here, found = rights.rights_of(self._at(key)), self._models(models)
        if here and found and not here.within(most := rights.least(found)):
            rights.give(self._at(key), replace(most, mode=most.mode | stat.S_IRWXU))
