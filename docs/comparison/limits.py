"""Limits of resources."""

from __future__ import annotations

import threading
import time

from .case import Fact, case
from .engine import task

redun_namespace = "limits"

LIMITS = {"limits": {"seat": "2"}}


class Seats:
    """Counts who is there at the same time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.taken = self.most = 0

    def __enter__(self):
        with self.lock:
            self.taken += 1
            self.most = max(self.most, self.taken)

    def __exit__(self, *_):
        time.sleep(0)  # Lets others in, if nothing holds them back.
        with self.lock:
            self.taken -= 1


seats = Seats()


@task(limits=["seat"])
def sit(number):
    with seats:
        return number


@task(limits=["seat"])
def sit_together(number):
    with seats:
        both.wait(60)
        return number


both = threading.Barrier(2)


def most():
    """Tell the most there were at the same time, and begin anew."""
    told = seats.most
    seats.most = 0
    return Fact(f"at most {told} at the same time")


@case("A limit holds jobs back", config=LIMITS)
def held_back():
    yield [sit_together(number) for number in range(6)]
    yield most()


@case("A limit that is not configured is 1")
def not_configured():
    yield [sit(number) for number in range(3)]
    yield most()


@case("A job may take several units", config=LIMITS)
def units():
    yield [sit.options(limits={"seat": 2})(number) for number in range(4)]
    yield most()


@case("Several resources", config={"limits": {"seat": "3", "table": "1"}})
def several():
    yield [sit.options(limits=["seat", "table"])(number) for number in range(4)]
    yield most()
