"""The command `why`: why a job ran instead of being replayed, for people and as JSON.

What there is to say is found by `_why`; here it becomes sentences.  The first line is the answer,
what follows is what it rests on, and the last line is where to go on.
"""

from __future__ import annotations

import sys
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from .. import _why
from .._compare import (
    ABSENT,
    AS_RECORDED,
    GONE,
    MOST,
    UNKNOWN,
    FileState,
    is_external,
    kind_and_place,
    source_diff,
    stands_for_none,
)
from .._display import (
    Palette,
    clip,
    clip_middle,
    format_command,
    format_time,
    listed,
    one_line,
    terminal_width,
    use_colour,
)
from .._errors import UsageError
from .._format_value import format_value
from .._history import MAX_LINE_SIZE, ExecutionRow, JobRow, TaskRow, wrong_kind
from .._status import CACHED
from .._uses import jobs_of_task
from .._why import ArgumentChange, CodeChange, Step, Why, explain
from .command import OK, Command, add_pager_option, add_repository_option, page, recorded
from .describe import error_text, stored_text
from .differences import change_json, code_json, job_json, paint_diff
from .log_json import typed

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from .._history import History, ValueRow

_WIDTH = 120  # Columns for values, where the output is no terminal.
_MAX_LATEST = 1_000  # Jobs of a task among which one that ran is looked for.
_MAX_FILES = 10
_MAX_PARTS = 4  # Differences of one argument.


class WhyCommand(Command):
    """`why JOB`."""

    description = (
        "Say why a job ran instead of being replayed, or whose result it was given.\n\n"
        "JOB is a job's id (5c1f9a3e-12), or the name of a task: for its latest job that ran in\n"
        "the last execution that called it, or for its latest one, if all were replayed. `-` and\n"
        "the name of a task are about the latest execution."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", metavar="JOB", help="the job")
        parser.add_argument("task", metavar="TASK", nargs="?", help="behind `-`: the task")
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="default: text"
        )
        add_repository_option(parser)
        add_pager_option(parser)

    def run(self, options: Namespace) -> int:
        if options.task is not None and options.job != "-":
            raise UsageError("why: name one job, or `-` and a task of the latest execution")
        with recorded(options, "job") as history:
            why = explain(history, find_job(history, options.job, options.task))
            if options.format == "json":
                import json

                lines = json.dumps(WhyJson(history).why(why), indent=2).splitlines()
            else:
                palette = Palette(use_colour(sys.stdout))
                lines = list(WhyText(history, palette, terminal_width(sys.stdout)).lines(why))
        page(lines, options)
        return OK


def find_job(history: History, text: str, task_name: str | None = None) -> JobRow:
    """Return the job that an id, a task's name, or `-` and a task's name stand for.

    Raises
    ------
    UsageError
        There is none, or something else has that id.
    """
    if text == "-":
        execution = history.find("-")
        if task_name is None:
            raise UsageError("why -: name a task of the latest execution behind it")
        task = _find_task(history, task_name)
        job = _latest_job(history, task.fullname)
        if job and isinstance(execution, ExecutionRow) and job.execution_id == execution.id:
            return job
        raise UsageError(f"the latest execution has no job of {task.fullname}")
    found = history.find(text)
    if isinstance(found, JobRow):
        return found
    if isinstance(found, TaskRow):
        job = _latest_job(history, found.fullname)
        if job is None:
            raise UsageError(f"there is no job of {found.fullname}")
        return job
    raise wrong_kind(text, found, "a job", f"; `log --job {text}` lists its jobs")


def _latest_job(history: History, fullname: str) -> JobRow | None:
    """Return the latest job of a task, or one that ran, if its execution has one.

    Of a hundred jobs, of which one ran, that one is what somebody wonders about.
    """
    latest: JobRow | None = None
    for job in jobs_of_task(history, fullname, _MAX_LATEST):
        latest = latest or job
        if job.execution_id != latest.execution_id:
            break
        if job.status != CACHED:
            return job
    return latest


def _find_task(history: History, name: str) -> TaskRow:
    found = history.find(name)
    if isinstance(found, TaskRow):
        return found
    raise wrong_kind(name, found, "a task")


