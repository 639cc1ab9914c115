"""Limits: how many units of a named resource the running jobs may hold together.

Jobs that want the same amounts, with the same priority, wait in one line. When units come free,
the lines are served by priority, then in the order in which their first jobs came. A job that
cannot start keeps what it lacks from those behind it, so that one that wants many units is not
overtaken for ever by those that want few; jobs that want other resources are not held back by it.

A job that wants several resources could still wait for ever, if each time that one of them comes
free, another has just been taken.  So once each of them has been free while it waited, though
never all at once, it keeps all of them.  (To keep them from the beginning would be simpler, and
leave resources idle behind whoever waits for a job that takes a day.)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from typing import Generic, TypeVar

from ._errors import TaskError

T = TypeVar("T")


_Key = tuple[float, tuple[tuple[str, int], ...]]
_Arrival = tuple[float, int]


class _Line(Generic[T]):
    """Those who want the same with one priority, each with its place in the order of all."""

    __slots__ = ("found_free", "key", "waiting", "wanted")

    def __init__(self, key: _Key, wanted: dict[str, int]) -> None:
        self.key = key
        self.wanted = wanted
        self.waiting: deque[tuple[_Arrival, T]] = deque()
        self.found_free: set[str] = set()  # Resources that were free while the first one waited.


class Limits(Generic[T]):
    """Units of resources, and who waits for them.

    Parameters
    ----------
    available
        Units of each resource; one that is not named has one unit.

    Examples
    --------
    >>> limits = Limits({"db": 1})
    >>> limits.acquire("first", {"db": 1}), limits.acquire("second", {"db": 1})
    (True, False)
    >>> limits.release({"db": 1})
    >>> list(limits.startable())
    ['second']
    """

    def __init__(self, available: dict[str, int]) -> None:
        self._total = dict(available)
        self._used: dict[str, int] = {}
        self._lines: dict[_Key, _Line[T]] = {}
        # Lines by what they want, each behind the number of its first, in order.
        self._lines_for: dict[str, list[tuple[_Arrival, _Line[T]]]] = {}
        self._freed: set[str] = set()  # What lines have not been asked about since it came free.
        self._arrivals = 0

    def acquire(self, who: T, wanted: dict[str, int], priority: float = 0) -> bool:
        """Take units, or stand in line for them; say whether they were taken.

        Parameters
        ----------
        who
            Who wants them.
        wanted
            Units of each resource.
        priority
            Those with a higher one stand in front.

        Raises
        ------
        TaskError
            More is wanted than there will ever be.
        """
        for name, units in wanted.items():
            if units > self._limit(name):
                raise TaskError(
                    f"{units} units of {name!r} are wanted but [limits] allows "
                    f"{self._limit(name)}; raise the limit or lower what the task wants"
                )
        self._arrivals += 1
        arrival = (-priority, self._arrivals)
        if self._may_start(wanted, arrival):
            self._take(wanted)
            return True
        key = (priority, tuple(sorted(wanted.items())))
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key, dict(key[1]))
        line.waiting.append((arrival, who))
        if len(line.waiting) == 1:
            self._advance(line)
            self._note_free(line)
        return False

    def release(self, held: dict[str, int]) -> None:
        """Give units back."""
        for name, units in held.items():
            self._used[name] -= units
        self._freed.update(held)

    def startable(self) -> Iterator[T]:
        """Take units for those in line who can have them, and yield these."""
        while True:
            for arrival, line in self._concerned():
                if self._may_start(line.wanted, arrival):
                    self._take(line.wanted)
                    self._freed.update(line.wanted)  # It keeps them from nobody any more.
                    yield self._leave(line)
                    break
                self._note_free(line)
            else:
                self._freed.clear()
                return

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(len(line.waiting) for line in self._lines.values())

    def _concerned(self) -> Iterator[tuple[_Arrival, _Line[T]]]:
        """Yield the lines that want what came free, up to the first that keeps it from others."""

        def lines_for(name: str) -> Iterator[tuple[_Arrival, _Line[T]]]:
            for arrival, line in self._lines_for.get(name, ()):
                yield arrival, line
                if self._keeps(line, name):
                    return

        last: _Arrival | None = None
        for arrival, line in merge(*map(lines_for, self._freed), key=itemgetter(0)):
            if arrival != last:
                last = arrival
                yield arrival, line

    def _leave(self, line: _Line[T]) -> T:
        """Take the first one out of a line."""
        arrival, who = line.waiting.popleft()
        line.found_free.clear()
        for name in line.wanted:
            lines = self._lines_for[name]
            del lines[bisect_left(lines, (arrival,))]
        if line.waiting:
            self._advance(line)
        else:
            del self._lines[line.key]
        return who

    def _advance(self, line: _Line[T]) -> None:
        """Make known who is the first in a line."""
        for name in line.wanted:
            insort(self._lines_for.setdefault(name, []), (line.waiting[0][0], line))

    def _may_start(self, wanted: dict[str, int], arrival: _Arrival) -> bool:
        for name, units in wanted.items():
            if not self._has(name, units):
                return False
        for name in wanted:
            for earlier, line in self._lines_for.get(name, ()):
                if earlier >= arrival:
                    break
                if self._keeps(line, name):
                    return False
        return True

    def _keeps(self, line: _Line[T], name: str) -> bool:
        """Say whether the first in a line keeps a resource from those behind it."""
        return len(line.found_free) == len(line.wanted) or not self._has(name, line.wanted[name])

    def _note_free(self, line: _Line[T]) -> None:
        line.found_free.update(
            name for name, units in line.wanted.items() if self._has(name, units)
        )

    def _limit(self, name: str) -> int:
        return self._total.get(name, 1)

    def _has(self, name: str, units: int) -> bool:
        return self._used.get(name, 0) + units <= self._limit(name)

    def _take(self, wanted: dict[str, int]) -> None:
        for name, units in wanted.items():
            self._used[name] = self._used.get(name, 0) + units
