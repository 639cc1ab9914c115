"""The scheduler: what a program makes to run workflows.

It holds what outlives a single execution (configuration, repository, executors) and starts an
`Engine` for each.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ._config import Config
from ._db import Repository
from ._engine import Engine
from ._errors import DryRunResult, NoCurrentScheduler, UsageError
from ._executor import Executor, LocalExecutor, make_executor, unknown_executor
from ._expr import Expression, format_expr
from ._federation import federation_of
from ._handle import set_state_finder
from ._job import Reporter
from ._merged import merged
from ._record import show_remote_traceback, trim_traceback
from ._recorder import PartOf
from ._status import CANCELLED, DONE, FAILED
from ._timers import now

if TYPE_CHECKING:
    from ._async import EventLoopThread
    from ._job import Job
    from ._promise import Promise

T = TypeVar("T")

_MAX_SHOWN = 1000  # Characters of an expression that are recorded for an execution.


class Scheduler:
    """Runs workflows.

    Parameters
    ----------
    config
        The configuration; without one, executions are recorded in memory only.
    backend
        The repository, in place of the one that the configuration names.
    executor
        The executor named "default", in place of the configured one.
    reporter
        Is shown what happens while a workflow runs.

    Examples
    --------
    >>> from redun_lite import Scheduler, task
    >>> @task(namespace="docs", version="1")
    ... def add(a, b):
    ...     return a + b
    >>> with Scheduler() as scheduler:
    ...     scheduler.run(add(add(1, 2), 3))
    6
    """

    def __init__(
        self,
        config: Config | None = None,
        backend: Repository | None = None,
        executor: Executor | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.config = Config() if config is None else config
        self.reporter = reporter
        self._repository = backend
        self._owns_repository = backend is None
        self._event_loop: EventLoopThread | None = None
        self._one_thread = _OneThread()
        self.executors: dict[str, Executor] = {}
        self.add_executor(executor or LocalExecutor("default"), name="default")
        self.add_executor(LocalExecutor("process", mode="process"))
        executors, self.federated_tasks = federation_of(self.config, reserved=self.executors)
        for name, section in executors.items():
            if name != "default" or executor is None:
                self.add_executor(make_executor(section, self))

    # Set-up

    @property
    def backend(self) -> Repository:
        """The repository that the configuration names, opened when it is first needed."""
        if self._repository is None:
            self._repository = Repository.from_config(self.config)
        return self._repository

    def load(self) -> Scheduler:
        """Open the repository; return the scheduler."""
        assert self.backend
        return self

    def add_executor(self, executor: Executor, name: str | None = None) -> None:
        """Make an executor known under its name."""
        executor.set_scheduler(self)
        self.executors[name or executor.name] = executor

    def get_executor(self, name: str) -> Executor:
        """Return the executor of a name.

        Raises
        ------
        ExecutorError
            There is none; the message offers the nearest names.
        """
        executor = self.executors.get(name)
        if executor is None:
            raise unknown_executor(name, list(self.executors))
        return executor

    def event_loop(self) -> EventLoopThread:
        """Return the thread on which async tasks run."""
        if self._event_loop is None:
            from ._async import EventLoopThread  # asyncio takes a while to import.

            self._event_loop = EventLoopThread()
        return self._event_loop

    def close(self) -> None:
        """Stop the executors' workers and close the repository."""
        if self._event_loop is not None:
            self._event_loop.stop()
            self._event_loop = None
        for executor in self.executors.values():
            executor.stop()
        if self._repository is not None and self._owns_repository:
            repository, self._repository = self._repository, None
            repository.close()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Running

    @overload
    def run(
        self,
        expr: Expression[T],
        exec_argv: list[str] | None = None,
        dryrun: bool = False,
        cache: bool = True,
        tags: Iterable[tuple[str, Any]] = (),
        context: dict[str, Any] | None = None,
        execution_id: str | None = None,
        options: dict[str, Any] | None = None,
        exported: dict[str, Any] | None = None,
        part_of: PartOf | None = None,
    ) -> T: ...

    @overload
    def run(
        self,
        expr: T,
        exec_argv: list[str] | None = None,
        dryrun: bool = False,
        cache: bool = True,
        tags: Iterable[tuple[str, Any]] = (),
        context: dict[str, Any] | None = None,
        execution_id: str | None = None,
        options: dict[str, Any] | None = None,
        exported: dict[str, Any] | None = None,
        part_of: PartOf | None = None,
    ) -> T: ...

    def run(
        self,
        expr: Any,
        exec_argv: list[str] | None = None,
        dryrun: bool = False,
        cache: bool = True,
        tags: Iterable[tuple[str, Any]] = (),
        context: dict[str, Any] | None = None,
        execution_id: str | None = None,
        options: dict[str, Any] | None = None,
        exported: dict[str, Any] | None = None,
        part_of: PartOf | None = None,
    ) -> Any:
        """Evaluate an expression, or a nested value that holds some, and return its value.

        Parameters
        ----------
        expr
            What to evaluate.
        exec_argv
            The command that is recorded for the execution.
        dryrun
            Whether to stop before the first function would run.
        cache
            Whether results of earlier executions may be reused.
        tags
            Keys and values that the execution is tagged with.
        context
            Context variables, over those of the configuration.
        execution_id
            UUID for the execution, in place of a random one.
        options
            Task options that win over all others.
        exported
            Task options that all jobs inherit, as if a job around them exported these.
        part_of
            What the execution is a part of.

        Raises
        ------
        DryRunResult
            In a dry run, some job would have run.
        KeyboardInterrupt
            The user pressed Ctrl-C.
        UsageError
            It is running another workflow in another thread.
        BaseException
            What a task raised, with the traceback of its own code.
        """
        with self._one_thread:
            identity = _checked_uuid(execution_id)
            tags = [(key, value) for key, value in tags]
            context = merged(self.config.context(), context or {})
            repository = self.backend
            row_id = 0
            if not dryrun:
                shown = format_expr(expr)[:_MAX_SHOWN]
                argv = exec_argv if exec_argv is not None else ["scheduler.run", shown]
                parent_job = None if part_of is None else part_of.parent_job
                row_id = repository.start_execution(identity, argv, now(), parent_job)
                for key, value in tags:
                    repository.record_tag(identity, key, value)
            engine = Engine(
                repository,
                self.get_executor,
                self.config.limits,
                row_id,
                cache=cache and self.config.scheduler.cache,
                dryrun=dryrun,
                overrides=options,
                context=context,
                reporter=self.reporter,
                scheduler=self,
                execution_uuid=identity,
                exported=exported,
                part_of=part_of,
            )
            if self.reporter is not None:
                self.reporter.started(engine, identity)
            status = FAILED
            previous = set_current_scheduler(self)
            outer, _current.engine = get_current_engine(), engine
            try:
                with _interrupts(engine):
                    result = engine.run(expr)
                status = DONE
                return result
            except DryRunResult:
                raise
            except KeyboardInterrupt:
                status = CANCELLED
                raise
            except BaseException as error:
                show_remote_traceback(trim_traceback(error))
                if sys.version_info >= (3, 11):
                    raise
                raise error  # There, a bare `raise` would bring back the traceback as it was.
            finally:
                set_current_scheduler(previous)
                _current.engine = outer
                try:
                    if not dryrun:
                        repository.end_execution(row_id, status)
                finally:
                    if self.reporter is not None:
                        self.reporter.ended(engine, status)

    def evaluate(self, expr: Any, parent_job: Job | None = None) -> Promise[Any]:
        """Return the promise of an expression's value, for scheduler tasks.

        Parameters
        ----------
        expr
            What to evaluate: an expression, or any value, perhaps with expressions inside.
        parent_job
            The job in whose scope it is.
        """
        evaluator = self.engine_of(parent_job).evaluator
        is_expr = isinstance(expr, Expression)
        evaluate = evaluator.evaluate if is_expr else evaluator.evaluate_nested
        promise: Promise[Any] = evaluate(expr, parent_job)
        return promise

    def engine_of(self, job: Job | None) -> Engine:
        """Return the engine that a job belongs to, or for None the one that runs in this thread."""
        engine: Any = job.run if job is not None else get_current_engine()
        if engine is None:
            raise NoCurrentScheduler("no workflow runs here: this is for scheduler tasks")
        return engine  # type: ignore[no-any-return]

    def context_of(self, job: Job | None) -> dict[str, Any]:
        """Return the context variables of a job, or for None those of the execution."""
        return self.engine_of(job).context_of(job)

    # Executors report here, from any thread.

    def done_job(self, job: Job, result: Any) -> None:
        """Take the result of a job's function."""
        job.run.complete(job, result, None)

    def reject_job(self, job: Job, error: BaseException) -> None:
        """Take the error of a job's function."""
        job.run.complete(job, None, error)


