"""What `log` prints: executions, one execution, one job, one call, one value, one task.

Each function here returns lines.  `_history` says what there is, `_display` how it looks.

On a terminal a screenful of the latest is most often what is looked for, so lists are cut there,
equal jobs folded, lines made to fit.  Where a program reads on, each record has its line.
"""

from __future__ import annotations

import json
import shlex
import sys
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Callable

from ._command import OK, Command, add_pager_option, add_repository_option, page, repository_source
from ._display import (
    PLAIN,
    SCRIPT_TASK,
    Palette,
    clip,
    ends_of,
    format_call,
    format_count,
    format_duration,
    format_job_id,
    format_job_line,
    format_job_table,
    format_size,
    format_time,
    goes_without_saying,
    one_line,
    printable,
    terminal_width,
    use_colour,
)
from ._errors import UsageError
from ._format_value import VALUE_LENGTH, format_error, format_stored, format_stored_block
from ._history import (
    MAX_VALUE_SIZE,
    CallRow,
    ExecutionRow,
    JobRow,
    TaskRow,
    TreeEntry,
    ValueRow,
    open_history,
)
from ._job import FAILED
from ._safe_load import Composite, load_safely
from ._schema import JOB_NUMBER_BITS
from ._sqlite import source_at

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

    from ._database import Source
    from ._history import ArgumentRow, Found, History

_MAX_EXECUTIONS = 30
_MAX_USES = 10  # Calls that a value is said to be part of.
_LABEL_WIDTH = 10
_WIDTH = 120  # Columns for values, where the output is no terminal.
_BLOCK = 1_000  # Jobs whose arguments and errors are read together.

ERROR_VALUE = "redun_lite._record:ErrorValue"
UNFINISHED = "redun_lite.Unfinished"
"""Error type of a call whose function has been called, while what came of it is not recorded."""


