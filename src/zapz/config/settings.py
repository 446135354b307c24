"""The configuration as one frozen value; each setting is declared once.

Validation, merging and the reference are all derived from that declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal

from zapz.config import trust
from zapz.config.append_label import APPEND_LABEL, AppendLabelDict
from zapz.config.level_types import LEVELS, LevelsDict
from zapz.config.option_types import LEVEL, LOGGING, POLLING, PROFILING, STEP, Polling, bytes_of, polling_of, step_of
from zapz.config.serve_types import SERVE
from zapz.config.table_types import free, names
from zapz.config.types import Key, SettingType, choice, either, flag, function, number, several, text
from zapz.config.variables import ATTRIBUTES, VARIABLES, VariableSettings, settings_of
from zapz.errors import MetadataError
from zapz.format.jsontext import JSON
from zapz.format.metadata import check_path

SliceSource = str | Callable[..., object]
"""Name of a slice source, or the slice source itself."""


def _key_of(given: str) -> str:
    try:
        check_path(given)
    except MetadataError as error:
        raise ValueError(str(error)) from error
    return given


def _setting(kind: SettingType, doc: str, *, default: Any = None, example: Any = None, secret: bool = False) -> Any:
    key = Key(kind=kind, doc=doc, default=default, example=example)
    if isinstance(default, dict):
        return field(default_factory=dict, repr=not secret, metadata={"key": key})
    return field(default=default, metadata={"key": key})


def _flag(doc: str, *, default: bool = False) -> Any:
    return _setting(flag(), doc, default=default)


def _table(doc: str, example: Any, kind: SettingType) -> Any:
    return _setting(kind, doc, default={}, example=example)


def _options(doc: str, example: Any = None, kind: SettingType | None = None) -> Any:
    return _setting(kind or free(secret=True), doc, default={}, example=example, secret=True)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Config:
    """Settings of an append; the same names are used in files and as keyword arguments."""

    version: Literal[1] = _setting(choice(1), "Version of the configuration format.", default=1)
    target_dir: str | None = _setting(
        text("a path or URI", path=True), "Path or URI of the target, if it is not an argument.", example="cube.zarr"
    )
    target_storage_options: Mapping[str, object] = _options("Storage options of the target for fsspec.")
    append_dim: str = _setting(text(), "Name of the dimension along which slices are appended.", default="time")
    append_step: float | str | None = _setting(
        either(number(finite=True, nonzero=True), text(STEP, parse=step_of)),
        'Required difference between neighbouring labels: a number in the units of the labels, a duration ("12h", "-1D", "PT1H", '
        '"P1M"), or only a direction ("+" or "-").',
        example="1D",
    )
    label_order: Literal["increasing", "decreasing", "any"] | None = _setting(
        choice("increasing", "decreasing", "any"),
        'Required order of the labels of the append dimension: by default "increasing", or "decreasing" if the labels of the target are. '
        '"any" requires no order; then each call reads all labels of the target once, to recognise slices that are already there.',
        example="increasing",
    )
    append_label: AppendLabelDict = _table(  # noqa: RUF009 - creates a field, as the others do
        "Label of a slice that is one step and has no append dimension. A scalar variable with the name of the dimension is used "
        "automatically.",
        {"from": r"name:_(\d{8})_", "format": "%Y%m%d"},
        APPEND_LABEL,
    )
    slice_size: int | Literal["chunk"] | None = _setting(
        either(number(integer=True, least=1), choice("chunk")),
        'Required size of each slice along the append dimension, in steps; "chunk" requires the target\'s chunk length.',
        example=1,
    )
    fixed_dims: Mapping[str, int] = _setting(
        names("a table of sizes", number(integer=True, least=1)),
        "Required sizes of dimensions other than the append dimension, in cells.",
        default={},
        example={"lat": 180, "lon": 360},
    )
    included_variables: tuple[str, ...] = _setting(
        several(text()),
        "Variables to append, together with the coordinates that they need; by default all.",
        default=(),
        example=["chl"],
    )
    excluded_variables: tuple[str, ...] = _setting(
        several(text()), "Variables of slices that are not appended.", default=(), example=["quality"]
    )
    variables: Mapping[str, Mapping[str, object]] = _setting(
        VARIABLES,
        "Dimensions, encoding and attributes of variables in a new target. What is not set is taken from the first slice. "
        "An existing target must not contradict these values.",
        default={},
    )
    attrs: Mapping[str, JSON] = _setting(
        ATTRIBUTES,
        "Attributes of the target's root group, set after attrs_update_mode is applied. Values may contain expressions `{{ … }}`.",
        default={},
        example={"title": "A cube", "time_coverage_end": "{{ upper_bound(ds.time) }}"},
    )
    attrs_update_mode: Literal["keep", "replace", "update", "ignore"] = _setting(
        choice("keep", "replace", "update", "ignore"),
        'What happens to group attributes: "keep" leaves those of an existing target unchanged, "replace" replaces them with the slice\'s, '
        '"update" merges the slice\'s into them, and "ignore" never uses the slice\'s, not even in a new target.',
        default="keep",
    )
    permit_eval: bool = _flag("Accepted but ignored: expressions in attributes never run Python code.")
    zarr_format: Literal[2, 3] | None = _setting(
        choice(2, 3), "Zarr format of a new target; by default that of the first slice.", example=3
    )
    label_units: Literal["auto", "keep"] = _setting(
        choice("auto", "keep"),
        'Units of times in a new target, if the first slice has one step. "auto" changes them to seconds if they only count from that '
        'step, so that later labels need not be whole units after it. "keep" leaves them unchanged.',
        default="auto",
    )
    label_chunk: int | Literal["keep"] = _setting(
        either(number(integer=True, least=1, most=1 << 20), choice("keep")),
        "Minimum chunk length of small variables (at most 256 bytes per step) in a new target, in steps along the append dimension. "
        '"keep" uses the chunk length of the slice.',
        default=1024,
    )
    consolidated: bool = _flag(
        "Write consolidated metadata at every commit. Readers rely on them for a consistent view.", default=True
    )
    force_new: bool = _flag("Replace an existing target with a new one, as soon as the new one holds the first slice.")
    slice_storage_options: Mapping[str, object] = _options("Storage options of the slices for fsspec.")
    slice_references: tuple[str, ...] | None = _setting(
        several(text("a folder or a URI prefix", parse=trust.place_of_references, path=True)),
        "Locations to which a reference set (`reference://`) may refer: folders and URI prefixes. By default only the folder of the set's "
        "own file and the folders below it; `[]` allows none. "
        "The same holds for the links (`0.link`) in a slice that is a `.levels` dataset.",
        example=["s3://bucket/archive/"],
    )
    slice_polling: Mapping[str, float] | bool | None = _setting(
        either(flag(), POLLING),
        "Wait for slices that do not exist yet or are not complete: true checks every 2 seconds, for at most 60 seconds; a table sets "
        "`interval` and `timeout` in seconds. The target is not locked while zapz waits.",
        example=True,
    )
    slice_ready: str | None = _setting(
        text("the name of an object in the slice", parse=_key_of),
        'Name of an object in the slice, such as "_SUCCESS", that marks it as complete. A slice without it is not appended.',
        example="_SUCCESS",
    )
    slice_complete: Literal["metadata", "chunks"] = _setting(
        choice("metadata", "chunks"),
        'When a slice counts as complete: as soon as its "metadata" are complete, or when all its "chunks" exist.',
        default="metadata",
    )
    slice_order: Literal["given", "labels"] = _setting(
        choice("given", "labels"),
        'Order in which slices are appended: as "given", or sorted by their first "labels", which requires a list of paths or URIs.',
        default="given",
    )
    create: Literal["auto", "never", "always"] = _setting(
        choice("auto", "never", "always"),
        '"auto" creates the target if it does not exist; "never" requires an existing target, "always" a new one.',
        default="auto",
    )
    slice_source: SliceSource | None = _setting(  # noqa: RUF009 - creates a field, as the others do
        either(text('"module:name" or "module.name"'), function()),
        "Function, context manager or class that creates a slice from each item.",
        example="my_slices:open_slice",
    )
    slice_source_kwargs: Mapping[str, object] = _setting(
        free(), "Keyword arguments of the slice source, besides those of each item.", default={}, example={"level": 2}
    )
    extra: Mapping[str, Any] = _setting(
        free(),
        "Your own settings. A slice source reads them from `ctx.config.extra`.",
        default={},
        example={"sensor": "A"},
    )
    slice_engine: str | None = _setting(text(), "Accepted but ignored: slices are opened as Zarr.", example="zarr")
    persist_mem_slices: bool = _flag("Compute each slice into a temporary store first, whatever its size.")
    temp_dir: str | None = _setting(
        text("a path", path=True),
        "Local folder for computed slices that are larger than memory_limit.",
        example="scratch",
    )
    temp_storage_options: Mapping[str, object] = _options("Accepted but ignored: temporary files are local.")
    disable_rollback: bool = _flag(
        "Accepted but ignored: uncommitted changes are always rolled back, at no extra cost."
    )
    prefetch: int = _setting(
        number(integer=True, least=0), "Number of slices opened or computed ahead while one is written.", default=0
    )
    static: float | Literal["equal", "ignore"] = _setting(
        either(choice("equal", "ignore"), number(least=0)),
        'Static variables of a slice must be "equal" to the target\'s, may differ from them by at most this number, or are not compared '
        '("ignore").',
        default="equal",
    )
    on_missing: Literal["refuse", "fill"] = _setting(
        choice("refuse", "fill"),
        'What happens if a slice lacks a variable of the target: "refuse" refuses the slice, "fill" appends missing cells (the missing '
        "marker, else the fill value).",
        default="refuse",
    )
    on_extra: Literal["refuse", "ignore"] = _setting(
        choice("refuse", "ignore"),
        'What happens if a slice has a variable with the append dimension that the target lacks: "refuse" refuses the slice, "ignore" '
        "does not append the variable.",
        default="refuse",
    )
    on_existing: Literal["resume", "skip", "refuse"] = _setting(
        choice("resume", "skip", "refuse"),
        'What happens to a slice whose labels are all in the target: "resume" skips it if it is equal to the data there and refuses it '
        'otherwise, "skip" skips it without comparing, "refuse" refuses it.',
        default="resume",
    )
    resume_budget: int = _setting(
        either(number(integer=True, least=0), text('a size such as "64MB"', parse=bytes_of)),
        "Maximum amount of data, in bytes, that a call compares for slices that are already in the target, as a sample spread over slices, "
        "arrays and chunks. On object stores, each million bytes allow one request. `verify` compares all data.",
        default=64_000_000,
    )
    v2_fill_value: Literal["missing", "value"] | None = _setting(
        choice("missing", "value"),
        "Meaning of cells that equal the `fill_value` of a Zarr v2 array, if no attribute `_FillValue` confirms it: "
        '"missing", as in xarray, or a "value", as in zarr-python; with "value", an attribute `_FillValue` with another value is the '
        "marker. If not set, a slice is refused where the meaning makes a difference.",
        example="value",
    )
    levels: LevelsDict = _table("How the coarser levels of a pyramid get their steps.", {"use": "derive"}, LEVELS)  # noqa: RUF009 - as before
    recompress: bool = _flag(
        "Re-encode chunks whose compressor parameters differ from the target's, even if the target's codecs can decode them."
    )
    verify: bool = _flag("Decode every copied chunk, to find damage that its length and headers do not show.")
    durability: Literal["full", "process"] = _setting(
        choice("full", "process"),
        '"full" survives a power failure; "process" survives only a crash of the process, and never waits for the disk.',
        default="full",
    )
    lock_wait: float = _setting(
        number(least=0), "Maximum time to wait for a target that another process has locked, in seconds.", default=0.0
    )
    journal: Literal["inside", "beside"] = _setting(
        choice("inside", "beside"),
        'Location of lock and journal: "inside" the target in `.zapz`, or "beside" it in `TARGET.zapz`. All writers must '
        "use the same value.",
        default="inside",
    )
    register: bool = _flag(
        "Record the most recent slices in the target, so that a slice without labels is recognised when the same command is run again. "
        "On object stores they are always recorded.",
    )
    single_writer: bool = _flag(
        "Append to storage that cannot exclude a second writer. Set this only if no other process writes to the target."
    )
    follow_links: bool = _flag("Allow linked folders that lead out of the target or a slice.")
    workers: int | None = _setting(
        number(integer=True, least=1), "Number of worker threads; by default one per processor, at most 8.", example=4
    )
    memory_limit: int = _setting(
        either(number(integer=True, least=1), text('a size such as "512MB" or "2GiB"', parse=bytes_of)),
        "Memory for chunks in progress, in bytes, and as much again for a computed slice; larger computed slices spill to a temporary "
        "file.",
        default=1_000_000_000,
    )
    dry_run: bool = _flag("Plan and check, but change nothing.")
    logging: bool | str | Mapping[str, object] | None = _setting(
        either(flag(), LEVEL, LOGGING),
        "Log to standard error: true (level INFO), a level, or a table for Python's `logging.config.dictConfig`. In a file, the table must "
        "not contain code.",
        example="INFO",
    )
    profiling: bool | str | Mapping[str, object] | None = _setting(
        either(flag(), text("the path of a file", path=True), PROFILING),
        "Profile the append: true logs the report, a path writes it to a file (a new one, or an earlier report), a table sets the details.",
        example="profile.txt",
    )
    serve: Mapping[str, object] = _options("What `zapz serve` serves, where, and to whom.", {"port": 8000}, SERVE)
    trust_config: bool = _flag(
        "Allow configuration files from URIs to set all that local files may set, and to use environment variables. No file may set this."
    )

    def __repr__(self) -> str:
        """Return the settings that differ from the defaults, without secrets."""
        shown = (f"{f.name}={getattr(self, f.name)!r}" if f.repr else f"{f.name}=..." for f in changed(self))
        return f"Config({', '.join(shown)})"

    @property
    def polling(self) -> Polling | None:
        """How to wait for slices; None for not at all."""
        return polling_of(self.slice_polling)

    def variable(self, path: str) -> VariableSettings:
        """Return the settings of a variable: its own entry, merged over that of "*"."""
        return settings_of(self.variables, path)


def changed(config: Config) -> list[Field[Any]]:
    """Return the settings that differ from their defaults."""
    return [f for f in fields(config) if getattr(config, f.name) != (f.default if f.default is not MISSING else {})]


def remarks(config: Config) -> list[str]:
    """Return a line for each setting that is set but lacks the effect that its name suggests."""
    lines = {
        "permit_eval": "ignored: expressions in attributes never run Python code.",
        "slice_engine": "ignored: slices are opened as Zarr, whatever the engine. Open other formats with slice_source.",
        "disable_rollback": "ignored: uncommitted changes are always rolled back, at no extra cost.",
        "temp_storage_options": "ignored: temporary files are local.",
        "temp_dir": "not used for rollback, only for computed slices larger than memory_limit"
        + (", and only if it is a local folder, which this one is not." if "://" in (config.temp_dir or "") else "."),
    }
    given = {f.name for f in changed(config)}
    return [f"{name}: {line}" for name, line in lines.items() if name in given]
