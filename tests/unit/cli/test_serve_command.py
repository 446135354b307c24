"""``zapz serve``: what the command line makes of its words, files and flags, and what it refuses before a server starts."""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.command_line import Said, cli, run_into
from kit.stub_service import FREE, StubService, install
from kit.terminals import Terminal

import zapz
from zapz.cli.serve_command import EXAMPLES
from zapz.config.files import local_files
from zapz.config.serve_settings import ServedDataset, ServeSettings, reread, serve_settings
from zapz.config.serve_types import is_name
from zapz.config.settings import Config
from zapz.errors import ConfigError
from zapz.server.arguments import name_of
from zapz.server.token_file import read_tokens

TOKEN = "Zm9vYmFy-sesame"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path / "work"


@pytest.fixture
def service(here: Path, monkeypatch: pytest.MonkeyPatch) -> StubService:
    return install(monkeypatch)


def served(service: StubService, *words: object) -> ServeSettings:
    """What the service is asked for."""
    said = cli("serve", *words)
    assert (said.code, said.err) == (0, ""), said
    return service.settings[0]


def refused(service: StubService, *words: object) -> str:
    """What is said of words that are wrong; nothing is served, and nothing printed on standard output."""
    said = cli("serve", *words)
    assert (said.code, said.out) == (2, ""), said
    assert said.err.startswith("zapz: ")
    assert not service.settings
    return said.err


def followed(said: str) -> list[list[str]]:
    """The words between backticks of a message, as a shell has them."""
    return [shlex.split(each) for each in re.findall(r"`([^`]*)`", said)]


# -- datasets ----------------------------------------------------------------------------------------------------------


def test_a_place_is_served_and_said(service: StubService) -> None:
    said = cli("serve", "cube.zarr", "-p", 8000)
    assert said == Said(0, "Serving cube at http://127.0.0.1:8000/cube/\nPress Ctrl-C to stop.\n", "")
    assert service.settings == [
        serve_settings_with(ServedDataset(name="cube", place="cube.zarr", fixed=True), port=8000)
    ]


def serve_settings_with(*datasets: ServedDataset, **given: Any) -> ServeSettings:
    made = serve_settings(Config(serve=given))
    return ServeSettings(**{**{name: getattr(made, name) for name in made.__slots__}, "datasets": datasets})


def test_names_of_ones_own_and_factories(here: Path, service: StubService) -> None:
    """The current folder is searched for modules; a name may be that of another kind of thing."""
    (here / "my_cubes.py").write_text("def make(): return {}\n")
    found = served(service, "a.b-c_1=s3://bucket/x=1/cube.zarr", "my_cubes:make", "other=my_cubes:make").datasets
    assert [(each.name, each.place, each.factory) for each in found] == [
        ("a.b-c_1", "s3://bucket/x=1/cube.zarr", None),
        ("make", None, "my_cubes:make"),
        ("other", None, "my_cubes:make"),
    ]


def test_what_lies_there_is_a_path(here: Path, service: StubService) -> None:
    """Also if it looks like a factory, or like a name before a place."""
    for name in ("json:dumps", "year=2024"):
        (here / name).mkdir()
    found = served(service, "json:dumps", "year=2024").datasets
    assert [(each.name, each.place) for each in found] == [("json-dumps", "json:dumps"), ("year-2024", "year=2024")]
    found = served(service, "./month=06/cube.zarr", "month=06/cube.zarr").datasets
    assert [(each.name, each.place) for each in found] == [("cube", "./month=06/cube.zarr"), ("month", "06/cube.zarr")]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("cube.zarr", "cube"),
        ("/data/cube.zarr/", "cube"),
        ("cube.levels", "cube"),
        ("cube.zarr.zip", "cube"),
        ("cube", "cube"),
        ("cube.v3.zarr", "cube-v3"),
        ("v3", "v3"),
        ("sst 2024/06.zarr", "06"),
        ("sst,2024 (new).zarr", "sst-2024--new-"),
        (".hidden", "-hidden"),
        ("a..b", "a-.b"),
        ("Größe", "Gr--e"),
        ("file:///data/cube.zarr", "cube"),
        ("s3://bucket", "bucket"),
        ("s3://bucket/a/cube.zarr", "cube"),
        ("https://me:pass@h/cube.zarr?key=sesame/x", "cube"),
        ("zip://inner.zarr::s3://bucket/a.zip", "inner"),
        ("zip://::s3://bucket/a.zip", "a"),
        ("simplecache::s3://bucket/cube.zarr", "cube"),
        ("healthz.zarr", None),
        ("日本.zarr", None),
        ("/", None),
        (".zarr", None),
    ],
)
def test_names_from_places(place: str, name: str | None) -> None:
    assert name_of(place) == name


