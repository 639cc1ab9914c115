"""`subrun`: a scheduler inside a job, so that all that an expression leads to happens there.

A task that returns calls is done when it has returned them, and each of these is a job that goes to
an executor of its own.  That is no good where getting to the executor is what takes long (a
container, a queue, another machine).  So one job goes there, which starts a scheduler and evaluates
the whole expression with it.

How it is recorded.  The scheduler there opens the repository itself and records an execution of its
own, which refers to the job that it belongs to.  To write its jobs into the execution here, two
processes would have to agree on numbers; to send them back for this one to write would lose them
where the job is killed.  What shows history puts the parts together.

How it is cached.  The job's key is that of the expression.  What its function returns tells nothing
of the tasks below, so their code comes back with the result, and counts among the tasks at and
below the job, as if their calls were its children.  From there on it is cached like any other.

What the scheduler there takes over from here (configuration, context, options) is no part of the
key, and is not recorded: it may hold what is nobody else's business.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ._config import CONFIG_FILE, Config
from ._db import Repository
from ._errors import ConfigError, ExecutorError, TaskError
from ._expr import Expression, SchedulerExpression, TaskExpression, format_expr, topological_order
from ._hash import key_of
from ._job import Notice, Reporter, current
from ._options import CacheCheckValid, check_option_names
from ._record import ORIGIN, title_of
from ._recorder import PartOf
from ._scheduler import Scheduler
from ._schema import JOB_NUMBER_BITS, job_number
from ._sqlite import MEMORY, SqliteFile
from ._task import (
    PartialTask,
    QuotedExpression,
    Task,
    TaskCode,
    get_task_registry,
    quote,
    scheduler_task,
    task,
)
from ._value import Value, dumps, iter_nested

if TYPE_CHECKING:
    from ._engine import Engine
    from ._job import Job
    from ._promise import Promise

    Sections = dict[str, dict[str, Any]]

T = TypeVar("T")

_MAX_SHOWN = 1000  # Characters of an expression that are recorded for an execution.
_KEPT_FAILURES = 1000  # The last failures, among which is the one that ends a run.
_MAX_ORIGIN = 100  # Jobs that are named by an error.

PARENT_TAG = "redun_lite.parent_job"
"""Tag of an execution that a subrun has started and that is no part of another: the job's id."""

EXECUTION_TAG = "redun_lite.execution"
"""Tag of the job that has started it: the execution's UUID."""


@scheduler_task(namespace="redun_lite", version="1")
def subrun(
    scheduler: Scheduler,
    parent_job: Job | None,
    sexpr: SchedulerExpression[Any],
    /,
    expr: T,
    executor: str,
    config: dict[str, dict[str, Any]] | None = None,
    config_dir: str | os.PathLike[str] | None = None,
    new_execution: bool = False,
    load_modules: list[str] | None = None,
    **task_options: Any,
) -> Promise[T]:
    """Evaluate an expression with a scheduler of its own, inside one job on an executor.

    All that the expression leads to happens where that job runs.  Context variables and exported
    options (but for `executor`) reach it.  With `check_valid="shallow"`, the default here, nothing
    is started while the tasks below and the result are what they were; with "full", the scheduler
    is started, and looks up its jobs one by one.

    Parameters
    ----------
    expr
        An expression, or a nested value with several.  All of it is evaluated there, the arguments
        of calls as well.
    executor
        Name of the executor that runs the job.
    config
        Configuration of the scheduler there, by section and option, in place of the one here.
        Relative paths start where those of the one here do.  It is recorded: a secret belongs in
        the environment, from where `${NAME}` takes it.
    config_dir
        Directory of a configuration to read there, in place of `config`.
    new_execution
        Whether an execution of its own is recorded, and not a part of the one here.
    load_modules
        Modules to import there first, besides those that define the tasks in the expression.
    task_options
        Task options of the job.

    Raises
    ------
    TaskError
        An argument is of no use.
    ExecutorError
        A module cannot be imported there.
    BaseException
        What the expression raises.

    Examples
    --------
    >>> from redun_lite import run, task
    >>> @task(namespace="docs", version="1")
    ... def double(x):
    ...     return 2 * x
    >>> @task(namespace="docs", version="1")
    ... def total(numbers):
    ...     return sum(numbers)
    >>> run(subrun(total([double(1), double(2)]), executor="default"))
    6
    """

    def start(given: tuple[Any, ...]) -> Promise[Any]:
        settings = _settings(scheduler, expr, *given)
        # Of the options, those of `subrun.options(…)` come first.
        options = {"check_valid": CacheCheckValid.SHALLOW, **sexpr._options, **task_options}
        options["executor"] = executor
        name = subrun_root_task.fullname
        arguments = (quote(expr), settings)
        call: TaskExpression[Any] = TaskExpression(name, arguments, {}, options, sexpr._exported)
        scheduler.engine_of(parent_job).repository.sync()  # What is done is to be found there.
        return scheduler.evaluate(call, parent_job)

    if not isinstance(executor, (str, Expression)):
        raise TaskError(f"subrun: executor is the name of one, not {executor!r}")
    check_option_names(task_options, "subrun")
    arguments = (config, config_dir, new_execution, load_modules)
    return scheduler.evaluate(arguments, parent_job).then(start)


