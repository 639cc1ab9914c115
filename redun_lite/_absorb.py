"""Writing records that another repository has, into one that may have some of them already.

What is content-addressed is added or is there: nothing that was recorded here changes its bytes.
Facts that do change (how an execution and its jobs stand, whether a handle's state is valid) are
merged by rules that do not depend on who comes first, so repositories that have exchanged all they
have are equal.

Some blocks of records are one transaction, and each block comes after what it refers to.  So
executions may go on beside it, and what was written before an interruption is whole as far as it
goes; to do it again completes it.  An execution gets its state when all is there: until then it has
one that no other repository has, so that whoever compares the two sees that something is missing.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Callable

from ._digest import KEY_SIZE
from ._errors import RepositoryError
from ._interchange import (
    BLOCK_BYTES,
    CallItem,
    ChildrenItem,
    ExecutionItem,
    HandledItem,
    HandleEdgesItem,
    HandleStateItem,
    JobItem,
    PartItem,
    SubvaluesItem,
    TagItem,
    TaskItem,
    TaskSetItem,
    UpstreamsItem,
    ValueItem,
    call_id,
    key_and_outcome,
    size_of,
)
from ._schema import JOB_NUMBER_BITS
from ._status import RUNNING
from ._value_store import open_store
from ._writer import (
    IGNORE,
    INSERT_ARGUMENT,
    INSERT_ATTEMPT,
    INSERT_CALL,
    INSERT_CHILD,
    INSERT_FILE,
    INSERT_HANDLED,
    INSERT_JOB,
    INSERT_STORED,
    INSERT_SUBVALUE,
    INSERT_TAG,
    INSERT_TYPE,
    INSERT_UPSTREAM,
    INSERT_VALUE,
    REPLACE_ATTEMPT,
    REPLACE_JOB,
    SELECT_CALL_IDS,
    SELECT_COLLECTED,
    SELECT_LAST_ID,
    SELECT_TYPE_ID,
    SELECT_VALUE_IDS,
    UPDATE_COMPUTED,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ._database import Database
    from ._value_store import StoredFile, StorePlace, ValueStore

TRANSACTION_RECORDS = 16_384
"""Records of one transaction: a few tenths of a second, so that others can write between."""

_MOST_REMEMBERED = 150_000  # Row ids of each kind of record: about 30 MB.

# Statements

INSERT_TASK = "INSERT INTO task (digest, fullname, version, source)"
INSERT_TASK_SET = "INSERT INTO task_set (digest)"
INSERT_MEMBER = "INSERT INTO task_set_member (task_set_id, task_id)"
IDS = "SELECT digest, id FROM {kind} WHERE digest IN ({{ids}})"
UPDATE_SINGLE = "UPDATE call SET single_id = ? WHERE id = ? AND single_id IS NULL"
INSERT_EXECUTION = """INSERT INTO execution
    (uuid, argv, started, ended, status, host, pid, heartbeat)"""
SELECT_EXECUTIONS = """
SELECT uuid, id, started, ended, status, heartbeat FROM execution WHERE uuid IN ({ids})
"""
UPDATE_EXECUTION = "UPDATE execution SET ended = ?, status = ?, heartbeat = ? WHERE id = ?"
UPDATE_PARENT = """
UPDATE execution SET parent_job_id = ? WHERE uuid = ? AND parent_job_id IS NULL
"""
SELECT_JOBS = """
SELECT job.id, job.ended, job.status, call.key, call.outcome
FROM job LEFT JOIN call ON call.id = job.call_id WHERE job.id IN ({ids})
"""
INSERT_STATE = "INSERT INTO handle_state (digest, fullname, kind, valid, execution_id)"
SELECT_STATES = """
SELECT handle_state.digest, handle_state.id, handle_state.kind, handle_state.valid,
    handle_state.execution_id, execution.started, execution.uuid
