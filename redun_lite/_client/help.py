"""The command `help`: on commands, on the tasks of a script, on a task that is recorded.

Of a script, tasks are known once it is imported.  Of a task that was run some time, source and jobs
are in the repository: that is shown without importing anything, so without its script being there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .._display import format_command, format_table, format_time, one_line, printable
from .._errors import UsageError, suggest
from .command import COMMANDS, OK, PROGRAM, Command, find_command, open_repository

if TYPE_CHECKING:
    import ast
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from .._history import History, TaskRow
    from .._task import Task

_LABEL_WIDTH = 10
_OPTION_LENGTH = 60  # Characters of an option's value.
_MAX_SOURCE = 20_000  # Characters of a recorded source that is taken apart.


class HelpCommand(Command):
    """`help [COMMAND [ACTION] | SCRIPT [TASK] | TASK]`."""

    description = (
        "Show the commands, or what one of them takes; the tasks of a script, or what one of them\n"
        "takes; or a task that was run some time, from what is recorded of it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "topic", metavar="TOPIC", nargs="?", help="a command, a script or module, or a task"
        )
        parser.add_argument(
            "task",
            metavar="TASK",
            nargs="?",
            help="behind a script: a task in it; behind a command: what it is to do",
        )

    def run(self, options: Namespace) -> int:
        topic = options.topic
        command = find_command(topic) if topic in COMMANDS else None
        if command is not None and command.has_actions and options.task is not None:
            return command.execute([options.task, "--help"], options)
        if command is not None and options.task is None:
            return command.execute(["--help"], options)
        if topic is None:
            lines = iter(_overview())
        elif command is not None and options.task is not None and not os.path.exists(topic):
            raise UsageError(f"help {topic}: unexpected {options.task!r}: `{topic}` has no actions")
        elif options.task is not None or _is_script(topic):
            lines = _script_lines(topic, options.task)
        else:
            lines = _recorded_lines(options, topic)
        for line in lines:
            print(line)
        return OK


def _overview() -> list[str]:
    rows = [[f"  {name}", purpose] for name, (_, purpose) in COMMANDS.items()]
    return [
        f"usage: {PROGRAM} [--config DIR] [--version] COMMAND …",
        "",
        "Workflows as lazy expressions, cached and recorded.",
        "",
        "commands:",
        *format_table(rows, "<<"),
        "",
        f"`{PROGRAM} help COMMAND` says more,",
        f"`{PROGRAM} help SCRIPT` lists the tasks of a script.",
    ]


def _field(label: str, text: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}}{text}"


# Scripts


def _is_script(topic: str) -> bool:
    return topic.endswith(".py") or os.sep in topic


def _script_lines(script: str, task_name: str | None) -> Iterator[str]:
    from .._task import get_task_registry
    from .workflow import find_task, load_workflow

    module = load_workflow(script)
    if task_name is not None:
        yield from _task_lines(find_task(module, task_name), script)
        return
    own = [task for task in get_task_registry() if task.func.__module__ == module.__name__]
    if not own:
        raise UsageError(f"{script} defines no tasks")
    rows = [[f"  {task.name}", _first_line(task.func.__doc__)] for task in own]
    yield f"tasks of {script}:"
    yield from format_table(rows, "<<")
    yield ""
    yield f"`{PROGRAM} help {script} TASK` says more."


def _task_lines(task: Task[Any, Any], script: str) -> Iterator[str]:
    """Yield the lines on a task: its usage, what it does, its arguments, options and place."""
    import inspect

    from .._format_value import format_value
    from .arguments import help_lines

    doc = inspect.getdoc(task.func)
    lines = help_lines(task, f"{PROGRAM} run {script} {task.name}")
    told = _first_line(doc)
    for line in lines:
        if told and line == told and doc is not None:  # All of it, where `run --help` has a line.
            yield from printable(doc.strip()).splitlines()
        else:
            yield line
    options = task.base_options
    if options:
        yield ""
        yield "options:"
        rows = [
            [f"  {name}", format_value(value, _OPTION_LENGTH)] for name, value in options.items()
        ]
        yield from format_table(rows, "<<")
    yield ""
    yield _field("Task", one_line(task.fullname))
    yield _field("Signature", one_line(f"{task.name}{_signature(task)}"))
    if task.version is not None:
        yield _field("Version", one_line(task.version))
    yield _field("Hash", task.key.hex()[:8])
    code = getattr(inspect.unwrap(task.func), "__code__", None)
    if code is not None:
        yield _field("Defined", f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}")


class _AsWritten(str):
    """A type hint that shows as it does in most sources: no quotes, and no modules of ours."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(task: Task[Any, Any]) -> str:
    import inspect
    import re

    def as_written(annotation: Any) -> Any:
        if annotation is inspect.Signature.empty:
            return annotation
        hint = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        return _AsWritten(re.sub(r"\b(redun_lite\._\w+|typing)\.", "", hint))

    signature = inspect.signature(task.func)
    parameters = [
        parameter.replace(annotation=as_written(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    returned = as_written(signature.return_annotation)
    return str(signature.replace(parameters=parameters, return_annotation=returned))


def _first_line(doc: str | None) -> str:
    return one_line((doc or "").strip().partition("\n")[0])


# Recorded tasks


def _recorded_lines(options: Namespace, name: str) -> Iterator[str]:
    from .._history import TaskRow

    history = open_repository(options)
    if history is None:
        raise _unknown(name)
    with history:
        try:
            found = history.find(name)
        except UsageError as error:
            if str(error).startswith("no "):
                raise _unknown(name) from None
            raise
        if not isinstance(found, TaskRow):
            raise _unknown(name)
        yield from _row_lines(history, found)


def _unknown(name: str) -> UsageError:
    return UsageError(
        f"help: there is no command {name!r} and no recorded task of that name: "
        f"{suggest(name, COMMANDS)}; a script is named by its path"
    )


def _row_lines(history: History, task: TaskRow) -> Iterator[str]:
    """Yield the lines on a task as it was last recorded."""
    from .._uses import jobs_of_task

    signature, doc = _taken_apart(task.source)
    yield one_line(signature or f"{task.fullname}(…)")
    if doc:
        yield ""
        yield from printable(doc).splitlines()
    yield ""
    yield _field("Task", one_line(task.fullname))
    if task.version:
        yield _field("Version", one_line(task.version))
    yield _field("Hash", task.digest.hex()[:8])
    for job in jobs_of_task(history, task.fullname, 1):
        execution = history.execution(job.execution_id)
        yield _field("Last run", f"{format_time(job.started)}  {history.job_id(job)}")
        yield _field("By", format_command(execution.argv))
    yield ""
    yield "from what is recorded; `help SCRIPT TASK` says how it is called"


def _head_of(source: str, made: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return the signature of a function as it is written, as one line."""
    import ast

    head = source.splitlines()[made.lineno - 1 : made.body[0].lineno - 1]
    text = " ".join(line.strip() for line in head).partition("def ")[2].rstrip(": ")
    if text and "#" not in text:
        return text.replace("( ", "(").replace(", )", ")")
    returns = f" -> {ast.unparse(made.returns)}" if made.returns is not None else ""
    return f"{made.name}({ast.unparse(made.args)}){returns}"


def _taken_apart(source: str) -> tuple[str, str]:
    """Return the signature and the docstring of a recorded source, as far as it has them."""
    import ast

    if len(source) > _MAX_SOURCE:
        return "", ""
    try:
        body = ast.parse(source).body
        made = next(
            node for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        )
        return _head_of(source, made), ast.get_docstring(made) or ""
    except Exception:  # It may be any text.
        return "", ""
