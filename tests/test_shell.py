"""The end of scripts: all that a script has started ends with it, however it comes to its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import ROOT, Lab, notes

from redun_lite import ExecutorError, File, ScriptError, script, task
from redun_lite import _shell as shell
from redun_lite._job import Reporter
from redun_lite._script import make_script, shell_text
from redun_lite._shell import ScriptRunner

redun_namespace = "test_shell"

SECONDS = 60  # After which something that has to come is said not to.


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Run in a folder of its own, as scripts are given relative paths."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture(params=["thread", "process"])
def any_lab(request, tmp_path):
    """A lab whose executor "local" has one worker, in one of the two modes."""
    options = {"type": "local", "mode": request.param, "max_workers": 1}
    return Lab(tmp_path, **{"executors.local": options})


@pytest.fixture
def impatient(monkeypatch):
    """Give scripts that do not want to end little time."""
    monkeypatch.setattr(shell, "GRACE", 0.2)


class Lifeline:
    """A pipe that a script holds open, with all that it starts: it ends when the last of them does.

    A script that wants to be watched runs `exec 3> lifeline` first.
    """

    def __init__(self, path="lifeline"):
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._own = os.open(path, os.O_WRONLY)
        self._seen = b""

    def _read(self, what):
        assert select.select([self._descriptor], [], [], SECONDS)[0], f"no {what}"
        return os.read(self._descriptor, 1000)

    def wait_for(self, *words):
        while not {word.encode() for word in words} <= set(self._seen.split()):
            self._seen += self._read(" ".join(words))

    def has_ended(self):
        """Say whether it has, where nothing more is written into it."""
        os.close(self._own)
        self._own = None
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def wait_for_end(self):
        if self._own is not None:
            os.close(self._own)
        while self._read("end"):
            pass
        os.close(self._descriptor)


STUBBORN = """
exec 3> lifeline
trap '' TERM
(trap '' TERM INT HUP; echo inner >&3; while :; do sleep 1000; done) &
setsid true
echo outer >&3
while :; do sleep 1000; done
"""


@pytest.fixture
def runner():
    runner = ScriptRunner(grace=0.2)
    yield runner
    runner.stop()


def in_thread(function):
    """Start a function in a thread; return what waits for its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()

    def wait():
        thread.join(SECONDS)
        return results[0]

    return wait


def run_in(runner, owner, command):
    with runner.open(owner) as script:
        return script.run(make_script(command, "x").text)


def test_to_end_a_script_ends_all_that_it_started(runner):
    lifeline = Lifeline()
    finished = in_thread(lambda: run_in(runner, "owner", STUBBORN))
    lifeline.wait_for("inner", "outer")
    runner.end("somebody else")
    runner.end("owner")
    assert finished().returncode != 0
    lifeline.wait_for_end()


def test_a_script_that_is_asked_to_end_may_tidy_up(tmp_path):
    runner = ScriptRunner(grace=SECONDS)
    lifeline = Lifeline()
    command = """
        exec 3> lifeline
        trap 'echo tidy > tidied; exit 1' TERM
        echo ready >&3
        while :; do sleep 0.01; done
    """
    finished = in_thread(lambda: run_in(runner, "owner", command))
    lifeline.wait_for("ready")
    runner.end("owner")
    finished()
    assert Path("tidied").read_text() == "tidy\n"
    runner.stop()


def test_what_a_script_leaves_in_the_background_ends_with_it(runner):
    lifeline = Lifeline()
    finished = run_in(
        runner,
        "owner",
        "exec 3> lifeline\n(trap '' TERM; echo on >&3; while :; do sleep 1000; done) &\n"
        "read word < <(sleep 0; echo on)\necho result",
    )
    assert (finished.returncode, finished.stdout) == (0, b"result\n")
    lifeline.wait_for_end()


def test_a_script_that_is_ended_before_it_begins_does_not_begin(runner):
    with runner.open("owner") as script:
        runner.end("owner")
        with pytest.raises(ExecutorError, match="ended before it began"):
            script.run("echo > ran")
    assert not os.path.exists("ran")


def test_a_runner_that_is_stopped_ends_its_scripts_and_starts_no_others():
    runner = ScriptRunner(grace=0.2)
    lifeline = Lifeline()
    finished = in_thread(lambda: run_in(runner, "owner", STUBBORN))
    lifeline.wait_for("inner", "outer")
    runner.stop()
    assert finished().returncode != 0
    lifeline.wait_for_end()
    with runner.open("late") as script, pytest.raises(ExecutorError, match="ended before it began"):
        script.run("echo > ran")


