"""Small Zarr datasets for tests, written and read by zarr-python, and what NumPy expects of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

Values = np.ndarray[Any, Any]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of zarr-python and numcodecs: they are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def write_group(path: Path | str, *, zarr_format: int, attrs: Mapping[str, Any] | None = None, name: str = "") -> None:
    """Make a group (and the groups above it)."""
    import zarr

    with quiet():
        where = Path(path) / name if name else Path(path)
        zarr.open_group(where, mode="a", zarr_format=zarr_format, attributes=dict(attrs or {}))


def write_array(
    path: Path | str,
    name: str,
    data: Any,
    *,
    zarr_format: int,
    dims: Sequence[str | None] | None = None,
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    index_location: str = "end",
    index_codecs: Iterable[Any] | None = None,
    fill: Any = "default",
    filters: Any = "auto",
    compressors: Any = None,
    serializer: Any = "auto",
    order: str = "C",
    separator: str | None = None,
    key_style: str = "default",
    attrs: Mapping[str, Any] | None = None,
    write_empty: bool = True,
) -> None:
    """Write one array below the root ``path``; ``name`` may hold slashes ("" makes the root itself an array)."""
    import zarr
    from zarr.storage import LocalStore

    values = np.asarray(data)
    attributes = dict(attrs or {})
    options: dict[str, Any] = {"compressors": compressors, "config": {"write_empty_chunks": write_empty}}
    if zarr_format == 2:
        options["order"] = order
        options["chunk_key_encoding"] = {"name": "v2", "separator": separator or "."}
        if dims is not None:
            attributes["_ARRAY_DIMENSIONS"] = list(dims)
    else:
        options["chunk_key_encoding"] = {
            "name": key_style,
            "separator": separator or ("/" if key_style == "default" else "."),
        }
        options["serializer"] = serializer
        if dims is not None:
            options["dimension_names"] = list(dims)
        if order == "F" and values.ndim > 1:
            from zarr.codecs import TransposeCodec

            filters = [
                TransposeCodec(order=tuple(range(values.ndim))[::-1]),
                *([] if filters in ("auto", None) else filters),
            ]
        if shards is not None:
            options["shards"] = {"shape": tuple(shards), "index_location": index_location}
    if not isinstance(filters, str) or filters != "auto":
        options["filters"] = filters
    if not isinstance(fill, str) or fill != "default":
        options["fill_value"] = fill
    with quiet():
        store = Path(path) / name if name else Path(path)
        array = zarr.create_array(
            LocalStore(store),  # newer versions read a path as a URI
            shape=values.shape,
            dtype="string"
            if values.dtype == object and zarr_format == 3
            else str
            if values.dtype == object
            else values.dtype,
            chunks=tuple(chunks) if chunks is not None else tuple(max(1, n) for n in values.shape),
            zarr_format=zarr_format,
            attributes=attributes,
            **options,
        )
        if index_codecs is not None:
            _set_index_codecs(store, list(index_codecs))
            array = zarr.open_array(LocalStore(store), mode="a", config={"write_empty_chunks": write_empty})
        array[...] = values


def _set_index_codecs(store: Path, codecs: list[Any]) -> None:
    import json

    document = store / "zarr.json"
    meta = json.loads(document.read_text())
    meta["codecs"][0]["configuration"]["index_codecs"] = codecs
    document.write_text(json.dumps(meta))


def values_of(shape: Sequence[int], dtype: Any, seed: int = 0) -> Values:
    """Return values of any type that differ from cell to cell and never equal the usual fill values."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=int))
    numbers = np.random.default_rng(seed).integers(1, 100, size=size) + np.arange(size) % 7
    kind = dtype.kind
    if kind == "O":
        return np.array([f"s{n}é" * (n % 3) for n in numbers], dtype=object).reshape(shape)
    if kind == "b":
        return (numbers % 2 == 0).reshape(shape)
    if kind in "US":
        return np.array([f"t{n}" for n in numbers]).astype(dtype).reshape(shape)
    if kind in "mM":
        return numbers.astype(np.int64).view(dtype.newbyteorder("=")).astype(dtype).reshape(shape)
    if kind == "c":
        return (numbers + 1j * numbers[::-1]).astype(dtype).reshape(shape)
    if kind == "V" and dtype.fields is None:
        return (
            np.frombuffer(np.random.default_rng(seed).bytes(size * dtype.itemsize), dtype=dtype).reshape(shape).copy()
        )
    if dtype.fields is not None:
        out = np.zeros(size, dtype)
        for field in dtype.names or ():
            out[field] = values_of((size,), dtype[field], seed)
        return out.reshape(shape)
    return (numbers / (4 if kind == "f" else 1)).astype(dtype).reshape(shape)


