"""Who may set what: settings by their origin, variables of the environment, and secrets that would be published."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kit import ROOT
from kit.trees import tree

import zapz
from zapz.cli.demo import write_slice
from zapz.config.files import load, resolve
from zapz.config.layers import NAMES, SETTINGS
from zapz.config.parsers import read
from zapz.config.reference import toml
from zapz.config.settings import Config
from zapz.config.trust import HARMLESS, PUBLISHED, UNFILED, Origin, looks_secret
from zapz.errors import ConfigError

REFUSED = {
    "target_dir", "target_storage_options", "slice_storage_options", "temp_storage_options", "temp_dir", "force_new", "slice_source", "slice_source_kwargs",
    "extra", "logging", "profiling", "single_writer", "follow_links", "journal", "durability", "consolidated", "on_existing", "dry_run", "workers", "prefetch",
    "memory_limit", "persist_mem_slices", "permit_eval", "trust_config", "slice_references", "resume_budget", "serve",
}  # fmt: skip
"""Settings that a file from elsewhere may not set. Whoever adds a setting decides whether it is one, or is listed as harmless."""

SUFFIXES = (".toml", ".json", ".yaml")
ELSEWHERE = "memory://trust"


@pytest.fixture(autouse=True)
def _empty_memory() -> Iterator[None]:
    yield
    fs = fsspec.filesystem("memory")
    if fs.exists("/trust"):
        fs.rm("/trust", recursive=True)


def text_of(settings: dict[str, Any], suffix: str) -> str:
    if suffix == ".toml":
        return "\n".join(f"{name} = {toml(value)}" for name, value in settings.items())
    return json.dumps(settings, indent=1) if suffix == ".json" else yaml.safe_dump(settings, sort_keys=False)


def put(text: str, suffix: str) -> str:
    """Put a file elsewhere and return its URI."""
    with fsspec.open(f"{ELSEWHERE}/c{suffix}", "wb") as stream:
        stream.write(text.encode())
    return f"{ELSEWHERE}/c{suffix}"


def refusal(config: Any, environment: dict[str, str] | None = None, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(config, settings, environment)
    return str(caught.value)


def example(name: str) -> Any:
    """A value other than None that the setting takes in a file."""
    key = SETTINGS.keys[name]
    value = key.example if key.example is not None else key.default
    return {"a": {}} if name == "variables" else json.loads(json.dumps(value))


# --- the table --------------------------------------------------------------------------------------------------------------------


def test_every_setting_is_listed_as_harmless_or_refused() -> None:
    assert set(NAMES) == HARMLESS | REFUSED
    assert not HARMLESS & REFUSED


def test_what_is_never_harmless() -> None:
    """Also a setting that is not there yet."""
    never = {"logging", "profiling", "slice_source", "slice_source_kwargs", "extra", "temp_dir", "target_dir", "force_new", "follow_links", "single_writer", "journal", "trust_config", "slice_references", "serve"}  # fmt: skip
    assert not HARMLESS & never
    assert not any(name.endswith("_storage_options") for name in HARMLESS)
    assert PUBLISHED < HARMLESS
    assert not HARMLESS & UNFILED


@pytest.mark.parametrize("name", sorted(HARMLESS))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_from_elsewhere_may_set_what_is_harmless(name: str, suffix: str) -> None:
    settings = {name: example(name)}
    assert resolve(put(text_of(settings, suffix), suffix), {}) == resolve(settings, {})


@pytest.mark.parametrize("name", sorted(REFUSED - UNFILED))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_from_elsewhere_may_set_nothing_else(name: str, suffix: str) -> None:
    settings = {"append_dim": "t", name: example(name)}
    text = text_of(settings, suffix)
    line = text.count("\n", 0, text.index(name)) + 1
    says = refusal(put(text, suffix))
    assert f"may not set, {ELSEWHERE}/c{suffix}, line {line}, {name}: found {name}" in says
    assert "--trust-config" in says


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_taking_back_is_setting(name: str) -> None:
    """Null would undo what an earlier, local file says."""
    assert f"line 1, {name}: found {name}" in refusal(put(json.dumps({name: None}), ".json"))


@pytest.mark.parametrize("name", sorted(set(NAMES) - UNFILED))
def test_callers_local_files_and_trusted_files_may_set_it(name: str, tmp_path: Path) -> None:
    settings = {name: example(name)}
    made = resolve(settings, {})
    assert resolve(None, settings) == made
    file = tmp_path / "c.json"
    file.write_text(json.dumps(settings))
    for local in (file, str(file), f"file://{file}", f"local://{file}"):
        assert resolve(local, {}) == made
    trusted = resolve(put(json.dumps(settings), ".json"), {"trust_config": True})
    assert {n: getattr(trusted, n) for n in NAMES if n != "trust_config"} == {
        n: getattr(made, n) for n in NAMES if n != "trust_config"
    }


def test_an_unknown_setting_is_still_called_unknown_and_an_alias_known() -> None:
    assert "unknown setting, memory://trust/c.json, line 1, append_dimm: " in refusal(
        put('{"append_dimm": 1}', ".json")
    )
    assert resolve(put('{"zarr_version": 2}', ".json"), {}).zarr_format == 2


def test_files_from_elsewhere_win_over_local_ones_only_where_they_may(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("workers = 3\nzarr_format = 2")
    made = resolve([tmp_path / "c.toml", put("zarr_format = 3", ".toml")], {})
    assert (made.workers, made.zarr_format) == (3, 3)


# --- what is local ------------------------------------------------------------------------------------------------------------------


def places(tmp_path: Path) -> list[str]:
    (tmp_path / "c.toml").write_text("workers = 3\nprofiling = '$HOME'")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "c.toml", "c.toml")
    put((tmp_path / "c.toml").read_text(), ".toml")
    return [
        f"{ELSEWHERE}/c.toml",
        f"simplecache::{ELSEWHERE}/c.toml",
        f"simplecache::file://{tmp_path}/c.toml",
        f"zip://c.toml::file://{tmp_path}/a.zip",
    ]


def test_every_chain_is_elsewhere(tmp_path: Path) -> None:
    for place in places(tmp_path):
        assert "may not use environment variables" in refusal(place), place
        assert load(place, {"HOME": "x"}, trusted=True).origin is Origin.LOCAL_FILE
    (tmp_path / "plain.toml").write_text("workers = 3")
    assert "may not set" in refusal(f"simplecache::file://{tmp_path}/plain.toml")


# --- variables of the environment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("variable", ["$PLACE", "${PLACE}", "${NOT_SET}", "${", "x$PLACE"])
def test_a_file_from_elsewhere_may_not_use_variables(suffix: str, variable: str) -> None:
    file = put(text_of({"append_dim": "$$t", "attrs": {"title": variable}}, suffix), suffix)
    line = {".toml": 2, ".json": 4, ".yaml": 3}[suffix]
    says = refusal(file, {"PLACE": "sesame"})
    assert f"may not use environment variables, {ELSEWHERE}/c{suffix}, line {line}: expected $$" in says
    assert f"found {variable.removeprefix('x')}" in says
    assert "--trust-config" in says
    assert "sesame" not in says


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_dollar_sign_can_be_written_everywhere(suffix: str) -> None:
    file = put(text_of({"attrs": {"price": "$$5", "name": "$${A}", "more": "5 $"}}, suffix), suffix)
    assert resolve(file, {}, {"A": "1"}).attrs == {"price": "$5", "name": "${A}", "more": "5 $"}


def test_a_trusted_file_uses_variables() -> None:
    file = put('target_dir = "$PLACE"', ".toml")
    assert resolve(file, {"trust_config": True}, {"PLACE": "p"}).target_dir == "p"


# --- trust_config ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("value", ["true", "false"])
def test_no_file_says_that_it_is_trusted(value: str, trusted: bool, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f"append_dim = 't'\ntrust_config = {value}")
    for file in (tmp_path / "c.toml", put((tmp_path / "c.toml").read_text(), ".toml")):
        says = refusal(file, **({"trust_config": True} if trusted else {}))
        assert "no file may set" in says
        assert f"{file}, line 2, trust_config" in says
        assert (
            "Remove it from the file. Use --trust-config on the command line, or trust_config=True in Python." in says
        )


def test_the_last_word_of_the_caller_counts() -> None:
    file = put("workers = 3", ".toml")
    yes, no = {"trust_config": True}, {"trust_config": False}
    for config, settings in (([yes, file], {}), ([file, yes], {}), ([no, file], yes)):
        assert resolve(config, settings).workers == 3
    for config, settings in (([yes, file], no), ([yes, file], {"trust_config": None}), ([yes, no, file], {}), ([file], no)):  # fmt: skip
        assert "may not set" in refusal(config, **settings)
    assert "expected true or false" in refusal(None, trust_config="yes")
    assert "may not set" in refusal(file, trust_config="yes")
    assert Config().trust_config is False


# --- from end to end ------------------------------------------------------------------------------------------------------------------


def zapz_says(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "zapz", "append", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_a_slice_source_from_elsewhere_does_not_run(tmp_path: Path) -> None:
    """Not in a dry run either; with --trust-config it does, and --trust-config comes to Typer's parser too."""
    write_slice(tmp_path / "day.zarr", 0)
    (tmp_path / "own.py").write_text("import pathlib\npathlib.Path('RAN').touch()\ndef same(path): return path\n")
    (tmp_path / "c.toml").write_text('slice_source = "own:same"')
    chained = f"simplecache::file://{tmp_path}/c.toml"
    before = tree(tmp_path)
    for dry in ([], ["--dry-run"]):
        code, said = zapz_says(tmp_path, "-c", chained, *dry, "cube.zarr", "day.zarr")
        assert (code, "c.toml, line 1, slice_source" in said) == (2, True), said
        assert tree(tmp_path) == before
    words = ["-c", chained, "--trust-config", "cube.zarr", "day.zarr"]
    assert zapz_says(tmp_path, *words)[0] == 0
    assert (tmp_path / "RAN").exists()
    (tmp_path / "RAN").unlink()
    assert zapz_says(tmp_path, "-qc", *words[1:])[0] == 0  # two flags in one word: not for the quick parser
    assert (tmp_path / "RAN").exists()
    assert zapz.info(tmp_path / "cube.zarr").dims["time"] == 1


