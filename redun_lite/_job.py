"""What the engine keeps of each evaluation.

An evaluation is the promise of an expression's value, and what it waits for counts down in it.  A
million of them may be around until the job that needs their values has ended, so they are small.
All that only matters while a task call is under way is in its job, which comes when the evaluation
starts and goes when it ends.
"""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any, Protocol

from ._expr import ValueExpression
from ._hash import key_of
from ._promise import Promise
from ._status import PENDING
from ._value import Value

if TYPE_CHECKING:
    from ._context import Context
    from ._expr import Expression, TaskExpression
    from ._handle import JobHandles
    from ._options import TaskOptions
    from ._provenance import CachedCall, CallNode, CallRecord, ValueRecord
    from ._task import Task, TaskCode
    from ._timers import Timer


class Stage:
    """What comes next for a job."""

    CONTEXT, IDENTIFY, FOLLOW, RUN, REDUCE, PAUSED = range(1, 7)


class Run(Protocol):
    """The engine, as evaluations see it."""

    ready: Any
    exported: dict[str, Any] | None
    """Options that jobs outside any other inherit."""

    def advance(self, node: Evaluation) -> None:
        """Take the next step of an evaluation that has all it waited for."""

    def complete(self, job: Job, result: Any, error: BaseException | None) -> None:
        """Take note, from any thread, of how the function of a job came out."""

    def began(self, job: Job) -> None:
        """Take note, from any thread, that the function of a job begins."""

    def wants(self, job: Job) -> bool:
        """Say, in any thread, whether a job that runs is still waited for, and may start others."""
        ...


class Reporter:
    """Is shown what happens in a run; overrides what it wants to see.

    All methods are called by the engine's thread, between steps, so they must be short.
    """

    interval = 0.25
    """Seconds between two calls of `tick` while nothing happens."""

    def started(self, engine: Any, execution_id: str) -> None:
        """An execution starts."""

    def tick(self, engine: Any) -> None:
        """Time has passed: called very often."""

    def job_started(self, job: Job) -> None:
        """The function of a job is about to run."""

    def job_ended(self, job: Job, error: BaseException | None = None) -> None:
        """A job has ended, as its status says."""

    def job_retried(self, job: Job, error: BaseException, delay: float) -> None:
        """An attempt at a job has failed; the next one starts in `delay` seconds."""

    def draining(self, engine: Any) -> None:
        """No more jobs start, those that run are waited for."""

    def ended(self, engine: Any, status: str) -> None:
        """The execution has ended: DONE, FAILED or CANCELLED."""


class Evaluation(Promise[Any]):
    """The evaluation of an expression, and the promise of its value.

    Attributes
    ----------
    run
        The engine.
    expr
        What is evaluated.
    parent
        The job in whose scope it is; None for the root.
    missing
        How many results it still waits for.
    failure
        The first error among them.
    """

    __slots__ = ("expr", "failure", "missing", "parent", "run")

    def __init__(self, run: Run, expr: Expression[Any], parent: Job | None) -> None:
        # Spelled out instead of super().__init__: this runs once per job.
        self._queue = run.ready
        self._settled = False
        self._value = None
        self._error = None
        self._waiters = None
        self.run = run
        self.expr = expr
        self.parent = parent
        self.missing = 0
        self.failure: BaseException | None = None

    def on_settled(self, promise: Promise[Any]) -> None:
        if promise._error is not None:
            if self.failure is None:
                self.failure = promise._error
                self._queue.append(self)
        else:
            self.missing -= 1
            if self.missing == 0 and self.failure is None:
                self._queue.append(self)

    # Once it is settled, its parent is let go of, which holds it in turn.

    def fulfil(self, value: Any) -> None:
        if not self._settled:
            self.parent = None
            self._settled = True
            self._value = value
            self._tell()

    def reject(self, error: BaseException) -> None:
        if not self._settled:
            self.parent = None
            self._settled = True
            self._error = error
            self._tell()

    def resume(self) -> None:
        if not self._settled:
            self.run.advance(self)