# Text


class WhyText:
    """Says in lines of text what was found."""

    def __init__(self, history: History, palette: Palette, width: int | None) -> None:
        self._history = history
        self._palette = palette
        self._width = width or _WIDTH

    def lines(self, why: Why) -> Iterator[str]:
        """Yield the lines on a job."""
        job = why.job
        title = self._palette.paint(f"{one_line(job.task_name)} {self._id(job)}", "title")
        status = self._palette.paint(job.status, job.status)
        head = f"{title}  {status}"
        answer = self._answer(why)
        used = len(one_line(job.task_name)) + len(self._id(job)) + len(job.status) + 5
        if used + len(answer) <= self._width:
            yield f"{head}  {answer}"
        else:
            yield head
            yield from (f"  {line}" for line in wrap(answer, max(self._width - 2, 20)))
        earlier = self._earlier(why)
        if earlier:
            yield f"  {earlier}"
        if why.change is not None:
            if why.change.code is not None:
                yield from self._code(why.change.code)
            for argument in why.change.arguments:
                yield from self._argument(argument)
        for change in why.below:
            yield from self._code(change)
        if why.files:
            yield from ("", self._heading("What it returned"))
            shown = [state for state in why.files if state.state != AS_RECORDED] or why.files
            yield from (f"  {self._file(state, why.written)}" for state in shown[:_MAX_FILES])
            if len(shown) > _MAX_FILES:
                yield f"  … {len(shown) - _MAX_FILES} more"
        yield from self._way(why)
        yield from self._hint(why)

    def _answer(self, why: Why) -> str:
        if why.reason == _why.CALL:
            return f"ran, since {self._changes(why)}"
        sentence = _ANSWERS[why.reason]
        detail = one_line(why.detail)
        if why.reason == _why.UNCACHED:
            return sentence.format(self._option(why))
        if why.reason == _why.FAILED_BEFORE:
            return f"{sentence}: {detail}"
        if why.reason == _why.REPLAYED and detail:
            return "was replayed, and failed since a job below it did"
        if why.reason == _why.REPLAYED and why.earlier_job is None:
            return "was replayed: its result was recorded before"
        return sentence

    def _option(self, why: Why) -> str:
        is_typed = why.detail == "cache=False" and "--no-cache" in why.execution.argv
        return "--no-cache" if is_typed else one_line(why.detail)

    def _changes(self, why: Why) -> str:
        change = why.change
        assert change is not None
        parts = []
        if change.code is not None:
            parts.append(_CODE_CHANGES[change.code.what])
        new = [one_line(a.name) for a in change.arguments if a.before is None]
        gone = [one_line(a.name) for a in change.arguments if a.after is None]
        other = [
            one_line(a.name)
            for a in change.arguments
            if a.before is not None and a.after is not None
        ]
        for names, singular, plural in (
            (other, "its argument {} is another one", "its arguments {} are others"),
            (new, "it has a new argument {}", "it has new arguments {}"),
            (gone, "it has no argument {} any more", "it has no arguments {} any more"),
        ):
            if names:
                parts.append((singular if len(names) == 1 else plural).format(listed(names)))
        return listed(parts) or "config_args names other arguments than before"

    def _earlier(self, why: Why) -> str:
        """Return what the job is compared with, or where its result or error came from."""
        job = why.earlier_job
        if why.failed is not None:
            error = self._history.results([why.failed.call_id or 0], MAX_LINE_SIZE)
            told = error_text(error[why.failed.call_id or 0])
            return clip_middle(
                f"{one_line(why.failed.task_name)} {self._id(why.failed)}: {told}", self._width - 2
            )
        if job is None:
            if why.earlier is None:
                return ""
            call = f"call {why.earlier.digest.hex()[:8]} of {format_time(why.earlier.computed)}"
            return f"{_COMPARED.get(why.reason, 'compared with')} {call}"
        text = f"{_COMPARED.get(why.reason, 'compared with')} {self._id(job)}"
        if job.execution_id != why.job.execution_id:
            text += f" of {format_time(job.started)}"
        if why.change is not None and why.change.equal:
            same = why.change.equal
            text += f", which has {same} equal argument{'' if same == 1 else 's'}"
        return text

    def _code(self, change: CodeChange) -> Iterator[str]:
        before, after = change.before, change.after
        yield ""
        if change.what == "version":
            yield self._heading(f"Version of {one_line(after.fullname)}")
            yield f"  before  {one_line(before.version or 'none: its source counts')}"
            yield f"  now     {one_line(after.version or 'none: its source counts')}"
            if before.source == after.source:
                return
        elif change.what == "hash_includes":
            yield self._heading(f"Code of {one_line(after.fullname)}")
            yield "  its own is the same, but not what its hash_includes names, or wrappers around"
            return
        else:
            yield self._heading(f"Code of {one_line(after.fullname)}")
        yield from paint_diff(source_diff(before.source, after.source), self._palette)

    def _argument(self, change: ArgumentChange) -> Iterator[str]:
        yield ""
        yield self._heading(f"Argument {one_line(change.name)}")
        if change.before is None or change.after is None:
            yield f"  before  {self._stored(change.before)}"
            yield f"  now     {self._stored(change.after)}"
            return
        parts = change.parts[:MOST]
        if not parts:  # Too long to be taken apart, or broken.
            for word, value in (("before", change.before), ("now", change.after)):
                digest = self._palette.paint(value.digest.hex()[:8], "faint")
                yield f"  {word:<6}  {self._stored(value)}  {digest}"
            return
        for part in parts[:_MAX_PARTS]:
            if part.path:
                yield f"  {one_line(change.name)}{one_line(part.path)}"
            yield f"  before  {self._part(part.before)}"
            yield f"  now     {self._part(part.after)}"
        if len(change.parts) > _MAX_PARTS:
            yield "  … and more"
        for state in change.files[:_MAX_FILES]:
            if state.state not in (AS_RECORDED, UNKNOWN):
                yield f"  {self._file(state)}"

    def _stored(self, value: ValueRow | None) -> str:
        return "none" if value is None else stored_text(value, self._width - 20)

    def _part(self, part: Any) -> str:
        if part is ABSENT:
            return "none"
        if is_external(part) and stands_for_none(*kind_and_place(part), part.text("hash")):
            return f"{format_value(part, self._width - 33)}, which was not there"
        return format_value(part, self._width - 10)

    def _file(self, state: FileState, written: frozenset[str] = frozenset()) -> str:
        place = f"{one_line(state.kind)} {one_line(state.place)}"
        recorded = f"recorded with hash {one_line(state.recorded[:8])}"
        if state.state == UNKNOWN:
            return f"{place}: {recorded}, not looked at"
        if state.state == GONE:
            return f"{place}: {recorded}, at present there is none"
        if state.state == AS_RECORDED:
            return f"{place}: {recorded}, and as it was"
        by_whom = ", which this job has written" if state.present in written else ""
        return f"{place}: {recorded}, at present it has {(state.present or '')[:8]}{by_whom}"

    def _way(self, why: Why) -> Iterator[str]:
        """Yield the way to what made the job another one."""
        if not why.steps:
            return
        yield ""
        yield self._heading("Where that comes from")
        for step in why.steps:
            name = one_line(step.task_name)
            job = "" if step.job is None else f" {self._id(step.job)}"
            yield clip(f"  {name}{job}  {self._step(step, why)}", self._width)

    def _step(self, step: Step, why: Why) -> str:
        if step.cause == _why.ARGUMENT:
            return f"argument {one_line(step.argument)}: {self._source(step, why)}"
        return {
            _why.CODE: "its code is another one",
            _why.RESULT_BELOW: "what it came to: a call below it came out differently",
            _why.RAN_AGAIN: "is the same call, and came to something else",
            _why.NEW: "is another call, for its config_args",
        }[step.cause]

    def _source(self, step: Step, why: Why) -> str:
        if step.source == "files":
            return f"{clip(one_line(listed(list(step.places[:3]))), 80)} changed"
        if step.source == "command line":
            now = format_command(why.execution.argv)
            return f"given by `{one_line(now)}`"
        return {
            "result": "the result of",
            "parent": "given by",
        }.get(step.source, "is another one")

    def _hint(self, why: Why) -> Iterator[str]:
        last = why.steps[-1] if why.steps else None
        if last is not None and last.job is not None and last.source == "":
            if last.job.id != why.job.id:
                yield ""
                yield f"`why {self._id(last.job)}` goes on from there"
        elif why.failed is not None:
            yield ""
            yield f"`log {self._id(why.failed)}` shows that one"
        elif why.reason == _why.SHARED and why.earlier_job is not None:
            yield f"`why {self._id(why.earlier_job)}` says why that one ran"

    def _id(self, job: JobRow) -> str:
        return self._history.job_id(job)

    def _heading(self, text: str) -> str:
        return self._palette.paint(text, "title")


