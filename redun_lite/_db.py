"""The repository: where executions are recorded and past results are looked up.

Recording is write-behind.  The engine appends records to a batch and hands full batches to a
writer, which puts each into one transaction, in a thread of its own.

All methods belong to the engine's thread.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._database import Source, database_source
from ._errors import StoredValueError
from ._handle_states import are_valid, would_invalidate
from ._provenance import (
    AttemptRecord,
    Batch,
    CachedCall,
    CallNode,
    CallRecord,
    JobRecord,
    TaskSet,
    ValueRecord,
)
from ._sqlite import MEMORY, source_at, storable
from ._task import TaskCode
from ._timers import now
from ._value_store import StorePlace, home_of, read_value
from ._writer import WriteBehind, Writer

if TYPE_CHECKING:
    from ._config import Config
    from ._handle import HandleChange

FLUSH_INTERVAL = 0.25
"""Seconds after which finished jobs are committed even while the engine is busy."""

BATCH_JOBS = 4_000
"""Jobs after which a batch goes to the writer even before `FLUSH_INTERVAL`."""

MAX_VALUE_SIZE = 1_000_000_000
"""The most bytes that an argument or a result may have, if nothing else is said."""

_KNOWN_VALUES = 20_000  # Values remembered, so that one that recurs is pickled once.


# Statements

SELECT_CALLS = """
SELECT call.key, call.id, call.outcome, call.computed, call.task_set_id, call.single_id,
    call.result_id, value.digest, value_type.name, value.data
FROM call JOIN value ON value.id = call.single_id JOIN value_type ON value_type.id = value.type_id
WHERE call.key IN ({ids})
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


class Repository:
    """One database of executions, open for a scheduler.

    Parameters
    ----------
    where
        Where its database is; or the path of a SQLite file, which is made if it does not exist, or
        ":memory:".
    place
        Where large values go, if not into the database.
    max_value_size
        The most bytes that an argument or a result may have.
    """

    @classmethod
    def from_config(cls, config: Config) -> Repository:
        """Open the repository that the section `[backend]` describes."""
        place = StorePlace.from_config(config)
        return cls(database_source(config), place, config.backend.max_value_size)

    def __init__(
        self,
        where: str | Source = MEMORY,
        place: StorePlace | None = None,
        max_value_size: int = MAX_VALUE_SIZE,
    ) -> None:
        source = source_at(where)
        self.source = source
        self.address = source.address
        source.create()
        self.database = source.connect()
        self._writer: Writer | WriteBehind
        try:
            source.migrate(self.database)
            if source.is_in_memory:
                self._writer = Writer(self.database, place)
            else:
                self._writer = WriteBehind(Writer(source.connect(), place))
        except BaseException:
            self.database.close()
            raise
        self.max_value_size = max_value_size
        self._collected: list[Any] = []
        self._is_closed = False
        self._batch = Batch()
        self._last_flush = time.monotonic()
        self._are_handles_pending = False  # Whether changes of handles may not be committed yet.
        self.known_values: dict[bytes, ValueRecord] = {}
        self._task_sets: dict[frozenset[bytes], TaskSet] = {}
        self._task_sets_by_id: dict[int, TaskSet] = {}

    def close(self) -> None:
        """Write what is left and close the database; what is recorded after that is an error."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self.sync()
        finally:
            self._writer.close()
            self.database.close()

    # Looking up

    def look_up(self, keys: list[bytes]) -> dict[bytes, list[CachedCall]]:
        """Return the calls recorded under each key, the latest first; failed ones left out."""
        found: dict[bytes, list[CachedCall]] = {}
        for key, *call in self.database.rows_in(SELECT_CALLS, keys):
            cached = CachedCall(*call)
            if not cached.data:
                data = self._stored_data(cached.single_id, cached.digest)
                if data is None:
                    continue
                cached = cached._replace(data=data)
            found.setdefault(key, []).append(cached)
        for calls in found.values():
            if len(calls) > 1:
                calls.sort(key=lambda call: (call.computed, call.id), reverse=True)
        return found

    def look_up_value(self, value_id: int) -> tuple[bytes, str, bytes] | None:
        """Return digest, type name and data of a value; None if it is not there any more."""
        for key, type_name, data in self.database.rows(SELECT_VALUE, value_id):
            found = data or self._stored_data(value_id, key)
            return None if found is None else (key, type_name, found)
        return None

    def _stored_data(self, value_id: int, key: bytes) -> bytes | None:
        """Return the data of a value that is not in its row; None if it is lost."""
        try:
            return read_value(self.database, value_id, home_of(self.address))
        except StoredValueError as error:
            if key not in self._writer.lost:
                import logging  # Takes a while to import, and is seldom needed.

                self._writer.lost.add(key)
                logging.getLogger("redun_lite").warning("%s: what made it runs again", error)
            return None

    def look_up_task_set(self, task_set_id: int) -> TaskSet:
        """Return a recorded set of tasks."""
        known = self._task_sets_by_id.get(task_set_id)
        if known is None:
            rows = self.database.rows(SELECT_TASK_SET, task_set_id)
            known = self.task_set(frozenset(key for (key,) in rows))
            self._task_sets_by_id[task_set_id] = known
        return known

    def has_handled(self) -> bool:
        """Say whether any error is recorded that was handled."""
        return bool(self.database.rows(SELECT_ANY_HANDLED)[0][0])

    def look_up_handled(self, place: bytes) -> list[tuple[bytes, bytes]]:
        """Return call keys and pickled exceptions that were handled at a place."""
        return self.database.rows(SELECT_HANDLED, place)

    def are_states_valid(self, states: Sequence[str]) -> bool:
        """Say whether all states of handles are known, and those of calls among them valid."""
        if self._are_handles_pending:
            self.sync()
        return are_valid(self.database, states)

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
        execution_id = self._writer.start_execution(row)
        if self._writer.collected != self._collected:
            self._collected = self._writer.collected
            self.known_values.clear()
            self._task_sets.clear()
            self._task_sets_by_id.clear()
        return execution_id

    def find_execution(self, uuid: str) -> int | None:
        """Return the id of an execution, or None if it is not recorded here."""
        rows = self.database.rows(EXECUTION_BY_UUID, uuid)
        return rows[0][0] if rows else None

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
        wait = at_once and would_invalidate(self.database, change)
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
        return time.monotonic() - self._last_flush >= FLUSH_INTERVAL and bool(self._batch)

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
