"""Whether a repository is what it claims to be: whole, and true to its digests.

Everything is recomputed that follows from something else.  A repository may have a hundred million
rows, and problems may be few or many; so rows are read in order, one after the other, two tables
side by side where one refers to the other, and each problem is told when it is met.

The key of a value is a digest over the value, not over its stored bytes.  To load it would run
whatever it says; so only plain data is put together again, from what `_safe_load` makes of it.
Other values are counted, and checked only on demand, by the classes and tasks of their author.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from ._database import Upkeep
from ._digest import digest
from ._errors import StoredValueError
from ._hash import key_of
from ._recompute import NotPlain, is_key_of_call, key_of_plain
from ._safe_load import MAX_SIZE
from ._tagged import on_nothing
from ._value_store import StoredFile, fetch, home_of, is_safe_to_show, resolve, verify

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Callable

    from ._database import Database


class Reference(NamedTuple):
    """A column that refers to rows of a table."""

    table: str
    key: str
    column: str
    target: str


REFERENCES = [
    Reference("job", "id", "task_id", "task"),
    Reference("job", "id", "call_id", "call"),
    Reference("call", "id", "task_id", "task"),
    Reference("call", "id", "single_id", "value"),
    Reference("call", "id", "result_id", "value"),
    Reference("call", "id", "task_set_id", "task_set"),
    Reference("argument", "call_id", "call_id", "call"),
    Reference("argument", "call_id", "value_id", "value"),
    Reference("upstream", "call_id", "call_id", "call"),
    Reference("upstream", "call_id", "upstream_id", "call"),
    Reference("call_child", "call_id", "call_id", "call"),
    Reference("call_child", "call_id", "child_id", "call"),
    Reference("task_set_member", "task_set_id", "task_set_id", "task_set"),
    Reference("task_set_member", "task_set_id", "task_id", "task"),
    Reference("value", "id", "type_id", "value_type"),
    Reference("subvalue", "parent_id", "parent_id", "value"),
    Reference("subvalue", "parent_id", "child_id", "value"),
    Reference("file", "value_id", "value_id", "value"),
    Reference("stored_value", "value_id", "value_id", "value"),
    Reference("attempt", "job_id", "job_id", "job"),
    Reference("attempt", "job_id", "error_id", "value"),
    Reference("handle_edge", "parent_id", "parent_id", "handle_state"),
    Reference("handle_edge", "parent_id", "child_id", "handle_state"),
]


# Queries

DANGLING = """
SELECT {table}.{key}, {table}.{column}
FROM {table} LEFT JOIN {target} AS target ON target.id = {table}.{column}
WHERE {table}.{column} IS NOT NULL AND target.id IS NULL ORDER BY {table}.{key}
"""
JOBS_OF_NOTHING = """
SELECT job.id FROM job LEFT JOIN execution ON execution.id = job.id >> 32
WHERE execution.id IS NULL ORDER BY job.id
"""
JOBS_WITHOUT_END = """
SELECT job.id FROM job JOIN execution ON execution.id = job.id >> 32
WHERE job.ended IS NULL AND execution.ended IS NOT NULL ORDER BY job.id
"""
JOBS_WITHOUT_CALL = "SELECT id FROM job WHERE status = 'DONE' AND call_id IS NULL ORDER BY id"
JOBS_WITHOUT_PARENT = """
SELECT job.id, job.parent_id FROM job JOIN execution ON execution.id = job.id >> 32
    LEFT JOIN job AS parent ON parent.id = job.parent_id
WHERE job.parent_id IS NOT NULL AND execution.ended IS NOT NULL
    AND (parent.id IS NULL OR parent.id >= job.id)
ORDER BY job.id
"""
PARTS_OF_NOTHING = """
SELECT execution.id, execution.parent_job_id
FROM execution LEFT JOIN job ON job.id = execution.parent_job_id
    LEFT JOIN execution AS whole ON whole.id = execution.parent_job_id >> 32
WHERE execution.parent_job_id IS NOT NULL AND job.id IS NULL
    AND (whole.id IS NULL OR whole.ended IS NOT NULL)
ORDER BY execution.id
"""
ATTEMPTS_OUT_OF_ORDER = """
SELECT job_id FROM attempt
GROUP BY job_id HAVING min(number) <> 1 OR max(number) <> count(*) ORDER BY job_id
"""
VALUES = """
SELECT value.id, value.digest, value_type.name, length(value.data),
    CASE WHEN length(value.data) <= ? THEN value.data END,
    stored_value.digest, stored_value.size, stored_value.path
FROM value JOIN value_type ON value_type.id = value.type_id
    LEFT JOIN stored_value ON stored_value.value_id = value.id
