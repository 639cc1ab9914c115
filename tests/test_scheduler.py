"""What a run can be told, what it tells, and how Ctrl-C ends it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
from support import ROOT, InlineExecutor, Lab, SteeredExecutor

from redun_lite import (
    Config,
    LocalExecutor,
    Scheduler,
    get_context,
    get_current_scheduler,
    run,
    task,
)
from redun_lite._db import Repository
from redun_lite._errors import ConfigError, DryRunResult, NoCurrentScheduler, UsageError
from redun_lite._job import Reporter

redun_namespace = "test_scheduler"


@task(version="1")
def ident(x):
    return x


@task(version="1")
def add(a, b):
    return a + b


@task(version="1")
def fail():
    raise ValueError("failed")


# What is recorded of an execution


def test_the_command_of_an_execution_is_recorded(lab):
    lab.run(ident(1), exec_argv=["redun-lite", "run", "flow.py"])
    lab.run([ident(2)] * 100)
    first, second = map(json.loads, lab.query("SELECT argv FROM execution ORDER BY id"))
    assert first == ["redun-lite", "run", "flow.py"]
    assert second[0] == "scheduler.run"
    assert second[1].startswith("[test_scheduler.ident(2), ")
    assert len(second[1]) < 1000


def test_an_execution_is_tagged(lab):
    identity = str(uuid.uuid4())
    lab.run(
        ident(1), execution_id=identity, tags=[("project", "x"), ("n", 1), ("n", {"deep": [2]})]
    )
    assert lab.query("SELECT key, value FROM tag WHERE entity = ? ORDER BY id", identity) == [
        ("project", '"x"'),
        ("n", "1"),
        ("n", '{"deep": [2]}'),
    ]


def test_an_execution_gets_a_random_id_or_the_one_that_is_given(lab):
    identity = uuid.uuid4()
    lab.run(ident(1), execution_id=str(identity).upper())
    lab.run(ident(1))
    given, random = lab.query("SELECT uuid FROM execution ORDER BY id")
    assert given == str(identity)
    assert uuid.UUID(random).version == 4


def test_an_execution_id_is_used_once(lab):
    identity = str(uuid.uuid4())
    lab.run(ident(1), execution_id=identity)
    with pytest.raises(Exception, match=f"there is an execution {identity} already"):
        lab.run(ident(2), execution_id=identity)
    assert lab.statuses() == ["DONE"]
    lab.run(ident(2))


def test_an_execution_id_that_is_no_uuid_is_refused(lab):
    with pytest.raises(UsageError, match="an execution id is a UUID, not 'monday'"):
        lab.run(ident(1), execution_id="monday")


def test_tags_that_are_no_pairs_are_refused_before_anything_is_recorded(lab):
    with pytest.raises(ValueError, match="values to unpack"):
        lab.run(ident(1), tags={"key": "value"})
    assert lab.statuses() == []


def test_a_context_file_that_is_missing_is_named_before_anything_is_recorded(tmp_path):
    lab = Lab(tmp_path, scheduler={"context_file": "missing.json"})
    with pytest.raises(ConfigError, match=r"missing\.json"):
        lab.run(ident(1))
    assert lab.statuses() == []


@pytest.mark.parametrize(
    ("expr", "status"), [(ident(1), "DONE"), (fail(), "FAILED"), (ident(fail()), "FAILED")]
)
def test_an_execution_is_recorded_with_how_it_ended(lab, expr, status):
    try:
        lab.run(expr)
    except ValueError:
        pass
    assert lab.statuses() == [status]
    ((started, ended, heartbeat, host, pid),) = lab.query(
        "SELECT started, ended, heartbeat, host, pid FROM execution"
    )
    assert started <= ended <= heartbeat
    assert (host, pid) == (os.uname().nodename, os.getpid())


def test_a_run_without_any_job_is_recorded(lab):
    assert lab.run({"plain": "value"}) == {"plain": "value"}
    assert lab.statuses() == ["DONE"]
    assert lab.jobs() == {}


# Context


def test_jobs_see_the_context_of_the_configuration_with_that_of_the_run_over_it(tmp_path):
    lab = Lab(tmp_path, scheduler={"context": {"a": 1, "b": 2}})
    seen = {}
    executor = SteeredExecutor(
        "default", lambda job: (seen.update(job.context.variables), finish(job))
    )

    def finish(job):
        executor.finish(job)

    with Scheduler(lab.config, executor=executor) as scheduler:
        scheduler.run(ident(ident(1)), context={"b": 3, "c": 4})
    assert seen == {"a": 1, "b": 3, "c": 4}


# Dry runs


def test_a_dry_run_names_what_would_run_and_runs_nothing(lab):
    executor = SteeredExecutor("default")
    with pytest.raises(DryRunResult, match=r"2 jobs would run: test_scheduler\.ident, .*\.add"):
        lab.run([ident(1), add(1, 2), add(ident(1), 2)], executor, dryrun=True)
    assert executor.held == []


def test_a_dry_run_goes_as_far_as_the_cache_leads(lab):
    @task
    def main(n):
        return [ident(1), add(ident(2), n)]

    lab.run(main(1))
    assert lab.run(main(1), dryrun=True) == [1, 3]
    with pytest.raises(DryRunResult, match=r"1 jobs? would run: test_scheduler\.main"):
        lab.run(main(2), dryrun=True)


def test_a_dry_run_records_nothing(lab):
    lab.run(ident(1))
    before = lab.query("SELECT count(*) FROM job"), lab.query("SELECT count(*) FROM call")
    lab.run(ident(1), dryrun=True, tags=[("a", "b")])
    with pytest.raises(DryRunResult):
        lab.run(add(ident(1), 2), dryrun=True)
    assert lab.statuses() == ["DONE"]
    assert lab.query("SELECT * FROM tag") == []
    assert (lab.query("SELECT count(*) FROM job"), lab.query("SELECT count(*) FROM call")) == before
    lab.audit()


def test_a_dry_run_without_the_cache_stops_at_the_first_job(lab):
    lab.run(ident(1))
    with pytest.raises(DryRunResult, match=r"1 jobs? would run"):
        lab.run(add(ident(1), 1), dryrun=True, cache=False)


# The current scheduler


def test_the_current_scheduler_is_the_one_that_runs():
    seen = []

    @task
    def look():
        seen.append(get_current_scheduler())

    with pytest.raises(NoCurrentScheduler, match="make one with Scheduler"):
        get_current_scheduler()
    assert get_current_scheduler(required=False) is None
    with Scheduler(executor=InlineExecutor("default")) as scheduler:
        scheduler.run(look())
        assert seen == [scheduler]
        with pytest.raises(ValueError, match="failed"):
            scheduler.run(fail())
    assert get_current_scheduler(required=False) is None


def test_a_task_may_run_another_scheduler():
    @task
    def outer():
        with Scheduler(executor=InlineExecutor("default")) as inner:
            return inner.run(add(1, 2))

    for executor in (None, InlineExecutor("default")):
        with Scheduler(executor=executor) as scheduler:
            assert scheduler.run(outer()) == 3


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that the test is in, without a configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDUN_LITE_CONFIG", raising=False)
    return tmp_path


def statuses_in(config_dir):
    return Lab(config_dir, path=config_dir / "redun_lite.db").jobs()


def test_run_keeps_its_results_where_the_command_line_does(folder):
    assert run([add(1, 2), 4]) == [3, 4]
    assert statuses_in(folder / ".redun_lite") == {"add": ["DONE"]}
    assert run(add(1, 2)) == 3
    assert statuses_in(folder / ".redun_lite") == {"add": ["CACHED"]}


def test_run_finds_the_configuration_above(folder, monkeypatch):
    Config.from_dir(folder / ".redun_lite")
    (folder / ".redun_lite" / "redun_lite.ini").write_text('[scheduler]\ncontext = {"a": 3}\n')
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert run(ident(get_context("a"))) == 3
    assert statuses_in(folder / ".redun_lite") == {"ident": ["DONE"]}
    assert list((folder / "below").iterdir()) == []


@pytest.mark.parametrize("given", [str, Path])
def test_run_takes_a_configuration_directory_and_makes_it(folder, given):
    assert run(ident(1), given("own"), tags=[("a", 1)]) == 1
    assert run(ident(1), config_dir=given("own")) == 1
    assert statuses_in(folder / "own") == {"ident": ["CACHED"]}
    assert not (folder / ".redun_lite").exists()


def test_run_takes_a_configuration_in_place_of_a_directory(folder, lab):
    assert run(ident(1), config=lab.config) == 1
    assert lab.jobs() == {"ident": ["DONE"]}
    assert run(ident(1), config=Config()) == 1
    assert not (folder / ".redun_lite").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config_dir": Config()}, "run takes the path of a directory, not <Config of a dict: >; "),
        ({"config_dir": 3}, "run takes the path of a directory, not 3"),
        ({"config_dir": "a", "config": Config()}, "run takes a config_dir or a config, not both"),
        ({"config": {}}, "run takes a Config as config, not {}"),
    ],
)
def test_run_says_what_it_takes(folder, arguments, message):
    with pytest.raises(UsageError) as caught:
        run(ident(1), **arguments)
    assert str(caught.value).startswith(message)
    assert list(folder.iterdir()) == []


# Opening and closing


def test_a_scheduler_without_a_configuration_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Scheduler() as scheduler:
        scheduler.run(ident(1))
    assert list(tmp_path.iterdir()) == []


def test_a_repository_that_is_given_stays_open(tmp_path):
    repository = Repository(str(tmp_path / "own.db"))
    for n in range(2):
        with Scheduler(backend=repository) as scheduler:
            scheduler.run(ident(n))
    assert len(repository.look_up([])) == 0
    repository.close()


def test_loading_makes_the_database(lab):
    with lab.scheduler() as scheduler:
        assert scheduler.load() is scheduler
        assert lab.path.exists()


def test_closing_twice_does_no_harm(lab):
    scheduler = lab.scheduler()
    scheduler.run(ident(1))
    scheduler.close()
    scheduler.close()


def test_a_scheduler_runs_in_a_thread_that_is_not_the_main_one(lab):
    found = []
    thread = threading.Thread(target=lambda: found.append(lab.run(add(1, 2))))
    thread.start()
    thread.join()
    assert found == [3]


def test_a_scheduler_that_runs_in_one_thread_refuses_to_run_in_another(lab):
    @task
    def run_inside(x):
        with pytest.raises(UsageError, match="running another workflow in another thread"):
            schedulers[0].run(ident(1))
        return "refused"

    schedulers = []
    with lab.scheduler() as scheduler:
        schedulers.append(scheduler)
        assert scheduler.run(run_inside(0)) == "refused"
        assert scheduler.run(ident(2)) == 2


def test_a_scheduler_may_run_a_workflow_while_it_runs_one_in_the_same_thread(lab):
    @task
    def run_inside(x):
        return schedulers[0].run(ident(x)) + 1

    schedulers = []
    with lab.scheduler(InlineExecutor("default")) as scheduler:
        schedulers.append(scheduler)
        assert scheduler.run([run_inside(1), run_inside(2)]) == [2, 3]
    lab.audit()


# Reporters


class Recording(Reporter):
    def __init__(self):
        self.events = []

    def started(self, engine, execution_id):
        self.events.append(("started", engine.total, len(execution_id)))

    def job_started(self, job):
        self.events.append(("job started", job.task.name, job.status))

    def job_ended(self, job, error=None):
        self.events.append(("job ended", job.task.name, job.status, error))

    def draining(self, engine):
        self.events.append(("draining", engine.counts["RUNNING"]))

    def ended(self, engine, status):
        counts = {name: n for name, n in engine.counts.items() if n}
        self.events.append(("ended", status, engine.total, counts))


def test_a_reporter_is_told_what_happens(lab):
    reporter = Recording()
    lab.run(ident(1))
    lab.run(add(ident(1), 2), InlineExecutor("default"), reporter=reporter)
    assert reporter.events == [
        ("started", 0, 36),
        ("job ended", "ident", "CACHED", None),
        ("job started", "add", "RUNNING"),
        ("job ended", "add", "DONE", None),
        ("ended", "DONE", 2, {"DONE": 1, "CACHED": 1}),
    ]


def test_a_reporter_is_told_of_errors_and_of_the_end_after_them(lab):
    reporter = Recording()
    with pytest.raises(ValueError, match="failed") as caught:
        lab.run(ident(fail()), InlineExecutor("default"), reporter=reporter)
    assert reporter.events[2:] == [
        ("job ended", "fail", "FAILED", caught.value),
        ("job ended", "ident", "FAILED", caught.value),
        ("ended", "FAILED", 2, {"FAILED": 2}),
    ]


# Ctrl-C


@pytest.fixture
def interruptible():
    """Let SIGINT do what it does in a program, whatever the test runner made of it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


