"""What one record looks like to a person: an execution, a job, a call, a value, a task, a file.

Each method here returns lines.  `_history`, `_uses` and `_lineage` say what there is, `_display`
how it looks.  What most often is looked for comes first: of an execution that failed, the error.

On a terminal equal jobs are folded, lists cut, lines made to fit.  Where a program reads on, each
record has its line.
"""

from __future__ import annotations

import json
import shlex
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Callable

from .._display import (
    SCRIPT_TASK,
    Palette,
    clip,
    clip_middle,
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
)
from .._format_value import (
    VALUE_LENGTH,
    format_error,
    format_stored,
    format_stored_block,
    format_stored_error,
)
from .._history import (
    MAX_VALUE_SIZE,
    CallRow,
    ExecutionRow,
    FileRow,
    JobRow,
    TaskRow,
    ValueRow,
)
from .._job_tree import TreeEntry, all_children, all_jobs, children, job_tree
from .._lineage import VALUE, Limits, LineageNode, TreeLine, trace_down, trace_up, tree_of
from .._safe_load import Composite, load_safely
from .._schema import JOB_NUMBER_BITS, job_number
from .._status import DONE, FAILED
from .._uses import TaskVersion, jobs_of_task, latest_jobs_of, origin_of_failure, versions_of_task
from .origin import user_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._history import ArgumentRow, Found, History

MAX_EXECUTIONS = 30
BLOCK = 1_000
"""Records whose arguments and errors are read together."""

_MAX_USES = 10  # Calls that a value is said to be part of.
_MAX_VERSIONS = 5  # Versions of a task, or states of a file, that are shown.
_MAX_ERROR_LINES = 16  # Of an error that is told of an execution.
_MAX_DIFF_LINES = 40  # Of the difference between two versions of a task.
_LABEL_WIDTH = 10
_WIDTH = 120  # Columns for values, where the output is no terminal.
_NEAR = Limits(levels=6, nodes=24)  # How far back the data of a call is followed.
_FAR = Limits()
_NEXT = Limits(levels=1, nodes=60, fold=20)  # Who wrote a file, and who read it.

ERROR_VALUE = "redun_lite._record:ErrorValue"
UNFINISHED = "redun_lite.Unfinished"
"""Error type of a call whose function has been called, while what came of it is not recorded."""


def _duration(started: int, ended: int | None) -> str:
    return "" if ended is None else format_duration(max(ended - started, 0) / 1_000_000)


