"""The engine: evaluates expressions to values, for one execution.

Evaluation is a loop over three queues, and nothing in it recurses:

* `ready` holds evaluations that have all they waited for; `advance` takes their next step.
* `lookups` holds jobs whose key is known and whose result may be in the repository; they are
  looked up many at a time, once nothing else is ready.
* `inbox` is where executors put results, from their own threads.

All state belongs to the thread that runs the loop, so there are no locks.

A job goes through these steps: its options and arguments are evaluated (`_start`), its key is
computed and an equal job in this execution is followed instead (`_identify`), the repository is
asked (`_look_up`), else its function is submitted (`_submit`).  What comes back may hold
expressions, which are evaluated in the scope of the job (`_reduce`); then it is recorded and its
promise settles (`_finish`).
"""

from __future__ import annotations

import copy
import gc
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any, Callable, NamedTuple

from ._context import Context
from ._db import (
    FLUSH_INTERVAL,
    AttemptRecord,
    CachedCall,
    CallNode,
    CallRecord,
    JobRecord,
    Repository,
    TaskSet,
    ValueRecord,
    now,
)
from ._errors import (
    CyclicDependency,
    DryRunResult,
    ExecutorError,
    HashError,
    RedunLiteError,
    TaskError,
    TaskTimeout,
)
from ._executor import Executor
from ._expr import (
    OPERATORS,
    Expression,
    SchedulerExpression,
    SimpleExpression,
    TaskExpression,
    ValueExpression,
    dumps_expr,
    expressions_in,
    is_valid_expr,
    key_of_expr,
    loads_expr,
)
from ._handle import RunHandles
from ._hash import digest, is_flat, key_of
from ._job import (
    CACHED,
    CANCELLED,
    DONE,
    FAILED,
    RUNNING,
    Evaluation,
    Job,
    JobInfo,
    NestedEvaluation,
    Notice,
    OperatorEvaluation,
    Reporter,
    TaskEvaluation,
)
from ._limits import Limits
from ._options import (
    CONTEXT_OPTION,
    CacheCheckValid,
    CacheResult,
    CacheScope,
    TaskOptions,
    holds_expressions,
    parse_tags,
)
from ._promise import Promise, Resumable
from ._record import ErrorValue, ScriptResult, has_hooks, load_value, make_value_record
from ._schema import JOB_NUMBER_BITS
from ._task import Task, TaskCode, get_task_registry
from ._timers import Timers
from ._value import get_type_registry, map_nested

Tags = Collection[tuple[str, Any]]

# Stages of a job.
_CONTEXT, _IDENTIFY, _FOLLOW, _RUN, _REDUCE, _PAUSED = range(1, 7)

_SLICE = 512  # Steps between two looks at the inbox.
_MAX_SHOWN_RUNNING = 64  # Jobs that are recorded as running while they last.
_PAUSE = 0.002  # Seconds without news after which the engine counts as idle, and commits.
_COLLECT_AFTER = 100_000  # New objects between two looks of the garbage collector.
_MAX_SHOWN_CIRCLE = 8  # Tasks that an error names of those which wait for each other.
MAX_RETRY_DELAY = 300.0
"""Most seconds between two attempts at a job."""

_JITTER = 0.25  # How far, as a part of it, the delay before a retry may be off in both directions.
_MAX_SHOWN_FAILED = 100  # Failed jobs that are kept for whoever reports on the run.


class PartOf(NamedTuple):
    """What an execution is a part of, in the same repository."""

    execution_id: int
    """Row id of the whole, which is no part of any other."""
    uuid: str
    """UUID of the whole."""
    parent_job: int
    """Row id of the job that it belongs to."""
    job_id: str
    """How people call that job."""


