"""Records as JSON, a line each, for programs that read what `log` finds.

`why` and `diff` write objects of their own, and call the same things the same.

The fields are documented, and stay: what a program relies on may get company, but keeps its name
and meaning.  A change that breaks this raises the number in `_version`.

Times are ISO 8601 in UTC, durations are seconds, hashes hex digits.  A value is shown as its text,
its type and its hash; nothing that is stored is run to show it.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._history import CallRow, ExecutionRow, FileRow, JobRow, TaskRow, ValueRow
from .._query import Kind
from .._status import CACHED
from .describe import BLOCK, error_of, stored_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._history import ArgumentRow, History

FORMAT_VERSION = 1

TEXT_LENGTH = 1_000
"""Characters of a value's text."""

_MAX_SOURCES = 100  # Calls that an argument is said to be made of.

SOURCES = """
SELECT upstream.call_id, upstream.position, call.key, call.outcome
FROM upstream JOIN call ON call.id = upstream.upstream_id
WHERE upstream.call_id IN ({ids}) AND upstream.upstream_id IN (
    SELECT nearest.upstream_id FROM upstream AS nearest
    WHERE nearest.call_id = upstream.call_id AND nearest.position = upstream.position
    ORDER BY nearest.upstream_id LIMIT 100
)
ORDER BY upstream.call_id, upstream.position, upstream.upstream_id
"""
PATHS = "SELECT value_id, path FROM file WHERE value_id IN ({ids})"
TASK_DIGESTS = "SELECT id, digest FROM task WHERE id IN ({ids})"


def count_line(kind: Kind, count: int) -> str:
    """Return the line that says how many records of a kind there are."""
    return _line("Count", record=kind.value, count=count)