def make_slice(
    path: Path | str,
    *,
    zarr_format: int = 2,
    start: int = 0,
    steps: int = 3,
    shape: Sequence[int] = (4, 6),
    chunks: Sequence[int] | None = None,
    axis: int = 0,
    dtype: Any = "<f4",
    fill: Any = "default",
    compressors: Any = None,
    filters: Any = "auto",
    serializer: Any = "auto",
    order: str = "C",
    shards: Sequence[int] | None = None,
    index_location: str = "end",
    index_codecs: Iterable[Any] | None = None,
    separator: str | None = None,
    key_style: str = "default",
    dims: Sequence[str] = ("y", "x", "z", "w"),
    dim: str = "time",
    time_chunk: int | None = None,
    attrs: Mapping[str, Any] | None = None,
    root_attrs: Mapping[str, Any] | None = None,
    name: str = "data",
    data: Any = None,
    static: bool = True,
    nested: bool = False,
    consolidated: bool = False,
    write_empty: bool = True,
) -> dict[str, Values]:
    """Write a slice: labels ``time``, one cube ``data`` (append axis at ``axis``), static variables, and return its values.

    Args:
        path: Root of the slice.
        zarr_format: 2 or 3.
        start: First label (days since 2020-01-01), also the seed of the values.
        steps: Length along the append dimension.
        shape: Lengths of the cube's other axes.
        chunks: Chunk (inner chunk) shape of the cube with the append axis in its place; whole slice if None.
        axis: Place of the append axis in the cube.
        dtype: Type of the cube.
        fill: Fill value of the cube ("default": the format's).
        compressors: As zarr-python takes them; None for raw chunks.
        filters: As zarr-python takes them.
        serializer: v3 only.
        order: "C" or "F" (v3: a reversing transpose).
        shards: Shard shape, v3 only.
        index_location: Of shards.
        index_codecs: Of shards, as JSON values.
        separator: Of chunk keys.
        key_style: v3: "default" or "v2".
        dims: Names of the cube's other axes.
        dim: Name of the append dimension.
        time_chunk: Chunk length of the labels.
        attrs: Attributes of the cube.
        root_attrs: Attributes of the root.
        name: Name of the cube.
        data: Values of the cube instead of generated ones.
        static: Whether to write static variables (``mask``, ``y``) and a scalar (``crs``).
        nested: Whether to write a group ``deep/er`` with a cube of its own.
        consolidated: Whether to consolidate the metadata.
        write_empty: Whether chunks that hold only the fill value are written.
    """
    others = list(shape)
    full = [*others[:axis], steps, *others[axis:]]
    names = list(dims[: len(others)])
    all_dims = [*names[:axis], dim, *names[axis:]]
    labels = np.arange(start, start + steps, dtype=np.int64)
    cube = values_of(full, dtype, seed=start) if data is None else np.asarray(data)
    result: dict[str, Values] = {dim: labels, name: cube}
    write_group(path, zarr_format=zarr_format, attrs=root_attrs)
    plain: dict[str, Any] = {"zarr_format": zarr_format}
    write_array(
        path,
        dim,
        labels,
        dims=[dim],
        chunks=[time_chunk or max(1, steps)],
        fill=None if zarr_format == 2 else "default",
        attrs={"units": "days since 2020-01-01", "calendar": "proleptic_gregorian"},
        **plain,
    )
    write_array(
        path,
        name,
        cube,
        dims=all_dims,
        chunks=chunks,
        shards=shards,
        index_location=index_location,
        index_codecs=index_codecs,
        fill=fill,
        filters=filters,
        compressors=compressors,
        serializer=serializer,
        order=order,
        separator=separator,
        key_style=key_style,
        attrs=attrs,
        write_empty=write_empty,
        **plain,
    )
    if static:
        result["crs"] = np.array(7, dtype=np.int32)
        write_array(path, "crs", result["crs"], dims=[], attrs={"grid_mapping_name": "latitude_longitude"}, **plain)
        if others:
            result[names[0]] = np.linspace(1, 2, others[0])
            write_array(path, names[0], result[names[0]], dims=names[:1], **plain)
    if nested:
        write_group(path, zarr_format=zarr_format, name="deep")
        write_group(path, zarr_format=zarr_format, name="deep/er", attrs={"level": 1})
        inner = np.arange(start * 3, (start + steps) * 3, dtype=np.int16).reshape(steps, 3) + np.int16(1)
        result["deep/er/extra"] = inner
        write_array(path, "deep/er/extra", inner, dims=[dim, "n"], chunks=[2, 2], fill=0, **plain)
    if consolidated:
        consolidate(path, zarr_format=zarr_format)
    return result


