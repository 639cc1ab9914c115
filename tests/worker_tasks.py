"""The tasks of test_workers that run in processes which import their module anew.

Such a process would import pytest with the tests.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading

from redun_lite import task

redun_namespace = "test_workers"


@task(version="1", executor="workers")
def ident(x):
    return x


@task(version="1", executor="workers")
def process_id(n):
    return os.getpid()


@task(version="1", executor="workers")
def die(how):
    if how == "exit":
        os._exit(3)
    faulthandler.disable()  # It would show where SIGSEGV came from, at length.
    os.kill(os.getpid(), getattr(signal, how))


@task(version="1", executor="workers")
def locks():
    return [{"lock": threading.Lock()}]


class TwoArguments(Exception):
    """Comes out of an ordinary pickle as a TypeError."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("I have no words")


@task(version="1", executor="workers")
def raises(kind):
    def helper():
        if kind == "key":
            raise KeyError("deep")
        if kind == "two":
            raise TwoArguments(1, 2)
        if kind == "silent":
            raise Silent
        if kind == "lock":
            raise ValueError(threading.Lock())
        sys.exit("enough")

    helper()


@task(version="1", executor="workers")
def imports(name):
    return __import__(name).ANSWER
