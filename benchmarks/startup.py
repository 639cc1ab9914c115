"""How long it takes until something happens: wall time of whole processes.

    python benchmarks/startup.py

Compares `python -c pass`, which is what Python itself takes, with importing the package, with
`python -m redun_lite --version`, and with running `examples/hello`: cold, with a fresh database
each time, and again with every job cached.  A round runs each once, one after the other; the first
round, in which Python writes its byte code, is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _measuring import ROOT, environment_line, format_table, median, positive

EXAMPLE = Path("examples", "hello", "workflow.py")

NOTHING = "python -c pass"
CHEAP = {
    NOTHING: ["-c", "pass"],
    "import redun_lite": ["-c", "import redun_lite"],
    "import redun_lite.Scheduler": ["-c", "from redun_lite import Scheduler, task"],
    "redun_lite --version": ["-m", "redun_lite", "--version"],
}
RUN = ["-m", "redun_lite", "run", str(EXAMPLE), "main"]


class Failed(Exception):
    """A command ended with an error."""


def run_python(args: list[str], config_dir: str) -> float:
    """Return the seconds that a new Python takes.

    Raises
    ------
    Failed
        It ended with an error; the message is the last line of what it wrote.
    """
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *args],
        cwd=ROOT,
        env={**os.environ, "REDUN_LITE_CONFIG": config_dir},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise Failed((done.stderr.splitlines() or [f"status {done.returncode}"])[-1])
    return seconds


def measure_round(failed: dict[str, str]) -> dict[str, float]:
    """Return the seconds that each command takes, those left out that fail."""
    found = {}

    def add(name: str, args: list[str], config_dir: str) -> None:
        if name not in failed:
            try:
                found[name] = run_python(args, config_dir)
            except Failed as failure:
                failed[name] = str(failure)

    with tempfile.TemporaryDirectory(prefix="redun_lite-benchmark-") as folder:
        config_dir = str(Path(folder, "config"))
        for name, args in CHEAP.items():
            add(name, args, config_dir)
        if (ROOT / EXAMPLE).exists():
            add("run examples/hello, cold", RUN, config_dir)
            add("run examples/hello, cached", RUN, config_dir)
    return found


def main() -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repeat", type=positive, default=20, help="counted rounds (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    failed: dict[str, str] = {}
    measure_round(failed)
    rounds = [measure_round(failed) for _ in range(args.repeat)]
    seconds = {name: [found[name] for found in rounds if name in found] for name in rounds[0]}
    if args.json:
        shown = {
            "environment": environment_line(),
            "options": vars(args),
            "seconds": seconds,
            "failed": failed,
        }
        print(json.dumps(shown, indent=2))
        return int(bool(failed))

    nothing = median(seconds[NOTHING])
    rows = [
        [
            name,
            f"{median(found) * 1e3:.1f}",
            f"{min(found) * 1e3:.1f}",
            f"{median(found) / nothing:.2f}",
        ]
        for name, found in seconds.items()
    ]
    print(f"{environment_line()}; {args.repeat} rounds")
    print()
    print(format_table(["", "median ms", "least ms", f"× {NOTHING}"], rows))
    if not (ROOT / EXAMPLE).exists():
        print(f"\nThere is no {EXAMPLE}: left out.")
    for name, reason in failed.items():
        print(f"\n{name} failed: {reason}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
