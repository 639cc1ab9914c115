"""Async tasks: what can be awaited, what is recorded and replayed, and how waiting ends."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import traceback
from typing import Any

import pytest
from support import SteeredExecutor, note, notes

from redun_lite import (
    Config,
    File,
    JobInfo,
    Scheduler,
    _async,
    apply_tags,
    catch,
    cond,
    fork_thread,
    get_context,
    join_thread,
    seq,
    task,
)
from redun_lite._async import EventLoopThread
from redun_lite._errors import (
    ContextError,
    CyclicDependency,
    ExecutorError,
    ExpressionError,
    HashError,
    TaskError,
    TaskTimeout,
)
from redun_lite._executor import AliasExecutor
from redun_lite._job import Reporter
from redun_lite._record import format_traceback, is_engine_file

redun_namespace = "test_async"


def run(expr: Any, config: Any = None, **arguments: Any) -> Any:
    with Scheduler(config) as scheduler:
        return scheduler.run(expr, **arguments)


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
    """What every test leaves in its database is whole, and no coroutine is left behind."""
    yield
    if lab.path.exists():
        lab.audit()
    gc.collect()  # A coroutine that was never awaited says so as a warning, which is an error.


@pytest.fixture
def impatient(monkeypatch):
    """Do not wait long for a loop to end."""
    monkeypatch.setattr(_async, "STOP_TIMEOUT", 0.05)


@task(version="1")
def ident(x):
    return x


@task(version="1")
def add(a, b):
    return a + b


@task(version="1")
def fail(message="failed"):
    raise ValueError(message)


@task(version="1")
def noted(path, x):
    note(path, x)
    return x


@task(version="1")
async def fetch(x):
    return await ident(x)


@task(version="1")
def explain(error):
    return f"{type(error).__name__}: {error}"


def awaiting(awaitable: Any) -> Any:
    """Return the call of an async task that returns what a function awaits."""

    @task(version="1", cache=False)
    async def main():
        return await awaitable()

    return main()


# What can be awaited


def test_an_awaited_call_is_its_value():
    @task(version="1")
    async def main():
        number = await add(1, 2)
        assert number == 3
        return "three" if number == 3 else "another"

    assert run(main()) == "three"


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        (lambda: ident([add(1, 1), {"a": (add(1, 2),)}]), [2, {"a": (3,)}]),
        (lambda: add(1, 2) * 2 + 1, 7),
        (lambda: ident({"k": [5]})["k"][0], 5),
        (lambda: cond(ident(0), 1, ident("else")), "else"),
        (lambda: catch(fail(), ValueError, explain), "ValueError: failed"),
        (lambda: seq([ident(1), ident(2)]), [1, 2]),
        (lambda: join_thread(fork_thread(add(1, 2))), 3),
        (lambda: fetch(fetch(4)), 4),
        (lambda: get_context("x"), 5),
    ],
)
def test_any_expression_can_be_awaited(expr, value):
    assert run(awaiting(lambda: expr()), context={"x": 5}) == value


def test_an_expression_that_is_awaited_twice_is_evaluated_once(log):
    @task(version="1")
    async def main():
        expr = noted(log.path, 1)
        return [await expr, await expr, await noted(log.path, 1)]

    assert run(main()) == [1, 1, 1]
    assert log.take() == ["1"]


def test_awaits_one_after_the_other_run_one_after_the_other(log):
    @task(version="1")
    async def main():
        return [await noted(log.path, i) for i in range(10)]

    assert run(main()) == list(range(10))
    assert log.take() == [str(i) for i in range(10)]


def test_calls_that_are_gathered_run_at_the_same_time():
    barrier = threading.Barrier(3, timeout=30)

    @task(version="1", cache=False)
    def meet(i):
        barrier.wait()
        return i

    @task(version="1")
    async def main():
        return await asyncio.gather(*[meet(i) for i in range(3)])

    assert run(main()) == [0, 1, 2]


def test_a_loop_may_end_as_its_results_say():
    @task(version="1")
    async def main():
        n, steps = 27, 0
        while n != 1:
            n = await collatz(n)
            steps += 1
        return steps

    @task(version="1")
    def collatz(n):
        return n // 2 if n % 2 == 0 else 3 * n + 1

    assert run(main()) == 111


def test_gather_can_return_the_errors():
    results = run(awaiting(lambda: asyncio.gather(fail(), add(1, 2), return_exceptions=True)))
    assert [repr(result) for result in results] == ["ValueError('failed')", "3"]


def test_an_error_in_gather_is_raised_and_the_others_are_recorded(lab):
    begun = threading.Semaphore(0)

    @task(version="1")
    def other(x):
        begun.release()
        return x

    @task(version="1")
    def fail_last():
        for _ in range(2):
            assert begun.acquire(timeout=60)
        raise ValueError("failed")

    @task(version="1")
    async def main():
        try:
            return await asyncio.gather(fail_last(), other(1), other(2))
        except ValueError as error:
            return str(error)

    assert lab.run(main()) == "failed"
    assert lab.jobs() == {"main": ["DONE"], "fail_last": ["FAILED"], "other": ["DONE", "DONE"]}


def test_wait_for_gives_a_value_in_time():
    assert run(awaiting(lambda: asyncio.wait_for(add(1, 2), timeout=30))) == 3


def test_what_wait_for_gives_up_goes_on_and_is_recorded(lab):
    go_on = threading.Event()

    @task(version="1")
    def slow():
        assert go_on.wait(30)
        return "slow"

    @task(version="1")
    async def main():
        try:
            return await asyncio.wait_for(slow(), timeout=0.01)
        except asyncio.TimeoutError:
            go_on.set()
            return "gave up"

    assert lab.run(main()) == "gave up"
    assert lab.jobs() == {"main": ["DONE"], "slow": ["DONE"]}


def test_the_first_to_complete_may_be_waited_for(lab):
    go_on = threading.Event()

    @task(version="1")
    def slow():
        assert go_on.wait(30)
        return "slow"

    @task(version="1")
    async def main():
        futures = {asyncio.ensure_future(slow()), asyncio.ensure_future(ident("quick"))}
        done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        go_on.set()
        return [future.result() for future in done]

    assert lab.run(main()) == ["quick"]
    assert lab.jobs() == {"main": ["DONE"], "ident": ["DONE"], "slow": ["DONE"]}


def test_results_may_be_taken_as_they_complete():
    events = [threading.Event() for _ in range(3)]

    @task(version="1", cache=False)
    def turn(i):
        assert events[i].wait(30)
        if i:
            events[i - 1].set()
        return i

    @task(version="1")
    async def main():
        events[2].set()
        return [await one for one in asyncio.as_completed([turn(i) for i in range(3)])]

    assert run(main()) == [2, 1, 0]


def test_coroutines_beside_the_task_can_await_too():
    async def helper(i):
        return await add(await ident(i), 1)

    @task(version="1")
    async def main():
        tasks = [asyncio.create_task(helper(i)) for i in range(3)]
        return [await one for one in tasks]

    assert run(main()) == [1, 2, 3]


def test_what_asyncio_offers_can_be_used():
    @task(version="1")
    async def main():
        queue: asyncio.Queue[int] = asyncio.Queue()
        lock = asyncio.Lock()

        async def produce(i):
            async with lock:
                await queue.put(await ident(i))

        await asyncio.gather(*[produce(i) for i in range(5)], asyncio.sleep(0))
        return sorted([await queue.get() for _ in range(5)])

    assert run(main()) == list(range(5))


def test_a_value_cannot_be_awaited():
    with pytest.raises(TypeError, match=r"int .*can't be used in 'await'|'await' expression"):
        run(awaiting(lambda: 3))


def test_create_task_takes_coroutines_only():
    async def create():
        return asyncio.create_task(add(1, 2))

    with pytest.raises(TypeError, match="a coroutine was expected"):
        run(awaiting(create))


def test_wait_takes_futures_and_says_so():
    """It would ask an expression to call back, which an expression agrees to and never does."""

    @task(version="1")
    async def main():
        done, _ = await asyncio.wait([ident(1)])
        return [one.result() for one in done]

    if sys.version_info < (3, 11):
        assert run(main()) == [1]
    else:
        with pytest.raises(ExpressionError, match=r"asyncio\.ensure_future") as raised:
            run(main())
        assert "\n" not in str(raised.value)


def test_awaiting_where_no_task_runs_is_one_line():
    async def main():
        return await add(1, 2)

    with pytest.raises(ExpressionError, match=r"^only async tasks can await test_async\.add\(1, 2"):
        asyncio.run(main())


# What an async task returns and is given


def test_an_async_task_may_return_expressions():
    @task(version="1")
    async def main():
        number = await add(1, 2)
        return {"sum": add(number, 1), "more": [fetch(5)]}

    assert run(main()) == {"sum": 4, "more": [5]}


def test_an_async_task_is_called_as_any_other():
    @task(version="1", nout=2)
    async def both(a, *rest, b=ident(7), **others):
        return [await ident(a), (rest, b, others)]

    @task(version="1")
    def main():
        first, second = both(add(1, 2), 5, c=6)
        return [first, second, both.partial(1)(b=2)]

    assert run(main()) == [3, ((5,), 7, {"c": 6}), [1, ((), 2, {})]]


def test_async_tasks_await_each_other():
    @task(version="1")
    async def fibonacci(n):
        if n < 2:
            return n
        below = await asyncio.gather(fibonacci(n - 1), fibonacci(n - 2))
        return sum(below)

    assert run(fibonacci(30)) == 832040


def test_an_async_task_sees_its_context_options_and_job():
    @task(version="1", memory=3)
    async def main(value=get_context("x"), job_info=JobInfo()):
        below = await look()
        return [value, await get_context("x"), job_info.options, below]

    @task(version="1")
    def look(value=get_context("x"), job_info=JobInfo()):
        return [value, job_info.options]

    call = main.update_context(x=7).export_options(color="red")
    options = {"memory": 3, "color": "red"}
    assert run(call(), context={"x": 1}) == [7, 7, options, [7, {"color": "red"}]]


def test_tags_that_are_awaited_are_those_of_the_async_job(lab):
    @task(version="1")
    async def main():
        return await apply_tags(1, tags={"a": 1}, job_tags={"b": 2})

    lab.run(main())
    (entity,) = lab.query("SELECT entity FROM tag WHERE key = 'b'")
    assert entity.endswith("-1")


def test_async_tasks_may_be_limited():
    running = []
    most = []

    @task(version="1", limits=["one"])
    async def limited(i):
        running.append(i)
        most.append(len(running))
        await ident(i)
        running.remove(i)
        return i

    assert run([limited(i) for i in range(5)]) == list(range(5))
    assert most == [1] * 5


# What is recorded and replayed


def test_awaited_jobs_are_below_the_async_one(lab):
    @task(version="1")
    async def main():
        return await add(await ident(1), 2)

    assert lab.run(main()) == 3
    assert lab.query(
        "SELECT fullname, job.id & 0xffff, parent_id & 0xffff FROM job "
        "JOIN task ON task.id = task_id ORDER BY job.id"
    ) == [("test_async.main", 1, None), ("test_async.ident", 2, 1), ("test_async.add", 3, 1)]
    assert lab.query("SELECT count(*) FROM call_child") == [2]


def test_a_second_run_replays_an_async_task_as_a_whole(lab, log):
    @task(version="1")
    async def main():
        note(log.path, "main")
        return [await noted(log.path, 1), noted(log.path, 2)]

    assert [lab.run(main()), lab.run(main())] == [[1, 2], [1, 2]]
    assert sorted(log.take()) == ["1", "2", "main"]
    assert lab.jobs() == {"main": ["CACHED"]}


def test_an_async_task_that_is_not_cached_runs_again_and_awaits_cached_ones(lab, log):
    @task(version="1", cache=False)
    async def main():
        note(log.path, "main")
        return await noted(log.path, 1)

    assert [lab.run(main()), lab.run(main())] == [1, 1]
    assert log.take() == ["main", "1", "main"]
    assert lab.jobs() == {"main": ["DONE"], "noted": ["CACHED"]}


@pytest.mark.parametrize("place", ["awaited", "returned", "awaited below"])
def test_an_edited_task_below_reruns_the_async_one(lab, log, place):
    def define(version):
        @task(version=version)
        def leaf():
            return version

        @task(version="1")
        def middle():
            return leaf()

        @task(version="1")
        async def main():
            note(log.path, "main")
            if place == "returned":
                return leaf()
            return await (leaf() if place == "awaited" else middle())

        return main()

    assert [lab.run(define(version)) for version in "1221"] == ["1", "2", "2", "1"]
    assert log.take() == ["main", "main"]
    assert lab.jobs() == {"main": ["CACHED"]}


def test_an_edited_async_task_runs_again_and_not_those_below(lab, log):
    def define(version):
        @task(version=version)
        async def main():
            return [version, await noted(log.path, 1)]

        return main()

    assert [lab.run(define("1")), lab.run(define("2"))] == [["1", 1], ["2", 1]]
    assert log.take() == ["1"]


def test_a_result_that_is_no_longer_valid_is_made_again(lab, log, tmp_path):
    path = tmp_path / "out.txt"

    @task(version="1")
    async def write():
        note(log.path, "write")
        file = File(str(path))
        file.write(await ident("text"))
        return file

    lab.run(write())
    lab.run(write())
    assert log.take() == ["write"]
    path.unlink()
    assert lab.run(write()).read() == "text"
    assert log.take() == ["write"]


def test_an_async_task_that_asked_for_the_context_asks_anew(lab):
    @task(version="1")
    async def main():
        return [await get_context("x"), "main"]

    assert [lab.run(main(), context={"x": x})[0] for x in (1, 2, 1)] == [1, 2, 1]


def test_equal_calls_of_an_async_task_share_one_evaluation(lab, log):
    @task(version="1")
    async def main(x):
        note(log.path, "main")
        return await ident(x)

    assert lab.run([main(1), main(1), ident(main(1))]) == [1, 1, 1]
    assert log.take() == ["main"]


def test_a_missing_variable_is_raised_where_it_is_awaited():
    @task(version="1")
    async def main():
        try:
            return await get_context("missing")
        except ContextError as error:
            return str(error).partition(":")[0]

    assert run(main()) == "there is no context variable 'missing'"


# Errors


def test_the_error_of_an_awaited_task_is_raised_at_the_await(lab):
    class Special(Exception):
        pass

    error = Special("special")

    @task(version="1", cache_scope="NONE")
    def raises():
        raise error

    @task(version="1")
    async def main():
        try:
            await raises()
        except Special as caught:
            return caught is error

    assert lab.run(main()) is True
    assert lab.jobs() == {"main": ["DONE"], "raises": ["FAILED"]}


def test_an_error_that_a_coroutine_caught_is_replayed_with_it(lab, log):
    @task(version="1")
    def breaks():
        note(log.path, "breaks")
        raise ValueError("broken")

    @task(version="1")
    async def main():
        try:
            return await breaks()
        except ValueError:
            return "caught"

    assert [lab.run(main()), lab.run(main())] == ["caught", "caught"]
    assert log.take() == ["breaks"]
    assert lab.jobs() == {"main": ["CACHED"]}


def test_an_error_that_nobody_catches_fails_the_async_job_and_the_run(lab):
    with pytest.raises(ValueError, match=r"^failed$"):
        lab.run(ident(fetch(fail())))
    with pytest.raises(ValueError, match=r"^failed$"):
        lab.run(awaiting(fail))
    assert lab.jobs() == {"main": ["FAILED"], "fail": ["FAILED"]}
    assert lab.statuses() == ["FAILED", "FAILED"]


def test_an_error_of_the_coroutine_itself_can_be_caught_by_its_caller():
    @task(version="1")
    async def main():
        await ident(1)
        raise KeyError("mine")

    assert run(catch(main(), KeyError, explain)) == "KeyError: 'mine'"


@pytest.mark.parametrize("place", ["coroutine", "awaited"])
def test_the_traceback_shows_the_coroutine_and_none_of_the_engine(place):
    @task(version="1")
    async def main():
        await (ident(1) if place == "coroutine" else fail())
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"mine|failed") as raised:
        run(main())
    names = [entry.name for entry in traceback.extract_tb(raised.value.__traceback__)]
    assert "main" in names
    shown = format_traceback(raised.value)
    assert not is_engine_file(str(raised.traceback[-1].path))
    assert "redun_lite/_" not in shown
    assert 'await (ident(1) if place == "coroutine" else fail())' in shown or place == "coroutine"


@pytest.mark.parametrize("way", ["gather", "create_task", "wait_for", "shield"])
def test_the_traceback_has_no_frames_of_asyncio_between_those_of_the_user(way):
    async def helper():
        raise ValueError("deep")

    @task
    async def main():
        coroutine = helper()
        if way == "wait_for":
            await asyncio.wait_for(coroutine, 60)
        elif way == "create_task":
            await asyncio.gather(asyncio.create_task(coroutine))
        else:
            await getattr(asyncio, way)(coroutine)

    with pytest.raises(ValueError, match="deep") as raised:
        run(main())
    shown = format_traceback(raised.value)
    assert "in main\n" in shown
    assert "in helper\n" in shown
    assert "asyncio/" not in shown


def test_the_traceback_has_the_frames_of_asyncio_where_that_raised():
    @task
    async def main():
        await asyncio.wait_for(asyncio.get_running_loop().create_future(), 0)

    with pytest.raises(asyncio.TimeoutError) as raised:
        run(main())
    shown = format_traceback(raised.value)
    assert shown.rindex("in main\n") < shown.rindex("asyncio/")


def test_an_error_that_ends_loops_does_not_end_the_coroutine_silently():
    @task(version="1")
    def stop():
        raise StopIteration("stop")

    @task(version="1")
    async def main():
        try:
            await stop()
        except RuntimeError as error:
            return str(error)

    assert run(main()) == "a task raised StopIteration('stop')"


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["coroutine", "awaited", "gathered", "helper"])
def test_what_ends_a_program_ends_the_run_and_not_the_loop(lab, raised, place):
    @task(version="1")
    def leave():
        raise raised("bye")

    async def helper():
        raise raised("bye")

    @task(version="1")
    async def main():
        if place == "coroutine":
            raise raised("bye")
        if place == "awaited":
            return await leave()
        if place == "gathered":
            return await asyncio.gather(ident(1), leave())
        return await asyncio.gather(ident(1), helper())

    with lab.scheduler() as scheduler:
        with pytest.raises(raised, match="bye"):
            scheduler.run(main())
        assert scheduler.run(fetch("next")) == "next"


def test_a_coroutine_may_raise_that_it_was_cancelled():
    @task(version="1")
    async def main():
        raise asyncio.CancelledError("mine")

    with pytest.raises(asyncio.CancelledError):
        run(main())


def test_a_result_that_cannot_be_stored_is_named():
    @task(version="1")
    async def main():
        return [threading.Lock()]

    with pytest.raises(HashError, match=r"^result of test_async\.main\[0\]: "):
        run(main())


# Executors


def test_an_async_task_on_an_executor_that_cannot_run_it_is_one_line(lab):
    for executor in ("process", "steered"):
        with pytest.raises(ExecutorError) as raised:
            lab.run(fetch.options(executor=executor)(1), SteeredExecutor())
        assert str(raised.value) == (
            f"task test_async.fetch is async, which executor {executor!r} cannot run: async tasks "
            "run on local executors with mode = thread"
        )


def test_an_executor_that_cannot_run_a_task_is_not_tried_again(lab):
    with pytest.raises(ExecutorError, match="is async"):
        lab.run(fetch.options(executor="process", retries=3)(1))
    assert lab.query("SELECT count(*) FROM attempt") == [0]


def test_an_async_script_is_one_line():
    with pytest.raises(
        TaskError, match=r"^task test_async\.main: a script task cannot be async"
    ) as raised:

        @task(script=True)
        async def main():
            return "echo hi"

    assert "\n" not in str(raised.value)


def test_an_alias_of_an_executor_for_threads_runs_async_tasks():
    with Scheduler() as scheduler:
        scheduler.add_executor(AliasExecutor("other", target="default"))
        assert scheduler.run(fetch.options(executor="other")(3)) == 3


def test_coroutines_take_no_places_of_the_threads():
    config = Config({"executors.default": {"type": "local", "max_workers": "1"}})

    @task(version="1")
    async def main():
        return await asyncio.gather(*[fetch(i) for i in range(50)])

    assert run(main(), config) == list(range(50))


def test_one_loop_serves_all_runs_of_a_scheduler_and_ends_with_it():
    seen = set()

    @task(version="1", cache_scope="NONE")
    async def where(i):
        seen.add(threading.current_thread())
        return await ident(i)

    with Scheduler() as scheduler:
        assert scheduler.run([where(1), where(2)]) == [1, 2]
        assert scheduler.run(where(3)) == 3
        assert len(seen) == 1
    assert not any(thread.is_alive() for thread in seen)
    assert threading.main_thread() not in seen


def test_a_scheduler_that_was_closed_can_run_async_tasks_again():
    scheduler = Scheduler()
    for i in range(2):
        assert scheduler.run(fetch(i)) == i
        scheduler.close()


def test_schedulers_in_several_threads_do_not_mind_each_other():
    results = {}

    def work(i):
        results[i] = run([fetch([i, j]) for j in range(20)])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: [[i, j] for j in range(20)] for i in range(4)}


# Many


def test_thousands_of_coroutines_await_each_others_children():
    """With a thread for each they would starve: every one waits while its children need one."""

    @task(version="1")
    async def parent(i):
        # Its neighbour's child and its own: so equal calls are awaited from two sides.
        return sum(await asyncio.gather(child(i), child((i + 1) % 2_000)))

    @task(version="1")
    async def child(i):
        return await ident(i)

    @task(version="1")
    async def main():
        return await total(await asyncio.gather(*[parent(i) for i in range(2_000)]))

    @task(version="1")
    def total(values):
        return sum(values)

    assert run(main()) == 2_000 * 1_999


def test_two_thousand_coroutines_deep(lab):
    @task(version="1")
    async def count(n):
        return 1 + await count(n - 1) if n else 0

    assert lab.run(count(2_000)) == 2_000
    assert lab.run(count(2_000)) == 2_000
    assert lab.jobs() == {"count": ["CACHED"]}


def test_sync_and_async_tasks_alternate_two_thousand_deep():
    @task(version="1")
    async def asynchronous(n):
        return await synchronous(n - 1) if n else 0

    @task(version="1")
    def synchronous(n):
        return add(asynchronous(n), 1)

    assert run(asynchronous(1_000)) == 1_000


# Deadlocks


def test_a_task_that_awaits_itself_is_named(lab):
    @task(version="1")
    async def again():
        return await again()

    with pytest.raises(CyclicDependency, match=r"^the result of .*again depends on itself: ") as e:
        lab.run(again())
    assert "\n" not in str(e.value)


def test_a_circle_of_async_and_other_tasks_is_named(lab):
    @task(version="1")
    async def first():
        return [await asyncio.gather(ident(1), second())]

    @task(version="1")
    def second():
        return ident(third())

    @task(version="1")
    async def third():
        return await cond(True, first(), 0)

    with pytest.raises(CyclicDependency, match=r"first → .*second → .*third → .*first;"):
        lab.run(first())


def test_a_limit_that_an_awaiting_task_holds_is_named(lab):
    @task(version="1", limits=["db"])
    async def parent():
        return await child()

    @task(version="1", limits=["db"])
    def child():
        return 1

    with pytest.raises(CyclicDependency) as raised:
        lab.run(parent())
    assert str(raised.value) == (
        "test_async.child waits for limit 'db', held by test_async.parent, which awaits a "
        "result that depends on it; take the limit off the task that awaits"
    )


def test_a_limit_that_is_held_by_one_who_awaits_another_is_no_deadlock():
    @task(version="1", limits=["db"])
    async def parent(i):
        return await ident(i)

    @task(version="1", limits=["db"])
    def other(i):
        return i

    assert run([parent(1), other(2), parent(3)]) == [1, 2, 3]


# Giving up


def cancelled_note(path: str) -> Any:
    """Return an async task that notes that it was cancelled, and what it awaits is held."""

    @task(version="1")
    async def patient(expr=None):
        note(path, "begins")
        try:
            await (held() if expr is None else asyncio.Event().wait())
        except asyncio.CancelledError:
            note(path, "cancelled")
            raise
        finally:
            note(path, "cleaned up")

    @task(version="1", executor="steered")
    def held():
        return 1

    return patient


def test_an_interrupt_cancels_coroutines_that_wait(lab, log):
    patient = cancelled_note(log.path)

    def press(job):
        job.run.interrupt()
        executor.finish(job)

    executor = SteeredExecutor("steered", press)
    with pytest.raises(KeyboardInterrupt):
        lab.run(patient(), executor)
    assert log.take() == ["begins", "cancelled", "cleaned up"]
    assert lab.statuses() == ["CANCELLED"]
    assert lab.jobs() == {"patient": ["CANCELLED"], "held": ["DONE"]}


def test_a_failing_run_cancels_coroutines_that_wait(lab, log):
    patient = cancelled_note(log.path)

    @task(version="1")
    def main():
        return [patient(), late_failure()]

    @task(version="1", executor="steered")
    def late_failure():
        raise ValueError("late")

    executor = SteeredExecutor("steered")

    def both(job):
        if len(executor.held) == 2:
            executor.finish_all()

    executor.on_submit = both
    with pytest.raises(ValueError, match="late"):
        lab.run(main(), executor)
    assert log.take()[0] == "begins"
    jobs = lab.jobs()
    assert jobs["late_failure"] == ["FAILED"]
    assert jobs["held"] == ["DONE"]


def test_a_coroutine_that_awaits_more_while_it_is_cancelled_is_cancelled_again(lab, log):
    @task(version="1", executor="steered")
    def held():
        return 1

    @task(version="1")
    async def stubborn():
        try:
            await held()
        except asyncio.CancelledError:
            note(log.path, "cancelled")
        await ident("more")
        note(log.path, "not reached")

    def press(job):
        job.run.interrupt()
        executor.finish(job)

    executor = SteeredExecutor("steered", press)
    with pytest.raises(KeyboardInterrupt):
        lab.run(stubborn(), executor)
    assert "not reached" not in log.take()
    assert lab.jobs()["stubborn"] == ["CANCELLED"]


def test_a_coroutine_whose_task_is_cut_off_keeps_its_record(lab):
    executor = SteeredExecutor("steered")

    @task(version="1")
    async def lazy():
        return ident.options(executor="steered")("first")

    class Steering(Reporter):
        """Ends one job after the other, once what `lazy` has returned is recorded."""

        interval = 0.001

        def tick(self, engine):
            recorded = lab.query("SELECT fullname FROM call JOIN task ON task.id = task_id")
            if executor.held and "test_async.lazy" in recorded:
                executor.finish(executor.held[0])

    failing = fail.options(executor="steered")()
    with pytest.raises(ValueError, match="failed"):
        lab.run([lazy(), failing], executor, reporter=Steering())
    assert lab.jobs()["lazy"] == ["CANCELLED"]
    calls = "SELECT count(*) FROM call JOIN job ON job.call_id = call.id WHERE status = 'CANCELLED'"
    assert lab.query(calls) == [1]


def test_a_coroutine_that_takes_too_long_is_cancelled(lab, log):
    @task(version="1", timeout=0.05)
    async def slow():
        try:
            await asyncio.Event().wait()
        finally:
            note(log.path, "cleaned up")

    with pytest.raises(TaskTimeout) as raised:
        lab.run(slow())
    assert str(raised.value) == (
        "test_async.slow took longer than its timeout of 0.05 s: its coroutine was cancelled"
    )
    assert log.take() == ["cleaned up"]
    assert lab.jobs() == {"slow": ["FAILED"]}


def test_a_coroutine_that_awaits_a_task_for_too_long_is_cancelled_and_that_goes_on(lab):
    go_on = threading.Event()

    @task(version="1")
    def long():
        assert go_on.wait(30)
        return "long"

    @task(version="1", timeout=0.05)
    async def slow():
        return await long()

    @task(version="1")
    def recover(error):
        go_on.set()
        return type(error).__name__

    assert lab.run(catch(slow(), TaskTimeout, recover)) == "TaskTimeout"
    assert lab.jobs() == {"slow": ["FAILED"], "long": ["DONE"], "recover": ["DONE"]}


def test_a_coroutine_that_refuses_to_be_cancelled_does_not_hold_up_the_end(lab, impatient):
    let_go = threading.Event()

    @task(version="1", timeout=0.05)
    async def stubborn():
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                pass

    with pytest.raises(TaskTimeout):
        lab.run(stubborn())
    loops = [thread for thread in threading.enumerate() if thread.name == "redun_lite-async"]
    let_go.set()
    for thread in loops:
        thread.join()
    assert lab.jobs() == {"stubborn": ["FAILED"]}


def test_a_coroutine_that_blocks_the_loop_does_not_hold_up_the_end(lab, impatient):
    blocked = threading.Event()

    @task(version="1", timeout=0.05)
    async def blocking():
        blocked.wait()

    try:
        with pytest.raises(TaskTimeout):
            lab.run(blocking())
    finally:
        blocked.set()
    assert lab.statuses() == ["FAILED"]


def test_what_a_cancelled_coroutine_still_returns_is_dropped(lab):
    @task(version="1", timeout=0.05)
    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "late"

    @task(version="1")
    async def main():
        try:
            return await stubborn()
        except TaskTimeout:
            return [await ident(i) for i in range(20)]

    assert lab.run(main()) == list(range(20))
    assert lab.jobs()["stubborn"] == ["FAILED"]


def test_a_cancelled_coroutine_is_tried_again(lab):
    attempts = []

    @task(version="1", timeout=0.2, retries=2, retry_delay=0)
    async def flaky():
        attempts.append(1)
        if len(attempts) < 3:
            await asyncio.Event().wait()
        return await ident("third")

    assert lab.run(flaky()) == "third"
    assert len(attempts) == 3
    assert lab.query("SELECT number, error_id IS NULL FROM attempt") == [(1, 0), (2, 0), (3, 1)]


def test_a_second_scheduler_starts_where_a_loop_was_stopped_in_the_middle():
    loop = EventLoopThread()
    loop.stop()
    assert not loop._thread.is_alive()
    assert run(fetch(1)) == 1
