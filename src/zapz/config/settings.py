"""The configuration: one frozen value. Each setting is declared once; validation, merging and the reference all come from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal

from zapz.config import trust
from zapz.config.append_label import APPEND_LABEL, AppendLabelDict
from zapz.config.option_types import LEVEL, LOGGING, POLLING, PROFILING, STEP, Polling, bytes_of, polling_of, step_of
from zapz.config.table_types import free, names
from zapz.config.types import Key, SettingType, choice, either, flag, function, number, several, text
from zapz.config.variables import ATTRIBUTES, VARIABLES, VariableSettings, settings_of
from zapz.errors import MetadataError
from zapz.format.jsontext import JSON
from zapz.format.metadata import check_path

SliceSource = str | Callable[..., object]
"""What names or is a slice source."""


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


def _options(doc: str, example: Any = None) -> Any:
    return _setting(free(secret=True), doc, default={}, example=example, secret=True)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Config:
    """Every setting of an append. The names are also those of configuration files and of keyword arguments."""

    version: Literal[1] = _setting(choice(1), "Version of the form of configurations.", default=1)
    target_dir: str | None = _setting(
        text("a path or URI", path=True), "Target, where it is not given as an argument.", example="cube.zarr"
    )
    target_storage_options: Mapping[str, object] = _options("fsspec storage options of the target.")
    append_dim: str = _setting(text(), "Name of the dimension along which slices are appended.", default="time")
    append_step: float | str | None = _setting(
        either(number(finite=True, nonzero=True), text(STEP, parse=step_of)),
        'Required difference between neighbouring labels: a number in the labels\' own units, a duration ("12h", "-1D", "PT1H", '
        '"P1M"), or just "+" or "-".',
        example="1D",
    )
    label_order: Literal["increasing", "decreasing", "any"] | None = _setting(
        choice("increasing", "decreasing", "any"),
        "Order of the labels of the append dimension; by default increasing, or decreasing where the target's already are. "
        '"any": none; then all labels of the target are read, once a call, to recognise a slice that is there already.',
        example="increasing",
    )
    append_label: AppendLabelDict = _setting(  # noqa: RUF009 - it makes a field, as the others do
        APPEND_LABEL,
        "Label of a slice that is one step and lacks the append dimension; a scalar of that name is taken without asking.",
        default={},
        example={"from": r"name:_(\d{8})_", "format": "%Y%m%d"},
    )
    slice_size: int | Literal["chunk"] | None = _setting(
        either(number(integer=True, least=1), choice("chunk")),
        'Size that every slice must have along the append dimension; "chunk" demands the target\'s chunk length.',
        example=1,
    )
    fixed_dims: Mapping[str, int] = _setting(
        names("a table of sizes", number(integer=True, least=1)),
        "Sizes that dimensions other than the append dimension must have.",
        default={},
        example={"lat": 180, "lon": 360},
    )
    included_variables: tuple[str, ...] = _setting(
        several(text()),
        "Variables to append, with the coordinates that they need; by default all.",
        default=(),
        example=["chl"],
    )
    excluded_variables: tuple[str, ...] = _setting(
        several(text()), "Variables of slices that are not appended.", default=(), example=["quality"]
    )
    variables: Mapping[str, Mapping[str, object]] = _setting(
        VARIABLES,
        "How variables of a new target are made; what is not given is as in the first slice. An existing target must not contradict.",
        default={},
    )
    attrs: Mapping[str, JSON] = _setting(
        ATTRIBUTES,
        "Attributes of the target's root group, put over what attrs_update_mode leaves; values may hold `{{ … }}`.",
        default={},
        example={"title": "A cube", "time_coverage_end": "{{ upper_bound(ds.time) }}"},
    )
    attrs_update_mode: Literal["keep", "replace", "update", "ignore"] = _setting(
        choice("keep", "replace", "update", "ignore"),
        "Group attributes: the target's are kept, replaced by the slice's, updated with them, or the slice's ignored.",
        default="keep",
    )
    permit_eval: bool = _flag("Not needed: expressions in attributes are never Python's.")
    zarr_format: Literal[2, 3] | None = _setting(
        choice(2, 3), "Zarr format of a new target; the first slice's if not given.", example=3
    )
    label_units: Literal["auto", "keep"] = _setting(
        choice("auto", "keep"),
        'Units of times in a new target whose first slice has one step: "auto" makes them seconds if they only count from that step '
        'itself, so that labels in between can follow; "keep" keeps them.',
        default="auto",
    )
    label_chunk: int | Literal["keep"] = _setting(
        either(number(integer=True, least=1, most=1 << 20), choice("keep")),
        "Least chunk length, along the append dimension, of a new target's small variables (one step at most 256 "
        'bytes); "keep" leaves the slice\'s.',
        default=1024,
    )
    consolidated: bool = _flag(
        "Write consolidated metadata at every commit; the promise to readers rests on it.", default=True
    )
    force_new: bool = _flag("Replace an existing target by a new one, once the first slice is in it.")
    slice_storage_options: Mapping[str, object] = _options("fsspec storage options of the slices.")
    slice_references: tuple[str, ...] | None = _setting(
        several(text("a folder or a URI prefix", parse=trust.place_of_references, path=True)),
        "Where the references of a reference set (`reference://`) may lead: folders and URI prefixes; by default only below the folder "
        "of the set's own file. `[]`: nowhere.",
        example=["s3://bucket/archive/"],
    )
    slice_polling: Mapping[str, float] | bool | None = _setting(
        either(flag(), POLLING),
        "Wait for slices that are not there or not complete: true (look every 2 seconds, for 60), or a table of `interval` and "
        "`timeout` in seconds. The target is not locked meanwhile.",
        example=True,
    )
    slice_ready: str | None = _setting(
        text("the name of an object in the slice", parse=_key_of),
        'An object (such as "_SUCCESS") that a slice holds once it is complete; without it, it is not appended.',
        example="_SUCCESS",
    )
    slice_complete: Literal["metadata", "chunks"] = _setting(
        choice("metadata", "chunks"),
        'When a slice is complete: as soon as its "metadata" are, or when all its "chunks" are there.',
        default="metadata",
    )
    slice_order: Literal["given", "labels"] = _setting(
        choice("given", "labels"),
        'Append slices in the order in which they are "given", or sorted by their first "labels": of a list of paths or URIs.',
        default="given",
    )
    create: Literal["auto", "never", "always"] = _setting(
        choice("auto", "never", "always"),
        '"auto" creates the target if it does not exist, "never" refuses then, "always" refuses if it exists.',
        default="auto",
    )
    slice_source: SliceSource | None = _setting(  # noqa: RUF009 - it makes a field, as the others do
        either(text('"module:name" or "module.name"'), function()),
        "What makes a slice of each item: a function, context manager or class.",
        example="my_slices:open_slice",
    )
    slice_source_kwargs: Mapping[str, object] = _setting(
        free(), "Keyword arguments of the slice source, besides the item's own.", default={}, example={"level": 2}
    )
    extra: Mapping[str, Any] = _setting(
        free(),
        "Settings of your own: a slice source finds them in `ctx.config.extra`.",
        default={},
        example={"sensor": "A"},
    )
    slice_engine: str | None = _setting(text(), "Accepted and not used: slices are Zarr.", example="zarr")
    persist_mem_slices: bool = _flag("Compute a slice into a temporary store first, whatever its size.")
    temp_dir: str | None = _setting(
        text("a path", path=True),
        "Local folder for computed slices that are larger than memory_limit.",
        example="scratch",
    )
    temp_storage_options: Mapping[str, object] = _options("Accepted and not used: temporary files are local.")
    disable_rollback: bool = _flag(
        "Accepted and not used: zapz has nothing to roll back, it decides before it changes."
    )
    prefetch: int = _setting(
        number(integer=True, least=0), "How many slices are opened or computed ahead while one is written.", default=0
    )
    static: float | Literal["equal", "ignore"] = _setting(
        either(choice("equal", "ignore"), number(least=0)),
        'Static variables of a slice must be "equal" to the target\'s, are "ignore"d, or may differ by at most this number.',
        default="equal",
    )
    on_missing: Literal["refuse", "fill"] = _setting(
        choice("refuse", "fill"),
        'What to do if a slice lacks a variable of the target: "fill" appends missing cells (its marker, else its fill value).',
        default="refuse",
    )
    on_extra: Literal["refuse", "ignore"] = _setting(
        choice("refuse", "ignore"),
        "What to do if a slice has a variable, with the append dimension, that the target lacks.",
        default="refuse",
    )
    on_existing: Literal["resume", "skip", "refuse"] = _setting(
        choice("resume", "skip", "refuse"),
        'What to do with a slice whose labels are all in the target: "resume" passes over it if it equals what is there and '
        'refuses it if not, "skip" passes over it without comparing, "refuse" refuses it.',
        default="resume",
    )
    resume_budget: int = _setting(
        either(number(integer=True, least=0), text('a size such as "64MB"', parse=bytes_of)),
        "Bytes of slices that are there already which a call compares with the target, as a sample that is spread over slices, arrays and "
        "chunks; on object stores one request for each million. `verify` compares all.",
        default=64_000_000,
    )
    v2_fill_value: Literal["missing", "value"] | None = _setting(
        choice("missing", "value"),
        "What cells are that equal the `fill_value` of a Zarr v2 array if no attribute `_FillValue` says the same: "
        '"missing", as xarray reads them, or a "value", as zarr-python does; an attribute that says something else is the marker then. '
        "If not given, a slice is refused where it makes a difference.",
        example="value",
    )
    recompress: bool = _flag(
        "Re-encode chunks whose compressor parameters differ from the target's, even where the target's codecs can read them."
    )
    verify: bool = _flag("Decode every chunk that is copied, to find damage that its outside does not show.")
    durability: Literal["full", "process"] = _setting(
        choice("full", "process"),
        '"full" survives a power failure; "process" survives only the death of the process, and never waits for the disk.',
        default="full",
    )
    lock_wait: float = _setting(
        number(least=0), "Seconds to wait for a target that another process holds.", default=0.0
    )
    journal: Literal["inside", "beside"] = _setting(
        choice("inside", "beside"),
        'Where lock and journal lie: "inside" the target in `.zapz`, or "beside" it in `TARGET.zapz`. The same for all writers.',
        default="inside",
    )
    register: bool = _flag(
        "Remember the last slices in the target (on object stores that is always done), so that a slice without labels is recognised "
        "when the same command is run again."
    )
    single_writer: bool = _flag(
        "Append to storage that cannot keep two writers apart; only if certainly nobody else writes to the target."
    )
    follow_links: bool = _flag("Whether linked folders may lead out of the target or a slice.")
    workers: int | None = _setting(
        number(integer=True, least=1), "Threads that move chunks; by default one per processor, at most 8.", example=4
    )
    memory_limit: int = _setting(
        either(number(integer=True, least=1), text('a size such as "512MB" or "2GiB"', parse=bytes_of)),
        "Bytes of memory for chunks under way, and again for a computed slice; what is more of that goes to a temporary file.",
        default=1_000_000_000,
    )
    dry_run: bool = _flag("Plan and check, but touch nothing.")
    logging: bool | str | Mapping[str, object] | None = _setting(
        either(flag(), LEVEL, LOGGING),
        "Log to standard error: true (level INFO), a level, or a table as Python's `logging.config.dictConfig` takes it; in a file, "
        "one without code.",
        example="INFO",
    )
    profiling: bool | str | Mapping[str, object] | None = _setting(
        either(flag(), text("the path of a file", path=True), PROFILING),
        "Profile the append: true (the report is logged), a file for the report (new, or such a report), or a table.",
        example="profile.txt",
    )
    trust_config: bool = _flag(
        "Let configuration files from URIs set what local files may, and use variables of the environment. No file may set it."
    )

    def __repr__(self) -> str:
        """Return what differs from the defaults, without secrets."""
        shown = (f"{f.name}={getattr(self, f.name)!r}" if f.repr else f"{f.name}=..." for f in changed(self))
        return f"Config({', '.join(shown)})"

    @property
    def polling(self) -> Polling | None:
        """How to wait for slices; None if they are not waited for."""
        return polling_of(self.slice_polling)

    def variable(self, path: str) -> VariableSettings:
        """Return what is configured for a variable: its own entry, merged over that of "*"."""
        return settings_of(self.variables, path)


def changed(config: Config) -> list[Field[Any]]:
    """Return the settings that differ from their defaults."""
    return [f for f in fields(config) if getattr(config, f.name) != (f.default if f.default is not MISSING else {})]


def remarks(config: Config) -> list[str]:
    """Return one line for each setting that is accepted but does not do what its name says, if it was set."""
    lines = {
        "permit_eval": "expressions in attributes need no permission: they cannot run Python.",
        "slice_engine": "slices are opened as Zarr, whatever engine is named; open others with slice_source.",
        "disable_rollback": "there is nothing to disable: an append decides before it changes anything, and costs no copy of the target.",
        "temp_storage_options": "temporary files are local, and need none.",
        "temp_dir": "nothing is kept there for rolling back; it is used for computed slices larger than memory_limit"
        + (", but only if it is a local folder: this one is not used." if "://" in (config.temp_dir or "") else "."),
    }
    given = {f.name for f in changed(config)}
    return [f"{name}: {line}" for name, line in lines.items() if name in given]