class Engine:
    """Evaluates one expression, and all that it leads to.

    Parameters
    ----------
    repository
        Where past results are looked up and this execution is recorded.
    executor_of
        Gives an executor by name.
    limits
        Units of each resource.
    execution_id
        Row id of the execution.
    execution_uuid
        UUID of the execution.
    cache
        Whether results of earlier executions may be reused.
    dryrun
        Whether to stop short of running functions; what would run is in `would_run`.
    overrides
        Options that win over all others.
    context
        Context variables.
    reporter
        Is shown what happens.
    scheduler
        What scheduler tasks are given.
    exported
        Options that jobs outside any other inherit.
    part_of
        What the execution is a part of, if it is none of its own.
    """

    def __init__(
        self,
        repository: Repository,
        executor_of: Callable[[str], Executor],
        limits: dict[str, int],
        execution_id: int = 0,
        cache: bool = True,
        dryrun: bool = False,
        overrides: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
        reporter: Reporter | None = None,
        scheduler: Any = None,
        execution_uuid: str = "",
        exported: dict[str, Any] | None = None,
        part_of: PartOf | None = None,
    ) -> None:
        self.repository = repository
        self.ready: deque[Resumable] = deque()
        self.lookups: list[Job] = []
        self.inbox: queue.SimpleQueue[tuple[Job | None, Any, BaseException | None]] = (
            queue.SimpleQueue()
        )
        self.counts: dict[str, int] = dict.fromkeys((RUNNING, DONE, CACHED, FAILED, CANCELLED), 0)
        self.open: dict[Job, None] = {}  # Started and not ended, the oldest first.
        self.would_run: list[Job] = []
        self.failed: list[Job] = []
        self.total = 0
        self.started = time.monotonic()
        self._executor_of = executor_of
        self._executors: dict[str, Executor] = {}
        self._limits: Limits[Job] = Limits(limits)
        self._cache = cache
        self._dryrun = dryrun
        self._overrides = overrides or {}
        self._context = Context(context or {})
        self._reporter = reporter
        self._scheduler = scheduler
        self.execution_uuid = execution_uuid
        self.whole_uuid = execution_uuid if part_of is None else part_of.uuid
        self._around = execution_uuid if part_of is None else part_of.job_id
        self.exported = exported
        self.used: dict[bytes, TaskCode] = {}  # Tasks that took part outside any job, by key.
        self.single: Any = None  # What is evaluated, as what a job has returned is.
        self.handles = RunHandles(execution_id if part_of is None else part_of.execution_id)
        self._registry = get_task_registry()
        self._number = execution_id << JOB_NUMBER_BITS
        self._equal: dict[bytes, TaskEvaluation] = {}  # By evaluation key, for CSE.
        self._scope: dict[int, Evaluation] = {}  # Evaluations outside any job.
        self._current_tasks: frozenset[bytes] = frozenset()
        self._registry_version = -1
        self._leaf_sets: dict[bytes, TaskSet] = {}
        self._used_sets: dict[bytes, TaskSet] = {}
        self._in_flight = 0
        self._interrupted = False
        self._timers = Timers()
        self._paused = 0  # Jobs that wait for their next attempt.
        self.awaiting: dict[Job, int] = {}  # Async jobs, and how many values they wait for.
        self.forked: deque[Promise[Any]] = deque()  # What the run waits for besides its result.
        self.threads: dict[str, list[Promise[Any]]] = {}  # The same, by the key of what was forked.
        self._origins: dict[int, tuple[BaseException, bytes]] = {}  # Errors by id: whose they are.
        self._replayed: set[int] = set()  # Ids of errors that came from the repository.
        # Errors by id: those whose handlers raised them, each with where it was handled.
        self._replaced: dict[int, list[tuple[bytes, BaseException]]] = {}

    # From other threads

    def complete(self, job: Job, result: Any, error: BaseException | None) -> None:
        """Take note, from any thread, of how the function of a job came out."""
        self.inbox.put((job, result, error))

    def began(self, job: Job) -> None:
        """Take note, from any thread, that the function of a job begins."""
        self.inbox.put((job, _Began(time.monotonic()), None))

    def interrupt(self) -> None:
        """Stop submitting jobs, and end once those that run have ended."""
        self._interrupted = True
        self.inbox.put((None, None, None))

    # The loop

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def run(self, value: Any) -> Any:
        """Return the value that an expression, or a nested value with expressions, comes to.

        Raises
        ------
        BaseException
            The first error that no task caught.
        KeyboardInterrupt
            `interrupt` was called.
        """
        _collector.run_starts()
        self.single = value
        try:
            root = self.evaluate_nested(value, None)
            self._loop(root)
            while self.forked and root.is_fulfilled and not self._interrupted:
                self._loop(self.forked[0])
                if self.forked[0].is_settled:
                    self.forked.popleft()
            if not root.is_settled or root.is_rejected or self._interrupted or self._in_flight:
                self._drain()
        finally:
            _collector.run_ends()
            self._end()
        if not root.is_settled or (self.forked and root.is_fulfilled):
            raise KeyboardInterrupt
        return root.value

    def _loop(self, root: Promise[Any]) -> None:
        ready = self.ready
        inbox = self.inbox
        repository = self.repository
        while not root._settled and not self._interrupted:
            if self._reporter is not None:
                self._reporter.tick(self)
                if self._interrupted:  # That may have been asked for just now.
                    break
            for _ in range(min(len(ready), _SLICE)):
                ready.popleft().resume()
            completed = inbox.qsize()
            for _ in range(completed):
                self._receive(*inbox.get())
            if self.lookups and (not ready or len(self.lookups) >= _SLICE):
                self._look_up()
            if self._timers:
                self._timers.fire()
            if repository.is_flush_due:
                self._flush()
            if ready or completed or self.lookups:
                continue
            if root._settled or self._interrupted:
                break
            if self._in_flight <= len(self.awaiting) and not self._paused:
                if self._dryrun and not self._in_flight:
                    self._raise_dry_run()
                self._raise_deadlock(root)
            self._wait()

    def _wait(self) -> None:
        """Sleep until an executor has something to say; commit if that is not at once."""
        timeout = _PAUSE
        while True:
            if self._timers:
                timeout = min(timeout, self._timers.seconds_left)
            try:
                self._receive(*self.inbox.get(timeout=timeout))
                return
            except queue.Empty:
                if self._timers and self._timers.fire():
                    return
                self._flush()
                if self._reporter is not None:
                    self._reporter.tick(self)
                timeout = FLUSH_INTERVAL if self._reporter is None else self._reporter.interval

    def _receive(self, job: Job | None, result: Any, error: BaseException | None) -> None:
        if job is None or job.stage != _RUN or job.evaluation._settled:
            if isinstance(result, Notice) and job is not None:
                result.refuse()
            return  # A wake-up, a job that came back twice, or one that was given up.
        if isinstance(result, Notice):
            result.deliver(self, job)
            return
        self._leave_executor(job)
        if error is not None:
            self._end_attempt(job, error)
        else:
            if job.attempt > 1:
                self._record_attempt(job, None)
            self._reduce(job, result)

    def _leave_executor(self, job: Job) -> None:
        """Count a job as no longer running, and give back its units of resources."""
        self._in_flight -= 1
        self.counts[RUNNING] -= 1
        self.awaiting.pop(job, None)
        if job.timer is not None:
            self._timers.cancel(job.timer)
            job.timer = None
        options = job.options
        assert options is not None
        if options.limits:
            self._limits.release(options.limits)
            if not self._interrupted:
                for waiting in self._limits.startable():
                    self._launch(waiting)

    def wants(self, job: Job) -> bool:
        """Say, in any thread, whether a job that runs is still waited for, and may start others."""
        return not self._interrupted and job.stage == _RUN and job.status is RUNNING

    def arguments_below(self, job: Job) -> dict[str, Any]:
        """Return the arguments for `Scheduler.run` by which another engine goes on below a job."""
        return {
            "cache": self._cache,
            "context": job.context.variables,
            "options": self._overrides,
            "exported": job.exported,
        }

    def cancelled(self, job: Job) -> None:
        """Take note that a job was cancelled while it ran."""
        self._leave_executor(job)
        job.stage = _PAUSED

    @property
    def is_interrupted(self) -> bool:
        """Whether nothing more is to start."""
        return self._interrupted

    # Time limits

    def start_timeout(self, job: Job, moment: float) -> None:
        """Measure the time that a job may take from a moment on."""
        assert job.options is not None
        if job.options.timeout is not None and job.timer is None:
            job.timer = self._timers.set(moment + job.options.timeout, self._time_out, job)

    def _time_out(self, job: Job) -> None:
        """Give up a job that has run for too long."""
        options = job.options
        if job.stage != _RUN or job.evaluation._settled or options is None:
            return
        fate = self._executors[options.executor].abandon(job)
        job.stage = _PAUSED
        self._leave_executor(job)
        limit = f"{options.timeout:g} s"
        self._end_attempt(
            job, TaskTimeout(f"{job.task_name} took longer than its timeout of {limit}: {fate}")
        )

    # Attempts

    def _end_attempt(self, job: Job, error: BaseException) -> None:
        """Try a failed job again, if its options say so; else fail it."""
        options = job.options
        assert options is not None
        again = (
            job.attempt <= options.retries
            and not self._interrupted
            and isinstance(error, options.retry_on)
        )
        if again or job.attempt > 1:
            self._record_attempt(job, error)
        if not again:
            self._fail_run(job, error)
            return
        delay = _retry_delay(options, job.attempt) * random.uniform(1 - _JITTER, 1 + _JITTER)
        if self._reporter is not None:
            self._reporter.job_retried(job, error, delay)
        del self.open[job]
        job.stage = _PAUSED
        job = job.next_attempt()
        self.open[job] = None
        self._paused += 1
        self._timers.set(time.monotonic() + delay, self._try_again, job)

    def _try_again(self, job: Job) -> None:
        self._paused -= 1
        if not self._interrupted:
            self._acquire(job)

    def _record_attempt(self, job: Job, error: BaseException | None) -> None:
        if not job.shown:
            job.shown = True
            self._record_job(job, None)  # An attempt at nothing would be no record.
        record = None
        if error is not None:
            record = self._error_record(ErrorValue.from_error(error))
        if not self._dryrun and job.options is not None and job.options.prov:
            self.repository.record_attempt(
                AttemptRecord(job.number, job.attempt, job.started, now(), record)
            )

    def _fail_run(self, job: Job, error: BaseException) -> None:
        """Fail a job whose own function raised."""
        if job.key is not None and _keeps_error(job, error):
            self._origins.setdefault(id(error), (error, job.key))
        self._fail(job, error)

    def _drain(self) -> None:
        """Let the jobs that run come to their end, and record them; start no others."""
        self._interrupted = True
        self._withdraw()
        for job in list(self.awaiting):
            assert job.options is not None
            self._executors[job.options.executor].abandon(job)
        for job in self.open:
            if job.stage == _RUN and job.task is not None and job.task.evaluates_within:
                assert job.options is not None
                self._executors[job.options.executor].interrupt(job)
        if self._reporter is not None and self._in_flight:
            self._reporter.draining(self)
        while self._in_flight:
            self._wait()

    def _withdraw(self) -> None:
        """Take back the jobs that executors have not begun."""
        for executor in self._executors.values():
            for job in executor.withdraw():
                if job.run is not self:
                    _hand_over(job, executor)  # It belongs to another run on the same executor.
                    continue
                self._in_flight -= 1
                self.counts[RUNNING] -= 1
                job.stage = 0
                if not job.shown and job.attempt == 1:  # Else something of it is recorded.
                    del self.open[job]

    def _end(self) -> None:
        """Record what became of jobs that have not ended."""
        for job in self.open:
            job.status = CANCELLED
            self.counts[CANCELLED] += 1
            self._record_job(job, now())
        self.counts[RUNNING] = 0
        # All these lead back to the engine: cut, they are freed now and not when the garbage
        # collector comes by.
        self.open.clear()
        self.ready.clear()
        self._scope.clear()
        self._equal.clear()
        self.single = None
        self._timers.clear()
        self._origins.clear()
        self._replayed.clear()
        self._replaced.clear()

    def _flush(self) -> None:
        """Hand what is recorded to the repository, with the jobs that have run for a while."""
        if not self._dryrun:
            for job in islice(self.open, _MAX_SHOWN_RUNNING):
                if not job.shown:
                    job.shown = True
                    self._record_job(job, None)
                elif job.stage == _REDUCE and job.cached is None and job.early is None:
                    self._record_unfinished_call(job)
        self.repository.flush()

    # Evaluation

    def evaluate(self, expr: Expression[Any], parent: Job | None) -> Promise[Any]:
        """Return the evaluation of an expression in the scope of a job.

        One expression is evaluated once in a scope.
        """
        if parent is None:
            scope = self._scope
        else:
            scope = parent.scope  # type: ignore[assignment]
            if scope is None:
                scope = parent.scope = {}
        identity = id(expr)
        node = scope.get(identity)
        if node is not None:
            return node
        if type(expr) is TaskExpression:
            self.total += 1
            node = call = TaskEvaluation(self, expr, parent)
            if parent is not None:
                if parent.children is None:
                    parent.children = [call]
                else:
                    parent.children.append(call)
        else:
            node = OperatorEvaluation(self, expr, parent)
        scope[identity] = node
        self.ready.append(node)
        return node

    def evaluate_nested(self, value: Any, parent: Job | None) -> Evaluation:
        """Return the evaluation of any value in the scope of a job, with what it holds."""
        node = NestedEvaluation(self, value, parent)
        node.sources_in = self._gather(node, value, parent)
        if node.missing == 0:
            self.ready.append(node)
        return node

    def _gather(self, node: Evaluation, value: Any, scope: Job | None) -> list[Any]:
        """Let a node wait for the expressions in a value; return their evaluations."""
        evaluations = [self.evaluate(expr, scope) for expr in expressions_in(value)]
        for evaluation in evaluations:
            if not evaluation._settled:
                node.missing += 1
                evaluation.add_waiter(node)
            elif evaluation._error is not None and node.failure is None:
                node.failure = evaluation._error
                self.ready.append(node)
        return evaluations

    def _substitute(self, value: Any, scope: Job | None) -> Any:
        """Return a nested value with each expression replaced by what it came to."""
        evaluations = (self._scope if scope is None else scope.scope) or {}

        def value_of(leaf: Any) -> Any:
            return evaluations[id(leaf)]._value if isinstance(leaf, Expression) else leaf

        return map_nested(value_of, value)

    def advance(self, node: Evaluation) -> None:
        """Take the next step of an evaluation that has all it waited for."""
        if isinstance(node, TaskEvaluation):
            job = node.job
            if job is None:
                self._start(node)
            elif node.failure is not None:
                self._fail(job, node.failure)
            elif job.stage == _IDENTIFY:
                self._identify(job)
            elif job.stage == _CONTEXT:
                self._enter_context(job)
            elif job.stage == _REDUCE:
                self._complete(job)
            elif job.stage == _FOLLOW:
                self._follow(job)
        elif node.failure is not None:
            node.reject(node.failure)
        elif isinstance(node, NestedEvaluation):
            self._put_together(node)
        else:
            assert isinstance(node, OperatorEvaluation)
            self._operate(node)

    def _operate(self, node: OperatorEvaluation) -> None:
        """Evaluate an expression that is no task call."""
        expr: Any = node.expr
        if type(expr) is ValueExpression:
            node.fulfil(expr.value)
        elif type(expr) is SimpleExpression:
            if not node.gathered:
                node.gathered = True
                node.sources_in = self._gather(node, (expr.args, expr.kwargs), node.parent)
                if node.missing or node.failure is not None:
                    return
            try:
                args, kwargs = self._substitute((expr.args, expr.kwargs), node.parent)
                value = OPERATORS[expr.func_name](*args, **kwargs)
            except Exception as error:
                node.reject(_without_engine_frames(error))
            else:
                self._settle_as(node, value)
        elif isinstance(expr, SchedulerExpression):
            self._run_scheduler_task(node, expr)
        else:
            node.reject(TaskError(f"cannot evaluate {expr!r}"))

    def _run_scheduler_task(self, node: OperatorEvaluation, expr: SchedulerExpression[Any]) -> None:
        """Call a scheduler task; it may return a promise, or an expression to evaluate."""
        try:
            task = self._registry.find(expr.task_name)
            self.note_use(node.parent, task.code)
            outcome = task.func(self._scheduler, node.parent, expr, *expr.args, **expr.kwargs)
        except Exception as error:
            node.reject(_without_engine_frames(error))
            return
        if isinstance(outcome, Promise):
            node.sources_in = [outcome]
            outcome.add_waiter(_Outcome(self, node))
        else:
            self._settle_as(node, outcome)

    def context_of(self, job: Job | None) -> dict[str, Any]:
        """Return the context variables of a job, or of the execution."""
        return (self._context if job is None else job.context).variables

    def settle_as_promised(self, node: OperatorEvaluation, promise: Promise[Any]) -> None:
        """Settle the evaluation of a scheduler task as the promise that it returned."""
        if promise._error is not None:
            node.reject(promise._error)
        else:
            self._settle_as(node, promise._value)

    def note_use(self, job: Job | None, code: TaskCode) -> None:
        """Take note that what a job comes to depends on a task that is none of its children.

        Without a job, it is what the whole run comes to.
        """
        if job is None or not job.number:
            self.used[code.key] = code
            return
        if job.used is None:
            job.used = {}
        job.used[code.key] = code

    def _settle_as(self, node: OperatorEvaluation, value: Any) -> None:
        """Settle an evaluation with a value, once the expressions in that are evaluated."""
        if expressions_in(value):
            nested = self.evaluate_nested(value, node.parent)
            node.sources_in = [*node.sources_in, nested]
            node._follow(nested)
        else:
            node.fulfil(value)

    def _put_together(self, node: NestedEvaluation) -> None:
        try:
            value = self._substitute(node.whole, node.parent)
        except Exception as error:
            node.reject(_without_engine_frames(error))
        else:
            node.fulfil(value)

    def _start(self, node: TaskEvaluation) -> None:
        """Make the job of a call, and evaluate its options and arguments."""
        expr = node.expr
        self._number += 1
        parent = node.parent
        context = self._context if parent is None else parent.context
        job = node.job = Job(node, self._number, context)
        try:
            task = job.task = self._registry.find(expr.task_name)
            names = task.parameters.names
            job.names = names
            job.values = values = task.parameters.bind(expr.args, expr.kwargs)
            if CONTEXT_OPTION in expr.options:
                self._update_context(job, expr.options[CONTEXT_OPTION])
                return
            self._set_options(job, task, expr)
        except RedunLiteError as error:
            self._fail(job, error)
            return
        job.stage = _IDENTIFY
        if not is_flat(values):
            job.upstreams = [self._gather(node, value, parent) for value in values]
        if job.unsettled_options is not None:
            self._gather(node, job.unsettled_options, parent)
        if node.missing == 0 and node.failure is None:
            self._identify(job)

    def _update_context(self, job: Job, variables: dict[str, Any]) -> None:
        """Evaluate the context variables that a call sets."""
        job.stage = _CONTEXT
        node = job.evaluation
        self._gather(node, variables, job.parent)
        if node.missing == 0 and node.failure is None:
            self._enter_context(job)

    def _enter_context(self, job: Job) -> None:
        """Evaluate the arguments and options of a job that has a context of its own.

        Defaults and options may ask for the context: they are evaluated in the scope of the job.
        """
        node = job.evaluation
        expr = node.expr
        task = job.task
        assert task is not None
        try:
            variables = self._substitute(expr.options[CONTEXT_OPTION], job.parent)
            job.context = job.context.updated(variables)
            self._set_options(job, task, expr)
            job.given = task.parameters.given(expr.args, expr.kwargs)
        except HashError as error:
            self._fail(job, error.within(f"context of {job.task_name}"))
            return
        except Exception as error:
            self._fail(job, error)
            return
        job.stage = _IDENTIFY
        job.upstreams = [
            self._gather(node, value, job.parent if name in job.given else job)
            for name, value in zip(job.names, job.values)
        ]
        if job.unsettled_options is not None:
            self._gather(node, job.unsettled_options, job)
        if node.missing == 0 and node.failure is None:
            self._identify(job)

    def _set_options(self, job: Job, task: Task[Any, Any], expr: TaskExpression[Any]) -> None:
        inherited = job.inherited
        plain = not (expr.options or inherited or self._overrides)
        if plain and not task.has_lazy_options:
            job.options = task.default_options()
            if task.exported:
                job.exported = {name: task.base_options[name] for name in task.exported}
            return
        options = {**task.base_options, **(inherited or {}), **expr.options, **self._overrides}
        options.pop(CONTEXT_OPTION, None)  # It is evaluated before the others, which may use it.
        exported = (*task.exported, *expr.exported)
        if exported:
            job.exported = {**(inherited or {}), **{name: options[name] for name in exported}}
        if holds_expressions(options):
            job.unsettled_options = options
        else:
            job.options = task.parse_options(options)

    def _identify(self, job: Job) -> None:
        """Compute the key of a job whose arguments are known, and look for an equal job."""
        task = job.task
        assert task is not None
        values = job.values
        try:
            if job.unsettled_options is not None:
                inside = job.parent if job.given is None else job
                settled = self._substitute(job.unsettled_options, inside)
                job.options = task.parse_options(settled)
                exported = (*task.exported, *job.evaluation.expr.exported)
                if exported:  # Evaluated here, and not again in each job below.
                    job.exported = {
                        **(job.exported or {}),
                        **{name: settled[name] for name in exported},
                    }
            if job.upstreams is not None:
                if any(job.upstreams):
                    values = self._settled_arguments(job)
                job.values = values = get_type_registry().preprocess(values, {"job": job})
        except Exception as error:
            self._fail(job, error)
            return
        options = job.options
        assert options is not None
        try:
            keys = job.keys = (
                [key_of(value) for value in values]
                if job.upstreams is None
                else self._argument_keys(job, values)
            )
        except HashError as error:
            self._fail(job, error)
            return
        if options.config_args:
            keys = [key for name, key in zip(job.names, keys) if name not in options.config_args]
        job.key = key = digest(task.key + b"".join(keys))
        scope = options.cache_scope
        if scope is not CacheScope.NONE and options.allows(CacheResult.CSE):
            node = job.evaluation
            # What a call leads to may ask for the context.
            equal = self._equal.setdefault(key + job.context.key, node)
            if equal is not node:
                job.leader = equal
                job.stage = _FOLLOW
                if equal._settled:
                    self._follow(job)
                else:
                    node.missing = 1
                    equal.add_waiter(node)
                return
        if scope is CacheScope.BACKEND and self._cache:
            self.lookups.append(job)
        else:
            self._submit(job)

    def _settled_arguments(self, job: Job) -> tuple[Any, ...]:
        """Return the arguments of a job with their expressions evaluated."""
        given = job.given
        if given is None:
            values: tuple[Any, ...] = self._substitute(job.values, job.parent)
            return values
        return tuple(
            self._substitute(value, job.parent if name in given else job)
            for name, value in zip(job.names, job.values)
        )

    def _argument_keys(self, job: Job, values: tuple[Any, ...]) -> list[bytes]:
        keys = []
        name = ""
        try:
            for name, value in zip(job.names, values):  # noqa: B007
                keys.append(key_of_expr(value))
        except HashError as error:
            raise error.within(f"argument {name!r} of {job.task_name}") from None
        return keys

    def _follow(self, job: Job) -> None:
        """End a job as the equal job did."""
        leader = job.leader
        assert leader is not None
        job.evaluation.call = leader.call
        if leader._error is not None:
            self._fail(job, leader._error)
            return
        job.status = CACHED
        job.started = job.ended = now()
        self._settle(job, leader._value)

    # The cache

    def _look_up(self) -> None:
        """Ask the repository for the results of the jobs that wait for it."""
        jobs, self.lookups = self.lookups, []
        found = self.repository.look_up([job.key for job in jobs if job.key is not None])
        for job in jobs:
            calls = found.get(job.key) if found else None  # type: ignore[arg-type]
            if calls is None or not self._replay(job, calls):
                self._submit(job)

    def _replay(self, job: Job, calls: list[CachedCall]) -> bool:
        """Take a recorded result for a job, if one of them still holds."""
        options = job.options
        assert options is not None
        job.started = now()
        assert job.task is not None
        shallow = options.check_valid is CacheCheckValid.SHALLOW or job.task.is_async
        if shallow and options.allows(CacheResult.ULTIMATE):
            for cached in calls:
                if self._replay_ultimate(job, cached):
                    return True
        if job.task.evaluates_within or not options.allows(CacheResult.SINGLE):
            return False
        for cached in calls:
            single = self._load_valid(cached.type_name, cached.data)
            if single is not _INVALID:
                job.cached = cached
                job.status = CACHED
                self.open[job] = None
                self._reduce(job, single)
                return True
        return False

    def _replay_ultimate(self, job: Job, cached: CachedCall) -> bool:
        task_set = self.repository.look_up_task_set(cached.task_set_id)
        if self._registry_version != self._registry.version:
            self._registry_version = self._registry.version
            self._current_tasks = frozenset(
                task.key for task in self._registry if not task.depends_on_run
            )
        if not task_set.tasks <= self._current_tasks:
            return False
        _, type_name, data = self.repository.look_up_value(cached.result_id)
        value = self._load_valid(type_name, data)
        if value is _INVALID or isinstance(value, ErrorValue):
            return False
        job.status = CACHED
        job.evaluation.call = self._recorded_node(job, cached, task_set)
        job.ended = now()
        self._settle(job, value)
        return True

    def _load_valid(self, type_name: str, data: bytes) -> Any:
        """Return a recorded value, or `_INVALID` if it cannot be used any more."""
        try:
            value = load_value(type_name, data)
            return value if is_valid_expr(value, self._registry.get) else _INVALID
        except Exception:
            # Its class was renamed, or a task inside it edited: as good as not recorded.
            return _INVALID

    def _recorded_node(self, job: Job, cached: CachedCall, task_set: TaskSet) -> CallNode:
        assert job.key is not None
        return CallNode(job.key, cached.outcome, task_set, cached.id)

    # Running

    def _submit(self, job: Job) -> None:
        """Start the function of a job, or let it wait for the resources it needs."""
        if self._dryrun:
            self.would_run.append(job)
            return
        try:
            # Before the function runs, for it may change them, or fail to be stored.
            job.records = self._argument_records(job)
        except HashError as error:
            self._fail(job, error)
            return
        errors = job.context.errors
        if errors is not None and job.key in errors and _may_replay(job):
            self._replay_error(job, errors[job.key])
            return
        self._acquire(job)

    def _acquire(self, job: Job) -> None:
        """Start the function of a job, or let it wait for the resources it needs."""
        options = job.options
        assert options is not None
        if options.limits:
            try:
                if not self._limits.acquire(job, options.limits, options.priority):
                    return
            except TaskError as error:
                self._fail(job, TaskError(f"task {job.task_name}: {error}"))
                return
        self._launch(job)

    def _launch(self, job: Job) -> None:
        task = job.task
        options = job.options
        assert task is not None and options is not None
        if options.retries and job.handles is None and not is_flat(job.values):
            _keep_arguments(job)
        values = job.values
        if job.upstreams is not None:
            values = self._with_job_info(job)
        job.args, job.kwargs = task.parameters.call_arguments(values)
        if job.handles is not None:
            self.handles.job_starts(job, self.repository)
        job.status = RUNNING
        job.stage = _RUN
        job.started = now()
        self.open[job] = None
        self.counts[RUNNING] += 1
        self._in_flight += 1
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

    def refused(self, job: Job, error: BaseException) -> None:
        """Fail a job that its executor cannot run, which it could not at another time either."""
        self._leave_executor(job)
        self._fail_run(job, error)

    def _with_job_info(self, job: Job) -> tuple[Any, ...]:
        """Return the arguments of a job, with its particulars where it asks for them."""
        values = job.values
        if not any(type(value) is JobInfo for value in values):
            return values
        assert job.options is not None and job.key is not None
        info = JobInfo(
            self.whole_uuid,
            self.job_id(job),
            job.key.hex(),
            digest(b"".join(job.keys or ())).hex(),
            job.options.given,
        )
        return tuple(info if type(value) is JobInfo else value for value in values)

    def _reduce(self, job: Job, result: Any) -> None:
        """Take the first result of a job, and evaluate the expressions in it."""
        job.stage = _REDUCE
        if type(result) is ScriptResult:
            job.single = result
            job.scope = {}  # What it returned is not what that comes to.
            self._finish(job, result.value)
            return
        if not is_flat(result):
            try:
                if has_hooks(result):
                    result = get_type_registry().postprocess(result, {"job": job})
                    if job.handles is not None:
                        self.handles.job_returned(job, self.repository)
            except Exception as error:
                self._fail(job, error)
                return
            job.single = result
            if self._interrupted and expressions_in(result):
                return
            node = job.evaluation
            self._gather(node, result, job)
            if node.missing or node.failure is not None:
                return
            if job.scope:
                self._complete(job)
                return
        else:
            job.single = result
        self._finish(job, result)

    def _complete(self, job: Job) -> None:
        """Put the values of the expressions into the first result of a job."""
        try:
            value = self._substitute(job.single, job)
        except Exception as error:  # A set that is given a list to hold, for example.
            self._fail(job, error)
        else:
            self._finish(job, value)

    # Ending

    def _finish(self, job: Job, value: Any) -> None:
        """Record a job and settle its promise."""
        try:
            job.evaluation.call = self._make_call(job, value)
        except RedunLiteError as error:
            self._fail(job, error)
            return
        if job.status is not CACHED:
            job.status = DONE
        job.ended = now()
        self._settle(job, value)

    def _settle(self, job: Job, value: Any) -> None:
        self.counts[job.status] += 1
        self.open.pop(job, None)
        self._record_job(job, job.ended)
        if self._reporter is not None:
            self._reporter.job_ended(job)
        node = job.evaluation
        node.job = None
        node.fulfil(value)

    def _fail(self, job: Job, error: BaseException) -> None:
        """Record the error of a job and reject its promise."""
        is_replayed = id(error) in self._replayed
        job.status = CACHED if is_replayed else FAILED
        job.ended = now()
        job.started = job.started or job.ended
        self.counts[job.status] += 1
        if not is_replayed and len(self.failed) < _MAX_SHOWN_FAILED:
            self.failed.append(job)
        self.open.pop(job, None)
        if job.task is not None:
            if job.records is not None and not is_replayed:
                self._record_failed_call(job, error)
            elif job.evaluation.call is None:
                self._note_failed_call(job)
            self._record_job(job, job.ended)
        if self._reporter is not None:
            self._reporter.job_ended(job, error)
        node = job.evaluation
        node.job = None
        node.reject(error)

    def _record_job(self, job: Job, ended: int | None) -> None:
        if self._dryrun or job.task is None or not _has_provenance(job):
            return
        parent = job.parent
        self.repository.record_job(
            JobRecord(
                job.number,
                parent.number or None if parent is not None else None,
                job.task,
                job.evaluation.call,
                job.status,
                job.begun or job.started,
                ended,
            )
        )
        if ended is not None and job.options is not None and job.options.tags:
            self._record_task_tags(job)

    def record_tags(
        self, job: Job | None, value: Any, tags: Tags, job_tags: Tags, execution_tags: Tags
    ) -> None:
        """Tag a value, a job, and the execution; without a job its tags are the execution's."""
        if self._dryrun or (job is not None and not _has_provenance(job)):
            return
        record = self.repository.record_tag
        if tags:
            key = key_of_expr(value)
            self.repository.record_value(self._value_record(key, value))
            for name, content in tags:
                record(key.hex(), name, content)
        entity = self.job_id(job) if job is not None and job.number else self._around
        for name, content in job_tags:
            record(entity, name, content)
        for name, content in execution_tags:
            record(self.whole_uuid, name, content)

    def _record_task_tags(self, job: Job) -> None:
        assert job.task is not None and job.options is not None
        for key, value in job.options.tags:
            self.repository.record_tag(self.job_id(job), key, value)
        own = job.task.base_options.get("tags")
        if own is not None and not holds_expressions({"tags": own}):
            for key, value in parse_tags(own, job.task_name):
                self.repository.record_tag(job.task.hash, key, value)

    def job_id(self, job: Job) -> str:
        """Return how people call a job."""
        return f"{self.execution_uuid[:8]}-{job.number & ((1 << JOB_NUMBER_BITS) - 1)}"

    def _make_call(self, job: Job, value: Any) -> CallNode:
        """Return the call node of a job that came out well, and record it if it is new."""
        task = job.task
        key = job.key
        cached = job.cached
        assert task is not None and key is not None and job.keys is not None
        children = job.children
        if children is None and job.scope is None and job.used is None:
            task_set = self._leaf_set(task)
            if cached is not None:
                return self._recorded_node(job, cached, task_set)
            single = result = self._result_record(job, value)
            outcome = int.from_bytes(result.key[:8], "little", signed=True)
            calls: list[CallNode] = []
        else:
            calls = _calls_of(children)
            task_set = self._task_set(job, calls)
            result_key = self._result_key(job, value)
            # What a script wrote tells two runs apart as well.
            told = job.single if type(job.single) is ScriptResult else None
            told_key = result_key if told is None else self._result_key(job, told)
            outcome = _outcome(told_key, calls, task_set)
            if cached is not None:
                if cached.outcome == outcome:
                    return self._recorded_node(job, cached, task_set)
                single = ValueRecord(cached.digest, "", None, id=cached.single_id)
            else:
                single = self._take_early(job) or self._result_record(job, job.single)
            result = self._value_record(result_key, value)
        node = CallNode(key, outcome, task_set)
        if not _has_provenance(job):
            self._note_unrecorded(task)
            return node
        if self._dryrun:
            return node
        call = CallRecord(
            node,
            task,
            single,
            result,
            job.names,
            job.records or self._argument_records(job),
            self._upstream_calls(job),
            calls,
            job.started,
        )
        self.repository.record_call(call)
        return node

    def _record_failed_call(self, job: Job, error: BaseException) -> None:
        assert job.task is not None and job.key is not None
        record = self._error_record(ErrorValue.from_error(error))
        calls = _calls_of(job.children)
        task_set = self._task_set(job, calls)
        outcome = _outcome(digest(b"@error" + record.key), calls, task_set)
        # What the function returned is worth keeping even if it came to nothing.
        single = self._take_early(job)
        if single is None and job.stage == _REDUCE and not job.task.evaluates_within:
            try:
                single = self._result_record(job, job.single)
            except RedunLiteError:
                pass  # That may be why the job fails.
        node = CallNode(job.key, outcome, task_set)
        call = CallRecord(
            node,
            job.task,
            single,
            record,
            job.names,
            job.records or (),
            self._upstream_calls(job),
            calls,
            job.started,
        )
        job.evaluation.call = node
        if not _has_provenance(job):
            self._note_unrecorded(job.task)
        elif not self._dryrun:
            self.repository.record_call(call)

    def _note_failed_call(self, job: Job) -> None:
        """Let the jobs above know the tasks of one that failed before it had a key.

        What they come to, if they handle the error, depends on those tasks all the same.
        """
        assert job.task is not None
        self._note_unrecorded(job.task)
        task_set = self._task_set(job, _calls_of(job.children))
        job.evaluation.call = CallNode(job.key or b"", 0, task_set)

    # Handled errors

    def expecting_errors(self, place: bytes, parent: Job | None) -> Job | None:
        """Return the job in whose scope to evaluate what a catch at a place is given.

        If an earlier execution has handled errors there, it is a stand-in for the job: those below
        it replay the errors, and share nothing with equal ones elsewhere, which do not.
        """
        if not self._cache:
            return parent
        errors = {}
        for call_key, data in self.repository.look_up_handled(place):
            try:
                errors[call_key] = loads_expr(data)
            except Exception:
                continue  # Its class is gone: as good as not recorded.
        if not errors:
            return parent
        if parent is None:
            stand_in = Job(TaskEvaluation(self, _ROOT, None), 0, self._context)
        else:
            if parent.children is None:
                parent.children = []
            if parent.used is None:
                parent.used = {}
            stand_in = copy.copy(parent)
        stand_in.scope = dict((self._scope if parent is None else parent.scope) or {})
        stand_in.context = stand_in.context.expecting(place, errors)
        return stand_in

    def errors_handled(self, key: bytes, errors: Iterable[BaseException]) -> None:
        """Record that errors were handled, so that they need not come up again."""
        waiting = [(key, error) for error in errors]
        while waiting:
            key, error = waiting.pop()
            waiting += self._replaced.pop(id(error), ())
            _, call_key = self._origins.get(id(error), (None, None))
            if call_key is not None and not self._dryrun:
                try:
                    self.repository.record_handled(key, call_key, dumps_expr(error))
                except RedunLiteError:
                    pass  # It cannot be stored, and is met again next time.

    def error_replaced(self, key: bytes, error: BaseException, other: BaseException) -> None:
        """Take note that the handler of an error failed: if that is handled, both are."""
        self._replaced.setdefault(id(other), []).append((key, error))

    def _replay_error(self, job: Job, error: BaseException) -> None:
        """End a job with an error that was handled in an earlier execution."""
        self._origins[id(error)] = (error, job.key or b"")
        self._replayed.add(id(error))
        self._fail(job, error)

    def _record_unfinished_call(self, job: Job) -> None:
        """Record what a function returned before that has come to a value.

        If this process dies, the function need not run again.
        """
        assert job.task is not None and job.key is not None
        if job.task.evaluates_within or job.records is None or not _has_provenance(job):
            return
        try:
            single = self._result_record(job, job.single)
        except RedunLiteError:
            return  # As the job's end will say.
        record = self._error_record(_UNFINISHED)
        task_set = self._leaf_set(job.task)
        outcome = _outcome(digest(b"@unfinished" + single.key), [], task_set)
        job.early = CallRecord(
            CallNode(job.key, outcome, task_set),
            job.task,
            single,
            record,
            job.names,
            job.records,
            self._upstream_calls(job),
            (),
            job.started,
        )
        self.repository.record_call(job.early)

    def _take_early(self, job: Job) -> ValueRecord | None:
        """Return what was recorded early of a job, whose call takes the place of that record."""
        if job.early is None:
            return None
        if not self._dryrun:
            self.repository.forget_call(job.early.node)
        return job.early.single

    def _error_record(self, value: ErrorValue) -> ValueRecord:
        return self._value_record(key_of(value), value)

    def _argument_records(self, job: Job) -> list[ValueRecord]:
        name = ""
        records = []
        try:
            for name, key, value in zip(job.names, job.keys or (), job.values):  # noqa: B007
                records.append(self._value_record(key, value))
        except HashError as error:
            raise error.within(f"argument {name!r} of {job.task_name}") from None
        return records

    def _result_key(self, job: Job, value: Any) -> bytes:
        try:
            return key_of_expr(value)
        except HashError as error:
            raise error.within(f"result of {job.task_name}") from None

    def _result_record(self, job: Job, value: Any) -> ValueRecord:
        key = key_of(value) if is_flat(value) else self._result_key(job, value)
        try:
            return self._value_record(key, value)
        except HashError as error:
            raise error.within(f"result of {job.task_name}") from None

    def _value_record(self, key: bytes, value: Any) -> ValueRecord:
        repository = self.repository
        record = repository.known_values.get(key)
        if record is None:
            record = make_value_record(key, value)
            repository.remember(record)
        return record

    def _upstream_calls(self, job: Job) -> list[list[CallNode]]:
        if job.upstreams is None:
            return []
        return [_source_calls(evaluations) for evaluations in job.upstreams]

    def _note_unrecorded(self, task: Task[Any, Any]) -> None:
        """Record the task of a job that is not: the sets of tasks of those above refer to it."""
        if task.key not in self._used_sets:
            self._used_set(task.code)

    def _used_set(self, code: TaskCode) -> TaskSet:
        """Return the set of one task that has no job of its own."""
        task_set = self._used_sets.get(code.key)
        if task_set is None:
            task_set = self.repository.task_set(frozenset((code.key,)))
            self._used_sets[code.key] = task_set
            if not self._dryrun:
                self.repository.record_task(code)
        return task_set

    def _leaf_set(self, task: Task[Any, Any]) -> TaskSet:
        task_set = self._leaf_sets.get(task.key)
        if task_set is None:
            task_set = self.repository.task_set(frozenset((task.key,)))
            self._leaf_sets[task.key] = task_set
        return task_set

    def _task_set(self, job: Job, calls: Iterable[CallNode]) -> TaskSet:
        assert job.task is not None
        below = {call.task_set for call in calls}
        if job.used is not None:
            below.update(map(self._used_set, job.used.values()))
        own = self._leaf_set(job.task)
        below.add(own)
        if len(below) == 1:
            return own
        return self.repository.task_set(frozenset().union(*(part.tasks for part in below)))

    # When nothing can go on

    def _raise_dry_run(self) -> None:
        """Raise what ends a dry run, if it met jobs that would run."""
        if self.would_run:
            names = ", ".join(dict.fromkeys(job.task_name for job in self.would_run))
            raise DryRunResult(f"dry run: {len(self.would_run)} jobs would run: {names}")

    def _raise_deadlock(self, root: Promise[Any]) -> None:
        """Raise the error that names the circle of jobs that wait for each other.

        Where async jobs wait, they may also wait for something else: then there need be none.
        """
        steps: dict[Evaluation, int] = {}
        node: Any = root
        while node is not None and node not in steps:
            steps[node] = len(steps)
            node = self._awaited_by(node)
        path = list(steps)
        circle = path[steps[node] :] if node is not None else []
        circular = [part.expr.task_name for part in circle if isinstance(part, TaskEvaluation)]
        if not circular and self._in_flight:
            self._raise_starved(path[-1])
            return
        if not circular:
            raise TaskError(
                f"nothing is left that could settle {path[-1].expr!r}: a scheduler task has to "
                "return a value, an expression, or a promise that scheduler.evaluate gave"
            )
        while len(circular) > 1 and circular[-1] == circular[0]:
            circular.pop()
        longer = ["…"] if len(circular) > _MAX_SHOWN_CIRCLE else []
        shown = " → ".join([*circular[:_MAX_SHOWN_CIRCLE], *longer, circular[0]])
        raise CyclicDependency(
            f"the result of {circular[0]} depends on itself: {shown}; "
            "change an argument from one call to the next, or end the recursion"
        )

    def _raise_starved(self, node: Evaluation) -> None:
        """Raise an error if a job waits for resources that only waiting jobs hold."""
        job = node.job if isinstance(node, TaskEvaluation) else None
        if job is None or job.options is None or job.stage == _RUN or not job.options.limits:
            return
        holders = [other.task_name for other in self.awaiting if _shares_limits(job, other)]
        if holders:
            names = ", ".join(dict.fromkeys(holders))
            raise CyclicDependency(
                f"{job.task_name} waits for {_limits_text(job)}, held by {names}, which awaits a "
                "result that depends on it; take the limit off the task that awaits"
            )

    def _awaited_by(self, node: Evaluation) -> Evaluation | None:
        """Return an evaluation that another one waits for."""
        if isinstance(node, TaskEvaluation):
            job = node.job
            if job is None:
                return None
            if job.leader is not None:
                return job.leader
            if job.stage == _RUN:
                return next((one for one in (job.scope or {}).values() if not one._settled), None)
            if job.stage == _REDUCE:
                return self._pending_in(job.single, job)
            given = (job.values, job.unsettled_options, node.expr.options.get(CONTEXT_OPTION))
            return self._pending_in(given, node.parent) or self._pending_in(given, job)
        assert isinstance(node, (OperatorEvaluation, NestedEvaluation))
        return _first_pending(node.sources_in)

    def _pending_in(self, value: Any, scope: Job | None) -> Evaluation | None:
        """Return an evaluation in a scope that a value waits for."""
        evaluations = (self._scope if scope is None else scope.scope) or {}
        for expr in expressions_in(value):
            evaluation = evaluations.get(id(expr))
            if evaluation is not None and not evaluation._settled:
                return evaluation
        return None


