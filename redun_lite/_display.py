"""How things look as text: calls, job lines, tables, times, sizes, colours.

Every room that shows something takes its words and forms from here, so that a job looks the same
while it runs and in the history.  Text from a workflow or a database may hold terminal control
sequences: whatever goes to a terminal passes through `printable` or `one_line`.
"""

from __future__ import annotations

import os
import time
from itertools import islice
from typing import IO, TYPE_CHECKING

from ._status import CACHED, CANCELLED, DONE, FAILED, KILLED, PENDING, RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeVar

    T = TypeVar("T")

RETRY = "RETRY"
"""Shown of an attempt that failed and is repeated."""

SCRIPT_TASK = "redun_lite.script"
"""The task that `script()` calls."""

_MAX_TASKS = 40  # Rows of the table of jobs.
_LEAST_CALL = 24  # Columns that a call gets, however deep in a tree it is.
_MAX_NEAREST = 4  # Jobs of a chain of callers that are shown, besides the first.
_NOTE_INDENT = 10  # Columns before what is noted below a job: the id is above.
_LEAST_COLUMNS = 40  # A terminal is not taken for narrower.

# Arguments of a script that say nothing, by the text that they have then; `files` follows from
# `inputs` in any case.
_UNTOLD_OF_SCRIPTS = {
    "inputs": ("()", "[]"),
    "outputs": ("StagingFile(local=-, remote=-)",),
    "tempdir": ("False",),
    "as_mount": ("False",),
}


# Text


def printable(text: str) -> str:
    r"""Return text with control and other invisible characters escaped, but for line breaks.

    >>> printable("\x1b[2Jred \u202eherring\n")
    '\\x1b[2Jred \\u202eherring\n'
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char in "\n\t"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def one_line(text: str) -> str:
    """Return text as one printable line."""
    return printable(" ".join(text.split()) if "\n" in text or "\t" in text else text)


def clip(text: str, width: int) -> str:
    """Return text cut to a number of columns, with an ellipsis where it was cut.

    >>> clip("a long story", 8)
    'a long …'
    """
    if _columns(text) <= width:
        return text
    if text.isascii():
        return text[: max(width - 1, 0)] + "…"
    end = used = 0
    for end, char in enumerate(text):  # noqa: B007
        used += _columns(char)
        if used > width - 1:
            break
    return text[:end] + "…"


def clip_middle(text: str, width: int) -> str:
    """Return text cut to a number of columns with both its ends: those of an error matter most.

    >>> clip_middle("the script 'sort reads | uniq -c' ended with exit status 3", 40)
    "the script 'sort reads …th exit status 3"
    """
    if _columns(text) <= width:
        return text
    end = 2 * width // 5
    start = clip(text, width - end)[:-1]
    return start + clip(text[::-1], end + 1)[::-1]


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def terminal_width(stream: IO[str]) -> int | None:
    """Return the columns of the terminal that a stream is on; None if it is on none.

    The environment's COLUMNS wins, as it does for others.
    """
    if not stream.isatty():
        return None
    columns = 0
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(stream.fileno()).columns)
    except (OSError, ValueError):
        pass
    return max(columns, _LEAST_COLUMNS) if columns > 0 else 80


def format_count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"


def format_size(size: int) -> str:
    """Return a number of bytes.

    >>> format_size(999), format_size(4_210_000)
    ('999 bytes', '4.2 MB')
    """
    if size < 1000:
        return f"{size} byte{'' if size == 1 else 's'}"
    amount = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.95 or unit == "TB":
            break
    return f"{amount:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """Return a length of time.

    >>> [format_duration(s) for s in (0.00004, 0.25, 12.34, 75, 3700, 180000)]
    ['40 µs', '250 ms', '12.3 s', '1m 15s', '1h 01m', '2d 02h']
    """
    if seconds < 0.0009995:
        return f"{seconds * 1_000_000:.0f} µs"
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours < 24 else f"{hours // 24}d {hours % 24:02}h"


def format_time(microseconds: int) -> str:
    """Return a time since 1970 as local date and time."""
    try:
        moment = time.localtime(microseconds / 1_000_000)
    except (OverflowError, ValueError, OSError):
        return "?"
    return time.strftime("%Y-%m-%d %H:%M:%S", moment)


# Colour

_COLOURS = {
    DONE: "32",
    CACHED: "36",
    FAILED: "1;31",
    RUNNING: "33",
    RETRY: "33",
    CANCELLED: "35",
    KILLED: "1;35",
    "title": "1",
    "faint": "2",
}


def use_colour(stream: IO[str]) -> bool:
    """Say whether a stream is a terminal that shows colours, and the user wants them."""
    return (
        stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"
    )


class Palette:
    """Colours text, or leaves it alone.

    >>> Palette(False).paint("fine", "DONE"), Palette(True).paint("fine", "DONE")
    ('fine', '\\x1b[32mfine\\x1b[0m')
    """

    __slots__ = ("_enabled",)

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled

    def paint(self, text: str, kind: str) -> str:
        """Return text in the colour of a status, as a `title`, or `faint`."""
        colour = _COLOURS.get(kind)
        return f"\x1b[{colour}m{text}\x1b[0m" if self._enabled and colour else text


PLAIN = Palette(False)


# Jobs


def format_job_id(execution_uuid: str, number: int) -> str:
    """Return how a job is called: its execution's first eight digits, and its number therein."""
    return f"{one_line(execution_uuid[:8])}-{number}"


