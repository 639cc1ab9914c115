"""What the tests of the engine share: a place to run in, executors that a test steers, an audit.

A test that depends on what happens at the same time does not sleep and hope: it runs its jobs on a
`SteeredExecutor`, which holds each one until the test says that it ends.
"""

from __future__ import annotations

import atexit
import doctest
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from ask import ask
from ledger import note as note
from ledger import notes as notes

from redun_lite import Config, Executor, Scheduler
from redun_lite._database import database_source
from redun_lite._digest import digest
from redun_lite._expr import key_of_expr
from redun_lite._record import load_value
from redun_lite._sqlite import SqliteDatabase

if TYPE_CHECKING:
    from redun_lite._database import Database

ROOT = Path(__file__).parent.parent


def run(expr: Any, config: Config | None = None, **arguments: Any) -> Any:
    """Run with a repository in memory."""
    with Scheduler(config) as scheduler:
        return scheduler.run(expr, **arguments)


class Lab:
    """A repository in a folder of its own, and a new scheduler for each run.

    Nothing but the database is carried from one run to the next, as if each were a process.
    """

    def __init__(
        self,
        folder: Path,
        uri: str | None = None,
        path: Path | None = None,
        **sections: dict[str, Any],
    ) -> None:
        self.folder = folder
        self.path = path or folder / "lab.db"
        self.uri = uri or f"sqlite:///{self.path}"
        backend = {"db_uri": self.uri, **sections.pop("backend", {})}
        self.config = Config({"backend": backend, **sections})
        self.source = database_source(self.config)

    def scheduler(self, *executors: Executor, reporter: Any = None) -> Scheduler:
        scheduler = Scheduler(self.config, reporter=reporter)
        for executor in executors:
            scheduler.add_executor(executor)
        return scheduler

    def run(self, expr: Any, *executors: Executor, reporter: Any = None, **arguments: Any) -> Any:
        with self.scheduler(*executors, reporter=reporter) as scheduler:
            return scheduler.run(expr, **arguments)

    def query(self, sql: str, *parameters: Any) -> list[Any]:
        """Return what a query finds; a single column comes without tuples around."""
        with closing(self.source.connect(read_only=True)) as database:
            rows = database.rows(sql, *parameters)
        return [row[0] if len(row) == 1 else row for row in rows]

    def jobs(self, execution: int | None = None) -> dict[str, list[str]]:
        """Return the statuses of an execution's jobs by task, by default the last one's."""
        found = defaultdict(list)
        for fullname, status in self.query(
            "SELECT fullname, status FROM job JOIN task ON task.id = task_id "
            "WHERE job.id >> 32 = coalesce(?, (SELECT max(id) FROM execution)) ORDER BY status",
            execution,
        ):
            found[fullname.rpartition(".")[2]].append(status)
        return dict(found)

    def is_cached(self) -> bool:
        """Say whether all jobs of the last execution had known results."""
        return {status for statuses in self.jobs().values() for status in statuses} == {"CACHED"}

    def statuses(self) -> list[str]:
        """Return the statuses of the executions."""
        if not self.source.exists():
            return []
        return self.query("SELECT status FROM execution ORDER BY id")

    def audit(self) -> None:
        with closing(self.source.connect(read_only=True)) as database:
            audit(database)


class SteeredExecutor(Executor):
    """Holds its jobs until the test lets them run.

    Parameters
    ----------
    on_submit
        Called with each job that comes, in the engine's thread.
    """

    def __init__(
        self, name: str = "steered", on_submit: Callable[[Any], None] | None = None
    ) -> None:
        super().__init__(name)
        self.on_submit = on_submit
        self.held: list[Any] = []
        self.starts = 0

    def start(self) -> None:
        self.starts += 1

    def submit(self, job: Any) -> None:
        self.held.append(job)
        if self.on_submit is not None:
            self.on_submit(job)

    def finish(self, job: Any) -> None:
        """Run the function of a job that is held, and hand back what comes of it."""
        self.held.remove(job)
        try:
            result = job.task.func(*job.args, **job.kwargs)
        except Exception as error:
            self.scheduler.reject_job(job, error)
        else:
            self.scheduler.done_job(job, result)

    def finish_all(self) -> None:
        for job in list(self.held):
            self.finish(job)