@pytest.mark.parametrize("function", ["append", "plan", "info", "recover", "unlock", "vacuum"])
def test_every_function_asks_where_its_configuration_is_from(function: str, tmp_path: Path) -> None:
    write_slice(tmp_path / "cube.zarr", 0)
    write_slice(tmp_path / "day.zarr", 1)
    slices = [tmp_path / "day.zarr"] if function in {"append", "plan"} else []
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match="line 1, workers"):
        getattr(zapz, function)(tmp_path / "cube.zarr", *slices, config=put("workers = 1", ".toml"))
    assert tree(tmp_path) == before


def test_executing_a_plan_asks_too(tmp_path: Path) -> None:
    write_slice(tmp_path / "day.zarr", 0)
    plan = zapz.plan(tmp_path / "cube.zarr", tmp_path / "day.zarr")
    with pytest.raises(ConfigError, match="line 1, workers"):
        zapz.execute(plan, put("workers = 1", ".toml"))
    assert not (tmp_path / "cube.zarr").exists()


# --- secrets --------------------------------------------------------------------------------------------------------------------------

ENVIRONMENT = {"DB_PASSWORD": "sesame", "SHORT_TOKEN": "e", "PORT_SECRET": "5", "EMPTY_SECRET": "", "TABLE_SECRET": '{"a": "sesame"}', "PLACE": "p"}  # fmt: skip