def format_command(argv: Sequence[str]) -> str:
    """Return the command of an execution, as one types it in a shell.

    >>> format_command(["run", "flow.py", "main", "--name", "a b"])
    "run flow.py main --name 'a b'"
    """
    import shlex

    # What a program has evaluated is no command of a shell.
    is_expression = list(argv[:1]) in (["scheduler.run"], ["subrun"])
    return one_line((" ".join if is_expression else shlex.join)(argv))


def format_call(task_name: str, arguments: Iterable[tuple[str, str]] | None) -> str:
    """Return a call as one line, of a script without what goes without saying.

    Parameters
    ----------
    arguments
        Name and text of each argument; None if they are not known.

    Examples
    --------
    >>> format_call("align", [("reads", "'a.fq'"), ("threads", "4")])
    "align(reads='a.fq', threads=4)"
    """
    if arguments is None:
        return f"{one_line(task_name)}(…)"
    if task_name == SCRIPT_TASK:
        arguments = (pair for pair in arguments if not goes_without_saying(*pair))
    inside = ", ".join(f"{one_line(name)}={text}" for name, text in arguments)
    return f"{one_line(task_name)}({inside})"


def goes_without_saying(name: str, text: str) -> bool:
    """Say whether an argument of a script, with its text, is one that nobody has given."""
    return name == "files" or text in _UNTOLD_OF_SCRIPTS.get(name, ())


def format_job_line(
    status: str,
    job_id: str,
    call: str,
    seconds: float | None = None,
    depth: int = 0,
    id_width: int = 12,
    palette: Palette = PLAIN,
    note: str = "",
    width: int | None = None,
) -> str:
    """Return the line of a job: how it stands, its id, how long it took, what it calls.

    Parameters
    ----------
    call
        What `format_call` returned.
    seconds
        How long it took, where that is known and worth saying.
    depth
        Its level in a tree of jobs.
    note
        What else there is to say: its error, for example.
    width
        Columns to fit into; a note that does not is put below, on a line of its own.

    Examples
    --------
    >>> format_job_line("DONE", "5c1f9a3e-2", "add(a=1, b=2)", 0.25)
    'DONE      5c1f9a3e-2     250 ms  add(a=1, b=2)'
    """
    duration = "" if seconds is None else format_duration(seconds)
    told = f"{job_id:<{id_width}} {duration:>8}  "
    indent = 2 * depth
    gap = "  "
    if width is not None:
        room = width - len(told) - 10
        indent = max(min(indent, room - _LEAST_CALL), 0)
        room -= indent
        if note and _columns(call) + 2 + _columns(note) > room:
            gap = "\n" + " " * _NOTE_INDENT
            note = clip_middle(note, width - _NOTE_INDENT)
        call = clip(call, room)
    head = palette.paint(f"{status:<9}", status)
    below = gap + palette.paint(note, status) if note else ""
    return f"{head} {told}{' ' * indent}{call}{below}"


def ends_of(chain: Sequence[T]) -> list[T]:
    """Return what is shown of a chain of callers: the nearest, and the one it began with.

    >>> ends_of("abcdefgh")
    ['a', 'b', 'c', 'd', 'h']
    """
    if len(chain) <= _MAX_NEAREST + 2:  # Else a line would say that one line is left out.
        return list(chain)
    return [*chain[:_MAX_NEAREST], chain[-1]]


def format_table(
    rows: Sequence[Sequence[str]], aligned: str, palette: Palette = PLAIN
) -> list[str]:
    """Return the lines of a table.

    Parameters
    ----------
    rows
        The cells; the first row is the head.
    aligned
        For each column `<` or `>`: the side at which its cells are flush.

    Examples
    --------
    >>> print(*format_table([["TASK", "DONE"], ["align", "7"]], "<>"), sep=chr(10))
    TASK   DONE
    align     7
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, aligned, widths)
        ).rstrip()
        for row in rows
    ]
    return [palette.paint(lines[0], "title"), *lines[1:]]


def format_job_table(
    counts: Mapping[str, Mapping[str, int]], palette: Palette = PLAIN
) -> list[str]:
    """Return the table of how many jobs of each task came out how.

    Parameters
    ----------
    counts
        For each status, the number of jobs by task name.

    Examples
    --------
    >>> print(*format_job_table({"DONE": {"add": 3}, "CACHED": {"main": 1}}), sep=chr(10))
    TASK  FAILED  CACHED  DONE  TOTAL
    ALL        0       1     3      4
    add        0       0     3      3
    main       0       1     0      1
    """
    always = (FAILED, CACHED, DONE)
    columns = [
        status
        for status in (PENDING, RUNNING, KILLED, CANCELLED, *always)
        if status in always or counts.get(status)
    ]
    names = sorted({name for status in columns for name in counts.get(status, ())})
    by_task = {name: [counts.get(status, {}).get(name, 0) for status in columns] for name in names}
    rows = [["TASK", *columns, "TOTAL"]]
    totals = [sum(column) for column in zip(*by_task.values())] or [0] * len(columns)
    for name, numbers in [("ALL", totals), *islice(by_task.items(), _MAX_TASKS)]:
        rows.append([one_line(name), *map(format_count, [*numbers, sum(numbers)])])
    lines = format_table(rows, "<" + ">" * (len(columns) + 1), palette)
    if len(names) > _MAX_TASKS:
        lines.append(f"… {len(names) - _MAX_TASKS} more tasks")
    return lines


def listed(words: list[str]) -> str:
    """Return words as one says them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
