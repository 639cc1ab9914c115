"""What calls of some tasks of the package come to, as type checkers see them.

Most tasks have the signature of their function.  Those here cannot: the result of `cond` depends on
how many branches there are, and `map_` with an async task gives no list of coroutines.  Such a task
is made to be of a class whose overloads say so:

    @cast("Makes[CondTask]", scheduler_task(...))
    def cond(...): ...

Nothing here is there when the program runs.  What comes first among overloads is what type checkers
quote in errors, so there are few; past a handful of branches or handlers the result is `Any`.
"""

# pyright: reportIncompatibleMethodOverride=false, reportInvalidTypeVarUse=false

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence
    from typing import Any, Callable, Concatenate, TypeVar, Union, overload  # novm

    from ._expr import Expression
    from ._promise import Promise
    from ._task import PartialTask, SchedulerTask, Task

    A = TypeVar("A")
    B = TypeVar("B")
    C = TypeVar("C")
    D = TypeVar("D")
    R = TypeVar("R")
    T = TypeVar("T")
    E = TypeVar("E", bound=BaseException)
    E2 = TypeVar("E2", bound=BaseException)
    E3 = TypeVar("E3", bound=BaseException)

    Makes = Callable[[Callable[..., Any]], R]
    """A decorator that makes a task of this class."""

    AnyTask = Union[Task[..., R], PartialTask[R]]
    TaskOf = Union[Task[Concatenate[T, ...], R], PartialTask[R]]
    Classes = Union[type[E], tuple[type[E], ...]]
    Async = Coroutine[Any, Any, R]

    class OnlyAny:
        """What nobody has, so that `Any` is all that comes to it."""

    class CondTask(SchedulerTask[..., Any]):
        @overload
        def __call__(self, cond_expr: object, then_expr: A, /) -> A: ...
        @overload
        def __call__(self, cond_expr: object, then_expr: A, else_expr: B, /) -> A | B: ...
        @overload
        def __call__(
            self, cond_expr: object, then_expr: A, elif_expr: object, then: B, else_expr: C, /
        ) -> A | B | C: ...
        @overload
        def __call__(
            self,
            cond_expr: object,
            then_expr: A,
            elif_expr: object,
            then: B,
            elif_expr_2: object,
            then_2: C,
            else_expr: D,
            /,
        ) -> A | B | C | D: ...
        @overload
        def __call__(self, cond_expr: object, then_expr: object, /, *rest: object) -> Any: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    class CatchTask(SchedulerTask[..., Any]):
        @overload
        def __call__(self, expr: T, /) -> T: ...
        @overload
        def __call__(self, expr: T, error: Classes[E], recover: TaskOf[E, A], /) -> T | A: ...
        @overload
        def __call__(
            self,
            expr: T,
            error: Classes[E],
            recover: TaskOf[E, A],
            error_2: Classes[E2],
            recover_2: TaskOf[E2, B],
            /,
        ) -> T | A | B: ...
        @overload
        def __call__(
            self,
            expr: T,
            error: Classes[E],
            recover: TaskOf[E, A],
            error_2: Classes[E2],
            recover_2: TaskOf[E2, B],
            error_3: Classes[E3],
            recover_3: TaskOf[E3, C],
            /,
            *catch_args: Any,
        ) -> Any: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    class CatchAllTask(SchedulerTask[..., Any]):
        @overload
        def __call__(
            self, exprs: T, error_class: Classes[BaseException] | None = ..., recover: None = ...
        ) -> T: ...
        @overload
        def __call__(
            self, exprs: T, error_class: Classes[BaseException], recover: AnyTask[R]
        ) -> T | R: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    class SeqTask(SchedulerTask[..., Any]):
        @overload  # type: ignore[override]
        def __call__(self, exprs: Sequence[Expression[T]]) -> list[T]: ...
        @overload
        def __call__(self, exprs: Sequence[T]) -> list[T]: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    class MapTask(SchedulerTask[..., Any]):
        @overload  # type: ignore[override]
        def __call__(self, a_task: TaskOf[T, Async[R]], values: Iterable[T]) -> list[R]: ...
        @overload
        def __call__(self, a_task: TaskOf[T, Promise[R]], values: Iterable[T]) -> list[R]: ...
        @overload
        def __call__(self, a_task: TaskOf[T, R], values: Iterable[T]) -> list[R]: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    class StarmapTask(SchedulerTask[..., Any]):
        @overload  # type: ignore[override]
        def __call__(
            self, a_task: AnyTask[Async[R]], kwargs: Iterable[Mapping[str, Any]] = ...
        ) -> list[R]: ...
        @overload
        def __call__(
            self, a_task: AnyTask[R], kwargs: Iterable[Mapping[str, Any]] = ...
        ) -> list[R]: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    class FlatMapTask(Task[..., Any]):
        @overload  # type: ignore[override]
        def __call__(
            self, a_task: TaskOf[T, Async[Iterable[R]]], values: Iterable[T]
        ) -> list[R]: ...
        @overload
        def __call__(self, a_task: TaskOf[T, Iterable[R]], values: Iterable[T]) -> list[R]: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    class ZipTask(Task[..., Any]):
        @overload  # type: ignore[override]
        def __call__(self, a: Iterable[A], /) -> list[tuple[A]]: ...
        @overload
        def __call__(self, a: Iterable[A], b: Iterable[B], /) -> list[tuple[A, B]]: ...
        @overload
        def __call__(
            self, a: Iterable[A], b: Iterable[B], c: Iterable[C], /
        ) -> list[tuple[A, B, C]]: ...
        @overload
        def __call__(
            self, a: Iterable[A], b: Iterable[B], c: Iterable[C], d: Iterable[D], /
        ) -> list[tuple[A, B, C, D]]: ...
        @overload
        def __call__(self, *lists: Iterable[T]) -> list[tuple[T, ...]]: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