def test_the_current_folder_has_a_name(here: Path) -> None:
    assert name_of(".") == "work"


@given(st.text(st.sampled_from("aZ0-_.v2 /é@:%?#\\"), max_size=8))
def test_names_that_are_derived_are_names(place: str) -> None:
    name = name_of(f"/x/{place}")
    assert name is None or is_name(name)


def test_two_equal_names_need_a_name_and_the_hint_gives_one(service: StubService) -> None:
    said = refused(service, "a/cube.zarr", "b/my cube.zarr", "c/my-cube.zarr")
    assert "found 'my-cube', the name of b/my cube.zarr." in said
    ((word,),) = followed(said)
    assert word == "my-cube-2=c/my-cube.zarr"
    assert [each.name for each in served(service, "a/cube.zarr", "b/my cube.zarr", word).datasets] == [
        "cube",
        "my-cube",
        "my-cube-2",
    ]


def test_a_name_that_is_given_twice(service: StubService) -> None:
    assert "found 'a', the name of a=x" in refused(service, "a=x", "a=y")
    ((word,),) = followed(refused(service, "a=x", "a-2=y", "a=z"))
    assert word == "a-3=z"


@pytest.mark.parametrize("place", ["healthz.zarr", "日本.zarr", "/"])
def test_a_place_without_a_name_needs_one_and_the_hint_gives_one(place: str, service: StubService) -> None:
    said = refused(service, place)
    assert 'A name has letters, digits, "-", "_" and inner dots' in said
    ((word,),) = followed(said)
    assert [(each.name, each.place) for each in served(service, word).datasets] == [("data", place)]


@pytest.mark.parametrize("name", ["a.v2", "healthz", "a b", "", "a@1"])
def test_names_that_cannot_be(name: str, service: StubService) -> None:
    """They may be meant as a path, and the hint says how to write it then."""
    said = refused(service, f"{name}=x")
    assert f"found {name!r}" in said
    ((word,),) = followed(said)
    assert [each.place for each in served(service, f"p={word}").datasets] == [f"./{name}=x"]


def test_a_name_without_a_place(service: StubService) -> None:
    assert "expected NAME=PLACE" in refused(service, "a=")


def test_options_of_places_are_those_of_the_target(here: Path, service: StubService) -> None:
    """Flags and the setting; not for factories, nor for places of a file, which have their own."""
    (here / "c.toml").write_text(
        'target_storage_options = {anon = true}\nserve.datasets.f = {place = "s3://b/f", storage_options = {key = "k"}}'
    )
    found = served(service, "-c", "c.toml", "--target-option", "n=1", "s3://b/c", "json:dumps").datasets
    assert {each.name: each.storage_options for each in found} == {
        "f": {"key": "k"},
        "c": {"anon": True, "n": 1},
        "dumps": {},
    }
    assert "--target-option" in refused_again(service, "--target-option", "n", "s3://b/c")


def refused_again(service: StubService, *words: object) -> str:
    service.settings.clear()
    return refused(service, *words)


