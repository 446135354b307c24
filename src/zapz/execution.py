"""Run a plan in bounded memory: read, look, write; decode and encode only where the plan says so.

Nothing is kept in lists: steps come lazily, a window of them is under way, and a source chunk that several target chunks need is kept
decoded in a cache whose size is bounded by the number of workers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

from zapz.array_task import ArrayTask, Counts, Sink
from zapz.planning import Plan
from zapz.steps import Step
from zapz.storage.store import Store

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_BATCH = 8
"""Steps that a worker takes at a time."""
_INLINE = 16
"""Plans of at most so many small chunks are run without starting threads."""
_SMALL = 1 << 16


def run(
    plan: Plan,
    source: Store,
    target: Store,
    sink: Sink,
    *,
    workers: int,
    verify: bool = False,
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Counts:
    """Execute every step of a plan.

    Args:
        plan: What to do.
        source: The slice's store.
        target: The target's store, to read boundary chunks from.
        sink: Where chunks are written.
        workers: Steps under way at once.
        verify: Decode every chunk that is copied.
        executor: Where the steps run; threads of our own if None. It must share memory with us.
        progress: Called with the number of steps done, from any thread.

    Raises:
        ChunkError: A chunk is damaged or will not encode.
        SliceError: A value cannot be converted.
        StoreError: Storage failed.
        ConflictError: Somebody else wrote a planned chunk.
    """
    cache = workers * max(
        (max(p.target.unit_bytes, p.source.unit_bytes if p.source else 0) for p in plan.arrays.values()), default=0
    )
    tasks = {
        path: ArrayTask(plan, path, source, target, sink, cache_bytes=cache, verify=verify) for path in plan.arrays
    }
    total = Counts()
    guard = threading.Lock()

    def batch(steps: list[Step]) -> None:
        mine = Counts()
        for step in steps:
            tasks[step.path].run(step, mine)
        with guard:
            total.add(mine)
        if progress is not None:
            progress(len(steps))

    steps = plan.steps()
    first = list(islice(steps, _INLINE + 1))
    small = len(first) <= _INLINE and all(p.target.chunk_bytes <= _SMALL for p in plan.arrays.values())
    if executor is None and (workers == 1 or small):
        for step in chain(first, steps):
            batch([step])
    elif executor is not None:
        _pump(executor, _batches(chain(first, steps)), batch, workers)
    else:
        from concurrent.futures import ThreadPoolExecutor  # imported where used: small slices do without threads

        with ThreadPoolExecutor(workers, thread_name_prefix="zapz") as threads:
            _pump(threads, _batches(chain(first, steps)), batch, workers)
    return total


def _batches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    iterator = iter(steps)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _pump(
    executor: Executor, batches: Iterator[list[Step]], action: Callable[[list[Step]], None], workers: int
) -> None:
    """Keep a window of batches under way; the first error stops it, and nothing is left running."""
    from concurrent.futures import FIRST_COMPLETED, wait

    running: set[Future[None]] = set()
    try:
        for batch in batches:
            running.add(executor.submit(action, batch))
            if len(running) >= 2 * workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        for future in running:
            future.result()
    finally:
        for future in running:
            future.cancel()
        wait(running)
