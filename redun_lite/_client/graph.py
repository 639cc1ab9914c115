"""`graph`: an execution, or the lineage of a file, value or call, as boxes and arrows.

Of an execution, jobs are boxes, jobs that they led to are inside, and arrows say whose result went
into whom.  Calls of one task by one job are one box if they are many, with all that is below them
folded alike; so a hundred samples through five steps are five boxes.  Where there are still too
many, every two equal siblings are one box.  A recursion is folded from its third turn on.

An execution may have a million jobs.  The database counts them by parent, task and status, and only
the few that are boxes of their own are read.  Arrows of a box for many jobs are those of some of
them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from .._display import format_call, format_count, format_duration, format_time, one_line
from .._errors import UsageError
from .._format_value import format_stored, format_stored_error
from .._history import CallRow, ExecutionRow, FileRow, JobRow, TaskRow, ValueRow, wrong_kind
from .._lineage import (
    CALL,
    Limits,
    Lineage,
    LineageEdge,
    LineageNode,
    trace_down,
    trace_up,
)
from .._schema import JOB_NUMBER_BITS, job_ids, job_number
from .._status import CACHED, CANCELLED, DONE, FAILED, KILLED, RUNNING
from .command import OK, Command, add_repository_option, number_from, recorded
from .output import format_of, write_output
from .picture import FILE, JOB, Arrow, Box, Picture, to_dot, to_mermaid, to_svg

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

    from .._history import ArgumentRow, History

FORMATS = {"svg": to_svg, "dot": to_dot, "mermaid": to_mermaid}

"""What stands for standard output."""

_SUFFIXES = {
    ".svg": "svg",
    ".dot": "dot",
    ".gv": "dot",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
}

FOLD = 5
"""Equal siblings that are still drawn one by one."""

_MAX_BOXES = 250  # With more, equal siblings are folded however few.
_MOST_BOXES = 600  # More are not drawn.
_MAX_PARENTS = 200_000  # Jobs that led to others of which is kept what box they are in.
_MAX_EXAMPLES = 20  # Jobs of a box that its arrows are taken from.
_MAX_TURNS = 3
_MAX_DEPTH = 12  # Boxes around a box.
_RESULT = 24  # Characters of a result in a box.
_TIP = 200  # Characters of a line of a tooltip.

_BY_WEIGHT = (FAILED, KILLED, CANCELLED, RUNNING, DONE, CACHED)


class GraphCommand(Command):
    """`graph`."""

    description = (
        "Draw an execution, or where a file, value or call came from.\n\n"
        "WHAT is `-` or the start of an execution's id, the path of a file, a job's id, or the\n"
        "start of the hash of a call or value. Of an execution: its jobs, and who used whose\n"
        "result. Of anything else: what it was made from, or with --down what was made with it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", metavar="WHAT", help="what to draw")
        parser.add_argument(
            "--format",
            choices=list(FORMATS),
            help="default: as the name of FILE says, else svg",
        )
        parser.add_argument("-o", "--output", metavar="FILE", help="default: standard output")
        parser.add_argument(
            "--down", action="store_true", help="what was made with it, not what it was made from"
        )
        parser.add_argument(
            "--fold",
            metavar="N",
            type=number_from(),
            default=FOLD,
            help=f"draw up to N equal siblings one by one; default {FOLD}",
        )
        parser.add_argument(
            "--depth",
            metavar="N",
            type=number_from(1),
            help="steps from the file or call; levels of jobs",
        )
        add_repository_option(parser)

    def run(self, options: Namespace) -> int:
        format_name = format_of(options, _SUFFIXES, "svg")
        with recorded(options, f"{options.what!r} to draw") as history:
            picture = draw(history, options.what, options.down, options.fold, options.depth)
        write_output([FORMATS[format_name](picture).encode()], options.output)
        return OK


def draw(
    history: History, what: str, is_down: bool = False, fold: int = FOLD, depth: int | None = None
) -> Picture:
    """Return what there is to be drawn of an execution, file, value, call or job.

    Raises
    ------
    UsageError
        There is no such thing, or nothing of it can be drawn.
    """
    found = history.find(what)
    if isinstance(found, ExecutionRow):
        if is_down:
            raise wrong_kind(what, found, "a file, a value or a call", ": leave out --down")
        return _draw_execution(history, found, fold, depth)
    if isinstance(found, TaskRow):
        raise wrong_kind(what, found, "an execution, a job, a call, a value or a file")
    start: CallRow | ValueRow
    if isinstance(found, JobRow):
        start = _call_of(history, found)
    else:
        start = found.value if isinstance(found, FileRow) else found
    limits = Limits(levels=depth or Limits().levels, fold=fold)
    trace = trace_down if is_down else trace_up
    return _draw_lineage(history, trace(history, start, limits))


def _call_of(history: History, job: JobRow) -> CallRow:
    if job.call_id is None:
        raise UsageError(f"job {history.job_id(job)} is {job.status}, and has no call recorded")
    return history.call(job.call_id)


# Names


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return names of tasks without the namespace that they have in common.

    >>> short_names(["lab.align", "lab.reads.trim", "redun_lite.script"])
    {'lab.align': 'align', 'lab.reads.trim': 'reads.trim', 'redun_lite.script': 'script'}
    """
    full = list(dict.fromkeys(names))
    users = [name.split(".")[:-1] for name in full if not name.startswith("redun_lite.")]
    common = 0
    for words in zip(*users):
        if len(set(words)) > 1:
            break
        common += 1
    short = {}
    for name in full:
        if name.startswith("redun_lite."):
            short[name] = name.partition(".")[2]
        else:
            short[name] = ".".join(name.split(".")[common:])
    taken = list(short.values())
    return {name: text if taken.count(text) == 1 else name for name, text in short.items()}


