"""Writing batches of records into a repository, at once or behind the engine's back.

A batch is one transaction.  Ids are given inside it, so eight processes may write to one database;
a record carries its id once it has one, and those that refer to it are written after it.

Random index entries cost cache misses, so there is one for a value and one for a call, inserted in
order of their digests.
"""

from __future__ import annotations

import queue
import threading
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ._errors import ExecutionIdTaken, RepositoryError
from ._handle_states import write_change
from ._provenance import Batch, CallNode, CallRecord, TaskSet, ValueRecord
from ._sqlite import storable
from ._task import Task, TaskCode
from ._timers import now
from ._value_store import ValueStore, open_store

if TYPE_CHECKING:
    from ._database import Database
    from ._value_store import StoredFile, StorePlace

MAX_BACKLOG = 12
"""Batches that may wait for the writer before the engine waits for it."""

HEARTBEAT_INTERVAL = 10.0
"""Seconds between signs of life of a running execution."""


# Statements

COUNT_MEMBERS = "SELECT count(*) FROM task_set_member WHERE task_set_id = ?"
SELECT_VALUE_IDS = "SELECT digest, id FROM value WHERE digest IN ({ids})"
SELECT_CALL_IDS = "SELECT key, outcome, id FROM call WHERE key IN ({ids})"
INSERT_VALUE = "INSERT INTO value (id, digest, type_id, data)"
INSERT_SUBVALUE = "INSERT INTO subvalue (parent_id, child_id)"
INSERT_FILE = "INSERT INTO file (value_id, path)"
INSERT_STORED = "INSERT INTO stored_value (value_id, digest, size, path)"
SELECT_STORED = """
SELECT value.digest, stored_value.path, stored_value.size
FROM value LEFT JOIN stored_value ON stored_value.value_id = value.id WHERE value.digest IN ({ids})
"""
SELECT_COLLECTED = "SELECT value FROM property WHERE name = 'collected'"
INSERT_CALL = """INSERT INTO call
    (id, key, outcome, task_id, single_id, result_id, task_set_id, computed)"""
INSERT_ARGUMENT = "INSERT INTO argument (call_id, position, name, value_id)"
INSERT_UPSTREAM = "INSERT INTO upstream (call_id, position, upstream_id)"
INSERT_CHILD = "INSERT INTO call_child (call_id, position, child_id)"
INSERT_JOB = "INSERT INTO job (id, parent_id, task_id, call_id, status, started, ended)"
INSERT_ATTEMPT = "INSERT INTO attempt (job_id, number, started, ended, error_id)"
INSERT_HANDLED = "INSERT INTO handled (place, key, error)"
INSERT_TAG = "INSERT INTO tag (entity, key, value)"
INSERT_TASK = "INSERT INTO task (digest, fullname, version, source) VALUES (?, ?, ?, ?)"
INSERT_TYPE = "INSERT INTO value_type (name) VALUES (?) ON CONFLICT DO NOTHING"
INSERT_TASK_SET = "INSERT INTO task_set (digest) VALUES (?) ON CONFLICT DO NOTHING"
INSERT_MEMBER = """
INSERT INTO task_set_member (task_set_id, task_id) SELECT ?, id FROM task WHERE digest = ?
ON CONFLICT DO NOTHING
"""
SELECT_TASK_ID = "SELECT id FROM task WHERE digest = ?"
SELECT_TYPE_ID = "SELECT id FROM value_type WHERE name = ?"
SELECT_TASK_SET_ID = "SELECT id FROM task_set WHERE digest = ?"
SELECT_EXECUTION_ID = "SELECT id FROM execution WHERE uuid = ?"
SELECT_LAST_ID = "SELECT coalesce(max(id), 0) FROM {table}"
DELETE_CALL = "DELETE FROM call WHERE id = ? AND key = ? AND outcome = ?"
DELETE_CALL_PARTS = (
    "DELETE FROM upstream WHERE call_id = ? AND NOT EXISTS (SELECT 1 FROM call WHERE id = ?)",
    "DELETE FROM argument WHERE call_id = ? AND NOT EXISTS (SELECT 1 FROM call WHERE id = ?)",
)
INSERT_EXECUTION = """
INSERT INTO execution (uuid, argv, started, status, host, pid, heartbeat, parent_job_id)
VALUES (?, ?, ?, 'RUNNING', ?, ?, ?, ?) ON CONFLICT (uuid) DO NOTHING
"""
UPDATE_EXECUTION = "UPDATE execution SET status = ?, ended = ?, heartbeat = ? WHERE id = ?"
UPDATE_HEARTBEAT = "UPDATE execution SET heartbeat = ? WHERE id = ?"
UPDATE_COMPUTED = "UPDATE call SET computed = ? WHERE id = ? AND computed < ?"

