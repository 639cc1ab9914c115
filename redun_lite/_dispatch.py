"""Getting functions run: resources, executors, time limits, attempts.

A job comes here once it is plain that its function has to run, and is handed back as returned or
failed.  In between it waits for units of resources and for a worker, may take too long, and may be
tried again.  Executors speak from threads of their own, and only ever into the inbox.

An attempt is a job object of its own (the evaluation, the number and the arguments stay the same),
so whatever an executor still says of a job that was given up is no news of its successor.
"""

from __future__ import annotations

import queue
import random
import time
from typing import Any, Callable, Protocol

from ._errors import HashError, RedunLiteError, TaskError, TaskTimeout
from ._executor import Executor
from ._expr import dumps_expr, loads_expr
from ._job import Job, Notice, Reporter, Run, Stage
from ._limits import Limits
from ._options import TaskOptions
from ._record import title_of
from ._recorder import Recorder
from ._status import RUNNING
from ._timers import Timers, now

_RUN, _PAUSED = Stage.RUN, Stage.PAUSED

MAX_RETRY_DELAY = 300.0
"""Most seconds between two attempts at a job."""

_JITTER = 0.25  # How far, as a part of it, the delay before a retry may be off in both directions.


class Dispatching(Run, Protocol):
    """The engine, as the dispatcher sees it."""

    def prepare(self, job: Job) -> None:
        """Set what the function of a job is called with; it is about to be."""

    def returned(self, job: Job, result: Any) -> None:
        """Take what the function of a job has returned."""

    def raised(self, job: Job, error: BaseException) -> None:
        """Take the error of a job's function, or of what should have run it."""

    def fail(self, job: Job, error: BaseException) -> None:
        """Fail a job before its function has run."""


