"""What changed between two executions: their tasks, jobs, arguments, results and files.

Jobs are matched from the top down: those of one task below two matched jobs are put side by side,
equal calls first, then those of the same key, then by the arguments that they have in common, then
in order.  Where two jobs have the very same call node, all below them is the same, whatever became
of it, and is not looked at: two executions that differ in one place are compared in that place.
Nor is anything below a job that one of them did not come to call; and what is missing below one
that failed follows from that, and is no change.

Of each execution at most `MAX_JOBS` are looked at, and the values of at most `MAX_DETAILS` pairs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ._compare import Difference, differences, externals_in
from ._errors import UsageError
from ._history import MAX_LINE_SIZE, ExecutionRow, JobRow, nothing_recorded
from ._record import ErrorValue
from ._safe_load import Composite, load_safely
from ._schema import job_ids
from ._status import CACHED, DONE, FAILED
from ._why import CodeChange, compare_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._history import ArgumentRow, History, ValueRow

MAX_JOBS = 100_000
"""Jobs of an execution that are compared, the first ones."""

MAX_DETAILS = 500
"""Pairs of jobs whose values are compared."""

_MAX_ALIKE = 50  # Siblings of one task that are matched by what their arguments have in common.
_MAX_RECENT = 500  # Executions among which the one before is looked for.

RESULT = "result"
CODE = "code"
STATUS = "status"
BELOW = "below"


# What is found


class ValueChange(NamedTuple):
    """A value that is another one.

    Attributes
    ----------
    before, after
        The values; None where there is none.
    parts
        Where they differ, as far as they can be taken apart.
    """

    before: ValueRow | None
    after: ValueRow | None
    parts: list[Difference]


class JobPair(NamedTuple):
    """A job and its counterpart, which are not the same call.

    Attributes
    ----------
    before, after
        The jobs.
    kinds
        What is another one: `code`, `argument NAME`, `result`, `status`; `below`, if it is none of
        these and only calls below differ.
    """

    before: JobRow
    after: JobRow
    kinds: tuple[str, ...]


class Details(NamedTuple):
    """The values of a pair of jobs that differ."""

    arguments: dict[str, ValueChange]
    result: ValueChange | None


class FileChange(NamedTuple):
    """A file, directory or pattern in two states.

    Attributes
    ----------
    kind, place
        Its class, and its path or pattern.
    before, after
        Its hashes; None where only the other execution has it.
    """

    kind: str
    place: str
    before: str | None
    after: str | None


class Durations(NamedTuple):
    """How long the jobs of a task took that ran, in seconds, and how many these are."""

    jobs_before: int
    before: float
    jobs_after: int
    after: float


class Changes(NamedTuple):
    """What changed between two executions.

    Attributes
    ----------
    before, after
        The executions.
    edited
        Tasks whose code is another one.
    added, gone
        Full names of the tasks that only one of them has called, though the other might have: not
        those below a call that it replayed as a whole, or did not come to.
    equal
        How many jobs are the same call as their counterpart, or below such a one.
    pairs
        The jobs that are not.
    new_jobs, gone_jobs
        Jobs without counterpart.
    statuses
        For each change of a job's status, how many jobs have it.
    files
        Files that the values of the pairs hold, in another state or only on one side.
    durations
        By full name of the task.
    is_cut
        Whether some jobs were not looked at, for there are too many.
    """

    before: ExecutionRow
    after: ExecutionRow
    edited: list[CodeChange]
    added: list[str]
    gone: list[str]
    equal: int
    pairs: list[JobPair]
    new_jobs: list[JobRow]
    gone_jobs: list[JobRow]
    statuses: dict[tuple[str, str], int]
    files: list[FileChange]
    durations: dict[str, Durations]
    is_cut: bool


# Queries

JOBS_OF_EXECUTION = """
SELECT job.id, job.parent_id, job.task_id, task.fullname, job.call_id, job.status, job.started,
    job.ended
