"""Errors: stable codes, documented; fields that survive pickling."""

from __future__ import annotations

import errno
import pickle
import re
from pathlib import Path

import pytest

import zapz
from zapz import errors
from zapz.errors import ZapzError

CODES = {
    "error": ("ZapzError", 1), "config": ("ConfigError", 2), "slice": ("SliceError", 3), "dimension": ("DimensionError", 3), "variable": ("VariableError", 3), "dtype": ("DTypeError", 3), "encoding": ("EncodingError", 3), "label": ("LabelError", 3), "format": ("FormatError", 4), "metadata": ("MetadataError", 4), "unsupported": ("UnsupportedError", 4), "chunk": ("ChunkError", 5), "store": ("StoreError", 6), "not_found": ("NotFoundError", 6), "ability": ("AbilityError", 6), "locked": ("LockedError", 7), "conflict": ("ConflictError", 8), "journal": ("JournalError", 9), "cancelled": ("CancelledError", 130),
}  # fmt: skip
"""Only ever added to: programs decide by them."""
CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ZapzError)]


def test_codes_are_what_they_were() -> None:
    assert {kind.code: (kind.__name__, kind.exit_code) for kind in CLASSES} == CODES


def test_every_error_is_public() -> None:
    assert {kind.__name__ for kind in CLASSES} <= set(zapz.__all__)


def test_the_page_lists_them() -> None:
    page = (Path(zapz.__file__).parents[2] / "docs/errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \|", page, re.MULTILINE)
    assert {code: (name, int(number)) for code, name, number in rows} == CODES
    assert len(rows) == len(CODES)


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_pickle_with_their_fields(kind: type[ZapzError]) -> None:
    error = kind("what", where="where", expected="expected", found="found", hint="Hint.")
    error.add_note("note")
    if isinstance(error, errors.StoreError):
        error.errno = errno.EACCES
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.__notes__) == (kind, str(error), ["note"])
    assert str(copy) == "what, where: expected expected, found found. Hint."
    if isinstance(copy, errors.StoreError):
        assert copy.denied


def test_the_representation_has_the_whole_message() -> None:
    """Logs and debuggers show it."""
    error = errors.LabelError("late", where="a.zarr", found="3", hint="{label_order}.", remedies={"label_order": "any"})
    assert repr(error) == """LabelError("late, a.zarr: found 3. label_order='any'.")"""
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error)
