"""The setting ``serve`` as one value: defaults, what must not be exposed by mistake, and datasets that are read again."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zapz
from zapz.config.assignments import assigned
from zapz.config.files import local_files, resolve
from zapz.config.layers import make
from zapz.config.reference import keys_by_path
from zapz.config.serve_settings import ServedDataset, ServeSettings, is_loopback, reread, serve_settings
from zapz.config.serve_types import SERVE, is_name
from zapz.errors import ConfigError

PLACE = {"cube": {"place": "cube.zarr"}}


def settings(**serve: Any) -> ServeSettings:
    return serve_settings(make({"serve": serve}))


def refusal(**serve: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        settings(**serve)
    assert caught.value.exit_code == 2
    assert caught.value.expected
    assert caught.value.hint
    return caught.value


# -- defaults ----------------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    made = serve_settings(zapz.Config())
    assert made == ServeSettings(
        host="127.0.0.1",
        port=8080,
        workers=1,
        refresh=1.0,
        max_inflight=64,
        max_memory=1 << 30,
        cors=(),
        allowed_hosts=(),
        token_file=None,
        public=False,
        stdlib=False,
        log=False,
        datasets=(),
    )


def test_each_key_arrives() -> None:
    """A key that is declared is a field, and what is set there is found there."""
    assert [field.name for field in fields(ServeSettings)] == list(SERVE.keys)
    given = {
        "host": "localhost",
        "port": 0,
        "workers": 3,
        "refresh": 0.5,
        "max_inflight": 2,
        "max_memory": "2kB",
        "cors": ["https://a.org"],
        "allowed_hosts": ["b.org"],
        "token_file": Path("t"),
        "public": True,
        "stdlib": True,
        "log": True,
    }
    made = settings(**given, datasets=PLACE)
    expected = {**given, "max_memory": 2000, "cors": ("https://a.org",), "allowed_hosts": ("b.org",), "token_file": "t"}
    assert {name: getattr(made, name) for name in given} == expected
    assert set(given) == set(SERVE.keys) - {"datasets"}


def test_each_key_of_a_dataset_arrives() -> None:
    variables = {"a": {"encoding": {"chunks": [1, None], "compressor": {"id": "zstd"}}, "attrs": {"units": "1"}}}
    made = settings(
        datasets={
            "b": {"place": "s3://x/b.zarr", "storage_options": {"anon": True}, "title": "B"},
            "a": {"factory": "m:f", "format": 2, "variables": variables},
        }
    )
    assert made.datasets == (
        ServedDataset(name="b", place="s3://x/b.zarr", storage_options={"anon": True}, title="B"),
        ServedDataset(
            name="a",
            factory="m:f",
            format=2,
            variables={"a": {"encoding": {"chunks": (1, None), "compressor": {"id": "zstd"}}, "attrs": {"units": "1"}}},
        ),
    )
    keys = {path.rpartition(".")[2] for path in keys_by_path() if path.startswith("serve.datasets.NAME.")}
    assert {field.name for field in fields(ServedDataset)} == keys | {"name", "fixed"}


def test_settings_can_be_sent_to_workers_and_show_no_secret() -> None:
    config = make(
        {"serve": {"datasets": {"cube": {"place": "s3://b/c", "storage_options": {"secret": "sesame"}}}}},
    )
    made = serve_settings(config)
    assert pickle.loads(pickle.dumps(made)) == made
    assert pickle.loads(pickle.dumps(config)) == config
    assert "sesame" not in repr(made) + repr(config)


def test_later_layers_win_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[serve]\nport = 1\nlog = true\ncors = ["https://a.org"]\n[serve.datasets]\na.place = "x"\nb.place = "y"\n'
    )
    made = serve_settings(
        resolve(
            [tmp_path / "a.toml", assigned("serve.datasets.b.title=B"), assigned("serve.datasets.c.factory=m:f")],
            {"serve": {"port": 2, "cors": ["https://b.org"]}},
        )
    )
    assert (made.port, made.log, made.cors) == (2, True, ("https://b.org",))
    assert [(each.name, each.place, each.title) for each in made.datasets] == [
        ("a", "x", None),
        ("b", "y", "B"),
        ("c", None, None),
    ]


def test_null_resets_a_key(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"serve": {"port": 1, "token_file": "t", "datasets": {"a": {"place": "x"}}}}')
    made = serve_settings(
        resolve(tmp_path / "a.json", {"serve": {"port": None, "token_file": None, "datasets": {"a": None}}})
    )
    assert made == serve_settings(zapz.Config())


# -- exposure ----------------------------------------------------------------------------------------------------------

LOOPBACK = ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LocalHost", "localhost."]
BEYOND = ["0.0.0.0", "::", "[::]", "192.168.1.2", "example.org", "localhost.example.org", "127.0.0.1.example.org", "::2", "128.0.0.1", "1", "127"]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert settings(host=host).host == host.strip("[]")
    assert is_loopback(host.strip("[]"))


@pytest.mark.parametrize("host", BEYOND)
def test_other_machines_need_a_token_or_public_data(host: str) -> None:
    error = refusal(host=host)
    assert (error.where, error.found) == ("serve.host", repr(host.strip("[]")))
    assert "`--token-file FILE`" in error.hint
    assert "`--public`" in error.hint
    assert settings(host=host, token_file="t").token_file == "t"
    assert settings(host=host, public=True).public


def test_any_origin_only_if_the_data_are_public() -> None:
    for cors in (["*"], ["https://a.org", "*"]):
        error = refusal(cors=cors, token_file="t")
        assert (error.where, error.found) == ("serve.cors", "'*'")
        assert "`--public`" in error.hint
        assert settings(cors=cors, public=True).cors == tuple(cors)


def test_public_data_are_open_to_any_origin_unless_origins_are_named() -> None:
    assert settings(public=True).cors == ("*",)
    assert settings(public=True, cors=[]).cors == ()
    assert settings(public=True, cors=["https://a.org"]).cors == ("https://a.org",)


# -- datasets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "where", "found"),
    [
        ({}, "", "neither"),
        ({"title": "x"}, "", "neither"),
        ({"place": "x", "factory": "m:f"}, "", "both"),
        ({"place": "x", "format": 2}, ".format", ""),
        ({"place": "x", "variables": {}}, ".variables", ""),
        ({"factory": "m:f", "storage_options": {}}, ".storage_options", ""),
    ],
)
def test_a_dataset_has_one_source_and_what_belongs_to_it(entry: dict[str, Any], where: str, found: str) -> None:
    error = refusal(datasets={**PLACE, "a": entry})
    assert (error.where, error.found) == (f"serve.datasets.a{where}", found)


def test_an_append_does_not_look_at_it(tmp_path: Path) -> None:
    """Neither at what needs several keys, nor at places that do not exist."""
    slice_ = {"time": ("time", [0]), "v": (("time", "x"), [[1.0]])}
    report = zapz.append(tmp_path / "t", slice_, {"serve": {"host": "0.0.0.0", "datasets": {"a": {}}}})
    assert report.appended == 1


LETTERS = "aZ0-_.v2 /é@:%\n"


@given(st.text(st.sampled_from(LETTERS), max_size=6) | st.sampled_from(["healthz", "metrics", "healthz2", "a.v3", "v3"]))  # fmt: skip
def test_names(name: str) -> None:
    """As the rule says, word by word."""
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    parts = name.split(".")
    good = set(name) <= allowed and all(parts) and name not in {"healthz", "metrics"}
    assert is_name(name) is (good and not (len(parts) > 1 and parts[-1] in {"v2", "v3"}))


# -- read again --------------------------------------------------------------------------------------------------------


def test_files_are_read_again(tmp_path: Path) -> None:
    """Datasets of files come, change and go; those of the command line stay, and so does all else."""
    file, other = tmp_path / "a.toml", tmp_path / "b.toml"
    file.write_text('serve.port = 1\nserve.datasets.a.place = "x"\nserve.datasets.b.place = "y"')
    other.write_text("static = 1")
    layers = [str(file), other, assigned("serve.datasets.s.place=set")]
    given = ServedDataset(name="given", place="g", fixed=True)
    first = serve_settings(resolve(layers, {"serve": {"host": "::1"}}))
    first = replace(first, datasets=(*first.datasets, given))
    assert reread(first, layers) == first
    file.write_text(
        'serve.port = 2\nserve.datasets.b.place = "z"\nserve.datasets.given.place = "h"\nserve.datasets.n.place = "n"'
    )
    again = reread(first, layers)
    assert {each.name: each.place for each in again.datasets} == {"b": "z", "given": "g", "n": "n", "s": "set"}
    assert replace(again, datasets=()) == replace(first, datasets=())
    file.write_text("serve.datasets.a = {}")
    with pytest.raises(ConfigError, match="needs one source"):
        reread(first, layers)
    assert local_files(layers) == (str(file), str(other))


def test_files_elsewhere_cannot_be_watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_files(["a.toml", "s3://b/c.toml", f"file://{tmp_path}/d.toml"]) == tuple(
        str(tmp_path / name) for name in ("a.toml", "d.toml")
    )


def test_ports_and_addresses_of_origins() -> None:
    """As a browser sends them: otherwise no request would match."""
    for scheme, port in itertools.product(("http", "https"), (80, 443)):
        default = {"http": 80, "https": 443}[scheme] == port
        assert settings(cors=[f"{scheme}://A.org:{port}"]).cors == (
            f"{scheme}://a.org" + ("" if default else f":{port}"),
        )
