"""What a run shows while it lasts."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from collections import Counter
from types import SimpleNamespace

import pytest
from support import InlineExecutor, Lab, SteeredExecutor

from redun_lite import catch, task
from redun_lite._client.progress import (
    LiveLine,
    PlainReporter,
    SilentReporter,
    TerminalReporter,
    summary,
    waiting_line,
)

redun_namespace = "test_progress"
EXECUTION = "5c1f9a3e-0000-4000-8000-000000000001"


@task(executor="inline")
def add(a, b=2):
    return a + b


@task(executor="inline")
def many(n):
    return [add(i) for i in range(n)]


@task(executor="inline")
def boom(x):
    raise ValueError("no")


@task(executor="inline")
def text(error):
    return str(error)


@task(executor="inline")
def careless(x):
    return [add(x), boom(x)]


@task(executor="inline")
def careless_with(x):
    return add(boom(x))


@task(executor="inline")
def pair(x):
    return {"a": x}


@task(executor="inline")
def in_result(x):
    return pair(x)["b"]


@task(executor="inline")
def in_argument(x):
    return add(pair(x)["b"])


@task(executor="inline")
def below(x):
    return [in_argument(x)]


@task
async def waiting(x):
    return await boom(x)


@task(executor="steered")
def held(x):
    return x


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


class Terminal(io.StringIO):
    """A terminal of 80 columns that shows one line; `history` has what it showed on the way."""

    def isatty(self):
        return True

    @property
    def shown(self) -> list[str]:
        """What the last line of the screen held after each write."""
        shown = []
        line = ""
        for piece in self.getvalue().replace("\r\x1b[K", "\0").replace("\r", "\0").split("\0"):
            line = piece.replace("\x1b[K", "")
            shown.append(line)
        return shown


def run(lab: Lab, expr, reporter, *executors, fails: bool = False):
    executors = (InlineExecutor(), *executors)
    if not fails:
        return lab.run(expr, *executors, reporter=reporter, execution_id=EXECUTION)
    with pytest.raises(ValueError, match="no"):
        lab.run(expr, *executors, reporter=reporter, execution_id=EXECUTION)
    return None


def engine(**counts: int) -> SimpleNamespace:
    """Return what a summary looks at."""
    return SimpleNamespace(
        counts=Counter(counts), total=sum(counts.values()) + 1, elapsed=12.0, failed=[]
    )


# Plain lines


def lines_of(stream: io.StringIO, word: str) -> list[str]:
    return [line for line in stream.getvalue().splitlines() if line.split()[:1] == [word]]


def test_jobs_that_come_out_well_get_no_lines(lab):
    stream = io.StringIO()
    run(lab, many(1), PlainReporter(stream))
    lines = stream.getvalue().splitlines()
    assert lines[:2] == [f"Execution {EXECUTION}", ""]
    assert lines[2].startswith("TASK ")


def test_each_job_gets_a_line_when_it_starts_and_ends_where_that_is_wanted(lab):
    stream = io.StringIO()
    run(lab, many(1), PlainReporter(stream, show_jobs=True))
    lines = stream.getvalue().splitlines()
    assert lines[0] == f"Execution {EXECUTION}"
    assert [(line.split()[0], line.split()[-1]) for line in lines[1:5]] == [
        ("RUNNING", "test_progress.many(n=1)"),
        ("RUNNING", "b=2)"),
        ("DONE", "b=2)"),
        ("DONE", "test_progress.many(n=1)"),
    ]
    assert lines[2] == "RUNNING   5c1f9a3e-2             test_progress.add(a=0, b=2)"


def test_each_job_gets_a_line_on_a_terminal_too_where_that_is_wanted(lab):
    terminal = Terminal()
    run(lab, add(1), TerminalReporter(LiveLine(terminal), show_jobs=True))
    assert "5c1f9a3e-1             test_progress.add(a=1, b=2)\n" in terminal.getvalue()


def test_a_cached_job_gets_one_line(lab):
    lab.run(add(1), InlineExecutor())
    stream = io.StringIO()
    run(lab, add(1), PlainReporter(stream, show_jobs=True))
    assert stream.getvalue().splitlines()[1] == (
        "CACHED    5c1f9a3e-1             test_progress.add(a=1, b=2)"
    )


def test_a_failed_job_gets_one_line_that_says_why_and_those_above_none(lab):
    stream = io.StringIO()
    run(lab, careless(1), PlainReporter(stream), fails=True)
    (failed,) = lines_of(stream, "FAILED")
    assert failed.endswith("test_progress.boom(x=1)  ValueError: no")


def test_an_attempt_that_is_repeated_gets_a_line_and_is_no_job_of_its_own(lab):
    stream = io.StringIO()
    run(lab, boom.options(retries=1, retry_delay=0)(1), PlainReporter(stream), fails=True)
    assert lines_of(stream, "RETRY") == [
        "RETRY     5c1f9a3e-1             test_progress.boom(x=1)  ValueError: no; "
        "attempt 2 in 0 µs"
    ]
    lines = stream.getvalue().splitlines()
    assert "TASK                FAILED  CACHED  DONE  TOTAL" in lines
    assert "test_progress.boom       1       0     0      1" in lines


def test_an_error_that_was_handled_before_gets_no_line_for_a_failure(lab):
    lab.run(catch(boom(1), ValueError, text), InlineExecutor())
    stream = io.StringIO()
    run(lab, catch(boom(1), ValueError, text), PlainReporter(stream, show_jobs=True))
    assert lines_of(stream, "CACHED")[0].endswith("test_progress.boom(x=1)")
    assert lines_of(stream, "FAILED") == []


def test_a_job_whose_argument_failed_gets_no_line(lab):
    stream = io.StringIO()
    run(lab, careless_with(1), PlainReporter(stream), fails=True)
    (failed,) = lines_of(stream, "FAILED")
    assert "test_progress.boom(x=1)" in failed


@pytest.mark.parametrize("expr", ["in_result", "in_argument", "below"])
def test_an_error_in_an_expression_gets_the_line_of_the_job_that_the_expression_is_in(lab, expr):
    stream = io.StringIO()
    with pytest.raises(KeyError):
        lab.run(globals()[expr](1), InlineExecutor(), reporter=PlainReporter(stream))
    (failed,) = lines_of(stream, "FAILED")
    place = "in_argument" if expr == "below" else expr
    assert failed.endswith(f"test_progress.{place}(x=1)  KeyError: 'b'")


def test_an_error_that_an_async_task_raises_again_gets_one_line(lab):
    stream = io.StringIO()
    run(lab, waiting(1), PlainReporter(stream), fails=True)
    (failed,) = lines_of(stream, "FAILED")
    assert "test_progress.boom(x=1)" in failed


def test_lines_fit_the_terminal_with_the_error_below_where_it_must_be(lab, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal()
    run(lab, boom("x" * 50), TerminalReporter(LiveLine(terminal)), fails=True)
    shown = terminal.getvalue().splitlines()
    (at,) = [i for i, line in enumerate(shown) if "FAILED " in line and "5c1f9a3e-1" in line]
    plain = re.sub(r"\x1b\[\d*;?\d*m", "", shown[at])
    assert len(plain.rpartition("\x1b[K")[2]) == 60
    assert plain.endswith("…")
    assert "ValueError: no" in shown[at + 1]


def test_the_run_ends_with_the_table_of_jobs(lab):
    stream = io.StringIO()
    run(lab, many(3), PlainReporter(stream))
    assert stream.getvalue().splitlines()[-6:-1] == [
        "TASK                FAILED  CACHED  DONE  TOTAL",
        "ALL                      0       0     4      4",
        "test_progress.add        0       0     3      3",
        "test_progress.many       0       0     1      1",
        "",
    ]
    assert stream.getvalue().splitlines()[-1].startswith("Execution 5c1f9a3e  DONE  ")


def test_failures_are_shown_up_to_a_number(lab):
    reporter = PlainReporter(io.StringIO())
    evaluation = SimpleNamespace(failure=None, expr=SimpleNamespace(task_name="t"))
    for number in range(60):
        job = SimpleNamespace(
            evaluation=evaluation, leader=None, status="FAILED", task=None, task_name="t",
            number=number, started=0, ended=0,
        )  # fmt: skip
        reporter.job_ended(job, ValueError())
    lines = reporter._stream.getvalue().splitlines()
    assert len(lines) == 51
    assert lines[-1] == "… further failures are counted, not shown"


def test_a_summary_comes_from_time_to_time(lab):
    stream = io.StringIO()
    reporter = PlainReporter(stream, interval=0.0)
    executor = SteeredExecutor(on_submit=lambda job: executor.finish(job))
    run(lab, [held(1), held(2)], reporter, executor)
    assert "running of 2" in stream.getvalue()


def test_a_summary_says_how_many_and_how_fast():
    state = engine(DONE=1234, RUNNING=3, CACHED=5)
    assert summary(state) == "1,234 done, 5 cached, 3 running of 1,243   12.0 s"
    assert summary(state, 1234.5) == "1,234 done, 5 cached, 3 running of 1,243   1,234/s   12.0 s"
    assert summary(engine(FAILED=1), 0.25) == "0 done, 0 running, 1 failed of 2   0.2/s   12.0 s"


def test_waiting_for_running_jobs_is_said():
    state = engine(RUNNING=1)
    assert waiting_line(state) == (
        "stopping: waiting for 1 running job (Ctrl-C again leaves at once)"
    )


def test_a_stream_that_nobody_reads_does_not_stop_the_run(lab):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    assert run(lab, add(1), PlainReporter(Broken())) == 3


def test_jobs_that_did_not_end_are_counted_as_cancelled(lab):
    stream = io.StringIO()

    def interrupt(job):
        job.run.interrupt()
        executor.finish(job)

    executor = SteeredExecutor(on_submit=interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(lab, add(held(1)), PlainReporter(stream), executor)
    assert "Execution 5c1f9a3e  CANCELLED" in stream.getvalue()


# Failures


def test_a_silent_reporter_shows_nothing_and_knows_where_an_error_comes_from(lab, capsys):
    reporter = SilentReporter()
    with pytest.raises(ValueError, match="no") as caught:
        run(lab, careless(1), reporter)
    failure = reporter.failure(caught.value)
    assert failure.call == "test_progress.boom(x=1)"
    assert failure.job.parent.task_name == "test_progress.careless"
    assert reporter.job_id(failure.job) == "5c1f9a3e-3"
    assert reporter.failure(ValueError()) is None
    assert capsys.readouterr() == ("", "")


# The live line


def test_the_live_line_says_what_runs_longest(lab):
    terminal = Terminal()
    reporter = TerminalReporter(LiveLine(terminal))

    def look(job):
        if len(executor.held) == 2:
            reporter._next = 0.0
            reporter.tick(job.run)
            executor.finish_all()

    executor = SteeredExecutor(on_submit=look)
    run(lab, [held(1), held(2)], reporter, executor)
    drawn = [line for line in terminal.shown if "running" in line]
    assert drawn[0].startswith("0 done, 2 running of 2")
    assert "test_progress.held(x=1)" in drawn[0]


def test_the_live_line_is_gone_at_the_end(lab):
    terminal = Terminal()
    line = LiveLine(terminal)
    reporter = TerminalReporter(line)
    executor = SteeredExecutor(on_submit=lambda job: executor.finish(job))
    reporter.interval = 0.0
    run(lab, held(1), reporter, executor)
    line.draw("last")
    line.erase()
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert "TASK" in terminal.getvalue()


def test_the_live_line_fits_the_terminal():
    terminal = Terminal()
    LiveLine(terminal).draw("x" * 200)
    assert terminal.shown == ["", "x" * 78 + "…"]


def test_what_the_user_prints_goes_above_the_live_line(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with LiveLine(terminal) as line:
        line.draw("1 done")
        print("hello")
        line.draw("2 done")
    assert terminal.getvalue() == "\r1 done\x1b[K\r\x1b[Khello\n\r2 done\x1b[K\r\x1b[K"


def test_the_live_line_waits_for_the_end_of_the_users_line(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with LiveLine(terminal) as line:
        sys.stdout.write("50 %")
        line.draw("1 done")
        sys.stdout.write(" 100 %\n")
        line.draw("2 done")
    assert terminal.getvalue() == "50 % 100 %\n\r2 done\x1b[K\r\x1b[K"


def test_output_that_goes_elsewhere_is_left_alone(monkeypatch):
    terminal, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setattr(sys, "stderr", terminal)
    with LiveLine(terminal) as line:
        line.draw("1 done")
        print("hello")
        assert sys.stdout is file
    assert file.getvalue() == "hello\n"


def test_the_streams_are_put_back_and_a_logger_may_keep_the_old_one(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with LiveLine(terminal):
        kept = sys.stderr
    assert sys.stdout is sys.stderr is terminal
    kept.write("later\n")
    kept.writelines(["a\n", "b\n"])
    assert terminal.getvalue() == "later\na\nb\n"
    assert kept.isatty()


def test_a_worker_that_was_forked_while_others_print_does_not_wait_for_them():
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        line = LiveLine(stream)
        holding, done = threading.Event(), threading.Event()

        def hold() -> None:
            with line._lock:
                holding.set()
                done.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        holding.wait()
        pid = os.fork()
        if pid == 0:
            try:
                line.stream.write("from the worker\n")
                stream.flush()
            finally:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        done.set()
        thread.join()
    with os.fdopen(read, newline="") as stream:
        assert stream.read() == "\r\x1b[Kfrom the worker\n"


def test_a_terminal_that_is_gone_does_not_stop_the_run(lab):
    class Gone(Terminal):
        def write(self, text):
            raise OSError

    reporter = TerminalReporter(LiveLine(Gone()))
    reporter.interval = 0.0
    assert run(lab, add(1), reporter) == 3
