"""Run one contender once, in a process and an environment of its own, and report what it took.

A job comes as JSON on standard input; the result goes as JSON to the file that the job names, since
contenders may print. Every contender first does a small append into a scratch folder, so that late
imports count for nobody.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

# What a contender is: a function of the target, the slices and further settings.
Action: TypeAlias = "Callable[[str, list[str], dict[str, Any]], None]"


def main() -> None:
    """Do the job of standard input."""
    job = json.load(sys.stdin)
    action = ACTIONS[job["action"]]
    settings = job["settings"]
    target, slices = job["target"], job["slices"]
    if job["warm_slices"]:
        for path in job["warm_slices"]:
            action(job["warm_target"], [path], settings)
        shutil.rmtree(job["warm_target"], ignore_errors=True)
    opens = count_opens() if job["count_opens"] else None
    peak_before = peak_memory()
    started = time.perf_counter()
    action(target, slices, settings)
    seconds = time.perf_counter() - started
    result = {
        "seconds": seconds,
        "opens": opens() if opens else None,
        "peak": peak_memory() - peak_before,
        "start_up_memory": peak_before,
    }
    Path(job["result"]).write_text(json.dumps(result))


def count_opens() -> Callable[[], int]:
    """Count the files that this process opens from now on; return a function for the count."""
    counter = itertools.count()

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event == "open":
            next(counter)

    sys.addaudithook(hook)
    return lambda: next(counter)


def peak_memory() -> int:
    """Return the most bytes of memory that this process has had resident."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a child starts with the peak of the process that forked it.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_zapz(target: str, slices: list[str], settings: dict[str, Any]) -> None:
    """Append all slices in one call of zapz."""
    importlib.import_module("zapz").append(target, slices, **settings)


def run_zappend(target: str, slices: list[str], settings: dict[str, Any]) -> None:
    """Append all slices in one call of zappend."""
    importlib.import_module("zappend.api").zappend(slices, target_dir=target, append_dim="time", **settings)


def run_xarray(target: str, slices: list[str], settings: dict[str, Any]) -> None:
    """Append with xarray, one slice at a time.

    `dask` says whether the slices are opened as dask arrays (`chunks={}`) or lazily without dask
    (`chunks=None`).
    """
    xarray = importlib.import_module("xarray")
    write = {"align_chunks": True} if settings["dask"] else {}
    for path in slices:
        dataset = xarray.open_zarr(path, chunks={} if settings["dask"] else None)
        if Path(target).exists():
            dataset.to_zarr(target, append_dim="time", **write)
        else:
            dataset.to_zarr(target, mode="w", zarr_format=2)


def run_tensorstore(target: str, slices: list[str], settings: dict[str, Any]) -> None:
    """Append each slice with tensorstore, all its arrays at the same time."""
    tensorstore = importlib.import_module("tensorstore")
    names = settings["arrays"]

    def spec(root: str, name: str, driver: str) -> dict[str, Any]:
        return {"driver": driver, "kvstore": {"driver": "file", "path": f"{root}/{name}/"}}

    def opened(root: str) -> list[Any]:
        driver = "zarr" if Path(root, ".zgroup").exists() else "zarr3"
        futures = [tensorstore.open(spec(root, name, driver), open=True) for name in names]
        return [future.result() for future in futures]

    if not Path(target).exists():
        shutil.copytree(slices[0], target)
        slices = slices[1:]
    targets = opened(target) if slices else []
    for path in slices:
        sources = opened(path)
        reads = [source.read() for source in sources]
        ends = [array.shape[0] for array in targets]
        grown = [
            array.resize(exclusive_max=[end + source.shape[0], *array.shape[1:]])
            for array, source, end in zip(targets, sources, ends, strict=True)
        ]
        targets = [future.result() for future in grown]
        writes = [array[end:].write(read.result()) for array, end, read in zip(targets, ends, reads, strict=True)]
        for write in writes:
            write.result()


def run_cp(target: str, slices: list[str], settings: dict[str, Any]) -> None:
    """Copy the slices into a new folder with `cp -r`; flush them to disk if `sync` is set."""
    Path(target).mkdir(exist_ok=True)
    subprocess.run(["cp", "-r", *slices, target], check=True)
    if settings["sync"]:
        subprocess.run(["sync"], check=True)


def run_copier(target: str, slices: list[str], settings: dict[str, Any]) -> None:
    """Copy the slices file by file in Python with as many threads as `workers` says."""
    pairs: list[tuple[str, str]] = []
    for path in slices:
        for folder, _, names in os.walk(path):
            destination = Path(target, Path(path).name, os.path.relpath(folder, path))
            destination.mkdir(parents=True, exist_ok=True)
            pairs += [(f"{folder}/{name}", f"{destination}/{name}") for name in names]
    with ThreadPoolExecutor(settings["workers"]) as pool:
        parts = [pairs[start :: settings["workers"]] for start in range(settings["workers"])]
        list(pool.map(copy_files, parts))
    if settings["sync"]:
        os.sync()


def copy_files(pairs: list[tuple[str, str]]) -> None:
    """Copy files that fit into memory to names that do not exist yet."""
    for source, destination in pairs:
        reading = os.open(source, os.O_RDONLY)
        try:
            content = os.read(reading, os.fstat(reading).st_size)
        finally:
            os.close(reading)
        writing = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.write(writing, content)
        finally:
            os.close(writing)


def run_command(target: str, slices: list[str], settings: dict[str, Any]) -> None:
    """Run a command of the shell; `{target}` and `{slice}` in its words are replaced."""
    words = {"{target}": target, "{slice}": slices[0], "{bin}": str(Path(sys.executable).parent)}
    command = list(settings["command"])
    for key, word in words.items():
        command = [part.replace(key, word) for part in command]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.stderr)


ACTIONS: dict[str, Action] = {
    "zapz": run_zapz,
    "zappend": run_zappend,
    "xarray": run_xarray,
    "tensorstore": run_tensorstore,
    "cp": run_cp,
    "copier": run_copier,
    "command": run_command,
}


if __name__ == "__main__":
    main()
