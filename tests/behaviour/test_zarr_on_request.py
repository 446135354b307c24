"""Zarr that is made when it is requested: each row of the table that compares ``zapz serve`` with zarrflask, and what zarrflask does wrong."""

from __future__ import annotations

import math
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import fsspec
import numcodecs
import numpy as np
import pytest
import xarray as xr
from kit.http_clients import assert_same, by_fsspec, by_tensorstore, everything, fresh_connections
from kit.judge_programs.served_arrays import FACTORIES, lazy, whole
from kit.server_processes import ask, place

pytestmark = pytest.mark.filterwarnings("ignore:The data type")  # zarr: text is in no specification of Zarr 3 yet

FORMS = ["", "v2", "v3"]
DOCUMENTS = {"v2": {".zgroup", ".zattrs", ".zmetadata"}, "v3": {"zarr.json"}}
"""Documents of a group; ``.zattrs`` may be absent where there are no attributes."""
FORMATS = {"v2": 2, "v3": 3, "": None}
SERVED = [name for name in FACTORIES if name != "templated"]
"""Datasets that can be read whole."""


class Links(HTMLParser):
    """The links of a page, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def links(url: str) -> list[str]:
    """Return the links of a page that lead to what is below it."""
    page = ask(url, Accept="text/html")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    found = Links(page.body.decode()).found
    return [link for link in found if not link.startswith("..") and "?" not in link]


def children(url: str) -> set[str]:
    """Return the names of what is below a page, as fsspec finds them: that is how clients list."""
    with fresh_connections():
        names = fsspec.filesystem("http").ls(url, detail=False)
    assert all(name.startswith(url) for name in names), names
    return {name.removeprefix(url).rstrip("/") for name in names}


def document(url: str) -> dict:
    """Return a JSON document."""
    reply = ask(url)
    assert reply.status == 200, url
    assert reply.headers["content-type"].startswith("application/json")
    return reply.json


def decoded(url: str, array: str, key: str) -> np.ndarray:
    """Return all cells of a chunk of Zarr 2, those beyond the array's end too."""
    about = document(f"{url}{array}/.zarray")
    reply = ask(f"{url}{array}/{key}")
    assert reply.status == 200
    body = numcodecs.get_codec(about["compressor"]).decode(reply.body) if about["compressor"] else reply.body
    return np.frombuffer(body, about["dtype"]).reshape(about["chunks"])


