"""Runs in processes of their own, in which the k-th operation on storage kills the process, fails, or waits for a signal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import zapz

SOURCE = str(Path(zapz.__file__).parents[1])


ROOT = hasattr(os, "getuid") and os.getuid() == 0


Reply = dict[str, Any]


WARM = r"""
import codecs, contextlib, importlib, pathlib, pkgutil, tempfile
import zapz, zapz.cli.demo
for module in pkgutil.walk_packages(zapz.__path__, "zapz."):  # to a user without rights the packages may be out of reach
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for name in ("ascii", "utf-8-sig"):
    codecs.lookup(name)
with tempfile.TemporaryDirectory() as folder:
    *days, late = zapz.cli.demo.write_slices(pathlib.Path(folder, "demo"))
    cube = pathlib.Path(folder, "demo", "cube.zarr")
    zapz.append(cube, days)
    zapz.info(cube)
    zapz.append(cube, days[-1])
    with contextlib.suppress(zapz.ZapzError):
        zapz.append(cube, late)
"""
"""Python that imports and runs all that a later child may need which is another user, without the right to import it."""

_SERVER = r"""
import ctypes, errno, fcntl, importlib, json, os, signal, sys, time
import numpy, numcodecs.blosc, numcodecs.zstd, numcodecs.zlib, zlib
import zapz, zapz.api
from zapz.errors import ZapzError

import contextlib
with contextlib.suppress(ImportError):  # syncs go through os.fsync, which is counted and does nothing
    importlib.import_module("zapz.storage.local.durability")._syncfs = lambda: None

CHANGES = ("write", "pwrite", "replace", "link", "unlink", "mkdir", "rmdir", "ftruncate", "fchmod", "fchown")
LOOKS = ("read", "pread", "stat", "lstat", "fstat", "scandir", "fsync")

def patch(order):
    real = {name: getattr(os, name) for name in (*CHANGES, *LOOKS, "open")}
    state = {"n": 0, "log": [], "failed": 0}
    kill, fail, pause = order.get("kill"), order.get("fail"), order.get("pause")
    looks = fail is not None and fail.get("looks")
    roots = tuple(order["roots"])
    mine = set()

    def concerns(args):
        first = args[0] if args else ""
        if isinstance(first, int):
            return first in mine
        return str(os.fspath(first)).startswith(roots)

    def step(name, args):
        n = state["n"] = state["n"] + 1
        state["log"].append(name + " " + " ".join(str(a) for a in args[:2] if isinstance(a, (str, int))))
        if kill == n:
            if name in ("write", "pwrite") and order.get("torn"):
                half = memoryview(args[1]).cast("B")
                real[name](args[0], half[: len(half) // 2], *args[2:])
            os.kill(os.getpid(), signal.SIGKILL)
        if pause == n:
            print(json.dumps({"paused": os.getpid()}), flush=True)
            time.sleep(30)
        for hook in order.get("hooks", ()):
            if hook["at"] == n:
                if not os.path.isdir(os.path.dirname(hook["path"])):
                    os.makedirs(os.path.dirname(hook["path"]))
                with open(hook["path"], "wb") as file:
                    file.write(bytes.fromhex(hook["data"]))
        if fail is not None:
            named = fail.get("only") is None or name in fail["only"]
            part = fail.get("containing")
            inside = part is None or any(part in str(a) for a in args[:2] if isinstance(a, str))
            now = n == fail["at"] or (fail.get("on") and n >= fail["at"])
            if named and inside and now and state["failed"] < fail.get("times", 1 << 30):
                state["failed"] += 1
                number = getattr(errno, fail["errno"])
                raise OSError(number, os.strerror(number))

    def wrap(name):
        def run(*args, **kwargs):
            if name == "fsync":
                if looks and concerns(args):
                    step(name, args)
                return None
            if concerns(args):
                number = order.get("nolink") if name == "link" else None
                if number is not None and (number != "EXDEV" or "/.zapz/" not in str(args[1])):
                    raise OSError(getattr(errno, number), number)
                step(name, args)
            return real[name](*args, **kwargs)
        return run

    def opened(path, flags, *args, **kwargs):
        ours = isinstance(path, (str, os.PathLike)) and str(os.fspath(path)).startswith(roots)
        if ours and (looks or flags & os.O_CREAT):
            step("create" if flags & os.O_CREAT else "open", (path,))
        descriptor = real["open"](path, flags, *args, **kwargs)
        (mine.add if ours else mine.discard)(descriptor)
        return descriptor

    for name in (*CHANGES, *(LOOKS if looks else ("fsync",))):
        setattr(os, name, wrap(name))
    os.open = opened
    return state

def serve(order):
    if order.get("uid"):
        os.setgroups(order.get("groups", [])); os.setgid(order["uid"]); os.setuid(order["uid"])
    if "umask" in order:
        os.umask(order["umask"])
    state = patch(order)
    reply = {"code": 0, "error": "", "message": ""}
    try:
        if order["call"] == "append":
            report = zapz.append(order["target"], order["slices"], **order.get("settings", {}))
            reply["appended"], reply["already"], reply["length"] = report.appended, report.already, report.length
        else:
            done = zapz.recover(order["target"], **order.get("settings", {}))
            reply["clean"] = done.clean
    except ZapzError as error:
        reply |= {"code": error.exit_code, "error": type(error).__name__, "message": str(error)}
    except BaseException as error:
        import traceback
        reply |= {"code": 1, "error": type(error).__name__, "message": traceback.format_exc()}
    reply["ops"], reply["log"] = state["n"], state["log"]
    return reply

for line in sys.stdin:
    order = json.loads(line)
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(here)
        data = json.dumps(serve(order)).encode()
        with open(there, "wb") as pipe:
            pipe.write(data)
        os._exit(0)
    os.close(there)
    with open(here, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    reply = json.loads(data) if data else {"code": None}
    reply["signal"] = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    print(json.dumps(reply), flush=True)
"""


class Server:
    """A process that has imported zapz and forks a child for every run."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": SOURCE}
        self._process = subprocess.Popen(
            [sys.executable, "-c", WARM + _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, call: str, target: Path, *slices: Path, roots: Sequence[Path] = (), **order: Any) -> Reply:
        """Run ``append`` or ``recover``; see the script for what may be ordered."""
        order |= {
            "call": call,
            "target": str(target),
            "slices": [str(s) for s in slices],
            "roots": [str(r) for r in (target, *roots)],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        reply: Reply = json.loads(self._process.stdout.readline())
        return reply

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a server."""
    running = Server()
    yield running
    running.stop()
