"""What a repository holds of an execution, and what happens when it cannot be used."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from support import InlineExecutor, Lab, SteeredExecutor, audit, python

from redun_lite import File, Scheduler, Value, _database, _sqlite, _writer, task
from redun_lite import _db as db
from redun_lite._db import Repository
from redun_lite._errors import (
    NewerRepository,
    NotARepository,
    RepositoryError,
    RepositoryWriteError,
)
from redun_lite._hash import key_of
from redun_lite._history import open_history
from redun_lite._job import Reporter
from redun_lite._provenance import CallNode
from redun_lite._record import load_value
from redun_lite._schema import APPLICATION_ID, VERSION

redun_namespace = "test_db"


@task(version="1")
def ident(x):
    return x


@task(version="1")
def add(a, b):
    return a + b


@task(version="1")
def fail(message):
    raise ValueError(message)


def value(lab, row):
    """Return a recorded value."""
    ((name, data),) = lab.query(
        "SELECT name, data FROM value JOIN value_type ON value_type.id = type_id "
        "WHERE value.id = ?",
        row,
    )
    return load_value(name, data)


def calls(lab, name):
    """Return the row ids of the calls of a task."""
    return lab.query(
        "SELECT call.id FROM call JOIN task ON task.id = task_id WHERE fullname = ? "
        "ORDER BY call.id",
        f"test_db.{name}",
    )


def arguments(lab, call):
    """Return names and values of a call's arguments."""
    rows = lab.query(
        "SELECT name, value_id FROM argument WHERE call_id = ? ORDER BY position", call
    )
    return [(name, value(lab, row)) for name, row in rows]


def upstreams(lab, call):
    """Return name and arguments of the calls that each argument was made of, by its position."""
    found = {}
    for position, upstream, name in lab.query(
        "SELECT position, upstream_id, fullname FROM upstream JOIN call ON call.id = upstream_id "
        "JOIN task ON task.id = task_id WHERE call_id = ? ORDER BY position, upstream_id",
        call,
    ):
        shown = [name.rpartition(".")[2], *(value for _, value in arguments(lab, upstream))]
        found.setdefault(position, []).append(tuple(shown))
    return {position: sorted(sources, key=repr) for position, sources in found.items()}


def children(lab, call):
    rows = lab.query("SELECT child_id FROM call_child WHERE call_id = ? ORDER BY position", call)
    return [
        (name.rpartition(".")[2], *(value for _, value in arguments(lab, row)))
        for row in rows
        for name in lab.query(
            "SELECT fullname FROM task JOIN call ON task.id = task_id WHERE call.id = ?", row
        )
    ]


# The file


