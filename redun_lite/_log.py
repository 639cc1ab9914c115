"""What `log` prints: executions, one execution, one job, one call, one value, one task.

Each function here returns lines.  `_history` says what there is, `_display` how it looks.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Callable

from ._display import (
    PLAIN,
    Palette,
    clip,
    format_call,
    format_count,
    format_duration,
    format_job_id,
    format_job_line,
    format_job_table,
    format_size,
    format_time,
    one_line,
    printable,
)
from ._errors import UsageError
from ._format_value import VALUE_LENGTH, format_stored, format_stored_block
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

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._history import ArgumentRow, Found, History

_MAX_EXECUTIONS = 30
_MAX_CALLERS = 5  # Jobs above one that are named.
_MAX_USES = 10  # Calls that a value is said to be part of.
_LABEL_WIDTH = 10


def log_lines(path: str, text: str | None, palette: Palette = PLAIN, width: int = 100) -> list[str]:
    """Return what `log` prints.

    Parameters
    ----------
    path
        The database.
    text
        What to show, as `History.find` takes it; None for the latest executions.
    palette
        Whether there are colours.
    width
        Columns that values may take.

    Raises
    ------
    UsageError
        There is nothing of that id, or the id is ambiguous.
    RepositoryError
        The file is no repository.
    """
    history = open_history(path)
    if history is None:
        if text is None:
            return [f"nothing is recorded yet in {path}"]
        raise UsageError(f"nothing is recorded yet in {path}, so there is no {text!r}")
    with history:
        log = _Log(history, palette, width)
        return log.executions() if text is None else log.show(history.find(text))


def _duration(started: int, ended: int | None) -> str:
    return "" if ended is None else format_duration(max(ended - started, 0) / 1_000_000)


def _tags(tags: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(
        f"{one_line(key)}={one_line(value if isinstance(value, str) else json.dumps(value))}"
        for key, value in tags
    )


class _Log:
    """Shows the records of one repository."""

    def __init__(self, history: History, palette: Palette, width: int) -> None:
        self._history = history
        self._palette = palette
        self._width = max(width, 40)

    def show(self, record: Found) -> list[str]:
        """Return the lines of any record."""
        views: dict[type, Callable[[Any], list[str]]] = {
            ExecutionRow: self._execution,
            JobRow: self._job,
            CallRow: self._call,
            ValueRow: self._value,
            TaskRow: self._task,
        }
        return views[type(record)](record)

    # Executions

    def executions(self) -> list[str]:
        """Return a line for each of the latest executions."""
        found = self._history.executions(_MAX_EXECUTIONS + 1)
        shown = found[:_MAX_EXECUTIONS]
        tags = self._history.tags(execution.uuid for execution in shown)
        head = f"{'EXECUTION':<9}  {'STATUS':<9}  {'STARTED':<19}  {'TOOK':>8}  COMMAND"
        lines = [self._palette.paint(head, "title")]
        for execution in shown:
            status = self._palette.paint(f"{execution.status:<9}", execution.status)
            lines.append(
                f"{execution.uuid[:8]:<9}  {status}  {format_time(execution.started)}  "
                f"{_duration(execution.started, execution.ended):>8}  {_command(execution)}"
                + self._faint_tags(tags[execution.uuid])
            )
        if len(found) > len(shown):
            lines.append(f"… and {self._history.count_executions() - len(shown)} more")
        return lines

    def _faint_tags(self, tags: list[tuple[str, Any]]) -> str:
        told = [(key, value) for key, value in tags if not key.startswith("redun_lite.")]
        return self._palette.paint(f"  ({_tags(told)})", "faint") if told else ""

    def _execution(self, execution: ExecutionRow) -> list[str]:
        tree = self._history.job_tree(execution)
        lines = [
            self._title("Execution", execution.uuid, execution.status),
            self._field("Command", _command(execution)),
            *self._part_of(execution),
            *self._times(execution.started, execution.ended),
            self._field("Process", f"{execution.pid} on {one_line(execution.host)}"),
            *self._tag_fields(execution.uuid),
            "",
            *format_job_table(tree.counts, self._palette),
            "",
            *self._entries(tree.entries),
        ]
        if tree.left_out:
            lines.append(
                f"… and {format_count(tree.left_out)} jobs below these; give a job's id to see "
                "what it led to"
            )
        return lines

    def _part_of(self, execution: ExecutionRow) -> list[str]:
        if execution.parent_job_id is None:
            return []
        parent = self._history.execution(execution.parent_job_id >> JOB_NUMBER_BITS)
        number = execution.parent_job_id & ((1 << JOB_NUMBER_BITS) - 1)
        return [self._field("Part of", format_job_id(parent.uuid, number))]

    # Jobs

    def _entries(self, entries: list[TreeEntry]) -> list[str]:
        """Return the lines of a tree of jobs."""
        single = [entry.job for entry in entries if entry.counts is None]
        arguments = self._history.arguments(job.call_id for job in single if job.call_id)
        # Of a chain of failed jobs, the last one is where the error was.
        parents = {job.parent_id for job in single if job.status == FAILED}
        failed = [job for job in single if job.status == FAILED and job.id not in parents]
        results = self._history.results(job.call_id for job in failed if job.call_id)
        errors = {job.id: results[job.call_id] for job in failed if job.call_id in results}
        id_width = max((len(str(entry.job.number)) for entry in entries), default=0) + 10
        lines = []
        for depth, job, counts in entries:
            job_id = self._history.job_id(job)
            if counts is not None:
                lines.append(
                    format_job_line(
                        "", f"{job_id}…", _folded(job, counts), None, depth, id_width, self._palette
                    )
                )
                continue
            call = clip(_call_text(job.task_name, arguments.get(job.call_id or 0)), self._width)
            if job.id in errors:
                call += "  " + self._palette.paint(_stored(errors[job.id], self._width), FAILED)
            lines.append(
                format_job_line(
                    job.status, job_id, call, job.seconds, depth, id_width, self._palette
                )
            )
        return lines

    def _job(self, job: JobRow) -> list[str]:
        history = self._history
        execution = history.execution(job.execution_id)
        task = history.task(job.task_id)
        job_id = history.job_id(job)
        lines = [
            self._title("Job", job_id, job.status, job.task_name),
            self._field("Execution", f"{execution.uuid[:8]}  {_command(execution)}"),
            *self._times(job.started, job.ended),
        ]
        above = history.ancestors(job, _MAX_CALLERS + 1)
        if above:
            chain = [f"{one_line(a.task_name)} {history.job_id(a)}" for a in above]
            chain[_MAX_CALLERS:] = ["…"] * (len(chain) > _MAX_CALLERS)
            lines.append(self._field("Called by", " ← ".join(chain)))
        lines.append(self._field("Task", f"{task.digest.hex()[:8]}  {one_line(task.fullname)}"))
        call = None if job.call_id is None else history.call(job.call_id)
        if call is not None:
            lines.append(self._field("Call", call.digest.hex()[:8]))
        lines += [*self._tag_fields(job_id), *self._attempts(job)]
        if call is not None:
            lines += self._call_body(call)
        children = history.children(job)
        if children:
            lines += ["", self._heading("Led to"), *self._entries(children)]
        return [*lines, "", *self._source(task)]

    def _attempts(self, job: JobRow) -> list[str]:
        """Return a line for each attempt at a job, if there was more than one."""
        attempts = self._history.attempts(job)
        lines = ["", self._heading("Attempts")] if attempts else []
        for number, started, ended, error in attempts:
            outcome = "done" if error is None else _stored(error, self._width)
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
            "",
            *self._source(task),
        ]

    def _call_body(self, call: CallRow) -> list[str]:
        """Return the lines of a call's arguments, and of its result or error."""
        arguments = self._history.arguments([call.id], MAX_VALUE_SIZE)[call.id]
        result = self._history.results([call.id], MAX_VALUE_SIZE)[call.id]
        lines = []
        if arguments:
            lines += ["", self._heading("Arguments")]
        for argument in arguments:
            first, *more = self._block(argument.value)
            digest = self._palette.paint(argument.value.digest.hex()[:8], "faint")
            lines.append(f"  {digest}  {one_line(argument.name)} = {first}")
            lines += [f"            {line}" for line in more]
        error = _attributes(result, "redun_lite._record:ErrorValue")
        if error is not None:
            told = _indented(str(error.get("traceback", "")))
            return [*lines, "", self._heading("Error"), *told, *self._written(error)]
        digest = self._palette.paint(result.digest.hex()[:8], "faint")
        first, *more = self._block(result)
        lines += ["", self._heading("Result"), f"  {digest}  {first}"]
        lines += [f"            {line}" for line in more]
        ended = self._history.script_result(call)
        written = _attributes(ended, "redun_lite._record:ScriptResult") if ended else None
        return lines + self._written(written or {})

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
        return format_stored_block(value.type_name, value.size, value.data, self._width - 12)

    def _value(self, value: ValueRow) -> list[str]:
        lines = [
            self._title("Value", value.digest.hex(), "", value.type_name),
            self._field("Size", format_size(value.size)),
            *self._tag_fields(value.digest.hex()),
            "",
            *(f"  {line}" for line in self._block(value)),
        ]
        made_by = self._history.calls_with_result(value, _MAX_USES + 1)
        used_by = self._history.calls_with_argument(value, _MAX_USES + 1)
        return [*lines, *self._calls("Result of", made_by), *self._calls("Argument of", used_by)]

    def _calls(self, heading: str, calls: list[CallRow]) -> list[str]:
        if not calls:
            return []
        shown = calls[:_MAX_USES]
        arguments = self._history.arguments(call.id for call in shown)
        lines = ["", self._heading(heading)]
        for call in shown:
            text = _call_text(call.task_name, arguments[call.id])
            lines.append(f"  {self._palette.paint(call.digest.hex()[:8], 'faint')}  {text}")
        return lines + (["  …"] if len(calls) > len(shown) else [])

    def _task(self, task: TaskRow) -> list[str]:
        return [
            self._title("Task", task.digest.hex(), "", task.fullname),
            *([self._field("Version", one_line(task.version))] if task.version else []),
            *self._tag_fields(task.digest.hex()),
            "",
            *self._source(task),
        ]

    def _source(self, task: TaskRow) -> list[str]:
        return [self._heading("Source"), *_indented(task.source)]

    # Parts

    def _title(self, kind: str, id: str, status: str, name: str = "") -> str:
        words = [
            self._palette.paint(f"{kind} {id}", "title"),
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


def _attributes(value: ValueRow, class_name: str) -> dict[str, Any] | None:
    """Return the attributes of a stored value, or None if it is of another class."""
    if value.data is None:
        return None
    try:
        loaded = load_safely(value.data)
    except Exception:  # It may be broken in any way.
        return None
    if not isinstance(loaded, Composite) or loaded.name != class_name:
        return None
    return loaded.attributes


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in printable(text).splitlines()]
