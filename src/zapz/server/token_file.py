"""Read the tokens that requests must have from a file that only its owner can read."""

from __future__ import annotations

import os
import re
import shlex
import stat

from zapz.errors import ConfigError
from zapz.storage.uris import local_path, told

_TOKEN = r"[A-Za-z0-9._~+/-]+=*"  # noqa: S105 - the form of one
"""Form of a token in ``Authorization: Bearer TOKEN`` (RFC 6750)."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MOST = 1 << 20
"""Maximum size of the file, in bytes."""


def read_tokens(file: str) -> tuple[str, ...]:
    """Return the tokens in a file: one per line, with comments after ``#``. Messages show none.

    Args:
        file: Its path.

    Raises:
        ConfigError: The file cannot be read, other users can read it, or a line is not a token.
    """
    try:
        with local_path(file).open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            data = stream.read(_MOST + 1)
    except OSError as error:
        raise ConfigError(
            "cannot read the token file", where=file, found=told(error), hint=_how_to_make(file)
        ) from error
    if mode & _OTHERS:
        raise ConfigError(
            "other users can read the token file",
            where=file,
            expected="mode 600",
            found=f"mode {mode:03o}",
            hint=f"`chmod 600 {shlex.quote(file)}` hides it from them. If they may have read the tokens, replace these.",
        )
    if len(data) > _MOST:
        raise ConfigError("the token file is too large", where=file, expected=f"at most {_MOST} bytes")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:  # its text would show a part of a token
        raise ConfigError("the token file is not UTF-8", where=file) from None
    found = _tokens(lines, file)
    if not found:
        raise ConfigError(
            "no token in the token file",
            where=file,
            expected="a token per line",
            found="only comments" if any(map(str.strip, lines)) else "an empty file",
            hint=_how_to_make(file),
        )
    return found


def _tokens(lines: list[str], file: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        token = line.partition("#")[0].strip()
        if token and not re.fullmatch(_TOKEN, token):
            raise ConfigError(
                "invalid token",
                where=f"{file}, line {number}",
                expected="letters, digits and . _ ~ + / -, with = only at the end",
                found="another character (the token is not shown)",
            )
        found |= {token: None} if token else {}
    return tuple(found)


def _how_to_make(file: str) -> str:
    command = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
    return f"`(umask 077; {command} > {shlex.quote(file)})` creates one with a new token."
