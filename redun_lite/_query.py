"""Looking for records: those of a kind that fulfil filters, page by page, the latest first.

All kinds hang together: an execution has jobs, a job is of a task and has a call, a call has
arguments and a result, which are values, some of them files.  So each filter says something of
each kind: `--task-name align` finds the executions that had such a job, and the values that such a
call was given.  A filter is written down once, as a condition on the table that it is about, and
led to the other tables by subqueries.

The table of jobs has no index but its ids, since each would cost every job that runs.  One look at
every row of it takes a tenth of a second per million; pages that begin at the latest rows take
less, as they end early.  From one table to another there are two ways: what fulfils a condition as
a list of ids, if there is little of it; else a look from each row, which finds one soon, as there
is much of it.  Which way is better is found out by asking for a few more than the list may hold.

What filters refer to (executions, tasks, values, types) is looked up first.  What is not there is
an error, or at least is known to match nothing before the large tables are read.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, Generic, NamedTuple, TypeVar

from ._database import ALL, marks
from ._errors import UsageError, suggest
from ._filters import Filters, TagFilter, ValueFilter
from ._history import (
    LONGEST_PATH,
    MAX_LINE_SIZE,
    SELECT_CALL,
    SELECT_EXECUTION,
    SELECT_FILE,
    SELECT_JOB,
    SELECT_TASK,
    SELECT_VALUE,
    CallRow,
    ExecutionRow,
    FileRow,
    JobRow,
    TaskRow,
    ValueRow,
    _parsed,
    paths_like,
)
from ._schema import JOB_NUMBER_BITS, job_ids
from ._status import CACHED, DONE, KILLED, RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ._history import History

Row = TypeVar("Row")


class Kind(Enum):
    """The kinds of records that can be looked for, by what people call one."""

    EXECUTION = "Execution"
    JOB = "Job"
    CALL = "CallNode"
    TASK = "Task"
    VALUE = "Value"
    FILE = "File"


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some records, and where those that follow begin.

    Attributes
    ----------
    rows
        The records, the latest first.
    after
        What to ask for the next page with; None if this is the last.
    """

    rows: list[Row]
    after: int | None


class TagRow(NamedTuple):
    """A tag of an execution, job, call, task or value."""

    id: int
    entity: str
    key: str
    value: Any


class Condition(NamedTuple):
    """What a row has to fulfil: SQL, and what its marks stand for."""

    sql: str
    parameters: tuple[Any, ...] = ()


NOTHING = Condition("1 = 0")

_MAX_INLINE = 20_000  # Row ids that are written into a query.
_MAX_RANGES = 20  # Executions whose jobs are looked for by ranges of ids.
_MAX_CANDIDATES = 6

_JOB_ENTITY = re.compile(r"([0-9a-f]{8})-(\d{1,10})")
_HASH_ENTITY = re.compile(r"[0-9a-f]{40}")
_CALL_ENTITY = re.compile(r"[0-9a-f]{56}")

# Queries

COUNT = "SELECT count(*) FROM {table} WHERE {where}"
PAGES = {
    Kind.EXECUTION: SELECT_EXECUTION,
    Kind.JOB: SELECT_JOB,
    Kind.CALL: SELECT_CALL,
    Kind.TASK: SELECT_TASK,
    Kind.VALUE: SELECT_VALUE,
    Kind.FILE: SELECT_FILE,
}
TABLES = {
    Kind.EXECUTION: ("execution", "execution.id"),
    Kind.JOB: ("job", "job.id"),
    Kind.CALL: ("call", "call.id"),
    Kind.TASK: ("task", "task.id"),
    Kind.VALUE: ("value", "value.id"),
    Kind.FILE: ("file", "file.value_id"),
}

