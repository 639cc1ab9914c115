"""The user's workflow: from `SCRIPT TASK` on the command line to the task.

A script is loaded as a module named by its file's stem, from its own folder, and stays in
`sys.modules`: classes and functions of it are pickled under that name, so it must be the same in
every run and be importable in a worker process.

A script may well be called `queue.py` or `calendar.py`.  Its folder goes first on `sys.path`, as it
does for `python queue.py`, but the standard library must go on finding its own `queue`: so that
is imported first, and the script becomes `queue_script`.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from .._errors import UnknownTask, UsageError, suggest
from .._record import format_traceback
from .._task import Task, get_task_registry
from .output import open_input

if TYPE_CHECKING:
    from types import ModuleType

_STANDARD_LIBRARY = os.path.dirname(os.__file__)


class ImportFailed(UsageError):
    """A script raised an error while it was imported.

    The message says which; `traceback` is the user's part of the traceback, which says why.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


def load_workflow(script: str) -> ModuleType:
    """Import the user's script, and return its module.

    Parameters
    ----------
    script
        Path of a Python file, or dotted name of a module.

    Raises
    ------
    UsageError
        There is no such file or module.
    ImportFailed
        It raised an error.
    """
    try:
        return _import_path(script) if _is_path(script) else _import_name(script)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise ImportFailed(f"cannot import {script}", user_traceback(error)) from None


def _is_path(script: str) -> bool:
    return script.endswith(".py") or os.sep in script or os.path.isfile(script)


def _import_path(script: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    path = os.path.abspath(script)
    if os.path.isdir(path):
        raise UsageError(f"{script} is a folder; name the Python file in it")
    if not os.path.isfile(path):
        raise UsageError(f"there is no script {script}")
    with open_input(script):
        pass  # Or say why it cannot be read.
    name = _module_name(path)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == path:
        return known
    put_on_path(os.getcwd())
    put_on_path(os.path.dirname(path))
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{script} is no Python file: its name does not end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _module_name(path: str) -> str:
    stem = os.path.splitext(os.path.basename(path))[0]
    if _is_standard(stem):
        importlib.import_module(stem)
    known = sys.modules.get(stem)
    if known is not None and getattr(known, "__file__", None) != path:
        return f"{stem}_script"
    return stem


def _is_standard(name: str) -> bool:
    return name in sys.builtin_module_names or (
        PathFinder.find_spec(name, [_STANDARD_LIBRARY]) is not None
    )


def shadowing_module() -> str | None:
    """Return a line about a module that is taken for one of the standard library, if one is.

    A neighbour of the workflow may be called `queue.py`, too.  Then whoever imports `queue` first
    decides which of the two everybody gets.
    """
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or "." in name or file.startswith(_STANDARD_LIBRARY + os.sep):
            continue
        if PathFinder.find_spec(name, [_STANDARD_LIBRARY]) is not None:
            return f"{file} is taken for the standard library's module {name}: rename it"
    return None


def _import_name(name: str) -> ModuleType:
    put_on_path(os.getcwd())
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"there is no module {error.name}, and no script {name}; a script is named by "
                "its path"
            ) from None
        raise
    except (TypeError, ValueError):
        if name.startswith(".") or not name:
            raise UsageError(f"{name!r} is neither a script nor a module") from None
        raise
    if getattr(module, "__file__", None) is None and hasattr(module, "__path__"):
        raise UsageError(f"{name} is a folder; name the Python file in it")
    return module


def put_on_path(folder: str) -> None:
    """Let modules of a folder be found before all others."""
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


def user_traceback(error: BaseException) -> str:
    """Return the traceback of an import, without our frames and those of the import system."""
    frames = error.__traceback__
    while frames is not None and not _is_users(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    error.__traceback__ = frames
    return format_traceback(error)


def _is_users(file: str) -> bool:
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
    return not (file.startswith(("<frozen", ours)) or file == importlib.__file__)


# Tasks


def find_task(module: ModuleType, name: str | None) -> Task[Any, Any]:
    """Return a task of a workflow.

    Parameters
    ----------
    module
        The workflow.
    name
        The task's full name, or its bare name if no other task of the workflow has it.

    Raises
    ------
    UnknownTask
        There is none of that name, or several; the message names what could be meant.
    """
    registry = get_task_registry()
    own = [task for task in registry if task.func.__module__ == module.__name__]
    if name is None:
        known = ", ".join(sorted(task.name for task in own)) or "none"
        raise UnknownTask(f"which task of {module.__name__} is to run? It has: {known}")
    full = registry.get(name)
    if full is not None and (full in own or "." in name):
        return full
    namesakes = [task for task in own if task.name == name]
    if not namesakes:
        # Tasks that the workflow imports are within reach too.
        imported = full or vars(module).get(name)
        if isinstance(imported, Task):
            return imported
        namesakes = [task for task in registry if task.name == name]
    if len(namesakes) == 1:
        return namesakes[0]
    if namesakes:
        names = ", ".join(sorted(task.fullname for task in namesakes))
        raise UnknownTask(f"{name!r} may mean {names}; give the full name")
    if callable(vars(module).get(name)):
        raise UnknownTask(f"{name} in {module.__name__} is a function without @task")
    if not own:
        raise UnknownTask(f"{module.__name__} defines no tasks, so there is no {name!r}")
    known_names = [task.fullname if "." in name else task.name for task in own]
    raise UnknownTask(f"{module.__name__} has no task {name!r}: {suggest(name, known_names)}")
