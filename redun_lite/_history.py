"""Reading a repository back: executions, their jobs, what these were given and what came of it.

The database is opened read-only, and nothing here loads a value: rows carry the stored bytes, which
`_display` shows without running them.

A repository may hold executions of a million jobs.  So whatever is read has a bound: lists have a
LIMIT, values that are too long to show are left in the database, and of equal siblings (calls of
one task by one job) a count is read, not the rows.  The one query that looks at every job of an
execution groups them on the way.  Who asks for all of them gets them one after the other.

An execution whose process is gone can no longer say so itself: see `History.is_alive`.
"""

from __future__ import annotations

import json
import os
import re
import socket
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from ._database import ALL
from ._display import format_job_id, one_line
from ._errors import RepositoryError, StoredValueError, UsageError, suggest
from ._record import ErrorValue
from ._schema import JOB_NUMBER_BITS, VERSION, job_number
from ._sqlite import source_at, storable
from ._status import CACHED, KILLED, RUNNING
from ._timers import now
from ._value import dumps
from ._value_store import StoredFile, fetch, home_of, is_safe_to_show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ._database import Database, Source
    from ._db import Repository

HEARTBEAT_TIMEOUT = 60.0
"""Seconds without a sign of life after which an execution counts as killed."""

MAX_VALUE_SIZE = 1_000_000
"""Bytes of the longest value that is read."""

MAX_LINE_SIZE = 20_000
"""Bytes of the longest value that is read to be shown within a line."""

_FIRST_WITH_ATTEMPTS = 2  # Schema version that has the table.
_FIRST_WITH_STORE = 3  # Schema version in which values may be in files.
_FIRST_WITH_PARTS = 2  # Schema version in which executions can be parts of others.
_MAX_CANDIDATES = 6  # Records that an ambiguous id is said to mean.
_MAX_JSON = 100_000  # Characters of JSON that are taken apart.

_JOB_ID = re.compile(r"([0-9a-f]{1,8}|[0-9a-f-]{36})-(\d{1,10})")
LONGEST_PATH = 10_000  # SQLite takes no longer patterns than 50,000 bytes.
_UUID_PREFIX = re.compile(r"[0-9a-f-]+")
_HEX = re.compile(r"[0-9a-f]+")


# Rows


class ExecutionRow(NamedTuple):
    """An execution."""

    id: int
    uuid: str
    argv: list[str]
    started: int
    ended: int | None
    status: str
    host: str
    pid: int
    heartbeat: int
    parent_job_id: int | None
    """Row id of the job that it is a part of; None if it is an execution of its own."""


class JobRow(NamedTuple):
    """A job."""

    id: int
    parent_id: int | None
    task_id: int
    task_name: str
    call_id: int | None
    status: str
    started: int
    ended: int | None

    @property
    def number(self) -> int:
        """Its number in its execution."""
        return job_number(self.id)

    @property
    def execution_id(self) -> int:
        """Row id of its execution."""
        return self.id >> JOB_NUMBER_BITS

    @property
    def seconds(self) -> float | None:
        """How long it took, if it was called, has ended, and was not cached."""
        if self.ended is None or self.status == CACHED:
            return None
        if self.call_id is None and self.ended == self.started:
            return None
        return (self.ended - self.started) / 1_000_000


class TaskRow(NamedTuple):
    """A task, as its code was at some time."""

    id: int
    digest: bytes
    fullname: str
    version: str | None
    source: str


class CallRow(NamedTuple):
    """A call node."""

    id: int
    key: bytes
    outcome: int
    task_id: int
    task_name: str
    result_id: int
    computed: int

    @property
    def digest(self) -> bytes:
        """What identifies it: the key, then the outcome."""
        return self.key + self.outcome.to_bytes(8, "big", signed=True)


class ValueRow(NamedTuple):
    """A stored value; `data` is None if it is longer than was asked for."""

    id: int
    digest: bytes
    type_name: str
    size: int
    data: bytes | None


class ArgumentRow(NamedTuple):
    """An argument of a call."""

    call_id: int
    name: str
    value: ValueRow


class AttemptRow(NamedTuple):
    """An attempt at a job."""

    number: int
    started: int
    ended: int
    error: ValueRow | None


class FileRow(NamedTuple):
    """A file, in one of the states that it was recorded in."""

    path: str
    value: ValueRow