def _settings(
    scheduler: Scheduler,
    expr: Any,
    config: Any,
    config_dir: Any,
    new_execution: Any,
    load_modules: Any,
) -> SubrunSettings:
    """Return the settings that the arguments of `subrun` ask for."""
    if config and config_dir:
        raise TaskError("subrun takes config or config_dir, not both")
    if not isinstance(config or {}, dict):
        raise TaskError(f"subrun: config is a dict of sections, not {config!r}")
    if not isinstance(config_dir or "", (str, os.PathLike)):
        raise TaskError(f"subrun: config_dir is the path of a directory, not {config_dir!r}")
    modules = () if load_modules is None else load_modules
    if not isinstance(modules, (list, tuple)) or not all(isinstance(m, str) for m in modules):
        raise TaskError(f"subrun: load_modules is a list of names, not {load_modules!r}")
    if config:
        Config(config)  # It is checked here, where it is written.
    settings = SubrunSettings(
        config=config or {},
        config_dir=str(config_dir or ""),
        load_modules=tuple(modules),
        new_execution=bool(new_execution),
    )
    settings.inherited = Inherited.of(scheduler, expr)
    return settings


# What goes along to the job


class Inherited(NamedTuple):
    """What the scheduler in a job takes over from the one that starts it."""

    config: Sections
    config_dir: str | None
    tasks: tuple[tuple[str, bytes, str, str], ...]
    """Of each task in the expression: its name, key, module and file."""
    project: str | None = None
    """A folder that has the modules to import, where these are another project's."""

    @classmethod
    def of(cls, scheduler: Scheduler, expr: Any) -> Inherited:
        """Return what an expression's evaluation takes over from a scheduler."""
        here = scheduler.config
        tasks = tuple(
            (found.fullname, found.key, found.load_module, found.defined_in)
            for found in _tasks_in(expr)
        )
        config_dir = None if here.config_dir is None else str(here.config_dir)
        return cls(_config_of(scheduler), config_dir, tasks)


class ParentJob(NamedTuple):
    """What the scheduler in a job has to know of that job."""

    run_arguments: dict[str, Any]
    """Arguments for `Scheduler.run`."""
    has_provenance: bool
    """Whether anything is to be recorded."""
    uuid: str
    """UUID of the job's execution."""
    whole_uuid: str
    """UUID of the execution that this is a part of; the same, if it is none."""
    number: int
    """The job's number in its execution."""
    job_id: str
    """How people call the job."""

    @classmethod
    def of(cls, job: Job) -> ParentJob:
        """Return it of a job that is about to start."""
        engine: Any = job.run
        assert job.options is not None
        arguments = engine.arguments_below(job)
        for name in ("options", "exported"):
            # The jobs below are where this one is sent, not where those above it are.
            options = arguments[name] or {}
            arguments[name] = {key: options[key] for key in options if key != "executor"}
        return cls(
            arguments,
            job.options.prov,
            engine.execution_uuid,
            engine.recorder.whole_uuid,
            job_number(job.number),
            engine.recorder.job_id(job),
        )


def _config_of(scheduler: Scheduler) -> Sections:
    """Return the configuration by which another scheduler has the same repository."""
    config = scheduler.config
    sections = config.get_config_dict()
    source = getattr(scheduler.backend, "source", None)
    if isinstance(source, SqliteFile) and config.db_scheme() == "sqlite":
        path = source.address
        if path != config.db_path():
            uri = "sqlite://" if path == MEMORY else f"sqlite:///{os.path.abspath(path)}"
            sections["backend"] = {**sections.get("backend", {}), "db_uri": uri}
    return sections


def _tasks_in(value: Any) -> Iterable[Task[Any, Any]]:
    """Return the tasks that a nested value refers to, by calls and as values."""
    registry = get_task_registry()
    found: dict[str, Task[Any, Any]] = {}
    stack = [value]
    while stack:
        part = stack.pop()
        fields = [part]
        for expr in topological_order(part):
            fields += expr._stored()
            called = registry.get(expr.task_name) if isinstance(expr, TaskExpression) else None
            if called is not None:
                found[called.fullname] = called
        for leaf in iter_nested(fields):
            if isinstance(leaf, Task):
                found[leaf.fullname] = leaf
            elif isinstance(leaf, PartialTask):
                stack += [leaf.task, leaf.args, leaf.kwargs]
            elif isinstance(leaf, QuotedExpression):
                stack.append(leaf.eval())
    return found.values()


