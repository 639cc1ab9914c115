"""Eight processes on one database at once: nothing is lost, and nobody finds it locked."""

from __future__ import annotations

import os
import traceback

import pytest
from support import Lab

from redun_lite import Scheduler, task
from redun_lite import _db as db
from redun_lite._db import Repository

redun_namespace = "test_concurrency"

PROCESSES = 8


@task(version="1")
def square(n):
    return n * n


@task(version="1")
def total(values):
    return sum(values)


@task(version="1")
def nested(n):
    return total([square(n + i) for i in range(20)])


@task(version="1", cache=False)
def own(process, n):
    return {"process": process, "n": [n, square(n)]}


def together(function):
    """Call a function in several processes that all start at once; return how they ended."""
    starting, start = os.pipe()
    children = []
    for number in range(PROCESSES):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(start)
                os.read(starting, 1)  # Until the last one is there and the pipe is closed.
                function(number)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(child)
    os.close(starting)
    os.close(start)
    return [os.waitpid(child, 0)[1] for child in children]


@pytest.fixture(params=["as usual", "with a commit at each turn"])
def lab(request, tmp_path, monkeypatch):
    if request.param != "as usual":
        monkeypatch.setattr(db, "FLUSH_INTERVAL", 0.0)
    return Lab(tmp_path)


def test_processes_that_make_the_database_together_make_one(tmp_path):
    path = str(tmp_path / "lab.db")
    assert together(lambda number: Repository(path).close()) == [0] * PROCESSES
    lab = Lab(tmp_path)
    lab.run(square(2))
    lab.audit()


def test_processes_that_do_the_same_work_record_it_once_and_lose_nothing(lab):
    expected = [sum((n + i) ** 2 for i in range(20)) for n in range(10)]

    def work(number):
        assert lab.run([nested(n) for n in range(10)]) == expected

    assert together(work) == [0] * PROCESSES
    assert lab.statuses() == ["DONE"] * PROCESSES
    for execution in range(1, PROCESSES + 1):
        jobs = lab.jobs(execution)
        assert {name: len(statuses) for name, statuses in jobs.items()} == {
            "nested": 10,
            "square": 200,
            "total": 10,
        }
        assert {status for found in jobs.values() for status in found} <= {"DONE", "CACHED"}
    # Equal calls that came out equally are one, however many processes had made them.
    assert lab.query("SELECT count(*) FROM call") == [10 + 29 + 10]
    lab.audit()
    lab.run([nested(n) for n in range(10)])
    assert {status for found in lab.jobs().values() for status in found} == {"CACHED"}


def test_processes_that_do_work_of_their_own_lose_nothing(lab):
    def work(number):
        with lab.scheduler() as scheduler:
            for n in range(5):
                exprs = [own(number, 100 * n + i) for i in range(10)]
                found = scheduler.run(exprs)
                assert [part["n"][1] for part in found] == [part["n"][0] ** 2 for part in found]

    assert together(work) == [0] * PROCESSES
    assert lab.statuses() == ["DONE"] * PROCESSES * 5
    for execution in range(1, PROCESSES * 5 + 1):
        assert len(lab.jobs(execution)["own"]) == 10
    lab.audit()
    assert lab.query("SELECT count(DISTINCT uuid) FROM execution") == [PROCESSES * 5]
    (jobs,) = lab.query("SELECT count(*) FROM job")
    assert jobs == PROCESSES * 5 * 20
    recorded = lab.query(
        "SELECT count(*) FROM call JOIN task ON task.id = task_id "
        "WHERE fullname = 'test_concurrency.own'"
    )
    assert recorded == [PROCESSES * 50]


def test_a_process_finds_what_another_one_has_recorded_meanwhile(lab):
    with lab.scheduler() as scheduler:
        scheduler.run(square(0))

        def work(number):
            lab.run([square(100 + number)])

        assert together(work) == [0] * PROCESSES
        scheduler.run([square(100 + number) for number in range(PROCESSES)])
        assert lab.jobs() == {"square": ["CACHED"] * PROCESSES}


def test_processes_may_read_while_others_write(lab):
    def work(number):
        for n in range(5):
            if number % 2:
                lab.run([nested(n)])
            else:
                lab.audit()

    lab.run(square(0))
    assert together(work) == [0] * PROCESSES
    lab.audit()


def test_a_task_with_workers_and_seven_like_it_share_a_database(lab):
    there = square.options(executor="process")

    def work(number):
        with Scheduler(lab.config) as scheduler:
            assert scheduler.run([there(n) for n in range(50)]) == [n * n for n in range(50)]

    assert together(work) == [0] * PROCESSES
    assert lab.query("SELECT count(*) FROM call") == [50]
    lab.audit()
