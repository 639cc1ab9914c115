"""Options and context variables change neither what a task takes nor what it returns."""

# pyright: strict

from __future__ import annotations

from typing import Any

from redun_lite import JobInfo, Promise, Scheduler, get_context, scheduler_task, task


@task(executor="process", cache=False, retries=3, timeout=10.5, limits={"db": 1})
def add(a: int, b: int = 2) -> int:
    return a + b


@task(memory=get_context("memory", 4), executor=get_context("executor"))
def work(
    a: int, threads: int = get_context("threads", 1), info: JobInfo = JobInfo()
) -> dict[str, Any]:
    return info.options


@scheduler_task
def twice(scheduler: Scheduler, parent_job: Any, sexpr: Any, expr: int) -> Promise[list[int]]:
    return scheduler.evaluate([expr, expr], parent_job)


reveal_type(add.options(memory=4))
# mypy reveals: Task[[a: int, b: int =], int]
# pyright reveals: Task[(a: int, b: int = 2), int]
reveal_type(add.export_options(memory=4).options(cache=False)(1))  # reveals: int
reveal_type(add.update_context({"a": 1}).update_context(b=2)(1))  # reveals: int
add.options(memory=4)("1")  # error: "int"
add.export_options(memory=4)(1, "2")  # error: "int"
add.update_context(a=1)()
# mypy error: Missing positional argument "a"
# pyright error: Argument missing for parameter "a"
add.update_context([1])  # error: "dict[str, Any] | None"

reveal_type(twice.options(memory=4))
# mypy reveals: SchedulerTask[[expr: int], Promise[list[int]]]
# pyright reveals: SchedulerTask[(expr: int), Promise[list[int]]]
reveal_type(twice.options(memory=4)(1))  # reveals: list[int]

reveal_type(add.partial(1).options(memory=4))  # reveals: PartialTask[int]

reveal_type(get_context("a.b"))  # reveals: Any
reveal_type(get_context("a.b", 3))  # reveals: int
reveal_type(get_context("a.b", add(1)))  # reveals: int
get_context(3)
# mypy error: No overload variant of "get_context"
# pyright error: "str"
add(get_context("a", "text"))  # error: "int"

task(name=3)
# mypy error: No overload variant of "task"
# pyright error: "str | None"