ORDER BY value.id
"""
VALUE_DATA = "SELECT data FROM value WHERE id = ?"
CALLS = """
SELECT call.id, call.key, call.single_id, task.digest FROM call JOIN task ON task.id = call.task_id
ORDER BY call.id
"""
ARGUMENTS = """
SELECT argument.call_id, argument.position, value.digest
FROM argument LEFT JOIN value ON value.id = argument.value_id
ORDER BY argument.call_id, argument.position
"""
TASK_SETS = """
SELECT task_set.id, task_set.digest, task.digest
FROM task_set LEFT JOIN task_set_member ON task_set_member.task_set_id = task_set.id
    LEFT JOIN task ON task.id = task_set_member.task_id
ORDER BY task_set.id, task.digest
"""
CALLS_WITHOUT_OWN_TASK = """
SELECT call.id FROM call LEFT JOIN task_set_member AS member
    ON member.task_set_id = call.task_set_id AND member.task_id = call.task_id
WHERE member.task_id IS NULL ORDER BY call.id
"""
PAIRS_OF_SETS = """
SELECT DISTINCT parent.task_set_id, child.task_set_id
FROM call_child JOIN call AS parent ON parent.id = call_child.call_id
    JOIN call AS child ON child.id = call_child.child_id
WHERE parent.task_set_id <> child.task_set_id
"""
NOT_IN_SET = """
SELECT task_id FROM task_set_member
WHERE task_set_id = ?
    AND task_id NOT IN (SELECT task_id FROM task_set_member WHERE task_set_id = ?)
LIMIT 1
"""
CALLS_OF_SETS = """
SELECT DISTINCT parent.id
FROM call_child JOIN call AS parent ON parent.id = call_child.call_id
    JOIN call AS child ON child.id = call_child.child_id
