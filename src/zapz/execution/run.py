"""Run a plan in bounded memory: read, look, write; decode and encode only where the plan says so.

Nothing is kept in lists: steps come lazily, a window of them is under way, and a source chunk that
    several target chunks need is kept
decoded in a cache whose size is bounded by the number of workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from zapz.execution.chunk_builder import ChunkBuilder
from zapz.execution.sparse import Found
from zapz.execution.writer import Counts, Sink, write_step
from zapz.planning.plan import Plan
from zapz.planning.steps import Step
from zapz.storage.store import ReadableStore

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

T = TypeVar("T")
_BATCH = 8
"""Steps that a worker takes at a time."""
_INLINE = 16
"""Plans of at most so many small chunks are run without starting threads."""
_SMALL = 1 << 16


def run(
    plan: Plan,
    source: ReadableStore,
    target: ReadableStore,
    sink: Sink,
    *,
    workers: int,
    verify: bool = False,
    progress: Callable[[int, int], object] | None = None,
    found: Found | None = None,
    spent: Callable[[float], None] | None = None,
) -> Counts:
    """Execute every step of a plan.

    Args:
        plan: What to do.
        source: The slice's store.
        target: The target's store, to read boundary chunks from.
        sink: Where chunks are written.
        workers: Steps under way at once.
        verify: Decode every chunk that is copied.
        progress: Called with the numbers of steps that were done just now and of bytes that they
            wrote, from any thread.
        found: What exists of arrays with very many chunks, if that was looked for.
        spent: Called with the seconds that some steps took, from any thread.

    Raises:
        ChunkError: A chunk is damaged or will not encode.
        SliceError: A value cannot be converted.
        StoreError: Storage failed.
        ConflictError: Somebody else wrote a planned chunk.
    """
    found = found or Found()
    builders = _builders(plan, source, target, workers, found, verify=verify)
    total = Counts()
    guard = threading.Lock()

    def batch(steps: list[Step]) -> None:
        mine = Counts()
        began = time.perf_counter() if spent is not None else 0.0
        for step in steps:
            write_step(builders[step.path], step, sink, mine)
        with guard:
            total.add(mine)
        if spent is not None:
            spent(time.perf_counter() - began)
        if progress is not None:
            progress(len(steps), mine.bytes)

    steps = plan.steps() if not found.needed else _steps(plan, found, sink)
    first = list(islice(steps, _INLINE + 1))
    small = len(first) <= _INLINE and all(p.target.chunk_bytes <= _SMALL for p in plan.arrays.values())
    if workers == 1 or small:
        for step in chain(first, steps):
            batch([step])
    else:
        from concurrent.futures import ThreadPoolExecutor  # imported where used: small slices do without threads

        with ThreadPoolExecutor(workers, thread_name_prefix="zapz") as threads:
            pump(threads, batches(chain(first, steps)), batch, workers)
    return total


def _builders(
    plan: Plan, source: ReadableStore, target: ReadableStore, workers: int, found: Found, *, verify: bool
) -> dict[str, ChunkBuilder]:
    """Return what builds the chunks of each array; all together keep as many decoded chunks as there are workers."""
    units = (max(p.target.unit_bytes, p.source.unit_bytes if p.source else 0) for p in plan.arrays.values())
    cache = workers * max(units, default=0)
    return {
        path: ChunkBuilder(
            plan, path, source, target, cache_bytes=cache, verify=verify, present=found.present.get(path)
        )
        for path in plan.arrays
    }


def _steps(plan: Plan, found: Found, sink: Sink) -> Iterator[Step]:
    """Yield the steps of a plan that have something to do."""
    for path in sorted(plan.arrays):
        each = plan.arrays[path]
        if path not in found.needed:
            yield from each.steps()
            continue
        needed = found.needed[path]
        for key in sink.replaced():
            if (index := each.target.index(key)) is not None:
                needed.add(index)
        yield from map(each.step, needed)


def batches(steps: Iterable[T]) -> Iterator[list[T]]:
    """Yield what workers take at a time."""
    iterator = iter(steps)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def pump(executor: Executor, work: Iterator[list[T]], action: Callable[[list[T]], None], workers: int) -> None:
    """Keep a window of batches under way; the first error stops it, and nothing is left running."""
    from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, wait

    running: set[Future[None]] = set()
    try:
        for batch in work:
            running.add(executor.submit(action, batch))
            if len(running) >= 2 * workers:
                _collect(running, FIRST_COMPLETED)
        _collect(running, ALL_COMPLETED)
    finally:
        for future in running:
            future.cancel()
        wait(running)


def _collect(running: set[Future[None]], when: str) -> None:
    """Wait for batches, take those that are done out of ``running``, and raise the first error."""
    from concurrent.futures import wait

    done, rest = wait(running, return_when=when)
    running.intersection_update(rest)
    while done:
        done.pop().result()  # kept here, a future would know the error, which knows this frame: nothing would free the slice
