"""For tests of workflows: pytest fixtures, an executor for debugging, and what ran in a run.

In a `conftest.py`:

    pytest_plugins = ["redun_lite.testing"]

Tests then have the fixtures `scheduler` (nothing is kept after the test) and `tmp_repository`
(a database in a temporary folder, for what happens from one run to the next).  Both run jobs in the
test's own thread, one after the other, so that a debugger stops in the task, and a failing test is
the same each time.

This module does not import pytest, so it can be had without: the fixtures are only defined where
pytest is what imports it.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, overload

from ._config import Config
from ._errors import without_our_frame
from ._executor import Executor, LocalExecutor
from ._expr import Expression
from ._history import History, open_history
from ._job import Job, current
from ._scheduler import Scheduler
from ._status import CACHED
from ._task import PartialTask, Task, get_current_namespace, get_task_registry, namespace

__all__ = ["InlineExecutor", "TemporaryRepository", "assert_cached", "assert_ran", "jobs_of"]

T = TypeVar("T")


class InlineExecutor(LocalExecutor):
    """Runs each job at once, in the thread of the scheduler.

    `breakpoint()` in a task stops there.  Async tasks run on their event loop, and scripts as
    processes, as always.  A `timeout` is not kept, since nobody is there to watch.

    Examples
    --------
    >>> from redun_lite import Scheduler, task
    >>> @task(namespace="docs", version="1")
    ... def add(a, b):
    ...     return a + b
    >>> with Scheduler(executor=InlineExecutor("default")) as scheduler:
    ...     scheduler.run(add(1, 2))
    3
    """

    def __init__(self, name: str = "default") -> None:
        super().__init__(name)

    def submit(self, job: Job) -> None:
        task = job.task
        assert task is not None
        above = current.job  # A scheduler in that job, in this thread, submits this one.
        if task.evaluates_within:
            current.job = job
        try:
            result = task.func(*job.args, **job.kwargs or {})
        except Exception as error:
            self.scheduler.reject_job(job, without_our_frame(error))
        else:
            self.scheduler.done_job(job, result)
        finally:
            current.job = above


class TemporaryRepository:
    """A repository in a folder, and a scheduler of its own for each run.

    Nothing but the database is carried from one run to the next, as if each were a process.

    Parameters
    ----------
    folder
        Where the database is.
    config
        Further sections of the configuration.

    Attributes
    ----------
    config
        The configuration.
    path
        Path of the database.

    Examples
    --------
    >>> import tempfile
    >>> from redun_lite import task
    >>> @task(namespace="docs", version="1")
    ... def double(x):
    ...     return 2 * x
    >>> repository = TemporaryRepository(tempfile.mkdtemp())
    >>> repository.run(double(21)), repository.run(double(21))
    (42, 42)
    >>> assert_cached(repository, double)
    """

    def __init__(
        self, folder: str | os.PathLike[str], config: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.path = Path(folder, "redun_lite.db").absolute()
        backend = {"db_uri": f"sqlite:///{self.path}"}
        self.config = Config({"backend": backend, **(config or {})}, config_dir=folder)

    def scheduler(self, executor: Executor | None = None) -> Scheduler:
        """Return a new scheduler on the repository; use it with `with`, or close it."""
        return Scheduler(self.config, executor=executor or InlineExecutor())

    @overload
    def run(self, expr: Expression[T], **options: Any) -> T: ...

    @overload
    def run(self, expr: T, **options: Any) -> T: ...

    def run(self, expr: Any, **options: Any) -> Any:
        """Evaluate an expression with a new scheduler; see `Scheduler.run`."""
        with self.scheduler() as scheduler:
            return scheduler.run(expr, **options)

    def job_counts(self) -> dict[tuple[str, str], int]:
        """Return how many jobs the last run had, by full name of the task and status."""
        history = open_history(str(self.path))
        if history is None:
            return {}
        with history:
            return history.job_counts()


def jobs_of(where: Scheduler | TemporaryRepository) -> dict[str, dict[str, int]]:
    """Return the jobs of the last run: how many of each task ended with which status.

    Parameters
    ----------
    where
        The scheduler or the repository that ran it.
    """
    found: dict[str, dict[str, int]] = {}
    source = History.of(where.backend) if isinstance(where, Scheduler) else where
    for (fullname, status), count in source.job_counts().items():
        found.setdefault(fullname, {})[status] = count
    return found


def assert_ran(
    where: Scheduler | TemporaryRepository,
    *tasks: Task[Any, Any] | PartialTask[Any] | str,
    times: int | None = None,
) -> None:
    """Fail unless the functions of tasks ran in the last run.

    Parameters
    ----------
    where
        The scheduler or the repository that ran it.
    tasks
        Tasks, or their full names.
    times
        How often each has to have run; by default at least once.

    Raises
    ------
    AssertionError
        One did not; the message says what did.
    """
    ran, cached = _tally(where)
    for task in tasks:
        name = _name_of(task)
        count = ran[name]
        if count == 0 if times is None else count != times:
            wanted = "it to run" if times is None else _times(times)
            raise AssertionError(
                f"{name} ran {_times(count)} in the last run, expected {wanted}; "
                f"{_summary(ran, cached)}"
            )


def assert_cached(
    where: Scheduler | TemporaryRepository, *tasks: Task[Any, Any] | PartialTask[Any] | str
) -> None:
    """Fail unless all jobs of some tasks came from the cache in the last run.

    Parameters
    ----------
    where
        The scheduler or the repository that ran it.
    tasks
        Tasks, or their full names; without any, all jobs of the run are meant.

    Raises
    ------
    AssertionError
        One of them ran, or had no job; the message says what ran.
    """
    ran, cached = _tally(where)
    names = [_name_of(task) for task in tasks]
    for name in names or list(ran):
        if ran[name]:
            raise AssertionError(
                f"{name} ran {_times(ran[name])} in the last run, expected it to be cached; "
                f"{_summary(ran, cached)}"
            )
    for name in names:
        if not cached[name]:
            raise AssertionError(
                f"{name} had no job in the last run, expected it to be cached; "
                f"{_summary(ran, cached)}"
            )


def _tally(where: Scheduler | TemporaryRepository) -> tuple[Counter[str], Counter[str]]:
    """Return how many jobs of each task ran, and how many were cached."""
    ran: Counter[str] = Counter()
    cached: Counter[str] = Counter()
    for name, statuses in jobs_of(where).items():
        for status, count in statuses.items():
            (cached if status == CACHED else ran)[name] += count
    return ran, cached


def _times(count: int) -> str:
    return f"{count} time" if count == 1 else f"{count} times"


def _name_of(task: Any) -> str:
    if isinstance(task, str):
        return task
    if isinstance(task, (Task, PartialTask)):
        return task.fullname
    raise TypeError(f"expected a task or its full name, not {task!r}")


def _summary(ran: Counter[str], cached: Counter[str]) -> str:
    def listed(counts: Counter[str]) -> str:
        return ", ".join(f"{name} ×{count}" for name, count in sorted(counts.items())) or "nothing"

    return f"ran: {listed(ran)}; cached: {listed(cached)}"


# Fixtures


def _in_memory() -> Iterator[Scheduler]:
    """Give a test a scheduler that keeps nothing, and forget the tasks that the test defines."""
    with _fresh_tasks(), Scheduler(executor=InlineExecutor()) as scheduler:
        yield scheduler


def _in_folder(tmp_path: Path) -> Iterator[TemporaryRepository]:
    """Give a test a repository in a folder, and forget the tasks that the test defines."""
    with _fresh_tasks():
        yield TemporaryRepository(tmp_path)


class _fresh_tasks:
    """Forgets, at its end, the tasks and the namespace that were set while it lasted."""

    def __enter__(self) -> None:
        self._tasks = get_task_registry().snapshot()
        self._namespace = get_current_namespace()

    def __exit__(self, *_: object) -> None:
        get_task_registry().restore(self._tasks)
        namespace(self._namespace)


if "pytest" in sys.modules:
    _fixture = sys.modules["pytest"].fixture
    scheduler = _fixture(name="scheduler")(_in_memory)
    tmp_repository = _fixture(name="tmp_repository")(_in_folder)
