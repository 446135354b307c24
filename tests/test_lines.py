"""What an append says of each slice, and of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import run
from test_phases import days
from test_waits import day

import zapz

# -- a slice is called by what it was made of --------------------------------------------------------------------------


def test_lines_call_a_slice_by_its_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = (
        "import numpy as np\n"
        "def made(path):\n"
        "    n = int(path[3])\n"
        "    return {'time': (['time'], np.array([n])), 'v': (['time', 'x'], np.full((1, 3), n)), 'x': (['x'], np.arange(3) + n // 2)}\n"
    )
    (tmp_path / "makes_days.py").write_text(source)
    (tmp_path / "c.toml").write_text('slice_source = "makes_days:made"\n')
    words = ("append", "-c", tmp_path / "c.toml", tmp_path / "cube.zarr")
    code, out, err = run(*words, "day0.nc", "day1.nc", "day2.nc")
    assert code == 3
    assert [line.partition(":")[0] for line in out.splitlines()] == ["day0.nc", "day1.nc"]
    assert "differs from the target's, day2.nc, x:" in err
    code, out, _ = run(*words, "day0.nc", "day1.nc", "--dry-run", "-v")
    assert [line.partition(":")[0] for line in out.splitlines()][:2] == ["day0.nc", "day1.nc"]


def in_place(path: str) -> str:
    return str(Path(path).with_suffix(".zarr"))


class Made(zapz.Source):
    """A slice that has no name of its own."""

    def __init__(self, number: int) -> None:
        self.number = number

    def documents(self) -> dict[str, bytes]:
        head = b'{"zarr_format": 3, "node_type": "array", "shape": [1], "data_type": "int64", "fill_value": 0, "attributes": {}, "dimension_names": ["time"], '
        grid = b'"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}}, "chunk_key_encoding": {"name": "default"}, '
        codecs = b'"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}'
        return {"zarr.json": b'{"zarr_format": 3, "node_type": "group", "attributes": {}}', "time/zarr.json": head + grid + codecs}  # fmt: skip

    def cells(self, path: str, box: Any) -> Any:
        return np.array([self.number])


class Named(Made):
    uri = "mine"


def test_reports_call_a_slice_by_its_item(tmp_path: Path) -> None:
    """Not one that has chosen a name for itself, and not arrays that have none."""

    def names(slices: Any, **settings: Any) -> list[str]:
        return [
            r.slice for r in zapz.append(tmp_path / f"{len(list(tmp_path.iterdir()))}.zarr", slices, **settings).slices
        ]

    assert names([5, 6], slice_source=Made) == ["item 5", "item 6"]
    assert names([([5], {})], slice_source=Named) == ["mine"]
    assert names([5], slice_source=day) == ["item 5"]
    assert names([[day(3)]], slice_source=lambda d: d) == ["slice 0"]
    assert names([day(3), day(4)]) == ["slice 0", "slice 1"]
    paths = days(tmp_path, 2)
    assert names(paths) == [str(path) for path in paths]
    assert names([tmp_path / "day1.nc"], slice_source=in_place) == [str(tmp_path / "day1.nc")]


def test_an_error_names_the_item_and_the_place(tmp_path: Path) -> None:
    """Where a slice source says where the slice is, that alone may be a temporary name."""
    first, second = days(tmp_path, 2)
    where = {"a.nc": first, "b.nc": second, "c.nc": first}
    for settings in ({}, {"dry_run": True}):
        with pytest.raises(zapz.LabelError) as caught:
            zapz.append(tmp_path / "cube.zarr", ["b.nc", "c.nc"], slice_source=where.__getitem__, **settings)  # type: ignore[arg-type]
        assert caught.value.where == f"c.nc, {first}, time"
    with pytest.raises(zapz.LabelError) as caught:
        zapz.append(tmp_path / "cube.zarr", ["day0.zarr"], slice_source=lambda name: tmp_path / name)
    assert caught.value.where == f"{first}, time"
