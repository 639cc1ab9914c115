"""Where jobs run: threads, aliases, and executors that users write."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from support import InlineExecutor, SteeredExecutor

from redun_lite import AliasExecutor, Config, Executor, LocalExecutor, Scheduler, task
from redun_lite._errors import ConfigError, ExecutorError
from redun_lite._executor import DEFAULT_MAX_WORKERS, ThreadPool, register_executor
from redun_lite._job import Reporter

redun_namespace = "test_executor"


@task(version="1")
def ident(x):
    return x


@task(version="1", cache=False)
def thread_name():
    return threading.current_thread().name


def with_executors(**sections):
    return Config({f"executors.{name}": options for name, options in sections.items()})


# Threads


def test_jobs_run_in_threads_unless_told_otherwise():
    with Scheduler() as scheduler:
        assert scheduler.run(thread_name()) == "redun_lite-default"


def test_jobs_run_at_the_same_time():
    barrier = threading.Barrier(4, timeout=30)

    @task
    def meet(n):
        barrier.wait()  # Nobody gets past it alone.
        return n

    with Scheduler() as scheduler:
        assert scheduler.run([meet(n) for n in range(4)]) == [0, 1, 2, 3]


def test_no_more_threads_are_started_than_there_are_workers():
    @task
    def name(n):
        return threading.current_thread().ident

    executor = LocalExecutor("default", max_workers=2)
    with Scheduler(executor=executor) as scheduler:
        assert len(set(scheduler.run([name(n) for n in range(200)]))) <= 2
    assert DEFAULT_MAX_WORKERS == 20


def test_a_job_that_blocks_does_not_keep_the_others_from_running():
    released = threading.Event()

    @task
    def blocks():
        assert released.wait(30)
        return "released"

    @task
    def releases(values):
        released.set()
        return len(values)

    with Scheduler() as scheduler:
        assert scheduler.run([blocks(), releases([ident(n) for n in range(100)])]) == [
            "released",
            100,
        ]


def test_a_scheduler_that_was_closed_can_run_again():
    scheduler = Scheduler()
    assert scheduler.run(ident(1)) == 1
    scheduler.close()
    assert scheduler.run(ident(2)) == 2
    scheduler.close()


def test_a_job_that_comes_while_a_thread_takes_another_gets_a_thread_of_its_own():
    barrier = threading.Barrier(2, timeout=30)
    ended = queue.SimpleQueue()

    def job():
        task = SimpleNamespace(func=barrier.wait, script=False, evaluates_within=False)
        run = SimpleNamespace(complete=lambda job, result, error: ended.put(error))
        options = SimpleNamespace(priority=0, timeout=None)
        return SimpleNamespace(task=task, run=run, options=options, args=(), kwargs=None)

    class Tickets(queue.SimpleQueue):
        def get(self):
            ticket = super().get()
            if others:
                pool.submit(others.pop())
            return ticket

    pool = ThreadPool("pool", 2)
    pool._queue = Tickets()
    others = [job()]
    pool.submit(job())
    assert [ended.get(), ended.get()] == [None, None]
    pool.stop()


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_an_executor_says_how_many_of_its_jobs_wait_for_a_worker(tmp_path, mode):
    pipes = [tmp_path / "first", tmp_path / "second"]
    for pipe in pipes:
        os.mkfifo(pipe)

    @task(executor="two")
    def hold(n):
        return pipes[n].read_text() if n < 2 else ""

    config = {"type": "local", "mode": mode, "max_workers": 2}
    executors = with_executors(two=config, other={"type": "alias", "target": "two"})
    with Scheduler(executors) as scheduler:
        executor = scheduler.get_executor("two")
        assert executor.waiting() == 0
        found = []

        def look_and_let_go():
            streams = [open(pipe, "w") for pipe in pipes]  # Once the first two jobs have begun.
            while executor.waiting() < 6:
                time.sleep(0.001)
            found.append((executor.waiting(), scheduler.get_executor("other").waiting()))
            for stream in streams:
                stream.close()

        watching = threading.Thread(target=look_and_let_go)
        watching.start()
        scheduler.run([hold(n) for n in range(8)])
        watching.join()
        assert found == [(6, 0)]
        assert executor.waiting() == 0


def test_threads_end_when_the_scheduler_is_closed():
    threads = []

    @task
    def here(n):
        threads.append(threading.current_thread())

    with Scheduler() as scheduler:
        scheduler.run([here(n) for n in range(10)])
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


# Configuration


def test_the_default_executor_can_be_configured():
    config = with_executors(default={"type": "local", "max_workers": "3"})
    with Scheduler(config) as scheduler:
        assert scheduler.get_executor("default").max_workers == 3


def test_an_executor_of_a_name_is_used_by_tasks_that_ask_for_it():
    config = with_executors(big={"type": "local", "mode": "thread"})
    with Scheduler(config) as scheduler:
        assert scheduler.run(thread_name.options(executor="big")()) == "redun_lite-big"
        assert scheduler.run(thread_name()) == "redun_lite-default"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "local", "mode": "fibres"}, "mode"),
        ({"type": "local", "max_workers": "many"}, "max_workers"),
        ({"type": "local", "max_workers": "0"}, "at least 1"),
        ({"type": "local", "max_wokers": "2"}, "max_workers"),
        ({"type": "local", "start_method": "teleport"}, "start_method"),
        ({"type": "locl"}, "did you mean local"),
        ({"type": "alias"}, "target = NAME"),
    ],
)
def test_a_wrong_option_of_an_executor_is_named_with_its_section(options, message):
    with pytest.raises(ConfigError, match=rf"executors\.big.*{message}"):
        Scheduler(with_executors(big=options))


# Aliases


def test_an_alias_hands_its_jobs_to_its_target():
    config = with_executors(small={"type": "alias", "target": "real"})
    target = InlineExecutor("real")
    with Scheduler(config) as scheduler:
        scheduler.add_executor(target)
        assert scheduler.run(ident.options(executor="small")(1)) == 1
    assert target.starts == 1


def test_an_alias_may_lead_to_another_alias():
    config = with_executors(
        a={"type": "alias", "target": "b"}, b={"type": "alias", "target": "default"}
    )
    with Scheduler(config) as scheduler:
        assert scheduler.run(thread_name.options(executor="a")()) == "redun_lite-default"


def test_aliases_that_lead_back_to_themselves_are_named(lab):
    lab.config = with_executors(
        a={"type": "alias", "target": "b"}, b={"type": "alias", "target": "a"}
    )
    with pytest.raises(ConfigError, match="a → b → a"):
        lab.run(ident.options(executor="a")(1))


def test_an_alias_of_nothing_names_what_there_is():
    with Scheduler() as scheduler:
        scheduler.add_executor(AliasExecutor("a", target="defalt"))
        with pytest.raises(ExecutorError, match=r"'defalt': did you mean default\?"):
            scheduler.run(ident.options(executor="a")(1))


# Executors of the user's own

OWN = """
from redun_lite import Executor

