"""File systems made for one test, and real processes on them: forked ready-made, stopped, continued and killed at will.

A nursery is a process that has imported zapz and forks a child for every order; it may live in name spaces of its own. It is this very
module, so pytest is not imported here.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import io
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

from kit import TESTS

SECONDS = 120.0
"""So long, at most, a process is waited for."""
SIZES = {"ext4": "96M", "xfs": "300M"}
"""Of the images, by kind of file system; xfs is not made smaller."""
_PROGRAMS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

# -- file systems ------------------------------------------------------------------------------------------------------


class MissingError(Exception):
    """What a test needs and this machine does not have; the message names it."""


def call(*command: object) -> None:
    """Run a program that needs a right.

    Raises:
        MissingError: It is not installed, or not allowed.
    """
    name, *rest = map(str, command)
    if (program := shutil.which(name, path=_PROGRAMS)) is None:
        raise MissingError(f"{name} is not installed")
    said = subprocess.run([program, *rest], capture_output=True, text=True, timeout=SECONDS, check=False)
    if said.returncode:
        raise MissingError(f"no right to do this, or it does not work here: {name} {' '.join(rest)}: {said.stderr}")


@contextlib.contextmanager
def _mounted(place: Path, *command: object) -> Iterator[Path]:
    place.mkdir()
    call(*command)
    try:
        yield place
    finally:
        call("umount", "-l", place)


@contextlib.contextmanager
def bound(source: Path, place: Path) -> Iterator[Path]:
    """Mount a folder at another place too, through FUSE."""
    if not os.path.exists("/dev/fuse"):
        raise MissingError("there is no /dev/fuse")
    source.mkdir()
    with _mounted(place, "bindfs", "--no-allow-other", source, place):
        yield place


@contextlib.contextmanager
def looped(memory: Path, place: Path, kind: str) -> Iterator[Path]:
    """Make a file system in a file, and mount it. The file lies in memory: no test waits for the disk."""
    if not os.path.exists("/dev/loop-control"):
        raise MissingError("there is no /dev/loop-control")
    image = memory / "image"
    with _mounted(memory, "mount", "-t", "tmpfs", "tmpfs", memory):
        call("truncate", "-s", SIZES[kind], image)
        call(f"mkfs.{kind}", "-q", image)
        with _mounted(place, "mount", "-t", kind, "-o", "loop", image, place):
            yield place


# -- processes ---------------------------------------------------------------------------------------------------------


class Child:
    """A process that a nursery has forked."""

    def __init__(self, nursery: Nursery, said: Path) -> None:
        self.pid = 0
        """Its number, as the nursery sees it."""
        self.code: int | None = None
        """Exit code; negative: the signal that killed it."""
        self.still = False
        """Whether it is stopped."""
        self._nursery = nursery
        self._said = said
        for suffix in (".out", ".err"):
            said.with_suffix(suffix).touch()

    @property
    def out(self) -> str:
        """What it has written to standard output."""
        return self._said.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        """What it has written to standard error."""
        return self._said.with_suffix(".err").read_text()

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        self._nursery.tell(pid=self.pid, signal=int(number))

    def is_stopped(self) -> bool:
        """Wait until it has stopped or ended; return whether it has stopped."""
        self._nursery.until(lambda: self.still or self.code is not None, self)
        return self.still

    def ended(self) -> int:
        """Wait until it has ended; return its exit code."""
        try:
            self._nursery.until(lambda: self.code is not None, self)
        except AssertionError:
            self.signal(signal.SIGUSR1)  # it says where it hangs
            time.sleep(1)
            raise AssertionError(f"a process hangs: {self}") from None
        assert self.code is not None
        return self.code

    def __repr__(self) -> str:
        return f"<{self.pid}: exit {self.code} {'stopped ' if self.still else ''}{self.out} {self.err}>"


class Nursery:
    """A process that forks others. To be used as a context, at the end of which all of them are killed."""

    def __init__(self, *prefix: str, warm: tuple[str, ...] = ()) -> None:
        """Start it.

        Args:
            prefix: Program and arguments that start it in name spaces of its own.
            warm: Modules to import beforehand, besides zapz.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="nursery-"))
        self._children: dict[int, Child] = {}
        """By the numbers of their orders."""
        self._change = threading.Condition()
        self._numbers = itertools.count()
        self._gone = self._ready = False
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "ignore", "-c", "from kit import mounts; mounts.serve()", *warm],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{_source()}:{TESTS}", "OPENBLAS_NUM_THREADS": "1"},
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Wait until it is ready."""
        try:
            self.until(lambda: self._ready)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and all its children."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(20)
        self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._change:
                if "number" in told:
                    for name, value in told.items():
                        if name != "number":
                            setattr(self._children[told["number"]], name, value)
                else:
                    self._ready = True
                self._change.notify_all()
        with self._change:
            self._gone = True
            self._change.notify_all()

    def tell(self, **order: Any) -> None:
        """Send an order."""
        assert self._process.stdin is not None
        with self._change:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

    def until(self, reached: Callable[[], bool], child: Child | None = None) -> None:
        """Wait until something is the case, which something that is told may have changed."""
        with self._change:
            in_time = self._change.wait_for(lambda: reached() or self._gone, SECONDS)
            assert reached() or not self._gone, f"a nursery has ended: {self._process.poll()} {child}"
        assert in_time, f"a process hangs: {child}"

    def start(self, code: str) -> Child:
        """Fork a child that executes source text."""
        number = next(self._numbers)
        child = self._children[number] = Child(self, self._folder / str(number))
        self.tell(number=number, code=code, said=str(self._folder / str(number)))
        self.until(lambda: child.pid != 0)
        return child

    def run(self, code: str) -> Child:
        """Do so, and wait for its end."""
        child = self.start(code)
        child.ended()
        return child


def _source() -> str:
    """Return the folder from which this process imports zapz."""
    import zapz

    return str(Path(zapz.__file__).parents[1])


def command(*arguments: object, lease: float = 60.0, first: str = "", last: str = "") -> str:
    """Return source text that runs the command line.

    Args:
        arguments: Of ``zapz``.
        lease: Seconds without a sign of life after which others may take over from it.
        first: Source text that is executed before.
        last: The same afterwards.
    """
    return f"""