_CODE_CHANGES = {
    "source": "its code is another one",
    "version": "its version is another one",
    "hash_includes": "what its code includes is another one",
}
_ANSWERS = {
    _why.FIRST: "ran, since no earlier call of its task is recorded",
    _why.UNCACHED: "ran, since no earlier result was looked for: {}",
    _why.FAILED_BEFORE: "ran, since the same call failed before, and errors are not replayed",
    _why.UNFINISHED: "ran, since the same call did not come to its end before",
    _why.INVALID: "ran, since what the same call returned before is not what it was",
    _why.BELOW: "ran, since the code of tasks below it is another one",
    _why.UNKNOWN_REASON: (
        "ran, though the same call is recorded. What it returned could not be used: its files were "
        "others then, its class could not be loaded, or the job's options ruled it out"
    ),
    _why.NOT_CALLED: "was not called: its arguments or options did not come to values",
    _why.REPLAYED: "was replayed",
    _why.STEPWISE: "was replayed: it led to the same calls as before, and each was looked up anew",
    _why.SHARED: "was not run: an equal job of this execution was",
}
_COMPARED = {
    _why.REPLAYED: "its result is that of",
    _why.STEPWISE: "its calls are those of",
    _why.SHARED: "its result is that of",
    _why.INVALID: "the same call was",
    _why.FAILED_BEFORE: "the same call was",
    _why.UNFINISHED: "the same call was",
    _why.BELOW: "the same call was",
    _why.UNKNOWN_REASON: "the same call was",
}


