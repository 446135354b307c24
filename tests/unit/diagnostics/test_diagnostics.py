"""The settings ``logging`` and ``profiling``: what they write and where, and that nothing of them is left."""

from __future__ import annotations

import cProfile
import io
import logging
import os
import re
import stat
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zapz.diagnostics.diagnosed import diagnosed, logger
from zapz.diagnostics.profile_file import FIRST_LINE
from zapz.errors import ConfigError


@dataclass
class Settings:
    """The two settings of a configuration."""

    logging: bool | str | Mapping[str, Any] | None = None
    profiling: bool | str | Mapping[str, Any] | None = None


def everything() -> Any:
    """All of Python's logging that zapz could change."""
    return [
        (x.level, list(x.handlers), x.propagate, x.disabled, list(x.filters))
        for x in (logger(), logging.getLogger(), logging.getLogger("other"))
    ]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = everything()
    yield
    assert everything() == before


@pytest.fixture
def restored() -> Iterator[None]:
    """For configurations of Python's logging that stay."""
    states = [(x, x.level, list(x.handlers)) for x in (logger(), logging.getLogger())]
    yield
    for log, level, handlers in states:
        for handler in set(log.handlers) - set(handlers):
            log.removeHandler(handler)
            handler.close()
        log.handlers[:] = handlers
        log.setLevel(level)


def speak() -> None:
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(logger(), level)("a word at %s", level)


def heard(text: str) -> list[str]:
    return re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ a word at ([a-z]+)$", text, re.MULTILINE)


ALL = ["debug", "info", "warning", "error", "critical"]
LEVELS: list[tuple[Any, list[str]]] = [
    (None, []), (False, []), (True, ALL[1:]), ("DEBUG", ALL), ("INFO", ALL[1:]), ("WARNING", ALL[2:]), ("ERROR", ALL[3:]), ("CRITICAL", ALL[4:]), ("NOTSET", ALL[2:]),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "expected"), LEVELS, ids=[str(case[0]) for case in LEVELS])
def test_what_goes_to_standard_error(setting: Any, expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with diagnosed(Settings(logging=setting)):
            speak()
        out, err = capsys.readouterr()
        assert (out, heard(err)) == ("", expected)
    logger().info("after")
    assert capsys.readouterr().err == ""


def test_what_the_program_has_set_up_stays(capsys: pytest.CaptureFixture[str]) -> None:
    own = io.StringIO()
    handler = logging.StreamHandler(own)
    logger().addHandler(handler)
    logger().setLevel(logging.ERROR)
    before = everything()
    try:
        with diagnosed(Settings(logging=True)):
            speak()
        assert everything() == before
        speak()
    finally:
        logger().removeHandler(handler)
        logger().setLevel(logging.NOTSET)
    assert heard(capsys.readouterr().err) == ALL[1:]
    assert own.getvalue().count("a word") == 4 + 2


def test_a_block_within_a_block_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The command line's is around that of the function that it calls."""
    with (
        diagnosed(Settings(logging="WARNING", profiling=True)),
        diagnosed(Settings(logging="DEBUG", profiling="/nowhere/at/all")),
    ):
        speak()
    assert heard(capsys.readouterr().err) == ALL[2:]


def test_threads_log_together_and_leave_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines come once however many threads log, and as many as the most talkative one wants."""
    inside, leave = threading.Barrier(3), [threading.Event(), threading.Event()]

    def run(level: str, event: threading.Event) -> None:
        with diagnosed(Settings(logging=level)):
            inside.wait(10)
            event.wait(10)

    threads = [threading.Thread(target=run, args=case) for case in zip(("DEBUG", "ERROR"), leave, strict=True)]
    for thread in threads:
        thread.start()
    inside.wait(10)
    levels = []
    for thread, event in zip(threads, leave, strict=True):
        speak()
        levels.append(heard(capsys.readouterr().err))
        event.set()
        thread.join(10)
    assert levels == [ALL, ALL[3:]]


def test_it_ends_with_an_error_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), diagnosed(Settings(logging=True, profiling={"log_level": "DEBUG"})):
        raise KeyboardInterrupt
    with diagnosed(Settings(logging=True)):
        logger().info("again")
    assert capsys.readouterr().err.count("again") == 1


# --- tables for dictConfig ------------------------------------------------------------------------------------------------


def table(path: Path, name: str = "zapz", **more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "formatters": {"plain": {"format": "%(levelname)s %(message)s"}},
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "plain", "mode": "w"}
        },
        "loggers": {name: {"level": "INFO", "handlers": ["file"]}},
        **more,
    }


@pytest.mark.parametrize("name", ["zapz", "zappend"])
@pytest.mark.usefixtures("restored")
def test_a_table_configures_logging(name: str, tmp_path: Path) -> None:
    """A file of zappend's names its own logger; what is said of that one holds for zapz."""
    with diagnosed(Settings(logging=table(tmp_path / "log", name))):
        speak()
        with diagnosed(Settings(logging=table(tmp_path / "log", name))):
            speak()
    assert (tmp_path / "log").read_text().splitlines() == [f"{w.upper()} a word at {w}" for w in ALL[1:]] * 2


@pytest.mark.usefixtures("restored")
def test_a_table_about_others_does_not_silence_anybody(tmp_path: Path) -> None:
    logging.getLogger("other")
    with diagnosed(Settings(logging=table(tmp_path / "log", "third"))):
        assert not logger().disabled
        assert not logging.getLogger("other").disabled


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"handlers": {"file": {"class": "nowhere.Handler"}}},
        {"handlers": {"file": {"class": "logging.FileHandler", "filename": "/no/such/folder/log"}}},
        {"handlers": {"file": {}}},
        {"handlers": 1},
        {"loggers": {"zapz": {"level": "LOUD"}}},
        {"loggers": 1},
    ],
)  # fmt: skip
@pytest.mark.usefixtures("restored")
def test_a_table_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    sound = {"version": 1, "handlers": {"none": {"class": "logging.NullHandler"}}}
    with pytest.raises(ConfigError, match="dictConfig") as caught, diagnosed(Settings(logging={**sound, **change})):
        pytest.fail("the block was entered")
    assert caught.value.where == "logging"
    assert caught.value.found
    assert caught.value.hint


