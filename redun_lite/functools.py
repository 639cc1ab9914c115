"""What lazy values have no syntax for: loops, composition, and small steps between tasks.

`for x in lazy`, `len(lazy)` and `f(g(lazy))` with tasks that are values themselves cannot be
written, since nothing is known of a lazy value but that it will come.  The functions here take
the place of that syntax.

There are two kinds.  Those that only arrange calls (`map_`, `starmap`, `compose`, `force`) are
scheduler tasks: they cost no job, and what they call is recorded as if it had been called where
they were.  Those that compute something (`flatten`, `zip_`, `eval_`, `apply_func`, …) are tasks:
their calls are jobs, cached and recorded like any others.

Where the list that `map_` is given is known and only its elements are lazy, each call waits for
its own element, not for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Callable, TypeVar, cast

from ._builtins import no_prov, seq
from ._errors import ArgumentError, HashError, shorten
from ._expr import Expression, SimpleExpression, expressions_in
from ._task import PartialTask, Task, scheduler_task, task
from ._value import dumps

if TYPE_CHECKING:
    from ._signatures import FlatMapTask, Makes, MapTask, StarmapTask, ZipTask

R = TypeVar("R")
T = TypeVar("T")

redun_namespace = "redun_lite"

__all__ = [
    "apply_func",
    "as_task",
    "compose",
    "compose_apply",
    "const",
    "delay",
    "eval_",
    "flat_map",
    "flatten",
    "force",
    "identity",
    "map_",
    "no_prov",
    "seq",
    "starmap",
    "zip_",
]


def _once_known(function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Return the expression of a call of a function that is to see values only."""
    return cast(R, SimpleExpression("call", (function, *args), kwargs))


# Checks

_NO_LISTS = (str, bytes, bytearray, Mapping, Iterator)


def _check_task(value: Any, where: str) -> None:
    if not isinstance(value, (Task, PartialTask)):
        advice = "; as_task() makes one of a function" if callable(value) else ""
        raise ArgumentError(f"{where} takes a task, not {shorten(value)}{advice}")


def _check_list(value: Any, where: str) -> None:
    """Raise an error for what is no list, nor gives the same items in the same order each time."""
    if isinstance(value, (set, frozenset)):
        raise ArgumentError(f"{where} takes a list, and a set has no order: give it sorted(…)")
    if isinstance(value, _NO_LISTS) or not isinstance(value, Iterable):
        raise ArgumentError(f"{where} takes a list, not {shorten(value)}")


# Loops


@cast("Makes[MapTask]", scheduler_task(version="1"))
def map_(scheduler: Any, parent_job: Any, sexpr: Any, a_task: Any, values: Any) -> list[Any]:
    """Call a task with each value of a list; the calls run in parallel.

    Parameters
    ----------
    a_task
        The task; it may be lazy.
    values
        The list.  It may be lazy, or hold lazy values; a call whose value is there does not wait
        for the others.

    Returns
    -------
    list
        The results, in order.

    Raises
    ------
    ArgumentError
        `a_task` is no task, or `values` no list.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def numbers(count):
    ...     return list(range(count))
    >>> @task(namespace="docs", version="1")
    ... def square(x):
    ...     return x * x
    >>> run(map_(square, numbers(4)))
    [0, 1, 4, 9]
    """
    if isinstance(a_task, Expression) or isinstance(values, Expression):
        return _once_known(_map, a_task, values)
    return _map(a_task, values)


def _map(a_task: Any, values: Any) -> list[Any]:
    _check_task(a_task, "map_")
    _check_list(values, "map_")
    return [a_task(value) for value in values]


@cast("Makes[StarmapTask]", scheduler_task(version="1"))
def starmap(
    scheduler: Any, parent_job: Any, sexpr: Any, a_task: Any, kwargs: Any = ()
) -> list[Any]:
    """Call a task with each dict of a list as its keyword arguments; the calls run in parallel.

    Parameters
    ----------
    a_task
        The task; it may be lazy.
    kwargs
        The list of dicts.  The list, the dicts and what they hold may be lazy.

    Returns
    -------
    list
        The results, in order.

    Raises
    ------
    ArgumentError
        An item is no dict, or not one of arguments of the task; the message names it.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def power(base, exponent=2):
    ...     return base**exponent
    >>> run(starmap(power, [{"base": 3}, {"base": 2, "exponent": 10}]))
    [9, 1024]
    """
    if isinstance(a_task, Expression) or isinstance(kwargs, Expression):
        return _once_known(_starmap, a_task, kwargs)
    return _starmap(a_task, kwargs)


