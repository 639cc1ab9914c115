"""Sharing what is recorded: by a file (`export`, `import`), or with another repository.

A file is checked as a whole before anything is written.  So one that is cut off or damaged changes
nothing, and no transaction lasts so long that executions beside it would wait.  What was checked
waits in a temporary file meanwhile, so that there is no end to how much it may be.

Nothing that is stored is loaded.  To take over records is to trust whoever made them all the same:
what they say is the result of a call is loaded when that call is made here.
"""

from __future__ import annotations

import marshal
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any, Callable

from ._absorb import BLOCK_BYTES, Absorber
from ._errors import RepositoryError, UsageError
from ._extract import Extract
from ._history import (
    CallRow,
    ExecutionRow,
    FileRow,
    JobRow,
    TaskRow,
    ValueRow,
    nothing_recorded,
    open_history,
)
from ._interchange import (
    ValueItem,
    identity_of,
    item_of,
    kind_of,
    lines_of,
    read_items,
    references_of,
)
from ._schema import VERSION
from ._sqlite import scratch_database

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from ._database import Database, Source
    from ._interchange import Item
    from ._value_store import StorePlace

_MANY = 20_000  # Rows of the check for references that are written together.

# Of the scratch database in which references are looked for.
CREATE_PRESENT = """
CREATE TABLE present (kind TEXT, identity, PRIMARY KEY (kind, identity)) WITHOUT ROWID
"""
CREATE_WANTED = "CREATE TABLE wanted (kind TEXT, identity, line INTEGER)"
INSERT_PRESENT = "INSERT INTO present VALUES (?, ?)"
INSERT_WANTED = "INSERT INTO wanted VALUES (?, ?, ?)"
SELECT_MISSING = """
SELECT line, kind, identity FROM wanted
WHERE NOT EXISTS (
    SELECT 1 FROM present WHERE present.kind = wanted.kind AND present.identity = wanted.identity
)
ORDER BY line LIMIT 1
"""


def export_lines(source: Source, ids: Iterable[str] = ()) -> Iterator[bytes]:
    """Yield the lines of an export.

    Parameters
    ----------
    source
        Where the repository is.
    ids
        What to export, as `log` takes it; if there are none, all.

    Raises
    ------
    UsageError
        An id stands for nothing, or for several records.
    """
    with ExitStack() as stack:
        database = stack.enter_context(opened(source, read_only=True))
        chosen = _chosen(source, list(ids))
        stack.enter_context(database.snapshot())
        extract = stack.enter_context(Extract(database))
        chosen(extract)
        yield from lines_of(extract.items())


def import_lines(
    lines: Iterable[bytes], name: str, source: Source, place: StorePlace | None = None
) -> dict[str, int]:
    """Check the lines of a file, and write what they have into a repository.

    Parameters
    ----------
    lines
        The lines.
    name
        What errors call the file.
    source
        Where the repository is; it is made if there is none.
    place
        Where its large values go, if not into the database.

    Returns
    -------
    dict
        How many records of each kind are new.

    Raises
    ------
    UsageError
        Something is wrong with the file; the message names the line.
    """
    import tempfile

    with tempfile.TemporaryFile() as spool:
        _check_and_keep(lines, name, spool)
        spool.seek(0)
        with opened(source) as database:
            absorber = Absorber(database, place)
            absorber.absorb(_kept(spool))
    return absorber.new


def copy_records(
    source: Source, target: Source, ids: Iterable[str] = (), place: StorePlace | None = None
) -> dict[str, int]:
    """Write what one repository has and another lacks into that.

    Parameters
    ----------
    source, target
        Where they are.
    ids
        What to copy, as `log` takes it; if there are none, all.
    place
        Where large values of the target go, if not into its database.

    Returns
    -------
    dict
        How many records of each kind are new.
    """
    if source.address == target.address:
        raise UsageError(f"{source.address} is the repository itself; name another one")
    with ExitStack() as stack:
        from_database = stack.enter_context(opened(source, read_only=True))
        chosen = _chosen(source, list(ids))  # Before the target is made, if it is not there.
        to_database = stack.enter_context(opened(target))
        reader = stack.enter_context(opened(target, read_only=True))
        stack.enter_context(from_database.snapshot())
        extract = stack.enter_context(Extract(from_database, reader))
        chosen(extract)
        absorber = Absorber(to_database, place)
        absorber.absorb(extract.items())
    return absorber.new