class NestedEvaluation(Evaluation):
    """The evaluation of any value, with or without expressions in it: what a run is about."""

    __slots__ = ("sources_in", "whole")

    def __init__(self, run: Run, whole: Any, parent: Job | None) -> None:
        super().__init__(run, ValueExpression(None), parent)
        self.whole = whole
        self.sources_in: list[Any] = []


class OperatorEvaluation(Evaluation):
    """The evaluation of an expression that is no task call.

    Attributes
    ----------
    gathered
        Whether its operands have been asked for.
    sources_in
        The evaluations that its value is made of.
    """

    __slots__ = ("gathered", "sources_in")

    def __init__(self, run: Run, expr: Expression[Any], parent: Job | None) -> None:
        super().__init__(run, expr, parent)
        self.gathered = False
        self.sources_in: list[Any] = []


class TaskEvaluation(Evaluation):
    """The evaluation of a `TaskExpression`.

    Attributes
    ----------
    job
        The job, while there is one.
    call
        The call node, once the job has ended.
    """

    __slots__ = ("call", "job")

    expr: TaskExpression[Any]

    def __init__(self, run: Run, expr: Expression[Any], parent: Job | None) -> None:
        super().__init__(run, expr, parent)
        self.job: Job | None = None
        self.call: CallNode | None = None


class Job:
    """One call of a task in an execution, while it is under way.

    Executors get it as it is: they call `task.func` with `args` and `kwargs`.

    Attributes
    ----------
    evaluation
        The promise of its result.
    number
        Its row id: the execution's id and its number therein, in the order in which jobs start.
        Zero is no job: what stands around all of them, where a job is asked for.
    task, options
        The task called, and its options for this call.
    status
        PENDING, RUNNING, then DONE, CACHED or FAILED; CANCELLED if the run ended before it did.
    stage
        What comes next: see `Stage`.
    args, kwargs
        What the function is called with; set when the job is submitted to an executor.
    values, names
        The arguments, a value for each parameter, and the parameters' names.
    keys
        Keys of the values.
    key
        Evaluation key: digest of the task's hash and the arguments' keys.
    records
        What is recorded of the values; set when the job is submitted.
    given
        Names of the arguments that are not defaults, if the job has a context of its own.
    upstreams
        For each argument, the evaluations that it was made of.
    leader
        The evaluation of an equal call, if that is waited for instead.
    cached
        The recorded call whose first result is replayed, if one is.
    single
        What the function returned.
    early
        What was recorded of it, before it has ended.
    children
        The evaluations of task calls that its result led to, in the order in which they came up.
    scope
        All evaluations in this job, by the id of their expression.
    used
        Scheduler tasks, and tasks of sub-schedulers, that took part besides the children.
    attempt
        Which attempt this is, from 1.
    packed
        The arguments, pickled, for a later attempt.
    begun
        When the first attempt started, if this is a later one.
    shown
        Whether it has been recorded as running.
    timer
        What ends it when it has run for too long.
    handles
        What is kept of its handles, if it or a call in it gets or gives any.
    context
        Context variables for the job and those below.
    inherited, exported
        Options from the jobs above, and those for the jobs below.
    started, ended
        Times in microseconds since 1970.
    """

    __slots__ = (
        "args",
        "attempt",
        "begun",
        "cached",
        "children",
        "context",
        "early",
        "ended",
        "evaluation",
        "exported",
        "given",
        "handles",
        "inherited",
        "key",
        "keys",
        "kwargs",
        "leader",
        "names",
        "number",
        "options",
        "packed",
        "parent",
        "records",
        "run",
        "scope",
        "shown",
        "single",
        "stage",
        "started",
        "status",
        "task",
        "timer",
        "unsettled_options",
        "upstreams",
        "used",
        "values",
    )

    def __init__(self, evaluation: TaskEvaluation, number: int, context: Context) -> None:
        self.evaluation = evaluation
        self.run = evaluation.run
        self.parent = parent = evaluation.parent
        self.number = number
        self.status = PENDING
        self.stage = 0
        self.task: Task[Any, Any] | None = None
        self.options: TaskOptions | None = None
        self.unsettled_options: dict[str, Any] | None = None
        self.values: tuple[Any, ...] = ()
        self.names: tuple[str, ...] = ()
        self.keys: list[bytes] | None = None
        self.key: bytes | None = None
        self.records: list[ValueRecord] | None = None
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] | None = None
        self.upstreams: list[list[Evaluation]] | None = None
        self.leader: TaskEvaluation | None = None
        self.cached: CachedCall | None = None
        self.single: Any = None
        self.early: CallRecord | None = None
        self.children: list[TaskEvaluation] | None = None
        self.scope: dict[int, Evaluation] | None = None
        self.used: dict[bytes, TaskCode] | None = None
        self.given: set[str] | None = None
        self.attempt = 1
        self.packed: bytes | None = None
        self.begun = 0
        self.shown = False
        self.timer: Timer | None = None
        self.handles: JobHandles | None = None
        self.started = 0
        self.ended = 0
        self.context = context
        self.inherited: dict[str, Any] | None = (self.run if parent is None else parent).exported
        self.exported: dict[str, Any] | None = self.inherited

    @property
    def task_name(self) -> str:
        """Full name of the task."""
        return self.evaluation.expr.task_name

    @property
    def fullname(self) -> str:
        """Full name of the task."""
        return self.evaluation.expr.task_name

    def next_attempt(self) -> Job:
        """Return the job for another attempt.

        It is another object, so that whatever the executor still says of this one is no news of
        the next.
        """
        again = copy.copy(self)
        again.attempt += 1
        again.begun = self.begun or self.started
        again.scope = again.children = again.used = None
        again.evaluation.job = again
        return again

    def get_options(self) -> dict[str, Any]:
        """Return the job's options by name, as far as they are set."""
        return dict(self.options.given) if self.options is not None else {}

    def get_option(self, name: str, default: Any = None) -> Any:
        """Return one option, or `default` where it is not set."""
        return self.get_options().get(name, default)

    def __repr__(self) -> str:
        return f"Job({self.number}, {self.task_name}, {self.status})"


