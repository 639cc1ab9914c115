"""Timers: what is to be done at a later time, by whoever asks often enough whether it is due.

A timer that is cancelled stays in the heap, where to look for it would take long, but lets go of
all it refers to; once most are cancelled, the heap is made anew.  So a million quick jobs that may
take an hour each leave nothing behind for that hour.
"""

from __future__ import annotations

import time
from heapq import heapify, heappop, heappush
from typing import Any, Callable

_MIN_CANCELLED = 100  # Cancelled timers up to which nobody minds them.

Timer = list[Any]
"""The time, a serial number, what to do (None once it was done or cancelled), and with what."""


def now() -> int:
    """Return the time in microseconds since 1970, which is how times are recorded."""
    return time.time_ns() // 1000


class Timers:
    """Calls to be made at a time of the monotonic clock.

    Parameters
    ----------
    clock
        Gives the time in seconds.

    Examples
    --------
    >>> timers = Timers(clock=lambda: 10.0)
    >>> late = timers.set(20.0, print, "late")
    >>> early = timers.set(5.0, print, "early")
    >>> timers.seconds_left
    0.0
    >>> timers.fire()
    early
    True
    >>> timers.seconds_left, len(timers)
    (10.0, 1)
    >>> timers.cancel(late)
    >>> len(timers)
    0
    """

    __slots__ = ("_cancelled", "_clock", "_heap", "_number")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heap: list[Timer] = []
        self._number = 0
        self._cancelled = 0

    def set(self, moment: float, action: Callable[[Any], None], argument: Any) -> Timer:
        """Have `action(argument)` called at a time; return what `cancel` takes."""
        self._number += 1  # Equal times must not come to compare the functions.
        timer = [moment, self._number, action, argument]
        heappush(self._heap, timer)
        return timer

    def cancel(self, timer: Timer) -> None:
        """Do not call what a timer was set for; of no effect once it was called."""
        if timer[2] is None:
            return
        timer[2] = timer[3] = None
        self._cancelled += 1
        if self._cancelled > max(_MIN_CANCELLED, len(self._heap) // 2):
            self._heap = [timer for timer in self._heap if timer[2] is not None]
            heapify(self._heap)
            self._cancelled = 0

    def fire(self) -> bool:
        """Call what is due; say whether anything was."""
        moment = self._clock()
        fired = False
        while self._heap and self._heap[0][0] <= moment:
            timer = heappop(self._heap)
            _, _, action, argument = timer
            if action is None:
                self._cancelled -= 1
                continue
            timer[2] = timer[3] = None
            action(argument)
            fired = True
        return fired

    @property
    def seconds_left(self) -> float:
        """Seconds until the next timer, or what was one, is due; there has to be one."""
        moment: float = self._heap[0][0]
        return max(0.0, moment - self._clock())

    def clear(self) -> None:
        """Forget all timers."""
        self._heap.clear()
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def __bool__(self) -> bool:
        return bool(self._heap)
