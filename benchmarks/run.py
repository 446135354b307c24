"""Run zapz and its peers side by side and print one table of what they took.

    python benchmarks/run.py [--only NAME ...] [--quick | --full] [--repeat N] [--work DIR] [--json
    FILE]

Everything that is needed is made in the work folder: environments, data, targets.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cases import FULL, NORMAL, QUICK, WORKERS, Case, warm_recipes
from cases_encode import CASES
from environments import SetupError, machine, versions
from runner import Outcome, Runner
from table import lines

Results = dict[str, tuple[Case, dict[str, Outcome]]]


def main() -> None:
    """Do what the command line says."""
    arguments = parse()
    scale = QUICK if arguments.quick else FULL if arguments.full else NORMAL
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    data = work / f"data-{scale.name}"
    runner = Runner(work, data, set(arguments.contenders) if arguments.contenders else None)
    about = [f"Machine: {machine(work)}. Scale: {scale.name}. zapz runs with {WORKERS} workers."]
    results: Results = {}
    for name in arguments.only or CASES:
        case = CASES[name](data, scale)
        print(f"{name}: making the data", file=sys.stderr, flush=True)
        try:
            runner.make_data([*warm_recipes(data), *case.recipes])
        except SetupError as error:
            sys.exit(f"{name}: the data cannot be made: {error}")
        results[name] = (case, runner.run_case(case, rounds(case, arguments)))
    about += [f"Environment {name}: {versions(python, name)}." for name, python in sorted(runner.pythons.items())]
    about += [f"Environment {name}: {message}." for name, message in sorted(runner.broken.items())]
    print("\n".join([*lines(results), "", *about]))
    if arguments.json:
        arguments.json.write_text(json.dumps(plain(results, about), indent=2) + "\n")


def rounds(case: Case, arguments: argparse.Namespace) -> int:
    """Return the rounds of a case: from the command line, else from the case, else five."""
    usual = 5
    if arguments.repeat:
        return int(arguments.repeat)
    return case.repeat or usual


def plain(results: Results, about: list[str]) -> dict[str, object]:
    """Return all figures of all runs as JSON; `table` has the lines of the printed table."""
    figures = {
        name: {job: {"failure": outcome.failure, "runs": outcome.runs} for job, outcome in outcomes.items()}
        for name, (_, outcomes) in results.items()
    }
    return {"about": about, "cases": figures, "table": list(lines(results))}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Run zapz and its peers side by side and print one table.")
    parser.add_argument("--only", nargs="+", choices=list(CASES), metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--contenders", nargs="+", choices=["zapz", "zappend", "peers"], help="leave out the others")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small data, to see whether everything runs")
    size.add_argument("--full", action="store_true", help="a million chunk files, zappend with all tiny slices")
    parser.add_argument("--repeat", type=int, metavar="N", help="rounds of every case (usually 5, 9 or 21)")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(__file__).resolve().parent / ".work",
        metavar="DIR",
        help="where environments, data and targets go",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every run there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
