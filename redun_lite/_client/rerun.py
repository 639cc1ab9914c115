"""`run --rerun ID`: from an execution or a job that is recorded to the words that run it again.

An execution is run again by its command: script, task, arguments and options, as they were typed.
A job is run again by itself, in the script of its execution, with the arguments that it was given.
These are loaded as a replay loads them, so this trusts the repository as much as any run does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from .._display import format_command, format_size
from .._errors import UsageError
from .._history import ExecutionRow, JobRow, wrong_kind
from .._record import load_value
from .command import recorded

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Mapping, Sequence

    from .._history import History, ValueRow
    from .._task import Task

_MAX_VALUE_SIZE = 1 << 30  # Bytes of an argument.
_NOT_AGAIN = "--execution-id"  # It goes with one execution alone.
_MAX_LEVELS = 20  # Of runs that ran again what ran again something else.


class Recorded(NamedTuple):
    """What is to be run again.

    Attributes
    ----------
    words
        The words behind `run`, up to the task, and of an execution all that followed.
    values
        Of a job, its arguments by name, not loaded; None of an execution.
    job_id
        Of a job, how it is called.
    """

    words: list[str]
    values: dict[str, ValueRow] | None = None
    job_id: str = ""


def find_recorded(
    options: Namespace, text: str, script: str | None, takes_value: Mapping[str, bool]
) -> Recorded:
    """Return what an id stands for that is to be run again.

    Parameters
    ----------
    text
        The id of an execution or a job, or `-` for the latest execution.
    script
        The script to take in place of the recorded one.
    takes_value
        For each option of `run`, whether a value follows it.

    Raises
    ------
    UsageError
        There is none, or what it was cannot be run from its record.
    """
    with recorded(options, f"{text!r} to run again") as history:
        return _find(history, text, script, takes_value)


def _find(
    history: History, text: str, script: str | None, takes_value: Mapping[str, bool], level: int = 0
) -> Recorded:
    found = history.find(text)
    if isinstance(found, JobRow):
        return _recorded_job(history, found, script, takes_value)
    if not isinstance(found, ExecutionRow):
        raise wrong_kind(text, found, "an execution or a job", "; `log` lists them")
    words = _words_of(found)
    if _is_rerun(words) and level < _MAX_LEVELS:
        text, again, rest = rerun_words(words, takes_value)
        recorded = _find(history, text, script or again, takes_value, level + 1)
        return recorded._replace(words=[*recorded.words, *rest])
    at = _script_at(words, takes_value)
    if script is not None:
        words[at] = script
    _check_script(words[at], text)
    return Recorded(words)


def _is_rerun(words: Iterable[str]) -> bool:
    return any(word.partition("=")[0] == "--rerun" for word in words)


def rerun_words(
    words: Sequence[str], takes_value: Mapping[str, bool]
) -> tuple[str, str | None, list[str]]:
    """Return the id behind `--rerun`, the script that stands before it if one does, and the rest.

    Parameters
    ----------
    words
        The words behind `run`, `--rerun` among them.
    takes_value
        For each option of `run`, whether a value follows it.

    Examples
    --------
    >>> rerun_words(["--rerun", "-", "-q"], {"-q": False})
    ('-', None, ['-q'])
    >>> rerun_words(["-q", "--rerun", "flow.py", "-"], {"-q": False})
    ('-', 'flow.py', ['-q'])
    """
    at = next(i for i, word in enumerate(words) if word.partition("=")[0] == "--rerun")
    _, equals, value = words[at].partition("=")
    if not equals and at + 1 == len(words):
        raise UsageError("run --rerun: name an execution or a job, or `-` for the latest execution")
    value = value if equals else words[at + 1]
    if not value:
        raise UsageError("run: --rerun: it is empty")
    rest = [*words[:at], *words[at + (1 if equals else 2) :]]
    named = _first_named(rest, takes_value)
    if named is None:
        return value, None, rest
    return rest[named], value, rest[:named] + rest[named + 1 :]


def _first_named(words: Sequence[str], takes_value: Mapping[str, bool]) -> int | None:
    """Return where the first word is that belongs to no option, looking at options of `run`."""
    index = 0
    while index < len(words):
        word = words[index]
        if word == "-" or not word.startswith("-"):
            return index
        if word.partition("=")[0] not in takes_value:
            return None
        index += 2 if takes_value.get(word) else 1
    return None


def _words_of(execution: ExecutionRow) -> list[str]:
    """Return the words behind `run` of an execution, without those that go with it alone."""
    argv = execution.argv
    if "run" not in argv or argv[0] in ("scheduler.run", "subrun"):
        raise UsageError(
            f"execution {execution.uuid[:8]} was not started by `run`, but as "
            f"`{format_command(argv)}`: run that again"
        )
    at = argv.index("run")
    words: list[str] = list(argv[:at])  # Options of the program, such as `--config`.
    rest = list(argv[at + 1 :])
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if name != _NOT_AGAIN:
            words.append(word)
        elif not equals and rest:
            rest.pop(0)
    return words


def _script_at(words: Sequence[str], takes_value: Mapping[str, bool]) -> int:
    """Return where the script is among the words behind `run`."""
    index = 0
    while index < len(words):
        if not words[index].startswith("-"):
            return index
        index += 2 if takes_value.get(words[index]) else 1
    raise UsageError(f"`run {' '.join(words)}` names no script")


def _check_script(script: str, text: str) -> None:
    """Fail if the script of a recorded command is not there: one may be in another folder."""
    if (script.endswith(".py") or os.sep in script) and not os.path.isfile(script):
        raise UsageError(
            f"--rerun {text}: there is no script {script} in {os.getcwd()}; go to the folder that "
            f"it was run in, or name the script: --rerun SCRIPT {text}"
        )


def _recorded_job(
    history: History, job: JobRow, script: str | None, takes_value: Mapping[str, bool]
) -> Recorded:
    job_id = history.job_id(job)
    execution = history.execution(job.execution_id)
    while execution.parent_job_id is not None:
        execution = history.execution(history.job(execution.parent_job_id).execution_id)
    if script is None:
        words = _words_of(execution)
        script = (
            _find(history, execution.uuid, None, takes_value).words[0]
            if _is_rerun(words)
            else words[_script_at(words, takes_value)]
        )
    _check_script(script, job_id)
    if job.call_id is None:
        raise UsageError(f"--rerun {job_id}: the job was never called, so it has no arguments")
    arguments = history.arguments([job.call_id], _MAX_VALUE_SIZE)[job.call_id]
    values = {argument.name: argument.value for argument in arguments}
    return Recorded([script, job.task_name], values, job_id)


def load_arguments(
    recorded: Recorded, task: Task[Any, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments to call the task of a recorded job with; its script is loaded.

    Raises
    ------
    UsageError
        The task takes others now, or one of them cannot be loaded any more.
    """
    known = recorded.values or {}
    names = task.parameters.names
    if set(names) != set(known):
        raise UsageError(
            f"--rerun {recorded.job_id}: {task.fullname} takes {_listed(names)} now, and was "
            f"given {_listed(known)}"
        )
    values = []
    for name in names:
        value = known[name]
        try:
            if value.data is None:
                raise UsageError(f"it has {format_size(value.size)}")
            values.append(load_value(value.type_name, value.data))
        except Exception as error:  # Loading what a class has stored may raise anything.
            raise UsageError(
                f"--rerun {recorded.job_id}: argument {name} cannot be loaded any more "
                f"({type(error).__name__}: {error})"
            ) from None
    return task.parameters.call_arguments(tuple(values))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "no arguments"
