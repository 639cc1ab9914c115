"""The command line on PostgreSQL: it says there what it says of the same records in SQLite."""

from __future__ import annotations

from contextlib import closing

import pytest
from support import Lab

from conftest import clean
from redun_lite import File, _cli, catch, task

redun_namespace = "commands"


@task(version="1")
def write(path, n):
    file = File(path)
    file.write(str(n))
    return file


@task(version="1")
def fail(n):
    raise ValueError(n)


@task(version="1")
def recover(error):
    return str(error)


@task(version="1")
def main(folder, n):
    written = [write(f"{folder}/{i}.txt", i) for i in range(n)]
    return written, catch(fail(n), ValueError, recover)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A lab in SQLite, in which the workflow ran twice."""
    lab = Lab(tmp_path_factory.mktemp("commands"))
    for n in (3, 4):
        with lab.scheduler() as scheduler:
            uuid = str(n) * 8 + "-0000-4000-8000-000000000000"
            scheduler.run(main(str(lab.folder), n), tags=[("n", n)], execution_id=uuid)
    return lab


@pytest.fixture
def command(capsys, monkeypatch, recorded):
    """A function that runs a command, and returns what it prints."""
    monkeypatch.chdir(recorded.folder)

    def run(*words, own=None):
        uri = (own or recorded).uri
        (recorded.folder / "redun_lite.ini").write_text(f"[backend]\ndb_uri = {uri}\n")
        monkeypatch.setenv("REDUN_LITE_CONFIG", str(recorded.folder))
        status = _cli.main([str(word) for word in words])
        shown = capsys.readouterr()
        assert status == 0, shown.err
        return shown.out

    return run


@pytest.fixture
def pushed(recorded, lab, command):
    """The same records on the server."""
    command("push", lab.uri)
    return lab


def test_whatever_way_records_take_they_stay_the_same(recorded, pushed, command, tmp_path):
    expected = command("export", "--repo", recorded.path)
    assert command("export", "--repo", pushed.uri) == expected
    command("push", tmp_path / "back.db", own=pushed)
    assert command("export", "--repo", tmp_path / "back.db") == expected
    (tmp_path / "records.jsonl").write_text(expected)
    clean(pushed.source)
    command("import", tmp_path / "records.jsonl", own=pushed)
    assert command("export", "--repo", pushed.uri) == expected
    clean(pushed.source)
    command("pull", recorded.path, own=pushed)
    assert command("export", "--repo", pushed.uri) == expected


@pytest.mark.parametrize(
    "words",
    [
        ["log"],
        ["log", "-"],
        ["log", "-", "--all"],
        ["log", "--job"],
        ["log", "--task"],
        ["log", "--value"],
        ["log", "--file"],
        ["log", "--count"],
        ["log", "--format", "json"],
        ["log", "--tag", "n=3"],
        ["log", "--job-status", "FAILED"],
        ["log", "--task-name", "commands.fail", "--job"],
        ["log", "--file-path", "*/1.txt"],
        ["log", "--arg", "3"],
        ["log", "--value-type", "builtins.int"],
        ["log", "commands.main"],
        ["why", "commands.main"],
        ["diff", "33333333", "44444444"],
        ["graph", "-", "--format", "dot"],
        ["tag", "list"],
        ["db", "check"],
    ],
    ids=" ".join,
)
def test_a_command_says_the_same_of_both(recorded, pushed, command, words):
    """As far as it depends on no order of ids: what is pushed gets others."""
    found = command(*words, "--repo", pushed.uri)
    expected = command(*words, "--repo", recorded.path)
    assert sorted(found.splitlines()) == sorted(expected.splitlines())


def test_tags_are_edited_and_garbage_is_collected(pushed, command):
    command("tag", "add", "--repo", pushed.uri, "-", "team=blue")
    command("tag", "update", "--repo", pushed.uri, "-", "team=red")
    assert "team=red" in command("log", "--repo", pushed.uri)
    command("db", "gc", "--keep", "1", "--repo", pushed.uri)
    assert command("log", "--count", "--repo", pushed.uri).split() == ["1", "Execution"]
    assert command("db", "check", "--repo", pushed.uri).startswith("0 problems in 1 execution, ")
    pushed.audit()
    with closing(pushed.source.connect()) as database:
        assert database.rows("SELECT count(*) FROM tag WHERE key = 'team'") == [(1,)]
