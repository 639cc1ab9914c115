"""Collecting garbage: what goes, what stays, and what others do meanwhile."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path

import pytest
from support import note, notes

from redun_lite import Handle, Value, apply_tags, catch, subrun, task
from redun_lite import _garbage as garbage
from redun_lite._cli import main
from redun_lite._errors import UsageError
from redun_lite._garbage import ANY, Keep, collect
from redun_lite._id_set import IdCounts, IdSet
from redun_lite._timers import now
from redun_lite._value_store import ValueStore, home_of

redun_namespace = "test_garbage"


def collected(lab, keep, store=None, **options):
    with closing(lab.source.connect()) as database:
        return collect(database, keep, store, home_of(database.address), **options)


def change(lab, *statements):
    """Run statements on the database, each with its parameters."""
    with closing(lab.source.connect()) as database:
        for sql, *parameters in statements:
            database.execute(sql, *parameters)


def removed(result):
    """Return how many records went, but values: a run that is slow records one more in between."""
    tallies = {kind: tally for kind, tally in result.tallies.items() if kind != "values"}
    return {kind: tally.removed for kind, tally in tallies.items() if tally.removed}


@task(version="1")
def ident(value):
    return value


@task(version="1")
def add(a, b):
    return a + b


@task(version="1")
def twice(value):
    return add(ident(value), ident(value))


@task(version="1", check_valid="shallow")
def shallow(value):
    return twice(value)


class Text(Value):
    def __init__(self, text):
        self.text = text


# What goes and what stays


def test_the_last_executions_stay_with_all_that_they_need(lab):
    for number in range(4):
        lab.run(twice(number))
    result = collected(lab, Keep(last=2))
    assert removed(result) == {"executions": 2, "jobs": 8, "calls": 6}
    lab.audit()
    for number in (2, 3):
        assert lab.run(twice(number)) == 2 * number
        assert lab.is_cached()
    lab.run(twice(0))
    assert "DONE" in lab.jobs()["twice"]
    lab.audit()


def test_what_a_kept_execution_has_from_the_cache_stays(lab):
    lab.run(shallow(1))
    lab.run(shallow(1))
    assert lab.jobs() == {"shallow": ["CACHED"]}
    calls = lab.query("SELECT count(*) FROM call")
    assert removed(collected(lab, Keep(last=1))) == {"executions": 1, "jobs": 5}
    assert lab.query("SELECT count(*) FROM call") == calls
    lab.audit()
    lab.run(twice(1))
    assert lab.is_cached()


def test_what_came_before_an_argument_stays(lab):
    lab.run(ident(add(1, 2)))
    lab.run(ident(3))
    collected(lab, Keep(last=1))
    # The call ident(3) is of both, and knows that add made its argument.
    assert lab.query("SELECT count(*) FROM upstream") == [1]
    lab.audit()


def test_parts_of_values_and_files_go_and_stay_with_them(lab):
    lab.run(ident([Text("a")]))
    lab.run(ident([Text("b")]))
    result = collected(lab, Keep(last=1))
    assert removed(result) == {"executions": 1, "jobs": 1, "calls": 1}
    assert lab.query("SELECT count(*) FROM subvalue") == [1]
    lab.audit()


def test_tasks_that_nothing_calls_go(lab):
    for source in ("return 1", "return 2"):

        @task(name="edited", version=source)
        def edited():
            return 1

        lab.run(edited())
    assert removed(collected(lab, Keep(last=1)))["tasks"] == 1
    assert lab.query("SELECT count(*) FROM task_set") == [1]
    lab.audit()


def test_a_subrun_goes_and_stays_with_what_it_is_part_of(lab):
    config = lab.config.get_config_dict()
    for number in (1, 2):
        lab.run(subrun(ident(number), executor="default", config=config))
    executions = lab.query("SELECT count(*) FROM execution")[0]
    collected(lab, Keep(last=1))
    assert lab.query("SELECT count(*) FROM execution") == [executions // 2]
    lab.audit()


def test_executions_with_a_tag_stay(lab):
    for number, tags in enumerate(([], [("project", "a")], [("project", "b")], [])):
        with lab.scheduler() as scheduler:
            scheduler.run(ident(number), tags=tags)
    assert removed(collected(lab, Keep(tags=(("project", ANY),)), dry_run=True))["executions"] == 2
    collected(lab, Keep(tags=(("project", "b"),)))
    assert lab.query("SELECT value FROM tag") == ['"b"']
    lab.audit()


def test_executions_of_the_last_days_stay(lab):
    lab.run(ident(1))
    moment = now()
    lab.run(ident(2))
    collected(lab, Keep(since=moment))
    assert lab.query("SELECT count(*) FROM execution") == [1]


def test_tags_go_with_what_they_are_on(lab):
    lab.run(apply_tags(ident(1), [("a", 1)], job_tags=[("b", 1)], execution_tags=[("c", 1)]))
    lab.run(apply_tags(ident(2), [("a", 2)], job_tags=[("b", 2)], execution_tags=[("c", 2)]))
    collected(lab, Keep(last=1))
    assert sorted(lab.query("SELECT key, value FROM tag")) == [("a", "2"), ("b", "2"), ("c", "2")]
    lab.audit()


def test_tags_of_calls_and_tasks_go_with_them(lab):
    for number in (1, 2):
        lab.run(add(number, number))
    entities = [
        key.hex() + outcome.to_bytes(8, "big", signed=True).hex()
        for key, outcome in lab.query("SELECT key, outcome FROM call")
    ]
    entities += [digest.hex() for digest in lab.query("SELECT digest FROM task")]
    entities += ["0" * 40, "0" * 56, "unknown"]
    insert = "INSERT INTO tag (entity, key, value) VALUES (?, 'k', '1')"
    change(lab, *((insert, entity) for entity in entities))
    collected(lab, Keep(last=1))
    assert lab.query("SELECT entity FROM tag ORDER BY id") == [*entities[1:3], "unknown"]


@task(version="1", retries=1, retry_delay=0)
def stumble(path):
    note(path, "run")
    if len(notes(path)) < 2:
        raise ValueError("once")
    return 1


def test_attempts_go_with_their_jobs(lab):
    lab.run(stumble(str(lab.folder / "notes")))
    lab.run(ident(1))
    collected(lab, Keep(last=1))
    assert lab.query("SELECT count(*) FROM attempt") == [0]
    lab.audit()


@task(version="1")
def fail(path, text):
    note(path, text)
    raise ValueError(text)


@task(version="1")
def recover(error):
    return str(error)


@task(version="1")
def careful(path, text):
    return catch(fail(path, text), ValueError, recover)


def test_a_handled_error_is_still_replayed_and_others_go(lab):
    path = str(lab.folder / "notes")
    for text in ("a", "b", "b"):
        assert lab.run(careful(path, text)) == text
    assert notes(path) == ["a", "b"]
    collected(lab, Keep(last=1))
    assert lab.query("SELECT count(*) FROM handled") == [1]
    lab.run(careful(path, "b"))
    assert notes(path) == ["a", "b"]
    lab.audit()


class Store(Handle):
    def __init__(self, name, path, namespace=None):
        self.path = path
        self.instance = None


@task(version="1")
def put(store, line):
    note(store.path, line)
    return store


def test_states_of_handles_that_kept_executions_have_stay_valid(lab):
    path = str(lab.folder / "notes")
    for lines in ("ab", "ac", "ad"):
        handle = Store("store", path, namespace="test_garbage")
        lab.run(put(put(handle, lines[0]), lines[1]))
    assert notes(path) == ["a", "b", "c", "d"]
    states = lab.query("SELECT count(*) FROM handle_state")[0]
    collected(lab, Keep(last=1))
    assert lab.query("SELECT count(*) FROM handle_state")[0] < states
    lab.audit()
    handle = Store("store", path, namespace="test_garbage")
    lab.run(put(put(handle, "a"), "d"))
    assert notes(path) == ["a", "b", "c", "d"]


def test_with_nothing_kept_nothing_is_left(lab):
    lab.run(shallow(1))
    lab.run(careful(str(lab.folder / "notes"), "a"))
    collected(lab, Keep())
    for table in ("execution", "job", "call", "argument", "upstream", "call_child", "value"):
        assert lab.query(f"SELECT count(*) FROM {table}") == [0], table
    for table in ("task", "task_set", "task_set_member", "handled", "tag", "file", "subvalue"):
        assert lab.query(f"SELECT count(*) FROM {table}") == [0], table
    lab.run(shallow(1))
    lab.audit()


def test_a_dry_run_says_the_same_and_does_nothing(lab):
    for number in range(3):
        lab.run(twice(number))
    before = lab.query("SELECT * FROM job"), lab.query("SELECT * FROM value")
    would = collected(lab, Keep(last=1), dry_run=True)
    assert (lab.query("SELECT * FROM job"), lab.query("SELECT * FROM value")) == before
    assert would == collected(lab, Keep(last=1))
    assert would.bytes > 0


# Beside others


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(garbage, "_MOST_PAUSE", 0.0)


@pytest.fixture
def small_blocks(monkeypatch, quick):
    monkeypatch.setattr(garbage, "_BLOCK", 2)
    monkeypatch.setattr(garbage, "_MARKS", 2)
    monkeypatch.setattr(garbage, "_FILES", 1)


def test_in_blocks_it_comes_to_the_same(lab, small_blocks):
    for number in range(5):
        lab.run(shallow([Text(str(number))]))
    collected(lab, Keep(last=1))
    lab.audit()
    assert lab.query("SELECT count(*) FROM job") == [5]
    assert len(lab.query("SELECT id FROM call")) == 4


def test_while_an_execution_runs_only_executions_go(lab):
    lab.run(twice(1))
    lab.run(twice(2))
    with lab.scheduler() as scheduler:
        uuid = "5c1f9a3e-0000-4000-8000-000000000000"
        running = scheduler.backend.start_execution(uuid, [], now())
        result = collected(lab, Keep())
        assert removed(result) == {"executions": 2, "jobs": 8}
        assert result.stopped == "running: 5c1f9a3e"
        assert len(lab.query("SELECT id FROM call")) > 0
        scheduler.backend.end_execution(running, "DONE")
    lab.audit()
    assert removed(collected(lab, Keep()))["calls"] == 6


def test_an_execution_that_was_killed_does_not_count_as_running(lab):
    lab.run(twice(1))
    change(lab, ("UPDATE execution SET status = 'RUNNING', ended = NULL, pid = 999999999",))
    assert collected(lab, Keep()).stopped is None
    assert lab.query("SELECT count(*) FROM call") == [0]


@pytest.mark.parametrize(
    ("host", "silence", "is_running"),
    [("elsewhere", 60, True), ("elsewhere", 7200, False), ("", 7200, True), ("", 100_000, False)],
)
def test_in_doubt_an_execution_is_running(host, silence, is_running):
    import socket

    heartbeat = now() - silence * 1_000_000
    host = host or socket.gethostname()
    assert garbage._may_be_running(host, os.getpid(), heartbeat) == is_running


@pytest.mark.parametrize("moment", range(9))
def test_an_execution_that_comes_between_keeps_what_it_found(
    lab, small_blocks, monkeypatch, moment
):
    """Whenever it comes, it finds a call as a whole or not at all."""
    for number in range(4):
        lab.run(shallow(number))
    briefly = garbage._Collector._briefly
    state = {"left": moment}

    def between(self):
        if state["left"] == 0:
            state["left"] = -1
            assert lab.run(shallow(1)) == 2
        state["left"] -= state["left"] > 0
        return briefly(self)

    with monkeypatch.context() as patch:
        patch.setattr(garbage._Collector, "_briefly", between)
        collected(lab, Keep(last=1))
    assert state["left"] == -1
    lab.audit()
    lab.run(shallow(1))
    assert lab.jobs() == {"shallow": ["CACHED"]}


@pytest.mark.parametrize("moment", range(12))
def test_after_an_interruption_the_repository_is_whole(lab, small_blocks, monkeypatch, moment):
    for number in range(4):
        lab.run(shallow([Text(str(number))]))
    briefly = garbage._Collector._briefly
    state = {"left": moment}

    def between(self):
        state["left"] -= 1
        if state["left"] < 0:
            raise KeyboardInterrupt
        return briefly(self)

    with monkeypatch.context() as patch:
        patch.setattr(garbage._Collector, "_briefly", between)
        with pytest.raises(KeyboardInterrupt):
            collected(lab, Keep(last=1))
    without_tags(lab)
    lab.audit()
    collected(lab, Keep(last=1))
    lab.audit()
    assert lab.query("SELECT count(*) FROM job") == [5]
    assert len(lab.query("SELECT id FROM call")) == 4


def without_tags(lab):
    """Tags go last: until then some may be on nothing, which nobody meets."""
    change(lab, ("DELETE FROM tag",))


def test_a_scheduler_that_lives_on_forgets_the_ids_of_rows_that_are_gone(lab):
    with lab.scheduler() as scheduler:
        scheduler.run(shallow([Text("a")]))
        collected(lab, Keep())
        scheduler.run(ident(7))
        assert scheduler.run(shallow([Text("a")])) is not None
        scheduler.run(ident([Text("a")]))
    lab.audit()
    assert lab.jobs(lab.query("SELECT max(id) - 1 FROM execution")[0])["shallow"] == ["DONE"]


def test_an_id_of_an_execution_that_is_given_again_owns_no_states(lab):
    path = str(lab.folder / "notes")
    lab.run(ident(1))
    lab.run(put(Store("store", path, namespace="test_garbage"), "a"))
    with lab.scheduler() as scheduler:
        uuid = "5c1f9a3e-0000-4000-8000-000000000000"
        running = scheduler.backend.start_execution(uuid, [], now())
        collected(lab, Keep())
        scheduler.backend.end_execution(running, "DONE")
    assert lab.query("SELECT count(*) FROM handle_state WHERE execution_id IS NOT NULL") == [0]


# Files of the value store


@pytest.fixture
def stored(lab):
    backend = {"db_uri": lab.uri, "value_store_path": str(lab.folder / "store")}
    lab.config = type(lab.config)({"backend": backend})
    return lab


def files(lab):
    return [path for path in (lab.folder / "store").rglob("*") if path.is_file()]


def test_files_go_with_their_values(stored):
    stored.run(ident("a" * 2000))
    stored.run(ident("b" * 2000))
    result = collected(stored, Keep(last=1))
    assert removed(result)["files"] == 1
    assert result.bytes > 2000
    assert len(files(stored)) == 1
    stored.run(ident("b" * 2000))
    assert stored.jobs() == {"ident": ["CACHED"]}


@pytest.mark.parametrize("path", ["mine.txt", "/etc/none", "git/objects/ab/" + "c" * 38])
def test_a_database_of_a_stranger_has_no_other_files_removed(stored, path):
    stored.run(ident("a" * 2000))
    victim = stored.folder / path
    if not path.startswith("/"):
        victim.parent.mkdir(parents=True, exist_ok=True)
        victim.write_text("mine")
    digest = bytes.fromhex("ab" + "c" * 38)
    change(
        stored,
        ("UPDATE stored_value SET path = ?, digest = ?", path, digest),
        ("UPDATE property SET value = 'objects' WHERE name = 'store'",),
    )
    collected(stored, Keep())
    assert stored.query("SELECT count(*) FROM stored_value") == [0]
    assert path.startswith("/") or victim.read_text() == "mine"


def test_files_without_a_row_go_once_they_are_old(stored):
    stored.run(ident("a" * 2000))
    (kept,) = files(stored)
    store = ValueStore(str(kept.parent.parent), str(stored.folder))
    old, young = (Path(store.put(data).path) for data in (b"old", b"young"))
    unfinished = kept.with_name("x.unfinished")
    unfinished.touch()
    for path in (stored.folder / old, unfinished):
        os.utime(path, (time.time() - 8000,) * 2)
    (kept.parent / "mine.txt").touch()
    collected(stored, Keep(last=1), store)
    left = {path.name for path in files(stored)}
    assert left == {kept.name, young.name, "mine.txt"}


# The command


@pytest.fixture
def gc(lab, capsys):
    def run(*words):
        capsys.readouterr()
        code = main(["db", "gc", *map(str, words), "--repo", lab.uri])
        return code, *capsys.readouterr()

    return run


def test_the_command_says_what_went_and_what_is_left(lab, gc):
    for number in range(3):
        lab.run(twice(number))
    code, out, _ = gc("--keep", 1, "--dry-run")
    assert code == 0
    assert out.splitlines()[1].split() == ["executions", "2", "1"]
    assert "would free about " in out
    code, out, _ = gc("--keep", 1)
    assert out.splitlines()[0].split() == ["RECORDS", "REMOVED", "LEFT"]
    assert "`db vacuum` gives it back" in out
    assert gc("--keep-days", 1)[1].splitlines()[1].split() == ["executions", "0", "1"]


def test_the_command_takes_tags_with_and_without_a_value(lab, gc):
    for value in (1, "a", [1]):
        with lab.scheduler() as scheduler:
            scheduler.run(ident(value), tags=[("k", value)])
    for word, kept in (("k", 3), ("k=[1]", 1), ("k=a", 1), ("k=1", 1)):
        out = gc("--keep-tag", word, "--dry-run")[1]
        assert out.splitlines()[1].split() == ["executions", str(3 - kept), str(kept)]
    assert json.loads(lab.query("SELECT value FROM tag ORDER BY id")[2]) == [1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to keep: --keep N"),
        (["--keep", -1], "--keep: expected a whole number from 0 on, got '-1'"),
        (["--keep-days", "nan"], "--keep-days: expected a number from 0 on, got 'nan'"),
        (["--keep", "all"], "--keep: expected a whole number from 0 on, got 'all'"),
    ],
)
def test_what_to_keep_has_to_be_said(lab, gc, words, message):
    lab.run(ident(1))
    code, _, error = gc(*words)
    assert code == 2
    assert message in error
    assert lab.query("SELECT count(*) FROM job") == [1]


# Sets of ids


def test_sets_of_ids_take_any_number_and_little_room():
    ids = IdSet()
    numbers = [0, 1, 7, 8, 65535, 65536, 1 << 40, -5]
    assert all(ids.add(number) for number in numbers)
    assert not any(ids.add(number) for number in numbers)
    assert [number in ids for number in (*numbers, 2, 9, -6, 1 << 41)] == [True] * 8 + [False] * 4
    assert len(ids) == 8


def test_counts_by_id_start_at_nothing():
    counts = IdCounts()
    assert counts.change(1 << 40, -3) == -3
    assert [counts[1 << 40], counts[0], counts[-1]] == [-3, 0, 0]


@pytest.mark.parametrize("word", ["other", "k=2"])
def test_a_tag_that_nothing_has_does_not_remove_all(lab, gc, word):
    with lab.scheduler() as scheduler:
        scheduler.run(ident(1), tags=[("k", 1)])
    with pytest.raises(UsageError, match="no execution has such a tag"):
        collected(lab, Keep(tags=(("other", 1),)))
    assert gc("--keep-tag", word)[0] == 2
    assert lab.query("SELECT count(*) FROM execution") == [1]


@pytest.mark.parametrize("word", ["", "=", "=x"])
def test_a_tag_to_keep_has_a_key(lab, gc, word):
    lab.run(ident(1))
    assert gc("--keep-tag", word)[0] == 2
    assert lab.query("SELECT count(*) FROM execution") == [1]


@pytest.mark.parametrize("days", ["inf", "1e300"])
def test_any_number_of_days_may_be_kept(lab, gc, days):
    lab.run(ident(1))
    assert gc("--keep-days", days)[1].splitlines()[1].split() == ["executions", "0", "1"]
