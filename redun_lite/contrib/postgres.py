"""A repository on a PostgreSQL server, which many machines can write to (extra `postgres`).

The tables are those of SQLite, from the one description in `_schema`, and so are the statements:
only their marks are written in another way.  So psycopg alone is enough; there is nothing that a
toolkit for composing SQL would be asked for.

*Who writes* holds an advisory lock until the end of the transaction.  Ids are given inside it, as
in SQLite, and no two transactions can get into each other's way.

*A lost connection* is made again, and what it was lost in is done again, whole: a read, or what
`in_transaction` is given.  Was it lost while the server was committing, nobody knows whether it
did.  So each transaction leaves its number in `redun_lite_commit`, and is looked for there before
it is done again; under the lock, since an abandoned backend may still be about to commit.

*Many rows* come by COPY in binary form into a temporary table, and from there into the right one
(for 4,000 values 9 µs a row, of which 2 here; rows of arrays 32 and 10, VALUES 16 and 4).

*Tables are made or changed only if someone asks for it*, by `init` or `db upgrade`: others use the
same database, perhaps with another version of this program.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import time
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8BinaryDumper, NumericBinaryLoader
from psycopg.types.string import StrBinaryDumper, StrDumperUnknown

from .. import _schema
from .._database import marks
from .._errors import (
    NewerRepository,
    NotARepository,
    RepositoryError,
    RepositoryNotOpened,
    RepositoryWriteError,
    UsageError,
)
from .._migration import migrate_tables

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from .._config import Config
    from .._database import Database, Row, Rows

    Connection = psycopg.Connection[tuple[Any, ...]]
    Cursor = psycopg.Cursor[tuple[Any, ...]]

T = TypeVar("T")

START_PATIENCE = 2.0
"""Seconds of waiting for a server that cannot be reached at start: most likely it is the wrong
address, and nothing has been done yet that would be lost."""

CONNECT_TIMEOUT = 10
"""Seconds in which a server has to answer."""

_JITTER = 0.25  # How far, as a part of it, a delay may be off in both directions.
_ID_BLOCK = 10_000  # Ids that one statement looks for.
_FEW = 32  # Up to so many rows are inserted without a temporary table.
_MANY_BYTES = 32 << 20  # After so many bytes of rows they are inserted, and a new block begins.
_FETCH = 2_000  # Rows that a cursor on the server hands over at once.
_OLD_COMMIT_DAYS = 7

# A server or a network that goes away without a word is noticed within a minute, not in two hours.
_KEEPALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}


# Statements

LOCK = f"SELECT pg_advisory_xact_lock({_schema.APPLICATION_ID})"
BEGIN = f"BEGIN; {LOCK}"
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
COMMIT = """
INSERT INTO redun_lite_commit (writer, number) VALUES ({writer}, {number})
ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at;
COMMIT
"""
# Nearly all that is read is looked for by an index that is in memory, and takes less time than it
# would to compile a plan.
SETTINGS = "SET client_min_messages = warning; SET random_page_cost = 1.1; SET jit = off"
IS_COMMITTED = "SELECT 1 FROM redun_lite_commit WHERE writer = ? AND number = ?"
FORGET_COMMITS = f"""
DELETE FROM redun_lite_commit
WHERE writer = {{writer}} OR at < now() - interval '{_OLD_COMMIT_DAYS} days'
"""
CREATE_OWN = """
CREATE TABLE IF NOT EXISTS redun_lite_version (
    application BIGINT PRIMARY KEY,
    version BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS redun_lite_commit (
    writer BIGINT PRIMARY KEY,
    number BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
SELECT_VERSION = "SELECT version FROM redun_lite_version WHERE application = ?"
SET_VERSION = """
INSERT INTO redun_lite_version (application, version) VALUES (?, ?)
ON CONFLICT (application) DO UPDATE SET version = excluded.version
"""
IDENTITIES = """
SELECT table_name FROM information_schema.columns
WHERE table_schema = current_schema() AND column_name = 'id' AND is_identity = 'YES'
"""
ADVANCE_IDENTITY = """
SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest(max(id), 1), max(id) IS NOT NULL)
FROM {table}
"""
STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS
    AS SELECT {columns} FROM {table} WITH NO DATA;
TRUNCATE {stage}
"""


# Where


class Retries(NamedTuple):
    """How often, and after how long, what failed for want of a connection is done again.

    Attributes
    ----------
    times
        How often.
    backoff, backoff_max
        Seconds before the first time, doubled for each further one; and the most.
    """

    times: int = 3
    backoff: float = 1.0
    backoff_max: float = 60.0

    def delays(self, patience: float | None = None) -> Iterator[float]:
        """Yield the seconds before each retry, with some jitter: others have lost theirs, too.

        Parameters
        ----------
        patience
            The most seconds in all.

        Examples
        --------
        >>> about = [10, 20, 30, 30]
        >>> delays = [*Retries(4, backoff=10, backoff_max=30).delays()]
        >>> len(delays), all(abs(delay - mean) <= mean / 4 for delay, mean in zip(delays, about))
        (4, True)
        """
        waited = 0.0
        for number in range(self.times):
            delay = min(self.backoff_max, self.backoff * 2.0**number)
            delay = min(self.backoff_max, delay * random.uniform(1 - _JITTER, 1 + _JITTER))
            waited += delay
            if patience is not None and waited > patience:
                return
            yield delay


class PostgresServer:
    """Where a database on a server is.

    Parameters
    ----------
    parameters
        What libpq needs to connect, by its names.
    login
        Where the user name and the password come from, for messages.
    retries
        What to do when the connection is lost.
    automigrate
        Whether tables are made and changed without being asked for.
    """

    is_in_memory = False

    def __init__(
        self,
        parameters: Mapping[str, Any],
        login: str = "the connection parameters",
        retries: Retries = Retries(),  # noqa: B008
        automigrate: bool = False,
    ) -> None:
        self.parameters: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT,
            "application_name": "redun_lite",
            **_KEEPALIVE,
            **parameters,
        }
        self.login = login
        self.retries = retries
        self._automigrate = automigrate
        place = str(parameters.get("host") or "")
        if ":" in place and "," not in place:
            place = f"[{place}]"
        if parameters.get("port"):
            place += f":{parameters['port']}"
        self.address = f"postgresql://{place}/{parameters.get('dbname') or ''}"

    @classmethod
    def from_config(cls, config: Config) -> PostgresServer:
        """Return what the section `[backend]` describes.

        Raises
        ------
        ConfigError
            The URI is none that can be used, or the secret cannot be had.
        """
        backend = config.backend
        if backend.db_aws_secret_name is not None:
            try:
                parameters = _from_secret(backend.db_aws_secret_name, config.scheduler.boto_config)
            except UsageError as error:
                raise config.error(str(error), "backend", "db_aws_secret_name") from None
            login = f"the AWS secret {backend.db_aws_secret_name}"
        else:
            try:
                parameters = _from_uri(backend.db_uri)
            except UsageError as error:
                raise config.error(str(error), "backend", "db_uri") from None
            for name, variable in (
                ("user", backend.db_username_env),
                ("password", backend.db_password_env),
            ):
                if os.environ.get(variable):
                    parameters[name] = os.environ[variable]
            login = f"{backend.db_username_env} and {backend.db_password_env}"
        retries = Retries(
            backend.db_retries, backend.db_retries_backoff, backend.db_retries_backoff_max
        )
        return cls(parameters, login, retries, backend.automigrate)

    def exists(self) -> bool:
        """Say that there is a database, for only the server knows."""
        return True

    def create(self) -> None:
        """Do nothing: databases are made by who looks after the server."""

    def connect(self, read_only: bool = False) -> PostgresDatabase:
        return PostgresDatabase(self, read_only)

    def open(self, read_only: bool) -> Connection:
        """Make a connection that commits each statement by itself."""
        connection: Connection = psycopg.connect(
            **self.parameters, autocommit=True, cursor_factory=psycopg.RawCursor
        )
        connection.server_cursor_factory = psycopg.RawServerCursor
        adapters = connection.adapters
        adapters.register_dumper(int, Int8BinaryDumper)
        adapters.register_dumper(bool, _FlagDumper)
        adapters.register_dumper(str, _TextBinaryDumper)
        adapters.register_dumper(str, _TextDumper)  # The last one is taken where both will do.
        adapters.register_loader("numeric", _NumberLoader)
        try:
            _command(connection, SETTINGS)
            if read_only:
                _command(connection, "SET default_transaction_read_only = on")
        except BaseException:
            connection.close()
            raise
        return connection

    def version(self, database: Database) -> int:
        tables = {name for (name,) in database.rows(TABLES)}
        if "redun_lite_version" in tables:
            for (version,) in database.rows(SELECT_VERSION, _schema.APPLICATION_ID):
                if version > _schema.VERSION:
                    raise NewerRepository(
                        f"{self.address} has schema version {version}, this program knows up to "
                        f"{_schema.VERSION}; use a newer redun_lite"
                    )
                return int(version)
        taken = sorted(tables & _our_tables())
        if "redun_version" in tables or taken:
            owner = "redun" if "redun_version" in tables else "another program"
            raise NotARepository(
                f"{self.address} is a database of {owner}, not of redun_lite"
                + (f" (it has a table {taken[0]})" if taken else "")
                + "; choose another one for the repository"
            )
        return 0

    def migrate(self, database: Database, target: int | None = None) -> None:
        assert isinstance(database, PostgresDatabase)
        version = self.version(database)
        if target is None:
            target = _schema.VERSION
            if version != target and not self._automigrate:
                found = "has no tables yet; `db upgrade` makes them"
                if version:
                    found = (
                        f"has schema version {version}, this program needs {target}; "
                        "`db upgrade` brings it there"
                    )
                raise RepositoryError(f"{self.address} {found}")
        if version != target:
            database.migrate(target, lambda: self.version(database))


def _from_uri(uri: str) -> dict[str, Any]:
    """Return libpq's parameters for a URI, which holds no login."""
    scheme, _, rest = uri.partition("://")
    if scheme not in ("postgresql", "postgresql+psycopg"):
        raise UsageError(f"expected postgresql://HOST:PORT/DATABASE, got a {scheme} URI")
    try:
        parameters = dict(conninfo_to_dict(f"postgresql://{rest}"))
    except psycopg.Error as error:
        text = str(error).strip()
        raise UsageError(f"expected postgresql://HOST:PORT/DATABASE: {text}") from None
    for port in str(parameters.get("port") or "").split(","):
        if port and not port.isdigit():
            raise UsageError(f"expected postgresql://HOST:PORT/DATABASE, got the port {port!r}")
    if not parameters.get("dbname"):
        raise UsageError("expected postgresql://HOST:PORT/DATABASE, got no database")
    return parameters


_SECRET_FIELDS = {"username": "user", "password": "password", "host": "host"}
_SECRET_OPTIONS = {"port": "port", "dbname": "dbname"}


def _from_secret(name: str, boto_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return libpq's parameters from an AWS secret in the form that RDS gives them."""
    import importlib

    try:
        boto3: Any = importlib.import_module("boto3")
    except ImportError:
        raise UsageError(
            "to read an AWS secret takes boto3, which is not installed: pip install boto3"
        ) from None
    try:
        options: dict[str, Any] = {}
        if boto_config:
            options["config"] = importlib.import_module("botocore.config").Config(**boto_config)
        text = boto3.client("secretsmanager", **options).get_secret_value(SecretId=name)[
            "SecretString"
        ]
    except Exception as error:  # Each service raises its own.
        raise UsageError(f"cannot read the AWS secret {name}: {error}") from None
    try:
        secret = json.loads(text)
        parameters = {ours: secret[theirs] for theirs, ours in _SECRET_FIELDS.items()}
        engine = str(secret.get("engine", "postgres"))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"expected in the AWS secret {name} a JSON object with username, password, host, "
            "port and dbname"
        ) from None
    if not engine.startswith(("postgres", "aurora-postgres")):
        raise UsageError(f"the AWS secret {name} is of a database of {engine}, not PostgreSQL")
    for theirs, ours in _SECRET_OPTIONS.items():
        if secret.get(theirs):
            parameters[ours] = secret[theirs]
    parameters.setdefault("dbname", "postgres")
    return parameters


# Values on their way


class _FlagDumper(Int8BinaryDumper):
    """A truth value, which is an integer in the tables."""

    def dump(self, obj: Any) -> Any:
        return super().dump(int(obj))


class _TextDumper(StrDumperUnknown):
    """A text of which PostgreSQL is to find out the type, with what it cannot hold escaped."""

    def dump(self, obj: str) -> Any:
        return _storable(obj)


class _TextBinaryDumper(StrBinaryDumper):
    """The same, where the type is known."""

    def dump(self, obj: str) -> Any:
        return _storable(obj)


def _storable(text: str) -> bytes:
    r"""Return a text as PostgreSQL takes it: without NUL, and what is no character escaped.

    >>> _storable("a\0b")
    b'a\\x00b'
    """
    return text.encode("utf-8", "backslashreplace").replace(b"\0", b"\\x00")


class _NumberLoader(NumericBinaryLoader):
    """What a sum of integers comes to is an integer here, whatever its size."""

    def load(self, data: Any) -> Any:
        number = super().load(data)
        return int(number) if number == number.to_integral_value() else float(number)


# Statements, as PostgreSQL has them

_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|(\?)")


@lru_cache(maxsize=1_000)
def statement(sql: str) -> bytes:
    """Return a statement with marks as PostgreSQL has them.

    >>> statement("SELECT '?' WHERE a = ? AND b = ?")
    b"SELECT '?' WHERE a = $1 AND b = $2"
    """
    count = 0

    def number(match: re.Match[str]) -> str:
        nonlocal count
        if match[1] is None:
            return match[0]
        count += 1
        return f"${count}"

    return _TOKEN.sub(number, sql).encode()


def definition(sql: str) -> str:
    """Return the statement that defines in PostgreSQL what one for SQLite does.

    >>> print(definition("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB) WITHOUT ROWID"))
    CREATE TABLE t (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, data BYTEA)
    """
    for pattern, text in (
        (r"--[^\n]*", ""),
        (r"\bid INTEGER PRIMARY KEY", "id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
        (r"\bINTEGER\b", "BIGINT"),
        (r"\bBLOB\b", "BYTEA"),
        (r"\bTEXT\b", 'TEXT COLLATE "C"'),
        (r"\s*\bWITHOUT ROWID\b", ""),
    ):
        sql = re.sub(pattern, text, sql)
    return sql


@lru_cache(maxsize=1)
def _our_tables() -> frozenset[str]:
    return frozenset(re.findall(r"CREATE TABLE (\w+)", "".join(_schema.MIGRATIONS)))


@lru_cache(maxsize=100)
def _target(sql: str) -> tuple[str, str]:
    """Return the table and the columns of an INSERT without VALUES."""
    match = re.match(r"\s*INSERT\s+INTO\s+(\w+)\s*\(([^)]*)\)\s*$", sql)
    assert match is not None, sql
    return match[1], " ".join(match[2].split())


# Errors


class _Lost(RepositoryError):
    """The connection was lost in the middle of what cannot be done again in part."""


_PASSING = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleSessionTimeout,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.TooManyConnections,
)


def _is_passing(error: psycopg.Error, connection: Connection | None) -> bool:
    """Say whether what failed may go well on another connection, or at another time."""
    if isinstance(error, _PASSING) or (error.sqlstate or "").startswith("08"):
        return True
    if not isinstance(error, psycopg.OperationalError):
        return connection is not None and connection.closed
    if connection is None or connection.closed or connection.broken:
        return _refusal(error) is None
    return False


def _refusal(error: psycopg.Error) -> str | None:
    """Return what a server says that can be reached, but lets nobody in; else None."""
    _, fatal, text = str(error).partition("FATAL: ")
    for passing in ("starting up", "shutting down", "recovery", "too many", "remaining connection"):
        if passing in text:
            return None
    return text.strip().splitlines()[0] if fatal and "terminating" not in text else None


# The database


class PostgresDatabase:
    """One connection to a database on a server, made again when it is lost.

    Parameters
    ----------
    server
        Where it is.
    read_only
        Whether nothing is to be written.
    """

    def __init__(self, server: PostgresServer, read_only: bool = False) -> None:
        self.address = server.address
        self._server = server
        self._read_only = read_only
        self._is_closed = False
        self._is_inside = False  # Of a transaction or a snapshot.
        self._writer = secrets.randbits(62)
        self._transactions = 0
        self._defines = False  # Whether statements are those of `_schema`, for SQLite.
        self._types: dict[str, list[int]] = {}
        self._connection: Connection | None = None
        self._side: _Side | None = None
        self._repeated(lambda _: None, START_PATIENCE)

    # Reading

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        return self._read(lambda connection: _fetch(connection, sql, parameters))

    def iterate(self, sql: str, *parameters: Any) -> Iterator[Any]:
        if self._is_inside:
            yield from self._stream(self._live(), sql, parameters)
            return
        if self._side is None:
            self._side = _Side(self._server, self._read_only)
        side = self._side
        try:
            with side.reading() as connection:
                yield from self._stream(connection, sql, parameters)
        except psycopg.Error as error:
            raise self._explain(error, side.connection) from None

    def _stream(self, connection: Connection, sql: str, parameters: Row) -> Iterator[Any]:
        """Yield rows by a cursor on the server, which lives as long as the transaction."""
        try:
            with connection.cursor(f"rows_{secrets.token_hex(8)}", binary=True) as cursor:
                cursor.itersize = _FETCH
                cursor.execute(statement(sql), parameters)
                yield from cursor
        except psycopg.Error as error:
            raise self._explain(error, connection) from None

    def rows_in(self, sql: str, ids: Sequence[Any], *parameters: Any) -> Iterator[Any]:
        query = sql.replace("IN ({ids})", "= ANY (?)").format(ids="SELECT unnest(?)")
        for start in range(0, len(ids), _ID_BLOCK):
            yield from self.rows(query, *parameters, list(ids[start : start + _ID_BLOCK]))

    # Writing

    def execute(self, sql: str, *parameters: Any) -> int:
        if self._defines:
            sql = definition(sql)
        return self._write(
            lambda connection: connection.execute(statement(sql), parameters).rowcount
        )

    def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        rows = list(rows)
        if rows:
            self._write(lambda connection: connection.cursor().executemany(statement(sql), rows))

    def insert(self, sql: str, rows: Rows, conflict: str = "") -> None:
        def work(connection: Connection) -> None:
            for block in _blocks(rows):
                self._insert(connection, sql, block, conflict)

        if rows:
            self._write(work)

    def insert_new(
        self, sql: str, unique: str, select: str, rows: Rows
    ) -> Iterator[tuple[Any, ...]]:
        conflict = f"ON CONFLICT ({unique}) DO NOTHING"
        for block in _blocks(rows):
            insert = partial(self._insert, sql=sql, rows=block, conflict=conflict)
            inserted = self._write(insert)
            if inserted < len(block):
                yield from self.rows_in(select, [row[1] for row in block])

    def _insert(self, connection: Connection, sql: str, rows: Rows, conflict: str) -> int:
        """Insert rows, and return how many it did."""
        if len(rows) <= _FEW:
            places = ",".join([f"({marks(len(rows[0]))})"] * len(rows))
            insert = statement(f"{sql} VALUES {places} {conflict}")
            return connection.execute(insert, list(chain.from_iterable(rows))).rowcount
        table, columns = _target(sql)
        types = self._types.get(sql)
        if types is None:
            found = connection.execute(f"SELECT {columns} FROM {table} LIMIT 0".encode())
            types = self._types[sql] = [column.type_code for column in found.description or ()]
        stage = table
        if conflict:
            stage = f"new_{table}_{list(self._types).index(sql)}"
            _command(connection, STAGE.format(stage=stage, columns=columns, table=table))
        cursor = connection.cursor()
        with cursor.copy(f"COPY {stage} ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        if not conflict:
            return len(rows)
        moved = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {stage} {conflict}"
        return connection.execute(moved.encode()).rowcount

    # Transactions

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """Return a context in which all is written or nothing, and by nobody else meanwhile.

        If the connection is lost, nothing was written, and the error says so: what is to be done
        again is given to `in_transaction`.
        """
        self._transactions += 1
        self._repeated(lambda connection: _command(connection, BEGIN))
        self._is_inside = True
        try:
            try:
                yield
            except BaseException:
                self._roll_back()
                raise
            try:
                self._commit()
            except _Lost:
                self._is_inside = False
                if not self._repeated(self._is_committed):
                    raise
        finally:
            self._is_inside = False

    def in_transaction(self, work: Callable[[], T]) -> T:
        if self._is_inside:
            return work()
        result: list[T] = []  # Of what may have been committed.
        self._transactions += 1

        def attempt(connection: Connection) -> T:
            _command(connection, BEGIN)
            self._is_inside = True
            try:
                if result and self._is_committed(connection):
                    self._roll_back()
                    return result[0]
                result[:] = [work()]
                self._commit()
                return result[0]
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._is_inside = False

        return self._repeated(attempt)

    @contextmanager
    def snapshot(self) -> Generator[None, None, None]:
        self._repeated(lambda connection: _command(connection, SNAPSHOT))
        self._is_inside = True
        try:
            yield
        finally:
            self._roll_back()
            self._is_inside = False

    def _commit(self) -> None:
        connection = self._live()
        try:
            _command(connection, COMMIT.format(writer=self._writer, number=self._transactions))
        except psycopg.Error as error:
            raise self._explain(error, connection) from None

    def _is_committed(self, connection: Connection) -> bool:
        """Say whether the present transaction is one whose commit was not heard of.

        Under the lock: the server may not know yet that it has been left, and still commit.
        """
        if not self._is_inside:
            _command(connection, BEGIN)
        try:
            return bool(_fetch(connection, IS_COMMITTED, (self._writer, self._transactions)))
        finally:
            if not self._is_inside:
                self._roll_back()

    def _roll_back(self) -> None:
        connection = self._connection
        if connection is not None and not connection.closed:
            try:
                _command(connection, "ROLLBACK")
            except psycopg.Error:
                connection.close()  # It is lost, and with it the transaction.

    # The schema

    def migrate(self, target: int, version: Callable[[], int]) -> None:
        """Bring the tables to a version, in one transaction.

        Parameters
        ----------
        version
            Says which one they have.
        """

        def change() -> None:
            migrate_tables(self, version(), target)
            self.execute(SET_VERSION, _schema.APPLICATION_ID, target)
            for (table,) in self.rows(IDENTITIES):  # The steps may have copied rows.
                self.rows(ADVANCE_IDENTITY.format(table=table))

        # The tables that are this kind of database's own, of which transactions need one.
        self._repeated(lambda connection: _command(connection, f"{BEGIN}; {CREATE_OWN}; COMMIT"))
        self._defines = True
        try:
            self.in_transaction(change)
        finally:
            self._defines = False

    def close(self) -> None:
        self._is_closed = True
        connection, self._connection = self._connection, None
        if self._side is not None:
            self._side.close()
        if connection is None or connection.closed:
            return
        try:
            if self._transactions:
                _command(connection, FORGET_COMMITS.format(writer=self._writer))
        except psycopg.Error:
            pass  # The next one that closes takes it along.
        finally:
            connection.close()

    # Connections

    def _read(self, work: Callable[[Connection], T]) -> T:
        return self._once(work) if self._is_inside else self._repeated(work)

    def _write(self, work: Callable[[Connection], T]) -> T:
        if self._is_inside:
            return self._once(work)
        return self.in_transaction(lambda: self._once(work))

    def _once(self, work: Callable[[Connection], T]) -> T:
        """Work on the connection inside a transaction, which is lost with it."""
        connection = self._connection
        if connection is None or connection.closed:
            raise self._lost("")
        try:
            return work(connection)
        except psycopg.Error as error:
            raise self._explain(error, connection) from None

    def _live(self) -> Connection:
        """Return the connection, made again if it has to be."""
        if self._is_closed:
            raise RepositoryError(f"{self.address} is closed: nothing can be read or recorded")
        connection = self._connection
        if connection is None or connection.closed:
            if self._is_inside:
                raise self._lost("")
            self._connection = None
            self._connection = connection = self._server.open(self._read_only)
        return connection

    def _repeated(self, work: Callable[[Connection], T], patience: float | None = None) -> T:
        """Work on the connection, and again on another one when it is lost.

        Parameters
        ----------
        patience
            The most seconds to wait in all.
        """
        delays = self._server.retries.delays(patience)
        tries = 1
        while True:
            try:
                return work(self._live())
            except _Lost as error:
                failure: RepositoryError = error
            except psycopg.Error as error:
                failure = self._explain(error, self._connection)
                if not _is_passing(error, self._connection):
                    raise failure from None
            delay = next(delays, None)
            if delay is None:
                advice = "check its URI, and that the server runs"
                if patience is None:
                    advice = "what was recorded stands: run again to go on from there"
                tried = f"in {tries} tries " if tries > 1 else ""
                raise RepositoryWriteError(
                    f"cannot reach {self.address} {tried}({_reason(failure)}); {advice}"
                ) from None
            tries += 1
            time.sleep(delay)

    def _lost(self, reason: str) -> _Lost:
        lost = _Lost(
            f"{self.address}: the connection was lost in the middle of a transaction"
            f"{f' ({reason})' if reason else ''}; nothing of it was written: run again"
        )
        lost.reason = reason  # type: ignore[attr-defined]
        return lost

    def _explain(self, error: psycopg.Error, connection: Connection | None) -> RepositoryError:
        """Return the error that says what PostgreSQL's means."""
        text = _text(error)
        refusal = _refusal(error)
        if connection is None and refusal is not None:
            return self._explain_refusal(refusal)
        if _is_passing(error, connection):
            return self._lost(text)
        if isinstance(error, (errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)):
            return RepositoryWriteError(
                f"cannot write to {self.address}: {text}; log in as a user who may"
            )
        if isinstance(error, (errors.DiskFull, errors.OutOfMemory)):
            return RepositoryWriteError(
                f"cannot write to {self.address}: {text}; free some space on the server, then run "
                "again to go on from what was recorded"
            )
        if isinstance(error, errors.UndefinedTable):
            return RepositoryError(f"{self.address}: {text}; `db upgrade` makes the tables")
        return RepositoryError(f"{self.address}: {text}")

    def _explain_refusal(self, text: str) -> RepositoryError:
        if "does not exist" in text and "database" in text:
            return RepositoryNotOpened(
                f"{self.address}: there is no such database on the server; make it with createdb, "
                "or correct the URI"
            )
        user = str(self._server.parameters.get("user") or "")
        if user:
            text = text.replace(f'"{user}"', "of that name")
        return RepositoryError(
            f"{self.address}: the server does not let us in ({text}); the user name and the "
            f"password come from {self._server.login}"
        )


class _Side:
    """A connection beside the main one, for results that are read bit by bit.

    A cursor on the server needs a transaction, and what is done on the main connection meanwhile
    should not be a part of it.
    """

    def __init__(self, server: PostgresServer, read_only: bool) -> None:
        self._server = server
        self._readers = 0
        self.connection: Connection | None = None

    @contextmanager
    def reading(self) -> Generator[Connection, None, None]:
        """Return a context with a connection in a transaction, which all readers share."""
        connection = self.connection
        if connection is None or connection.closed:
            self._readers = 0
            self.connection = None
            self.connection = connection = self._server.open(read_only=True)
        if not self._readers:
            _command(connection, "BEGIN READ ONLY")
        self._readers += 1
        try:
            yield connection
        finally:
            self._readers -= 1
            if not self._readers and not connection.closed:
                _command(connection, "ROLLBACK")

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


def _fetch(connection: Connection, sql: str, parameters: Sequence[Any]) -> list[Any]:
    cursor = connection.cursor(binary=True)
    cursor.execute(statement(sql), parameters)
    return cursor.fetchall() if cursor.description is not None else []


def _command(connection: Connection, sql: str) -> None:
    """Run statements without parameters, all in one go."""
    connection.execute(sql.encode(), prepare=False)


def _blocks(rows: Rows) -> Iterator[Rows]:
    """Yield rows in blocks of no more bytes than the server should have to hold at once."""
    if len(rows) <= 1:
        if rows:
            yield rows
        return
    start = size = 0
    for position, row in enumerate(rows):
        for value in row:
            if value.__class__ is bytes and len(value) > 1_000:
                size += len(value)
        if size > _MANY_BYTES:
            yield rows[start : position + 1]
            start, size = position + 1, 0
    if start < len(rows):
        yield rows[start:]


def _text(error: psycopg.Error) -> str:
    """Return what went wrong in a line."""
    text = error.diag.message_primary or str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(" ;.")


def _reason(error: RepositoryError) -> str:
    return str(getattr(error, "reason", "") or error)
