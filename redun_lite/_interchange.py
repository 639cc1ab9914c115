"""The records of a repository as lines of JSON, which other repositories can take up.

Records name each other by digest, executions by UUID and jobs by number, never by a database's row
ids.  What refers to records of its own kind (a value to the values inside, a call to those below)
has its references in records of another kind, so that a file is sorted and still no line refers to
a later one: any record's line is a function of the record, and a set of records is one file only.
As a call may have a million below, such references come in lists of bounded length.

A line ends with a sum over itself, so that damage is found where it is.  The last line has the
number of records and a digest over all lines, so that it is noticed if any are missing.

What a reader can compute is compared too: the key of a call and of a set of tasks; that of a value
as far as it can be told without running what is stored (`_safe_load`).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from hashlib import blake2b
from operator import lt
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from ._digest import KEY_SIZE, digest
from ._encoders import tag
from ._errors import UsageError
from ._hash import key_of
from ._job import STATUSES
from ._recompute import is_key_of_call, key_of_plain
from ._record import ErrorValue
from ._safe_load import Composite, load_safely

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMAT = 1
"""Version of the format, in the first line."""

MAX_CHECKED_SIZE = 100_000
"""Bytes of the longest value whose key is computed: a tenth of a second's work."""

_SUM_SIZE = 8
_ID_SIZE = KEY_SIZE + 8  # Of a call: its key, then its outcome.
_LARGEST = 1 << 63
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BEFORE_SUM = b',"sum":"'
_BEHIND_SUM = b'"}\n'


# Records, in the order of a file


class TaskItem(NamedTuple):
    """A task."""

    digest: bytes
    fullname: str
    version: str | None
    source: str


class TaskSetItem(NamedTuple):
    """The tasks at and below a call, in order."""

    digest: bytes
    tasks: tuple[bytes, ...]


class ValueItem(NamedTuple):
    """A value, and its path if it is a file."""

    digest: bytes
    type: str
    path: str | None
    data: bytes


class SubvaluesItem(NamedTuple):
    """Values inside of one, in order."""

    value: bytes
    inside: tuple[bytes, ...]


class CallItem(NamedTuple):
    """A call, with name and value of each argument."""

    id: bytes
    task: bytes
    task_set: bytes
    single: bytes | None
    result: bytes
    computed: int
    arguments: tuple[tuple[str, bytes], ...]


class ChildrenItem(NamedTuple):
    """Calls below one, by position."""

    call: bytes
    children: tuple[tuple[int, bytes], ...]


class UpstreamsItem(NamedTuple):
    """Calls whose results the arguments of one were made of, by position of the argument."""

    call: bytes
    upstreams: tuple[tuple[int, bytes], ...]


class ExecutionItem(NamedTuple):
    """An execution; `argv` is JSON."""

    uuid: str
    argv: str
    started: int
    ended: int | None
    status: str
    host: str
    pid: int
    heartbeat: int


class JobItem(NamedTuple):
    """A job, with number, start, end and error of each attempt if there was more than one."""

    execution: str
    number: int
    parent: int | None
    task: bytes
    call: bytes | None
    status: str
    started: int
    ended: int | None
    attempts: tuple[tuple[int, int, int, bytes | None], ...]


class PartItem(NamedTuple):
    """The job that an execution is a part of."""

    execution: str
    parent: str
    number: int


class TagItem(NamedTuple):
    """A tag; `value` is JSON."""

    entity: str
    key: str
    value: str


class HandledItem(NamedTuple):
    """An error that was handled at a place, pickled, and the key of the call that raised it."""

    place: bytes
    key: bytes
    error: bytes


class HandleStateItem(NamedTuple):
    """A state of a handle, and the execution that made or replayed it last."""

    digest: bytes
    fullname: str
    origin: str
    valid: int | None
    execution: str | None


class HandleEdgesItem(NamedTuple):
    """States that one was derived from, in order."""

    state: bytes
    parents: tuple[bytes, ...]


