"""The engine: evaluates expressions to values, for one execution.

Evaluation is a loop over three queues, and nothing in it recurses:

* `ready` holds evaluations that have all they waited for; `advance` takes their next step.
* `lookups` holds jobs whose key is known and whose result may be in the repository; they are
  looked up many at a time, once nothing else is ready.
* the dispatcher's `inbox` is where executors put results, from their own threads.

All state belongs to the thread that runs the loop, so there are no locks.

A job goes through these steps: its options and arguments are evaluated (`_start`), its key is
computed (`_identify`) and an equal job in this execution is followed instead (`_share`), the
repository is asked (`_look_up`), else its function is run (`_submit`, and `_dispatch` from there).
What comes back may hold expressions, which are evaluated in the scope of the job (`returned`); then
it is recorded and its promise settles (`_finish`).
"""

from __future__ import annotations

import queue
import time
from collections import deque
from itertools import islice
from typing import Any, Callable

from ._collector import collector
from ._context import Context
from ._db import FLUSH_INTERVAL, Repository
from ._deadlock import find_deadlock
from ._digest import NO_KEY, digest, is_flat
from ._dispatch import Dispatcher
from ._errors import (
    DryRunResult,
    HashError,
    RedunLiteError,
    TaskError,
)
from ._evaluator import Evaluator
from ._executor import Executor
from ._expr import (
    TaskExpression,
    expressions_in,
    key_of_expr,
)
from ._handle import RunHandles
from ._handled_errors import HandledErrors
from ._hash import key_of
from ._job import Evaluation, Job, JobInfo, Reporter, Stage, TaskEvaluation
from ._options import (
    CONTEXT_OPTION,
    CacheCheckValid,
    CacheResult,
    CacheScope,
    holds_expressions,
)
from ._promise import Promise, Resumable
from ._provenance import CachedCall
from ._record import ScriptResult, has_hooks
from ._recorded_results import INVALID, RecordedResults
from ._recorder import PartOf, Recorder
from ._schema import JOB_NUMBER_BITS
from ._status import CACHED, CANCELLED, DONE, FAILED, RUNNING
from ._task import Task, TaskCode, get_task_registry
from ._timers import now
from ._value import get_type_registry, own_containers

_CONTEXT, _IDENTIFY, _FOLLOW = Stage.CONTEXT, Stage.IDENTIFY, Stage.FOLLOW
_RUN, _REDUCE, _PAUSED = Stage.RUN, Stage.REDUCE, Stage.PAUSED