def _tip(lines: Iterable[str]) -> str:
    return "\n".join(_clipped(one_line(line)) for line in lines if line)


def _clipped(line: str) -> str:
    return line if len(line) <= _TIP else line[: _TIP - 1] + "…"


def _call_text(name: str, arguments: list[ArgumentRow] | None) -> str:
    if arguments is None:
        return format_call(name, None)
    values = [(a.name, format_stored(*a.value[2:])) for a in arguments]
    return format_call(name, values)


# An execution

_JOBS_OF_EXECUTION = """
SELECT equal.parent_id, above.parent_id, above.task_id, equal.task_id, equal.status, equal.jobs,
    equal.first, equal.last, equal.started, equal.ended, equal.busy
FROM (
    SELECT parent_id, task_id, status, count(*) AS jobs, min(id) AS first, max(id) AS last,
        min(started) AS started, max(ended) AS ended,
        sum(CASE WHEN status <> 'CACHED' AND ended IS NOT NULL THEN ended - started ELSE 0 END)
            AS busy
    FROM job WHERE id BETWEEN ? AND ?
    GROUP BY parent_id, task_id, status
) AS equal
LEFT JOIN job AS above ON above.id = equal.parent_id
ORDER BY coalesce(equal.parent_id, 0), equal.first
"""
_MEMBERS = """
SELECT id, status, started, ended FROM job
WHERE id BETWEEN ? AND ? AND parent_id = ? AND task_id = ? ORDER BY id LIMIT ?
"""
_MEMBERS_AT_TOP = """
SELECT id, status, started, ended FROM job
WHERE id BETWEEN ? AND ? AND parent_id IS NULL AND task_id = ? ORDER BY id LIMIT ?
"""
_CALLS_OF_JOBS = "SELECT id, call_id FROM job WHERE call_id IS NOT NULL AND id IN ({ids})"
_SOURCES = """
SELECT upstream.call_id, argument.name, upstream.upstream_id, call.task_id
FROM upstream JOIN call ON call.id = upstream.upstream_id
    JOIN argument ON argument.call_id = upstream.call_id
        AND argument.position = upstream.position
WHERE upstream.call_id IN ({ids})
ORDER BY upstream.call_id, upstream.position, upstream.upstream_id LIMIT 20000
"""
_FILES = "SELECT value_id, path FROM file WHERE value_id IN ({ids})"


class _Equal(NamedTuple):
    """The jobs that call one task, have one parent and one status."""

    parent_id: int | None
    grandparent_id: int | None
    parent_task_id: int | None
    task_id: int
    status: str
    jobs: int
    first: int
    last: int
    started: int
    ended: int | None
    busy: int


