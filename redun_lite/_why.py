"""Why a job ran instead of being replayed, from what is recorded.

A result is looked up by a key: the digest of the task's hash and of its arguments.  So a job ran
because no call had its key, because those that had it were of no use, or because nobody looked.  In
the first case the nearest earlier call of the task is compared with the job's own: the one that has
most arguments in common, at about the same place in the execution before.

What made an argument another one is followed to where it began: up to the calls whose results it
was made of, else to the job that gave it, each beside its counterpart.

A repository may hold a million jobs.  So what is compared are the last calls and jobs of a kind,
which indexes lead to, and those near to where a counterpart is likely to be.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from ._compare import (
    AS_RECORDED,
    MOST,
    UNKNOWN,
    Difference,
    FileState,
    differences,
    externals_in,
    is_external,
    present_state,
)
from ._digest import digest
from ._history import JobRow, TaskRow, ValueRow
from ._provenance import UNCACHED_TAG
from ._safe_load import Composite, load_safely
from ._schema import JOB_NUMBER_BITS, job_ids
from ._status import CACHED, FAILED
from ._uses import jobs_of_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._history import ExecutionRow, History

_MAX_NEAR = 100_000  # Jobs on either side of where the counterpart is likely to be.
_MAX_CANDIDATES = 100  # Earlier calls of each kind that are compared.
_MAX_USES = 2_000  # Calls that have an argument in common, and may be of any task.
_MAX_UPSTREAM = 200  # Calls whose results an argument was made of, the latest.
_MAX_CHILDREN = 20_000  # Calls below one that are compared with those of another.
_MAX_STEPS = 30  # Of the way to the root cause.
_MAX_CONFIG_ARGS = 10
_NO_KEY = bytes(20)


# Reasons

FIRST = "first-run"
"""No earlier call of the task is recorded."""
CALL = "another-call"
"""The task's code or its arguments are others than those of any earlier call."""
UNCACHED = "caching-off"
"""No earlier result was looked for."""
FAILED_BEFORE = "failed-before"
"""All earlier calls like it failed, and errors are not replayed."""
UNFINISHED = "unfinished-before"
"""No earlier call like it came to an end."""
INVALID = "result-no-longer-valid"
"""What an earlier call like it returned is not what it was."""
BELOW = "task-below-changed"
"""An earlier call like it led to tasks whose code is another one."""
UNKNOWN_REASON = "not-recorded"
"""There was an earlier call like it, and what is recorded does not say why it was of no use."""
NOT_CALLED = "not-called"
"""It never had its arguments."""
REPLAYED = "replayed"
"""It did not run: an earlier result was taken."""
STEPWISE = "replayed-stepwise"
"""It did not run: what it once returned was taken, and calls in that came out differently."""
SHARED = "shared"
"""It did not run: an equal job of the same execution did."""


# What is found


class WhyCall(NamedTuple):
    """A call node."""

    id: int
    key: bytes
    outcome: int
    task_id: int
    task_name: str
    single_id: int | None
    result_id: int
    task_set_id: int
    computed: int

    @property
    def digest(self) -> bytes:
        """What identifies it: the key, then the outcome."""
        return self.key + self.outcome.to_bytes(8, "big", signed=True)


class CodeChange(NamedTuple):
    """A task whose code is another one.

    Attributes
    ----------
    before, after
        The task as it was and as it is.
    what
        `source`, `version`, or `hash_includes`.
    """

    before: TaskRow
    after: TaskRow
    what: str


class ArgumentChange(NamedTuple):
    """An argument that is another one.

    Attributes
    ----------
    name
        Its name.
    position
        Its place among the arguments of the call.
    before, after
        The values; None where the call has no such argument.
    parts
        Where they differ; as many as `_compare.differences` returns.
    files
        Of the parts that are files, what is there at present.
    """

    name: str
    position: int
    before: ValueRow | None
    after: ValueRow | None
    parts: list[Difference]
    files: list[FileState]


