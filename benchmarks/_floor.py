"""The floor under a fan-out: what its record costs when there is no engine.

For each job the same digests and pickles are made and the same rows inserted, in bulk, into the
same schema; the function runs in a worker thread that takes jobs from one queue and puts results
into another.  There are no expressions, no dependencies, no look-ups, no errors, and nothing is
written before everything in a batch has run.  `throughput.py` checks that the rows are as many as
the engine's.

As a script it does this once, and prints how it went.
"""

from __future__ import annotations

import argparse
import json
import pickle
import queue
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

from _measuring import ROOT, peak_memory

sys.path.insert(0, str(ROOT))

from redun_lite import _sqlite, _writer
from redun_lite._digest import digest
from redun_lite._hash import key_of
from redun_lite._schema import JOB_NUMBER_BITS
from redun_lite._timers import now
from redun_lite._value import PICKLE_PROTOCOL

BATCH = 20_000
"""Jobs per transaction."""

TASK_KEY = digest(b"noop")
MAIN_CALL = TASK = TASK_SET = TYPE = 1  # Row ids.
MAIN_JOB = 1 << JOB_NUMBER_BITS

Queue = queue.SimpleQueue


def noop(number: int) -> int:
    """Return the argument."""
    return number


def work(jobs: Queue[Any], results: Queue[Any]) -> None:
    """Call the functions that come in, until None comes."""
    while True:
        job = jobs.get()
        if job is None:
            return
        function, number = job
        results.put((number, function(number), now()))


def record(connection: sqlite3.Connection, results: list[tuple[int, int, int]]) -> None:
    """Insert the rows of a batch in one transaction, in the order of the indexes."""
    data = {}  # Of each value by key: argument and result are equal, so one serves for both.
    ended = []
    for number, result, started in results:
        argument_key = key_of(number)
        result_key = key_of(result)
        call_key = digest(TASK_KEY + argument_key)
        for key, value in ((argument_key, number), (result_key, result)):
            if key not in data:
                data[key] = pickle.dumps(value, PICKLE_PROTOCOL)
        ended.append((call_key, argument_key, result_key, number, started, now()))
    ended.sort()

    first = results[0][0] + 1  # Numbers are without gaps, so they serve to give ids.
    value_ids = {key: row_id for row_id, key in enumerate(sorted(data), first)}
    values = [(row_id, key, TYPE, data[key]) for key, row_id in value_ids.items()]
    calls = []
    arguments = []
    children = []
    jobs = []
    for call_id, (key, argument, result_key, number, started, end) in enumerate(ended, first + 1):
        result_id = value_ids[result_key]
        outcome = int.from_bytes(result_key[:8], "little", signed=True)
        calls.append((call_id, key, outcome, TASK, result_id, result_id, TASK_SET, started))
        arguments.append((call_id, 0, "number", value_ids[argument]))
        children.append((MAIN_CALL, number, call_id))
        jobs.append((MAIN_JOB + 1 + number, MAIN_JOB, TASK, call_id, "DONE", started, end))
    children.sort()
    jobs.sort()

    connection.execute("BEGIN IMMEDIATE")
    for insert, rows in (
        (_writer.INSERT_VALUE, values),
        (_writer.INSERT_CALL, calls),
        (_writer.INSERT_ARGUMENT, arguments),
        (_writer.INSERT_CHILD, children),
        (_writer.INSERT_JOB, jobs),
    ):
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"{insert} VALUES ({marks})", rows)
    connection.execute("COMMIT")


def run_floor(jobs: int, database: Path) -> dict[str, Any]:
    """Run and record a number of jobs; return what `_workflows.run_workflow` does."""
    source = _sqlite.SqliteFile(str(database))
    source.create()
    opened = source.connect()
    source.migrate(opened)
    connection = opened.connection
    inbox: Queue[Any] = Queue()
    outbox: Queue[Any] = Queue()
    worker = threading.Thread(target=work, args=(inbox, outbox))
    worker.start()

    started, cpu_started = time.perf_counter(), time.process_time()
    for first in range(0, jobs, BATCH):
        numbers = range(first, min(first + BATCH, jobs))
        for number in numbers:
            inbox.put((noop, number))
        record(connection, [outbox.get() for _ in numbers])
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started

    inbox.put(None)
    worker.join()
    connection.close()
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_memory()}


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", type=int)
    parser.add_argument("database", type=Path)
    args = parser.parse_args()
    print(json.dumps(run_floor(args.jobs, args.database)))


if __name__ == "__main__":
    main()
