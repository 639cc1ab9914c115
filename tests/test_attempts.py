"""Attempts: trying again, giving up in time, and who goes first."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
from support import Lab, SteeredExecutor, note, notes, python

from redun_lite import Config, File, Handle, Scheduler, catch, get_context, no_prov, task
from redun_lite._dispatch import MAX_RETRY_DELAY
from redun_lite._errors import (
    ExecutorError,
    RedunLiteError,
    ResultError,
    TaskError,
    TaskTimeout,
    WorkerDied,
)
from redun_lite._executor import LocalExecutor
from redun_lite._job import Reporter

redun_namespace = "test_attempts"


@pytest.fixture
def log(tmp_path):
    """A file that tasks note in what they really did; its lines are taken off when looked at."""

    class Log:
        path = str(tmp_path / "log")

        def take(self) -> list[str]:
            lines = notes(self.path)
            if lines:
                os.unlink(self.path)
            return lines

    return Log()


@pytest.fixture(autouse=True)
def audited(lab):
    """What every test leaves in its database is whole."""
    yield
    if lab.path.exists():
        lab.audit()


@pytest.fixture
def never():
    """What never happens while the test lasts, and then lets go of the threads that wait for it."""
    event = threading.Event()
    yield event
    event.set()


def threads(count: int) -> Config:
    return Config({"executors.default": {"type": "local", "max_workers": str(count)}})


def run(expr: Any, config: Any = None, **arguments: Any) -> Any:
    with Scheduler(config) as scheduler:
        return scheduler.run(expr, **arguments)


def attempts(lab) -> list[tuple[int, str | None]]:
    """Return the number of each attempt and the message of its error."""
    from redun_lite._expr import loads_expr

    rows = lab.query(
        "SELECT number, data FROM attempt LEFT JOIN value ON value.id = error_id "
        "ORDER BY job_id, number"
    )
    return [(number, data and loads_expr(data).message) for number, data in rows]


def failing(path: str, times: int, error: type[Exception] = ValueError) -> str:
    """Fail as many times as asked for, as a file remembers, and then succeed."""
    note(path, "attempt")
    count = len(notes(path))
    if count <= times:
        raise error(f"attempt {count}")
    return f"attempt {count}"


@task(version="1", retry_delay=0)
def flaky(path, times):
    return failing(path, times)


@task(version="1")
def ident(x):
    return x


@task(version="1")
def explain(error):
    return f"{type(error).__name__}: {error}"


# Retries


@pytest.mark.parametrize("executor", ["default", "process"])
def test_a_job_that_fails_is_tried_again(lab, log, executor):
    call = flaky.options(retries=3, executor=executor)(log.path, 2)
    assert lab.run(call) == "attempt 3"
    assert lab.jobs() == {"flaky": ["DONE"]}
    assert attempts(lab) == [(1, "attempt 1"), (2, "attempt 2"), (3, None)]


def test_the_calls_of_an_attempt_that_failed_are_none_of_the_next(lab, log):
    @task(version="1", retries=1, retry_delay=0)
    async def main():
        note(log.path, "attempt")
        count = await ident(len(notes(log.path)))
        if count == 1:
            raise ValueError("once")
        return count

    assert lab.run(main()) == 2
    assert lab.query("SELECT count(*) FROM call_child") == [1]


@pytest.mark.parametrize("given", [[0], {"k": [0]}])
def test_each_attempt_with_a_handle_is_given_the_other_arguments_as_they_came(log, given):
    @task(version="1", retries=2, retry_delay=0)
    def spoil(place, values):
        inner = values if isinstance(values, list) else values["k"]
        inner.append(1)
        note(log.path, len(inner))
        if len(notes(log.path)) < 3:
            raise ValueError("spoilt")

    run(spoil(Place("here"), given))
    assert log.take() == ["2", "2", "2"]


def test_an_argument_that_cannot_be_loaded_for_another_attempt_fails_the_job(lab):
    with pytest.raises(OSError, match="broken"):
        lab.run(flaky.options(retries=1)(Brittle(), 1))
    assert lab.jobs() == {"flaky": ["FAILED"]}


class Place(Handle):
    def __init__(self, name):
        self.instance = None


class Brittle:
    def __reduce__(self):
        return (Brittle._load, ())

    @staticmethod
    def _load():
        raise OSError("broken")


def test_an_async_job_that_fails_is_tried_again(lab, log):
    @task(version="1", retries=2, retry_delay=0)
    async def main():
        return failing(log.path, await ident(1))

    assert lab.run(main()) == "attempt 2"
    assert attempts(lab) == [(1, "attempt 1"), (2, None)]
    assert lab.jobs() == {"main": ["DONE"], "ident": ["CACHED", "DONE"]}


def test_a_job_without_retries_is_tried_once(lab, log):
    with pytest.raises(ValueError, match=r"^attempt 1$"):
        lab.run(flaky(log.path, 1))
    assert len(log.take()) == 1


def test_a_job_that_fails_each_time_fails_with_its_last_error(lab, log):
    with pytest.raises(ValueError, match=r"^attempt 3$"):
        lab.run(flaky.options(retries=2)(log.path, 9))
    assert lab.jobs() == {"flaky": ["FAILED"]}
    assert attempts(lab) == [(1, "attempt 1"), (2, "attempt 2"), (3, "attempt 3")]


def test_the_only_attempt_at_a_job_is_not_recorded_apart(lab, log):
    lab.run(flaky.options(retries=2)(log.path, 0))
    with pytest.raises(ValueError, match="attempt 2"):
        lab.run(flaky(log.path, 9))
    assert attempts(lab) == []


def test_only_errors_of_the_classes_that_are_named_are_tried_again(lab, log):
    with pytest.raises(ValueError, match=r"^attempt 1$"):
        lab.run(flaky.options(retries=2, retry_on=OSError)(log.path, 1))
    log.take()
    assert lab.run(flaky.options(retries=2, retry_on=[OSError, ValueError])(log.path, 1))


def test_an_error_of_another_class_ends_the_attempts(lab, log):
    @task(version="1", retries=5, retry_delay=0, retry_on=OSError)
    def mixed():
        note(log.path, "attempt")
        raise OSError("busy") if len(notes(log.path)) == 1 else KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        lab.run(mixed())
    assert attempts(lab) == [(1, "busy"), (2, "'gone'")]


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_program_is_not_tried_again_unless_named(lab, log, raised):
    @task(version="1", retries=2, retry_delay=0)
    def leave():
        return failing(log.path, 1, raised)

    with pytest.raises(raised):
        lab.run(leave())
    assert len(log.take()) == 1
    assert lab.run(leave.options(retry_on=raised)()) == "attempt 2"


def test_an_error_below_a_job_is_not_its_own(lab, log):
    @task(version="1", retries=3, retry_delay=0)
    def parent():
        note(log.path, "parent")
        return child()

    @task(version="1")
    def child():
        note(log.path, "child")
        raise ValueError("below")

    with pytest.raises(ValueError, match="below"):
        lab.run(parent())
    assert log.take() == ["parent", "child"]


def test_an_argument_that_fails_is_not_tried_again(lab, log):
    with pytest.raises(ValueError, match="attempt 1"):
        lab.run(ident.options(retries=3, retry_delay=0)(flaky(log.path, 1)))
    assert attempts(lab) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"executor": "nope"}, "unknown executor 'nope'"), ({"limits": {"a": 5}}, "5 units of 'a'")],
)
def test_what_no_attempt_could_mend_is_not_tried_again(lab, log, options, message):
    with pytest.raises(RedunLiteError, match=message):
        lab.run(flaky.options(retries=3, retry_delay=1000, **options)(log.path, 0))
    assert attempts(lab) == []


def test_an_executor_that_fails_to_start_a_job_is_tried_again(lab):
    class Hesitant(LocalExecutor):
        calls = 0

        def submit(self, job):
            self.calls += 1
            if self.calls < 3:
                raise ConnectionError("busy")
            super().submit(job)

    call = ident.options(executor="hesitant", retries=3, retry_delay=0)(7)
    assert lab.run(call, Hesitant("hesitant")) == 7
    assert attempts(lab) == [(1, "busy"), (2, "busy"), (3, None)]


def test_every_attempt_gets_the_arguments_as_they_came(lab):
    seen = []

    @task(version="1", retries=2, retry_delay=0, cache=False)
    def grow(numbers, nested, file):
        seen.append((list(numbers), {k: list(v) for k, v in nested.items()}, file.path))
        numbers.append(9)
        nested["a"].append(9)
        file.path = "changed"
        if len(seen) < 3:
            raise ValueError
        return numbers

    assert lab.run(grow([1], {"a": [ident(2)]}, File("here"))) == [1, 9]
    assert seen == [([1], {"a": [2]}, "here")] * 3


def test_retries_may_be_lazy_exported_or_given_by_the_run(lab, log):
    for call, arguments in [
        (flaky.options(retries=get_context("retries")), {"context": {"retries": 1}}),
        (flaky.export_options(retries=1), {}),
        (flaky, {"options": {"retries": 1}}),
    ]:
        assert lab.run(call(log.path, 1), **arguments) == "attempt 2"
        log.take()
        lab.path.unlink()


def test_a_job_that_succeeded_in_the_end_is_replayed(lab, log):
    call = flaky.options(retries=1)(log.path, 1)
    assert [lab.run(call), lab.run(call)] == ["attempt 2", "attempt 2"]
    assert lab.jobs() == {"flaky": ["CACHED"]}
    assert len(attempts(lab)) == 2


def test_a_job_that_failed_is_tried_anew_by_the_next_execution(lab, log):
    call = flaky.options(retries=1)(log.path, 3)
    with pytest.raises(ValueError, match="attempt 2"):
        lab.run(call)
    assert lab.run(call) == "attempt 4"
    assert attempts(lab) == [(1, "attempt 1"), (2, "attempt 2"), (1, "attempt 3"), (2, None)]


def test_a_handler_gets_the_error_of_the_last_attempt(lab, log):
    call = catch(flaky.options(retries=2)(log.path, 9), ValueError, explain)
    assert lab.run(call) == "ValueError: attempt 3"


def test_an_error_of_a_job_that_may_be_tried_again_is_tried_again_by_later_executions(lab, log):
    """Who asks for retries says that its errors come and go, also those that were handled."""
    call = catch(flaky.options(retries=1)(log.path, 3), ValueError, explain)
    assert [lab.run(call), lab.run(call)] == ["ValueError: attempt 2", "attempt 4"]


def test_equal_calls_share_the_attempts(lab, log):
    call = flaky.options(retries=1)
    assert lab.run([call(log.path, 1), ident(call(log.path, 1))]) == ["attempt 2", "attempt 2"]
    assert len(log.take()) == 2


def test_attempts_without_provenance_are_not_recorded(lab, log):
    assert lab.run(no_prov(flaky.options(retries=1)(log.path, 1))) == "attempt 2"
    assert attempts(lab) == []


def test_a_job_that_is_tried_again_is_one_job_that_began_with_the_first_attempt(lab, log):
    lab.run(flaky.options(retries=2)(log.path, 2))
    ((number, started, ended),) = lab.query("SELECT id & 0xffff, started, ended FROM job")
    ((first, last),) = lab.query("SELECT min(started), max(ended) FROM attempt")
    assert (number, started) == (1, first)
    assert ended >= last


def test_a_thousand_jobs_are_tried_again(lab):
    seen: set[int] = set()

    @task(version="1", retries=1, retry_delay=0)
    def second_time(i):
        if i not in seen:
            seen.add(i)
            raise ValueError(i)
        return i

    assert lab.run([second_time(i) for i in range(1000)]) == list(range(1000))
    assert lab.query("SELECT count(*) FROM attempt") == [2000]


# Delays


class Delays(Reporter):
    """Notes the delays before retries, and lets nobody wait for a long one."""

    def __init__(self, longest: float = 1.0) -> None:
        self.longest = longest
        self.seen: list[tuple[int, float]] = []

    def job_retried(self, job: Any, error: BaseException, delay: float) -> None:
        self.seen.append((job.attempt, delay))
        if delay > self.longest:
            job.run.interrupt()


def test_delays_grow_by_a_factor_and_are_off_by_some_chance(lab, log):
    delays = Delays()
    options = {"retries": 6, "retry_delay": 0.0005, "retry_backoff": 3}
    with pytest.raises(ValueError, match="attempt 7"):
        lab.run(flaky.options(**options)(log.path, 9), reporter=delays)
    assert [attempt for attempt, _ in delays.seen] == [1, 2, 3, 4, 5, 6]
    for attempt, delay in delays.seen:
        expected = 0.0005 * 3 ** (attempt - 1)
        assert 0.75 * expected <= delay <= 1.25 * expected
    ratios = {round(delay / (0.0005 * 3 ** (attempt - 1)), 6) for attempt, delay in delays.seen}
    assert len(ratios) > 1


def test_a_factor_of_one_keeps_the_delay(lab, log):
    delays = Delays()
    options = {"retries": 5, "retry_delay": 0.001, "retry_backoff": 1}
    with pytest.raises(ValueError, match="attempt 6"):
        lab.run(flaky.options(**options)(log.path, 9), reporter=delays)
    assert all(0.00075 <= delay <= 0.00125 for _, delay in delays.seen)


@pytest.mark.parametrize("options", [{"retry_delay": 1e6}, {"retry_delay": 1e300}])
def test_no_delay_is_longer_than_a_few_minutes(lab, log, options):
    delays = Delays()
    with pytest.raises(KeyboardInterrupt):
        lab.run(flaky.options(retries=1, **options)(log.path, 9), reporter=delays)
    ((_, delay),) = delays.seen
    assert 0.75 * MAX_RETRY_DELAY <= delay <= 1.25 * MAX_RETRY_DELAY


def test_a_great_many_attempts_do_not_overflow_the_delay(lab, log):
    delays = Delays()
    call = flaky.options(retries=2000, retry_delay=1e-300, retry_backoff=1e300)(log.path, 9)
    with pytest.raises(KeyboardInterrupt):
        lab.run(call, reporter=delays)
    assert delays.seen[-1][1] <= 1.25 * MAX_RETRY_DELAY


def test_the_default_is_about_a_second_and_then_twice_as_long(lab, log):
    @task(version="1", retries=1)
    def fails():
        raise ValueError("no")

    delays = Delays(longest=0.1)
    with pytest.raises(KeyboardInterrupt):
        lab.run(fails(), reporter=delays)
    ((_, delay),) = delays.seen
    assert 0.75 <= delay <= 1.25


def test_while_a_job_waits_for_its_next_attempt_others_have_its_resources(lab, log):
    order = []

    @task(version="1", retries=1, retry_delay=0, limits=["one"])
    def first():
        order.append("first")
        if len(order) == 1:
            raise ValueError
        return 1

    @task(version="1", limits=["one"])
    def second():
        order.append("second")
        return 2

    assert lab.run([first(), second()]) == [1, 2]
    assert order == ["first", "second", "first"]


def test_an_interrupt_while_a_job_waits_for_its_next_attempt_ends_the_run(lab, log):
    delays = Delays(longest=0)
    with pytest.raises(KeyboardInterrupt):
        lab.run(flaky.options(retries=3, retry_delay=1000)(log.path, 9), reporter=delays)
    assert lab.statuses() == ["CANCELLED"]
    assert lab.jobs() == {"flaky": ["CANCELLED"]}
    assert attempts(lab) == [(1, "attempt 1")]


def test_a_run_that_has_failed_tries_nothing_again(lab, log):
    """The next attempt is due while the run waits for a job that is still running."""
    go_on = threading.Event()

    class Waits(Reporter):
        is_draining = False
        interval = 0.01

        def draining(self, engine):
            self.is_draining = True

        def tick(self, engine):
            if self.is_draining and not engine.dispatcher.timers:
                go_on.set()

    @task(version="1")
    def long():
        assert go_on.wait(30)
        return "long"

    @task(version="1")
    def fails_after(path):
        while len(notes(path)) < 1:
            time.sleep(0.001)
        raise KeyError("other")

    call = flaky.options(retries=5, retry_delay=1)(log.path, 9)
    with pytest.raises(KeyError, match="other"):
        lab.run([long(), call, fails_after(log.path)], reporter=Waits())
    assert len(log.take()) == 1
    assert lab.jobs() == {"long": ["DONE"], "flaky": ["CANCELLED"], "fails_after": ["FAILED"]}


KILLED = """
import os, signal, sys
from redun_lite import Scheduler, Config, task
from redun_lite._job import Reporter

