"""The records of a repository as lines of JSON, which other repositories can take up.

Records name each other by digest, executions by UUID and jobs by number, never by a database's row
ids.  What refers to records of its own kind (a value to the values inside, a call to those below)
has its references in records of another kind, so that a file is sorted and still no line refers to
a later one: any record's line is a function of the record, and a set of records is one file only.
As a call may have a million below, such references come in lists of bounded length.

A line ends with a sum over itself, so that damage is found where it is.  The last line has the
number of records and a digest over all lines, so that it is noticed if any are missing.

Records go through here in *blocks*: lists of records of one kind, some thousand at a time.  What
has to be done for each record costs Python calls; so a field is written, read and checked for all
records of a block at once.  If anything is wrong with a block, its lines are read one by one, as
blocks of one, to say which it is.

What a reader can compute is compared too: the key of a call and of a set of tasks; that of a value
as far as it can be told without running what is stored (`_safe_load`).
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64, b2a_base64
from functools import partial
from hashlib import blake2b
from itertools import chain, groupby, islice
from json.encoder import encode_basestring_ascii
from operator import itemgetter, lt, methodcaller
from struct import Struct
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from ._digest import KEY_SIZE, digest
from ._encoders import tag
from ._errors import UsageError
from ._hash import key_of
from ._recompute import is_key_of_call, key_of_plain
from ._record import ErrorValue
from ._safe_load import Composite, load_safely
from ._status import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FORMAT = 1
"""Version of the format, in the first line."""

MAX_CHECKED_SIZE = 100_000
"""Bytes of the longest value whose key is computed: a tenth of a second's work."""

BLOCK_RECORDS = 1_024
"""Records of one block: what stays near the processor while all is done with it."""

BLOCK_BYTES = 8_000_000
"""Bytes of lines, or of values, after which a block ends, however few they are."""

_SUM_SIZE = 8
_REFERENCE_BYTES = 100  # What a reference counts as.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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


_CALL_ID = Struct(f">{KEY_SIZE}sq")

call_id = _CALL_ID.pack
"""Returns what identifies a call: its key and outcome, as `CallRow.digest` has them."""

key_and_outcome = _CALL_ID.unpack
"""Returns the key and the outcome of what identifies a call."""


def kind_of(block: list[Any]) -> str:
    """Return what the lines of the records of a block call them."""
    return _FIELDS[type(block[0])][0]


