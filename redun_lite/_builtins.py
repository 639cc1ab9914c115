"""Tasks that ship with the engine: branches, error handling, order, tags, background work.

Nearly all are scheduler tasks, and use nothing of the engine that those of users could not: they
evaluate some of their arguments, look at the promises, and return an expression or a promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, cast, overload

from ._errors import TaskError
from ._expr import (
    Expression,
    SchedulerExpression,
    expressions_in,
    format_expr,
    key_of_expr,
)
from ._hash import key_of
from ._job import Job
from ._options import CacheScope, TaskOptions, parse_tags
from ._promise import Promise
from ._record import storable_error
from ._scheduler import Scheduler, get_current_engine
from ._task import PartialTask, QuotedExpression, Task, quote, scheduler_task, task
from ._value import Value, fill_in, map_nested

if TYPE_CHECKING:
    from ._signatures import CatchAllTask, CatchTask, CondTask, Makes, SeqTask

T = TypeVar("T")

Tags = Union[Iterable[tuple[str, Any]], Mapping[str, Any]]
Call = SchedulerExpression[Any]


def _rejected(error: BaseException) -> Promise[Any]:
    """Return the promise that has this error: raising it would add to its traceback."""
    promise: Promise[Any] = Promise()
    promise.reject(error)
    return promise


# Branches


@cast("Makes[CondTask]", scheduler_task(namespace="redun_lite", version="1"))
def cond(
    scheduler: Scheduler,
    parent_job: Job | None,
    sexpr: Call,
    cond_expr: Any,
    then_expr: Any,
    *rest: Any,
) -> Any:
    """Return one expression or another, as a condition says: a lazy `if`.

    Only the conditions up to the first that is true are evaluated, and only its branch.

    Parameters
    ----------
    cond_expr, then_expr
        The condition, and what to return if it is true.
    rest
        Any number of further conditions, each with its branch (`elif`), and the last branch
        (`else`).

    Raises
    ------
    TaskError
        No condition is true, and there is no last branch.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def is_even(x):
    ...     return x % 2 == 0
    >>> run([cond(is_even(x), "even", "odd") for x in (1, 2)])
    ['odd', 'even']
    """
    arguments = (cond_expr, then_expr, *rest)

    def branch(position: int) -> Promise[Any]:
        if position == len(arguments):
            raise TaskError(f"no condition of {sexpr!r} is true: give it a last branch")
        if position == len(arguments) - 1:
            return scheduler.evaluate(arguments[position], parent_job)

        def decide(condition: Any) -> Promise[Any]:
            if condition:
                return scheduler.evaluate(arguments[position + 1], parent_job)
            return branch(position + 2)

        return scheduler.evaluate(arguments[position], parent_job).then(decide)

    return branch(0)


# Errors


@task(namespace="redun_lite", version="1")
def throw(error: Exception) -> Any:
    """Raise an exception, where that is to be done lazily.

    Examples
    --------
    >>> from redun_lite import cond, run, throw
    >>> run(cond(True, "fine", throw(ValueError("never raised"))))
    'fine'
    """
    is_class = isinstance(error, type) and issubclass(error, BaseException)
    if not (is_class or isinstance(error, BaseException)):
        raise TaskError(f"throw takes an exception, not {error!r}")
    raise error


@cast("Makes[CatchTask]", scheduler_task(namespace="redun_lite", version="1"))
def catch(
    scheduler: Scheduler, parent_job: Job | None, sexpr: Call, expr: Any, *catch_args: Any
) -> Any:
    """Return the value of an expression, or, if it fails, what a task makes of the error.

    An error that was handled is not raised again in later executions while the task that raised it,
    and what that was given, stay the same: the handler's result is taken from the cache, without a
    run of what failed.  An error that no handler takes is not kept, nor one whose handler fails.

    Parameters
    ----------
    expr
        What may fail: an expression, or a nested value with several.
    catch_args
        Pairs of an exception class (or a tuple of them), and the task that is called with the
        error.  The first pair that fits is taken, as with `except`.

    Raises
    ------
    TaskError
        A handler is not a task, or there is a class without one.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def divide(a, b):
    ...     return a / b
    >>> @task(namespace="docs", version="1")
    ... def explain(error):
    ...     return f"no result: {error}"
    >>> run([catch(divide(1, b), ZeroDivisionError, explain) for b in (2, 0)])
    [0.5, 'no result: division by zero']
    """
    if len(catch_args) % 2:
        raise TaskError(f"catch takes pairs of a class and a task, and {catch_args[-1]!r} is alone")
    for classes, recover in zip(catch_args[::2], catch_args[1::2]):
        _check_handler("catch", classes, recover)
    engine = scheduler.engine_of(parent_job)
    options = TaskOptions(sexpr._options, "catch")
    place = engine.handled_errors.at(expr, options.cache_scope is CacheScope.BACKEND)
    inside = place.inside(parent_job, engine.outside)

    def handle(error: BaseException) -> Any:
        return scheduler.evaluate(catch_args, parent_job).then(
            lambda pairs: handle_with(error, pairs)
        )

    def handle_with(error: BaseException, pairs: tuple[Any, ...]) -> Any:
        for classes, recover in zip(pairs[::2], pairs[1::2]):
            _check_handler("catch", classes, recover)
            if isinstance(error, classes):
                recovery = scheduler.evaluate(
                    recover(storable_error(error, keyed=True)), parent_job
                )
                return recovery.then(
                    lambda value: succeeded(error, value), lambda other: failed(error, other)
                )
        return _rejected(error)

    def succeeded(error: BaseException, value: Any) -> Any:
        place.handled(error)
        return value

    def failed(error: BaseException, other: BaseException) -> Any:
        place.replaced(error, other)
        return _rejected(other)

    return scheduler.evaluate(expr, inside).then(None, handle)


def _check_handler(name: str, classes: Any, recover: Any) -> None:
    if not isinstance(classes, Expression):
        listed = classes if isinstance(classes, tuple) else (classes,)
        for cls in listed:
            if not (isinstance(cls, type) and issubclass(cls, BaseException)):
                raise TaskError(f"{name} takes classes of exceptions to handle, not {cls!r}")
    if not isinstance(recover, (Task, PartialTask, Expression)):
        raise TaskError(f"{name} takes a task to handle errors, not {recover!r}: decorate it")


@cast("Makes[CatchAllTask]", scheduler_task(namespace="redun_lite", version="1"))
def catch_all(
    scheduler: Scheduler,
    parent_job: Job | None,
    sexpr: Call,
    exprs: Any,
    error_class: Any = None,
    recover: Any = None,
) -> Any:
    """Return a nested value once all expressions in it have come to an end, errors included.

    One small error does not stop a large fan-out.  Errors are not kept for later executions: what
    failed is tried again.

    Parameters
    ----------
    exprs
        A nested value with expressions.
    error_class
        A class of exceptions, or a tuple of them, that `recover` takes.
    recover
        If some failed, this task is called with the nested value, each error in the place of the
        value that is missing.

    Raises
    ------
    BaseException
        After all have ended: the first error that is of no such class, or the first of all if
        there is no `recover`.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def divide(a, b):
    ...     return a / b
    >>> @task(namespace="docs", version="1")
    ... def without_errors(values):
    ...     return [value for value in values if not isinstance(value, Exception)]
    >>> run(catch_all([divide(1, b) for b in (1, 0, 2)], ZeroDivisionError, without_errors))
    [1.0, 0.5]
    """
    if recover is not None:
        _check_handler("catch_all", Exception if error_class is None else error_class, recover)
    leaves = {id(expr): expr for expr in expressions_in(exprs)}
    promises = {key: scheduler.evaluate(expr, parent_job) for key, expr in leaves.items()}

    def outcome_of(leaf: Any) -> Any:
        promise = promises.get(id(leaf))
        if promise is None:
            return leaf
        return promise.value if promise.error is None else storable_error(promise.error, keyed=True)

    def finish(_: Any) -> Any:
        errors = [promise.error for promise in promises.values() if promise.error is not None]
        if not errors:
            return fill_in(outcome_of, exprs)
        return scheduler.evaluate((error_class, recover), parent_job).then(
            lambda handler: hand_over(errors, *handler)
        )

    def hand_over(errors: list[BaseException], classes: Any, handler: Any) -> Any:
        if handler is None or classes is None:
            return _rejected(errors[0])
        _check_handler("catch_all", classes, handler)
        for error in errors:
            if not isinstance(error, classes):
                return _rejected(error)
        return scheduler.evaluate(handler(map_nested(outcome_of, exprs)), parent_job)

    return _Ended(list(promises.values())).then(finish)


class _Ended(Promise[None]):
    """The promise that all of some promises are settled, one way or the other."""

    __slots__ = ("_missing", "_promises")

    def __init__(self, promises: list[Promise[Any]]) -> None:
        super().__init__(queue=promises[0]._queue if promises else None)
        self._promises = promises
        self._missing = len(promises)
        if not promises:
            self.fulfil(None)
        for promise in promises:
            promise.add_waiter(self)

    def sources(self) -> Iterable[Promise[Any]]:
        return self._promises

    def on_settled(self, promise: Promise[Any]) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._queue.append(self)

    def resume(self) -> None:
        self.fulfil(None)


# Order


@cast("Makes[SeqTask]", scheduler_task(namespace="redun_lite", version="1"))
def seq(scheduler: Scheduler, parent_job: Job | None, sexpr: Call, exprs: Any) -> Any:
    """Evaluate expressions one after the other, each with all it leads to; return their values.

    An error ends it: those behind are not evaluated.

    Parameters
    ----------
    exprs
        A list of expressions; if the list as a whole is lazy, it comes with values only.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def step(name):
    ...     return name.upper()
    >>> run(seq([step("a"), step("b")]))
    ['A', 'B']
    """
    if isinstance(exprs, Expression):
        return scheduler.evaluate(exprs, parent_job).then(list)
    if not isinstance(exprs, (list, tuple)):
        raise TaskError(f"seq takes a list of expressions, not {exprs!r}")
    return _Sequence(scheduler, parent_job, list(exprs))


class _Sequence(Promise[Any]):
    """The promise of the values of expressions that are evaluated one after the other."""

    __slots__ = ("_awaited", "_exprs", "_parent_job", "_promises", "_scheduler")

    def __init__(self, scheduler: Scheduler, parent_job: Job | None, exprs: list[Any]) -> None:
        super().__init__(queue=scheduler.engine_of(parent_job).ready)
        self._scheduler = scheduler
        self._parent_job = parent_job
        self._exprs = exprs
        self._promises: list[Promise[Any]] = []
        self._queue.append(self)

    def sources(self) -> Iterable[Promise[Any]]:
        return self._promises

    def on_settled(self, promise: Promise[Any]) -> None:
        self._queue.append(self)

    def resume(self) -> None:
        promises = self._promises
        if promises and promises[-1].error is not None:
            self.reject(promises[-1].error)
        elif len(promises) == len(self._exprs):
            self.fulfil([promise.value for promise in promises])
        else:
            expr = self._exprs[len(promises)]
            promises.append(self._scheduler.evaluate(expr, self._parent_job))
            promises[-1].add_waiter(self)


# Tags


@scheduler_task(namespace="redun_lite", version="1")
def apply_tags(
    scheduler: Scheduler,
    parent_job: Job | None,
    sexpr: Call,
    value: T,
    tags: Tags = (),
    job_tags: Tags = (),
    execution_tags: Tags = (),
) -> Promise[T]:
    """Return a value, and tag it, the job around, or the execution.

    Parameters
    ----------
    value
        What to return.
    tags, job_tags, execution_tags
        Pairs of a key and a value that JSON knows, or a dict; for the value, the job whose function
        returned this call, and its execution.

    Raises
    ------
    TaskError
        A tag is no such pair.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def measure():
    ...     return apply_tags(20.5, tags=[("unit", "°C")], job_tags=[("sensor", 3)])
    >>> run(measure())
    20.5
    """

    def record(evaluated: tuple[Any, ...]) -> Any:
        value, *given = evaluated
        parsed = [parse_tags(part, "apply_tags") for part in given]
        scheduler.engine_of(parent_job).recorder.record_tags(parent_job, value, *parsed)
        return value

    arguments = (value, tags, job_tags, execution_tags)
    return scheduler.evaluate(arguments, parent_job).then(record)


# Background work


class Thread(Value, Generic[T]):
    """Work in the background, started by `fork_thread`: pass it on, and to `join_thread`.

    It is part of one execution, so a cached one is valid where that work has been started again.
    """

    type_name = "redun_lite.Thread"

    def __init__(self, key: str, number: int, shown: str) -> None:
        self.key = key
        self.number = number
        self.shown = shown

    def get_hash(self, data: bytes | None = None) -> str:
        return key_of((self.type_name, self.key, self.number)).hex()

    def is_valid(self) -> bool:
        engine = get_current_engine()
        return engine is not None and self.number < len(engine.threads.get(self.key, ()))

    def __repr__(self) -> str:
        return f"Thread({self.shown})"


@scheduler_task(namespace="redun_lite", version="1")
def fork_thread(scheduler: Scheduler, parent_job: Job | None, sexpr: Call, expr: T) -> Thread[T]:
    """Start to evaluate an expression in the background, and return a `Thread`.

    The job that starts it does not wait for it, and may end before.  The execution lasts until all
    such work has ended; an error in it fails whoever joins it, and nobody else.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def double(x):
    ...     return 2 * x
    >>> @task(namespace="docs", version="1")
    ... def main():
    ...     return join_thread(fork_thread(double(21)))
    >>> run(main())
    42
    """
    engine = scheduler.engine_of(parent_job)
    key = key_of_expr(expr).hex()
    started = engine.threads.setdefault(key, [])
    evaluation = scheduler.evaluate(expr, parent_job)
    started.append(evaluation)
    engine.forked.append(evaluation)
    return Thread(key, len(started) - 1, format_expr(expr))


@scheduler_task(namespace="redun_lite", version="1")
def join_thread(
    scheduler: Scheduler, parent_job: Job | None, sexpr: Call, thread: Thread[T]
) -> Promise[T]:
    """Return the result of work that `fork_thread` started, waiting for it if need be.

    Raises
    ------
    TaskError
        It is not given a `Thread`.
    """

    def join(joined: Any) -> Any:
        if not isinstance(joined, Thread):
            raise TaskError(f"join_thread takes what fork_thread returned, not {joined!r}")
        return scheduler.engine_of(parent_job).threads[joined.key][joined.number]

    return scheduler.evaluate(thread, parent_job).then(join)


join_thread.depends_on_run = True  # What was forked is not below the call that joins it.


# Options and provenance for all that an expression leads to


@task(name="with_export_options", namespace="redun_lite", version="1")
def _exporting(expr: QuotedExpression[Any]) -> Any:
    return expr.eval()


@task(name="with_lazy_export_options", namespace="redun_lite", version="1")
def _exporting_lazily(expr: QuotedExpression[Any], options: dict[str, Any]) -> Any:
    return with_export_options(expr, options)


@overload
def with_export_options(expr: QuotedExpression[T], options: dict[str, Any]) -> T: ...


@overload
def with_export_options(expr: T, options: dict[str, Any]) -> T: ...


def with_export_options(expr: Any, options: dict[str, Any]) -> Any:
    """Return an expression with options for all jobs that it leads to.

    Parameters
    ----------
    expr
        The expression, as it is or quoted.
    options
        Task options by name; the values, or the dict as a whole, may be lazy.

    Examples
    --------
    >>> from redun_lite import JobInfo, run, task
    >>> @task(namespace="docs", version="1")
    ... def inner(job_info=JobInfo()):
    ...     return job_info.options
    >>> run(with_export_options(inner(), {"memory": 8}))
    {'memory': 8}
    """
    quoted = expr if isinstance(expr, QuotedExpression) else quote(expr)
    if isinstance(options, Expression):
        return _exporting_lazily(quoted, options)
    if not isinstance(options, dict):
        raise TaskError(f"with_export_options takes a dict of options, not {options!r}")
    return _exporting.export_options(**options)(quoted)


@task(name="no_prov", namespace="redun_lite", version="1", check_valid="shallow")
def _summarized(expr: QuotedExpression[Any]) -> Any:
    return _unrecorded(expr)


@task(name="no_prov_of", namespace="redun_lite", version="1", prov=False)
def _unrecorded(expr: QuotedExpression[Any]) -> Any:
    return expr.eval()


def no_prov(expr: T) -> T:
    """Return an expression whose jobs are not recorded, but for one that stands for all of them.

    That one is cached as with `check_valid="shallow"`.  For a great many small jobs whose lineage
    nobody will ask for.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def square(x):
    ...     return x * x
    >>> run(no_prov([square(x) for x in range(4)]))
    [0, 1, 4, 9]
    """
    return cast(T, _summarized(quote(expr)))
