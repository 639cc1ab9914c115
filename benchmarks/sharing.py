"""How fast the records of a hundred thousand jobs go from one repository to another.

    python benchmarks/sharing.py

Makes a repository as `reading.py` does, with `--jobs` jobs.  Then `export` into a file, `import` of
that file and `export | import` are timed as whole commands, each several times in turn.  A record
is a line of the file: there are about three for each job.  The rate is that of the median, `bound`
the least that it is to be.  The exit status is 1 if a command fails, or if what was imported is not
exported again to the byte.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from _measuring import ROOT, environment_line, format_table, median, positive
from reading import make_repository

BOUND = 20_000
"""Records a second of the whole pipe."""


class Rate(NamedTuple):
    """How long it took to share so many records."""

    command: str
    records: int
    seconds: list[float]
    bound: int | None = None

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / median(self.seconds)


def start(
    words: list[str], folder: Path, given: int | None = None, taken: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in the repository's folder."""
    command = [sys.executable, "-S", "-m", "redun_lite", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=given,
        stdout=taken,
        stderr=subprocess.DEVNULL,
    )


def finish(*processes: subprocess.Popen[bytes]) -> None:
    """Wait for commands to end; fail if one did."""
    for process in processes:
        if process.wait() != 0:
            raise SystemExit(f"{process.args} ended with status {process.returncode}")


def run(words: list[str], folder: Path) -> float:
    """Run a command, and return the seconds that it took."""
    started = time.perf_counter()
    finish(start(words, folder))
    return time.perf_counter() - started


def run_pipe(folder: Path, copy: Path) -> float:
    """Run `export | import`, and return the seconds that it took."""
    started = time.perf_counter()
    exporting = start(["export"], folder, taken=subprocess.PIPE)
    assert exporting.stdout is not None
    importing = start(["import", "-", "--repo", str(copy)], folder, given=exporting.stdout.fileno())
    exporting.stdout.close()
    finish(exporting, importing)
    return time.perf_counter() - started


def measure_sharing(folder: Path, rounds: int) -> list[Rate]:
    """Time the commands."""
    exported = folder / "exported"
    again = folder / "exported again"
    seconds: dict[str, list[float]] = {"export": [], "import": [], "export | import": []}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} …", file=sys.stderr)
        file_copy, pipe_copy = (folder / f"{name}-{number}.db" for name in ("file", "pipe"))
        seconds["export"].append(run(["export", "-o", str(exported)], folder))
        words = ["import", str(exported), "--repo", str(file_copy)]
        seconds["import"].append(run(words, folder))
        seconds["export | import"].append(run_pipe(folder, pipe_copy))
    for copy in (file_copy, pipe_copy):
        run(["export", "-o", str(again), "--repo", str(copy)], folder)
        if not filecmp.cmp(exported, again, shallow=False):
            raise SystemExit(f"what was imported into {copy} is exported as something else")
    with open(exported, "rb") as lines:
        records = sum(1 for _ in lines) - 2  # The first and the last line are no records.
    bounds = {"export | import": BOUND}
    return [
        Rate(command, records, taken, bounds.get(command)) for command, taken in seconds.items()
    ]


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--jobs", type=positive, default=100_000, help="jobs recorded (default %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=positive, default=3, help="times each is timed (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="redun_lite-benchmark-") as name:
        folder = Path(name).resolve()
        make_repository(folder, args.jobs)
        rates = measure_sharing(folder, args.rounds)
    if args.json:
        shown = {
            "environment": environment_line(),
            "jobs": args.jobs,
            "rates": [rate._asdict() for rate in rates],
        }
        print(json.dumps(shown, indent=2))
        return 0
    print(f"{environment_line()}; {args.jobs:,} jobs, {rates[0].records:,} records\n")
    rows = [
        [
            rate.command,
            f"{median(rate.seconds):,.2f}",
            f"{rate.rate:,.0f}",
            "" if rate.bound is None else f"{rate.bound:,}",
        ]
        for rate in rates
    ]
    print(format_table(["", "seconds", "records/s", "bound"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