WHERE parent.task_set_id = ? AND child.task_set_id = ? ORDER BY parent.id
"""
TAGS = "SELECT id, entity, key FROM tag ORDER BY id"
COUNTS = "SELECT count(*) FROM {table}"


class Checked(NamedTuple):
    """What was looked at.

    Attributes
    ----------
    rows
        How many rows of each table.
    problems
        How many were told.
    unchecked
        Values whose digest was not recomputed, by why.
    """

    rows: dict[str, int]
    problems: int
    unchecked: dict[str, int]


class Checker:
    """Looks through a repository for what cannot be.

    Parameters
    ----------
    database
        The repository, of the present version.
    load
        Loads the data of a type of value, which may run anything; None to load none.
    key
        Gives the key of what that returned.
    root
        Where large values go, if the configuration says so.
    """

    def __init__(
        self,
        database: Database,
        load: Callable[[str, bytes], Any] | None = None,
        key: Callable[[Any], bytes] = key_of,
        root: str | None = None,
    ) -> None:
        self._database = database
        self._load = load
        self._key = key
        self._root = root
        self._home = home_of(database.address)
        self._unchecked: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._told = 0

    def problems(self) -> Iterator[str]:
        """Yield each problem as a line: which row, and what is wrong with it."""
        with self._database.snapshot():
            for part in (
                self._integrity,
                self._references,
                self._jobs,
                self._values,
                self._calls,
                self._task_sets,
                self._tags,
            ):
                for problem in part():
                    self._told += 1
                    yield problem
            for table in ("execution", "job", "call", "value", "task", "tag"):
                self._rows[table] = self._database.rows(COUNTS.format(table=table))[0][0]

    def result(self) -> Checked:
        """Return what was looked at, once all problems have been told."""
        return Checked(self._rows, self._told, self._unchecked)

    def _integrity(self) -> Iterator[str]:
        if isinstance(self._database, Upkeep):
            yield from (f"database: {text}" for text in self._database.problems())

    def _references(self) -> Iterator[str]:
        for reference in REFERENCES:
            for key, target in self._database.iterate(DANGLING.format(**reference._asdict())):
                yield (
                    f"{reference.table} with {reference.key} {key}: {reference.column} {target} "
                    f"is not in {reference.target}"
                )

    def _jobs(self) -> Iterator[str]:
        iterate = self._database.iterate
        for (job_id,) in iterate(JOBS_OF_NOTHING):
            yield f"job {_job(job_id)}: there is no such execution"
        for (job_id,) in iterate(JOBS_WITHOUT_END):
            yield f"job {_job(job_id)}: it has not ended, but its execution has"
        for (job_id,) in iterate(JOBS_WITHOUT_CALL):
            yield f"job {_job(job_id)}: it is DONE, but has no call"
        for job_id, parent_id in iterate(JOBS_WITHOUT_PARENT):
            yield f"job {_job(job_id)}: its parent {_job(parent_id)} is missing or comes after it"
        for execution_id, job_id in iterate(PARTS_OF_NOTHING):
            yield f"execution {execution_id}: the job {_job(job_id)} that it is part of is missing"
        for (job_id,) in iterate(ATTEMPTS_OUT_OF_ORDER):
            yield f"job {_job(job_id)}: its attempts are not numbered from 1"

    # Values

    def _values(self) -> Iterator[str]:
        limit = MAX_SIZE
        for value_id, key, name, size, data, *stored in self._database.iterate(VALUES, limit):
            where = f"value {value_id} ({key.hex()[:12]})"
            if stored[0] is not None:
                file = StoredFile(*stored)
                if size:
                    yield f"{where}: its data is in the database and in a file"
                    continue
                if not self._may_open(file):
                    self._skip("in files that [backend] value_store_path does not lead to")
                    continue
                try:
                    verify(file, self._home, where)
                    data = fetch(file, self._home, where) if self._is_wanted(file.size) else None
                except StoredValueError as error:
                    yield str(error)
                    continue
            elif data is None and self._load is not None:
                ((data,),) = self._database.rows(VALUE_DATA, value_id)
            problem = self._problem_of(key, name, data)
            if problem:
                yield f"{where}: {problem}"

    def _may_open(self, file: StoredFile) -> bool:
        """Say whether a file may be opened: who wrote the database may name any URL or device."""
        path = resolve(file.path, self._home)
        is_configured = self._root is not None and path.startswith(f"{self._root}/")
        return is_configured or is_safe_to_show(file, self._home)

    def _is_wanted(self, size: int) -> bool:
        return self._load is not None or size <= MAX_SIZE

    def _problem_of(self, key: bytes, name: str, data: bytes | None) -> str:
        """Return what is wrong with the data of a value, "" if nothing or nobody knows."""
        if data is None:
            return self._skip("of many bytes")
        if self._load is not None:
            try:
                found = self._key(self._load(name, data))
            except Exception:
                return self._skip("that cannot be loaded")
        elif not name.startswith("builtins."):
            return self._skip("of other classes")
        else:
            try:
                found = key_of_plain(data)
            except (NotPlain, RecursionError):
                return self._skip("that hold objects")
            except Exception as error:
                return f"its data is no {name.partition('.')[2]}: {type(error).__name__}: {error}"
        if found == key:
            return ""
        return f"its data has another digest: {found.hex()[:12]}"

    def _skip(self, why: str) -> str:
        self._unchecked[why] = self._unchecked.get(why, 0) + 1
        return ""

    # Calls

    def _calls(self) -> Iterator[str]:
        arguments = _Beside(self._database.iterate(ARGUMENTS))
        for call_id, key, single_id, task in self._database.iterate(CALLS):
            keys = [value for _, _, value in arguments.of(call_id)]
            if None in keys:
                continue  # Told as a reference to nothing.
            if not keys and single_id is None:
                continue  # It may have failed because its arguments cannot be stored.
            if not is_key_of_call(key, task, keys):
                yield (
                    f"call {call_id} ({key.hex()[:12]}): its key is not that of its task and "
                    "arguments"
                )
        for (call_id,) in self._database.iterate(CALLS_WITHOUT_OWN_TASK):
            yield f"call {call_id}: its own task is not among the tasks at and below it"
        for parent, child in self._database.rows(PAIRS_OF_SETS):
            if self._database.rows(NOT_IN_SET, child, parent):
                for (call_id,) in self._database.iterate(CALLS_OF_SETS, parent, child):
                    yield f"call {call_id}: it does not know all tasks below it"

    def _task_sets(self) -> Iterator[str]:
        rows = self._database.iterate(TASK_SETS)
        for (set_id, key), members in groupby(rows, itemgetter(0, 1)):
            tasks = [task for _, _, task in members]
            if None in tasks:
                yield f"task_set {set_id} ({key.hex()[:12]}): it has no tasks"
            elif digest(b"".join(sorted(tasks))) != key:
                yield f"task_set {set_id} ({key.hex()[:12]}): its digest is not that of its tasks"

    def _tags(self) -> Iterator[str]:
        for tag_id, entity, key in on_nothing(self._database, self._database.iterate(TAGS), True):
            yield f"tag {tag_id} ({key}): it is on {entity}, which is nothing recorded"


def _job(job_id: int) -> str:
    return f"{job_id} (number {job_id & 0xFFFFFFFF} of execution {job_id >> 32})"


class _Beside:
    """Rows that belong to those of another table, read in step with them."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._groups = groupby(rows, itemgetter(0))
        self._key: int | None = None
        self._rows: Iterable[Any] = ()
        self._advance()

    def _advance(self) -> None:
        self._key, self._rows = next(self._groups, (None, ()))

    def of(self, key: int) -> list[Any]:
        """Return the rows of a key; keys are asked for in ascending order."""
        while self._key is not None and self._key < key:
            self._advance()
        if self._key != key:
            return []
        rows = list(self._rows)
        self._advance()
        return rows
