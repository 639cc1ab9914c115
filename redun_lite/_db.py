"""The repository: where executions are recorded and past results are looked up.

Recording is write-behind.  The engine appends records to a batch and hands full batches to a
writer thread, which puts each into one transaction.  Ids are given inside the write transaction,
so eight processes may write to one database; a record carries its id once it has one, and those
that refer to it are written after it.

Two things decide the speed.  Python's sqlite3 releases the interpreter lock around every step of
a statement, and waits a switch interval for it while other threads compute; so a statement here
inserts hundreds of rows in one step instead of stepping once per row (`executemany`).  And random
index entries cost cache misses, so there is one for a value and one for a call, inserted in order
of their digests.

All engine-side methods belong to the engine's thread.
"""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _schema
from ._errors import NewerRepository, NotARepository, RepositoryError, RepositoryWriteError
from ._handle_states import are_valid, would_invalidate, write_change
from ._hash import digest
from ._task import Task, TaskCode

if TYPE_CHECKING:
    from ._config import Config
    from ._handle import HandleChange

MEMORY = ":memory:"

BUSY_TIMEOUT = 120.0
"""Seconds to wait for another process that is writing."""

FLUSH_INTERVAL = 0.25
"""Seconds after which finished jobs are committed even while the engine is busy."""

BATCH_JOBS = 4_000
"""Jobs after which a batch goes to the writer even before `FLUSH_INTERVAL`."""

MAX_BACKLOG = 12
"""Batches that may wait for the writer before the engine waits for it."""

HEARTBEAT_INTERVAL = 10.0
"""Seconds between signs of life of a running execution."""

_KNOWN_VALUES = 20_000  # Values remembered, so that one that recurs is pickled once.
_LOOKUP_SIZE = 512

_PRAGMAS = (
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 50000",
    "PRAGMA cache_size = -131072",
    "PRAGMA temp_store = MEMORY",
)


# Records


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
    """A job, as it stands: written when it ends, and while it runs if that takes long."""

    number: int
    parent: int | None
    task: Task[Any, Any]
    call: CallNode | None
    status: str
    started: int
    ended: int | None


class AttemptRecord(NamedTuple):
    """An attempt at a job that was tried more than once."""

    job: int
    number: int
    started: int
    ended: int
    error: ValueRecord | None


class CachedCall(NamedTuple):
    """A call that the repository knows."""

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
    """What is written in one transaction."""

    __slots__ = (
        "attempts",
        "calls",
        "executions",
        "forgotten",
        "handled",
        "handles",
        "jobs",
        "tags",
        "tasks",
        "values",
    )

    def __init__(self) -> None:
        self.attempts: list[AttemptRecord] = []
        self.handled: list[tuple[bytes, bytes, bytes]] = []
        self.handles: list[HandleChange] = []
        self.tasks: list[TaskCode] = []
        self.values: list[ValueRecord] = []
        self.forgotten: list[CallNode] = []
        self.calls: list[CallRecord] = []
        self.jobs: list[JobRecord] = []
        self.tags: list[tuple[str, str, str]] = []
        self.executions: list[tuple[Any, ...]] = []

    def __bool__(self) -> bool:
        return bool(
            self.jobs
            or self.calls
            or self.tags
            or self.executions
            or self.attempts
            or self.handled
            or self.handles
            or self.tasks
            or self.values
        )


# Statements

