"""A task's arguments on the command line: from `--name text` to what the task's type hints ask for.

The grammar is small: what starts with `--` names an argument, with its value behind `=` or in what
follows.  An argument whose type holds many values takes all that follow, and may be repeated; any
other takes one.  A `bool` may go without a value, and `--no-name` turns it off.  `-` and `_` are
the same in names.  What has a structure is written as JSON.

`argparse` was weighed and left out: it takes `--n -3 x` apart in its own way, abbreviates names,
and its types know nothing of a `Union` or of values inside values.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from .._display import format_table, one_line
from .._errors import ArgumentError, UsageError, suggest
from .._format_value import format_value
from .._hints import (
    NO_HINT,
    describe_type,
    from_text,
    from_texts,
    is_flag,
    resolve_hints,
    sequence_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._task import Task

_MANY_ARGS = inspect.Parameter.VAR_POSITIONAL
_MANY_KWARGS = inspect.Parameter.VAR_KEYWORD
_DEFAULT_LENGTH = 40  # Characters of a default that the help shows.


class TaskArgument(NamedTuple):
    """An argument that a task takes.

    Attributes
    ----------
    name
        The parameter's name.
    hint
        Its type; `inspect.Parameter.empty` if it has none.
    kind
        `inspect.Parameter.kind`.
    default
        Its default; `inspect.Parameter.empty` if it has none.
    """

    name: str
    hint: Any
    kind: Any
    default: Any

    @property
    def option(self) -> str:
        """How it is written on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_required(self) -> bool:
        """Whether the task cannot be called without it."""
        return self.default is NO_HINT and self.kind not in (_MANY_ARGS, _MANY_KWARGS)


def task_arguments(task: Task[Any, Any]) -> list[TaskArgument]:
    """Return the arguments of a task, in the order of its signature."""
    return _arguments_of(task.func, task.signature)


def _arguments_of(function: Callable[..., Any], signature: inspect.Signature) -> list[TaskArgument]:
    hints = resolve_hints(inspect.unwrap(function))
    return [
        TaskArgument(p.name, hints.get(p.name, NO_HINT), p.kind, p.default)
        for p in signature.parameters.values()
    ]


def takes_option(task: Task[Any, Any], option: str) -> bool:
    """Say whether `--name` or `--no-name` is an argument of a task, other than by `**kwargs`."""
    arguments = task_arguments(task)
    return _find(arguments, option.partition("=")[0])[0] is not None