# JSON


class WhyJson:
    """Says what was found in objects for `json.dumps`."""

    def __init__(self, history: History) -> None:
        self._history = history

    def why(self, why: Why) -> dict[str, Any]:
        """Return all that was found about a job."""
        code = None if why.change is None else why.change.code
        arguments = [] if why.change is None else why.change.arguments
        compared = None
        if why.earlier is not None:
            job = why.earlier_job
            compared = {
                "call_hash": why.earlier.digest.hex(),
                "job": None if job is None else job_json(self._history, job),
            }
        return typed(
            "Why",
            **job_json(self._history, why.job),
            reason=why.reason,
            detail=why.detail or None,
            compared_with=compared,
            code=None if code is None else code_json(code),
            args=list(map(argument_json, arguments)),
            tasks_below=list(map(code_json, why.below)),
            files=list(map(file_json, why.files)),
            failed=None if why.failed is None else job_json(self._history, why.failed),
            way=list(map(self._step, why.steps)),
        )

    def _step(self, step: Step) -> dict[str, Any]:
        return {
            "task_name": step.task_name,
            "job_id": None if step.job is None else self._history.job_id(step.job),
            "cause": step.cause,
            "argument": step.argument or None,
            "source": step.source or None,
            "files": list(step.places),
        }


def argument_json(change: ArgumentChange) -> dict[str, Any]:
    """Return a change of an argument for `json.dumps`."""
    return {
        "name": change.name,
        **change_json(change.before, change.after, change.parts),
        "files": list(map(file_json, change.files)),
    }


def file_json(state: FileState) -> dict[str, Any]:
    """Return the state of a file for `json.dumps`."""
    return {
        "kind": state.kind,
        "path": state.place,
        "recorded": state.recorded,
        "state": state.state,
        "present": state.present,
    }
