"""What a run shows while it lasts: one live line on a terminal, plain lines elsewhere.

The engine tells a reporter of every job and, between its steps, that time has passed.  There may be
a million jobs, of a few microseconds each, so a job costs a reporter two dict updates; text is made
only when some of it is due to be shown.

A live line and the user's own output share the terminal.  So while a workflow runs, `sys.stdout`
and `sys.stderr` are wrapped: before anything is written through them the live line is erased, and
it is drawn again once the cursor is at the start of a line.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from .._display import (
    RETRY,
    Palette,
    clip,
    format_call,
    format_count,
    format_duration,
    format_job_id,
    format_job_line,
    format_job_table,
    terminal_width,
    use_colour,
)
from .._errors import ScriptError
from .._format_value import format_error, format_script_error, format_value
from .._job import Reporter, Stage
from .._record import message_of
from .._schema import job_number
from .._status import CACHED, CANCELLED, DONE, FAILED, RUNNING, STATUSES

if TYPE_CHECKING:
    from .._job import Job

REDRAW_INTERVAL = 0.1
"""Seconds between two drawings of the live line."""

_RATE_WINDOW = 10.0  # Seconds over which the rate is taken.
_MAX_FAILURES = 50  # Failures that are shown one by one, and as many attempts that are repeated.
_KEPT_FAILURES = 1000  # The last failures, among which is the one that ends a run.
_MAX_SEARCHED = 500  # Jobs looked at for one whose function still runs.


class Failure(NamedTuple):
    """The job that an error comes from.

    It is the one whose function raised it.  Of an error in an expression, it is the job that the
    expression belongs to.
    """

    error: BaseException
    job: Job
    call: str


class SilentReporter(Reporter):
    """Shows nothing; remembers failures, so that the one that ends the run can be explained."""

    interval = 1.0

    def __init__(self) -> None:
        self.engine: Any = None
        self.execution_id = ""
        self._failures: dict[int, Failure] = {}  # By the id of the error, the oldest first.

    def started(self, engine: Any, execution_id: str) -> None:
        self.engine = engine
        self.execution_id = execution_id

    def job_ended(self, job: Job, error: BaseException | None = None) -> None:
        if error is not None and job.leader is None and self._comes_from(job, error):
            self._failed(Failure(error, job, call_text(job)))

    def _comes_from(self, job: Job, error: BaseException) -> bool:
        """Say whether no job below the one that has ended is where its error comes from."""
        if job.evaluation.failure is not error:
            # An async task raises what it has awaited once more.
            return job.task is None or not job.task.is_async or id(error) not in self._failures
        if id(error) in self._failures:
            return False
        # An argument is an expression of the job around, which fails next unless it handles that.
        return job.stage == Stage.REDUCE or job.parent is None

    def _failed(self, failure: Failure) -> None:
        self._failures.setdefault(id(failure.error), failure)
        if len(self._failures) > _KEPT_FAILURES:
            del self._failures[next(iter(self._failures))]

    def job_id(self, job: Job) -> str:
        """Return how a job is called in the history."""
        return format_job_id(self.execution_id, job_number(job.number))

    def failure(self, error: BaseException) -> Failure | None:
        """Return where an error comes from, if it comes from a job."""
        return self._failures.get(id(error))


class _CountingReporter(SilentReporter):
    """Counts jobs by status and task, shows failures, and ends with the table of jobs.

    Parameters
    ----------
    stream
        Where to write.
    show_jobs
        Whether to show jobs that do not fail, too.
    """

    def __init__(self, stream: IO[str], show_jobs: bool = False) -> None:
        super().__init__()
        self._stream = stream
        self._show_jobs = show_jobs
        self._palette = Palette(use_colour(stream))
        self._by_task: dict[str, dict[str, int]] = {status: {} for status in STATUSES}
        self._running: dict[Job, None] = {}  # Started and not ended, the oldest first.
        self._shown_failures = 0
        self._retries = 0
        self._next = 0.0

    def job_started(self, job: Job) -> None:
        self._running[job] = None
        if self._show_jobs:
            self._show(RUNNING, job)

    def job_ended(self, job: Job, error: BaseException | None = None) -> None:
        by_task = self._by_task[job.status]
        name = job.evaluation.expr.task_name
        by_task[name] = by_task.get(name, 0) + 1
        self._running.pop(job, None)
        if error is not None:
            super().job_ended(job, error)
        if self._show_jobs and (error is None or job.status == CACHED):
            self._show(job.status, job)

    def job_retried(self, job: Job, error: BaseException, delay: float) -> None:
        self._running.pop(job, None)
        self._retries += 1
        if self._retries <= _MAX_FAILURES:
            again = f"attempt {job.attempt + 1} in {format_duration(delay)}"
            self._show(RETRY, job, f"{error_text(error)}; {again}")
        elif self._retries == _MAX_FAILURES + 1:
            self._write("… further retries are not shown")

    def ended(self, engine: Any, status: str) -> None:
        cancelled = self._by_task[CANCELLED]
        for job in self._running:
            cancelled[job.task_name] = cancelled.get(job.task_name, 0) + 1
        lines = format_job_table(self._by_task, self._palette)
        pending = self._pending(engine)
        if pending > 0:
            lines.append(f"{format_count(pending)} more had not started")
        took = format_duration(engine.elapsed)
        state = self._palette.paint(status, status)
        self._write("", *lines, "", f"Execution {self.execution_id[:8]}  {state}  {took}")

    def _pending(self, engine: Any) -> int:
        ended = sum(sum(by_task.values()) for by_task in self._by_task.values())
        pending: int = engine.total - ended
        return pending

    def _failed(self, failure: Failure) -> None:
        super()._failed(failure)
        if failure.job.status == CACHED:
            return  # An earlier execution has met the error, and handled it.
        self._shown_failures += 1
        if self._shown_failures <= _MAX_FAILURES:
            self._show(FAILED, failure.job, error_text(failure.error))
        elif self._shown_failures == _MAX_FAILURES + 1:
            self._write("… further failures are counted, not shown")

    def _show(self, word: str, job: Job, note: str = "") -> None:
        """Write the line of a job."""
        seconds = None
        if word in (DONE, FAILED) and job.ended and job.started:
            seconds = (job.ended - job.started) / 1_000_000
        line = format_job_line(
            word,
            self.job_id(job),
            call_text(job),
            seconds,
            palette=self._palette,
            note=note,
            width=terminal_width(self._stream),
        )
        self._write(line)

    def _write(self, *lines: str) -> None:
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError):
            pass  # Nobody reads it any more, which is no reason to stop the workflow.


class PlainReporter(_CountingReporter):
    """Writes plain lines: what fails, and from time to time how far the run is.

    A run is watched on a terminal; what goes into a file is read afterwards, when a line for each
    of ten thousand jobs hides the two that matter.  Who wants them can have them.

    Parameters
    ----------
    interval
        Seconds between two summaries.
    """

    def __init__(self, stream: IO[str], interval: float = 20.0, show_jobs: bool = False) -> None:
        super().__init__(stream, show_jobs)
        self._summary_interval = interval

    def started(self, engine: Any, execution_id: str) -> None:
        super().started(engine, execution_id)
        self._next = time.monotonic() + self._summary_interval
        self._write(f"Execution {execution_id}")

    def tick(self, engine: Any) -> None:
        moment = time.monotonic()
        if moment < self._next:
            return
        self._next = moment + self._summary_interval
        self._write(summary(engine))

    def draining(self, engine: Any) -> None:
        self._write(waiting_line(engine))


class TerminalReporter(_CountingReporter):
    """Keeps one live line at the bottom of the terminal.

    Parameters
    ----------
    line
        The live line.
    """

    interval = REDRAW_INTERVAL

    def __init__(self, line: LiveLine, show_jobs: bool = False) -> None:
        super().__init__(line.stream, show_jobs)
        self._line = line
        self._note = ""
        self._samples: deque[tuple[float, int]] = deque()

    def started(self, engine: Any, execution_id: str) -> None:
        super().started(engine, execution_id)
        self._next = time.monotonic() + REDRAW_INTERVAL

    def tick(self, engine: Any) -> None:
        moment = time.monotonic()
        if moment < self._next:
            return
        self._next = moment + REDRAW_INTERVAL
        text = summary(engine, self._rate(moment))
        longest = self._longest()
        if longest is not None:
            text += f"   {longest}"
        self._line.draw(self._note + text)

    def draining(self, engine: Any) -> None:
        self._note = f"stopping ({_way_out(engine)}): "
        self._next = 0.0

    def ended(self, engine: Any, status: str) -> None:
        self._line.erase()
        super().ended(engine, status)

    def _rate(self, moment: float) -> float:
        """Return how many jobs ended per second of late."""
        samples = self._samples
        samples.append((moment, sum(sum(counts.values()) for counts in self._by_task.values())))
        while len(samples) > 2 and moment - samples[0][0] > _RATE_WINDOW:
            samples.popleft()
        (first, before), (last, after) = samples[0], samples[-1]
        return (after - before) / (last - first) if last > first else 0.0

    def _longest(self) -> str | None:
        """Return the call that has run for the longest time."""
        for job in islice(self._running, _MAX_SEARCHED):
            if job.children is None:  # Else it only waits for those it led to.
                seconds = time.time() - job.started / 1_000_000
                return f"{call_text(job)} {format_duration(max(seconds, 0.0))}"
        return None


def call_text(job: Job) -> str:
    """Return the call of a job, with the arguments if they fit its task."""
    if job.task is None or len(job.names) != len(job.values):
        return format_call(job.task_name, None)
    arguments = zip(job.names, map(format_value, job.values))
    return format_call(job.task_name, arguments)


def error_text(error: BaseException) -> str:
    """Return an error as one line."""
    name = type(error).__name__
    if isinstance(error, ScriptError):
        return format_script_error(name, error.message, error.stderr)
    return format_error(name, message_of(error))


def summary(engine: Any, rate: float | None = None) -> str:
    """Return how many jobs there are of each status, and how fast they end."""
    counts = engine.counts
    words = [
        f"{format_count(counts[status])} {status.lower()}"
        for status in (DONE, CACHED, RUNNING, FAILED)
        if counts[status] or status in (DONE, RUNNING)
    ]
    text = f"{', '.join(words)} of {format_count(engine.total)}"
    if rate is not None:
        text += f"   {rate:,.0f}/s" if rate >= 10 or not rate else f"   {rate:.1f}/s"
    return f"{text}   {format_duration(engine.elapsed)}"


def waiting_line(engine: Any) -> str:
    """Return what is said when no more jobs start, and those that run are waited for."""
    running = engine.counts[RUNNING]
    jobs = f"{format_count(running)} running job{'' if running == 1 else 's'}"
    return f"stopping: waiting for {jobs} ({_way_out(engine)})"


def _way_out(engine: Any) -> str:
    # The first Ctrl-C asks to stop, which a failure has done already.
    return f"Ctrl-C {'twice' if engine.failed else 'again'} leaves at once"


# The live line


class LiveLine:
    """A line at the bottom of the terminal that is drawn over and over.

    Use it as a context manager: while it lasts, what is written to `sys.stdout` and `sys.stderr`
    goes above it.  Loggers that keep hold of these streams longer do no harm.

    Parameters
    ----------
    stream
        The terminal.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._terminal = stream
        self._lock = threading.RLock()
        self._is_shown = False
        self._at_start = True  # Whether the cursor is where a line starts.
        self._pid = os.getpid()
        self._originals: tuple[Any, Any] | None = None
        self.stream: IO[str] = _Above(stream, self)  # type: ignore[assignment]

    def __enter__(self) -> LiveLine:
        self._originals = (sys.stdout, sys.stderr)
        if sys.stdout is not None and sys.stdout.isatty():
            sys.stdout = _Above(sys.stdout, self)
        sys.stderr = self.stream
        return self

    def __exit__(self, *_: object) -> None:
        self.erase()
        if self._originals is not None:
            sys.stdout, sys.stderr = self._originals

    def draw(self, text: str) -> None:
        """Draw the line anew, unless the cursor is within a line of the user's."""
        with self._lock:
            if self._at_start:
                self._is_shown = True
                columns = terminal_width(self._terminal) or 80
                self._put(f"\r{clip(text, columns - 1)}\x1b[K")

    def erase(self) -> None:
        """Take the line away."""
        with self._lock:
            if self._is_shown:
                self._is_shown = False
                self._put("\r\x1b[K")

    def _put(self, text: str) -> None:
        try:
            self._terminal.write(text)
            self._terminal.flush()
        except (OSError, ValueError):
            pass  # The terminal is gone, which is no reason to stop the workflow.

    def write_above(self, stream: IO[str], text: str) -> int:
        """Write to a stream that shows on the same terminal."""
        if os.getpid() != self._pid:
            # A forked worker knows neither the lock's holder nor what is on the screen.
            start, self._at_start = self._at_start, text.endswith("\n")
            return stream.write(f"\r\x1b[K{text}" if start and text else text)
        with self._lock:
            self.erase()
            if text:
                self._at_start = text.endswith("\n")
            return stream.write(text)


class _Above:
    """A text stream on the terminal that a live line is on; all but writing is the stream's own."""

    def __init__(self, stream: IO[str], line: LiveLine) -> None:
        self._stream = stream
        self._line = line

    def write(self, text: str) -> int:
        return self._line.write_above(self._stream, text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