def test_nothing_to_serve(service: StubService) -> None:
    """The hint's lines work."""
    said = refused(service)
    assert "expected datasets, as arguments or in a table [serve.datasets]" in said
    example, more = followed(said)
    assert served(service, *example[2:]).datasets[0].name == "cube"
    assert "Examples:" in cli(*more[1:]).out


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("no_such_module:make", "no such module, no_such_module:make: expected MODULE:FUNCTION"),
        ("my_cubes:mak", "Did you mean 'my_cubes:make'?"),
        ("my_cubes:number", "not callable"),
        ("broken:make", "module 'broken' cannot be imported"),
    ],
)
def test_factories_that_are_not_there(factory: str, says: str, here: Path, service: StubService) -> None:
    (here / "my_cubes.py").write_text("number = 1\ndef make(): return {}\n")
    (here / "broken.py").write_text("1 / 0\n")
    try:
        said = refused(service, factory)
        assert says in said
        assert f", {factory}: " in said
        assert "slice_source" not in said
        said = refused(service, "-s", f"serve.datasets.a.factory={factory}")
        assert "serve.datasets.a.factory: " in said
    finally:
        sys.modules.pop("my_cubes", None)


# -- settings ----------------------------------------------------------------------------------------------------------


def test_each_flag_is_a_key(service: StubService) -> None:
    words = "cube.zarr --host localhost --port 0 --workers 2 --refresh 0.5 --max-inflight 3 --max-memory 2GiB --cors https://a.org --cors http://b.org:1 --allowed-host D.org --public --stdlib --log"
    assert served(service, *words.split()) == serve_settings_with(
        ServedDataset(name="cube", place="cube.zarr", fixed=True),
        host="localhost",
        port=0,
        workers=2,
        refresh=0.5,
        max_inflight=3,
        max_memory=2 << 30,
        cors=("https://a.org", "http://b.org:1"),
        allowed_hosts=("d.org",),
        public=True,
        stdlib=True,
        log=True,
    )


def test_flags_override_a_file_and_places_are_added(here: Path, service: StubService) -> None:
    (here / "c.toml").write_text(
        '[serve]\nport = 1\nlog = true\ncors = ["https://a.org"]\n[serve.datasets]\na.place = "x"\nb.place = "y"\n'
    )
    made = served(service, "-c", "c.toml", "-s", "serve.workers=2", "--port", 2, "b=z", "c.zarr")
    assert (made.port, made.log, made.workers, made.cors) == (2, True, 2, ("https://a.org",))
    assert [(each.name, each.place, each.fixed) for each in made.datasets] == [
        ("a", "x", False),
        ("b", "z", True),
        ("c", "c.zarr", True),
    ]
    assert "found 'b', the name of [serve.datasets.b]" in refused_again(service, "-c", "c.toml", "other/b.zarr")


def test_the_service_gets_what_it_needs_to_read_again(here: Path, service: StubService) -> None:
    (here / "c.toml").write_text('serve.datasets.a.place = "x"')
    made = served(service, "-c", "c.toml", "-s", "serve.datasets.s.place=w", "--host", "::1", "b=y")
    (layers,) = service.layers
    assert local_files(layers) == (str(here / "c.toml"),)
    assert reread(made, layers) == made
    (here / "c.toml").write_text('serve.datasets.n.place = "z"')
    assert [each.name for each in reread(made, layers).datasets] == ["n", "s", "b"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--port 65536", "--port: expected an integer from 0 to 65535, found 65536"),
        ("--port x", "not a number, --port: expected an integer. See `zapz serve --help`."),
        ("--workers x", "not a number, --workers: expected an integer."),
        ("--max-inflight x", "not a number, --max-inflight: expected an integer."),
        ("--refresh x", "not a number, --refresh: expected a number."),
        ("--workers 0", "--workers: expected an integer from 1, found 0"),
        ("--refresh -1", "--refresh: expected a number from 0"),
        ("--max-memory much", '--max-memory: expected an integer from 1 or a size such as "512MB" or "2GiB"'),
        ("--cors https://a.org/maps", "--cors: expected an origin"),
        ("--allowed-host a.org:80", "--allowed-host: expected a host name without port"),
        ("-s serve.prot=1", "--set serve.prot: found 'prot'. Did you mean 'port'"),
    ],
)
def test_values_that_cannot_be(words: str, says: str, service: StubService) -> None:
    assert says in refused(service, "cube.zarr", *words.split())


