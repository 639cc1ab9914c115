"""`kill -9` at any moment: the database stays whole, and the next run goes on from what it holds.

Moments are chosen by a seeded generator and reached by counting, never by waiting:

* *job*: the process kills itself inside the nth function that runs;
* *statement*: before the nth statement of a connection to the database, so also in the midst of a
  transaction, between the last insert and the commit, and while the tables are being made;
* *bytes*: this process kills it from outside once the database's log has n bytes, so also in the
  midst of a write.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from killing import at_statements, check_status, countdown, fork, was_killed
from support import Lab, note, notes

from redun_lite import Scheduler, task
from redun_lite import _db as db
from redun_lite._record import load_value

redun_namespace = "test_crash"

MOMENTS = 50
JOBS = 94  # Functions that run in a whole run of `main`.
# About as many statements, and bytes in the log, as it takes: with a commit for each round of the
# engine, and with commits as usual.
STATEMENTS = {0.0: 560, db.FLUSH_INTERVAL: 150}
BYTES = {0.0: 640_000, db.FLUSH_INTERVAL: 110_000}


class Ledger:
    """Where functions note that they run, and who is told."""

    path = ""
    run = ""

    @staticmethod
    def told():
        pass


def ran(name, *args):
    """Note that a function runs, before it does anything."""
    note(Ledger.path, Ledger.run, name, identity(args))
    Ledger.told()


def identity(args):
    return hashlib.md5(repr(args).encode()).hexdigest()


@task(version="1")
def leaf(n):
    ran("leaf", n)
    return bytes([n % 256]) * (n * 997 % 20_000)


@task(version="1")
def size(data):
    ran("size", data)
    return len(data)


@task(version="1")
def total(values):
    ran("total", values)
    return sum(values)


@task(version="1")
def grow(n):
    ran("grow", n)
    if n == 0:
        return 0
    return total([size(leaf(n)), grow(n - 1), size(leaf(n + 100)), grow(n - 1)])


@task(version="1")
def step(x, i):
    ran("step", x, i)
    return x * 3 + i


@task(version="1")
def chain(n):
    ran("chain", n)
    x = 0
    for i in range(n):
        x = step(x, i)
    return x


@task(version="1")
def main(executor):
    ran("main", executor)
    there = leaf.options(executor=executor)
    return {
        "grown": grow(6),
        "chained": chain(15),
        "sizes": [size(there(n)) for n in range(200, 220)],
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    Ledger.path = str(tmp_path_factory.mktemp("crash") / "expected")
    with Scheduler() as scheduler:
        value = scheduler.run(main("default"))
    assert len(notes(Ledger.path)) == JOBS
    return value


def kill_at_bytes(lab, child, n):
    """Kill a process once the log of its database has some bytes; return how the process ended."""
    log = f"{lab.path}-wal"
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        try:
            if os.stat(log).st_size >= n:
                os.kill(child, signal.SIGKILL)
                return os.waitpid(child, 0)[1]
        except FileNotFoundError:
            pass
        time.sleep(0.0001)  # Leave the processor to the child.


def crash(lab, kind, n, executor, flush_interval):
    """Run the workflow in a process that is killed; return whether it was before it ended."""

    def run():
        Ledger.run = "first"
        db.FLUSH_INTERVAL = flush_interval
        if kind == "job":
            Ledger.told = countdown(n)
        elif kind == "statement":
            at_statements(countdown(n))
        lab.run(main(executor))

    child = fork(run)
    return check_status(kill_at_bytes(lab, child, n)) if kind == "bytes" else was_killed(child)


def committed(lab):
    """Return which functions have returned, as the database says."""
    arguments = {}
    for call, fullname, type_name, data in lab.query(
        "SELECT call.id, fullname, value_type.name, data FROM call "
        "JOIN task ON task.id = call.task_id JOIN argument ON argument.call_id = call.id "
        "JOIN value ON value.id = value_id JOIN value_type ON value_type.id = type_id "
        "WHERE single_id IS NOT NULL ORDER BY call.id, position"
    ):
        arguments.setdefault((call, fullname), []).append(load_value(type_name, data))
    return {
        f"{fullname.rpartition('.')[2]} {identity(tuple(args))}"
        for (_, fullname), args in arguments.items()
    }


def check_recovery(lab, expected, executor):
    """Check the database that a crash left behind, and that a run goes on from there."""
    before = set()
    if lab.query("SELECT 1 FROM sqlite_master WHERE name = 'tag'"):
        lab.audit()
        before = committed(lab)
    first = {line.partition(" ")[2] for line in notes(Ledger.path)}
    assert before <= first
    Ledger.run = "second"
    assert lab.run(main(executor)) == expected
    second = [line.partition(" ")[2] for line in notes(Ledger.path) if line.startswith("second ")]
    assert len(second) == len(set(second))
    assert before.isdisjoint(second), "what was committed ran again"
    assert len(before) + len(second) == JOBS, "what was not committed did not run"
    assert lab.statuses()[-1] == "DONE"
    lab.audit()
    return before


def moments():
    generator = random.Random(20_240_229)
    for number in range(MOMENTS):
        kind = ("job", "statement", "bytes")[number % 3]
        interval = generator.choice([0.0, 0.0, db.FLUSH_INTERVAL])
        most = {"job": JOBS, "statement": STATEMENTS[interval], "bytes": BYTES[interval]}[kind]
        yield pytest.param(kind, generator.randint(1, most), interval, id=f"{number}-{kind}")


@pytest.mark.parametrize(("kind", "n", "flush_interval"), list(moments()))
def test_a_run_goes_on_from_where_it_was_killed(tmp_path, expected, kind, n, flush_interval):
    lab = Lab(tmp_path)
    Ledger.path = str(tmp_path / "ledger")
    was_killed = crash(lab, kind, n, "default", flush_interval)
    before = check_recovery(lab, expected, "default")
    assert was_killed or len(before) == JOBS
    # The first execution, if it got as far as that, has ended only if all its jobs have.
    assert lab.statuses()[:-1] in ([], ["RUNNING"], ["DONE"] if len(before) == JOBS else [])


@pytest.mark.parametrize("n", [20, 60, 90])
def test_a_run_with_workers_goes_on_from_where_it_was_killed(tmp_path, expected, n):
    lab = Lab(tmp_path)
    Ledger.path = str(tmp_path / "ledger")
    crash(lab, "job", n, "default", 0.0)
    crash(lab, "job", n, "process", 0.0)
    Path(Ledger.path).unlink()
    lab.audit()
    Ledger.run = "second"
    assert lab.run(main("process")) == expected
    lab.audit()


def test_a_run_that_is_killed_again_and_again_gets_there(tmp_path, expected):
    lab = Lab(tmp_path)
    Ledger.path = str(tmp_path / "ledger")
    crashes = 0
    while crash(lab, "job", 30, "default", 0.0):
        crashes += 1
        lab.audit()
        assert crashes < JOBS
    assert crashes > 1
    assert lab.run(main("default")) == expected
    # A function that ended may have to run again, if it was not committed when the next one fell.
    assert len({line.partition(" ")[2] for line in notes(Ledger.path)}) == JOBS
