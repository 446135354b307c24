"""The configuration: what each setting takes and refuses, how layers merge, what it says about settings that do nothing."""

import itertools
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from kit.config_cases import BEYOND_SCHEMA, ENCODINGS, KEPT, REFUSED, REFUSED_ENCODINGS, settings_of

from zapz.config.files import resolve
from zapz.config.layers import NAMES, Layer, make
from zapz.config.settings import Config, remarks
from zapz.config.types import Place
from zapz.errors import ConfigError

Settings = dict[str, Any]


def refusal(*layers: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        make(*layers)
    assert caught.value.exit_code == 2
    return str(caught.value)


# --- values -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value", "kept"), KEPT)
def test_settings_are_kept_in_one_form(name: str, value: Any, kept: Any) -> None:
    found = getattr(make({name: value}), name)
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize(("key", "value", "kept"), ENCODINGS)
def test_encodings_are_kept_in_one_form(key: str, value: Any, kept: Any) -> None:
    found = make(settings_of(key, value)).variables["chl"]["encoding"]
    assert found == {key: kept}
    assert type(found[key]) is type(kept)


@pytest.mark.parametrize(
    ("key", "value", "says"), [*REFUSED, *REFUSED_ENCODINGS, *BEYOND_SCHEMA]
)  # fmt: skip
def test_wrong_settings_are_refused(key: str, value: Any, says: str) -> None:
    assert says in refusal(settings_of(key, value))


@pytest.mark.parametrize("name", ["append_step", "scale_factor", "add_offset"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -np.float32("inf")])
def test_numbers_that_must_be_finite(name: str, value: float) -> None:
    assert f"{name}: expected a number" in refusal(settings_of(name, value))


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_refuses_what_it_cannot_be(name: str) -> None:
    """No setting takes just anything."""
    assert name in refusal({name: object()})
    assert getattr(make({name: None}), name) == getattr(Config(), name)


def test_what_python_gives() -> None:
    entry = {"encoding": {"dtype": np.dtype("i2"), "scale_factor": np.float32(0.5), "chunks": (np.int64(3),)}}
    attrs = {"n": np.int16(3), "a": np.array([1.5, 2]), "t": ("x",)}
    made = make({"variables": {"chl": entry}, "attrs": attrs, "target_dir": Path("a/b"), "slice_source": len})
    assert made.variable("chl").encoding.given == {"dtype": "int16", "scale_factor": 0.5, "chunks": (3,)}
    assert type(made.variable("chl").encoding.given["scale_factor"]) is float
    assert made.attrs == {"n": 3, "a": [1.5, 2.0], "t": ["x"]}
    assert made.target_dir == "a/b"
    assert made.slice_source is len


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [(np.float32, "float32"), (str, "string"), (bytes, "bytes"), (bool, "bool"), (np.dtype("U4"), "U4"), (np.dtype("M8[ns]"), "datetime64[ns]")],
)  # fmt: skip
def test_numpy_types(dtype: Any, kept: str) -> None:
    assert make(settings_of("dtype", dtype)).variable("chl").encoding.given["dtype"] == kept


@pytest.mark.parametrize("dtype", [np.dtype(">i2"), object, np.dtype([("a", "i2")]), np.dtype("V3"), np.longdouble])
def test_numpy_types_that_cannot_be_configured(dtype: Any) -> None:
    assert "variables.chl.encoding.dtype" in refusal(settings_of("dtype", dtype))


def test_attributes_must_be_what_json_can_hold() -> None:
    deep: list[Any] = []
    deep.append(deep)
    for value in (object(), {1: 2}, b"x", 1j, np.array("2024-01-01", "M8[ns]"), {"a": {"b": {3}}}, deep):
        says = refusal({"attrs": {"title": value}})
        assert "attrs.title" in says
        assert len(says) < 600


def test_logging_from_python_may_hold_anything() -> None:
    """It is for dictConfig to say what is in it."""
    given = {"version": 1, "root": {"level": "x"}, "own": 1, "handlers": {"h": {"()": len}}}
    assert make({"logging": given}).logging == given


def test_callers_tables_stay_theirs() -> None:
    """Changing what was given afterwards does not change the configuration."""
    given = {"attrs": {"a": {"b": [1]}}, "variables": {"*": {"encoding": {"compressor": {"id": "zlib"}}}}}
    made = make(given)
    given["attrs"]["a"]["b"].append(2)  # type: ignore[index]
    given["variables"]["*"]["encoding"]["compressor"]["id"] = "bz2"  # type: ignore[index]
    assert made == make({"attrs": {"a": {"b": [1]}}, "variables": {"*": {"encoding": {"compressor": {"id": "zlib"}}}}})


