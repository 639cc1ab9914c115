"""The command `repl`: a prompt of Python at which one can ask a repository.

Records are the typed rows of `_history`.  They are shown as `log` shows them, so a value that is
stored is taken apart, and never loaded; `load_trusted` loads one, and is the only thing here that
does.

What comes over a pipe is run line by line as if it were typed, without prompts; the exit code then
says whether anything failed.
"""

from __future__ import annotations

import sys
from code import InteractiveConsole
from itertools import islice
from typing import TYPE_CHECKING, Any, Callable

from .._display import Palette, format_size, format_time, one_line, terminal_width, use_colour
from .._errors import RedunLiteError, RepositoryWriteError, UsageError, shorten
from .._filters import (
    EXECUTION_STATUSES,
    JOB_STATUSES,
    Filters,
    TagFilter,
    ValueFilter,
    parse_statuses,
    parse_time,
)
from .._history import CallRow, ExecutionRow, FileRow, JobRow, TaskRow, ValueRow
from .._job_tree import all_children, all_jobs
from .._query import Kind, Query
from .._record import load_value
from .._timers import now
from .._value_store import home_of, read_value
from .._version import VERSION
from .command import (
    FAILED,
    OK,
    PROGRAM,
    Command,
    add_repository_option,
    recorded,
    repository_source,
)
from .describe import stored_text
from .log import log_lines
from .tags import entity_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from .._database import Source
    from .._history import Found, History

_LIMIT = 20  # Records that a query returns unless it is told how many.
_MOST_ROWS = 1_000  # Rows that `sql` returns, and jobs that `children` does.
_LINE = 100

MODELS: dict[str, type[Any]] = {
    "Execution": ExecutionRow,
    "Job": JobRow,
    "CallNode": CallRow,
    "Task": TaskRow,
    "Value": ValueRow,
    "File": FileRow,
}

_BANNER = f"""{PROGRAM} {VERSION}: {{address}}
query(ID), query(Job, status="FAILED"), show(ID), result(ID), arguments(ID), children(ID), tags(ID),
sql("SELECT …"); models: {", ".join(MODELS)}. help(query) says more; Ctrl-D ends.
Values are shown without being loaded; load_trusted(VALUE) loads one, which may run code."""


