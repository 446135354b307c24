"""zarrflask, zarrita and GDAL judge ``zapz serve``. What it does better than zarrflask is in ``test_zarr_on_request``.

``-m judges`` runs them; ``.ci/run`` runs those that are named small. zarrflask is in no package index: ``ZAPZ_ZARRFLASK`` names a folder with its
source, else its tests are skipped.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit.http_clients import assert_same, by_fsspec, fresh_connections
from kit.http_judges import as_raster, by_gdal, by_zarrita, zarrita
from kit.judge_programs.served_arrays import FACTORIES, whole
from kit.judging import run
from kit.server_processes import ask, place

pytestmark = [pytest.mark.judges, pytest.mark.filterwarnings("ignore:The data type")]

FORMS = {"v2": 2, "v3": 3}
ORACLE = [name for name in FACTORIES if name not in {"templated", "empty", "objects"}]
"""Datasets that zarrflask can serve whole, and right."""


def document(url: str) -> dict[str, Any]:
    reply = ask(url)
    assert reply.status == 200, url
    return reply.json


def chunk(url: str, about: dict[str, Any], key: str) -> tuple[tuple[slice, ...], np.ndarray]:
    """Return which cells are in a chunk of zarrflask's, and their values: it sends all bytes as they are, padded."""
    shape, chunks = about["shape"], about["chunks"]
    if not shape:
        return (), np.frombuffer(ask(url + key).body, about["dtype"]).reshape(())
    starts = [int(i) * n for i, n in zip(key.split("."), chunks, strict=True)]
    region = tuple(slice(a, min(a + n, end)) for a, n, end in zip(starts, chunks, shape, strict=True))
    cells = np.frombuffer(ask(url + key).body, about["dtype"]).reshape(chunks)
    return region, cells[tuple(slice(0, part.stop - part.start) for part in region)]


def keys_of(about: dict[str, Any]) -> list[str]:
    counts = [math.ceil(n / c) for n, c in zip(about["shape"], about["chunks"], strict=True)]
    return [".".join(map(str, index)) for index in itertools.product(*map(range, counts))] if counts else ["0"]


def served(url: str, form: str, name: str) -> dict[str, np.ndarray]:
    """Return all values of a dataset of ``zapz serve``: as they are, but with times decoded."""
    variables = FACTORIES[name]().variables
    found = by_fsspec(place(url, name, form), [str(each) for each in variables], FORMS.get(form))
    times = [str(path) for path, variable in variables.items() if variable.dtype.kind in "mM"]
    with fresh_connections(), xr.open_zarr(place(url, name, form)) as dataset:
        return {**found, **{path: dataset[path].to_numpy() for path in times}}


@pytest.mark.parametrize("form", ["", *FORMS])
@pytest.mark.parametrize("name", ORACLE)
def test_each_chunk_of_zarrflask(name: str, form: str, zarrflask_url: str, zapz_url: str) -> None:
    """All keys of its grid: what it sends for them is what ours decodes to."""
    ours = served(zapz_url, form, name)
    documents = document(f"{zarrflask_url}{name}/.zmetadata")["metadata"]
    assert {key.rpartition("/")[0] for key in documents} - {""} == set(ours)
    for path, cells in ours.items():
        about = documents[f"{path}/.zarray"]
        for key in keys_of(about):
            region, theirs = chunk(f"{zarrflask_url}{name}/{path}/", about, key)
            np.testing.assert_array_equal(cells[region], theirs, err_msg=f"{path}/{key}")


def test_random_chunks_of_a_templated_array(zarrflask_url: str, zapz_url: str) -> None:
    about = document(f"{zarrflask_url}templated/huge/.zarray")
    random = np.random.default_rng(1)
    keys = ["0.0", "999999.999999", *(".".join(map(str, random.integers(0, 10**6, 2))) for _ in range(5))]
    for key in keys:
        region, theirs = chunk(f"{zarrflask_url}templated/huge/", about, key)
        for form, zarr_format in FORMS.items():
            ours = by_fsspec(place(zapz_url, "templated", form), {"huge": region}, zarr_format)["huge"]
            np.testing.assert_array_equal(ours, theirs, err_msg=key)