def numbers(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the variables that any client can read."""
    return {str(name): each.to_numpy() for name, each in dataset.variables.items() if each.dtype.kind in "biuf"}


# The index, and pages


def test_index_names_the_datasets(zapz_url: str) -> None:
    found = [link for link in links(zapz_url) if link.rstrip("/") in FACTORIES]
    assert found == sorted(f"{name}/" for name in FACTORIES)
    told = ask(zapz_url, Accept="application/json")
    assert told.headers["content-type"].startswith("application/json")
    assert all(f'"{name}"' in told.body.decode() for name in FACTORIES)
    assert told.json


@pytest.mark.parametrize("form", FORMS)
def test_page_of_a_dataset_links_to_exactly_what_is_below_it(form: str, zapz_url: str) -> None:
    for name in ("generated-ones", "attributed"):
        url = place(zapz_url, name, form)
        variables = {str(variable) for variable in FACTORIES[name]().variables}
        below = children(url)
        assert below - variables in ([DOCUMENTS[form]] if form else DOCUMENTS.values())
        assert below >= variables
        assert links(f"{url}?x=1") == links(url)
        assert not [link for link in links(url) if link.startswith(("/", "http"))]


def test_without_the_slash_it_is_elsewhere(zapz_url: str) -> None:
    reply = ask(f"{zapz_url}lazy")
    assert reply.status == 308
    assert urljoin(f"{zapz_url}lazy", reply.headers["location"]) == f"{zapz_url}lazy/"


def test_page_of_an_array_has_an_end(zapz_url: str) -> None:
    """zarrflask names each of 20,402 chunks; here the array has 10**12."""
    assert children(f"{place(zapz_url, 'lazy', 'v2')}even/") == {".zarray", ".zattrs"} | {
        f"{i}.{j}" for i in range(3) for j in range(3)
    }
    url = f"{place(zapz_url, 'templated', 'v2')}huge/"
    start = time.perf_counter()
    page = ask(url, Accept="text/html")
    end = max(map(int, re.findall(r'name="page" value="(\d+)"', page.body.decode())))
    last = ask(f"{url}?page={end}", Accept="text/html")
    assert time.perf_counter() - start < 2  # 0.1 s each on a quiet machine
    chunks = [link for link in Links(page.body.decode()).found if link[0].isdigit()]
    assert chunks[:2] == ["0.0", "0.1"]
    assert 900 < len(chunks) <= 1000
    assert len(page.body) < 200_000
    assert Links(last.body.decode()).found[-1] == "999999.999999"


# Documents


@pytest.mark.parametrize("name", SERVED)
def test_documents_of_zarr_2(name: str, zapz_url: str) -> None:
    url, dataset = place(zapz_url, name, "v2"), FACTORIES[name]()
    assert document(f"{url}.zgroup") == {"zarr_format": 2}
    documents = document(f"{url}.zmetadata")
    assert documents["zarr_consolidated_format"] == 1
    reply = ask(f"{url}.zattrs")
    assert reply.status == 200 or not dataset.attrs  # without attributes it may be absent, as in a store
    assert documents["metadata"].get(".zattrs") == (reply.json if reply.status == 200 else None)
    for path, variable in dataset.variables.items():
        about, attributes = (document(f"{url}{path}/{key}") for key in (".zarray", ".zattrs"))
        assert (documents["metadata"][f"{path}/.zarray"], documents["metadata"][f"{path}/.zattrs"]) == (
            about,
            attributes,
        )
        assert about["shape"] == list(variable.shape)
        assert all(n >= 1 for n in about["chunks"])
        assert attributes["_ARRAY_DIMENSIONS"] == list(variable.dims)


@pytest.mark.parametrize("name", SERVED)
def test_document_of_zarr_3(name: str, zapz_url: str) -> None:
    url, dataset = place(zapz_url, name, "v3"), FACTORIES[name]()
    documents = document(f"{url}zarr.json")["consolidated_metadata"]["metadata"]
    assert documents.keys() == dataset.variables.keys()
    for path, variable in dataset.variables.items():
        assert documents[path] == document(f"{url}{path}/zarr.json")
        assert documents[path]["shape"] == list(variable.shape)
        assert list(documents[path].get("dimension_names") or []) == list(variable.dims)


@pytest.mark.parametrize("form", FORMS)
def test_attributes_of_numpys_types_are_json(form: str, zapz_url: str) -> None:
    told = {
        "int": 3,
        "float": 0.5,
        "list": [0, 1, 2],
        "flag": True,
        "text": "Ü\u2003<b>&",
        "nested": {"a": [1, {"b": None}]},
    }
    with fresh_connections(), xr.open_zarr(place(zapz_url, "attributed", form)) as dataset:
        for attributes in (dataset.attrs, dataset["a"].attrs):
            assert {name: attributes[name] for name in told} == told
        assert dataset["time"].to_numpy()[3] == np.datetime64("2000-01-04")


def test_documents_of_the_other_format_are_not_there(zapz_url: str) -> None:
    for form, missing in {"v2": ["zarr.json", ".zarray", "even/zarr.json"], "v3": [".zgroup", "even/.zarray"]}.items():
        for key in missing:
            assert ask(place(zapz_url, "lazy", form) + key).status == 404
    assert ask(f"{place(zapz_url, 'lazy')}even/zarr.json").status in {200, 404}  # zarrflask: 500


# Chunks


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SERVED)
def test_values(name: str, form: str, zapz_url: str) -> None:
    """Any type, whatever it is made of: in memory, lazily, by a calculation."""
    with fresh_connections(), xr.open_zarr(place(zapz_url, name, form)) as dataset:
        xr.testing.assert_equal(dataset.load(), xr.decode_cf(whole(name)))


@pytest.mark.parametrize("form", ["v2", "v3"])
@pytest.mark.parametrize("name", ["in-memory", "other-types", "lazy", "computed", "filled"])
def test_all_clients_read_numbers(name: str, form: str, zapz_url: str) -> None:
    right = numbers(whole(name))
    for who, arrays in everything(place(zapz_url, name, form), list(right), [FORMATS[form]]).items():
        assert_same(arrays, right, who)


@pytest.mark.parametrize("form", ["v2", "v3"])
def test_templated_array_of_any_size(form: str, zapz_url: str) -> None:
    part = np.s_[999_999_998:1_000_000_000, 123_456_789:123_456_799]
    huge = FACTORIES["templated"]()["huge"].variable._data
    right = {"huge": huge[part]}
    for who, arrays in everything(
        place(zapz_url, "templated", form), {"huge": part}, [FORMATS[form]], ["xarray"]
    ).items():
        assert_same(arrays, right, who)


def test_chunks_are_encoded_and_say_what_they_are(zapz_url: str) -> None:
    url = place(zapz_url, "generated-ones", "v2")
    about = document(f"{url}ones/.zarray")
    assert (about["compressor"]["id"], about["compressor"]["level"]) == ("zstd", 1)
    chunk = ask(f"{url}ones/0.0.0")
    assert chunk.headers["content-type"] == "application/octet-stream"
    assert int(chunk.headers["content-length"]) == len(chunk.body) < 4 * math.prod(about["chunks"]) / 10
    assert chunk.headers["etag"]
    assert "transfer-encoding" not in chunk.headers
    assert "content-encoding" not in ask(f"{url}ones/0.0.0", Accept_Encoding="gzip").headers


def test_chunks_are_the_arrays_own(zapz_url: str) -> None:
    """zarrflask cuts three dimensions into 100 cells each, and dask's blocks anywhere."""
    assert document(f"{place(zapz_url, 'lazy', 'v2')}even/.zarray")["chunks"] == [16, 20]
    assert document(f"{place(zapz_url, 'lazy', 'v2')}deep/.zarray")["chunks"] == [2, 7, 105]
    assert document(f"{place(zapz_url, 'filled', 'v2')}a/.zarray")["chunks"] == [16, 20]
    assert math.prod(document(f"{place(zapz_url, 'generated-ones', 'v2')}ones/.zarray")["chunks"]) >= 10_000
    assert math.prod(document(f"{place(zapz_url, 'lazy', 'v2')}uneven/.zarray")["chunks"]) >= 100


def test_without_a_dimension(zapz_url: str) -> None:
    for form, key in {"v2": "0", "v3": "c"}.items():
        url = f"{place(zapz_url, 'in-memory', form)}zero_f8/"
        assert document(f"{url}{'.zarray' if form == 'v2' else 'zarr.json'}")["shape"] == []
        assert ask(url + key).status == 200
    assert by_fsspec(place(zapz_url, "in-memory", "v3"), ["zero_f8"], 3)["zero_f8"] == 4.5


def test_what_is_beyond_the_end_is_the_fill_value(zapz_url: str) -> None:
    """zarrflask pads with zeros."""
    url = place(zapz_url, "filled", "v2")
    assert document(f"{url}a/.zarray")["fill_value"] == -9
    assert document(f"{url}b/.zarray")["fill_value"] == "NaN"
    right = whole("filled")
    for array, fill in {"a": -9, "b": np.nan}.items():
        chunk = decoded(url, array, "1.2").copy()
        np.testing.assert_array_equal(chunk[:14, :1], right[array].to_numpy()[16:, 40:])
        chunk[:14, :1] = fill
        np.testing.assert_array_equal(chunk, np.full((16, 20), fill))


@pytest.mark.parametrize(
    "key", ["40.0", "0.40", "-1.0", "0.-1", "00.0", "+1.0", "0.0.0", "0", "x", "0.x", "1e0.0", "٣.0", "0.0/"]
)
def test_what_is_no_chunk_of_zarr_2(key: str, zapz_url: str, computed_note: Path) -> None:
    """zarrflask answers zeros, or 500 after computing all."""
    url = f"{place(zapz_url, 'watched', 'v2')}a/"
    before = computed_note.read_text()
    for method in ("GET", "HEAD"):
        assert ask(url + "".join(c if c.isascii() else "%D9%A3" for c in key), method).status == 404
    assert computed_note.read_text() == before
    assert ask(f"{url}2.2").status == 200
    assert computed_note.read_text() != ""  # what is computed is noted


@pytest.mark.parametrize("key", ["c/3/0", "c/0/-1", "c/00/0", "c/0", "c/0/0/0", "c", "0/0", "c.0.0", "c/0/0/", "c/x/0"])
def test_what_is_no_chunk_of_zarr_3(key: str, zapz_url: str, computed_note: Path) -> None:
    before = computed_note.read_text()
    assert ask(f"{place(zapz_url, 'watched', 'v3')}a/{key}").status == 404
    assert computed_note.read_text() == before


def test_what_is_not_served(zapz_url: str) -> None:
    lazy_url = place(zapz_url, "lazy", "v2")
    for url in (
        f"{zapz_url}nothing/",
        f"{zapz_url}nothing/.zgroup",
        f"{lazy_url}nothing/.zarray",
        f"{lazy_url}nothing/0.0",
    ):
        assert ask(url).status == 404
    assert ask(f"{zapz_url}favicon.ico").status in {200, 404}


def test_array_without_cells(zapz_url: str) -> None:
    url = place(zapz_url, "empty", "v2")
    assert document(f"{url}none/.zarray")["shape"] == [0]
    assert min(document(f"{url}none/.zarray")["chunks"] + document(f"{url}flat/.zarray")["chunks"]) >= 1
    assert (ask(f"{url}none/0").status, ask(f"{url}flat/0.0").status) == (404, 404)
    assert by_tensorstore(url, ["flat"], 2)["flat"].shape == (0, 5)


def test_text_is_text(zapz_url: str) -> None:
    """zarrflask sends addresses of its memory."""
    url = place(zapz_url, "objects", "v2")
    about = document(f"{url}words/.zarray")
    assert about["dtype"] == "|O"
    assert [each["id"] for each in about["filters"]] == ["vlen-utf8"]
    assert "übung".encode() in numcodecs.get_codec(about["compressor"]).decode(ask(f"{url}words/0").body)


# HTTP


def test_head_is_get_without_the_body(zapz_url: str) -> None:
    url = place(zapz_url, "lazy", "v2")
    for key in (".zmetadata", "even/.zarray", "even/0.0", "even/9.9", "even/2.2"):
        get, head = (ask(url + key, method) for method in ("GET", "HEAD"))
        assert (head.status, head.body) == (get.status, b"")
        assert [head.headers.get(name) for name in ("content-length", "etag", "content-type")] == [
            get.headers.get(name) for name in ("content-length", "etag", "content-type")
        ]


def test_ranges(zapz_url: str) -> None:
    url = f"{place(zapz_url, 'lazy', 'v2')}even/0.0"
    whole = ask(url)
    size = len(whole.body)
    spans = {"0-9": (0, 10), "5-": (5, size), "-7": (size - 7, size), "-999999": (0, size), f"3-{size + 9}": (3, size)}
    for words, (start, stop) in spans.items():
        part = ask(url, Range=f"bytes={words}")
        assert (part.status, part.body) == (206, whole.body[start:stop]), words
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.headers["etag"] == whole.headers["etag"]
    beyond = ask(url, Range=f"bytes={size}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert ask(url, If_None_Match=whole.headers["etag"]).status == 304


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods(method: str, zapz_url: str) -> None:
    reply = ask(f"{place(zapz_url, 'lazy', 'v2')}even/0.0", method)
    assert reply.status == 405
    assert {"GET", "HEAD"} <= {word.strip() for word in reply.headers["allow"].split(",")}


def test_requests_are_counted(zapz_url: str) -> None:
    ask(f"{place(zapz_url, 'lazy', 'v2')}even/0.0")
    metrics = ask(f"{zapz_url}metrics")
    assert (metrics.status, metrics.headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert "# TYPE zapz_" in metrics.body.decode()
    assert "request" in metrics.body.decode()


def test_the_program_that_reads_zarrflask_reads_this(zapz_url: str) -> None:
    """It makes a mapper of fsspec, and opens it with xarray."""
    with fresh_connections(), xr.open_zarr(fsspec.get_mapper(f"{zapz_url}generated-ones/")) as dataset:
        xr.testing.assert_equal(dataset.load(), whole("generated-ones"))
        assert dataset["ones"].attrs["abc"] == "xyz"
        assert dataset.attrs["title"] == "numbers that are one"


def test_datasets_are_as_they_are_said_to_be() -> None:
    """Blocks of dask, of unequal size too."""
    dataset = lazy()
    assert dataset["even"].chunks == ((16, 16, 8), (20, 20, 20))
    assert dataset["uneven"].chunks == ((5, 20, 15), (33, 27))
