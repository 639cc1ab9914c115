"""A pool of worker processes that outlives the death of any of them.

One thread, the dispatcher, owns the workers and talks to each over a pipe of its own.  (A queue
shared by all would be simpler, but a worker that is killed while it holds the queue's lock takes
the others with it; `concurrent.futures` gives up its whole pool for that reason.)

A worker is sent as many jobs ahead as it has lately finished in `AHEAD` seconds, so that small
jobs do not wait for the dispatcher's turn at the interpreter lock.  In memory that they share, it
notes which job it starts.  So when it dies, that job fails and those behind it go to others; and
when it takes long over one, the dispatcher takes back those behind by lowering the number up to
which it may go.

Jobs travel as the name of their task and pickled arguments.  A forked worker has the parent's
tasks; one that was spawned, or forked before a task was defined, imports the task's module, by path
if it has no importable name.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Callable

from ._backlog import Backlog
from ._digest import is_flat
from ._errors import (
    ExecutorError,
    RedunLiteError,
    ResultError,
    UnknownTask,
    WorkerDied,
    unpicklable,
)
from ._expr import TaskExpression, dumps_expr, loads_expr, topological_order
from ._record import (
    REMOTE_TRACEBACK,
    format_traceback,
    message_of,
    storable_error,
    title_of,
    trim_traceback,
)
from ._shell import GRACE
from ._task import get_task_registry
from ._timers import now

if TYPE_CHECKING:
    from ._job import Job

AHEAD = 0.02
"""Seconds of work that a worker is given ahead."""

MAX_AHEAD = 64
"""Most jobs that a worker is given ahead."""

MAX_BYTES_AHEAD = 32_768
"""Most bytes of arguments that a worker is given ahead: what the buffer of its pipe has room for.

