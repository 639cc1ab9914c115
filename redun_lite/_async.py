"""Async tasks: coroutines on one event-loop thread, which the engine feeds.

`await expr` in a task hands the expression to the engine, as a child of the task's job, and the
coroutine sleeps until its value is there.  A waiting coroutine costs no thread, so ten thousand may
wait for each other's children; with a thread each they would starve of threads, and deadlock.

The loop's thread and the engine's talk like all others: into the engine by its inbox, and back by
`call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._errors import without_our_frame
from ._expr import Expression, awaiter
from ._job import Notice
from ._timers import now

if TYPE_CHECKING:
    from ._job import Job
    from ._promise import Promise

T = TypeVar("T")

STOP_TIMEOUT = 1.0
"""Seconds that coroutines have to end once they are cancelled at the very end."""


class EventLoopThread:
    """A thread that runs the coroutines of async tasks; it starts with the first."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._given_up: set[Job] = set()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="redun_lite-async", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[T], None], argument: T) -> None:
        """Have a function called in the thread, from any other."""
        self._loop.call_soon_threadsafe(function, argument)

    def submit(self, job: Job) -> None:
        """Start the coroutine of a job."""
        self.call(self._start, job)

    def cancel(self, job: Job) -> None:
        """Raise `asyncio.CancelledError` in the coroutine of a job."""
        self.call(self._cancel, job)

    def stop(self) -> None:
        """Cancel what still runs, and end the thread, if no coroutine keeps it from that."""
        self._is_stopping = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_TIMEOUT)

    # In the loop's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._is_stopping:
            try:
                self._loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                pass  # Raised by a coroutine; who awaits that gets it, and the others go on.
        try:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            rest = asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True)
            self._loop.run_until_complete(rest)
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    def _start(self, job: Job) -> None:
        self._tasks[job] = self._loop.create_task(self._work(job))

    def _cancel(self, job: Job) -> None:
        task = self._tasks.get(job)
        if task is not None:
            self._given_up.add(job)
            task.cancel()

    async def _work(self, job: Job) -> None:
        task = job.task
        assert task is not None and job.options is not None

        def wait_for(expr: Expression[Any]) -> Generator[Any, None, Any]:
            future = self._loop.create_future()
            job.run.complete(job, _Await(self, expr, future), None)
            return future.__await__()

        awaiter.set(wait_for)
        if job.options.timeout is not None:
            job.run.began(job)
        job.started = now()
        try:
            result = await task.func(*job.args, **job.kwargs or {})
        except BaseException as error:
            if job in self._given_up and isinstance(error, asyncio.CancelledError):
                job.run.complete(job, _CoroutineCancelled(), None)
            else:
                job.run.complete(job, None, without_our_frame(error))
        else:
            job.run.complete(job, result, None)
        finally:
            self._tasks.pop(job, None)
            self._given_up.discard(job)


class _Await(Notice):
    """A coroutine waits for the value of an expression."""

    __slots__ = ("_engine", "_expr", "_future", "_job", "_thread")

    def __init__(
        self, thread: EventLoopThread, expr: Expression[Any], future: asyncio.Future[Any]
    ) -> None:
        self._thread = thread
        self._expr = expr
        self._future = future
        self._engine: Any = None
        self._job: Any = None

    def deliver(self, engine: Any, job: Job) -> None:
        if engine.is_interrupted:
            self._thread.cancel(job)
            return
        self._engine, self._job = engine, job
        engine.dispatcher.awaiting[job] = engine.dispatcher.awaiting.get(job, 0) + 1
        engine.evaluator.evaluate(self._expr, job).add_waiter(self)

    def on_settled(self, promise: Promise[Any]) -> None:
        awaiting = self._engine.dispatcher.awaiting
        if awaiting.get(self._job, 0) > 1:
            awaiting[self._job] -= 1
        else:
            awaiting.pop(self._job, None)
        self._thread.call(self._settle, promise)

    def _settle(self, promise: Promise[Any]) -> None:
        future = self._future
        if future.done():
            return  # The coroutine was cancelled.
        error = promise.error
        if error is None:
            future.set_result(promise.value)
        elif isinstance(error, StopIteration):
            future.set_exception(RuntimeError(f"a task raised {error!r}"))  # It would end a loop.
        else:
            future.set_exception(error)


class _CoroutineCancelled(Notice):
    """A coroutine ended since it was cancelled from here."""

    __slots__ = ()

    def deliver(self, engine: Any, job: Job) -> None:
        engine.dispatcher.cancelled(job)
