"""Dimension names where netCDF-C keeps them (NCZarr), if the arrays do not have Zarr's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.cubes import read

import zapz
from zapz.errors import MetadataError
from zapz.format import v2, v3

ARRAY = {"zarr_format": 2, "dtype": "<i4", "order": "C", "fill_value": -1, "filters": None, "compressor": None}
FORMS = {  # what netCDF-C 4.10, 4.9 and 4.8 write without _ARRAY_DIMENSIONS: among the attributes, or in .zarray
    "attribute": (".zattrs", "_nczarr_array", "dimension_references"),
    "attribute, older": (".zattrs", "_nczarr_array", "dimrefs"),
    "field": (".zarray", "_NCZARR_ARRAY", "dimrefs"),
    "field, newer": (".zarray", "_nczarr_array", "dimension_references"),
}


def _documents(
    form: str, shape: list[int], dims: list[str], attributes: dict[str, Any] | None = None
) -> tuple[bytes, bytes]:
    place, own, key = FORMS[form]
    found = {".zarray": {**ARRAY, "shape": shape, "chunks": shape}, ".zattrs": dict(attributes or {})}
    found[place][own] = {key: dims, "storage": "chunked"}
    return json.dumps(found[".zarray"]).encode(), json.dumps(found[".zattrs"]).encode()


def _slice(path: Path, form: str, value: int) -> Path:
    path.mkdir()
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    for name, shape, dims in (("v", [1, 4], ["/time", "/x"]), ("time", [1], ["/time"]), ("crs", [1], [])):
        (path / name).mkdir()
        documents = _documents(form, shape, dims)
        for document, data in zip((".zarray", ".zattrs"), documents, strict=True):
            (path / name / document).write_bytes(data)
        cells = np.full(shape, value if name != "crs" else 7, "<i4")
        (path / name / ".".join("0" * len(shape))).write_bytes(cells.tobytes())
    return path


@pytest.mark.parametrize("form", FORMS)
def test_slices_of_netcdf_are_appended(tmp_path: Path, form: str) -> None:
    zapz.append(tmp_path / "target", [_slice(tmp_path / f"slice{k}", form, k) for k in (1, 2)])
    found = read(tmp_path / "target")
    assert found["v"].tolist() == [[1] * 4, [2] * 4]
    assert found["time"].tolist() == [1, 2]
    assert found["crs"].tolist() == [7]
    assert zapz.info(tmp_path / "target").dims == {"time": 2, "x": 4}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shape", "dims", "attributes", "expected"),
    [
        ([2, 3], ["/time", "/group/x"], {}, ("time", "x")),
        ([1], [], {}, (None,)),  # a scalar
        ([2, 3], ["/time", "/x"], {"_ARRAY_DIMENSIONS": ["t", "y"]}, ("t", "y")),  # Zarr's own win
        ([2], [7], {}, (None,)),
    ],
)
def test_dimension_names(
    form: str, shape: list[int], dims: list[Any], attributes: dict[str, Any], expected: Any
) -> None:
    array = v2.read_array("v", *_documents(form, shape, dims, attributes))
    assert array.dims == expected


@pytest.mark.parametrize("form", FORMS)
def test_names_that_do_not_fit_are_refused(form: str) -> None:
    with pytest.raises(MetadataError, match="dimension names"):
        v2.read_array("v", *_documents(form, [2, 3], ["/time"]))


def test_attributes_of_format_3() -> None:
    meta = {
        "zarr_format": 3, "node_type": "array", "shape": [2, 3], "data_type": "int32", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
        "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {"_nczarr_array": {"dimension_references": ["/time", "/x"]}},
    }  # fmt: skip
    assert v3.read_array("v", json.dumps(meta).encode()).dims == ("time", "x")
    meta["dimension_names"] = ["t", None]
    assert v3.read_array("v", json.dumps(meta).encode()).dims == ("t", None)
