"""Jobs in processes of their own, and processes that die."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading

import pytest
from support import Lab, note, notes, python
from worker_tasks import Silent, TwoArguments, die, ident, imports, locks, process_id, raises

from redun_lite import Promise, _workers, catch, scheduler_task, task
from redun_lite._errors import ExecutorError, ResultError, UnknownTask, WorkerDied
from redun_lite._expr import dumps_expr

redun_namespace = "test_workers"

METHODS = ("fork", "spawn", "forkserver")


def make_lab(folder, start_method="fork", max_workers=2):
    return Lab(
        folder,
        **{
            "executors.workers": {
                "type": "local",
                "mode": "process",
                "start_method": start_method,
                "max_workers": max_workers,
            }
        },
    )


@pytest.fixture
def lab(tmp_path):
    return make_lab(tmp_path)


@scheduler_task
def attempt(scheduler, parent_job, sexpr, *exprs):
    """Evaluate expressions; an error is given as its class and text."""
    promises = [scheduler.evaluate(expr, parent_job) for expr in exprs]
    return Promise.all(
        [promise.catch(lambda error: f"{type(error).__name__}: {error}") for promise in promises]
    )


# Running


@pytest.mark.parametrize("method", METHODS)
def test_jobs_run_in_other_processes(tmp_path, method):
    lab = make_lab(tmp_path, method)
    found = lab.run([process_id(n) for n in range(6)])
    assert os.getpid() not in found
    assert len(set(found)) <= 2
    assert lab.run([ident({"k": (n, [n])}) for n in range(100)]) == [
        {"k": (n, [n])} for n in range(100)
    ]
    lab.audit()


def test_jobs_run_at_the_same_time(lab, tmp_path):
    # Each opens its end of a pipe of a name, which returns once the other is open as well.
    os.mkfifo(tmp_path / "pipe")

    @task(executor="workers")
    def meet(mode):
        os.close(os.open(tmp_path / "pipe", mode))
        return True

    assert lab.run([meet(os.O_RDONLY), meet(os.O_WRONLY)]) == [True, True]


def test_workers_are_reused_by_later_runs(lab):
    with lab.scheduler() as scheduler:
        first = scheduler.run([process_id(n) for n in range(10)])
        second = scheduler.run([process_id(n) for n in range(10, 20)])
    assert len({*first, *second}) <= 2


def test_a_job_may_return_expressions(lab):
    @task(executor="workers")
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert lab.run(fibonacci(15)) == 610


def test_arguments_and_results_may_be_large(lab):
    # Larger than what fits into a pipe, both ways, many of them: nobody may wait for the other.
    @task(executor="workers")
    def echo(data, n):
        return data

    size = 1_000_000
    found = lab.run([echo(bytes([n]) * size, n) for n in range(24)])
    assert found == [bytes([n]) * size for n in range(24)]


def test_a_job_may_start_processes_of_its_own(lab):
    @task(executor="workers")
    def squares():
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return pool.map(abs, [-1, -2])

    assert lab.run(squares()) == [1, 2]


def test_small_jobs_behind_a_long_one_go_to_others_and_run_once(lab, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    @task(executor="workers")
    def small(n):
        note(tmp_path / "ran", n)
        return n

    @task(executor="workers")
    def long():
        # Until `last` has run, which wants what had been sent to the same worker before and behind.
        with open(tmp_path / "pipe") as pipe:
            return pipe.read()

    @task
    def last(values):
        (tmp_path / "pipe").write_text("released")
        return values

    behind = [small(n) for n in range(300)]
    found = lab.run([behind[:150], long(), last(behind), behind[150:]])
    assert found[1:3] == ["released", list(range(300))]
    assert sorted(map(int, notes(tmp_path / "ran"))) == list(range(300))


# Tasks that are not there when the workers start


def test_jobs_behind_one_that_has_only_begun_are_not_sent_ahead(tmp_path, monkeypatch):
    lab = make_lab(tmp_path, max_workers=1)
    os.mkfifo(tmp_path / "pipe")

    @task(executor="workers", timeout=60)
    def wait(n):
        if n == 0:
            os.close(os.open(tmp_path / "pipe", os.O_RDONLY))

    hear = _workers.ProcessPool._hear
    sent = []

    def hear_and_look(pool, worker):
        hear(pool, worker)
        if not sent:  # It has said that the first job has begun, which cannot end before this.
            pool._feed()
            sent.extend(worker.sent)
            os.close(os.open(tmp_path / "pipe", os.O_WRONLY))

    monkeypatch.setattr(_workers.ProcessPool, "_hear", hear_and_look)
    lab.run([wait(n) for n in range(8)])
    assert sent == [0]


def test_a_task_that_is_defined_after_the_workers_were_forked_runs(lab):
    with lab.scheduler() as scheduler:
        scheduler.run(ident(1))

        @task(executor="workers")
        def late(x):
            return ("late", x)

        assert scheduler.run([late(n) for n in range(5)]) == [("late", n) for n in range(5)]


def test_a_task_that_is_redefined_after_the_workers_were_forked_runs_as_it_is_now(lab):
    def define(version):
        @task(executor="workers", version=version, name="redefined")
        def redefined(x):
            return (version, x)

        return redefined

    with lab.scheduler() as scheduler:
        assert scheduler.run(define("1")(0)) == ("1", 0)
        assert scheduler.run(define("2")(0)) == ("2", 0)


SCRIPT = """
import os
import sys