Found = Union[ExecutionRow, JobRow, CallRow, ValueRow, TaskRow, FileRow]


# Queries

SELECT_EXECUTION = """
SELECT id, uuid, argv, started, ended, status, host, pid, heartbeat, {parent_job_id} FROM execution
"""
LATEST_EXECUTIONS = SELECT_EXECUTION + "WHERE {parent_job_id} IS NULL ORDER BY id DESC LIMIT ?"
EXECUTION_BY_ID = SELECT_EXECUTION + "WHERE id = ?"
EXECUTIONS_BY_PREFIX = SELECT_EXECUTION + "WHERE uuid BETWEEN ? AND ? || 'g' LIMIT ?"
COUNT_EXECUTIONS = "SELECT count(*) FROM execution WHERE {parent_job_id} IS NULL"
PARTS = "SELECT id, parent_job_id FROM execution WHERE parent_job_id IS NOT NULL ORDER BY id"

SELECT_JOB = """
SELECT job.id, job.parent_id, job.task_id, task.fullname, job.call_id, job.status, job.started,
    job.ended
FROM job JOIN task ON task.id = job.task_id
"""
JOB_BY_ID = SELECT_JOB + "WHERE job.id = ?"
JOBS_BY_ID = SELECT_JOB + "WHERE job.id IN ({ids}) ORDER BY job.id"
# A job has a lower number than those it leads to; else a broken database could lead in circles.
ANCESTORS = """
WITH RECURSIVE above(id, level) AS (
    SELECT ?, 0
    UNION ALL
    SELECT parent.id, level + 1
    FROM above JOIN job ON job.id = above.id JOIN job AS parent ON parent.id = job.parent_id
    WHERE parent.id < job.id
)
SELECT id FROM above WHERE level > 0 ORDER BY level
"""
SELECT_TASK = "SELECT id, digest, fullname, version, source FROM task "
TASK_BY_ID = SELECT_TASK + "WHERE id = ?"
TASKS_BY_PREFIX = SELECT_TASK + "WHERE digest BETWEEN ? AND ? LIMIT ?"
TASKS_BY_NAME = SELECT_TASK + "WHERE fullname = ? ORDER BY id DESC LIMIT 1"
TASK_NAMES = "SELECT DISTINCT fullname FROM task ORDER BY fullname"

SELECT_CALL = """
SELECT call.id, call.key, call.outcome, call.task_id, task.fullname, call.result_id, call.computed
FROM call JOIN task ON task.id = call.task_id
"""
CALL_BY_ID = SELECT_CALL + "WHERE call.id = ?"
CALLS_BY_ID = SELECT_CALL + "WHERE call.id IN ({ids})"
CALLS_BY_PREFIX = SELECT_CALL + "WHERE call.key BETWEEN ? AND ? LIMIT ?"
CALLS_WITH_RESULT = SELECT_CALL + "WHERE call.result_id = ? LIMIT ?"
CALLS_WITH_ARGUMENT = (
    SELECT_CALL
    + """
WHERE call.id IN (SELECT call_id FROM argument WHERE value_id = ? LIMIT ?)
"""
)

VALUE_COLUMNS = """value.id, value.digest, value_type.name, length(value.data),
    CASE WHEN length(value.data) <= ? THEN value.data END
"""
SELECT_VALUE = f"""
SELECT {VALUE_COLUMNS}
FROM value JOIN value_type ON value_type.id = value.type_id
"""
VALUE_BY_ID = SELECT_VALUE + "WHERE value.id = ?"
VALUES_BY_PREFIX = SELECT_VALUE + "WHERE value.digest BETWEEN ? AND ? LIMIT ?"
RESULTS = f"""
SELECT call.id, {VALUE_COLUMNS}
FROM call JOIN value ON value.id = call.result_id JOIN value_type ON value_type.id = value.type_id
WHERE call.id IN ({{ids}})
"""
SCRIPT_RESULTS = f"""
SELECT call.id, {VALUE_COLUMNS}
FROM call JOIN value ON value.id = call.single_id JOIN value_type ON value_type.id = value.type_id
WHERE value_type.name = 'redun_lite.ScriptResult' AND call.id IN ({{ids}})
"""
ARGUMENTS = f"""
SELECT argument.call_id, argument.name, {VALUE_COLUMNS}
FROM argument JOIN value ON value.id = argument.value_id
    JOIN value_type ON value_type.id = value.type_id
WHERE argument.call_id IN ({{ids}}) ORDER BY argument.call_id, argument.position
"""