Item = Union[
    TaskItem,
    TaskSetItem,
    ValueItem,
    SubvaluesItem,
    CallItem,
    ChildrenItem,
    UpstreamsItem,
    ExecutionItem,
    JobItem,
    PartItem,
    TagItem,
    HandledItem,
    HandleStateItem,
    HandleEdgesItem,
]


def identity_of(item: Item) -> tuple[Any, ...]:
    """Return what no other record of the kind has, and by which a file is sorted."""
    if isinstance(item, _LISTS):
        return item[0], item[1][0]
    return item[: _IDENTITIES.get(type(item), 1)]


def call_id(key: bytes, outcome: int) -> bytes:
    """Return what identifies a call: its key and outcome, as `CallRow.digest` has them."""
    return bytes(key) + outcome.to_bytes(8, "big", signed=True)


def item_of(kind: str, fields: tuple[Any, ...]) -> Item:
    """Return a record from the name of its kind and its fields."""
    item: Item = _READERS[kind][0](*fields)
    return item


def references_of(item: Item) -> list[tuple[str, Any]]:
    """Return the records that one refers to: the kind and what identifies each."""
    if type(item) is CallItem:
        found: list[tuple[str, Any]] = [("value", value) for _, value in item.arguments]
        if item.single is not None:
            found.append(("value", item.single))
        found += [("task", item.task), ("task_set", item.task_set), ("value", item.result)]
        return found
    if type(item) is JobItem:
        found = [("execution", item.execution), ("task", item.task)]
        found += [("value", error) for *_, error in item.attempts if error is not None]
        return found if item.call is None else [*found, ("call", item.call)]
    if type(item) is ChildrenItem or type(item) is UpstreamsItem:
        return [("call", item.call), *(("call", call) for _, call in item[1])]
    if type(item) is TaskSetItem:
        return [("task", task) for task in item.tasks]
    if type(item) is SubvaluesItem:
        return [("value", value) for value in (item.value, *item.inside)]
    if type(item) is PartItem:
        return [("execution", item.execution), ("execution", item.parent)]
    if type(item) is HandleEdgesItem:
        return [("handle_state", state) for state in (item.state, *item.parents)]
    if type(item) is HandleStateItem and item.execution is not None:
        return [("execution", item.execution)]
    return []


_LISTS = (SubvaluesItem, ChildrenItem, UpstreamsItem, HandleEdgesItem)
_IDENTITIES: dict[type, int] = {JobItem: 2, TagItem: 3, HandledItem: 2}


# Fields


class _Field(NamedTuple):
    """How a field is written, and read again; both may be None for text that stays what it is."""

    write: Callable[[Any], Any] | None
    read: Callable[[Any], Any]


def _bytes_of_hex(size: int) -> _Field:
    def read(value: Any) -> bytes:
        try:
            found = bytes.fromhex(value)
        except (TypeError, ValueError):
            found = b""
        if len(found) == size and found.hex() == value:
            return found
        raise ValueError(f"{2 * size} hexadecimal digits")

    return _Field(bytes.hex, read)


def _read_text(value: Any) -> str:
    if type(value) is str:
        if not value.isascii():
            value.encode()  # Half of a surrogate pair is no character; raises a ValueError.
        return value
    raise ValueError("text")


def _read_integer(value: Any) -> int:
    if type(value) is int and -_LARGEST <= value < _LARGEST:
        return value
    raise ValueError("a whole number of at most 64 bits")


def _read_number(value: Any) -> int:
    if type(value) is int and 0 <= value < 1 << 32:
        return value
    raise ValueError("a number of at most 32 bits")


def _read_base64(value: Any) -> bytes:
    if type(value) is str:
        try:
            data = b64decode(value, validate=True)
        except ValueError:
            pass
        else:
            if b64encode(data).decode() == value:
                return data
    raise ValueError("base64")


def _read_uuid(value: Any) -> str:
    if type(value) is str and _UUID.fullmatch(value):
        return value
    raise ValueError("a UUID")


def _read_json(value: Any) -> str:
    try:
        json.loads(_read_text(value))
    except RecursionError:
        raise ValueError("JSON that is not nested so deeply") from None
    return str(value)