def _tags(tags: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(
        f"{one_line(key)}={one_line(value if isinstance(value, str) else json.dumps(value))}"
        for key, value in tags
    )


class Describer:
    """Describes the records of one repository.

    Parameters
    ----------
    history
        The repository.
    palette
        Whether there are colours.
    width
        Columns that lines are to fit into; None for as many as they need.
    show_all
        Whether every record is to have a line, however many there are.
    """

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
            FileRow: self._file,
        }
        if isinstance(record, TaskRow):
            return self._task(record, text)
        return views[type(record)](record)

    def _limit(self, most: int) -> int | None:
        return None if self._show_all else most

    def _fit(self, text: str, used: int = 0) -> str:
        """Return text cut to what the terminal has left."""
        return text if self._width is None else clip(text, self._width - used)

    # Executions

    def execution_lines(self, rows: list[ExecutionRow], has_head: bool = True) -> list[str]:
        """Return a line for each execution, below a head."""
        tags = self._history.tags(execution.uuid for execution in rows)
        head = f"{'EXECUTION':<9}  {'STATUS':<9}  {'STARTED':<19}  {'TOOK':>8}  "
        lines = [self._palette.paint(f"{head}COMMAND", "title")] if has_head else []
        own = ("user", user_name())  # Who asks knows who that is.
        for execution in rows:
            status = self._palette.paint(f"{execution.status:<9}", execution.status)
            command = self._fit(_command(execution), len(head))
            room = None if self._width is None else self._width - len(head) - len(command)
            told = _told([tag for tag in tags[execution.uuid] if tag != own], room)
            lines.append(
                f"{one_line(execution.uuid[:8]):<9}  {status}  {format_time(execution.started)}  "
                f"{_duration(execution.started, execution.ended):>8}  {command}"
                + (self._palette.paint(told, "faint") if told else "")
            )
        return lines

    def job_lines(self, jobs: list[JobRow], id_width: int = 0) -> list[str]:
        """Return a line for each job."""
        return self._entries([TreeEntry(0, job) for job in jobs], id_width, is_tree=False)

    def call_lines(self, calls: list[CallRow]) -> list[str]:
        """Return a line for each call: hash, time, call, and what came of it."""
        arguments = self._history.arguments(call.id for call in calls)
        results = self._history.results(call.id for call in calls)
        lines = []
        for call in calls:
            called = _call_text(call.task_name, arguments[call.id])
            told = self._fit(f"{called} → {_result_text(results[call.id])}", 31)
            lines.append(f"{self._hash(call.digest)}  {format_time(call.computed)}  {told}")
        return lines

    def task_lines(self, tasks: list[TaskRow]) -> list[str]:
        """Return a line for each version of a task: hash, name, and version if it has one."""
        tags = self._history.tags(task.digest.hex() for task in tasks)
        return [
            f"{self._hash(task.digest)}  "
            + self._fit(
                one_line(task.fullname)
                + (f"  version {one_line(task.version)}" if task.version else "")
                + _told(tags[task.digest.hex()], None),
                10,
            )
            for task in tasks
        ]

    def value_lines(self, values: list[ValueRow]) -> list[str]:
        """Return a line for each value: hash, type, text."""
        widest = max((len(one_line(value.type_name)) for value in values), default=0)
        kind_width = min(widest, 28)
        lines = []
        for value in values:
            kind = clip(one_line(value.type_name), kind_width)
            room = 500 if self._width is None else max(self._width - 12 - kind_width, 20)
            lines.append(
                f"{self._hash(value.digest)}  {kind:<{kind_width}}  {stored_text(value, room)}"
            )
        return lines

    def file_lines(self, files: list[FileRow]) -> list[str]:
        """Return a line for each state of a file: hash, path."""
        return [
            f"{self._hash(file.value.digest)}  {self._fit(one_line(file.path), 10)}"
            for file in files
        ]

    def _hash(self, digest: bytes) -> str:
        return self._palette.paint(digest.hex()[:8], "faint")

    def _execution(self, execution: ExecutionRow, text: str) -> Iterator[str]:
        tree = job_tree(self._history, execution)
        yield from (
            self._title("Execution", execution.uuid, execution.status),
            self._field("Command", _command(execution)),
            *self._part_of(execution),
            *self._times(execution.started, execution.ended),
            *self._result_of(execution, tree.entries),
            self._field("Process", f"{execution.pid} on {one_line(execution.host)}"),
            *self._tag_fields(execution.uuid),
            *self._failure(execution),
            "",
            *format_job_table(tree.counts, self._palette),
            "",
        )
        is_cut = tree.left_out > 0 or any(entry.counts for entry in tree.entries)
        if is_cut and self._show_all:
            last = sum(n for by_task in tree.counts.values() for n in by_task.values())
            yield from self._blocks(all_jobs(self._history, execution), len(str(last)) + 10)
            return
        yield from self._entries(tree.entries)
        if tree.left_out:
            yield f"… and {format_count(tree.left_out)} jobs below these"
        if is_cut:
            yield f"`log --detail {text}` lists every job, `log JOB` what one led to"

    def _result_of(self, execution: ExecutionRow, entries: list[TreeEntry]) -> list[str]:
        """Return the line on what a command has come to: the result of the one job at its top."""
        top = [entry.job for entry in entries if entry.depth == 0]
        is_command = execution.argv[:1] == ["run"] and execution.status == DONE
        if not is_command or len(top) != 1 or top[0].call_id is None:
            return []
        room = (self._width or _WIDTH) - _LABEL_WIDTH - 2
        result = self._history.results([top[0].call_id])[top[0].call_id]
        return [self._field("Result", stored_text(result, room))]

    def _failure(self, execution: ExecutionRow) -> Iterator[str]:
        """Yield the lines of the error that an execution failed with, and where it comes from."""
        if execution.status != FAILED:
            return
        origin = origin_of_failure(self._history, execution)
        if origin is None or origin.call_id is None:
            return
        result = self._history.results([origin.call_id], MAX_VALUE_SIZE)[origin.call_id]
        error = _attributes(result, ERROR_VALUE)
        if error is None or error.get("error_type") == UNFINISHED:
            return
        arguments = self._history.arguments([origin.call_id])[origin.call_id]
        job_id = self._history.job_id(origin)
        called = self._fit(_call_text(origin.task_name, arguments), len(job_id) + 12)
        yield ""
        yield f"{self._heading('Error in')}  {self._palette.paint(job_id, FAILED)}  {called}"
        lines = self._error(error)[2:]
        is_cut = len(lines) > _MAX_ERROR_LINES and not self._show_all
        lines = lines[:1] + lines[1 - _MAX_ERROR_LINES :] if is_cut else lines
        for line in lines:
            # What a frame ends with says most: the line, the function. What was said is whole.
            is_frame = self._width is not None and line.startswith("    ")
            yield clip_middle(line, self._width) if self._width and is_frame else line
        if error.get("stderr"):
            yield ""
        yield f"  `log {job_id}` says more of this job" + (", and of the error" if is_cut else "")

    def _part_of(self, execution: ExecutionRow) -> list[str]:
        if execution.parent_job_id is None:
            return []
        parent = self._history.execution(execution.parent_job_id >> JOB_NUMBER_BITS)
        number = job_number(execution.parent_job_id)
        return [self._field("Part of", format_job_id(parent.uuid, number))]

    # Jobs

    def _blocks(self, entries: Iterator[TreeEntry], id_width: int = 0) -> Iterator[str]:
        """Yield the lines of any number of jobs."""
        while block := list(islice(entries, BLOCK)):
            yield from self._entries(block, id_width)

    def _entries(
        self, entries: list[TreeEntry], id_width: int = 0, is_tree: bool = True
    ) -> list[str]:
        """Return the lines of a tree of jobs, or of a list."""
        single = [entry.job for entry in entries if entry.counts is None]
        arguments = self._history.arguments(job.call_id for job in single if job.call_id)
        errors = self._errors(single, is_tree)
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

    def _errors(self, jobs: list[JobRow], is_tree: bool) -> dict[int, str]:
        """Return the errors of failed jobs by row id; in a tree, where they come from only.

        An error in an expression is the error of the job that the expression belongs to, while a
        job that the expression was to be an argument of has none recorded.
        """
        failed = [job for job in jobs if job.status == FAILED]
        results = self._history.results(job.call_id for job in failed if job.call_id)
        below: dict[int, set[str]] = {}
        errors: dict[int, str] = {}
        for job in sorted(failed, key=lambda job: job.id, reverse=True):
            told = below.pop(job.id, set())
            result = results.get(job.call_id or 0)
            text = "" if result is None else error_text(result)
            if text and not (is_tree and text in told):
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
            yield from self._upstream(call)
        elif job.status == FAILED:
            yield from self._error_above(above)
        below = all_children(history, job) if self._show_all else iter(children(history, job))
        first = next(below, None)
        if first is not None:
            yield from ("", self._heading("Led to"), *self._blocks(chain([first], below)))
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
                text = error_text(self._history.results([job.call_id])[job.call_id])
                place = f"{one_line(job.task_name)} {self._history.job_id(job)}"
                return ["", self._heading("Error"), f"  not called, since {place} failed: {text}"]
        return []

    def _attempts(self, job: JobRow) -> list[str]:
        """Return a line for each attempt at a job, if there was more than one."""
        attempts = self._history.attempts(job)
        lines = ["", self._heading("Attempts")] if attempts else []
        for number, started, ended, error in attempts:
            outcome = "done" if error is None else self._fit(error_text(error), 16)
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
            *self._upstream(call),
            *self._jobs_of(call),
            *self._source(task),
        ]

    def _jobs_of(self, call: CallRow) -> list[str]:
        """Return the line of the last job that ran a call, and how many more had it."""
        for job, count in latest_jobs_of(self._history, [call.id]).values():
            others = f", {format_count(count - 1)} more had it" if count > 1 else ""
            return ["", self._heading(f"Job{others}"), *self.job_lines([job])]
        return []

    def _upstream(self, call: CallRow) -> list[str]:
        """Return the lines of what a call's arguments were made from."""
        limits = _FAR if self._show_all else _NEAR
        lineage = trace_up(self._history, call, limits)
        lines = self._flow([*tree_of(lineage)][1:])
        if lines and lineage.cut:
            lines.append(f"  … without {', '.join(lineage.cut)}")
        return ["", self._heading("Upstream"), *lines] if lines else []

    def _flow(self, tree: list[TreeLine]) -> list[str]:
        """Return lines of a tree of lineage."""
        ids = [line.node.call.id for line in tree if line.node.call is not None]
        arguments = self._history.arguments(ids)
        lines = []
        for depth, node, edge, is_repeated in tree:
            indent = "  " * max(depth, 1)
            name = f"{one_line(edge.name)} ← " if edge is not None and edge.name else ""
            via = " ← ".join(one_line(task) for task in edge.via) if edge is not None else ""
            told = _node_text(node, arguments)
            notes = [f"by way of {via}"] if via else []
            notes += ["see above"] if is_repeated else []
            note = f"  ({', '.join(notes)})" if notes else ""
            record = node.call or node.value
            digest = "" if record is None else self._hash(record.digest)
            used = len(indent) + len(name) + 10
            lines.append(f"{indent}{name}{digest}  {self._fit(told + note, used)}")
        return lines

    def _call_body(self, call: CallRow) -> list[str]:
        """Return the lines of a call's arguments, and of its result or error."""
        arguments = self._history.arguments([call.id], MAX_VALUE_SIZE)[call.id]
        result = self._history.results([call.id], MAX_VALUE_SIZE)[call.id]
        error = _attributes(result, ERROR_VALUE)
        lines = [] if error is None else self._error(error)  # Arguments may have many lines.
        if call.task_name == SCRIPT_TASK:
            lines += self._script(arguments)
            arguments = [
                argument
                for argument in arguments
                if argument.name != "command"
                and not goes_without_saying(argument.name, stored_text(argument.value))
            ]
        if arguments:
            lines += ["", self._heading("Arguments")]
        for argument in arguments:
            first, *more = self._block(argument.value)
            digest = self._palette.paint(argument.value.digest.hex()[:8], "faint")
            lines.append(f"  {digest}  {one_line(argument.name)} = {first}")
            lines += [f"            {line}" for line in more]
        if error is not None:
            return lines
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

    def _task(self, task: TaskRow, text: str = "") -> Iterator[str]:
        yield self._title("Task", task.digest.hex(), "", task.fullname)
        if task.version:
            yield self._field("Version", one_line(task.version))
        versions = versions_of_task(self._history, task.fullname)
        this = next((version for version in versions if version.task.id == task.id), None)
        if this is not None:
            yield self._field("Used", _use(this))
        yield from self._tag_fields(task.digest.hex())
        yield from self._source(task)
        is_hash = bool(text) and task.digest.hex().startswith(text.lower())
        yield from self._versions(versions, task if is_hash else None)
        jobs = jobs_of_task(self._history, task.fullname, self._limit(_MAX_USES))
        entries = (TreeEntry(0, job) for job in jobs)
        total = sum(version.jobs for version in versions)
        is_cut = not self._show_all and total > _MAX_USES
        heading = f"Jobs (the latest {_MAX_USES} of {format_count(total)})" if is_cut else "Jobs"
        yield from ("", self._heading(heading), *self._blocks(entries))
        if is_cut:
            yield f"`log --job --task-name {one_line(task.fullname)}` lists them all"

    def _versions(self, versions: list[TaskVersion], only: TaskRow | None) -> Iterator[str]:
        """Yield each version of a task, the latest first, with what changed from the one before.

        Parameters
        ----------
        only
            The version that was asked for; None for all.
        """
        if len(versions) < 2 or versions[0].task.fullname == SCRIPT_TASK:
            return
        yield from ("", self._heading(f"Versions ({format_count(len(versions))})"))
        most = self._limit(_MAX_VERSIONS)
        shown = 0
        for before, version in zip([*versions[-2::-1], None], reversed(versions)):
            if only is not None and version.task.id != only.id:
                continue
            if shown == most:
                left = format_count(len(versions) - shown)
                name = one_line(version.task.fullname)
                yield f"  … {left} more: `log --detail {name}` shows them"
                return
            shown += 1
            yield f"  {self._hash(version.task.digest)}  {_use(version)}"
            if before is not None:
                yield from self._difference(before.task, version.task)

    def _difference(self, before: TaskRow, after: TaskRow) -> Iterator[str]:
        """Yield the lines in which two versions of a task differ."""
        from difflib import unified_diff

        if before.version != after.version:
            old, new = (one_line(task.version or "none") for task in (before, after))
            yield f"    version {old} → {new}"
        old_lines, new_lines = (printable(t.source).splitlines() for t in (before, after))
        lines = [*unified_diff(old_lines, new_lines, lineterm="", n=2)][2:]
        colours = {"+": DONE, "-": FAILED, "@": "faint"}
        most = self._limit(_MAX_DIFF_LINES)
        for line in lines[:most]:
            yield "    " + self._palette.paint(self._fit(line, 4), colours.get(line[:1], ""))
        if most is not None and len(lines) > most:
            yield f"    … {format_count(len(lines) - most)} more lines"
        if not lines and before.version == after.version:
            yield "    the same text: it differs in its options, or in what its hash includes"

    def _file(self, file: FileRow) -> Iterator[str]:
        """Yield the lines of a file: its states, the latest first, and who wrote and read each."""
        states = self._history.files_at(file.path)
        yield self._title("File", file.path, "")
        for state in states[: self._limit(_MAX_VERSIONS)]:
            yield ""
            digest = self._palette.paint(state.value.digest.hex()[:8], "title")
            yield f"{digest}  {stored_text(state.value, 200)}"
            yield from self._tag_fields(state.value.digest.hex())
            yield from self._uses_of(state.value)
        left = len(states) - len(states[: self._limit(_MAX_VERSIONS)])
        if left:
            yield f"… {format_count(left)} earlier states: --detail shows them"

    def _uses_of(self, value: ValueRow) -> Iterator[str]:
        """Yield who made a value and who was given it, each with its last job."""
        for label, trace in (("Written by", trace_up), ("Read by", trace_down)):
            found = trace(self._history, value, _NEXT)
            nodes = [line.node for line in tree_of(found) if line.depth == 1]
            calls = [node.call for node in nodes if node.call is not None]
            jobs = latest_jobs_of(self._history, [call.id for call in calls])
            arguments = self._history.arguments(call.id for call in calls)
            yield f"  {self._heading(label)}"
            shown = nodes[: self._limit(_MAX_USES)]
            for node in shown:
                if node.call is None:
                    continue
                job, _ = jobs.get(node.call.id, (None, 0))
                job_id = "" if job is None else self._history.job_id(job)
                when = "" if job is None else format_time(job.started)
                told = self._fit(_node_text(node, arguments), 40)
                shown_id = (job_id or node.call.digest.hex()[:8]) + "…" * (node.total > 1)
                yield f"    {shown_id:<14} {when:<19}  {told}"
            if not calls:
                nobody = "no call: an input" if trace is trace_up else "no call"
                yield f"    {nobody}"
            if len(nodes) > len(shown):
                yield f"    … {format_count(len(nodes) - len(shown))} more"

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


