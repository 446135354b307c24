"""Compare `zapz serve` with nginx, a bare application, and the cost of computed chunks.

    python benchmarks/serving.py [--only PART ...] [--rounds N] [--self-test] [--json FILE]

Needs zapz, uvicorn, httptools and uvloop in this Python, and the programs wrk and nginx; what is
missing is named. The servers share one core, the load has another. Contenders take turns. A ratio
compares two of them in the same round; the table has the median, the least and the greatest.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from environments import machine
from serving_computed import STEPS, encoded
from serving_data import CHUNKS, LARGE, LARGE_SIZE, SIZE, large_chunks, small_chunks
from serving_load import CONNECTIONS, Round, Wanted, at_once, fetched, one_by_one, wrk
from serving_servers import MissingError, Server, bare, cores, nginx, pinned, require_uvicorn, running, zapz

Start = Callable[[], AbstractContextManager[Server]]
Found = dict[str, list[Round]]

ZAPZ, STDLIB, BARE, NGINX = "zapz", "zapz --stdlib", "bare uvicorn", "nginx"
MEMORY_LIMIT = 150_000_000
COMPUTED = 100
"""Chunks that are computed in one round, each another one."""
IDLE = 0.1
"""A server that had no work for a larger share of the time was not what limited the rate."""


@dataclass(kw_only=True)
class Row:
    """One line of the table."""

    what: str
    """What was measured."""
    against: str = ""
    """What it is compared with."""
    ratios: list[float] = field(default_factory=list)
    """A ratio for each round; or one figure without a comparison."""
    work: list[float] = field(default_factory=list)
    """The same ratios, of processor time of the servers: they depend less on what else runs."""
    limit: float | None = None
    """What the median must reach."""
    most: bool = False
    """Whether the limit is an upper one."""
    note: str = ""
    """What else must be known; for a figure that is missing, why."""

    def text(self) -> str:
        """Return the row in Markdown."""
        if not self.ratios:
            return f"| {self.what} | {self.against} | not measured: {self.note} | | | |"
        bound, middle = "", statistics.median(self.ratios)
        if self.limit is not None:
            reached = middle <= self.limit if self.most else middle >= self.limit
            bound = f"{'at most' if self.most else 'at least'} {self.limit:g}: {'yes' if reached else 'no'}"
        cells = (self.what, self.against, figure(self.ratios), figure(self.work), bound, self.note)
        return f"| {' | '.join(cells)} |"


def figure(values: list[float]) -> str:
    """Return a median with its range."""
    if len(set(values)) <= 1:
        return f"{values[0]:.3g}" if values else ""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


@dataclass(frozen=True)
class Bench:
    """What all parts use."""

    folder: Path
    """For data, settings and output of servers."""
    rounds: int
    """Rounds of each part."""
    seconds: int
    """Seconds of each contender in a round."""
    self_test: bool
    """Whether a bare application stands in for zapz."""

    def zapz(self, *options: str, name: str = ZAPZ, **datasets: str) -> Start:
        """Return how zapz is started with datasets."""
        command = bare("stand_in") if self.self_test else zapz(datasets, *options)
        return lambda: running(name, command, self.folder, SERVING_ROOT=str(self.folder))

    def turns(self, servers: Mapping[str, Server], wanted: Wanted) -> Found:
        """Load all servers in turn, forwards and backwards; the first turn warms up."""
        found: Found = {name: [] for name in servers}
        for turn in range(-1, self.rounds):
            for name in sorted(servers, reverse=bool(turn % 2)):
                result = wrk(servers[name], wanted, self.seconds, self.folder)
                if turn >= 0:
                    found[name].append(result)
        return found


def start(stack: ExitStack, starts: Mapping[str, Start]) -> tuple[dict[str, Server], dict[str, str]]:
    """Start all servers that can be; return them, and why others cannot."""
    servers: dict[str, Server] = {}
    missing: dict[str, str] = {}
    for name, each in starts.items():
        try:
            servers[name] = stack.enter_context(each())
        except MissingError as error:
            missing[name] = str(error)
    return servers, missing


def compared(what: str, found: Found, missing: Mapping[str, str], mine: str, other: str, limit: float | None) -> Row:
    """Return the row of two contenders: the ratios of their rates, round by round."""
    row = Row(what=f"{what}: {mine}", against=other, limit=limit)
    for name in (mine, other):
        if name in missing:
            row.note = missing[name]
            return row
    pairs = list(zip(found[mine], found[other], strict=True))
    row.ratios = [a.rate / b.rate for a, b in pairs]
    row.work = [b.work / a.work for a, b in pairs]
    idle = {name: statistics.median(each.idle for each in found[name]) for name in (mine, other)}
    limited = [f"{name} waited for the load {share:.0%} of the time" for name, share in idle.items() if share > IDLE]
    row.note = "; ".join(limited)
    return row


def stored(bench: Bench) -> Iterator[Row]:
    """Chunk files of 100 KB in the page cache."""
    store = bench.folder / "cube"
    small_chunks(store)
    paths = [f"/cube/v/c/{number}/0/0" for number in range(CHUNKS)]
    starts: dict[str, Start] = {
        ZAPZ: bench.zapz(cube=str(store)),
        STDLIB: bench.zapz("--stdlib", name=STDLIB, cube=str(store)),
        BARE: lambda: running(BARE, bare("files"), bench.folder, SERVING_ROOT=str(bench.folder)),
        NGINX: lambda: nginx(bench.folder, bench.folder),
    }
    with ExitStack() as stack:
        servers, missing = start(stack, starts)
        files = [(200, (bench.folder / path[1:]).read_bytes()) for path in paths]
        for server in servers.values():
            same(server, fetched(server, paths), files)
        found = bench.turns(servers, Wanted(paths, 200, SIZE))
    what = f"stored chunks of 100 KB, {CONNECTIONS} connections"
    yield compared(what, found, missing, ZAPZ, NGINX, 0.2)
    yield compared(what, found, missing, ZAPZ, BARE, 0.75)
    yield compared(what, found, missing, STDLIB, ZAPZ, None)
    yield compared(what, found, missing, BARE, NGINX, None)


def documents(bench: Bench) -> Iterator[Row]:
    """The root's metadata, and keys outside the grid: both are answered from memory."""
    store = bench.folder / "cube"
    small_chunks(store)
    root, outside = "/cube/zarr.json", f"/cube/v/c/{CHUNKS}/0/0"
    answers = bench.folder / "answers.json"
    starts: dict[str, Start] = {
        ZAPZ: bench.zapz(cube=str(store)),
        STDLIB: bench.zapz("--stdlib", name=STDLIB, cube=str(store)),
        BARE: lambda: running(BARE, bare("memory"), bench.folder, SERVING_ANSWERS=str(answers)),
    }
    with ExitStack() as stack:
        with starts[ZAPZ]() as first:
            given = dict(zip((root, outside), fetched(first, (root, outside)), strict=True))
        answers.write_text(
            json.dumps({path: (status, body.decode("latin-1")) for path, (status, body) in given.items()})
        )
        servers, missing = start(stack, starts)
        for path, status in ((root, 200), (outside, 404)):
            size = len(given[path][1])
            for server in servers.values():
                same(server, fetched(server, [path]), [(status, given[path][1])])
            found = bench.turns(servers, Wanted([path], status, size))
            what = f"{'metadata' if status == 200 else 'not found'}, {size:,} bytes"  # noqa: PLR2004
            yield compared(what, found, missing, ZAPZ, BARE, 0.75)
            yield compared(what, found, missing, STDLIB, ZAPZ, None)


