"""Counts and times of a server, as the text that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of the text."""
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of duration, in seconds."""


class Metrics:
    """Counts and times. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._bytes: Counter[str] = Counter()
        self._events: Counter[tuple[str, str]] = Counter()
        self._classes = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0
        self._tallies: dict[tuple[str, str, int], list[int]] = {}

    def request(self, dataset: str, kind: str, status: int, seconds: float) -> None:
        """Count a reply.

        Args:
            dataset: Name of the dataset; "" for other pages.
            kind: ``metadata``, ``chunk``, ``page``, or ``other``.
            status: HTTP status code.
            seconds: Time until the reply was there.
        """
        with self._guard:
            self._requests[dataset, kind, status] += 1
            self._classes[bisect_left(_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def tally(self, dataset: str, kind: str, status: int) -> list[int]:
        """Return the number of replies that were repeated, and of their bytes, to be raised.

        One thread raises them, so they need no lock. All calls with the same arguments return the
        same list.
        """
        with self._guard:
            return self._tallies.setdefault((dataset, kind, status), [0, 0])

    def sent(self, dataset: str, number: int) -> None:
        """Count bytes of bodies that were sent."""
        with self._guard:
            self._bytes[dataset] += number

    def event(self, dataset: str, name: str) -> None:
        """Count an event of a dataset: ``published``, ``retired``, or ``inconsistent``."""
        with self._guard:
            self._events[dataset, name] += 1

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Return all as text.

        Args:
            gauges: Further values by name, each with a sentence that explains it.
        """
        with self._guard:
            requests, sent, events = Counter(self._requests), Counter(self._bytes), dict(self._events)
            classes, seconds = list(self._classes), self._seconds
            for what, (number, size) in self._tallies.items():  # these take microseconds
                requests[what] += number
                sent[what[0]] += size
                classes[0] += number
        lines = _head("zapz_requests_total", "counter", "Replies, by dataset, kind and status.")
        for (dataset, kind, status), number in sorted(requests.items()):
            lines.append(f'zapz_requests_total{{dataset="{dataset}",kind="{kind}",status="{status}"}} {number}')
        lines += _head("zapz_sent_bytes_total", "counter", "Bytes of bodies sent, by dataset.")
        lines += [f'zapz_sent_bytes_total{{dataset="{dataset}"}} {number}' for dataset, number in sorted(sent.items())]
        lines += _head("zapz_generations_total", "counter", "States of metadata published, retired, or not published.")
        for (dataset, event), number in sorted(events.items()):
            lines.append(f'zapz_generations_total{{dataset="{dataset}",event="{event}"}} {number}')
        lines += _head("zapz_reply_seconds", "histogram", "Time until a reply was there.")
        lines += _histogram("zapz_reply_seconds", classes, seconds)
        for name, (sentence, value) in gauges.items():
            lines += [*_head(name, "gauge", sentence), f"{name} {value:g}"]
        return "\n".join([*lines, ""])


def _head(name: str, kind: str, sentence: str) -> list[str]:
    return [f"# HELP {name} {sentence}", f"# TYPE {name} {kind}"]


def _histogram(name: str, classes: Iterable[int], seconds: float) -> list[str]:
    total, lines = 0, []
    for bound, number in zip((*_BOUNDS, "+Inf"), classes, strict=True):
        total += number
        lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
    return [*lines, f"{name}_sum {seconds:.6f}", f"{name}_count {total}"]
