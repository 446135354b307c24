"""What the search through a model of turns has found, in the real code (``test_lock_model``): moments within the taking over of a turn."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zapz.errors import ConflictError, JournalError, NotFoundError
from zapz.storage.local import succession, turn_folders
from zapz.storage.local.store import LocalStore
from zapz.storage.local.turn import Turn

FILES = ("commit", "decision", "journal", "000001")


def over(head: Path, number: int, token: str, *files: str) -> Path:
    """Make what a turn leaves that is over, with a transaction of its own name."""
    folder = head / f"ended-{number}-{token}"
    (folder / "way").mkdir(parents=True)
    (folder / "txn" / token).mkdir(parents=True)
    (folder / "owner").touch()
    for name in files:
        (folder / "txn" / token / name).write_text(f"{token} {name}")
    return folder


def begun(head: Path, token: str = "mine") -> Turn:
    """Begin a turn."""
    for folder in turn_folders.folders_of(str(head), token):
        os.makedirs(folder, exist_ok=True)
    (head / f"wait-{token}" / token / "owner").touch()
    os.rename(head / f"wait-{token}", head / "turn")
    return Turn(str(head), token, str(head.parent), durable=False)


def files_below(head: Path) -> dict[str, list[str]]:
    """Return where each file of a transaction lies, by its content."""
    found: dict[str, list[str]] = {}
    for path in sorted(head.rglob("*")):
        if path.is_file() and path.parent.parent.name == "txn":
            found.setdefault(path.read_text(), []).append(path.relative_to(head).parts[0])
    return found


def test_everything_is_taken_over(tmp_path: Path) -> None:
    over(tmp_path, 1, "a", *FILES)
    over(tmp_path, 2, "b", *FILES)
    mine = begun(tmp_path)
    mine.inherit(str(tmp_path / "others"))
    assert files_below(tmp_path) == {f"{token} {name}": ["turn"] for token in "ab" for name in FILES}
    assert [path.name for path in tmp_path.iterdir()] == ["turn"]


@pytest.mark.parametrize("step", range(1, 2 * len(FILES) + 3))
@pytest.mark.parametrize("links", [True, False])
def test_a_turn_that_ends_while_it_takes_over(
    step: int, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before whichever operation that is: no file is lost, and the next one has them all."""
    over(tmp_path, 1, "a", *FILES)
    mine = begun(tmp_path)
    count = 0

    def counted(honest: Callable[..., Any], *, refused: bool = False) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                monkeypatch.undo()
                turn_folders.end(str(tmp_path), "mine")
            if refused:
                raise PermissionError(1, "Operation not permitted")
            return honest(*args, **options)

        return run

    for name in ("link", "unlink", "mkdir", "rename"):
        monkeypatch.setattr(os, name, counted(getattr(os, name), refused=name == "link" and not links))
    with contextlib.suppress(ConflictError):
        mine.inherit(str(tmp_path / "others"))
    assert mine.is_lost()
    assert set(files_below(tmp_path)) == {f"a {name}" for name in FILES}
    begun(tmp_path, "next").inherit(str(tmp_path / "others"))
    assert files_below(tmp_path) == {f"a {name}": ["turn"] for name in FILES}


def test_the_last_one_is_taken_over_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until its folder is gone, its owner may be at what it has taken over from those before it."""
    for number in range(1, 12):
        over(tmp_path, number, f"t{number}", "journal")
    order: list[str] = []
    honest = succession.removed

    def removed(folder: str) -> bool:
        order.append(os.path.basename(folder).split("-")[1])
        return honest(folder)

    monkeypatch.setattr(succession, "removed", removed)
    begun(tmp_path).inherit(str(tmp_path / "others"))
    assert order == [str(number) for number in range(11, 0, -1)]


def test_nothing_is_taken_before_the_way_out_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the former owner might miss what is taken, and still be able to undo what is decided."""
    folder = over(tmp_path, 1, "a", *FILES)
    (folder / "way" / "1").write_text("on its way")
    honest, open_ = os.link, []

    def link(*args: Any, **options: Any) -> None:
        open_.append((folder / "way").exists())
        honest(*args, **options)

    monkeypatch.setattr(os, "link", link)
    begun(tmp_path).inherit(str(tmp_path / "others"))
    assert open_ == [False] * len(FILES)


def test_turns_are_numbered_as_they_end(tmp_path: Path) -> None:
    over(tmp_path, 9, "a")
    begun(tmp_path, "b")
    turn_folders.end(str(tmp_path), "b")
    assert [p.name.split("-")[1] for p in tmp_path.glob("ended-*-b")] == ["10"]
    turn_folders.end(str(tmp_path), "b")  # it has ended already
    assert len(list(tmp_path.glob("ended-*"))) == 2


