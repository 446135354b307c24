"""The judge of the differential search: reads a target with zarr-python alone, and compares all of it with the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from kit.differential_meaning import Cells, Doc, WrongError, decode, first_difference

V2_DOCUMENTS = {".zarray", ".zgroup", ".zattrs"}
DOCUMENTS = V2_DOCUMENTS | {"zarr.json", ".zmetadata"}


@dataclass(frozen=True)
class Stored:
    """An array as zarr-python reads it."""

    doc: Doc
    raw: Cells


def dimensions(array: Any) -> tuple[str, ...]:
    if array.metadata.zarr_format == 3:
        return tuple(array.metadata.dimension_names or ())
    if "_ARRAY_DIMENSIONS" in array.attrs:
        return tuple(array.attrs["_ARRAY_DIMENSIONS"])
    return tuple(name.lstrip("/") for name in array.attrs["_nczarr_array"]["dimension_references"])


def read_all(root: Path, variables: Sequence[Any], *, consolidated: bool = False) -> dict[str, Stored]:
    """Read every array below a root."""
    import zarr

    group = zarr.open_group(str(root), mode="r", use_consolidated=consolidated)
    arrays = {
        name: node
        for name, node in group.members(max_depth=None, use_consolidated_for_children=consolidated)
        if isinstance(node, zarr.Array)
    }
    bounded = {v.path: v.bounds_of for v in variables if v.bounds_of}
    found = {}
    for name, array in sorted(arrays.items()):
        attrs = dict(array.attrs)
        above = dict(arrays[bounded[name]].attrs) if name in bounded and bounded[name] in arrays else None
        if above is not None:
            above = {key: above[key] for key in ("units", "calendar") if key in above}
        raw = np.asarray(array[...])
        dtype = np.dtype(object) if raw.dtype.kind in "OT" else array.dtype
        doc = Doc(
            zarr_format=array.metadata.zarr_format,
            dtype=dtype,
            shape=array.shape,
            dims=dimensions(array),
            fill=array.metadata.fill_value,
            attrs=attrs,
            bounded=above,
        )
        found[name] = Stored(doc, raw)
    return found


def said(condition: object, message: str) -> None:
    if not condition:
        raise WrongError(message)


def judge(root: Path, variables: Sequence[Any], wanted: Mapping[str, Cells], tolerances: Mapping[str, Fraction], before: int) -> None:  # fmt: skip
    """Compare a target with the truth: values, lengths, consolidated documents, and what else lies there."""
    stored = read_all(root, variables)
    said(set(stored) == set(wanted), f"arrays {sorted(stored)}, expected {sorted(wanted)}")
    for variable in variables:
        each = stored[variable.path]
        found = decode(variable.kind, each.raw, each.doc, label=variable.label)
        plain = decode(variable.kind, each.raw, each.doc, label=True)
        wrong = first_difference(wanted[variable.path], found, tolerances[variable.path], plain)
        said(not wrong, f"{variable.path}: {wrong}; stored as {each.doc}")
        if variable.label and variable.path == "time" and each.doc.zarr_format == 2:
            label_is_no_marker(each.doc.fill, each.raw[before:])
    said(len({each.doc.shape[each.doc.dims.index("time")] for each in stored.values() if "time" in each.doc.dims}) == 1, "lengths differ")  # fmt: skip
    documents_agree(root)
    if (root / ".zmetadata").exists() or b'"consolidated_metadata"' in b"".join(p.read_bytes() for p in root.glob("zarr.json")):  # fmt: skip
        again = read_all(root, variables, consolidated=True)
        said(set(again) == set(stored), "consolidated metadata name other arrays")
        steps_agree(root, stored)
        for path, each in stored.items():
            same = again[path].raw.shape == each.raw.shape and again[path].raw.tobytes() == each.raw.tobytes()
            same = same or (each.raw.dtype.kind in "OT" and again[path].raw.tolist() == each.raw.tolist())
            said(same, f"{path}: consolidated metadata read other cells")
    strange = [str(p.relative_to(root)) for p in root.rglob("*") if p.name.startswith(".") and p.name not in DOCUMENTS]
    said(not strange, f"left over: {strange}")


def steps_agree(root: Path, stored: Mapping[str, Stored]) -> None:
    """Whoever goes from the consolidated root down, group by group, finds the same arrays."""
    import zarr

    for path, each in stored.items():
        node: Any = zarr.open_group(str(root), mode="r", use_consolidated=True)
        for name in path.split("/"):
            node = node[name]
        said(node.shape == each.doc.shape, f"{path}: shape {node.shape} from the consolidated root down, {each.doc.shape} itself")  # fmt: skip


def label_is_no_marker(fill: Any, brought: Cells) -> None:
    """A reader that takes a v2 fill value for missing must not find a label missing that zapz has brought."""
    said(fill is None or not np.any(brought == fill), f"a label equals the fill value {fill!r} of the target")


def documents_agree(root: Path) -> None:
    """Every consolidated document, at any depth, says what the nodes' own documents say, of all nodes below."""
    for document in [*root.rglob(".zmetadata")]:
        told = json.loads(document.read_text())["metadata"]
        below = {str(p.relative_to(document.parent)): json.loads(p.read_text()) for p in document.parent.rglob(".z*") if p.name in V2_DOCUMENTS}  # fmt: skip
        for key in sorted(set(told) | set(below)):
            empty = key.endswith(".zattrs") and not told.get(key) and not below.get(key)
            mine = told.get(key)
            if isinstance(mine, dict) and key.endswith(".zgroup"):  # zarr-python repeats what is below a group there
                mine = {"zarr_format": mine["zarr_format"]}
            said(empty or same_json(mine, below.get(key)), f"{document.relative_to(root)} is stale: {key}")
    for document in root.rglob("zarr.json"):
        block = json.loads(document.read_text()).get("consolidated_metadata")
        if block is None:
            continue
        below = {str(p.parent.relative_to(document.parent)): json.loads(p.read_text()) for p in document.parent.rglob("zarr.json") if p != document}  # fmt: skip
        said(set(block["metadata"]) == set(below), f"{document.relative_to(root)} lists {sorted(block['metadata'])}, there are {sorted(below)}")  # fmt: skip
        for key, own in below.items():
            told = {k: v for k, v in block["metadata"][key].items() if k != "consolidated_metadata"}
            own = {k: v for k, v in own.items() if k != "consolidated_metadata"}  # noqa: PLW2901
            said(same_json(told, own), f"{document.relative_to(root)} is stale: {key}")


def same_json(one: Any, other: Any) -> bool:
    """Return whether two documents say the same; NaN is NaN, and what is null may be left out."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items() if each not in (None, {}, [])}
        return [plain(each) for each in value] if isinstance(value, list) else value

    return json.dumps(plain(one), sort_keys=True) == json.dumps(plain(other), sort_keys=True)