class Finishing(Reporter):
    """Lets what runs end once no more starts."""

    def __init__(self, executor, also=lambda: None):
        self.executor = executor
        self.also = also

    def draining(self, engine):
        self.also()
        self.executor.finish_all()


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_lets_running_jobs_end_and_starts_no_others(lab):
    executor = SteeredExecutor()
    steered = ident.options(executor="steered")

    def on_submit(job):
        if len(executor.held) == 2:
            signal.raise_signal(signal.SIGINT)

    executor.on_submit = on_submit
    with pytest.raises(KeyboardInterrupt):
        lab.run(add(steered(1), steered(2)), executor, reporter=Finishing(executor))
    assert lab.statuses() == ["CANCELLED"]
    assert lab.jobs() == {"ident": ["DONE", "DONE"]}
    lab.audit()
    assert lab.run(add(steered(1), steered(2)), InlineExecutor("steered")) == 3
    assert lab.jobs() == {"ident": ["CACHED", "CACHED"], "add": ["DONE"]}


@pytest.mark.parametrize("end", ["error", "ctrl-c"])
@pytest.mark.usefixtures("interruptible")
def test_jobs_that_an_executor_has_not_begun_do_not_run_after_the_end(lab, end):
    has_begun, may_end = threading.Event(), threading.Event()
    ran = []

    @task
    def running():
        has_begun.set()
        assert may_end.wait(30)

    @task
    def waiting(n):
        ran.append(n)

    def on_submit(job):
        assert has_begun.wait(30)
        if end == "ctrl-c":
            signal.raise_signal(signal.SIGINT)
        else:
            steered.finish(job)

    steered = SteeredExecutor("steered", on_submit)
    reporter = Finishing(steered, may_end.set)
    last = fail.options(executor="steered")
    with Scheduler(
        lab.config, executor=LocalExecutor("default", max_workers=1), reporter=reporter
    ) as scheduler:
        scheduler.add_executor(steered)
        with pytest.raises((ValueError, KeyboardInterrupt)):
            scheduler.run([running(), *[waiting(n) for n in range(10)], last()])
    assert ran == []
    assert lab.jobs() == {"running": ["DONE"], "fail": ["FAILED"]}
    lab.audit()