RUNNING_EXECUTIONS = SELECT_EXECUTION + "WHERE status = 'RUNNING'"
ALL_TASKS = "SELECT id, digest, fullname FROM task"
ALL_TYPES = "SELECT id, name FROM value_type"
VALUE_IDS_BY_PREFIX = "SELECT id, digest FROM value WHERE digest BETWEEN ? AND ? LIMIT ?"
VALUE_IDS = "SELECT id, digest FROM value WHERE digest IN ({ids})"
TASK_IDS = "SELECT id, digest FROM task WHERE digest IN ({ids})"
CALL_IDS = "SELECT id, key, outcome FROM call WHERE key IN ({ids})"
EXECUTIONS_OF_JOBS = "SELECT id, uuid FROM execution"
TAGGED = "SELECT entity FROM tag WHERE {tag} ORDER BY id DESC"
TAGGED_JOB = """
EXISTS (
    SELECT 1 FROM execution JOIN tag
        ON tag.entity = substr(execution.uuid, 1, 8) || '-' || CAST(job.id & 4294967295 AS TEXT)
    WHERE execution.id = job.id >> 32 AND {tag}
)
"""
SELECT_TAGS = """
SELECT id, entity, key, value FROM tag WHERE {where} AND id < ? ORDER BY id DESC LIMIT ?
"""
# A list of files is the value that a call gives; the files are within it.
VALUE_IS_USED = """
EXISTS (
    SELECT 1 FROM (
        SELECT id FROM call WHERE result_id = {value}
        UNION ALL SELECT call_id FROM argument WHERE value_id = {value}
        UNION ALL SELECT call.id FROM subvalue JOIN call ON call.result_id = subvalue.parent_id
            WHERE subvalue.child_id = {value}
        UNION ALL SELECT argument.call_id
            FROM subvalue JOIN argument ON argument.value_id = subvalue.parent_id
            WHERE subvalue.child_id = {value}
    ) AS used JOIN call ON call.id = used.id WHERE {calls}
)
"""
CALL_USES = """
EXISTS (
    SELECT 1 FROM (
        SELECT call.result_id AS id
        UNION ALL SELECT value_id FROM argument WHERE call_id = call.id
        UNION ALL SELECT child_id FROM subvalue WHERE parent_id = call.result_id
        UNION ALL SELECT subvalue.child_id
            FROM argument JOIN subvalue ON subvalue.parent_id = argument.value_id
            WHERE argument.call_id = call.id
    ) AS used JOIN value ON value.id = used.id WHERE {values}
)
"""
USED_BY_CALLS = """
SELECT result_id FROM call WHERE id IN ({calls})
UNION ALL SELECT value_id FROM argument WHERE call_id IN ({calls})
UNION ALL SELECT subvalue.child_id FROM call JOIN subvalue ON subvalue.parent_id = call.result_id
    WHERE call.id IN ({calls})
UNION ALL SELECT subvalue.child_id
    FROM argument JOIN subvalue ON subvalue.parent_id = argument.value_id
    WHERE argument.call_id IN ({calls})
"""
USING_VALUES = """
SELECT id FROM call WHERE result_id IN ({values})
UNION ALL SELECT call_id FROM argument WHERE value_id IN ({values})
UNION ALL SELECT call.id FROM subvalue JOIN call ON call.result_id = subvalue.parent_id
    WHERE subvalue.child_id IN ({values})
UNION ALL SELECT argument.call_id
    FROM subvalue JOIN argument ON argument.value_id = subvalue.parent_id
    WHERE subvalue.child_id IN ({values})
"""
JOB_OF_EXECUTION = """
EXISTS (
    SELECT 1 FROM job
    WHERE job.id BETWEEN (execution.id << 32) AND (execution.id << 32) + 4294967295 AND {jobs}
)
"""
SOME_CALLS = "SELECT call.id FROM call WHERE {}"
SOME_VALUES = "SELECT value.id FROM value WHERE {}"
CALL_OF_JOB = "EXISTS (SELECT 1 FROM call WHERE call.id = job.call_id AND {calls})"