def block_of(kind: str, rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Return records from the name of their kind and the fields of each."""
    return list(map(partial(tuple.__new__, _CLASSES[kind]), rows))


def in_blocks(items: Iterable[Item]) -> Iterator[list[Any]]:
    """Yield records in blocks, so many as may be in memory together."""
    block: list[Any] = []
    size = 0
    for item in items:
        is_full = len(block) >= BLOCK_RECORDS or size >= BLOCK_BYTES
        if block and (is_full or type(item) is not type(block[0])):
            yield block
            block, size = [], 0
        block.append(item)
        if type(item) is ValueItem:
            size += len(item.data)
        elif isinstance(item, _LISTS):
            size += _REFERENCE_BYTES * len(item[1])
    if block:
        yield block


def size_of(block: list[Any]) -> int:
    """Return about how many bytes the values or references of a block take."""
    if type(block[0]) is ValueItem:
        return sum(len(item.data) for item in block)
    if isinstance(block[0], _LISTS):
        return _REFERENCE_BYTES * sum(len(item[1]) for item in block)
    return 0


def identities_of(block: list[Any]) -> list[Any]:
    """Return of each record what no other of its kind has, and by which they are sorted."""
    return list(map(_IDENTITIES.get(type(block[0]), itemgetter(0)), block))


def references_of(block: list[Any]) -> Iterator[tuple[str, Iterable[Any]]]:
    """Yield the records that those of a block refer to: the kind, and what identifies each.

    Some may come several times, and `None` where there is none.
    """
    cls = type(block[0])
    columns: list[Any] = list(zip(*block))
    if cls is CallItem:
        _, tasks, task_sets, singles, results, _, arguments = columns
        yield "value", (value for _, value in chain.from_iterable(arguments))
        yield from (("value", singles), ("value", results))
        yield from (("task", tasks), ("task_set", task_sets))
    elif cls is JobItem:
        yield from (("execution", columns[0]), ("task", columns[3]), ("call", columns[4]))
        yield "value", (attempt[-1] for attempt in chain.from_iterable(columns[-1]))
    elif cls is ChildrenItem or cls is UpstreamsItem:
        yield "call", columns[0]
        yield "call", (call for _, call in chain.from_iterable(columns[1]))
    elif cls is TaskSetItem:
        yield "task", chain.from_iterable(columns[1])
    elif cls is SubvaluesItem:
        yield "value", chain(columns[0], *columns[1])
    elif cls is PartItem:
        yield "execution", chain(columns[0], columns[1])
    elif cls is HandleEdgesItem:
        yield "handle_state", chain(columns[0], *columns[1])
    elif cls is HandleStateItem:
        yield "execution", columns[-1]


REFERRED_TO = ("task", "task_set", "value", "call", "execution", "handle_state")
"""Kinds of records that others refer to; what identifies one is its first field."""


def _first_of_list(item: Any) -> tuple[Any, Any]:
    return item[0], item[1][0]


_LISTS = (SubvaluesItem, ChildrenItem, UpstreamsItem, HandleEdgesItem)
_IDENTITIES: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys(_LISTS, _first_of_list),
    JobItem: itemgetter(0, 1),
    TagItem: itemgetter(0, 1, 2),
    HandledItem: itemgetter(0, 1),
}


# Fields


class _Field(NamedTuple):
    """How a field of the records of a block is written, and read again.

    Attributes
    ----------
    write
        Makes texts of JSON from the values of the field.
    read
        Makes the values from what the JSON says; fails if any is not as it should be, with what
        is expected as the error's text.
    """

    write: Callable[[Sequence[Any]], Iterable[str]]
    read: Callable[[Sequence[Any]], Sequence[Any]]


def _have_types(values: Sequence[Any], *types: type) -> bool:
    return set(map(type, values)).issubset(types)


def _hexadecimal(size: int) -> _Field:
    """Return the field of digests of so many bytes."""

    def write(values: Sequence[bytes]) -> list[str]:
        return [f'"{value.hex()}"' for value in values]

    def read(values: Sequence[Any]) -> list[bytes]:
        if _have_types(values, str) and set(map(len, values)) <= {2 * size}:
            text = "".join(values)
            try:
                data = bytes.fromhex(text)
            except ValueError:
                data = b""
            if data.hex() == text:
                return [data[start : start + size] for start in range(0, len(data), size)]
        raise ValueError(f"{2 * size} hexadecimal digits")

    return _Field(write, read)


def _write_text(values: Sequence[str]) -> Iterable[str]:
    return map(encode_basestring_ascii, values)


def _read_text(values: Sequence[Any]) -> Sequence[str]:
    if not _have_types(values, str):
        raise ValueError("text")
    text = "".join(values)
    if not text.isascii():
        text.encode()  # Half of a surrogate pair is no character; raises a ValueError.
    return values


def _whole_number(least: int, beyond: int, expected: str) -> _Field:
    def read(values: Sequence[Any]) -> Sequence[int]:
        if _have_types(values, int) and (
            not values or (least <= min(values) and max(values) < beyond)
        ):
            return values
        raise ValueError(expected)

    return _Field(lambda values: map(str, values), read)


def _write_base64(values: Sequence[bytes]) -> list[str]:
    return [f'"{b2a_base64(value, newline=False).decode()}"' for value in values]


def _read_base64(values: Sequence[Any]) -> list[bytes]:
    if _have_types(values, str):
        try:
            found = list(map(a2b_base64, values))
        except ValueError:
            found = []
        # What is no base64 is passed over in reading, so all is written again to be compared.
        if [b2a_base64(data, newline=False).decode() for data in found] == list(values):
            return found
    raise ValueError("base64")


def _read_uuids(values: Sequence[Any]) -> Sequence[str]:
    if _have_types(values, str) and all(map(_UUID.fullmatch, set(values))):
        return values
    raise ValueError("a UUID")


def _read_json(values: Sequence[Any]) -> Sequence[str]:
    for text in _read_text(values):
        try:
            json.loads(text)
        except RecursionError:
            raise ValueError("JSON that is not nested so deeply") from None
    return values


def _one_of(*words: Any) -> _Field:
    types = set(map(type, words))

    def write(values: Sequence[Any]) -> list[str]:
        texts = {word: json.dumps(word) for word in set(values)}
        return [texts[value] for value in values]

    def read(values: Sequence[Any]) -> Sequence[Any]:
        # True equals 1, and a list cannot be looked up.
        if _have_types(values, *types) and set(values).issubset(words):
            return values
        raise ValueError(" or ".join(map(str, words)))

    return _Field(write, read)


def _optional(field: _Field) -> _Field:
    """Return a field that may be None as well."""

    def write(values: Sequence[Any]) -> Iterable[str]:
        if None not in values:
            return field.write(values)
        texts = iter(field.write([value for value in values if value is not None]))
        return ["null" if value is None else next(texts) for value in values]

    def read(values: Sequence[Any]) -> Sequence[Any]:
        if None not in values:
            return field.read(values)
        found = iter(field.read([value for value in values if value is not None]))
        return [None if value is None else next(found) for value in values]

    return _Field(write, read)


def _sequence(*fields: _Field, is_sorted: bool = True) -> _Field:
    """Return the field of a list of what one field says, or of lists of what several do.

    As always, what all the lists of a block have in them is written or read together.
    """

    def write(values: Sequence[Any]) -> list[str]:
        parts = list(chain.from_iterable(values))
        if len(fields) == 1:
            texts = iter(list(fields[0].write(parts)))
        else:
            columns = [field.write(column) for field, column in zip(fields, zip(*parts))]
            texts = iter([f"[{','.join(row)}]" for row in zip(*columns)])
        return [f"[{','.join(islice(texts, len(value)))}]" for value in values]

    def read_parts(parts: list[Any]) -> Sequence[Any]:
        if len(fields) == 1:
            return fields[0].read(parts)
        if not (_have_types(parts, list) and set(map(len, parts)) <= {len(fields)}):
            raise ValueError(f"lists of {len(fields)}")
        return list(zip(*[field.read(column) for field, column in zip(fields, zip(*parts))]))

    def read(values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if not _have_types(values, list):
            raise ValueError("a list")
        parts = iter(read_parts(list(chain.from_iterable(values))))
        found = [tuple(islice(parts, len(value))) for value in values]
        if is_sorted and not all(part and _ascends(part) for part in found):
            raise ValueError("a sorted list with something in it")
        return found

    return _Field(write, read)


def _ascends(values: Sequence[Any]) -> bool:
    return all(map(lt, values, values[1:]))


_TEXT = _Field(_write_text, _read_text)
_INTEGER = _whole_number(-(1 << 63), 1 << 63, "a whole number of at most 64 bits")
_NUMBER = _whole_number(0, 1 << 32, "a number of at most 32 bits")
_DIGEST = _hexadecimal(KEY_SIZE)
_CALL = _hexadecimal(_CALL_ID.size)
_DATA = _Field(_write_base64, _read_base64)
_EXECUTION = _Field(_write_text, _read_uuids)
_JSON = _Field(_write_text, _read_json)
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
_CLASSES: dict[str, Any] = {kind: cls for cls, (kind, _) in _FIELDS.items()}
_ORDER = {cls: place for place, cls in enumerate(_FIELDS)}


# Lines

HEAD = "redun_lite_export"
END = "end"

_BEFORE_SUM = ',"sum":"'
_BEHIND_SUM = '"}\n'
_SUM_LENGTH = len(_BEFORE_SUM) + 2 * _SUM_SIZE + len(_BEHIND_SUM)
_is_whole = methodcaller("endswith", b"\n")
_starts_with_kind = methodcaller("startswith", b'{"kind":"')
_decode = json.JSONDecoder().decode
_TEMPLATES = {
    cls: "".join((f'{{"kind":"{kind}"', *(f',"{name}":%s' for name in fields)))
    for cls, (kind, fields) in _FIELDS.items()
}
_NAMES = {kind: ("kind", *fields, "sum") for kind, fields in _FIELDS.values()}


def lines_of_block(block: list[Any]) -> list[bytes]:
    r"""Return the lines of the records of a block.

    >>> lines_of_block([TagItem("0a1b", "stage", '"test"')])
    [b'{"kind":"tag","entity":"0a1b","key":"stage","value":"\\"test\\"","sum":"36c4ed05c4ddc1f5"}\n']
    """
    cls = type(block[0])
    fields = _FIELDS[cls][1].values()
    columns = [field.write(column) for field, column in zip(fields, zip(*block))]
    return list(map(_with_sum, map(_TEMPLATES[cls].__mod__, zip(*columns))))


def _with_sum(body: str) -> bytes:
    """Return the line of a JSON object whose last bracket is missing."""
    return f"{body}{_BEFORE_SUM}{_sum_of(body.encode())}{_BEHIND_SUM}".encode()


def _sum_of(body: bytes) -> str:
    return blake2b(body, digest_size=_SUM_SIZE).hexdigest()


def line_of(fields: dict[str, Any]) -> bytes:
    """Return a line that says so, with its sum."""
    return _with_sum(json.dumps(fields, separators=(",", ":"))[:-1])


def lines_of(blocks: Iterable[list[Any]]) -> Iterator[bytes]:
    """Yield the lines of a file: the first, those of the records, the last."""
    whole = blake2b(digest_size=KEY_SIZE)
    count = 0
    head = line_of({"kind": HEAD, "format": FORMAT})
    whole.update(head)
    yield head
    for block in blocks:
        lines = lines_of_block(block)
        whole.update(b"".join(lines))
        count += len(lines)
        yield from lines
    yield line_of({"kind": END, "records": count, "digest": whole.hexdigest()})


def read_blocks(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, list[Any]]]:
    """Yield the records of a file in blocks, with the line number of the first of each.

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
    reader = _Reader()
    try:
        for together in _line_blocks(lines):
            try:
                blocks = reader.read(together)
            except ValueError:
                for line in together:
                    reader.read([line])
                raise
            yield from blocks
    except ValueError as error:
        place = f"{name}:{reader.count + 1}"
        raise UsageError(f"{place}: {error}; nothing was imported") from None
    if not reader.count:
        raise UsageError(f"{name}: it is empty, so no file of `export`; nothing was imported")
    if not reader.is_ended:
        raise UsageError(
            f"{name}:{reader.count}: it ends here, without the line that says how many records "
            "there are: it was cut off; nothing was imported"
        )


def _line_blocks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield so many lines as are read together; the first one comes alone."""
    iterator = iter(lines)
    block = list(islice(iterator, 1))
    size = BLOCK_BYTES
    for line in iterator:
        if size >= BLOCK_BYTES or len(block) >= BLOCK_RECORDS:
            yield block
            block, size = [], 0
        block.append(line)
        size += len(line)
    if block:
        yield block


class _Reader:
    """Reads lines in their order.

    Attributes
    ----------
    count
        How many lines have been read.
    is_ended
        Whether the last of them was the last line of a file.
    """

    def __init__(self) -> None:
        self.count = 0
        self.is_ended = False
        self._last: Any = (-1, None)  # The place of the last record in the order of a file.
        self._whole = blake2b(digest_size=KEY_SIZE)

    def read(self, lines: list[bytes]) -> list[tuple[int, list[Any]]]:
        """Return the records of the next lines in blocks, with the line number of each first one.

        Raises
        ------
        ValueError
            Something is wrong with one of the lines.  It is then as if none had been read.
        """
        if self.is_ended:
            raise ValueError("there is something behind the last record")
        if self.count == 0:
            _check_head(lines[0])
            rows = []
        else:
            rows = _rows_of(lines)
        records = lines
        end: Any = None
        if rows and rows[-1]["kind"] == END:
            records = lines[:-1]
            end = rows.pop()
        last = self._last
        found = []
        number = self.count + 1
        for kind, group in groupby(rows, key=itemgetter("kind")):
            block = _read_block(kind, list(group))
            last = _check_order(block, last)
            if type(block[0]) in _CHECKS:
                _CHECKS[type(block[0])](block)
            found.append((number, block))
            number += len(block)
        whole = self._whole.copy()
        whole.update(b"".join(records))
        if end is not None:
            _check_end(end, number - 2, whole.hexdigest())
            self.is_ended = True
        self._last, self._whole = last, whole
        self.count += len(lines)
        return found


def _parse(lines: list[bytes]) -> list[dict[str, Any]]:
    """Return what lines say.

    All are parsed in one go.  One by one they would say the same: no text in JSON goes beyond the
    end of a line, and if a list did, the next line would be an object in it, but no field has any.
    So each line has whole objects, and as many objects as lines means one for each.
    """
    if not all(map(_is_whole, lines)):
        raise ValueError("the line is cut off")
    try:
        rows = _decode(f"[{b','.join(lines).decode('ascii')}]")
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON in ASCII") from None
    if len(rows) != len(lines):
        raise ValueError("not a line of JSON in ASCII")
    if not _have_types(rows, dict):
        raise ValueError("expected a JSON object")
    return list(rows)


def _rows_of(lines: list[bytes]) -> list[dict[str, Any]]:
    """Return what lines say, if that fits their sums."""
    rows = _parse(lines)
    sums = [_sum_of(line[:-_SUM_LENGTH]) for line in lines]
    if [row.get("sum") for row in rows] != sums:
        raise ValueError("the line is damaged: it does not end with a sum that fits")
    if not all(map(_starts_with_kind, lines)):
        raise ValueError("expected the kind of a record first")
    return rows


def _check_head(line: bytes) -> None:
    (fields,) = _parse([line])
    version: Any = fields.get("format")
    is_head = fields.get("kind") == HEAD and type(version) is int
    if not is_head or version == FORMAT:  # Another version may have other sums.
        _rows_of([line])
    if not is_head:
        raise ValueError("not an export of redun_lite")
    if version > FORMAT:
        raise ValueError(
            f"the export is of format {version}, this program reads up to {FORMAT}; use a newer "
            "redun_lite"
        )
    if version != FORMAT:
        raise ValueError(f"there is no format {version}")


def _check_end(fields: dict[str, Any], count: int, digest: str) -> None:
    del fields["kind"], fields["sum"]
    if fields != {"records": count, "digest": digest}:
        raise ValueError(
            f"{fields.get('records')} records were exported; these {count} are not the same"
        )


def _read_block(kind: Any, rows: list[dict[str, Any]]) -> list[Any]:
    """Return the records of lines that are all of one kind."""
    if type(kind) is not str or kind not in _CLASSES:
        raise ValueError(f"unknown kind of record: {kind!r:.60}")
    fields = _FIELDS[_CLASSES[kind]][1]
    if set(map(tuple, rows)) != {_NAMES[kind]}:
        raise ValueError(f"expected the fields {', '.join(fields)}")
    _, *columns, _ = zip(*map(dict.values, rows))
    found = []
    for (name, field), values in zip(fields.items(), columns):
        try:
            found.append(field.read(values))
        except ValueError as error:
            raise ValueError(f"{name} of the {kind}: expected {error}") from None
    return block_of(kind, zip(*found))


# Checks


def _check_order(block: list[Any], last: Any) -> Any:
    """Fail if records are not sorted, or do not follow the last before; return the new last."""
    order = _ORDER[type(block[0])]
    identities = identities_of(block)
    if (order, identities[0]) <= last or not _ascends(identities):
        raise ValueError("it does not follow the record before in order")
    return order, identities[-1]


def _check_values(block: list[ValueItem]) -> None:
    for known, type_name, _, data in block:
        key = key_of_stored(type_name, data)
        if key is not None and key != known:
            raise ValueError(f"wrong digest: the value has {key.hex()}")


def _check_calls(block: list[CallItem]) -> None:
    for identity, task, *_, arguments in block:
        keys = [key for _, key in arguments]
        # One that failed may have arguments that could not be recorded.
        if keys and not is_key_of_call(identity[:KEY_SIZE], task, keys):
            raise ValueError("wrong digest: the call has other arguments")


def _check_task_sets(block: list[TaskSetItem]) -> None:
    for known, tasks in block:
        key = digest(b"".join(tasks))
        if key != known:
            raise ValueError(f"wrong digest: the set of tasks has {key.hex()}")


# Fail if a digest of a record is not that of what it has.
_CHECKS: dict[type, Callable[[list[Any]], None]] = {
    ValueItem: _check_values,
    CallItem: _check_calls,
    TaskSetItem: _check_task_sets,
}


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
