"""What people get for testing their workflows: fixtures, the inline executor, what ran."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading

import pytest
from support import ROOT

from redun_lite import Scheduler, get_task_registry, scheduler_task, script, subrun, task
from redun_lite.testing import (
    InlineExecutor,
    TemporaryRepository,
    assert_cached,
    assert_ran,
    jobs_of,
)

redun_namespace = "test_testing"


@task(version="1")
def add(a, b):
    return a + b


@task(version="1")
def main(n):
    return [add(i, 1) for i in range(n)]


@task(version="1")
def fail():
    raise ValueError("broken")


@pytest.fixture
def scheduler():
    with Scheduler(executor=InlineExecutor()) as scheduler:
        yield scheduler


@pytest.fixture
def repository(tmp_path):
    return TemporaryRepository(tmp_path)


# What ran


def test_a_task_that_ran_is_found_by_itself_and_by_its_name(scheduler):
    scheduler.run(main(3))
    assert_ran(scheduler, main, add)
    assert_ran(scheduler, "test_testing.add", times=3)
    assert_ran(scheduler, add.partial(1), times=3)


def test_a_task_that_did_not_run_is_named_with_those_that_did(scheduler):
    scheduler.run(add(1, 2))
    with pytest.raises(
        AssertionError,
        match=r"^test_testing.main ran 0 times in the last run, expected it to run; "
        r"ran: test_testing.add ×1; cached: nothing$",
    ):
        assert_ran(scheduler, main)
    with pytest.raises(AssertionError, match=r"add ran 1 time in the last run, expected 2 times;"):
        assert_ran(scheduler, add, times=2)


def test_a_run_without_changes_is_cached_as_a_whole(repository):
    repository.run(main(2))
    with pytest.raises(AssertionError, match="add ran 2 times in the last run, expected it to be"):
        assert_cached(repository)
    repository.run(main(2))
    assert_cached(repository)
    assert_cached(repository, main, add)


def test_a_task_without_jobs_is_not_cached(repository):
    repository.run(add(1, 2))
    repository.run(add(1, 2))
    with pytest.raises(AssertionError, match="main had no job in the last run"):
        assert_cached(repository, main)


def test_equal_calls_in_one_run_are_counted_apart(scheduler):
    scheduler.run([add(1, 2), add(1, 2)])
    assert jobs_of(scheduler) == {"test_testing.add": {"DONE": 1, "CACHED": 1}}
    with pytest.raises(AssertionError, match="add ran 1 time in"):
        assert_cached(scheduler, add)


def test_only_the_last_run_counts(scheduler):
    scheduler.run(main(1))
    scheduler.run(add(5, 5))
    assert jobs_of(scheduler) == {"test_testing.add": {"DONE": 1}}


def test_a_failed_task_ran(scheduler):
    with pytest.raises(ValueError, match="broken"):
        scheduler.run(fail())
    assert_ran(scheduler, fail, times=1)


def test_a_function_in_place_of_a_task_is_named(scheduler):
    scheduler.run(add(1, 2))
    with pytest.raises(TypeError, match="expected a task or its full name, not <built-in"):
        assert_ran(scheduler, len)


# The inline executor


def test_the_inline_executor_runs_jobs_in_the_callers_thread(scheduler):
    @task
    def thread():
        return threading.get_ident()

    assert scheduler.run(thread()) == threading.get_ident()


def test_a_subrun_in_the_inline_executor_stops_when_the_run_is_interrupted(scheduler):
    engines = []
    ran = []

    @scheduler_task
    def note_engine(scheduler, parent_job, sexpr, expr):
        engines.append(scheduler.engine_of(parent_job))
        return scheduler.evaluate(expr, parent_job)

    @task
    def first():
        engines[0].interrupt()

    @task
    def second(value):
        ran.append(value)

    with pytest.raises(KeyboardInterrupt):
        scheduler.run(note_engine(subrun(second(first()), executor="default")))
    assert ran == []


def test_the_inline_executor_runs_async_tasks_and_scripts(scheduler):
    @task
    async def total():
        return await add(1, 2) + 1

    assert scheduler.run([total(), script("echo done")]) == [4, b"done\n"]


# The fixtures


def run_pytest(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull),
            *("--rootdir", folder, "--basetemp", folder / "tmp", *arguments, folder),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
    )


def test_the_tests_of_the_example_pass(tmp_path):
    folder = tmp_path / "testing"
    shutil.copytree(ROOT / "examples" / "testing", folder)
    done = run_pytest(folder)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_a_test_that_defines_tasks_leaves_none_behind(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["redun_lite.testing"]\n')
    (tmp_path / "test_it.py").write_text(
        "from redun_lite import get_task_registry, namespace, task\n"
        "def test_one(scheduler):\n"
        "    namespace('mine')\n"
        "    @task\n"
        "    def local(x): return x\n"
        "    assert scheduler.run(local(1)) == 1\n"
        "def test_two(tmp_repository):\n"
        "    assert get_task_registry().get('mine.local') is None\n"
        "    @task\n"
        "    def other(x): return x\n"
        "    assert other.fullname == 'other'\n"
        "    assert tmp_repository.run(other(2)) == 2\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_module_can_be_had_without_pytest():
    code = (
        "import sys, redun_lite.testing as testing; "
        "assert 'pytest' not in sys.modules; assert not hasattr(testing, 'scheduler')"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0


def test_a_snapshot_of_the_registry_forgets_what_came_later():
    registry = get_task_registry()
    known = registry.snapshot()

    @task(namespace="later")
    def local():
        pass

    registry.restore(known)
    assert registry.get("later.local") is None
    assert registry.get("test_testing.add") is add


def test_a_snapshot_of_the_registry_keeps_what_this_package_has_defined_since():
    registry = get_task_registry()
    known = registry.snapshot()
    registry.restore({})
    assert registry.get("test_testing.add") is None
    assert registry.get("redun_lite.subrun") is not None
    registry.restore(known)