from redun_lite import Config, Scheduler, task


class Point:
    def __init__(self, x):
        self.x = x


@task(executor="workers")
def shift(point, by):
    return Point(point.x + by)


@task(executor="workers")
def main(n):
    return [shift(Point(i), 10).x for i in range(n)]


if __name__ == "__main__":
    workers = {"type": "local", "mode": "process", "start_method": sys.argv[1], "max_workers": 2}
    with Scheduler(Config({"executors.workers": workers})) as scheduler:
        print(scheduler.run(main(3)))
"""


@pytest.mark.parametrize("method", METHODS)
def test_tasks_of_a_script_run_in_workers(tmp_path, method):
    script = tmp_path / "my script.py"
    script.write_text(SCRIPT)
    assert python(script, method).stdout == "[10, 11, 12]\n"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_tasks_of_a_module_that_was_loaded_from_a_path_run_in_workers(tmp_path, method):
    # As the command line loads scripts: nothing can be imported by that name.
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    (folder / "flow.py").write_text(SCRIPT)
    loader = tmp_path / "loader.py"
    loader.write_text(
        "import importlib.util, sys\n"
        "from redun_lite import Config, Scheduler\n"
        "if __name__ == '__main__':\n"
        f"    spec = importlib.util.spec_from_file_location('flow', {str(folder / 'flow.py')!r})\n"
        "    flow = sys.modules['flow'] = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(flow)\n"
        "    workers = dict(type='local', mode='process', start_method=sys.argv[1])\n"
        "    with Scheduler(Config({'executors.workers': workers})) as scheduler:\n"
        "        print(scheduler.run(flow.main(3)))\n"
    )
    assert python(loader, method).stdout == "[10, 11, 12]\n"


def test_a_spawned_worker_that_cannot_find_a_task_says_so(tmp_path):
    lab = make_lab(tmp_path, "spawn")
    namespace = {"task": task, "__name__": "nowhere_to_be_found"}
    exec("@task(executor='workers', version='1')\ndef typed(): return 1", namespace)
    with pytest.raises(ExecutorError, match="cannot load task typed: there is no file"):
        lab.run(namespace["typed"]())


def test_a_spawned_worker_notices_that_the_script_has_changed(tmp_path):
    script = tmp_path / "script.py"
    edits_itself = """
    with open(__file__, "r+") as file:
        text = file.read().replace("point.x + by", "point.x - by")
        file.seek(0)
        file.write(text)