def test_a_script_leaves_no_files_behind(runner, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    run_in(runner, "a", "pwd; exit 1")
    text = shell_text("mkdir -p a/b; touch a/b/c; chmod -R a-w a", tempdir=True)
    with runner.open("b") as script:
        assert script.run(text).returncode == 0
    assert os.listdir(temporary) == []


@pytest.mark.usefixtures("impatient")
def test_a_script_that_takes_too_long_is_killed_with_all_that_it_started(any_lab):
    lifeline = Lifeline()
    slow = script(STUBBORN, outputs=File("made").stage("out"), executor="local", timeout=1)
    with pytest.raises(TimeoutError, match="its processes were killed"):
        any_lab.run(slow)
    lifeline.wait_for_end()
    assert not os.path.exists("made")


@pytest.mark.usefixtures("impatient")
def test_a_script_that_took_too_long_is_tried_again_by_the_same_worker(any_lab):
    command = "if mkdir tried; then sleep 1000; fi; echo done"
    options = {"executor": "local", "timeout": 1, "retries": 5, "retry_delay": 0}
    assert any_lab.run(script(command, **options)) == b"done\n"


def test_a_script_that_failed_is_tried_again(lab):
    command = "echo >> ran; test $(wc -l < ran) = 3"
    lab.run(script(command, retries=2, retry_delay=0, retry_on=[ScriptError]))
    assert len(notes("ran")) == 3


def test_scripts_that_have_not_begun_do_not_run_after_an_error(any_lab):
    lifeline = Lifeline()
    os.mkfifo("gate")

    class Opening(Reporter):
        def draining(self, engine):
            Path("gate").write_text("go")

    @task
    def fail():
        lifeline.wait_for("began")
        raise ValueError("first")

    begun = script("exec 3> lifeline; echo began >&3; cat gate", executor="local")
    others = [script(f"echo {n} >> ran", executor="local") for n in range(5)]
    with pytest.raises(ValueError, match="first"):
        any_lab.run([begun, *others, fail()], reporter=Opening())
    lifeline.wait_for_end()
    assert notes("ran") == []
    assert any_lab.jobs()["script"].count("DONE") == 1


def test_worker_processes_are_no_obstacle_to_the_end_of_scripts(tmp_path):
    options = {"type": "local", "mode": "process"}
    lab = Lab(tmp_path, **{"executors.workers": options})

    @task(executor="workers")
    def length(text):
        return len(text)

    # The worker is forked while the scripts' executor is there, and is stopped after it.
    assert lab.run(length(script("echo hello"))) == 6


PROGRAM = """
import sys
from redun_lite import File, Scheduler, _shell, script
from redun_lite._job import Reporter

class Telling(Reporter):
    def draining(self, engine):
        print("draining", file=sys.stderr, flush=True)

_shell.GRACE = 0.2
with Scheduler(reporter=Telling()) as scheduler:
    scheduler.run(script(sys.argv[1], outputs=File("made").stage("out")))
"""


@pytest.fixture
def start_program(folder, tmp_path):
    """Return what starts a program of its own that runs a script."""
    (folder / "program.py").write_text(PROGRAM)
    started = []

    def start(command=STUBBORN):
        program = subprocess.Popen(
            [sys.executable, "program.py", command],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def test_ctrl_c_lets_a_script_end_and_a_second_one_ends_it(start_program):
    lifeline = Lifeline()
    program = start_program()
    lifeline.wait_for("inner", "outer")
    os.killpg(program.pid, signal.SIGINT)  # As a terminal does; the script is in another group.
    assert program.stderr.readline() == b"draining\n"
    assert not lifeline.has_ended()
    os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=SECONDS)
    assert b"KeyboardInterrupt" in errors
    lifeline.wait_for_end()
    assert not os.path.exists("made")


def test_ctrl_c_once_lets_a_script_come_to_its_end(start_program):
    lifeline = Lifeline()
    os.mkfifo("gate")
    program = start_program("exec 3> lifeline; echo began >&3; cat gate > out")
    lifeline.wait_for("began")
    os.killpg(program.pid, signal.SIGINT)
    assert program.stderr.readline() == b"draining\n"
    Path("gate").write_text("go")
    program.communicate(timeout=SECONDS)
    lifeline.wait_for_end()
    assert Path("made").read_text() == "go"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_scripts_end_when_the_program_is_killed(start_program, number):
    lifeline = Lifeline()
    program = start_program()
    lifeline.wait_for("inner", "outer")
    program.send_signal(number)
    program.communicate(timeout=SECONDS)
    lifeline.wait_for_end()


def test_no_process_is_forked_while_a_script_is_started(tmp_path, monkeypatch):
    held = []
    start = subprocess.Popen

    def watched(*args, **options):
        held.append(shell.STARTING.locked())
        return start(*args, **options)

    monkeypatch.setattr(shell.subprocess, "Popen", watched)
    assert Lab(tmp_path).run(script("echo hello")) == b"hello\n"
    assert held == [True, True]  # The guard, and the script.
    assert not shell.STARTING.locked()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # The thread makes Python warn of fork.
def test_a_fork_waits_for_the_start_of_a_script_and_takes_no_lock_along():
    ended = []

    def fork():
        pid = os.fork()
        if not pid:
            os._exit(3 if shell.STARTING.locked() else 0)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    thread = threading.Thread(target=fork)
    with shell.STARTING:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
    thread.join(SECONDS)
    assert ended == [0]
    assert not shell.STARTING.locked()