class _Jobs:
    """The jobs that a box stands for."""

    __slots__ = (
        "above",
        "below",
        "busy",
        "counts",
        "depth",
        "ended",
        "examples",
        "folded",
        "is_one",
        "started",
        "task_id",
    )

    def __init__(self, task_id: int, above: _Jobs | None, is_one: bool) -> None:
        self.task_id = task_id
        self.above = above
        self.depth: int = 0 if above is None else above.depth + 1
        self.is_one = is_one
        self.counts: dict[str, int] = {}
        self.examples: list[int] = []
        self.below: list[_Jobs] = []
        self.folded: dict[int, _Jobs] = {}  # Boxes for many jobs inside, by task.
        self.busy = 0
        self.started: int | None = None
        self.ended: int | None = None

    def add(
        self,
        status: str,
        jobs: int,
        ids: tuple[int, ...],
        started: int,
        ended: int | None,
        busy: int,
    ) -> None:
        self.counts[status] = self.counts.get(status, 0) + jobs
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples += [id for id in dict.fromkeys(ids) if id not in self.examples]
        self.busy += busy
        self.started = started if self.started is None else min(started, self.started)
        if ended is not None:
            self.ended = ended if self.ended is None else max(ended, self.ended)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def status(self) -> str:
        return next((s for s in _BY_WEIGHT if self.counts.get(s)), "")


class _TooMany(Exception):
    """There are more boxes than wanted."""