SECRET = "DB_PASSWORD"
LEAKS: list[tuple[str, str, str, int]] = [  # suffix, text, setting, line of the variable
    (".toml", 'attrs.a = "${DB_PASSWORD}"', "attrs", 1),
    (".toml", '[attrs]\n# c\na = "pre${DB_PASSWORD}post"', "attrs", 3),
    (".toml", '[attrs]\n"x${DB_PASSWORD}" = 1', "attrs", 2),
    (".toml", "[attrs.$DB_PASSWORD]\na = 1", "attrs", 1),
    (".toml", "[[attrs.a]]\nb = {c = [1,\n'$DB_PASSWORD']}", "attrs", 3),
    (".toml", 'attrs = {a = """\n$DB_PASSWORD"""}', "attrs", 2),
    (".toml", '"attrs".a = [{b = "$DB_PASSWORD"}]', "attrs", 1),
    (".toml", '[variables.chl.attrs]\na = "$DB_PASSWORD"', "variables", 2),
    (".toml", 'variables."*".encoding.units = "days since $DB_PASSWORD"', "variables", 1),
    (".toml", '[variables."$DB_PASSWORD"]', "variables", 1),
    (".json", '{"attrs": {"a": "$DB_PASSWORD"}}', "attrs", 1),
    (".json", '{"attrs":\n {"a": [{"b": "pre${DB_PASSWORD}post"}]}}', "attrs", 2),
    (".json", '{"attrs": {"${DB_PASSWORD}": 1}}', "attrs", 1),
    (".json", '{"\\u0061ttrs": {"a": "$DB_PASSWORD"}}', "attrs", 1),
    (".json", '{"append_dim": "t",\n"variables": {"a": {"encoding": {"units": "$DB_PASSWORD"}}}}', "variables", 2),
    (".yaml", "attrs:\n  a: $DB_PASSWORD", "attrs", 2),
    (".yaml", "attrs:\n  a: pre${DB_PASSWORD}post\n", "attrs", 2),
    (".yaml", "attrs:\n  pre${DB_PASSWORD}post: 1\n", "attrs", 2),
    (".yaml", "attrs:\n  a: |\n    text\n    $DB_PASSWORD\n", "attrs", 4),
    (".yaml", "attrs: {a: [1, {b: '$DB_PASSWORD'}]}", "attrs", 1),
    (".yaml", "extra: {x: &a $DB_PASSWORD}\nattrs: {t: *a}\n", "attrs", 1),
    (".yaml", "extra: {x: &a {y: $DB_PASSWORD}}\nattrs:\n  <<: *a\n", "attrs", 1),
    (".yaml", "extra: {x: &a {attrs: {y: $DB_PASSWORD}}}\n<<: *a\n", "attrs", 1),
    (".yaml", "extra: {x: &a {attrs: {y: $DB_PASSWORD}}}\n<<: [*a]\n", "attrs", 1),
    (".yaml", "variables:\n  chl:\n    attrs: {a: !!str $DB_PASSWORD}", "variables", 3),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "text", "setting", "line"), LEAKS)
