"""What the setting ``logging`` may hold in a configuration file: levels, formats, four classes of handlers, and no code."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.trees import tree

import zapz
from zapz.cli.demo import write_slice
from zapz.config import logging_types
from zapz.config.files import resolve
from zapz.config.layers import make
from zapz.config.types import Place
from zapz.errors import ConfigError

Table = dict[str, Any]

SOUND: Table = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "%(levelname)s %(message)s", "datefmt": "%H:%M", "style": "%", "validate": True},
        "braces": {"format": "{levelname:>9} {message!s}", "style": "{"},
        "dollars": {"format": "${message}", "style": "$"},
        "default": {},
    },
    "filters": {"ours": {"name": "zapz"}},
    "handlers": {
        "out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "level": "WARN", "formatter": "plain"},
        "err": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "level": 20, "filters": ["ours"]},
        "file": {"class": "logging.FileHandler", "filename": "run.txt", "mode": "a", "encoding": "utf-8", "delay": True, "errors": "replace"},
        "rotated": {"class": "logging.handlers.RotatingFileHandler", "filename": "run.log", "maxBytes": 1000, "backupCount": 3, "delay": True},
        "none": {"class": "logging.NullHandler", "formatter": "braces"},
    },
    "loggers": {"zapz": {"level": "INFO", "handlers": ["out", "file"], "propagate": False}, "zappend": {}, "": {"level": "DEBUG"}},
    "root": {"level": "NOTSET", "handlers": ["none"], "filters": []},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Undo what a configuration of Python's logging has changed."""
    states = [(x, x.level, list(x.handlers), x.propagate) for x in map(logging.getLogger, ("zapz", "zappend", None))]
    yield
    for log, level, handlers, propagate in states:
        for handler in set(log.handlers) - set(handlers):
            log.removeHandler(handler)
            handler.close()
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate = propagate


def changed(path: str, value: Any) -> Table:
    """The sound table with one value put at a path of names, separated by `/`."""
    table: Table = json.loads(json.dumps(SOUND))
    inner: Any = table
    *outer, last = path.split("/")
    for name in outer:
        inner = inner[int(name)] if isinstance(inner, list) else inner.setdefault(name, {})
    inner[int(last) if isinstance(inner, list) and last != "+" else last] = value
    return table


def line_of(text: str, steps: list[str]) -> int:
    """The line of a key in a YAML text, the last one on the path that there is."""
    found: Any = yaml.compose(text)
    line = 1
    for step in steps:
        if found.id != "mapping":
            break
        key, found = next((k, v) for k, v in found.value if k.value == step)
        line = key.start_mark.line + 1
    return line


def refusal(table: Any, place: Path) -> ConfigError:
    """What is said about a file with the table, which names the line of the place where it is wrong."""
    text = yaml.safe_dump({"append_dim": "t", "logging": table}, sort_keys=False)
    (place / "c.yaml").write_text(text.replace("$", "$$"))
    with pytest.raises(ConfigError) as caught:
        resolve(place / "c.yaml", {})
    return caught.value


def test_what_a_file_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is taken as it is, and dictConfig takes it too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.txt").write_text("before\n")
    for suffix, text in ((".json", json.dumps({"logging": SOUND})), (".yaml", yaml.safe_dump({"logging": SOUND}))):
        (tmp_path / f"c{suffix}").write_text(text.replace("$", "$$"))
        assert resolve(tmp_path / f"c{suffix}", {}).logging == SOUND
    write_slice(tmp_path / "day.zarr", 0)
    zapz.append("cube.zarr", "day.zarr", tmp_path / "c.json")
    before, *lines = (tmp_path / "run.txt").read_text().splitlines()
    assert before == "before"
    assert any("cube.zarr" in line for line in lines)
    assert capsys.readouterr().out == ""