@task(namespace="killed", version="1", retries=3, retry_delay=1000)
def fails():
    raise ValueError("no")

class Kill(Reporter):
    interval = 0.01
    seen = False
    def job_retried(self, job, error, delay):
        self.seen = True
    def tick(self, engine):
        if self.seen and not engine.repository._batch:
            engine.repository.sync()
            os.kill(os.getpid(), signal.SIGKILL)

config = Config({"backend": {"db_uri": "sqlite:///" + sys.argv[1]}})
Scheduler(config, reporter=Kill()).run(fails())
"""


def test_attempts_are_there_though_the_process_was_killed_before_the_next(lab, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    assert python(script, lab.path, check=False).returncode == -signal.SIGKILL
    assert attempts(lab) == [(1, "no")]
    assert lab.query("SELECT status FROM job") == ["RUNNING"]


# Time limits in threads


def test_a_thread_that_takes_too_long_is_given_up_and_said_so(lab, never):
    @task(version="1", timeout=0.05)
    def blocks():
        never.wait()

    with pytest.raises(TaskTimeout) as raised:
        lab.run(blocks())
    assert str(raised.value) == (
        "test_attempts.blocks took longer than its timeout of 0.05 s: its thread cannot be stopped "
        "and is left to itself"
    )
    assert isinstance(raised.value, TimeoutError)
    assert lab.jobs() == {"blocks": ["FAILED"]}
    assert lab.statuses() == ["FAILED"]


def test_a_job_that_ends_in_time_is_not_minded(lab):
    assert lab.run([ident.options(timeout=1000)(i) for i in range(100)]) == list(range(100))


def test_a_timeout_can_be_caught_and_is_tried_anew_by_the_next_execution(lab, log, never):
    @task(version="1", timeout=0.05)
    def blocks():
        note(log.path, "blocks")
        never.wait()

    call = catch(blocks(), TimeoutError, explain)
    for _ in range(2):
        assert lab.run(call).startswith("TaskTimeout: test_attempts.blocks took longer than")
    assert log.take() == ["blocks", "blocks"]


def test_a_given_up_thread_frees_its_place(never):
    @task(version="1", timeout=0.05)
    def blocks():
        never.wait()

    @task(version="1")
    def main():
        return [catch(blocks(), TaskTimeout, explain), [ident(i) for i in range(10)]]

    explained, values = run(main(), threads(1))
    assert explained.startswith("TaskTimeout")
    assert values == list(range(10))


def test_a_given_up_thread_that_has_ended_leaves_its_place_to_the_next_run():
    """Its place is free twice over: once when it was given up, and once when it ends."""
    go_on, ended = threading.Event(), threading.Event()

    @task(version="1", timeout=0.05)
    def blocks():
        go_on.wait()
        ended.set()

    with Scheduler(threads(1)) as scheduler:
        with pytest.raises(TaskTimeout):
            scheduler.run(blocks())
        go_on.set()
        assert ended.wait(30)
        assert scheduler.run([ident(i) for i in range(10)]) == list(range(10))


def test_given_up_threads_never_make_more_places_than_there_are():
    go_on = threading.Event()
    running, most = [], []

    @task(version="1", timeout=0.05)
    def blocks(i):
        go_on.wait()

    @task(version="1")
    def counted(i):
        running.append(i)
        most.append(len(running))
        running.remove(i)
        return i

    with Scheduler(threads(1)) as scheduler:
        for i in range(3):
            with pytest.raises(TaskTimeout):
                scheduler.run(blocks(i))
        go_on.set()
        assert scheduler.run([counted(i) for i in range(200)]) == list(range(200))
    assert max(most) == 1


def test_jobs_that_end_just_when_they_are_given_up_lose_no_places():
    """Each is given up or not, as it comes; there is still one place for those after them."""
    executor = LocalExecutor("default", max_workers=1)

    @task(version="1", timeout=1000)
    def quick(i):
        return i

    class GivesUp(Reporter):
        def job_ended(self, job, error=None):
            executor.abandon(job)

    with Scheduler(executor=executor, reporter=GivesUp()) as scheduler:
        for begin in (0, 50):
            numbers = list(range(begin, begin + 50))
            assert scheduler.run([quick(i) for i in numbers]) == numbers
            assert len(executor._pool._threads) <= 1  # None where the last job was given up.
            assert not executor._pool._timed


def test_what_a_given_up_thread_returns_later_is_dropped(lab):
    go_on = [threading.Event(), threading.Event()]
    order = []

    @task(version="1", timeout=0.2, retries=1, retry_delay=0)
    def twice():
        order.append("begins")
        if len(order) == 1:
            go_on[0].wait()
            go_on[1].set()
            return "late"
        go_on[0].set()
        assert go_on[1].wait(30)  # So the first one has returned before.
        return "in time"

    assert lab.run(twice()) == "in time"
    ((error, none),) = [tuple(text for _, text in attempts(lab))]
    assert "took longer than its timeout" in error
    assert none is None


def test_an_error_that_a_given_up_thread_raises_later_is_dropped(lab):
    go_on = threading.Event()

    @task(version="1", timeout=0.05)
    def blocks():
        go_on.wait()
        raise KeyError("late")

    @task(version="1")
    def recover(error):
        go_on.set()
        return [ident(i) for i in range(50)]

    assert lab.run(catch(blocks(), TaskTimeout, recover)) == list(range(50))
    assert lab.jobs()["blocks"] == ["FAILED"]


def test_the_time_counts_from_when_the_function_begins(never):
    """The second waits for longer than it may take, behind the first."""

    @task(version="1", timeout=0.6)
    def blocks():
        never.wait()

    both = [catch(blocks(), TaskTimeout, explain), ident.options(timeout=0.5)(2)]
    assert run(both, threads(1))[1] == 2


def test_the_time_of_a_job_is_not_that_of_what_it_leads_to(lab, never):
    @task(version="1", timeout=0.1)
    def parent():
        return child()

    @task(version="1", timeout=0.4)
    def child():
        never.wait()

    with pytest.raises(TaskTimeout, match=r"^test_attempts\.child took longer"):
        lab.run(parent())


def test_a_job_that_is_given_up_gives_its_resources_back(lab, never):
    @task(version="1", limits=["one"], timeout=0.05)
    def blocks():
        never.wait()

    assert (
        lab.run([catch(blocks(), TaskTimeout, explain), ident.options(limits=["one"])(2)])[1] == 2
    )


def test_a_run_that_fails_does_not_wait_for_a_given_up_thread(lab, never):
    @task(version="1", timeout=0.05)
    def blocks():
        never.wait()

    @task(version="1")
    def fails(error):
        raise KeyError("after it")

    with pytest.raises(KeyError, match="after it"):
        lab.run(catch(blocks(), TaskTimeout, fails))
    assert lab.jobs() == {"blocks": ["FAILED"], "fails": ["FAILED"]}


def test_a_job_may_run_out_of_time_after_the_run_has_failed(lab, never):
    begun = threading.Event()

    @task(version="1", timeout=0.2)
    def blocks():
        begun.set()
        never.wait()

    @task(version="1")
    def fails():
        assert begun.wait(30)
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        lab.run([blocks(), fails()])
    assert lab.jobs() == {"blocks": ["FAILED"], "fails": ["FAILED"]}
    assert lab.statuses() == ["FAILED"]


def test_a_job_that_runs_out_of_time_after_the_run_has_failed_is_not_tried_again(lab, log, never):
    begun = threading.Event()

    @task(version="1", timeout=0.2, retries=5, retry_delay=0)
    def blocks():
        note(log.path, "blocks")
        begun.set()
        never.wait()

    @task(version="1")
    def fails():
        assert begun.wait(30)
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        lab.run([blocks(), fails()])
    assert log.take() == ["blocks"]


def test_a_circle_is_named_at_once_though_a_time_limit_is_set(lab):
    """The limit of a job that has ended, and that of one which awaits itself."""

    @task(version="1", timeout=3600)
    async def again():
        return await again()

    @task(version="1", timeout=3600)
    def around():
        return around()

    for circle in (again, around):
        with pytest.raises(RedunLiteError, match="depends on itself"):
            lab.run([ident.options(timeout=3600)(1), circle()])


def test_time_limits_of_ended_jobs_keep_nothing_alive(lab):
    kept = []

    class Look(Reporter):
        def tick(self, engine):
            kept.append(len(engine.dispatcher.timers._heap))

    lab.run([ident.options(timeout=3600)(i) for i in range(2000)], reporter=Look())
    assert kept[-1] < 1000


# Time limits in processes


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@task(version="1", executor="process", timeout=0.2)
def pause(path):
    note(path, os.getpid())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


@task(version="1", executor="process")
def quick(path, i):
    note(path, i)
    return i


def pids(path: str) -> list[int]:
    return [int(line) for line in notes(path)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_that_takes_too_long_is_killed(tmp_path, log, method):
    section = {"type": "local", "mode": "process", "start_method": method}
    lab = Lab(tmp_path, **{"executors.pool": section})
    with pytest.raises(TaskTimeout) as raised:
        lab.run(pause.options(executor="pool")(log.path))
    assert str(raised.value) == (
        "test_attempts.pause took longer than its timeout of 0.2 s: its process was killed"
    )
    (pid,) = pids(log.path)
    assert is_gone(pid)
    assert lab.jobs() == {"pause": ["FAILED"]}


def test_a_job_that_computes_for_ever_is_killed(lab, log):
    @task(version="1", executor="process", timeout=0.2)
    def computes():
        note(log.path, os.getpid())
        while True:
            pass

    with pytest.raises(TaskTimeout, match="its process was killed"):
        lab.run(computes())
    assert is_gone(pids(log.path)[0])


def test_a_killed_process_is_replaced_for_the_next_attempt(lab, log):
    @task(version="1", executor="process", timeout=0.5, retries=1, retry_delay=0)
    def second_time():
        note(log.path, os.getpid())
        if len(notes(log.path)) == 1:
            signal.pause()
        return os.getpid()

    pid = lab.run(second_time())
    first, second = pids(log.path)
    assert pid == second != first
    assert [error is None for _, error in attempts(lab)] == [False, True]


def test_a_process_that_died_is_tried_again(lab, log):
    @task(version="1", executor="process", retries=1, retry_delay=0)
    def dies_once():
        note(log.path, "attempt")
        if len(notes(log.path)) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"

    assert lab.run(dies_once()) == "alive"
    assert "was killed by SIGKILL" in attempts(lab)[0][1]


def test_a_process_that_died_is_not_tried_again_where_other_errors_are_named(lab):
    @task(version="1", executor="process", retries=3, retry_on=ValueError)
    def dies():
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerDied):
        lab.run(dies())
    assert attempts(lab) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_behind_a_killed_one_run_elsewhere_and_once(tmp_path, log, workers):
    """So many quick ones before it that the worker is given a good deal ahead."""
    section = {"type": "local", "mode": "process", "max_workers": str(workers)}
    lab = Lab(tmp_path, **{"executors.process": section})

    @task(version="1")
    def main():
        calls = [quick(log.path, i) for i in range(200)]
        blocked = catch(pause(str(tmp_path / "pids")), TaskTimeout, explain)
        return [calls, blocked, [quick(log.path, i) for i in range(200, 400)]]

    first, explained, rest = lab.run(main())
    assert first + rest == list(range(400))
    assert explained.startswith("TaskTimeout")
    assert sorted(map(int, log.take())) == list(range(400))
    assert lab.jobs()["quick"] == ["DONE"] * 400
    assert all(is_gone(pid) for pid in pids(str(tmp_path / "pids")))


def test_a_job_that_has_just_ended_does_not_take_another_one_with_it(lab):
    """The pool learns that a job is overdue when its worker is at others already."""
    executor = LocalExecutor("pool", mode="process", max_workers=1)

    @task(version="1", executor="pool", timeout=1000)
    def where(i):
        return os.getpid()

    class GivesUp(Reporter):
        def job_ended(self, job, error=None):
            if job.task.name == "where":
                executor.abandon(job)

    found = lab.run([where(i) for i in range(100)], executor, reporter=GivesUp())
    assert len(set(found)) == 1
    assert lab.jobs() == {"where": ["DONE"] * 100}


def test_a_process_may_run_out_of_time_after_the_run_has_failed(lab, log):
    @task(version="1")
    def fails(path):
        while not notes(path):
            time.sleep(0.001)
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        lab.run([pause(log.path), fails(log.path)])
    assert is_gone(pids(log.path)[0])
    assert lab.jobs() == {"pause": ["FAILED"], "fails": ["FAILED"]}


def test_the_time_of_a_process_counts_from_when_the_function_begins(tmp_path, log):
    section = {"type": "local", "mode": "process", "max_workers": "1"}
    lab = Lab(tmp_path, **{"executors.process": section})
    first = catch(pause.options(timeout=0.8)(log.path), TaskTimeout, explain)
    assert lab.run([first, quick.options(timeout=0.7)(log.path, 2)])[1] == 2


def test_an_error_that_cannot_be_pickled_is_tried_again(lab, log):
    @task(version="1", executor="process", retries=1, retry_delay=0)
    def locked():
        note(log.path, "attempt")
        if len(notes(log.path)) == 1:
            error = ValueError("locked")
            error.lock = threading.Lock()
            raise error
        return "opened"

    assert lab.run(locked()) == "opened"
    assert attempts(lab)[0][1] == "locked"
    assert issubclass(ResultError, ExecutorError)


# Time limits on other executors


def test_an_executor_that_tells_nothing_of_beginnings_counts_from_submission(lab):
    """It is asked to give up the job, and what it hands back later is dropped."""
    given_up = []

    class Patient(SteeredExecutor):
        def abandon(self, job):
            given_up.append(job)
            self.finish(job)
            return "it was asked to stop"

    call = ident.options(executor="patient", timeout=0.05)(1)
    with pytest.raises(TaskTimeout, match=r"its timeout of 0\.05 s: it was asked to stop$"):
        lab.run(call, Patient("patient"))
    assert len(given_up) == 1


def test_an_executor_that_cannot_give_up_a_job_is_not_waited_for(lab):
    call = ident.options(executor="steered", timeout=0.05)(1)
    with pytest.raises(TaskTimeout, match=r"what it returns later is dropped$"):
        lab.run(call, SteeredExecutor())


# Priority


class OpensGate(Reporter):
    """Opens a gate, which a job waits for, once so many jobs run or wait for a worker."""

    interval = 0.01

    def __init__(self, gate: str, count: int) -> None:
        self.gate = gate
        self.count = count

    def tick(self, engine: Any) -> None:
        if engine.running == self.count:
            note(self.gate)


@task(version="1", executor="pool")
def opens(gate):
    while not os.path.exists(gate):
        time.sleep(0.001)


@task(version="1", executor="pool")
def ranked(path, name):
    note(path, name)


@pytest.fixture(params=["thread", "process"])
def one_worker(request, tmp_path):
    section = {"type": "local", "mode": request.param, "max_workers": "1"}
    return Lab(tmp_path, **{"executors.pool": section})


def test_of_jobs_that_wait_for_a_worker_those_of_a_higher_priority_go_first(one_worker, log):
    gate = f"{log.path}.gate"
    jobs = {"low": -1, "a": 0, "high": 5, "b": 0, "highest": 5.5, "late high": 5}
    calls = [ranked.options(priority=n)(log.path, name) for name, n in jobs.items()]
    calls.append(ranked(log.path, "c"))
    one_worker.run([opens(gate), calls], reporter=OpensGate(gate, 8))
    assert log.take() == ["highest", "high", "late high", "a", "b", "c", "low"]
    one_worker.audit()


def test_jobs_of_one_priority_go_in_the_order_in_which_they_came(one_worker, log):
    gate = f"{log.path}.gate"
    calls = [ranked.options(priority=7)(log.path, i) for i in range(100)]
    one_worker.run([opens(gate), calls], reporter=OpensGate(gate, 101))
    assert log.take() == [str(i) for i in range(100)]


def test_of_jobs_that_wait_for_a_resource_those_of_a_higher_priority_go_first(log):
    jobs = {"first": 0, "low": -1, "a": 0, "high": 5, "b": 0}
    calls = [
        ranked.options(executor="default", limits=["one"], priority=n)(log.path, name)
        for name, n in jobs.items()
    ]
    run(calls)
    assert log.take() == ["first", "high", "a", "b", "low"]


def test_a_priority_may_be_lazy_and_exported(log):
    options = {"executor": "default", "limits": ["one"]}
    gate = f"{log.path}.gate"

    @task(version="1")
    def above(name):
        return [ranked.options(**options)(log.path, f"{name} {i}") for i in range(2)]

    class OpensWhenThreeWait(Reporter):
        interval = 0.01

        def tick(self, engine):
            if engine.dispatcher.limits.waiting == 3:
                note(gate)

    calls = [
        opens.options(**options)(gate),
        ranked.options(**options)(log.path, "last"),
        above.export_options(priority=get_context("priority"))("below"),
    ]
    with Scheduler(reporter=OpensWhenThreeWait()) as scheduler:
        scheduler.run(calls, context={"priority": 3})
    assert log.take() == ["below 0", "below 1", "last"]


def test_a_job_that_is_tried_again_keeps_its_priority(log):
    options = {"limits": ["one"], "executor": "default"}

    @task(version="1", retries=1, retry_delay=0, priority=1, **options)
    def urgent():
        return failing(log.path, 1)

    class OpensWhenItWaitsAgain(Reporter):
        interval = 0.01
        is_again = False

        def job_retried(self, job, error, delay):
            self.is_again = True

        def tick(self, engine):
            if self.is_again and engine.dispatcher.limits.waiting == 3:
                note(gate)

    gate = f"{log.path}.gate"
    calls = [ranked.options(**options)(log.path, name) for name in "bc"]
    with Scheduler(reporter=OpensWhenItWaitsAgain()) as scheduler:
        scheduler.run([urgent(), opens.options(**options)(gate), calls])
    assert log.take() == ["attempt", "attempt", "b", "c"]


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": -1}, "option timeout takes a number above 0, not -1"),
        ({"timeout": 0}, "option timeout takes a number above 0, not 0"),
        ({"timeout": "5"}, "option timeout takes a number above 0, not '5'"),
        ({"timeout": float("nan")}, "option timeout takes a number above 0, not nan"),
        ({"retries": -1}, "option retries takes an int of at least 0, not -1"),
        ({"retries": 1.5}, "option retries takes an int of at least 0, not 1.5"),
        ({"retry_on": 3}, "option retry_on takes a class of exceptions, or a list of them, not 3"),
        (
            {"retry_on": [ValueError, int]},
            "option retry_on takes a class of exceptions, or a list ",
        ),
        ({"retry_on": ValueError("x")}, "option retry_on takes a class of exceptions, or a list "),
        ({"retry_delay": -0.5}, "option retry_delay takes a number of at least 0, not -0.5"),
        ({"retry_backoff": 0.5}, "option retry_backoff takes a number of at least 1, not 0.5"),
        ({"priority": "high"}, "option priority takes a number, not 'high'"),
        ({"priority": float("inf")}, "option priority takes a number, not inf"),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["decorator", "call", "lazy"])
def test_an_option_that_makes_no_sense_is_one_line(options, message, place):
    def use():
        if place == "decorator":
            task(name="given", version="1", **options)(lambda: 1)
        given = options if place == "call" else {name: ident(v) for name, v in options.items()}
        run(ident.options(**given)(1))

    with pytest.raises(TaskError) as raised:
        use()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("task ")