class Change(NamedTuple):
    """What makes a call another one than its counterpart."""

    code: CodeChange | None
    arguments: list[ArgumentChange]
    equal: int
    """How many arguments are equal."""


class Step(NamedTuple):
    """A step of the way from a job to what made it another one.

    Attributes
    ----------
    task_name
        The task of the call.
    job
        The job of the call in this execution, if it was found.
    cause
        What made it another one: one of the words below.
    argument
        The name of the argument that is another one, where that is the cause.
    source
        Where that comes from: `result`, `parent`, `files`, `command line`, or "".
    places
        If that is files, their paths.
    """

    task_name: str
    job: JobRow | None
    cause: str
    argument: str = ""
    source: str = ""
    places: tuple[str, ...] = ()


CODE = "code"
ARGUMENT = "argument"
RESULT_BELOW = "result-below"
RAN_AGAIN = "ran-again"
NEW = "new"


class Why(NamedTuple):
    """Why a job ran, or did not.

    Attributes
    ----------
    job, execution
        The job, and the execution that it belongs to.
    reason
        One of the reasons above.
    detail
        What there is to add in words: an option, an error.
    earlier, earlier_job
        The call that it is compared with, and the job that made it, as far as these are known.
    change
        How it differs from that.
    below
        Tasks below whose code is another one.
    files
        Files of the earlier result, and what is there at present.
    written
        Hashes of the files that the job itself has returned.
    steps
        The way to what made it another one, if that is not in the job itself.
    failed
        Of a job that failed since one below it did: that one.
    """

    job: JobRow
    execution: ExecutionRow
    reason: str
    detail: str = ""
    earlier: WhyCall | None = None
    earlier_job: JobRow | None = None
    change: Change | None = None
    below: list[CodeChange] = []
    files: list[FileState] = []
    written: frozenset[str] = frozenset()
    steps: list[Step] = []
    failed: JobRow | None = None


# Queries

SELECT_CALL = """
SELECT call.id, call.key, call.outcome, call.task_id, task.fullname, call.single_id, call.result_id,
    call.task_set_id, call.computed
FROM call JOIN task ON task.id = call.task_id
"""
CALLS_BY_ID = SELECT_CALL + "WHERE call.id IN ({ids})"
CALLS_BY_KEY = SELECT_CALL + "WHERE call.key = ? ORDER BY call.id DESC LIMIT ?"
ARGUMENTS = """
SELECT call_id, position, name, value_id FROM argument WHERE call_id IN ({ids})
ORDER BY call_id, position
"""
CALLS_WITH_ARGUMENT = """
SELECT call.id FROM (
    SELECT call_id FROM argument WHERE value_id = ? ORDER BY call_id DESC LIMIT ?
) AS used
JOIN call ON call.id = used.call_id JOIN task ON task.id = call.task_id
WHERE task.fullname = ? AND call.id <> ? AND call.computed < ?
ORDER BY call.id DESC LIMIT ?
"""
LAST_JOB_OF_CALL = "SELECT max(id) FROM job WHERE call_id = ? AND id < ?"
JOBS_BEFORE = """
SELECT id, call_id FROM (
    SELECT id, call_id, task_id FROM job WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?
) AS near
WHERE task_id IN (SELECT id FROM task WHERE fullname = ?) AND call_id IS NOT NULL
ORDER BY id DESC LIMIT ?
"""
JOBS_AFTER = """
SELECT id, call_id FROM (
    SELECT id, call_id, task_id FROM job WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?
) AS near
WHERE task_id IN (SELECT id FROM task WHERE fullname = ?) AND call_id IS NOT NULL
ORDER BY id LIMIT ?
"""
NEXT_JOB_OF_CALL = """
SELECT id FROM job WHERE id BETWEEN ? AND ? AND call_id = ? ORDER BY id LIMIT 1
"""
CALLS_WITH_RESULT = "SELECT id FROM call WHERE result_id = ? ORDER BY id DESC LIMIT ?"
JOBS_OF_CALLS = "SELECT id, status FROM job WHERE id > ? AND id <= ? AND call_id IN ({ids})"
EXECUTIONS_AT = """
SELECT id FROM execution WHERE started <= ? AND (ended IS NULL OR ended >= ?)
ORDER BY id DESC LIMIT 8
"""
UPSTREAM = """
SELECT upstream_id FROM upstream WHERE call_id = ? AND position = ?
ORDER BY upstream_id DESC LIMIT ?
"""
UPSTREAM_AMONG = """
SELECT upstream_id FROM upstream WHERE call_id = ? AND position = ? AND upstream_id IN ({ids})
"""
CHILDREN_THAT_DIFFER = """
SELECT ours.child_id, theirs.child_id FROM (
    SELECT position, child_id FROM call_child WHERE call_id = ? ORDER BY position LIMIT ?
) AS ours
JOIN call_child AS theirs ON theirs.call_id = ? AND theirs.position = ours.position
WHERE ours.child_id <> theirs.child_id ORDER BY ours.position LIMIT 1
"""
TASKS_OF_SET = """
SELECT task.id, task.digest, task.fullname, task.version, task.source
FROM task_set_member JOIN task ON task.id = task_set_member.task_id
WHERE task_set_member.task_set_id = ? ORDER BY task.fullname, task.id
"""


