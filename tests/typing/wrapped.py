"""A wrapped task takes what it took before, and returns what the wrapper does."""

# pyright: strict

from __future__ import annotations

from typing import Any, Callable, Concatenate, ParamSpec, TypeVar

from redun_lite import Task, task, wraps_task

P = ParamSpec("P")
R = TypeVar("R")


def logged(level: int) -> Callable[[Callable[P, R]], Task[P, R]]:
    @wraps_task(wrapper_hash_includes=[level])
    def _logged(inner: Task[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            print(level, inner.fullname)
            return inner.func(*args, **kwargs)

        return call

    return _logged


def repeated(times: int) -> Callable[[Callable[P, Any]], Task[P, list[str]]]:
    @wraps_task(wrapper_name="repeat", memory=4)
    def _repeated(inner: Task[..., str]) -> Callable[..., list[str]]:
        def call(*args: Any, **kwargs: Any) -> list[str]:
            return [inner.func(*args, **kwargs) for _ in range(times)]

        return call

    return _repeated


@wraps_task()
def doubled(inner: Task[P, int]) -> Callable[P, int]:
    def call(*args: P.args, **kwargs: P.kwargs) -> int:
        return 2 * inner.func(*args, **kwargs)

    return call


@wraps_task(use_wrapper_signature=True)
def with_prefix(inner: Task[P, str]) -> Callable[Concatenate[str, P], str]:
    def call(prefix: str, /, *args: P.args, **kwargs: P.kwargs) -> str:
        return prefix + inner.func(*args, **kwargs)

    return call


@logged(1)
@task(name="other")
def show(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}"


@logged(1)
def bare(value: int) -> int:
    return value


@repeated(3)
@task
def greet(name: str) -> str:
    return f"Hello, {name}"


@doubled
@task
def add(a: int, b: int) -> int:
    return a + b


@with_prefix
@task
def close(name: str) -> str:
    return name + "."


@logged(2)
@repeated(2)
@task
def both(name: str) -> str:
    return name


@logged(1)
@task
async def fetch(url: str) -> bytes:
    return url.encode()


reveal_type(show)
# mypy reveals: Task[[value: float, digits: int =], str]
# pyright reveals: Task[(value: float, digits: int = 3), str]
reveal_type(show(1.5))  # reveals: str
reveal_type(show.options(memory=1)(1.5))  # reveals: str
show("1.5")  # error: "float"
reveal_type(bare(1))  # reveals: int
bare("1")  # error: "int"
reveal_type(greet("Ada"))  # reveals: list[str]
greet(1)  # error: "str"
reveal_type(add(1, 2))  # reveals: int
add(1, "2")  # error: "int"
reveal_type(close("<", "a"))  # reveals: str
close("<")
# mypy error: Missing positional argument "name"
# pyright error: Argument missing for parameter "name"
close("<", 1)  # error: "str"
reveal_type(both("a"))  # reveals: list[str]
both(1)  # error: "str"
reveal_type(fetch("a"))  # reveals: Expression[bytes]


@wraps_task(wrapper_hash_includes=3)
# mypy error: No overload variant of "wraps_task"
# pyright error: "Sequence[Any] | None"
def never(inner: Task[..., Any]) -> Callable[..., Any]:
    return inner.func
