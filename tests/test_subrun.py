"""subrun: what comes back, what is replayed, what is recorded, and what reaches the other side."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import subrun_tasks
from subrun_tasks import (
    OddError,
    add,
    changed,
    die,
    double,
    execution_of,
    fail,
    fail_below,
    follows,
    in_process_of,
    inside,
    next_doubled,
    options_of,
    process_of,
    recover,
    variable,
    waits,
)
from support import ROOT, InlineExecutor, Lab, SteeredExecutor, note, notes, python

from redun_lite import (
    Config,
    ConfigError,
    ExecutorError,
    File,
    Handle,
    Scheduler,
    TaskError,
    TaskTimeout,
    WorkerDied,
    apply_tags,
    catch,
    cond,
    get_context,
    no_prov,
    scheduler_task,
    subrun,
    task,
    with_export_options,
)
from redun_lite._client.log import log_lines
from redun_lite._db import Repository
from redun_lite._job import Reporter
from redun_lite._record import ORIGIN
from redun_lite.functools import map_
from redun_lite.testing import TemporaryRepository, assert_ran

redun_namespace = "test_subrun"

EXECUTORS = ("default", "process")
ONE_OF_EACH = {
    "executors.default": {"type": "local", "max_workers": 1},
    "executors.process": {"type": "local", "mode": "process", "max_workers": 1},
}


@pytest.fixture
def log(tmp_path):
    """Return the path of a file that tasks note in what they really did."""
    return str(tmp_path / "log")


def take(log):
    """Return what was noted since the last time."""
    lines = notes(log)
    Path(log).unlink(missing_ok=True)
    return sorted(lines)


def executions(lab):
    """Return the parent job of each execution, in order."""
    return lab.query("SELECT parent_job_id FROM execution ORDER BY id")


def statuses(lab, execution):
    """Return the statuses of an execution's jobs by task."""
    return {name: sorted(found) for name, found in lab.jobs(execution).items()}


