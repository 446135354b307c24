"""Images: a PNG decodes to the colours of the field, and half blocks of known fields are known texts."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zapz.pictures import image
from zapz.pictures.look import Look, columns

Field = np.ndarray[Any, Any]
FIELDS = arrays.arrays(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)
LOW, HIGH = "68;1;84", "253;231;37"


def decoded(data: bytes) -> Field:
    """Return the pixels of a PNG with a palette, as red, green, blue, alpha: a decoder of these few kinds only."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    parts, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(name + body),)
        parts[name] = body
        at += 12 + length
    assert list(parts) == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert (depth, colour, rest) == (8, 3, [0, 0, 0])
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()  # no filter
    palette = np.frombuffer(parts[b"PLTE"], np.uint8).reshape(-1, 3)
    alpha = np.full(len(palette), 255, np.uint8)
    alpha[: len(parts[b"tRNS"])] = np.frombuffer(parts[b"tRNS"], np.uint8)
    return np.concatenate([palette, alpha[:, None]], axis=1)[rows[:, 1:]]


@given(FIELDS)
def test_a_png_decodes_to_the_same_pixels(field: Field) -> None:
    pixels = decoded(image.png(field))
    assert pixels.shape == (*field.shape, 4)
    np.testing.assert_array_equal(pixels[..., 3] == 0, np.isnan(field))
    there = ~np.isnan(field)
    np.testing.assert_array_equal(pixels[there][:, :3], image.palette()[image.levels(field)[there]])


def test_another_reader_reads_it() -> None:
    reader = pytest.importorskip("PIL.Image", reason="Pillow is not here to read the PNG, too")
    import io

    field = np.arange(12.0).reshape(3, 4)
    field[0, 0] = np.nan
    found = np.asarray(reader.open(io.BytesIO(image.png(field))).convert("RGBA"))
    np.testing.assert_array_equal(found, decoded(image.png(field)))


@given(FIELDS)
def test_colours_follow_values(field: Field) -> None:
    """A larger value never has a darker colour; missing cells have none."""
    levels = image.levels(field).astype(int)
    assert ((levels == 0) == np.isnan(field)).all()
    order = np.argsort(field[~np.isnan(field)], kind="stable")
    assert (np.diff(levels[~np.isnan(field)][order]) >= 0).all()


def test_a_png_has_at_most_256_rows_and_columns() -> None:
    assert decoded(image.png(np.zeros((300, 700)))).shape == (256, 256, 4)
    assert decoded(image.png(np.zeros((3, 700)))).shape == (3, 256, 4)
    picture = ET.fromstring(image.img(np.zeros((2, 3)), 'a "name" <b>', 1.5))
    assert picture.get("alt") == 'a "name" <b>'
    assert picture.get("style") == "aspect-ratio:1.500"
    assert decoded(base64.b64decode((picture.get("src") or "").partition(",")[2])).shape == (2, 3, 4)
    assert image.img(np.zeros((0, 3)), "", 1) == ""


def test_thinning_keeps_the_first_row_first() -> None:
    field = np.arange(60.0).reshape(10, 6)
    np.testing.assert_array_equal(image.thinned(field, 5, 3), field[::2, ::2])
    np.testing.assert_array_equal(image.thinned(field, 50, 30), field)


def test_half_blocks_of_known_fields() -> None:
    true = Look(colours=1 << 24)
    field = np.array([[0.0, 1.0], [np.nan, 1.0]])
    assert image.blocks(field, true, 10, 10) == [f"\x1b[0;38;2;{LOW}m▀\x1b[38;2;{HIGH};48;2;{HIGH}m▀\x1b[0m"]
    assert image.blocks(np.array([[np.nan], [0.0], [1.0]]), true, 10, 10) == [
        f"\x1b[0;38;2;{LOW}m▄\x1b[0m",
        f"\x1b[0;38;2;{HIGH}m▀\x1b[0m",
    ]
    assert image.blocks(np.full((2, 3), np.nan), true, 10, 10) == ["   "]
    assert image.blocks(np.array([[0.0, 0.0], [1.0, 1.0]]), Look(colours=256), 10, 10) == [
        "\x1b[38;5;53;48;5;220m▀▀\x1b[0m"
    ]
    assert image.blocks(np.zeros((0, 3)), true, 10, 10) == []


def test_shades_where_there_are_no_colours() -> None:
    field = np.array([[0.0, 0.3, 0.6, 1.0, np.nan]])
    assert image.blocks(field, Look(), 10, 10) == ["∙░▒█"]
    for colours in (0, 256):
        assert image.blocks(field, Look(symbols=False, colours=colours), 10, 10) == [".-*@"]


@given(FIELDS, st.integers(1, 80), st.integers(1, 30), st.sampled_from([0, 256, 1 << 24]))
def test_blocks_fit(field: Field, width: int, height: int, colours: int) -> None:
    lines = image.blocks(field, Look(colours=colours), width, height)
    assert len(lines) <= height
    assert max(map(columns, lines)) <= width
