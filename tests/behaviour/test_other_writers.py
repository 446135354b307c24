"""Other writers' stores and odd ones: appended and read back right, or refused and left alone."""

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr
from kit.trees import tree

import zapz
from zapz.format.documents import foreign_document
from zapz.format.fill_cells import fill_cells
from zapz.storage.chunk_reader import ChunkReader, region
from zapz.storage.hierarchy import open_dataset
from zapz.storage.open import open_store

ROOT = Path(os.environ.get("ZAPZ_DATA", "/nonexistent"))
NEEDS = pytest.mark.skipif(not ROOT.is_dir(), reason="real data are not here: ZAPZ_DATA does not name their folder")

REFUSED = {
    "v2_dims_dup": 3,
    "v2_nested_groups": 3,
    "v2_no_dims_attr": 3,
    "v2_scalar": 3,
    "v3_dims_absent": 3,
    "v3_dims_none": 3,
    "v3_unknown_field_bad": 4,
}
EMPTY = {"v2_zero_len", "v3_zero_len"}
UNREADABLE = {"v2_dtype_u1_le", "v2_struct", "v3_codec_str"}
"""zarr-python does not open these; their chunks are compared as bytes, and tensorstore reads one of them."""


def odd_stores() -> list[str]:
    return sorted(p.name for p in (ROOT / "odd").iterdir() if p.is_dir()) if ROOT.is_dir() else []


def read(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(zarr.open_array(str(path), mode="r")[...])


def assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    if actual.dtype.kind in "fcmM":
        assert np.array_equal(actual, expected, equal_nan=True)
    else:
        assert np.array_equal(actual, expected)


@NEEDS
@pytest.mark.parametrize("label_chunk", [1024, "keep"])
@pytest.mark.parametrize("name", odd_stores())
def test_odd_store(tmp_path: Path, name: str, label_chunk: object) -> None:
    """A target made from an odd store, and the store appended once more, is the store twice."""
    store, target = ROOT / "odd" / name, tmp_path / "cube.zarr"
    if name in REFUSED:
        with pytest.raises(zapz.ZapzError) as caught:
            zapz.append(target, store)
        assert caught.value.exit_code == REFUSED[name]
        assert not target.exists()
        return
    report = zapz.append(target, [store, store], label_chunk=label_chunk)
    if name in EMPTY:
        assert report.skipped == 2
        assert not target.exists()
        return
    if name in UNREADABLE:
        ours = open_dataset(open_store(target)).arrays["a"]
        mine = cells(target, "a")
        once = cells(store, "a")
        axis = ours.dims.index("time")
        assert np.concatenate([once, once], axis=axis).tobytes() == mine.tobytes()
        return
    once = read(store / "a")
    assert_same(read(target / "a"), np.concatenate([once, once]))
    assert not (target / ".zapz").exists()


def cells(root: Path, path: str) -> np.ndarray:
    store = open_store(root)
    dataset = open_dataset(store)
    array = dataset.arrays[path]
    reader = ChunkReader(store, array, foreign_document(dataset.documents, path), str(root))
    return region(reader, tuple((0, n) for n in array.shape), fill_cells(array))


@NEEDS
@pytest.mark.parametrize("name", sorted(set(odd_stores()) - set(REFUSED) - EMPTY - UNREADABLE))
def test_odd_store_extends_itself(tmp_path: Path, name: str) -> None:
    """The store itself as a target, with whatever lies in it: it grows by itself."""
    store, target = ROOT / "odd" / name, tmp_path / "cube.zarr"
    shutil.copytree(store, target)
    for base, folders, files in os.walk(target):
        for entry in (*folders, *files):
            os.chmod(os.path.join(base, entry), 0o755)
    target.chmod(0o755)
    zapz.append(target, store)
    once = read(store / "a")
    assert_same(read(target / "a"), np.concatenate([once, once]))


@NEEDS
def test_zero_length_target_takes_its_first_steps(tmp_path: Path) -> None:
    for version in (2, 3):
        target = tmp_path / f"v{version}"
        shutil.copytree(ROOT / "odd" / f"v{version}_zero_len", target)
        source = ROOT / "odd" / ("v2_junk_files" if version == 2 else "v3_plain")
        zapz.append(target, source)
        assert_same(read(target / "a"), read(source / "a"))


def fixture_arrays() -> list[str]:
    if not ROOT.is_dir():
        return []
    found = []
    for path in sorted((ROOT / "fixtures").rglob("*")):
        if path.name == ".zarray" or (
            path.name == "zarr.json" and json.loads(path.read_text()).get("node_type") == "array"
        ):
            found.append(str(path.parent.relative_to(ROOT)))
    return found


@NEEDS
@pytest.mark.parametrize("name", fixture_arrays())
def test_fixture(tmp_path: Path, name: str) -> None:
    """Another writer's array, given dimension names, becomes a target and is appended to; or it is refused with code 4 or 5."""
    source = tmp_path / "slice" / "a"
    shutil.copytree(ROOT / name, source, ignore=lambda _, names: [n for n in names if n.startswith(".zapz")])
    ndim = name_dims(source)
    target = tmp_path / "cube.zarr"
    before = tree(source)
    try:
        expected = read(source)
    except Exception:  # noqa: BLE001 - whatever it finds illegal
        expected = None
    try:
        zapz.append(target, [tmp_path / "slice"] * 2, label_chunk="keep")
    except zapz.ZapzError as error:
        assert error.exit_code in ({3, 4, 5} if expected is None or not ndim else {4}), str(error)
        assert not target.exists()
        return
    assert tree(source) == before
    if expected is not None and expected.size:
        assert_same(read(target / "a"), np.concatenate([expected, expected]))


def name_dims(array: Path) -> int:
    """Give an array's axes names, the first one "time"; return their number."""
    if (array / ".zarray").exists():
        ndim = len(json.loads((array / ".zarray").read_text())["shape"])
        (array / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["time", "y", "x", "z", "u", "v"][:ndim]}))
        return ndim
    meta = json.loads((array / "zarr.json").read_text())
    ndim = len(meta["shape"])
    meta["dimension_names"] = ["time", "y", "x", "z", "u", "v"][:ndim]
    (array / "zarr.json").write_text(json.dumps(meta))
    return ndim
