"""Settings as a program gives them: types for editors and type checkers. Pure.

``SettingsDict`` has one key for each setting of ``Config``, with a type that says what the setting
takes from Python. The declarations in ``settings`` decide; a test compares the two. None takes back
what an earlier layer gave. Nothing that runs needs these types: ``zapz`` loads them when asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, TypedDict

from zapz.config.append_label import AppendLabelDict


class PathObject(Protocol):
    """A path that is no text, such as ``pathlib.Path``."""

    def __fspath__(self) -> str:
        """Return it as text."""


PathOrURI: TypeAlias = str | PathObject
"""A path or URI."""
Names: TypeAlias = list[str] | tuple[str, ...]
"""Names; one alone stands in a list, too."""

Level: TypeAlias = Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET"]
# fmt: off
SortedBy: TypeAlias = Literal[
    "calls", "cumulative", "cumtime", "file", "filename", "module", "ncalls", "pcalls", "line", "name", "nfl", "stdname", "time", "tottime",
]
# fmt: on


class DTypeObject(Protocol):
    """A data type of NumPy."""

    @property
    def kind(self) -> str:
        """Letter of its kind."""

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""


class NumcodecsCodec(Protocol):
    """A codec object of numcodecs."""

    def get_config(self) -> object:
        """Return its configuration."""


class ZarrCodec(Protocol):
    """A codec object of zarr-python."""

    def to_dict(self) -> object:
        """Return its configuration."""


CodecLike: TypeAlias = Mapping[str, object] | NumcodecsCodec | ZarrCodec
"""A codec, or its configuration."""
ChunkLengths: TypeAlias = Sequence[int | Literal["whole"] | None] | Mapping[str, int | Literal["whole"] | None]
"""Lengths in the order of the dimensions, or by name; "whole" or None is the whole dimension."""
FillValueLike: TypeAlias = float | str | Sequence[float | Literal["NaN", "Infinity", "-Infinity"]]
"""A stored value; of a complex number its two parts."""


class EncodingDict(TypedDict, total=False):
    """How a variable of a new target is stored: ``variables.NAME.encoding``."""

    dtype: str | type[object] | DTypeObject
    """Data type as stored, such as "int16" or "datetime64[s]"."""
    chunks: ChunkLengths | Literal["whole"] | None
    """Chunk lengths; "whole" or None is the whole dimension, or all of them."""
    shards: ChunkLengths | None
    """Shard lengths, multiples of the chunks' (Zarr v3); None for no shards."""
    fill_value: FillValueLike | None
    """Value, as stored, of cells that were never written; None for none."""
    _FillValue: FillValueLike | None
    """The same in xarray's word; cells that equal it are missing."""
    scale_factor: float
    """Packing: value = stored * scale_factor + add_offset."""
    add_offset: float
    """Packing: see scale_factor."""
    units: str
    """Units of stored times, such as "hours since 2000-01-01"."""
    calendar: Literal[
        "standard", "gregorian", "proleptic_gregorian", "julian", "noleap", "365_day", "all_leap", "366_day", "360_day"
    ]
    """Calendar of stored times."""
    compressor: CodecLike | None
    """Compressor in the form of Zarr v2; {} for the format's default, None for none."""
    filters: Sequence[CodecLike] | None
    """Filters in the form of Zarr v2; None for none."""
    codecs: Sequence[CodecLike]
    """Codecs in the form of Zarr v3, instead of compressor and filters."""


class VariableDict(TypedDict, total=False):
    """How a variable of a new target is made: ``variables.NAME``."""

    dims: Names | None
    """Names of its dimensions, in order."""
    encoding: EncodingDict | None
    """How it is stored; what is not given is as in the first slice."""
    attrs: Mapping[str, object] | None
    """Attributes, put over those of the first slice; values may hold {{ … }}."""


class PollingDict(TypedDict, total=False):
    """How to wait for slices."""

    interval: float | None
    """Seconds between two looks."""
    timeout: float | None
    """Seconds until giving up."""


class ProfilingDict(TypedDict, total=False):
    """How the append is profiled."""

    enabled: bool | None
    """Whether it is profiled."""
    path: PathOrURI | None
    """File to which the report is written."""
    log_level: Level | None
    """Level at which the report is logged; "NOTSET" does not log it."""
    keys: Sequence[SortedBy] | None
    """Columns by which the report is sorted (as pstats)."""
    restrictions: Sequence[float | str] | None
    """What is left of the report: so many lines, such a share of them, names that match."""


