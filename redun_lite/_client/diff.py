"""The command `diff`: what changed between two executions, for people and as JSON.

What was edited comes first, then the files, then the jobs: most often these are what follows from
the others.  Jobs of one task in which the same things are others are told as one, by an example.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .._changes import (
    BELOW,
    CODE,
    MAX_JOBS,
    RESULT,
    STATUS,
    Changes,
    Details,
    JobPair,
    ValueChange,
    compare_executions,
    details_of,
    find_executions,
)
from .._compare import ABSENT, kind_and_place, source_diff, stands_for_none
from .._display import (
    Palette,
    clip,
    clip_middle,
    format_command,
    format_count,
    format_duration,
    format_table,
    format_time,
    listed,
    one_line,
    terminal_width,
    use_colour,
)
from .._errors import UsageError
from .._format_value import format_value
from .._history import MAX_LINE_SIZE
from .._status import FAILED
from .._uses import origin_of_failure
from .._why import is_same_place
from .command import OK, Command, add_pager_option, add_repository_option, page, recorded
from .describe import error_text, stored_text
from .differences import change_json, code_json, job_json, paint_diff
from .log_json import times_json, typed

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from .._history import ExecutionRow, History, JobRow, ValueRow
    from .._safe_load import Composite
    from .._why import CodeChange

_WIDTH = 120  # Columns for values, where the output is no terminal.
_MAX_GROUPS = 40  # Kinds of changes of jobs.
_MAX_FILES = 30
_MAX_NAMES = 20
_MAX_PARTS = 4  # Differences of one value.
_MAX_TASKS = 15  # Rows of the table of durations.
_MAX_JSON_PAIRS = 1_000


class DiffCommand(Command):
    """`diff [EXECUTION [EXECUTION]]`."""

    description = (
        "Show what changed from one execution to another: tasks that were edited, arguments,\n"
        "files, results, and how jobs came out.\n\n"
        "EXECUTION is the start of an execution's id, or `-` for the latest. With one of them, it\n"
        "is compared with the one before it that ran the same task; without, the latest is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "executions", metavar="EXECUTION", nargs="*", help="what to compare: none, one or two"
        )
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="default: text"
        )
        add_repository_option(parser)
        add_pager_option(parser)

    def run(self, options: Namespace) -> int:
        if len(options.executions) > 2:
            raise UsageError("diff: name two executions at most")
        with recorded(options) as history:
            changes = compare_executions(history, *find_executions(history, options.executions))
            if options.format == "json":
                import json

                lines = json.dumps(changes_json(history, changes), indent=2).splitlines()
            else:
                palette = Palette(use_colour(sys.stdout))
                lines = list(DiffText(history, palette, terminal_width(sys.stdout)).lines(changes))
        page(lines, options)
        return OK


# Text


class DiffText:
    """Says in lines of text what changed."""

    def __init__(self, history: History, palette: Palette, width: int | None) -> None:
        self._history = history
        self._palette = palette
        self._width = width or _WIDTH

    def lines(self, changes: Changes) -> Iterator[str]:
        """Yield the lines on two executions."""
        yield from self._executions(changes)
        yield from self._tasks(changes)
        yield from self._files(changes)
        yield from self._jobs(changes)
        yield from self._durations(changes)

    def _executions(self, changes: Changes) -> Iterator[str]:
        before, after = changes.before, changes.after
        for label, execution in (("before", before), ("after", after)):
            title = self._palette.paint(f"{label:<6}  {one_line(execution.uuid[:8])}", "title")
            status = self._palette.paint(f"{execution.status:<9}", execution.status)
            head = f"{title}  {status}  {format_time(execution.started)}  {_took(execution):>8}  "
            room = self._width - 50
            yield head + clip(format_command(execution.argv), max(room, 20))
        yield from self._failure(after)

    def _failure(self, execution: ExecutionRow) -> Iterator[str]:
        """Yield the line on the error of the later execution: all else may follow from it."""
        origin = origin_of_failure(self._history, execution) if execution.status == FAILED else None
        if origin is None or origin.call_id is None:
            return
        result = self._history.results([origin.call_id], MAX_LINE_SIZE)[origin.call_id]
        job = f"{self._history.job_id(origin)} {one_line(origin.task_name)}"
        told = clip_middle(f"{job}: {error_text(result)}", self._width - 8)
        yield f"        {self._palette.paint(told, FAILED)}"

    def _tasks(self, changes: Changes) -> Iterator[str]:
        for change in changes.edited:
            yield ""
            yield self._heading(f"Edited  {one_line(change.after.fullname)}{_what(change)}")
            if change.before.source != change.after.source:
                yield from paint_diff(
                    source_diff(change.before.source, change.after.source), self._palette
                )
        for heading, names in (
            ("New tasks", changes.added),
            ("Tasks that are not called any more", changes.gone),
        ):
            if names:
                yield ""
                yield self._heading(heading)
                yield from (f"  {one_line(name)}" for name in names[:_MAX_NAMES])
                if len(names) > _MAX_NAMES:
                    yield f"  … {len(names) - _MAX_NAMES} more"

    def _files(self, changes: Changes) -> Iterator[str]:
        if not changes.files:
            return
        yield ""
        yield self._heading("Files")
        for file in changes.files[:_MAX_FILES]:
            if file.before is None or file.after is None:
                word, digest = (
                    ("new", file.after) if file.before is None else ("unused", file.before)
                )
                state = f"{word:<7}  {one_line((digest or '')[:8])}"
            else:
                states = [_state(file.kind, file.place, x) for x in (file.before, file.after)]
                state = f"changed  {states[0]:<8} → {states[1]}"
            yield clip(f"  {state:<28}  {one_line(file.place)}", self._width)
        if len(changes.files) > _MAX_FILES:
            yield f"  … {format_count(len(changes.files) - _MAX_FILES)} more"

    def _jobs(self, changes: Changes) -> Iterator[str]:
        yield ""
        first, *more = _wrapped(self._counts(changes), self._width - 6)
        yield self._heading("Jobs") + f"  {first}"
        yield from (f"      {line}" for line in more)
        if changes.is_cut:
            yield f"  of each execution, the first {format_count(MAX_JOBS)} jobs are compared"
        groups: dict[tuple[str, tuple[str, ...]], list[JobPair]] = {}
        for pair in changes.pairs:
            groups.setdefault((pair.after.task_name, pair.kinds), []).append(pair)
        told = [group for key, group in groups.items() if key[1] != (BELOW,)]
        shown = told[:_MAX_GROUPS]
        for group, details in zip(shown, details_of(self._history, [group[0] for group in shown])):
            yield from self._group(group, details)
        if len(told) > len(shown):
            yield f"  … {format_count(len(told) - len(shown))} more kinds of changes"
        yield from self._unmatched("new", changes.new_jobs)
        yield from self._unmatched("gone", changes.gone_jobs)

    def _counts(self, changes: Changes) -> list[str]:
        words = [
            f"{format_count(count)} {word}"
            for count, word in (
                (changes.equal, "equal"),
                (len(changes.pairs), "changed"),
                (len(changes.new_jobs), "new"),
                (len(changes.gone_jobs), "gone"),
            )
            if count or word in ("equal", "changed")
        ]
        for (before, after), count in sorted(changes.statuses.items()):
            words.append(f"{format_count(count)} {before} → {after}")
        return words

    def _group(self, group: list[JobPair], details: Details) -> Iterator[str]:
        """Yield the lines on jobs of one task in which the same things are others."""
        first = group[0]
        name = one_line(first.after.task_name)
        ids = f"{self._history.job_id(first.before)} → {self._history.job_id(first.after)}"
        times = f" ×{format_count(len(group))}" if len(group) > 1 else ""
        statuses = ""
        if STATUS in first.kinds:
            after = self._palette.paint(first.after.status, first.after.status)
            statuses = f"  {first.before.status} → {after}"
            if first.after.call_id is None and first.after.status == FAILED:
                statuses += ", not called"
        yield f"  {self._palette.paint(f'{name}{times}', 'title')}  {ids}{statuses}"
        told = [_KINDS[kind] for kind in first.kinds if kind in _KINDS]
        if told:
            yield f"    {listed(told)}"
        for argument, change in details.arguments.items():
            yield from self._value(f"argument {argument}", change)
        if RESULT in first.kinds and details.result is not None:
            yield from self._value("result", details.result)

    def _value(self, name: str, change: ValueChange) -> Iterator[str]:
        """Yield the lines on a value that is another one: of an argument, or the result."""
        label = one_line(name)
        if not change.parts:
            yield self._change(label, self._stored(change.before), self._stored(change.after))
            return
        for part in change.parts[:_MAX_PARTS]:
            if is_same_place(part):
                yield self._file(label + one_line(part.path), part.after, part.before)
                continue
            before, after = (
                "none" if side is ABSENT else format_value(side, self._width // 2)
                for side in (part.before, part.after)
            )
            yield self._change(label + one_line(part.path), before, after)
        if len(change.parts) > _MAX_PARTS:
            yield "    … and more"

    def _file(self, label: str, after: Composite, before: Composite) -> str:
        """Return the line on a file that is in another state: the end of its path tells most."""
        states = [_state(*kind_and_place(file), file.text("hash")) for file in (before, after)]
        place = one_line(after.text("path") or after.text("pattern"))
        room = max(self._width - len(label) - 30, 20)
        if len(place) > room:
            place = "…" + place[1 - room :]
        return f"    {label}  {place}  {states[0]} → {states[1]}"

    def _change(self, label: str, before: str, after: str) -> str:
        line = f"    {label}  {before} → {after}"
        if len(line) <= self._width:
            return line
        half = max((self._width - len(label) - 16) // 2, 12)
        return f"    {label}  {_cut(before, half)} → {_cut(after, half)}"

    def _stored(self, value: ValueRow | None) -> str:
        if value is None:
            return "none"
        return error_text(value) or stored_text(value, self._width // 2)

    def _unmatched(self, word: str, jobs: list[JobRow]) -> Iterator[str]:
        """Yield a line for the jobs of each task that have no counterpart."""
        by_task: dict[str, list[JobRow]] = {}
        for job in jobs:
            by_task.setdefault(job.task_name, []).append(job)
        for index, (name, found) in enumerate(by_task.items()):
            if index == _MAX_NAMES:
                yield f"  … {len(by_task) - _MAX_NAMES} more tasks"
                return
            times = f" ×{format_count(len(found))}" if len(found) > 1 else ""
            title = self._palette.paint(f"{one_line(name)}{times}", "title")
            yield f"  {title}  {word}: {self._history.job_id(found[0])}"

    def _durations(self, changes: Changes) -> Iterator[str]:
        """Yield the table of how long the jobs took that ran."""
        found = sorted(
            changes.durations.items(), key=lambda item: -max(item[1].before, item[1].after)
        )
        if not found:
            return
        rows = [["RAN", "BEFORE", "EACH", "AFTER", "EACH"]]
        for name, spent in found[:_MAX_TASKS]:
            rows.append(
                [
                    one_line(name),
                    *_ran(spent.jobs_before, spent.before),
                    *_ran(spent.jobs_after, spent.after),
                ]
            )
        yield ""
        yield from format_table(rows, "<>>>>", self._palette)
        if len(found) > _MAX_TASKS:
            yield f"… {len(found) - _MAX_TASKS} more tasks"

    def _heading(self, text: str) -> str:
        return self._palette.paint(text, "title")


_KINDS = {CODE: "its code is another one"}


def _state(kind: str, place: str, digest: str) -> str:
    """Return what tells a state of a file from others: the start of its hash."""
    return "missing" if stands_for_none(kind, place, digest) else one_line(digest[:8])


def _cut(text: str, width: int) -> str:
    """Return a value's text with both its ends, unless it has lost one of them already."""
    return clip(text, width) if text.endswith("…") else clip_middle(text, width)