def _starmap(a_task: Any, kwargs: Any) -> list[Any]:
    _check_task(a_task, "starmap")
    _check_list(kwargs, "starmap")
    return [
        _once_known(_call_with_item, a_task, item, index)
        if isinstance(item, Expression)
        else _call_with_item(a_task, item, index)
        for index, item in enumerate(kwargs)
    ]


def _call_with_item(a_task: Any, item: Any, index: int) -> Any:
    if not isinstance(item, Mapping):
        raise ArgumentError(
            f"starmap takes a list of dicts of keyword arguments; item {index} is {shorten(item)}"
        )
    for name in item:
        if not isinstance(name, str):
            raise ArgumentError(f"starmap, item {index}: {name!r} is not the name of an argument")
    try:
        return a_task(**item)
    except ArgumentError as error:
        raise ArgumentError(f"starmap, item {index}: {error}") from None


@task(version="1")
def flatten(list_of_lists: Iterable[Iterable[T]]) -> list[T]:
    """Put the items of all lists in a list into one list.

    Parameters
    ----------
    list_of_lists
        The lists; any of it may be lazy.

    Returns
    -------
    list
        The items, in order.

    Raises
    ------
    ArgumentError
        Something in the list is no list; the message names it.

    Examples
    --------
    >>> from redun_lite import run
    >>> run(flatten([[1, 2], [], [3]]))
    [1, 2, 3]
    """
    _check_list(list_of_lists, "flatten")
    lists = list(list_of_lists)
    for index, part in enumerate(lists):
        _check_list(part, f"flatten, item {index}:")
    return list(chain.from_iterable(lists))


@cast("Makes[FlatMapTask]", task(version="1"))
def flat_map(a_task: Any, values: Any) -> list[Any]:
    """Call a task that returns lists with each value of a list, and put the lists into one.

    Parameters
    ----------
    a_task
        The task; it may be lazy.
    values
        The list; it may be lazy, or hold lazy values.

    Returns
    -------
    list
        The items of all results, in order.

    Raises
    ------
    ArgumentError
        `a_task` is no task, or `values` or a result no list.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def words(line):
    ...     return line.split()
    >>> run(flat_map(words, ["to be", "or not"]))
    ['to', 'be', 'or', 'not']
    """
    return flatten(map_(a_task, values))