class Loud(Executor):
    def __init__(self, name, scheduler=None, config=None):
        super().__init__(name, scheduler, config)
        self.volume = config.parse({"volume": int})["volume"]

    def submit(self, job):
        self.scheduler.done_job(job, [job.task.func(*job.args, **job.kwargs)] * self.volume)

class NoExecutor:
    def __init__(self, *args):
        pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_a_class_in_the_configuration_is_imported_and_gets_its_options(own):
    config = with_executors(loud={"class": f"{own}.Loud", "volume": "3"})
    with Scheduler(config) as scheduler:
        assert scheduler.run(ident.options(executor="loud")("a")) == ["a", "a", "a"]


def test_a_class_that_is_no_executor_is_named(own):
    with pytest.raises(ConfigError, match=r"NoExecutor is no subclass of redun_lite\.Executor"):
        Scheduler(with_executors(loud={"class": f"{own}.NoExecutor"}))


def test_a_class_can_be_registered_under_a_type():
    @register_executor("test_inline")
    class Registered(Executor):
        def submit(self, job):
            self.scheduler.done_job(job, f"{self.name} ran it")

    with Scheduler(with_executors(mine={"type": "test_inline"})) as scheduler:
        assert scheduler.run(ident.options(executor="mine")(1)) == "mine ran it"


