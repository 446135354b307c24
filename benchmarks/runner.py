"""Run the contenders of a case in turns, each in a process of its own, and keep what they took."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cases import Case, Job, Quantity, warm_slices
from environments import SetupError, last_line, prepare_environment

HERE = Path(__file__).resolve().parent
# No contender gets more time than this, in seconds.
PATIENCE = 3600
READ_SIZE = 1 << 22


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one contender took in all its runs."""

    runs: list[dict[str, float]] = field(default_factory=list)
    """The figures of each run that was right."""
    failure: str | None = None
    """Why it stopped, if it did; it is then not run again."""

    def values(self, quantity: Quantity) -> list[float]:
        """Return one figure of every run."""
        return [run[quantity] for run in self.runs]

    def median(self, quantity: Quantity) -> float | None:
        """Return the median of a figure, or None if the contender failed."""
        return statistics.median(self.values(quantity)) if self.runs and not self.failure else None


class Runner:
    """Knows where things are and which environments there are."""

    def __init__(self, work: Path, data: Path, keep: set[str] | None) -> None:
        self.work = work
        self.data = data
        self.keep = keep
        self.pythons: dict[str, Path] = {}
        self.broken: dict[str, str] = {}

    def python(self, environment: str) -> Path:
        """Return the Python of an environment, made at its first use.

        Raises:
            SetupError: If it cannot be made; asking again gives the same answer.
        """
        if environment in self.broken:
            raise SetupError(self.broken[environment])
        if environment not in self.pythons:
            try:
                self.pythons[environment] = prepare_environment(self.work / "env", environment)
            except SetupError as error:
                self.broken[environment] = f"the environment cannot be set up: {error}"
                raise SetupError(self.broken[environment]) from None
        return self.pythons[environment]

    def make_data(self, recipes: list[dict[str, Any]]) -> None:
        """Write the data that is not there yet.

        Raises:
            SetupError: If that fails.
        """
        done = self.call("peers", "prepare.py", recipes)
        if done.returncode:
            raise SetupError(last_line(done.stderr))

    def call(self, environment: str, script: str, job: object) -> subprocess.CompletedProcess[str]:
        """Run a script of this folder with a job on its standard input."""
        command = [str(self.python(environment)), "-W", "ignore", str(HERE / script)]
        return subprocess.run(
            command, input=json.dumps(job, default=str), capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    def run_case(self, case: Case, repeat: int) -> dict[str, Outcome]:
        """Run all rounds of a case: in each round, every contender that has not failed."""
        jobs = [job for job in case.jobs if self.keep is None or job.environment in self.keep]
        outcomes = {job.name: Outcome() for job in jobs}
        for number in range(repeat):
            for job in jobs:
                outcome = outcomes[job.name]
                if outcome.failure or (job.rounds is not None and number >= job.rounds):
                    continue
                try:
                    outcome.runs.append(self.run_job(job, number))
                except (SetupError, RunError, subprocess.TimeoutExpired) as error:
                    outcome.failure = str(error)
                said = outcome.failure or f"{outcome.runs[-1]['seconds']:.4g} s"
                print(f"{case.name} {number + 1}/{repeat} {job.name}: {said}", file=sys.stderr, flush=True)
        return outcomes

    def run_job(self, job: Job, number: int) -> dict[str, float]:
        """Run a contender once and check what it made.

        Raises:
            RunError: If it fails or the result is wrong.
        """
        target, slices, expected = self.prepare_run(job, number)
        for path in slices:
            read_all(path)
        scratch = self.work / "run"
        result = scratch / "result.json"
        work = {
            "action": job.action,
            "target": target,
            "slices": slices,
            "settings": job.settings,
            "warm_slices": warm_slices(self.data) if job.warm else (),
            "warm_target": scratch / "warm.zarr",
            "count_opens": job.count_opens,
            "result": result,
        }
        done = self.call(job.environment, "worker.py", work)
        if done.returncode or not result.exists():
            raise RunError(last_line(done.stderr) or f"exit code {done.returncode}")
        figures: dict[str, float] = json.loads(result.read_text())
        if job.check != "none":
            question = {
                "check": job.check,
                "target": target,
                "slices": slices,
                "base": job.base,
                "expected_length": expected,
                "consolidated": job.consolidated,
            }
            verdict = self.call("peers", "verify.py", question)
            if verdict.returncode:
                message = f"wrong result: {last_line(verdict.stderr)}"
                raise RunError(message)
        shutil.rmtree(scratch)
        figures["seconds"] /= job.divide
        return figures

    def prepare_run(self, job: Job, number: int) -> tuple[Path, tuple[Path, ...], int | None]:
        """Put the target into its first state and empty the write cache.

        Returns:
            The target, the slices of this run, and the length that the target must have in the end
            if only we know.
        """
        scratch = self.work / "run"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        target, slices, expected = scratch / "target.zarr", job.slices, None
        if job.base:
            shutil.copytree(job.base, target)
        if job.in_place:
            target = job.in_place
            slices = slices[number * job.per_run : (number + 1) * job.per_run]
            expected = job.in_place_length + (number + 1) * job.per_run
            # It is used up: without its note, the next run of the benchmarks creates it again.
            target.with_name(target.name + ".recipe.json").unlink(missing_ok=True)
        os.sync()
        return target, slices, expected


class RunError(Exception):
    """A contender failed; the message is its own, or says what is wrong with its result."""


def read_all(root: Path) -> None:
    """Read every file below a folder, so that it is in the page cache."""
    for path in root.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(READ_SIZE):
                    pass
