"""Settings as a program passes them: types for editors and type checkers. Pure.

``SettingsDict`` has one key per setting of ``Config``. Its type is what the setting accepts from
Python. The declarations in ``settings`` decide; a test compares the two. None resets a setting that
an earlier layer set. No running code needs these types: ``zapz`` loads them only on request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, TypedDict

from zapz.config.append_label import AppendLabelDict
from zapz.config.level_types import LevelsDict


class PathObject(Protocol):
    """A path that is not text, such as ``pathlib.Path``."""

    def __fspath__(self) -> str:
        """Return the path as text."""


PathOrURI: TypeAlias = str | PathObject
"""A path or URI."""
Names: TypeAlias = list[str] | tuple[str, ...]
"""Names; a single name must also be in a list."""

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
        """Letter of the kind of data, such as "i"."""

    @property
    def itemsize(self) -> int:
        """Size of an element, in bytes."""


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
"""Lengths in cells, in the order of the dimensions or by name; "whole" or None is the whole
dimension."""
FillValueLike: TypeAlias = float | str | Sequence[float | Literal["NaN", "Infinity", "-Infinity"]]
"""A stored value; for a complex number, its real and imaginary part."""


class EncodingDict(TypedDict, total=False):
    """How a variable of a new target is stored: ``variables.NAME.encoding``."""

    dtype: str | type[object] | DTypeObject
    """Data type as stored, such as "int16" or "datetime64[s]"."""
    chunks: ChunkLengths | Literal["whole"] | None
    """Chunk lengths, in cells; "whole" or None for the whole dimension, or all of them."""
    shards: ChunkLengths | None
    """Shard lengths, in cells: multiples of the chunk lengths (Zarr v3); None for no shards."""
    fill_value: FillValueLike | None
    """Stored value of cells that were never written; None for none."""
    _FillValue: FillValueLike | None
    """Same as fill_value, under the name used by xarray; cells that equal it are missing."""
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
    """How a variable of a new target is created: ``variables.NAME``."""

    dims: Names | None
    """Names of its dimensions, in order."""
    encoding: EncodingDict | None
    """How it is stored; what is not set is taken from the first slice."""
    attrs: Mapping[str, object] | None
    """Attributes, added to those of the first slice; values may contain expressions {{ … }}."""


class PollingDict(TypedDict, total=False):
    """How to wait for slices."""

    interval: float | None
    """Time between checks, in seconds."""
    timeout: float | None
    """Maximum time to wait, in seconds."""


class ProfilingDict(TypedDict, total=False):
    """How the append is profiled."""

    enabled: bool | None
    """Whether it is profiled."""
    path: PathOrURI | None
    """File to which the report is written."""
    log_level: Level | None
    """Level at which the report is logged; "NOTSET" for not at all."""
    keys: Sequence[SortedBy] | None
    """Columns by which the report is sorted (see ``pstats``)."""
    restrictions: Sequence[float | str] | None
    """Lines that the report keeps: a number of them, a fraction, or a pattern that they match."""


class ServedDatasetDict(TypedDict, total=False):
    """A dataset that is served: ``serve.datasets.NAME``; either a place or a factory."""

    place: PathOrURI | None
    """Its path or URI."""
    factory: str | None
    """Function that creates it, "module:function"."""
    storage_options: Mapping[str, object] | None
    """Storage options of its place for fsspec."""
    format: Literal[2, 3] | None
    """Zarr format of the metadata of a factory's dataset; by default 3."""
    variables: Mapping[str, VariableDict | None] | None
    """Encoding and attributes of a factory's arrays, by name; "*" for all."""
    title: str | None
    """Its title."""


class ServeDict(TypedDict, total=False):
    """What ``zapz serve`` serves, where, and to whom."""

    host: str | None
    """Address at which the server listens; by default "127.0.0.1"."""
    port: int | None
    """Its port; 0 for any free port."""
    workers: int | None
    """Number of processes."""
    refresh: float | None
    """Time between checks whether a dataset on an object store has changed, in seconds."""
    max_inflight: int | None
    """Maximum number of requests that are processed at the same time."""
    max_memory: int | str | None
    """Maximum memory for replies and computed chunks, in bytes or such as "2GiB"."""
    cors: Names | None
    """Origins whose web pages may read the data, such as "https://maps.example.org"."""
    allowed_hosts: Names | None
    """Host names by which clients may address the server, besides its own."""
    token_file: PathOrURI | None
    """File of tokens, one per line; each request must then have one of them."""
    public: bool | None
    """Allow everyone to read the data."""
    stdlib: bool | None
    """Use the server of Python's standard library, even if uvicorn is installed."""
    log: bool | None
    """Print a line for each request."""
    datasets: Mapping[str, ServedDatasetDict | None] | None
    """The datasets by name, which is the first part of their URL."""