class _JobTree:
    """The jobs of an execution and of its parts, as boxes inside boxes.

    Parameters
    ----------
    fold
        Equal siblings that are still boxes of their own.
    most
        Boxes from which on there are too many.
    is_last
        Whether to leave out what is beyond these; else `_TooMany` is raised.
    """

    def __init__(
        self,
        history: History,
        execution: ExecutionRow,
        fold: int,
        depth: int,
        most: int,
        is_last: bool,
    ) -> None:
        self._history = history
        self._fold = fold
        self._depth = depth
        self._most = most
        self._is_last = is_last
        self._boxes = 0
        self._statuses: dict[tuple[str, int], str] = {}
        self._box_of: dict[int, _Jobs] = {}  # Of jobs that led to others, and of single ones.
        self.root = _Jobs(0, None, True)
        self.root.depth = -1
        self.left_out = 0
        self.is_deeper = False
        parts = history.parts(execution.id)
        self._read(execution.id, self.root)
        for job_id, part_ids in parts.items():
            above = self._find(job_id)
            for part_id in part_ids:
                self._read(part_id, above)

    def _find(self, job_id: int) -> _Jobs:
        """Return the box of a job that a part belongs to; a part of no box is at the top."""
        if job_id in self._box_of:
            return self._box_of[job_id]
        try:
            job = self._history.job(job_id)
        except Exception:  # A job that runs is not recorded at once.
            return self.root
        above = self.root if job.parent_id is None else self._box_of.get(job.parent_id, self.root)
        return above.folded.get(job.task_id, above)

    def _read(self, execution_id: int, top: _Jobs) -> None:
        first, last = job_ids(execution_id)
        above: _Jobs | None = None
        parent_id: int | None = -1  # No job has this id.
        siblings: list[_Equal] = []  # Those of a single job, until all of them are there.
        for row in map(
            _Equal._make, self._history.database.iterate(_JOBS_OF_EXECUTION, first, last)
        ):
            if row.parent_id != parent_id:
                self._add_siblings(above, siblings)
                siblings = []
                parent_id = row.parent_id
                above = top if parent_id is None else self._box_of_parent(parent_id, row, top)
            if above is None or above.depth + 1 >= self._depth:
                self.left_out += row.jobs
                self.is_deeper = self.is_deeper or above is not None
            elif above.is_one:
                siblings.append(row)
            else:
                self._add_to_pile(above, row)
        self._add_siblings(above, siblings)

    def _box_of_parent(self, parent_id: int, row: _Equal, top: _Jobs) -> _Jobs | None:
        box = self._box_of.get(parent_id)
        if box is None and row.parent_task_id is not None:
            above = top
            if row.grandparent_id is not None:
                found = self._box_of.get(row.grandparent_id)
                if found is None:
                    return None
                above = found
            box = above.folded.get(row.parent_task_id)
            if box is not None and len(self._box_of) < _MAX_PARENTS:
                self._box_of[parent_id] = box
        return box

    def _add_siblings(self, above: _Jobs | None, siblings: list[_Equal]) -> None:
        """Add all jobs that a single job led to: few of a task as boxes of their own."""
        by_task: dict[int, list[_Equal]] = {}
        for row in siblings:
            by_task.setdefault(row.task_id, []).append(row)
        for task_id, rows in by_task.items():
            assert above is not None
            total = sum(row.jobs for row in rows)
            turns, _ = _turns(above, task_id)
            if turns < _MAX_TURNS - 1 and total <= self._fold and total <= self._room():
                for id, status, started, ended in self._members(rows, total):
                    box = self._new(above, task_id, is_one=True)
                    status = self._status(status, id)
                    busy = 0 if ended is None or status == CACHED else ended - started
                    box.add(status, 1, (id,), started, ended, busy)
                    self._box_of[id] = box
            else:
                for row in rows:
                    self._add_to_pile(above, row)

    def _add_to_pile(self, above: _Jobs, row: _Equal) -> None:
        """Add equal jobs to the box for all jobs of their task inside another."""
        pile = above.folded.get(row.task_id)
        if pile is None:
            turns, nearest = _turns(above, row.task_id)
            pile = nearest if turns >= _MAX_TURNS else None
            if pile is None:
                if self._room() < 1:
                    self.left_out += row.jobs
                    return
                pile = self._new(above, row.task_id, is_one=False)
            above.folded[row.task_id] = pile
        status = self._status(row.status, row.first)
        ends = (row.first, row.last)
        pile.add(status, row.jobs, ends, row.started, row.ended, int(row.busy))

    def _members(self, rows: list[_Equal], total: int) -> list[tuple[int, str, int, int | None]]:
        if all(row.jobs == 1 for row in rows):
            return sorted((row.first, row.status, row.started, row.ended) for row in rows)
        first, last = min(row.first for row in rows), max(row.last for row in rows)
        parent, task_id = rows[0].parent_id, rows[0].task_id
        database = self._history.database
        if parent is None:
            return database.rows(_MEMBERS_AT_TOP, first, last, task_id, total)
        return database.rows(_MEMBERS, first, last, parent, task_id, total)

    def _status(self, stored: str, job_id: int) -> str:
        """Return what a stored status says of a job; there may be a million to be asked about."""
        key = (stored, job_id >> JOB_NUMBER_BITS)
        if key not in self._statuses:
            self._statuses[key] = self._history.status_of(*key)
        return self._statuses[key]

    def _room(self) -> int:
        if self._boxes >= self._most and not self._is_last:
            raise _TooMany
        return self._most - self._boxes

    def _new(self, above: _Jobs, task_id: int, is_one: bool) -> _Jobs:
        box = _Jobs(task_id, above, is_one)
        above.below.append(box)
        self._boxes += 1
        return box

    def all(self) -> Iterator[_Jobs]:
        """Yield all boxes, each before those inside."""
        waiting = self.root.below[::-1]
        while waiting:
            box = waiting.pop()
            yield box
            waiting += reversed(box.below)


def _turns(above: _Jobs, task_id: int) -> tuple[int, _Jobs | None]:
    """Return how often a task is among the boxes around, and the nearest of these."""
    turns = 0
    nearest: _Jobs | None = None
    box: _Jobs | None = above
    while box is not None:
        if box.task_id == task_id:
            nearest = nearest or box
            turns += 1
        box = box.above
    return turns, nearest


def _tree_of(history: History, execution: ExecutionRow, fold: int, depth: int) -> _JobTree:
    for tried in dict.fromkeys((fold, 1)):
        try:
            return _JobTree(history, execution, tried, depth, _MAX_BOXES, is_last=False)
        except _TooMany:
            continue
    return _JobTree(history, execution, 0, depth, _MOST_BOXES, is_last=True)


