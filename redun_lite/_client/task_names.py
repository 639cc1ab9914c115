"""Which tasks a script defines, and what they take, read from its text.

A shell asks for them when a user presses Tab.  The script is not run for that: it may take long, or
do anything.  So what is found is what stands there: functions with a decorator that is called
`task`, or that was imported as one, at the top of the module.
"""

from __future__ import annotations

import ast
import os
import tokenize
from typing import NamedTuple

_MAX_SIZE = 1_000_000  # Bytes of a script that is read.
_DECORATORS = ("task", "scheduler_task")


class TaskText(NamedTuple):
    """A task as a script's text has it.

    Attributes
    ----------
    name
        As it is called on the command line: without the namespace.
    purpose
        The first line of its docstring.
    parameters
        Names of its parameters, each with its hint as text.
    """

    name: str
    purpose: str
    parameters: dict[str, str]


def tasks_of(script: str) -> list[TaskText]:
    """Return the tasks of a script, given by its path or as a dotted module; of none, nothing.

    >>> tasks_of("no/such/script.py")
    []
    """
    path = script
    if not os.path.isfile(path) and not script.endswith(".py"):
        path = script.replace(".", os.sep)
        path = f"{path}.py" if os.path.isfile(f"{path}.py") else os.path.join(path, "__init__.py")
    try:
        if os.path.getsize(path) > _MAX_SIZE:
            return []
        with tokenize.open(path) as stream:  # As Python finds the encoding.
            tree = ast.parse(stream.read())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return _tasks_in(tree)


def _tasks_in(tree: ast.Module) -> list[TaskText]:
    decorators: set[str] = set(_DECORATORS)
    found: dict[str, TaskText] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            decorators.update(
                alias.asname or alias.name for alias in node.names if alias.name in _DECORATORS
            )
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                name = _task_name(decorator, node.name, decorators)
                if name is not None:
                    purpose = (ast.get_docstring(node) or "").strip().partition("\n")[0]
                    found[name] = TaskText(name, purpose, _parameters(node.args))
    return list(found.values())


def _task_name(decorator: ast.expr, name: str, decorators: set[str]) -> str | None:
    """Return what a decorator makes of a function of some name; None if that is no task."""
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(called, ast.Attribute):
        is_task = called.attr in _DECORATORS
    else:
        is_task = isinstance(called, ast.Name) and called.id in decorators
    if not is_task:
        return None
    for keyword in keywords:
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return name


def _parameters(arguments: ast.arguments) -> dict[str, str]:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return {
        argument.arg: ast.unparse(argument.annotation) if argument.annotation else ""
        for argument in named
    }