_SLICE = 512  # Steps between two looks at the inbox.
_MAX_SHOWN_RUNNING = 64  # Jobs that are recorded as running while they last.
_PAUSE = 0.002  # Seconds without news after which the engine counts as idle, and commits.
_MAX_SHOWN_FAILED = 100  # Failed jobs that are kept for whoever reports on the run.


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
        self._ended: dict[str, int] = dict.fromkeys((DONE, CACHED, FAILED, CANCELLED), 0)
        self.would_run: list[Job] = []
        self.failed: list[Job] = []
        self.started = time.monotonic()
        self._cache = cache
        self._dryrun = dryrun
        self._overrides = overrides or {}
        self._context = Context(context or {})
        self._reporter = reporter
        self.evaluator = Evaluator(self, scheduler)
        self.execution_uuid = execution_uuid
        self.recorder = Recorder(repository, dryrun, execution_uuid, part_of)
        self.dispatcher = Dispatcher(self, executor_of, limits, self.recorder, reporter)
        self.open = self.dispatcher.open
        # Straight to where they lead: executors call these once a job.
        self.complete = self.dispatcher.complete
        self.began = self.dispatcher.began
        self.exported = exported
        self.used: dict[bytes, TaskCode] = {}  # Tasks that took part outside any job, by key.
        self.single: Any = None  # What is evaluated, as what a job has returned is.
        self.handles = RunHandles(execution_id if part_of is None else part_of.execution_id)
        self._recorded = RecordedResults(repository)
        self._registry = get_task_registry()
        self._number = execution_id << JOB_NUMBER_BITS
        self._equal: dict[bytes, TaskEvaluation] = {}  # By evaluation key, for CSE.
        self.forked: deque[Promise[Any]] = deque()  # What the run waits for besides its result.
        self.threads: dict[str, list[Promise[Any]]] = {}  # The same, by the key of what was forked.
        self.handled_errors = HandledErrors(repository, cache, not dryrun)

    # The loop

    def interrupt(self) -> None:
        """Stop submitting jobs, from any thread, and end once those that run have ended."""
        self.dispatcher.is_interrupted = True
        self.dispatcher.wake()

    @property
    def is_interrupted(self) -> bool:
        """Whether nothing more is to start."""
        return self.dispatcher.is_interrupted

    @property
    def running(self) -> int:
        """How many jobs executors have, also those that wait for a worker."""
        return self.dispatcher.in_flight

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs run, and how many have ended with each status."""
        running = self.running - self.dispatcher.waiting()
        return {RUNNING: max(running, 0), **self._ended}

    @property
    def total(self) -> int:
        """How many task calls there have been."""
        return self.evaluator.total

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
        collector.run_starts()
        self.single = value
        try:
            root = self.evaluator.evaluate_nested(value, None)
            self._loop(root)
            while self.forked and root.is_fulfilled and not self.is_interrupted:
                self._loop(self.forked[0])
                if self.forked[0].is_settled:
                    self.forked.popleft()
            if not root.is_fulfilled or self.is_interrupted or self.running:
                self._drain()
        finally:
            collector.run_ends()
            self._end()
        if not root.is_settled or (self.forked and root.is_fulfilled):
            raise KeyboardInterrupt
        return root.value

    def _loop(self, root: Promise[Any]) -> None:
        ready = self.ready
        repository = self.repository
        dispatcher = self.dispatcher
        inbox = dispatcher.inbox
        timers = dispatcher.timers
        while not root._settled and not dispatcher.is_interrupted:
            if self._reporter is not None:
                self._reporter.tick(self)
                if dispatcher.is_interrupted:  # That may have been asked for just now.
                    break
            for _ in range(min(len(ready), _SLICE)):
                ready.popleft().resume()
            completed = inbox.qsize()
            for _ in range(completed):
                dispatcher.receive(*inbox.get())
            if self.lookups and (not ready or len(self.lookups) >= _SLICE):
                self._look_up()
            if timers:
                timers.fire()
            if repository.is_flush_due:
                self._flush()
            if ready or completed or self.lookups:
                continue
            if root._settled or dispatcher.is_interrupted:
                break
            if dispatcher.in_flight <= len(dispatcher.awaiting) and not dispatcher.paused:
                if self._dryrun and not dispatcher.in_flight:
                    self._raise_dry_run()
                # Async jobs that wait may wait for something else besides: then none is found.
                error = find_deadlock(
                    root, self.evaluator.scope, dispatcher.awaiting, dispatcher.in_flight > 0
                )
                if error is not None:
                    root.reject(error)
                    break
            self._wait()

    def _wait(self) -> None:
        """Sleep until an executor has something to say; commit if that is not at once."""
        dispatcher = self.dispatcher
        timers = dispatcher.timers
        timeout = _PAUSE
        while True:
            if timers:
                timeout = min(timeout, timers.seconds_left)
            try:
                dispatcher.receive(*dispatcher.inbox.get(timeout=timeout))
                return
            except queue.Empty:
                if timers and timers.fire():
                    return
                self._flush()
                if self._reporter is not None:
                    self._reporter.tick(self)
                timeout = FLUSH_INTERVAL if self._reporter is None else self._reporter.interval

    def _drain(self) -> None:
        """Let the jobs that run come to their end, and record them; start no others."""
        self.dispatcher.withdraw()
        if self._reporter is not None and self.running:
            self._reporter.draining(self)
        while self.running:
            self._wait()

    def wants(self, job: Job) -> bool:
        """Say, in any thread, whether a job that runs is still waited for, and may start others."""
        return not self.is_interrupted and job.stage == _RUN and job.status is RUNNING

    def arguments_below(self, job: Job) -> dict[str, Any]:
        """Return the arguments for `Scheduler.run` by which another engine goes on below a job."""
        return {
            "cache": self._cache,
            "context": job.context.variables,
            "options": self._overrides,
            "exported": job.exported,
        }

    def _end(self) -> None:
        """Record what became of jobs that have not ended."""
        for job in self.open:
            job.status = CANCELLED
            self._ended[CANCELLED] += 1
            if not self._dryrun and _has_returned_calls(job):
                self.recorder.record_unfinished_call(job, has_returned=True)
            self.recorder.record_job(job, now())
        # All these lead back to the engine: cut, they are freed now and not when the garbage
        # collector comes by.
        self.dispatcher.clear()
        self.ready.clear()
        self.evaluator.scope.clear()
        self._equal.clear()
        self.single = None
        self.handled_errors.clear()

    def _flush(self) -> None:
        """Hand what is recorded to the repository, with the jobs that have run for a while."""
        if not self._dryrun:
            for job in islice(self.open, _MAX_SHOWN_RUNNING):
                has_returned = _has_returned_calls(job)
                if has_returned or not job.shown:
                    job.shown = True
                    self.recorder.record_unfinished_call(job, has_returned)
                    self.recorder.record_job(job, None)
        self.repository.flush()

    # Evaluation

    def advance(self, node: Evaluation) -> None:
        """Take the next step of an evaluation that has all it waited for."""
        if isinstance(node, TaskEvaluation):
            job = node.job
            if job is None:
                self._start(node)
            elif job.stage == _FOLLOW:
                job.leader = None
                self._share(job)
            elif node.failure is not None:
                self.fail(job, node.failure)
            elif job.stage == _IDENTIFY:
                self._identify(job)
            elif job.stage == _CONTEXT:
                self._enter_context(job)
            elif job.stage == _REDUCE:
                self._complete(job)
        else:
            self.evaluator.advance(node)

    def context_of(self, job: Job | None) -> dict[str, Any]:
        """Return the context variables of a job, or of the execution."""
        return (self._context if job is None else job.context).variables

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
            if CONTEXT_OPTION in expr._options:
                self._update_context(job, expr._options[CONTEXT_OPTION])
                return
            self._set_options(job, task, expr)
        except RedunLiteError as error:
            self.fail(job, error)
            return
        job.stage = _IDENTIFY
        if not is_flat(values):
            job.upstreams = [self.evaluator.gather(node, value, parent) for value in values]
        if job.unsettled_options is not None:
            self.evaluator.gather(node, job.unsettled_options, parent)
        if node.missing == 0 and node.failure is None:
            self._identify(job)

    def _update_context(self, job: Job, variables: dict[str, Any]) -> None:
        """Evaluate the context variables that a call sets."""
        job.stage = _CONTEXT
        node = job.evaluation
        self.evaluator.gather(node, variables, job.parent)
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
            variables = self.evaluator.substitute(expr._options[CONTEXT_OPTION], job.parent)
            job.context = job.context.updated(variables)
            self._set_options(job, task, expr)
            job.given = task.parameters.given(expr.args, expr.kwargs)
        except HashError as error:
            self.fail(job, error.within(f"context of {job.task_name}"))
            return
        except Exception as error:
            self.fail(job, error)
            return
        job.stage = _IDENTIFY
        job.upstreams = [
            self.evaluator.gather(node, value, job.parent if name in job.given else job)
            for name, value in zip(job.names, job.values)
        ]
        if job.unsettled_options is not None:
            self.evaluator.gather(node, job.unsettled_options, job)
        if node.missing == 0 and node.failure is None:
            self._identify(job)

    def _set_options(self, job: Job, task: Task[Any, Any], expr: TaskExpression[Any]) -> None:
        inherited = job.inherited
        plain = not (expr._options or inherited or self._overrides)
        if plain and not task.has_lazy_options:
            job.options = task.default_options()
            if task.exported:
                job.exported = {name: task.base_options[name] for name in task.exported}
            return
        options = {**task.base_options, **(inherited or {}), **expr._options, **self._overrides}
        options.pop(CONTEXT_OPTION, None)  # It is evaluated before the others, which may use it.
        exported = (*task.exported, *expr._exported)
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
                settled = self.evaluator.substitute(job.unsettled_options, inside)
                job.options = task.parse_options(settled)
                exported = (*task.exported, *job.evaluation.expr._exported)
                if exported:  # Evaluated here, and not again in each job below.
                    job.exported = {
                        **(job.exported or {}),
                        **{name: settled[name] for name in exported},
                    }
            if job.upstreams is not None:
                if any(job.upstreams):
                    values = self._settled_arguments(job)
                job.values = values = get_type_registry().preprocess(values, {"job": job})
        except RecursionError:
            self.fail(job, TaskError(f"an argument of {job.task_name} is nested too deeply"))
            return
        except Exception as error:
            self.fail(job, error)
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
            self.fail(job, error)
            return
        if options.config_args:
            keys = [
                NO_KEY if name in options.config_args else key for name, key in zip(job.names, keys)
            ]
        job.key = digest(task.key + b"".join(keys))
        self._share(job)

    def _share(self, job: Job) -> None:
        """Let a job follow an equal one of this execution, else look for a recorded call."""
        options = job.options
        key = job.key
        assert options is not None and key is not None
        scope = options.cache_scope
        if scope is not CacheScope.NONE and options.allows(CacheResult.CSE):
            node = job.evaluation
            # What a call leads to may ask for the context.
            identity = key + job.context.key
            if not options.prov and identity not in self._equal:
                identity += b"unrecorded"  # Else a call that is recorded could lead to nothing.
            equal = self._equal.setdefault(identity, node)
            if equal is not node:
                if not equal._settled:
                    job.leader = equal
                    job.stage = _FOLLOW
                    node.missing = 1
                    equal.add_waiter(node)
                    return
                if self.handled_errors.may_follow(job, equal):
                    self._follow(job, equal)
                    return
                self._equal[identity] = node
        if scope is CacheScope.BACKEND and self._cache:
            self.lookups.append(job)
        else:
            self.recorder.note_uncached(job, whole_run=not self._cache)
            self._submit(job)

    def _settled_arguments(self, job: Job) -> tuple[Any, ...]:
        """Return the arguments of a job with their expressions evaluated."""
        given = job.given
        if given is None:
            values: tuple[Any, ...] = self.evaluator.substitute(job.values, job.parent)
            return values
        return tuple(
            self.evaluator.substitute(value, job.parent if name in given else job)
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

    def _follow(self, job: Job, leader: TaskEvaluation) -> None:
        """End a job as an equal job has ended."""
        job.leader = leader
        job.evaluation.call = leader.call
        if leader._error is not None:
            self.fail(job, leader._error)
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
            single = self._recorded.single(cached)
            if single is not INVALID:
                job.cached = cached
                job.status = CACHED
                self.open[job] = None
                self.returned(job, single)
                return True
        return False

    def _replay_ultimate(self, job: Job, cached: CachedCall) -> bool:
        value = self._recorded.ultimate(cached)
        if value is INVALID:
            return False
        task_set = self.repository.look_up_task_set(cached.task_set_id)
        self.handles.replayed_whole(value)
        job.status = CACHED
        job.evaluation.call = self.recorder.recorded_node(job, cached, task_set)
        job.ended = now()
        self._settle(job, value)
        return True

    # Running

    def _submit(self, job: Job) -> None:
        """Start the function of a job, or let it wait for the resources it needs."""
        handled = self.handled_errors.error_for(job)
        if handled is not None:
            self.fail(job, handled)
            return
        if self._dryrun:
            self.would_run.append(job)
            return
        try:
            # Before the function runs, for it may change them, or fail to be stored.
            job.records = self.recorder.argument_records(job)
        except HashError as error:
            self.fail(job, error)
            return
        self.dispatcher.submit(job)

    def prepare(self, job: Job) -> None:
        """Set what the function of a job is called with; it is about to be."""
        values = job.values
        if job.upstreams is not None:
            # The function may change what it is given, which others are given as well.
            values = own_containers(self._with_job_info(job))
        assert job.task is not None
        job.args, job.kwargs = job.task.parameters.call_arguments(values)
        if job.handles is not None:
            self.handles.job_starts(job, self.repository)

    def _with_job_info(self, job: Job) -> tuple[Any, ...]:
        """Return the arguments of a job, with its particulars where it asks for them."""
        values = job.values
        if not any(type(value) is JobInfo for value in values):
            return values
        assert job.options is not None and job.key is not None
        info = JobInfo(
            self.recorder.whole_uuid,
            self.recorder.job_id(job),
            job.key.hex(),
            digest(b"".join(job.keys or ())).hex(),
            job.options.given,
        )
        return tuple(info if type(value) is JobInfo else value for value in values)

    def returned(self, job: Job, result: Any) -> None:
        """Take what the function of a job has returned, and evaluate the expressions in it."""
        if type(result) is ScriptResult:
            job.stage = _REDUCE
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
                self.fail(job, error)
                return
            job.stage = _REDUCE
            job.single = result
            if self.is_interrupted and expressions_in(result):
                return
            node = job.evaluation
            self.evaluator.gather(node, result, job)
            if node.missing or node.failure is not None:
                return
            if job.scope:
                self._complete(job)
                return
        else:
            job.stage = _REDUCE
            job.single = result
        self._finish(job, result)

    def _complete(self, job: Job) -> None:
        """Put the values of the expressions into the first result of a job."""
        try:
            value = self.evaluator.substitute(job.single, job)
        except Exception as error:  # A set that is given a list to hold, for example.
            self.fail(job, error)
        else:
            self._finish(job, value)

    # Ending

    def _finish(self, job: Job, value: Any) -> None:
        """Record a job and settle its promise."""
        try:
            job.evaluation.call = self.recorder.make_call(job, value)
        except RedunLiteError as error:
            self.fail(job, error)
            return
        if job.status is not CACHED:
            job.status = DONE
        job.ended = now()
        self._settle(job, value)

    def _settle(self, job: Job, value: Any) -> None:
        self._ended[job.status] += 1
        self.open.pop(job, None)
        self.recorder.record_job(job, job.ended)
        if self._reporter is not None:
            self._reporter.job_ended(job)
        node = job.evaluation
        node.job = None
        node.fulfil(value)

    def raised(self, job: Job, error: BaseException) -> None:
        """Fail a job whose own function raised, or could not be run."""
        self.handled_errors.note_raised(job, error)
        self.fail(job, error)

    def fail(self, job: Job, error: BaseException) -> None:
        """Record the error of a job and reject its promise."""
        # A job whose function has run has failed anew, even if with an error that it was given.
        is_replayed = job.records is None and self.handled_errors.is_replayed(error)
        job.status = CACHED if is_replayed else FAILED
        job.ended = now()
        job.started = job.started or job.ended
        self._ended[job.status] += 1
        if not is_replayed and len(self.failed) < _MAX_SHOWN_FAILED:
            self.failed.append(job)
        self.open.pop(job, None)
        if job.task is not None:
            if job.evaluation.call is not None:
                pass  # An equal job has failed.
            elif job.keys is not None and not isinstance(error, HashError):
                self.recorder.record_failed_call(job, error, job.stage == _REDUCE)
            else:
                self.recorder.note_failed_call(job)
            self.recorder.record_job(job, job.ended)
        if self._reporter is not None:
            self._reporter.job_ended(job, error)
        node = job.evaluation
        node.job = None
        node.reject(error)

    def outside(self) -> Job:
        """Return what stands for a job where none is: around all of them."""
        job = Job(TaskEvaluation(self, _ROOT, None), 0, self._context)
        job.scope = self.evaluator.scope
        job.single = self.single
        job.handles = self.handles
        return job

    # When nothing can go on

    def _raise_dry_run(self) -> None:
        """Raise what ends a dry run, if it met jobs that would run."""
        if self.would_run:
            names = ", ".join(dict.fromkeys(job.task_name for job in self.would_run))
            raise DryRunResult(f"dry run: {len(self.would_run)} jobs would run: {names}")


def _has_returned_calls(job: Job) -> bool:
    """Say whether the function of a job has returned what is not recorded yet."""
    return (
        job.stage == _REDUCE
        and job.cached is None
        and (job.early is None or job.early.single is None)
    )


_ROOT: TaskExpression[Any] = TaskExpression("redun_lite.run")  # Stands for what no task called.
