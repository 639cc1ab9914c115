"""The functions of redun_lite.functools carry types from list to task to list."""

# pyright: strict

from __future__ import annotations

from redun_lite import SchedulerTask, Task, run, task
from redun_lite.functools import (
    apply_func,
    as_task,
    compose,
    const,
    delay,
    eval_,
    flat_map,
    flatten,
    force,
    identity,
    map_,
    starmap,
    zip_,
)
from redun_lite.tools import copy_file, debug_task


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@task
def square(x: int, times: int = 1) -> int:
    return x * x * times


@task
def show(x: int) -> str:
    return str(x)


@task
def words(line: str) -> list[str]:
    return line.split()


@task
def choose() -> Task[[int], str]:
    return show


def plain(x: int) -> int:
    return x


# map_ and its kin

reveal_type(map_(show, [1, 2]))  # reveals: list[str]
reveal_type(map_(show, numbers(3)))  # reveals: list[str]
reveal_type(map_(square, [square(1), 2]))  # reveals: list[int]
reveal_type(map_(square, range(3)))  # reveals: list[int]
reveal_type(map_(square.partial(times=3), numbers(3)))  # reveals: list[int]
reveal_type(map_(choose(), numbers(3)))  # reveals: list[str]
reveal_type(map_(show, map_(square, numbers(3))))  # reveals: list[str]
reveal_type(map_.options(memory=1)(show, [1]))  # reveals: list[str]
reveal_type(run(map_(show, [1])))  # reveals: list[str]
map_(show, ["a"])
# mypy error: incompatible type "Task[[int], str]"; expected "Task[[str,
# pyright error: "Literal['a']" is not assignable to "int"
map_(show, words("a b"))
# mypy error: incompatible type "Task[[int], str]"; expected "Task[[str,
# pyright error: "str" is not assignable to "int"
map_(plain, [1])
# mypy error: No overload variant of "__call__" of "MapTask"
# pyright error: "(x: int) -> int"
map_(show, 3)
# mypy error: No overload variant of "__call__" of "MapTask"
# pyright error: "Iterable[
map_(show)
# mypy error: No overload variant of "__call__" of "MapTask"
# pyright error: No overloads for "__call__"

reveal_type(starmap(square, [{"x": 1}, {"x": 2, "times": 3}]))  # reveals: list[int]
reveal_type(starmap(square))  # reveals: list[int]
starmap(square, [1])
# mypy error: List item 0 has incompatible type "int"; expected "Mapping[str, Any]"
# pyright error: "Mapping[str, Any]"

reveal_type(flatten([[1], [2]]))  # reveals: list[int]
reveal_type(flatten(map_(words, ["a b"])))  # reveals: list[str]
flatten([1])
# mypy error: incompatible type "list[int]"
# pyright error: "Iterable[Iterable[
reveal_type(flat_map(words, ["a b", "c"]))  # reveals: list[str]
flat_map(square, [1])
# mypy error: Argument 1 to "__call__" of "FlatMapTask"
# pyright error: "Task[(x: int, times: int = 1), int]"
reveal_type(zip_([1]))  # reveals: list[tuple[int]]
reveal_type(zip_(words("a b"), numbers(2)))  # reveals: list[tuple[str, int]]
reveal_type(zip_([1], ["a"], [None], [b""]))  # reveals: list[tuple[int, str, None, bytes]]
reveal_type(zip_([1], [2], [3], [4], [5]))  # reveals: list[tuple[int, ...]]

# Tasks of tasks

reveal_type(compose(show, square))  # reveals: PartialTask[str]
reveal_type(compose(show, square)(3))  # reveals: str
reveal_type(map_(compose(show, square), [1]))  # reveals: list[str]
compose(plain, square)
# mypy error: incompatible type "Callable[[int], int]"
# pyright error: "(x: int) -> int"
reveal_type(identity(numbers(3)))  # reveals: list[int]
reveal_type(const(show(1), square(2)))  # reveals: str
reveal_type(delay(square(2)))  # reveals: PartialTask[int]
reveal_type(force(delay(square(2))))  # reveals: int
reveal_type(force(choose.partial()))
# mypy reveals: Task[[int], str]
# pyright reveals: Task[(int), str]

# Functions

reveal_type(as_task(plain))  # reveals: PartialTask[int]
reveal_type(as_task(plain)(3))  # reveals: int
reveal_type(apply_func(len, numbers(3)))  # reveals: int
reveal_type(map_(as_task(str), numbers(3)))  # reveals: list[str]
reveal_type(eval_("x + 1", x=square(1)))  # reveals: Any
as_task(3)
# mypy error: incompatible type "int"
# pyright error: "Literal[3]"
eval_(3)
# mypy error: No overload variant of "__call__" of "Task"
# pyright error: "str"

# Tools

reveal_type(debug_task(numbers(3)))  # reveals: list[int]
copy_file("a", "b")  # error: "File"

loops: SchedulerTask[..., object] = map_
