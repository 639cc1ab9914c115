"""Tasks: decorated functions whose calls are lazy.

Expressions refer to tasks by full name, never by function, so that a recorded call finds the
present code of its task.  A task's hash stands for that code: its full name and source (or a
version that the author keeps), and whatever else the author says it depends on.
"""

from __future__ import annotations

import inspect
import re
from types import GenericAlias
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Generic,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    overload,
)

from ._digest import digest
from ._errors import HashError, TaskError, UnknownTask
from ._expr import (
    NO_OPTIONS,
    SchedulerExpression,
    TaskExpression,
    dumps_expr,
    format_expr,
    is_valid_expr,
    key_of_expr,
    loads_expr,
)
from ._hash import key_of, key_with_sources, source_of
from ._merged import merged
from ._options import (
    CONTEXT_OPTION,
    TaskOptions,
    check_option_names,
    exported_names,
    holds_expressions,
    parse_definition,
)
from ._parameters import Parameters
from ._registry import Registry
from ._value import Value

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Concatenate, ParamSpec  # novm

    from ._expr import Expression
    from ._promise import Promise

    P = ParamSpec("P")
    # `Any` fits all overloads, and the first is taken: one that gives it back as it is, and that
    # nothing else fits but None.
    AnyOrNone = TypeVar("AnyOrNone", bound=None)
else:
    P = TypeVar("P")  # Python 3.9 has no ParamSpec; nothing looks at it when the program runs.

R = TypeVar("R", covariant=True)  # A task of bools is good for whoever wants one of ints.
T = TypeVar("T")
SomeTask = TypeVar("SomeTask", bound="Task[Any, Any]")


# Tasks


class TaskCode(NamedTuple):
    """What is recorded of a task."""

    key: bytes
    fullname: str
    version: str | None
    source: str