# Values and errors


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_subrun_gives_what_the_expression_comes_to(lab, log, executor):
    assert lab.run(subrun(next_doubled(log, 1), executor=executor)) == 4
    assert take(log) == ["double 2", "next_doubled 1"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_nested_value_is_evaluated_with_its_lazy_arguments(lab, log, executor):
    expr = {"a": [double(log, double(log, 3)), 5], "b": double(log, 1) + 1}
    assert lab.run(subrun(expr, executor=executor)) == {"a": [12, 5], "b": 3}


def test_a_value_without_expressions_is_given_back(lab):
    assert lab.run(subrun([1, "a"], "default")) == [1, "a"]


def test_all_that_an_expression_leads_to_runs_in_the_process_of_the_job(lab):
    first, second = lab.run(subrun([process_of(1), add([process_of(2)])], executor="process"))
    assert first == second != os.getpid()


def test_jobs_in_a_subrun_may_go_on_to_other_executors(lab):
    job, worker = lab.run(subrun(in_process_of("process"), executor="process"))
    assert len({os.getpid(), job, worker}) == 3


def test_what_a_subrun_comes_to_can_be_used_like_any_lazy_value(lab, log):
    doubled = subrun(double(log, 4), executor="default")
    assert lab.run([doubled + 1, add([doubled, doubled]), cond(doubled > 7, "many", "few")]) == [
        9,
        16,
        "many",
    ]


def test_tasks_that_ship_with_the_package_work_in_a_subrun(lab, log):
    expr = map_(double.partial(log), [1, 2, 3])
    assert lab.run(subrun(cond(True, expr, 0), executor="process")) == [2, 4, 6]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_subrun_in_a_subrun(lab, executor):
    assert lab.run(subrun(inside(4, executor), executor=executor)) == 8
    lab.audit()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_one_worker_is_enough_for_subruns_in_subruns(tmp_path, executor):
    lab = Lab(tmp_path, **ONE_OF_EACH)
    assert lab.run(subrun([inside(4, executor), inside(5, executor)], executor=executor)) == [8, 10]


def test_an_async_task_awaits_a_subrun(lab, log):
    @task(version="1")
    async def main():
        return [await subrun(double(log, n), executor="default") for n in (1, 2)]

    assert lab.run(main()) == [2, 4]


def test_an_async_task_works_in_a_subrun(lab, log):
    @task(version="1")
    async def main():
        return await double(log, 1) + await double(log, 2)

    assert lab.run(subrun(main(), executor="default")) == 6


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_error_comes_as_it_was_raised(lab, executor):
    with pytest.raises(OddError, match="odd: 3") as caught:
        lab.run(subrun(fail(3), executor=executor))
    assert caught.value.number == 3
    assert statuses(lab, 1) == {"subrun_root_task": ["FAILED"]}
    assert statuses(lab, 2) == {"fail": ["FAILED"]}
    assert lab.statuses() == ["FAILED", "FAILED"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_error_has_the_frames_of_the_task_and_none_of_the_engine(lab, executor):
    with pytest.raises(OddError):
        lab.run(subrun(fail(3), executor=executor))
    (uuid,) = lab.query("SELECT uuid FROM execution WHERE id = 1")
    shown = list(log_lines(str(lab.path), f"{uuid[:8]}-1"))
    told = shown[shown.index("Error") : shown.index("Source")]
    assert told[1] == "  Traceback (most recent call last):"
    assert "raise OddError(number)" in told[3]
    assert told[4].endswith("OddError: odd: 3")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_error_says_which_jobs_of_the_subrun_it_went_through(lab, executor):
    with pytest.raises(OddError) as caught:
        lab.run(subrun(fail_below(3), executor=executor))
    (uuid,) = lab.query("SELECT uuid FROM execution WHERE id = 2")
    assert getattr(caught.value, ORIGIN) == [
        (f"{uuid[:8]}-2", "test_subrun.fail(3)"),
        (f"{uuid[:8]}-1", "test_subrun.fail_below(3)"),
    ]
    shown = "\n".join(log_lines(str(lab.path), f"{uuid[:8]}-2"))
    assert "OddError: odd: 3" in shown


def test_an_error_of_a_subrun_in_a_subrun_names_the_jobs_of_both(lab):
    @task(version="1")
    def outer():
        return subrun(fail(3), executor="default")

    with pytest.raises(OddError) as caught:
        lab.run(subrun(outer(), executor="default"))
    calls = [call.partition("(")[0] for _, call in getattr(caught.value, ORIGIN)]
    assert calls == ["test_subrun.fail", "subrun", "test_subrun.outer"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_error_can_be_caught(lab, executor):
    expr = catch(subrun(fail(3), executor=executor), OddError, recover)
    assert lab.run(expr) == "recovered from 3"


def test_an_error_is_not_replayed(lab, log):
    @task(version="1")
    def flaky():
        note(log, "flaky")
        if len(notes(log)) == 1:
            raise OddError(1)
        return "well"

    with pytest.raises(OddError):
        lab.run(subrun(flaky(), executor="default"))
    assert lab.run(subrun(flaky(), executor="default")) == "well"


def test_an_error_that_was_handled_is_met_again_when_the_task_below_is_mended(lab):
    def main(broken):
        @task(version=str(broken), name="below")
        def below():
            if broken:
                raise OddError(1)
            return "well"

        return catch(subrun(below(), executor="default"), OddError, recover)

    assert lab.run(main(broken=True)) == "recovered from 1"
    assert lab.run(main(broken=False)) == "well"


def test_errors_can_be_caught_inside(lab):
    expr = subrun(catch(fail(1), OddError, recover), executor="default")
    assert lab.run(expr) == "recovered from 1"
    assert lab.run(expr) == "recovered from 1"


def test_a_result_that_cannot_be_pickled_is_an_error_that_says_so(lab):
    @task(version="1")
    def make():
        return lambda: 1

    with pytest.raises(Exception, match=r"result of test_subrun\.make"):
        lab.run(subrun(make(), executor="default"))


# The cache


def test_nothing_is_started_while_all_is_as_it_was(lab, log):
    for _ in range(2):
        assert lab.run(subrun(next_doubled(log, 1), executor="default")) == 4
    assert take(log) == ["double 2", "next_doubled 1"]
    assert executions(lab) == [None, (1 << 32) + 1, None]
    assert statuses(lab, 3) == {"subrun_root_task": ["CACHED"]}
    lab.audit()


def test_another_executor_does_not_make_it_run_again(lab, log):
    lab.run(subrun(double(log, 1), executor="process"))
    take(log)
    assert lab.run(subrun(double(log, 1), executor="default")) == 2
    assert executions(lab) == [None, (1 << 32) + 1, None]


def test_a_change_of_a_task_below_makes_it_run_again(lab, log):
    def main(version):
        @task(version=version, name="leaf")
        def leaf():
            note(log, "leaf")
            return version

        @task(version="1", name="middle")
        def middle():
            note(log, "middle")
            return [leaf(), double(log, 1)]

        return subrun(middle(), executor="default")

    assert lab.run(main("a")) == ["a", 2]
    assert take(log) == ["double 1", "leaf", "middle"]
    assert lab.run(main("b")) == ["b", 2]
    assert take(log) == ["leaf"]
    assert lab.run(main("b")) == ["b", 2]
    assert take(log) == []
    lab.audit()


def test_a_change_of_a_task_in_a_subrun_below_a_subrun_makes_both_run_again(lab, log):
    def main(version):
        @task(version=version, name="leaf")
        def leaf():
            note(log, "leaf")
            return version

        @task(version="1", name="middle")
        def middle():
            return subrun(leaf(), executor="default")

        return subrun(middle(), executor="default")

    assert [lab.run(main(version)) for version in "abb"] == ["a", "b", "b"]
    assert take(log) == ["leaf", "leaf"]


def test_a_change_of_a_scheduler_task_around_all_jobs_makes_it_run_again(lab):
    def main(version):
        @scheduler_task(version=version, name="choose")
        def choose(scheduler, parent_job, sexpr, first, second):
            return first if version == "a" else second

        return subrun(choose(1, 2), executor="default")

    assert [lab.run(main(version)) for version in "abb"] == [1, 2, 2]
    assert len(executions(lab)) == 5


def test_a_shallow_task_above_notices_a_change_below_the_subrun(lab):
    def main(version):
        @task(version=version, name="leaf")
        def leaf():
            return version

        @task(version="1", name="above", check_valid="shallow")
        def above():
            return subrun(leaf(), executor="default")

        return above()

    assert [lab.run(main(version)) for version in "abb"] == ["a", "b", "b"]
    assert statuses(lab, 5) == {"above": ["CACHED"]}


def test_a_change_of_a_task_that_another_process_ran_makes_it_run_again(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    script = folder / "flow.py"
    source = (
        "from redun_lite import subrun, task\n"
        "@task\n"
        "def leaf():\n"
        "    return 'a'\n"
        "@task\n"
        "def middle():\n"
        "    return leaf()\n"
        "@task\n"
        "def main():\n"
        "    return subrun(middle(), executor='process')\n"
    )
    for text in ("a", "b", "b"):
        script.write_text(source.replace("'a'", f"'{text}'"))
        done = python("-m", "redun_lite", "run", "flow.py", "main", folder=folder)
        assert done.stdout == f"'{text}'\n"
    database = sqlite3.connect(folder / ".redun_lite" / "redun_lite.db")
    assert len(database.execute("SELECT id FROM execution").fetchall()) == 5
    database.close()


def test_a_change_of_a_file_that_came_out_makes_it_run_again(lab, log, tmp_path):
    @task(version="1")
    def write():
        note(log, "write")
        file = File(str(tmp_path / "out"))
        file.write("text")
        return file

    for _ in range(2):
        lab.run(subrun(write(), executor="default"))
    assert take(log) == ["write"]
    (tmp_path / "out").write_text("another text")
    lab.run(subrun(write(), executor="default"))
    assert take(log) == ["write"]


def test_with_full_checks_the_scheduler_starts_and_finds_its_jobs_cached(lab, log):
    expr = subrun(next_doubled(log, 1), executor="default", check_valid="full")
    for _ in range(2):
        assert lab.run(expr) == 4
    assert take(log) == ["double 2", "next_doubled 1"]
    assert statuses(lab, 3) == {"subrun_root_task": ["DONE"]}
    assert statuses(lab, 4) == {"next_doubled": ["CACHED"], "double": ["CACHED"]}


def test_without_cache_the_scheduler_starts_and_finds_its_jobs_cached(lab, log):
    expr = subrun(double(log, 1), executor="default", cache=False)
    for _ in range(2):
        assert lab.run(expr) == 2
    assert take(log) == ["double 1"]
    assert len(executions(lab)) == 4


def test_a_first_result_is_never_replayed(lab, log):
    expr = subrun(double(log, 1), executor="default", allowed_cache_results=["CSE", "SINGLE"])
    for _ in range(2):
        assert lab.run(expr) == 2
    assert len(executions(lab)) == 4


def test_a_run_without_cache_is_without_cache_inside_too(lab, log):
    for _ in range(2):
        lab.run(subrun(double(log, 1), executor="default"), cache=False)
    assert take(log) == ["double 1", "double 1"]


def test_equal_subruns_in_one_execution_run_once(lab, log):
    twice = [subrun(double(log, 1), executor="default") for _ in range(2)]
    assert lab.run(twice) == [2, 2]
    assert take(log) == ["double 1"]
    assert len(executions(lab)) == 2


def test_subruns_by_other_configurations_are_not_equal(lab):
    contexts = [{"scheduler": {"context": {"a": {"b": value}}}} for value in (1, 2)]
    exprs = [subrun(variable(), executor="default", config=config) for config in contexts]
    assert lab.run(exprs) == [1, 2]


def test_what_was_done_before_the_subrun_is_not_done_in_it_again(lab, log):
    @task(version="1")
    def then(doubled):
        return subrun(double(log, 1), executor="default")

    assert lab.run(then(double(log, 1))) == 2
    assert take(log) == ["double 1"]


# What reaches the other side


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_context_of_an_execution_reaches_a_subrun(lab, executor):
    context = {"a": {"b": 5}}
    assert lab.run(subrun(variable(), executor=executor), context=context) == 5
    assert lab.run(subrun(variable(), executor=executor), context={"a": {"b": 6}}) == 6


def test_the_context_of_a_task_above_reaches_a_subrun(lab):
    @task(version="1")
    def main():
        return subrun(variable(), executor="default")

    assert lab.run([main(), main.update_context(a={"b": 1})()]) == ["unset", 1]


def test_a_subrun_can_be_given_a_context_and_options(lab):
    given = subrun.update_context(a={"b": 2}).options(memory=3)
    assert lab.run(given(variable(), executor="default")) == 2


def test_what_comes_of_the_context_is_not_replayed_as_a_whole(lab, log):
    @task(version="1")
    def shown(value):
        note(log, "shown", value)
        return value

    expr = subrun(shown(get_context("a.b", 0)), executor="default")
    assert [lab.run(expr, context={"a": {"b": value}}) for value in (1, 2, 1)] == [1, 2, 1]
    assert take(log) == ["shown 1", "shown 2"]


def test_a_context_that_nobody_asks_for_makes_nothing_run_again(lab, log):
    for value in (1, 2):
        lab.run(subrun(double(log, 1), executor="default"), context={"a": value})
    assert take(log) == ["double 1"]
    assert len(executions(lab)) == 3


@pytest.mark.parametrize("executor", EXECUTORS)
def test_exported_options_reach_a_subrun_but_for_the_executor(lab, executor):
    expr = subrun(options_of(1), executor=executor)
    exported = with_export_options(expr, {"memory": 3, "executor": "only_here"})
    assert lab.run(exported, InlineExecutor("only_here")) == {"memory": 3}


def test_options_of_a_call_inside_win_over_exported_ones(lab):
    expr = subrun(options_of.options(memory=4)(1), executor="default")
    assert lab.run(with_export_options(expr, {"memory": 3})) == {"memory": 4}


def test_options_that_win_over_all_others_reach_a_subrun(lab):
    expr = subrun(options_of.options(memory=4)(1), executor="default")
    assert lab.run(expr, options={"memory": 5}) == {"memory": 5}


def test_task_options_are_those_of_the_job_and_not_of_the_jobs_inside(lab):
    expr = subrun(options_of(1), executor="default", memory=3, tags=[("kind", "large")])
    assert lab.run(expr) == {}
    (entity,) = lab.query("SELECT entity FROM tag WHERE key = 'kind'")
    assert entity.endswith("-1")


def test_limits_are_counted_by_each_scheduler_for_itself(tmp_path, log):
    lab = Lab(tmp_path, limits={"gpu": 1})

    @task(version="1", limits=["gpu"])
    def use(number):
        return number

    assert lab.run(subrun([use(1), use(2)], executor="default", limits=["gpu"])) == [1, 2]


def test_the_configuration_is_the_one_here(tmp_path):
    lab = Lab(tmp_path, scheduler={"context": {"a": {"b": "configured"}}})
    assert lab.run(subrun(variable(), executor="process")) == "configured"


def test_a_configuration_can_be_given(lab, tmp_path):
    database = {"backend": {"db_uri": f"sqlite:///{tmp_path}/other.db"}}
    config = {**database, "scheduler": {"context": {"a": {"b": "given"}}}}
    assert lab.run(subrun(variable(), executor="default", config=config)) == "given"


def test_relative_paths_of_a_given_configuration_start_where_those_here_do(tmp_path):
    repository = TemporaryRepository(tmp_path)
    config = {"scheduler": {"context_file": "context.json"}}
    (tmp_path / "context.json").write_text('{"a": {"b": "from a file"}}')
    expr = subrun(variable(), executor="default", config=config)
    assert repository.run(expr) == "from a file"


def test_a_configuration_can_be_read_there(lab, tmp_path):
    (tmp_path / "there").mkdir()
    text = '[scheduler]\ncontext = {"a": {"b": "there"}}\n'
    (tmp_path / "there" / "redun_lite.ini").write_text(text)
    expr = subrun(variable(), executor="process", config_dir=tmp_path / "there")
    assert lab.run(expr) == "there"
    assert (tmp_path / "there" / "redun_lite.db").exists()


def test_nothing_secret_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBRUN_SECRET", "hunter2")
    lab = Lab(tmp_path, scheduler={"context": '{"a": {"b": "${SUBRUN_SECRET}"}}'})
    own = {"backend": {"db_uri": f"sqlite:///{lab.path}"}, "mine": {"a": "${SUBRUN_SECRET}"}}
    exprs = [
        subrun(double(os.devnull, 1), executor="process"),
        subrun(double(os.devnull, 2), executor="default", config=own),
    ]
    lab.run(exprs, context={"told": "hunter4"}, options={"note": "hunter5"})
    connection = sqlite3.connect(lab.path)
    dumped = "\n".join(map(repr, connection.iterdump()))
    blobs = b"".join(row[0] for row in connection.execute("SELECT data FROM value"))
    connection.close()
    assert "subrun" in dumped
    assert "hunter" not in dumped
    assert b"hunter" not in blobs


# What is recorded


def tree(lines):
    """Return the ids and names of the jobs that `log` shows for an execution."""
    shown = [
        line.partition("(")[0].split() for line in lines if re.match("[A-Z]+ +[0-9a-f]{8}-", line)
    ]
    return [(words[1], words[-1]) for words in shown]


def test_a_subrun_whose_process_dies_is_called_what_it_is(lab):
    with pytest.raises(WorkerDied) as caught:
        lab.run(subrun(die("at once"), executor="process"))
    assert str(caught.value) == (
        "the process that ran subrun(test_subrun.die('at once')) ended with exit status 3 before "
        "the task returned"
    )


def test_the_jobs_inside_are_shown_below_the_job_of_the_subrun(lab, log):
    @task(version="1")
    def main():
        return subrun(next_doubled(log, 1), executor="default")

    lab.run(main())
    whole, part = lab.query("SELECT uuid FROM execution ORDER BY id")
    listed = list(log_lines(str(lab.path), None))
    assert [line[:8] for line in listed[1:]] == [whole[:8]]
    shown = list(log_lines(str(lab.path), "-"))
    assert shown[0].startswith(f"Execution {whole}")
    assert tree(shown) == [
        (f"{whole[:8]}-1", "test_subrun.main"),
        (f"{whole[:8]}-2", "redun_lite.subrun_root_task"),
        (f"{part[:8]}-1", "test_subrun.next_doubled"),
        (f"{part[:8]}-2", "test_subrun.double"),
    ]
    (counts,) = [line.split() for line in shown if line.startswith("ALL")]
    assert counts[-1] == "4"
    root = "\n".join(log_lines(str(lab.path), f"{whole[:8]}-2"))
    assert f"{part[:8]}-1" in root.partition("Led to")[2]
    below = "\n".join(log_lines(str(lab.path), f"{part[:8]}-2"))
    assert (
        f"test_subrun.next_doubled {part[:8]}-1 ← redun_lite.subrun_root_task {whole[:8]}-2 "
        f"← test_subrun.main {whole[:8]}-1"
    ) in below
    assert f"Part of   {whole[:8]}-2" in "\n".join(log_lines(str(lab.path), part[:8]))


def test_the_jobs_of_subruns_in_subruns_are_shown_below_each_other(lab):
    lab.run(subrun(inside(4, "default"), executor="default"))
    assert [name for _, name in tree(log_lines(str(lab.path), "-"))] == [
        "redun_lite.subrun_root_task",
        "test_subrun.inside",
        "redun_lite.subrun_root_task",
        "test_subrun.double",
    ]


def test_what_ran_in_a_run_counts_what_ran_in_its_subruns(tmp_path, log):
    repository = TemporaryRepository(tmp_path)
    repository.run(subrun(next_doubled(log, 1), executor="default"))
    assert_ran(repository, next_doubled, double, "redun_lite.subrun_root_task")


def test_a_new_execution_is_one_of_its_own(lab, log):
    assert lab.run(subrun(double(log, 1), executor="default", new_execution=True)) == 2
    assert executions(lab) == [None, None]
    assert len(list(log_lines(str(lab.path), None))) == 3
    here, there = lab.query("SELECT uuid FROM execution ORDER BY id")
    tags = dict(lab.query("SELECT entity, value FROM tag WHERE key LIKE 'redun_lite.%'"))
    assert tags == {f"{here[:8]}-1": f'"{there}"', there: f'"{here[:8]}-1"'}


def test_in_another_database_it_is_an_execution_of_its_own(lab, log, tmp_path):
    other = Lab(tmp_path / "other")
    other.folder.mkdir()
    config = {"backend": {"db_uri": f"sqlite:///{other.path}"}}
    assert lab.run(subrun(double(log, 1), executor="default", config=config)) == 2
    assert executions(lab) == [None]
    assert executions(other) == [None]
    (here,) = lab.query("SELECT uuid FROM execution")
    assert other.query("SELECT key, value FROM tag") == [
        ("redun_lite.parent_job", f'"{here[:8]}-1"')
    ]
    lab.audit()
    other.audit()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_subrun_works_without_a_database(log, executor):
    with Scheduler() as scheduler:
        for _ in range(2):
            assert scheduler.run(subrun(next_doubled(log, 1), executor=executor)) == 4
    assert take(log) == ["double 2", "next_doubled 1"]


def test_a_repository_that_was_handed_to_the_scheduler_is_used_there_too(tmp_path, log):
    repository = Repository(str(tmp_path / "handed.db"))
    with Scheduler(
        Config({"backend": {"db_uri": "sqlite:///nowhere.db"}}), repository
    ) as scheduler:
        scheduler.run(subrun(double(log, 1), executor="process"))
    repository.close()
    database = sqlite3.connect(tmp_path / "handed.db")
    assert len(database.execute("SELECT id FROM execution").fetchall()) == 2
    database.close()
    assert not Path("nowhere.db").exists()


def test_a_subrun_without_provenance_records_nothing(lab, log):
    assert lab.run(no_prov(subrun(next_doubled(log, 1), executor="default"))) == 4
    assert lab.jobs() == {"no_prov": ["DONE"]}
    assert len(executions(lab)) == 1


def test_a_job_inside_is_told_the_id_of_the_whole_execution(lab):
    expr = subrun(execution_of(1), executor="default")
    uuid = lab.run(subrun([execution_of(2), expr], executor="default"))
    assert uuid == lab.query("SELECT uuid FROM execution WHERE id = 1") * 2
    new = lab.run(subrun(execution_of(3), executor="default", new_execution=True))
    assert new not in uuid


def test_tags_of_the_execution_and_of_the_job_around_are_put_on_what_is_listed(lab):
    expr = apply_tags(1, job_tags=[("of", "job")], execution_tags=[("of", "execution")])
    lab.run(subrun(expr, executor="default"))
    (uuid,) = lab.query("SELECT uuid FROM execution WHERE id = 1")
    tags = dict(lab.query("SELECT value, entity FROM tag WHERE key = 'of'"))
    assert tags == {'"job"': f"{uuid[:8]}-1", '"execution"': uuid}


def test_each_attempt_at_a_subrun_is_a_part_of_its_job(lab, log):
    @task(version="1")
    def flaky():
        note(log, "flaky")
        if len(notes(log)) == 1:
            raise OddError(1)
        return "well"

    expr = subrun(flaky(), executor="default", retries=1, retry_delay=0)
    assert lab.run(expr) == "well"
    root = (1 << 32) + 1
    assert executions(lab) == [None, root, root]
    shown = list(log_lines(str(lab.path), "-"))
    assert [name for _, name in tree(shown)][1:] == ["test_subrun.flaky"] * 2
    assert [line.split()[0] for line in shown[-2:]] == ["FAILED", "DONE"]


class Ledger(Handle):
    """A handle that keeps nothing open."""

    def __init__(self, name: str, path: str) -> None:
        self.instance = None
        self.path = path


def test_branches_of_a_handle_here_and_in_a_subrun_stand_side_by_side(lab, log):
    @task(version="1")
    def load(ledger, what):
        note(log, "load", what)
        return ledger

    @task(version="1")
    def path_of(ledger):
        return ledger.path

    def main():
        ledger = Ledger("ledger", "x")
        there = subrun(load(ledger, "there"), executor="default")
        return [path_of(load(ledger, "here")), path_of(there)]

    for _ in range(2):
        assert lab.run(main()) == ["x", "x"]
    assert take(log) == ["load here", "load there"]


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"executor": 3}, "subrun: executor is the name of one, not 3"),
        ({"config": 3}, "subrun: config is a dict of sections, not 3"),
        ({"config_dir": 3}, "subrun: config_dir is the path of a directory, not 3"),
        ({"config": {"a": {}}, "config_dir": "x"}, "takes config or config_dir, not both"),
        ({"load_modules": "os"}, "subrun: load_modules is a list of names, not 'os'"),
        ({"load_modules": [3]}, r"subrun: load_modules is a list of names, not \[3\]"),
        ({"retrie": 3}, "subrun: unknown option 'retrie'; did you mean 'retries'"),
        ({"retries": "many"}, "subrun_root_task: option retries takes"),
    ],
)
def test_an_argument_that_is_of_no_use_is_named(lab, arguments, message):
    with pytest.raises(TaskError, match=message):
        lab.run(subrun(1, **{"executor": "default", **arguments}))