def large(bench: Bench) -> Iterator[Row]:
    """Four chunk files of 256 MB at once, by readers who pause: the peak of memory."""
    store = bench.folder / "large"
    large_chunks(store)
    paths = [f"/large/v/c/{number}/0" for number in range(LARGE)]
    for name, options in ((ZAPZ, ()), (STDLIB, ("--stdlib",))):
        with bench.zapz(*options, name=name, large=str(store))() as server:
            before = server.peak()
            lengths = at_once(server, paths, 1.0)
            after = server.peak()
        if lengths != [LARGE_SIZE] * LARGE:
            raise MissingError(f"{name}: answers of {lengths} bytes")
        note = f"{(after - before) / 1e6:.0f} MB of it after the start"
        what, peak = f"{LARGE} chunks of 256 MB at once: {name}", [after / 1e6]
        yield Row(what=what, against="peak in MB", ratios=peak, limit=MEMORY_LIMIT / 1e6, most=True, note=note)


def computed(bench: Bench) -> Iterator[Row]:
    """Chunks of 100 KB that take about 2 ms to compute, none of them twice."""
    numbers = iter(range(STEPS))
    single, many = (
        Row(what=f"time of a computed chunk of 100 KB, {way}: zapz", against="to compute and encode it")
        for way in ("one after the other", f"{CONNECTIONS} connections")
    )
    single.limit, single.most = 1.5, True
    seconds: list[float] = []
    with bench.zapz(computed="serving_computed:cube")() as server:
        same(server, fetched(server, paths_of([next(numbers)])), [(200, encoded(0))])
        for _ in range(bench.rounds):
            cost, processor = alone([next(numbers) for _ in range(COMPUTED)])
            before, paths = server.busy(), paths_of([next(numbers) for _ in range(COMPUTED)])
            single.ratios.append(one_by_one(server, paths) / cost)
            single.work.append((server.busy() - before) / COMPUTED / processor)
            paths = paths_of([next(numbers) for _ in range(int(3 * bench.seconds / cost))])
            seconds.append(cost)
            try:
                found = wrk(server, Wanted(paths, 200, 1000), bench.seconds, bench.folder)
            except MissingError as error:
                many.note = str(error)
                continue
            many.ratios.append(1 / found.rate / cost)
            many.work.append(found.work / processor)
    single.note = f"which took {statistics.median(seconds) * 1000:.2f} ms"
    yield from (single, many)


