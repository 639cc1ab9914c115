"""Reading the records of a repository in order, all of them or what some executions need.

What is needed is found from the top down: executions, their jobs, the calls of these, the calls
below, values and tasks.  With a *peer*, a repository that is to get them, whatever that has already
is left out, and what is below it is not looked at.

There may be millions of records.  So what is to be read is kept in a scratch database, which also
sorts it the same way for any kind of database; and records are read in blocks.
"""

from __future__ import annotations

from itertools import islice, starmap
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from ._database import blocks_of, marks
from ._digest import KEY_SIZE
from ._errors import RepositoryError
from ._hash import key_of
from ._interchange import (
    ChildrenItem,
    ExecutionItem,
    HandledItem,
    HandleEdgesItem,
    HandleStateItem,
    Item,
    PartItem,
    SubvaluesItem,
    TagItem,
    TaskItem,
    TaskSetItem,
    UpstreamsItem,
    ValueItem,
    block_of,
    call_id,
    in_blocks,
)
from ._safe_load import load_safely
from ._schema import JOB_NUMBER_BITS
from ._sqlite import scratch_database
from ._value_store import home_of, read_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._database import Database

_BLOCK = 2_048  # Records that are read together.
_SMALL = 10_000  # Bytes of a value that is read together with others.
_HANDLE = b"restore_handle"  # Stored handles name it.
_LIST = 1_000  # References in one record.
_NUMBERS = (1 << JOB_NUMBER_BITS) - 1

# Statements

PAGE = "SELECT id, digest FROM {kind} WHERE digest > ?{only} ORDER BY digest LIMIT ?"
PAGE_OF_CALLS = "SELECT id, key, outcome FROM call WHERE key > ?{only} ORDER BY key LIMIT ?"
CALLS_OF_KEY = "SELECT id, key, outcome FROM call WHERE key = ?{only}"
PAGE_OF_HANDLED = """
SELECT place, key, error FROM handled
WHERE place >= ? AND (place > ? OR key > ?) ORDER BY place, key LIMIT ?
"""
DIGESTS = "SELECT id, digest FROM {kind} WHERE id IN ({{ids}})"
IDS = "SELECT digest, id FROM {kind} WHERE digest IN ({{ids}})"
TASKS = "SELECT id, digest, fullname, version, source FROM task WHERE id IN ({ids})"
MEMBERS = """
SELECT task_set_member.task_set_id, task.digest, task.id
FROM task_set_member JOIN task ON task.id = task_set_member.task_id
WHERE task_set_member.task_set_id IN ({ids})
"""
VALUES = """
SELECT value.id, value.digest, value_type.name, file.path,
    CASE WHEN length(value.data) <= ? THEN value.data END
FROM value JOIN value_type ON value_type.id = value.type_id
    LEFT JOIN file ON file.value_id = value.id
WHERE value.id IN ({ids})
"""
VALUE_DATA = "SELECT data FROM value WHERE id = ?"
CALLS = """
SELECT id, key, outcome, computed, task_id, task_set_id, single_id, result_id FROM call
WHERE id IN ({ids})
"""
ARGUMENTS = """
SELECT call_id, name, value_id FROM argument WHERE call_id IN ({ids}) ORDER BY call_id, position
"""
KNOWN_CALLS = """
SELECT key, outcome, computed, (SELECT count(*) FROM upstream WHERE call_id = call.id),
    (SELECT count(*) FROM call_child WHERE call_id = call.id)
FROM call WHERE key IN ({ids})
"""
KNOWN_VALUES = """
SELECT digest, (SELECT count(*) FROM subvalue WHERE parent_id = value.id) FROM value
WHERE digest IN ({ids})
"""
EXECUTIONS = """
SELECT id, uuid, argv, started, ended, status, host, pid, heartbeat, parent_job_id FROM execution
"""
EXECUTION_STATES = "SELECT uuid, status, ended, heartbeat FROM execution WHERE uuid IN ({ids})"
JOBS = """
SELECT job.id, job.parent_id, job.task_id, job.call_id, call.key, call.outcome, job.status,
    job.started, job.ended
FROM job LEFT JOIN call ON call.id = job.call_id
WHERE job.id > ? AND job.id <= ? ORDER BY job.id LIMIT ?
"""
ATTEMPTS = """
SELECT attempt.job_id, attempt.number, attempt.started, attempt.ended, value.digest, value.id
FROM attempt LEFT JOIN value ON value.id = attempt.error_id
WHERE attempt.job_id > ? AND attempt.job_id <= ? ORDER BY attempt.job_id, attempt.number
"""
PAGE_OF_TAGS = "SELECT id, entity, key, value FROM tag WHERE id > ? ORDER BY id LIMIT ?"
TAGS_OF = "SELECT entity, key, value FROM tag WHERE entity IN ({ids})"
PEER_STATES = """
SELECT handle_state.digest, handle_state.kind, handle_state.valid, execution.uuid,
    count(handle_edge.parent_id)
FROM handle_state LEFT JOIN execution ON execution.id = handle_state.execution_id
    LEFT JOIN handle_edge ON handle_edge.child_id = handle_state.id
WHERE handle_state.digest IN ({ids})
GROUP BY handle_state.id, handle_state.digest, handle_state.kind, handle_state.valid, execution.uuid
"""
HANDLED_AT = "SELECT place, key FROM handled WHERE place IN ({ids})"
HANDLE_STATES = """
SELECT handle_state.id, handle_state.digest, handle_state.fullname, handle_state.kind,
    handle_state.valid, execution.uuid
FROM handle_state LEFT JOIN execution ON execution.id = handle_state.execution_id
WHERE handle_state.id IN ({ids})
"""
STATES_OF = "SELECT id FROM handle_state WHERE execution_id IN ({ids})"