IGNORE = "ON CONFLICT DO NOTHING"
REPLACE_JOB = """ON CONFLICT (id) DO UPDATE SET parent_id = excluded.parent_id,
    task_id = excluded.task_id, call_id = excluded.call_id, status = excluded.status,
    started = excluded.started, ended = excluded.ended"""
REPLACE_ATTEMPT = """ON CONFLICT (job_id, number) DO UPDATE SET started = excluded.started,
    ended = excluded.ended, error_id = excluded.error_id"""
REPLACE_STORED = """ON CONFLICT (value_id) DO UPDATE SET digest = excluded.digest,
    size = excluded.size, path = excluded.path"""
REPLACE_HANDLED = "ON CONFLICT (place, key) DO UPDATE SET error = excluded.error"


# Writing

_KEY = attrgetter("key")
_KEY_OF_CALL = attrgetter("node.key")


class Writer:
    """Writes batches at once, in the thread that submits them.

    Parameters
    ----------
    database
        A connection to it, which is the writer's from here on.
    place
        Where large values go, if not into the database.

    Attributes
    ----------
    running
        Row ids of the executions that go on.
    lost
        Keys of values whose files were found to be missing or damaged.
    collected
        Says how often garbage had been collected when the last execution began.
    """

    def __init__(self, database: Database, place: StorePlace | None = None) -> None:
        self._database = database
        self._place = place
        self._store: ValueStore | None = None
        self._stored: dict[bytes, StoredFile] = {}  # Files of the values that are being written.
        self.lost: set[bytes] = set()
        self.collected: list[Any] = []
        self._tasks: dict[bytes, int] = {}
        self._types: dict[str, int] = {}
        self._given = _Given()
        self.address = database.address
        self.running: set[int] = set()

    def start_execution(self, row: tuple[Any, ...]) -> int:
        """Insert an execution at once; return its row id."""
        database = self._database
        # In a transaction, so not within one that collects garbage.
        if not database.in_transaction(lambda: database.execute(INSERT_EXECUTION, *row)):
            raise ExecutionIdTaken(
                f"{self.address}: there is an execution {row[0]} already; leave out the id, or "
                "give one that was not used before"
            )
        execution_id: int = self._database.rows(SELECT_EXECUTION_ID, row[0])[0][0]
        self.running.add(execution_id)
        # From here on nothing is collected; what was, may have been rows that are known here.
        collected = self._database.rows(SELECT_COLLECTED)
        if collected != self.collected:
            self.collected = collected
            self._tasks.clear()
            self._types.clear()
        return execution_id

    def submit(self, batch: Batch) -> None:
        """Take a batch to be written."""
        self.write([batch])

    def sync(self) -> None:
        """Wait until what was submitted is committed."""

    def close(self) -> None:
        """Write what was submitted, and close the database."""
        self._database.close()

    def write(self, batches: list[Batch]) -> None:
        """Write batches, in one transaction; the files of large values before it."""
        if self._place is not None:
            self._store_large(batches, self._place)

        def work() -> None:
            self._given.take_back()
            for batch in batches:
                self._write_batch(batch)

        try:
            self._database.in_transaction(work)
        except BaseException:
            self._given.take_back()
            raise
        self._given.keep()
        self._stored.clear()

    def _store_large(self, batches: list[Batch], place: StorePlace) -> None:
        """Write the files of values that are too large for the database."""
        large: dict[bytes, bytes] = {}
        for batch in batches:
            pending = _values_of(batch)
            for value in pending:
                if value.id is None:
                    pending += value.subvalues
                    if value.data is not None and len(value.data) > place.min_size:
                        large[value.key] = value.data
        if not large:
            return
        store = self._store
        if store is None:
            store = self._store = open_store(self._database, place)
        for key, path, size in self._database.rows_in(SELECT_STORED, list(large)):
            if path is None or (key not in self.lost and store.has(path, size)):
                large.pop(key, None)
        again = {key for key in large if key in self.lost}
        self._stored.update(zip(large, store.put_all(list(large.values()), bool(again))))
        self.lost -= again

    def beat(self) -> None:
        """Give a sign of life of the executions that go on."""
        moment = now()
        for execution_id in self.running.copy():
            self._database.execute(UPDATE_HEARTBEAT, moment, execution_id)

    def _write_batch(self, batch: Batch) -> None:
        database = self._database
        calls = batch.calls
        tasks = self._tasks
        # All tasks before the first set of tasks, which may be written for a call above theirs.
        used: list[Task[Any, Any] | TaskCode] = [call.task for call in calls]
        used += [job.task for job in batch.jobs]
        for task in used + batch.tasks:
            if task.key not in tasks:
                self._write_task(task)
        for change in batch.handles:
            write_change(database, change)
        self._write_values(_values_of(batch))
        self._write_calls(calls)
        if batch.forgotten:
            # Another process may have removed it, and the next call then got its id.
            database.execute_many(
                DELETE_CALL, [(node.id, node.key, node.outcome) for node in batch.forgotten]
            )
            for statement in DELETE_CALL_PARTS:
                database.execute_many(statement, [(node.id, node.id) for node in batch.forgotten])
        jobs = {job.number: job for job in batch.jobs}  # How each stands at last.
        database.insert(
            INSERT_JOB,
            [
                (number, parent, tasks[task.key], call and call.id, status, started, ended)
                for number, parent, task, call, status, started, ended in jobs.values()
            ],
            REPLACE_JOB,
        )
        database.insert(INSERT_TAG, batch.tags, IGNORE)
        handled = {(place, key): error for place, key, error in batch.handled}
        rows = [(place, key, error) for (place, key), error in handled.items()]
        database.insert(INSERT_HANDLED, rows, REPLACE_HANDLED)
        attempts = {(attempt.job, attempt.number): attempt for attempt in batch.attempts}
        database.insert(
            INSERT_ATTEMPT,
            [
                (job, number, started, ended, error and error.id)
                for job, number, started, ended, error in attempts.values()
            ],
            REPLACE_ATTEMPT,
        )
        database.execute_many(UPDATE_EXECUTION, batch.executions)

    def _write_task(self, task: Task[Any, Any] | TaskCode) -> None:
        rows = self._database.rows(SELECT_TASK_ID, task.key)
        if not rows:
            row = (task.key, task.fullname, task.version, task.source)
            self._database.execute(INSERT_TASK, *row)
            rows = self._database.rows(SELECT_TASK_ID, task.key)
        self._tasks[task.key] = rows[0][0]
        self._given.known.append((self._tasks, task.key))

    def _type_id(self, name: str) -> int:
        self._database.execute(INSERT_TYPE, name)
        type_id: int = self._database.rows(SELECT_TYPE_ID, name)[0][0]
        self._types[name] = type_id
        self._given.known.append((self._types, name))
        return type_id

    def _task_set_id(self, task_set: TaskSet) -> int:
        database = self._database
        if task_set.id is None:
            self._given.ids.append((task_set, None))
            database.execute(INSERT_TASK_SET, task_set.digest)
            ((task_set.id,),) = database.rows(SELECT_TASK_SET_ID, task_set.digest)
            members = [(task_set.id, key) for key in task_set.tasks]
            database.execute_many(INSERT_MEMBER, members)
            ((count,),) = database.rows(COUNT_MEMBERS, task_set.id)
            if count != len(members):  # A shallow replay would miss a change of the rest.
                raise RepositoryError(f"{self.address}: tasks of a call are not recorded")
        assert task_set.id is not None
        return task_set.id

    def _last_id(self, table: str) -> int:
        return int(self._database.rows(SELECT_LAST_ID.format(table=table))[0][0])

    def _write_calls(self, calls: list[CallRecord]) -> None:
        """Give ids to calls, and insert those that are not in the database yet."""
        last = self._last_id("call")
        self._given.ids += [(call.node, call.node.id) for call in calls]
        rows = []
        new: dict[tuple[bytes, int], CallRecord] = {}
        # In order of their keys, which is the order of the index.
        ordered = sorted(calls, key=_KEY_OF_CALL)
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
                    node.task_set.id or self._task_set_id(node.task_set),
                    computed,
                )
            )
        again: dict[tuple[bytes, int], int] = {}
        known = self._database.insert_new(INSERT_CALL, "key, outcome", SELECT_CALL_IDS, rows)
        for key, outcome, row_id in known:
            call_there = new.get((key, outcome))
            if call_there is not None and call_there.node.id != row_id:
                again[key, outcome] = row_id
                del new[key, outcome]
        if len(new) < len(calls):
            for call in ordered:
                identity = (call.node.key, call.node.outcome)
                call.node.id = again.get(identity) or new[identity].node.id
            self._database.execute_many(
                UPDATE_COMPUTED, [(call.computed, call.node.id, call.computed) for call in calls]
            )
        self._write_parts(list(new.values()))

    def _write_parts(self, calls: list[CallRecord]) -> None:
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
        self._database.insert(INSERT_ARGUMENT, arguments)
        self._database.insert(INSERT_UPSTREAM, upstreams, IGNORE)
        self._database.insert(INSERT_CHILD, children)

    def _write_values(self, values: list[ValueRecord]) -> None:
        """Give ids to values, and insert those that are not in the database yet."""
        first: dict[bytes, ValueRecord] = {}
        twins: list[ValueRecord] = []  # Other records of the same values.
        parents: list[ValueRecord] = []
        pending = [value for value in values if value.id is None]
        for value in pending:
            known = first.get(value.key)
            if known is value:
                continue
            if known is None:
                first[value.key] = value
            else:
                twins.append(value)
            if value.subvalues:
                parents.append(value)
                pending += [child for child in value.subvalues if child.id is None]
        if not first:
            return
        self._given.values += first.values()
        self._given.values += twins
        types = self._types
        last = self._last_id("value")
        rows = []
        for value in sorted(first.values(), key=_KEY):
            last += 1
            value.id = last
            name = value.type_name
            rows.append((last, value.key, types.get(name) or self._type_id(name), value.data))
        stored = self._stored
        if stored:
            rows = [(*row[:3], b"" if row[1] in stored else row[3]) for row in rows]
        known_ids = self._database.insert_new(INSERT_VALUE, "digest", SELECT_VALUE_IDS, rows)
        for key, row_id in known_ids:
            if key in first:
                first[key].id = row_id
        files = [
            (value.id, storable(value.path)) for value in first.values() if value.path is not None
        ]
        for twin in twins:
            twin.id = first[twin.key].id
        self._database.insert(INSERT_FILE, files, IGNORE)
        if stored:
            places = [(first[key].id, *file) for key, file in stored.items() if key in first]
            self._database.insert(INSERT_STORED, places, REPLACE_STORED)
        pairs = [(parent.id, child.id) for parent in parents for child in parent.subvalues]
        self._database.insert(INSERT_SUBVALUE, pairs, IGNORE)


