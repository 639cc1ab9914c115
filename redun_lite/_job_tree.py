"""The jobs of an execution as a tree, equal siblings folded into one line.

Of a million jobs some dozens of lines are shown.  So the tree is read from the top, and of each job
that has a line only how many others of which task and status it led to.  Such a group is a range of
the index over parent, status and task: the next group is found where this one ends, and its size
is a count within the index.  To group all jobs of an execution instead would mean to sort them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._history import SELECT_JOB
from ._schema import JOB_NUMBER_BITS, job_ids
from ._status import CACHED, DONE, STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._history import ExecutionRow, History, JobRow

_MAX_SIBLINGS = 12  # Calls of one task by one job that are listed one by one.
_MAX_EXCEPTIONS = 5  # Of more siblings, those that failed or did not end which are listed.
_MAX_DEPTH = 30
_MAX_LINES = 1_000
_FEW_JOBS = 20_000  # Up to which the jobs of an execution are grouped by sorting them.
_BLOCK = 500  # Jobs that are read together.


class TreeEntry(NamedTuple):
    """A line of a tree of jobs: one job, or many siblings as one.

    Attributes
    ----------
    depth
        Its level, from 0.
    job
        The job, or the first of the siblings.
    counts
        Of siblings, how many have which status; of one job, None.
    """

    depth: int
    job: JobRow
    counts: dict[str, int] | None = None


class JobTree(NamedTuple):
    """The jobs of an execution.

    Attributes
    ----------
    entries
        Its lines, each job before those it led to.
    counts
        For each status, the number of jobs by task name.
    left_out
        Jobs that no entry stands for, since they are too deep or too many.
    """

    entries: list[TreeEntry]
    counts: dict[str, dict[str, int]]
    left_out: int


class _Siblings(NamedTuple):
    """Which jobs: those that one led to, or those of an execution that none led to.

    Attributes
    ----------
    parent
        What their parent is, in SQL.
    parent_ids
        The marks in that.
    first, last
        Between which row ids they are.
    """

    parent: str
    parent_ids: tuple[int, ...]
    first: int
    last: int

    @classmethod
    def below(cls, job_id: int) -> _Siblings:
        return cls("job.parent_id = ?", (job_id,), *job_ids(job_id >> JOB_NUMBER_BITS))

    @classmethod
    def at_top(cls, execution_id: int) -> _Siblings:
        return cls("job.parent_id IS NULL", (), *job_ids(execution_id))


class _Group(NamedTuple):
    """The siblings that call one task and have one status."""

    task_id: int
    status: str
    jobs: int


NEXT_TASK = "SELECT min(task_id) FROM job WHERE {parent} AND status = ? AND task_id > ?"
COUNT_GROUP = """
SELECT count(*) FROM job WHERE {parent} AND status = ? AND task_id = ? AND id BETWEEN ? AND ?
"""
MEMBERS = (
    SELECT_JOB
    + """