def _draw_execution(
    history: History, execution: ExecutionRow, fold: int, depth: int | None
) -> Picture:
    tree = _tree_of(history, execution, fold, depth or _MAX_DEPTH)
    boxes = list(tree.all())
    details = _Details(history, boxes)
    drawn = {id(jobs): details.box(jobs) for jobs in boxes}
    for jobs in boxes:
        drawn[id(jobs)].boxes = [drawn[id(inner)] for inner in jobs.below]
    arrows = _arrows(history, tree, boxes, details)
    for jobs in boxes:
        drawn[id(jobs)].arrows = arrows.get(id(jobs), [])
    took = ""
    if execution.ended is not None:
        took = format_duration(max(execution.ended - execution.started, 0) / 1_000_000)
    total = sum(jobs.total for jobs in boxes) + tree.left_out
    subtitle = [execution.status, f"{format_count(total)} job{'' if total == 1 else 's'}"]
    subtitle += [took] if took else []
    subtitle.append(format_time(execution.started))
    notes = []
    if tree.left_out:
        where = "deeper" if tree.is_deeper else "further"
        jobs_left = "job is" if tree.left_out == 1 else "jobs are"
        notes.append(f"{format_count(tree.left_out)} {where} {jobs_left} left out")
    title = f"Execution {execution.uuid[:8]} · {one_line(' '.join(execution.argv))}"
    top = [drawn[id(jobs)] for jobs in tree.root.below]
    return Picture(title, " · ".join(subtitle), top, arrows.get(id(tree.root), []), notes)


class _Details:
    """What is told of the jobs of a picture, read for all of them at once."""

    def __init__(self, history: History, boxes: list[_Jobs]) -> None:
        self._history = history
        self._names = {box.task_id: history.task(box.task_id).fullname for box in _by_task(boxes)}
        self._short = short_names(self._names.values())
        self._calls = _calls_of_jobs(history, [id for box in boxes for id in box.examples])
        ones = [box.examples[0] for box in boxes if box.is_one]
        call_ids = list(dict.fromkeys(self._calls[id] for id in ones if id in self._calls))
        self._arguments = history.arguments(call_ids)
        self._results = history.results(call_ids)
        value_ids = [value.id for value in self._results.values()]
        self._paths = dict(history.database.rows_in(_FILES, value_ids)) if value_ids else {}
        self._uuids: dict[int, str] = {}

    @property
    def calls(self) -> dict[int, int]:
        """The calls of jobs."""
        return self._calls

    def box(self, jobs: _Jobs) -> Box:
        name = self._names[jobs.task_id]
        short = self._short[name]
        if jobs.is_one:
            return self._box_of_one(jobs, name, short)
        total = jobs.total
        counts = ", ".join(
            f"{format_count(jobs.counts[s])} {s.lower()}" for s in _BY_WEIGHT if jobs.counts.get(s)
        )
        lines = [counts if len(jobs.counts) > 1 else ""]
        busy = format_duration(jobs.busy / 1_000_000) if jobs.busy else ""
        span = ""
        if jobs.started is not None and jobs.ended is not None:
            span = format_duration(max(jobs.ended - jobs.started, 0) / 1_000_000)
        lines.append(f"{busy} in all" if busy else "")
        shown = [" · ".join(line for line in lines if line)]
        tip = [
            f"{name} ×{format_count(total)}",
            counts,
            f"{busy} in all, over {span}" if busy and span else "",
            f"from {self._job_id(jobs.examples[0])} on" if jobs.examples else "",
        ]
        is_pile = total > 1
        title = f"{short} ×{format_count(total)}" if is_pile else short
        return Box(JOB, title, [s for s in shown if s], _tip(tip), jobs.status, is_pile)

    def _box_of_one(self, jobs: _Jobs, name: str, short: str) -> Box:
        job_id = jobs.examples[0]
        call_id = self._calls.get(job_id, 0)
        result = self._results.get(call_id)
        took = format_duration(jobs.busy / 1_000_000) if jobs.busy else ""
        words = [took or ("cached" if jobs.status == CACHED else jobs.status.lower())]
        tip = [
            f"{self._job_id(job_id)}  {jobs.status}" + (f"  {took}" if took else ""),
            _call_text(name, self._arguments.get(call_id)),
        ]
        if result is not None and not jobs.below:
            error = _error_of(result)
            if error:
                words = [error]
                tip.append(error)
            else:
                text = format_stored(*result[2:])
                tip.append(f"= {text}")
                shown = os.path.basename(self._paths.get(result.id, "").rstrip("/")) or text
                if len(shown) <= _RESULT:
                    words.insert(0, shown)
        elif result is not None:
            error = _error_of(result)
            tip.append(error or f"= {format_stored(*result[2:])}")
        return Box(JOB, short, [" · ".join(words)], _tip(tip), jobs.status)

    def _job_id(self, job_id: int) -> str:
        execution_id = job_id >> JOB_NUMBER_BITS
        if execution_id not in self._uuids:
            self._uuids[execution_id] = self._history.execution(execution_id).uuid[:8]
        return f"{self._uuids[execution_id]}-{job_number(job_id)}"