STORED_VALUE = "SELECT digest, size, path FROM stored_value WHERE value_id = ?"
SELECT_FILE = f"""
SELECT file.path, {VALUE_COLUMNS}
FROM file JOIN value ON value.id = file.value_id JOIN value_type ON value_type.id = value.type_id
"""
FILES_AT = SELECT_FILE + "WHERE file.path IN ({ids}) ORDER BY file.value_id DESC"
PATHS_ENDING = "SELECT DISTINCT path FROM file WHERE path LIKE ? ESCAPE '\\' LIMIT ?"

ATTEMPTS = f"""
SELECT attempt.number, attempt.started, attempt.ended, {VALUE_COLUMNS}
FROM attempt LEFT JOIN value ON value.id = attempt.error_id
    LEFT JOIN value_type ON value_type.id = value.type_id
WHERE attempt.job_id = ? ORDER BY attempt.number
"""

TAGS = "SELECT entity, key, value FROM tag WHERE entity IN ({ids}) ORDER BY key, value"
COUNT_ROWS = "SELECT count(*) FROM {table}"
COUNT_JOBS = """
WITH RECURSIVE part (id) AS (
    SELECT max(id) FROM execution WHERE {parent_job_id} IS NULL
    UNION
    SELECT execution.id FROM execution JOIN part ON {parent_job_id} >> 32 = part.id
)
SELECT task.fullname, job.status, count(*) FROM job JOIN task ON task.id = job.task_id
WHERE job.id >> 32 IN (SELECT id FROM part)
GROUP BY task.fullname, job.status
"""


# Opening


def open_history(where: str | Source) -> History | None:
    """Open a repository to read it; None if nothing was ever recorded there.

    Parameters
    ----------
    where
        Where its database is; or the path of a SQLite file.

    Raises
    ------
    RepositoryError
        It is no repository, or one of a newer version.
    """
    source = source_at(where)
    if not source.exists():
        return None
    database = source.connect(read_only=True)
    try:
        version = source.version(database)
    except BaseException:
        database.close()
        raise
    if version == 0:
        database.close()
        return None
    return History(database, version)


def nothing_recorded(address: str, missing: str = "", what: str = "nothing") -> UsageError:
    """Return the error of who wants records where there are none.

    Parameters
    ----------
    address
        Where the repository is, or would be.
    missing
        What there is not, therefore: the end of the message.
    what
        What is not recorded.
    """
    end = f", so there is no {missing}" if missing else ""
    return UsageError(f"{what} is recorded yet in {address}{end}")


def wrong_kind(text: str, record: Found, wanted: str, hint: str = "") -> UsageError:
    """Return the error of who was given a record of another kind.

    Parameters
    ----------
    text
        What was typed.
    wanted
        What would be right, with its article.
    hint
        The end of the message.
    """
    kind = type(record).__name__[: -len("Row")].lower()
    article = "an" if kind[0] in "aeiou" else "a"
    return UsageError(f"{text!r} is {article} {kind}, not {wanted}{hint}")


