"""The command `db`: looking after a repository."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from .._database import Upkeep
from .._display import format_count, format_size, format_table, one_line
from .._errors import RepositoryError, UsageError
from .._history import History, nothing_recorded, open_history
from .._ini import value_of_word
from .._migration import FIRST_WITH_STORE, losses
from .._schema import STEPS
from .._schema import VERSION as SCHEMA_VERSION
from .._value_store import StorePlace, ValueStore, folders_of, home_of, store_name
from .._version import VERSION
from .command import (
    FAILED,
    OK,
    PROGRAM,
    Command,
    add_action,
    add_actions,
    add_repository_option,
    existing_config,
    number_from,
    repository_source,
)
from .output import STREAM, file_error

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable

    from .._database import Database, Source
    from .._garbage import Keep
    from .._migration import Loss

_TABLES = {
    "execution": "executions",
    "job": "jobs",
    "call": "calls",
    "value": "values",
    "task": "tasks",
    "file": "files",
    "tag": "tags",
}
_WITH = {  # Tables whose size counts with that of another.
    "attempt": "job",
    "argument": "call",
    "upstream": "call",
    "call_child": "call",
    "subvalue": "value",
    "value_type": "value",
    "stored_value": "value",
    "task_set": "task",
    "task_set_member": "task",
}
_DAY = 86_400_000_000
_MOST_DAYS = 1_000_000  # More than have been.


class DbCommand(Command):
    """`db ACTION`."""

    description = "Look after the database."
    has_actions = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        from argparse import SUPPRESS

        add_repository_option(parser)
        actions = add_actions(parser)
        for action in _ACTIONS:
            sub = add_action(actions, action.name, action.help, action.description)
            add_repository_option(sub, default=SUPPRESS)  # What was given before it stays.
            action.add_arguments(sub)

    def run(self, options: Namespace) -> int:
        (action,) = (action for action in _ACTIONS if action.name == options.action)
        return action.run(options)


class _Action:
    """What `db` can do."""

    name = ""
    help = ""
    description = ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Make a parser know what it takes."""

    def run(self, options: Namespace) -> int:
        """Do it, and return the exit code."""
        raise NotImplementedError


class _Info(_Action):
    name = "info"
    help = "say where the database is and what it holds"

    def run(self, options: Namespace) -> int:
        config = existing_config(options)
        source = repository_source(options)
        rows = [[PROGRAM, VERSION], ["config", str(config.config_dir)]]
        rows.append(["database", source.address])
        history = open_history(source)
        table: list[str] = []
        if history is None:
            rows[-1][1] += "  (not there yet: `init` or the first run makes it)"
        else:
            with history:
                size = _size_on_disk(source.address)
                if size:
                    rows.append(["size", format_size(size)])
                rows.append(["schema", str(history.version)])
                rows += _store_rows(history)
                table = _table_of_sizes(history)
        print("\n".join([*format_table(rows, "<<"), *([""] if table else []), *table]))
        return OK


def _store_rows(history: History) -> list[list[str]]:
    if history.version < SCHEMA_VERSION:
        return []
    ((count, size),) = history.database.rows(
        "SELECT count(*), coalesce(sum(size), 0) FROM stored_value"
    )
    if not count:
        return []
    return [["value store", f"{format_count(count)} large values, {format_size(size)}"]]


def _table_of_sizes(history: History) -> list[str]:
    """Return how many records of each kind there are, and what space they take."""
    sizes = history.database.table_sizes() if isinstance(history.database, Upkeep) else {}
    by_kind: dict[str, int] = {}
    for table, size in sizes.items():
        kind = _TABLES.get(_WITH.get(table, table), "others")
        by_kind[kind] = by_kind.get(kind, 0) + size
    rows = [["RECORDS", "COUNT", "SIZE"]]
    for table, count in history.count_rows().items():
        kind = _TABLES[table]
        rows.append([kind, format_count(count), format_size(by_kind.pop(kind, 0))])
    if by_kind:
        rows.append(["others", "", format_size(sum(by_kind.values()))])
    if not sizes:
        rows = [row[:2] for row in rows]
    return format_table(rows, "<>>"[: len(rows[0])])