def _retry_delay(options: TaskOptions, attempt: int) -> float:
    """Return the seconds between an attempt and the next, give or take."""
    if not options.retry_delay:
        return 0.0
    try:
        return min(options.retry_delay * options.retry_backoff ** (attempt - 1), MAX_RETRY_DELAY)
    except OverflowError:
        return MAX_RETRY_DELAY


def _keep_arguments(job: Job) -> None:
    """See to it that each attempt at a job gets its arguments as they came.

    A function may change them before it fails, and one that was given up may still do so.
    """
    if job.attempt == 1:
        try:
            job.packed = dumps_expr(job.values)
        except HashError:
            pass  # Some class can be stored in a way of its own only.
    elif job.packed is not None:
        job.values = loads_expr(job.packed)


def _first_pending(promises: Iterable[Promise[Any]]) -> Evaluation | None:
    """Return an evaluation that is not settled among those that some promises are made of."""
    seen: set[int] = set()
    stack = list(promises)[::-1]
    while stack:
        promise = stack.pop()
        if promise.is_settled or id(promise) in seen:
            continue
        if isinstance(promise, Evaluation):
            return promise
        seen.add(id(promise))
        stack.extend(promise.sources())
    return None


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


class _Collector:
    """Makes the garbage collector patient while runs last.

    A run keeps what it makes, and its objects form no cycles: looking through all of them again
    and again takes time and finds nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._thresholds = gc.get_threshold()

    def run_starts(self) -> None:
        with self._lock:
            self._runs += 1
            if self._runs == 1:
                self._thresholds = gc.get_threshold()
                if 0 < self._thresholds[0] < _COLLECT_AFTER:
                    gc.set_threshold(_COLLECT_AFTER, *self._thresholds[1:])

    def run_ends(self) -> None:
        with self._lock:
            self._runs -= 1
            if self._runs == 0:
                gc.set_threshold(*self._thresholds)


_collector = _Collector()


class _Invalid:
    """Stands for a recorded value that cannot be used."""


_INVALID = _Invalid()
_ROOT: TaskExpression[Any] = TaskExpression("redun_lite.catch")  # Stands for what runs a catch.
_UNFINISHED = ErrorValue(
    "redun_lite.Unfinished", "the function has returned, what it led to has not ended", ""
)


def _outcome(result_key: bytes, calls: list[CallNode], task_set: TaskSet) -> int:
    """Return the 64 bits that tell apart equal calls which came out differently.

    The set of tasks is part of it, since it may hold some that have no calls: scheduler tasks.
    """
    below = {call.key + call.outcome.to_bytes(8, "little", signed=True) for call in calls}
    whole = digest(result_key + b"".join(sorted(below)) + task_set.digest)
    return int.from_bytes(whole[:8], "little", signed=True)


def _calls_of(evaluations: list[TaskEvaluation] | None) -> list[CallNode]:
    """Return the calls of those evaluations that have ended."""
    return [node.call for node in evaluations or () if node.call is not None]


def _source_calls(evaluations: Iterable[Promise[Any]]) -> list[CallNode]:
    """Return the calls whose results some evaluations are made of, each once."""
    calls = []
    seen: set[int] = set()
    stack = list(evaluations)[::-1]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, TaskEvaluation):
            if node.call is not None:
                calls.append(node.call)
        elif isinstance(node, (OperatorEvaluation, NestedEvaluation)):
            stack.extend(reversed(node.sources_in))
        else:
            stack.extend(node.sources())
    return calls


def _has_provenance(job: Job) -> bool:
    """Say whether a job is recorded; one that fails before it has options, as the one above."""
    if job.options is not None:
        return job.options.prov
    return job.parent is None or _has_provenance(job.parent)


def _may_replay(job: Job) -> bool:
    """Say whether an error that a job raised in an earlier execution may be taken for it.

    Whoever asks for retries says that errors come and go.
    """
    options = job.options
    assert options is not None
    cached = options.cache_scope is CacheScope.BACKEND and options.allows(CacheResult.SINGLE)
    return cached and options.retries == 0


def _keeps_error(job: Job, error: BaseException) -> bool:
    """Say whether an error of a job's function follows from the job's key, so that it is kept."""
    assert job.task is not None
    if isinstance(error, ExecutorError) or not isinstance(error, Exception):
        return False  # It says more of the time and the place than of the task.
    # What was evaluated within is no part of its key; an async task may have awaited nothing.
    within = job.task.evaluates_within and (job.scope or not job.task.is_async)
    return _may_replay(job) and not within


class _Outcome:
    """Waits for what a scheduler task has promised."""

    __slots__ = ("_engine", "_node", "_promise")

    def __init__(self, engine: Engine, node: OperatorEvaluation) -> None:
        self._engine = engine
        self._node = node
        self._promise: Promise[Any] | None = None

    def on_settled(self, promise: Promise[Any]) -> None:
        self._promise = promise
        self._engine.ready.append(self)

    def resume(self) -> None:
        assert self._promise is not None
        self._engine.settle_as_promised(self._node, self._promise)


class _Began(Notice):
    """The function of a job begins."""

    __slots__ = ("_moment",)

    def __init__(self, moment: float) -> None:
        self._moment = moment

    def deliver(self, engine: Engine, job: Job) -> None:
        engine.start_timeout(job, self._moment)


class _Refused(Notice):
    """An executor cannot run a job."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def deliver(self, engine: Engine, job: Job) -> None:
        engine.refused(job, self._error)


def _without_engine_frames(error: BaseException) -> BaseException:
    """Drop the engine's own frame from the traceback of an error that it caught."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    return error


def _shares_limits(job: Job, other: Job) -> bool:
    assert job.options is not None and other.options is not None
    return bool(job.options.limits.keys() & other.options.limits.keys())


def _limits_text(job: Job) -> str:
    assert job.options is not None
    return ", ".join(f"limit {name!r}" for name in job.options.limits)