class Query:
    """Finds the records of a repository that fulfil filters.

    Parameters
    ----------
    history
        The repository.
    filters
        What they have to fulfil.

    Raises
    ------
    UsageError
        A filter refers to what is not there, or is ambiguous.
    """

    def __init__(self, history: History, filters: Filters | None = None) -> None:
        self._history = history
        self._filters = (filters or Filters()).check()
        self._conditions = {False: _Conditions(history, self._filters)}

    @property
    def hints(self) -> list[str]:
        """What a filter may have meant that matches nothing whatever, as phrases."""
        return self._conditions[False].hints

    # Pages

    def executions(self, limit: int | None = None, after: int | None = None) -> Page[ExecutionRow]:
        """Return executions, the latest first; parts of others only if filters are about jobs."""
        return self.page(Kind.EXECUTION, limit, after)

    def jobs(self, limit: int | None = None, after: int | None = None) -> Page[JobRow]:
        """Return jobs, the latest first."""
        return self.page(Kind.JOB, limit, after)

    def calls(self, limit: int | None = None, after: int | None = None) -> Page[CallRow]:
        """Return call nodes, the latest first."""
        return self.page(Kind.CALL, limit, after)

    def tasks(self, limit: int | None = None, after: int | None = None) -> Page[TaskRow]:
        """Return tasks, each version a record, the latest first."""
        return self.page(Kind.TASK, limit, after)

    def values(self, limit: int | None = None, after: int | None = None) -> Page[ValueRow]:
        """Return values, the latest first."""
        return self.page(Kind.VALUE, limit, after)

    def files(self, limit: int | None = None, after: int | None = None) -> Page[FileRow]:
        """Return files, a record for each state of one, the latest first."""
        return self.page(Kind.FILE, limit, after)

    def page(self, kind: Kind, limit: int | None = None, after: int | None = None) -> Page[Any]:
        """Return records of a kind, the latest first.

        Parameters
        ----------
        limit
            The most that are returned.
        after
            What the page before said.
        """
        return _page([*self.iterate(kind, limit, after)], limit)

    def iterate(
        self, kind: Kind, limit: int | None = None, after: int | None = None
    ) -> Iterator[Any]:
        """Yield records of a kind one after the other, so there may be any number of them."""
        where = self._where(kind, limit is None)
        if where is NOTHING:
            return
        _, row_id = TABLES[kind]
        parameters = where.parameters
        sql = f"{PAGES[kind]} WHERE {where.sql}"
        if after is not None:
            sql += f" AND {row_id} < ?"
            parameters += (after,)
        sql = self._history.with_parent(f"{sql} ORDER BY {row_id} DESC LIMIT ?")
        parameters += (ALL if limit is None else limit,)
        if kind in (Kind.VALUE, Kind.FILE):
            parameters = (MAX_LINE_SIZE, *parameters)
        make = self._makers()[kind]
        for row in self._history.database.iterate(sql, *parameters):
            yield make(row)

    def count(self, kind: Kind) -> int:
        """Return how many records of a kind there are."""
        where = self._where(kind, True)
        if where is NOTHING:
            return 0
        table, _ = TABLES[kind]
        sql = self._history.with_parent(COUNT.format(table=table, where=where.sql))
        count: int = self._history.database.rows(sql, *where.parameters)[0][0]
        return count

    def tags(
        self, entity: str | None = None, limit: int | None = None, after: int | None = None
    ) -> Page[TagRow]:
        """Return the tags that `Filters.tags` has, or any if there are none, the latest first.

        Parameters
        ----------
        entity
            Id of the record that they are on.
        """
        parts = [_any([_tag_condition(tag) for tag in self._filters.tags] or [Condition("1 = 1")])]
        if entity is not None:
            parts.append(Condition("entity = ?", (entity,)))
        where = _all(parts)
        rows = self._history.database.rows(
            SELECT_TAGS.format(where=where.sql),
            *where.parameters,
            ALL if after is None else after,
            ALL if limit is None else limit,
        )
        return _page([TagRow(a, b, c, _parsed(d)) for a, b, c, d in rows], limit)

    def _where(self, kind: Kind, is_whole: bool) -> Condition:
        is_whole = is_whole or kind is Kind.TASK  # Of these there are few, so no page ends early.
        if is_whole not in self._conditions:
            self._conditions[is_whole] = _Conditions(self._history, self._filters, is_whole)
        return self._conditions[is_whole].of(kind)

    def _makers(self) -> dict[Kind, Callable[[Any], Any]]:
        value_row = self._history.value_row
        return {
            Kind.EXECUTION: self._history.execution_row,
            Kind.JOB: self._history.job_row,
            Kind.CALL: CallRow._make,
            Kind.TASK: TaskRow._make,
            Kind.VALUE: lambda row: value_row(row, MAX_LINE_SIZE),
            Kind.FILE: lambda row: FileRow(row[0], value_row(row[1:], MAX_LINE_SIZE)),
        }