SELECT_CALLS = """
SELECT call.key, call.id, call.outcome, call.computed, call.task_set_id, call.single_id,
    call.result_id, value.digest, value_type.name, value.data
FROM call JOIN value ON value.id = call.single_id JOIN value_type ON value_type.id = value.type_id
WHERE call.key IN ({keys})
"""
SELECT_VALUE = """
SELECT value.digest, value_type.name, value.data
FROM value JOIN value_type ON value_type.id = value.type_id WHERE value.id = ?
"""
SELECT_TASK_SET = """
SELECT task.digest FROM task_set_member JOIN task ON task.id = task_set_member.task_id
WHERE task_set_member.task_set_id = ?
"""
SELECT_HANDLED = "SELECT key, error FROM handled WHERE place = ?"
SELECT_ANY_HANDLED = "SELECT EXISTS (SELECT 1 FROM handled)"
EXECUTION_BY_UUID = "SELECT id FROM execution WHERE uuid = ?"
COUNT_JOBS = """
WITH RECURSIVE part (id) AS (
    SELECT max(id) FROM execution WHERE parent_job_id IS NULL
    UNION
    SELECT execution.id FROM execution JOIN part ON execution.parent_job_id >> 32 = part.id
)
SELECT task.fullname, job.status, count(*) FROM job JOIN task ON task.id = job.task_id
WHERE job.id >> 32 IN (SELECT id FROM part)
GROUP BY task.fullname, job.status
"""
COUNT_MEMBERS = "SELECT count(*) FROM task_set_member WHERE task_set_id = ?"
SELECT_VALUE_IDS = "SELECT digest, id FROM value WHERE digest IN ({keys})"
SELECT_CALL_IDS = "SELECT key, outcome, id FROM call WHERE key IN ({keys})"
INSERT_VALUE = "INSERT INTO value (id, digest, type_id, data)"
INSERT_SUBVALUE = "INSERT OR IGNORE INTO subvalue (parent_id, child_id)"
INSERT_FILE = "INSERT OR IGNORE INTO file (value_id, path)"
INSERT_CALL = """INSERT INTO call
    (id, key, outcome, task_id, single_id, result_id, task_set_id, computed)"""
INSERT_ARGUMENT = "INSERT INTO argument (call_id, position, name, value_id)"
INSERT_UPSTREAM = "INSERT OR IGNORE INTO upstream (call_id, position, upstream_id)"
INSERT_CHILD = "INSERT INTO call_child (call_id, position, child_id)"
INSERT_JOB = """INSERT OR REPLACE INTO job
    (id, parent_id, task_id, call_id, status, started, ended)"""
INSERT_ATTEMPT = "INSERT OR REPLACE INTO attempt (job_id, number, started, ended, error_id)"
INSERT_HANDLED = "INSERT OR REPLACE INTO handled (place, key, error)"
INSERT_TAG = "INSERT OR IGNORE INTO tag (entity, key, value)"
INSERT_TASK = "INSERT INTO task (digest, fullname, version, source) VALUES (?, ?, ?, ?)"
DELETE_CALL = "DELETE FROM call WHERE id = ? AND key = ? AND outcome = ?"
DELETE_CALL_PARTS = (
    "DELETE FROM upstream WHERE call_id = ?",
    "DELETE FROM argument WHERE call_id = ?",
)
INSERT_EXECUTION = """
INSERT INTO execution (uuid, argv, started, status, host, pid, heartbeat, parent_job_id)
VALUES (?, ?, ?, 'RUNNING', ?, ?, ?, ?)
"""
UPDATE_EXECUTION = "UPDATE execution SET status = ?, ended = ?, heartbeat = ? WHERE id = ?"
UPDATE_HEARTBEAT = "UPDATE execution SET heartbeat = ? WHERE id = ?"
UPDATE_COMPUTED = "UPDATE call SET computed = max(computed, ?) WHERE id = ?"


def now() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000


def storable(text: str) -> str:
    r"""Return a text as SQLite takes it, with what is no character escaped.

    Names of files may hold bytes that are no UTF-8.

    >>> storable(b"caf\xe9.txt".decode("utf-8", "surrogateescape"))
    'caf\\udce9.txt'
    """
    return text.encode("utf-8", "backslashreplace").decode()


# Opening


def connect(path: str, read_only: bool = False) -> sqlite3.Connection:
    """Open the database of a repository, as it is.

    Raises
    ------
    RepositoryError
        It cannot be opened, or is not a repository; the message says why.
    """
    try:
        if path == MEMORY:
            return _connect(path)
        if not read_only:
            return _connect(f"{_file_uri(path)}?mode=rw")
        try:
            return _connect(f"{_file_uri(path)}?mode=ro")
        except sqlite3.OperationalError:
            if os.path.exists(f"{path}-wal") or not os.path.isfile(path):
                raise
            # In a folder that cannot be written SQLite cannot make the files by which readers
            # and writers share a log; where there is no log, there is nothing to share.
            return _connect(f"{_file_uri(path)}?immutable=1")
    except sqlite3.Error as error:
        raise explain(error, path) from None


