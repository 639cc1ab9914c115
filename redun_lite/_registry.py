"""The registry: which tasks are defined, by full name.

A recorded call names its task, and the registry says what goes by that name at present.  The last
definition wins, as with any name in Python, since a module may be loaded anew and a notebook's cell
run again.  But two modules that define one name are an error: which of them a call meant would
depend on what was imported last.

Tasks of this package are as good as defined: the rooms that have them are imported when a name of
theirs is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Callable, Generic, Protocol, TypeVar

from ._errors import TaskError, UnknownTask, suggest
from ._names import PACKAGE

_OWN_TASKS = "redun_lite."
_OWN_MODULES = ("_builtins", "_federated", "_handle", "_script", "_subrun", "functools", "tools")


class Named(Protocol):
    """What the registry has to know of a task."""

    fullname: str
    func: Callable[..., Any]

    @property
    def hash(self) -> str: ...

    @property
    def defined_in(self) -> str: ...


AnyTask = TypeVar("AnyTask", bound=Named)


class Registry(Generic[AnyTask]):
    """The tasks that are defined, by full name."""

    def __init__(self) -> None:
        self._tasks: dict[str, AnyTask] = {}
        self.version = 0
        """Counts the changes, so that others can tell whether they have seen the last."""

    def add(self, task: AnyTask) -> None:
        """Add a task; it replaces one of the same full name.

        Raises
        ------
        TaskError
            A module in another file has defined a task of that full name.
        """
        known = self._tasks.get(task.fullname)
        if known is not None and _is_clash(known, task):
            raise TaskError(
                f"task {task.fullname} is defined twice: in {known.defined_in} and in "
                f"{task.defined_in}; give one of them another name or namespace"
            )
        self._tasks[task.fullname] = task
        self.version += 1

    def remove(self, task: AnyTask) -> None:
        """Forget a task."""
        if self._tasks.get(task.fullname) is task:
            del self._tasks[task.fullname]
            self.version += 1

    def snapshot(self) -> dict[str, AnyTask]:
        """Return the tasks as they are, for `restore`."""
        return dict(self._tasks)

    def restore(self, tasks: dict[str, AnyTask]) -> None:
        """Return to what a snapshot holds.

        What has come from this package meanwhile stays: its modules are imported once, when they
        are first of use, and do not define their tasks again.
        """
        ours = {name: task for name, task in self._tasks.items() if name.startswith(_OWN_TASKS)}
        self._tasks.clear()
        self._tasks.update({**ours, **tasks})
        self.version += 1

    def get(self, task_name: str | None = None, hash: str | None = None) -> AnyTask | None:
        """Return the task of a full name or, without one, of a hash; None if there is none."""
        if task_name is None:
            return next((task for task in self if task.hash == hash), None)
        task = self._tasks.get(task_name)
        if task is None and task_name.startswith(_OWN_TASKS):
            # A recorded call may name a task of this package that nothing has imported here.
            for module in _OWN_MODULES:
                import_module(f"{PACKAGE}.{module}")
            task = self._tasks.get(task_name)
        return task

    def find(self, task_name: str) -> AnyTask:
        """Return the task of a full name.

        Raises
        ------
        UnknownTask
            There is none; the message offers the nearest names.
        """
        task = self.get(task_name)
        if task is None:
            raise UnknownTask(f"unknown task {task_name!r}: {suggest(task_name, self._tasks)}")
        return task

    def __iter__(self) -> Iterator[AnyTask]:
        return iter(list(self._tasks.values()))


def _is_clash(known: Named, new: Named) -> bool:
    """Say whether two modules define a task, rather than one anew or for a while."""
    if "<locals>" in known.func.__qualname__ or "<locals>" in new.func.__qualname__:
        return False
    files = {known.defined_in, new.defined_in}
    if len(files) == 1 or any(name.startswith("<") for name in files):
        return False
    # Each cell of a notebook is a file of its own.
    if known.func.__module__ == new.func.__module__ == "__main__":
        return False
    return len(set(map(os.path.realpath, files))) > 1
