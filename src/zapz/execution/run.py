"""Run a plan in bounded memory: read, check and write chunks; decode only where the plan says so.

Nothing is collected in lists: steps are created lazily, and a window of them is in progress. A
source chunk needed for several target chunks stays decoded in a cache, whose size is limited by the
number of workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
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

    from zapz.execution.families import Family

T = TypeVar("T")
_BATCH = 8
"""Number of steps that a worker receives at a time."""
_INLINE = 16
"""Plans with at most this many small chunks are run without threads."""
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
        plan: The plan.
        source: The slice's store.
        target: The target's store, to read boundary chunks from.
        sink: Where chunks are written.
        workers: Number of steps in progress at a time.
        verify: Whether to decode every copied chunk.
        progress: Called from any thread with the number of steps just completed, and the number of
            bytes that they wrote.
        found: What exists of arrays with very many chunks, if known.
        spent: Called from any thread with the time that some steps took, in seconds.

    Raises:
        ChunkError: A chunk is damaged, or cannot be encoded.
        SliceError: A value cannot be converted.
        StoreError: Storage failed.
        ConflictError: Another process wrote a planned chunk.
    """
    found = found or Found()
    total = Counts()
    guard = threading.Lock()
    families = _families(plan)
    builders = _builders(plan, source, target, workers, found, families, verify=verify)

    def execute(steps: Sequence[Step]) -> None:
        own = Counts()
        for step in steps:
            write_step(builders[step.path], step, sink, own)
        with guard:
            total.add(own)
        if progress is not None:
            progress(len(steps), own.bytes)

    def batch(steps: list[Step]) -> None:
        began = time.perf_counter()
        execute(steps)
        if spent is not None:
            spent(time.perf_counter() - began)

    for family in families:
        family.begin(builders, lambda step: execute((step,)))
    steps = plan.steps() if not found.needed and not families else _steps(plan, found, sink, families)
    first = list(islice(steps, _INLINE + 1))
    small = len(first) <= _INLINE and all(p.target.chunk_bytes <= _SMALL for p in plan.arrays.values())
    if workers == 1 or small:
        for step in chain(first, steps):
            batch([step])
    else:
        from concurrent.futures import ThreadPoolExecutor  # imported here: small slices need no threads

        with ThreadPoolExecutor(workers, thread_name_prefix="zapz") as threads:
            pump(threads, batches(chain(first, steps)), batch, workers)
    for family in families:
        family.check_ended()
    return total


def _families(plan: Plan) -> Sequence[Family]:
    """Return the variables whose coarser levels are derived while the finest is written."""
    if not plan.placement.derived:
        return ()
    from zapz.execution.families import families_of  # imported here: most plans derive nothing

    return families_of(plan)


def _builders(
    plan: Plan,
    source: ReadableStore,
    target: ReadableStore,
    workers: int,
    found: Found,
    families: Sequence[Family],
    *,
    verify: bool,
) -> dict[str, ChunkBuilder]:
    """Return the builder of each array; together they cache as many decoded chunks as workers."""
    kinds: dict[str, Callable[..., ChunkBuilder]] = {}
    if plan.placement.derived:
        from zapz.execution.level_builder import LevelBuilder  # imported here: most plans derive nothing
        from zapz.execution.tapped_builder import TappedBuilder

        kinds = dict.fromkeys(plan.placement.derived, LevelBuilder)
        kinds |= {family.finest.path: partial(TappedBuilder, family.tap) for family in families}
    units = (max(p.target.unit_bytes, p.source.unit_bytes if p.source else 0) for p in plan.arrays.values())
    cache = workers * max(units, default=0)
    return {
        path: kinds.get(path, ChunkBuilder)(
            plan, path, source, target, cache_bytes=cache, verify=verify, present=found.present.get(path)
        )
        for path in plan.arrays
    }


def _steps(plan: Plan, found: Found, sink: Sink, families: Sequence[Family]) -> Iterator[Step]:
    """Yield the steps of a plan that have an effect, without those of levels that are derived."""
    walked = {path for family in families for path in family.walked}
    finest = {family.finest.path: family for family in families}
    for path in sorted(plan.arrays.keys() - walked):
        each = plan.arrays[path]
        if path in finest:
            yield from finest[path].steps()
            continue
        if path not in found.needed:
            yield from each.steps()
            continue
        needed = found.needed[path]
        for key in sink.replaced():
            if (index := each.target.index(key)) is not None:
                needed.add(index)
        yield from map(each.step, needed)


def batches(steps: Iterable[T]) -> Iterator[list[T]]:
    """Yield the batches that workers receive."""
    iterator = iter(steps)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def pump(executor: Executor, work: Iterator[list[T]], action: Callable[[list[T]], None], workers: int) -> None:
    """Keep a window of batches in progress; at the first error, stop and wait for all of them."""
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
    """Wait for batches, remove the finished ones from ``running``, and raise the first error."""
    from concurrent.futures import wait

    done, rest = wait(running, return_when=when)
    running.intersection_update(rest)
    while done:
        done.pop().result()  # not kept in a variable: future, error and frame would be a cycle that keeps the slice in memory