class CommonSettings(TypedDict, total=False):
    """All settings except ``slice_source``, which is an argument of ``append_map``."""

    version: Literal[1] | None
    """Version of the configuration format."""
    target_dir: PathOrURI | None
    """Path or URI of the target, if it is not an argument."""
    target_storage_options: Mapping[str, object] | None
    """Storage options of the target for fsspec."""
    append_dim: str | None
    """Name of the dimension along which slices are appended."""
    append_step: float | str | None
    """Required difference between neighbouring labels: a number, a duration ("12h"), "+" or "-"."""
    label_order: Literal["increasing", "decreasing", "any"] | None
    """Required order of the labels of the append dimension; "any" for none."""
    append_label: AppendLabelDict | None
    """Label of a slice that is one step and has no append dimension."""
    slice_size: int | Literal["chunk"] | None
    """Required size of each slice, in steps; "chunk" for the target's chunk length."""
    fixed_dims: Mapping[str, int | None] | None
    """Required sizes of dimensions other than the append dimension, in cells."""
    included_variables: Names | None
    """Variables to append, together with the coordinates that they need; by default all."""
    excluded_variables: Names | None
    """Variables of slices that are not appended."""
    variables: Mapping[str, VariableDict | None] | None
    """Dimensions, encoding and attributes of variables in a new target, by name; "*" for all."""
    attrs: Mapping[str, object] | None
    """Attributes of the target's root group; values may contain expressions {{ … }}."""
    attrs_update_mode: Literal["keep", "replace", "update", "ignore"] | None
    """Keep, replace or update the target's group attributes, or ignore those of the slice."""
    permit_eval: bool | None
    """Accepted but ignored: expressions in attributes never run Python code."""
    zarr_format: Literal[2, 3] | None
    """Zarr format of a new target; by default that of the first slice."""
    label_units: Literal["auto", "keep"] | None
    """Units of times in a new target, if the first slice has one step."""
    label_chunk: int | Literal["keep"] | None
    """Minimum chunk length of small variables in a new target, in steps; "keep" for the slice's."""
    consolidated: bool | None
    """Write consolidated metadata at every commit."""
    force_new: bool | None
    """Replace an existing target with a new one, as soon as the new one holds the first slice."""
    slice_storage_options: Mapping[str, object] | None
    """Storage options of the slices for fsspec."""
    slice_references: Names | Sequence[PathObject] | None
    """Locations to which a reference set may refer: folders and URI prefixes."""
    slice_polling: bool | PollingDict | None
    """Wait for slices that do not exist yet or are not complete."""
    slice_ready: str | None
    """Name of an object in the slice, such as "_SUCCESS", that marks it as complete."""
    slice_complete: Literal["metadata", "chunks"] | None
    """When a slice counts as complete: when its metadata are complete, or when all chunks exist."""
    slice_order: Literal["given", "labels"] | None
    """Order in which slices are appended: as given, or sorted by their first labels."""
    create: Literal["auto", "never", "always"] | None
    """Create a missing target ("auto"); require an existing ("never") or a new one ("always")."""
    slice_source_kwargs: Mapping[str, object] | None
    """Keyword arguments of the slice source, besides those of each item."""
    extra: Mapping[str, object] | None
    """Your own settings, which a slice source reads from ``ctx.config.extra``."""
    slice_engine: str | None
    """Accepted but ignored: slices are opened as Zarr."""
    persist_mem_slices: bool | None
    """Compute each slice into a temporary store first, whatever its size."""
    temp_dir: PathOrURI | None
    """Local folder for computed slices that are larger than memory_limit."""
    temp_storage_options: Mapping[str, object] | None
    """Accepted but ignored: temporary files are local."""
    disable_rollback: bool | None
    """Accepted but ignored: uncommitted changes are always rolled back, at no extra cost."""
    prefetch: int | None
    """Number of slices opened or computed ahead while one is written."""
    static: float | Literal["equal", "ignore"] | None
    """Static variables must equal the target's, may differ by at most a number, or are ignored."""
    on_missing: Literal["refuse", "fill"] | None
    """What happens if a slice lacks a variable of the target."""
    on_extra: Literal["refuse", "ignore"] | None
    """What happens if a slice has a variable with the append dimension that the target lacks."""
    on_existing: Literal["resume", "skip", "refuse"] | None
    """What happens to a slice whose labels are all in the target."""
    resume_budget: int | str | None
    """Maximum bytes compared per call for slices that are already in the target, such as "64MB"."""
    v2_fill_value: Literal["missing", "value"] | None
    """Meaning of cells that equal the fill_value of a Zarr v2 array: missing, or a value."""
    levels: LevelsDict | None
    """How the coarser levels of a pyramid get their steps."""
    recompress: bool | None
    """Re-encode chunks whose compressor parameters differ from the target's."""
    verify: bool | None
    """Decode every copied chunk, to find damage that its length and headers do not show."""
    durability: Literal["full", "process"] | None
    """Survive a power failure ("full"), or only a crash of the process ("process")."""
    lock_wait: float | None
    """Maximum time to wait for a target that another process has locked, in seconds."""
    journal: Literal["inside", "beside"] | None
    """Location of lock and journal: inside the target, or beside it."""
    register: bool | None
    """Record the most recent slices in the target, so that slices without labels are recognised."""
    single_writer: bool | None
    """Append to storage that cannot exclude a second writer."""
    follow_links: bool | None
    """Allow linked folders that lead out of the target or a slice."""
    workers: int | None
    """Number of worker threads; by default one per processor, at most 8."""
    memory_limit: int | str | None
    """Memory for chunks in progress, in bytes or such as "512MB"."""
    dry_run: bool | None
    """Plan and check, but change nothing."""
    logging: bool | Level | Mapping[str, object] | None
    """Log to standard error: true, a level, or a table for ``logging.config.dictConfig``."""
    profiling: bool | PathOrURI | ProfilingDict | None
    """Profile the append: true, a file for the report, or a table."""
    serve: ServeDict | None
    """What ``zapz serve`` serves, where, and to whom."""
    trust_config: bool | None
    """Allow configuration files from URIs to set all that local files may set."""


class SettingsDict(CommonSettings, total=False):
    """Every setting, as keyword arguments or in a dictionary; ``Config`` holds checked values."""

    slice_source: str | Callable[..., object] | None
    """Function, context manager or class that creates a slice from each item, or its name."""


class AliasedSettings(SettingsDict, total=False):
    """Every setting, and the other name of zarr_format, which `zappend` accepts too."""

    zarr_version: Literal[2, 3] | None
    """Another name of zarr_format."""
