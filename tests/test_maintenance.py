"""The command `db`: sizes, versions up and down, garbage, copies."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support import Lab, audit

from redun_lite import RepositoryError, catch, task
from redun_lite._cli import main
from redun_lite._schema import STEPS, VERSION
from redun_lite._sqlite import SqliteFile

FIXTURES = Path(__file__).parent / "fixtures"

redun_namespace = "test_maintenance"


@pytest.fixture
def lab(tmp_path):
    return make_lab(tmp_path)


def make_lab(folder, **backend):
    lab = Lab(folder)
    backend = {"db_uri": f"sqlite:///{lab.path}", **backend}
    lab.config = type(lab.config)({"backend": backend})
    return lab


class Outcome:
    """What a command came to."""

    def __init__(self, code, captured):
        self.code = code
        self.out = captured.out
        self.err = captured.err

    def facts(self):
        """Return the first word of each line, and what comes after it."""
        lines = [line.split(maxsplit=1) for line in self.out.splitlines() if line.strip()]
        return {line[0]: line[-1] for line in lines}


@pytest.fixture
def db(lab, capsys):
    def run(*words, repo=None):
        capsys.readouterr()
        code = main(["db", *map(str, words), "--repo", str(repo or lab.path)])
        return Outcome(code, capsys.readouterr())

    return run


@task(version="1")
def add(a, b):
    return a + b


@task(version="1")
def total(numbers):
    return add(add(*numbers[:2]), numbers[2])


@task(version="1")
def fail(text):
    raise ValueError(text)


@task(version="1", retries=1, retry_delay=0)
def stumble(path):
    if not Path(path).exists():
        Path(path).touch()
        raise ValueError("once")
    return 1


@task(version="1")
def handled(text):
    return catch(fail(text), ValueError, recover)


@task(version="1")
def recover(error):
    return str(error)


# info


def test_info_counts_records_and_measures_tables(lab, db):
    lab.run(total([1, 2, 3]))
    facts = db("info").facts()
    assert facts["database"] == str(lab.path)
    assert facts["schema"] == str(VERSION)
    assert re.fullmatch(r"1 +[\d.]+ kB", facts["executions"])
    assert re.fullmatch(r"3 +[\d.]+ kB", facts["jobs"])


def test_info_says_how_much_is_in_files(tmp_path, db, lab):
    make_lab(tmp_path, value_store_path=str(tmp_path / "store")).run(add("a" * 2000, "b"))
    assert db("info").facts()["value"] == "store  2 large values, 4.0 kB"


def test_what_is_not_there_is_said_and_not_made(lab, db):
    uri = f"sqlite:///{lab.path}"
    changes = (["gc", "--keep", 1], ["vacuum"], ["backup", "x"], ["upgrade"], ["downgrade", 1])
    for words in (["info"], ["versions"], ["check"], *changes):
        done = db(*words, repo=uri)
        assert done.code == 2
        assert done.err == (
            f"redun_lite: error: there is no repository {uri}: there is no {lab.path}\n"
        )
    assert list(lab.folder.iterdir()) == []


def test_repo_may_be_given_before_the_action(lab, capsys):
    lab.run(add(1, 2))
    for words in (["--repo", str(lab.path), "info"], ["info", "--repo", str(lab.path)]):
        assert main(["db", *words]) == 0
        assert f"database    {lab.path}\n" in capsys.readouterr().out


# Versions


def version_1(path):
    """Make a database as the first version of the schema had it, with a few records."""
    connection = sqlite3.connect(path)
    connection.executescript((FIXTURES / "version_1.sql").read_text())
    connection.close()


@pytest.fixture
def workflow(monkeypatch):
    """The workflow that the database of version 1 was made by."""
    spec = importlib.util.spec_from_file_location("version_1", FIXTURES / "version_1.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "version_1", module)
    spec.loader.exec_module(module)
    return module


def tables(path):
    """Return the columns of each table, and the indexes."""
    connection = sqlite3.connect(path)
    names = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    ).fetchall()
    found = {
        (kind, name): connection.execute(f"PRAGMA table_info({name})").fetchall()
        for kind, name in names
    }
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return version, found


def test_versions_marks_the_present_one(lab, db):
    version_1(lab.path)
    lines = db("versions").out.splitlines()
    assert len(lines) == 1 + VERSION
    assert re.match(r"\* +1 +executions, jobs", lines[1])
    assert not any(line.startswith("*") for line in lines[2:])


def test_a_database_of_version_1_is_shown_as_it_is(lab, db, capsys):
    version_1(lab.path)
    assert db("info").facts()["schema"] == "1"
    assert main(["log", "--repo", str(lab.path)]) == 0
    assert "run version_1.py fail --sample d" in capsys.readouterr().out
    assert tables(lab.path)[0] == 1


def test_a_database_of_version_1_is_upgraded_and_replayed(lab, db, workflow):
    version_1(lab.path)
    assert db("upgrade").out == f"{lab.path}: version 1 -> {VERSION}\n"
    lab.audit()
    assert lab.run(workflow.main(["a", "bc"])) == 7
    assert lab.jobs() == {"main": ["CACHED"], "total": ["CACHED"], "read": ["CACHED"] * 2}


def test_down_and_up_again_leads_to_the_same_tables(lab, db):
    lab.run(total([1, 2, 3]))
    newest = tables(lab.path)
    for version in range(VERSION - 1, 0, -1):
        assert db("downgrade", version).code == 0
        assert tables(lab.path)[0] == version
    version_1(lab.folder / "one.db")
    assert tables(lab.path) == tables(lab.folder / "one.db")
    assert db("upgrade").code == 0
    assert tables(lab.path) == newest
    assert lab.run(total([1, 2, 3])) == 6
    assert lab.is_cached()


def test_what_a_program_of_version_1_writes_is_there_after_the_upgrade(lab, db, workflow):
    version_1(lab.path)
    assert lab.run(workflow.main(["a"])) == 3
    assert db("downgrade", 1).code == 0
    connection = sqlite3.connect(lab.path)
    connection.execute(
        "INSERT INTO execution (uuid, argv, started, status, host, pid, heartbeat) "
        "VALUES ('u', '[]', 1, 'DONE', 'h', 1, 1)"
    )
    connection.commit()
    connection.close()
    assert lab.run(workflow.main(["a"])) == 3
    assert lab.jobs() == {"main": ["CACHED"], "total": ["CACHED"], "read": ["CACHED"]}
    assert lab.query("SELECT count(*) FROM execution") == [5]


def test_a_downgrade_says_what_would_be_lost_and_waits_for_yes(lab, db, tmp_path):
    lab.run([stumble(str(tmp_path / "note")), handled("no")])
    before = tables(lab.path)
    done = db("downgrade", 1)
    assert done.code == 2
    assert "no place for 2 attempts and 1 handled error: lost if you say --yes" in done.err
    assert tables(lab.path) == before
    done = db("downgrade", 1, "--yes")
    assert done.code == 0
    assert done.err == "lost: 2 attempts\nlost: 1 handled error\n"


def test_large_values_come_back_into_the_database(tmp_path, db):
    lab = make_lab(tmp_path, value_store_path=str(tmp_path / "store"))
    lab.run([add("a" * 2000, "b"), add("a" * 3000, "b")])
    (path,) = lab.query("SELECT path FROM stored_value ORDER BY size DESC LIMIT 1")
    (tmp_path / path).unlink()
    done = db("downgrade", 2)
    assert "1 value whose file is missing or damaged" in done.err
    done = db("downgrade", 2, "--force")
    (folder,) = (tmp_path / "store").iterdir()
    assert done.err == (
        "lost: 1 value whose file is missing or damaged\n"
        f"not used any more, and can be removed: {folder}\n"
    )
    assert lab.query("SELECT count(*) FROM value WHERE length(data) > 2000") == [3]
    lab.run([add("a" * 2000, "b"), add("a" * 3000, "b")])
    assert sorted(lab.jobs()["add"]) == ["CACHED", "DONE"]


def test_a_step_that_fails_leaves_all_as_it_was(lab, monkeypatch):
    version_1(lab.path)
    before = tables(lab.path)
    broken = (*STEPS[:2], STEPS[2]._replace(up="CREATE TABLE new (id);\nNO SQL;\n"))
    monkeypatch.setattr("redun_lite._migration.STEPS", broken)
    with pytest.raises(RepositoryError):
        lab.scheduler().load()
    assert tables(lab.path) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["downgrade", 0], "there is no version 0: this program knows 1 to "),
        (["upgrade", 99], "there is no version 99: this program knows 1 to "),
        (["upgrade", 1], "`db downgrade 1` brings it back"),
        (["downgrade", "x"], "VERSION: expected a whole number from 0 on, got 'x'"),
        (["downgrade"], "required: VERSION"),
        (["sideways"], "invalid choice: 'sideways'"),
    ],
)
def test_a_version_that_is_none_is_a_clear_line(lab, db, words, message):
    lab.run(add(1, 2))
    done = db(*words)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_nothing_is_downgraded_while_something_runs(lab, db):
    with lab.scheduler() as scheduler:
        scheduler.backend.start_execution("5c1f9a3e-0000-4000-8000-000000000000", [], now())
        done = db("downgrade", 2)
    assert done.code == 1
    assert "execution 5c1f9a3e is running" in done.err


@pytest.mark.parametrize("words", [["info"], ["versions"], ["vacuum"], ["gc", "--keep", 1]])
def test_a_newer_schema_is_refused_with_a_line(lab, db, words):
    lab.run(add(1, 2))
    connection = sqlite3.connect(lab.path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    done = db(*words)
    assert done.code == 1
    assert f"has schema version {VERSION + 1}, this program knows up to {VERSION}" in done.err


def test_without_automigrate_a_run_refuses_an_older_database(tmp_path):
    version_1(tmp_path / "lab.db")
    lab = make_lab(tmp_path, automigrate=False)
    with pytest.raises(
        RepositoryError, match=f"has schema version 1, this program needs {VERSION}"
    ):
        lab.run(add(1, 2))
    assert tables(lab.path)[0] == 1
    (tmp_path / "lab.db").unlink()
    assert lab.run(add(1, 2)) == 3


def now():
    from redun_lite._timers import now

    return now()


# Copies


def test_a_backup_is_a_whole_private_copy_made_while_others_write(lab, db, tmp_path):
    lab.run(total([1, 2, 3]))
    with lab.scheduler() as scheduler:
        scheduler.run(add(7, 7))
        assert db("backup", tmp_path / "copy.db").code == 0
        scheduler.run(add(8, 8))
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    with closing(SqliteFile(str(tmp_path / "copy.db")).connect()) as database:
        audit(database)
        assert database.rows("SELECT count(*) FROM execution") == [(2,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "lab.db"]


def test_a_backup_replaces_a_file_only_if_told_to(lab, db, tmp_path):
    lab.run(add(1, 2))
    copy = tmp_path / "copy.db"
    copy.write_text("mine")
    done = db("backup", copy)
    assert done.code == 2
    assert f"{copy} is there already; --force replaces it" in done.err
    assert copy.read_text() == "mine"
    assert db("backup", copy, "--force").code == 0
    with closing(SqliteFile(str(copy)).connect(read_only=True)) as database:
        assert database.rows("SELECT count(*) FROM job") == [(1,)]


def test_a_backup_does_not_go_over_the_database_itself(lab, db):
    lab.run(add(1, 2))
    done = db("backup", lab.path, "--force")
    assert done.code == 2
    assert "is the database itself" in done.err
    lab.audit()


def test_a_backup_that_cannot_be_written_is_a_clear_line(lab, db, tmp_path):
    lab.run(add(1, 2))
    done = db("backup", tmp_path / "none" / "copy.db")
    assert done.code == 2
    assert f"there is no folder {tmp_path / 'none'}" in done.err
    assert "is a folder" in db("backup", tmp_path).err


def test_a_backup_says_what_is_not_in_it(tmp_path, db):
    make_lab(tmp_path, value_store_path=str(tmp_path / "store")).run(add("a" * 2000, "b"))
    assert "2 large values are in files of the value store" in db("backup", tmp_path / "c.db").err


def test_vacuum_gives_space_back(lab, db):
    lab.run(add("a" * 1_000_000, "b"))
    assert db("gc", "--keep", 0).code == 0
    done = db("vacuum")
    assert re.fullmatch(rf"{lab.path}: \d\.\d MB -> [\d.]+ kB\n", done.out)
    lab.audit()


def test_a_backup_has_a_name(db, lab, monkeypatch):
    monkeypatch.chdir(lab.folder)
    lab.run(add(1, 2))
    outcome = db("backup", "")
    assert outcome.code == 2
    assert outcome.err == "redun_lite: error: db backup: FILE: it is empty\n"
    assert not list(lab.folder.glob("*unfinished*"))
