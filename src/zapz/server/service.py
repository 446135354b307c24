"""``zapz serve``: answer requests until told to stop, with one process or several."""

from __future__ import annotations

import base64
import json
import pickle
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
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
        archive = None
        if settings.workers > 1:
            archive = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zapz-serve-")))
        run_settings = RunSettings(
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            stdlib=True if settings.stdlib else None,
            worker_app="zapz.server.service:worker",
            worker_settings=_packed(settings, config_files, config, archive, tokens),
        )
        service = Service(settings, config_files, config, archive, tokens)  # with several workers, to report errors
        names = list(service.datasets)
        if settings.workers > 1:
            service.close()
        else:
            stack.callback(service.close)

        def make() -> Application:
            service.follow()
            return service.application

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


def _packed(
    settings: ServeSettings, layers: Layers, config: Config, archive: Path | None, tokens: tuple[str, ...]
) -> str:
    """Return what a worker process needs, as JSON text that only this program reads."""
    if settings.workers == 1:
        return ""
    data = pickle.dumps((settings, list(layers), config, archive, tokens))
    return json.dumps({"worker": base64.b64encode(data).decode("ascii")})


def worker(text: str) -> Application:
    """Return the application of a worker process."""
    packed: Mapping[str, str] = json.loads(text)
    settings, layers, config, archive, tokens = pickle.loads(base64.b64decode(packed["worker"]))  # noqa: S301 - from the parent
    service = Service(settings, layers, config, archive, tokens)
    service.follow()
    return service.application