class Dispatcher:
    """Gets the functions of an execution's jobs run.

    All methods but `complete`, `began` and `wake` belong to the engine's thread.

    Parameters
    ----------
    engine
        What the jobs come from, and are handed back to.
    executor_of
        Gives an executor by name.
    limits
        Units of each resource.
    recorder
        Records attempts.
    reporter
        Is shown what starts and what is tried again.

    Attributes
    ----------
    inbox
        What executors have said: a job, its result or a notice, its error.
    open
        Jobs that have started and not ended, the oldest first.
    in_flight
        How many are on executors.
    paused
        How many wait for their next attempt.
    awaiting
        Async jobs, and how many values they wait for.
    timers
        What is to happen later.
    is_interrupted
        Whether nothing more is to start.
    """

    def __init__(
        self,
        engine: Dispatching,
        executor_of: Callable[[str], Executor],
        limits: dict[str, int],
        recorder: Recorder,
        reporter: Reporter | None,
    ) -> None:
        self.inbox: queue.SimpleQueue[tuple[Job | None, Any, BaseException | None]] = (
            queue.SimpleQueue()
        )
        self.open: dict[Job, None] = {}
        self.in_flight = 0
        self.paused = 0
        self.awaiting: dict[Job, int] = {}
        self.timers = Timers()
        self.is_interrupted = False
        self.limits: Limits[Job] = Limits(limits)
        self._engine = engine
        self._executor_of = executor_of
        self._executors: dict[str, Executor] = {}
        self._recorder = recorder
        self._reporter = reporter

    # From other threads

    def complete(self, job: Job, result: Any, error: BaseException | None) -> None:
        """Take note of how the function of a job came out."""
        self.inbox.put((job, result, error))

    def began(self, job: Job) -> None:
        """Take note that the function of a job begins."""
        self.inbox.put((job, _Began(time.monotonic()), None))

    def wake(self) -> None:
        """Let the engine look around, if it sleeps."""
        self.inbox.put((None, None, None))

    def waiting(self) -> int:
        """Return how many jobs wait for a worker, as far as executors know."""
        return sum(executor.waiting() for executor in self._executors.values())

    # Starting

    def submit(self, job: Job) -> None:
        """Have the function of a job run, as soon as there are the resources that it needs."""
        options = job.options
        assert options is not None
        if options.retries and job.upstreams is not None and job.handles is None:
            _keep_arguments(job)
        self._acquire(job)

    def _acquire(self, job: Job) -> None:
        options = job.options
        assert options is not None
        if options.limits:
            try:
                if not self.limits.acquire(job, options.limits, options.priority):
                    return
            except TaskError as error:
                self._engine.fail(job, TaskError(f"task {job.task_name}: {error}"))
                return
        self._launch(job)

    def _launch(self, job: Job) -> None:
        options = job.options
        assert options is not None
        self._engine.prepare(job)
        job.status = RUNNING
        job.stage = _RUN
        job.started = now()
        self.open[job] = None
        self.in_flight += 1
        if self._reporter is not None:
            self._reporter.job_started(job)
        try:
            executor = self._executors.get(options.executor)
            if executor is None:
                executor = self._executor_of(options.executor)
                executor.start()
                self._executors[options.executor] = executor
            if options.timeout is not None and not executor.tells_start:
                self.start_timeout(job, time.monotonic())
            _hand_over(job, executor)
        except RedunLiteError as error:
            self.inbox.put((job, _Refused(error), None))
        except Exception as error:
            self.inbox.put((job, None, error))

    # Ending

    def receive(self, job: Job | None, result: Any, error: BaseException | None) -> None:
        """Act on what an executor has said."""
        if job is None or job.stage != _RUN or job.evaluation._settled:
            if isinstance(result, Notice) and job is not None:
                result.refuse()
            return  # A wake-up, a job that came back twice, or one that was given up.
        if isinstance(result, Notice):
            result.deliver(self._engine, job)
            return
        self.leave(job)
        if error is not None:
            self._end_attempt(job, error)
        else:
            if job.attempt > 1:
                self._recorder.record_attempt(job, None)
            self._engine.returned(job, result)

    def leave(self, job: Job) -> None:
        """Count a job as no longer running, and give back its units of resources."""
        self.in_flight -= 1
        self.awaiting.pop(job, None)
        if job.timer is not None:
            self.timers.cancel(job.timer)
            job.timer = None
        options = job.options
        assert options is not None
        if options.limits:
            self.limits.release(options.limits)
            if not self.is_interrupted:
                for waiting in self.limits.startable():
                    self._launch(waiting)

    def refuse(self, job: Job, error: BaseException) -> None:
        """Fail a job that its executor cannot run, which it could not at another time either."""
        self.leave(job)
        self._engine.raised(job, error)

    def cancelled(self, job: Job) -> None:
        """Take note that a job was cancelled while it ran."""
        self.leave(job)
        job.stage = _PAUSED

    # Time limits

    def start_timeout(self, job: Job, moment: float) -> None:
        """Measure the time that a job may take from a moment on."""
        assert job.options is not None
        if job.options.timeout is not None and job.timer is None:
            job.timer = self.timers.set(moment + job.options.timeout, self._time_out, job)

    def _time_out(self, job: Job) -> None:
        """Give up a job that has run for too long."""
        options = job.options
        if job.stage != _RUN or job.evaluation._settled or options is None:
            return
        fate = self._executors[options.executor].abandon(job)
        job.stage = _PAUSED
        self.leave(job)
        limit = f"{options.timeout:g} s"
        title = title_of(job.task_name, job.args)
        self._end_attempt(
            job, TaskTimeout(f"{title} took longer than its timeout of {limit}: {fate}")
        )

    # Attempts

    def _end_attempt(self, job: Job, error: BaseException) -> None:
        """Try a failed job again, if its options say so; else fail it."""
        options = job.options
        assert options is not None
        again = (
            job.attempt <= options.retries
            and not self.is_interrupted
            and isinstance(error, options.retry_on)
        )
        if again or job.attempt > 1:
            self._recorder.record_attempt(job, error)
        if not again:
            self._engine.raised(job, error)
            return
        delay = _retry_delay(options, job.attempt) * random.uniform(1 - _JITTER, 1 + _JITTER)
        if self._reporter is not None:
            self._reporter.job_retried(job, error, delay)
        del self.open[job]
        job.stage = _PAUSED
        job = job.next_attempt()
        self.open[job] = None
        self.paused += 1
        self.timers.set(time.monotonic() + delay, self._try_again, job)

    def _try_again(self, job: Job) -> None:
        self.paused -= 1
        if self.is_interrupted:
            return
        try:
            if job.packed is not None:
                job.values = loads_expr(job.packed)
        except Exception as error:  # Its class may have hooks that raise anything.
            self._engine.fail(job, error)
            return
        self._acquire(job)

    # When nothing more is to start

    def withdraw(self) -> None:
        """Take back what has not begun, and let what waits for others come to an end."""
        self.is_interrupted = True
        for executor in self._executors.values():
            for job in executor.withdraw():
                if job.run is not self._engine:
                    _hand_over(job, executor)  # It belongs to another run on the same executor.
                    continue
                self.in_flight -= 1
                job.stage = 0
                if not job.shown and job.attempt == 1:  # Else something of it is recorded.
                    del self.open[job]
        for job in list(self.awaiting):
            assert job.options is not None
            self._executors[job.options.executor].abandon(job)
        for job in self.open:
            if job.stage == _RUN and job.task is not None and job.task.evaluates_within:
                assert job.options is not None
                self._executors[job.options.executor].interrupt(job)

    def clear(self) -> None:
        """Let go of all jobs."""
        self.open.clear()
        self.timers.clear()


def _retry_delay(options: TaskOptions, attempt: int) -> float:
    """Return the seconds between an attempt and the next, before jitter."""
    if not options.retry_delay:
        return 0.0
    try:
        return min(options.retry_delay * options.retry_backoff ** (attempt - 1), MAX_RETRY_DELAY)
    except OverflowError:
        return MAX_RETRY_DELAY


def _keep_arguments(job: Job) -> None:
    """See to it that each attempt at a job gets the objects among its arguments as they came.

    A function may change them before it fails, and one that was given up may still do so.
    """
    try:
        job.packed = dumps_expr(job.values)
    except HashError:
        pass  # Some class can be stored in a way of its own only.


def _hand_over(job: Job, executor: Executor) -> None:
    """Let an executor start the function of a job."""
    task = job.task
    assert task is not None
    if task.script:
        executor.submit_script(job)
    elif task.is_async:
        executor.submit_async(job)
    else:
        executor.submit(job)


class _Began(Notice):
    """The function of a job begins."""

    __slots__ = ("_moment",)

    def __init__(self, moment: float) -> None:
        self._moment = moment

    def deliver(self, engine: Any, job: Job) -> None:
        engine.dispatcher.start_timeout(job, self._moment)


class _Refused(Notice):
    """An executor cannot run a job."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def deliver(self, engine: Any, job: Job) -> None:
        engine.dispatcher.refuse(job, self._error)