def _values_of(batch: Batch) -> list[ValueRecord]:
    calls = batch.calls
    values = batch.values + [call.result for call in calls]
    values += [
        call.single for call in calls if call.single is not None and call.single is not call.result
    ]
    values += [value for call in calls for value in call.arguments]
    values += [attempt.error for attempt in batch.attempts if attempt.error is not None]
    return values


class _Given:
    """What records were given in a transaction, and what of them is known now: until it is over.

    If it is rolled back, no row has the ids that it gave, or another process gives them to others.

    Attributes
    ----------
    values
        Records of values that had no id.
    ids
        Calls and sets of tasks, with the id that they had before.
    known
        Dicts that know ids, and the new keys in them.
    """

    __slots__ = ("ids", "known", "values")

    def __init__(self) -> None:
        self.values: list[ValueRecord] = []
        self.ids: list[tuple[CallNode | TaskSet, int | None]] = []
        self.known: list[tuple[dict[Any, int], Any]] = []

    def keep(self) -> None:
        """Say that it is committed."""
        for value in self.values:
            value.data = None
        self._clear()

    def take_back(self) -> None:
        """Say that it is rolled back."""
        for value in self.values:
            value.id = None
        for record, before in reversed(self.ids):
            record.id = before
        for ids, key in self.known:
            ids.pop(key, None)
        self._clear()

    def _clear(self) -> None:
        self.values.clear()
        self.ids.clear()
        self.known.clear()