class SubrunSettings(Value):
    """How the scheduler in a job is run.

    What it is made of is recorded and part of the job's key: it decides what code is run and where
    that is recorded.  What goes along besides is neither.

    Parameters
    ----------
    config
        A configuration that replaces the one here, as it is written.
    config_dir
        Directory of a configuration that replaces the one here.
    load_modules
        Modules to import.
    new_execution
        Whether it records an execution that is part of no other.
    task_name
        Full name of a federated task.

    Attributes
    ----------
    inherited
        What it takes over from the scheduler here.
    parent_job
        What it has to know of the job, once that is about to start.
    """

    type_name = "redun_lite.SubrunSettings"

    def __init__(
        self,
        config: Sections | None = None,
        config_dir: str = "",
        load_modules: tuple[str, ...] = (),
        new_execution: bool = False,
        task_name: str = "",
    ) -> None:
        self.config = config or {}
        self.config_dir = config_dir
        self.load_modules = load_modules
        self.new_execution = new_execution
        self.task_name = task_name
        self.inherited: Inherited | None = None
        self.parent_job: ParentJob | None = None

    def _recorded(self) -> dict[str, Any]:
        """Return what it was made of, without what was left out."""
        made_of = {
            "config": self.config,
            "config_dir": self.config_dir,
            "load_modules": self.load_modules,
            "new_execution": self.new_execution,
            "task_name": self.task_name,
        }
        return {name: value for name, value in made_of.items() if value}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**vars(SubrunSettings()), **state})

    def get_hash(self, data: bytes | None = None) -> str:
        return key_of((self.type_name, self._recorded())).hex()

    def serialize(self) -> bytes:
        return dumps(SubrunSettings(**self._recorded()))

    def preprocess(self, preprocess_args: dict[str, Any]) -> SubrunSettings:
        settings = SubrunSettings(**self._recorded())
        settings.inherited = self.inherited
        settings.parent_job = ParentJob.of(preprocess_args["job"])
        return settings

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._recorded().items())
        return f"SubrunSettings({shown})"

    def make_config(self) -> Config:
        """Return the configuration of the scheduler."""
        if not self.config_dir:
            assert self.inherited is not None
            return Config(self.config or self.inherited.config, self.inherited.config_dir)
        file = Path(self.config_dir, CONFIG_FILE)
        if not file.is_file():
            raise ConfigError(f"config_dir {self.config_dir}: there is no {file.absolute()}")
        return Config.from_file(file)


# In the job


@task(namespace="redun_lite", version="1")
def subrun_root_task(expr: QuotedExpression[Any], settings: SubrunSettings) -> Any:
    return evaluate_here(expr.eval, settings)


subrun_root_task.evaluates_within = True


def evaluate_here(make_expr: Callable[[], Any], settings: SubrunSettings) -> Any:
    """Evaluate an expression with a scheduler of its own.

    Parameters
    ----------
    make_expr
        Returns the expression, once the modules that it needs are imported.
    """
    inherited, parent = settings.inherited, settings.parent_job
    assert inherited is not None and parent is not None
    reporter = _SubrunReporter(_wanted())
    config = settings.make_config()
    _import_tasks(inherited.tasks)
    for module in settings.load_modules:
        _import(module, inherited.project)
    value = make_expr()
    backend = None if parent.has_provenance else Repository()
    try:
        with Scheduler(config, backend, reporter=reporter) as scheduler:
            part_of = None if settings.new_execution else _part_of(scheduler, parent)
            result = scheduler.run(
                value,
                exec_argv=["subrun", format_expr(value)[:_MAX_SHOWN]],
                tags=[(PARENT_TAG, parent.job_id)] if part_of is None else [],
                part_of=part_of,
                **parent.run_arguments,
            )
    except KeyboardInterrupt:
        if reporter.is_stopped:
            return _Unwanted()
        raise
    except BaseException as error:
        reporter.note_origin(error)
        raise
    finally:
        if backend is not None:
            backend.close()
    return _Result(result, reporter.tasks(), reporter.uuid if part_of is None else None)


def _part_of(scheduler: Scheduler, parent: ParentJob) -> PartOf | None:
    """Return what the execution is a part of, if that is recorded in the same repository."""
    execution = scheduler.backend.find_execution(parent.uuid)
    whole = scheduler.backend.find_execution(parent.whole_uuid)
    if execution is None or whole is None:
        return None
    job = (execution << JOB_NUMBER_BITS) + parent.number
    return PartOf(whole, parent.whole_uuid, job, parent.job_id)


