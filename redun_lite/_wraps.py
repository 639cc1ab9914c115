"""Decorators that wrap tasks: `wraps_task`.

A wrapped task keeps its name, and what it was goes by a longer one, with the wrapper's name in
front of the last part.  So callers, expressions and the repository see one task, whose hash stands
for the wrapper's code and for all that is wrapped in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, Literal, Protocol, TypeVar, overload

from ._errors import TaskError
from ._hash import source_of
from ._options import check_option_names
from ._task import Task, get_task_registry, task

if TYPE_CHECKING:
    from typing import ParamSpec  # novm

    from ._signatures import OnlyAny

    P = ParamSpec("P")
    Q = ParamSpec("Q")
    R = TypeVar("R")
    S = TypeVar("S")
    S_co = TypeVar("S_co", covariant=True)

    class Decorator(Protocol[S_co]):
        """Makes tasks with the parameters of what it decorates, and its result or another."""

        @overload
        def __call__(self: Decorator[OnlyAny], task: Task[P, R], /) -> Task[P, R]: ...
        @overload
        def __call__(self: Decorator[OnlyAny], task: Callable[P, R], /) -> Task[P, R]: ...
        @overload
        def __call__(self, task: Task[P, Any], /) -> Task[P, S_co]: ...
        @overload
        def __call__(self, task: Callable[P, Any], /) -> Task[P, S_co]: ...


@overload
def wraps_task(
    wrapper_name: str | None = None,
    wrapper_hash_includes: Sequence[Any] | None = None,
    use_wrapper_signature: Literal[False] = False,
    wrapper_extra_hash_data: Sequence[Any] | None = None,
    **options: Any,
) -> Callable[[Callable[[Task[..., Any]], Callable[..., S]]], Decorator[S]]: ...


@overload
def wraps_task(
    wrapper_name: str | None = None,
    wrapper_hash_includes: Sequence[Any] | None = None,
    *,
    use_wrapper_signature: Literal[True],
    wrapper_extra_hash_data: Sequence[Any] | None = None,
    **options: Any,
) -> Callable[[Callable[[Task[P, R]], Callable[Q, S]]], Callable[[Callable[P, R]], Task[Q, S]]]: ...


def wraps_task(
    wrapper_name: str | None = None,
    wrapper_hash_includes: Sequence[Any] | None = None,
    use_wrapper_signature: bool = False,
    wrapper_extra_hash_data: Sequence[Any] | None = None,
    **options: Any,
) -> Any:
    """Return a decorator that makes, of a function from task to function, a decorator of tasks.

    Parameters
    ----------
    wrapper_name
        What stands in the wrapped task's full name; by default the name of the function.
    wrapper_hash_includes, wrapper_extra_hash_data
        Values that the wrapper depends on, such as its arguments: they are part of the hash.
    use_wrapper_signature
        Whether the task has the parameters of the wrapper, and not of what is wrapped.
    options
        Task options for the outer task; those of the wrapped task stay with that.

    Examples
    --------
    >>> from redun_lite import run, task, wraps_task
    >>> def repeated(times):
    ...     @wraps_task(wrapper_hash_includes=[times])
    ...     def _repeated(inner):
    ...         def repeat(*args, **kwargs):
    ...             return [inner.func(*args, **kwargs) for _ in range(times)]
    ...         return repeat
    ...     return _repeated
    >>> @repeated(3)
    ... @task(namespace="docs", version="1")
    ... def greet(name):
    ...     return f"Hello, {name}"
    >>> greet.fullname, run(greet("Ada"))
    ('docs.greet', ['Hello, Ada', 'Hello, Ada', 'Hello, Ada'])
    """

    def make_decorator(
        wrapper: Callable[[Task[Any, Any]], Callable[..., Any]],
    ) -> Callable[[Any], Task[Any, Any]]:
        hidden = wrapper.__name__ if wrapper_name is None else wrapper_name

        def decorate(function: Any) -> Task[Any, Any]:
            inner = function if isinstance(function, Task) else task()(function)
            name, namespace = inner.name, inner.namespace
            where = f"task {inner.fullname}, wrapped by {hidden}"
            check_option_names(options, where, definition=True)
            _hide(inner, namespace, hidden)
            around = wrapper(inner)
            if not inspect.isfunction(around):
                raise TaskError(f"{where}: the wrapper has to return a function, not {around!r}")
            source = source_of(around, unwrap=False)
            data = [*(wrapper_hash_includes or ()), *(wrapper_extra_hash_data or ())]
            if not use_wrapper_signature:
                around.__wrapped__ = inner.func  # type: ignore[attr-defined]
            definition: dict[str, Any] = {
                "name": name,
                "namespace": namespace,
                "source": source,
                "load_module": inner.load_module,
                "hash_includes": [inner, *data],
                **options,
            }
            outer: Task[Any, Any] = task(**definition)(around)
            outer.wrapped = inner
            outer.__doc__ = inner.__doc__
            return outer

        return decorate

    return make_decorator


def _hide(inner: Task[Any, Any], namespace: str, hidden: str) -> None:
    """Move a task, and what it wraps, to where a wrapper keeps it."""
    if inner.wrapped is not None:
        _hide(inner.wrapped, namespace, hidden)
    registry = get_task_registry()
    registry.remove(inner)
    below = inner.namespace[len(namespace) :].strip(".")
    inner.rename(inner.name, ".".join(part for part in (namespace, hidden, below) if part))
    registry.add(inner)