def paths_of(numbers: list[int]) -> list[str]:
    """Return the paths of computed chunks."""
    return [f"/computed/v/c/{number}/0/0" for number in numbers]


def alone(numbers: list[int]) -> tuple[float, float]:
    """Return the seconds to compute and encode a chunk here, and its processor seconds."""
    with pinned(cores()[0]):
        started, before = time.perf_counter(), time.process_time()
        for number in numbers:
            encoded(number)
        return (time.perf_counter() - started) / len(numbers), (time.process_time() - before) / len(numbers)


def same(server: Server, found: list[tuple[int, bytes]], expected: list[tuple[int, bytes]]) -> None:
    """Raise if answers are not what all contenders must give.

    Raises:
        MissingError: An answer differs.
    """
    for number, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        if mine != theirs:
            raise MissingError(
                f"{server.name}: answer {number} is {mine[0]} with {len(mine[1])} bytes {mine[1][:80]!r}, "
                f"not {theirs[0]} with {len(theirs[1])} bytes {theirs[1][:80]!r}"
            )


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "stored": stored,
    "documents": documents,
    "large": large,
    "computed": computed,
}


def main() -> None:
    """Do what the command line says."""
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are stopped on the way out
    rows: list[Row] = []
    print("| what | against | median (least to most) | by processor time | bound | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="zapz-serving-") as folder:
        about = machine(Path(folder))
        for name in arguments.only or PARTS:
            bench = Bench(Path(folder) / name, arguments.rounds, arguments.seconds, arguments.self_test)
            bench.folder.mkdir()
            for row in measured(name, bench):
                rows.append(row)
                print(row.text(), flush=True)
    stands_in = " A bare application stood in for zapz." if arguments.self_test else ""
    print(f"\nMachine: {about}.{stands_in}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")


def measured(name: str, bench: Bench) -> Iterator[Row]:
    """Return the rows of a part; the last one says what is missing, if anything is."""
    try:
        require_uvicorn()
        yield from PARTS[name](bench)
    except MissingError as error:
        yield Row(what=name, note=str(error))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare `zapz serve` with other servers in one run.")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="rounds of each part (9)")
    parser.add_argument("--seconds", type=int, default=1, metavar="N", help="seconds of each contender in a round (1)")
    parser.add_argument("--self-test", action="store_true", help="a bare application stands in for zapz")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of all rounds there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