def _import_tasks(tasks: Iterable[tuple[str, bytes, str, str]]) -> None:
    """Import the modules that define some tasks, unless these are here."""
    from ._workers import load_task

    for fullname, key, module, file in tasks:
        try:
            load_task(fullname, key, module, file)
        except Exception as error:
            raise ExecutorError(
                f"subrun: a new process cannot load task {fullname}: {error}; define it in a "
                "module, or choose an executor with mode = thread"
            ) from None


def _import(name: str, project: str | None) -> None:
    """Import a module, of another project if that is given."""
    import sys
    from importlib import import_module

    try:
        if project is not None:
            _check_is_free(name, project)
            if project not in sys.path:
                sys.path.insert(0, project)
        import_module(name)
    except ExecutorError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        where = "" if project is None else f", neither in {project} nor on sys.path"
        raise ExecutorError(f"there is no module {error.name} to load{where}") from None


def _check_is_free(name: str, project: str) -> None:
    """Raise an error if a module of that name has been imported from somewhere else."""
    import sys
    from importlib.machinery import PathFinder

    top = name.partition(".")[0]
    known = getattr(sys.modules.get(top), "__file__", None)
    there = PathFinder.find_spec(top, [project])
    if known is not None and there is not None and there.origin != known:
        raise ExecutorError(
            f"cannot import {top} of {project}: in this process, {top} is {known}; "
            "choose an executor of its own, with mode = process and start_method = spawn"
        )


def _wanted() -> Callable[[], bool]:
    """Return what says whether somebody still waits for this job."""
    from ._workers import is_wanted

    job = current.job
    return is_wanted if job is None else lambda: job.run.wants(job)


class _SubrunReporter(Reporter):
    """Notes which tasks take part and what fails; stops a run that nobody waits for any more."""

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        self._is_wanted = is_wanted
        self._codes: dict[bytes, TaskCode] = {}
        self._below: set[bytes] = set()
        self._failures: deque[tuple[BaseException, Job]] = deque(maxlen=_KEPT_FAILURES)
        self._engine: Any = None
        self.is_stopped = False
        self.uuid = ""

    def started(self, engine: Any, execution_id: str) -> None:
        self._engine = engine
        self.uuid = execution_id

    def tick(self, engine: Engine) -> None:
        if not self.is_stopped and not self._is_wanted():
            self.is_stopped = True
            engine.interrupt()

    def job_ended(self, job: Job, error: BaseException | None = None) -> None:
        if error is not None and job.evaluation.failure is not error and job.leader is None:
            self._failures.append((error, job))  # Else it came from another job.
        if job.task is not None and job.task.key not in self._codes:
            self._codes[job.task.key] = job.task.code
        if job.used is not None:
            self._codes.update(job.used)
        call = job.evaluation.call
        if call is not None and (job.parent is None or not job.parent.number):
            self._below |= call.task_set.tasks

    def note_origin(self, error: BaseException) -> None:
        """Note on the error that ended the run which jobs it went through."""
        failed = next((job for known, job in self._failures if known is error), None)
        origin: list[tuple[str, str]] = list(vars(error).get(ORIGIN, ()))
        while failed is not None and len(origin) < _MAX_ORIGIN:
            origin.append((self._engine.recorder.job_id(failed), _call_text(failed)))
            failed = failed.parent
        if origin:
            vars(error)[ORIGIN] = origin

    def tasks(self) -> list[TaskCode]:
        """Return all tasks that took part."""
        self._codes.update(self._engine.used)
        # What was replayed as a whole had no jobs below, but all of its tasks are as they were.
        known = {**{found.key: found.code for found in get_task_registry()}, **self._codes}
        return [known[key] for key in sorted(self._below | self._engine.used.keys())]


def _call_text(job: Job) -> str:
    expr = job.evaluation.expr
    title = title_of(expr.task_name, expr.args)
    return title if title != expr.task_name else format_expr(expr)[:_MAX_SHOWN]


class _Result(Notice):
    """The expression has come to a value."""

    __slots__ = ("_execution", "_tasks", "_value")

    def __init__(self, value: Any, tasks: list[TaskCode], execution: str | None) -> None:
        self._value = value
        self._tasks = tasks
        self._execution = execution

    def deliver(self, engine: Engine, job: Job) -> None:
        for code in self._tasks:
            engine.note_use(job, code)
        if self._execution is not None:
            engine.recorder.record_tags(job, None, (), [(EXECUTION_TAG, self._execution)], ())
        engine.complete(job, self._value, None)


class _Unwanted(Notice):
    """The scheduler has stopped, since nobody waits for the job any more."""

    __slots__ = ()

    def deliver(self, engine: Engine, job: Job) -> None:
        if engine.is_interrupted:
            engine.dispatcher.cancelled(job)
        else:
            engine.complete(job, None, KeyboardInterrupt())
