"""How differences of code and values look, wherever they are told: in lines, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._compare import ABSENT, MOST, source_diff
from .._display import Palette, printable
from .._format_value import format_value
from .log_json import TEXT_LENGTH, value_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._compare import Difference
    from .._history import History, JobRow, ValueRow
    from .._why import CodeChange

_MAX_DIFF = 60  # Lines of a diff of two sources.


def paint_diff(lines: list[str], palette: Palette) -> Iterator[str]:
    """Yield the lines of a diff of two sources, indented, as many as one wants to see."""
    colours = {"-": "FAILED", "+": "DONE", "@": "faint"}
    for line in lines[:_MAX_DIFF]:
        yield "  " + palette.paint(printable(line).replace("\n", " "), colours.get(line[:1], ""))
    if len(lines) > _MAX_DIFF:
        yield f"  … {len(lines) - _MAX_DIFF} more lines"


def job_json(history: History, job: JobRow) -> dict[str, Any]:
    """Return which job it is for `json.dumps`."""
    return {
        "job_id": history.job_id(job),
        "execution_id": history.execution_uuid(job.execution_id),
        "task_name": job.task_name,
        "status": job.status,
    }


def code_json(change: CodeChange) -> dict[str, Any]:
    """Return a change of a task's code for `json.dumps`."""
    before, after = change.before, change.after
    return {
        "task_name": after.fullname,
        "what": change.what,
        "before": {"task_hash": before.digest.hex(), "version": before.version},
        "after": {"task_hash": after.digest.hex(), "version": after.version},
        "diff": source_diff(before.source, after.source),
    }


def change_json(
    before: ValueRow | None, after: ValueRow | None, parts: Sequence[Difference]
) -> dict[str, Any]:
    """Return two values, and the parts in which they differ, for `json.dumps`."""
    return {
        "before": None if before is None else value_json(before),
        "after": None if after is None else value_json(after),
        "differences": [
            {"path": part.path, "before": _part_json(part.before), "after": _part_json(part.after)}
            for part in parts[:MOST]
        ],
    }


def _part_json(part: Any) -> str | None:
    return None if part is ABSENT else format_value(part, TEXT_LENGTH)