def stored_text(value: ValueRow, limit: int = VALUE_LENGTH) -> str:
    """Return a stored value as a line of some characters at most; nothing is loaded for real."""
    return format_stored(value.type_name, value.size, value.data, limit)


def _call_text(task_name: str, arguments: list[ArgumentRow] | None) -> str:
    if arguments is None:
        return format_call(task_name, None)
    return format_call(task_name, [(a.name, stored_text(a.value)) for a in arguments])


def _result_text(value: ValueRow) -> str:
    return error_text(value) if value.type_name.endswith("ErrorValue") else stored_text(value)


def _node_text(node: LineageNode, arguments: dict[int, list[ArgumentRow]]) -> str:
    """Return what a line says of a call or a value of a lineage."""
    more = "+" if node.at_least else ""
    count = f" ×{format_count(node.total)}{more}" if node.total > 1 else ""
    if node.kind == VALUE:
        value = node.value
        is_path = value is None or node.name != value.type_name
        text = one_line(node.name) if is_path or value is None else stored_text(value)
        return f"{text}{count}"
    if node.call is None or count:
        return f"{one_line(node.name)}(…){count}"
    return _call_text(node.name, arguments.get(node.call.id))


def _use(version: TaskVersion) -> str:
    """Return how often and when a version of a task was used."""
    if version.first is None or version.last is None:
        return "by no job"
    jobs = f"{format_count(version.jobs)} job{'' if version.jobs == 1 else 's'}"
    first, last = format_time(version.first), format_time(version.last)
    return f"{jobs}, {first}" + (f" to {last}" if last != first else "")


