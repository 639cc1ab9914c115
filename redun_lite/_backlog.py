"""Jobs that wait for a worker, by priority."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._job import Job


class Backlog:
    """Jobs in line: those of a higher priority first, of one priority in the order they came.

    One line for each priority there is, since nearly always that is one.  Any thread may put and
    take.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> backlog = Backlog()
    >>> for name, priority in [("first", 0), ("second", 0), ("urgent", 5)]:
    ...     backlog.put(SimpleNamespace(name=name, options=SimpleNamespace(priority=priority)))
    >>> [job.name for job in backlog.clear()]
    ['urgent', 'first', 'second']
    """

    __slots__ = ("_lines", "_lock")

    def __init__(self) -> None:
        self._lines: tuple[tuple[float, deque[Job]], ...] = ()
        self._lock = threading.Lock()

    def _line(self, job: Job) -> deque[Job]:
        assert job.options is not None
        priority = job.options.priority
        for known, line in self._lines:
            if known == priority:
                return line
        with self._lock:
            lines = dict(self._lines)
            line = lines.setdefault(priority, deque())
            self._lines = tuple(sorted(lines.items(), key=lambda item: -item[0]))
        return line

    def put(self, job: Job) -> None:
        """Put a job behind those of its priority."""
        self._line(job).append(job)

    def put_back(self, job: Job) -> None:
        """Put a job before those of its priority."""
        self._line(job).appendleft(job)

    def take(self) -> Job | None:
        """Take the next job; None if there is none."""
        for _, line in self._lines:
            try:
                return line.popleft()
            except IndexError:
                pass
        return None

    def clear(self) -> list[Job]:
        """Take all jobs."""
        jobs: list[Job] = []
        while True:
            job = self.take()
            if job is None:
                return jobs
            jobs.append(job)

    def __len__(self) -> int:
        return sum(len(line) for _, line in self._lines)
