"""What tags are on: which of them are on something that is recorded.

A tag names a record by the id that people use (`entity`), since it may be added before the record
is written: an execution by its UUID, a job by the start of that and its number, a task or value by
its digest, a call by its key and outcome.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._database import Database

_BLOCK = 500
_UUID, _DIGEST, _CALL = 36, 40, 56  # Characters of ids.

EXECUTIONS = "SELECT uuid FROM execution"
DIGESTS = "SELECT digest FROM {table} WHERE digest IN ({{ids}})"
CALLS = "SELECT key, outcome FROM call WHERE key IN ({ids})"


def on_nothing(database: Database, tags: Iterable[Any], unknown: bool) -> Iterator[Any]:
    """Yield the tags that are on nothing recorded.

    Parameters
    ----------
    tags
        Rows; the second column is the entity.
    unknown
        Whether to yield also those on what looks like no id at all.
    """
    uuids = {uuid for (uuid,) in database.iterate(EXECUTIONS)}
    starts = {uuid[:8] for uuid in uuids}
    rows = iter(tags)
    while block := list(islice(rows, _BLOCK)):
        known = _digests_among(database, {row[1] for row in block})
        for row in block:
            entity = row[1]
            if len(entity) in (_DIGEST, _CALL):
                is_there = entity in known
            elif len(entity) == _UUID:
                is_there = entity in uuids
            elif entity[8:9] == "-" and entity[9:].isdigit():
                is_there = entity[:8] in starts
            else:
                is_there = not unknown
            if not is_there:
                yield row


def _digests_among(database: Database, entities: set[str]) -> set[str]:
    """Return those of some entities that are the digest of a record."""
    digests = [_bytes(entity) for entity in entities if len(entity) == _DIGEST]
    keys = [_bytes(entity)[:20] for entity in entities if len(entity) == _CALL]
    found = {
        digest.hex()
        for table in ("value", "task")
        for (digest,) in database.rows_in(DIGESTS.format(table=table), digests)
    }
    for key, outcome in database.rows_in(CALLS, keys):
        found.add(key.hex() + outcome.to_bytes(8, "big", signed=True).hex())
    return found


def _bytes(entity: str) -> bytes:
    try:
        return bytes.fromhex(entity)
    except ValueError:
        return b""
