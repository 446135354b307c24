"""Expressions in attributes: what each becomes, what is refused where, and how much is read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.expression_values import Cube, Values, cube, line, value

from zapz.errors import ConfigError
from zapz.expressions.evaluator import MAX_DEPTH, Time, check, evaluate, has_expressions
from zapz.expressions.parser import parts_of

LANGUAGE: list[tuple[str, Any]] = [
    ("{{ ds.time[0] }}", "2024-01-01T00:00:00"),
    ("{{ds.time[-1]}}", "2024-01-03T12:00:00"),
    ('{{ ds["time"][+1] }}', "2024-01-02T00:00:00"),
    ("{{ ds['fine/time'] }}", ["1970-01-01T00:00:00"]),
    ("{{ ds . time [ 0 : 2 ] }}", ["2024-01-01T00:00:00", "2024-01-02T00:00:00"]),
    ("{{ ds.time_noleap[0] }}", "1970-03-01T00:00:00"),
    ("{{ ds.gaps }}", ["2024-01-01T00:00:00", "NaT"]),
    ("{{ ds.odd }}", ["NaN", "Infinity", "-Infinity", "NaN", True, "text"]),
    ("{{ ds.x[::-1] }}", [3.1, 1.6, 0.1]),
    ("{{ ds.x[-2:] }}", [1.6, 3.1]),
    ("{{ ds.x[:-2] }}", [0.1]),
    ("{{ ds.x[5:] }}", []),
    ("{{ ds.none }}", []),
    ("{{ ds.scalar }}", 7),
    ("{{ ds.one[0] }}", 5),
    ("{{ ds.table }}", [[0, 1, 2], [10, 11, 12]]),
    ("{{ ds.table[1] }}", [10, 11, 12]),
    ("{{ ds.table[:, 1] }}", [1, 11]),
    ("{{ ds.table[-1, -1] }}", 12),
    ("{{ ds.table[0:1, ::2] }}", [[0, 2]]),
    ("{{ ds.table[2:] }}", []),
    ("{{ ds.table[:, 3:] }}", [[], []]),
    ('{{ ds["2m"] }}', [1]),
    ('{{ ds["sizes"][0] }}', 2),
    ('{{ ds["__x"][0] }}', 3),
    ("{{ ds.größe[0] }}", 4),
    ("{{ lower_bound(ds.time) }}", "2024-01-01T00:00:00"),
    ("{{ upper_bound(ds.time) }}", "2024-01-04T12:00:00"),
    ('{{ lower_bound(ds.time, ref="center") }}', "2023-12-31T12:00:00"),
    ("{{ upper_bound(ds.time, 'center') }}", "2024-01-04T00:00:00"),
    ('{{ lower_bound(ds.time, "upper") }}', "2023-12-31T00:00:00"),
    ('{{ upper_bound(ds.time, ref = "upper") }}', "2024-01-03T12:00:00"),
    ('{{ upper_bound(ds["time"][0:2], ref="lower") }}', "2024-01-03T00:00:00"),
    ("{{ lower_bound(ds.falling) }}", 1.0),
    ("{{ upper_bound(ds.falling) }}", 4.0),
    ("{{ upper_bound(ds.x) }}", 4.6),
    ("{{ upper_bound(ds.even) }}", 6),
    ('{{ lower_bound(ds.even, "center") }}', -1),
    ("{{ upper_bound(ds.one) }}", 5),
    ("{{ upper_bound(ds.table[1]) }}", 13),
    ("{{ upper_bound(ds.table[:, 1]) }}", 21),
    ("{{ len(ds.time) }}", 3),
    ("{{ len(ds.table[:, 0]) }}", 2),
    ("{{ ds.sizes.time }}", 3),
    ("{{ ds.dims['x y'] }}", 4),
    ('{{ ds.sizes["__d"] }}', 1),
    ("{{ ds.attrs.title }}", "T"),
    ('{{ ds.attrs["a-b"] }}', 2.5),
    ("{{ ds.attrs.list }}", [1, {"a": "é"}]),
    ("{{ 12 }}", 12),
    ("{{ -0.5e1 }}", -5.0),
    ("{{ 'it is \"so\"' }}", 'it is "so"'),
    ("from {{ ds.time[0] }} to {{ ds.time[-1] }}.", "from 2024-01-01T00:00:00 to 2024-01-03T12:00:00."),
    ("{{ ds.sizes.time }}{{ ds.scalar }}", "37"),
    (" {{ 1 }}", " 1"),
    ("{{ ds.attrs.flag }} {{ ds.table[0] }} {{ ds.attrs.list }}", 'true [0, 1, 2] [1, {"a": "é"}]'),
    ('{{ "{{" }} ds.x }}', "{{ ds.x }}"),
    ("", ""),
    ("{ds.time} }} $x", "{ds.time} }} $x"),
]


@pytest.mark.parametrize(("text", "expected"), LANGUAGE, ids=[case[0] for case in LANGUAGE])
def test_the_language(text: str, expected: Any) -> None:
    found = value(text)
    assert (found, type(found)) == (expected, type(expected))


UNREADABLE: list[tuple[str, int, str]] = [
    ("{{ }}", 4, "ds, len"),
    ("{{ ds.time[0] ", 1, '"}}"'),
    ("ok {{ 1 }} {{", 12, '"}}"'),
    ("ok {{ 1 }} {{ time }}", 15, "ds, len"),
    ("{{ ds }}", 7, "name of a variable"),
    ("{{ ds. }}", 8, "name of a variable"),
    ("{{ ds[0] }}", 7, "name in quotes"),
    ("{{ ds[time] }}", 7, "name in quotes"),
    ("{{ ds.2m }}", 6, "name of a variable"),
    ("{{ ds['a }}", 7, "name in quotes"),
    ("{{ ds.time[] }}", 12, "an integer"),
    ("{{ ds.time[0 }}", 14, '"]"'),
    ("{{ ds.time[0,] }}", 14, "an integer"),
    ("{{ ds.time[1.5] }}", 12, "an integer"),
    ("{{ ds.time[::0] }}", 14, "other than 0"),
    ("{{ ds.time[0:1:2:3] }}", 17, '"]"'),
    ("{{ ds.time['a'] }}", 12, "an integer"),
    ("{{ ds.time[0][0] }}", 14, '"}}"'),
    ("{{ ds.time[-ds.x] }}", 12, "an integer"),
    ("{{ ds.time.values }}", 11, '"["'),
    ("{{ ds.time[0].year }}", 14, '"}}"'),
    ("{{ ds.time[0] + 1 }}", 15, '"}}"'),
    ("{{ 1 - 1 }}", 6, '"}}"'),
    ("{{ 1-1 }}", 5, '"}}"'),
    ("{{ 1e999 }}", 4, "finite"),
    ("{{ -ds.x }}", 4, "ds, len"),
    ("{{ ds.sizes }}", 13, "ds.sizes.x"),
    ("{{ ds.attrs.a.b }}", 14, '"}}"'),
    ("{{ ds.attrs.a[0] }}", 14, '"}}"'),
    ("{{ ds.attrs.__class__ }}", 13, "brackets and quotes"),
    ("{{ ds.__class__ }}", 7, "brackets and quotes"),
    ("{{ lower_bound }}", 16, '"("'),
    ("{{ lower_bound() }}", 16, "a variable"),
    ("{{ lower_bound(ds.sizes.x) }}", 16, "a variable"),
    ("{{ lower_bound(lower_bound(ds.x)) }}", 16, "a variable"),
    ("{{ lower_bound(ds.x, ref='middle') }}", 26, '"center"'),
    ("{{ lower_bound(ds.x, side='lower') }}", 22, '"center"'),
    ("{{ lower_bound(ds.x, ref=lower) }}", 26, '"center"'),
    ("{{ lower_bound(ds.x, 'lower', 1) }}", 29, '")"'),
    ("{{ len('text') }}", 8, "a variable"),
    ("{{ open('/etc/passwd') }}", 4, "ds, len"),
    ("{{ __import__('os').system('true') }}", 4, "ds, len"),
    ("{{ ().__class__.__bases__ }}", 4, "ds, len"),
    ("{{ [x for x in ds] }}", 4, "ds, len"),
    ("{{ lambda: 0 }}", 4, "ds, len"),
    ("{{ ds.x if 1 else 2 }}", 9, '"}}"'),
    ("{{ ds.x; ds.x }}", 8, '"}}"'),
    ("{{ 'a\\x41' }}", 4, "ds, len"),
    ("{{ " + "(" * 400 + " }}", 4, "ds, len"),
    ("{{ lower_bound(" + "lower_bound(" * 30 + " }}", 16, "a variable"),
    ("{{ " + "9" * 501 + " }}", 3, "at most 500"),
    ("{{" * 5001, 0, "at most 10000"),
]


@pytest.mark.parametrize(("text", "column", "expected"), UNREADABLE, ids=[case[0][:40] for case in UNREADABLE])
def test_what_cannot_be_read_is_refused_with_its_place(text: str, column: int, expected: str) -> None:
    attributes = {"ok": "{{ 1 }}", "a": [{"b": text}]}
    with pytest.raises(ConfigError) as caught:
        check(attributes, "attrs")
    error = caught.value
    assert error.where == "attrs.a[0].b"
    assert expected in error.expected
    assert error.hint
    assert len(str(error)) < 700
    if column:
        assert f" at column {column} of " in error.found
    with pytest.raises(ConfigError):
        evaluate(attributes, cube())


def test_of_a_long_text_the_place_is_shown() -> None:
    with pytest.raises(ConfigError, match=r"at column 1004 of '\.\.\.x+\{\{ nonsense y+\.\.\.'"):
        check({"a": "x" * 1000 + "{{ nonsense " + "y" * 200 + " }}"}, "attrs")


IMPOSSIBLE: list[tuple[str, str, str]] = [
    ("{{ ds.tine[0] }}", "variable", "'time'"),
    ("{{ ds['fine'] }}", "variable", "time"),
    ("{{ ds.sizes.tim }}", "dimension", "'time'"),
    ("{{ ds.attrs.qqq }}", "attribute", "title"),
    ("{{ ds.time[3] }}", "index", "-3 to 2"),
    ("{{ ds.time[-4] }}", "index", "-3 to 2"),
    ("{{ ds.none[0] }}", "index", "the dimension is empty"),
    ("{{ ds.time[0, 0] }}", "indices", "at most 1"),
    ("{{ ds.scalar[0] }}", "indices", "at most 0"),
    ("{{ len(ds.scalar) }}", "length", "dimension"),
    ("{{ lower_bound(ds.table) }}", "bounds", "one dimension"),
    ("{{ lower_bound(ds.scalar) }}", "bounds", "one dimension"),
    ("{{ lower_bound(ds.none) }}", "bounds", "not empty"),
    ("{{ lower_bound(ds.gaps) }}", "bounds", "none missing"),
    ("{{ lower_bound(ds.odd[0:1]) }}", "bounds", "none missing"),
    ("{{ lower_bound(ds.odd[1:2]) }}", "bounds", "none missing"),
    ("{{ lower_bound(ds.odd[4:5]) }}", "bounds", "none missing"),
    ("{{ lower_bound(ds.odd[5:6]) }}", "bounds", "none missing"),
]


@pytest.mark.parametrize(("text", "what", "expected"), IMPOSSIBLE, ids=[case[0] for case in IMPOSSIBLE])
def test_what_the_dataset_does_not_have_is_refused(text: str, what: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        value(text)
    assert what in caught.value.what
    assert expected in caught.value.expected + caught.value.hint
    assert caught.value.where == f"attrs.a = {text!r}"
    assert caught.value.hint


def test_expressions_are_found_at_any_depth_and_the_rest_stays() -> None:
    given_ = {"n": 1, "none": None, "t": {"l": [True, "{{ ds.sizes.time }}", ("a", 1.5)]}, "{{ 1 }}": "x"}
    before = copy.deepcopy(given_)
    assert evaluate(given_, cube()) == {"n": 1, "none": None, "t": {"l": [True, 3, ["a", 1.5]]}, "{{ 1 }}": "x"}
    assert given_ == before
    assert has_expressions(given_)
    assert has_expressions({"a": [{"b": "{{"}]})
    assert not has_expressions({"a": [{"b": "{ }"}], "n": 1, "{{ 1 }}": 1})


def test_attributes_are_not_evaluated_twice() -> None:
    assert value("{{ ds.attrs.t }}", Cube({}, {}, {"t": "{{ ds.x }}"})) == "{{ ds.x }}"


@pytest.mark.parametrize("function", [lambda a: check(a, "attrs"), has_expressions, lambda a: evaluate(a, cube())])
def test_attributes_without_an_end_are_refused(function: Callable[[Any], Any]) -> None:
    endless: dict[str, Any] = {}
    endless["a"] = [endless]
    with pytest.raises(ConfigError, match=f"at most {MAX_DEPTH}"):
        function(endless)


# --- how much is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("{{ lower_bound(ds.v) }}", [0, 1, -1]),
        ("{{ upper_bound(ds.v, 'center') }}", [0, 1, -1]),
        ("{{ lower_bound(ds.v[7:8]) }}", [7]),
        ("{{ lower_bound(ds.v[7:9]) }}", [7, 8]),
        ("{{ ds.v[-1] }}", [-1]),
        ("{{ ds.v[3:6:2] }}", [3, 5]),
        ("{{ len(ds.v) }}", []),
        ("{{ len(ds.v[3:]) }}", []),
    ],
)  # fmt: skip
def test_no_more_is_read_than_is_needed(text: str, read: list[int]) -> None:
    long = 10**12
    v = Values((long,), lambda index: index[0])
    value(text, cube(v=v))
    assert v.read == [(i % long,) for i in read]


@pytest.mark.parametrize(
    ("shape", "passes"), [((1000,), True), ((1001,), False), ((10, 100), True), ((11, 100), False), ((10**9, 0), False)]
)
def test_at_most_a_thousand_values(shape: tuple[int, ...], passes: bool) -> None:
    v = Values(shape, lambda _: 1)
    if passes:
        assert np.shape(value("{{ ds.v }}", cube(v=v))) == shape
        return
    with pytest.raises(ConfigError, match="at most 1000"):
        value("{{ ds.v }}", cube(v=v))
    assert not v.read


# --- laws -------------------------------------------------------------------------------------------------------------


@given(st.data())
def test_indexing_is_that_of_numpy(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    array = np.arange(int(np.prod(shape))).reshape(shape)
    end = st.one_of(st.none(), st.integers(-6, 6))
    slices = st.tuples(end, end, st.one_of(st.none(), st.integers(-3, 3).filter(bool)))
    indices = [data.draw(st.one_of(slices, st.integers(-5, 4))) for _ in shape[: data.draw(st.integers(0, 3))]]
    written = ",".join(
        str(i) if isinstance(i, int) else ":".join("" if e is None else str(e) for e in i) for i in indices
    )
    text = "{{ ds.v" + (f"[{written}]" if indices else "") + " }}"
    dataset = Cube({"v": Values(shape, lambda index: int(array[index]))})
    try:
        expected = array[tuple(i if isinstance(i, int) else slice(*i) for i in indices)].tolist()
    except IndexError:
        with pytest.raises(ConfigError, match="index out of range"):
            value(text, dataset)
        return
    assert value(text, dataset) == expected


@given(
    start=st.integers(-(10**6), 10**6),
    step=st.integers(-50, 50).filter(bool),
    count=st.integers(2, 30),
    ref=st.sampled_from(["lower", "center", "upper"]),
    timed=st.booleans(),
)
def test_cells_of_regular_labels_fill_their_bounds(start: int, step: int, count: int, ref: str, timed: bool) -> None:
    """From one bound to the other it is as far as there are cells, and the labels lie where `ref` says in the outer ones."""
    numbers = [start + i * step for i in range(count)]
    dataset = cube(v=line(*(Time(seconds=Fraction(n), calendar="standard") if timed else n for n in numbers)))
    ends = [value("{{ %s_bound(ds.v, ref='%s') }}" % (end, ref), dataset) for end in ("lower", "upper")]  # noqa: UP031
    if timed:
        lower, upper = (float((np.datetime64(end) - np.datetime64(0, "s")) / np.timedelta64(1, "s")) for end in ends)
    else:
        lower, upper = ends
    assert upper - lower == count * abs(step)
    assert min(numbers) - lower == {"lower": 0, "center": abs(step) / 2, "upper": abs(step)}[ref]


WORDS = ["{{", "}}", "ds", "ds.time", "ds.x", ".", "[", "]", "(", ")", ",", ":", "=", "0", "-1", "1e9", "'time'", '"center"', "ref", "sizes",
         "attrs", "lower_bound", "upper_bound", "len", "__class__", " ", "\n", "\\", "'", '"', "é", "\x00", "٣", "+", "*", ";"]  # fmt: skip


@given(
    st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=14).map("".join)).map(
        lambda text: "{{" + text + "}}"
    )
)
def test_whatever_is_written_is_a_value_or_a_config_error(text: str) -> None:
    try:
        check({"a": text}, "attrs")
        result = evaluate({"a": text}, cube())["a"]
    except ConfigError:
        return
    json.dumps(result, allow_nan=False)


def test_the_size_of_a_coordinate_has_a_form_of_its_own():
    with pytest.raises(
        ConfigError, match=r'found "\." at column 11 .*\. The length of a dimension is ds\.sizes\.time\.$'
    ):
        parts_of("{{ ds.time.size }}", "attrs.n")
    with pytest.raises(ConfigError, match="An expression is"):
        parts_of("{{ ds.time.values }}", "attrs.n")
