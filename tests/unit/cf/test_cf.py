"""Laws of zapz.cf.conversion; cftime and xarray's decoding are the oracles."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zapz.cf import calendars, time_conversion
from zapz.cf.conversion import Conversion, conversion, encoding_of, format_instant, to_instants
from zapz.errors import DTypeError, EncodingError, SliceError

CALENDARS = ["standard", "gregorian", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day"]
REAL = ["standard", "proleptic_gregorian"]
UNITS = list(calendars.UNITS)


def enc(dtype, attributes=None, marker=None):
    return encoding_of(np.dtype(dtype), attributes or {}, marker)


def time(dtype, units, calendar=None, marker=None, **more):
    return enc(dtype, {"units": units, **({"calendar": calendar} if calendar else {}), **more}, marker)


def convert(source, target, values):
    return conversion(source, target).apply(np.asarray(values, source.dtype))


def decoded(encoding, stored, *, use_cftime=True):
    """What xarray reads: floats, or datetimes."""
    attributes = {}
    if encoding.units:
        attributes |= {"units": encoding.units, "calendar": encoding.calendar}
    if encoding.marker is not None:
        attributes["_FillValue"] = encoding.marker
    if encoding.missing:
        attributes["missing_value"] = encoding.missing[0]
    if encoding.scale is not None:
        attributes["scale_factor"] = encoding.scale
    if encoding.offset is not None:
        attributes["add_offset"] = encoding.offset
    if encoding.reinterpreted:
        attributes["_Unsigned"] = "true" if encoding.dtype.kind == "i" else "false"
    dataset = xr.Dataset({"x": (("i",), stored, attributes)})
    if encoding.units:
        coder = xr.coders.CFDatetimeCoder(use_cftime=use_cftime)
        return xr.conventions.decode_cf(dataset, decode_times=coder)["x"].values
    return xr.conventions.decode_cf(dataset)["x"].values


# --- reading attributes ------------------------------------------------------------------------------------------


def test_fields_are_read():
    found = enc(">i2", {"scale_factor": [0.5], "add_offset": 3, "missing_value": [-1, -2], "units": " K "}, -1)
    assert found.dtype == np.dtype("=i2")
    assert (found.marker, found.missing) == (-1, (-2,))
    assert (found.scale, found.offset, found.units, found.other_units) == (0.5, 3.0, None, "K")
    assert found.marker.dtype == np.dtype("i2")


def test_time_is_told_from_other_units():
    found = time("i4", "days since 2000-01-01", "Gregorian")
    assert (found.units, found.calendar, found.other_units) == ("days since 2000-01-01", "standard", None)
    assert time("i4", "days since 2000-01-01").calendar == "standard"
    for units in ("days", "K", "kelvin since 2000-01-01", "since"):
        assert time("i4", units).other_units == units
        assert time("i4", units).units is None
    assert enc("i4", {"units": ""}).other_units is None
    assert enc("M8[s]", {"units": "days since 2000-01-01"}).units is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"scale_factor": "abc"},
        {"scale_factor": 0},
        {"scale_factor": 0.0},
        {"scale_factor": float("nan")},
        {"scale_factor": True},
        {"scale_factor": [1.0, 2.0]},
        {"add_offset": 10**400},
        {"add_offset": 2**53 + 1},
        {"add_offset": None, "scale_factor": float("inf")},
        {"units": "days since yesterday"},
        {"units": "days since 2001-02-29"},
        {"units": "days since 2001-00-01"},
        {"units": "days since 2000-01-01 24:00"},
        {"units": "days since 2000-01-01 00:60"},
        {"units": "days since 2000-01-01 00:00:60"},
        {"units": "days since 01-01-1990"},
        {"units": "days since 2000-01-01-06:00"},
        {"units": "days since 2000-01-01 00:00 +25:00"},
        {"units": "months since then"},
        {"units": "days since 1582-10-10"},
        {"units": "days since 1582-10-10", "calendar": "gregorian"},
        {"units": "days since 2000-02-30", "calendar": "noleap"},
        {"units": "days since 2000-01-31", "calendar": "360_day"},
        {"units": "days since 2000-01-01", "calendar": "discordian"},
        {"_Unsigned": "maybe"},
        {"missing_value": "none"},
    ],
)
def test_senseless_attributes_are_refused(attributes):
    with pytest.raises(EncodingError) as caught:
        enc("i4", attributes)
    assert caught.value.expected
    assert caught.value.found
    assert caught.value.hint
    assert not caught.value.where


def test_packed_text_is_refused():
    with pytest.raises(EncodingError):
        enc("U3", {"scale_factor": 2.0})


@pytest.mark.parametrize(
    ("dtype", "marker", "expected"),
    [
        ("i2", -9999.0, np.int16(-9999)),
        ("i2", float("nan"), None),
        ("i2", 0.5, None),
        ("u1", -1, None),
        ("u1", 256, None),
        ("i8", -(2**63), np.int64(-(2**63))),
        ("u8", 2**64 - 1, np.uint64(2**64 - 1)),
        ("f4", 1e20, np.float32(1e20)),
        ("f4", 1e300, None),
        ("f4", "Infinity", np.float32("inf")),
        ("f8", 10**400, None),
        ("f4", np.float64(0.1), np.float32(0.1)),
        ("i2", 3 + 0j, np.int16(3)),
        ("i2", 3j, None),
        ("b1", 0, None),  # no boolean is missing
        ("b1", 2, None),
        ("c8", 1 + 2j, np.complex64(1 + 2j)),
        ("U2", "ab", np.str_("ab")),
        ("U2", "abc", None),
        ("S2", "ab", np.bytes_(b"ab")),
        ("S2", b"abc", None),
        ("O", "abc", "abc"),
        ("O", b"abc", b"abc"),
        ("O", float("nan"), None),
        ("M8[s]", 60, np.datetime64("1970-01-01T00:01:00", "s")),
        ("M8[s]", np.datetime64("1970-01-02", "D"), np.datetime64("1970-01-02", "s")),
        ("m8[s]", 60, np.timedelta64(60, "s")),
    ],
)
def test_markers_become_values_of_the_dtype(dtype, marker, expected):
    found = enc(dtype, marker=marker).marker
    assert type(found) is type(expected)
    assert found == expected


@pytest.mark.parametrize(
    ("dtype", "marker"), [("i2", "x"), ("f4", "x"), ("U2", 3), ("S2", 3.0), ("O", [1]), ("i2", [1])]
)
def test_markers_of_another_kind_are_refused(dtype, marker):
    with pytest.raises(EncodingError):
        enc(dtype, marker=marker)


def test_unsigned_markers_may_have_either_sign():
    assert enc("i1", {"_Unsigned": "true"}, -1) == enc("i1", {"_Unsigned": "true"}, 255)
    assert enc("u1", {"_Unsigned": "false"}, -1) == enc("u1", {"_Unsigned": "false"}, 255)
    assert enc("u1", {"_Unsigned": "true"}) == enc("u1")
    assert enc("i1", {"_Unsigned": "true"}) != enc("i1")


# --- identity ----------------------------------------------------------------------------------------------------

RECORD = np.dtype({"names": ["a", "b"], "formats": [">f4", ("i2", (2,))], "offsets": [0, 8], "itemsize": 16})
NATIVE = RECORD.newbyteorder("=")
SAMPLES = [
    enc("i2"),
    enc("i2", {"missing_value": [3, 4]}, -1),
    enc("f4", {}, float("nan")),
    enc("f8", {"missing_value": [float("nan"), 1e20]}, -9999.0),
    enc("i1", {"_Unsigned": "true", "scale_factor": 0.1, "add_offset": -5}, -1),
    enc("u8", {}, 2**64 - 1),
    enc("b1", {}, 0),
    enc("c16", {"units": "V"}, 1 + 1j),
    enc("U5", {}, "ab"),
    enc("S5", {}, b"ab"),
    enc("O", {}, ""),
    enc("O", {}, b"\xff"),
    enc("V4", {}, b"abcd"),
    enc(RECORD),
    enc(RECORD, {}, np.zeros((), NATIVE)[()]),
    enc("M8[ns]", {}, np.datetime64("NaT", "ns")),
    enc("M8[25s]"),
    enc("M8[Y]"),
    enc("m8[ms]", {}, np.timedelta64(5, "ms")),
    time("i8", "days since 2000-01-01", "noleap"),
    time("f8", "months since 2000-01-01"),
    time("f4", "hours since 0-1-1", "standard", float("nan")),
    enc("f4", {"units": "days"}),
]


@pytest.mark.parametrize("encoding", SAMPLES, ids=lambda e: f"{e.dtype.kind}{e.dtype.itemsize}")
def test_every_encoding_is_identical_to_itself(encoding):
    same = conversion(encoding, encoding)
    assert same.identity
    assert not same.guards_marker
    values = np.zeros((2, 3), encoding.dtype)
    assert same.apply(values) is values
    swapped = values.astype(encoding.dtype.newbyteorder())
    assert same.apply(swapped).dtype == encoding.dtype


@pytest.mark.parametrize("encoding", SAMPLES, ids=lambda e: f"{e.dtype.kind}{e.dtype.itemsize}")
def test_json_round_trip(encoding):
    text = json.dumps(conversion(encoding, encoding).to_json(), allow_nan=False)
    again = Conversion.from_json(json.loads(text))
    assert again == conversion(encoding, encoding)
    assert hash(again) == hash(conversion(encoding, encoding))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert again.source.dtype == encoding.dtype
    assert type(again.source.marker) is type(encoding.marker)
    assert pickle.loads(pickle.dumps(again)) == again


def test_unequal_encodings_are_unequal():
    assert len(set(SAMPLES)) == len(SAMPLES)
    assert SAMPLES[0] != "i2"


scalars = st.sampled_from(["i1", "u2", "i8", "u8", "f4", "f8", "M8[ns]", "m8[s]", "U3", "S4"]).flatmap(
    lambda d: hnp.arrays(np.dtype(d), ()).map(lambda a: a[()])
)


@given(scalars, scalars)
def test_json_round_trip_of_any_marker(marker, missing):
    encoding = enc(marker.dtype, {"missing_value": [missing]} if missing.dtype == marker.dtype else {}, marker)
    again = Conversion.from_json(json.loads(json.dumps(conversion(encoding, encoding).to_json())))
    assert again.source == encoding
    assert np.asarray(again.source.marker).tobytes() == np.asarray(encoding.marker).tobytes()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (enc("i2", {"scale_factor": 1}), enc("i2", {"add_offset": 0.0})),
        (enc("f4", {}, float("nan")), enc("f4")),
        (enc("f4"), enc("f4", {}, float("nan"))),
        (enc("f4", {"missing_value": float("nan")}, -1.0), enc("f4", {"missing_value": float("nan")}, -1.0)),
        (enc("M8[s]", {}, np.datetime64("NaT", "s")), enc("M8[s]")),
        (enc("i2", {"missing_value": 2}, 1), enc("i2", {"missing_value": 1}, 2)),
        (enc("i2", {"units": "K"}), enc("i2")),
        (enc("i2"), enc("i2", {"units": "K"})),
        (time("i8", "days since 2000-01-01"), time("i8", "day since 2000-1-1T00:00:00Z", "gregorian")),
        (time("i8", "h since 2000-01-01"), time("i8", "hours since 2000-01-01 01:30 +01:30")),
        (time("i8", "seconds since 2000-01-01 00:00:00.0 UTC"), time("i8", "sec since 1999-12-31 18:00:00 -6:00")),
        (time("i8", "days since 2000-01-01", "365_day"), time("i8", "days since 2000-01-01", "noleap")),
        (enc("u1", {"_Unsigned": "true"}), enc("u1")),
    ],
)
def test_other_words_for_the_same_meaning_are_identities(source, target):
    assert conversion(source, target).identity
    assert not conversion(source, target).guards_marker


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (enc("i2", {}, -1), enc("i2")),
        (enc("i2", {}, -1), enc("i2", {}, -2)),
        (enc("i2", {"missing_value": 3}, -1), enc("i2", {}, -1)),
        (enc("f4", {}, -1.0), enc("f4", {}, float("nan"))),
        (enc("f4", {}, float("nan")), enc("f4", {}, -1.0)),
        (enc("i2", {"scale_factor": 0.1}), enc("i2", {"scale_factor": 0.2})),
        (enc("i2"), enc("i4")),
        (time("i8", "days since 2000-01-01"), time("i8", "days since 2000-01-02")),
        (time("i8", "days since 2000-01-01"), time("i8", "days since 2000-01-01", "proleptic_gregorian")),
        (time("i8", "seconds since 1970-01-01"), enc("M8[s]")),
    ],
)
def test_other_meanings_are_no_identities(source, target):
    assert not conversion(source, target).identity


# --- data types --------------------------------------------------------------------------------------------------

NUMERIC = ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]


@given(st.sampled_from(NUMERIC), st.sampled_from(NUMERIC), st.data())
def test_numbers_are_cast_as_numpy_does_safely_or_refused(old, new, data):
    source, target = enc(old), enc(new)
    if not np.can_cast(old, new, "safe"):
        with pytest.raises(DTypeError) as caught:
            conversion(source, target)
        assert (caught.value.expected, caught.value.found) == (str(target.dtype), str(source.dtype))
        return
    values = data.draw(hnp.arrays(np.dtype(old), (3,)))
    lossy = old in {"i8", "u8"} and any(int(v) != int(float(v)) for v in values.tolist() if new in {"f8", "c16"})
    if lossy:
        with pytest.raises(EncodingError, match="not exact"):
            convert(source, target, values)
    else:
        out = convert(source, target, values)
        assert out.dtype == target.dtype
        np.testing.assert_array_equal(out, values.astype(new))


@pytest.mark.parametrize("value", [2**63 - 1, 2**63 - 512, 2**53 + 1, -(2**53) - 1])
def test_large_integers_are_not_rounded(value):
    with pytest.raises(EncodingError, match="not exact"):
        convert(enc("i8"), enc("f8"), [0, value])


@pytest.mark.parametrize("value", [-(2**63), 2**62, 2**53])
def test_large_integers_exact_in_floats_pass(value):
    assert int(convert(enc("i8"), enc("f8"), [value])[0]) == value


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *[("S3", "U3"), ("i4", "U21"), ("i8", "m8[s]"), ("m8[s]", "i8")],
        *[
            ("i8", "M8[s]"),
            ("M8[s]", "m8[s]"),
            ("V2", "V4"),
            (RECORD, "V16"),
            ("f4", RECORD),
            ("f8", "f4"),
            ("i8", "b1"),
        ],
    ],
)
def test_unsafe_casts_are_refused(old, new):
    with pytest.raises(DTypeError) as caught:
        conversion(enc(old), enc(new))
    assert caught.value.hint


def test_text_may_grow():
    assert convert(enc("U2"), enc("U4"), ["ab", ""]).tolist() == ["ab", ""]
    assert convert(enc("S2", {}, b"x"), enc("S4", {}, b"none"), [b"ab", b"x"]).tolist() == [b"ab", b"none"]


def test_unsigned_is_what_it_says():
    with pytest.raises(DTypeError):
        conversion(enc("i1", {"_Unsigned": "true"}), enc("i1"))
    for wider in ("u1", "i2", "f4"):
        change = conversion(enc("i1", {"_Unsigned": "true"}), enc(wider))
        assert not change.identity
        assert change.apply(np.array([-2, 5], "i1")).tolist() == [254, 5]
    assert convert(enc("u1"), enc("i1", {"_Unsigned": "true"}), [254]).tolist() == [-2]
    source, target = enc("i1", {"_Unsigned": "true"}, -1), enc("i2", {"_Unsigned": "true"}, -1)
    assert convert(source, target, [-2, 5, -1]).tolist() == [254, 5, -1]


def test_wrong_dtype_handed_to_apply_is_a_bug():
    with pytest.raises(TypeError):
        conversion(enc("i2"), enc("i4")).apply(np.zeros(2, "i4"))


def test_shapes_and_byte_order():
    change = conversion(enc("i2", {}, 7), enc("i4", {}, 8))
    for shape in [(), (0,), (2, 0), (3,), (2, 3)]:
        out = change.apply(np.full(shape, 7, ">i2"))
        assert out.shape == shape
        assert out.dtype == np.dtype("=i4")
        assert (out == 8).all()
    turned = np.arange(6, dtype="i2").reshape(2, 3).T
    assert change.apply(turned).tolist() == turned.tolist()


def test_offender_is_named_by_its_index_across_blocks():
    values = np.zeros((3, 600_000), "i2")
    values[2, 17] = -1
    with pytest.raises(EncodingError) as caught:
        convert(enc("i2"), enc("i2", {}, -1), values)
    assert caught.value.found == "-1 at index (2, 17)"


# --- missing markers ---------------------------------------------------------------------------------------------

small = st.integers(-3, 3)


@given(
    st.lists(small, max_size=6),
    st.none() | small,
    st.lists(small, max_size=2),
    st.none() | small,
    st.lists(small, max_size=2),
)
def test_missing_cells_stay_missing_and_others_stay_real(values, marker, missing, goal, goals):
    source, target = enc("i2", {"missing_value": missing}, marker), enc("i2", {"missing_value": goals}, goal)
    gone, gone_after = set(source.markers), set(target.markers)
    change = conversion(source, target)
    bad = [v for v in values if (v in gone and not gone_after) or (v not in gone and v in gone_after)]
    if bad:
        with pytest.raises(EncodingError) as caught:
            change.apply(np.array(values, "i2"))
        assert "at index" in caught.value.found
        assert change.guards_marker or not change.identity
        return
    out = change.apply(np.array(values, "i2")).tolist()
    assert [v in gone_after for v in out] == [v in gone for v in values]
    assert [v for v in out if v not in gone_after] == [v for v in values if v not in gone]
    if change.identity:
        assert out == values


@given(hnp.arrays("f4", 5), st.sampled_from([None, -1.0, float("nan")]), st.sampled_from([None, 5.0, float("nan")]))
def test_float_markers_read_the_same_in_xarray(values, marker, goal):
    source, target = enc("f4", {}, marker), enc("f4", {}, goal)
    assume(not (values == 5).any())
    values[0], values[1] = np.nan, -1
    out = conversion(source, target).apply(values)
    np.testing.assert_array_equal(decoded(target, out), decoded(source, values))


def test_guarded_identity_copies_unless_the_marker_occurs():
    change = conversion(enc("i2"), enc("i2", {}, -1))
    assert change.identity
    assert change.guards_marker
    values = np.array([1, 2], "i2")
    assert change.apply(values) is values
    with pytest.raises(EncodingError, match="missing") as caught:
        change.apply(np.array(-1, "i2"))
    assert caught.value.found == "-1 at index ()"


def test_no_guard_where_the_marker_cannot_occur():
    assert not conversion(enc("u1"), enc("i2", {}, -1)).guards_marker
    assert not conversion(enc("i2", {}, -1), enc("i4", {}, -1)).guards_marker
    assert not conversion(enc("f4", {}, -1.0), enc("f4")).guards_marker
    assert conversion(enc("i2", {}, -2), enc("i4", {}, -1)).guards_marker
    assert conversion(enc("i2", {"scale_factor": 2.0}, -1), enc("i2", {}, -1)).guards_marker


def test_missing_without_marker_in_the_target():
    assert np.isnan(convert(enc("i2", {}, -1), enc("f4"), [1, -1])[1])
    assert convert(enc("i2", {}, -1), enc("i2"), [1, 2]).tolist() == [1, 2]
    with pytest.raises(EncodingError, match="missing cell") as caught:
        convert(enc("i2", {}, -1), enc("i2"), [1, -1])
    assert caught.value.remedies["variables.NAME.encoding._FillValue"] == -32768
    assert convert(enc("i2", {}, -1), enc("i2", {"missing_value": 9}), [1, -1]).tolist() == [1, 9]


def test_nan_that_is_named_becomes_the_marker():
    """NaN is missing either way; only a slice that calls it its marker has it rewritten."""
    assert convert(enc("f4", {}, np.nan), enc("f4", {}, -9.0), [1, np.nan]).tolist() == [1, -9]
    unnamed = conversion(enc("f4"), enc("f4", {}, -9.0))
    assert unnamed.identity
    assert np.isnan(unnamed.apply(np.array([1, np.nan], "f4"))[1])


def test_markers_of_text_and_objects():
    assert convert(enc("O", {}, "x"), enc("O", {}, ""), np.array(["a", "x"], object)).tolist() == ["a", ""]
    with pytest.raises(EncodingError):
        convert(enc("O"), enc("O", {}, ""), np.array(["a", ""], object))


# --- packing -----------------------------------------------------------------------------------------------------

scales = st.sampled_from([1e-4, 0.01, 0.1, 0.25, 0.5, 1.0, 2.0, -0.5])
offsets = st.sampled_from([-273.15, 0.0, 0.125, 20.0, 273.15])


@given(hnp.arrays("i2", 8), scales, offsets, scales, offsets, st.sampled_from(["i2", "i4", "u2"]))
def test_repacking_moves_no_value_more_than_half_a_quantum(values, scale, offset, quantum, base, dtype):
    assume((quantum, base) != (1, 0))
    marker = np.iinfo(dtype).max
    source = enc("i2", {"scale_factor": scale, "add_offset": offset}, -7)
    target = enc(dtype, {"scale_factor": quantum, "add_offset": base}, marker)
    assume(source.packing != target.packing)
    values[0] = -7
    real = values.astype(float) * scale + offset
    steps = np.rint((real - base) / quantum)[values != -7]
    limits = np.iinfo(dtype)
    fits = ((steps >= limits.min) & (steps <= limits.max) & (steps != marker)).all()
    if not fits:
        with pytest.raises(EncodingError):
            convert(source, target, values)
        return
    out = convert(source, target, values)
    assert ((out == marker) == (values == -7)).all()
    kept = values != -7
    again = out[kept].astype(float) * quantum + base
    assert (np.abs(again - real[kept]) <= abs(quantum) / 2 + 1e-9).all()
    np.testing.assert_allclose(decoded(target, out), decoded(source, values), rtol=0, atol=abs(quantum) / 2 + 1e-9)


@given(hnp.arrays("i2", 8), scales, offsets, st.sampled_from(["f4", "f8"]))
def test_unpacking_to_floats_reads_the_same_in_xarray(values, scale, offset, dtype):
    source = enc("i2", {"scale_factor": scale, "add_offset": offset}, -7)
    target = enc(dtype)
    values[0] = -7
    assume(source.packing != target.packing)
    out = convert(source, target, values)
    assert out.dtype == np.dtype(dtype)
    exact = np.where(values == -7, np.nan, values * np.float64(scale) + offset).astype(dtype)
    np.testing.assert_array_equal(out, exact)
    np.testing.assert_allclose(out, decoded(source, values), rtol=1e-6, atol=1e-4)


@given(hnp.arrays("i2", 8), scales, offsets)
def test_packing_what_was_unpacked_gives_it_back(values, scale, offset):
    packed, floats = enc("i2", {"scale_factor": scale, "add_offset": offset}, -7), enc("f8")
    assume(packed.packing != floats.packing)
    assert convert(floats, packed, convert(packed, floats, values)).tolist() == values.tolist()


def test_ties_go_to_even():
    target = enc("i2", {"add_offset": 0.0, "scale_factor": 2.0}, -99)
    assert convert(enc("f8"), target, [1.0, 3.0, 5.0, -1.0, np.nan]).tolist() == [0, 2, 2, 0, -99]


@pytest.mark.parametrize(
    ("target", "value", "match"),
    [
        (enc("i2", {"scale_factor": 0.1}, -1), 3276.8, "range"),
        (enc("i2", {"scale_factor": 0.1}, -1), -3277.0, "range"),
        (enc("i2", {"scale_factor": 0.1}, -1), -0.1, "missing"),
        (enc("i2", {"scale_factor": 0.1}, -1), np.inf, "range"),
        (enc("i2", {"scale_factor": 0.1}), np.nan, "missing cell"),
        (enc("u1", {"scale_factor": 0.5}), -0.5, "range"),
        (enc("i8", {"scale_factor": 1e-15}), 9300.0, "range"),
        (enc("f4", {"scale_factor": 1e-30}), 1e30, "range"),
    ],
)
def test_what_cannot_be_packed_is_refused(target, value, match):
    with pytest.raises(EncodingError, match=match) as caught:
        convert(enc("f8"), target, [[0.0, 0.0], [0.0, value]])
    assert "index (1, 1)" in caught.value.found


def test_integers_that_are_not_packed_must_be_met():
    source = enc("i2", {"scale_factor": 0.1})
    assert convert(source, enc("i4"), [10, -30, 3000]).tolist() == [1, -3, 300]
    with pytest.raises(EncodingError, match="would change"):
        convert(source, enc("i4"), [10, 15])
    assert convert(enc("i2", {"scale_factor": 2.0}), enc("i8"), [7]).tolist() == [14]


def test_infinity_stays_in_floats():
    out = convert(enc("f8"), enc("f4", {"scale_factor": 2.0}), [np.inf, -np.inf, np.nan, 3.0])
    np.testing.assert_array_equal(out, np.array([np.inf, -np.inf, np.nan, 1.5], "f4"))


def test_large_packed_integers_are_not_rounded():
    with pytest.raises(EncodingError, match="not exact"):
        convert(enc("i8"), enc("i8", {"scale_factor": 2.0}), [2**53 + 1])


def test_equal_packing_is_cast_or_packed_anew():
    packed = {"scale_factor": 0.1, "add_offset": 3}
    assert convert(enc("i2", packed), enc("i4", packed), [5]).tolist() == [5]
    assert convert(enc("i4", packed), enc("i2", packed), [5, -7]).tolist() == [5, -7]
    with pytest.raises(EncodingError, match="outside the packed range"):
        convert(enc("i4", packed), enc("i2", packed), [1 << 20])
    with pytest.raises(DTypeError):
        conversion(enc("c8"), enc("i2", packed))


def test_unsigned_packing_reads_the_same_in_xarray():
    source = enc("i1", {"_Unsigned": "true", "scale_factor": 0.5}, -1)
    target = enc("i2", {"_Unsigned": "true", "scale_factor": 0.25, "add_offset": 1.0}, -1)
    values = np.array([-1, -2, 5, 127, -128], "i1")
    out = convert(source, target, values)
    np.testing.assert_allclose(decoded(target, out), decoded(source, values), atol=0.126)
    assert out[0] == -1


def test_other_units_must_agree():
    for old, new in [("K", "degC"), ("days", "K"), ("m s-1", "m/s")]:
        with pytest.raises(EncodingError, match="units") as caught:
            conversion(enc("f4", {"units": old}), enc("f4", {"units": new}))
        assert (caught.value.expected, caught.value.found) == (repr(new), repr(old))
        assert isinstance(caught.value, SliceError)


@pytest.mark.parametrize(
    ("old", "new", "values", "expected", "said"),
    [
        (*case, said)
        for case in [
            ("days", "hours", [0, 2, -1], [0, 48, -24]),
            ("h", "minutes", [1, 3], [60, 180]),
            ("hours", "days", [48, 0], [2, 0]),
            ("seconds", "s", [5], [5]),
        ]
        for said in [(False, False), (True, False), (False, True), (True, True)]
        if not any(
            yes and unit in {"h", "s"} for unit, yes in zip(case[:2], said, strict=True)
        )  # xarray writes full names
    ],
)
def test_units_of_time_are_durations_where_they_differ(old, new, values, expected, said):
    sides = [
        ({"dtype": "timedelta64[ns]"} if yes else {}) | {"units": units}
        for units, yes in zip((old, new), said, strict=True)
    ]
    found = conversion(*(enc("i8", side) for side in sides))
    assert found.apply(np.array(values)).tolist() == expected
    assert found.identity == (old == "seconds")
    assert conversion(found.source, found.target) == found


def test_a_marker_that_the_target_has_too_stays():
    found = conversion(enc("i2", {"missing_value": -9}, -8), enc("i2", {"missing_value": -9}, -1))
    assert found.apply(np.array([-8, -9, 5], "i2")).tolist() == [-1, -9, 5]


def test_units_of_time_that_do_not_come_out_are_refused():
    found = conversion(enc("i8", {"units": "hours"}), enc("i8", {"units": "days"}), name="step")
    with pytest.raises(EncodingError, match="cannot be stored exactly") as caught:
        found.apply(np.array([24, 3]))
    assert caught.value.remedies["variables.step.encoding.units"] == "hours"


# --- time --------------------------------------------------------------------------------------------------------

years = st.integers(1, 2400)
dates = st.tuples(years, st.integers(1, 12), st.integers(1, 28)).filter(lambda d: d[:2] != (1582, 10))


def oracle(number, units, calendar):
    return cftime.num2date(number, units, calendar=calendar, only_use_cftime_datetimes=True)


@given(st.sampled_from(CALENDARS), dates, st.integers(-800_000, 800_000))
def test_dates_agree_with_cftime(calendar, date, days):
    units = "days since {:04d}-{:02d}-{:02d}".format(*date)
    found = format_instant(time("i4", units, calendar), np.int32(days))
    name = calendars.calendar_name(calendar)
    assume(calendars.date_of(name, calendars.days_of(name, *date) + days)[0] > 0)
    assert found == oracle(days, units, calendar).isoformat()


@given(st.sampled_from(CALENDARS), st.integers(-2_000_000, 2_000_000) | st.integers(-(2**63), 2**63) | st.just(10**300))
def test_counting_days_is_undone(calendar, days):
    """However far away: labels may be any number, and the time for one must not grow with it."""
    name = calendars.calendar_name(calendar)
    date = calendars.date_of(name, days)
    assert calendars.days_of(name, *date) == days
    assert calendars.date_of(name, days + 1) > date


@pytest.mark.parametrize("calendar", CALENDARS)
def test_every_day_around_the_switch_agrees_with_cftime(calendar):
    for days in range(-30, 30):
        units = "days since 1582-10-16"
        assert format_instant(time("i4", units, calendar), days) == oracle(days, units, calendar).isoformat()


@pytest.mark.parametrize("calendar", ["standard", "julian"])
def test_calendars_without_year_zero(calendar):
    encoding = time("i4", "days since 0001-01-01", calendar)
    assert format_instant(encoding, -1) == "-0001-12-31T00:00:00"
    julian_day = time("i4", "days since -4713-01-01 12:00", calendar)  # 2440588 begins at noon of 1970-01-01
    assert to_instants(julian_day, np.array([2_440_588], "i4")) == [43200]
    assert conversion(*[time("i4", "days since 0-1-1", calendar)] * 2).identity
    with pytest.raises(EncodingError):
        conversion(time("i4", "days since 0-1-1", calendar), encoding)


def test_real_calendars_share_the_day_count():
    same = [("julian", "2000-01-01"), ("standard", "2000-01-14"), ("proleptic_gregorian", "2000-01-14")]
    instants = {to_instants(time("i8", f"days since {date}", name), np.array([0]))[0] for name, date in same}
    assert instants == set(to_instants(time("i8", "days since 1999-12-31"), np.array([14])))


@settings(max_examples=300)
@given(
    st.sampled_from(CALENDARS),
    dates,
    dates,
    st.sampled_from(UNITS[:5]),
    st.sampled_from(UNITS[:6]),
    st.lists(st.integers(-40_000, 40_000), min_size=1, max_size=4),
)
def test_integer_time_is_exact_or_refused_as_cftime_says(calendar, old, new, unit, finer, values):
    source = time("i8", "{} since {:04d}-{:02d}-{:02d}".format(unit, *old), calendar)
    target = time("i8", "{} since {:04d}-{:02d}-{:02d} 06:00:00".format(finer, *new), calendar)
    name = calendars.calendar_name(calendar)
    instants = to_instants(source, np.array(values))
    zero = to_instants(target, np.array([0]))[0]
    exact = [(instant - zero) / calendars.UNITS[finer] for instant in instants]
    if any(label.denominator != 1 for label in exact):
        with pytest.raises(EncodingError, match="cannot be stored exactly") as caught:
            convert(source, target, values)
        assert "variables.NAME.encoding.units" in caught.value.remedies
        return
    out = convert(source, target, values)
    assert out.dtype == np.dtype("i8")
    assert [Fraction(label) for label in out.tolist()] == exact
    assume(all(calendars.date_of(name, int(instant // 86400))[0] > 0 for instant in instants))
    for before, after in zip(values, out.tolist(), strict=True):
        apart = oracle(before, source.units, calendar) - oracle(after, target.units, calendar)
        assert abs(apart.total_seconds()) < 1e-4


@given(
    st.sampled_from(REAL),
    st.sampled_from(REAL),
    st.sampled_from(UNITS[:4]),
    st.lists(st.floats(0, 40_000), min_size=1, max_size=4, unique=True),
)
def test_float_time_moves_less_than_a_microsecond(calendar, other, unit, values):
    source = time("f8", f"{unit} since 1990-01-01", calendar)
    target = time("f8", "days since 1985-05-05 12:00:00", other)
    before, zero = to_instants(source, np.array(values)), to_instants(target, np.zeros(1))[0]
    nearest = [float((instant - zero) / 86400) for instant in before]
    if len(set(nearest)) < len(values):
        with pytest.raises(EncodingError, match="become equal"):
            convert(source, target, values)
        return
    out = convert(source, target, values)
    assert out.tolist() == nearest
    after = to_instants(target, out)
    assert all(abs(a - b) <= Fraction(1, 10**6) for a, b in zip(after, before, strict=True))


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=5, unique=True),
    st.sampled_from(["i4", "i8", "f8"]),
    st.sampled_from(UNITS[:3]),
)
def test_time_reads_the_same_in_xarray(values, dtype, unit):
    source = time("f4" if dtype == "f8" else "i4", f"{unit} since 2024-01-02", "standard")
    target = time(dtype, "minutes since 1999-12-31 12:00", "proleptic_gregorian", -9)
    stored = np.array(values, source.dtype)
    before, after = decoded(source, stored), decoded(target, convert(source, target, stored))
    assert [t.isoformat() for t in after] == [t.isoformat() for t in before]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_missing_time_reads_as_missing_in_xarray(dtype):
    source, target = time(dtype, "days since 2000-01-01", marker=-1), time(dtype, "hours since 2000-01-01", marker=-9)
    stored = np.array([2, -1, np.nan], dtype)
    for encoding, labels in ((source, stored), (target, convert(source, target, stored))):
        read = decoded(encoding, labels, use_cftime=False)
        np.testing.assert_array_equal(read, np.array(["2000-01-03", "NaT", "NaT"], read.dtype))


def test_days_written_one_by_one_by_xarray():
    """Trap 7: every slice says 0 days since its own day."""
    target = time("i8", "days since 2024-01-01", "proleptic_gregorian")
    for day in range(1, 29):
        source = time("i8", f"days since 2024-02-{day:02d} 00:00:00", "proleptic_gregorian")
        assert convert(source, target, [0]).tolist() == [30 + day]


@pytest.mark.parametrize(
    ("source", "target", "label", "expected", "found"),
    [
        (
            time("i8", "days since 2200-01-01"),
            time("i4", "seconds since 2000-01-01"),
            0,
            "1931-12-13T20:45:52 to 2068-01-19T03:14:07 (the range of int32)",
            "2200-01-01T00:00:00",
        ),
        (
            time("i8", "minutes since 2024-01-01"),
            enc("i4", {"units": "days since 2024-01-01", "scale_factor": 0.25}),
            90,
            "2024-01-01T00:00:00 plus a multiple of 21600 s",
            "2024-01-01T01:30:00",
        ),
        (
            time("i8", "minutes since 2024-01-01"),
            enc("M8[h]"),
            90,
            "1970-01-01T00:00:00 plus a multiple of 3600 s",
            "2024-01-01T01:30:00",
        ),
        (enc("i8", {"units": "hours"}), enc("i8", {"units": "days"}), 3, "a whole number of days", "3 hours"),
    ],
)
def test_times_are_shown_as_people_know_them(source, target, label, expected, found):
    with pytest.raises(EncodingError) as caught:
        convert(source, target, [label])
    assert (caught.value.expected, caught.value.found) == (expected, f"{found} at index (0,)")


def test_noon_does_not_fit_whole_days():
    target = time("i8", "days since 2024-01-01 00:00:00")
    with pytest.raises(EncodingError) as caught:
        convert(time("i8", "hours since 2024-01-02 00:00"), target, [0, 12])
    assert caught.value.expected == "a whole number of days since 2024-01-01 00:00:00"
    assert caught.value.found == "2024-01-02T12:00:00 at index (1,)"
    assert str(caught.value.remedies["variables.NAME.encoding.units"]).startswith("hours since 2024-01-01 00:00:00")
    assert convert(time("i8", "hours since 2024-01-02"), target, [24]).tolist() == [2]
    with pytest.raises(EncodingError, match="cannot be stored exactly") as caught:
        convert(time("f8", "days since 2024-01-01"), target, [0.5 + 1 / 86400 / 1024])
    assert str(caught.value.remedies["variables.NAME.encoding.units"]).startswith("nanoseconds since")
    with pytest.raises(EncodingError) as caught:
        convert(time("i8", "ms since 2024-01-01"), target, [1500])
    assert str(caught.value.remedies["variables.NAME.encoding.units"]).startswith("milliseconds since")


@pytest.mark.parametrize(
    ("source", "target", "value", "match"),
    [
        (time("i8", "days since 2000-01-01"), time("i2", "seconds since 2000-01-01"), 1, "time out of range"),
        (time("i8", "days since 2000-01-01"), time("u4", "days since 2000-01-02"), 0, "time out of range"),
        (time("i8", "days since 2000-01-01"), time("i8", "ns since 1700-01-01"), 2**40, "time out of range"),
        (time("f8", "days since 2000-01-01"), time("f4", "hours since 1900-01-01"), 0.001, "rounding"),
        (time("f8", "days since 2000-01-01"), time("f2", "hours since 2000-01-01"), 1e5, "time out of range"),
        (time("f8", "days since 2000-01-01"), time("f8", "ns since 2000-01-01"), 1e305, "time out of range"),
        (time("f8", "days since 2000-01-01"), time("f8", "hours since 2000-01-01"), np.inf, "not a time"),
        (time("i8", "days since 2000-01-01"), time("i8", "hours since 2000-01-01", marker=24), 1, "missing"),
        (time("f8", "days since 2000-01-01"), time("i4", "hours since 2000-01-01"), np.nan, "missing cell"),
        (time("i8", "days since 1500-01-01"), time("i8", "days since 1500-01-01", REAL[1]), 30_000, "before 1582"),
        (time("i8", "days since 1600-01-01", REAL[1]), time("i8", "days since 1600-01-01"), -10_000, "before 1582"),
        (time("i8", "days since 1600-01-01"), enc("M8[s]"), -10_000, "before 1582"),
    ],
)
def test_time_that_cannot_be_kept_is_refused(source, target, value, match):
    with pytest.raises(EncodingError, match=match) as caught:
        convert(source, target, [value])
    assert "index (0,)" in caught.value.found


def test_standard_and_proleptic_agree_from_the_switch_on():
    units = "days since 1582-10-15"
    for old, new in [(REAL[0], REAL[1]), (REAL[1], REAL[0])]:
        source, target = time("i8", units, old), time("i8", "days since 0001-01-01", new)
        out = convert(source, target, [0, 1, 200_000])
        assert [oracle(v, target.units, new).isoformat() for v in out] == [
            oracle(v, units, old).isoformat() for v in [0, 1, 200_000]
        ]
        with pytest.raises(EncodingError, match="before 1582"):
            convert(source, target, [-1])


@pytest.mark.parametrize("other", ["julian", "noleap", "all_leap", "360_day"])
def test_other_calendars_are_not_converted(other):
    for old, new in [("standard", other), (other, "proleptic_gregorian")]:
        with pytest.raises(EncodingError, match="calendar"):
            conversion(time("i8", "days since 2000-01-01", old), time("i8", "days since 2000-01-01", new))


def test_equal_labels_are_refused():
    values = np.nextafter(100_000.0, [1e9, -1e9])
    with pytest.raises(EncodingError, match="become equal"):
        convert(time("f8", "s since 2000-01-01"), time("f8", "s since 1800-01-01"), [values[0], 100_000.0])
    same = convert(time("f8", "s since 2000-01-01"), time("f8", "s since 1990-01-01"), [5.0, 5.0])
    assert same[0] == same[1]


@pytest.mark.parametrize("units", ["months since 2000-01-01", "years since 2000-01-01", "days since 2000-01-01 12"])
def test_indefinite_time_is_only_itself(units):
    same = time("i4", units)
    assert conversion(same, time("i4", units)).identity
    assert convert(same, time("i8", units), [3]).tolist() == [3]
    assert format_instant(same, 3) == f"3 ({units})"
    for other in (
        time("i4", "days since 2000-01-01"),
        time("i4", "months since 2000-02-01"),
        time("i4", units, REAL[1]),
    ):
        for pair in ((same, other), (other, same)):
            with pytest.raises(EncodingError):
                conversion(*pair)
    with pytest.raises(EncodingError):
        conversion(same, time("i4", units, scale_factor=2.0))
    with pytest.raises(DTypeError):
        conversion(time("f8", units), same)
    with pytest.raises(EncodingError):
        to_instants(same, np.array([1], "i4"))


def test_time_units_on_one_side_only_are_refused():
    for pair in [
        (time("i4", "days since 2000-01-01"), enc("i4")),
        (enc("i4", {"units": "K"}), time("i4", "d since 2000-1-1")),
    ]:
        for source, target in (pair, pair[::-1]):
            with pytest.raises(EncodingError, match="time units"):
                conversion(source, target)


def test_time_of_equal_units_fits_by_value_not_by_dtype():
    units = "days since 2000-01-01"
    assert convert(time("f8", units), time("i2", units, marker=-1), [3.0, np.nan]).tolist() == [3, -1]
    assert convert(time("f8", units), time("f4", units), [3.5]).tolist() == [3.5]
    with pytest.raises(EncodingError):
        convert(time("f8", units), time("i2", units), [3.5])


def test_packed_time_is_exact():
    source = time("i4", "hours since 2000-01-01", scale_factor=0.5, add_offset=24)
    assert to_instants(source, np.array([1], "i4"))[0] - to_instants(
        time("i4", "s since 2000-01-02"), np.zeros(1, "i4")
    )[0] == Fraction(1800)
    assert convert(source, time("i4", "minutes since 2000-01-02"), [1, -3]).tolist() == [30, -90]
    assert convert(time("i4", "minutes since 2000-01-02"), source, [30, -90]).tolist() == [1, -3]
    backwards = time("i4", "hours since 1582-10-15", scale_factor=-1)
    assert convert(time("i4", "hours since 1582-10-15", REAL[1]), backwards, [3]).tolist() == [-3]
    with pytest.raises(EncodingError, match="before 1582"):
        convert(time("i4", "hours since 1582-10-15", REAL[1]), backwards, [-3])


@given(st.lists(st.integers(0, 300), min_size=1, max_size=5, unique=True))
def test_packed_float_time_is_the_nearest(values):
    source, target = time("i8", "s since 2000-01-01"), time("f8", "hours since 2000-01-01", scale_factor=0.1)
    exact = [Fraction(value) / (3600 * Fraction(0.1)) for value in values]
    assert convert(source, target, values).tolist() == [float(label) for label in exact]


@pytest.mark.parametrize("dtype", ["i2", "u2", "i8", "u8"])
def test_time_may_use_the_whole_range(dtype):
    target, limits = time(dtype, "s since 2000-01-01"), np.iinfo(dtype)
    least = int(limits.min) + (dtype == "i8")  # the least of all is how xarray writes not-a-time
    for label, step in ((least, -1), (int(limits.max), 1)):
        source = time("i4", "s since 2000-01-01", add_offset=float(label // 4096 * 4096))
        rest = label - label // 4096 * 4096
        assert convert(source, target, [rest]).tolist() == [label]
        with pytest.raises(EncodingError, match=r"time out of range|would be read as missing"):
            convert(source, target, [rest + step])


def test_not_a_time_as_xarray_writes_it():
    least = np.iinfo("i8").min
    source, target = time("i8", "days since 2000-01-02"), time("i8", "days since 2000-01-01")
    assert convert(source, target, [least, 0]).tolist() == [least, 1]
    assert to_instants(source, np.array([least])) == [None]
    with pytest.raises(EncodingError, match="missing cell"):
        convert(source, time("i4", "days since 2000-01-01"), [least])


NUMPY_UNITS = ["W", "D", "h", "m", "s", "ms", "us", "ns"]


@given(
    st.sampled_from("mM"), st.sampled_from(NUMPY_UNITS[1:]), st.sampled_from(NUMPY_UNITS[1:]), st.integers(-9000, 9000)
)
def test_numpy_times_are_exact_or_refused(kind, old, new, value):
    source, target = enc(f"{kind}8[{old}]"), enc(f"{kind}8[{new}]")
    values = np.array([value, np.iinfo("i8").min]).view(source.dtype)
    expected = values.astype(target.dtype)
    if expected[0].astype(source.dtype) != values[0]:
        with pytest.raises(EncodingError, match="cannot be stored exactly"):
            conversion(source, target).apply(values)
    else:
        np.testing.assert_array_equal(conversion(source, target).apply(values), expected)


def test_numpy_times_do_not_overflow():
    with pytest.raises(EncodingError, match="out of range"):
        convert(enc("M8[D]"), enc("M8[ns]"), [np.datetime64("9999-01-01")])
    with pytest.raises(EncodingError, match="read as missing"):
        convert(enc("M8[2s]"), enc("M8[s]"), np.array([-(2**62)]).view("M8[2s]"))
    for pair in (("M8[Y]", "M8[D]"), ("M8[D]", "M8[M]"), ("m8[M]", "m8[D]")):
        with pytest.raises(EncodingError):
            conversion(*map(enc, pair))


def test_numeric_time_and_datetime64():
    numbers, stamps = time("i4", "hours since 2000-01-01", REAL[1], -1), enc("M8[ns]")
    out = convert(numbers, stamps, [5, -1])
    np.testing.assert_array_equal(out, np.array(["2000-01-01T05", "NaT"], "M8[ns]"))
    assert conversion(stamps, numbers).apply(out).tolist() == [5, -1]
    assert out.dtype == np.dtype("M8[ns]")
    assert to_instants(stamps, out) == to_instants(numbers, np.array([5, -1], "i4"))
    with pytest.raises(DTypeError):
        conversion(time("i4", "hours since 2000-01-01"), enc("m8[s]"))
    with pytest.raises(EncodingError, match="calendar"):
        conversion(time("i4", "hours since 2000-01-01", "noleap"), stamps)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01", 0),
        ("1970-1-1 12:00", 43200),
        ("1970-01", 0),
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01 00:00:00.25", Fraction(1, 4)),
        ("1970-01-01 00:00:00.000000001 UTC", Fraction(1, 10**9)),
        ("1970-01-01 01:00 +01:00", 0),
        ("1970-01-01 01:00:00+0100", 0),
        ("1970-01-01 00:00:00 -6:00", 21600),
        ("+1970-01-01t00:30", 1800),
    ],
)
def test_reference_dates(text, instant):
    assert to_instants(time("i4", f"seconds since {text}"), np.zeros(1, "i4")) == [instant]
    assert calendars.reference_of(f"Days  since {text}") == text


@pytest.mark.parametrize(
    "unit", [*"dhs", "hr", "hrs", "min", "mins", "sec", "secs", "ms", "msec", "us", "ns", "\N{MICRO SIGN}s"]
)
def test_unit_names(unit):
    known = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    step = to_instants(time("i4", f"{unit} since 1970-01-01"), np.ones(1, "i4"))[0]
    small = {
        "ms": Fraction(1, 1000),
        "us": Fraction(1, 10**6),
        "\N{MICRO SIGN}s": Fraction(1, 10**6),
        "ns": Fraction(1, 10**9),
    }
    assert step == small.get(unit[:2], known.get(unit[0]))
    weeks = to_instants(time("i4", "weeks since 1970-01-01"), np.ones(1, "i4"))
    assert weeks == [7 * 86400]


def test_instants_mark_missing():
    encoding = time("f8", "days since 1970-01-01", marker=-1.0, missing_value=-2.0)
    values = np.array([1.5, np.nan, -1, -2])
    assert to_instants(encoding, values) == [129600, None, None, None]
    assert format_instant(encoding, values[1]) == "missing"
    with pytest.raises(EncodingError, match="not a time"):
        to_instants(encoding, np.array([np.inf]))
    with pytest.raises(EncodingError, match="not a time"):
        to_instants(enc("i4", {"units": "K"}), np.zeros(1, "i4"))


def test_format_instant():
    assert format_instant(time("i8", "ns since 1970-01-01"), np.int64(1_500)) == "1970-01-01T00:00:00.0000015"
    assert format_instant(time("f8", "days since 2000-01-01"), 0.1) == "2000-01-01T02:24:00"
    assert format_instant(enc("M8[s]"), np.datetime64("2000-01-01", "s")) == "2000-01-01T00:00:00"
    assert format_instant(enc("M8[s]"), np.datetime64("NaT", "s")) == "missing"
    assert format_instant(enc("i4"), np.int32(4)) == "4"
    assert format_instant(enc("U1"), np.str_("a")) == "'a'"
    assert format_instant(enc("O"), "a") == "'a'"
    assert format_instant(enc("m8[s]"), np.timedelta64(4, "s")) == "4 seconds"
    assert format_instant(time("i4", "days since 2000-02-28", "noleap"), 1) == "2000-03-01T00:00:00"


@given(hnp.arrays("f8", 4, elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_floats_are_taken_apart_exactly(values):
    whole, bits = time_conversion._integers(values)
    assert [Fraction(int(w), 2**bits) for w in whole] == [Fraction(v) for v in values.tolist()]


def test_many_labels_are_fast_and_right():
    source, target = time("f8", "days since 2000-01-01"), time("f8", "hours since 1970-01-01")
    values = np.arange(20_000) / 10
    out = convert(source, target, values)
    np.testing.assert_allclose(out, 262_968 + values * 24, rtol=1e-15)
