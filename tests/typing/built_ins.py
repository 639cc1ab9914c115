"""The tasks that ship with the engine keep the types of what they are given."""

# pyright: strict

from __future__ import annotations

from typing import Any, Union

from redun_lite import (
    PartialTask,
    QuotedExpression,
    Task,
    Thread,
    apply_tags,
    catch,
    catch_all,
    cond,
    fork_thread,
    join_thread,
    no_prov,
    quote,
    seq,
    subrun,
    task,
    throw,
    with_export_options,
)


@task
def number(x: int) -> int:
    return x


@task
def text(x: str) -> str:
    return x


@task
def on_zero(error: ZeroDivisionError) -> str:
    return str(error)


@task
def on_error(error: Exception, result: float = 0.0) -> float:
    return result


@task
def on_failures(results: list[Union[int, Exception]]) -> str:
    return str(results)


def plain(error: Exception) -> float:
    return 0.0


# cond

reveal_type(cond(number(1) > 2, number(1), number(2)))  # reveals: int
reveal_type(cond(number(1), number(1), text("a")))  # reveals: int | str
reveal_type(cond(number(1), number(1), True, text("a"), None))  # reveals: int | str | None
reveal_type(cond(1, number(1), 2, text("a"), 3, b"", None))  # reveals: int | str | bytes | None
reveal_type(cond(1, 2, 3, 4, 5, 6, 7, 8, 9))  # reveals: Any
reveal_type(cond.options(memory=1)(number(1), number(1), number(2)))  # reveals: int
number(cond(number(1), number(1), text("a")))  # error: "int | str"
cond()
# mypy error: All overload variants of "__call__" of "CondTask" require at least one argument
# pyright error: No overloads for "__call__"

# catch

reveal_type(catch(number(1)))  # reveals: int
reveal_type(catch(number(1), ZeroDivisionError, on_zero))  # reveals: int | str
reveal_type(catch(number(1), (KeyError, OSError), on_error))  # reveals: int | float
reveal_type(catch([number(1)], KeyError, on_error.partial(result=1.0)))
# reveals: list[int] | float
reveal_type(catch(number(1), ZeroDivisionError, on_zero, OSError, on_error))
# reveals: int | str | float
catch(number(1), KeyError, on_zero)  # error: "Task[
catch(number(1), KeyError, text)  # error: "Task[
catch(number(1), KeyError, plain)
# mypy error: No overload variant of "__call__" of "CatchTask"
# pyright error: "(error: Exception) -> float"
catch(number(1), "KeyError", on_error)
# mypy error: No overload variant of "__call__" of "CatchTask"
# pyright error: "Classes[
catch(number(1), KeyError)
# mypy error: No overload variant of "__call__" of "CatchTask"
# pyright error: No overloads for "__call__"

# catch_all

results = [number(1), number(2)]
reveal_type(catch_all(results))  # reveals: list[int]
reveal_type(catch_all(results, Exception, on_failures))  # reveals: list[int] | str
catch_all(results, Exception, plain)
# mypy error: No overload variant of "__call__" of "CatchAllTask"
# pyright error: "(error: Exception) -> float"

# throw

reveal_type(throw(ValueError("no")))  # reveals: Any
throw("no")
# mypy error: No overload variant of "__call__" of "Task" matches argument type "str"
# pyright error: "Exception"

# seq

reveal_type(seq([number(1), number(2)]))  # reveals: list[int]
reveal_type(seq(results))  # reveals: list[int]
seq(number(1))
# mypy error: No overload variant of "__call__" of "SeqTask"
# pyright error: "Sequence[

# Tags, options, provenance, quotes

reveal_type(apply_tags(number(1), tags=[("unit", "m")], job_tags={"a": 1}))  # reveals: int
apply_tags(number(1), tags=3)
# mypy error: No overload variant of "__call__" of "SchedulerTask"
# pyright error: "Tags"
reveal_type(with_export_options(number(1), {"memory": 8}))  # reveals: int
reveal_type(with_export_options(quote(number(1)), {"memory": 8}))  # reveals: int
with_export_options(number(1), ["memory"])
# mypy error: No overload variant of "with_export_options"
# pyright error: "dict[str, Any]"
reveal_type(no_prov([number(1)]))  # reveals: list[int]
reveal_type(quote(number(1)))  # reveals: QuotedExpression[int]
reveal_type(quote(number(1)).eval())  # reveals: int


@task
def later(expr: QuotedExpression[int]) -> int:
    return expr.eval()


later(quote(number(1)))
later(number(1))  # error: "QuotedExpression[int]"
later(quote(text("a")))
# mypy error: Argument 1 to "quote" has incompatible type "str"; expected "int"
# pyright error: "QuotedExpression[int]"

# Threads

thread = fork_thread(number(1))
reveal_type(thread)  # reveals: Thread[int]
reveal_type(join_thread(thread))  # reveals: int


@task
def wait(work: Thread[int]) -> int:
    return join_thread(work)


wait(thread)
wait(fork_thread(text("a")))
# mypy error: incompatible type "str"; expected "int"
# pyright error: "Thread[int]"
join_thread(number(1))
# mypy error: No overload variant of "__call__" of "SchedulerTask"
# pyright error: "Thread[

# subrun

reveal_type(subrun(number(1), executor="default"))  # reveals: int
reveal_type(subrun([number(1)], "default", new_execution=True, memory=2))  # reveals: list[int]
subrun(number(1), executor=3)
# mypy error: No overload variant of "__call__" of "SchedulerTask"
# pyright error: "str"

# They are tasks, and can be passed on

branch: Task[..., Any] = cond
branches: PartialTask[Any] = cond.partial(True)
