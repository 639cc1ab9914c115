"""Removing from a repository what no execution needs that is to be kept.

What is needed is found by following references from the executions that are kept: their jobs, the
calls of these with all calls below and upstream, the values and tasks of those, the parts of the
values, the states of handles.  All else is removed, in transactions that last a moment.

Three things decide how:

* A repository may have a hundred million rows.  What was found is kept as a bit for each row
  (`_id_set`), so memory hardly grows with the repository.
* Whoever runs a workflow remembers ids of rows that it has seen, and will refer to them.  So calls
  and values are removed only while nothing runs.  Each transaction looks whether anything has been
  written since the references were followed; if so, they are followed again, or, if an execution
  has begun, the rest is left to the next time.  Executions and their jobs can go in any case.
* It may be interrupted at any moment.  So a row goes before those that it refers to: jobs before
  calls, calls before those below them, values last, their files after them.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ._database import Upkeep
from ._errors import RedunLiteError, UsageError
from ._id_set import IdCounts, IdSet
from ._schema import JOB_NUMBER_BITS, job_ids
from ._status import RUNNING
from ._tagged import on_nothing
from ._timers import now
from ._value_store import is_own, remove, resolve, store_name
from ._writer import SELECT_COLLECTED

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import Callable

    from ._database import Database
    from ._value_store import ValueStore

_BLOCK = 4_000  # Rows that a transaction removes.
_MARKS = 500  # Ids in a statement.
_FILES = 200  # Files that are removed before others may write again.
_ROUNDS = 5  # How often it begins anew when others have written meanwhile.
_MOST_PAUSE = 0.1  # Seconds that it leaves to others after a transaction.
_YOUNG = 3600.0  # Seconds in which a file of the store that no row has may still get one.

_SILENCE = 3600  # Seconds without a sign of life after which an execution elsewhere is over.
_LONG_SILENCE = 86_400  # The same where its process is there, but may have slept.

ANY = object()
"""In place of a tag's value: whatever that is."""


# Queries

