"""Whether size matters: a million jobs in one execution, a hundred thousand calls in depth.

    python benchmarks/scale.py

Width: a main task calls a task that returns its argument `--jobs` times.  The rate is compared
with that of a run of 20,000 jobs: the median of six, measured before and after.

Depth: `--depth` calls that each wait for the next: a recursion that returns what the call below
returns, one that adds to it, and a sequence `x = inc(x)`, which is one expression that deep.

Sharing: `x = add(x, x)` fifty times over, which is 2**50 paths through fifty calls, and must be
fifty jobs.

Each is run cold, in a fresh database, then replayed there by a new process, in which every job
must be cached.  The exit status is 1 if a run fails, an answer is wrong, a job of a replay is not
cached, or the number of jobs is not what it should be.  Database bytes are what the run added.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Callable, NamedTuple

from _measuring import (
    MeasurementFailed,
    count_rows,
    database_size,
    environment_line,
    format_table,
    measure,
    median,
    positive,
)

REFERENCE_RUNS = 3


class Case(NamedTuple):
    """A workflow of some size, and how many jobs that takes."""

    workflow: str
    size: int
    jobs: int


class Result(NamedTuple):
    """How a run of a case went."""

    workflow: str
    size: int
    phase: str
    jobs: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    database_bytes: int  # What the run added.
    problem: str

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.seconds if self.seconds else 0.0


JOBS_OF: dict[str, Callable[[int], int]] = {
    "fan_out": lambda size: size + 1,
    "tail_recursion": lambda size: size + 1,
    "recursion": lambda size: 2 * size + 1,
    "sequence": lambda size: size + 1,
    "doubling": lambda size: size,
}
"""How many jobs each workflow takes, by size."""


def run_case(workflow: str, size: int, replay: bool = True) -> list[Result]:
    """Run a workflow cold and, if asked to, again."""
    results = []
    size_before = 0
    with tempfile.TemporaryDirectory(prefix="redun_lite-benchmark-") as folder:
        database = Path(folder, "scale.db")
        for execution, phase in enumerate(("cold", "replay")[: 1 + replay], 1):
            print(f"{workflow} {size:,}, {phase} …", file=sys.stderr)
            try:
                found = measure("_workflows.py", workflow, size, database)
            except MeasurementFailed as failure:
                print(failure, file=sys.stderr)
                results.append(Result(workflow, size, phase, 0, 0.0, 0.0, 0, 0, "failed"))
                break
            expected = JOBS_OF[workflow](size)
            own = f"id >> 32 = {execution}"
            jobs = count_rows(database, "job", own)
            status = "CACHED" if phase == "replay" else "DONE"
            ended = count_rows(database, "job", f"{own} AND status = '{status}'")
            size_after = database_size(database)
            problem = ""
            if not found["correct"]:
                problem = "wrong answer"
            elif jobs != expected:
                problem = f"{jobs:,} jobs, expected {expected:,}"
            elif ended != jobs:
                problem = f"{jobs - ended:,} jobs are not {status}"
            results.append(
                Result(
                    workflow,
                    size,
                    phase,
                    jobs,
                    found["seconds"],
                    found["cpu_seconds"],
                    found["peak_bytes"],
                    size_after - size_before,
                    problem,
                )
            )
            size_before = size_after
    return results


def run_references(jobs: int) -> list[Result]:
    """Run the small fan-out a few times, cold."""
    return [run_case("fan_out", jobs, replay=False)[0] for _ in range(REFERENCE_RUNS)]


def show(results: list[Result], reference: float) -> str:
    """Return the table."""
    head = [
        "",
        "size",
        "jobs",
        "seconds",
        "CPU s",
        "jobs/s",
        "relative",
        "peak MB",
        "DB bytes/job",
        "",
    ]
    rows = []
    for result in results:
        wide = result.workflow == "fan_out" and result.phase == "cold"
        rows.append(
            [
                f"{result.workflow}, {result.phase}",
                f"{result.size:,}",
                f"{result.jobs:,}",
                f"{result.seconds:,.2f}",
                f"{result.cpu_seconds:,.2f}",
                f"{result.rate:,.0f}",
                f"{result.rate / reference:.0%}" if wide else "",
                f"{result.peak_bytes / 1e6:,.0f}",
                f"{result.database_bytes / max(result.jobs, 1):,.0f}",
                result.problem or "right",
            ]
        )
    return format_table(head, rows)


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--jobs", type=positive, default=1_000_000, help="calls in width (default %(default)s)"
    )
    parser.add_argument(
        "--depth", type=positive, default=100_000, help="calls in depth (default %(default)s)"
    )
    parser.add_argument(
        "--reference", type=positive, default=20_000, help="calls to compare the rate with"
    )
    parser.add_argument("--quick", action="store_true", help="50,000 jobs, depth 5,000")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if args.quick:
        args.jobs, args.depth = 50_000, 5_000

    references = run_references(args.reference)
    results = run_case("fan_out", args.jobs)
    references += run_references(args.reference)
    reference = median(result.rate for result in references)
    for workflow in ("tail_recursion", "recursion", "sequence"):
        results += run_case(workflow, args.depth)
    results += run_case("doubling", 50)

    if args.json:
        shown = {
            "environment": environment_line(),
            "options": vars(args),
            "results": [result._asdict() for result in [*references, *results]],
        }
        print(json.dumps(shown, indent=2))
    else:
        print(f"{environment_line()}; {args.reference:,} jobs: {reference:,.0f} jobs/s")
        print()
        print(show(results, reference))
    return int(any(result.problem for result in [*references, *results]))


if __name__ == "__main__":
    sys.exit(main())
