"""The everyday command line, ``zapz append TARGET SLICE...``, without Typer.

Typer builds a validator for each parameter of each command at every start, which takes longer than
appending a small slice. A command line that is plainly well-formed needs none of that. Whatever is
not (help, an unknown option, a bad number) is left to Typer, which says why; both read their
options from the table here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict, cast


class Option(NamedTuple):
    """One option of ``zapz append``."""

    flags: tuple[str, ...]
    """What it is called on the command line."""
    kind: Literal["text", "integer", "number", "flag", "texts"]
    """What follows it: one text, a number, nothing, or one text each time it is repeated."""
    metavar: str
    """What stands for its value in help."""
    help: str
    """What it does."""
    group: str
    """Under which heading it stands in help."""


GROUPS = _DATA, _SETTINGS, _SPEED, _OUTPUT = "Target and slices", "Settings", "Waiting and speed", "Output"
"""Headings of options in help, in their order."""

APPEND: Mapping[str, Option] = {
    "target": Option(("--target", "-t"), "text", "TARGET", "The target; then all arguments are slices.", _DATA),
    "append_dim": Option(("--append-dim", "-d"), "text", "NAME", "Append dimension (default: time).", _DATA),
    "label": Option(
        ("--label",),
        "text",
        "FROM",
        "Label of slices without the dimension: value:TEXT|attr:NAME|name:REGEX|NAME.",
        _DATA,
    ),
    "label_format": Option(("--label-format",), "text", "FORMAT", "How that label is written, such as %Y%m%d.", _DATA),
    "on_existing": Option(
        ("--on-existing",), "text", "resume|refuse|skip", "Slices whose labels are there already.", _DATA
    ),
    "force_new": Option(
        ("--force-new",), "flag", "", "Replace an existing target, once the first slice is in the new one.", _DATA
    ),
    "sort": Option(("--sort",), "flag", "", "Append slices in the order of their first labels.", _DATA),
    "existing": Option(("--existing",), "flag", "", "Refuse to create the target: it must exist.", _DATA),
    "new": Option(("--new",), "flag", "", "Create the target: it must not exist.", _DATA),
    "dry_run": Option(("--dry-run",), "flag", "", "Plan and check; touch nothing.", _DATA),
    "config": Option(
        ("--config", "-c"),
        "texts",
        "FILE",
        "Configuration file (TOML, JSON, YAML); repeatable, later ones win.",
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
        "Read no file that is not named (zapz.toml, pyproject.toml), and no variable ZAPZ_...",
        _SETTINGS,
    ),
    "trust_config": Option(
        ("--trust-config",),
        "flag",
        "",
        "Let configuration files from URIs set and use what local files may.",
        _SETTINGS,
    ),
    "target_option": Option(
        ("--target-option",), "texts", "K=V", "fsspec storage option of the target; repeatable.", _SETTINGS
    ),
    "slice_option": Option(
        ("--slice-option",), "texts", "K=V", "fsspec storage option of the slices; repeatable.", _SETTINGS
    ),
    "wait": Option(
        ("--wait",), "number", "SECONDS", "Wait so long for slices that are not there or not complete.", _SPEED
    ),
    "lock_wait": Option(("--lock-wait",), "number", "SECONDS", "Wait so long for a target that is held.", _SPEED),
    "workers": Option(("--workers",), "integer", "N", "Threads that move chunks.", _SPEED),
    "as_json": Option(("--json",), "flag", "", "Print the result as JSON, alone, on standard output.", _OUTPUT),
    "quiet": Option(("--quiet", "-q"), "flag", "", "Say nothing unless it fails.", _OUTPUT),
    "verbose": Option(("--verbose", "-v"), "flag", "", "Say more.", _OUTPUT),
    "traceback": Option(("--traceback",), "flag", "", "Show the Python traceback of an error.", _OUTPUT),
}


class AppendOptions(TypedDict):
    """What was given to ``zapz append``; ``APPEND`` says what each option does."""

    arguments: list[str]
    """Target and slices; slices alone, if ``target`` is given."""
    config: Sequence[Any] | None
    """Configuration files, or settings."""
    assignments: list[str] | None
    """Settings, NAME=VALUE."""
    no_config: bool
    """Whether only what is named is read."""
    target: str | None
    """The target."""
    append_dim: str | None
    """The append dimension."""
    label: str | None
    """Where the label of a slice without that dimension comes from."""
    label_format: str | None
    """How it is written."""
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
    """What happens to slices that are there already."""
    wait: float | None
    """Seconds to wait for slices."""
    lock_wait: float | None
    """Seconds to wait for the target."""
    workers: int | None
    """Threads that move chunks."""
    target_option: list[str] | None
    """Storage options of the target, K=V."""
    slice_option: list[str] | None
    """Storage options of the slices, K=V."""
    quiet: bool
    """Whether only errors are said."""
    verbose: bool
    """Whether more is said."""
    trust_config: bool
    """Whether configurations from URIs may set what local ones may."""
    traceback: bool
    """Whether the traceback of an error is shown."""


def options_of(arguments: list[str], **given: Any) -> AppendOptions:
    """Return options, those that are not given being absent."""
    absent = {name: False if option.kind == "flag" else None for name, option in APPEND.items()}
    return cast("AppendOptions", {**absent, **given, "arguments": arguments})


def parse(words: Sequence[str]) -> AppendOptions | None:
    """Return what the words behind ``zapz append`` mean; None if that takes Typer to say."""
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