def test_a_new_database_is_marked_as_ours_and_private_to_the_user(tmp_path):
    path = tmp_path / "folder" / "new.db"
    Repository(str(path)).close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_empty_file_becomes_a_database(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    Repository(str(path)).close()
    assert path.stat().st_size > 0


@pytest.mark.sqlite
def test_a_database_that_is_closed_is_one_file(lab):
    lab.run(ident(1))
    assert os.listdir(lab.folder) == ["lab.db"]


@pytest.mark.parametrize("name", ["a b.db", "per%20cent.db", "what?.db", "ha#sh.db", "ü.db"])
def test_a_path_may_hold_what_a_uri_would_take_for_something_else(tmp_path, name):
    Repository(str(tmp_path / name)).close()
    assert os.listdir(tmp_path) == [name]


def test_a_relative_path_starts_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Repository("here.db").close()
    assert (tmp_path / "here.db").exists()


# Provenance


def test_a_call_is_recorded_with_its_arguments_by_name(lab):
    @task
    def call(a, b=[2], *rest, c={"d": 4}, **others):  # noqa: B006
        return None

    lab.run(call(1, [ident(3)], "x", "y", z=ident(5)))
    (row,) = calls(lab, "call")
    assert arguments(lab, row) == [
        ("a", 1),
        ("b", [3]),
        ("rest", ("x", "y")),
        ("c", {"d": 4}),
        ("others", {"z": 5}),
    ]
    assert upstreams(lab, row) == {1: [("ident", 3)], 4: [("ident", 5)]}


UPSTREAMS = {
    "a call": (lambda: ident(1), [("ident", 1)]),
    "an operator": (lambda: ident(1) + ident(2), [("ident", 1), ("ident", 2)]),
    "an item": (lambda: ident([7])[0], [("ident", [7])]),
    "a nested value": (
        lambda: {"k": [ident(1), (ident(2), {ident(3)})]},
        [("ident", 1), ("ident", 2), ("ident", 3)],
    ),
    "operators on operators": (
        lambda: (ident(1) + 1) * (ident(2) - ident(1)),
        [("ident", 1), ("ident", 2)],
    ),
    "a call that reads another": (lambda: add(ident(1), 2), [("add", 1, 2)]),
    "no call": (lambda: [1, "two"], None),
    "an operator on a task": (lambda: pick()(1, 2), [("add", 1, 2), ("pick",)]),
}


@task(version="1")
def pick():
    return add


@pytest.mark.parametrize("what", UPSTREAMS)
@pytest.mark.parametrize("run", ["first", "replayed", "shared"])
def test_an_argument_is_recorded_with_the_calls_that_it_was_made_of(lab, what, run):
    make, expected = UPSTREAMS[what]
    if run == "replayed":
        lab.run([make()])
    lab.run(([make()] if run == "shared" else []) + [ident({"reader": make()})])
    (row,) = [row for row in calls(lab, "ident") if "reader" in str(arguments(lab, row))]
    assert upstreams(lab, row) == ({0: expected} if expected else {})
    lab.audit()


def test_a_default_argument_is_recorded_with_its_calls(lab):
    @task
    def call(a=add(1, 2)):
        return a

    lab.run(call())
    (row,) = calls(lab, "call")
    assert arguments(lab, row) == [("a", 3)]
    assert upstreams(lab, row) == {0: [("add", 1, 2)]}


def test_a_call_is_recorded_with_the_calls_below_in_order(lab):
    @task
    def parent():
        return [add(ident(1), 2), ident(3), add(ident(1), 2)]

    lab.run(parent())
    (row,) = calls(lab, "parent")
    assert sorted(children(lab, row), key=repr) == [
        ("add", 1, 2),
        ("add", 1, 2),
        ("ident", 1),
        ("ident", 1),
        ("ident", 3),
    ]
    assert children(lab, row)[0] == ("add", 1, 2)
    assert children(lab, row)[1] == ("ident", 3)


def test_what_a_function_returned_and_what_that_came_to_are_both_recorded(lab):
    @task
    def parent():
        return {"sum": add(1, 2)}

    lab.run(parent())
    (row,) = calls(lab, "parent")
    ((single, result),) = lab.query("SELECT single_id, result_id FROM call WHERE id = ?", row)
    assert repr(value(lab, single)) == "{'sum': test_db.add(1, 2)}"
    assert value(lab, result) == {"sum": 3}
    (leaf,) = calls(lab, "add")
    ((single, result),) = lab.query("SELECT single_id, result_id FROM call WHERE id = ?", leaf)
    assert single == result


def test_a_task_is_recorded_with_its_source_and_version(lab):
    @task
    def with_source(x):
        return x + 1  # And a comment.

    lab.run([with_source(1), ident(1)])
    found = dict(lab.query("SELECT fullname, source FROM task"))
    assert found["test_db.with_source"] == (
        "def with_source(x):\n    return x + 1  # And a comment.\n"
    )
    versions = dict(lab.query("SELECT fullname, version FROM task"))
    assert versions == {"test_db.with_source": None, "test_db.ident": "1"}


def test_a_job_is_recorded_with_its_parent_and_times(lab):
    @task
    def parent():
        return [ident(1)]

    lab.run(parent())
    (above, below) = lab.query("SELECT id, parent_id, started, ended FROM job ORDER BY id")
    assert above[:2] == ((1 << 32) + 1, None)
    assert below[:2] == ((1 << 32) + 2, above[0])
    assert above[2] <= below[2] <= below[3] <= above[3]


def test_a_job_that_was_replayed_refers_to_the_call_that_it_replayed(lab):
    lab.run(ident(1))
    lab.run(ident(1))
    first, second = lab.query("SELECT call_id FROM job ORDER BY id")
    assert first == second


def test_a_call_that_comes_out_differently_is_recorded_beside_the_first(lab):
    results = iter("ab")

    @task(cache=False)
    def random():
        return next(results)

    lab.run(random())
    lab.run(random())
    found = [
        value(lab, lab.query("SELECT result_id FROM call WHERE id = ?", row)[0])
        for row in calls(lab, "random")
    ]
    assert found == ["a", "b"]
    assert lab.query("SELECT count(DISTINCT key) FROM call") == [1]


def test_equal_values_are_recorded_once(lab):
    data = "x" * 10_000
    lab.run([ident(data), ident([data]), add(data, "")])
    lab.run(ident({"k": data}))
    stored = lab.query("SELECT data FROM value WHERE digest = ?", key_of(data))
    assert len(stored) == 1


def test_values_inside_a_value_are_recorded_beside_it(lab, tmp_path):
    files = [File(tmp_path / name) for name in "ab"]
    for file in files:
        file.write("content")

    @task
    def produce():
        return {"files": [files[0], (files[1],)], "n": 1}

    lab.run(ident(produce()))
    (row,) = calls(lab, "produce")
    (result,) = lab.query("SELECT result_id FROM call WHERE id = ?", row)
    inside = lab.query("SELECT child_id FROM subvalue WHERE parent_id = ?", result)
    assert sorted(value(lab, child).path for child in inside) == [file.path for file in files]
    paths = lab.query("SELECT value_id, path FROM file ORDER BY path")
    assert {value_id for value_id, _ in paths} == set(inside)
    assert [path for _, path in paths] == [file.path for file in files]
    types = lab.query(
        "SELECT DISTINCT name FROM value JOIN value_type ON type_id = value_type.id "
        "JOIN file ON value.id = value_id"
    )
    assert types == ["redun_lite.File"]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
def test_a_file_whose_name_is_no_text_is_recorded(lab):
    name = os.path.join(os.fsencode(lab.folder), b"caf\xe9.txt")
    with open(name, "w") as stream:
        stream.write("content")
    lab.run(ident([File(os.fsdecode(name))]), tags=[("caf\udce9", "\udce9")])
    assert lab.query("SELECT path FROM file") == [f"{lab.folder}/caf\\udce9.txt"]
    assert lab.query("SELECT key FROM tag") == ["caf\\udce9"]
    lab.audit()
    lab.run(ident([File(os.fsdecode(name))]))
    assert lab.jobs() == {"ident": ["CACHED"]}


class Crate(Value):
    """Holds values that only it knows of."""

    def __init__(self, *inside):
        self.inside = inside

    def iter_subvalues(self):
        return iter(self.inside)


def test_a_value_of_the_users_own_says_what_is_inside(lab):
    lab.run(ident(Crate("in", Crate("deeper"))))
    names = lab.query(
        "SELECT parent.name, child.name FROM subvalue "
        "JOIN value AS a ON a.id = parent_id JOIN value_type AS parent ON parent.id = a.type_id "
        "JOIN value AS b ON b.id = child_id JOIN value_type AS child ON child.id = b.type_id "
        "ORDER BY child.name"
    )
    crate, text = "test_db.Crate", "builtins.str"
    assert names == [(crate, text), (crate, text), (crate, crate)]


def test_an_error_is_recorded_with_the_traceback_of_the_users_code(lab):
    @task
    def parent():
        return [ident(1), fail("broken")]

    with pytest.raises(ValueError, match="broken"):
        lab.run(parent(), InlineExecutor("default"))
    for name in ("fail", "parent"):
        (row,) = calls(lab, name)
        ((single, result),) = lab.query("SELECT single_id, result_id FROM call WHERE id = ?", row)
        error = value(lab, result)
        assert (single is None) == (name == "fail")
        assert (error.error_type, error.message) == ("builtins.ValueError", "broken")
        assert "in fail\n" in error.traceback
        assert "_engine.py" not in error.traceback
        assert error.traceback.endswith("ValueError: broken\n")
    (row,) = calls(lab, "parent")
    assert children(lab, row) == [("ident", 1), ("fail", "broken")]
    lab.audit()


def test_an_error_with_a_cause_is_recorded_with_both(lab):
    @task
    def wraps():
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise RuntimeError("outer") from error

    with pytest.raises(RuntimeError):
        lab.run(wraps())
    (row,) = calls(lab, "wraps")
    (result,) = lab.query("SELECT result_id FROM call WHERE id = ?", row)
    shown = value(lab, result).traceback
    assert shown.index("KeyError: 'inner'") < shown.index("RuntimeError: outer")


def test_a_job_that_runs_long_is_recorded_while_it_does(lab):
    executor = SteeredExecutor("default")
    seen = []

    class Watching(Reporter):
        interval = 0.001

        def tick(self, engine):
            if executor.held:
                seen.append((lab.jobs(), [arguments(lab, row) for row in calls(lab, "ident")]))
                if seen[-1][0] or len(seen) > 1000:
                    executor.finish_all()

    with Scheduler(lab.config, executor=executor, reporter=Watching()) as scheduler:
        scheduler.run(ident(1))
    assert seen[-1] == ({"ident": ["RUNNING"]}, [[("x", 1)]])
    assert lab.jobs() == {"ident": ["DONE"]}
    assert len(calls(lab, "ident")) == 1


def test_a_job_that_fails_when_it_is_replayed_is_recorded_with_its_call(lab):
    fails = []

    @task(cache=False)
    def child(x):
        if fails:
            raise ValueError("now it fails")
        return x

    @task
    def parent(x):
        return child(x)

    assert lab.run(parent(1)) == 1
    fails.append(True)
    with pytest.raises(ValueError, match="now it fails"):
        lab.run(parent(1))
    assert lab.jobs() == {"parent": ["FAILED"], "child": ["FAILED"]}
    (row,) = lab.query("SELECT call_id FROM job WHERE parent_id IS NULL AND status = 'FAILED'")
    assert arguments(lab, row) == [("x", 1)]
    assert children(lab, row) == [("child", 1)]
    lab.audit()


def test_a_running_execution_gives_signs_of_life(lab, monkeypatch):
    monkeypatch.setattr(_writer, "HEARTBEAT_INTERVAL", 0.001)
    executor = SteeredExecutor("default")
    seen = []

    class Watching(Reporter):
        interval = 0.001

        def tick(self, engine):
            if executor.held:
                seen.append(lab.query("SELECT heartbeat > started FROM execution"))
                if seen[-1] == [1] or len(seen) > 1000:
                    executor.finish_all()

    with Scheduler(lab.config, executor=executor, reporter=Watching()) as scheduler:
        scheduler.run(ident(1))
    assert seen[-1] == [1]


# Many rows


@task(version="1")
def tree(n, payload):
    return payload if n == 0 else [tree(n - 1, [payload, 0]), tree(n - 1, [payload, 1]), ident(n)]


@pytest.mark.parametrize(
    "settings",
    [
        {(db, "BATCH_JOBS"): 1},
        {(db, "BATCH_JOBS"): 3, (db, "_KNOWN_VALUES"): 2, (_writer, "MAX_BACKLOG"): 1},
        {(db, "FLUSH_INTERVAL"): 0.0, (_database, "_BLOCK_SIZES"): (1,)},
        {(db, "_KNOWN_VALUES"): 1, (_sqlite, "_MAX_VARIABLES"): 20},
    ],
    ids=lambda settings: " ".join(name for _, name in settings),
)
def test_rows_belong_together_however_they_are_cut_into_batches(lab, monkeypatch, settings):
    with Scheduler() as scheduler:
        expected = scheduler.run(tree(5, "x"))
    for (room, name), setting in settings.items():
        monkeypatch.setattr(room, name, setting)
    assert lab.run(tree(5, "x")) == expected
    lab.audit()
    assert lab.run(tree(5, "x")) == expected
    assert lab.jobs()["tree"] == ["CACHED"] * 63
    lab.audit()


def test_a_call_that_is_only_to_be_forgotten_is_written_as_well(lab):
    lab.run(ident(1))
    ((row, key, outcome),) = lab.query("SELECT id, key, outcome FROM call")
    repository = Repository(lab.source)
    tasks = repository.task_set(frozenset((ident.key,)))
    repository.forget_call(CallNode(key, outcome, tasks, id=row))
    repository.close()
    assert lab.query("SELECT count(*) FROM call") == [0]


def test_thousands_of_keys_are_looked_up(tmp_path):
    repository = Repository(str(tmp_path / "many.db"))
    with Scheduler(backend=repository, executor=InlineExecutor("default")) as scheduler:
        scheduler.run([ident(n) for n in range(3000)])
        keys = [key for (key,) in repository.database.rows("SELECT key FROM call")]
        for count in (0, 1, 2, 63, 64, 65, 511, 512, 513, 3000):
            found = repository.look_up(keys[:count])
            assert set(found) == set(keys[:count])
    repository.close()


def test_two_schedulers_in_two_threads_write_to_one_database(lab):
    barrier = threading.Barrier(2)
    found = {}

    def work(name):
        barrier.wait()
        for n in range(20):
            found[name, n] = lab.run([ident((n, i)) for i in range(10)])

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {(name, n): [(n, i) for i in range(10)] for name in "ab" for n in range(20)}
    assert lab.statuses() == ["DONE"] * 40
    lab.audit()


# What is no repository


def untouched(path, error, match):
    """Check that a file is refused with one line that names it, and left as it was."""
    before = path.read_bytes(), sorted(os.listdir(path.parent))
    with pytest.raises(error, match=match) as caught:
        Repository(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes(), sorted(os.listdir(path.parent))) == before


@pytest.mark.parametrize(
    "content",
    [b"This is a letter.\n" * 100, b"short", random.Random(1).randbytes(5000), pickle.dumps([1])],
    ids=["text", "short", "noise", "pickle"],
)
def test_a_file_that_is_no_database_is_refused(tmp_path, content):
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    untouched(path, NotARepository, "is not a redun_lite database")


def test_a_database_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE guests (name TEXT)")
    connection.close()
    untouched(path, NotARepository, "is a database of another program, not of redun_lite")


def test_a_database_of_redun_is_refused_by_name(tmp_path):
    path = tmp_path / "redun.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE redun_version (id TEXT, version INTEGER, timestamp TEXT)")
    connection.close()
    untouched(path, NotARepository, "is a database of redun, not of redun_lite")