def test_a_discovered_file_may_not_say_it_but_a_named_one_may(here: Path, service: StubService) -> None:
    """The hint's words work."""
    (here / "zapz.toml").write_text('[serve.datasets]\na.factory = "json:dumps"\n')
    said = cli("serve", "cube.zarr")
    assert (said.code, said.out) == (2, "")
    assert "a setting that an unnamed configuration file may not set, zapz.toml, line 1, serve" in said.err
    assert not service.settings
    name_it, ignore_it, *_ = followed(said.err.partition("\n")[2])
    assert [each.name for each in served(service, *name_it).datasets] == ["a"]
    assert [each.name for each in served(service, *ignore_it, "cube.zarr").datasets] == ["cube"]


# -- exposure ----------------------------------------------------------------------------------------------------------


def tokens(here: Path, text: str = f"{TOKEN}\n", mode: int = 0o600) -> Path:
    file = here / "my tokens.txt"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_beyond_this_machine_the_hints_flags_work(here: Path, service: StubService) -> None:
    tokens(here)
    words = ["cube.zarr", "--host", "0.0.0.0", "--port", 80]
    token_file, public, *_ = followed(refused(service, *words))
    assert token_file == ["--token-file", "FILE"]
    with_tokens = served(service, *words, token_file[0], "my tokens.txt")
    assert (with_tokens.token_file, with_tokens.public) == ("my tokens.txt", False)
    assert served(service, *words, *public).public


def test_any_origin_the_hints_flag_works(service: StubService) -> None:
    flag, *_ = followed(refused(service, "cube.zarr", "--cors", "*"))
    assert served(service, "cube.zarr", "--cors", "*", *flag).cors == ("*",)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o610])
def test_a_token_file_that_others_can_read_the_hints_command_works(mode: int, here: Path, service: StubService) -> None:
    file = tokens(here, mode=mode)
    said = refused(service, "cube.zarr", "--token-file", "my tokens.txt")
    assert f"expected mode 600, found mode {mode:03o}" in said
    assert TOKEN not in said
    (command,) = re.findall(r"`([^`]*)`", said)
    subprocess.run(["bash", "-c", command], check=True, cwd=here)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert served(service, "cube.zarr", "--token-file", "my tokens.txt").token_file == "my tokens.txt"


@pytest.mark.parametrize("text", [None, "", "\n \n", "# only\n  # comments\n"])
def test_a_token_file_without_tokens_the_hints_command_works(
    text: str | None, here: Path, service: StubService
) -> None:
    if text is not None:
        tokens(here, text)
    said = refused(service, "cube.zarr", "--token-file", "my tokens.txt")
    (command,) = re.findall(r"`([^`]*)`", said)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", command], check=True, cwd=here, env={**os.environ, "PATH": path})
    served(service, "cube.zarr", "--token-file", "my tokens.txt")
    (token,) = read_tokens("my tokens.txt")
    assert len(token) > 40


def test_tokens_and_comments(here: Path) -> None:
    text = f"\ufeff# for Anna\n{TOKEN}\n\n  b64/+~.-_== # Ben\r\n{TOKEN}\nlast"
    file = here / "t"
    file.write_bytes(text.encode())
    file.chmod(0o600)
    assert read_tokens(str(file)) == (TOKEN, "b64/+~.-_==", "last")
    (here / "link").symlink_to(file)
    assert len(read_tokens(str(here / "link"))) == 3


@pytest.mark.parametrize("line", [f"{TOKEN} x", f"{TOKEN}ö", f'"{TOKEN}"', f"Bearer {TOKEN}", f"{TOKEN}=x"])
def test_lines_that_are_no_tokens_are_not_shown(line: str, here: Path, service: StubService) -> None:
    tokens(here, f"good\n{line}\n")
    said = refused(service, "cube.zarr", "--token-file", "my tokens.txt")
    assert "my tokens.txt, line 2: " in said
    assert "sesame" not in said