def consolidate(path: Path | str, *, zarr_format: int) -> None:
    """Write consolidated metadata with zarr-python."""
    import zarr

    with quiet():
        zarr.consolidate_metadata(str(path), zarr_format=zarr_format)


def read(path: Path | str, *, consolidated: bool = False) -> dict[str, Values]:
    """Return every array below ``path`` by its path, read by zarr-python (without consolidated metadata unless asked)."""
    import zarr

    with quiet():
        group = zarr.open_group(str(path), mode="r", use_consolidated=consolidated)
        found: dict[str, Values] = {}
        for name, member in group.members(max_depth=None):
            if isinstance(member, zarr.Array):
                found[name] = np.asarray(member[...])
        return found


def joined(parts: Sequence[Mapping[str, Values]], axes: Mapping[str, int]) -> dict[str, Values]:
    """Return what the target must hold: arrays named in ``axes`` concatenated along that axis, the others from the first part."""
    return {
        name: np.concatenate([p[name] for p in parts], axis=axes[name]) if name in axes else value
        for name, value in parts[0].items()
    }


def same(found: Mapping[str, Values], expected: Mapping[str, Values]) -> None:
    """Assert that two datasets hold the same values, NaN included."""
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape, (name, found[name].shape, value.shape)
        if value.dtype.kind == "O" or found[name].dtype.kind in "OT":
            assert found[name].astype(object).tolist() == value.tolist(), name
        else:
            np.testing.assert_array_equal(found[name], value.astype(value.dtype.newbyteorder("=")), err_msg=name)


def axes_of(axis: int = 0, *, name: str = "data", dim: str = "time", nested: bool = False) -> dict[str, int]:
    """Return the append axes of what ``make_slice`` writes."""
    return {dim: 0, name: axis, **({"deep/er/extra": 0} if nested else {})}


def files(path: Path | str) -> dict[str, bytes]:
    """Return every file below ``path`` by its relative name."""
    root = Path(path)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def read_tensorstore(path: Path | str, *, zarr_format: int) -> Values:
    """Read one array with tensorstore."""
    import tensorstore as ts

    spec = {"driver": "zarr" if zarr_format == 2 else "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    return np.asarray(ts.open(spec, open=True, read=True).result().read().result())


def shrink(path: Path | str, steps: int, *, dim: str = "time") -> None:
    """Cut every array to ``steps`` along ``dim`` in its metadata alone: what lay behind stays as stale bytes."""
    import json

    root = Path(path)
    for document in [*root.rglob(".zarray"), *root.rglob("zarr.json")]:
        meta = json.loads(document.read_text())
        if document.name == ".zarray":
            attributes = document.with_name(".zattrs")
            dims = json.loads(attributes.read_text()).get("_ARRAY_DIMENSIONS", []) if attributes.exists() else []
        else:
            dims = meta.get("dimension_names") or []
        if dim in dims:
            meta["shape"][dims.index(dim)] = steps
            document.write_text(json.dumps(meta))


def compressor(name: str, zarr_format: int) -> Any:
    """Return a compressor by its numcodecs id for either format (None for "none")."""
    if name == "none":
        return None
    import numcodecs

    if zarr_format == 2:
        made = {
            "blosc": lambda: numcodecs.Blosc("lz4", 3, numcodecs.Blosc.BITSHUFFLE),
            "blosc-zstd": lambda: numcodecs.Blosc("zstd", 1),
            "zstd": lambda: numcodecs.Zstd(3),
            "gzip": lambda: numcodecs.GZip(2),
            "zlib": lambda: numcodecs.Zlib(2),
            "bz2": lambda: numcodecs.BZ2(1),
            "lzma": lambda: numcodecs.LZMA(preset=1),
            "lz4": numcodecs.LZ4,
        }
        return made[name]()
    with quiet():
        from zarr import codecs
        from zarr.codecs import numcodecs as wrapped

        made = {
            "blosc": lambda: codecs.BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle"),
            "blosc-zstd": lambda: codecs.BloscCodec(cname="zstd", clevel=1),
            "zstd": lambda: codecs.ZstdCodec(level=1, checksum=True),
            "gzip": lambda: codecs.GzipCodec(level=3),
            "zlib": lambda: wrapped.Zlib(level=2),
            "bz2": lambda: wrapped.BZ2(level=1),
            "lzma": lambda: wrapped.LZMA(preset=1),
            "lz4": wrapped.LZ4,
        }
        return made[name]()


COMPRESSORS = ("none", "blosc", "blosc-zstd", "zstd", "gzip", "zlib", "bz2", "lzma", "lz4")
"""Names that ``compressor`` knows."""
