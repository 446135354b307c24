"""A field of numbers as an image: half blocks on a terminal, PNG in HTML; NaN is blank."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any, TypeAlias

import numpy as np

from zapz.pictures.look import Look
from zapz.pictures.page import Markup, escaped

Field: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""Two axes, rows from top to bottom; floating-point numbers."""

MOST = 256
"""Maximum number of rows, and of columns, of a PNG."""
_ANCHORS = (
    (68, 1, 84), (72, 36, 117), (65, 68, 135), (53, 95, 141), (42, 120, 142), (33, 145, 140),
    (34, 168, 132), (66, 190, 113), (122, 209, 81), (189, 223, 38), (253, 231, 37),
)  # fmt: skip
"""Colours from the lowest to the highest value: dark blue to yellow. Their brightness increases
evenly, and colour-blind readers can distinguish them."""
_TRUE = 1 << 24
"""Number of colours of a medium that shows all RGB colours."""
_CUBE = (0, 95, 135, 175, 215, 255)
"""Channel values of the 6 x 6 x 6 cube in the palette of 256 colours."""
_SHADES, _ASCII_SHADES = "∙░▒█", ".-+*#@"
"""Characters from the lowest to the highest value, for media without colours."""
_LONGEST = 4.0
"""Maximum ratio of the sides of an image."""
_FEW = 100
"""With more finite cells than this, the colours cover the 1st to the 99th percentile of values."""


def palette() -> Field:
    """Return the RGB colours, shape (256, 3), uint8: 0 is missing, 1 to 255 are low to high."""
    places = np.linspace(0, len(_ANCHORS) - 1, 255)
    anchors = np.array(_ANCHORS, np.float64)
    rest = [np.interp(places, np.arange(len(_ANCHORS)), anchors[:, channel]) for channel in range(3)]
    return np.vstack([np.full((1, 3), 127.0), np.stack(rest, axis=1)]).round().astype(np.uint8)


def limits(field: Field) -> tuple[float, float] | None:
    """Return the values of the darkest and the brightest colour; None if no cell is finite."""
    finite = field[np.isfinite(field)].astype(np.float64)
    if not finite.size:
        return None
    if finite.size <= _FEW:
        return float(finite.min()), float(finite.max())
    low, high = np.percentile(finite, [1, 99])
    return (float(low), float(high)) if low < high else (float(finite.min()), float(finite.max()))


def levels(field: Field) -> Field:
    """Return the colour index of each cell, uint8, in the shape of the field; 0 is missing."""
    found = limits(field)
    if found is None:  # cells are missing, or infinite; infinity is a value
        return np.where(np.isnan(field), 0, 128).astype(np.uint8)
    low, high = found
    with np.errstate(invalid="ignore", over="ignore"):
        part = (field.astype(np.float64) - low) / (high - low) if high > low else np.full(field.shape, 0.5)
        scaled = 1 + np.rint(np.clip(part, 0, 1) * 254)
    return np.where(np.isnan(field), 0, np.nan_to_num(scaled)).astype(np.uint8)


def thinned(field: Field, rows: int, cells: int) -> Field:
    """Return evenly spaced rows and columns of a field.

    Args:
        field: The field.
        rows: Maximum number of rows.
        cells: Maximum number of columns.
    """
    wanted = [min(most, length) for most, length in zip((rows, cells), field.shape, strict=True)]
    places = [
        (np.arange(most) * length // max(1, most)).astype(np.intp)
        for most, length in zip(wanted, field.shape, strict=True)
    ]
    return field[np.ix_(*places)]


def png(field: Field) -> bytes:
    """Return a field as a PNG of at most 256 x 256 pixels; missing cells are transparent.

    PNG specification (third edition), sections 5 (chunks), 9 (filter 0), 10 (zlib), 11.2 (IHDR,
    PLTE, IDAT, IEND) and 11.3.1 (tRNS).
    """
    pixels = levels(thinned(field, MOST, MOST))
    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, indices into a palette
    parts = ((b"IHDR", header), (b"PLTE", palette().tobytes()), (b"tRNS", b"\0"), (b"IDAT", zlib.compress(rows, 9)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_part(*part) for part in (*parts, (b"IEND", b"")))


def _part(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def img(field: Field, name: str, ratio: float) -> Markup:
    """Return a field as an HTML image that needs no other file; empty if it has no cells.

    Args:
        field: The field.
        name: Description of the image, for screen readers.
        ratio: Width divided by height of the whole field; ``field`` may have fewer cells.
    """
    if not field.size:
        return Markup("")
    data = base64.b64encode(png(field)).decode()
    shape = f"aspect-ratio:{min(_LONGEST, max(1 / _LONGEST, ratio)):.3f}"
    return Markup(f'<img class="zapz-image" style="{shape}" alt="{escaped(name)}" src="data:image/png;base64,{data}"/>')


def blocks(field: Field, look: Look, width: int, height: int) -> list[str]:
    """Return a field as lines of half blocks, two rows per line, or of shades without colours.

    Args:
        field: The field.
        look: What the medium can show.
        width: Maximum number of columns of text.
        height: Maximum number of lines of text.
    """
    if not field.size:
        return []
    if not look.colours or not look.symbols:
        return _shaded(levels(thinned(field, height, width)), _SHADES if look.symbols else _ASCII_SHADES)
    pixels = levels(thinned(field, 2 * height, width))
    if len(pixels) % 2:
        pixels = np.vstack([pixels, np.zeros((1, pixels.shape[1]), np.uint8)])
    colours = [_code(look, *colour) for colour in palette().tolist()]
    return [
        _line(top, bottom, colours) for top, bottom in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True)
    ]


def _line(top: list[int], bottom: list[int], colours: list[str]) -> str:
    """Return two rows of pixels as one line; a colour code is written where the colour changes."""
    text, now = "", ""
    for above, below in zip(top, bottom, strict=True):
        code = ""
        if above:
            code = f"\x1b[0;38;{colours[above]}m" if not below else f"\x1b[38;{colours[above]};48;{colours[below]}m"
        elif below:
            code = f"\x1b[0;38;{colours[below]}m"
        if code != now:
            text += code or "\x1b[0m"
            now = code
        text += "▀" if above else "▄" if below else " "
    return f"{text}\x1b[0m" if now else text


def _code(look: Look, red: int, green: int, blue: int) -> str:
    """Return a colour in ANSI codes: unchanged, or the nearest one of the 6 x 6 x 6 cube."""
    if look.colours >= _TRUE:
        return f"2;{red};{green};{blue}"
    parts = [int(np.abs(np.array(_CUBE) - value).argmin()) for value in (red, green, blue)]
    return f"5;{16 + 36 * parts[0] + 6 * parts[1] + parts[2]}"


def _shaded(pixels: Field, shades: str) -> list[str]:
    signs = [" ", *(shades[(level - 1) * len(shades) // 255] for level in range(1, 256))]
    return ["".join(signs[pixel] for pixel in row).rstrip() for row in pixels.tolist()]
