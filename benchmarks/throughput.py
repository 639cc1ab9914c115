"""How fast a fan-out of no-op tasks runs: cold, then replayed by a new process.

    python benchmarks/throughput.py --jobs 20000

One main task calls a task that returns its argument, once for every number.  Both are recorded in
full in a fresh database; then a new process runs the same workflow on that database, so that every
job is cached.

The floor is the same work without an engine (see `_floor.py`), measured in the same run: `× floor`
says how many times longer a cold job takes.  With `--redun PYTHON`, the same workflow also runs on
the redun that is installed in that interpreter, with an SQLite file of its own, and `× redun` says
how many times as many jobs per second redun_lite runs.  A round measures each of them once, one
after the other, so what else the machine does meanwhile falls on all.

Rates, ratios and sizes are medians over `--repeat` rounds, and "least" is the shortest time of all.
With `--db-uri`, redun_lite records in a database on a server, which must hold nothing yet.  Then
there is one round, and database bytes are not known.

CPU time (all threads) and memory are those of the engine's process; database bytes are what the run
added.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from _measuring import (
    ROOT,
    count_rows,
    database_size,
    environment_line,
    format_table,
    measure,
    median,
    positive,
)

FLOOR = "floor"
LITE = "redun_lite"
REDUN = "redun"
COLD = "cold"
REPLAY = "replay"


class Sample(NamedTuple):
    """One measurement."""

    engine: str
    phase: str
    jobs: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    database_bytes: int
    version: str


class Summary(NamedTuple):
    """What the measurements of one kind come to."""

    engine: str
    phase: str
    jobs: int
    jobs_per_second: float
    median_microseconds: float
    min_microseconds: float
    cpu_microseconds: float
    peak_megabytes: float
    database_bytes_per_job: float
    times_floor: float | None = None
    times_redun: float | None = None


# Measuring


def measure_floor(args: argparse.Namespace, folder: Path) -> list[Sample]:
    """Measure the floor, in a fresh database."""
    database = folder / "floor.db"
    found = measure("_floor.py", args.jobs, database)
    return [_sample(FLOOR, COLD, args.jobs, found, database_size(database))]


def measure_engine(
    engine: str, python: str | None, jobs: int, args: argparse.Namespace, folder: Path
) -> list[Sample]:
    """Measure an engine, in a fresh database and then in a new process on the same."""
    database = folder / f"{engine}.db"
    size = 0
    samples = []
    uri = ("--db-uri", args.db_uri) if args.db_uri and engine == LITE else ()
    for phase in (COLD, REPLAY):
        found = measure(
            "_workflows.py",
            *("fan_out", jobs, database, "--workers", args.workers, *uri),
            **({"python": python} if python else {}),
            environment={"BENCHMARK_ENGINE": engine, "BENCHMARK_EXECUTOR": args.executor},
        )
        if not found["correct"]:
            raise SystemExit(f"{engine}, {phase}: the answer is wrong")
        added, size = database_size(database) - size, database_size(database)
        samples.append(_sample(engine, phase, jobs, found, added))
    return samples


def _sample(engine: str, phase: str, jobs: int, found: dict[str, Any], added: int) -> Sample:
    return Sample(
        engine,
        phase,
        jobs,
        found["seconds"],
        found["cpu_seconds"],
        found["peak_bytes"],
        added,
        found.get("version", ""),
    )


def check_floor(folder: Path, jobs: int) -> None:
    """Fail if the floor did not write what the engine wrote (in its first execution)."""
    for table, where in (
        ("value", "1"),
        ("call", "1"),
        ("argument", "1"),
        ("call_child", "1"),
        ("job", "id >> 32 = 1"),
    ):
        floor = count_rows(folder / "floor.db", table, where)
        engine = count_rows(folder / "redun_lite.db", table, where)
        if abs(floor - engine) > 5:  # The main job's own.
            raise SystemExit(
                f"the floor is not the engine's: {jobs} jobs made {engine} rows in {table}, "
                f"and {floor} in the floor"
            )


def measure_round(args: argparse.Namespace) -> list[Sample]:
    """Measure everything once."""
    with tempfile.TemporaryDirectory(prefix="redun_lite-benchmark-") as name:
        folder = Path(name)
        samples = measure_floor(args, folder)
        samples += measure_engine(LITE, None, args.jobs, args, folder)
        if not args.db_uri:
            check_floor(folder, args.jobs)
        if args.redun:
            samples += measure_engine(REDUN, args.redun, args.redun_jobs, args, folder)
    return samples


# Showing


def summarize(samples: list[Sample]) -> list[Summary]:
    """Return one line for each kind of measurement, in the order in which they were made."""
    kinds = list(dict.fromkeys((sample.engine, sample.phase) for sample in samples))
    lines = {kind: _summary([s for s in samples if (s.engine, s.phase) == kind]) for kind in kinds}
    floor = lines[FLOOR, COLD].median_microseconds
    for phase in (COLD, REPLAY):
        line = lines[LITE, phase]
        if phase == COLD:
            line = line._replace(times_floor=line.median_microseconds / floor)
        if (REDUN, phase) in lines:
            redun = lines[REDUN, phase].jobs_per_second
            line = line._replace(times_redun=line.jobs_per_second / redun)
        lines[LITE, phase] = line
    return list(lines.values())


def _summary(samples: list[Sample]) -> Summary:
    first = samples[0]
    microseconds = [sample.seconds / sample.jobs * 1e6 for sample in samples]
    return Summary(
        first.engine,
        first.phase,
        first.jobs,
        1e6 / median(microseconds),
        median(microseconds),
        min(microseconds),
        median(sample.cpu_seconds / sample.jobs * 1e6 for sample in samples),
        median(sample.peak_bytes for sample in samples) / 1e6,
        median(sample.database_bytes for sample in samples) / first.jobs,
    )


def show(lines: list[Summary], args: argparse.Namespace) -> str:
    """Return the table."""
    head = ["", "jobs", "jobs/s", "µs/job", "least", "CPU µs", "peak MB", "DB bytes/job"]
    head += ["× floor", "× redun"]
    rows = [
        [
            f"{line.engine}, {line.phase}",
            f"{line.jobs:,}",
            f"{line.jobs_per_second:,.0f}",
            f"{line.median_microseconds:,.1f}",
            f"{line.min_microseconds:,.1f}",
            f"{line.cpu_microseconds:,.1f}",
            f"{line.peak_megabytes:,.0f}",
            f"{line.database_bytes_per_job:,.0f}",
            "" if line.times_floor is None else f"{line.times_floor:.2f}",
            "" if line.times_redun is None else f"{line.times_redun:,.0f}",
        ]
        for line in lines
    ]
    if not args.redun:
        head.pop()
        rows = [row[:-1] for row in rows]
    return format_table(head, rows)


def is_empty(uri: str) -> bool:
    """Say whether a database on a server has no tables of a repository."""
    sys.path.insert(0, str(ROOT))
    from redun_lite import Config
    from redun_lite._database import database_source

    source = database_source(Config({"backend": {"db_uri": uri}}))
    with closing(source.connect()) as database:
        return source.version(database) == 0


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=positive, default=20_000, help="calls (default %(default)s)")
    parser.add_argument("--repeat", type=positive, default=3, help="rounds (default %(default)s)")
    parser.add_argument("--executor", choices=("default", "process"), default="default")
    parser.add_argument(
        "--workers", type=positive, default=2, help="of the process executor (default %(default)s)"
    )
    parser.add_argument(
        "--db-uri",
        metavar="URI",
        help="an empty database on a server, for redun_lite in place of SQLite",
    )
    parser.add_argument("--redun", metavar="PYTHON", help="an interpreter that has redun")
    parser.add_argument(
        "--redun-jobs", type=positive, default=2_000, help="calls for redun (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if args.db_uri:
        args.repeat = 1
        if not is_empty(args.db_uri):
            parser.error(f"--db-uri: {args.db_uri} is not empty")

    samples = []
    for _ in range(args.repeat):
        samples += measure_round(args)
    lines = summarize(samples)
    if args.json:
        print(
            json.dumps(
                {
                    "environment": environment_line(),
                    "options": vars(args),
                    "results": [line._asdict() for line in lines],
                    "samples": [sample._asdict() for sample in samples],
                },
                indent=2,
            )
        )
        return
    print(f"{environment_line()}; {args.executor} executor{_workers(args)}, {_rounds(args)}")
    print()
    print(show(lines, args))
    if args.redun:
        print()
        print(f"Compared with {samples[-1].version}.")
        if args.redun_jobs != args.jobs:
            print(
                f"It was given fewer jobs, {args.redun_jobs:,} instead of {args.jobs:,}: see "
                "--redun-jobs."
            )


def _workers(args: argparse.Namespace) -> str:
    return f" with {args.workers} workers" if args.executor == "process" else ""


def _rounds(args: argparse.Namespace) -> str:
    return "one round" if args.repeat == 1 else f"medians of {args.repeat} rounds"


if __name__ == "__main__":
    main()
