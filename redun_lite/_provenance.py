"""What an execution leaves behind: records of its values, calls and jobs, in batches.

The engine makes them and a backend writes them; this is all that the two have to agree on.  Records
refer to each other as objects.  Whatever writes one gives it its id, and drops the bytes of a value
that it has written, so a record may be part of as many batches as it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ._digest import digest
from ._task import Task, TaskCode

if TYPE_CHECKING:
    from ._handle import HandleChange

UNCACHED_TAG = "redun_lite.uncached"
"""Tag of an execution that names a task for which no recorded result was looked for, and the option
that said so, as `docs.align: cache=False`.  The task of a whole run is `*`."""


class ValueRecord:
    """A value to be recorded.

    Attributes
    ----------
    key
        Digest of the value.
    type_name
        Name of its class.
    data
        Serialized value; None once it is written.
    subvalues
        Records of the Values inside.
    path
        Path, if the value is a file.
    id
        Row id, once it has one.
    """

    __slots__ = ("data", "id", "key", "path", "subvalues", "type_name")

    def __init__(
        self,
        key: bytes,
        type_name: str,
        data: bytes | None,
        subvalues: tuple[ValueRecord, ...] = (),
        path: str | None = None,
        id: int | None = None,
    ) -> None:
        self.key = key
        self.type_name = type_name
        self.data = data
        self.subvalues = subvalues
        self.path = path
        self.id = id


class TaskSet:
    """The tasks at and below a call; one object for each set there is."""

    __slots__ = ("digest", "id", "tasks")

    def __init__(self, tasks: frozenset[bytes]) -> None:
        self.tasks = tasks
        self.digest = digest(b"".join(sorted(tasks)))
        self.id: int | None = None


class CallNode:
    """A call, as others refer to it.

    Attributes
    ----------
    key, outcome
        What identifies it; see `_schema`.
    task_set
        The tasks at and below the call.
    id
        Row id, once it has one.
    """

    __slots__ = ("id", "key", "outcome", "task_set")

    def __init__(self, key: bytes, outcome: int, task_set: TaskSet, id: int | None = None) -> None:
        self.key = key
        self.outcome = outcome
        self.task_set = task_set
        self.id = id


class CallRecord(NamedTuple):
    """A call to be recorded.

    Attributes
    ----------
    node
        What others refer to.
    task
        The task called.
    single, result
        What the function returned (None if it raised), and what that came to or the error.
    names, arguments
        Name and value of each argument.
    upstreams
        For each argument, the calls whose results it was made of.
    children
        The calls below, in order.
    computed
        Time in microseconds since 1970.
    """

    node: CallNode
    task: Task[Any, Any]
    single: ValueRecord | None
    result: ValueRecord
    names: tuple[str, ...]
    arguments: Sequence[ValueRecord]
    upstreams: Sequence[Sequence[CallNode]]
    children: Sequence[CallNode]
    computed: int


class JobRecord(NamedTuple):
    """A job, as it stands: written when it ends, and while it runs if that takes long.

    Attributes
    ----------
    number
        Its row id: its execution's, and its number therein; see `_schema`.
    parent
        Row id of the job that called it, if one did.
    task
        The task called.
    call
        What it came to; None while it runs, and if that is not recorded.
    status
        One of `_job.STATUSES`.
    started, ended
        Times in microseconds since 1970; `ended` is None while it runs.
    """

    number: int
    parent: int | None
    task: Task[Any, Any]
    call: CallNode | None
    status: str
    started: int
    ended: int | None


class AttemptRecord(NamedTuple):
    """An attempt at a job that was tried more than once.

    Attributes
    ----------
    job
        Row id of the job.
    number
        Which attempt it was, from 1.
    started, ended
        Times in microseconds since 1970.
    error
        Why it failed; None if it did not.
    """

    job: int
    number: int
    started: int
    ended: int
    error: ValueRecord | None


class CachedCall(NamedTuple):
    """A call that the repository knows, with what its function returned.

    Attributes
    ----------
    id
        Row id.
    outcome, computed
        As in a `CallRecord` and its node.
    task_set_id
        Row id of the tasks at and below the call.
    single_id, result_id
        Row ids of what the function returned, and of what that came to.
    digest, type_name, data
        What the function returned, as in a `ValueRecord`.
    """

    id: int
    outcome: int
    computed: int
    task_set_id: int
    single_id: int
    result_id: int
    digest: bytes
    type_name: str
    data: bytes


class Batch:
    """What is written in one transaction.

    Attributes
    ----------
    tasks
        Tasks that sets of tasks refer to and that may have no job.
    values
        Values that may belong to no call.
    calls, jobs, attempts
        What their names say.
    forgotten
        Calls to remove once all others are written.
    handled
        Errors that were handled: where, which call raised it, and the exception.
    handles
        What jobs have done to handles, in order.
    tags
        Entity, key, and value in JSON.
    executions
        Status, end, last sign of life and row id of executions that have ended.
    """

    __slots__ = (
        "tasks",
        "values",
        "calls",
        "jobs",
        "attempts",
        "forgotten",
        "handled",
        "handles",
        "tags",
        "executions",
    )

    def __init__(self) -> None:
        self.tasks: list[TaskCode] = []
        self.values: list[ValueRecord] = []
        self.calls: list[CallRecord] = []
        self.jobs: list[JobRecord] = []
        self.attempts: list[AttemptRecord] = []
        self.forgotten: list[CallNode] = []
        self.handled: list[tuple[bytes, bytes, bytes]] = []
        self.handles: list[HandleChange] = []
        self.tags: list[tuple[str, str, str]] = []
        self.executions: list[tuple[str, int, int, int]] = []

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)