class InlineExecutor(SteeredExecutor):
    """Runs each job at once, in the engine's thread."""

    def __init__(self, name: str = "inline") -> None:
        super().__init__(name, self.finish)


def run_examples(text: str, name: str, names: Any = ()) -> None:
    """Run the `>>>` examples in a docstring or a page of Markdown, one after the other.

    Doctest itself looks for those of functions and classes only, and a task is neither.

    Parameters
    ----------
    names
        What the examples can refer to.
    """
    text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)  # Else a fence ends expected output.
    test = doctest.DocTestParser().get_doctest(text, dict(names), name, name, 0)
    assert test.examples, f"{name} has no examples"
    report: list[str] = []
    runner = doctest.DocTestRunner(
        verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:  # Which `run` keeps its results in.
        os.chdir(folder)
        try:
            runner.run(test, out=report.append)
        finally:
            os.chdir(before)
    assert not report, "".join(report)


def python(
    *arguments: Any, check: bool = True, folder: Any = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, with this package and these tests on its path.

    Commands of redun_lite are run by a server, see `zygote`.
    """
    environment = {**os.environ, **environ}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    if arguments[:2] == ("-m", "redun_lite"):
        environment["PYTHONDONTWRITEBYTECODE"] = "1"  # Of what a test may write again.
        done = commands.python(arguments, folder or os.getcwd(), environment)
    else:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            timeout=120,
        )
    if check:
        assert done.returncode == 0, done.stderr
    return done


class CommandServer:
    """Runs Python without site-packages, each time as a process of its own; see `zygote`.

    It is started when it is first needed, and ends with the process that started it.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="redun_lite-tests-")
        self._process: subprocess.Popen[str] | None = None
        self.socket = os.path.join(self._folder.name, "commands")

    def run(
        self, words: Sequence[str], folder: Any, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of redun_lite in a folder, with nothing on its standard input."""
        return self.python(("-m", "redun_lite", *words), folder, environ)

    def python(
        self, words: Sequence[Any], folder: Any, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a module or a file in a folder, with nothing on its standard input."""
        self.start()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            nothing = os.open(os.devnull, os.O_RDONLY)
            files = (nothing, out.fileno(), err.fileno())
            status = ask(self.socket, map(str, words), str(folder), environ, files)
            os.close(nothing)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(
                words, status, out.read().decode(), err.read().decode()
            )

    def start(self) -> None:
        """Let the server listen at `socket`."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-S", str(ROOT / "tests" / "zygote.py"), self.socket],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "ready\n"
            atexit.register(self.stop)

    def stop(self) -> None:
        """Let the server end."""
        if self._process is not None:
            self._process.communicate()
            self._process = None
            self._folder.cleanup()


commands = CommandServer()


# The audit

_REFERENCES = [
    ("job", "task_id", "task"),
    ("job", "call_id", "call"),
    ("call", "task_id", "task"),
    ("call", "single_id", "value"),
    ("call", "result_id", "value"),
    ("call", "task_set_id", "task_set"),
    ("argument", "call_id", "call"),
    ("argument", "value_id", "value"),
    ("upstream", "call_id", "call"),
    ("upstream", "upstream_id", "call"),
    ("call_child", "call_id", "call"),
    ("call_child", "child_id", "call"),
    ("task_set_member", "task_set_id", "task_set"),
    ("task_set_member", "task_id", "task"),
    ("value", "type_id", "value_type"),
    ("subvalue", "parent_id", "value"),
    ("subvalue", "child_id", "value"),
    ("file", "value_id", "value"),
    ("attempt", "job_id", "job"),
    ("attempt", "error_id", "value"),
    ("execution", "parent_job_id", "job"),
    ("handle_edge", "parent_id", "handle_state"),
    ("handle_edge", "child_id", "handle_state"),
]


def audit(database: Database, config_args: bool = False) -> None:
    """Check that a repository is whole and that every digest in it tells the truth.

    Parameters
    ----------
    database
        A connection to it.
    config_args
        Whether tasks in it have some; then a call's key does not follow from its arguments.
    """

    with database.snapshot():  # Others may be writing.
        _audit(database, config_args)


def _audit(database: Database, config_args: bool) -> None:
    find = database.rows
    if isinstance(database, SqliteDatabase):
        assert find("PRAGMA integrity_check") == [("ok",)]
    for table, column, target in _REFERENCES:
        dangling = f"{column} IS NOT NULL AND {column} NOT IN (SELECT id FROM {target})"
        assert not find(f"SELECT {column} FROM {table} WHERE {dangling}"), (
            f"{table}.{column} refers to nothing"
        )
    assert not find("SELECT id FROM job WHERE id >> 32 NOT IN (SELECT id FROM execution)")
    assert not find(
        "SELECT id FROM job WHERE status = 'DONE' AND (call_id IS NULL OR ended IS NULL)"
    )
    ended = "id >> 32 IN (SELECT id FROM execution WHERE ended IS NOT NULL)"
    assert not find(f"SELECT id FROM job WHERE {ended} AND ended IS NULL")
    assert not find(
        f"SELECT id FROM job WHERE {ended} AND parent_id IS NOT NULL "
        "AND parent_id NOT IN (SELECT id FROM job)"
    ), "a job's parent is missing"

    digests = dict(find("SELECT id, digest FROM value"))
    for row, name, data in find(
        "SELECT value.id, name, data FROM value JOIN value_type ON value_type.id = type_id"
    ):
        try:
            value = load_value(name, data)
            key = key_of_expr(value)  # Also loads what is quoted.
        except Exception:
            continue  # Its class or task is not here.
        assert key == digests[row], f"value {row} is not {value!r}"

    arguments = defaultdict(list)
    for call, value in find("SELECT call_id, value_id FROM argument ORDER BY call_id, position"):
        arguments[call].append(digests[value])
    tasks = dict(find("SELECT id, digest FROM task"))
    for call, key, task in find("SELECT id, key, task_id FROM call"):
        if not config_args:
            assert key == digest(tasks[task] + b"".join(arguments[call])), f"call {call}"

    members = defaultdict(set)
    for task_set, task in find("SELECT task_set_id, task_id FROM task_set_member"):
        members[task_set].add(task)
    for task_set, its_digest in find("SELECT id, digest FROM task_set"):
        assert its_digest == digest(b"".join(sorted(tasks[task] for task in members[task_set])))
    sets = {}
    for call, task, task_set in find("SELECT id, task_id, task_set_id FROM call"):
        sets[call] = members[task_set]
        assert task in members[task_set], f"call {call} does not know its own task"
    for call, child in find("SELECT call_id, child_id FROM call_child"):
        assert sets[child] <= sets[call], f"call {call} does not know the tasks below"
    audit_attempts(find)
    audit_tags(find)


def audit_attempts(find: Callable[[str], list[Any]]) -> None:
    """Check that attempts come one after the other, all but the last with an error."""
    attempts = defaultdict(list)
    for job, *attempt in find(
        "SELECT job_id, number, started, ended, error_id FROM attempt ORDER BY job_id, number"
    ):
        attempts[job].append(attempt)
    jobs = {job: rest for job, *rest in find("SELECT id, status, started, ended FROM job")}
    for job, rows in attempts.items():
        assert [number for number, *_ in rows] == list(range(1, len(rows) + 1)), f"job {job}"
        times = [time for _, started, ended, _ in rows for time in (started, ended)]
        assert times == sorted(times), f"the attempts at job {job} overlap"
        assert all(error is not None for *_, error in rows[:-1]), f"job {job} was tried in vain"
        status, started, ended = jobs[job]
        assert started == times[0], f"job {job} starts with its first attempt"
        assert ended is None or ended >= times[-1], f"job {job} ended before its last attempt"
        succeeded = rows[-1][-1] is None
        assert status != "DONE" or succeeded, f"job {job} is done, its last attempt failed"


def audit_tags(find: Callable[[str], list[Any]]) -> None:
    """Check that every tag is on something that is recorded."""
    known = {uuid for (uuid,) in find("SELECT uuid FROM execution")}
    known.update(
        f"{uuid[:8]}-{job & 0xFFFFFFFF}"
        for uuid, job in find(
            "SELECT uuid, job.id FROM job JOIN execution ON execution.id = job.id >> 32"
        )
    )
    for table in ("task", "value"):
        known.update(digest.hex() for (digest,) in find(f"SELECT digest FROM {table}"))
    for entity, key in find("SELECT entity, key FROM tag"):
        assert entity in known, f"tag {key} is on {entity}, which is nothing recorded"