def test_storage_options_stay_out_of_messages() -> None:
    for name in ("target_storage_options", "slice_storage_options", "temp_storage_options"):
        assert "sesame" not in refusal({name: "key=sesame"})
        assert "sesame" not in repr(make({name: {"secret": "sesame"}}))


# --- layers -------------------------------------------------------------------------------------------------------------------


MERGED: list[tuple[str, list[Settings], Settings]] = [
    ("later wins", [{"workers": 1}, {"workers": 2}], {"workers": 2}),
    ("lists are replaced", [{"excluded_variables": ["a"]}, {"excluded_variables": ["b"]}], {"excluded_variables": ["b"]}),
    ("None takes back", [{"workers": 1, "static": "ignore"}, {"workers": None, "static": None}], {}),
    ("None first", [{"workers": None}, {"workers": 1}], {"workers": 1}),
    ("tables merge", [{"attrs": {"a": {"b": 1, "c": 2}, "d": 3}}, {"attrs": {"a": {"b": 4}, "e": None}}], {"attrs": {"a": {"b": 4, "c": 2}, "d": 3, "e": None}}),
    ("None is a value of an attribute", [{"attrs": {"a": 1}}, {"attrs": {"a": None}}], {"attrs": {"a": None}}),
    ("options merge", [{"target_storage_options": {"a": 1}}, {"target_storage_options": {"b": 2}}], {"target_storage_options": {"a": 1, "b": 2}}),
    ("polling merges", [{"slice_polling": {"interval": 1}}, {"slice_polling": {"timeout": 9}}], {"slice_polling": {"interval": 1, "timeout": 9}}),
    ("a table over a flag", [{"slice_polling": True}, {"slice_polling": {"timeout": 9}}], {"slice_polling": {"timeout": 9}}),
    ("a flag over a table", [{"slice_polling": {"timeout": 9}}, {"slice_polling": False}], {"slice_polling": False}),
    ("entries merge", [{"variables": {"a": {"dims": ["x"]}}}, {"variables": {"a": {"attrs": {"u": 1}}, "b": {}}}], {"variables": {"a": {"dims": ["x"], "attrs": {"u": 1}}, "b": {}}}),
    ("an entry taken back", [{"variables": {"a": {"dims": ["x"]}, "b": {}}}, {"variables": {"a": None}}], {"variables": {"b": {}}}),
    ("a key taken back", [{"variables": {"a": {"dims": ["x"]}}}, {"variables": {"a": {"dims": None}}}], {"variables": {"a": {}}}),
    ("a size taken back", [{"fixed_dims": {"x": 1, "y": 2}}, {"fixed_dims": {"x": None}}], {"fixed_dims": {"y": 2}}),
    ("an alias", [{"zarr_version": 2}, {"zarr_format": 3}], {"zarr_format": 3}),
    ("an alias wins when later", [{"zarr_format": 2}, {"zarr_version": 3}], {"zarr_format": 3}),
    ("an alias takes back", [{"zarr_format": 2}, {"zarr_version": None}], {}),
    ("both names", [{"zarr_format": 2, "zarr_version": 2}], {"zarr_format": 2}),
    ("logging merges", [{"logging": {"version": 1, "root": {"level": "INFO"}}}, {"logging": {"root": {"level": "DEBUG"}}}], {"logging": {"version": 1, "root": {"level": "DEBUG"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "same"), [case[1:] for case in MERGED], ids=[case[0] for case in MERGED])
def test_layers_merge(layers: list[Settings], same: Settings) -> None:
    assert make(*layers) == make(same)


ENCODED: list[tuple[str, list[Settings], Settings]] = [
    ("key by key", [{"dtype": "int16", "chunks": [1]}, {"chunks": [2]}], {"dtype": "int16", "chunks": (2,)}),
    ("null is a value", [{"chunks": [1], "fill_value": 0}, {"chunks": None, "fill_value": None}], {"chunks": None, "fill_value": None}),
    ("chunk tables merge", [{"chunks": {"x": 1, "y": 2}}, {"chunks": {"y": None}}], {"chunks": {"x": 1, "y": None}}),
    ("a chunk table over a list", [{"chunks": [1, 2]}, {"chunks": {"y": 3}}], {"chunks": {"y": 3}}),
    ("a compressor whole", [{"compressor": {"id": "blosc", "clevel": 9}}, {"compressor": {"id": "zlib"}}], {"compressor": {"id": "zlib"}}),
    ("codecs displace", [{"compressor": None, "filters": []}, {"codecs": [{"name": "bytes"}]}], {"codecs": ({"name": "bytes"},)}),
    ("a default compressor", [{"compressor": {"id": "zlib"}}, {"compressor": {}}], {"compressor": {}}),
    ("a compressor over the default", [{"compressor": {}}, {"compressor": {"id": "zlib"}}], {"compressor": {"id": "zlib"}}),
    ("fill values displace", [{"_FillValue": 1}, {"fill_value": 2}], {"fill_value": 2}),
    ("fill values displaced", [{"fill_value": 1}, {"_FillValue": None}], {"fill_value": None}),
    ("codecs displaced", [{"codecs": [{"name": "bytes"}]}, {"compressor": None}], {"compressor": None}),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "kept"), [case[1:] for case in ENCODED], ids=[case[0] for case in ENCODED])
def test_encodings_merge(parts: list[Settings], kept: Settings) -> None:
    """From file to file, and from "*" to the variable's own entry, by the same rules."""
    layers = [{"variables": {"a": {"encoding": part}}} for part in parts]
    assert make(*layers).variable("a").encoding.given == kept
    own = {"variables": {"*": {"encoding": parts[0]}, "a": {"encoding": parts[1]}}}
    assert make(own).variable("a").encoding.given == kept
    assert (
        make(own).variable("b").encoding.given
        == make({"variables": {"b": {"encoding": parts[0]}}}).variable("b").encoding.given
    )


def test_what_holds_for_a_variable() -> None:
    entries = {
        "*": {"dims": ["t"], "attrs": {"a": 1, "b": {"c": 1}}},
        "g/x": {"attrs": {"b": {"d": 2}}},
        "y": {"dims": ["t", "y"]},
    }
    made = make({"variables": entries})
    assert (made.variable("g/x").dims, made.variable("g/x").attrs) == (("t",), {"a": 1, "b": {"c": 1, "d": 2}})
    assert (made.variable("y").dims, made.variable("z").dims, make().variable("z").dims) == (("t", "y"), ("t",), None)


def test_codecs_twice_in_one_entry() -> None:
    entry = {"encoding": {"codecs": [{"name": "bytes"}], "filters": None}}
    assert "variables.a.encoding.filters: expected `codecs`, or `compressor`" in refusal({"variables": {"a": entry}})


def test_fill_values_twice_in_one_entry() -> None:
    entry = {"encoding": {"fill_value": 1, "_FillValue": 1}}
    assert "variables.a.encoding._FillValue: expected `fill_value` or `_FillValue`" in refusal(
        {"variables": {"a": entry}}
    )


def test_only_the_word_for_markers_marks() -> None:
    """Whatever layer it comes from; a later ``fill_value`` takes it back."""

    def marks(*parts: Settings) -> bool:
        made = make(*({"variables": {"a": {"encoding": part}}} for part in parts))
        return make({name: getattr(made, name) for name in NAMES}).variable("a").encoding.fill_is_marker

    assert marks({"_FillValue": 0})
    assert marks({"fill_value": 0}, {"_FillValue": 0})
    assert not marks({"_FillValue": 0}, {"fill_value": 0})
    assert not marks({"_FillValue": None})


ZSTD = {"id": "zstd", "level": 3, "checksum": False}


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("compressor", numcodecs.Zstd(3), ZSTD),
        ("compressor", zarr.codecs.ZstdCodec(level=3), ZSTD),
        ("compressor", zarr.codecs.BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"), {"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 2, "blocksize": 0}),
        ("filters", [numcodecs.Delta("<i2")], ({"id": "delta", "dtype": "<i2", "astype": "<i2"},)),
        ("codecs", [zarr.codecs.BytesCodec(), numcodecs.Zlib(2)], ({"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.zlib", "configuration": {"level": 2}})),
    ],
)  # fmt: skip
def test_codec_objects_become_configurations(key: str, value: Any, kept: Any) -> None:
    made = make(settings_of(key, value))
    assert made.variables["chl"]["encoding"] == {key: kept}
    assert make({name: getattr(made, name) for name in NAMES}) == made


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("compressor", numcodecs.Zstd, 'compressor: expected a table with an "id"'),
        ("filters", [zarr.codecs.TransposeCodec(order=(1, 0))], 'filters[0]: expected a table with an "id" (as numcodecs configures it), found TransposeCodec(order=(1, 0)). Zarr v2 does not define this codec. Give all codecs as `codecs`.'),
        ("compressor", SimpleNamespace(to_dict=lambda: {"level": 1}), "The key 'id' is missing."),
        ("compressor", SimpleNamespace(to_dict=lambda: {"name": "blosc"}), "Invalid configuration: 'cname'."),
    ],
)  # fmt: skip
def test_objects_that_are_no_codecs(key: str, value: Any, says: str) -> None:
    assert says in refusal(settings_of(key, value))


