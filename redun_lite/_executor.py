"""Executors: where the functions of jobs run.

An executor takes a job (`submit`) and, at any later time and from any thread, hands back the
function's result (`scheduler.done_job`) or its error (`scheduler.reject_job`).  It knows nothing of
caching, expressions or recording.  `concurrent.futures` would do the running, but a future (two
locks, a condition and a wake-up each) costs a small job dearly, and its process pool is lost as a
whole when one worker dies; so the workers here are our own: threads below, processes in `_workers`.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Callable, Protocol, TypeVar

from ._backlog import Backlog
from ._errors import ConfigError, ExecutorError, UsageError, suggest, without_our_frame
from ._job import current
from ._plugins import EXECUTORS, class_at, named_class
from ._timers import now

if TYPE_CHECKING:
    from ._async import EventLoopThread
    from ._config import ExecutorConfig
    from ._job import Job
    from ._shell import ScriptRunner

E = TypeVar("E", bound="type[Executor]")

DEFAULT_MAX_WORKERS = 20


class SchedulerLike(Protocol):
    """What an executor needs of the scheduler."""

    def done_job(self, job: Job, result: Any) -> None:
        """Hand back the result of a job's function."""

    def reject_job(self, job: Job, error: BaseException) -> None:
        """Hand back the error of a job's function."""

    def get_executor(self, name: str) -> Executor:
        """Return another executor by name."""
        ...

    def event_loop(self) -> EventLoopThread:
        """Return the thread on which async tasks run."""
        ...