"""
    script.write_text(SCRIPT.replace('__main__":\n', '__main__":' + edits_itself))
    done = python(script, "spawn", check=False)
    assert done.returncode == 1
    assert f"{script} has changed since the run began" in done.stderr


def test_a_script_that_is_not_guarded_against_its_own_import_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace('if __name__ == "__main__":', "if True:"))
    done = python(script, "spawn", check=False)
    assert done.returncode == 1
    assert "if __name__ == '__main__':" in done.stderr


# Deaths


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("SIGKILL", "was killed by SIGKILL, perhaps because memory ran out"),
        ("SIGSEGV", "was killed by SIGSEGV"),
        ("SIGTERM", "was killed by SIGTERM"),
        ("exit", "ended with exit status 3 before the task returned"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_dies_fails_its_job_and_says_of_what(tmp_path, method, how, message):
    lab = make_lab(tmp_path, method)
    with pytest.raises(WorkerDied, match=f"the process that ran test_workers.die {message}"):
        lab.run(die(how))
    assert lab.jobs() == {"die": ["FAILED"]}


@pytest.mark.parametrize("method", METHODS)
def test_no_other_job_is_lost_when_workers_die(tmp_path, method):
    lab = make_lab(tmp_path, method)
    exprs = [ident(n) for n in range(200)]
    for place, how in [(150, "SIGKILL"), (100, "exit"), (50, "SIGSEGV"), (0, "SIGTERM")]:
        exprs.insert(place, die(how))
    found = lab.run(attempt(*exprs))
    assert [value for value in found if isinstance(value, int)] == list(range(200))
    died = [value for value in found if not isinstance(value, int)]
    assert [value.startswith("WorkerDied: ") for value in died] == [True] * 4
    assert lab.jobs() == {"ident": ["DONE"] * 200, "die": ["FAILED"] * 4}
    lab.audit()


def test_a_pool_heals_after_its_workers_died(lab):
    with lab.scheduler() as scheduler:
        for n in range(5):
            with pytest.raises(WorkerDied):
                scheduler.run([die("SIGKILL"), die("exit")], cache=False)
            assert scheduler.run([ident((n, i)) for i in range(20)]) == [(n, i) for i in range(20)]


def test_a_worker_that_dies_while_it_has_nothing_to_do_is_replaced(lab):
    with lab.scheduler() as scheduler:
        for pid in set(scheduler.run([process_id(n) for n in range(4)])):
            os.kill(pid, signal.SIGKILL)
        assert scheduler.run([ident(n) for n in range(20)]) == list(range(20))


def test_while_no_process_can_be_started_the_workers_there_are_go_on(lab, tmp_path, monkeypatch):
    start = _workers.ProcessPool._start_worker
    started = []

    def start_one(pool):
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(start(pool))
        return started[0]

    monkeypatch.setattr(_workers.ProcessPool, "_start_worker", start_one)
    assert len(set(lab.run([process_id(n) for n in range(20)]))) == 1


def test_a_pool_whose_first_process_cannot_be_started_fails_its_jobs(lab, monkeypatch):
    before = len(os.listdir("/dev/fd"))

    def start(process):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.get_context("fork").Process, "start", start)
    with pytest.raises(ExecutorError, match="Resource temporarily unavailable"):
        lab.run(ident(1))
    assert len(os.listdir("/dev/fd")) == before


def test_a_death_is_noticed_though_a_process_that_the_job_forked_lives_on(lab, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    @task(executor="workers")
    def leaves_a_child():
        if os.fork() == 0:
            # It holds open all that the worker had open, until the test lets it go.
            with open(tmp_path / "pipe") as pipe:
                pipe.read()
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerDied, match="SIGKILL"):
        lab.run(leaves_a_child())
    (tmp_path / "pipe").write_text("")


def test_workers_end_when_the_scheduler_is_closed(lab):
    with lab.scheduler() as scheduler:
        pids = set(scheduler.run([process_id(n) for n in range(4)]))
    for process in multiprocessing.active_children():
        if process.pid in pids:
            process.join(30)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_end_when_the_parent_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, sys\n"
        "from redun_lite import Scheduler, task\n"
        "@task(executor='process')\n"
        "def pid(n):\n"
        "    return os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    scheduler = Scheduler()\n"
        "    print(*set(scheduler.run([pid(n) for n in range(4)])), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # The workers hold its output open: it ends when the last of them has.
    done = python(script, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split()


@pytest.mark.parametrize("method", METHODS)
def test_workers_end_when_the_parent_is_killed_also_in_the_middle_of_a_job(tmp_path, method):
    (tmp_path / "flow.py").write_text(
        "import os, signal, time\n"
        "from redun_lite import task\n"
        "@task(executor='workers', namespace='flow')\n"
        "def forever(parent):\n"
        "    os.kill(parent, signal.SIGKILL)\n"
        "    while True:\n"
        "        time.sleep(1)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from redun_lite import Config, Scheduler\n"
        "from flow import forever\n"
        f"workers = {{'type': 'local', 'mode': 'process', 'start_method': {method!r}}}\n"
        "if __name__ == '__main__':\n"
        "    Scheduler(Config({'executors.workers': workers})).run(forever(os.getpid()))\n"
    )
    done = python(script, check=False)  # As above.
    assert done.returncode == -signal.SIGKILL


def test_a_worker_that_ignores_everything_does_not_keep_the_program_from_ending(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, threading, time\n"
        "from redun_lite import Scheduler, task\n"
        "@task(executor='process')\n"
        "def forever():\n"
        "    print('running', flush=True)\n"
        "    while True:\n"
        "        time.sleep(1)\n"
        "if __name__ == '__main__':\n"
        "    scheduler = Scheduler()\n"
        "    threading.Thread(target=scheduler.run, args=(forever(),), daemon=True).start()\n"
        "    executor = scheduler.get_executor('process')\n"
        "    while executor._pool is None or executor._pool._workers[:1] == []:\n"
        "        time.sleep(0.01)\n"
        "    while executor._pool._workers[0].running < 0:\n"
        "        time.sleep(0.01)\n"
        "    scheduler.close()\n"
        "    print('closed', flush=True)\n"
    )
    assert "closed" in python(script).stdout


# Results and errors


@pytest.mark.parametrize("method", METHODS)
def test_a_result_that_cannot_be_pickled_names_the_path_to_what_cannot(tmp_path, method):
    with pytest.raises(ResultError, match=r"result of test_workers.locks: \[0\]\['lock'\]: lock"):
        make_lab(tmp_path, method).run(locks())


@task(version="1", executor="workers")
def unloadable():
    return Unloadable()


class Unloadable:
    def __init__(self):
        self.made_in = os.getpid()

    def __setstate__(self, state):
        raise RuntimeError("it does not travel")


def test_a_result_that_cannot_be_loaded_names_the_task(lab):
    message = "the result of test_workers.unloadable cannot be loaded: it does not travel"
    with pytest.raises(ResultError, match=message):
        lab.run(unloadable())


@pytest.mark.parametrize("method", METHODS)
def test_an_error_comes_back_as_it_was_with_the_traceback_of_the_task(tmp_path, method):
    lab = make_lab(tmp_path, method)
    with pytest.raises(KeyError, match="deep") as caught:
        lab.run(raises("key"))
    shown = str(caught.value.__cause__)
    assert "in helper\n" in shown
    assert 'raise KeyError("deep")' in shown
    assert "_workers.py" not in shown


def test_an_error_without_the_part_that_cannot_be_pickled_is_one_of_its_class(lab):
    with pytest.raises(ValueError, match=r"<unlocked _thread.lock") as caught:
        lab.run(raises("lock"))
    note = "incomplete: could not be pickled: .args[0] (a lock)"
    assert caught.value.__notes__ == [note]
    assert str(caught.value.__cause__).endswith(f"\n{note}\n")


class ApiError(Exception):
    def __init__(self, url, connection):
        super().__init__(f"{url} failed")
        self.url = url
        self.connection = connection


class PickyError(ApiError):
    def __reduce__(self):
        return PickyError, (self.url, self.connection)


@task(version="1", executor="workers")
def fetch(url, kind=ApiError):
    raise kind(url, threading.Lock())


@task(version="1")
def explain(error):
    return f"{error} at {error.url}{error.connection if hasattr(error, 'connection') else ''}"


def test_a_handler_gets_the_error_it_is_for_also_if_a_part_of_that_cannot_be_pickled(lab):
    assert lab.run(catch(fetch("here"), ApiError, explain)) == "here failed at here"


def test_a_coroutine_gets_the_error_it_is_for_also_if_a_part_of_that_cannot_be_pickled(lab):
    @task
    async def main():
        try:
            return await fetch("here")
        except ApiError as error:
            return error.url

    assert lab.run(main()) == "here"


def test_an_error_that_wants_the_part_that_cannot_be_pickled_is_told_in_words(lab):
    with pytest.raises(ResultError, match=r"PickyError: here failed \(the error itself could"):
        lab.run(fetch("here", PickyError))


def test_an_error_whose_class_cannot_be_found_again_is_told_in_words(lab):
    @task(executor="workers")
    def main():
        class Local(Exception):
            pass

        raise Local("not from here")

    with pytest.raises(ResultError, match=r"Local: not from here \(the error itself could"):
        lab.run(main())


def test_an_error_whose_class_wants_more_than_its_text_comes_back(lab):
    with pytest.raises(TwoArguments, match="1 and 2"):
        lab.run(raises("two"))


def test_an_error_that_cannot_be_shown_comes_back(lab):
    with pytest.raises(Silent):
        lab.run(raises("silent"))
    assert lab.jobs() == {"raises": ["FAILED"]}


@task(version="1", executor="workers")
def defines(how):
    @task(version="1", name="inner")
    def inner(x):
        return x

    return inner if how == "task" else [inner(3)]


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("call", "there is no task test_workers.inner here"),
        ("task", "task test_workers.inner [0-9a-f]{8} is not defined as it was recorded"),
    ],
)
def test_a_task_that_only_a_worker_has_is_told_with_its_cause(lab, how, problem):
    with pytest.raises(UnknownTask) as caught:
        lab.run(defines(how))
    assert re.fullmatch(
        f"{problem}: test_workers.defines, which returned it, ran in a worker process, and only "
        "that has it; define it at the top level of a module that is imported here too",
        str(caught.value),
    )


def test_a_task_that_exits_does_not_take_its_worker_along(lab):
    with lab.scheduler() as scheduler:
        (before,) = {*scheduler.run([process_id(0)])}
        with pytest.raises(SystemExit, match="enough"):
            scheduler.run(raises("exit"))
        assert before in scheduler.run([process_id(n) for n in range(1, 20)])


def test_an_argument_that_cannot_be_loaded_fails_its_job(lab):
    with pytest.raises(RuntimeError, match="it does not travel"):
        lab.run(ident(Unloadable()))


def test_an_argument_that_cannot_be_sent_fails_its_job_only(lab, monkeypatch):
    def dumps(value):
        if value == ((13,), {}):
            raise MemoryError("no room for 13")
        return dumps_expr(value)

    monkeypatch.setattr(_workers, "dumps_expr", dumps)
    found = lab.run(attempt(*[ident(n) for n in range(20)]))
    assert found == [n if n != 13 else "MemoryError: no room for 13" for n in range(20)]


def test_what_a_task_prints_is_shown(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from redun_lite import Scheduler, task\n"
        "@task(executor='process')\n"
        "def speak(n):\n"
        "    print(f'spoke {n}\\n', end='')\n"  # In one piece, between those of others.
        "if __name__ == '__main__':\n"
        "    with Scheduler() as scheduler:\n"
        "        scheduler.run([speak(n) for n in range(3)])\n"
    )
    assert sorted(python(script).stdout.splitlines()) == ["spoke 0", "spoke 1", "spoke 2"]


def test_workers_find_what_the_parent_can_import(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("ANSWER = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert make_lab(tmp_path, "spawn").run(imports("only_here")) == 42