def _error_of(value: ValueRow) -> str:
    """Return a stored error as one line; of what is none, nothing."""
    from .._safe_load import Composite, load_safely

    if value.type_name != "redun_lite.ErrorValue" or value.data is None:
        return ""
    try:
        error = load_safely(value.data)
    except Exception:  # It may be broken in any way.
        return ""
    if not isinstance(error, Composite):
        return ""
    return format_stored_error(error.attributes)


def _by_task(boxes: list[_Jobs]) -> list[_Jobs]:
    return list({box.task_id: box for box in boxes}.values())


def _calls_of_jobs(history: History, job_ids: list[int]) -> dict[int, int]:
    return dict(history.database.rows_in(_CALLS_OF_JOBS, job_ids)) if job_ids else {}


def _arrows(
    history: History, tree: _JobTree, boxes: list[_Jobs], details: _Details
) -> dict[int, list[Arrow]]:
    """Return the arrows inside of boxes, by what these stand for: who used whose result."""
    calls = details.calls
    users: dict[int, list[_Jobs]] = defaultdict(list)
    makers: dict[tuple[int, int], _Jobs] = {}  # By the box around and the call.
    by_task: dict[tuple[int, int], list[_Jobs]] = defaultdict(list)
    for box in boxes:
        around = id(box.above)
        by_task[around, box.task_id].append(box)
        for job_id in box.examples:
            if job_id in calls:
                users[calls[job_id]].append(box)
                makers.setdefault((around, calls[job_id]), box)
    found: dict[tuple[int, int], dict[str, None]] = {}
    ends: dict[tuple[int, int], tuple[_Jobs, _Jobs]] = {}
    rows = history.database.rows_in(_SOURCES, list(users)) if users else []
    for call_id, name, source_id, task_id in rows:
        for user in dict.fromkeys(users[call_id]):
            pair = _siblings(user, source_id, task_id, makers, by_task)
            if pair is not None:
                key = (id(pair[0]), id(pair[1]))
                ends[key] = pair
                found.setdefault(key, {})[name] = None
    place = {id(box): i for above in (tree.root, *boxes) for i, box in enumerate(above.below)}
    arrows: dict[int, list[Arrow]] = defaultdict(list)
    for key, names in found.items():
        source, target = ends[key]
        tip = ", ".join(map(one_line, names))
        arrow = Arrow(place[id(source)], place[id(target)], "", tip)
        arrows[id(target.above)].append(arrow)
    for inside in arrows.values():
        inside.sort(key=lambda arrow: (arrow.source, arrow.target))
    return arrows


def _siblings(
    user: _Jobs,
    call_id: int,
    task_id: int,
    makers: dict[tuple[int, int], _Jobs],
    by_task: dict[tuple[int, int], list[_Jobs]],
) -> tuple[_Jobs, _Jobs] | None:
    """Return the boxes that an arrow connects: a call's, and the user's or one around that.

    What a job is given was mostly made beside it, else beside one of those around.
    """
    box = user
    while box.above is not None:
        around = id(box.above)
        maker = makers.get((around, call_id))
        if maker is None:
            equal = by_task.get((around, task_id), [])
            folded = [jobs for jobs in equal if not jobs.is_one]
            maker = folded[0] if folded else None
        if maker is not None:
            return maker, box
        box = box.above
    return None


# Lineage


