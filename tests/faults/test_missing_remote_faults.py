"""Precautions on object services that no other test would miss: each test fails if one of them, named in ``mutations``, is taken away.

Leases, tags, takeovers, the order of requests, what is remembered of aborted runs, what may be vacuumed, and what is asked of a service
before it is relied on. Everything runs on the double in ``objects``, whose clock moves only when told.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.objects import CHUNKS, World, read_line, write_line

import zapz
from zapz.errors import AbilityError, ConflictError, LockedError, StoreError
from zapz.storage import holder
from zapz.storage.layout import LOCK, decision_key
from zapz.storage.objects import lock as object_lock
from zapz.storage.objects.capabilities import probed
from zapz.storage.objects.errors import meaning
from zapz.storage.waiting import Wait
from zapz.testing import AnswerError, Died, ObjectService, Request
from zapz.txn import journal
from zapz.txn import session as sessions
from zapz.txn.objects import head as heads
from zapz.txn.objects import lease, settling, vacuum, watching
from zapz.txn.vacuumed import Vacuumed

SETTINGS: dict[str, Any] = {"workers": 1, "label_chunk": "keep"}
BEGINNING, ROWS, MORE = tuple(range(5)), tuple(range(5, 11)), (20, 21)


class Cloud:
    """A target of five steps in chunks of four on an object service, and slices that may follow."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.world = World(patch)
        self.service = self.world.service
        self.clock = self.world.clock
        self.store = self.world.store()
        self.slices = {rows: write_line(folder / f"{rows[0]}.zarr", rows) for rows in (BEGINNING, ROWS, MORE)}
        zapz.append(self.store, self.slices[BEGINNING], **SETTINGS)
        self.service.log.clear()
        patch.setattr(settling, "_POLL", 1.0)

    def append(self, rows: tuple[int, ...] = ROWS, **settings: Any) -> None:
        """Append some rows, as somebody who has not been here before."""
        zapz.append(self.world.store(), self.slices[rows], **(SETTINGS | settings))

    def values(self) -> tuple[int, ...] | None:
        """Return what a reader sees."""
        return read_line(self.service.objects)

    def head(self) -> heads.Head:
        """Return the head."""
        return settling.read_head(self.store)[0]

    def changes(self) -> list[str]:
        """Return what was asked to be changed."""
        return [r.path.removeprefix("bucket/cube/") for r in self.service.log if r.changes]

    @contextlib.contextmanager
    def at(self, end: str, act: Callable[[], Any], *, kind: str = "put", after: bool = False) -> Iterator[None]:
        """Do something when a request for an object whose name ends so is made, or answered, for the first time."""
        done: list[bool] = []

        def hook(request: Request) -> None:
            if not done and request.kind.startswith(kind) and request.path.endswith(end):
                done.append(True)
                act()

        where = "after" if after else "before"
        setattr(self.service, where, hook)
        yield
        setattr(self.service, where, lambda request: None)
        assert done, f"no {kind} of {end}"

    def crash(self, end: str, *, after: bool = False) -> None:
        """Let an append die before, or after, a request; its machine is not ours."""

        def die() -> None:
            def dead(request: Request) -> None:
                raise Died

            self.service.before = dead
            raise Died

        with pytest.raises(Died), self.at(end, die, after=after):
            self.append()
        self.service.before = lambda request: None
        self.service.after = lambda request: None
        self.service.log.clear()

    def fails(self, status: int) -> Callable[[], None]:
        """Return what answers so."""

        def answer() -> None:
            raise AnswerError(status)

        return answer

    def later(self, seconds: float) -> Callable[[], None]:
        """Return what lets time pass."""
        return lambda: self.clock.sleep(seconds)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, monkeypatch)


def test_order_of_requests(cloud: Cloud) -> None:
    """Head, chunks, decision, documents of arrays, the root's, consolidated ones last, head, and only then the clean-up."""
    cloud.append()
    found = [
        path.replace(path.split("/")[2], "T") if path.startswith(".zapz/txn") else path for path in cloud.changes()
    ]
    documents = ["x/.zarray", ".zmetadata"]
    assert [p for p in found if p not in {"x/.zattrs", ".zattrs", ".zgroup"}] == [
        ".zapz/head", "x/1", "x/2", ".zapz/txn/T/decision", *documents, ".zapz/head", ".zapz/txn/T/decision",
    ]  # fmt: skip
    assert cloud.values() == BEGINNING + ROWS


