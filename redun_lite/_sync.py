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

from ._absorb import Absorber
from ._collector import collector
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
    REFERRED_TO,
    block_of,
    identities_of,
    kind_of,
    lines_of,
    read_blocks,
    references_of,
)
from ._schema import VERSION
from ._sqlite import scratch_database

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from ._database import Database, Source
    from ._value_store import StorePlace

_PLAIN = 2  # Version of marshal without references: to look for them takes longer than all else.

_MOST_IN_MEMORY = 250_000  # Records that are remembered in memory: about 25 MB.

# Of the scratch database in which references are looked for.
CREATE_PRESENT = "CREATE TABLE present_{kind} (identity PRIMARY KEY) WITHOUT ROWID"
INSERT_PRESENT = "INSERT INTO present_{kind} (identity)"
SELECT_PRESENT = "SELECT identity FROM present_{kind} WHERE identity IN ({{ids}})"


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
        stack.enter_context(collector.patience())
        database = stack.enter_context(opened(source, read_only=True))
        chosen = _chosen(source, list(ids))
        stack.enter_context(database.snapshot())
        extract = stack.enter_context(Extract(database))
        chosen(extract)
        yield from lines_of(extract.blocks())


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

    with collector.patience(), tempfile.TemporaryFile() as spool:
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
        stack.enter_context(collector.patience())
        from_database = stack.enter_context(opened(source, read_only=True))
        chosen = _chosen(source, list(ids))  # Before the target is made, if it is not there.
        to_database = stack.enter_context(opened(target))
        reader = stack.enter_context(opened(target, read_only=True))
        stack.enter_context(from_database.snapshot())
        extract = stack.enter_context(Extract(from_database, reader))
        chosen(extract)
        absorber = Absorber(to_database, place)
        absorber.absorb(extract.blocks())
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
    with _Present() as present:
        for number, block in read_blocks(lines, name):
            missing = present.missing(block)
            if missing is not None:
                place, kind, identity = missing
                shown = identity.hex()[:12] if isinstance(identity, bytes) else identity
                raise UsageError(
                    f"{name}:{number + place}: {kind.replace('_', ' ')} {shown} is referred to, "
                    "but not in the file; nothing was imported"
                )
            present.add(block)
            data = marshal.dumps((kind_of(block), list(map(tuple, block))), _PLAIN)
            spool.write(len(data).to_bytes(8, "big"))
            spool.write(data)


def _kept(spool: IO[bytes]) -> Iterator[list[Any]]:
    """Yield the records that `_check_and_keep` wrote."""
    while size := spool.read(8):  # `marshal.load` would read by the byte.
        yield block_of(*marshal.loads(spool.read(int.from_bytes(size, "big"))))


class _Present:
    """What has been read of a file, to look for what is referred to.

    A record refers to earlier ones only, so that can be done as the file is read.  As many records
    as most files have are remembered in memory, where that takes least time; what comes after those
    in a scratch database.
    """

    def __init__(self) -> None:
        self._known: dict[str, set[Any]] = {kind: set() for kind in REFERRED_TO}
        self._room = _MOST_IN_MEMORY
        self._scratch = scratch_database()
        for kind in REFERRED_TO:
            self._scratch.execute(CREATE_PRESENT.format(kind=kind))

    def __enter__(self) -> _Present:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    def add(self, block: list[Any]) -> None:
        """Remember the records of a block."""
        kind = kind_of(block)
        if kind not in REFERRED_TO:
            return
        identities = identities_of(block)
        if len(identities) <= self._room:
            self._known[kind].update(identities)
            self._room -= len(identities)
        else:
            rows = [(identity,) for identity in identities]
            self._scratch.insert(INSERT_PRESENT.format(kind=kind), rows)

    def missing(self, block: list[Any]) -> tuple[int, str, Any] | None:
        """Return the first reference to what is missing: whose it is in the block, to what."""
        wanted: dict[str, set[Any]] = {}
        for kind, identities in references_of(block):
            wanted.setdefault(kind, set()).update(identities)
        for kind, identities in wanted.items():
            others = identities - self._known[kind] - {None}
            found = self._scratch.rows_in(SELECT_PRESENT.format(kind=kind), list(others))
            wanted[kind] = others.difference(identity for (identity,) in found)
        if not any(wanted.values()):
            return None
        return next(
            (place, kind, identity)
            for place, item in enumerate(block)
            for kind, identities in references_of([item])
            for identity in identities
            if identity in wanted[kind]
        )