import sys
from kit import mounts
from zapz.storage.local import lease_lock, turn
turn.LEASE, lease_lock._POLL = {lease}, 0.02
{first}
sys.argv = {["zapz", *map(str, arguments)]!r}
from zapz.__main__ import main
try:
    main()
finally:
    {last or "pass"}
"""


# -- in a nursery ------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Be a nursery: read orders, a line each, and tell of children that have begun, stopped, gone on or ended."""
    for name in (
        "zapz.api",
        "zapz.operations.append",
        "zapz.cli.app",
        "zapz.cli.commands",
        "zapz.storage.local.lease_lock",
        *sys.argv[1:],
    ):
        importlib.import_module(name)
    _warm()
    woken, waking = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, int] = {}
    _tell(ready=True)
    rest = b""
    while True:
        readable, _, _ = select.select([0, woken], [], [])
        if woken in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            _reap(children)
        if 0 in readable:
            read = os.read(0, 1 << 16)
            if not read:
                break
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                _obey(json.loads(line), children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _warm() -> None:
    """Let the command line import what it imports when it is called."""
    from zapz.cli.app import app

    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        app(["--version"])


def _tell(**told: Any) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


def _obey(order: dict[str, Any], children: dict[int, int]) -> None:
    if "signal" in order:
        if order["pid"] in children:
            os.kill(order["pid"], order["signal"])
        return
    pid = os.fork()
    if not pid:
        _be(order["code"], order["said"])
    children[pid] = order["number"]
    _tell(number=order["number"], pid=pid)


def _reap(children: dict[int, int]) -> None:
    """Tell what has become of children."""
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        except ChildProcessError:
            return
        if not pid:
            return
        if pid not in children:  # of a program that has become the first process of its name space
            continue
        if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
            _tell(number=children[pid], still=os.WIFSTOPPED(status))
        else:
            _tell(number=children.pop(pid), still=False, code=os.waitstatus_to_exitcode(status))


def _be(code: str, said: str) -> NoReturn:
    """Be a child."""
    end = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, suffix in ((1, ".out"), (2, ".err")):
            os.dup2(os.open(said + suffix, os.O_WRONLY | os.O_APPEND), number)
        faulthandler.register(signal.SIGUSR1)
        exec(compile(code, "<order>", "exec"), {"__name__": "__main__"})
        end = 0
    except SystemExit as stop:
        end = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:  # noqa: BLE001 - what Python does
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end)


# -- in a child --------------------------------------------------------------------------------------------------------

CHANGES = ("link", "mkdir", "rename", "replace", "rmdir", "unlink", "write")
"""Functions of ``os`` that change something; so does ``os.open`` when it may create."""
_count = itertools.count()