def _connect(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address,
        uri=address != MEMORY,
        isolation_level=None,
        timeout=BUSY_TIMEOUT,
        check_same_thread=False,
        cached_statements=200,
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        connection.execute("SELECT count(*) FROM sqlite_master")  # Reads the file, or says why not.
    except BaseException:
        connection.close()
        raise
    return connection


def _file_uri(path: str) -> str:
    from urllib.parse import quote

    return "file:" + quote(os.path.abspath(path))


def explain(error: sqlite3.Error, path: str) -> RepositoryError:
    """Return the error that says what SQLite's means for the database at `path`."""
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return NotARepository(
            f"{path} is not a redun_lite database ({text}); move it away, or point "
            "[backend] db_uri at another path"
        )
    if "readonly" in text or "full" in text or "disk I/O" in text:
        return RepositoryWriteError(
            f"cannot write to {path}: {text}; make it writable or free some space, then run "
            "again to go on from what was recorded"
        )
    if "unable to open" in text:
        return RepositoryWriteError(f"cannot open {path}: {_why_not_openable(path)}")
    return RepositoryError(f"{path}: {text}")


def _why_not_openable(path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        return "it is a folder"
    if not os.path.isdir(folder):
        return f"the folder {folder} does not exist"
    if not os.path.exists(path):
        return "it does not exist; run `init`, or run a workflow first"
    return "no permission to read and write it"


_creating = threading.Lock()


def create(path: str) -> None:
    """Make the database file, private to the user, and its folder, if they do not exist.

    One that exists is not opened.  To close it again would let go of all locks that this process
    has on it, those of open connections too, whose log the next process then would take for left
    behind, and delete.
    """
    try:
        folder = os.path.dirname(os.path.abspath(path))
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with _creating:  # Whoever finds the file there must not lock it before it is closed.
            if not os.path.exists(path):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        if os.path.exists(path):
            return  # Another process was faster; or whoever connects will say what is wrong.
        raise RepositoryWriteError(f"cannot make the database {path}: {error.strerror}") from None


def check_version(connection: sqlite3.Connection, path: str) -> int:
    """Return the schema version of a database, 0 if it is empty.

    Raises
    ------
    NotARepository, NewerRepository
        Another program made it, or a newer version of this one.
    """
    try:
        # Tables first: another process may be making them, and marks the database with them.
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise explain(error, path) from None
    if application != _schema.APPLICATION_ID:
        if not tables and application == 0:
            return 0
        owner = "redun" if "redun_version" in tables else "another program"
        raise NotARepository(
            f"{path} is a database of {owner}, not of redun_lite; point [backend] db_uri at "
            "another path"
        )
    if version > _schema.VERSION:
        raise NewerRepository(
            f"{path} has schema version {version}, this program knows up to "
            f"{_schema.VERSION}; use a newer redun_lite"
        )
    return int(version)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring a database to the present schema version, in one transaction."""
    if check_version(connection, path) == _schema.VERSION:
        return
    try:
        if path != MEMORY:
            _switch_to_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = check_version(connection, path)
            for step in _schema.MIGRATIONS[version:]:
                for statement in step.split(";\n"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_schema.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_schema.VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise explain(error, path) from None


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Turn on write-ahead logging, which the busy timeout does not cover."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


# The repository


class Repository:
    """One database of executions, open for a scheduler.

    Parameters
    ----------
    path
        Path of the SQLite file, which is made if it does not exist, or ":memory:".
    """

    @classmethod
    def from_config(cls, config: Config) -> Repository:
        """Open the repository that `[backend] db_uri` names.

        This is what makes a class a backend: the scheduler calls it on the class that an entry
        point in `redun_lite.backends` gives for the scheme of the URI.
        """
        return cls(config.db_path())

    def __init__(self, path: str = MEMORY) -> None:
        self.path = path
        if path != MEMORY:
            create(path)
        self._reader = connect(path)
        try:
            migrate(self._reader, path)
        except BaseException:
            self._reader.close()
            raise
        self._batch = Batch()
        self._last_flush = time.monotonic()
        self._are_handles_pending = False  # Whether changes of handles may not be committed yet.
        self.known_values: dict[bytes, ValueRecord] = {}
        self._task_sets: dict[frozenset[bytes], TaskSet] = {}
        self._task_sets_by_id: dict[int, TaskSet] = {}
        self._writer: _Writer = (
            _Writer(self._reader, path) if path == MEMORY else _ThreadedWriter(path)
        )

    def close(self) -> None:
        """Write what is left and close the database."""
        try:
            self.sync()
        finally:
            self._writer.close()
            self._reader.close()

    # Looking up

    def look_up(self, keys: list[bytes]) -> dict[bytes, list[CachedCall]]:
        """Return the calls recorded under each key, the latest first; failed ones left out."""
        found: dict[bytes, list[CachedCall]] = {}
        for rows in _select_in(self._reader, SELECT_CALLS, keys):
            for key, *call in rows:
                found.setdefault(key, []).append(CachedCall(*call))
        for calls in found.values():
            if len(calls) > 1:
                calls.sort(key=lambda call: (call.computed, call.id), reverse=True)
        return found

    def look_up_value(self, value_id: int) -> tuple[bytes, str, bytes]:
        """Return digest, type name and data of a value."""
        row: tuple[bytes, str, bytes] = self._reader.execute(SELECT_VALUE, (value_id,)).fetchone()
        return row

    def look_up_task_set(self, task_set_id: int) -> TaskSet:
        """Return a recorded set of tasks."""
        known = self._task_sets_by_id.get(task_set_id)
        if known is None:
            rows = self._reader.execute(SELECT_TASK_SET, (task_set_id,))
            known = self.task_set(frozenset(key for (key,) in rows))
            self._task_sets_by_id[task_set_id] = known
        return known

    def has_handled(self) -> bool:
        """Say whether any error is recorded that was handled."""
        return bool(self._reader.execute(SELECT_ANY_HANDLED).fetchone()[0])

    def look_up_handled(self, place: bytes) -> list[tuple[bytes, bytes]]:
        """Return call keys and pickled exceptions that were handled at a place."""
        rows: list[tuple[bytes, bytes]] = self._reader.execute(SELECT_HANDLED, (place,)).fetchall()
        return rows

    def are_states_valid(self, states: Sequence[str]) -> bool:
        """Say whether all states of handles are known, and those of calls among them valid."""
        if self._are_handles_pending:
            self.sync()
        return are_valid(self._reader, states)

    def job_counts(self) -> dict[tuple[str, str], int]:
        """Return how many jobs the last execution had, by full name of the task and status.

        Those of executions that are part of it count as well.
        """
        self.sync()
        rows = self._reader.execute(COUNT_JOBS)
        return {(fullname, status): count for fullname, status, count in rows}

    # Recording

    def remember(self, record: ValueRecord) -> None:
        """Keep the record of a value at hand for a while, in `known_values`."""
        if len(self.known_values) >= _KNOWN_VALUES:
            self.known_values.clear()
        self.known_values[record.key] = record

    def task_set(self, tasks: frozenset[bytes]) -> TaskSet:
        """Return the one object for a set of tasks."""
        known = self._task_sets.get(tasks)
        if known is None:
            known = self._task_sets[tasks] = TaskSet(tasks)
        return known

    def start_execution(
        self, uuid: str, argv: list[str], started: int, parent_job: int | None = None
    ) -> int:
        """Record that an execution starts, and return its id.

        Parameters
        ----------
        uuid, argv, started
            Its UUID, the command, and the time in microseconds since 1970.
        parent_job
            Row id of the job that it extends, if it is a part of another execution.

        Raises
        ------
        RepositoryError
            There is an execution of that id already.
        """
        import socket

        host, pid = socket.gethostname(), os.getpid()
        row = (uuid, json.dumps(argv), started, host, pid, started, parent_job)
        return self._writer.start_execution(row)

    def find_execution(self, uuid: str) -> int | None:
        """Return the id of an execution, or None if it is not recorded here."""
        row = self._reader.execute(EXECUTION_BY_UUID, (uuid,)).fetchone()
        return None if row is None else int(row[0])

    def end_execution(self, execution_id: int, status: str) -> None:
        """Record that an execution has ended, and wait until that is committed."""
        ended = now()
        self._batch.executions.append((status, ended, ended, execution_id))
        self._writer.running.discard(execution_id)
        self.sync()

    def record_call(self, call: CallRecord) -> None:
        """Add a call node."""
        self._batch.calls.append(call)

    def forget_call(self, node: CallNode) -> None:
        """Remove a call that another one takes the place of, once that is written."""
        self._batch.forgotten.append(node)

    def record_job(self, job: JobRecord) -> None:
        """Add a job, or how it stands."""
        self._batch.jobs.append(job)
        if len(self._batch.jobs) >= BATCH_JOBS:
            self.flush()

    def record_attempt(self, attempt: AttemptRecord) -> None:
        """Add an attempt at a job."""
        self._batch.attempts.append(attempt)

    def record_handled(self, place: bytes, call_key: bytes, error: bytes) -> None:
        """Add an error that was handled: where, which call raised it, and the exception."""
        self._batch.handled.append((place, call_key, error))

    def record_handles(self, change: HandleChange, at_once: bool = False) -> None:
        """Add what a job does to handles.

        With `at_once`, it is committed on return if it makes any state invalid.  In any case it is
        soon, so that other processes see it in the order in which it happens.
        """
        wait = at_once and would_invalidate(self._reader, change)
        self._batch.handles.append(change)
        self._are_handles_pending = True
        if wait:
            self.sync()
        else:
            self.flush()

    def record_value(self, value: ValueRecord) -> None:
        """Add a value that need not belong to any call."""
        self._batch.values.append(value)

    def record_task(self, code: TaskCode) -> None:
        """Add a task that sets of tasks refer to."""
        self._batch.tasks.append(code)

    def record_tag(self, entity: str, key: str, value: Any) -> None:
        """Add a tag to an execution, job, task or value."""
        self._batch.tags.append((entity, storable(key), json.dumps(value, default=str)))

    @property
    def is_flush_due(self) -> bool:
        """Whether something waits that should have been handed to the writer."""
        return bool(self._batch) and time.monotonic() - self._last_flush >= FLUSH_INTERVAL

    def flush(self) -> None:
        """Hand what has been recorded to the writer.

        Raises
        ------
        RepositoryError
            An earlier batch could not be written.
        """
        self._last_flush = time.monotonic()
        if self._batch:
            batch, self._batch = self._batch, Batch()
            self._writer.submit(batch)

    def sync(self) -> None:
        """Wait until all that has been recorded is committed."""
        self.flush()
        self._writer.sync()
        self._are_handles_pending = False


def _select_in(
    connection: sqlite3.Connection, sql: str, keys: Sequence[bytes]
) -> Iterator[list[Any]]:
    """Run a query with `IN ({keys})` over any number of keys, in blocks of one size or two."""
    for start in range(0, len(keys), _LOOKUP_SIZE):
        block = keys[start : start + _LOOKUP_SIZE]
        # A few sizes only, so that few statements have to be prepared; the last key fills up.
        size = next(size for size in (1, 8, 64, _LOOKUP_SIZE) if size >= len(block))
        marks = ",".join("?" * size)
        parameters = [*block, *[block[-1]] * (size - len(block))]
        yield connection.execute(sql.format(keys=marks), parameters).fetchall()


# Writing

_MAX_VARIABLES = 32_000 if sqlite3.sqlite_version_info >= (3, 32) else 999


Rows = Sequence[tuple[Any, ...]]


def _insert(connection: sqlite3.Connection, sql: str, rows: Rows) -> None:
    """Insert rows."""
    for _ in _insert_blocks(connection, sql, rows):
        pass


def _insert_new(
    connection: sqlite3.Connection, insert: str, unique: str, select: str, rows: Rows
) -> Iterator[tuple[Any, ...]]:
    """Insert the rows that are not there yet; yield the identity and the id of some others.

    Most rows are new, so they are not looked for before: only where a block inserts fewer rows than
    it has are those selected that were there.  These come with their ids last; among them may be
    rows that have just been inserted.

    Parameters
    ----------
    unique
        The columns that identify a row.
    select
        A query for identities and ids by the second column of the rows.
    """
    conflict = f"ON CONFLICT ({unique}) DO NOTHING"
    for block, inserted in _insert_blocks(connection, insert, rows, conflict):
        if inserted < len(block):
            for found in _select_in(connection, select, [row[1] for row in block]):
                yield from found


def _insert_blocks(
    connection: sqlite3.Connection, sql: str, rows: Rows, conflict: str = ""
) -> Iterator[tuple[Rows, int]]:
    """Insert rows, many in one step (see the top of this file); yield them, and how many it did."""
    if not rows:
        return
    width = len(rows[0])
    row = f"({','.join('?' * width)})"
    start = 0
    for size in (512, 64, 8, 1):
        if size * width > _MAX_VARIABLES:
            continue
        statement = f"{sql} VALUES {','.join([row] * size)} {conflict}"
        while len(rows) - start >= size:
            block = rows[start : start + size]
            done = connection.execute(statement, tuple(chain.from_iterable(block)))
            yield block, done.rowcount
            start += size


class _Writer:
    """Writes batches at once, in the thread that submits them."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._tasks: dict[bytes, int] = {}
        self._types: dict[str, int] = {}
        self.running: set[int] = set()

    def start_execution(self, row: tuple[Any, ...]) -> int:
        try:
            execution_id = self._connection.execute(INSERT_EXECUTION, row).lastrowid
        except sqlite3.IntegrityError:
            raise RepositoryError(
                f"{self._path}: there is an execution {row[0]} already; leave out the id, or "
                "give one that was not used before"
            ) from None
        except sqlite3.Error as error:
            raise explain(error, self._path) from None
        assert execution_id is not None
        self.running.add(execution_id)
        return execution_id

    def submit(self, batch: Batch) -> None:
        self._write([batch])

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _write(self, batches: list[Batch]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                for batch in batches:
                    self._write_batch(connection, batch)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise explain(error, self._path) from None

    def _write_batch(self, connection: sqlite3.Connection, batch: Batch) -> None:
        for task in batch.tasks:
            self._task_id(connection, task)
        for change in batch.handles:
            write_change(connection, change)
        calls = batch.calls
        values = batch.values + [call.result for call in calls]
        values += [attempt.error for attempt in batch.attempts if attempt.error is not None]
        values += [call.single for call in calls if call.single is not None]
        values += chain.from_iterable(call.arguments for call in calls)
        self._write_values(connection, values)
        self._write_calls(connection, calls)
        for node in batch.forgotten:
            # Another process may have removed it, and the next call then got its id.
            identity = (node.id, node.key, node.outcome)
            if connection.execute(DELETE_CALL, identity).rowcount:
                for statement in DELETE_CALL_PARTS:
                    connection.execute(statement, (node.id,))
        _insert(connection, INSERT_JOB, [self._job_row(connection, job) for job in batch.jobs])
        _insert(connection, INSERT_TAG, batch.tags)
        _insert(connection, INSERT_HANDLED, batch.handled)
        _insert(
            connection,
            INSERT_ATTEMPT,
            [
                (job, number, started, ended, error and error.id)
                for job, number, started, ended, error in batch.attempts
            ],
        )
        connection.executemany(UPDATE_EXECUTION, batch.executions)

    def _job_row(self, connection: sqlite3.Connection, job: JobRecord) -> tuple[Any, ...]:
        task_id = self._tasks.get(job.task.key) or self._task_id(connection, job.task)
        call_id = job.call.id if job.call is not None else None
        number, parent, _, _, status, started, ended = job
        return (number, parent, task_id, call_id, status, started, ended)

    def _task_id(self, connection: sqlite3.Connection, task: Task[Any, Any] | TaskCode) -> int:
        known = self._tasks.get(task.key)
        if known is None:
            row = connection.execute("SELECT id FROM task WHERE digest = ?", (task.key,)).fetchone()
            if row is None:
                values = (task.key, task.fullname, task.version, task.source)
                inserted: Any = connection.execute(INSERT_TASK, values)
                row = (inserted.lastrowid,)
            known = self._tasks[task.key] = row[0]
        return known

    def _type_id(self, connection: sqlite3.Connection, name: str) -> int:
        known = self._types.get(name)
        if known is None:
            connection.execute("INSERT OR IGNORE INTO value_type (name) VALUES (?)", (name,))
            row = connection.execute("SELECT id FROM value_type WHERE name = ?", (name,)).fetchone()
            known = self._types[name] = row[0]
        return known

    def _task_set_id(self, connection: sqlite3.Connection, task_set: TaskSet) -> int:
        if task_set.id is None:
            connection.execute(
                "INSERT OR IGNORE INTO task_set (digest) VALUES (?)", (task_set.digest,)
            )
            (task_set.id,) = connection.execute(
                "SELECT id FROM task_set WHERE digest = ?", (task_set.digest,)
            ).fetchone()
            connection.executemany(
                "INSERT OR IGNORE INTO task_set_member (task_set_id, task_id) "
                "SELECT ?, id FROM task WHERE digest = ?",
                [(task_set.id, key) for key in task_set.tasks],
            )
            (members,) = connection.execute(COUNT_MEMBERS, (task_set.id,)).fetchone()
            if members != len(task_set.tasks):  # A shallow replay would miss a change of the rest.
                raise RepositoryError(f"{self._path}: tasks of a call are not recorded")
        assert task_set.id is not None
        return task_set.id

    def _write_calls(self, connection: sqlite3.Connection, calls: list[CallRecord]) -> None:
        """Give ids to calls, and insert those that are not in the database yet."""
        # All tasks before the first set of tasks, which may be written for a call above theirs.
        for call in calls:
            self._task_id(connection, call.task)
        last = _last_id(connection, "call")
        rows = []
        new: dict[tuple[bytes, int], CallRecord] = {}
        # In order of their keys, which is the order of the index.
        ordered = sorted(calls, key=_call_identity)
        for call in ordered:
            node, task, single, result, _, _, _, _, computed = call
            if new.setdefault((node.key, node.outcome), call) is not call:
                continue
            last += 1
            node.id = last
            rows.append(
                (
                    last,
                    node.key,
                    node.outcome,
                    self._tasks[task.key],
                    single and single.id,
                    result.id,
                    node.task_set.id or self._task_set_id(connection, node.task_set),
                    computed,
                )
            )
        again: dict[tuple[bytes, int], int] = {}
        known = _insert_new(connection, INSERT_CALL, "key, outcome", SELECT_CALL_IDS, rows)
        for key, outcome, row_id in known:
            call_there = new.get((key, outcome))
            if call_there is not None and call_there.node.id != row_id:
                again[key, outcome] = row_id
                del new[key, outcome]
        if len(new) < len(calls):
            for call in ordered:
                identity = _call_identity(call)
                call.node.id = again.get(identity) or new[identity].node.id
            connection.executemany(
                UPDATE_COMPUTED, [(call.computed, call.node.id) for call in calls]
            )
        self._write_parts(connection, list(new.values()))

    def _write_parts(self, connection: sqlite3.Connection, calls: list[CallRecord]) -> None:
        """Insert the arguments of new calls, where these came from, and the calls below."""
        arguments = []
        upstreams = []
        children = []
        for node, _, _, _, names, values, sources, below, _ in calls:
            call_id = node.id
            for position, value in enumerate(values):
                arguments.append((call_id, position, names[position], value.id))
            for position, upstream in enumerate(sources):
                upstreams += [
                    (call_id, position, source.id) for source in upstream if source.id is not None
                ]
            if below:
                children += [
                    (call_id, position, child.id)
                    for position, child in enumerate(below)
                    if child.id is not None  # Else it was evaluated without provenance.
                ]
        _insert(connection, INSERT_ARGUMENT, arguments)
        _insert(connection, INSERT_UPSTREAM, upstreams)
        _insert(connection, INSERT_CHILD, children)

    def _write_values(self, connection: sqlite3.Connection, values: list[ValueRecord]) -> None:
        """Give ids to values, and insert those that are not in the database yet."""
        by_key: dict[bytes, list[ValueRecord]] = {}
        parents: list[ValueRecord] = []
        pending = [value for value in values if value.id is None]
        while pending:
            value = pending.pop()
            records = by_key.setdefault(value.key, [])
            if records and records[-1] is value:
                continue
            records.append(value)
            if value.subvalues:
                parents.append(value)
                pending += [child for child in value.subvalues if child.id is None]
        if not by_key:
            return
        last = _last_id(connection, "value")
        rows = []
        for key in sorted(by_key):
            last += 1
            value = by_key[key][0]
            value.id = last
            rows.append((last, key, self._type_id(connection, value.type_name), value.data))
        for key, row_id in _insert_new(connection, INSERT_VALUE, "digest", SELECT_VALUE_IDS, rows):
            if key in by_key:
                by_key[key][0].id = row_id
        files = []
        for records in by_key.values():
            value = records[0]
            if value.path is not None:
                files.append((value.id, storable(value.path)))
            for record in records:
                record.id = value.id
                record.data = None
        _insert(connection, INSERT_FILE, files)
        pairs = [(parent.id, child.id) for parent in parents for child in parent.subvalues]
        _insert(connection, INSERT_SUBVALUE, pairs)


def _call_identity(call: CallRecord) -> tuple[bytes, int]:
    return (call.node.key, call.node.outcome)


def _last_id(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT ifnull(max(id), 0) FROM {table}").fetchone()[0])


class _ThreadedWriter(_Writer):
    """Writes batches in a thread of its own, over a connection of its own."""

    def __init__(self, path: str) -> None:
        super().__init__(connect(path), path)
        self._queue: queue.SimpleQueue[Batch | threading.Event | None] = queue.SimpleQueue()
        self._slots = threading.Semaphore(MAX_BACKLOG)
        self._error: RepositoryError | None = None
        self._lock = threading.Lock()  # Held while the connection is in use.
        self._thread = threading.Thread(target=self._run, name="redun_lite-writer", daemon=True)
        self._thread.start()

    def start_execution(self, row: tuple[Any, ...]) -> int:
        with self._lock:
            return super().start_execution(row)

    def submit(self, batch: Batch) -> None:
        self._raise_error()
        self._slots.acquire()
        self._queue.put(batch)

    def sync(self) -> None:
        if self._thread.is_alive():
            done = threading.Event()
            self._queue.put(done)
            done.wait()
        self._raise_error()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        beat = time.monotonic()
        while True:
            try:
                item = self._queue.get(timeout=HEARTBEAT_INTERVAL)
            except queue.Empty:
                item = Batch()
            items = [item]
            while not self._queue.empty() and items[-1] is not None:
                items.append(self._queue.get())
            batches = [item for item in items if isinstance(item, Batch)]
            try:
                if self._error is None:
                    with self._lock:
                        if any(batches):
                            self._write(batches)
                        if time.monotonic() - beat >= HEARTBEAT_INTERVAL:
                            beat = time.monotonic()
                            self._beat(self.running.copy())
            except RepositoryError as error:
                self._error = error
            except BaseException as error:
                self._error = RepositoryError(f"{self._path}: cannot record: {error!r}")
            for batch in batches:
                if batch:
                    self._slots.release()
            batches = []
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()
            if items[-1] is None:
                return

    def _beat(self, running: Iterable[int]) -> None:
        moment = now()
        try:
            for execution_id in running:
                self._connection.execute(UPDATE_HEARTBEAT, (moment, execution_id))
        except sqlite3.Error as error:
            raise explain(error, self._path) from None