@pytest.mark.sqlite
def test_a_newer_database_is_refused(lab):
    lab.run(ident(1))
    connection = sqlite3.connect(lab.path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    untouched(
        lab.path,
        NewerRepository,
        f"schema version {VERSION + 1}, this program knows up to {VERSION}",
    )


@pytest.mark.sqlite
def test_a_damaged_database_is_an_error_in_one_line(lab):
    lab.run([ident(n) for n in range(300)])
    content = bytearray(lab.path.read_bytes())
    content[2048:] = random.Random(1).randbytes(len(content) - 2048)
    lab.path.write_bytes(content)
    with pytest.raises(RepositoryError) as caught:
        lab.run([ident(n) for n in range(300)])
    assert str(lab.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_the_database_is_named(tmp_path):
    with pytest.raises(RepositoryWriteError, match=f"cannot open {tmp_path}: it is a folder"):
        Repository(str(tmp_path))


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "lab.db"
    with pytest.raises(RepositoryWriteError, match=f"cannot make the database {path}: "):
        Repository(str(path))


def test_opening_a_repository_twice_in_one_process_keeps_its_locks(tmp_path):
    path = str(tmp_path / "lab.db")
    repositories = [Repository(path) for _ in range(2)]
    log = os.stat(f"{path}-wal").st_ino
    # The last one that closes a database deletes its log: this is not the last one.
    python("-c", f"from redun_lite._db import Repository; Repository({path!r}).close()")
    assert os.stat(f"{path}-wal").st_ino == log
    for repository in repositories:
        repository.close()


# What cannot be written


def as_nobody(function):
    """Call a function in a process whose user has no rights; return what it returns.

    File permissions do not apply to root, who may be running these tests.
    """
    receiver, sender = os.pipe()
    if os.fork() == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            result = function()
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"
        os.write(sender, json.dumps(result).encode())
        os._exit(0)
    os.close(sender)
    with open(receiver) as stream:
        found = json.load(stream)
    os.wait()
    return found


@pytest.fixture
def public():
    """Return a folder that everyone may look into."""
    folder = Path(tempfile.mkdtemp(prefix="redun-lite-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("what", ["file", "folder", "both"])
def test_a_database_without_permission_to_write_is_named(public, what):
    lab = Lab(public)
    lab.run(ident(1))
    if what != "folder":
        lab.path.chmod(0o444)
    else:
        lab.path.chmod(0o666)
    public.chmod(0o777 if what == "file" else 0o555)
    found = as_nobody(lambda: lab.run([ident(1), ident(2)]))
    assert found.startswith(f"RepositoryWriteError: cannot write to {lab.path}: ")
    assert "\n" not in found
    lab.audit()
    assert lab.statuses() == ["DONE"]


def test_a_database_without_permission_to_read_is_named(public):
    lab = Lab(public)
    lab.run(ident(1))
    lab.path.chmod(0o600 if os.getuid() == 0 else 0)
    found = as_nobody(lambda: lab.run(ident(1)))
    assert found.startswith(f"RepositoryNotOpened: cannot open {lab.path}: ")
    assert "no permission" in found
    lab.path.chmod(0o600)


def test_a_folder_that_nobody_may_look_into_is_named(public):
    lab = Lab(public / "inside")
    lab.folder.mkdir()
    lab.run(ident(1))
    lab.folder.chmod(0o700 if os.getuid() == 0 else 0o600)
    found = as_nobody(lambda: open_history(str(lab.path)))
    assert found == (
        f"RepositoryNotOpened: cannot open {lab.path}: no permission to look into {lab.folder}"
    )
    lab.folder.chmod(0o700)


def test_a_folder_in_which_nothing_can_be_made_is_named(public):
    public.chmod(0o555)
    lab = Lab(public)
    found = as_nobody(lambda: lab.run(ident(1)))
    assert found == (f"RepositoryNotOpened: cannot make the database {lab.path}: Permission denied")


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True)
    if done.returncode:
        pytest.skip("only root may mount")


@pytest.fixture
def disk(tmp_path):
    """Return a small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", folder)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_file_system_that_is_read_only_is_named(disk):
    lab = Lab(disk)
    lab.run(ident(1))
    mount("-o", "remount,ro", disk)
    with pytest.raises(
        RepositoryWriteError, match=f"cannot (write to|open) {lab.path}: "
    ) as caught:
        lab.run(ident(2))
    assert "\n" not in str(caught.value)
    mount("-o", "remount,rw", disk)
    lab.run(ident(2))
    assert lab.statuses() == ["DONE", "DONE"]


STEPS = 40


def make_steps(ran):
    @task(version="1")
    def step(n, previous):
        ran.append(n)
        return os.urandom(100_000) + bytes([n])

    def steps():
        value = b""
        for n in range(STEPS):
            value = step(n, value[-1:])
        return value[-1]

    return steps


def test_a_full_disk_ends_the_run_and_keeps_what_was_committed(disk, monkeypatch):
    monkeypatch.setattr(db, "FLUSH_INTERVAL", 0.0)
    lab = Lab(disk)
    ran = []
    steps = make_steps(ran)
    with pytest.raises(RepositoryWriteError, match=f"cannot write to {lab.path}: .*") as caught:
        lab.run(steps(), InlineExecutor("default"))
    assert "free some space, then run again" in str(caught.value)
    assert "\n" not in str(caught.value)

    # Space is made, by whatever means, and the run is repeated.
    mount("-o", "remount,size=100m", disk)
    lab.audit()
    (committed,) = lab.query("SELECT count(*) FROM job WHERE status = 'DONE'")
    assert 0 < committed < STEPS
    ran.clear()
    assert lab.run(steps(), InlineExecutor("default")) == STEPS - 1
    assert ran == list(range(committed, STEPS))
    lab.audit()


@pytest.mark.sqlite
def test_a_database_that_may_not_grow_ends_the_run_and_keeps_what_was_committed(lab):
    # What a full disk is to everyone, a limit on the size of files is to one process.
    script = lab.folder / "script.py"
    script.write_text(
        "import resource, sys\n"
        "from pathlib import Path\n"
        "import test_db\n"
        "from redun_lite import _db\n"
        "_db.FLUSH_INTERVAL = 0.0\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\n"
        "lab = test_db.Lab(Path(sys.argv[1]))\n"
        "lab.run(test_db.make_steps([])(), test_db.InlineExecutor('default'))\n"
    )
    done = python(script, lab.folder, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("redun_lite.RepositoryWriteError: cannot write to")
    lab.audit()
    (committed,) = lab.query("SELECT count(*) FROM job WHERE status = 'DONE'")
    assert 0 < committed < STEPS
    ran = []
    assert lab.run(make_steps(ran)(), InlineExecutor("default")) == STEPS - 1
    assert ran == list(range(committed, STEPS))
    lab.audit()


def replaced(path):
    """Put another database in place of one."""
    other = path.with_name("other.db")
    Repository(str(other)).close()
    other.replace(path)


def deleted(path):
    for part in list(path.parent.iterdir()):
        part.unlink()


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("change", "became"), [(deleted, "deleted or moved"), (replaced, "replaced")]
)
def test_a_database_that_goes_away_during_a_run_is_an_error(lab, change, became):
    executor = SteeredExecutor("default")

    def on_submit(job):
        change(lab.path)
        executor.finish(job)

    executor.on_submit = on_submit
    with pytest.raises(RepositoryWriteError, match=f"{lab.path} was {became}") as caught:
        lab.run(ident(1), executor)
    assert "\n" not in str(caught.value)
    assert lab.run(ident(1)) == 1
    assert lab.jobs() == {"ident": ["DONE"]}
    lab.audit()


@pytest.fixture
def other_process(lab):
    """Return a function that makes another process begin or end a transaction, and waits for it."""
    lab.run(ident("first"))
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for line in sys.stdin:\n"
        "    connection.execute(line)\n"
        "    print('done', flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(lab.path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:

        def tell(statement):
            process.stdin.write(statement + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        yield tell
        process.stdin.close()


@pytest.mark.sqlite
def test_a_database_that_another_process_holds_is_waited_for(lab, other_process, monkeypatch):
    monkeypatch.setattr(db, "FLUSH_INTERVAL", 0.0)
    executor = SteeredExecutor("default")
    statements = iter(["BEGIN IMMEDIATE", "COMMIT"])

    def on_submit(job):
        other_process(next(statements))
        executor.finish(job)

    executor.on_submit = on_submit
    assert lab.run(add(add(1, 2), 3), executor) == 6
    assert lab.jobs() == {"add": ["DONE", "DONE"]}
    lab.audit()


@pytest.mark.sqlite
def test_a_database_that_another_process_holds_for_too_long_ends_the_run(
    lab, other_process, monkeypatch
):
    monkeypatch.setattr(db, "FLUSH_INTERVAL", 0.0)
    monkeypatch.setattr(_sqlite, "BUSY_TIMEOUT", 0.01)
    executor = SteeredExecutor("default")
    committed = []

    def on_submit(job):
        committed.append(lab.query("SELECT count(*) FROM job")[0])
        if len(committed) == 3:
            other_process("BEGIN IMMEDIATE")
        executor.finish(job)

    executor.on_submit = on_submit
    with pytest.raises(RepositoryWriteError, match=f"{lab.path} is locked: .*") as caught:
        lab.run(add(add(add(1, 2), 3), 4), executor)
    assert "\n" not in str(caught.value)
    with pytest.raises(RepositoryWriteError, match=f"{lab.path} is locked: "):
        lab.run(ident(1))
    other_process("COMMIT")
    lab.audit()
    assert lab.run(add(add(add(1, 2), 3), 4)) == 10
    assert lab.jobs()["add"].count("CACHED") >= 1
    lab.audit()


@pytest.mark.parametrize("path", ["lab.db", ":memory:"])
def test_a_repository_that_is_closed_takes_and_gives_nothing(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    repository = Repository(path)
    repository.close()
    repository.close()
    repository.record_tag("entity", "key", 1)
    for use in (
        repository.flush,
        repository.sync,
        lambda: repository.start_execution("uuid", [], 1),
        lambda: repository.look_up([b"key"]),
        lambda: repository.find_execution("uuid"),
        lambda: repository.are_states_valid(["00"]),
    ):
        repository.record_tag("entity", "key", 1)
        with pytest.raises(RepositoryError, match=f"^{path} is closed: "):
            use()


def test_a_repository_in_memory_holds_the_same(lab):
    @task
    def main():
        return [add(ident(1), 2), ident({"k": [1]})]

    repository = Repository()
    with Scheduler(backend=repository) as scheduler:
        scheduler.run(main())
        audit(repository.database)
        lab.run(main())
        kept = [
            f"SELECT count(*) FROM {table}"
            for table in ("call", "argument", "upstream", "call_child", "job", "task")
        ]
        # A job that took its time may have left behind that it had not ended.
        kept.append(
            "SELECT count(*) FROM value JOIN value_type ON value_type.id = type_id "
            "WHERE name <> 'redun_lite.ErrorValue'"
        )
        for count in kept:
            assert repository.database.rows(count)[0][0] == lab.query(count)[0]
    repository.close()
