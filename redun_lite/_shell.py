"""Running shell texts, each in a process group of its own that can be ended as a whole.

A script starts programs, and these start others.  To end it is to end all of them, so each script
leads a session: whatever it starts, and does not detach on purpose, is in its process group.  For
the same reason nothing of it outlives it: what it left running in the background is ended with it,
as a container or a batch system would do.

A session of its own also means that neither Ctrl-C nor the end of the terminal reaches a script.
This process ends its scripts when it is told to.  In case it is killed, a guard (a small shell)
waits for the pipe to it to close, and ends what is running then.

What a script writes goes to files, not to pipes: nobody has to read along, and a program in the
background that holds them open keeps nobody waiting.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, NamedTuple

from ._errors import ExecutorError

GRACE = 2.0
"""Seconds between asking a script to end (SIGTERM) and ending it (SIGKILL)."""

STARTING = threading.Lock()
"""Held while a script is started, and while this process is forked.

To start a program, Python waits for the end of a pipe that is closed where the program begins.  A
process that is forked meanwhile, such as a worker, would have that pipe as well, never close it,
and keep the start of the script waiting for as long as it lives.
"""

if hasattr(os, "register_at_fork"):  # Else nothing is forked.
    os.register_at_fork(
        before=STARTING.acquire,
        after_in_parent=STARTING.release,
        after_in_child=STARTING.release,
    )

_TOO_LATE = "the script was ended before it began"
_PAUSE = 0.01  # Seconds between two looks at whether a group is gone.

# The script itself tells the guard of its group, before it does anything else: if this process were
# to do it afterwards, it might be killed in between.
_START = 'echo "+ $$" >&0; exec /bin/sh "$@" < /dev/null'

# Reads lines of "+ GROUP" and "- GROUP", which say what is running; "." says that nothing follows.
_GUARD = """
groups=' '
while read -r sign group && test "$sign" != .; do
    case $groups in *" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;; esac
    case $sign in +) groups="$groups$group " ;; esac