def _wrapped(words: list[str], width: int) -> list[str]:
    """Return words with commas between them, as lines that break only there."""
    lines = [""]
    for index, word in enumerate(words):
        text = word + ("," if index < len(words) - 1 else "")
        if lines[-1] and len(lines[-1]) + 1 + len(text) > width:
            lines.append(text)
        else:
            lines[-1] += f" {text}" if lines[-1] else text
    return lines


def _took(execution: ExecutionRow) -> str:
    if execution.ended is None:
        return ""
    return format_duration(max(execution.ended - execution.started, 0) / 1_000_000)


def _ran(jobs: int, seconds: float) -> list[str]:
    return [format_count(jobs), format_duration(seconds / jobs)] if jobs else ["0", ""]


def _what(change: CodeChange) -> str:
    if change.what == "version":
        before, after = (one_line(task.version or "none") for task in change[:2])
        return f"  version {before} → {after}"
    return "" if change.what == "source" else "  what its hash_includes names"


# JSON


def changes_json(history: History, changes: Changes) -> dict[str, Any]:
    """Return what changed between two executions for `json.dumps`."""
    pairs = changes.pairs[:_MAX_JSON_PAIRS]
    return typed(
        "Diff",
        before=_execution_json(changes.before),
        after=_execution_json(changes.after),
        code=list(map(code_json, changes.edited)),
        tasks_added=changes.added,
        tasks_gone=changes.gone,
        files=[
            {"kind": file.kind, "path": file.place, "before": file.before, "after": file.after}
            for file in changes.files
        ],
        jobs={
            "equal": changes.equal,
            "changed": len(changes.pairs),
            "new": len(changes.new_jobs),
            "gone": len(changes.gone_jobs),
            "is_cut": changes.is_cut,
        },
        statuses=[
            {"before": before, "after": after, "jobs": count}
            for (before, after), count in sorted(changes.statuses.items())
        ],
        changed=[
            _pair_json(history, pair, details)
            for pair, details in zip(pairs, details_of(history, pairs))
        ],
        new=[job_json(history, job) for job in changes.new_jobs[:_MAX_JSON_PAIRS]],
        gone=[job_json(history, job) for job in changes.gone_jobs[:_MAX_JSON_PAIRS]],
        durations=[
            {"task_name": name, **spent._asdict()} for name, spent in changes.durations.items()
        ],
    )


def _execution_json(execution: ExecutionRow) -> dict[str, Any]:
    return {
        "execution_id": execution.uuid,
        "args": execution.argv,
        "status": execution.status,
        **times_json(execution.started, execution.ended),
    }


def _pair_json(history: History, pair: JobPair, details: Details) -> dict[str, Any]:
    return {
        "before": job_json(history, pair.before),
        "after": job_json(history, pair.after),
        "changed": list(pair.kinds),
        "args": [
            {"name": name, **change_json(*change)} for name, change in details.arguments.items()
        ],
        "result": None if details.result is None else change_json(*details.result),
    }