class CommonSettings(TypedDict, total=False):
    """All settings but ``slice_source``, which ``append_map`` has as an argument."""

    version: Literal[1] | None
    """Version of the form of configurations."""
    target_dir: PathOrURI | None
    """Target, where it is not given as an argument."""
    target_storage_options: Mapping[str, object] | None
    """fsspec storage options of the target."""
    append_dim: str | None
    """Name of the dimension along which slices are appended."""
    append_step: float | str | None
    """Required difference between neighbouring labels: a number, a duration ("12h"), "+" or "-"."""
    label_order: Literal["increasing", "decreasing", "any"] | None
    """Order of the labels of the append dimension; "any": none."""
    append_label: AppendLabelDict | None
    """Label of a slice that is one step and lacks the append dimension."""
    slice_size: int | Literal["chunk"] | None
    """Size that every slice must have along the append dimension; "chunk": the target's chunk."""
    fixed_dims: Mapping[str, int | None] | None
    """Sizes that dimensions other than the append dimension must have."""
    included_variables: Names | None
    """Variables to append, with the coordinates that they need."""
    excluded_variables: Names | None
    """Variables of slices that are not appended."""
    variables: Mapping[str, VariableDict | None] | None
    """How variables of a new target are made, by name; "*" stands for all."""
    attrs: Mapping[str, object] | None
    """Attributes of the target's root group; values may hold {{ … }}."""
    attrs_update_mode: Literal["keep", "replace", "update", "ignore"] | None
    """Group attributes: the target's stay, are replaced or updated, or the slice's are ignored."""
    permit_eval: bool | None
    """Not needed: expressions in attributes are never Python's."""
    zarr_format: Literal[2, 3] | None
    """Zarr format of a new target; the first slice's if not given."""
    label_units: Literal["auto", "keep"] | None
    """Units of times in a new target whose first slice has one step."""
    label_chunk: int | Literal["keep"] | None
    """Least chunk length of a new target's small variables; "keep" leaves the slice's."""
    consolidated: bool | None
    """Write consolidated metadata at every commit."""
    force_new: bool | None
    """Replace an existing target by a new one, once the first slice is in it."""
    slice_storage_options: Mapping[str, object] | None
    """fsspec storage options of the slices."""
    slice_references: Names | Sequence[PathObject] | None
    """Where the references of a reference set may lead: folders and URI prefixes."""
    slice_polling: bool | PollingDict | None
    """Wait for slices that are not there or not complete."""
    slice_ready: str | None
    """An object (such as "_SUCCESS") that a slice holds once it is complete."""
    slice_complete: Literal["metadata", "chunks"] | None
    """When a slice is complete: when its metadata are there, or all its chunks."""
    slice_order: Literal["given", "labels"] | None
    """Append slices as they are given, or sorted by their first labels."""
    create: Literal["auto", "never", "always"] | None
    """Create a target that does not exist; never; always (and refuse one that exists)."""
    slice_source_kwargs: Mapping[str, object] | None
    """Keyword arguments of the slice source, besides the item's own."""
    extra: Mapping[str, object] | None
    """Settings of your own, for a slice source: ctx.config.extra."""
    slice_engine: str | None
    """Accepted and not used: slices are Zarr."""
    persist_mem_slices: bool | None
    """Compute a slice into a temporary store first, whatever its size."""
    temp_dir: PathOrURI | None
    """Local folder for computed slices that are larger than memory_limit."""
    temp_storage_options: Mapping[str, object] | None
    """Accepted and not used: temporary files are local."""
    disable_rollback: bool | None
    """Accepted and not used: an append decides before it changes anything."""
    prefetch: int | None
    """How many slices are opened or computed ahead while one is written."""
    static: float | Literal["equal", "ignore"] | None
    """Static variables of a slice must be equal, are ignored, or may differ by so much."""
    on_missing: Literal["refuse", "fill"] | None
    """What to do if a slice lacks a variable of the target."""
    on_extra: Literal["refuse", "ignore"] | None
    """What to do if a slice has a variable that the target lacks."""
    on_existing: Literal["resume", "skip", "refuse"] | None
    """What to do with a slice whose labels are all in the target."""
    resume_budget: int | str | None
    """Bytes of slices that are there already which are compared with the target, such as "64MB"."""
    v2_fill_value: Literal["missing", "value"] | None
    """What cells are that equal the fill_value of a Zarr v2 array: missing, or a value."""
    recompress: bool | None
    """Re-encode chunks whose compressor parameters differ from the target's."""
    verify: bool | None
    """Decode every chunk that is copied, to find damage that its outside does not show."""
    durability: Literal["full", "process"] | None
    """Survive a power failure ("full"), or only the death of the process."""
    lock_wait: float | None
    """Seconds to wait for a target that another process holds."""
    journal: Literal["inside", "beside"] | None
    """Where lock and journal lie: inside the target, or beside it."""
    register: bool | None
    """Remember the last slices in the target, so that slices without labels are recognised."""
    single_writer: bool | None
    """Append to storage that cannot keep two writers apart."""
    follow_links: bool | None
    """Whether linked folders may lead out of the target or a slice."""
    workers: int | None
    """Threads that move chunks; by default one per processor, at most 8."""
    memory_limit: int | str | None
    """Bytes of memory for chunks under way, such as "512MB"."""
    dry_run: bool | None
    """Plan and check, but touch nothing."""
    logging: bool | Level | Mapping[str, object] | None
    """Log to standard error: true, a level, or a table as logging.config.dictConfig takes it."""
    profiling: bool | PathOrURI | ProfilingDict | None
    """Profile the append: true, a file for the report, or a table."""
    trust_config: bool | None
    """Let configuration files from URIs set what local files may."""


class SettingsDict(CommonSettings, total=False):
    """Every setting, as keyword arguments or in a dictionary; ``Config`` has them checked."""

    slice_source: str | Callable[..., object] | None
    """What makes a slice of each item: a function, context manager or class, or its name."""


class AliasedSettings(SettingsDict, total=False):
    """Every setting, and the other name of one, which `zappend` has too."""

    zarr_version: Literal[2, 3] | None
    """Another name of zarr_format."""