def _one_of(*words: Any) -> _Field:
    def read(value: Any) -> Any:
        if not any(value == word and type(value) is type(word) for word in words):
            raise ValueError(" or ".join(map(str, words)))
        return value

    return _Field(None, read)


def _optional(field: _Field) -> _Field:
    write, read = field
    return _Field(
        None if write is None else lambda value: None if value is None else write(value),
        lambda value: None if value is None else read(value),
    )


def _sequence(*fields: _Field, is_sorted: bool = True) -> _Field:
    """Return the field of a list of what one field says, or of lists of what several do."""

    def write(values: Any) -> Any:
        if len(fields) == 1:
            first = fields[0].write
            return list(values) if first is None else [first(value) for value in values]
        return [
            [
                value if field.write is None else field.write(value)
                for field, value in zip(fields, row)
            ]
            for row in values
        ]

    def read_row(row: Any) -> Any:
        if type(row) is not list or len(row) != len(fields):
            raise ValueError(f"lists of {len(fields)}")
        return tuple([read(value) for read, value in zip(readers, row)])

    readers = [field.read for field in fields]
    read_one = readers[0] if len(fields) == 1 else read_row

    def read(values: Any) -> Any:
        if type(values) is not list:
            raise ValueError("a list")
        found = tuple(map(read_one, values))
        if is_sorted and not (found and all(map(lt, found, found[1:]))):
            raise ValueError("a sorted list with something in it")
        return found

    return _Field(write, read)


_TEXT = _Field(None, _read_text)
_INTEGER = _Field(None, _read_integer)
_NUMBER = _Field(None, _read_number)
_DIGEST = _bytes_of_hex(KEY_SIZE)
_CALL = _bytes_of_hex(_ID_SIZE)
_DATA = _Field(lambda data: b64encode(data).decode(), _read_base64)
_EXECUTION = _Field(None, _read_uuid)
_JSON = _Field(None, _read_json)
_STATUS = _one_of(*STATUSES)

_FIELDS: dict[type, tuple[str, dict[str, _Field]]] = {
    TaskItem: (
        "task",
        {"digest": _DIGEST, "fullname": _TEXT, "version": _optional(_TEXT), "source": _TEXT},
    ),
    TaskSetItem: ("task_set", {"digest": _DIGEST, "tasks": _sequence(_DIGEST)}),
    ValueItem: (
        "value",
        {"digest": _DIGEST, "type": _TEXT, "path": _optional(_TEXT), "data": _DATA},
    ),
    SubvaluesItem: ("subvalues", {"value": _DIGEST, "inside": _sequence(_DIGEST)}),
    CallItem: (
        "call",
        {
            "id": _CALL,
            "task": _DIGEST,
            "task_set": _DIGEST,
            "single": _optional(_DIGEST),
            "result": _DIGEST,
            "computed": _INTEGER,
            "arguments": _sequence(_TEXT, _DIGEST, is_sorted=False),
        },
    ),
    ChildrenItem: ("children", {"call": _CALL, "children": _sequence(_NUMBER, _CALL)}),
    UpstreamsItem: ("upstreams", {"call": _CALL, "upstreams": _sequence(_NUMBER, _CALL)}),
    ExecutionItem: (
        "execution",
        {
            "uuid": _EXECUTION,
            "argv": _JSON,
            "started": _INTEGER,
            "ended": _optional(_INTEGER),
            "status": _STATUS,
            "host": _TEXT,
            "pid": _INTEGER,
            "heartbeat": _INTEGER,
        },
    ),
    JobItem: (
        "job",
        {
            "execution": _EXECUTION,
            "number": _NUMBER,
            "parent": _optional(_NUMBER),
            "task": _DIGEST,
            "call": _optional(_CALL),
            "status": _STATUS,
            "started": _INTEGER,
            "ended": _optional(_INTEGER),
            "attempts": _sequence(_NUMBER, _INTEGER, _INTEGER, _optional(_DIGEST), is_sorted=False),
        },
    ),
    PartItem: ("part", {"execution": _EXECUTION, "parent": _EXECUTION, "number": _NUMBER}),
    TagItem: ("tag", {"entity": _TEXT, "key": _TEXT, "value": _JSON}),
    HandledItem: ("handled", {"place": _DIGEST, "key": _DIGEST, "error": _DATA}),
    HandleStateItem: (
        "handle_state",
        {
            "digest": _DIGEST,
            "fullname": _TEXT,
            "origin": _one_of("new", "fork", "call", "merge"),
            "valid": _one_of(0, 1, None),
            "execution": _optional(_EXECUTION),
        },
    ),
    HandleEdgesItem: ("handle_edges", {"state": _DIGEST, "parents": _sequence(_DIGEST)}),
}
_READERS: dict[str, tuple[Any, list[str], list[Callable[[Any], Any]]]] = {
    kind: (cls, list(fields), [field.read for field in fields.values()])
    for cls, (kind, fields) in _FIELDS.items()
}
_ORDER = {cls: place for place, cls in enumerate(_FIELDS)}
_WRITERS = {
    cls: (kind, [(name, field.write) for name, field in fields.items()])
    for cls, (kind, fields) in _FIELDS.items()
}


