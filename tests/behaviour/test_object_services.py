"""zapz on services that mean their conditions (Ceph, Azurite) and on one that shows their shape (moto).

What an append leaves is compared byte for byte with a local target made of the same slices, and read by zarr-python as readers do, by
consolidated metadata. Then: services that ignore conditions, or cannot replace on a tag; processes that race, are killed, or stand still for
longer than their lease; readers meanwhile; a service that is slow; and secrets, which must be found nowhere.
"""
# fixtures are imported

import contextlib
import dataclasses
import http.server
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry as registered
from kit import cubes
from kit.servers import BUCKET, HOST, Server, free_port, on_azurite, on_ceph

import zapz
from zapz.cli.demo import write_slice
from zapz.storage.layout import LOCK
from zapz.storage.objects import backends, files
from zapz.storage.objects import store as objects
from zapz.storage.open import open_store
from zapz.txn.objects import lease

pytestmark = pytest.mark.filterwarnings("default")  # clients' own

MOTO = pytest.param("moto_s3")
CEPH, AZURITE = pytest.param("ceph", marks=on_ceph), pytest.param("azurite", marks=on_azurite)
SHORT = 1.5
"""Seconds of a lease that a test can wait for."""

Settings = Mapping[str, Any]
Note = Callable[[str, object], None]
"""pytest's ``record_property``: figures for ``--junit-xml``."""


@dataclasses.dataclass(frozen=True)
class Cube:
    """A target on a service, with a name that nobody else takes."""

    server: Server
    copied: bool = False
    """Whether zarr-python reads a copy: it asks for the index of a shard by its distance from the end, which adlfs does not know."""
    name: str = dataclasses.field(default_factory=lambda: f"cube-{uuid.uuid4().hex}.zarr")

    @property
    def uri(self) -> str:
        return self.server.uri(self.name)

    @property
    def options(self) -> dict[str, Any]:
        return {"target_storage_options": dict(self.server.options)}

    def append(self, *slices: Path | str, **settings: Any) -> zapz.Report:
        return zapz.append(self.uri, [str(s) for s in slices], **self.options, label_units="keep", **settings)

    def objects(self, *, ours: bool = False) -> dict[str, bytes]:
        """Return the target's objects, without those of zapz's own folder; or only those."""
        fs, root = fsspec.core.url_to_fs(self.uri, **self.server.options)
        fs.invalidate_cache()
        found = {path.removeprefix(root).lstrip("/"): fs.cat_file(path) for path in fs.find(root)}
        return {key: data for key, data in found.items() if key.startswith(".zapz/") == ours}

    def read(self, last: int = 0) -> dict[str, cubes.Values]:
        """Read it as a reader of consolidated metadata does who has only just come; of the data, perhaps only the last steps."""
        import zarr

        with cubes.quiet():
            store: Any = zarr.storage.FsspecStore.from_url(self.uri, storage_options=dict(self.server.options))
            if self.copied:
                prototype = zarr.core.buffer.default_buffer_prototype()
                copies = {key: prototype.buffer.from_bytes(data) for key, data in self.objects().items()}
                store = zarr.storage.MemoryStore(copies, read_only=True)
            group = zarr.open_group(store, mode="r", use_consolidated=True)
            return {
                name: np.asarray(array[-last if array.ndim == 3 else 0 :] if array.ndim else array[...])
                for name, array in group.arrays()
            }

    def has(self, slices: Sequence[tuple[Path, dict[str, cubes.Values]]]) -> None:
        """Assert that it holds these slices, each once and whole, in any order."""
        found = self.read()
        days = found["time"].tolist()
        parts = sorted((values for _, values in slices), key=lambda values: days.index(values["time"][0]))
        cubes.same(found, cubes.joined(parts, cubes.axes_of()))