FROM handle_state LEFT JOIN execution ON execution.id = handle_state.execution_id
WHERE handle_state.digest IN ({ids})
"""
UPDATE_STATE = "UPDATE handle_state SET kind = ?, valid = ?, execution_id = ? WHERE id = ?"
INSERT_EDGE = "INSERT INTO handle_edge (parent_id, child_id)"


class Absorber:
    """Writes records into a repository.

    Parameters
    ----------
    database
        The repository's.
    place
        Where its large values go, if not into the database.

    Attributes
    ----------
    new
        How many records of each kind it has added, by the name of the table.
    """

    def __init__(self, database: Database, place: StorePlace | None = None) -> None:
        self._database = database
        self._place = place
        self._store: ValueStore | None = None
        self._stored: dict[bytes, StoredFile] = {}  # Files of values that are being written.
        self._remembered: dict[str, dict[Any, int]] = {}  # Row ids by kind and digest.
        self._collected: list[Any] = []
        self._types: dict[str, int] = {}
        self._executions: dict[str, int] = {}
        self._states: list[Any] = []  # Of executions, to be set when all is there.
        self.new: dict[str, int] = {}

    def absorb(self, blocks: Iterable[list[Any]]) -> None:
        """Write records, which come in blocks and in the order of a file.

        Raises
        ------
        RepositoryError
            One refers to something that is neither among them nor here.
        """
        self._states.clear()
        for together in _transactions(blocks):
            self._stored.clear()
            for block in together:
                if self._place is not None and type(block[0]) is ValueItem:
                    self._store_large(block, self._place)
            with self._database.transaction():
                self._forget_collected()
                for block in together:
                    _WRITERS[type(block[0])](self, block)
        with self._database.transaction():
            self._database.execute_many(UPDATE_EXECUTION, self._states)

    def _count(self, kind: str, number: int) -> None:
        if number:
            self.new[kind] = self.new.get(kind, 0) + number

    # Ids

    def _ids(self, kind: str, digests: Iterable[bytes]) -> dict[bytes, int]:
        """Return the row ids of some records, and maybe of others."""
        wanted = list(dict.fromkeys(digests))
        remembered = self._remembered.setdefault(kind, {})
        missing = [digest for digest in wanted if digest not in remembered]
        if not missing:
            return remembered
        found = _complete(kind, missing, self._find(kind, missing))
        if self._remember(kind, found):
            return remembered
        return {**{key: remembered[key] for key in wanted if key in remembered}, **found}

    def _find(self, kind: str, digests: list[bytes]) -> dict[bytes, int]:
        if kind != "call":
            return dict(self._database.rows_in(IDS.format(kind=kind), digests))
        keys = list(dict.fromkeys(digest[:KEY_SIZE] for digest in digests))
        rows = self._database.rows_in(SELECT_CALL_IDS, keys)
        return {call_id(key, outcome): row_id for key, outcome, row_id in rows}

    def _remember(self, kind: str, ids: dict[bytes, int]) -> bool:
        """Remember row ids, if there is room; say whether there was.

        Most records are referred to soon after they were written.
        """
        remembered = self._remembered.setdefault(kind, {})
        if len(remembered) + len(ids) > _MOST_REMEMBERED:
            return False
        remembered.update(ids)
        return True

    def _forget_collected(self) -> None:
        """Forget what may have been removed as garbage since the transaction before."""
        collected = self._database.rows(SELECT_COLLECTED)
        if collected != self._collected:
            self._collected = collected
            for known in (self._remembered, self._types, self._executions):
                known.clear()

    def _execution_ids(self, uuids: Iterable[str]) -> dict[str, int]:
        missing = [uuid for uuid in dict.fromkeys(uuids) if uuid not in self._executions]
        rows = self._database.rows_in(SELECT_EXECUTIONS, missing)
        self._executions.update({uuid: row_id for uuid, row_id, *_ in rows})
        return _complete("execution", missing, self._executions)

    def _type_id(self, name: str) -> int:
        if name not in self._types:
            self._database.execute(INSERT_TYPE, name)
            ((self._types[name],),) = self._database.rows(SELECT_TYPE_ID, name)
        return self._types[name]

    def _next_id(self, table: str) -> int:
        return int(self._database.rows(SELECT_LAST_ID.format(table=table))[0][0]) + 1

    def _known(self, kind: str, digests: list[bytes]) -> set[bytes]:
        found = {digest for digest, _ in self._database.rows_in(IDS.format(kind=kind), digests)}
        self._count(kind, len(digests) - len(found))
        return found

    def _store_large(self, items: list[ValueItem], place: StorePlace) -> None:
        """Write the files of values that are new, and too large for the database."""
        large = {item.digest: item.data for item in items if len(item.data) > place.min_size}
        for digest, _ in self._database.rows_in(IDS.format(kind="value"), list(large)):
            large.pop(digest, None)
        if large:
            if self._store is None:
                self._store = open_store(self._database, place)
            self._stored.update(zip(large, self._store.put_all(list(large.values()))))

    # Kinds of records

    def _write_tasks(self, items: list[TaskItem]) -> None:
        known = self._known("task", [item.digest for item in items])
        new = [tuple(item) for item in items if item.digest not in known]
        self._database.insert(INSERT_TASK, new, IGNORE)

    def _write_task_sets(self, items: list[TaskSetItem]) -> None:
        known = self._known("task_set", [item.digest for item in items])
        new = [item for item in items if item.digest not in known]
        tasks = self._ids("task", chain.from_iterable(item.tasks for item in new))
        self._database.insert(INSERT_TASK_SET, [(item.digest,) for item in new], IGNORE)
        sets = self._ids("task_set", [item.digest for item in new])
        rows = [(sets[item.digest], tasks[task]) for item in new for task in item.tasks]
        self._database.insert(INSERT_MEMBER, rows, IGNORE)

    def _write_values(self, items: list[ValueItem]) -> None:
        first = self._next_id("value")
        stored = self._stored
        rows = [
            (
                row_id,
                item.digest,
                self._type_id(item.type),
                b"" if item.digest in stored else item.data,
            )
            for row_id, item in enumerate(items, first)
        ]
        ids = {row[1]: row[0] for row in rows}
        again: set[bytes] = set()
        for digest, row_id in self._database.insert_new(
            INSERT_VALUE, "digest", SELECT_VALUE_IDS, rows
        ):
            if ids.get(digest, row_id) != row_id:
                ids[digest] = row_id
                again.add(digest)
        self._count("value", len(items) - len(again))
        self._remember("value", ids)
        places = [
            (ids[item.digest], *stored[item.digest])
            for item in items
            if item.digest in stored and item.digest not in again
        ]
        self._database.insert(INSERT_STORED, places, IGNORE)
        files = [(ids[item.digest], item.path) for item in items if item.path is not None]
        self._database.insert(INSERT_FILE, files, IGNORE)

    def _write_subvalues(self, items: list[SubvaluesItem]) -> None:
        pairs = [(item.value, inside) for item in items for inside in item.inside]
        ids = self._ids("value", chain.from_iterable(pairs))
        rows = [(ids[value], ids[inside]) for value, inside in pairs]
        self._database.insert(INSERT_SUBVALUE, rows, IGNORE)

    def _write_calls(self, items: list[CallItem]) -> None:
        tasks = self._ids("task", (item.task for item in items))
        task_sets = self._ids("task_set", (item.task_set for item in items))
        values = self._ids(
            "value",
            chain(
                (item.result for item in items),
                (item.single for item in items if item.single is not None),
                (value for item in items for _, value in item.arguments),
            ),
        )
        rows = []
        ids: dict[bytes, int] = {}
        for row_id, item in enumerate(items, self._next_id("call")):
            ids[item.id] = row_id
            rows.append(
                (
                    row_id,
                    *key_and_outcome(item.id),
                    tasks[item.task],
                    None if item.single is None else values[item.single],
                    values[item.result],
                    task_sets[item.task_set],
                    item.computed,
                )
            )
        again: set[bytes] = set()
        for key, outcome, row_id in self._database.insert_new(
            INSERT_CALL, "key, outcome", SELECT_CALL_IDS, rows
        ):
            digest = call_id(key, outcome)
            if ids.get(digest, row_id) != row_id:
                ids[digest] = row_id
                again.add(digest)
        self._count("call", len(items) - len(again))
        self._remember("call", ids)
        known = [item for item in items if item.id in again]
        self._database.execute_many(
            UPDATE_COMPUTED, [(item.computed, ids[item.id], item.computed) for item in known]
        )
        self._database.execute_many(
            UPDATE_SINGLE,
            [(values[item.single], ids[item.id]) for item in known if item.single is not None],
        )
        arguments = [
            (ids[item.id], position, name, values[value])
            for item in items
            for position, (name, value) in enumerate(item.arguments)
        ]
        self._database.insert(INSERT_ARGUMENT, arguments, IGNORE)

    def _write_children(self, items: list[ChildrenItem]) -> None:
        self._write_links(INSERT_CHILD, items)

    def _write_upstreams(self, items: list[UpstreamsItem]) -> None:
        self._write_links(INSERT_UPSTREAM, items)

    def _write_links(self, sql: str, items: Sequence[ChildrenItem | UpstreamsItem]) -> None:
        links = [(call, place, other) for call, found in items for place, other in found]
        ids = self._ids("call", (call for link in links for call in (link[0], link[2])))
        rows = [(ids[call], place, ids[other]) for call, place, other in links]
        self._database.insert(sql, rows, IGNORE)

    def _write_executions(self, items: list[ExecutionItem]) -> None:
        uuids = [item.uuid for item in items]
        known = {row[0]: row[1:] for row in self._database.rows_in(SELECT_EXECUTIONS, uuids)}
        # By their start, so that the last one here is the latest of them.
        new = sorted((item for item in items if item.uuid not in known), key=lambda i: i.started)
        self._count("execution", len(new))
        rows = [
            (uuid, argv, started, None, RUNNING, host, pid, 0)
            for uuid, argv, started, _, _, host, pid, _ in new
        ]
        self._database.insert(INSERT_EXECUTION, rows, IGNORE)
        ids = self._execution_ids(uuids)
        self._states += [(item.ended, item.status, item.heartbeat, ids[item.uuid]) for item in new]
        for item in items:
            if item.uuid in known:
                row_id, _, ended, status, heartbeat = known[item.uuid]
                theirs = (item.ended is not None, item.ended or 0, item.heartbeat, item.status)
                if theirs > (ended is not None, ended or 0, heartbeat, status):
                    self._states.append((item.ended, item.status, item.heartbeat, row_id))

    def _write_jobs(self, items: list[JobItem]) -> None:
        executions = self._execution_ids(item.execution for item in items)
        tasks = self._ids("task", (item.task for item in items))
        calls = self._ids("call", (item.call for item in items if item.call is not None))
        by_id = {_job_id(executions[item.execution], item.number): item for item in items}
        known = {
            row_id: (ended is not None, ended or 0, status, _optional_call(key, outcome))
            for row_id, ended, status, key, outcome in self._database.rows_in(
                SELECT_JOBS, list(by_id)
            )
        }
        self._count("job", len(by_id) - len(known))
        taken = {
            row_id: item
            for row_id, item in by_id.items()
            if row_id not in known
            or (item.ended is not None, item.ended or 0, item.status, item.call or b"")
            > known[row_id]
        }
        rows = [
            (
                row_id,
                None if item.parent is None else _job_id(executions[item.execution], item.parent),
                tasks[item.task],
                None if item.call is None else calls[item.call],
                item.status,
                item.started,
                item.ended,
            )
            for row_id, item in taken.items()
        ]
        self._database.insert(INSERT_JOB, rows, REPLACE_JOB)
        attempts = [(row_id, *row) for row_id, item in taken.items() for row in item.attempts]
        errors = self._ids("value", [row[-1] for row in attempts if row[-1] is not None])
        self._database.insert(
            INSERT_ATTEMPT,
            [(*row[:-1], None if row[-1] is None else errors[row[-1]]) for row in attempts],
            REPLACE_ATTEMPT,
        )

    def _write_parts(self, items: list[PartItem]) -> None:
        ids = self._execution_ids(item.parent for item in items)
        rows = [(_job_id(ids[item.parent], item.number), item.execution) for item in items]
        self._database.execute_many(UPDATE_PARENT, rows)

    def _write_tags(self, items: list[TagItem]) -> None:
        before = self._database.rows("SELECT count(*) FROM tag")[0][0]
        self._database.insert(INSERT_TAG, [tuple(item) for item in items], IGNORE)
        self._count("tag", self._database.rows("SELECT count(*) FROM tag")[0][0] - before)

    def _write_handled(self, items: list[HandledItem]) -> None:
        self._database.insert(INSERT_HANDLED, [tuple(item) for item in items], IGNORE)

    def _write_handle_states(self, items: list[HandleStateItem]) -> None:
        uuids = [item.execution for item in items if item.execution is not None]
        executions = {row[0]: row[1:] for row in self._database.rows_in(SELECT_EXECUTIONS, uuids)}
        digests = [item.digest for item in items]
        known = {row[0]: row[1:] for row in self._database.rows_in(SELECT_STATES, digests)}
        self._count("handle_state", len(items) - len(known))
        new = []
        changes = []
        for digest, fullname, origin, valid, uuid in items:
            execution_id, started, *_ = executions.get(uuid or "", (None, 0))
            if digest not in known:
                new.append((digest, fullname, origin, valid, execution_id))
                continue
            row_id, own_origin, own_valid, own_id, own_started, own_uuid = known[digest]
            # A state whose making has not been seen here counts as given by a call.
            origins = {origin, own_origin}
            merged = min(origins - {"call"} or origins)
            flags = [flag for flag in (valid, own_valid) if flag is not None]
            flag = min(flags) if merged == "call" and flags else None
            if execution_id is not None and (own_started or 0, own_uuid or "") < (started, uuid):
                own_id = execution_id
            changes.append((merged, flag, own_id, row_id))
        self._database.insert(INSERT_STATE, new, IGNORE)
        self._database.execute_many(UPDATE_STATE, changes)

    def _write_handle_edges(self, items: list[HandleEdgesItem]) -> None:
        pairs = [(parent, item.state) for item in items for parent in item.parents]
        ids = self._ids("handle_state", chain.from_iterable(pairs))
        rows = [(ids[parent], ids[child]) for parent, child in pairs]
        self._database.insert(INSERT_EDGE, rows, IGNORE)


_WRITERS: dict[type, Callable[[Absorber, Any], None]] = {
    TaskItem: Absorber._write_tasks,
    TaskSetItem: Absorber._write_task_sets,
    ValueItem: Absorber._write_values,
    SubvaluesItem: Absorber._write_subvalues,
    CallItem: Absorber._write_calls,
    ChildrenItem: Absorber._write_children,
    UpstreamsItem: Absorber._write_upstreams,
    ExecutionItem: Absorber._write_executions,
    JobItem: Absorber._write_jobs,
    PartItem: Absorber._write_parts,
    TagItem: Absorber._write_tags,
    HandledItem: Absorber._write_handled,
    HandleStateItem: Absorber._write_handle_states,
    HandleEdgesItem: Absorber._write_handle_edges,
}


def _optional_call(key: bytes | None, outcome: int) -> bytes:
    return b"" if key is None else call_id(key, outcome)


def _job_id(execution_id: int, number: int) -> int:
    return (execution_id << JOB_NUMBER_BITS) + number


def _transactions(blocks: Iterable[list[Any]]) -> Iterator[list[list[Any]]]:
    """Yield the blocks that are written in one transaction.

    The more they are, the fewer times a page of an index is written anew.
    """
    together: list[list[Any]] = []
    records = size = 0
    for block in blocks:
        together.append(block)
        records += len(block)
        size += size_of(block)
        if records >= TRANSACTION_RECORDS or size >= BLOCK_BYTES:
            yield together
            together, records, size = [], 0, 0
    if together:
        yield together


def _complete(kind: str, wanted: Sequence[Any], found: dict[Any, int]) -> dict[Any, int]:
    """Return ids that were found, if all are there that are wanted."""
    missing = next((key for key in wanted if key not in found), None)
    if missing is not None:
        name = missing.hex()[:12] if isinstance(missing, bytes) else missing
        raise RepositoryError(
            f"{kind} {name} is referred to, but neither sent nor recorded here; if garbage was "
            "collected meanwhile, do it again"
        )
    return found