class Executor:
    """The base of all executors.

    Parameters
    ----------
    name
        What tasks call it: `@task(executor=name)`.
    scheduler
        Where results go; set when the executor is added to a scheduler.
    config
        Its section in the configuration, if it has one.
    """

    def __init__(
        self,
        name: str,
        scheduler: SchedulerLike | None = None,
        config: ExecutorConfig | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self._scheduler = scheduler

    @property
    def scheduler(self) -> SchedulerLike:
        """The scheduler that the executor belongs to."""
        if self._scheduler is None:
            raise ExecutorError(f"executor {self.name!r} was not added to a scheduler")
        return self._scheduler

    def set_scheduler(self, scheduler: SchedulerLike) -> None:
        """Set where results go."""
        self._scheduler = scheduler

    def start(self) -> None:
        """Get ready; called before the first job of a run, once for each name it is known by."""

    def stop(self) -> None:
        """Let go of workers; called when the scheduler is closed."""

    def submit(self, job: Job) -> None:
        """Start the function of a job; must not block."""
        raise NotImplementedError(f"{type(self).__name__}.submit")

    tells_start: bool = False
    """Whether it calls `job.run.began(job)` when a function begins, from which on `timeout` counts;
    else that counts from `submit`."""

    def submit_script(self, job: Job) -> None:
        """Start the script of a job; must not block."""
        raise ExecutorError(f"executor {self.name!r} does not run scripts")

    def submit_async(self, job: Job) -> None:
        """Start the coroutine of a job; must not block."""
        raise ExecutorError(
            f"task {job.task_name} is async, which executor {self.name!r} cannot run: async tasks "
            "run on local executors with mode = thread"
        )

    def abandon(self, job: Job) -> str:
        """Stop a job that was given up, as far as possible; must not block.

        What the job returns later is dropped.

        Returns
        -------
        str
            What becomes of it, for the error's message.
        """
        return "what it returns later is dropped"

    def interrupt(self, job: Job) -> None:
        """Let a job that runs others come to an end soon; must not block.

        Called for jobs of tasks that evaluate others while their function runs, when the engine
        starts nothing more.  Where the function runs in a thread of this process, it can ask
        `job.run.wants(job)` itself.
        """

    def withdraw(self) -> list[Job]:
        """Give back the jobs that have not begun, which then never come back as done."""
        return []

    def waiting(self) -> int:
        """Return how many of its jobs wait for a worker, as far as it knows; must not block.

        To be shown beside those that run.  A name for another executor has none of its own.
        """
        return 0


class LocalExecutor(Executor):
    """Runs jobs on this machine, in threads or in processes.

    A script is processes of its own in either mode.  A task that runs a scheduler (`subrun`) has
    processes that were started afresh, since one that is forked cannot use the repository: SQLite
    would take over what locks this process happens to hold, and never let go of them.

    Parameters
    ----------
    mode
        "thread" or "process".
    max_workers
        Most workers at a time; they are started as they are needed.  In the mode "process" as many
        scripts may run besides, and as many schedulers.
    start_method
        How processes start: "fork", "spawn" or "forkserver".
    """

    def __init__(
        self,
        name: str,
        scheduler: SchedulerLike | None = None,
        config: ExecutorConfig | None = None,
        mode: str = "thread",
        max_workers: int = DEFAULT_MAX_WORKERS,
        start_method: str = "fork",
    ) -> None:
        super().__init__(name, scheduler, config)
        if config is not None:
            options = config.parse(
                {
                    "mode": ("thread", "process"),
                    "max_workers": int,
                    "start_method": ("fork", "spawn", "forkserver"),
                }
            )
            mode = options.get("mode", mode)
            max_workers = options.get("max_workers", max_workers)
            start_method = options.get("start_method", start_method)
            if max_workers < 1:
                raise config.error(f"expected at least 1, got {max_workers}", "max_workers")
        self.mode = mode
        self.max_workers = max_workers
        self.start_method = start_method
        self._pool: Pool | None = None
        self._script_pool: ThreadPool | None = None
        self._fresh_pool: Pool | None = None  # Of processes that are not forked.

    tells_start = True

    def submit_async(self, job: Job) -> None:
        if self.mode != "thread":
            super().submit_async(job)
        self.scheduler.event_loop().submit(job)

    def abandon(self, job: Job) -> str:
        assert job.task is not None
        if job.task.is_async:
            self.scheduler.event_loop().cancel(job)
            return "its coroutine was cancelled"
        if job.task.script and self._script_pool is not None:
            return self._script_pool.abandon(job)
        pool = self._pool_of(job)
        return pool.abandon(job) if pool is not None else super().abandon(job)

    def interrupt(self, job: Job) -> None:
        pool = self._pool_of(job)
        if pool is not None:
            pool.interrupt(job)

    def submit(self, job: Job) -> None:
        pool = self._pool_of(job)
        if pool is None:
            if self._needs_fresh(job):
                from ._workers import ProcessPool

                pool = self._fresh_pool = ProcessPool(self.name, self.max_workers, "spawn")
            else:
                pool = self._pool = self._make_pool()
        pool.submit(job)

    def _pool_of(self, job: Job) -> Pool | None:
        return self._fresh_pool if self._needs_fresh(job) else self._pool

    def _needs_fresh(self, job: Job) -> bool:
        """Say whether a job needs a process that is not forked."""
        assert job.task is not None
        forks = self.mode == "process" and self.start_method == "fork"
        return forks and job.task.evaluates_within

    def submit_script(self, job: Job) -> None:
        pool = self._script_pool
        if pool is None:
            if isinstance(self._pool, ThreadPool):
                pool = self._pool
            else:
                pool = ThreadPool(self.name, self.max_workers)
                if self.mode == "thread":
                    self._pool = pool
            pool.take_scripts()
            self._script_pool = pool
        pool.submit(job)

    def withdraw(self) -> list[Job]:
        return [job for pool in self._pools() for job in pool.withdraw()]

    def waiting(self) -> int:
        return sum(pool.waiting() for pool in self._pools())

    def _pools(self) -> set[Pool]:
        return {
            pool for pool in (self._pool, self._script_pool, self._fresh_pool) if pool is not None
        }

    def _make_pool(self) -> Pool:
        if self.mode == "thread":
            return ThreadPool(self.name, self.max_workers)
        from ._workers import ProcessPool

        return ProcessPool(self.name, self.max_workers, self.start_method)

    def stop(self) -> None:
        for pool in self._pools():
            pool.stop()
        self._pool = self._script_pool = self._fresh_pool = None


class Pool(Protocol):
    """Workers that run jobs."""

    def submit(self, job: Job) -> None:
        """Queue a job."""

    def withdraw(self) -> list[Job]:
        """Give back the jobs that have not begun."""
        ...

    def waiting(self) -> int:
        """Return how many jobs have not begun."""
        ...

    def abandon(self, job: Job) -> str:
        """Stop a job that runs, if possible; say what becomes of it."""
        ...

    def interrupt(self, job: Job) -> None:
        """Let a job that runs others come to an end soon."""

    def stop(self) -> None:
        """End idle workers at once, and the others after what they are running."""


class ThreadPool:
    """Daemon threads that take jobs from one backlog.

    A thread is added while more jobs wait than threads do, up to the limit.  The queue holds a
    ticket for each job in the backlog, since it can be waited for and the backlog cannot.

    Both whoever submits a job and a thread that has just taken one look whether there are threads
    enough: a job may come while a thread still counts as one that waits and has a ticket already.
    """

    def __init__(self, name: str, max_workers: int) -> None:
        self._name = name
        self._max_workers = max_workers
        self._backlog = Backlog()
        self._queue: queue.SimpleQueue[bool] = queue.SimpleQueue()  # False ends a thread.
        self._threads: list[threading.Thread] = []
        self._timed: dict[Job, threading.Thread] = {}  # Jobs that run and can be given up.
        # For which threads there are, and whether a job first ends or is given up.
        self._lock = threading.Lock()
        self._scripts: ScriptRunner | None = None
        self._idle: set[int] = set()  # Each thread adds and discards itself, which takes no lock.

    def submit(self, job: Job) -> None:
        self._backlog.put(job)
        self._queue.put(True)
        self._grow()

    def _grow(self) -> None:
        if len(self._threads) >= self._max_workers or self._queue.qsize() <= len(self._idle):
            return
        with self._lock:
            if len(self._threads) < self._max_workers:
                thread = threading.Thread(
                    target=self._work, name=f"redun_lite-{self._name}", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def withdraw(self) -> list[Job]:
        try:
            while True:
                self._queue.get_nowait()
        except queue.Empty:
            return self._backlog.clear()

    def waiting(self) -> int:
        return len(self._backlog)

    def take_scripts(self) -> None:
        """Get ready for jobs that are scripts."""
        from ._shell import ScriptRunner

        self._scripts = ScriptRunner()

    def abandon(self, job: Job) -> str:
        assert job.task is not None
        if job.task.script and self._scripts is not None:
            self._scripts.end(job)
            return "its processes were killed"
        with self._lock:
            thread = self._timed.pop(job, None)
            if thread in self._threads:
                self._threads.remove(thread)  # Another one may take its place; it ends by itself.
        self._grow()
        return "its thread cannot be stopped and is left to itself"

    def interrupt(self, job: Job) -> None:
        pass  # Its function sees for itself; see `_job.current`.

    def stop(self) -> None:
        with self._lock:
            self._max_workers = 0  # No more threads.
            threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(False)
        if self._scripts is not None:
            self._scripts.stop()

    def _work(self) -> None:
        get = self._queue.get
        idle, me = self._idle, threading.get_ident()
        while True:
            idle.add(me)
            ticket = get()
            idle.discard(me)
            if not ticket:
                return
            self._grow()
            job = self._backlog.take()
            if job is None:
                continue  # It was withdrawn.
            job.started = now()
            task = job.task
            assert task is not None and job.options is not None
            function = self._script_function(job) if task.script else task.func
            is_timed = job.options.timeout is not None
            if is_timed:
                self._timed[job] = threading.current_thread()
                job.run.began(job)
            if task.evaluates_within:
                current.job = job
            try:
                result = function(*job.args, **job.kwargs or {})
            except BaseException as error:
                job.run.complete(job, None, without_our_frame(error))
            else:
                job.run.complete(job, result, None)
                del result
            if is_timed and self._has_lost(job):
                return
            if task.evaluates_within:
                current.job = None
            del job, task, function

    def _has_lost(self, job: Job) -> bool:
        """Say whether a job has been given up, and with it the place of its thread."""
        with self._lock:
            return self._timed.pop(job, None) is None

    def _script_function(self, job: Job) -> Callable[..., Any]:
        """Return what runs the script of a job, which from here on can be ended."""
        from ._script import run_script

        assert self._scripts is not None
        script = self._scripts.open(job)
        return lambda *args, **kwargs: run_script(job, script, args, kwargs)


class AliasExecutor(Executor):
    """Another name for an executor, looked up when the first job comes.

    Parameters
    ----------
    target
        Name of the executor that gets the jobs.
    """

    def __init__(
        self,
        name: str,
        scheduler: SchedulerLike | None = None,
        config: ExecutorConfig | None = None,
        target: str = "",
    ) -> None:
        super().__init__(name, scheduler, config)
        if config is not None:
            target = config.parse({"target": str}).get("target", target)
        if not target:
            message = "an alias needs the name of another executor: target = NAME"
            raise config.error(message) if config else ConfigError(f"executor {name}: {message}")
        self.target = target

    def start(self) -> None:
        self._resolve().start()

    def submit(self, job: Job) -> None:
        self._resolve().submit(job)

    def submit_script(self, job: Job) -> None:
        self._resolve().submit_script(job)

    def submit_async(self, job: Job) -> None:
        self._resolve().submit_async(job)

    def abandon(self, job: Job) -> str:
        return self._resolve().abandon(job)

    def interrupt(self, job: Job) -> None:
        self._resolve().interrupt(job)

    @property
    def tells_start(self) -> bool:  # type: ignore[override]
        return self._resolve().tells_start

    def withdraw(self) -> list[Job]:
        return self._resolve().withdraw()

    def _resolve(self) -> Executor:
        seen = [self.name]
        executor: Executor = self
        while isinstance(executor, AliasExecutor):
            executor = self.scheduler.get_executor(executor.target)
            if executor.name in seen:
                circle = " → ".join([*seen, executor.name])
                raise ConfigError(f"the alias executors {circle} lead back to themselves")
            seen.append(executor.name)
        return executor


_registered: dict[str, type[Executor] | str] = {}  # By name, classes and paths to them.


def register_executor(
    executor_name: str, executor_class_name: str | None = None
) -> Callable[[E], E]:
    """Return a decorator that makes a class known as `type = executor_name` in configurations.

    Parameters
    ----------
    executor_name
        What `type` says.
    executor_class_name
        `my_module.MyExecutor`: a class that is to be known so without being decorated.  Its module
        is imported when an executor is of that type.

    Examples
    --------
    >>> @register_executor("inline")
    ... class InlineExecutor(Executor):
    ...     def submit(self, job):
    ...         self.scheduler.done_job(job, job.task.func(*job.args, **job.kwargs))
    >>> register_executor("lab", "lab.executors.LabExecutor")
    <function ...>
    """
    if executor_class_name is not None:
        _registered[executor_name] = executor_class_name

    def register(cls: E) -> E:
        _registered[executor_name] = cls
        return cls

    return register


def make_executor(config: ExecutorConfig, scheduler: SchedulerLike) -> Executor:
    """Return the executor that a section of the configuration describes.

    Raises
    ------
    ConfigError
        The section names no known class, or an option is wrong.
    """
    cls: Any = _registered.get(config.type or "") or executor_class(config)
    if isinstance(cls, str):
        try:
            cls = class_at(cls)
        except UsageError as error:
            raise config.error(str(error), "type") from error.__cause__
    made = cls(config.name, scheduler, config)
    if not isinstance(made, Executor):
        raise config.error(f"{cls.__name__} is no subclass of redun_lite.Executor")
    return made


def executor_class(config: ExecutorConfig) -> type[Any]:
    """Return the class that `class` or `type` in a section of the configuration names.

    Raises
    ------
    ConfigError
        The type is not known, or the class cannot be found.
    """
    try:
        if config.class_path:
            return class_at(config.class_path)
        return named_class(EXECUTORS, "executor type", config.type or "")
    except UsageError as error:
        option = "class" if config.class_path else "type"
        raise config.error(str(error), option) from error.__cause__


def unknown_executor(name: str, known: list[str]) -> ExecutorError:
    """Return the error for a task that wants an executor which does not exist."""
    return ExecutorError(
        f"unknown executor {name!r}: {suggest(name, known)}; executors are defined in "
        "[executors.NAME] of redun_lite.ini or by scheduler.add_executor()"
    )
