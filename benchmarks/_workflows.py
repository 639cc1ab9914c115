"""The workflows that are measured; as a script it runs one of them, once, and prints how it went.

The same file runs on redun_lite and, for comparison, on redun: `BENCHMARK_ENGINE` in the
environment says which.  It is a variable and not an option because the tasks must be defined when
a worker process imports this file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from _measuring import ROOT, peak_memory

ENGINE = os.environ.get("BENCHMARK_ENGINE", "redun_lite")
EXECUTOR = os.environ.get("BENCHMARK_EXECUTOR", "default")

if ENGINE == "redun":
    from redun import File, Scheduler, __version__, task  # type: ignore[import-not-found]
    from redun.config import Config  # type: ignore[import-not-found]
else:
    sys.path.insert(0, str(ROOT))
    from redun_lite import Config, File, Scheduler, __version__, task

redun_namespace = "benchmark"


@task(version="1", executor=EXECUTOR)
def noop(number: int) -> int:
    """Return the argument: all that is measured is the engine."""
    return number


@task(version="1")
def fan_out(jobs: int) -> list[int]:
    """Call `noop` for every number."""
    return [noop(number) for number in range(jobs)]


@task(version="1")
def inc(number: int) -> int:
    """Add one."""
    return number + 1


@task(version="1")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@task(version="1")
def tail_recursion(depth: int) -> int:
    """Return what the call below returns."""
    return 0 if depth == 0 else tail_recursion(depth - 1)


@task(version="1")
def recursion(depth: int) -> int:
    """Add one to what the call below returns."""
    return 0 if depth == 0 else add(1, recursion(depth - 1))


@task(version="1")
def sequence(length: int) -> int:
    """Apply `inc` again and again: one expression, as deep as the sequence is long."""
    number = 0
    for _ in range(length):
        number = inc(number)
    return number


@task(version=os.environ.get("BENCHMARK_VERSION", "1"))
def read(file: Any, number: int) -> int:
    """Read a file, as far as a benchmark needs to."""
    return number


def library(jobs: int) -> Any:
    """Call `noop` so often, and `read` with one of a hundred files for each hundredth call."""
    folder = Path(os.environ["BENCHMARK_FOLDER"])
    files = [File(str(folder / f"input-{number}.txt")) for number in range(100)]
    return [
        read(files[number // 100 % 100], number) if number % 100 == 0 else noop(number)
        for number in range(jobs)
    ]


def doubling(times: int) -> Any:
    """Add a number to itself again and again: 2**times paths through `times` calls."""
    number = 1
    for _ in range(times):
        number = add(number, number)
    return number


WORKFLOWS = {
    "fan_out": (fan_out, lambda jobs: list(range(jobs))),
    "library": (library, lambda jobs: list(range(jobs))),
    "tail_recursion": (tail_recursion, lambda depth: 0),
    "recursion": (recursion, lambda depth: depth),
    "sequence": (sequence, lambda length: length),
    "doubling": (doubling, lambda times: 2**times),
}
"""The expression of each workflow, and the right answer, for a size."""


def run_workflow(
    name: str, size: int, database: Path, workers: int, uri: str | None = None
) -> dict[str, Any]:
    """Run a workflow on a database, which is made if it does not exist; or on one on a server.

    Returns
    -------
    dict
        `seconds` from the expression to its recorded value; `cpu_seconds` and `peak_bytes` of
        this process, without its worker processes; `correct` and `version`.
    """
    make_expr, answer = WORKFLOWS[name]
    sections: dict[str, dict[str, Any]] = {"backend": {"db_uri": f"sqlite:///{database}"}}
    if uri is not None:
        sections["backend"] = {"db_uri": uri, "automigrate": True}
    if EXECUTOR == "process":
        executor = {"type": "local", "mode": "process", "max_workers": workers}
        sections["executors.process"] = executor
    logging.disable(logging.INFO)  # redun logs every job.
    scheduler = Scheduler(Config(sections))
    scheduler.load()
    started, cpu_started = time.perf_counter(), time.process_time()
    value = scheduler.run(make_expr(size))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    result = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak_memory(),
        "correct": value == answer(size),
        "version": f"{ENGINE} {__version__} on Python {platform.python_version()}",
    }
    if ENGINE == "redun_lite":
        scheduler.close()
    return result


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workflow", choices=WORKFLOWS)
    parser.add_argument("size", type=int)
    parser.add_argument("database", type=Path)
    parser.add_argument("--workers", type=int, default=2, help="processes of that executor")
    parser.add_argument("--db-uri", help="a database on a server, in place of the file")
    args = parser.parse_args()
    found = run_workflow(args.workflow, args.size, args.database, args.workers, args.db_uri)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
