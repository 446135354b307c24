"""Which settings each origin may set, and the list of harmless settings. Pure.

A configuration can name code to run, files to write and secrets to publish. What the caller sets,
in Python or on the command line, is trusted. A local file that the caller names may set nearly
everything. A file from elsewhere, or one that the caller did not name, may set only the settings in
`HARMLESS`. A new setting is not available to such files until it is added there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto

from zapz.config.types import Place, dotted
from zapz.errors import ConfigError


class Origin(Enum):
    """Origin of settings."""

    CALLER = auto()
    """Keyword arguments, mappings and `Config` objects in Python, and the command line (flags,
    `--set`, `ZAPZ_SET_…`): trusted."""
    LOCAL_FILE = auto()
    """A local file that the caller names, or any file that the caller trusts: may set all but
    `UNFILED`."""
    ELSEWHERE = auto()
    """A file that the caller may not have written: may set what is `HARMLESS`, and not use
    environment variables."""
    FOUND = auto()
    """A file that the command line found in the folder or in one above, not named by the caller:
    like `ELSEWHERE`."""


LIMITED = frozenset({Origin.ELSEWHERE, Origin.FOUND})
"""Origins that may set only what is `HARMLESS`."""


HARMLESS = frozenset(
    {
        # which data are appended, and how they are stored
        "version",
        "append_dim",
        "append_label",
        "levels",
        "append_step",
        "label_order",
        "label_chunk",
        "label_units",
        "slice_size",
        "fixed_dims",
        "included_variables",
        "excluded_variables",
        "variables",
        "attrs",
        "attrs_update_mode",
        "zarr_format",
        "slice_order",
        "create",
        "static",
        "on_missing",
        "on_extra",
        "v2_fill_value",
        # more checks, or waiting
        "recompress",
        "verify",
        "register",
        "lock_wait",
        "slice_polling",
        "slice_ready",
        "slice_complete",
        # accepted but ignored
        "slice_engine",
        "disable_rollback",
    }
)
"""Settings that any file may set, also one that the caller did not write.

Each of them describes only data of the slices and the target that the caller names. A setting does
not belong here if it

- names code, a location, or a storage option;
- reads or writes a file other than slices and target, or follows links beyond them;
- weakens the guarantees for crashes, power failures or readers, or replaces existing data;
- reserves memory or threads of the machine;
- changes what the command does, or defines who is trusted.
"""

UNFILED = frozenset({"trust_config"})
"""Settings that no file may set, whatever its origin."""

PUBLISHED = frozenset({"attrs", "variables"})
"""Settings whose values are written to the metadata of the target, which all its readers see."""

_TRUST_HINT = "If you trust the file as you trust a program, use --trust-config (in Python trust_config=True)."
"""How a caller allows a file from elsewhere to do what a local file may."""

_REVEALING = (  # compiled on use: most runs do not need it
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PASSCODE|CREDENTIAL|PRIVATE|BEARER|COOKIE|CONNECTION_?STRING"
    r"|(API|ACCESS|ACCOUNT|STORAGE|SIGNING|ENCRYPTION|MASTER|SHARED|AUTH|SSH|HMAC|AES|RSA)_?KEY"
    r"|(^|_)(JWT|SAS|PAT)(_|$)|_(PASS|PWD)$"
)


def looks_secret(name: str) -> bool:
    """Return whether the name of an environment variable suggests a secret."""
    return re.search(_REVEALING, name, re.IGNORECASE) is not None


def described(origin: Origin) -> str:
    """Return the name of a file of limited trust, for messages."""
    return "an unnamed configuration file" if origin is Origin.FOUND else "a configuration file from a URI"


def advice(origin: Origin, file: str) -> str:
    """Return how a caller allows a file to do what a named local file may do.

    Args:
        origin: Origin of the file.
        file: The file.
    """
    if origin is Origin.FOUND:
        return f"If you trust the file, pass it: `-c {file}`. To ignore it, use `--no-config`."
    return _TRUST_HINT


def check_trust(names: Iterable[str], origin: Origin, place: Place) -> None:
    """Check that an origin may set these settings.

    Args:
        names: Names of the settings that are present, also of those without a value.
        origin: Their origin.
        place: Their table, for messages.

    Raises:
        ConfigError: A setting is not allowed there.
    """
    if origin is Origin.CALLER:
        return
    for name in names:
        if name in UNFILED:
            raise ConfigError(
                "a setting that no file may set",
                where=str(place / name),
                found=dotted((name,)),
                hint=f"Remove it from the file. Use --{name.replace('_', '-')} on the command line, or {name}=True in Python.",
            )
        if origin in LIMITED and name not in HARMLESS:
            elsewhere = "Set it in a local file, or as a flag or an argument. " if origin is Origin.ELSEWHERE else ""
            raise ConfigError(
                f"a setting that {described(origin)} may not set",
                where=str(place / name),
                found=dotted((name,)),
                hint=elsewhere + advice(origin, place.prefix.removesuffix(", ")),
            )


def place_of_references(value: str) -> str:
    """Return a folder or a URI prefix for references in the form in which it is compared."""
    from zapz.storage.references.locations import reference_place  # imported here: few configurations have any

    return reference_place(value)