HOSTILE: list[tuple[str, Any, str]] = [  # place, value, what the message names
    ("formatters/plain/()", "os.system", 'formatters.plain."()"'),
    ("formatters/plain", {"()": "os.system", "command": "touch RAN"}, 'formatters.plain."()"'),
    ("formatters/plain/class", "subprocess.Popen", "formatters.plain.class"),
    ("formatters/plain/.", {"a": 1}, 'formatters.plain."."'),
    ("formatters/plain/defaults", {"a": "ext://os.environ"}, "formatters.plain.defaults"),
    ("formatters/plain/format", "ext://os.environ", "formatters.plain.format"),
    ("formatters/plain/format", "cfg://handlers.out", "formatters.plain.format"),
    ("formatters/plain/datefmt", "ext://os.environ", "formatters.plain.datefmt"),
    ("formatters/plain/style", "ext://os.environ", "formatters.plain.style"),
    ("formatters/plain/validate", "ext://os.environ", "formatters.plain.validate"),
    ("formatters/braces/format", "{args[0].__init__.__globals__}", "formatters.braces.format"),
    ("formatters/braces/format", "{message.__class__}", "formatters.braces.format"),
    ("formatters/braces/format", "{message:{args[0].x}}", "formatters.braces.format"),
    ("formatters/braces/format", "{0}", "formatters.braces.format"),
    ("formatters/braces/format", "{", "formatters.braces.format"),
    ("formatters", "ext://os.environ", "formatters"),
    ("formatters/plain", "ext://os.environ", "formatters.plain"),
    ("filters/ours/()", "os.system", 'filters.ours."()"'),
    ("filters/ours/name", "ext://os.environ", "filters.ours.name"),
    ("filters/ours", "ext://os.system", "filters.ours"),
    ("handlers/out/()", "os.system", 'handlers.out."()"'),
    ("handlers/out/.", {"stream": "x"}, 'handlers.out."."'),
    ("handlers/out/class", "subprocess.Popen", "handlers.out.class"),
    ("handlers/out/class", "ext://subprocess.Popen", "handlers.out.class"),
    ("handlers/out/class", "logging.handlers.SMTPHandler", "handlers.out.class"),
    ("handlers/out/class", "logging.handlers.MemoryHandler", "handlers.out.class"),
    ("handlers/out/class", "logging.handlers.QueueHandler", "handlers.out.class"),
    ("handlers/out/class", "logging.handlers.WatchedFileHandler", "handlers.out.class"),
    ("handlers/out/class", "logging.config.os.system", "handlers.out.class"),
    ("handlers/out/class", ["logging.StreamHandler"], "handlers.out.class"),
    ("handlers/out/stream", "ext://sys.stdin", "handlers.out.stream"),
    ("handlers/out/stream", "ext://os.environ", "handlers.out.stream"),
    ("handlers/out/stream", "cfg://handlers.file", "handlers.out.stream"),
    ("handlers/out/target", "file", "handlers.out.target"),
    ("handlers/out/listener", "os.system", "handlers.out.listener"),
    ("handlers/out/filename", "run.txt", "handlers.out.filename"),
    ("handlers/none/filename", "run.txt", "handlers.none.filename"),
    ("handlers/out/formatter", "cfg://handlers", "handlers.out.formatter"),
    ("handlers/out/level", "ext://os.environ", "handlers.out.level"),
    ("handlers/out/filters", ["ours", "ext://os.system"], "handlers.out.filters[1]"),
    ("handlers/out/filters", "ext://os.system", "handlers.out.filters"),
    ("handlers/file/mode", "w", "handlers.file.mode"),
    ("handlers/file/mode", "x", "handlers.file.mode"),
    ("handlers/file/mode", "r+", "handlers.file.mode"),
    ("handlers/file/mode", "ab", "handlers.file.mode"),
    ("handlers/file/filename", "ext://os.devnull", "handlers.file.filename"),
    ("handlers/file/filename", 1, "handlers.file.filename"),
    ("handlers/file/encoding", "ext://os.devnull", "handlers.file.encoding"),
    ("handlers/file/encoding", "own_codec", "handlers.file.encoding"),
    ("handlers/file/errors", "own_handler", "handlers.file.errors"),
    ("handlers/file/errors", "ext://os.system", "handlers.file.errors"),
    ("handlers/file/delay", "ext://os.system", "handlers.file.delay"),
    ("handlers/file/maxBytes", 1, "handlers.file.maxBytes"),
    ("handlers/rotated/filename", "precious", "handlers.rotated.filename"),
    ("handlers/rotated/filename", "a.log/precious", "handlers.rotated.filename"),
    ("handlers/rotated/mode", "w", "handlers.rotated.mode"),
    ("handlers/rotated/backupCount", 1_000_000_000, "handlers.rotated.backupCount"),
    ("handlers/rotated/maxBytes", "ext://os.system", "handlers.rotated.maxBytes"),
    ("handlers/new", {"filename": "precious"}, "handlers.new.filename"),
    ("handlers/new", {"mode": "a"}, "handlers.new.mode"),
    ("handlers/new", "cfg://handlers.file", "handlers.new"),
    ("loggers/zapz/()", "os.system", 'loggers.zapz."()"'),
    ("loggers/zapz/handlers", ["ext://os.system"], "loggers.zapz.handlers[0]"),
    ("loggers/zapz/filters", ["ext://os.system"], "loggers.zapz.filters[0]"),
    ("loggers/zapz/level", "cfg://x", "loggers.zapz.level"),
    ("loggers/zapz/propagate", "ext://os.system", "loggers.zapz.propagate"),
    ("loggers", ["ext://os.system"], "loggers"),
    ("root/handlers", ["cfg://handlers.out"], "root.handlers[0]"),
    ("root/filters", "ext://os.system", "root.filters"),
    ("root/()", "os.system", 'root."()"'),
    ("root/propagate", True, "root.propagate"),
    ("root", "ext://os.system", "root"),
    ("incremental", True, "incremental"),
    ("incremental", "ext://os.system", "incremental"),
    ("disable_existing_loggers", "ext://os.system", "disable_existing_loggers"),
    ("version", "ext://os.system", "version"),
    ("version", True, "version"),
    ("()", "os.system", '"()"'),
    ("own", 1, "own"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "named"), HOSTILE, ids=[f"{case[0]} {case[1]}"[:60] for case in HOSTILE])