@cast("Makes[ZipTask]", task(version="1"))
def zip_(*lists: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return the list of the tuples of what is at the same place in each list.

    Parameters
    ----------
    lists
        The lists; any of them may be lazy.

    Returns
    -------
    list of tuple
        As many as the shortest list has items.

    Raises
    ------
    ArgumentError
        One of them is no list; the message says which.

    Examples
    --------
    >>> from redun_lite import run
    >>> run(zip_(["a", "b"], [1, 2]))
    [('a', 1), ('b', 2)]
    """
    for index, part in enumerate(lists):
        _check_list(part, f"zip_, argument {index + 1}:")
    return list(zip(*lists))


# Tasks of tasks


def compose(
    first: Task[..., R] | PartialTask[R], *others: Task[..., Any] | PartialTask[Any]
) -> PartialTask[R]:
    """Return a task that calls the last of some tasks, and each one before with what came of it.

    `compose(f, g)(x)` is `f(g(x))`.

    Parameters
    ----------
    first, others
        The tasks; they may be lazy.  The last may take any arguments, the others one.

    Returns
    -------
    PartialTask
        The task that calls them.

    Raises
    ------
    ArgumentError
        One of them is no task.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def double(x):
    ...     return 2 * x
    >>> @task(namespace="docs", version="1")
    ... def add(a, b):
    ...     return a + b
    >>> run(compose(double, add)(3, b=4))
    14
    """
    tasks = (first, *others)
    for part in tasks:
        if not isinstance(part, Expression):
            _check_task(part, "compose")
    return compose_apply.partial(tasks)


@scheduler_task(version="1")
def compose_apply(
    scheduler: Any,
    parent_job: Any,
    sexpr: Any,
    tasks: Sequence[Task[..., Any] | PartialTask[Any]],
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Call composed tasks; `compose` makes a task of this."""
    if expressions_in(tasks):
        return _once_known(_compose_apply, tasks, *args, **kwargs)
    return _compose_apply(tasks, *args, **kwargs)


def _compose_apply(tasks: Any, /, *args: Any, **kwargs: Any) -> Any:
    for part in tasks:
        _check_task(part, "compose")
    *outer, last = tasks
    value = last(*args, **kwargs)
    for part in reversed(outer):
        value = part(value)
    return value


@task(version="1")
def identity(x: T) -> T:
    """Return what it is given.

    Parameters
    ----------
    x
        Any value; it may be lazy.

    Examples
    --------
    >>> from redun_lite import run
    >>> run(identity([1, 2]))
    [1, 2]
    """
    return x


@task(version="1")
def const(x: T, _: Any) -> T:
    """Return the first argument once the second has been evaluated too.

    Parameters
    ----------
    x
        What is returned.
    _
        What is only waited for.  Both may be lazy.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1", cache=False)
    ... def publish():
    ...     print("published")
    >>> run(const("report", publish()))
    published
    'report'
    """
    return x


def delay(x: T) -> PartialTask[T]:
    """Return a value or expression in a form that is passed on without being evaluated.

    Parameters
    ----------
    x
        The value or expression.

    Returns
    -------
    PartialTask
        What `force` evaluates.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def fail():
    ...     raise ValueError("never asked for")
    >>> @task(namespace="docs", version="1")
    ... def first(a, b):
    ...     return force(a)
    >>> run(first(delay(1), delay(fail())))
    1
    """
    return identity.partial(x)  # type: ignore[return-value]


@scheduler_task(version="1")
def force(scheduler: Any, parent_job: Any, sexpr: Any, x: PartialTask[T] | Task[[], T]) -> T:
    """Evaluate what `delay` put off, or call any other task that needs no more arguments.

    Parameters
    ----------
    x
        What `delay` gave, or a task; it may be lazy.

    Returns
    -------
    Any
        What it comes to.

    Raises
    ------
    ArgumentError
        It is neither.

    Examples
    --------
    >>> from redun_lite import run
    >>> run(force(delay(42)))
    42
    """
    forced: T = _once_known(_force, x) if isinstance(x, Expression) else _force(x)
    return forced


def _force(x: Any) -> Any:
    if not isinstance(x, (Task, PartialTask)):
        raise ArgumentError(f"force takes what delay() gave, not {shorten(x)}")
    return x()


# Python functions


@task(version="1")
def apply_func(func: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call a Python function with arguments that may be lazy.

    Parameters
    ----------
    func
        A function at the top of a module: it is stored by its name.  When its code changes, it is
        called anew.
    args, kwargs
        Its arguments.

    Raises
    ------
    HashError
        The function cannot be stored.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def numbers(count):
    ...     return list(range(count))
    >>> run(apply_func(len, numbers(7)))
    7
    """
    return func(*args, **kwargs)


def as_task(func: Callable[..., T]) -> PartialTask[T]:
    """Return a task that calls a Python function.

    Parameters
    ----------
    func
        A function at the top of a module: it is stored by its name.

    Raises
    ------
    ArgumentError
        It is no function, or cannot be stored, as a lambda cannot.

    Examples
    --------
    >>> from redun_lite import run
    >>> run(as_task(max)(10, 20, 30, 25))
    30
    """
    if isinstance(func, Expression) or not callable(func):
        raise ArgumentError(f"as_task takes a function, not {shorten(func)}")
    try:
        dumps(func)
    except HashError as error:
        raise ArgumentError(f"as_task: {error}") from None
    return apply_func.partial(func)  # type: ignore[return-value]


@task(version="1")
def eval_(code: str, *args: Any, pos_args: Sequence[str] = (), **kwargs: Any) -> Any:
    """Evaluate a Python expression with arguments that may be lazy as its variables.

    The code has Python's own functions and these variables, nothing of the module around.

    Parameters
    ----------
    code
        The expression.
    args
        Values of the variables that `pos_args` names.
    pos_args
        Names of variables, one for each of `args`.
    kwargs
        Variables by name.

    Raises
    ------
    ArgumentError
        The code is no expression, or there is not one name for each value.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def records():
    ...     return [{"name": "a", "size": 3}, {"name": "b", "size": 4}]
    >>> run(eval_("[record['size'] for record in records]", records=records()))
    [3, 4]
    >>> run(eval_("x * y", 6, 7, pos_args=["x", "y"]))
    42
    """
    if len(args) != len(pos_args):
        raise ArgumentError(
            f"eval_: pos_args names each value that is given by position; they are {len(args)}, "
            f"and the names {list(pos_args)}"
        )
    twice = sorted(set(pos_args) & set(kwargs))
    if twice:
        raise ArgumentError(f"eval_ was given {twice[0]!r} both by position and by name")
    try:
        compiled = compile(dedent(code).strip(), "<eval_>", "eval")
    except (SyntaxError, ValueError) as error:
        reason = getattr(error, "msg", str(error))
        raise ArgumentError(f"eval_ takes a Python expression, not {code!r}: {reason}") from None
    # As globals, so that comprehensions and lambdas in the code see them too.
    return eval(compiled, {**dict(zip(pos_args, args)), **kwargs})
