"""What a call comes to may be written as `Expression[T]`, which is accepted where `T` is."""

# pyright: strict

from __future__ import annotations

from typing import Optional

from redun_lite import (
    Expression,
    File,
    SimpleExpression,
    TaskExpression,
    ValueExpression,
    lazy,
    run,
    task,
)


@task
def add(a: int, b: int = 2) -> int:
    return a + b


@task
def size(file: File, limit: Optional[int] = None) -> float:
    return file.size()


def plan(count: int) -> Expression[int]:
    """Any function may put calls together."""
    return lazy(add(count))


def forgetful(count: int) -> Expression[int]:
    return add(count)  # error: "Expression[int]"


reveal_type(plan(1))  # reveals: Expression[int]
reveal_type(add(plan(1), b=plan(2)))  # reveals: int
reveal_type(run(plan(1)))  # reveals: int
number: int = plan(1)

results: list[Expression[int]] = [lazy(add(1)), plan(2), ValueExpression(3)]
reveal_type([add(result) for result in results])  # reveals: list[int]

reveal_type(lazy(add(1)))  # reveals: Expression[int]
reveal_type(lazy([add(1), add(2)]))  # reveals: Expression[list[int]]
reveal_type(lazy(3.5))  # reveals: Expression[float]

# It is accepted elsewhere as well: there is no type for "an int, or what comes to one".
size(plan(1))

# But for None, and where it is a part of another type.
nothing: None = plan(1)  # error: "None"
numbers: list[int] = results
# mypy error: "list[int]"
# pyright error: "list[int]"


def describe(value: object) -> str:
    if isinstance(value, Expression):
        return "lazy"
    if isinstance(value, (TaskExpression, SimpleExpression)):
        return "never"
    return str(value)


def names(expr: TaskExpression[int]) -> str:
    reveal_type(expr.task_name)  # reveals: str
    return expr.task_name