def test_a_chunk_that_is_there_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of NFS may remember the owner's file for a while after the turn has ended: that a rename finds nothing means nothing then."""
    mine = begun(tmp_path)
    chunk = tmp_path / "chunk"
    chunk.touch()
    turn_folders.end(str(tmp_path), "mine")
    monkeypatch.setattr(mine, "is_lost", lambda: False)
    with pytest.raises(ConflictError):
        mine.remove(str(chunk))
    assert chunk.exists()
    mine.remove(str(tmp_path / "none"))


def test_what_is_not_ours_is_not_removed(tmp_path: Path) -> None:
    (over(tmp_path, 1, "a", *FILES) / "thesis.txt").write_text("mine")
    with pytest.raises(JournalError, match=r"thesis\.txt"):
        begun(tmp_path).inherit(str(tmp_path / "others"))
    assert (tmp_path / "ended-1-a" / "thesis.txt").read_text() == "mine"


def test_a_transaction_that_goes_meanwhile_is_not_foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A former owner that goes on may remove it between the look into the folder and the look at it."""
    over(tmp_path, 1, "a")
    mine = begun(tmp_path)
    honest = succession.names_in

    def names_in(folder: str) -> list[str]:
        found = honest(folder)
        if folder.endswith("-a/txn") and found:
            os.rmdir(os.path.join(folder, "a"))
        return found

    monkeypatch.setattr(succession, "names_in", names_in)
    mine.inherit(str(tmp_path / "others"))
    assert [path.name for path in tmp_path.iterdir()] == ["turn"]


def test_another_file_of_that_name_is_no_second_name(tmp_path: Path) -> None:
    over(tmp_path, 1, "a", "journal")
    mine = begun(tmp_path)
    other = Path(mine.transactions) / "a" / "journal"
    other.parent.mkdir()
    other.write_text("another")
    with pytest.raises(OSError, match="exists"):
        mine.inherit(str(tmp_path / "others"))
    assert (tmp_path / "ended-1-a/txn/a/journal").read_text() == "a journal"


def at_turn(mine: Turn, root: Path) -> LocalStore:
    """Return a store whose lock is held by turn."""
    store = LocalStore(root, durable=False)
    store._turn = mine
    return store


def test_nothing_is_decided_or_removed_once_the_way_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the next owner is taking over what this one still finds, as a client of NFS does that remembers the folders."""
    (tmp_path / ".zapz").mkdir()
    mine = begun(tmp_path / ".zapz" / "head")
    store = at_turn(mine, tmp_path)
    monkeypatch.setattr(mine, "is_lost", lambda: False)
    for name in ("journal", "commit"):
        store.create(f".zapz/txn/x/{name}", [b"a"])
    turn_folders.closed(mine.folder)
    for change in (
        lambda: store.publish(".zapz/txn/x/commit", ".zapz/txn/x/decision"),
        lambda: store.remove(".zapz/txn/x/journal"),
    ):
        with pytest.raises((NotFoundError, ConflictError)):
            change()
    assert sorted(os.listdir(Path(mine.transactions, "x"))) == ["commit", "journal"]


@pytest.mark.parametrize("links", [True, False])
def test_what_is_decided_is_decided_once(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".zapz").mkdir()
    store = at_turn(begun(tmp_path / ".zapz" / "head"), tmp_path)

    def refuse(*_args: Any, **_options: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    for name in ("commit", "abort"):
        store.create(f".zapz/txn/x/{name}", [name.encode()])
    assert store.publish(".zapz/txn/x/commit", ".zapz/txn/x/decision")
    assert not store.publish(".zapz/txn/x/abort", ".zapz/txn/x/decision")
    assert store.read(".zapz/txn/x/decision") == b"commit"
    assert store.children(".zapz/way").files == ()


def test_whether_the_turn_is_over_is_asked_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever only looks at the name is answered from memory by a client of NFS, up to a minute long."""
    mine = begun(tmp_path)
    remembered = os.stat(mine.owner)
    assert not mine.is_lost()
    turn_folders.end(str(tmp_path), "mine")
    monkeypatch.setattr(os, "stat", lambda *_args, **_options: remembered)
    monkeypatch.setattr(os, "lstat", lambda *_args, **_options: remembered)
    assert mine.is_lost()


def test_what_a_trial_leaves_is_removed(tmp_path: Path) -> None:
    """A process that dies while it tries what a folder gives to new files leaves a folder with a file."""
    folder = over(tmp_path, 1, "a", *FILES)
    (folder / "way" / "1").mkdir()
    (folder / "way" / "1" / "2").touch()
    begun(tmp_path).inherit(str(tmp_path / "others"))
    assert os.listdir(tmp_path) == ["turn"]