@pytest.mark.usefixtures("interruptible")
def test_jobs_that_wait_for_a_limit_are_not_started_after_ctrl_c(lab):
    executor = SteeredExecutor("default", lambda job: signal.raise_signal(signal.SIGINT))
    exprs = [ident.options(limits=["db"])(n) for n in range(3)]
    with pytest.raises(KeyboardInterrupt):
        lab.run(exprs, executor, reporter=Finishing(executor))
    assert lab.jobs() == {"ident": ["DONE"]}


@pytest.mark.usefixtures("interruptible")
def test_a_job_whose_result_holds_further_calls_is_cancelled_by_ctrl_c(lab):
    @task
    def main():
        return ident(1)

    executor = SteeredExecutor("default", lambda job: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        lab.run(main(), executor, reporter=Finishing(executor))
    assert lab.jobs() == {"main": ["CANCELLED"]}


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_does_not_wait_for_running_jobs(lab):
    executor = SteeredExecutor("default", lambda job: signal.raise_signal(signal.SIGINT))

    class Again(Reporter):
        def draining(self, engine):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        lab.run([ident(1), ident(2)], executor, reporter=Again())
    assert len(executor.held) == 2
    assert lab.jobs() == {"ident": ["CANCELLED", "CANCELLED"]}
    assert lab.statuses() == ["CANCELLED"]


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_is_as_it_was_after_a_run(lab):
    lab.run(ident(1))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(ValueError, match="failed"):
        lab.run(fail())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_a_program_that_handles_ctrl_c_itself_keeps_doing_so(lab):
    caught = []
    signal.signal(signal.SIGINT, lambda *_: caught.append(1))
    executor = SteeredExecutor("default")

    def on_submit(job):
        signal.raise_signal(signal.SIGINT)
        executor.finish(job)

    executor.on_submit = on_submit
    assert lab.run(ident(1), executor) == 1
    assert caught == [1]


INTERRUPTED = """
import os
import sys

from redun_lite import Config, Scheduler, task
from redun_lite._job import Reporter


@task(executor=sys.argv[2])
def wait(pipe, n):
    os.write(1, b"running\\n")  # In one piece, between those of others.
    with open(f"{pipe}{n}") as stream:
        return stream.read()


@task()
def after(value):
    print("never", flush=True)


class Telling(Reporter):
    def draining(self, engine):
        print("draining", flush=True)


if __name__ == "__main__":
    config = Config({"backend": {"db_uri": "sqlite:///lab.db"}}, sys.argv[1])
    with Scheduler(config, reporter=Telling()) as scheduler:
        scheduler.run([after(wait(sys.argv[1] + "/pipe", n)) for n in range(2)])
"""


@pytest.mark.parametrize("executor", ["default", "process"])
def test_ctrl_c_in_a_terminal_ends_a_program_with_its_workers(lab, executor):
    (lab.folder / "script.py").write_text(INTERRUPTED)
    for n in range(2):
        os.mkfifo(lab.folder / f"pipe{n}")
    program = subprocess.Popen(
        [sys.executable, lab.folder / "script.py", str(lab.folder), executor],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert [program.stdout.readline() for _ in range(2)] == ["running\n"] * 2
        os.killpg(program.pid, signal.SIGINT)  # As a terminal does: to all of them.
        assert program.stdout.readline() == "draining\n"
        for n in range(2):
            (lab.folder / f"pipe{n}").write_text("released")
        output, errors = program.communicate(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()
    assert output == ""
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert lab.jobs() == {"wait": ["DONE", "DONE"]}
    assert lab.statuses() == ["CANCELLED"]
    lab.audit()