class Task(Value, Generic[P, R]):
    """A function whose calls are lazy.

    Type checkers see it with the parameters and the result of the function.

    Made by the decorator `task`.  Calling it returns an expression; `Task.func` is the function
    itself, for calling it at once.

    Examples
    --------
    >>> @task(namespace="docs", version="1")
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> add(1, 2)
    docs.add(1, 2)
    >>> add.func(1, 2)
    3
    >>> add.fullname, add.version
    ('docs.add', '1')
    """

    type_name = "redun_lite.Task"
    depends_on_run = False
    """Whether what it comes to follows from more than its code and arguments: then no call above
    it is replayed as a whole."""
    evaluates_within = False
    """Whether other tasks are evaluated while its function runs: then its first result tells
    nothing of them, and is not replayed."""
    _given = 0

    def __init__(
        self,
        func: Callable[..., Any],
        name: str,
        namespace: str = "",
        version: str | None = None,
        source: str | None = None,
        hash_includes: tuple[Any, ...] = (),
        load_module: str | None = None,
        nout: int | None = None,
        script: bool = False,
        options: dict[str, Any] | None = None,
        exported: tuple[str, ...] = (),
    ) -> None:
        self.func: Callable[P, R] = func
        self.name = name
        self.namespace = namespace
        self.fullname = f"{namespace}.{name}" if namespace else name
        self.version = version
        self.source = source_of(func) if source is None else source
        self.hash_includes = hash_includes
        self.load_module = load_module or func.__module__
        self.nout = nout
        self.script = script
        self.base_options: dict[str, Any] = options or {}
        self.has_lazy_options = holds_expressions(self.base_options)
        self.exported = exported_names(self.base_options, exported)
        self.call_options: dict[str, Any] = NO_OPTIONS
        self.call_exported: tuple[str, ...] = ()
        self.wrapped: Task[Any, Any] | None = None
        self.parameters = Parameters(func, self.fullname, self._given)
        self.is_async = inspect.iscoroutinefunction(func)
        self.evaluates_within = self.is_async
        self.key = self._make_key()
        self._options: TaskOptions | None = None

    if not TYPE_CHECKING:

        def __class_getitem__(cls, parameters):
            """Take what a hint may say: `Task[[int], str]`, `Task[..., str]`."""
            hashable = [tuple(part) if isinstance(part, list) else part for part in parameters]
            return GenericAlias(cls, tuple(hashable))

    @property
    def signature(self) -> inspect.Signature:
        """The signature of the function."""
        return self.parameters.signature

    @property
    def code(self) -> TaskCode:
        """What is recorded of the task."""
        return TaskCode(self.key, self.fullname, self.version, self.source)

    @property
    def hash(self) -> str:
        """The 40 hex digits that stand for the task's name and code."""
        return self.key.hex()

    @property
    def defined_in(self) -> str:
        """The file that defines the task's function; of a wrapper, that of what is wrapped."""
        if self.wrapped is not None:
            return self.wrapped.defined_in
        return str(inspect.unwrap(self.func).__code__.co_filename)

    def rename(self, name: str, namespace: str) -> None:
        """Give the task another name; whoever knows it by the old one does not find it any more."""
        self.name = name
        self.namespace = namespace
        self.fullname = f"{namespace}.{name}" if namespace else name
        self.parameters = Parameters(self.func, self.fullname, self._given)
        self.recompute_hash()

    def recompute_hash(self) -> None:
        """Take up changes of what the hash stands for: the version, the source, `hash_includes`."""
        self.key = self._make_key()

    def _make_key(self) -> bytes:
        code = ("source", self.source) if self.version is None else ("version", self.version)
        try:
            includes = key_with_sources(list(self.hash_includes)) if self.hash_includes else b""
        except HashError as error:
            raise TaskError(f"task {self.fullname}: {error.within('hash_includes')}") from None
        return digest(b"@task" + key_of((self.fullname, *code)) + includes)

    def get_hash(self, data: bytes | None = None) -> str:
        """Return the 40 hex digits that identify the task, with the options for its calls."""
        if not self.call_options:
            return self.hash
        options = key_of_expr(dict(sorted(self.call_options.items())))
        exported = key_of(sorted(self.call_exported))
        return digest(b"@task options" + self.key + options + exported).hex()

    def is_valid(self) -> bool:
        current = get_task_registry().get(self.fullname)
        return current is not None and current.key == self.key

    def __reduce__(self) -> tuple[Any, ...]:
        extra = (self.call_options, self.call_exported) if self.call_options else ()
        return (find_task, (self.fullname, self.key, *extra))

    def __repr__(self) -> str:
        return f"Task(fullname={self.fullname}, hash={self.hash[:8]})"

    @overload
    def __call__(self: Task[P, AnyOrNone], /, *args: P.args, **kwargs: P.kwargs) -> AnyOrNone: ...

    @overload
    def __call__(
        self: Task[P, Expression[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Expression[T]: ...

    @overload
    def __call__(
        self: Task[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Expression[T]: ...

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the expression of a call.

        Raises
        ------
        ArgumentError
            The function does not take these arguments.
        """
        self.parameters.accept(args, kwargs)
        return TaskExpression(
            self.fullname,
            args,
            kwargs or NO_OPTIONS,
            self.call_options,
            self.call_exported,
            self.nout,
        )

    def options(self: SomeTask, **options: Any) -> SomeTask:
        """Return the task with other options for the calls that are made through it.

        Parameters
        ----------
        options
            Task options by name; they win over those of the decorator.  Values may be expressions.

        Raises
        ------
        TaskError
            A name is that of an option, misspelt, or of what only the decorator can say.

        Examples
        --------
        >>> @task(namespace="docs", version="1", memory=4)
        ... def align(reads):
        ...     return reads
        >>> align.options(memory=16, retries=2).get_task_options()
        {'memory': 16, 'retries': 2}
        >>> align.options(memory=16)("ACGT")
        docs.align('ACGT')
        """
        return self._with_call_options(options, ())

    def export_options(self: SomeTask, **options: Any) -> SomeTask:
        """Return the task with options for its calls and for all jobs below them.

        Parameters
        ----------
        options
            Task options by name, as for `Task.options`.

        Examples
        --------
        >>> from redun_lite import JobInfo, run, task
        >>> @task(namespace="docs", version="1")
        ... def memory_below(job_info=JobInfo()):
        ...     return job_info.options["memory"]
        >>> @task(namespace="docs", version="1")
        ... def main():
        ...     return memory_below()
        >>> run(main.export_options(memory=16)())
        16
        """
        return self._with_call_options(options, tuple(options))

    def update_context(
        self: SomeTask, context: dict[str, Any] | None = None, **variables: Any
    ) -> SomeTask:
        """Return the task with other context variables for its calls and for all jobs below them.

        Parameters
        ----------
        context
            Variables by name; values may be expressions.
        variables
            The same, as keywords.

        Examples
        --------
        >>> from redun_lite import get_context, run, task
        >>> @task(namespace="docs", version="1")
        ... def greet(name, greeting=get_context("greeting", "Hello")):
        ...     return f"{greeting}, {name}!"
        >>> run([greet("Ada"), greet.update_context(greeting="Good day")("Ada")])
        ['Hello, Ada!', 'Good day, Ada!']
        """
        given = context or {}
        if not isinstance(given, dict):
            raise TaskError(
                f"task {self.fullname}: update_context takes a dict of variables, not {given!r}"
            )
        known = self.call_options.get(CONTEXT_OPTION, {})
        changed = {CONTEXT_OPTION: merged(known, merged(given, variables))}
        return self._with_call_options(changed, ())

    def _with_call_options(
        self: SomeTask, options: dict[str, Any], exported: tuple[str, ...]
    ) -> SomeTask:
        check_option_names(options, f"task {self.fullname}")
        changed: SomeTask = object.__new__(type(self))
        changed.__dict__.update(self.__dict__)
        changed.call_options = {**self.call_options, **options}
        changed.call_exported = exported_names(options, (*self.call_exported, *exported))
        if "nout" in options:
            changed.nout = options["nout"]
        return changed

    def partial(self, /, *args: Any, **kwargs: Any) -> PartialTask[R]:
        """Return the task with its first arguments, or some by name, given already.

        Examples
        --------
        >>> @task(namespace="docs", version="1")
        ... def power(base, exponent):
        ...     return base**exponent
        >>> power.partial(exponent=2)(5)
        docs.power(5, exponent=2)
        """
        return PartialTask(self, args, kwargs)

    def get_task_options(self) -> dict[str, Any]:
        """Return the options of the decorator, with those of `Task.options` over them."""
        return {**self.base_options, **self.call_options}

    def get_task_option(self, name: str, default: Any = None) -> Any:
        """Return one option, or `default` where it is not set."""
        return self.get_task_options().get(name, default)

    def has_task_option(self, name: str) -> bool:
        """Say whether an option is set."""
        return name in self.get_task_options()

    def default_options(self) -> TaskOptions:
        """Return the options of the decorator, parsed."""
        if self._options is None:
            self._options = self.parse_options(self.base_options)
        return self._options

    def parse_options(self, options: dict[str, Any]) -> TaskOptions:
        """Return evaluated options, parsed."""
        return TaskOptions(options, f"task {self.fullname}", self.parameters.names)


class SchedulerTask(Task[P, R]):
    """A task that extends the engine: it gets the scheduler, and its arguments unevaluated.

    Made by the decorator `scheduler_task`.
    """

    type_name = "redun_lite.SchedulerTask"
    _given = 3  # Parameters that the engine fills: the scheduler, the parent job, the expression.
    func: Callable[..., Any]

    @overload
    def __call__(
        self: SchedulerTask[P, AnyOrNone], /, *args: P.args, **kwargs: P.kwargs
    ) -> AnyOrNone: ...

    @overload
    def __call__(self: SchedulerTask[P, Promise[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    def __call__(
        self: SchedulerTask[P, Union[Promise[T], T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.parameters.accept(args, kwargs)
        return SchedulerExpression(
            self.fullname,
            args,
            kwargs or NO_OPTIONS,
            self.call_options,
            self.call_exported,
            self.nout,
        )


class PartialTask(Value, Generic[R]):
    """A task with some arguments given already; calling it gives the others."""

    type_name = "redun_lite.PartialTask"

    def __init__(self, task: Task[Any, R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.task = task
        self.args = args
        self.kwargs = kwargs

    @overload
    def __call__(self: PartialTask[AnyOrNone], /, *args: Any, **kwargs: Any) -> AnyOrNone: ...

    @overload
    def __call__(
        self: PartialTask[Expression[T]], /, *args: Any, **kwargs: Any
    ) -> Expression[T]: ...

    @overload
    def __call__(
        self: PartialTask[Coroutine[Any, Any, T]], /, *args: Any, **kwargs: Any
    ) -> Expression[T]: ...

    @overload
    def __call__(self, /, *args: Any, **kwargs: Any) -> R: ...

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.task(*self.args, *args, **{**self.kwargs, **kwargs})

    def options(self, **options: Any) -> PartialTask[R]:
        """Return the same with other options; see `Task.options`."""
        return PartialTask(self.task.options(**options), self.args, self.kwargs)

    def export_options(self, **options: Any) -> PartialTask[R]:
        """Return the same with options for its calls and for all jobs below them."""
        return PartialTask(self.task.export_options(**options), self.args, self.kwargs)

    def update_context(
        self, context: dict[str, Any] | None = None, **variables: Any
    ) -> PartialTask[R]:
        """Return the same with other context variables; see `Task.update_context`."""
        return PartialTask(self.task.update_context(context, **variables), self.args, self.kwargs)

    def get_task_options(self) -> dict[str, Any]:
        """Return the options of the task, with those given here over them."""
        return self.task.get_task_options()

    def get_task_option(self, name: str, default: Any = None) -> Any:
        """Return one option, or `default` where it is not set."""
        return self.task.get_task_option(name, default)

    def has_task_option(self, name: str) -> bool:
        """Say whether an option is set."""
        return self.task.has_task_option(name)

    def partial(self, /, *args: Any, **kwargs: Any) -> PartialTask[R]:
        """Return the same with more arguments given; those by name replace earlier ones."""
        return PartialTask(self.task, self.args + args, {**self.kwargs, **kwargs})

    @property
    def fullname(self) -> str:
        """The full name of the task."""
        return self.task.fullname

    def is_valid(self) -> bool:
        given = (self.args, self.kwargs)
        return self.task.is_valid() and is_valid_expr(given, get_task_registry().get)

    def __repr__(self) -> str:
        given = [format_expr(arg) for arg in self.args]
        given += [f"{name}={format_expr(arg)}" for name, arg in self.kwargs.items()]
        return f"PartialTask({', '.join([self.fullname, *given])})"


class QuotedExpression(Value, Generic[R]):
    """An expression as a value: it is passed on without being evaluated; see `quote`."""

    type_name = "redun_lite.QuotedExpression"

    def __init__(self, expr: R) -> None:
        self._expr: Any = expr
        self._stored: bytes | None = None

    def eval(self) -> R:
        """Return the expression, to be evaluated where it is returned."""
        if self._stored is not None:
            self._expr = loads_expr(self._stored)
            self._stored = None
        expr: R = self._expr
        return expr

    def is_valid(self) -> bool:
        return is_valid_expr(self.eval(), get_task_registry().get)

    def get_hash(self, data: bytes | None = None) -> str:
        return digest(b"@quoted" + key_of_expr(self.eval())).hex()

    def __reduce__(self) -> tuple[Any, ...]:
        stored = dumps_expr(self._expr) if self._stored is None else self._stored
        return (loads_quoted, (stored,))

    def __repr__(self) -> str:
        return f"quote({format_expr(self.eval())})"


def loads_quoted(data: bytes) -> QuotedExpression[Any]:
    """Return the quoted expression that was stored.

    It is loaded when it is asked for: whoever gets it may have modules to import before.
    """
    quoted: QuotedExpression[Any] = QuotedExpression(None)
    quoted._stored = data
    return quoted


def quote(expr: T) -> QuotedExpression[T]:
    """Return an expression, or a nested value that holds some, as a value that is not evaluated.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def twice(quoted):
    ...     return [quoted.eval(), quoted.eval()]
    >>> @task(namespace="docs", version="1")
    ... def add(a, b):
    ...     return a + b
    >>> run(twice(quote(add(1, 2))))
    [3, 3]
    """
    return QuotedExpression(expr)


def find_task(
    fullname: str,
    key: bytes,
    call_options: dict[str, Any] = NO_OPTIONS,
    call_exported: tuple[str, ...] = (),
) -> Task[Any, Any]:
    """Return the task that a stored value refers to.

    Raises
    ------
    UnknownTask
        No task has that name and that code.
    """
    found = get_task_registry().get(fullname)
    if found is None or found.key != key:
        raise UnknownTask(f"task {fullname} {key.hex()[:8]} is not defined as it was recorded")
    if call_options:
        return found._with_call_options(call_options, call_exported)
    return found


# The registry


class TaskRegistry(Registry[Task[Any, Any]]):
    """The tasks that are defined, by full name."""


_registry = TaskRegistry()


def get_task_registry() -> TaskRegistry:
    """Return the registry that `task` adds to."""
    return _registry


# The decorator

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_NAMESPACE = re.compile(r"[A-Za-z_0-9][A-Za-z_0-9.]*")
_current_namespace = ""


def namespace(name: str | None = None) -> None:
    """Set the namespace of the tasks that are defined from here on, until it is set anew.

    A module that sets `redun_namespace` needs no call.

    Parameters
    ----------
    name
        The namespace; without one, tasks have none.

    Raises
    ------
    TaskError
        It is no namespace.

    Examples
    --------
    >>> namespace("genome")
    >>> get_current_namespace()
    'genome'
    >>> namespace()
    """
    global _current_namespace
    _check_namespace(name or "", "namespace()")
    _current_namespace = name or ""


def _check_namespace(name: Any, where: str) -> None:
    if name and not (isinstance(name, str) and _NAMESPACE.fullmatch(name)):
        raise TaskError(
            f"{where}: a namespace is letters, digits, '_' and '.', and starts with no '.', "
            f"not {name!r}"
        )


def get_current_namespace() -> str:
    """Return what `namespace` has set: "" if nothing."""
    return _current_namespace


@overload
def task(func: Callable[P, Any], *, script: Literal[True], **definition: Any) -> Task[P, bytes]: ...


@overload
def task(
    func: Callable[P, R], *, script: Literal[False] = False, **definition: Any
) -> Task[P, R]: ...


@overload
def task(
    func: None = None,
    *,
    script: Literal[True],
    name: str | None = None,
    namespace: str | None = None,
    version: str | None = None,
    hash_includes: list[Any] | tuple[Any, ...] = (),
    source: str | None = None,
    load_module: str | None = None,
    export_options: dict[str, Any] | None = None,
    **options: Any,
) -> Callable[[Callable[P, Any]], Task[P, bytes]]: ...


@overload
def task(
    func: None = None,
    *,
    name: str | None = None,
    namespace: str | None = None,
    version: str | None = None,
    script: Literal[False] = False,
    hash_includes: list[Any] | tuple[Any, ...] = (),
    source: str | None = None,
    load_module: str | None = None,
    nout: int | None = None,
    export_options: dict[str, Any] | None = None,
    **options: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(func: Callable[..., Any] | None = None, **definition: Any) -> Any:
    """Make a task of a function.

    Parameters
    ----------
    name, namespace
        What the task is called; by default the function's name, and what the module sets as
        `redun_namespace` (or `namespace()` did).
    version
        Stands for the code in the task's hash, in place of the source.
    hash_includes
        Values and functions that the task depends on besides.
    source
        Stands for the source, where the function has none of its own.
    load_module
        Module whose import defines the task, for workers elsewhere.
    nout
        Length of the tuple or list that the task returns, so that its calls can be unpacked.
    export_options
        Options that the jobs below inherit.
    script
        Whether the function returns a shell script, whose output is the result.
    options
        Task options; values may be expressions.  Of the package are, for the cache, `cache`,
        `cache_scope`, `check_valid`, `config_args` and `allowed_cache_results`; for how a job runs,
        `executor`, `limits`, `priority`, `retries`, `retry_delay`, `retry_backoff`, `retry_on` and
        `timeout`; for what is recorded, `tags` and `prov`.  docs/reference/task-options.md tells of
        each.  Others, such as `memory`, are for executors.

    Raises
    ------
    TaskError
        A name or an option is not one.

    Examples
    --------
    >>> @task
    ... def double(x):
    ...     return 2 * x
    >>> double(21)
    double(21)
    >>> @task(namespace="docs", nout=2, version="1")
    ... def divide(a, b):
    ...     return a // b, a % b
    >>> quotient, remainder = divide(7, 2)
    >>> remainder
    docs.divide(7, 2)[1]
    """
    if func is not None:
        return _define(Task, func, definition)
    return lambda function: _define(Task, function, definition)


@overload
def scheduler_task(
    name: str | None = None,
    namespace: str | None = None,
    version: str | None = None,
    **options: Any,
) -> Callable[[Callable[Concatenate[Any, Any, Any, P], R]], SchedulerTask[P, R]]: ...


@overload
def scheduler_task(
    name: Callable[Concatenate[Any, Any, Any, P], R],
    namespace: str | None = None,
    version: str | None = None,
    **options: Any,
) -> SchedulerTask[P, R]: ...


def scheduler_task(
    name: Callable[..., Any] | str | None = None,
    namespace: str | None = None,
    version: str | None = None,
    **options: Any,
) -> Any:
    """Make a scheduler task of a function: a form of control flow, such as `cond` is.

    The function is called by the engine, in its thread, with the scheduler, the job in whose scope
    the call is, the expression of the call, and the arguments as they were written: lazy ones are
    not evaluated.  `scheduler.evaluate(expr, parent_job)` gives promises of their values.  It
    returns a value, an expression, or a promise, and must not block.  Calls of it are no jobs: they
    are not cached, and evaluated anew in each execution.

    Parameters
    ----------
    name
        What the task is called; or the function, where nothing else is given.
    namespace, version, options
        As for `task`.

    Examples
    --------
    >>> @scheduler_task(namespace="docs", version="1")
    ... def either(scheduler, parent_job, sexpr, first, second):
    ...     return scheduler.evaluate(first, parent_job).then(lambda value: value or second)
    >>> either(0, 5)
    docs.either(0, 5)
    """
    definition = {"namespace": namespace, "version": version, **options}
    if callable(name):
        return _define(SchedulerTask, name, definition)
    definition["name"] = name
    return lambda function: _define(SchedulerTask, function, definition)


def _define(cls: type[Task[Any, Any]], func: Callable[..., Any], definition: dict[str, Any]) -> Any:
    if not hasattr(inspect.unwrap(func) if callable(func) else func, "__code__"):
        raise TaskError(f"@task decorates a function, not {func!r}")
    known, options = parse_definition(definition, f"task {func.__name__}")
    name = known.pop("name", None) or func.__name__
    module_globals = getattr(inspect.unwrap(func), "__globals__", {})
    space = known.pop("namespace", None)
    if space is None:
        space = module_globals.get("redun_namespace", _current_namespace)
    where = f"task {space}.{name}" if space else f"task {name}"
    if not _NAME.fullmatch(name):
        raise TaskError(
            f"{where}: a task's name is letters, digits and '_', and starts with no digit, "
            f"not {name!r}"
        )
    _check_namespace(space, where)
    if known.get("script") and inspect.iscoroutinefunction(func):
        raise TaskError(
            f"{where}: a script task cannot be async; await script(...) in an async task instead"
        )
    exports = known.pop("export_options", None) or {}
    check_option_names({**options, **exports}, where, definition=True)
    made = cls(
        func,
        name,
        space,
        hash_includes=tuple(known.pop("hash_includes", None) or ()),
        options={**options, **exports},
        exported=tuple(exports),
        **known,
    )
    if not holds_expressions(made.base_options):
        made.default_options()  # Options with expressions are checked when a job evaluates them.
    get_task_registry().add(made)
    made.__doc__ = func.__doc__
    return made
