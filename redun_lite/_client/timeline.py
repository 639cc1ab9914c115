"""`timeline`: which jobs ran when, as a picture or as a trace for a trace viewer.

A bar is a job, from the moment its function began to its end, in the first lane that is free then.
Jobs that led to others mostly wait for these; they have lanes of their own above, so that the lanes
below say how much went on at a time.  Cached jobs take no time, and are only counted.

Of thousands of jobs nobody can see each one.  Then the database counts how long how many jobs of
each task ran in each of some hundred spans of time, and a task is a band whose height says how
many of its jobs ran at a time.  A trace viewer can be moved through more, so a trace has the
longest jobs one by one, as far as viewers can take them.

The trace format is that of Chrome's about:tracing ("Trace Event Format", Google, 2016), which
Perfetto and speedscope open as well.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from .._display import (
    format_call,
    format_count,
    format_duration,
    format_job_id,
    format_time,
    one_line,
)
from .._format_value import format_stored
from .._schema import JOB_NUMBER_BITS, job_ids, job_number
from .._status import CACHED, CANCELLED, DONE, FAILED, KILLED, RUNNING
from .command import OK, Command, add_repository_option, recorded
from .graph import short_names
from .output import format_of, write_output
from .svg import SERIES, Svg, fit, text_width

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterable, Iterator

    from .._history import ExecutionRow, History

MAX_BARS = 1_500
"""Jobs that a picture shows one by one."""

MAX_LANES = 100
"""Jobs at a time that a picture shows one by one."""

MAX_EVENTS = 100_000
"""Jobs that a trace has; viewers take about a million events."""

_SUFFIXES = {".svg": "svg", ".json": "chrome"}
_SPANS = 240  # Spans of time in which the jobs of a task are counted.
_MAX_BANDS = 24  # Tasks that have a band of their own.
_MAX_TOLD = 2_000  # Jobs of which a tooltip or a trace says the arguments.
_MAX_ABOVE = 16  # Lanes for jobs that led to others.

_WIDTH = 960.0
_MARGIN = 16.0
_TOP = 78.0  # Title, a line below it, and the axis.
_LANE = 18.0
_THIN_LANE = 9.0  # With many of them.
_MANY_LANES = 48
_BAND = 40.0
_LABEL = 190.0  # What the name of a band takes.
_LEGEND_LINE = 18.0
_SECOND = 1_000_000


class Bar(NamedTuple):
    """A job, or what is known of one that has not ended.

    Attributes
    ----------
    id
        Row id.
    task
        Full name of its task.
    started, ended
        Microseconds since the execution began.
    lane
        Number of its lane.
    is_above
        Whether it led to others.
    attempts
        When each attempt began and ended, and whether it failed, if there were several.
    """

    id: int
    task: str
    status: str
    started: int
    ended: int
    call_id: int | None
    is_above: bool
    lane: int = 0
    attempts: tuple[tuple[int, int, bool], ...] = ()


class Band(NamedTuple):
    """The jobs of a task, many as they are.

    Attributes
    ----------
    jobs
        How many there are.
    busy
        Microseconds that they took in all.
    running
        How many ran at a time in each span of time.
    is_above
        Whether they led to others.
    """

    task: str
    jobs: int
    busy: int
    running: list[float]
    is_above: bool
    counts: dict[str, int]


class Timeline(NamedTuple):
    """When the jobs of an execution ran.

    Attributes
    ----------
    took
        Microseconds from the beginning of the execution to the end of all that is known.
    counts
        Number of jobs by status.
    bars
        The jobs, if they are few enough.
    bands
        By task, if they are not.
    """

    execution: ExecutionRow
    took: int
    counts: dict[str, int]
    bars: list[Bar]
    bands: list[Band]


class TimelineCommand(Command):
    """`timeline`."""

    description = (
        "Draw which jobs of an execution ran when.\n\n"
        "EXECUTION is the start of an execution's id, or `-` for the latest. As SVG, a bar is a\n"
        "job, or a band is a task if there are thousands. As a Chrome trace, the file opens in\n"
        "Perfetto (https://ui.perfetto.dev) and in chrome://tracing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("execution", metavar="EXECUTION", help="the execution")
        parser.add_argument(
            "--format",
            choices=["svg", "chrome"],
            help="default: chrome for a FILE that ends in .json, else svg",
        )
        parser.add_argument("-o", "--output", metavar="FILE", help="default: standard output")
        add_repository_option(parser)

    def run(self, options: Namespace) -> int:
        format_name = format_of(options, _SUFFIXES, "svg")
        with recorded(options, f"{options.execution!r} to draw") as history:
            execution = history.find_execution(options.execution)
            pieces = (
                chrome_trace(history, execution)
                if format_name == "chrome"
                else [draw(history, execution)]
            )
            write_output((piece.encode() for piece in pieces), options.output)
        return OK


# Reading

_COUNTS = """
SELECT status, count(*), min(started), max(coalesce(ended, started)) FROM job
WHERE id BETWEEN ? AND ? GROUP BY status
"""
_LONGEST = """
SELECT id, task_id, status, started, ended, call_id FROM job
WHERE id BETWEEN ? AND ? AND status <> 'CACHED'
ORDER BY coalesce(ended, ?) - started DESC, id LIMIT ?
"""
_ABOVE = "SELECT DISTINCT parent_id FROM job WHERE id BETWEEN ? AND ? AND parent_id IS NOT NULL"
_ATTEMPTS = """
SELECT job_id, started, ended, error_id FROM attempt WHERE job_id BETWEEN ? AND ?
ORDER BY job_id, number LIMIT 100000
"""
# Whole numbers are divided to whole numbers, by SQLite and PostgreSQL alike.
_SPANS_OF_TASKS = """
SELECT task_id, status, span, last_span, count(*), sum(began), sum(finished)
FROM (
    SELECT task_id, status, started - ? AS began, coalesce(ended, ?) - ? AS finished,
        (started - ?) / ? AS span, (coalesce(ended, ?) - ?) / ? AS last_span
    FROM job WHERE id BETWEEN ? AND ?
) AS placed
GROUP BY task_id, status, span, last_span ORDER BY task_id, status, span, last_span
"""
_TASKS_ABOVE = """
SELECT DISTINCT task_id FROM job
WHERE id IN (SELECT parent_id FROM job WHERE id BETWEEN ? AND ?)
"""


def _ranges(history: History, execution: ExecutionRow) -> list[tuple[int, int]]:
    """Return the row ids of the jobs of an execution and of its parts, as ranges."""
    parts = history.parts(execution.id)
    ids = [execution.id, *(part for below in parts.values() for part in below)]
    return [job_ids(execution_id) for execution_id in ids]


def read_timeline(history: History, execution: ExecutionRow, most: int = MAX_BARS) -> Timeline:
    """Return when jobs ran: one by one, or by task if there are more than `most`.

    So it is if more than `MAX_LANES` ran at a time.
    """
    ranges = _ranges(history, execution)
    counts, end = _counts(history, execution, ranges)
    took = max(end - execution.started, 1)
    if sum(n for status, n in counts.items() if status != CACHED) <= most:
        bars = _bars(history, execution, ranges, end, most)
        if max((bar.lane for bar in bars if not bar.is_above), default=0) < MAX_LANES:
            return Timeline(execution, took, counts, bars, [])
    bands = _bands(history, execution, ranges, end)
    return Timeline(execution, took, counts, [], bands)


def _counts(
    history: History, execution: ExecutionRow, ranges: list[tuple[int, int]]
) -> tuple[dict[str, int], int]:
    """Return the number of jobs by status, and when the last thing known of them happened."""
    counts: dict[str, int] = {}
    end = execution.ended or execution.heartbeat
    for first, last in ranges:
        for status, jobs, _, latest in history.database.rows(_COUNTS, first, last):
            known = history.status_of(status, first >> JOB_NUMBER_BITS)
            counts[known] = counts.get(known, 0) + jobs
            end = max(end, latest)
    return counts, end


def _bars(
    history: History,
    execution: ExecutionRow,
    ranges: list[tuple[int, int]],
    end: int,
    most: int,
) -> list[Bar]:
    """Return the longest jobs in lanes, in the order in which they began."""
    names: dict[int, str] = {}
    found: list[Bar] = []
    above: set[int] = set()
    attempts: dict[int, list[tuple[int, int, bool]]] = defaultdict(list)
    zero = execution.started
    for first, last in ranges:
        rows = history.database.rows(_LONGEST, first, last, end, most)
        selected = {row[0] for row in rows}
        for id, task_id, status, started, ended, call_id in rows:
            if call_id is None and started == ended:
                continue  # It was not called.
            if task_id not in names:
                names[task_id] = history.task(task_id).fullname
            known = history.status_of(status, first >> JOB_NUMBER_BITS)
            began = started - zero
            finished = max((end if ended is None else ended) - zero, began)
            found.append(Bar(id, names[task_id], known, began, finished, call_id, False))
        parents = history.database.iterate(_ABOVE, first, last)
        above.update(id for (id,) in parents if id in selected)
        if history.version > 1:
            for job_id, begin, finish, error in history.database.iterate(_ATTEMPTS, first, last):
                if job_id in selected:
                    attempts[job_id].append((begin - zero, finish - zero, error is not None))
    above.update(job_id for job_id in history.parts(execution.id))
    found.sort(key=lambda bar: (bar.started - bar.ended, bar.id))
    bars = [
        bar._replace(is_above=bar.id in above, attempts=tuple(attempts.get(bar.id, ())))
        for bar in found[:most]
    ]
    return _in_lanes(sorted(bars, key=lambda bar: (bar.started, -bar.ended, bar.id)))


def _in_lanes(bars: list[Bar]) -> list[Bar]:
    """Put bars, which come as they begin, each into the first lane that is free then.

    So there are as many lanes as there are bars at a time at most: greedy colouring of intervals.
    """
    placed: list[Bar] = []
    for is_above in (True, False):
        free: list[int] = []
        busy: list[tuple[int, int]] = []
        lanes = 0
        for bar in bars:
            if bar.is_above != is_above:
                continue
            while busy and busy[0][0] <= bar.started:
                heapq.heappush(free, heapq.heappop(busy)[1])
            if free:
                lane = heapq.heappop(free)
            else:
                lane, lanes = lanes, lanes + 1
            # What took no time takes its place all the same.
            heapq.heappush(busy, (max(bar.ended, bar.started + 1), lane))
            placed.append(bar._replace(lane=lane))
    return placed


def _bands(
    history: History, execution: ExecutionRow, ranges: list[tuple[int, int]], end: int
) -> list[Band]:
    zero = execution.started
    width = max(-(-(end - zero + 1) // _SPANS), 1)
    names: dict[int, str] = {}
    jobs: dict[str, int] = defaultdict(int)
    busy: dict[str, int] = defaultdict(int)
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    spent: dict[str, list[int]] = defaultdict(lambda: [0] * (_SPANS + 1))
    above: set[int] = set()
    database = history.database
    for first, last in ranges:
        above.update(task_id for (task_id,) in database.rows(_TASKS_ABOVE, first, last))
        parameters = (zero, end, zero, zero, width, end, zero, width, first, last)
        for task_id, stored, span, last_span, number, began, finished in database.iterate(
            _SPANS_OF_TASKS, *parameters
        ):
            if task_id not in names:
                names[task_id] = history.task(task_id).fullname
            name = names[task_id]
            status = history.status_of(stored, first >> JOB_NUMBER_BITS)
            jobs[name] += number
            counts[name][status] = counts[name].get(status, 0) + number
            if status == CACHED:
                continue
            began, finished = int(began), int(finished)
            busy[name] += max(finished - began, 0)
            at, until = (int(min(max(at, 0), _SPANS)) for at in (span, last_span))
            spans = spent[name]
            if at >= until:
                spans[at] += max(finished - began, 0)
            else:
                spans[at] += max(number * (at + 1) * width - began, 0)
                spans[until] += max(finished - number * until * width, 0)
                for between in range(at + 1, until):
                    spans[between] += number * width
    order = sorted(jobs, key=lambda name: (-busy[name], name))
    tasks_above = {names[task_id] for task_id in above if task_id in names}
    return [
        Band(
            name,
            jobs[name],
            busy[name],
            [time / width for time in spent[name][:_SPANS]],
            name in tasks_above,
            counts[name],
        )
        for name in order
    ]


# SVG


def draw(history: History, execution: ExecutionRow) -> str:
    """Return the timeline of an execution as SVG."""
    timeline = read_timeline(history, execution)
    return _draw_bands(timeline) if timeline.bands else _draw_bars(history, timeline)


_RULES = (
    ".grid { stroke: #818b98; stroke-opacity: 0.28; stroke-width: 1; }",
    ".bar { stroke-width: 1; fill-opacity: 0.42; }",
    ".above { fill-opacity: 0.10; stroke-opacity: 0.6; }",
    ".open { stroke-dasharray: 3 2; }",
    ".whole { fill-opacity: 0.10; }",
    ".bad { fill: #cf222e; fill-opacity: 0.35; stroke: #cf222e; stroke-width: 1.6; }",
    ".off { stroke: #8250df; stroke-width: 1.4; }",
    ".other { fill: #8c959f; stroke: #8c959f; }",
    *(f".c{i} {{ fill: {colour}; stroke: {colour}; }}" for i, colour in enumerate(SERIES)),
)
_DARK_RULES = (
    ".bad { fill: #f85149; stroke: #f85149; }",
    ".off { stroke: #a78bfa; }",
)


def _title(execution: ExecutionRow) -> str:
    return f"Execution {execution.uuid[:8]} · {one_line(' '.join(execution.argv))}"


def _subtitle(timeline: Timeline) -> str:
    total = sum(timeline.counts.values())
    words = [timeline.execution.status, f"{format_count(total)} job{'' if total == 1 else 's'}"]
    words += [
        f"{format_count(timeline.counts[status])} {status.lower()}"
        for status in (FAILED, KILLED, CANCELLED, RUNNING)
        if timeline.counts.get(status)
    ]
    if timeline.counts.get(CACHED):
        words.append(f"{format_count(timeline.counts[CACHED])} cached, not shown")
    words += [format_duration(timeline.took / _SECOND), format_time(timeline.execution.started)]
    return " · ".join(words)


def ticks(took: int, most: int = 9) -> tuple[list[int], Callable[[int], str]]:
    """Return round moments from 0 to `took`, in microseconds, and how to write them.

    >>> moments, label = ticks(8_300_000)
    >>> [label(moment) for moment in moments]
    ['0', '1 s', '2 s', '3 s', '4 s', '5 s', '6 s', '7 s', '8 s']
    """
    minute, hour, day = 60 * _SECOND, 3600 * _SECOND, 86400 * _SECOND
    steps = [factor * 10**power for power in range(7) for factor in (1, 2, 5)]
    steps += [n * _SECOND for n in (10, 15, 30)]
    steps += [n * minute for n in (1, 2, 5, 10, 15, 30)] + [n * hour for n in (1, 2, 3, 6, 12)]
    steps += [n * day * 10**power for power in range(5) for n in (1, 2, 5)]
    step = next((step for step in steps if took / step <= most), steps[-1])
    unit, name = next(
        (size, name)
        for size, name in (
            (day, "d"),
            (hour, "h"),
            (minute, "min"),
            (_SECOND, "s"),
            (1000, "ms"),
            (1, "µs"),
        )
        if step >= size
    )

    def label(moment: int) -> str:
        if not moment:
            return "0"
        if unit in (hour, minute) and moment % unit:
            return f"{moment // unit}:{moment % unit * 60 // unit:02} {name}"
        return f"{moment // unit:,} {name}"

    return list(range(0, took + 1, step)), label


def _draw_axis(svg: Svg, took: int, left: float, bottom: float) -> Callable[[float], float]:
    """Draw the axis and its lines; return what says where a moment is."""
    room = _WIDTH - _MARGIN - 8 - left

    def x_of(moment: float) -> float:
        return left + room * moment / took

    moments, label = ticks(took)
    for moment in moments:
        x = x_of(moment)
        svg.path(f"M{x:.1f} {_TOP - 6:.1f} V{bottom:.1f}", "grid")
        svg.text(x, _TOP - 11, label(moment), "small faint middle" if moment else "small faint")
    return x_of


def _draw_head(svg: Svg, timeline: Timeline) -> None:
    room = _WIDTH - 2 * _MARGIN
    svg.text(_MARGIN, _MARGIN + 12, fit(_title(timeline.execution), 14, room, True), "title")
    svg.text(_MARGIN, _MARGIN + 29, fit(_subtitle(timeline), 10.5, room), "small faint")


def _colours(tasks: Iterable[str]) -> dict[str, str]:
    """Return a class for each task: a colour for those that come first, grey for the others."""
    return {
        task: f"c{i}" if i < len(SERIES) else "other" for i, task in enumerate(dict.fromkeys(tasks))
    }


def _draw_bars(history: History, timeline: Timeline) -> str:
    bars = timeline.bars
    busy: dict[str, int] = defaultdict(int)
    number: dict[str, int] = defaultdict(int)
    leaves: set[str] = set()
    for bar in bars:
        busy[bar.task] += bar.ended - bar.started
        number[bar.task] += 1
        if not bar.is_above:
            leaves.add(bar.task)
    # Colours are for those that do something; others wait.
    tasks = sorted(leaves, key=lambda task: (-busy[task], task))
    colours = _colours(tasks)
    short = short_names(busy)
    hidden = sum(bar.is_above and bar.lane >= _MAX_ABOVE for bar in bars)
    above = min(max((bar.lane + 1 for bar in bars if bar.is_above), default=0), _MAX_ABOVE)
    below = max((bar.lane + 1 for bar in bars if not bar.is_above), default=0)
    lane = _LANE if above + below <= _MANY_LANES else _THIN_LANE
    gap = 8.0 if above and below else 0.0
    bottom = _TOP + (above + below) * lane + gap
    entries = [
        (
            colours[task],
            f"{short[task]} ×{format_count(number[task])} · "
            f"{format_duration(busy[task] / _SECOND)}",
        )
        for task in tasks
    ]
    has_failed = any(
        bar.status == FAILED or any(failed for _, _, failed in bar.attempts) for bar in bars
    )
    more = [("other above", "waits for others")] if above else []
    legend = _legend(entries, more + ([("bad", "failed")] if has_failed else []))
    notes = (
        [f"{format_count(hidden)} more jobs that wait for others are left out"] if hidden else []
    )
    height = bottom + 14 + len(legend) * _LEGEND_LINE + len(notes) * _LEGEND_LINE + _MARGIN
    svg = Svg(
        _WIDTH, height, f"{_title(timeline.execution)}. {_subtitle(timeline)}", _RULES, _DARK_RULES
    )
    _draw_head(svg, timeline)
    x_of = _draw_axis(svg, timeline.took, _MARGIN, bottom)
    tips = _tips(history, bars)
    for bar in bars:
        if bar.is_above and bar.lane >= _MAX_ABOVE:
            continue
        y = _TOP + (bar.lane if bar.is_above else above + bar.lane) * lane
        y += 0 if bar.is_above else gap
        colour = "other" if bar.is_above else colours[bar.task]
        _draw_bar(svg, bar, colour, short[bar.task], x_of, y, lane, tips[bar.id])
    _draw_legend(svg, legend, bottom + 14)
    for i, note in enumerate(notes):
        svg.text(
            _MARGIN, height - _MARGIN - (len(notes) - 1 - i) * _LEGEND_LINE, note, "small faint"
        )
    return svg.text_of()


def _draw_bar(
    svg: Svg,
    bar: Bar,
    colour: str,
    name: str,
    x_of: Callable[[float], float],
    y: float,
    lane: float,
    tip: str,
) -> None:
    x, width = x_of(bar.started), max(x_of(bar.ended) - x_of(bar.started), 1.0)
    height = lane - 2
    look = f"bar {colour}"
    if bar.is_above:
        look += " above"
    if bar.status in (RUNNING, KILLED):
        look += " open"
    if bar.status in (CANCELLED, KILLED):
        look += " off"
    is_bad = bar.status == FAILED and not bar.is_above
    svg.begin("g", tip=tip)
    if bar.attempts and not bar.is_above:
        svg.rect(x, y, width, height, f"bar {colour} whole", 2)
        for begin, end, has_failed in bar.attempts:
            part = max(x_of(end) - x_of(begin), 1.0)
            svg.rect(x_of(begin), y, part, height, "bar bad" if has_failed else look, 2)
    else:
        svg.rect(x, y, width, height, "bar bad" if is_bad else look, 2)
        if bar.status == FAILED and bar.is_above:
            svg.rect(x, y, 3, height, "bar bad", 1)
    if lane >= _LANE and text_width(name, 10.5) + 8 <= width:
        svg.text(x + 5, y + height - 4.6, name, "small")
    svg.end()


def _tips(history: History, bars: list[Bar]) -> dict[int, str]:
    told = bars if len(bars) <= _MAX_TOLD else []
    calls = history.arguments({bar.call_id for bar in told if bar.call_id is not None})
    uuids: dict[int, str] = {}
    tips = {}
    for bar in bars:
        arguments = calls.get(bar.call_id) if bar.call_id is not None else None
        values = None
        if arguments is not None:
            values = [(a.name, format_stored(*a.value[2:])) for a in arguments]
        lines = [
            f"{_job_id(history, uuids, bar.id)}  {bar.status}  "
            f"{format_duration((bar.ended - bar.started) / _SECOND)}",
            format_call(bar.task, values),
        ]
        if bar.attempts:
            lines.append(f"{len(bar.attempts)} attempts")
        tips[bar.id] = "\n".join(line if len(line) <= 200 else line[:199] + "…" for line in lines)
    return tips


def _job_id(history: History, uuids: dict[int, str], job_id: int) -> str:
    execution_id = job_id >> JOB_NUMBER_BITS
    if execution_id not in uuids:
        uuids[execution_id] = history.execution(execution_id).uuid
    return format_job_id(uuids[execution_id], job_number(job_id))


# A line of a legend: where each entry begins, its class, its text.
_Legend = list[list[tuple[float, str, str]]]


def _legend(entries: list[tuple[str, str]], more: list[tuple[str, str]]) -> _Legend:
    """Set the entries of a legend in lines; tasks in grey are one entry."""
    others = sum(colour == "other" for colour, _ in entries)
    shown = [entry for entry in entries if entry[0] != "other"]
    if others:
        shown.append(("other", f"{others} other task{'' if others == 1 else 's'}"))
    shown += more
    lines: _Legend = []
    x = _WIDTH
    for colour, text in shown:
        text = fit(text, 10.5, 300)
        width = text_width(text, 10.5) + 34
        if x + width > _WIDTH - _MARGIN:
            lines.append([])
            x = _MARGIN
        lines[-1].append((x, colour, text))
        x += width
    return lines


def _draw_legend(svg: Svg, legend: _Legend, top: float) -> None:
    for i, line in enumerate(legend):
        for x, colour, text in line:
            y = top + i * _LEGEND_LINE
            svg.rect(x, y + 1, 12, 10, f"bar {colour}", 2)
            svg.text(x + 17, y + 10, text, "small")


def _draw_bands(timeline: Timeline) -> str:
    # Those that wait for others come first, as in a picture of single jobs.
    bands = sorted(timeline.bands[:_MAX_BANDS], key=lambda band: not band.is_above)
    left_out = timeline.bands[_MAX_BANDS:]
    short = short_names(band.task for band in timeline.bands)
    colours = _colours(band.task for band in timeline.bands if not band.is_above)
    bottom = _TOP + len(bands) * _BAND
    notes = ["How many jobs of each task ran at a time; the highest number is at the right."]
    if left_out:
        jobs = format_count(sum(band.jobs for band in left_out))
        notes.append(f"{format_count(len(left_out))} more tasks with {jobs} jobs are left out.")
    height = bottom + 8 + len(notes) * _LEGEND_LINE + _MARGIN
    title = f"{_title(timeline.execution)}. {_subtitle(timeline)}"
    svg = Svg(_WIDTH, height, title, _RULES, _DARK_RULES)
    _draw_head(svg, timeline)
    right = _WIDTH - _MARGIN - 44
    left = _MARGIN + _LABEL
    room = right - left
    moments, label = ticks(timeline.took, most=7)
    for moment in moments:
        x = left + room * moment / timeline.took
        svg.path(f"M{x:.1f} {_TOP - 6:.1f} V{bottom:.1f}", "grid")
        svg.text(x, _TOP - 11, label(moment), "small faint middle")
    for i, band in enumerate(bands):
        y = _TOP + i * _BAND
        highest = max(band.running, default=0.0)
        counts = ", ".join(f"{format_count(n)} {s.lower()}" for s, n in sorted(band.counts.items()))
        svg.begin("g", tip=f"{band.task}\n{counts}\n{format_duration(band.busy / _SECOND)} in all")
        svg.text(_MARGIN, y + 17, fit(short[band.task], 12, _LABEL - 12, True), "name")
        told = f"×{format_count(band.jobs)} · {format_duration(band.busy / _SECOND)}"
        failed = band.counts.get(FAILED, 0)
        told += f" · {format_count(failed)} failed" if failed else ""
        svg.text(_MARGIN, y + 31, fit(told, 10.5, _LABEL - 12), "small faint")
        if highest > 0:
            look = "bar other above" if band.is_above else f"bar {colours.get(band.task, 'other')}"
            svg.path(_area(band.running, highest, left, room, y + _BAND - 4, _BAND - 10), look)
            shown = f"{highest:,.0f}" if highest >= 9.95 else f"{highest:.1f}"
            svg.text(right + 8, y + 17, shown, "small faint")
        svg.end()
    for i, note in enumerate(notes):
        svg.text(_MARGIN, bottom + 20 + i * _LEGEND_LINE, note, "small faint")
    return svg.text_of()


def _area(
    running: list[float], highest: float, left: float, room: float, bottom: float, height: float
) -> str:
    step = room / len(running)
    d = [f"M{left:.1f} {bottom:.1f}"]
    for i, value in enumerate(running):
        d.append(f"V{bottom - height * value / highest:.1f} H{left + (i + 1) * step:.1f}")
    return " ".join([*d, f"V{bottom:.1f} Z"])


# Chrome trace


def chrome_trace(history: History, execution: ExecutionRow) -> Iterator[str]:
    """Yield the timeline of an execution as a trace, a line for each event."""
    import json

    ranges = _ranges(history, execution)
    counts, end = _counts(history, execution, ranges)
    bars = _bars(history, execution, ranges, end, MAX_EVENTS)
    other = {
        "execution": execution.uuid,
        "command": " ".join(execution.argv),
        "status": execution.status,
        "started": format_time(execution.started),
        "jobs": counts,
    }
    left_out = sum(n for status, n in counts.items() if status != CACHED) - len(bars)
    if left_out:
        other["leftOut"] = f"the {left_out} shortest jobs"
    yield '{"displayTimeUnit": "ms",\n"otherData": ' + json.dumps(other) + ',\n"traceEvents": [\n'
    yield from _lines_of(map(json.dumps, _events(history, bars)))
    yield "]}\n"


def _lines_of(items: Iterable[str]) -> Iterator[str]:
    separator = ""
    for item in items:
        yield separator + item
        separator = ",\n"
    yield "\n"


def _events(history: History, bars: list[Bar]) -> Iterator[dict[str, object]]:
    for is_above, name in ((True, "jobs that wait for others"), (False, "jobs")):
        process = 1 if is_above else 2
        lanes = max((bar.lane + 1 for bar in bars if bar.is_above == is_above), default=0)
        if lanes:
            yield _metadata("process_name", process, 0, name=name)
            yield _metadata("process_sort_index", process, 0, sort_index=process)
        for lane in range(lanes):
            yield _metadata("thread_name", process, lane + 1, name=f"lane {lane + 1}")
            yield _metadata("thread_sort_index", process, lane + 1, sort_index=lane + 1)
    tips = _tips(history, bars)
    for bar in bars:
        job, _, call = tips[bar.id].partition("\n")
        place: dict[str, object] = {"pid": 1 if bar.is_above else 2, "tid": bar.lane + 1}
        event = {"name": bar.task, "cat": bar.status, "ph": "X", "ts": bar.started}
        event |= {"dur": bar.ended - bar.started, **place}
        event["args"] = {"job": job.partition(" ")[0], "status": bar.status, "call": call}
        if bar.status == FAILED:
            event["cname"] = "terrible"
        yield event
        for i, (begin, finish, has_failed) in enumerate(bar.attempts, 1):
            begin, finish = max(begin, bar.started), min(finish, bar.ended)
            yield {
                "name": f"attempt {i}",
                "cat": FAILED if has_failed else DONE,
                "ph": "X",
                "ts": begin,
                "dur": max(finish - begin, 0),
                **place,
                "args": {"failed": has_failed},
            }


def _metadata(kind: str, process: int, thread: int, **args: object) -> dict[str, object]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": args}