# --- profiling --------------------------------------------------------------------------------------------------------------


def work() -> int:
    return sum(step() for _ in range(5))


def step() -> int:
    return 1


PROFILES: list[tuple[Any, str | None, bool]] = [  # setting (PATH stands for the file), level at which it is logged, whether it is written
    (None, None, False),
    (False, None, False),
    ({"enabled": False}, None, False),
    ({"enabled": False, "path": "PATH"}, None, False),
    ({"log_level": "NOTSET"}, None, False),
    (True, "INFO", False),
    ({}, "INFO", False),
    ({"enabled": True}, "INFO", False),
    ({"log_level": "DEBUG"}, "DEBUG", False),
    ("PATH", "INFO", True),
    ({"path": "PATH"}, "INFO", True),
    ({"path": "PATH", "log_level": "NOTSET"}, None, True),
    ({"path": "PATH", "log_level": "WARNING"}, "WARNING", True),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "level", "written"), PROFILES, ids=[str(case[0]) for case in PROFILES])
@pytest.mark.parametrize("fails", [False, True])
def test_where_a_profile_goes(
    setting: Any, level: str | None, written: bool, fails: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "profile.txt"
    if setting == "PATH":
        setting = str(path)
    elif isinstance(setting, Mapping):
        setting = {key: str(path) if value == "PATH" else value for key, value in setting.items()}
    with (
        pytest.raises(ZeroDivisionError) if fails else nullcontext(),
        diagnosed(Settings(logging="DEBUG", profiling=setting)),
    ):
        assert work() / (not fails)
    err = capsys.readouterr().err
    assert re.findall(r" ([A-Z]+) profile:\n", err) == ([level] if level else [])
    assert path.exists() == written
    for report in ([path.read_text()] if written else []) + ([err] if level else []):
        assert re.search(r"^ +5 .*test_diagnostics\.py:\d+\(step\)$", report, re.MULTILINE)
    assert (f"profile written to {path}" in err) == written


def report(tmp_path: Path, **settings: Any) -> list[str]:
    """The functions of a report, in its order."""
    with diagnosed(Settings(profiling={"path": str(tmp_path / "p"), "log_level": "NOTSET", **settings})):
        work()
    return re.findall(r"^ +\d.*\.py:\d+\((.+)\)$", (tmp_path / "p").read_text(), re.MULTILINE)


def test_a_profile_is_sorted_and_restricted(tmp_path: Path) -> None:
    names = report(tmp_path, keys=["calls", "name"])
    assert names.index("step") < names.index("work")
    names = report(tmp_path, keys=["name"], restrictions=["test_diagnostics"])
    assert [name for name in names if name in {"step", "work"}] == ["step", "work"]
    assert report(tmp_path, restrictions=[r"\(step\)"]) == ["step"]
    assert len(report(tmp_path, restrictions=["test_diagnostics", 1])) == 1
    assert report(tmp_path, restrictions=[0.0]) == []


@pytest.mark.parametrize("place", ["", "nowhere/profile.txt"])
def test_a_profile_that_cannot_be_written_is_refused_before(place: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught, diagnosed(Settings(profiling=str(tmp_path / place))):
        pytest.fail("the block was entered")
    assert (caught.value.where, caught.value.found) == ("profiling.path", str(tmp_path / place))
    assert caught.value.hint


OTHERS = {
    "a text": lambda path: path.write_text("precious"),
    "an empty file": lambda path: path.touch(),
    "half of the first line": lambda path: path.write_text(FIRST_LINE[:-1]),
    "the first line further down": lambda path: path.write_text(f"\n{FIRST_LINE}\n"),
    "a link to a report": lambda path: (path.with_name("p").write_text(f"{FIRST_LINE}\nreport"), path.symlink_to("p")),
    "a link to a text": lambda path: (path.with_name("q").write_text("precious"), path.symlink_to("q")),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("form", [str, lambda path: {"path": str(path)}])
def test_a_profile_overwrites_nothing_else(what: str, form: Any, tmp_path: Path) -> None:
    """It is refused before, and nothing changes."""
    path = tmp_path / "precious"
    OTHERS[what](path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(ConfigError) as caught, diagnosed(Settings(profiling=form(path))):
        pytest.fail("the block was entered")
    says = ("a link" if "link" in what else "a file that zapz did not write",)
    assert (caught.value.where, caught.value.found) == ("profiling.path", f"{path}, {says[0]}")
    assert caught.value.hint == "Set another path."
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before
    assert path.is_symlink() == ("link" in what)


@pytest.mark.parametrize("what", OTHERS)
def test_what_comes_to_lie_there_meanwhile_is_not_overwritten(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "precious"
    with diagnosed(Settings(logging=True, profiling=str(path))):
        OTHERS[what](path)
    assert f"profile not written to {path}" in capsys.readouterr().err
    assert not any(b"function calls" in p.read_bytes() for p in tmp_path.iterdir() if p.is_file())
    assert not (tmp_path / "nothing").exists()


def test_a_profile_is_written_over_an_earlier_one_whole(tmp_path: Path) -> None:
    """Also if the earlier one was longer; the file keeps its mode."""
    report(tmp_path)
    (tmp_path / "p").write_text((tmp_path / "p").read_text() + "more\n" * 1000)
    (tmp_path / "p").chmod(0o600)
    report(tmp_path, restrictions=[1])
    text = (tmp_path / "p").read_text()
    assert text.startswith(f"{FIRST_LINE}\n")
    assert "more" not in text
    assert text.count(FIRST_LINE) == 1
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o600


def test_a_new_profile_takes_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        report(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o640


def test_a_pattern_that_is_none_is_refused_before() -> None:
    with pytest.raises(ConfigError, match="restrictions"), diagnosed(Settings(profiling={"restrictions": [1, "("]})):
        pytest.fail("the block was entered")


def test_a_profile_that_cannot_be_written_after_all_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with diagnosed(Settings(logging=True, profiling=str(folder / "p"))):
        folder.rmdir()
    err = capsys.readouterr().err
    assert f"profile not written to {folder / 'p'}" in err
    assert "profile:\n" in err


@pytest.mark.skipif(sys.version_info < (3, 12), reason="an older Python lets one profiler replace another")
def test_under_another_profiler_the_append_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with cProfile.Profile(), diagnosed(Settings(logging=True, profiling=True)):
        speak()
    err = capsys.readouterr().err
    assert "no profile: " in err
    assert heard(err) == ALL[1:]
