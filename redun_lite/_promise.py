"""Promises: the results that are still to come.

A promise that settles never calls into what waits for it: it only tells each waiter, which takes
note and, once it has all it needs, puts itself on the promise's queue.  Whoever owns the queue
(the engine's loop) resumes it from there.  So a chain of a hundred thousand promises settles in a
loop, not in a hundred thousand nested calls, and a waiter may be as large as a job or as small as
one callback without either paying for the other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Callable, Generic, Protocol, TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


class Resumable(Protocol):
    """What stands in a queue."""

    def resume(self) -> None: ...


class Waiter(Protocol):
    """What waits for promises."""

    def on_settled(self, promise: Promise[Any]) -> None:
        """Take note of a settled promise.  Must be short and must not run users' code."""


class Queue(Protocol):
    """Where promises put what can go on."""

    def append(self, item: Any, /) -> None: ...


class _Trampoline(threading.local):
    """The queue of promises that no loop owns: runs what is put there, one after the other.

    All of them share it, each thread having its own: with a queue each, two would run each other.
    """

    def __init__(self) -> None:
        self._items: deque[Resumable] = deque()
        self._running = False

    def append(self, item: Resumable) -> None:
        self._items.append(item)
        if self._running:
            return
        self._running = True
        try:
            while self._items:
                self._items.popleft().resume()
        finally:
            self._running = False


_trampoline = _Trampoline()


class Promise(Generic[T]):
    """A value that will be there later, or the error that came instead.

    Parameters
    ----------
    func
        Called at once with two functions, of which one settles the promise with a value and the
        other with an error; so does what it raises.
    queue
        Where those who wait are put once the promise settles; by default they are resumed at
        once, or if that is in a callback, after it.

    Examples
    --------
    >>> promise = Promise()
    >>> doubled = promise.then(lambda value: value * 2)
    >>> promise.fulfil(21)
    >>> doubled.value
    42
    """

    __slots__ = ("_error", "_queue", "_settled", "_value", "_waiters")

    def __init__(
        self,
        func: Callable[[Callable[[T], T], Callable[[E], E]], object] | None = None,
        queue: Queue | None = None,
    ) -> None:
        self._queue: Queue = _trampoline if queue is None else queue
        self._settled = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiters: list[Waiter] | None = None
        if func is not None:
            try:
                func(self.do_resolve, self.do_reject)
            except Exception as error:
                self.reject(error)

    @property
    def is_settled(self) -> bool:
        """Whether the value or the error is there."""
        return self._settled

    @property
    def is_pending(self) -> bool:
        """Whether neither is there."""
        return not self._settled

    @property
    def is_fulfilled(self) -> bool:
        """Whether the value is there."""
        return self._settled and self._error is None

    @property
    def is_rejected(self) -> bool:
        """Whether the error is there."""
        return self._error is not None

    @property
    def value(self) -> T:
        """The value; raises the error of a rejected promise."""
        if self._error is not None:
            raise self._error
        if not self._settled:
            raise RuntimeError("the promise has no value yet")
        value: T = self._value
        return value

    @property
    def error(self) -> BaseException | None:
        """The error of a rejected promise, else None."""
        return self._error

    def fulfil(self, value: T) -> None:
        """Settle with a value; of no effect on a settled promise."""
        if self._settled:
            return
        self._settled = True
        self._value = value
        self._tell()

    def reject(self, error: BaseException) -> None:
        """Settle with an error; of no effect on a settled promise."""
        if self._settled:
            return
        self._settled = True
        self._error = error
        self._tell()

    def do_resolve(self, result: T) -> T:
        """Settle with a value, and return it."""
        self.fulfil(result)
        return result

    def do_reject(self, error: E) -> E:
        """Settle with an error, and return it."""
        self.reject(error)
        return error

    def _tell(self) -> None:
        waiters = self._waiters
        if waiters is not None:
            self._waiters = None
            for waiter in waiters:
                waiter.on_settled(self)

    def add_waiter(self, waiter: Waiter) -> None:
        """Tell `waiter` when the promise settles, or at once if it has."""
        if self._settled:
            waiter.on_settled(self)
        elif self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)

    def then(
        self,
        resolver: Callable[[T], Any] | None = None,
        rejector: Callable[[BaseException], Any] | None = None,
    ) -> Promise[Any]:
        """Return the promise of what the callback for this promise's outcome returns.

        A callback that returns a promise is waited for; one that raises rejects.  Without a
        callback for it, the outcome is passed on.

        Parameters
        ----------
        resolver
            Called with the value, once it is there.
        rejector
            Called with the error that came instead.
        """
        continued = _Continuation(self, resolver, rejector)
        self.add_waiter(continued)
        return continued

    def catch(self, rejector: Callable[[BaseException], Any]) -> Promise[Any]:
        """Return the promise of what `rejector` makes of an error."""
        return self.then(None, rejector)

    @classmethod
    def all(cls, subpromises: Iterable[Promise[Any]], queue: Queue | None = None) -> Promise[Any]:
        """Return the promise of the list of all values, or of the error that came first.

        >>> Promise.all([]).value
        []
        """
        return _All(queue, list(subpromises))

    def sources(self) -> Iterable[Promise[Any]]:
        """Return the promises that this one is made of."""
        return ()

    def _follow(self, outcome: Any) -> None:
        """Settle as `outcome` does, if that is a promise, else with it."""
        if outcome is self:
            self.reject(RuntimeError("a promise cannot wait for itself"))
        elif isinstance(outcome, Promise):
            outcome.add_waiter(_Follower(self))
        else:
            self.fulfil(outcome)