def test_a_secret_is_not_published(suffix: str, text: str, setting: str, line: int, tmp_path: Path) -> None:
    file = tmp_path / f"c{suffix}"
    file.write_text(text)
    says = refusal(file, ENVIRONMENT)
    assert f"published in the target's metadata, {file}, line {line}, {setting}: " in says
    assert "found ${DB_PASSWORD}" in says
    assert "sesame" not in says
    file.write_text(text.replace("DB_PASSWORD", "PLACE"))
    resolve(file, {}, ENVIRONMENT)  # what is no secret may stand there


@pytest.mark.parametrize(("suffix", "text"), [(".toml", "attrs.n = $PORT_SECRET"), (".json", '{"attrs": $TABLE_SECRET}'), (".yaml", "attrs: {n: $PORT_SECRET}"), (".toml", "attrs = {n = 1$PORT_SECRET}"), (".yaml", "attrs:\n  n: 1.$PORT_SECRET")])  # fmt: skip
def test_a_secret_may_be_a_number_or_a_table(suffix: str, text: str, tmp_path: Path) -> None:
    (tmp_path / f"c{suffix}").write_text(text)
    assert "published" in refusal(tmp_path / f"c{suffix}", ENVIRONMENT)


def test_a_trusted_file_publishes_no_secret_either() -> None:
    assert "published" in refusal(put("attrs.a = '$DB_PASSWORD'", ".toml"), ENVIRONMENT, trust_config=True)