class _OneThread:
    """Entered for each run of a scheduler: lets those of one thread at a time in.

    Runs share what is to be recorded, which belongs to the thread that they are in.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._depth = 0

    def __enter__(self) -> None:
        thread = threading.get_ident()
        with self._lock:
            if self._depth and self._owner != thread:
                raise UsageError(
                    "this scheduler is running another workflow in another thread: make a "
                    "Scheduler for each thread, or call tasks instead of running them in a task"
                )
            self._owner = thread
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1


def _checked_uuid(text: str | None) -> str:
    if text is None:
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise UsageError(f"an execution id is a UUID, not {text!r}") from None


class _interrupts:
    """While it lasts, a first Ctrl-C lets running jobs end, a second one does not wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._previous: Any = None
        self._pressed = False

    def __enter__(self) -> None:
        # Only the main thread may, and a program that handles Ctrl-C itself keeps doing so.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._previous = signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, *_: object) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True
        self._engine.interrupt()


# The current scheduler

_current = threading.local()


@overload
def get_current_scheduler(required: Literal[True] = True) -> Scheduler: ...


@overload
def get_current_scheduler(required: bool) -> Scheduler | None: ...


def get_current_scheduler(required: bool = True) -> Scheduler | None:
    """Return the scheduler that runs in this thread.

    Raises
    ------
    NoCurrentScheduler
        None does, and one is required.
    """
    scheduler: Scheduler | None = getattr(_current, "scheduler", None)
    if scheduler is None and required:
        raise NoCurrentScheduler("no scheduler runs here: make one with Scheduler()")
    return scheduler