class History:
    """A repository, open for reading.

    Parameters
    ----------
    database
        A connection to its database.
    version
        Its schema version.
    """

    def __init__(self, database: Database, version: int) -> None:
        self.database = database
        self._alive: dict[int, bool] = {}
        self._task_names: dict[int, str] = {}
        self._uuids: dict[int, str] = {}
        self.has_parts = version >= _FIRST_WITH_PARTS
        self.address = database.address
        self.version = version

    @classmethod
    def of(cls, repository: Repository) -> History:
        """Return what a repository that is open has recorded, over its own connection."""
        repository.sync()
        return cls(repository.database, VERSION)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Executions

    def executions(self, limit: int | None) -> list[ExecutionRow]:
        """Return the latest executions, the last one first; those that are parts are left out."""
        return self._executions(LATEST_EXECUTIONS, _or_all(limit))

    def count_executions(self) -> int:
        """Return how many executions there are, those that are parts left out."""
        count: int = self.database.rows(self.with_parent(COUNT_EXECUTIONS))[0][0]
        return count

    def job_counts(self) -> dict[tuple[str, str], int]:
        """Return how many jobs the last execution had, by full name of the task and status.

        Those of executions that are part of it count as well.
        """
        rows = self.database.rows(self.with_parent(COUNT_JOBS))
        return {(fullname, status): count for fullname, status, count in rows}

    def execution(self, execution_id: int) -> ExecutionRow:
        """Return an execution by its row id."""
        sql = self.with_parent(EXECUTION_BY_ID)
        return self.execution_row(self._row("execution", sql, execution_id))

    def parts(self, execution_id: int) -> dict[int, list[int]]:
        """Return the executions that are parts of one, of those too, by the job they belong to."""
        by_parent: dict[int, list[tuple[int, int]]] = {}
        for part_id, job_id in self.database.rows(PARTS) if self.has_parts else ():
            by_parent.setdefault(job_id >> JOB_NUMBER_BITS, []).append((part_id, job_id))
        found: dict[int, list[int]] = {}
        waiting = [execution_id]
        while waiting:
            for part_id, job_id in by_parent.pop(waiting.pop(), ()):
                found.setdefault(job_id, []).append(part_id)
                waiting.append(part_id)
        return found

    def _executions(self, sql: str, *parameters: Any) -> list[ExecutionRow]:
        rows = self.database.rows(self.with_parent(sql), *parameters)
        return [self.execution_row(row) for row in rows]

    def with_parent(self, sql: str) -> str:
        return sql.format(parent_job_id="parent_job_id" if self.has_parts else "NULL")

    def execution_row(self, row: tuple[Any, ...]) -> ExecutionRow:
        execution = ExecutionRow(*row)
        argv = _parsed(row[2])
        status = one_line(execution.status)
        if status == RUNNING and not self.is_alive(execution):
            status = KILLED
        return execution._replace(
            argv=list(map(str, argv)) if isinstance(argv, list) else [str(argv)], status=status
        )

    def is_alive(self, execution: ExecutionRow) -> bool:
        """Say whether the process of an execution that has not ended is still there.

        On this machine the process is looked for; elsewhere, or if another process has taken its
        number, the heartbeat tells.
        """
        alive = self._alive.get(execution.id)
        if alive is None:
            silence = (now() - execution.heartbeat) / 1_000_000
            alive = silence < HEARTBEAT_TIMEOUT and (
                execution.host != socket.gethostname() or _is_process(execution.pid)
            )
            self._alive[execution.id] = alive
        return alive

    # Jobs

    def job(self, job_id: int) -> JobRow:
        """Return a job by its row id."""
        return self.job_row(self._row("job", JOB_BY_ID, job_id))

    def job_row(self, row: tuple[Any, ...]) -> JobRow:
        job = JobRow(*row)
        return job._replace(status=self.status_of(job.status, job.execution_id))

    def status_of(self, status: str, execution_id: int) -> str:
        """Return a job's status; one does not run any more if its execution does not."""
        if status == RUNNING and self.execution(execution_id).status != RUNNING:
            return KILLED
        return one_line(status)

    def ancestors(self, job: JobRow) -> list[int]:
        """Return the row ids of the jobs above one, from near to far."""
        above: list[int] = []
        job_id: int | None = job.id
        while job_id is not None:
            found = [row_id for (row_id,) in self.database.rows(ANCESTORS, job_id)]
            above += found
            first = found[-1] if found else job_id
            job_id = self.execution(first >> JOB_NUMBER_BITS).parent_job_id
            if job_id is not None and (job_id > first or not self.database.rows(JOB_BY_ID, job_id)):
                break  # A job that runs is not recorded at once.
            above += [] if job_id is None else [job_id]
        return above

    def attempts(self, job: JobRow) -> list[AttemptRow]:
        """Return the attempts at a job, if there was more than one."""
        if self.version < _FIRST_WITH_ATTEMPTS:
            return []
        return [
            AttemptRow(
                number,
                started,
                ended,
                None if value[0] is None else self.value_row(value, MAX_LINE_SIZE),
            )
            for number, started, ended, *value in self.database.rows(
                ATTEMPTS, MAX_LINE_SIZE, job.id
            )
        ]

    def job_id(self, job: JobRow) -> str:
        """Return how a job is called, which `find` understands."""
        return self.job_name(job.id)

    def job_name(self, row_id: int) -> str:
        """Return how the job of a row id is called."""
        uuid = self.execution_uuid(row_id >> JOB_NUMBER_BITS)
        return format_job_id(uuid, job_number(row_id))

    def execution_uuid(self, execution_id: int) -> str:
        """Return the UUID of an execution by its row id."""
        uuid = self._uuids.get(execution_id)
        if uuid is None:
            uuid = self._uuids[execution_id] = self.execution(execution_id).uuid
        return uuid

    def jobs_by_id(self, job_ids: Sequence[int]) -> Iterator[JobRow]:
        """Yield jobs by their row ids."""
        return map(self.job_row, self.database.rows_in(JOBS_BY_ID, job_ids))

    # Calls, values, tasks, tags

    def call(self, call_id: int) -> CallRow:
        """Return a call by its row id."""
        return CallRow(*self._row("call", CALL_BY_ID, call_id))

    def calls_by_id(self, call_ids: Sequence[int]) -> Iterator[CallRow]:
        """Yield calls by their row ids."""
        return map(CallRow._make, self.database.rows_in(CALLS_BY_ID, call_ids))

    def calls_with_result(self, value: ValueRow, limit: int | None) -> list[CallRow]:
        """Return some of the calls that a value is the result of, or all."""
        rows = self.database.rows(CALLS_WITH_RESULT, value.id, _or_all(limit))
        return [CallRow(*row) for row in rows]

    def calls_with_argument(self, value: ValueRow, limit: int | None) -> list[CallRow]:
        """Return some of the calls that a value is an argument of, or all."""
        rows = self.database.rows(CALLS_WITH_ARGUMENT, value.id, _or_all(limit))
        return [CallRow(*row) for row in rows]

    def arguments(
        self, call_ids: Iterable[int], max_size: int = MAX_LINE_SIZE
    ) -> dict[int, list[ArgumentRow]]:
        """Return the arguments of calls, by the calls' row ids."""
        found: dict[int, list[ArgumentRow]] = {call_id: [] for call_id in call_ids}
        for call_id, name, *value in self.database.rows_in(ARGUMENTS, list(found), max_size):
            found[call_id].append(ArgumentRow(call_id, name, self.value_row(value, max_size)))
        return found

    def results(
        self, call_ids: Iterable[int], max_size: int = MAX_LINE_SIZE
    ) -> dict[int, ValueRow]:
        """Return what calls came to, or their errors, by the calls' row ids."""
        rows = self.database.rows_in(RESULTS, list(call_ids), max_size)
        return {call_id: self.value_row(value, max_size) for call_id, *value in rows}

    def script_result(self, call: CallRow) -> ValueRow | None:
        """Return the `ScriptResult` that a call's script ended with, if there is one."""
        for _, *value in self.database.rows_in(SCRIPT_RESULTS, [call.id], MAX_VALUE_SIZE):
            return self.value_row(value, MAX_VALUE_SIZE)
        return None

    def value(self, value_id: int, max_size: int = MAX_VALUE_SIZE) -> ValueRow:
        """Return a value by its row id."""
        return self.value_row(self._row("value", VALUE_BY_ID, max_size, value_id), max_size)

    def value_row(self, columns: Sequence[Any], max_size: int) -> ValueRow:
        """Return a value as its row has it; one without data may have that in a file."""
        value = ValueRow(*columns)
        if value.size or self.version < _FIRST_WITH_STORE:
            return value
        for row in self.database.rows(STORED_VALUE, value.id):
            file = StoredFile(*row)
            return value._replace(size=file.size, data=self._stored_data(value, file, max_size))
        return value

    def _stored_data(self, value: ValueRow, file: StoredFile, max_size: int) -> bytes | None:
        """Return what the file of a value holds, or in its place an error that is shown."""
        home = home_of(self.address)
        if file.size > max_size or not is_safe_to_show(file, home):
            return None
        try:
            return fetch(file, home, f"value {value.digest.hex()[:8]}")
        except StoredValueError as error:
            return dumps(ErrorValue("redun_lite.StoredValueError", str(error), ""))

    def task(self, task_id: int) -> TaskRow:
        """Return a task by its row id."""
        return TaskRow(*self._row("task", TASK_BY_ID, task_id))

    def task_name(self, task_id: int) -> str:
        name = self._task_names.get(task_id)
        if name is None:
            name = self._task_names[task_id] = self.task(task_id).fullname
        return name

    def tags(self, entities: Iterable[str]) -> dict[str, list[tuple[str, Any]]]:
        """Return keys and values of the tags of executions, jobs, tasks or values, by their ids."""
        found: dict[str, list[tuple[str, Any]]] = {entity: [] for entity in entities}
        for entity, key, value in self.database.rows_in(TAGS, list(found)):
            found[entity].append((key, _parsed(value)))
        return found

    # Ids

    def find(self, text: str) -> Found:
        """Return the one record that an id, or the start of one, stands for.

        Parameters
        ----------
        text
            `-` for the latest execution; the start of an execution's UUID; a job's id as
            `job_id` returns it; the start of the digest of a call, value or task; or a task's
            full name, or its bare name if no other task has it; or the path of a file, or the end
            of one if no other file has it.

        Raises
        ------
        UsageError
            There is no such record, or more than one.
        """
        if text == "-":
            latest = self.executions(1)
            if not latest:
                raise nothing_recorded(self.address, what="no execution")
            return latest[0]
        text = storable(text)
        found = self._candidates(text) or self._files(text)
        if len(found) == 1:
            return found[0]
        if not found:
            raise UsageError(
                f"no execution, job, call, value, task or file {text!r} in {self.address}"
                + self._likely_names(text)
            )
        digits = max(len(text) + 4, 12)
        listed = ", ".join(self._describe(record, digits) for record in found[:_MAX_CANDIDATES])
        more = ", …" if len(found) > _MAX_CANDIDATES else ""
        wanted = "of the path" if isinstance(found[0], FileRow) else "digits"
        raise UsageError(f"{text!r} may mean {listed}{more}; give more {wanted}")

    def find_execution(self, text: str) -> ExecutionRow:
        """Return the one execution whose UUID starts with a text; of `-`, the latest.

        A job stands for the execution that it belongs to.

        Raises
        ------
        UsageError
            There is none, or more than one.
        """
        prefix = text.lower()
        found: list[ExecutionRow] = []
        if text == "-":
            found = self.executions(1)
        elif _UUID_PREFIX.fullmatch(prefix):
            limit = _MAX_CANDIDATES + 1
            found = self._executions(EXECUTIONS_BY_PREFIX, prefix, prefix, limit)
        if len(found) == 1:
            return found[0]
        if not found:
            if text == "-":
                raise nothing_recorded(self.address, what="no execution")
            others = self._candidates(storable(text)) or self._files(storable(text))
            if len(others) == 1 and isinstance(others[0], JobRow):
                return self.execution(others[0].execution_id)
            if len(others) == 1:
                raise wrong_kind(text, others[0], "an execution", "; `log` lists them")
            raise UsageError(f"no execution {text!r} in {self.address}; `log` lists them")
        listed = ", ".join(execution.uuid for execution in found[:_MAX_CANDIDATES])
        raise UsageError(f"{text!r} may mean execution {listed}; give more digits")

    def files_at(self, path: str) -> list[FileRow]:
        """Return the states that a file was recorded in, the latest first."""
        rows = self.database.rows_in(FILES_AT, paths_like(path), MAX_LINE_SIZE)
        found = {row[1]: FileRow(row[0], self.value_row(row[1:], MAX_LINE_SIZE)) for row in rows}
        return [found[value_id] for value_id in sorted(found, reverse=True)]

    def _files(self, text: str) -> list[Found]:
        """Return the latest state of the file at a path, else of those whose paths end so."""
        found: list[Found] = [*self.files_at(text)[:1]]
        if not found and 0 < len(text) <= LONGEST_PATH:
            end = "%/" + re.sub(r"([\\%_])", r"\\\1", text)
            paths = [path for (path,) in self.database.rows(PATHS_ENDING, end, _MAX_CANDIDATES + 1)]
            exact = [path for path in paths if path.endswith(text)]  # LIKE takes A for a.
            found += [file for path in exact for file in self.files_at(path)[:1]]
        return found

    def _likely_names(self, text: str) -> str:
        """Return the end of a line about an id that is not there: a task it could have meant."""
        names = [name for (name,) in self.database.rows(TASK_NAMES)]
        likely = suggest(text, names if "." in text else [n.rpartition(".")[2] for n in names])
        return f": {likely}" if likely.startswith("did you mean") else ""

    def _tasks_named(self, text: str) -> list[Found]:
        """Return the task of a full name, else those of a bare name, each as it was last."""
        found = self.database.rows(TASKS_BY_NAME, text)
        if not found:
            names = [
                name for (name,) in self.database.rows(TASK_NAMES) if name.endswith(f".{text}")
            ]
            found = [row for name in names for row in self.database.rows(TASKS_BY_NAME, name)]
        return [*map(TaskRow._make, found)]

    def _candidates(self, text: str) -> list[Found]:
        found = self._tasks_named(text)
        text = text.lower()
        job = _JOB_ID.fullmatch(text)
        if job is not None:
            found += self._jobs(job.group(1), int(job.group(2)))
        if found:
            return found
        limit = _MAX_CANDIDATES + 1
        if _UUID_PREFIX.fullmatch(text):
            found += self._executions(EXECUTIONS_BY_PREFIX, text, text, limit)
        if _HEX.fullmatch(text):
            key = text[:40]
            bounds = (bytes.fromhex(f"{key:0<40}"), bytes.fromhex(f"{key:f<40}"))
            calls = map(CallRow._make, self.database.rows(CALLS_BY_PREFIX, *bounds, limit))
            found += [call for call in calls if call.digest.hex().startswith(text)]
            if len(text) <= 40:
                values = self.database.rows(VALUES_BY_PREFIX, MAX_VALUE_SIZE, *bounds, limit)
                found += [self.value_row(row, MAX_VALUE_SIZE) for row in values]
                found += map(TaskRow._make, self.database.rows(TASKS_BY_PREFIX, *bounds, limit))
        return found

    def _jobs(self, uuid_prefix: str, number: int) -> list[Found]:
        bounds = (uuid_prefix, uuid_prefix)
        executions = self._executions(EXECUTIONS_BY_PREFIX, *bounds, _MAX_CANDIDATES)
        ids = [(execution.id << JOB_NUMBER_BITS) + number for execution in executions]
        return list(self.jobs_by_id(ids))

    def _describe(self, record: Found, digits: int) -> str:
        """Return what a record is, with an id that `find` understands."""
        if isinstance(record, ExecutionRow):
            return f"execution {record.uuid}"
        if isinstance(record, JobRow):
            return f"job {self.execution(record.execution_id).uuid}-{record.number}"
        if isinstance(record, TaskRow):
            return f"task {record.fullname} {record.digest.hex()[:digits]}"
        if isinstance(record, FileRow):
            return f"file {record.path}"
        kind = {CallRow: "call", ValueRow: "value"}[type(record)]
        return f"{kind} {record.digest.hex()[:digits]}"

    # The database

    def count_rows(self) -> dict[str, int]:
        """Return how many records of each kind there are."""
        tables = ("execution", "job", "call", "value", "task", "file", "tag")
        return {table: self.database.rows(COUNT_ROWS.format(table=table))[0][0] for table in tables}

    def _row(self, kind: str, sql: str, *parameters: Any) -> Any:
        rows = self.database.rows(sql, *parameters)
        if not rows:
            raise RepositoryError(
                f"{self.address}: {kind} {parameters[-1]} is referred to but missing"
            )
        return rows[0]


def paths_like(path: str) -> list[str]:
    """Return the texts under which a file that a person names may be recorded.

    Workflows name files relative to where they run, or by their full paths.
    """
    if "://" in path or not path:
        return [path]
    full = os.path.abspath(os.path.expanduser(path))
    relative = os.path.relpath(full)
    forms = [path, os.path.normpath(path), full, relative, os.path.join(".", relative)]
    return list(dict.fromkeys(forms))


def _or_all(limit: int | None) -> int:
    return ALL if limit is None else limit


def _parsed(text: str) -> Any:
    """Return what JSON says, or the text itself if it is none."""
    try:
        return json.loads(text) if len(text) <= _MAX_JSON else text
    except (ValueError, RecursionError):
        return text


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # It is somebody else's.
        return True
    return True
