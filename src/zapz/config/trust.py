"""Who may set what: the origin of settings, and the one table of those that are harmless. Pure.

A configuration can name code to run, files to write and secrets to publish. What the caller says,
in Python or on the command line, is the caller's own. A local file that the caller names may do
nearly as much. A file that comes from somewhere else, or that nobody named, may set only what
`HARMLESS` lists: a new setting stays out of its reach until it is added there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto

from zapz.config.types import Place, dotted
from zapz.errors import ConfigError


class Origin(Enum):
    """Where settings come from."""

    CALLER = auto()
    """Keyword arguments, mappings and `Config` objects in Python, and what a command line says
    (flags, `--set`, `ZAPZ_SET_…`): trusted."""
    LOCAL_FILE = auto()
    """A local file that the caller names, or any file that the caller trusts: may set everything
    but `UNFILED`."""
    ELSEWHERE = auto()
    """A file that the caller may not have written: may set what is `HARMLESS`, and may not read the
    environment."""
    FOUND = auto()
    """A file that the command line found in the folder, or in one above, and that nobody named: as
    `ELSEWHERE`."""


LIMITED = frozenset({Origin.ELSEWHERE, Origin.FOUND})
"""Origins of which only what is `HARMLESS` is taken."""


HARMLESS = frozenset(
    {
        # which data follow, and how they are laid out
        "version",
        "append_dim",
        "append_label",
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
        # more care, or waiting
        "recompress",
        "verify",
        "register",
        "lock_wait",
        "slice_polling",
        "slice_ready",
        "slice_complete",
        # accepted, and without effect
        "slice_engine",
        "disable_rollback",
    }
)
"""Settings that a file may set which the caller did not write.

Each of them says something about the data of the slices and the target that the caller names, and
nothing else. A setting does not belong here if it names code, a place or an option of a storage;
reads or writes a file other than slices and target, or reaches beyond them by links; weakens what
is promised about crashes, power failures and readers, or replaces data that are there; asks for the
machine's memory or threads; changes what the command does; or says whom to trust.
"""

UNFILED = frozenset({"trust_config"})
"""Settings that no file may set, whatever its origin."""

PUBLISHED = frozenset({"attrs", "variables"})
"""Settings whose values go into the metadata of the target, where everybody reads them."""

_TRUST_HINT = "If you trust the file like a program: --trust-config (in Python trust_config=True)."
"""How a caller lets a file from elsewhere do what a local one may."""

_REVEALING = (  # compiled where it is used: most runs need none of the patterns of configurations
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PASSCODE|CREDENTIAL|PRIVATE|BEARER|COOKIE|CONNECTION_?STRING"
    r"|(API|ACCESS|ACCOUNT|STORAGE|SIGNING|ENCRYPTION|MASTER|SHARED|AUTH|SSH|HMAC|AES|RSA)_?KEY"
    r"|(^|_)(JWT|SAS|PAT)(_|$)|_(PASS|PWD)$"
)


def looks_secret(name: str) -> bool:
    """Return whether a variable of the environment holds a secret, by its name."""
    return re.search(_REVEALING, name, re.IGNORECASE) is not None


def described(origin: Origin) -> str:
    """Return what a file of limited trust is, for messages."""
    return "an unnamed configuration file" if origin is Origin.FOUND else "a configuration file from a URI"


def advice(origin: Origin, file: str) -> str:
    """Return how a caller lets a file do what a local one that is named may do.

    Args:
        origin: Where it comes from.
        file: The file.
    """
    if origin is Origin.FOUND:
        return f"If you trust it, name it: `-c {file}`. To do without it: `--no-config`."
    return _TRUST_HINT


def check_trust(names: Iterable[str], origin: Origin, place: Place) -> None:
    """Refuse settings that may not come from where they do.

    Args:
        names: Settings that are there, also those without a value.
        origin: Where they come from.
        place: Their table, for messages.

    Raises:
        ConfigError: One may not be set there.
    """
    if origin is Origin.CALLER:
        return
    for name in names:
        if name in UNFILED:
            raise ConfigError(
                "a setting that no file may set",
                where=str(place / name),
                found=dotted((name,)),
                hint=f"Remove it. The caller says so: --{name.replace('_', '-')} on the command line, {name}=True in Python.",
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
    """Return a folder or a URI prefix to which references may lead, as it is compared with them."""
    from zapz.storage.references.locations import reference_place  # imported where used: few configurations have any

    return reference_place(value)
