"""What a comparison is: a workflow, how it is run, and what is told of its outcome.

The outcome is a list of lines of text that mean the same in both packages: results, the class of an
error, how often each function really ran, statuses of jobs.  Nothing in it depends on hashes,
addresses, times or the order in which parallel functions happened to run.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import tempfile
import threading
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, NamedTuple

from .engine import Run, canonical, records, run, value_tags

# What functions did

_ran: list[str] = []
_lock = threading.Lock()


def ran(*words: Any) -> None:
    """Note that a function runs; called in its first line."""
    with _lock:
        _ran.append(" ".join(map(str, words)))


# Reasons to differ that many have

BAD_INPUT = "Bad input is named in one line, by an error of the package."
SAID_EARLY = "Said where it is written, before anything runs."
CHECKED_FIRST = "Arguments are checked before anything runs, whether or not an error comes."
TOP = "The call that is run is a call like others."


# Cases


class Fact(NamedTuple):
    """Something to tell that is not the result of a run."""

    text: str


class Case(NamedTuple):
    """A comparison.

    Parameters
    ----------
    shows
        What one sees by it, as a sentence.
    why
        Why the outcomes differ, and are meant to; None if they are the same.
    make
        Returns the expression to run, or is a generator: then it is resumed after each run of what
        it yields, which may be an expression, a `Run` or a `Fact`.
    runs
        How often what `make` returns is run, each time by a new scheduler on the same repository.
    jobs
        Whether to tell the recorded jobs.
    tags
        Whether to tell the recorded tags.
    in_order
        Whether to tell in which order functions ran.
    config
        Sections of the configuration.
    """

    name: str
    shows: str
    why: str | None
    make: Callable[[], Any]
    runs: int
    jobs: bool
    tags: bool
    in_order: bool
    config: dict[str, dict[str, Any]]


def case(
    shows: str,
    *,
    why: str | None = None,
    runs: int = 2,
    jobs: bool = False,
    tags: bool = False,
    in_order: bool = False,
    config: dict[str, dict[str, Any]] | None = None,
) -> Callable[[Callable[[], Any]], Case]:
    """Make a comparison of a function; see `Case`."""

    def decorate(make: Callable[[], Any]) -> Case:
        return Case(make.__name__, shows, why, make, runs, jobs, tags, in_order, config or {})

    return decorate


def cases_of(topic: str) -> list[Case]:
    """Return the cases of a topic, which is a module here."""
    module = import_module(f"{__package__}.{topic}")
    return [each for each in vars(module).values() if isinstance(each, Case)]


def about(topic: str) -> str:
    """Return what a topic is about."""
    return (import_module(f"{__package__}.{topic}").__doc__ or "").strip().rstrip(".")


def topics() -> list[str]:
    """Return the names of all topics."""
    own = {"__init__", "__main__", "case", "engine"}
    return sorted({path.stem for path in Path(__file__).parent.glob("*.py")} - own)


# Outcomes


def outcome_of(wanted: Case) -> list[str]:
    """Run a case in a fresh folder with a fresh database, and tell what became of it."""
    before = os.getcwd()
    # In memory, where there is such a folder: nothing here is about disks.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        os.chdir(folder)
        try:
            return [canonical(line) for line in _tell(wanted, folder)]
        finally:
            os.chdir(before)


def _tell(wanted: Case, folder: str) -> list[str]:
    database = {"backend": {"db_uri": f"sqlite:///{folder}/case.db"}}
    config = {**database, **wanted.config}
    lines = []
    if inspect.isgeneratorfunction(wanted.make):
        steps = wanted.make()
        while True:
            try:
                step = next(steps)
            except StopIteration:
                break
            except Exception as error:
                lines.append(f"raises {type(error).__name__} when it is written")
                break
            lines.append(step.text if isinstance(step, Fact) else _run(wanted, config, step))
    else:
        for _ in range(wanted.runs):
            try:
                step = wanted.make()
            except Exception as error:
                lines.append(f"raises {type(error).__name__} when it is written")
                break
            lines.append(_run(wanted, config, step))
    if wanted.jobs or wanted.tags:
        lines.extend(_recorded(wanted, config))
    return lines


def _run(wanted: Case, config: dict[str, dict[str, Any]], step: Any) -> str:
    """Run once; tell the result, and how often each function ran."""
    if not isinstance(step, Run):
        step = Run(step)
    _ran.clear()
    try:
        told = show(run(config, step))
    except Exception as error:
        told = f"raises {type(error).__name__}"
    if wanted.in_order:
        what = ", ".join(_ran)
    else:
        counts = sorted(Counter(_ran).items())
        what = ", ".join(name if times == 1 else f"{name} ×{times}" for name, times in counts)
    return f"{told}; runs {what or 'nothing'}"


def _recorded(wanted: Case, config: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for execution in records(config):
        told = []
        for job in execution.jobs:
            words = [job.name, job.status]
            if job.parent:
                words.append(f"under {job.parent}")
            if wanted.tags and job.tags:
                words.append(_show_tags(job.tags))
            told.append(" ".join(words))
        line = f"execution {execution.status}"
        if wanted.tags and execution.tags:
            line += " " + _show_tags(execution.tags)
        lines.append(line + (": " + ", ".join(sorted(told)) if wanted.jobs else ""))
    if wanted.tags:
        lines.append("values tagged " + _show_tags(value_tags(config)))
    return lines


def _show_tags(tags: list[tuple[str, Any]]) -> str:
    return "{" + ", ".join(sorted(f"{key}={json.dumps(value)}" for key, value in tags)) + "}"


def show(value: Any) -> str:
    """Return a text for a value that is the same in both packages, and in every run."""
    name = type(value).__name__
    if isinstance(value, (list, tuple)):
        if hasattr(value, "_fields"):
            fields = zip(value._fields, value)
            return name + "(" + ", ".join(f"{key}={show(part)}" for key, part in fields) + ")"
        parts = ", ".join(map(show, value))
        if isinstance(value, list):
            return f"[{parts}]"
        return f"({parts},)" if len(value) == 1 else f"({parts})"
    if isinstance(value, (set, frozenset)):
        return name + "(" + ", ".join(sorted(map(show, value))) + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{show(key)}: {show(part)}" for key, part in value.items()) + "}"
    if name.endswith("Expression"):
        return f"an unevaluated {name}"
    if isinstance(value, BaseException):
        return name  # What Python writes in its own errors is its own business.
    if name in ("PartialTask", "Task", "SchedulerTask"):
        return f"{name}({value.fullname})"
    if hasattr(value, "__handle__"):
        return f"{name}({value.__handle__.fullname})"
    if hasattr(value, "path"):
        return f"{name}({value.path})"
    if name in ("Thread", "JobInfo"):
        return name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = ", ".join(
            f"{field.name}={show(getattr(value, field.name))}"
            for field in dataclasses.fields(value)
        )
        return f"{name}({parts})"
    return repr(value)