@contextmanager
def opened(source: Source, read_only: bool = False) -> Generator[Database, None, None]:
    """Open a repository of the present version; make it if it is to be written."""
    if not read_only:
        source.create()
    elif not source.exists():
        raise nothing_recorded(source.address)
    database = source.connect(read_only)
    try:
        version = source.version(database)
        if version == 0 and not read_only:
            source.migrate(database)
        elif version == 0:
            raise nothing_recorded(source.address)
        elif version != VERSION:
            raise RepositoryError(
                f"{source.address} has schema version {version}, this program writes {VERSION}; "
                "`db upgrade` brings it up to date"
            )
        yield database
    finally:
        database.close()


def _chosen(source: Source, ids: list[str]) -> Callable[[Extract], None]:
    """Return what makes an extract choose what ids stand for, or all."""
    if not ids:
        return lambda extract: extract.choose_all()
    executions: list[int] = []
    others: dict[str, list[int]] = {}
    history = open_history(source)
    if history is None:
        raise nothing_recorded(source.address, repr(ids[0]))
    kinds = {CallRow: "call", ValueRow: "value", TaskRow: "task"}
    with history:
        for text in ids:
            found = history.find(text)
            if isinstance(found, ExecutionRow):
                executions.append(found.id)
            elif isinstance(found, JobRow):
                executions.append(found.execution_id)
            elif isinstance(found, FileRow):
                others.setdefault("value", []).append(found.value.id)
            else:
                others.setdefault(kinds[type(found)], []).append(found.id)
    return lambda extract: extract.choose(executions, others)


def _check_and_keep(lines: Iterable[bytes], name: str, spool: IO[bytes]) -> None:
    """Write the records of a file to another, after checks; each has to refer to some in it."""
    scratch = scratch_database()
    try:
        scratch.execute(CREATE_PRESENT)
        scratch.execute(CREATE_WANTED)
        present: list[Any] = []
        wanted: dict[Any, int] = {}
        kept: list[Any] = []

        def write() -> None:
            scratch.execute_many(INSERT_PRESENT, present)
            scratch.execute_many(INSERT_WANTED, [(*key, line) for key, line in wanted.items()])
            data = marshal.dumps(kept)
            spool.write(len(data).to_bytes(8, "big"))
            spool.write(data)
            for notes in (present, wanted, kept):
                notes.clear()

        size = 0
        for line, item in read_items(lines, name):
            kind = kind_of(item)
            identity = identity_of(item)
            if len(identity) == 1:
                present.append((kind, *identity))
            for reference in references_of(item):
                wanted.setdefault(reference, line)
            kept.append((kind, tuple(item)))
            size += len(item.data) if isinstance(item, ValueItem) else 0
            if len(kept) > _MANY or size > BLOCK_BYTES:
                write()
                size = 0
        write()
        for line, kind, identity in scratch.rows(SELECT_MISSING):
            shown = identity.hex()[:12] if isinstance(identity, bytes) else identity
            raise UsageError(
                f"{name}:{line}: {kind.replace('_', ' ')} {shown} is referred to, but not in the "
                "file; nothing was imported"
            )
    finally:
        scratch.close()


def _kept(spool: IO[bytes]) -> Iterator[Item]:
    """Yield the records that `_check_and_keep` wrote."""
    while size := spool.read(8):  # `marshal.load` would read by the byte.
        for kind, fields in marshal.loads(spool.read(int.from_bytes(size, "big"))):
            yield item_of(kind, fields)