def explain(history: History, job: JobRow) -> Why:
    """Return why a job ran, or whose result it was given."""
    with history.database.snapshot():
        return _Search(history, job).explain()


def compare_code(before: TaskRow, after: TaskRow) -> CodeChange:
    """Return what of the code of a task is another one."""
    if before.version != after.version:
        return CodeChange(before, after, "version")
    return CodeChange(before, after, "source" if before.source != after.source else "hash_includes")


def compare_values(before: ValueRow, after: ValueRow) -> list[Difference]:
    """Return where two stored values differ, as far as they can be taken apart."""
    one, other = _loaded(before), _loaded(after)
    if one is None or other is None:
        return []
    return differences(one.value, other.value, MOST)


class _Loaded(NamedTuple):
    value: Any


def _loaded(value: ValueRow) -> _Loaded | None:
    if value.data is None:
        return None
    try:
        return _Loaded(load_safely(value.data))
    except Exception:  # It may be broken in any way.
        return None


class _Search:
    """Finds out about one job."""

    def __init__(self, history: History, job: JobRow) -> None:
        self._history = history
        self._database = history.database
        self._job = job
        self._execution = history.execution(job.execution_id)
        self._first, self._last = job_ids(job.execution_id)
        self._earlier_job: JobRow | None = None

    def _why(self, reason: str, detail: str = "", **found: Any) -> Why:
        return Why(self._job, self._execution, reason, detail, **found)

    # The reason

    def explain(self) -> Why:
        job = self._job
        if job.call_id is None:
            return self._why(NOT_CALLED)
        (call,) = self._calls([job.call_id])
        if job.status == CACHED:
            return self._replayed(call)
        if job.status == FAILED:
            shared = self._job_in_execution(call, self._first, job.id - 1)
            if shared is not None:
                return self._why(SHARED, earlier=call, earlier_job=shared)
        uncached = self._uncached(job)
        if uncached:
            return self._why(UNCACHED, uncached)
        last = next(jobs_of_task(self._history, call.task_name, 1, before=self._first), None)
        if last is None:
            return self._why(FIRST)
        rows = self._database.rows(CALLS_BY_KEY, call.key, _MAX_CANDIDATES)
        alike = [WhyCall(*row) for row in rows]
        before = self._last_job_of(alike)
        if before is not None:
            return self._of_no_use(call, alike, before)
        return self._another_call(call, last)

    def _replayed(self, call: WhyCall) -> Why:
        """Say where the result of a job came from that did not run."""
        if call.computed >= self._execution.started:
            source = self._job_in_execution(call, self._first, self._job.id - 1)
            if source is not None and source.status != CACHED:
                return self._why(SHARED, earlier=call, earlier_job=source)
        if call.computed >= self._execution.started and call.single_id is not None:
            rows = self._database.rows(CALLS_BY_KEY, call.key, _MAX_CANDIDATES)
            alike = [WhyCall(*row) for row in rows]
            before = self._last_job_of([c for c in alike if c.single_id == call.single_id])
            if before is not None and before.call_id != call.id:
                earlier = next(c for c in alike if c.id == before.call_id)
                return self._why(STEPWISE, earlier=earlier, earlier_job=before)
        for (row_id,) in self._database.rows(EXECUTIONS_AT, call.computed, call.computed):
            first, last = job_ids(row_id)
            found = self._job_in_execution(call, first, min(last, self._job.id - 1))
            if found is not None and found.id != self._job.id:
                return self._why(REPLAYED, earlier=call, earlier_job=found)
        return self._why(REPLAYED, earlier=call)

    def _uncached(self, job: JobRow) -> str:
        """Return the option that kept earlier results from being looked for, if one did."""
        entity = self._execution.uuid
        parent = self._execution.parent_job_id
        if parent is not None:
            entity = self._history.execution(parent >> JOB_NUMBER_BITS).uuid
        for key, value in self._history.tags([entity])[entity]:
            if key == UNCACHED_TAG and isinstance(value, str):
                name, _, option = value.rpartition(": ")
                if name in ("*", job.task_name):
                    return option
        return ""

    def _of_no_use(self, call: WhyCall, alike: list[WhyCall], before: JobRow) -> Why:
        """Say why earlier calls of the same key could not be replayed."""
        by_id = {other.id: other for other in alike}
        earlier = by_id[before.call_id or 0]
        found: dict[str, Any] = {"earlier": earlier, "earlier_job": before}
        known = [
            other
            for other in alike
            if other.single_id is not None
            and (other.id == earlier.id or other.computed < self._job.started)
        ]
        if self._job.status == FAILED and call.single_id in {other.single_id for other in known}:
            failed = self._failed_below(call.result_id)
            return self._why(REPLAYED, "what it led to failed", failed=failed, **found)
        if not known:
            error = self._loaded_value(earlier.result_id)
            kind = error.text("error_type") if isinstance(error, Composite) else ""
            if kind == "redun_lite.Unfinished":
                return self._why(UNFINISHED, **found)
            message = error.text("message") if isinstance(error, Composite) else ""
            return self._why(FAILED_BEFORE, f"{kind.rpartition('.')[2]}: {message}", **found)
        files = [
            present_state(value)
            for other in known[:3]
            for value in externals_in(self._loaded_value(other.single_id or 0))
        ]
        if any(state.state not in (AS_RECORDED, UNKNOWN) for state in files):
            mine = externals_in(self._loaded_value(call.result_id))
            written = frozenset(value.text("hash") for value in mine)
            return self._why(INVALID, files=files, written=written, **found)
        below = self._changed_below(earlier.task_set_id, call.task_set_id)
        if below:
            return self._why(BELOW, below=below, **found)
        return self._why(UNKNOWN_REASON, files=files, **found)

    def _failed_below(self, error_id: int) -> JobRow | None:
        """Return the job below that failed with an error which was passed on from there."""
        rows = self._database.rows(CALLS_WITH_RESULT, error_id, _MAX_CANDIDATES)
        calls = [call_id for (call_id,) in rows]
        jobs = self._database.rows_in(JOBS_OF_CALLS, calls, self._job.id, self._last)
        failed = [job_id for job_id, status in jobs if status == FAILED]
        return self._history.job(max(failed)) if failed else None

    def _changed_below(self, before: int, after: int) -> list[CodeChange]:
        if before == after:
            return []
        ours, theirs = (
            [TaskRow(*row) for row in self._database.rows(TASKS_OF_SET, task_set)]
            for task_set in (before, after)
        )
        ids = {task.id for task in ours}
        old = {task.fullname: task for task in ours}
        return [
            compare_code(old[task.fullname], task)
            for task in theirs
            if task.id not in ids and task.fullname in old
        ]

    # Another call

    def _another_call(self, call: WhyCall, last: JobRow) -> Why:
        """Compare a job with the nearest earlier call of its task."""
        earlier, job = self._nearest(call, last)
        if earlier is None:
            return self._why(FIRST)
        self._earlier_job = job
        change = self._compare(earlier, call)
        pair = _Pair(earlier, call, job, self._job)
        steps = [] if change.code is not None else self._steps(pair, change)
        return self._why(CALL, earlier=earlier, earlier_job=job, change=change, steps=steps)

    def _nearest(self, call: WhyCall, last: JobRow) -> tuple[WhyCall | None, JobRow | None]:
        """Return the earlier call that has most in common with one, and its job if it is known.

        Among those that have as much in common, it is the one that is next to the same place in
        the last execution that called the task.
        """
        arguments = self._arguments([call.id])[call.id]
        first, end = job_ids(last.execution_id)
        place = first + self._job.number
        near = (_MAX_NEAR, call.task_name, _MAX_CANDIDATES)
        jobs = self._database.rows(JOBS_BEFORE, first, place, *near)
        jobs += self._database.rows(JOBS_AFTER, place + 1, end, *near)
        if last.call_id is not None:
            jobs.append((last.id, last.call_id))
        by_call: dict[int, int] = {}
        for job_id, call_id in sorted(jobs, key=lambda row: abs(row[0] - place)):
            by_call.setdefault(call_id, job_id)
        candidates = set(by_call)
        for _, value_id in arguments.values():
            candidates |= {
                call_id
                for (call_id,) in self._database.rows(
                    CALLS_WITH_ARGUMENT,
                    value_id,
                    _MAX_USES,
                    call.task_name,
                    call.id,
                    self._execution.started,
                    _MAX_CANDIDATES,
                )
            }
        candidates.discard(call.id)
        if not candidates:
            return None, None
        found = self._arguments(candidates)

        def likeness(call_id: int) -> tuple[int, int, int]:
            theirs = found[call_id]
            equal = sum(
                theirs.get(name, (0, 0))[1] == value for name, (_, value) in arguments.items()
            )
            job_id = by_call.get(call_id)
            return equal, -1 << 40 if job_id is None else -abs(job_id - place), call_id

        best = max(candidates, key=likeness)
        (earlier,) = self._calls([best])
        job_id = by_call.get(best)
        return earlier, None if job_id is None else self._history.job(job_id)

    def _compare(self, before: WhyCall, after: WhyCall) -> Change:
        """Return what makes a call another one than its counterpart."""
        code = None
        if before.task_id != after.task_id:
            code = compare_code(
                self._history.task(before.task_id), self._history.task(after.task_id)
            )
        found = self._arguments([before.id, after.id])
        ours, theirs = found[before.id], found[after.id]
        counted = self._counted(after, theirs)
        changes = []
        equal = 0
        for name in {**theirs, **ours}:
            one, other = ours.get(name), theirs.get(name)
            if one is not None and other is not None and one[1] == other[1]:
                equal += 1
            elif other is None or name in counted:
                changes.append(self._argument_change(name, one, other))
        return Change(code, changes, equal)

    def _argument_change(
        self, name: str, before: tuple[int, int] | None, after: tuple[int, int] | None
    ) -> ArgumentChange:
        old = None if before is None else self._history.value(before[1])
        new = None if after is None else self._history.value(after[1])
        parts = [] if old is None or new is None else compare_values(old, new)
        files = [present_state(part.after) for part in parts if is_external(part.after)]
        position = after[0] if after is not None else -1
        return ArgumentChange(name, position, old, new, parts, files)

    def _counted(self, call: WhyCall, arguments: dict[str, tuple[int, int]]) -> set[str]:
        """Return the arguments that are in a call's key: all but those that `config_args` names.

        Which these are is not recorded, but follows from the key.
        """
        names = list(arguments)
        task = self._history.task(call.task_id)
        keys = [self._history.value(value_id, 0).digest for _, value_id in arguments.values()]
        if len(names) <= _MAX_CONFIG_ARGS:
            for count in range(len(names) + 1):
                for left_out in combinations(range(len(names)), count):
                    parts = [_NO_KEY if i in left_out else key for i, key in enumerate(keys)]
                    if digest(task.digest + b"".join(parts)) == call.key:
                        return {name for i, name in enumerate(names) if i not in left_out}
        return set(names)

    # The root cause

    def _steps(self, pair: _Pair, change: Change) -> list[Step]:
        """Return the way from a call that is another one to what made it so."""
        steps: list[Step] = []
        seen: set[tuple[int, int]] = set()
        following: _Pair | None = pair
        while following is not None and len(steps) < _MAX_STEPS:
            pair = following
            if (pair.before.id, pair.after.id) in seen:  # It gave other calls than before.
                steps[-1] = steps[-1]._replace(cause=RAN_AGAIN)
                break
            seen.add((pair.before.id, pair.after.id))
            if steps:
                change = self._compare(pair.before, pair.after)
            step, following = self._step(pair, change, steps[-1].argument if steps else "")
            steps.append(step)
        is_told = len(steps) == 1 and steps[0].source != "command line"
        return [] if is_told else steps

    def _step(self, pair: _Pair, change: Change, name_below: str) -> tuple[Step, _Pair | None]:
        """Return what made a call another one, and the pair of calls that this leads to.

        Of several arguments, the one that is called as that of the job below is most likely what
        that was given.
        """
        name = pair.after.task_name
        job = pair.after_job or self._job_of(pair.after)
        if change.code is not None:
            return Step(name, job, CODE), None
        if pair.before.key == pair.after.key:
            return self._step_below(pair, name, job)
        for argument in change.arguments:
            upstream = self._changed_upstream(pair, argument)
            if upstream is not None:
                return Step(name, job, ARGUMENT, argument.name, "result"), upstream
        if not change.arguments:
            return Step(name, job, NEW), None
        argument = next((a for a in change.arguments if a.name == name_below), change.arguments[0])
        if argument.parts and all(map(is_same_place, argument.parts)):
            places = tuple(state.place for state in argument.files)
            return Step(name, job, ARGUMENT, argument.name, "files", places), None
        if job is None:
            return Step(name, job, ARGUMENT, argument.name), None
        if job.parent_id is None:
            return Step(name, job, ARGUMENT, argument.name, "command line"), None
        return Step(name, job, ARGUMENT, argument.name, "parent"), self._parents(pair, job)

    def _step_below(self, pair: _Pair, name: str, job: JobRow | None) -> tuple[Step, _Pair | None]:
        """Say why a call came out differently from one of the same key."""
        found = self._database.rows(
            CHILDREN_THAT_DIFFER, pair.after.id, _MAX_CHILDREN, pair.before.id
        )
        for after_id, before_id in found:
            after, before = self._pair_of_calls(after_id, before_id)
            if after.task_name == before.task_name:
                return Step(name, job, RESULT_BELOW), _Pair(before, after, None, None)
        return Step(name, job, RAN_AGAIN), None

    def _changed_upstream(self, pair: _Pair, argument: ArgumentChange) -> _Pair | None:
        """Return a call whose result made an argument another one, with its counterpart."""
        if argument.position < 0:
            return None
        new = self._only_upstream(pair.after.id, pair.before.id, argument.position)
        old = self._only_upstream(pair.before.id, pair.after.id, argument.position)
        if not new or not old:
            return None
        calls = self._calls([*new, *old])
        ours = [call for call in calls if call.id in new]
        theirs = [call for call in calls if call.id in old]
        arguments = self._arguments([call.id for call in calls])
        best: tuple[tuple[bool, int, int], _Pair] | None = None
        for after in ours:
            for before in theirs:
                if before.task_name == after.task_name:
                    values = dict(arguments[after.id])
                    equal = sum(
                        values.get(name, (0, 0))[1] == value
                        for name, (_, value) in arguments[before.id].items()
                    )
                    rank = (before.key == after.key, equal, before.id)
                    if best is None or rank > best[0]:
                        best = rank, _Pair(before, after, None, None)
        return None if best is None else best[1]

    def _only_upstream(self, call_id: int, other_id: int, position: int) -> set[int]:
        """Return calls that an argument was made of and its counterpart was not, the latest."""
        rows = self._database.rows(UPSTREAM, call_id, position, _MAX_UPSTREAM)
        ids = [row_id for (row_id,) in rows]
        found = self._database.rows_in(UPSTREAM_AMONG, ids, other_id, position)
        return set(ids[:_MAX_CANDIDATES]).difference(row_id for (row_id,) in found)

    def _parents(self, pair: _Pair, job: JobRow) -> _Pair | None:
        """Return the calls of the jobs above two calls."""
        parent = self._history.job(job.parent_id or 0)
        before = pair.before_job
        if before is None and self._job.parent_id == job.parent_id:
            before = self._earlier_job
        if before is None or before.parent_id is None:
            return None
        earlier = self._history.job(before.parent_id)
        if parent.call_id is None or earlier.call_id is None:
            return None
        if parent.task_name != earlier.task_name or parent.call_id == earlier.call_id:
            return None
        after_call, before_call = self._pair_of_calls(parent.call_id, earlier.call_id)
        return _Pair(before_call, after_call, earlier, parent)

    # Records

    def _calls(self, ids: Iterable[int]) -> list[WhyCall]:
        rows = {row[0]: row for row in self._database.rows_in(CALLS_BY_ID, list(ids))}
        return [WhyCall(*row) for row in rows.values()]

    def _pair_of_calls(self, one: int, other: int) -> tuple[WhyCall, WhyCall]:
        found = {call.id: call for call in self._calls([one, other])}
        return found[one], found[other]

    def _arguments(self, ids: Iterable[int]) -> dict[int, dict[str, tuple[int, int]]]:
        """Return position and value of each argument by name, for each of some calls."""
        found: dict[int, dict[str, tuple[int, int]]] = {call_id: {} for call_id in ids}
        rows = self._database.rows_in(ARGUMENTS, list(found))
        for call_id, position, name, value_id in rows:
            found[call_id][name] = (position, value_id)
        return found

    def _first_row(self, sql: str, *parameters: Any) -> JobRow | None:
        for (row_id,) in self._database.rows(sql, *parameters):
            return None if row_id is None else self._history.job(row_id)
        return None

    def _last_job_of(self, calls: Sequence[WhyCall]) -> JobRow | None:
        """Return the last job of earlier executions that made one of some calls."""
        found = [
            row_id
            for call in calls
            for (row_id,) in self._database.rows(LAST_JOB_OF_CALL, call.id, self._first)
            if row_id is not None
        ]
        return self._history.job(max(found)) if found else None

    def _job_in_execution(self, call: WhyCall, first: int, last: int) -> JobRow | None:
        """Return the first job of a call in a range."""
        return self._first_row(NEXT_JOB_OF_CALL, first, last, call.id)

    def _job_of(self, call: WhyCall) -> JobRow | None:
        """Return the job of a call in this execution: most often one soon after this one."""
        soon = self._first_row(NEXT_JOB_OF_CALL, self._job.id, self._last, call.id)
        return soon or self._job_in_execution(call, self._first, self._job.id - 1)

    def _loaded_value(self, value_id: int) -> Any:
        loaded = _loaded(self._history.value(value_id))
        return None if loaded is None else loaded.value


class _Pair(NamedTuple):
    """A call of an earlier execution and its counterpart in this one, with their jobs if known."""

    before: WhyCall
    after: WhyCall
    before_job: JobRow | None
    after_job: JobRow | None


def is_same_place(part: Difference) -> bool:
    """Say whether two parts are the same file in two states."""
    if not (is_external(part.before) and is_external(part.after)):
        return False
    one, other = (value.text("path") or value.text("pattern") for value in part[1:])
    return bool(one == other)
