"""A task without hints takes and gives anything, but as many arguments as its function takes."""

# mypy: allow-untyped-defs, allow-untyped-calls
# pyright: basic

from redun_lite import catch, cond, run, scheduler_task, task, wraps_task
from redun_lite.functools import map_


@task
def add(a, b=1):
    return a + b


@task()
async def fetch(url):
    return url


@scheduler_task
def twice(scheduler, parent_job, sexpr, x):
    return scheduler.evaluate([x, x], parent_job)


@task
def recover(error):
    return str(error)


def logged(name):
    @wraps_task(wrapper_extra_hash_data=[name])
    def _logged(inner):
        def call(*args, **kwargs):
            return inner.func(*args, **kwargs)

        return call

    return _logged


@logged("x")
@task
def half(a):
    return a / 2


reveal_type(add)
# mypy reveals: Task[[a: Any, b: Any =], Any]
# pyright reveals: Task[(a: Unknown, b: int = 1), Unknown]
reveal_type(add(1))
# mypy reveals: Any
# pyright reveals: Unknown
reveal_type(run(add(1)))
# mypy reveals: Any
# pyright reveals: Unknown
add()
# mypy error: require at least one argument
# pyright error: No overloads for "__call__"
add(1, 2, 3)
# mypy error: No overload variant of "__call__" of "Task" matches argument types "int", "int", "int"
# pyright error: No overloads for "__call__"
reveal_type(fetch("a"))
# mypy reveals: Any
# pyright reveals: Expression[Unknown]
reveal_type(twice(1))
# mypy reveals: Any
# pyright reveals: Unknown
twice()
# mypy error: require at least one argument
# pyright error: No overloads for "__call__"
reveal_type(cond(add(1), add(2), 3))
# mypy reveals: Any
# pyright reveals: Unknown
reveal_type(catch(add(1), ValueError, recover))
# mypy reveals: Any
# pyright reveals: Unknown | str
reveal_type(map_(add, [1]))
# mypy reveals: list[Any]
# pyright reveals: list[Unknown]
reveal_type(half(1))
# mypy reveals: Any
# pyright reveals: Unknown
