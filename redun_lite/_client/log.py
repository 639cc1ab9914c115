"""`log`: show what was run.

Without an id it lists records of one kind or of several, those that filters let through; with one
it shows that record, or those that have to do with it.  `_query` finds, `describe` says how a
record looks to a person, `log_json` how to a program.

On a terminal a screenful of the latest is most often what is looked for, so lists end there and say
how to go on.  Where a program reads on, each record has its line.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._database import ALL
from .._display import PLAIN, Palette, format_count, terminal_width, use_colour
from .._errors import UsageError
from .._filters import (
    EXECUTION_STATUSES,
    JOB_STATUSES,
    Filters,
    TagFilter,
    ValueFilter,
    parse_statuses,
    parse_time,
    split,
)
from .._history import FileRow, TaskRow, nothing_recorded, open_history
from .._query import Kind, Query, row_id_of
from .._sqlite import source_at
from .._timers import now
from .command import (
    OK,
    PROGRAM,
    Command,
    add_pager_option,
    add_repository_option,
    number_from,
    open_repository,
    page,
    repository_source,
    tell_nothing,
    tell_nothing_recorded,
)
from .describe import BLOCK, MAX_EXECUTIONS, Describer

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator
    from typing import Callable, TypeVar

    from .._database import Source
    from .._history import Found, History

    T = TypeVar("T")

_MAX_RECORDS = 30  # Of a kind that a terminal shows.

_KIND_OPTIONS = {
    "exec": Kind.EXECUTION,
    "job": Kind.JOB,
    "call_node": Kind.CALL,
    "task": Kind.TASK,
    "value": Kind.VALUE,
    "file": Kind.FILE,
}
_HEADINGS = {
    Kind.EXECUTION: "Executions",
    Kind.JOB: "Jobs",
    Kind.CALL: "Call nodes",
    Kind.TASK: "Tasks",
    Kind.VALUE: "Values",
    Kind.FILE: "Files",
}
_FILTER_OPTIONS = """
exec_id exec_status exec_tag job_status status task_name task_hash value_type file_path arg result
tag since until
""".split()  # noqa: SIM905


class LogCommand(Command):
    """`log [ID]`."""

    description = (
        "Show what was run: lists of records, or one record.\n\n"
        "ID is `-` for the latest execution, the start of an execution's id, a job's id\n"
        "(5c1f9a3e-12), the start of the hash of a call, value or task, a task's name, or the\n"
        "path of a file. With --exec, --job, … what is listed has to do with it.\n\n"
        "Without ID and filters: the latest executions. Exit status 1 if nothing is found."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.usage = f"{PROGRAM} log [ID] [what to list] [filters] [how to show it]"
        parser.add_argument("id", metavar="ID", nargs="?", help="what to show")
        _add_kinds(parser.add_argument_group("what to list"))
        _add_filters(parser.add_argument_group("filters"))
        group = parser.add_argument_group("how to show it")
        group.add_argument("--count", action="store_true", help="only say how many there are")
        group.add_argument(
            "--format", choices=("text", "json"), default="text", help="json: a record a line"
        )
        group.add_argument("--detail", action="store_true", help="all that is known of each record")
        group.add_argument(
            "--limit", metavar="N", type=number_from(), help="at most N of a kind; 0: all"
        )
        group.add_argument("--after", metavar="ID", help="begin behind a record, in a list")
        add_pager_option(parser)
        add_repository_option(parser)

    def run(self, options: Namespace) -> int:
        _check(options)
        width = terminal_width(sys.stdout) if options.format == "text" else None
        palette = Palette(use_colour(sys.stdout) and options.format == "text")
        _filters_of(options, None)  # Or say what is wrong with them.
        history = open_repository(options)
        if history is None:
            if options.id is not None:
                raise nothing_recorded(repository_source(options).address, repr(options.id))
            return tell_nothing_recorded(options)
        with history:
            log = _Log(history, options, palette, width)
            page(log.lines(), options)
            return OK if log.has_found else tell_nothing(log.nothing())


def _add_kinds(group: Any) -> None:
    for name, what in (
        ("--exec", "executions"),
        ("--job", "jobs"),
        ("--call-node", "call nodes"),
        ("--task", "tasks, each version of one"),
        ("--value", "values"),
        ("--file", "files, each state of one"),
    ):
        group.add_argument(name, action="store_true", help=what)
    group.add_argument("--all", action="store_true", help="records of every kind")


def _add_filters(group: Any) -> None:
    def add(*names: str, metavar: str, help: str) -> None:
        group.add_argument(*names, metavar=metavar, action="append", default=[], help=help)

    add("--exec-id", metavar="ID,…", help="start of an execution's id")
    add("--exec-status", metavar="STATUS,…", help=", ".join(EXECUTION_STATUSES))
    add("--exec-tag", metavar="KEY[=VALUE]", help="tag of the execution")
    add("--job-status", metavar="STATUS,…", help=", ".join(JOB_STATUSES))
    add("--status", metavar="STATUS,…", help="of what is listed: executions or jobs")
    add("--task-name", metavar="NAME,…", help="name of the task, full or bare, * for any text")
    add("--task-hash", metavar="HASH,…", help="start of the task's hash")
    add("--value-type", metavar="TYPE,…", help="class of the value: File, builtins.int")
    add("--file-path", metavar="PATH", help="path of the file, * for any text")
    add("--arg", metavar="VALUE", help="an argument: hash, literal or path; or NAME=VALUE")
    add("--result", metavar="VALUE", help="the result: hash, literal or path")
    add("-t", "--tag", metavar="KEY[=VALUE]", help="tag of what is listed")
    group.add_argument("--since", metavar="TIME", help="begun since: a date, or how long ago (2h)")
    group.add_argument("--until", metavar="TIME", help="begun until then")


def _check(options: Namespace) -> None:
    """Complain of options that contradict each other."""
    if options.count and options.detail:
        raise UsageError("log: --count shows no records, so there is no --detail of them")
    if options.count and (options.limit is not None or options.after is not None):
        raise UsageError("log: --count counts all that there are: leave out --limit and --after")
    if options.limit is not None:
        options.limit = min(options.limit, ALL - 1)  # With the one more that tells of the rest.
    for name in _FILTER_OPTIONS:
        texts = getattr(options, name)
        if isinstance(texts, list) and any(not text.strip(" ,") for text in texts):
            # An unset variable of a script would list all there is.
            raise UsageError(f"log: --{name.replace('_', '-')} is empty; leave it out to list all")


def _has_filters(options: Namespace) -> bool:
    return any(getattr(options, name) for name in _FILTER_OPTIONS)


def _filters_of(options: Namespace, related: Found | None) -> Filters:
    """Return what the options ask for."""
    moment = now()

    def read(name: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        option = name.replace("_", "-")
        try:
            return tuple(map(parse, _texts(getattr(options, name))))
        except UsageError as error:
            raise UsageError(f"log: --{option}: {error}") from None

    return Filters(
        executions=tuple(split(options.exec_id)),
        execution_statuses=parse_statuses(options.exec_status, EXECUTION_STATUSES, "--exec-status"),
        execution_tags=read("exec_tag", TagFilter.parse),
        job_statuses=parse_statuses(options.job_status, JOB_STATUSES, "--job-status"),
        task_names=tuple(split(options.task_name)),
        task_hashes=tuple(split(options.task_hash)),
        value_types=tuple(split(options.value_type)),
        file_paths=tuple(options.file_path),
        arguments=read("arg", lambda text: ValueFilter.parse(text, has_name=True)),
        results=read("result", ValueFilter.parse),
        tags=read("tag", TagFilter.parse),
        since=next(iter(read("since", lambda text: parse_time(text, moment))), None),
        until=next(iter(read("until", lambda text: parse_time(text, moment, is_end=True))), None),
        related=related,
    ).check()


def _kinds_of(options: Namespace) -> list[Kind]:
    """Return the kinds of records to list: those asked for, else what the filters are about."""
    kinds = [kind for name, kind in _KIND_OPTIONS.items() if getattr(options, name)]
    if options.all:
        return list(_HEADINGS)
    if kinds:
        return kinds
    if options.file_path:
        return [Kind.FILE]
    if options.value_type:
        return [Kind.VALUE]
    if options.arg or options.result or options.job_status:
        return [Kind.JOB]
    if options.task_name or options.task_hash:
        return [Kind.JOB]
    if options.tag and not (options.exec_id or options.exec_status or options.exec_tag):
        return list(_HEADINGS)
    return [Kind.EXECUTION]


class _Log:
    """What one `log` shows of a repository."""

    def __init__(
        self, history: History, options: Namespace, palette: Palette, width: int | None
    ) -> None:
        self._history = history
        self._options = options
        self._palette = palette
        self._is_cut = width is not None and not options.detail
        self._describer = Describer(history, palette, width, not self._is_cut)
        self._kinds: list[Kind] = []
        self._hints: dict[str, None] = {}
        self.has_found = False

    def lines(self) -> Iterator[str]:
        """Yield the lines, and find out whether there are any."""
        options = self._options
        record = None if options.id is None else self._find(options.id)
        is_list = _has_filters(options) or options.all or options.count
        is_list = is_list or any(getattr(options, name) for name in _KIND_OPTIONS)
        if record is None or is_list:
            yield from self._lists(record)
            return
        if options.after is not None or options.limit is not None:
            raise UsageError("log: --limit and --after are about lists: say of what, as in --job")
        self.has_found = True
        if options.format == "json":
            yield from self._json(_kind_of(record), [record])
        else:
            yield from self._describer.show(record, str(options.id))

    def nothing(self) -> str:
        """Return the line that says that nothing was found."""
        if self._is_empty():
            return str(nothing_recorded(self._history.address))
        kinds = " or ".join(_HEADINGS[kind].lower() for kind in self._kinds)
        given = [
            shlex.join([f"--{name.replace('_', '-')}", text])
            for name in _FILTER_OPTIONS
            for text in _texts(getattr(self._options, name))
        ]
        about = f" of {self._options.id}" if self._options.id is not None else ""
        asked = f" with {' '.join(given)}" if given else ""
        where = "" if given or about else f" in {self._history.address}"
        behind = f" behind {self._options.after}" if self._options.after is not None else ""
        hints = "".join(f"; {hint}" for hint in self._hints)
        return f"no {kinds or 'records'}{about}{asked}{where}{behind}{hints}"

    def _is_empty(self) -> bool:
        """Say whether all that was to be listed is what there is, and there is nothing."""
        options = self._options
        is_asked = options.id is not None or options.after is not None or _has_filters(options)
        if is_asked or self._history.count_executions():
            return False
        return not any(self._history.count_rows().values())

    def _find(self, text: str) -> Found | None:
        """Return the record of an id; a pattern is taken for one of paths."""
        if "*" in text:
            self._options.file_path = [*self._options.file_path, text]
            self._options.id = None
            return None
        return self._history.find(text)

    # Lists

    def _lists(self, record: Found | None) -> Iterator[str]:
        options = self._options
        filters = _filters_of(options, record)
        name = _task_name(record, options.id)
        if name is not None and not filters.task_names:  # All versions of a task have it.
            filters = replace(filters, related=None, task_names=(name,))
        file = self._only_file()
        if file is not None:
            self.has_found = True
            yield from self._describer.show(file, file.path)
            return
        self._kinds = kinds = _kinds_of(options)
        if options.after is not None and len(kinds) > 1:
            raise UsageError("log: --after goes on with a list of one kind: say which, as in --job")
        queries = [(kind, Query(self._history, self._with_status(kind, filters))) for kind in kinds]
        for kind, query in queries:
            self._hints.update(dict.fromkeys(query.hints))
            if options.count:
                yield from self._count(kind, query)
            elif options.format == "json":
                yield from self._json(kind, self._rows(kind, query, options.limit))
            else:
                yield from self._list(kind, query, has_heading=len(kinds) > 1)

    def _only_file(self) -> FileRow | None:
        """Return the file that is asked for by its path and nothing else, to be shown whole."""
        options = self._options
        paths = options.file_path
        others = [name for name in _FILTER_OPTIONS if getattr(options, name)]
        kinds = [name for name in _KIND_OPTIONS if getattr(options, name)]
        if len(paths) != 1 or "*" in paths[0] or others != ["file_path"] or kinds or options.all:
            return None
        if options.id is not None or options.count or options.format == "json":
            return None
        return next(iter(self._history.files_at(paths[0])), None)

    def _with_status(self, kind: Kind, filters: Filters) -> Filters:
        """Return filters with what --status means for a kind."""
        if not self._options.status:
            return filters
        if kind is Kind.EXECUTION:
            statuses = parse_statuses(self._options.status, EXECUTION_STATUSES, "--status")
            if filters.execution_statuses:
                raise UsageError("log: --status is --exec-status here: give one of them")
            return replace(filters, execution_statuses=statuses)
        if kind is Kind.JOB:
            if filters.job_statuses:
                raise UsageError("log: --status is --job-status here: give one of them")
            statuses = parse_statuses(self._options.status, JOB_STATUSES, "--status")
            return replace(filters, job_statuses=statuses)
        raise UsageError(
            f"log: {_HEADINGS[kind].lower()} have no status: use --exec-status or --job-status"
        )

    def _count(self, kind: Kind, query: Query) -> Iterator[str]:
        count = query.count(kind)
        self.has_found = self.has_found or count > 0
        if self._options.format == "json":
            from .log_json import count_line

            yield count_line(kind, count)
        else:
            yield f"{format_count(count):>10}  {kind.value}"

    def _rows(self, kind: Kind, query: Query, limit: int | None) -> Iterator[Any]:
        for row in query.iterate(kind, limit or None, self._after(kind)):
            self.has_found = True
            yield row

    def _after(self, kind: Kind) -> int | None:
        text = self._options.after
        if text is None:
            return None
        record = self._history.find(text)
        if _kind_of(record) is not kind and (kind, _kind_of(record)) != (Kind.FILE, Kind.VALUE):
            raise UsageError(
                f"log: --after {text} is of kind {_kind_of(record).value}, while the list is of "
                f"{_HEADINGS[kind].lower()}"
            )
        return row_id_of(record)

    def _list(self, kind: Kind, query: Query, has_heading: bool) -> Iterator[str]:
        limit = self._options.limit
        if limit is None and self._is_cut:
            limit = MAX_EXECUTIONS if kind is Kind.EXECUTION else _MAX_RECORDS
        rows = self._rows(kind, query, limit + 1 if limit else None)
        lines = (
            self._pages(kind, rows)
            if self._options.detail
            else self._lines(kind, query, rows, limit)
        )
        had_found = self.has_found
        first = next(lines, None)
        if first is None:
            return
        if has_heading:
            if had_found:
                yield ""
            yield self._palette.paint(_HEADINGS[kind], "title")
        yield first
        yield from lines

    def _lines(
        self, kind: Kind, query: Query, rows: Iterator[Any], limit: int | None
    ) -> Iterator[str]:
        """Yield a line for each record, as many as there is room for."""
        describer = self._describer
        make: Any = {
            Kind.EXECUTION: describer.execution_lines,
            Kind.JOB: describer.job_lines,
            Kind.CALL: describer.call_lines,
            Kind.TASK: describer.task_lines,
            Kind.VALUE: describer.value_lines,
            Kind.FILE: describer.file_lines,
        }[kind]
        shown = 0
        while block := list(islice(rows, BLOCK)):
            over = bool(limit) and shown + len(block) > (limit or 0)
            kept = block[:limit] if over else block
            if kind is Kind.EXECUTION:
                yield from describer.execution_lines(kept, has_head=shown == 0)
            elif kind is Kind.JOB:
                yield from describer.job_lines(kept, id_width=12)
            else:
                yield from make(kept)
            shown += len(kept)
            if over:
                yield self._more(kind, query, kept)
                return

    def _more(self, kind: Kind, query: Query, shown: list[Any]) -> str:
        """Return the line on what a list leaves out."""
        if self._options.limit is not None:
            option = next(name for name, one in _KIND_OPTIONS.items() if one is kind)
            after = f"--{option.replace('_', '-')} --after {self._id_of(kind, shown[-1])}"
            return f"… and more: {after} goes on"
        if kind is Kind.EXECUTION:  # Of others there may be too many to count them unasked.
            left_out = format_count(query.count(kind) - len(shown))
            return f"… and {left_out} more: --limit 0 lists them"
        return "… and more: --limit 0 lists them, --count says how many"

    def _id_of(self, kind: Kind, row: Any) -> str:
        if kind is Kind.EXECUTION:
            return str(row.uuid[:8])
        if kind is Kind.JOB:
            return self._history.job_id(row)
        digest: bytes = row.value.digest if isinstance(row, FileRow) else row.digest
        return digest.hex()[:12]

    def _pages(self, kind: Kind, rows: Iterator[Any]) -> Iterator[str]:
        """Yield all that is known of each record, as many as --limit has."""
        limit = self._options.limit
        for number, row in enumerate(rows):
            if limit and number == limit:
                return
            if number:
                yield ""
            yield from self._describer.show(row, self._id_of(kind, row))

    def _json(self, kind: Kind, rows: Iterable[Any]) -> Iterator[str]:
        from .log_json import JsonLines

        return JsonLines(self._history).lines(kind, rows)


def _texts(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def _task_name(record: Found | None, text: str) -> str | None:
    """Return the name of a task that was asked for by its name, and not by its hash."""
    if isinstance(record, TaskRow) and not record.digest.hex().startswith(text.lower()):
        return record.fullname
    return None


def _kind_of(record: Found) -> Kind:
    names = {
        "ExecutionRow": Kind.EXECUTION,
        "JobRow": Kind.JOB,
        "CallRow": Kind.CALL,
        "TaskRow": Kind.TASK,
        "ValueRow": Kind.VALUE,
        "FileRow": Kind.FILE,
    }
    return names[type(record).__name__]


def log_lines(
    where: str | Source,
    text: str | None,
    palette: Palette = PLAIN,
    width: int | None = None,
    show_all: bool = False,
) -> Iterator[str]:
    """Yield what `log` prints of the latest executions, or of one record.

    Parameters
    ----------
    where
        Where the database is; or the path of a SQLite file.
    text
        What to show, as `History.find` takes it; None for the latest executions.
    palette
        Whether there are colours.
    width
        Columns that lines are to fit into; None for as many as they need.
    show_all
        Whether every record is to have a line, however many there are.

    Raises
    ------
    UsageError
        There is nothing of that id, or the id is ambiguous.
    RepositoryError
        It is no repository.
    """
    source = source_at(where)
    history = open_history(source)
    if history is None:
        if text is None:
            yield str(nothing_recorded(source.address))
            return
        raise nothing_recorded(source.address, repr(text))
    with history:
        describer = Describer(history, palette, width, show_all)
        if text is None:
            rows = history.executions(None if show_all else MAX_EXECUTIONS)
            yield from describer.execution_lines(rows)
            left_out = history.count_executions() - len(rows)
            if left_out > 0:
                yield f"… and {format_count(left_out)} more: `log --limit 0` lists them"
        else:
            yield from describer.show(history.find(text), text)
