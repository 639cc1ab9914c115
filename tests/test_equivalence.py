"""A workflow comes to the same value however it is run.

Random programs (see `programs`) are built as workflows, run in several ways, and compared with what
a plain interpreter makes of them.
"""

from __future__ import annotations

import glob
import itertools
import os
import sqlite3
from contextlib import closing

import programs as language
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from killing import at_statements, countdown, fork, was_killed
from programs import (
    EDITED,
    FIRST,
    VERSIONS,
    Failed,
    World,
    build,
    interpret,
    looks,
    programs,
    worlds,
)
from support import InlineExecutor, audit

from redun_lite import Config, DryRunResult, LocalExecutor, Scheduler
from redun_lite import _db as db
from redun_lite._db import Repository
from redun_lite._sqlite import SqliteDatabase

common = settings(
    deadline=None,
    max_examples=settings.default.max_examples // 4,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

CONFIG = Config({"limits": {"resource": 2}})


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    language.FOLDER = str(tmp_path_factory.mktemp("files"))


# Running


def scheduler_on(repository, executor=None):
    """Return a scheduler with another executor for async tasks, and for whoever asks for it."""
    executor = executor or InlineExecutor("default")
    scheduler = Scheduler(CONFIG, backend=repository, executor=executor)
    scheduler.add_executor(LocalExecutor("threads", max_workers=1))
    return scheduler


def outcome(scheduler, program, world, **arguments):
    world.come_true()
    try:
        return scheduler.run(build(program), context=world.context, **arguments)
    except Failed as error:
        return error


def check(found, program, world):
    values, errors = interpret(program, world)
    if isinstance(found, Failed):
        assert (type(found).__name__, str(found)) in errors
    else:
        assert any(found == value and type(found) is type(value) for value in values), (
            f"{found!r} is none of {values!r}"
        )


def check_records(repository, program):
    audit(repository.database, config_args="with_config" in str(program))


def wipe():
    """Remove the files that tasks have written."""
    for path in glob.glob(os.path.join(language.FOLDER, "written-*")):
        os.unlink(path)


@common
@given(program=programs(), world=worlds)
def test_a_workflow_comes_to_the_same_with_the_cache_and_without_it_and_replayed(program, world):
    with closing(Repository()) as repository:
        with scheduler_on(repository) as scheduler:
            for cache in (False, True, True):
                check(outcome(scheduler, program, world, cache=cache), program, world)
        with scheduler_on(repository) as scheduler:
            check(outcome(scheduler, program, world), program, world)
        check_records(repository, program)


OVERRIDES = [
    {},
    {},
    {},
    {"check_valid": "shallow"},
    {"cache_scope": "NONE"},
    {"cache": False},
    {"prov": False},
    {"executor": "threads"},
]


@st.composite
def histories(draw):
    """Draw runs: in which world, which program, with the cache or not, with which options.

    The world is edited a little between them, so that what is stale is not run again for another
    reason.
    """
    choices = draw(st.tuples(programs(10), programs(6)))
    if not looks(choices) and draw(st.booleans()):
        choices = [in_shallow(program) for program in choices]
    edits = [name for name in EDITED if f"'{name}'" in str(choices)]
    world = World(tuple(draw(st.sampled_from([0, 0, 1, 2])) for _ in EDITED))
    runs = [(world, choices[0], True, {})]
    for _ in range(draw(st.integers(1, 3))):
        edit = draw(st.sampled_from([*edits, *edits, "brittle", "reading", "variable", "wiped"]))
        if edit in EDITED:
            place = EDITED.index(edit)
            versions = list(world.versions)
            versions[place] = (versions[place] + draw(st.integers(1, VERSIONS - 1))) % VERSIONS
            world = world._replace(versions=tuple(versions))
        elif edit != "wiped":
            world = world._replace(**{edit: draw(st.sampled_from([-1, 3, 6]))})
        program = choices[draw(st.sampled_from([0, 0, 0, 1]))]
        cache = draw(st.sampled_from([True, True, True, False]))
        options = draw(st.sampled_from(OVERRIDES))
        if looks(choices) and options == {"check_valid": "shallow"}:
            options = {}  # That is to miss what is not cached.
        runs.append((world, program, cache, options))
    return runs


def in_shallow(program):
    """Return a program with each part, as far as possible, below a call with a shallow check."""
    kind, shared, (wrapper, parts) = program
    below = [
        part
        if "('number', None" in str(part)
        else ("expanded", 0, True, ("sum", (), ("list", (part,))))
        for part in parts
    ]
    return (kind, shared, (wrapper, tuple(below)))


@settings(common, max_examples=settings.default.max_examples // 2)
@given(runs=histories())
def test_the_cache_changes_nothing_while_programs_and_the_world_are_edited(runs):
    before = None
    with closing(Repository()) as repository:
        for world, program, cache, options in runs:
            if world is before:
                wipe()
            before = world
            with scheduler_on(repository) as scheduler:
                found = outcome(scheduler, program, world, cache=cache, options=options)
            check(found, program, world)
        check_records(repository, runs)


@common
@given(program=programs(), world=worlds)
def test_a_workflow_comes_to_the_same_in_threads(program, world):
    with closing(Repository()) as repository:
        with scheduler_on(repository, LocalExecutor("default", max_workers=3)) as scheduler:
            for _ in range(2):
                check(outcome(scheduler, program, world), program, world)
        check_records(repository, program)


@common
@given(program=programs())
def test_nothing_that_was_cached_runs_again(program):
    ran = []

    class Noting(InlineExecutor):
        def finish(self, job):
            options = job.options
            if options.cache_scope == "BACKEND" and options.prov and options.allows("SINGLE"):
                ran.append(job.task.name)
            super().finish(job)

    with closing(Repository()) as repository:  # noqa: SIM117  # 3.9 knows no parentheses here.
        with scheduler_on(repository, Noting("default")) as scheduler:
            outcome(scheduler, program, FIRST)
            # Errors are not cached, and files that were written twice have changed.
            assume("FAILED" not in statuses(repository) and "'written'" not in str(program))
            ran.clear()
            outcome(scheduler, program, FIRST)
    assert ran == []


def statuses(repository):
    return {status for (status,) in repository.database.rows("SELECT status FROM job")}


@common
@given(program=programs(), world=worlds)
def test_a_dry_run_comes_to_the_same_or_says_that_it_cannot(program, world):
    with closing(Repository()) as repository, scheduler_on(repository) as scheduler:
        for _ in range(2):
            try:
                found = outcome(scheduler, program, world, dryrun=True)
            except DryRunResult:
                pass
            else:
                check(found, program, world)
            outcome(scheduler, program, world)


# kill -9


class CountedExecutor(InlineExecutor):
    """Calls a function before the function of each job, and after it."""

    def __init__(self, call):
        super().__init__("default")
        self._call = call

    def finish(self, job):
        self._call()
        super().finish(job)
        self._call()


def run_on(path, program, world, call=lambda: None):
    repository = Repository(path)
    try:
        with scheduler_on(repository, CountedExecutor(call)) as scheduler:
            return outcome(scheduler, program, world)
    finally:
        repository.close()


def run_until_killed(path, program, world, kind, n):
    """Run a program in a process that is killed at a moment, unless it ends before."""

    def run():
        db.FLUSH_INTERVAL = 0.0
        call = countdown(n)
        if kind == "statement":
            at_statements(call)
        run_on(path, program, world, call if kind == "job" else lambda: None)

    was_killed(fork(run))


def check_database(path, program):
    """Check what is in a database, if the process that made it got as far as that."""
    connection = sqlite3.connect(path)
    try:
        if connection.execute("PRAGMA user_version").fetchone() != (0,):
            audit(SqliteDatabase(connection, path), config_args="with_config" in str(program))
    finally:
        connection.close()


moments = st.one_of(
    st.tuples(st.just("job"), st.integers(1, 30)),
    st.tuples(st.just("statement"), st.integers(1, 150)),
)
paths = (f"killed-{number}.db" for number in itertools.count())


@settings(common, max_examples=settings.default.max_examples // 8)
@given(
    program=programs(),
    crashes=st.lists(st.tuples(worlds, moments), min_size=1, max_size=3),
    world=worlds,
)
def test_a_workflow_comes_to_the_same_after_it_was_killed(program, crashes, world):
    path = os.path.join(language.FOLDER, next(paths))
    for other_world, (kind, n) in crashes:
        run_until_killed(path, program, other_world, kind, n)
        check_database(path, program)
    for _ in range(2):
        check(run_on(path, program, world), program, world)
    check_database(path, program)


# Processes


@pytest.fixture(scope="module")
def workers(folder):
    FIRST.come_true()
    executor = LocalExecutor("default", mode="process", max_workers=2)
    with closing(Repository()) as repository, scheduler_on(repository, executor) as scheduler:
        yield scheduler


@common
@given(program=programs())
def test_a_workflow_comes_to_the_same_in_processes(workers, program):
    for cache in (True, False):
        check(outcome(workers, program, FIRST, cache=cache), program, FIRST)