@pytest.mark.parametrize("lost", range(7))
def test_any_answer_is_lost(cloud: Cloud, lost: int) -> None:
    """What was to be written is there when it is looked for: that is no conflict."""
    count = [0]

    def answer(request: Request) -> None:
        if request.changes:
            count[0] += 1
            if count[0] == lost + 1:
                raise AnswerError(503)

    cloud.service.after = answer
    cloud.append()
    assert cloud.values() == BEGINNING + ROWS
    assert count[0] > lost


def test_decision_whose_answer_is_lost(cloud: Cloud) -> None:
    """The answer to the decision never comes, or comes too late: it is read, and acted on."""

    def refuse(request: Request) -> None:
        if request.path.endswith("/decision") and request.kind == "put_new":
            raise AnswerError(403)

    cloud.service.after = refuse
    with cloud.at("/decision", lambda: setattr(cloud.service, "before", lambda request: None)):
        cloud.append()
    assert cloud.values() == BEGINNING + ROWS


@pytest.mark.parametrize("seconds", [31.0, 29.0])
@pytest.mark.parametrize(("end", "sent"), [("x/1", ["x/1"]), ("x/2", ["x/1", "x/2"])])
def test_lease_ends_before_a_request(cloud: Cloud, end: str, sent: list[str], seconds: float) -> None:
    """After half a lease without a sign of life nothing more is sent, the decision included."""
    with cloud.at(end, cloud.later(seconds), after=True):
        if seconds < lease.LEASE / 2:
            cloud.append()
            return
        with pytest.raises(ConflictError, match="may have lost its lease"):
            cloud.append()
    assert [path for path in cloud.changes() if path.startswith("x/")] == sent
    assert cloud.values() == BEGINNING


@pytest.mark.parametrize("how", ["slow", "taken over"])
def test_lease_ends_before_a_stale_chunk_is_replaced(cloud: Cloud, how: str) -> None:
    """The tag of what lies there is read, and whose turn it is after that."""
    cloud.service.overwrite("bucket/cube/x/2", b"stale")
    steal = lambda: cloud.service.overwrite("bucket/cube/.zapz/head", heads.encode(heads.Head(epoch=99)))  # noqa: E731
    act = steal if how == "taken over" else cloud.later(31.0)
    with cloud.at("x/2", act, kind="look"), pytest.raises(ConflictError):
        cloud.append()
    assert cloud.service.objects["bucket/cube/x/2"] == b"stale"


@pytest.mark.parametrize("how", ["slow", "lost"])
def test_renewals(cloud: Cloud, how: str) -> None:
    """A renewal counts from when it was sent; one that is refused ends the lease."""
    cloud.crash("x/1")
    head, tag = settling.read_head(cloud.store)
    held = lease.Lease(cloud.store, head, tag if how == "slow" else "no tag", cloud.clock.now)  # type: ignore[arg-type]
    with cloud.at("head", cloud.later(31.0 if how == "slow" else 0.0)):
        assert held.move(lambda head: head.renew(1.0)) == (how == "slow")
    with pytest.raises(ConflictError):
        held.check()


@pytest.mark.parametrize("moment", ["x/1", "decision"])
def test_living_owner_is_left_alone(cloud: Cloud, moment: str) -> None:
    """Until a whole lease has passed without a sign of life."""
    cloud.crash(moment)
    before = cloud.service.snapshot()
    cloud.clock.sleep(10)
    with pytest.raises(LockedError):
        cloud.append(MORE)
    with pytest.raises(LockedError):
        cloud.append(MORE, lock_wait=lease.LEASE - 2)
    assert cloud.service.objects == before


def test_owner_that_renews_is_left_alone(cloud: Cloud) -> None:
    """However long one waits."""
    cloud.crash("x/1")

    def renew(_: float) -> None:
        head = cloud.head().renew(cloud.clock.time())
        cloud.service.overwrite("bucket/cube/.zapz/head", heads.encode(head))

    cloud.clock.slept = renew
    with pytest.raises(LockedError):
        cloud.append(MORE, lock_wait=3 * lease.LEASE)
    assert cloud.head().intent is not None