class _Continuation(Promise[Any]):
    __slots__ = ("_awaited", "_followed", "_rejector", "_resolver")

    def __init__(
        self,
        awaited: Promise[Any],
        resolver: Callable[[Any], Any] | None,
        rejector: Callable[[BaseException], Any] | None,
    ) -> None:
        super().__init__(queue=awaited._queue)
        self._resolver = resolver
        self._rejector = rejector
        self._awaited = awaited
        self._followed: Promise[Any] | None = None

    def sources(self) -> Iterable[Promise[Any]]:
        return [self._awaited] if self._followed is None else [self._awaited, self._followed]

    def _follow(self, outcome: Any) -> None:
        if isinstance(outcome, Promise):
            self._followed = outcome
        super()._follow(outcome)

    def on_settled(self, promise: Promise[Any]) -> None:
        self._queue.append(self)

    def resume(self) -> None:
        awaited = self._awaited
        error = awaited._error
        try:
            if error is not None:
                if self._rejector is None:
                    self.reject(error)
                else:
                    self._follow(self._rejector(error))
            elif self._resolver is None:
                self.fulfil(awaited._value)
            else:
                self._follow(self._resolver(awaited._value))
        except Exception as raised:
            self.reject(raised)


class _Follower:
    __slots__ = ("_leader", "_promise")

    def __init__(self, promise: Promise[Any]) -> None:
        self._promise = promise
        self._leader: Promise[Any] | None = None

    def on_settled(self, promise: Promise[Any]) -> None:
        self._leader = promise
        self._promise._queue.append(self)

    def resume(self) -> None:
        assert self._leader is not None
        if self._leader._error is not None:
            self._promise.reject(self._leader._error)
        else:
            self._promise.fulfil(self._leader._value)


class _All(Promise[Any]):
    __slots__ = ("_first_error", "_missing", "_promises")

    def __init__(self, queue: Queue | None, promises: list[Promise[Any]]) -> None:
        super().__init__(queue=promises[0]._queue if queue is None and promises else queue)
        self._promises = promises
        self._missing = len(promises)
        self._first_error: BaseException | None = None
        if not promises:
            self.fulfil([])
        for promise in promises:
            promise.add_waiter(self)

    def sources(self) -> Iterable[Promise[Any]]:
        return self._promises

    def on_settled(self, promise: Promise[Any]) -> None:
        self._missing -= 1
        if promise._error is not None:
            if self._first_error is not None:
                return
            self._first_error = promise._error
        elif self._missing or self._first_error is not None:
            return
        self._queue.append(self)

    def resume(self) -> None:
        if self._first_error is not None:
            self.reject(self._first_error)
        else:
            self.fulfil([promise._value for promise in self._promises])
