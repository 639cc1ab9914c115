"""What a trace of lineage reads of a repository: calls, their arguments, and values.

A level of a trace is some hundred calls, and asks the same of each: so rows are read in batches,
each of them once, and every query has a bound.  Whoever needs many asks for all of them first, and
then looks one by one at what is there.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ._history import MAX_LINE_SIZE, SELECT_CALL, SELECT_VALUE, CallRow, ValueRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._history import History

_MAX_ROWS = 20_000  # That one query may read.
_MAX_MAKERS = 50  # Calls with one and the same result that are looked at.


# Queries

CALL_ROWS = SELECT_CALL + "WHERE call.id IN ({ids})"
VALUE_ROWS = SELECT_VALUE + "WHERE value.id IN ({ids})"
CALLS = """
SELECT call.id, task.fullname, call.single_id, call.result_id
FROM call JOIN task ON task.id = call.task_id WHERE call.id IN ({ids})
"""
ARGUMENTS = f"""
SELECT call_id, position, name, value_id FROM argument WHERE call_id IN ({{ids}})
ORDER BY call_id, position LIMIT {_MAX_ROWS}
"""
SOURCES = f"""
SELECT call_id, position, upstream_id FROM upstream WHERE call_id IN ({{ids}})
ORDER BY call_id, position, upstream_id LIMIT {_MAX_ROWS}
"""
USES = f"""
SELECT upstream_id, call_id, position FROM upstream WHERE upstream_id IN ({{ids}})
ORDER BY upstream_id, call_id, position LIMIT {_MAX_ROWS}
"""
CHILDREN = f"""
SELECT call_id, child_id FROM call_child WHERE call_id IN ({{ids}})
ORDER BY call_id, position LIMIT {_MAX_ROWS}
"""
LATEST_PARENTS = """
SELECT child_id, max(call_id) FROM call_child WHERE child_id IN ({ids}) GROUP BY child_id
"""
PARTS_OF_VALUES = f"""
SELECT parent_id, child_id FROM subvalue WHERE parent_id IN ({{ids}})
ORDER BY parent_id, child_id LIMIT {_MAX_ROWS}
"""
WHOLES_OF_VALUES = f"""
SELECT child_id, parent_id FROM subvalue WHERE child_id IN ({{ids}})
ORDER BY child_id, parent_id LIMIT {_MAX_ROWS}
"""
FILES = "SELECT value_id, path FROM file WHERE value_id IN ({ids}) ORDER BY value_id"
MAKERS = f"""
SELECT result_id, id FROM call WHERE result_id IN ({{ids}}) ORDER BY id DESC LIMIT {_MAX_ROWS}
"""
READERS = f"""
SELECT value_id, call_id, position FROM argument WHERE value_id IN ({{ids}})
ORDER BY call_id DESC, position LIMIT {_MAX_ROWS}
"""


# Rows


class RecordedCall(NamedTuple):
    """What a trace has to know of a call."""

    id: int
    task_name: str
    single_id: int | None
    result_id: int

    @property
    def has_handed_on(self) -> bool:
        """Whether its function returned an expression, not its result."""
        return self.single_id is not None and self.single_id != self.result_id


class Argument(NamedTuple):
    """An argument of a call; `Records.sources_of` says which calls it was made of."""

    call_id: int
    position: int
    name: str
    value_id: int


class Records:
    """The rows that a trace looks at: asked for in batches, each of them once.

    Attributes
    ----------
    left_out
        What was not read since some query found more than it may, as a phrase; else empty.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._calls: dict[int, RecordedCall] = {}
        self._arguments: dict[int, list[Argument]] = {}
        self._sources: dict[tuple[int, int], list[int]] = {}
        self._children: dict[int, list[int]] = {}
        self._parents: dict[int, int | None] = {}
        self._parts: dict[int, list[int]] = {}
        self._wholes: dict[int, list[int]] = {}
        self._paths: dict[int, str | None] = {}
        self.left_out = ""

    def _rows_in(self, sql: str, ids: list[int]) -> list[Any]:
        rows = list(self._history.database.rows_in(sql, ids)) if ids else []
        if len(rows) >= _MAX_ROWS:
            self.left_out = f"what is beyond {_MAX_ROWS:,} records of a kind"
        return rows

    def _lists(
        self, sql: str, cache: dict[int, list[int]], ids: Iterable[int]
    ) -> dict[int, list[int]]:
        new = [id for id in dict.fromkeys(ids) if id not in cache]
        cache.update((id, []) for id in new)
        for id, other in self._rows_in(sql, new):
            cache[id].append(other)
        return cache

    def calls(self, ids: Iterable[int]) -> dict[int, RecordedCall]:
        new = [id for id in dict.fromkeys(ids) if id not in self._calls]
        for row in self._rows_in(CALLS, new):
            self._calls[row[0]] = RecordedCall(*row)
        return self._calls

    def arguments(self, call_ids: Iterable[int]) -> dict[int, list[Argument]]:
        """Return arguments by call, and have ready what `sources_of` says of them."""
        new = [id for id in dict.fromkeys(call_ids) if id not in self._arguments]
        self._arguments.update((id, []) for id in new)
        for row in self._rows_in(ARGUMENTS, new):
            self._arguments[row[0]].append(Argument(*row))
        for call_id, position, source in self._rows_in(SOURCES, new):
            self._sources.setdefault((call_id, position), []).append(source)
        return self._arguments

    def sources_of(self, argument: Argument) -> list[int]:
        """Return the calls that an argument was made of."""
        return self._sources.get((argument.call_id, argument.position), [])

    def children(self, call_ids: Iterable[int]) -> dict[int, list[int]]:
        return self._lists(CHILDREN, self._children, call_ids)

    def parents(self, call_ids: Iterable[int]) -> dict[int, int | None]:
        """Return by call the last one that led to it."""
        new = [id for id in dict.fromkeys(call_ids) if id not in self._parents]
        self._parents.update((id, None) for id in new)
        self._parents.update(self._rows_in(LATEST_PARENTS, new))
        return self._parents

    def set_parent(self, call_id: int, parent_id: int) -> None:
        """Let the call that a trace came by be the one around."""
        self._parents.setdefault(call_id, parent_id)

    def parts(self, value_ids: Iterable[int]) -> dict[int, list[int]]:
        return self._lists(PARTS_OF_VALUES, self._parts, value_ids)

    def wholes(self, value_ids: Iterable[int]) -> dict[int, list[int]]:
        return self._lists(WHOLES_OF_VALUES, self._wholes, value_ids)

    def paths(self, value_ids: Iterable[int]) -> dict[int, str | None]:
        """Return the paths of values that are files."""
        new = [id for id in dict.fromkeys(value_ids) if id not in self._paths]
        self._paths.update((id, None) for id in new)
        self._paths.update(self._rows_in(FILES, new))
        return self._paths

    def makers(self, value_ids: Iterable[int]) -> dict[int, list[int]]:
        """Return by value the last calls that it is the result of."""
        found: dict[int, list[int]] = defaultdict(list)
        for value_id, call_id in self._rows_in(MAKERS, list(dict.fromkeys(value_ids))):
            if len(found[value_id]) < _MAX_MAKERS:
                found[value_id].append(call_id)
        return found

    def readers(self, value_ids: Iterable[int]) -> list[tuple[int, int, int]]:
        return self._rows_in(READERS, list(dict.fromkeys(value_ids)))

    def uses(self, call_ids: Iterable[int]) -> list[tuple[int, int, int]]:
        return self._rows_in(USES, list(dict.fromkeys(call_ids)))

    def carries(self, holder: int, value: int) -> bool:
        """Say whether a value is another, or is among its parts, which must have been read."""
        return holder == value or value in self._parts.get(holder, ())

    def call_rows(self, ids: list[int]) -> dict[int, CallRow]:
        """Return by id what is shown of calls."""
        return {row[0]: CallRow(*row) for row in self._history.database.rows_in(CALL_ROWS, ids)}

    def value_rows(self, ids: list[int]) -> dict[int, ValueRow]:
        """Return by id what is shown of values."""
        found = self._history.database.rows_in(VALUE_ROWS, ids, MAX_LINE_SIZE)
        return {row[0]: self._history.value_row(row, MAX_LINE_SIZE) for row in found}