FROM job JOIN task ON task.id = job.task_id
WHERE job.id BETWEEN ? AND ? ORDER BY job.id LIMIT ?
"""
CALLS = "SELECT id, key, result_id FROM call WHERE id IN ({ids})"
ARGUMENTS = """
SELECT call_id, name, value_id FROM argument WHERE call_id IN ({ids}) ORDER BY call_id, position
"""


# Which executions


def find_executions(history: History, ids: Sequence[str]) -> tuple[ExecutionRow, ExecutionRow]:
    """Return the two executions to compare, the earlier one first if they are not both named.

    Parameters
    ----------
    ids
        None, for the latest execution and the one before it of the same task; one, for that
        execution and the one before; or both.

    Raises
    ------
    UsageError
        There are no such executions.
    """
    named = [history.find_execution(text) for text in ids]
    if len(named) == 2:
        return named[0], named[1]
    recent = history.executions(_MAX_RECENT)
    if named:
        after = named[0]
    elif recent:
        after = recent[0]
    else:
        raise nothing_recorded(history.address, what="no execution")
    earlier = [execution for execution in recent if execution.id < after.id]
    for is_alike in (_has_same_command, _has_same_task):
        for execution in earlier:
            if is_alike(execution, after):
                return execution, after
    raise UsageError(
        f"no execution before {after.uuid[:8]} ran the same task; name both of those to compare"
    )


def _has_same_command(one: ExecutionRow, other: ExecutionRow) -> bool:
    return one.argv == other.argv


def _has_same_task(one: ExecutionRow, other: ExecutionRow) -> bool:
    return bool(_task_words(one)) and _task_words(one) == _task_words(other)


def _task_words(execution: ExecutionRow) -> list[str]:
    """Return script and task of a command: the first words that are no options."""
    if execution.argv[:1] != ["run"]:
        return execution.argv[:1] if len(execution.argv) < 2 else []
    words = execution.argv[1:]
    for index, word in enumerate(words[:-1]):
        if word.endswith(".py"):
            return words[index : index + 2]
    return [word for word in words if not word.startswith("-")][:2]


# Comparing


def compare_executions(history: History, before: ExecutionRow, after: ExecutionRow) -> Changes:
    """Return what changed from one execution to another."""
    with history.database.snapshot():
        return _Comparison(history, before, after).changes()


def details_of(history: History, pairs: Iterable[JobPair]) -> list[Details]:
    """Return the values that differ of some pairs of jobs."""
    pairs = list(pairs)
    calls = [job.call_id for pair in pairs for job in (pair.before, pair.after) if job.call_id]
    arguments = history.arguments(calls, MAX_LINE_SIZE)
    results = history.results(calls, MAX_LINE_SIZE)
    details = []
    for before, after, _ in pairs:
        if before.call_id is None or after.call_id is None:
            details.append(Details({}, None))
            continue
        changed = _argument_changes(arguments[before.call_id], arguments[after.call_id])
        result = _change(results[before.call_id], results[after.call_id])
        details.append(Details(changed, result))
    return details


def _argument_changes(
    before: list[ArgumentRow], after: list[ArgumentRow]
) -> dict[str, ValueChange]:
    ours = {argument.name: argument.value for argument in before}
    theirs = {argument.name: argument.value for argument in after}
    changes = {name: _change(ours.get(name), theirs.get(name)) for name in {**theirs, **ours}}
    return {name: change for name, change in changes.items() if change is not None}


def _change(before: ValueRow | None, after: ValueRow | None) -> ValueChange | None:
    if before is None and after is None:
        return None
    if before is None or after is None:
        return ValueChange(before, after, [])
    if before.id == after.id:
        return None
    one, other = _loaded(before), _loaded(after)
    if one is None or other is None:
        return ValueChange(before, after, [])
    if _is_error(before) or _is_error(after):  # An error is one thing, whatever it consists of.
        return None if _told(one[0]) == _told(other[0]) else ValueChange(before, after, [])
    return ValueChange(before, after, differences(one[0], other[0]))


def _is_error(value: ValueRow) -> bool:
    return value.type_name == ErrorValue.type_name


def _told(error: Any) -> tuple[str, str] | None:
    """Return what an error says, wherever it was raised."""
    is_error = isinstance(error, Composite)
    return (error.text("error_type"), error.text("message")) if is_error else None


def _loaded(value: ValueRow | None) -> tuple[Any] | None:
    if value is None or value.data is None:
        return None
    try:
        return (load_safely(value.data),)
    except Exception:  # It may be broken in any way.
        return None


def _is_whole(job: JobRow | None) -> bool:
    """Say whether a job has called all that it calls: one that failed may lack any of it."""
    return job is None or job.status in (DONE, CACHED)


class _Tree:
    """The jobs of an execution and its parts, by the job above."""

    def __init__(self, history: History, execution: ExecutionRow) -> None:
        self.below: dict[int | None, list[JobRow]] = defaultdict(list)
        self.tasks: dict[str, int] = {}  # The last one of each name.
        self.seconds: dict[str, list[float]] = defaultdict(list)
        parts = history.parts(execution.id)
        parent_of = {part: job_id for job_id, found in parts.items() for part in found}
        left = MAX_JOBS
        for row_id in [execution.id, *parent_of]:
            first, last = job_ids(row_id)
            rows = history.database.iterate(JOBS_OF_EXECUTION, first, last, left)
            for row in rows if left else ():
                job = JobRow(*row)
                parent = job.parent_id if job.parent_id is not None else parent_of.get(row_id)
                self.below[parent].append(job)
                self.tasks[job.task_name] = job.task_id
                left -= 1
                has_run = job.status in (DONE, FAILED) and job.call_id is not None
                if has_run and job.ended is not None:
                    self.seconds[job.task_name].append((job.ended - job.started) / 1_000_000)
        self.jobs = MAX_JOBS - left
        self.is_cut = left == 0


class _Comparison:
    def __init__(self, history: History, before: ExecutionRow, after: ExecutionRow) -> None:
        self._history = history
        self._executions = (before, after)
        self._before = _Tree(history, before)
        self._after = _Tree(history, after)
        self._equal = 0
        self._pairs: list[tuple[JobRow, JobRow]] = []
        self._new: list[JobRow] = []
        self._gone: list[JobRow] = []
        self._statuses: Counter[tuple[str, str]] = Counter()
        self._known_calls: dict[int, tuple[bytes, int]] = {}

    def changes(self) -> Changes:
        self._match()
        pairs = self._described()
        edited = {
            (pair.before.task_id, pair.after.task_id): None
            for pair in pairs
            if pair.before.task_id != pair.after.task_id
        }
        task = self._history.task
        ours, theirs = self._before.tasks, self._after.tasks
        return Changes(
            *self._executions,
            edited=[compare_code(task(one), task(other)) for one, other in edited],
            added=sorted({job.task_name for job in self._new} - set(ours)),
            gone=sorted({job.task_name for job in self._gone} - set(theirs)),
            equal=self._equal,
            pairs=pairs,
            new_jobs=self._new,
            gone_jobs=self._gone,
            statuses=dict(self._statuses),
            files=self._files(pairs),
            durations=self._durations(),
            is_cut=self._before.is_cut or self._after.is_cut,
        )

    # Matching

    def _match(self) -> None:
        """Put the jobs of two executions side by side, from the top down."""
        waiting: list[tuple[JobRow | None, JobRow | None]] = [(None, None)]
        while waiting:
            one, other = waiting.pop()
            ours = self._before.below.get(one and one.id, [])
            theirs = self._after.below.get(other and other.id, [])
            by_task: dict[str, tuple[list[JobRow], list[JobRow]]] = {}
            for index, jobs in enumerate((ours, theirs)):
                for job in jobs:
                    by_task.setdefault(job.task_name, ([], []))[index].append(job)
            matched = []
            for before, after in by_task.values():
                pairs, gone, new = self._match_siblings(before, after)
                matched += pairs
                for job in gone if _is_whole(other) else ():
                    self._gone += self._all_below(self._before, job)
                for job in new if _is_whole(one) else ():
                    self._new += self._all_below(self._after, job)
            self._pairs += matched
            waiting += [
                (before, after)
                for before, after in reversed(matched)
                if before.call_id is not None and after.call_id is not None
            ]

    def _match_siblings(
        self, before: list[JobRow], after: list[JobRow]
    ) -> tuple[list[tuple[JobRow, JobRow]], list[JobRow], list[JobRow]]:
        """Match jobs of one task.

        Returns the pairs that are not the same call, and those without counterpart of either side.
        """
        before, after = self._match_equal(before, after)
        calls = [job.call_id for job in [*before, *after] if job.call_id is not None]
        for call_id, key, result_id in self._history.database.rows_in(CALLS, calls):
            self._known_calls[call_id] = (key, result_id)
        pairs: list[tuple[JobRow, JobRow]] = []
        by_key: dict[bytes, list[JobRow]] = defaultdict(list)
        for job in reversed(before):
            if job.call_id in self._known_calls:
                by_key[self._known_calls[job.call_id][0]].append(job)
        for job in after:
            known = self._known_calls.get(job.call_id or 0)
            alike = by_key.get(known[0]) if known is not None else None
            if alike:
                pairs.append((alike.pop(), job))
        taken = {job.id for pair in pairs for job in pair}
        before = [job for job in before if job.id not in taken]
        after = [job for job in after if job.id not in taken]
        if len(before) != len(after) and len(before) + len(after) <= _MAX_ALIKE:
            before, after = self._most_alike(before, after)
        pairs += zip(before, after)
        pairs.sort(key=lambda pair: pair[1].id)
        return pairs, before[len(after) :], after[len(before) :]

    def _match_equal(
        self, before: list[JobRow], after: list[JobRow]
    ) -> tuple[list[JobRow], list[JobRow]]:
        """Return the jobs that have no counterpart with the same call; count the others."""
        by_call: dict[int, list[JobRow]] = defaultdict(list)
        for job in reversed(before):
            if job.call_id is not None:
                by_call[job.call_id].append(job)
        left = []
        matched = set()
        for job in after:
            equal = by_call.get(job.call_id) if job.call_id is not None else None
            if not equal:
                left.append(job)
                continue
            twin = equal.pop()
            matched.add(twin.id)
            self._count_equal(twin, job)
        return [job for job in before if job.id not in matched], left

    def _count_equal(self, before: JobRow, after: JobRow) -> None:
        """Count two jobs that are the same call, and those below them."""
        waiting = [(before, after)]
        while waiting:
            one, other = waiting.pop()
            if one.status != other.status:
                self._statuses[one.status, other.status] += 1
            self._equal += 1
            ours, theirs = self._before.below.get(one.id, []), self._after.below.get(other.id, [])
            waiting += zip(ours, theirs)
            for job in theirs[len(ours) :]:
                self._equal += len(self._all_below(self._after, job))

    def _most_alike(
        self, before: list[JobRow], after: list[JobRow]
    ) -> tuple[list[JobRow], list[JobRow]]:
        """Return the jobs in an order in which those stand side by side that have most arguments
        in common."""
        values = self._values_of([*before, *after])
        ranked = sorted(
            (
                -len(values[one.id] & values[other.id]),
                abs(one.number - other.number),
                one.id,
                other.id,
            )
            for one in before
            for other in after
        )
        ours = {job.id: job for job in before}
        theirs = {job.id: job for job in after}
        first: list[JobRow] = []
        second: list[JobRow] = []
        for _, _, one_id, other_id in ranked:
            if one_id in ours and other_id in theirs:
                first.append(ours.pop(one_id))
                second.append(theirs.pop(other_id))
        return [*first, *ours.values()], [*second, *theirs.values()]

    def _values_of(self, jobs: list[JobRow]) -> dict[int, set[tuple[str, int]]]:
        arguments = self._argument_ids(job.call_id for job in jobs if job.call_id is not None)
        return {job.id: set(arguments.get(job.call_id or 0, {}).items()) for job in jobs}

    def _argument_ids(self, call_ids: Iterable[int]) -> dict[int, dict[str, int]]:
        found: dict[int, dict[str, int]] = defaultdict(dict)
        rows = self._history.database.rows_in(ARGUMENTS, list(call_ids))
        for call_id, name, value_id in rows:
            found[call_id][name] = value_id
        return found

    @staticmethod
    def _all_below(tree: _Tree, job: JobRow) -> list[JobRow]:
        found = []
        waiting = [job]
        while waiting:
            job = waiting.pop()
            found.append(job)
            waiting += reversed(tree.below.get(job.id, ()))
        return found

    # Describing

    def _described(self) -> list[JobPair]:
        """Return the pairs of jobs that differ, each with what is another one."""
        calls = {job.call_id for pair in self._pairs for job in pair if job.call_id is not None}
        arguments = self._argument_ids(calls)
        described = []
        for before, after in self._pairs:
            kinds = []
            are_called = before.call_id is not None and after.call_id is not None
            if before.task_id != after.task_id and are_called:
                kinds.append(CODE)
            ours = arguments.get(before.call_id or 0, {})
            theirs = arguments.get(after.call_id or 0, {})
            if before.call_id is not None and after.call_id is not None:
                kinds += [
                    f"argument {name}"
                    for name in {**theirs, **ours}
                    if ours.get(name) != theirs.get(name)
                ]
                one, other = self._known_calls[before.call_id], self._known_calls[after.call_id]
                if one[1] != other[1]:
                    kinds.append(RESULT)
            if before.status != after.status:
                self._statuses[before.status, after.status] += 1
                if not {before.status, after.status} <= {DONE, CACHED}:
                    kinds.append(STATUS)
            if not kinds:
                kinds.append(BELOW)
            described.append(JobPair(before, after, tuple(kinds)))
        return described

    def _files(self, pairs: list[JobPair]) -> list[FileChange]:
        """Return the files in what differs of the pairs that changed.

        A job that failed has returned none, which says nothing of the files that it did return.
        """
        sides: tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]] = ({}, {})
        for details in details_of(self._history, pairs[:MAX_DETAILS]):
            for change in [*details.arguments.values(), details.result]:
                if change is None or any(value and _is_error(value) for value in change[:2]):
                    continue
                for side, value in zip(sides, change[:2]):
                    loaded = _loaded(value)
                    for file in externals_in(loaded[0]) if loaded else ():
                        place = file.text("path") or file.text("pattern")
                        side[file.name.rpartition(":")[2], place] = file.text("hash")
        before, after = sides
        return [
            FileChange(*place, before.get(place), after.get(place))
            for place in sorted({**before, **after})
            if before.get(place) != after.get(place)
        ]

    def _durations(self) -> dict[str, Durations]:
        ours, theirs = self._before.seconds, self._after.seconds
        return {
            name: Durations(
                len(ours.get(name, ())),
                sum(ours.get(name, ())),
                len(theirs.get(name, ())),
                sum(theirs.get(name, ())),
            )
            for name in sorted({**ours, **theirs})
        }
