"""``zapz serve``: answer requests until told to stop, with one process or several."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from zapz.config.files import Layers, resolve
from zapz.config.serve_settings import ServeSettings
from zapz.config.settings import Config
from zapz.server.application import Application
from zapz.server.following import Service
from zapz.server.ready import ready_lines


def serve(settings: ServeSettings, say: Callable[[str], None], *, config_files: Layers = ()) -> None:
    """Serve until SIGTERM or SIGINT; replies that were begun end first.

    Args:
        settings: What is served, where, and to whom.
        say: Called with each line for the user.
        config_files: The configuration, whose datasets are followed.

    Raises:
        ConfigError: A setting is wrong, or a factory failed.
        ZapzError: A dataset cannot be opened, or the address cannot be listened at.
    """
    from zapz.server.running import RunSettings, advice, by_standard_library, run

    config = resolve(config_files, {})
    tokens = _tokens(settings)
    with ExitStack() as stack:
        states = None
        if settings.workers > 1:
            states = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zapz-serve-")))
        run_settings = RunSettings(
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            stdlib=True if settings.stdlib else None,
        )
        service = Service(settings, config_files, config, states, tokens)  # with several workers, to report errors
        names = list(service.datasets)
        make: Callable[[], Application] = partial(worker, settings, config_files, config, states, tokens)
        if settings.workers > 1:
            service.close()
        else:
            stack.callback(service.close)
            make = service.followed

        def ready(url: str) -> None:
            if line := advice(stdlib=by_standard_library(run_settings)):
                say(f"note: {line}")
            for line in ready_lines(names, settings.host, urlsplit(url).port or settings.port):
                say(line)

        run(make, run_settings, ready)


def _tokens(settings: ServeSettings) -> tuple[str, ...]:
    if settings.token_file is None:
        return ()
    from zapz.server.token_file import read_tokens  # imported where used: most servers need no tokens

    return tuple(read_tokens(settings.token_file))


def worker(
    settings: ServeSettings, layers: Layers, config: Config, states: Path | None, tokens: tuple[str, ...]
) -> Application:
    """Return the application of a worker process."""
    return Service(settings, layers, config, states, tokens).followed()
