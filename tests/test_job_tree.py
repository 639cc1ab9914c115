"""The jobs of an execution as a tree."""

from collections import Counter

import pytest
from support import Lab

from redun_lite import task
from redun_lite._history import open_history
from redun_lite._job_tree import all_children, all_jobs, children, job_tree

redun_namespace = "job_tree"


@task
def add(a, b=2):
    return a + b


@task
def many(n):
    return [add(i) for i in range(n)]


@task
def nested(n):
    return [many(n), many(n + 1), add(n)]


@task
def careless(x):
    return [add(x), boom(x)]


@task
def boom(x):
    raise ValueError(f"cannot take {x}")


@pytest.fixture
def history(tmp_path):
    lab = Lab(tmp_path)
    lab.run([many(30), many(31)])
    with pytest.raises(ValueError, match="cannot take"):
        lab.run([many(40), careless(1), [boom(x) for x in range(2, 40)]])
    lab.run(nested(20))
    lab.run(nested(21))
    with open_history(str(lab.path)) as history:
        yield history


def test_the_jobs_of_a_large_execution_are_counted_as_those_of_a_small_one(history, monkeypatch):
    for execution in history.executions(None):
        small = job_tree(history, execution)
        with monkeypatch.context() as patch:
            patch.setattr("redun_lite._job_tree._FEW_JOBS", -1)
            assert job_tree(history, execution) == small


def test_a_tree_stands_for_each_job_once(history):
    for execution in history.executions(None):
        tree = job_tree(history, execution)
        jobs = [entry.job for entry in all_jobs(history, execution)]
        shown = sum(1 if e.counts is None else sum(e.counts.values()) for e in tree.entries)
        assert shown + tree.left_out == len(jobs)
        assert Counter((job.status, job.task_name) for job in jobs) == {
            (status, name): count
            for status, by_task in tree.counts.items()
            for name, count in by_task.items()
        }


def test_folded_siblings_are_those_of_a_job_that_have_no_line(history):
    for execution in history.executions(None):
        for parent in [entry.job for entry in all_jobs(history, execution)]:
            each = [entry.job for entry in all_children(history, parent)]
            folded = children(history, parent)
            alone = {entry.job.id for entry in folded if entry.counts is None}
            left = Counter((j.task_name, j.status) for j in each if j.id not in alone)
            assert left == {
                (entry.job.task_name, status): count
                for entry in folded
                for status, count in (entry.counts or {}).items()
            }


def test_siblings_are_in_the_order_of_their_numbers(history):
    for execution in history.executions(None):
        at_top = [e.job.number for e in job_tree(history, execution).entries if e.depth == 0]
        assert at_top == sorted(at_top)
