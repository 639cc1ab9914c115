"""The tasks of test_subrun that run in processes.

A new process imports the module of a task, and would import pytest with the tests.
"""

from __future__ import annotations

import os

from ledger import note

from redun_lite import JobInfo, get_context, subrun, task

redun_namespace = "test_subrun"

CHANGED = "as imported"


class OddError(Exception):
    """An error with something of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(f"odd: {number}")
        self.number = number


@task(version="1")
def double(log, number):
    note(log, "double", number)
    return 2 * number


@task(version="1")
def next_doubled(log, number):
    note(log, "next_doubled", number)
    return double(log, number + 1)


@task(version="1")
def add(numbers):
    return sum(numbers)


@task(version="1")
def fail(number):
    raise OddError(number)


@task(version="1")
def recover(error):
    return f"recovered from {error.number}"


@task(version="1")
def process_of(label):
    return os.getpid()


@task(version="1")
def changed(label):
    return CHANGED


@task(version="1")
def options_of(label, job_info: JobInfo = JobInfo()):
    return job_info.options


@task(version="1")
def execution_of(label, job_info: JobInfo = JobInfo()):
    return job_info.execution_id


@task(version="1")
def variable(value=get_context("a.b", "unset")):
    return value


@task(version="1")
def inside(number, executor):
    return subrun(double(os.devnull, number), executor=executor)


@task(version="1")
def in_process_of(executor):
    return [process_of("job"), process_of.options(executor=executor)("worker")]


@task(version="1")
def fail_below(number):
    return fail(number)


@task(version="1")
def die(when):
    os._exit(3)


@task(version="1")
def waits(fifo):
    with open(fifo) as stream:
        return stream.read()


@task(version="1")
def follows(log, value):
    note(log, "follows")
    return value
