"""Texts about a target, for terminals and pages: labels, gaps, storage, the next append."""

from __future__ import annotations

import math
from collections.abc import Sequence

from zapz.operations.info_fields import InfoFields
from zapz.operations.label_gaps import GapInfo, StepInfo
from zapz.operations.pyramid_info import LevelInfo, PyramidInfo
from zapz.operations.variable_info import VariableInfo
from zapz.pictures.chunk_grid import ChunkGrid, Kind
from zapz.pictures.numbers import count, day, shape, size
from zapz.pictures.timeline import Stretch

_GAPS = 5
"""Maximum number of gaps listed."""

HEAD = ("variable", "dims", "shape", "chunks", "stored as", "codec", "units", "size")
"""Names of the columns of ``rows``."""


def facts(info: InfoFields) -> list[str]:
    """Return the main facts about a target, a few words each."""
    consolidated = "consolidated" if info.consolidated else "not consolidated"
    state = ["locked"] if info.lock else ["not locked"]
    if info.journal:
        state.append("append in progress" if info.lock else "unfinished append")
    elif not info.lock:
        state.append("no unfinished append")
    return [f"Zarr v{info.zarr_format}", consolidated, count(len(info.variables), "variable"), *state]


def trouble(info: InfoFields) -> list[str]:
    """Return the holder of the lock, and the journal of a run that has not ended."""
    found = [f"lock: {info.lock}"] if info.lock else []
    state = "in progress" if info.lock else "run `zapz recover`"
    return [*found, *(f"journal: {entry} ({state})" for entry in info.journal)]


def label_lines(info: InfoFields) -> list[tuple[str, str, str]]:
    """Return the path, the first and last label, and the step of each label variable."""
    found = []
    for path, (first, last) in info.labels.items():
        number = next((v.shape[0] for v in info.variables if v.path == path), info.length)
        ends = f"{day(first)} → {day(last)}" if number > 1 else day(first)
        words = [count(number, "step"), *_steps(info.steps.get(path))]
        found.append((path, ends, ", ".join(words)))
    if not found and info.append_dim in info.dims:
        found.append((info.append_dim, count(info.length, "step"), "no labels" if info.length else "no labels yet"))
    return found


def _steps(steps: StepInfo | None) -> list[str]:
    if steps is None:
        return []
    if not steps.step:
        return ["no regular step"]
    gaps = f"{steps.missing:,} missing in {count(steps.gaps, 'gap')}" if steps.gaps else "none missing"
    return [f"every {steps.step}", gaps]


def level_lines(info: InfoFields) -> list[str]:
    """Return the pyramids in words: a line about levels, and one about how they were made."""
    return [line for pyramid in info.pyramids for line in _of_pyramid(pyramid)]


def _of_pyramid(pyramid: PyramidInfo) -> list[str]:
    where = f" in {pyramid.path}" if pyramid.path else ""
    levels = [_level(level) for level in pyramid.levels]
    found = [f"{count(len(levels), 'level')} ({pyramid.kind}){where}: {', '.join(levels)}"]
    lengths = {level.length for level in pyramid.levels} - {None}
    if len(lengths) > 1:
        found.append(
            "the levels differ in length: " + ", ".join(f"{each.path} {each.length}" for each in pyramid.levels)
        )
    ways: dict[str, list[str]] = {}
    for name, method in sorted(pyramid.methods.items()):
        ways.setdefault(method, []).append(name)
    words = [method if names == [""] else f"{method} ({', '.join(names)})" for method, names in sorted(ways.items())]
    return [*found, f"made by: {', '.join(words)}"] if words else found


def _level(level: LevelInfo) -> str:
    factors = {round(factor) for factor in level.factors.values()}
    small = f" (1/{factors.pop()})" if len(factors) == 1 and factors != {1} else ""
    return f"{level.path or '/'} {shape(tuple(level.sizes.values())) if level.sizes else ''}{small}".rstrip()


def stretches(steps: StepInfo) -> list[Stretch]:
    """Return the timeline of labels."""
    return [Stretch(each.first, each.steps, each.missing) for each in steps.ranges]


def missing(steps: StepInfo) -> str:
    """Return the missing labels: the first few gaps, and the number of the others."""
    listed = [_gap(gap) for gap in steps.first[:_GAPS]]
    if steps.gaps > len(listed):
        listed.append(f"and {count(steps.gaps - len(listed), 'more gap')}")
    return "; ".join(listed)


def _gap(gap: GapInfo) -> str:
    if not gap.first:
        return f"{gap.missing:,} between {gap.after} and {gap.before}"
    return gap.first if gap.missing == 1 else f"{gap.first} to {gap.last}"


