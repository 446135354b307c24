"""Configuration files: three formats, variables of the environment, where they may lie, and the line that a message names."""

import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
import tomli
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kit.config_cases import ENCODINGS, KEPT, settings_of

import zapz
from zapz.config.environment import substituted
from zapz.config.files import load, resolve
from zapz.config.layers import make
from zapz.config.parsers import read
from zapz.config.reference import toml
from zapz.config.toml_positions import lines_of
from zapz.errors import ConfigError

SUFFIXES = (".toml", ".json", ".yaml", ".yml")


def parsed(text: str, suffix: str, **environment: str) -> dict[str, Any]:
    return read(text, suffix, "c", environment)[0]


def written(settings: dict[str, Any], suffix: str) -> str:
    if suffix == ".toml":
        return "\n".join(f"{name} = {toml(value)}" for name, value in settings.items())
    return json.dumps(settings, indent=1) if suffix == ".json" else yaml.safe_dump(settings)


def has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_null, value.values()))
    return any(map(has_null, value)) if isinstance(value, list) else value is None


def refusal(text: str, suffix: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        make({}, zapz_layer(text, suffix, environment))
    return str(caught.value)


def zapz_layer(text: str, suffix: str, environment: dict[str, str]) -> Any:
    from zapz.config.layers import Layer
    from zapz.config.types import Place

    settings, lines = read(text, suffix, f"c{suffix}", environment)
    return Layer(settings, Place(f"c{suffix}, ", lines))


# --- formats --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_says_the_same(suffix: str, tmp_path: Path) -> None:
    for name, value, _ in (*KEPT, *ENCODINGS):
        settings = settings_of(name, value)
        if suffix == ".toml" and has_null(settings):  # TOML has none
            continue
        file = tmp_path / f"c{suffix}"
        file.write_text(written(settings, suffix))
        assert resolve(file, {}, {}) == make(settings), (name, value)


NO_NULL = """\
[variables.a.encoding]
chunks = ["whole", 3]
compressor = false
filters = false
fill_value = false
shards = false
[variables.b.encoding]
chunks = "whole"
"""


def test_toml_can_say_null() -> None:
    made = make(parsed(NO_NULL, ".toml"))
    none = dict.fromkeys(("compressor", "filters", "fill_value", "shards"))
    assert made.variable("a").encoding.given == {"chunks": (None, 3), **none}
    assert made.variable("b").encoding.given == {"chunks": None}


@pytest.mark.parametrize(
    ("text", "suffix"),
    [("attrs.day = 2024-01-02", ".toml"), ("attrs:\n  day: 2024-01-02\n", ".yaml"), ("attrs: {day: !!timestamp 2024-01-02}", ".yml")],
)  # fmt: skip
def test_dates_are_text(text: str, suffix: str) -> None:
    assert parsed(text, suffix) == {"attrs": {"day": "2024-01-02"}}


def test_instants_are_text() -> None:
    assert parsed("attrs.t = [2024-01-02T03:04:05Z, 03:04:05]", ".toml")["attrs"]["t"] == [
        "2024-01-02T03:04:05+00:00",
        "03:04:05",
    ]
    assert parsed("attrs: {t: 2024-01-02 03:04:05}", ".yaml")["attrs"]["t"] == "2024-01-02 03:04:05"


@pytest.mark.parametrize(("text", "suffix"), [("x = nan", ".toml"), ('{"x": NaN}', ".json"), ("x: .nan", ".yaml")])
def test_not_a_number(text: str, suffix: str) -> None:
    assert math.isnan(parsed(text, suffix)["x"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_may_begin_with_a_mark_and_end_in_capitals(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"c{suffix.upper()}"
    file.write_bytes(b"\xef\xbb\xbf" + written({"workers": 3}, suffix).encode())
    assert resolve(file, {}).workers == 3


def test_yaml_may_be_empty_and_refer_to_itself() -> None:
    assert parsed("# nothing\n", ".yaml") == {}
    text = "variables:\n  a: &a {encoding: {dtype: int16}}\n  b:\n    <<: *a\n    attrs: {u: 1}\n"
    assert make(parsed(text, ".yaml")).variable("b").encoding.given == {"dtype": "int16"}


@pytest.mark.parametrize("form", ["[*a{0}, *a{0}, *a{0}]", "{{x: *a{0}, y: [*a{0}], z: *a{0}}}"])
def test_aliases_do_not_make_a_file_larger_than_it_is(form: str) -> None:
    def text(levels: int) -> str:
        return "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} {form.format(n)}\n" for n in range(levels))

    assert len(parsed(text(9), ".yaml")) == 10
    assert "c.yaml: found aliases that expand to more than 1,000,000 values" in refusal(text(59), ".yaml")


BROKEN: list[tuple[str, str, str]] = [
    ("workers = 1\nworkers = 2\n", ".toml", "not TOML, c.toml: found"),
    ("a = 1\nx = [1, }\n", ".toml", "at line 2"),
    ("x = " + "[" * 5000 + "]" * 5000, ".toml", "nested too deeply"),
    ('{"workers": 1,\n"workers": 2}', ".json", "duplicate key in a JSON object: 'workers' (line 1, 2)"),
    ('{"workers": 1,\n', ".json", "at line 2"),
    ("[1]", ".json", "not a table of settings, c.json: expected keys and their values, found list"),
    ('{"x": ' + "[" * 5000 + "]" * 5000 + "}", ".json", "nested too deeply"),
    ("workers: 1\nstatic: ignore\nworkers: 2\n", ".yaml", "duplicate key in a table: 'workers' at lines 1 and 3"),
    ("attrs: {a: 1, a: 2}", ".yaml", "'a' at lines 1 and 1"),
    ("a: 1\nb: [\n", ".yaml", "not YAML, c.yaml: found"),
    ("a: !!python/object/apply:os.getcwd []", ".yaml", "could not determine a constructor"),
    ("a: 1\n---\nb: 2\n", ".yaml", "line 2"),
    ("a: " + "[" * 5000 + "]" * 5000, ".yaml", "nested too deeply"),
    ("- a\n", ".yml", "found list"),
    ("text", ".yml", "found str"),
    ("attrs: &a {x: *a}", ".yaml", "nested too deeply"),
    ("variables: {on: {}}", ".yaml", "keys must be strings, c.yaml, line 1, variables: expected a name, found True"),
]


@pytest.mark.parametrize(("text", "suffix", "says"), BROKEN)
def test_broken_files(text: str, suffix: str, says: str) -> None:
    assert says in refusal(text, suffix)


@pytest.mark.parametrize("name", ["c.ini", "c", "c.toml.bak"])
def test_other_suffixes(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match=r"expected \.toml or \.json or \.yaml or \.yml"):
        load(tmp_path / name)


def test_yaml_needs_its_package(tmp_path: Path) -> None:
    code = "import sys; sys.modules['yaml'] = None; from zapz.config.files import load; load('c.yaml', {})"
    (tmp_path / "c.yaml").write_text("workers: 1")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "ConfigError" in done.stderr
    assert "pip install 'zapz[yaml]'" in done.stderr


def test_importing_reads_nothing_heavy() -> None:
    code = "import zapz.config.files, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"yaml", "tomli", "fsspec", "zarr"} & set(done.stdout.split())


# --- variables of the environment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$A", "1"),
        ("${A}", "1"),
        ("x${A}2$B_2.z", "x12two.z"),
        ("$$A", "$A"),
        ("$$$A", "$1"),
        ("$ 5", "$ 5"),
        ("^a$", "^a$"),
        ("$1", "$1"),
        ("$C", "$A"),  # what a variable holds is not looked into
        ("# $A", "# 1"),
    ],
)
def test_variables(text: str, found: str) -> None:
    assert substituted(text, "c", {"A": "1", "B_2": "two", "C": "$A"})[0] == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\n\n$NOPE", "not set, c, line 3: found $NOPE. Set the variable, or write $$ for a dollar sign."),
        ("${HOMES}", "Did you mean 'HOME'? Set the variable"),
        ("x\n${A:-1}", "invalid variable, c, line 2: expected ${NAME}, found ${A:-1}"),
        ("${}", "invalid variable"),
    ],
)
def test_variables_that_are_none(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        substituted(text, "c", {"HOME": "x", "A": "1"})
    assert says in str(caught.value)


def test_braces_around_nothing(tmp_path: Path) -> None:
    """With the environment of the process, which no name but text can be looked up in."""
    (tmp_path / "c.toml").write_text("append_dim = '${}'")
    with pytest.raises(ConfigError, match=r"invalid variable, .*line 1: expected"):
        resolve(tmp_path / "c.toml", {})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_variables_in_files(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / f"c{suffix}"
    file.write_text(written({"target_dir": "$PLACE/cube", "attrs": {"price": "$$5", "n": "${N}"}}, suffix))
    made = resolve(file, {}, {"PLACE": "s3://b", "N": "3"})
    assert (made.target_dir, made.attrs["price"], str(made.attrs["n"])) == ("s3://b/cube", "$5", "3")
    monkeypatch.setenv("PLACE", "/p")
    monkeypatch.setenv("N", "4")
    assert resolve(file, {}).target_dir == "/p/cube"


def test_variables_can_be_numbers() -> None:
    assert parsed("workers = $N", ".toml", N="3") == {"workers": 3}


# --- places -----------------------------------------------------------------------------------------------------------------------


def test_files_and_tables_merge_in_order(tmp_path: Path) -> None:
    for suffix, settings in (
        (".toml", {"workers": 1, "attrs": {"a": 1}}),
        (".json", {"workers": 2, "attrs": {"b": 2}}),
        (".yaml", {"workers": 3}),
    ):
        (tmp_path / f"c{suffix}").write_text(written(settings, suffix))
    order = [
        tmp_path / "c.toml",
        {"attrs": {"c": 3}, "static": "ignore"},
        str(tmp_path / "c.json"),
        tmp_path / "c.yaml",
    ]
    made = resolve(order, {"static": None})
    assert (made.workers, made.attrs, made.static) == (3, {"a": 1, "b": 2, "c": 3}, "equal")
    assert resolve(order, {"workers": 4}).workers == 4
    assert resolve(tuple(order[::-1]), {}).workers == 1


def test_paths_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.json").write_text('{"zarr_format": 3}')
    with fsspec.open("memory://configs/c.json", "wb") as stream:
        stream.write(b'{"zarr_format": 3}')
    for file in ("~/c.json", "c.json", Path("c.json"), f"file://{tmp_path}/c.json", "memory://configs/c.json"):
        assert resolve(file, {}).zarr_format == 3


@pytest.mark.parametrize(
    ("file", "says"),
    [("none.toml", "no such file"), (".", "is a directory"), ("memory://configs/none.toml", "none.toml"), ("nosuch://user:secret@host/c.toml", "nosuch://host/c.toml: found ValueError")],
)  # fmt: skip
def test_files_that_cannot_be_read(file: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        resolve(file, {})
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_suffix_of_a_chained_uri(tmp_path: Path) -> None:
    """A file in an archive is what its own name says; a query is no part of a name."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("c.json", '{"zarr_format": 3}')
    assert resolve(f"zip://c.json::file://{tmp_path}/a.zip", {}).zarr_format == 3
    (tmp_path / "c.json").write_text('{"zarr_format": 2}')
    assert resolve(f"simplecache::file://{tmp_path}/c.json", {}).zarr_format == 2


@pytest.mark.parametrize("place", ["{}", "simplecache::file://{}"])
def test_a_file_that_is_too_long(place: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"#" * ((16 << 20) + 1))
    with pytest.raises(ConfigError, match=r"too large, .*c\.toml: expected at most 16777216 bytes"):
        resolve(place.format(tmp_path / "c.toml"), {})


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        resolve(tmp_path / "c.toml", {})


# --- lines ------------------------------------------------------------------------------------------------------------------------

LINED: list[tuple[str, str, str]] = [
    (".toml", 'workers = 1\n\n# a comment\nstatci = "equal"\n', "line 4, statci"),
    (".toml", "[variables.chl]\n[variables.chl.encoding]\ndtype = 'int16'\nchnuks = [1]\n", "line 4, variables.chl.encoding.chnuks"),
    (".toml", "attrs.a = '''\n\n'''\nvariables.'*'.encoding.chunks = [\n 1,\n 0]\n", "line 4, variables.*.encoding.chunks[1]"),
    (".toml", "[[variables.c.encoding.filters]]\nid = 'a'\n[[variables.c.encoding.filters]]\nxx = 1\n", "line 3, variables.c.encoding.filters[1]"),
    (".json", '{"workers": 1,\n "variables":\n  {"chl": {\n   "encoding":\n    {"chnuks": 1}}}}', "line 5, variables.chl.encoding.chnuks"),
    (".json", '{"variables": {"a": {"encoding": {"filters": [{"id": "a"},\n {}]}}}}', "line 1, variables.a.encoding.filters[1]"),
    (".json", '{\n\n"workers": 0}', "line 3, workers"),
    (".yaml", "workers: 1\nvariables:\n  chl:\n    encoding:\n      # c\n      chnuks: 1\n", "line 6, variables.chl.encoding.chnuks"),
    (".yaml", "variables:\n  a:\n    encoding:\n      filters:\n      - id: a\n      - idd: b\n        id: 3\n", "line 4, variables.a.encoding.filters[1]"),
    (".yaml", "attrs:\n  a: 1\n  b: '{{ ds. }}'\n", "line 3, attrs.b"),
    (".toml", "workers = 1\nappend_step = 'P'\n", "line 2, append_step"),
    (".yaml", "a: &x {}\n", "line 1, a"),
    (".yaml", "attrs: $N\nworkers: 0\n", "line 2, workers"),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "text", "says"), LINED)
def test_messages_name_the_line(suffix: str, text: str, says: str) -> None:
    assert f", c{suffix}, {says}: " in refusal(text, suffix, N="{}")


NAMES = st.text(st.sampled_from("ab.\"'\\ é#=[]-_1"), min_size=1, max_size=4)
VALUES = st.recursive(
    st.one_of(st.integers(-5, 5), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text(st.sampled_from("a\"'\\\n#[]{}=,é"), max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)  # fmt: skip


def paths(value: Any, steps: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """All keys, by their path."""
    if isinstance(value, dict):
        return {p for k, v in value.items() for p in ({(*steps, k)} | paths(v, (*steps, k)))}
    return {p for n, v in enumerate(value) for p in paths(v, (*steps, n))} if isinstance(value, list) else set()


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_every_key_of_a_toml_document_has_its_line(settings: dict[str, Any]) -> None:
    """Each setting begins on a line of its own, so the line of a key is known; text over several lines is among them."""
    text, begins = "", {}
    for number, (name, value) in enumerate(settings.items()):
        begins[name] = text.count("\n") + 1
        text += (
            f"{json.dumps(name)} = {toml(value)}" + " # ] } \" '''\n" + f"z{number}_ = '''\n\"\n'''\n" * (number % 2)
        )
    whole = tomli.loads(text)
    lines = lines_of(text)
    assert set(lines) == paths(whole)
    assert {steps[0]: line for steps, line in lines.items() if steps[0] in settings} == begins


SPOTS = """\
a.b . "c.d" = 1
[x]  # 2
y = { z = 1, 'w' = [ { v = """
SPOTS += '"""\n"""} ] }\n[[l]]\n[l.m]\nn = 07:32:00.5\n[[ l ]]\nn = [\n 1, # ]\n {k = 1979-05-27 07:32:00}, 1_0.5e3]\n'


def test_lines_of_every_form() -> None:
    assert lines_of(SPOTS) == {
        **dict.fromkeys([("a",), ("a", "b"), ("a", "b", "c.d")], 1),
        ("x",): 2,
        **dict.fromkeys([("x", "y"), ("x", "y", "z"), ("x", "y", "w"), ("x", "y", "w", 0, "v")], 3),
        **dict.fromkeys([("l",), ("l", 0)], 5),
        ("l", 0, "m"): 6,
        ("l", 0, "m", "n"): 7,
        ("l", 1): 8,
        ("l", 1, "n"): 9,
        ("l", 1, "n", 1, "k"): 11,
    }
    assert paths(tomli.loads(SPOTS)) <= set(lines_of(SPOTS))


def test_the_command_line_takes_them_all(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("variables:\n  chl:\n    encoding:\n      chnuks: [1]\n")
    words = [sys.executable, "-m", "zapz", "append", "-c", "c.yaml", "cube.zarr", "none.zarr"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "c.yaml, line 4, variables.chl.encoding.chnuks" in " ".join(done.stderr.split())
    assert zapz.Config().workers is None
