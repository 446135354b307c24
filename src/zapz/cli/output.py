"""What the command line says of a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zapz.cli.words import size

if TYPE_CHECKING:
    from zapz.operations.describe import Info


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
    lines += [f"labels of {path}: {first} … {last}" for path, (first, last) in info.labels.items()]
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


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