def rows(info: InfoFields) -> list[Sequence[str]]:
    """Return the rows of the table of variables; ``HEAD`` names their columns."""
    return [
        (
            v.path or "/",
            " ".join(d or "?" for d in v.dims) or "-",
            shape(v.shape),
            shape(v.chunks) if v.inner_chunks is None else f"{shape(v.inner_chunks)} in shards {shape(v.chunks)}",
            _stored(v),
            v.codecs,
            v.units.removesuffix(" 00:00:00"),
            _size(v),
        )
        for v in info.variables
    ]


def _stored(variable: VariableInfo) -> str:
    """Return how cells are stored: data type, fill value or missing marker, packing."""
    parts = [variable.dtype]
    if variable.missing and variable.missing != variable.fill:
        parts.append(f"missing {variable.missing}")
    elif variable.fill and variable.grows and variable.dims != (variable.path.rpartition("/")[2],):
        parts.append(f"fill {variable.fill}")
    if variable.scale is not None:
        parts.append(f"scale {variable.scale:g}")
    if variable.offset is not None:
        parts.append(f"offset {variable.offset:g}")
    return ", ".join(parts)


def _size(variable: VariableInfo) -> str:
    """Return the stored size of a variable, and its missing chunks; empty if not known."""
    parts = []
    if variable.stored_chunks is not None:
        amount = "" if variable.stored_bytes is None else f"{size(variable.stored_bytes)} in "
        parts.append(f"{amount}{count(variable.stored_chunks, 'chunk')}")
    if variable.missing_chunks:
        parts.append(f"{variable.missing_chunks:,} missing")
    if variable.dead_bytes:
        parts.append(f"{size(variable.dead_bytes)} dead")
    return ", ".join(parts)


def total(info: InfoFields) -> str:
    """Return the stored size of all variables; empty if it was not requested."""
    known = [v for v in info.variables if v.stored_chunks is not None]
    if not known:
        return ""
    absent = sum(v.missing_chunks or 0 for v in known)
    sizes = [v.stored_bytes for v in known]
    stored = count(sum(v.stored_chunks or 0 for v in known), "chunk")
    gone = f", {absent:,} missing (they read as the fill value)" if absent else ", none missing"
    amount = f", {size(sum(each or 0 for each in sizes))}" if None not in sizes else ""
    return f"{stored} stored{gone}{amount}"


def next_append(info: InfoFields) -> list[tuple[str, str, ChunkGrid]]:
    """Return what the next append does to the chunks of variables that grow.

    Returns:
        For each group of variables with equal chunks: their names; what happens, and why; the
        chunks that the first new step touches.
    """
    found: dict[tuple[str, tuple[int, int, str]], list[str]] = {}
    for variable in info.variables:
        if variable.next_append:
            found.setdefault((_next(variable), _columns(variable)), []).append(variable.path or "/")
    return [
        (
            ", ".join(paths),
            words,
            ChunkGrid(old=old, rows=rows, runs=[(_KINDS[kind], rows)]),
        )
        for (words, (old, rows, kind)), paths in found.items()
    ]


_KINDS: dict[str, Kind] = {"copied": "copied", "joined": "joined", "encoded": "boundary", "refused": "boundary"}


def _columns(variable: VariableInfo) -> tuple[int, int, str]:
    """Return the number of full columns of chunks, the chunks per column, and what happens next."""
    grid = list(zip(variable.shape, variable.chunks, strict=True))
    axis = variable.append_axis or 0
    rows = math.prod(-(-n // c) for i, (n, c) in enumerate(grid) if i != axis)
    return grid[axis][0] // grid[axis][1], rows, variable.next_append


def whole_labels(info: InfoFields) -> list[str]:
    """Return a line per label variable that can only hold whole numbers of a long unit of time."""
    return [
        f"labels of {v.path} are whole {v.whole}: a slice with a label between two {v.whole} is refused"
        for v in info.variables
        if v.whole
    ]


def _next(variable: VariableInfo) -> str:
    chunk, inner, filled = variable.chunk_steps, variable.inner_steps, variable.boundary_steps
    noun = "shard" if variable.inner_chunks else "chunk"
    if variable.next_append == "joined":
        length = count(inner, "step")
        return f"copied: inner chunks ({length} each) are added to the last shard, which holds {filled:,} of {chunk:,} steps"
    if variable.next_append in {"encoded", "refused"}:
        within = filled % inner
        where = (
            f"the last inner chunk holds {within:,} of {inner:,}"
            if noun == "shard"
            else f"the boundary chunk holds {filled:,} of {chunk:,}"
        )
        if variable.next_append == "refused":
            return f"refused: {where} steps and must be re-encoded, but zapz cannot run its codecs ({variable.codecs})"
        return f"re-encoded: {where} steps"
    if chunk == 1:
        return "copied, whatever the length of the slice: chunk length 1"
    if not variable.shape[variable.append_axis or 0]:
        return f"copied: there is no chunk yet ({count(chunk, 'step')} each)"
    rest = f"a slice whose length is not a multiple of {chunk:,} leaves a partly filled {noun}"
    return f"copied: the last {noun} is full ({count(chunk, 'step')}); {rest}"