def _size_on_disk(path: str) -> int:
    files = (path + end for end in ("", "-wal"))
    return sum(os.path.getsize(file) for file in files if os.path.exists(file))


# Versions of the schema


class _Versions(_Action):
    name = "versions"
    help = "list the versions of the schema, and what each brought"

    def run(self, options: Namespace) -> int:
        source = repository_source(options)
        version = 0
        if source.exists():
            database = source.connect(read_only=True)
            try:
                version = source.version(database)
            finally:
                database.close()
        rows = [["", "VERSION", "BROUGHT"]]
        for number, step in enumerate(STEPS, 1):
            rows.append(["*" if number == version else "", str(number), step.brings])
        print("\n".join(format_table(rows, "<<<")))
        return OK


class _Upgrade(_Action):
    name = "upgrade"
    help = "bring the database to a newer version of the schema"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "version",
            metavar="VERSION",
            nargs="?",
            type=number_from(),
            help="by default the newest",
        )

    def run(self, options: Namespace) -> int:
        source = _existing_source(options)
        with _Opened(source) as database:
            version = source.version(database)
            target = SCHEMA_VERSION if options.version is None else options.version
            _check_target(target)
            if target < version:
                raise UsageError(
                    f"{source.address} has version {version} already; `db downgrade {target}` "
                    "brings it back"
                )
            source.migrate(database, target)
        _say_versions(source, version, target)
        return OK


class _Downgrade(_Action):
    name = "downgrade"
    help = "bring the database to an older version of the schema"
    description = (
        "Bring the database to an older version of the schema, for an older program. What that\n"
        "version has no place for is lost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "version", metavar="VERSION", type=number_from(), help="`db versions` lists them"
        )
        parser.add_argument(
            "--yes", "--force", action="store_true", help="also if something will be lost"
        )

    def run(self, options: Namespace) -> int:
        source = _existing_source(options)
        target = options.version
        with _Opened(source) as database:
            version = source.version(database)
            _check_target(target)
            if target > version:
                raise UsageError(
                    f"{source.address} has version {version}; `db upgrade {target}` brings it up"
                )
            _refuse_if_running(database)
            lost = losses(database, version, target)
            if lost and not options.yes:
                raise UsageError(
                    f"version {target} has no place for {_listed(map(_counted, lost))}: lost if "
                    "you say --yes; `db backup FILE` keeps a copy"
                )
            folders = []
            if version >= FIRST_WITH_STORE > target:
                folders = folders_of(database, home_of(source.address))
            source.migrate(database, target)
        _say_versions(source, version, target)
        for loss in lost:
            print(f"lost: {_counted(loss)}", file=sys.stderr)
        for folder in folders:
            print(f"not used any more, and can be removed: {folder}", file=sys.stderr)
        return OK


def _counted(loss: Loss) -> str:
    return _plural(loss.number, loss.kind)


def _plural(number: int, word: str) -> str:
    return f"{format_count(number)} {word}{'' if number == 1 else 's'}"


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _check_target(target: int) -> None:
    if not 1 <= target <= SCHEMA_VERSION:
        raise UsageError(f"there is no version {target}: this program knows 1 to {SCHEMA_VERSION}")


def _say_versions(source: Source, version: int, target: int) -> None:
    change = f"{version} -> {target}" if version != target else f"{target}, as before"
    print(f"{source.address}: version {change}")


def _refuse_if_running(database: Database) -> None:
    from .._garbage import running_executions

    running = running_executions(database)
    if running:
        raise RepositoryError(
            f"{database.address}: execution {running[0][:8]} is running; wait until it has ended"
        )


# Soundness


