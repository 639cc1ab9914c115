"""What the benchmarks share: measuring in fresh processes, and showing what came out.

Every measurement is a process of its own, so that neither peak memory nor anything that is cached
leaks from one to the next.  Such a process runs one script of this folder and prints one JSON
object, which `measure` returns.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


class MeasurementFailed(SystemExit):
    """A measured process failed; ends the benchmark with the message, unless it is caught."""


def measure(
    script: str,
    *args: object,
    python: str = sys.executable,
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run a script of this folder in a new process; return the object that it prints.

    Parameters
    ----------
    script
        Name of the file.
    args
        Its arguments.
    python
        The interpreter to run it.
    environment
        Variables over those of this process.

    Raises
    ------
    MeasurementFailed
        The script failed; the message shows the end of what it wrote.
    """
    command = [python, str(HERE / script), *map(str, args)]
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.splitlines()[-20:])
        raise MeasurementFailed(f"{' '.join(command)} ended with status {done.returncode}:\n{tail}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def peak_memory() -> int:
    """Return the most memory that this process has had resident, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def database_size(path: Path) -> int:
    """Return the bytes of an SQLite database, with what has not been merged into it yet."""
    parts = [path, path.with_name(path.name + "-wal")]
    return sum(part.stat().st_size for part in parts if part.exists())


def count_rows(path: Path, table: str, where: str = "1") -> int:
    """Return the number of rows of a table that meet a condition."""
    connection = sqlite3.connect(path)
    try:
        query = f"SELECT count(*) FROM {table} WHERE {where}"
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.close()


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def positive(text: str) -> int:
    """Return the number, at least 1, that an option is given as."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def environment_line() -> str:
    """Describe what the numbers were measured on."""
    return (
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    )


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with the columns aligned: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    lines = []
    for row in (head, ["-" * width for width in widths], *rows):
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)
