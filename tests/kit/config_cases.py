"""Configurations as JSON has them: what each setting takes, in which form it is kept, and what it refuses."""

from typing import Any

Settings = dict[str, Any]

KEPT: list[tuple[str, Any, Any]] = [
    ("version", 1, 1),
    ("target_dir", "s3://b/cube.zarr", "s3://b/cube.zarr"),
    (
        "target_storage_options",
        {"anon": None, "client_kwargs": {"a": [1]}},
        {"anon": None, "client_kwargs": {"a": [1]}},
    ),
    ("append_dim", "t", "t"),
    ("append_label", {"from": "name:_(\\d{8})_", "format": "%Y%m%d"}, {"from": "name:_(\\d{8})_", "format": "%Y%m%d"}),
    (
        "append_label",
        {"units": "days since 2000-01-01", "variables": ["*", "a"]},
        {"units": "days since 2000-01-01", "variables": ("*", "a")},
    ),
    ("append_step", "-1D", "-1D"),
    ("append_step", 0.5, 0.5),
    ("append_step", "P1M", "P1M"),
    ("append_step", "+", "+"),
    ("slice_size", "chunk", "chunk"),
    ("slice_size", 3, 3),
    ("label_chunk", "keep", "keep"),
    ("label_chunk", 1 << 20, 1 << 20),
    ("zarr_format", 2, 2),
    ("fixed_dims", {"lat": 180, "group/x": 1}, {"lat": 180, "group/x": 1}),
    ("included_variables", ["a", "b"], ("a", "b")),
    ("excluded_variables", [], ()),
    ("attrs", {"a": None, "b": [1, {"c": "{{ ds.time[0] }}"}]}, {"a": None, "b": [1, {"c": "{{ ds.time[0] }}"}]}),
    ("static", 0.5, 0.5),
    ("static", "ignore", "ignore"),
    ("lock_wait", 3, 3),
    ("slice_polling", True, True),
    ("slice_polling", {"interval": 0.5}, {"interval": 0.5}),
    ("slice_polling", {"interval": 2, "timeout": 60}, {"interval": 2, "timeout": 60}),
    ("slice_ready", "done/_SUCCESS", "done/_SUCCESS"),
    ("slice_source", "my.module:name", "my.module:name"),
    ("slice_source_kwargs", {"a": None}, {"a": None}),
    ("extra", {"any": [{"thing": 1}]}, {"any": [{"thing": 1}]}),
    ("memory_limit", 1, 1),
    ("memory_limit", "512MB", 512_000_000),
    ("memory_limit", "2GiB", 2 << 30),
    ("memory_limit", "1.5 kb", 1500),
    ("memory_limit", "7", 7),
    ("prefetch", 0, 0),
    ("logging", True, True),
    ("logging", "DEBUG", "DEBUG"),
    ("logging", {"version": 1, "root": {"level": "INFO"}}, {"version": 1, "root": {"level": "INFO"}}),
    ("profiling", False, False),
    ("profiling", "p.txt", "p.txt"),
    (
        "profiling",
        {"enabled": False, "path": "p", "log_level": "NOTSET", "keys": ["calls"], "restrictions": [1, 0.5, "re"]},
        {"enabled": False, "path": "p", "log_level": "NOTSET", "keys": ("calls",), "restrictions": (1, 0.5, "re")},
    ),
    (
        "serve",
        {"host": "::1", "port": 0, "workers": 4, "refresh": 0},
        {"host": "::1", "port": 0, "workers": 4, "refresh": 0.0},
    ),
    ("serve", {"max_memory": "1GiB", "max_inflight": 1}, {"max_memory": 1 << 30, "max_inflight": 1}),
    ("serve", {"public": True, "stdlib": False, "log": True}, {"public": True, "stdlib": False, "log": True}),
    (
        "serve",
        {"cors": ["HTTPS://Maps.Example.org:443", "http://localhost:3000", "http://[::1]:80", "*"]},
        {"cors": ("https://maps.example.org", "http://localhost:3000", "http://[::1]", "*")},
    ),
    ("serve", {"allowed_hosts": ["Data.Example.org", "[::1]"]}, {"allowed_hosts": ("data.example.org", "[::1]")}),
    (
        "serve",
        {
            "token_file": "tokens.txt",
            "datasets": {"sst-1.5_x": {"place": "s3://b/c.zarr", "storage_options": {"key": 1}}},
        },
        {
            "token_file": "tokens.txt",
            "datasets": {"sst-1.5_x": {"place": "s3://b/c.zarr", "storage_options": {"key": 1}}},
        },
    ),
    (
        "serve",
        {
            "datasets": {
                "a": {"factory": "my.cubes:make", "format": 2, "title": "A", "variables": {"b": {"dims": ["x"]}}}
            }
        },
        {
            "datasets": {
                "a": {"factory": "my.cubes:make", "format": 2, "title": "A", "variables": {"b": {"dims": ("x",)}}}
            }
        },
    ),
    ("variables", {}, {}),
    ("variables", {"a": {"dims": ["t", "x"], "attrs": {"u": 1}}}, {"a": {"dims": ("t", "x"), "attrs": {"u": 1}}}),
]
"""Setting, value given, value kept."""