def _current_repository() -> Repository:
    return get_current_scheduler().backend


set_state_finder(_current_repository)


def get_current_engine() -> Engine | None:
    """Return the engine that runs in this thread, if one does."""
    engine: Engine | None = getattr(_current, "engine", None)
    return engine


def set_current_scheduler(scheduler: Scheduler | None) -> Scheduler | None:
    """Set the scheduler of this thread; return the one before."""
    previous = get_current_scheduler(required=False)
    _current.scheduler = scheduler
    return previous


@overload
def run(
    expr: Expression[T],
    config_dir: str | os.PathLike[str] | None = None,
    *,
    config: Config | None = None,
    **options: Any,
) -> T: ...


@overload
def run(
    expr: T,
    config_dir: str | os.PathLike[str] | None = None,
    *,
    config: Config | None = None,
    **options: Any,
) -> T: ...


def run(
    expr: Any,
    config_dir: str | os.PathLike[str] | None = None,
    *,
    config: Config | None = None,
    **options: Any,
) -> Any:
    """Evaluate an expression with a scheduler made for it, as the command `run` does.

    What it records is kept in the configuration directory, and used the next time.

    Parameters
    ----------
    expr
        What to evaluate: an expression, or a nested value that holds some.
    config_dir
        The configuration directory, made if it is not there; by default the one that the command
        line takes: `$REDUN_LITE_CONFIG`, or the nearest `.redun_lite` here or above.
    config
        A configuration in place of that of a directory.  One that names no directory or database
        keeps nothing.
    options
        Further arguments of `Scheduler.run`.

    Returns
    -------
    Any
        The value.

    Raises
    ------
    UsageError
        Both a directory and a configuration are given, or they are not what they should be.
    BaseException
        What `Scheduler.run` raises.

    Examples
    --------
    >>> from redun_lite import Config, run, task
    >>> @task(namespace="docs", version="1")
    ... def square(x):
    ...     return x * x
    >>> run([square(2), square(3)])
    [4, 9]
    >>> run(square(4), config=Config())
    16
    """
    if config is None:
        if config_dir is not None and not isinstance(config_dir, (str, os.PathLike)):
            advice = "; write config=…" if isinstance(config_dir, Config) else ""
            raise UsageError(f"run takes the path of a directory, not {config_dir!r}{advice}")
        config = Config.find() if config_dir is None else Config.from_dir(config_dir)
    elif config_dir is not None:
        raise UsageError("run takes a config_dir or a config, not both")
    elif not isinstance(config, Config):
        raise UsageError(f"run takes a Config as config, not {config!r}")
    with Scheduler(config) as scheduler:
        return scheduler.run(expr, **options)
