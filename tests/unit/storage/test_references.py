"""Reference sets read what lies below their own folder, or where they may; every way to be led elsewhere is refused, whoever opened them."""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import threading
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import fsspec
import numpy as np
import pandas as pd
import pytest
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.reference import LazyReferenceMapper, ReferenceFileSystem
from zarr.storage import FsspecStore, WrapperStore

import zapz
from zapz.storage.open import open_store
from zapz.storage.references import sets
from zapz.storage.references.locations import location_of, reference_place
from zapz.storage.store import StoreOptions

DATA = b"HELLO, WORLD"
SECRET = b"SECRETSECRET"
REFUSED = "leads to a location that may not be read"


def documents(chunks: int = 1) -> dict[str, Any]:
    array = {
        "zarr_format": 2, "shape": [chunks, 12], "chunks": [1, 12], "dtype": "|u1", "order": "C", "fill_value": 7, "filters": None,
        "compressor": None,
    }  # fmt: skip
    label = dict(array, shape=[chunks], chunks=[chunks], dtype="<i8", fill_value=None)
    return {
        ".zgroup": {"zarr_format": 2},
        "v/.zarray": array,
        "v/.zattrs": {"_ARRAY_DIMENSIONS": ["time", "x"]},
        "time/.zarray": label,
        "time/.zattrs": {"_ARRAY_DIMENSIONS": ["time"]},
    }


def entries(*chunks: Any) -> dict[str, Any]:
    """Return the references of a slice with these entries for its chunks; None for one that is missing."""
    labels = base64.b64encode(np.arange(1, len(chunks) + 1, dtype="<i8").tobytes()).decode()
    named = {f"v/{number}.0": chunk for number, chunk in enumerate(chunks) if chunk is not None}
    return {**{k: json.dumps(d) for k, d in documents(len(chunks)).items()}, "time/0": f"base64:{labels}", **named}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "data").write_bytes(b"xx" + DATA + b"yy")
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "inside-not").mkdir()
    (tmp_path / "inside-not" / "secret").write_bytes(SECRET)
    return folder


def written(home: Path, *chunks: Any, **members: Any) -> Path:
    path = home / f"{uuid.uuid4().hex}.json"
    path.write_text(json.dumps({"version": 1, "refs": entries(*chunks), **members}))
    return path


def values(target: Path) -> bytes:
    found: bytes = zarr.open_group(target, mode="r")["v"][:].tobytes()
    return found


Opened = tuple[Any, dict[str, Any]]
OPENINGS: dict[str, Callable[[Path], Opened]] = {
    "fo": lambda path: ("reference://", {"slice_storage_options": {"fo": str(path)}}),
    "fo as a URI": lambda path: ("reference://", {"slice_storage_options": {"fo": f"file://{path}"}}),
    "chained": lambda path: (f"reference://::file://{path}", {}),
    "a cache of references": lambda path: (
        f"simplecache::reference://::file://{path}", {"slice_storage_options": {"simplecache": {"cache_storage": f"{path}.c"}}},
    ),
    "references of a cache": lambda path: (
        f"reference://::simplecache::file://{path}", {"slice_storage_options": {"simplecache": {"cache_storage": f"{path}.c"}}},
    ),
    "a mapper": lambda path: (fsspec.get_mapper("reference://", fo=str(path)), {}),
    "a mapper whose set comes first": lambda path: (fsspec.FSMap("", ReferenceFileSystem(str(path))), {}),
    "a mapper of a cache": lambda path: (
        fsspec.get_mapper(f"simplecache::reference://::file://{path}", simplecache={"cache_storage": f"{path}.c"}), {},
    ),
    "a mapper of a folder": lambda path: (fsspec.FSMap("", DirFileSystem(fo="", fs=ReferenceFileSystem(str(path)))), {}),
    "a wrapped mapper": lambda path: (fsspec.FSMap("", AsyncFileSystemWrapper(ReferenceFileSystem(str(path)))), {}),
    "an FsspecStore": lambda path: (FsspecStore(ReferenceFileSystem(str(path), asynchronous=True), read_only=True, path=""), {}),
}  # fmt: skip