def test_a_class_can_be_registered_under_a_type_by_its_path(own):
    register_executor("test_path", f"{own}.Loud")
    register_executor("test_nowhere", f"{own}.Lowd")
    with Scheduler(with_executors(mine={"type": "test_path", "volume": "3"})) as scheduler:
        assert type(scheduler.get_executor("mine")).__name__ == "Loud"
    with pytest.raises(ConfigError, match=f"{own} has no Lowd; did you mean Loud"):
        Scheduler(with_executors(mine={"type": "test_nowhere"}))


def test_an_executor_is_started_once_before_the_first_job_of_a_run():
    executor = InlineExecutor("own")
    own_ident = ident.options(executor="own")
    with Scheduler() as scheduler:
        scheduler.add_executor(executor)
        assert executor.starts == 0
        scheduler.run([own_ident(1), own_ident(2)])
        assert executor.starts == 1
        scheduler.run([own_ident(3), own_ident(4)])
        assert executor.starts == 2
        scheduler.run([own_ident(3)])  # It is cached.
        assert executor.starts == 2


def test_an_executor_may_be_added_under_another_name():
    with Scheduler() as scheduler:
        scheduler.add_executor(InlineExecutor("own"), name="other")
        assert scheduler.run(ident.options(executor="other")(1)) == 1
        with pytest.raises(ExecutorError, match="unknown executor 'own'"):
            scheduler.run(ident.options(executor="own")(2))


@pytest.mark.parametrize("method", ["start", "submit"])
def test_an_executor_that_breaks_fails_the_job_that_it_was_given(lab, method):
    class Broken(SteeredExecutor):
        pass

    def broken(self, *args):
        raise ConnectionError(f"no {method}")

    setattr(Broken, method, broken)
    with pytest.raises(ConnectionError, match=f"no {method}"):
        lab.run(ident.options(executor="steered")(1), Broken())
    assert lab.jobs() == {"ident": ["FAILED"]}


def test_an_executor_that_could_not_start_is_started_again_for_the_next_job():
    class Slow(InlineExecutor):
        def start(self):
            super().start()
            if self.starts == 1:
                raise ConnectionError("not yet")

    executor = Slow("own")
    with Scheduler() as scheduler:
        scheduler.add_executor(executor)
        with pytest.raises(ConnectionError):
            scheduler.run([ident.options(executor="own")(n) for n in range(3)])
    assert executor.starts > 1


def test_a_result_that_is_handed_back_twice_counts_once(lab):
    class Twice(Executor):
        def submit(self, job):
            self.scheduler.done_job(job, "first")
            self.scheduler.done_job(job, "second")
            self.scheduler.reject_job(job, ValueError("third"))

    assert (
        lab.run([ident.options(executor="own")(n) for n in range(3)], Twice("own")) == ["first"] * 3
    )
    assert lab.jobs() == {"ident": ["DONE"] * 3}


def test_results_may_be_handed_back_from_any_thread(lab):
    class Threads(Executor):
        def submit(self, job):
            threading.Thread(target=self.scheduler.done_job, args=(job, job.args[0])).start()

    assert lab.run([ident.options(executor="own")(n) for n in range(50)], Threads("own")) == list(
        range(50)
    )


def test_an_executor_without_a_scheduler_says_so():
    with pytest.raises(ExecutorError, match="'own' was not added to a scheduler"):
        InlineExecutor("own").scheduler


def test_jobs_that_wait_for_a_worker_are_not_counted_as_running():
    release = threading.Event()

    @task
    def hold(n):
        assert release.wait(60)
        return n

    class Watching(Reporter):
        interval = 0.001
        seen = False

        def tick(self, engine):
            if engine.running == 3 and engine.counts["RUNNING"] == 1:
                self.seen = True
                release.set()

    watching = Watching()
    executor = LocalExecutor("default", max_workers=1)
    with Scheduler(executor=executor, reporter=watching) as scheduler:
        assert scheduler.run([hold(n) for n in range(3)]) == [0, 1, 2]
    assert watching.seen
