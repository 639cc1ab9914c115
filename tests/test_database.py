"""What a database promises to the rooms above it, whatever its kind."""

from __future__ import annotations

import signal
import threading
from contextlib import closing

import pytest
from support import python

from redun_lite._errors import RepositoryError
from redun_lite._schema import VERSION
from redun_lite._sqlite import SqliteFile, storable

INSERT = "INSERT INTO file (value_id, path)"
SELECT = "SELECT path FROM file ORDER BY value_id"


@pytest.fixture
def database(lab):
    """A connection to a database with the tables of a repository."""
    lab.source.create()
    with closing(lab.source.connect()) as database:
        lab.source.migrate(database, VERSION)
        yield database


@pytest.fixture
def other(lab, database):
    """Another connection to it."""
    with closing(lab.source.connect()) as other:
        yield other


def paths(database):
    return [path for (path,) in database.rows(SELECT)]


def numbered(*numbers):
    return [(number, f"path {number}") for number in numbers]


@pytest.mark.parametrize("count", [1, 2, 33, 700, 5000])
def test_any_number_of_rows_is_inserted_and_found(database, count):
    database.insert(INSERT, numbered(*range(count)))
    ids = list(range(0, count * 2, 2))
    found = database.rows_in(
        "SELECT value_id FROM file WHERE path <> ? AND value_id IN ({ids})", ids, "path 0"
    )
    assert {row for (row,) in found} == set(range(2, count, 2))
    assert list(database.rows_in("SELECT path FROM file WHERE value_id IN ({ids})", [])) == []


@pytest.mark.parametrize("count", [3, 700])
def test_rows_that_are_there_are_left_or_replaced(database, count):
    database.insert(INSERT, [(0, "first"), (count, "last")])
    database.insert(INSERT, [(0, "new"), *numbered(*range(1, count))], "ON CONFLICT DO NOTHING")
    assert paths(database)[0] == "first"
    replace = "ON CONFLICT (value_id) DO UPDATE SET path = excluded.path"
    database.insert(INSERT, [(n, f"again {n}") for n in range(count)], replace)
    assert paths(database) == [*(f"again {n}" for n in range(count)), "last"]