@pytest.fixture(params=OPENINGS)
def opened(request: pytest.FixtureRequest) -> Callable[[Path], Opened]:
    return OPENINGS[request.param]


@pytest.mark.parametrize(
    "name", ["data", "./data", "{home}/data", "file://{home}/data", "local://{home}/data", "../in/data"]
)
def test_what_lies_beside_the_set_is_read(
    opened: Callable[[Path], Opened], name: str, home: Path, tmp_path: Path
) -> None:
    item, settings = opened(written(home, [name.format(home=home), 2, 12]))
    zapz.append(tmp_path / "cube.zarr", item, **settings)
    assert values(tmp_path / "cube.zarr") == DATA


@pytest.mark.parametrize(
    "name",
    [
        "{out}/secret", "file://{out}/secret", "local://{out}/secret", "../secret", "{home}/../secret", "file://{home}/../secret",
        "{home}/link", "link", "{home}/folder/secret", "folder/secret", "{out}/inside-not/secret", "FILE://{out}/secret", "file:secret",
        "file://secret", "simplecache::file://{out}/secret", "zip://secret::file://{out}/secret.zip", "memory://secret", "https://in/secret",
        "data:text/plain,SECRETSECRET", "\0", "",
    ],
)  # fmt: skip
def test_what_lies_elsewhere_is_not(opened: Callable[[Path], Opened], name: str, home: Path, tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/secret", SECRET)
    (home / "link").symlink_to(tmp_path / "secret")
    (home / "folder").symlink_to(tmp_path)
    for where in ([name.format(home=home, out=tmp_path)], [name.format(home=home, out=tmp_path), 0, 12]):
        item, settings = opened(written(home, [str(home / "data"), 2, 12], where))
        with pytest.raises(zapz.ZapzError) as caught:
            zapz.append(tmp_path / "cube.zarr", item, **settings)
        if name != "file:secret" and not name.startswith("data:"):  # names of files that are not there
            assert isinstance(caught.value, zapz.FormatError)
            assert (caught.value.what, caught.value.exit_code) == ("a reference " + REFUSED, 4)
            assert "v/1.0" in caught.value.where
            assert str(home) in caught.value.expected
        assert not (tmp_path / "cube.zarr").exists()


def test_documents_are_no_exception(opened: Callable[[Path], Opened], home: Path, tmp_path: Path) -> None:
    path = home / "day.json"
    path.write_text(json.dumps({"version": 1, "refs": {**entries(None), ".zattrs": [str(tmp_path / "secret")]}}))
    item, settings = opened(path)
    with pytest.raises(zapz.FormatError, match=REFUSED):
        zapz.append(tmp_path / "cube.zarr", item, **settings)


def test_the_advice_works_to_the_letter(opened: Callable[[Path], Opened], home: Path, tmp_path: Path) -> None:
    (home / "link").symlink_to(tmp_path / "inside-not" / "secret")
    item, settings = opened(written(home, ["data", 2, 12], [str(tmp_path / "secret")], ["link"]))
    places = None
    for _ in range(2):
        with pytest.raises(zapz.FormatError, match=REFUSED) as caught:
            zapz.append(tmp_path / "cube.zarr", item, **settings, slice_references=places)
        places = caught.value.remedies["slice_references"]
        if str(tmp_path) + "/" in places:  # it holds all
            break
    zapz.append(tmp_path / "cube.zarr", item, **settings, slice_references=places)
    assert values(tmp_path / "cube.zarr") == DATA + SECRET + SECRET


def test_places_take_the_place_of_the_sets_folder(opened: Callable[[Path], Opened], home: Path, tmp_path: Path) -> None:
    """Nothing is allowed beside them; a folder's name is a whole name; a link to a place is the place."""
    item, settings = opened(written(home, ["data", 2, 12]))
    (tmp_path / "elsewhere").symlink_to(home)
    for places in ([], [str(tmp_path / "i")], [str(tmp_path / "inside-not")], ["s3://in"], [str(home / "day.json")]):
        with pytest.raises(zapz.FormatError, match=REFUSED):
            zapz.append(tmp_path / "cube.zarr", item, **settings, slice_references=places)
    zapz.append(tmp_path / "cube.zarr", item, **settings, slice_references=[tmp_path / "elsewhere"])
    assert values(tmp_path / "cube.zarr") == DATA


@pytest.mark.parametrize(
    "place", ["s3://u:p@bucket/", "s3://", "https://host/a/../b", "HTTPS://host/", "zip://a::file:///b"]
)
def test_places_that_are_none(place: str, home: Path, tmp_path: Path) -> None:
    with pytest.raises(zapz.ConfigError, match="slice_references"):
        zapz.append(tmp_path / "cube.zarr", "reference://", slice_references=[place])


def test_a_set_without_a_file_has_inline_data_alone(home: Path, tmp_path: Path) -> None:
    here = str(home / "data")
    for fo in (entries([here, 2, 12]), entries(["data", 2, 12]), {"version": 1, "refs": entries([here, 2, 12])}):
        things: list[Opened] = [
            (fsspec.get_mapper("reference://", fo=fo), {}), ("reference://", {"slice_storage_options": {"fo": fo}})
        ]  # fmt: skip
        for item, settings in things:
            with pytest.raises(zapz.FormatError, match="inline data only") as caught:
                zapz.append(tmp_path / "cube.zarr", item, **settings)
            assert caught.value.exit_code == 4
    plain = entries(DATA.decode(), f"base64:{base64.b64encode(DATA).decode()}")
    zapz.append(tmp_path / "cube.zarr", fsspec.get_mapper("reference://", fo=plain))
    zapz.append(
        tmp_path / "named.zarr", fsspec.get_mapper("reference://", fo=entries([here, 2, 12])), slice_references=[home]
    )
    assert (values(tmp_path / "cube.zarr"), values(tmp_path / "named.zarr")) == (DATA + DATA, DATA)


GENERATED = [{"key": "v/{{i}}.0", "url": "data", "offset": "2", "length": "12", "dimensions": {"i": {"stop": 1}}}]


@pytest.mark.parametrize("members", [{"templates": {"u": "data"}}, {"gen": GENERATED}], ids=["templates", "gen"])
def test_templates_are_refused(
    opened: Callable[[Path], Opened], members: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    """fsspec leaves generated chunks out without a word: they would read as fill values."""
    chunk = ["{{u}}", 2, 12] if "templates" in members else None
    item, settings = opened(written(home, chunk, **members))
    with pytest.raises(zapz.FormatError, match="templates in a reference set are not supported"):
        zapz.append(tmp_path / "cube.zarr", item, **settings)
    assert not (tmp_path / "cube.zarr").exists()


def test_generators_of_a_set_without_a_file_are_refused(tmp_path: Path) -> None:
    fo = {"version": 1, "refs": entries(None), "gen": GENERATED}
    with pytest.raises(zapz.FormatError, match="templates"):
        zapz.append(tmp_path / "cube.zarr", fsspec.get_mapper("reference://", fo=fo))


# -- what is not there, and what is not right -------------------------------------------------------------------------------


def test_only_a_missing_entry_is_a_missing_chunk(opened: Callable[[Path], Opened], home: Path, tmp_path: Path) -> None:
    """Not a file that is gone, nor one that is cut short."""
    item, settings = opened(written(home, ["data", 2, 12], None))
    zapz.append(tmp_path / "cube.zarr", item, **settings)
    assert values(tmp_path / "cube.zarr") == DATA + bytes([7]) * 12
    for entry, kind in (
        (["gone", 0, 12], zapz.StoreError),
        (["gone"], zapz.StoreError),
        (["data", 9, 12], zapz.ZapzError),
    ):
        item, settings = opened(written(home, ["data", 2, 12], entry))
        with pytest.raises(kind, match=r"does not exist|beyond the end"):
            zapz.append(tmp_path / "other.zarr", item, **settings)
        assert not (tmp_path / "other.zarr").exists()


@pytest.mark.parametrize(
    "entry", [5, None, [], ["data", 2], ["data", -1, 4], ["data", 0, 1.5], [["data"]], [7, 1, 2], "base64:?"]
)
def test_entries_that_are_none(entry: Any, home: Path, tmp_path: Path) -> None:
    path = home / "day.json"
    path.write_text(json.dumps({"version": 1, "refs": {**entries(["data", 2, 12]), "v/0.0": entry}}))
    with pytest.raises(zapz.FormatError, match=r"an entry of a reference set is not a reference, .*v/0\.0"):
        zapz.append(tmp_path / "cube.zarr", f"reference://::file://{path}")


def test_files_that_are_none(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home / "day.json"
    texts = {"not JSON": "[" * 100_000, "not a reference set": "[]", "unsupported version": '{"version": 2}'}
    for what, text in texts.items():
        path.write_text(text)
        with pytest.raises(zapz.FormatError, match=what):
            zapz.append(tmp_path / "cube.zarr", f"reference://::file://{path}")
    path = written(home, ["data", 2, 12])
    monkeypatch.setattr("zapz.storage.references.open.MAX_BYTES", 100)
    monkeypatch.setattr(sets, "MAX_BYTES", 100)
    with pytest.raises(zapz.FormatError, match="too large"):
        zapz.append(tmp_path / "cube.zarr", f"reference://::file://{path}")
    with pytest.raises(zapz.StoreError, match="no such reference file"):
        zapz.append(tmp_path / "cube.zarr", f"reference://::file://{home / 'none.json'}")
    with pytest.raises(zapz.StoreError, match="the file of a reference set is not named"):
        zapz.append(tmp_path / "cube.zarr", "reference://")


def test_what_is_no_file_is_not_waited_for(home: Path, tmp_path: Path) -> None:
    os.mkfifo(home / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(zapz.FormatError, match="something that is not a file"):
            zapz.append(tmp_path / "cube.zarr", f"reference://::file://{written(home, [name])}")


def test_packed_sets_and_those_of_the_first_version(home: Path, tmp_path: Path) -> None:
    path = home / "day.json.gz"
    with fsspec.open(path, "wb", compression="gzip") as file:
        file.write(json.dumps(entries(["data", 2, 12])).encode())
    for item, options in (
        ("reference://", {"fo": str(path), "target_options": {"compression": "gzip"}}),
        (f"reference://::file://{path}", {"target_options": {"compression": "infer"}}),
    ):
        zapz.append(tmp_path / f"{len(options)}.zarr", item, slice_storage_options=options)
        assert values(tmp_path / f"{len(options)}.zarr") == DATA


def test_a_folder_of_a_set_is_a_slice(home: Path, tmp_path: Path) -> None:
    path = home / "day.json"
    path.write_text(json.dumps({"version": 1, "refs": {f"a/b/{k}": v for k, v in entries(["data", 2, 12]).items()}}))
    zapz.append(tmp_path / "one.zarr", f"reference://a/b::file://{path}")
    zapz.append(tmp_path / "two.zarr", fsspec.get_mapper(f"reference://a/b::file://{path}"))
    zapz.append(tmp_path / "three.zarr", fsspec.FSMap("b", DirFileSystem("a", ReferenceFileSystem(str(path)))))
    assert {values(tmp_path / f"{name}.zarr") for name in ("one", "two", "three")} == {DATA}


# -- references within something --------------------------------------------------------------------------------------------


class Wrapping(WrapperStore[FsspecStore]):
    """A store of another class that hands everything on."""


def test_what_lies_within_or_around_a_set_is_refused(home: Path, tmp_path: Path) -> None:
    path = written(home, ["data", 2, 12])
    fs = ReferenceFileSystem(str(path))
    inner = FsspecStore(ReferenceFileSystem(str(path), asynchronous=True), read_only=True, path="")
    things: list[Opened] = [
        (f"zip://::reference://a.zip::file://{path}", {}),
        (f"dir://v::reference://::file://{path}", {}),
        (f"reference://::reference://a.json::file://{path}", {}),
        ("simplecache://", {"slice_storage_options": {"target_protocol": "reference", "target_options": {"fo": str(path)}}}),
        ("zip://", {"slice_storage_options": {"fo": "a.zip", "target_protocol": "reference", "target_options": {"fo": str(path)}}}),
        ("dir://", {"slice_storage_options": {"fs": fs}}),
        (Wrapping(inner), {}),
    ]  # fmt: skip
    for item, settings in things:
        with pytest.raises(zapz.FormatError, match="inside or behind a reference set"):
            zapz.append(tmp_path / "cube.zarr", item, **settings)


def test_a_mapper_of_an_archive_in_a_set_is_refused(home: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(home / "a.zip", "w") as archive:
        archive.writestr("data", DATA)
    path = home / "day.json"
    path.write_text(json.dumps({"version": 1, "refs": {"a.zip": [str(home / "a.zip")]}}))
    mapper = fsspec.get_mapper(f"zip://::reference://a.zip::file://{path}")
    with pytest.raises(zapz.FormatError, match="inside or behind a reference set"):
        zapz.append(tmp_path / "cube.zarr", mapper)


def test_a_set_is_no_target(home: Path, tmp_path: Path) -> None:
    """fsspec would keep what is written in memory, and forget it."""
    path = written(home, ["data", 2, 12])
    day = tmp_path / "day.zarr"
    zapz.append(day, fsspec.get_mapper("reference://", fo={**entries("HELLO, WORLD"), "time/0": "base64:BQAAAAAAAAA="}))
    before = path.read_bytes()
    for settings in ({}, {"single_writer": True}):
        with pytest.raises(zapz.StoreError, match=r"is read-only|two writers"):
            zapz.append(f"reference://::file://{path}", day, **settings)
    assert path.read_bytes() == before


# -- other storage than files -----------------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> str:
    """Give a folder in memory that holds data, and a secret beside it."""
    root = f"/{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe({f"{root}/in/data": b"xx" + DATA, f"{root}/secret": SECRET})
    return root


def test_sets_in_memory(memory: str, tmp_path: Path) -> None:
    good = [f"memory:/{memory}/in/data", f"memory://{memory}/in/data", "data"]
    bad = [
        f"memory:/{memory}/secret",
        "../secret",
        f"memory://{memory}/in/../secret",
        "%2e%2e/secret",
        "/etc/passwd",
        "file:///etc/passwd",
    ]
    for name in good + bad:
        fsspec.filesystem("memory").pipe_file(
            f"{memory}/in/day.json", json.dumps({"version": 1, "refs": entries([name, 2, 12])}).encode()
        )
        target = tmp_path / uuid.uuid4().hex
        for item in (
            f"reference://::memory:/{memory}/in/day.json",
            fsspec.get_mapper(f"reference://::memory:/{memory}/in/day.json"),
        ):
            if name in good:
                zapz.append(target, item, on_existing="skip")
                assert values(target) == DATA
            else:
                with pytest.raises(zapz.FormatError, match=REFUSED):
                    zapz.append(target, item)


def test_bare_names_are_those_of_the_remote_protocol(memory: str, home: Path, tmp_path: Path) -> None:
    """As fsspec has it; where there is none, they are relative to the set's folder."""
    path = written(home, [f"{memory}/in/data", 2, 12])
    for number, options in enumerate(({"remote_protocol": "memory"}, {"fs": fsspec.filesystem("memory")})):
        for item, settings in (
            ("reference://", {"slice_storage_options": {"fo": str(path), **options}}),
            (fsspec.get_mapper("reference://", fo=str(path), **options), {}),
        ):
            target = tmp_path / f"{number}-{bool(settings)}"
            with pytest.raises(zapz.FormatError, match=REFUSED):
                zapz.append(target, item, **settings)
            zapz.append(target, item, **settings, slice_references=[f"memory://{memory}/in"])
            assert values(target) == DATA


class Site(http.server.BaseHTTPRequestHandler):
    """Files by path, with ranges; redirects; and files that ignore ranges."""

    files: Mapping[str, bytes] = {}
    redirects: Mapping[str, str] = {}
    whole: frozenset[str] = frozenset()
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path in self.redirects:
            self.send_response(302)
            self.send_header("Location", self.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = self.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        found = (
            re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if self.path not in self.whole else None
        )
        part = data if found is None else data[int(found[1]) : int(found[2]) + 1 if found[2] else None]
        self.send_response(200 if found is None else 206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        if found is not None:
            self.send_header("Content-Range", f"bytes {found[1]}-{int(found[1]) + len(part) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="fsspec reads http by aiohttp")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    chunks = [["data", 2, 12], [f"{url}/in/data", 2, 12]]
    texts = {
        "/in/day.json": chunks,
        "/in/led.json": [["moved", 2, 12]],
        "/in/whole.json": [["ignores", 2, 12]],
        "/in/all.json": [["led"]],
    }
    files = {path: json.dumps({"version": 1, "refs": entries(*named)}).encode() for path, named in texts.items()}
    monkeypatch.setattr(
        Site,
        "files",
        {**files, "/in/data": b"xx" + DATA + b"yy", "/in/ignores": b"xx" + DATA + b"yy", "/secret": SECRET * 2},
    )
    monkeypatch.setattr(
        Site, "redirects", {"/in/moved": "/secret", "/in/led": "/secret", "/in/away.json": "/in/day.json"}
    )
    monkeypatch.setattr(Site, "whole", frozenset(["/in/ignores"]))
    monkeypatch.setattr(Site, "asked", [])
    yield url
    server.shutdown()
    server.server_close()


def test_sets_of_the_web(site: str, tmp_path: Path) -> None:
    zapz.append(tmp_path / "one.zarr", f"reference://::{site}/in/day.json")
    zapz.append(
        tmp_path / "two.zarr", fsspec.get_mapper("reference://", fo=f"{site}/in/day.json", remote_protocol="http")
    )
    assert values(tmp_path / "one.zarr") == values(tmp_path / "two.zarr") == DATA + DATA


@pytest.mark.parametrize("name", ["led", "all"])
def test_redirects_are_not_followed(name: str, site: str, tmp_path: Path) -> None:
    things: list[Any] = [
        f"reference://::{site}/in/{name}.json", fsspec.get_mapper("reference://", fo=f"{site}/in/{name}.json", remote_protocol="http")
    ]  # fmt: skip
    for item in things:
        with pytest.raises(zapz.FormatError, match="a redirect is not followed"):
            zapz.append(tmp_path / "cube.zarr", item)
    assert "/secret" not in Site.asked
    assert not (tmp_path / "cube.zarr").exists()


def test_a_redirect_of_the_set_itself_is_not_followed(site: str, tmp_path: Path) -> None:
    for uri in (f"reference://::{site}/in/away.json", f"reference://::simplecache::{site}/in/away.json"):
        Site.asked.clear()
        with pytest.raises(zapz.FormatError, match="a redirect is not followed"):
            zapz.append(
                tmp_path / "cube.zarr",
                uri,
                slice_storage_options={"simplecache": {"cache_storage": str(tmp_path / "c")}},
            )
        assert "/in/day.json" not in Site.asked


def test_a_file_that_is_gone_is_no_missing_chunk(site: str, memory: str, tmp_path: Path) -> None:
    """Wherever it was; the set says that there is one."""
    for folder in (f"{site}/in", f"memory:/{memory}/in"):
        for entry in ([f"{folder}/gone", 2, 12], [f"{folder}/gone"]):
            fo = entries([f"{folder}/data", 2, 12], entry)
            store = open_store("reference://", {"fo": fo}, StoreOptions(references=[folder]))
            for read in (lambda: store.read("v/1.0"), lambda: store.read_many(["v/0.0", "v/1.0"])):  # noqa: B023 - called at once
                with pytest.raises(zapz.StoreError, match="names does not exist") as caught:
                    read()
                assert caught.value.code == "store"
            with pytest.raises(zapz.StoreError, match="names does not exist"):
                zapz.append(tmp_path / "cube.zarr", fsspec.get_mapper("reference://", fo=fo), slice_references=[folder])
    assert not (tmp_path / "cube.zarr").exists()


def test_a_server_that_ignores_ranges_is_noticed(site: str, tmp_path: Path) -> None:
    with pytest.raises(zapz.ZapzError, match="sent more bytes than"):
        zapz.append(tmp_path / "cube.zarr", f"reference://::{site}/in/whole.json")
    assert not (tmp_path / "cube.zarr").exists()


def test_reading_a_part(home: Path, memory: str) -> None:
    """As of a shard: never beyond what is referred to."""
    for name, places in ((str(home / "data"), [str(home)]), (f"memory:/{memory}/in/data", ["memory://"])):
        store = open_store(
            "reference://", {"fo": entries([name, 2, 12], [name], DATA.decode())}, StoreOptions(references=places)
        )
        for key in ("v/0.0", "v/2.0"):
            assert store.read(key, 3, 4) == DATA[3:7]
            assert store.read(key, 3, 400) == DATA[3:]
            assert store.size(key) == 12
        assert store.read("v/1.0", 2, 5) == DATA[:5]
        assert store.size("v/1.0") == len(store.read("v/1.0"))
        assert store.read_many(["v/0.0", "v/2.0", "v/3.0"]) == {"v/0.0": DATA, "v/2.0": DATA}
        assert store.children("").folders == ("time", "v")


# -- parquet ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let JSON stand for parquet, whose readers are large: fsspec's reader takes tables from pandas."""

    def read(data: Any, engine: str) -> pd.DataFrame:
        return pd.DataFrame(json.loads(data.read()))

    monkeypatch.setattr(LazyReferenceMapper, "pd", SimpleNamespace(read_parquet=read))


def lazy(home: Path, *chunks: Any) -> Path:
    """Write a set of parquet files, two references in each."""
    folder = home / f"{uuid.uuid4().hex}.parq"
    for name in ("v", "time"):
        (folder / name).mkdir(parents=True)
    (folder / ".zmetadata").write_text(json.dumps({"metadata": documents(len(chunks)), "record_size": 2}))
    rows = [[None, 0, 0] if chunk is None else chunk for chunk in chunks]
    for number in range(0, len(rows), 2):
        columns = zip(*rows[number : number + 2], strict=True)
        text = json.dumps(dict(zip(("path", "offset", "size"), columns, strict=True)))
        (folder / "v" / f"refs.{number // 2}.parq").write_text(text)
    np.arange(1, len(chunks) + 1).astype("<i8").tofile(home / "labels")
    labels = {"path": [str(home / "labels")], "offset": [0], "size": [8 * len(chunks)]}
    (folder / "time" / "refs.0.parq").write_text(json.dumps(labels))
    return folder


LAZY: dict[str, Callable[[Path], Opened]] = {
    name: OPENINGS[name] for name in ("fo", "chained", "a mapper", "a mapper of a folder", "an FsspecStore")
}


@pytest.fixture(params=LAZY)
def opened_lazily(request: pytest.FixtureRequest, parquet: None) -> Callable[[Path], Opened]:
    return LAZY[request.param]


def test_parquet_references(opened_lazily: Callable[[Path], Opened], home: Path, tmp_path: Path) -> None:
    good = [str(home / "data"), 2, 12]
    item, settings = opened_lazily(lazy(home, good, None, good))
    zapz.append(tmp_path / "cube.zarr", item, **settings)
    assert values(tmp_path / "cube.zarr") == DATA + bytes([7]) * 12 + DATA
    for bad in (str(tmp_path / "secret"), f"file://{tmp_path}/secret", "../secret", "memory://secret"):
        item, settings = opened_lazily(lazy(home, good, good, [bad, 0, 12]))
        with pytest.raises(zapz.FormatError, match=REFUSED):
            zapz.append(tmp_path / "other.zarr", item, **settings)


def test_damaged_parquet_is_no_missing_chunk(
    opened_lazily: Callable[[Path], Opened], home: Path, tmp_path: Path
) -> None:
    """fsspec takes what it cannot read for missing; a file that is not there is."""
    good = [str(home / "data"), 2, 12]
    for text in ("{", "[]", '{"other": [1]}', '{"path": 5}'):
        folder = lazy(home, good, good, good)
        (folder / "v" / "refs.1.parq").write_text(text)
        item, settings = opened_lazily(folder)
        with pytest.raises(zapz.FormatError, match="an entry of a reference set is not a reference"):
            zapz.append(tmp_path / "cube.zarr", item, **settings)
    folder = lazy(home, good, good, good)
    (folder / "v" / "refs.1.parq").unlink()
    item, settings = opened_lazily(folder)
    zapz.append(tmp_path / "cube.zarr", item, **settings)
    assert values(tmp_path / "cube.zarr") == DATA + DATA + bytes([7]) * 12


def test_nested_keys_in_parquet_are_no_missing_chunks(parquet: None, home: Path, tmp_path: Path) -> None:
    folder = lazy(home, [str(home / "data"), 2, 12])
    consolidated = json.loads((folder / ".zmetadata").read_text())
    consolidated["metadata"]["v/.zarray"]["dimension_separator"] = "/"
    (folder / ".zmetadata").write_text(json.dumps(consolidated))
    with pytest.raises(zapz.FormatError, match="parquet references do not support"):
        zapz.append(tmp_path / "cube.zarr", "reference://", slice_storage_options={"fo": str(folder)})


# -- names ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "https://host/a/../b", "https://host/a/%2e%2e/b", "https://host/a/%252E%252e/b", "https://host/a/..%2fb", "https://host/a/..;x/b",
        "https://host/a/.%2e/b", r"https://host/a/..\b", "https://host/a/%5c..%5c/b", "https://user@host/a", "https://user:word@host/a",
        "s3://key:secret@bucket/a", "https://host/a?b=c", "https://host/a#b", "https:///a", "s3://", "HTTPS://host/a", "Https://host/a",
        "https://host/a\nb", "https://host/a::file:///b", "://host/a", "a b://host", "../x", "./x", "x/%2e%2e/y", "file:relative/../x",
        f"https://host/%{'25' * 9}2e%{'25' * 9}2e/b", "s3://../x", "s3://%2e%2e/x",
    ],
)  # fmt: skip
def test_names_that_could_lead_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        location_of(name, location_of("https://host/a/"))


@pytest.mark.parametrize(
    ("name", "folder", "below"),
    [
        ("https://host/a/b", "https://host/a", True), ("https://host/a/b", "https://host/a/", True), ("https://host/ab", "https://host/a", False),
        ("https://HOST:443/a/b", "https://host/a", True), ("https://host:8443/a/b", "https://host/a", False),
        ("http://host/a/b", "https://host/a", False), ("https://host.evil/a/b", "https://host", False), ("https://host/a", "https://host", True),
        ("s3a://bucket/a", "s3://bucket", True), ("s3://bucket2/a", "s3://bucket", False), ("s3://Bucket/a", "s3://bucket", False),
        ("gcs://b/a", "gs://b/", True), ("abfs://c@account/a", "abfs://c@account", True), ("abfs://c@other/a", "abfs://c@account", False),
        ("file:///a/b", "/a", True), ("local:///a/b", "/a/", True), ("/ab", "/a", False), ("/a", "/a/", False), ("/x", "/", True),
        ("memory://a/b", "memory://a", True), ("memory:///a/b", "memory://a", True), ("s3://b/a/../c", "s3://b", None),
    ],
)  # fmt: skip
def test_below(name: str, folder: str, below: bool | None) -> None:
    if below is None:
        with pytest.raises(ValueError, match=r"\.\."):
            location_of(name)
        return
    assert location_of(name).is_below(location_of(folder)) is below
    assert location_of(location_of(folder).url) == location_of(folder)
    assert reference_place(folder) == folder


def test_relative_names_are_those_of_the_folder() -> None:
    home = location_of("https://host/a/day.json").folder
    assert home.url == "https://host/a/"
    assert location_of("b/c", home).url == "https://host/a/b/c"
    assert location_of("/b", home).is_local
    assert location_of("c", location_of("/a/day.json").folder).path == "/a/c"
    with pytest.raises(ValueError, match="relative"):
        location_of("b")


def test_secrets_are_not_shown(home: Path, tmp_path: Path) -> None:
    for name in ("https://me:word@host/a", "https://host/a?token=word"):
        with pytest.raises(zapz.FormatError) as caught:
            zapz.append(tmp_path / "cube.zarr", f"reference://::file://{written(home, [name, 0, 12])}")
        assert "word@" not in str(caught.value)
        assert "token" not in str(caught.value)
