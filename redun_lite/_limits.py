"""Limits: how many units of a named resource the running jobs may hold together.

Jobs that want the same amounts wait in one line.  When units come free, the lines are served in
the order in which their first jobs came.  A job that cannot start keeps what it lacks from those
behind it, so that one that wants many units is not overtaken for ever by those that want few; jobs
that want other resources are not held back by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from ._errors import TaskError

T = TypeVar("T")


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
        self._lines: dict[tuple[tuple[str, int], ...], deque[tuple[int, T]]] = {}
        self._arrivals = 0

    def acquire(self, who: T, wanted: dict[str, int]) -> bool:
        """Take units, or stand in line for them; say whether they were taken.

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
        if self._fits(wanted) and not any(self._is_awaited(name) for name in wanted):
            self._take(wanted)
            return True
        self._arrivals += 1
        line = self._lines.setdefault(tuple(sorted(wanted.items())), deque())
        line.append((self._arrivals, who))
        return False

    def release(self, held: dict[str, int]) -> None:
        """Give units back."""
        for name, units in held.items():
            self._used[name] -= units

    def startable(self) -> Iterator[T]:
        """Take units for those in line who can have them, and yield these."""
        blocked: set[str] = set()
        while True:
            heads = sorted((line[0][0], wanted) for wanted, line in self._lines.items())
            for _, wanted in heads:
                units = dict(wanted)
                if blocked.isdisjoint(units) and self._fits(units):
                    self._take(units)
                    line = self._lines[wanted]
                    who = line.popleft()[1]
                    if not line:
                        del self._lines[wanted]
                    yield who
                    break
                blocked.update(name for name in units if not self._fits({name: units[name]}))
            else:
                return

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(map(len, self._lines.values()))

    def _limit(self, name: str) -> int:
        return self._total.get(name, 1)

    def _fits(self, wanted: dict[str, int]) -> bool:
        return all(
            self._used.get(name, 0) + units <= self._limit(name) for name, units in wanted.items()
        )

    def _is_awaited(self, name: str) -> bool:
        return any(name == other for wanted in self._lines for other, _ in wanted)

    def _take(self, wanted: dict[str, int]) -> None:
        for name, units in wanted.items():
            self._used[name] = self._used.get(name, 0) + units