def row_id_of(row: Any) -> int:
    """Return what asks for the records after one."""
    found: int = row.value.id if isinstance(row, FileRow) else row.id
    return found


def _page(rows: list[Row], limit: int | None) -> Page[Row]:
    is_full = limit is not None and rows and len(rows) == limit
    return Page(rows, row_id_of(rows[-1]) if is_full else None)


# Conditions


class _Conditions:
    """What filters say of the rows of each table.

    Parameters
    ----------
    is_whole
        Whether all rows are wanted, and not only the latest: then what fulfils a condition is
        always made a set, however large.
    """

    def __init__(self, history: History, filters: Filters, is_whole: bool = False) -> None:
        self.hints: list[str] = []
        self._is_whole = is_whole
        self._history = history
        self._filters = filters
        related = filters.related
        self._execution_ids = self._find_executions(filters.executions)
        if isinstance(related, ExecutionRow):
            below = [part for parts in history.parts(related.id).values() for part in parts]
            family = [related.id, *below]
            known = self._execution_ids
            self._execution_ids = family if known is None else [i for i in family if i in known]
        self._task_ids = self._find_tasks()
        self._of_execution = self._about_executions()
        # An expression keeps SQLite from going through all jobs of a status, wherever they are.
        self._of_job = self._about_jobs("job.status || ''")
        self._of_value = self._about_values()
        self._of_call = self._about_calls()

    def of(self, kind: Kind) -> Condition:
        """Return what the rows of a kind have to fulfil."""
        parts = {
            Kind.EXECUTION: self._executions,
            Kind.JOB: self._jobs,
            Kind.CALL: self._calls,
            Kind.TASK: self._tasks,
            Kind.VALUE: self._values,
            Kind.FILE: self._files,
        }[kind]()
        if self._filters.tags:
            parts.append(self._tagged(kind))
        return _all(parts)

    # The kinds

    def _executions(self) -> list[Condition]:
        parts = [*self._of_execution, *self._time("execution.started")]
        jobs = [*self._of_job, *self._task("job.task_id"), *self._call_of_job()]
        if jobs:
            parts.append(_wrapped(JOB_OF_EXECUTION, jobs=_all(jobs)))
        elif self._execution_ids is None:
            parts.append(Condition("{parent_job_id} IS NULL"))
        return parts

    def _jobs(self) -> list[Condition]:
        parts = [*self._execution_of_job(), *self._time("job.started")]
        related = self._filters.related
        if isinstance(related, JobRow):  # Itself, and what it led to.
            parts.append(Condition("(job.id = ? OR job.parent_id = ?)", (related.id, related.id)))
        elif {DONE, CACHED}.isdisjoint(self._filters.job_statuses):
            parts += self._about_jobs("job.status")  # Few among many.
        else:
            parts += self._of_job
        return [*parts, *self._task("job.task_id"), *self._call_of_job()]

    def _calls(self) -> list[Condition]:
        parts = [*self._of_call, *self._task("call.task_id"), *self._time("call.computed")]
        return parts + self._job_of_call([*self._execution_of_job(), *self._of_job])

    def _tasks(self) -> list[Condition]:
        parts = self._task("task.id")
        jobs = self._all_of_job()
        if jobs:
            where = [*jobs, *self._task("job.task_id"), *self._call_of_job()]
            parts.append(_inside("task.id", "SELECT job.task_id FROM job WHERE {}", where))
        elif self._of_call:
            where = [*self._of_call, *self._task("call.task_id")]
            parts.append(_inside("task.id", "SELECT call.task_id FROM call WHERE {}", where))
        return parts

    def _values(self) -> list[Condition]:
        return [*self._of_value, *self._use_of_value("value.id")]

    def _files(self) -> list[Condition]:
        parts = self._use_of_value("file.value_id")
        if self._of_value:
            parts.append(_inside("file.value_id", SOME_VALUES, self._of_value))
        return parts

    # From one table to another

    def _execution_of_job(self) -> list[Condition]:
        """Return what the filters on executions say of jobs."""
        ids = self._execution_ids
        if not self._of_execution:
            return []
        if len(self._of_execution) == 1 and ids is not None and len(ids) <= _MAX_RANGES:
            return [_any([Condition("job.id BETWEEN ? AND ?", job_ids(one)) for one in ids])]
        sql = "SELECT execution.id FROM execution WHERE {}"
        return [_inside("(job.id >> 32)", sql, self._of_execution)]

    def _all_of_job(self) -> list[Condition]:
        """Return what the filters on executions, on jobs, and on time say of jobs."""
        return [*self._execution_of_job(), *self._of_job, *self._time("job.started")]

    def _task(self, column: str) -> list[Condition]:
        return [] if self._task_ids is None else [_one_of(column, self._task_ids)]

    def _call_of_job(self) -> list[Condition]:
        """Return what the filters on calls and values say of jobs."""
        if not self._of_call:
            return []
        where = _all(self._of_call)
        few = self._few(SOME_CALLS, where)
        if few is not None:
            return [_one_of("job.call_id", few)]
        if self._is_whole:
            return [_inside("job.call_id", SOME_CALLS, [where])]
        return [_wrapped(CALL_OF_JOB, calls=where)]

    def _job_of_call(self, jobs: list[Condition]) -> list[Condition]:
        """Return what conditions on jobs say of calls."""
        if not jobs:
            return []
        where = _all([*jobs, *self._task("job.task_id"), Condition("job.call_id IS NOT NULL")])
        few = self._few("SELECT job.call_id FROM job WHERE {}", where)
        if few is not None:
            return [_one_of("call.id", few)]
        # The plus: else SQLite may go through the list for each row, not look the row up in it.
        return [_inside("+call.id", "SELECT job.call_id FROM job WHERE {}", [where])]

    def _use_of_value(self, column: str) -> list[Condition]:
        """Return what all filters but those on values say of values."""
        calls = [*self._given, *self._task("call.task_id"), *self._job_of_call(self._all_of_job())]
        if not calls:
            return []
        where = _all(calls)
        few = self._few(SOME_CALLS, where)
        if few is not None:
            where = _one_of("call.id", few)
        elif not self._is_whole:
            return [_wrapped(VALUE_IS_USED.replace("{value}", column), calls=where)]
        sql = USED_BY_CALLS.format(calls=SOME_CALLS)
        return [_inside(column, sql, [where])]

    def _value_of_call(self) -> list[Condition]:
        """Return what the filters on values say of calls."""
        if not self._of_value:
            return []
        where = _all(self._of_value)
        few = self._few(SOME_VALUES, where)
        if few is not None:
            where = _one_of("value.id", few)
        elif not self._is_whole:
            return [_wrapped(CALL_USES, values=where)]
        sql = USING_VALUES.format(values=SOME_VALUES)
        return [_inside("call.id", sql, [where])]

    def _few(self, sql: str, where: Condition) -> list[int] | None:
        """Return the ids that a query finds; None if they are many."""
        if where is NOTHING:
            return []
        sql = f"{sql.replace('{}', where.sql)} LIMIT ?"
        rows = self._history.database.rows(sql, *where.parameters, _MAX_INLINE + 1)
        return None if len(rows) > _MAX_INLINE else [row_id for (row_id,) in rows]

    # The tables

    def _about_executions(self) -> list[Condition]:
        filters = self._filters
        parts = []
        if self._execution_ids is not None:
            parts.append(_one_of("execution.id", self._execution_ids))
        if filters.execution_statuses:
            statuses = filters.execution_statuses
            parts.append(self._status("execution.status", "execution.id", statuses))
        for tag in filters.execution_tags:
            sql = "SELECT entity FROM tag WHERE {}"
            parts.append(_inside("execution.uuid", sql, [_tag_condition(tag)]))
        return parts

    def _about_jobs(self, status: str) -> list[Condition]:
        filters = self._filters
        parts = []
        if filters.job_statuses:
            parts.append(self._status(status, "(job.id >> 32)", filters.job_statuses))
        if isinstance(filters.related, JobRow):
            parts.append(Condition("job.id = ?", (filters.related.id,)))
        return parts

    def _about_values(self) -> list[Condition]:
        filters = self._filters
        parts = []
        if isinstance(filters.related, ValueRow):
            parts.append(Condition("value.id = ?", (filters.related.id,)))
        paths = [_path_condition(path) for path in filters.file_paths]
        for wanted in (
            [_path_condition(filters.related.path)] if isinstance(filters.related, FileRow) else [],
            paths,
        ):
            if wanted:
                sql = "SELECT value_id FROM file WHERE {}"
                parts.append(_inside("value.id", sql, [_any(wanted)]))
        if filters.value_types:
            parts.append(_one_of("value.type_id", self._find_types(filters.value_types)))
        return parts

    def _about_calls(self) -> list[Condition]:
        filters = self._filters
        self._given: list[Condition] = []
        """What the filters on arguments and results say of calls."""
        parts = self._given
        if isinstance(filters.related, CallRow):
            parts.append(Condition("call.id = ?", (filters.related.id,)))
        for argument in filters.arguments:
            is_value = [self._equal("argument.value_id", argument)]
            if argument.name is not None:
                is_value.append(Condition("argument.name = ?", (argument.name,)))
            where = _all(is_value)
            few = self._few("SELECT argument.call_id FROM argument WHERE {}", where)
            if few is not None:
                parts.append(_one_of("call.id", few))
                continue
            if self._is_whole:
                sql = "SELECT argument.call_id FROM argument WHERE {}"
                parts.append(_inside("call.id", sql, [where]))
                continue
            sql = "EXISTS (SELECT 1 FROM argument WHERE argument.call_id = call.id AND {values})"
            parts.append(_wrapped(sql, values=where))
        if filters.results:
            parts.append(_any([self._equal("call.result_id", one) for one in filters.results]))
        return [*parts, *self._value_of_call()]

    def _time(self, column: str) -> list[Condition]:
        filters = self._filters
        parts = []
        if filters.since is not None:
            parts.append(Condition(f"{column} >= ?", (filters.since,)))
        if filters.until is not None:
            parts.append(Condition(f"{column} <= ?", (filters.until,)))
        return parts

    def _status(self, column: str, execution: str, statuses: Sequence[str]) -> Condition:
        """Return what says that a status is one of some.

        A RUNNING that is stored may have been left behind: then it is shown as KILLED.
        """
        stored = [status for status in statuses if status not in (RUNNING, KILLED)]
        parts = []
        if stored:
            parts.append(Condition(f"{column} IN ({marks(len(stored))})", tuple(stored)))
        if RUNNING in statuses and KILLED in statuses:
            parts.append(Condition(f"{column} = ?", (RUNNING,)))
        elif RUNNING in statuses or KILLED in statuses:
            rows = self._history.database.rows(self._history.with_parent(RUNNING_EXECUTIONS))
            found = map(self._history.execution_row, rows)
            alive = ",".join(str(row.id) for row in found if row.status == RUNNING) or "-1"
            negation = "" if RUNNING in statuses else "NOT "
            parts.append(
                Condition(f"({column} = ? AND {execution} {negation}IN ({alive}))", (RUNNING,))
            )
        return _any(parts)

    # Tags of the records themselves

    def _tagged(self, kind: Kind) -> Condition:
        tags = self._filters.tags
        wanted = [_tag_condition(tag) for tag in tags]
        if kind is Kind.EXECUTION:
            return _all(
                _inside("execution.uuid", "SELECT entity FROM tag WHERE {}", [tag])
                for tag in wanted
            )
        pattern = {Kind.JOB: _JOB_ENTITY, Kind.CALL: _CALL_ENTITY}.get(kind, _HASH_ENTITY)
        entities: set[str] | None = None
        for tag in wanted:
            found = set()
            for (entity,) in self._history.database.iterate(
                TAGGED.format(tag=tag.sql), *tag.parameters
            ):
                if pattern.fullmatch(entity):
                    found.add(entity)
                    if len(found) > _MAX_INLINE:
                        return self._have_many_tags(kind, tags, wanted)
            entities = found if entities is None else entities & found
        return _one_of(TABLES[kind][1], self._tagged_ids(kind, entities or set()))

    def _have_many_tags(
        self, kind: Kind, tags: Sequence[TagFilter], wanted: list[Condition]
    ) -> Condition:
        if kind is Kind.JOB:
            return _all(Condition(TAGGED_JOB.format(tag=tag.sql), tag.parameters) for tag in wanted)
        raise UsageError(
            f"more than {_MAX_INLINE:,} records have tag {tags[0].key}; look for one with a value"
        )

    def _tagged_ids(self, kind: Kind, entities: set[str]) -> Iterator[int]:
        database = self._history.database
        if kind is Kind.JOB:
            numbers: dict[str, list[int]] = {}
            for entity in entities:
                uuid, _, number = entity.partition("-")
                numbers.setdefault(uuid, []).append(int(number))
            for execution_id, uuid in database.iterate(EXECUTIONS_OF_JOBS):
                first = execution_id << JOB_NUMBER_BITS
                yield from (first + number for number in numbers.get(uuid[:8], ()))
        elif kind is Kind.CALL:
            keys = [bytes.fromhex(entity[:40]) for entity in entities]
            for row_id, key, outcome in database.rows_in(CALL_IDS, keys):
                if bytes(key).hex() + (outcome % (1 << 64)).to_bytes(8, "big").hex() in entities:
                    yield row_id
        else:
            sql = TASK_IDS if kind is Kind.TASK else VALUE_IDS
            digests = [bytes.fromhex(entity) for entity in entities]
            yield from (row_id for row_id, _ in database.rows_in(sql, digests))

    # What filters refer to

    def _find_executions(self, prefixes: Sequence[str]) -> list[int] | None:
        if not prefixes:
            return None
        return [self._history.find_execution(prefix).id for prefix in prefixes]

    def _find_tasks(self) -> list[int] | None:
        filters = self._filters
        related = filters.related
        if not filters.task_names and not filters.task_hashes and not isinstance(related, TaskRow):
            return None
        known = [(i, bytes(d).hex(), name) for i, d, name in self._history.database.rows(ALL_TASKS)]
        ids = {row_id for row_id, _, _ in known}
        if isinstance(related, TaskRow):
            ids &= {related.id}
        if filters.task_names:
            matches = [name_matcher(name) for name in filters.task_names]
            named = {i for i, _, name in known if any(match(name) for match in matches)}
            if not named:
                listed = " or ".join(filters.task_names)
                names = [name for _, _, name in known]
                names = names if "." in listed else [name.rpartition(".")[2] for name in names]
                self.hints.append(f"no task {listed} is recorded: {suggest(listed, names)}")
            ids &= named
        if filters.task_hashes:
            hashed = {
                i for prefix in filters.task_hashes for i in self._tasks_by_hash(prefix, known)
            }
            if ids and not ids & hashed and filters.task_names:
                of = next(name for i, _, name in known if i in hashed)
                raise UsageError(
                    f"nothing can be found: task hash {filters.task_hashes[0]} is of task {of}, "
                    f"which is not {' or '.join(filters.task_names)}"
                )
            ids &= hashed
        return sorted(ids)

    def _tasks_by_hash(self, prefix: str, known: Iterable[tuple[int, str, str]]) -> list[int]:
        found = [
            (i, digest, name) for i, digest, name in known if digest.startswith(prefix.lower())
        ]
        if len(found) == 1:
            return [found[0][0]]
        if not found:
            raise UsageError(f"no task with hash {prefix} is recorded in {self._history.address}")
        digits = max(len(prefix) + 4, 12)
        candidates = ", ".join(f"{d[:digits]} {name}" for _, d, name in found[:_MAX_CANDIDATES])
        raise UsageError(f"task hash {prefix} may mean {candidates}; give more digits")

    def _find_types(self, names: Sequence[str]) -> list[int]:
        known = self._history.database.rows(ALL_TYPES)
        matches = [name_matcher(name) for name in names]
        found = [type_id for type_id, name in known if any(match(name) for match in matches)]
        if not found:
            listed = " or ".join(names)
            known_names = {name for _, name in known} | {n.rpartition(".")[2] for _, n in known}
            self.hints.append(
                f"no value of type {listed} is recorded: {suggest(listed, known_names)}"
            )
        return found

    def _equal(self, column: str, wanted: ValueFilter) -> Condition:
        """Return what says that a column holds a value that is looked for."""
        database = self._history.database
        ids = [row_id for row_id, _ in database.rows_in(VALUE_IDS, list(wanted.keys))]
        if wanted.prefix is not None and not ids:
            low, high = f"{wanted.prefix:0<40}", f"{wanted.prefix:f<40}"
            bounds = (bytes.fromhex(low), bytes.fromhex(high))
            found = database.rows(VALUE_IDS_BY_PREFIX, *bounds, _MAX_CANDIDATES)
            if len(found) > 1:
                digits = max(len(wanted.prefix) + 4, 12)
                candidates = ", ".join(bytes(digest).hex()[:digits] for _, digest in found)
                raise UsageError(f"{wanted.text!r} may mean values {candidates}; give more digits")
            ids += [row_id for row_id, _ in found]
        parts = [_one_of(column, ids)] if ids else []
        if wanted.path is not None:
            sql = f"{column} IN (SELECT value_id FROM file WHERE path = ?)"
            parts.append(Condition(sql, (wanted.path,)))
        return _any(parts)