class ReplCommand(Command):
    """A prompt."""

    description = (
        "A prompt of Python at which one can ask the repository.\n\n"
        "query, show, result, arguments, children, tags and sql look records up. A pipe works:\n"
        f"echo 'query(Job, status=\"FAILED\")' | {PROGRAM} repl"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_repository_option(parser)

    def run(self, options: Namespace) -> int:
        with recorded(options) as history:
            return interact(Records(history, repository_source(options)))


class Records:
    """What can be asked at the prompt.

    Parameters
    ----------
    history
        The repository.
    source
        Where it is.
    """

    def __init__(self, history: History, source: Source) -> None:
        self.history = history
        self._source = source

    def names(self) -> dict[str, Any]:
        """Return what is known at the prompt."""
        methods = (
            *(self.query, self.count, self.show, self.result, self.arguments, self.children),
            *(self.tags, self.load_trusted, self.sql),
        )
        return {
            **MODELS,
            **{method.__name__: method for method in methods},
            "history": self.history,
        }

    def query(self, what: Any = "-", limit: int | None = _LIMIT, **filters: Any) -> Any:
        """Return the record of an id, or the latest records of a model.

        Parameters
        ----------
        what
            An id as `log` takes it, `-` for the latest execution; or Execution, Job, CallNode,
            Task, Value or File.
        limit
            Of a model, the most records; None for all.
        filters
            Of a model, what they have to fulfil: `status`, `execution` (an id), `tag`, `exec_tag`
            (KEY or KEY=VALUE), `task` (a name, `*` for any characters), `task_hash`, `type`,
            `path`, `arg`, `result` (a value as Python writes it, or its hash), `since`, `until`.

        Examples
        --------
        `query(Job, status="FAILED", task="align*", since="2h")`
        """
        if what in MODELS.values():
            kind = _kind_of(what)
            if limit is not None and not (isinstance(limit, int) and limit >= 0):
                raise UsageError(f"query: limit: expected a number from 0 on, got {shorten(limit)}")
            return [*Query(self.history, _filters(kind, filters)).iterate(kind, limit)]
        if filters:
            raise UsageError("query: filters are for a model, as in query(Job, status='FAILED')")
        return self.history.find(what)

    def count(self, model: Any, **filters: Any) -> int:
        """Return how many records of a model there are; filters as of `query`."""
        kind = _kind_of(model)
        return Query(self.history, _filters(kind, filters)).count(kind)

    def show(self, what: Any = "-") -> None:
        """Print a record as `log` does: one that was returned before, or that of an id."""
        entity = entity_of(self.history, self._record(what))
        palette = Palette(use_colour(sys.stdout))
        for line in log_lines(self._source, entity, palette, terminal_width(sys.stdout)):
            print(line)

    def result(self, what: Any) -> ValueRow | None:
        """Return what a job or a call came to, or its error; None if that is not recorded."""
        call = self._call(what)
        return None if call is None else self.history.results([call.id])[call.id]

    def arguments(self, what: Any) -> dict[str, ValueRow]:
        """Return the arguments of a job or a call by name."""
        call = self._call(what)
        if call is None:
            return {}
        return {row.name: row.value for row in self.history.arguments([call.id])[call.id]}

    def children(self, what: Any = "-", limit: int | None = _MOST_ROWS) -> list[JobRow]:
        """Return the first jobs that a job led to directly, or of all jobs of an execution."""
        record = self._record(what)
        if isinstance(record, ExecutionRow):
            return [entry.job for entry in islice(all_jobs(self.history, record), limit)]
        if isinstance(record, JobRow):
            return [entry.job for entry in islice(all_children(self.history, record), limit)]
        raise UsageError(f"children: expected a job or an execution, got {_name_of(record)}")

    def tags(self, what: Any = "-") -> list[tuple[str, Any]]:
        """Return keys and values of the tags of a record."""
        entity = entity_of(self.history, self._record(what))
        return self.history.tags([entity])[entity]

    def load_trusted(self, what: Any) -> Any:
        """Load a value for real: only of those whose code you would run.

        A value is stored as a pickle, and loading one can run anything that it names.
        """
        record = self._record(what)
        value: Any = record.value if isinstance(record, FileRow) else record
        if isinstance(value, (JobRow, CallRow)):
            value = self.result(value)
        if not isinstance(value, ValueRow):
            raise UsageError(f"load_trusted: expected a value, got {_name_of(record)}")
        data = value.data or self.history.value(value.id, max_size=value.size).data
        if data is None:
            database = self.history.database
            data = read_value(database, value.id, home_of(database.address))
        return load_value(value.type_name, data)

    def sql(self, query: str, *parameters: Any) -> list[Any]:
        """Return the first rows that a query in SQL finds; the database is open for reading only.

        The tables are those of `docs/design.md`; `?` stands for each parameter.
        """
        try:
            return list(islice(self.history.database.iterate(query, *parameters), _MOST_ROWS))
        except RepositoryWriteError as error:
            if "readonly" not in str(error):
                raise
            raise UsageError("sql: the database is open for reading only") from None

    def _record(self, what: Any) -> Found:
        return self.history.find(what) if isinstance(what, str) else what

    def _call(self, what: Any) -> CallRow | None:
        record = self._record(what)
        if isinstance(record, CallRow):
            return record
        if isinstance(record, JobRow):
            return None if record.call_id is None else self.history.call(record.call_id)
        raise UsageError(f"expected a job or a call, got {_name_of(record)}")

    def line_of(self, record: Found) -> str:
        """Return a record as one line."""
        if isinstance(record, ExecutionRow):
            command = one_line(" ".join(record.argv))
            when = format_time(record.started)
            uuid = one_line(record.uuid[:8])
            return f"Execution {uuid} {record.status} {when} {command[:_LINE]}"
        if isinstance(record, JobRow):
            job_id = self.history.job_id(record)
            return f"Job {job_id} {record.status} {one_line(record.task_name)}"
        if isinstance(record, CallRow):
            return f"CallNode {record.digest.hex()[:8]} {one_line(record.task_name)}"
        if isinstance(record, TaskRow):
            return f"Task {record.digest.hex()[:8]} {one_line(record.fullname)}"
        value = record.value if isinstance(record, FileRow) else record
        shown = stored_text(value, _LINE)
        digest = value.digest.hex()[:8]
        if isinstance(record, FileRow):
            return f"File {digest} {one_line(record.path)}"
        type_name = one_line(value.type_name)
        return f"Value {digest} {type_name} {format_size(value.size)}: {shown}"


def _name_of(record: Any) -> str:
    models = {model: name for name, model in MODELS.items()}
    return models.get(type(record), repr(record)[:_LINE])


def _kind_of(model: Any) -> Kind:
    for name, known in MODELS.items():
        if model is known:
            return Kind(name)
    raise UsageError(f"expected one of {', '.join(MODELS)}, got {model!r:.60}")


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else (str(value),)


def _filters(kind: Kind, given: dict[str, Any]) -> Filters:
    """Return filters from the keywords of `query`."""
    is_execution = kind is Kind.EXECUTION
    moment = now()
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "status": (
            "execution_statuses" if is_execution else "job_statuses",
            lambda value: parse_statuses(
                _texts(value), EXECUTION_STATUSES if is_execution else JOB_STATUSES, "status"
            ),
        ),
        "execution": ("executions", _texts),
        "tag": ("tags", lambda value: tuple(map(TagFilter.parse, _texts(value)))),
        "exec_tag": ("execution_tags", lambda value: tuple(map(TagFilter.parse, _texts(value)))),
        "task": ("task_names", _texts),
        "task_hash": ("task_hashes", _texts),
        "type": ("value_types", _texts),
        "path": ("file_paths", _texts),
        "arg": ("arguments", lambda value: (ValueFilter.parse(_written(value), True),)),
        "result": ("results", lambda value: (ValueFilter.parse(_written(value)),)),
        "since": ("since", lambda value: parse_time(value, moment)),
        "until": ("until", lambda value: parse_time(value, moment, is_end=True)),
    }
    found = {}
    for name, value in given.items():
        if name not in readers:
            raise UsageError(f"query: no filter {name!r}; there are {', '.join(readers)}")
        field, read = readers[name]
        found[field] = read(value)
    return Filters(**found)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