class WriteBehind:
    """Has batches written in a thread of its own, while the engine goes on.

    Parameters
    ----------
    writer
        What writes them; its connection is used by one thread at a time.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.running = writer.running
        self.lost = writer.lost
        self._queue: queue.SimpleQueue[Batch | threading.Event | None] = queue.SimpleQueue()
        self._slots = threading.Semaphore(MAX_BACKLOG)
        self._error: RepositoryError | None = None
        self._lock = threading.Lock()  # Held while the writer is in use.
        self._thread = threading.Thread(target=self._run, name="redun_lite-writer", daemon=True)
        self._thread.start()

    def start_execution(self, row: tuple[Any, ...]) -> int:
        """Insert an execution at once; return its row id."""
        with self._lock:
            return self._writer.start_execution(row)

    @property
    def collected(self) -> list[Any]:
        """Says how often garbage had been collected when the last execution began."""
        return self._writer.collected

    def submit(self, batch: Batch) -> None:
        """Take a batch to be written; wait if too many are.

        Raises
        ------
        RepositoryError
            An earlier one could not be written.
        """
        self._raise_error()
        self._slots.acquire()
        self._queue.put(batch)

    def sync(self) -> None:
        """Wait until what was submitted is committed."""
        if self._thread.is_alive():
            done = threading.Event()
            self._queue.put(done)
            done.wait()
        self._raise_error()

    def close(self) -> None:
        """Write what was submitted, and close the database."""
        self._queue.put(None)
        self._thread.join()
        self._writer.close()
        self._error = RepositoryError(f"{self._writer.address} is closed: nothing can be recorded")

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
                            self._writer.write(batches)
                        if time.monotonic() - beat >= HEARTBEAT_INTERVAL:
                            beat = time.monotonic()
                            self._writer.beat()
            except RepositoryError as error:
                self._error = error
            except BaseException as error:
                self._error = RepositoryError(f"{self._writer.address}: cannot record: {error!r}")
            for batch in batches:
                if batch:
                    self._slots.release()
            batches = []
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()
            if items[-1] is None:
                return