def name_matcher(text: str) -> Any:
    """Return a function that says whether a name is meant, by a full or bare one, or a pattern.

    >>> [name_matcher(text)("genome.align") for text in ("align", "genome.*", "*.al", "genome")]
    [True, True, False, False]
    """
    if "*" in text:
        pattern = re.compile(fnmatch.translate(text.replace("[", "[[]").replace("?", "[?]")))
        return lambda name: bool(pattern.match(name) or pattern.match(name.rpartition(".")[2]))
    return lambda name: name == text or name.endswith(f".{text}")


def _path_condition(pattern: str) -> Condition:
    """Return what says that a path is as a pattern has it, in which `*` is any characters.

    LIKE takes upper and lower case for the same in SQLite, so what it finds is looked at again.
    """
    if "*" not in pattern:
        forms = paths_like(pattern)
        return Condition(f"path IN ({marks(len(forms))})", tuple(forms))
    if len(pattern) > LONGEST_PATH:
        return NOTHING
    like = re.sub(r"([\\%_])", r"\\\1", pattern).replace("*", "%")
    parts = [Condition("path LIKE ? ESCAPE '\\'", (like,))]
    first, *middle, last = pattern.split("*")
    if first:
        parts.append(Condition(f"substr(path, 1, {len(first)}) = ?", (first,)))
    if last:
        parts.append(Condition(f"substr(path, length(path) - {len(last) - 1}) = ?", (last,)))
    parts += [Condition("replace(path, ?, '') <> path", (part,)) for part in middle if part]
    return _all(parts)