@pytest.mark.parametrize("dead", [False, True])
def test_takeover(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, dead: bool) -> None:
    """After a lease, and another one before the same keys are written, unless the owner is certainly dead: then at once."""
    cloud.crash("decision")
    if dead:
        monkeypatch.setattr(settling, "is_dead", lambda _: True)
    assert (watching.time_to_take_over(cloud.store) == 0) == dead
    start, times = cloud.clock.now, {}
    cloud.service.before = lambda r: times.setdefault(r.path.rpartition("/")[2], cloud.clock.now) if r.changes else None
    cloud.append(MORE, **({} if dead else {"lock_wait": 1000.0}))
    assert cloud.values() == BEGINNING + MORE
    assert (times["decision"] - start >= lease.LEASE) != dead
    assert (times["1"] - times["decision"] >= lease.LEASE - 1) != dead


def test_an_interrupt_as_renewals_begin(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is known by then: it is stopped, and nothing goes on renewing it."""
    stopped, honest = [], lease.Lease.stop

    def interrupted(_: lease.Lease) -> None:
        raise KeyboardInterrupt

    def stop(held: lease.Lease) -> None:
        stopped.append(held)
        honest(held)

    monkeypatch.setattr(lease.Lease, "start", interrupted)
    monkeypatch.setattr(lease.Lease, "stop", stop)
    with pytest.raises(KeyboardInterrupt):
        cloud.append()
    assert len(stopped) == 1


def test_a_takeover_decides_first(cloud: Cloud) -> None:
    """Against what it takes over, before the head is free: its owner may wake up at any moment, and must not decide for it any more."""
    cloud.crash("x/1")
    lost = cloud.head().intent
    assert lost is not None
    cloud.append(MORE, lock_wait=1000.0)
    key = decision_key(lost.id)
    changes = [request for request in cloud.service.log if request.changes]
    decided = [n for n, request in enumerate(changes) if request.path.endswith(key)]
    freed = next(n for n, request in enumerate(changes) if request.path.endswith("/head"))
    assert [changes[n].kind for n in decided] == ["put_new"]
    assert decided[0] < freed
    assert journal.read_decision(cloud.store.read(key), lost.id, key) == "abort"


def test_takeover_long_after(cloud: Cloud) -> None:
    """When the last sign of life was long ago by all clocks, nobody has to watch for a lease."""
    cloud.crash("x/1")
    cloud.clock.now += settling._LONG_AGO
    assert watching.time_to_take_over(cloud.store) > 0
    cloud.clock.now += 11 * lease.LEASE
    assert watching.time_to_take_over(cloud.store) == 0
    cloud.append(MORE)
    assert cloud.values() == BEGINNING + MORE


def test_owner_that_has_given_up(cloud: Cloud) -> None:
    """An append that was decided and could not be made visible is finished by whoever comes next, without waiting."""
    with cloud.at(".zmetadata", cloud.fails(403)), pytest.raises(StoreError, match="committed"):
        cloud.append()
    now = cloud.clock.now
    cloud.append(MORE)
    assert cloud.values() == BEGINNING + ROWS + MORE
    assert cloud.clock.now == now


def test_signal_during_application(cloud: Cloud) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with cloud.at(".zmetadata", interrupt), pytest.raises(KeyboardInterrupt):
        cloud.append()
    assert cloud.values() == BEGINNING + ROWS


MOMENTS = ("head", "x/1", "x/2", "decision", "x/.zarray", ".zmetadata")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("moment", MOMENTS)
def test_fences_alone(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, moment: str, after: bool) -> None:
    """An owner that stands still for long, and does not look at its lease, does no harm to who takes over meanwhile."""

    def overtake() -> None:
        cloud.clock.now += settling._LONG_AGO + 11 * lease.LEASE
        cloud.append(MORE, lock_wait=1000.0)

    monkeypatch.setattr(lease.Lease, "check", lambda _: None)
    with cloud.at(moment, overtake, after=after), contextlib.suppress(ConflictError):
        cloud.append()
        assert cloud.values() in {BEGINNING + ROWS + MORE, BEGINNING + MORE + ROWS}
    assert cloud.values() in {BEGINNING + MORE, BEGINNING + ROWS + MORE, BEGINNING + MORE + ROWS}


def test_head_that_moved_before_it_was_taken(cloud: Cloud) -> None:
    """Somebody else appends between reading and the intent: then everything is read again."""
    with cloud.at("head", lambda: cloud.append(MORE)):
        cloud.append()
    assert cloud.values() == BEGINNING + MORE + ROWS


def test_boundary_chunk_that_somebody_writes(cloud: Cloud) -> None:
    """A tool that knows of no lock writes it after it was read: its bytes stay."""
    theirs = b"\7" * 16
    change = lambda: cloud.service.overwrite("bucket/cube/x/1", theirs)  # noqa: E731
    with cloud.at("x/1", change), pytest.raises(ConflictError):
        cloud.append()
    assert cloud.service.objects["bucket/cube/x/1"] == theirs


def test_document_that_is_written_anew_as_it_was(cloud: Cloud) -> None:
    """Its tag is another one, and it is still what the plan built on: that is no conflict after the decision."""
    path = "bucket/cube/x/.zarray"
    with cloud.at("decision", lambda: cloud.service.overwrite(path, cloud.service.objects[path]), after=True):
        cloud.append()
    assert cloud.values() == BEGINNING + ROWS


@pytest.mark.parametrize(("moment", "key"), [("x/2", "x/.zarray"), ("x/2", "x/.zattrs"), ("decision", "x/.zarray")])
def test_other_tool_changes_a_document(cloud: Cloud, moment: str, key: str) -> None:
    """Before the decision or after it: what it wrote stays, and consolidated metadata do not tell of what was overtaken."""
    path = f"bucket/cube/{key}"
    theirs = cloud.service.objects[path] + b" "
    change = lambda: cloud.service.overwrite(path, theirs)  # noqa: E731
    with cloud.at(moment, change, after=True), pytest.raises(ConflictError, match="another program"):
        cloud.append()
    assert cloud.service.objects[path] == theirs
    assert cloud.values() == BEGINNING


def test_other_tool_changes_a_document_of_a_crashed_append(cloud: Cloud) -> None:
    """Whoever finishes it looks at every document first; the head is free all the same."""
    cloud.crash("decision", after=True)
    before = cloud.values()
    cloud.service.overwrite("bucket/cube/x/.zarray", theirs := cloud.service.objects["bucket/cube/x/.zarray"] + b" ")
    with pytest.raises(ConflictError, match="before a committed append was visible"):
        zapz.recover(cloud.store)
    assert (cloud.service.objects["bucket/cube/x/.zarray"], cloud.values()) == (theirs, before)
    assert cloud.head().intent is None
    assert [d.extent.spans for d in cloud.head().dirty] == [((1, 3),)]


def test_append_that_became_visible_in_part(cloud: Cloud) -> None:
    """What is applied already is passed over."""
    cloud.crash(".zmetadata")
    cloud.clock.now += settling._LONG_AGO + 11 * lease.LEASE
    assert len(zapz.recover(cloud.store).rolled_forward) == 1
    assert cloud.values() == BEGINNING + ROWS


def test_head_that_has_moved_on(cloud: Cloud) -> None:
    """Somebody else settles what is under way, and takes a turn, while we do."""
    cloud.crash("decision")
    cloud.clock.now += settling._LONG_AGO + 11 * lease.LEASE
    theirs = heads.encode(heads.Head(epoch=99))
    with cloud.at("head", lambda: cloud.service.overwrite("bucket/cube/.zapz/head", theirs)):
        zapz.recover(cloud.store)
    assert cloud.service.objects["bucket/cube/.zapz/head"] == theirs


def test_what_a_refused_append_has_written_is_remembered(cloud: Cloud, tmp_path: Path) -> None:
    """Until it is written over, or vacuumed: then what lies within the shape stays."""
    with cloud.at("x/2", cloud.fails(403)), pytest.raises(StoreError):
        cloud.append()
    assert [(d.extent.spans, d.rest) for d in cloud.head().dirty] == [(((1, 3),), 0.0)]
    cloud.service.overwrite("bucket/cube/x/2", b"\7" * 16)
    before = cloud.values()
    zapz.append(cloud.world.store(), cloud.slices[MORE], **SETTINGS)
    assert [d.extent.spans for d in cloud.head().dirty] == [((2, 3),)]
    done = sessions.vacuum(cloud.world.store(), Wait(), "v")
    assert done.removed >= 1
    assert "bucket/cube/x/2" not in cloud.service.objects
    assert (cloud.values(), cloud.head().dirty) == ((before or ()) + MORE, ())


def test_vacuum_leaves_the_boundary_chunk(cloud: Cloud) -> None:
    """A refused append may have written it; it holds what readers see."""
    with cloud.at("x/2", cloud.fails(403)), pytest.raises(StoreError):
        cloud.append()
    sessions.vacuum(cloud.world.store(), Wait(), "v")
    assert cloud.values() == BEGINNING


def test_vacuum_waits_for_late_requests(cloud: Cloud) -> None:
    """The owner of what was taken over may have requests on their way."""
    cloud.crash("decision")
    with pytest.raises(LockedError):
        sessions.vacuum(cloud.world.store(), Wait(), "v")
    zapz.recover(cloud.store)
    cloud.service.overwrite("bucket/cube/x/2", b"\7" * 16)
    with pytest.raises(LockedError, match="requests of an aborted run may still arrive"):
        sessions.vacuum(cloud.world.store(), Wait(), "v")
    cloud.clock.now += 3 * lease.LEASE
    assert sessions.vacuum(cloud.world.store(), Wait(), "w") == Vacuumed(removed=1, kept=1)
    cloud.clock.now += 2 * vacuum._HOUR
    assert sessions.vacuum(cloud.world.store(), Wait(), "u") == Vacuumed(removed=1, kept=0)


def test_lease_ends_before_a_removal(cloud: Cloud) -> None:
    cloud.crash("decision")
    zapz.recover(cloud.store)
    cloud.service.overwrite("bucket/cube/x/2", b"\7" * 16)
    cloud.clock.now += 3 * lease.LEASE
    with cloud.at("x/2", cloud.later(31.0), kind="look"), pytest.raises(ConflictError, match="may have lost its lease"):
        sessions.vacuum(cloud.world.store(), Wait(), "v")
    assert "bucket/cube/x/2" in cloud.service.objects


def test_vacuum_of_an_array_that_was_made_anew(cloud: Cloud) -> None:
    """With other keys: those that are remembered mean nothing any more."""
    cloud.crash("decision")
    zapz.recover(cloud.store)
    for key in ("x/.zarray", ".zmetadata"):
        path = f"bucket/cube/{key}"
        document = json.loads(cloud.service.objects[path])
        (document if key[0] == "x" else document["metadata"]["x/.zarray"])["dimension_separator"] = "/"
        cloud.service.overwrite(path, json.dumps(document).encode())
    cloud.clock.now += 3 * lease.LEASE
    before = cloud.service.objects["bucket/cube/x/2"]
    assert sessions.vacuum(cloud.world.store(), Wait(), "v").removed == 0
    assert cloud.service.objects["bucket/cube/x/2"] == before


def test_missing_chunk_is_written_out(cloud: Cloud, tmp_path: Path) -> None:
    """So that nobody's late request can put something there."""
    late = write_line(tmp_path / "late.zarr", range(20, 27))
    (late / "x" / "1").unlink()
    zapz.append(cloud.world.store(), late, **SETTINGS)
    assert cloud.values() == (*BEGINNING, 20, 21, 22, 23, -1, -1, -1)
    (tmp_path / "empty.zarr").mkdir()
    last = write_line(tmp_path / "last.zarr", [-1] * 8)
    for key in ("0", "1"):
        (last / "x" / key).unlink()
    zapz.append(cloud.world.store(), last, **SETTINGS)
    assert {"bucket/cube/x/3", "bucket/cube/x/4"} <= cloud.service.objects.keys()


def test_chunk_that_changes_while_it_is_read(cloud: Cloud) -> None:
    store = cloud.store.noting()
    store.read("x/1", 0, 4)
    cloud.service.overwrite("bucket/cube/x/1", b"\7" * 16)
    with pytest.raises(ConflictError):
        store.read("x/1", 4, 4)
    assert store.noted("x/1")[0]


def test_chunks_too_large_for_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before anything is written."""
    monkeypatch.setitem(CHUNKS, "x", 4000)
    cloud = Cloud(tmp_path / "large", monkeypatch)
    cloud.service.largest = 8000
    with pytest.raises(StoreError, match="too large for one write request"):
        cloud.append()
    assert cloud.changes() == []


# -- services that keep less of their word -------------------------------------------------------------------------------


class Careless(ObjectService):
    """A service that honours some conditions only."""

    def __init__(self, lacks: str) -> None:
        super().__init__()
        self.lacks = lacks

    def put_new(self, path: str, data: bytes) -> str | None:
        return self.put(path, data) if self.lacks == "exclusive" else super().put_new(path, data)

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        if self.lacks == "conditional":
            return self.put(path, data)
        if self.lacks == "all tags" or (self.lacks == "bare tags" and not self.quoted):
            raise AnswerError(412)
        return super().put_over(path, data, tag)


@pytest.mark.parametrize(
    ("lacks", "found"),
    [
        ("", (True, True, False)),
        ("exclusive", (False, False, False)),
        ("conditional", (True, False, False)),
        ("all tags", (True, False, False)),
        ("bare tags", (True, True, True)),
    ],
)
def test_probing(lacks: str, found: tuple[bool, bool, bool]) -> None:
    service = Careless(lacks)
    what = probed(service, "bucket/probe")  # type: ignore[arg-type]
    assert (what.exclusive, what.conditional, what.quoted) == found
    assert service.objects == {}


def test_target_that_cannot_be_written_safely(cloud: Cloud) -> None:
    cloud.service.exclusive = False
    with pytest.raises(AbilityError):
        cloud.append()
    assert cloud.changes() == []


def test_lock_where_nothing_is_replaced_on_conditions(cloud: Cloud) -> None:
    """Held until the end, by one at a time; only one's own is removed, and that of a process that is dead."""
    cloud.service.conditional = False
    lock = "bucket/cube/.zapz/lock"
    seen: list[bool] = []
    with cloud.at("x/1", lambda: seen.append(lock in cloud.service.objects)):
        cloud.append()
    assert (seen, lock in cloud.service.objects, cloud.values()) == ([True], False, BEGINNING + ROWS)
    store = cloud.world.store()
    with object_lock.hold(store, LOCK, Wait()):
        with pytest.raises(LockedError):
            cloud.append(MORE)
        theirs = json.dumps({"host": "elsewhere", "boot": "-", "process": 1, "since": ""}).encode()
        cloud.service.overwrite(lock, theirs)
    assert cloud.service.objects[lock] == theirs
    with pytest.raises(LockedError):
        cloud.append(MORE)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    cloud.service.overwrite(lock, json.dumps({**holder.describe_me(), "process": ended.pid}).encode())
    cloud.append(MORE)
    assert cloud.values() == BEGINNING + ROWS + MORE


@pytest.mark.parametrize(
    ("status", "kind"), [(412, "refused"), (409, "again"), (503, "again"), (404, "absent"), (403, "failed")]
)
def test_what_a_status_means(status: int, kind: str) -> None:
    """A 409 is no verdict: another conditional request is under way."""
    assert meaning(AnswerError(status)) == kind


def test_decision_that_comes_after_everything_is_forgotten(cloud: Cloud) -> None:
    """The owner stood still before it decided; it was decided against, vacuumed, and that forgotten: then nothing decides any more."""

    def pass_by() -> None:
        cloud.clock.now += settling._LONG_AGO + 11 * lease.LEASE
        assert zapz.recover(cloud.world.store()).rolled_back
        cloud.clock.now += 3 * lease.LEASE
        sessions.vacuum(cloud.world.store(), Wait(), "v")
        cloud.clock.now += 2 * vacuum._HOUR
        assert sessions.vacuum(cloud.world.store(), Wait(), "w").removed == 1

    with cloud.at("decision", pass_by), pytest.raises(ConflictError, match="taken over"):
        cloud.append()
    assert cloud.values() == BEGINNING
    cloud.append()
    assert cloud.values() == BEGINNING + ROWS
