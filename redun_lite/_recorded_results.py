"""Which recorded results of a call still hold, so that a job may take one instead of being run.

Two results of a call are recorded.  The first is what its function returned, perhaps an expression:
it holds as long as all that is in it does, files as well as tasks.  The ultimate one is what that
came to: it holds if, besides, each task at and below the call is what it was.  These tasks are
recorded as one set, so that this is one comparison, however large the call was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._expr import is_valid_expr
from ._record import ErrorValue, load_value
from ._task import get_task_registry

if TYPE_CHECKING:
    from ._db import Repository
    from ._provenance import CachedCall


class _Invalid:
    """Stands for a recorded value that cannot be used."""


INVALID = _Invalid()


class RecordedResults:
    """Loads results of calls that the repository has found: `INVALID` where one does not hold."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._registry = get_task_registry()
        self._registry_version = -1
        self._current_tasks: frozenset[bytes] = frozenset()

    def single(self, cached: CachedCall) -> Any:
        """Return the first result of a call."""
        return self._load(cached.type_name, cached.data)

    def ultimate(self, cached: CachedCall) -> Any:
        """Return what a call came to in the end."""
        if self._registry_version != self._registry.version:
            self._registry_version = self._registry.version
            self._current_tasks = frozenset(
                task.key for task in self._registry if not task.depends_on_run
            )
        task_set = self._repository.look_up_task_set(cached.task_set_id)
        if not task_set.tasks <= self._current_tasks:
            return INVALID
        found = self._repository.look_up_value(cached.result_id)
        value = INVALID if found is None else self._load(*found[1:])
        return INVALID if isinstance(value, ErrorValue) else value

    def _load(self, type_name: str, data: bytes) -> Any:
        try:
            value = load_value(type_name, data)
            return value if is_valid_expr(value, self._registry.get) else INVALID
        except Exception:
            # Its class was renamed, or a task inside it edited: as good as not recorded.
            return INVALID
