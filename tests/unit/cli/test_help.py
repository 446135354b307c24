"""Pages of help: nothing is cut, everything is there, at any width; ``zapz help``, ``-h``, ``-V`` and what completes words in a shell."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import zapz
from zapz.cli.app import app
from zapz.cli.fast_path import APPEND, GROUPS, parse
from zapz.config.assignments import assigned
from zapz.config.files import resolve

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
WIDTHS = (40, 60, 80, 200)


def said(*words: str, code: int = 0, **environment: str) -> str:
    done = CliRunner().invoke(app, list(words), env=environment, prog_name="zapz")
    assert done.exit_code == code, done.output
    return done.output


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_page_is_whole_and_fits(name: str, width: int) -> None:
    """All options and what they do are there; only what cannot be broken, and what is to be copied, is wider than the terminal."""
    page = said(*([name] if name else []), "-h", COLUMNS=str(width))
    for line in page.splitlines():
        assert len(line) <= min(width, 80) or len(line.split()) == 1 or line.startswith("  zapz "), line
    assert not re.search(r"\{|\[\[|<\w", page)
    assert page.startswith(f"Usage: zapz {name}".rstrip() + " [OPTIONS]")
    assert "-h, --help" in page
    for parameter in COMMANDS[name].params if name else []:
        flags = sorted(parameter.opts, key=len) if parameter.param_type_name == "option" else []
        called = f"{', '.join(flags)} {parameter.metavar or ''}".strip()
        assert f"{called} {plain(parameter.help)}" in plain(page)


def test_summaries_are_not_cut() -> None:
    page = plain(said("--help", COLUMNS="60"))
    for name, command in COMMANDS.items():
        assert f"{name} {plain(command.help)}" in page


def test_options_of_append_stand_under_headings() -> None:
    """Each under that of the table; the headings in their order."""
    page = said("append", "-h")
    assert [line.removesuffix(":") for line in page.splitlines() if line.removesuffix(":") in GROUPS] == list(GROUPS)
    for option in APPEND.values():
        _, _, behind = page.partition(f"\n{option.group}:\n")
        assert option.flags[0] in behind.partition("\n\n")[0]


def test_an_option_stands_under_the_same_heading_on_every_page() -> None:
    """zappend's own command, whose options are in no groups, is left out."""
    headings: dict[str, set[str | None]] = {}
    for name, command in COMMANDS.items():
        for option in command.params:
            if option.param_type_name == "option" and name not in {"zappend", "config"}:
                headings.setdefault(option.opts[0], set()).add(option.rich_help_panel)
    assert {flag: of for flag, of in headings.items() if len(of) > 1 or not of <= set(GROUPS)} == {}


def test_examples_are_command_lines() -> None:
    page = said("append", "-h", COLUMNS="40")
    examples = [shlex.split(line) for line in page.splitlines() if line.startswith("  zapz append")]
    assert len(examples) >= 3
    for words in examples:
        options = parse(words[2:])
        assert options is not None
        assert len(options["arguments"]) == 2
        resolve(list(map(assigned, options["assignments"] or [])), {})


def test_help_is_a_command() -> None:
    assert said("help") == said("--help")
    assert said("help", "recover") == said("recover", "--help")
    assert said("help", "-h").startswith("Usage: zapz help [OPTIONS] [COMMAND]")
    assert "found 'recovr'. Did you mean 'recover'?" in said("help", "recovr", code=2)


def test_the_version_has_a_name() -> None:
    assert said("-V") == said("--version") == f"zapz {zapz.__version__}\n"


def test_errors_of_usage_are_plain_and_have_short_lines() -> None:
    text = said("info", code=2)
    assert text.startswith("Usage: zapz info [OPTIONS] TARGET\n")
    assert "Missing argument 'TARGET'" in text
    assert text.isascii()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("zapz re", ["recover"]),
        ("zapz help un", ["unlock"]),
        ("zapz append --on-existing re", ["resume", "refuse"]),
        ("zapz info --no", ["--no-config"]),
        ("zapz vacuum --journal b", ["beside"]),
        ("zapz config slice_polling.", ["slice_polling.interval", "slice_polling.timeout"]),
    ],
)
def test_a_shell_completes_words(words: str, expected: list[str]) -> None:
    environment = {"_ZAPZ_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert said(**environment).split() == expected
    assert "--install-completion" in said("-h")


def test_help_does_without_rich() -> None:
    code = "import sys; sys.argv = ['zapz', 'append', '-h']\nfrom zapz.__main__ import main\ntry:\n    main()\nfinally:\n    print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
