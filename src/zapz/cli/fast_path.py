"""Parse plain ``zapz append TARGET SLICE...`` command lines without Typer.

At every start, Typer builds a validator for each parameter of each command. That takes longer than
appending a small slice, and a well-formed command line does not need it. All others (help, an
unknown option, an invalid number) are left to Typer, which reports what is wrong. Both read their
options from the table in this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict, cast


class Option(NamedTuple):
    """One option of ``zapz append``."""

    flags: tuple[str, ...]
    """Its names on the command line."""
    kind: Literal["text", "integer", "number", "flag", "texts"]
    """Its value: one text, a number, none ("flag"), or one text per repetition ("texts")."""
    metavar: str
    """Placeholder for its value in help."""
    help: str
    """What it does."""
    group: str
    """Its heading in help."""


GROUPS = _DATA, _SETTINGS, _SPEED, _OUTPUT = "Target and slices", "Settings", "Waiting and speed", "Output"
"""Headings of options in help, in order."""

APPEND: Mapping[str, Option] = {
    "target": Option(("--target", "-t"), "text", "TARGET", "The target; all arguments are then slices.", _DATA),
    "append_dim": Option(("--append-dim", "-d"), "text", "NAME", "Append dimension (default: time).", _DATA),
    "label": Option(
        ("--label",),
        "text",
        "FROM",
        "Label of slices without the append dimension: value:TEXT|attr:NAME|name:REGEX|NAME.",
        _DATA,
    ),
    "label_format": Option(("--label-format",), "text", "FORMAT", "Format of that label, such as %Y%m%d.", _DATA),
    "on_existing": Option(
        ("--on-existing",),
        "text",
        "resume|refuse|skip",
        "What to do with slices whose labels are already there.",
        _DATA,
    ),
    "force_new": Option(
        ("--force-new",), "flag", "", "Replace an existing target after the first slice is in the new one.", _DATA
    ),
    "sort": Option(("--sort",), "flag", "", "Append slices in the order of their first labels.", _DATA),
    "existing": Option(("--existing",), "flag", "", "Refuse to create the target: it must exist.", _DATA),
    "new": Option(("--new",), "flag", "", "Create the target: it must not exist.", _DATA),
    "dry_run": Option(("--dry-run",), "flag", "", "Plan and check; write nothing.", _DATA),
    "config": Option(
        ("--config", "-c"),
        "texts",
        "FILE",
        "Configuration file (TOML, JSON, YAML); repeatable, later files override earlier ones.",
        _SETTINGS,
    ),
    "assignments": Option(
        ("--set", "-s"),
        "texts",
        "NAME=VALUE",
        "Any setting, such as static=0.01 or variables.sst.encoding.dtype=int16.",
        _SETTINGS,
    ),
    "no_config": Option(
        ("--no-config",),
        "flag",
        "",
        "Ignore discovered files (zapz.toml, pyproject.toml) and variables ZAPZ_...",
        _SETTINGS,
    ),
    "trust_config": Option(
        ("--trust-config",),
        "flag",
        "",
        "Trust configuration files from URIs like local files.",
        _SETTINGS,
    ),
    "target_option": Option(
        ("--target-option",), "texts", "K=V", "fsspec storage option of the target; repeatable.", _SETTINGS
    ),
    "slice_option": Option(
        ("--slice-option",), "texts", "K=V", "fsspec storage option of the slices; repeatable.", _SETTINGS
    ),
    "wait": Option(
        ("--wait",), "number", "SECONDS", "Wait at most this long for missing or incomplete slices.", _SPEED
    ),
    "lock_wait": Option(
        ("--lock-wait",), "number", "SECONDS", "Wait at most this long for a target that another process holds.", _SPEED
    ),
    "workers": Option(("--workers",), "integer", "N", "Number of threads that move chunks.", _SPEED),
    "as_json": Option(("--json",), "flag", "", "Print only the result, as JSON, on standard output.", _OUTPUT),
    "quiet": Option(("--quiet", "-q"), "flag", "", "Print only errors, and which discovered files are read.", _OUTPUT),
    "verbose": Option(("--verbose", "-v"), "flag", "", "Print more details.", _OUTPUT),
    "traceback": Option(("--traceback",), "flag", "", "Show the Python traceback of an error.", _OUTPUT),
}


class AppendOptions(TypedDict):
    """The options of one ``zapz append``; ``APPEND`` explains each option."""

    arguments: list[str]
    """Target and slices; only slices if ``target`` is set."""
    config: Sequence[Any] | None
    """Configuration files, or settings."""
    assignments: list[str] | None
    """Settings, NAME=VALUE."""
    no_config: bool
    """Whether discovered files and environment variables are ignored."""
    target: str | None
    """The target."""
    append_dim: str | None
    """The append dimension."""
    label: str | None
    """Source of the label of a slice without that dimension."""
    label_format: str | None
    """Format of that label."""
    force_new: bool
    """Whether an existing target is replaced."""
    sort: bool
    """Whether slices are sorted."""
    existing: bool
    """Whether the target must exist."""
    new: bool
    """Whether the target must not exist."""
    dry_run: bool
    """Whether nothing is written."""
    as_json: bool
    """Whether the result is printed as JSON."""
    on_existing: str | None
    """What to do with slices that are already there."""
    wait: float | None
    """Maximum wait for slices, in seconds."""
    lock_wait: float | None
    """Maximum wait for the target, in seconds."""
    workers: int | None
    """Number of threads that move chunks."""
    target_option: list[str] | None
    """Storage options of the target, K=V."""
    slice_option: list[str] | None
    """Storage options of the slices, K=V."""
    quiet: bool
    """Whether only errors are printed."""
    verbose: bool
    """Whether more details are printed."""
    trust_config: bool
    """Whether configurations from URIs are trusted like local ones."""
    traceback: bool
    """Whether the traceback of an error is shown."""


def options_of(arguments: list[str], **given: Any) -> AppendOptions:
    """Return options; those not given are None, or False for flags."""
    absent = {name: False if option.kind == "flag" else None for name, option in APPEND.items()}
    return cast("AppendOptions", {**absent, **given, "arguments": arguments})


def parse(words: Sequence[str]) -> AppendOptions | None:
    """Return the options that follow ``zapz append``; None if Typer must parse them."""
    names = {flag: name for name, option in APPEND.items() for flag in option.flags}
    values: dict[str, Any] = {}
    arguments: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "-" or not word.startswith("-"):
            arguments.append(word)
            continue
        flag, attached, text = word.partition("=")
        if flag not in names or (attached and not flag.startswith("--")):
            return None
        name = names[flag]
        kind = APPEND[name].kind
        if kind == "flag":
            if attached:
                return None
            values[name] = True
            continue
        if not attached:
            text = next(rest, "-")
            if text.startswith("-"):
                return None
        try:
            value: Any = int(text) if kind == "integer" else float(text) if kind == "number" else text
        except ValueError:
            return None
        values[name] = [*values.get(name, ()), value] if kind == "texts" else value
    return options_of(arguments, **values) if arguments else None