class _Check(_Action):
    name = "check"
    help = "find what is broken, missing or not what its digest says"
    description = (
        "Find what is broken, missing or not what its digest says. One line for each problem, and\n"
        "exit status 1 if there is any. Nothing that is stored is run, unless --load is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--load",
            metavar="SCRIPT",
            nargs="*",
            help="load values that are more than plain data, to check them too: runs code "
            "that the database names; SCRIPTs define the tasks that values hold",
        )

    def run(self, options: Namespace) -> int:
        from .._check import Checker

        source = _existing_source(options)
        loading = {} if options.load is None else _loading(options.load)
        database = source.connect(read_only=True)
        try:
            _require_present(source, database)
            place = _place(options)
            checker = Checker(database, root=place and place.root, **loading)
            for problem in checker.problems():
                print(one_line(problem))
            result = checker.result()
        finally:
            database.close()
        counts = ", ".join(_plural(count, table) for table, count in result.rows.items())
        print(f"{_plural(result.problems, 'problem')} in {counts}")
        if result.unchecked:
            left = [f"{_plural(n, 'value')} {why}" for why, n in sorted(result.unchecked.items())]
            hint = " (--load compares these too)" if options.load is None else ""
            print(f"not compared with their digests: {', '.join(left)}{hint}")
        return FAILED if result.problems else OK


def _loading(scripts: list[str]) -> dict[str, Any]:
    """Return what loads values and gives them keys, once the scripts are imported."""
    from .._expr import key_of_expr
    from .._record import load_value
    from .workflow import load_workflow, put_on_path

    put_on_path(os.getcwd())
    for script in scripts:
        load_workflow(script)
    return {"load": load_value, "key": key_of_expr}


def _require_present(source: Source, database: Database) -> None:
    version = source.version(database)
    if version == 0:
        raise nothing_recorded(source.address)
    if version != SCHEMA_VERSION:
        raise RepositoryError(
            f"{source.address} has schema version {version}, this needs {SCHEMA_VERSION}: "
            "`db upgrade` brings it there"
        )


# Garbage


class _Gc(_Action):
    name = "gc"
    help = "remove old executions, and all that no other one needs"
    description = (
        "Remove executions that are not to be kept, and the calls, values and tasks that no other\n"
        "one needs. An execution is kept if any of the options says so, or while it runs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--keep", metavar="N", type=number_from(), help="the last N executions")
        parser.add_argument(
            "--keep-days",
            metavar="D",
            type=number_from(kind=float),
            help="those of the last D days",
        )
        parser.add_argument(
            "--keep-tag",
            metavar="KEY[=VALUE]",
            action="append",
            default=[],
            help="those with a tag; may be repeated",
        )
        parser.add_argument(
            "--dry-run", "--dryrun", action="store_true", help="only say what would be removed"
        )

    def run(self, options: Namespace) -> int:
        from .._garbage import collect

        keep = _keep_of(options)
        source = _existing_source(options)
        with _Opened(source, read_only=options.dry_run) as database:
            if options.dry_run:
                _require_present(source, database)
            else:
                source.migrate(database)
            home = home_of(source.address)
            result = collect(database, keep, _store(options, database), home, options.dry_run)
        rows = [["RECORDS", "TO REMOVE" if options.dry_run else "REMOVED", "LEFT"]]
        for kind, tally in result.tallies.items():
            left = tally.total - tally.removed
            rows.append([kind, format_count(tally.removed), format_count(left)])
        print("\n".join(format_table(rows, "<>>")))
        verb = "would free" if options.dry_run else "freed"
        hint = "" if options.dry_run else "; `db vacuum` gives it back to the disk"
        print(f"{verb} about {format_size(result.bytes)}{hint if result.bytes else ''}")
        if result.stopped:
            print(
                f"{PROGRAM}: calls and values are left until nothing runs ({result.stopped})",
                file=sys.stderr,
            )
        return OK