def parse_arguments(
    task: Task[Any, Any],
    tokens: Sequence[str],
    given: tuple[tuple[Any, ...], dict[str, Any]] = ((), {}),
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments to call a task with.

    Parameters
    ----------
    tokens
        The words of the command line.
    given
        Positional and named arguments that are known already; those of the command line win.

    Raises
    ------
    ArgumentError
        An argument is missing, unknown, or not of its type; the message names the task, the
        argument, what was expected and what came.

    Examples
    --------
    >>> from redun_lite import task
    >>> @task(namespace="docs", version="1")
    ... def align(reads: list[str], threads: int = 1, verbose: bool = False):
    ...     pass
    >>> parse_arguments(align, "--reads a.fq b.fq --threads 4 --verbose".split())
    ((['a.fq', 'b.fq'], 4, True), {})
    """
    return _parse(f"task {task.fullname}", task.signature, task_arguments(task), tokens, given)


def parse_words(
    where: str,
    function: Callable[..., Any],
    tokens: Sequence[str],
    given: tuple[tuple[Any, ...], dict[str, Any]] = ((), {}),
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments to call a function with: those that are given, and those of the words.

    Parameters
    ----------
    where
        What messages call the function.
    tokens, given
        As in `parse_arguments`; what is given by position is no argument of the command line.
    """
    signature = inspect.signature(function)
    arguments = _arguments_of(function, signature)[len(given[0]) :]
    return _parse(where, signature, arguments, tokens, given)


def _parse(
    where: str,
    signature: inspect.Signature,
    arguments: list[TaskArgument],
    tokens: Sequence[str],
    given: tuple[tuple[Any, ...], dict[str, Any]],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        bound = signature.bind_partial(*given[0], **given[1])
    except TypeError as error:
        raise ArgumentError(f"{where}: the arguments given as input do not fit: {error}") from None
    for argument, name, texts, flag in _grouped(where, arguments, tokens):
        if argument.kind is _MANY_KWARGS:
            value = _converted(where, argument._replace(name=name), texts, flag)
            bound.arguments.setdefault(argument.name, {})[name] = value
        elif argument.kind is _MANY_ARGS:
            single = argument._replace(kind=None)
            bound.arguments[argument.name] = tuple(
                _converted(where, single, [text], flag) for text in texts
            )
        else:
            bound.arguments[argument.name] = _converted(where, argument, texts, flag)
    missing = [
        f"{argument.option} ({describe_type(argument.hint)})"
        for argument in arguments
        if argument.is_required and argument.name not in bound.arguments
    ]
    if missing:
        raise ArgumentError(f"{where}: missing {', '.join(missing)}")
    if any(argument.kind is _MANY_ARGS for argument in arguments):
        bound.apply_defaults()  # What stands before `*args` cannot be left out.
    return bound.args, bound.kwargs


def help_lines(task: Task[Any, Any], command: str) -> list[str]:
    """Return the help on a task: what it does, and the arguments that it takes.

    Parameters
    ----------
    command
        The command line up to the task.
    """
    arguments = task_arguments(task)
    usage = [f"usage: {command}"]
    rows = []
    for argument in arguments:
        type_name = describe_type(argument.hint)
        option = argument.option
        if argument.kind is _MANY_KWARGS:
            option, needed = "--NAME", "any further arguments"
        elif argument.kind is _MANY_ARGS:
            type_name, needed = f"any number of {type_name}", "default none"
        elif argument.is_required:
            needed = "required"
            usage.append(f"{option} …")
        else:
            needed = f"default {format_value(argument.default, _DEFAULT_LENGTH)}"
        if is_flag(argument.hint):
            option = f"{option}, --no-{option[2:]}"
        rows.append(["  " + option, type_name, needed])
    lines = [" ".join([*usage, *(["[…]"] if len(rows) >= len(usage) else [])])]
    doc = inspect.getdoc(task.func)
    if doc:
        lines += ["", one_line(doc.strip().partition("\n")[0])]
    if rows:
        lines += ["", "arguments:", *format_table(rows, "<<<")]
    return lines


# The words


def _grouped(
    where: str, arguments: list[TaskArgument], tokens: Sequence[str]
) -> list[tuple[TaskArgument, str, list[str], bool | None]]:
    """Return, for each argument that is given, its name, its words, and `--x` or `--no-x`."""
    groups: dict[str, tuple[TaskArgument, str, list[str], bool | None]] = {}
    texts: list[str] | None = None
    for token in tokens:
        if not token.startswith("--"):
            if texts is None:
                raise ArgumentError(
                    f"{where}: unexpected {token!r}; arguments are given as --name value"
                )
            texts.append(token)
            continue
        option, equals, text = token.partition("=")
        argument, flag = _find(arguments, option)
        name = option[2:].replace("-", "_")
        if argument is None:
            argument = next((a for a in arguments if a.kind is _MANY_KWARGS), None)
            if argument is None or not name:
                known = [a.option for a in arguments]
                hint = suggest(option, known) if known else "it takes no arguments"
                raise ArgumentError(f"{where}: unknown {option}: {hint}")
        else:
            name = argument.name
        known_texts = groups[name][2] if name in groups else []
        texts = known_texts if _is_many(argument) else []
        groups[name] = (argument, name, texts, flag)
        if equals:
            texts.append(text)
    return list(groups.values())


def _find(arguments: list[TaskArgument], option: str) -> tuple[TaskArgument | None, bool | None]:
    """Return the argument that `--name` gives, and for `--no-name` False."""
    name = option[2:].replace("-", "_") if option.startswith("--") else ""
    by_name = {argument.name: argument for argument in arguments if argument.kind != _MANY_KWARGS}
    if name in by_name:
        return by_name[name], None
    positive = by_name.get(name[3:]) if name.startswith("no_") else None
    if positive is not None and is_flag(positive.hint):
        return positive, False
    return None, None


def _converted(where: str, argument: TaskArgument, texts: list[str], flag: bool | None) -> Any:
    hint = argument.hint
    if flag is None and not texts and is_flag(hint):
        flag = True
    if flag is not None:
        if texts:
            option = f"--no-{argument.option[2:]}"
            raise ArgumentError(f"{where}: {option} takes no value, got {texts[0]!r}")
        return flag
    where = f"{where}: {argument.option}"
    expected = describe_type(hint)
    if _is_many(argument):
        if not texts:
            raise ArgumentError(f"{where}: expected {expected}, got nothing; '[]' is an empty list")
    elif len(texts) != 1:
        came = " ".join(map(repr, texts)) or "nothing"
        raise ArgumentError(f"{where}: expected one {expected}, got {came}")
    try:
        return from_texts(hint, texts) if _is_many(argument) else from_text(hint, texts[0])
    except UsageError as error:
        raise ArgumentError(f"{where}: {error}") from None
    except Exception:  # A class of the user's may raise anything.
        came = " ".join(map(repr, texts))
        raise ArgumentError(f"{where}: expected {expected}, got {one_line(came)}") from None


def _is_many(argument: TaskArgument) -> bool:
    return argument.kind is _MANY_ARGS or sequence_of(argument.hint) is not None
