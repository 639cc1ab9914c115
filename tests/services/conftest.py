"""Real services for the tests: each is started for the session, on loopback, and stopped with it.

What is missing here is skipped, and the reason says what installs it.
"""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from support import Lab

from redun_lite import Config
from redun_lite._database import database_source
from redun_lite._schema import VERSION

ADVICE = "`make services` installs it"


def pytest_collection_modifyitems(config, items):
    """Leave out those tests of other rooms that are about SQLite, or do without a repository."""
    left_out = [
        item
        for item in items
        if item.path.name == "test_repository.py"
        and ("lab" not in item.fixturenames or item.get_closest_marker("sqlite"))
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


class PostgresServer:
    """A PostgreSQL server with a folder of its own.

    Parameters
    ----------
    folder
        For its data, its socket and its log; removed in the end.
    options
        Settings over the defaults.

    Attributes
    ----------
    port
        Where it listens, on 127.0.0.1.
    """

    def __init__(self, programs: Path, folder: str, **options: str) -> None:
        self._programs = programs
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.data = os.path.join(folder, "data")
        with closing(socket.socket()) as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder, **options}
        self._options = [f"--{name}={value}" for name, value in settings.items()]
        if os.getuid() == 0:  # Which PostgreSQL refuses to run as.
            shutil.chown(folder, "postgres")
        making = self._popen("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-N")
        assert making.wait() == 0, self._log()

    def start(self) -> None:
        """Start it, and wait until it lets one in."""
        import psycopg

        while True:
            if self._process is None or self._process.poll() is not None:
                # Processes of one that was killed may not all have ended: then it does not start.
                self._process = self._popen("postgres", "-D", self.data, "-p", str(self.port))
            try:
                self.psql("SELECT 1")
                return
            except psycopg.OperationalError:
                time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, as `pg_ctl stop -m immediate` does."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """`kill -9` its first process, which the others then find gone."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait()

    def _popen(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        options = self._options if program == "postgres" else []
        with open(os.path.join(self._folder, "log"), "ab") as log:
            return subprocess.Popen(
                [str(self._programs / program), *arguments, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C is for the tests.
                **({"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}),
            )

    def _log(self) -> str:
        return Path(self._folder, "log").read_text()

    def uri(self, database: str = "postgres") -> str:
        return f"postgresql://127.0.0.1:{self.port}/{database}"

    def psql(self, sql: str, database: str = "postgres") -> list[tuple]:
        """Run a statement as the superuser; return the rows that it gives."""
        import psycopg

        parameters = {"host": "127.0.0.1", "port": self.port, "user": "postgres"}
        with psycopg.connect(**parameters, dbname=database, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []


def postgres_programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs."""
    versions = glob.glob("/usr/lib/postgresql/*/bin/initdb")  # Where Debian has them.
    found = max(versions, key=lambda path: int(path.split("/")[4]), default=shutil.which("initdb"))
    return found and Path(found).parent


@pytest.fixture(scope="session")
def make_postgres():
    """A function that starts a server, with settings of its own."""
    pytest.importorskip("psycopg", reason=f"psycopg is not installed: {ADVICE}")
    programs = postgres_programs()
    if programs is None:
        pytest.skip(f"PostgreSQL is not installed: {ADVICE}")
    servers = []
    folders = []

    def make(**options: str) -> PostgresServer:
        folder = tempfile.mkdtemp(prefix="redun_lite-pg-", dir="/tmp")  # A socket's path is short.
        folders.append(folder)
        server = PostgresServer(programs, folder, **options)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.stop()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(make_postgres):
    """A server, and in it a database `lab` with the tables of a repository."""
    server = make_postgres(fsync="off", full_page_writes="off", synchronous_commit="off")
    server.psql("CREATE DATABASE lab")
    return server


@pytest.fixture
def login(monkeypatch):
    """The login of those servers, where it is looked for."""
    monkeypatch.setenv("REDUN_LITE_DB_USERNAME", "postgres")
    monkeypatch.delenv("REDUN_LITE_DB_PASSWORD", raising=False)


def clean(source) -> None:
    """Make a database one that holds nothing but the tables."""
    from redun_lite.contrib.postgres import ADVANCE_IDENTITY, IDENTITIES

    with closing(source.connect()) as database:
        source.migrate(database, VERSION)
        with database.transaction():
            for (table,) in database.rows(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
                "AND tablename NOT LIKE 'redun_lite%'"
            ):
                database.execute(f"DELETE FROM {table}")
            for (table,) in database.rows(IDENTITIES):
                database.rows(ADVANCE_IDENTITY.format(table=table))


@pytest.fixture
def lab(tmp_path, postgres, login):
    """As that of all tests, with its repository on the server."""
    lab = Lab(tmp_path, postgres.uri("lab"))
    clean(lab.source)
    return lab


@pytest.fixture
def empty(postgres, login):
    """The configuration of a database without tables."""
    postgres.psql("DROP DATABASE IF EXISTS empty")
    postgres.psql("CREATE DATABASE empty")
    return Config({"backend": {"db_uri": postgres.uri("empty")}})


@pytest.fixture
def source(lab):
    return database_source(lab.config)