def stop() -> None:
    """Stop this process, which goes on at this place when it is continued."""
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def die() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_changes(acts: Mapping[int, Callable[[], None]]) -> None:
    """Do something before the changes of these numbers that this process makes from now on, the first being 0."""

    def step() -> None:
        if act := acts.get(next(_count)):
            act()

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            step()
            return real(*arguments, **options)

        return run

    real = os.open

    def opened(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            step()
        return real(path, flags, *rest, **options)

    for name in CHANGES:
        setattr(os, name, wrapped(getattr(os, name)))
    os.open = opened


def changes() -> int:
    """Return how many changes there were since ``at_changes``."""
    return next(_count)


def at_changes_after_look(acts: Mapping[int, Callable[[], None]]) -> None:
    """Do so once a waiter has seen that the lease is over; its first change is to end that turn, by giving its folder another name."""
    real = os.rename

    def rename(source: Any, target: Any) -> None:
        if Path(source).parent.name == "turn":
            os.rename = real
            at_changes(acts)
        (real if os.rename is rename else os.rename)(source, target)

    os.rename = rename  # type: ignore[assignment]


def before_commit(act: Callable[[], None]) -> None:
    """Do something when everything is written, before the decision."""
    from zapz.txn.local.transaction import Transaction

    real = Transaction.commit

    def commit(self: Transaction) -> None:
        act()
        real(self)

    Transaction.commit = commit  # type: ignore[method-assign]


def before_touching(end: str, act: Callable[[], None]) -> None:
    """Do something before a file whose path ends so is made, linked or replaced for the first time."""
    done: list[bool] = []

    def look(path: Any) -> None:
        if not done and os.fspath(path).endswith(end):
            done.append(True)
            act()

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(source: Any, target: Any, **options: Any) -> Any:
            look(target)
            return real(source, target, **options)

        return run

    real = os.open

    def opened(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            look(path)
        return real(path, flags, *rest, **options)

    for name in ("link", "rename", "replace"):
        setattr(os, name, wrapped(getattr(os, name)))
    os.open = opened


def before_reading(end: str, act: Callable[[], None]) -> None:
    """Do something before a file whose path ends so is read for the first time."""
    real = os.open

    def opened(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if not flags & os.O_CREAT and os.fspath(path).endswith(end):
            os.open = real
            act()
        return real(path, flags, *rest, **options)

    os.open = opened


def clock_stands_still() -> None:
    """Let this process never notice by itself that time has passed: as if it stood still after each look at its clock."""
    from zapz.storage import clock

    clock.now = lambda: 0.0


def slow(seconds: float) -> None:
    """Let every chunk take so long."""
    from zapz.txn.local.transaction import Transaction

    real = Transaction.put

    def put(self: Transaction, *arguments: Any) -> int:
        time.sleep(seconds)
        return real(self, *arguments)

    Transaction.put = put  # type: ignore[method-assign, assignment]


def read_along(target: str, ready: str, done: str) -> None:
    """Read by consolidated metadata until ``done`` exists; print how many readings there were, failed or lacked chunks, and what else was wrong.

    Labels are 0, 1, ...; ``v`` holds them in each of 4 columns, ``w`` twice as much.
    """
    import numpy as np
    import zarr

    count = dict.fromkeys(("readings", "failed", "torn"), 0)
    wrong: list[str] = []
    last = 0
    while not os.path.exists(done):
        count["readings"] += 1
        try:
            group: Any = zarr.open_group(target, mode="r", use_consolidated=True)
            arrays = [group[name] for name in ("time", "v", "w")]
            found = [np.asarray(array[...]) for array in arrays]
        except Exception as error:  # noqa: BLE001 - it is counted
            count["failed"] += 1
            sys.stderr.write(f"{error!r}\n")
            continue
        finally:
            Path(ready).touch()
        labels = np.arange(len(found[0]))
        rows = np.repeat(labels[:, None], 4, 1)
        whole = [labels, rows, 2 * rows]
        fills = [array.fill_value or 0 for array in arrays]
        if [f.shape for f in found] != [e.shape for e in whole] or len(labels) < last:
            wrong.append(f"shapes {[f.shape for f in found]} after {last}")
        elif any(((f != e) & (f != fill)).any() for f, e, fill in zip(found, whole, fills, strict=True)):
            wrong.append(f"{[f.tolist() for f in found]}")
        elif any((f != e).any() for f, e in zip(found, whole, strict=True)):
            count["torn"] += 1
        last = len(labels)
    sys.stdout.write(json.dumps({**count, "wrong": wrong[:3]}))