class References(NamedTuple):
    """How references from records to others of their kind are read.

    Attributes
    ----------
    only
        A condition: that a record has any.
    counts
        How many each of some records has.
    ids
        Row ids of what some records refer to.
    some
        All references of some records: row id, position, and what identifies the other.
    page
        The references of one record in pages; the last column is the other's row id.
    """

    only: str
    counts: str
    ids: str
    some: str
    page: str

    @classmethod
    def of(cls, table: str, owner: str, other: str, target: str, has_position: bool) -> References:
        """Return the statements for a table of references."""
        place = f"{table}.position" if has_position else "0"
        identity = "other.key, other.outcome" if target == "call" else "other.digest"
        join = f"FROM {table} JOIN {target} AS other ON other.id = {table}.{other}"
        return cls(
            f" AND EXISTS (SELECT 1 FROM {table} WHERE {table}.{owner} = {target}.id)",
            f"SELECT {owner}, count(*) FROM {table} WHERE {owner} IN ({{ids}}) GROUP BY {owner}",
            f"SELECT {other} FROM {table} WHERE {owner} IN ({{ids}})",
            f"SELECT {table}.{owner}, {place}, {identity} {join} "
            f"WHERE {table}.{owner} IN ({{ids}})",
            f"SELECT {place}, {identity}, {table}.{other} {join} WHERE {table}.{owner} = ? "
            f"AND {place} >= ? AND ({place} > ? OR {table}.{other} > ?) "
            f"ORDER BY {place}, {table}.{other} LIMIT ?",
        )


SUBVALUES = References.of("subvalue", "parent_id", "child_id", "value", False)
CHILDREN = References.of("call_child", "call_id", "child_id", "call", True)
UPSTREAMS = References.of("upstream", "call_id", "upstream_id", "call", True)
PARENTS = References.of("handle_edge", "child_id", "parent_id", "handle_state", False)

