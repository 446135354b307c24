"""What commands share around the Python API: configuration, errors, exit codes, signals, JSON."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapz import interrupts
from zapz.cli.fast_path import AppendOptions
from zapz.cli.words import fitting
from zapz.errors import ConfigError, LabelError, NotFoundError, SliceError, ZapzError
from zapz.interrupts import Stopped

if TYPE_CHECKING:
    from zapz.config.settings import Config


def append_slices(options: AppendOptions) -> None:
    """Run ``zapz append``; flags that were not given are ignored.

    Raises:
        SystemExit: The run failed, or was interrupted.
    """
    talker: Talker | None = None

    def standing(error: BaseException) -> str:
        return "" if talker is None else talker.standing(error)

    slices: list[str] = []
    with errors(show=options["traceback"], as_json=options["as_json"], standing=standing, slices=slices):
        from zapz.api import append
        from zapz.cli.lines import Talker
        from zapz.config.settings import remarks

        made = configured(
            options["config"],
            options["assignments"],
            _settings(options),
            no_config=options["no_config"],
            quiet=options["quiet"],
        )
        place, found = _target_and_slices(options["arguments"], options["target"], made.target_dir)
        slices += found
        if isinstance(made.slice_source, str):
            from zapz.sources.slice_source import import_from_here

            import_from_here()
        with (
            Talker(
                place,
                slices,
                made,
                quiet=options["quiet"],
                as_json=options["as_json"],
                verbose=options["verbose"],
            ) as talker,
            interrupts.handled(),
            slice_source_errors(show=options["traceback"] or made.slice_source is None),
        ):
            talker.remarks(remarks(made))
            with _forgotten_target(place, slices, made, named=options["target"] is not None):
                report = append(
                    place,
                    slices,
                    made,
                    on_slice=talker.slice_done,
                    on_phase=talker.phase,
                    on_recovery=talker.recovered,
                    explain=options["verbose"],
                )
        if options["as_json"]:
            print_json(report)
        else:
            talker.summary(report)


def _settings(options: AppendOptions) -> dict[str, Any]:
    """Return the settings that the flags set."""
    given: Mapping[str, Any] = options
    names = ("append_dim", "on_existing", "lock_wait", "workers")
    settings: dict[str, Any] = {n: value for n in names if (value := given[n]) is not None}
    if options["wait"] is not None:
        settings["slice_polling"] = {"timeout": options["wait"]}
    settings |= {name: True for name in ("dry_run", "force_new", "trust_config") if given[name]}
    if options["sort"]:
        settings["slice_order"] = "labels"
    settings |= _creation(options) | _label(options)
    settings |= storage("target_storage_options", options["target_option"])
    return settings | storage("slice_storage_options", options["slice_option"])


@contextlib.contextmanager
def _forgotten_target(place: str, slices: list[str], config: Config, *, named: bool) -> Iterator[None]:
    """Refuse to extend the first slice if the target was forgotten; extend hints if it may be last.

    Args:
        place: The target.
        slices: The slices.
        config: The configuration.
        named: Whether ``-t`` names the target.

    Raises:
        ConfigError: The target looks like a slice, or is a pattern without matches.
    """
    if set(place) & set("*?["):
        from zapz.operations.forgotten_target import check_target_is_no_pattern  # imported where used, as below

        check_target_is_no_pattern(place)
    if not named and config.target_dir is None and slices and _alike(place, slices[0]):
        from zapz.operations.forgotten_target import check_target_is_no_slice  # imported where used: most names differ

        check_target_is_no_slice(place, slices, config)
    try:
        yield
    except (NotFoundError, LabelError) as error:
        from zapz.operations.forgotten_target import is_target_last

        if not named and config.polling is None and slices and is_target_last(place, slices, config):
            words = " ".join(map(shlex.quote, [slices[-1], place, *slices[:-1]]))
            last = fitting(slices[-1], sys.stderr)
            error.advised(f"{error.hint} Is {last} the target? It comes first: `zapz append {words}`.", error.remedies)
        raise


def _alike(target: str, slice_: str) -> bool:
    """Return whether two paths are in one folder, and their names differ only in numbers."""
    (folder, name), (other, second) = (os.path.split(_path(place)) for place in (target, slice_))
    if name == second or folder != other:
        return False
    return re.sub(r"[0-9]+", "#", name) == re.sub(r"[0-9]+", "#", second)


def _path(place: str) -> str:
    """Return a path or URI in one spelling; local paths become absolute."""
    path = place.removeprefix("file://")
    return place.rstrip("/") if "://" in path else os.path.abspath(path)  # noqa: PTH100 - links are part of a name


def _label(options: AppendOptions) -> dict[str, Any]:
    """Return the setting ``append_label``, if flags set it."""
    given = {"from": options["label"], "format": options["label_format"]}
    label = {key: text for key, text in given.items() if text is not None}
    return {"append_label": label} if label else {}


def _creation(options: AppendOptions) -> dict[str, Any]:
    """Return the setting ``create``, if ``--new`` or ``--existing`` sets it."""
    if options["new"] and options["existing"]:
        raise ConfigError(
            "two flags contradict each other", where="--new", found="--existing", hint="Give only one of them."
        )
    return {"create": "always"} if options["new"] else {"create": "never"} if options["existing"] else {}


def _target_and_slices(arguments: list[str], target: str | None, named: str | None) -> tuple[str, list[str]]:
    if target is not None and target != "-":
        return target, arguments
    arguments = arguments if target is None else ["-", *arguments]
    place, *slices = arguments or [""]
    if place == "-":
        if named is None:
            raise ConfigError(
                "TARGET is - but no configuration names a target_dir",
                hint="Give -c FILE with target_dir, or the target itself.",
            )
        return named, slices
    if not slices and (named is not None or not place):
        raise ConfigError(
            "no slices given" if place else "no target and no slices given",
            where="append",
            expected="TARGET SLICE...",
            found=place or "nothing",
            hint="`zapz append - SLICE...` appends to the target that the configuration names."
            if named is not None
            else "See `zapz append --help`.",
        )
    return place, slices


def configured(
    files: Sequence[Any] | None,
    assignments: Sequence[str] | None,
    settings: Mapping[str, Any],
    *,
    no_config: bool = False,
    quiet: bool = False,
) -> Config:
    """Return the configuration of a command.

    Later sources override earlier ones: a discovered file, files, environment variables, ``--set``,
    and flags.

    Args:
        files: Configuration files that the user named.
        assignments: Settings, NAME=VALUE.
        settings: Settings from flags.
        no_config: Whether discovered files and environment variables are ignored.
        quiet: Whether environment variables are used without a message.

    Raises:
        ConfigError: A file or a setting is wrong.
    """
    from zapz.cli.discovery import layers_of, resolved

    return resolved(layers_of(files, assignments, no_config=no_config, quiet=quiet), settings)


def storage(name: str, pairs: list[str] | None) -> dict[str, Any]:
    """Return the setting ``name`` with storage options given as K=V; values may be JSON.

    Raises:
        ConfigError: An option is not K=V.
    """
    if not pairs:
        return {}
    options: dict[str, Any] = {}
    for pair in pairs:
        key, mark, text = pair.partition("=")
        if not mark:
            flag = f"--{name.partition('_')[0]}-option"
            raise ConfigError("not a storage option", where=flag, expected="K=V", found=repr(key))
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return {name: options}


def print_json(value: Any) -> None:
    """Print a value of the API as JSON."""
    from zapz.reports import as_json

    print(json.dumps(as_json(value), indent=2, default=str))


@contextlib.contextmanager
def errors(
    *,
    show: bool,
    as_json: bool,
    standing: Callable[[BaseException], str] = lambda _: "",
    slices: Sequence[str] = (),
) -> Iterator[None]:
    """Turn errors into messages on standard error (and JSON on standard output) and exit codes.

    Args:
        show: Whether the traceback is shown.
        as_json: Whether standard output is JSON.
        standing: Returns which slices were appended before the error, and what to do.
        slices: The slices of the run, as given.

    Raises:
        SystemExit: The body failed, or was interrupted.
    """
    try:
        yield
    except Stopped as stopped:
        _say_end("Interrupted" if stopped.number == signal.SIGINT else "Stopped", stopped, standing(stopped))
        raise SystemExit(128 + stopped.number) from None
    except KeyboardInterrupt as interrupt:
        _say_end("Interrupted", interrupt, standing(interrupt))
        raise SystemExit(130) from None
    except ZapzError as error:
        if show:
            raise
        from zapz.cli.hints import in_shell
        from zapz.cli.refusal import name_flag, said  # imported where used: most commands end well

        if isinstance(error, ConfigError):
            name_flag(error)
        if as_json:
            fields = {name: getattr(error, name) for name in ("code", "what", "where", "expected", "found")}
            advice = {"hint": in_shell(error), "remedies": error.remedies}
            report = {"report": error.report} if error.report is not None else {}
            message = {"exit_code": error.exit_code, "message": error.message(in_shell(error))}
            print_json({**report, "error": {**fields, **advice, **message}})
        for line in said(error, slices, sys.stderr, standing(error)):
            print(fitting(line, sys.stderr), file=sys.stderr)
        raise SystemExit(error.exit_code) from None


@contextlib.contextmanager
def slice_source_errors(*, show: bool) -> Iterator[None]:
    """Report an error of the user's slice source as a slice error (exit code 3), with its place.

    Raises:
        SliceError: The slice source raised an error of its own.
    """
    try:
        yield
    except ZapzError:
        raise
    except Exception as error:
        last = traceback_of(error)
        if show or last is None or Path(__file__).parents[1] in Path(last).parents:
            raise
        from zapz.sources.slice_source import SourceNote  # imported where used: most appends do not need it

        named = [note for note in getattr(error, "__notes__", []) if isinstance(note, SourceNote)]
        raise SliceError(
            "the slice source failed",
            where=named[0].removeprefix("In ").rstrip(".") if named else last,
            found=f"{type(error).__name__}: {error}",
            hint="Correct it; --traceback shows where.",
        ) from error


def traceback_of(error: BaseException) -> str | None:
    """Return the file in which an error was raised; None if it has no traceback."""
    trace, last = error.__traceback__, None
    while trace is not None:
        last, trace = trace.tb_frame.f_code.co_filename, trace.tb_next
    return last


def _say_end(how: str, error: BaseException, standing: str) -> None:
    """Print how a run ended, and what to do if it could not be rolled back."""
    notes = getattr(error, "__notes__", [])
    rest = " ".join(notes) if notes else "uncommitted changes have been rolled back."
    print(f"{how}; {rest} {standing}".rstrip(), file=sys.stderr)