FINE: list[tuple[str, str]] = [
    (".toml", "target_storage_options = {key = '$DB_PASSWORD', e = '$SHORT_TOKEN'}\nattrs = {title = 'sesame e 5'}"),
    (".toml", "[attrs]\n# $DB_PASSWORD\na = [ # ${SHORT_TOKEN}\n 5 ]\n[slice_storage_options]\na = '$PORT_SECRET'\n"),
    (".toml", "target_dir = 'https://u:$DB_PASSWORD@h/t'\nextra.a = '$DB_PASSWORD'\nattrs.sesame = 5"),
    (".json", '{"attrs": {"a": "e 5 sesame"}, "slice_source_kwargs": {"token": "$SHORT_TOKEN", "n": $PORT_SECRET}}'),
    (".json", '{"target_storage_options": $TABLE_SECRET, "attrs": {"a": "sesame"}}'),
    (".yaml", "target_storage_options: {key: $SHORT_TOKEN, n: $PORT_SECRET}\nattrs: {e: 5} # $DB_PASSWORD\n"),
    (".yaml", "attrs: {e: 5}\nextra:\n  <<: {k: $DB_PASSWORD}\n"),
    (".toml", "attrs.a = 'x$EMPTY_SECRET'"),
]


@pytest.mark.parametrize(("suffix", "text"), FINE)
def test_secrets_belong_in_options_and_nothing_else_is_taken_for_one(suffix: str, text: str, tmp_path: Path) -> None:
    (tmp_path / f"c{suffix}").write_text(text)
    resolve(tmp_path / f"c{suffix}", {}, ENVIRONMENT)


NAMES_OF_KEYS = st.text(st.sampled_from("ab \"'\\é#=:[]{}-&*|>\U0001f30d"), min_size=1, max_size=4)
TREES = st.recursive(
    st.integers(0, 9) | st.booleans() | st.text(st.sampled_from("sesame \"'\\\n#=:[]{}-&*|>é\U0001f30d"), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES_OF_KEYS, inner, max_size=3),
    max_leaves=8,
)
TABLES = st.dictionaries(NAMES_OF_KEYS, TREES, max_size=3)


@given(TABLES, TABLES, st.sampled_from(["attrs", "extra"]), st.booleans(), st.sampled_from([*SUFFIXES, ".yml"]), st.sampled_from(["${DB_PASSWORD}", "x${SHORT_TOKEN}y", "$PORT_SECRET"]))  # fmt: skip
def test_a_secret_is_found_wherever_it_stands(
    attrs: dict[str, Any], extra: dict[str, Any], where: str, as_key: bool, suffix: str, variable: str
) -> None:
    """In a value or in a key, among whatever else, beside what equals it; and nowhere else."""
    settings: dict[str, Any] = {"attrs": attrs, "extra": extra}
    settings[where]["here"] = [attrs, {variable: 1} if as_key else variable] if where == "extra" else {"a": [extra, {variable: 2} if as_key else variable]}  # fmt: skip
    if suffix == ".yml":
        text = yaml.safe_dump(settings, sort_keys=False, default_flow_style=True, allow_unicode=True)
    else:
        text = text_of(settings, suffix)
    if where == "attrs":
        with pytest.raises(ConfigError, match="published"):
            read(text, suffix, "c", ENVIRONMENT)
    else:
        read(text, suffix, "c", ENVIRONMENT)


def test_names_of_secrets() -> None:
    secret = "AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SESSION_TOKEN token DB_PASSWORD MYSQL_PWD SMTP_PASS GITHUB_PAT GOOGLE_APPLICATION_CREDENTIALS CDSAPI_KEY XAPIKEY API_KEY PRIVATE_KEY AZURE_STORAGE_ACCOUNT_KEY AZURE_STORAGE_CONNECTION_STRING AZURE_STORAGE_SAS_TOKEN PGPASSWORD MyPasswd ACCESSKEY SSH_KEY"  # fmt: skip
    plain = "PWD OLDPWD HOME USER TITLE AUTHOR ORBIT PASS_NUMBER PATH CUBE_YEAR KEYWORDS MONKEY PATTERN VERSION SENSOR"
    assert [name for name in secret.split() if not looks_secret(name)] == []
    assert [name for name in plain.split() if looks_secret(name)] == []


# --- the page -------------------------------------------------------------------------------------------------------------------------

PAGE = ROOT / "docs" / "configuration-trust.md"


def test_the_page_lists_what_is_harmless() -> None:
    listed = PAGE.read_text(encoding="utf-8").partition("<!-- harmless -->")[2].partition("<!-- end of harmless -->")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == HARMLESS