@pytest.mark.parametrize("name", ORACLE)
def test_documents_say_what_zarrflasks_do(name: str, zarrflask_url: str, zapz_url: str) -> None:
    theirs, ours = (
        document(f"{url}.zmetadata")["metadata"] for url in (place(zarrflask_url, name), place(zapz_url, name, "v2"))
    )
    ours.setdefault(".zattrs", {})  # a group without attributes has no such document
    assert ours.keys() == theirs.keys()
    variables = FACTORIES[name]().variables
    for key, text in theirs.items():
        found, variable = ours[key], variables.get(key.rpartition("/")[0])
        if key.endswith(".zattrs"):
            assert {each: found[each] for each in text} == text
        elif key.endswith(".zarray"):
            assert found["shape"] == text["shape"]
            if variable.dtype.kind not in "MmU":  # times are numbers with units, text is of any length
                assert np.dtype(found["dtype"]).newbyteorder("=") == np.dtype(text["dtype"]).newbyteorder("=")
        else:
            assert found == text


def names(url: str) -> list[str]:
    """Return the last parts of a page's links, in order, without that to the page above."""
    found = re.findall(r'<a [^>]*href="([^"]+)"', ask(url, Accept="text/html").body.decode())
    return [link.rstrip("/").rpartition("/")[2] for link in found if not link.startswith("..")]


def test_pages_name_what_zarrflasks_do(zarrflask_url: str, zapz_url: str) -> None:
    ours = names(zapz_url)
    assert [name for name in ours if name in FACTORIES] == names(zarrflask_url) == sorted(FACTORIES)
    for name in ORACLE:
        missing = set(names(place(zarrflask_url, name))) - set(names(place(zapz_url, name, "v2")))
        assert missing <= ({".zattrs"} if not FACTORIES[name]().attrs else set()), name


@pytest.mark.parametrize(
    "path", ["nothing/", "nothing/.zgroup", "lazy/nothing/.zarray", "lazy/nothing/0.0", "lazy/.zarray"]
)
def test_what_zarrflask_does_not_serve(path: str, zarrflask_url: str, zapz_url: str) -> None:
    assert ask(zapz_url + path).status == 404
    assert ask(zarrflask_url + path).status in {404, 308}  # a page that is elsewhere, and then 404


def test_zarrflasks_reader_is_unchanged(zarrflask: Path, zapz_url: str, tmp_path: Path) -> None:
    """Its program for clients, but for the port: that is a constant in it."""
    text = (zarrflask / "reader.py").read_text()
    theirs = "http://127.0.0.1:5000"
    assert text.count(theirs) == 1
    assert text.count("LOAD_ARRAY = False") == 1
    reader = tmp_path / "reader.py"
    reader.write_text(text.replace(theirs, zapz_url.rstrip("/")).replace("LOAD_ARRAY = False", "LOAD_ARRAY = True"))
    said = run([sys.executable, "-W", "error", reader])
    assert "(x: 11, y: 12, z: 130)" in said
    assert "array([[[1., 1., 1." in said


@pytest.mark.parametrize("form", [pytest.param(form, id=f"small {form}") for form in FORMS])
@pytest.mark.parametrize("name", ["in-memory", "other-types", "lazy", "computed", "filled"])
def test_zarrita_reads_numbers(name: str, form: str, zapz_url: str) -> None:
    right = {str(path): each.to_numpy() for path, each in whole(name).variables.items()}
    right = {path: cells for path, cells in right.items() if cells.dtype.kind in "biuf" and cells.dtype != "f2"}
    assert_same(by_zarrita(place(zapz_url, name, form), list(right), FORMS[form]), right)


def test_small_zarrita_finds_members(zapz_url: str) -> None:
    for form in FORMS:
        answer = zarrita(place(zapz_url, "lazy", form), {"even": [[15, 17], 20]}, consolidated=True)
        assert {"/", "/even", "/uneven", "/deep"} == set(answer.contents)
        right = FACTORIES["lazy"]()["even"].to_numpy()[15:17, 20]
        np.testing.assert_array_equal(answer.arrays["even"], right)


@pytest.mark.parametrize("form", [pytest.param(form, id=f"small {form}") for form in FORMS])
def test_gdal_reads_rasters(form: str, zapz_url: str) -> None:
    for name in ("lazy", "filled", "generated-ones"):
        right = {str(path): as_raster(each.to_numpy()) for path, each in whole(name).data_vars.items()}
        assert_same(by_gdal(place(zapz_url, name, form), list(right)), right)