# Of the scratch database: what has been met, in order, and what is to be read, sorted.
_SEEN = "CREATE TABLE seen_{kind} (place INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE)"
_CHOSEN = """
CREATE TABLE chosen_{kind} (digest BLOB PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID
"""
_REFERENCE = """
CREATE TABLE reference (place INTEGER, digest BLOB, PRIMARY KEY (place, digest)) WITHOUT ROWID
"""
_SORTED_REFERENCES = """
SELECT place, digest FROM reference WHERE (place, digest) > (?, ?)
ORDER BY place, digest LIMIT ?
"""
_TAG = "CREATE TABLE tag (entity, key, value, PRIMARY KEY (entity, key, value)) WITHOUT ROWID"
_NEXT = "SELECT place, id FROM seen_{kind} WHERE place > ? ORDER BY place LIMIT ?"
_PAGE = "SELECT id, digest FROM chosen_{kind} WHERE digest > ? ORDER BY digest LIMIT ?"
_ARE_SEEN = "SELECT id FROM seen_{kind} WHERE id IN ({{ids}})"
_SORTED_TAGS = """
SELECT entity, key, value FROM tag WHERE (entity, key, value) > (?, ?, ?)
ORDER BY entity, key, value LIMIT ?
"""
_KINDS = ("task", "task_set", "value", "call", "handle_state")