With more, the dispatcher could come to wait for the worker to read while the worker waits for the
dispatcher to read its answer.
"""

MAX_STILLBORN = 3
"""Workers in a row that may die before they begin a job."""

RECALL_INTERVAL = 0.1
"""Seconds after which jobs behind a long one are taken back, if others are idle."""

DEATH_INTERVAL = 0.5
"""Seconds after which a silent worker is looked at, whose death a process that it started hides."""

ORPHAN_INTERVAL = 0.5
"""Seconds between two looks of a worker at whether its parent is still there."""

RESTART_INTERVAL = 1.0
"""Seconds without another worker after one could not be started: memory or processes ran short."""

_PREFIX = "redun_lite-"  # Of the names of processes.

# What a worker answers about a job.
_RESULT, _ERROR, _UNKNOWN, _SKIPPED, _BEGUN = range(5)


class ProcessPool:
    """Runs jobs in processes.

    Parameters
    ----------
    name
        Name of the executor, for the processes' names.
    max_workers
        Most processes at a time; they are started as they are needed.
    start_method
        "fork", "spawn" or "forkserver".
    """

    def __init__(self, name: str, max_workers: int, start_method: str) -> None:
        self._name = name
        self._max_workers = max_workers
        self._fork = start_method == "fork"
        self._context: Any = multiprocessing.get_context(start_method)
        self._backlog = Backlog()
        self._overdue: deque[Job] = deque()  # Running, and to be killed.
        self._workers: list[_Worker] = []
        self._next_start = 0.0  # When another worker may be started, by the monotonic clock.
        self._wake_receiver, self._wake_sender = os.pipe()
        os.set_blocking(self._wake_sender, False)
        self._asleep = False
        self._stopping = False
        self._stillborn = 0
        self._last_packed: tuple[Job | None, bytes] = (None, b"")
        self._thread = threading.Thread(
            target=self._dispatch, name=f"redun_lite-{name}", daemon=True
        )
        self._thread.start()

    def submit(self, job: Job) -> None:
        self._backlog.put(job)
        if self._asleep:
            self._wake()

    def withdraw(self) -> list[Job]:
        return self._backlog.clear()

    def waiting(self) -> int:
        # Of the jobs that a worker has, it runs one.
        ahead = sum(max(len(worker.sent) - 1, 0) for worker in list(self._workers))
        return len(self._backlog) + ahead

    def abandon(self, job: Job) -> str:
        self._overdue.append(job)
        self._wake()
        return "its process was killed"

    def interrupt(self, job: Job) -> None:
        for worker in list(self._workers):
            worker.tell_unwanted(job)

    def stop(self) -> None:
        self._stopping = True
        self._wake()
        self._thread.join()
        os.close(self._wake_receiver)
        os.close(self._wake_sender)

    def _wake(self) -> None:
        self._asleep = False
        try:
            os.write(self._wake_sender, b"x")
        except BlockingIOError:
            pass  # It is full of wake-ups.

    # The dispatcher

    def _dispatch(self) -> None:
        while not self._stopping:
            try:
                self._kill_overdue()
                self._feed()
                self._listen()
            except Exception as error:  # Whatever it is, jobs must not be waited for in vain.
                self._give_up(repr(error))
        self._kill_overdue()
        for worker in self._workers:
            worker.stop()

    def _give_up(self, reason: str) -> None:
        """Fail all jobs that are waiting or running."""
        self._stillborn = 0
        jobs = self._backlog.clear()
        for worker in self._workers:
            jobs += worker.sent.values()
            worker.kill()
        self._workers = []
        for job in jobs:
            job.run.complete(job, None, ExecutorError(f"executor {self._name!r}: {reason}"))

    def _kill_overdue(self) -> None:
        """Kill the workers whose jobs have run for too long."""
        while self._overdue:
            job = self._overdue.popleft()
            for worker in list(self._workers):
                index = worker.index_of(job)
                if index is None:
                    continue
                # Else it might go on to another job just now, and that would be killed.
                for other in reversed(worker.take_back()):
                    self._backlog.put_back(other)
                if worker.ends_with(index):
                    worker.give_up(index)
                    worker.process.kill()
                    self._bury(worker)

    def _feed(self) -> None:
        """Send jobs to the workers, those with the fewest first; start workers if all are busy."""
        while self._backlog:
            open_workers = [worker for worker in self._workers if worker.room > 0]
            worker = min(open_workers, key=lambda worker: len(worker.sent), default=None)
            if (worker is None or worker.sent) and self._may_grow():
                worker = self._grow() or worker
            if worker is None:
                return
            # All workers get their share of what there is before one gets much.
            share = -(-len(self._backlog) // len(self._workers))
            self._send(worker, min(worker.room, share))

    def _send(self, worker: _Worker, count: int) -> None:
        messages = []
        is_busy = bool(worker.sent)
        for _ in range(count):
            job = self._backlog.take()
            if job is None:  # All sent, or withdrawn in the meantime.
                break
            if self._is_outdated(worker):
                if worker.sent:
                    self._backlog.put_back(job)
                    worker.capacity = 0  # No more for it: it is replaced once it is done.
                    break
                self._replace(worker)
                self._backlog.put_back(job)
                return
            try:
                data = self._packed(job)
            except Exception as error:  # Whatever it is, it is this job's.
                job.run.complete(job, None, error)
                continue
            if is_busy and worker.load + len(data) > MAX_BYTES_AHEAD:
                self._backlog.put_back(job)
                worker.capacity = len(worker.sent)  # No more before its next answer.
                break
            messages.append(worker.take(job, data))
        if messages:
            try:
                worker.connection.send_bytes(pickle.dumps(messages, pickle.HIGHEST_PROTOCOL))
            except OSError:
                self._bury(worker)

    def _packed(self, job: Job) -> bytes:
        """Return the pickled arguments of a job, which may have been packed for another worker."""
        packed, data = self._last_packed
        if packed is not job:
            data = dumps_expr((job.args, job.kwargs or {}))
            self._last_packed = (job, data)
        return data

    def _listen(self) -> None:
        """Wait for answers, deaths and new jobs."""
        self._asleep = True
        if self._stopping or (self._backlog and self._can_send()):
            self._asleep = False  # It came between feeding and lying down.
            return
        recallable = any(len(worker.sent) > 1 for worker in self._workers)
        sources: list[Any] = [self._wake_receiver]
        for worker in self._workers:
            sources += [worker.connection, worker.process.sentinel]
        timeout = RECALL_INTERVAL if recallable else DEATH_INTERVAL
        events = wait(sources, timeout if any(worker.sent for worker in self._workers) else None)
        self._asleep = False
        if self._wake_receiver in events:
            os.read(self._wake_receiver, 65536)
        for worker in list(self._workers):
            if worker not in self._workers:
                continue  # All were given up.
            if worker.connection in events:
                self._hear(worker)
            elif worker.process.sentinel in events or not (events or worker.process.is_alive()):
                self._bury(worker)
        if recallable and not self._backlog:
            self._recall()

    def _can_send(self) -> bool:
        return self._may_grow() or any(worker.room > 0 for worker in self._workers)

    def _hear(self, worker: _Worker) -> None:
        """Take a worker's answers."""
        try:
            answers, seconds = pickle.loads(worker.connection.recv_bytes())
        except (EOFError, OSError):
            self._bury(worker)
            return
        worker.heard = time.monotonic()
        self._take_answers(worker, answers)
        if answers:
            self._stillborn = 0
        ended = sum(kind != _BEGUN for _, kind, _, _ in answers)
        if ended:
            pace = seconds / ended
            worker.capacity = max(1, min(MAX_AHEAD, int(AHEAD / max(pace, 1e-6))))
        if not worker.sent and self._backlog and self._is_outdated(worker):
            self._replace(worker)

    def _take_answers(self, worker: _Worker, answers: list[tuple[int, int, int, Any]]) -> None:
        for index, kind, started, data in answers:
            if kind == _BEGUN:
                if index in worker.sent:
                    worker.sent[index].run.began(worker.sent[index])
                continue
            job = worker.give_up(index)
            if job is None:
                continue  # It was taken back.
            if kind == _SKIPPED:
                self._backlog.put(job)
            else:
                job.started = started
                self._pass_on(job, kind, data)

    def _pass_on(self, job: Job, kind: int, data: Any) -> None:
        error: BaseException | None = None
        result = None
        try:
            if kind == _RESULT:
                result = loads_expr(data)
                _check_is_known(result)
            elif kind == _UNKNOWN:
                error = ExecutorError(data)
            else:
                error = _load_error(*data)
        except UnknownTask as unknown:
            error = UnknownTask(
                f"{unknown}: {job.task_name}, which returned it, ran in a worker process, and only "
                "that has it; define it at the top level of a module that is imported here too"
            )
        except Exception as failure:
            title = title_of(job.task_name, job.args)
            error = ResultError(f"the result of {title} cannot be loaded: {failure}")
        job.run.complete(job, None if error else result, error)

    def _recall(self) -> None:
        """Take jobs back from workers that are long over one, if others have nothing to do."""
        if self._may_grow() or any(not worker.sent for worker in self._workers):
            for worker in self._workers:
                if len(worker.sent) > 1 and time.monotonic() - worker.heard >= RECALL_INTERVAL:
                    for job in worker.take_back():
                        self._backlog.put(job)

    def _may_grow(self) -> bool:
        return len(self._workers) < self._max_workers and time.monotonic() >= self._next_start

    def _grow(self) -> _Worker | None:
        """Start a worker; return None if that cannot be, and there are others to go on with."""
        try:
            return self._start_worker()
        except OSError:
            if not self._workers:
                raise
            self._next_start = time.monotonic() + RESTART_INTERVAL
            return None

    def _start_worker(self) -> _Worker:
        worker = _Worker(self._context, self._name, [other.connection for other in self._workers])
        self._workers.append(worker)
        return worker

    def _is_outdated(self, worker: _Worker) -> bool:
        """Say whether tasks were defined since a worker was forked."""
        return self._fork and worker.registry_version != get_task_registry().version

    def _replace(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.stop()

    def _bury(self, worker: _Worker) -> None:
        """Fail the job that a dead worker was running; others get those that it had not begun."""
        self._drain_answers(worker)
        self._workers.remove(worker)
        worker.process.join()
        death = _describe_death(worker.process.exitcode)
        running = worker.running
        for index, job in sorted(worker.sent.items(), reverse=True):
            if index == running:
                message = f"the process that ran {title_of(job.task_name, job.args)} {death}"
                job.run.complete(job, None, WorkerDied(message))
            else:
                self._backlog.put_back(job)
        worker.connection.close()
        if running < 0:
            self._stillborn += 1
            if self._stillborn >= MAX_STILLBORN:
                self._give_up(
                    f"its processes cannot start, the last {death}; under start_method spawn, "
                    "a script needs `if __name__ == '__main__':` around what runs workflows"
                )

    def _drain_answers(self, worker: _Worker) -> None:
        try:
            while worker.connection.poll():
                answers, _ = pickle.loads(worker.connection.recv_bytes())
                self._take_answers(worker, answers)
        except (EOFError, OSError, pickle.UnpicklingError):
            pass


class _Worker:
    """The dispatcher's side of a worker process.

    Attributes
    ----------
    sent
        Jobs that it has and has not answered, by their index among all it was ever sent.
    load
        Bytes of their arguments.
    capacity
        How many it should have at most.
    """

    def __init__(self, context: Any, name: str, others: Sequence[Connection]) -> None:
        self.registry_version = get_task_registry().version
        self.sent: dict[int, Job] = {}
        self.load = 0
        self.capacity = 1
        self._sizes: dict[int, int] = {}
        self.heard = time.monotonic()
        self._next = 0
        # The index started, the limit, and the index of a job that nobody waits for any more.
        self._board = context.RawArray("q", [-1, sys.maxsize, -1])
        self.connection, theirs = context.Pipe()
        inherited = [self.connection, *others] if context.get_start_method() == "fork" else []
        self.process = context.Process(
            target=_work,
            args=(theirs, self._board, inherited, sys.path),
            name=f"redun_lite-{name}",
            daemon=True,
        )
        try:
            with warnings.catch_warnings():
                # Python warns of forking beside threads, which may hold locks.  The child only runs
                # the loop below, and touches nothing of this process but the registry of tasks.
                warnings.simplefilter("ignore", DeprecationWarning)
                self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()

    @property
    def room(self) -> int:
        """How many jobs more it may be sent."""
        return self.capacity - len(self.sent)

    @property
    def running(self) -> int:
        """Index of the job that it started last."""
        return int(self._board[0])

    def tell_unwanted(self, job: Job) -> None:
        """Let a job, if it is here and asks, know that nobody waits for it any more.

        Called from any thread, so that it knows as soon as whoever called does.
        """
        for index, sent in list(self.sent.items()):
            if sent is job:
                self._board[2] = index

    def index_of(self, job: Job) -> int | None:
        """Return the index of a job that it has; None if it has not."""
        return next((index for index, sent in self.sent.items() if sent is job), None)

    def ends_with(self, index: int) -> bool:
        """Say whether, of the jobs it was sent, it begins none after a certain one."""
        return bool(self._board[1] == index + 1)

    def take(self, job: Job, data: bytes) -> tuple[Any, ...]:
        """Count a job as sent, and return the message that says it."""
        task = job.task
        assert task is not None
        if not self.sent:
            self.heard = time.monotonic()
        index = self._next
        self._next += 1
        self.sent[index] = job
        self._sizes[index] = len(data)
        self.load += len(data)
        is_timed = job.options is not None and job.options.timeout is not None
        call = (task.fullname, task.key, task.load_module, task.defined_in, data)
        return (index, is_timed, *call)

    def give_up(self, index: int) -> Job | None:
        """Count a job as no longer sent, and return it; None if it was not."""
        job = self.sent.pop(index, None)
        if job is not None:
            self.load -= self._sizes.pop(index)
        return job

    def take_back(self) -> list[Job]:
        """Return the jobs that it has not begun, and keep it from beginning them."""
        running = self.running
        self._board[1] = running + 1
        begun = max(running, self.running)  # It may just have begun, or skipped, another one.
        jobs = [job for index in list(self.sent) if index > begun and (job := self.give_up(index))]
        try:
            # What it is sent from here on has higher numbers than what it must skip.
            self.connection.send_bytes(pickle.dumps(("resume", self._next)))
        except OSError:
            pass  # It is dead, as will be noticed.
        self.capacity = 1
        return jobs

    def stop(self) -> None:
        """Let it end after what it is running."""
        try:
            self.connection.send_bytes(b"")
        except OSError:
            pass
        self.connection.close()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.connection.close()


def _check_is_known(result: Any) -> None:
    """Raise an `UnknownTask` if a result from a worker has a call of a task that is not here."""
    if is_flat(result):
        return
    registry = get_task_registry()
    for expr in topological_order(result):
        if isinstance(expr, TaskExpression) and registry.get(expr.task_name) is None:
            raise UnknownTask(f"there is no task {expr.task_name} here")


def _end_busy() -> None:
    """End the workers that are still busy when this process ends, also those that ignore SIGTERM.

    `multiprocessing` would wait for them.
    """
    busy = [child for child in multiprocessing.active_children() if child.name.startswith(_PREFIX)]
    for process in busy:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in busy:
        process.join(max(deadline - time.monotonic(), 0))
        if process.is_alive():
            process.kill()


atexit.register(_end_busy)  # Called before what `multiprocessing.connection` has registered.


def _describe_death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        try:
            name = signal.Signals(-exitcode).name
        except ValueError:
            name = f"signal {-exitcode}"
        hint = ", perhaps because memory ran out" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"
    return f"ended with exit status {exitcode} before the task returned"


# In the worker process


def _work(
    connection: Connection, board: Any, inherited: Sequence[Connection], path: list[str]
) -> None:
    """Run jobs until told to stop, or until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle.
    # Tasks may start processes of their own, which is not for the daemons of multiprocessing.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    for other in inherited:
        other.close()  # Else the pipe would stay open when the parent dies.
    sys.path[:] = path
    global _board
    _board = board
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    outbox = _Outbox(connection)
    try:
        while True:
            data = connection.recv_bytes()
            if not data:
                break
            messages = pickle.loads(data)
            if messages[0] == "resume":
                board[1] = sys.maxsize
                continue
            _run_jobs(outbox, board, messages)
    except (EOFError, OSError, KeyboardInterrupt):
        pass
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(0)  # The parent's open files and exit handlers are not ours to run.


def _end_with_parent(parent: int) -> None:
    """End this process soon after the one that it works for, also in the middle of a job.

    It asks from time to time, and in two ways: a pipe that would close with that process may be
    held open by another one that was forked from it, and under "forkserver" it is no parent.
    """
    served = multiprocessing.parent_process()
    while os.getppid() == parent and (served is None or served.is_alive()):
        time.sleep(ORPHAN_INTERVAL)
    os._exit(1)


_board: Any = None  # In a worker, what it shares with its parent.


def is_wanted() -> bool:
    """Say whether somebody still waits for the job that this process runs.

    For jobs that last: where this process is no worker, they are.
    """
    return _board is None or _board[2] != _board[0]


def _run_jobs(outbox: _Outbox, board: Any, messages: list[tuple[Any, ...]]) -> None:
    """Run jobs in order, and answer."""
    outbox.start()
    for index, is_timed, fullname, key, module, file, data in messages:
        # First said, then asked, while `take_back` first forbids and then looks: so no job runs
        # here and is taken back, and one that neither side has is answered as skipped.
        board[0] = index
        if index >= board[1]:
            outbox.add((index, _SKIPPED, 0, None))
            continue
        outbox.watch()
        started = now()
        begins = partial(_say_begun, outbox, index) if is_timed else None
        kind, payload = _run_job(fullname, key, module, file, data, begins)
        outbox.add((index, kind, started, payload))
    outbox.send()


class _Outbox:
    """What a worker has to answer, sent together every few milliseconds.

    What is waiting here when a job begins must not wait for that job to end, which may be in an
    hour.  So a thread sends what has been waiting too long.  It is started when it is first
    needed: a worker whose jobs all take long never has anything waiting, and stays without.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._answers: list[tuple[int, int, int, Any]] = []
        self._last = 0.0
        self._is_watched = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Measure the pace from here on."""
        self._last = time.perf_counter()

    def add(self, answer: tuple[int, int, int, Any]) -> None:
        """Take an answer; send all there are, if the last were sent some time ago."""
        with self._lock:
            self._answers.append(answer)
        if time.perf_counter() - self._last >= AHEAD / 4:
            self.send()

    def send(self) -> None:
        """Send what there is."""
        with self._lock:
            if self._answers:
                moment = time.perf_counter()
                data = pickle.dumps((self._answers, moment - self._last))
                self._connection.send_bytes(data)
                self._answers = []
                self._last = moment

    def watch(self) -> None:
        """See to it that what there is will be sent soon, whatever this thread does."""
        if self._answers and not self._is_watched.is_set():
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
            self._is_watched.set()

    def _watch(self) -> None:
        try:
            while True:
                self._is_watched.wait()
                time.sleep(AHEAD / 4)
                self._is_watched.clear()
                self.send()
        except OSError:
            pass  # The parent is gone.


def _say_begun(outbox: _Outbox, index: int) -> None:
    outbox.add((index, _BEGUN, 0, None))
    outbox.send()


def _run_job(
    fullname: str,
    key: bytes,
    module: str,
    file: str,
    data: bytes,
    begins: Callable[[], None] | None,
) -> tuple[int, Any]:
    """Run one job; return the kind of answer and its data.

    `begins` is called once all that the function needs is loaded, which may take a while.
    """
    try:
        task = load_task(fullname, key, module, file)
    except Exception as error:
        return _UNKNOWN, f"a worker process cannot load task {fullname}: {error}"
    try:
        args, kwargs = loads_expr(data)
        if begins is not None:
            begins()
        result = task.func(*args, **kwargs)
    except BaseException as error:
        return _ERROR, _dump_error(error)
    try:
        return _RESULT, dumps_expr(result)
    except RedunLiteError as error:
        title = title_of(fullname, args)
        return _ERROR, _dump_error(ResultError(f"result of {title}: {error}"))


def load_task(fullname: str, key: bytes, module: str, file: str) -> Any:
    registry = get_task_registry()
    task = registry.get(fullname)
    if task is None or task.key != key:
        _import_module(module, file)
        task = registry.get(fullname)
    if task is None:
        raise ExecutorError(
            f"importing {module} ({file}) does not define it; a task that runs in another process "
            "is defined at the top level of its module, not inside of a function"
        )
    if task.key != key:
        raise ExecutorError(f"{file} has changed since the run began")
    return task


def _import_module(name: str, file: str) -> None:
    """Import a module by name, or from its file if the name leads elsewhere or nowhere."""
    from importlib import import_module
    from importlib.util import module_from_spec, spec_from_file_location

    if name not in sys.modules and name != "__main__":
        try:
            found = import_module(name)
            if getattr(found, "__file__", None) == file or not os.path.exists(file):
                return
        except ImportError:
            pass
    elif getattr(sys.modules.get(name), "__file__", None) == file:
        return
    if not os.path.exists(file):
        raise ExecutorError(f"there is no file {file}")
    spec = spec_from_file_location("__mp_main__" if name == "__main__" else name, file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def _dump_error(error: BaseException) -> tuple[bytes, str, str, str]:
    """Return an error pickled if it can be, and in words."""
    sent = storable_error(trim_traceback(error))
    text = format_traceback(sent if type(sent) is type(error) else error)
    return dumps_expr(sent), type(error).__qualname__, message_of(error), text


def _load_error(data: bytes, name: str, message: str, text: str) -> BaseException:
    try:
        error: BaseException = loads_expr(data)
    except Exception:  # Its class is known to the worker only.
        error = unpicklable(name, message)
    setattr(error, REMOTE_TRACEBACK, text)
    return error