def test_what_a_file_may_not_hold(path: str, value: Any, named: str, tmp_path: Path) -> None:
    """The message names the place with its line; in Python all of it may be given."""
    table = changed(path, value)
    error = refusal(table, tmp_path)
    place, _, inside = error.where.partition(", line ")
    line, _, setting = inside.partition(", ")
    assert (place, setting) == (str(tmp_path / "c.yaml"), f"logging.{named}")
    steps = [step.partition("[")[0].strip('"') for step in named.replace('"."', '"DOT"').split(".")]
    text = (tmp_path / "c.yaml").read_text()
    assert int(line) == line_of(text, ["logging", *(step.replace("DOT", ".") for step in steps)])
    assert error.hint.endswith("may contain all that logging.config.dictConfig accepts.")
    if table["version"] == 1:
        assert make({"logging": table}).logging == table


def test_nothing_runs_and_nothing_is_touched(tmp_path: Path) -> None:
    """From the command line, also in a dry run, in files of all languages."""
    write_slice(tmp_path / "day.zarr", 0)
    (tmp_path / "precious").write_text("precious")
    command = {"()": "os.system", "command": "touch RAN"}
    tables = [
        changed("formatters/plain", command),
        changed("filters/ours", command),
        changed("handlers/out", command),
        changed("handlers/out", {"class": "subprocess.Popen", "args": ["touch", "RAN"]}),
        changed("handlers/file", {"class": "logging.FileHandler", "filename": "precious", "mode": "w"}),
    ]
    for number, table in enumerate(tables):
        (tmp_path / f"{number}.json").write_text(json.dumps({"logging": table}).replace("$", "$$"))
    before = tree(tmp_path)
    code = f"""
import sys, zapz
from zapz.__main__ import main
for number in range({len(tables)}):
    for words in ([], ["--dry-run"]):
        sys.argv = ["zapz", "append", "-c", f"{{number}}.json", *words, "cube.zarr", "day.zarr"]
        try:
            main()
        except SystemExit as end:
            print(end.code)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2"] * 2 * len(tables), done.stderr
    assert done.stderr.count("In a file, logging may contain levels") == 2 * len(tables)
    assert tree(tmp_path) == before


def test_a_file_does_not_fill_in_what_another_has_begun(tmp_path: Path) -> None:
    """A handler in a file replaces an earlier one whole: the class or mode that Python chose does not come to its file name."""
    base = {"version": 1, "handlers": {"h": {"()": print, "mode": "w", "level": "INFO"}, "own": {"()": print}}, "formatters": {"f": {"()": len}}}  # fmt: skip
    later = {"handlers": {"h": {"class": "logging.FileHandler", "filename": "x"}}, "formatters": {"f": {"format": "x"}}}
    (tmp_path / "c.json").write_text(json.dumps({"logging": later}))
    made = resolve([{"logging": base}, tmp_path / "c.json"], {})
    assert made.logging == {"version": 1, "handlers": {**later["handlers"], "own": {"()": print}}, "formatters": later["formatters"]}  # fmt: skip
    again = resolve(tmp_path / "c.json", {"logging": base}).logging
    assert isinstance(again, dict)
    assert again["handlers"]["h"]["()"] is print  # what Python says last is merged, as always
    (tmp_path / "level.json").write_text('{"logging": {"handlers": {"h": {"level": "DEBUG"}}}}')
    made = resolve([{"logging": base}, tmp_path / "level.json"], {})
    assert isinstance(made.logging, dict)
    assert made.logging["handlers"]["h"] == {"()": print, "mode": "w", "level": "DEBUG"}


def test_other_forms_of_logging_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"logging": "DEBUG"}')
    assert resolve([{"logging": SOUND}, tmp_path / "c.json"], {}).logging == "DEBUG"
    (tmp_path / "c.json").write_text('{"logging": null}')
    assert resolve([{"logging": SOUND}, tmp_path / "c.json"], {}).logging is None


# --- any table ----------------------------------------------------------------------------------------------------------------------------

# fmt: off
KEYS = ["()", ".", "class", "format", "datefmt", "style", "stream", "filename", "mode", "level", "formatter", "filters", "handlers", "version", "incremental", "name", "target", "args"]
VALUES: list[Any] = ["", "x", "w", "a", "{", "INFO", "plain", "file", "{message.a}", "ext://sys.stdout", "ext://os.system", "cfg://root", "logging.StreamHandler", "logging.FileHandler", "os.system"]
VALUES += [None, True, 1, []]
# fmt: on
CLASSES = [
    "logging.StreamHandler",
    "logging.FileHandler",
    "logging.handlers.RotatingFileHandler",
    "logging.NullHandler",
]


def dangers(value: Any, steps: tuple[Any, ...] = ()) -> Iterator[str]:
    """What dictConfig would look up, call or set, or write over, wherever it stands, found in another way."""
    if isinstance(value, dict):
        for key, inner in value.items():
            named = len(steps) == 1 and steps[0] in {"formatters", "filters", "handlers", "loggers"}
            if not named and key in {"()", ".", "incremental", "target", "queue", "listener", "args"}:
                yield key
            if (
                not named
                and key == "class"
                and inner is not None
                and (inner not in CLASSES or steps[:1] != ("handlers",))
            ):
                yield f"class {inner}"
            if not named and key == "mode" and inner not in ("a", None):
                yield f"mode {inner}"
            yield from dangers(inner, (*steps, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from dangers(inner, (*steps, position))
    elif isinstance(value, str) and value.partition("://")[0] in {"ext", "cfg"}:
        is_stream = len(steps) == 3 and (steps[0], steps[2]) == ("handlers", "stream")
        if not is_stream or value not in {"ext://sys.stdout", "ext://sys.stderr"}:
            yield value


@pytest.mark.parametrize("path", sorted({case[0] for case in HOSTILE}))
def test_whatever_is_taken_holds_no_danger(path: str) -> None:
    """At every place every value, alone, in a list and in a table: what passes has nothing in it that dictConfig would look up or call."""
    refused = 0
    for value in [*VALUES, *([value] for value in VALUES), *({key: value} for key in KEYS for value in VALUES)]:
        table = changed(path, value)
        try:
            logging_types.check_logging_of_file(table, Place("c, "))
        except ConfigError:
            refused += 1
        else:
            assert list(dangers(table)) == [], value
    assert refused, "no place takes everything"


def test_the_danger_is_seen() -> None:
    """The test above sees what it looks for."""
    assert list(dangers(SOUND)) == []
    seen = [list(dangers(changed(path, value))) for path, value, _ in HOSTILE]
    assert sum(map(bool, seen)) > len(HOSTILE) // 2
