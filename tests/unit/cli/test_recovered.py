"""What an earlier run had left, and what was done about it, in words: in an append, before its slices, and in ``zapz recover``."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.command_line import run
from kit.small_days import day, days

import zapz
from zapz import testing
from zapz.cli.recovered import sentences
from zapz.reports import RecoveredAppend, Recovery
from zapz.txn import journal


def crash(target: Path, slice_: object, *, committed: bool) -> None:
    """Let the process die in an append: while it writes its chunks, or when it has just decided."""

    where = "txn.local.transaction.Transaction.apply" if committed else "txn.local.transaction.Transaction.commit"

    def die(_: object) -> None:
        raise testing.Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"zapz.{where}", die)
        patch.setattr("zapz.txn.local.transaction._undo_quietly", lambda *_: None)
        with pytest.raises(testing.Died):
            zapz.append(target, slice_)


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("command", ["append", "recover"])
def test_the_slice_and_the_process_are_named(command: str, committed: bool, tmp_path: Path) -> None:
    """First of all, and nothing else on standard error."""
    target, paths = tmp_path / "cube.zarr", days(tmp_path, 2)
    zapz.append(target, paths[0])
    crash(target, paths[1], committed=committed)
    code, out, err = run(command, target, *([paths[1]] if command == "append" else []))
    assert (code, err) == (0, "")
    what = "had committed day1.zarr; its append is finished now." if committed else "was killed while it appended day1.zarr; its leftovers were removed."  # fmt: skip
    words = re_time(out.splitlines()[0])
    assert words == f"An earlier run (process {os.getpid()}, HH:MM) {what}"
    assert len(out.splitlines()) == (3 if command == "append" else 1)
    assert run("recover", target)[1] == "Nothing to recover.\n"


def re_time(line: str) -> str:
    now = dt.datetime.now().astimezone()
    for minute in (now, now - dt.timedelta(minutes=1)):
        line = line.replace(f", {minute:%H:%M})", ", HH:MM)")
    return line


def test_programs_are_told_before_the_first_slice(tmp_path: Path) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, day(0))
    crash(target, day(1), committed=False)
    told: list[object] = []
    report = zapz.append(target, day(1), on_recovery=told.append, on_slice=told.append)
    assert told == [report.recovered, report.slices[0]]
    (append,) = report.recovered.appends
    assert (append.slice, append.outcome, append.process) == ("slice 0", "removed", os.getpid())
    assert report.recovered.rolled_back == (append.id,)
    assert pickle.loads(pickle.dumps(report)) == report
    crash(target, day(2), committed=True)
    shown = json.loads(run("recover", target, "--json")[1])
    assert (shown["appends"][0]["slice"], shown["appends"][0]["outcome"]) == ("slice 0", "finished")


@contextlib.contextmanager
def no_logging() -> Iterator[list[str]]:
    """Let Python's logging be as it is in a program that has not set it up; give what its last resort prints."""
    said: list[str] = []

    class Last(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.root, "handlers", [])
        patch.setattr(logging, "lastResort", Last(logging.WARNING))
        yield said


def test_logging_that_nobody_has_set_up_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, day(0))
    crash(target, day(1), committed=False)
    with no_logging() as said:
        zapz.append(target, day(1))
    assert said == []
    crash(target, day(2), committed=False)
    zapz.append(target, day(2))
    assert [r.levelname for r in caplog.records if r.getMessage().startswith("recovered ")] == ["WARNING"]


def test_an_object_service_keeps_what_an_append_left() -> None:
    service = testing.ObjectService()
    with testing.simulated_time():
        zapz.append(service.store("b/cube"), day(0))
        number = service.requests(lambda: zapz.append(service.store("b/cube"), day(1)))
        outcomes = []
        for request in range(number):
            service.restore({})
            zapz.append(service.store("b/cube"), day(0))
            with service.failing(request, "died"), contextlib.suppress(testing.Died):
                zapz.append(service.store("b/cube"), day(1), slice_source=lambda **d: d)
            found = zapz.append(service.store("b/cube"), day(2), lock_wait=100).recovered
            for append in found.appends:
                assert (append.slice, append.process) == ("slice 0", os.getpid())
                assert append.since.startswith("20")
            outcomes += [append.outcome for append in found.appends]
    assert set(outcomes) == {"finished", "abandoned"}


def test_a_target_that_was_being_replaced(tmp_path: Path) -> None:
    target, paths = tmp_path / "cube.zarr", days(tmp_path, 2)
    said = set()
    zapz.append(target, paths[0])
    number = testing.file_operations(tmp_path, lambda: zapz.append(target, paths[1], force_new=True))
    for operation in range(number // 4, number, 3):
        with testing.failing_files(tmp_path, operation, "died"), contextlib.suppress(testing.Died):
            zapz.append(target, paths[1], force_new=True)
        said |= {sentence for sentence in sentences(zapz.recover(target)) if "replace" in sentence}
    assert said == {
        "An earlier run was killed while it replaced cube.zarr; the old target is kept, and the leftovers were removed.",
        "An earlier run had replaced cube.zarr; the rest of the old target was removed now.",
    }


def test_words_for_what_is_not_known_and_for_what_is_elsewhere() -> None:
    bare = RecoveredAppend(id="x", slice="", target="/t/cube.zarr", outcome="removed")
    there = bare._replace(slice="s3://in/a\x1b[2J.zarr", process=7, host="other", since="2024-01-02T03:04:05+00:00", outcome="abandoned")  # fmt: skip
    when = dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC).astimezone()
    assert sentences(Recovery(appends=(bare, there, bare._replace(since="nonsense")))) == [
        "An earlier run was killed while it appended a slice; its leftovers were removed.",
        f"An earlier run (process 7 on other, {when:%Y-%m-%d %H:%M}) was killed while it appended a?[2J.zarr; nothing of it is visible, and `zapz vacuum` removes its leftovers.",
        "An earlier run was killed while it appended a slice; its leftovers were removed.",
    ]


def test_a_journal_says_what_is_appended_and_older_ones_do_not() -> None:
    intent = journal.Intent(id="x", made_root=False, base={}, documents=(), extents=(), slice="a.nc", process=7, host="h", since="s")  # fmt: skip
    record = journal.as_record(intent)
    assert journal.from_record(record) == intent
    older = {name: value for name, value in record.items() if name not in {"slice", "process", "host", "since"}}
    assert journal.from_record(older) == journal.Intent(id="x", made_root=False, base={}, documents=(), extents=())
    planted = journal.from_record({**record, "slice": "\x1b]0;x\x07" + "y" * 1000})
    assert planted.slice == "?]0;x?" + "y" * 494
    with pytest.raises(TypeError):
        journal.from_record({**record, "slice": 5})


def test_no_secret_is_kept_in_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[journal.Intent] = []
    real = journal.write
    monkeypatch.setattr(journal, "write", lambda intent: seen.append(intent) or real(intent))
    zapz.append(tmp_path / "cube.zarr", ["https://me:secret@host/a?token=secret"], slice_source=lambda _: day(0))
    assert [intent.slice for intent in seen] == ["https://host/a"]
