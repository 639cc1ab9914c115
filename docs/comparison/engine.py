"""The engine that the workflows run on: its names, wherever it keeps them, and its records.

A workflow says `from .engine import task, cond, catch_all`.  Which package that comes from is said
by the environment variable WORKFLOW_ENGINE.  The two packages keep some names in modules of other
names (redun's `catch_all` is in `redun.scheduler`), so a name is looked for in all of them.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from importlib import import_module
from typing import Any, NamedTuple

ENGINE = os.environ.get("WORKFLOW_ENGINE", "redun_lite")
IS_REDUN = ENGINE == "redun"
_MODULES = (
    "",
    ".functools",
    ".tools",
    # Only redun has these.
    ".scheduler",
    ".task",
    ".expression",
    ".value",
    ".scripting",
    ".federated_tasks",
    ".config",
    ".promise",
    ".file",
)
if IS_REDUN:
    logging.disable(logging.CRITICAL)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    for module in _MODULES:
        try:
            return getattr(import_module(ENGINE + module), name)
        except (ModuleNotFoundError, AttributeError):
            pass
    raise AttributeError(f"{ENGINE} has no {name}")


def engine_version() -> str:
    """Return the version of the package."""
    return str(import_module(ENGINE).__version__)


def canonical(name: str) -> str:
    """Return a name or text with the package's own tasks called as redun calls them."""
    return name.replace("redun_lite.", "redun.")


# Running


class Run(NamedTuple):
    """An expression to run, and what to say besides.

    Parameters
    ----------
    arguments
        Keyword arguments of `Scheduler.run`.
    """

    expr: Any
    arguments: dict[str, Any] = {}


def run(config: dict[str, dict[str, Any]], wanted: Run) -> Any:
    """Run an expression with a scheduler of its own, as a new process would."""
    scheduler = __getattr__("Scheduler")(__getattr__("Config")(config))
    scheduler.load()
    try:
        return scheduler.run(wanted.expr, **wanted.arguments)
    finally:
        if not IS_REDUN:
            scheduler.close()


def scheduler_of(folder: str) -> Any:
    """Return a scheduler with the configuration in a folder."""
    if IS_REDUN:
        return import_module("redun.cli").setup_scheduler(folder)
    config = __getattr__("Config").from_file(os.path.join(folder, "redun_lite.ini"))
    return __getattr__("Scheduler")(config).load()


# Records


class Job(NamedTuple):
    """A recorded job."""

    name: str
    status: str
    parent: str
    tags: list[tuple[str, Any]]


class Execution(NamedTuple):
    """A recorded execution."""

    status: str
    tags: list[tuple[str, Any]]
    jobs: list[Job]


def records(config: dict[str, dict[str, Any]]) -> Iterator[Execution]:
    """Read the executions of a repository, oldest first."""
    return _records_of_redun(config) if IS_REDUN else _records_of_redun_lite(config)


def value_tags(config: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
    """Read the tags that values have."""
    if IS_REDUN:
        session, tables = _session(config)
        tags = session.query(tables.Tag)
        return [(tag.key, tag.value) for tag in tags if tag.entity_type.name == "Value"]
    with _connection(config) as connection:
        return [
            (key, json.loads(value))
            for key, value in connection.execute(
                "SELECT key, tag.value FROM tag "
                "JOIN value ON lower(hex(digest)) = entity ORDER BY tag.id"
            )
        ]


def _session(config: dict[str, dict[str, Any]]) -> tuple[Any, Any]:
    scheduler = __getattr__("Scheduler")(__getattr__("Config")(config))
    scheduler.load()
    return scheduler.backend.session, import_module("redun.backends.db")


def _records_of_redun(config: dict[str, dict[str, Any]]) -> Iterator[Execution]:
    session, tables = _session(config)
    own = ("redun.version", "user", "project")
    executions = session.query(tables.Execution).all()
    executions.sort(key=lambda execution: min(job.start_time for job in execution.jobs))
    for execution in executions:
        yield Execution(
            execution.status,
            [(tag.key, tag.value) for tag in execution.tags if tag.key not in own],
            [
                Job(
                    job.task.fullname,
                    job.status,
                    job.parent_job.task.fullname if job.parent_job else "",
                    [(tag.key, tag.value) for tag in job.tags],
                )
                for job in execution.jobs
            ],
        )


def _connection(config: dict[str, dict[str, Any]]) -> AbstractContextManager[sqlite3.Connection]:
    return closing(sqlite3.connect(config["backend"]["db_uri"].removeprefix("sqlite:///")))


def _records_of_redun_lite(config: dict[str, dict[str, Any]]) -> Iterator[Execution]:
    with _connection(config) as connection:
        tags: dict[str, list[tuple[str, Any]]] = {}
        for entity, key, value in connection.execute("SELECT entity, key, value FROM tag"):
            tags.setdefault(entity, []).append((key, json.loads(value)))
        names = dict(
            connection.execute(
                "SELECT job.id, fullname FROM job JOIN task ON task.id = task_id"
            ).fetchall()
        )
        # What a subrun adds to an execution has a row of its own.
        extended = dict(
            connection.execute(
                "SELECT id, parent_job_id >> 32 FROM execution WHERE parent_job_id IS NOT NULL"
            ).fetchall()
        )
        top = dict(connection.execute("SELECT id, parent_job_id FROM execution").fetchall())
        executions = connection.execute("SELECT id, uuid, status FROM execution ORDER BY id")
        found = {
            number: (uuid, Execution(status, tags.get(uuid, []), []))
            for number, uuid, status in executions
        }
        rows = connection.execute("SELECT id, parent_id, status FROM job ORDER BY id")
        for job, parent, status in rows:
            own = job >> 32
            shown = own
            while shown in extended:
                shown = extended[shown]
            entity = f"{found[own][0][:8]}-{job & 0xFFFFFFFF}"
            above = names.get(parent if parent is not None else top[own], "")
            found[shown][1].jobs.append(Job(names[job], status, above, tags.get(entity, [])))
        for number, (_, execution) in found.items():
            if number not in extended:
                yield execution
