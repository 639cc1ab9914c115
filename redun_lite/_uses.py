"""What else is recorded of a job, a call, a task, an execution: where to look next.

A failed execution leads to the job that failed first of all, a task to its versions and its jobs, a
call to the jobs that had it.
"""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, NamedTuple

from ._database import ALL
from ._history import SELECT_JOB, ExecutionRow, JobRow, TaskRow
from ._schema import FIRST_WITH_JOB_INDEXES, job_ids
from ._status import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._history import History

_MAX_FAILED = 200  # Failed jobs among which the origin of a failure is looked for.

FAILED_JOBS = (
    SELECT_JOB
    + "WHERE job.id BETWEEN ? AND ? AND job.status = 'FAILED' ORDER BY job.id DESC LIMIT ?"
)
FIRST_JOB = SELECT_JOB + "WHERE job.id BETWEEN ? AND ? ORDER BY job.id LIMIT 1"
RESULT_IDS = "SELECT id, result_id FROM call WHERE id IN ({ids})"
# As they lie in the index, for each status and version of the task; together they would be sorted.
LATEST_JOBS_OF_TASK = (
    SELECT_JOB
    + "WHERE job.status = ? AND job.task_id = ? AND job.id < ? ORDER BY job.id DESC LIMIT ?"
)
ALL_JOBS_OF_TASK = (
    SELECT_JOB
    + """
WHERE job.task_id IN (SELECT id FROM task WHERE fullname = ?) AND job.id < ?
ORDER BY job.id DESC LIMIT ?
"""
)
VERSIONS = """
SELECT id, digest, fullname, version, source FROM task WHERE fullname = ? ORDER BY id
"""
USES_OF_TASKS = """
SELECT task_id, count(*), min(started), max(started) FROM job
WHERE task_id IN ({ids}) GROUP BY task_id
"""
LATEST_JOBS_OF_CALLS = """
SELECT call_id, coalesce(max(CASE WHEN status <> 'CACHED' THEN id END), max(id)), count(*)
FROM job WHERE call_id IN ({ids}) GROUP BY call_id
"""


class TaskVersion(NamedTuple):
    """A task as its code was for some time, and when it ran so; times are None if it never did."""

    task: TaskRow
    jobs: int
    first: int | None
    last: int | None


def origin_of_failure(history: History, execution: ExecutionRow) -> JobRow | None:
    """Return the job whose error an execution failed with: not one that it was passed on to.

    Jobs that it was passed on to have the very same error, so of those the last one that began is
    where it comes from.  That holds within an execution; from a part of it errors come anew.
    """
    first, last = job_ids(execution.id)
    rows = history.database.rows(FAILED_JOBS, first, last, _MAX_FAILED)
    failed = [history.job_row(row) for row in rows]
    if len(failed) == _MAX_FAILED:  # Its first job is not among the last.
        failed += [history.job_row(row) for row in history.database.rows(FIRST_JOB, first, last)]
    top = next((job for job in reversed(failed) if job.parent_id is None), None)
    if top is not None and top.call_id is not None:
        call_ids = [job.call_id for job in failed if job.call_id is not None]
        results = dict(history.database.rows_in(RESULT_IDS, call_ids))
        for job in failed:
            if job.call_id in results and results[job.call_id] == results.get(top.call_id):
                return job
    parents = {job.parent_id for job in failed}
    return next((job for job in failed if job.id not in parents and job.call_id), None)


def versions_of_task(history: History, fullname: str) -> list[TaskVersion]:
    """Return the versions of a task, in the order in which they were first recorded."""
    tasks = [TaskRow(*row) for row in history.database.rows(VERSIONS, fullname)]
    ids = [task.id for task in tasks]
    uses = {row[0]: row[1:] for row in history.database.rows_in(USES_OF_TASKS, ids)}
    return [TaskVersion(task, *uses.get(task.id, (0, None, None))) for task in tasks]


def jobs_of_task(
    history: History, fullname: str, limit: int | None, before: int = ALL
) -> Iterator[JobRow]:
    """Yield the latest jobs of a task, in whatever version, the last one first.

    Parameters
    ----------
    limit
        How many; None for all.
    before
        The row id that those of the jobs are lower than.
    """
    database = history.database
    if limit is None or history.version < FIRST_WITH_JOB_INDEXES:
        wanted = ALL if limit is None else limit
        yield from map(
            history.job_row, database.iterate(ALL_JOBS_OF_TASK, fullname, before, wanted)
        )
        return
    rows = [
        row
        for version in database.rows(VERSIONS, fullname)
        for status in STATUSES
        for row in database.rows(LATEST_JOBS_OF_TASK, status, version[0], before, limit)
    ]
    yield from map(history.job_row, nlargest(limit, rows))


def latest_jobs_of(history: History, call_ids: Sequence[int]) -> dict[int, tuple[JobRow, int]]:
    """Return the last job that ran each call, and how many had it, by the calls' row ids.

    Of a call that was only ever cached it is the last of those jobs.
    """
    found = {row[0]: row[1:] for row in history.database.rows_in(LATEST_JOBS_OF_CALLS, call_ids)}
    jobs = {job.id: job for job in history.jobs_by_id([job_id for job_id, _ in found.values()])}
    return {call_id: (jobs[job_id], count) for call_id, (job_id, count) in found.items()}
