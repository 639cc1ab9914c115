"""SQLite, as a repository uses it: how its file is made and opened, and statements over many rows.

Python's sqlite3 releases the interpreter lock around every step of a statement, and waits a switch
interval for it while other threads compute.  So a statement here inserts hundreds of rows in one
step instead of stepping once per row (`executemany`).

What its errors mean to a person is said in one place, `explain`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from . import _schema
from ._database import Row, Rows, blocks_of, marks
from ._errors import (
    NO_ROOM,
    DamagedRepository,
    NewerRepository,
    NotARepository,
    RepositoryError,
    RepositoryNotOpened,
    RepositoryWriteError,
)
from ._migration import migrate_tables

if TYPE_CHECKING:
    from ._config import Config
    from ._database import Database, Source

T = TypeVar("T")

MEMORY = ":memory:"

BUSY_TIMEOUT = 120.0
"""Seconds to wait for another process that is writing."""

TABLE_SIZES = """
SELECT sqlite_master.tbl_name, sum(dbstat.pgsize)
FROM dbstat JOIN sqlite_master ON sqlite_master.name = dbstat.name
WHERE dbstat.aggregate = TRUE GROUP BY sqlite_master.tbl_name
"""

_MAX_VARIABLES = 32_000 if sqlite3.sqlite_version_info >= (3, 32) else 999

_STEP_MILLISECONDS = 200

_PRAGMAS = (
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 50000",
    "PRAGMA cache_size = -131072",
    "PRAGMA temp_store = MEMORY",
)


def storable(text: str) -> str:
    r"""Return a text as SQLite takes it, with what is no character escaped.

    Names of files may hold bytes that are no UTF-8.

    >>> storable(b"caf\xe9.txt".decode("utf-8", "surrogateescape"))
    'caf\\udce9.txt'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _storable(parameter: Any) -> Any:
    """Return what a statement is to find as it has been stored."""
    return storable(parameter) if isinstance(parameter, str) else parameter


# Opening


class SqliteFile:
    """Where a SQLite database is.

    Parameters
    ----------
    path
        Its path, or ":memory:", where each connection is a database of its own.
    automigrate
        Whether an older database is brought up to date without being asked for.
    """

    def __init__(self, path: str, automigrate: bool = True) -> None:
        self.address = path
        self._automigrate = automigrate
        self.is_in_memory = path == MEMORY

    @classmethod
    def from_config(cls, config: Config) -> SqliteFile:
        """Return what `[backend] db_uri` names."""
        return cls(config.db_path(), config.backend.automigrate)

    def exists(self) -> bool:
        if self.is_in_memory:
            return False
        try:
            os.stat(self.address)
        except PermissionError:
            return True  # Nobody can tell; whoever connects will be told why.
        except (OSError, ValueError):
            return False
        return True

    def create(self) -> None:
        if not self.is_in_memory:
            create(self.address)

    def connect(self, read_only: bool = False) -> SqliteDatabase:
        return SqliteDatabase(connect(self.address, read_only), self.address)

    def version(self, database: Database) -> int:
        assert isinstance(database, SqliteDatabase)
        return check_version(database.connection, self.address)

    def migrate(self, database: Database, target: int | None = None) -> None:
        version = self.version(database)
        if target is None:
            target = _schema.VERSION
            if version and version != target and not self._automigrate:
                raise RepositoryError(
                    f"{self.address} has schema version {version}, this program needs {target}; "
                    "`db upgrade` brings it there ([backend] automigrate = true would, too)"
                )
        if version != target:
            assert isinstance(database, SqliteDatabase)
            migrate(database, target)


def source_at(where: str | Source) -> Source:
    """Return where a database is, if that is not a `Source` already; a text is a path."""
    return SqliteFile(where) if isinstance(where, str) else where


def connect(path: str, read_only: bool = False) -> sqlite3.Connection:
    """Open the database of a repository, as it is.

    Raises
    ------
    RepositoryError
        It cannot be opened, or is not a repository; the message says why.
    """
    try:
        if path == MEMORY:
            return _connect(path)
        if not read_only:
            return _connect(f"{_file_uri(path)}?mode=rw")
        try:
            return _connect(f"{_file_uri(path)}?mode=ro")
        except sqlite3.OperationalError:
            if os.path.exists(f"{path}-wal") or not os.path.isfile(path):
                raise
            # In a folder that cannot be written SQLite cannot make the files by which readers
            # and writers share a log; where there is no log, there is nothing to share.
            return _connect(f"{_file_uri(path)}?immutable=1")
    except sqlite3.Error as error:
        raise explain(error, path) from None


