"""A repository on PostgreSQL: getting in, its tables, many writers, and a server that goes away."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support import ROOT, Lab, note, notes
from test_concurrency import PROCESSES, together

from redun_lite import Config, Scheduler, _cli, task
from redun_lite import _db as db
from redun_lite._database import database_source
from redun_lite._db import Repository
from redun_lite._errors import (
    ConfigError,
    NewerRepository,
    NotARepository,
    RepositoryError,
    RepositoryWriteError,
)
from redun_lite._history import open_history
from redun_lite._schema import VERSION

redun_namespace = "test_postgres"


@task(version="1")
def square(n):
    return n * n


@task(version="1")
def squares(numbers):
    return [square(n) for n in numbers]


# The tables


def connected(config, work):
    """Return what a function finds on a connection to the database of a configuration."""
    source = database_source(config)
    with closing(source.connect()) as database:
        return work(source, database)


def test_a_run_on_an_empty_database_says_how_to_make_the_tables(empty):
    with pytest.raises(RepositoryError) as caught, Scheduler(empty) as scheduler:
        scheduler.run(square(1))
    address = empty.backend.db_uri
    assert str(caught.value) == f"{address} has no tables yet; `db upgrade` makes them"
    assert open_history(database_source(empty)) is None


def test_a_run_on_an_older_database_says_how_to_upgrade_it(empty):
    connected(empty, lambda source, database: source.migrate(database, VERSION - 1))
    with pytest.raises(RepositoryError) as caught:
        Repository.from_config(empty)
    assert str(caught.value).endswith(
        f"has schema version {VERSION - 1}, this program needs {VERSION}; "
        "`db upgrade` brings it there"
    )


def test_a_database_makes_its_tables_by_itself_if_it_is_told_to(empty):
    config = Config({"backend": {**empty.get_config_dict()["backend"], "automigrate": True}})
    with Scheduler(config) as scheduler:
        assert scheduler.run(square(3)) == 9


@pytest.mark.parametrize("words", [["init"], ["db", "upgrade"]])
def test_a_command_makes_the_tables(empty, tmp_path, monkeypatch, capsys, words):
    folder = tmp_path / ".redun_lite"
    folder.mkdir()
    (folder / "redun_lite.ini").write_text(f"[backend]\ndb_uri = {empty.backend.db_uri}\n")
    monkeypatch.chdir(tmp_path)
    assert _cli.main(words) == 0
    with Scheduler(empty) as scheduler:
        assert scheduler.run(square(3)) == 9
    assert _cli.main(["log"]) == 0
    assert "square(3)" in capsys.readouterr().out
    assert _cli.main(["db", "info"]) == 0
    assert empty.backend.db_uri in capsys.readouterr().out


def test_versions_go_down_and_up_again(lab):
    lab.run(squares([1, 2]))
    with closing(lab.source.connect()) as database:
        for target in [*range(VERSION - 1, 0, -1), *range(2, VERSION + 1)]:
            lab.source.migrate(database, target)
            assert lab.source.version(database) == target
    lab.run(squares([1, 2, 3]))
    assert lab.jobs() == {"square": ["CACHED", "CACHED", "DONE"], "squares": ["DONE"]}
    lab.audit()


def test_several_processes_may_make_the_tables(empty):
    def make(number):
        connected(empty, lambda source, database: source.migrate(database, VERSION))

    assert together(make) == [0] * PROCESSES
    with Scheduler(empty) as scheduler:
        assert scheduler.run(square(3)) == 9


def test_a_newer_database_is_refused(empty):
    def advance(source, database):
        source.migrate(database, VERSION)
        database.execute("UPDATE redun_lite_version SET version = version + 1")

    connected(empty, advance)
    with pytest.raises(NewerRepository, match=f"version {VERSION + 1}, .* up to {VERSION}; use a"):
        Repository.from_config(empty)


@pytest.mark.parametrize(
    ("table", "owner"), [("redun_version", "redun"), ("job", "another program")]
)
def test_a_database_of_another_program_is_refused(empty, postgres, table, owner):
    postgres.psql(f"CREATE TABLE {table} (id INT)", "empty")
    with pytest.raises(NotARepository, match=f" is a database of {owner}, not of redun_lite"):
        connected(empty, lambda source, database: source.migrate(database, VERSION))


def test_a_database_may_have_tables_of_others_beside(empty, postgres):
    postgres.psql("CREATE TABLE spatial_ref_sys (id INT)", "empty")
    connected(empty, lambda source, database: source.migrate(database, VERSION))
    Repository.from_config(empty).close()


def test_columns_are_those_of_sqlite(lab, tmp_path):
    """In name and order; and none has a type that nobody has thought of."""
    other = Lab(tmp_path / "other")
    Repository(other.source).close()
    tables = other.query(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    for table in tables:
        columns = [name for _, name, *_ in other.query(f"PRAGMA table_info({table})")]
        found = lab.query(
            "SELECT column_name, data_type || coalesce(' ' || collation_name, '') "
            "FROM information_schema.columns WHERE table_name = ? ORDER BY ordinal_position",
            table,
        )
        assert [name for name, _ in found] == columns
        assert {kind for _, kind in found} <= {"bigint", "bytea", "text C"}


# Getting in


def backend(**options):
    return Config({"backend": options})


@pytest.fixture
def secretive(postgres, monkeypatch):
    """A server that asks for a password, whose user and password are in the environment."""
    if not postgres.psql("SELECT 1 FROM pg_roles WHERE rolname = 'alice'"):
        postgres.psql("CREATE USER alice PASSWORD 'sesame'")
    path = os.path.join(postgres.data, "pg_hba.conf")
    rules = Path(path).read_text()
    if "alice" not in rules:
        Path(path).write_text(f"host all alice 127.0.0.1/32 scram-sha-256\n{rules}")
        postgres.psql("SELECT pg_reload_conf()")
    postgres.psql("DROP DATABASE IF EXISTS hers")
    postgres.psql("CREATE DATABASE hers OWNER alice")
    monkeypatch.setenv("REDUN_LITE_DB_USERNAME", "alice")
    monkeypatch.setenv("REDUN_LITE_DB_PASSWORD", "sesame")
    return postgres.uri("hers")


def make_tables(config):
    connected(config, lambda source, database: source.migrate(database, VERSION))


def test_the_login_is_taken_from_the_environment(secretive, monkeypatch):
    make_tables(backend(db_uri=secretive))
    monkeypatch.delenv("REDUN_LITE_DB_USERNAME")
    monkeypatch.delenv("REDUN_LITE_DB_PASSWORD")
    monkeypatch.setenv("TEAM_USER", "alice")
    monkeypatch.setenv("TEAM_PASSWORD", "sesame")
    config = backend(
        db_uri=secretive.replace("postgresql:", "postgresql+psycopg:"),
        db_username_env="TEAM_USER",
        db_password_env="TEAM_PASSWORD",
    )
    with Scheduler(config) as scheduler:
        assert scheduler.run(square(3)) == 9
        assert scheduler.backend.address == secretive


def test_a_wrong_password_is_an_error_in_one_line_that_tells_no_secret(secretive, monkeypatch):
    monkeypatch.setenv("REDUN_LITE_DB_PASSWORD", "open-wide")
    with pytest.raises(RepositoryError) as caught:
        Repository.from_config(backend(db_uri=secretive))
    assert str(caught.value) == (
        f"{secretive}: the server does not let us in (password authentication failed for user "
        "of that name); the user name and the password come from REDUN_LITE_DB_USERNAME and "
        "REDUN_LITE_DB_PASSWORD"
    )


def test_a_user_who_may_not_write_is_told(secretive, postgres, monkeypatch):
    make_tables(backend(db_uri=secretive))
    if not postgres.psql("SELECT 1 FROM pg_roles WHERE rolname = 'guest'"):
        postgres.psql("CREATE USER guest")
    postgres.psql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest", "hers")
    monkeypatch.setenv("REDUN_LITE_DB_USERNAME", "guest")
    with (
        pytest.raises(RepositoryWriteError, match=r"permission denied .* log in as a user who may"),
        Scheduler(backend(db_uri=secretive)) as scheduler,
    ):
        scheduler.run(square(3))
    history = open_history(database_source(backend(db_uri=secretive)))
    with history:
        assert history.executions(None) == []


class SecretsManager(http.server.BaseHTTPRequestHandler):
    """What boto3 asks AWS for a secret, and what AWS answers."""

    secret = ""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
        found = asked["SecretId"] == "team/jobs"
        answer = {"SecretString": self.secret}
        if not found:
            answer = {"__type": "ResourceNotFoundException", "Message": "there is none"}
        data = json.dumps(answer).encode()
        self.send_response(200 if found else 400)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def aws(monkeypatch):
    """A secret store; the secret is set by its `secret`."""
    pytest.importorskip("boto3", reason="boto3 is not installed: `make services` installs it")
    server = http.server.HTTPServer(("127.0.0.1", 0), SecretsManager)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REDUN_LITE_DB_PASSWORD", "not this one")
    yield SecretsManager
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("ignore::Warning:boto3.*", "ignore::DeprecationWarning")
def test_address_and_login_are_taken_from_an_aws_secret(secretive, postgres, aws):
    secret = {"engine": "postgres", "username": "alice", "password": "sesame"}
    secret = {**secret, "host": "127.0.0.1", "port": postgres.port, "dbname": "hers"}
    aws.secret = json.dumps(secret)
    config = backend(db_aws_secret_name="team/jobs")
    make_tables(config)
    with Scheduler(config) as scheduler:
        assert scheduler.run(square(3)) == 9
        assert scheduler.backend.address == secretive
    for name, text, message in (
        ("team/jobs", '{"username": "alice", "password": "sesame"}', "expected in the AWS secret"),
        ("team/jobs", "sesame", "expected in the AWS secret team/jobs a JSON object with username"),
        ("team/jobs", json.dumps({**secret, "engine": "mysql"}), "is of a database of mysql"),
        ("team/none", "", "cannot read the AWS secret team/none: "),
    ):
        aws.secret = text
        with pytest.raises(ConfigError, match=message) as caught:
            Repository.from_config(backend(db_aws_secret_name=name))
        assert "sesame" not in str(caught.value)


def test_without_boto3_a_secret_is_not_read_and_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigError, match="takes boto3, which is not installed: pip install boto3"):
        database_source(backend(db_aws_secret_name="team/jobs"))


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("postgresql://", "got no database"),
        ("postgresql://host", "got no database"),
        ("postgresql://host:port/jobs", "got the port .port."),
        ("postgresql://host/jobs?nonsense=1", "nonsense"),
        ("postgresql+psycopg2://host/jobs", "got a postgresql.psycopg2 URI"),
    ],
)
def test_a_uri_that_cannot_be_is_named(uri, message):
    with pytest.raises(ConfigError, match=f"expected postgresql://HOST:PORT/DATABASE.*{message}"):
        database_source(backend(db_uri=uri))


def test_a_database_that_does_not_exist_is_named(postgres, login):
    uri = postgres.uri("nowhere")
    with pytest.raises(RepositoryError) as caught:
        Repository.from_config(backend(db_uri=uri))
    assert str(caught.value) == (
        f"{uri}: there is no such database on the server; make it with createdb, or correct the URI"
    )


def test_a_server_that_is_down_at_start_is_an_error_in_one_line(make_postgres, login, monkeypatch):
    waited = []
    monkeypatch.setattr("redun_lite.contrib.postgres.time.sleep", waited.append)
    with pytest.raises(RepositoryError) as caught:
        Repository.from_config(backend(db_uri="postgresql://127.0.0.1:1/jobs"))
    assert str(caught.value).startswith("cannot reach postgresql://127.0.0.1:1/jobs in 2 tries (")
    assert str(caught.value).endswith("; check its URI, and that the server runs")
    assert "\n" not in str(caught.value)
    assert 0 < sum(waited) <= 2


# Several at once


def test_processes_that_do_the_same_work_record_it_once_and_lose_nothing(lab, monkeypatch):
    monkeypatch.setattr(db, "FLUSH_INTERVAL", 0.0)
    numbers = list(range(60))
    expected = [n * n for n in numbers]

    def work(number):
        shifted = numbers[number:] + numbers[:number]
        assert sorted(lab.run(squares(shifted))) == expected

    assert together(work) == [0] * PROCESSES
    assert lab.statuses() == ["DONE"] * PROCESSES
    assert lab.query("SELECT count(*) FROM job") == [PROCESSES * 61]
    assert lab.query(
        "SELECT count(*) FROM call JOIN task ON task.id = task_id "
        "WHERE fullname = 'test_postgres.square'"
    ) == [60]
    lab.audit()


# A server that goes away

RETRIES = {"db_retries": 1000, "db_retries_backoff": 0.02, "db_retries_backoff_max": 0.1}


@pytest.fixture(scope="module")
def mortal(make_postgres):
    """A server that may be killed, since it writes as it should."""
    server = make_postgres()
    server.psql("CREATE DATABASE lab")
    return server


@pytest.fixture
def fragile(tmp_path, mortal, login):
    """A lab on a server that may be killed."""
    lab = Lab(tmp_path, mortal.uri("lab"), backend=dict(RETRIES))
    mortal.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", "lab")
    make_tables(lab.config)
    return lab


class Ledger:
    path = ""
    at: dict = {}


@task(version="1")
def leaf(n):
    note(Ledger.path, n)
    if n in Ledger.at:
        Ledger.at.pop(n)()
    return n.to_bytes(4, "big") * 125


@task(version="1")
def length(data):
    return len(data)


@task(version="1")
def tree(n, width):
    return [length(leaf(n * width + i)) for i in range(width)]


@task(version="1")
def forest(count, width):
    return [tree(n, width) for n in range(count)]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_server_that_is_killed_and_started_again_is_survived(fragile, mortal, how, monkeypatch):
    """Many commits are under way, and the engine reads, while it goes away twice."""
    monkeypatch.setattr(db, "FLUSH_INTERVAL", 0.0)
    monkeypatch.setattr(Ledger, "path", str(fragile.folder / "ledger"))

    one_after_the_other = threading.Lock()

    def go_away():
        with one_after_the_other:
            getattr(mortal, how)()
            mortal.start()

    monkeypatch.setattr(Ledger, "at", {60: go_away, 300: go_away})
    assert fragile.run(forest(20, 20)) == [[500] * 20] * 20
    assert not Ledger.at
    ran = notes(Ledger.path)
    assert sorted(ran) == sorted(map(str, range(400)))
    assert fragile.statuses() == ["DONE"]
    assert {name: len(found) for name, found in fragile.jobs().items()} == {
        "forest": 1,
        "tree": 20,
        "leaf": 400,
        "length": 400,
    }
    assert fragile.query("SELECT count(*) FROM job WHERE status <> 'DONE'") == [0]
    fragile.audit()
    fragile.run(forest(20, 20))
    assert notes(Ledger.path) == ran


def test_a_server_that_stays_away_ends_the_run_and_keeps_what_was_committed(
    fragile, mortal, monkeypatch
):
    monkeypatch.setattr(db, "FLUSH_INTERVAL", 0.0)
    monkeypatch.setattr(Ledger, "path", str(fragile.folder / "ledger"))

    def stop():
        while not mortal.psql("SELECT 1 FROM job WHERE status = 'DONE' LIMIT 1", "lab"):
            pass
        mortal.stop()

    monkeypatch.setattr(Ledger, "at", {50: stop})
    few = Lab(fragile.folder, fragile.uri, backend={**RETRIES, "db_retries": 2})
    try:
        with pytest.raises(RepositoryWriteError) as caught:
            few.run(forest(5, 20))
    finally:
        mortal.start()
    assert str(caught.value).startswith(f"cannot reach {fragile.uri} in 3 tries (")
    assert str(caught.value).endswith("; what was recorded stands: run again to go on from there")
    assert "\n" not in str(caught.value)
    fragile.audit()
    before = len(notes(Ledger.path))
    assert fragile.run(forest(5, 20)) == [[500] * 20] * 5
    assert len(notes(Ledger.path)) - before < 100
    fragile.audit()


@pytest.fixture
def interrupted(lab, monkeypatch):
    """Interrupts each commit for the first time: `before` it, or `after` it was done."""
    from redun_lite.contrib import postgres as rooms

    patient = Lab(lab.folder, lab.uri, backend={**RETRIES, "db_retries_backoff": 0})
    command = rooms._command
    seen = set()

    def interrupt(when, meanwhile=lambda: None):
        def interrupted(connection, sql):
            is_commit = sql.rstrip().endswith("COMMIT") and "VALUES" in sql
            if not is_commit or sql in seen:
                return command(connection, sql)
            seen.add(sql)
            if when == "after":
                command(connection, sql)
            connection.close()
            meanwhile()
            return command(connection, sql)

        monkeypatch.setattr(rooms, "_command", interrupted)
        return patient

    return interrupt


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_answer_is_lost_is_done_once(interrupted, when, monkeypatch):
    """Also where to do it twice would be an error, as when an execution begins."""
    monkeypatch.setattr(db, "FLUSH_INTERVAL", 0.0)
    lab = interrupted(when)
    assert lab.run(squares(range(40))) == [n * n for n in range(40)]
    assert lab.statuses() == ["DONE"]
    assert lab.query("SELECT count(*) FROM job") == [41]
    assert lab.query("SELECT count(*) FROM call") == [41]
    lab.audit()


def test_what_is_written_again_gets_ids_anew(interrupted, lab):
    """Between a transaction that is lost and the next try another process takes the ids."""
    other = Lab(lab.folder, lab.uri, backend={"db_retries_backoff": 0})
    taken = iter([range(100, 130), range(130, 160), range(160, 190)])

    def take():
        for numbers in taken:
            with Scheduler(other.config) as scheduler:
                scheduler.run(squares(numbers))
            break

    mine = interrupted("before", take)
    assert mine.run(squares(range(40))) == [n * n for n in range(40)]
    lab.audit()
    assert lab.query("SELECT count(*) FROM job WHERE status <> 'DONE'") == [0]
    assert next(taken, None) is None
    mine.run(squares(range(40)))
    assert lab.jobs() == {"square": ["CACHED"] * 40, "squares": ["CACHED"]}


def test_a_commit_is_remembered_only_as_long_as_somebody_may_ask(lab):
    lab.run(square(1))
    assert lab.query("SELECT count(*) FROM redun_lite_commit") == [0]


def test_a_transaction_that_cannot_be_repeated_says_that_nothing_was_written(lab):
    with closing(lab.source.connect()) as database:

        def work():
            with database.transaction():
                database.execute("INSERT INTO file (value_id, path) VALUES (1, 'x')")
                database._connection.close()
                database.execute("INSERT INTO file (value_id, path) VALUES (2, 'x')")

        with pytest.raises(RepositoryError, match="lost in the middle of a transaction; nothing"):
            work()
        assert database.rows("SELECT * FROM file") == []


# The package


def test_a_vendored_copy_records_in_postgres(lab, tmp_path):
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "copied").symlink_to(ROOT / "redun_lite")
    code = (
        "from copied import Config, run, task\n"
        "redun_namespace = 'vendored'\n"
        "@task(version='1')\n"
        "def double(x): return 2 * x\n"
        f"print(run(double(4), config=Config({{'backend': {{'db_uri': {lab.uri!r}}}}})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=vendor, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "8\n", done.stderr
    assert lab.statuses() == ["DONE"]