@pytest.fixture(params=[MOTO, CEPH, AZURITE])
def service(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def strict(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


on_strict = pytest.mark.parametrize("strict", [CEPH, AZURITE], indirect=True)

LAYOUTS: dict[str, tuple[Settings, Sequence[int]]] = {
    "v2 aligned": ({"zarr_format": 2, "chunks": (1, 2, 3), "time_chunk": 1}, (2, 1, 3)),
    "v2 misaligned": ({"zarr_format": 2, "chunks": (4, 2, 3), "compressors": cubes.compressor("zlib", 2)}, (3, 5, 2)),
    "v3 aligned": ({"zarr_format": 3, "chunks": (3, 4, 3)}, (3, 3, 6)),
    "v3 misaligned": ({"zarr_format": 3, "chunks": (4, 2, 3), "nested": True}, (3, 2, 5)),
    "v3 sharded": ({"zarr_format": 3, "chunks": (2, 2, 3), "shards": (8, 4, 6)}, (4, 2, 6)),
}


def wherever(layouts: Iterable[str], few: str) -> list[Any]:
    """Return all layouts on the servers that mean it, and one on moto, which is slow."""
    return [
        ("moto_s3", few),
        *(pytest.param(*server.values, layout, marks=server.marks) for server in (CEPH, AZURITE) for layout in layouts),
    ]


def made(folder: Path, layout: Settings, steps: Sequence[int]) -> list[tuple[Path, dict[str, cubes.Values]]]:
    """Make slices that follow one another, and return them with their values."""
    starts = [0, *itertools.accumulate(steps)]
    paths = [folder / f"{number}.zarr" for number in range(len(steps))]
    return [
        (path, cubes.make_slice(path, start=start, steps=length, consolidated=True, **layout))
        for path, start, length in zip(paths, starts, steps, strict=False)
    ]


def cube_of(server: Server, layout: str) -> Cube:
    return Cube(server, copied=server.protocol == "az" and "shards" in LAYOUTS[layout][0])


def local(folder: Path, slices: Sequence[Path], **settings: Any) -> dict[str, bytes]:
    """Return what a local target holds after the same appends."""
    target = folder / "local.zarr"
    zapz.append(target, [str(s) for s in slices], **settings)
    return cubes.files(target)


def uploaded(server: Server, slices: Sequence[Path]) -> list[str]:
    fs, root = fsspec.core.url_to_fs(server.uri(f"slices-{uuid.uuid4().hex}"), **server.options)
    for path in slices:
        for key, data in cubes.files(path).items():
            fs.pipe_file(f"{root}/{path.name}/{key}", data)
    return [f"{server.protocol}://{root}/{path.name}" for path in slices]


@pytest.mark.parametrize(("service", "layout"), wherever(LAYOUTS, few="v3 misaligned"), indirect=["service"])
def test_an_append_is_what_it_is_locally(service: Server, layout: str, tmp_path: Path) -> None:
    slices = made(tmp_path, *LAYOUTS[layout])
    paths = [path for path, _ in slices]
    cube, there = cube_of(service, layout), {"slice_storage_options": service.options}
    assert cube.append(paths[0]).appended == 1
    remote = uploaded(service, paths[1:])
    assert cube.append(*remote, **there).appended == 2
    assert cube.objects() == local(tmp_path, paths)
    found = cube.read()
    cubes.same(
        found, {name: v for name, v in cubes.joined([v for _, v in slices], cubes.axes_of()).items() if name in found}
    )
    again = cube.append(*paths)
    assert (again.appended, again.already, again.length) == (0, 3, sum(LAYOUTS[layout][1]))
    about = zapz.info(cube.uri, **cube.options)
    assert about.dims["time"] == again.length
    assert zapz.recover(cube.uri, **cube.options).clean
    assert not zapz.unlock(cube.uri, **cube.options)
    assert zapz.vacuum(cube.uri, **cube.options).removed == 0
    assert cube.objects() == local(tmp_path, paths)
    assert set(cube.objects(ours=True)) == {".zapz/head"}


@pytest.mark.parametrize(
    ("service", "layout"), wherever(["v2 misaligned", "v3 sharded"], few="v3 sharded"), indirect=["service"]
)
@pytest.mark.parametrize("tidy", [False, True])
def test_a_damaged_slice_is_given_up(service: Server, layout: str, tidy: bool, tmp_path: Path) -> None:
    slices = [path for path, _ in made(tmp_path, *LAYOUTS[layout])]
    cube = cube_of(service, layout)
    cube.append(slices[0])
    before, readable = cube.objects(), cube.read()
    bad = tmp_path / "bad.zarr"
    shutil.copytree(slices[1], bad)
    chunk = max(
        p for p in (bad / "data").rglob("*") if p.is_file() and p.name not in {"zarr.json", ".zarray", ".zattrs"}
    )
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(zapz.ChunkError):
        cube.append(bad)
    cubes.same(cube.read(), readable)
    if tidy:
        zapz.vacuum(cube.uri, **cube.options)
        assert cube.objects().keys() == before.keys()
    assert cube.append(*slices[1:]).appended == 2
    assert cube.objects() == local(tmp_path, slices)


def test_several_targets_at_once(service: Server, tmp_path: Path) -> None:
    slices = [path for path, _ in made(tmp_path, *LAYOUTS["v2 misaligned"])]
    targets = [Cube(service) for _ in range(3)]
    errors: list[BaseException] = []

    def run(cube: Cube) -> None:
        try:
            for path in slices:
                cube.append(path)
        except BaseException as error:  # noqa: BLE001 - judged by the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(cube,)) for cube in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    expected = local(tmp_path, slices)
    for cube in targets:
        assert cube.objects() == expected


# -- what services honour ----------------------------------------------------------------------------------------------------


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what services honour."""
    monkeypatch.setattr(objects, "_PROBED", {})


def test_probing(service: Server, unprobed: None) -> None:
    cube = Cube(service)
    store = open_store(cube.uri, dict(service.options))
    assert isinstance(store, objects.ObjectStore)
    store.probe()
    assert (store.abilities.exclusive, store.abilities.conditional) == (True, True)
    assert not cube.objects(ours=True), "nothing is left of it"


def deafen(monkeypatch: pytest.MonkeyPatch, *, creating: bool) -> None:
    """Let services ignore conditions on tags, and those on absence too if ``creating``."""
    drop = {"IfMatch", "etag", "match_condition", *(["IfNoneMatch", "overwrite"] if creating else [])}
    for kind in (backends.S3Backend, backends.AzureBackend):

        def put(self: Any, path: str, data: bytes, _send: Callable[..., Any] = kind._put, **condition: Any) -> Any:
            kept = {name: value for name, value in condition.items() if name not in drop}
            more = {"overwrite": True} if isinstance(self, backends.AzureBackend) and "overwrite" not in kept else {}
            return _send(self, path, data, **kept, **more)

        monkeypatch.setattr(kind, "_put", put)


def test_a_service_that_ignores_tags_gets_a_lock(
    service: Server, unprobed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deafen(monkeypatch, creating=False)
    slices = [path for path, _ in made(tmp_path, *LAYOUTS["v2 misaligned"])]
    cube = Cube(service)
    locked: list[bool] = []
    cube.append(*slices, on_slice=lambda report: locked.append(LOCK in cube.objects(ours=True)))
    assert locked == [True, True, True]
    assert set(cube.objects(ours=True)) == {".zapz/head"}
    assert cube.objects() == local(tmp_path, slices)


def test_a_service_that_ignores_all_conditions_is_refused(
    service: Server, unprobed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deafen(monkeypatch, creating=True)
    slices = [path for path, _ in made(tmp_path, *LAYOUTS["v2 misaligned"])]
    cube = Cube(service)
    with pytest.raises(zapz.StoreError, match="absent") as caught:
        cube.append(*slices)
    assert caught.value.exit_code == 6
    assert not cube.objects()
    cube.append(*slices, single_writer=True)
    assert cube.objects() == local(tmp_path, slices)


# -- a service that can only create: Google's, as a double -----------------------------------------------------------------


class FakeGoogle(MemoryFileSystem):
    """fsspec's memory under Google's name."""

    protocol = "gs"
    store: dict[str, Any] = {}  # noqa: RUF012 - as its base does
    pseudo_dirs = [""]  # noqa: RUF012 - the same

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("gs://"))


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, unprobed: None) -> Cube:
    monkeypatch.setitem(registered, "gs", FakeGoogle)
    FakeGoogle.store.clear()
    return Cube(Server(protocol="gs", options={}, processes={}))


def test_a_service_that_only_creates(google: Cube, tmp_path: Path) -> None:
    slices = [path for path, _ in made(tmp_path, *LAYOUTS["v2 misaligned"])]
    locked: list[bool] = []
    google.append(*slices, on_slice=lambda report: locked.append(LOCK in google.objects(ours=True)))
    assert locked == [True, True, True]
    assert google.objects() == local(tmp_path, slices)
    assert LOCK not in google.objects(ours=True)


def gone() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_locks_of_others(google: Cube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another machine stays until it is unlocked, one of a process here that lives stays, and a dead one's goes by itself."""
    from zapz.storage.holder import describe_me

    monkeypatch.setattr(lease, "LEASE", 1.0)
    slices = [path for path, _ in made(tmp_path, *LAYOUTS["v2 misaligned"])]
    google.append(slices[0])

    def leave(**who: Any) -> None:
        fsspec.filesystem("gs").pipe_file(f"{BUCKET}/{google.name}/{LOCK}", json.dumps(describe_me() | who).encode())

    leave(host="elsewhere", boot="- - -", process=1)
    with pytest.raises(zapz.LockedError, match="elsewhere") as caught:
        google.append(slices[1])
    assert caught.value.exit_code == 7
    assert zapz.unlock(google.uri)
    assert google.append(slices[1]).appended == 1
    leave()
    with pytest.raises(zapz.LockedError):
        zapz.unlock(google.uri)
    leave(process=gone())
    assert google.append(slices[2]).appended == 1
    assert google.objects() == local(tmp_path, slices)


# -- processes -------------------------------------------------------------------------------------------------------------

PROGRAM = """
import itertools, json, os, signal, sys, threading
import zapz
from zapz.storage.objects import backends
from zapz.txn.objects import lease

job = json.loads(sys.argv[1])
lease.LEASE = job["lease"]
numbers = itertools.count(1)

def end():
    os.kill(os.getpid(), signal.Signals[job["signal"]])

def counted(kind):
    send = kind._put
    def put(self, *args, **kwargs):
        if next(numbers) == job["at"]:
            threading.Timer(job["delay"], end).start() if job["delay"] else end()
        return send(self, *args, **kwargs)
    kind._put = put

counted(backends.S3Backend)
counted(backends.AzureBackend)
import s3fs, zarr
print("ready", flush=True)
sys.stdin.readline()
try:
    report = zapz.append(job["target"], job["slices"], **job["settings"])
except zapz.ZapzError as error:
    print(error, file=sys.stderr)
    os._exit(error.exit_code)
print(json.dumps({"appended": report.appended, "already": report.already, "writes": next(numbers) - 1}), flush=True)
os._exit(0)
"""


class Worker:
    """A process that appends, once it is told to begin; it can send itself a signal before (or soon after) its n-th write."""

    def __init__(
        self,
        cube: Cube,
        slices: Sequence[Path],
        *,
        sends: str = "",
        at: int = 0,
        delay: float = 0.0,
        lasting: float = lease.LEASE,
        **settings: Any,
    ) -> None:
        job = {
            "target": cube.uri, "slices": [str(s) for s in slices], "settings": {**cube.options, **settings},
            "signal": sends, "at": at, "delay": delay, "lease": lasting,
        }  # fmt: skip
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(job)]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def begin(self) -> "Worker":
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self

    def wait_until_stopped(self) -> bool:
        """Return True once it stands still, False if it has ended instead."""
        found = os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        return found is not None and found.si_code == os.CLD_STOPPED

    def end(self) -> tuple[int, str]:
        """Return its exit code, and what it said."""
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, (out or err).strip()

    def report(self) -> dict[str, int]:
        code, said = self.end()
        assert code == 0, said
        return json.loads(said)


def race(server: Server, folder: Path, writers: int) -> None:
    """Processes append one slice each to the same target at the same moment; all that they hold arrives, once, whole."""
    layout, _ = LAYOUTS["v2 misaligned"]
    slices = made(folder, layout, (3, *range(2, writers + 2)))
    cube = Cube(server)
    cube.append(slices[0][0])
    workers = [Worker(cube, [path], lock_wait=60, label_order="any") for path, _ in slices[1:]]
    for worker in workers:
        worker.begin()
    assert [worker.report()["appended"] for worker in workers] == [1] * writers
    cube.has(slices)
    assert cube.append(*[path for path, _ in slices[1:]], label_order="any").already == writers


@pytest.mark.parametrize(("service", "writers"), [("moto_s3", 2)], indirect=["service"])
def test_processes_that_race_a_little(service: Server, writers: int, tmp_path: Path) -> None:
    race(service, tmp_path, writers)


@pytest.mark.parametrize("writers", [2, 3, 4])
@on_strict
def test_processes_that_race(strict: Server, writers: int, tmp_path: Path) -> None:
    race(strict, tmp_path, writers)


def killed(server: Server, folder: Path, rounds: int, seed: int) -> None:
    """A process dies anywhere; the next run knows at once that it is dead, carries on, and makes what would have been made."""
    slices = [path for path, _ in made(folder, *LAYOUTS["v2 misaligned"])]
    expected = local(folder, slices)
    whole = Worker(Cube(server), slices).begin().report()["writes"]
    moments, rnd = [], random.Random(seed)
    for _ in range(rounds):
        at, delay = rnd.randint(1, whole), rnd.choice([0.0, 0.002, 0.005, 0.02])
        cube = Cube(server)
        code, said = Worker(cube, slices, sends="SIGKILL", at=at, delay=delay).begin().end()
        moments.append((at, delay, code))
        assert code == -signal.SIGKILL or (code == 0 and delay), (moments, said)
        started = time.monotonic()
        report = cube.append(*slices)
        assert time.monotonic() - started < lease.LEASE / 4, moments
        assert report.appended + report.already == len(slices), moments
        assert cube.objects() == expected, moments
    assert sum(code != 0 for _, _, code in moments) >= rounds // 2, moments


@pytest.mark.parametrize("service", [MOTO], indirect=True)
def test_a_process_killed_somewhere(service: Server, tmp_path: Path) -> None:
    killed(service, tmp_path, rounds=1, seed=1)


@on_strict
def test_processes_killed_anywhere(strict: Server, tmp_path: Path) -> None:
    killed(strict, tmp_path, rounds=15, seed=2)


@pytest.mark.parametrize("part", range(2))
@on_strict
def test_processes_that_stand_still_for_too_long(
    strict: Server, part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond its lease another takes over; whatever the sleeper still sends when it wakes up, the target is right."""
    monkeypatch.setattr(lease, "LEASE", SHORT)
    layout, steps = LAYOUTS["v2 misaligned"]
    base, sleepy, other = slices = made(tmp_path, layout, steps)
    more: dict[str, Any] = {"lock_wait": 20, "label_order": "any"}
    rehearsal = Cube(strict)
    rehearsal.append(base[0])
    whole = Worker(rehearsal, [sleepy[0]], **more).begin().report()["writes"]
    codes: Counter[int] = Counter()
    for at in range(whole - 2 * part, whole // 3, -4):  # the probing apart
        cube = Cube(strict)
        cube.append(base[0])
        worker = Worker(cube, [sleepy[0]], sends="SIGSTOP", at=at, lasting=SHORT, **more).begin()
        assert worker.wait_until_stopped(), (at, worker.end())
        assert cube.append(other[0], **more).appended == 1, at
        worker.process.send_signal(signal.SIGCONT)
        code, said = worker.end()
        codes[code] += 1
        assert code in {0, 7, 8}, (at, said)
        held = Counter(day in cube.read()["time"] for day in sleepy[1]["time"])
        assert len(held) == 1, (at, "a part of it is there")
        assert code or held[True], (at, "it was told success")
        assert code != 0 or at == whole, (at, "it went on as if it had not lost its turn")
        cube.append(sleepy[0], **more)
        cube.has(slices)
    assert codes[8] + codes[7] >= 2, codes


@pytest.mark.parametrize(
    ("service", "appends"),
    [("moto_s3", 6), pytest.param("ceph", 60, marks=on_ceph), pytest.param("azurite", 60, marks=on_azurite)],
    indirect=["service"],
)
def test_readers_meanwhile(service: Server, appends: int, tmp_path: Path, record_property: Note) -> None:
    """Whoever opens it anew sees a number of whole slices, whenever that is."""
    layout, steps = {"zarr_format": 2, "chunks": (4, 4, 6), "static": False}, [1 + n % 3 for n in range(appends + 1)]
    slices = made(tmp_path, layout, steps)
    expected = cubes.joined([values for _, values in slices], cubes.axes_of())
    cube = Cube(service)
    cube.append(slices[0][0])
    worker = Worker(cube, [path for path, _ in slices[1:]]).begin()
    seen: Counter[int] = Counter()
    while worker.process.poll() is None:
        found = cube.read(last=9)
        length = len(found["time"])
        assert length in set(itertools.accumulate(steps)), seen
        cubes.same(found, {"time": expected["time"][:length], "data": expected["data"][:length][-9:]})
        seen[length] += 1
    assert worker.report()["appended"] == appends
    assert len(seen) > appends / 4, seen
    record_property("readings", sum(seen.values()))


# -- a slow service --------------------------------------------------------------------------------------------------------

DELAY = 0.05
"""Seconds that the slow service takes more for every answer."""


class SlowLine:
    """A TCP proxy on loopback that holds back every answer for a while."""

    def __init__(self, port: int) -> None:
        self._there = port
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        self.answers = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self._there))
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [client, server]
                asked = threading.Event()
                threading.Thread(target=self._pump, args=(client, server, asked, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, asked, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, asked: threading.Event, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if asks:
                    asked.set()
                elif asked.is_set():
                    asked.clear()
                    self.answers += 1
                    time.sleep(DELAY)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def slow(moto_s3: Server) -> Iterator[tuple[Server, SlowLine]]:
    address = moto_s3.options["endpoint_url"]
    line = SlowLine(int(address.rpartition(":")[2]))
    yield dataclasses.replace(moto_s3, options={**moto_s3.options, "endpoint_url": f"http://{HOST}:{line.port}"}), line
    line.close()


def chunky(folder: Path, chunks: int) -> list[Path]:
    """Make two slices with a cube of so many chunks of 10 KB each."""
    layout = {
        "zarr_format": 2,
        "shape": (50, 50 * chunks),
        "chunks": (1, 50, 50),
        "dtype": "<i4",
        "time_chunk": 1,
        "static": False,
    }
    return [path for path, _ in made(folder, layout, (1, 1))]


def test_requests_to_a_slow_service_overlap(
    slow: tuple[Server, SlowLine], moto_s3: Server, tmp_path: Path, record_property: Note
) -> None:
    server, line = slow
    first, second = chunky(tmp_path, 200)
    took = []
    for near, far in ((moto_s3, moto_s3), (moto_s3, server)):
        cube = Cube(near)
        cube.append(first)
        before, started = line.answers, time.perf_counter()
        assert dataclasses.replace(cube, server=far).append(second).copied_chunks >= 200
        took.append(time.perf_counter() - started)
    answers, more = line.answers - before, took[1] - took[0]
    record_property("seconds", took)
    record_property("answers", answers)
    assert answers >= 200
    told = f"{answers} answers, {took[1]:.2f} s instead of {took[0]:.2f}: {200 * DELAY / more:.1f} chunks under way together"
    assert more < 200 * DELAY / 2, told


def test_requests_of_an_aligned_append(
    moto_s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record_property: Note
) -> None:
    """One request a chunk; whatever else there is to ask does not grow with the number of chunks."""
    kinds: Counter[str] = Counter()

    def counted(name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(self: Any, path: str, *args: Any, **more: Any) -> Any:
            kinds[f"{name} {' '.join(more)}".strip()] += 1
            return ask(self, path, *args, **more)

        return asked

    for name in ("_put", "_get", "look", "delete", "list"):
        monkeypatch.setattr(backends.S3Backend, name, counted(name, getattr(backends.S3Backend, name)))
    found = []
    for chunks in (5, 40):
        slices = chunky(tmp_path / str(chunks), chunks)
        cube = Cube(moto_s3)
        cube.append(slices[0])
        kinds.clear()
        assert cube.append(slices[1]).appended == 1
        found.append(kinds.copy())
        record_property(f"{chunks} chunks", dict(kinds))
    few, many = found
    assert many - few == Counter({"_put IfNoneMatch": 35})
    assert sum(few.values()) < 40


# -- secrets ---------------------------------------------------------------------------------------------------------------

CANARY = "Q0FOQVJZ"
"""Part of every secret here; a valid start of a key in base64, which Azure's must be."""
ONCE = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}


def poisoned(server: Server) -> dict[str, Any]:
    """Return a server's options with secrets that are not its own (moto takes any)."""
    if server.protocol == "s3":
        return {**server.options, "key": f"{CANARY}ID", "secret": f"{CANARY}/+=SECRET"}
    wrong = re.sub("AccountKey=[^;]*", f"AccountKey={CANARY * 8}", server.options["connection_string"])
    return {**server.options, "connection_string": wrong}


def command(*arguments: str, options: Mapping[str, Any]) -> tuple[int, str]:
    """Run the command line, and return its exit code and all that it said."""
    given = [
        part
        for name, value in options.items()
        for part in ("--target-option", f"{name}={value if isinstance(value, str) else json.dumps(value)}")
    ]
    line = [sys.executable, "-W", "ignore", "-m", "zapz", *arguments, *given]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def day(tmp_path: Path) -> str:
    write_slice(tmp_path / "day.zarr", 0)
    return str(tmp_path / "day.zarr")


def test_secrets_are_kept_from_what_is_written(moto_s3: Server, day: str, tmp_path: Path) -> None:
    server = dataclasses.replace(moto_s3, options=poisoned(moto_s3))
    cube, there = Cube(server), {"slice_storage_options": server.options}
    (remote,) = uploaded(server, [Path(day)])
    written: dict[str, bytes] = {}
    said = [zapz.plan(cube.uri, remote, **cube.options, **there).to_json()]
    report = cube.append(remote, **there, on_slice=lambda _: written.update(cube.objects(ours=True)))
    assert any(key.endswith("/decision") for key in written)
    said += [repr(report), repr(zapz.info(cube.uri, **cube.options)), repr(zapz.vacuum(cube.uri, **cube.options))]
    for arguments in (
        ["append", "--json", cube.uri, day],
        ["info", "--json", cube.uri],
    ):
        code, text = command(*arguments, options=server.options)
        assert code == 0, text
        said.append(text)
    said += [data.decode("latin-1") for data in (*written.values(), *cube.objects(ours=True).values())]
    assert not [text for text in said if CANARY in text]


@pytest.mark.parametrize("trouble", ["no bucket", "no server", "no slice"])
def test_secrets_are_kept_from_errors(moto_s3: Server, trouble: str, day: str) -> None:
    options = (
        poisoned(moto_s3) | ONCE | ({"endpoint_url": f"http://{HOST}:{free_port()}"} if trouble == "no server" else {})
    )
    target = f"s3://{'none' if trouble == 'no bucket' else BUCKET}/{uuid.uuid4().hex}.zarr"
    slices = [f"s3://{BUCKET}/none.zarr"] if trouble == "no slice" else [day]
    with pytest.raises(zapz.ZapzError) as caught:
        zapz.append(target, slices, target_storage_options=options, slice_storage_options=options)
    code, text = command("append", "--json", target, day, options=options) if trouble == "no server" else (6, "")
    assert (code, caught.value.exit_code) == (6, 6)
    assert CANARY not in f"{caught.value} {caught.value!r} {getattr(caught.value, '__notes__', '')} {text}"


@on_strict
def test_wrong_keys(strict: Server, day: str) -> None:
    cube = Cube(dataclasses.replace(strict, options=poisoned(strict)))
    with pytest.raises(zapz.StoreError) as caught:
        cube.append(day)
    code, text = command("append", "--json", cube.uri, day, options=cube.server.options)
    assert (code, caught.value.exit_code) == (6, 6), text
    assert CANARY not in f"{caught.value} {text}"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://{secret}:{secret}@bucket/x.zarr",
        "http://me:{secret}@{host}/x.zarr?sig={secret}",
        "simplecache::http://me:{secret}@{host}/x.zarr?sig={secret}",
        "zip://x.zarr::http://me:{secret}@{host}/x.zip",
        "ftp://me:{secret}@{host}/x.zarr",
        "nosuch://me:{secret}@{host}/x.zarr",
    ],
    ids=lambda uri: uri.partition("{")[0],
)
@pytest.mark.parametrize("place", ["slice", "target"])
def test_secrets_in_uris(uri: str, place: str, day: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers."""
    monkeypatch.setattr(files, "_PAUSES", ())
    address = f"{HOST}:{free_port()}"
    full = uri.format(secret=CANARY, host=address)
    options: dict[str, Any] = (
        {"endpoint_url": f"http://{address}", "key": "x", "secret": "y", **ONCE} if uri.startswith("s3") else {}
    )
    target, source = (full, day) if place == "target" else (tmp_path / "cube.zarr", full)
    with pytest.raises(zapz.ZapzError) as caught:
        zapz.append(target, source, slice_storage_options=options, target_storage_options=options)
    assert CANARY not in f"{caught.value} {caught.value!r}"


def test_secrets_in_uris_that_a_client_repeats(tmp_path: Path) -> None:
    """A server that answers 501 to everything: the client's own message holds the whole address."""
    with http.server.ThreadingHTTPServer((HOST, 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(zapz.StoreError, match="501") as caught:
                zapz.append(
                    tmp_path / "cube.zarr", f"http://me:{CANARY}@{HOST}:{server.server_port}/x.zarr?sig={CANARY}"
                )
        finally:
            server.shutdown()
    assert CANARY not in f"{caught.value} {caught.value!r}"