def _keep_of(options: Namespace) -> Keep:
    from .._garbage import ANY, Keep
    from .._timers import now

    if options.keep is None and options.keep_days is None and not options.keep_tag:
        raise UsageError(
            "db gc: say what to keep: --keep N, --keep-days D or --keep-tag KEY[=VALUE]"
        )
    days = options.keep_days
    since = None if days is None else now() - int(min(days, _MOST_DAYS) * _DAY)
    tags = []
    for word in options.keep_tag:
        key, equals, text = word.partition("=")
        if not key:
            raise UsageError(f"db gc: --keep-tag: expected KEY or KEY=VALUE, got {word!r}")
        tags.append((key, value_of_word(text) if equals else ANY))
    return Keep(options.keep or 0, since, tuple(tags))


def _place(options: Namespace) -> StorePlace | None:
    config = existing_config(options)
    name = getattr(options, "repo", None)
    return StorePlace.from_config(config if name is None else config.repository(name))


def _store(options: Namespace, database: Database) -> ValueStore | None:
    """Return the store that large values of the repository go to now, if there is one."""
    place = _place(options)
    folder = store_name(database)
    if place is None or folder is None:
        return None
    return ValueStore(place.folder(folder), home_of(database.address))


# Copies


class _Vacuum(_Action):
    name = "vacuum"
    help = "give space that nothing takes any more back to the disk"

    def run(self, options: Namespace) -> int:
        source = _existing_source(options)
        before = _size_on_disk(source.address)
        with _Opened(source) as database:
            source.version(database)
            _upkeep(database, "vacuum").vacuum()
        after = _size_on_disk(source.address)
        print(f"{source.address}: {format_size(before)} -> {format_size(after)}")
        return OK


class _Backup(_Action):
    name = "backup"
    help = "write a copy of the database, while it may be in use"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="where to")
        parser.add_argument("--force", action="store_true", help="replace a file that is there")

    def run(self, options: Namespace) -> int:
        source = _existing_source(options)
        path = options.file
        if os.path.exists(path) and not os.path.isfile(path):
            what = "a folder" if os.path.isdir(path) else "no regular file"
            raise UsageError(f"db backup: {path} is {what}; name a file for the copy")
        if path == STREAM:
            raise UsageError("db backup: a database is no stream; name a file for the copy")
        if os.path.exists(path):
            if os.path.exists(source.address) and os.path.samefile(path, source.address):
                raise UsageError(f"db backup: {path} is the database itself")
            if not options.force:
                raise UsageError(f"db backup: {path} is there already; --force replaces it")
        with _Opened(source, read_only=True) as database:
            source.version(database)
            _write_copy(_upkeep(database, "backup"), path)
            files = _files_of_values(source, database)
        print(f"{path}: {format_size(os.path.getsize(path))}")
        if files:
            print(
                f"{PROGRAM}: {format_count(files)} large values are in files of the value store, "
                "which are not copied",
                file=sys.stderr,
            )
        return OK


def _files_of_values(source: Source, database: Database) -> int:
    if source.version(database) < SCHEMA_VERSION:
        return 0
    count: int = database.rows("SELECT count(*) FROM stored_value")[0][0]
    return count


def _write_copy(database: Upkeep, path: str) -> None:
    """Write a copy, private to the user, that is there as a whole or not at all."""
    unfinished = f"{path}-{os.getpid()}.unfinished"
    try:
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise file_error("write", path, error) from None
    try:
        database.backup(unfinished)
        with open(unfinished, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.unlink(unfinished)


# The database


class _Opened:
    """A database, open while the context lasts, as it is."""

    def __init__(self, source: Source, read_only: bool = False) -> None:
        self._source = source
        self._read_only = read_only

    def __enter__(self) -> Database:
        self._database = self._source.connect(self._read_only)
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.close()


def _existing_source(options: Namespace) -> Source:
    source = repository_source(options)
    if not source.exists():
        raise nothing_recorded(source.address)
    return source


def _upkeep(database: Database, action: str) -> Upkeep:
    if not isinstance(database, Upkeep):
        raise UsageError(
            f"db {action}: {one_line(database.address)} is on a server, which has programs of its "
            "own for that"
        )
    return database


_ACTIONS = (
    _Info(),
    _Versions(),
    _Upgrade(),
    _Downgrade(),
    _Check(),
    _Gc(),
    _Vacuum(),
    _Backup(),
)
