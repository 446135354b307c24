"""The least that uvicorn can be asked to do: what `zapz serve` is compared with.

    python -m uvicorn serving_bare:files

`SERVING_ROOT` names the folder of files, `SERVING_ANSWERS` a file of answers to keep in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]
Scope = dict[str, Any]

ROOT = os.environ.get("SERVING_ROOT", "")
ANSWERS: dict[str, tuple[int, bytes]] = {}
if os.environ.get("SERVING_ANSWERS"):
    _found = json.loads(Path(os.environ["SERVING_ANSWERS"]).read_text())
    ANSWERS = {path: (status, body.encode("latin-1")) for path, (status, body) in _found.items()}


async def reply(send: Send, status: int, body: bytes) -> None:
    """Send an answer in one piece."""
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def files(scope: Scope, _receive: object, send: Send) -> None:
    """Answer with a file, read in the event loop. (ASGI)."""
    try:
        with open(ROOT + scope["path"], "rb") as file:  # noqa: PTH123, ASYNC230 - the least that can be done
            body = file.read()
    except OSError:
        await reply(send, 404, b"")
        return
    await reply(send, 200, body)


async def memory(scope: Scope, _receive: object, send: Send) -> None:
    """Answer from memory. (ASGI)."""
    status, body = ANSWERS[scope["path"]]
    await reply(send, status, body)


async def stand_in(scope: Scope, receive: object, send: Send) -> None:
    """Stand in for zapz in a self-test: files, and chunks that are computed. (ASGI)."""
    if scope["path"].startswith("/computed/"):
        from serving_computed import encoded

        await reply(send, 200, encoded(int(scope["path"].split("/")[-3])))
        return
    await files(scope, receive, send)
