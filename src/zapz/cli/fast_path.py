"""The everyday command line, ``zapz append TARGET SLICE...``, without Typer.

Typer builds a validator for each parameter of each command at every start, which takes longer than appending a small slice. A
command line that is plainly well-formed needs none of that. Whatever is not (help, an unknown option, a bad number) is left to
Typer, which says why; both read their options from the table here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


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


APPEND: Mapping[str, Option] = {
    "config": Option(
        ("--config", "-c"), "texts", "FILE", "Configuration file (TOML, JSON, YAML); repeatable, later ones win."
    ),
    "target": Option(("--target", "-t"), "text", "TARGET", "The target; then all arguments are slices."),
    "append_dim": Option(("--append-dim", "-d"), "text", "NAME", "Append dimension (default: time)."),
    "force_new": Option(
        ("--force-new",), "flag", "", "Replace an existing target, once the first slice is in the new one."
    ),
    "dry_run": Option(("--dry-run",), "flag", "", "Plan and check; touch nothing."),
    "as_json": Option(("--json",), "flag", "", "Print the result as JSON, alone, on standard output."),
    "on_existing": Option(("--on-existing",), "text", "resume|refuse|skip", "Slices whose labels are there already."),
    "wait": Option(("--wait",), "number", "SECONDS", "Wait so long for slices that are not there or not complete."),
    "lock_wait": Option(("--lock-wait",), "number", "SECONDS", "Wait so long for a target that is held."),
    "workers": Option(("--workers",), "integer", "N", "Threads that move chunks."),
    "target_option": Option(("--target-option",), "texts", "K=V", "fsspec storage option of the target; repeatable."),
    "slice_option": Option(("--slice-option",), "texts", "K=V", "fsspec storage option of the slices; repeatable."),
    "quiet": Option(("--quiet", "-q"), "flag", "", "Say nothing unless it fails."),
    "verbose": Option(("--verbose", "-v"), "flag", "", "Say more."),
    "trust_config": Option(
        ("--trust-config",), "flag", "", "Let configuration files from URIs set and use what local files may."
    ),
    "traceback": Option(("--traceback",), "flag", "", "Show the Python traceback of an error."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendOptions:
    """What was given to ``zapz append``; ``APPEND`` says what each option does."""

    arguments: list[str]
    """Target and slices; slices alone, if ``target`` is given."""
    config: Sequence[Any] | None = None
    """Configuration files, or settings."""
    target: str | None = None
    """The target."""
    append_dim: str | None = None
    """The append dimension."""
    force_new: bool = False
    """Whether an existing target is replaced."""
    dry_run: bool = False
    """Whether nothing is written."""
    as_json: bool = False
    """Whether the result is printed as JSON."""
    on_existing: str | None = None
    """What happens to slices that are there already."""
    wait: float | None = None
    """Seconds to wait for slices."""
    lock_wait: float | None = None
    """Seconds to wait for the target."""
    workers: int | None = None
    """Threads that move chunks."""
    target_option: list[str] | None = None
    """Storage options of the target, K=V."""
    slice_option: list[str] | None = None
    """Storage options of the slices, K=V."""
    quiet: bool = False
    """Whether only errors are said."""
    verbose: bool = False
    """Whether more is said."""
    trust_config: bool = False
    """Whether configurations from URIs may set what local ones may."""
    traceback: bool = False
    """Whether the traceback of an error is shown."""


def parse(words: Sequence[str]) -> AppendOptions | None:
    """Return what the words behind ``zapz append`` mean; None if that takes Typer to say."""
    names = {flag: name for name, option in APPEND.items() for flag in option.flags}
    values: dict[str, Any] = {name: False if option.kind == "flag" else None for name, option in APPEND.items()}
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
        values[name] = [*(values[name] or []), value] if kind == "texts" else value
    return AppendOptions(arguments=arguments, **values) if arguments else None
