"""Reasons why chunks of a slice are encoded and not copied, as text for display. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from zapz.cf.conversion import Encoding
from zapz.format.codecs import same_bytes
from zapz.format.metadata import Array
from zapz.planning.derivation import Derivation
from zapz.planning.pattern import old_columns, rows_of, runs_of
from zapz.planning.steps import ArrayPlan
from zapz.reports import VariableSummary


def variables_of(plans: Iterable[ArrayPlan], *, recompress: bool) -> list[VariableSummary]:
    """Return what happens to each array that is written: its path, chunks, and reasons.

    ``chunks`` are runs as in ``pattern.runs_of``, ``rows`` is the number of chunks that a step
    needs, ``old_columns`` that of chunks along the append dimension before the first one that is
    written, ``bytes`` the size of the new cells in memory.
    """
    return [
        {
            "path": each.path,
            "copied_chunks": each.copies,
            "encoded_chunks": each.encodes,
            "why": reasons(each, recompress=recompress),
            "chunks": runs_of(each),
            "rows": rows_of(each),
            "old_columns": old_columns(each),
            "bytes": math.prod(b - a for a, b in each.new_box) * each.target.dtype.itemsize,
        }
        for each in sorted(plans, key=lambda each: each.path)
    ]


def decoded_bytes(plans: Iterable[ArrayPlan]) -> int:
    """Return the size of the new cells whose chunks are encoded, in bytes when decoded."""
    decoded = (p for p in plans if p.source is not None and not p.verbatim and not _is_shard_of_copies(p))
    return sum(math.prod(b - a for a, b in p.new_box) * p.target.dtype.itemsize for p in decoded)


def _is_shard_of_copies(plan: ArrayPlan) -> bool:
    return plan.inner_verbatim and plan.target.codecs.shards is not None


def reasons(plan: ArrayPlan, *, recompress: bool) -> list[str]:
    """Return why an array's chunks are encoded; an empty list if they are copied.

    Args:
        plan: The plan of the array.
        recompress: Whether compressor parameters must be the target's.
    """
    source, target = plan.source, plan.target
    if source is None:
        return ["the slice lacks it: filled with missing values"]
    if plan.derivation is not None:
        return [f"derived: {plan.derivation.method} of {_windows(plan.derivation)} cells of {plan.derivation.source}"]
    if plan.verbatim:
        return []
    found = _of_meaning(plan)
    if source.grid.chunks != target.grid.chunks:
        found.append(f"chunks of {_shape(source)} in the slice, {_shape(target)} in the target")
    if plan.axis is not None and plan.offset % target.grid.chunks[plan.axis]:
        found.append(f"the boundary chunk is partly filled ({target.grid.chunks[plan.axis]:,} steps per chunk)")
    if not same_bytes(source.codecs, target.codecs):
        found.append(_of_codecs(source, target))
    elif recompress and source.codecs.strict != target.codecs.strict:
        found.append("recompress: the compressor's parameters differ")
    elif source.codecs.shards is not None and source.fill.image != target.fill.image:
        found.append("the fill values of the shards differ")
    if _is_shard_of_copies(plan):
        found.append("inner chunks are copied unchanged")
    return found


def _of_meaning(plan: ArrayPlan) -> list[str]:
    source, conversion = plan.source, plan.conversion
    if source is not None and source.dtype != plan.target.dtype:
        found = [f"{source.dtype} in the slice, {plan.target.dtype} in the target"]
    else:
        found = []
    if conversion is None or conversion.identity:
        return found
    target_meaning, slice_meaning = conversion.target, conversion.source
    if (target_meaning.units, target_meaning.calendar) != (slice_meaning.units, slice_meaning.calendar):
        found.append(f"units {_units(slice_meaning)} in the slice, {_units(target_meaning)} in the target")
    if target_meaning.packing != slice_meaning.packing:
        found.append("packing (scale_factor, add_offset) differs")
    if _plain(target_meaning) != _plain(slice_meaning):
        found.append("the missing value differs")
    return found or ["the meaning of stored values differs"]


def _plain(encoding: Encoding) -> list[str]:
    """Return the missing markers, independent of their data type."""
    return [repr(marker.item() if hasattr(marker, "item") else marker) for marker in encoding.markers]


def _units(encoding: Encoding) -> str:
    calendar = encoding.calendar or ""
    return f"{encoding.units!r}" + (f" ({calendar})" if calendar not in {"", "proleptic_gregorian", "standard"} else "")


def _of_codecs(source: Array, target: Array) -> str:
    if (source.codecs.shards is None) != (target.codecs.shards is None):
        words = ("shards", "no shards")
        return "{} in the slice, {} in the target".format(*(words if source.codecs.shards is not None else words[::-1]))
    a, b = _codecs(source), _codecs(target)
    return f"{a} in the slice, {b} in the target" if a != b else f"codecs differ in configuration ({a})"


def _codecs(array: Array) -> str:
    chain = array.unit_codecs
    if chain.foreign is not None:
        return "codecs that zapz cannot run"
    names = [s.id + (f"/{s.config['cname']}" if s.id == "blosc" and "cname" in s.config else "") for s in chain.stages]
    order = ["transposed"] if chain.order else []
    return (
        " ".join([*order, *([f"{chain.endian}-endian"] if chain.endian == "big" else []), *names]) or "no compression"
    )


def _windows(derivation: Derivation) -> str:
    return "x".join(str(f) for f in derivation.factors if f > 1) or "single"


def _shape(array: Array) -> str:
    return "x".join(map(str, array.grid.chunks)) or "one cell"
