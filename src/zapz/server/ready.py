"""Lines that say where datasets are served."""

from __future__ import annotations

import ipaddress

from zapz.config.serve_settings import ServeSettings


def ready_lines(settings: ServeSettings, port: int) -> list[str]:
    """Return the lines to print as soon as requests are answered, and how to stop.

    Args:
        settings: The settings.
        port: The port at which the server listens.
    """
    base, rest = f"http://{_shown(settings.host)}:{port}", ""
    if _is_every_address(settings.host):
        base, rest = (
            f"http://{'[::1]' if ':' in settings.host else '127.0.0.1'}:{port}",
            " (at all addresses of this machine)",
        )
    lines = [f"Serving {dataset.name} at {base}/{dataset.name}/{rest}" for dataset in settings.datasets]
    return [*lines, "Press Ctrl-C to stop."]


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
