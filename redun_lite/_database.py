"""The database of a repository: what the rooms above ask of SQLite and of servers alike.

All that is read and written goes through `Database`, in SQL that SQLite 3.24 and PostgreSQL both
understand, with `?` for each parameter by position.  So there is one set of statements, and a kind
of database is a small class: how to connect, how to insert many rows, what its errors mean.

Rules for that SQL: `ON CONFLICT` instead of `OR IGNORE` and `OR REPLACE`; no row twice in one
statement that updates on conflict; `coalesce` instead of `ifnull`; no `max` of two values; no `IS`
with a parameter; every selected column that is no aggregate in GROUP BY; `LIKE` only as a coarse
filter, since it differs in case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Callable, Protocol, TypeVar, runtime_checkable

from ._errors import UsageError
from ._plugins import BACKENDS, named_class

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ._config import Config

T = TypeVar("T")

Row = tuple[Any, ...]
Rows = Sequence[Row]

ALL = 1 << 62
"""A LIMIT that is none."""

_BLOCK_SIZES = (1, 8, 64, 512)


class Database(Protocol):
    """A connection to the database of a repository, used by one thread at a time.

    Errors of the database come as `RepositoryError`, in words that say what one can do.

    Attributes
    ----------
    address
        Its path, or its URI without secrets: how messages call it.
    """

    address: str

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """Return all rows that a query finds."""
        ...

    def iterate(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """Yield the rows that a query finds, however many, without keeping them."""
        ...

    def rows_in(self, sql: str, ids: Sequence[Any], *parameters: Any) -> Iterator[Any]:
        """Yield what a query with `IN ({ids})` finds for any number of ids.

        Marks of other parameters come before the ids.
        """
        ...

    def execute(self, sql: str, *parameters: Any) -> int:
        """Run a statement, and return how many rows it changed."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        """Run a statement once for each row of parameters."""
        ...

    def insert(self, sql: str, rows: Rows, conflict: str = "") -> None:
        """Insert many rows.

        Parameters
        ----------
        sql
            `INSERT INTO table (column, …)`, without VALUES.
        conflict
            An `ON CONFLICT` clause.
        """
        ...

    def insert_new(
        self, sql: str, unique: str, select: str, rows: Rows
    ) -> Iterator[tuple[Any, ...]]:
        """Insert the rows that are not there yet; yield the identity and the id of some others.

        Most rows are new, so they are not looked for before: only where a block inserts fewer rows
        than it has are those selected that were there.  These come with their ids last; among them
        may be rows that have just been inserted.

        Parameters
        ----------
        sql
            As for `insert`.
        unique
            The columns that identify a row.
        select
            A query for identities and ids, `IN ({ids})` by the second column of the rows.
        """
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context in which all is written or nothing, and by nobody else meanwhile."""
        ...

    def in_transaction(self, work: Callable[[], T]) -> T:
        """Do some work in a transaction, and return what it returns.

        It may be called again, after all that it wrote was taken back: where a connection can be
        lost, work that must not fail for that is done by this.
        """
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Return a context in which all is read as of one moment."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


@runtime_checkable
class Upkeep(Database, Protocol):
    """A database that can be looked after from here; a server has programs of its own for that."""

    def table_sizes(self) -> dict[str, int]:
        """Return about how many bytes each table takes, with its indexes; {} if nobody knows."""
        ...

    def problems(self) -> Iterator[str]:
        """Yield what is broken in the database as such, whatever is in it."""
        ...

    def vacuum(self) -> None:
        """Write the database anew, without the space that nothing takes any more."""
        ...

    def backup(self, path: str) -> None:
        """Write a copy to a file that is not there yet, while others may go on writing."""
        ...


class Source(Protocol):
    """Where a database is: a file, or one on a server.

    Attributes
    ----------
    address
        As that of `Database`.
    is_in_memory
        Whether each connection has a database of its own.
    """

    address: str
    is_in_memory: bool

    def exists(self) -> bool:
        """Say whether there is a database to read."""
        ...

    def create(self) -> None:
        """Make the database if it does not exist, without tables."""
        ...

    def connect(self, read_only: bool = False) -> Database:
        """Open the database, as it is."""
        ...

    def migrate(self, database: Database, target: int | None = None) -> None:
        """Bring its tables to the present version, or to the one asked for, which may be lower.

        Raises
        ------
        RepositoryError
            That cannot be, or is not to be done without being asked for.
        """
        ...

    def version(self, database: Database) -> int:
        """Return the version of its tables, 0 if there are none.

        Raises
        ------
        NotARepository, NewerRepository
            Another program made it, or a newer version of this one.
        """
        ...


def database_source(config: Config) -> Source:
    """Return where the database is that `[backend] db_uri` names.

    The scheme of the URI names a class, whose `from_config(config)` makes the instance.

    Raises
    ------
    ConfigError
        No such kind of database is known.
    """
    try:
        kind = named_class(BACKENDS, "kind of database", config.db_scheme())
    except UsageError as error:
        raise config.error(str(error), "backend", "db_uri") from error.__cause__
    source: Source = kind.from_config(config)
    return source


def blocks_of(ids: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield ids in blocks of a few sizes only, so that few statements have to be prepared.

    The last id of the last block is repeated to fill it up.

    >>> [len(block) for block in blocks_of(range(600))]
    [512, 512]
    >>> list(blocks_of([1, 2]))
    [[1, 2, 2, 2, 2, 2, 2, 2]]
    """
    largest = _BLOCK_SIZES[-1]
    for start in range(0, len(ids), largest):
        block = list(ids[start : start + largest])
        size = next(size for size in _BLOCK_SIZES if size >= len(block))
        yield block + [block[-1]] * (size - len(block))


def marks(count: int) -> str:
    """Return so many marks of parameters.

    >>> marks(3)
    '?,?,?'
    """
    return ",".join("?" * count)