def test_a_configuration_that_cannot_be_used_is_named_before_anything_starts(lab):
    with pytest.raises(ConfigError, match="unknown option; did you mean job_status_interval"):
        lab.run(subrun(1, executor="default", config={"scheduler": {"job_status": 1}}))
    assert lab.jobs() == {}


def test_a_config_dir_that_is_not_there_is_named(lab, tmp_path):
    missing = tmp_path / "missing"
    with pytest.raises(ConfigError, match=f"config_dir {missing}: there is no .*redun_lite.ini"):
        lab.run(subrun(1, executor="default", config_dir=missing))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_module_that_is_not_there_is_named(lab, executor):
    expr = subrun(1, executor=executor, load_modules=["json", "no_such.module"])
    with pytest.raises(ExecutorError, match="there is no module no_such to load"):
        lab.run(expr)


def test_a_module_that_imports_what_is_not_there_fails_with_that(lab, tmp_path, monkeypatch):
    (tmp_path / "imports_nothing.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        lab.run(subrun(1, executor="default", load_modules=["imports_nothing"]))


def test_an_executor_that_is_not_there_is_named(lab):
    with pytest.raises(ExecutorError, match="unknown executor 'proces': did you mean process"):
        lab.run(subrun(1, executor="proces"))


def test_a_task_that_a_new_process_cannot_find_is_named(lab):
    @task(version="1")
    def local():
        return 1

    message = r"a new process cannot load task test_subrun\.local: .* with mode = thread"
    with pytest.raises(ExecutorError, match=message):
        lab.run(subrun(local(), executor="process"))


# Processes


def test_a_subrun_never_runs_in_a_process_that_was_forked(lab, monkeypatch):
    # SQLite takes over the locks that the parent has at that moment, and never lets go of them.
    monkeypatch.setattr(subrun_tasks, "CHANGED", "as it is here")
    assert lab.run(
        [subrun(changed(1), executor="process"), changed.options(executor="process")(2)]
    ) == [
        "as imported",
        "as it is here",
    ]


def test_modules_to_load_are_imported_in_the_process(lab, tmp_path, monkeypatch):
    (tmp_path / "says_so.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    lab.run(subrun(process_of(1), executor="process", load_modules=["says_so"]))
    assert (tmp_path / "imported").exists()


def test_tasks_given_as_values_and_inside_partial_tasks_are_found_in_the_process(lab, tmp_path):
    (tmp_path / "elsewhere.py").write_text(
        "from redun_lite import task\n"
        "@task(namespace='elsewhere')\n"
        "def negate(x):\n"
        "    return -x\n"
        "@task(namespace='elsewhere')\n"
        "def subtract(a, b):\n"
        "    return a - b\n"
    )
    script = tmp_path / "flow.py"
    script.write_text(
        "import elsewhere\n"
        "from redun_lite import quote, subrun, task\n"
        "from redun_lite.functools import map_\n"
        "@task\n"
        "def evaluated(quoted):\n"
        "    return quoted.eval()\n"
        "@task\n"
        "def main():\n"
        "    exprs = [map_(elsewhere.negate, [1]), map_(elsewhere.subtract.partial(5), [1])]\n"
        "    exprs.append(evaluated(quote(elsewhere.negate(2))))\n"
        "    return subrun(exprs, executor='process')\n"
    )
    done = python("-m", "redun_lite", "run", "flow.py", "main", folder=tmp_path)
    assert done.stdout == "[[-1], [4], -2]\n"


RUN = (sys.executable, "-m", "redun_lite", "run")
HELD = """
from redun_lite import Config, Scheduler, subrun, task

redun_namespace = "held"

@task
def hold():
    with open("started", "w") as started:
        started.write("x")
    with open("go") as go:
        return go.read()

@task
def after(value):
    return value

@task
def inner():
    return after(hold())

@task
def main(executor: str):
    return subrun(inner(), executor=executor)

@task
def count(number: int):
    if number == 3:
        open("started", "w").close()
    return count(number + 1)

@task
def middle(executor: str):
    return subrun(count(0), executor=executor)

@task
def endless(executor: str):
    return subrun(middle(executor), executor=executor)
"""


@pytest.fixture
def start_held(tmp_path):
    """Return a function that starts a workflow in which a job of a subrun has begun.

    It ends when something is written to `go`.
    """
    (tmp_path / "held.py").write_text(HELD)
    for name in ("started", "go"):
        os.mkfifo(tmp_path / name)
    processes = []

    def start(task_name, executor):
        process = subprocess.Popen(
            [*RUN, "held.py", task_name, "--executor", executor],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        with open(tmp_path / "started") as started:
            started.read()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def held_lab(folder):
    return Lab(folder, path=folder / ".redun_lite" / "redun_lite.db")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_ctrl_c_lets_the_job_inside_end_and_starts_no_others(start_held, tmp_path, executor):
    process = start_held("main", executor)
    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if line.startswith("stopping: waiting for 1 running job"):
            break
    (tmp_path / "go").write_text("on")
    process.communicate()
    assert process.returncode == 130
    lab = held_lab(tmp_path)
    assert set(lab.statuses()) == {"CANCELLED"}
    ended = dict(lab.query("SELECT fullname, status FROM job JOIN task ON task.id = task_id"))
    assert ended["held.hold"] == "DONE"
    assert ended["held.inner"] == "CANCELLED"
    assert ended["redun_lite.subrun_root_task"] == "CANCELLED"
    assert "held.after" not in ended
    lab.audit()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_ctrl_c_ends_a_subrun_in_a_subrun_that_would_never_end(start_held, tmp_path, executor):
    process = start_held("endless", executor)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    lab = held_lab(tmp_path)
    assert lab.statuses() == ["CANCELLED"] * 3
    lab.audit()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_nothing_runs_on_after_the_process_is_killed(start_held, tmp_path, executor):
    process = start_held("main", executor)
    process.kill()
    # Workers hold its output open: it ends when the last of them has.
    process.communicate()
    lab = held_lab(tmp_path)
    assert "after" not in lab.jobs()
    shown = "RUNNING"
    while "RUNNING" in shown:  # Its number is taken for a moment longer.
        shown = "\n".join(log_lines(str(lab.path), "-"))
    assert "KILLED" in shown


def test_a_subrun_that_takes_too_long_is_killed_in_its_process(tmp_path):
    lab = Lab(tmp_path)
    fifo = str(tmp_path / "never")
    os.mkfifo(fifo)
    expr = subrun([waits(fifo)], executor="process", timeout=2)
    with pytest.raises(TaskTimeout, match="its process was killed"):
        lab.run(expr)
    shown = "\n".join(log_lines(str(lab.path), "-"))
    assert "KILLED" in shown
    assert "RUNNING" not in shown


def test_a_subrun_in_a_thread_that_takes_too_long_starts_nothing_more(lab, log, tmp_path):
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    with lab.scheduler() as scheduler:
        expr = subrun(follows(log, waits(fifo)), executor="default", timeout=0.05)
        with pytest.raises(TaskTimeout, match="left to itself"):
            scheduler.run(expr)
        while lab.query("SELECT count(*) FROM job WHERE job.id >> 32 = 2") == [0]:
            time.sleep(0.001)  # It is recorded at the first idle moment.
        Path(fifo).write_text("on")
        while lab.query("SELECT status FROM execution WHERE id = 2") == ["RUNNING"]:
            time.sleep(0.001)
    assert lab.query("SELECT status FROM execution WHERE id = 2") == ["CANCELLED"]
    assert take(log) == []


def test_the_first_error_elsewhere_ends_a_subrun(lab, log, tmp_path):
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    writers = []

    @task(version="1")
    def fail_then():
        writers.append(open(fifo, "w"))  # It opens when the subrun reads.
        raise OddError(1)

    class LetGo(Reporter):
        def draining(self, engine):
            writers.pop().close()

    expr = subrun(follows(log, waits(fifo)), executor="default")
    with pytest.raises(OddError):
        lab.run([expr, fail_then()], reporter=LetGo())
    assert take(log) == []
    assert lab.statuses() == ["FAILED", "CANCELLED"]
    lab.audit()


# Other executors


def test_any_executor_can_run_a_subrun(lab, log):
    assert lab.run(subrun(next_doubled(log, 1), executor="inline"), InlineExecutor()) == 4
    steered = SteeredExecutor(on_submit=lambda job: steered.finish(job))
    assert lab.run(subrun(next_doubled(log, 2), executor="steered"), steered) == 6
    lab.audit()


def test_subruns_and_jobs_of_many_executors_share_a_database(lab, log):
    exprs = [subrun(next_doubled(log, n), executor=EXECUTORS[n % 2]) for n in range(6)]
    assert lab.run([exprs, [double(log, n) for n in range(6, 12)]]) == [
        [2 * (n + 1) for n in range(6)],
        [2 * n for n in range(6, 12)],
    ]
    lab.audit()