def _connect(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address,
        uri=address not in (MEMORY, ""),
        isolation_level=None,
        timeout=BUSY_TIMEOUT,
        check_same_thread=False,
        cached_statements=200,
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        connection.execute("SELECT count(*) FROM sqlite_master")  # Reads the file, or says why not.
    except BaseException:
        connection.close()
        raise
    return connection


def _file_uri(path: str) -> str:
    from urllib.parse import quote

    return "file:" + quote(os.fsencode(os.path.abspath(path)))


def scratch_database() -> SqliteDatabase:
    """Return an empty database of this connection alone, in a file if it gets large.

    Nothing that it holds is to outlast it, so all is one transaction that never ends.
    """
    connection = _connect("")
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("BEGIN")
    return SqliteDatabase(connection, "a temporary file")


def explain(error: sqlite3.Error, path: str) -> RepositoryError:
    """Return the error that says what SQLite's means for the database at `path`."""
    text = str(error)
    if os.path.isdir(path):
        return RepositoryNotOpened(f"cannot open {path}: {_why_not_openable(path)}")
    if "not a database" in text:
        return NotARepository(
            f"{path} is not a redun_lite database ({text}); move it away, or choose another path "
            "for the repository"
        )
    if "malformed" in text:
        return DamagedRepository(
            f"{path} is damaged ({text}); bring back a copy of it, or move it away to begin anew"
        )
    if "readonly" in text or "full" in text or "disk I/O" in text:
        return RepositoryWriteError(
            f"cannot write to {path}: {text}; make it writable or free some space, then run "
            "again to go on from what was recorded"
        )
    if "locked" in text:
        return RepositoryWriteError(
            f"{path} is locked: another process has been writing to it for more than "
            f"{BUSY_TIMEOUT:g} s; wait until it has ended, or end it, then run again to go on from "
            "what was recorded"
        )
    if "closed database" in text:
        return RepositoryError(f"{path} is closed: nothing can be read or recorded any more")
    if "unable to open" in text:
        return RepositoryNotOpened(f"cannot open {path}: {_why_not_openable(path)}")
    return RepositoryError(f"{path}: {text}")


def _why_not_openable(path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        return "it is a folder"
    if not os.path.isdir(folder):
        return f"the folder {folder} does not exist"
    if not os.access(folder, os.X_OK):
        return f"no permission to look into {folder}"
    if not os.path.exists(path):
        return "it does not exist; run `init`, or run a workflow first"
    return "no permission to read and write it"


class Whereabouts:
    """Knows whether the file that was opened at a path is still what is there.

    Whatever is written into a file that has been deleted is lost when it is closed, and SQLite says
    nothing: to it, the file is as good as any.

    Parameters
    ----------
    path
        Path of a database that has just been opened, or ":memory:".
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = self._find()

    def check(self) -> None:
        """Fail if the file is no longer there, or is another one.

        Raises
        ------
        RepositoryWriteError
            That is so; the message says which.
        """
        file = self._find()
        if file != self._file:
            became = "replaced" if file else "deleted or moved"
            raise RepositoryWriteError(
                f"{self._path} was {became} while it was in use: what was recorded since is "
                "lost; run again, and leave it in place meanwhile"
            )

    def _find(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


_creating = threading.Lock()


def create(path: str) -> None:
    """Make the database file, private to the user, and its folder, if they do not exist.

    One that exists is not opened.  To close it again would let go of all locks that this process
    has on it, those of open connections too, whose log the next process then would take for left
    behind, and delete.
    """
    try:
        folder = os.path.dirname(os.path.abspath(path))
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with _creating:  # Whoever finds the file there must not lock it before it is closed.
            if not os.path.exists(path):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        if os.path.exists(path):
            return  # Another process was faster; or whoever connects will say what is wrong.
        kind = RepositoryWriteError if error.errno in NO_ROOM else RepositoryNotOpened
        raise kind(f"cannot make the database {path}: {error.strerror}") from None


def check_version(connection: sqlite3.Connection, path: str) -> int:
    """Return the schema version of a database, 0 if it is empty.

    Raises
    ------
    NotARepository, NewerRepository
        Another program made it, or a newer version of this one.
    """
    try:
        # Tables first: another process may be making them, and marks the database with them.
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise explain(error, path) from None
    if application != _schema.APPLICATION_ID:
        if not tables and application == 0:
            return 0
        owner = "redun" if "redun_version" in tables else "another program"
        raise NotARepository(
            f"{path} is a database of {owner}, not of redun_lite; choose another path for the "
            "repository"
        )
    if version > _schema.VERSION:
        raise NewerRepository(
            f"{path} has schema version {version}, this program knows up to "
            f"{_schema.VERSION}; use a newer redun_lite"
        )
    return int(version)


def migrate(database: SqliteDatabase, target: int) -> None:
    """Bring a database to a schema version, in one transaction."""
    connection = database.connection
    path = database.address
    try:
        if path != MEMORY:
            _switch_to_wal(connection)
    except sqlite3.Error as error:
        raise explain(error, path) from None
    with database.transaction():
        migrate_tables(database, check_version(connection, path), target)
        database.rows(f"PRAGMA application_id = {_schema.APPLICATION_ID}")
        database.rows(f"PRAGMA user_version = {target}")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Turn on write-ahead logging, which the busy timeout does not cover."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class SqliteDatabase:
    """One connection to a SQLite database.

    Parameters
    ----------
    connection
        The connection, which commits each statement by itself.
    path
        The database's path.
    """

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.connection = connection
        self.address = path
        self._whereabouts = Whereabouts(path)

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except UnicodeEncodeError:
            return self.rows(sql, *map(_storable, parameters))
        except sqlite3.Error as error:
            raise explain(error, self.address) from None

    def iterate(self, sql: str, *parameters: Any) -> Iterator[Any]:
        try:
            cursor = self.connection.execute(sql, parameters)
        except UnicodeEncodeError:
            cursor = self.connection.execute(sql, tuple(map(_storable, parameters)))
        except sqlite3.Error as error:
            raise explain(error, self.address) from None
        try:
            yield from cursor
        except sqlite3.Error as error:
            raise explain(error, self.address) from None

    def rows_in(self, sql: str, ids: Sequence[Any], *parameters: Any) -> Iterator[Any]:
        for block in blocks_of(ids):
            yield from self.rows(sql.format(ids=marks(len(block))), *parameters, *block)

    def execute(self, sql: str, *parameters: Any) -> int:
        try:
            self._check()
            return self.connection.execute(sql, parameters).rowcount
        except sqlite3.Error as error:
            raise explain(error, self.address) from None

    def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        try:
            self._check()
            self.connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise explain(error, self.address) from None

    def insert(self, sql: str, rows: Rows, conflict: str = "") -> None:
        for _ in self._insert_blocks(sql, rows, conflict):
            pass

    def insert_new(
        self, sql: str, unique: str, select: str, rows: Rows
    ) -> Iterator[tuple[Any, ...]]:
        conflict = f"ON CONFLICT ({unique}) DO NOTHING"
        for block, inserted in self._insert_blocks(sql, rows, conflict):
            if inserted < len(block):
                yield from self.rows_in(select, [row[1] for row in block])

    def _insert_blocks(self, sql: str, rows: Rows, conflict: str) -> Iterator[tuple[Rows, int]]:
        """Insert rows, many in one step; yield them, and how many it did."""
        if not rows:
            return
        width = len(rows[0])
        row = f"({marks(width)})"
        start = 0
        for size in (512, 64, 8, 1):
            if size * width > _MAX_VARIABLES:
                continue
            statement = f"{sql} VALUES {','.join([row] * size)} {conflict}"
            while len(rows) - start >= size:
                block = rows[start : start + size]
                yield block, self.execute(statement, *chain.from_iterable(block))
                start += size

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        self._begin()
        with self._ending("COMMIT"):
            yield

    def _begin(self) -> None:
        """Begin to write, and wait for others in steps: within one, Python sees no Ctrl-C."""
        deadline = time.monotonic() + BUSY_TIMEOUT
        step = min(_STEP_MILLISECONDS, round(BUSY_TIMEOUT * 1000))
        self.rows(f"PRAGMA busy_timeout = {step}")
        try:
            self._check()
            while True:
                try:
                    self.connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error) or time.monotonic() > deadline:
                        raise
        except sqlite3.Error as error:
            raise explain(error, self.address) from None
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT * 1000)}")

    def in_transaction(self, work: Callable[[], T]) -> T:
        with self.transaction():
            return work()

    @contextmanager
    def snapshot(self) -> Generator[None, None, None]:
        self.rows("BEGIN")
        with self._ending("ROLLBACK"):
            yield

    @contextmanager
    def _ending(self, how: str) -> Generator[None, None, None]:
        """End a transaction so, or roll it back if anything goes wrong."""
        try:
            yield
            self.rows(how)
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    # Upkeep

    def table_sizes(self) -> dict[str, int]:
        try:
            return dict(self.connection.execute(TABLE_SIZES))
        except sqlite3.OperationalError:
            return {}  # Not every SQLite is built with the table that has them.

    def problems(self) -> Iterator[str]:
        for (text,) in self.iterate("PRAGMA integrity_check"):
            if text != "ok":
                yield text

    def vacuum(self) -> None:
        self.execute("VACUUM")
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def backup(self, path: str) -> None:
        try:
            target = sqlite3.connect(path)
            try:
                # In one step: after each, SQLite would begin anew if others have written.
                self.connection.backup(target)
            finally:
                target.close()
        except sqlite3.Error as error:
            raise explain(error, path) from None

    def _check(self) -> None:
        if not self.connection.in_transaction:
            self._whereabouts.check()

    def close(self) -> None:
        self.connection.close()