def test_files_that_are_no_text(here: Path, service: StubService) -> None:
    file = tokens(here)
    file.write_bytes(b"sesame\xff\n")
    said = refused(service, "cube.zarr", "--token-file", file)
    assert "not UTF-8" in said
    assert "sesame" not in said
    file.write_bytes(b"a\n" * (1 << 20))
    assert "too large" in refused(service, "cube.zarr", "--token-file", file)
    assert "cannot read the token file" in refused(service, "cube.zarr", "--token-file", here)
    with pytest.raises(ConfigError) as caught:
        read_tokens(str(here))
    assert caught.value.found == "is a directory"


# -- what is said, and the end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "base", "rest"),
    [
        ("127.0.0.1", f"http://127.0.0.1:{FREE}", ""),
        ("localhost", f"http://localhost:{FREE}", ""),
        ("[::1]", f"http://[::1]:{FREE}", ""),
        ("0.0.0.0", f"http://127.0.0.1:{FREE}", " (at all addresses of this machine)"),
        ("::", f"http://[::1]:{FREE}", " (at all addresses of this machine)"),
        ("data.example.org", f"http://data.example.org:{FREE}", ""),
    ],
)
def test_where_it_is_served(host: str, base: str, rest: str, service: StubService) -> None:
    said = cli("serve", "--host", host, "--public", "--port", 0, "a.zarr", "b.zarr")
    assert said.out.splitlines() == [
        f"Serving a at {base}/a/{rest}",
        f"Serving b at {base}/b/{rest}",
        "Press Ctrl-C to stop.",
    ]


def test_a_narrow_terminal_keeps_addresses_whole(service: StubService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen = Terminal()
    assert run_into(screen, "serve", "a-dataset-with-a-long-name.zarr") == (0, "")
    assert "\n  http://127.0.0.1:8080/a-dataset-with-a-long-name/\n" in screen.getvalue()


def test_help_has_examples_that_work(service: StubService, here: Path) -> None:
    page = cli("help", "serve").out
    assert page == cli("serve", "--help").out
    examples = [line.strip() for line in EXAMPLES.splitlines() if line.startswith("  zapz ")]
    assert len(examples) == 4
    (here / "my_cubes.py").write_text("def make(): return {}\n")
    (here / "serve.toml").write_text('[serve.datasets]\ncube.place = "cube.zarr"\n')
    (here / "tokens.txt").write_text(TOKEN)
    (here / "tokens.txt").chmod(0o600)
    for example in examples:
        assert f"  {example}\n" in page
        served(service, *shlex.split(example)[2:])


def test_a_full_disk_does_not_stop_it(service: StubService) -> None:
    """Serving is more than printing."""

    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def fileno(self) -> int:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    code, err = run_into(Full(), "serve", "cube.zarr")
    assert (code, len(service.settings)) == (0, 1)
    assert "found no space left on device. The command itself succeeded." in err


PROGRAM = """
    import sys, time, types
    service = types.ModuleType("zapz.server.service")
    def serve(settings, say, config_files=()):
        say("Serving here")
        time.sleep(60)
    service.serve = serve
    sys.modules["zapz.server.service"] = service
    sys.argv = ["zapz", "serve", "cube.zarr"]
    from zapz.__main__ import main
    main()
"""


def test_lines_come_at_once_and_an_impatient_interrupt_is_quiet(here: Path) -> None:
    """Through a pipe, while the server runs; nothing is said of an append that was rolled back."""
    environment = {**os.environ, "PYTHONPATH": str(Path(zapz.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Serving here\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "")


def test_errors_of_the_service_end_the_command(service: StubService, monkeypatch: pytest.MonkeyPatch) -> None:
    """With zapz's exit codes; --traceback shows where."""

    def fail(*_: object, **__: object) -> None:
        raise ConfigError("port in use", where="--port", hint="`--port 0`")

    monkeypatch.setattr(sys.modules["zapz.server.service"], "serve", fail)
    assert cli("serve", "cube.zarr") == Said(2, "", "zapz: port in use, --port. `--port 0`\n")
    assert "Traceback" in cli("serve", "cube.zarr", "--traceback").err