def test_two_names_of_a_setting_that_differ() -> None:
    assert "zarr_version: expected the same as zarr_format (3), found 2" in refusal(
        {"zarr_version": 2, "zarr_format": 3}
    )


def test_every_layer_is_validated() -> None:
    """A wrong value is found although a later layer replaces it, and the message says where it stands."""
    wrong = Layer({"attrs": {}, "workers": 0}, Place("a.toml, ", {("workers",): 7}))
    assert "a.toml, line 7, workers: expected an integer from 1, found 0" in refusal(wrong, {"workers": 1})
    assert ", workers: expected" in refusal({"workers": 0}, Layer({"workers": 1}, Place("argument ")))


def test_arguments_say_that_they_are() -> None:
    for settings, says in (
        ({"workers": 0}, ", argument workers: expected an integer from 1, found 0"),
        ({"variables": {"chl": {"encoding": {"chnuks": 1}}}}, ", argument variables.chl.encoding.chnuks: found"),
    ):
        with pytest.raises(ConfigError) as caught:
            resolve({"workers": 2}, settings)
        assert says in str(caught.value)


@pytest.mark.parametrize("config", [5, [5], b"x", [Config()], [None]])
def test_nothing_that_can_be_a_configuration(config: Any) -> None:
    with pytest.raises(ConfigError, match="expected a path or URI, a table of settings, or a list of these"):
        resolve(config, {})