class Extract:
    """Some records of a repository, or all.

    Parameters
    ----------
    database
        The repository's; it should be in a snapshot while it is read.
    peer
        The database that is to get them: what is there is left out.
    """

    def __init__(self, database: Database, peer: Database | None = None) -> None:
        self._database = database
        self._peer = peer
        self._scratch = scratch_database()
        for kind in _KINDS:
            self._scratch.execute(_SEEN.format(kind=kind))
            self._scratch.execute(_CHOSEN.format(kind=kind))
        self._scratch.execute(_TAG)
        self._scratch.execute(_REFERENCE)
        self._takes_all = False  # So nothing need be noted: the tables have it.
        self._is_whole = False
        self._executions: dict[int, ExecutionItem] = {}
        self._parts: list[PartItem] = []
        self._places: dict[str, int] = {}

    def close(self) -> None:
        """Drop what was noted."""
        self._scratch.close()

    def __enter__(self) -> Extract:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Choosing

    def choose_all(self) -> None:
        """Take all that there is, and the peer lacks."""
        rows = {row[0]: row for row in self._database.rows(EXECUTIONS)}
        self._choose_executions(rows, rows)
        self._is_whole = True
        self._takes_all = self._peer is None
        for tags in self._tag_blocks():
            tags = self._choose_tags(tags)
            if not self._takes_all:
                digests = [bytes.fromhex(tag[0]) for tag in tags if _is_hex(tag[0], KEY_SIZE)]
                for kind in ("task", "value"):
                    found = self._database.rows_in(IDS.format(kind=kind), digests)
                    self._see(kind, [row_id for _, row_id in found])
        if not self._takes_all:
            self._choose_jobs()
            self._see_what_may_be_left()
            self._follow()

    def _see_what_may_be_left(self) -> None:
        """Meet what may be recorded though no call refers to it, so that equal is equal."""
        from ._record import UNFINISHED

        for kind in ("task", "task_set", "handle_state"):
            for page in self._pages_of(kind, self._database, PAGE):
                self._see(kind, [row_id for row_id, _ in page])
        # Of a job that has ended since.
        found = self._database.rows_in(IDS.format(kind="value"), [key_of(UNFINISHED)])
        self._see("value", [row_id for _, row_id in found])

    def choose(self, executions: Iterable[int], others: dict[str, list[int]]) -> None:
        """Take executions and what they need, and other records with what these need.

        Parameters
        ----------
        executions
            Row ids.  Those that are parts of one, or that one is a part of, are taken as well.
        others
            Row ids of a `call`, `value` or `task`, by these words.
        """
        rows = {row[0]: row for row in self._database.rows(EXECUTIONS)}
        chosen = _with_parts(rows, executions)
        self._choose_executions(rows, chosen)
        for kind, ids in others.items():
            self._see(kind, ids)
        self._choose_jobs()
        self._see("handle_state", [i for (i,) in self._database.rows_in(STATES_OF, chosen)])
        self._follow()
        uuids = {rows[row_id][1] for row_id in chosen}
        for tags in self._tag_blocks():
            self._choose_tags(self._tags_of_chosen(tags, uuids))

    def _choose_executions(self, rows: dict[int, Any], chosen: Iterable[int]) -> None:
        """Take executions, but for those that the peer has in the same state."""
        known: dict[str, Any] = {}
        if self._peer is not None:
            uuids = [rows[row_id][1] for row_id in chosen]
            known = {uuid: state for uuid, *state in self._peer.rows_in(EXECUTION_STATES, uuids)}
        for row_id in chosen:
            _, uuid, argv, started, ended, status, host, pid, heartbeat, parent = rows[row_id]
            if known.get(uuid) == [status, ended, heartbeat]:
                continue
            item = ExecutionItem(uuid, argv, started, ended, status, host, pid, heartbeat)
            self._executions[row_id] = item
            above = None if parent is None else rows.get(parent >> JOB_NUMBER_BITS)
            if parent is not None and above is not None:
                self._parts.append(PartItem(uuid, above[1], parent & _NUMBERS))

    def _choose_jobs(self) -> None:
        """Take the calls of all jobs, with their tasks and what their attempts ended with."""
        for execution_id in self._executions:
            for jobs, attempts in self._job_blocks(execution_id):
                self._see("task", {row[2] for row in jobs})
                self._see("call", [row[3] for row in jobs if row[3] is not None])
                self._see("value", [row[5] for row in attempts if row[5] is not None])

    def _see(self, kind: str, ids: Iterable[int]) -> None:
        sql = f"INSERT INTO seen_{kind} (id)"
        iterator = iter(ids)
        while rows := [(row_id,) for row_id in islice(iterator, _BLOCK)]:
            self._scratch.insert(sql, rows, "ON CONFLICT (id) DO NOTHING")

    def _ids_in(self, references: References, ids: list[int]) -> Iterator[int]:
        """Yield what some records refer to, without keeping it: it may be much."""
        for block in blocks_of(ids):
            sql = references.ids.format(ids=marks(len(block)))
            for (row_id,) in self._database.iterate(sql, *block):
                yield row_id

    def _follow(self) -> None:
        """Choose what has been met and is not at the peer, and what that refers to."""
        steps = {
            "call": self._follow_calls,
            "value": self._follow_values,
            "task_set": self._follow_task_sets,
            "task": self._follow_tasks,
            "handle_state": self._follow_handle_states,
        }
        for kind, step in steps.items():
            place = self._places.get(kind, 0)
            while block := self._scratch.rows(_NEXT.format(kind=kind), place, _BLOCK):
                place = block[-1][0]
                step([row_id for _, row_id in block])
            self._places[kind] = place

    def _choose(self, kind: str, rows: Iterable[tuple[bytes, int]]) -> None:
        sql = f"INSERT INTO chosen_{kind} (digest, id)"
        self._scratch.insert(sql, sorted(rows), "ON CONFLICT (digest) DO NOTHING")

    def _follow_calls(self, ids: list[int]) -> None:
        rows = {row[0]: row for row in self._database.rows_in(CALLS, ids)}
        new = rows
        if self._peer is not None:
            upstreams = dict(self._database.rows_in(UPSTREAMS.counts, ids))
            children = dict(self._database.rows_in(CHILDREN.counts, ids))
            keys = [key for _, key, *_ in rows.values()]
            known = {
                (key, outcome): state
                for key, outcome, *state in self._peer.rows_in(KNOWN_CALLS, keys)
            }
            new = {i: row for i, row in rows.items() if (row[1], row[2]) not in known}
            # When a call came out so last, and what its arguments came from, may be news there; of
            # one that it got before an interruption, also the calls below.
            rows = {
                row_id: row
                for row_id, row in rows.items()
                if known.get((row[1], row[2]))
                != [row[3], upstreams.get(row_id, 0), children.get(row_id, 0)]
            }
        self._choose("call", [(call_id(row[1], row[2]), row_id) for row_id, row in rows.items()])
        self._see("call", self._ids_in(UPSTREAMS, list(rows)))
        self._see("call", self._ids_in(CHILDREN, list(rows)))
        self._see("task", {row[4] for row in new.values()})
        self._see("task_set", {row[5] for row in new.values()})
        self._see("value", [value for row in new.values() for value in row[6:8] if value])
        self._see("value", [row[-1] for row in self._database.rows_in(ARGUMENTS, list(new))])

    def _new(self, kind: str, ids: list[int]) -> dict[int, bytes]:
        """Return the digests of those records that the peer lacks."""
        rows = dict(self._database.rows_in(DIGESTS.format(kind=kind), ids))
        if self._peer is None:
            return rows
        known = dict(self._peer.rows_in(IDS.format(kind=kind), list(rows.values())))
        return {row_id: digest for row_id, digest in rows.items() if digest not in known}

    def _follow_values(self, ids: list[int]) -> None:
        new = dict(self._database.rows_in(DIGESTS.format(kind="value"), ids))
        if self._peer is not None:
            counts = dict(self._database.rows_in(SUBVALUES.counts, ids))
            known = dict(self._peer.rows_in(KNOWN_VALUES, list(new.values())))
            new = {i: digest for i, digest in new.items() if known.get(digest) != counts.get(i, 0)}
        self._choose("value", [(digest, row_id) for row_id, digest in new.items()])
        self._see("value", self._ids_in(SUBVALUES, list(new)))

    def _follow_task_sets(self, ids: list[int]) -> None:
        new = self._new("task_set", ids)
        self._choose("task_set", [(digest, row_id) for row_id, digest in new.items()])
        self._see("task", {row[2] for row in self._database.rows_in(MEMBERS, list(new))})

    def _follow_tasks(self, ids: list[int]) -> None:
        new = self._new("task", ids)
        self._choose("task", [(digest, row_id) for row_id, digest in new.items()])

    def _follow_handle_states(self, ids: list[int]) -> None:
        """Choose states that the peer lacks, or knows otherwise: what was valid may be no more."""
        self._see("handle_state", self._ids_in(PARENTS, ids))
        parents = dict(self._database.rows_in(PARENTS.counts, ids))
        rows = {row[0]: row[1:] for row in self._database.rows_in(HANDLE_STATES, ids)}
        known: dict[bytes, Any] = {}
        if self._peer is not None:
            found = self._peer.rows_in(PEER_STATES, [row[0] for row in rows.values()])
            known = {digest: state for digest, *state in found}
        self._choose(
            "handle_state",
            [
                (digest, row_id)
                for row_id, (digest, _, *state) in rows.items()
                if known.get(digest) != [*state, parents.get(row_id, 0)]
            ],
        )

    def _tag_blocks(self) -> Iterator[list[Any]]:
        last = 0
        while rows := self._database.rows(PAGE_OF_TAGS, last, _BLOCK):
            last = rows[-1][0]
            yield [tuple(row[1:]) for row in rows]

    def _choose_tags(self, tags: list[Any]) -> list[Any]:
        """Take those of some tags that the peer lacks, and return them."""
        if self._peer is not None:
            known = set(self._peer.rows_in(TAGS_OF, list({tag[0] for tag in tags})))
            tags = [tag for tag in tags if tag not in known]
        sql = "INSERT INTO tag (entity, key, value)"
        self._scratch.insert(sql, tags, "ON CONFLICT (entity, key, value) DO NOTHING")
        return tags

    def _tags_of_chosen(self, tags: list[Any], uuids: set[str]) -> list[Any]:
        """Return the tags of some executions, of their jobs, and of the records that were met."""
        starts = {uuid[:8] for uuid in uuids}
        met = self._met([tag[0] for tag in tags])
        return [
            tag
            for tag in tags
            if tag[0] in uuids or tag[0] in met or (_is_job(tag[0]) and tag[0][:8] in starts)
        ]

    def _met(self, entities: list[str]) -> set[str]:
        """Return those digests among entities whose records were met."""
        met: set[str] = set()
        digests = [bytes.fromhex(entity) for entity in entities if _is_hex(entity, KEY_SIZE)]
        for kind in ("task", "value"):
            ids = {
                i: digest for digest, i in self._database.rows_in(IDS.format(kind=kind), digests)
            }
            seen = self._scratch.rows_in(_ARE_SEEN.format(kind=kind), list(ids))
            met |= {ids[row_id].hex() for (row_id,) in seen}
        for entity in entities:
            if _is_hex(entity, KEY_SIZE + 8):
                digest = bytes.fromhex(entity)
                if self._scratch.rows("SELECT id FROM chosen_call WHERE digest = ?", digest):
                    met.add(entity)
        return met

    # Reading

    def blocks(self) -> Iterator[list[Any]]:
        """Yield the records in order, in blocks as `_interchange` has them."""
        yield from in_blocks(self._tasks())
        yield from in_blocks(self._task_sets())
        yield from in_blocks(self._values())
        yield from in_blocks(starmap(SubvaluesItem, self._digests("value", SUBVALUES)))
        yield from self._calls()
        yield from in_blocks(starmap(ChildrenItem, self._lists("call", CHILDREN)))
        yield from in_blocks(starmap(UpstreamsItem, self._lists("call", UPSTREAMS)))
        yield from in_blocks(sorted(self._executions.values(), key=itemgetter(0)))
        yield from self._jobs()
        yield from in_blocks(sorted(self._parts))
        yield from in_blocks(self._tags())
        yield from in_blocks(self._handled())
        self._follow()  # What the values have brought up.
        yield from in_blocks(self._handle_states())
        yield from in_blocks(starmap(HandleEdgesItem, self._digests("handle_state", PARENTS)))

    def _pages(self, kind: str, only: str = "") -> Iterator[list[tuple[int, bytes]]]:
        """Yield row ids and digests in blocks, in order of the digests.

        If all is taken, these are only those that meet a condition.
        """
        if not self._takes_all:
            return self._pages_of(kind, self._scratch, _PAGE)
        if kind == "call":
            return self._pages_of_calls(only)
        return self._pages_of(kind, self._database, PAGE, only)

    def _pages_of(self, kind: str, database: Database, sql: str, only: str = "") -> Iterator[Any]:
        last = b""
        while rows := database.rows(sql.format(kind=kind, only=only), last, _BLOCK):
            yield rows
            last = rows[-1][1]

    def _pages_of_calls(self, only: str) -> Iterator[Any]:
        key = b""
        while rows := self._database.rows(PAGE_OF_CALLS.format(only=only), key, _BLOCK):
            key = rows[-1][1]
            whole = [row for row in rows if row[1] != key]
            whole += self._database.rows(CALLS_OF_KEY.format(only=only), key)
            # Outcomes are integers with a sign there, bytes here.
            found = [(row_id, call_id(key, outcome)) for row_id, key, outcome in whole]
            yield sorted(found, key=itemgetter(1))

    def _found(self, kind: str, page: list[Any], sql: str, *parameters: Any) -> Iterator[Any]:
        """Yield the rows of a page of ids, in order, without their ids."""
        ids = [row_id for row_id, _ in page]
        rows = {row[0]: row for row in self._database.rows_in(sql, ids, *parameters)}
        for row_id, digest in page:
            if row_id not in rows:
                raise RepositoryError(
                    f"{self._database.address}: {kind} {digest.hex()[:12]} refers to something "
                    "that is missing; `db check` says more"
                )
            yield rows[row_id]

    def _grouped(self, page: list[Any], sql: str) -> dict[int, list[Any]]:
        """Return the rows of a page of ids by their first column, each without it."""
        groups: dict[int, set[Any]] = {}
        for first, *rest in self._database.rows_in(sql, [row_id for row_id, _ in page]):
            groups.setdefault(first, set()).add(tuple(rest))
        return {first: sorted(rows) for first, rows in groups.items()}

    def _tasks(self) -> Iterator[Item]:
        for page in self._pages("task"):
            for row in self._found("task", page, TASKS):
                yield TaskItem(*row[1:])

    def _task_sets(self) -> Iterator[Item]:
        for page in self._pages("task_set"):
            members = self._grouped(page, MEMBERS)
            for row_id, digest in page:
                yield TaskSetItem(digest, tuple(task for task, _ in members.get(row_id, ())))

    def _values(self) -> Iterator[Item]:
        for page in self._pages("value"):
            for row_id, digest, name, path, data in self._found("value", page, VALUES, _SMALL):
                if data is None:
                    ((data,),) = self._database.rows(VALUE_DATA, row_id)
                if not data:
                    data = read_value(self._database, row_id, home_of(self._database.address))
                if not self._is_whole and _HANDLE in data:
                    self._see_handle(data)
                yield ValueItem(digest, name, path, bytes(data))

    def _see_handle(self, data: bytes) -> None:
        """Meet the state of a handle that is a value: another execution may have it as its last."""
        try:
            _, recorded = load_safely(data).args
            state = bytes.fromhex(dict(recorded.entries)["hash"])
        except Exception:  # It only holds that name, or is broken.
            return
        found = self._database.rows_in(IDS.format(kind="handle_state"), [state])
        self._see("handle_state", [row_id for _, row_id in found])

    def _calls(self) -> Iterator[list[Any]]:
        for page in self._pages("call"):
            rows = list(self._found("call", page, CALLS))
            arguments: dict[int, list[Any]] = {}
            for row_id, name, value in self._database.rows_in(ARGUMENTS, [row[0] for row in rows]):
                arguments.setdefault(row_id, []).append((name, value))
            *_, tasks, task_sets, singles, results = map(set, zip(*rows))
            given = {value for pairs in arguments.values() for _, value in pairs}
            task_of = self._digests_by_id("task", tasks)
            task_set_of = self._digests_by_id("task_set", task_sets)
            value_of = self._digests_by_id("value", singles | results | given)
            yield block_of(
                "call",
                [
                    (
                        call_id(key, outcome),
                        task_of[task],
                        task_set_of[task_set],
                        value_of[single],
                        value_of[result],
                        computed,
                        tuple(
                            [(name, value_of[value]) for name, value in arguments.get(row_id, ())]
                        ),
                    )
                    for row_id, key, outcome, computed, task, task_set, single, result in rows
                ],
            )

    def _digests_by_id(self, kind: str, ids: set[Any]) -> dict[Any, bytes | None]:
        """Return the digests of records by their row ids, one of which may be None."""
        wanted = list(ids - {None})
        found = dict(self._database.rows_in(DIGESTS.format(kind=kind), wanted))
        if len(found) < len(wanted):
            missing = next(row_id for row_id in wanted if row_id not in found)
            raise RepositoryError(
                f"{self._database.address}: row {missing} of the table {kind} is referred to, but "
                "missing; `db check` says more"
            )
        return {None: None, **found}

    def _lists(self, kind: str, references: References) -> Iterator[tuple[bytes, Any]]:
        """Yield digest and references of each record that has some, in lists of bounded length."""
        for page in self._pages(kind, references.only):
            ids = [row_id for row_id, _ in page]
            counts = dict(self._database.rows_in(references.counts, ids))
            block: list[tuple[int, bytes]] = []
            room = _BLOCK
            for row_id, digest in page:
                count = counts.get(row_id, 0)
                if count > _LIST or room < count:
                    yield from self._small_lists(block, references)
                    block, room = [], _BLOCK
                if count > _LIST:
                    yield from self._large_list(row_id, digest, references)
                elif count:
                    block.append((row_id, digest))
                    room -= count
            yield from self._small_lists(block, references)

    def _small_lists(
        self, block: list[tuple[int, bytes]], references: References
    ) -> Iterator[tuple[bytes, Any]]:
        found = self._grouped(block, references.some)
        for row_id, digest in block:
            yield digest, tuple(sorted(_reference(*row) for row in found[row_id]))

    def _large_list(
        self, row_id: int, digest: bytes, references: References
    ) -> Iterator[tuple[bytes, Any]]:
        """Yield the references of one record, sorted by the scratch database."""
        place, last = 0, -1
        while rows := self._database.rows(references.page, row_id, place, place, last, _BLOCK):
            place, last = rows[-1][0], rows[-1][-1]
            found = [_reference(*row[:-1]) for row in rows]
            self._scratch.insert("INSERT INTO reference (place, digest)", found)
        after: Any = (-1, b"")
        while rows := self._scratch.rows(_SORTED_REFERENCES, *after, _LIST):
            after = rows[-1]
            yield digest, tuple(rows)
        self._scratch.execute("DELETE FROM reference")

    def _digests(self, kind: str, references: References) -> Iterator[tuple[bytes, Any]]:
        """Yield lists as `_lists` does, of references that have no position."""
        for digest, found in self._lists(kind, references):
            yield digest, tuple(other for _, other in found)

    def _job_blocks(self, execution_id: int) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yield the jobs of an execution in blocks, with their attempts."""
        last = execution_id << JOB_NUMBER_BITS
        end = last + _NUMBERS
        last -= 1
        while rows := self._database.rows(JOBS, last, end, _BLOCK):
            first, last = last, rows[-1][0]
            yield rows, self._database.rows(ATTEMPTS, first, last)

    def _jobs(self) -> Iterator[list[Any]]:
        for execution_id, execution in sorted(self._executions.items(), key=lambda e: e[1].uuid):
            uuid = execution.uuid
            for jobs, attempts in self._job_blocks(execution_id):
                tried: dict[int, list[Any]] = {}
                for job_id, number, started, ended, error, _ in attempts:
                    tried.setdefault(job_id, []).append((number, started, ended, error))
                task_of = self._digests_by_id("task", {row[2] for row in jobs})
                yield block_of(
                    "job",
                    [
                        (
                            uuid,
                            job_id & _NUMBERS,
                            None if parent is None else parent & _NUMBERS,
                            task_of[task],
                            None if key is None else call_id(key, outcome),
                            status,
                            started,
                            ended,
                            tuple(tried.get(job_id, ())),
                        )
                        for job_id, parent, task, _, key, outcome, status, started, ended in jobs
                    ],
                )

    def _tags(self) -> Iterator[Item]:
        last: Any = ("", "", "")
        while rows := self._scratch.rows(_SORTED_TAGS, *last, _BLOCK):
            yield from map(TagItem._make, rows)
            last = rows[-1]

    def _handled(self) -> Iterator[Item]:
        place, key = b"", b""
        while rows := self._database.rows(PAGE_OF_HANDLED, place, place, key, _BLOCK):
            place, key = rows[-1][:2]
            yield from map(HandledItem._make, self._chosen_handled(rows))

    def _chosen_handled(self, rows: list[Any]) -> list[Any]:
        """Return those rows that are to be read: of errors that chosen calls raised."""
        if not self._is_whole:
            has_call = "SELECT 1 FROM chosen_call WHERE digest BETWEEN ? AND ? LIMIT 1"
            bounds = (bytes(8), b"\xff" * 8)
            rows = [
                row for row in rows if self._scratch.rows(has_call, *(row[1] + b for b in bounds))
            ]
        if self._peer is not None:
            known = set(self._peer.rows_in(HANDLED_AT, [place for place, _, _ in rows]))
            rows = [row for row in rows if row[:2] not in known]
        return rows

    def _handle_states(self) -> Iterator[Item]:
        uuids = {execution.uuid for execution in self._executions.values()}
        is_known = self._peer is not None  # That is seen to where it is written.
        for page in self._pages("handle_state"):
            for _, digest, name, origin, valid, uuid in self._found("state", page, HANDLE_STATES):
                of = uuid if is_known or uuid in uuids else None
                yield HandleStateItem(digest, name, origin, valid, of)


def _with_parts(rows: dict[int, Any], executions: Iterable[int]) -> list[int]:
    """Return row ids of executions, of those they are parts of, and of the parts of all these."""
    parts: dict[int, list[int]] = {}
    for row in rows.values():
        if row[9] is not None:
            parts.setdefault(row[9] >> JOB_NUMBER_BITS, []).append(row[0])
    chosen: dict[int, None] = {}
    waiting = list(executions)
    while waiting:
        row_id = waiting.pop()
        if row_id in chosen or row_id not in rows:
            continue
        chosen[row_id] = None
        waiting += parts.get(row_id, [])
        parent = rows[row_id][9]
        if parent is not None:
            waiting.append(parent >> JOB_NUMBER_BITS)
    return sorted(chosen)


def _reference(place: int, *identity: Any) -> tuple[int, bytes]:
    """Return the position of a reference, and the digest of what it is to."""
    return place, call_id(*identity) if len(identity) == 2 else bytes(identity[0])


def _is_hex(entity: str, size: int) -> bool:
    """Say whether the entity of a tag is a digest of so many bytes."""
    return len(entity) == 2 * size and not set(entity) - set("0123456789abcdef")


def _is_job(entity: str) -> bool:
    """Say whether the entity of a tag is a job: `format_job_id` made it."""
    return entity[8:9] == "-" and entity[9:].isdigit()