ENCODINGS: list[tuple[str, Any, Any]] = [
    *(("dtype", given, kept) for given, kept in (("uint16", "uint16"), ("float16", "float16"), ("complex64", "complex64"), ("bool", "bool"))),
    *(("dtype", given, kept) for given, kept in (("i2", "int16"), ("<f4", "float32"), ("|u1", "uint8"), ("|b1", "bool"))),
    *(("dtype", given, kept) for given, kept in (("string", "string"), ("str", "string"), ("bytes", "bytes"), ("<U8", "U8"), ("S3", "S3"))),
    *(("dtype", f"datetime64[{unit}]", f"datetime64[{unit}]") for unit in ("s", "ns", "D", "10m")),
    *(("dtype", given, kept) for given, kept in (("<M8[ms]", "datetime64[ms]"), ("m8[h]", "timedelta64[h]"))),
    ("chunks", [1, None, 512], (1, None, 512)),
    ("chunks", [1, "whole"], (1, None)),
    ("chunks", {"time": 1, "lat": None, "lon": "whole"}, {"time": 1, "lat": None, "lon": None}),
    ("chunks", None, None),
    ("chunks", "whole", None),
    ("chunks", [], ()),
    ("shards", {"time": 64}, {"time": 64}),
    ("shards", [64, None], (64, None)),
    ("shards", None, None),
    ("shards", False, None),
    *(("fill_value", value, value) for value in (0, -9999, 1.5, "NaN", "", "missing", True)),
    ("fill_value", [0, "NaN"], (0, "NaN")),
    ("fill_value", None, None),
    ("fill_value", False, None),
    ("_FillValue", -9999, -9999),
    ("_FillValue", "NaN", "NaN"),
    ("_FillValue", None, None),
    ("scale_factor", 0.01, 0.01),
    ("add_offset", 0, 0),
    ("units", "days since 2000-01-01", "days since 2000-01-01"),
    ("calendar", "noleap", "noleap"),
    ("compressor", {"id": "blosc", "cname": "zstd", "shuffle": 2}, {"id": "blosc", "cname": "zstd", "shuffle": 2}),
    ("compressor", {}, {}),
    ("compressor", None, None),
    ("compressor", False, None),
    ("filters", [{"id": "delta", "dtype": "<i2"}], ({"id": "delta", "dtype": "<i2"},)),
    ("filters", [], ()),
    ("filters", None, None),
    ("filters", False, None),
    ("codecs", [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}], ({"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}})),
]  # fmt: skip
"""Key of an encoding, value given, value kept."""

SERVE_FORMS: list[tuple[str, Any, str]] = [
    ("serve", {"port": 65536}, "serve.port: expected an integer from 0 to 65535, found 65536"),
    ("serve", {"workers": 0}, "serve.workers"),
    ("serve", {"refresh": -1}, "serve.refresh: expected a number from 0"),
    ("serve", {"max_memory": 0}, "serve.max_memory"),
    ("serve", {"host": ""}, "serve.host"),
    ("serve", {"cors": ["https://a.org/"]}, "serve.cors[0]: expected an origin such as \"https://maps.example.org\", or \"*\", found 'https://a.org/'. An origin has no path: 'https://a.org'."),
    *(("serve", {"cors": ["*", origin]}, "serve.cors[1]") for origin in ("a.org", "null", "https://*.org", "https://u@a.org", "https://a.org:x", "://a", "https://")),
    ("serve", {"allowed_hosts": ["a.org:80"]}, "serve.allowed_hosts[0]: expected a host name without port, found 'a.org:80'. Without scheme and port: 'a.org'."),
    *(("serve", {"allowed_hosts": [host]}, "serve.allowed_hosts[0]") for host in ("*", "a/b", "::1", "a b")),
    ("serve", {"datasets": {"a": {"factory": "make"}}}, "serve.datasets.a.factory: expected \"module:function\", found 'make'"),
    ("serve", {"datasets": {"a": {"factory": "a b:c"}}}, "serve.datasets.a.factory"),
    ("serve", {"datasets": {"a": {"place": ""}}}, "serve.datasets.a.place"),
    ("serve", {"datasets": {"a": {"variables": {"b": {"encoding": {"chunks": [0]}}}}}}, "serve.datasets.a.variables.b.encoding.chunks[0]"),
    *(
        ("serve", {"datasets": {name: {"place": "x"}}}, 'expected letters, digits, "-", "_" and inner dots')
        for name in ("a/b", "a@1", "a.v2", "x.v3", ".a", "a.", "a..b", "healthz", "metrics", "a b", "é", "a%2fb")
    ),
    ("serve", {"datasets": {"": {"place": "x"}}}, "keys must be strings, serve.datasets"),
]  # fmt: skip
"""Bounds, and texts and names that have a form of their own, in ``serve``."""

REFUSED: list[tuple[str, Any, str]] = [
    ("version", 2, "expected 1, found 2"),
    ("version", True, "expected 1, found True"),
    ("append_dim", "", "append_dim: expected text"),
    ("append_step", 0, "other than 0"),
    ("append_step", True, "append_step"),
    ("zarr_format", 4, "expected 2 or 3, found 4"),
    ("zarr_format", True, "expected 2 or 3, found True"),
    ("zarr_version", "2", "zarr_version: expected 2 or 3, found '2'"),
    ("label_chunk", (1 << 20) + 1, "from 1 to 1048576"),
    ("label_chunk", 1.5, "label_chunk"),
    ("on_existing", "Resumed", "Did you mean 'resume'?"),
    ("logging", "info", "Did you mean 'INFO'?"),
    ("logging", {"root": {}}, "logging.version: expected 1, found None"),
    ("logging", {"version": 2}, "logging.version: expected 1, found 2"),
    ("included_variables", "a", "included_variables: expected a list of text, found 'a'"),
    ("included_variables", ["a", 1], "included_variables[1]: expected text, found 1"),
    ("included_variables", [""], "included_variables[0]"),
    ("fixed_dims", {"lat": 0}, "fixed_dims.lat: expected an integer from 1, found 0"),
    ("fixed_dims", {"a b": "x"}, 'fixed_dims."a b": expected'),
    ("fixed_dims", {"": 1}, "fixed_dims"),
    ("attrs", ["a"], "attrs: expected a table"),
    ("slice_polling", {"intervall": 1}, "unknown setting, slice_polling.intervall: found 'intervall'. Did you mean 'interval' (a number above 0"),
    ("slice_polling", {"interval": 0}, "slice_polling.interval: expected a number above 0"),
    ("slice_polling", {"timeout": 1e10}, "slice_polling.timeout"),
    ("slice_polling", 2, "slice_polling: expected true or false or a table"),
    ("prefetch", -1, "prefetch: expected an integer from 0, found -1"),
    ("memory_limit", 0, "memory_limit"),
    ("memory_limit", True, "memory_limit"),
    ("workers", 1.0, "workers: expected an integer from 1"),
    ("profiling", {"keys": ["calls", "tim"]}, "profiling.keys[1]: expected"),
    ("profiling", {"restrictions": [1.5]}, "profiling.restrictions[0]: expected an integer from 1 or a number from 0 to 1 or a pattern"),
    ("profiling", {"pth": "x"}, "Did you mean 'path' (text)?"),
    ("extra", [], "extra: expected a table"),
    ("serve", [], "serve: expected a table of the server's keys"),
    ("serve", {"prot": 1}, "unknown setting, serve.prot: found 'prot'. Did you mean 'port' (an integer from 0 to 65535)?"),
    ("serve", {"cors": "*"}, "serve.cors: expected a list"),
    ("serve", {"token_file": 1}, "serve.token_file"),
    ("serve", {"datasets": {"a": {"plase": "x"}}}, "unknown setting, serve.datasets.a.plase: found 'plase'. Did you mean 'place'"),
    ("serve", {"datasets": {"a": {"format": 4}}}, "serve.datasets.a.format: expected 2 or 3"),
    *SERVE_FORMS,
    ("variables", ["a"], "variables: expected a table"),
    ("variables", {"a": {"chunks": [1]}}, "unknown setting, variables.a.chunks: found 'chunks'. This setting belongs one level deeper: 'encoding.chunks'"),
    ("variables", {"a": {"encodings": {}}}, "Did you mean 'encoding' (a table of the encoding's keys)?"),
    ("variables", {"a": {"qqq": 1}}, "Known keys: dims, encoding, attrs"),
    ("variables", {"a": {"dims": "time"}}, "variables.a.dims: expected a list of text, found 'time'"),
    ("variables", {"a": {"dims": ["x", "x"]}}, "A value occurs twice"),
    ("variables", {"a": [1]}, "variables.a: expected a table"),
    ("timeout", 1, "This setting belongs one level deeper: 'slice_polling.timeout'"),
    ("chunkz", {}, "`zapz config` lists all settings"),
]  # fmt: skip
"""Setting, value, part of the message."""

REFUSED_ENCODINGS: list[tuple[str, Any, str]] = [
    ("chnuks", [1], "unknown setting, variables.chl.encoding.chnuks: found 'chnuks'. Did you mean 'chunks' (a list"),
    ("chunks", [0], "chunks[0]: expected an integer from 1 or null"),
    ("chunks", 5, "variables.chl.encoding.chunks: expected a list"),
    ("chunks", {"lat": -1}, "chunks.lat"),
    ("chunks", "all", "chunks"),
    ("shards", "whole", "shards"),
    ("fill_value", [1], "fill_value"),
    ("fill_value", {}, "fill_value"),
    ("scale_factor", 0, "scale_factor: expected a number other than 0, found 0"),
    ("scale_factor", None, "scale_factor: expected a number other than 0, found None"),
    ("add_offset", "1", "add_offset"),
    ("calendar", "gregorien", "Did you mean 'gregorian'?"),
    ("units", "", "units"),
    ("compressor", "zstd", 'compressor: expected a table with an "id"'),
    ("compressor", {"level": 1}, "The key 'id' is missing"),
    ("compressor", True, "compressor"),
    ("_FillValue", [1], "_FillValue"),
    ("filters", {"id": "delta"}, "filters: expected a list"),
    ("filters", [{}], "The key 'id' is missing"),
    ("filters", [{"id": "delta"}, {}], "filters[1]"),
    ("codecs", None, "codecs"),
    ("codecs", [{"name": "zstd", "config": {}}], "variables.chl.encoding.codecs[0].config: found 'config'. Did you mean 'configuration'"),
    ("codecs", [{"configuration": {}}], "The key 'name' is missing"),
]  # fmt: skip
"""Key of the encoding of ``chl``, value, part of the message."""

BEYOND_SCHEMA: list[tuple[str, Any, str]] = [
    ("slice_ready", "../x", "slice_ready"),
    ("memory_limit", "many", "memory_limit: expected an integer from 1 or a size such as"),
    ("serve", {"max_memory": "much"}, "serve.max_memory"),
    ("serve", {"max_memory": "0kB"}, "serve.max_memory"),
    ("append_step", "1 day", 'append_step: expected a number other than 0 or "+" or "-" or a duration such as "12h"'),
    ("append_step", "P1M1D", "A duration must have either years and months"),
    ("attrs", {"a": ["{{ ds.time[ }}"]}, "attrs.a[0]"),
    ("attrs", {"a": "{{ __import__('os') }}"}, "attrs.a"),
    ("variables", {"x": {"attrs": {"a": "{{ 1 + 1 }}"}}}, "variables.x.attrs.a"),
    ("dtype", "int17", "variables.chl.encoding.dtype: expected the name of a NumPy number type"),
    ("dtype", "in16", "Did you mean 'int16'?"),
    ("dtype", "int", "dtype"),
    ("dtype", "float128", "dtype"),
    ("dtype", "f16", "dtype"),
    ("dtype", "i3", "dtype"),
    ("dtype", ">i2", "Byte order is a property of the codecs"),
    ("dtype", "datetime64", "Add a unit"),
    ("dtype", "object", "'string'"),
    ("dtype", "i4,f4", "dtype"),
    ("dtype", "U0", "dtype"),
]
"""What only ``make`` refuses, because JSON schema has no words for it."""


def settings_of(key: str, value: Any) -> Settings:
    """A configuration with one setting, or one key of the encoding of ``chl``."""
    encoding = key in {name for name, *_ in (*ENCODINGS, *REFUSED_ENCODINGS)}
    return {"variables": {"chl": {"encoding": {key: value}}}} if encoding else {key: value}
