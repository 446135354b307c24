"""Lines that say where datasets are served."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def ready_lines(names: Iterable[str], host: str, port: int) -> list[str]:
    """Return the lines to print as soon as requests are answered, and how to stop.

    Args:
        names: Names of the datasets.
        host: The address at which the server listens.
        port: The port.
    """
    base, rest = f"http://{_shown(host)}:{port}", ""
    if _is_every_address(host):
        base, rest = (
            f"http://{'[::1]' if ':' in host else '127.0.0.1'}:{port}",
            " (at all addresses of this machine)",
        )
    lines = [f"Serving {name} at {base}/{name}/{rest}" for name in names]
    return [*lines, "Press Ctrl-C to stop."]


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
