"""What the command line says of a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zapz.cli.words import count, size

if TYPE_CHECKING:
    from zapz.operations.describe import Info, StepInfo

_GAPS = 5
"""So many gaps in labels are listed."""


def describe(info: Info) -> str:
    """Return a target's description for people."""
    lines = [
        f"{info.uri}  (Zarr v{info.zarr_format})",
        "",
        "dimensions: "
        + ", ".join(
            f"{name} {n}" + ("  <- append" if name == info.append_dim else "") for name, n in sorted(info.dims.items())
        ),
    ]
    for path, (first, last) in info.labels.items():
        lines.append(f"labels of {path}: {first} … {last}")
        if path in info.steps:
            lines.append(f"steps of {path}: {steps_text(info.steps[path])}")
    rows = [("variable", "dims", "shape", "dtype", "chunks", "codecs")]
    for v in info.variables:
        chunks = _shape(v.chunks) + (f" of {_shape(v.inner_chunks)}" if v.inner_chunks else "")
        rows.append(
            (
                v.path,
                " ".join(d or "?" for d in v.dims) or "-",
                _shape(v.shape),
                v.dtype,
                chunks,
                v.codecs + (f", {size(v.dead_bytes)} dead" if v.dead_bytes else ""),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines += ["", *("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows), ""]
    lock = info.lock
    lines.append(f"lock: process {lock.process} on {lock.host} since {lock.since}" if lock else "lock: free")
    state = "under way" if lock else "run `zapz recover`"
    lines += [f"journal: {entry} ({state})" for entry in info.journal] or ["journal: empty"]
    lines += [f"note: {note}" for note in info.notes]
    return "\n".join(lines)


def steps_text(steps: StepInfo) -> str:
    """Say what step labels keep, and where steps are missing."""
    if not steps.step:
        return "no regular one"
    if not steps.gaps:
        return f"{steps.step}, none missing"
    listed = [f"{gap.missing} between {gap.after} and {gap.before}" for gap in steps.first[:_GAPS]]
    more = ["…"] if steps.gaps > len(listed) else []
    return f"{steps.step}, {steps.missing} missing in {count(steps.gaps, 'gap')}: {', '.join([*listed, *more])}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