class LogCommand(Command):
    """`log [ID]`."""

    description = (
        "Show the latest executions, or one record.\n\n"
        "ID is `-` for the latest execution, the start of an execution's id, a job's id\n"
        "(5c1f9a3e-12), the start of the hash of a call, value or task, or a task's name.\n\n"
        "On a terminal long lists are cut, and equal jobs folded into one line; elsewhere all is\n"
        "shown, as with --all."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("id", metavar="ID", nargs="?", help="what to show")
        parser.add_argument(
            "--all", action="store_true", help="every record, however many there are"
        )
        add_repository_option(parser)
        add_pager_option(parser)

    def run(self, options: Namespace) -> int:
        width = terminal_width(sys.stdout)
        show_all = options.all or width is None
        palette = Palette(use_colour(sys.stdout))
        source = repository_source(options)
        page(log_lines(source, options.id, palette, width, show_all), options)
        return OK


def log_lines(
    where: str | Source,
    text: str | None,
    palette: Palette = PLAIN,
    width: int | None = None,
    show_all: bool = False,
) -> Iterator[str]:
    """Yield what `log` prints.

    Parameters
    ----------
    where
        Where the database is; or the path of a SQLite file.
    text
        What to show, as `History.find` takes it; None for the latest executions.
    palette
        Whether there are colours.
    width
        Columns that lines are to fit into; None for as many as they need.
    show_all
        Whether every record is to have a line, however many there are.

    Raises
    ------
    UsageError
        There is nothing of that id, or the id is ambiguous.
    RepositoryError
        It is no repository.
    """
    source = source_at(where)
    history = open_history(source)
    if history is None:
        if text is None:
            yield f"nothing is recorded yet in {source.address}"
            return
        raise UsageError(f"nothing is recorded yet in {source.address}, so there is no {text!r}")
    with history:
        log = _Log(history, palette, width, show_all)
        yield from log.executions() if text is None else log.show(history.find(text), text)


def _duration(started: int, ended: int | None) -> str:
    return "" if ended is None else format_duration(max(ended - started, 0) / 1_000_000)


def _tags(tags: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(
        f"{one_line(key)}={one_line(value if isinstance(value, str) else json.dumps(value))}"
        for key, value in tags
    )


class _Log:
    """Shows the records of one repository."""

    def __init__(
        self, history: History, palette: Palette, width: int | None, show_all: bool
    ) -> None:
        self._history = history
        self._palette = palette
        self._width = width
        self._show_all = show_all

    def show(self, record: Found, text: str) -> Iterable[str]:
        """Return the lines of any record, which was asked for by a text."""
        if isinstance(record, ExecutionRow):
            return self._execution(record, text)
        views: dict[type, Callable[[Any], Iterable[str]]] = {
            JobRow: self._job,
            CallRow: self._call,
            ValueRow: self._value,
            TaskRow: self._task,
        }
        return views[type(record)](record)

    def _limit(self, most: int) -> int | None:
        return None if self._show_all else most

    def _fit(self, text: str, used: int = 0) -> str:
        """Return text cut to what the terminal has left."""
        return text if self._width is None else clip(text, self._width - used)

    # Executions

    def executions(self) -> list[str]:
        """Return a line for each of the latest executions."""
        limit = self._limit(_MAX_EXECUTIONS)
        shown = self._history.executions(limit)
        tags = self._history.tags(execution.uuid for execution in shown)
        head = f"{'EXECUTION':<9}  {'STATUS':<9}  {'STARTED':<19}  {'TOOK':>8}  "
        lines = [self._palette.paint(f"{head}COMMAND", "title")]
        for execution in shown:
            status = self._palette.paint(f"{execution.status:<9}", execution.status)
            command = self._fit(_command(execution), len(head))
            room = None if self._width is None else self._width - len(head) - len(command)
            told = _told(tags[execution.uuid], room)
            lines.append(
                f"{one_line(execution.uuid[:8]):<9}  {status}  {format_time(execution.started)}  "
                f"{_duration(execution.started, execution.ended):>8}  {command}"
                + (self._palette.paint(told, "faint") if told else "")
            )
        left_out = self._history.count_executions() - len(shown)
        if left_out > 0:
            lines.append(f"… and {format_count(left_out)} more: `log --all` lists them")
        return lines

    def _execution(self, execution: ExecutionRow, text: str) -> Iterator[str]:
        tree = self._history.job_tree(execution)
        yield from (
            self._title("Execution", execution.uuid, execution.status),
            self._field("Command", _command(execution)),
            *self._part_of(execution),
            *self._times(execution.started, execution.ended),
            self._field("Process", f"{execution.pid} on {one_line(execution.host)}"),
            *self._tag_fields(execution.uuid),
            "",
            *format_job_table(tree.counts, self._palette),
            "",
        )
        is_cut = tree.left_out > 0 or any(entry.counts for entry in tree.entries)
        if is_cut and self._show_all:
            last = sum(n for by_task in tree.counts.values() for n in by_task.values())
            yield from self._blocks(self._history.all_jobs(execution), len(str(last)) + 10)
            return
        yield from self._entries(tree.entries)
        if tree.left_out:
            yield f"… and {format_count(tree.left_out)} jobs below these"
        if is_cut:
            yield f"`log --all {text}` lists every job, `log JOB` what one led to"

    def _part_of(self, execution: ExecutionRow) -> list[str]:
        if execution.parent_job_id is None:
            return []
        parent = self._history.execution(execution.parent_job_id >> JOB_NUMBER_BITS)
        number = execution.parent_job_id & ((1 << JOB_NUMBER_BITS) - 1)
        return [self._field("Part of", format_job_id(parent.uuid, number))]

    # Jobs

    def _blocks(self, entries: Iterator[TreeEntry], id_width: int = 0) -> Iterator[str]:
        """Yield the lines of any number of jobs."""
        while block := list(islice(entries, _BLOCK)):
            yield from self._entries(block, id_width)

    def _entries(self, entries: list[TreeEntry], id_width: int = 0) -> list[str]:
        """Return the lines of a tree of jobs."""
        single = [entry.job for entry in entries if entry.counts is None]
        arguments = self._history.arguments(job.call_id for job in single if job.call_id)
        errors = self._errors(single)
        longest = max((len(str(entry.job.number)) for entry in entries), default=0)
        id_width = max(longest + 10, id_width)
        lines = []
        for depth, job, counts in entries:
            status, job_id, seconds = job.status, self._history.job_id(job), job.seconds
            if counts is None:
                call = _call_text(job.task_name, arguments.get(job.call_id or 0))
            else:
                status, job_id, seconds = "", f"{job_id}…", None
                call = _folded(job, counts)
            note = errors.get(job.id, "") if counts is None else ""
            lines += format_job_line(
                status, job_id, call, seconds, depth, id_width, self._palette, note, self._width
            ).split("\n")
        return lines

    def _errors(self, jobs: list[JobRow]) -> dict[int, str]:
        """Return the errors of failed jobs by row id, each where it comes from and not above.

        An error in an expression is the error of the job that the expression belongs to, while a
        job that the expression was to be an argument of has none recorded.
        """
        failed = [job for job in jobs if job.status == FAILED]
        results = self._history.results(job.call_id for job in failed if job.call_id)
        below: dict[int, set[str]] = {}
        errors: dict[int, str] = {}
        for job in reversed(failed):
            told = below.pop(job.id, set())
            result = results.get(job.call_id or 0)
            text = "" if result is None else _error_text(result)
            if text and text not in told:
                errors[job.id] = text
                told.add(text)
            if job.parent_id is not None:
                below.setdefault(job.parent_id, set()).update(told)
        return errors

    def _job(self, job: JobRow) -> Iterator[str]:
        history = self._history
        execution = history.execution(job.execution_id)
        task = history.task(job.task_id)
        job_id = history.job_id(job)
        yield from (
            self._title("Job", job_id, job.status, job.task_name),
            self._field("Execution", f"{one_line(execution.uuid[:8])}  {_command(execution)}"),
            *self._times(job.started, job.ended),
        )
        above = history.ancestors(job)
        if above:
            yield self._field("Called by", self._callers(above))
        yield self._field("Task", f"{task.digest.hex()[:8]}  {one_line(task.fullname)}")
        call = None if job.call_id is None else history.call(job.call_id)
        if call is not None:
            yield self._field("Call", call.digest.hex()[:8])
        yield from self._tag_fields(job_id)
        yield from self._attempts(job)
        if call is not None:
            yield from self._call_body(call)
        elif job.status == FAILED:
            yield from self._error_above(above)
        children = history.all_children(job) if self._show_all else iter(history.children(job))
        first = next(children, None)
        if first is not None:
            yield from ("", self._heading("Led to"), *self._blocks(chain([first], children)))
        yield from self._source(task)

    def _callers(self, above: list[int]) -> str:
        """Return the chain of the jobs above one."""
        shown = [self._history.job(job_id) for job_id in ends_of(above)]
        words = [f"{one_line(job.task_name)} {self._history.job_id(job)}" for job in shown]
        if len(above) > len(shown):
            words.insert(-1, f"… {format_count(len(above) - len(shown))} more")
        return " ← ".join(words)

    def _error_above(self, above: list[int]) -> list[str]:
        """Return the lines on the error of a job that was not called: it is that of one above.

        What such a job was to be given is an expression of the job around.
        """
        for job_id in above:
            job = self._history.job(job_id)
            if job.status != FAILED:
                break
            if job.call_id is not None:
                text = _error_text(self._history.results([job.call_id])[job.call_id])
                place = f"{one_line(job.task_name)} {self._history.job_id(job)}"
                return ["", self._heading("Error"), f"  not called, since {place} failed: {text}"]
        return []

    def _attempts(self, job: JobRow) -> list[str]:
        """Return a line for each attempt at a job, if there was more than one."""
        attempts = self._history.attempts(job)
        lines = ["", self._heading("Attempts")] if attempts else []
        for number, started, ended, error in attempts:
            outcome = "done" if error is None else self._fit(_error_text(error), 16)
            lines.append(f"  {number:>2}  {_duration(started, ended):>8}  {outcome}")
        return lines

    # Calls, values, tasks

    def _call(self, call: CallRow) -> list[str]:
        task = self._history.task(call.task_id)
        return [
            self._title("Call", call.digest.hex(), "", call.task_name),
            self._field("Computed", format_time(call.computed)),
            self._field("Task", f"{task.digest.hex()[:8]}  {one_line(task.fullname)}"),
            *self._call_body(call),
            *self._source(task),
        ]

    def _call_body(self, call: CallRow) -> list[str]:
        """Return the lines of a call's arguments, and of its result or error."""
        arguments = self._history.arguments([call.id], MAX_VALUE_SIZE)[call.id]
        result = self._history.results([call.id], MAX_VALUE_SIZE)[call.id]
        lines = []
        if call.task_name == SCRIPT_TASK:
            lines += self._script(arguments)
            arguments = [
                argument
                for argument in arguments
                if argument.name != "command"
                and not goes_without_saying(argument.name, _stored(argument.value))
            ]
        if arguments:
            lines += ["", self._heading("Arguments")]
        for argument in arguments:
            first, *more = self._block(argument.value)
            digest = self._palette.paint(argument.value.digest.hex()[:8], "faint")
            lines.append(f"  {digest}  {one_line(argument.name)} = {first}")
            lines += [f"            {line}" for line in more]
        error = _attributes(result, ERROR_VALUE)
        if error is not None:
            return lines + self._error(error)
        digest = self._palette.paint(result.digest.hex()[:8], "faint")
        first, *more = self._block(result)
        lines += ["", self._heading("Result"), f"  {digest}  {first}"]
        lines += [f"            {line}" for line in more]
        ended = self._history.script_result(call)
        written = _attributes(ended, "redun_lite._record:ScriptResult") if ended else None
        return lines + self._written(written or {})

    def _script(self, arguments: list[ArgumentRow]) -> list[str]:
        """Return the lines of a script: it is the code of its job."""
        for argument in arguments:
            command = _loaded(argument.value)
            if argument.name == "command" and isinstance(command, str):
                return ["", self._heading("Script"), *_indented(command)]
        return []

    def _error(self, error: dict[str, Any]) -> list[str]:
        """Return the lines of a call's error, and of what its script wrote."""
        kind, message = str(error.get("error_type", "")), str(error.get("message", ""))
        if kind == UNFINISHED:
            return ["", self._heading("Result"), f"  none: {one_line(message)}"]
        told = _indented(str(error.get("traceback", "")))
        if error.get("stderr"):  # It is part of the message, too.
            told = [f"  {format_error(kind, message)}"]
        return ["", self._heading("Error"), *told, *self._written(error)]

    def _written(self, attributes: dict[str, Any]) -> list[str]:
        """Return the lines that a script has written, as far as they are among the attributes."""
        lines: list[str] = []
        for name, heading in (("stdout", "Standard output"), ("stderr", "Standard error")):
            data = attributes.get(name)
            if isinstance(data, bytes) and data:
                text = data.decode("utf-8", "replace")
                lines += ["", self._heading(heading), *_indented(text)]
        return lines

    def _block(self, value: ValueRow) -> list[str]:
        columns = (self._width or _WIDTH) - 12
        return format_stored_block(value.type_name, value.size, value.data, columns)

    def _value(self, value: ValueRow) -> list[str]:
        lines = [
            self._title("Value", value.digest.hex(), "", value.type_name),
            self._field("Size", format_size(value.size)),
            *self._tag_fields(value.digest.hex()),
            "",
            *(f"  {line}" for line in self._block(value)),
        ]
        limit = self._limit(_MAX_USES + 1)
        made_by = self._history.calls_with_result(value, limit)
        used_by = self._history.calls_with_argument(value, limit)
        return [*lines, *self._calls("Result of", made_by), *self._calls("Argument of", used_by)]

    def _calls(self, heading: str, calls: list[CallRow]) -> list[str]:
        if not calls:
            return []
        shown = calls[: self._limit(_MAX_USES)]
        arguments = self._history.arguments(call.id for call in shown)
        lines = ["", self._heading(heading)]
        for call in shown:
            text = self._fit(_call_text(call.task_name, arguments[call.id]), 12)
            lines.append(f"  {self._palette.paint(call.digest.hex()[:8], 'faint')}  {text}")
        return lines + (["  …"] if len(calls) > len(shown) else [])

    def _task(self, task: TaskRow) -> Iterator[str]:
        yield self._title("Task", task.digest.hex(), "", task.fullname)
        if task.version:
            yield self._field("Version", one_line(task.version))
        yield from self._tag_fields(task.digest.hex())
        yield from self._source(task)
        jobs = self._history.jobs_of_task(task.fullname, self._limit(_MAX_USES))
        yield from ("", self._heading("Jobs"), *self._blocks(jobs))

    def _source(self, task: TaskRow) -> list[str]:
        if task.fullname == SCRIPT_TASK:
            return []  # The same for all scripts, and none of the user's.
        return ["", self._heading("Source"), *_indented(task.source)]

    # Parts

    def _title(self, kind: str, id: str, status: str, name: str = "") -> str:
        words = [
            self._palette.paint(f"{kind} {one_line(id)}", "title"),
            self._palette.paint(status, status),
            one_line(name),
        ]
        return "  ".join(word for word in words if word)

    def _heading(self, text: str) -> str:
        return self._palette.paint(text, "title")

    def _field(self, label: str, text: str) -> str:
        return f"  {label:<{_LABEL_WIDTH}}{text}"

    def _times(self, started: int, ended: int | None) -> list[str]:
        lines = [self._field("Started", format_time(started))]
        if ended is not None:
            lines.append(self._field("Took", _duration(started, ended)))
        return lines

    def _tag_fields(self, entity: str) -> list[str]:
        tags = self._history.tags([entity])[entity]
        return [self._field("Tags", _tags(tags))] if tags else []


def _command(execution: ExecutionRow) -> str:
    # What a program has evaluated is no command of a shell.
    is_expression = execution.argv[:1] in (["scheduler.run"], ["subrun"])
    return one_line((" ".join if is_expression else shlex.join)(execution.argv))


def _stored(value: ValueRow, limit: int = VALUE_LENGTH) -> str:
    return format_stored(value.type_name, value.size, value.data, limit)


def _call_text(task_name: str, arguments: list[ArgumentRow] | None) -> str:
    if arguments is None:
        return format_call(task_name, None)
    return format_call(task_name, [(a.name, _stored(a.value)) for a in arguments])


def _folded(first: JobRow, counts: dict[str, int]) -> str:
    total = format_count(sum(counts.values()))
    parts = ", ".join(f"{format_count(n)} {status.lower()}" for status, n in counts.items())
    return f"{one_line(first.task_name)} ×{total}  ({parts})"


def _told(tags: list[tuple[str, Any]], room: int | None) -> str:
    """Return what a line says of an execution's tags: as many as it has room for.

    The version is the same for nearly all, and left out.
    """
    told = [(key, value) for key, value in tags if not key.startswith("redun_lite.")]
    for count in range(len(told), 0, -1):
        text = f"  ({_tags(told[:count])})"
        if room is None or len(text) <= room:
            return text
    return ""


def _error_text(value: ValueRow) -> str:
    """Return a stored error as one line; of what is none, nothing."""
    error = _attributes(value, ERROR_VALUE)
    if error is None:
        return "" if value.data else _stored(value)
    return format_error(str(error.get("error_type", "")), str(error.get("message", "")))


def _loaded(value: ValueRow) -> Any:
    """Return a stored value as `load_safely` does, or None where it cannot."""
    if value.data is None:
        return None
    try:
        return load_safely(value.data)
    except Exception:  # It may be broken in any way.
        return None


def _attributes(value: ValueRow, class_name: str) -> dict[str, Any] | None:
    """Return what a stored value has as texts and bytes, or None if it is of another class."""
    loaded = _loaded(value)
    if not isinstance(loaded, Composite) or loaded.name != class_name:
        return None
    told = loaded.attributes.items()
    return {name: part for name, part in told if isinstance(part, (str, bytes))}


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in printable(text).splitlines()]