EXECUTIONS = """
SELECT id, uuid, started, status, host, pid, heartbeat, parent_job_id FROM execution ORDER BY id
"""
RUNNING_EXECUTIONS = "SELECT id, uuid, host, pid, heartbeat FROM execution WHERE status = ?"
TAGS_OF_KEY = "SELECT entity, value FROM tag WHERE key = ?"
LAST_ROWS = """
SELECT (SELECT coalesce(max(id), 0) FROM execution), (SELECT coalesce(max(id), 0) FROM call),
    (SELECT coalesce(max(id), 0) FROM value), (SELECT coalesce(max(id), 0) FROM handle_state)
"""
COUNTS = """
SELECT (SELECT count(*) FROM execution), (SELECT count(*) FROM job), (SELECT count(*) FROM call),
    (SELECT count(*) FROM value), (SELECT count(*) FROM task)
"""
JOBS_OF_EXECUTION = "SELECT count(*) FROM job WHERE id BETWEEN ? AND ?"
CALLS_OF_JOBS = """
SELECT DISTINCT call_id FROM job WHERE id BETWEEN ? AND ? AND call_id IS NOT NULL
"""
TASKS_OF_JOBS = "SELECT DISTINCT task_id FROM job WHERE id BETWEEN ? AND ?"
ERRORS_OF_ATTEMPTS = """
SELECT error_id FROM attempt WHERE job_id BETWEEN ? AND ? AND error_id IS NOT NULL
"""
BELOW_CALLS = "SELECT child_id FROM call_child WHERE call_id IN ({ids})"
ABOVE_CALLS = "SELECT upstream_id FROM upstream WHERE call_id IN ({ids})"
ALL_BELOW = "SELECT call_id, child_id FROM call_child"
ALL_ABOVE = "SELECT call_id, upstream_id FROM upstream"
ALL_CALLS = "SELECT id, single_id, result_id, task_id, task_set_id FROM call"
ALL_ARGUMENTS = "SELECT call_id, value_id FROM argument"
ALL_SUBVALUES = "SELECT parent_id, child_id FROM subvalue"
ALL_MEMBERS = "SELECT task_set_id, task_id FROM task_set_member"
ALL_VALUES = """
SELECT value.id, length(value.data), stored_value.size
FROM value LEFT JOIN stored_value ON stored_value.value_id = value.id
"""
IDS_BELOW = "SELECT id FROM {table} WHERE id < ? ORDER BY id DESC LIMIT ?"
HANDLED = "SELECT place, key FROM handled"
CALLS_OF_KEY = "SELECT id FROM call WHERE key = ?"
HANDLE_STATES = "SELECT id, valid, execution_id FROM handle_state"
# In the order in which they were made, or against it: so that one pass finds nearly all.
HANDLE_EDGES_DOWN = "SELECT parent_id, child_id FROM handle_edge ORDER BY parent_id"
HANDLE_EDGES_UP = "SELECT child_id, parent_id FROM handle_edge ORDER BY child_id DESC"
LAST_JOBS = "SELECT id FROM job WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?"
ALL_TAGS = "SELECT id, entity FROM tag"
STORED_IN = "SELECT digest, path FROM stored_value WHERE value_id IN ({ids})"
STORED_DIGESTS = "SELECT digest FROM stored_value WHERE digest IN ({ids})"
# Ids of executions may be given again.
DISOWN_STATES = "UPDATE handle_state SET execution_id = NULL WHERE execution_id = ?"
FORGET_JOBS = "DELETE FROM job WHERE id BETWEEN ? AND ?"
FORGET_ATTEMPTS = "DELETE FROM attempt WHERE job_id BETWEEN ? AND ?"
FORGET_EXECUTION = "DELETE FROM execution WHERE id = ?"
FORGET_CALLS = (
    "DELETE FROM upstream WHERE call_id IN ({ids})",
    "DELETE FROM argument WHERE call_id IN ({ids})",
    "DELETE FROM call_child WHERE call_id IN ({ids})",
    "DELETE FROM call WHERE id IN ({ids})",
)
FORGET_VALUES = (
    "DELETE FROM subvalue WHERE parent_id IN ({ids})",
    "DELETE FROM subvalue WHERE child_id IN ({ids})",
    "DELETE FROM file WHERE value_id IN ({ids})",
    "DELETE FROM stored_value WHERE value_id IN ({ids})",
    "DELETE FROM value WHERE id IN ({ids})",
)
FORGET_SETS = (
    "DELETE FROM task_set_member WHERE task_set_id IN ({ids})",
    "DELETE FROM task_set WHERE id IN ({ids})",
)
FORGET_TASKS = ("DELETE FROM task WHERE id IN ({ids})",)
FORGET_STATES = (
    "DELETE FROM handle_edge WHERE parent_id IN ({ids})",
    "DELETE FROM handle_edge WHERE child_id IN ({ids})",
    "DELETE FROM handle_state WHERE id IN ({ids})",
)
FORGET_TAGS = ("DELETE FROM tag WHERE id IN ({ids})",)
FORGET_HANDLED = "DELETE FROM handled WHERE place = ? AND key = ?"
COUNT_COLLECTION = """
INSERT INTO property (name, value) VALUES ('collected', ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


_TABLES = {
    "jobs": ("job", "attempt"),
    "calls": ("call", "argument", "upstream", "call_child"),
    "values": ("value", "subvalue", "file"),
}
"""The tables that records of a kind take space in."""


class Keep(NamedTuple):
    """Which executions are kept: those that any of these says; and all that are running.

    Attributes
    ----------
    last
        How many of the latest.
    since
        Those that started after that time, in microseconds since 1970; None for none.
    tags
        Those with one of these tags: a key, and a value or `ANY`.
    """

    last: int = 0
    since: int | None = None
    tags: tuple[tuple[str, Any], ...] = ()


class Tally(NamedTuple):
    """Records of one kind: how many are removed, and how many there were."""

    removed: int
    total: int


class Collected(NamedTuple):
    """What was removed, or would be.

    Attributes
    ----------
    tallies
        By kind.
    bytes
        How much of the database and of the value store that is, about.
    stopped
        Why calls and values were left, or None if they were not.
    """

    tallies: dict[str, Tally]
    bytes: int
    stopped: str | None


def running_executions(database: Database) -> list[str]:
    """Return the UUIDs of the executions that may be going on."""
    return [
        row[1] for row in database.rows(RUNNING_EXECUTIONS, RUNNING) if _may_be_running(*row[2:])
    ]


class _Moved(Exception):
    """Somebody has written since the references were followed."""


class _Stopped(Exception):
    """The rest is left to the next time."""


def collect(
    database: Database,
    keep: Keep,
    store: ValueStore | None = None,
    home: str | None = None,
    dry_run: bool = False,
) -> Collected:
    """Remove what the executions to be kept do not need.

    Parameters
    ----------
    database
        Open for writing.
    keep
        Which executions those are.
    store
        Where its large values are written, to look there for files that no row has.
    home
        The folder of the database.
    dry_run
        Whether to only find out.
    """
    return _Collector(database, keep, store, home).run(dry_run)


class _Needed(NamedTuple):
    """Rows that kept executions refer to, directly or not."""

    calls: IdSet
    values: IdSet
    tasks: IdSet
    sets: IdSet
    states: IdSet
    handled: list[tuple[bytes, bytes]]
    """Not these: handled errors that no kept call can meet."""


class _Collector:
    def __init__(
        self, database: Database, keep: Keep, store: ValueStore | None, home: str | None
    ) -> None:
        self._database = database
        self._keep = keep
        self._store = store
        self._home = home
        self._kept: list[int] = []
        self._removed: list[int] = []
        self._running: list[str] = []
        self._last: tuple[int, ...] = ()
        self._has_moved = False

    def run(self, dry_run: bool) -> Collected:
        with self._database.snapshot():
            self._choose()
            stopped = self._why_not()
            needed = self._follow()
            result = self._count(needed, stopped)
        if dry_run:
            return result
        self._remove_executions()
        self._keep = Keep(last=1 << 62)  # What had to go is gone.
        if stopped is None:
            try:
                self._remove_unneeded(needed)
            except _Stopped as reason:
                result = result._replace(stopped=str(reason))
        self._remove_tags()
        return result

    # Which executions

    def _choose(self) -> None:
        rows = self._database.rows(EXECUTIONS)
        roots: dict[int, int] = {}
        tagged = self._tagged()
        whole = []
        for row in rows:
            execution_id, parent = row[0], row[7]
            root = None if parent is None else roots.get(parent >> JOB_NUMBER_BITS)
            roots[execution_id] = execution_id if root is None else root
            if root is None:
                whole.append(row)
        last = len(whole) - self._keep.last
        kept = {
            row[0]
            for index, row in enumerate(whole)
            if index >= last
            or row[1] in tagged
            or (self._keep.since is not None and row[2] >= self._keep.since)
        }
        self._check_tags(bool(whole), bool(kept))
        running = [row for row in rows if row[3] == RUNNING and _may_be_running(*row[4:7])]
        kept.update(roots[row[0]] for row in running)
        self._running = [row[1] for row in running]
        self._kept = [row[0] for row in rows if roots[row[0]] in kept]
        self._removed = [row[0] for row in rows if roots[row[0]] not in kept]
        self._last = self._last_rows()
        self._has_moved = False

    def _check_tags(self, has_any: bool, has_kept: bool) -> None:
        """Refuse to remove all for a tag that nothing has: most likely it is misspelt."""
        keep = self._keep
        if keep.tags and not keep.last and keep.since is None and has_any and not has_kept:
            keys = ", ".join(repr(key) for key, _ in keep.tags)
            raise UsageError(
                f"db gc: no execution has such a tag ({keys}), so all would go; `tag list` shows "
                "the tags there are, and --keep 0 alone removes all"
            )

    def _tagged(self) -> set[str]:
        found = set()
        for key, wanted in self._keep.tags:
            for entity, text in self._database.rows(TAGS_OF_KEY, key):
                if _has_value(text, wanted):
                    found.add(entity)
        return found

    def _last_rows(self) -> tuple[int, ...]:
        return tuple(self._database.rows(LAST_ROWS)[0])

    # What they need

    def _follow(self) -> _Needed:
        database = self._database
        calls, values, tasks, sets = IdSet(), IdSet(), IdSet(), IdSet()
        waiting: list[int] = []
        for execution_id in self._kept:
            bounds = job_ids(execution_id)
            for (call_id,) in database.iterate(CALLS_OF_JOBS, *bounds):
                if calls.add(call_id):
                    waiting.append(call_id)
                if len(waiting) >= _BLOCK:
                    self._follow_calls(calls, waiting)
            for (task_id,) in database.iterate(TASKS_OF_JOBS, *bounds):
                tasks.add(task_id)
            for (value_id,) in database.iterate(ERRORS_OF_ATTEMPTS, *bounds):
                values.add(value_id)
        self._follow_calls(calls, waiting)
        for call_id, single_id, result_id, task_id, set_id in database.iterate(ALL_CALLS):
            if call_id in calls:
                values.add(result_id)
                if single_id is not None:
                    values.add(single_id)
                tasks.add(task_id)
                sets.add(set_id)
        for call_id, value_id in database.iterate(ALL_ARGUMENTS):
            if call_id in calls:
                values.add(value_id)
        _spread(values, lambda: database.iterate(ALL_SUBVALUES))
        for set_id, task_id in database.iterate(ALL_MEMBERS):
            if set_id in sets:
                tasks.add(task_id)
        return _Needed(calls, values, tasks, sets, self._follow_states(), self._unneeded(calls))

    def _follow_calls(self, calls: IdSet, waiting: list[int]) -> None:
        """Add all calls below and upstream; the last that was found goes first."""
        while waiting:
            block = waiting[-_MARKS:]
            del waiting[-_MARKS:]
            for sql in (BELOW_CALLS, ABOVE_CALLS):
                for (call_id,) in self._database.rows_in(sql, block):
                    if calls.add(call_id):
                        waiting.append(call_id)

    def _follow_states(self) -> IdSet:
        """Find the states of handles that kept executions have made, and those around them.

        Above one are those that its validity depends on.  Forks and merges, which have no validity
        of their own, are kept with what they were made of.
        """
        database = self._database
        states, unnamed, kept = IdSet(), IdSet(), IdSet()
        for execution_id in self._kept:
            kept.add(execution_id)
        for state_id, valid, execution_id in database.iterate(HANDLE_STATES):
            if valid is None:
                unnamed.add(state_id)
            if execution_id is not None and execution_id in kept:
                states.add(state_id)
        _spread(states, lambda: database.iterate(HANDLE_EDGES_UP))
        _spread(
            states,
            lambda: (edge for edge in database.iterate(HANDLE_EDGES_DOWN) if edge[1] in unnamed),
        )
        _spread(states, lambda: database.iterate(HANDLE_EDGES_UP))
        return states

    def _unneeded(self, calls: IdSet) -> list[tuple[bytes, bytes]]:
        """Return the handled errors of calls that are recorded and go."""
        found = []
        for place, key in self._database.iterate(HANDLED):
            ids = [row_id for (row_id,) in self._database.rows(CALLS_OF_KEY, key)]
            if ids and not any(row_id in calls for row_id in ids):
                found.append((place, key))
        return found

    def _count(self, needed: _Needed, stopped: str | None) -> Collected:
        database = self._database
        executions, jobs, calls, values, tasks = database.rows(COUNTS)[0]
        removed_jobs = sum(
            database.rows(JOBS_OF_EXECUTION, *job_ids(execution_id))[0][0]
            for execution_id in self._removed
        )
        tallies = {
            "executions": Tally(len(self._removed), executions),
            "jobs": Tally(removed_jobs, jobs),
        }
        data = freed = removed_values = files = removed_files = 0
        for value_id, size, stored in database.iterate(ALL_VALUES):
            data += size
            files += stored is not None
            if value_id not in needed.values and stopped is None:
                removed_values += 1
                removed_files += stored is not None
                freed += size + (stored or 0)
        if stopped is None:
            calls_left, tasks_left = len(needed.calls), len(needed.tasks)
        else:
            calls_left, tasks_left = calls, tasks
        tallies["calls"] = Tally(calls - calls_left, calls)
        tallies["values"] = Tally(removed_values, values)
        tallies["tasks"] = Tally(tasks - tasks_left, tasks)
        if files:
            tallies["files"] = Tally(removed_files, files)
        sizes = database.table_sizes() if isinstance(database, Upkeep) else {}
        sizes["value"] = max(sizes.get("value", 0) - data, 0)
        for kind, tables in _TABLES.items():
            tally = tallies[kind]
            size = sum(sizes.get(table, 0) for table in tables)
            freed += size * tally.removed // max(tally.total, 1)
        return Collected(tallies, freed, stopped)

    # Removing

    def _remove_executions(self) -> None:
        """Remove executions with their jobs, the last first: parts come after what they are of."""
        database = self._database
        for execution_id in reversed(self._removed):
            first, last = job_ids(execution_id)
            is_left = True
            while is_left:
                with self._briefly():
                    rows = database.rows(LAST_JOBS, first, last, _BLOCK)
                    is_left = len(rows) == _BLOCK
                    lowest = rows[-1][0] if is_left else first
                    database.execute(FORGET_ATTEMPTS, lowest, last)
                    database.execute(FORGET_JOBS, lowest, last)
                    if not is_left:
                        database.execute(DISOWN_STATES, execution_id)
                        database.execute(FORGET_EXECUTION, execution_id)

    def _remove_unneeded(self, needed: _Needed) -> None:
        for _ in range(_ROUNDS):
            try:
                self._remove_calls(needed.calls)
                self._remove_all("value", needed.values, FORGET_VALUES)
                self._remove_all("task_set", needed.sets, FORGET_SETS)
                self._remove_all("task", needed.tasks, FORGET_TASKS)
                self._remove_all("handle_state", needed.states, FORGET_STATES)
                self._remove_handled(needed.handled)
                self._remove_stray_files()
                return
            except _Moved:
                with self._database.snapshot():
                    self._choose()
                    reason = self._why_not()
                    if reason is not None:
                        raise _Stopped(reason) from None
                    needed = self._follow()
        raise _Stopped("others write all the time")

    def _why_not(self) -> str | None:
        if not self._running:
            return None
        shown = ", ".join(uuid[:8] for uuid in self._running[:3])
        more = ", …" if len(self._running) > 3 else ""
        return f"running: {shown}{more}"

    @contextmanager
    def _briefly(self) -> Generator[None, None, None]:
        """Be in a transaction, and leave others some time to write after it."""
        with self._database.transaction():
            begun = time.monotonic()
            if self._last_rows() != self._last:
                self._has_moved = True
            yield
            self._last = self._last_rows()  # Ids of rows that are gone may be given again.
        time.sleep(min((time.monotonic() - begun) / 2, _MOST_PAUSE))

    @contextmanager
    def _unmoved(self) -> Generator[None, None, None]:
        """Be in a transaction, as long as nobody has written since the references were followed."""
        with self._briefly():
            if self._has_moved:
                raise _Moved
            self._announce()
            yield

    def _announce(self) -> None:
        """Let whoever remembers ids of rows know that these may be gone."""
        rows = self._database.rows(SELECT_COLLECTED)
        self._database.execute(COUNT_COLLECTION, str(int(rows[0][0]) + 1 if rows else 1))

    def _remove_calls(self, needed: IdSet) -> None:
        """Remove calls, each before those that it refers to."""
        database = self._database
        references = IdCounts()  # To a call that goes, from others that do.
        for sql in (ALL_BELOW, ALL_ABOVE):
            for call_id, other_id in database.iterate(sql):
                if call_id not in needed and other_id not in needed:
                    references.change(other_id, 1)
        for block in self._blocks("call", needed):
            self._remove_ready([row for row in block if not references[row]], needed, references)
        # What is left refers to itself, in a broken database only.
        self._remove_all("call", needed, FORGET_CALLS)

    def _remove_ready(self, ready: list[int], needed: IdSet, references: IdCounts) -> None:
        """Remove calls that nothing refers to, and those of which that is so thereby."""
        while ready:
            block = ready[-_BLOCK:]
            del ready[-_BLOCK:]
            with self._unmoved():
                for sql in (BELOW_CALLS, ABOVE_CALLS):
                    for (other_id,) in self._database.rows_in(sql, block):
                        if other_id not in needed and not references.change(other_id, -1):
                            ready.append(other_id)
                self._forget(FORGET_CALLS, block)

    def _remove_all(self, table: str, needed: IdSet, statements: tuple[str, ...]) -> None:
        """Remove the rows of a table that are not needed."""
        for block in self._blocks(table, needed):
            files = []
            with self._unmoved():
                if table == "value":
                    files = list(self._database.rows_in(STORED_IN, block))
                self._forget(statements, block)
            self._remove_files(files)

    def _remove_files(self, files: list[tuple[bytes, str]]) -> None:
        """Remove files of values that are gone, unless they are those of others too."""
        store = store_name(self._database) if files else None
        for start in range(0, len(files), _FILES):
            block = files[start : start + _FILES]
            with self._unmoved():
                digests = [digest for digest, _ in block]
                used = {digest for (digest,) in self._database.rows_in(STORED_DIGESTS, digests)}
                for digest, path in block:
                    place = resolve(path, self._home)
                    if digest not in used and is_own(place, digest, store):
                        _remove_file(place)

    def _remove_stray_files(self) -> None:
        """Remove files of the value store whose rows were never written."""
        if self._store is None:
            return
        block: list[tuple[str, bytes]] = []
        for path, digest in self._store.files():
            if digest is None:
                _remove_file(path)
            else:
                block.append((path, digest))
            if len(block) >= _FILES:
                self._remove_strays(block)
                block = []
        self._remove_strays(block)

    def _remove_strays(self, block: list[tuple[str, bytes]]) -> None:
        with self._unmoved():
            digests = [digest for _, digest in block]
            used = {digest for (digest,) in self._database.rows_in(STORED_DIGESTS, digests)}
            for path, digest in block:
                if digest not in used and not _is_young(path):
                    _remove_file(path)

    def _remove_handled(self, handled: list[tuple[bytes, bytes]]) -> None:
        for start in range(0, len(handled), _BLOCK):
            with self._unmoved():
                for place, key in handled[start : start + _BLOCK]:
                    self._database.execute(FORGET_HANDLED, place, key)

    def _remove_tags(self) -> None:
        """Remove tags of what is not there any more."""
        database = self._database
        with database.snapshot():
            rows = on_nothing(database, database.iterate(ALL_TAGS), unknown=False)
            dangling = [tag_id for tag_id, _ in rows]
        for start in range(0, len(dangling), _BLOCK):
            with self._briefly():
                self._forget(FORGET_TAGS, dangling[start : start + _BLOCK])

    def _blocks(self, table: str, needed: IdSet) -> Iterator[list[int]]:
        """Yield the ids of the rows of a table that are not needed, in blocks, the last first.

        Between two there is no open query: it would hold on to the database as it was.
        """
        sql = IDS_BELOW.format(table=table)
        lowest = 1 << 62
        block: list[int] = []
        while rows := self._database.rows(sql, lowest, _BLOCK):
            lowest = rows[-1][0]
            block += [row_id for (row_id,) in rows if row_id not in needed]
            if len(block) >= _BLOCK:
                yield block
                block = []
        if block:
            yield block

    def _forget(self, statements: tuple[str, ...], ids: list[int]) -> None:
        for start in range(0, len(ids), _MARKS):
            block = ids[start : start + _MARKS]
            marks = ",".join("?" * len(block))
            for sql in statements:
                self._database.execute(sql.format(ids=marks), *block)


def _spread(found: IdSet, edges: Callable[[], Iterable[tuple[int, int]]]) -> None:
    """Add what edges lead to from what was found, until they lead to nothing new."""
    is_new = len(found) > 0
    while is_new:
        is_new = False
        for source, target in edges():
            if source in found and found.add(target):
                is_new = True


def _may_be_running(host: str, pid: int, heartbeat: int) -> bool:
    """Say whether an execution that has not ended may go on, if in doubt.

    Its machine may have slept, and with it what gives the signs of life.
    """
    silence = (now() - heartbeat) / 1_000_000
    if host != socket.gethostname():
        return silence < _SILENCE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # It is somebody else's.
    return silence < _LONG_SILENCE


def _has_value(text: str, wanted: Any) -> bool:
    if wanted is ANY:
        return True
    try:
        return bool(json.loads(text) == wanted)
    except ValueError:
        return False


def _is_young(path: str) -> bool:
    """Say whether a local file was written lately: its row may be about to be committed."""
    try:
        return time.time() - os.stat(path).st_mtime < _YOUNG
    except OSError:
        return False  # Not here; nothing runs, so it belongs to nobody.


def _remove_file(path: str) -> None:
    try:
        remove(path)
    except (OSError, RedunLiteError):
        pass  # The next time.
