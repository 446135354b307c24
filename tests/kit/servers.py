"""Object store servers on loopback: moto (S3), Ceph's RADOS gateway (S3) and Azurite (Azure Blob), each started at most once in a run.

A test file asks for one by ``from servers import ceph`` (or ``azurite``, ``moto_s3``); what it gets is a ``Server``. The workers of ``pytest -n 2`` share it.
Its one bucket is shared too: a test takes names of its own. ``on_ceph`` and ``on_azurite`` keep tests together under ``--dist loadgroup`` (which pytest-xdist
3.8 does not do on pytest 9.2: nothing here depends on it).

What moto checks, it does not check atomically: it shows the shape of the interface, and races belong on the others. Ceph and Azurite are unpacked into a
folder (``ZAPZ_CACHE``, else ``~/.cache/zapz-tests``) and nothing is installed. They are downloaded only where ``ZAPZ_SERVERS=1`` allows it; a test whose
server is not to be had is skipped, and the reason names what is missing. A server that is there but does not start is an error.
"""

import contextlib
import dataclasses
import fcntl
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

BUCKET = "bucket"
HOST = "127.0.0.1"
PATIENCE = 90
"""Seconds that a server may take to answer."""

AZURITE = "azurite@3.35.0"
"""The last release that runs on Node 20."""

on_ceph = pytest.mark.xdist_group("ceph")
on_azurite = pytest.mark.xdist_group("azurite")


class Missing(Exception):  # noqa: N818  # it is no error: the test is skipped  # it is no error: the test is skipped
    """A server cannot be had here; the text says what is missing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """A running object store with one empty bucket."""

    protocol: str
    """As fsspec writes it: ``s3``, ``az``."""

    options: Mapping[str, Any]
    """Storage options for fsspec, and for ``zapz.append(..., target_storage_options=)``."""

    processes: Mapping[str, int]
    """Process ids, for tests that pause (SIGSTOP) or kill a part of it."""

    def uri(self, name: str) -> str:
        return f"{self.protocol}://{BUCKET}/{name}"


def cache() -> Path:
    folder = Path(os.environ.get("ZAPZ_CACHE") or Path.home() / ".cache" / "zapz-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    """Return the folder ``name`` of the cache; the first process that needs it fills it by ``fetch``, and others wait. It is whole or not there."""
    folder = cache() / name
    with locked(cache() / f"{name}.lock"):
        if not folder.is_dir():
            if os.environ.get("ZAPZ_SERVERS") != "1":
                raise Missing(f"{folder} is not there, and ZAPZ_SERVERS=1 is not set to download it")
            with tempfile.TemporaryDirectory(dir=cache(), prefix=f"{name}-") as work:
                fetch(Path(work) / name)
                (Path(work) / name).rename(folder)
    return folder


def tool(name: str) -> str:
    """Return where a program is, or raise ``Missing``."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def said(command: Sequence[str], **kwargs: Any) -> str:
    """Run a command and return what it prints; one that fails is ``Missing``, with its last words."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    if done.returncode:
        raise Missing(f"{' '.join(command[:3])} … failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block; where Linux can see to it, it does not outlive this process either."""
    leash = [setpriv, "--pdeathsig", "KILL"] if (setpriv := shutil.which("setpriv")) else []
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*leash, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for the tests, which then stop it
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until ``ready()``; a process that ended, or took too long, is an error with the end of its log."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            ending = "is not ready" if process.returncode is None else f"ended with {process.returncode}"
            raise RuntimeError(f"{process.args} {ending}:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def serving(command: Sequence[str], port: int) -> Iterator[int]:
    """Run a server that is one process, and give its id once it listens."""
    with tempfile.TemporaryDirectory(prefix="zapz-server-") as work:
        log = Path(work) / "log"
        with running(command, log) as process:
            wait_until(lambda: listening(port), process, log)
            yield process.pid


def s3_options(port: int, key: str = "x", secret: str = "y") -> dict[str, Any]:
    """Return s3fs's options for a server on a port; the bucket is made, without s3fs, whose connections would outlive this."""
    import botocore.session

    options = {"key": key, "secret": secret, "endpoint_url": f"http://{HOST}:{port}"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=options["endpoint_url"],
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
    return options


def needs(*modules: str) -> None:
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise Missing(f"Python's {name} is not installed")


@contextlib.contextmanager
def start_moto() -> Iterator[Server]:
    needs("s3fs", "moto", "flask")
    port = free_port()
    with serving([sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)], port) as process:
        yield Server(protocol="s3", options=s3_options(port), processes={"moto": process})


@contextlib.contextmanager
def start_ceph() -> Iterator[Server]:
    needs("s3fs")
    from kit import ceph as recipe

    with recipe.gateway(recipe.programs()) as (port, processes):
        yield Server(protocol="s3", options=s3_options(port, recipe.KEY, recipe.SECRET), processes=processes)


def install_azurite(folder: Path) -> None:
    folder.mkdir()
    said([tool("npm"), "install", "--no-audit", "--no-fund", "--prefix", str(folder), AZURITE])


@contextlib.contextmanager
def start_azurite() -> Iterator[Server]:
    needs("adlfs")
    from azure.storage.blob import BlobServiceClient

    node = tool("node")
    program = fetched("azurite", install_azurite) / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    port = free_port()
    flags = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with serving([node, str(program), "--blobHost", HOST, "--blobPort", str(port), *flags], port) as process:
        account = "devstoreaccount1"  # the emulator's one account, whose key is in its documentation
        key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
        connection = f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};BlobEndpoint=http://{HOST}:{port}/{account};"
        with BlobServiceClient.from_connection_string(connection) as client:
            client.create_container(BUCKET)
        yield Server(
            protocol="az",
            options={"account_name": account, "connection_string": connection},
            processes={"azurite": process},
        )


def meeting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that belongs to this run and that all of its workers see."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@contextlib.contextmanager
def shared(name: str, start: Callable[[], contextlib.AbstractContextManager[Server]], folder: Path) -> Iterator[Server]:
    """Give one server to all who meet in a folder, workers and files that import the fixture; who started it stops it when the others are done."""
    note = folder / f"{name}.json"
    with (folder / f"{name}.users").open("w") as users, contextlib.ExitStack() as mine:
        with locked(folder / f"{name}.start"):
            started = not note.exists()
            if started:
                try:
                    server = mine.enter_context(start())
                except Missing as missing:
                    pytest.skip(f"{name}: {missing}")
                note.write_text(json.dumps(dataclasses.asdict(server)))
            else:
                server = Server(**json.loads(note.read_text()))
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield server
        finally:
            if started:
                with locked(folder / f"{name}.start"):
                    note.unlink()
                fcntl.flock(users, fcntl.LOCK_EX)  # waits for the others


@pytest.fixture(scope="session")
def moto_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with shared("moto", start_moto, meeting(tmp_path_factory)) as server:
        yield server


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with shared("ceph", start_ceph, meeting(tmp_path_factory)) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with shared("azurite", start_azurite, meeting(tmp_path_factory)) as server:
        yield server