WHERE {parent} AND job.status = ? AND job.task_id = ? AND job.id BETWEEN ? AND ?
ORDER BY job.id LIMIT ?
"""
)
IDS_OF_SIBLINGS = "SELECT id FROM job WHERE {parent} AND id BETWEEN ? AND ? ORDER BY id"
LAST_JOB = "SELECT max(id) FROM job WHERE id BETWEEN ? AND ?"
COUNTS = """
SELECT task_id, status, count(*) FROM job WHERE id BETWEEN ? AND ? GROUP BY task_id, status
"""
PARENTS_OF_JOBS = "SELECT id, parent_id FROM job WHERE id BETWEEN ? AND ? ORDER BY id"
PARTS_OF_JOB = "SELECT id FROM execution WHERE parent_job_id = ? ORDER BY id"


def job_tree(history: History, execution: ExecutionRow) -> JobTree:
    """Return the jobs of an execution and its parts as a tree, equal siblings folded."""
    parts = history.parts(execution.id)
    counts: dict[str, dict[str, int]] = {}
    for execution_id in [execution.id, *(part for below in parts.values() for part in below)]:
        for group in _groups_of_execution(history, execution_id):
            by_task = counts.setdefault(history.status_of(group.status, execution_id), {})
            name = history.task_name(group.task_id)
            by_task[name] = by_task.get(name, 0) + group.jobs
    entries: list[TreeEntry] = []
    waiting = _folded(history, _Siblings.at_top(execution.id), 0)[::-1]
    left = sum(jobs for by_task in counts.values() for jobs in by_task.values())
    while waiting and len(entries) < _MAX_LINES:
        entry = waiting.pop()
        entries.append(entry)
        if entry.counts is not None:
            left -= sum(entry.counts.values())
            continue
        left -= 1
        if entry.depth + 1 < _MAX_DEPTH:
            below = _folded(history, _Siblings.below(entry.job.id), entry.depth + 1)
            for part in parts.get(entry.job.id, ()):
                below += _folded(history, _Siblings.at_top(part), entry.depth + 1)
            waiting += below[::-1]
    return JobTree(entries, counts, left)


def all_jobs(history: History, execution: ExecutionRow) -> Iterator[TreeEntry]:
    """Yield the jobs of an execution and its parts as a tree, each one by one.

    There may be a million.  So what is kept of them is their ids.
    """
    below: dict[int, list[int]] = {}
    at_top: dict[int, list[int]] = {}
    parts = history.parts(execution.id)
    for execution_id in [execution.id, *(part for group in parts.values() for part in group)]:
        for job_id, parent_id in history.database.iterate(PARENTS_OF_JOBS, *job_ids(execution_id)):
            if parent_id is None:
                at_top.setdefault(execution_id, []).append(job_id)
            else:
                below.setdefault(parent_id, []).append(job_id)
    for job_id, part_ids in parts.items():
        for part_id in part_ids:
            below.setdefault(job_id, []).extend(at_top.get(part_id, ()))
    waiting = [(job_id, 0) for job_id in reversed(at_top.get(execution.id, ()))]
    block: list[tuple[int, int]] = []
    while waiting:
        job_id, depth = waiting.pop()
        block.append((job_id, depth))
        waiting += [(child, depth + 1) for child in reversed(below.pop(job_id, ()))]
        if len(block) == _BLOCK or not waiting:
            jobs = {job.id: job for job in history.jobs_by_id([row_id for row_id, _ in block])}
            yield from (TreeEntry(depth, jobs[row_id]) for row_id, depth in block)
            block = []


def children(history: History, job: JobRow) -> list[TreeEntry]:
    """Return the jobs that one led to directly, equal siblings folded."""
    return [
        entry
        for siblings in _below_with_parts(history, job)
        for entry in _folded(history, siblings, 0)
    ]


def all_children(history: History, job: JobRow) -> Iterator[TreeEntry]:
    """Yield the jobs that one led to directly, each one by one."""
    for siblings in _below_with_parts(history, job):
        sql = IDS_OF_SIBLINGS.format(parent=siblings.parent)
        rows = history.database.rows(sql, *siblings.parent_ids, siblings.first, siblings.last)
        for child in history.jobs_by_id([row_id for (row_id,) in rows]):
            yield TreeEntry(0, child)


def _below_with_parts(history: History, job: JobRow) -> Iterator[_Siblings]:
    yield _Siblings.below(job.id)
    for (part,) in history.database.rows(PARTS_OF_JOB, job.id) if history.has_parts else ():
        yield _Siblings.at_top(part)


def _groups_of_execution(history: History, execution_id: int) -> Iterator[_Group]:
    """Yield how many jobs of an execution are of which task and status."""
    first, last = job_ids(execution_id)
    ((latest,),) = history.database.rows(LAST_JOB, first, last)
    if latest is not None and latest - first > _FEW_JOBS:
        yield from _groups(history, _Siblings("1 = 1", (), first, last))  # Of any parent.
    else:
        for row in history.database.rows(COUNTS, first, last):
            yield _Group(*row)


def _groups(history: History, siblings: _Siblings) -> Iterator[_Group]:
    """Yield groups of siblings: from one to the next, however many jobs are in between."""
    rows = history.database.rows
    following = NEXT_TASK.format(parent=siblings.parent)
    count = COUNT_GROUP.format(parent=siblings.parent)
    for status in STATUSES:
        task_id = 0
        while True:
            ((task_id,),) = rows(following, *siblings.parent_ids, status, task_id)
            if task_id is None:
                break
            key = (*siblings.parent_ids, status, task_id, siblings.first, siblings.last)
            ((jobs,),) = rows(count, *key)
            if jobs:
                yield _Group(task_id, status, jobs)


def _folded(history: History, siblings: _Siblings, depth: int) -> list[TreeEntry]:
    """Return the entries of siblings, in order of their numbers."""
    by_task: dict[int, list[_Group]] = {}
    for group in _groups(history, siblings):
        by_task.setdefault(group.task_id, []).append(group)
    entries: list[TreeEntry] = []
    for groups in by_task.values():
        if sum(group.jobs for group in groups) <= _MAX_SIBLINGS:
            for group in groups:
                entries += _members(history, siblings, group, depth, _MAX_SIBLINGS)
            continue
        counts: dict[str, int] = {}
        firsts = []
        for group in groups:
            jobs = _members(history, siblings, group, depth, _MAX_EXCEPTIONS)
            if not jobs:  # They came to an end meanwhile.
                continue
            firsts.append(jobs[0].job)
            left = group.jobs
            if group.status not in (DONE, CACHED):
                entries += jobs
                left -= len(jobs)
            if left:
                counts[jobs[0].job.status] = left
        if counts:
            first = min(firsts, key=lambda job: job.id)
            entries.append(TreeEntry(depth, first, counts))
    return sorted(entries, key=lambda entry: (entry.job.id, entry.counts is None))


def _members(
    history: History, siblings: _Siblings, group: _Group, depth: int, limit: int
) -> list[TreeEntry]:
    """Return the first jobs of a group."""
    sql = MEMBERS.format(parent=siblings.parent)
    key = (group.status, group.task_id, siblings.first, siblings.last)
    rows = history.database.rows(sql, *siblings.parent_ids, *key, limit)
    return [TreeEntry(depth, history.job_row(row)) for row in rows]