class _Current(threading.local):
    job: Job | None = None


current = _Current()
"""Its `job` is the one whose function runs in this thread, if that evaluates others within."""


class JobInfo(Value):
    """What a task can know of the job that runs it: give it as a default argument.

    All job infos have the same key, so a task with one is cached as if it had none.

    Attributes
    ----------
    execution_id
        UUID of the execution.
    job_id
        Id of the job, as `log` takes it.
    eval_hash
        40 hex digits that identify the task's code and arguments.
    args_hash
        40 hex digits that identify the arguments.
    options
        The options of the job by name, as far as they are set.

    Examples
    --------
    >>> from redun_lite import JobInfo, run, task
    >>> @task(namespace="docs", version="1", memory=4)
    ... def describe(job_info: JobInfo = JobInfo()):
    ...     return job_info.options
    >>> run(describe())
    {'memory': 4}
    """

    type_name = "redun_lite.JobInfo"

    def __init__(
        self,
        execution_id: str = "",
        job_id: str = "",
        eval_hash: str = "",
        args_hash: str = "",
        options: dict[str, Any] | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.job_id = job_id
        self.eval_hash = eval_hash
        self.args_hash = args_hash
        self.options = options or {}

    def get_hash(self, data: bytes | None = None) -> str:
        return _JOB_INFO_KEY


_JOB_INFO_KEY = key_of(JobInfo.type_name).hex()


class Notice:
    """What executors tell the engine of a job besides its end."""

    __slots__ = ()

    def deliver(self, engine: Any, job: Job) -> None:
        """Act on it, in the engine's thread."""
        raise NotImplementedError

    def refuse(self) -> None:
        """Act on it, in the engine's thread, where the job has ended or been given up."""
