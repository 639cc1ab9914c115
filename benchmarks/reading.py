"""How long it takes to find out what happened, where a million jobs are recorded.

    python benchmarks/reading.py

Makes a repository of `--jobs` jobs in one execution, a hundredth of which read one of a hundred
files, then runs a few jobs again whose task has been edited.  Then whole commands are timed, each
in processes of its own: those that show something, the median of five; those that go through all
there is, once.  `bound` is what they are to stay below.  The exit status is 1 if a command fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from _measuring import (
    ROOT,
    database_size,
    environment_line,
    format_table,
    measure,
    median,
    positive,
)

REPEAT = 5
EDITED_JOBS = 1_000


class Timing(NamedTuple):
    """How long a command took."""

    command: str
    seconds: float
    peak_bytes: int
    lines: int  # Of its output.
    bound: str = ""


def make_repository(folder: Path, jobs: int) -> Path:
    """Record the executions; return the configuration's directory."""
    config = folder / ".redun_lite"
    config.mkdir()
    database = config / "redun_lite.db"
    (config / "redun_lite.ini").write_text("[backend]\ndb_uri = sqlite:///redun_lite.db\n")
    for number in range(100):
        (folder / f"input-{number}.txt").write_text(f"{number}\n")
    for size, version in ((jobs, "1"), (EDITED_JOBS, "2")):
        print(f"recording {size:,} jobs …", file=sys.stderr)
        environment = {"BENCHMARK_VERSION": version, "BENCHMARK_FOLDER": str(folder)}
        measure("_workflows.py", "library", size, database, environment=environment)
    return config


def run(
    words: list[str], folder: Path, source: Path | None = None, on_terminal: bool = False
) -> tuple[float, int, int]:
    """Run a command; return seconds, peak memory in bytes, and the lines that it wrote.

    Parameters
    ----------
    source
        A file that it reads as its standard input.
    on_terminal
        Whether what it writes is shown on a terminal, where long lists are cut.
    """
    command = [sys.executable, "-S", "-m", "redun_lite", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PAGER": "cat", "TERM": "xterm"}
    reading, writing = os.openpty() if on_terminal else os.pipe()
    with open(source or os.devnull, "rb") as given:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=given, stdout=writing
        )
        os.close(writing)
        lines = 0
        try:
            while piece := os.read(reading, 65536):
                lines += piece.count(b"\n")
        except OSError:
            pass  # Linux says so that nobody has the terminal any more.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    os.close(reading)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit, lines


def look(words: list[str], folder: Path) -> Timing:
    """Time a command that shows something on a terminal."""
    print(f"{' '.join(words)} …", file=sys.stderr)
    runs = [run(words, folder, on_terminal=True) for _ in range(REPEAT)]
    seconds = median(taken for taken, _, _ in runs)
    peak = max(used for _, used, _ in runs)
    return Timing(" ".join(words), seconds, peak, runs[0][2], "0.5 s")


def go_through(words: list[str], folder: Path, source: Path | None = None) -> Timing:
    """Time a command that goes through all there is."""
    print(f"{' '.join(words)} …", file=sys.stderr)
    seconds, peak, lines = run(words, folder, source)
    return Timing(" ".join(words), seconds, peak, lines)


def ids_of(database: Path) -> dict[str, str]:
    """Return an id of each kind, from the middle of what is recorded."""
    connection = sqlite3.connect(database)
    try:
        uuids = [uuid for (uuid,) in connection.execute("SELECT uuid FROM execution ORDER BY id")]
        middle = "SELECT lower(hex(digest)) FROM value WHERE id = (SELECT max(id) / 2 FROM value)"
        (value,) = connection.execute(middle).fetchone()
        call = "SELECT lower(hex(key)) FROM call WHERE id = (SELECT max(id) / 2 FROM call)"
        (key,) = connection.execute(call).fetchone()
        edited = (
            "SELECT job.id & 0xffffffff FROM job JOIN task ON task.id = job.task_id "
            "WHERE job.id >> 32 = 2 AND fullname = 'benchmark.read' AND status = 'DONE' LIMIT 1"
        )
        (job,) = connection.execute(edited).fetchone()
        (total,) = connection.execute("SELECT count(*) FROM job").fetchone()
    finally:
        connection.close()
    return {
        "first": uuids[0],
        "job": f"{uuids[0]}-{total // 2}",
        "edited job": f"{uuids[1]}-{job}",
        "value": value[:16],
        "call": key[:16],
    }


def time_commands(folder: Path, config: Path) -> list[Timing]:
    """Time them all."""
    ids = ids_of(config / "redun_lite.db")
    timings = [
        look(words, folder)
        for words in (
            ["log"],
            ["log", "-"],
            ["log", ids["first"][:8]],
            ["log", ids["job"]],
            ["log", ids["call"]],
            ["log", ids["value"]],
            ["log", "input-42.txt"],
            ["why", ids["edited job"]],
            ["why", ids["job"]],
        )
    ]
    exported = folder / "exported"
    timings.append(go_through(["export", "--all", "-o", str(exported)], folder))
    target = folder / "copy.db"
    timings.append(go_through(["import", "-", "--repo", str(target)], folder, exported))
    collect = ["db", "gc", "--keep", "1"]
    for words in (["db", "check"], [*collect, "--dry-run"], collect):
        timings += [go_through(words, folder)]
    return timings


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--jobs", type=positive, default=1_000_000, help="jobs recorded (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="redun_lite-benchmark-") as name:
        folder = Path(name).resolve()
        config = make_repository(folder, args.jobs)
        size = database_size(config / "redun_lite.db")
        timings = time_commands(folder, config)
    if args.json:
        shown = {
            "environment": environment_line(),
            "jobs": args.jobs,
            "database_bytes": size,
            "timings": [timing._asdict() for timing in timings],
        }
        print(json.dumps(shown, indent=2))
        return 0
    print(f"{environment_line()}; {args.jobs:,} jobs, {size / 1e6:,.0f} MB\n")
    rows = [
        [
            timing.command.replace(str(folder), "DIR"),
            f"{timing.seconds:,.2f}",
            timing.bound,
            f"{timing.peak_bytes / 1e6:,.0f}",
            f"{timing.lines:,}",
        ]
        for timing in timings
    ]
    print(format_table(["", "seconds", "bound", "peak MB", "lines"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