done
for group in $groups; do kill -s TERM -- "-$group"; done
for group in $groups; do sleep "$1"; break; done
for group in $groups; do kill -s KILL -- "-$group"; done
"""


class Finished(NamedTuple):
    """How a script ended.

    Attributes
    ----------
    returncode
        Exit status, or minus the number of the signal that ended it.
    stdout, stderr
        What it wrote; of more than was asked for, the end.
    """

    returncode: int
    stdout: bytes
    stderr: bytes


class ScriptRunner:
    """Runs shell texts, and ends them.

    Parameters
    ----------
    grace
        Seconds that a script has to end when it is asked to; by default `GRACE`.

    Examples
    --------
    >>> runner = ScriptRunner()
    >>> with runner.open("me") as script:
    ...     script.run("echo hello; exit 3")
    Finished(returncode=3, stdout=b'hello\\n', stderr=b'')
    >>> runner.stop()
    """

    def __init__(self, grace: float | None = None) -> None:
        self.grace = GRACE if grace is None else grace
        self._lock = threading.Lock()
        self._open: dict[object, RunningScript] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        _runners.add(self)

    def close_in_fork(self) -> None:
        """Let go of the guard in a copy of this process, whose life it does not depend on."""
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()

    def open(self, owner: object) -> RunningScript:
        """Return what runs one script for an owner; from here on, `end` ends it."""
        script = RunningScript(self, owner)
        with self._lock:
            self._open[owner] = script
            if self._is_stopped:
                script.end()
        return script

    def end(self, owner: object) -> None:
        """End the script of an owner, if there is one; do not wait until it has ended."""
        with self._lock:
            script = self._open.get(owner)
        if script is not None:
            script.end()

    def stop(self) -> None:
        """End all scripts, and wait until they have ended; no others start."""
        with self._lock:
            self._is_stopped = True
            scripts = list(self._open.values())
        for script in scripts:
            script.end()
        deadline = time.monotonic() + 2 * self.grace + 1
        for script in scripts:
            script.is_closed.wait(max(deadline - time.monotonic(), 0))
        with self._lock:
            guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate(b".\n")

    def forget(self, owner: object, group: int) -> None:
        """Take note that the script of an owner, and its process group, are over."""
        with self._lock:
            self._open.pop(owner, None)
            if group:
                self._tell_guard(f"- {group}\n")

    def guard_pipe(self) -> int:
        """Return the descriptor of the pipe on which the guard is told what runs."""
        with self._lock:
            if self._is_stopped:
                raise ExecutorError(_TOO_LATE)
            if self._guard is None or self._guard.poll() is not None:
                with STARTING:
                    self._guard = subprocess.Popen(
                        ["/bin/sh", "-c", _GUARD, "sh", str(self.grace)],
                        bufsize=0,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        cwd="/",
                        start_new_session=True,
                    )
            assert self._guard.stdin is not None
            return self._guard.stdin.fileno()

    def _tell_guard(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            try:
                os.write(self._guard.stdin.fileno(), line.encode())
            except BrokenPipeError:
                pass  # Somebody has killed it.  It is there for the worst case only.


_runners: weakref.WeakSet[ScriptRunner] = weakref.WeakSet()


def _close_in_fork() -> None:
    for runner in list(_runners):
        runner.close_in_fork()


os.register_at_fork(after_in_child=_close_in_fork)


class RunningScript:
    """A script, and all the processes that come of it; made by `ScriptRunner.open`.

    `run` is called by the thread that waits for it, `end` by any.
    """

    def __init__(self, runner: ScriptRunner, owner: object) -> None:
        self.is_closed = threading.Event()
        self._runner = runner
        self._owner = owner
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._group = 0
        self._is_ending = False
        self._timer: threading.Timer | None = None

    def __enter__(self) -> RunningScript:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.forget(self._owner, self._group)
        self.is_closed.set()

    def run(
        self, text: str, most_stdout: int | None = None, most_stderr: int | None = None
    ) -> Finished:
        """Run a shell text, and wait until it and all that it started have ended.

        Parameters
        ----------
        text
            The text; `/bin/sh` runs it, with the path of a private directory as `$1`.
        most_stdout, most_stderr
            How many bytes to return of what it wrote, from the end; None for all.

        Raises
        ------
        ExecutorError
            It was ended before it began.
        """
        with _private_directory() as directory:
            path = os.path.join(directory, "run")
            with open(path, "wb") as stream:
                stream.write(text.encode("utf-8", "surrogateescape"))
            with _output(directory, "stdout") as stdout, _output(directory, "stderr") as stderr:
                self._start([path, directory], stdout, stderr)
                returncode = self._wait()
                return Finished(
                    returncode, _end_of(stdout, most_stdout), _end_of(stderr, most_stderr)
                )

    def _start(self, arguments: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        pipe = self._runner.guard_pipe()
        with self._lock:
            if self._is_ending:
                raise ExecutorError(_TOO_LATE)
            with STARTING:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _START, "sh", *arguments],
                    stdin=pipe,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
            self._group = self._process.pid

    def _wait(self) -> int:
        """Wait for the first process, end those that it leaves, return its exit status."""
        assert self._process is not None
        returncode = self._process.wait()
        deadline = time.monotonic() + self._runner.grace
        number = int(signal.SIGTERM)
        while _signal(self._group, number) and _has_living(self._group):
            if time.monotonic() >= deadline:
                _signal(self._group, signal.SIGKILL)
                break
            number = 0
            time.sleep(_PAUSE)
        with self._lock:
            self._process = None  # From here on, its id may be another's.
            if self._timer is not None:
                self._timer.cancel()
        return returncode

    def end(self) -> None:
        """Ask all processes to end, and see to it that they do; do not wait for that."""
        with self._lock:
            if self._is_ending:
                return
            self._is_ending = True
            if self._process is not None:
                _signal(self._group, signal.SIGTERM)
                self._timer = threading.Timer(self._runner.grace, self._kill)
                self._timer.daemon = True
                self._timer.start()

    def _kill(self) -> None:
        with self._lock:
            if self._process is not None:
                _signal(self._group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Send a signal to a process group; say whether anybody is in it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # The latter where all are dead, on macOS.
        return False
    return True


def _has_living(group: int) -> bool:
    """Say whether a process group has processes that are not dead, or may have.

    A dead one stays in its group until its parent asks for its status, and the first process of a
    container, which inherits those whose parents have ended, often never does.
    """
    try:
        numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return True
    for number in numbers:
        try:
            with open(f"/proc/{number}/stat", "rb") as stream:
                state, _, its_group = stream.read().rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):  # It has just gone.
            continue
        if int(its_group) == group and state not in (b"Z", b"X"):
            return True
    return not numbers


@contextmanager
def _private_directory() -> Generator[str, None, None]:
    """Make a directory for one script, and remove it with all that is in it."""
    directory = tempfile.TemporaryDirectory(prefix="redun_lite-")
    try:
        yield directory.name
    finally:
        try:
            directory.cleanup()
        except OSError:  # What cannot be removed is no reason to fail.
            pass


def _output(directory: str, name: str) -> IO[bytes]:
    return open(os.path.join(directory, name), "w+b", buffering=0)


def _end_of(stream: IO[bytes], most: int | None) -> bytes:
    """Return what is in a file, from the end at most so many bytes."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0 if most is None else max(size - most, 0))
    return stream.read()
