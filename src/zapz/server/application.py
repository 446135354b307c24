"""The application: access, limits, routes, metrics; adapters for HTTP ask it for replies."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from zapz.errors import ZapzError
from zapz.server.access import METHODS, Access
from zapz.server.content import PIECE, Headers
from zapz.server.datasets import Datasets, Route
from zapz.server.events import EVENTS, StateEvents, facts_of
from zapz.server.failures import RETRY, failure_reply, json_reply, refusal
from zapz.server.limits import BusyError, Limit
from zapz.server.messages import HttpReply, HttpRequest
from zapz.server.metrics import TEXT, Metrics
from zapz.server.pages import index_page
from zapz.server.resolving import has_node, kind_of, resolve
from zapz.server.served import NeedsThreadError

_LOG = logging.getLogger("zapz.server")
_NOT_COUNTED = 1 << 17
"""Size up to which bodies are not counted as memory, in bytes."""


class Application:
    """Answers requests. See ``answering.Answering``."""

    def __init__(
        self,
        datasets: Datasets,
        *,
        access: Access | None = None,
        inflight: Limit | None = None,
        memory: Limit | None = None,
        metrics: Metrics | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """Serve datasets.

        Args:
            datasets: The datasets.
            access: Who may read; by default everybody.
            inflight: Limit of requests that are processed at the same time.
            memory: Limit of bytes of replies and of chunks that are computed.
            metrics: Receives counts and times.
            log: Called with a line for each request.
        """
        self.datasets = datasets
        self.metrics = metrics or Metrics()
        self.inflight = inflight or Limit(64)
        self.memory = memory or Limit(1 << 30)
        self._listeners = Limit(self.inflight.most)
        self._access = access or Access()
        self._log = log

    @property
    def most(self) -> int:
        """Maximum number of requests that are processed at the same time."""
        return self.inflight.most

    def answer(self, request: HttpRequest, *, inline: bool = False) -> HttpReply | None:
        """Return the reply. None if the caller must ask again in a thread (only if ``inline``)."""
        began = time.perf_counter()
        route = self.datasets.route(request.path)
        try:
            reply = self._guarded(request, route, inline=inline)
        except NeedsThreadError:
            return None
        self._share(request, reply)
        if route is None:
            return self._counted(request, reply, ("", "other"), began)
        what = route.name, kind_of(route.key)
        if self._log is None and (reply.lasts is not None or reply.repeat is not None):
            reply.repeat = (
                self._same(route, reply, what) if reply.lasts is not None else self._anew(request, route, reply, what)
            )
        return self._counted(request, reply, what, began)

    def _share(self, request: HttpRequest, reply: HttpReply) -> None:
        """Add the header fields that let a page of another origin read a reply."""
        for name, value in self._access.sharing(request):
            other = next((found for found, _ in reply.headers if found == name), None)  # a page depends on Accept, too
            if other is None:
                reply.headers.append((name, value))
            else:
                reply.headers = [(n, f"{v}, {value}" if n == name else v) for n, v in reply.headers]

    def _counted(self, request: HttpRequest, reply: HttpReply, what: tuple[str, str], began: float) -> HttpReply:
        """Return a reply whose memory is reserved, and that is counted."""
        release = self._reserved(reply)
        if release is None:
            self._close(reply)
            reply = self._busy(request)
            self._share(request, reply)
        self.metrics.request(*what, reply.status, time.perf_counter() - began)
        log, metrics, status = self._log, self.metrics, reply.status  # not the reply: a cycle would keep its body

        def done(sent: int) -> None:
            if release is not None:
                release()
            metrics.sent(what[0], sent)
            if log is not None:
                log(_line(request, status, sent, time.perf_counter() - began))

        reply.done = done
        return reply

    def _same(self, route: Route, reply: HttpReply, what: tuple[str, str]) -> Callable[[], HttpReply | None] | None:
        """Return a function that returns the same reply as long as it lasts, and counts it."""
        lasts, body = reply.lasts, reply.body
        if lasts is None or not isinstance(body, bytes):
            return None
        same = HttpReply(status=reply.status, headers=reply.headers, body=body)
        tally, size = self.metrics.tally(*what, reply.status), len(body)
        holds, name, served = self.datasets.holds, route.name, route.served

        def again() -> HttpReply | None:
            if not (holds(name, served) and lasts()):
                return None
            tally[0] += 1
            tally[1] += size
            return same

        same.repeat = again
        return again

    def _anew(
        self, request: HttpRequest, route: Route, reply: HttpReply, what: tuple[str, str]
    ) -> Callable[[], HttpReply | None]:
        """Return a function that makes the reply to an equal request anew, and counts it."""
        repeat, headers = reply.repeat, self._access.sharing(request)
        tally = self.metrics.tally(*what, reply.status)
        holds, name, served = self.datasets.holds, route.name, route.served

        def again() -> HttpReply | None:
            found = repeat() if repeat is not None and holds(name, served) else None
            if found is None:
                return None
            found.headers += headers
            size = len(found.body) if isinstance(found.body, bytes) else 0
            if size > _NOT_COUNTED:
                release = self._reserved(found)
                if release is None:
                    return None  # the request is refused when it is answered anew
                found.done = lambda _: release()
            tally[0] += 1
            tally[1] += size
            return found

        return again

    def _reserved(self, reply: HttpReply) -> Callable[[], None] | None:
        """Reserve memory for a body, or the place of a listener; None if there is none left."""
        if reply.events is not None:
            try:
                return self._listeners.take()
            except BusyError:
                return None
        size = len(reply.body) if isinstance(reply.body, bytes) else 2 * PIECE
        if size <= _NOT_COUNTED:
            return _nothing
        try:
            return self.memory.take(min(size, self.memory.most))
        except BusyError:
            return None

    @staticmethod
    def _close(reply: HttpReply) -> None:
        if not isinstance(reply.body, bytes):
            reply.body.close()

    @staticmethod
    def _busy(request: HttpRequest) -> HttpReply:
        return refusal(request, 503, "busy", "the server is at its limit", [RETRY])

    def busy(self, request: HttpRequest) -> HttpReply:
        """Return the reply to a request that exceeds the limit of requests."""
        self.inflight.refuse()
        reply = self._busy(request)
        self._share(request, reply)
        self.metrics.request("", "other", reply.status, 0.0)
        return reply

    def _guarded(self, request: HttpRequest, route: Route | None, *, inline: bool) -> HttpReply:
        """Return the reply; errors become replies.

        Raises:
            NeedsThreadError: The caller must ask again in a thread (only if ``inline``).
        """
        refused = self._refused(request)
        if refused is not None:
            return refused
        release: Callable[[], None] = _nothing
        try:
            if not inline and request.path != "/metrics":
                release = self.inflight.take()
            if route is None:
                return self._other(request, inline=inline)
            events = self._events(request, route, inline=inline) if route.key == EVENTS else None
            return events or resolve(request, route, inline=inline)
        except BusyError:
            return self._busy(request)
        except ZapzError as error:
            name = "" if route is None else route.name
            _LOG.warning("%s: %s", name, error, exc_info=error.__cause__)
            return failure_reply(request, error, name)
        except NeedsThreadError:
            raise
        except Exception:  # noqa: BLE001 - a reply is due whatever happens; the log has the traceback
            _LOG.exception("internal error, %s", _printable(request.path))
            return refusal(request, 500, "internal", "internal error")
        finally:
            release()

    @staticmethod
    def _events(request: HttpRequest, route: Route, *, inline: bool) -> HttpReply | None:
        """Return the events of a dataset, which end with the connection; None if a node is there.

        Raises:
            NeedsThreadError, ZapzError: As ``resolve``.
        """
        newest = route.served.current(inline=inline)
        if route.generation or has_node(newest.view(route.zarr_format), route.key):
            return None
        fields = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")]
        events = StateEvents(route.served) if request.method == "GET" else None
        return HttpReply(status=200, headers=fields, events=events)

    def _refused(self, request: HttpRequest) -> HttpReply | None:
        """Return the reply to a request that is not answered, or that needs no dataset."""
        if not self._access.knows_host(request):
            return refusal(
                request,
                421,
                "misdirected",
                "this server does not answer for this host name",
                hint="`zapz serve --allowed-host NAME` accepts requests to another host name.",
            )
        if request.method == "OPTIONS":
            return HttpReply(status=204, headers=self._access.preflight())
        if request.method not in {"GET", "HEAD"}:
            return refusal(request, 405, "method", "only GET, HEAD and OPTIONS are answered", [("Allow", METHODS)])
        if request.path == "/healthz":
            return json_reply(request, 200, {"status": "ok"}, [("Cache-Control", "no-store")])
        if not self._access.is_granted(request):
            return refusal(request, 401, "token", "a token is needed", [("WWW-Authenticate", "Bearer")])
        return None

    def _other(self, request: HttpRequest, *, inline: bool) -> HttpReply:
        """Return a page that belongs to no dataset."""
        if request.path == "/metrics":
            return self._metrics(request)
        if request.path != "/":
            return refusal(request, 404, "not_found", "there is no dataset with this name")
        cards = [_card(name, self.datasets[name], inline=inline) for name in self.datasets]
        return index_page(request, cards, [("Cache-Control", "no-cache")])

    def _metrics(self, request: HttpRequest) -> HttpReply:
        gauges = {
            "zapz_requests_in_flight": ("Requests that are processed.", self.inflight.used),
            "zapz_memory_bytes": ("Memory of replies and of chunks that are computed.", self.memory.used),
            "zapz_listeners": ("Clients that listen to events.", self._listeners.used),
            "zapz_refused_requests": ("Requests refused because of the limit of requests.", self.inflight.refused),
            "zapz_refused_memory": ("Requests refused because of the limit of memory.", self.memory.refused),
        }
        body = self.metrics.text(gauges).encode()
        fields: Headers = [("Content-Type", TEXT), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        return HttpReply(status=200, headers=fields, body=b"" if request.method == "HEAD" else body)


def _card(name: str, served: Any, *, inline: bool) -> Mapping[str, Any]:
    """Return the facts of a dataset for the index; an error is one of them."""
    card: dict[str, Any] = {"name": name, "title": served.title}
    try:
        generation = served.current(inline=inline)
        labels = served.labels(generation, inline=inline)
        return {
            **card,
            "title": card["title"] or str(generation.dataset.groups.get("", {}).get("title", "")),
            "zarr_format": generation.dataset.zarr_format,
            **facts_of(generation),
            "labels": {path: list(ends) for path, ends in labels.items() if "/" not in path},
        }
    except ZapzError as error:
        return {**card, "error": error.what}


def _nothing() -> None:
    """Release nothing."""


def _printable(text: str) -> str:
    """Return text of a request without characters that could forge a line of the log."""
    return "".join(c if c.isprintable() else "?" for c in text[:500])


def _line(request: HttpRequest, status: int, sent: int, seconds: float) -> str:
    """Return the line of a request for the log: no query and no header fields."""
    return f"{request.method} {_printable(request.mount + request.path)} {status} {sent} B {1000 * seconds:.1f} ms"