def _folded(first: JobRow, counts: dict[str, int]) -> str:
    total = format_count(sum(counts.values()))
    parts = ", ".join(f"{format_count(n)} {status.lower()}" for status, n in counts.items())
    return f"{one_line(first.task_name)} ×{total}  ({parts})"


def _told(tags: list[tuple[str, Any]], room: int | None) -> str:
    """Return what a line says of an execution's tags: as many as it has room for.

    The version and the commit are the same for nearly all, and left out.
    """
    told = [(key, value) for key, value in tags if not key.startswith(("redun_lite.", "git_"))]
    for count in range(len(told), 0, -1):
        text = f"  ({_tags(told[:count])})"
        if room is None or len(text) <= room:
            return text
    return ""


def error_text(value: ValueRow) -> str:
    """Return a stored error as one line; of what is none, nothing."""
    error = _attributes(value, ERROR_VALUE)
    if error is None:
        return "" if value.data else stored_text(value)
    return format_stored_error(error)


def error_of(value: ValueRow) -> dict[str, str] | None:
    """Return type, message and traceback of a stored error; None if it is none."""
    error = _attributes(value, ERROR_VALUE)
    if error is None:
        return None
    return {
        "type": str(error.get("error_type", "")),
        "message": str(error.get("message", "")),
        "traceback": str(error.get("traceback", "")),
    }


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