def _tag_condition(tag: TagFilter) -> Condition:
    if not tag.values:
        return Condition("tag.key = ?", (tag.key,))
    values = marks(len(tag.values))
    return Condition(f"(tag.key = ? AND tag.value IN ({values}))", (tag.key, *tag.values))


def _all(parts: Iterable[Condition]) -> Condition:
    parts = list(parts)
    if any(part is NOTHING for part in parts):
        return NOTHING
    return Condition(" AND ".join(part.sql for part in parts) or "1 = 1", _marks(parts))


def _any(parts: Sequence[Condition]) -> Condition:
    possible = [part for part in parts if part is not NOTHING]
    if not possible:
        return NOTHING
    return Condition(f"({' OR '.join(part.sql for part in possible)})", _marks(possible))


def _marks(parts: Iterable[Condition]) -> tuple[Any, ...]:
    return tuple(parameter for part in parts for parameter in part.parameters)


def _listed(ids: Iterable[int]) -> str:
    return ",".join(map(str, ids))


def _one_of(column: str, ids: Iterable[int]) -> Condition:
    """Return what says that a column holds one of some row ids."""
    listed = _listed(ids)
    return Condition(f"{column} IN ({listed})") if listed else NOTHING


def _inside(column: str, subquery: str, parts: Sequence[Condition]) -> Condition:
    """Return what says that a column holds something that a subquery finds."""
    where = _all(parts)
    if where is NOTHING:
        return NOTHING
    times = subquery.count("{}")
    sql = subquery.replace("{}", where.sql)
    return Condition(f"{column} IN ({sql})", where.parameters * times)


def _wrapped(sql: str, **inner: Condition) -> Condition:
    """Return a condition around another, which a mark in the SQL stands for."""
    ((mark, where),) = inner.items()
    if where is NOTHING:
        return NOTHING
    return Condition(sql.replace(f"{{{mark}}}", where.sql), where.parameters)
