"""A call of a task takes what its function takes, and is good for what its function returns."""

# pyright: strict

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, TypeVar, Union

import redun_lite
from redun_lite import File, Scheduler, Task, run, task

T = TypeVar("T")


@dataclass
class Sample:
    name: str
    reads: File


@task
def add(a: int, b: int = 2) -> int:
    return a + b


@task()
def show(value: float, *, digits: int = 3) -> str:
    return f"{value:.{digits}f}"


@task(name="load_it", namespace="cases", version="1", memory=4, nout=2, tags=[("team", "a")])
def load(file: File, *others: File, **names: str) -> list[Sample]:
    return [Sample("a", file)]


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def first(values: list[T]) -> T:
    return values[0]


@task
def maybe(value: Optional[int]) -> Union[int, str, None]:
    return value


@task
def anything(value: Any) -> Any:
    return value


@task
def nothing(value: int) -> None:
    print(value)


# The task itself

reveal_type(add)
# mypy reveals: Task[[a: int, b: int =], int]
# pyright reveals: Task[(a: int, b: int = 2), int]
reveal_type(show)
# mypy reveals: Task[[value: float, *, digits: int =], str]
# pyright reveals: Task[(value: float, *, digits: int = 3), str]
reveal_type(load)
# mypy reveals: Task[[file: File, *others: File, **names: str], list[Sample]]
# pyright reveals: Task[(file: File, *others: File, **names: str), list[Sample]]
reveal_type(add.func(1, 2))  # reveals: int
reveal_type(add.fullname)  # reveals: str
add.func("1")  # error: "int"

# What a call comes to

reveal_type(add(1))  # reveals: int
reveal_type(add(1, b=2))  # reveals: int
reveal_type(show(add(1)))  # reveals: str
reveal_type(load(File("a"), File("b"), kind="x"))  # reveals: list[Sample]
reveal_type(total([add(1), 2, add(3)]))  # reveals: int
reveal_type(first([show(1.5)]))  # reveals: str
reveal_type(first(load(File("a"))))  # reveals: Sample
reveal_type(maybe(None))  # reveals: int | str | None
reveal_type(anything(add(1)))  # reveals: Any
reveal_type(nothing(1))  # reveals: None

# What it does not take

add("1")  # error: "int"
add(1, "2")  # error: "int"
add(a="1")  # error: "int"
add()
# mypy error: Missing positional argument "a"
# pyright error: Argument missing for parameter "a"
add(1, 2, 3)
# mypy error: Too many arguments
# pyright error: Expected 2 positional arguments
add(1, c=2)
# mypy error: Unexpected keyword argument "c"
# pyright error: No parameter named "c"
show(1, 2)
# mypy error: Too many positional arguments
# pyright error: Expected 1 positional argument
show(1.5, digits="2")  # error: "int"
load(File("a"), "b")  # error: "File"
load(File("a"), kind=1)  # error: "str"

# A call as an argument is taken for its result

show(show(1))  # error: "float"
total(add(1))  # error: "list[int]"
total([show(1)])  # error: "int"
add(maybe(1))  # error: "int"
add(nothing(1))  # error: "int"
count: int = show(1)  # error: "int"

# Operators, attributes, items and unpacking

reveal_type(add(1) + add(2))  # reveals: int
reveal_type(load(File("a"))[0])  # reveals: Sample
reveal_type(load(File("a"))[0].reads.basename())  # reveals: str
sample, other = load(File("a"))
reveal_type(sample.name)  # reveals: str
add(1).no_such_thing  # error: "no_such_thing"

# A task is passed on as what it is


def uses(a_task: Task[[int], float]) -> float:
    return a_task(1)


@task
def half(a: int) -> float:
    return a / 2


@task
def truth(a: int) -> bool:
    return a > 0


uses(half)
uses(truth)  # A bool is good for a float.
uses(show)
# mypy error: incompatible type "Task[[float, DefaultNamedArg(int, 'digits')], str]"
# pyright error: "Task[(value: float, *, digits: int = 3), str]"

# A name that the package does not have

redun_lite.no_such_name
# mypy error: has no attribute "no_such_name"
# pyright error: "no_such_name" is not a known attribute

# Running

reveal_type(run(add(1)))  # reveals: int
reveal_type(run([show(1), show(2)]))  # reveals: list[str]
reveal_type(run({"a": add(1)}, tags=[("k", "v")]))  # reveals: dict[str, int]
with Scheduler() as scheduler:
    reveal_type(scheduler.run(load(File("a")), cache=False))  # reveals: list[Sample]
    scheduler.run(add(1), dryrun="yes")
    # mypy error: No overload variant of "run"
    # pyright error: "bool"
    scheduler.run(add(1), dry_run=True)
    # mypy error: No overload variant of "run"
    # pyright error: No overloads for "run"
