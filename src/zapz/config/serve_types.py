"""Type of the setting ``serve``: what ``zapz serve`` serves, where, and to whom. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zapz.config.option_types import bytes_of
from zapz.config.table_types import free, names, table
from zapz.config.types import Key, Place, SettingType, choice, either, flag, number, several, shown, text
from zapz.config.variables import VARIABLES
from zapz.errors import ConfigError

NAME_WORDS = 'letters, digits, "-", "_" and inner dots; not ending in ".v2" or ".v3"; not "healthz" or "metrics"'
"""Words for the name of a served dataset."""
FACTORY = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
"""Form of a factory, ``module:function``."""
ANY_ORIGIN = "*"
"""Stands for all origins in ``cors``."""

_NAME = r"(?!(?:healthz|metrics)$)(?!.*\.v[23]$)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_ADDRESS = r"\[[0-9A-Fa-f:.]+\]"
_HOST = rf"(?:[A-Za-z0-9._-]+|{_ADDRESS})"
_ORIGIN = rf"([A-Za-z][A-Za-z0-9+.-]*)://({_HOST})(?::([0-9]{{1,5}}))?"
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def is_name(name: str) -> bool:
    """Return whether a dataset can be served under a name, which is a part of its URL."""
    return re.fullmatch(_NAME, name) is not None


def check_name(name: object, where: str, hint: str = "") -> str:
    """Return a name under which a dataset can be served.

    Args:
        name: The name.
        where: What names the dataset so, for the message.
        hint: What to do about another name.

    Raises:
        ConfigError: It cannot be a part of a URL.
    """
    if isinstance(name, str) and is_name(name):
        return name
    raise ConfigError(
        "invalid name of a served dataset", where=where, expected=NAME_WORDS, found=shown(name), hint=hint
    )


def _origin(given: str) -> str:
    """Return an origin as browsers send it: lower case, without the default port.

    Raises:
        ValueError: It is not an origin; the text of the error is a hint, if there is one.
    """
    if given == ANY_ORIGIN:
        return given
    match = re.match(_ORIGIN, given)
    if match is None:
        raise ValueError
    scheme, host, port = match[1].lower(), match[2].lower(), match[3]
    origin = f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS.get(scheme) else "")
    if match[0] != given:
        raise ValueError(f"An origin has no path: {origin!r}." if given[match.end()] == "/" else "")
    return origin


def _host(given: str) -> str:
    if re.fullmatch(_HOST, given):
        return given.lower()
    match = re.fullmatch(rf"(?:[a-z]+://)?({_HOST})(?::[0-9]*)?/?", given)
    raise ValueError(f"Without scheme and port: {match[1].lower()!r}." if match else "")


def _factory(given: str) -> str:
    if not re.fullmatch(FACTORY, given):
        raise ValueError
    return given


def _size(given: str) -> int:
    found = bytes_of(given)
    if not found:
        raise ValueError
    return found


def _formed(kind: SettingType, pattern: str) -> SettingType:
    """Return a type of text whose schema has the pattern that its parser checks."""
    return replace(kind, schema={**kind.schema, "pattern": f"^{pattern}$"})


_DATASET: Mapping[str, Key] = {
    "place": Key(
        kind=text("a path or URI", path=True),
        doc="Path or URI of the dataset. A dataset has either a place or a factory.",
        example="cube.zarr",
    ),
    "factory": Key(
        kind=_formed(text('"module:function"', parse=_factory), FACTORY),
        doc="Function without arguments that creates the dataset: a mapping of arrays, an xarray dataset, or any other slice in memory. "
        "Modules in the current folder are found.",
        example="my_cubes:make",
    ),
    "storage_options": Key(
        kind=free(secret=True), doc="Storage options of the place for fsspec.", example={"anon": True}
    ),
    "format": Key(
        kind=choice(2, 3),
        doc="Zarr format of the metadata at the URL of a factory's dataset; by default 3. `NAME.v2` and `NAME.v3` have a fixed format.",
        example=2,
    ),
    "variables": Key(
        kind=replace(VARIABLES, keys={}),
        doc="Encoding and attributes of a factory's arrays, in the form of the setting `variables`.",
        example={"sst": {"encoding": {"dtype": "int16"}}},
    ),
    "title": Key(
        kind=text(), doc="Title of the dataset on the pages of the server.", example="Sea surface temperature"
    ),
}


def _datasets() -> SettingType:
    entry = table("a table of `place` or `factory`, and how it is served", _DATASET)
    plain = names("a table of datasets by name", entry)

    def read(value: Any, place: Place) -> Any:
        for name in value:
            if isinstance(name, str) and name:  # other keys are refused below
                check_name(name, str(place / name))
        return plain.read(value, place)

    return replace(plain, read=read, schema={**plain.schema, "propertyNames": {"pattern": f"^{_NAME}$"}})


SERVE = table(
    "a table of the server's keys",
    {
        "host": Key(
            kind=text("an address or a host name"),
            doc='Address at which the server listens. An address that other machines can reach ("0.0.0.0" is all addresses) requires '
            "`token_file` or `public`.",
            default="127.0.0.1",
            example="0.0.0.0",  # noqa: S104 - an example
        ),
        "port": Key(
            kind=number(integer=True, least=0, most=65535),
            doc="Port at which the server listens; 0 for any free port.",
            default=8080,
            example=0,
        ),
        "workers": Key(kind=number(integer=True, least=1), doc="Number of processes.", default=1, example=4),
        "refresh": Key(
            kind=number(least=0, finite=True),
            doc="Time between checks whether a dataset on an object store has changed, in seconds. Local ones are checked at each request "
            "for metadata.",
            default=1.0,
            example=10,
        ),
        "max_inflight": Key(
            kind=number(integer=True, least=1),
            doc="Maximum number of requests that are processed at the same time; the server answers further ones with 503.",
            default=64,
            example=256,
        ),
        "max_memory": Key(
            kind=either(number(integer=True, least=1), text('a size such as "512MB" or "2GiB"', parse=_size)),
            doc="Maximum memory for replies and computed chunks, in bytes; the server answers requests that need more with 503.",
            default=1 << 30,
            example="4GiB",
        ),
        "cors": Key(
            kind=several(
                _formed(
                    text('an origin such as "https://maps.example.org", or "*"', parse=_origin), rf"(?:\*|{_ORIGIN})"
                )
            ),
            doc='Origins whose web pages may read the data (CORS): scheme, host and port. By default none, with `public` any ("*").',
            example=["https://maps.example.org"],
        ),
        "allowed_hosts": Key(
            kind=several(_formed(text("a host name without port", parse=_host), _HOST)),
            doc="Host names by which clients may address the server (`Host`), besides loopback names and its own address.",
            example=["data.example.org"],
        ),
        "token_file": Key(
            kind=text("a path", path=True),
            doc="File of tokens, one per line, `#` before a comment. Each request must then have one of them "
            "(`Authorization: Bearer TOKEN`). Other users must not be able to read the file.",
            example="tokens.txt",
        ),
        "public": Key(
            kind=flag(),
            doc="Allow everyone to read the data: without tokens also beyond this machine, and from web pages of any origin.",
            default=False,
        ),
        "stdlib": Key(
            kind=flag(), doc="Use the server of Python's standard library, even if uvicorn is installed.", default=False
        ),
        "log": Key(kind=flag(), doc="Print a line for each request, with the time that it took.", default=False),
        "datasets": Key(
            kind=_datasets(),
            doc="The datasets by name, which is the first part of their URL.",
            example={"cube": {"place": "cube.zarr"}},
        ),
    },
)
"""Type of the setting ``serve``."""
