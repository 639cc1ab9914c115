"""A partial task returns what its task does, and takes any arguments."""

# pyright: strict

from __future__ import annotations

from typing import Any

from redun_lite import PartialTask, run, task


@task
def power(base: float, exponent: int) -> float:
    return float(base**exponent)


@task
def apply(function: PartialTask[float], value: float) -> float:
    return function(value)


@task
def make(exponent: int) -> PartialTask[float]:
    return power.partial(exponent=exponent)


@task
def name(value: float) -> str:
    return str(value)


reveal_type(power.partial(2.0))  # reveals: PartialTask[float]
reveal_type(power.partial(exponent=2)(3.0))  # reveals: float
reveal_type(power.partial(2.0).partial(3))  # reveals: PartialTask[float]
reveal_type(power.partial(2.0).options(memory=1)(3))  # reveals: float
reveal_type(run(power.partial(2.0)(3)))  # reveals: float
reveal_type(make(2))  # reveals: PartialTask[float]
reveal_type(make(2)(3.0))  # reveals: float
reveal_type(power.partial(2.0).fullname)  # reveals: str

apply(power.partial(exponent=2), 3.0)
apply(make(2), 3.0)
apply(name.partial(1.5), 3.0)  # error: "PartialTask[float]"
apply(power, 3.0)  # error: "PartialTask[float]"
name(name.partial(1.5)())  # error: "float"

whatever: PartialTask[Any] = name.partial()