# Lines

HEAD = "redun_lite_export"

_SUM_LENGTH = len(_BEFORE_SUM) + 2 * _SUM_SIZE + len(_BEHIND_SUM)
_decode = json.JSONDecoder().decode
_encode = json.JSONEncoder(separators=(",", ":")).encode


def line_of(item: Item) -> bytes:
    r"""Return the line of a record.

    >>> line_of(TagItem("0a1b", "stage", '"test"'))
    b'{"kind":"tag","entity":"0a1b","key":"stage","value":"\\"test\\"","sum":"36c4ed05c4ddc1f5"}\n'
    """
    kind, writers = _WRITERS[type(item)]
    fields: dict[str, Any] = {"kind": kind}
    for (name, write), value in zip(writers, item):
        fields[name] = value if write is None else write(value)
    return _with_sum(fields)


def _with_sum(fields: dict[str, Any]) -> bytes:
    body = _encode(fields)[:-1].encode()
    return b"".join((body, _BEFORE_SUM, _sum_of(body), _BEHIND_SUM))


def _sum_of(body: bytes) -> bytes:
    return blake2b(body, digest_size=_SUM_SIZE).hexdigest().encode()


def kind_of(item: Item) -> str:
    """Return what the line of a record calls it."""
    return _FIELDS[type(item)][0]


def lines_of(items: Iterable[Item]) -> Iterator[bytes]:
    """Yield the lines of a file: the first, those of the records, the last."""
    whole = blake2b(digest_size=KEY_SIZE)
    count = 0
    line = _with_sum({"kind": HEAD, "format": FORMAT})
    whole.update(line)
    yield line
    for item in items:
        line = line_of(item)
        whole.update(line)
        count += 1
        yield line
    yield _with_sum({"kind": "end", "records": count, "digest": whole.hexdigest()})


def read_items(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, Item]]:
    """Yield line number and record of each line between the first and the last.

    What is wrong with the file may come out at its end only.

    Parameters
    ----------
    lines
        The lines of a file.
    name
        What errors call it.

    Raises
    ------
    UsageError
        Something is wrong with the file; the message names the line.
    """
    number = 0
    last: tuple[Any, ...] = ()
    whole = blake2b(digest_size=KEY_SIZE)
    is_ended = False
    try:
        for number, line in enumerate(lines, 1):
            if is_ended:
                raise ValueError("there is something behind the last record")
            fields = _read_fields(line)
            kind = fields.pop("kind", None)
            if number == 1:
                _check_head(kind, fields)
            elif kind == "end":
                if fields != {"records": number - 2, "digest": whole.hexdigest()}:
                    raise ValueError(
                        f"{fields.get('records')} records were exported; these {number - 2} are "
                        "not the same"
                    )
                is_ended = True
            else:
                item = _read_item(kind, fields)
                place = (_ORDER[type(item)], *identity_of(item))
                if place <= last:
                    raise ValueError("it does not follow the record before in order")
                last = place
                _check(item)
                yield number, item
            whole.update(line)
    except ValueError as error:
        raise UsageError(f"{name}:{number}: {error}; nothing was imported") from None
    if not number:
        raise UsageError(f"{name}: it is empty, so no file of `export`; nothing was imported")
    if not is_ended:
        raise UsageError(
            f"{name}:{number}: it ends here, without the line that says how many records there "
            "are: it was cut off; nothing was imported"
        )


