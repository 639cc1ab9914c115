"""The garbage collector, while workflows run or many records are read or written."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

_COLLECT_AFTER = 100_000  # New objects between two looks of the garbage collector.


class _Collector:
    """Makes the garbage collector patient while runs last.

    A run keeps what it makes, and its objects form no cycles: looking through all of them again
    and again takes time and finds nothing.  Nor do records, of which many are in memory at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._thresholds = gc.get_threshold()

    def run_starts(self) -> None:
        with self._lock:
            self._runs += 1
            if self._runs == 1:
                self._thresholds = gc.get_threshold()
                if 0 < self._thresholds[0] < _COLLECT_AFTER:
                    gc.set_threshold(_COLLECT_AFTER, *self._thresholds[1:])

    def run_ends(self) -> None:
        with self._lock:
            self._runs -= 1
            if self._runs == 0:
                gc.set_threshold(*self._thresholds)

    @contextmanager
    def patience(self) -> Generator[None, None, None]:
        """Be patient within this context, as while a run lasts."""
        self.run_starts()
        try:
            yield
        finally:
            self.run_ends()


collector = _Collector()