class Console(InteractiveConsole):
    """A prompt that shows records as lines, and errors of the repository as one."""

    def __init__(self, records: Records, is_terminal: bool) -> None:
        super().__init__(records.names(), "<repl>")
        self._records = records
        self._is_terminal = is_terminal
        self.has_failed = False

    def write(self, data: str) -> None:
        """Write what is said besides results; not the line break with which input ends."""
        if self._is_terminal or data.strip():
            super().write(data)

    def display(self, value: Any) -> None:
        """Print what an expression came to, as `sys.displayhook` does."""
        if value is None:
            return
        import builtins

        builtins._ = value  # type: ignore[attr-defined]
        models = tuple(MODELS.values())
        if isinstance(value, models):
            print(self._records.line_of(value))
        elif isinstance(value, list) and value and all(isinstance(row, models) for row in value):
            for row in value:
                print(self._records.line_of(row))
        elif isinstance(value, dict) and value and isinstance(next(iter(value.values())), models):
            for name, row in value.items():
                print(f"{name}: {self._records.line_of(row)}")
        else:
            print(one_line(repr(value)))

    def showtraceback(self) -> None:
        """Print an error: one of the repository or of what was typed as its line."""
        self.has_failed = True
        error = sys.exc_info()[1]
        if isinstance(error, RedunLiteError):
            print(f"{PROGRAM}: error: {one_line(str(error))}", file=sys.stderr)
        else:
            super().showtraceback()

    def showsyntaxerror(self, filename: str | None = None, **more: Any) -> None:
        """Print where the syntax is wrong."""
        self.has_failed = True
        super().showsyntaxerror(filename, **more)


def interact(records: Records) -> int:
    """Run a prompt until its input ends, and return the exit code."""
    is_terminal = sys.stdin.isatty()
    console = Console(records, is_terminal)
    banner = ""
    prompts = ("", "")
    if is_terminal:
        banner = _BANNER.format(address=records.history.address)
        prompts = (">>> ", "... ")
        _complete(console.locals)
    before = (getattr(sys, "ps1", None), getattr(sys, "ps2", None), sys.displayhook)
    sys.ps1, sys.ps2 = prompts
    sys.displayhook = console.display
    try:
        console.interact(banner, "")
    finally:
        sys.displayhook = before[2]
        for name, prompt in zip(("ps1", "ps2"), before):
            if prompt is None:
                delattr(sys, name)
            else:
                setattr(sys, name, prompt)
    return FAILED if console.has_failed and not is_terminal else OK


def _complete(names: Any) -> None:
    """Let the Tab key complete names, where there is a library for it."""
    try:
        import readline
        from rlcompleter import Completer
    except ImportError:
        return
    readline.set_completer(Completer(names).complete)
    readline.parse_and_bind("tab: complete")