class JsonLines:
    """Writes records of a repository as JSON."""

    def __init__(self, history: History) -> None:
        self._history = history

    def lines(self, kind: Kind, rows: Iterable[Any]) -> Iterator[str]:
        """Yield a line for each record."""
        write: Any = {
            Kind.EXECUTION: self._executions,
            Kind.JOB: self._jobs,
            Kind.CALL: self._calls,
            Kind.TASK: self._tasks,
            Kind.VALUE: self._values,
            Kind.FILE: self._files,
        }[kind]
        iterator = iter(rows)
        while block := list(islice(iterator, BLOCK)):
            yield from write(block)

    def _executions(self, rows: list[ExecutionRow]) -> Iterator[str]:
        tags = self._tags(row.uuid for row in rows)
        for row in rows:
            parent = None
            if row.parent_job_id is not None:
                parent = self._history.job_name(row.parent_job_id)
            yield _line(
                "Execution",
                id=row.uuid,
                args=row.argv,
                status=row.status,
                **times_json(row.started, row.ended),
                host=row.host,
                pid=row.pid,
                parent_job_id=parent,
                tags=tags[row.uuid],
            )

    def _jobs(self, rows: list[JobRow]) -> Iterator[str]:
        history = self._history
        calls = self._call_rows(row.call_id for row in rows if row.call_id is not None)
        arguments = history.arguments(calls)
        results = history.results(calls)
        hashes = self._task_hashes(row.task_id for row in rows)
        tags = self._tags(history.job_id(row) for row in rows)
        for row in rows:
            job_id = history.job_id(row)
            call = calls.get(row.call_id or 0)
            result = results.get(row.call_id or 0)
            yield _line(
                "Job",
                id=job_id,
                execution_id=history.execution_uuid(row.execution_id),
                parent_id=None if row.parent_id is None else history.job_name(row.parent_id),
                task_name=row.task_name,
                task_hash=hashes.get(row.task_id),
                call_hash=None if call is None else call.digest.hex(),
                status=row.status,
                cached=row.status == CACHED,
                **times_json(row.started, row.ended),
                args=[_argument(argument) for argument in arguments.get(row.call_id or 0, ())],
                **_result(result),
                tags=tags[job_id],
            )

    def _calls(self, rows: list[CallRow]) -> Iterator[str]:
        history = self._history
        arguments = history.arguments(row.id for row in rows)
        results = history.results(row.id for row in rows)
        hashes = self._task_hashes(row.task_id for row in rows)
        tags = self._tags(row.digest.hex() for row in rows)
        sources: dict[tuple[int, int], list[str]] = {}
        for call_id, position, key, outcome in history.database.rows_in(
            SOURCES, [row.id for row in rows]
        ):
            digest = bytes(key) + outcome.to_bytes(8, "big", signed=True)
            found = sources.setdefault((call_id, position), [])
            if len(found) < _MAX_SOURCES and digest.hex() not in found:
                found.append(digest.hex())
        for row in rows:
            yield _line(
                "CallNode",
                call_hash=row.digest.hex(),
                task_name=row.task_name,
                task_hash=hashes.get(row.task_id),
                timestamp=_time(row.computed),
                args=[
                    {**_argument(argument), "upstream": sources.get((row.id, position), [])}
                    for position, argument in enumerate(arguments[row.id])
                ],
                **_result(results.get(row.id)),
                tags=tags[row.digest.hex()],
            )

    def _tasks(self, rows: list[TaskRow]) -> Iterator[str]:
        tags = self._tags(row.digest.hex() for row in rows)
        for row in rows:
            namespace, _, name = row.fullname.rpartition(".")
            yield _line(
                "Task",
                task_hash=row.digest.hex(),
                fullname=row.fullname,
                name=name,
                namespace=namespace,
                version=row.version,
                source=row.source,
                tags=tags[row.digest.hex()],
            )

    def _values(self, rows: list[ValueRow]) -> Iterator[str]:
        paths = dict(self._history.database.rows_in(PATHS, [row.id for row in rows]))
        tags = self._tags(row.digest.hex() for row in rows)
        for row in rows:
            yield _line(
                "Value",
                **value_json(row),
                size=row.size,
                path=paths.get(row.id),
                tags=tags[row.digest.hex()],
            )

    def _files(self, rows: list[FileRow]) -> Iterator[str]:
        tags = self._tags(row.value.digest.hex() for row in rows)
        for row in rows:
            yield _line(
                "File", path=row.path, **value_json(row.value), tags=tags[row.value.digest.hex()]
            )

    def _call_rows(self, ids: Iterable[int]) -> dict[int, CallRow]:
        return {call.id: call for call in self._history.calls_by_id(list(dict.fromkeys(ids)))}

    def _task_hashes(self, ids: Iterable[int]) -> dict[int, str]:
        rows = self._history.database.rows_in(TASK_DIGESTS, list(dict.fromkeys(ids)))
        return {task_id: bytes(digest).hex() for task_id, digest in rows}

    def _tags(self, entities: Iterable[str]) -> dict[str, dict[str, list[Any]]]:
        found: dict[str, dict[str, list[Any]]] = {}
        for entity, tags in self._history.tags(entities).items():
            by_key = found.setdefault(entity, {})
            for key, value in tags:
                by_key.setdefault(key, []).append(value)
        return found


def typed(kind: str, **fields: Any) -> dict[str, Any]:
    """Return an object for `json.dumps` that says what it is."""
    return {"_type": kind, "_version": FORMAT_VERSION, **fields}


def _line(kind: str, **fields: Any) -> str:
    return json.dumps(typed(kind, **fields))


def value_json(value: ValueRow) -> dict[str, Any]:
    """Return a stored value for `json.dumps`."""
    return {
        "value_hash": value.digest.hex(),
        "type": value.type_name,
        "text": stored_text(value, TEXT_LENGTH),
    }


def times_json(started: int, ended: int | None) -> dict[str, Any]:
    """Return when something began and ended, and the seconds between."""
    return {
        "start_time": _time(started),
        "end_time": _time(ended),
        "duration": None if ended is None else max(ended - started, 0) / 1_000_000,
    }


def _argument(argument: ArgumentRow) -> dict[str, Any]:
    return {"name": argument.name, **value_json(argument.value)}


def _result(value: ValueRow | None) -> dict[str, Any]:
    """Return the fields on what a call came to: a result, or an error."""
    if value is None:
        return {"result": None, "error": None}
    error = error_of(value)
    return {"result": value_json(value) if error is None else None, "error": error}


def _time(microseconds: int | None) -> str | None:
    from datetime import datetime, timedelta, timezone

    if microseconds is None:
        return None
    try:
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=microseconds)
    except OverflowError:
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