def test_a_configuration_can_be_changed_by_arguments() -> None:
    base = make(
        {
            "variables": {"*": {"encoding": {"chunks": [1, None], "fill_value": None}}},
            "workers": 3,
            "memory_limit": "2kB",
        }
    )
    assert resolve(base, {}) is base
    changed = resolve(base, {"workers": None, "variables": {"*": {"encoding": {"dtype": "i2"}}}})
    assert changed.variable("x").encoding.given == {"chunks": (1, None), "fill_value": None, "dtype": "int16"}
    assert (changed.workers, changed.memory_limit) == (None, 2000)


# --- laws ---------------------------------------------------------------------------------------------------------------------

GOOD = st.sampled_from([(name, value) for name, value, _ in (*KEPT, *ENCODINGS)])


@given(st.lists(GOOD, max_size=6))
def test_validating_again_changes_nothing(chosen: list[tuple[str, Any]]) -> None:
    made = make(*(settings_of(*one) for one in chosen))
    again = make({name: getattr(made, name) for name in NAMES})
    assert again == made
    assert pickle.loads(pickle.dumps(made)) == made


@given(st.lists(GOOD, max_size=3), st.lists(GOOD, max_size=3), st.lists(GOOD, max_size=3))
def test_merging_is_associative(a: list[tuple[str, Any]], b: list[tuple[str, Any]], c: list[tuple[str, Any]]) -> None:
    first, second, third = (make(*(settings_of(*one) for one in part)) for part in (a, b, c))

    def layer(config: Config) -> Settings:
        return {n: getattr(config, n) for n in NAMES if getattr(config, n) != getattr(Config(), n)}

    left = make(layer(make(layer(first), layer(second))), layer(third))
    assert left == make(layer(first), layer(make(layer(second), layer(third))))


# --- settings that do nothing ---------------------------------------------------------------------------------------------------

IDLE = {
    "slice_engine": "netcdf4",
    "disable_rollback": True,
    "temp_storage_options": {"a": 1},
    "permit_eval": True,
    "temp_dir": "/scratch",
}


@pytest.mark.parametrize("count", range(len(IDLE) + 1))
def test_remarks_say_what_happens_instead(count: int) -> None:
    for chosen in itertools.combinations(IDLE, count):
        lines = remarks(make({name: IDLE[name] for name in chosen}))
        assert sorted(line.partition(":")[0] for line in lines) == sorted(chosen)
        assert all("\n" not in line and line.endswith(".") for line in lines)


def test_no_remark_without_need() -> None:
    defaults = {"slice_engine": None, "disable_rollback": False, "temp_storage_options": {}, "permit_eval": False}
    assert remarks(make(defaults, {"memory_limit": 5, "append_dim": "t"})) == []
    assert "a local folder, which this one is not" in remarks(make({"temp_dir": "s3://b/t"}))[0]
    assert "a local folder, which this one is not" not in remarks(make({"temp_dir": "t"}))[0]


def test_dotted_names_lead_into_tables() -> None:
    """In settings of a program; beside others of the same table, which stay."""
    given = {
        "static": 1,
        "variables.sst.encoding.dtype": "int16",
        "variables": {"sst": {"dims": ["x"]}},
        "append_label.from": "t",
    }
    made = make({"variables": {"sst": {"encoding": {"units": "K"}}}}, given)
    meant = {
        "static": 1,
        "append_label": {"from": "t"},
        "variables": {"sst": {"dims": ["x"], "encoding": {"dtype": "int16", "units": "K"}}},
    }
    assert made == make(meant)
    assert given["variables"] == {"sst": {"dims": ["x"]}}, "what was given is left as it was"
    for wrong in ("statik.x", "variables.sst.encodin.dtype"):
        with pytest.raises(ConfigError, match="unknown"):
            make({wrong: 1})
