"""A scheduler task takes what follows the three parameters that the engine fills."""

# pyright: strict

from __future__ import annotations

from typing import Any, Optional, TypeVar, Union

from redun_lite import Promise, Scheduler, SchedulerExpression, catch, run, scheduler_task, task
from redun_lite.functools import map_

T = TypeVar("T")
Call = SchedulerExpression[Any]


@task
def add(a: int, b: int = 2) -> int:
    return a + b


@scheduler_task
def promised(scheduler: Scheduler, parent_job: Any, sexpr: Call, value: int) -> Promise[str]:
    return scheduler.evaluate(value, parent_job).then(str)


@scheduler_task(name="maybe", namespace="cases", version="1")
def perhaps(
    scheduler: Scheduler, parent_job: Any, sexpr: Call, value: int, late: bool = False
) -> Union[int, Promise[int]]:
    return scheduler.evaluate(value, parent_job) if late else value


@scheduler_task
def at_once(scheduler: Scheduler, parent_job: Any, sexpr: Call, value: int) -> list[int]:
    return [value, add(value)]


@scheduler_task
def either(
    scheduler: Scheduler, parent_job: Any, sexpr: Call, value: Optional[T], other: T
) -> Promise[T]:
    return scheduler.evaluate(value, parent_job).then(lambda known: known or other)


@scheduler_task
def hinted_any(scheduler: Any, parent_job: Any, sexpr: Any, value: int) -> Any:
    return value


@scheduler_task
def with_names(scheduler: Any, parent_job: Any, sexpr: Any, /, value: int, **names: str) -> Any:
    return value


reveal_type(promised(1))  # reveals: str
reveal_type(perhaps(1, late=True))  # reveals: int
reveal_type(at_once(1))  # reveals: list[int]
reveal_type(either(None, add(1)))  # reveals: int
reveal_type(hinted_any(1))  # reveals: Any
reveal_type(with_names(1, a="b"))  # reveals: Any
reveal_type(promised.options(memory=1)(1))  # reveals: str
reveal_type(run(promised(1)))  # reveals: str
reveal_type(catch(promised(1), ValueError, add.partial(1)))
# reveals: str | int
reveal_type(map_(promised, [1]))  # reveals: list[str]
promised("1")
# mypy error: No overload variant of "__call__" of "SchedulerTask"
# pyright error: "int"
promised()
# mypy error: require at least one argument
# pyright error: No overloads for "__call__"
at_once("1")
# mypy error: incompatible type "str"; expected "int"
# pyright error: "int"


@scheduler_task
# mypy error: incompatible type
# pyright error: too few positional parameters
def too_few(scheduler: Any, parent_job: Any) -> Any:
    return None