def _read_fields(line: bytes) -> dict[str, Any]:
    """Return what a line says, without its sum, which is compared."""
    if line[-1:] != b"\n":
        raise ValueError("the line is cut off")
    try:
        fields = _decode(line.decode("ascii"))
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON in ASCII") from None
    if type(fields) is not dict:
        raise ValueError("expected a JSON object")
    if fields.get("kind") == HEAD and fields.get("format") != FORMAT:
        return fields  # Another version may have other sums.
    end = len(line) - _SUM_LENGTH
    body = line[: max(end, 0)]
    if line[end:] != b"".join((_BEFORE_SUM, _sum_of(body), _BEHIND_SUM)):
        raise ValueError("the line is damaged: it does not end with a sum that fits")
    del fields["sum"]
    return fields


def _check_head(kind: Any, fields: dict[str, Any]) -> None:
    version = fields.get("format")
    if kind != HEAD or type(version) is not int:
        raise ValueError("not an export of redun_lite")
    if version > FORMAT:
        raise ValueError(
            f"the export is of format {version}, this program reads up to {FORMAT}; use a newer "
            "redun_lite"
        )
    if version != FORMAT:
        raise ValueError(f"there is no format {version}")


def _read_item(kind: Any, fields: dict[str, Any]) -> Item:
    if type(kind) is not str or kind not in _READERS:
        raise ValueError(f"unknown kind of record: {kind!r:.60}")
    cls, names, readers = _READERS[kind]
    if list(fields) != names:
        raise ValueError(f"expected the fields {', '.join(names)}")
    try:
        item: Item = cls(*[read(value) for read, value in zip(readers, fields.values())])
    except ValueError:
        for name, read, value in zip(names, readers, fields.values()):
            try:
                read(value)
            except ValueError as error:
                raise ValueError(f"{name} of the {kind}: expected {error}") from None
        raise
    return item


# Checks


def _check(item: Item) -> None:
    """Fail if a digest of a record is not that of what it has."""
    if type(item) is ValueItem:
        key = key_of_stored(item.type, item.data)
        if key is not None and key != item.digest:
            raise ValueError(f"wrong digest: the value has {key.hex()}")
    elif type(item) is CallItem:
        keys = [key for _, key in item.arguments]
        # One that failed may have arguments that could not be recorded.
        if keys and not is_key_of_call(item.id[:KEY_SIZE], item.task, keys):
            raise ValueError("wrong digest: the call has other arguments")
    elif type(item) is TaskSetItem:
        key = digest(b"".join(item.tasks))
        if key != item.digest:
            raise ValueError(f"wrong digest: the set of tasks has {key.hex()}")


def key_of_stored(type_name: str, data: bytes) -> bytes | None:
    """Return the key of a stored value, or None if that cannot be told without loading it.

    >>> import pickle
    >>> key_of_stored("builtins.list", pickle.dumps([1, 2])) == key_of([1, 2])
    True
    """
    if len(data) > MAX_CHECKED_SIZE:
        return None
    try:
        if type_name.startswith("builtins."):
            return key_of_plain(data)
        stored = load_safely(data)
        if not isinstance(stored, Composite):
            return None
        attributes = stored.attributes
        if stored.name.startswith("redun_lite._file:") and type_name.startswith("redun_lite."):
            return digest(tag("value", type_name) + attributes["hash"].encode())
        is_text = all(type(text) is str for text in attributes.values())
        if stored.name == "redun_lite._record:ErrorValue" and len(attributes) == 3 and is_text:
            return key_of(ErrorValue(**attributes))
    except Exception:  # It may be broken in any way, or of a class that is not to be imported.
        pass
    return None