@pytest.mark.parametrize("count", [3, 700])
def test_new_rows_are_told_from_those_that_were_there(database, count):
    rows = [(n, bytes([n // 256, n % 256]), 1, b"") for n in range(count)]
    insert = "INSERT INTO value (id, digest, type_id, data)"
    select = "SELECT digest, id FROM value WHERE digest IN ({ids})"
    assert list(database.insert_new(insert, "digest", select, rows)) == []
    moved = [(n + 10_000, digest, 1, b"") for n, digest, _, _ in rows]
    new = (20_000, b"new", 1, b"")
    found = dict(database.insert_new(insert, "digest", select, [*moved, new]))
    assert {digest: row for digest, row in found.items() if digest != b"new"} == {
        digest: n for n, digest, _, _ in rows
    }
    assert database.rows("SELECT id FROM value WHERE digest = ?", b"new") == [(20_000,)]


def test_a_statement_says_how_many_rows_it_changed(database):
    database.insert(INSERT, numbered(1, 2, 3))
    assert database.execute("UPDATE file SET path = ? WHERE value_id > ?", "x", 1) == 2
    assert database.execute("DELETE FROM file WHERE path = 'y'") == 0


def test_a_statement_is_run_for_each_row(database):
    database.execute_many("INSERT INTO file (value_id, path) VALUES (?, ?)", iter(numbered(1, 2)))
    database.execute_many("INSERT INTO file (value_id, path) VALUES (?, ?)", [])
    assert paths(database) == ["path 1", "path 2"]


def test_values_come_back_as_they_were(database):
    texts = ["?", "50 % of $1", "ü—☃", "it's", "", storable("\udce9")]
    database.insert(INSERT, list(enumerate(texts)))
    assert paths(database) == texts
    row = ("u", "a", -(2**63), None, "DONE", "h", 2**63 - 1, 0)
    database.insert(
        "INSERT INTO execution (uuid, argv, started, ended, status, host, pid, heartbeat)", [row]
    )
    found = "SELECT uuid, argv, started, ended, status, host, pid, heartbeat FROM execution"
    assert database.rows(found) == [row]
    assert database.rows("SELECT '?', sum(pid), ? FROM execution", 5) == [("?", 2**63 - 1, 5)]
    assert type(database.rows("SELECT sum(pid) FROM execution")[0][0]) is int
    data = bytes(range(256)) * 5000
    database.insert("INSERT INTO handled (place, key, error)", [(b"", b"\0", data)])
    assert database.rows("SELECT place, key, error FROM handled") == [(b"", b"\0", data)]


def test_texts_are_in_the_order_of_their_characters(database):
    database.insert(INSERT, list(enumerate(["b", "B", "a", "_", "Z", "é"])))
    found = [path for (path,) in database.rows("SELECT path FROM file ORDER BY path")]
    assert found == ["B", "Z", "_", "a", "b", "é"]


def test_what_is_written_in_a_transaction_is_written_at_once(database, other):
    with database.transaction():
        database.insert(INSERT, numbered(1))
        assert paths(database) == ["path 1"]
        assert paths(other) == []
    assert paths(other) == ["path 1"]


def test_a_transaction_that_fails_leaves_nothing(database, other):
    def work():
        database.insert(INSERT, numbered(*range(700)), "ON CONFLICT DO NOTHING")
        raise KeyError

    def transaction():
        with database.transaction():
            work()

    with pytest.raises(KeyError):
        transaction()
    with pytest.raises(KeyError):
        database.in_transaction(work)
    assert paths(other) == []
    database.insert(INSERT, numbered(*range(700)), "ON CONFLICT DO NOTHING")
    assert len(paths(other)) == 700


def test_work_in_a_transaction_returns_what_it_found(database, other):
    def work():
        database.insert(INSERT, numbered(1))
        return paths(database)

    assert database.in_transaction(work) == ["path 1"] == paths(other)


def test_an_error_in_a_transaction_takes_it_back(database):
    database.insert(INSERT, numbered(1))

    def work():
        database.insert(INSERT, numbered(2))
        database.insert(INSERT, numbered(1))

    with pytest.raises(RepositoryError):
        database.in_transaction(work)
    assert paths(database) == ["path 1"]


def test_a_snapshot_is_of_one_moment(database, other):
    database.insert(INSERT, numbered(1))
    with other.snapshot():
        assert paths(other) == ["path 1"]
        database.insert(INSERT, numbered(2))
        assert paths(other) == [path for (path,) in other.iterate(SELECT)] == ["path 1"]
    assert len(paths(other)) == 2


def test_rows_are_read_one_after_the_other_while_others_are_read_and_written(database):
    database.insert(INSERT, numbered(*range(5000)))
    first, second = database.iterate(SELECT), database.iterate(f"{SELECT} DESC")
    assert next(first) == ("path 0",)
    assert next(second) == ("path 4999",)
    with database.transaction():
        database.execute("UPDATE file SET path = 'x' WHERE value_id >= ?", 5000)
        assert database.rows("SELECT count(*) FROM file") == [(5000,)]
    assert len(list(first)) == len(list(second)) == 4999
    unfinished = database.iterate(SELECT)
    next(unfinished)
    unfinished.close()
    assert list(database.iterate("SELECT path FROM file WHERE value_id = ?", 3)) == [("path 3",)]


def test_rows_are_read_one_after_the_other_inside_of_a_transaction(database):
    with database.transaction():
        database.insert(INSERT, numbered(*range(5000)))
        for number, (path,) in enumerate(database.iterate(SELECT)):
            assert path == f"path {number}"
            if number % 1000 == 0:
                assert database.rows("SELECT count(*) FROM file") == [(5000,)]
    assert len(paths(database)) == 5000


def test_a_connection_for_reading_does_not_write(lab, database):
    with closing(lab.source.connect(read_only=True)) as reader:
        with pytest.raises(RepositoryError, match="cannot write to "):
            reader.execute("DELETE FROM file")
        assert paths(reader) == []


def test_a_statement_that_is_wrong_is_an_error_of_the_repository(database):
    with pytest.raises(RepositoryError, match="nothing_like_it"):
        database.rows("SELECT nothing_like_it FROM file")
    with pytest.raises(RepositoryError, match="nothing_like_it"):
        list(database.iterate("SELECT nothing_like_it FROM file"))
    assert paths(database) == []


def test_a_database_that_is_closed_gives_nothing(lab):
    lab.source.create()
    database = lab.source.connect()
    database.close()
    with pytest.raises(RepositoryError, match="is closed"):
        database.rows("SELECT 1")


def test_ctrl_c_ends_the_wait_for_another_writer(tmp_path):
    source = SqliteFile(str(tmp_path / "waited.db"))
    source.create()
    writer, waiting = source.connect(), source.connect()
    before = waiting.rows("PRAGMA busy_timeout")
    timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
    with writer.transaction():
        timer.start()
        with pytest.raises(KeyboardInterrupt), waiting.transaction():
            pass
    assert waiting.rows("PRAGMA busy_timeout") == before
    for database in (writer, waiting):
        database.close()


@pytest.mark.sqlite
def test_an_end_of_power_loses_no_more_than_the_last_commits(tmp_path):
    # Asked of another process, since the databases of tests do not care: see `conftest`.
    path = str(tmp_path / "lab.db")
    program = (
        "from redun_lite._db import Repository\n"
        f"database = Repository({path!r}).database\n"
        "print(database.rows('PRAGMA synchronous'), database.rows('PRAGMA journal_mode'))\n"
    )
    assert python("-c", program).stdout == "[(1,)] [('wal',)]\n"