def _draw_lineage(history: History, lineage: Lineage) -> Picture:
    nodes = lineage.nodes
    short = short_names(node.name for node in nodes if node.kind == CALL)
    short.update(_short_paths(n.name for n in nodes if n.value is not None and _is_path(n)))
    call_ids = [node.call.id for node in nodes if node.call is not None]
    arguments = history.arguments(call_ids)
    results = history.results(call_ids)
    value_ids = [value.id for value in results.values()]
    paths = dict(history.database.rows_in(_FILES, value_ids)) if value_ids else {}
    boxes = [
        _lineage_box(node, short, arguments, results, paths, is_start=not i)
        for i, node in enumerate(nodes)
    ]
    arrows = [_lineage_arrow(edge, nodes, short) for edge in lineage.edges]
    start = nodes[0]
    words = "what was made with it" if not lineage.is_up else "what it was made from"
    kind = "file" if _is_path(start) else start.kind
    calls = sum(node.total for node in nodes[1:] if node.kind == CALL)
    subtitle = f"{words} · {format_count(calls)} call{'' if calls == 1 else 's'}"
    if not lineage.edges:
        subtitle = (
            "nothing recorded was made with it"
            if not lineage.is_up
            else ("no recorded call has made it")
        )
    notes = [f"left out: {text}" for text in lineage.cut]
    return Picture(f"{kind.capitalize()} {one_line(start.name)}", subtitle, boxes, arrows, notes)


def _is_path(node: LineageNode) -> bool:
    return node.value is not None and node.name != node.value.type_name


def _short_paths(paths: Iterable[str]) -> dict[str, str]:
    """Return the ends of paths that tell them apart."""
    full = list(dict.fromkeys(paths))
    short = {}
    for path in full:
        parts = path.rstrip("/").split("/")
        end = path
        for count in range(1, len(parts) + 1):
            end = "/".join(parts[-count:])
            if sum(other.rstrip("/").endswith(f"/{end}") for other in full) <= 1:
                break
        short[path] = end
    return short


def _lineage_box(
    node: LineageNode,
    short: dict[str, str],
    arguments: dict[int, list[ArgumentRow]],
    results: dict[int, ValueRow],
    paths: dict[int, str],
    is_start: bool,
) -> Box:
    more = "+" if node.at_least else ""
    count = f" ×{format_count(node.total)}{more}" if node.total > 1 else ""
    if node.value is not None:
        value = node.value
        text = format_stored(*value[2:], limit=_TIP)
        if _is_path(node):
            name = short[node.name] if not count else f"{_kind_of(node.name)}{count}"
            lines = [f"{short[node.name]}, …"] if count else []
            tip = [node.name if not count else f"{node.name}, …", value.digest.hex()]
        else:
            name, lines = format_stored(*value[2:], limit=30), [node.name.rpartition(".")[2]]
            tip = [text, value.digest.hex()]
        return Box(FILE, name, lines, _tip(tip), "", bool(count), is_start)
    assert node.call is not None
    call = node.call
    result = results.get(call.id)
    lines = []
    tip = [_call_text(node.name, arguments.get(call.id)), f"call {call.digest.hex()[:16]}"]
    if result is not None:
        text = format_stored(*result[2:])
        tip.insert(1, f"= {text}")
        path = paths.get(result.id)
        if path:
            lines.append(os.path.basename(path.rstrip("/")) + (", …" if count else ""))
        elif len(text) <= _RESULT and not count:
            lines.append(text)
    name = f"{short[node.name]}{count}"
    return Box(JOB, name, lines, _tip(tip), "", bool(count), is_start)


def _kind_of(path: str) -> str:
    """Return what to call several files like one.

    >>> _kind_of("reads/a.fastq"), _kind_of("notes")
    ('.fastq', 'files')
    """
    return os.path.splitext(path)[1] or "files"


def _lineage_arrow(edge: LineageEdge, nodes: list[LineageNode], short: dict[str, str]) -> Arrow:
    via = [short.get(name, name) for name in edge.via]
    tip = f"{edge.name}" + (f", handed on by {' and '.join(via)}" if via else "")
    count = f" ×{format_count(edge.total)}" if edge.total > 1 else ""
    return Arrow(edge.source, edge.target, f"{one_line(edge.name)}{count}".strip(), one_line(tip))
